"""Where SQL runs: a locked DuckDB with one view per table, and the one door for columns of plain data.

Nothing but the named files can be read, nothing can be installed, attached or written, and no setting can be changed
afterwards. Names are quoted, values are parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import duckdb
import numpy as np

from cpi_experiments.errors import DataError, kind_of, nearest
from cpi_experiments.estimate import digest_of
from cpi_experiments.measure.arrays import (
    as_doubles,
    columns_of_frame,
    digest_of_frame,
    kind_seen,
    missing_column,
    plain_array,
    wanted_columns,
)
from cpi_experiments.measure.columns import complete_cases, numeric
from cpi_experiments.measure.engines.files import (
    check_names,
    digest_of_files,
    find_files,
    scan_sql,
)
from cpi_experiments.measure.engines.lock import open_locked, raise_query_error
from cpi_experiments.measure.engines.spark import collect_columns, is_spark
from cpi_experiments.measure.engines.warehouse import WarehouseTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

__all__ = ["Data", "Tables", "complete_cases", "numeric", "quote", "read_columns"]

Array = np.ndarray
#: What every plain-data door accepts: a DataFrame (pandas, Spark, Arrow), a path of CSV or Parquet files, a DuckDB
#: relation, or a table of a warehouse.
Data: TypeAlias = "pd.DataFrame | str | Path | duckdb.DuckDBPyRelation | WarehouseTable"

_OLDEST = 2


def check_version(version: str) -> None:
    """Refuse a DuckDB that is older than what was tested.

    Raises
    ------
    DataError
        With the pin.

    Examples
    --------
    >>> check_version("2.0.0")
    """
    if int(version.split(".", 1)[0]) < _OLDEST:
        raise DataError(f"duckdb {version} is too old", advice=f'Install "duckdb>={_OLDEST}.0".')


check_version(duckdb.__version__)


def quote(name: str) -> str:
    """Quote a name for SQL.

    Raises
    ------
    DataError
        If the name is empty or holds a NUL character.

    Examples
    --------
    >>> quote('x" FROM t; DROP TABLE t; --')
    '"x"" FROM t; DROP TABLE t; --"'
    """
    if not name or "\0" in name:
        raise DataError(f"{name!r} cannot be a column or table name", advice="Give it a name.")
    return '"' + name.replace('"', '""') + '"'


class Tables:
    """Tables behind a locked DuckDB connection, one view each.

    Parameters
    ----------
    sources : mapping of table name to source
        A CSV or Parquet file or glob (``"events/*.parquet"``), a DataFrame, a DuckDB relation, an Arrow table, or
        arrays by name.
    root : Path, optional
        Folder that relative paths start at and that no file may lie outside of.
    memory_limit : str
        What queries may use, such as ``"4GB"``.
    threads : int
        Threads of the engine.

    Raises
    ------
    DataError
        If a source cannot be read; it names the file.

    Examples
    --------
    >>> import pandas as pd
    >>> with Tables({"quotes": pd.DataFrame({"hours": [2.0, 4.0]})}) as tables:
    ...     tables.query("SELECT avg(hours) AS mean FROM quotes")
    {'mean': array([3.])}
    """

    __slots__ = (
        "__weakref__",
        "_columns",
        "_connection",
        "_digests",
        "_files",
        "_finalizer",
        "_frames",
        "_repeats",
        "_restricted",
    )

    def __init__(
        self,
        sources: Mapping[str, Data | dict[str, Array]],
        *,
        root: Path | None = None,
        memory_limit: str = "4GB",
        threads: int = 2,
    ) -> None:
        check_names(list(sources), where="tables")
        self._files: dict[str, tuple[Path, ...]] = {}
        self._frames: dict[str, pd.DataFrame | dict[str, Array]] = {}
        for table, source in sources.items():
            if isinstance(source, str | Path):
                self._files[table] = find_files(source, root=root)
            else:
                self._frames[table] = _as_frame(source, table)
        files = [file for each in self._files.values() for file in each]
        self._connection, self._finalizer = open_locked(self, files, memory_limit=memory_limit, threads=threads)
        self._columns: dict[str, dict[str, str]] = {}
        self._digests: dict[str, str] = {}
        self._repeats: dict[str, int] = {}
        self._restricted: dict[str, str] = {}
        for position, table in enumerate(sources):
            self._add(table, f"cpi_source_{position}")

    def _add(self, table: str, inner: str) -> None:
        """Make the view of one table, each column in the type in which it is seen."""
        if table in self._frames:
            self._connection.register(inner, self._frames[table])
            scan = quote(inner)
        else:
            scan = scan_sql(self._connection, self._files[table])
        rows = self._run(f"DESCRIBE SELECT * FROM {scan}").fetchall()  # noqa: S608 - quoted
        check_names([row[0] for row in rows], where=table)
        kinds = {name: kind_seen(kind) for name, kind, *_ in rows}
        listed = ", ".join(
            quote(name) if kinds[name] == kind else f"CAST({quote(name)} AS {kinds[name]}) AS {quote(name)}"
            for name, kind, *_ in rows
        )
        self._run(f"CREATE TEMP VIEW {quote(table)} AS SELECT {listed} FROM {scan}")  # noqa: S608 - quoted
        self._columns[table] = kinds

    def restrict(self, table: str, select: Callable[[str], str], *, repeats_are_events: bool = False) -> None:
        """Let only some rows of a table be seen from now on; its digest says so.

        Parameters
        ----------
        table : str
        select : callable
            Given the name of the view of all rows, writes the SELECT of those that are kept.
        repeats_are_events : bool
            Rows that repeat another in every column are events of their own.

        Examples
        --------
        >>> import pandas as pd
        >>> tables = Tables({"t": pd.DataFrame({"a": [1, -2]})})
        >>> tables.restrict("t", lambda every: f"SELECT * FROM {every} WHERE a > 0")
        >>> tables.query("SELECT a FROM t")["a"].tolist()
        [1]
        """
        every = f"cpi_all_{self.names.index(table)}"
        if every not in self._columns:
            self._run(f"ALTER VIEW {quote(table)} RENAME TO {every}")
            self._columns[every] = self.columns(table)
        sql = select(every)
        self._run(f"CREATE OR REPLACE TEMP VIEW {quote(table)} AS {sql}")
        self._restricted[table] = sql.replace(every, "cpi_all")
        self._repeats.pop(table, None)
        if repeats_are_events:
            self._repeats[table] = 0

    def _run(self, sql: str, parameters: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        try:
            return self._connection.execute(sql, list(parameters))
        except duckdb.Error as error:
            raise_query_error(error, self._files)

    @property
    def dialect(self) -> str:
        """The dialect that it runs."""
        return "duckdb"

    @property
    def names(self) -> tuple[str, ...]:
        """The tables."""
        return tuple(name for name in self._columns if not name.startswith("cpi_all_"))

    def columns(self, table: str) -> dict[str, str]:
        """Return the columns of a table and their DuckDB types.

        Raises
        ------
        DataError
            If there is no such table; names the nearest.
        """
        if table not in self._columns:
            raise DataError(f"table {table!r} is missing", advice=nearest(table, list(self._columns)))
        return dict(self._columns[table])

    def type_of(self, table: str, column: str) -> str:
        """Return the DuckDB type of a column.

        Raises
        ------
        DataError
            If the table or the column is missing; names the nearest.
        """
        columns = self.columns(table)
        if column not in columns:
            raise missing_column(column, list(columns), where=table)
        return columns[column]

    def query(self, sql: str, parameters: Sequence[object] = ()) -> dict[str, Array]:
        """Run a query and return its columns as numpy arrays.

        Missing numbers are NaN, missing texts None, missing times NaT. Times with a zone are in UTC.

        Raises
        ------
        DataError
            If the query needs more memory than allowed, or reads a damaged file.
        """
        found = self._run(sql, parameters)
        try:
            arrays = found.fetchnumpy()
        except duckdb.Error as error:
            raise_query_error(error, self._files)
        return {name: plain_array(np.asanyarray(values)) for name, values in arrays.items()}

    def frame(self, sql: str, parameters: Sequence[object] = ()) -> pd.DataFrame:
        """Run a query and return a DataFrame (see `query`)."""
        import pandas as pd  # noqa: PLC0415 - the path from a file to arrays needs no pandas

        return pd.DataFrame(self.query(sql, parameters))

    def repeated_rows(self, table: str) -> int:
        """Count rows that repeat another row in every column.

        Examples
        --------
        >>> import pandas as pd
        >>> Tables({"t": pd.DataFrame({"a": [1, 1, 2]})}).repeated_rows("t")
        1
        """
        if table not in self._repeats:
            listed = ", ".join(quote(name) for name in self.columns(table))
            # Equal hashes are checked by the exact and slower count; different hashes prove different rows.
            sql = f"SELECT count(*) - count(DISTINCT hash({listed})) AS n FROM {quote(table)}"  # noqa: S608 - quoted
            n = int(self.query(sql)["n"][0])
            if n:
                counted = f"SELECT count(*) AS n FROM {quote(table)}"  # noqa: S608 - quoted
                distinct = f"SELECT count(*) AS n FROM (SELECT DISTINCT * FROM {quote(table)})"  # noqa: S608 - quoted
                n = int(self.query(counted)["n"][0]) - int(self.query(distinct)["n"][0])
            self._repeats[table] = n
        return self._repeats[table]

    def digest(self, table: str) -> str:
        """SHA-256 of the file's bytes, or of a frame's content.

        Raises
        ------
        DataError
            If there is no such table.
        """
        self.columns(table)
        if table not in self._digests:
            names = ", ".join(quote(name) for name in self._columns[table])
            frame = self._frames.get(table)
            if isinstance(frame, dict) or (frame is not None and not hasattr(frame, "iloc")):
                frame = self.frame(f"SELECT {names} FROM {quote(table)}")  # noqa: S608 - quoted
            self._digests[table] = digest_of_files(self._files[table]) if frame is None else digest_of_frame(frame)
        if table in self._restricted:
            return digest_of({"rows": self._digests[table], "kept": self._restricted[table]})
        return self._digests[table]

    def close(self) -> None:
        """Close the connection and remove its temporary files."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_columns(data: Data, columns: Sequence[str], *, optional: Sequence[str] = ()) -> dict[str, Array]:
    """Read columns of plain data as numpy arrays.

    Numbers and booleans become doubles with NaN for missing (whole numbers that doubles cannot hold stay whole);
    text becomes an object array with None for missing; times become ``datetime64``, in UTC if they have a zone.

    Parameters
    ----------
    data : DataFrame (pandas, Spark or Arrow), str, Path, DuckDB relation or warehouse table
        A path names a CSV or Parquet file or glob.
    columns : sequence of str
        Columns that must be there.
    optional : sequence of str
        Columns that are read if they are there.

    Returns
    -------
    dict of column to array, shape (n,)

    Raises
    ------
    DataError
        If a column is missing or occurs twice, there are no rows, or the file cannot be read.

    Examples
    --------
    >>> import pandas as pd
    >>> read_columns(pd.DataFrame({"won": [True, False], "arm": ["a", None]}), ["won", "arm"])
    {'won': array([1., 0.]), 'arm': array(['a', None], dtype=object)}
    """
    if is_spark(data):
        data = collect_columns(data, columns, optional)
    if type(data).__module__.startswith("pyarrow"):
        data = duckdb.connect(":memory:").from_arrow(data)
    if isinstance(data, str | Path):
        arrays = _from_files(data, columns, optional)
        where = Path(data).name
    elif isinstance(data, duckdb.DuckDBPyRelation):
        wanted = wanted_columns(list(data.columns), columns, optional, where="relation")
        arrays = _fetched(data.select(*(duckdb.ColumnExpression(name) for name in wanted)))
        where = "relation"
    elif isinstance(data, WarehouseTable):
        wanted = wanted_columns(list(data.columns), columns, optional, where=data.name)
        listed = ", ".join(quote(name) for name in wanted)
        arrays = data.engine.query(f"SELECT {listed} FROM {quote(data.name)}")  # noqa: S608 - quoted
        where = data.name
    else:
        arrays = columns_of_frame(data, columns, optional)
        where = "data"
    if any(len(values) == 0 for values in arrays.values()):
        raise DataError("no rows", where=where, advice="Look at the filter or the export that made these data.")
    return {name: as_doubles(values) for name, values in arrays.items()}


def _from_files(data: str | Path, columns: Sequence[str], optional: Sequence[str]) -> dict[str, Array]:
    with Tables({"data": data}) as tables:
        wanted = wanted_columns(list(tables.columns("data")), columns, optional, where=Path(data).name)
        return tables.query(f"SELECT {', '.join(quote(name) for name in wanted)} FROM data")  # noqa: S608 - quoted


def _fetched(relation: duckdb.DuckDBPyRelation) -> dict[str, Array]:
    try:
        arrays = relation.fetchnumpy()
    except duckdb.Error as error:
        raise DataError(f"the relation cannot be read: {str(error).splitlines()[0][:200]}") from None
    return {name: plain_array(np.asanyarray(values)) for name, values in arrays.items()}


def _as_frame(source: Any, table: str) -> pd.DataFrame | dict[str, Array]:  # noqa: ANN401 - checked here
    if isinstance(source, dict) or type(source).__module__.startswith("pyarrow"):
        check_names(list(source) if isinstance(source, dict) else source.schema.names, where=table)
        return source  # type: ignore[no-any-return] # arrays and Arrow: DuckDB reads them where they are
    import pandas as pd  # noqa: PLC0415 - the path from a file to arrays needs no pandas

    if isinstance(source, duckdb.DuckDBPyRelation):
        return pd.DataFrame(_fetched(source))
    if not isinstance(source, pd.DataFrame):
        raise DataError(
            f"{kind_of(source)} is not a table",
            where=table,
            advice="Give a path, DataFrame or DuckDB relation.",
        )
    check_names(list(source.columns), where=table)
    return source
