"""Size of one link from one or several experiments: point, set and heterogeneity.

Letters as in `cpi_experiments.stats.combining.effects`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.stats.combining.debiased import debiased_ratio, moment_set
from cpi_experiments.stats.combining.heterogeneity import heterogeneity, least_disagreement, without_scores
from cpi_experiments.stats.combining.k_score import fixed_effect_score, overdispersed_score, score_set
from cpi_experiments.stats.instruments.fieller import breakdown, delta_std_error, fieller_set, hull
from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects
    from cpi_experiments.stats.combining.k_score import KScore

Floats = np.ndarray

#: From so many experiments on, the errors are what the experiments show.
MANY = 10

#: From so many experiments with a mean F below this, the set is the closed form of `moment_set`.
VERY_MANY, WEAK_F = 100, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPoint:
    """Size of a link: point, standard error, set and heterogeneity.

    Parameters
    ----------
    value, std_error : float
        KPI per increment. The standard error is infinite where the first stage is too weak for one; from ten
        experiments on the value is NaN there.
    low, high : float
        Ends of the 95 % set (its piece around the point); both infinite where it is unbounded on any side.
    q, q_p_value : float
        Cochran's Q over experiments and its p-value; NaN for one experiment.
    i_squared, tau_squared : float
        Share of spread beyond noise, and Paule-Mandel variance of direct effects; NaN for one experiment.
    strength : float
        kappa of the debiased ratio; NaN below ten experiments.
    breakdown : float
        Share of the KPI effect that may bypass the CPI before the set reaches zero.
    form : str
        Which set it is: ``Fieller``, ``K-score``, ``overdispersed K-score`` or ``moments``.
    """

    value: float
    std_error: float
    low: float
    high: float
    q: float = math.nan
    q_p_value: float = math.nan
    i_squared: float = math.nan
    tau_squared: float = math.nan
    strength: float = math.nan
    breakdown: float = math.nan
    form: str = ""


def link_point(effects: Effects, *, confidence_level: float = 0.95) -> LinkPoint:
    """Point, error, set and heterogeneity by the number of experiments.

    One: Wald ratio and Fieller's set. Two to nine: ratio of least disagreement and fixed-effect K-score. Ten and more:
    debiased ratio with jackknife error and overdispersed K-score; from a hundred with a mean F below 3 the set of the
    debiased moments.

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
    if len(effects) < MANY:
        return _few(effects, confidence_level)
    return _many(effects, confidence_level)


def _one(effects: Effects, confidence_level: float) -> LinkPoint:
    x, y, xx, xy, yy = (float(a[0]) for a in (effects.x, effects.y, effects.xx, effects.xy, effects.yy))
    critical = quantile(0.5 + confidence_level / 2, float(effects.df[0]))
    low, high = hull(fieller_set(x, y, var_x=xx, var_y=yy, cov=xy, critical=critical))
    error = delta_std_error(x, y, var_x=xx, var_y=yy, cov=xy) if x else math.inf
    return LinkPoint(
        value=y / x if x else math.nan,
        std_error=error,
        low=low,
        high=high,
        breakdown=breakdown(y, yy, critical=critical),
        form="Fieller",
    )


def _few(effects: Effects, confidence_level: float) -> LinkPoint:
    best = least_disagreement(effects)
    spread = heterogeneity(effects, at=best)
    score = fixed_effect_score(effects, at=best, confidence_level=confidence_level)
    low, high = score_set(score)
    return LinkPoint(
        value=best,
        std_error=liml_error(effects, at=best),
        low=low,
        high=high,
        q=spread.q,
        q_p_value=spread.p_value,
        i_squared=spread.i_squared,
        tau_squared=spread.tau_squared,
        breakdown=spared(score),
        form="K-score",
    )


def liml_error(effects: Effects, *, at: float) -> float:
    """Compute the error of the ratio of least disagreement (LIML), infinite where the moves are too weak for one.

    Its bread is sum((p^2 - var p) / v): the noise of the purged first stage is taken out. With sum(p x / v) instead,
    as textbooks have it, intervals would be far too short with many weak experiments.

    References
    ----------
    Bekker (1994), Econometrica 62; Hansen, Hausman, Newey (2008), J. Bus. Econ. Stat. 26.
    """
    p, v = effects.purged(at), effects.v(at)
    noise = effects.xx - (effects.xy - at * effects.xx) ** 2 / v  # variance of the purged first stage
    bread = float(np.sum((p**2 - noise) / v))
    return math.sqrt(float(np.sum(p**2 / v))) / bread if bread > 0 else math.inf


def spared(score: KScore) -> float:
    """Share of the score at zero that is more than chance may give."""
    ratio = abs(score.ratio(0.0))
    return 1 - 1 / ratio if ratio > 1 else 0.0


def _many(effects: Effects, confidence_level: float) -> LinkPoint:
    plain = without_scores(effects)
    best = least_disagreement(plain)
    spread = heterogeneity(effects, at=best)
    point = debiased_ratio(plain)
    score = overdispersed_score(plain, at=best, tau_squared=spread.tau_squared, confidence_level=confidence_level)
    weak = len(effects) >= VERY_MANY and bool(np.mean(effects.x**2 / effects.xx) < WEAK_F)
    low, high = hull(moment_set(plain, confidence_level=confidence_level)) if weak else score_set(score)
    return LinkPoint(
        value=point.value if point.printable else math.nan,
        std_error=point.std_error if point.printable else math.inf,
        low=low,
        high=high,
        q=spread.q,
        q_p_value=spread.p_value,
        i_squared=spread.i_squared,
        tau_squared=spread.tau_squared,
        strength=point.strength,
        breakdown=spared(score),
        form="moments" if weak else "overdispersed K-score",
    )
