"""The salted hash that every assignment rests on: stable, stateless, the same in every language.

Algorithm: SHA-256 of the UTF-8 text ``salt + ":" + id``; its first 8 bytes as a big-endian whole number, divided by
2^64, is a number in [0, 1); arms take consecutive slices of it in the order of the experiment's allocation.
`docs/assignment.md` has it step by step, with test vectors.
"""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Array = np.ndarray
#: Texts of what pandas and numpy hold where an id is missing.
_NO_ID = frozenset(("", "nan", "NaN", "NaT", "<NA>"))
_MISSING_KINDS = ("NoneType", "NAType", "NaTType")
#: Above it, whole numbers that are stored as reals may have lost digits.
_LARGEST_EXACT = 2**53


def uniform_hash(unit: str, *, salt: str) -> float:
    """Turn an id into a number in [0, 1) under a salt.

    Examples
    --------
    >>> round(uniform_hash("customer-1", salt="demo"), 8), round(uniform_hash("customer-2", salt="demo"), 8)
    (0.99225827, 0.16832544)
    """
    return float(positions([unit], salt=salt)[0])


def positions(ids: Iterable[str], *, salt: str) -> Array:
    """Turn ids into numbers between 0 and 1 under a salt.

    Parameters
    ----------
    ids : iterable of str
    salt : str

    Returns
    -------
    float array, shape (n,)
        The nearest doubles of hash / 2^64.

    Examples
    --------
    >>> positions(["customer-1", "customer-2"], salt="demo").round(8)
    array([0.99225827, 0.16832544])
    """
    return hashes(ids, salt=salt) / 2.0**64


def hashes(ids: Iterable[str], *, salt: str) -> Array:
    """Return the first 8 bytes of SHA-256 of ``salt:id`` as whole numbers, uint64 array of shape (n,).

    Examples
    --------
    >>> hashes(["customer-1"], salt="demo")
    array([18303934272987063497], dtype=uint64)
    """
    start = hashlib.sha256(salt.encode() + b":")
    found = bytearray()
    for unit in ids:
        digest = start.copy()
        digest.update(unit.encode())
        found += digest.digest()[:8]
    return np.frombuffer(bytes(found), dtype=">u8").astype(np.uint64)


def order_by_hash(ids: Sequence[str], *, salt: str) -> Array:
    """Put ids in a random order that depends on nothing but the ids and the salt.

    Returns
    -------
    int array, shape (n,)
        Places of the ids in `ids`, smallest hash first.

    Examples
    --------
    >>> order_by_hash(["customer-1", "customer-2"], salt="demo")
    array([1, 0])
    """
    return np.argsort(hashes(ids, salt=salt), kind="stable")


def edges_of(allocation: Mapping[str, float]) -> Array:
    """Cumulative shares of the arms; a position below the first edge is the first arm's, and so on.

    Weights are added from left to right in doubles, so that every language finds the same edges; the last is 1.

    Returns
    -------
    float array, shape (arms,)

    Examples
    --------
    >>> edges_of({"manual": 1, "auto": 3})
    array([0.25, 1.  ])
    """
    total = 0.0
    for weight in allocation.values():  # not sum(): its rounding differs between versions of Python
        total += weight
    edges, edge = [], 0.0
    for weight in allocation.values():
        edge += weight / total
        edges.append(edge)
    edges[-1] = 1.0
    return np.array(edges)


def slices(found: Array, allocation: Mapping[str, float]) -> list[str]:
    """Return the arms of positions.

    Examples
    --------
    >>> slices(np.array([0.1, 0.5, 0.9]), {"manual": 1, "auto": 1})
    ['manual', 'auto', 'auto']
    """
    arms = np.array(list(allocation), dtype=object)
    code = np.searchsorted(edges_of(allocation), found, side="right")
    return list(arms[np.minimum(code, len(arms) - 1)])  # a hash within 2^10 of 2^64 is 1 as a double


def ids_of(values: Iterable[object], *, what: str = "unit") -> list[str]:
    """Read ids as the texts that are hashed.

    Texts stay as they are, not stripped, not normalised; whole numbers are written in decimal digits. A whole number
    that is stored as a real (a column with a missing cell) is written without its point.

    Parameters
    ----------
    values : iterable
    what : str
        What they are, in words.

    Raises
    ------
    DataError
        If an id is missing, or neither a text nor a whole number.

    Examples
    --------
    >>> ids_of(["007", 7, 7.0])
    ['007', '7', '7']
    """
    found: list[str] = []
    for value in values:
        text = value if type(value) is str else _text_of(value)
        if text is None or text in _NO_ID:
            raise DataError(
                f"a {what} after {len(found):,} others has no id", advice="Remove rows without an id first."
            )
        found.append(text)
    _check_unicode(found, what)
    return found


def _text_of(value: object) -> str | None:
    """Write an id that is no plain text; None if it is missing."""
    if type(value).__name__ in _MISSING_KINDS or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.datetime64 | np.timedelta64 | bool | np.bool_):
        raise _unusable(value)
    if isinstance(value, str | Integral):
        return str(value) if isinstance(value, str) else str(int(value))
    if isinstance(value, float | np.floating | Decimal):
        exact = isinstance(value, Decimal) or abs(float(value)) <= _LARGEST_EXACT
        if not (exact and value == value // 1):
            raise _unusable(value)
        return str(int(value))
    if type(value).__name__ == "UUID":
        return str(value)
    raise _unusable(value)


def _unusable(value: object) -> DataError:
    return DataError(
        f"{value!r} ({type(value).__name__}) is not an id",
        advice="An id is a text or a whole number: its text must be the same in every system. Whole numbers beyond "
        "2^53 must not be stored as reals.",
    )


def _check_unicode(ids: Sequence[str], what: str) -> None:
    for place, text in enumerate(ids):
        if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
            raise DataError(
                f"the id of the {what} after {place:,} others is not valid Unicode: {text!a}",
                advice="Read the source with its own encoding.",
            )
