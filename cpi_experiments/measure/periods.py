"""Calendar periods: where one starts, which number it has, and how users write dates."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from cpi_experiments.errors import DataError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray

PERIODS = ("day", "week", "month", "quarter", "year")
_FIRST_MONDAY = 4  # 1970-01-05, in days since 1970-01-01
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_YEARS_OF_CLOCKS = (1900, 2100)  # times beyond are typing errors, and no zone is known to skip hours there
_QUARTER = re.compile(r"(\d{4})-?Q([1-4])")
_ISO = re.compile(r"\d{4}(-\d{2}(-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?)?)?")


def check_period(period: str) -> str:
    """Return the period if it is known.

    Raises
    ------
    DataError
        With the nearest known one.
    """
    if period not in PERIODS:
        raise DataError(f"period {period!r} is not known", advice=nearest(period, list(PERIODS)))
    return period


def check_time_zone(name: str) -> str:
    """Return the name of a time zone if the machine knows it.

    Raises
    ------
    DataError
        Otherwise.
    """
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        raise DataError(f"time zone {name!r} is not known", advice="Write it like Europe/Berlin or UTC.") from None


def check_year_start(month: int) -> int:
    """Return the first month of a fiscal year if there is such a month.

    Raises
    ------
    DataError
        Otherwise.
    """
    if month not in range(1, 13):
        raise DataError(f"a fiscal year cannot start in month {month!r}", advice="Write 1 for January to 12.")
    return int(month)


def period_number(times: Array, period: str, *, fiscal_year_start: int = 1) -> Array:
    """Give periods numbers so that neighbours differ by one; whole numbers are their own number.

    Parameters
    ----------
    times : datetime64 or integer array, shape (n,)
    period : str
    fiscal_year_start : int
        First month of the year, 1 to 12; it moves quarters and years.

    Examples
    --------
    >>> period_number(np.array(["2025-12-31", "2026-01-01"], dtype="datetime64[us]"), "quarter")
    array([223, 224])
    """
    if times.dtype.kind != "M":
        return times.astype(np.int64)
    if period in ("day", "week"):
        days = times.astype("datetime64[D]").astype(np.int64)
        return days if period == "day" else (days - _FIRST_MONDAY) // 7
    months = times.astype("datetime64[M]").astype(np.int64)
    return np.asarray((months - _months_moved(period, fiscal_year_start)) // _MONTHS[period])


def period_start(times: Array, period: str, *, fiscal_year_start: int = 1) -> Array:
    """Cut times to the start of their period; weeks start on Monday.

    Examples
    --------
    >>> period_start(np.array(["2026-02-11T10:00"], dtype="datetime64[us]"), "week")
    array(['2026-02-09T00:00:00.000000'], dtype='datetime64[us]')
    >>> period_start(np.array(["2026-02-11T10:00"], dtype="datetime64[us]"), "year", fiscal_year_start=4)
    array(['2025-04-01T00:00:00.000000'], dtype='datetime64[us]')
    """
    number = period_number(times, period, fiscal_year_start=fiscal_year_start)
    if times.dtype.kind != "M":
        return number
    return start_of(number, period, fiscal_year_start=fiscal_year_start)


def start_of(number: Array, period: str, *, fiscal_year_start: int = 1) -> Array:
    """Return the first moment of periods given by number; the inverse of `period_number`.

    Examples
    --------
    >>> start_of(np.array([224]), "quarter")
    array(['2026-01-01T00:00:00.000000'], dtype='datetime64[us]')
    """
    if period in ("day", "week"):
        days = number if period == "day" else number * 7 + _FIRST_MONDAY
        return days.astype("datetime64[D]").astype("datetime64[us]")
    months = number * _MONTHS[period] + _months_moved(period, fiscal_year_start)
    return months.astype("datetime64[M]").astype("datetime64[us]")


def _months_moved(period: str, fiscal_year_start: int) -> int:
    return fiscal_year_start - 1 if period in ("quarter", "year") else 0


def period_sql(period: str, *, fiscal_year_start: int = 1) -> str:
    """Write the period of ``event_at``: a time in it, or for months their number; see `period_of_sql`.

    Examples
    --------
    >>> period_sql("year", fiscal_year_start=4)
    "date_trunc('year', event_at - INTERVAL 3 MONTHS)"
    """
    if period == "month":  # numbers are grouped faster than times
        year, month = (f"CAST(extract({part} FROM event_at) AS BIGINT)" for part in ("year", "month"))
        return f"{year} * 12 + {month} - {1970 * 12 + 1}"
    moved = _months_moved(period, fiscal_year_start)
    return f"date_trunc('{period}', event_at{f' - INTERVAL {moved} MONTHS' if moved else ''})"


def period_of_sql(found: Array, period: str) -> Array:
    """Give what `period_sql` answered the numbers of `period_number`."""
    if found.dtype.kind != "M":
        return found.astype(np.int64)
    return period_number(found, period)


def skipped_times(time_zone: str, first: np.datetime64, last: np.datetime64) -> tuple[tuple[str, str], ...]:
    """Find the spans of local time that the clocks of a zone skip when they are put forward.

    Parameters
    ----------
    time_zone : str
    first, last : datetime64
        Local times between which to look, both included.

    Returns
    -------
    tuple of (start, end)
        ISO, ``end`` excluded.

    Examples
    --------
    >>> skipped_times("Europe/Berlin", np.datetime64("2026-01-01"), np.datetime64("2026-12-31"))
    (('2026-03-29T02:00:00', '2026-03-29T03:00:00'),)
    """
    zone, hour = ZoneInfo(time_zone), 3600

    def offset(time: int) -> int:
        shift = datetime.fromtimestamp(time, tz=UTC).astimezone(zone).utcoffset()
        return int(shift.total_seconds()) if shift else 0

    low, high = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in _YEARS_OF_CLOCKS)
    begin, end = (int(each.astype("datetime64[s]").astype(np.int64)) for each in (first, last))
    days = range(max(begin - 48 * hour, int(low)), min(end + 48 * hour, int(high)), 24 * hour)
    offsets = [offset(day) for day in days]
    found = []
    for day, before, after in zip(days, offsets, offsets[1:], strict=False):
        if after > before:
            change = _first_change(offset, day, day + 24 * hour)
            found.append((change + before, change + after))
    return tuple((_iso(start), _iso(stop)) for start, stop in found if start <= end and stop > begin)


def _first_change(offset: Callable[[int], int], low: int, high: int) -> int:
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
    return high


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).replace(tzinfo=None).isoformat()


def read_times(texts: Array, *, where: str) -> Array:
    """Read ISO dates, months and quarters such as ``2026-02-01``, ``2026-02`` or ``2026Q1``.

    Raises
    ------
    DataError
        With the first text that is none of them.

    Examples
    --------
    >>> read_times(np.array(["2026Q2", "2026-05"], dtype=object), where="period")
    array(['2026-04-01T00:00:00.000000', '2026-05-01T00:00:00.000000'], dtype='datetime64[us]')
    """
    distinct, codes = np.unique(texts.astype(str), return_inverse=True)
    return np.array([_read_time(str(text), where) for text in distinct], dtype="datetime64[us]")[codes]


def _read_time(text: str, where: str) -> np.datetime64:
    quarter = _QUARTER.fullmatch(text.strip())
    iso = f"{quarter.group(1)}-{3 * int(quarter.group(2)) - 2:02d}" if quarter else text.strip()
    try:
        if not _ISO.fullmatch(iso):
            raise ValueError(iso)  # noqa: TRY301 - one message for both ways to be wrong
        return np.datetime64(iso, "us")
    except ValueError:
        raise DataError(
            f"{text[:24]!r} is not a time", where=where, advice="Use ISO 8601 (2026-02-01, 2026-02) or 2026Q1."
        ) from None


def bound(day: str | date | None, *, last: bool, where: str) -> str | None:
    """Read the first or last moment of a span; a date without a time stands for the whole day.

    Returns
    -------
    str or None
        First moment of the span, or the first one after it.

    Raises
    ------
    DataError
        If it is not an ISO date or time.

    Examples
    --------
    >>> bound("2026-02-28", last=True, where="end")
    '2026-03-01T00:00:00'
    """
    if day is None:
        return None
    text = day.isoformat() if isinstance(day, date) else day
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise DataError(
            f"{text!r} is not a date", where=where, advice="Use ISO 8601, such as 2026-02-28 or 2026-02-28T12:00."
        ) from None
    if time.tzinfo is not None:
        raise DataError(f"{text!r} states a zone", where=where, advice="Leave it out: the panel's time zone is used.")
    if last:
        time += timedelta(days=1) if len(text) <= len("2026-02-28") else timedelta(microseconds=1)
    return time.isoformat()
