"""Size of one link from one or several experiments: point, set and heterogeneity.

Letters as in `cpi_experiments.stats.combining.effects`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from cpi_experiments.stats.instruments.fieller import delta_std_error, fieller_set, hull
from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPoint:
    """Size of a link: point, standard error, set and heterogeneity.

    Parameters
    ----------
    value, std_error : float
        KPI per increment; the standard error is infinite where the first stage is too weak for one.
    low, high : float
        Ends of the 95 % set (its piece around the point); both infinite where it is unbounded on any side.
    q, q_p_value : float
        Cochran's Q over experiments and its p-value; NaN for one experiment.
    """

    value: float
    std_error: float
    low: float
    high: float
    q: float = math.nan
    q_p_value: float = math.nan


def link_point(effects: Effects, *, confidence_level: float = 0.95) -> LinkPoint:
    """Point, error and set: Wald and Fieller for one experiment; for several argmin Q and the fixed-effect K-score.

    Parameters
    ----------
    effects : Effects
    confidence_level : float

    References
    ----------
    Design of the K-score: Kleibergen (2002), Econometrica 70; Q: Cochran (1954), Biometrics 10.
    """
    if len(effects) == 1:
        return _one(effects, confidence_level)
    best = _argmin(effects)
    q = float(_q(effects, best))
    p, v = effects.purged(best), effects.v(best)
    spread = effects.xx - (effects.xy - best * effects.xx) ** 2 / v  # variance of the purged first stage
    bread = float(np.sum((p**2 - spread) / v))
    error = math.sqrt(float(np.sum(p**2 / v))) / bread if bread > 0 else math.inf
    low, high = _score_set(effects, best, quantile(0.5 + confidence_level / 2, math.inf))
    q_p = float(special.chdtrc(len(effects) - 1, q))
    return LinkPoint(value=best, std_error=error, low=low, high=high, q=q, q_p_value=q_p)


def _one(effects: Effects, confidence_level: float) -> LinkPoint:
    x, y, xx, xy, yy = (float(a[0]) for a in (effects.x, effects.y, effects.xx, effects.xy, effects.yy))
    critical = quantile(0.5 + confidence_level / 2, float(effects.df[0]))
    low, high = hull(fieller_set(x, y, var_x=xx, var_y=yy, cov=xy, critical=critical))
    if x == 0:
        return LinkPoint(value=math.nan, std_error=math.inf, low=low, high=high)
    return LinkPoint(value=y / x, std_error=delta_std_error(x, y, var_x=xx, var_y=yy, cov=xy), low=low, high=high)


def _q(effects: Effects, t: float | Floats) -> Floats:
    return np.asarray(np.sum(effects.u(t) ** 2 / effects.v(t), axis=-1))


def _scale(effects: Effects) -> float:
    return float(np.sqrt(np.sum(effects.yy + effects.y**2) / np.sum(effects.xx + effects.x**2)))


def _argmin(effects: Effects) -> float:
    """Minimise Q over t = scale * tan(angle), so that far values are reached as well."""
    scale = _scale(effects)
    angles = np.linspace(-1.56, 1.56, 241)
    j = int(np.argmin(_q(effects, scale * np.tan(angles))))
    low, high = angles[max(j - 1, 0)], angles[min(j + 1, len(angles) - 1)]
    found = optimize.minimize_scalar(
        lambda a: float(_q(effects, scale * math.tan(a))),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-11},
    )
    return scale * math.tan(float(found.x))


def _score_set(effects: Effects, start: float, critical: float) -> tuple[float, float]:
    """Piece of the K-score set around ``start``; the line if it reaches infinity, for it goes on at the other end."""
    scale = _scale(effects)

    def excess(angle: float | Floats) -> Floats:
        t = scale * np.tan(angle)
        p, v = effects.purged(t), effects.v(t)
        score, information = np.sum(p * effects.u(t) / v, axis=-1), np.sum(p**2 / v, axis=-1)
        return np.asarray(np.abs(score) - critical * np.sqrt(information))

    origin = math.atan(start / scale)
    ends = []
    for side in (-1, 1):
        grid = np.linspace(origin, side * (math.pi / 2 - 1e-4), 200)
        outside = np.flatnonzero(excess(grid[1:]) > 0)
        if not len(outside):
            return -math.inf, math.inf
        j = int(outside[0])
        found = optimize.brentq(lambda angle: float(excess(angle)), grid[j], grid[j + 1], xtol=1e-13)
        ends.append(scale * math.tan(float(found)))
    return ends[0], ends[1]
