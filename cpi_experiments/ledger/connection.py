"""The one place that opens ledger files: make, recognise, read without writing, write in one transaction.

Every operation opens the file and closes it again, so that at rest a ledger is one file that can be copied. One lock
for the process guards this: on POSIX, closing any handle of a file drops all locks that the process holds on it.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from cpi_experiments.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Result = TypeVar("Result")

#: Marks a SQLite file as a ledger of this toolkit ("CPIL").
APPLICATION_ID = 0x4350494C
SCHEMA_VERSION = 1
#: How long a writer waits for another one.
BUSY_SECONDS = 30.0
_MAGIC = b"SQLite format 3\0"
_ONE_AT_A_TIME = threading.RLock()

# The insert trigger also stops INSERT OR REPLACE from connections that leave recursive_triggers off.
SCHEMA = (
    """CREATE TABLE entries (
  seq INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  who TEXT NOT NULL,
  tool_version TEXT NOT NULL,
  versions TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  payload TEXT NOT NULL,
  data_digest TEXT NOT NULL,
  seed TEXT,
  supersedes INTEGER REFERENCES entries (seq),
  reason TEXT NOT NULL,
  prev_hash TEXT NOT NULL,
  hash TEXT NOT NULL
)""",
    """CREATE TRIGGER entries_insert_at_end BEFORE INSERT ON entries
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM entries)
BEGIN SELECT RAISE(ABORT, 'the ledger only grows at its end'); END""",
    """CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'rows of the ledger never change'); END""",
    """CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'rows of the ledger are never removed'); END""",
)

_READ_ONLY = (
    "the file or its folder is read-only",
    "Reading works (mode='read'). To record, get write permission for the file and its folder.",
)
_LOG_LEFT = (
    "a writer left its log (-wal) beside the file, and here it cannot be read in",
    "Copy the ledger and the files beside it to a folder that you can write to, and open it there.",
)
_BUSY = (
    "another process holds the file and did not finish in time",
    "Close what holds it (a running cpi command, a notebook, a database browser), then try again.",
)
_DAMAGED = ("the file is damaged", "Restore it from a copy; an export (JSONL) shows which rows it had.")
_CAUSES = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_PROTOCOL: _BUSY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _READ_ONLY,
    sqlite3.SQLITE_FULL: ("the disk is full", "Free some space and record again; earlier rows are intact."),
    sqlite3.SQLITE_IOERR: (
        "the disk refused to read or write (is it full?)",
        "Free some space, check the disk, and try again; earlier rows are intact.",
    ),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_ERROR: _DAMAGED,
}
_CAUSES_READING = _CAUSES | dict.fromkeys((sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN), _LOG_LEFT)


def explain(error: sqlite3.Error | UnicodeDecodeError, *, where: str, reading: bool) -> LedgerError:
    """Say a SQLite error in our words, with SQLite's own words after them."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    causes = _CAUSES_READING if reading else _CAUSES
    found, advice = causes.get(code, ("the file refused", "Run verify on the ledger."))
    outcome = "" if reading else "; nothing was recorded"
    return LedgerError(f"{found} ({error}){outcome}", where=where, advice=advice)


def recognise(path: Path, *, where: str) -> None:
    """Refuse a file that is no ledger, or one of a newer version, before SQLite touches it.

    Raises
    ------
    LedgerError
        If the path is no file, cannot be read, holds something else or was made by a newer version.
    """
    advice = "Name a file made by this toolkit, or a new one; this one was left as it is."
    if not path.is_file():
        raise LedgerError("not a ledger but a folder or a device", where=where, advice=advice)
    try:
        with _ONE_AT_A_TIME, path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise LedgerError(f"cannot be read ({error.strerror})", where=where, advice="Get read permission.") from None
    if len(header) < 100 or not header.startswith(_MAGIC):
        kind = "the file is empty" if not header else "the file holds something else"
        raise LedgerError(f"not a ledger: {kind}", where=where, advice=advice)
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise LedgerError("not a ledger but another SQLite database", where=where, advice=advice)
    _check_version(int.from_bytes(header[60:64], "big"), where)


def _check_version(version: int, where: str) -> None:
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"made by a newer version of this toolkit (ledger format {version}, known up to {SCHEMA_VERSION})",
            where=where,
            advice="Update cpi-experiments; the file was left as it is.",
        )
    if version != SCHEMA_VERSION:
        raise LedgerError(f"ledger format {version} does not exist", where=where, advice=_DAMAGED[1])


def create(path: Path, *, where: str) -> None:
    """Make an empty ledger, whole or not at all; if another process makes it first, keep the other's.

    Raises
    ------
    LedgerError
        If the file cannot be made there.
    """
    draft = path.with_name(f".ledger-{secrets.token_hex(8)}.new")
    try:
        with _ONE_AT_A_TIME, closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("PRAGMA synchronous = FULL")
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute("PRAGMA journal_mode = WAL")
        _publish(draft, path)
    except sqlite3.Error as error:
        raise explain(error, where=where, reading=False) from None
    except OSError as error:
        raise LedgerError(
            f"cannot be created ({error.strerror})", where=where, advice="Choose a local folder that you can write to."
        ) from None
    finally:
        for log in ("", "-journal", "-wal", "-shm"):
            draft.with_name(draft.name + log).unlink(missing_ok=True)


def _publish(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)  # unlike a rename, never replaces a ledger that appeared meanwhile
    except FileExistsError:
        return
    if os.name == "posix":  # only there can a folder be opened, and must be synced to keep the name
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write(path: Path, work: Callable[[sqlite3.Connection], Result], *, where: str) -> Result:
    """Run ``work`` in one transaction that holds the write lock from its first read; commit, or leave no trace.

    Raises
    ------
    LedgerError
        If the file cannot be written, with the cause.
    """
    with _ONE_AT_A_TIME:
        return _run(path, "mode=rw", lambda connection: _transact(connection, work), where=where)


def _transact(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Result]) -> Result:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    result = work(connection)
    connection.execute("COMMIT")
    return result


def read(path: Path, work: Callable[[sqlite3.Connection], Result], *, where: str) -> Result:
    """Run ``work`` on a consistent state of the file and write nothing, also where nothing can be written.

    Without a log beside it (``-wal``, ``-journal``) nobody is writing, and the file is read as immutable; should it
    change meanwhile, or when a writer is there, SQLite's own locks order the two.

    Raises
    ------
    LedgerError
        If the file cannot be read, with the cause.
    """
    with _ONE_AT_A_TIME:
        before = _state(path)
        if not before[0]:
            try:
                result = _run(path, "mode=ro&immutable=1", work, where=where)
            except LedgerError:
                if _state(path) == before:
                    raise
            else:
                if _state(path) == before:
                    return result
        return _run(path, "mode=ro", work, where=where)


def _state(path: Path) -> tuple[bool, int, int, int]:
    status = path.stat()
    logged = any(path.with_name(path.name + log).exists() for log in ("-wal", "-journal"))
    return logged, status.st_ino, status.st_size, status.st_mtime_ns


def _run(path: Path, how: str, work: Callable[[sqlite3.Connection], Result], *, where: str) -> Result:
    try:
        with closing(
            sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        ) as connection:
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda raw: raw.decode(errors="replace")  # bytes that are no text fail their hash
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA recursive_triggers = ON")
            _check_version(connection.execute("PRAGMA user_version").fetchone()[0], where)
            return work(connection)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite quotes a damaged schema as it finds it
        raise explain(error, where=where, reading=how.startswith("mode=ro")) from None
