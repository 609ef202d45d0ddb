"""Counts, means and centred products of an experiment by cell: all that an arm's mean and its variance need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.cell_clusters import (
    ClusterMoments,
    by_cell,
    check_sizes,
    cluster_moments,
    place_clusters,
    several_strata,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Floats = np.ndarray

EPS = float(np.finfo(float).eps)
#: A standard deviation below this share of a column's size is the rounding of the data themselves.
SAME = 1e-14


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Moments of k values in the cells of an experiment: cell 2s is the control of stratum s, 2s + 1 its treatment.

    Parameters
    ----------
    n : array, shape (c,)
        Units.
    origin : array, shape (k,)
        What was subtracted from every value.
    means : array, shape (c, k)
        About the origin.
    cross : array, shape (c, k, k)
        Centred sums of squares and products. With clusters only those of covariates are known, the rest are 0.
    noise, unit_noise : array, shape (c, k)
        Sum of squares that rounding alone can make: in `spread`, and on the diagonal of `cross`.
    clusters : ClusterMoments, optional
    """

    n: Floats
    origin: Floats
    means: Floats
    cross: Floats
    noise: Floats
    unit_noise: Floats
    clusters: ClusterMoments | None = None

    @property
    def spread(self) -> Floats:
        """Centred sums of squares, shape (c, k): of the units, or of cluster means weighted by units."""
        centred = self.cross if self.clusters is None else self.clusters.between
        return np.asarray(np.diagonal(centred, axis1=1, axis2=2))

    def with_noise(self, squares: Floats, *, unit: Floats, of_clusters: Floats | None = None) -> Cells:
        """Bound the sums of squares that rounding alone can make of a constant.

        A running sum of n terms is off by at most ``n * eps / 2`` of the sum of their sizes, so a sum of squares and
        the square of a sum over n together by less than ``2 * n * eps`` of the sum of squares; what clusters differ by
        is squared after it was rounded, and so is its bound. Sums of whole numbers do not round, only their last
        division does, and if they vary their centred squares are at least half a squared unit. Real data may carry
        rounding of their own: see `SAME`.

        Parameters
        ----------
        squares : array, shape (c, k)
            Sums of squares about the origin, 0 where unknown.
        unit : array, shape (k,)
            What values are multiples of; 0 for reals.
        of_clusters : array, shape (c, k), optional
            The same of cluster means weighted by units.
        """
        n = self.n[:, None]
        share, own = 2 * EPS * (n + 4), n * (SAME * (self.means + self.origin)) ** 2
        units = np.where(unit > 0, np.minimum(4 * EPS * squares, unit**2 / 4), share * squares + own)
        if of_clusters is None:
            return replace(self, noise=units, unit_noise=units)
        largest = np.maximum(of_clusters, squares)  # totals of clusters may cancel where their units do not
        clusters = np.where(unit > 0, np.minimum(4 * EPS * of_clusters, unit**2 / 4), share**2 * largest + own)
        return replace(self, noise=clusters, unit_noise=units)

    def varies(self, j: int) -> bool:
        """Whether the j-th value varies within some cell by more than rounding."""
        return bool(np.any(self.spread[:, j] > self.noise[:, j]))

    def cleaned(self) -> Cells:
        """Return the cells with zero in place of variances that are rounding."""
        real = self.spread > self.noise
        if real.all():
            return self
        return self._with_matrices(
            lambda each: np.where(real[:, :, None] & real[:, None, :], each, 0.0),
            lambda each: np.where(real[0::2, :, None] & real[1::2, None, :], each, 0.0),
        )

    def _with_matrices(self, change: Callable[[Floats], Floats], across: Callable[[Floats], Floats]) -> Cells:
        """Change every matrix of a cell, and those between the arms of a stratum."""
        c = self.clusters
        if c is not None:
            c = replace(c, between=change(c.between), left_out=change(c.left_out), across=across(c.across))
        return replace(self, cross=change(self.cross), clusters=c)

    def size(self, j: int) -> float:
        """Root mean square of the j-th value itself, in the cell where it is largest."""
        squares = (self.means[:, j] + self.origin[j]) ** 2 + np.maximum(self.spread[:, j], 0) / self.n
        return float(np.sqrt(squares.max()))

    def take(self, columns: Sequence[int]) -> Cells:
        """Keep some of the values, in this order."""
        at = list(columns)
        kept = self._with_matrices(lambda each: each[:, at][:, :, at], lambda each: each[:, at][:, :, at])
        return replace(
            kept,
            origin=self.origin[at],
            means=self.means[:, at],
            noise=self.noise[:, at],
            unit_noise=self.unit_noise[:, at],
        )

    def mapped(self, slope: Floats, offset: Floats, *, origin: Floats) -> Cells:
        """Return the moments of ``offset + slope @ values`` (values about the origin).

        Parameters
        ----------
        slope : array, shape (j, k) or (c, j, k)
            The same in every cell, or one matrix a cell.
        offset : array, shape (j,) or (c, j)
        origin : array, shape (j,)
            Added to the result, where means are reported.
        """
        slope = np.broadcast_to(slope, (len(self.n), *slope.shape[-2:]))
        size = np.abs(slope)
        spread = np.maximum(self.spread, 0)
        combined = (np.count_nonzero(slope, axis=2) > 1) * 16 * EPS * _each(size, np.sqrt(spread)) ** 2
        turned = slope.transpose(0, 2, 1)
        found = self._with_matrices(lambda each: slope @ each @ turned, lambda each: slope[0::2] @ each @ turned[1::2])
        return replace(
            found,
            origin=origin,
            means=offset + _each(slope, self.means),
            noise=_each(size, np.sqrt(self.noise)) ** 2 + combined,
            unit_noise=_each(size, np.sqrt(self.unit_noise)) ** 2,
        )


def _each(slope: Floats, values: Floats) -> Floats:
    """Apply every cell's matrix to its vector: (c, j, k) and (c, k) to (c, j)."""
    return np.asarray((slope @ values[:, :, None])[:, :, 0])


def cells_of_rows(
    values: Floats, treated: Floats, *, strata: Floats | None = None, clusters: Floats | None = None
) -> Cells:
    """Take the moments of arrays, in two passes.

    Parameters
    ----------
    values : array, shape (n, k)
        Without missing values.
    treated : bool array, shape (n,)
    strata, clusters : int array, shape (n,), optional
        Codes 0, 1, ...

    Raises
    ------
    EstimationError
        If a cell has fewer than two units or clusters, or a cluster lies in several strata.
    """
    origin = values[0].copy()  # sums of what is left lose no digits to a common offset
    values = values - origin
    cell = treated.astype(np.intp) if strata is None else 2 * strata.astype(np.intp) + treated
    c = 2 if strata is None else 2 * int(strata.max()) + 2
    n = np.bincount(cell, minlength=c).astype(float)
    check_sizes(n, "unit")
    means = by_cell(values, cell, c) / n[:, None]
    residuals = values - means[cell]
    cross = np.stack([r.T @ r for r in (residuals[cell == at] for at in range(c))])
    squares = np.diagonal(cross, axis1=1, axis2=2) + n[:, None] * means**2
    zero = np.zeros(means.shape)
    found = Cells(n=n, origin=origin, means=means, cross=cross, noise=zero, unit_noise=zero)
    reals = np.zeros(values.shape[1])
    if clusters is None:
        return found.with_noise(squares, unit=reals)
    if several_strata(clusters, cell):
        raise EstimationError(
            "some clusters lie in several strata",
            advice="Stratify on something that is the same for a whole cluster.",
        )
    places = place_clusters(clusters, cell, c)
    size = np.bincount(places.total).astype(float)
    totals = by_cell(residuals, places.total, len(size))
    own = totals / size[:, None] + means[places.cell]
    of_clusters = by_cell(own**2 * size[:, None], places.cell, c)
    found = replace(found, clusters=cluster_moments(places, size, n, totals))
    return found.with_noise(squares, unit=reals, of_clusters=of_clusters)
