"""From a scorecard to the rows of a table: where every indicator stands, all texts ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.report.amounts import tidy
from cpi_experiments.stats.goal_track import Side, Track
from cpi_experiments.wording import scorecard as wording

if TYPE_CHECKING:
    from cpi_experiments.measure.scores.rows import Scorecard, ScoreChange, ScoreRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTableRow:
    """One indicator, or one group of it, as shown.

    Parameters
    ----------
    indicator, kind, group : str
        Label; CPI or KPI; empty for all customers.
    level, level_range : str
        Where it stands and its range; ``level`` says why if there are no numbers.
    change, year : str
        Range of the change since the period before and since a year before, with ``better`` or ``worse``.
    mix : str
        Range of the part of the change that another mix of customers made; empty without groups.
    target, expected, track, symbol : str
    benchmark, benchmark_side : str
    customers : str
    note : str
        Everything in sentences.
    """

    indicator: str
    kind: str
    group: str
    level: str
    level_range: str = ""
    change: str = ""
    year: str = ""
    mix: str = ""
    target: str = ""
    expected: str = ""
    track: str = ""
    symbol: str = ""
    benchmark: str = ""
    benchmark_side: str = ""
    customers: str = ""
    note: str = ""


def scorecard_rows(card: Scorecard) -> tuple[ScoreTableRow, ...]:
    """Fill the table of a scorecard, in its order: every indicator, then its groups."""
    return tuple(_table_row(row) for row in card.rows)


def _table_row(row: ScoreRow) -> ScoreTableRow:
    names = {"indicator": tidy(row.label), "kind": row.kind, "group": tidy(row.group)}
    if row.hidden:
        return ScoreTableRow(**names, level=row.hidden, note=tidy(row.sentence))
    scale, digits, goal = row.scale, row.scale.digits(row.ci_low, row.ci_high, row.level), row.goal
    aimed = goal.state is not Track.NO_TARGET
    outside = row.benchmark
    return ScoreTableRow(
        **names,
        level=scale.level(row.level, digits),
        level_range=scale.span(row.ci_low, row.ci_high, digits),
        change=_change(row, row.previous),
        year=_change(row, row.year_before),
        mix=_mix(row, row.previous),
        target=scale.goal(goal.target) + (f" by {tidy(goal.due)}" if goal.due else "") if aimed else "",
        expected=scale.level(goal.expected, max(digits, 1)) if aimed and goal.expected == goal.expected else "",
        track=goal.state.value if aimed else "",
        symbol=wording.TRACK_SYMBOLS[goal.state.value],
        benchmark=f"{scale.goal(outside.value)} ({tidy(outside.source) or 'no source given'})" if outside else "",
        benchmark_side=outside.side.value if outside else "",
        customers=f"{row.customers:,}",
        note=tidy(row.sentence),
    )


def _change(row: ScoreRow, change: ScoreChange | None) -> str:
    if change is None:
        return ""
    digits = row.scale.digits(change.ci_low, change.ci_high, change.value)
    span = row.scale.span(change.ci_low, change.ci_high, digits, sign=True)
    return span if change.side is Side.CANNOT_TELL else f"{span} ({change.side.value})"


def _mix(row: ScoreRow, change: ScoreChange | None) -> str:
    if change is None or change.mix != change.mix:
        return ""
    digits = row.scale.digits(change.mix_low, change.mix_high, change.mix)
    return row.scale.span(change.mix_low, change.mix_high, digits, sign=True)
