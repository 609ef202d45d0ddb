"""The wild cluster bootstrap against a literal regression version of it."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.arm_means import arm_means
from cpi_experiments.stats.resampling.totals import Totals, totals_of
from cpi_experiments.stats.resampling.wild_bootstrap import turned_sums, wild_cluster_test, wild_p

Array = np.ndarray


class Trial:
    """Rows of unequal clusters; the first half of them is control."""

    def __init__(self, seed: int, clusters: int, effect: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        sizes = np.resize([3, 8, 5, 2, 6], clusters)
        self.cluster = np.repeat(np.arange(clusters), sizes)
        self.treated = self.cluster >= clusters // 2
        self.y = rng.normal(size=clusters)[self.cluster] + rng.normal(size=len(self.cluster)) + effect * self.treated

    def totals(self) -> Totals:
        return totals_of(self.y, np.ones(len(self.y)), self.treated, clusters=self.cluster)


def literal_t(y: Array, trial: Trial) -> float:
    """OLS of rows on a constant and the arm; the variance of the slope leaves one cluster out at a time (CR3)."""
    x = np.column_stack([np.ones(len(y)), trial.treated])
    full = np.linalg.lstsq(x, y, rcond=None)[0][1]
    variance = 0.0
    for arm in (False, True):  # the jackknife of each arm's mean, as `arm_means` has it
        own = np.unique(trial.cluster[trial.treated == arm])
        for g in own:
            keep = trial.cluster != g
            shift = np.linalg.lstsq(x[keep], y[keep], rcond=None)[0][1] - full
            variance += (len(own) - 1) / len(own) * shift**2
    return float(full / math.sqrt(variance))


def literal_p(trial: Trial, patterns: list[tuple[float, ...]], null: float = 0.0) -> float:
    moved = trial.y - null * trial.treated
    observed = literal_t(moved, trial)
    residuals = moved - moved.mean()
    draws = [literal_t(moved.mean() + np.array(v)[trial.cluster] * residuals, trial) for v in patterns]
    return float(np.mean(np.abs(draws) >= abs(observed) - 1e-9))


@pytest.mark.parametrize(("seed", "null"), [(0, 0.0), (1, 0.0), (2, 0.7)])
def test_enumerated_p_is_that_of_the_literal_regression_bootstrap(seed, null):
    trial = Trial(seed, 8, effect=1.0)
    patterns = list(product((1.0, -1.0), repeat=8))
    turned = turned_sums(trial.totals(), rng=np.random.default_rng(0), signs="rademacher")
    assert turned.exact
    assert wild_p(turned, null=null) == pytest.approx(literal_p(trial, patterns, null), abs=1e-12)


def test_webb_draws_come_from_six_points_of_mean_zero_and_variance_one():
    trial = Trial(3, 10, effect=0.5)
    drawn = wild_cluster_test(trial.totals(), rng=np.random.default_rng(5), reps=499)
    points = np.array([-np.sqrt(1.5), -1, -np.sqrt(0.5), np.sqrt(0.5), 1, np.sqrt(1.5)])
    patterns = points[np.random.default_rng(5).integers(0, 6, (499, 10))]
    hits = literal_p(trial, [tuple(v) for v in patterns]) * 499
    assert drawn.p_value == pytest.approx((1 + hits) / 500, abs=1e-12)
    assert not drawn.exact
    assert (points.mean(), np.mean(points**2)) == pytest.approx((0, 1), abs=1e-12)


def test_standard_error_is_the_jackknife_of_arm_means():
    trial = Trial(4, 12)
    means = arm_means(trial.y[:, None], trial.treated, clusters=trial.cluster)
    found = wild_cluster_test(trial.totals(), rng=np.random.default_rng(0))
    assert found.effect == pytest.approx(float(means.effect[0]), rel=1e-12)
    assert found.std_error == pytest.approx(math.sqrt(means.omega[0, 0]), rel=1e-12)


def test_interval_inverts_the_test():
    totals = Trial(5, 12, effect=1.0).totals()
    found = wild_cluster_test(totals, rng=np.random.default_rng(1))
    turned = turned_sums(totals, rng=np.random.default_rng(1))
    tiny = 1e-6 * found.std_error
    assert wild_p(turned, null=found.ci_low - tiny) <= 0.05 < wild_p(turned, null=found.ci_low + tiny)
    assert wild_p(turned, null=found.ci_high + tiny) <= 0.05 < wild_p(turned, null=found.ci_high - tiny)


def test_many_clusters_agree_with_the_jackknife_t():
    trial = Trial(6, 120, effect=0.3)
    found = wild_cluster_test(trial.totals(), rng=np.random.default_rng(2))
    half = (found.ci_high - found.ci_low) / 2
    assert half / found.std_error == pytest.approx(stats.t.ppf(0.975, 118), rel=0.08)


@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_one_sided_tests_look_at_one_side(alternative):
    found = wild_cluster_test(Trial(7, 20, effect=3.0).totals(), rng=np.random.default_rng(3), alternative=alternative)
    assert (found.p_value < 0.01) == (alternative == "greater")
    assert (found.ci_high if alternative == "greater" else -found.ci_low) == math.inf


def test_signs_follow_the_number_of_clusters():
    results = {g: wild_cluster_test(Trial(8, g).totals(), rng=np.random.default_rng(0), reps=99) for g in (10, 12, 16)}
    assert [results[g].resamples for g in (10, 12, 16)] == [99, 4096, 99]
    assert [results[g].exact for g in (10, 12, 16)] == [False, True, False]


def test_strata_and_unknown_signs_are_refused():
    strata = totals_of(np.arange(8.0), np.ones(8), np.tile([False, True], 4), strata=np.repeat([0, 1], 4))
    with pytest.raises(EstimationError, match="not made for strata"):
        wild_cluster_test(strata, rng=np.random.default_rng(0))
    with pytest.raises(EstimationError, match="signs 'normal'"):
        wild_cluster_test(Trial(9, 8).totals(), rng=np.random.default_rng(0), signs="normal")
