"""Sums by group that do not round whole numbers, and the codes of groups."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray
#: Doubles hold every whole number up to here.
EXACT = 2.0**53


def codes_of(labels: Array) -> tuple[Array, list[object]]:
    """Give distinct labels the codes 0, 1, ... in order; missing ones (None, NaN) share the last.

    Examples
    --------
    >>> codes_of(np.array(["b", None, "a"], dtype=object))
    (array([1, 2, 0]), ['a', 'b', None])
    """
    if labels.dtype == object:
        listed = labels.tolist()
        known = {each for each in listed if each is not None and each == each}  # noqa: PLR0124 - false for NaN
        ordered: list[object] = sorted(known, key=_sort_key)
        place = {label: at for at, label in enumerate(ordered)}
        codes = np.fromiter((place.get(each, len(ordered)) for each in listed), dtype=np.int64, count=len(listed))
        return codes, [*ordered, None] if np.any(codes == len(ordered)) else ordered
    missing = labels != labels  # noqa: PLR0124 - true for NaN and NaT only
    distinct, found = np.unique(labels, return_inverse=True)
    good = distinct[distinct == distinct]  # noqa: PLR0124 - false for NaN and NaT only
    codes = np.where(missing, len(good), found)
    return codes, [*good.tolist(), None] if missing.any() else good.tolist()


def _sort_key(label: object) -> tuple[str, object]:
    return ("number", label) if isinstance(label, int | float) else (type(label).__name__, label)


def row_codes(marks: Array) -> Array:
    """Give equal rows of a bool array the same code, shape (G,).

    Examples
    --------
    >>> row_codes(np.array([[True, True], [False, True], [True, True]])).tolist()
    [1, 0, 1]
    """
    if marks.all():
        return np.zeros(len(marks), dtype=np.int64)
    return np.unique(np.packbits(marks, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def joined_labels(parts: Sequence[Array]) -> Array:
    """Put labels behind each other; labels of different kinds stay what they are.

    Examples
    --------
    >>> joined_labels([np.array([1]), np.array(["a"])]).tolist()
    [1, 'a']
    """
    alike = len({part.dtype.kind for part in parts}) == 1
    return np.concatenate(list(parts) if alike else [np.array(part.tolist(), dtype=object) for part in parts])


def exact_total(values: Array) -> int:
    """Add whole numbers of any size, shape (n,)."""
    if values.dtype == np.float64 and np.abs(values).sum() < EXACT:
        return int(values.sum())
    return int(sum(exact_objects(values).tolist()))


def whole_origin(n: int, total: int, square: int | None, shift: int) -> int:
    """Choose a whole number near the mean, from totals alone: 0 where the mean is within two standard deviations.

    Parameters
    ----------
    n : int
        Values.
    total, square : int
        Sum and sum of squares of the values less ``shift``; without the squares the mean itself is rounded.
    shift : int

    Examples
    --------
    >>> whole_origin(4, 4003, 4006011, 0), whole_origin(4, 2, 2, 0), whole_origin(4, 4003, None, 0)
    (1001, 0, 1001)
    """
    mean = shift + Fraction(total, n)
    if square is None:
        return round(mean)
    spread = math.sqrt((n * square - total * total) / (n * n))
    if abs(mean) <= 2 * spread:
        return 0
    step = 2 ** max(math.floor(math.log2(spread)), 0) if spread else 1
    return round(mean / step) * step


def add_by_group(n: Array, sums: Array, products: Array, group: Array, size: int) -> tuple[Array, Array, Array]:
    """Add counts, sums and products of cells by the group that each belongs to.

    Parameters
    ----------
    n : int array, shape (G,)
    sums, products : array, shape (G, p) and (G, m)
    group : int array, shape (G,)
        0 to ``size - 1``.
    size : int

    Returns
    -------
    tuple of arrays, shapes (size,), (size, p), (size, m)
    """
    count = np.zeros(size, dtype=np.int64)
    np.add.at(count, group, n)
    return count, _add_columns(sums, group, size), _add_columns(products, group, size)


def _add_columns(values: Array, group: Array, size: int) -> Array:
    added = [_add_column(column, group, size) for column in values.T]
    if not added:
        return np.zeros((size, 0))
    if all(column.dtype == np.float64 for column in added):
        return np.column_stack(added)
    return np.stack([column.astype(object) for column in added], axis=1)


def _add_column(values: Array, group: Array, size: int) -> Array:
    if values.dtype == np.float64:
        total = np.bincount(group, weights=values, minlength=size)
        # whole numbers add up without rounding below 2**53; above it they are added again as Python integers
        most = np.bincount(group, weights=np.abs(values), minlength=size)
        if not np.nanmax(most, initial=0) >= EXACT or not np.all(values == np.round(values)):
            return total
    exact = np.zeros(size, dtype=object)
    np.add.at(exact, group, exact_objects(values))
    return compact(exact)


def exact_objects(values: Array) -> Array:
    """Turn floats that are whole into Python integers, so that sums of them do not round."""
    listed = [int(each) if isinstance(each, float) and each.is_integer() else each for each in values.ravel().tolist()]
    return np.array(listed, dtype=object).reshape(values.shape)


def compact(values: Array) -> Array:
    """Turn Python numbers into doubles where that loses nothing; otherwise leave them."""
    floats = values.astype(float)
    small = not floats.size or np.nanmax(np.abs(floats), initial=0) < EXACT
    return floats if small or not any(isinstance(each, int) for each in values.ravel().tolist()) else values


def as_floats(values: Array) -> Array:
    """Round to doubles, once."""
    return values if values.dtype == np.float64 else values.astype(float)
