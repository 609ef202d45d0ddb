"""Calendar periods: where one starts, which number it has, and how users write dates."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from cpi_experiments.errors import DataError, nearest

Array = np.ndarray

PERIODS = ("day", "week", "month", "quarter", "year")
_FIRST_MONDAY = 4  # 1970-01-05, in days since 1970-01-01
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


def period_number(times: Array, period: str) -> Array:
    """Give periods numbers so that neighbours differ by one; whole numbers are their own number.

    Parameters
    ----------
    times : datetime64 or integer array, shape (n,)

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
    return np.asarray(months // {"month": 1, "quarter": 3, "year": 12}[period])


def period_start(times: Array, period: str) -> Array:
    """Cut times to the start of their period; weeks start on Monday.

    Examples
    --------
    >>> period_start(np.array(["2026-02-11T10:00"], dtype="datetime64[us]"), "week")
    array(['2026-02-09T00:00:00.000000'], dtype='datetime64[us]')
    """
    number = period_number(times, period)
    if times.dtype.kind != "M":
        return number
    if period in ("day", "week"):
        days = number if period == "day" else number * 7 + _FIRST_MONDAY
        return days.astype("datetime64[D]").astype("datetime64[us]")
    months = number * {"month": 1, "quarter": 3, "year": 12}[period]
    return months.astype("datetime64[M]").astype("datetime64[us]")


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
