"""What a comparison compares when sums cannot answer: a quantile of a column, or its ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import DesignError


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a column over units (events, with clusters): 0.5 is the median.

    Parameters
    ----------
    column : str
    at : float
        Between 0 and 1.

    Raises
    ------
    DesignError
        If ``at`` is not between 0 and 1.

    Examples
    --------
    >>> Quantile("hours", 0.9).name
    'hours (quantile 0.9)'
    """

    column: str
    at: float = 0.5

    def __post_init__(self) -> None:
        check_column(self.column)
        given: object = self.at
        if isinstance(given, bool) or not isinstance(given, float | int | np.floating) or not 0 < given < 1:
            raise DesignError(
                f"a quantile at {self.at!r} does not exist",
                where=f"Quantile({self.column!r})",
                advice="Give a share between 0 and 1, such as 0.9.",
            )

    @property
    def name(self) -> str:
        """How the outcome is called in results."""
        return f"{self.column} (quantile {self.at:g})"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must not be missing."""
        return (self.column,)


@dataclass(frozen=True, slots=True)
class Rank:
    """The chance that a treated unit has a higher value than a control unit (ties count one half), less one half.

    Examples
    --------
    >>> Rank("hours").name
    'hours (rank)'
    """

    column: str

    def __post_init__(self) -> None:
        check_column(self.column)

    @property
    def name(self) -> str:
        """How the outcome is called in results."""
        return f"{self.column} (rank)"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must not be missing."""
        return (self.column,)


def check_column(column: object) -> None:
    """Refuse what is no name of a column.

    Raises
    ------
    DesignError
        If it is no text.
    """
    if not isinstance(column, str):
        raise DesignError(f"an outcome of column {column!r} does not exist", advice="Name the column as a text.")
