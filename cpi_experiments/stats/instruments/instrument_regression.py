"""Instruments in a regression: their effects on both outcomes with covariates, and two-stage least squares by rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.inputs import check_rows
from cpi_experiments.stats.instruments.several_instruments import JointEffects
from cpi_experiments.stats.regression import (
    Solved,
    check_cluster,
    cluster_meat,
    covariance_of,
    delete_one,
    jackknife,
    resolve_variance,
    small_sample,
    solve,
)
from cpi_experiments.stats.tails import chi_squared_tail

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = np.ndarray

#: Residuals below this share of what varies are rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentEffects:
    """Effects of K instruments on a cause and an outcome, covariates held fixed.

    Parameters
    ----------
    joint : JointEffects
    n_obs, n_parameters, n_clusters : int
        Rows, parameters of each regression, clusters (0 if not clustered).
    variance : str
        Resolved: iid, HC1, CR1 or CR3.
    """

    joint: JointEffects
    n_obs: int
    n_parameters: int
    n_clusters: int
    variance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoStage:
    """Two-stage least squares.

    Parameters
    ----------
    coefficients : array, shape (m,)
        Of the causes.
    covariance : array, shape (m, m)
        With the small-sample factor of `cpi_experiments.stats.regression`.
    df : float
    misfit, p_value : float
        Sargan's statistic (equal error variance) and its p-value; NaN with as many instruments as causes.
    n_obs : int
    """

    coefficients: Floats
    covariance: Floats
    df: float
    misfit: float
    p_value: float
    n_obs: int

    @property
    def std_errors(self) -> Floats:
        """Square roots of the variances, shape (m,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


def instrument_effects(
    cause: Floats,
    outcome: Floats,
    instruments: Floats,
    *,
    covariates: Floats | None = None,
    names: Sequence[str] = (),
    cluster: Floats | None = None,
    variance: str = "HC1",
) -> InstrumentEffects:
    """Regress a cause and an outcome on instruments, covariates and a constant, with the joint covariance of both.

    The ratio of the two effects of one instrument is two-stage least squares with the covariates in both stages
    (Frisch, Waugh, Lovell), and its delta-method error with ``iid`` or ``HC1`` that of two-stage least squares.

    Parameters
    ----------
    cause, outcome : array, shape (n,)
        Without missing values.
    instruments : array, shape (n, K)
    covariates : array, shape (n, q), optional
    names : sequence of str
        Of the instruments and the covariates, for messages.
    cluster : array, shape (n,), optional
    variance : {"HC1", "iid", "CR1", "CR3", "clustered"}

    Raises
    ------
    EstimationError
        If columns are collinear or constant, there are too few rows or clusters, or a jackknife does not exist.

    References
    ----------
    Angrist, Pischke (2009), Mostly Harmless Econometrics, section 4.1.

    Examples
    --------
    >>> z = np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> found = instrument_effects(np.array([1.0, 2.0, 3.0, 5.0]), np.array([2.0, 3.0, 5.0, 9.0]), z)
    >>> found.joint.first.round(6).tolist(), found.joint.reduced.round(6).tolist()
    ([2.5], [4.5])
    """
    codes = check_cluster(cluster, len(outcome), variance)
    variance = resolve_variance(variance, codes)
    design, labels = _design(instruments, covariates, names)
    check_rows(len(outcome), design.shape[1])
    count = instruments.shape[1]
    fits = [_solved(values, design, labels) for values in (cause, outcome)]
    omega, df = _joint_covariance(fits, count, variance, codes)
    return InstrumentEffects(
        joint=JointEffects(
            first=fits[0].coefficients[:count],
            reduced=fits[1].coefficients[:count],
            omega=omega,
            weights=np.linalg.inv(fits[0].bread[:count, :count]) / len(outcome),
            df=df,
        ),
        n_obs=len(outcome),
        n_parameters=design.shape[1],
        n_clusters=0 if codes is None else int(codes.max()) + 1,
        variance=variance,
    )


def _design(first: Floats, others: Floats | None, names: Sequence[str]) -> tuple[Floats, list[str]]:
    """Centre the columns and add the constant."""
    columns = first if others is None else np.hstack([first, others])
    labels = [*(names or [f"column {j}" for j in range(columns.shape[1])]), "the constant"]
    centred = columns - columns.mean(axis=0)
    flat = np.flatnonzero(np.abs(centred).max(axis=0) <= _ROUNDING * np.abs(columns).max(axis=0))
    if len(flat):
        raise EstimationError(f"{labels[int(flat[0])]} is constant", advice="Leave it out: it explains nothing.")
    return np.column_stack([centred, np.ones(len(columns))]), labels


def _solved(values: Floats, design: Floats, labels: Sequence[str]) -> Solved:
    centred = values - values.mean()
    found = solve(centred, design, labels)
    size = math.sqrt(float(centred @ centred)) + _ROUNDING * float(np.abs(values).max()) * math.sqrt(len(values))
    if math.sqrt(float(found.residuals @ found.residuals)) > _ROUNDING * size:
        return found
    zero = np.zeros(len(values))
    return Solved(design=found.design, residuals=zero, coefficients=found.coefficients, bread=found.bread)


def _joint_covariance(fits: list[Solved], count: int, variance: str, codes: Floats | None) -> tuple[Floats, float]:
    """Covariance of the instruments' effects on both outcomes, shape (2K, 2K), and its degrees of freedom."""
    n, parameters = fits[0].design.shape
    if variance == "iid":
        residuals = np.stack([fit.residuals for fit in fits])
        noise = residuals @ residuals.T / (n - parameters)
        return np.kron(noise, fits[0].bread[:count, :count]), float(n - parameters)
    if variance == "CR3" and codes is not None:
        moves = np.hstack([delete_one(fit, codes)[:, :count] for fit in fits])
        if np.isnan(moves).any():
            raise EstimationError(
                "an effect cannot be estimated without one of the clusters",
                advice="Use fewer covariates or strata, or clusters that all hold several arms.",
            )
        return jackknife(moves), float(len(moves) - 1)
    project = fits[0].design @ fits[0].bread[:, :count]
    scores = np.hstack([project * fit.residuals[:, None] for fit in fits])
    if codes is None:
        return scores.T @ scores * (n / (n - parameters)), float(n - parameters)
    n_clusters = int(codes.max()) + 1
    return cluster_meat(scores, codes) * small_sample(n, parameters, n_clusters), float(n_clusters - 1)


def two_stage_least_squares(
    outcome: Floats,
    causes: Floats,
    instruments: Floats,
    *,
    covariates: Floats | None = None,
    names: Sequence[str] = (),
    cluster: Floats | None = None,
    variance: str = "iid",
) -> TwoStage:
    """Two-stage least squares of an outcome on m causes with K >= m instruments of any kind, covariates in both stages.

    Parameters
    ----------
    outcome : array, shape (n,)
    causes : array, shape (n, m)
    instruments : array, shape (n, K)
    covariates : array, shape (n, q), optional
    names : sequence of str
        Of the instruments and the covariates, for messages.
    cluster : array, shape (n,), optional
    variance : {"iid", "HC1", "CR1", "CR3", "clustered"}

    Raises
    ------
    EstimationError
        If there are fewer instruments than causes, columns are collinear, or there are too few rows.

    References
    ----------
    Sargan (1958), Econometrica 26; Wooldridge (2010), Econometric Analysis, chapter 5.

    Examples
    --------
    >>> z = np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> cause, outcome = np.array([[1.0], [2.0], [3.0], [5.0]]), np.array([2.0, 3.0, 5.0, 9.0])
    >>> two_stage_least_squares(outcome, cause, z).coefficients.round(6).tolist()
    [1.8]
    """
    m, count = causes.shape[1], instruments.shape[1]
    if count < m:
        raise EstimationError(f"{count} instruments for {m} causes", advice="Every cause needs an instrument.")
    codes = check_cluster(cluster, len(outcome), variance)
    variance = resolve_variance(variance, codes)
    design, labels = _design(instruments, covariates, names)
    check_rows(len(outcome), design.shape[1])
    fitted = np.column_stack([each - _solved(each, design, labels).residuals for each in causes.T])
    own = design[:, count:]
    cause_names = [f"cause {j + 1} as the instruments predict it" for j in range(m)]
    second = solve(outcome - outcome.mean(), np.hstack([fitted - fitted.mean(axis=0), own]), [*cause_names, *labels])
    shifted = np.hstack([causes - causes.mean(axis=0), own])
    structural = outcome - outcome.mean() - shifted @ second.coefficients
    solved = Solved(design=second.design, residuals=structural, coefficients=second.coefficients, bread=second.bread)
    covariance, df, _ = covariance_of(solved, variance, codes, n_parameters=second.design.shape[1])
    misfit = math.nan
    if count > m:
        explained = structural - _solved(structural, design, labels).residuals
        misfit = len(outcome) * float(explained @ explained) / float(structural @ structural)
    return TwoStage(
        coefficients=second.coefficients[:m],
        covariance=covariance[:m, :m],
        df=df,
        misfit=misfit,
        p_value=chi_squared_tail(misfit, count - m) if count > m else math.nan,
        n_obs=len(outcome),
    )
