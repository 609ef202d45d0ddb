"""The two tables of a projection: a history that knows the KPI, and a trial that does not know it yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import percent
from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.measure.columns import complete_cases, measured, missing
from cpi_experiments.measure.engine import read_columns
from cpi_experiments.randomized.arms import column_name
from cpi_experiments.randomized.trial import check_covariates
from cpi_experiments.stats.inputs import is_constant
from cpi_experiments.stats.moments import Moments
from cpi_experiments.stats.surrogate_checks import LateCheck, late_check
from cpi_experiments.stats.surrogate_index import SurrogateModel, surrogate_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.measure.engine import Data

Array = np.ndarray

#: Share of the trial's customers outside the history's range above which it is said.
MOST_OUTSIDE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Columns by what they are for.

    Parameters
    ----------
    cpi, kpi : str
    surrogates, covariates : tuple of str
    """

    cpi: str
    kpi: str
    surrogates: tuple[str, ...]
    covariates: tuple[str, ...]

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What the lever may have moved: the CPI first, every column once."""
        return tuple(dict.fromkeys([self.cpi, *self.surrogates]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """What a history says.

    Parameters
    ----------
    model : SurrogateModel
    late : LateCheck or None
    shares : bool
        Whether the KPI is a yes/no column.
    units : array or None
        Whose rows they are, where that is known.
    dropped : tuple of (reason, rows)
    """

    model: SurrogateModel
    late: LateCheck | None
    shares: bool
    units: Array | None
    dropped: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Early:
    """What a trial knows early.

    Parameters
    ----------
    surrogates : array, shape (n, p)
        Of the rows in which none is missing.
    units : array or None
    known : int
        Rows whose KPI is known already; it is not used.
    n_obs : int
        Rows of the table.
    """

    surrogates: Array
    units: Array | None
    known: int
    n_obs: int


def checked_roles(cpi: str, kpi: str, surrogates: Sequence[str], covariates: Sequence[str]) -> Roles:
    """Refuse columns in two roles.

    Raises
    ------
    DataError
        Naming the column.
    """
    column_name(cpi)
    column_name(kpi)
    if not surrogates:
        raise DataError(
            "no surrogate is named", advice="Name what customers did soon after, such as surrogates=['visits']."
        )
    if kpi in (cpi, *surrogates):
        role = "the CPI" if kpi == cpi else "a surrogate"
        raise DataError(f"column {kpi!r} is the KPI and {role}", advice="What is projected cannot project itself.")
    check_covariates(covariates, [cpi, kpi, *surrogates])
    return Roles(cpi=cpi, kpi=kpi, surrogates=tuple(dict.fromkeys(surrogates)), covariates=tuple(covariates))


def read_early(trial: Data | Moments, roles: Roles, *, arm: str, unit: str | None) -> Early:
    """Read what the trial knows early, and refuse a trial whose KPI is known.

    Raises
    ------
    DataError
        If the trial is given as moments, a column is missing, or a surrogate is constant.
    DesignError
        If the KPI is known for every unit that has an arm.
    """
    if isinstance(trial, Moments):
        raise DataError("moments hold no rows, and a projection looks at the surrogates' range", where="trial",
                        advice="Give the table they come from.")  # fmt: skip
    named = [arm, *roles.outcomes, *roles.covariates, *([unit] if unit else [])]
    table = _read(trial, named, where="trial", optional=[roles.kpi])
    values = {name: measured(table, name) for name in roles.surrogates}
    _check_constant(values, where="trial")
    assigned = ~missing(table[arm])
    known = 0
    if roles.kpi in table:
        known = int(np.sum(~missing(table[roles.kpi]) & assigned))
        if known and known == int(assigned.sum()):
            raise DesignError(
                f"KPI {roles.kpi!r} is known for all {known:,} customers of the trial",
                advice="Nothing has to be projected: use link_effect.",
            )
    whole = complete_cases(values)[0]
    return Early(
        surrogates=np.column_stack([values[name][whole] for name in roles.surrogates]),
        units=table[unit] if unit else None,
        known=known,
        n_obs=len(assigned),
    )


def read_history(
    history: Data | Moments,
    roles: Roles,
    *,
    cluster: str | None,
    perhaps: str | None,
    time: str | None,
    unit: str | None,
    confidence_level: float,
) -> History:
    """Read a history and regress the KPI on surrogates and covariates.

    Parameters
    ----------
    history : table of any kind
    roles : Roles
    cluster, time : str, optional
        Columns that must be there.
    perhaps, unit : str, optional
        Cluster, where none is named, and units, if these columns are there.
    confidence_level : float
        Of the check on the later part.

    Raises
    ------
    DataError, EstimationError
        If columns are missing or constant, or rows or clusters are too few.
    """
    if isinstance(history, Moments):
        raise DataError("moments hold no rows, and the history's regression needs them", where="history",
                        advice="Give the table they come from.")  # fmt: skip
    numbers = [roles.kpi, *roles.surrogates, *roles.covariates]
    keys = [name for name in (cluster, time) if name]
    optional = [name for name in (None if cluster else perhaps, unit) if name]
    table = _read(history, [*numbers, *keys], where="history", optional=optional)
    values = {name: measured(table, name) for name in numbers}
    cluster = cluster or (perhaps if perhaps in table else None)
    wanted = {name: table[name] for name in (cluster, time) if name}
    keep, dropped = complete_cases({**values, **wanted})
    if not keep.any():
        lost = "; ".join(f"{count:,} {reason}" for reason, count in dropped)
        raise DataError("no complete row is left", where="history", advice=f"Rows not used: {lost}.")
    values = {name: each[keep] for name, each in values.items()}
    _check_constant(values, where="history")
    columns = {
        "covariates": np.column_stack([values[name] for name in roles.covariates]) if roles.covariates else None,
        "cluster": table[cluster][keep] if cluster else None,
    }
    outcome, surrogates = values[roles.kpi], np.column_stack([values[name] for name in roles.surrogates])
    late = None
    if time:
        late = late_check(
            outcome, surrogates, table[time][keep], names=numbers, confidence_level=confidence_level, **columns
        )
    return History(
        model=surrogate_model(outcome, surrogates, names=numbers, **columns),
        late=late,
        shares=bool(np.all((outcome == 0) | (outcome == 1))),
        units=table[unit][keep] if unit and unit in table else None,
        dropped=tuple((f"of the history {reason}", count) for reason, count in dropped),
    )


def _read(data: Data, columns: Sequence[str], *, where: str, optional: Sequence[str]) -> dict[str, Array]:
    try:
        return read_columns(data, list(dict.fromkeys(columns)), optional=optional)
    except DataError as error:
        raise DataError(error.found, where=f"{where} ({error.where})", advice=error.advice) from None


def _check_constant(values: Mapping[str, Array], *, where: str) -> None:
    for name, column in values.items():
        known = column[~np.isnan(column)]
        if not len(known):
            raise DataError(f"column {name!r} is missing in every row", where=where, advice="Use another column.")
        if is_constant(known):
            raise DataError(
                f"column {name!r} is constant ({known[0]:g} in all {len(known):,} rows)",
                where=where,
                advice="What does not vary says nothing about the KPI. Leave it out.",
            )


def table_notes(roles: Roles, early: Early, past: History) -> tuple[Diagnostic, ...]:
    """Say what can be checked by comparing the two tables.

    Returns
    -------
    tuple of Diagnostic
        Support, stability over time, customers in both tables, and a KPI that is known in part.
    """
    outside = past.model.outside(early.surrogates)
    support = Diagnostic(
        name="support",
        null="the trial's customers lie within the history's range",
        statistic=outside,
        passed=outside <= MOST_OUTSIDE,
        advice=""
        if outside <= MOST_OUTSIDE
        else f"{percent(outside, 1)} of the trial's customers have a surrogate that the history never saw: for them "
        "the straight line is continued, and nothing tells whether it holds.",
    )
    return (support, *_stable(past.late), *_in_both(early, past), *_known(roles, early))


def _stable(late: LateCheck | None) -> tuple[Diagnostic, ...]:
    if late is None:
        return ()
    passed = late.ci_low <= 1 <= late.ci_high
    advice = (
        f"In the last {late.n_late:,} rows of the history the surrogates count for {late.slope:.2f} of what they did "
        "before: what holds in the trial is not sure. Use a later history."
    )
    return (
        Diagnostic(
            name="stability",
            null="the surrogates count for as much late in the history as before",
            statistic=late.slope,
            passed=passed,
            advice="" if passed else advice,
        ),
    )


def _in_both(early: Early, past: History) -> tuple[Diagnostic, ...]:
    if early.units is None or past.units is None:
        return ()
    mine, theirs = (set(units[~missing(units)].tolist()) for units in (early.units, past.units))
    both = len(mine & theirs)
    advice = (
        f"{both:,} of the trial's {len(mine):,} customers are in the history too: its error and the trial's are not "
        "independent, as the variance takes them to be. Leave them out of the history."
    )
    return (
        Diagnostic(
            name="same customers",
            null="history and trial are of different customers",
            statistic=float(both),
            passed=not both,
            advice=advice if both else "",
        ),
    )


def _known(roles: Roles, early: Early) -> tuple[Diagnostic, ...]:
    if not early.known:
        return ()
    advice = (
        f"{roles.kpi} is known already for {early.known:,} of {early.n_obs:,} customers: this is not used, because who "
        "is known early is no random choice."
    )
    null = "the KPI is known for nobody yet"
    return (Diagnostic(name="KPI known in part", null=null, statistic=float(early.known), passed=False, advice=advice),)
