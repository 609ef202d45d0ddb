"""Solve the power of a planned test for the sample, the effect or the margin: exact inverses of one function."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy import optimize

from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.planning.planned_outcomes import PlannedEvents
from cpi_experiments.randomized.planning.precision import Switchback

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpi_experiments.randomized.planning.planned_test import PlannedTest

#: More customers than anybody will ever have; a sample that must be larger is not looked for.
LARGEST_N = 1e18
#: Groups in an arm below which no variance is estimated, and customers.
FEWEST_GROUPS = 5
FEWEST_UNITS = 2
_STEP = 1.25
#: Hazard ratios beyond it (or its inverse) are not planned for.
LARGEST_RATIO = 1e4


def solve_n(test: PlannedTest, *, effect: float, margin: float | None, power: float) -> float:
    """Find the customers in all arms at which the weakest comparison has this power; not rounded.

    Raises
    ------
    DesignError
        If not even 1e18 customers are enough.
    """

    def lacking(n: float) -> float:
        return test.power(n, effect=effect, margin=margin) - power

    low = high = fewest_n(test)
    if lacking(low) >= 0:
        return low
    while lacking(high) < 0:
        low, high = high, 4 * high
        if high > LARGEST_N:
            raise DesignError(
                f"no feasible sample: even {LARGEST_N:.0e} customers have less power than {power:g}",
                advice="Plan for a larger effect (or margin), or an outcome that varies less.",
            )
    return float(optimize.brentq(lacking, low, high, xtol=1e-12, rtol=1e-15))


def fewest_n(test: PlannedTest) -> float:
    """Smallest sample with which the result can be analysed: two customers, or five groups, in the smallest arm."""
    smallest = min(test.shares)
    return FEWEST_UNITS / smallest if test.grouping is None else FEWEST_GROUPS * test.grouping.size / smallest


def solve_effect(test: PlannedTest, *, n: float, power: float) -> float:
    """Find the smallest effect that is found with this power; its sign is that of the alternative.

    Raises
    ------
    DesignError
        If no effect that the outcome can have is found with this power.
    """
    error = max(test.contrast(n, arm=j, effect=test.none).std_error for j in range(1, len(test.shares)))
    limit, to_effect = _reach_of_effects(test)
    steps = _solve_up(lambda s: test.power(n, effect=to_effect(s)) - power, start=min(error, limit) / 8, limit=limit)
    if steps is None:
        raise DesignError(
            f"no possible effect is found with power {power:g} by {n:,.0f} customers", advice="Plan for more customers."
        )
    return to_effect(steps)


def solve_margin(test: PlannedTest, *, n: float, effect: float, power: float) -> float:
    """Find the smallest margin that is kept with this power if the true effect is ``effect``.

    Raises
    ------
    DesignError
        If no margin is wide enough.
    """
    error = max(test.contrast(n, arm=j, effect=effect).std_error for j in range(1, len(test.shares)))
    limit = 1.0 if test.scale == "relative" else math.inf

    def to_margin(steps: float) -> float:
        return math.exp(steps) if isinstance(test.outcome, PlannedEvents) else steps

    steps = _solve_up(
        lambda s: test.power(n, effect=effect, margin=to_margin(s)) - power, start=min(error, limit) / 8, limit=limit
    )
    if steps is None:
        raise DesignError(
            f"no margin is kept with power {power:g} by {n:,.0f} customers", advice="Plan for more customers."
        )
    return to_margin(steps)


def days_of(test: PlannedTest, n: float) -> float:
    """Return how long the experiment takes; NaN if the traffic is not known."""
    if isinstance(test.outcome, PlannedEvents):
        return test.outcome.accrual_of(n, per_day=test.per_day) + test.outcome.follow_up
    if test.per_day:
        return n / test.per_day
    return n / test.grouping.per_day if isinstance(test.grouping, Switchback) else math.nan


def n_of(test: PlannedTest, days: float) -> float:
    """Return the customers who enter in these days.

    Raises
    ------
    DesignError
        If the traffic is not known or the days are too few.
    """
    traffic = test.grouping.per_day if isinstance(test.grouping, Switchback) else test.per_day
    if not traffic:
        raise DesignError(f"{days:g} days are no sample size without traffic", advice="Give `per_day` as well.")
    entering = days - (test.outcome.follow_up if isinstance(test.outcome, PlannedEvents) else 0.0)
    if not entering > 0:
        raise DesignError(
            f"{days:g} days leave no time for customers to enter", advice="Plan longer than the follow-up."
        )
    return entering * traffic


def limits_of_effect(test: PlannedTest) -> tuple[float, float]:
    """Return the effects between which all possible ones lie, on the effect scale."""
    if isinstance(test.outcome, PlannedEvents):
        return 1 / LARGEST_RATIO, LARGEST_RATIO
    base, (low, high) = test.outcome.baseline, test.outcome.possible
    if test.scale == "relative":
        return max(low / base, 0.0) - 1, high / base - 1
    return (-math.inf, math.inf) if math.isnan(base) else (low - base, high - base)


def _reach_of_effects(test: PlannedTest) -> tuple[float, Callable[[float], float]]:
    """Largest size of an effect, and how a size becomes an effect."""
    sign = test.sign
    if isinstance(test.outcome, PlannedEvents):
        return math.log(LARGEST_RATIO), lambda s: math.exp(sign * s)
    low, high = limits_of_effect(test)
    return (high if sign > 0 else -low), lambda s: sign * s


def _solve_up(lacking: Callable[[float], float], *, start: float, limit: float) -> float | None:
    """Find the first zero above ``start`` in growing steps, as the power may fall again close to the limit."""
    low, high = 0.0, start
    top = limit * (1 - 1e-9)
    while lacking(high) < 0:
        if high >= top or high > 1e300:
            return None
        low, high = high, min(high * _STEP, top)
    return float(optimize.brentq(lacking, low, high, xtol=1e-300, rtol=1e-15)) if high > 0 else 0.0
