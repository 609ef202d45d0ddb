"""Shares that were simulated, beside what a formula says: exact intervals, and when the two disagree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.stats.planning.power import power

if TYPE_CHECKING:
    from cpi_experiments.stats.resampling.resampled_trials import History

Floats = np.ndarray

#: Two-sided chance of three standard errors of the normal.
_THREE_ERRORS = 0.0026997960632601866


def exact_interval(count: int, total: int, *, confidence_level: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval of a share.

    References
    ----------
    Clopper, Pearson (1934), Biometrika 26.

    Examples
    --------
    >>> [round(end, 4) for end in exact_interval(8, 10)]
    [0.4439, 0.9748]
    """
    tail = (1 - confidence_level) / 2
    low = float(special.betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return low, high


def agrees(count: int, total: int, share: float) -> bool:
    """Whether a simulated count lies within three Monte-Carlo errors of a share (exact binomial, 99.73 %).

    Examples
    --------
    >>> agrees(800, 1000, 0.79), agrees(800, 1000, 0.74)
    (True, False)
    """
    low, high = exact_interval(count, total, confidence_level=1 - _THREE_ERRORS)
    return low <= share <= high


def unit_std_dev(history: History, *, treated: bool, j: int) -> float:
    """Compute the standard deviation of the j-th outcome between randomised units, after covariates and strata.

    For clusters it is that of ``(sum_i - mean * size_i) / mean size``, so that over n clusters the variance of a mean
    is its square over n.

    Examples
    --------
    >>> from cpi_experiments.stats.resampling.resampled_trials import history_of
    >>> rows = np.array([[1.0], [2.0], [3.0]])
    >>> unit_std_dev(history_of(rows, rows, covariates=np.zeros((3, 0))), treated=False, j=0)
    1.0
    """
    values = (history.treatment if treated else history.control)[:, j]
    crossed = (history.with_treatment if treated else history.with_control)[:, :, j]
    total = history.size.sum()
    mean = history.covariates.sum(axis=0) / total
    squares = history.squares.sum(axis=0) - total * np.outer(mean, mean)
    slopes = np.linalg.pinv(squares, rcond=1e-12, hermitian=True) @ (crossed.sum(axis=0) - mean * values.sum())
    values = values - (history.covariates - history.size[:, None] * mean) @ slopes
    groups = int(history.strata.max()) + 1
    means = np.bincount(history.strata, weights=values, minlength=groups) / np.bincount(
        history.strata, weights=history.size, minlength=groups
    )
    rest = values - history.size * means[history.strata]
    return math.sqrt(float(rest @ rest) / (len(rest) - groups)) / float(history.size.mean())


def formula_power(history: History, effect: float, *, arms: tuple[int, int], alpha: float, j: int) -> float:
    """Power that the formula promises for the j-th outcome: one standard deviation for both arms, noncentral t.

    Parameters
    ----------
    history : History
    effect : float
        In the outcome's unit.
    arms : (int, int)
        Units in control and in treatment.
    alpha : float
    j : int
    """
    control, treatment = arms
    if effect == 0:
        return alpha
    spread = [unit_std_dev(history, treated=treated, j=j) ** 2 for treated in (False, True)]
    pooled = math.sqrt((spread[0] / control + spread[1] / treatment) / (1 / control + 1 / treatment))
    return power(effect, control + treatment, std_dev=pooled, ratio=treatment / control, alpha=alpha)
