"""Means by customer: Student's sleep data, statsmodels' clustered errors, coverage, and constant answers."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from cpi_experiments.stats.cluster_means import mean_interval, sum_clusters

SLEEP = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_students_own_sleep_data():
    sums = sum_clusters(SLEEP)
    low, high = mean_interval(sums)
    assert sums.mean[0] == pytest.approx(2.33)
    assert (low[0], high[0]) == pytest.approx((0.8976775, 3.7623225), abs=5e-8)  # R: t.test(extra)


def test_clustered_variance_equals_statsmodels():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 40, 500)
    y = rng.normal(size=40)[codes] + rng.normal(size=500) + 1e6
    fit = sm.OLS(y, np.ones(500)).fit(cov_type="cluster", cov_kwds={"groups": codes})
    sums = sum_clusters(y, codes)
    assert sums.mean[0] == pytest.approx(fit.params[0], rel=1e-12)
    assert sums.variance[0] == pytest.approx(fit.bse[0] ** 2, rel=1e-7)


def test_interval_covers_where_rows_would_be_taken_as_independent_in_vain():
    rng = np.random.default_rng(4)
    reps, hits, naive = 2000, 0, 0
    for _ in range(reps):
        sizes = rng.integers(1, 8, 50)
        codes = np.repeat(np.arange(50), sizes)
        y = 3 + rng.normal(size=50)[codes] + rng.normal(size=len(codes))
        low, high = mean_interval(sum_clusters(y, codes))
        hits += bool(low[0] <= 3 <= high[0])
        low, high = mean_interval(sum_clusters(y))
        naive += bool(low[0] <= 3 <= high[0])
    low, high = stats.binom.ppf([5e-7, 1 - 5e-7], reps, 0.95) / reps
    assert low <= hits / reps <= high
    assert naive / reps < 0.85


def test_promoter_score_interval_covers():
    rng = np.random.default_rng(6)
    y = rng.choice([100.0, 0.0, -100.0], (3000, 80), p=[0.5, 0.3, 0.2])
    mean, half = y.mean(axis=1), stats.t.ppf(0.975, 79) * y.std(axis=1, ddof=1) / np.sqrt(80)
    low, high = np.array([np.ravel(mean_interval(sum_clusters(row), allowed=(-100.0, 100.0))) for row in y[:40]]).T
    assert low == pytest.approx(mean[:40] - half[:40])
    assert high == pytest.approx(mean[:40] + half[:40])
    coverage = np.mean(np.abs(mean - 30) <= half)
    band = stats.binom.ppf([5e-7, 1 - 5e-7], 3000, 0.95) / 3000
    assert band[0] <= coverage <= band[1]


def test_equal_answers_leave_room_for_those_not_seen():
    low, high = mean_interval(sum_clusters(np.full(20, 5.0)), allowed=(1.0, 5.0))
    hidden = 1 - 0.05 ** (1 / 20)
    assert (low[0], high[0]) == pytest.approx((5 - 4 * hidden, 5.0))
    # with a share `hidden` of answers 1, twenty answers of 5 happen with a chance of 5%
    assert (1 - hidden) ** 20 == pytest.approx(0.05)


def test_equal_values_without_bounds_have_no_interval():
    assert np.isnan(mean_interval(sum_clusters(np.full(20, 0.1)))).all()
    assert np.isnan(mean_interval(sum_clusters(np.array([3.0])))).all()
    assert np.isnan(mean_interval(sum_clusters(np.array([1.0, 2.0]), np.array([7, 7])), allowed=(0.0, 9.0))).all()


def test_interval_stays_on_the_scale():
    low, high = mean_interval(sum_clusters(np.array([5.0, 5.0, 4.0])), allowed=(1.0, 5.0))
    assert high[0] == 5.0
    assert 1.0 <= low[0] < 4.67
