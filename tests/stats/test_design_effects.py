"""Variance factors from their definitions: covariance matrices, sums over clusters, sums over periods."""

import math

import numpy as np
import pytest
from scipy import special

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.planning.design_effects import (
    best_control_share,
    cluster_effect,
    mean_autocorrelation,
    repeated_factor,
)
from cpi_experiments.stats.planning.equivalence_power import equivalence_power
from cpi_experiments.stats.planning.event_power import event_probability, log_rank_moments
from cpi_experiments.stats.planning.many_arm_power import dunnett_critical
from cpi_experiments.stats.planning.power import t_test_power
from cpi_experiments.stats.planning.scale_integral import scale_nodes


@pytest.mark.parametrize("sizes", [[5, 5, 5], [1, 9, 20, 2]])
def test_cluster_effect_is_the_variance_of_a_weighted_mean(sizes):
    n, icc = np.array(sizes, dtype=float), 0.2
    variance = np.sum(n**2 * icc + n * (1 - icc)) / n.sum() ** 2  # of the mean over all units, total variance 1
    effect = cluster_effect(n.mean(), icc, size_cv=n.std() / n.mean())
    assert effect / n.sum() == pytest.approx(variance, rel=1e-12)


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 1), (2, 3), (4, 1)])
@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.9])
def test_repeated_factors_follow_from_the_covariance_matrix(before, after, correlation):
    size = before + after
    cov = np.full((size, size), correlation) + (1 - correlation) * np.eye(size)
    later = np.r_[np.zeros(before), np.full(after, 1 / after)]
    assert repeated_factor(before, after, correlation, analysis="post") == pytest.approx(later @ cov @ later)
    if before == 0:
        assert repeated_factor(0, after, correlation) == pytest.approx(later @ cov @ later)
        return
    earlier = np.r_[np.full(before, 1 / before), np.zeros(after)]
    change = later - earlier
    assert repeated_factor(before, after, correlation, analysis="change") == pytest.approx(change @ cov @ change)
    left = later @ cov @ later - (later @ cov @ earlier) ** 2 / (earlier @ cov @ earlier)
    assert repeated_factor(before, after, correlation) == pytest.approx(left)


@pytest.mark.parametrize("periods", [2, 5, 60])
def test_mean_autocorrelation_is_the_mean_over_all_pairs_of_periods(periods):
    distance = np.abs(np.subtract.outer(np.arange(periods), np.arange(periods)))
    pairs = 0.6 ** distance[np.triu_indices(periods, 1)]
    assert mean_autocorrelation(periods, 0.6) == pytest.approx(pairs.mean(), rel=1e-12)
    assert mean_autocorrelation(periods, 0.0) == 0.0


def test_random_periods_share_what_mean_autocorrelation_says():
    """Effects of 12 periods, first-order autoregressive, half assigned at random: variance of the difference."""
    rng = np.random.default_rng(5)
    lags = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    values = rng.standard_normal((40_000, 12)) @ np.linalg.cholesky(0.7**lags).T
    treated = rng.permuted(np.tile([True, False], (40_000, 6)), axis=1)
    difference = np.where(treated, values, -values).sum(axis=1) / 6
    expected = (1 - mean_autocorrelation(12, 0.7)) * 4 / 12
    assert difference.var() == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("treatments", [1, 3])
def test_best_control_share_is_the_minimum(treatments):
    def variance(control):
        return 2.0**2 / control + treatments * 3.0**2 / (1 - control)

    best = best_control_share(2.0, 3.0, treatments=treatments)
    assert variance(best) < min(variance(best - 1e-3), variance(best + 1e-3))


@pytest.mark.parametrize("df", [2.0, 7.0, 300.0, 1e9, math.inf])
def test_scale_nodes_average_a_scaled_chi(df):
    u, weights = scale_nodes(df)
    assert weights.sum() == pytest.approx(1, rel=1e-12)
    assert weights @ u**2 == pytest.approx(1, rel=1e-9)
    below = scale_nodes(df, upper=1.1)[1].sum()
    assert below == pytest.approx(1.0 if math.isinf(df) else special.gammainc(df / 2, df * 1.21 / 2), abs=1e-9)
    assert scale_nodes(df, upper=0.0)[1].sum() == pytest.approx(0.0, abs=1e-9)


def test_equivalence_power_is_that_of_drawn_tests():
    rng = np.random.default_rng(11)
    estimate, scale = rng.standard_normal(400_000), np.sqrt(rng.chisquare(9, 400_000) / 9)
    reach = -special.stdtrit(9, 0.05) * scale
    both = (estimate - reach > -3.1) & (estimate + reach < 2.4)
    assert equivalence_power(3.1, 2.4, 9) == pytest.approx(both.mean(), abs=0.004)
    assert equivalence_power(-1.0, 0.5, 9) == 0.0


def test_several_arms_need_less_than_bonferroni_and_more_than_one_test():
    one, two, many = (dunnett_critical([0.5] * k, 30.0) for k in (1, 2, 5))
    assert one == pytest.approx(-special.stdtrit(30, 0.025), rel=1e-10)
    assert one < two < many < -special.stdtrit(30, 0.005)


def test_t_test_power_reaches_beyond_the_series_of_the_noncentral_t():
    for df, alpha in ((3.0, 1e-6), (3.0, 0.05), (40.0, 1e-15), (900.0, 1e-15)):
        near, far = (t_test_power(shift, df, alpha=alpha) for shift in (24.9999, 25.0001))
        assert 0 < near <= far <= 1
        assert far - near < 1e-4
    assert t_test_power(-30.0, 5.0, alternative="greater") == 0.0
    assert t_test_power(-30.0, 3.0, alternative="greater", critical=-40.0) > 0.1
    assert t_test_power(30.0, 3.0, alternative="greater", critical=-40.0) == 1.0


def test_event_probability_is_its_integral():
    times = 2.0 + 3.0 * (np.arange(20_000) + 0.5) / 20_000
    seen = 0.1 / 0.15 * (1 - np.exp(-0.15 * times))
    assert event_probability(0.1, 2.0, accrual=3.0, loss=0.05) == pytest.approx(seen.mean(), rel=1e-7)
    assert event_probability(0.1, 2.0) == pytest.approx(event_probability(0.1, 2.0, accrual=1e-9), rel=1e-8)


def test_log_rank_moments_are_their_integrals():
    times, step = (np.arange(200_000) + 0.5) * 5e-5 * 1.0, 5e-5
    watched = np.minimum((10.0 - times) / 6.0, 1.0)
    control, treatment = 0.7 * np.exp(-0.35 * times) * watched, 0.3 * np.exp(-0.55 * times) * watched
    expected = 1.5 * treatment / (1.5 * treatment + control)
    e0, e1 = 0.3 * control * step, 0.5 * treatment * step
    found = log_rank_moments((0.3, 0.5), 4.0, accrual=6.0, loss=0.05, treatment_share=0.3, null_ratio=1.5)
    assert found.score == pytest.approx(np.sum(e1 * (1 - expected) - e0 * expected), rel=1e-7)
    assert found.information == pytest.approx(np.sum((e0 + e1) * expected * (1 - expected)), rel=1e-7)
    assert found.variance == pytest.approx(np.sum(e1 * (1 - expected) ** 2 + e0 * expected**2), rel=1e-7)


def test_log_rank_moments_without_effect_are_those_of_schoenfeld():
    found = log_rank_moments((0.02, 0.02), 30.0, accrual=20.0, loss=0.01, treatment_share=0.25)
    seen = event_probability(0.02, 30.0, accrual=20.0, loss=0.01)
    assert found.score == pytest.approx(0.0, abs=1e-15)
    assert found.information == pytest.approx(0.25 * 0.75 * seen, rel=1e-10)
    assert found.variance == pytest.approx(found.information, rel=1e-10)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: cluster_effect(0.5, 0.1), "cluster size 0.5 is not possible"),
        (lambda: cluster_effect(5, 1.1), "intra-cluster correlation 1.1"),
        (lambda: cluster_effect(5, math.nan), "intra-cluster correlation nan"),
        (lambda: cluster_effect(5, 0.1, size_cv=-1), "cluster sizes -1"),
        (lambda: repeated_factor(-1, 1, 0.5), "-1 measurements before"),
        (lambda: repeated_factor(1, 0, 0.5), "0 after the start"),
        (lambda: repeated_factor(1, 1, 1.5), "correlation 1.5 between"),
        (lambda: repeated_factor(1, 1, 0.5, analysis="mean"), "analysis 'mean'"),
        (lambda: repeated_factor(0, 1, 0.5, analysis="change"), "a change needs"),
        (lambda: mean_autocorrelation(1, 0.5), "1 periods is not possible"),
        (lambda: mean_autocorrelation(5, 1.0), "autocorrelation 1 between"),
        (lambda: mean_autocorrelation(5, -0.1), "autocorrelation -0.1 between"),
        (lambda: event_probability(0.0, 1.0), "hazard 0 is not above zero"),
        (lambda: event_probability(0.1, 0.0), "together 0 is not above zero"),
        (lambda: event_probability(0.1, 3.0, accrual=-1.0), "accrual -1 is below zero"),
        (lambda: event_probability(0.1, 3.0, loss=-1.0), "loss -1 is below zero"),
        (lambda: log_rank_moments((0.1, 0.0), 1.0), "hazard 0 is not above zero"),
        (lambda: log_rank_moments((0.1, 0.1), 1.0, treatment_share=0.0), "treatment share of 0"),
        (lambda: log_rank_moments((0.1, 0.1), 0.0), "together 0 is not above zero"),
        (lambda: equivalence_power(3, 3, 10, alpha=0.5), "alpha 0.5 of each"),
        (lambda: dunnett_critical([], 10.0), "are not between 0 and 1"),
        (lambda: dunnett_critical([1.0], 10.0), "are not between 0 and 1"),
        (lambda: dunnett_critical([0.5], 10.0, alpha=1.0), "alpha 1 is not between"),
    ],
)
def test_what_has_no_factor_is_refused(call, found):
    with pytest.raises(DesignError, match=found):
        call()
