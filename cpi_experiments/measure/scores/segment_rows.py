"""Groups of customers as results: counts, shares and money, small groups hidden."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cpi_experiments.display import Displayed, Row, decimals, interval, number, percent
from cpi_experiments.measure.small_groups import MINIMUM
from cpi_experiments.wording import segments as wording

#: The groups, in the order in which a customer is placed: the first that fits.
GROUPS = ("large and at risk", "critical and disappointed", "upsell potential", "others", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """One group of customers.

    Parameters
    ----------
    group : str
    customers : int
        0 if hidden.
    share, share_low, share_high : float
        Of all customers; the intervals of all groups hold together.
    money, money_low, money_high : float
        Value of the group's customers together.
    hidden : bool
        Whether too few customers are in it, or it would give such a group away.
    """

    group: str
    customers: int = 0
    share: float = math.nan
    share_low: float = math.nan
    share_high: float = math.nan
    money: float = math.nan
    money_low: float = math.nan
    money_high: float = math.nan
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments(Displayed):
    """Customers in named groups, and the limits that made them.

    Parameters
    ----------
    rows : tuple of SegmentRow
        One per group, in the order of `GROUPS`.
    grid : tuple of (loyalty, satisfaction, size, customers)
        Every combination that occurs and has enough customers.
    customers : int
    at_risk, at_risk_low, at_risk_high : float
        Value of the large customers at risk and of the critical and disappointed ones together.
    limits : mapping of name to number
        Where promoters, detractors, satisfied, disappointed, large and small begin or end.
    confidence_level : float
    value : str
        Name of the column of values.
    minimum : int
    """

    rows: tuple[SegmentRow, ...]
    grid: tuple[tuple[str, str, str, int], ...]
    customers: int
    at_risk: float
    at_risk_low: float
    at_risk_high: float
    limits: Mapping[str, float]
    confidence_level: float = 0.95
    value: str = "value"
    minimum: int = MINIMUM

    def row(self, group: str) -> SegmentRow:
        """Return the row of a group of `GROUPS`."""
        return self.rows[GROUPS.index(group)]

    def _title(self) -> str:
        digits = decimals(self.at_risk_low, self.at_risk_high, most=2)
        known = {name: self.row(name) for name in ("large and at risk", "unknown")}
        return "\n".join(
            (
                wording.risk_sentence(
                    money=number(self.at_risk, digits),
                    span=interval(self.at_risk_low, self.at_risk_high, digits),
                    value=self.value,
                    customers=f"{self.customers:,}",
                ),
                wording.unknown_sentence(
                    count="" if known["unknown"].hidden else f"{known['unknown'].customers:,}",
                    share=percent(known["unknown"].share),
                ),
                wording.limits_sentence({name: f"{limit:,.6g}" for name, limit in self.limits.items()}),
            )
        )

    def _rows(self) -> list[Row]:
        names = ("group", "customers", "share", "share_low", "share_high", "money", "money_low", "money_high", "hidden")
        return [{name: getattr(row, name) for name in names} for row in self.rows]

    def _shown(self) -> list[Row]:
        return [self._line(row) for row in self.rows]

    def _line(self, row: SegmentRow) -> Row:
        if row.hidden:
            return {"group": row.group, "customers": "hidden", "share (likely)": "", self.value: "", "likely": ""}
        digits = decimals(row.money_low, row.money_high, most=2)
        ends = (percent(row.share_low).rstrip("%"), percent(row.share_high).rstrip("%"))
        return {
            "group": row.group,
            "customers": f"{row.customers:,}",
            "share (likely)": f"{percent(row.share)} ({ends[0]} to {ends[1]})",
            self.value: number(row.money, digits),
            "likely": interval(row.money_low, row.money_high, digits),
        }
