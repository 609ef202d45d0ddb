"""The surrogate index: effects on what is known early, translated into an effect on what is known late.

A history knows both: short-term outcomes S, covariates X and the late outcome Y. Least squares of Y on S and X gives
slopes b with their robust covariance V. An experiment knows only what it did to S: effects s with their covariance.
The projected effect on Y is ``b's``; with independent history and experiment its variance is

    b' Cov(s) b  +  s' V s  (+ what earlier projections were off by).

The second part is the model's own error: it does not shrink however large the experiment is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.regression import Regression, least_squares
from cpi_experiments.stats.student import satterthwaite

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = np.ndarray

#: Rows of a history: this many, and this many for every parameter. With uneven errors intervals from 50 rows cover .91.
FEWEST_ROWS, ROWS_EACH = 200, 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurrogateModel:
    """Slopes of the late outcome on p surrogates, given covariates, in a history.

    Parameters
    ----------
    slopes : array, shape (p,)
        Late outcome per unit of each surrogate.
    covariance : array, shape (p, p)
        HC1; with clusters CR1 (40 and more) or the jackknife CR3.
    df : float
        Degrees of freedom of the slopes' t: rows less parameters, or clusters less one.
    r_squared : float
        Share of the late outcome's variance that surrogates and covariates explain together.
    r_squared_surrogates : float
        Share of what covariates leave that the surrogates explain.
    low, high : array, shape (p,)
        Range of each surrogate.
    n_obs, n_clusters : int
        Rows; clusters, 0 without.
    variance : str
    """

    slopes: Floats
    covariance: Floats
    df: float
    r_squared: float
    r_squared_surrogates: float
    low: Floats
    high: Floats
    n_obs: int
    n_clusters: int
    variance: str

    def outside(self, surrogates: Floats) -> float:
        """Share of rows with some surrogate outside the history's range.

        Parameters
        ----------
        surrogates : array, shape (n, p)
        """
        beyond = (surrogates < self.low) | (surrogates > self.high)
        return float(np.mean(np.any(beyond, axis=1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedEffect:
    """Effects of one experiment on a dose and, projected, on a late outcome.

    Parameters
    ----------
    x, y : float
        Effect on the dose; projected effect on the late outcome.
    var_x, var_y, cov : float
    df : float
        Welch-Satterthwaite over the three parts of ``var_y``.
    var_trial, var_model, var_gap : float
        Parts of ``var_y``: noise of the experiment, error of the model, what earlier projections were off by.
    """

    x: float
    y: float
    var_x: float
    var_y: float
    cov: float
    df: float
    var_trial: float
    var_model: float
    var_gap: float


def surrogate_model(
    outcome: Floats,
    surrogates: Floats,
    *,
    covariates: Floats | None = None,
    names: Sequence[str] = (),
    cluster: Floats | None = None,
) -> SurrogateModel:
    """Regress a late outcome on surrogates and covariates.

    Parameters
    ----------
    outcome : array, shape (n,)
    surrogates : array, shape (n, p)
    covariates : array, shape (n, q), optional
    names : sequence of str
        Of outcome, surrogates and covariates, for messages.
    cluster : array, shape (n,), optional
        Labels of related rows.

    Raises
    ------
    EstimationError
        If there are fewer than 200 rows or 20 for each parameter, a column is constant, missing or infinite, columns
        are collinear, or there are fewer than 6 clusters.

    References
    ----------
    Athey, Chetty, Imbens, Kang (2019), NBER working paper 26463 (the surrogate index); Prentice (1989), Statistics in
    Medicine 8 (surrogacy).

    Examples
    --------
    >>> s = np.arange(200.0)[:, None]
    >>> model = surrogate_model(3 + 2 * s[:, 0] + np.tile([-1.0, 1.0], 100), s)
    >>> model.slopes.round(2).tolist(), round(model.r_squared, 4), model.outside(np.array([[5.0], [200.0]]))
    ([2.0], 0.9999, 0.5)
    """
    p = surrogates.shape[1]
    extra = np.zeros((len(outcome), 0)) if covariates is None else covariates
    least = max(FEWEST_ROWS, ROWS_EACH * (p + extra.shape[1] + 1))
    if len(outcome) < least:
        raise EstimationError(
            f"{len(outcome):,} complete rows of history for {p + extra.shape[1] + 1} parameters",
            advice=f"At least {least:,} are needed. Use a longer history, or fewer surrogates and covariates.",
        )
    fit = regress(outcome, np.hstack([surrogates, extra]), names=names, cluster=cluster)
    alone = 1.0
    if extra.shape[1]:
        alone = least_squares(outcome, extra, names=[*names[:1], *names[1 + p :]], variance="iid").unexplained
    return SurrogateModel(
        slopes=fit.coefficients[:p],
        covariance=fit.covariance[:p, :p],
        df=fit.df,
        r_squared=1 - fit.unexplained,
        r_squared_surrogates=1 - fit.unexplained / alone,
        low=surrogates.min(axis=0),
        high=surrogates.max(axis=0),
        n_obs=fit.n_obs,
        n_clusters=fit.n_clusters,
        variance=fit.variance,
    )


def regress(outcome: Floats, columns: Floats, *, names: Sequence[str], cluster: Floats | None) -> Regression:
    """Regress with the covariance of a history: HC1, or clustered.

    Examples
    --------
    >>> fit = regress(np.array([1.0, 3.0, 5.0, 8.0]), np.arange(4.0)[:, None], names=(), cluster=None)
    >>> fit.variance
    'HC1'
    """
    return least_squares(
        outcome, columns, names=names, cluster=cluster, variance="HC1" if cluster is None else "clustered"
    )


def projected_effect(
    model: SurrogateModel, effects: Floats, omega: Floats, *, df: float, gap: float = 0.0, gaps: int = 0
) -> ProjectedEffect:
    """Translate an experiment's effects on surrogates into an effect on the late outcome.

    Parameters
    ----------
    model : SurrogateModel
        From rows that are independent of the experiment.
    effects : array, shape (1 + p,)
        Effect on the dose, then on every surrogate.
    omega : array, shape (1 + p, 1 + p)
        Their sampling covariance.
    df : float
        Degrees of freedom of the experiment's own variance of the index.
    gap : float
        Mean square by which earlier projections missed, see `mean_square_gap`.
    gaps : int
        How many projections it comes from.

    Notes
    -----
    Estimand: the difference of mean late outcomes between the arms, if the surrogates carry all of the effect
    (surrogacy), the history's relation holds in the experiment (comparability), and nothing drives both surrogates and
    late outcome in the history beyond the covariates. Linear in the surrogates, so that no row is predicted. Each
    part is a plug-in estimate that contains the product of the two errors on average, so the sum is a little too large.

    References
    ----------
    Athey, Chetty, Imbens, Kang (2019), NBER working paper 26463; Sobel (1982), Sociological Methodology 13 (delta
    method of a product of coefficients).

    Examples
    --------
    >>> model = SurrogateModel(slopes=np.array([2.0]), covariance=np.array([[0.01]]), df=100.0, r_squared=0.5,
    ...     r_squared_surrogates=0.5, low=np.zeros(1), high=np.ones(1), n_obs=102, n_clusters=0, variance="HC1")
    >>> found = projected_effect(model, np.array([3.0, 1.0]), np.array([[0.04, 0.01], [0.01, 0.02]]), df=500.0)
    >>> found.y, round(found.var_trial, 3), round(found.var_model, 3), round(found.cov, 3)
    (2.0, 0.08, 0.01, 0.02)
    """
    b, s = model.slopes, effects[1:]
    parts = np.array([b @ omega[1:, 1:] @ b, s @ model.covariance @ s, gap])
    freedom = np.array([df, model.df, max(gaps, 1)])
    counted = parts > 0
    return ProjectedEffect(
        x=float(effects[0]),
        y=float(b @ s),
        var_x=float(omega[0, 0]),
        var_y=float(parts.sum()),
        cov=float(omega[0, 1:] @ b),
        df=satterthwaite(parts[counted], freedom[counted]),
        var_trial=float(parts[0]),
        var_model=float(parts[1]),
        var_gap=float(parts[2]),
    )
