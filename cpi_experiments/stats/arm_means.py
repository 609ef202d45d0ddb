"""Means of two arms with their joint covariance: Welch, strata, clusters; the base of every randomised estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cpi_experiments.stats.cell_clusters import ClusterMoments, check_sizes
from cpi_experiments.stats.cells import Cells, cells_of_rows
from cpi_experiments.stats.student import satterthwaite

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmMeans:
    """Means of k outcomes in two arms.

    Parameters
    ----------
    control, treatment : array, shape (k,)
        Means, weighted over strata where there are any.
    effect : array, shape (k,)
        Treatment less control; taken before a common offset is added, which would cost digits.
    cov : array, shape (2k, 2k)
        Sampling covariance of ``[control, treatment]``.
    df_control, df_treatment : array, shape (k,)
        Degrees of freedom of each arm's variances: units less one, with clusters Bell and McCaffrey's.
    df_clusters : float
        Clusters less cells (less one where clusters span both arms: then the degrees of freedom); NaN if not clustered.
    n_control, n_treatment : int
        Units.
    clusters_control, clusters_treatment : int
        Clusters in each arm; 0 if not clustered.
    crossed : bool
        Whether clusters span both arms.
    """

    control: Floats
    treatment: Floats
    effect: Floats
    cov: Floats
    df_control: Floats
    df_treatment: Floats
    df_clusters: float
    n_control: int
    n_treatment: int
    clusters_control: int = 0
    clusters_treatment: int = 0
    crossed: bool = False

    @property
    def omega(self) -> Floats:
        """Sampling covariance of `effect`, shape (k, k)."""
        k = len(self.control)
        contrast = np.hstack([-np.eye(k), np.eye(k)])
        return np.asarray(contrast @ self.cov @ contrast.T)

    def df(self, j: int) -> float:
        """Degrees of freedom of the j-th effect: Welch-Satterthwaite, or clusters less one if they span both arms."""
        k = len(self.control)
        return self.df_of(np.array([self.cov[j, j], self.cov[k + j, k + j]]), j)

    def df_of(self, variances: Floats, j: int) -> float:
        """Degrees of freedom for given contributions (control, treatment) to the variance of the j-th outcome."""
        if self.crossed:
            return self.df_clusters
        return satterthwaite(variances, np.array([self.df_control[j], self.df_treatment[j]]))


def arm_means(
    values: Floats, treated: Floats, *, strata: Floats | None = None, clusters: Floats | None = None
) -> ArmMeans:
    """Means of two arms with a covariance that fits the randomisation.

    Without clusters the variance of a cell (arm x stratum) mean is S/n with S the sample covariance (n - 1), and
    degrees of freedom are Welch's. With clusters it is the leave-one-cluster-out jackknife (CR3), which for clusters
    of equal size equals the unbiased variance of cluster means; degrees of freedom are Bell and McCaffrey's in an arm
    (clusters less one for equal sizes, fewer if sizes differ), and Welch-Satterthwaite's over arms: for equal sizes it
    is Welch's t test of the cluster means. Clusters that span both arms are left out of both at once, with t(clusters
    less one).

    Parameters
    ----------
    values : array, shape (n, k)
        Outcomes, without missing values.
    treated : bool array, shape (n,)
    strata, clusters : int array, shape (n,), optional
        Codes 0, 1, ... . Arms are compared within strata, weighted by the stratum's share of all units.

    Raises
    ------
    EstimationError
        If a cell has fewer than two units (or two clusters), so that no variance exists.

    References
    ----------
    Welch (1947), Biometrika 34; Bell, McCaffrey (2002), Survey Methodology 28 (degrees of freedom);
    MacKinnon, Nielsen, Webb (2023), J. Econometrics 232, section 2 (CR3 as jackknife).

    Examples
    --------
    >>> m = arm_means(np.array([[1.0], [2.0], [3.0], [5.0]]), np.array([False, False, True, True]))
    >>> m.effect, m.omega
    (array([2.5]), array([[1.25]]))
    """
    return means_of_cells(cells_of_rows(values, treated, strata=strata, clusters=clusters))


def means_of_cells(cells: Cells) -> ArmMeans:
    """Compute `arm_means` from the moments of cells; no row is needed.

    Raises
    ------
    EstimationError
        If a cell has fewer than two units (or two clusters), so that no variance exists.

    Examples
    --------
    >>> rows = np.array([[1.0], [2.0], [3.0], [5.0]])
    >>> means_of_cells(cells_of_rows(rows, np.array([False, False, True, True]))).effect
    array([2.5])
    """
    check_sizes(cells.n, "unit")
    cells = cells.cleaned()
    n, k = cells.n, cells.means.shape[1]
    weight = (n[0::2] + n[1::2]) / n.sum()
    if cells.clusters is None:
        cov, (df_control, df_treatment) = _welch(cells, weight)
        extra = {"df_clusters": math.nan}
    else:
        cov, extra, (df_control, df_treatment) = _jackknife(k, cells.clusters, weight)
    control, treatment = weight @ cells.means[0::2], weight @ cells.means[1::2]
    return ArmMeans(
        control=control + cells.origin,
        treatment=treatment + cells.origin,
        effect=treatment - control,
        cov=cov,
        df_control=df_control,
        df_treatment=df_treatment,
        n_control=int(n[0::2].sum()),
        n_treatment=int(n[1::2].sum()),
        **extra,  # type: ignore[arg-type]
    )


def _welch(cells: Cells, weight: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
    n, k = cells.n, cells.means.shape[1]
    variance = (np.repeat(weight, 2) ** 2 / (n - 1) / n)[:, None, None] * cells.cross
    cov = np.zeros((2 * k, 2 * k))
    cov[:k, :k], cov[k:, k:] = variance[0::2].sum(axis=0), variance[1::2].sum(axis=0)
    parts = np.diagonal(variance, axis1=1, axis2=2)
    dfs = [np.array([satterthwaite(parts[arm::2, j], n[arm::2] - 1) for j in range(k)]) for arm in (0, 1)]
    return cov, (np.nan_to_num(dfs[0], nan=1.0), np.nan_to_num(dfs[1], nan=1.0))


def _jackknife(
    k: int, clusters: ClusterMoments, weight: Floats
) -> tuple[Floats, dict[str, float | int | bool], tuple[Floats, Floats]]:
    """Square what the means change by when one cluster is left out, each stratum by its weight."""
    per_cell, g, crossed = clusters.per_cell, clusters.n_clusters, clusters.crossed
    factor = np.full(len(per_cell), (g - 1) / g) if crossed else (per_cell - 1) / per_cell
    own = (np.repeat(weight, 2) ** 2 * factor)[:, None, None] * clusters.left_out
    cov = np.zeros((2 * k, 2 * k))
    cov[:k, :k], cov[k:, k:] = own[0::2].sum(axis=0), own[1::2].sum(axis=0)
    if crossed:
        cov[:k, k:] = ((weight**2 * (g - 1) / g)[:, None, None] * clusters.across).sum(axis=0)
        cov[k:, :k] = cov[:k, k:].T
    df_clusters = float(g - (1 if crossed else len(per_cell)))
    dfs = np.full((2, k), df_clusters)
    if not crossed:
        parts, freedom = np.diagonal(own, axis1=1, axis2=2), clusters.freedom
        dfs = np.array([[satterthwaite(parts[a::2, j], freedom[a::2]) for j in range(k)] for a in (0, 1)])
        dfs = np.where(np.isnan(dfs), [[freedom[0::2].sum()], [freedom[1::2].sum()]], dfs)  # an arm without variance
    extra = {
        "df_clusters": df_clusters,
        "clusters_control": int(per_cell[0::2].sum()),
        "clusters_treatment": int(per_cell[1::2].sum()),
        "crossed": crossed,
    }
    return cov, extra, (dfs[0], dfs[1])
