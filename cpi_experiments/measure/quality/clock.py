"""Hours that a local clock skips or shows twice, and the rows that carry them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.quality.findings import BrokenRule, Finding, share_text
from cpi_experiments.measure.quality.table import count_if, time_literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cpi_experiments.measure.quality.table import CheckedTable, Key

#: First moment of an hour on the local clock, and the first after it.
Hour = tuple[str, str]

_STEP = timedelta(hours=12)  # no zone changed its clock twice within half a day


@cache
def clock_changes(zone: str, *, first: datetime, last: datetime) -> tuple[tuple[Hour, ...], tuple[Hour, ...]]:
    """Find the local hours that do not exist and those that exist twice.

    Parameters
    ----------
    zone : str
        Such as ``Europe/Berlin``.
    first, last : datetime
        Span to search, without zone.

    Returns
    -------
    gaps, doubled : tuple of (start, end)

    Examples
    --------
    >>> clock_changes("Europe/Berlin", first=datetime(2026, 1, 1), last=datetime(2026, 12, 31))
    ((('2026-03-29T02:00:00', '2026-03-29T03:00:00'),), (('2026-10-25T02:00:00', '2026-10-25T03:00:00'),))
    """
    clock = ZoneInfo(zone)
    gaps: list[Hour] = []
    doubled: list[Hour] = []
    moment, end = first.replace(tzinfo=UTC) - timedelta(days=1), last.replace(tzinfo=UTC) + timedelta(days=1)
    while moment < end:
        following = moment + _STEP
        before, after = _offset(clock, moment), _offset(clock, following)
        if before != after:
            change = _when(clock, moment, following).replace(tzinfo=None)
            hour = sorted((change + before, change + after))
            (gaps if after > before else doubled).append((hour[0].isoformat(), hour[1].isoformat()))
        moment = following
    return tuple(gaps), tuple(doubled)


def _offset(clock: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(clock).utcoffset() or timedelta(0)


def _when(clock: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Find the first second with the later offset."""
    before = _offset(clock, low)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (middle, high) if _offset(clock, middle) == before else (low, middle)
    return high


def clock_rules(table: CheckedTable) -> tuple[BrokenRule, ...]:
    """Write one rule for each column with local times: rows at times that the clock skipped."""
    contract = table.contract
    if contract.gap_times == "later":
        return ()
    limit = 1.0 if contract.gap_times == "set_aside" else 0.0
    gaps, _ = _changes(table)
    return tuple(
        BrokenRule(
            rule="skipped-hour",
            column=column,
            condition=_within(column, gaps),
            reason=f"at a time that clocks of {contract.time_zone} skipped",
            limit=limit,
            found=f"carry a local time that clocks of {contract.time_zone} skipped",
            advice="Export in UTC, or choose a rule: `gap_times: later` (one hour later) or `gap_times: set_aside`.",
        )
        for column in table.local_columns
        if gaps
    )


def clock_sql(table: CheckedTable) -> dict[Key, str]:
    """Write the counts of rows in doubled hours, and in skipped ones that the contract moves."""
    gaps, doubled = _changes(table)
    asked: dict[Key, str] = {
        ("doubled", column): count_if(_within(column, doubled)) for column in table.local_columns if doubled
    }
    if table.contract.gap_times == "later" and gaps:
        asked |= {("moved", column): count_if(_within(column, gaps)) for column in table.local_columns}
    return asked


def clock_findings(table: CheckedTable, answers: Mapping[Key, float]) -> Iterator[Finding]:
    """Say how many local times are ambiguous, and which reading is used."""
    zone = table.contract.time_zone
    told = {
        "doubled": (
            f"lie in an hour that clocks of {zone} show twice",
            "They are read as the second pass; export in UTC to know.",
        ),
        "moved": (
            f"carry a local time that clocks of {zone} skipped",
            "They are read as one hour later, as `gap_times` says.",
        ),
    }
    for (what, *rest), count in answers.items():
        if what not in told or not count:
            continue
        rows, (found, advice) = int(count), told[what]
        yield table.finding(
            f"{what}-hour",
            rest[0],
            severity="warning" if what == "moved" else "info",
            rows=rows,
            found=f"{share_text(rows, table.rows)} {found}",
            advice=advice,
        )


def _within(column: str, hours: Sequence[Hour]) -> str:
    name = quote(column)
    return " OR ".join(f"({name} >= {time_literal(start)} AND {name} < {time_literal(end)})" for start, end in hours)


def _changes(table: CheckedTable) -> tuple[tuple[Hour, ...], tuple[Hour, ...]]:
    if table.span is None:
        return (), ()
    first, last = table.span
    return clock_changes(table.contract.time_zone, first=first, last=last)
