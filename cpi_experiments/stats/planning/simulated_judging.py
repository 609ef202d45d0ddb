"""The judging rule on many simulated experiments at once: the same verdicts as the judge, draw by draw.

One draw is one link with K experiments of equal size, judged alone in its portfolio. Rules and limits are those of
the judge itself: an inert lever adds nothing, a lever that is not shown to move the CPI cannot be the only support,
confirmed needs direction, size after shrinkage and a breakdown point, refuted needs both equivalence tests or harm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from cpi_experiments.stats.judging.link_score import TELLING
from cpi_experiments.stats.planning.judging_power import FRAGILE
from cpi_experiments.stats.student import normal_scores, quantile

Floats = np.ndarray

#: The judge's own limits; a test compares them.
INERT_SHARE = 0.25
HETEROGENEOUS_P = 0.10
APART_P = 0.001
MATERIAL_E = 20.0
_TWO_SIDED = 1.959963984540054
_ONE_SIDED = 1.6448536269514722
_CHI2 = _TWO_SIDED**2
#: Shares of the way from the estimate to the SESOI at which the set is looked at.
_STEPS = np.linspace(1.0, 0.0, 12, endpoint=False)
#: More degrees of freedom than this are taken as infinitely many: a power changes by less than 0.001.
MANY = 2_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingRule:
    """What a link is judged by, oriented so that the expected sign is +.

    Parameters
    ----------
    sesoi : float
        Smallest effect worth acting on, above zero.
    threshold : float
        One-sided p-value that the portfolio asks of a link alone.
    move : float
        Registered move of the first stage in each experiment, above zero.
    """

    sesoi: float
    threshold: float
    move: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Simulated results of R links with K experiments each.

    Parameters
    ----------
    x, y : array, shape (R, K)
        Effects on the CPI (increments) and on the KPI.
    xx, xy, yy : array that broadcasts to (R, K)
        Their variances and covariance; equal for the experiments of one link if there are several.
    df : float, or array of shape (R, 1)
        Degrees of freedom of the variances; infinite if there are several experiments.
    """

    x: Floats
    y: Floats
    xx: Floats
    xy: Floats
    yy: Floats
    df: float | Floats = math.inf

    def only(self, keep: Floats) -> Draws:
        """Take some of the draws (bool array, shape (R,))."""
        shape = self.x.shape
        parts = {name: np.broadcast_to(getattr(self, name), shape)[keep] for name in ("x", "y", "xx", "xy", "yy")}
        df = self.df if isinstance(self.df, float) else np.broadcast_to(self.df, (shape[0], 1))[keep]
        return Draws(**parts, df=df)

    def v(self, t: float | Floats) -> Floats:
        """Variance of ``y - t x``."""
        return np.asarray(self.yy - 2 * t * self.xy + t * t * self.xx)

    def u(self, t: float | Floats) -> Floats:
        """``y - t x``, each t statistic replaced by the normal one of its tail."""
        scale = np.sqrt(self.v(t))
        return np.asarray(scale * normal_scores((self.y - t * self.x) / scale, np.asarray(self.df)))


def judge_draws(draws: Draws, rule: JudgingRule) -> tuple[Floats, Floats, Floats]:
    """Judge every draw.

    Parameters
    ----------
    draws : Draws
    rule : JudgingRule

    Returns
    -------
    confirmed, immaterial, harmful : bool array, shape (R,)
        The last two are the ways of being refuted; a draw is one of the three at most.

    Examples
    --------
    >>> one = {name: np.array([[value]]) for name, value in dict(x=3.0, y=0.03, xx=0.04, xy=0.0, yy=4e-5).items()}
    >>> judge_draws(Draws(**one), JudgingRule(sesoi=0.004, threshold=0.0083, move=3.0))
    (array([ True]), array([False]), array([False]))
    """
    critical = quantile(0.95, draws.df) if isinstance(draws.df, float) else special.stdtrit(draws.df, 0.95)
    half = critical * np.sqrt(draws.xx)
    low, high = draws.x - half, draws.x + half
    inert = (low <= 0) & (high >= 0) & (np.maximum(np.abs(low), np.abs(high)) <= INERT_SHARE * rule.move)
    counted = (high >= 0) & ~inert
    supported = np.any(counted & (low > 0), axis=1)
    z, z_harm = _direction(draws, counted), _planned(draws, counted, 0.0, side=-1)[0]
    below, spread = _planned(draws, counted, rule.sesoi, side=-1)
    information = rule.move**2 * spread
    # what is published rests on all that was looked at, whatever the levers seem to have moved
    every = np.ones_like(counted)
    z_told, harm_told = _direction(draws, _speaking(draws, rule)), _planned(draws, every, 0.0, side=-1)[0]
    within = np.minimum(_planned(draws, every, rule.sesoi, side=-1)[0], _planned(draws, every, -rule.sesoi, side=1)[0])
    least = -float(special.ndtri(rule.threshold))
    value, error, disagreement = _size(draws, counted)
    mixed = disagreement < HETEROGENEOUS_P
    scale = np.maximum(rule.sesoi, 3.3 / np.sqrt(information))
    immaterial = supported & (within >= least) & ~mixed
    immaterial[immaterial] = _inside(draws, counted, value, rule, immaterial)
    material = _log_e_value(below, information, scale) >= math.log(MATERIAL_E)
    harmful = supported & ~immaterial & (harm_told >= least) & material & (z_harm >= _ONE_SIDED)
    robust = 1 - _TWO_SIDED / np.maximum(np.maximum(z, z_harm), 1e-300) >= FRAGILE
    large = value / (1 + (error / rule.sesoi) ** 2) >= rule.sesoi
    agreeing = ~mixed
    if mixed.any():
        slight = (disagreement >= APART_P) & _whichever_is_left_out(draws, counted, rule)
        agreeing |= _replicated(draws, counted, low, rule) | slight
    confirmed = supported & ~immaterial & ~harmful & agreeing & (z_told >= least) & large & robust
    return confirmed, immaterial, harmful


def _speaking(draws: Draws, rule: JudgingRule) -> Floats:
    """Experiments whose lever was neither inert nor moved x the wrong way, seen from the purged first stage."""
    purged = draws.x - draws.xy / draws.yy * draws.u(0.0)
    half = _ONE_SIDED * np.sqrt(np.maximum(draws.xx - draws.xy**2 / draws.yy, 0.0))
    inert = (np.maximum(np.abs(purged - half), np.abs(purged + half)) <= INERT_SHARE * rule.move) & (purged <= half)
    telling = draws.xy**2 <= TELLING**2 * draws.xx * draws.yy
    return np.asarray((purged + half >= 0) & ~(inert & telling))


def _inside(draws: Draws, counted: Floats, value: Floats, rule: JudgingRule, asked: Floats) -> Floats:
    """Whether the 95 % set of each draw that is asked for lies within the SESOI: left before it on either side."""
    part = draws.only(asked)
    at, used = value[asked], counted[asked]
    alone = used.sum(axis=1) == 1
    found = np.abs(at) < rule.sesoi
    for end in (-rule.sesoi, rule.sesoi):
        left = np.zeros(len(at), dtype=bool)
        for share in _STEPS:
            t = (at + share * (end - at))[:, None]
            u, v = part.u(t), part.v(t)
            purged = part.x - (part.xy - t * part.xx) / v * u
            score, information = np.sum(used * purged * u / v, axis=1), np.sum(used * purged**2 / v, axis=1)
            left |= np.where(alone, np.sum(used * u**2 / v, axis=1), score**2 / np.maximum(information, 1e-300)) > _CHI2
        found &= left
    bounded = np.any(used & (part.x**2 > _CHI2 * part.xx), axis=1)
    return np.asarray(found & (bounded | ~alone))


def _direction(draws: Draws, counted: Floats) -> Floats:
    """Score for "above zero" with weights purged of noise; minus infinity where no weight is left."""
    purged = draws.x - draws.xy / draws.yy * draws.u(0.0)
    weight = np.where(counted, np.maximum(purged, 0.0), 0.0)
    score, information = np.sum(weight * draws.u(0.0) / draws.yy, axis=1), np.sum(weight**2 / draws.yy, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(information > 0, score / np.sqrt(information), -np.inf)


def _planned(draws: Draws, counted: Floats, t: float, *, side: int) -> tuple[Floats, Floats]:
    """Score with equal planned moves, over its root information; and the information of a planned move of 1."""
    v = np.broadcast_to(draws.v(t), draws.x.shape)
    information = np.maximum(np.sum(counted / v, axis=1), 1e-300)
    return side * np.sum(np.where(counted, draws.u(t) / v, 0.0), axis=1) / np.sqrt(information), information


def _log_e_value(z: Floats, information: Floats, scale: Floats) -> Floats:
    """One-sided mixture e-value; ``z`` is the score over the root of the information."""
    rate = scale**-2
    share = information / (information + rate)
    at = z * np.sqrt(share)
    return np.asarray(math.log(2) + 0.5 * np.log1p(-share) + 0.5 * at**2 + special.log_ndtr(at))


def _size(draws: Draws, counted: Floats) -> tuple[Floats, Floats, Floats]:
    """Value and standard error of the link, and p-value of agreement; exact for a common covariance."""
    n = counted.sum(axis=1)
    used = np.where(n > 0, n, 1)
    xx, xy, yy = (np.broadcast_to(part, draws.x.shape)[:, 0] for part in (draws.xx, draws.xy, draws.yy))
    sxx, sxy, syy = (
        np.sum(np.where(counted, a * b, 0.0), axis=1)
        for a, b in ((draws.x, draws.x), (draws.x, draws.y), (draws.y, draws.y))
    )
    # the least eigenvalue of the products in units of the covariance is the least Q
    a, c = yy * xx - xy**2, syy * sxx - sxy**2
    b = syy * xx + sxx * yy - 2 * sxy * xy
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.maximum(2 * c / (b + np.sqrt(np.maximum(b * b - 4 * a * c, 0.0))), 0.0)
        value = np.where(n == 1, sxy / sxx, (sxy - q * xy) / (sxx - q * xx))
        v = yy - 2 * value * xy + value**2 * xx
        at = value[:, None]
        slope = ((xy - value * xx) / v)[:, None]
        purged = np.where(counted, draws.x - slope * (draws.y - at * draws.x), 0.0)
        squares = np.sum(purged**2, axis=1)
        bread = squares - used * (xx - (xy - value * xx) ** 2 / v)
        several = np.where(bread > 0, np.sqrt(v * squares) / bread, np.inf)
        error = np.where(n == 1, np.sqrt(v / sxx), several)
    agreement = np.where(n > 1, special.chdtrc(np.maximum(used - 1, 1), q), 1.0)
    # the lone estimate of a draw without any evidence is never looked at
    return np.where(n > 0, value, 0.0), np.where(n > 0, error, np.inf), agreement


def _whichever_is_left_out(draws: Draws, counted: Floats, rule: JudgingRule) -> Floats:
    """Whether three experiments or more would confirm without any one of them."""
    least = -float(special.ndtri(rule.threshold))
    held = counted.sum(axis=1) > 2
    for k in range(counted.shape[1]):
        rest = counted & (np.arange(counted.shape[1]) != k)
        value, error, _ = _size(draws, rest)
        large = value / (1 + (error / rule.sesoi) ** 2) >= rule.sesoi
        held &= ~counted[:, k] | ((_direction(draws, rest) >= least) & large)
    return np.asarray(held)


def _replicated(draws: Draws, counted: Floats, low: Floats, rule: JudgingRule) -> Floats:
    """Whether every experiment that counts moved the CPI and confirms alone, and sizes agree within a factor of 2."""
    least = -float(special.ndtri(rule.threshold))
    purged = draws.x - draws.xy / draws.yy * draws.u(0.0)
    alone = (low > 0) & (draws.u(0.0) / np.sqrt(draws.yy) >= least) & (purged > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = draws.y / draws.x
    smallest = np.where(counted, sizes, np.inf).min(axis=1)
    largest = np.where(counted, sizes, -np.inf).max(axis=1)
    return np.asarray(np.all(alone | ~counted, axis=1) & (smallest >= rule.sesoi) & (largest <= 2 * smallest))
