"""Arms, clusters and strata as codes: labels of any kind, told apart once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    codes = np.fromiter(
        (-1 if value is None or value != value else seen.setdefault(value, len(seen)) for value in values),  # noqa: PLR0124
        dtype=np.intp,
        count=len(values),
    )
    return codes, list(seen)


def names_of(columns: str | Sequence[str] | None) -> list[str]:
    """Read one name, several or none as a list.

    Examples
    --------
    >>> names_of("won"), names_of(None)
    (['won'], [])
    """
    return [columns] if isinstance(columns, str) else list(columns or ())


def arms_of(
    values: Array, *, arm: str, control: Label, allocation: Mapping[Any, float] | None
) -> tuple[Array, tuple[Label, ...]]:
    """Turn the labels of arms into codes: 0 = control, 1.. = treatments in order of their text, -1 = missing.

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

    Examples
    --------
    >>> arms_of(np.array(["b", "a", None], dtype=object), arm="arm", control="a", allocation=None)
    (array([ 1,  0, -1]), ('a', 'b'))
    """
    codes, found = encode(values)
    found = [read_label(label) for label in found]
    if control not in found:  # a command line knows text only
        control = next((label for label in found if str(label) == control), control)
    shown = ", ".join(repr(label) for label in found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    if control not in found:
        raise DataError(
            f"control {control!r} is not an arm in column {arm!r}", advice=f"Found: {shown or 'no arm at all'}."
        )
    if len(found) < 2:
        raise DataError(
            f"needs at least two arms; found {shown} only", where=f"column {arm!r}", advice="Look at the row filter."
        )
    if allocation is not None:
        for label in found:
            if label not in allocation:
                raise DataError(
                    f"arm {label!r} is not in the allocation {dict(allocation)}",
                    where=f"column {arm!r}",
                    advice="Every arm in the data must be in the plan: correct the label, or drop these rows.",
                )
    if len(found) > 50:
        raise DataError(f"column {arm!r} has {len(found)} different values", advice="Is it really the arm?")
    first = found.index(control)
    others = sorted((label for j, label in enumerate(found) if j != first), key=str)
    order = {first: 0} | {found.index(label): j + 1 for j, label in enumerate(others)}
    lookup = np.array([order[j] for j in range(len(found))] + [-1], dtype=np.intp)
    return lookup[codes], (control, *others)


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
