"""Evidence of one link from one or several experiments: scores, e-values, point, set and heterogeneity.

Experiment k gives x_k (effect on the CPI, in increments), y_k (effect on the KPI) and their covariance
[[xx, xy], [xy, yy]]. For a value t of KPI per increment: u_k = y_k - t x_k and v_k = yy - 2 t xy + t^2 xx.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from cpi_experiments.stats.instruments.fieller import delta_std_error, fieller_set, hull
from cpi_experiments.stats.student import normal_scores, quantile

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Effects of K experiments of one link, oriented so that the expected sign is +.

    Parameters
    ----------
    x, y, xx, xy, yy : array, shape (K,)
        Effects, variances and covariance.
    df : array, shape (K,)
        Degrees of freedom of the variances; infinite for the normal.
    sign : array, shape (K,)
        Declared sign of the lever on x: +1 or -1.
    move : array, shape (K,)
        Planned size of the move of x, above zero.
    """

    x: Floats
    y: Floats
    xx: Floats
    xy: Floats
    yy: Floats
    df: Floats
    sign: Floats
    move: Floats

    def __len__(self) -> int:
        return len(self.x)

    def only(self, keep: Floats) -> Effects:
        """Take some of the experiments (bool array, shape (K,))."""
        return Effects(**{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})

    def u(self, t: float | Floats) -> Floats:
        """Residuals at t (shape (...,), result (..., K)), each t statistic replaced by the normal one of its tail."""
        scale = np.sqrt(self.v(t))
        return np.asarray(scale * normal_scores((self.y - np.asarray(t)[..., None] * self.x) / scale, self.df))

    def v(self, t: float | Floats) -> Floats:
        """Variances of the residuals at t; shapes as in `u`."""
        at = np.asarray(t)[..., None]
        return np.asarray(self.yy - 2 * at * self.xy + at * at * self.xx)

    def purged(self, t: float | Floats) -> Floats:
        """First stages made independent of the residuals: x - [(xy - t xx) / v] u (Kleibergen 2002)."""
        return np.asarray(self.x - (self.xy - np.asarray(t)[..., None] * self.xx) / self.v(t) * self.u(t))


def direction_score(effects: Effects) -> tuple[float, float]:
    """Score S and information V for "the link has the expected sign", weights purged of noise.

    The weight is the purged first stage where it has the lever's declared sign, else 0; since it is independent of
    the residual under no effect, S / sqrt(V) is standard normal there for any strength of the first stage.

    Examples
    --------
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


def shrink(value: float, std_error: float, *, prior_sd: float) -> float:
    """Posterior mean under a normal prior around zero: what is left after the winner's curse.

    Examples
    --------
    >>> shrink(2.0, 1.0, prior_sd=1.0)
    1.0
    """
    if math.isinf(std_error) or math.isnan(value):
        return 0.0
    return value * prior_sd**2 / (prior_sd**2 + std_error**2)
