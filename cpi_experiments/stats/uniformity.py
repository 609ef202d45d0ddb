"""Are p-values what they promise: uniform, and below a level no more often than the level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.exact_counts import binomial_band

Array = np.ndarray

#: Exact bands hold a right test's count with this probability; the two tails are equal.
BAND = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class TailCount:
    """How many of ``trials`` p-values lie below a level, and the band in which a right test's count lies.

    Parameters
    ----------
    level : float
    trials, count : int
    low, high : int
        Exact binomial band, both ends included.
    """

    level: float
    trials: int
    count: int
    low: int
    high: int

    @property
    def rate(self) -> float:
        """Share of p-values below the level."""
        return self.count / self.trials

    @property
    def too_many(self) -> bool:
        """Whether a right test would not be above the level that often."""
        return self.count > self.high

    @property
    def too_few(self) -> bool:
        """Whether the test is careful: it finds less than it may."""
        return self.count < self.low


def count_below(p_values: Array, level: float, *, band: float = BAND) -> TailCount:
    """Count p-values below a level and compare with the exact binomial band.

    Parameters
    ----------
    p_values : array, shape (n,)
        NaN (no test exists) counts as not below.
    level, band : float

    Examples
    --------
    >>> found = count_below(np.arange(2_000) / 2_000, 0.05)
    >>> found.count, found.low, found.high, found.too_many
    (100, 69, 133, False)
    """
    p = np.asarray(p_values, dtype=float)
    if not len(p):
        raise EstimationError("there is no p-value to count")
    low, high = binomial_band(level, len(p), level=band)
    return TailCount(level=level, trials=len(p), count=int(np.sum(p < level)), low=low, high=high)


def uniformity_test(p_values: Array) -> tuple[float, float]:
    """Kolmogorov-Smirnov test that p-values are uniform on (0, 1).

    Parameters
    ----------
    p_values : array, shape (n,)
        NaN is left out.

    Returns
    -------
    (statistic, p_value)
        The largest distance between the empirical and the uniform distribution, and its exact p-value.

    Raises
    ------
    EstimationError
        If no p-value is left.

    References
    ----------
    Kolmogorov (1933); Simard, L'Ecuyer (2011), J. Statistical Software 39(11) (exact distribution, as in scipy).

    Examples
    --------
    >>> statistic, p = uniformity_test(np.array([0.1, 0.4, 0.7]))
    >>> round(statistic, 4), round(p, 4)
    (0.3, 0.8862)
    """
    from scipy import stats  # noqa: PLC0415 - its import takes longer than a comparison

    p = np.sort(np.asarray(p_values, dtype=float))
    p = p[~np.isnan(p)]
    n = len(p)
    if not n:
        raise EstimationError("there is no p-value to test", advice="The outcome is constant in every split.")
    steps = np.arange(1, n + 1) / n
    statistic = float(max(np.max(steps - p), np.max(p - (steps - 1 / n))))
    return statistic, float(stats.kstwo.sf(statistic, n))
