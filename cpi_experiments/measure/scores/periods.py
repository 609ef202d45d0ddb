"""Which periods a scorecard compares: the last complete one, the one before, and the one a year earlier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.catalog.resolve import read_date
from cpi_experiments.errors import DataError
from cpi_experiments.measure.periods import period_number, read_times

if TYPE_CHECKING:
    from cpi_experiments.measure.unit_periods import Panel

Array = np.ndarray

#: Periods of a year; weeks and days go back whole weeks, so that days of the week agree.
_YEAR = {"day": 364, "week": 52, "month": 12, "quarter": 4, "year": 1}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_NAMES = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Times:
    """The periods of a scorecard.

    Parameters
    ----------
    numbers : int array, shape (rows,)
        Period number of every row of the panel.
    wanted : tuple of int
        Numbers of the period, the one before and the one a year before; -1 apart where there is none.
    names : tuple of str
        Their names; empty where the panel does not hold them.
    middle, first_middle, last_day : float
        Middle of the period and of the panel's first one, and its last day, as ordinal days; NaN for numbered periods.
    days : (int, int)
        Days of the period and of the one before; 0 where there is none, or periods are numbers.
    checked : bool
        Whether the caller said until when data are whole.
    late : str
        The day until which data were expected if the panel ends a period or more before it; else empty.
    by_weeks : bool
        Whether a year before is 52 weeks before.
    """

    numbers: Array
    wanted: tuple[int | None, int | None, int | None]
    names: tuple[str, str, str]
    middle: float
    first_middle: float
    last_day: float
    days: tuple[int, int]
    checked: bool
    late: str = ""
    by_weeks: bool = False

    @property
    def name(self) -> str:
        """The period in words."""
        return self.names[0]

    @property
    def previous_name(self) -> str:
        """The period before in words; empty if there is none."""
        return self.names[1]

    @property
    def year_name(self) -> str:
        """The period a year before in words; empty if there is none."""
        return self.names[2]

    def rows(self, back: int) -> Array:
        """Mark the rows of the period (0), the one before (1) or a year before (2); bool, shape (rows,)."""
        number = self.wanted[back]
        return self.numbers == number if number is not None else np.zeros(len(self.numbers), dtype=bool)


def times_of(panel: Panel, *, period: str | None, as_of: str | date | None) -> Times:
    """Choose the periods.

    Raises
    ------
    DataError
        If the wanted period is not in the panel or not complete, or none is; if days are given for numbered periods.
    """
    starts = panel.frame["period"].to_numpy()
    numbered = starts.dtype.kind != "M"
    if numbered and as_of is not None:
        raise DataError("as_of is a day, but the panel's periods are numbers", advice="Name the number as `period`.")
    numbers = period_number(starts, panel.period, fiscal_year_start=panel.fiscal_year_start)
    there, first_row = np.unique(numbers, return_index=True)
    first_of = dict(zip(there.tolist(), starts[first_row], strict=True))
    day = None if as_of is None else as_of if isinstance(as_of, date) else read_date(as_of)
    last = math.inf if day is None else day.toordinal() + 1
    whole = [each for each in there.tolist() if numbered or _day(end_of(first_of[each], panel.period)) <= last]
    now = _chosen(whole, there.tolist(), period, panel)
    fiscal = panel.fiscal_year_start != 1
    back = [now, now - 1, None if numbered else now - _YEAR[panel.period]]
    if back[1] == back[2]:
        back[2] = None  # a year before a year is the period before
    wanted = tuple(each if each in first_of else None for each in back)
    named = ["" if each is None else period_name(first_of[each], panel.period, fiscal=fiscal) for each in wanted]
    return Times(
        numbers=numbers,
        wanted=(wanted[0], wanted[1], wanted[2]),
        names=(named[0], named[1], named[2]),
        middle=math.nan if numbered else _middle(first_of[now], panel.period),
        first_middle=math.nan if numbered else _middle(starts.min(), panel.period),
        last_day=math.nan if numbered else _day(end_of(first_of[now], panel.period)) - 1.0,
        days=(_length(first_of[now], panel.period), _length(first_of.get(now - 1), panel.period)),
        checked=day is not None or period is not None,
        late=_late(day, end_of(first_of[now], panel.period), panel.period) if day and period is None else "",
        by_weeks=panel.period in ("day", "week"),
    )


def _chosen(whole: list[int], there: list[int], period: str | None, panel: Panel) -> int:
    starts = panel.frame["period"]
    if period is None:
        if not whole:
            raise DataError(
                f"no {panel.period} of the panel is complete; the first starts {str(starts.min())[:10]}",
                advice="Give a later as_of, or a panel of shorter periods.",
            )
        return whole[-1]
    if starts.dtype.kind == "M":
        wanted = _number_of(period, panel)
    elif period.strip().lstrip("-").isdigit():
        wanted = int(period)
    else:
        raise DataError(f"period {period!r} is not a number", advice="The panel's periods are whole numbers.")
    if wanted in whole:
        return wanted
    if wanted in there:
        raise DataError(f"{panel.period} {period} is not complete yet", advice="Give a later as_of, or leave it out.")
    raise DataError(
        f"{panel.period} {period} is not in the panel",
        advice=f"It goes from {str(starts.min())[:10]} to {str(starts.max())[:10]}.",
    )


def _number_of(period: str, panel: Panel) -> int:
    if "Q" in period and panel.fiscal_year_start != 1:
        raise DataError(
            f"{period} may be a calendar or a fiscal quarter",
            where="period",
            advice="Write the first day of the quarter, such as 2026-04-01.",
        )
    time = read_times(np.array([period], dtype=object), where="period")
    return int(period_number(time, panel.period, fiscal_year_start=panel.fiscal_year_start)[0])


def end_of(start: np.datetime64, period: str) -> np.datetime64:
    """Return the first moment after a period.

    Examples
    --------
    >>> end_of(np.datetime64("2026-02-01"), "month"), end_of(np.datetime64("2026-06-01"), "week")
    (np.datetime64('2026-03-01'), np.datetime64('2026-06-08'))
    """
    if period in _MONTHS:
        return np.datetime64(start.astype("datetime64[M]") + np.timedelta64(_MONTHS[period], "M"), "D")
    return np.datetime64(start.astype("datetime64[D]") + np.timedelta64(7 if period == "week" else 1, "D"), "D")


def _day(moment: np.datetime64) -> int:
    return int(moment.astype("datetime64[D]").astype(np.int64)) + _EPOCH


def _middle(start: np.datetime64, period: str) -> float:
    return (_day(start) + _day(end_of(start, period))) / 2


def _length(start: np.datetime64 | int | None, period: str) -> int:
    return _day(end_of(start, period)) - _day(start) if isinstance(start, np.datetime64) else 0


def _late(day: date, end: np.datetime64, period: str) -> str:
    """Name the day if one more whole period should have been there."""
    return str(day) if _day(end_of(end, period)) <= day.toordinal() + 1 else ""


def period_name(start: np.datetime64 | int, period: str, *, fiscal: bool = False) -> str:
    """Name a period in words; quarters and years of a fiscal year by their first day.

    Examples
    --------
    >>> period_name(np.datetime64("2026-04-01"), "quarter"), period_name(np.datetime64("2026-04-01"), "month")
    ('2026Q2', 'April 2026')
    """
    if not isinstance(start, np.datetime64):
        return f"period {start}"
    day = str(start.astype("datetime64[D]"))
    year, month = day[:4], int(day[5:7])
    if period in ("day", "month"):
        return day if period == "day" else f"{_NAMES[month - 1]} {year}"
    if period == "week" or fiscal:
        return f"the {period} from {day}"
    return year if period == "year" else f"{year}Q{(month + 2) // 3}"
