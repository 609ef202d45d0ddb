"""Where an indicator stands against its target and its benchmark, and what a target lacks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cpi_experiments.catalog.entities import CPI, KPI, Role, Target
from cpi_experiments.catalog.resolve import read_date
from cpi_experiments.measure.scores.rows import Against, Goal
from cpi_experiments.stats.goal_track import Line, Track, side_of, track

if TYPE_CHECKING:
    from cpi_experiments.measure.scores.levels import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """When a level was measured and when lines to targets start; ordinal days, NaN for numbered periods.

    Parameters
    ----------
    middle, last : float
        Middle and last day of the period: a mean over a period is compared with the line at its middle.
    start : float
        The day on which baselines stood; where nobody said it, the earliest it can have been.
    said : bool
        Whether somebody said it.
    """

    middle: float
    last: float
    start: float
    said: bool


def goal_of(entity: CPI | KPI, now: Level, clock: Clock, *, linked: bool) -> Goal:
    """Judge a level against the target of its indicator.

    A target runs since its own ``since``, else since the clock's start. Where nobody said since when, *on track* means:
    even if since the first period; *behind* means: worse than the baseline itself. Between the two there is no line.

    Parameters
    ----------
    entity : CPI or KPI
    now : Level
    clock : Clock
    linked : bool
        Whether a link of the catalog says why the indicator matters.
    """
    target = entity.target
    if target is None or target.value is None:
        return Goal()
    if target.since and not clock.said:
        clock = replace(clock, start=float(read_date(target.since).toordinal()), said=True)
    due = float(read_date(target.due).toordinal()) if target.due else math.nan
    overdue = clock.last >= due
    lines = _lines(target, target.value, due, clock, overdue=overdue)
    state, expected = _judged(now, target.value, lines, entity.better.sign, overdue=overdue)
    unsaid = ("a day since when it runs",) if state is Track.NO_LINE and len(lines) > 1 else ()
    return Goal(
        state=state,
        target=target.value,
        baseline=math.nan if target.baseline is None else target.baseline,
        expected=expected,
        due=target.due,
        missing=(*target_gaps(entity, target, linked=linked), *unsaid),
    )


def _lines(target: Target, value: float, due: float, clock: Clock, *, overdue: bool) -> tuple[float, ...]:
    """Levels that may be due by now, the most demanding first; none if there is no line."""
    if overdue:
        return (value,)
    if target.baseline is None or not due > clock.start or math.isnan(clock.middle):
        return ()
    most = Line(baseline=target.baseline, value=value, start=clock.start, due=due).at(max(clock.middle, clock.start))
    return (most,) if clock.said else (most, target.baseline)


def _judged(now: Level, value: float, lines: tuple[float, ...], sign: int, *, overdue: bool) -> tuple[Track, float]:
    """Return the state and the line that it was judged by."""
    found = [
        track(now.mean.value, now.low, now.high, target=value, expected=line, sign=sign, overdue=overdue)
        for line in lines or (math.nan,)
    ]
    if len(lines) < 2 or found[0] in (Track.REACHED, Track.ON_TRACK, Track.CANNOT_TELL):
        return found[0], lines[0] if lines else math.nan
    if found[1] is Track.BEHIND:
        return Track.BEHIND, lines[1]
    return Track.NO_LINE, math.nan


def target_gaps(entity: CPI | KPI, target: Target, *, linked: bool) -> tuple[str, ...]:
    """Say what a target lacks to be specific, measurable, relevant and time-bound.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> target_gaps(SimpleNamespace(), Target(value=0.3), linked=True)
    ('a baseline', 'a due date', 'a rhythm of reviews')
    """
    relevant = linked or (isinstance(entity, KPI) and entity.role is Role.GUARDRAIL)
    parts = (
        ("a baseline", target.baseline is not None),
        ("a due date", bool(target.due)),
        ("a rhythm of reviews", target.cadence is not None),
        ("a link that says why it matters", relevant),
    )
    return tuple(name for name, there in parts if not there)


def against_benchmark(entity: CPI | KPI, now: Level) -> Against | None:
    """Compare a level with the benchmark of its indicator; None if it has none."""
    target = entity.target
    if target is None or target.benchmark is None:
        return None
    return Against(
        value=target.benchmark,
        source=target.benchmark_source,
        side=side_of(now.low, now.high, than=target.benchmark, sign=entity.better.sign),
    )
