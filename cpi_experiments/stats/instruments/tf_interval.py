"""The tF interval of a ratio: how far 1.96 has to grow when the first stage is weak. Shown, never a filter."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.tails import normal_quantile, normal_tail

#: Means of the first stage's t at which the critical value is solved.
_STEPS = 1200


def tf_critical(f_statistic: float, *, confidence_level: float = 0.95) -> float:
    """Critical value of the t ratio of an instrumental-variable estimate, given the first stage's F.

    The t ratio is worst when the errors of both stages are the same: with first-stage t ``f`` of mean ``m`` it is then
    ``f (f - m) / m``. The critical value ``c(f)`` is the smooth one under which this exceeds it in exactly the stated
    share of experiments for every ``m``; it is the normal quantile from F = 104.67 on (at 95 %).

    Parameters
    ----------
    f_statistic : float
        Squared t of the first stage (one instrument).
    confidence_level : float

    Returns
    -------
    float
        Infinite where the first stage cannot be told from 0.

    Raises
    ------
    EstimationError
        If the level is not a share above one half.

    References
    ----------
    Lee, McCrary, Moreira, Porter (2022), American Economic Review 112: valid t-ratio inference for IV.

    Examples
    --------
    >>> [round(tf_critical(f), 1) for f in (3.8, 4.0, 10.24, 104.7)]
    [inf, 18.7, 3.4, 2.0]
    """
    if not 0.5 < confidence_level < 1:
        raise EstimationError(f"confidence level {confidence_level} is not between 0.5 and 1")
    if math.isnan(f_statistic):
        return math.nan
    two_sided, f = normal_quantile(0.5 + confidence_level / 2), math.sqrt(f_statistic)
    if f <= two_sided:
        return math.inf
    at, critical = _curve(confidence_level)
    if f >= at[-1]:
        return two_sided
    # 1/c is smooth where c runs away to infinity
    return float(1 / np.interp(f, at, 1 / critical))


def tf_interval(
    value: float, std_error: float, f_statistic: float, *, confidence_level: float = 0.95
) -> tuple[float, float]:
    """Return the estimate plus and minus `tf_critical` standard errors; the line if the first stage is too weak.

    Examples
    --------
    >>> low, high = tf_interval(1.0, 0.1, 10.24)
    >>> round(low, 3), round(high, 3)
    (0.661, 1.339)
    """
    critical = tf_critical(f_statistic, confidence_level=confidence_level)
    if math.isinf(critical):
        return -math.inf, math.inf
    return value - critical * std_error, value + critical * std_error


@lru_cache(maxsize=16)
def _curve(confidence_level: float) -> tuple[np.ndarray, np.ndarray]:
    """Solve for c from weak to strong: what is rejected far below zero was solved before, the rest lies above ``f``."""
    tail = 1 - confidence_level
    one_sided, two_sided = normal_quantile(confidence_level), normal_quantile(1 - tail / 2)
    last = one_sided * two_sided / (two_sided - one_sided)  # where c meets the normal quantile
    at, inverse = [two_sided], [0.0]
    for m in np.geomspace(1e-3, last - one_sided, _STEPS):
        below = _rejected_below(m, np.array(at), np.array(inverse))
        f = m + normal_quantile(1 - (tail - below))
        at.append(f)
        inverse.append(m / (f * (f - m)))
    return np.array(at), np.array([1e-12, *inverse[1:]]) ** -1.0


def _rejected_below(m: float, at: np.ndarray, inverse: np.ndarray) -> float:
    """P(f < -e) where ``e (e + m) / m`` reaches c(e), among the e that are solved."""
    over = at * (at + m) * inverse / m >= 1
    if not over.any():
        return normal_tail(at[-1] + m) if len(at) == 1 else 0.0
    i = int(np.argmax(over))  # never the first, where 1 / c is 0
    gap = at[i - 1 : i + 1] * (at[i - 1 : i + 1] + m) * inverse[i - 1 : i + 1] / m - 1
    return normal_tail(float(at[i - 1] - gap[0] * (at[i] - at[i - 1]) / (gap[1] - gap[0])) + m)
