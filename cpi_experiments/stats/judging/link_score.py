"""Scores of one link over its experiments: direction with purged weights, sizes with planned moves, e-values.

Letters as in `cpi_experiments.stats.combining.effects`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects


def direction_score(effects: Effects) -> tuple[float, float]:
    """Score S and information V for "the link has the expected sign", weights purged of noise.

    The weight is the purged first stage where it has the lever's declared sign, else 0; since it is independent of
    the residual under no effect, S / sqrt(V) is standard normal there for any strength of the first stage.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> one = Effects(**{name: np.array([value]) for name, value in dict(
    ...     x=3.0, y=0.03, xx=0.04, xy=0.0, yy=1e-4, df=np.inf, sign=1.0, move=3.0).items()})
    >>> S, V = direction_score(one)
    >>> round(S / V**0.5, 6)
    3.0
    """
    weight = np.maximum(effects.sign * effects.purged(0.0), 0) * effects.sign
    v = effects.v(0.0)
    return float(np.sum(weight * effects.u(0.0) / v)), float(np.sum(weight**2 / v))


def planned_score(effects: Effects, t: float, *, side: int) -> tuple[float, float]:
    """Score and information for "the link lies above t" (side +1) or below it (side -1), planned-move weights."""
    weight = effects.sign * effects.move
    v = effects.v(t)
    return side * float(np.sum(weight * effects.u(t) / v)), float(np.sum(weight**2 / v))


def score_p_value(score: float, information: float) -> float:
    """One-sided p-value of a score; 1 where there is no information."""
    if not information > 0:
        return 1.0
    return float(special.ndtr(-score / math.sqrt(information)))


def mixture_e_value(score: float, information: float, *, scale: float) -> float:
    """One-sided normal-mixture e-value with a half-normal prior of the given scale (frozen: the SESOI).

    ``2 sqrt(l / (V + l)) exp(S^2 / (2 (V + l))) Phi(S / sqrt(V + l))`` with ``l = scale^-2``.

    References
    ----------
    Howard, Ramdas, McAuliffe, Sekhon (2021), Ann. Stat. 49, one-sided normal mixture.

    Examples
    --------
    >>> round(mixture_e_value(0.0, 10.0, scale=1.0), 4)
    0.3015
    """
    rate = scale**-2
    log_e = (
        math.log(2)
        + 0.5 * math.log(rate / (information + rate))
        + score**2 / (2 * (information + rate))
        + float(special.log_ndtr(score / math.sqrt(information + rate)))
    )
    return math.exp(min(log_e, 700.0))
