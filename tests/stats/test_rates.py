"""Counts: Garwood's published interval, its exact coverage, and the cost per customer that follows from it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.rates import cost_per_count, poisson_interval


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (10, 4.7954, 18.3904), (20, 12.2165, 30.8884)]
)
def test_interval_equals_the_published_table(count, low, high):
    got = poisson_interval(np.array([count]))
    assert got[0][0] == pytest.approx(low, abs=5e-5)
    assert got[1][0] == pytest.approx(high, abs=5e-5)


def test_interval_never_covers_less_than_its_level():
    counts = np.arange(400)
    low, high = poisson_interval(counts)
    means = np.linspace(0.2, 150, 400)
    inside = (low[None] <= means[:, None]) & (means[:, None] <= high[None])
    coverage = (stats.poisson.pmf(counts[None], means[:, None]) * inside).sum(axis=1)
    assert coverage.min() >= 0.95 - 1e-9
    assert coverage.mean() < 0.98


def test_cost_interval_covers_the_cost_at_the_expected_count():
    rng = np.random.default_rng(7)
    expected, spend = 25.0, 5000.0
    counts = rng.poisson(expected, 4000)
    counts = counts[counts > 0]
    _, low, high = cost_per_count(np.full(len(counts), spend), counts)
    coverage = np.mean((low <= spend / expected) & (spend / expected <= high))
    assert 0.945 < coverage < 0.98


@pytest.mark.parametrize(
    ("spend", "counts", "says"), [([1.0], [0], "1 of 1 groups won nobody"), ([-1.0], [3], "spent is negative")]
)
def test_costs_that_do_not_exist_are_refused(spend, counts, says):
    with pytest.raises(EstimationError, match=says):
        cost_per_count(np.array(spend), np.array(counts))


@pytest.mark.parametrize("counts", [[-1], [2.5]])
def test_counts_are_whole_and_not_negative(counts):
    with pytest.raises(EstimationError, match="negative or not whole"):
        poisson_interval(np.array(counts))
