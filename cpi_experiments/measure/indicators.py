"""From a catalog's `Measure` to SQL: which events count and what each is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cpi_experiments.catalog.entities import Aggregate, Measure
from cpi_experiments.catalog.expression import Call, Expression, Operation, Text, parse_expression, parse_filter
from cpi_experiments.errors import CatalogError, DataError, nearest
from cpi_experiments.measure.columns import number_advice, shown
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.engine_files import literal
from cpi_experiments.units import check_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cpi_experiments.catalog.entities import CPI, KPI, Catalog
    from cpi_experiments.catalog.expression import Node
    from cpi_experiments.measure.engine import Tables

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
