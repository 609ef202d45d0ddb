"""The debiased ratio of many experiments ("TC"), its error over experiments, and the set that needs no strong move.

The scatter of estimated effects is steeper (or flatter) than the link, because the noise of CPI and KPI is shared by
the same customers. Its expectation is known, so it is subtracted: a_k = w_k (x_k y_k - xy_k), b_k = w_k (x_k^2 - xx_k)
and the ratio is sum(a) / sum(b).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.stats.combining.heterogeneity import paule_mandel
from cpi_experiments.stats.instruments.fieller import fieller_set
from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects
    from cpi_experiments.stats.instruments.fieller import Interval

Floats = np.ndarray

#: Strength (kappa) from which a debiased point may be printed.
STRONG = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Debiased:
    """Debiased ratio of K experiments.

    Parameters
    ----------
    value : float
        KPI per increment; NaN where the corrected sum of squared moves is not above zero.
    std_error : float
        Jackknife over experiments.
    sandwich_error : float
        sqrt(K/(K-1) sum g^2) / sum(b), the first-order form of the same.
    df : float
        K - 1.
    strength : float
        kappa = sum(x^2/xx - 1) / sqrt(2K): how far the moves stand out of their noise; 4 or more for a point.
    """

    value: float
    std_error: float
    sandwich_error: float
    df: float
    strength: float

    @property
    def printable(self) -> bool:
        """Whether the moves are strong enough for a point."""
        return self.strength >= STRONG and math.isfinite(self.value)

    def interval(self, *, confidence_level: float = 0.95) -> tuple[float, float]:
        """Interval with the t quantile; only where the moves are strong, else the K-score set."""
        half = quantile(0.5 + confidence_level / 2, self.df) * self.std_error
        return self.value - half, self.value + half


def typical_move(effects: Effects) -> float:
    """Mean squared true move of the experiments, estimated around zero (Paule-Mandel)."""
    if not np.all(effects.xx > 0):
        return float(np.mean(np.maximum(effects.x**2 - effects.xx, 0)))
    return paule_mandel(effects.x**2, effects.xx, total=len(effects))


def steady_weights(effects: Effects) -> Floats:
    """Weights 1 / (yy (m + xx)), m the typical squared move: 1 / yy where all CPIs are measured alike.

    With 1 / yy alone an experiment whose CPI effect is mostly noise would count like one whose effect is sharp.
    """
    return np.asarray(1 / (effects.yy * (typical_move(effects) + effects.xx)))


def debiased_terms(effects: Effects) -> tuple[Floats, Floats]:
    """Terms a_k and b_k, shape (K,), whose sums have no bias from the noise."""
    w = steady_weights(effects)
    w = w / np.max(w)
    return w * (effects.x * effects.y - effects.xy), w * (effects.x**2 - effects.xx)


def strength(effects: Effects) -> float:
    """kappa: sum(x^2/xx - 1) / sqrt(2K), which is about standard normal where no lever moves the CPI."""
    with np.errstate(divide="ignore"):
        return float(np.sum(effects.x**2 / effects.xx - 1) / math.sqrt(2 * len(effects)))


def debiased_ratio(effects: Effects) -> Debiased:
    """Debiased ratio with its jackknife error.

    Parameters
    ----------
    effects : Effects
        Two experiments or more.

    Notes
    -----
    Every experiment counts as one observation, so effects that differ between levers are in the error. Weights follow
    the variances alone, never a single estimated move.

    References
    ----------
    Ye, Shao, Kang (2021), Ann. Stat. 49 (debiased IVW); Angrist, Imbens, Krueger (1999), J. Appl. Econometrics 14
    (JIVE); Bibaut, Chou, Ejdemyr, Kallus (2024), KDD: total covariance.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> ones = np.ones(4)
    >>> four = Effects(x=np.array([1.0, 2, 3, 4]), y=np.array([0.6, 1.1, 1.4, 2.1]), xx=ones / 50, xy=ones / 100,
    ...                yy=ones / 50, df=np.inf * ones, sign=ones, move=ones)
    >>> found = debiased_ratio(four)
    >>> round(found.value, 4), round(found.strength, 1), found.printable
    (0.5134, 528.9, True)
    """
    a, b = debiased_terms(effects)
    k, bread = len(a), float(np.sum(b))
    moved = strength(effects)
    if not bread > 0:
        return Debiased(value=math.nan, std_error=math.inf, sandwich_error=math.inf, df=k - 1.0, strength=moved)
    value = float(np.sum(a)) / bread
    g = a - value * b
    rest = bread - b
    jackknife = math.sqrt((k - 1) / k * float(np.sum((g / rest) ** 2))) if np.all(rest > 0) else math.inf
    return Debiased(
        value=value,
        std_error=jackknife,
        sandwich_error=math.sqrt(k / (k - 1) * float(np.sum(g**2))) / bread,
        df=k - 1.0,
        strength=moved,
    )


def without_each(effects: Effects, groups: Floats) -> Floats:
    """Debiased ratio without each group of experiments in turn; NaN where nothing is left to divide by.

    Parameters
    ----------
    effects : Effects
    groups : array of int, shape (K,)
        Group of every experiment, 0 to G - 1.

    Returns
    -------
    array, shape (G,)
    """
    a, b = debiased_terms(effects)
    without = [float(np.sum(part)) - np.bincount(groups, weights=part) for part in (a, b)]
    return np.where(without[1] > 0, without[0] / np.where(without[1] > 0, without[1], 1.0), np.nan)


def moment_set(effects: Effects, *, confidence_level: float = 0.95) -> tuple[Interval, ...]:
    """All ratios t at which the terms a_k - t b_k have a mean that a t test does not tell from zero.

    Closed form, like Fieller's set; valid for any strength of the moves once the experiments are many.

    Parameters
    ----------
    effects : Effects
        Three experiments or more.
    confidence_level : float

    Returns
    -------
    tuple of (low, high)
        One interval, two rays or the line.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> ones, x = np.ones(12), np.array([1.0, 2, 3, 4] * 3)
    >>> many = Effects(x=x, y=x / 2 + np.array([0.1, -0.1, 0.1] * 4), xx=ones / 50, xy=ones / 100, yy=ones / 50,
    ...                df=np.inf * ones, sign=ones, move=ones)
    >>> (low, high), = moment_set(many)
    >>> round(low, 3), round(high, 3)
    (0.486, 0.539)
    """
    a, b = debiased_terms(effects)
    k = len(a)
    spread = np.cov(b, a) / k
    return fieller_set(
        float(np.mean(b)),
        float(np.mean(a)),
        var_x=float(spread[0, 0]),
        var_y=float(spread[1, 1]),
        cov=float(spread[0, 1]),
        critical=quantile(0.5 + confidence_level / 2, k - 1),
    )
