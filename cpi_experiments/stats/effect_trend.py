"""Does the effect of a treatment grow or fade with time: one interaction, tested by units."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cpi_experiments.stats.student import p_value as t_p_value

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectTrend:
    """Change of an effect per unit of time.

    Parameters
    ----------
    slope : float
        Outcome per unit of time.
    statistic, df, p_value : float
        Score test of no change, with t(groups - 1).
    """

    slope: float
    statistic: float
    df: float
    p_value: float


def effect_trend(values: Array, treated: Array, time: Array, day: Array, group: Array) -> EffectTrend | None:
    """Test whether the effect changes with time, given day effects that both arms share.

    The model without a change is ``value = day + slope * time + effect * treated``; the score of ``treated * time``,
    after the others are taken out, is added up by independent group and compared with its own spread.

    Parameters
    ----------
    values : array, shape (n,)
    treated : bool array, shape (n,)
    time : array, shape (n,)
        What the effect may change with, such as days since the unit's first one.
    day : int array, shape (n,)
        Codes of calendar days, each an intercept.
    group : int array, shape (n,)
        Independent units (or clusters); rows of one group may be related in any way.

    Returns
    -------
    EffectTrend or None
        None where time does not vary within the treated beyond the days, or fewer than two groups are left.

    References
    ----------
    Frisch, Waugh (1933); Cameron, Miller (2015), J. Human Resources 50 (sums by cluster, G / (G - 1)).

    Examples
    --------
    >>> day = np.repeat(np.arange(4), 4)
    >>> treated = np.tile([False, False, True, True], 4)
    >>> y = 1.0 * day + treated * (4.0 - day) + np.tile([0.1, -0.1, -0.1, 0.1], 4)
    >>> found = effect_trend(y, treated, day.astype(float), day, np.arange(16))
    >>> round(found.slope, 6), found.p_value < 0.01
    (-1.0, True)
    """
    if len(values) < 2:
        return None
    code = np.unique(day, return_inverse=True)[1]
    size = np.bincount(code)
    a = treated.astype(float)
    columns = np.stack([a * time, a, time, values], axis=1)
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-300)
    columns = columns / scale
    means = np.stack([np.bincount(code, weights=column) / size for column in columns.T], axis=1)
    columns = columns - means[code]
    others = columns[:, 1:3]
    fitted = np.linalg.lstsq(others, columns[:, [0, 3]], rcond=1e-10)[0]
    rest = columns[:, [0, 3]] - others @ fitted
    spread = float(rest[:, 0] @ rest[:, 0])
    groups = np.unique(group, return_inverse=True)[1]
    n_groups = int(groups.max()) + 1
    if n_groups < 2 or spread <= 1e-12 * float(columns[:, 0] @ columns[:, 0]) or spread <= 0:
        return None
    scores = np.bincount(groups, weights=rest[:, 0] * rest[:, 1])
    noise = math.sqrt(n_groups / (n_groups - 1) * float(scores @ scores))
    if not noise > 0:
        return None
    t = float(scores.sum()) / noise
    slope = float(scores.sum()) / spread * scale[3] / scale[0]
    return EffectTrend(slope=float(slope), statistic=t, df=n_groups - 1.0, p_value=t_p_value(t, n_groups - 1.0))
