"""Exact tails of counts and the uniformity of p-values, against scipy."""

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.exact_counts import binomial_band, binomial_p_values
from cpi_experiments.stats.uniformity import count_below, uniformity_test


@pytest.mark.parametrize("n", [5, 200, 2_000])
def test_uniformity_is_scipys_exact_kolmogorov_smirnov(n: int) -> None:
    p = np.random.default_rng(n).beta(0.9, 1, n)
    expected = stats.kstest(p, "uniform", method="exact")
    assert uniformity_test(p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-10)


def test_splits_without_a_test_are_left_out_of_uniformity_and_count_as_no_alarm() -> None:
    p = np.array([0.01, np.nan, 0.6, np.nan])
    assert uniformity_test(p) == uniformity_test(np.array([0.01, 0.6]))
    assert (count_below(p, 0.05).count, count_below(p, 0.05).trials) == (1, 4)


@pytest.mark.parametrize(("rate", "trials"), [(0.05, 2_000), (0.01, 2_000), (0.025, 200), (0.5, 3), (0.05, 20_000)])
def test_bands_are_scipys_binomial_quantiles(rate: float, trials: int) -> None:
    low, high = binomial_band(rate, trials)
    assert (low, high) == (stats.binom.ppf(0.0005, trials, rate), stats.binom.ppf(0.9995, trials, rate))
    outside = stats.binom.cdf(low - 1, trials, rate) + stats.binom.sf(high, trials, rate)
    assert outside <= 0.001


@pytest.mark.parametrize(
    ("count", "many", "few"), [(69, False, False), (68, False, True), (133, False, False), (134, True, False)]
)
def test_counts_are_judged_by_the_band(count: int, *, many: bool, few: bool) -> None:
    p = np.concatenate([np.full(count, 0.01), np.full(2_000 - count, 0.5)])
    found = count_below(p, 0.05)
    assert (found.too_many, found.too_few) == (many, few)
    assert found.rate == count / 2_000


def test_two_sided_binomial_tails_are_scipys_doubled() -> None:
    k, n, share = np.array([0, 3, 10, 0, 400]), np.array([10, 10, 10, 0, 1_000]), 0.3
    low, high = stats.binom.cdf(k, n, share), stats.binom.sf(k - 1, n, share)
    expected = np.where(n > 0, np.minimum(2 * np.minimum(low, high), 1), 1.0)
    assert binomial_p_values(k, n, share) == pytest.approx(expected, rel=1e-10)


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(EstimationError, match="no p-value"):
        count_below(np.array([]), 0.05)
    with pytest.raises(EstimationError, match="no p-value"):
        uniformity_test(np.array([np.nan]))
