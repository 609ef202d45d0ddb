"""What a plain scatter of the experiments' effects would say: a warning beside the honest slope, never used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects

_SCREEN = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class NaiveSlopes:
    """Slopes that take the estimated effects for the true ones; NaN where there are too few.

    Parameters
    ----------
    scatter, scatter_intercept : float
        Least squares of y on x.
    weighted : float
        Through the origin, weights 1 / yy: inverse-variance weighting, the same as two-stage least squares.
    egger : float
        With an intercept, after turning every move to be above zero.
    screened : float
        As ``weighted``, over experiments whose move is significant alone (L0).

    Notes
    -----
    Where moves are no larger than their noise, all tend to the correlation of the noise, not to the link, and more
    experiments make the error surer.
    """

    scatter: float
    scatter_intercept: float
    weighted: float
    egger: float
    screened: float


def naive_slopes(effects: Effects) -> NaiveSlopes:
    """Compute the slopes of a plain scatter.

    References
    ----------
    Peysakhovich, Eckles (2018), arXiv 1701.01140 (screening); Bowden, Davey Smith, Burgess (2015), Int. J.
    Epidemiology 44.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> ones, x = np.ones(4), np.array([1.0, 2, 3, 4])
    >>> found = naive_slopes(Effects(x=x, y=x / 2, xx=ones, xy=ones, yy=ones, df=ones, sign=ones, move=ones))
    >>> round(found.scatter, 6), round(found.weighted, 6), round(found.screened, 6)
    (0.5, 0.5, 0.5)
    """
    x, y, w = effects.x, effects.y, 1 / effects.yy
    scatter, intercept = _line(x, y, np.ones(len(x)))
    strong = x**2 > _SCREEN**2 * effects.xx
    turn = np.where(x < 0, -1.0, 1.0)
    return NaiveSlopes(
        scatter=scatter,
        scatter_intercept=intercept,
        weighted=_through_origin(x, y, w),
        egger=_line(turn * x, turn * y, w)[0],
        screened=_through_origin(x[strong], y[strong], w[strong]),
    )


def _through_origin(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    bread = float(np.sum(w * x * x))
    return float(np.sum(w * x * y)) / bread if bread > 0 else math.nan


def _line(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    centre, height = float(np.average(x, weights=w)), float(np.average(y, weights=w))
    bread = float(np.sum(w * (x - centre) ** 2))
    if len(x) < 3 or not bread > 0:
        return math.nan, math.nan
    slope = float(np.sum(w * (x - centre) * (y - height))) / bread
    return slope, height - slope * centre
