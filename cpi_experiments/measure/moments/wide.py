"""Moments of many columns: rows stream out of DuckDB in batches, and BLAS takes all products at once.

From about 40 columns on this is faster than one SQL sum a product. Whole numbers stay exact as long as sums of their
products stay below 2**53; whoever calls this looks at that.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.measure.engine import Tables, quote
from cpi_experiments.measure.engines.batches import can_stream, stream_batches
from cpi_experiments.stats.moments import Moments, pairs_of
from cpi_experiments.stats.one_blas_thread import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.measure.moments.columns import Column

Array = np.ndarray

#: From so many columns on, batches and BLAS beat sums in SQL.
WIDE = 40
#: Rows of a batch: its columns fit the caches of one core.
BATCH = 16_384
#: Bytes that the products of all cells may take.
MOST_BYTES = 1 << 28


def gather_wide(engine: Engine, table: str, columns: Sequence[Column], *, by: Sequence[str] = ()) -> Moments | None:
    """Sum columns and all their products by cell, in one scan.

    Parameters
    ----------
    engine : Engine
    table : str
    columns : sequence of Column
        As `cpi_experiments.measure.moments.columns.describe_columns` returns them.
    by : sequence of str
        Keys of the cells.

    Returns
    -------
    Moments or None
        Cells in order of their keys, then of what is missing. None if this engine cannot hand out batches, a declared
        scale has to be checked, or the moments would take more than 256 MiB: too many cells, or too many patterns of
        missing values.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.measure.moments.columns import describe_columns
    >>> frame = pd.DataFrame({"arm": ["a", "b", "b"], "won": [0, 1, 1], "hours": [3.0, 2.0, None]})
    >>> with Tables({"t": frame}) as tables:
    ...     columns = describe_columns(tables, "t", ["won", "hours"], caps={}, scales={}, origins={})
    ...     found = gather_wide(tables, "t", columns, by=["arm"])
    >>> found is None or (found.keys["arm"].tolist(), found.n.tolist(), found.present.tolist())
    (['a', 'b', 'b'], [1, 1, 1], [[True, True], [True, False], [True, True]])
    """
    p = len(columns)
    if not can_stream(engine) or any(each.rest and each.scale != 1 for each in columns):
        return None
    most = max(1, MOST_BYTES // (8 * (p + 1) ** 2))
    cells: dict[tuple[int, bytes], Array] = {}
    everything = np.ones(p + 1, dtype=bool).tobytes()
    origins = np.array([[each.origin if each.scale == 1 else 0.0] for each in columns])

    def add(group: int, rows: Array) -> bool:
        rows[1:] -= origins
        products = rows @ rows.T
        if not np.isnan(products).any():
            cells[group, everything] = cells.get((group, everything), 0.0) + products
            return len(cells) <= most
        seen = ~np.isnan(rows)
        patterns, place = np.unique(seen, axis=1, return_inverse=True)
        if len(cells) + patterns.shape[1] > 2 * most:
            return False
        filled = np.where(seen, rows, 0.0)
        for at, pattern in enumerate(patterns.T):
            part, key = filled[:, place == at], (group, pattern.tobytes())
            cells[key] = cells.get(key, 0.0) + part @ part.T
        return len(cells) <= most

    labels = stream_groups(engine, table, columns, by=by, add=add, most=most)
    return None if labels is None or not cells else _moments(cells, labels, columns)


def stream_groups(
    engine: Engine,
    table: str,
    columns: Sequence[Column],
    *,
    by: Sequence[str],
    add: Callable[[int, Array], bool],
    most: int,
) -> dict[str, Array] | None:
    """Hand the rows of every group, batch by batch, to a function.

    Parameters
    ----------
    engine, table, columns, by
        See `gather_wide`.
    add : function of (int, array of shape (1 + p, n))
        Takes the number of a group and some of its rows, a row of ones first, NaN where missing; False ends the scan.
        Columns with a scale come scaled and shifted, others as they are. All but the ones may be changed; the array is
        used again for the next batch.
    most : int
        Groups that are allowed.

    Returns
    -------
    dict of key to array, shape (G,), or None
        Labels of the groups; None if there are too many, or the function ended the scan.
    """
    if not isinstance(engine, Tables):
        return None
    keys = [f"k{g}" for g in range(len(by))]
    named = [f"{quote(name)} AS {key}" for name, key in zip(by, keys, strict=True)]
    # a column that DuckDB hands out as it is costs no copy: origins are subtracted from the batches
    values = [f"{each.value if each.scale == 1 else each.shifted} AS v{i}" for i, each in enumerate(columns)]
    rows = f"SELECT {', '.join([*named, *values])} FROM {quote(table)}"  # noqa: S608 - quoted
    listed = ", ".join(f"v{i}" for i in range(len(columns)))
    sql = f"SELECT CAST(0 AS INTEGER) AS code, {listed} FROM ({rows}) AS used"  # noqa: S608 - quoted
    labels: dict[str, Array] = {}
    groups = 1
    if keys:
        distinct = f"SELECT DISTINCT {', '.join(named)} FROM {quote(table)}"  # noqa: S608 - quoted
        cells = f"SELECT *, CAST(row_number() OVER (ORDER BY {', '.join(keys)}) - 1 AS INTEGER) AS code FROM ({distinct}) AS seen"  # noqa: E501, S608 - quoted
        found = engine.query(f"SELECT * FROM ({cells}) AS cells ORDER BY code")  # noqa: S608 - quoted
        labels, groups = {name: found[key] for name, key in zip(by, keys, strict=True)}, len(found["code"])
        same = " AND ".join(f"used.{key} IS NOT DISTINCT FROM cells.{key}" for key in keys)
        sql = f"SELECT code, {listed} FROM ({rows}) AS used JOIN ({cells}) AS cells ON {same}"  # noqa: S608 - quoted
    if groups > most:
        return None
    buffer = np.ones((1 + len(columns), BATCH))
    done: Future[bool] | None = None
    # one batch is summed while the engine makes the next; their order stays, and with it every digit
    with one_blas_thread(), ThreadPoolExecutor(1) as beside:
        for code, *batch in stream_batches(engine, sql, rows=BATCH):
            if done is not None and not done.result():
                return None
            done = beside.submit(_add_batch, code, batch, buffer, add)
    return labels if done is None or done.result() else None


def _add_batch(code: Array, batch: Sequence[Array], buffer: Array, add: Callable[[int, Array], bool]) -> bool:
    """Hand over a batch in parts that fit the buffer; whether the scan goes on."""
    # infinite values make products that are no numbers: whoever asked looks at the sums, once
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, len(code), BATCH):
            part = slice(start, start + BATCH)
            order = np.argsort(code[part], kind="stable")
            for column, out in zip(batch, buffer[1:], strict=True):
                np.take(column[part], order, out=out[: len(order)], mode="clip")
            if not _add_groups(code[part], buffer, add):
                return False
    return True


def _add_groups(code: Array, buffer: Array, add: Callable[[int, Array], bool]) -> bool:
    counts = np.bincount(code)
    ends = np.cumsum(counts)
    present = np.flatnonzero(counts)
    return all(add(int(group), buffer[:, ends[group] - counts[group] : ends[group]]) for group in present)


def _moments(cells: dict[tuple[int, bytes], Array], labels: dict[str, Array], columns: Sequence[Column]) -> Moments:
    order = sorted(cells)
    p = len(columns)
    i, j = np.triu_indices(p)
    groups = np.array([group for group, _ in order])
    return Moments(
        columns=tuple(each.name for each in columns),
        keys={name: values[groups] for name, values in labels.items()},
        present=np.array([np.frombuffer(pattern, dtype=bool)[1:] for _, pattern in order]),
        n=np.array([cells[key][0, 0] for key in order]).astype(np.int64),
        sums=np.array([cells[key][0, 1:] for key in order]),
        pairs=pairs_of([each.name for each in columns], None),
        products=np.array([cells[key][i + 1, j + 1] for key in order]),
        origin=np.array([each.origin for each in columns]),
        scale=np.array([each.scale for each in columns]),
        whole=np.array([each.whole for each in columns], dtype=bool),
    )
