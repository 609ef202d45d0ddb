"""Does one unit decide: its share of an outcome's total, and the sign of the effect without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import percent
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.integrity.rules import INFLUENCE_BLOCKS, INFLUENCE_WARNS, watched
from cpi_experiments.randomized.integrity.trial_units import capped

if TYPE_CHECKING:
    from cpi_experiments.randomized.effects.outcomes import Outcome
    from cpi_experiments.randomized.integrity.trial_units import TrialUnits

Array = np.ndarray
#: A unit's share has to be this many times its fair share too: in ten units each holds a tenth.
_FAIR = 10.0


def one_unit(units: TrialUnits, outcome: Outcome) -> Diagnostic:
    """Report the largest unit's share of the total, and whether the effect of its arm changes sign without it.

    For a ratio both are taken of the numerator, the sign of the ratio itself.
    """
    name, null = f"influence on {outcome.name}", f"no single unit decides {outcome.name}"
    top = units.totals[outcome.columns[0]]
    base = units.totals[outcome.columns[-1]] if len(outcome.columns) > 1 else np.ones(len(top))
    top = capped(top, outcome.cap)
    known = ~(np.isnan(top) | np.isnan(base))
    arm, top, base = units.arm[known], top[known], base[known]
    total = float(np.sum(np.abs(top)))
    if not total > 0:
        return Diagnostic(name=name, null=null, statistic=0.0)
    at = int(np.argmax(np.abs(top)))
    share = abs(float(top[at])) / total
    if share <= max(INFLUENCE_WARNS, _FAIR / len(top)):
        return Diagnostic(name=name, null=null, statistic=share)
    without = np.arange(len(top)) != at
    flips = any(
        np.sign(_effect(arm, top, base, j)) != np.sign(_effect(arm[without], top[without], base[without], j))
        for j in (units.treatments if arm[at] == 0 else [int(arm[at])])
    )
    advice = (
        f"One unit of {units.labels[int(arm[at])]} holds {percent(share)} of all {outcome.columns[0]}"
        + ("; without it the effect changes sign. " if flips else ". ")
        + "Register a cap (winsorise) and read the effect with it."
    )
    return watched(name, null=null, advice=advice, statistic=share, blocks=flips and share > INFLUENCE_BLOCKS)


def _effect(arm: Array, top: Array, base: Array, treatment: int) -> float:
    ratios = []
    for code in (0, treatment):
        below = float(np.sum(base[arm == code]))
        ratios.append(float(np.sum(top[arm == code])) / below if below else np.nan)
    return ratios[1] - ratios[0]
