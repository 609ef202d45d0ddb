"""What a comparison of arms answers: one effect a row, differences between segments, and the sample ratio first."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cpi_experiments.display import (
    WIDTH,
    Displayed,
    Row,
    decimals,
    interval,
    level_text,
    number,
    one_line,
    p_text,
    percent,
    text_table,
)
from cpi_experiments.errors import DataError
from cpi_experiments.estimate import Diagnostic, Estimate, Status
from cpi_experiments.randomized.arms import Label
from cpi_experiments.randomized.effects.decisions import MarginVerdict, margin_columns, short_margin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Standard errors that a control mean must be above zero for an effect to be given as a share of it.
LEAST_BASE = 2.0
PlotScale = Literal["auto", "absolute", "relative"]
#: Columns of the printed table that make room for others, the first first.
_SPARE = ("n", "relative", "margin", "arm", "p")
#: Characters of names, ever fewer.
_NAMES = (28, 18, 12, 8)
_CUT = ("outcome", "arm", "segment")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEffect(Displayed):
    """Effect of one arm on one outcome, absolute and relative to the control.

    Parameters
    ----------
    estimate : Estimate
        Absolute effect, treatment less control, in the outcome's unit.
    arm, control : label
    rel_effect, rel_ci_low, rel_ci_high : float
        Effect over the unadjusted control mean (0.1 = +10 %); NaN where that mean is not above zero by two of its own
        standard errors (a share of what may be zero says nothing).
    control_mean, treatment_mean : float
        Unadjusted means (ratios for a `Ratio`).
    n_control, n_treatment : int
    p_adjusted : float, optional
        The p-value corrected for the number of tests, where a correction was asked for.
    joint_low, joint_high : float, optional
        Interval that holds together with those of all other rows (Bonferroni only); NaN where the effect's own is no t
        interval: ranks and resampling.
    margins : tuple of MarginVerdict
        Non-inferiority and equivalence, where margins were given.
    segment : str
        Such as ``region = north``; empty for all units together.
    """

    estimate: Estimate
    arm: Label
    control: Label
    rel_effect: float
    rel_ci_low: float
    rel_ci_high: float
    control_mean: float
    treatment_mean: float
    n_control: int
    n_treatment: int
    p_adjusted: float | None = None
    joint_low: float | None = None
    joint_high: float | None = None
    margins: tuple[MarginVerdict, ...] = ()
    segment: str = ""

    def _title(self) -> str:
        return self.estimate._title()  # noqa: SLF001 - a title of the same family

    def _rows(self) -> list[Row]:
        e = self.estimate
        row: Row = {
            "outcome": e.outcome,
            "arm": self.arm,
            "control": self.control,
            "estimand": e.estimand.value,
            "effect": e.value,
            "std_error": e.std_error,
            "ci_low": e.ci_low,
            "ci_high": e.ci_high,
            "p_value": e.p_value,
            "rel_effect": self.rel_effect,
            "rel_ci_low": self.rel_ci_low,
            "rel_ci_high": self.rel_ci_high,
            "control_mean": self.control_mean,
            "treatment_mean": self.treatment_mean,
            "n_control": self.n_control,
            "n_treatment": self.n_treatment,
            "method": e.method,
            "status": e.status.value,
        }
        extra = {"p_adjusted": self.p_adjusted, "joint_low": self.joint_low, "joint_high": self.joint_high}
        return [
            row | {name: value for name, value in extra.items() if value is not None} | margin_columns(self.margins)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDifference(Displayed):
    """Effects of one arm on one outcome within segments, and whether they differ.

    Parameters
    ----------
    by : str
        Column of the segments.
    outcome, arm, control
    effects : tuple of ArmEffect
        One a segment, in order of the labels.
    left_out : tuple of (segment, reason)
        Segments without an estimate.
    dropped : tuple of (reason, rows)
        Rows of these arms that are in no segment; they count in the effect of all units only.
    statistic, df : float
        Welch's F of the segments' effects, and the number of effects less one.
    p_value : float
        Of "the effect is the same in every segment"; NaN if fewer than two segments have an estimate.
    p_adjusted : float, optional
        Corrected for the number of such tests in the comparison.
    confidence_level : float
    """

    by: str
    outcome: str
    arm: Label
    control: Label
    effects: tuple[ArmEffect, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    dropped: tuple[tuple[str, int], ...] = ()
    statistic: float
    df: float
    p_value: float
    p_adjusted: float | None = None
    confidence_level: float = 0.95

    @property
    def sentence(self) -> str:
        """Whether the effect differs, in one line."""
        p = self.p_value if self.p_adjusted is None else self.p_adjusted
        about = f"the effect of {self.arm} on {self.outcome} differs by {self.by}"
        if math.isnan(p):
            return f"Whether {about} cannot be told: fewer than two segments have an estimate."
        said = f"(p {p_text(p)}{', corrected' if self.p_adjusted is not None else ''})"
        return f"T{about[1:]} {said}." if p < 1 - self.confidence_level else f"No sign that {about} {said}."

    def _title(self) -> str:
        return self.sentence

    def _rows(self) -> list[Row]:
        return [{"segment": each.segment} | row for each in self.effects for row in each._rows()]  # noqa: SLF001 - rows of the same family

    def _shown(self) -> list[dict[str, str]]:
        return [_shown(each) for each in self.effects]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Displayed):
    """Effects of every arm on every outcome, with the sample ratio that has to hold first.

    Parameters
    ----------
    effects : tuple of ArmEffect
        In the order of outcomes, then arms.
    integrity : Diagnostic
        Sample ratio against the intended allocation.
    correction : str
        How the p-values were corrected for their number.
    differences : tuple of SegmentDifference
        Where segments were asked for.
    """

    effects: tuple[ArmEffect, ...]
    integrity: Diagnostic
    correction: str = "none"
    differences: tuple[SegmentDifference, ...] = ()

    def __getitem__(self, key: str | tuple[str, Label]) -> ArmEffect:
        """Return the effect on an outcome (and arm, where there are several)."""
        outcome, arm = key if isinstance(key, tuple) else (key, None)
        found = [e for e in self.effects if e.estimate.outcome == outcome and arm in (None, e.arm)]
        if len(found) != 1:
            known = sorted({e.estimate.outcome for e in self.effects})
            raise DataError(f"{len(found)} effects match {key!r}", advice=f"Outcomes: {', '.join(known)}.")
        return found[0]

    @property
    def blocked(self) -> bool:
        """Whether the sample ratio forbids a verdict."""
        return self.integrity.blocks and not self.integrity.passed

    @property
    def sentence(self) -> str:
        """What was found, in one line, or that it is blocked; margins, segments and checks stand below the table."""
        if self.blocked:
            p = p_text(self.integrity.p_value)
            return f"Blocked: the {self.integrity.name} is not as planned (p {p}), so that no effect may be believed."
        if len(self.effects) == 1:
            return self.effects[0]._title()  # noqa: SLF001 - a title of the same family
        total, control = len(self.effects), self.effects[0].control
        counts = [sum(_side(each, self.correction) == side for each in self.effects) for side in (1, -1, 0)]
        lost = total - sum(counts)
        parts = [f"{count} {words}" for count, words in zip(counts, _SIDES, strict=True) if count]
        parts += [f"{lost} could not be estimated"] if lost else []
        how = _CORRECTED.get(self.correction, "each test on its own")
        return f"{total} effects against {control}: {', '.join(parts)} ({how})."

    def _title(self) -> str:
        lines = [self.sentence, str(self.integrity)]
        lines += [verdict._title() for effect in self.effects for verdict in effect.margins]  # noqa: SLF001 - a title of the same family
        for effect in self.effects:
            lost = "; ".join(f"{count:,} {reason}" for reason, count in effect.estimate.dropped)
            if lost:
                lines.append(f"not used for {effect.estimate.outcome}: {lost}")
            lines += [f"{effect.estimate.outcome}: {d.advice}" for d in effect.estimate.diagnostics if not d.passed]
        for each in self.differences:
            lines.append(each.sentence)
            lines += [f"not in the segments of {each.outcome}: {rows:,} {why}" for why, rows in each.dropped]
            lines += [f"{each.by} = {label} is left out for {each.outcome}: {why}" for label, why in each.left_out]
        return "\n".join(dict.fromkeys(map(one_line, lines)))

    def _rows(self) -> list[Row]:
        rows = [row for effect in self.effects for row in effect._rows()]  # noqa: SLF001 - rows of the same family
        if not self.differences:
            return rows
        return [{"segment": "all"} | row for row in rows] + [row for each in self.differences for row in each._rows()]  # noqa: SLF001 - rows of the same family

    def _shown(self) -> list[dict[str, str]]:
        rows = [_shown(effect) for effect in self.effects]
        if not self.differences:
            return rows
        return [{"segment": "all"} | row for row in rows] + [row for each in self.differences for row in each._shown()]  # noqa: SLF001 - rows of the same family

    def __str__(self) -> str:
        first, *notes = (
            textwrap.fill(line, WIDTH, break_long_words=False) for line in self._title().splitlines() if line
        )
        return "\n".join([first, "", text_table(_fitting(self._shown())), "", *notes])

    def plot(self, *, scale: PlotScale = "auto", title: str | None = None) -> Figure:
        """Draw a forest of the effects with their intervals.

        Parameters
        ----------
        scale : {"auto", "absolute", "relative"}
            Effects in the outcome's unit, or in percent of the control's mean; by default absolute for one outcome,
            relative for several, which have no unit in common.
        title : str, optional

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        DesignError
            If the scale is not known.
        """
        from cpi_experiments.randomized.effects.comparison_forest import forest_of_comparison  # noqa: PLC0415 - drawing only

        return forest_of_comparison(self, scale=scale, title=title)


_CORRECTED = {
    "bonferroni": "Bonferroni's correction",
    "holm": "Holm's correction",
    "bh": "false discoveries by Benjamini and Hochberg",
    "by": "false discoveries by Benjamini and Yekutieli",
}
_SIDES = ("above zero", "below zero", "cannot be told from zero")


def _side(effect: ArmEffect, correction: str) -> int | None:
    """Above zero, below it, or neither; None where nothing could be estimated."""
    e = effect.estimate
    p = e.p_value if correction == "none" else effect.p_adjusted
    if e.status is Status.FAILED or p is None or math.isnan(p):
        return None
    return 0 if p >= 1 - e.confidence_level else 1 if e.value > 0 else -1


def _shown(effect: ArmEffect) -> dict[str, str]:
    e = effect.estimate
    digits = decimals(e.ci_low, e.ci_high)
    relative = percent(effect.rel_effect, 1) if not math.isnan(effect.rel_effect) else ""
    row = {"segment": effect.segment} if effect.segment else {}
    row |= {
        "outcome": e.outcome,
        "arm": str(effect.arm),
        "effect": number(e.value, digits, sign=True),
        f"{level_text(e.confidence_level)} CI": interval(e.ci_low, e.ci_high, digits, sign=True),
        "relative": relative,
        "p": p_text(e.p_value),
    }
    if effect.p_adjusted is not None:
        row["p corrected"] = p_text(effect.p_adjusted)
    if effect.margins:
        row["margin"] = "; ".join(short_margin(each) for each in effect.margins)
    return row | {"n": f"{effect.n_control:,} + {effect.n_treatment:,}"}


def _fitting(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Shorten names and leave columns out until the table fits a terminal; the frame has them all."""
    needed = {"arm"} if len({row["arm"] for row in rows}) > 1 else set()
    needed |= set() if "p corrected" in rows[0] else {"p"}
    spare = [name for name in _SPARE if name not in needed]
    for longest, left_out in [(_NAMES[0], spare[:count]) for count in range(len(spare) + 1)] + [
        (each, spare) for each in _NAMES[1:]
    ]:
        fitted = [
            {name: _cut(text, longest) if name in _CUT else text for name, text in row.items() if name not in left_out}
            for row in rows
        ]
        if max(map(len, text_table(fitted).splitlines())) <= WIDTH:
            break
    return fitted


def _cut(text: str, longest: int) -> str:
    """Take out the middle of a name: beginning and end tell it apart from others."""
    end = longest // 3
    return text if len(text) <= longest else f"{text[: longest - 1 - end]}…{text[-end:]}"
