"""What the judging rule needs to know about one link: its experiments, its registered sizes and its looks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.estimate import EffectPair
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.combining.link_point import MANY
from cpi_experiments.stats.judging.drift import SPAN
from cpi_experiments.stats.judging.link_score import spoken_for
from cpi_experiments.stats.judging.look_plan import LookPlan
from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_COUNTED = ("effect_cpi", "effect_kpi", "var_cpi", "var_kpi", "cov")

#: One planned look, final: what a table declares that says nothing of looks.
SINGLE = LookPlan(kind="single")

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
    if not pair.df > 0:
        return "degrees of freedom missing"
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
    looked_at : int
        Judging step (0, 1, ...) at which it counted for the first time.
    quarter : int or None
        Quarter in which its KPI window closed, as year x 4 + quarter - 1; None where ageing is not watched.
    orientation : int
        Sign that a direct effect of the lever on the KPI would share over levers, declared before; 0 if it was not.
    holdout : bool
        Whether it is a maintained holdout: fresh evidence for ageing, not one of the planned looks.
    projected : str
        Day on which the KPI will be known, if its effect is projected from surrogates; such a trial proves nothing.
    remark : str
        What else a reader must know about its numbers; empty if nothing.
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
    looked_at: int = 0
    quarter: int | None = None
    orientation: int = 0
    holdout: bool = False
    projected: str = ""
    remark: str = ""

    @property
    def usable(self) -> bool:
        """Whether nothing is wrong with it: not broken, not exploratory, not left out."""
        return not (self.blocked or self.exploratory or self.left_out)

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

    @property
    def looked(self) -> bool:
        """Whether its effects were one of the planned looks: usable, no holdout, no projection."""
        return self.usable and not self.holdout and not self.projected


@dataclass(frozen=True, kw_only=True)
class Case:
    """One link with all its experiments, its registered sizes and its declared looks.

    Parameters
    ----------
    trials : tuple of Trialed
    sesoi : float
        KPI units per increment, above zero.
    expected_sign : int
    looks : LookPlan
        What was declared at registration: when evidence may be looked at.
    now : int or None
        Quarter that is judged, as `Trialed.quarter`; None where ageing is not watched.
    waiting : bool
        Whether the portfolio has no slot for the link before its next horizon.
    past_data : str
        What past data say, in words; empty if they were not analysed.
    past_interval : (float, float)
        95 % interval of past data in the KPI's own sign; NaN if they were not analysed.
    step : str
        One increment in words, for the reasons.
    unit : str
        Unit of the KPI, for the reasons; a fraction is told in points.
    """

    trials: tuple[Trialed, ...]
    sesoi: float
    expected_sign: int
    looks: LookPlan = SINGLE
    now: int | None = None
    waiting: bool = False
    past_data: str = ""
    past_interval: tuple[float, float] = (math.nan, math.nan)
    step: str = "increment"
    unit: str = ""

    @property
    def scale(self) -> tuple[float, str]:
        """Factor and unit in which the reasons tell KPI effects."""
        return (100.0, " points") if self.unit == "fraction" else (1.0, f" {self.unit}" if self.unit else "")

    @cached_property
    def counted(self) -> tuple[Trialed, ...]:
        """Trials that the size rests on, in order of their looks.

        Of fewer than ten those whose lever is neither inert nor moved the CPI against its declared sign. Of more all
        count: leaving out what moved little is choosing by noise, which adds up over many experiments.
        """
        if len(self.known) >= MANY:
            return self.known
        return tuple(t for t in self.known if t.move in ("moved", "unproven"))

    @cached_property
    def known(self) -> tuple[Trialed, ...]:
        """Trials whose effects were looked at, in order of their looks: what running p-values are made of."""
        return tuple(sorted((t for t in self.trials if t.looked), key=lambda t: t.looked_at))

    @cached_property
    def aging(self) -> tuple[Trialed, ...]:
        """Trials that tell whether the link still holds: the counted ones and the holdouts, with their quarter."""
        holdouts = (t for t in self.trials if t.usable and t.holdout and t.move in ("moved", "unproven"))
        return tuple(t for t in (*self.counted, *holdouts) if t.quarter is not None)

    @cached_property
    def projections(self) -> tuple[Trialed, ...]:
        """Usable trials whose KPI is projected from surrogates."""
        return tuple(t for t in self.trials if t.usable and t.projected and t.move in ("moved", "unproven"))

    @property
    def blocks(self) -> tuple[str, ...]:
        """Why no verdict may be given, one text per broken trial that would be fresh."""
        broken_ones = (t for t in self.trials if t.blocked and not t.left_out and not t.projected)
        return tuple(f"{t.experiment}: {t.blocked}" for t in broken_ones if not self.long_ago(t))

    def long_ago(self, trial: Trialed) -> bool:
        """Whether a trial ended four quarters ago or more."""
        return self.now is not None and trial.quarter is not None and self.now - trial.quarter >= SPAN

    def effects(self, trials: tuple[Trialed, ...]) -> Effects:
        """Arrays of trials, oriented so that the expected sign of the link is +."""
        sign, pairs = self.expected_sign, [t.pair for t in trials]
        return Effects(
            x=np.array([p.effect_cpi for p in pairs]),
            y=sign * np.array([p.effect_kpi for p in pairs]),
            xx=np.array([p.var_cpi for p in pairs]),
            xy=sign * np.array([p.cov for p in pairs]),
            yy=np.array([p.var_kpi for p in pairs]),
            df=np.array([p.df for p in pairs]),
            sign=np.array([float(t.lever_sign) for t in trials]),
            move=np.array([t.planned_move for t in trials]),
        )

    def without_overlaps(self, overlaps: Mapping[str, Collection[str]]) -> Case:
        """Of trials that share customers keep the first one looked at, then the one with most planned information.

        Parameters
        ----------
        overlaps : mapping of experiment to experiments that share customers with it
            Told by either side. Trials that do not count anyway, holdouts among them, push none out.

        Notes
        -----
        What was counted at one look stays counted at the next, or the running p-value would not be one.
        """
        usable = [t for t in self.trials if t.looked and self._kept(t)]
        holdouts = [t for t in self.trials if t.usable and t.holdout and not t.projected]
        kept: list[str] = []
        out: dict[str, str] = {}
        order = sorted(usable, key=lambda t: (t.looked_at, -(t.planned_move**2) / t.pair.var_kpi, t.experiment))
        for trial in (*order, *holdouts):
            mine = overlaps.get(trial.experiment, ())
            partner = next((k for k in kept if k in mine or trial.experiment in overlaps.get(k, ())), None)
            if partner is None:
                kept.append(trial.experiment)
            else:
                first = next(t for t in (*usable, *holdouts) if t.experiment == partner)
                why = "was looked at before" if first.looked_at < trial.looked_at else "has more information"
                out[trial.experiment] = f"it shares customers with {partner}, which {why}"
        told = (replace(t, left_out=out[t.experiment]) if t.experiment in out else t for t in self.trials)
        return replace(self, trials=tuple(told))

    def _kept(self, trial: Trialed) -> bool:
        effects = self.effects((trial,))
        return bool(spoken_for(effects, 0.0, inert_share=INERT_SHARE)[0])
