"""Columns as numpy arrays: what counts as a number, and which rows are complete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = np.ndarray

#: Squares of larger numbers leave the range of doubles, and tests would answer p = 1.
LARGEST = 1e150
#: Squares of smaller numbers lose their digits, and tests would say that nothing varies.
SMALLEST = 1e-150
#: Whole numbers up to here are exact as doubles.
EXACT = 2**53
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(?:\.\d{3})*,\d+")
_SHOWN = 24


def numeric(columns: Mapping[str, Array], name: str, *, where: str = "") -> Array:
    """Return a column as doubles, NaN where missing, or say why it is not a number.

    Parameters
    ----------
    columns : mapping of column to array, shape (n,)
        As `read_columns` returns it.
    name : str
        The column.
    where : str, optional
        File or table, for the message.

    Returns
    -------
    float array, shape (n,)

    Raises
    ------
    DataError
        If the column is missing, text, a time, or holds infinite or absurdly large values, or whole numbers that
        doubles round.

    Examples
    --------
    >>> numeric({"won": np.array([True, False])}, "won")
    array([1., 0.])
    """
    if name not in columns:
        raise DataError(f"column {name!r} is missing", where=where, advice=nearest(name, list(columns)))
    values = columns[name]
    if values.dtype.kind in "Mm":
        raise DataError(
            f"column {name!r} is a time, not a number", where=where, advice="Turn it into a duration such as hours."
        )
    if _too_exact(values):
        raise DataError(
            f"column {name!r} holds whole numbers beyond 2**53, which doubles cannot tell apart",
            where=where,
            advice="Are they ids? Otherwise subtract a common offset, or count in larger units.",
        )
    if values.dtype.kind not in "biuf":
        raise _not_a_number(values, name, where)
    numbers = values.astype(np.float64, copy=False)
    infinite = int(np.isinf(numbers).sum())
    if infinite:
        values_word = "value" if infinite == 1 else "values"
        raise DataError(
            f"column {name!r} holds {infinite:,} infinite {values_word} among {len(numbers):,}",
            where=where,
            advice="Look for divisions by zero; leave the cell empty if the value is unknown.",
        )
    absurd = int((np.abs(numbers) > LARGEST).sum())
    if absurd:
        raise DataError(
            f"column {name!r} holds {absurd:,} {'value' if absurd == 1 else 'values'} beyond {LARGEST:g}",
            where=where,
            advice="No measured outcome is that large: correct the rows or the unit.",
        )
    return numbers


def measured(columns: Mapping[str, Array], name: str) -> Array:
    """Return the doubles of a column whose variance will be taken; as `numeric`, but not numbers too small for squares.

    Raises
    ------
    DataError
        As `numeric`; or if no value is large enough for its square.

    Examples
    --------
    >>> measured({"won": np.array([True, False])}, "won")
    array([1., 0.])
    """
    numbers = numeric(columns, name)
    largest = float(np.nanmax(np.abs(numbers), initial=0.0))
    if 0 < largest < SMALLEST:
        raise DataError(
            f"column {name!r} holds no value above {largest:.3g} in size; squares of such numbers are lost in doubles",
            advice="Give them in a smaller unit, so that they are nearer to one.",
        )
    return numbers


def _too_exact(values: Array) -> bool:
    """Whether whole numbers are too large for doubles; as objects they come where some are missing."""
    if values.dtype.kind in "iu" and values.size:
        return int(values.min()) < -EXACT or int(values.max()) > EXACT
    if values.dtype.kind != "O":
        return False
    whole = [value for value in values.tolist() if value is not None]
    return bool(whole) and all(type(value) is int for value in whole) and max(map(abs, whole)) > EXACT


def complete_cases(columns: Mapping[str, Array]) -> tuple[Array, tuple[tuple[str, int], ...]]:
    """Find the rows in which no column is missing, and count the others under their first missing column.

    Parameters
    ----------
    columns : mapping of column to array, shape (n,)
        In the order in which a row is blamed.

    Returns
    -------
    mask : bool array, shape (n,)
        Rows to keep.
    dropped : tuple of (reason, rows)
        Rows that are not kept, each counted once.

    Examples
    --------
    >>> mask, dropped = complete_cases({"cpi": np.array([1.0, np.nan, np.nan]), "team": np.array(["a", "b", None])})
    >>> mask, dropped
    (array([ True, False, False]), (('without cpi', 2),))
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"columns differ in length: {lengths}", advice="Take all columns from one table.")
    keep = np.ones(next(iter(lengths.values()), 0), dtype=bool)
    dropped = []
    for name, values in columns.items():
        lost = keep & missing(values)
        if lost.any():
            dropped.append((f"without {name}", int(lost.sum())))
            keep &= ~lost
    return keep, tuple(dropped)


def missing(values: Array) -> Array:
    """Mark NaN, NaT and None.

    Examples
    --------
    >>> missing(np.array(["a", None], dtype=object))
    array([False,  True])
    """
    unequal: Array = np.asarray(values != values, dtype=bool)  # noqa: PLR0124 - NaN and NaT differ from themselves
    if values.dtype.kind != "O":
        return unequal
    nothing: Array = np.asarray(values == np.array(None), dtype=bool)
    either: Array = unequal | nothing
    return either


def shown(value: object) -> str:
    """Quote a value in a message, unless it may say who a customer is.

    Examples
    --------
    >>> shown("3,5"), shown("ann@example.org")
    ("'3,5'", 'a text of 15 characters')
    """
    text = str(value)
    if "@" in text or len(text) > _SHOWN:
        return f"a text of {len(text):,} characters"
    return repr(text)


def number_advice(value: object) -> str:
    """Say how to turn a text into a number.

    Examples
    --------
    >>> number_advice("3,5")
    '3,5 looks like a decimal comma: write 3.5.'
    """
    text = str(value).strip()
    if _DECIMAL_COMMA.fullmatch(text):
        return f"{text} looks like a decimal comma: write {text.replace('.', '').replace(',', '.')}."
    return "A number has digits and a decimal point; leave the cell empty if the value is unknown."


def _not_a_number(values: Array, name: str, where: str) -> DataError:
    present = ~missing(values)
    rows = np.flatnonzero(present)
    wrong = [row for row in rows if not _reads_as_number(values[row])]
    if not wrong:
        return DataError(
            f"column {name!r} is text; all {len(rows):,} values would read as numbers",
            where=where,
            advice="Convert the column first, for example with pandas.to_numeric.",
        )
    first = values[wrong[0]]
    return DataError(
        f"column {name!r} is text; {len(wrong):,} of {len(values):,} values are not numbers; "
        f"first such value {shown(first)} (row {wrong[0] + 1:,})",
        where=where,
        advice=number_advice(first),
    )


def _reads_as_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
