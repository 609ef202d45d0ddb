"""The number of tests in a comparison: p-values corrected for it, and intervals that hold together."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.stats.multiplicity import Correction, adjusted_p_values
from cpi_experiments.stats.student import interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.effects.comparison import ArmEffect, SegmentDifference


def corrected(effects: Sequence[ArmEffect], *, correction: Correction, alternative: str) -> tuple[ArmEffect, ...]:
    """Correct the p-values of effects for their number; effects without one count as a test with p = 1.

    Intervals that hold together exist for Bonferroni only: each at ``1 - alpha / m``. Those of step-wise corrections
    would not match their tests. They are t intervals, and NaN where the effect's own interval is not: ranks (log odds),
    permutation, wild and other bootstraps would have to be inverted anew at the wider level.
    """
    if correction == "none":
        return tuple(effects)
    p_values = adjusted_p_values(np.array([each.estimate.p_value for each in effects]), correction=correction)
    found = [replace(each, p_adjusted=float(p)) for each, p in zip(effects, p_values, strict=True)]
    if correction == "bonferroni":
        found = [_with_joint_interval(each, len(effects), alternative) for each in found]
    return tuple(found)


def _with_joint_interval(effect: ArmEffect, tests: int, alternative: str) -> ArmEffect:
    e = effect.estimate
    low = high = math.nan
    if math.isfinite(e.std_error) and not math.isnan(e.df) and not math.isnan(e.p_value):
        own, wider = (
            interval(e.value, e.std_error, e.df, confidence_level=level, alternative=alternative)
            for level in (e.confidence_level, 1 - (1 - e.confidence_level) / tests)
        )
        if np.allclose(own, (e.ci_low, e.ci_high), rtol=1e-9, atol=1e-9 * e.std_error):  # it is a t interval
            low, high = wider
    return replace(effect, joint_low=low, joint_high=high)


def corrected_differences(
    differences: Sequence[SegmentDifference], *, correction: Correction, alternative: str
) -> tuple[SegmentDifference, ...]:
    """Correct the tests of equality for their number, and the effects within segments for theirs."""
    if correction == "none":
        return tuple(differences)
    p_values = adjusted_p_values(np.array([each.p_value for each in differences]), correction=correction)
    effects = iter(
        corrected(
            [each for part in differences for each in part.effects], correction=correction, alternative=alternative
        )
    )
    return tuple(
        replace(part, p_adjusted=float(p), effects=tuple(next(effects) for _ in part.effects))
        for part, p in zip(differences, p_values, strict=True)
    )
