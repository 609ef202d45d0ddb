"""Units, the increment customers value, and which direction is better.

The one convention of the toolkit lives here: a CPI is counted in *increments, signed so that + is better for the
customer*. A KPI keeps its own unit and sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from cpi_experiments.errors import CatalogError, nearest

# unit -> (dimension, size in the dimension's base unit)
_UNITS: dict[str, tuple[str, float]] = {
    "second": ("time", 1.0),
    "minute": ("time", 60.0),
    "hour": ("time", 3600.0),
    "day": ("time", 86400.0),
    "week": ("time", 604800.0),
    "fraction": ("share", 1.0),
    "pp": ("share", 0.01),
    "percent": ("share", 0.01),
    "EUR": ("EUR", 1.0),
    "USD": ("USD", 1.0),
    "GBP": ("GBP", 1.0),
    "CHF": ("CHF", 1.0),
    "BRL": ("BRL", 1.0),
    "km": ("km", 1.0),
    "count": ("count", 1.0),
    "order": ("order", 1.0),
    "point": ("point", 1.0),
    "option": ("option", 1.0),
    "friend": ("friend", 1.0),
    "step": ("step", 1.0),
}
_SHORT = {"second": "s", "minute": "min", "hour": "h", "day": "d", "week": "wk"}
_QUANTITY = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s+([A-Za-z_]+)\s*$")


class Direction(StrEnum):
    """Which way an outcome gets better for whom it belongs to."""

    LOWER = "lower"
    HIGHER = "higher"

    @property
    def sign(self) -> int:
        """+1 if more is better, -1 if less is better."""
        return 1 if self is Direction.HIGHER else -1


def known_units() -> tuple[str, ...]:
    """Return the units that need no declaration.

    Examples
    --------
    >>> "hour" in known_units()
    True
    """
    return tuple(_UNITS)


def _canonical(unit: str) -> str:
    if unit not in _UNITS and unit.endswith("s") and unit[:-1] in _UNITS:
        return unit[:-1]
    return unit


def check_unit(unit: str, declared: tuple[str, ...] = ()) -> str:
    """Return the canonical spelling of a unit, or raise.

    Parameters
    ----------
    unit : str
        A unit, singular or plural.
    declared : tuple of str
        Units of count that the catalog declares itself.

    Raises
    ------
    CatalogError
        If the unit is neither known nor declared.

    Examples
    --------
    >>> check_unit("hours")
    'hour'
    """
    canonical = _canonical(unit)
    if canonical in _UNITS:
        return canonical
    for name in declared:
        if unit in (name, f"{name}s"):
            return name
    known = [*_UNITS, *declared]
    raise CatalogError(
        f"unit {unit!r} is not known",
        advice=f"{nearest(unit, known)} Declare a unit of count under `units:`, for example `units: [{_slug(unit)}]`.",
    )


def _slug(unit: str) -> str:
    return re.sub(r"[^a-z]+", "_", unit.lower()).strip("_") or "thing"


def convert(value: float, unit: str, to: str) -> float:
    """Convert a quantity between units of one dimension.

    Examples
    --------
    >>> convert(2, "hour", "minute")
    120.0
    >>> convert(0.4, "pp", "fraction")
    0.004
    """
    unit, to = _canonical(unit), _canonical(to)
    if unit == to:
        return float(value)
    a, b = _UNITS.get(unit), _UNITS.get(to)
    if a is None or b is None or a[0] != b[0]:
        raise CatalogError(f"{unit!r} cannot be counted in {to!r}", advice="Use a unit of the same kind.")
    return float(value * a[1] / b[1])


def parse_quantity(text: str, declared: tuple[str, ...] = ()) -> tuple[float, str]:
    """Read ``"1 hour"`` or ``"0.4 pp"``.

    Raises
    ------
    CatalogError
        If the text is not a number and a known unit.

    Examples
    --------
    >>> parse_quantity("0.4 pp")
    (0.4, 'pp')
    """
    match = _QUANTITY.match(text)
    if match is None:
        raise CatalogError(f"{text!r} is not a number and a unit", advice='Write it like "1 hour" or "0.4 pp".')
    return float(match.group(1)), check_unit(match.group(2), declared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Increment:
    """The step customers value: ``1 hour``, ``1 pp``, ``10 EUR``.

    Examples
    --------
    >>> step = Increment.parse("1 pp")
    >>> step.divisor("fraction", Direction.HIGHER)
    0.01
    >>> Increment.parse("1 hour").divisor("hour", Direction.LOWER)
    -1.0
    """

    size: float
    unit: str

    def __str__(self) -> str:
        return f"{self.size:g} {self.unit}"

    @classmethod
    def parse(cls, text: str, declared: tuple[str, ...] = ()) -> Increment:
        """Read an increment; its size must be above zero.

        Raises
        ------
        CatalogError
            If the text is not ``NUMBER UNIT`` with a number above zero.
        """
        size, unit = parse_quantity(text, declared)
        if not size > 0:
            raise CatalogError(
                f"increment {text!r} is not above zero",
                advice="An increment is a size; `better: lower` says that fewer is better.",
            )
        return cls(size=size, unit=unit)

    def divisor(self, unit: str, direction: Direction) -> float:
        """Raw units of the CPI per increment, signed so that + is better for the customer.

        Dividing a raw CPI effect by this number gives customer-valued increments.

        Parameters
        ----------
        unit : str
            Unit in which the CPI is measured.
        direction : Direction
            Which way the CPI gets better.
        """
        return direction.sign * convert(self.size, self.unit, unit)

    def in_words(self, direction: Direction) -> str:
        """Name one step toward better for the customer.

        Examples
        --------
        >>> Increment.parse("1 hour").in_words(Direction.LOWER)
        'hour faster'
        >>> Increment.parse("10 EUR").in_words(Direction.HIGHER)
        '10 EUR more'
        >>> Increment.parse("1 pp").in_words(Direction.HIGHER)
        'point more'
        """
        timed = self.unit in _SHORT
        word = {Direction.LOWER: "faster" if timed else "fewer", Direction.HIGHER: "longer" if timed else "more"}[
            direction
        ]
        unit = "point" if self.unit in ("pp", "percent") else self.unit
        return f"{unit} {word}" if self.size == 1 else f"{self.size:g} {unit}{'s' if unit.islower() else ''} {word}"


def short_unit(unit: str) -> str:
    """Shorten a unit for tables.

    Examples
    --------
    >>> short_unit("hour"), short_unit("EUR")
    ('h', 'EUR')
    """
    return _SHORT.get(unit, unit)
