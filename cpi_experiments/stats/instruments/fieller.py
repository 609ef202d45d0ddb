"""The Anderson-Rubin set of a ratio of effects (Fieller's set): always valid, however weak the first stage."""

from __future__ import annotations

import math

Interval = tuple[float, float]
LINE: tuple[Interval, ...] = ((-math.inf, math.inf),)


def fieller_set(x: float, y: float, *, var_x: float, var_y: float, cov: float, critical: float) -> tuple[Interval, ...]:
    """Solve ``(y - t*x)**2 <= critical**2 * (var_y - 2*t*cov + t**2*var_x)`` for t.

    Parameters
    ----------
    x, y : float
        First stage and reduced form.
    var_x, var_y, cov : float
        Their variances and covariance.
    critical : float
        Quantile of the reduced form's t distribution; with it the set excludes 0 exactly when the test of the
        reduced form rejects.

    Returns
    -------
    tuple of (low, high)
        One interval; two rays (first stage not distinguishable from 0, ratio bounded away from a gap); or the line.

    References
    ----------
    Anderson, Rubin (1949), Ann. Math. Stat. 20; Fieller (1954), JRSS B 16.

    Examples
    --------
    >>> (low, high), = fieller_set(2.0, 1.0, var_x=0.01, var_y=0.01, cov=0.0, critical=1.96)
    >>> round(low, 4), round(high, 4)
    (0.3946, 0.6151)
    >>> fieller_set(0.1, 0.1, var_x=1.0, var_y=1.0, cov=0.0, critical=1.96)
    ((-inf, inf),)
    """
    size_x, size_y = (max(abs(x), math.sqrt(var_x)) or 1.0), (max(abs(y), math.sqrt(var_y)) or 1.0)
    a = (x / size_x) ** 2 - critical**2 * var_x / size_x / size_x  # without units: fourth powers leave the doubles
    b = (x / size_x) * (y / size_y) - critical**2 * cov / size_x / size_y
    c = (y / size_y) ** 2 - critical**2 * var_y / size_y / size_y
    unit = size_y / size_x
    return tuple((low * unit, high * unit) for low, high in _solve(a, b, c))


def _solve(a: float, b: float, c: float) -> tuple[Interval, ...]:
    """Solve ``a*t**2 - 2*b*t + c <= 0``, where at least one t solves it if ``a > 0``."""
    if a == 0:
        return _half_line(b, c)
    root = b * b - a * c
    if a < 0 and root <= 0:
        return LINE
    r = math.sqrt(max(root, 0.0))
    big = b + math.copysign(r, b)  # the root without cancellation; the other follows from the product c / a
    ends = sorted((big / a, c / big if big else -big / a))
    if a > 0:
        return ((ends[0], ends[1]),)
    return ((-math.inf, ends[0]), (ends[1], math.inf))


def _half_line(b: float, c: float) -> tuple[Interval, ...]:
    if b == 0:
        return LINE if c <= 0 else ()
    edge = c / (2 * b)
    return ((edge, math.inf),) if b > 0 else ((-math.inf, edge),)


def hull(intervals: tuple[Interval, ...]) -> Interval:
    """Smallest interval that holds the set; NaN ends if it is empty.

    Examples
    --------
    >>> hull(((-math.inf, -1.0), (2.0, math.inf)))
    (-inf, inf)
    """
    if not intervals:
        return math.nan, math.nan
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def breakdown(y: float, var_y: float, *, critical: float) -> float:
    """Largest share of the observed lift that may be direct before "not zero" is lost.

    ``max(|y| - critical * sqrt(var_y), 0) / |y|``: the breakdown point of the union of confidence sets over direct
    effects up to that share.

    References
    ----------
    Conley, Hansen, Rossi (2012), REStat 94: plausibly exogenous.

    Examples
    --------
    >>> round(breakdown(3.0, 1.0, critical=1.96), 4)
    0.3467
    """
    if y == 0:
        return 0.0
    return max(abs(y) - critical * math.sqrt(var_y), 0.0) / abs(y)


def delta_std_error(x: float, y: float, *, var_x: float, var_y: float, cov: float) -> float:
    """Delta-method standard error of ``y / x``; shown, never used to decide.

    Examples
    --------
    >>> round(delta_std_error(2.0, 1.0, var_x=0.01, var_y=0.01, cov=0.0), 5)
    0.0559
    """
    theta = y / x
    return math.sqrt(max(var_y - 2 * theta * cov + theta**2 * var_x, 0.0)) / abs(x)
