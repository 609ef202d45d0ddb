"""What an engine is: tables with typed columns that answer queries; DuckDB, Spark and warehouses look the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cpi_experiments.measure.arrays import missing_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd

    Array = np.ndarray


class Engine(Protocol):
    """Where SQL runs.

    Queries are written once, in DuckDB's dialect and in its plain parts only: CAST, arithmetic, CASE, SUM, COUNT, MIN,
    MAX, AVG, bit_or, quantiles, GROUP BY, JOIN and common table expressions. An engine of another dialect translates
    them (`cpi_experiments.measure.engines.dialect.translate`), or refuses.
    """

    @property
    def dialect(self) -> str:
        """Name of the dialect that the engine runs: ``duckdb``, ``spark``, ``postgres``."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The tables."""
        ...

    def columns(self, table: str) -> dict[str, str]:
        """Return the columns of a table and their types in DuckDB's words, or raise `DataError`."""
        ...

    def type_of(self, table: str, column: str) -> str:
        """Return the type of a column in DuckDB's words.

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
        """Run a query; missing numbers are NaN, missing texts None, missing times NaT."""
        ...

    def frame(self, sql: str, parameters: Sequence[object] = ()) -> pd.DataFrame:
        """Run a query and return a DataFrame (see `query`)."""
        import pandas as pd  # noqa: PLC0415 - the path from a table to arrays needs no pandas

        return pd.DataFrame(self.query(sql, parameters))

    def repeated_rows(self, table: str) -> int:
        """Count rows that repeat another row in every column."""
        self.columns(table)
        name = '"' + table.replace('"', '""') + '"'
        n, distinct = (
            int(self.query(f"SELECT count(*) AS n FROM {rows}")["n"][0])  # noqa: S608 - quoted
            for rows in (name, f"(SELECT DISTINCT * FROM {name}) AS seen")  # noqa: S608 - quoted
        )
        return n - distinct

    def digest(self, table: str) -> str:
        """Hash of the content of a table."""
        ...

    def close(self) -> None:
        """Let go of what the engine holds."""
        ...
