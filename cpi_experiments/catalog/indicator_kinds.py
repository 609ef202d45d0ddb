"""What a built-in indicator is: which answers exist, what they are worth, how its interval is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from cpi_experiments.units import Direction


class Reading(StrEnum):
    """What the raw value of an event is, and so what it is worth."""

    SCORE = "score"  # an answer on a scale
    NPS = "nps"  # 0 to 10, worth +100, 0 or -100
    TOP_BOX = "top_box"  # an answer on a scale, worth 1 if it is among the highest
    FLAG = "flag"  # 0 or 1
    DURATION = "duration"  # not negative
    PROMISE = "promise"  # a duration, worth 1 if it is within the promise
    AMOUNT = "amount"  # money, any sign
    NUMBER = "number"  # a whole number from 0


class Interval(StrEnum):
    """How the interval of a level is made."""

    MEAN = "mean"
    SHARE = "share"
    SURVIVAL = "survival"
    COST = "cost"
    PROJECTION = "projection"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndicatorKind:
    """What one built-in indicator is.

    Parameters
    ----------
    id, label : str
        As the catalog writes it, and as reports call it.
    definition : str
        One sentence.
    reading : Reading
        What a raw value is.
    units : tuple of str
        Units that the value may have, the usual one first; empty for any unit of count.
    better : Direction
        Which way is better.
    interval : Interval
        How its interval is made.
    aggregate : str
        How the events of one customer and period become one number.
    window : str
        How long events count after an assignment.
    scale : (low, high) or None
        Answers that are allowed unless the catalog says another scale.
    whole : bool
        Whether an answer must be a whole number.
    company : bool
        Whether it measures what the company wants: a KPI, never a CPI.
    by_customer : bool
        Whether one customer and period have a value: only then it goes into panels and trials.
    source : str
        Where the definition comes from.
    """

    id: str
    label: str
    definition: str
    reading: Reading
    units: tuple[str, ...]
    better: Direction
    interval: Interval = Interval.MEAN
    aggregate: str = "mean"
    window: str = "28 days"
    scale: tuple[float, float] | None = None
    whole: bool = False
    company: bool = False
    by_customer: bool = True
    source: str = ""

    @property
    def scaled(self) -> bool:
        """Whether answers lie on a scale that the catalog may declare."""
        return self.reading in (Reading.SCORE, Reading.TOP_BOX)

    @property
    def is_duration(self) -> bool:
        """Whether a raw value below zero is impossible time."""
        return self.reading in (Reading.DURATION, Reading.PROMISE)

    @property
    def capped(self) -> bool:
        """Whether a cap on the raw value means anything."""
        return self.reading in (Reading.DURATION, Reading.AMOUNT, Reading.NUMBER)

    def allowed(self, scale: tuple[float, float] | None = None) -> tuple[float, float] | None:
        """Return the smallest and largest raw value that can exist, None where nothing but time is bounded.

        Examples
        --------
        >>> from cpi_experiments.catalog.known_kinds import find_kind
        >>> find_kind("csat").allowed(), find_kind("csat").allowed((1.0, 10.0)), find_kind("response_time").allowed()
        ((1.0, 5.0), (1.0, 10.0), None)
        """
        if self.reading is Reading.FLAG:
            return (0.0, 1.0)
        if self.reading is Reading.NUMBER:
            return (0.0, math.inf)
        return scale if scale is not None and self.scaled else self.scale

    def bounds(self, scale: tuple[float, float] | None = None) -> tuple[float, float] | None:
        """Return the smallest and largest value of one event after it was read, None where there are none.

        Examples
        --------
        >>> from cpi_experiments.catalog.known_kinds import find_kind
        >>> find_kind("nps").bounds(), find_kind("csat").bounds(), find_kind("response_time").bounds()
        ((-100.0, 100.0), (1.0, 5.0), (0.0, inf))
        """
        if self.reading is Reading.NPS:
            return (-100.0, 100.0)
        if self.interval in (Interval.SHARE, Interval.SURVIVAL):
            return (0.0, 1.0)
        if self.is_duration:
            return (0.0, math.inf)
        return self.allowed(scale)
