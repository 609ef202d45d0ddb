"""Switchback schedules: regions change arms over time, balanced over the hours of the day and the days of the week."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import gcd, lcm
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, Row, clean_text, percent
from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.assigning.assignment import roster
from cpi_experiments.randomized.assigning.hashing import order_by_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.experiment import Experiment

_DAY = timedelta(days=1)
_LONGEST_DECK = 12
_MOST_PERIODS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One region in one arm.

    Parameters
    ----------
    unit : str
    start, end : datetime
        Wall-clock time of the region; the end is not part of it.
    arm : str
    use_from : datetime
        Outcomes count from here: what lies before still carries the arm before.
    """

    unit: str
    start: datetime
    end: datetime
    arm: str
    use_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Switchback(Displayed):
    """When each region is in which arm.

    Parameters
    ----------
    experiment, salt : str
    block, washout : timedelta
    periods : tuple of Period
        By region, then time.
    """

    experiment: str
    salt: str
    block: timedelta
    washout: timedelta
    periods: tuple[Period, ...]

    def _title(self) -> str:
        units = len({period.unit for period in self.periods})
        first, last = self.periods[0].start, self.periods[-1].end - timedelta(microseconds=1)
        return (
            f"{clean_text(self.experiment)}: {len(self.periods):,} periods of {_hours(self.block)} in {units:,} "
            f"regions, {first:%Y-%m-%d} to {last:%Y-%m-%d}; the first "
            f"{_hours(self.washout)} of each are not used ({percent(self.washout / self.block)})"
        )

    def _rows(self) -> list[Row]:
        return [
            {"unit": p.unit, "start": p.start, "end": p.end, "arm": p.arm, "use_from": p.use_from} for p in self.periods
        ]

    def _shown(self) -> list[Row]:
        """One line an arm: the schedule itself is for `to_frame`."""
        counts: dict[str, int] = {}
        for period in self.periods:
            counts[period.arm] = counts.get(period.arm, 0) + 1
        total = len(self.periods)
        return [
            {"arm": clean_text(arm), "periods": f"{count:,}", "share": percent(count / total, 1)}
            for arm, count in sorted(counts.items())
        ]


def _hours(length: timedelta) -> str:
    return f"{length.total_seconds() / 3600:g} h"


def schedule_switchback(
    experiment: Experiment,
    regions: Iterable[object] | Data,
    *,
    block: timedelta,
    washout: timedelta = timedelta(0),
    unit: str | None = None,
    salt: str | None = None,
) -> Switchback:
    """Plan which region is in which arm when.

    In every region, as many days of one weekday as the allocation has parts (two for 1:1, three for 2:1) form a Latin
    square with as many neighbouring slots of the day: every arm has its share of each day and of each hour of the week.
    Rows, columns and arms of every square are shuffled by the hash, so that the schedule depends on the salt alone.

    Parameters
    ----------
    experiment : Experiment
        Its dates are the first and last day; its allocation must be small whole numbers, such as 1:1 or 2:1.
    regions : iterable, or data of any kind with `unit`
        Regions, stores or teams that switch.
    block : timedelta
        Length of a period: a whole number of them fits a day, or it is whole days. Longer than the effect lasts.
    washout : timedelta
        Start of every period that is not used, because the arm before still acts. It is left out of all periods,
        changed or not, so that arms are compared over the same times.
    unit : str, optional
        Column of the regions, where `regions` is a table.
    salt : str, optional
        The experiment's id by default.

    Raises
    ------
    DesignError
        If blocks do not fit days, the washout leaves nothing, the shares are no small whole numbers, or a region would
        not see every arm.

    References
    ----------
    Bojinov, Simchi-Levi and Zhao (2023), Management Science 69 (carry-over and block length).

    Examples
    --------
    >>> from cpi_experiments.randomized.experiment import Experiment
    >>> trial = Experiment(id="demo", lever="auto_quote", control="manual", allocation={"manual": 1, "auto": 1},
    ...                    hypotheses=(), randomize="region", start="2026-01-05", end="2026-01-18")
    >>> found = schedule_switchback(trial, ["north", "south"], block=timedelta(hours=6), washout=timedelta(hours=1))
    >>> len(found.periods), sum(period.arm == "auto" for period in found.periods)
    (112, 56)
    """
    salt = experiment.id if salt is None else salt
    names = list(dict.fromkeys(roster(regions, unit=unit)[0]))
    first = datetime.combine(date.fromisoformat(experiment.start[:10]), datetime.min.time())
    days = (date.fromisoformat(experiment.end[:10]) - first.date()).days + 1
    _check(block, washout, days=days)
    deck = _deck(experiment.allocation)
    slots = max(1, _DAY // block)
    rows = days if block <= _DAY else days * _DAY // block
    if len(names) * rows * slots > _MOST_PERIODS:
        raise DesignError(f"{len(names) * rows * slots:,} periods are too many", advice=f"At most {_MOST_PERIODS:,}.")
    if rows * slots < len(deck):
        raise DesignError(
            f"each region has {rows * slots} periods, and the allocation needs {len(deck)}",
            advice="Use shorter blocks or more days.",
        )
    groups = _groups_of_days(rows, size=len(deck), by_weekday=block <= _DAY)
    periods = []
    for name in names:
        for row, arms in enumerate(_pattern(groups, rows, slots, deck, salt=f"{salt}:{name}")):
            for slot, arm in enumerate(arms):
                start = first + (row * slots + slot) * block
                periods.append(Period(unit=name, start=start, end=start + block, arm=arm, use_from=start + washout))
    return Switchback(experiment=experiment.id, salt=salt, block=block, washout=washout, periods=tuple(periods))


def _check(block: timedelta, washout: timedelta, *, days: int) -> None:
    if block <= timedelta(0) or (_DAY % block and block % _DAY):
        raise DesignError(
            f"blocks of {_hours(block)} do not fit days", advice="Use 1, 2, 3, 4, 6, 8, 12 or 24 hours, or whole days."
        )
    if days * _DAY < block:
        raise DesignError(f"one block of {_hours(block)} is longer than all {days} days", advice="Use shorter blocks.")
    if not timedelta(0) <= washout < block:
        raise DesignError(
            f"a washout of {_hours(washout)} leaves nothing of a block of {_hours(block)}",
            advice="It must be at least 0 and shorter than the block.",
        )


def _deck(allocation: Mapping[str, float]) -> list[str]:
    """Turn an allocation into the shortest list of arms with the same shares."""
    parts = [Fraction(weight).limit_denominator(1000) for weight in allocation.values()]
    bottom = lcm(*(part.denominator for part in parts))
    whole = [int(part * bottom) for part in parts]
    common = gcd(*whole)
    deck = [arm for arm, count in zip(allocation, whole, strict=True) for _ in range(count // common if common else 0)]
    if len(deck) > _LONGEST_DECK or set(deck) != set(allocation):
        raise DesignError(
            f"the allocation {dict(allocation)} is not in small whole numbers",
            advice=f"A schedule needs shares such as 1:1 or 2:1, at most {_LONGEST_DECK} parts together.",
        )
    return deck


def _groups_of_days(rows: int, *, size: int, by_weekday: bool) -> list[list[int]]:
    """Put days of the same weekday together; what is left over at the end is grouped in order."""
    groups: list[list[int]] = []
    left: list[int] = []
    for weekday in range(7 if by_weekday else 1):
        same = list(range(weekday, rows, 7 if by_weekday else 1))
        full = len(same) - len(same) % size
        groups += [same[j : j + size] for j in range(0, full, size)]
        left += same[full:]
    left.sort()
    return groups + [left[j : j + size] for j in range(0, len(left), size)]


def _pattern(
    groups: Sequence[Sequence[int]], rows: int, slots: int, deck: Sequence[str], *, salt: str
) -> list[list[str]]:
    """Fill days and slots with shuffled Latin squares of the deck, cut off at the edges."""
    size = len(deck)
    found = [[""] * slots for _ in range(rows)]
    names = [str(j) for j in range(size)]
    for number, days in enumerate(groups):
        for left in range(0, slots, size):
            by_row, by_column, by_card = (
                order_by_hash(names, salt=f"{salt}:{number}:{left}:{role}") for role in ("day", "slot", "arm")
            )
            for i, day in enumerate(days):
                for j in range(min(size, slots - left)):
                    found[day][left + j] = deck[by_card[(by_row[i] + by_column[j]) % size]]
    return found
