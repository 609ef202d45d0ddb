"""Other views of the experiments of one link: outliers, single levers, shared noise, a forecast, independent halves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.combining.debiased import without_each
from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects

Floats = np.ndarray

#: First-stage F from which the ratio of every experiment is about normal.
RATIO_F = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Random-effects mean of the experiments' own ratios, and where the ratio of a new lever is to be expected.

    Parameters
    ----------
    value, std_error : float
        Paule-Mandel mean and Hartung-Knapp error.
    tau : float
        Standard deviation of the ratios between experiments.
    low, high : float
        Prediction interval: value +- t with K - 2 times sqrt(tau^2 + std_error^2).
    """

    value: float
    std_error: float
    tau: float
    low: float
    high: float


def weighted_median(effects: Effects) -> float:
    """Median of the experiments' ratios, weighted by x^2 / yy: holds while less than half of the weight is amiss.

    Attenuated by noise in x, so a view on outliers and no estimate.

    References
    ----------
    Bowden, Davey Smith, Haycock, Burgess (2016), Genetic Epidemiology 40.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> ones = np.ones(3)
    >>> three = Effects(x=ones, y=np.array([1.0, 1.2, 9.0]), xx=ones, xy=0 * ones, yy=ones, df=ones, sign=ones,
    ...                 move=ones)
    >>> weighted_median(three)
    1.2
    """
    moved = effects.x != 0
    if not np.any(moved):
        return math.nan
    ratios = effects.y[moved] / effects.x[moved]
    weights = effects.x[moved] ** 2 / effects.yy[moved]
    order = np.argsort(ratios)
    ratios, weights = ratios[order], weights[order] / np.sum(weights)
    return float(np.interp(0.5, np.cumsum(weights) - weights / 2, ratios))


def noise_correlation(effects: Effects) -> float:
    """Mean correlation of the noise of the two effects over experiments; 0 where no customers are shared."""
    size = np.sqrt(effects.xx * effects.yy)
    return float(np.mean(np.divide(effects.xy, size, out=np.zeros(len(effects)), where=size > 0)))


def range_without_each(effects: Effects, groups: Floats) -> tuple[float, float]:
    """Range of the debiased ratio when each lever in turn is left out; NaN for a single lever.

    Parameters
    ----------
    effects : Effects
    groups : array of int, shape (K,)
        Lever of every experiment, 0 to G - 1.
    """
    if int(np.max(groups)) == 0:
        return math.nan, math.nan
    found = without_each(effects, groups)
    return (math.nan, math.nan) if np.isnan(found).any() else (float(np.min(found)), float(np.max(found)))


def prediction(effects: Effects, *, confidence_level: float = 0.95) -> Prediction | None:
    """Where the ratio of a new lever is to be expected; None unless every experiment has F of 30 and there are three.

    Parameters
    ----------
    effects : Effects
    confidence_level : float

    References
    ----------
    Paule, Mandel (1982); Hartung, Knapp (2001), Stat. Med. 20; Higgins, Thompson, Spiegelhalter (2009), JRSS A 172.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> ones = np.ones(3)
    >>> three = Effects(x=9 * ones, y=np.array([4.0, 5, 9]), xx=ones, xy=0 * ones, yy=ones, df=ones, sign=ones,
    ...                 move=ones)
    >>> found = prediction(three)
    >>> round(found.value, 2), round(found.tau, 2), round(found.low, 1), round(found.high, 1)
    (0.65, 0.26, -3.2, 4.5)
    """
    k = len(effects)
    if k < 3 or not np.all(effects.x**2 >= RATIO_F * effects.xx) or not np.all(effects.x != 0):
        return None
    ratios = effects.y / effects.x
    variances = (effects.yy - 2 * ratios * effects.xy + ratios**2 * effects.xx) / effects.x**2
    tau2 = paule_mandel_of_values(ratios, variances)
    w = 1 / (variances + tau2)
    value = float(np.sum(w * ratios) / np.sum(w))
    error2 = float(np.sum(w * (ratios - value) ** 2) / ((k - 1) * np.sum(w)))
    half = quantile(0.5 + confidence_level / 2, k - 2) * math.sqrt(tau2 + error2)
    return Prediction(
        value=value, std_error=math.sqrt(error2), tau=math.sqrt(tau2), low=value - half, high=value + half
    )


def paule_mandel_of_values(values: Floats, variances: Floats) -> float:
    """Paule-Mandel variance between values about their own weighted mean.

    Examples
    --------
    >>> round(paule_mandel_of_values(np.array([1.0, 3.0]), np.array([0.5, 0.5])), 6)
    1.5
    """
    tau2, rest = 0.0, len(values) - 1
    for _ in range(200):
        w = 1 / (variances + tau2)
        residual = (values - np.sum(w * values) / np.sum(w)) ** 2
        excess = float(np.sum(w * residual)) - rest
        if excess <= 1e-12 * rest:
            break
        tau2 += excess / float(np.sum(w * w * residual))
    return tau2


def across_halves(x: Floats, y: Floats, *, weights: Floats) -> tuple[float, float]:
    """Ratio from two halves of every experiment's customers, whose noise has nothing in common.

    sum(w (x1 y2 + x2 y1)) / sum(2 w x1 x2): needs no covariance at all, so it checks those that were given.

    Parameters
    ----------
    x, y : array, shape (2, K)
        Effects in the first and in the second half.
    weights : array, shape (K,)

    Returns
    -------
    value, std_error : float
        The error is the jackknife over experiments; NaN and infinite where the halves do not agree on a move.

    Raises
    ------
    EstimationError
        If there are fewer than three experiments.

    References
    ----------
    Bibaut, Chou, Ejdemyr, Kallus (2024), KDD: jackknifed covariances of experiments.

    Examples
    --------
    >>> x = np.array([[1.0, 2, 3], [1.1, 2.1, 2.9]])
    >>> [round(number, 3) for number in across_halves(x, 0.5 * x, weights=np.ones(3))]
    [0.5, 0.0]
    """
    k = x.shape[1]
    if k < 3:
        raise EstimationError(f"{k} experiments are too few for a check by halves", advice="Three are needed.")
    top, bottom = weights * (x[0] * y[1] + x[1] * y[0]), 2 * weights * x[0] * x[1]
    rest = np.sum(bottom) - bottom
    if not (np.sum(bottom) > 0 and np.all(rest > 0)):
        return math.nan, math.inf
    value = float(np.sum(top) / np.sum(bottom))
    moved = (np.sum(top) - top) / rest - value
    return value, math.sqrt((k - 1) / k * float(np.sum(moved**2)))
