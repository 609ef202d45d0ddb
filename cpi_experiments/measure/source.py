"""What an engine is: tables with typed columns that answer queries; DuckDB, Spark and warehouses look the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd

    Array = np.ndarray


class Engine(Protocol):
    """Where SQL runs.

    Queries are written once, in DuckDB's dialect and in its plain parts only: CAST, arithmetic, CASE, SUM, COUNT, MIN,
    MAX, AVG, bit_or, GROUP BY, JOIN and common table expressions. An engine of another dialect translates them.
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
        """Return the type of a column in DuckDB's words, or raise `DataError` naming the nearest."""
        ...

    def query(self, sql: str, parameters: Sequence[object] = ()) -> dict[str, Array]:
        """Run a query; missing numbers are NaN, missing texts None, missing times NaT."""
        ...

    def frame(self, sql: str, parameters: Sequence[object] = ()) -> pd.DataFrame:
        """Run a query and return a DataFrame."""
        ...

    def repeated_rows(self, table: str) -> int:
        """Count rows that repeat another row in every column."""
        ...

    def digest(self, table: str) -> str:
        """Hash of the content of a table."""
        ...

    def close(self) -> None:
        """Let go of what the engine holds."""
        ...
