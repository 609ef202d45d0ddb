"""Difference of a quantile between two arms: closed form from order statistics, for rows, strata and clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.arm_means import ArmMeans, arm_means
from cpi_experiments.stats.student import satterthwaite

Floats = np.ndarray

#: The order statistics that measure the density enclose the quantile by this many standard errors (a 95% interval).
_REACH = 1.959963984540054
#: Rows that an arm needs on the thinner side of the quantile.
THIN_SIDE = 10
#: Fewer different values between them than this make a distribution too coarse for a normal approximation.
COARSE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileEffect:
    """A quantile in two arms, with the variances of both.

    Parameters
    ----------
    control, treatment : float
    cov : float array, shape (2, 2)
        Of (control, treatment); NaN where an arm has no spread around the quantile.
    df : float
    df_arms : float array, shape (2,)
        Degrees of freedom of each arm's variance: as many as there are gaps between neighbours in the bracket, and with
        clusters at most those of its jackknife variance.
    bracket_control, bracket_treatment : tuple of (low, high)
        Order statistics between which the quantile lies (95%).
    distinct : int
        Different values within these brackets, in the arm with fewer.
    means : ArmMeans
        Of the marks "at or below the arm's quantile": units, clusters and whether these lie in both arms.
    """

    control: float
    treatment: float
    cov: Floats
    df: float
    df_arms: Floats
    bracket_control: tuple[float, float]
    bracket_treatment: tuple[float, float]
    distinct: int
    means: ArmMeans

    @property
    def effect(self) -> float:
        """Treatment less control."""
        return self.treatment - self.control

    @property
    def variance(self) -> float:
        """Sampling variance of `effect`."""
        return float(self.cov[0, 0] + self.cov[1, 1] - 2 * self.cov[0, 1])

    @property
    def usable(self) -> bool:
        """Whether both arms have spread around the quantile."""
        return bool(np.all(np.isfinite(self.cov))) and self.variance > 0


def least_rows(probability: float) -> int:
    """Smallest arm for a quantile: ten rows on its thinner side, and order statistics that enclose it.

    Examples
    --------
    >>> least_rows(0.5), least_rows(0.9), least_rows(0.01)
    (20, 100, 1000)
    """
    return math.ceil(THIN_SIDE / min(probability, 1 - probability) - 1e-9)


def quantile_effect(
    values: Floats, treated: Floats, probability: float, *, strata: Floats | None = None, clusters: Floats | None = None
) -> QuantileEffect:
    """Compare a quantile between two arms.

    In each arm the share p of values at or below the quantile has a standard error e, binomial or from the clusters'
    jackknife (CR3). The order statistics at p -+ 1.96 e enclose the quantile (Woodruff); their distance over the share
    between them is the inverse of the density, so that ``variance = (distance / share)^2 e^2``, which is
    ``((upper - lower) / (2 * 1.96))^2`` up to the rounding of ranks. The distance is a sum of as many gaps as there are
    ranks between its ends, so that the arm's variance has so many degrees of freedom, or those of the jackknife if
    these are fewer; t has those of both arms by Welch-Satterthwaite (clusters less one where they span both arms).

    Parameters
    ----------
    values : float array, shape (n,)
        Without missing values.
    treated : bool array, shape (n,)
    probability : float
        Which quantile: 0.5 is the median.
    strata, clusters : int array, shape (n,), optional
        Codes from 0. With strata the quantile is that of each arm weighted to the strata of both arms together.

    Returns
    -------
    QuantileEffect

    Raises
    ------
    EstimationError
        If an arm has too few rows for this quantile (ten on its thinner side), or a cell fewer than two.

    References
    ----------
    Woodruff (1952), J. Am. Stat. Assoc. 47, 635-646; Francisco, Fuller (1991), Ann. Stat. 19, 454-469 (clusters,
    strata); Deng, Knoblich, Lu (2018), KDD, section 4 (experiments).

    Examples
    --------
    >>> found = quantile_effect(np.concatenate([np.arange(1.0, 101.0), np.arange(6.0, 106.0)]), np.arange(200) >= 100,
    ...                         0.5)
    >>> found.effect, round(found.variance ** 0.5, 2), found.bracket_control
    (5.0, 7.07, (41.0, 60.0))
    """
    treated = np.asarray(treated, dtype=bool)
    weights = _weights(treated, strata)
    for arm in (~treated, treated):
        _check_rows(int(np.sum(arm)), probability)
    at = [_weighted_quantile(values[arm], weights[arm], probability) for arm in (~treated, treated)]
    below = (values <= np.where(treated, at[1], at[0])).astype(float)
    means = arm_means(below[:, None], treated, strata=strata, clusters=clusters)
    share = means.cov
    if clusters is None and strata is None:  # the binomial variance at the quantile itself
        share = np.diag([probability * (1 - probability) / n for n in (means.n_control, means.n_treatment)])
    sides = [
        _bracket(values[arm], weights[arm], probability, math.sqrt(max(share[j, j], 0.0)))
        for j, arm in enumerate((~treated, treated))
    ]
    slope = np.array([side[1] for side in sides])
    cov = share * np.outer(slope, slope)
    cov = np.where(np.outer(slope > 0, slope > 0), cov, np.nan)
    df_arms = np.array([max(side[3], 1) for side in sides], dtype=float)
    if clusters is not None:
        df_arms = np.minimum(df_arms, [means.df_control[0], means.df_treatment[0]])
    df = satterthwaite(np.diag(cov), df_arms)
    if means.crossed:
        df = min(df, means.df_clusters) if df > 0 else means.df_clusters
    return QuantileEffect(
        control=at[0], treatment=at[1], cov=cov, df=df, df_arms=df_arms, bracket_control=sides[0][0],
        bracket_treatment=sides[1][0], distinct=min(side[2] for side in sides), means=means,
    )  # fmt: skip


def _check_rows(n: int, probability: float) -> None:
    if n < least_rows(probability):
        raise EstimationError(
            f"an arm has {n:,} rows: too few for the quantile {probability:g}",
            advice=f"It needs {least_rows(probability):,} rows an arm; a quantile nearer to the median needs fewer.",
        )


def _weights(treated: Floats, strata: Floats | None) -> Floats:
    """Weights that give every arm the strata of both arms together; they add up to 1 in each arm."""
    if strata is None:
        return np.asarray(1.0 / np.where(treated, np.sum(treated), np.sum(~treated)))
    stratum = np.unique(strata, return_inverse=True)[1]
    cell = 2 * stratum + treated
    return np.asarray((np.bincount(stratum) / len(treated))[stratum] / np.bincount(cell)[cell])


def _weighted_quantile(values: Floats, weights: Floats, probability: float) -> float:
    """Linear interpolation between order statistics (numpy's own) for equal weights, else between midpoints."""
    if np.ptp(weights) == 0:
        return float(np.quantile(values, probability))
    order = np.argsort(values, kind="stable")
    middle = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(probability, middle, values[order]))


def _bracket(
    values: Floats, weights: Floats, probability: float, std_error: float
) -> tuple[tuple[float, float], float, int, int]:
    """Order statistics around the quantile, their distance over the share between, how many values differ, and gaps."""
    order = np.argsort(values, kind="stable")
    ordered, reached = values[order], np.cumsum(weights[order])
    last = len(values) - 1
    low = int(np.searchsorted(reached, probability - _REACH * std_error - 1e-12))
    high = min(int(np.searchsorted(reached, probability + _REACH * std_error - 1e-12)), last)
    inside = ordered[low : high + 1]
    share = reached[high] - reached[low]
    distinct = 1 + int(np.count_nonzero(np.diff(inside)))
    slope = float((ordered[high] - ordered[low]) / share) if share > 0 else 0.0
    return (float(ordered[low]), float(ordered[high])), slope, distinct, high - low
