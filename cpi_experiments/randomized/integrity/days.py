"""Days of a trial as codes 0, 1, ...: dates, times, or day numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.columns import missing, shown

Array = np.ndarray
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MOST = 3_660


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """The calendar of a trial.

    Parameters
    ----------
    column : str
    first : int
        Day of code 0: days since 1970-01-01 if ``dated``, else the smallest number found.
    n : int
        Days from the first to the last.
    dated : bool
        Whether days are dates; only dates have weekdays.
    """

    column: str
    first: int
    n: int
    dated: bool

    def name(self, code: int) -> str:
        """Name a day as a person would.

        Examples
        --------
        >>> Days(column="day", first=20_740, n=14, dated=True).name(0)
        '14 Oct'
        >>> Days(column="day", first=1, n=14, dated=False).name(2)
        'day 3'
        """
        if not self.dated:
            return f"day {self.first + code}"
        date = np.datetime64(self.first + code, "D").astype(object)
        return f"{date.day} {_MONTHS[date.month - 1]}"

    def weekday(self, codes: Array) -> Array:
        """Weekday of codes, 0 = Monday.

        Examples
        --------
        >>> Days(column="day", first=20_740, n=14, dated=True).weekday(np.array([0, 5]))
        array([2, 0])
        """
        return np.asarray((np.asarray(codes) + self.first + 3) % 7)


def read_days(values: Array, column: str) -> tuple[Array, Days]:
    """Turn dates, times, ISO texts or whole numbers into codes of days; missing is -1.

    Raises
    ------
    DataError
        If the column holds something else, nothing, or days more than ten years apart.

    Examples
    --------
    >>> codes, days = read_days(np.array(["2026-10-15", None, "2026-10-14"], dtype=object), "day")
    >>> codes, days.name(1), days.n
    (array([ 1, -1,  0]), '15 Oct', 2)
    """
    absent = missing(values)
    if absent.all():
        raise DataError(f"column {column!r} holds no day at all", advice="Name the column of the day.")
    dated = values.dtype.kind != "f"
    number = np.zeros(len(values), dtype=np.int64)
    number[~absent] = _dates(values[~absent], column) if dated else _whole(values[~absent], column)
    first, last = int(number[~absent].min()), int(number[~absent].max())
    if last - first > _MOST:
        raise DataError(f"column {column!r} spans {last - first:,} days", advice="Is it really the day of the trial?")
    return np.where(absent, -1, number - first), Days(column=column, first=first, n=last - first + 1, dated=dated)


def _whole(values: Array, column: str) -> Array:
    if np.any(values != np.round(values)):
        raise DataError(f"column {column!r} holds days that are not whole numbers", advice="Give dates or day numbers.")
    return values.astype(np.int64)


def _dates(values: Array, column: str) -> Array:
    try:
        return np.asarray(values.astype("datetime64[D]").astype(np.int64))
    except ValueError:
        wrong = next(value for value in values if not _reads_as_date(value))
        raise DataError(
            f"column {column!r} holds {shown(wrong)}, which is no date", advice="Write dates like 2026-10-14."
        ) from None


def _reads_as_date(value: object) -> bool:
    try:
        np.datetime64(str(value), "D")
    except ValueError:
        return False
    return True
