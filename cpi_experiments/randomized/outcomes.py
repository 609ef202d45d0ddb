"""What a comparison compares: the mean of a column, or a ratio of two means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a column over units.

    Examples
    --------
    >>> Mean("won").name
    'won'
    """

    column: str

    @property
    def name(self) -> str:
        """How the outcome is called in results."""
        return self.column

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must not be missing."""
        return (self.column,)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two means over units, such as orders per visit.

    Examples
    --------
    >>> Ratio("orders", "visits").name
    'orders / visits'
    """

    numerator: str
    denominator: str

    @property
    def name(self) -> str:
        """How the outcome is called in results."""
        return f"{self.numerator} / {self.denominator}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must not be missing."""
        return (self.numerator, self.denominator)


Outcome = Mean | Ratio


def as_outcome(outcome: str | Outcome) -> Outcome:
    """Read a column name as the mean of that column.

    Examples
    --------
    >>> as_outcome("won")
    Mean(column='won')
    """
    return Mean(outcome) if isinstance(outcome, str) else outcome
