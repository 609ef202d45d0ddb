"""From a regression to an ASSOCIATION estimate: the slope of the CPI, its interval and what to watch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.errors import EstimationError
from cpi_experiments.estimate import Diagnostic, Estimand, Estimate, Status
from cpi_experiments.stats import student
from cpi_experiments.stats.regression import FEWEST_CLUSTERS, MANY_CLUSTERS, Regression

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """The slope of the CPI, whichever regression gave it; NaN with a ``problem`` if none could."""

    value: float
    std_error: float
    df: float
    n_obs: int
    n_clusters: int
    method: str
    carriers: float = math.nan
    singletons: int = 0
    problem: str = ""


def slope_of(fit: Regression, *, names: Sequence[str], method: str, cluster_name: str) -> Slope:
    """Take the slope of the first column out of a regression, or raise if it means nothing.

    Raises
    ------
    EstimationError
        If the outcome is fitted exactly, or the slope rests on one cluster alone.
    """
    if fit.unexplained < 1e-14:
        raise EstimationError(
            f"{names[0]} is an exact combination of {', '.join(names[1:4])}: the same thing is measured twice",
            advice="A CPI must not be computed from the KPI. Look at how both are defined.",
        )
    check_carried(fit.carriers, float(fit.covariance[0, 0]), fit.n_clusters, names[1])
    return Slope(
        value=float(fit.coefficients[0]),
        std_error=float(fit.std_errors[0]),
        df=fit.df,
        n_obs=fit.n_obs,
        n_clusters=fit.n_clusters,
        method=f"{method}; {errors_in_words(fit.variance, cluster_name, fit.n_clusters)}",
        carriers=fit.carriers,
        singletons=fit.singletons,
    )


def check_carried(carriers: float, variance: float, n_clusters: int, name: str) -> None:
    """Raise if a slope rests on one cluster or row: its robust error would be near zero, or does not exist.

    Raises
    ------
    EstimationError
        If fewer than two clusters (rows, without clusters) carry the slope, or the jackknife does not exist.
    """
    if carriers >= 2 and variance > 0:
        return
    kind = f"{n_clusters:,} clusters" if n_clusters else "rows"
    raise EstimationError(
        f"the slope of {name} rests on about {carriers:.1f} of the {kind}: no standard error can be trusted",
        advice="Use data in which it varies in more of them; leave out controls that occur in one only.",
    )


def errors_in_words(variance: str, cluster_name: str, n_clusters: int) -> str:
    """Name the covariance for the method line."""
    kind = {
        "HC1": "robust errors (HC1)",
        "CR1": f"errors clustered by {cluster_name} ({n_clusters:,} clusters, CR1, t with G - 1 df)",
        "CR3": f"errors by leaving out one {cluster_name} at a time ({n_clusters} clusters, CR3, t with G - 1 df)",
    }
    return kind[variance]


def as_estimate(
    slope: Slope,
    *,
    cpi: str,
    kpi: str,
    unit: str,
    confidence_level: float,
    dropped: tuple[tuple[str, int], ...],
    diagnostics: tuple[Diagnostic, ...],
) -> Estimate:
    """Fill an ASSOCIATION estimate from a slope; a slope with a problem becomes a failed one, without numbers.

    A slope that fewer than six clusters (or rows) carry is weak.
    """
    low, high = student.interval(slope.value, slope.std_error, slope.df, confidence_level=confidence_level)
    if slope.singletons:
        dropped = (*dropped, ("the only row of its unit or period", slope.singletons))
    if slope.problem:
        diagnostics = (*diagnostics, _separation(slope.problem))
    return Estimate(
        cause=cpi,
        outcome=kpi,
        estimand=Estimand.ASSOCIATION,
        value=slope.value,
        std_error=slope.std_error,
        ci_low=low,
        ci_high=high,
        p_value=student.p_value(slope.value / slope.std_error, slope.df),
        unit=unit,
        n_obs=slope.n_obs,
        method=slope.method,
        confidence_level=confidence_level,
        df=slope.df,
        n_clusters=slope.n_clusters,
        dropped=dropped,
        diagnostics=diagnostics,
        status=_status(slope),
    )


def _status(slope: Slope) -> Status:
    if slope.problem:
        return Status.FAILED
    return Status.WEAK if _few_carry(slope) else Status.OK


def not_proof(cpi: str, kpi: str) -> Diagnostic:
    """Say that past data are no proof; always watched, never passed."""
    return Diagnostic(
        name="past data",
        null=f"nothing else moves {cpi} and {kpi} together",
        passed=False,
        advice=f"Past data are not proof that {cpi} causes {kpi}; only an experiment can confirm the link.",
    )


def rows_used(n_used: int, n_rows: int) -> Diagnostic:
    """Say whether at least half of the rows could be used."""
    enough = 2 * n_used >= n_rows
    return Diagnostic(
        name="rows used",
        null="rows that could not be used are like the others",
        statistic=n_used / n_rows,
        passed=enough,
        advice="" if enough else f"{n_used:,} of {n_rows:,} rows used: find out why so many are lost.",
    )


def carriers_check(slope: Slope) -> tuple[Diagnostic, ...]:
    """Say whether many clusters, or rows without clusters, carry the slope; nothing for a slope with a problem."""
    if slope.problem:
        return ()
    kind = "clusters" if slope.n_clusters else "rows"
    advice = []
    if 0 < slope.n_clusters < MANY_CLUSTERS:
        advice.append(f"{slope.n_clusters} clusters are few: the interval is the jackknife's, made for that.")
    if _few_carry(slope):
        of = slope.n_clusters or slope.n_obs
        advice.append(
            f"The slope rests on about {slope.carriers:.1f} of {of:,} {kind}: the interval may be too short. "
            "Look at those one by one."
        )
    return (
        Diagnostic(
            name=kind,
            null=f"many {kind} carry the slope",
            statistic=slope.carriers,
            passed=not advice,
            advice=" ".join(advice),
        ),
    )


def _few_carry(slope: Slope) -> bool:
    return slope.carriers < FEWEST_CLUSTERS


def _separation(problem: str) -> Diagnostic:
    return Diagnostic(
        name="separation",
        null="no column tells the outcome exactly",
        passed=False,
        advice=f"No estimate: {problem}. Leave that column out, merge rare levels, or use family='gaussian'.",
        blocks=True,
    )
