"""Whose row an event belongs to: the customer's, the team's, or that of the customer's segment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.indicators import key_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.measure.indicators import Indicator

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The rows of a panel, and how an event finds its row.

    Parameters
    ----------
    unit : str
        Column that names a row.
    keys : mapping of entity column to callable
        How its SQL is written.
    sql : mapping of entity column to str
        SELECT of ``entity, place``; empty if the rows are whoever has an event.
    labels : array, shape (units,), or None
        Names of the rows by place; None if the rows are whoever has an event.
    covariates : mapping of column to array, shape (units,)
    people : mapping of table to str
        SQL of the person behind an event, where a row is a group of people.
    unknown : str
        What an event without a row is called.
    """

    unit: str
    keys: Mapping[str, Callable[[str], str]]
    sql: Mapping[str, str] = field(default_factory=dict)
    labels: Array | None = None
    covariates: Mapping[str, Array] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)
    unknown: str = "of unknown customers"


def find_places(
    tables: Engine,
    indicators: Sequence[Indicator],
    owners: Sequence[str],
    *,
    unit: str,
    customers: str,
    covariates: Sequence[str] | None = None,
    usual: Sequence[str] = (),
) -> Places:
    """Decide what a row is.

    ``unit`` is the key of ``customers``; or another of its columns, such as a segment, of which every customer has
    one; or a column of every event table, such as a team.

    Parameters
    ----------
    indicators : sequence of Indicator
        Counted by the unit where their table has it.
    owners : sequence of str
        The entity of each in the catalog: who had the event.
    customers : str
        Table of all units or customers; empty if there is none.
    covariates : sequence of str, optional
        Columns of ``customers``; by default those of ``usual`` that it has, for rows that are customers.

    Raises
    ------
    DataError
        If a table lacks the unit, the customers list a unit twice, or covariates are asked for that rows do not have.
    """
    known = tables.columns(customers) if customers else {}
    grouped = unit in known and any(owner != unit and owner in known for owner in owners)
    by_unit = [owner != unit and each.measure.entity == unit for each, owner in zip(indicators, owners, strict=True)]
    if any(by_unit) and not grouped:
        _check_all_have(indicators, unit)
    people = {
        each.measure.table: quote(owner)
        for each, owner in zip(indicators, owners, strict=True)
        if owner != unit and (grouped or any(by_unit)) and owner in tables.columns(each.measure.table)
    }
    listed = bool(customers) and not (unit not in known and all(by_unit))
    if covariates and (grouped or not listed):
        raise DataError(
            "covariates need a table of customers" if not grouped else f"covariates describe customers, not a {unit}",
            advice="Add it to the data sources." if not grouped else "Leave them out, or measure by customer.",
        )
    if grouped:
        return _groups(tables, indicators, unit=unit, customers=customers, people=people)
    columns = sorted({(each.measure.table, each.measure.entity) for each in indicators})
    entities = dict.fromkeys(entity for _, entity in columns)
    if not listed:
        key = key_sql(tables, columns)
        return Places(unit=unit, keys=dict.fromkeys(entities, key), people=people)
    tables.type_of(customers, unit)
    chosen = [name for name in usual if name in known and name != unit] if covariates is None else list(covariates)
    key = key_sql(tables, [*columns, (customers, unit)])
    rows = f"{quote(customers)} WHERE {quote(unit)} IS NOT NULL"
    asked = [f"{key(unit)} AS unit", *(covariate_sql(tables, customers, name) for name in dict.fromkeys(chosen))]
    found = tables.query(f"SELECT {', '.join(asked)} FROM {rows} ORDER BY 1")  # noqa: S608 - quoted
    _check_once(found["unit"], unit, customers)
    place = f"SELECT {key(unit)} AS entity, row_number() OVER (ORDER BY {key(unit)}) - 1 AS place FROM {rows}"  # noqa: S608 - quoted
    return Places(
        unit=unit,
        keys=dict.fromkeys(entities, key),
        sql=dict.fromkeys(entities, place),
        labels=found.pop("unit"),
        covariates=found,
        people=people,
    )


def _groups(
    tables: Engine,
    indicators: Sequence[Indicator],
    *,
    unit: str,
    customers: str,
    people: Mapping[str, str],
) -> Places:
    """Rows are the values of a column of the customers."""
    measured = {(each.measure.table, each.measure.entity) for each in indicators}
    label = key_sql(tables, [*sorted(each for each in measured if each[1] == unit), (customers, unit)])
    owners = sorted({entity for _, entity in measured if entity != unit})
    keys, sql = {unit: label}, {}
    ranked = f"SELECT *, dense_rank() OVER (ORDER BY {label(unit)}) - 1 AS place FROM {quote(customers)} WHERE {quote(unit)} IS NOT NULL"  # noqa: S608, E501 - quoted
    sql[unit] = f"SELECT DISTINCT {label(unit)} AS entity, place FROM ({ranked}) AS ranked"  # noqa: S608 - quoted
    for owner in owners:
        check_unique(tables, customers, owner)
        keys[owner] = key_sql(tables, [*sorted(each for each in measured if each[1] == owner), (customers, owner)])
        named = f"{keys[owner](owner)} AS entity"
        sql[owner] = f"SELECT {named}, place FROM ({ranked}) AS ranked WHERE {quote(owner)} IS NOT NULL"  # noqa: S608 - quoted
    found = tables.query(
        f"SELECT DISTINCT {label(unit)} AS unit FROM {quote(customers)} WHERE {quote(unit)} IS NOT NULL ORDER BY 1"  # noqa: S608 - quoted
    )
    if not len(found["unit"]):
        raise DataError("no rows with a unit", where=customers, advice=f"Column {unit!r} names the unit.")
    unknown = f"of customers without a known {unit}"
    return Places(unit=unit, keys=keys, sql=sql, labels=found["unit"], people=people, unknown=unknown)


def _check_all_have(indicators: Sequence[Indicator], unit: str) -> None:
    lacking = {each.id: each.measure.table for each in indicators if each.measure.entity != unit}
    if lacking:
        listed = ", ".join(f"{name} ({table})" for name, table in lacking.items())
        raise DataError(
            f"{len(lacking)} of {len(indicators)} indicators cannot be measured by {unit}: {listed}",
            advice=f"Their tables have no column {unit!r}. Add it, or name the others under `indicators`.",
        )


def _check_once(labels: Array, unit: str, customers: str) -> None:
    if not len(labels):
        raise DataError("no rows with a unit", where=customers, advice=f"Column {unit!r} names the unit.")
    extra = int(np.sum(labels[1:] == labels[:-1]))
    if extra:
        raise _repeats(extra, unit, customers)


def _repeats(extra: int, column: str, table: str) -> DataError:
    return DataError(
        f"{extra:,} rows repeat a {column}", where=table, advice="Keep one row per unit: its latest, for example."
    )


def check_unique(tables: Engine, table: str, column: str) -> None:
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
        raise _repeats(extra, column, table)
    if not found["n"][0]:
        raise DataError("no rows with a unit", where=table, advice=f"Column {column!r} names the unit.")


def covariate_sql(tables: Engine, table: str, name: str) -> str:
    """Write a covariate: numbers as doubles, everything else as it is."""
    kind = tables.type_of(table, name)
    as_it_is = kind == "VARCHAR" or kind.startswith(("TIMESTAMP", "DATE"))
    return quote(name) if as_it_is else f"CAST({quote(name)} AS DOUBLE) AS {quote(name)}"
