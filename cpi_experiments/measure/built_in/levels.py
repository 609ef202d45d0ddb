"""Levels of one indicator, a row a group: what the door `indicator` hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, Row, decimals, interval, number, percent
from cpi_experiments.errors import DataError
from cpi_experiments.measure.built_in.rows import Dropped, Label
from cpi_experiments.units import Direction

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Level of an indicator in one group.

    Parameters
    ----------
    group : mapping of column to label
        Empty for all rows together; ``period`` holds the first day of the period.
    value, ci_low, ci_high : float
        In the unit of the indicator; NaN where it does not exist.
    n : int
        Rows (customers, for what is one number a customer) that the value is made of.
    n_entities : int
        Independent customers among them.
    dropped : tuple of (reason, rows)
        Rows set aside or changed, and customers whose time is not over.
    method : str
        Estimator and interval.
    """

    group: Mapping[str, Label]
    value: float
    ci_low: float
    ci_high: float
    n: int
    n_entities: int
    dropped: Dropped
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels(Displayed):
    """Levels of one indicator by group.

    Parameters
    ----------
    kind, label : str
        Id and name of the indicator.
    unit : str
    better : Direction
        Which way is better.
    confidence_level : float
    levels : tuple of Level
        In order of the labels.
    dropped : tuple of (reason, rows)
        Rows that belong to no group.
    """

    kind: str
    label: str
    unit: str
    better: Direction
    confidence_level: float
    levels: tuple[Level, ...]
    dropped: Dropped = ()

    def __len__(self) -> int:
        """Count the groups."""
        return len(self.levels)

    def __iter__(self) -> Iterator[Level]:
        return iter(self.levels)

    def __getitem__(self, label: Label | tuple[Label, ...]) -> Level:
        """Return the level of a group by its label (or labels).

        Raises
        ------
        DataError
            If there is no such group; lists some.
        """
        key = label if isinstance(label, tuple) else (label,)
        for level in self.levels:
            if tuple(level.group.values()) == key:
                return level
        known = "; ".join(", ".join(map(str, level.group.values())) for level in self.levels[:10])
        raise DataError(f"no group is {', '.join(map(str, key))}", advice=f"Groups: {known or 'none'}.")

    @property
    def only(self) -> Level:
        """The level where there is one group.

        Raises
        ------
        DataError
            If there are several.
        """
        if len(self.levels) != 1:
            raise DataError(f"there are {len(self.levels)} groups", advice="Choose one by its label.")
        return self.levels[0]

    def _title(self) -> str:
        counted = f"{self.label} in {self.unit}" if self.unit else self.label
        lost = "; ".join(f"{n:,} rows {reason}" for reason, n in self.dropped)
        return f"{counted} ({self.better.value} is better){': ' + lost if lost else ''}"

    def _rows(self) -> list[Row]:
        return [
            {
                "kind": self.kind,
                **level.group,
                "value": level.value,
                "ci_low": level.ci_low,
                "ci_high": level.ci_high,
                "n": level.n,
                "n_entities": level.n_entities,
                "dropped": "; ".join(f"{n:,} {reason}" for reason, n in level.dropped),
                "better": self.better.value,
                "unit": self.unit,
                "method": level.method,
            }
            for level in self.levels
        ]

    def _shown(self) -> list[Row]:
        return [self._shown_level(level) for level in self.levels]

    def _shown_level(self, level: Level) -> Row:
        share = self.unit == "fraction"
        times = 100 if share else 1
        low, high = times * level.ci_low, times * level.ci_high
        digits = decimals(low, high, most=4)
        return {
            **{name: str(label) for name, label in level.group.items()},
            "level": number(times * level.value, digits) + ("%" if share else ""),
            f"{percent(self.confidence_level)} CI": interval(low, high, digits),
            "n": f"{level.n:,}",
            "set aside": "; ".join(f"{n:,} {reason}" for reason, n in level.dropped),
        }

    def __str__(self) -> str:
        from cpi_experiments.display import text_table  # noqa: PLC0415 - only for printing

        return f"{self._title()}\n\n{text_table(self._shown(), right=('level', 'n'))}"
