"""What a comparison compares: the mean of a column, or a ratio of two means."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Pair = tuple[str, str]


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


def pairs_of_outcome(columns: Sequence[str], covariates: Sequence[str], *, clustered: bool) -> list[Pair]:
    """List the products of columns that one estimate needs.

    Variances of units need every product of the outcome's own columns; clusters need none of them, as their totals
    are enough. Covariates need their products with each other and with the outcome.

    Examples
    --------
    >>> pairs_of_outcome(["won"], ["before"], clustered=False)
    [('won', 'won'), ('won', 'before'), ('before', 'before')]
    >>> pairs_of_outcome(["orders", "visits"], [], clustered=True)
    []
    """
    own = [] if clustered else list(combinations_with_replacement(columns, 2))
    with_covariates = [(name, covariate) for name in columns for covariate in covariates]
    return [*own, *with_covariates, *combinations_with_replacement(covariates, 2)]


def all_pairs(outcomes: Iterable[Sequence[str]], covariates: Sequence[str], *, clustered: bool) -> list[Pair]:
    """List the products that several estimates need together, each once.

    Examples
    --------
    >>> all_pairs([["won"], ["hours", "won"]], [], clustered=False)
    [('won', 'won'), ('hours', 'hours'), ('hours', 'won')]
    """
    found: dict[frozenset[str], Pair] = {}
    for columns in outcomes:
        for pair in pairs_of_outcome(columns, covariates, clustered=clustered):
            found.setdefault(frozenset(pair), pair)
    return list(found.values())
