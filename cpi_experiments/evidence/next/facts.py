"""What the trials of a project tell about trials to come: spread of KPIs, customers a day, moves, inert levers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Protocol

from scipy import special

from cpi_experiments.catalog.entities import Catalog
from cpi_experiments.estimate import EffectPair, Link
from cpi_experiments.evidence.case import INERT_SHARE, broken
from cpi_experiments.evidence.verdict import Design, Evidence

#: Before any trial, one lever in five is taken to be inert; that belief weighs as much as five trials.
INERT_BELIEF, BELIEF_TRIALS = 0.2, 5


class Plan(Protocol):
    """What is used of a planned experiment."""

    @property
    def id(self) -> str:
        """Name."""

    @property
    def lever(self) -> str:
        """Lever that is varied."""

    @property
    def links(self) -> tuple[Link, ...]:
        """Links that are tested."""

    @property
    def start(self) -> str:
        """First day of assignment, ISO."""

    @property
    def end(self) -> str:
        """Last day of assignment, ISO."""

    @property
    def planned_move(self) -> float:
        """Steps by which the lever should move the CPI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One trial of a link with its five numbers.

    Parameters
    ----------
    link : Link
    experiment, lever : str
    pair : EffectPair
    lever_sign, planned_move : int, float
    customers : int
    """

    link: Link
    experiment: str
    lever: str
    pair: EffectPair
    lever_sign: int
    planned_move: float
    customers: int

    def variance(self, slope: float) -> float:
        """Variance between customers of KPI less slope x CPI, as if the arms had been equal: n/4 of the effect's."""
        pair = self.pair
        return (pair.var_kpi - 2 * slope * pair.cov + slope**2 * pair.var_cpi) * self.customers / 4

    @property
    def moved(self) -> tuple[float, float]:
        """Move given that it is not inert, and the chance that it is: below a quarter of the planned move."""
        line = INERT_SHARE * self.planned_move
        move, error = self.lever_sign * self.pair.effect_cpi, math.sqrt(self.pair.var_cpi)
        if error == 0:
            return max(move, line), float(move < line)
        a = (line - move) / error
        hazard = math.exp(-0.5 * a * a - float(special.log_ndtr(-a))) / math.sqrt(2 * math.pi)
        return move + error * hazard, float(special.ndtr(a))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that is known of past trials, asked by link, KPI and lever.

    Parameters
    ----------
    catalog : Catalog
    trials : tuple of Tried
    plans : mapping of experiment to Plan
    """

    catalog: Catalog
    trials: tuple[Tried, ...]
    plans: Mapping[str, Plan]

    @classmethod
    def of(cls, catalog: Catalog, evidence: Iterable[Evidence], plans: Iterable[Plan]) -> Facts:
        """Keep the trials whose numbers can be used."""
        found = (_tried(e) for e in evidence if e.design is Design.RANDOMIZED and not e.blocked)
        return cls(
            catalog=catalog,
            trials=tuple(t for t in found if t is not None),
            plans={plan.id: plan for plan in plans},
        )

    def window_days(self, link: Link) -> float:
        """Days after an assignment until CPI and KPI of a link are complete."""
        cpi, kpi = self.catalog.cpi(link.cpi_id), self.catalog.kpi(link.kpi_id)
        return max(cpi.measure.window_days, kpi.measure.window_days)

    def unit_sd(self, link: Link, slope: float) -> float:
        """Return the standard deviation between customers that a trial of a link must see through; NaN if unknown.

        From the trials of the link (KPI less ``slope`` x CPI, as the Anderson-Rubin test has it), else of other links
        of the KPI, else of its baseline if it is a share. Design effects of groups and savings of covariates are in it.
        """
        mine = [t.variance(slope) for t in self.trials if t.link == link]
        others = [t.variance(0.0) for t in self.trials if t.link.kpi_id == link.kpi_id]
        if mine or others:
            return math.sqrt(median(mine or others))
        kpi = self.catalog.kpi(link.kpi_id)
        share = kpi.target.baseline if kpi.target and kpi.unit == "fraction" else None
        return math.sqrt(share * (1 - share)) if share is not None and 0 < share < 1 else math.nan

    def per_day(self, link: Link) -> float:
        """Return how many customers can enter a day; NaN if unknown.

        The most that entered in a trial of the CPI, else of the KPI (a trial may have taken fewer than there are), else
        the median of all trials.
        """
        paces = [(t.link, self._pace(t)) for t in self.trials if t.experiment in self.plans]
        near = [pace for other, pace in paces if other.cpi_id == link.cpi_id]
        near = near or [pace for other, pace in paces if other.kpi_id == link.kpi_id]
        if near:
            return max(near)
        return median(pace for _, pace in paces) if paces else math.nan

    def _pace(self, tried: Tried) -> float:
        plan = self.plans[tried.experiment]
        days = (date.fromisoformat(plan.end) - date.fromisoformat(plan.start)).days + 1
        return tried.customers / days

    def tried(self, lever: str, cpi: str = "") -> bool:
        """Whether a lever was varied in a trial (of a CPI)."""
        return any(t.lever == lever and cpi in ("", t.link.cpi_id) for t in self.trials)

    def move(self, lever: str, cpi: str) -> tuple[float, float]:
        """Return steps by which a lever moves a CPI if it does, and the chance that it does not.

        From its most precise trial; for a lever that was not tried, the planned move, else the median of other levers
        of the CPI, else one step, and the share of inert levers among those tried.
        """
        mine = [t for t in self.trials if t.lever == lever and t.link.cpi_id == cpi]
        if mine:
            return min(mine, key=lambda t: t.pair.var_cpi).moved
        planned = [p.planned_move for p in self.plans.values() if p.lever == lever and cpi in _cpis(p)]
        others = [t.moved[0] for t in self._by_cpi() if t.link.cpi_id == cpi]
        return median(planned or others or [1.0]), self._inert_share()

    def largest_move(self, cpi: str) -> float:
        """Return the largest move of a CPI by any lever that was tried; NaN if none was."""
        return max((t.moved[0] for t in self._by_cpi() if t.link.cpi_id == cpi), default=math.nan)

    def _by_cpi(self) -> list[Tried]:
        """One trial an experiment and CPI: several KPIs tell the same of the lever."""
        return list({(t.experiment, t.link.cpi_id): t for t in self.trials}.values())

    def _inert_share(self) -> float:
        chances = [t.moved[1] for t in self._by_cpi()]
        return (INERT_BELIEF * BELIEF_TRIALS + sum(chances)) / (BELIEF_TRIALS + len(chances))


def _tried(evidence: Evidence) -> Tried | None:
    pair = evidence.pair
    customers = (evidence.reduced_form or evidence.estimate).n_obs
    if pair is None or customers < 1 or broken(pair) or not pair.var_kpi > 0:
        return None
    return Tried(
        link=evidence.link,
        experiment=evidence.experiment,
        lever=evidence.lever,
        pair=pair,
        lever_sign=evidence.lever_sign,
        planned_move=evidence.planned_move,
        customers=customers,
    )


def _cpis(plan: Plan) -> set[str]:
    return {link.cpi_id for link in plan.links}
