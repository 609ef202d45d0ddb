"""Means of two arms with their joint covariance: Welch, strata, clusters; the base of every randomised estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.student import satterthwaite

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmMeans:
    """Means of k outcomes in two arms.

    Parameters
    ----------
    control, treatment : array, shape (k,)
        Means, weighted over strata where there are any.
    cov : array, shape (2k, 2k)
        Sampling covariance of ``[control, treatment]``.
    df_control, df_treatment : array, shape (k,)
        Degrees of freedom of each arm's variances.
    df_clusters : float
        Degrees of freedom when clustered (clusters less cells), else NaN.
    n_control, n_treatment : int
        Units.
    clusters_control, clusters_treatment : int
        Clusters in each arm; 0 if not clustered.
    crossed : bool
        Whether clusters span both arms.
    """

    control: Floats
    treatment: Floats
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
    def effect(self) -> Floats:
        """Treatment less control, shape (k,)."""
        return np.asarray(self.treatment - self.control)

    @property
    def omega(self) -> Floats:
        """Sampling covariance of `effect`, shape (k, k)."""
        k = len(self.control)
        contrast = np.hstack([-np.eye(k), np.eye(k)])
        return np.asarray(contrast @ self.cov @ contrast.T)

    def df(self, j: int) -> float:
        """Degrees of freedom of the j-th effect: Welch, or clusters less cells."""
        k = len(self.control)
        return self.df_of(np.array([self.cov[j, j], self.cov[k + j, k + j]]), j)

    def df_of(self, variances: Floats, j: int) -> float:
        """Degrees of freedom for given contributions (control, treatment) to the variance of the j-th outcome."""
        if not math.isnan(self.df_clusters):
            return self.df_clusters
        return satterthwaite(variances, np.array([self.df_control[j], self.df_treatment[j]]))


def arm_means(
    values: Floats, treated: Floats, *, strata: Floats | None = None, clusters: Floats | None = None
) -> ArmMeans:
    """Means of two arms with a covariance that fits the randomisation.

    Without clusters the variance of a cell (arm x stratum) mean is S/n with S the sample covariance (n - 1), and
    degrees of freedom are Welch's. With clusters it is the leave-one-cluster-out jackknife (CR3), which for clusters
    of equal size equals the unbiased variance of cluster means, with t(clusters less cells). Clusters that span both
    arms are left out of both at once.

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
    Welch (1947), Biometrika 34; MacKinnon, Nielsen, Webb (2023), J. Econometrics 232, section 2 (CR3 as jackknife).

    Examples
    --------
    >>> m = arm_means(np.array([[1.0], [2.0], [3.0], [5.0]]), np.array([False, False, True, True]))
    >>> m.effect, m.omega
    (array([2.5]), array([[1.25]]))
    """
    origin = values[0].copy()  # sums of what is left lose no digits to a common offset
    values = values - origin
    n_strata = 1 if strata is None else int(strata.max()) + 1
    cell = treated.astype(np.intp) if strata is None else 2 * strata.astype(np.intp) + treated
    counts = np.bincount(cell, minlength=2 * n_strata).astype(float)
    _check_cells(counts, "unit")
    weight = (counts[0::2] + counts[1::2]) / len(treated)
    sums = np.stack([np.bincount(cell, weights=column, minlength=2 * n_strata) for column in values.T], axis=1)
    means = sums / counts[:, None]
    if clusters is None:
        cov, dfs = _welch(values, cell, counts, means, weight)
        extra = {"df_clusters": math.nan}
        df_control, df_treatment = dfs
    else:
        cov, extra = _jackknife(values, cell, clusters, counts, sums, weight)
        df_control = df_treatment = np.full(values.shape[1], extra["df_clusters"])
    return ArmMeans(
        control=weight @ means[0::2] + origin,
        treatment=weight @ means[1::2] + origin,
        cov=cov,
        df_control=df_control,
        df_treatment=df_treatment,
        n_control=int(counts[0::2].sum()),
        n_treatment=int(counts[1::2].sum()),
        **extra,  # type: ignore[arg-type]
    )


def _check_cells(counts: Floats, what: str) -> None:
    if counts.min() >= 2:
        return
    if len(counts) > 2:
        short = int(np.sum(counts.reshape(-1, 2).min(axis=1) < 2))
        raise EstimationError(
            f"{short:,} of {len(counts) // 2:,} strata have fewer than two {what}s in an arm: no variance exists there",
            advice=f"Every arm needs at least two {what}s in every stratum: merge small strata.",
        )
    least, arm = int(counts.min()), "treatment" if np.argmin(counts) else "control"
    raise EstimationError(
        f"the {arm} arm has {least} {what}{'' if least == 1 else 's'}: its variance cannot be estimated",
        advice=f"Every arm needs at least two {what}s.",
    )


def _welch(
    values: Floats, cell: Floats, counts: Floats, means: Floats, weight: Floats
) -> tuple[Floats, tuple[Floats, Floats]]:
    k = values.shape[1]
    residuals = values - means[cell]
    cov = np.zeros((2 * k, 2 * k))
    parts = np.zeros((len(counts), k))
    for c, count in enumerate(counts):
        r = residuals[cell == c]
        v = weight[c // 2] ** 2 * (r.T @ r) / (count - 1) / count
        arm = slice(k, 2 * k) if c % 2 else slice(0, k)
        cov[arm, arm] += v
        parts[c] = np.diag(v)
    dfs = tuple(np.array([satterthwaite(parts[arm::2, j], counts[arm::2] - 1) for j in range(k)]) for arm in (0, 1))
    return cov, (np.nan_to_num(dfs[0], nan=1.0), np.nan_to_num(dfs[1], nan=1.0))


def _jackknife(
    values: Floats, cell: Floats, clusters: Floats, counts: Floats, sums: Floats, weight: Floats
) -> tuple[Floats, dict[str, float | int | bool]]:
    cells, k = len(counts), values.shape[1]
    pair, where = np.unique(clusters.astype(np.intp) * cells + cell, return_inverse=True)
    group, part = pair // cells, pair % cells
    n_in = np.bincount(where).astype(float)
    total = np.stack([np.bincount(where, weights=column) for column in values.T], axis=1)
    per_cell = np.bincount(part, minlength=cells).astype(float)
    _check_cells(per_cell, "cluster")
    # change of the cell mean when the cluster is left out, times the stratum's weight
    shift = (sums[part] - total) / (counts[part] - n_in)[:, None] - (sums / counts[:, None])[part]
    shift *= weight[part // 2][:, None]
    crossed = len(pair) > len(np.unique(group))
    n_groups = int(clusters.max()) + 1
    if crossed:
        change = np.zeros((n_groups, 2 * k))
        for arm in (0, 1):
            rows = part % 2 == arm
            np.add.at(change[:, arm * k : (arm + 1) * k], group[rows], shift[rows])
        cov = (n_groups - 1) / n_groups * change.T @ change
        df = float(n_groups - 1)
    else:
        cov = np.zeros((2 * k, 2 * k))
        factor = np.sqrt((per_cell[part] - 1) / per_cell[part])[:, None]
        for arm in (0, 1):
            s = (shift * factor)[part % 2 == arm]
            cov[arm * k : (arm + 1) * k, arm * k : (arm + 1) * k] = s.T @ s
        df = float(n_groups - cells)
    return cov, {
        "df_clusters": df,
        "clusters_control": int(per_cell[0::2].sum()),
        "clusters_treatment": int(per_cell[1::2].sum()),
        "crossed": crossed,
    }
