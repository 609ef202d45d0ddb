"""Is there anything to take a variance from: outcomes that vary, and clusters enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.effects.itt import FEW_CLUSTERS, TOO_FEW_CLUSTERS
from cpi_experiments.randomized.integrity.rules import watched

if TYPE_CHECKING:
    from cpi_experiments.randomized.effects.outcomes import Outcome
    from cpi_experiments.randomized.integrity.trial_units import TrialUnits

#: Values closer together than this share of their size differ by rounding alone.
_SAME = 1e-13


def outcome_varies(units: TrialUnits, outcome: Outcome) -> Diagnostic:
    """Say whether an outcome varies in an arm or in its control; where it does not, no effect can be tested."""
    name, null = f"variance {outcome.name}", f"{outcome.name} varies within the arms"
    try:
        values = units.values(outcome)
    except EstimationError as error:  # a ratio over nothing
        return watched(name, null=null, advice=f"{error}.".replace("..", "."), blocks=True)
    known = ~np.isnan(values)
    still = [_constant(values[known & (units.arm == code)]) for code in range(len(units.labels))]
    stuck = [str(units.labels[j]) for j in units.treatments if still[0] and still[j]]
    if not stuck:
        return Diagnostic(name=name, null=null)
    advice = (
        f"{outcome.name} is constant in {', '.join([str(units.labels[0]), *stuck])}: no variance, so no p-value and no "
        "interval. Look at the measurement, or wait for answers."
    )
    return watched(name, null=null, advice=advice, statistic=0.0, blocks=True)


def _constant(values: np.ndarray) -> bool:
    return not len(values) or float(np.ptp(values)) <= _SAME * float(np.abs(values).max())


def clusters_per_arm(units: TrialUnits) -> tuple[Diagnostic, ...]:
    """Say when the smaller arm has too few clusters for a variance, as the estimates do; nothing without clusters."""
    if units.cluster is None:
        return ()
    arms = len(units.labels)
    pairs = np.unique(units.cluster.astype(np.int64) * arms + units.arm)
    counts = np.bincount(pairs % arms, minlength=arms)
    fewest = int(counts.min())
    null, label = f"at least {FEW_CLUSTERS} clusters in each arm", units.labels[int(counts.argmin())]
    if fewest >= FEW_CLUSTERS:
        return (Diagnostic(name="clusters per arm", null=null, statistic=float(fewest)),)
    blocks = fewest < TOO_FEW_CLUSTERS
    said = f"{label} has {fewest} cluster{'' if fewest == 1 else 's'}: "
    if fewest == 1:
        said += "a variance cannot be estimated. Randomise more clusters."
    elif blocks:
        said += 'the formula\'s variance cannot be trusted. Permute the clusters (inference="permutation").'
    else:
        said += "intervals are rough. Randomise more clusters."
    return (watched("clusters per arm", null=null, advice=said, statistic=float(fewest), blocks=blocks),)
