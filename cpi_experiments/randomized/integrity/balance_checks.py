"""Were arms alike before the trial: covariates together, and the outcome's own past."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import fdtrc

from cpi_experiments.display import number, p_text
from cpi_experiments.randomized.arms import encode
from cpi_experiments.randomized.integrity.rules import judged, watched
from cpi_experiments.stats.student import p_value as t_p_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.estimate import Diagnostic
    from cpi_experiments.randomized.integrity.trial_units import TrialUnits
    from cpi_experiments.stats.arm_means import ArmMeans

Array = np.ndarray
#: Directions of the covariates' covariance below this share of the largest are the same covariate twice.
_SAME = 1e-10
#: More values than this make no segment of clusters.
_MOST_VALUES = 20
_SUSPECT = (
    "If it is no accident the comparison is not random: look at the assignment, and for carry-over from an earlier "
    "trial; give these columns as `covariates` to take the difference out."
)


def covariate_balance(units: TrialUnits, covariates: Sequence[str]) -> tuple[Diagnostic, ...]:
    """Test all covariates together: Hotelling's T-squared with Welch's (or the clusters') covariance.

    Constant covariates are left out and named (they cannot help an adjustment either).

    References
    ----------
    Hotelling (1931), Annals of Mathematical Statistics 2, 360-378.
    """
    idle = [name for name in covariates if _constant(units.means[name])]
    used = [name for name in covariates if name not in idle]
    notes: tuple[Diagnostic, ...] = ()
    if idle:
        advice = f"Constant, so of no use for an adjustment: {', '.join(idle)}."
        notes = (watched("constant covariates", null="every covariate varies", advice=advice),)
    if not used:
        return notes
    name, null = "covariate balance", f"arms do not differ in {', '.join(used)} before the trial"
    found = []
    for j in units.treatments:
        means = units.difference([units.means[column] for column in used], j)
        tail = None if means is None else hotelling(means)
        if means is not None and tail is not None:
            found.append((tail[1], tail[0], j, means))
    if not found:
        return (*notes, watched(name, null=null, advice="Too few units with all covariates for so many covariates."))
    p, statistic, j, means = min(found, key=lambda each: each[0])
    p = min(1.0, p * len(found))
    scores = means.effect / np.sqrt(np.maximum(np.diag(means.omega), 1e-300))
    worst = int(np.argmax(np.abs(scores)))
    size = float(means.effect[worst] / np.nanstd(units.means[used[worst]]))
    advice = (
        f"{units.labels[j]} and {units.labels[0]} differ (p {p_text(p)}), most in {used[worst]}: "
        f"{number(size, 2, sign=True)} standard deviations. {_SUSPECT}"
    )
    return (*notes, judged(name, null=null, p_value=p, advice=advice, statistic=statistic))


def hotelling(means: ArmMeans) -> tuple[float, float] | None:
    """Test that all effects are zero; returns (F, p), or None with too few degrees of freedom.

    Examples
    --------
    >>> from cpi_experiments.stats.arm_means import arm_means
    >>> rows = np.array([[1.0], [2.0], [4.0], [3.0], [5.0], [6.0]])
    >>> f, p = hotelling(arm_means(rows, np.arange(6) > 2))
    >>> round(f, 4), round(p, 4)
    (3.5, 0.1347)
    """
    scale = np.sqrt(np.diag(means.omega))
    if not np.all(scale > 0):
        return None
    values, vectors = np.linalg.eigh(means.omega / np.outer(scale, scale))
    kept = values > _SAME * values.max()
    along = (vectors.T @ (means.effect / scale))[kept]
    rank = int(kept.sum())
    df = min(means.df(i) for i in range(len(scale)))
    if not df - rank + 1 > 0:
        return None
    statistic = float(np.sum(along**2 / values[kept])) * (df - rank + 1) / (rank * df)
    return statistic, float(fdtrc(rank, df - rank + 1, statistic))


def shares_alike(units: TrialUnits, column: str, *, name: str, null: str, advice: str) -> Diagnostic:
    """Test that values of a column are as frequent in every arm, where whole clusters were randomised.

    Shares are means of indicators, compared together by the cluster jackknife; missing is a value of its own.

    Parameters
    ----------
    units : TrialUnits
    column : str
        Among ``units.keys``.
    name, null, advice : str
        Words of the diagnostic.
    """
    code, names = encode(units.keys[column])
    values = [k for k in range(-1, len(names)) if np.any(code == k)]
    if len(values) > _MOST_VALUES:
        return watched(
            name, null=null, advice=f"{column} has {len(values):,} values; group them before they are checked."
        )
    found = []
    for j in units.treatments if len(values) > 1 else ():
        means = units.difference([(code == k).astype(float) for k in values[1:]], j)
        tail = None if means is None else hotelling(means)
        if tail is not None:
            found.append(tail[::-1])
    if not found:
        return watched(name, null=null, advice=f"Too few clusters, or values of {column} do not vary.")
    p, statistic = min(found)
    p = min(1.0, p * len(found))
    return judged(name, null=null, p_value=p, advice=f"{advice} (p {p_text(p)}, by cluster).", statistic=statistic)


def pre_period(units: TrialUnits, column: str) -> Diagnostic:
    """Compare an outcome as it was before the trial: no lever can have moved it."""
    name, null = f"before the trial: {column}", f"arms do not differ in {column}, measured before the trial"
    if _constant(units.means[column]):
        advice = f"{column} is constant: there is nothing to compare or to adjust by."
        return watched(name, null=null, advice=advice)
    found = []
    for j in units.treatments:
        means = units.difference([units.means[column]], j)
        if means is not None and means.omega[0, 0] > 0:
            t = float(means.effect[0]) / math.sqrt(float(means.omega[0, 0]))
            found.append((t_p_value(t, means.df(0)), t, j, float(means.effect[0])))
    if not found:
        return watched(name, null=null, advice=f"Too few units have {column}, or it does not vary within an arm.")
    p, t, j, effect = min(found)
    p = min(1.0, p * len(found))
    size = number(effect / float(np.nanstd(units.means[column])), 2, sign=True)
    advice = (
        f"{units.labels[j]} differs from {units.labels[0]} by {size} standard deviations (p {p_text(p)}). {_SUSPECT}"
    )
    return judged(name, null=null, p_value=p, advice=advice, statistic=t)


def _constant(values: Array) -> bool:
    known = values[~np.isnan(values)]
    return not len(known) or bool(np.all(known == known[0]))
