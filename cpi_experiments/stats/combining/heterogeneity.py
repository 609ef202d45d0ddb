"""How far the experiments of one link disagree: Cochran's Q at its least, I squared, and the Paule-Mandel variance."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects

Floats = np.ndarray

_NEWTON_STEPS = 100
_COARSE_FROM = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Heterogeneity:
    """Disagreement of K experiments at the ratio where it is least.

    Parameters
    ----------
    at : float
        That ratio, KPI per increment.
    q, p_value : float
        Cochran's Q there and its p-value with K - 1 degrees of freedom.
    i_squared : float
        Share of the spread of the residuals that is not noise, 0 to 1.
    tau_squared : float
        Paule-Mandel variance of direct effects on the KPI, in squared units of the KPI.
    """

    at: float
    q: float
    p_value: float
    i_squared: float
    tau_squared: float


def scale_of(effects: Effects) -> float:
    """Typical size of the ratio: far values are searched on the angle whose tangent this unit measures."""
    return float(np.sqrt(np.sum(effects.yy + effects.y**2) / np.sum(effects.xx + effects.x**2)))


def without_scores(effects: Effects) -> Effects:
    """Take the residuals as they are: with many experiments their own spread carries the noise of the variances."""
    return replace(effects, df=np.full(len(effects), np.inf))


def q_statistic(effects: Effects, t: float | Floats) -> Floats:
    """Sum of squared standardised residuals at t (shape (...,)): the joint Anderson-Rubin statistic."""
    return np.asarray(np.sum(effects.u(t) ** 2 / effects.v(t), axis=-1))


def least_disagreement(effects: Effects) -> float:
    """Ratio at which Q is least (LIML), searched over t = scale * tan(angle), so that far values are reached as well.

    Parameters
    ----------
    effects : Effects

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> ones = np.ones(2)
    >>> two = Effects(x=2 * ones, y=np.array([1.0, 2.0]), xx=ones, xy=0 * ones, yy=ones, df=np.inf * ones, sign=ones,
    ...               move=ones)
    >>> round(least_disagreement(two), 6)
    0.780776
    """
    scale = scale_of(effects)
    angles = np.linspace(-1.56, 1.56, 241 if len(effects) < _COARSE_FROM else 81)
    j = int(np.argmin(q_statistic(effects, scale * np.tan(angles))))
    low, high = angles[max(j - 1, 0)], angles[min(j + 1, len(angles) - 1)]
    found = optimize.minimize_scalar(
        lambda a: float(q_statistic(effects, scale * math.tan(a))),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-11},
    )
    return scale * math.tan(float(found.x))


def paule_mandel(squares: Floats, variances: Floats, *, total: float) -> float:
    """Solve sum(squares / (variances + tau2)) = total for tau2, at least 0.

    Newton's steps from 0 rise to the root without passing it, because the sum is convex.

    Parameters
    ----------
    squares, variances : array, shape (K,)
        Squared residuals and the variances that noise alone would give them.
    total : float
        Their number less the parameters that were fitted.

    References
    ----------
    Paule, Mandel (1982), J. Res. Natl. Bur. Stand. 87.

    Examples
    --------
    >>> round(paule_mandel(np.array([4.0, 9.0, 1.0]), np.ones(3), total=2), 6)
    6.0
    """
    tau = 0.0
    for _ in range(_NEWTON_STEPS):
        weights = 1 / (variances + tau)
        excess = float(np.sum(squares * weights)) - total
        if excess <= 1e-12 * total:
            break
        tau += excess / float(np.sum(squares * weights**2))
    return tau


def heterogeneity(effects: Effects, *, at: float) -> Heterogeneity:
    """Q, its p-value, I squared and the Paule-Mandel variance at the ratio of least disagreement.

    Parameters
    ----------
    effects : Effects
        Two experiments or more.
    at : float
        From `least_disagreement`.

    References
    ----------
    Cochran (1954), Biometrics 10; Higgins, Thompson (2002), Stat. Med. 21; Paule, Mandel (1982).

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> ones = np.ones(2)
    >>> two = Effects(x=2 * ones, y=np.array([1.0, 5.0]), xx=0 * ones, xy=0 * ones, yy=ones, df=np.inf * ones,
    ...               sign=ones, move=ones)
    >>> found = heterogeneity(two, at=1.5)
    >>> found.q, found.i_squared, round(found.tau_squared, 6)
    (8.0, 0.875, 7.0)
    """
    rest = len(effects) - 1
    squares, variances = effects.u(at) ** 2, effects.v(at)
    q = float(np.sum(squares / variances))
    return Heterogeneity(
        at=at,
        q=q,
        p_value=float(special.chdtrc(rest, q)),
        i_squared=max(1 - rest / q, 0.0) if q > 0 else 0.0,
        tau_squared=paule_mandel(squares, variances, total=rest),
    )
