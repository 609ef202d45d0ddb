"""Every combination of values of discrete columns with how often it occurs: distributions, quantiles, resampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.engines.opening import open_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.measure.engines.source import Engine

Array = np.ndarray

#: Combinations above which a column is not discrete.
MAX_TUPLES: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tuples:
    """How often each combination of values occurs.

    Parameters
    ----------
    columns : mapping of column to array, shape (T,)
        Values; NaN or None where missing: what is missing is a value of its own.
    keys : mapping of key to array, shape (T,)
        Labels of the groups.
    n : int array, shape (T,)
        Rows.

    Examples
    --------
    >>> import pandas as pd
    >>> answers = pd.DataFrame({"team": ["a", "a", "b", "a"], "score": [9, 9, 3, 10]})
    >>> found = gather_tuples(answers, ["score"], by=["team"])
    >>> found.keys["team"].tolist(), found.columns["score"].tolist(), found.n.tolist()
    (['a', 'a', 'b'], [9.0, 10.0, 3.0], [2, 1, 1])
    """

    columns: Mapping[str, Array]
    keys: Mapping[str, Array]
    n: Array

    def __len__(self) -> int:
        """Count the combinations."""
        return len(self.n)

    def where(self, labels: Mapping[str, object]) -> Tuples:
        """Keep the combinations of some groups.

        Raises
        ------
        DataError
            If there is no such key or label.
        """
        chosen = np.ones(len(self), dtype=bool)
        for name, label in labels.items():
            if name not in self.keys or not np.any(self.keys[name] == label):
                raise DataError(f"no combination has {name} = {label!r}", advice=f"Keys: {', '.join(self.keys)}.")
            chosen &= self.keys[name] == label
        return Tuples(
            columns={name: values[chosen] for name, values in self.columns.items()},
            keys={name: values[chosen] for name, values in self.keys.items()},
            n=self.n[chosen],
        )

    def distribution(self, column: str) -> tuple[Array, Array]:
        """Return the distinct values of a column, ascending, and how many rows have each; missing ones left out.

        Raises
        ------
        DataError
            If the column was not gathered.
        """
        if column not in self.columns:
            raise DataError(f"column {column!r} is not among the tuples", advice=f"Columns: {', '.join(self.columns)}.")
        values = self.columns[column]
        known = ~np.asarray(values != values) & ~np.asarray(values == np.array(None))  # noqa: PLR0124 - NaN
        distinct, place = np.unique(values[known], return_inverse=True)
        return distinct, np.bincount(place, weights=self.n[known], minlength=len(distinct)).astype(np.int64)


def gather_tuples(
    data: Data, columns: Sequence[str], *, by: Sequence[str] = (), max_tuples: int = MAX_TUPLES
) -> Tuples:
    """Count every combination of values of discrete columns, in one scan.

    Parameters
    ----------
    data : DataFrame, path of CSV or Parquet files, DuckDB relation, Spark DataFrame or warehouse table
    columns : sequence of str
        Columns with few distinct values: answers, flags, counts, categories.
    by : sequence of str
        Groups.
    max_tuples : int
        Combinations above which the columns are refused.

    Returns
    -------
    Tuples
        In order of the keys, then of the columns.

    Raises
    ------
    DataError
        If a column is missing, or there are more combinations than ``max_tuples``.

    Examples
    --------
    >>> import pandas as pd
    >>> values, n = gather_tuples(pd.DataFrame({"score": [9, 10, 9]}), ["score"]).distribution("score")
    >>> values.tolist(), n.tolist()
    ([9.0, 10.0], [2, 1])
    """
    names = list(dict.fromkeys(columns))
    with open_data(data, [*names, *by]) as (engine, table):
        return gather_table_tuples(engine, table, names, by=by, max_tuples=max_tuples)


def gather_table_tuples(
    engine: Engine, table: str, columns: Sequence[str], *, by: Sequence[str], max_tuples: int = MAX_TUPLES
) -> Tuples:
    """Count combinations in a table of an engine; see `gather_tuples`."""
    both = sorted(set(columns) & set(by))
    if both:
        raise DataError(f"{both[0]!r} is a column and a key", advice="Name every column once.")
    aliases = [*(f"k{i}" for i in range(len(by))), *(f"c{i}" for i in range(len(columns)))]
    listed = ", ".join(f"{quote(name)} AS {alias}" for name, alias in zip([*by, *columns], aliases, strict=True))
    grouped = ", ".join(aliases)
    counted = f"SELECT {grouped}, count(*) AS n FROM (SELECT {listed} FROM {quote(table)}) AS seen GROUP BY {grouped}"  # noqa: S608 - quoted
    found = engine.query(f"SELECT * FROM ({counted}) AS counted ORDER BY {grouped} LIMIT {max_tuples + 1}")  # noqa: S608 - quoted
    if len(found["n"]) > max_tuples:
        raise DataError(
            f"{', '.join([*by, *columns])} have more than {max_tuples:,} combinations of values",
            where=table,
            advice="These columns are not discrete: round them, or gather their moments.",
        )
    return Tuples(
        columns={name: _plain(found[f"c{i}"]) for i, name in enumerate(columns)},
        keys={name: _plain(found[f"k{i}"]) for i, name in enumerate(by)},
        n=found["n"].astype(np.int64),
    )


def _plain(values: Array) -> Array:
    return values.astype(np.float64) if values.dtype.kind in "biuf" else values
