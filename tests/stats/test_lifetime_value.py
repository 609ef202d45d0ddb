"""Projected lifetime value: the published margin multiples, the delta method, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.lifetime_value import projected_value


def of(customers: np.ndarray, **settings):
    """Project from one row a customer: margin, periods, periods with a next one, those kept."""
    return projected_value(customers.sum(axis=0), customers.T @ customers, len(customers), **settings)


@pytest.mark.parametrize(
    ("retention", "discount", "multiple"),
    [(0.6, 0.10, 1.20), (0.7, 0.10, 1.75), (0.8, 0.10, 2.67), (0.9, 0.10, 4.50), (0.9, 0.16, 3.46), (0.6, 0.14, 1.11)],
)
def test_margin_multiples_equal_gupta_and_lehmann(retention, discount, multiple):
    customers = np.array([[100.0, 10.0, 10.0, 10 * retention]] * 5)
    got = of(customers, discount=discount)
    assert got.value == pytest.approx(10 * multiple, abs=0.05)
    assert (got.margin, got.retention) == pytest.approx((10.0, retention))


def lives(rng, n=400, retention=0.8, margin=10.0, periods=12):
    """Customers who stay with one probability, watched for some periods; margins differ by customer."""
    life = np.minimum(rng.geometric(1 - retention, n), periods)
    watched = np.minimum(life, periods - 1)
    kept = np.where(life == periods, periods - 1, life - 1)
    own = rng.gamma(4, margin / 4, n)
    return np.column_stack([own * life, life, watched, kept]).astype(float)


def test_delta_method_equals_the_jackknife():
    customers = lives(np.random.default_rng(1))
    n = len(customers)
    got = of(customers, discount=0.02)
    left_out = np.array([of(np.delete(customers, i, axis=0), discount=0.02).value for i in range(n)])
    jackknife = np.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2))
    assert got.std_error == pytest.approx(jackknife, rel=0.02)


def test_interval_covers():
    rng = np.random.default_rng(8)
    true = 10 * 0.8 / (1.02 - 0.8)
    found = [of(lives(rng), discount=0.02) for _ in range(1500)]
    coverage = np.mean([each.ci_low <= true <= each.ci_high for each in found])
    low, _ = stats.binom.ppf([5e-7, 1 - 5e-7], 1500, 0.95) / 1500
    assert low <= coverage <= 0.97


@pytest.mark.parametrize(
    ("customers", "discount", "says"),
    [
        ([[10.0, 2, 2, 2]] * 3, 0.0, r"retention 1 is not below 1 \+ discount = 1"),
        ([[10.0, 2, 1, 0]] * 3, -0.1, "discount -0.1 is not a rate"),
        ([[10.0, 2, 0, 0]] * 3, 0.1, "3 customers with 0 periods"),
        ([[10.0, 2, 1, 1]], 0.1, "1 customers with 1 periods"),
    ],
)
def test_projections_without_a_limit_are_refused(customers, discount, says):
    with pytest.raises(EstimationError, match=says):
        of(np.array(customers), discount=discount)
