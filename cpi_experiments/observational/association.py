"""Association of a CPI with a KPI in past data: the door for plain tables.

It may nominate a link, never confirm it: customers who got a better CPI may differ in other ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError, nearest
from cpi_experiments.observational.panel_sums import Found, effects_in_words, slope_from_sums
from cpi_experiments.observational.past_rows import PastRows, Roles, past_rows
from cpi_experiments.observational.slope import (
    Slope,
    as_estimate,
    carriers_check,
    check_carried,
    errors_in_words,
    not_proof,
    rows_used,
    slope_of,
)
from cpi_experiments.stats.fixed_effects import within
from cpi_experiments.stats.regression import least_squares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.estimate import Estimate
    from cpi_experiments.measure.engine import Data

FAMILIES = ("gaussian", "logit", "poisson")


def association(  # noqa: PLR0913 - a door: every argument by name
    data: Data,
    *,
    cpi: str,
    kpi: str,
    controls: Sequence[str] = (),
    unit: str | None = None,
    time: str | None = None,
    family: str = "gaussian",
    cluster: str | None = None,
    weights: str | None = None,
    confidence_level: float = 0.95,
) -> Estimate:
    """Estimate by how much the KPI differs per unit of the CPI in past data.

    Parameters
    ----------
    data : DataFrame, path or glob, DuckDB relation, Spark DataFrame or warehouse table
        One row an observation. Panels with effects of ``unit`` and ``time``, clustered by ``unit``, are estimated from
        sums where they are (frames of 100,000 rows or more, too); otherwise the rows are read.
    cpi, kpi : str
        Numeric columns.
    controls : sequence of str
        Columns held constant; text columns become one indicator a level, compared with the most frequent one.
    unit, time : str, optional
        Columns of units and periods whose fixed effects are held constant (``family="gaussian"`` only).
    family : {"gaussian", "logit", "poisson"}
        Least squares; a 0/1 KPI; a KPI that is never negative, such as revenue with zeros.
    cluster : str, optional
        Column of the groups within which rows may depend on each other; ``unit`` if that is given. Without either the
        errors are robust (HC1). From 6 to 39 clusters the errors are the leave-one-cluster-out jackknife's.
    weights : str, optional
        Column of weights; rows with weight 0 are left out.
    confidence_level : float

    Returns
    -------
    Estimate
        ASSOCIATION: KPI units per +1 raw unit of the CPI; for logit and Poisson the average over the rows of that
        slope. ``failed``, without numbers, if a column separates the outcome; ``weak`` if fewer than six clusters (or
        rows) carry the slope.

    Raises
    ------
    DataError
        If columns are missing or of the wrong kind, or two rows share one unit and period.
    EstimationError
        If nothing can be estimated: collinear, constant or absorbed columns, too few rows or clusters.

    References
    ----------
    Baltagi (2021), Econometric Analysis of Panel Data; Wooldridge (2010), Econometric Analysis, ch. 15 and 18.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"hours": [1.0, 2, 3, 4, 5, 6], "won": [9.0, 8, 8, 6, 5, 5]})
    >>> print(association(rows, cpi="hours", kpi="won"))
    hours -> won: -0.89 (95% CI -1.14 to -0.63), ASSOCIATION.
      6 rows; least squares; robust errors (HC1)
      past data: Past data are not proof that hours causes won; only an experiment
        can confirm the link.
      rows: The slope rests on about 3.5 of 6 rows: the interval may be too short.
        Look at those one by one.
    """
    roles = Roles(
        cpi=cpi,
        kpi=kpi,
        controls=tuple(controls),
        unit=unit or "",
        time=time or "",
        cluster=cluster or unit or "",
        weights=weights or "",
    )
    _check_options(family, roles, confidence_level)
    found = slope_from_sums(data, roles) if family == "gaussian" else None
    if found is None:
        rows = past_rows(data, roles)
        slope = _generalized_slope(rows, family, roles) if family != "gaussian" else _least_squares_slope(rows, roles)
        found = Found(slope=slope, dropped=rows.dropped, n_rows=rows.n_rows)
    slope = found.slope
    return as_estimate(
        slope,
        cpi=cpi,
        kpi=kpi,
        unit=f"{kpi} per 1 {cpi}",
        confidence_level=confidence_level,
        dropped=found.dropped,
        diagnostics=(not_proof(cpi, kpi), rows_used(slope.n_obs, found.n_rows), *carriers_check(slope)),
    )


def _check_options(family: str, roles: Roles, confidence_level: float) -> None:
    if family not in FAMILIES:
        raise EstimationError(f"family {family!r} is not known", advice=nearest(family, list(FAMILIES)))
    if family != "gaussian" and roles.effects:
        effect = roles.effects[0]
        raise EstimationError(
            f"fixed effects of {effect!r} with family={family!r} are not available",
            advice=f"Use family='gaussian', or leave the effects out and give cluster={effect!r}.",
        )
    if not 0 < confidence_level < 1:
        raise EstimationError(f"confidence level {confidence_level} is not between 0 and 1", advice="Such as 0.95.")


def _least_squares_slope(rows: PastRows, roles: Roles) -> Slope:
    variance = "HC1" if rows.cluster is None else "clustered"
    if rows.effects:
        fit = within(
            rows.kpi,
            rows.columns,
            effects=rows.effects,
            names=rows.names,
            weights=rows.weights,
            cluster=rows.cluster,
            variance=variance,
        )
        method = effects_in_words(roles.effects)
    else:
        fit = least_squares(
            rows.kpi,
            rows.columns,
            names=rows.names,
            weights=rows.weights,
            cluster=rows.cluster,
            variance=variance,
        )
        method = "least squares"
    return slope_of(fit, names=rows.names, method=method, cluster_name=roles.cluster)


def _generalized_slope(rows: PastRows, family: str, roles: Roles) -> Slope:
    from cpi_experiments.stats.generalized import generalized  # noqa: PLC0415 - only these families need it

    fit = generalized(
        rows.kpi,
        rows.columns,
        family=family,
        names=rows.names,
        weights=rows.weights,
        cluster=rows.cluster,
        variance="HC1" if rows.cluster is None else "clustered",
    )
    if not fit.problem:
        check_carried(fit.carriers, float(fit.effect_covariance[0, 0]), fit.n_clusters, rows.names[1])
    return Slope(
        value=float(fit.effects[0]),
        std_error=float(np.sqrt(fit.effect_covariance[0, 0])),
        df=fit.df,
        n_obs=fit.n_obs,
        n_clusters=fit.n_clusters,
        method=f"{family}, average slope; {errors_in_words(fit.variance, roles.cluster, fit.n_clusters)}",
        carriers=fit.carriers,
        problem=fit.problem,
    )
