"""Power of the judging rule itself, for one experiment with a strong first stage and one planned look.

A link is confirmed when its estimate passes three lines at once: the portfolio's threshold, the smallest effect worth
acting on after shrinkage, and a breakdown point of at least a tenth. It is refuted when both one-sided tests against
that smallest effect pass the portfolio's threshold.
"""

from __future__ import annotations

import math

from scipy import optimize, special

#: Shares of the KPI lift that may be direct: needed for a confirmation, and for grade A.
FRAGILE = 0.10
ROBUST = 0.25
_TWO_SIDED = 1.959963984540054


def confirm_power(std_error: float, *, effect: float, sesoi: float, threshold: float) -> float:
    """Chance to confirm a true effect of KPI per increment.

    Parameters
    ----------
    std_error : float
        Standard error of KPI per increment.
    effect, sesoi : float
        True effect and smallest effect worth acting on, both above zero.
    threshold : float
        One-sided p-value that the portfolio asks of this link.

    Examples
    --------
    >>> round(confirm_power(0.25, effect=1.5, sesoi=1.0, threshold=0.0083), 3)
    0.96
    """
    z = -float(special.ndtri(threshold))
    line = max(z * std_error, sesoi + std_error**2 / sesoi, std_error * _TWO_SIDED / (1 - FRAGILE))
    return float(special.ndtr((effect - line) / std_error))


def refute_power(std_error: float, *, sesoi: float, threshold: float, effect: float = 0.0) -> float:
    """Chance to refute a link as immaterial (both one-sided tests pass).

    Examples
    --------
    >>> round(refute_power(0.25, sesoi=1.0, threshold=0.0083), 3)
    0.891
    """
    reach = sesoi / std_error + float(special.ndtri(threshold))
    shift = effect / std_error
    return max(float(special.ndtr(reach - shift) - special.ndtr(-reach - shift)), 0.0)


def std_error_to_confirm(*, sesoi: float, threshold: float, target: float = 0.8, multiple: float = 1.5) -> float:
    """Largest standard error at which an effect of ``multiple`` SESOI is confirmed with power ``target``.

    Examples
    --------
    >>> error = std_error_to_confirm(sesoi=1.0, threshold=0.0083)
    >>> round(confirm_power(error, effect=1.5, sesoi=1.0, threshold=0.0083), 6)
    0.8
    """
    return _largest(
        lambda s: confirm_power(s, effect=multiple * sesoi, sesoi=sesoi, threshold=threshold) - target, sesoi
    )


def std_error_to_refute(*, sesoi: float, threshold: float, target: float = 0.8) -> float:
    """Largest standard error at which a link without effect is refuted with power ``target``.

    Examples
    --------
    >>> error = std_error_to_refute(sesoi=1.0, threshold=0.0083)
    >>> round(refute_power(error, sesoi=1.0, threshold=0.0083), 6)
    0.8
    """
    return _largest(lambda s: refute_power(s, sesoi=sesoi, threshold=threshold) - target, sesoi)


def _largest(surplus, sesoi: float) -> float:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a function of one float
    return float(optimize.brentq(surplus, 1e-4 * sesoi, 10 * sesoi, xtol=1e-12 * sesoi, rtol=1e-12))


def times_as_many(std_error: float, needed: float) -> float:
    """How many times as many customers bring a standard error down to what is needed; 1 if it is there.

    Examples
    --------
    >>> times_as_many(0.4, 0.2)
    4.0
    """
    return max((std_error / needed) ** 2, 1.0) if math.isfinite(std_error) else math.inf
