"""Complete cases of a control and one treatment, as the moments of their cells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.stats.cell_clusters import (
    Places,
    Products,
    check_sizes,
    cluster_products,
    collected,
    place_clusters,
    several_strata,
)
from cpi_experiments.stats.cells import Cells
from cpi_experiments.stats.exact_sums import add_by_group, as_floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.trial import Trial
    from cpi_experiments.stats.moments import Moments

Array = np.ndarray
#: Up to here a centred sum of squares of whole numbers keeps its last digits in doubles.
_SAFE = 2.0**45


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the cells of a trial's moments fall into arms, strata and clusters, and what was added up by them.

    Parameters
    ----------
    kept : int array, shape (g,), or slice
        Cells of the moments that are used.
    cell : int array, shape (g,)
        2 * stratum + (1 if treated).
    n : array, shape (c,)
        Units of every cell.
    places : Places or None
        Where the clusters lie.
    size : array, shape (h,)
        Units of every cluster in a cell.
    dropped : tuple of (reason, rows)
    sums, products : dict of column, or of pair of columns, to array of shape (c,)
        Added up when first asked for.
    of_clusters : dict of pair of columns to products
    squares : dict of column to array, shape (c,)
        Squares of the clusters' means about the origin, weighted by their units.
    """

    kept: Array | slice
    cell: Array
    n: Array
    places: Places | None
    size: Array
    dropped: tuple[tuple[str, int], ...]
    sums: dict[int, Array] = field(default_factory=dict)
    products: dict[tuple[int, int], Array] = field(default_factory=dict)
    of_clusters: dict[tuple[int, int], Products] = field(default_factory=dict)
    squares: dict[int, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """Complete cases of some columns.

    Parameters
    ----------
    columns : tuple of str
    cells : Cells
        Moments of these columns, in this order; a column may occur twice.
    lost_digits : mapping of column to float
        By which factor numbers about the origin exceed what varies in them, where sums are rounded.
    stratified : bool
    n_clusters : int
        0 if not clustered.
    dropped : tuple of (reason, rows)
    """

    columns: tuple[str, ...]
    cells: Cells
    lost_digits: dict[str, float]
    stratified: bool
    n_clusters: int
    dropped: tuple[tuple[str, int], ...]


def complete(trial: Trial, treatment: int, columns: Sequence[str]) -> Cases:
    """Take the control and one treatment, keep rows with every column, count the rest by reason.

    Raises
    ------
    DataError
        If nothing is left, or a cluster lies in several strata.
    EstimationError
        If a cell has fewer than two units.
    """
    names = tuple(dict.fromkeys(columns))
    found = _layout(trial, treatment, names)
    cells, squares = _cells(trial.moments, found, [trial.moments.place(name) for name in names])
    return Cases(
        columns=tuple(columns),
        cells=cells.take([names.index(name) for name in columns]),
        lost_digits=_lost_digits(names, cells, squares, trial.moments),
        stratified=trial.strata is not None,
        n_clusters=0 if found.places is None else found.places.n_clusters,
        dropped=found.dropped,
    )


def only_zero_and_one(trial: Trial, treatment: int, columns: Sequence[str], column: str) -> bool:
    """Whether a column holds nothing but 0 and 1 in the complete cases of some columns.

    For whole numbers this is so exactly if the sum of ``x * (x - 1)``, none of which is negative, is zero. For
    columns stored as reals it has to be zero, and the sum of ``x`` whole, in every single cell of the moments.
    """
    m = trial.moments
    at = m.place(column)
    kept = _layout(trial, treatment, tuple(dict.fromkeys(columns))).kept
    n, origin, scale = m.n[kept], m.origin[at], m.scale[at]
    sums = as_floats(m.sums[:, at][kept]) / scale
    products = as_floats(m.products[:, m.pairs.index((at, at))][kept]) / scale**2
    total = sums + n * origin
    squares = products + 2 * origin * sums + n * origin**2
    return bool(np.all(squares == total) and np.all(total == np.round(total)))


# -- which cells -----------------------------------------------------------------------------------------------------


def _layout(trial: Trial, treatment: int, columns: tuple[str, ...]) -> Layout:
    keep, dropped = _kept(trial, treatment, columns)
    key = (treatment, keep.tobytes(), dropped)
    found = trial.layouts.get(key)
    if found is None:
        found = trial.layouts[key] = _laid_out(trial, treatment, np.flatnonzero(keep), dropped)
    return found


def _kept(trial: Trial, treatment: int, columns: tuple[str, ...]) -> tuple[Array, tuple[tuple[str, int], ...]]:
    n, present = trial.moments.n, trial.moments.present
    keep = (trial.arm == 0) | (trial.arm == treatment) | (trial.arm < 0)
    dropped: list[tuple[str, int]] = []
    groups = ((role, codes) for role, codes in (("cluster", trial.cluster), ("strata", trial.strata)))
    checks = [
        (f"without {trial.names['arm']}", trial.arm < 0),
        ("in several arms", trial.several),
        *((f"without {name}", ~present[:, trial.moments.place(name)]) for name in columns),
        *((f"without {trial.names[role]}", codes < 0) for role, codes in groups if codes is not None),
    ]
    for reason, missing in checks:
        lost = keep & missing
        if lost.any():
            dropped.append((reason, int(n[lost].sum())))
            keep &= ~missing
    if not keep.any():
        lost_text = "; ".join(f"{count:,} {reason}" for reason, count in dropped)
        raise DataError("no complete row is left", advice=f"Rows not used: {lost_text}.")
    return keep, tuple(dropped)


def _laid_out(trial: Trial, treatment: int, kept: Array, dropped: tuple[tuple[str, int], ...]) -> Layout:
    m = trial.moments
    used = slice(None) if len(kept) == len(m) else kept
    stratum: Array = np.zeros(len(kept), dtype=np.intp)
    if trial.strata is not None:
        stratum = np.unique(trial.strata[used], return_inverse=True)[1]
    cell = 2 * stratum + (trial.arm[used] == treatment)
    cells = 2 * int(stratum.max()) + 2
    n = np.bincount(cell, weights=m.n[used], minlength=cells)
    check_sizes(n, "unit")
    places = None
    size: Array = np.zeros(0)
    if trial.cluster is not None:
        cluster = trial.cluster[used]
        if cells > 2 and several_strata(cluster, cell):
            raise DataError(
                f"some clusters ({trial.names['cluster']}) lie in several strata ({trial.names['strata']})",
                advice="Stratify on something that is the same for a whole cluster.",
            )
        places = place_clusters(cluster, cell, cells)
        size = np.bincount(places.total, weights=m.n[used])
    return Layout(kept=used, cell=cell, n=n, places=places, size=size, dropped=dropped)


# -- their moments ---------------------------------------------------------------------------------------------------


def _pairs(m: Moments, at: list[int]) -> dict[tuple[int, int], int]:
    """Where the products of these columns stand among the moments."""
    chosen = set(at)
    return {pair: k for k, pair in enumerate(m.pairs) if chosen.issuperset(pair)}


def _add_up(m: Moments, found: Layout, at: list[int]) -> None:
    """Add columns and their products up by cell, unless they are known from another estimate."""
    columns = [i for i in at if i not in found.sums]
    pairs = {pair: k for pair, k in _pairs(m, at).items() if pair not in found.products}
    if columns or pairs:
        sums, products = m.sums[found.kept][:, columns], m.products[found.kept][:, list(pairs.values())]
        _, sums, products = add_by_group(m.n[found.kept], sums, products, found.cell, len(found.n))
        found.sums.update(zip(columns, sums.T, strict=True))
        found.products.update(zip(pairs, products.T, strict=True))


def _cells(m: Moments, found: Layout, at: list[int]) -> tuple[Cells, Array]:
    """Return the moments of the columns at some positions, and their sums of squares about the origin, shape (c, p)."""
    _add_up(m, found, at)
    scale, p = m.scale[at], len(at)
    local = {place: j for j, place in enumerate(at)}
    cross, squares = np.zeros((len(found.n), p, p)), np.zeros((len(found.n), p))
    for a, b in _pairs(m, at):
        i, j = local[a], local[b]
        exact = bool(m.whole[a] and m.whole[b])
        centred = _centred(found.products[a, b], found.sums[a], found.sums[b], found.n, exact=exact)
        cross[:, i, j] = cross[:, j, i] = centred / (scale[i] * scale[j])
        if i == j:
            squares[:, i] = as_floats(found.products[a, b]) / scale[i] ** 2
    means = np.stack([as_floats(found.sums[a]) for a in at], axis=1) / (scale * found.n[:, None])
    zero, unit = np.zeros(means.shape), np.where(m.whole[at], 1 / scale, 0.0)
    cells = Cells(n=found.n, origin=m.origin[at], means=means, cross=cross, noise=zero, unit_noise=zero)
    if found.places is None:
        return cells.with_noise(squares, unit=unit), squares
    _add_up_clusters(m, found, found.places, at, means)
    known = {(local[a], local[b]): each for (a, b), each in found.of_clusters.items() if {a, b} <= set(at)}
    of_clusters = np.stack([found.squares[a] for a in at], axis=1)
    cells = replace(cells, clusters=collected(found.places, p, known, size=found.size, n=found.n))
    return cells.with_noise(squares, unit=unit, of_clusters=of_clusters), of_clusters


def _centred(products: Array, one: Array, other: Array, n: Array, *, exact: bool) -> Array:
    """Sum of products about the means; without rounding for whole numbers whose sums are large."""
    if exact and (products.dtype == object or np.abs(products).max(initial=0) > _SAFE):
        rows = zip(products.tolist(), one.tolist(), other.tolist(), n.tolist(), strict=True)
        return np.array([float(Fraction(q) - Fraction(a) * Fraction(b) / Fraction(size)) for q, a, b, size in rows])
    return np.asarray(as_floats(products) - as_floats(one) * (as_floats(other) / n))


def _add_up_clusters(m: Moments, found: Layout, places: Places, at: list[int], means: Array) -> None:
    """Take the products of columns over clusters, unless they are known from another estimate.

    The totals of the clusters themselves are not kept: they are as many as the clusters.
    """
    new = [(a, b) for a, b in combinations_with_replacement(at, 2) if (a, b) not in found.of_clusters]
    needed = dict.fromkeys(a for pair in new for a in pair)
    totals = {}
    for a in needed:
        column = as_floats(m.sums[:, a][found.kept]) / m.scale[a]
        total = np.bincount(places.total, weights=column, minlength=len(found.size))
        found.squares[a] = np.bincount(places.cell, weights=total**2 / found.size, minlength=len(found.n))
        totals[a] = total - found.size * means[places.cell, at.index(a)]
    for a, b in new:
        found.of_clusters[a, b] = cluster_products(places, found.size, found.n, totals[a], totals[b])


def _lost_digits(names: tuple[str, ...], cells: Cells, squares: Array, m: Moments) -> dict[str, float]:
    """Say what is subtracted over what is left: of squares, or of clusters' totals, which are squared afterwards."""
    above, left = squares.sum(axis=0), np.maximum(cells.spread, 0).sum(axis=0)
    power = 1.0 if cells.clusters is None else 0.5
    real = [j for j, name in enumerate(names) if cells.varies(j) and not m.whole[m.place(name)]]
    return {names[j]: float(above[j] / left[j]) ** power for j in real}
