"""The ledger: append, read, verify."""

from __future__ import annotations

import getpass
import importlib.metadata
import platform
import sqlite3
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from cpi_experiments.errors import LedgerError
from cpi_experiments.ledger import connection
from cpi_experiments.ledger.chain import (
    COLUMNS,
    GENESIS,
    Finding,
    Head,
    Row,
    as_row,
    canonical,
    check_chain,
    clean_string,
    seal,
)
from cpi_experiments.ledger.export import write_export

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

#: Longest payload: a ledger holds results, not data.
MOST_CHARACTERS = 50_000_000
_PACKAGES = ("cpi-experiments", "numpy", "scipy", "duckdb")
_NAMES = ", ".join(COLUMNS)
_INSERT = f"INSERT INTO entries ({_NAMES}) VALUES ({', '.join('?' for _ in COLUMNS)})"  # noqa: S608 - constants only
_SELECT = f"SELECT {_NAMES} FROM entries"  # noqa: S608 - constants only


class Ledger:
    """Append-only rows in one SQLite file, chained by SHA-256; knows no nouns of the toolkit.

    Rows are never changed: a correction is a new row that names the one it supersedes. Every call opens the file and
    closes it, so many processes and threads may record at once, and between calls the ledger is one file that can be
    copied (only a killed writer or a full disk leaves a log, ``-wal``, beside it until the next row). It belongs on a
    local disk: SQLite's log needs all processes on one machine.

    Parameters
    ----------
    path : str or Path
        The file. Symbolic links are followed; errors show where they lead.
    mode : {"append", "read"}, optional
        ``append`` makes the file, in an existing folder, if there is none; ``read`` never writes.

    Raises
    ------
    LedgerError
        If the file is no ledger, was made by a newer version, is absent (``read``) or cannot be written (``append``).

    References
    ----------
    Haber, S. and Stornetta, W. S. (1991). How to time-stamp a digital document. Journal of Cryptology 3, 99-111.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Ledger(f"{folder}/ledger.sqlite") as ledger:
    ...     row = ledger.append("note", "quote_hours", {"text": "first"})
    ...     again = ledger.append("note", "quote_hours", {"text": "better"}, supersedes=1, reason="a slip")
    ...     [row.seq, again.prev_hash == row.hash, ledger.head().count, ledger.verify()]
    [1, True, 2, ()]
    """

    def __init__(self, path: str | Path, *, mode: Literal["append", "read"] = "append") -> None:
        if mode not in ("append", "read"):
            raise LedgerError(f"mode {mode!r} does not exist", advice="Use 'append' or 'read'.")
        self.mode = mode
        self.path = _resolve(path)
        self._closed = False
        given = Path(path)
        self._where = str(given) if given.absolute() == self.path else f"{given} (that is {self.path})"
        if not self._exists():
            self._create()
        connection.recognise(self.path, where=self._where)
        access = connection.write if mode == "append" else connection.read
        access(self.path, _touch, where=self._where)  # what cannot be used is found before anything is computed

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r}, mode={self.mode!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the use of this object; the file itself is closed after every call."""
        self._closed = True

    def append(  # noqa: PLR0913 - the columns that a caller may fill
        self,
        action: str,
        subject: str,
        payload: Mapping[str, Any],
        *,
        who: str = "",
        reason: str = "",
        supersedes: int | None = None,
        data_digest: str = "",
        seed: int | None = None,
    ) -> Row:
        """Record one row; when this returns, the row is on the disk.

        Parameters
        ----------
        action, subject : str
            What was done, and to what; neither empty.
        payload : mapping
            Plain JSON content (see `cpi_experiments.display.plain`); a NaN is an error, not a hole.
        who : str, optional
            Name added to the user of the operating system.
        reason : str, optional
            Why; required with ``supersedes``.
        supersedes : int, optional
            Earlier row that this one corrects.
        data_digest : str, optional
            Hash of the data behind the payload.
        seed : int, optional
            Seed of the random numbers.

        Returns
        -------
        Row
            The row as recorded, with its time and hash.

        Raises
        ------
        LedgerError
            If the content cannot be recorded or the file cannot be written; then nothing was recorded.
        """
        if self.mode == "read":
            raise LedgerError(
                "opened for reading; nothing was recorded", where=self._where, advice="Use mode='append'."
            )
        draft = {
            "who": clean_string(_signature(who), name="who"),
            "tool_version": _versions()["cpi-experiments"],
            "versions": canonical(_versions(), name="versions"),
            "action": _named(action, name="action"),
            "subject": _named(subject, name="subject"),
            "payload": _payload_text(payload),
            "data_digest": clean_string(data_digest, name="data_digest"),
            "seed": None if seed is None else canonical(_integer(seed, name="seed"), name="seed"),
            "supersedes": _corrected(supersedes, reason),
            "reason": clean_string(reason, name="reason"),
        }
        where = self._open_where()
        return connection.write(self.path, lambda link: _insert(link, draft, where), where=where)

    def rows(self, *, action: str = "", subject: str = "") -> tuple[Row, ...]:
        """Return the rows in order, all of them or those of one action or subject; `verify` says if they are sound.

        Parameters
        ----------
        action, subject : str, optional
            Exact words; empty for all.

        Raises
        ------
        LedgerError
            If the file or a row cannot be read.
        """
        wanted = {"action": clean_string(action, name="action"), "subject": clean_string(subject, name="subject")}
        kept = [name for name, value in wanted.items() if value]
        condition = " AND ".join(f"{name} = ?" for name in kept) or "1"
        query = f"{_SELECT} WHERE {condition} ORDER BY seq"
        where = self._open_where()
        found = connection.read(
            self.path, lambda link: link.execute(query, [wanted[name] for name in kept]).fetchall(), where=where
        )
        return tuple(as_row(record, where=where) for record in found)

    def head(self) -> Head:
        """Return the number of rows and the last hash; printed in a report it anchors the ledger outside.

        Raises
        ------
        LedgerError
            If the last row was changed or the number of rows is not its place.
        """
        where = self._open_where()
        return connection.read(self.path, lambda link: _head(link, where), where=where)

    def verify(self, *, anchor: Head | None = None) -> tuple[Finding, ...]:
        """Derive every hash again, look for gaps, check the file's structure, and compare with an anchor.

        Parameters
        ----------
        anchor : Head, optional
            Head that an earlier report or export printed. Removing the last rows leaves a sound chain: only an anchor
            shows it.

        Returns
        -------
        tuple of Finding
            Empty if all is intact; otherwise each names its row.
        """
        return connection.read(self.path, lambda link: _inspect(link, anchor), where=self._open_where())

    def export_jsonl(self, path: str | Path) -> Head:
        """Write all rows as JSON lines, a mirror for version control, and return the head as anchor.

        Parameters
        ----------
        path : str or Path
            The mirror. An earlier mirror of this ledger is brought up to date; any other file is left as it is.

        Raises
        ------
        LedgerError
            If the ledger is not intact, or the mirror holds something that the ledger does not.
        """
        findings = self.verify()
        if findings:
            raise LedgerError(
                f"not exported: {len(findings)} finding(s), first {findings[0]}",
                where=self._where,
                advice="Run verify.",
            )
        rows = self.rows()
        write_export(rows, _resolve(path), where=str(path))
        return Head(count=len(rows), hash=rows[-1].hash if rows else GENESIS)

    def _open_where(self) -> str:
        if self._closed:
            raise LedgerError("this ledger was closed", where=self._where, advice="Open it again.")
        if not self.path.is_file():
            raise LedgerError("the ledger is gone", where=self._where, advice="Restore the file from a copy.")
        return self._where

    def _exists(self) -> bool:
        try:
            self.path.lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise LedgerError(
                f"cannot be opened ({error.strerror})", where=self._where, advice="Check the path."
            ) from None
        return True

    def _create(self) -> None:
        if not self.path.parent.is_dir():
            raise LedgerError(
                f"folder {self.path.parent} does not exist",
                where=self._where,
                advice="Make the folder, or check the path.",
            )
        if self.mode == "read":
            raise LedgerError("there is no ledger", where=self._where, advice="Check the path.")
        connection.create(self.path, where=self._where)


def _resolve(path: str | Path) -> Path:
    try:
        found = Path(path).resolve()
        looped = found.is_symlink()  # Python 3.13 leaves a loop of links as it is, those before raise
    except (OSError, RuntimeError, TypeError, ValueError) as error:  # a NUL in the name, a name too long
        raise LedgerError(f"{str(path)!r} is no usable path ({error})", advice="Name a file.") from None
    if looped:
        raise LedgerError(f"{str(path)!r} is no usable path (a loop of links)", advice="Name a file.")
    return found


# -- one row ---------------------------------------------------------------------------------------------------------


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def _signature(name: str) -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may run under a number without a name
        user = "unknown user"
    return f"{user} ({name})" if name else user


def _named(text: str, *, name: str) -> str:
    cleaned = clean_string(text, name=name)
    if not cleaned.strip():
        raise LedgerError(f"{name} is empty; nothing was recorded", advice=f"Say the {name} in a word.")
    return cleaned


def _payload_text(payload: Mapping[str, Any]) -> str:
    text = canonical(payload)
    if not text.startswith("{"):
        raise LedgerError(
            f"the payload is a {type(payload).__name__}; nothing was recorded",
            advice="Record a dict, such as {'rows': ...}.",
        )
    if len(text) > MOST_CHARACTERS:
        raise LedgerError(
            f"the payload has {len(text):,} characters, allowed are {MOST_CHARACTERS:,}; nothing was recorded",
            advice="Record results, and the digest of the data instead of the data.",
        )
    return text


def _integer(number: object, *, name: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise LedgerError(
            f"{name} is {number!r}, not an integer; nothing was recorded", advice="Pass a Python integer or None."
        )
    return int(number)


def _corrected(supersedes: int | None, reason: str) -> int | None:
    if supersedes is None:
        return None
    if not clean_string(reason, name="reason").strip():
        raise LedgerError(
            f"row {supersedes} is to be superseded without a reason; nothing was recorded",
            advice="Say why in `reason`.",
        )
    return _integer(supersedes, name="supersedes")


def _touch(link: sqlite3.Connection) -> None:
    link.execute("SELECT seq FROM entries LIMIT 1").fetchone()


def _head(link: sqlite3.Connection, where: str) -> Head:
    count = link.execute("SELECT count(*) FROM entries").fetchone()[0]
    last = link.execute(f"{_SELECT} ORDER BY seq DESC LIMIT 1").fetchone()
    if last and (last["seq"] != count or seal(last) != last["hash"]):
        raise LedgerError(
            "rows were changed or removed; nothing was recorded",
            where=where,
            advice="Run verify and restore the file from a copy.",
        )
    return Head(count=count, hash=last["hash"] if last else GENESIS)


def _insert(link: sqlite3.Connection, draft: Mapping[str, Any], where: str) -> Row:
    head = _head(link, where)
    corrected = draft["supersedes"]
    if corrected is not None and corrected not in range(1, head.count + 1):
        raise LedgerError(
            f"row {corrected} cannot be superseded: there is no such row; nothing was recorded",
            where=where,
            advice=f"The ledger has rows 1 to {head.count}." if head.count else "The ledger is empty.",
        )
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    record = {**draft, "seq": head.count + 1, "at": now, "prev_hash": head.hash}
    record["hash"] = seal(record)
    link.execute(_INSERT, [record[name] for name in COLUMNS])
    return as_row(record, where=where)


def _inspect(link: sqlite3.Connection, anchor: Head | None) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    try:
        answers = [answer[0] for answer in link.execute("PRAGMA integrity_check(10)")]
        findings += [Finding(seq=0, problem=f"structure: {text}") for text in answers if text != "ok"]
        schema = {text[0] for text in link.execute("SELECT sql FROM sqlite_master")}
        if schema != set(connection.SCHEMA):
            findings.append(Finding(seq=0, problem="the table or the rules that keep it append-only were changed"))
        findings += check_chain(link.execute(f"{_SELECT} ORDER BY seq"), anchor=anchor)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        findings.append(Finding(seq=0, problem=f"the rows cannot be read through: {error}"))
    return tuple(findings)
