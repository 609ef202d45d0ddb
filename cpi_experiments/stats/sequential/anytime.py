"""Confidence sequences and e-values that hold at every look at once: the normal mixture.

An estimate d with variance s^2 has the score S = d / s^2 with information V = 1 / s^2. Averaging the likelihood ratio
of an effect against ``null`` over a normal prior with variance 1 / lambda gives an e-process: a bet that starts with 1
and whose chance ever to reach 1 / alpha is at most alpha if the null is true. Only r = V / lambda matters, and
``r = rate * t`` with t the information fraction (V over the V planned for the end), so that the sequence is narrowest
about the planned end and stays valid before and after it.

Exact for normal data of known variance. Otherwise asymptotic: valid as n grows if looks begin late enough (see
`cpi_experiments.randomized.monitoring`). Statistics of small samples are first turned into the normal ones with the
same tail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.student import ALTERNATIVES, normal_scores

Floats = np.ndarray
Numbers = float | Floats | Sequence[float]
_HALVINGS = 60
#: Beyond it a quantile is no bound.
_NO_BOUND = 1e30


def mixture_rate(alpha: float = 0.05, *, two_sided: bool = True) -> float:
    """Return r at the planned end that makes the sequence about as narrow as it can be there.

    ``-2 log(a) + log(1 - 2 log(a))`` with a = alpha, or 2 * alpha if one-sided.

    Raises
    ------
    DesignError
        If alpha is not between 0 and 1 (one half if one-sided).

    References
    ----------
    Howard, Ramdas, McAuliffe, Sekhon (2021), Ann. Stat. 49, section 3.5; Waudby-Smith et al. (2021), arXiv 2103.06476,
    appendix B.

    Examples
    --------
    >>> round((mixture_rate(0.05) / 1000) ** 0.5, 8)  # rho of a sequence tuned to 1,000 units
    0.0890851
    """
    a = alpha if two_sided else 2 * alpha
    if not 0 < a < 1:
        raise DesignError(f"alpha {alpha:g} is not between 0 and {1 if two_sided else 0.5:g}", advice="Such as 0.05.")
    return -2 * math.log(a) + math.log1p(-2 * math.log(a))


def log_e_value(z: Numbers, time: Numbers, *, alpha: float = 0.05, alternative: str = "two-sided") -> Floats:
    """Return the log of the evidence against the null, by how much a bet on an effect has grown.

    Parameters
    ----------
    z : array, shape (k,)
        (estimate - null) / standard error at each look.
    time : array, shape (k,)
        Information fractions; above 1 after the planned end.
    alpha : float
        Only for the tuning: the level at which the sequence is narrowest.
    alternative : {"two-sided", "greater", "less"}

    Returns
    -------
    array, shape (k,)

    Examples
    --------
    >>> log_e_value([0.0, 3.5], [0.5, 1.0]).round(3)
    array([-0.802,  4.345])
    """
    _check(alternative)
    two_sided = alternative == "two-sided"
    r = mixture_rate(alpha, two_sided=two_sided) * _above_zero(time)
    signed = -np.asarray(z, dtype=float) if alternative == "less" else np.asarray(z, dtype=float)
    return _log_mixture(signed, r, two_sided=two_sided)


def boundary(time: Numbers, *, alpha: float = 0.05, alternative: str = "two-sided") -> Floats:
    """Return the z whose e-value is 1 / alpha: the half-width of the sequence in standard errors.

    Two-sided: ``sqrt((1 + 1/r) * (log(1 + r) - 2 * log(alpha)))``.

    Examples
    --------
    >>> boundary([0.1, 1.0, 4.0]).round(3)
    array([3.855, 3.035, 3.127])
    >>> boundary([0.1, 1.0, 4.0], alternative="greater").round(3)
    array([3.634, 2.766, 2.862])
    """
    _check(alternative)
    two_sided = alternative == "two-sided"
    r = mixture_rate(alpha, two_sided=two_sided) * _above_zero(time)
    return _bound(r, alpha, two_sided=two_sided)


def e_values(
    estimates: Numbers,
    std_errors: Numbers,
    time: Numbers,
    *,
    null: float = 0.0,
    alpha: float = 0.05,
    alternative: str = "two-sided",
    df: Numbers = math.inf,
) -> Floats:
    """Return the e-value of ``null`` at each look; the confidence sequence leaves it out where it exceeds 1 / alpha.

    Examples
    --------
    >>> e_values([1.2, 1.0], [0.4, 0.2], [0.25, 1.0]).round(1)
    array([1.1500e+01, 2.2162e+04])
    """
    z = (np.asarray(estimates, dtype=float) - null) / np.asarray(std_errors, dtype=float)
    score = normal_scores(z, np.broadcast_to(np.asarray(df, dtype=float), z.shape))
    return np.asarray(np.exp(np.minimum(log_e_value(score, time, alpha=alpha, alternative=alternative), 700.0)))


def always_valid_p(e_values: Floats) -> Floats:
    """Return the p-value at each look that may be read at any of them: 1 over the largest e-value so far.

    Examples
    --------
    >>> always_valid_p(np.array([0.5, 40.0, 8.0]))
    array([1.   , 0.025, 0.025])
    """
    return np.asarray(np.minimum(1 / np.maximum.accumulate(np.maximum(e_values, 1e-300)), 1.0))


def student_bound(z: Floats, df: Numbers) -> Floats:
    """Return the t with the tail that ``z`` has under the normal.

    Examples
    --------
    >>> student_bound(np.array([1.959964, 3.0]), np.array([10.0, np.inf])).round(4)
    array([2.2281, 3.    ])
    """
    bound, many = np.broadcast_arrays(np.asarray(z, dtype=float), np.asarray(df, dtype=float))
    if np.all(np.isinf(many)):
        return np.asarray(bound)
    with np.errstate(over="ignore"):
        found = -special.stdtrit(np.where(np.isinf(many), 1.0, many), special.ndtr(-bound))
    found = np.where(found > _NO_BOUND, np.inf, found)  # older searches end at their own largest number
    return np.asarray(np.where(np.isinf(many), bound, found))


def _log_mixture(z: Floats, r: Floats, *, two_sided: bool) -> Floats:
    share = r / (1 + r)
    log_e = 0.5 * (share * z * z - np.log1p(r))
    if two_sided:
        return np.asarray(log_e)
    return np.asarray(math.log(2) + log_e + special.log_ndtr(z * np.sqrt(share)))


def _bound(r: Floats, alpha: float, *, two_sided: bool) -> Floats:
    level = alpha if two_sided else 2 * alpha
    start = np.sqrt((1 + 1 / r) * (np.log1p(r) - 2 * math.log(level)))
    if two_sided:
        return np.asarray(start)
    wanted, low, high = -math.log(alpha), np.zeros_like(start), start + 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        under = _log_mixture(middle, r, two_sided=False) < wanted
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    return np.asarray((low + high) / 2)


def _above_zero(time: Numbers) -> Floats:
    t = np.asarray(time, dtype=float)
    if not np.all(t > 0):
        raise DesignError("information fractions must be above zero", advice="Leave out looks without any data.")
    return t


def _check(alternative: str) -> None:
    if alternative not in ALTERNATIVES:
        raise DesignError(f"alternative {alternative!r} is not known", advice=f"Known: {', '.join(ALTERNATIVES)}.")
