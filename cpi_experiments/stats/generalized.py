"""Logit and Poisson regression with average marginal effects, guarded against separation.

statsmodels iterates; the covariance follows the one convention of `cpi_experiments.stats.regression`.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.inputs import check_arrays, check_rows, check_variation, root_weights
from cpi_experiments.stats.regression import (
    Floats,
    Solved,
    carriers_of,
    check_cluster,
    covariance_of,
    resolve_variance,
    solve,
    uncenter,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FAMILIES = ("logit", "poisson")
#: A linear predictor beyond this is a fitted chance below 3e-7 (or a count 3 million times the mean): separation.
FARTHEST = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralizedFit:
    """Coefficients and average marginal effects of a logit or Poisson regression.

    Parameters
    ----------
    coefficients : array, shape (k + 1,)
        Log odds or log rates a unit; the constant last.
    covariance : array, shape (k + 1, k + 1)
    effects : array, shape (k,)
        Average over the rows of the change of the expected outcome per unit of each column.
    effect_covariance : array, shape (k, k)
        By the delta method, the columns held fixed.
    df : float
        Degrees of freedom of t.
    n_obs, n_clusters : int
    variance : str
    log_likelihood : float
    carriers : float
        As in `cpi_experiments.stats.regression.Regression`.
    problem : str
        Why there is no answer, empty if there is one; all numbers are NaN then.
    """

    coefficients: Floats
    covariance: Floats
    effects: Floats
    effect_covariance: Floats
    df: float
    n_obs: int
    n_clusters: int
    variance: str
    log_likelihood: float
    carriers: float = math.nan
    problem: str = ""


def generalized(
    outcome: Floats,
    columns: Floats,
    *,
    family: str,
    names: Sequence[str] = (),
    weights: Floats | None = None,
    cluster: Floats | None = None,
    variance: str = "HC1",
) -> GeneralizedFit:
    """Regress a 0/1 outcome (logit) or one that is never negative (Poisson) on columns and a constant.

    ``CR3`` is the linearised jackknife: each cluster's move is one Newton step from the full-sample coefficients.

    Parameters
    ----------
    outcome : array, shape (n,)
    columns : array, shape (n, k)
        Without a constant.
    family : {"logit", "poisson"}
    names : sequence of str
        Names of the outcome and of the columns, for error messages.
    weights, cluster, variance
        As in `cpi_experiments.stats.regression.least_squares`; ``iid`` is maximum likelihood's.

    Raises
    ------
    EstimationError
        If the outcome does not fit the family, or as `least_squares` does.

    References
    ----------
    Wooldridge (2010), Econometric Analysis, ch. 15 and 18. MacKinnon, Nielsen, Webb (2024): linearised jackknife for
    logit.

    Examples
    --------
    >>> x = np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [1.0], [1.0], [1.0]])
    >>> fit = generalized(np.array([0, 0, 0, 1.0, 0, 1, 1, 1]), x, family="logit", variance="iid")
    >>> fit.coefficients.round(4).tolist(), fit.effects.round(4).tolist()
    ([2.1972, -1.0986], [0.412])
    """
    y, x, names = check_arrays(outcome, columns, names)
    check_outcome(y, family, names[0])
    codes = check_cluster(cluster, len(y), variance)
    variance = resolve_variance(variance, codes)
    check_variation(y, x, names)
    check_rows(len(y), x.shape[1] + 1)
    center, scale = x.mean(axis=0), x.std(axis=0)
    design = np.column_stack([(x - center) / scale, np.ones(len(y))])
    solve(y, design, (*names[1:], "the constant"))  # raises if the columns are collinear
    root = root_weights(weights, len(y))
    gamma, log_likelihood, problem = _iterate(y, design, root**2, family)
    eta = design @ gamma
    problem = _separated(eta, y, family) or problem
    if problem:
        return _nothing(len(y), design.shape[1], variance, problem)
    mean, slope, bend = _curve(eta, family)
    solved = _at_solution(y, design, root, gamma, mean, slope)
    covariance, df, n_clusters = _covariance(solved, variance, codes)
    coefficients = gamma / np.append(scale, 1.0)
    coefficients[-1] -= center @ coefficients[:-1]
    effects, delta = _marginal(gamma, design, root**2, slope, bend)
    return GeneralizedFit(
        coefficients=coefficients,
        covariance=uncenter(covariance / np.outer(np.append(scale, 1.0), np.append(scale, 1.0)), center),
        effects=effects / scale,
        effect_covariance=(delta @ covariance @ delta.T) / np.outer(scale, scale),
        df=df,
        n_obs=len(y),
        n_clusters=n_clusters,
        variance=variance,
        log_likelihood=log_likelihood,
        carriers=carriers_of(solved, codes),
    )


def check_outcome(outcome: Floats, family: str, name: str) -> None:
    """Raise unless the outcome suits the family.

    Raises
    ------
    EstimationError
        With the number of values that do not suit.
    """
    if family not in FAMILIES:
        raise EstimationError(f"family {family!r} is not known", advice=f"Known: {', '.join(FAMILIES)}.")
    bad = outcome[~np.isin(outcome, (0.0, 1.0))] if family == "logit" else outcome[outcome < 0]
    if len(bad):
        wanted = "only 0 and 1" if family == "logit" else "no negative values"
        raise EstimationError(
            f"{name} has {len(bad)} of {len(outcome)} values that {family} cannot hold, such as {bad[0]:g}",
            advice=f"{family} needs {wanted}. Use family='gaussian' for other outcomes.",
        )


def _iterate(y: Floats, design: Floats, weights: Floats, family: str) -> tuple[Floats, float, str]:
    """Coefficients, log likelihood and what went wrong in the iterations, if anything."""
    from statsmodels.genmod import families  # noqa: PLC0415 - slow to import, and only these two families need it
    from statsmodels.genmod.generalized_linear_model import GLM  # noqa: PLC0415

    kinds: Any = families  # statsmodels has no types
    model: Any = GLM
    kind = kinds.Binomial() if family == "logit" else kinds.Poisson()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = model(y, design, family=kind, var_weights=weights).fit(
                maxiter=100, tol_criterion="params", tol=1e-11
            )
        except (ValueError, np.linalg.LinAlgError) as error:  # statsmodels raises ValueError on overflow
            return np.full(design.shape[1], np.nan), math.nan, f"the iterations failed ({error})"
        log_likelihood = float(result.llf)
    said = [str(note.message) for note in caught if issubclass(note.category, RuntimeWarning | UserWarning)]
    if not result.converged or said:
        reason = said[0].split(". ")[0].rstrip(".") if said else "no convergence in 100 steps"
        return np.asarray(result.params), log_likelihood, f"the iterations failed ({reason})"
    return np.asarray(result.params), log_likelihood, ""


def _separated(eta: Floats, y: Floats, family: str) -> str:
    middle = 0.0 if family == "logit" else math.log(y.mean())
    far = int(np.sum(np.abs(eta - middle) > FARTHEST))
    if far == 0:
        return ""
    return f"{far} of {len(eta)} rows are fitted without any doubt: a column separates the outcome"


def _curve(eta: Floats, family: str) -> tuple[Floats, Floats, Floats]:
    """Mean of the outcome and its first two derivatives by the linear predictor."""
    if family == "poisson":
        mean = np.exp(eta)
        return mean, mean, mean
    mean = 1 / (1 + np.exp(-eta))
    slope = mean * (1 - mean)
    return mean, slope, slope * (1 - 2 * mean)


def _at_solution(y: Floats, design: Floats, root: Floats, gamma: Floats, mean: Floats, slope: Floats) -> Solved:
    """Write the last Newton step as least squares: its scores and Gram matrix are those of the likelihood."""
    weighted = design * (root * np.sqrt(slope))[:, None]
    inverse = np.linalg.inv(np.linalg.qr(weighted, mode="r"))
    return Solved(
        design=weighted,
        residuals=root * (y - mean) / np.sqrt(slope),
        coefficients=gamma,
        bread=inverse @ inverse.T,
    )


def _covariance(solved: Solved, variance: str, codes: Floats | None) -> tuple[Floats, float, int]:
    n, k = solved.design.shape
    if variance == "iid":
        return solved.bread, float(n - k), 0
    return covariance_of(solved, variance, codes, n_parameters=k)


def _marginal(gamma: Floats, design: Floats, weights: Floats, slope: Floats, bend: Floats) -> tuple[Floats, Floats]:
    """Average marginal effects of the scaled columns, shape (k,), and their gradient, shape (k, k + 1)."""
    average = float(np.average(slope, weights=weights))
    turn = np.average(design * bend[:, None], axis=0, weights=weights)
    k = len(gamma) - 1
    return average * gamma[:k], average * np.eye(k, k + 1) + np.outer(gamma[:k], turn)


def _nothing(n_obs: int, size: int, variance: str, problem: str) -> GeneralizedFit:
    return GeneralizedFit(
        coefficients=np.full(size, np.nan),
        covariance=np.full((size, size), np.nan),
        effects=np.full(size - 1, np.nan),
        effect_covariance=np.full((size - 1, size - 1), np.nan),
        df=math.nan,
        n_obs=n_obs,
        n_clusters=0,
        variance=variance,
        log_likelihood=math.nan,
        problem=problem,
    )
