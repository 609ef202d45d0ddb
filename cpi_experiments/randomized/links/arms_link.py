"""The noun of a link that several arms estimate together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, Row, decimals, interval, level_text, number, p_text, points
from cpi_experiments.estimate import Diagnostic, Estimate, Status
from cpi_experiments.randomized.links.link import (
    Intervals,
    LinkEffect,
    effect_text,
    f_text,
    not_used,
    sample_ratio_line,
    wrapped_lines,
)
from cpi_experiments.stats.instruments.several_instruments import JointEffects
from cpi_experiments.wording.results import arms_sentence, late_sentence, link_sentence

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmsLink(Displayed):
    """What one increment of a CPI does to a KPI, from several treatments against one control.

    Parameters
    ----------
    arms : tuple of LinkEffect
        Each treatment on its own, as if the others were not there; its pair goes with the experiment's evidence.
    estimate : Estimate
        KPI per increment (LATE) from all arms: the ratio at which they disagree least; its p-value is the joint test
        that no arm moved the KPI. Value and interval are NaN where the set is empty.
    ar_set : tuple of (low, high)
        Anderson-Rubin set of all arms; several pieces and infinite ends allowed, empty = the arms disagree.
    joint : JointEffects
        Effects of all arms in increments with their covariance, after one adjustment of all of them.
    two_stage, two_stage_error : float
        Two-stage least squares, an average of the arms' ratios, and its standard error; shown, never used to decide.
    f_effective : float
        Strength of all arms together (Montiel Olea and Pflueger); shown, never a filter.
    agreement : Diagnostic
        The J statistic: least misfit over all ratios, K - 1 degrees of freedom.
    hansen : Diagnostic
        The same with the covariance taken at two-stage least squares (Q).
    integrity : Diagnostic
        Sample ratio.
    step : str
        One increment in words.
    shares : bool
        Whether the KPI is a yes/no column.
    unit : str
        Randomised unit for the sentence; empty if rows.
    """

    arms: tuple[LinkEffect, ...]
    estimate: Estimate
    ar_set: Intervals
    joint: JointEffects
    two_stage: float
    two_stage_error: float
    f_effective: float
    agreement: Diagnostic
    hansen: Diagnostic
    integrity: Diagnostic
    step: str
    shares: bool = False
    unit: str = ""

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        e, scale = self.estimate, 100.0 if self.shares else 1.0
        shape = _shape(self)
        digits = decimals(scale * e.ci_low, scale * e.ci_high)
        pieces = " or ".join(interval(scale * low, scale * high, digits) for low, high in self.ar_set)
        level = level_text(e.confidence_level)
        if shape in ("empty", "pieces"):
            return arms_sentence(step=self.step, kpi=e.outcome, pieces=pieces, level=level, arms=len(self.arms))
        text = number(scale * e.value, digits, sign=True)
        value = points(text) if self.shares else text
        return link_sentence(step=self.step, kpi=e.outcome, value=value, interval=pieces, level=level, shape=shape)

    def plot(self, *, sesoi: float | None = None) -> Figure:
        """Draw the Anderson-Rubin p-value over all ratios, the set shaded.

        Parameters
        ----------
        sesoi : float, optional
            Smallest effect worth acting on, in KPI units per increment; marked on both sides of 0.

        Raises
        ------
        EstimationError
            If there is no estimate.
        """
        from cpi_experiments.randomized.links.link_curve import curve_of_arms  # noqa: PLC0415 - matplotlib loads slowly

        return curve_of_arms(self, sesoi=sesoi)

    def _title(self) -> str:
        return self.sentence

    def _lines(self) -> list[tuple[str, str]]:
        e, scale = self.estimate, 100.0 if self.shares else 1.0
        first = [
            (
                f"{arm.first_stage.cause} -> {e.cause}",
                f"{effect_text(arm.first_stage, 1.0)}, F {f_text(arm.f_effective)}",
            )
            for arm in self.arms
        ]
        reduced = [
            (f"{arm.first_stage.cause} -> {e.outcome}", effect_text(arm.reduced_form, scale)) for arm in self.arms
        ]
        notes = [(d.name, d.advice) for d in e.diagnostics if not d.passed and d != self.integrity]
        return [*first, *reduced, *self._together(scale), sample_ratio_line(self.integrity), *notes, *not_used(e)]

    def _together(self, scale: float) -> list[tuple[str, str]]:
        if not math.isfinite(self.agreement.statistic):
            return []
        digits = decimals(
            scale * (self.two_stage - self.two_stage_error), scale * (self.two_stage + self.two_stage_error)
        )
        value, error = (number(scale * each, digits) for each in (self.two_stage, self.two_stage_error))
        return [
            ("all arms", f"effective F {f_text(self.f_effective)}, two-stage least squares {value} (error {error})"),
            (
                "misfit",
                ", ".join(
                    f"{name} {found.statistic:.3g} (p {p_text(found.p_value)})"
                    for name, found in (("J", self.agreement), ("Q", self.hansen))
                ),
            ),
        ]

    def _who(self) -> str:
        e = self.estimate
        return late_sentence(cpi=e.cause, unit=self.unit, n_obs=f"{e.n_obs:,}", n_clusters=f"{e.n_clusters:,}")

    def _shown(self) -> list[Row]:
        return [{"what": name, "found": text} for name, text in [("for whom", self._who()), *self._lines()]]

    def __str__(self) -> str:
        return wrapped_lines(self.sentence, self._who(), self._lines())

    def _rows(self) -> list[Row]:
        e = self.estimate
        together: Row = {
            "arm": "all",
            "cpi": e.cause,
            "kpi": e.outcome,
            "step": self.step,
            "estimand": e.estimand.value,
            "effect": e.value,
            "std_error": e.std_error,
            "ci_low": e.ci_low,
            "ci_high": e.ci_high,
            "p_value": e.p_value,
            "f_effective": self.f_effective,
            "two_stage": self.two_stage,
            "j": self.agreement.statistic,
            "j_p_value": self.agreement.p_value,
            "n_obs": e.n_obs,
            "n_clusters": e.n_clusters,
            "method": e.method,
            "status": e.status.value,
        }
        own = [{"arm": arm.first_stage.cause, **row} for arm in self.arms for row in arm._rows()]  # noqa: SLF001 - rows of the same family
        return [together, *own]


def _shape(link: ArmsLink) -> str:
    """Name what the set looks like: interval, open, pieces, empty, or failed."""
    if math.isnan(link.agreement.statistic):
        return "failed"
    if not link.ar_set:
        return "empty"
    if any(math.isinf(end) for piece in link.ar_set for end in piece):
        return "open"
    return "interval" if link.estimate.status is Status.OK else "pieces"
