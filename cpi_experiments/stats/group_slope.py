"""A regression slope whose rows come in groups: leave-one-group-out jackknife (CR3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cpi_experiments.stats.student import p_value as t_p_value

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSlope:
    """Slope of y on x with its jackknife standard error; t with the effective number of groups less one."""

    slope: float
    std_error: float
    statistic: float
    df: float
    p_value: float
    groups: int


def group_slope(x: Array, y: Array, group: Array) -> GroupSlope | None:
    """Regress y on x and a constant; the variance is what leaving out one group at a time changes.

    Parameters
    ----------
    x, y : array, shape (n,)
    group : int array, shape (n,)

    Returns
    -------
    GroupSlope or None
        None with fewer than three groups, or where x does not vary once some group is left out.

    References
    ----------
    MacKinnon, Nielsen, Webb (2023), J. Econometrics 232, section 2 (CR3 as jackknife); Carter, Schnepel, Steigerwald
    (2017), Review of Economics and Statistics 99 (effective groups: one over the sum of squared shares of x's spread).

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    >>> found = group_slope(x, 2 * x + np.array([0.1, -0.1, 0.0, 0.2, -0.2, 0.0]), np.array([0, 0, 1, 1, 2, 2]))
    >>> round(found.slope, 4), round(found.std_error, 4)
    (1.9829, 0.0505)
    """
    code = np.unique(group, return_inverse=True)[1]
    groups = int(code.max(initial=-1)) + 1
    if groups < 3:
        return None
    x, y = x - x.mean(), y - y.mean()
    parts = np.stack([np.bincount(code, weights=w) for w in (np.ones(len(x)), x, y, x * x, x * y)])
    left = parts.sum(axis=1, keepdims=True) - parts
    n, sx, sy, sxx, sxy = left
    spread = sxx - sx**2 / np.maximum(n, 1)
    whole = float(x @ x)
    if not whole > 0 or np.any(n < 2) or np.any(spread <= 1e-10 * whole):
        return None
    slope = float(x @ y) / whole
    moved = (sxy - sx * sy / n) / spread - slope
    std_error = math.sqrt((groups - 1) / groups * float(moved @ moved))
    if not std_error > 0:
        return None
    t, own = slope / std_error, parts[3] / whole
    df = max(1 / float(own @ own) - 1, 1.0)
    return GroupSlope(slope=slope, std_error=std_error, statistic=t, df=df, p_value=t_p_value(t, df), groups=groups)
