"""Balance of covariates over arms: standardised differences, variance ratios, and one distance for all together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError

Floats = np.ndarray
#: Directions that hold less than this share of the largest variance are rounding.
_RANK = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSums:
    """Sizes, means and variances of k covariates in a arms.

    Parameters
    ----------
    n : array, shape (a, k)
        Values that are not missing.
    means, variances : array, shape (a, k)
        Variances by n - 1; NaN with fewer than two values.
    """

    n: Floats
    means: Floats
    variances: Floats


def arm_sums(x: Floats, arm: Floats, n_arms: int) -> ArmSums:
    """Take the moments of every arm; NaN counts as missing.

    Parameters
    ----------
    x : array, shape (n, k)
    arm : int array, shape (n,)
        Codes 0 .. n_arms - 1.
    n_arms : int

    Examples
    --------
    >>> sums = arm_sums(np.array([[1.0], [3.0], [5.0], [np.nan]]), np.array([0, 0, 1, 1]), 2)
    >>> sums.n.ravel(), sums.means.ravel(), sums.variances.ravel()
    (array([2., 1.]), array([2., 5.]), array([ 2., nan]))
    """
    n, means, squares = (np.zeros((n_arms, x.shape[1])) for _ in range(3))
    for code in range(n_arms):
        rows = x[arm == code]
        there = ~np.isnan(rows)
        n[code] = there.sum(axis=0)
        means[code] = _over(np.where(there, rows, 0.0).sum(axis=0), n[code])
        squares[code] = np.where(there, rows - means[code], 0.0).__pow__(2).sum(axis=0)
    return ArmSums(n=n, means=means, variances=_over(squares, n - 1))


def _over(values: Floats, n: Floats) -> Floats:
    return np.asarray(np.divide(values, n, out=np.full(values.shape, np.nan), where=n > 0))


def standardised_differences(sums: ArmSums) -> tuple[Floats, Floats]:
    """Compare every arm with the first.

    Returns
    -------
    differences : array, shape (a - 1, k)
        Mean less the first arm's, over the root of the mean of both variances; 0 where both arms are constant and
        equal, infinite where they are constant and differ.
    ratios : array, shape (a - 1, k)
        Variance over the first arm's; NaN where that is zero.

    References
    ----------
    Austin (2009), Statistics in Medicine 28, equations 1 and 2.

    Examples
    --------
    >>> x, arm = np.array([[1.0], [3.0], [4.0], [8.0]]), np.array([0, 0, 1, 1])
    >>> differences, ratios = standardised_differences(arm_sums(x, arm, 2))
    >>> differences.round(4).ravel(), ratios.ravel()
    (array([1.7889]), array([4.]))
    """
    gap = sums.means[1:] - sums.means[0]
    pooled = np.sqrt((sums.variances[1:] + sums.variances[0]) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        differences = np.where((gap == 0) & (pooled == 0), 0.0, gap / pooled)
        ratios = np.where(sums.variances[0] > 0, sums.variances[1:] / sums.variances[0], np.nan)
    return differences, ratios


@dataclass(frozen=True, slots=True, kw_only=True)
class Whitened:
    """Covariates turned so that every direction has variance one and none is correlated with another.

    Parameters
    ----------
    scores : array, shape (n, rank)
    """

    scores: Floats

    @property
    def rank(self) -> int:
        """Directions in which units differ."""
        return int(self.scores.shape[1])


def whiten(x: Floats) -> Whitened:
    """Turn covariates into uncorrelated directions of variance one; copies and constants add none.

    Parameters
    ----------
    x : array, shape (n, k)
        Without missing values.

    Raises
    ------
    EstimationError
        If no covariate varies.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0, 5.0], [2.0, 4.0, 5.0], [4.0, 8.0, 5.0]])
    >>> whiten(x).rank
    1
    """
    centred = x - x.mean(axis=0)
    scale = np.sqrt((centred**2).mean(axis=0))
    varies = scale > 1e-12 * np.maximum(np.abs(x).max(axis=0), 1e-300)
    if not varies.any():
        raise EstimationError("no covariate varies: there is nothing to balance", advice="Leave constants out.")
    centred = centred[:, varies] / scale[varies]
    size, turn = np.linalg.eigh(centred.T @ centred / (len(x) - 1))
    good = size > _RANK * size.max()
    return Whitened(scores=centred @ turn[:, good] / np.sqrt(size[good]))


def joint_distance(white: Whitened, arm: Floats, n_arms: int) -> float:
    r"""Measure the distance of the arms' means of all covariates at once.

    The sum over arms of n_a (m_a - m)' S^-1 (m_a - m), with m the mean and S the covariance of all units. For two arms
    it is Morgan and Rubin's M = n_1 n_0 / n times the squared Mahalanobis distance. Under random assignment of fixed
    numbers its mean is exactly rank x (arms - 1), and it is near chi-squared with so many degrees of freedom.

    Parameters
    ----------
    white : Whitened
    arm : int array, shape (n,)
    n_arms : int

    References
    ----------
    Morgan and Rubin (2012), Annals of Statistics 40, section 3; Hansen and Bowers (2008), Statistical Science 23.

    Examples
    --------
    >>> round(joint_distance(whiten(np.array([[1.0], [3.0], [4.0], [8.0]])), np.array([0, 0, 1, 1]), 2), 6)
    1.846154
    """
    n = np.bincount(arm, minlength=n_arms)
    sums = np.stack([np.bincount(arm, weights=column, minlength=n_arms) for column in white.scores.T], axis=1)
    return float(np.sum(np.divide(sums**2, n[:, None], out=np.zeros_like(sums), where=n[:, None] > 0)))
