"""The noun of a link whose KPI is not known yet: projected from what is known early."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, Row, decimals, interval, level_text, number, p_text, percent, points
from cpi_experiments.estimate import Diagnostic, EffectPair, Estimate, Status
from cpi_experiments.randomized.links.link import (
    Intervals,
    effect_text,
    f_text,
    not_used,
    sample_ratio_line,
    wrapped_lines,
)
from cpi_experiments.stats.surrogate_checks import LateCheck
from cpi_experiments.stats.surrogate_index import SurrogateModel
from cpi_experiments.wording.projection import (
    assumption_sentences,
    came_true_line,
    history_line,
    late_line,
    projected_sentence,
)
from cpi_experiments.wording.results import late_sentence

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class CameTrue:
    """An earlier projection beside what was measured when its KPI was known.

    Parameters
    ----------
    projected, measured : float
        Effect of that experiment's lever on the KPI, in KPI units.
    std_error : float
        Of their difference: what the two do not share, and the error of the model.
    """

    projected: float
    measured: float
    std_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedLink(Displayed):
    """What one increment of a CPI would do to a KPI that is not known yet; evidence of grade C at most.

    Parameters
    ----------
    first_stage : Estimate
        Lever on CPI, in raw CPI units (ITT).
    reduced_form : Estimate
        Lever on KPI, projected (ITT).
    estimate : Estimate
        KPI per increment (LATE), projected; as in `cpi_experiments.randomized.links.link.LinkEffect`.
    ar_set : tuple of (low, high)
        Anderson-Rubin (Fieller) set.
    f_effective, breakdown : float
        First-stage strength; largest share of the projected lift that may bypass the CPI.
    integrity : Diagnostic
        Sample ratio.
    pair : EffectPair
        The five numbers, the CPI counted in increments; the KPI's variance holds the model's error. To be judged only
        together with ``matures``.
    step : str
        One increment in words.
    surrogates : tuple of str
    matures : str
        ISO date on which the KPI itself is known.
    model : SurrogateModel
        Of the history.
    effects : tuple of Estimate
        Lever on every surrogate (ITT), in the order of ``surrogates``.
    var_trial, var_model, var_gap : float
        Parts of the projected effect's variance: this trial's noise, the model's error, what earlier projections were
        off by.
    outside : float
        Share of the trial's customers with a surrogate outside the history's range.
    late : LateCheck or None
        How a model of the earlier history predicts the last fifth of it; None without a time column or with few rows.
    came_true : tuple of CameTrue
    shares : bool
        Whether the KPI is a yes/no column of the history, so that effects read in points.
    unit : str
        Randomised unit for the sentence; empty if rows.
    """

    first_stage: Estimate
    reduced_form: Estimate
    estimate: Estimate
    ar_set: Intervals
    f_effective: float
    breakdown: float
    integrity: Diagnostic
    pair: EffectPair
    step: str
    surrogates: tuple[str, ...]
    matures: str
    model: SurrogateModel
    effects: tuple[Estimate, ...]
    var_trial: float
    var_model: float
    var_gap: float
    outside: float
    late: LateCheck | None
    came_true: tuple[CameTrue, ...] = ()
    shares: bool = False
    unit: str = ""

    @property
    def grade(self) -> str:
        """The best grade that this evidence can have: C; D if the CPI is the only surrogate; none if it is blocked."""
        if self.estimate.status is Status.FAILED or any(d.blocks and not d.passed for d in self.estimate.diagnostics):
            return ""
        return "D" if self.surrogates == (self.estimate.cause,) else "C"

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        e, scale = self.estimate, self._scale
        digits = decimals(scale * e.ci_low, scale * e.ci_high)
        pieces = [interval(scale * low, scale * high, digits) for low, high in self.ar_set]
        shapes = {Status.FAILED: "failed", Status.OK: "interval"}
        return projected_sentence(
            step=self.step,
            kpi=e.outcome,
            value=self._text(e.value, digits),
            interval=" or ".join(pieces) or "empty",
            level=level_text(e.confidence_level),
            shape=shapes.get(e.status, "open"),
            matures=self.matures,
        )

    @property
    def assumptions(self) -> tuple[str, str, str]:
        """What the projection takes for granted, in sentences."""
        return assumption_sentences(kpi=self.estimate.outcome, surrogates=list(self.surrogates))

    def plot(self, *, sesoi: float | None = None) -> Figure:
        """Draw the Anderson-Rubin p-value over all ratios, the set shaded; as for a link that is measured.

        Parameters
        ----------
        sesoi : float, optional
            Smallest effect worth acting on, in KPI units per increment; marked on both sides of 0.

        Raises
        ------
        EstimationError
            If there is no estimate.
        """
        from cpi_experiments.randomized.links.link_curve import curve_of_link  # noqa: PLC0415 - matplotlib loads slowly

        return curve_of_link(self, sesoi=sesoi)  # type: ignore[arg-type] # it has everything that is drawn

    @property
    def _scale(self) -> float:
        return 100.0 if self.shares else 1.0

    def _text(self, value: float, digits: int) -> str:
        text = number(value * self._scale, digits, sign=True)
        return points(text) if self.shares else text

    def _title(self) -> str:
        return self.sentence

    def _who(self) -> str:
        e = self.estimate
        return late_sentence(cpi=e.cause, unit=self.unit, n_obs=f"{e.n_obs:,}", n_clusters=f"{e.n_clusters:,}")

    def _lines(self) -> list[tuple[str, str]]:
        e, first = self.estimate, self.first_stage
        lines = [(f"{first.cause} -> {e.cause}", f"{effect_text(first, 1.0)}, F {f_text(self.f_effective)}")]
        lines += [(f"{s.cause} -> {s.outcome}", effect_text(s, 1.0)) for s in self.effects if s.outcome != e.cause]
        lines.append((f"{first.cause} -> {e.outcome}, projected", self._projected_text()))
        lines += [("history", self._history_text()), *self._late_text(), *self._came_true_text()]
        lines.append(("outside the history", f"{percent(self.outside, 1)} of the trial's customers"))
        lines.append(sample_ratio_line(self.integrity))
        lines += [(d.name, d.advice) for d in e.diagnostics if not d.passed and d != self.integrity]
        lines += [("takes for granted", each) for each in self.assumptions]
        best = f"{self.grade} at most, until {e.outcome} itself is known" if self.grade else "none: blocked"
        return [*lines, ("grade", best), *not_used(e)]

    def _projected_text(self) -> str:
        total = self.pair.var_kpi
        if not total > 0:
            return effect_text(self.reduced_form, self._scale)
        parts = f"{percent(self.var_model / total)} of its variance is the history's"
        if self.var_gap > 0:
            parts += f", {percent(self.var_gap / total)} what earlier projections were off by"
        return f"{effect_text(self.reduced_form, self._scale)}; {parts}"

    def _history_text(self) -> str:
        m = self.model
        beyond = "" if m.r_squared == m.r_squared_surrogates else percent(m.r_squared_surrogates)
        return history_line(rows=f"{m.n_obs:,}", share=percent(m.r_squared), beyond=beyond)

    def _late_text(self) -> list[tuple[str, str]]:
        if self.late is None:
            return []
        c, digits = self.late, decimals(self.late.ci_low, self.late.ci_high)
        return [("later history", late_line(
            slope=number(c.slope, digits), span=interval(c.ci_low, c.ci_high, digits), error=f"{c.error:.3g}",
            bias=f"{c.bias:+.2g}", rows=f"{c.n_late:,}",
        ))]  # fmt: skip

    def _came_true_text(self) -> list[tuple[str, str]]:
        lines = []
        for each in self.came_true:
            gap, half = each.measured - each.projected, 1.96 * each.std_error
            low, high = self._scale * (gap - half), self._scale * (gap + half)
            digits = decimals(low, high)
            told = came_true_line(
                projected=self._text(each.projected, digits),
                found=self._text(each.measured, digits),
                span=interval(low, high, digits, sign=True),
            )
            lines.append(("came true?", told))
        return lines

    def _shown(self) -> list[Row]:
        return [{"what": name, "found": text} for name, text in [("for whom", self._who()), *self._lines()]]

    def __str__(self) -> str:
        return wrapped_lines(self.sentence, self._who(), self._lines())

    def _rows(self) -> list[Row]:
        e, pair = self.estimate, self.pair
        return [
            {
                "cpi": e.cause,
                "kpi": e.outcome,
                "step": self.step,
                "estimand": e.estimand.value,
                "effect": e.value,
                "std_error": e.std_error,
                "ci_low": e.ci_low,
                "ci_high": e.ci_high,
                "p_value": e.p_value,
                "projected": self.matures,
                "grade": self.grade,
                "effect_cpi": pair.effect_cpi,
                "effect_kpi": pair.effect_kpi,
                "var_cpi": pair.var_cpi,
                "var_kpi": pair.var_kpi,
                "cov": pair.cov,
                "df": pair.df,
                "var_trial": self.var_trial,
                "var_model": self.var_model,
                "var_gap": self.var_gap,
                "r_squared": self.model.r_squared,
                "late_slope": math.nan if self.late is None else self.late.slope,
                "outside": self.outside,
                "n_obs": e.n_obs,
                "n_history": self.model.n_obs,
                "method": e.method,
                "status": e.status.value,
            }
        ]


def gap_diagnostic(statistic: float, p_value: float, count: int) -> Diagnostic:
    """Say whether earlier projections came true.

    Examples
    --------
    >>> gap_diagnostic(1.2, 0.55, 2).passed, gap_diagnostic(14.0, 0.001, 2).passed
    (True, False)
    """
    passed = not p_value < 0.05
    told = "1 earlier projection" if count == 1 else f"{count} earlier projections"
    return Diagnostic(
        name="earlier projections",
        null="earlier projections came true",
        statistic=statistic,
        p_value=p_value,
        passed=passed,
        advice=""
        if passed
        else f"{told} missed what was measured by more than chance (p {p_text(p_value)}); the set is widened by it.",
    )
