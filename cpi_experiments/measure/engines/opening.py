"""One door for every kind of data: an engine, and the name of a table in it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_experiments.errors import DataError
from cpi_experiments.measure.arrays import columns_of_frame, wanted_columns
from cpi_experiments.measure.engine import Data, Tables, quote
from cpi_experiments.measure.engines.relation import RelationTable
from cpi_experiments.measure.engines.spark import SparkTables, is_spark, selected
from cpi_experiments.measure.engines.warehouse import WarehouseTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cpi_experiments.measure.engines.source import Engine

TABLE = "data"


@contextmanager
def open_data(data: Data, columns: Sequence[str], *, optional: Sequence[str] = ()) -> Iterator[tuple[Engine, str]]:
    """Open data of any kind as a table of an engine.

    Files, relations, Spark and warehouses stay where they are: only what a query answers is fetched. Of frames and
    Arrow tables the named columns are used without a copy.

    Parameters
    ----------
    data : DataFrame, path or glob, DuckDB relation, Arrow table, Spark DataFrame, warehouse table, or (Engine, table)
    columns : sequence of str
        Columns that must be there.
    optional : sequence of str
        Columns that will be used if they are there.

    Yields
    ------
    engine : Engine
    table : str
        Name of the table: quote it in SQL.

    Raises
    ------
    DataError
        If a column is missing or occurs twice, there are no rows, or these are no data.

    Examples
    --------
    >>> import pandas as pd
    >>> with open_data(pd.DataFrame({"won": [0, 1, 1]}), ["won"]) as (engine, table):
    ...     engine.query(f'SELECT sum(won) AS won FROM "{table}"')
    {'won': array([2.])}
    """
    with ExitStack() as stack:
        engine, table, where = _opened(data, (columns, optional), stack)
        wanted_columns(list(engine.columns(table)), columns, optional, where=where)
        if not engine.query(f"SELECT 1 AS one FROM {quote(table)} LIMIT 1")["one"].size:  # noqa: S608 - quoted
            raise DataError("no rows", where=where, advice="Look at the filter or the export that made these data.")
        yield engine, table


def _opened(
    data: Any,  # noqa: ANN401 - every kind is told apart here
    names: tuple[Sequence[str], Sequence[str]],
    stack: ExitStack,
) -> tuple[Engine, str, str]:
    """Find the engine and the table of data, and what messages call them."""
    if isinstance(data, tuple):
        engine, table = data
        return engine, table, table
    if isinstance(data, WarehouseTable):
        return data.engine, data.name, data.name
    if isinstance(data, str | Path):
        return stack.enter_context(Tables({TABLE: data})), TABLE, Path(data).name
    if is_spark(data):
        return stack.enter_context(SparkTables({TABLE: selected(data, *names)})), TABLE, "data"
    if hasattr(data, "create_view"):  # only relations of DuckDB have it
        relation = RelationTable(data, names[0], optional=names[1])
        return relation, relation.names[0], "relation"
    return stack.enter_context(Tables({TABLE: _in_memory(data, *names)})), TABLE, "data"


def _in_memory(data: Any, columns: Sequence[str], optional: Sequence[str]) -> Any:  # noqa: ANN401 - an Arrow table or arrays
    if not type(data).__module__.startswith("pyarrow"):
        return columns_of_frame(data, columns, optional)
    wanted = wanted_columns(list(data.schema.names), columns, optional, where="data")
    table = data.read_all() if hasattr(data, "read_all") else data  # a stream of batches can be read once only
    return table.select(wanted)
