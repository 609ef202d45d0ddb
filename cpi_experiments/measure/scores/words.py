"""What a scorecard says first, and what a reader has to know: counts of its rows, put into sentences."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING

from cpi_experiments.display import percent
from cpi_experiments.stats.goal_track import Side, Track
from cpi_experiments.wording import scorecard as wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.scores.periods import Times
    from cpi_experiments.measure.scores.rows import ScoreRow

_JUDGED = (Track.ON_TRACK, Track.AT_RISK, Track.BEHIND, Track.NO_LINE)


def headline(rows: Sequence[ScoreRow], times: Times, *, by: str, customers: int) -> tuple[str, ...]:
    """Say how many indicators moved, where targets stand, and what the mix of customers did."""
    whole = [row for row in rows if not row.group]
    sides = [row.previous.side for row in whole if row.previous is not None]
    states: dict[str, list[str]] = {}
    for row in whole:
        states.setdefault(row.goal.state.value, []).append(row.name)
    head = wording.head_sentence(
        period=times.name,
        customers=f"{customers:,}",
        before=times.previous_name,
        better=sides.count(Side.BETTER),
        worse=sides.count(Side.WORSE),
        open_=sides.count(Side.CANNOT_TELL),
    )
    mixes = [_mix(row, by) for row in whole if by]
    return (head, wording.targets_sentence(states), *(said for said in mixes if said))


def _mix(row: ScoreRow, by: str) -> str:
    """Say what the mix did if its interval leaves out zero."""
    change = row.previous
    if change is None or not (change.mix_low > 0 or change.mix_high < 0):
        return ""
    scale = row.scale
    digits = max(scale.digits(change.mix_low, change.mix_high), scale.digits(change.within_low, change.within_high))
    return wording.mix_sentence(
        label=row.name,
        by=by,
        change=scale.change(change.value, digits),
        mix=scale.change(change.mix, digits),
        span=scale.span(change.mix_low, change.mix_high, digits, sign=True),
        within=scale.change(change.within, digits),
    )


def notes(
    rows: Sequence[ScoreRow],
    times: Times,
    *,
    line_start: float | None,
    level: float,
    minimum: int,
    absent: Sequence[str] = (),
    sums: Sequence[str] = (),
) -> tuple[str, ...]:
    """Collect what a reader has to know.

    Parameters
    ----------
    line_start : float or None
        The day on which the lines to targets start, if nobody said it.
    absent : sequence of str
        Labels of indicators of the catalog that the panel does not hold.
    sums : sequence of str
        Labels of indicators that are sums or counts over a period.
    """
    whole = [row for row in rows if not row.group]
    found = [wording.note("range", level=percent(level))]
    if absent:
        found.append(wording.note("absent", names=", ".join(absent)))
    if not times.checked:
        found.append(wording.note("complete", period=times.name))
    if times.late:
        found.append(wording.note("old", period=times.name, as_of=times.late))
    unmeasured = [row.name for row in whole if row.hidden == "not measured"]
    if unmeasured:
        found.append(wording.note("unmeasured", period=times.name, names=", ".join(unmeasured)))
    if (
        line_start is not None
        and math.isfinite(line_start)
        and any(row.goal.state in _JUDGED and math.isfinite(row.goal.baseline) for row in whole)
    ):
        found.append(wording.note("line", since=str(date.fromordinal(int(line_start)))))
    if times.by_weeks and times.year_name:
        found.append(wording.note("year"))
    return (*found, *_days_note(times, sums), *_group_notes(rows, minimum), *_level_note(rows, level))


def _days_note(times: Times, sums: Sequence[str]) -> list[str]:
    """Say by how much sums differ because one period has more days."""
    now, before = times.days
    if not sums or not before or now == before:
        return []
    words = {"period": times.name, "days": str(now), "previous": times.previous_name, "before": str(before)}
    return [wording.note("days", names=", ".join(sums), share=percent(now / before - 1, 1), **words)]


def _group_notes(rows: Sequence[ScoreRow], minimum: int) -> list[str]:
    groups = [row for row in rows if row.group and row.hidden != "not measured"]
    hidden = sum(bool(row.hidden) for row in groups)
    said = []
    if hidden:
        words = {"count": f"{hidden:,}", "groups": f"{len(groups):,}", "minimum": str(minimum)}
        said.append(wording.note("hidden", **words))
    if any(math.isfinite(row.goal.target) or row.benchmark is not None for row in groups):
        said.append(wording.note("groups"))
    return said


def _level_note(rows: Sequence[ScoreRow], level: float) -> list[str]:
    count = sum(change is not None for row in rows for change in (row.previous, row.year_before))
    wrong = count * (1 - level)
    if wrong < 1:
        return []
    return [wording.note("many", level=percent(level), count=f"{count:,}", wrong=f"{wrong:.0f}")]
