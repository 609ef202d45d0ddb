"""What a scorecard holds: a row per indicator and group, with its changes, target and benchmark; and how it reads."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cpi_experiments.display import WIDTH, Displayed, Row, clean_text, decimals, interval, number, text_table, wrapped
from cpi_experiments.stats.goal_track import Side, Track
from cpi_experiments.units import Direction, convert, short_unit
from cpi_experiments.wording import scorecard as wording

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARES = ("fraction", "percent", "pp")
_LEAST_NAME = 12
_MOST_NAME = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How levels and changes of a unit are written: shares in percent and points, the rest in their own unit.

    Examples
    --------
    >>> scale = Scale.of("fraction")
    >>> scale.level(0.7123, 1), scale.change(0.0123, 1), Scale.of("hour").level(19.84, 1)
    ('71.2%', '+1.2 points', '19.8 h')
    """

    factor: float = 1.0
    level_unit: str = ""
    change_unit: str = ""

    @classmethod
    def of(cls, unit: str) -> Scale:
        """Choose by unit."""
        if unit in _SHARES:
            return cls(factor=convert(1, unit, "percent"), level_unit="%", change_unit=" points")
        name = short_unit(unit)
        if unit == "count" or not name:
            return cls()
        word = f" {clean_text(name)}{'s' if name == unit and unit.islower() and unit != 'km' else ''}"
        return cls(level_unit=word, change_unit=word)

    def digits(self, low: float, high: float, value: float = 0.0) -> int:
        """Decimals that an interval earns, two at most; those of the value where there is none."""
        if math.isfinite(low) and math.isfinite(high) and high > low:
            return decimals(self.factor * low, self.factor * high, most=2)
        return 0 if float(self.factor * value).is_integer() else 2

    def level(self, value: float, digits: int) -> str:
        """Write a level."""
        return self._named(number(self.factor * value, digits), self.level_unit, value)

    def goal(self, value: float) -> str:
        """Write a number that was set, with the digits it was set with."""
        return self._named(f"{self.factor * value:,.6g}", self.level_unit, value)

    def change(self, value: float, digits: int) -> str:
        """Write a change with its sign."""
        return self._named(number(self.factor * value, digits, sign=True), self.change_unit, value)

    def span(self, low: float, high: float, digits: int, *, sign: bool = False) -> str:
        """Write an interval without its unit."""
        return interval(self.factor * low, self.factor * high, digits, sign=sign)

    @staticmethod
    def _named(shown: str, unit: str, value: float) -> str:
        return f"{shown}{unit}" if math.isfinite(value) else shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreChange:
    """An indicator less what it was in an earlier period.

    Parameters
    ----------
    against : str
        The earlier period.
    value, ci_low, ci_high : float
        In the indicator's unit; customers measured in both periods are paired.
    side : Side
        Better or worse only if the whole interval is.
    n_common : int
        Customers in both periods.
    within, within_low, within_high, mix, mix_low, mix_high : float
        The part within groups and the part of another mix of customers; they add up to ``value``. NaN without groups.
    """

    against: str
    value: float
    ci_low: float
    ci_high: float
    side: Side
    n_common: int
    within: float = math.nan
    within_low: float = math.nan
    within_high: float = math.nan
    mix: float = math.nan
    mix_low: float = math.nan
    mix_high: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A target, the line to it, and where the indicator stands.

    Parameters
    ----------
    state : Track
    target, baseline, expected : float
        ``expected``: the line at the middle of the period. NaN where not known.
    due : str
    missing : tuple of str
        What the target lacks to be specific, measurable, relevant and time-bound.
    """

    state: Track = Track.NO_TARGET
    target: float = math.nan
    baseline: float = math.nan
    expected: float = math.nan
    due: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """A number from outside and where the indicator stands."""

    value: float
    source: str
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow(Displayed):
    """One indicator, of all customers or of one group.

    Parameters
    ----------
    indicator, label, kind, unit : str
        ``kind`` is CPI or KPI.
    better : Direction
    group : str
        Empty for all customers.
    customers : int
        Customers measured in the period; 0 if hidden.
    level, ci_low, ci_high : float
        Mean over customers; NaN if hidden or not measured.
    previous, year_before : ScoreChange or None
    goal : Goal
    benchmark : Against or None
    hidden : str
        Why there are no numbers; empty if there are.
    """

    indicator: str
    label: str
    kind: str
    unit: str
    better: Direction
    group: str = ""
    customers: int = 0
    level: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    previous: ScoreChange | None = None
    year_before: ScoreChange | None = None
    goal: Goal = field(default_factory=Goal)
    benchmark: Against | None = None
    hidden: str = ""

    @property
    def name(self) -> str:
        """Label, with the group if it is one."""
        return clean_text(f"{self.label}, {self.group}" if self.group else self.label)

    @property
    def scale(self) -> Scale:
        """How its numbers are written."""
        return Scale.of(self.unit)

    @property
    def sentence(self) -> str:
        """Everything about the indicator in a few sentences."""
        if self.hidden:
            return f"{self.name}: {self.hidden}."
        scale, digits = self.scale, self.scale.digits(self.ci_low, self.ci_high, self.level)
        parts = [
            wording.level_sentence(
                label=self.name,
                level=scale.level(self.level, digits),
                span=scale.span(self.ci_low, self.ci_high, digits),
                customers=f"{self.customers:,}",
            ),
            *(self._changed(change) for change in (self.previous, self.year_before) if change is not None),
            wording.target_sentence(
                state=self.goal.state.value,
                target=scale.goal(self.goal.target),
                due=self.goal.due,
                expected=scale.level(self.goal.expected, max(digits, 1)),
                missing=self.goal.missing,
            ),
        ]
        if self.benchmark is not None:
            parts.append(
                wording.benchmark_sentence(
                    side=self.benchmark.side.value,
                    value=scale.goal(self.benchmark.value),
                    source=clean_text(self.benchmark.source),
                )
            )
        return " ".join(part for part in parts if part)

    def _changed(self, change: ScoreChange) -> str:
        digits = self.scale.digits(change.ci_low, change.ci_high, change.value)
        return wording.change_sentence(
            side=change.side.value,
            size=self.scale.change(change.value, digits),
            span=self.scale.span(change.ci_low, change.ci_high, digits, sign=True),
            before=change.against,
        )

    def _title(self) -> str:
        return self.sentence

    def _rows(self) -> list[Row]:
        row: Row = {name: getattr(self, name) for name in ("indicator", "label", "kind", "group", "unit", "customers")}
        row |= {"better": self.better.value, "level": self.level, "ci_low": self.ci_low, "ci_high": self.ci_high}
        for prefix, change in (("change", self.previous), ("year", self.year_before)):
            row |= _flat(prefix, change)
        goal = self.goal
        row |= {"target": goal.target, "due": goal.due, "expected": goal.expected, "track": goal.state.value}
        row |= {"target_lacks": "; ".join(goal.missing), "hidden": self.hidden}
        outside = self.benchmark
        row |= {
            "benchmark": outside.value if outside else math.nan,
            "benchmark_source": outside.source if outside else "",
            "benchmark_side": outside.side.value if outside else "",
        }
        return [row]

    def _shown(self) -> list[Row]:
        indent = "  " if self.group else ""
        shown = {"indicator": indent + clean_text(self.group or self.label)}
        if self.hidden:
            said = self.hidden if self.hidden == "not measured" else "hidden"
            return [shown | {"level (likely)": said, "change (likely)": "", "target": ""}]
        scale, digits = self.scale, self.scale.digits(self.ci_low, self.ci_high, self.level)
        level = f"{scale.level(self.level, digits)} ({scale.span(self.ci_low, self.ci_high, digits)})"
        state = "" if self.goal.state is Track.NO_TARGET else self.goal.state.value
        return [shown | {"level (likely)": level, "change (likely)": self._change_shown(), "target": state}]

    def _change_shown(self) -> str:
        change = self.previous
        if change is None:
            return ""
        digits = self.scale.digits(change.ci_low, change.ci_high, change.value)
        span = self.scale.span(change.ci_low, change.ci_high, digits, sign=True)
        return span if change.side is Side.CANNOT_TELL else f"{span} {change.side.value}"


def _flat(prefix: str, change: ScoreChange | None) -> Row:
    names = ("value", "ci_low", "ci_high", "n_common", "within", "within_low", "within_high", "mix", "mix_low")
    row: Row = {prefix: math.nan, f"{prefix}_against": "", f"{prefix}_side": ""}
    for name in (*names[1:], "mix_high"):
        row[f"{prefix}_{name}"] = math.nan if change is None else getattr(change, name)
    if change is not None:
        row |= {prefix: change.value, f"{prefix}_against": change.against, f"{prefix}_side": change.side.value}
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard(Displayed):
    """Every indicator of a catalog in one period: level, change, target, benchmark; by group where asked.

    Parameters
    ----------
    period, previous, year_before : str
        The period and those it is compared with; empty where there is none.
    by : str
        What the groups are; empty without groups.
    rows : tuple of ScoreRow
        All customers first, then the groups of each indicator.
    customers : int
        Customers measured in the period.
    headline : tuple of str
        What to know first.
    notes : tuple of str
        What a reader has to know to read the numbers rightly.
    confidence_level : float
    digest : str
        Of the panel.
    """

    period: str
    previous: str
    year_before: str
    by: str
    rows: tuple[ScoreRow, ...]
    customers: int
    headline: tuple[str, ...]
    notes: tuple[str, ...] = ()
    confidence_level: float = 0.95
    digest: str = ""

    def row(self, indicator: str, group: str = "") -> ScoreRow | None:
        """Return the row of an indicator and group; None if there is none."""
        return next((row for row in self.rows if (row.indicator, row.group) == (indicator, group)), None)

    def _title(self) -> str:
        return "\n".join(self.headline)

    def _rows(self) -> list[Row]:
        return [cell for row in self.rows for cell in row._rows()]  # noqa: SLF001 - its own rows

    def _shown(self) -> list[Row]:
        return [cell for row in self.rows for cell in row._shown()]  # noqa: SLF001 - its own rows

    def __str__(self) -> str:
        head = [part for line in self.headline for part in wrapped(line, indent="")]
        tail = [part for line in self.notes for part in wrapped(line)]
        table = _narrow(self._shown()) or "\n".join(
            part for row in self.rows for part in wrapped(row.sentence, indent="")
        )
        return "\n".join([*head, "", table, *(["", *tail] if tail else [])])


def _narrow(shown: Sequence[Row]) -> str:
    """Lay the table out in 80 columns with shorter names if need be; empty if that cannot be."""
    table = text_table(shown)
    over = max(len(line) for line in table.splitlines()) - WIDTH
    longest = max(len(row["indicator"]) for row in shown)
    room = min(longest - max(over, 0), _MOST_NAME)
    if over > 0 and room < _LEAST_NAME:
        return ""
    names = [row["indicator"] for row in shown]
    short = [name if len(name) <= room else f"{name[: room - 3]}..." for name in names]
    return text_table([row | {"indicator": name} for row, name in zip(shown, short, strict=True)])
