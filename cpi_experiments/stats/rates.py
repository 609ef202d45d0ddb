"""Intervals of counts and of amounts per count."""

from __future__ import annotations

import numpy as np
from scipy import special

from cpi_experiments.errors import EstimationError

Floats = np.ndarray


def poisson_interval(counts: Floats, *, confidence_level: float = 0.95) -> tuple[Floats, Floats]:
    """Exact interval of a Poisson mean from one count.

    Parameters
    ----------
    counts : array, shape (G,)
        Whole numbers from 0.
    confidence_level : float
        At least this share of intervals holds the mean.

    Returns
    -------
    low, high : float array, shape (G,)

    Raises
    ------
    EstimationError
        If a count is negative or not whole.

    References
    ----------
    Garwood (1936), Biometrika 28, 437-442.

    Examples
    --------
    >>> low, high = poisson_interval(np.array([0, 10]))
    >>> low.round(4), high.round(4)
    (array([0.    , 4.7954]), array([ 3.6889, 18.3904]))
    """
    k = np.asarray(counts, dtype=float)
    if not np.all((k >= 0) & (k == np.floor(k))):
        raise EstimationError("a count is negative or not whole", advice="Count whole customers.")
    tail = (1 - confidence_level) / 2
    low = np.where(k > 0, special.gammaincinv(np.maximum(k, 1.0), tail), 0.0)
    return low, np.asarray(special.gammainccinv(k + 1, tail))


def cost_per_count(spend: Floats, counts: Floats, *, confidence_level: float = 0.95) -> tuple[Floats, Floats, Floats]:
    """Money spent per count, such as the cost of acquiring a customer.

    The money is known, the count is taken as Poisson: the interval answers what the cost would be if the same money
    were spent again under the same conditions.

    Parameters
    ----------
    spend : float array, shape (G,)
        Not negative.
    counts : array, shape (G,)
        Whole numbers above zero.

    Returns
    -------
    value, low, high : float array, shape (G,)

    Raises
    ------
    EstimationError
        If a count is zero or an amount is negative.

    Examples
    --------
    >>> value, low, high = cost_per_count(np.array([1000.0]), np.array([10]))
    >>> value, low.round(2), high.round(2)
    (array([100.]), array([54.38]), array([208.53]))
    """
    money, k = np.asarray(spend, dtype=float), np.asarray(counts, dtype=float)
    if not np.all(k > 0):
        raise EstimationError(
            f"{int(np.sum(k <= 0))} of {len(k)} groups won nobody: a cost per customer does not exist",
            advice="Leave such groups out, or take longer periods.",
        )
    if not np.all(money >= 0):
        raise EstimationError("money spent is negative", advice="Give spending as numbers from 0.")
    low, high = poisson_interval(k, confidence_level=confidence_level)
    return money / k, money / high, money / low
