"""What can be checked of a surrogate index: whether it held later in the history, and whether others came true."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtri

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.inputs import is_constant
from cpi_experiments.stats.student import quantile, satterthwaite
from cpi_experiments.stats.surrogate_index import FEWEST_ROWS, ROWS_EACH, regress

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = np.ndarray

#: The last part of the history that an earlier model has to predict.
LATE_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LateCheck:
    """How well a model of the earlier rows predicts the later ones.

    Parameters
    ----------
    slope, ci_low, ci_high : float
        Regression of the late outcome on its prediction in the later rows; 1 if the surrogates count for as much as
        before. The interval holds the error of both models.
    r_squared : float
        1 - squared prediction errors over squared deviations from the later rows' mean; below 0 if the prediction is
        worse than that mean.
    error, bias : float
        Root mean squared prediction error, and its mean (observed less predicted), in units of the late outcome.
    n_early, n_late : int
    """

    slope: float
    ci_low: float
    ci_high: float
    r_squared: float
    error: float
    bias: float
    n_early: int
    n_late: int


def late_check(
    outcome: Floats,
    surrogates: Floats,
    time: Floats,
    *,
    covariates: Floats | None = None,
    names: Sequence[str] = (),
    cluster: Floats | None = None,
    confidence_level: float = 0.95,
) -> LateCheck | None:
    """Predict the last fifth of a history from the rows before it.

    Parameters
    ----------
    outcome, surrogates, covariates, names, cluster
        As in `cpi_experiments.stats.surrogate_index.surrogate_model`.
    time : array, shape (n,)
        Anything that can be sorted; rows of one time stay together.
    confidence_level : float

    Returns
    -------
    LateCheck, or None if either part has too few rows or its columns do not vary.

    Examples
    --------
    >>> s = np.tile(np.arange(10.0), 60)[:, None]
    >>> y = 3 + 2 * s[:, 0] + np.tile([-1.0, 1.0, 1.0, -1.0], 150)
    >>> found = late_check(y, s, np.repeat(np.arange(20), 30))
    >>> round(found.slope, 2), found.n_early, found.n_late
    (1.0, 480, 120)
    """
    extra = np.zeros((len(outcome), 0)) if covariates is None else covariates
    order = np.unique(time, return_inverse=True)[1]
    late = order >= np.sort(order)[math.floor((1 - LATE_SHARE) * len(order))]
    sides = [(outcome[rows], surrogates[rows], extra[rows], None if cluster is None else cluster[rows])
             for rows in (~late, late)]  # fmt: skip
    least = max(FEWEST_ROWS // 2, ROWS_EACH // 2 * (surrogates.shape[1] + extra.shape[1] + 1))
    if any(_too_thin(side, least) for side in sides):
        return None
    try:
        return _late_check(sides[0], sides[1], names, confidence_level)
    except EstimationError:  # fewer than six clusters in a part, or columns that are collinear there
        return None


_Side = tuple[Floats, Floats, Floats, "Floats | None"]


def _too_thin(side: _Side, least: int) -> bool:
    outcome, surrogates, covariates, _ = side
    return len(outcome) < least or any(is_constant(each) for each in (outcome, *surrogates.T, *covariates.T))


def _late_check(early: _Side, late: _Side, names: Sequence[str], level: float) -> LateCheck:
    outcome, surrogates, covariates, cluster = late
    p = surrogates.shape[1]
    model = regress(early[0], np.hstack(early[1:3]), names=names, cluster=early[3])
    b, v = model.coefficients[:p], model.covariance[:p, :p]
    index = surrogates @ b
    labels = (names[0], "the index", *names[1 + p :]) if names else ()
    again = regress(outcome, np.column_stack([index, covariates]), names=labels, cluster=cluster)
    rest = _without(np.column_stack([surrogates, index]), covariates)
    gradient = rest[:, :p].T @ rest[:, p] / float(rest[:, p] @ rest[:, p])
    parts = np.array([again.covariance[0, 0], gradient @ v @ gradient])
    half = quantile(0.5 + level / 2, satterthwaite(parts, np.array([again.df, model.df]))) * math.sqrt(parts.sum())
    missed = outcome - np.hstack([surrogates, covariates]) @ model.coefficients[:-1] - model.coefficients[-1]
    slope, squares = float(again.coefficients[0]), float(np.sum(np.square(outcome - outcome.mean())))
    return LateCheck(
        slope=slope,
        ci_low=slope - half,
        ci_high=slope + half,
        r_squared=1 - float(missed @ missed) / squares,
        error=math.sqrt(float(np.mean(np.square(missed)))),
        bias=float(missed.mean()),
        n_early=len(early[0]),
        n_late=len(outcome),
    )


def _without(columns: Floats, covariates: Floats) -> Floats:
    """Take the mean and what covariates explain out of columns."""
    design = np.column_stack([np.ones(len(columns)), covariates - covariates.mean(axis=0)])
    return np.asarray(columns - design @ np.linalg.lstsq(design, columns, rcond=None)[0])


def mean_square_gap(gaps: Floats, variances: Floats) -> float:
    """Mean square of what projections were off by, beyond the errors of both numbers; 0 if these explain it.

    Solves ``sum gaps^2 / (variances + m) = median of chi-squared with K degrees of freedom`` for m: Paule and Mandel's
    equation about zero (projections that always miss to the same side count in full), with the median in place of the
    mean, because with few gaps the mean's m is too small far more often than too large. To be used with t(K).

    Parameters
    ----------
    gaps : array, shape (K,)
        Measured less projected effect.
    variances : array, shape (K,)
        Their sampling variances.

    Raises
    ------
    EstimationError
        If a variance is not above zero.

    References
    ----------
    Paule, Mandel (1982), J. Res. Natl. Bur. Stand. 87; its median form is metafor's PMM.

    Examples
    --------
    >>> round(mean_square_gap(np.array([3.0, -3.0]), np.array([1.0, 1.0])), 3)
    11.984
    >>> mean_square_gap(np.array([0.5, -0.5]), np.array([1.0, 1.0]))
    0.0
    """
    if not np.all(variances > 0):
        raise EstimationError("a variance of a gap is not above zero", advice="Give estimates with their errors.")
    squares, middle_of_chi = np.square(gaps), float(chdtri(len(gaps), 0.5))

    def misfit(m: float) -> float:
        return float(np.sum(squares / (variances + m))) - middle_of_chi

    if misfit(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(squares.sum()) / middle_of_chi  # there the misfit is below zero already
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if misfit(middle) > 0 else (low, middle)
        if high - low <= 1e-14 * high:
            break
    return (low + high) / 2
