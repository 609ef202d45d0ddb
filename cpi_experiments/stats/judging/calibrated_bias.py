"""Bias of regressions, learned from links that have a regression and an experiment.

Estimates are in one unit, such as SESOI, and oriented alike. A number in which a regression has a part may feed a
forecast or the value of information; it never feeds a verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.student import quantile

Floats = np.ndarray

#: Links with both from which the bias may be used to correct a regression.
FEWEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """Distribution of the bias of regressions over links.

    Parameters
    ----------
    mean, std_error : float
        Mean bias over links (regression minus experiment) and its standard error; NaN with one link.
    variance : float
        Variance of the bias between links, what sampling errors alone would give taken out; not below zero.
    low, high : float
        95 % interval of the mean.
    links : int
        Links with both.
    """

    mean: float
    std_error: float
    variance: float
    low: float
    high: float
    links: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """Regression and experiment in one number, the regression's bias taken out: for forecasts only.

    Parameters
    ----------
    value, std_error, low, high : array, shape (m,)
        95 % intervals; NaN where a link has neither estimate.
    """

    value: Floats
    std_error: Floats
    low: Floats
    high: Floats


def calibrate_bias(obs: Floats, obs_se: Floats, exp: Floats, exp_se: Floats) -> Bias:
    """Mean and variance of the bias of regressions.

    Parameters
    ----------
    obs, obs_se : array, shape (m,)
        Estimates from past data and their standard errors.
    exp, exp_se : array, shape (m,)
        Estimates from experiments. Links for which one of the four is missing tell nothing and are left out.

    Returns
    -------
    Bias

    Raises
    ------
    EstimationError
        If shapes differ, a standard error is not above zero, or no link has both.

    Notes
    -----
    gap = obs - exp with variance s^2 = obs_se^2 + exp_se^2. The variance t^2 between links solves the moment equation
    ``sum (gap - mean)^2 / (s^2 + t^2) = m - 1``, and is 0 if that has no solution above; the mean is weighted by
    1 / (s^2 + t^2). Its interval takes the t distribution with m - 1 degrees of freedom and the spread of the gaps
    themselves, and is never narrower than the sampling errors alone make it.

    References
    ----------
    Paule, Mandel (1982), J. Res. Natl. Bur. Stand. 87; Hartung, Knapp (2001), Statistics in Medicine 20.

    Examples
    --------
    >>> past, trial = np.array([1.5, 2.5, 0.9, 1.7]), np.array([1.0, 1.0, 0.5, 1.0])
    >>> bias = calibrate_bias(past, np.full(4, 0.03), trial, np.full(4, 0.1))
    >>> round(bias.mean, 2), round(bias.variance, 2), round(bias.low, 2), round(bias.high, 2)
    (0.78, 0.24, -0.02, 1.57)
    """
    values = _checked(obs, obs_se, exp, exp_se)
    both = np.all(np.isfinite(values), axis=0)
    if not np.any(both):
        raise EstimationError(
            f"none of {values.shape[1]} links has a regression and an experiment",
            advice="The bias of regressions can only be seen where both exist.",
        )
    return _bias(*_gaps(values[:, both]))


def pool(obs: Floats, obs_se: Floats, exp: Floats, exp_se: Floats) -> Pooled:
    """Correct every regression by the bias seen on the other links and pool it with the link's experiment.

    For forecasts and the value of information only. A link never tells its own bias: its gap is left out.

    Parameters
    ----------
    obs, obs_se, exp, exp_se : array, shape (m,)
        As in `calibrate_bias`. Without an experiment the corrected regression stands alone, without a regression the
        experiment does.

    Returns
    -------
    Pooled

    Raises
    ------
    EstimationError
        If fewer than ten links have both.

    Notes
    -----
    The corrected regression is obs - mean with variance obs_se^2 + t^2 + std_error(mean)^2, weighted with the
    experiment by precision; the quantile is Student's with the degrees of freedom of the other links (the normal's for
    an experiment alone). Here t^2 is its posterior mean under a flat prior on t: the moment equation gives 0 too often,
    and intervals built on it cover 88 % where the bias varies about as much as the experiments err.

    References
    ----------
    Gelman (2006), Bayesian Analysis 1 (flat prior on the standard deviation between groups).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> truth = rng.normal(size=20)
    >>> past, trial = truth + 0.8 + 0.2 * rng.normal(size=20), truth + 0.5 * rng.normal(size=20)
    >>> found = pool(past, np.full(20, 0.05), trial, np.full(20, 0.5))
    >>> [round(float(np.sqrt(np.mean((guess - truth) ** 2))), 2) for guess in (past, trial, found.value)]
    [0.83, 0.36, 0.22]
    """
    values = _checked(obs, obs_se, exp, exp_se)
    both = np.all(np.isfinite(values), axis=0)
    if int(np.sum(both)) < FEWEST:
        raise EstimationError(
            f"{int(np.sum(both))} links have a regression and an experiment, which is too few to correct regressions",
            advice=f"It needs {FEWEST}. Until then use the experiment alone.",
        )
    has_trial = np.all(np.isfinite(values[2:]), axis=0)
    corrected, variance, df = _corrected(values, both)
    precision = np.stack([1 / variance, np.where(has_trial, 1 / values[3] ** 2, 0.0)])
    total = np.sum(precision, axis=0)
    known = total > 0
    total = np.where(known, total, np.nan)
    trial = np.where(has_trial, values[2], 0.0)
    value = (precision[0] * corrected + precision[1] * trial) / total
    error = 1 / np.sqrt(total)
    half = np.array([quantile(0.975, d) for d in df]) * error
    return Pooled(value=value, std_error=error, low=value - half, high=value + half)


def _corrected(values: Floats, both: Floats) -> tuple[Floats, Floats, Floats]:
    """Regressions without their bias, their variances (infinite where not to be used) and degrees of freedom."""
    m = values.shape[1]
    corrected, variance, df = np.zeros(m), np.full(m, np.inf), np.full(m, np.inf)
    for i in np.flatnonzero(np.all(np.isfinite(values[:2]), axis=0)):
        others = both.copy()
        others[i] = False
        gap, sampling = _gaps(values[:, others])
        between = _expected_between(gap, sampling)
        weight = 1 / (sampling + between)
        corrected[i] = values[0, i] - np.sum(weight * gap) / np.sum(weight)
        variance[i] = values[1, i] ** 2 + between + 1 / np.sum(weight)
        df[i] = len(gap) - 1
    return corrected, variance, df


def _gaps(values: Floats) -> tuple[Floats, Floats]:
    return values[0] - values[2], values[1] ** 2 + values[3] ** 2


def _bias(gap: Floats, sampling: Floats) -> Bias:
    count = len(gap)
    if count == 1:
        nan = math.nan
        return Bias(mean=float(gap[0]), std_error=nan, variance=nan, low=nan, high=nan, links=1)
    variance = _between(gap, sampling)
    weight = 1 / (sampling + variance)
    mean = float(np.sum(weight * gap) / np.sum(weight))
    spread = float(np.sum(weight * (gap - mean) ** 2)) / (count - 1)
    error = math.sqrt(max(spread, 1.0) / float(np.sum(weight)))
    half = quantile(0.975, count - 1) * error
    return Bias(mean=mean, std_error=error, variance=variance, low=mean - half, high=mean + half, links=count)


def _between(gap: Floats, sampling: Floats) -> float:
    """Variance between links by the moment equation; Newton's steps from zero never overshoot, as it is convex."""
    found = 0.0
    for _ in range(200):
        weight = 1 / (sampling + found)
        rest = (gap - np.sum(weight * gap) / np.sum(weight)) ** 2
        excess = float(np.sum(weight * rest)) - (len(gap) - 1)
        step = excess / float(np.sum(weight**2 * rest)) if excess > 0 else 0.0
        found += step
        if step <= 1e-12 * found:
            break
    return found


def _expected_between(gap: Floats, sampling: Floats) -> float:
    """Posterior mean of the variance between links: restricted likelihood, flat prior on the standard deviation."""
    top = 6 * math.sqrt(float(np.var(gap) + np.mean(sampling)))
    spread = np.linspace(0, top, 241)[:, None]
    weight = 1 / (sampling + spread**2)
    total = np.sum(weight, axis=1)
    mean = np.sum(weight * gap, axis=1) / total
    misfit = np.sum(weight * (gap - mean[:, None]) ** 2, axis=1)
    log_like = 0.5 * (np.sum(np.log(weight), axis=1) - np.log(total) - misfit)
    return float(special.softmax(log_like) @ spread[:, 0] ** 2)


def _checked(obs: Floats, obs_se: Floats, exp: Floats, exp_se: Floats) -> Floats:
    arrays = [np.asarray(array, dtype=np.float64) for array in (obs, obs_se, exp, exp_se)]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1 or arrays[0].ndim != 1:
        raise EstimationError(f"estimates and errors have shapes {sorted(shapes)}", advice="Give one of each per link.")
    values = np.stack(arrays)
    wrong = int(np.sum(values[1::2] <= 0))
    if wrong:
        raise EstimationError(f"{wrong} standard errors are not above zero")
    return values
