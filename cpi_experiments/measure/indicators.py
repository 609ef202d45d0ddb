"""From a catalog's `Measure` to SQL: which events count, what each is worth, and what was set aside and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cpi_experiments.catalog.entities import Aggregate, Measure
from cpi_experiments.catalog.expression import Call, Expression, Operation, Text, parse_expression, parse_filter
from cpi_experiments.errors import CatalogError, DataError, nearest
from cpi_experiments.measure.columns import LARGEST, number_advice, shown
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.engine_files import literal
from cpi_experiments.units import check_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from cpi_experiments.catalog.entities import CPI, KPI, Catalog
    from cpi_experiments.catalog.expression import Node
    from cpi_experiments.measure.engine import Tables

Loss = tuple[str, str, int]

MAX_SHARE_BAD = 0.01  # negative durations and infinite values: more is a defect of the data, not of a few rows
MAX_SHARE_NULL_ENTITY = 0.05
_DURATION_UNITS = {"seconds": "second", "minutes": "minute", "hours": "hour", "days": "day"}
# fsum and favg are compensated sums: the order of rows must not show in the tenth digit.
_AGGREGATES = {
    Aggregate.MEAN: "favg",
    Aggregate.MEDIAN: "median",
    Aggregate.SUM: "fsum",
    Aggregate.COUNT: "count",
    Aggregate.MAX: "max",
    Aggregate.MIN: "min",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """A CPI or KPI with its measure, parsed and checked against the tables.

    Parameters
    ----------
    id, unit : str
        As in the catalog.
    measure : Measure
    value : str
        SQL of the value as a double, not yet capped; missing where an input is missing.
    where : str
        SQL of the event filter, ``TRUE`` if there is none.
    is_duration : bool
        Whether the whole value is one duration, which cannot be negative.
    """

    id: str
    unit: str
    measure: Measure
    value: str
    where: str
    is_duration: bool

    @property
    def adds_up(self) -> bool:
        """Whether no event means zero rather than missing."""
        return self.measure.aggregate in (Aggregate.SUM, Aggregate.COUNT)

    @property
    def source(self) -> tuple[str, str, str]:
        """Table, entity and time column: indicators that share it share a scan."""
        return (self.measure.table, self.measure.entity, self.measure.at)

    def aggregate(self, column: str, condition: str) -> str:
        """Write the aggregate of a column of clean values over events that meet a condition.

        Examples
        --------
        >>> from cpi_experiments.catalog.entities import Measure
        >>> measure = Measure(table="quotes", entity="customer_id", at="quoted_at", value="won")
        >>> won = Indicator(id="won", unit="fraction", measure=measure, value="won", where="TRUE", is_duration=False)
        >>> won.aggregate("v0", "event_at < end_at")
        'favg(v0) FILTER (WHERE event_at < end_at)'
        """
        return f"{_AGGREGATES[self.measure.aggregate]}({column}) FILTER (WHERE {condition})"


def find_indicators(tables: Tables, catalog: Catalog, ids: Sequence[str], *, unit: str = "") -> tuple[Indicator, ...]:
    """Resolve ids of CPIs and KPIs and check their measures against the tables.

    Parameters
    ----------
    ids : sequence of str
    unit : str
        Column of the unit; event tables that have it are counted by it instead of by the measure's entity.

    Raises
    ------
    CatalogError
        If an id is unknown, or a duration is measured in another unit than the catalog says.
    DataError
        If a table or column is missing, or a column has the wrong type.
    """
    return tuple(_indicator(tables, _entity(catalog, each), unit) for each in dict.fromkeys(ids))


def _entity(catalog: Catalog, entity_id: str) -> CPI | KPI:
    entity = catalog.cpis.get(entity_id) or catalog.kpis.get(entity_id)
    if entity is None:
        known = [*catalog.cpis, *catalog.kpis]
        raise CatalogError(f"{entity_id!r} is neither a CPI nor a KPI of the catalog", advice=nearest(entity_id, known))
    return entity


def _indicator(tables: Tables, entity: CPI | KPI, unit: str) -> Indicator:
    has_unit = unit in tables.columns(entity.measure.table)
    measure = replace(entity.measure, entity=unit) if has_unit else entity.measure
    tables.type_of(measure.table, measure.entity)
    check_time(tables, measure.table, measure.at)
    expression = parse_expression(measure.value)
    tree = expression.tree
    is_duration = isinstance(tree, Call) and tree.name in _DURATION_UNITS
    if isinstance(tree, Call) and is_duration and check_unit(entity.unit, (entity.unit,)) != _DURATION_UNITS[tree.name]:
        raise CatalogError(
            f"{entity.id!r} is counted in {entity.unit} but its value {measure.value!r} is in {tree.name}",
            advice=f"Use the function of the unit, or `unit: {_DURATION_UNITS[tree.name]}`.",
        )
    return Indicator(
        id=entity.id,
        unit=entity.unit,
        measure=measure,
        value=f"CAST({_expression_sql(tables, measure.table, expression)} AS DOUBLE)",
        where=_expression_sql(tables, measure.table, parse_filter(measure.where)) if measure.where.strip() else "TRUE",
        is_duration=is_duration,
    )


def check_time(tables: Tables, table: str, column: str) -> None:
    """Refuse a column that does not hold times.

    Raises
    ------
    DataError
        With the format that is read.
    """
    kind = tables.type_of(table, column)
    if not kind.startswith(("TIMESTAMP", "DATE")):
        raise DataError(
            f"column {column!r} is {'text' if kind == 'VARCHAR' else kind}, not a time",
            where=table,
            advice="Use ISO 8601, such as 2026-02-01 or 2026-02-01T14:30:00+01:00.",
        )


def moment(tables: Tables, table: str, column: str, *, time_zone: str = "UTC") -> str:
    """Write the SQL of a time as a clock in ``time_zone`` shows it; times without a zone are taken as that clock's."""
    name = f"{quote(column)}"
    if tables.type_of(table, column) == "TIMESTAMP WITH TIME ZONE":
        return f"timezone({literal(time_zone)}, {name})"
    return f"CAST({name} AS TIMESTAMP)"


def _expression_sql(tables: Tables, table: str, expression: Expression) -> str:
    """Write an expression with every column cast to what its place needs: a time, a number or a text."""
    for column in expression.time_columns:
        check_time(tables, table, column)
    compared = _compared_with_text(expression.tree)

    def cast(column: str) -> str:
        kind = tables.type_of(table, column)
        if column in expression.time_columns:
            return moment(tables, table, column)
        if column in compared:
            return f"CAST({quote(column)} AS VARCHAR)"
        if kind == "VARCHAR":
            raise _text_error(tables, table, column)
        if kind.startswith(("TIMESTAMP", "DATE", "TIME")):
            raise DataError(
                f"column {column!r} is a time, not a number",
                where=table,
                advice=f"Measure a duration, such as hours({column}, ...).",
            )
        return f"CAST({quote(column)} AS DOUBLE)"

    return expression.sql(cast)


def _compared_with_text(node: Node) -> set[str]:
    if isinstance(node, Call):
        return set().union(*(_compared_with_text(argument) for argument in node.arguments))
    if not isinstance(node, Operation):
        return set()
    sides = (node.left, node.right)
    if any(isinstance(side, Text) for side in sides):
        return {side.name for side in sides if not isinstance(side, Text) and hasattr(side, "name")}
    return _compared_with_text(node.left) | _compared_with_text(node.right)


def _text_error(tables: Tables, table: str, column: str) -> DataError:
    name = quote(column)
    wrong = f"{name} IS NOT NULL AND TRY_CAST({name} AS DOUBLE) IS NULL"
    found = tables.query(
        f"SELECT count(*) AS n, count(*) FILTER (WHERE {wrong}) AS bad, "  # noqa: S608 - quoted
        f"first({name}) FILTER (WHERE {wrong}) AS example FROM {quote(table)}"
    )
    bad, example = int(found["bad"][0]), found["example"][0]
    if not bad:
        return DataError(f"column {column!r} is text", where=table, advice="Store it as a number.")
    n = int(found["n"][0])
    return DataError(
        f"column {column!r} is text; {bad:,} of {n:,} values are not numbers, such as {shown(example)}",
        where=table,
        advice=number_advice(example),
    )


def key_sql(tables: Tables, columns: Sequence[tuple[str, str]]) -> Callable[[str], str]:
    """Return how to write a key so that it means the same in every table.

    Keys of one type are compared as they are. Mixed ones are compared as text, so that 007 is never 7.

    Parameters
    ----------
    columns : sequence of (table, column)
    """
    kinds = {_key_kind(tables.type_of(table, column)) for table, column in columns}
    if kinds == {"text"}:
        return quote
    target = "BIGINT" if kinds == {"whole"} else "DOUBLE" if kinds <= {"whole", "number"} else "VARCHAR"
    return lambda column: f"CAST({quote(column)} AS {target})"


def _key_kind(kind: str) -> str:
    if kind in ("DOUBLE", "FLOAT"):
        return "number"
    return "whole" if kind.endswith(("INT", "INTEGER")) else "text" if kind == "VARCHAR" else "other"


# -- clean events ----------------------------------------------------------------------------------------------------


def by_source(indicators: Sequence[Indicator]) -> dict[tuple[str, str, str], list[Indicator]]:
    """Group indicators that one scan can serve."""
    groups: dict[tuple[str, str, str], list[Indicator]] = {}
    for indicator in indicators:
        groups.setdefault(indicator.source, []).append(indicator)
    return groups


def events_sql(
    tables: Tables,
    indicators: Sequence[Indicator],
    *,
    key: Callable[[str], str],
    time_zone: str = "UTC",
    condition: str = "TRUE",
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
    """
    table, entity, at = indicators[0].source
    values = ", ".join(f"{_clean(each)} AS v{i}" for i, each in enumerate(indicators))
    seen = f"SELECT {key(entity)} AS entity, {moment(tables, table, at, time_zone=time_zone)} AS event_at, {values} FROM {_rows(tables, table)}"  # noqa: S608, E501 - quoted
    return f"SELECT * FROM ({seen}) WHERE entity IS NOT NULL AND event_at IS NOT NULL AND {condition}"  # noqa: S608 - quoted


#: A larger share of rows that repeat another in every column is no accident: they may be events without an id.
MOST_REPEATED = 0.01


def _rows(tables: Tables, table: str) -> str:
    repeats = tables.repeated_rows(table)
    if repeats:
        rows = int(tables.query(f"SELECT count(*) AS n FROM {quote(table)}")["n"][0])  # noqa: S608 - quoted
        if repeats > MOST_REPEATED * rows and repeats > 1:
            raise DataError(
                f"{repeats:,} of {rows:,} rows repeat another row in every column",
                where=f"table {table!r}",
                advice="Give every event an id column if they are different events, or remove the copies.",
            )
    return f"(SELECT DISTINCT * FROM {quote(table)})" if tables.repeated_rows(table) else quote(table)  # noqa: S608 - quoted


def _clean(indicator: Indicator) -> str:
    raw, cap = indicator.value, indicator.measure.cap
    # DuckDB orders NaN above every number, so the bound refuses it too.
    good = f"{indicator.where} AND abs({raw}) <= {LARGEST!r}" + (f" AND {raw} >= 0" if indicator.is_duration else "")
    capped = f"least({raw}, {float(cap)!r}::DOUBLE)" if cap is not None else raw
    return f"CASE WHEN {good} THEN {capped} END"


def count_losses(tables: Tables, indicators: Sequence[Indicator]) -> tuple[Loss, ...]:
    """Count, per indicator, the events that were set aside or changed, each under its first reason.

    Returns
    -------
    tuple of (indicator, reason, rows)
        Only reasons that occurred.

    Raises
    ------
    DataError
        If more than 5% of the events name no customer, more than 1% are impossible, or a fraction leaves 0 to 1.
    """
    losses: list[Loss] = []
    for (table, entity, at), group in by_source(indicators).items():
        columns = [text for i, each in enumerate(group) for text in _counts_sql(each, i, entity, at)]
        found = tables.query(f"SELECT {', '.join(columns)} FROM {_rows(tables, table)}")  # noqa: S608 - quoted
        repeated = tables.repeated_rows(table)
        for i, each in enumerate(group):
            if repeated:
                losses.append((each.id, f"repeated rows of {table}", repeated))
            losses += _losses_of(
                each, {name[: -len(str(i)) - 1]: found[name] for name in found if name.endswith(f"_{i}")}
            )
    return tuple(losses)


def _counts_sql(indicator: Indicator, i: int, entity: str, at: str) -> list[str]:
    raw, cap = indicator.value, indicator.measure.cap
    known = f"{indicator.where} AND {quote(entity)} IS NOT NULL"
    timed = f"{known} AND {quote(at)} IS NOT NULL"
    finite = f"{timed} AND abs({raw}) <= {LARGEST!r}" + (f" AND {raw} >= 0" if indicator.is_duration else "")
    conditions = {
        "events": indicator.where,
        "no_entity": f"{indicator.where} AND {quote(entity)} IS NULL",
        "no_time": f"{known} AND {quote(at)} IS NULL",
        "no_value": f"{timed} AND ({raw} IS NULL OR isnan({raw}))",
        "infinite": f"{timed} AND abs({raw}) > {LARGEST!r} AND NOT isnan({raw})",
        "negative": f"{timed} AND {raw} < 0 AND abs({raw}) <= {LARGEST!r}" if indicator.is_duration else "FALSE",
        "capped": f"{finite} AND {raw} > {float(cap)!r}::DOUBLE" if cap is not None else "FALSE",
    }
    extremes = [f"{name}({raw}) FILTER (WHERE {finite}) AS {name}_{i}" for name in ("min", "max")]
    return [f"count(*) FILTER (WHERE {text}) AS {name}_{i}" for name, text in conditions.items()] + extremes


def _losses_of(indicator: Indicator, found: Mapping[str, np.ndarray]) -> list[Loss]:
    counts = {name: int(found[name][0]) for name in found if name not in ("min", "max")}
    measure, events = indicator.measure, counts["events"]
    where = f"{indicator.id} ({measure.table})"
    reasons = {
        "no_entity": f"without {measure.entity}",
        "no_time": f"without {measure.at}",
        "no_value": "without a value",
        "infinite": "infinite or absurdly large",
        "negative": "negative duration",
        "capped": f"capped at {measure.cap:g}" if measure.cap is not None else "capped",
    }
    limits = {"no_entity": MAX_SHARE_NULL_ENTITY, "infinite": MAX_SHARE_BAD, "negative": MAX_SHARE_BAD}
    for name, limit in limits.items():
        if counts[name] > limit * events:
            raise DataError(
                f"{counts[name]:,} of {events:,} events are {reasons[name]}, more than {100 * limit:g}%",
                where=where,
                advice="A few such rows are set aside and counted; this many are a defect: correct the export.",
            )
    _check_fraction(indicator, float(found["min"][0]), float(found["max"][0]), where)
    return [(indicator.id, text, counts[name]) for name, text in reasons.items() if counts[name]]


def _check_fraction(indicator: Indicator, low: float, high: float, where: str) -> None:
    if indicator.unit != "fraction" or indicator.adds_up:
        return
    if high > 1 or low < 0:
        found = f"max {high:g} > 1" if high > 1 else f"min {low:g} < 0"
        raise DataError(
            f"a fraction lies outside 0 to 1: {found}; unit percent?",
            where=where,
            advice="Declare `unit: percent`, or divide the value by 100.",
        )
