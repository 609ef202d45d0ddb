"""Do units feel the treatment of others: a hint, from groups whose members may meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import number, p_text
from cpi_experiments.randomized.arms import encode
from cpi_experiments.randomized.integrity.rules import judged, watched
from cpi_experiments.stats.group_slope import group_slope

if TYPE_CHECKING:
    from cpi_experiments.estimate import Diagnostic
    from cpi_experiments.randomized.effects.outcomes import Outcome
    from cpi_experiments.randomized.integrity.trial_units import TrialUnits

Array = np.ndarray
#: Groups with control units that a slope needs.
_FEW_GROUPS = 10


def neighbours_matter(units: TrialUnits, column: str, outcome: Outcome) -> Diagnostic:
    """Test whether the outcome of control units varies with the share of the others in their group who are treated.

    With random assignment that share is an accident, so a slope is either chance or interference. Rows of a group may
    be related in any way (leave-one-group-out jackknife). It sees only what passes within groups.

    References
    ----------
    Hudgens, Halloran (2008), JASA 103, 832-842 (partial interference).
    """
    name = f"interference in {column}: {outcome.name}"
    null = f"{outcome.name} of control units does not depend on how many others of their {column} are treated"
    code = encode(units.keys[column])[0]
    y = units.values(outcome)
    known = code >= 0
    size = np.bincount(code[known])
    treated = np.bincount(code[known], weights=(units.arm > 0)[known])
    use = known & (units.arm == 0) & ~np.isnan(y)
    use[use] = size[code[use]] > 1
    groups = len(np.unique(code[use]))
    if groups < _FEW_GROUPS:
        advice = f"{groups} groups with control units; a slope over groups needs {_FEW_GROUPS}. Name a finer group."
        return watched(name, null=null, advice=advice, statistic=float(groups))
    share = treated[code[use]] / (size[code[use]] - 1)
    found = group_slope(share, y[use], code[use])
    if found is None:
        advice = f"The share of treated others hardly varies between values of {column}, or the outcome does not vary."
        return watched(name, null=null, advice=advice)
    advice = (
        f"Control units differ by {number(found.slope, 4, sign=True)} between groups where all others are treated and "
        f"where none is (p {p_text(found.p_value)}): the comparison mixes the effect with what spills over. Randomise "
        f"whole values of {column}."
    )
    return judged(name, null=null, p_value=found.p_value, advice=advice, statistic=found.statistic)
