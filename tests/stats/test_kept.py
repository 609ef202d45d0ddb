"""What less churn keeps: by counting survivors, by numerical derivatives, and ranges with a coverage."""

import math

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.kept import kept_by_less_churn
from cpi_experiments.stats.kept_range import kept_over, product_ends


@pytest.mark.parametrize(
    ("churn", "reduction", "periods", "discount"),
    [(0.02, 0.2, 12, 0.0), (0.3, 0.5, 4, 0.01), (1.0, 0.1, 2, 0.0), (0.0, 0.2, 3, 0.0)],
)
def test_kept_customers_are_counted_period_by_period(churn, reduction, periods, discount):
    here, better, total = 1.0, 1.0, 0.0
    for t in range(1, periods + 1):
        here, better = here * (1 - churn), better * (1 - churn * (1 - reduction))
        total += (better - here) / (1 + discount) ** t
    kept = kept_by_less_churn(churn, reduction=reduction, periods=periods, discount=discount)
    assert kept.customers == pytest.approx(better - here, abs=1e-14)
    assert kept.periods == pytest.approx(total, abs=1e-14)


@pytest.mark.parametrize("churn", [0.01, 0.1, 0.4])
def test_derivatives_are_those_of_small_steps(churn):
    step = 1e-6
    low, high = (kept_by_less_churn(churn + d, reduction=0.2, periods=9, discount=0.02) for d in (-step, step))
    kept = kept_by_less_churn(churn, reduction=0.2, periods=9, discount=0.02)
    assert kept.d_customers == pytest.approx((high.customers - low.customers) / (2 * step), rel=1e-6)
    assert kept.d_periods == pytest.approx((high.periods - low.periods) / (2 * step), rel=1e-6)


@pytest.mark.parametrize(
    "numbers", [{"churn": 2.0}, {"churn": -0.1}, {"reduction": 0}, {"reduction": 20}, {"periods": 0}, {"discount": -1}]
)
def test_numbers_outside_their_range_are_refused(numbers):
    with pytest.raises(EstimationError):
        kept_by_less_churn(**{"churn": 0.1, "reduction": 0.2, "periods": 3} | numbers)


def test_the_range_holds_the_peak_between_its_ends():
    """Kept customers rise and fall with churn: the largest number may lie inside."""
    (low, high), _ = kept_over((0.05, 0.2), reduction=0.2, periods=12)
    ends = [kept_by_less_churn(c, reduction=0.2, periods=12).customers for c in (0.05, 0.2)]
    assert low == pytest.approx(min(ends))
    assert high > max(ends)


def test_a_product_of_two_lognormals_is_exact():
    """Both ranges symmetric on the log scale: the product's is the root of the sum of squares."""
    ends = (2 * math.exp(-0.3), 2 * math.exp(0.3))
    low, high = product_ends(2.0, ends, 5.0, std_error=5 * 0.4 / 1.959963984540054)
    assert (low, high) == pytest.approx((10 * math.exp(-0.5), 10 * math.exp(0.5)), rel=1e-9)
    low, high = product_ends(2.0, ends, 5.0, std_error=5 * 0.4 / 1.959963984540054, correlation=1.0)
    assert (low, high) == pytest.approx((10 * math.exp(-0.7), 10 * math.exp(0.7)), rel=1e-9)


def test_a_factor_that_may_be_nothing_has_no_lower_end_above_zero():
    low, high = product_ends(2.0, (0.0, 3.0), 5.0, std_error=0.1)
    assert low == 0
    assert np.isfinite(high)


@pytest.mark.parametrize(("periods", "discount"), [(2.5, 0.0), (12, 5.0), (12, -0.1)])
def test_half_periods_and_percent_discounts_are_refused(periods, discount):
    with pytest.raises(EstimationError, match="Periods are whole"):
        kept_by_less_churn(0.03, reduction=0.2, periods=periods, discount=discount)
