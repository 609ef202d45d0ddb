"""The SQL of a panel: which units, which periods, and every indicator in one grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.events import by_source, events_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.measure.engine import Tables
    from cpi_experiments.measure.events import Loss
    from cpi_experiments.measure.indicators import Indicator

Source = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From a first moment to the one after the last; open where None."""

    start: str | None
    end: str | None

    @property
    def condition(self) -> str:
        """SQL over ``event_at``."""
        parts = [f"event_at >= TIMESTAMP '{self.start}'"] if self.start else []
        parts += [f"event_at < TIMESTAMP '{self.end}'"] if self.end else []
        return " AND ".join(parts) or "TRUE"


def panel_covariates(
    tables: Tables, catalog: Catalog, customers: str, unit: str, covariates: Sequence[str] | None
) -> tuple[str, ...]:
    """Choose the covariates: those asked for, or those that the catalog's links adjust for and the table has.

    Raises
    ------
    DataError
        If one is missing, or there is no table of customers.
    """
    if covariates is None:
        known = tables.columns(customers) if customers else {}
        wanted = [name for claim in catalog.links.values() for name in claim.adjust_for]
        return tuple(dict.fromkeys(name for name in wanted if name in known and name != unit))
    if covariates and not customers:
        raise DataError("covariates need a table of customers", advice="Add it to the data sources.")
    for name in covariates:
        tables.type_of(customers, name)
    return tuple(dict.fromkeys(covariates))


def seen_span(
    tables: Tables,
    indicators: Sequence[Indicator],
    events: Mapping[Source, str],
    *,
    key: Callable[[str], str],
    time_zone: str,
) -> tuple[tuple[str, str], tuple[Loss, ...]]:
    """Find the first and last time of any event in the span, and the indicators that have none.

    Raises
    ------
    DataError
        If no indicator has an event in the span; it says which span has.
    """
    times: list[np.datetime64] = []
    unseen: list[Loss] = []
    for source, group in by_source(indicators).items():
        counts = ", ".join(f"count(v{i}) AS n{i}" for i in range(len(group)))
        found = tables.query(f"SELECT min(event_at) AS low, max(event_at) AS high, {counts} FROM ({events[source]})")  # noqa: S608 - quoted
        unseen += [(each.id, "no data in the span", 0) for i, each in enumerate(group) if not found[f"n{i}"][0]]
        times += [time for time in (found["low"][0], found["high"][0]) if not np.isnat(time)]
    if len(unseen) < len(indicators):
        return (str(min(times)), str(max(times))), tuple(unseen)
    spans = []
    for (table, *_), group in by_source(indicators).items():
        whole = events_sql(tables, group, key=key, time_zone=time_zone)
        found = tables.query(f"SELECT min(event_at) AS low, max(event_at) AS high FROM ({whole})")  # noqa: S608 - quoted
        spans.append(f"{table} has events from {day_text(found['low'][0])} to {day_text(found['high'][0])}")
    raise DataError("no indicator has data in the span", advice="; ".join(dict.fromkeys(spans)) + ".")


def day_text(time: np.datetime64) -> str:
    """Write the day of a time that may be missing."""
    return "no date" if np.isnat(time) else str(time)[:10]


def units_sql(
    tables: Tables,
    customers: str,
    unit: str,
    covariates: Sequence[str],
    key: Callable[[str], str],
    events: Sequence[str],
) -> str:
    """Write the SELECT of units and their covariates: the customers, or whoever has an event."""
    if not customers:
        seen = " UNION ALL ".join(f"SELECT entity AS unit FROM ({each})" for each in events)  # noqa: S608 - quoted
        return f"SELECT DISTINCT unit FROM ({seen})"  # noqa: S608 - quoted
    check_unique(tables, customers, unit)
    chosen = "".join(f", {covariate_sql(tables, customers, name)}" for name in covariates)
    return f"SELECT {key(unit)} AS unit{chosen} FROM {quote(customers)} WHERE {quote(unit)} IS NOT NULL"  # noqa: S608 - quoted


def covariate_sql(tables: Tables, table: str, name: str) -> str:
    """Write a covariate: numbers as doubles, everything else as it is."""
    kind = tables.type_of(table, name)
    as_it_is = kind == "VARCHAR" or kind.startswith(("TIMESTAMP", "DATE"))
    return quote(name) if as_it_is else f"CAST({quote(name)} AS DOUBLE) AS {quote(name)}"


def check_unique(tables: Tables, table: str, column: str) -> None:
    """Refuse a table that lists a unit twice.

    Raises
    ------
    DataError
        With the count.
    """
    tables.type_of(table, column)
    name = quote(column)
    found = tables.query(f"SELECT count({name}) AS n, count(DISTINCT {name}) AS distinct_n FROM {quote(table)}")  # noqa: S608 - quoted
    extra = int(found["n"][0]) - int(found["distinct_n"][0])
    if extra:
        raise DataError(
            f"{extra:,} rows repeat a {column}", where=table, advice="Keep one row per unit: its latest, for example."
        )
    if not found["n"][0]:
        raise DataError("no rows with a unit", where=table, advice=f"Column {column!r} names the unit.")


def grid_sql(
    indicators: Sequence[Indicator],
    events: Mapping[Source, str],
    units: str,
    periods: tuple[str, str, str],
    covariates: Sequence[str],
    *,
    has_customers: bool,
) -> str:
    """Write the one query of the panel: units x periods, every source aggregated once and joined."""
    first, last, period = periods
    step = "3 months" if period == "quarter" else f"1 {period}"
    start, end = (f"date_trunc('{period}', TIMESTAMP '{time}')" for time in (first, last))
    parts = [
        f"units AS ({units})",
        f"periods AS (SELECT unnest(generate_series({start}, {end}, INTERVAL {step})) AS period)",
    ]
    columns: dict[str, str] = {}
    joins = []
    for g, (source, group) in enumerate(by_source(indicators).items()):
        sums = ", ".join(f"{each.aggregate(f'v{i}', 'TRUE')} AS a{i}" for i, each in enumerate(group))
        by = f"entity, date_trunc('{period}', event_at) AS period"
        parts.append(f"g{g} AS (SELECT {by}, {sums} FROM ({events[source]}) GROUP BY ALL)")  # noqa: S608 - quoted
        joins.append(f"LEFT JOIN g{g} ON g{g}.entity = units.unit AND g{g}.period = periods.period")
        for i, each in enumerate(group):
            value = f"CAST(g{g}.a{i} AS DOUBLE)"
            columns[each.id] = f"coalesce({value}, 0e0)" if each.adds_up and has_customers else value
    listed = ", ".join(f"{columns[each.id]} AS {quote(each.id)}" for each in indicators)
    chosen = "".join(f", units.{quote(name)}" for name in covariates)
    return (
        f"WITH {', '.join(parts)} SELECT units.unit, periods.period, {listed}{chosen} "  # noqa: S608 - quoted
        f"FROM units CROSS JOIN periods {' '.join(joins)} ORDER BY units.unit, periods.period"
    )


def unknown_units(
    tables: Tables, indicators: Sequence[Indicator], events: Mapping[Source, str], units: str
) -> tuple[Loss, ...]:
    """Count the events of units that the customers table does not list.

    Raises
    ------
    DataError
        If that is all of an indicator's events.
    """
    losses: list[Loss] = []
    for source, group in by_source(indicators).items():
        counts = ", ".join(
            f"count(v{i}) AS n{i}, count(v{i}) FILTER (WHERE unit IS NOT NULL) AS k{i}" for i in range(len(group))
        )
        sql = f"SELECT {counts} FROM ({events[source]}) LEFT JOIN (SELECT unit FROM ({units})) ON unit = entity"  # noqa: S608 - quoted
        found = {name: int(values[0]) for name, values in tables.query(sql).items()}
        for i, each in enumerate(group):
            all_events, known = found[f"n{i}"], found[f"k{i}"]
            if all_events and not known:
                raise DataError(
                    f"none of the {all_events:,} events of {each.id} belongs to a known unit",
                    where=source[0],
                    advice=f"Compare its column {source[1]!r} with the table of customers.",
                )
            if all_events > known:
                losses.append((each.id, "of unknown customers", all_events - known))
    return tuple(losses)
