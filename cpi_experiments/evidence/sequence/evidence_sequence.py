"""Evidence about one link after every experiment, as a result: numbers, one sentence, a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import WIDTH, Displayed, Row, decimals, level_text, number, one_line, p_text, wrapped
from cpi_experiments.evidence.combining.terms import ends_text
from cpi_experiments.evidence.decision import MATERIAL_E
from cpi_experiments.evidence.weighing import HETEROGENEOUS_P

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

_MOST = 1e6
_NAME = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceStep:
    """State of the evidence after one experiment; effects in the KPI's own sign, KPI units per increment.

    Parameters
    ----------
    experiment, looked_at : str
        Name; when it was looked at, empty if that was not told.
    counted : int
        Experiments (groups of them that share customers) that count so far.
    effect, ci_low, ci_high : float
        Effect so far; confidence sequence, infinite where it has no limit; NaN before anything counts.
    e_plus, e_minus : float
        e-values against "no lever works in the expected direction" and "no lever works against it".
    e_up, e_lo : float
        e-values against "the SESOI or more" and "minus the SESOI or less", in the expected direction.
    e_general : float
        e-value against "no effect on average over levers"; NaN below twenty experiments.
    p_value : float
        1 over the largest ``e_plus`` so far: a p-value that may be read at every look.
    q_p_value : float
        p-value of Cochran's Q, for "all experiments have the same effect"; NaN for fewer than two.
    """

    experiment: str
    looked_at: str
    counted: int
    effect: float
    ci_low: float
    ci_high: float
    e_plus: float
    e_minus: float
    e_up: float
    e_lo: float
    e_general: float
    p_value: float
    q_p_value: float = math.nan

    @property
    def e_immaterial(self) -> float:
        """Smaller of ``e_up`` and ``e_lo``: evidence that the effect is smaller than the SESOI on both sides."""
        return min(self.e_up, self.e_lo)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSequence(Displayed):
    """Evidence about one link, one row after every experiment.

    Parameters
    ----------
    steps : tuple of EvidenceStep
    sesoi, scale : float
        Smallest effect worth acting on; scale of the mixture (the SESOI unless declared otherwise).
    expected_sign : int
    confidence_level : float
    ordered_by : str
        ``looked_at`` or ``row order``: what told the order of time.
    old_e : float
        e-value with which an earlier p-value entered once; 1 if none did.
    left_out : tuple of str
        One sentence for every experiment that adds no evidence, and why.
    together : tuple of tuple of str
        Experiments that share customers and count together, when the last of them is in.
    unplanned : int
        Experiments for which no planned move was given, so that one step was taken.

    Notes
    -----
    A row per look; those without new evidence are not printed.

    The last row is the state of the evidence. ``p_value`` alone is a maximum over the rows; an e-value is read where
    one stands, for the largest so far is no e-value. `intersection` narrows the sequence as a view.

    Examples
    --------
    >>> from cpi_experiments.estimate import EffectPair
    >>> from cpi_experiments.evidence.sequence.follow import follow
    >>> pair = EffectPair(effect_cpi=3.0, effect_kpi=0.012, var_cpi=0.04, var_kpi=6e-5, cov=0.0)
    >>> print(follow([pair] * 4, sesoi=0.004).sentence)
    After 4 experiments ...
    """

    steps: tuple[EvidenceStep, ...]
    sesoi: float
    scale: float
    expected_sign: int
    confidence_level: float
    ordered_by: str
    old_e: float = 1.0
    left_out: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    unplanned: int = 0

    @property
    def last(self) -> EvidenceStep:
        """State after the last experiment."""
        return self.steps[-1]

    @property
    def sentence(self) -> str:
        """Evidence for the expected sign, as a manager may read it."""
        return f"{_after(self.last.counted)} {_said(self.last.e_plus)}"

    @property
    def intersection(self) -> tuple[tuple[float, float], ...]:
        """Values never ruled out so far: the running intersection of the confidence sequence, after every experiment.

        A view. It has the same confidence if the effect is the same for all levers, and is what one would rather show
        where they surely are; where they are not it shrinks to nothing, which is then said as (NaN, NaN).
        """
        low, high, ends = -math.inf, math.inf, []
        for step in self.steps:
            low, high = max(low, _or(step.ci_low, -math.inf)), min(high, _or(step.ci_high, math.inf))
            ends.append((low, high) if low <= high else (math.nan, math.nan))
        return tuple(ends)

    def plot(self) -> Figure:
        """Draw the confidence sequence narrowing over experiments, and the e-values below it."""
        from cpi_experiments.figures.evidence_sequence import EvidencePoint, evidence_sequence  # noqa: PLC0415 - drawing

        points = [
            EvidencePoint(
                name=step.experiment,
                estimate=step.effect,
                low=step.ci_low,
                high=step.ci_high,
                expected=step.e_plus,
                opposite=step.e_minus,
                immaterial=step.e_immaterial,
                general=step.e_general,
            )
            for step in self._telling
        ]
        counted = [step.counted for step in self._telling]
        return evidence_sequence(
            points,
            title=self.sentence,
            axis_label="KPI per increment",
            sesoi=self.sesoi,
            confidence_level=self.confidence_level,
            start=self.old_e,
            across="experiments so far" if counted == [*range(1, len(counted) + 1)] else "looks with new evidence",
        )

    @property
    def _telling(self) -> tuple[EvidenceStep, ...]:
        """Steps at which evidence was added; the last one if there are none."""
        before = (0, *(step.counted for step in self.steps))
        return tuple(s for s, n in zip(self.steps, before, strict=False) if s.counted > n) or self.steps[-1:]

    def _title(self) -> str:
        return "\n".join(
            filter(
                None, (self.sentence, self._size(), self._apart(), self._others(), self._terms(), *self._uncounted())
            )
        )

    def _size(self) -> str:
        last, level = self.last, level_text(self.confidence_level)
        digits = decimals(last.ci_low, last.ci_high) if math.isfinite(last.ci_high) else decimals(0, self.sesoi)
        if math.isinf(last.ci_low) and math.isinf(last.ci_high):
            span = "is unbounded: the levers are not shown clearly enough to have moved the CPI"
        else:
            span = f"is {ends_text(last.ci_low, last.ci_high, digits, sign=True)}, at every look at once"
        return (
            f"Effect so far: {number(last.effect, digits, sign=True)} per increment ({self.sesoi:g} is worth acting "
            f"on); the {level} confidence sequence {span}."
        )

    def _apart(self) -> str:
        """Why strong evidence for the sign can stand beside a set that holds zero."""
        last = self.last
        notes = []
        if last.e_plus >= MATERIAL_E and last.ci_low <= 0 <= last.ci_high:
            notes.append(
                "The evidence weighs experiments by how far the CPI moved, the set by the planned moves: it is wider, "
                "and may still hold 0."
            )
        if self.unplanned:
            whose = "" if self.unplanned == len(self.steps) else f" for {self.unplanned} of {len(self.steps)} looks"
            notes.append(f"No planned move was given{whose}: 1 step is taken; sets are wider than need be.")
        return " ".join(notes)

    def _uncounted(self) -> list[str]:
        """Name looks that are no rows: those that add nothing, and those that wait for the last of their group."""
        waiting = [
            f"{', '.join(map(one_line, group[:-1]))}: shares customers with {one_line(group[-1])}, and counts with it."
            for group in self.together
        ]
        return [*self.left_out, *waiting]

    def _others(self) -> str:
        last = self.last
        said = (
            (last.e_minus, "the opposite sign"),
            (last.e_immaterial, "an effect below the smallest worth acting on"),
        )
        strong = [f"Evidence for {what}: {_is(e)}." for e, what in said if e >= MATERIAL_E]
        if math.isnan(last.e_general):
            strong.append("All of this is said of the levers tried; levers in general need 20 experiments.")
        else:
            strong.append(f"For levers in general the evidence is {_is(last.e_general)}.")
        if last.q_p_value < HETEROGENEOUS_P:
            strong.append(
                f"The experiments differ by more than chance explains (p {p_text(last.q_p_value)}), so that one common "
                "effect, and its confidence sequence, says little: look at them one by one."
            )
        return " ".join(strong)

    def _terms(self) -> str:
        order = "by the column looked_at" if self.ordered_by == "looked_at" else "by the order of the rows"
        declared = "" if self.scale == self.sesoi else f" Mixture scale {self.scale:g}, as declared."
        old = "" if self.old_e == 1 else f" Earlier work entered once as e = {e_text(self.old_e)}."
        return f"In order of time {order}.{declared}{old}"

    def _rows(self) -> list[Row]:
        names = [name for name in EvidenceStep.__dataclass_fields__ if name != "looked_at" or self._told]
        return [{name: getattr(step, name) for name in names} for step in self.steps]

    @property
    def _told(self) -> bool:
        return any(step.looked_at for step in self.steps)

    def _shown(self) -> list[Row]:
        known = [step for step in self.steps if math.isfinite(step.ci_high)]
        digits = decimals(known[-1].ci_low, known[-1].ci_high) if known else decimals(0, self.sesoi)
        dates = [step.looked_at for step in self._telling]
        told = all(dates) and len(set(dates)) == len(dates)
        rows = [
            {
                "effect": number(step.effect, digits, sign=True),
                f"{level_text(self.confidence_level)} sequence": ends_text(
                    step.ci_low, step.ci_high, digits, sign=True
                ),
                "e expected": e_text(step.e_plus),
                "opposite": e_text(step.e_minus),
                "below": e_text(step.e_immaterial),
                "general": e_text(step.e_general),
            }
            for step in self._telling
        ]
        if not self._general:
            rows = [{name: text for name, text in row.items() if name != "general"} for row in rows]
        room = WIDTH - sum(2 + max(len(name), *(len(row[name]) for row in rows)) for name in rows[0])
        labels = distinct(dates if told else [step.experiment for step in self._telling], max(room, _NAME))
        return [{"after": label, **row} for label, row in zip(labels, rows, strict=True)]

    @property
    def _general(self) -> bool:
        return not math.isnan(self.last.e_general)

    def _columns(self) -> str:
        """Say what the columns of e-values mean; nothing where there is no table."""
        if len(self._telling) == 1:
            return ""
        return (
            f"e expected: evidence for the expected sign ({MATERIAL_E:g} is strong); opposite: for the other sign; "
            f"below: for an effect smaller than {self.sesoi:g}, either way"
            + ("; general: for levers in general, tried or not." if self._general else ".")
        )

    def __str__(self) -> str:
        return "\n".join([Displayed.__str__(self), *wrapped(self._columns(), indent="")])

    def _repr_html_(self) -> str:
        return Displayed._repr_html_(self) + (f"<p>{self._columns()}</p>" if self._columns() else "")

    def _repr_markdown_(self) -> str:
        return "\n\n".join(filter(None, (Displayed._repr_markdown_(self), self._columns())))


def distinct(names: Sequence[str], width: int) -> list[str]:
    """Shorten names to a width so that different ones stay different: the end is kept, where names mostly differ.

    Examples
    --------
    >>> distinct(["E1", "trial_of_reminders_1", "trial_of_reminders_2"], 12)
    ['E1', '…reminders_1', '…reminders_2']
    >>> distinct(["mail in the whole north", "call in the whole north"], 12)
    ['mail in the…', 'call in the…']
    >>> distinct(["in the mail of north", "in the call of north"], 8)
    ['1 …north', '2 …north']
    """
    whole = [one_line(name) for name in names]
    ends = [_end_of(name, width) for name in whole]
    starts = [name if len(name) <= width else f"{name[: width - 1]}…" for name in whole]
    for short in (ends, starts):
        if len(set(short)) == len(set(names)):
            return short
    return [f"{i} {_end_of(name, width - 1 - len(str(i)))}" for i, name in enumerate(whole, 1)]


def _end_of(name: str, width: int) -> str:
    return name if len(name) <= width else f"…{name[1 - width :]}"


def e_text(e: float) -> str:
    """Write an e-value, rounded down.

    Examples
    --------
    >>> e_text(34.9), e_text(3.17), e_text(0.004), e_text(2e7), e_text(math.nan)
    ('34', '3.1', '< 0.1', '> 1,000,000', '')
    """
    if math.isnan(e):
        return ""
    if e >= _MOST:
        return f"> {_MOST:,.0f}"
    if e < 0.1:
        return "< 0.1"
    return f"{math.floor(e):,}" if e >= 10 else f"{math.floor(10 * e + 1e-9) / 10:.1f}"


def _is(e: float) -> str:
    text = e_text(e)
    return f"e {text}" if text[0] in "<>" else f"e = {text}"


def _after(counted: int) -> str:
    return f"After {counted} experiment{'' if counted == 1 else 's'}"


def _said(e: float) -> str:
    if e < 2:
        return f"there is no evidence for the expected sign to speak of ({_is(e)}; from {MATERIAL_E:g} it is strong)."
    at_most = f"{_MOST:,.0f}" if e >= _MOST else f"{math.floor(e):,}"
    return (
        f"the evidence for the expected sign is {_is(e)}: had there been no effect, at most one sequence in "
        f"{at_most} would ever have looked like this."
    )


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value
