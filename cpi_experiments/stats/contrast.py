"""Means of sampled units, how they changed between two periods that share units, and shares that stay inside 0 to 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.proportions import score_interval
from cpi_experiments.stats.student import interval, quantile, satterthwaite

if TYPE_CHECKING:
    from cpi_experiments.stats.instruments.fieller import Interval

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleMean:
    """A mean whose sampling units are clusters of rows (most often one row each).

    Parameters
    ----------
    value : float
        Mean over rows; NaN without rows.
    std_error : float
        Leave-one-cluster-out jackknife (CR3), which for clusters of one row is s / sqrt(n); NaN for one cluster.
    df : float
        Clusters less one.
    n_obs, n_clusters : int
    clusters : int array, shape (G,)
        Codes of the clusters, ascending.
    shifts : float array, shape (G,)
        Change of the mean when each cluster is left out, scaled so that the squares add up to the variance.
    """

    value: float
    std_error: float
    df: float
    n_obs: int
    n_clusters: int
    clusters: Floats
    shifts: Floats

    def ends(self, *, confidence_level: float = 0.95) -> Interval:
        """Student's t interval; NaN where all rows are equal, as no spread is known then."""
        return _ends(self.value, self.std_error, self.df, confidence_level)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanChange:
    """A mean less an earlier one, where some units are in both.

    Parameters
    ----------
    value, std_error, df : float
        ``df`` interpolates between the paired and Welch's, by the share of units in both (Derrick et al. 2017).
    correlation : float
        Of the two estimated means; 0 without common units or spread.
    n_common : int
        Clusters in both.
    """

    value: float
    std_error: float
    df: float
    correlation: float
    n_common: int

    def ends(self, *, confidence_level: float = 0.95) -> Interval:
        """Student's t interval; NaN where nothing varies."""
        return _ends(self.value, self.std_error, self.df, confidence_level)


def _ends(value: float, std_error: float, df: float, confidence_level: float) -> Interval:
    if not (std_error > 0 and df > 0):
        return math.nan, math.nan
    return interval(value, std_error, df, confidence_level=confidence_level)


def sample_mean(values: Floats, clusters: Floats) -> SampleMean:
    """Mean of rows with the error that fits sampled clusters.

    Parameters
    ----------
    values : float array, shape (n,)
        Without missing values.
    clusters : int array, shape (n,)
        Code of the sampled unit of each row, the same code for the same unit in every call.

    References
    ----------
    MacKinnon, Nielsen, Webb (2023), J. Econometrics 232, section 2 (CR3 as jackknife).

    Examples
    --------
    >>> mean = sample_mean(np.array([1.0, 2.0, 3.0, 6.0]), np.arange(4))
    >>> mean.value, round(mean.std_error, 6)
    (3.0, 1.080123)
    """
    n = len(values)
    if not n:
        empty = np.empty(0)
        return SampleMean(
            value=math.nan, std_error=math.nan, df=math.nan, n_obs=0, n_clusters=0, clusters=empty, shifts=empty
        )
    alone = bool(np.all(clusters[1:] > clusters[:-1]))  # one row each, in order: nothing to group
    codes, place = (clusters, None) if alone else np.unique(clusters, return_inverse=True)
    groups = len(codes)
    mean = float(values.mean())
    if groups == 1:
        shifts = np.full(1, np.nan)
    else:
        rows = np.ones(n) if place is None else np.bincount(place).astype(float)
        total = values - mean if place is None else np.bincount(place, weights=values - mean)
        shifts = total / (n - rows) * math.sqrt((groups - 1) / groups)
    error = float(np.sqrt(np.sum(np.square(shifts))))
    if np.ptp(values) == 0:
        error, shifts = (0.0 if groups > 1 else math.nan), np.zeros(groups)
    return SampleMean(
        value=mean,
        std_error=error,
        df=float(groups - 1),
        n_obs=n,
        n_clusters=groups,
        clusters=codes,
        shifts=shifts,
    )


def mean_change(now: SampleMean, before: SampleMean) -> MeanChange:
    """Difference of two means whose units overlap in part.

    Units in both are paired, the others independent: with all units in both it is the paired t test, with none Welch's.

    Parameters
    ----------
    now, before : SampleMean
        With one coding of clusters.

    References
    ----------
    Derrick, Russ, Toher, White (2017), J. Mod. Appl. Stat. Methods 16(1): partially overlapping samples.

    Examples
    --------
    >>> now = sample_mean(np.array([3.0, 5.0, 7.0]), np.arange(3))
    >>> change = mean_change(now, sample_mean(np.array([1.0, 4.0, 4.0]), np.arange(3)))
    >>> change.value, round(change.std_error, 6), change.df, change.n_common
    (2.0, 0.57735, 2.0, 3)
    """
    _, here, there = np.intersect1d(now.clusters, before.clusters, assume_unique=True, return_indices=True)
    common = len(here)
    cov = float(np.sum(now.shifts[here] * before.shifts[there]))
    variance = now.std_error**2 + before.std_error**2 - 2 * cov
    both = now.std_error * before.std_error
    return MeanChange(
        value=now.value - before.value,
        std_error=math.sqrt(max(variance, 0.0)) if not math.isnan(variance) else math.nan,
        df=_overlapping_df(now, before, common),
        correlation=min(max(cov / both, -1.0), 1.0) if both > 0 else 0.0,
        n_common=common,
    )


def _overlapping_df(now: SampleMean, before: SampleMean, common: int) -> float:
    welch = satterthwaite(np.square([now.std_error, before.std_error]), np.array([now.df, before.df]))
    if common < 2 or math.isnan(welch):
        return welch
    alone = now.n_clusters + before.n_clusters - 2 * common
    return (common - 1) + (welch - common + 1) * alone / (alone + 2 * common)


def share_ends(
    share: float, std_error: float, n_clusters: int, *, df: float = math.inf, confidence_level: float = 0.95
) -> Interval:
    """Wilson's score interval of a share, with the number of independent units that the error stands for.

    A share of none or all has an interval too: as many units as there are clusters.

    Parameters
    ----------
    share, std_error : float
        As of `sample_mean`.
    n_clusters : int
    df : float
        Degrees of freedom; infinite for independent 0/1 rows.

    References
    ----------
    Wilson (1927), JASA 22; Korn, Graubard (1998), Survey Methodology 24 (effective sample size).

    Examples
    --------
    >>> low, high = share_ends(0.0, 0.0, 40)
    >>> round(low, 4), round(high, 4)
    (0.0, 0.0876)
    """
    if math.isnan(share) or n_clusters < 2 or not df > 0:
        return math.nan, math.nan
    spread = share * (1 - share)
    units = float(n_clusters)
    if spread > 0 and std_error > 0:
        units = spread / std_error**2 * n_clusters / (n_clusters - 1)
    z = quantile(0.5 + confidence_level / 2, df)
    low, high = score_interval(np.array(share), np.array(units), np.array(z))
    return float(low), float(high)


def change_ends(change: MeanChange, now: tuple[float, float, float], before: tuple[float, float, float]) -> Interval:
    """Interval of a difference from the intervals of its two sides (MOVER), for shares near 0 or 1.

    Parameters
    ----------
    change : MeanChange
        Its value, and the correlation of both sides.
    now, before : (value, low, high)

    Raises
    ------
    EstimationError
        If a side lies outside its own interval.

    References
    ----------
    Newcombe (1998), Statist. Med. 17, 2635 (method 10); Zou, Donner (2008), Statist. Med. 27.

    Examples
    --------
    >>> change = MeanChange(value=0.1, std_error=0.07, df=90, correlation=0.0, n_common=0)
    >>> low, high = change_ends(change, (0.3, 0.2, 0.4), (0.2, 0.1, 0.3))
    >>> round(low, 4), round(high, 4)
    (-0.0414, 0.2414)
    """
    for value, low, high in (now, before):
        if value < low or value > high:
            raise EstimationError(f"{value:g} is outside its own interval, {low:g} to {high:g}")
    r, x, y = change.correlation, now, before
    down = _root(x[0] - x[1], y[2] - y[0], r)
    up = _root(x[2] - x[0], y[0] - y[1], r)
    return change.value - down, change.value + up


def _root(a: float, b: float, correlation: float) -> float:
    return math.sqrt(max(a * a + b * b - 2 * correlation * a * b, 0.0))
