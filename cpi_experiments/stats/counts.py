"""Tests of counts: are the arms as large as they were meant to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.tails import chi_squared_tail

if TYPE_CHECKING:
    from collections.abc import Sequence


def sample_ratio_test(counts: Sequence[int], allocation: Sequence[float]) -> tuple[float, float]:
    """Pearson's chi-squared test of counts against intended shares.

    Parameters
    ----------
    counts : sequence of int, shape (arms,)
    allocation : sequence of float, shape (arms,)
        Intended weights; any positive numbers.

    Returns
    -------
    (statistic, p_value)

    Raises
    ------
    EstimationError
        If fewer than two arms or a weight that is not above zero is given.

    Examples
    --------
    >>> statistic, p = sample_ratio_test([1000, 1200], [1, 1])
    >>> round(p, 12)
    2.0078656e-05
    """
    observed, weights = np.asarray(counts, dtype=float), np.asarray(allocation, dtype=float)
    if len(observed) < 2 or len(observed) != len(weights) or not np.all(weights > 0):
        raise EstimationError(f"counts {list(counts)} and allocation {list(allocation)} do not describe an experiment")
    expected = observed.sum() * weights / weights.sum()
    statistic = float(np.sum((observed - expected) ** 2 / expected))
    return statistic, chi_squared_tail(statistic, len(observed) - 1)


def independence_test(table: Sequence[Sequence[int]]) -> tuple[float, float]:
    """Pearson's chi-squared test that rows and columns of a table of counts are independent.

    Rows or columns without a count say nothing and are left out; what remains without two of each has p = 1.

    Returns
    -------
    (statistic, p_value)

    Examples
    --------
    >>> statistic, p = independence_test([[30, 10], [70, 90]])
    >>> round(statistic, 6), round(p, 8)
    (12.5, 0.00040695)
    """
    counts = np.asarray(table, dtype=float)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    df = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    if df < 1:
        return 0.0, 1.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    statistic = float(np.sum((counts - expected) ** 2 / expected))
    return statistic, chi_squared_tail(statistic, df)
