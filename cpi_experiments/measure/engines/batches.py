"""Rows of a DuckDB query in batches of Arrow, for products of many columns that are faster outside SQL."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.engines.lock import raise_query_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Array = np.ndarray


def can_stream(engine: object) -> bool:
    """Whether rows of this engine can be had in batches: DuckDB, with pyarrow installed.

    Examples
    --------
    >>> can_stream("a warehouse")
    False
    """
    return isinstance(engine, Tables) and find_spec("pyarrow") is not None


def stream_batches(tables: Tables, sql: str, parameters: Sequence[object] = (), *, rows: int) -> Iterator[list[Array]]:
    """Run a query and yield its columns batch by batch, numbers only, NaN where missing.

    Parameters
    ----------
    tables : Tables
    sql : str
    parameters : sequence
    rows : int
        Rows of a batch, at most.

    Raises
    ------
    DataError
        If the query needs more memory than allowed, or reads a damaged file.

    Examples
    --------
    >>> import pandas as pd
    >>> with Tables({"t": pd.DataFrame({"a": [1.0, None, 3.0]})}) as tables:
    ...     [columns[0].tolist() for columns in stream_batches(tables, "SELECT a FROM t", rows=100)]
    [[1.0, nan, 3.0]]
    """
    try:
        reader: Any = tables._connection.sql(sql, params=list(parameters) or None).to_arrow_reader(rows)  # noqa: SLF001 - the engine's other half
        for batch in reader:
            if batch.num_rows:
                yield [_numbers(column) for column in batch.columns]
    except duckdb.Error as error:
        raise_query_error(error, tables._files)  # noqa: SLF001 - the engine's other half


def _numbers(column: Any) -> Array:  # noqa: ANN401 - an array of Arrow
    """Look at the memory of an Arrow column where nothing is missing; `to_numpy` would copy it."""
    kind = {"double": np.float64, "int64": np.int64, "int32": np.int32}.get(str(column.type))
    if kind is None or column.null_count:
        return np.asarray(column.to_numpy(zero_copy_only=False))
    values = np.frombuffer(column.buffers()[1], dtype=kind)
    return values[column.offset : column.offset + len(column)]
