"""The nouns of a link estimate: one link, or several KPIs of one CPI."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cpi_experiments.display import WIDTH, Displayed, Row, decimals, interval, level_text, number, percent, points
from cpi_experiments.errors import DataError
from cpi_experiments.estimate import Diagnostic, EffectPair, Estimate, Status
from cpi_experiments.stats.instruments.tf_interval import tf_interval
from cpi_experiments.wording.results import late_sentence, link_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from cpi_experiments.randomized.links.arms_link import ArmsLink  # noqa: TC004 - it imports this module

Intervals = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEffect(Displayed):
    """What one customer-valued increment of a CPI does to a KPI, for those whose CPI the lever changed.

    Parameters
    ----------
    first_stage : Estimate
        Lever on CPI, in raw CPI units (ITT).
    reduced_form : Estimate
        Lever on KPI (ITT).
    estimate : Estimate
        KPI per increment (LATE): Wald ratio; its p-value is the Anderson-Rubin test of zero (the reduced form's), its
        interval the hull of the set.
    ar_set : tuple of (low, high)
        Anderson-Rubin (Fieller) set; infinite ends allowed, empty = rejected everywhere.
    f_effective : float
        First-stage strength; shown, never a filter.
    breakdown : float
        Largest share of the KPI lift that may bypass the CPI before the sign is in doubt.
    integrity : Diagnostic
        Sample ratio.
    pair : EffectPair
        The five numbers, the CPI counted in increments; NaN where the estimate failed.
    step : str
        One increment in words.
    shares : bool
        Whether the KPI is a yes/no column, so that effects read in points.
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
    shares: bool = False
    unit: str = ""

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        e, scale = self.estimate, 100.0 if self.shares else 1.0
        digits = decimals(scale * e.ci_low, scale * e.ci_high)
        pieces = [interval(scale * low, scale * high, digits) for low, high in self.ar_set]
        return link_sentence(
            step=self.step,
            kpi=e.outcome,
            value=_value_text(scale * e.value, digits, shares=self.shares),
            interval=" or ".join(pieces) or "empty",
            level=level_text(e.confidence_level),
            shape=_shape(self),
        )

    @property
    def tf_interval(self) -> tuple[float, float]:
        """The tF interval of Lee, McCrary, Moreira and Porter (2022): shown beside the set, never used to decide."""
        e = self.estimate
        if math.isnan(e.std_error) or e.confidence_level <= 0.5:
            return math.nan, math.nan
        return tf_interval(e.value, e.std_error, self.f_effective, confidence_level=e.confidence_level)

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
        from cpi_experiments.randomized.links.link_curve import curve_of_link  # noqa: PLC0415 - matplotlib loads slowly

        return curve_of_link(self, sesoi=sesoi)

    def _title(self) -> str:
        return self.sentence

    def _lines(self) -> list[tuple[str, str]]:
        e = self.estimate
        lines = [
            (
                f"{self.first_stage.cause} -> {e.cause}",
                f"{effect_text(self.first_stage, 1.0)}, F {f_text(self.f_effective)}",
            ),
            (
                f"{self.first_stage.cause} -> {e.outcome}",
                effect_text(self.reduced_form, 100.0 if self.shares else 1.0),
            ),
            sample_ratio_line(self.integrity),
            *self._direct_path(),
            *((d.name, d.advice) for d in e.diagnostics if not d.passed and d != self.integrity),
        ]
        return [*lines, *not_used(e)]

    def _who(self) -> str:
        e = self.estimate
        return late_sentence(cpi=e.cause, unit=self.unit, n_obs=f"{e.n_obs:,}", n_clusters=f"{e.n_clusters:,}")

    def _shown(self) -> list[Row]:
        lines = [("for whom", self._who()), *self._lines(), *self._tf_line()]
        return [{"what": name, "found": text} for name, text in lines]

    def _tf_line(self) -> list[tuple[str, str]]:
        low, high = self.tf_interval
        if math.isnan(low):
            return []
        scale = 100.0 if self.shares else 1.0
        text = interval(scale * low, scale * high, decimals(scale * low, scale * high))
        return [("tF interval", f"{text}; shown for comparison, decides nothing")]

    def __str__(self) -> str:
        return wrapped_lines(self.sentence, self._who(), self._lines())

    def _direct_path(self) -> list[tuple[str, str]]:
        if math.isnan(self.breakdown) or self.estimate.status is Status.FAILED:
            return []
        share, cpi = percent(self.breakdown), self.estimate.cause
        ends = [end for piece in self.ar_set for end in piece]
        one_sign = bool(ends) and (min(ends) > 0 or max(ends) < 0)
        if self.breakdown == 0 or not one_sign or not all(map(math.isfinite, ends)):
            return [("direct path", f"the sign is in doubt even if nothing bypasses {cpi}")]
        return [("direct path", f"up to {share} of the lift may bypass {cpi} before the sign is in doubt")]

    def _rows(self) -> list[Row]:
        e = self.estimate
        tf_low, tf_high = self.tf_interval
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
                "first_stage": self.first_stage.value,
                "reduced_form": self.reduced_form.value,
                "f_effective": self.f_effective,
                "breakdown": self.breakdown,
                "tf_low": tf_low,
                "tf_high": tf_high,
                "n_obs": e.n_obs,
                "n_clusters": e.n_clusters,
                "method": e.method,
                "status": e.status.value,
            }
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEffects(Displayed):
    """Link effects of one or several CPIs on several KPIs, in the order asked for: every KPI of the first CPI, then on.

    Index by position, by KPI where there is one CPI, or by ``(cpi, kpi)``.

    Parameters
    ----------
    effects : tuple of LinkEffect, or of ArmsLink where there are several treatments
    moved_too : tuple of Diagnostic
        For every CPI of several, whether the lever moved one of the others: then none of them may be credited alone.
    """

    effects: tuple[LinkEffect | ArmsLink, ...]
    moved_too: tuple[Diagnostic, ...] = ()

    def __len__(self) -> int:
        return len(self.effects)

    def __iter__(self) -> Iterator[LinkEffect | ArmsLink]:
        return iter(self.effects)

    def __getitem__(self, key: int | str | tuple[str, str]) -> LinkEffect | ArmsLink:
        """Return an effect by position, by KPI, or by CPI and KPI."""
        if isinstance(key, int):
            return self.effects[key]
        cpi, kpi = (None, key) if isinstance(key, str) else key
        found = [e for e in self.effects if e.estimate.outcome == kpi and cpi in (None, e.estimate.cause)]
        if len(found) == 1:
            return found[0]
        if found:
            cpis = ", ".join(repr(effect.estimate.cause) for effect in found)
            raise DataError(f"{len(found)} effects match {key!r}", advice=f"Name the CPI too: ({cpis}).")
        known = ", ".join(dict.fromkeys(effect.estimate.outcome for effect in self.effects))
        cpis = ", ".join(dict.fromkeys(effect.estimate.cause for effect in self.effects))
        what = f"{key!r} is not among the KPIs" if isinstance(key, str) else f"no effect of {cpi!r} on {kpi!r}"
        raise DataError(what, advice=f"KPIs: {known}; CPIs: {cpis}.")

    def _title(self) -> str:
        return "\n".join(effect.sentence for effect in self.effects)

    def _rows(self) -> list[Row]:
        return [row for effect in self.effects for row in effect._rows()]  # noqa: SLF001 - rows of the same family

    def __str__(self) -> str:
        notes = dict.fromkeys(_wrapped(f"{d.name}: {d.advice}", "") for d in self.moved_too if not d.passed)
        return "\n\n".join([*map(str, self.effects), *notes])


def with_note(link: LinkEffect | ArmsLink, note: Diagnostic) -> LinkEffect | ArmsLink:
    """Add a check to the estimate of a link."""
    return replace(link, estimate=replace(link.estimate, diagnostics=(*link.estimate.diagnostics, note)))


def sample_ratio_line(integrity: Diagnostic) -> tuple[str, str]:
    """Say in a line whether the arms are split as planned."""
    if integrity.passed:
        return "sample ratio", "ok"
    return "sample ratio", f"{'BLOCKED' if integrity.blocks else 'watch'}: {integrity.advice}"


def not_used(estimate: Estimate) -> list[tuple[str, str]]:
    """Say in a line which rows were not used, if there are any."""
    if not estimate.dropped:
        return []
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in estimate.dropped)
    return [("not used", f"{estimate.n_dropped:,} rows: {reasons}")]


def wrapped_lines(sentence: str, who: str, lines: list[tuple[str, str]]) -> str:
    """Lay a sentence, for whom it holds, and named lines out for a terminal."""
    width = min(max(len(name) for name, _ in lines), WIDTH // 2) + 2
    head = [_wrapped(sentence, ""), _wrapped(who, "  "), ""]
    return "\n".join([*head, *(_wrapped(text, f"  {name:<{width}} ", " " * (width + 3)) for name, text in lines)])


def _wrapped(text: str, first: str, later: str | None = None) -> str:
    """Break a line at spaces so that it fits a terminal; names are never cut."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=first if later is None else later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _shape(link: LinkEffect) -> str:
    if link.estimate.status is Status.FAILED:
        return "failed"
    return "interval" if link.estimate.status is Status.OK else "open"


def _value_text(value: float, digits: int, *, shares: bool) -> str:
    text = number(value, digits, sign=True)
    return points(text) if shares else text


def f_text(f_effective: float) -> str:
    """Write a first stage's F: three digits, whole numbers from 100 on."""
    return f"{f_effective:.3g}" if f_effective < 100 else number(f_effective, 0)


def effect_text(estimate: Estimate, scale: float) -> str:
    """Write an effect with its interval, in points where ``scale`` is 100."""
    low, high = scale * estimate.ci_low, scale * estimate.ci_high
    digits = decimals(low, high)
    value = _value_text(scale * estimate.value, digits, shares=scale != 1)
    return f"{value} ({interval(low, high, digits, sign=True)})"
