"""Whether a level is where a straight line from its baseline to its target should have it by now, beyond noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from cpi_experiments.errors import EstimationError


class Track(StrEnum):
    """Where an outcome stands against its target."""

    REACHED = "reached"
    ON_TRACK = "on track"
    AT_RISK = "at risk"
    BEHIND = "behind"
    OVERDUE = "overdue"
    CANNOT_TELL = "cannot tell"
    NO_LINE = "no line"
    NO_TARGET = "no target"


class Side(StrEnum):
    """Where an outcome stands against a number: better, worse, or not to be told from it."""

    BETTER = "better"
    WORSE = "worse"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A straight line from a baseline to a target; days are ordinal numbers.

    Examples
    --------
    >>> line = Line(baseline=0.20, value=0.23, start=0.0, due=100.0)
    >>> round(line.at(50.0), 4), line.at(200.0)
    (0.215, 0.23)
    """

    baseline: float
    value: float
    start: float
    due: float

    def at(self, day: float) -> float:
        """Return the level expected on a day: the baseline before the start, the target after it is due."""
        if not self.due > self.start:
            raise EstimationError(f"a target due on day {self.due:g} cannot start on day {self.start:g}")
        done = min(max((day - self.start) / (self.due - self.start), 0.0), 1.0)
        return self.value if done == 1 else self.baseline + done * (self.value - self.baseline)


def side_of(low: float, high: float, *, than: float, sign: int) -> Side:
    """Say whether a whole interval is better or worse than a number.

    Parameters
    ----------
    low, high : float
        NaN where there is no interval.
    than : float
    sign : {1, -1}
        1 if more is better.

    Examples
    --------
    >>> side_of(0.02, 0.05, than=0.07, sign=-1).value, side_of(0.02, 0.08, than=0.07, sign=-1).value
    ('better', 'cannot tell')
    """
    if low > than or high < than:
        return Side.BETTER if (low > than) == (sign > 0) else Side.WORSE
    return Side.CANNOT_TELL


def track(
    level: float, low: float, high: float, *, target: float, expected: float, sign: int, overdue: bool = False
) -> Track:
    """Judge a level against its target and the line to it.

    Only an interval that excludes the line says ``behind`` (or ``overdue`` once the target is due), and only one that
    lies wholly beyond the target says ``reached``. A level below the line whose interval holds the line is ``at risk``.
    With a two-sided 95% interval a level that is exactly on its line is called ``behind`` in at most 2.5 of 100 cases.

    Parameters
    ----------
    level, low, high : float
        The level and its interval; NaN ends where there is none.
    target, expected : float
        The target, and the line on the day of the level (NaN if there is no line).
    sign : {1, -1}
        1 if more is better.
    overdue : bool
        Whether the level is from after the due date.

    Examples
    --------
    >>> track(0.21, 0.20, 0.22, target=0.30, expected=0.25, sign=1).value
    'behind'
    >>> track(0.21, 0.20, 0.26, target=0.30, expected=0.25, sign=1).value
    'at risk'
    """
    if math.isnan(low) or math.isnan(high):
        return Track.CANNOT_TELL
    if (level - target) * sign >= 0 and side_of(low, high, than=target, sign=sign) is Side.BETTER:
        return Track.REACHED
    if overdue:
        return Track.OVERDUE if side_of(low, high, than=target, sign=sign) is Side.WORSE else Track.CANNOT_TELL
    if math.isnan(expected):
        return Track.NO_LINE
    if (level - expected) * sign >= 0:
        return Track.ON_TRACK
    return Track.BEHIND if side_of(low, high, than=expected, sign=sign) is Side.WORSE else Track.AT_RISK
