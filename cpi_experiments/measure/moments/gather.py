"""One scan of a table for the moments of its columns: every estimate of a run derives from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.columns import numeric
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.engines.opening import open_data
from cpi_experiments.measure.engines.source import Engine
from cpi_experiments.measure.moments.columns import Column, cut_point, describe_columns
from cpi_experiments.measure.moments.wide import WIDE, gather_wide
from cpi_experiments.stats.exact_sums import EXACT, compact
from cpi_experiments.stats.moments import Moments, pairs_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.measure.engine import Data

Array = np.ndarray
Pair = tuple[str, str]

#: Columns whose presence is marked in one whole number; engines hold those below 2**53 whatever their types.
_BITS = 30
#: What 12.34 * 100 lacks to 1234 is less than this.
MOST_REST = 1e-9
_INTEGER = "DECIMAL(19, 0)"


def gather(
    data: Data,
    columns: Sequence[str],
    *,
    by: Sequence[str] = (),
    pairs: Sequence[Pair] | None = None,
    caps: Mapping[str, float | str] | None = None,
    scales: Mapping[str, int] | None = None,
    origins: Mapping[str, float] | None = None,
) -> Moments:
    """Sum columns and their products by cell, in one scan.

    Parameters
    ----------
    data : DataFrame, path of CSV or Parquet files, DuckDB relation, Spark DataFrame or warehouse table
    columns : sequence of str
        Columns of numbers or flags.
    by : sequence of str
        Keys of the cells: arm, segment, week, cluster. Rows without a label form cells of their own.
    pairs : sequence of (column, column), optional
        Products to sum, squares included; all by default.
    caps : mapping of column to float or text, optional
        Larger values are set to it; ``"p99"`` is the 99th percentile of all rows together, found by a scan of its own.
    scales : mapping of column to int, optional
        ``{"revenue": 100}`` says that revenue times 100 is a whole number: its sums are then exact. Columns of whole
        numbers, flags and decimals are exact anyway.
    origins : mapping of column to float, optional
        Numbers that are subtracted before squaring; chosen near the mean by default.

    Returns
    -------
    Moments
        Additive over disjoint rows; see `cpi_experiments.stats.moments.add_moments`.

    Raises
    ------
    DataError
        If a column is missing, is not a number, holds infinite values, or is not whole at its scale.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"arm": ["a", "a", "b"], "won": [0, 1, 1], "hours": [3.0, None, 1.0]})
    >>> m = gather(rows, ["won", "hours"], by=["arm"])
    >>> m.keys["arm"].tolist(), m.n.tolist(), m.present.tolist()
    (['a', 'a', 'b'], [1, 1, 1], [[True, True], [True, False], [True, True]])
    """
    if isinstance(columns, str) or isinstance(by, str):
        raise DataError("columns and by are lists", advice='Write gather(data, ["won"], by=["arm"]).')
    columns = list(dict.fromkeys(columns))
    for name in (set(caps or {}) | set(scales or {}) | set(origins or {})) - set(columns):
        raise DataError(f"column {name!r} has a cap, scale or origin but is not gathered", advice="Name it in columns.")
    with open_data(data, list(dict.fromkeys([*columns, *by]))) as (engine, table):
        cuts = {name: cut_point(engine, table, name, cap) for name, cap in (caps or {}).items()}
        return gather_table(
            engine, table, columns, by=by, pairs=pairs, caps=cuts, scales=scales or {}, origins=origins or {}
        )


def gather_table(  # noqa: PLR0913 - the roles of columns, each named
    engine: Engine,
    table: str,
    columns: Sequence[str],
    *,
    by: Sequence[str],
    pairs: Sequence[Pair] | None,
    caps: Mapping[str, float],
    scales: Mapping[str, int],
    origins: Mapping[str, float],
) -> Moments:
    """Gather moments from a table of an engine; see `gather`."""
    chosen = describe_columns(engine, table, columns, caps=caps, scales=scales, origins=origins)
    plan = _Plan(engine=engine, table=table, columns=chosen, by=tuple(by), pairs=pairs_of(list(columns), pairs))
    wide = gather_wide(engine, table, chosen, by=by) if pairs is None and len(columns) > WIDE and not caps else None
    if wide is not None and np.abs(wide.products[:, plan.whole_pairs]).max(initial=0) < EXACT / 4:
        _check_finite(plan, wide)
        return wide.ordered().settled()
    found = plan.run()
    if found is None:  # some value is missing: the cells are split by what is
        plan = replace(plan, masked=True)
        found = plan.run()
    if found is None or not found.n.sum():
        raise DataError("no rows", where=table, advice="Look at the filter or the export that made these data.")
    _check_finite(plan, found)
    return found.ordered().settled()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """One scan: what is summed, by which keys."""

    engine: Engine
    table: str
    columns: tuple[Column, ...]
    by: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    masked: bool = False
    exact: bool = False

    @property
    def whole_pairs(self) -> list[int]:
        """Products of two columns of whole numbers."""
        return [k for k, (i, j) in enumerate(self.pairs) if self.columns[i].whole and self.columns[j].whole]

    def run(self) -> Moments | None:
        """Run the scan; None if it was written for complete columns and some value is missing."""
        p, m = len(self.columns), len(self.pairs)
        found = self.engine.query(self._sql())
        n = found["n"].astype(np.int64)
        sums, products = (
            _stacked([found[f"{kind}{k}"] for k in range(size)], len(n)) for kind, size in (("s", p), ("q", m))
        )
        if not self.masked and (not np.array_equal(found["present"].astype(np.int64), n) or _has_nan(sums)):
            return None
        self._check_scales(found)
        moments = Moments(
            columns=tuple(each.name for each in self.columns),
            keys={name: found[f"k{g}"] for g, name in enumerate(self.by)},
            present=self._present(found, len(n)),
            n=n,
            sums=sums,
            pairs=self.pairs,
            products=products,
            origin=np.array([each.origin for each in self.columns]),
            scale=np.array([each.scale for each in self.columns]),
            whole=np.array([each.whole for each in self.columns], dtype=bool),
        )
        return replace(self, exact=True).run() if not self.exact and self._rounded(moments, found) else moments

    @property
    def _unsquared(self) -> tuple[int, ...]:
        """Whole columns whose squares are not summed."""
        return tuple(i for i, each in enumerate(self.columns) if each.whole and (i, i) not in self.pairs)

    def _rounded(self, moments: Moments, found: Mapping[str, Array]) -> bool:
        """Whether sums of whole numbers grew so large that doubles may have rounded them on the way.

        Sums of squares only grow, and no other sum ever exceeds them; where they are missing the largest value says.
        """
        squares = [k for k, (i, j) in enumerate(self.pairs) if i == j and moments.whole[i]]
        largest = float(np.abs(moments.products[:, squares].astype(float)).max(initial=0))
        for i in self._unsquared:
            most = float(np.nanmax(found[f"m{i}"].astype(float), initial=0))
            largest = max(largest, float(moments.n.max(initial=0)) * most * max(most, 1.0))
        return math.isfinite(largest) and largest >= EXACT / 4

    def _present(self, found: Mapping[str, Array], cells: int) -> Array:
        p = len(self.columns)
        if not self.masked:
            return np.ones((cells, p), dtype=bool)
        marks = [found[f"present{i - i % _BITS}"].astype(np.int64) >> (i % _BITS) & 1 for i in range(p)]
        return np.stack(marks, axis=1).astype(bool)

    def _sql(self) -> str:
        keys = [f"k{g}" for g in range(len(self.by))]
        named = [f"{quote(name)} AS {key}" for name, key in zip(self.by, keys, strict=True)]
        values = [f"{each.shifted} AS v{i}" for i, each in enumerate(self.columns)]
        rests = [f"{each.rest} AS r{i}" for i, each in enumerate(self.columns) if each.rest]
        rows = f"SELECT {', '.join([*named, *values, *rests]) or '1 AS one'} FROM {quote(self.table)}"  # noqa: S608 - quoted
        if self.masked:
            rows = self._split_by_missing(rows, [*keys, *(f"r{i}" for i, each in enumerate(self.columns) if each.rest)])
            keys += [f"present{at}" for at in range(0, len(self.columns), _BITS)]
            counted = ["count(*) AS n"]
        else:
            together = " + ".join(f"v{i}" for i in range(len(self.columns)))
            counted = ["count(*) AS n", f"count({together or '*'}) AS present"]
        sums = [f"{self._sum(f'v{i}', each.whole)} AS s{i}" for i, each in enumerate(self.columns)]
        products = [f"{self._product(i, j)} AS q{k}" for k, (i, j) in enumerate(self.pairs)]
        worst = [f"max(r{i}) AS r{i}" for i, each in enumerate(self.columns) if each.rest]
        worst += [f"max(abs(v{i})) AS m{i}" for i in self._unsquared if not self.exact]
        end = f" GROUP BY {', '.join(keys)}" if keys else ""
        return f"SELECT {', '.join([*keys, *counted, *sums, *products, *worst])} FROM ({rows}) AS cells{end}"  # noqa: S608 - quoted

    def _split_by_missing(self, rows: str, others: Sequence[str]) -> str:
        known = [f"(v{i} IS NOT NULL AND NOT isnan(v{i}))" for i in range(len(self.columns))]
        marks = [
            " + ".join(f"CASE WHEN {test} THEN {1 << i} ELSE 0 END" for i, test in enumerate(known[at : at + _BITS]))
            + f" AS present{at}"
            for at in range(0, len(known), _BITS)
        ]
        filled = [f"CASE WHEN {test} THEN v{i} ELSE 0e0 END AS v{i}" for i, test in enumerate(known)]
        return f"SELECT {', '.join([*others, *marks, *filled])} FROM ({rows}) AS seen"  # noqa: S608 - quoted

    def _sum(self, value: str, whole: bool) -> str:  # noqa: FBT001 - a property of the column
        return f"CAST(sum(CAST({value} AS {_INTEGER})) AS VARCHAR)" if self.exact and whole else f"sum({value})"

    def _product(self, i: int, j: int) -> str:
        if self.exact and self.columns[i].whole and self.columns[j].whole:
            return f"CAST(sum(CAST(v{i} AS {_INTEGER}) * CAST(v{j} AS {_INTEGER})) AS VARCHAR)"
        return f"sum(v{i} * v{j})"

    def _check_scales(self, found: Mapping[str, Array]) -> None:
        for i, each in enumerate(self.columns):
            worst = float(np.nanmax(found[f"r{i}"].astype(float), initial=0)) if each.rest else 0.0
            if worst > MOST_REST and each.scale == 1:
                raise DataError(
                    f"column {each.name!r} holds whole numbers beyond 2**53, which doubles cannot tell apart",
                    advice="Are they ids? Otherwise subtract a common offset, or count in larger units.",
                )
            if worst > MOST_REST:
                raise DataError(
                    f"column {each.name!r} times {each.scale:g} is not whole: some value is {worst:.3g} off",
                    advice="Leave the scale out, or give the one in which every value is a whole number.",
                )


def _stacked(columns: Sequence[Array], cells: int) -> Array:
    """Put columns side by side; sums that came as text are whole numbers of any size."""
    if not columns:
        return np.zeros((cells, 0))
    if all(column.dtype != object for column in columns):
        return np.stack([column.astype(float) for column in columns], axis=1)
    listed = [[int(each) if isinstance(each, str) else each for each in column.tolist()] for column in columns]
    return compact(np.array(listed, dtype=object).T)


def _has_nan(sums: Array) -> bool:
    return bool(np.isnan(sums.astype(float)).any())


def _check_finite(plan: _Plan, found: Moments) -> None:
    if np.isfinite(found.sums.astype(float)).all() and np.isfinite(found.products.astype(float)).all():
        return
    for each in plan.columns:
        column = plan.engine.query(f"SELECT {each.value} AS v FROM {quote(plan.table)}")["v"]  # noqa: S608 - quoted
        numeric({each.name: column}, each.name)
    raise DataError("sums of squares leave the range of doubles", advice="Count in larger units.")
