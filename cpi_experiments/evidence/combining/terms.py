"""What a caller may ask for: levels, signs, lists of names; and ends of sets, never printed as zero unless they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import TypeGuard

from cpi_experiments.display import interval, number
from cpi_experiments.errors import EstimationError, kind_of


def is_number(value: object) -> TypeGuard[float]:
    """Say whether a value is a real number; a yes or no is none.

    Examples
    --------
    >>> is_number(1), is_number("1"), is_number(None), is_number(True)
    (True, False, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def is_sign(value: object) -> bool:
    """Say whether a value is +1 or -1.

    Examples
    --------
    >>> is_sign(-1), is_sign(0), is_sign(True), is_sign("+")
    (True, False, False, False)
    """
    return is_number(value) and value in (-1, 1)


def check_level(confidence_level: object) -> None:
    """Refuse a confidence level that is no share between 0 and 1.

    Raises
    ------
    EstimationError
    """
    if is_number(confidence_level) and 0 < confidence_level < 1:
        return
    shown = f"{confidence_level:g}" if is_number(confidence_level) else repr(confidence_level)
    raise EstimationError(f"confidence level {shown} is not between 0 and 1", advice="Did you mean 0.95?")


def listed(value: object, what: str) -> list[object]:
    """Return a list of names or signs; a text is not taken apart into its letters.

    Raises
    ------
    EstimationError
        If it is a text, a mapping, or nothing that can be listed.

    Examples
    --------
    >>> listed(("a", "b"), "levers")
    ['a', 'b']
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        shown = f" {value!r}" if isinstance(value, str) else ""
        raise EstimationError(f"{what} is {kind_of(value)}{shown}", advice='Give a list such as ["a", "b"].')
    return list(value)


def ends_text(low: float, high: float, digits: int, *, sign: bool = False) -> str:
    """Write a set; an end that is not zero is never printed as zero.

    Examples
    --------
    >>> ends_text(0.0031, 0.32, 2), ends_text(-0.4, -2e-12, 1), ends_text(0.0, 1.0, 1)
    ('0.003 to 0.32', '-0.4 to -2e-12', '0.0 to 1.0')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return interval(low, high, digits, sign=sign)
    return f"{_end(low, digits, sign=sign)} to {_end(high, digits, sign=sign)}"


def _end(value: float, digits: int, *, sign: bool) -> str:
    if value == 0 or round(value, digits) != 0:
        return number(value, digits, sign=sign)
    needed = -math.floor(math.log10(abs(value)))
    return number(value, needed, sign=sign) if needed <= digits + 1 else f"{value:{'+' if sign else ''}.0e}"
