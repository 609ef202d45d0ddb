"""One row per randomised unit: its arm, and every indicator over its own window after assignment."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cpi_experiments.display import Displayed, Row, number, plain
from cpi_experiments.errors import DataError, nearest
from cpi_experiments.estimate import Diagnostic, digest_of
from cpi_experiments.measure.audit import Audit, audit, count_losses, count_outside
from cpi_experiments.measure.columns import missing
from cpi_experiments.measure.events import Loss
from cpi_experiments.measure.grid import day_text
from cpi_experiments.measure.order import Order, check_order, order_of_times, row_orders
from cpi_experiments.measure.periods import bound
from cpi_experiments.measure.trial_plans import RESERVED, Trial, TrialPlan, make_batch, plan_trial
from cpi_experiments.measure.trials import Assigned, Batch, Outcomes, find_assigned, measure_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.measure.indicators import Indicator

__all__ = ["Trial", "UnitFrame", "measure_trials", "measure_units"]

Array = np.ndarray


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
    measured_at : mapping of indicator to datetime64 array, shape (rows,)
        When the value of each row was complete: the last event of a CPI, the first of a KPI; NaT without an event.
    orders : tuple of Order
        How often each KPI was measured before each CPI.
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
    measured_at: Mapping[str, Array] = field(default_factory=dict, repr=False)
    orders: tuple[Order, ...] = ()

    def order_of(self, cpi: str, kpi: str) -> Diagnostic:
        """Say whether a KPI was measured after its CPI; see `cpi_experiments.measure.order.check_order`.

        Raises
        ------
        DataError
            If one of them was not measured.
        """
        for order in self.orders:
            if (order.cpi, order.kpi) == (cpi, kpi):
                return check_order(order)
        raise DataError(f"{cpi!r} and {kpi!r} were not measured together", advice=nearest(cpi, list(self.cpis)))

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


def measure_units(  # noqa: PLR0913 - a door: everything by name
    tables: Engine,
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
    tables : Engine
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
    trial = Trial(
        experiment=experiment,
        cpis=tuple(cpis),
        kpis=tuple(kpis),
        covariates=tuple(covariates),
        unit=unit,
        assignments=assignments,
    )
    return measure_trials(tables, catalog, [trial], customers=customers, as_of=as_of)[0]


def measure_trials(
    tables: Engine,
    catalog: Catalog,
    trials: Sequence[Trial],
    *,
    customers: str = "customers",
    as_of: str | date | None = None,
) -> tuple[UnitFrame, ...]:
    """Measure several experiments as `measure_units` does one, with one scan of each event table for all of them.

    Parameters
    ----------
    tables : Engine
    catalog : Catalog
    trials : sequence of Trial
    customers : str
        Table of customer attributes, for covariates.
    as_of : str or date, optional
        Last day or moment seen, ISO.

    Returns
    -------
    tuple of UnitFrame
        One a trial, in their order.

    Raises
    ------
    DataError
        As `measure_units`; it names the experiment.
    """
    until = bound(as_of, last=True, where="as_of")
    batches: dict[tuple[str, str, str], list[tuple[int, TrialPlan]]] = {}
    for i, trial in enumerate(trials):
        with _telling(trial):
            plan = plan_trial(tables, catalog, trial, customers)
        batches.setdefault(plan.place, []).append((i, plan))
    found: dict[int, UnitFrame] = {}
    for together in batches.values():
        batch = make_batch([plan for _, plan in together], customers, until)
        audits = audit(tables, tuple({**batch.before, **batch.outcomes}.values()))
        assigned = find_assigned(tables, batch)
        outcomes = measure_outcomes(tables, batch, audits, rows=len(assigned.unit))
        for k, (i, plan) in enumerate(together):
            with _telling(plan.trial):
                found[i] = _unit_frame(tables, plan, batch, audits, _part(assigned, outcomes, k))
    return tuple(found[i] for i in range(len(trials)))


@contextmanager
def _telling(trial: Trial) -> Iterator[None]:
    """Name the experiment in what goes wrong."""
    try:
        yield
    except DataError as error:
        where = ", ".join(part for part in (f"experiment {trial.experiment}", error.where) if part)
        raise DataError(error.found, where=where, advice=error.advice) from error


# -- what was found --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The rows of one trial."""

    frame: dict[str, Array]
    first: dict[str, Array]
    last: dict[str, Array]
    unusable: int
    several: int
    excluded: int


def _part(assigned: Assigned, outcomes: Outcomes, trial: int) -> _Part:
    rows = slice(assigned.bounds[trial], assigned.bounds[trial + 1])
    columns = {"unit": assigned.unit, "arm": assigned.arm, "assigned_at": assigned.assigned_at, **outcomes.values}
    return _Part(
        frame={name: values[rows].copy() for name, values in columns.items()},
        first={name: values[rows] for name, values in outcomes.first.items()},
        last={name: values[rows] for name, values in outcomes.last.items()},
        unusable=int(assigned.unusable[trial]),
        several=int(assigned.several[trial]),
        excluded=int(assigned.excluded[trial]),
    )


def _unit_frame(tables: Engine, plan: TrialPlan, batch: Batch, audits: Sequence[Audit], part: _Part) -> UnitFrame:
    trial = plan.trial
    if not len(part.frame["unit"]):
        raise DataError("every unit of the experiment is in several arms", where=trial.assignments)
    looked = {each.indicator.id: each for each in audits}
    columns = {name: part.frame[name] for name in (*RESERVED, *plan.outcomes, *trial.covariates)}
    unseen = _unseen(plan, columns, looked)
    filled = _fill_before(columns, plan, batch.customers)
    lost = ((trial.assignments, f"without {trial.unit}, arm or time", part.unusable),) if part.unusable else ()
    if part.excluded:
        lost = (*lost, (trial.assignments, f"excluded as planned: {trial.exclude}", part.excluded))
    used = tuple(plan.indicators.values())
    late = count_outside(tables, used, end=batch.as_of)
    arms, counts = np.unique(columns["arm"].astype(str), return_counts=True)
    return UnitFrame(
        frame=pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()}),
        experiment=trial.experiment,
        unit=trial.unit,
        cpis=trial.cpis,
        kpis=trial.kpis,
        covariates=trial.covariates,
        losses=(*lost, *unseen, *count_losses(tables, used), *late, *filled),
        n_assigned={str(arm): int(count) for arm, count in zip(arms, counts, strict=True)},
        n_in_two_arms=part.several,
        n_open=_count_open(plan, columns["assigned_at"], batch.as_of, looked),
        digest=_digest(tables, plan, batch),
        measured_at={name: part.last[name] for name in trial.cpis} | {name: part.first[name] for name in trial.kpis},
        orders=_orders(tables, plan, part),
    )


def _orders(tables: Engine, plan: TrialPlan, part: _Part) -> tuple[Order, ...]:
    pairs = [(cpi, kpi) for cpi in plan.trial.cpis for kpi in plan.trial.kpis]
    recorded = row_orders(tables, plan.indicators, pairs)
    times = {name: (part.first[name], part.last[name]) for name in plan.outcomes}
    return tuple(recorded.get(pair) or order_of_times(pair, times[pair[0]], times[pair[1]]) for pair in pairs)


def _digest(tables: Engine, plan: TrialPlan, batch: Batch) -> str:
    trial, measures = plan.trial, {name: plain(each.measure) for name, each in plan.indicators.items()}
    used = {each.measure.table for each in plan.indicators.values()} | {trial.assignments}
    used |= {batch.customers} if plan.own else set()
    how = {
        "experiment": trial.experiment,
        "unit": trial.unit,
        "as_of": batch.as_of,
        "roles": [trial.cpis, trial.kpis, trial.covariates],
        "exclude": trial.exclude,
    }
    tables_used = {table: tables.digest(table) for table in sorted(used)}
    return digest_of({"tables": tables_used, "measures": measures, "how": how})


def _unseen(plan: TrialPlan, columns: Mapping[str, Array], looked: Mapping[str, Audit]) -> tuple[Loss, ...]:
    """Name the indicators without an event in any window; if that is all of them, the dates do not fit."""
    empty = [name for name in plan.outcomes if _is_empty(columns[name], plan.indicators[name])]
    if len(empty) < len(plan.outcomes):
        return tuple((name, "no event in any window", 0) for name in empty)
    spans = [
        f"{each.measure.table} has events from {day_text(looked[name].first)} to {day_text(looked[name].last)}"
        for name, each in plan.indicators.items()
    ]
    first, last = columns["assigned_at"].min(), columns["assigned_at"].max()
    raise DataError(
        f"no event of the {len(columns['unit']):,} units falls into a window",
        where=plan.trial.assignments,
        advice=f"{'; '.join(dict.fromkeys(spans))}; assignments run from {str(first)[:10]} to {str(last)[:10]}. "
        f"Compare the column {plan.trial.unit!r} in both.",
    )


def _is_empty(values: Array, indicator: Indicator) -> bool:
    return not np.nan_to_num(values).any() if indicator.adds_up else bool(np.isnan(values).all())


def _fill_before(columns: dict[str, Array], plan: TrialPlan, customers: str) -> tuple[Loss, ...]:
    losses: list[Loss] = []
    for name in plan.before:
        values = columns[name]
        lost = np.isnan(values)
        if lost.any():
            mean = float(values[~lost].mean()) if not lost.all() else 0.0
            reason = "filled by the mean of the others" if not lost.all() else "never observed before, set to 0"
            losses.append((name, reason, int(lost.sum())))
            columns[name] = np.where(lost, mean, values)
    for name in plan.own:
        lost_rows = int(missing(columns[name]).sum())
        if lost_rows:
            losses.append((name, f"not known in {customers}", lost_rows))
    return tuple(losses)


def _count_open(plan: TrialPlan, assigned: Array, as_of: str | None, looked: Mapping[str, Audit]) -> int:
    """Units whose longest window was not over at the last moment seen."""
    assigned = assigned.astype("datetime64[us]")
    still_open = np.zeros(len(assigned), dtype=bool)
    for name in plan.outcomes:
        end = np.datetime64(as_of, "us") if as_of else looked[name].last
        length = np.timedelta64(round(plan.indicators[name].measure.window_days * 86_400_000_000), "us")
        still_open |= assigned + length > end
    return int(still_open.sum())
