"""One row per randomised unit: its arm, and every indicator over its own window after assignment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cpi_experiments.display import Displayed, Row, number, plain
from cpi_experiments.errors import DataError, nearest
from cpi_experiments.estimate import digest_of
from cpi_experiments.measure.columns import missing
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.events import Loss, by_source, count_losses, events_sql
from cpi_experiments.measure.grid import check_unique, covariate_sql, day_text
from cpi_experiments.measure.indicators import Indicator, check_time, find_indicators, key_sql, moment
from cpi_experiments.measure.periods import bound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.measure.engine import Tables

_PRE = "pre_"
_RESERVED = ("unit", "arm", "assigned_at")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitFrame(Displayed):
    """The units of one experiment with what was measured on each.

    Parameters
    ----------
    frame : DataFrame
        Columns ``unit``, ``arm``, ``assigned_at``, one per CPI and KPI (NaN where missing), the covariates.
        One row per unit, sorted by it.
    experiment, unit : str
        Id of the experiment; the column's name in the source.
    cpis, kpis, covariates : tuple of str
        Columns by role.
    losses : tuple of (indicator, reason, rows)
        Events and cells that were set aside, changed or filled.
    n_assigned : mapping of arm to units
        Units in the frame.
    n_in_two_arms : int
        Units that were assigned to several arms; they are not in the frame.
    n_open : int
        Units with a window that was not over at ``as_of`` (by default: the last event); their sums are not final.
    digest : str
        Hash of the data and of how they were measured.
    """

    frame: pd.DataFrame
    experiment: str
    unit: str
    cpis: tuple[str, ...]
    kpis: tuple[str, ...]
    covariates: tuple[str, ...]
    losses: tuple[Loss, ...]
    n_assigned: Mapping[str, int]
    n_in_two_arms: int
    n_open: int
    digest: str

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the data."""
        return self.frame.copy()

    def to_dict(self) -> Row:
        """Return what was measured; the rows stay in the frame."""
        names = ("experiment", "unit", "cpis", "kpis", "covariates", "losses", "n_assigned", "n_in_two_arms", "n_open")
        return {
            **{name: plain(getattr(self, name)) for name in names},
            "n_rows": len(self.frame),
            "digest": self.digest,
        }

    def _title(self) -> str:
        arms = ", ".join(f"{count:,} in {arm}" for arm, count in self.n_assigned.items())
        both = f"; {self.n_in_two_arms:,} in several arms left out" if self.n_in_two_arms else ""
        still = f"; {self.n_open:,} windows still open" if self.n_open else ""
        return f"{self.experiment}: {arms}{both}{still}"

    def _rows(self) -> list[Row]:
        rows: list[Row] = []
        for name in (*self.cpis, *self.kpis):
            for arm in self.n_assigned:
                values = self.frame.loc[self.frame["arm"] == arm, name].to_numpy()
                seen = values[~np.isnan(values)]
                mean = number(float(seen.mean()), 3) if len(seen) else "no data"
                rows.append({"indicator": name, "arm": arm, "observed": len(seen), "mean": mean})
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is asked of the tables, resolved."""

    cpis: tuple[str, ...]
    kpis: tuple[str, ...]
    own: tuple[str, ...]
    before: tuple[str, ...]
    covariates: tuple[str, ...]
    indicators: tuple[Indicator, ...]
    key: Callable[[str], str]
    unit: str
    assignments: str
    customers: str
    as_of: str | None


def measure_units(  # noqa: PLR0913 - a door: everything by name
    tables: Tables,
    catalog: Catalog,
    *,
    experiment: str,
    cpis: Sequence[str],
    kpis: Sequence[str],
    covariates: Sequence[str] = (),
    unit: str = "customer_id",
    assignments: str = "assignments",
    customers: str = "customers",
    as_of: str | date | None = None,
) -> UnitFrame:
    """Measure indicators for every unit of an experiment, each over its own window.

    An event counts if its time is at or after the unit's assignment and before the measure's window is over. Times
    with a zone are compared in UTC; times without one are taken as UTC.

    Parameters
    ----------
    tables : Tables
    catalog : Catalog
    experiment : str
        Value of the column ``experiment`` of the assignments.
    cpis, kpis : sequence of str
        Ids of the catalog.
    covariates : sequence of str
        Columns of the customers table, or ``pre_`` and an id: the same indicator over as long a window before the
        assignment, filled by the mean of those observed where missing (and counted).
    unit : str
        Column of the unit in assignments and customers, and in the event tables that have it (else the measure's
        entity).
    assignments : str
        Table with columns ``experiment``, the unit, ``arm``, ``assigned_at``.
    customers : str
        Table of customer attributes, for covariates.
    as_of : str or date, optional
        Last day or moment seen, ISO.

    Returns
    -------
    UnitFrame
        Sums and counts without events are 0, everything else without events is missing.

    Raises
    ------
    DataError
        If tables, columns or the experiment are missing, or no indicator has an event in a window.
    """
    plan = _planned(
        tables,
        catalog,
        (tuple(cpis), tuple(kpis), tuple(covariates)),
        places=(unit, assignments, customers),
        as_of=as_of,
    )
    assigned, lost = _assigned(tables, plan, experiment)
    frame = tables.frame(_units_sql(tables, plan, assigned), [experiment])
    if frame.empty:
        raise DataError("every unit of the experiment is in several arms", where=assignments)
    unseen = _unseen(tables, plan, frame)
    filled = _fill_before(frame, plan)
    n_open = _count_open(tables, plan, frame)
    used = sorted(
        {each.measure.table for each in plan.indicators} | {assignments} | ({customers} if plan.own else set())
    )
    how = {
        "experiment": experiment,
        "unit": unit,
        "as_of": plan.as_of,
        "roles": [plan.cpis, plan.kpis, plan.covariates],
    }
    counts = frame["arm"].value_counts().sort_index()
    return UnitFrame(
        frame=frame[[*_RESERVED, *plan.cpis, *plan.kpis, *plan.covariates]],
        experiment=experiment,
        unit=unit,
        cpis=plan.cpis,
        kpis=plan.kpis,
        covariates=plan.covariates,
        losses=(*lost[1], *unseen, *count_losses(tables, plan.indicators), *filled),
        n_assigned={str(arm): int(count) for arm, count in counts.items()},
        n_in_two_arms=lost[0],
        n_open=n_open,
        digest=digest_of(
            {
                "tables": {table: tables.digest(table) for table in used},
                "measures": {each.id: plain(each.measure) for each in plan.indicators},
                "how": how,
            }
        ),
    )


def _planned(
    tables: Tables,
    catalog: Catalog,
    roles: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    *,
    places: tuple[str, str, str],
    as_of: str | date | None,
) -> _Plan:
    cpis, kpis, covariates = roles
    unit, assignments, customers = places
    names = [*cpis, *kpis, *covariates]
    for name in names:
        if names.count(name) > 1 or name in _RESERVED:
            raise DataError(f"{name!r} is named twice or is taken", advice=f"{_RESERVED} are columns of the result.")
    if not (cpis or kpis):
        raise DataError("no CPI and no KPI is named", advice="Name at least one id of the catalog.")
    known = {**catalog.cpis, **catalog.kpis}
    own_columns = tables.columns(customers) if customers in tables.names else {}
    before = tuple(each for each in covariates if each not in own_columns and each.removeprefix(_PRE) in known)
    own = tuple(each for each in covariates if each not in before)
    for name in own:
        if name not in own_columns:
            raise DataError(
                f"covariate {name!r} is neither a column of {customers!r} nor pre_ and an id of the catalog",
                advice=nearest(name, [*own_columns, *(f"{_PRE}{each}" for each in known)]),
            )
    if own:
        check_unique(tables, customers, unit)
    indicators = find_indicators(
        tables, catalog, [*cpis, *kpis, *(each.removeprefix(_PRE) for each in before)], unit=unit
    )
    keys = sorted({(each.measure.table, each.measure.entity) for each in indicators})
    key = key_sql(tables, [*keys, (assignments, unit), *([(customers, unit)] if own else [])])
    return _Plan(
        cpis=cpis,
        kpis=kpis,
        own=own,
        before=before,
        covariates=covariates,
        indicators=indicators,
        key=key,
        unit=unit,
        assignments=assignments,
        customers=customers,
        as_of=bound(as_of, last=True, where="as_of"),
    )


def _assigned(tables: Tables, plan: _Plan, experiment: str) -> tuple[str, tuple[int, tuple[Loss, ...]]]:
    """Write the SQL of units with one arm each; count those with several, and unusable rows."""
    table = plan.assignments
    for column in ("experiment", "arm"):
        tables.type_of(table, column)
    check_time(tables, table, "assigned_at")
    name, at = quote(plan.unit), moment(tables, table, "assigned_at")
    of_this = "CAST(experiment AS VARCHAR) = $1"
    usable = f"{name} IS NOT NULL AND arm IS NOT NULL AND assigned_at IS NOT NULL"
    units = (
        f"SELECT {plan.key(plan.unit)} AS unit, count(DISTINCT CAST(arm AS VARCHAR)) AS arms, "  # noqa: S608 - quoted
        f"min(CAST(arm AS VARCHAR)) AS arm, min({at}) AS assigned_at "
        f"FROM {quote(table)} WHERE {of_this} AND {usable} GROUP BY 1"
    )
    found = tables.query(
        f"SELECT (SELECT count(*) FROM {quote(table)} WHERE {of_this}) AS n, "  # noqa: S608 - quoted
        f"(SELECT count(*) FROM {quote(table)} WHERE {of_this} AND NOT ({usable})) AS unusable, "
        f"(SELECT count(*) FROM ({units}) WHERE arms > 1) AS several",
        [experiment],
    )
    if not found["n"][0]:
        known = tables.query(f"SELECT DISTINCT CAST(experiment AS VARCHAR) AS id FROM {quote(table)} LIMIT 50")["id"]  # noqa: S608 - quoted
        raise DataError(
            f"experiment {experiment!r} has no assignments",
            where=table,
            advice=nearest(experiment, [str(each) for each in known if each is not None]),
        )
    lost = int(found["unusable"][0])
    losses = ((plan.assignments, f"without {plan.unit}, arm or time", lost),) if lost else ()
    return f"SELECT unit, arm, assigned_at FROM ({units}) WHERE arms = 1", (int(found["several"][0]), losses)  # noqa: S608 - quoted


def _units_sql(tables: Tables, plan: _Plan, assigned: str) -> str:
    outcomes = (*plan.cpis, *plan.kpis)
    parts = [f"assigned AS ({assigned})"]
    columns, joins = [], []
    condition = f"event_at < TIMESTAMP '{plan.as_of}'" if plan.as_of else "TRUE"
    for g, group in enumerate(by_source(plan.indicators).values()):
        sums = []
        for i, each in enumerate(group):
            wanted = [(each.id, _after(each))] if each.id in outcomes else []
            wanted += [(_PRE + each.id, _before(each))] if _PRE + each.id in plan.before else []
            for name, window in wanted:
                sums.append(f"CAST({each.aggregate(f'v{i}', window)} AS DOUBLE) AS {quote(name)}")
                value = f"g{g}.{quote(name)}"
                columns.append(f"{f'coalesce({value}, 0e0)' if each.adds_up else value} AS {quote(name)}")
        events = events_sql(tables, group, key=plan.key, condition=condition)
        parts.append(
            f"g{g} AS (SELECT entity, {', '.join(sums)} FROM ({events}) JOIN assigned ON unit = entity GROUP BY entity)"  # noqa: S608 - quoted
        )
        joins.append(f"LEFT JOIN g{g} ON g{g}.entity = assigned.unit")
    if plan.own:
        chosen = ", ".join(covariate_sql(tables, plan.customers, name) for name in plan.own)
        keyed = f"SELECT {plan.key(plan.unit)} AS entity, {chosen} FROM {quote(plan.customers)}"  # noqa: S608 - quoted
        parts.append(f"own AS ({keyed} WHERE {quote(plan.unit)} IS NOT NULL)")
        joins.append("LEFT JOIN own ON own.entity = assigned.unit")
        columns += [f"own.{quote(name)} AS {quote(name)}" for name in plan.own]
    return (
        f"WITH {', '.join(parts)} SELECT assigned.unit, assigned.arm, assigned.assigned_at, {', '.join(columns)} "  # noqa: S608 - quoted
        f"FROM assigned {' '.join(joins)} ORDER BY assigned.unit"
    )


def _length(indicator: Indicator) -> str:
    return f"INTERVAL {round(indicator.measure.window_days * 86400)} SECONDS"


def _after(indicator: Indicator) -> str:
    return f"event_at >= assigned_at AND event_at < assigned_at + {_length(indicator)}"


def _before(indicator: Indicator) -> str:
    return f"event_at < assigned_at AND event_at >= assigned_at - {_length(indicator)}"


def _unseen(tables: Tables, plan: _Plan, frame: pd.DataFrame) -> tuple[Loss, ...]:
    """Name the indicators without an event in any window; if that is all of them, the dates do not fit."""
    outcomes = (*plan.cpis, *plan.kpis)
    empty = [
        name for name in outcomes if not np.nan_to_num(frame[name].to_numpy()).any() and _is_empty(plan, frame, name)
    ]
    if len(empty) < len(outcomes):
        return tuple((name, "no event in any window", 0) for name in empty)
    spans = []
    for (table, *_), group in by_source(plan.indicators).items():
        found = tables.query(
            f"SELECT min(event_at) AS low, max(event_at) AS high FROM ({events_sql(tables, group, key=plan.key)})"  # noqa: S608 - quoted
        )
        spans.append(f"{table} has events from {day_text(found['low'][0])} to {day_text(found['high'][0])}")
    first, last = frame["assigned_at"].min(), frame["assigned_at"].max()
    raise DataError(
        f"no event of the {len(frame):,} units falls into a window",
        where=plan.assignments,
        advice=f"{'; '.join(dict.fromkeys(spans))}; assignments run from {str(first)[:10]} to {str(last)[:10]}. "
        f"Compare the column {plan.unit!r} in both.",
    )


def _is_empty(plan: _Plan, frame: pd.DataFrame, name: str) -> bool:
    adds_up = any(each.id == name and each.adds_up for each in plan.indicators)
    return adds_up or bool(np.isnan(frame[name].to_numpy()).all())


def _fill_before(frame: pd.DataFrame, plan: _Plan) -> tuple[Loss, ...]:
    losses: list[Loss] = []
    for name in plan.before:
        values = frame[name].to_numpy(copy=True)
        lost = np.isnan(values)
        if lost.any():
            mean = float(values[~lost].mean()) if not lost.all() else 0.0
            reason = "filled by the mean of the others" if not lost.all() else "never observed before, set to 0"
            losses.append((name, reason, int(lost.sum())))
            values[lost] = mean
            frame[name] = values
    for name in plan.own:
        lost_rows = int(missing(frame[name].to_numpy()).sum())
        if lost_rows:
            losses.append((name, f"not known in {plan.customers}", lost_rows))
    return tuple(losses)


def _count_open(tables: Tables, plan: _Plan, frame: pd.DataFrame) -> int:
    """Units whose longest window was not over at the last moment seen."""
    outcomes = [each for each in plan.indicators if each.id in (*plan.cpis, *plan.kpis)]
    assigned = frame["assigned_at"].to_numpy().astype("datetime64[us]")
    still_open = np.zeros(len(frame), dtype=bool)
    for group in by_source(outcomes).values():
        seen = f"SELECT max(event_at) AS high FROM ({events_sql(tables, group, key=plan.key)})"  # noqa: S608 - quoted
        end = np.datetime64(plan.as_of, "us") if plan.as_of else tables.query(seen)["high"][0]
        for each in group:
            length = np.timedelta64(round(each.measure.window_days * 86_400_000_000), "us")
            still_open |= assigned + length > end
    return int(still_open.sum())
