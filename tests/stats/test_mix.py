"""Kitagawa's decomposition against the textbook formula, a bootstrap, and its own coverage."""

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.contrast import mean_change, sample_mean
from cpi_experiments.stats.mix import Grouped, mix_shift


def worlds(rng, n=400):
    """Customers move to group 2 and improve within groups; 80% are measured in each period."""
    first = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    second = np.where(rng.random(n) < 0.2, 2, first)
    person = rng.normal(size=n)
    values = [g * 1.0 + person + rng.normal(size=n) for g in (first, second)]
    values[1] = values[1] + 0.3
    seen = [rng.random(n) < 0.8 for _ in range(2)]
    unit = np.arange(n)
    before, now = (
        Grouped(values=v[s], groups=g[s], clusters=unit[s])
        for v, g, s in zip(values, (first, second), seen, strict=True)
    )
    return now, before


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_the_textbook_formula_and_add_up(seed):
    now, before = worlds(np.random.default_rng(seed), n=150)
    split = mix_shift(now, before)
    shares = [[np.mean(p.groups == g) for g in range(3)] for p in (now, before)]
    means = [[p.values[p.groups == g].mean() for g in range(3)] for p in (now, before)]
    within = sum((shares[0][g] + shares[1][g]) / 2 * (means[0][g] - means[1][g]) for g in range(3))
    assert split.within.value == pytest.approx(within, rel=1e-12)
    assert split.within.value + split.mix.value == pytest.approx(now.values.mean() - before.values.mean(), rel=1e-10)


def test_errors_of_parts_together_are_that_of_the_change():
    """With one group the part within is the whole change, with its own error and degrees of freedom."""
    now, before = worlds(np.random.default_rng(3))
    alone = [Grouped(values=p.values, groups=np.zeros_like(p.groups), clusters=p.clusters) for p in (now, before)]
    split = mix_shift(*alone)
    change = mean_change(*(sample_mean(p.values, p.clusters) for p in (now, before)))
    assert split.within.std_error == pytest.approx(change.std_error, rel=1e-12)
    assert split.within.df == pytest.approx(change.df, rel=1e-12)
    assert split.mix.value == split.mix.std_error == 0


def test_errors_agree_with_a_bootstrap_of_customers():
    rng = np.random.default_rng(4)
    now, before = worlds(rng, n=500)
    split = mix_shift(now, before)
    draws = []
    for _ in range(600):
        times = np.bincount(rng.integers(0, 500, 500), minlength=500)
        again = []
        for p in (now, before):
            take = np.repeat(np.arange(len(p.values)), times[p.clusters])
            again.append(Grouped(values=p.values[take], groups=p.groups[take], clusters=p.clusters[take]))
        found = mix_shift(*again)
        draws.append((found.within.value, found.mix.value))
    spread = np.std(draws, axis=0, ddof=1)
    assert (split.within.std_error, split.mix.std_error) == pytest.approx(tuple(spread), rel=0.12)


def test_intervals_hold_their_level():
    rng = np.random.default_rng(5)
    truth = mix_shift(*worlds(rng, n=400_000))
    held = np.zeros(2)
    trials = 1500
    for _ in range(trials):
        split = mix_shift(*worlds(rng, n=250))
        for k, (part, true) in enumerate(((split.within, truth.within), (split.mix, truth.mix))):
            low, high = part.ends()
            held[k] += low <= true.value <= high
    low, high = stats.binom.ppf(5e-7, trials, 0.95) / trials, stats.binom.isf(5e-7, trials, 0.95) / trials
    assert np.all((held / trials >= low) & (held / trials <= high))


def test_only_another_mix_is_no_improvement():
    now = Grouped(values=np.repeat([0.0, 1.0], [20, 80]), groups=np.repeat([0, 1], [20, 80]), clusters=np.arange(100))
    before = Grouped(
        values=np.repeat([0.0, 1.0], [80, 20]), groups=np.repeat([0, 1], [80, 20]), clusters=np.arange(100, 200)
    )
    split = mix_shift(now, before)
    assert split.within.value == 0
    assert split.mix.value == pytest.approx(0.6)


def test_a_new_group_is_mix_only():
    now = Grouped(values=np.array([1.0, 1, 9, 9]), groups=np.array([0, 0, 2, 2]), clusters=np.arange(4))
    before = Grouped(values=np.array([1.0, 1, 4, 4]), groups=np.array([0, 0, 1, 1]), clusters=np.arange(4))
    split = mix_shift(now, before)
    assert split.within.value == 0
    assert split.mix.value == pytest.approx(now.values.mean() - before.values.mean())


def test_an_empty_period_is_refused():
    some = Grouped(values=np.ones(2), groups=np.zeros(2, dtype=int), clusters=np.arange(2))
    none = Grouped(values=np.empty(0), groups=np.empty(0, dtype=int), clusters=np.empty(0, dtype=int))
    with pytest.raises(EstimationError, match="no rows"):
        mix_shift(some, none)
