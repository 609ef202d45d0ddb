"""What resampling answers with: a p-value that counts, its own error, and the interval that inverts the test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.student import ALTERNATIVES

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = np.ndarray

#: Statistics that agree to this share are the same one, up to the order of its sums.
SAME = 1e-8
#: Ends of an interval are looked for up to this many standard errors away; beyond it there is no end.
FARTHEST = 2.0**9
_HALVINGS = 40
#: So many resamples fit into memory at once: numbers, not bytes.
BLOCK = 4_000_000
#: Fewer resamples than this cannot carry a p-value of a twentieth.
FEWEST = 99


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """An effect with its p-value and interval from resamples.

    Parameters
    ----------
    effect, std_error : float
        Of the data as they are; the standard error is the one the statistic is divided by.
    ci_low, ci_high, p_value : float
        Ends are infinite where resamples are too few, or assignments too few, to exclude anything.
    p_error : float
        Monte Carlo standard error of ``p_value``; 0 if every possible resample was counted.
    resamples : int
    exact : bool
        Whether the resamples are all there are.
    smallest_p : float
        No data could have given a smaller p-value.
    ratio_low, ratio_high : float
        Interval of treatment over control; NaN where the method has none.
    """

    effect: float
    std_error: float
    ci_low: float
    ci_high: float
    p_value: float
    p_error: float
    resamples: int
    exact: bool
    smallest_p: float
    ratio_low: float = math.nan
    ratio_high: float = math.nan


def check_resampling(*, reps: int, confidence_level: float, alternative: str) -> None:
    """Refuse numbers of resamples, levels and alternatives that have no meaning.

    Raises
    ------
    EstimationError
    """
    if reps < FEWEST:
        raise EstimationError(f"{reps} resamples are too few", advice=f"At least {FEWEST}; 1,999 is the default.")
    if not 0 < confidence_level < 1:
        raise EstimationError(f"confidence level {confidence_level} is not between 0 and 1")
    if alternative not in ALTERNATIVES:
        raise EstimationError(f"alternative {alternative!r} is not known", advice=f"Known: {', '.join(ALTERNATIVES)}.")


def extreme(draws: Floats, statistic: Floats | float, *, alternative: str) -> Floats:
    """Mark the resampled statistics that are at least as extreme as the observed one.

    Examples
    --------
    >>> extreme(np.array([-2.0, 0.5, 2.0]), 2.0, alternative="two-sided")
    array([ True, False,  True])
    """
    slack = SAME * np.abs(np.where(np.isfinite(statistic), statistic, 0.0))
    if alternative == "two-sided":
        return np.asarray(np.abs(draws) >= np.abs(statistic) - slack)
    if alternative == "greater":
        return np.asarray(draws >= statistic - slack)
    return np.asarray((draws <= statistic + slack) | (draws == np.inf))


def counted_p(hits: int, resamples: int, *, exact: bool) -> float:
    """p-value of a count of resamples: the data themselves count as one, unless they are among them.

    References
    ----------
    Phipson, Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, article 39.

    Examples
    --------
    >>> counted_p(99, 1999, exact=False), counted_p(2, 70, exact=True)
    (0.05, 0.02857142857142857)
    """
    return hits / resamples if exact else (1 + hits) / (1 + resamples)


def error_of_p(p: float, resamples: int, *, exact: bool) -> float:
    """Monte Carlo standard error of a counted p-value.

    Examples
    --------
    >>> round(error_of_p(0.05, 1999, exact=False), 4)
    0.0049
    """
    return 0.0 if exact else math.sqrt(p * (1 - p) / (resamples + 1))


def inverted(
    p_at: Callable[[float], float], effect: float, std_error: float, *, confidence_level: float, alternative: str
) -> tuple[float, float]:
    """Interval of the effects that a test does not reject.

    From the estimate outwards the distance doubles until the test rejects, then halves between accepted and rejected.

    Parameters
    ----------
    p_at : function
        p-value of the hypothesis that the effect is a given number.
    effect, std_error : float
        Where to start, and in steps of what.
    confidence_level : float
    alternative : {"two-sided", "greater", "less"}

    Returns
    -------
    low, high : float
        Infinite where nothing is rejected within 512 standard errors.

    Examples
    --------
    >>> from cpi_experiments.stats.student import p_value
    >>> low, high = inverted(lambda null: p_value((1 - null) / 0.5, math.inf), 1.0, 0.5, confidence_level=0.95,
    ...                      alternative="two-sided")
    >>> round(low, 4), round(high, 4)
    (0.02, 1.98)
    """
    alpha = 1 - confidence_level
    low = _end(p_at, effect, -std_error, alpha) if alternative != "less" else -math.inf
    high = _end(p_at, effect, std_error, alpha) if alternative != "greater" else math.inf
    return low, high


def _end(p_at: Callable[[float], float], effect: float, step: float, alpha: float) -> float:
    inside, outside = 0.0, 1.0
    while p_at(effect + outside * step) > alpha * (1 + SAME):
        inside, outside = outside, 2 * outside
        if outside > FARTHEST:
            return math.copysign(math.inf, step)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if p_at(effect + middle * step) > alpha * (1 + SAME):
            inside = middle
        else:
            outside = middle
    return effect + outside * step
