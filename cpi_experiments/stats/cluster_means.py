"""Means of values that come several to a customer, from sums by customer; one customer is one independent draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSums:
    """What a mean and its variance need, by group. ``n_i`` values of cluster i sum to ``s_i`` (after ``origin``).

    Parameters
    ----------
    clusters : float array, shape (G,)
        Clusters.
    n, s : float array, shape (G,)
        Sums of ``n_i`` and ``s_i``.
    nn, ns, ss : float array, shape (G,)
        Sums of ``n_i^2``, ``n_i s_i``, ``s_i^2``.
    origin : float
        What was taken from every value before it was summed; close to the mean, so that squares lose no digits.
    """

    clusters: Floats
    n: Floats
    s: Floats
    nn: Floats
    ns: Floats
    ss: Floats
    origin: float = 0.0

    @property
    def mean(self) -> Floats:
        """Mean of all values, shape (G,)."""
        return np.asarray(self.origin + self.s / self.n)

    @property
    def variance(self) -> Floats:
        """Sampling variance of the mean, shape (G,); NaN with one cluster.

        Linearised: ``C/(C-1) sum_i (s_i - m n_i)^2 / n^2``. With one value a cluster that is the usual ``S^2/n``.

        References
        ----------
        Cochran (1977), Sampling Techniques, 3rd ed., section 9A.2 (ratio to size).
        """
        m = self.s / self.n
        squares = np.maximum(self.ss - 2 * m * self.ns + np.square(m) * self.nn, 0.0)
        # what is left of rounding is no spread
        squares = np.where(squares <= 1e-13 * (self.ss + np.square(m) * self.nn), 0.0, squares)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(self.clusters > 1, self.clusters / (self.clusters - 1), np.nan)
        return np.asarray(factor * squares / np.square(self.n))


def sum_clusters(values: Floats, clusters: Floats | None = None) -> ClusterSums:
    """Sum the values of one group by cluster.

    Parameters
    ----------
    values : float array, shape (n,)
    clusters : int array, shape (n,), optional
        Codes; without them every value is a cluster of its own.

    Examples
    --------
    >>> sums = sum_clusters(np.array([1.0, 2.0, 6.0]), np.array([0, 0, 1]))
    >>> sums.mean, sums.variance.round(6)
    (array([3.]), array([4.]))
    """
    origin = float(np.floor(values.mean()))
    x = values - origin
    codes = np.arange(len(x)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    n, s = np.bincount(codes).astype(float), np.bincount(codes, weights=x)
    parts = [np.array([part]) for part in (len(n), n.sum(), s.sum(), n @ n, n @ s, s @ s)]
    clusters_, n_, s_, nn, ns, ss = parts
    return ClusterSums(clusters=clusters_, n=n_, s=s_, nn=nn, ns=ns, ss=ss, origin=origin)


def mean_interval(
    sums: ClusterSums, *, confidence_level: float = 0.95, allowed: tuple[float, float] | None = None
) -> tuple[Floats, Floats]:
    """Student's interval of a mean, with clusters less one degrees of freedom.

    Parameters
    ----------
    sums : ClusterSums
    confidence_level : float
    allowed : (low, high), optional
        Smallest and largest value that an answer can have. The interval stays inside; and where all answers are the
        same, it says what may hide behind them: the share of other answers is below ``1 - alpha^(1/clusters)``.

    Returns
    -------
    low, high : float array, shape (G,)
        NaN where there is one cluster, or where all values are equal and nothing bounds them.

    References
    ----------
    Student (1908), Biometrika 6, 1-25; Clopper, Pearson (1934), Biometrika 26, 404-413 (no other answer seen).

    Examples
    --------
    >>> low, high = mean_interval(sum_clusters(np.array([1.0, 2.0, 3.0, 4.0])))
    >>> low.round(4), high.round(4)
    (array([0.4457]), array([4.5543]))
    >>> low, high = mean_interval(sum_clusters(np.full(20, 100.0)), allowed=(-100.0, 100.0))
    >>> low.round(2), high
    (array([72.18]), array([100.]))
    """
    mean, variance = sums.mean, sums.variance
    df = np.maximum(sums.clusters - 1, 1.0)
    half = special.stdtrit(df, 0.5 + confidence_level / 2) * np.sqrt(variance)
    low, high = mean - half, mean + half
    if allowed is None:
        constant = variance == 0
        return np.where(constant, np.nan, low), np.where(constant, np.nan, high)
    hidden = 1 - np.power(1 - confidence_level, 1 / sums.clusters)
    constant = (variance == 0) & (sums.clusters > 1)
    low = np.where(constant, mean - hidden * (mean - allowed[0]), low)
    high = np.where(constant, mean + hidden * (allowed[1] - mean), high)
    return np.maximum(low, allowed[0]), np.minimum(high, allowed[1])
