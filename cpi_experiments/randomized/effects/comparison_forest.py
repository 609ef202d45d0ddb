"""A comparison as a forest: which effect on which scale, where its margins lie, what is said beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.display import decimals, level_text, number
from cpi_experiments.errors import DesignError
from cpi_experiments.estimate import Status
from cpi_experiments.figures.effects import EffectRow, effects_forest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from cpi_experiments.randomized.effects.comparison import ArmEffect, Comparison, PlotScale

Triple = tuple[float, float, float]


def forest_of_comparison(found: Comparison, *, scale: PlotScale, title: str | None) -> Figure:
    """Draw the effects of a comparison; see `cpi_experiments.randomized.effects.comparison.Comparison.plot`.

    Raises
    ------
    DesignError
        If the scale is not known.
    """
    if scale not in ("auto", "absolute", "relative"):
        raise DesignError(f"scale {scale!r} is not known", advice="Known: auto, absolute, relative.")
    outcomes = list(dict.fromkeys(each.estimate.outcome for each in found.effects))
    relative = scale == "relative" or (scale == "auto" and len(outcomes) > 1)
    drawn = [*found.effects, *(each for part in found.differences for each in part.effects)]
    drawn.sort(key=lambda each: outcomes.index(each.estimate.outcome))
    rows = [_row(each, relative=relative) for each in drawn]
    level, control = level_text(found.effects[0].estimate.confidence_level), found.effects[0].control
    unit = f"effect in percent of the mean of {control}" if relative else f"effect on {', '.join(outcomes)}"
    heading = title if title is not None else found.sentence
    return effects_forest(rows, title=heading, axis_label=f"{unit}, {level} interval{_key_of(rows)}", percent=relative)


def _row(effect: ArmEffect, *, relative: bool) -> EffectRow:
    return EffectRow(
        label=effect.estimate.outcome,
        arm=str(effect.arm),
        note=effect.segment,
        effect=_triple(effect, relative=relative),
        limits=_limits(effect, relative=relative),
        said=_said_absolutely(effect) if relative else "",
    )


def _triple(effect: ArmEffect, *, relative: bool) -> tuple[float, float, float]:
    e = effect.estimate
    if relative:
        return effect.rel_effect, effect.rel_ci_low, effect.rel_ci_high
    return (e.value, e.ci_low, e.ci_high) if e.status is not Status.FAILED else (math.nan, math.nan, math.nan)


def _key_of(rows: Sequence[EffectRow]) -> str:
    marks = "; dashes: margins" if any(row.limits for row in rows) else ""
    return marks + ("; abs.: in the outcome's own unit" if any(row.said for row in rows) else "")


def _limits(effect: ArmEffect, *, relative: bool) -> tuple[float, ...]:
    """Where the margins lie on the axis, by way of the control's mean if they were given on the other scale."""
    base, found = effect.control_mean, []
    for verdict in effect.margins:
        size = verdict.margin.size
        if relative != (verdict.margin.scale == "relative"):
            if math.isnan(effect.rel_effect):
                continue
            size = size / base if relative else size * base
        both, lower = verdict.margin.kind == "equivalence", verdict.margin.better == "lower"
        found += [-size, size] if both else [size if lower else -size]
    return tuple(found)


def _said_absolutely(effect: ArmEffect) -> str:
    """Give the effect in its own unit where there is one, but none relative to the control."""
    e = effect.estimate
    if not math.isnan(effect.rel_effect) or e.status is Status.FAILED or math.isnan(e.value):
        return ""
    digits = decimals(e.ci_low, e.ci_high)
    ends = [number(end, digits, sign=True) if math.isfinite(end) else "…" for end in (e.ci_low, e.ci_high)]
    return f"{number(e.value, digits, sign=True)} [{', '.join(ends)}] abs.".replace("-", "−")
