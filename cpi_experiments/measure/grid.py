"""Units x periods: every source aggregated in one scan, and laid out so that every unit has every period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.audit import Audit, aggregate_sql
from cpi_experiments.measure.events import by_source, events_sql
from cpi_experiments.measure.periods import period_number, period_of_sql, period_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.measure.events import Loss
    from cpi_experiments.measure.places import Places

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Which periods there are and whose clock counts; open where ``start`` or ``end`` is None."""

    period: str
    start: str | None = None
    end: str | None = None
    time_zone: str = "UTC"
    fiscal_year_start: int = 1

    @property
    def condition(self) -> str:
        """SQL over ``event_at``."""
        parts = [f"event_at >= TIMESTAMP '{self.start}'"] if self.start else []
        parts += [f"event_at < TIMESTAMP '{self.end}'"] if self.end else []
        return " AND ".join(parts) or "TRUE"

    def number(self, times: Array) -> Array:
        """Give the periods of times numbers of which neighbours differ by one."""
        return period_number(times, self.period, fiscal_year_start=self.fiscal_year_start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Every unit in every period between the first and the last with an event; rows sorted by unit and period.

    Parameters
    ----------
    labels : array, shape (units,)
    periods : int array, shape (periods,)
        Numbers of the periods.
    values : float array, shape (indicators, rows)
        0 for sums and counts without events if all units are known, NaN elsewhere.
    events : int array, shape (indicators, 2)
        Events with a usable value in the span: all, and those of known units.
    counts, people : int array, shape (indicators, rows), or None
        Events and persons behind every value, where a unit is a group of persons.
    """

    labels: Array
    periods: Array
    values: Array
    events: Array
    counts: Array | None
    people: Array | None


def measure_grid(tables: Engine, audits: Sequence[Audit], places: Places, calendar: Calendar) -> Grid:
    """Aggregate the events of every indicator by unit and period, one scan a source.

    Each answer is laid out before the next source is asked, so that only one is in memory at a time.

    Raises
    ------
    DataError
        If the panel would hold more than half a billion numbers.
    """
    sources = by_source(each.indicator for each in audits)
    looked = {each.indicator: each for each in audits}
    row = {each: i for i, each in enumerate(looked)}

    def ask() -> Iterator[tuple[list[Audit], dict[str, Array], Array]]:
        for group in sources.values():
            wanted = [looked[each] for each in group]
            found = tables.query(cells_sql(tables, wanted, places, calendar))
            yield wanted, found, period_of_sql(found["period"], calendar.period)

    answers, labels, bounds = ask(), places.labels, _bounds(audits, calendar)
    if labels is None:
        kept = list(answers)
        labels = _number_units([found for _, found, _ in kept])
        answers = iter(kept)
    layer = _layer(labels, bounds, len(looked), counted=bool(places.people))
    for wanted, found, period in answers:
        for i, each in enumerate(wanted):
            _lay_out(layer, found, period, each, (i, row[each.indicator]), zero=places.labels is not None)
    return _trimmed(layer, labels)


def cells_sql(tables: Engine, group: Sequence[Audit], places: Places, calendar: Calendar) -> str:
    """Write the query of one source: ``unit, period, a0, n0, p0, a1, ...`` where there are events.

    The unit is its place, missing for an event of an unknown unit; or its name, if the rows are whoever has an event.
    """
    person = places.people.get(group[0].indicator.measure.table, "")
    columns = []
    for i, each in enumerate(group):
        columns += [f"{aggregate_sql(each, f'v{i}')} AS a{i}", f"count(v{i}) AS n{i}"]
        columns += [f"count(DISTINCT CASE WHEN v{i} IS NOT NULL THEN person END) AS p{i}"] if person else []
    period = period_sql(calendar.period, fiscal_year_start=calendar.fiscal_year_start)
    unit, events = placed_events_sql(tables, group, places, calendar, person=person)
    return f"SELECT {unit} AS unit, {period} AS period, {', '.join(columns)} FROM {events} GROUP BY 1, 2"  # noqa: S608 - quoted


def placed_events_sql(
    tables: Engine, group: Sequence[Audit], places: Places, calendar: Calendar, *, person: str = ""
) -> tuple[str, str]:
    """Write the unit of an event, and the FROM of the events of one source with it."""
    entity = group[0].indicator.measure.entity
    events = events_sql(
        tables,
        [each.indicator for each in group],
        key=places.keys[entity],
        time_zone=calendar.time_zone,
        condition=calendar.condition,
        person=person,
    )
    if entity not in places.sql:
        return "entity", f"({events}) AS events"
    joined = f"({events}) AS events LEFT JOIN ({places.sql[entity]}) AS places ON places.entity = events.entity"
    return "places.place", joined


# -- layers of numbers -----------------------------------------------------------------------------------------------

MOST_NUMBERS = 500_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """Arrays of shape (indicators, units, periods) that are being filled; ``seen`` are the outermost periods seen."""

    low: int
    values: Array
    counts: Array | None
    people: Array | None
    events: Array
    seen: list[int]


def _bounds(audits: Sequence[Audit], calendar: Calendar) -> tuple[int, int]:
    """Give the numbers of the outermost periods that can have an event: never too few of them."""
    slack = np.timedelta64(0 if calendar.time_zone == "UTC" else 1, "D")
    known = [each for each in audits if not np.isnat(each.first)]
    if not known:
        return 0, -1
    first, last = min(each.first for each in known) - slack, max(each.last for each in known) + slack
    first = max(first, np.datetime64(calendar.start, "us")) if calendar.start else first
    last = min(last, np.datetime64(calendar.end, "us") - np.timedelta64(1, "us")) if calendar.end else last
    low, high = calendar.number(np.array([first, last], dtype="datetime64[us]"))
    return int(low), int(high)


def _layer(labels: Array, bounds: tuple[int, int], indicators: int, *, counted: bool) -> _Layer:
    low, high = bounds
    shape = (indicators, len(labels), max(high - low + 1, 0))
    if np.prod(shape, dtype=float) > MOST_NUMBERS:
        raise DataError(
            f"{shape[0]:,} indicators of {shape[1]:,} units in {shape[2]:,} periods are too many numbers",
            advice="State `start` and `end` if a few times are far off, or use a longer period or fewer indicators.",
        )
    return _Layer(
        low=low,
        values=np.full(shape, np.nan),
        counts=np.zeros(shape, dtype=np.int32) if counted else None,
        people=np.zeros(shape, dtype=np.int32) if counted else None,
        events=np.zeros((indicators, 2), dtype=np.int64),
        seen=[],
    )


def _lay_out(
    layer: _Layer, found: Mapping[str, Array], period: Array, audit: Audit, at: tuple[int, int], *, zero: bool
) -> None:
    """Write the cells of one indicator into its rows."""
    i, row = at
    unit, events = found["unit"], found[f"n{i}"]
    known = unit == unit  # noqa: PLR0124 - the place of an unknown unit is NaN
    layer.events[row] = events.sum(), events[known].sum()
    layer.seen.extend((int(period.min()), int(period.max())) if len(period) else ())
    place = (unit[known].astype(np.int64), period[known] - layer.low)
    if zero and audit.indicator.adds_up:
        layer.values[row] = 0.0
        layer.values[row][place] = np.nan_to_num(found[f"a{i}"][known])
    else:
        layer.values[row][place] = found[f"a{i}"][known]
    for name, counts in (("n", layer.counts), ("p", layer.people)):
        if counts is not None and f"{name}{i}" in found:
            counts[row][place] = found[f"{name}{i}"][known]


def _trimmed(layer: _Layer, labels: Array) -> Grid:
    """Leave out periods before the first and after the last with an event."""
    low, high = (min(layer.seen), max(layer.seen)) if layer.seen else (layer.low, layer.low - 1)
    inside = slice(low - layer.low, high - layer.low + 1)

    def rows(values: Array | None) -> Array | None:
        return None if values is None else values[:, :, inside].reshape(len(values), -1)

    values = rows(layer.values)
    return Grid(
        labels=labels,
        periods=np.arange(low, high + 1),
        values=np.zeros((0, 0)) if values is None else values,
        events=layer.events,
        counts=rows(layer.counts),
        people=rows(layer.people),
    )


def _number_units(answers: Sequence[dict[str, Array]]) -> Array:
    """Replace the names of units by their places, and return the names, sorted."""
    import pandas as pd  # noqa: PLC0415 - panels hold a DataFrame

    codes, labels = pd.factorize(np.concatenate([each["unit"] for each in answers]), sort=True)
    ends = np.cumsum([len(each["unit"]) for each in answers])
    for each, part in zip(answers, np.split(codes, ends[:-1]), strict=True):
        each["unit"] = part
    return np.asarray(labels)


# -- what was lost ---------------------------------------------------------------------------------------------------


def check_seen(grid: Grid, audits: Sequence[Audit]) -> tuple[Loss, ...]:
    """Name the indicators that have no event in the span.

    Raises
    ------
    DataError
        If that is all of them; it says which span has.
    """
    unseen = [each.indicator.id for each, (total, _) in zip(audits, grid.events, strict=True) if not total]
    if len(unseen) < len(audits):
        return tuple((name, "no data in the span", 0) for name in unseen)
    spans = [
        f"{each.indicator.measure.table} has events from {day_text(each.first)} to {day_text(each.last)}"
        for each in audits
    ]
    raise DataError("no indicator has data in the span", advice="; ".join(dict.fromkeys(spans)) + ".")


def day_text(time: np.datetime64) -> str:
    """Write the day of a time that may be missing."""
    return "no date" if np.isnat(time) else str(time)[:10]


def count_unknown(grid: Grid, audits: Sequence[Audit], places: Places) -> tuple[Loss, ...]:
    """Count the events of units that the table of units does not list.

    Raises
    ------
    DataError
        If that is all of an indicator's events.
    """
    losses: list[Loss] = []
    for each, (total, known) in zip(audits, grid.events.tolist(), strict=True):
        table, entity, _ = each.indicator.source
        if total and not known:
            raise DataError(
                f"none of the {total:,} events of {each.indicator.id} belongs to a known unit",
                where=table,
                advice=f"Compare its column {entity!r} with the table of customers.",
            )
        if total > known:
            losses.append((each.indicator.id, places.unknown, total - known))
    return tuple(losses)
