"""Numbers as a plan is given them."""

from __future__ import annotations

from numbers import Real

from cpi_experiments.errors import DesignError


def real(value: object, what: str) -> float:
    """Return a number as a float; text, None and truth values are none.

    Raises
    ------
    DesignError

    Examples
    --------
    >>> real(3, "n")
    3.0
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise DesignError(f"{what} is {value!r}", advice="Give a number.")
    return float(value)


def count(value: object, what: str) -> int:
    """Return a whole number.

    Raises
    ------
    DesignError

    Examples
    --------
    >>> count(3, "looks")
    3
    """
    number = real(value, what)
    if not number.is_integer():
        raise DesignError(f"{what} is {number:g}", advice="Give a whole number.")
    return int(number)
