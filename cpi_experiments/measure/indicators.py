"""From a catalog's `Measure` to SQL: which events count and what each is worth."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cpi_experiments.catalog.entities import Aggregate, Measure
from cpi_experiments.catalog.expression import Call, Column, Expression, Operation, Text, parse_expression, parse_filter
from cpi_experiments.catalog.indicator_kinds import Reading
from cpi_experiments.catalog.kind_checks import promise_in
from cpi_experiments.errors import CatalogError, DataError, nearest
from cpi_experiments.measure.answers import Answer, read_answer, refuse_impossible
from cpi_experiments.measure.columns import number_advice, shown
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.engines.files import literal
from cpi_experiments.units import check_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cpi_experiments.catalog.entities import CPI, KPI, Catalog
    from cpi_experiments.catalog.expression import Node
    from cpi_experiments.measure.engines.source import Engine

_INTEGER = re.compile(r"-?\d{1,38}")
_DURATION_UNITS = {"seconds": "second", "minutes": "minute", "hours": "hour", "days": "day"}
# fsum and favg are compensated sums: the order of rows must not show in the tenth digit.
_AGGREGATES = {
    Aggregate.MEAN: "favg({})",
    Aggregate.MEDIAN: "median({})",
    Aggregate.P90: "quantile_cont({}, 0.9)",
    Aggregate.SUM: "fsum({})",
    Aggregate.COUNT: "count({})",
    Aggregate.ANY: "max(CASE WHEN {} <> 0 THEN 1e0 ELSE 0e0 END)",
    Aggregate.MAX: "max({})",
    Aggregate.MIN: "min({})",
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
    raw : str
        SQL of what the value was read from: the answer from 0 to 10 of an NPS; the value itself without a built-in
        indicator.
    allowed : (low, high) or None
        Raw values that can exist; one outside is an error of the data, never a value.
    whole : bool
        Whether a raw value must be a whole number.
    """

    id: str
    unit: str
    measure: Measure
    value: str
    where: str
    is_duration: bool
    raw: str = ""
    allowed: tuple[float, float] | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "raw", self.raw or self.value)

    @property
    def answer(self) -> Answer:
        """What its raw values may be."""
        kind = self.measure.kind
        return Answer(
            name=self.id,
            raw=self.raw,
            where=self.where,
            allowed=self.allowed,
            whole=self.whole,
            scaled=kind is not None and kind.scaled,
        )

    @property
    def adds_up(self) -> bool:
        """Whether no event means zero rather than missing."""
        return self.measure.aggregate in (Aggregate.SUM, Aggregate.COUNT, Aggregate.ANY)

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
        return f"{_AGGREGATES[self.measure.aggregate].format(column)} FILTER (WHERE {condition})"


def find_indicators(tables: Engine, catalog: Catalog, ids: Sequence[str], *, unit: str = "") -> tuple[Indicator, ...]:
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
        If a table or column is missing, a column has the wrong type, or an answer is not on its scale.
    """
    found = tuple(_indicator(tables, _entity(catalog, each), unit) for each in dict.fromkeys(ids))
    for table in dict.fromkeys(each.measure.table for each in found):
        here = [each for each in found if each.measure.table == table and each.allowed is not None]
        refuse_impossible(tables, table, [each.answer for each in here])
    return found


def _entity(catalog: Catalog, entity_id: str) -> CPI | KPI:
    entity = catalog.cpis.get(entity_id) or catalog.kpis.get(entity_id)
    if entity is None:
        known = [*catalog.cpis, *catalog.kpis]
        raise CatalogError(f"{entity_id!r} is neither a CPI nor a KPI of the catalog", advice=nearest(entity_id, known))
    return entity


def _indicator(tables: Engine, entity: CPI | KPI, unit: str) -> Indicator:
    has_unit = unit in tables.columns(entity.measure.table)
    measure = replace(entity.measure, entity=unit) if has_unit else entity.measure
    tables.type_of(measure.table, measure.entity)
    check_time(tables, measure.table, measure.at)
    expression = parse_expression(measure.value)
    kind, tree = measure.kind, expression.tree
    is_duration = isinstance(tree, Call) and tree.name in _DURATION_UNITS
    counted_in = check_unit(entity.unit, (entity.unit,))
    is_promise = kind is not None and kind.reading is Reading.PROMISE
    if isinstance(tree, Call) and is_duration and not is_promise and counted_in != _DURATION_UNITS[tree.name]:
        raise CatalogError(
            f"{entity.id!r} is counted in {entity.unit} but its value {measure.value!r} is in {tree.name}",
            advice=f"Use the function of the unit, or `unit: {_DURATION_UNITS[tree.name]}`.",
        )
    raw = value_sql(tables, measure.table, expression)
    promise = promise_in(measure.promise, value=measure.value) if is_promise else math.nan
    return Indicator(
        id=entity.id,
        unit=entity.unit,
        measure=measure,
        value=raw if kind is None else read_answer(kind, raw, scale=measure.scale, promise=promise, top=measure.top),
        where=filter_sql(tables, measure.table, measure.where),
        is_duration=is_duration or (kind is not None and kind.is_duration),
        raw=raw,
        allowed=kind.allowed(measure.scale) if kind else None,
        whole=kind is not None and kind.whole,
    )


def value_sql(engine: Engine, table: str, expression: Expression) -> str:
    """Write a parsed value as a double, its columns checked against the table."""
    return f"CAST({_expression_sql(engine, table, expression)} AS DOUBLE)"


def filter_sql(engine: Engine, table: str, where: str) -> str:
    """Write the filter of a measure, ``TRUE`` if there is none."""
    return _expression_sql(engine, table, parse_filter(where)) if where.strip() else "TRUE"


def check_time(tables: Engine, table: str, column: str) -> None:
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


def moment(tables: Engine, table: str, column: str, *, time_zone: str = "UTC") -> str:
    """Write the SQL of a time as a clock in ``time_zone`` shows it; times without a zone are taken as that clock's."""
    name = f"{quote(column)}"
    if tables.type_of(table, column) == "TIMESTAMP WITH TIME ZONE":
        return f"timezone({literal(time_zone)}, {name})"
    return f"CAST({name} AS TIMESTAMP)"


def _expression_sql(tables: Engine, table: str, expression: Expression) -> str:
    """Write an expression with every column cast to what its place needs: a time, a number or a text."""
    for column in expression.time_columns:
        check_time(tables, table, column)
    compared = _compared_with_text(expression.tree)

    def cast(column: str) -> str:
        kind = tables.type_of(table, column)
        if column in expression.time_columns:
            return moment(tables, table, column)
        if column in compared:
            _check_texts(table, column, kind, compared[column])
            return f"CAST({quote(column)} AS VARCHAR)"
        if kind == "VARCHAR":
            raise _text_error(tables, table, column)
        if kind.startswith(("TIMESTAMP", "DATE", "TIME")):
            raise DataError(
                f"column {column!r} is a time, not a number",
                where=table,
                advice=f"Measure a duration, such as hours({column}, ...).",
            )
        if kind == "BOOLEAN":  # a plain cast would be pushed into the reading of a CSV, where `Yes` is no number
            return f"(CASE WHEN {quote(column)} THEN 1e0 WHEN NOT {quote(column)} THEN 0e0 END)"
        return f"CAST({quote(column)} AS DOUBLE)"

    return expression.sql(cast)


def _compared_with_text(node: Node) -> dict[str, tuple[str, ...]]:
    """Return the columns that are compared with texts, and those texts."""
    if isinstance(node, Call):
        return _merged([_compared_with_text(argument) for argument in node.arguments])
    if not isinstance(node, Operation):
        return {}
    texts = tuple(side.value for side in (node.left, node.right) if isinstance(side, Text))
    if texts:
        return {side.name: texts for side in (node.left, node.right) if isinstance(side, Column)}
    return _merged([_compared_with_text(node.left), _compared_with_text(node.right)])


def _merged(parts: Sequence[dict[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: tuple(text for part in parts for text in part.get(name, ())) for name in names}


def _check_texts(table: str, column: str, kind: str, texts: Sequence[str]) -> None:
    """Refuse a comparison with a text that no value of this type is ever written as: it would be false in all rows."""
    whole = kind.endswith(("INT", "INTEGER"))
    for text in texts:
        if kind == "BOOLEAN" and text not in ("true", "false"):
            advice = f"Values such as Yes and No were read so: write `{column} == 'true'`, or `{column}` alone."
            raise DataError(f"column {column!r} is true or false, never {shown(text)}", where=table, advice=advice)
        if (whole and str(int(text) if _INTEGER.fullmatch(text) else "") != text) or kind in ("DOUBLE", "FLOAT"):
            advice = f"Compare it with a number: `{column} == 1`."
            raise DataError(f"column {column!r} is a number, never the text {shown(text)}", where=table, advice=advice)


def _text_error(tables: Engine, table: str, column: str) -> DataError:
    name = quote(column)
    wrong = f"{name} IS NOT NULL AND TRY_CAST({name} AS DOUBLE) IS NULL"
    found = tables.query(
        f"SELECT count(*) AS n, count(*) FILTER (WHERE {wrong}) AS bad, "  # noqa: S608 - quoted
        f"min({name}) FILTER (WHERE {wrong}) AS example FROM {quote(table)}"
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


def key_sql(tables: Engine, columns: Sequence[tuple[str, str]]) -> Callable[[str], str]:
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
