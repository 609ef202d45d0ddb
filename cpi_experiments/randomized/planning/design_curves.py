"""The power of a plan over samples and effects, as its picture needs it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.figures.power_curve import PowerCurve, power_curve
from cpi_experiments.randomized.planning.design_words import amount, effect_words, sentence
from cpi_experiments.randomized.planning.planned_outcomes import PlannedProportion
from cpi_experiments.randomized.planning.solving import fewest_n, limits_of_effect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cpi_experiments.randomized.planning.design import Design

_POINTS = 61


def draw_design(plan: Design) -> Figure:
    """Draw the power against the sample, and against the effect or the margin.

    Examples
    --------
    >>> from cpi_experiments.randomized.planning.design import design
    >>> from cpi_experiments.randomized.planning.planned_outcomes import PlannedMean
    >>> len(draw_design(design(PlannedMean(sd=1.0), effect=0.1)).axes)
    3
    """
    notes = [f"{plan.n:,} customers: {100 * plan.power:.0f}%", f"{_target_words(plan)}: {100 * plan.power:.0f}%"]
    return power_curve([_by_n(plan), _by_target(plan)], title=sentence(plan), notes=notes)


def _by_n(plan: Design) -> PowerCurve:
    test = plan.test
    low, high = fewest_n(test), max(2.0 * plan.n, 2 * fewest_n(test))
    x = [low + (high - low) * i / (_POINTS - 1) for i in range(_POINTS)]
    power = [test.power(n, effect=plan.effect, margin=plan.margin) for n in x]
    label = f"customers in all arms, with {_target_words(plan)}"
    return PowerCurve(x=x, power=power, planned=(float(plan.n), plan.power), label=label)


def _by_target(plan: Design) -> PowerCurve:
    test = plan.test
    target = plan.effect if plan.margin is None else plan.margin
    low, high = (
        limits_of_effect(test) if plan.margin is None else (test.none, 1.0 if test.scale == "relative" else math.inf)
    )
    steps = [2 * (i + 1e-6) / (_POINTS - 1) for i in range(_POINTS)]
    x = [value for value in sorted(_stretched(plan, target, step) for step in steps) if low < value < high]
    if plan.margin is None:
        power = [test.power(plan.n, effect=value) for value in x]
    else:
        power = [test.power(plan.n, effect=plan.effect, margin=value) for value in x]
    points = isinstance(test.outcome, PlannedProportion) and test.scale == "absolute"
    return PowerCurve(
        x=x,
        power=power,
        planned=(target, plan.power),
        label=f"{_name(plan)}{' in points' if points else ''}, with {plan.n:,} customers",
        scale=100.0 if points or test.scale == "relative" else 1.0,
        suffix="%" if test.scale == "relative" else "",
    )


def _name(plan: Design) -> str:
    if plan.margin is not None:
        return "margin"
    return "hazard ratio" if plan.test.scale == "hazard_ratio" else "effect"


def _stretched(plan: Design, value: float, step: float) -> float:
    """Return a multiple of an effect: of its logarithm where it is a hazard ratio."""
    return math.exp(step * math.log(value)) if plan.test.scale == "hazard_ratio" else step * value


def _target_words(plan: Design) -> str:
    if plan.margin is None:
        return effect_words(plan.test, plan.effect)
    hazard = plan.test.scale == "hazard_ratio"
    return f"a margin of {plan.margin:.4g}" if hazard else f"a margin of {amount(plan.test, plan.margin)}"
