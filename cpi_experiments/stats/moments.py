"""Counts, sums and cross-products by cell: what means, variances, covariances and regressions all derive from.

Sums are taken of ``scale * (x - origin)``. The origin is a number near the mean with few binary digits, so that no
digits are lost to squares of a common offset; the scale turns money into whole cents. Whole numbers add up without
rounding as long as they stay below 2**53, and beyond that they are kept as Python integers: such moments are the same
for every order of rows, number of threads and split of the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError, nearest
from cpi_experiments.stats.exact_sums import (
    EXACT,
    add_by_group,
    as_floats,
    codes_of,
    compact,
    exact_objects,
    exact_total,
    joined_labels,
    row_codes,
    whole_origin,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Array = np.ndarray
#: What a scaled origin may be off a whole number: 100 * 1.12 is not quite 112.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Sums of p columns over the rows of G cells.

    A cell is one combination of the keys *and* of what is missing, so that complete cases of any set of columns can
    be told apart later without another look at the rows.

    Parameters
    ----------
    columns : tuple of str
        The p columns.
    keys : mapping of key to array, shape (G,)
        Labels of the cells: arm, segment, week, cluster.
    present : bool array, shape (G, p)
        Columns that are not missing in the rows of a cell.
    n : int array, shape (G,)
        Rows.
    sums : array, shape (G, p)
        Sums of ``scale * (x - origin)``, 0 where the column is missing.
    pairs : tuple of (int, int)
        Columns ``i <= j`` whose products were summed; m of them.
    products : array, shape (G, m)
    origin, scale : array, shape (p,)
    whole : bool array, shape (p,)
        Columns of whole numbers (after scaling): their moments are exact.

    Examples
    --------
    >>> m = moments_of({"won": np.array([0.0, 1.0, 1.0, 1.0])}, {"arm": np.array(["a", "a", "b", "b"])})
    >>> m.n.tolist(), m.means(["won"]).ravel().tolist()
    ([2, 2], [0.5, 1.0])
    """

    columns: tuple[str, ...]
    keys: Mapping[str, Array]
    present: Array
    n: Array
    sums: Array
    pairs: tuple[tuple[int, int], ...]
    products: Array
    origin: Array
    scale: Array
    whole: Array

    def __repr__(self) -> str:
        keys = f" by {', '.join(self.keys)}" if self.keys else ""
        return f"Moments of {', '.join(self.columns)}{keys}: {len(self):,} cells, {int(self.n.sum()):,} rows"

    def __len__(self) -> int:
        """Cells."""
        return len(self.n)

    def place(self, column: str) -> int:
        """Return the position of a column.

        Raises
        ------
        DataError
            If its moments were not gathered; names the nearest.
        """
        if column not in self.columns:
            raise DataError(
                f"column {column!r} is not among the moments",
                advice=f"{nearest(column, list(self.columns))} Gather the moments again with this column.",
            )
        return self.columns.index(column)

    def key(self, name: str) -> Array:
        """Return the labels of a key, shape (G,).

        Raises
        ------
        DataError
            If the moments were not gathered by it.
        """
        if name not in self.keys:
            raise DataError(
                f"the moments are not split by {name!r}",
                advice=f"They are split by {', '.join(self.keys) or 'nothing'}; gather them again with by=[{name!r}].",
            )
        return self.keys[name]

    def means(self, columns: Sequence[str]) -> Array:
        """Return the mean of every column in every cell, shape (G, k); NaN where it is missing."""
        at = [self.place(name) for name in columns]
        mean = self.origin[at] + as_floats(self.sums[:, at]) / (self.scale[at] * np.maximum(self.n, 1)[:, None])
        return np.where(self.present[:, at], mean, np.nan)

    def complete(self, columns: Sequence[str]) -> Array:
        """Mark the cells in which none of these columns is missing, shape (G,)."""
        return np.asarray(self.present[:, [self.place(name) for name in columns]].all(axis=1))

    def take(self, cells: Array) -> Moments:
        """Keep some cells: a bool array of shape (G,), or positions."""
        return replace(
            self,
            keys={name: labels[cells] for name, labels in self.keys.items()},
            present=self.present[cells],
            n=self.n[cells],
            sums=self.sums[cells],
            products=self.products[cells],
        )

    def ordered(self) -> Moments:
        """Sort the cells by their keys, and those of equal keys by what is missing."""
        codes = [codes_of(labels)[0] for labels in self.keys.values()]
        return self.take(np.lexsort([*(~self.present).T[::-1], *codes[::-1]])) if codes or len(self) > 1 else self

    def where(self, labels: Mapping[str, object]) -> Moments:
        """Keep the cells with these labels.

        Raises
        ------
        DataError
            If no cell has them.

        Examples
        --------
        >>> m = moments_of({"won": np.array([0.0, 1.0, 1.0])}, {"segment": np.array(["b2b", "b2c", "b2c"])})
        >>> m.where({"segment": "b2c"}).n.tolist()
        [2]
        """
        chosen = np.ones(len(self), dtype=bool)
        for name, label in labels.items():
            key = self.key(name)
            found = key != key if label is None and key.dtype.kind == "f" else key == label  # noqa: PLR0124 - NaN
            if not np.any(found):
                known = ", ".join(dict.fromkeys(str(each) for each in self.keys[name][:1000]))
                raise DataError(f"no cell has {name} = {label!r}", advice=f"Found: {known[:300]}.")
            chosen &= found
        return self.take(chosen)

    def split(self, name: str) -> dict[object, Moments]:
        """Return the moments of every label of a key, in order of the labels.

        Examples
        --------
        >>> m = moments_of({"won": np.array([0.0, 1.0, 1.0])}, {"segment": np.array(["b2b", "b2c", "b2c"])})
        >>> {label: int(part.n.sum()) for label, part in m.split("segment").items()}
        {'b2b': 1, 'b2c': 2}
        """
        codes, labels = codes_of(self.key(name))
        return {label: self.take(codes == at) for at, label in enumerate(labels)}

    def roll_up(self, keys: Sequence[str]) -> Moments:
        """Add up the cells that share the labels of some keys (and what is missing).

        Examples
        --------
        >>> rows = {"arm": np.array(["a", "a", "b"]), "week": np.array([1, 2, 1])}
        >>> moments_of({"won": np.array([0.0, 1.0, 1.0])}, rows).roll_up(["arm"]).n.tolist()
        [2, 1]
        """
        joint = row_codes(self.present)
        for name in keys:
            codes, labels = codes_of(self.key(name))
            joint = joint * (len(labels) + 1) + codes
            joint = np.unique(joint, return_inverse=True)[1]  # keeps the numbers small
        _, first, group = np.unique(joint, return_index=True, return_inverse=True)
        n, sums, products = add_by_group(self.n, self.sums, self.products, group, len(first))
        return replace(
            self,
            keys={name: self.keys[name][first] for name in keys},
            present=self.present[first],
            n=n,
            sums=sums,
            products=products,
        )

    def based_on(self, origin: Array) -> Moments:
        """Return the same moments about another origin; exact for whole numbers.

        Parameters
        ----------
        origin : array, shape (p,)
            A column of whole numbers stays one if ``scale * origin`` is whole, too.
        """
        target = self.scale * np.asarray(origin, dtype=float)
        near = np.round(target)
        whole = self.whole & (np.abs(target - near) <= _ROUNDING * np.maximum(np.abs(target), 1))
        target = np.where(whole, near, target)
        step = np.where(self.whole, np.round(self.scale * self.origin), self.scale * self.origin) - target
        if not np.any(step):
            return self
        i, j = [a for a, _ in self.pairs], [b for _, b in self.pairs]
        sums, products = self._moved(step, i, j)
        exact = [k for k, (a, b) in enumerate(self.pairs) if whole[a] and whole[b]]
        with np.errstate(over="ignore"):
            most = self._moved(np.abs(step), i, j, size=np.abs)
        if not (np.all(most[0][:, whole] < EXACT) and np.all(most[1][:, exact] < EXACT)):
            sums, products = self._moved(exact_objects(step), i, j, size=exact_objects)
        return replace(
            self,
            origin=target / self.scale,
            sums=compact(sums),
            products=compact(products),
            whole=whole,
        )

    def _moved(
        self, step: Array, i: list[int], j: list[int], *, size: Callable[[Array], Array] = np.asarray
    ) -> tuple[Array, Array]:
        """Move sums and products by a step; ``size`` is applied to what is there first."""
        have, n = self.present, self.n[:, None] if step.dtype != object else self.n.astype(object)[:, None]
        held = size(self.sums)
        moved = step[i] * held[:, j] + step[j] * held[:, i] + n * step[i] * step[j]
        return held + have * n * step, size(self.products) + (have[:, i] & have[:, j]) * moved

    def settled(self) -> Moments:
        """Return the moments of whole columns about origins that depend on nothing but the totals.

        Then the order of rows, their split into files and the sample that the first origin came from cannot be seen
        in any digit of what is derived from the moments.
        """
        origin = self.origin.copy()
        place = {pair: k for k, pair in enumerate(self.pairs)}
        for i in np.flatnonzero(self.whole).tolist():
            n = int(self.n[self.present[:, i]].sum())
            if n:
                square = exact_total(self.products[:, place[i, i]]) if (i, i) in place else None
                shift = round(self.scale[i] * self.origin[i])
                origin[i] = whole_origin(n, exact_total(self.sums[:, i]), square, shift) / self.scale[i]
        return self.based_on(origin)


def add_moments(parts: Sequence[Moments]) -> Moments:
    """Add the moments of disjoint sets of rows, such as the files of several weeks.

    Raises
    ------
    DataError
        If the parts hold other columns, pairs, keys or scales.

    Examples
    --------
    >>> week = [moments_of({"won": np.array(values)}, {}) for values in ([0.0, 1.0], [1.0, 1.0])]
    >>> add_moments(week).means(["won"]).tolist()
    [[0.75]]
    """
    if not parts:
        raise DataError("no moments to add", advice="Give at least one part.")
    first = parts[0]
    for part in parts[1:]:
        same = (part.columns, part.pairs, tuple(part.keys)) == (first.columns, first.pairs, tuple(first.keys))
        if not same or not np.array_equal(part.scale, first.scale):
            raise DataError(
                f"moments of {', '.join(part.columns)} by {', '.join(part.keys) or 'nothing'} cannot be added to those "
                f"of {', '.join(first.columns)} by {', '.join(first.keys) or 'nothing'}",
                advice="Gather all parts with the same columns, keys, pairs and scales.",
            )
    parts = [part.based_on(first.origin) for part in parts]
    joined = replace(
        first,
        keys={name: joined_labels([part.keys[name] for part in parts]) for name in first.keys},
        present=np.concatenate([part.present for part in parts]),
        n=np.concatenate([part.n for part in parts]),
        sums=np.concatenate([part.sums for part in parts]),
        products=np.concatenate([part.products for part in parts]),
        whole=np.logical_and.reduce([part.whole for part in parts]),
    )
    return joined.roll_up(list(first.keys)).settled()


def moments_of(
    columns: Mapping[str, Array], keys: Mapping[str, Array], *, pairs: Sequence[tuple[str, str]] | None = None
) -> Moments:
    """Take the moments of arrays in memory.

    Parameters
    ----------
    columns : mapping of column to float array, shape (n,)
        NaN where missing.
    keys : mapping of key to array, shape (n,)
    pairs : sequence of (column, column), optional
        Products to sum; all by default.

    Returns
    -------
    Moments
    """
    names = tuple(columns)
    x = np.column_stack([np.asarray(columns[name], dtype=float) for name in names])
    present = ~np.isnan(x)
    whole = np.array(
        [bool(np.all(column[ok] == np.round(column[ok]))) for column, ok in zip(x.T, present.T, strict=True)]
    )
    origin = np.array([origin_of(column[ok], whole=w) for column, ok, w in zip(x.T, present.T, whole, strict=True)])
    shifted = np.where(present, x - origin, 0.0)
    at = pairs_of(names, pairs)
    cells = Moments(
        columns=names,
        keys=dict(keys),
        present=present,
        n=np.ones(len(x), dtype=np.int64),
        sums=shifted,
        pairs=at,
        products=_products(shifted, at, whole),
        origin=origin,
        scale=np.ones(len(names)),
        whole=whole,
    )
    return cells.roll_up(list(keys)).settled()


def _products(shifted: Array, pairs: Sequence[tuple[int, int]], whole: Array) -> Array:
    if not pairs:
        return np.zeros((len(shifted), 0))
    i, j = [a for a, _ in pairs], [b for _, b in pairs]
    found = shifted[:, i] * shifted[:, j]
    if np.all(np.abs(found[:, whole[i] & whole[j]]) < EXACT):
        return np.asarray(found)
    exact = exact_objects(shifted)
    return np.asarray(exact[:, i] * exact[:, j])


def pairs_of(columns: Sequence[str], pairs: Sequence[tuple[str, str]] | None) -> tuple[tuple[int, int], ...]:
    """Turn pairs of names into ordered pairs of positions; all pairs if None.

    Examples
    --------
    >>> pairs_of(("a", "b"), None), pairs_of(("a", "b"), [("b", "a")])
    (((0, 0), (0, 1), (1, 1)), ((0, 1),))
    """
    if pairs is None:
        return tuple((i, j) for i in range(len(columns)) for j in range(i, len(columns)))
    place = {name: at for at, name in enumerate(columns)}
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2 or any(name not in place for name in pair):
            raise DataError(f"{pair!r} is not a pair of gathered columns", advice=f"Columns: {', '.join(columns)}.")
    ordered = {(min(place[a], place[b]), max(place[a], place[b])) for a, b in pairs}
    return tuple(sorted(ordered))


def origin_of(sample: Array, *, whole: bool) -> float:
    """Choose a number near the mean with few binary digits, so that subtracting it is exact.

    Parameters
    ----------
    sample : float array, shape (n,)
        Without missing values; may be empty.
    whole : bool
        Whether the column holds whole numbers only: its origin is one, too.

    Examples
    --------
    >>> origin_of(np.array([1000.0, 1001.0]), whole=False), origin_of(np.array([0.0, 1.0, 1.0]), whole=True)
    (1000.5, 0.0)
    """
    sample = sample[np.isfinite(sample)]
    if not len(sample):
        return 0.0
    with np.errstate(over="ignore"):
        mean, spread = float(sample.mean()), float(sample.std())
    if abs(mean) <= 2 * spread:
        return 0.0
    if spread <= 1e-14 * abs(mean):
        return float(np.round(mean)) if whole else float(sample[0])
    step = 2.0 ** np.floor(np.log2(spread))
    step = max(step, 1.0) if whole else step
    return float(np.round(mean / step) * step)
