"""Ranks of two arms: the chance that a treated unit exceeds a control unit, valid when the arms differ in spread."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cpi_experiments.stats.arm_means import ArmMeans, arm_means
from cpi_experiments.stats.student import interval, p_value

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Superiority:
    """The probability of superiority and its variance.

    Parameters
    ----------
    probability : float
        P(treated > control) + P(equal) / 2, over strata by size.
    std_error, df : float
        The standard error is NaN if no value differs within an arm of a stratum.
    means : ArmMeans
        Of centred placements: units, clusters and whether these lie in both arms.
    separated : bool
        Whether the arms do not overlap, so that the standard error is that of exchangeable arms.
    """

    probability: float
    std_error: float
    df: float
    means: ArmMeans
    separated: bool


def superiority(
    values: Floats, treated: Floats, *, strata: Floats | None = None, clusters: Floats | None = None
) -> Superiority:
    """Estimate the probability that a treated unit has a higher value than a control unit (ties count one half).

    The placement of a unit is the share of the other arm that lies below it. The standard error is that of the
    difference of mean placements: Brunner-Munzel's for rows, leave-one-cluster-out jackknife (CR3) of placements for
    clusters. It needs neither equal spread nor continuity.

    Parameters
    ----------
    values : float array, shape (n,)
        Without missing values.
    treated : bool array, shape (n,)
    strata, clusters : int array, shape (n,), optional
        Codes from 0. Units are compared within strata (van Elteren), weighted by size.

    Returns
    -------
    Superiority
        ``(probability - 1/2) / std_error`` with t(df) tests that neither arm tends to higher values.

    Raises
    ------
    EstimationError
        If a cell has fewer than two units (or clusters).

    Notes
    -----
    If the arms do not overlap the placements have no variance; then the variance is the largest that exchangeable arms
    have, (n0 + n1 + 1) / (12 n0 n1), which is that of the Mann-Whitney test.

    References
    ----------
    Brunner, Munzel (2000), Biom. J. 42, 17-25; Mann, Whitney (1947), Ann. Math. Stat. 18; van Elteren (1960).

    Examples
    --------
    >>> found = superiority(np.array([1.0, 2.0, 3.0, 2.0, 4.0, 5.0]), np.arange(6) >= 3)
    >>> round(found.probability, 4), round(found.std_error, 4)
    (0.8333, 0.1925)
    """
    treated = np.asarray(treated, dtype=bool)
    stratum = np.zeros(len(values), dtype=np.intp) if strata is None else np.unique(strata, return_inverse=True)[1]
    centred, probability, exchangeable, moves = np.zeros(len(values)), 0.0, 0.0, False
    for s in range(int(stratum.max()) + 1):
        at = np.flatnonzero(stratum == s)
        centred[at], chance = _placements(values[at], treated[at])
        share = len(at) / len(values)
        probability += share * chance
        exchangeable += share**2 * _of_exchangeable(treated[at], None if clusters is None else clusters[at])
        moves = moves or any(_varies(values[at][side]) for side in (treated[at], ~treated[at]))
    means = arm_means(centred[:, None], treated, strata=None if strata is None else stratum, clusters=clusters)
    variance, df = float(means.omega[0, 0]), means.df(0)
    separated = moves and not variance > 0
    if separated:
        variance, df = exchangeable, _of_groups(means)
    std_error = math.sqrt(variance) if moves else math.nan
    return Superiority(probability=probability, std_error=std_error, df=df, means=means, separated=separated)


def superiority_test(
    found: Superiority, *, confidence_level: float = 0.95, alternative: str = "two-sided"
) -> tuple[float, float, float]:
    """Interval and p-value of ``probability - 1/2``, both from t on the log odds of the probability.

    On the log odds the interval stays between -1/2 and 1/2 and covers where the probability is far from one half; the
    interval excludes zero exactly when the p-value is below its level. Without overlap the log odds do not exist, and
    the interval is ``probability -+ c * std_error``, cut at the same ends.

    Returns
    -------
    ci_low, ci_high, p_value : float

    References
    ----------
    Newcombe (2006), Stat. Med. 25, 559-573 (intervals of the probability of superiority).

    Examples
    --------
    >>> found = superiority(np.arange(40.0), np.arange(40) % 4 > 0)
    >>> low, high, p = superiority_test(found)
    >>> round(low, 3), round(found.probability - 0.5, 3), round(high, 3), round(p, 3)
    (-0.178, 0.05, 0.259, 0.657)
    """
    chance, std_error = found.probability, found.std_error
    options = {"confidence_level": confidence_level, "alternative": alternative}
    if found.separated:
        low, high = interval(chance - 0.5, std_error, found.df, **options)  # type: ignore[arg-type] # by name
        return max(low, -0.5), min(high, 0.5), p_value((chance - 0.5) / std_error, found.df, alternative=alternative)
    log_odds, own = math.log(chance / (1 - chance)), std_error / (chance * (1 - chance))
    low, high = interval(log_odds, own, found.df, **options)  # type: ignore[arg-type] # by name
    return math.tanh(low / 2) / 2, math.tanh(high / 2) / 2, p_value(log_odds / own, found.df, alternative=alternative)


def _of_groups(means: ArmMeans) -> float:
    """Degrees of freedom of the exchangeable arms' variance: that of Mann and Whitney, of units or whole clusters."""
    if math.isnan(means.df_clusters):
        return means.n_control + means.n_treatment - 2.0
    if means.crossed:
        return means.df_clusters
    return float(means.df_control[0] + means.df_treatment[0])


def _placements(values: Floats, treated: Floats) -> tuple[Floats, float]:
    """Centred shares of the other arm below each value, and the probability of superiority."""
    n = np.bincount(treated.astype(np.intp), minlength=2)
    if n.min() < 1:  # the count of units is checked with the means
        return np.zeros(len(values)), 0.5
    order = np.argsort(values, kind="stable")
    sides = [order[~treated[order]], order[treated[order]]]
    ordered = [values[side] for side in sides]
    placed = np.zeros(len(values))
    for own, other in ((0, 1), (1, 0)):
        below = np.searchsorted(ordered[other], ordered[own], "left")
        up_to = np.searchsorted(ordered[other], ordered[own], "right")
        placed[sides[own]] = (below + up_to) / (2 * n[other])
    chance = float(placed[treated].mean())
    placed[treated] -= chance
    placed[~treated] -= 1 - chance
    return placed, chance


def _varies(values: Floats) -> bool:
    return bool(np.any(values != values[:1]))


def _of_exchangeable(treated: Floats, clusters: Floats | None) -> float:
    """Largest variance of the probability if both arms have one distribution (continuous, whole clusters as units)."""
    n0, n1 = (int(np.sum(side)) if clusters is None else len(np.unique(clusters[side])) for side in (~treated, treated))
    return (n0 + n1 + 1) / (12 * max(n0, 1) * max(n1, 1))
