"""The ledger as JSON lines: a mirror for version control, and a check that needs no database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_experiments.display import plain
from cpi_experiments.errors import LedgerError
from cpi_experiments.ledger.chain import COLUMNS, Finding, Head, Row, canonical, check_chain
from cpi_experiments.whole_files import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_export(rows: Sequence[Row], path: Path, *, where: str) -> None:
    """Write rows as JSON lines, whole or not at all, and only over an earlier state of the same rows.

    Raises
    ------
    LedgerError
        If the file there holds anything else, or cannot be written.
    """
    content = "".join(f"{canonical(plain(row), name='row')}\n" for row in rows).encode()
    try:
        if path.exists() and not content.startswith(path.read_bytes()):
            raise LedgerError(
                "the file there is not an earlier export of this ledger; it was left as it is",
                where=where,
                advice="If it is an export, rows are missing here: compare the two. Otherwise choose another name.",
            )
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise LedgerError(
            f"the export cannot be written ({error.strerror})",
            where=where,
            advice="Choose a folder that you can write to.",
        ) from None


def check_export(path: str | Path, *, anchor: Head | None = None) -> tuple[Finding, ...]:
    """Derive every hash of an export again.

    Parameters
    ----------
    path : str or Path
        File written by `Ledger.export_jsonl`.
    anchor : Head, optional
        Head that an earlier report or export printed.

    Returns
    -------
    tuple of Finding
        Empty if the export is intact; a torn last line is one finding.

    Raises
    ------
    LedgerError
        If the file cannot be read.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except (OSError, ValueError) as error:
        raise LedgerError(f"the export cannot be read ({error})", where=str(path), advice="Check the path.") from None
    findings, records = [], []
    for number, line in enumerate(lines[:-1], start=1):
        record = _parse(line)
        if record is None:
            findings.append(Finding(seq=number, problem=f"line {number} is not a row of a ledger"))
        else:
            records.append(record)
    if lines[-1]:
        findings.append(Finding(seq=len(lines), problem=f"line {len(lines)} is torn: the export was cut off"))
    return (*findings, *check_chain(records, anchor=anchor))


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
        if set(record) != set(COLUMNS) or type(record["seq"]) is not int:
            return None
        record["versions"] = canonical(record["versions"])
        record["payload"] = canonical(record["payload"])
        record["seed"] = None if record["seed"] is None else canonical(record["seed"])
    except (TypeError, ValueError, RecursionError, LedgerError):
        return None
    return record  # type: ignore[no-any-return]  # json.loads is untyped; its keys were just checked
