"""The numbers of one link that the decision rests on: size, e-values, breakdown, what each lever says, ageing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.stats.combining.egger import Egger, egger
from cpi_experiments.stats.combining.link_point import MANY, LinkPoint, link_point
from cpi_experiments.stats.judging.drift import Ageing, ageing
from cpi_experiments.stats.judging.link_score import (
    direction_terms,
    planned_score,
    planned_terms,
)
from cpi_experiments.stats.judging.shrinkage import shrink
from cpi_experiments.stats.sequential.link_process import (
    GENERAL_FROM,
    as_e_values,
    general_log_e,
    log_mixture,
    planned_log_e,
    predictable_spread,
    purged_log_e,
)

if TYPE_CHECKING:
    from cpi_experiments.evidence.case import Case, Trialed
    from cpi_experiments.stats.combining.effects import Effects

#: A lever says something on its own if its one-sided p-value is below this.
LEVER_P = 0.10
#: p-value of Q below which experiments disagree; trials of which one can be left out.
HETEROGENEOUS_P = 0.10
FEWEST_LEFT = 2
#: Experiments needed before a direct path that levers share can be told from the link.
EGGER_LEAST = 20
_TWO_SIDED = 1.959963984540054
_ONE_SIDED = 1.6448536269514722


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverCounts:
    """Levers that say each thing on their own (one-sided p below `LEVER_P`)."""

    direction: int = 0
    harm: int = 0
    equivalence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The numbers of a case, oriented so that the expected sign is +.

    Parameters
    ----------
    point : LinkPoint or None
        Size in the oriented KPI scale; None where no trial counts.
    z_direction, z_harm : float
        Scores of all trials together over their standard deviations.
    harm_e, material_e : float
        e-values against "at least SESOI" (for harm) and against "at most SESOI" (for grade A+).
    direction_e : float
        e-value of the purged process against "no effect or the wrong sign", after the last trial.
    equivalence_e : float
        The smaller of the e-values against "at least SESOI" and "at most minus SESOI".
    general_e : float
        e-value for "levers in general have the expected sign"; 1 with fewer than twenty trials.
    breakdown, margin : float
        Share of the lift (of a SESOI-sized lift) that may be direct before the sign (the refutation) is in doubt.
    each : tuple of float
        The direction's p-value of every trial alone.
    without_each : tuple of (p-value, size)
        Direction's p-value and shrunken size of all trials but one, for each one left out; only where three to nine
        trials disagree.
    levers : LeverCounts
    egger : Egger or None
        Slope with an intercept for a direct path shared by the levers; None unless it was declared and can be told.
    ageing : Ageing or None
        None where no quarter is known.
    """

    point: LinkPoint | None = None
    z_direction: float = 0.0
    z_harm: float = 0.0
    harm_e: float = 1.0
    material_e: float = 1.0
    direction_e: float = 1.0
    equivalence_e: float = 1.0
    general_e: float = 1.0
    breakdown: float = 0.0
    margin: float = 0.0
    each: tuple[float, ...] = ()
    without_each: tuple[tuple[float, float], ...] = ()
    levers: LeverCounts = LeverCounts()
    egger: Egger | None = None
    ageing: Ageing | None = None


def weigh(case: Case, *, since: int | None = None) -> Weighed:
    """Compute sizes and e-values of a case; nothing for one that is blocked or has no trials.

    Parameters
    ----------
    case : Case
    since : int, optional
        Judging step from which the link was published in the direction family: what came later is held against it.
    """
    trials = case.counted
    if case.blocks or not trials:
        return Weighed()
    effects = case.effects(trials)
    delta = case.sesoi
    direction, harm = direction_terms(effects), planned_terms(effects, 0.0, side=-1)
    z, z_harm = _z(direction), _z(harm)
    below, spread = planned_score(effects, delta, side=-1), predictable_spread(effects)
    # at least 3.3 standard errors wide, so that an understated planned move does not hide harm
    harm_scale = max(delta, 3.3 / math.sqrt(below[1]))
    point = link_point(effects)
    return Weighed(
        point=point,
        z_direction=z,
        z_harm=z_harm,
        harm_e=_e_value(below, scale=harm_scale),
        material_e=_e_value(_material_score(effects, delta), scale=delta),
        direction_e=_last(purged_log_e(effects, 0.0, scale=delta, spread=spread)),
        equivalence_e=min(
            _last(planned_log_e(effects, side * delta, side=-side, scale=delta, spread=spread)) for side in (1, -1)
        ),
        general_e=_last(general_log_e(effects, scale=delta)) if len(effects) >= GENERAL_FROM else 1.0,
        breakdown=max(1 - _TWO_SIDED / max(z, z_harm, 1e-300), 0.0),
        margin=_margin(effects, delta),
        each=tuple(_p_values(*direction).tolist()),
        without_each=_without_each(effects, point, delta),
        levers=_lever_counts(trials, effects, delta),
        egger=_egger(trials, effects),
        ageing=_ageing(case, since),
    )


def _ageing(case: Case, since: int | None) -> Ageing | None:
    trials, now = case.aging, case.now
    if now is None or not trials:
        return None
    quarters = np.array([t.quarter for t in trials], dtype=np.int64)
    before = [t.quarter for t in case.counted if t.quarter is not None and since is not None and t.looked_at <= since]
    return ageing(
        case.effects(trials),
        quarters,
        now=now,
        confirmed=max((q for q in before if q <= now), default=now),
        sesoi=case.sesoi,
    )


def _z(terms: tuple[np.ndarray, np.ndarray]) -> float:
    information = float(np.sum(terms[1]))
    return float(np.sum(terms[0])) / math.sqrt(information) if information > 0 else 0.0


def _e_value(score: tuple[float, float], *, scale: float) -> float:
    return float(as_e_values(log_mixture(*score, scale=scale)))


def _last(log_e: np.ndarray) -> float:
    return float(as_e_values(log_e)[-1])


def _margin(effects: Effects, delta: float) -> float:
    """Share of a SESOI-sized lift (as far as the levers did move the CPI) that one-sided 5 % tests can spare."""
    shares = []
    for side in (-1, 1):
        score, information = planned_score(effects, -side * delta, side=side)
        lift = delta * float(np.sum(effects.sign * effects.move * effects.x / effects.v(-side * delta)))
        slack = score - _ONE_SIDED * math.sqrt(information)
        shares.append(slack / lift if lift > 0 else 0.0)
    return max(min(shares), 0.0)


def _material_score(effects: Effects, delta: float) -> tuple[float, float]:
    weight = np.maximum(effects.sign * effects.purged(delta), 0) * effects.sign
    v = effects.v(delta)
    return float(np.sum(weight * effects.u(delta) / v)), float(np.sum(weight**2 / v))


def _without_each(effects: Effects, point: LinkPoint, delta: float) -> tuple[tuple[float, float], ...]:
    if not (FEWEST_LEFT < len(effects) < MANY and point.q_p_value < HETEROGENEOUS_P):
        return ()
    found = []
    for k in range(len(effects)):
        rest = effects.only(np.arange(len(effects)) != k)
        scores, information = direction_terms(rest)
        p = float(_p_values(np.sum(scores), np.sum(information)))
        size = link_point(rest)
        found.append((p, shrink(size.value, size.std_error, prior_sd=delta)))
    return tuple(found)


def _lever_counts(trials: tuple[Trialed, ...], effects: Effects, delta: float) -> LeverCounts:
    """Count levers that, on their own, say expected sign, wrong sign, no material effect."""
    lever = np.unique([t.lever for t in trials], return_inverse=True)[1]

    def by_lever(terms: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return _p_values(*(np.bincount(lever, weights=part) for part in terms))

    either_side = (by_lever(planned_terms(effects, side * delta, side=-side)) for side in (1, -1))
    return LeverCounts(
        direction=int(np.sum(by_lever(direction_terms(effects)) < LEVER_P)),
        harm=int(np.sum(by_lever(planned_terms(effects, 0.0, side=-1)) < LEVER_P)),
        equivalence=int(np.sum(np.maximum(*either_side) < LEVER_P)),
    )


def _p_values(scores: np.ndarray, information: np.ndarray) -> np.ndarray:
    """One-sided p-values; 1 where there is no information."""
    z = scores / np.sqrt(np.where(information > 0, information, 1.0))
    return np.where(information > 0, special.ndtr(-z), 1.0)


def _egger(trials: tuple[Trialed, ...], effects: Effects) -> Egger | None:
    if sum(t.orientation != 0 for t in trials) < EGGER_LEAST:
        return None
    return egger(effects, np.array([float(t.orientation) for t in trials]))
