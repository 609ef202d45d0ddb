"""A DuckDB relation of the caller as an engine of one table: queries run where it lives, nothing is copied."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from cpi_experiments.errors import DataError, nearest
from cpi_experiments.measure.arrays import digest_of_frame, plain_array, wanted_columns
from cpi_experiments.measure.engines.lock import raise_query_error
from cpi_experiments.measure.engines.source import Engine

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray

_AS_TEXT = ("ENUM", "UUID", "HUGEINT", "UHUGEINT")  # numpy has no array for these, or not an exact one


class RelationTable(Engine):
    """Some columns of a relation as a table; see `cpi_experiments.measure.engines.source.Engine`.

    The table has a name that no other one has: DuckDB takes a table of the caller for the relation if both have one
    name.

    Parameters
    ----------
    relation : DuckDBPyRelation
        Its connection keeps its own settings: that of the time zone, for example.
    columns : sequence of str
        Columns that must be there.
    optional : sequence of str
        Columns that are kept if they are there.

    Raises
    ------
    DataError
        If a column is missing or occurs twice.

    Examples
    --------
    >>> import duckdb
    >>> relation = duckdb.sql("SELECT range AS hours FROM range(4)")
    >>> engine = RelationTable(relation, ["hours"])
    >>> engine.query(f"SELECT count(*) AS n, max(hours) AS most FROM {engine.names[0]}")
    {'n': array([4]), 'most': array([3])}
    """

    __slots__ = ("_columns", "_name", "_relation")

    def __init__(
        self, relation: duckdb.DuckDBPyRelation, columns: Sequence[str], *, optional: Sequence[str] = ()
    ) -> None:
        wanted = wanted_columns(list(relation.columns), columns, optional, where="relation")
        kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
        self._columns = {name: "VARCHAR" if kinds[name].startswith(_AS_TEXT) else kinds[name] for name in wanted}
        chosen = []
        for name in wanted:
            column = duckdb.ColumnExpression(name)
            chosen.append(column.cast("VARCHAR").alias(name) if kinds[name].startswith(_AS_TEXT) else column)
        self._relation = relation.select(*chosen)
        self._name = f"cpi_{uuid.uuid4().hex}"

    @property
    def dialect(self) -> str:
        """The dialect that it runs."""
        return "duckdb"

    @property
    def names(self) -> tuple[str, ...]:
        """The table."""
        return (self._name,)

    def columns(self, table: str) -> dict[str, str]:
        """Return the columns of the table and their DuckDB types.

        Raises
        ------
        DataError
            If it is not the table.
        """
        if table != self._name:
            raise DataError(f"table {table!r} is missing", advice=nearest(table, [self._name]))
        return dict(self._columns)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> dict[str, Array]:
        """Run a query and return its columns as numpy arrays (see `Engine.query`).

        Raises
        ------
        DataError
            If there are parameters, which relations do not take, or DuckDB cannot run the query.
        """
        if parameters:
            raise DataError(
                "a query with values cannot run on a relation", where="relation", advice="Open it with Tables."
            )
        try:
            found: Any = self._relation.query(self._name, sql)
            arrays = found.fetchnumpy()
        except duckdb.Error as error:
            raise_query_error(error, {})
        return {name: plain_array(np.asanyarray(values)) for name, values in arrays.items()}

    def digest(self, table: str) -> str:
        """SHA-256 of the content; it is fetched for that.

        Raises
        ------
        DataError
            If it is not the table.
        """
        listed = ", ".join('"' + name.replace('"', '""') + '"' for name in self.columns(table))
        return digest_of_frame(self.frame(f"SELECT {listed} FROM {table}"))  # noqa: S608 - quoted

    def close(self) -> None:
        """Do nothing: the relation and its connection are the caller's."""
