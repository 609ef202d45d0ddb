"""Exact binomial tests of counts: p-values that hold in the smallest cell, and bands for simulated rates."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr, bdtrc

Array = np.ndarray


def binomial_p_values(counts: Array, totals: Array, shares: Array | float) -> Array:
    """Two-sided p-values of counts, twice the smaller exact tail (never below the nominal rate).

    Parameters
    ----------
    counts, totals : int array, shape (m,)
        ``totals`` of zero have p = 1.
    shares : float or array, shape (m,)
        Between 0 and 1.

    Returns
    -------
    array, shape (m,)

    References
    ----------
    Clopper, Pearson (1934), Biometrika 26, 404-413 (tails of equal size).

    Examples
    --------
    >>> binomial_p_values(np.array([0, 5, 510_000]), np.array([10, 10, 1_000_000]), 0.5).round(6)
    array([0.001953, 1.      , 0.      ])
    """
    k, n = np.asarray(counts), np.asarray(totals)
    shares = np.broadcast_to(np.asarray(shares, dtype=float), k.shape)
    low = bdtr(k, n, shares)
    high = np.where(k > 0, bdtrc(np.maximum(k - 1, 0), n, shares), 1.0)
    return np.asarray(np.where(n > 0, np.minimum(2 * np.minimum(low, high), 1.0), 1.0))


def binomial_band(rate: float, trials: int, *, level: float = 0.999) -> tuple[int, int]:
    """Find the counts between which a binomial lies with at least ``level``, tails alike.

    Parameters
    ----------
    rate : float
    trials : int
    level : float

    Returns
    -------
    (low, high)
        Both inclusive.

    Examples
    --------
    >>> binomial_band(0.05, 2_000)
    (69, 133)
    """
    tail = (1 - level) / 2
    below = bdtr(np.arange(trials + 1), trials, rate)
    return int(np.searchsorted(below, tail, side="right")), int(np.searchsorted(below, 1 - tail))
