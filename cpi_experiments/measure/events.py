"""Clean events of an indicator: what each is worth, and what was set aside or changed and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.errors import DataError
from cpi_experiments.measure.columns import LARGEST
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.indicators import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cpi_experiments.catalog.entities import Catalog, Measure
    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.measure.indicators import Indicator

Loss = tuple[str, str, int]
Source = tuple[str, str, str]

#: A larger share of rows that repeat another in every column is no accident: they may be events without an id.
MOST_REPEATED = 0.01


def measures_of(catalog: Catalog) -> dict[str, Measure]:
    """Return the measure of every CPI and KPI by id."""
    return {name: each.measure for name, each in catalog.cpis.items()} | {
        name: each.measure for name, each in catalog.kpis.items()
    }


def by_source(indicators: Iterable[Indicator]) -> dict[Source, list[Indicator]]:
    """Group indicators that one scan can serve."""
    groups: dict[Source, list[Indicator]] = {}
    for indicator in indicators:
        groups.setdefault(indicator.source, []).append(indicator)
    return groups


def events_sql(
    tables: Engine,
    indicators: Sequence[Indicator],
    *,
    key: Callable[[str], str],
    time_zone: str = "UTC",
    condition: str = "TRUE",
    person: str = "",
) -> str:
    """Write the SELECT of clean events of one source: ``entity, event_at, v0, v1, ...``.

    A value is missing where the filter says no, where it is missing, negative for a duration, or not finite; it is
    capped. Rows that repeat another row in every column count once.

    Parameters
    ----------
    indicators : sequence of Indicator
        Of one source, in the order of ``v0, v1, ...``.
    key : callable
        Column name to the SQL of the entity.
    time_zone : str
        Whose clock shows ``event_at``.
    condition : str
        SQL over ``entity`` and ``event_at``.
    person : str
        SQL of who had the event; selected as ``person`` if given.
    """
    table, entity, at = indicators[0].source
    values = ", ".join(f"{clean_sql(each)} AS v{i}" for i, each in enumerate(indicators))
    who = f"{person} AS person, " if person else ""
    seen = f"SELECT {key(entity)} AS entity, {moment(tables, table, at, time_zone=time_zone)} AS event_at, {who}{values} FROM {rows_sql(tables, table)} AS source_rows"  # noqa: S608, E501 - quoted
    usable = f"entity IS NOT NULL AND event_at IS NOT NULL AND {condition}"
    return f"SELECT * FROM ({seen}) AS every_event WHERE {usable}"  # noqa: S608 - quoted


def rows_sql(tables: Engine, table: str) -> str:
    """Write where rows come from; those that repeat another in every column come once.

    Raises
    ------
    DataError
        If more than 1% of the rows repeat another.
    """
    repeats = tables.repeated_rows(table)
    if not repeats:
        return quote(table)
    rows = int(tables.query(f"SELECT count(*) AS n FROM {quote(table)}")["n"][0])  # noqa: S608 - quoted
    if repeats > MOST_REPEATED * rows and repeats > 1:
        raise DataError(
            f"{repeats:,} of {rows:,} rows repeat another row in every column",
            where=f"table {table!r}",
            advice="Give every event an id column if they are different events, or remove the copies.",
        )
    return f"(SELECT DISTINCT * FROM {quote(table)})"  # noqa: S608 - quoted


def clean_sql(indicator: Indicator) -> str:
    """Write the value of an event: missing where it does not count or cannot be, and capped."""
    raw, cap = indicator.value, indicator.measure.cap
    # Every engine orders NaN above every number, so the bound refuses it too.
    good = f"{indicator.where} AND abs({raw}) <= {LARGEST!r}" + (
        f" AND {indicator.raw} >= 0" if indicator.is_duration else ""
    )
    capped = f"least({raw}, CAST({float(cap)!r} AS DOUBLE))" if cap is not None else raw
    return f"CASE WHEN {good} THEN {capped} END"
