"""Arms, clusters and strata as codes: labels of any kind, told apart once."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, DesignError

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray
Label = str | int | float | bool
_SHOWN = 8


def encode(values: Array) -> tuple[Array, list[Any]]:
    """Give distinct values the codes 0, 1, ...; missing is -1.

    Examples
    --------
    >>> encode(np.array(["b", None, "a", "b"], dtype=object))
    (array([ 0, -1,  1,  0]), ['b', 'a'])
    """
    if values.dtype != object:
        missing = values != values  # noqa: PLR0124 - true for NaN and NaT only
        distinct, codes = np.unique(values, return_inverse=True)
        return np.where(missing, -1, codes), distinct[~(distinct != distinct)].tolist()  # noqa: PLR0124
    seen: dict[Any, int] = {}
    try:
        codes = np.fromiter(
            (-1 if value is None or value != value else seen.setdefault(value, len(seen)) for value in values),  # noqa: PLR0124
            dtype=np.intp,
            count=len(values),
        )
    except (TypeError, ValueError) as error:  # a list has no hash, an array no truth
        kind = next(type(value).__name__ for value in values if not isinstance(value, Hashable))
        raise DataError(
            f"a column that groups the rows holds values of type {kind}, not labels",
            advice="An arm, a cluster, a stratum or a segment is a text, a number or a date a row.",
        ) from error
    return codes, list(seen)


def names_of(columns: str | Sequence[str] | None) -> list[str]:
    """Read one name, several or none as a list.

    Raises
    ------
    DataError
        If it is neither.

    Examples
    --------
    >>> names_of("won"), names_of(None)
    (['won'], [])
    """
    if columns is None or isinstance(columns, str):
        return [] if columns is None else [columns]
    if isinstance(columns, Mapping) or not isinstance(columns, Iterable):
        raise DataError(f"{columns!r} is not a column name", advice='Give a text, or a list of them: ["won"].')
    return [column_name(each) for each in columns]


def column_name(column: Any) -> str:  # noqa: ANN401 - whatever was given for a name
    """Return the name of one column.

    Raises
    ------
    DataError
        If it is no text.

    Examples
    --------
    >>> column_name("arm")
    'arm'
    """
    if not isinstance(column, str):
        raise DataError(f"{column!r} is not a column name", advice="Give the name of one column as a text.")
    return column


def arms_of(
    values: Array, *, arm: str, control: Label, allocation: Mapping[Any, float] | None
) -> tuple[Array, tuple[Label, ...]]:
    """Turn the labels of arms into codes: 0 = control, 1.. = treatments, -1 = missing.

    Numbers are ordered as numbers, all else by its text. Engines hand booleans over as 0 and 1: if the control is
    named as ``True`` or ``False`` (or in words, as a command line does) and both are found, the labels are booleans.

    Parameters
    ----------
    values : array, shape (n,)
    arm : str
        Column, for messages.
    control : label
    allocation : mapping of label to weight, optional
        Every label that is found must be in it.

    Returns
    -------
    codes : int array, shape (n,)
    labels : tuple
        Control first.

    Raises
    ------
    DataError
        If the control is not found, there are fewer than two arms or more than 50, or one is not in the allocation.
    DesignError
        If the allocation is no mapping of arms to numbers above zero.

    Examples
    --------
    >>> arms_of(np.array(["b", "a", None], dtype=object), arm="arm", control="a", allocation=None)
    (array([ 1,  0, -1]), ('a', 'b'))
    """
    codes, found = encode(values)
    found = _as_named([read_label(label) for label in found], control)
    at = _place_of(control, found)
    shown = ", ".join(repr(label) for label in found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    if at is None:
        raise DataError(
            f"control {control!r} is not an arm in column {arm!r}", advice=f"Found: {shown or 'no arm at all'}."
        )
    if len(found) < 2:
        raise DataError(
            f"needs at least two arms; found {shown} only", where=f"column {arm!r}", advice="Look at the row filter."
        )
    if allocation is not None:
        _check_allocation(allocation)
        for label in found:
            if label not in allocation:
                raise DataError(
                    f"arm {label!r} is not in the allocation {dict(allocation)}",
                    where=f"column {arm!r}",
                    advice="Every arm in the data must be in the plan: correct the label, or drop these rows.",
                )
    if len(found) > 50:
        raise DataError(f"column {arm!r} has {len(found)} different values", advice="Is it really the arm?")
    order = [at, *sorted((j for j in range(len(found)) if j != at), key=lambda j: _rank_of(found[j]))]
    lookup = np.full(len(found) + 1, -1, dtype=np.intp)
    lookup[order] = np.arange(len(found))
    return lookup[codes], tuple(found[j] for j in order)


def _as_named(found: list[Label], control: Label) -> list[Label]:
    """Read 0 and 1 as booleans where the control is named as one."""
    named = isinstance(control, bool | np.bool_) or str(control).lower() in ("true", "false")
    numbers = not any(isinstance(label, str) for label in found)
    return [bool(label) for label in found] if named and numbers and set(found) == {0, 1} else found


def _place_of(control: Label, found: Sequence[Label]) -> int | None:
    """Find the control among the labels; a command line knows text only, and ``True`` is not 1."""
    truth = isinstance(control, bool | np.bool_)
    for at, label in enumerate(found):
        if isinstance(label, bool) == truth and label == control:
            return at
    texts = [str(label).lower() if isinstance(label, bool) else str(label) for label in found]
    wanted = control if not (isinstance(control, str) and isinstance(found[:1] and found[0], bool)) else control.lower()
    return texts.index(wanted) if isinstance(wanted, str) and wanted in texts else None


def _rank_of(label: Label) -> tuple[bool, float, str]:
    counted = isinstance(label, int | float)
    return not counted, float(label) if counted else 0.0, "" if counted else str(label)


def _check_allocation(allocation: object) -> None:
    if not isinstance(allocation, Mapping):
        raise DesignError(
            f"allocation {allocation!r} names no arms", advice='Give the weight of every arm: {"control": 1, "new": 1}.'
        )
    for label, weight in allocation.items():
        counted = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
        if not (counted and math.isfinite(weight) and weight > 0):
            raise DesignError(
                f"allocation {dict(allocation)} holds a share that is not above zero",
                where=f"arm {label!r}",
                advice='Give numbers, such as {"control": 1, "new": 1}.',
            )


def in_several_arms(unit: Array, arm: Array) -> Array:
    """Mark the rows of units that are seen in more than one arm.

    Parameters
    ----------
    unit, arm : int array, shape (n,)
        Codes; -1 where missing. A row without unit or arm makes no unit one of several arms.

    Examples
    --------
    >>> in_several_arms(np.array([0, 0, 1, -1, 0]), np.array([0, 1, 1, 0, -1]))
    array([ True,  True, False, False,  True])
    """
    known = (unit >= 0) & (arm >= 0)
    width = int(arm.max(initial=0)) + 1
    pairs = np.unique(unit[known].astype(np.int64) * width + arm[known])
    arms = np.append(np.bincount(pairs // width, minlength=int(unit.max(initial=-1)) + 1), 0)
    return np.asarray(arms[unit] > 1)


def joint_codes(codes: Sequence[Array]) -> Array | None:
    """Give every combination of codes a code of its own; -1 where one of them is missing.

    Examples
    --------
    >>> joint_codes([np.array([0, 0, 1]), np.array([0, -1, 1])])
    array([ 1, -1,  2])
    """
    if not codes:
        return None
    joint, missing = np.zeros(len(codes[0]), dtype=np.int64), np.zeros(len(codes[0]), dtype=bool)
    for part in codes:
        joint = joint * (part.max() + 2) + part
        missing |= part < 0
    return np.where(missing, -1, np.unique(joint, return_inverse=True)[1])


def read_label(value: Any) -> Label:  # noqa: ANN401 - whatever the column held
    """Read a whole number that is stored as a real as what it is.

    Examples
    --------
    >>> read_label(1.0), read_label("a")
    (1, 'a')
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value  # type: ignore[no-any-return]
