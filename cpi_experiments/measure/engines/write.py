"""Write event tables as Parquet, chunk by chunk, so that tables larger than memory can be made.

Chunks become part files beside the target; `ParquetWriter.close` joins them in order and moves the result into place
in one step, so that a reader never sees half a table.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import duckdb

from cpi_experiments.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    import numpy as np


class ParquetWriter:
    """Append chunks of equal columns to one Parquet file (zstd); nothing is visible before `close`.

    As a context manager it closes on success and leaves nothing behind on an error.

    Parameters
    ----------
    path : Path
        The file to make; an existing one is replaced in one step.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with ParquetWriter(Path(folder) / "quotes.parquet") as writer:
    ...         writer.append({"customer_id": np.array([1, 2]), "won": np.array([True, False])})
    ...         writer.append({"customer_id": np.array([3]), "won": np.array([True])})
    ...     writer.rows
    3
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._columns: tuple[str, ...] = ()
        self._parts: list[Path] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
        self._connection = duckdb.connect(config={"threads": 1})

    def append(self, chunk: Mapping[str, np.ndarray]) -> None:
        """Write one chunk.

        Parameters
        ----------
        chunk : mapping of column name to array (n,)
            Numbers, booleans, ``datetime64`` or objects that are text; NaN and NaT become missing.

        Raises
        ------
        DataError
            If the columns differ in length or from those of the first chunk.
        """
        columns = tuple(chunk)
        lengths = {name: len(values) for name, values in chunk.items()}
        if not columns or len(set(lengths.values())) != 1:
            raise DataError(f"columns of unequal length: {lengths}", where=self.path.name)
        if self._columns and columns != self._columns:
            raise DataError(
                f"columns {', '.join(columns)} differ from the first chunk",
                where=self.path.name,
                advice=f"Give {', '.join(self._columns)}, in this order.",
            )
        self._columns = columns
        part = self._folder / f"{len(self._parts):06d}.parquet"
        self._connection.register("chunk", dict(chunk))
        self._copy("SELECT * FROM chunk", part)
        self._connection.unregister("chunk")
        self._parts.append(part)
        self.rows += lengths[columns[0]]

    def close(self) -> None:
        """Join the parts in order and move the file into place.

        Raises
        ------
        DataError
            If no chunk was written.
        """
        if not self._parts:
            self.discard()
            raise DataError("no rows to write", where=self.path.name)
        whole = self._parts[0]
        if len(self._parts) > 1:
            whole = self._folder / "whole.parquet"
            parts = ", ".join(f"'{_escaped(part)}'" for part in self._parts)
            self._copy(f"SELECT * FROM read_parquet([{parts}])", whole)  # noqa: S608 - paths made here, quotes doubled
        whole.replace(self.path)
        self.discard()

    def discard(self) -> None:
        """Remove everything that is not in place yet."""
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _copy(self, query: str, path: Path) -> None:
        self._connection.execute(f"COPY ({query}) TO '{_escaped(path)}' (FORMAT parquet, COMPRESSION zstd)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def write_parquet(path: Path, chunks: Iterable[Mapping[str, np.ndarray]]) -> int:
    """Write all chunks to one Parquet file and return the number of rows.

    Raises
    ------
    DataError
        If there is no chunk, or their columns differ.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_parquet(Path(folder) / "teams.parquet", [{"team_id": np.array([1, 2])}])
    2
    """
    with ParquetWriter(path) as writer:
        for chunk in chunks:
            writer.append(chunk)
    return writer.rows


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
