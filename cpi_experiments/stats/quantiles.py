"""Quantiles with intervals that need no shape of the distribution."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from cpi_experiments.errors import EstimationError


def order_ranks(n: int, probability: float, *, confidence_level: float = 0.95) -> tuple[int, int]:
    """Return the ranks of the two order statistics between which a quantile lies.

    The number of values below the quantile is binomial, whatever the distribution; each side misses with at most half
    of what the confidence level leaves. Ties make the interval safer, never too short.

    Parameters
    ----------
    n : int
        Values.
    probability : float
        Which quantile: 0.5 is the median.
    confidence_level : float

    Returns
    -------
    lower, upper : int
        From 1 to n; 0 or n + 1 where so few values cannot bound that side.

    Raises
    ------
    EstimationError
        If there is no value or the probability is not between 0 and 1.

    References
    ----------
    Conover (1999), Practical Nonparametric Statistics, 3rd ed., section 3.2; Hahn, Meeker (1991), section 5.2.

    Examples
    --------
    >>> order_ranks(10, 0.5), order_ranks(100, 0.5), order_ranks(5, 0.9)
    ((2, 9), (40, 61), (3, 6))
    """
    if n < 1 or not 0 < probability < 1:
        raise EstimationError(f"a quantile {probability:g} of {n} values does not exist")
    tail = (1 - confidence_level) / 2
    guess = math.sqrt(n * probability * (1 - probability)) * special.ndtri(1 - tail)
    reach = int(guess) + 10  # the binomial is far thinner beyond it
    centre = int(n * probability)
    ranks = np.arange(max(centre - reach - 20, 0), min(centre + reach + 20, n + 1) + 1)
    below = np.where(ranks > 0, special.bdtr(np.maximum(ranks - 1, 0), n, probability), 0.0)  # P(B <= rank - 1)
    above = np.where(ranks > 0, special.bdtrc(np.maximum(ranks - 1, 0), n, probability), 1.0)  # P(B >= rank)
    above = np.where(ranks > n, 0.0, above)
    return int(ranks[below <= tail].max()), int(ranks[above <= tail].min())


def quantile_ranks(n: int, probability: float) -> tuple[int, int, float]:
    """Return the ranks around a quantile of n values and the weight of the upper one (linear interpolation).

    References
    ----------
    Hyndman, Fan (1996), Am. Stat. 50, 361-365, definition 7: that of numpy, pandas, R and SQL's ``percentile_cont``.

    Examples
    --------
    >>> quantile_ranks(4, 0.5)
    (2, 3, 0.5)
    """
    place = (n - 1) * probability
    lower = math.floor(place + 1e-9 * max(place, 1.0) if abs(place - round(place)) < 1e-9 * max(place, 1.0) else place)
    return lower + 1, min(lower + 2, n), max(place - lower, 0.0)


def share_ranks(low: float, high: float, n: int) -> tuple[int, int]:
    """Turn an interval of the share below a quantile into ranks (Woodruff's interval).

    Parameters
    ----------
    low, high : float
        Interval of the share of values at or below the quantile.
    n : int
        Values.

    Returns
    -------
    lower, upper : int
        From 1 to n; 0 or n + 1 where a side has no bound.

    References
    ----------
    Woodruff (1952), J. Am. Stat. Assoc. 47, 635-646.

    Examples
    --------
    >>> share_ranks(0.42, 0.58, 100), share_ranks(0.9, 1.0, 20)
    ((42, 59), (18, 21))
    """
    lower, upper = math.floor(low * n + 1e-9), math.ceil(high * n - 1e-9) + 1
    return max(lower, 0), min(upper, n + 1)
