"""What the pictures are drawn from, and how each verdict looks: no matplotlib here, so that a report can build it."""

from __future__ import annotations

import math
from dataclasses import dataclass

_MISSING = (math.nan, math.nan, math.nan)

#: Dash pattern (points on, points off) and colour of each verdict; shape and word carry it too, colour never alone.
LINES: dict[str, tuple[tuple[float, ...], str]] = {
    "confirmed": ((), "#00543A"),
    "blocked": ((7, 2, 1.5, 2), "#000000"),
    "inconclusive": ((5, 3), "#4B5563"),
    "refuted": ((1.2, 2.2), "#8A3C00"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """One link of a forest plot, in multiples of the smallest effect worth acting on, + = better for the company.

    Parameters
    ----------
    label : str
        Name of the link.
    experiment, past : tuple of (value, low, high)
        Estimates from experiments and from past data; NaN where there is none, infinite ends allowed.
    note : str
        Text at the right end of the row, such as the effect in its own unit.
    """

    label: str
    experiment: tuple[float, float, float] = _MISSING
    past: tuple[float, float, float] = _MISSING
    note: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return math.isnan(self.experiment[0]) and math.isnan(self.past[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class MapEdge:
    """One hypothesis on the link map.

    Parameters
    ----------
    cpi, kpi : str
        Ids of its ends.
    verdict : str
        One of the four words.
    symbol : str
        Symbol that stands beside the word.
    grade : str
        Grade of the evidence; empty if there is none.
    note : str
        The effect in few characters.
    """

    cpi: str
    kpi: str
    verdict: str
    symbol: str
    grade: str = ""
    note: str = ""

    @property
    def words(self) -> str:
        """Symbol, word, grade and effect on one line.

        Examples
        --------
        >>> MapEdge(cpi="a", kpi="b", verdict="confirmed", symbol="v", grade="A", note="+0.83 points").words
        'v confirmed A · +0.83 points'
        """
        head = " ".join(part for part in (self.symbol, self.verdict, self.grade) if part)
        return f"{head} · {self.note}" if self.note else head
