"""Shares: published intervals, exact coverage, and clusters that the plain interval would get wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.cluster_means import sum_clusters
from cpi_experiments.stats.proportions import clustered_wilson, effective_trials, wilson


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_equals_newcombe_1998(hits, n, low, high):
    got = wilson(np.array([hits]), np.array([n]))
    assert got[0][0] == pytest.approx(low, abs=5e-5)
    assert got[1][0] == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_equals_scipy(level):
    hits, n = np.array([0, 3, 17, 40]), np.array([40, 40, 41, 40])
    low, high = wilson(hits, n, confidence_level=level)
    for i in range(4):
        other = stats.binomtest(int(hits[i]), int(n[i])).proportion_ci(level, method="wilson")
        assert (low[i], high[i]) == pytest.approx((other.low, other.high), abs=1e-12)


@pytest.mark.parametrize("n", [10, 50, 300])
def test_wilson_holds_its_level_on_average_over_shares(n):
    hits = np.arange(n + 1)
    low, high = wilson(hits, np.full(n + 1, n))
    shares = np.linspace(0.02, 0.98, 97)
    inside = (low[None] <= shares[:, None]) & (shares[:, None] <= high[None])
    coverage = (stats.binom.pmf(hits[None], n, shares[:, None]) * inside).sum(axis=1)
    assert 0.94 < coverage.mean() < 0.965
    assert coverage.min() > 0.83  # Newcombe 1998: Wilson's least coverage


@pytest.mark.parametrize(("hits", "n"), [([1], [0]), ([3], [2]), ([-1], [5])])
def test_impossible_counts_are_refused(hits, n):
    with pytest.raises(EstimationError, match="a share needs trials"):
        wilson(np.array(hits), np.array(n))


def answers_by_customer(rng, *, customers=60, spread=0.7):
    """Shares differ by customer; so do the numbers of answers. The expected share is 0.3."""
    share = rng.beta(0.3 / spread, 0.7 / spread, customers)
    sizes = rng.integers(1, 12, customers)
    codes = np.repeat(np.arange(customers), sizes)
    return (rng.random(len(codes)) < share[codes]).astype(float), codes


def test_clustered_wilson_covers_where_the_plain_one_does_not():
    rng = np.random.default_rng(20260101)
    reps, hit, plain = 1500, 0, 0
    for _ in range(reps):
        y, codes = answers_by_customer(rng)
        sums = sum_clusters(y, codes)
        low, high = clustered_wilson(sums.mean, sums.n, variance=sums.variance, clusters=sums.clusters)
        hit += bool(low[0] <= 0.3 <= high[0])
        low, high = wilson(np.array([y.sum()]), np.array([len(y)]))
        plain += bool(low[0] <= 0.3 <= high[0])
    low, high = stats.binom.ppf([5e-7, 1 - 5e-7], reps, 0.95) / reps
    assert low <= hit / reps <= high
    assert plain / reps < 0.80


def test_effective_number_never_exceeds_the_answers_and_never_one_a_customer_without_spread():
    got = effective_trials(
        np.array([0.5, 0.0]), np.array([100.0, 60.0]), variance=np.array([1e-9, 0.0]), clusters=np.array([50.0, 20.0])
    )
    assert got.tolist() == [100.0, 20.0]


def test_one_cluster_has_no_interval():
    low, high = clustered_wilson(
        np.array([0.5]), np.array([9.0]), variance=np.array([np.nan]), clusters=np.array([1.0])
    )
    assert np.isnan([low[0], high[0]]).all()


def test_without_repeats_the_clustered_interval_is_wilson_with_t():
    y = np.repeat([0.0, 1.0], [700, 300])
    sums = sum_clusters(y)
    got = clustered_wilson(sums.mean, sums.n, variance=sums.variance, clusters=sums.clusters)
    plain = wilson(np.array([300.0]), np.array([1000.0]))
    assert np.array(got).ravel() == pytest.approx(np.array(plain).ravel(), abs=2e-4)
