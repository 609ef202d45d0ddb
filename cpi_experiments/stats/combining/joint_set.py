"""The joint Anderson-Rubin set of independent experiments: every ratio at which all of them together fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.stats.combining.heterogeneity import q_statistic, scale_of
from cpi_experiments.stats.instruments.fieller import LINE
from cpi_experiments.stats.instruments.set_end import end_between

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects
    from cpi_experiments.stats.instruments.fieller import Interval

_GRID = 256
_AROUND = np.concatenate([-np.geomspace(1e-4, 1, 40)[::-1], [0.0], np.geomspace(1e-4, 1, 40)])


def joint_set(effects: Effects, *, at: float, confidence_level: float = 0.95) -> tuple[Interval, ...]:
    """All ratios t with sum(u^2 / v) at most the chi-squared quantile with K degrees of freedom.

    It never covers too little, but it also shrinks where the experiments disagree, and is empty where no single ratio
    fits: a check of the model, not the set to report.

    Parameters
    ----------
    effects : Effects
    at : float
        Ratio of least disagreement.
    confidence_level : float

    Returns
    -------
    tuple of (low, high)
        Intervals in order, rays, the line, or nothing.

    References
    ----------
    Anderson, Rubin (1949), Ann. Math. Stat. 20; Stock, Wright (2000), Econometrica 68.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> ones = np.ones(2)
    >>> two = Effects(x=9 * ones, y=np.array([4.0, 5.0]), xx=0 * ones, xy=0 * ones, yy=ones, df=np.inf * ones,
    ...               sign=ones, move=ones)
    >>> (low, high), = joint_set(two, at=0.5)
    >>> round(low, 3), round(high, 3)
    (0.316, 0.684)
    """
    scale = scale_of(effects)
    most = float(special.chdtri(len(effects), 1 - confidence_level))

    def inside(angle: float) -> bool:
        return float(q_statistic(effects, scale * math.tan(angle))) <= most

    centre = math.atan(at / scale)
    angles = np.unique(
        np.concatenate([np.linspace(-math.pi / 2, math.pi / 2, _GRID, endpoint=False), centre + _AROUND])
    )
    angles = np.sort((angles + math.pi / 2) % math.pi - math.pi / 2 + 1e-9)
    held = q_statistic(effects, scale * np.tan(angles)) <= most
    if held.all():
        return LINE
    if not held.any():
        return ()
    first = int(np.flatnonzero(~held)[0])  # walk once round the circle, from an angle outside
    angles = np.concatenate([angles[first:], angles[: first + 1] + math.pi])
    held = np.concatenate([held[first:], held[: first + 1]])
    turns = np.flatnonzero(held[1:] != held[:-1])
    ends = [end_between(inside, float(angles[i]), float(angles[i + 1])) for i in turns]
    return _ratios(list(zip(ends[::2], ends[1::2], strict=True)), scale)


def _ratios(arcs: list[tuple[float, float]], scale: float) -> tuple[Interval, ...]:
    found: list[Interval] = []
    for start, stop in arcs:
        shift = math.pi * math.floor((start + math.pi / 2) / math.pi)
        low, high = start - shift, stop - shift
        if high <= math.pi / 2:
            found.append((scale * math.tan(low), scale * math.tan(high)))
        else:
            found += [(scale * math.tan(low), math.inf), (-math.inf, scale * math.tan(high - math.pi))]
    return tuple(sorted(found))
