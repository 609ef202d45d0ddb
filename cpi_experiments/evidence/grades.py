"""The grade of the evidence of a link, whatever its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.stats.planning.judging_power import FRAGILE, ROBUST

if TYPE_CHECKING:
    from cpi_experiments.evidence.standing import Standing
    from cpi_experiments.evidence.weighing import Weighed

#: e-value against "at most the smallest effect worth acting on" that lifts a confirmed A to A+.
A_PLUS_E = 20.0


def grade_of(weighed: Weighed, standing: Standing, cause: str) -> str:
    """Rate the evidence of randomised trials: A two levers agreeing, B valid and robust to a direct path, C fragile.

    Parameters
    ----------
    weighed : Weighed
    standing : Standing
    cause : str
        Cause of the verdict: it says which family the grade speaks of.

    Returns
    -------
    str
        ``A+``, ``A``, ``B`` or ``C``.
    """
    levers, published, share = {
        "harmful": (weighed.levers.harm, standing.harm, weighed.breakdown),
        "no material effect": (weighed.levers.equivalence, standing.equivalence, weighed.margin),
    }.get(cause, (weighed.levers.direction, standing.direction, weighed.breakdown))
    if levers >= 2 and published and share >= ROBUST:
        return "A+" if weighed.material_e >= A_PLUS_E and cause == "" else "A"
    return "B" if share >= FRAGILE else "C"
