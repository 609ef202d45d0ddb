"""Re-randomisation: draw assignments until the arms are alike in what is known about them, within a stated limit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError, DesignError, EstimationError
from cpi_experiments.randomized.arms import names_of
from cpi_experiments.randomized.assigning.assignment import Assignment, kept_units, roster
from cpi_experiments.randomized.assigning.covariates import Columns, as_columns
from cpi_experiments.randomized.assigning.stratified import deal, strata_of
from cpi_experiments.stats.balance import Whitened, arm_sums, joint_distance, standardised_differences, whiten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.assigning.holdout import Holdout
    from cpi_experiments.randomized.experiment import Experiment

Array = np.ndarray
#: Name of the method.
RERANDOMISED = "re-randomised"
#: With this many times the expected tries, all of them fail once in 5e8.
_PATIENCE = 20
_TRIES_FOR_DIFFERENCES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a draw must satisfy.

    Parameters
    ----------
    kind : str
        ``distance`` (joint, Mahalanobis) or ``largest difference`` (standardised, of any covariate and arm).
    most : float
    tries : int
    """

    kind: str
    most: float
    tries: int


def assign_balanced(  # noqa: PLR0913 - a door: the roles of columns and the limits, each named
    experiment: Experiment,
    data: Data,
    *,
    unit: str,
    covariates: Sequence[str],
    acceptance: float | None = None,
    largest_difference: float | None = None,
    strata: str | Sequence[str] = (),
    holdout: Holdout | None = None,
    salt: str | None = None,
    max_tries: int | None = None,
) -> Assignment:
    """Assign all units at once, again and again with another salt, until covariates are balanced.

    Draw number k deals the arms in their exact shares (within strata, if any) under the salt ``salt#k``, k = 0, 1, ...;
    the first that keeps the limit is taken. Every analysis must adjust for these covariates (CUPED): without that its
    intervals are wider than they need be, because they ignore the balance that was bought here.

    Parameters
    ----------
    experiment : Experiment
    data : DataFrame, path, relation, Spark DataFrame or warehouse table
        One row a unit.
    unit : str
        Column of the ids.
    covariates : sequence of str
        Numbers or texts known before the start; texts count by their levels, missing values are balanced too.
    acceptance : float, optional
        Share of all draws that is good enough, by the joint (Mahalanobis) distance of the arms' means; 0.05 by default.
    largest_difference : float, optional
        Instead: the largest standardised mean difference between an arm and the control that is allowed.
    strata, holdout, salt
        As in `assign_stratified`.
    max_tries : int, optional
        20 / acceptance by default; 2,000 with `largest_difference`.

    Raises
    ------
    DesignError
        If both limits are given, one is out of range, no covariate varies, or no draw kept it: the best is named.
    DataError
        If a unit has several rows, or an id or a stratum is missing.

    References
    ----------
    Morgan and Rubin (2012), Annals of Statistics 40; Li, Ding and Rubin (2018), PNAS 115 (analysis).

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.randomized.experiment import Experiment
    >>> trial = Experiment(id="demo", lever="auto_quote", control="manual", allocation={"manual": 1, "auto": 1},
    ...                    hypotheses=(), randomize="customer_id", start="2026-01-01", end="2026-03-31")
    >>> table = pd.DataFrame({"customer_id": range(100), "orders": [(7 * j) % 31 for j in range(100)]})
    >>> found = assign_balanced(trial, table, unit="customer_id", covariates=["orders"], acceptance=0.1)
    >>> found.counts(), found.details["distance"] <= found.details["limit"]
    ({'manual': 50, 'auto': 50}, True)
    """
    salt = experiment.id if salt is None else salt
    of_unit, columns = _read(data, unit=unit, covariates=covariates, strata=names_of(strata))
    kept, held = kept_units(of_unit, holdout=holdout, salt=salt)
    place = {name: j for j, name in enumerate(of_unit)}
    columns = Columns(
        names=columns.names, values=columns.values[[place[name] for name in kept]], missing=columns.missing
    )
    white = _whitened(columns)
    df = white.rank * (len(experiment.allocation) - 1)
    limit = _limit(acceptance, largest_difference, max_tries, df=df)
    labels = [of_unit[name] for name in kept]
    salt, arms, details = _search(kept, labels, experiment, salt=salt, limit=limit, columns=columns, white=white)
    return Assignment(
        experiment=experiment.id,
        salt=salt,
        arms=arms,
        allocation=dict(experiment.allocation),
        method=RERANDOMISED,
        strata=dict(zip(kept, labels, strict=True)) if names_of(strata) else None,
        held_out=held,
        details={
            **details,
            "df": df,
            "covariates": ", ".join(dict.fromkeys(covariates)),
            "advice": _advice(covariates),
        },
    )


def _advice(covariates: Sequence[str]) -> str:
    return (
        f"Drawn until balanced: analyse with the covariates {', '.join(dict.fromkeys(covariates))}; without them the "
        "intervals are wider than they need be."
    )


def _read(data: Data, *, unit: str, covariates: Sequence[str], strata: Sequence[str]) -> tuple[dict[str, str], Columns]:
    ids, table = roster(data, unit=unit, columns=[*covariates, *strata])
    of_unit = strata_of(ids, {name: table[name] for name in strata})
    if len(of_unit) != len(ids):
        raise DataError(
            f"{len(ids):,} rows hold {len(of_unit):,} units: a unit has several",
            where=f"column {unit!r}",
            advice="Give one row a unit, so that each has one value of every covariate.",
        )
    return of_unit, as_columns(table, covariates)


def _whitened(columns: Columns) -> Whitened:
    try:
        return whiten(columns.filled())
    except EstimationError:
        raise DesignError(
            f"no covariate varies among {len(columns.values):,} units: {', '.join(columns.names)}",
            advice="Use `assign` or `assign_stratified`, or other covariates.",
        ) from None


def _limit(acceptance: float | None, largest: float | None, tries: int | None, *, df: int) -> Limit:
    if acceptance is not None and largest is not None:
        raise DesignError("two limits are given", advice="Give `acceptance` or `largest_difference`, not both.")
    if tries is not None and tries < 1:
        raise DesignError(f"max_tries is {tries}", advice="At least 1.")
    if largest is not None:
        if not (largest > 0 and math.isfinite(largest)):
            raise DesignError(f"largest_difference is {largest:g}", advice="A number above 0, such as 0.1.")
        return Limit(kind="largest difference", most=largest, tries=tries or _TRIES_FOR_DIFFERENCES)
    acceptance = 0.05 if acceptance is None else acceptance
    if not 0 < acceptance < 1:
        raise DesignError(f"acceptance is {acceptance:g}", advice="A share of draws: above 0 and below 1.")
    from scipy import special  # noqa: PLC0415 - its import takes longer than everything else here

    most = float(special.chdtri(df, 1 - acceptance))
    return Limit(kind="distance", most=most, tries=tries or math.ceil(_PATIENCE / acceptance))


def _search(
    units: Sequence[str],
    strata: Sequence[str],
    experiment: Experiment,
    *,
    salt: str,
    limit: Limit,
    columns: Columns,
    white: Whitened,
) -> tuple[str, dict[str, str], dict[str, str | int | float]]:
    order = [experiment.control, *experiment.treatments]
    code = {arm: j for j, arm in enumerate(order)}
    best = math.inf
    for k in range(limit.tries):
        drawn = f"{salt}#{k}"
        arms = deal(units, strata, experiment.allocation, salt=drawn)
        arm = np.array([code[arms[name]] for name in units])
        found = _distances(columns, white, arm, len(order), kind=limit.kind)
        if found[limit.kind] <= limit.most:
            details = {key.replace(" ", "_"): value for key, value in found.items()}
            return drawn, arms, {"tries": k + 1, "limit_of": limit.kind, "limit": limit.most, **details}
        best = min(best, found[limit.kind])
    raise DesignError(
        f"none of {limit.tries:,} draws keeps the {limit.kind} within {limit.most:.4g}; the best has {best:.4g}",
        advice="Allow more, use fewer covariates, stratify, or give more tries.",
    )


def _distances(columns: Columns, white: Whitened, arm: Array, arms: int, *, kind: str) -> Mapping[str, float]:
    distance = {"distance": joint_distance(white, arm, arms)}
    if kind == "distance":
        return distance
    differences = standardised_differences(arm_sums(columns.values, arm, arms))[0]
    return {**distance, "largest difference": float(np.max(np.nan_to_num(np.abs(differences), nan=math.inf)))}
