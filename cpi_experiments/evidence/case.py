"""What the judging rule needs to know about one link, and the numbers it derives before any set is formed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.estimate import EffectPair
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.combining.link_point import LinkPoint, link_point
from cpi_experiments.stats.judging.link_score import direction_score, mixture_e_value, planned_score, score_p_value
from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_COUNTED = ("effect_cpi", "effect_kpi", "var_cpi", "var_kpi", "cov")

#: An experiment whose CPI effect lies inside this share of the planned move did not move the CPI.
INERT_SHARE = 0.25


def broken(pair: EffectPair) -> str:
    """Say why no verdict can be formed from five numbers; empty if they can be used.

    Examples
    --------
    >>> broken(EffectPair(effect_cpi=3.0, effect_kpi=0.03, var_cpi=0.04, var_kpi=1e-4, cov=math.nan))
    'cov missing'
    """
    missing = [name for name in _COUNTED if not math.isfinite(getattr(pair, name))]
    if missing:
        return f"{', '.join(missing)} missing"
    if pair.var_kpi == 0:
        return "the KPI has no variance"
    if pair.var_cpi > 0 and pair.cov**2 >= pair.var_cpi * pair.var_kpi * (1 - 1e-9):
        return "the noise of CPI and KPI is one and the same, so one seems to be computed from the other"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trialed:
    """What one experiment says about the link.

    Parameters
    ----------
    experiment, lever : str
    pair : EffectPair
        In increments, + = better for the customer; the KPI in its own unit and sign.
    lever_sign : int
        Declared sign of the lever on the CPI in increments.
    planned_move : float
        Registered size of that move, above zero.
    blocked, bundle, exploratory, left_out : str
        Why the experiment is broken, moves other CPIs too, was not registered, or is not counted; empty if not so.
    """

    experiment: str
    lever: str
    pair: EffectPair
    lever_sign: int = 1
    planned_move: float = 1.0
    blocked: str = ""
    bundle: str = ""
    exploratory: str = ""
    left_out: str = ""

    @property
    def cpi_interval(self) -> tuple[float, float]:
        """90 % interval of the effect on the CPI, in increments."""
        half = quantile(0.95, self.pair.df) * math.sqrt(self.pair.var_cpi)
        return self.pair.effect_cpi - half, self.pair.effect_cpi + half

    @property
    def move(self) -> str:
        """What that interval says: ``moved``, ``unproven``, ``inert`` or ``wrong way``."""
        low, high = sorted(self.lever_sign * end for end in self.cpi_interval)
        if low > 0:
            return "moved"
        if high < 0:
            return "wrong way"
        return "inert" if max(abs(low), abs(high)) <= INERT_SHARE * self.planned_move else "unproven"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One link with all its experiments and its registered sizes.

    Parameters
    ----------
    trials : tuple of Trialed
    sesoi : float
        KPI units per increment, above zero.
    expected_sign : int
    past_data : str
        What past data say, in words; empty if they were not analysed.
    step : str
        One increment in words, for the reasons.
    unit : str
        Unit of the KPI, for the reasons; a fraction is told in points.
    """

    trials: tuple[Trialed, ...]
    sesoi: float
    expected_sign: int
    past_data: str = ""
    step: str = "increment"
    unit: str = ""

    @property
    def scale(self) -> tuple[float, str]:
        """Factor and unit in which the reasons tell KPI effects."""
        return (100.0, " points") if self.unit == "fraction" else (1.0, f" {self.unit}" if self.unit else "")

    @property
    def counted(self) -> tuple[Trialed, ...]:
        """Trials that add evidence: not inert, not against the declared sign, not exploratory, not left out."""
        usable = (t for t in self.trials if not (t.blocked or t.exploratory or t.left_out))
        return tuple(t for t in usable if t.move in ("moved", "unproven"))

    @property
    def blocks(self) -> tuple[str, ...]:
        """Why no verdict may be given, one text per broken trial."""
        return tuple(f"{t.experiment}: {t.blocked}" for t in self.trials if t.blocked and not t.left_out)

    def without_overlaps(self, overlaps: Mapping[str, Collection[str]]) -> Case:
        """Of trials that share customers keep the one with most planned information; say why the others are out.

        Parameters
        ----------
        overlaps : mapping of experiment to experiments that share customers with it
            Told by either side. Trials that do not count anyway push none out.
        """
        usable = [t for t in self.trials if not (t.blocked or t.exploratory or t.left_out)]
        kept: list[str] = []
        out: dict[str, str] = {}
        for trial in sorted(usable, key=lambda t: (-(t.planned_move**2) / t.pair.var_kpi, t.experiment)):
            mine = overlaps.get(trial.experiment, ())
            partner = next((k for k in kept if k in mine or trial.experiment in overlaps.get(k, ())), None)
            if partner is None:
                kept.append(trial.experiment)
            else:
                out[trial.experiment] = f"it shares customers with {partner}, which has more information"
        told = (replace(t, left_out=out[t.experiment]) if t.experiment in out else t for t in self.trials)
        return replace(self, trials=tuple(told))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The numbers of a case, oriented so that the expected sign is +.

    Parameters
    ----------
    direction, harm, equivalence : float
        One-sided p-values of the three families; 1 where there is no evidence.
    harm_e, material_e : float
        e-values against "at least SESOI" (for harm) and against "at most SESOI" (for grade A+).
    point : LinkPoint or None
        Size in the oriented KPI scale.
    breakdown, margin : float
        Share of the lift (of a SESOI-sized lift) that may be direct before the sign (the refutation) is in doubt.
    each : tuple of float
        The direction's p-value of every trial alone.
    levers : mapping of family to number of levers that say so on their own (one-sided p below .10)
    """

    direction: float = 1.0
    harm: float = 1.0
    equivalence: float = 1.0
    harm_e: float = 1.0
    material_e: float = 1.0
    point: LinkPoint | None = None
    breakdown: float = 0.0
    margin: float = 0.0
    each: tuple[float, ...] = ()
    levers_direction: int = 0
    levers_harm: int = 0
    levers_equivalence: int = 0


def weigh(case: Case) -> Weighed:
    """Compute scores, p-values, e-values and the size of a case; nothing for one that is blocked or has no trials."""
    trials = case.counted
    if case.blocks or not trials:
        return Weighed()
    effects = _effects(trials, case.expected_sign)
    delta = case.sesoi
    score, information = direction_score(effects)
    z = score / math.sqrt(information) if information > 0 else 0.0
    harm = planned_score(effects, 0.0, side=-1)
    z_harm = harm[0] / math.sqrt(harm[1])
    below, above = planned_score(effects, delta, side=-1), planned_score(effects, -delta, side=1)
    at_sesoi = _material_score(effects, delta)
    levers = _levers(trials, effects, delta)
    return Weighed(
        direction=score_p_value(score, information),
        harm=score_p_value(*harm),
        equivalence=max(score_p_value(*below), score_p_value(*above)),
        # at least 3.3 standard errors wide, so that an understated planned move does not hide harm
        harm_e=mixture_e_value(*below, scale=max(delta, 3.3 / math.sqrt(below[1]))),
        material_e=mixture_e_value(*at_sesoi, scale=delta),
        point=link_point(effects),
        breakdown=max(1 - 1.959963984540054 / max(z, z_harm, 1e-300), 0.0),
        margin=_margin(effects, delta),
        each=tuple(
            score_p_value(*direction_score(effects.only(np.arange(len(effects)) == k))) for k in range(len(effects))
        ),
        levers_direction=levers[0],
        levers_harm=levers[1],
        levers_equivalence=levers[2],
    )


def _effects(trials: tuple[Trialed, ...], expected_sign: int) -> Effects:
    pairs = [t.pair for t in trials]
    return Effects(
        x=np.array([p.effect_cpi for p in pairs]),
        y=expected_sign * np.array([p.effect_kpi for p in pairs]),
        xx=np.array([p.var_cpi for p in pairs]),
        xy=expected_sign * np.array([p.cov for p in pairs]),
        yy=np.array([p.var_kpi for p in pairs]),
        df=np.array([p.df for p in pairs]),
        sign=np.array([float(t.lever_sign) for t in trials]),
        move=np.array([t.planned_move for t in trials]),
    )


def _margin(effects: Effects, delta: float) -> float:
    """Share of a SESOI-sized lift (as far as the levers did move the CPI) that one-sided 5 % tests can spare."""
    shares = []
    for side in (-1, 1):
        score, information = planned_score(effects, -side * delta, side=side)
        lift = delta * float(np.sum(effects.sign * effects.move * effects.x / effects.v(-side * delta)))
        slack = score - 1.6448536269514722 * math.sqrt(information)
        shares.append(slack / lift if lift > 0 else 0.0)
    return max(min(shares), 0.0)


def _material_score(effects: Effects, delta: float) -> tuple[float, float]:
    weight = np.maximum(effects.sign * effects.purged(delta), 0) * effects.sign
    v = effects.v(delta)
    return float(np.sum(weight * effects.u(delta) / v)), float(np.sum(weight**2 / v))


def _levers(trials: tuple[Trialed, ...], effects: Effects, delta: float) -> tuple[int, int, int]:
    """Levers that, on their own, say expected sign, wrong sign, no material effect (one-sided p below .10)."""
    counts = [0, 0, 0]
    for lever in {t.lever for t in trials}:
        part = effects.only(np.array([t.lever == lever for t in trials]))
        p_values = (
            score_p_value(*direction_score(part)),
            score_p_value(*planned_score(part, 0.0, side=-1)),
            max(score_p_value(*planned_score(part, side * delta, side=-side)) for side in (1, -1)),
        )
        counts = [count + (p < 0.10) for count, p in zip(counts, p_values, strict=True)]
    return counts[0], counts[1], counts[2]
