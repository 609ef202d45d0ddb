"""Quantiles of two arms: Woodruff by hand, GrowthBook's formula, the exact bootstrap against drawn rows."""

import math

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.quantile_effect import least_rows, quantile_effect
from cpi_experiments.stats.resampling.quantile_bootstrap import bootstrap_quantiles, quantile_bootstrap_test

Array = np.ndarray


def both(control: Array, treatment: Array) -> tuple[Array, Array]:
    return np.concatenate([control, treatment]).astype(float), np.arange(len(control) + len(treatment)) >= len(control)


@pytest.fixture
def skewed() -> tuple[Array, Array]:
    rng = np.random.default_rng(21)
    return rng.lognormal(size=400), rng.lognormal(0.2, 1, size=300)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_variance_is_woodruffs_by_hand(skewed, probability):
    values, treated = both(*skewed)
    found = quantile_effect(values, treated, probability)
    variance = 0.0
    for arm, bracket in zip(skewed, (found.bracket_control, found.bracket_treatment), strict=True):
        n, x = len(arm), np.sort(arm)
        reach = stats.norm.ppf(0.975) * math.sqrt(probability * (1 - probability) / n)
        low, high = math.ceil(n * (probability - reach)), math.ceil(n * (probability + reach))
        assert bracket == (x[low - 1], x[high - 1])
        slope = (x[high - 1] - x[low - 1]) / ((high - low) / n)
        variance += slope**2 * probability * (1 - probability) / n
    assert found.variance == pytest.approx(variance, rel=1e-10)
    assert found.control == pytest.approx(np.quantile(skewed[0], probability), rel=1e-12)
    assert found.effect == pytest.approx(np.subtract(*(np.quantile(x, probability) for x in skewed[::-1])), rel=1e-12)


@pytest.mark.parametrize("probability", [0.5, 0.9])
def test_standard_error_is_that_of_the_known_density(probability):
    """Normal rows: se = sqrt(p (1 - p) / n) / density, both arms."""
    rng = np.random.default_rng(22)
    found = [quantile_effect(*both(rng.normal(size=4_000), rng.normal(size=4_000)), probability) for _ in range(40)]
    density = stats.norm.pdf(stats.norm.ppf(probability))
    expected = math.sqrt(2 * probability * (1 - probability) / 4_000) / density
    assert np.mean([math.sqrt(f.variance) for f in found]) == pytest.approx(expected, rel=0.03)


def test_degrees_of_freedom_are_the_gaps_between_the_brackets():
    rng = np.random.default_rng(31)
    found = quantile_effect(*both(rng.normal(size=100), rng.normal(size=100)), 0.5)
    assert found.df_arms.tolist() == [60 - 41, 60 - 41]
    assert 19 < found.df < 38


def test_strata_weight_arms_alike():
    """Arms with other shares of the strata: unweighted medians differ by the strata, weighted ones do not."""
    rng = np.random.default_rng(23)
    strata = np.repeat([0, 1], [1_000, 1_000])
    treated = np.concatenate([np.arange(1_000) >= 800, np.arange(1_000) >= 200])
    values = rng.normal(size=2_000) + 1.5 * strata
    weighted, plain = quantile_effect(values, treated, 0.5, strata=strata), quantile_effect(values, treated, 0.5)
    assert abs(weighted.effect) < 4 * math.sqrt(weighted.variance)
    assert plain.effect > 8 * math.sqrt(plain.variance)


def test_clusters_count_once():
    rng = np.random.default_rng(24)
    values, treated = both(rng.normal(size=60), rng.normal(size=60))
    single = quantile_effect(values, treated, 0.5)
    whole = quantile_effect(np.repeat(values, 10), np.repeat(treated, 10), 0.5, clusters=np.repeat(np.arange(120), 10))
    naive = quantile_effect(np.repeat(values, 10), np.repeat(treated, 10), 0.5)
    assert math.sqrt(whole.variance / single.variance) == pytest.approx(1, abs=0.15)
    assert naive.variance < 0.2 * whole.variance
    assert (whole.df_arms <= 59).all()
    assert whole.df == pytest.approx(1 / np.sum((np.diag(whole.cov) / whole.variance) ** 2 / whole.df_arms))
    assert (whole.means.clusters_control, whole.means.clusters_treatment) == (60, 60)


@pytest.mark.parametrize(("probability", "rows"), [(0.5, 20), (0.9, 100), (0.1, 100), (0.99, 1000)])
def test_too_few_rows_for_a_quantile_are_refused_with_the_number_that_is_enough(probability, rows):
    assert least_rows(probability) == rows
    rng = np.random.default_rng(25)
    with pytest.raises(EstimationError, match="too few for the quantile") as error:
        quantile_effect(*both(rng.normal(size=rows - 1), rng.normal(size=rows)), probability)
    assert f"{rows:,} rows an arm" in str(error.value)
    assert quantile_effect(*both(rng.normal(size=rows), rng.normal(size=rows)), probability).usable


def test_ties_without_spread_around_the_quantile_are_not_usable():
    a = np.repeat([0.0, 5.0, 9.0], [10, 80, 10])
    found = quantile_effect(*both(a, a + 1), 0.5)
    assert not found.usable
    assert found.effect == 1.0
    assert np.isnan(found.cov).all()


def test_coarse_values_are_counted():
    rng = np.random.default_rng(26)
    assert quantile_effect(*both(rng.poisson(20, 200), rng.poisson(20, 200)), 0.5).distinct < 10
    assert quantile_effect(*both(rng.normal(size=200), rng.normal(size=200)), 0.5).distinct > 10


# -- bootstrap -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.9])
def test_resampled_quantiles_have_the_distribution_of_drawn_rows(skewed, probability):
    a, b = skewed
    control, _ = bootstrap_quantiles(*both(a, b), probability, rng=np.random.default_rng(1), reps=20_000)
    rng = np.random.default_rng(2)
    drawn = np.quantile(a[rng.integers(0, len(a), (20_000, len(a)))], probability, axis=1)
    shares = [0.025, 0.25, 0.5, 0.75, 0.975]
    assert np.quantile(control, shares) == pytest.approx(np.quantile(drawn, shares), abs=0.05 * drawn.std())
    assert np.ptp(np.quantile(control, [0.0, 1.0])) > 0


def test_extreme_quantile_of_few_rows_stays_within_the_data():
    values, treated = both(np.arange(10.0), np.arange(10.0))
    control, _ = bootstrap_quantiles(values, treated, 0.999999, rng=np.random.default_rng(0), reps=500)
    assert control.max() <= 9.0
    assert control.min() >= 0.0


def test_percentile_interval_is_that_of_scipy_bootstrap(skewed):
    a, b = skewed
    expected = stats.bootstrap(
        (b, a), lambda x, y, axis: np.median(x, axis=axis) - np.median(y, axis=axis), method="percentile",
        n_resamples=9_999, rng=np.random.default_rng(3),
    ).confidence_interval  # fmt: skip
    found = quantile_bootstrap_test(*both(a, b), 0.5, rng=np.random.default_rng(4), reps=9_999)
    assert found.ci_low == pytest.approx(expected.low, abs=0.1 * found.std_error)
    assert found.ci_high == pytest.approx(expected.high, abs=0.1 * found.std_error)
    assert found.ratio_low < np.median(b) / np.median(a) < found.ratio_high


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_interval_excludes_zero_exactly_when_p_is_below_its_level(alternative):
    rng = np.random.default_rng(27)
    rejected = 0
    for _ in range(200):
        values, treated = both(rng.normal(size=40), rng.normal(0.5 * rng.normal(), 1, size=40))
        found = quantile_bootstrap_test(values, treated, 0.5, rng=rng, reps=199, alternative=alternative)
        assert (found.ci_low > 0 or found.ci_high < 0) == (found.p_value <= 0.05)
        rejected += found.p_value <= 0.05
    assert 20 < rejected < 180


def test_clusters_are_drawn_whole():
    rng = np.random.default_rng(28)
    values, treated = both(rng.normal(size=41), rng.normal(size=41))
    clusters = np.repeat(np.arange(82), 6)
    whole = bootstrap_quantiles(
        np.repeat(values, 6), np.repeat(treated, 6), 0.5, rng=np.random.default_rng(1), reps=4_000, clusters=clusters
    )
    single = bootstrap_quantiles(values, treated, 0.5, rng=np.random.default_rng(2), reps=4_000)
    naive = bootstrap_quantiles(
        np.repeat(values, 6), np.repeat(treated, 6), 0.5, rng=np.random.default_rng(2), reps=4_000
    )
    for arm in (0, 1):
        assert whole[arm].std() == pytest.approx(single[arm].std(), rel=0.08)
        assert naive[arm].std() < 0.7 * whole[arm].std()


def test_strata_keep_their_shares_in_every_resample():
    """Half of the rows are 0 and half 100 +- noise: the resampled median of a stratified arm stays at the gap's edge."""
    rng = np.random.default_rng(29)
    strata = np.tile(np.repeat([0, 1], 50), 2)
    values = rng.normal(size=200) + 100 * strata
    treated = np.arange(200) >= 100
    lower = quantile_bootstrap_test(values, treated, 0.4, rng=np.random.default_rng(1), reps=499, strata=strata)
    assert abs(lower.ci_low) < 3
    assert abs(lower.ci_high) < 3
    control, _ = bootstrap_quantiles(values, treated, 0.45, rng=np.random.default_rng(1), reps=499, strata=strata)
    loose, _ = bootstrap_quantiles(values, treated, 0.45, rng=np.random.default_rng(1), reps=499)
    assert control.max() < 10
    assert loose.max() > 90


def test_ratio_is_absent_where_the_control_is_not_above_zero():
    rng = np.random.default_rng(30)
    values, treated = both(rng.normal(size=40), rng.normal(5, 1, size=40))
    found = quantile_bootstrap_test(values, treated, 0.5, rng=rng, reps=199)
    assert math.isnan(found.ratio_low)
