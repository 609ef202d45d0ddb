"""The SQL of trials: units of all experiments at once, and every source aggregated over their windows in one scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError, nearest
from cpi_experiments.measure.audit import Audit, aggregate_sql
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.events import by_source, events_sql
from cpi_experiments.measure.indicators import Indicator, check_time, filter_sql, moment
from cpi_experiments.measure.places import check_unique, covariate_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engines.source import Engine

Array = np.ndarray
PRE = "pre_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Experiments that one set of queries can measure: the same units, assigned in the same table.

    Parameters
    ----------
    experiments : tuple of str
    excluded : tuple of str
        Filter of every experiment on its assignments: rows that meet it are left out; empty if there is none.
    unit, assignments, customers : str
        Column of the unit and tables.
    outcomes : mapping of id to Indicator
        Measured over the window after the assignment.
    before : mapping of id to Indicator
        Measured over as long a window before it.
    own : tuple of str
        Columns of the customers.
    key : callable
        How the SQL of a unit is written.
    as_of : str or None
        First moment not seen.
    """

    experiments: tuple[str, ...]
    excluded: tuple[str, ...]
    unit: str
    assignments: str
    customers: str
    outcomes: Mapping[str, Indicator]
    before: Mapping[str, Indicator]
    own: tuple[str, ...]
    key: Callable[[str], str]
    as_of: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """Units of a batch with one arm each, sorted by experiment and unit.

    Parameters
    ----------
    bounds : int array, shape (experiments + 1,)
        Where the rows of each experiment start and end.
    unit, arm, assigned_at : array, shape (rows,)
    rows, unusable, several, excluded : int array, shape (experiments,)
        Rows of the table; those without unit, arm or time; units in several arms; rows left out as planned.
    """

    bounds: Array
    unit: Array
    arm: Array
    assigned_at: Array
    rows: Array
    unusable: Array
    several: Array
    excluded: Array


def find_assigned(tables: Engine, batch: Batch) -> Assigned:
    """Read who was assigned to which arm, and when first.

    Raises
    ------
    DataError
        If a column is missing, or an experiment has no row.
    """
    for column in ("experiment", "arm"):
        tables.type_of(batch.assignments, column)
    check_time(tables, batch.assignments, "assigned_at")
    usable = "unit IS NOT NULL AND arm IS NOT NULL AND assigned_at IS NOT NULL"
    counted = tables.query(
        f"SELECT trial, count(*) AS n, count(*) FILTER (WHERE NOT ({usable})) AS unusable "  # noqa: S608 - quoted
        f"FROM ({_rows_sql(tables, batch)}) AS chosen WHERE trial IS NOT NULL GROUP BY trial",
        batch.experiments,
    )
    several = tables.query(
        f"SELECT trial, count(*) AS n FROM ({_arms_sql(tables, batch)}) AS units WHERE arms > 1 GROUP BY trial",  # noqa: S608 - quoted
        batch.experiments,
    )
    rows = _by_trial(counted["trial"], counted["n"], batch)
    for experiment, n in zip(batch.experiments, rows, strict=True):
        if not n:
            raise _unknown(tables, batch, experiment)
    found = tables.query(
        f"SELECT trial, unit, arm, assigned_at FROM ({_placed_sql(tables, batch)}) AS placed ORDER BY place",  # noqa: S608 - quoted
        batch.experiments,
    )
    return Assigned(
        bounds=np.searchsorted(found["trial"], np.arange(len(batch.experiments) + 1)),
        unit=found["unit"],
        arm=found["arm"],
        assigned_at=found["assigned_at"],
        rows=rows,
        unusable=_by_trial(counted["trial"], counted["unusable"], batch),
        several=_by_trial(several["trial"], several["n"], batch),
        excluded=_count_excluded(tables, batch, rows),
    )


def _kept(tables: Engine, batch: Batch, trial: int) -> str:
    """Write the place of a trial, and nothing for rows that its plan excludes."""
    if not batch.excluded[trial]:
        return str(trial)
    condition = filter_sql(tables, batch.assignments, batch.excluded[trial])
    return f"CASE WHEN coalesce({condition}, FALSE) THEN NULL ELSE {trial} END"


def _count_excluded(tables: Engine, batch: Batch, rows: Array) -> Array:
    if not any(batch.excluded):
        return np.zeros(len(rows), dtype=np.int64)
    whole = replace(batch, excluded=("",) * len(batch.experiments))
    counted = tables.query(
        f"SELECT trial, count(*) AS n FROM ({_rows_sql(tables, whole)}) AS chosen "  # noqa: S608 - quoted
        "WHERE trial IS NOT NULL GROUP BY trial",
        batch.experiments,
    )
    return np.asarray(_by_trial(counted["trial"], counted["n"], batch) - rows)


def _by_trial(trials: Array, counts: Array, batch: Batch) -> Array:
    laid = np.zeros(len(batch.experiments), dtype=np.int64)
    laid[trials.astype(np.int64)] = counts
    return laid


def _unknown(tables: Engine, batch: Batch, experiment: str) -> DataError:
    table = quote(batch.assignments)
    known = tables.query(f"SELECT DISTINCT CAST(experiment AS VARCHAR) AS id FROM {table} LIMIT 50")["id"]  # noqa: S608 - quoted
    return DataError(
        f"experiment {experiment!r} has no assignments",
        where=batch.assignments,
        advice=nearest(experiment, [str(each) for each in known if each is not None]),
    )


def _rows_sql(tables: Engine, batch: Batch) -> str:
    """Write the rows of the assignments; ``trial`` is the place of their experiment, whose ids are parameters."""
    numbered = " ".join(f"WHEN ? THEN {_kept(tables, batch, i)}" for i in range(len(batch.experiments)))
    at = moment(tables, batch.assignments, "assigned_at")
    return (
        f"SELECT CASE CAST(experiment AS VARCHAR) {numbered} END AS trial, {batch.key(batch.unit)} AS unit, "  # noqa: S608 - quoted
        f"CAST(arm AS VARCHAR) AS arm, {at} AS assigned_at FROM {quote(batch.assignments)}"
    )


def _arms_sql(tables: Engine, batch: Batch) -> str:
    return (
        "SELECT trial, unit, count(DISTINCT arm) AS arms, min(arm) AS arm, min(assigned_at) AS assigned_at "  # noqa: S608 - quoted
        f"FROM ({_rows_sql(tables, batch)}) AS chosen "
        "WHERE trial IS NOT NULL AND unit IS NOT NULL AND arm IS NOT NULL AND assigned_at IS NOT NULL "
        "GROUP BY trial, unit"
    )


def _placed_sql(tables: Engine, batch: Batch) -> str:
    return (
        "SELECT trial, unit, arm, assigned_at, row_number() OVER (ORDER BY trial, unit) - 1 AS place "  # noqa: S608 - quoted
        f"FROM ({_arms_sql(tables, batch)}) AS units WHERE arms = 1"
    )


# -- outcomes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What was measured on the rows of `Assigned`.

    Parameters
    ----------
    values : mapping of column to array, shape (rows,)
        Indicators, their values before (``pre_`` and the id) and columns of the customers.
    first, last : mapping of indicator to datetime64 array, shape (rows,)
        Times of the first and the last event behind the value; NaT where there is none.
    """

    values: Mapping[str, Array]
    first: Mapping[str, Array]
    last: Mapping[str, Array]


def measure_outcomes(tables: Engine, batch: Batch, audits: Sequence[Audit], *, rows: int) -> Outcomes:
    """Aggregate every indicator over the windows of all units, one scan a source."""
    looked = {each.indicator: each for each in audits}
    values: dict[str, Array] = {}
    first: dict[str, Array] = {}
    last: dict[str, Array] = {}
    for group in by_source(looked).values():
        columns, names = _window_columns(batch, [looked[each] for each in group])
        found = tables.query(_windows_sql(tables, batch, group, columns), batch.experiments)
        place = found["place"].astype(np.int64)
        for each in group:
            for name in (each.id, PRE + each.id):
                if name in names:
                    values[name] = _laid(found[names[name]], place, rows, 0.0 if each.adds_up else np.nan)
            if each.id in batch.outcomes:
                nothing = np.datetime64("NaT", "us")
                first[each.id] = _laid(found[names[f"first {each.id}"]], place, rows, nothing)
                last[each.id] = _laid(found[names[f"last {each.id}"]], place, rows, nothing)
    return Outcomes(values=values | _own_values(tables, batch), first=first, last=last)


def _laid(found: Array, place: Array, rows: int, nothing: float | np.datetime64) -> Array:
    laid = np.full(rows, nothing)
    laid[place] = np.where(found != found, nothing, found)  # noqa: PLR0124 - NaN and NaT differ from themselves
    return laid


def _window_columns(batch: Batch, group: Sequence[Audit]) -> tuple[dict[str, str], dict[str, str]]:
    """Write the columns of one source; return them, and which of them holds what."""
    columns: dict[str, str] = {}  # SQL to name: equal columns are computed once
    names: dict[str, str] = {}

    def add(name: str, sql: str) -> None:
        names[name] = columns.setdefault(sql, f"c{len(columns)}")

    for i, each in enumerate(group):
        indicator = each.indicator
        if indicator.id in batch.outcomes:
            window = f"event_at >= assigned_at AND event_at < assigned_at + {_length(indicator)}"
            add(indicator.id, aggregate_sql(each, f"v{i}", window))
            known = window if each.every_event else f"{window} AND v{i} IS NOT NULL"
            add(f"first {indicator.id}", f"min(event_at) FILTER (WHERE {known})")
            add(f"last {indicator.id}", f"max(event_at) FILTER (WHERE {known})")
        if indicator.id in batch.before:
            window = f"event_at < assigned_at AND event_at >= assigned_at - {_length(indicator)}"
            add(PRE + indicator.id, aggregate_sql(each, f"v{i}", window))
    return columns, names


def _windows_sql(tables: Engine, batch: Batch, group: Sequence[Indicator], columns: Mapping[str, str]) -> str:
    condition = f"event_at < TIMESTAMP '{batch.as_of}'" if batch.as_of else "TRUE"
    events = events_sql(tables, group, key=batch.key, condition=condition)
    after = max((each for each in group if each.id in batch.outcomes), key=_seconds, default=None)
    before = max((each for each in group if each.id in batch.before), key=_seconds, default=None)
    low = f"assigned_at - {_length(before)}" if before else "assigned_at"
    high = f"assigned_at + {_length(after)}" if after else "assigned_at"
    listed = ", ".join(f"{sql} AS {name}" for sql, name in columns.items())
    return (
        f"SELECT place, {listed} FROM ({events}) AS events JOIN ({_placed_sql(tables, batch)}) AS placed "  # noqa: S608 - quoted
        f"ON placed.unit = events.entity AND event_at >= {low} AND event_at < {high} GROUP BY place"
    )


def _seconds(indicator: Indicator) -> int:
    return round(indicator.measure.window_days * 86400)


def _length(indicator: Indicator) -> str:
    return f"INTERVAL {_seconds(indicator)} SECONDS"


def _own_values(tables: Engine, batch: Batch) -> dict[str, Array]:
    if not batch.own:
        return {}
    check_unique(tables, batch.customers, batch.unit)
    chosen = ", ".join(covariate_sql(tables, batch.customers, name) for name in batch.own)
    listed = ", ".join(f"own.{quote(name)} AS {quote(name)}" for name in batch.own)
    keyed = f"SELECT {batch.key(batch.unit)} AS entity, {chosen} FROM {quote(batch.customers)}"  # noqa: S608 - quoted
    found = tables.query(
        f"SELECT place, {listed} FROM ({_placed_sql(tables, batch)}) AS placed "  # noqa: S608 - quoted
        f"LEFT JOIN ({keyed} WHERE {quote(batch.unit)} IS NOT NULL) AS own ON own.entity = placed.unit",
        batch.experiments,
    )
    order = np.argsort(found.pop("place"), kind="stable")
    return {name: values[order] for name, values in found.items()}
