"""Rows of a database driver as plain numpy arrays, in the form in which DuckDB's come."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray

_EXACT = 2**53  # whole numbers beyond it are not exact as doubles


def column_array(values: Sequence[object]) -> Array:
    """Turn the values of a column into an array.

    Whole numbers are ``int64``, or Python's if they are too large; with missing ones doubles, unless those could not
    hold them. Missing numbers are NaN, missing texts None, missing times NaT; times with a zone come out in UTC.

    Parameters
    ----------
    values : sequence
        As a DB-API driver returns them: None where missing.

    Examples
    --------
    >>> from decimal import Decimal
    >>> column_array([Decimal(2), Decimal(3)]), column_array([1, None]), column_array(["a", None])
    (array([2, 3]), array([ 1., nan]), array(['a', None], dtype=object))
    """
    present = [value for value in values if value is not None]
    if all(isinstance(value, bool | np.bool_) for value in present) and len(present) == len(values) > 0:
        return np.array(values, dtype=bool)
    if all(isinstance(value, int | float | Decimal | np.number) for value in present):
        return _numbers(values, whole=bool(present) and all(_is_whole(value) for value in present))
    if all(isinstance(value, date | np.datetime64) for value in present):
        return np.array([_time(value) for value in values], dtype="datetime64[us]")
    if all(isinstance(value, timedelta) for value in present):
        return np.array(["NaT" if value is None else value for value in values], dtype="timedelta64[us]")
    return np.array(
        [value if value is None or isinstance(value, str) else str(value) for value in values], dtype=object
    )


def _is_whole(value: object) -> bool:
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return isinstance(exponent, int) and exponent >= 0
    return isinstance(value, int | np.integer)


def _numbers(values: Sequence[object], *, whole: bool) -> Array:
    as_number: Any = int if whole else float
    numbers = [None if value is None else as_number(value) for value in values]
    if not whole:
        return np.array([np.nan if each is None else each for each in numbers], dtype=np.float64)
    largest = max(abs(each) for each in numbers if each is not None)
    if None in numbers:
        doubles = np.array([np.nan if each is None else each for each in numbers], dtype=np.float64)
        return doubles if largest <= _EXACT else np.array(numbers, dtype=object)
    return np.array(numbers, dtype=np.int64 if largest < 2**63 else object)


def _time(value: object) -> np.datetime64:
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64("NaT", "us") if value is None else np.datetime64(value, "us")  # type: ignore[call-overload] # a date
