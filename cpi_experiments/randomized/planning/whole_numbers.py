"""From a sample on paper to whole customers and whole clusters in every arm, and whether that many exist."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.planning.design_words import effect_words
from cpi_experiments.randomized.planning.given import real
from cpi_experiments.randomized.planning.solving import solve_effect, solve_margin

if TYPE_CHECKING:
    from cpi_experiments.randomized.arms import Label
    from cpi_experiments.randomized.planning.planned_test import PlannedTest

Counts = dict["Label", int]


def rounded_up(test: PlannedTest, n: float) -> tuple[Counts, Counts | None]:
    """Round every arm up to whole customers, or to whole clusters of the planned size.

    Examples
    --------
    >>> from cpi_experiments.randomized.planning.design import design
    >>> from cpi_experiments.randomized.planning.planned_outcomes import PlannedMean
    >>> rounded_up(design(PlannedMean(sd=1), effect=0.1, allocation={"old": 1, "new": 2}, control="old").test, 10.0)
    ({'old': 4, 'new': 7}, None)
    """
    if test.grouping is None:
        return {arm: _up(n * share) for arm, share in zip(test.labels, test.shares, strict=True)}, None
    size = test.grouping.size
    groups = {arm: _up(n * share / size) for arm, share in zip(test.labels, test.shares, strict=True)}
    return {arm: _up(count * size) for arm, count in groups.items()}, groups


def split(test: PlannedTest, n: float) -> tuple[Counts, Counts | None]:
    """Give every arm its share of a sample that is fixed; the largest remainders are rounded up.

    Examples
    --------
    >>> from cpi_experiments.randomized.planning.design import design
    >>> from cpi_experiments.randomized.planning.planned_outcomes import PlannedMean
    >>> split(design(PlannedMean(sd=1), n=11).test, 11.0)
    ({'control': 6, 'treatment': 5}, None)
    """
    counts = _apportioned(test, _up(n))
    if test.grouping is None:
        return counts, None
    return counts, _apportioned(test, max(1, round(n / test.grouping.size)))


def check_population(
    test: PlannedTest, *, n: float, population: float | None, effect: float | None, margin: float | None, power: float
) -> None:
    """Refuse a plan that needs more customers than exist, and say what all of them would find.

    Raises
    ------
    DesignError
    """
    if population is None or n <= real(population, "population"):
        return
    if not population > 0:
        raise DesignError(f"a population of {population:g} customers")
    raise DesignError(
        f"not feasible: {math.ceil(n):,} customers needed, {population:,.0f} exist",
        advice=_what_all_find(test, population, effect=effect, margin=margin, power=power),
    )


def _what_all_find(
    test: PlannedTest, population: float, *, effect: float | None, margin: float | None, power: float
) -> str:
    try:
        if test.goal == "superiority":
            test = test if effect is None else test.towards(effect)
            found = effect_words(test, solve_effect(test, n=population, power=power))
        else:
            true = effect if effect is not None else test.none
            found = f"a margin of {solve_margin(test, n=population, effect=true, power=power):.4g}"
    except DesignError:
        return "Not even all of them would be enough for any effect: choose an outcome that varies less."
    at = "that can be shown" if margin is not None else "they find"
    return (
        f"With all of them, {found} is the smallest {at} with power {power:g}: plan for that, or reduce the variance."
    )


def _up(value: float) -> int:
    return math.ceil(value * (1 - 1e-12))


def _apportioned(test: PlannedTest, total: int) -> Counts:
    exact = [total * share for share in test.shares]
    floors = [math.floor(value + 1e-9) for value in exact]
    order = sorted(range(len(exact)), key=lambda i: floors[i] - exact[i])
    for i in order[: total - sum(floors)]:
        floors[i] += 1
    return dict(zip(test.labels, floors, strict=True))
