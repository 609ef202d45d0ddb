"""What a customer is worth from today on, if margin and retention stay as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.student import quantile

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimeValue:
    """A projected lifetime value with its parts.

    Parameters
    ----------
    value, std_error, ci_low, ci_high : float
        Money per customer, today's worth of all later periods.
    margin, retention : float
        Margin of an active customer and period; share of them that is active in the next one.
    """

    value: float
    std_error: float
    ci_low: float
    ci_high: float
    margin: float
    retention: float


def projected_value(
    totals: Floats, products: Floats, n: int, *, discount: float, confidence_level: float = 0.95
) -> LifetimeValue:
    """Project the margin of a customer over all later periods: ``m r / (1 + d - r)``.

    The estimand is the value of a customer who is active now, this period's margin left out, when every active
    customer stays with probability r and brings m a period. The interval is the delta method's over independent
    customers; it says how well m and r are known, not whether they will last.

    Parameters
    ----------
    totals : float array, shape (4,)
        Sums over customers of: margin, active periods, active periods with a next one, those followed by activity.
    products : float array, shape (4, 4)
        Sums over customers of the products of the same four.
    n : int
        Customers.
    discount : float
        Rate of interest d per period, from 0 (0.01 is 1 %).
    confidence_level : float

    Raises
    ------
    EstimationError
        If there is no period or no customer to estimate from, if the rate is negative, or if retention is not below
        ``1 + d``: the sum has no limit then.

    References
    ----------
    Gupta, Lehmann (2003), J. Interactive Marketing 17, 9-24; Gupta et al. (2006), J. Service Research 9, 139-155.

    Examples
    --------
    >>> totals = np.array([300.0, 30.0, 20.0, 16.0])
    >>> products = np.outer(totals, totals) / 10
    >>> round(projected_value(totals, products, 10, discount=0.01).value, 6)
    38.095238
    """
    margin_sum, active, watched, kept = (float(part) for part in totals)
    if n < 2 or active <= 0 or watched <= 0:
        raise EstimationError(
            f"{n} customers with {watched:g} periods that have a next one are too few for a projection",
            advice="Give at least two complete periods and two customers.",
        )
    if not 0 <= discount < 1:
        raise EstimationError(f"discount {discount:g} is not a rate from 0", advice="Write 0.01 for 1 % per period.")
    m, r = margin_sum / active, kept / watched
    if r >= 1 + discount:
        raise EstimationError(
            f"retention {r:g} is not below 1 + discount = {1 + discount:g}: the projected value has no limit",
            advice="Give a discount above zero, or count longer until somebody leaves.",
        )
    gap = 1 + discount - r
    factor, slope = r / gap, m * (1 + discount) / gap**2
    # each customer's influence: factor (M_i - m k_i) / sum k + slope (b_i - r a_i) / sum a
    weights = np.array([factor / active, -factor * m / active, -slope * r / watched, slope / watched])
    variance = n / (n - 1) * max(float(weights @ products @ weights), 0.0)
    std_error = math.sqrt(variance)
    half = quantile(0.5 + confidence_level / 2, n - 1) * std_error
    value = m * factor
    return LifetimeValue(
        value=value, std_error=std_error, ci_low=value - half, ci_high=value + half, margin=m, retention=r
    )
