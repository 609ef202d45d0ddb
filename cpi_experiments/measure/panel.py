"""From event tables to unit x period: every indicator of the catalog by customer, team or segment and period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cpi_experiments.display import plain
from cpi_experiments.errors import DataError, nearest
from cpi_experiments.estimate import digest_of
from cpi_experiments.measure.audit import audit, check_clock, count_losses, count_outside
from cpi_experiments.measure.events import measures_of
from cpi_experiments.measure.grid import Calendar, Grid, check_seen, count_unknown, measure_grid
from cpi_experiments.measure.indicators import find_indicators
from cpi_experiments.measure.order import cell_orders, row_orders
from cpi_experiments.measure.periods import bound, check_period, check_time_zone, check_year_start, start_of
from cpi_experiments.measure.places import Places, find_places
from cpi_experiments.measure.unit_periods import Panel, check_roles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.measure.indicators import Indicator

__all__ = ["Panel", "build_panel"]

Array = np.ndarray


def build_panel(  # noqa: PLR0913 - a door: everything by name
    tables: Engine,
    catalog: Catalog,
    *,
    unit: str = "customer_id",
    period: str = "month",
    start: str | date | None = None,
    end: str | date | None = None,
    customers: str = "customers",
    covariates: Sequence[str] | None = None,
    time_zone: str = "UTC",
    fiscal_year_start: int = 1,
    indicators: Sequence[str] | None = None,
    skipped: str = "refuse",
) -> Panel:
    """Measure the CPIs and KPIs of the catalog by unit and calendar period.

    A unit is a customer; or a team, if every event table has its column; or a segment, if ``unit`` is a column of
    ``customers`` other than their key. Teams and segments aggregate the *events* of their customers: a customer with
    three events counts three times in a mean, and a rate is the share of all events, not a mean of customers' rates.

    Parameters
    ----------
    tables : Engine
        The event tables that the catalog names, and the customers.
    catalog : Catalog
    unit : str
        Column of ``customers``: their key or an attribute; or a column of every event table. Event tables that have it
        are counted by it, else by the measure's entity.
    period : {"day", "week", "month", "quarter", "year"}
        By the calendar of ``time_zone``: the day on which clocks are put forward has 23 hours.
    start, end : str or date, optional
        First and last day used; events outside are counted, not seen.
    customers : str
        Table of all units or customers. Without it the units are those with an event, and no event is missing, never
        zero. Teams have a table of their own if it is named here.
    covariates : sequence of str, optional
        Columns of ``customers``; by default those that the catalog's links adjust for and the table has.
    time_zone : str
        Whose calendar counts. Times without a zone are taken as local.
    fiscal_year_start : int
        First month of the year, 1 to 12; quarters and years follow it.
    indicators : sequence of str, optional
        Ids to measure; by default all that one customer and period can have.
    skipped : {"refuse", "forward"}
        What to do with local times that clocks of ``time_zone`` never showed.

    Returns
    -------
    Panel
        A row per unit and period between the first and the last period seen. Sums and counts without events are 0.

    Raises
    ------
    DataError
        If tables or columns are missing or unusable, or no event lies in the span.
    """
    calendar = Calendar(
        period=check_period(period),
        start=bound(start, last=False, where="start"),
        end=bound(end, last=True, where="end"),
        time_zone=check_time_zone(time_zone),
        fiscal_year_start=check_year_start(fiscal_year_start),
    )
    cpis, kpis = _wanted(catalog, indicators)
    measured = find_indicators(tables, catalog, [*cpis, *kpis], unit=unit)
    listed = customers if customers in tables.names else ""
    measures = measures_of(catalog)
    owners = [measures[each.id].entity for each in measured]
    usual = [name for claim in catalog.links.values() for name in claim.adjust_for]
    places = find_places(tables, measured, owners, unit=unit, customers=listed, covariates=covariates, usual=usual)
    check_roles(cpis, kpis, tuple(places.covariates))
    audits = audit(tables, measured)
    moved = check_clock(tables, measured, time_zone=time_zone, skipped=skipped)
    pairs = _pairs(catalog, cpis, kpis)
    orders = row_orders(tables, {each.id: each for each in measured}, pairs, time_zone=time_zone)
    rest = [pair for pair in pairs if pair not in orders]
    orders |= cell_orders(tables, {each.indicator.id: each for each in audits}, rest, places, calendar)
    grid = measure_grid(tables, audits, places, calendar)
    unseen, unknown = check_seen(grid, audits), count_unknown(grid, audits, places)
    outside = count_outside(tables, measured, start=calendar.start, end=calendar.end, time_zone=time_zone)
    names = [each.id for each in measured]
    return Panel(
        frame=_framed(names, grid, places, calendar),
        unit=unit,
        period=period,
        cpis=cpis,
        kpis=kpis,
        covariates=tuple(places.covariates),
        losses=(*unseen, *count_losses(tables, measured), *moved, *outside, *unknown),
        digest=_digest(tables, measured, calendar, places, customers=listed, skipped=skipped),
        fiscal_year_start=fiscal_year_start,
        orders=tuple(orders[pair] for pair in pairs),
        events={} if grid.counts is None else dict(zip(names, grid.counts, strict=True)),
        people={} if grid.people is None else dict(zip(names, grid.people, strict=True)),
    )


def _wanted(catalog: Catalog, ids: Sequence[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose the CPIs and KPIs: those asked for, or all that one customer and period can have."""
    known = measures_of(catalog)
    if ids is None:
        ids = [name for name, each in known.items() if each.kind is None or each.kind.by_customer]
    for name in ids:
        if name not in known:
            raise DataError(f"{name!r} is neither a CPI nor a KPI of the catalog", advice=nearest(name, list(known)))
    return tuple(name for name in catalog.cpis if name in ids), tuple(name for name in catalog.kpis if name in ids)


def _pairs(catalog: Catalog, cpis: Sequence[str], kpis: Sequence[str]) -> list[tuple[str, str]]:
    claimed = [(link.cpi_id, link.kpi_id) for link in catalog.links]
    pairs = claimed or [(cpi, kpi) for cpi in cpis for kpi in kpis]
    return [pair for pair in pairs if pair[0] in cpis and pair[1] in kpis]


def _framed(names: Sequence[str], grid: Grid, places: Places, calendar: Calendar) -> pd.DataFrame:
    """Make the frame; the numbers stay in the one block in which they lie."""
    frame = pd.DataFrame(grid.values.T, columns=list(names), copy=False)
    width = len(grid.periods)
    starts = start_of(grid.periods, calendar.period, fiscal_year_start=calendar.fiscal_year_start)
    frame.insert(0, "unit", _column(np.repeat(grid.labels, width)))
    frame.insert(1, "period", np.tile(starts, len(grid.labels)))
    for name, values in places.covariates.items():
        frame[name] = _column(np.repeat(values, width))
    return frame


def _column(values: Array) -> pd.Series[Any]:
    """Keep texts as one object a distinct text: millions of rows then cost eight bytes each."""
    return pd.Series(values, dtype=values.dtype)


def _digest(
    tables: Engine,
    measured: Sequence[Indicator],
    calendar: Calendar,
    places: Places,
    *,
    customers: str,
    skipped: str,
) -> str:
    used = sorted({each.measure.table for each in measured} | ({customers} if customers else set()))
    how = {**plain(calendar), "unit": places.unit, "covariates": tuple(places.covariates), "skipped": skipped}
    return digest_of(
        {
            "tables": {table: tables.digest(table) for table in used},
            "measures": {each.id: plain(each.measure) for each in measured},
            "how": how,
        }
    )
