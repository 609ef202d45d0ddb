"""Sets for a ratio of effects when part of the numerator may have come about by another way."""

from __future__ import annotations

import itertools
import math

from cpi_experiments.stats.instruments.fieller import Interval, fieller_set


def union_set(
    x: float, y: float, *, var_x: float, var_y: float, cov: float, critical: float, direct: float
) -> tuple[Interval, ...]:
    """Unite the Fieller sets of ``(x, y - a)`` over every direct effect ``a`` with ``|a| <= direct``.

    A ratio t belongs to it exactly if ``|y - t*x| <= direct + critical * sqrt(var_y - 2*t*cov + t**2*var_x)``.

    Parameters
    ----------
    x, y : float
        First stage and reduced form.
    var_x, var_y, cov : float
        Their variances and covariance.
    critical : float
        Quantile of the reduced form's t distribution.
    direct : float
        Largest effect on the numerator, of either sign, that does not come from the denominator; in units of ``y``.

    Returns
    -------
    tuple of (low, high)
        Intervals in rising order; infinite ends allowed.

    References
    ----------
    Conley, Hansen, Rossi (2012), REStat 94, section III.A: union of confidence intervals.

    Examples
    --------
    >>> numbers = {"var_x": 0.01, "var_y": 0.01, "cov": 0.0, "critical": 1.96}
    >>> [(round(low, 4), round(high, 4)) for low, high in union_set(2.0, 1.0, **numbers, direct=0.0)]
    [(0.3946, 0.6151)]
    >>> [(round(low, 4), round(high, 4)) for low, high in union_set(2.0, 1.0, **numbers, direct=0.5)]
    [(0.1509, 0.8806)]
    """

    def inside(t: float) -> bool:
        spread = math.sqrt(max(var_y - 2 * t * cov + t * t * var_x, 0.0))
        return abs(y - t * x) <= direct + critical * spread

    ends = {
        end
        for sign in (-1.0, 1.0)
        for interval in fieller_set(x, y + sign * direct, var_x=var_x, var_y=var_y, cov=cov, critical=critical)
        for end in interval
        if math.isfinite(end)
    }
    edges = [-math.inf, *sorted(ends), math.inf]
    pieces = [(low, high) for low, high in itertools.pairwise(edges) if inside(_between(low, high))]
    return _joined(pieces)


def _between(low: float, high: float) -> float:
    """Return a number between two ends, outside the other where one of them is infinite."""
    if math.isinf(low) and math.isinf(high):
        return 0.0
    if math.isinf(low):
        return high - max(abs(high), 1.0)
    if math.isinf(high):
        return low + max(abs(low), 1.0)
    return low + (high - low) / 2


def _joined(pieces: list[Interval]) -> tuple[Interval, ...]:
    found: list[Interval] = []
    for low, high in pieces:
        if found and found[-1][1] == low:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return tuple(found)
