"""Ranges of what less churn keeps: over the range of the churn, and together with that of the value of a customer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.stats.kept import kept_by_less_churn
from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from cpi_experiments.stats.instruments.fieller import Interval

#: Points at which a function of the churn is looked at between the ends of its range.
_POINTS = 129


def kept_over(churn: Interval, *, reduction: float, periods: int, discount: float = 0.0) -> tuple[Interval, Interval]:
    """Range of customers kept and of periods kept while the churn runs through its interval.

    Both first rise and then fall with the churn, so the ends of the interval alone would not do.

    Examples
    --------
    >>> customers, _ = kept_over((0.08, 0.12), reduction=0.2, periods=12)
    >>> [round(each, 4) for each in customers]
    [0.0822, 0.0855]
    """
    found = [
        kept_by_less_churn(float(c), reduction=reduction, periods=periods, discount=discount)
        for c in np.linspace(*churn, _POINTS)
    ]
    customers, spans = [each.customers for each in found], [each.periods for each in found]
    return (min(customers), max(customers)), (min(spans), max(spans))


def product_ends(
    factor: float,
    ends: Interval,
    value: float,
    *,
    std_error: float,
    df: float = math.inf,
    correlation: float = 0.0,
    confidence_level: float = 0.95,
) -> Interval:
    """Interval of a product of two positive estimates from the interval of one and the error of the other (MOVER).

    Parameters
    ----------
    factor, ends : float, (float, float)
        Above zero.
    value, std_error, df : float
        The other factor, above zero; its interval is symmetric on the log scale.
    correlation : float
        Of the two estimates.

    References
    ----------
    Zou, Huang, Zhang (2009), Comput. Stat. Data Anal. 53 (MOVER on the log scale).

    Examples
    --------
    >>> [round(each, 3) for each in product_ends(2.0, (2.0, 2.0), 3.0, std_error=0.3)]
    [4.932, 7.299]
    """
    spread = quantile(0.5 + confidence_level / 2, df) * std_error / value
    down, up = math.log(factor / ends[0]) if ends[0] > 0 else math.inf, math.log(ends[1] / factor)
    low = -_joined(down, spread, correlation)
    high = _joined(up, spread, correlation)
    return factor * value * math.exp(low), factor * value * math.exp(high)


def _joined(a: float, b: float, correlation: float) -> float:
    return math.inf if math.isinf(a) else math.sqrt(max(a * a + b * b + 2 * correlation * a * b, 0.0))
