"""From the charter to its rows: who can own what, at which target, worth how much."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.accountability.charter import Accountability, Charter, Standing
from cpi_experiments.display import decimals, interval
from cpi_experiments.report.amounts import Scale, level, tidy
from cpi_experiments.report.sections import CharterRow
from cpi_experiments.wording import review as wording

if TYPE_CHECKING:
    from cpi_experiments.catalog.entities import Catalog

_ORDER = tuple(Standing)


def charter_rows(catalog: Catalog, charter: Charter) -> tuple[CharterRow, ...]:
    """Fill the charter table, assignable first."""
    ranked = sorted(charter.rows, key=lambda row: (_ORDER.index(row.standing), row.team, row.cpi))
    return tuple(_charter_row(catalog, row) for row in ranked)


def _charter_row(catalog: Catalog, row: Accountability) -> CharterRow:
    cpi = catalog.cpi(row.cpi)
    return CharterRow(
        team=tidy(catalog.team(row.team).label) if row.team else "no team",
        cpi=tidy(cpi.label),
        standing=row.standing.value,
        symbol=wording.SYMBOLS[row.standing.value],
        today=level(row.baseline, cpi.unit),
        goal=level(row.target, cpi.unit),
        due=tidy(row.horizon),
        worth=_worth(catalog, row),
        why=next((tidy(reason) for reason in row.reasons if wording.readable(reason)), ""),
        link=str(row.link) if row.link else "",
        baseline=row.baseline,
        target=row.target,
        steps=row.steps,
        gain_p10=row.gain_p10,
        gain_p50=row.gain_p50,
        gain_p90=row.gain_p90,
    )


def _worth(catalog: Catalog, row: Accountability) -> str:
    """Say the forecast gain as a range, in KPI units and, if the catalog knows it, in money a customer."""
    low, high = sorted((row.gain_p10, row.gain_p90))
    if row.link is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    kpi = catalog.kpi(row.link.kpi_id)
    scale = Scale.of(kpi)
    text = f"{scale.span(low, high, scale.digits(low, high, size=abs(high)))} of {tidy(kpi.label)}"
    if kpi.worth is None:
        return text
    each = kpi.worth.amount * kpi.better.sign
    least, most = sorted((low * each, high * each))
    return f"{text}, {interval(least, most, decimals(least, most, most=2))} {tidy(kpi.worth.currency)} a customer"


def assign_sentence(row: CharterRow) -> str:
    """Say what a team can own, and what it is worth."""
    levels = f"{row.today} to {row.goal}" if row.today and row.goal else row.goal
    worth = f"worth {row.worth}" if row.worth else ""
    return wording.assign_line(team=row.team, cpi=row.cpi, levels=levels, due=row.due, worth=worth)
