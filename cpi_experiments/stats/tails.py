"""Tails and quantiles of the normal, Student's t and chi-squared for single numbers.

They give scipy's digits (tests: 1e-13) from the standard library alone: ``scipy.special`` takes longer to import than
a million rows take to be compared.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: With more degrees of freedom, and statistics below the root of a tenth of them, the expansion in the normal has
#: thirteen digits and the continued fraction many steps.
_MANY = 200.0
_NEAR = 0.1
_STEPS = 400


def normal_tail(x: float) -> float:
    """P(Z > x).

    Examples
    --------
    >>> round(normal_tail(1.959964), 6)
    0.025
    """
    return 0.5 * math.erfc(x / math.sqrt(2))


def normal_quantile(probability: float) -> float:
    """Value that the normal stays below with this probability.

    Examples
    --------
    >>> round(normal_quantile(0.975), 6)
    1.959964
    """
    return _two_sided(probability, _normal_upper)


def _two_sided(probability: float, upper: Callable[[float], float]) -> float:
    """Use the symmetry about 0: ``upper`` finds the quantile of an upper tail below one half."""
    if not 0 < probability < 1:
        return {0.0: -math.inf, 1.0: math.inf}.get(probability, math.nan)
    if probability == 0.5:
        return 0.0
    return -upper(probability) if probability < 0.5 else upper(1 - probability)


def _normal_upper(tail: float) -> float:
    t = math.sqrt(-2 * math.log(tail))  # Hastings' start, three digits
    x = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    for _ in range(3):  # Halley triples the digits
        density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        gap = (normal_tail(x) - tail) / density if density else 0.0
        x += gap / (1 - x * gap / 2)
    return x


def t_tail(x: float, df: float) -> float:
    """P(T > x) for Student's t; the normal for infinite ``df``.

    By the continued fraction of the incomplete beta function, and near the normal by an expansion.

    References
    ----------
    Hill (1970), Algorithm 395: Student's t-distribution. Communications of the ACM 13.

    Examples
    --------
    >>> round(t_tail(2.228139, 10), 6), round(t_tail(2.228139, 1e4), 6)
    (0.025, 0.012947)
    """
    if math.isinf(df) or math.isnan(x) or not df > 0:
        return normal_tail(x) if df > 0 else math.nan
    if x < 0:
        return 1 - t_tail(-x, df)
    if math.isinf(x):
        return 0.0
    return _expanded_tail(x, df) if df > _MANY and x / df * x < _NEAR else _beta_tail(x, df)


def _expanded_tail(x: float, df: float) -> float:
    a = df - 0.5
    b = 48 * a * a
    y = a * math.log1p(x / df * x)
    correction = (((-0.4 * y - 3.3) * y - 24) * y - 85.5) / (0.8 * y * y + 100 + b)
    return normal_tail(((correction + y + 3) / b + 1) * math.sqrt(y))


def _beta_tail(x: float, df: float) -> float:
    a, ratio = df / 2, x / df * x
    near = ratio / (1 + ratio)  # share of x² in df + x²
    front = _gamma_step(a) / math.sqrt(math.pi) * math.sqrt(near) * math.exp(-a * math.log1p(ratio))
    if near < 1.5 / (a + 2.5):
        return 0.5 - front * _continued_fraction(near, 0.5, a)
    return 0.5 * front * _continued_fraction(1 / (1 + ratio), a, 0.5) / a


def _gamma_step(a: float) -> float:
    """Gamma(a + 1/2) / Gamma(a)."""
    if a <= _MANY / 2:
        return math.gamma(a + 0.5) / math.gamma(a)
    series = 1 - 1 / (8 * a) + 1 / (128 * a**2) + 5 / (1024 * a**3) - 21 / (32768 * a**4) - 399 / (262144 * a**5)
    return math.sqrt(a) * series


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Lentz's method for the incomplete beta function."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    h = d
    for m in range(1, _STEPS):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / (1 + step * d), 1 + step / c
            h *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return h


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """Value that Student's t stays below with this probability; the normal's for infinite ``df``.

    Examples
    --------
    >>> round(t_quantile(0.975, 10), 6)
    2.228139
    """
    if math.isinf(df):
        return normal_quantile(probability)
    return _two_sided(probability, lambda tail: _t_upper(tail, df)) if df > 0 else math.nan


def _t_upper(tail: float, df: float) -> float:
    """Solve log P(T > e**u) = log tail by Newton's steps, kept between ends that hold the solution."""
    z = _normal_upper(tail)
    u = math.log(z) if z * z > 600 * df else math.log(math.sqrt(df * math.expm1(z * z / max(df - 0.5, df / 2))))
    low, high, wanted = -745.0, 709.0, math.log(tail)
    constant = math.log(_gamma_step(df / 2)) - 0.5 * math.log(df * math.pi)
    for _ in range(_STEPS):
        x = math.exp(u)
        here = t_tail(x, df)
        low, high = (u, high) if here > tail else (low, u)
        slope = math.exp(u + constant - (df + 1) / 2 * math.log1p(x / df * x))
        step = (math.log(here) - wanted) * here / slope if here and slope else math.inf
        if abs(step) <= 1e-8:  # the next would be its square
            return math.exp(u + step)
        u = u + step if low < u + step < high else (low + high) / 2
    return math.exp(u)


def chi_squared_tail(x: float, df: int) -> float:
    """P(X > x) for chi-squared with whole degrees of freedom, as a finite sum.

    Examples
    --------
    >>> round(chi_squared_tail(3.841459, 1), 6), round(chi_squared_tail(12.591587, 6), 6)
    (0.05, 0.05)
    """
    if math.isnan(x) or x <= 0:
        return math.nan if math.isnan(x) else 1.0
    half = x / 2
    odd = df % 2
    total = math.erfc(math.sqrt(half)) if odd else 0.0
    for i in range(df // 2):
        power = i + 0.5 * odd
        total += math.exp(power * math.log(half) - half - math.lgamma(power + 1))
    return min(total, 1.0)
