"""Tables for spreadsheets and machines: numbers at full precision, text that no spreadsheet runs as a formula."""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_experiments.display import clean_text, columns_of, plain
from cpi_experiments.report.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.report.review import Review
    from cpi_experiments.report.scorecard_rows import ScoreTableRow
    from cpi_experiments.report.sections import CharterRow, VerdictRow

#: Raised when a field of ``review.json`` changes its meaning or goes away.
SCHEMA_VERSION = 1

_STARTS_FORMULA = frozenset("=+-@")
_INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")


def guard(text: str) -> str:
    r"""Put an apostrophe before text that a spreadsheet would read as a formula.

    Examples
    --------
    >>> guard("=1+1"), guard(" @SUM(A1)"), guard("Fast Quote")
    ("'=1+1", "' @SUM(A1)", 'Fast Quote')
    """
    shown = clean_text(text)
    seen = unicodedata.normalize("NFKC", shown)
    first = next((char for char in seen if unicodedata.category(char) not in _INVISIBLE), "")
    risky = first in _STARTS_FORMULA if first else False
    return f"'{shown}" if risky or shown.startswith(("\t", "\r")) else shown


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return repr(value)
    return guard(str(plain(value)))


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path | str) -> Path:
    """Write rows as CSV in UTF-8; NaN is an empty cell, an infinite end is ``inf``.

    Parameters
    ----------
    rows : sequence of mapping
    path : Path or str

    Raises
    ------
    ReportError
        If the file cannot be written.
    """
    names = columns_of(rows)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([guard(name) for name in names])
    writer.writerows([[_cell(row.get(name)) for name in names] for row in rows])
    return write_whole(buffer.getvalue().encode("utf-8"), Path(path))


def _as_mapping(row: VerdictRow | CharterRow | ScoreTableRow) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row) if field.name not in ("symbol", "digits")}


def write_tables(review: Review, folder: Path | str) -> tuple[Path, ...]:
    """Write ``verdicts.csv``, ``charter.csv`` and, if indicators were measured, ``scorecard.csv``; return the paths."""
    home = Path(folder)
    tables: dict[str, Sequence[VerdictRow | CharterRow | ScoreTableRow]] = {
        "verdicts.csv": review.verdicts,
        "charter.csv": review.charter,
        "scorecard.csv": review.scores,
    }
    return tuple(
        write_csv([_as_mapping(row) for row in rows], home / name)
        for name, rows in tables.items()
        if rows or name != "scorecard.csv"
    )


def write_json(review: Review, path: Path | str) -> Path:
    """Write the whole review as JSON: ``schema_version``, then its fields; NaN is null, infinite ends are text."""
    content = {"schema_version": SCHEMA_VERSION, **review.to_dict()}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    return write_whole(text.encode("utf-8"), Path(path))
