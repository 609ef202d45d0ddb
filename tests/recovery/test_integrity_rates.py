"""Alarm rates of the checks before results: on sound trials at most what they say, and their power on broken ones.

Counts are simulated on thin kernels, 100,000 trials; checks that need units go through the door itself.
"""

from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from cpi_experiments.randomized.integrity.check_trial import check_trial
from cpi_experiments.randomized.integrity.plug_in_limits import plug_in_limits
from cpi_experiments.randomized.integrity.rules import BLOCKS, WARNS
from cpi_experiments.randomized.integrity.sample_ratio import sample_ratio
from cpi_experiments.stats.effect_trend import effect_trend
from cpi_experiments.stats.equal_effects import equal_effects_test
from cpi_experiments.stats.exact_counts import binomial_p_values
from cpi_experiments.stats.group_slope import group_slope
from cpi_experiments.stats.resampling.random_splits import unit_tests
from cpi_experiments.stats.sequential.sequential_counts import log_bayes_factor, sequential_ratio_test

ROOT = 20_261_014
Array = np.ndarray


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([ROOT, crc32(request.node.name.encode())]))


def most(rate: float, trials: int) -> float:
    return float(stats.binom.isf(5e-7, trials, rate)) / trials


def keeps(p: Array, level: float, *, at_least: float = 0.0) -> bool:
    found = float(np.mean(np.asarray(p) < level))
    return at_least <= found <= most(level, len(p))


@pytest.mark.parametrize("weights", [[1, 1], [9, 1], [1, 1, 1]])
def test_sample_ratio_alarms_as_often_as_it_says(rng: np.random.Generator, weights: list) -> None:
    shares = np.array(weights) / sum(weights)
    counts = rng.multinomial(20_000, shares, size=100_000)
    expected = 20_000 * shares
    p = special.chdtrc(len(weights) - 1, np.sum((counts - expected) ** 2 / expected, axis=1))
    labels = [f"arm {k}" for k in range(len(weights))]
    for row, value in zip(counts[:50], p[:50], strict=True):
        counted = dict(zip(labels, map(int, row), strict=True))
        assert sample_ratio(counted, dict(zip(labels, weights, strict=True))).p_value == pytest.approx(value, rel=1e-8)
    for level in (BLOCKS, WARNS):
        assert keeps(p, level, at_least=0.6 * level)


@pytest.mark.parametrize(("size", "share"), [(30, 0.5), (400, 0.5), (60, 0.9)])
def test_cells_share_the_alarm_rate(rng: np.random.Generator, size: int, share: float) -> None:
    """Fourteen days, exact tails times fourteen: never above nominal, however small the days."""
    n = rng.poisson(size, (20_000, 14))
    p = np.minimum(binomial_p_values(rng.binomial(n, share), n, share).min(axis=1) * 14, 1)
    for level in (BLOCKS, WARNS, 0.05):
        assert keeps(p, level)
    assert np.mean(p < 0.05) > 0.01


def looks(rng: np.random.Generator, reps: int, share: float, *, each: int, days: int = 50) -> Array:
    """Smallest anytime p-value over all looks, shape (reps,)."""
    treated = rng.binomial(each, share, (reps, days)).cumsum(axis=1)
    total = each * np.arange(1, days + 1)
    found = log_bayes_factor(np.stack([total - treated, treated], axis=-1), [1, 1])
    return np.exp(-np.maximum(found.max(axis=1), 0))


def test_fifty_looks_keep_the_rate_of_one(rng: np.random.Generator) -> None:
    p = looks(rng, 20_000, 0.5, each=400)
    for level in (BLOCKS, WARNS, 0.05):
        assert keeps(p, level)
    assert np.mean(p < 0.05) > 0.003
    days = rng.binomial(400, 0.5, (1, 50))
    door = sequential_ratio_test(np.stack([400 - days[0], days[0]], axis=1), [1, 1])[-1]
    total, treated = 400 * np.arange(1, 51), days.cumsum(axis=1)[0]
    kernel = np.exp(-max(log_bayes_factor(np.stack([total - treated, treated], axis=-1), [1, 1]).max(), 0))
    assert door == pytest.approx(kernel, rel=1e-10)


@pytest.mark.slow
def test_fifty_looks_keep_the_rate_of_one_at_length(rng: np.random.Generator) -> None:
    p = np.concatenate([looks(rng, 20_000, 0.5, each=2_000) for _ in range(5)])
    for level in (BLOCKS, WARNS, 0.05):
        assert keeps(p, level)


@pytest.mark.parametrize(("share", "each", "level"), [(0.51, 2_000, WARNS), (0.6, 20, WARNS), (0.55, 80, WARNS)])
def test_power_over_fifty_looks(rng: np.random.Generator, share: float, each: int, level: float) -> None:
    """51/49 of 100,000; 60/40 of 1,000; 55/45 of 4,000."""
    assert np.mean(looks(rng, 5_000, share, each=each) < level) >= 0.99


def naive_looks(rng: np.random.Generator) -> Array:
    """The planted fault: the chi-squared test read at every look."""
    treated = rng.binomial(400, 0.5, (5_000, 50)).cumsum(axis=1)
    total = 400 * np.arange(1, 51)
    return special.chdtrc(1, (2 * treated - total) ** 2 / total).min(axis=1)


def test_naive_peeking_at_the_sample_ratio_is_caught(rng: np.random.Generator) -> None:
    assert not keeps(naive_looks(rng), 0.05)


# -- checks on units, through their own statistics -------------------------------------------------------------------


def trend_p(rng: np.random.Generator) -> float:
    """A steady effect, days and units with effects of their own, staggered starts."""
    n, days = 60, 8
    start, treated = rng.integers(0, 3, n), rng.permutation(n) < n // 2
    unit, day = np.repeat(np.arange(n), days), np.tile(np.arange(days), n)
    here = day >= start[unit]
    unit, day = unit[here], day[here]
    y = rng.normal(size=n)[unit] + rng.normal(size=days)[day] + treated[unit] + rng.normal(size=len(unit))
    found = effect_trend(y, treated[unit], np.log2(1.0 + day - start[unit]), day, unit)
    assert found is not None
    return found.p_value


def neighbours_p(rng: np.random.Generator) -> float:
    """Thirty groups of different sizes with a shared part, no interference."""
    sizes = rng.integers(2, 12, 30)
    group = np.repeat(np.arange(30), sizes)
    treated = rng.random(len(group)) < 0.5
    y = rng.normal(size=30)[group] + rng.normal(size=len(group))
    share = (np.bincount(group, weights=treated)[group] - treated) / (sizes[group] - 1)
    found = group_slope(share[~treated], y[~treated], group[~treated])
    return 1.0 if found is None else found.p_value


@pytest.mark.parametrize("kind", [trend_p, neighbours_p])
def test_trends_and_neighbours_keep_their_rate(rng: np.random.Generator, kind: object) -> None:
    p = np.array([kind(rng) for _ in range(2_000)])
    for level in (WARNS, 0.05):
        assert keeps(p, level)
    assert np.mean(p < 0.05) > 0.015


@pytest.mark.parametrize("cells", [2, 3, 5])
def test_interactions_keep_their_rate(rng: np.random.Generator, cells: int) -> None:
    reps, n = 4_000, 12
    y = rng.normal(size=(reps, cells, 2, n)) * np.linspace(1, 3, cells)[:, None, None]
    effects = y[:, :, 1].mean(axis=-1) - y[:, :, 0].mean(axis=-1)
    parts = y.var(axis=-1, ddof=1) / n
    variances, dfs = parts.sum(axis=-1), parts.sum(axis=-1) ** 2 / np.sum(parts**2 / (n - 1), axis=-1)
    p = np.array([equal_effects_test(*each)[1] for each in zip(effects, variances, dfs, strict=True)])
    assert keeps(p, 0.05, at_least=0.03)
    assert keeps(p, WARNS)


def sound(rng: np.random.Generator, n: int) -> pd.DataFrame:
    unit, day = np.arange(n), rng.integers(0, 8, n)
    return pd.DataFrame(
        {
            "arm": rng.permutation(np.resize([0, 1], n)),
            "unit": unit,
            "day": day,
            "os": rng.integers(0, 3, n),
            "age": rng.normal(size=n),
            "wealth": rng.exponential(size=n),
            "before": rng.gamma(2, size=n),
            "won": np.where(rng.random(n) < 0.05, np.nan, rng.random(n) < 0.3),
            "other": rng.integers(0, 2, n),
        }
    )


def test_all_checks_of_a_sound_trial_keep_their_rate(rng: np.random.Generator) -> None:
    """Every test of the door at 5 % on 400 sound trials of 600 units; none is above its exact band."""
    p: dict[str, list[float]] = {}
    for _ in range(400):
        found = check_trial(
            sound(rng, 600), arm="arm", control=0, unit="unit", outcomes="won", covariates=["age", "wealth"], pre="before",
            day="day", segments="os", other={"pricing": "other"},
        )  # fmt: skip
        assert not found.blocks or any(d.p_value < BLOCKS for d in found.diagnostics)
        for d in found.diagnostics:
            if np.isfinite(d.p_value):
                p.setdefault(d.name, []).append(d.p_value)
    assert len(p) == 11
    too_many = {
        name: float(np.mean(np.array(each) < 0.05)) for name, each in p.items() if not keeps(np.array(each), 0.05)
    }
    assert too_many == {}


def test_cluster_checks_keep_their_rate(rng: np.random.Generator) -> None:
    """Forty unequal clusters with ICC .1: covariates, the past and missing outcomes are compared by cluster."""
    p: dict[str, list[float]] = {}
    for _ in range(300):
        sizes = np.resize([10, 20, 30, 25, 15], 40)
        team = np.repeat(np.arange(40), sizes)
        shared = rng.normal(size=(40, 3))[team] * np.sqrt(0.1)
        own = shared + rng.normal(size=(len(team), 3)) * np.sqrt(0.9)
        lost = own[:, 2] > 1
        frame = pd.DataFrame(
            {"team": team, "age": own[:, 0], "before": own[:, 1], "won": np.where(lost, np.nan, 1.0 * (own[:, 0] > 0))}
        )
        frame["arm"] = rng.permutation(np.resize([0, 1], 40))[team]
        found = check_trial(
            frame, arm="arm", control=0, cluster="team", outcomes="won", covariates=["age"], pre="before"
        )
        for d in found.diagnostics:
            if np.isfinite(d.p_value):
                p.setdefault(d.name, []).append(d.p_value)
    assert set(p) == {"sample ratio", "covariate balance", "before the trial: before", "missing won"}
    for name, each in p.items():
        assert keeps(np.array(each), 0.05), name


# -- plug-in limits --------------------------------------------------------------------------------------------------


def one_sided(rng: np.random.Generator, n: tuple[int, int], draw: object) -> float:
    """Share of significant losses (nominal .025) over 20,000 splits."""
    count = 0
    for _ in range(20):
        found = unit_tests(draw(rng, (1_000, n[0]))[..., None], draw(rng, (1_000, n[1]))[..., None])
        count += int(np.sum((found.p_value < 0.05) & (found.effect < 0)))
    return count / 20_000


def lognormal(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.lognormal(0, 1.5, shape)


def rare(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return (rng.random(shape) < 0.05).astype(float)


@pytest.mark.parametrize(
    ("n", "draw", "fine"),
    [
        ((200, 200), lognormal, True),
        ((900, 100), lognormal, False),
        ((200, 200), rare, True),
        ((900, 100), rare, False),
    ],
)
def test_plug_in_limits_are_where_tests_break(
    rng: np.random.Generator, n: tuple[int, int], draw: object, *, fine: bool
) -> None:
    assert plug_in_limits(n, draw(rng, (1, 100_000))[0])[0].passed is fine
    assert (one_sided(rng, n, draw) <= most(0.025, 20_000)) is fine
