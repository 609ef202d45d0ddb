"""A DuckDB that can read the named files and do nothing else, and its errors in plain words."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import weakref
from typing import TYPE_CHECKING, Any, NoReturn

import duckdb

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engines.files import literal, raise_file_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Only a file that is not what it says raises these.
_DAMAGE = re.compile(r"TProtocol|[Pp]arquet|decompress|[Cc]orrupt|magic|GZIP|CSV Error|IO Error")


def open_locked(
    owner: object, files: Sequence[Path], *, memory_limit: str, threads: int
) -> tuple[duckdb.DuckDBPyConnection, Any]:
    """Open an in-memory database that can read these files only.

    Raises
    ------
    DataError
        If the memory limit or the threads cannot be used.
    """
    if files:
        connection, spill = _locked(files, memory_limit, threads)
        return connection, weakref.finalize(owner, _close, connection, spill)
    # Tables in memory share one database a process: opening one takes longer than most questions. What is registered
    # and viewed through a cursor is seen by that cursor alone.
    shared = (os.getpid(), memory_limit, int(threads))
    if shared not in _SHARED:
        connection, spill = _locked(files, memory_limit, threads)
        _SHARED[shared] = connection
        atexit.register(shutil.rmtree, spill, ignore_errors=True)
    cursor = _SHARED[shared].cursor()
    return cursor, weakref.finalize(owner, cursor.close)


_SHARED: dict[tuple[int, str, int], duckdb.DuckDBPyConnection] = {}


def _locked(files: Sequence[Path], memory_limit: str, threads: int) -> tuple[duckdb.DuckDBPyConnection, str]:
    connection = duckdb.connect(":memory:")
    spill = tempfile.mkdtemp(prefix="cpi-")
    listed = ", ".join(literal(str(file)) for file in files)
    settings = (
        # The allowed paths first: they cannot be given once external access is off.
        f"allowed_paths=[{listed}]",
        "autoinstall_known_extensions=false",
        "autoload_known_extensions=false",
        "allow_community_extensions=false",
        "python_enable_replacements=false",
        "allow_persistent_secrets=false",
        f"memory_limit={literal(memory_limit)}",
        f"threads={int(threads)}",
        f"temp_directory={literal(spill)}",
        "TimeZone='UTC'",
        "enable_external_access=false",
        "lock_configuration=true",
    )
    for setting in settings:
        try:
            connection.execute(f"SET {setting}")
        except duckdb.Error:
            _close(connection, spill)
            raise DataError(
                f"the engine refuses {setting.split('=')[0]}", advice='Write memory limits like "4GB", threads from 1.'
            ) from None
    return connection, spill


def _close(connection: duckdb.DuckDBPyConnection, spill: str) -> None:
    connection.close()
    shutil.rmtree(spill, ignore_errors=True)


def raise_query_error(error: duckdb.Error, files: Mapping[str, Sequence[Path]]) -> NoReturn:
    """Say in plain words why a query failed.

    Raises
    ------
    DataError
        Always.
    """
    text = str(error)
    if isinstance(error, duckdb.OutOfMemoryException):
        raise DataError(
            "the query needs more memory than its limit",
            advice="Raise memory_limit, read fewer columns, or store the table as Parquet sorted by customer.",
        ) from None
    if isinstance(error, duckdb.PermissionException):
        raise DataError("only the declared tables can be read", advice="Add the file to the data sources.") from None
    known = [file for each in files.values() for file in each]
    named = [file for file in known if str(file) in text] or known[:1] * (len(known) == 1)
    if named and _DAMAGE.search(text):
        raise_file_error(error, named[0])
    if known and _DAMAGE.search(text):
        raise DataError("a file is damaged", where=", ".join(files), advice="Export or copy them again.") from None
    raise DataError(f"the query cannot run: {text.splitlines()[0][:200]}") from None
