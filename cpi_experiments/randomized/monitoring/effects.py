"""An effect at all its looks, as a result that prints and draws itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, Row, decimals, interval, number, p_text, short
from cpi_experiments.randomized.arms import Label
from cpi_experiments.randomized.monitoring.looks import Plan
from cpi_experiments.stats.instruments.fieller import Interval
from cpi_experiments.stats.sequential.stopped_trial import Stopped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HOLDS = {
    "fixed": "one look",
    "group_sequential": "all planned looks together",
    "anytime": "all looks together, planned or not",
}
_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at one effect.

    Parameters
    ----------
    time : str
    n : int
        Randomised units of all arms that had come.
    information : float
        Share of the planned information.
    estimate, std_error : float
    low, high : float
        Interval that holds at all looks of the plan together.
    boundary : float
        Standard errors that the estimate must be away from zero.
    e_value : float
        Evidence against no effect; NaN unless the plan is ``anytime``.
    p_value : float
        Holds at all looks together (``anytime``), or at the one look of a fixed plan; else NaN.
    crossed : int
        1 (-1) if the effect is shown to be above (below) zero.
    confidence_set : tuple of (low, high)
        For a link: the Anderson-Rubin set; the interval is its hull.
    """

    time: str
    n: int
    information: float
    estimate: float
    std_error: float
    low: float
    high: float
    boundary: float
    e_value: float
    p_value: float
    crossed: int
    confidence_set: tuple[Interval, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectOverTime(Displayed):
    """One effect at all looks so far.

    Parameters
    ----------
    outcome : str
    arm : label
    unit : str
        Unit of the effect.
    confidence_level : float
    plan : str
    looks : tuple of Look
    planned_n : int
    decided : int
        1 (-1) from the first look on at which the effect was shown to be above (below) zero; 0 before.
    final : Stopped or None
        For planned looks, once the trial is over: estimate, interval and p-value that allow for the looks.
    units : str
        What ``n`` counts.
    """

    outcome: str
    arm: Label
    unit: str
    confidence_level: float
    plan: Plan
    looks: tuple[Look, ...]
    planned_n: int
    decided: int
    final: Stopped | None = None
    units: str = "units"

    def _title(self) -> str:
        now = self.looks[-1]
        digits = decimals(now.low, now.high)
        words = f"{self.outcome}, {self.arm}: {number(now.estimate, digits, sign=True)}"
        level = f"{100 * self.confidence_level:.3g}%"
        title = f"{words} ({level} interval {interval(now.low, now.high, digits, sign=True)}; {_HOLDS[self.plan]})"
        if self.final is None:
            return title
        end, places = self.final, decimals(self.final.low, self.final.high)
        return (
            f"{title}\nAllowing for the looks: {number(end.estimate, places, sign=True)} "
            f"({interval(end.low, end.high, places, sign=True)}), p {p_text(end.p_value)}"
        )

    def _shown(self) -> list[Row]:
        """Show the latest looks; `to_frame` has all of them."""
        digits = decimals(self.looks[-1].low, self.looks[-1].high)
        return [
            {
                "time": look.time,
                "n": f"{look.n:,}",
                "effect": number(look.estimate, digits, sign=True),
                "interval": interval(look.low, look.high, digits, sign=True),
                "bound": f"{look.boundary:.2f}",
                **({"e-value": short(look.e_value)} if self.plan == "anytime" else {}),
                **({} if self.plan == "group_sequential" else {"p": p_text(look.p_value)}),
            }
            for look in self.looks[-_SHOWN:]
        ]

    def _rows(self) -> list[Row]:
        return [
            {
                "outcome": self.outcome,
                "arm": self.arm,
                "time": look.time,
                "n": look.n,
                "information": look.information,
                "estimate": look.estimate,
                "std_error": look.std_error,
                "low": look.low,
                "high": look.high,
                "boundary": look.boundary,
                "e_value": look.e_value,
                "p_value": look.p_value,
                "crossed": look.crossed,
            }
            for look in self.looks
        ]

    def plot(self) -> Figure:
        """Draw the effect over time with the interval that holds at all looks."""
        from cpi_experiments.figures.sequence import SequencePoint, sequence  # noqa: PLC0415 - draws on demand

        points = [
            SequencePoint(n=look.n, estimate=look.estimate, low=look.low, high=look.high, crossed=look.crossed)
            for look in self.looks
        ]
        return sequence(
            points,
            title=self._title().splitlines()[0],
            axis_label=self.unit,
            planned_n=self.planned_n,
            steps=self.plan != "anytime",
            units=self.units,
        )
