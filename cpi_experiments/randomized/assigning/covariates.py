"""Covariates as numbers: a column for a number, a column for every level of a text, one for what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.columns import missing, numeric
from cpi_experiments.randomized.arms import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray
MOST_LEVELS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Covariates as k columns of numbers.

    Parameters
    ----------
    names : tuple of str, shape (k,)
        ``age``, ``plan = gold``, ``age missing``.
    values : array, shape (n, k)
        NaN where a number is missing; levels and marks of missing values are 0 or 1.
    missing : mapping of covariate to count
        Only covariates with missing values.
    """

    names: tuple[str, ...]
    values: Array
    missing: Mapping[str, int]

    def filled(self) -> Array:
        """Values with the column's mean where a number is missing; the mark of missing values stands beside it."""
        lost = np.isnan(self.values)
        known = np.maximum((~lost).sum(axis=0), 1)
        means = np.where(lost, 0.0, self.values).sum(axis=0) / known
        return np.where(lost, means, self.values)


def as_columns(table: Mapping[str, Array], covariates: Sequence[str]) -> Columns:
    """Turn covariates into columns of numbers.

    Parameters
    ----------
    table : mapping of column to array, shape (n,)
    covariates : sequence of str

    Raises
    ------
    DataError
        If none is named, one is a time or has more than 50 levels, or holds infinite values.

    Examples
    --------
    >>> found = as_columns({"age": np.array([30.0, np.nan]), "plan": np.array(["gold", "free"], dtype=object)},
    ...                    ["age", "plan"])
    >>> found.names, found.values.tolist()
    (('age', 'age missing', 'plan = free', 'plan = gold'), [[30.0, 0.0, 0.0, 1.0], [nan, 1.0, 1.0, 0.0]])
    """
    if not covariates:
        raise DataError("no covariate is named", advice="Name columns that were measured before the assignment.")
    names: list[str] = []
    columns: list[Array] = []
    lost: dict[str, int] = {}
    for name in dict.fromkeys(covariates):
        added = _levels(table, name) if table[name].dtype == object else {name: numeric(table, name)}
        absent = missing(table[name])
        if absent.any():
            lost[name] = int(absent.sum())
            added[f"{name} missing"] = absent.astype(float)
        names += added
        columns += added.values()
    return Columns(names=tuple(names), values=np.column_stack(columns), missing=lost)


def _levels(table: Mapping[str, Array], name: str) -> dict[str, Array]:
    codes, levels = encode(table[name])
    if len(levels) > MOST_LEVELS:
        raise DataError(
            f"covariate {name!r} has {len(levels):,} levels",
            advice=f"At most {MOST_LEVELS}: group them, or leave it out.",
        )
    order = sorted(range(len(levels)), key=lambda j: str(levels[j]))
    return {f"{name} = {levels[j]}": (codes == j).astype(float) for j in order}
