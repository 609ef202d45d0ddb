"""The rows of a review: numbers already rounded, sentences already chosen. Renderers only lay them out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cpi_experiments.estimate import Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many links have one of the four verdicts."""

    word: str
    symbol: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the summary: its topic (PROVEN, LIKELY, ASSIGN, STOP, DECIDE) and its sentence."""

    topic: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """An experiment that is running; health only, never an effect.

    Parameters
    ----------
    experiment, lever : str
        Id and label.
    links : tuple of Link
        What it tests.
    ends : str
        ISO date of the planned look.
    planned_n, so_far : int
        Units planned (0 if not planned) and enrolled.
    health : str
        One sentence, such as "sample ratio ok".
    """

    experiment: str
    lever: str
    links: tuple[Link, ...]
    ends: str
    planned_n: int = 0
    so_far: int = 0
    health: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightRow:
    """An experiment in flight, as shown."""

    experiment: str
    lever: str
    links: str
    ends: str
    progress: str
    health: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """One link of the verdict table: what is shown, and the raw numbers behind it.

    ``effect``, ``effect_shrunken``, ``ci_low``, ``ci_high`` and ``sesoi`` are in KPI units per customer step;
    multiplied by ``factor`` they are in ``unit``, rounded to ``digits`` decimals. NaN where nothing may be shown.
    """

    link: str
    cpi: str
    kpi: str
    verdict: str
    symbol: str
    cause: str
    grade: str
    trials: int
    step: str
    range_text: str
    evidence: str
    why: str
    effect: float = math.nan
    effect_shrunken: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    sesoi: float = math.nan
    factor: float = 1.0
    unit: str = ""
    digits: int = 2

    @property
    def label(self) -> str:
        """Names of both ends."""
        return f"{self.cpi} -> {self.kpi}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CharterRow:
    """One team and CPI of the charter, as shown, and the raw numbers behind it."""

    team: str
    cpi: str
    standing: str
    symbol: str
    today: str
    goal: str
    due: str
    worth: str
    why: str
    link: str = ""
    baseline: float = math.nan
    target: float = math.nan
    steps: float = math.nan
    gain_p10: float = math.nan
    gain_p50: float = math.nan
    gain_p90: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One check of the data or of an experiment: OK, Watch or Blocked."""

    where: str
    name: str
    state: str
    symbol: str
    note: str
    detail: str
    p_text: str
    headline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedRow:
    """Rows of one source that were not used, and why: reasons with their counts."""

    where: str
    rows: int
    reasons: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateRow:
    """One recorded estimate, for the appendix."""

    link: str
    source: str
    design: str
    estimand: str
    effect: str
    range_text: str
    p_text: str
    size: str
    method: str
    registered: str
    counts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPage:
    """Everything about one link, for the appendix."""

    anchor: str
    cpi: str
    kpi: str
    verdict: str
    facts: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]
    estimates: tuple[EstimateRow, ...]
