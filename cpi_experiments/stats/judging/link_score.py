"""Scores of one link over its experiments: direction with purged weights, sizes with planned moves.

Letters as in `cpi_experiments.stats.combining.effects`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects

Floats = np.ndarray

#: Largest noise correlation at which a purged first stage tells an inert lever; it is known before the effects are.
TELLING = 0.5


def direction_terms(effects: Effects) -> tuple[Floats, Floats]:
    """Score and information that each experiment adds to "the link has the expected sign", weights purged of noise.

    The weight is the purged first stage where it has the lever's declared sign, else 0; since it is independent of
    the residual under no effect, S / sqrt(V) of any sum is standard normal there for any strength of the first stage.

    Returns
    -------
    scores, information : array, shape (K,)
    """
    weight = np.maximum(effects.sign * effects.purged(0.0), 0) * effects.sign
    v = effects.v(0.0)
    return weight * effects.u(0.0) / v, weight**2 / v


def planned_terms(effects: Effects, t: float, *, side: int) -> tuple[Floats, Floats]:
    """Score and information of each experiment for "the link lies above t" (side +1) or below it (side -1).

    Weights are the planned moves, which are frozen: purged ones change sign far from t.
    """
    weight = effects.sign * effects.move
    v = effects.v(t)
    return side * weight * effects.u(t) / v, weight**2 / v


def spoken_for(effects: Effects, t: float, *, inert_share: float) -> Floats:
    """Say which experiments speak about the link at t: their lever neither was inert nor moved x the wrong way.

    Told from the first stage purged of the residual at t, which is independent of it for any strength: choosing by the
    estimated move itself would choose by the residual as well. Nine levers that move nothing, noise correlation 0.8:
    a 0.8 % test says "above zero" in 3.1 % when chosen by the estimate, in 0.3 % when chosen so.

    Parameters
    ----------
    effects : Effects
    t : float
    inert_share : float
        A lever is inert if its 90 % interval lies within this share of its planned move around zero; asked only where
        the noise correlation is at most `TELLING`, for beyond it the purged first stage of a real link may vanish.

    Returns
    -------
    array of bool, shape (K,)
    """
    half = quantile(0.95, math.inf) * np.sqrt(
        np.maximum(effects.xx - (effects.xy - t * effects.xx) ** 2 / effects.v(t), 0.0)
    )
    moved = effects.sign * effects.purged(t)
    inert = np.maximum(np.abs(moved - half), np.abs(moved + half)) <= inert_share * effects.move
    telling = effects.xy**2 <= TELLING**2 * effects.xx * effects.yy
    return np.asarray((moved + half >= 0) & ~(inert & (moved - half <= 0) & telling))


def direction_score(effects: Effects) -> tuple[float, float]:
    """Score S and information V of all experiments together for "the link has the expected sign".

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> one = Effects(**{name: np.array([value]) for name, value in dict(
    ...     x=3.0, y=0.03, xx=0.04, xy=0.0, yy=1e-4, df=np.inf, sign=1.0, move=3.0).items()})
    >>> S, V = direction_score(one)
    >>> round(S / V**0.5, 6)
    3.0
    """
    scores, information = direction_terms(effects)
    return float(np.sum(scores)), float(np.sum(information))


def planned_score(effects: Effects, t: float, *, side: int) -> tuple[float, float]:
    """Score and information of all experiments together for "the link lies above t" (side +1) or below it (-1)."""
    scores, information = planned_terms(effects, t, side=side)
    return float(np.sum(scores)), float(np.sum(information))


def score_p_value(score: float, information: float) -> float:
    """One-sided p-value of a score; 1 where there is no information."""
    if not information > 0:
        return 1.0
    return float(special.ndtr(-score / math.sqrt(information)))
