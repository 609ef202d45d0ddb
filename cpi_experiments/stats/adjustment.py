"""Variance reduction by pre-period covariates (CUPED), and the linear form of a ratio of means."""

from __future__ import annotations

import numpy as np

from cpi_experiments.errors import EstimationError

Floats = np.ndarray


def adjust(values: Floats, covariates: Floats) -> tuple[Floats, Floats]:
    """Subtract what pre-period covariates predict, with one coefficient vector for both arms.

    The coefficients are those of the regression on all units together (the textbook CUPED choice): under random
    assignment any fixed coefficients leave the effect unbiased, and these are within O(1/n) of the best common ones.
    Covariates without variance are skipped.

    Parameters
    ----------
    values : array, shape (n, k)
        Outcomes; all of them are adjusted by the same covariates, so that their covariance stays meaningful.
    covariates : array, shape (n, p)
        Measured before the assignment.

    Returns
    -------
    adjusted : array, shape (n, k)
        ``values - (covariates - mean) @ theta``.
    used : bool array, shape (p,)
        Which covariates had variance.

    Raises
    ------
    EstimationError
        If covariates are collinear.

    References
    ----------
    Deng, Xu, Kohavi, Walker (2013), WSDM: CUPED.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [0.0], [1.0]])
    >>> y = np.array([[0.0], [2.0], [1.0], [3.0]])
    >>> adjust(y, x)[0].ravel()
    array([1., 1., 2., 2.])
    """
    scale = np.ptp(covariates, axis=0)
    used = scale > 0
    if not used.any():
        return values, used
    x = (covariates[:, used] - covariates[:, used].mean(axis=0)) / scale[used]
    y = values - values.mean(axis=0)
    gram = x.T @ x
    d = np.sqrt(np.diag(gram))
    if np.linalg.cond(gram / np.outer(d, d)) > 1e12:
        raise EstimationError("covariates are collinear", advice="Leave out those that the others already contain.")
    return values - x @ np.linalg.solve(gram, x.T @ y), used


def linearise_ratio(numerator: Floats, denominator: Floats, treated: Floats) -> tuple[Floats, Floats]:
    """Turn a ratio of means into unit values whose arm means have the delta method's variance.

    For arm a with ratio R_a = mean(numerator) / mean(denominator) the value is
    ``R_a + (numerator - R_a * denominator) / mean(denominator)``; its mean is R_a and its sample variance over n is
    the delta-method variance of R_a.

    Parameters
    ----------
    numerator, denominator : array, shape (n,)
    treated : bool array, shape (n,)

    Returns
    -------
    values : array, shape (n,)
    ratios : array, shape (2,)
        Ratio of the control and of the treatment arm.

    Raises
    ------
    EstimationError
        If a mean of the denominator is not above zero.

    References
    ----------
    Deng, Knoblich, Lu (2018), KDD: delta method in metric analytics.

    Examples
    --------
    >>> values, ratios = linearise_ratio(np.array([1.0, 3.0, 2.0, 4.0]), np.array([2.0, 2.0, 2.0, 2.0]),
    ...                                  np.array([False, False, True, True]))
    >>> ratios
    array([1. , 1.5])
    """
    values = np.empty(len(numerator))
    ratios = np.empty(2)
    for j, arm in enumerate((~treated, treated)):
        base = denominator[arm].mean()
        if not base > 0:
            raise EstimationError(f"the denominator's mean in an arm is {base:g}; a ratio needs it above zero")
        ratios[j] = numerator[arm].mean() / base
        values[arm] = ratios[j] + (numerator[arm] - ratios[j] * denominator[arm]) / base
    return values, ratios
