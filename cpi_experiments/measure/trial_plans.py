"""What is asked of experiments: their indicators and covariates, found and put together for one set of queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.errors import DataError, nearest
from cpi_experiments.measure.audit import remembered
from cpi_experiments.measure.events import measures_of
from cpi_experiments.measure.indicators import Indicator, find_indicators, key_sql
from cpi_experiments.measure.trials import PRE, Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.catalog.entities import Catalog, Measure
    from cpi_experiments.measure.engines.source import Engine

RESERVED = ("unit", "arm", "assigned_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is asked of one experiment.

    Parameters
    ----------
    experiment : str
        Value of the column ``experiment`` of the assignments.
    cpis, kpis, covariates : tuple of str
        See `measure_units`.
    unit, assignments : str
        Column of the unit and table of assignments.
    exclude : str
        Filter on the assignments, such as ``kind = 'staff'``: units that meet it are left out.
    """

    experiment: str
    cpis: tuple[str, ...]
    kpis: tuple[str, ...]
    covariates: tuple[str, ...] = ()
    unit: str = "customer_id"
    assignments: str = "assignments"
    exclude: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """A trial with its indicators found.

    Parameters
    ----------
    trial : Trial
    own, before : tuple of str
        Covariates by where they come from: columns of the customers, indicators before the assignment.
    indicators : mapping of id to Indicator
    key : callable
        How the SQL of a unit is written.
    """

    trial: Trial
    own: tuple[str, ...]
    before: tuple[str, ...]
    indicators: Mapping[str, Indicator]
    key: Callable[[str], str]

    @property
    def outcomes(self) -> tuple[str, ...]:
        """CPIs and KPIs."""
        return (*self.trial.cpis, *self.trial.kpis)

    @property
    def place(self) -> tuple[str, str, str]:
        """Plans of one place are measured together: the same unit, table, and way to write a key."""
        return (self.trial.unit, self.trial.assignments, self.key(self.trial.unit))


def plan_trial(tables: Engine, catalog: Catalog, trial: Trial, customers: str) -> TrialPlan:
    """Find the indicators and covariates of a trial.

    Raises
    ------
    DataError
        If a name is taken, named twice, or no covariate; or tables or columns are missing.
    """
    names = [*trial.cpis, *trial.kpis, *trial.covariates]
    for name in names:
        if names.count(name) > 1 or name in RESERVED:
            raise DataError(f"{name!r} is named twice or is taken", advice=f"{RESERVED} are columns of the result.")
    if not (trial.cpis or trial.kpis):
        raise DataError("no CPI and no KPI is named", advice="Name at least one id of the catalog.")
    known = {**catalog.cpis, **catalog.kpis}
    own_columns = tables.columns(customers) if customers in tables.names else {}
    before = tuple(each for each in trial.covariates if each not in own_columns and each.removeprefix(PRE) in known)
    own = tuple(each for each in trial.covariates if each not in before)
    for name in own:
        if name not in own_columns:
            raise DataError(
                f"covariate {name!r} is neither a column of {customers!r} nor pre_ and an id of the catalog",
                advice=nearest(name, [*own_columns, *(f"{PRE}{each}" for each in known)]),
            )
    ids = [*trial.cpis, *trial.kpis, *(each.removeprefix(PRE) for each in before)]
    indicators = _indicators(tables, catalog, ids, trial.unit)
    keys = sorted({(each.measure.table, each.measure.entity) for each in indicators.values()})
    own_keys = [(customers, trial.unit)] if own else []
    return TrialPlan(
        trial=trial,
        own=own,
        before=before,
        indicators=indicators,
        key=key_sql(tables, [*keys, (trial.assignments, trial.unit), *own_keys]),
    )


def _indicators(tables: Engine, catalog: Catalog, ids: Sequence[str], unit: str) -> dict[str, Indicator]:
    """Resolve indicators; each is checked against its table once, however many trials ask for it."""
    wanted = list(dict.fromkeys(ids))
    measures = measures_of(catalog)
    keys = [("indicator", name, measures.get(name), unit) for name in wanted]

    def ask(new: list[tuple[str, str, Measure | None, str]]) -> list[Indicator]:
        return list(find_indicators(tables, catalog, [name for _, name, _, _ in new], unit=unit))

    return dict(zip(wanted, remembered(tables, keys, ask), strict=True))


def make_batch(plans: Sequence[TrialPlan], customers: str, until: str | None) -> Batch:
    """Put plans of one place together."""
    trial = plans[0].trial
    indicators = {name: each for plan in plans for name, each in plan.indicators.items()}
    outcomes = dict.fromkeys(name for plan in plans for name in plan.outcomes)
    before = dict.fromkeys(name.removeprefix(PRE) for plan in plans for name in plan.before)
    return Batch(
        experiments=tuple(plan.trial.experiment for plan in plans),
        excluded=tuple(plan.trial.exclude for plan in plans),
        unit=trial.unit,
        assignments=trial.assignments,
        customers=customers,
        outcomes={name: indicators[name] for name in outcomes},
        before={name: indicators[name] for name in before},
        own=tuple(dict.fromkeys(name for plan in plans for name in plan.own)),
        key=plans[0].key,
        as_of=until,
    )
