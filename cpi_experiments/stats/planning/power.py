"""Power of a two-arm comparison of means, and its exact inverses: one code path for all three."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.planning.scale_integral import scale_nodes
from cpi_experiments.stats.student import ALTERNATIVES, quantile

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST_N = 1e12
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(96)
_NORMAL = (_NODES, _WEIGHTS / _WEIGHTS.sum())


def power(
    effect: float,
    n_total: float,
    *,
    std_dev: float,
    ratio: float = 1.0,
    alpha: float = 0.05,
    alternative: str = "two-sided",
) -> float:
    """Chance that the t test of a difference in means rejects.

    Parameters
    ----------
    effect : float
        True difference treatment - control; its size is what counts for a two-sided test.
    n_total : float
        Units in both arms together.
    std_dev : float
        Standard deviation of the outcome within an arm (after covariate adjustment, if any).
    ratio : float
        Units in treatment per unit in control.
    alpha : float
    alternative : {"two-sided", "greater", "less"}

    Raises
    ------
    DesignError
        If a number is outside its range.

    References
    ----------
    Noncentral t with n_total - 2 degrees of freedom: Cohen (1988), chapter 2.

    Examples
    --------
    >>> round(power(0.047, 10_000, std_dev=0.6556565656565659**0.5, alternative="greater"), 7)
    0.8956531
    """
    _check(std_dev=std_dev, ratio=ratio, alpha=alpha, alternative=alternative)
    _check_finite(effect, "an effect of {}")
    _check_finite(n_total, "a sample of {} units")
    if n_total <= 2:
        return 0.0
    n_control = n_total / (1 + ratio)
    std_error = std_dev * math.sqrt(1 / n_control + 1 / (n_total - n_control))
    return t_test_power(effect / std_error, n_total - 2, alpha=alpha, alternative=alternative)


def t_test_power(
    shift: float, df: float, *, alpha: float = 0.05, alternative: str = "two-sided", critical: float | None = None
) -> float:
    """Chance that a t test rejects whose statistic has mean ``shift`` in standard errors.

    Parameters
    ----------
    shift : float
        True effect over the standard error.
    df : float
        Degrees of freedom, 1 or more; infinite for the normal.
    alpha : float
    alternative : {"two-sided", "greater", "less"}
    critical : float, optional
        Limit of the statistic, where it is not Student's own quantile (several arms).

    Examples
    --------
    >>> round(t_test_power(2.8, math.inf), 4), round(t_test_power(2.8, 18), 4)
    (0.7996, 0.7543)
    """
    if critical is None:
        critical = quantile(1 - (alpha / 2 if alternative == "two-sided" else alpha), df)
    if alternative == "two-sided":
        return _upper_power(abs(shift), df, critical) + _upper_power(-abs(shift), df, critical)
    return _upper_power(shift if alternative == "greater" else -shift, df, critical)


def _upper_power(shift: float, df: float, critical: float) -> float:
    if df > 1e6:  # the series is slow here; the root of a chi-squared is normal to 1e-13
        wider = math.sqrt(1 + critical**2 / (2 * df))
        return float(special.ndtr((shift - critical * (1 - 1 / (4 * df))) / wider))
    if abs(shift) > 25:  # the series of the noncentral t ends
        return _far_power(shift, df, critical)
    chance = float(special.nctdtr(df, -shift, -critical))
    return 0.0 if math.isnan(chance) and shift < 0 else chance  # the series ends below 1e-13


def _far_power(shift: float, df: float, critical: float) -> float:
    """Average over the estimate of sigma, or over that of the effect: whichever way the integrand is smooth."""
    if critical < 0:
        return 1 - _far_power(-shift, df, -critical)
    if shift < 0:
        return 0.0  # below 1e-130
    if critical**2 < 2 * df:
        u, weights = scale_nodes(df)
        return 1 - float(weights @ special.ndtr(critical * u - shift))
    z, weights = _NORMAL
    return 1 - float(weights @ special.gammaincc(df / 2, df / 2 * ((shift - z) / critical) ** 2))


def minimum_detectable_effect(
    n_total: float,
    target: float = 0.8,
    *,
    std_dev: float,
    ratio: float = 1.0,
    alpha: float = 0.05,
    alternative: str = "two-sided",
) -> float:
    """Smallest effect (a size) found with power ``target``: the exact inverse of `power`.

    Examples
    --------
    >>> round(minimum_detectable_effect(10_000, std_dev=0.6556565656565659**0.5), 7)
    0.0453746
    """
    _check(std_dev=std_dev, ratio=ratio, alpha=alpha, alternative=alternative)
    _check_target(target, alpha)
    _check_finite(n_total, "a sample of {} units")
    if n_total <= 2:
        raise DesignError(f"{n_total:g} units are too few", advice="Both arms together need more than two units.")
    sign = -1 if alternative == "less" else 1
    scale = std_dev * (math.sqrt(ratio) + 1 / math.sqrt(ratio)) / math.sqrt(n_total)

    def lacking(steps: float) -> float:
        effect = sign * steps * scale
        return power(effect, n_total, std_dev=std_dev, ratio=ratio, alpha=alpha, alternative=alternative) - target

    return scale * _solve(lacking, 0.0, 1.0)


def sample_size(
    effect: float,
    target: float = 0.8,
    *,
    std_dev: float,
    ratio: float = 1.0,
    alpha: float = 0.05,
    alternative: str = "two-sided",
) -> int:
    """Units in both arms together so that `power` reaches ``target``, rounded up; two an arm at least.

    Raises
    ------
    DesignError
        If the effect is 0, has the wrong sign for the alternative, or no sample is large enough.

    Examples
    --------
    >>> sample_size(0.05, std_dev=0.6556565656565659**0.5)
    8236
    """
    _check(std_dev=std_dev, ratio=ratio, alpha=alpha, alternative=alternative)
    _check_target(target, alpha)
    _check_finite(effect, "an effect of {}")
    if effect == 0 or (alternative == "greater" and effect < 0) or (alternative == "less" and effect > 0):
        raise DesignError(
            f"an effect of {effect:g} cannot be found by a {alternative} test",
            advice="Give the smallest effect that is worth acting on.",
        )

    def lacking(n: float) -> float:
        return power(effect, n, std_dev=std_dev, ratio=ratio, alpha=alpha, alternative=alternative) - target

    if lacking(_LARGEST_N) < 0:
        raise DesignError(
            f"no feasible sample finds an effect of {effect:g}",
            advice=f"Even {_LARGEST_N:g} units are too few: look for a larger effect or a less noisy outcome.",
        )
    fewest = 2 * (1 + max(ratio, 1 / ratio))  # two units an arm: fewer have no variance
    return math.ceil(max(_solve(lacking, 2.0, 16.0), fewest) - 1e-6)


def _solve(lacking: Callable[[float], float], low: float, high: float) -> float:
    while lacking(high) < 0:
        low, high = high, high * 4
    return float(optimize.brentq(lacking, low, high, xtol=1e-9, rtol=1e-13))


def _check(*, std_dev: float, ratio: float, alpha: float, alternative: str) -> None:
    if not (std_dev > 0 and math.isfinite(std_dev)):
        raise DesignError(f"standard deviation {std_dev:g} is not above zero")
    if not (ratio > 0 and math.isfinite(ratio)):
        raise DesignError(f"allocation ratio {ratio:g} is not above zero")
    if not 0 < alpha < 1:
        raise DesignError(f"alpha {alpha:g} is not between 0 and 1", advice="Did you mean 0.05?")
    if alternative not in ALTERNATIVES:
        raise DesignError(f"alternative {alternative!r} is not known", advice=f"Known: {', '.join(ALTERNATIVES)}.")


def _check_finite(value: float, what: str) -> None:
    if not math.isfinite(value):
        raise DesignError(f"{what.format(value)} is not a number to plan with")


def _check_target(target: float, alpha: float) -> None:
    if not alpha < target < 1:
        raise DesignError(
            f"power {target:g} is not between alpha ({alpha:g}) and 1", advice="A usual power is 0.8 or 0.9."
        )
