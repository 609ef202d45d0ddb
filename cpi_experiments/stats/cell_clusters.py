"""What clusters contribute to the variance of a cell's means: totals and products, without a look at the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError

Floats = np.ndarray
#: Products of two values: between clusters, with one left out, and across arms both ways round.
Products = tuple[Floats, Floats, Floats, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMoments:
    """What the clusters of every cell contribute to the variance of k values.

    Parameters
    ----------
    per_cell : array, shape (c,)
        Clusters.
    n_clusters : int
        Clusters; one that lies in both arms counts once.
    between : array, shape (c, k, k)
        Centred products of the clusters' means, weighted by their units.
    left_out : array, shape (c, k, k)
        Products of what the cell's mean changes by when one cluster is left out.
    across : array, shape (c / 2, k, k)
        The same for clusters that lie in both arms: change of the control's mean times the treatment's.
    freedom : array, shape (c,)
        Degrees of freedom of the cell's variance (`freedom_of`).
    """

    per_cell: Floats
    n_clusters: int
    between: Floats
    left_out: Floats
    across: Floats
    freedom: Floats

    @property
    def crossed(self) -> bool:
        """Whether clusters lie in both arms."""
        return int(self.per_cell.sum()) > self.n_clusters


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where clusters lie: h pairs of a cluster and a cell, in order of cluster, then arm.

    Parameters
    ----------
    cluster, cell : int array, shape (h,)
        Clusters have the codes 0, 1, ... without gaps; cell 2s is the control of stratum s, 2s + 1 its treatment.
    total : int array, shape (g,)
        The pair that each of the g rows (or cells of moments) belongs to.
    per_cell : array, shape (c,)
        Clusters in every cell.
    """

    cluster: Floats
    cell: Floats
    total: Floats
    per_cell: Floats

    @property
    def n_clusters(self) -> int:
        """How many clusters there are."""
        return int(self.cluster[-1]) + 1


def several_strata(clusters: Floats, cell: Floats) -> bool:
    """Whether some cluster lies in several strata.

    Examples
    --------
    >>> several_strata(np.array([0, 0, 1]), np.array([0, 1, 2])), several_strata(np.array([0, 0]), np.array([0, 2]))
    (False, True)
    """
    stratum = cell // 2
    one_of = np.zeros(int(clusters.max()) + 1, dtype=np.intp)
    one_of[clusters] = stratum
    return bool(np.any(one_of[clusters] != stratum))


def place_clusters(clusters: Floats, cell: Floats, cells: int) -> Places:
    """Find the pairs of cluster and cell.

    Parameters
    ----------
    clusters : int array, shape (g,)
        Codes from 0, perhaps with gaps; every cluster lies in one stratum.
    cell : int array, shape (g,)
    cells : int

    Raises
    ------
    EstimationError
        If a cell has fewer than two clusters.

    Examples
    --------
    >>> places = place_clusters(np.array([5, 3, 8, 3, 9]), np.array([0, 1, 1, 1, 0]), 2)
    >>> places.cluster.tolist(), places.cell.tolist(), places.total.tolist()
    ([0, 1, 2, 3], [1, 0, 1, 0], [1, 0, 2, 0, 3])
    """
    code = 2 * clusters.astype(np.intp) + cell % 2
    cell_of = np.full(2 * (int(clusters.max()) + 1), -1, dtype=np.intp)
    cell_of[code] = cell
    pairs = np.flatnonzero(cell_of >= 0)
    rank = np.cumsum(cell_of >= 0) - 1
    cluster = pairs // 2
    cluster = np.cumsum(np.diff(cluster, prepend=cluster[0]) > 0)
    per_cell = np.bincount(cell_of[pairs], minlength=cells).astype(float)
    check_sizes(per_cell, "cluster")
    return Places(cluster=cluster, cell=cell_of[pairs], total=rank[code], per_cell=per_cell)


def cluster_products(places: Places, size: Floats, n: Floats, one: Floats, other: Floats) -> Products:
    """Return the products of two values by cell: between, left out, across, and across the other way round.

    Parameters
    ----------
    places : Places
    size : array, shape (h,)
        Units of every cluster in a cell.
    n : array, shape (c,)
        Units of every cell.
    one, other : array, shape (h,)
        Totals of the clusters about their cell's mean.
    """
    cell, cells = places.cell, len(n)
    between = np.bincount(cell, weights=one * other / size, minlength=cells)
    left = n[cell] - size
    shifts = -one / left, -other / left
    left_out = np.bincount(cell, weights=shifts[0] * shifts[1], minlength=cells)
    same = np.flatnonzero(np.diff(places.cluster) == 0)  # the control's pair; the treatment's follows
    stratum = cell[same] // 2
    across = [
        np.bincount(stratum, weights=a[same] * b[same + 1], minlength=cells // 2) for a, b in (shifts, shifts[::-1])
    ]
    return between, left_out, across[0], across[1]


def freedom_of(places: Places, size: Floats, n: Floats) -> Floats:
    """Degrees of freedom of the jackknife variance of every cell's mean, by Satterthwaite; clusters less one if equal.

    With u = n_g / (n - n_g) for the n_g units of a cluster it is (sum u)^2 / (sum u^2 + (sum u^2)^2 - sum u^4): twice
    the squared mean over the variance of the quadratic form, for equal and independent errors.

    Parameters
    ----------
    places : Places
    size : array, shape (h,)
        Units of every cluster in a cell.
    n : array, shape (c,)
        Units of every cell.

    Returns
    -------
    array, shape (c,)

    References
    ----------
    Bell and McCaffrey (2002), Survey Methodology 28.

    Examples
    --------
    >>> places = place_clusters(np.arange(5), np.array([0, 0, 0, 1, 1]), 2)
    >>> freedom_of(places, np.array([4.0, 4.0, 4.0, 1.0, 9.0]), np.array([12.0, 10.0])).round(6)
    array([2., 1.])
    """
    u = size / (n[places.cell] - size)
    return freedom_of_sums(*(np.bincount(places.cell, weights=u**power, minlength=len(n)) for power in (1, 2, 4)))


def freedom_of_sums(one: Floats, two: Floats, four: Floats) -> Floats:
    """Degrees of freedom from the sums over clusters of u, u^2 and u^4 (`freedom_of`), of any shape.

    Examples
    --------
    >>> float(freedom_of_sums(1.5, 0.75, 0.1875))  # three equal clusters: u = 1 / 2
    2.0
    """
    others = np.maximum(two**2 - four, 0.0)  # rounding, where one cluster is nearly everything
    return np.asarray(np.maximum(one**2 / (two + others), 1.0))  # never below, as u_g u_h <= 1


def collected(
    places: Places, k: int, products: dict[tuple[int, int], Products], *, size: Floats, n: Floats
) -> ClusterMoments:
    """Put the products of k values into matrices.

    Parameters
    ----------
    places : Places
    k : int
    products : mapping of (i, j), i <= j, to products
    size, n : array, shape (h,) and (c,)
        Units of every cluster in a cell, and of every cell.
    """
    cells = len(places.per_cell)
    between, left_out, across = (np.zeros((size, k, k)) for size in (cells, cells, cells // 2))
    for (i, j), found in products.items():
        between[:, i, j] = between[:, j, i] = found[0]
        left_out[:, i, j] = left_out[:, j, i] = found[1]
        across[:, i, j], across[:, j, i] = found[2], found[3]
    return ClusterMoments(
        per_cell=places.per_cell, n_clusters=places.n_clusters, between=between, left_out=left_out, across=across,
        freedom=freedom_of(places, size, n),
    )  # fmt: skip


def cluster_moments(places: Places, size: Floats, n: Floats, totals: Floats) -> ClusterMoments:
    """Take all products of k values.

    Parameters
    ----------
    places : Places
    size : array, shape (h,)
    n : array, shape (c,)
    totals : array, shape (h, k)
        About the cell's mean.
    """
    k = totals.shape[1]
    pairs = [(i, j) for i in range(k) for j in range(i, k)]
    return collected(
        places, k, {(i, j): cluster_products(places, size, n, totals[:, i], totals[:, j]) for i, j in pairs},
        size=size, n=n,
    )  # fmt: skip


def by_cell(values: Floats, cell: Floats, cells: int) -> Floats:
    """Add rows of values by their cell: shape (n, k) to (cells, k).

    Examples
    --------
    >>> by_cell(np.array([[1.0], [2.0], [4.0]]), np.array([0, 1, 0]), 2).ravel()
    array([5., 2.])
    """
    return np.stack([np.bincount(cell, weights=column, minlength=cells) for column in values.T], axis=1)


def check_sizes(counts: Floats, what: str) -> None:
    """Refuse a cell with fewer than two units (or clusters): it has no variance.

    Parameters
    ----------
    counts : array, shape (c,)
        By stratum and arm.
    what : str
        What is counted, in words.

    Raises
    ------
    EstimationError
        Naming the arm, or how many strata.
    """
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
