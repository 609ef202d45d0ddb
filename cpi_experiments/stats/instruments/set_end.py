"""Where a confidence set begins or ends, between a point inside and a point outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: After so many a bracket is narrower than doubles can tell.
_HALVINGS = 50


def end_between(inside: Callable[[float], bool], low: float, high: float) -> float:
    """Find by bisection where a set ends (or begins) between two points of which one lies inside.

    Parameters
    ----------
    inside : function of a point
        Whether the set holds it.
    low, high : float

    Examples
    --------
    >>> round(end_between(lambda x: x * x < 2, 0.0, 2.0), 12)
    1.414213562373
    """
    first = inside(low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) == first else (low, middle)
    return (low + high) / 2
