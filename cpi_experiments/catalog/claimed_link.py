"""A claimed CPI -> KPI link, as the catalog states it before anything is registered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cpi_experiments.errors import CatalogError
from cpi_experiments.estimate import Link
from cpi_experiments.stats.judging.look_plan import look_plan
from cpi_experiments.units import convert, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAG = re.compile(r"\s*(\d{1,4})\s*-\s*(\d{1,4})\s+days\s*")


class Sign(StrEnum):
    """Predicted sign of the KPI per increment."""

    POSITIVE = "positive"
    NEGATIVE = "negative"

    @property
    def number(self) -> int:
        """+1 or -1."""
        return 1 if self is Sign.POSITIVE else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedLink:
    """A claimed CPI -> KPI link: why, which sign, how large an effect is worth acting on, after how long, which looks.

    ``looks`` says how often experiments may be judged: ``single``, ``retest`` (a plan may be followed by another),
    ``planned 4``, ``capped 0.2 pp`` or ``open 0.2 pp`` (until the standard error of the effect is that small).
    """

    cpi: str
    kpi: str
    because: str
    expect: Sign
    sesoi: str
    lag: str = "0-28 days"
    adjust_for: tuple[str, ...] = ()
    population: str = "all customers"
    looks: str = "retest"

    @property
    def lag_days(self) -> tuple[int, int]:
        """From and to which day after the CPI the KPI counts."""
        match = _LAG.fullmatch(self.lag)
        first, last = (int(match.group(1)), int(match.group(2))) if match else (1, 0)
        if first > last:
            raise CatalogError(f"lag {self.lag!r} is not a range of days", advice='Write it like "0-28 days".')
        return first, last

    @property
    def link(self) -> Link:
        """The ordered pair."""
        return Link(cpi_id=self.cpi, kpi_id=self.kpi)

    def looks_in(self, unit: str, declared: Sequence[str] = ()) -> str:
        """Write the declared looks with their standard error, if there is one, counted in a unit: ``capped 0.002``."""
        kind, _, size = self.looks.strip().partition(" ")
        if kind in ("capped", "open") and size:
            size = f"{convert(*parse_quantity(size, tuple(declared)), unit):.12g}"
        return str(look_plan(f"{kind} {size}".strip()))
