"""Effects and levels in the units that people speak: points, hours, euros."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import clean_text, decimals, interval, number, percent
from cpi_experiments.units import convert, short_unit

if TYPE_CHECKING:
    from cpi_experiments.catalog.entities import CPI, KPI

_SHARES = ("fraction", "percent", "pp")


def tidy(text: str) -> str:
    r"""Make a name safe and put it on one line.

    Examples
    --------
    >>> tidy("Fast\n  Quote")
    'Fast Quote'
    """
    return " ".join(clean_text(text).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How effects on one KPI are shown: times ``factor``, in ``unit``.

    Examples
    --------
    >>> Scale(factor=100, unit="points").effect(0.0083, 2)
    '+0.83 points'
    """

    factor: float = 1.0
    unit: str = ""

    @classmethod
    def of(cls, kpi: KPI) -> Scale:
        """Shares are shown in points, everything else in its own unit."""
        if kpi.unit in _SHARES:
            return cls(factor=convert(1, kpi.unit, "pp"), unit="points")
        return cls(unit="" if kpi.unit == "count" else short_unit(kpi.unit))

    def digits(self, low: float, high: float, *, size: float = math.nan) -> int:
        """Decimals that an interval earns; those of ``size`` where it has no two ends."""
        if math.isfinite(low) and math.isfinite(high) and high > low:
            return decimals(self.factor * low, self.factor * high, most=4)
        return decimals(-self.factor * size, self.factor * size, most=4)

    def effect(self, value: float, digits: int) -> str:
        """Write an effect with its sign and unit."""
        return self._named(number(self.factor * value, digits, sign=True), value)

    def size(self, value: float, digits: int) -> str:
        """Write a size, without a sign."""
        return self._named(number(self.factor * abs(value), digits), value)

    def limit(self, size: float) -> str:
        """Write a size that was set, not measured, with the digits it was set with.

        Examples
        --------
        >>> Scale(factor=100, unit="points").limit(0.004)
        '0.4 points'
        """
        return self._named(f"{self.factor * abs(size):.4g}", size)

    def span(self, low: float, high: float, digits: int, *, sign: bool = True) -> str:
        """Write an interval in the unit."""
        shown = interval(self.factor * low, self.factor * high, digits, sign=sign)
        return self._named(shown, 0.0 if math.isfinite(low) or math.isfinite(high) else math.nan)

    def _named(self, shown: str, value: float) -> str:
        return f"{shown} {self.unit}" if self.unit and math.isfinite(value) else shown


def step_words(cpi: CPI) -> str:
    """Name one customer step with its number, for tables.

    Examples
    --------
    >>> from cpi_experiments.units import Direction, Increment
    >>> from types import SimpleNamespace
    >>> step_words(SimpleNamespace(increment=Increment.parse("1 hour"), better=Direction.LOWER, step="hour faster"))
    '1 h faster'
    """
    size, unit = cpi.increment.size, cpi.increment.unit
    if unit in _SHARES:
        size, unit = convert(size, unit, "pp"), "point"
    short = short_unit(unit)
    many = "s" if size != 1 and short == unit and unit.islower() else ""
    return f"{size:g} {tidy(short)}{many} {cpi.step.rsplit(' ', 1)[-1]}"


def level(value: float, unit: str) -> str:
    """Write where an outcome stands.

    Examples
    --------
    >>> level(0.7123, "fraction"), level(26, "hour"), level(float("nan"), "hour")
    ('71.2%', '26 h', '')
    """
    if math.isnan(value):
        return ""
    if unit in _SHARES:
        return percent(convert(value, unit, "fraction"), 1)
    digits = 0 if float(value).is_integer() else decimals(0, abs(value) / 5, most=2)
    shown = number(value, digits)
    return shown if unit == "count" else f"{shown} {tidy(short_unit(unit))}"
