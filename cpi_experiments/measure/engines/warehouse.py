"""Tables of a database server as an engine: any DB-API connection and the name of its dialect are enough.

Only queries that read are sent, only their results come back, and no message repeats an address or a password.
"""

from __future__ import annotations

import hashlib
import re
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import CpiWarning, DataError, nearest
from cpi_experiments.measure.engines.dialect import translate
from cpi_experiments.measure.engines.files import check_names
from cpi_experiments.measure.engines.kinds import described_words, known_kinds
from cpi_experiments.measure.engines.rows import column_array
from cpi_experiments.measure.engines.source import Engine

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray

_ZONE = {
    "duckdb": "SELECT current_setting('TimeZone')",
    "postgres": "SELECT current_setting('TimeZone')",
    "snowflake": "SELECT TO_CHAR(CURRENT_TIMESTAMP(), 'TZH:TZM')",
    "bigquery": "SELECT @@time_zone",
}
_UTC = ("UTC", "Etc/UTC", "GMT", "Etc/GMT", "+00:00", "Zulu", "Etc/Zulu", "Universal")
#: Sum of a hash of every row, and how a row is written so that no setting of the session changes it.
_HASH = {
    "duckdb": "sum(CAST(hash({columns}) AS HUGEINT))",
    "postgres": (
        "sum(CAST(CAST('x' || substr(md5(CAST(row_to_json(ROW({columns})) AS TEXT)), 1, 15) AS bit(60)) AS bigint))"
    ),
    "bigquery": "SUM(CAST(FARM_FINGERPRINT(TO_JSON_STRING(STRUCT({columns}))) AS BIGNUMERIC))",
    "snowflake": "SUM(CAST(HASH({columns}) AS NUMBER(38, 0)))",
}
_SECRET = re.compile(r"(://[^\s:/@]*:)[^\s@]+@|(pass(?:word|wd)?\s*[=:]\s*)\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseTable:
    """A table of a warehouse, to be given as `data` wherever a DataFrame may be.

    Parameters
    ----------
    engine : Warehouse
    name : str
        The name it was asked for by.
    """

    engine: Warehouse
    name: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns."""
        return tuple(self.engine.columns(self.name))


class Warehouse(Engine):
    """A database behind a DB-API connection; see `cpi_experiments.measure.engines.source.Engine`.

    Parameters
    ----------
    connection : DB-API 2 connection
        Yours: it is not closed here. Autocommit is best: a failed query then spoils nothing.
    dialect : {"postgres", "snowflake", "bigquery", "duckdb"}

    Raises
    ------
    DataError
        If the dialect is not known or this is no connection.

    Warns
    -----
    CpiWarning
        If the session's clock is not UTC.

    Examples
    --------
    >>> import duckdb
    >>> connection = duckdb.connect()
    >>> _ = connection.execute("SET GLOBAL TimeZone = 'UTC'; CREATE TABLE trial AS SELECT 3 AS hours")
    >>> warehouse = Warehouse(connection, dialect="duckdb")
    >>> table = warehouse.table("trial")
    >>> warehouse.query("SELECT sum(hours) AS hours FROM trial")
    {'hours': array([3])}
    """

    __slots__ = ("_columns", "_connection", "_dialect", "_driver", "_parts")

    def __init__(self, connection: Any, *, dialect: str) -> None:  # noqa: ANN401 - any driver's connection
        if dialect not in _ZONE:
            raise DataError(f"dialect {dialect!r} is not known", advice=nearest(dialect, list(_ZONE)))
        self._connection, self._dialect = connection, dialect
        self._driver = _driver_of(connection)
        self._columns: dict[str, dict[str, str]] = {}
        self._parts: dict[str, tuple[str, ...]] = {}
        self._check_session()

    def _check_session(self) -> None:
        zone = str(self._rows(_ZONE[self._dialect])[1][0][0])
        if zone not in _UTC:
            warnings.warn(
                f"the session's time zone is {zone}, not UTC: days and weeks are cut by the catalog's zone, "
                "not by the session's. Set the session to UTC to be safe.",
                CpiWarning,
                stacklevel=3,
            )
        if self._dialect == "postgres":
            digits = int(self._rows("SELECT current_setting('extra_float_digits')")[1][0][0])
            if digits < 1:
                raise DataError(
                    f"the session hands over doubles with extra_float_digits = {digits}, which rounds them",
                    advice="SET extra_float_digits = 1, its default.",
                )

    def __repr__(self) -> str:
        return f"Warehouse(dialect={self._dialect!r}, tables={list(self._columns)})"

    def table(self, name: str) -> WarehouseTable:
        """Return a table to be analysed.

        Parameters
        ----------
        name : str
            As in its SQL: ``trial``, ``sales.trial``, ``"Sales"."Trial"``.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        if name not in self._columns:
            from cpi_experiments.measure.engines.parse import table_parts  # noqa: PLC0415 - an extra

            parts = table_parts(name, self._dialect)
            found = self._rows(translate("SELECT * FROM t LIMIT 0", self._dialect, tables={"t": parts}))[0]
            check_names([each[0] for each in found], where=name)
            self._columns[name] = described_words(found, self._dialect)
            self._parts[name] = parts
        return WarehouseTable(engine=self, name=name)

    @property
    def dialect(self) -> str:
        """The dialect that it runs."""
        return self._dialect

    @property
    def names(self) -> tuple[str, ...]:
        """The tables that were asked for with `table`."""
        return tuple(self._columns)

    def columns(self, table: str) -> dict[str, str]:
        """Return the columns of a table and their types in DuckDB's words.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        return dict(self._columns[self.table(table).name])

    def query(self, sql: str, parameters: Sequence[object] = ()) -> dict[str, Array]:
        """Run a query of DuckDB's dialect and return its columns as numpy arrays.

        Missing numbers are NaN, missing texts None, missing times NaT. Times with a zone are in UTC. Whole numbers of
        more than 64 bits are exact: Python's own.

        Raises
        ------
        DataError
            If the query cannot be translated, names a table that was not asked for, or the server cannot run it.
        """
        text = translate(sql, self._dialect, tables=self._parts, kinds=known_kinds(self._columns))
        described, rows = self._rows(text, parameters)
        columns = zip(*rows, strict=True) if rows else [()] * len(described)
        return {str(each[0]): column_array(values) for each, values in zip(described, columns, strict=True)}

    def _rows(self, text: str, parameters: Sequence[object] = ()) -> tuple[list[Any], list[tuple[Any, ...]]]:
        """Send one query; return the description of its columns and its rows."""
        if parameters:
            text, values = _bound(text, [_plain(each) for each in parameters], self._driver.paramstyle)
        try:
            cursor = self._connection.cursor()
            try:
                cursor.execute(text, values) if parameters else cursor.execute(text)
                return list(cursor.description), cursor.fetchall()
            finally:
                cursor.close()
        except self._driver.Error as error:
            raise DataError(f"the server cannot run the query: {_without_secrets(error)}") from None

    def digest(self, table: str) -> str:
        """Hash of the content, whatever the order of the rows; the server reads every column for it.

        The server computes the count and the sum of a 60- or 64-bit hash of every row; SHA-256 joins them with the
        names and types of the columns. It guards against changed data, not against somebody who forges them.
        """
        columns = self.columns(table)
        from cpi_experiments.measure.engines.parse import quoted_names  # noqa: PLC0415 - an extra

        name, *listed = quoted_names([self._parts[table], *((each,) for each in columns)], self._dialect)
        if self._dialect == "postgres":  # the text of a time with a zone depends on the session's
            zoned = [kind == "TIMESTAMP WITH TIME ZONE" for kind in columns.values()]
            listed = [f"EXTRACT(EPOCH FROM {each})" if z else each for each, z in zip(listed, zoned, strict=True)]
        row = _HASH[self._dialect].format(columns=", ".join(listed))
        found = self._rows(f"SELECT count(*), {row} FROM {name}")[1][0]  # noqa: S608 - quoted
        parts = [*(str(each) for each in found), *columns, *columns.values()]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def close(self) -> None:
        """Forget the tables; the connection is yours and stays open."""
        self._columns.clear()
        self._parts.clear()


def _driver_of(connection: object) -> Any:  # noqa: ANN401 - a module
    """Find the driver's module: PEP 249 puts its errors and the style of its values there."""
    name = type(connection).__module__
    while name:
        module = sys.modules.get(name)
        if hasattr(module, "paramstyle") and hasattr(module, "Error"):
            return module
        name = name.rpartition(".")[0]
    raise DataError(
        f"a {type(connection).__name__} is not a DB-API connection",
        advice="Give what psycopg.connect(...), snowflake.connector.connect(...) or another driver returns.",
    )


def _bound(text: str, values: Sequence[object], style: str) -> tuple[str, Any]:
    """Write the places of values in the driver's style."""
    named = style in ("named", "pyformat")
    if style in ("format", "pyformat"):
        text = text.replace("%", "%%")
    pattern = {"named": r":\1", "pyformat": r"%(\1)s", "format": "%s", "qmark": "?", "numeric": ":{}"}[style]
    found = [int(number) for number in re.findall(r":cpi_value_(\d+)\b", text)]
    for number in found:
        if not 1 <= number <= len(values):
            raise DataError(f"the query has a value {number}, {len(values)} were given", advice="Give one per place.")
    if style == "numeric":
        return re.sub(r":cpi_value_(\d+)\b", r":\1", text), list(values)
    text = re.sub(r":(cpi_value_\d+)\b", pattern, text)
    listed = {f"cpi_value_{number}": values[number - 1] for number in found}
    return text, listed if named else [values[number - 1] for number in found]


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _without_secrets(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    masked: str = _SECRET.sub(lambda match: f"{match.group(1) or match.group(2)}***", (lines or ["unknown reason"])[0])
    return masked[:200]
