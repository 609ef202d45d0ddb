"""Value of the next test: how much better a decision is expected to be after it (expected value of sample information).

An effect per step is known as normal with mean m and standard deviation tau. Acting on it earns ``value * (effect -
line)``, not acting earns nothing, so one acts if the mean lies above the line. A test with standard error e moves the
mean by a normal amount with standard deviation ``s = tau^2 / sqrt(tau^2 + e^2)``, and is worth

    value * s * [phi(z) - z * Phi(-z)],   z = |m - line| / s:

the same whether one acts today (the test may stop the spending) or not (it may start it).

References
----------
Raiffa, Schlaifer (1961), Applied Statistical Decision Theory, chapter 5 (linear loss, normal prior). Gupta, Miescke
(1996), J. Stat. Plan. Inference 54; Frazier, Powell, Dayanik (2008), SIAM J. Control Optim. 47 (the same number as
"knowledge gradient": measure where it is largest, again and again).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.planning.judging_power import FRAGILE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Floats = np.ndarray


def normal_loss(z: ArrayLike) -> Floats:
    """Return the unit normal loss ``E max(Z - z, 0) = phi(z) - z * Phi(-z)`` for z >= 0, exact far out.

    Parameters
    ----------
    z : array_like, any shape
        Zero or more; infinite gives 0.

    Returns
    -------
    ndarray
        Of the shape of ``z``.

    Examples
    --------
    >>> normal_loss([0.0, 1.0, 2.0]).round(6).tolist()  # Raiffa and Schlaifer, table II: .3989, .08332, .008491
    [0.398942, 0.083315, 0.008491]
    """
    at = np.asarray(z, dtype=float)
    finite = np.minimum(at, 1e6)  # beyond, the density is 0 and Mills' ratio would only overflow
    mills = math.sqrt(math.pi / 2) * special.erfcx(finite / math.sqrt(2))
    density = np.exp(-0.5 * finite**2) / math.sqrt(2 * math.pi)
    return np.asarray(density * np.maximum(1 - finite * mills, 0.0))


def moved_mean_sd(sd: ArrayLike, std_error: ArrayLike) -> Floats:
    """Return the standard deviation by which a test with a standard error moves the mean of what is known.

    Parameters
    ----------
    sd : array_like
        Standard deviation of what is known before the test, zero or more.
    std_error : array_like
        Of the test; infinite for a test that says nothing. Shapes broadcast.

    Examples
    --------
    >>> moved_mean_sd(1.0, [0.0, 1.0, np.inf]).round(4).tolist()
    [1.0, 0.7071, 0.0]
    """
    tau, error = np.asarray(sd, dtype=float), np.asarray(std_error, dtype=float)
    whole = np.hypot(tau, error)
    return np.asarray(np.divide(tau**2, whole, out=np.zeros(np.broadcast(tau, error).shape), where=whole > 0))


def sample_information(
    mean: ArrayLike, sd: ArrayLike, *, std_error: ArrayLike, line: ArrayLike, value: ArrayLike = 1.0
) -> Floats:
    """Return the expected gain of deciding after a test instead of now.

    Parameters
    ----------
    mean, sd : array_like
        What is known of the effect per step: posterior mean and standard deviation (zero or more).
    std_error : array_like
        Standard error of the test's estimate of the effect per step; 0 gives the value of perfect information,
        infinity a test that says nothing.
    line : array_like
        Effect per step at which acting breaks even.
    value : array_like
        What one unit of effect per step is worth: worth of the KPI x attainable steps x customers.

    Returns
    -------
    ndarray
        In the unit of ``value``; shapes broadcast.

    Raises
    ------
    EstimationError
        If a number is missing, a standard deviation or error is negative, or a value is negative.

    Examples
    --------
    >>> round(float(sample_information(0.0, 1.0, std_error=0.0, line=0.0)), 4)  # perfect information
    0.3989
    >>> round(float(sample_information(0.005, 0.004, std_error=0.003, line=0.004, value=1e6)), 1)
    838.4
    """
    given = {"mean": mean, "sd": sd, "std_error": std_error, "line": line, "value": value}
    arrays = {name: np.asarray(each, dtype=float) for name, each in given.items()}
    for name, each in arrays.items():
        wrong = np.isnan(each) if name == "std_error" else ~np.isfinite(each)
        if wrong.any():
            raise EstimationError(f"{int(wrong.sum())} of {each.size} numbers of {name} are missing or infinite")
        if name in ("sd", "std_error", "value") and (each < 0).any():
            raise EstimationError(f"{name} is negative: {each.min():g}", advice="It is a size, zero or more.")
    s = moved_mean_sd(arrays["sd"], arrays["std_error"])
    gap = np.abs(arrays["mean"] - arrays["line"])
    z = np.divide(gap, s, out=np.full(np.broadcast(gap, s).shape, np.inf), where=s > 0)
    return np.asarray(arrays["value"] * s * normal_loss(z))


def outcome_needed(mean: float, sd: float, *, std_error: float, line: float) -> float:
    """Return the result of a test at which the mean of what is then known lies exactly on a line.

    Parameters
    ----------
    mean, sd : float
        What is known before; an infinite ``sd`` means nothing is.
    std_error : float
        Of the test, finite and above zero.
    line : float

    Examples
    --------
    >>> outcome_needed(0.0, 1.0, std_error=1.0, line=0.5)
    1.0
    >>> outcome_needed(0.0, np.inf, std_error=1.0, line=0.5)
    0.5
    """
    if sd == 0:
        return math.inf if mean < line else -math.inf
    return line + (line - mean) * (std_error / sd) ** 2


def chance_above(mean: float, sd: float, *, std_error: float, result: float) -> float:
    """Chance that a test's estimate exceeds a result, given what is known before.

    Examples
    --------
    >>> round(chance_above(0.0, 1.0, std_error=1.0, result=1.0), 4)
    0.2398
    """
    return float(special.ndtr((mean - result) / math.hypot(sd, std_error)))


def verdict_lines(std_error: float, *, sesoi: float, threshold: float) -> tuple[float, float]:
    """Estimates from which the judging rule confirms a link, and up to which (in size) it refutes it as immaterial.

    The first is the largest of three lines: the portfolio's threshold, the SESOI after shrinkage, a breakdown point
    of a tenth; `cpi_experiments.stats.planning.judging_power` gives their power.

    Parameters
    ----------
    std_error : float
        Of KPI per increment, all experiments together.
    sesoi : float
        Smallest effect worth acting on, above zero.
    threshold : float
        One-sided p-value that the portfolio asks of this link.

    Returns
    -------
    (float, float)
        The second is negative if this standard error is too large to refute anything.

    Examples
    --------
    >>> [round(line, 3) for line in verdict_lines(0.25, sesoi=1.0, threshold=0.0083)]
    [1.062, 0.401]
    """
    reach = -float(special.ndtri(threshold)) * std_error
    confirm = max(reach, sesoi + std_error**2 / sesoi, std_error * -float(special.ndtri(0.025)) / (1 - FRAGILE))
    return confirm, sesoi - reach
