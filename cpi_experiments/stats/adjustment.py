"""Variance reduction by pre-period covariates (CUPED), and the linear form of a ratio of means, from moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError

if TYPE_CHECKING:
    from cpi_experiments.stats.cells import Cells

Floats = np.ndarray

#: Covariates whose scaled cross-products have a larger condition number are collinear.
COLLINEAR = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """What pre-period covariates predict.

    Parameters
    ----------
    coefficients : array, shape (q, k)
        Of q covariates for k outcomes; 0 for covariates that are not used.
    offset : array, shape (k,)
        ``outcome - coefficients.T @ covariates + offset`` has the outcome's mean (all about their origins).
    used : bool array, shape (q,)
        Which covariates vary.
    condition : float
        Condition number of the scaled cross-products of those used: about ``16 - log10(condition)`` digits are left.
    of_arm : float
        Share of the assignment's variance that the covariates explain: every effect is shrunk by it. Under random
        assignment ``covariates / (n - 1)`` on average. NaN with strata.
    """

    coefficients: Floats
    offset: Floats
    used: Floats
    condition: float
    of_arm: float


def adjustment(cells: Cells, k: int) -> Adjustment:
    """Regress k outcomes on covariates, all units together, with one coefficient vector for both arms.

    This is the textbook CUPED choice: under random assignment any fixed coefficients leave the effect unbiased, and
    these are within O(1/n) of the best common ones. As they are estimated from both arms together they take a share of
    ``of_arm`` from every effect, q / (n - 1) on average: little with few covariates. Covariates without variance are
    skipped.

    Parameters
    ----------
    cells : Cells
        The first k values are outcomes, adjusted by the same covariates so that their covariance stays meaningful;
        the others are covariates, measured before the assignment.
    k : int

    Returns
    -------
    Adjustment

    Raises
    ------
    EstimationError
        If covariates are collinear.

    References
    ----------
    Deng, Xu, Kohavi, Walker (2013), WSDM: CUPED.

    Examples
    --------
    >>> from cpi_experiments.stats.cells import cells_of_rows
    >>> rows = np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 0.0], [3.0, 1.0]])  # outcome, covariate
    >>> adjustment(cells_of_rows(rows, np.array([False, False, True, True])), 1).coefficients
    array([[2.]])
    """
    mean = cells.n @ cells.means / cells.n.sum()
    apart = cells.means - mean
    total = cells.cross.sum(axis=0) + (apart * cells.n[:, None]).T @ apart
    variance = np.diag(total)[k:]
    used = variance > cells.unit_noise[:, k:].sum(axis=0)
    coefficients = np.zeros((len(used), k))
    condition, of_arm = 1.0, 0.0
    if used.any():
        at = k + np.flatnonzero(used)
        d = np.sqrt(variance[used])
        scaled = total[np.ix_(at, at)] / np.outer(d, d)
        condition = float(np.linalg.cond(scaled))
        rounding = float(np.max(cells.unit_noise[:, at].sum(axis=0) / variance[used]))
        if not condition * max(rounding, 1 / COLLINEAR) < 1:
            raise EstimationError("covariates are collinear", advice="Leave out those that the others already contain.")
        coefficients[used] = np.linalg.solve(scaled, total[at, :k] / d[:, None]) / d[:, None]
        between = (apart[:, at] / d * np.sqrt(cells.n)[:, None]) if len(cells.n) == 2 else np.full((1, len(at)), np.nan)
        of_arm = float(np.trace(np.linalg.solve(scaled, between.T @ between)))
    return Adjustment(
        coefficients=coefficients, offset=mean[k:] @ coefficients, used=used, condition=condition, of_arm=of_arm
    )


def linear_ratio(cells: Cells) -> Cells:
    """Turn a ratio of means into values whose arm means have the delta method's variance.

    For arm a with ratio R_a = mean(numerator) / mean(denominator) the value of a unit is
    ``R_a + (numerator - R_a * denominator) / mean(denominator)``; its mean is R_a and its sample variance over n is
    the delta-method variance of R_a.

    Parameters
    ----------
    cells : Cells
        Numerator, denominator, and any other values, which are kept as they are.

    Returns
    -------
    Cells
        The ratio's value, then the other values.

    Raises
    ------
    EstimationError
        If a mean of the denominator is not above zero.

    References
    ----------
    Deng, Knoblich, Lu (2018), KDD: delta method in metric analytics.

    Examples
    --------
    >>> from cpi_experiments.stats.cells import cells_of_rows
    >>> rows = np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 2.0], [4.0, 2.0]])
    >>> linear_ratio(cells_of_rows(rows, np.array([False, False, True, True]))).means.ravel()
    array([1. , 1.5])
    """
    others = cells.means.shape[1] - 2
    slope = np.zeros((len(cells.n), 1 + others, 2 + others))
    slope[:, 1:, 2:] = np.eye(others)
    offset = np.zeros((len(cells.n), 1 + others))
    for arm in (0, 1):
        n = cells.n[arm::2]
        top, base = n @ cells.means[arm::2, :2] / n.sum() + cells.origin[:2]
        if not base > 0:
            raise EstimationError(f"the denominator's mean in an arm is {base:g}; a ratio needs it above zero")
        ratio = top / base
        slope[arm::2, 0, :2] = 1 / base, -ratio / base
        offset[arm::2, 0] = ratio + (cells.origin[0] - ratio * cells.origin[1]) / base
    return cells.mapped(slope, offset, origin=np.array([0.0, *cells.origin[2:]]))
