"""Ageing of a confirmed link: is it still seen in fresh evidence, has it faded, is there fresh evidence at all.

Letters as in `cpi_experiments.stats.combining.effects`. Quarters are whole numbers, one apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.judging.link_score import planned_score
from cpi_experiments.stats.sequential.link_process import as_e_values, log_mixture

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects

Floats = np.ndarray

#: Quarters that fresh evidence is taken from, and after which evidence has expired.
SPAN = 4
#: Level of the one-sided lower bounds.
LEVEL = 0.90
#: An e-value from which a link has faded.
BREACH = 20.0
# Where the bound is sought, in standard errors from zero: nearby first, each range beginning where the last one ended.
_REACHES = (np.linspace(0, 8, 81), np.linspace(8, 40, 161), np.geomspace(40, 1e6, 240))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ageing:
    """How a confirmed link has aged.

    Parameters
    ----------
    at_risk : bool
        There is fresh evidence, and in it alone the effect is not seen any more: order a test.
    breached : bool
        The effect has fallen below half of what was confirmed, by an e-value of 20 or more.
    expired : bool
        No fresh evidence for four quarters.
    lower_bound : float
        One-sided 90 % lower bound from the fresh evidence, KPI per increment; minus infinity without any.
    e_value : float
        Against "at least half of the lower bound that was confirmed"; 1 without evidence after it.
    quarters_since : int
        Quarters since the last evidence.
    """

    at_risk: bool
    breached: bool
    expired: bool
    lower_bound: float
    e_value: float
    quarters_since: int


def ageing(effects: Effects, quarters: Floats, *, now: int, confirmed: int, sesoi: float, span: int = SPAN) -> Ageing:
    """Judge how a link has aged since it was confirmed.

    Parameters
    ----------
    effects : Effects
        Of all experiments, maintained holdouts included.
    quarters : array of int, shape (K,)
        In which each experiment's evidence was complete; evidence after ``now`` is not used.
    now : int
    confirmed : int
        Quarter of the confirmation: evidence up to it is the baseline, what came later is held against it.
    sesoi : float
        Smallest effect worth acting on, KPI units per increment.
    span : int
        Quarters that count as fresh.

    Returns
    -------
    Ageing

    Raises
    ------
    EstimationError
        If there is no evidence up to ``now``, none up to the confirmation, or quarters do not fit the effects.

    Notes
    -----
    Measured (10,000 repetitions; an effect of 0.3 for six quarters, then 0.3 / 0.15 / 0 / -0.1 for ten, standard error
    0.12 a quarter): ever at risk .001 / .39 / 1.00 / 1.00, ever breached .000 / .004 / .65 / 1.00; an effect that is
    gone is at risk after 3.5 quarters on average.
    """
    when = _checked(effects, quarters)
    known = when <= now
    if not np.any(known & (when <= confirmed)):
        raise EstimationError(
            f"none of {len(when)} experiments is from quarter {min(now, confirmed)} or before",
            advice="A link ages from its confirmation on: give the quarter in which it was confirmed.",
        )
    bound = rolling_lower_bound(effects, when, now=now, span=span)
    expired = stale(when, now, span=span)
    e_value = breach_e_value(
        effects.only(known & (when <= confirmed)), effects.only(known & (when > confirmed)), sesoi=sesoi
    )
    return Ageing(
        at_risk=not expired and bound <= 0,
        breached=e_value >= BREACH,
        expired=expired,
        lower_bound=bound,
        e_value=e_value,
        quarters_since=int(now - when[known].max()),
    )


def rolling_lower_bound(effects: Effects, quarters: Floats, *, now: int, span: int = SPAN) -> float:
    """One-sided 90 % lower bound from the last quarters alone; minus infinity if they say nothing.

    It is above zero exactly if the score test of "no effect or the wrong sign" on these quarters rejects at 10 %.

    Parameters
    ----------
    effects : Effects
    quarters : array of int, shape (K,)
    now : int
        Last quarter that counts.
    span : int
        How many quarters count.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> two = Effects(**{name: np.full(2, value) for name, value in dict(
    ...     x=1.0, y=0.3, xx=1e-8, xy=0.0, yy=0.0144, df=np.inf, sign=1.0, move=1.0).items()})
    >>> [round(rolling_lower_bound(two, np.array([1, 5]), now=now), 3) for now in (4, 5, 9)]
    [0.146, 0.146, -inf]
    """
    when = _checked(effects, quarters)
    fresh = (when > now - span) & (when <= now)
    return score_lower_bound(effects.only(fresh)) if np.any(fresh) else -math.inf


def stale(quarters: Floats, now: int, *, span: int = SPAN) -> bool:
    """Whether the last ``span`` quarters hold no evidence.

    Examples
    --------
    >>> stale(np.array([1, 2]), 5), stale(np.array([1, 2]), 6)
    (False, True)
    """
    when = np.asarray(quarters)
    return not np.any((when > now - span) & (when <= now))


def breach_e_value(baseline: Effects, fresh: Effects, *, sesoi: float) -> float:
    """Compute the e-value against "the effect is still at least half of the baseline's lower bound".

    Parameters
    ----------
    baseline : Effects
        What the link was confirmed with, one experiment at least.
    fresh : Effects
        What came after it; the e-value may be looked at after every experiment, 20 is a breach.
    sesoi : float
        Above zero.

    Returns
    -------
    float
        1 without fresh evidence.

    Notes
    -----
    Weights are the planned moves; the scale of the mixture is the baseline's lower bound (a link that is gone lies half
    of it away), never below the SESOI: both are frozen before the fresh evidence.

    References
    ----------
    Howard, Ramdas, McAuliffe, Sekhon (2021), Annals of Statistics 49 (one-sided normal mixture).
    """
    if not (math.isfinite(sesoi) and sesoi > 0):
        raise EstimationError(f"the smallest effect worth acting on is {sesoi}", advice="It is a size above zero.")
    if len(fresh) == 0:
        return 1.0
    bound = max(score_lower_bound(baseline), 0.0)
    return float(as_e_values(log_mixture(*planned_score(fresh, bound / 2, side=-1), scale=max(bound, sesoi))))


def score_lower_bound(effects: Effects, *, level: float = LEVEL) -> float:
    """One-sided lower bound of a link by inverting the purged score test, honest for weak first stages.

    Parameters
    ----------
    effects : Effects
        One experiment at least.
    level : float

    Returns
    -------
    float
        The nearest value to zero at which the test turns; minus infinity if no value below zero is rejected.

    References
    ----------
    Kleibergen (2002), Econometrica 70 (purged first stage); the weights have the declared sign or are zero.
    """
    critical = float(special.ndtri(level))
    # where the planned moves alone would place the standard error: only the step of the search
    unit = 1 / math.sqrt(float(np.sum(effects.move**2 / effects.v(0.0))))
    side = 1.0 if float(_z(effects, 0.0)) > critical else -1.0
    for reach in _REACHES:
        steps = side * unit * reach
        turned = (_z(effects, steps) > critical) != (side > 0)
        if np.any(turned):
            first = int(np.argmax(turned))
            low, high = sorted((float(steps[first - 1]), float(steps[first])))
            return float(optimize.brentq(lambda t: float(_z(effects, t)) - critical, low, high, xtol=1e-12 * unit))
    return side * math.inf


def _z(effects: Effects, t: float | Floats) -> Floats:
    """Standardised purged score for "above t", shape of t; 0 where every weight is zero."""
    weight = np.maximum(effects.sign * effects.purged(t), 0) * effects.sign
    v = effects.v(t)
    information = np.sum(weight**2 / v, axis=-1)
    score = np.sum(weight * effects.u(t) / v, axis=-1)
    return np.asarray(np.where(information > 0, score / np.sqrt(np.where(information > 0, information, 1.0)), 0.0))


def _checked(effects: Effects, quarters: Floats) -> Floats:
    when = np.asarray(quarters)
    if when.shape != (len(effects),) or when.dtype.kind not in "iu":
        raise EstimationError(
            f"{len(effects)} experiments have quarters of shape {when.shape} and type {when.dtype}",
            advice="Give one whole number per experiment, such as year x 4 + quarter - 1.",
        )
    return when
