"""Assignment lists as files: written whole or not at all, read back exactly, every change found."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_experiments.errors import DataError
from cpi_experiments.randomized.assigning.assignment import HASH, Assignment
from cpi_experiments.randomized.assigning.hashing import positions, slices
from cpi_experiments.randomized.assigning.stratified import deal
from cpi_experiments.whole_files import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a spreadsheet may read as a formula, and the mark itself; signed whole numbers are harmless.
_FORMULA = re.compile(r"[=@\t\r'+-]")
_SIGNED = re.compile(r"[+-][0-9]+")
_VERSION = 1
_EXTRA = ("cluster", "stratum")


def write_assignment(assignment: Assignment, path: str | Path, *, unit: str = "unit") -> Path:
    """Write an assignment as CSV, and beside it ``<name>.json`` with its salt, method, allocation and digest.

    The CSV has the columns ``experiment``, the unit, ``arm``, and ``cluster`` or ``stratum`` where there are any; all
    cells are quoted. A cell that a spreadsheet could run as a formula (it begins with ``=``, ``+``, ``-``, ``@``, a
    tab, a carriage return or an apostrophe, and is no signed whole number) gets one apostrophe in front, which
    `read_assignment` takes away. Spreadsheets still drop the zeros of ``007`` and the last digits of long ids when they
    save a file; the digest finds that. The digest finds changes by accident: it is no signature.

    Parameters
    ----------
    assignment : Assignment
    path : str or Path
        An existing file is replaced in one step.
    unit : str
        Name of the column of ids.

    Returns
    -------
    Path
        Of the CSV.

    Raises
    ------
    DataError
        If the column has the name of another, or a file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> found = Assignment(experiment="demo", salt="demo", arms={"customer-1": "auto", "customer-2": "manual"},
    ...                    allocation={"manual": 1, "auto": 1})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     read_assignment(write_assignment(found, f"{folder}/demo.csv")) == found
    True
    """
    path = Path(path)
    if not assignment.allocation:
        raise DataError("an assignment without its allocation cannot be checked later", advice="Give the shares.")
    if unit in ("experiment", "arm", *_EXTRA):
        raise DataError(f"{unit!r} is the name of another column", advice="Name the column of ids otherwise.")
    header = _header(assignment, unit)
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow([_safe(name) for name in header])
    places = [of for of in (assignment.clusters, assignment.strata) if of is not None]
    for name, arm in assignment.arms.items():
        writer.writerow([_safe(cell) for cell in (assignment.experiment, name, arm, *(of[name] for of in places))])
    about = {"version": _VERSION, "unit": unit, **assignment.decided(), "units": len(assignment.arms)}
    about["digest"] = assignment.digest
    try:
        with whole_file(path) as file:
            file.write(text.getvalue().encode())
        with whole_file(beside(path)) as file:
            file.write((json.dumps(about, ensure_ascii=False, indent=1) + "\n").encode())
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}", where=path.name) from None
    return path


def beside(path: Path) -> Path:
    """Where the description of a list stands.

    Examples
    --------
    >>> beside(Path("lists/demo.csv")).name
    'demo.csv.json'
    """
    return path.with_name(f"{path.name}.json")


def read_assignment(path: str | Path) -> Assignment:
    """Read an assignment back and check it: every cell against the digest, every arm against the method.

    Parameters
    ----------
    path : str or Path
        The CSV of `write_assignment`; its ``.json`` stands beside it.

    Raises
    ------
    DataError
        If a file is missing or damaged, a unit occurs twice, an arm is not what the salt gives (the first such unit is
        named), or anything else differs from what was written.

    Examples
    --------
    See `write_assignment`.
    """
    path = Path(path)
    about = _about(beside(path))
    try:
        found, lines = _read_units(path, about)
        derived = _derived(found)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"cannot be read as a list of units ({type(error).__name__}: {error})",
            where=path.name,
            advice="It was changed or damaged: take the file that `write_assignment` wrote.",
        ) from None
    for name, arm in found.arms.items():
        if derived[name] != arm:
            raise DataError(
                f"unit {name!r} is in arm {arm!r}, but salt {found.salt!r} gives {derived[name]!r}",
                where=f"{path.name}:{lines[name]}",
                advice=f"Units or arms of this {found.method} list were changed after it was written; do not use it.",
            )
    if found.digest != about["digest"] or len(found.arms) != about["units"]:
        raise DataError(
            f"{len(found.arms):,} units do not have the digest of the {about['units']:,} that were written",
            where=path.name,
            advice="Rows or ids were changed, lost or added (a spreadsheet drops zeros of ids when it saves), or the "
            ".json was.",
        )
    return found


def _header(assignment: Assignment, unit: str) -> list[str]:
    extra = zip(_EXTRA, (assignment.clusters, assignment.strata), strict=True)
    return ["experiment", unit, "arm", *(name for name, of in extra if of is not None)]


def _safe(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) and not _SIGNED.fullmatch(cell) else cell


def _plain(cell: str) -> str:
    return cell.removeprefix("'")


def _about(path: Path) -> dict[str, Any]:
    advice = "A list is read with the .json that `write_assignment` put beside it."
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path.name, advice=advice) from None
    except ValueError:
        raise DataError("is not the description of a list", where=path.name, advice=advice) from None
    needed = ("unit", "experiment", "salt", "method", "allocation", "held_out", "details", "units", "digest")
    if not isinstance(about, dict) or about.get("version") != _VERSION or any(key not in about for key in needed):
        raise DataError("is not the description of a list, or of another version", where=path.name, advice=advice)
    return about


def _read_units(path: Path, about: dict[str, Any]) -> tuple[Assignment, dict[str, int]]:
    arms: dict[str, str] = {}
    lines: dict[str, int] = {}
    extra: dict[str, dict[str, str]] = {}
    for line, row in _rows_of(path, about["unit"]):
        name = row[about["unit"]]
        if name in arms:
            raise DataError(
                f"unit {name!r} stands in two lines, {lines[name]} and {line}",
                where=path.name,
                advice="The file was changed: a list has every unit once.",
            )
        if row["experiment"] != about["experiment"]:
            raise DataError(
                f"holds experiment {row['experiment']!r}; its .json is of {about['experiment']!r}",
                where=f"{path.name}:{line}",
                advice="One list is of one experiment.",
            )
        arms[name], lines[name] = row["arm"], line
        for column in _EXTRA:
            if column in row:
                extra.setdefault(column, {})[name] = row[column]
    found = Assignment(
        experiment=about["experiment"],
        salt=about["salt"],
        arms=arms,
        allocation=dict(about["allocation"]),
        method=about["method"],
        clusters=extra.get("cluster"),
        strata=extra.get("stratum"),
        held_out=about["held_out"],
        details=about["details"],
    )
    return found, lines


def _rows_of(path: Path, unit: str) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path.name) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = [_plain(name) for name in next(reader, [])]
    if header[:3] != ["experiment", unit, "arm"] or any(name not in _EXTRA for name in header[3:]):
        raise DataError(
            f"has the columns {', '.join(header) or 'none'}",
            where=path.name,
            advice=f"A list has experiment, {unit}, arm, and cluster or stratum where there are any.",
        )
    line = reader.line_num
    for cells in reader:
        line, start = reader.line_num, line + 1
        if len(cells) != len(header):
            raise DataError(f"has {len(cells)} cells instead of {len(header)}", where=f"{path.name}:{start}")
        yield start, {name: _plain(cell) for name, cell in zip(header, cells, strict=True)}


def _derived(found: Assignment) -> dict[str, str]:
    """Assign the same units again from what the description says."""
    names = list(found.arms)
    if found.method == HASH:
        hashed = names if found.clusters is None else [found.clusters[name] for name in names]
        return dict(zip(names, slices(positions(hashed, salt=found.salt), found.allocation), strict=True))
    if found.clusters is not None:  # dealing needs every cluster, and some may have no unit: the digest must do
        return dict(found.arms)
    strata = found.strata or dict.fromkeys(names, "")
    return deal(names, [strata[name] for name in names], found.allocation, salt=found.salt)
