"""Means and changes against SciPy and statsmodels at both ends of the overlap; coverage in between by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.contrast import MeanChange, change_ends, mean_change, sample_mean, share_ends

SEEDS = range(6)
TRIALS = 4000


def band(rate: float, trials: int) -> tuple[float, float]:
    return stats.binom.ppf(5e-7, trials, rate) / trials, stats.binom.isf(5e-7, trials, rate) / trials


@pytest.mark.parametrize("seed", SEEDS)
def test_one_row_a_unit_is_the_one_sample_t(seed):
    values = np.random.default_rng(seed).lognormal(size=31)
    mean = sample_mean(values, np.arange(31))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert mean.ends(confidence_level=0.9) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert mean.std_error == pytest.approx(stats.sem(values), rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_units_in_both_periods_is_the_paired_t(seed):
    rng = np.random.default_rng(seed)
    before = rng.normal(size=25)
    now, order = before + rng.normal(0.3, 1, 25), rng.permutation(25)
    change = mean_change(sample_mean(now[order], order), sample_mean(before, np.arange(25)))
    test = stats.ttest_rel(now, before)
    assert change.value / change.std_error == pytest.approx(test.statistic, rel=1e-10)
    assert change.df == pytest.approx(24)
    assert change.ends() == pytest.approx(tuple(test.confidence_interval(0.95)), rel=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_unit_in_both_periods_is_welch(seed):
    rng = np.random.default_rng(seed)
    now, before = rng.normal(size=14), rng.normal(0, 3, 40)
    change = mean_change(sample_mean(now, np.arange(14)), sample_mean(before, np.arange(100, 140)))
    test = stats.ttest_ind(now, before, equal_var=False)
    assert change.value / change.std_error == pytest.approx(test.statistic, rel=1e-12)
    assert change.df == pytest.approx(test.df, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_clusters_are_the_jackknife(seed):
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, 9, 80)
    values = rng.normal(size=9)[clusters] + rng.normal(size=80)
    without = np.array([values[clusters != g].mean() for g in np.unique(clusters)])
    groups = len(without)
    expected = math.sqrt((groups - 1) / groups * np.sum((without - values.mean()) ** 2))
    mean = sample_mean(values, clusters)
    assert mean.std_error == pytest.approx(expected, rel=1e-10)
    assert (mean.df, mean.n_clusters, mean.n_obs) == (groups - 1, groups, 80)


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(5)
    values, order = rng.normal(size=50), rng.permutation(50)
    sorted_rows, mixed = sample_mean(values, np.arange(50)), sample_mean(values[order], order)
    np.testing.assert_allclose(mixed.shifts, sorted_rows.shifts, rtol=1e-12)
    assert mixed.std_error == pytest.approx(sorted_rows.std_error, rel=1e-12)


def test_partly_paired_intervals_hold_their_level():
    """40 and 50 units, 30 of them in both periods, correlation 0.7, unequal spread."""
    rng = np.random.default_rng(1)
    held = ignoring_pairs = 0
    units_now, units_before = np.arange(40, dtype=int), np.arange(10, 60)
    for _ in range(TRIALS):
        person = rng.normal(size=60)
        now = (person + 0.65 * rng.normal(size=60))[units_now]
        before = 2 * (person + 0.65 * rng.normal(size=60))[units_before]
        a, b = sample_mean(now, units_now), sample_mean(before, units_before)
        low, high = mean_change(a, b).ends()
        held += low <= 0 <= high
        low, high = mean_change(a, sample_mean(before, units_before + 1000)).ends()
        ignoring_pairs += low <= 0 <= high
    low, high = band(0.95, TRIALS)
    assert low <= held / TRIALS <= high
    assert ignoring_pairs / TRIALS > high  # the same data without the pairs: too wide


@pytest.mark.parametrize(("hits", "n"), [(0, 40), (1, 40), (17, 40), (40, 40), (300, 1000)])
def test_shares_of_independent_rows_are_wilson(hits, n):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    values = np.repeat([1.0, 0.0], [hits, n - hits])
    mean = sample_mean(values, np.arange(n))
    expected = proportion.proportion_confint(hits, n, method="wilson")
    assert share_ends(mean.value, mean.std_error, n) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("share", "n"), [(0.02, 150), (0.5, 40), (0.97, 60)])
def test_wilson_covers_on_average(share, n):
    """Coverage of a share swings with n; its exact mean over neighbouring shares is what can be asked for."""
    shares = np.linspace(max(share - 0.02, 0.005), min(share + 0.02, 0.995), 41)
    hits = np.arange(n + 1)
    ends = [share_ends(k / n, math.sqrt(k / n * (1 - k / n) / (n - 1)), n) for k in hits]
    covers = [sum(stats.binom.pmf(k, n, p) for k in hits if ends[k][0] <= p <= ends[k][1]) for p in shares]
    assert 0.94 <= np.mean(covers) <= 0.975


@pytest.mark.parametrize("n_groups", [15, 60])
def test_clustered_shares_hold_their_level(n_groups):
    """Customers with 1 to 9 rows each and a common inclination; ignoring that is far too narrow."""
    rng = np.random.default_rng(n_groups)
    sizes = np.arange(n_groups) % 9 + 1
    clusters = np.repeat(np.arange(n_groups), sizes)
    held = naive = 0
    trials = 2500
    for _ in range(trials):
        inclination = rng.beta(0.6, 1.4, n_groups)[clusters]
        values = (rng.random(len(clusters)) < inclination).astype(float)
        mean = sample_mean(values, clusters)
        low, high = share_ends(mean.value, mean.std_error, n_groups, df=mean.df)
        held += low <= 0.3 <= high
        rows = sample_mean(values, np.arange(len(values)))
        low, high = share_ends(rows.value, rows.std_error, len(values))
        naive += low <= 0.3 <= high
    assert 0.935 <= held / trials <= 0.985
    assert naive / trials < 0.85


def test_changes_of_independent_shares_are_newcombe():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    now, before = np.repeat([1.0, 0.0], [56, 14]), np.repeat([1.0, 0.0], [48, 32])
    a, b = sample_mean(now, np.arange(70)), sample_mean(before, np.arange(100, 180))
    sides = [(m.value, *share_ends(m.value, m.std_error, m.n_clusters)) for m in (a, b)]
    expected = proportion.confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff")
    assert change_ends(mean_change(a, b), *sides) == pytest.approx(expected, abs=1e-10)
    assert change_ends(mean_change(a, b), *sides) == pytest.approx(
        (0.0524, 0.3339), abs=5e-5
    )  # Newcombe (1998), 56/70 - 48/80


@pytest.mark.parametrize(("rate", "n", "most"), [(0.03, 80, 1.0), (0.3, 60, 0.975)])
def test_paired_changes_of_shares_hold_their_level(rate, n, most):
    rng = np.random.default_rng(n)
    units, held, trials = np.arange(n), 0, 3000
    for _ in range(trials):
        before = rng.random(n) < rate
        now = np.where(rng.random(n) < 0.5, before, rng.random(n) < rate)
        a, b = (sample_mean(v.astype(float), units) for v in (now, before))
        sides = [(m.value, *share_ends(m.value, m.std_error, n)) for m in (a, b)]
        low, high = change_ends(mean_change(a, b), *sides)
        held += low <= 0 <= high
    assert 0.94 <= held / trials <= most  # rare shares: careful


def test_none_of_none_still_has_a_range():
    nothing = sample_mean(np.zeros(40), np.arange(40))
    assert all(math.isnan(end) for end in nothing.ends())
    side = (0.0, *share_ends(0.0, nothing.std_error, 40))
    low, high = change_ends(mean_change(nothing, nothing), side, side)
    assert low < 0 < high


def test_nothing_to_average_is_not_available():
    empty = sample_mean(np.empty(0), np.empty(0, dtype=int))
    one = sample_mean(np.array([3.0]), np.array([7]))
    assert math.isnan(empty.value)
    assert empty.n_obs == 0
    assert one.value == 3
    assert math.isnan(one.std_error)
    assert all(math.isnan(end) for end in (*one.ends(), *mean_change(one, one).ends(), *share_ends(0.5, 0.1, 1)))


def test_a_side_outside_its_interval_is_refused():
    change = MeanChange(value=0.1, std_error=0.1, df=9, correlation=0, n_common=0)
    with pytest.raises(EstimationError, match="outside its own interval"):
        change_ends(change, (0.5, 0.6, 0.7), (0.4, 0.3, 0.5))
