"""Shares of several categories with intervals that hold together, counted in units or in their values."""

from __future__ import annotations

import numpy as np
from scipy import special

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.student import quantile

Floats = np.ndarray


def simultaneous_shares(counts: Floats, *, confidence_level: float = 0.95) -> Floats:
    """Goodman's intervals of multinomial shares: all of them hold at once with the level.

    Parameters
    ----------
    counts : array, shape (k,)
        Counts of all categories; zeros are allowed.

    Returns
    -------
    array, shape (k, 2)

    Raises
    ------
    EstimationError
        If nothing is counted or a count is negative.

    References
    ----------
    Goodman (1965), Technometrics 7, eq. 3.1 with Bonferroni's bound.

    Examples
    --------
    >>> simultaneous_shares(np.array([56, 72, 73, 59, 62, 87, 58]))[0].round(4)
    array([0.0852, 0.1663])
    """
    n = np.asarray(counts, dtype=float)
    total = float(n.sum())
    if not total > 0 or (n < 0).any():
        raise EstimationError(f"counts {n.tolist()} do not describe categories", advice="Count something, from 0 up.")
    # With one category nothing is shared; two share one number, so that one interval is enough.
    compared = len(n) if len(n) > 2 else 1
    z2 = float(special.chdtri(1, (1 - confidence_level) / compared))
    half = np.sqrt(z2 * (z2 + 4 * n * (total - n) / total))
    return np.stack([z2 + 2 * n - half, z2 + 2 * n + half], axis=1) / (2 * (total + z2))


def value_shares(values: Floats, groups: Floats, size: int, *, confidence_level: float = 0.95) -> tuple[Floats, Floats]:
    """Shares of a total value by category, with Bonferroni intervals on the logit scale.

    Each row is one independent unit. Shares are ratios of sums; their errors come from the delta method.

    Parameters
    ----------
    values : float array, shape (n,)
        Not below zero.
    groups : int array, shape (n,)
        Codes 0, 1, ..., size - 1.
    size : int
        Number of categories.

    Returns
    -------
    shares : array, shape (size,)
        NaN if the total is 0.
    intervals : array, shape (size, 2)
        NaN for shares of 0 or 1 and where fewer than two units carry them.

    Raises
    ------
    EstimationError
        If a value is negative or missing.

    Examples
    --------
    >>> shares, _ = value_shares(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 1, 1]), 2)
    >>> shares
    array([0.3, 0.7])
    """
    v = np.asarray(values, dtype=float)
    if (v < 0).any() or np.isnan(v).any():
        raise EstimationError("values below zero have no shares", advice="Use what customers bring, from 0 up.")
    n, total = len(v), float(v.sum())
    ends = np.full((size, 2), np.nan)
    if not total > 0:
        return np.full(size, np.nan), ends
    shares = np.bincount(groups, weights=v, minlength=size) / total
    squares = np.bincount(groups, weights=v * v, minlength=size) / total**2
    everything = float(np.sum(v * v)) / total**2
    # residual of unit i for category g: v_i (1[g_i = g] - share) / total
    variance = (squares * (1 - 2 * shares) + shares**2 * everything) * n / max(n - 1, 1)
    carriers = np.bincount(groups, weights=v > 0, minlength=size)
    inside = (shares > 0) & (shares < 1) & (carriers > 1)
    z = quantile(1 - (1 - confidence_level) / (2 * (size if size > 2 else 1)), max(n - 1, 1))
    spread = z * np.sqrt(np.maximum(variance[inside], 0)) / (shares[inside] * (1 - shares[inside]))
    centre = special.logit(shares[inside])
    ends[inside] = special.expit(np.stack([centre - spread, centre + spread], axis=1))
    return shares, ends
