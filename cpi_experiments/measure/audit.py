"""What a table holds before it is used: every event looked at once, losses counted, clocks that skip an hour told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from cpi_experiments.catalog.entities import Aggregate
from cpi_experiments.errors import DataError
from cpi_experiments.measure.columns import LARGEST
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.events import by_source, clean_sql, rows_sql
from cpi_experiments.measure.indicators import Indicator, moment
from cpi_experiments.measure.periods import skipped_times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.measure.events import Loss

MAX_SHARE_BAD = 0.01  # negative durations and infinite values: more is a defect of the data, not of a few rows
MAX_SHARE_NULL_ENTITY = 0.05

#: Infinity in every dialect; only NaN is larger.
_INFINITE = "CAST('Infinity' AS DOUBLE)"
#: What can happen to an event, numbered from 1; whatever has a larger number is used.
_REASONS = ("no_entity", "no_time", "no_value", "infinite", "negative", "capped")
_USED = 6

Array = np.ndarray
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_ANSWERS: WeakKeyDictionary[Engine, dict[object, object]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What one scan of an indicator's table found before any event was set aside.

    Parameters
    ----------
    indicator : Indicator
    counts : mapping of reason to rows
    low, high : float
        Smallest and largest usable value; infinite if there is none.
    first, last : datetime64
        Times of the source's first and last event with customer and time, in UTC; NaT if none.
    repeated : int
        Rows of the table that repeat another in every column.
    """

    indicator: Indicator
    counts: Mapping[str, int]
    low: float
    high: float
    first: np.datetime64
    last: np.datetime64
    repeated: int

    @property
    def every_event(self) -> bool:
        """Whether each event of the source that has a customer and a time has a usable value."""
        return self.counts["usable"] == self.counts["placed"]


def remembered(tables: Engine, keys: Sequence[_Key], ask: Callable[[list[_Key]], Sequence[_Value]]) -> list[_Value]:
    """Answer a question about tables, which never change while they are open, once per key.

    Parameters
    ----------
    keys : sequence of hashable
        One a question; equal keys have equal answers.
    ask : callable
        Answers those keys that were not asked before.
    """
    known: dict[object, object] = _ANSWERS.setdefault(tables, {})
    new = [each for each in dict.fromkeys(keys) if each not in known]
    if new:
        known.update(zip(new, ask(new), strict=True))
    return [known[each] for each in keys]  # type: ignore[misc]  # what `ask` gave for this key


#: Sums of larger values are left to the engine's compensated sum.
_LARGEST_EXACT = 2.0**40


def aggregate_sql(audit: Audit, column: str, condition: str = "TRUE") -> str:
    """Write the aggregate of clean values so that neither the order of rows nor threads show in its last digit.

    Sums add whole numbers of 38 digits: a value times a power of two that keeps all its digits, or at least 46 binary
    places. Other aggregates do not depend on the order.

    Parameters
    ----------
    audit : Audit
        Of the indicator; its largest value says which power of two there is room for.
    column : str
        Of clean values.
    condition : str
        SQL: which events count.
    """
    indicator, largest = audit.indicator, max(abs(audit.low), abs(audit.high)) if audit.low <= audit.high else 0.0
    kind = indicator.measure.aggregate
    chosen = "" if condition == "TRUE" else f" FILTER (WHERE {condition})"
    if kind not in (Aggregate.MEAN, Aggregate.SUM) or largest > _LARGEST_EXACT:
        return f"CAST({indicator.aggregate(column, condition).removesuffix(' FILTER (WHERE TRUE)')} AS DOUBLE)"
    scale = 2.0 ** (60 - max(math.frexp(largest)[1] - 26, 0))
    total = f"CAST(sum(CAST({column} * {scale!r} AS DECIMAL(38, 0))){chosen} AS DOUBLE) / {scale!r}"
    return f"{total} / count({column}){chosen}" if kind is Aggregate.MEAN else total


def audit(tables: Engine, indicators: Sequence[Indicator]) -> tuple[Audit, ...]:
    """Look at every event once, one scan a source; what was looked at before is remembered for these tables.

    Parameters
    ----------
    indicators : sequence of Indicator
        Equal indicators have equal answers, whoever asks.
    """
    keys = [("audit", each) for each in indicators]

    def ask(new: list[tuple[str, Indicator]]) -> list[Audit]:
        groups = by_source(each for _, each in new).values()
        found = {each.indicator: each for group in groups for each in _audit_source(tables, group)}
        return [found[each] for _, each in new]

    return tuple(remembered(tables, keys, ask))


def _audit_source(tables: Engine, group: Sequence[Indicator]) -> list[Audit]:
    """Count by what happens to an event: a few groups, which one scan finds faster than conditional counts."""
    table, entity, at = group[0].source
    clock = moment(tables, table, at)
    read = ", ".join(f"{each.value} AS x{i}, {_reason_sql(each)} AS r{i}" for i, each in enumerate(group))
    events = (
        f"SELECT CASE WHEN {quote(entity)} IS NOT NULL AND {quote(at)} IS NOT NULL THEN 1 ELSE 0 END AS placed, "  # noqa: S608 - quoted
        f"{clock} AS event_at, {read} FROM {rows_sql(tables, table)} AS source_rows"
    )
    keys = ", ".join(["placed", *(f"r{i}" for i in range(len(group)))])
    ends = ", ".join(f"min(x{i}) AS low{i}, max(x{i}) AS high{i}" for i in range(len(group)))
    found = tables.query(
        f"SELECT {keys}, count(*) AS n, min(event_at) AS first_at, max(event_at) AS last_at, {ends} "  # noqa: S608 - quoted
        f"FROM ({events}) AS every_event GROUP BY {keys}"
    )
    placed = found["placed"] == 1
    return [
        Audit(
            indicator=each,
            counts=_counts(found[f"r{i}"], found["n"]) | {"placed": int(found["n"][placed].sum())},
            low=float(found[f"low{i}"][found[f"r{i}"] >= _USED].min(initial=np.inf)),
            high=float(found[f"high{i}"][found[f"r{i}"] >= _USED].max(initial=-np.inf)),
            first=found["first_at"][placed].min() if placed.any() else np.datetime64("NaT", "us"),
            last=found["last_at"][placed].max() if placed.any() else np.datetime64("NaT", "us"),
            repeated=tables.repeated_rows(table),
        )
        for i, each in enumerate(group)
    ]


def _counts(reasons: Array, rows: Array) -> dict[str, int]:
    counts = {name: int(rows[reasons == i].sum()) for i, name in enumerate(_REASONS, start=1)}
    return counts | {"events": int(rows[reasons > 0].sum()), "usable": int(rows[reasons >= _USED].sum())}


def _reason_sql(indicator: Indicator) -> str:
    """Write what happens to an event as a number: 0 if it is not one, 7 if it is used, else why not."""
    value, cap, measure = indicator.value, indicator.measure.cap, indicator.measure
    reasons = [
        f"WHEN {quote(measure.entity)} IS NULL THEN 1",
        f"WHEN {quote(measure.at)} IS NULL THEN 2",
        f"WHEN {value} IS NULL OR {value} > {_INFINITE} THEN 3",
        f"WHEN abs({value}) > {LARGEST!r} THEN 4",
    ]
    reasons += [f"WHEN {indicator.raw or value} < 0 THEN 5"] if indicator.is_duration else []
    reasons += [f"WHEN {value} > CAST({float(cap)!r} AS DOUBLE) THEN 6"] if cap is not None else []
    return f"CASE WHEN {indicator.where} THEN CASE {' '.join(reasons)} ELSE 7 END ELSE 0 END"


def count_losses(tables: Engine, indicators: Sequence[Indicator]) -> tuple[Loss, ...]:
    """Count, per indicator, the events that were set aside or changed, each under its first reason.

    Returns
    -------
    tuple of (indicator, reason, rows)
        Only reasons that occurred.

    Raises
    ------
    DataError
        If more than 5% of the events name no customer, more than 1% are impossible, or a fraction leaves 0 to 1.
    """
    losses: list[Loss] = []
    for each in audit(tables, indicators):
        if each.repeated:
            losses.append((each.indicator.id, f"repeated rows of {each.indicator.measure.table}", each.repeated))
        losses += _losses_of(each)
    return tuple(losses)


def _losses_of(found: Audit) -> list[Loss]:
    indicator, counts = found.indicator, found.counts
    measure, events = indicator.measure, counts["events"]
    where = f"{indicator.id} ({measure.table})"
    reasons = {
        "no_entity": f"without {measure.entity}",
        "no_time": f"without {measure.at}",
        "no_value": "without a value",
        "infinite": "infinite or absurdly large",
        "negative": "negative duration",
        "capped": f"capped at {measure.cap:g}" if measure.cap is not None else "capped",
    }
    limits = {"no_entity": MAX_SHARE_NULL_ENTITY, "infinite": MAX_SHARE_BAD, "negative": MAX_SHARE_BAD}
    for name, limit in limits.items():
        if counts[name] > limit * events:
            raise DataError(
                f"{counts[name]:,} of {events:,} events are {reasons[name]}, more than {100 * limit:g}%",
                where=where,
                advice="A few such rows are set aside and counted; this many are a defect: correct the export.",
            )
    _check_fraction(indicator, found.low, found.high, where)
    return [(indicator.id, text, counts[name]) for name, text in reasons.items() if counts[name]]


def _check_fraction(indicator: Indicator, low: float, high: float, where: str) -> None:
    if indicator.unit != "fraction" or indicator.adds_up:
        return
    if low <= high and (high > 1 or low < 0):
        found = f"max {high:g} > 1" if high > 1 else f"min {low:g} < 0"
        raise DataError(
            f"a fraction lies outside 0 to 1: {found}; unit percent?",
            where=where,
            advice="Declare `unit: percent`, or divide the value by 100.",
        )


def count_outside(
    tables: Engine,
    indicators: Sequence[Indicator],
    *,
    start: str | None = None,
    end: str | None = None,
    time_zone: str = "UTC",
) -> tuple[Loss, ...]:
    """Count the usable events of every indicator before ``start``, and at or after ``end``; they are not used.

    A table is scanned again only if it may have such events.
    """
    keys = [("outside", each, start, end, time_zone) for each in indicators]

    def ask(new: list[tuple[str, Indicator, str | None, str | None, str]]) -> list[tuple[Loss, ...]]:
        found: dict[Indicator, tuple[Loss, ...]] = {}
        for group in by_source(each for _, each, *_ in new).values():
            found |= _count_group(tables, group, start, end, time_zone)
        return [found[each] for _, each, *_ in new]

    return tuple(loss for losses in remembered(tables, keys, ask) for loss in losses)


def _count_group(
    tables: Engine, group: Sequence[Indicator], start: str | None, end: str | None, time_zone: str
) -> dict[Indicator, tuple[Loss, ...]]:
    table, entity, at = group[0].source
    seen = audit(tables, group)[0]
    if np.isnat(seen.first) or not _outside(seen, start, end, time_zone):
        return dict.fromkeys(group, ())
    clock = moment(tables, table, at, time_zone=time_zone)
    sides = [(f"before {str(start)[:10]}", f"{clock} < TIMESTAMP '{start}'")] if start else []
    sides += [(f"after {_last_day(end)}", f"{clock} >= TIMESTAMP '{end}'")] if end else []
    columns = [
        f"count(CASE WHEN {quote(entity)} IS NOT NULL AND {condition} THEN {clean_sql(each)} END) AS n_{i}_{j}"
        for i, each in enumerate(group)
        for j, (_, condition) in enumerate(sides)
    ]
    found = tables.query(f"SELECT {', '.join(columns)} FROM {rows_sql(tables, table)} AS source_rows")  # noqa: S608 - quoted
    counts = {
        each: [(each.id, reason, int(found[f"n_{i}_{j}"][0])) for j, (reason, _) in enumerate(sides)]
        for i, each in enumerate(group)
    }
    return {each: tuple(loss for loss in losses if loss[2]) for each, losses in counts.items()}


def _outside(seen: Audit, start: str | None, end: str | None, time_zone: str) -> bool:
    """Whether some event may lie outside; no clock is a day from UTC."""
    slack = np.timedelta64(0 if time_zone == "UTC" else 1, "D")
    early = start is not None and bool(seen.first - slack < np.datetime64(start, "us"))
    return early or (end is not None and bool(seen.last + slack >= np.datetime64(end, "us")))


def _last_day(end: str | None) -> str:
    return str(np.datetime64(str(end), "us") - np.timedelta64(1, "us"))[:10]


def holds_days(timed: int, rows: int) -> bool:
    """Whether times are days written as midnights: at most 1% of them are another time of day.

    A few are, because a zone whose clocks skip midnight has days that start at one.
    """
    return timed <= rows // 100


def check_clock(
    tables: Engine, indicators: Sequence[Indicator], *, time_zone: str, skipped: str = "refuse"
) -> tuple[Loss, ...]:
    """Look for times without a zone that the clocks of the stated zone never showed.

    A column of midnights holds days, which no clock skips.

    Parameters
    ----------
    time_zone : str
    skipped : {"refuse", "forward"}
        What to do with them: refuse, or read them one hour later, as a clock does that was not put forward. Both are
        in the same calendar period.

    Returns
    -------
    tuple of (indicator, reason, rows)
        If they are read one hour later.

    Raises
    ------
    DataError
        With the number of rows and the rules to choose from.
    """
    if skipped not in ("refuse", "forward"):
        raise DataError(f"rule {skipped!r} for skipped hours is not known", advice='Choose "refuse" or "forward".')
    losses: list[Loss] = []
    for (table, _, at), group in by_source(indicators).items():
        if tables.type_of(table, at) != "TIMESTAMP":
            continue
        seen = audit(tables, group)[0]
        spans = () if np.isnat(seen.first) else skipped_times(time_zone, seen.first, seen.last)
        rows, example = _rows_within(tables, table, at, spans) if spans else (0, "")
        if rows and skipped == "refuse":
            raise DataError(
                f"{rows:,} times in {at!r} never happened in {time_zone}, such as {example}: clocks skipped that hour",
                where=table,
                advice="State the zone in which they were written (UTC, perhaps), give them with their offset, or "
                'choose skipped="forward" to read them one hour later.',
            )
        reason = f"in an hour that clocks of {time_zone} skip, read one hour later"
        losses += [(each.id, reason, rows) for each in group if rows]
    return tuple(losses)


def _rows_within(tables: Engine, table: str, at: str, spans: Sequence[tuple[str, str]]) -> tuple[int, str]:
    name = quote(at)
    inside = " OR ".join(f"({name} >= TIMESTAMP '{low}' AND {name} < TIMESTAMP '{high}')" for low, high in spans)
    found = tables.query(
        f"SELECT count(*) FILTER (WHERE {inside}) AS inside, min({name}) FILTER (WHERE {inside}) AS example, "  # noqa: S608 - quoted
        f"count({name}) AS n, count(*) FILTER (WHERE {name} <> date_trunc('day', {name})) AS timed FROM {quote(table)}"
    )
    is_days = holds_days(int(found["timed"][0]), int(found["n"][0]))
    return (0, "") if is_days else (int(found["inside"][0]), str(found["example"][0])[:16].replace("T", " "))
