"""Tests against a margin: not worse than (non-inferiority), and as good as the same (equivalence)."""

from __future__ import annotations

from dataclasses import dataclass

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.student import interval, p_value

BETTER = ("higher", "lower")


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginTest:
    """A test against a margin and the interval that decides the same.

    Parameters
    ----------
    p_value : float
    low, high : float
        One-sided bound (the other end is infinite) for non-inferiority; the interval at 1 - 2 alpha for equivalence.
    shown : bool
        Whether the margin was kept: p < alpha, which is the same as the interval lying inside.
    """

    p_value: float
    low: float
    high: float
    shown: bool


def noninferiority(
    value: float, std_error: float, df: float, *, margin: float, better: str = "higher", confidence_level: float = 0.95
) -> MarginTest:
    """Test that a value is not worse than zero by as much as a margin.

    Null: ``value <= -margin`` where higher is better, ``value >= margin`` where lower is better. One-sided at
    ``1 - confidence_level``.

    Parameters
    ----------
    value, std_error, df : float
        Estimate, its standard error and degrees of freedom; infinite ``df`` for the normal.
    margin : float
        At least 0, in the unit of the value; 0 is the one-sided test of superiority.
    better : {"higher", "lower"}
    confidence_level : float

    Raises
    ------
    EstimationError
        If the margin is negative or not finite, or the direction is not known.

    References
    ----------
    Wellek (2010), Testing Statistical Hypotheses of Equivalence and Noninferiority, chapter 1.

    Examples
    --------
    >>> noninferiority(0.1, 0.06998, float("inf"), margin=0.02).p_value.__round__(4)
    0.0432
    """
    _check(margin, least="at least 0", allowed=margin >= 0)
    if better not in BETTER:
        raise EstimationError(f"better {better!r} is not known", advice="Known: higher, lower.")
    sign = 1.0 if better == "higher" else -1.0
    side = "greater" if better == "higher" else "less"
    p = p_value((value + sign * margin) / std_error, df, alternative=side)
    low, high = interval(value, std_error, df, confidence_level=confidence_level, alternative=side)
    return MarginTest(p_value=p, low=low, high=high, shown=p < 1 - confidence_level)


def equivalence(
    value: float, std_error: float, df: float, *, bound: float, confidence_level: float = 0.95
) -> MarginTest:
    """Test that a value lies within ``-bound`` to ``bound``: two one-sided tests, each at ``1 - confidence_level``.

    The p-value is the larger of the two; it is below alpha exactly where the interval at ``1 - 2 alpha`` (90 % for 95 %
    confidence) lies inside the bounds.

    Parameters
    ----------
    value, std_error, df : float
    bound : float
        Above 0, in the unit of the value.
    confidence_level : float

    Raises
    ------
    EstimationError
        If the bound is not above zero.

    References
    ----------
    Schuirmann (1987), J. Pharmacokinetics and Biopharmaceutics 15.

    Examples
    --------
    >>> test = equivalence(0.1, 0.5, float("inf"), bound=1.0)
    >>> round(test.p_value, 4), test.shown, round(test.low, 3), round(test.high, 3)
    (0.0359, True, -0.722, 0.922)
    """
    _check(bound, least="above 0", allowed=bound > 0)
    above = p_value((value + bound) / std_error, df, alternative="greater")
    below = p_value((value - bound) / std_error, df, alternative="less")
    alpha = 1 - confidence_level
    low, _ = interval(value, std_error, df, confidence_level=confidence_level, alternative="greater")
    _, high = interval(value, std_error, df, confidence_level=confidence_level, alternative="less")
    p = max(above, below)
    return MarginTest(p_value=p, low=low, high=high, shown=p < alpha)


def _check(size: float, *, least: str, allowed: bool) -> None:
    if not allowed or size == float("inf"):
        raise EstimationError(f"margin {size} is not a size", advice=f"Give a number {least}.")
