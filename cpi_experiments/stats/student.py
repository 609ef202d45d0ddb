"""Tails and quantiles of Student's t, with the normal as its limit; Welch-Satterthwaite degrees of freedom."""

from __future__ import annotations

import math

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.tails import t_quantile, t_tail

ALTERNATIVES = ("two-sided", "greater", "less")


def upper_tail(statistic: float, df: float) -> float:
    """P(T > statistic) for Student's t; the normal for infinite ``df``. Never ``1 - cdf``.

    Examples
    --------
    >>> round(upper_tail(1.959964, math.inf), 6)
    0.025
    """
    return t_tail(float(statistic), float(df))


def quantile(probability: float, df: float) -> float:
    """Student's t quantile; the normal's for infinite ``df``.

    Examples
    --------
    >>> round(quantile(0.975, 10), 6)
    2.228139
    """
    return t_quantile(float(probability), float(df))


def normal_scores(statistic: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Turn t statistics into the normal ones with the same tail; infinite ``df`` leaves them as they are.

    Examples
    --------
    >>> normal_scores(np.array([2.228139, 1.5]), np.array([10.0, np.inf])).round(4)
    array([1.96, 1.5 ])
    """
    if np.all(np.isinf(df)):
        return statistic
    from scipy import special  # noqa: PLC0415 - whole arrays only; its import takes longer than a comparison

    size = np.abs(statistic)
    score = -special.ndtri(special.stdtr(np.where(np.isinf(df), 1.0, df), -size))
    return np.asarray(np.where(np.isinf(df), statistic, np.copysign(np.minimum(score, size), statistic)))


def p_value(statistic: float, df: float, *, alternative: str = "two-sided") -> float:
    """p-value of a t statistic.

    Parameters
    ----------
    statistic, df : float
    alternative : {"two-sided", "greater", "less"}

    Raises
    ------
    EstimationError
        If the alternative is another word.

    Examples
    --------
    >>> round(p_value(2.228139, 10), 6)
    0.05
    """
    if alternative not in ALTERNATIVES:
        raise EstimationError(f"alternative {alternative!r} is not known", advice=f"Known: {', '.join(ALTERNATIVES)}.")
    if alternative == "two-sided":
        return 2 * upper_tail(abs(statistic), df)
    return upper_tail(statistic if alternative == "greater" else -statistic, df)


def interval(
    value: float, std_error: float, df: float, *, confidence_level: float = 0.95, alternative: str = "two-sided"
) -> tuple[float, float]:
    """Confidence interval that matches the test of ``alternative``; one-sided ones have an infinite end.

    Examples
    --------
    >>> low, high = interval(1.0, 0.5, math.inf)
    >>> round(low, 4), round(high, 4)
    (0.02, 1.98)
    """
    if alternative == "two-sided":
        half = quantile(0.5 + confidence_level / 2, df) * std_error
        return value - half, value + half
    half = quantile(confidence_level, df) * std_error
    return (value - half, math.inf) if alternative == "greater" else (-math.inf, value + half)


def satterthwaite(variances: np.ndarray, dfs: np.ndarray) -> float:
    """Degrees of freedom of a sum of independent variance estimates (Welch 1947).

    Parameters
    ----------
    variances, dfs : array, shape (c,)
        Each component's contribution to the variance and its degrees of freedom.

    Examples
    --------
    >>> float(round(satterthwaite(np.array([1.0, 1.0]), np.array([9.0, 9.0])), 6))
    18.0
    """
    total = float(np.sum(variances))
    if not total > 0:
        return math.nan
    return 1 / float(np.sum(np.square(variances / total) / dfs))  # shares first: squares may leave the doubles
