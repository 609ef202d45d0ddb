"""Other experiments on the same units: are they independent, and does the effect depend on their arms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import number, p_text
from cpi_experiments.randomized.arms import encode
from cpi_experiments.randomized.integrity.balance_checks import shares_alike
from cpi_experiments.randomized.integrity.rules import judged, watched
from cpi_experiments.randomized.integrity.sample_ratio_cells import cells_of
from cpi_experiments.stats.counts import independence_test
from cpi_experiments.stats.equal_effects import equal_effects_test

if TYPE_CHECKING:
    from cpi_experiments.estimate import Diagnostic
    from cpi_experiments.randomized.effects.outcomes import Outcome
    from cpi_experiments.randomized.integrity.trial_units import TrialUnits

Array = np.ndarray
#: Units of each arm that a cell of the other experiment needs.
_FEW = 10


def assigned_apart(units: TrialUnits, other: str, column: str) -> Diagnostic:
    """Test that the arms of two experiments were drawn independently (units outside the other one are a group too).

    Parameters
    ----------
    units : TrialUnits
    other : str
        Name of the other experiment.
    column : str
        Its arms.
    """
    name, null = f"drawn apart from {other}", f"arms here and in {other} were drawn independently"
    at, _ = units.randomised()
    found = cells_of(units, column, at)
    if found is None:
        advice = (
            f"Arms of {other} are not as frequent in every arm here: look for a shared seed or salt of the assignment"
        )
        return shares_alike(units, column, name=name, null=null, advice=advice)
    code, names = found
    table = np.bincount(code * len(units.labels) + units.arm[at], minlength=len(names) * len(units.labels))
    statistic, p = independence_test(table.reshape(len(names), -1).tolist())
    advice = (
        f"Arms of {other} are not spread evenly over the arms here (p {p_text(p)}): effects of the two are mixed. Look "
        "for a shared seed or salt of the assignment."
    )
    return judged(name, null=null, p_value=p, advice=advice, statistic=statistic)


def interaction(units: TrialUnits, other: str, column: str, outcome: Outcome) -> Diagnostic:
    """Test that the effect on an outcome is the same in every arm of another experiment (Welch's F).

    Units outside the other experiment are left out.
    """
    name = f"interaction with {other}: {outcome.name}"
    null = f"the effect on {outcome.name} is the same in every arm of {other}"
    code, names = encode(units.keys[column])
    y = units.values(outcome)
    found = []
    for j in units.treatments:
        cells = [(k, units.difference([y], j, among=code == k)) for k in range(len(names))]
        usable = [
            (k, m) for k, m in cells if m is not None and m.omega[0, 0] > 0 and min(m.n_control, m.n_treatment) >= _FEW
        ]
        if len(usable) > 1:
            effects = np.array([float(m.effect[0]) for _, m in usable])
            variances = np.array([float(m.omega[0, 0]) for _, m in usable])
            statistic, p = equal_effects_test(effects, variances, np.array([m.df(0) for _, m in usable]))
            found.append((p, statistic, j, [names[k] for k, _ in usable], effects))
    if not found:
        return watched(name, null=null, advice=f"Fewer than two arms of {other} have {_FEW} units of every arm here.")
    p, statistic, j, labels, effects = min(found, key=lambda each: each[0])
    p = min(1.0, p * len(found))
    listed = ", ".join(f"{number(e, 4, sign=True)} in {label}" for label, e in zip(labels[:4], effects, strict=False))
    advice = (
        f"The effect of {units.labels[j]} is {listed} (p {p_text(p)}): it holds for the mix of arms that {other} had, "
        "not for either alone. Report it by arm of the other experiment."
    )
    return judged(name, null=null, p_value=p, advice=advice, statistic=statistic)
