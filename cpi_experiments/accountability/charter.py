"""The charter: which team can be accountable for which CPI, at which target, for how much KPI."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from cpi_experiments.display import Displayed, Row
from cpi_experiments.estimate import Link


class Standing(StrEnum):
    """Whether a team can be accountable for a CPI now."""

    ASSIGNABLE = "assignable"
    NOT_YET = "not yet"
    NO_LEVER = "no lever"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accountability(Displayed):
    """One team, one CPI: can the team own it, which target, and what the target is worth.

    Parameters
    ----------
    team, cpi : str
        Ids; ``team`` is empty where no team has a lever.
    standing : Standing
    reasons : tuple of str
        Sentences with the numbers in them.
    link : Link or None
        The confirmed link that the forecast rests on.
    baseline, target : float
        Today's level and the target level of the CPI, in its own unit; NaN if not known.
    steps : float
        The move from baseline to target in increments, capped at what experiments produced.
    gain_p10, gain_p50, gain_p90 : float
        Forecast KPI gain of that move (KPI units per customer), 10th, 50th and 90th percentile.
    horizon : str
        By when the target is due.
    """

    team: str
    cpi: str
    standing: Standing
    reasons: tuple[str, ...] = ()
    link: Link | None = None
    baseline: float = math.nan
    target: float = math.nan
    steps: float = math.nan
    gain_p10: float = math.nan
    gain_p50: float = math.nan
    gain_p90: float = math.nan
    horizon: str = ""

    def _title(self) -> str:
        return f"{self.team or 'no team'} x {self.cpi}: {self.standing.value}. {' '.join(self.reasons)}"

    def _rows(self) -> list[Row]:
        return [
            {
                "team": self.team,
                "cpi": self.cpi,
                "standing": self.standing.value,
                "link": str(self.link) if self.link else "",
                "baseline": self.baseline,
                "target": self.target,
                "steps": self.steps,
                "gain_p10": self.gain_p10,
                "gain_p50": self.gain_p50,
                "gain_p90": self.gain_p90,
                "horizon": self.horizon,
                "reasons": " ".join(self.reasons),
            }
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter(Displayed):
    """All accountabilities of a quarter."""

    rows: tuple[Accountability, ...]

    def _title(self) -> str:
        able = sum(row.standing is Standing.ASSIGNABLE for row in self.rows)
        return f"{able} of {len(self.rows)} pairs of team and customer outcome are assignable."

    def _rows(self) -> list[Row]:
        return [line for row in self.rows for line in row._rows()]  # noqa: SLF001 - rows of the same family
