"""Tables of Apache Spark as an engine: queries run on the cluster, only their results leave it.

Spark is never imported here: the session comes with the DataFrames, be they classic or of Spark Connect.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import duckdb
import numpy as np

from cpi_experiments.errors import DataError, nearest
from cpi_experiments.measure.arrays import plain_array, wanted_columns
from cpi_experiments.measure.engines.dialect import translate
from cpi_experiments.measure.engines.files import check_names
from cpi_experiments.measure.engines.kinds import known_kinds, spark_words
from cpi_experiments.measure.engines.rows import column_array
from cpi_experiments.measure.engines.source import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Array = np.ndarray

# Without the first, sums that leave their type wrap around without a word; without the second, times depend on where.
_SETTINGS = {"spark.sql.ansi.enabled": "true", "spark.sql.session.timeZone": "UTC"}
_LOGGER = "SQLQueryContextLogger"  # PySpark writes whole stack traces of Java through it


def is_spark(data: object) -> bool:
    """Whether these are a DataFrame of Spark, classic or Connect.

    Examples
    --------
    >>> is_spark("trial.parquet")
    False
    """
    return type(data).__module__.startswith("pyspark.sql.")


def selected(data: Any, columns: Sequence[str], optional: Sequence[str]) -> Any:  # noqa: ANN401 - Spark is not imported
    """Choose the columns that are needed, and no others.

    Raises
    ------
    DataError
        If a column is missing or occurs twice, or this Spark cannot hand over Arrow.
    """
    _check_arrow(data)
    wanted = wanted_columns(list(data.columns), columns, optional, where="data")
    return data.select(*map(_quoted, wanted))


def collect_columns(data: Any, columns: Sequence[str], optional: Sequence[str]) -> duckdb.DuckDBPyRelation:  # noqa: ANN401 - checked by `is_spark`
    """Fetch the columns that are needed, and no others.

    Raises
    ------
    DataError
        If a column is missing or occurs twice, or this Spark cannot hand over Arrow.
    """
    return duckdb.connect(":memory:").from_arrow(selected(data, columns, optional).toArrow())


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"  # else a dot would mean a field of a struct


def _check_arrow(data: object) -> None:
    if not hasattr(data, "toArrow"):
        raise DataError("this Spark cannot hand over Arrow", where="data", advice="Use Spark 4, or give .toPandas().")


class SparkTables(Engine):
    """DataFrames of Spark as tables that answer queries; see `cpi_experiments.measure.engines.source.Engine`.

    While a query runs, the session computes by ANSI rules (overflow is an error) and in UTC; its own settings are put
    back afterwards.

    Parameters
    ----------
    sources : mapping of table name to Spark DataFrame
        All of one session.
    session : SparkSession, optional
        That of the first DataFrame by default.

    Raises
    ------
    DataError
        If there is no table, a source is no Spark DataFrame, or column names repeat.
    """

    __slots__ = ("_columns", "_session", "_sources", "_views")

    def __init__(self, sources: Mapping[str, Any], *, session: Any = None) -> None:  # noqa: ANN401 - Spark is not imported
        check_names(list(sources), where="tables")
        for table, frame in sources.items():
            if not is_spark(frame):
                raise DataError(f"a {type(frame).__name__} is not a Spark DataFrame", where=table)
            _check_arrow(frame)
            check_names(list(frame.columns), where=table)
        if not sources:
            raise DataError("no table", advice="Give at least one Spark DataFrame.")
        self._sources = dict(sources)
        self._session = session or next(iter(sources.values())).sparkSession
        for table, frame in sources.items():
            if frame.sparkSession is not self._session:
                raise DataError("the DataFrames are of several Spark sessions", where=table, advice="Use one session.")
        self._columns = {table: spark_words(frame.dtypes) for table, frame in sources.items()}
        self._views = {table: f"cpi_{uuid.uuid4().hex}" for table in sources}
        for table, view in self._views.items():
            self._sources[table].createOrReplaceTempView(view)

    @property
    def dialect(self) -> str:
        """The dialect that it runs."""
        return "spark"

    @property
    def names(self) -> tuple[str, ...]:
        """The tables."""
        return tuple(self._columns)

    def columns(self, table: str) -> dict[str, str]:
        """Return the columns of a table and their types in DuckDB's words.

        Raises
        ------
        DataError
            If there is no such table; names the nearest.
        """
        if table not in self._columns:
            raise DataError(f"table {table!r} is missing", advice=nearest(table, list(self._columns)))
        return dict(self._columns[table])

    def query(self, sql: str, parameters: Sequence[object] = ()) -> dict[str, Array]:
        """Run a query of DuckDB's dialect and return its columns as numpy arrays.

        Missing numbers are NaN, missing texts None, missing times NaT. Times with a zone are in UTC. Whole numbers of
        more than 64 bits are exact: Python's own.

        Raises
        ------
        DataError
            If the query cannot be translated, or Spark cannot run it.
        """
        views = {table: (view,) for table, view in self._views.items()}
        text = translate(sql, "spark", tables=views, kinds=known_kinds(self._columns))
        return self._run(text, {f"cpi_value_{i}": value for i, value in enumerate(parameters, start=1)})

    def _run(self, text: str, values: Mapping[str, object]) -> dict[str, Array]:
        from pyspark.errors import PySparkException  # noqa: PLC0415 - whoever has a session has it

        with self._settled():
            try:
                found = self._session.sql(text, args=dict(values)).toArrow()
            except PySparkException as error:
                raise DataError(f"Spark cannot run the query: {_first_line(error)}") from None
        return _arrays(found)

    @contextmanager
    def _settled(self) -> Iterator[None]:
        before = {name: self._session.conf.get(name) for name in _SETTINGS}
        logger = logging.getLogger(_LOGGER)
        was_disabled, logger.disabled = logger.disabled, True
        try:
            for name, value in _SETTINGS.items():
                self._session.conf.set(name, value)
            yield
        finally:
            logger.disabled = was_disabled
            for name, value in before.items():
                self._session.conf.set(name, value)

    def digest(self, table: str) -> str:
        """Hash of the content, whatever the order of the rows and the partitions.

        Spark computes the count, the sum and the exclusive or of the 64-bit xxHash of every row, missing values
        marked; SHA-256 joins them with the names and types of the columns. It guards against changed data, not against
        somebody who forges them.
        """
        columns = self.columns(table)
        listed = [_quoted(name) for name in columns]
        row = f"xxhash64({', '.join([*listed, *(f'{name} IS NULL' for name in listed)])})"
        sql = (
            f"SELECT CAST(count(*) AS STRING) AS n, CAST(bit_xor(h) AS STRING) AS x, "  # noqa: S608 - quoted
            f"CAST(sum(CAST(h AS DECIMAL(38, 0))) AS STRING) AS s FROM (SELECT {row} AS h FROM {self._views[table]})"
        )
        found = [str(values[0]) for values in self._run(sql, {}).values()]
        return hashlib.sha256("\0".join([*found, *columns, *columns.values()]).encode()).hexdigest()

    def close(self) -> None:
        """Drop the views; the DataFrames stay as they are."""
        for view in self._views.values():
            self._session.catalog.dropTempView(view)
        self._views = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _arrays(table: Any) -> dict[str, Array]:  # noqa: ANN401 - a pyarrow Table
    """Turn Arrow into arrays as DuckDB does, except decimals: doubles would round their large whole numbers."""
    fetched = duckdb.connect(":memory:").from_arrow(table).fetchnumpy() if table.num_columns else {}
    arrays = {name: plain_array(np.asanyarray(values)) for name, values in fetched.items()}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if str(column.type).startswith("decimal") and len(column):
            arrays[name] = column_array(column.to_pylist())
    return arrays


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:200]
