"""Effects of several treatments against one control, with the covariance that the shared control makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.cell_clusters import check_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.stats.cells import Cells

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedControl:
    """Effects of K treatments on k outcomes.

    Parameters
    ----------
    effects : array, shape (K, k)
        Treatment less control, strata weighted by their share of all units.
    omega : array, shape (k, K, k, K)
        Sampling covariance: of the effect of treatment i on outcome a with that of treatment j on outcome b.
    df : array, shape (k,)
        Degrees of freedom of each outcome's (K, K) block.
    weights : array, shape (K, K)
        Cross-products of the arms' dummies about their means, over the units.
    n_obs, n_clusters : int
        Units; clusters, 0 if not clustered.
    """

    effects: Floats
    omega: Floats
    df: Floats
    weights: Floats
    n_obs: int
    n_clusters: int = 0


def effects_against_control(
    pairs: Sequence[Cells], *, between: Mapping[tuple[int, int], Cells] | None = None, n_clusters: int = 0
) -> SharedControl:
    """Compare each treatment with the same control, all together.

    Every effect carries the control's error, so two effects have its variance as their covariance. Variances are those
    of `cpi_experiments.stats.arm_means.arm_means`: by cell, or the leave-one-cluster-out jackknife; one treatment
    gives the same numbers.

    Parameters
    ----------
    pairs : sequence of K Cells
        Control (even cells) with each treatment (odd cells); the control's cells are the same in all of them.
    between : mapping of (i, j) to Cells, optional
        Treatment i with treatment j, i < j, counted from 0; needed where clusters lie in several arms.
    n_clusters : int
        Different clusters of all arms together.

    Raises
    ------
    EstimationError
        If a cell has fewer than two units or clusters, strata differ between the pairs, or clusters lie in several
        arms and ``between`` is missing.

    References
    ----------
    Krishnamoorthy, Yu (2004), Statistics & Probability Letters 66: degrees of freedom, Welch's for one treatment; with
    clusters those of an arm are Bell and McCaffrey's (`cpi_experiments.stats.cell_clusters.freedom_of`).

    Examples
    --------
    >>> from cpi_experiments.stats.cells import cells_of_rows
    >>> control, one, two = np.array([[1.0], [3.0]]), np.array([[2.0], [6.0]]), np.array([[4.0], [5.0]])
    >>> arm = np.array([False, False, True, True])
    >>> both = [cells_of_rows(np.vstack([control, each]), arm) for each in (one, two)]
    >>> found = effects_against_control(both)
    >>> found.effects.ravel().tolist(), found.omega.reshape(2, 2).tolist()
    ([2.0, 2.5], [[5.0, 1.0], [1.0, 1.25]])
    """
    pairs = [each.cleaned() for each in pairs]
    n = _sizes(pairs)
    share = n.sum(axis=0) / n.sum()
    means = np.stack([share @ each.means[1::2] - share @ each.means[0::2] for each in pairs])
    clustered = pairs[0].clusters is not None
    crossed = clustered and _clusters_per_arm(pairs).sum() > n_clusters
    own = _own_parts(pairs, share, n_clusters=n_clusters if crossed else 0)
    arms = own.sum(axis=1)  # (1 + K, k, k)
    k = means.shape[1]
    covariance = np.zeros((len(pairs), len(pairs), k, k)) + arms[0]
    covariance[np.arange(len(pairs)), np.arange(len(pairs))] += arms[1:]
    if crossed:
        covariance += _crossed_parts(pairs, between, share, n_clusters)
    omega = covariance.transpose(2, 0, 3, 1)
    sizes = n.sum(axis=1)[1:] / n.sum()
    freedom = _freedom_per_arm(pairs) if clustered else n - 1
    df = np.array([_joint_df(own[..., a, a], omega[a, :, a, :], freedom) for a in range(k)])
    if crossed:
        df = np.full(k, n_clusters - 1.0)
    return SharedControl(
        effects=means,
        omega=omega,
        df=df,
        weights=np.diag(sizes) - np.outer(sizes, sizes),
        n_obs=int(n.sum()),
        n_clusters=n_clusters if clustered else 0,
    )


def _sizes(pairs: Sequence[Cells]) -> Floats:
    """Units by arm (control first) and stratum, shape (1 + K, S)."""
    for each in pairs:
        check_sizes(each.n, "unit")
    control = pairs[0].n[0::2]
    if any(len(each.n) != 2 * len(control) or np.any(each.n[0::2] != control) for each in pairs):
        raise EstimationError(
            "not every arm has units in every stratum", advice="Merge small strata, or leave the arm out."
        )
    return np.stack([control, *(each.n[1::2] for each in pairs)])


def _clusters_per_arm(pairs: Sequence[Cells]) -> Floats:
    """Clusters by arm and stratum, shape (1 + K, S)."""
    counts = [each.clusters.per_cell for each in pairs if each.clusters is not None]
    return np.stack([counts[0][0::2], *(each[1::2] for each in counts)])


def _freedom_per_arm(pairs: Sequence[Cells]) -> Floats:
    """Degrees of freedom of the jackknife variances by arm and stratum, shape (1 + K, S)."""
    found = [each.clusters.freedom for each in pairs if each.clusters is not None]
    return np.stack([found[0][0::2], *(each[1::2] for each in found)])


def _own_parts(pairs: Sequence[Cells], share: Floats, *, n_clusters: int) -> Floats:
    """Variance of every cell's weighted mean, shape (1 + K, S, k, k)."""
    parts = []
    for each in pairs:
        if each.clusters is None:
            factor, squares = 1 / (each.n - 1) / each.n, each.cross
        else:
            per_cell = each.clusters.per_cell
            factor = np.full(len(per_cell), (n_clusters - 1) / n_clusters) if n_clusters else (per_cell - 1) / per_cell
            squares = each.clusters.left_out
        parts.append((factor * np.repeat(share, 2) ** 2)[:, None, None] * squares)
    return np.stack([parts[0][0::2], *(each[1::2] for each in parts)])


def _crossed_parts(
    pairs: Sequence[Cells], between: Mapping[tuple[int, int], Cells] | None, share: Floats, n_clusters: int
) -> Floats:
    """Add up what clusters in several arms contribute: shape (K, K, k, k)."""
    if between is None and len(pairs) > 1:
        raise EstimationError("clusters lie in several arms", advice="Give the treatments' cells two by two as well.")
    weight = (share**2 * (n_clusters - 1) / n_clusters)[:, None, None]
    with_control = np.stack(
        [(weight * each.clusters.across).sum(axis=0) for each in pairs if each.clusters is not None]
    )  # Cov(control's outcome a, treatment's outcome b)
    found = -with_control[:, None].transpose(0, 1, 3, 2) - with_control[None, :]
    for (i, j), cells in (between or {}).items():
        clusters = cells.cleaned().clusters
        if clusters is not None:
            same = (weight * clusters.across).sum(axis=0)
            found[i, j] += same
            found[j, i] += same.T
    return np.asarray(found)


def joint_df(parts: Floats, dfs: Floats) -> float:
    """Degrees of freedom of the joint test of K effects that share a control; Welch's for K = 1.

    Parameters
    ----------
    parts : array, shape (1 + K, S)
        Variance of each arm's mean, the control first, by stratum.
    dfs : array, shape (1 + K, S)
        Their degrees of freedom.

    References
    ----------
    Krishnamoorthy, Yu (2004), Statistics & Probability Letters 66.

    Examples
    --------
    >>> round(joint_df(np.array([[1.0], [1.0]]), np.array([[9.0], [9.0]])), 6)
    18.0
    """
    arms = parts.sum(axis=1)
    return _joint_df(parts, arms[0] + np.diag(arms[1:]), dfs)


def _joint_df(parts: Floats, omega: Floats, dfs: Floats) -> float:
    k = len(omega)
    try:
        inverse = np.linalg.inv(omega)
    except np.linalg.LinAlgError:
        return float("nan")
    size = np.array([inverse.sum(), *np.diag(inverse)])[:, None] * parts
    total = float(np.sum(size**2 / dfs))
    return (k + k * k) / (2 * total) if total > 0 else float("nan")
