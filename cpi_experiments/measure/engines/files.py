"""Files as tables: which may be read, what they hold, and plain words when one cannot be read."""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import duckdb

from cpi_experiments.errors import DataError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

_KINDS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv"}
_DELIMITERS = ",;\t|"
_GUESSED = ("BOOLEAN", "BIGINT", "HUGEINT", "DOUBLE", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "VARCHAR")
_WIDER = ({"BIGINT", "DOUBLE"}, "DOUBLE"), ({"DATE", "TIMESTAMP"}, "TIMESTAMP")
_MOST_EXPANSION, _BOMB_BYTES = 300, 100_000_000  # a bomb expands about a thousandfold, tables a hundredfold at most
_LINE = re.compile(r"CSV Error on Line: (\d+)")


def find_files(source: str | Path, *, root: Path | None = None) -> tuple[Path, ...]:
    """Resolve a path or glob to files that may be read.

    Parameters
    ----------
    source : str or Path
        CSV (``.csv``, ``.csv.gz``) or Parquet; relative paths start at ``root`` or the working folder.
    root : Path, optional
        If given, every file must lie in it, links resolved.

    Raises
    ------
    DataError
        If nothing is found, a file lies outside ``root``, is empty, or is of a kind that is not read.
    """
    text = str(source)
    if "\0" in text:
        raise DataError("a path holds a NUL character", advice="Name a CSV or Parquet file.")
    if "://" in text:
        scheme = text.split("://", 1)[0]
        raise DataError(f"a {scheme} address is not a local file", advice="Copy the data to a CSV or Parquet file.")
    path = (root or Path.cwd()) / text
    try:
        is_pattern = not path.exists() and any(sign in text for sign in "*?[")
        found = sorted(glob.glob(str(path), recursive=True)) if is_pattern else [str(path)]  # noqa: PTH207 - absolute patterns
        files = tuple(Path(name).resolve() for name in found if not is_pattern or Path(name).is_file())
    except (OSError, RuntimeError) as error:  # a name too long, a loop of links; Python 3.13 finds no file there
        raise DataError(f"no usable path ({error})", where=text, advice="Name a CSV or Parquet file.") from None
    if not files:
        raise DataError("no file matches", where=text, advice=f"Looked in {root or Path.cwd()}.")
    for file in files:
        _check_file(file, text, root)
    if len({kind_of(file) for file in files}) > 1:
        raise DataError("the pattern mixes CSV and Parquet files", where=text, advice="Use one kind per table.")
    return files


def kind_of(path: Path) -> str:
    """Return ``csv`` or ``parquet``, or refuse the file.

    Raises
    ------
    DataError
        If the extension is another one.
    """
    name = path.name.lower()
    for suffix, kind in _KINDS.items():
        if name.endswith(suffix):
            return kind
    raise DataError(
        f"unsupported file type {path.suffix or 'without extension'!r}",
        where=path.name,
        advice=f"Supported: {', '.join(_KINDS)}. Pickled files are never read: they can run code.",
    )


def _check_file(file: Path, text: str, root: Path | None) -> None:
    if root is not None and not file.is_relative_to(root.resolve()):
        raise DataError("the file lies outside the data folder", where=text, advice=f"Only files in {root} are read.")
    kind_of(file)
    if file.is_dir():
        raise DataError("this is a folder, not a file", where=text, advice="Name its files: folder/*.parquet.")
    if not file.is_file():
        siblings = [item.name for item in file.parent.iterdir()] if file.parent.is_dir() else []
        near = nearest(file.name, siblings) if siblings else ""
        raise DataError("no such file", where=text, advice=near if near.startswith("Did") else f"Looked for {file}.")
    if any(sign in str(file) for sign in "*?["):
        raise DataError("the file's path holds one of * ? [", where=text, advice="Rename the file or folder.")
    if (size := file.stat().st_size) == 0:
        raise DataError("the file is empty (0 bytes)", where=file.name, advice="Export it again.")
    if file.name.lower().endswith(".gz"):
        _check_expansion(file, size)


def _check_expansion(file: Path, size: int) -> None:
    limit = max(_BOMB_BYTES, _MOST_EXPANSION * size)
    with file.open("rb") as stream:
        head = stream.read(2)
        stream.seek(max(0, size - 4))
        stated = int.from_bytes(stream.read(4), "little")
    if head != b"\x1f\x8b" or (stated > limit and not _expands_beyond(file, limit)):
        raise DataError("is not a readable gzip file", where=file.name, advice="Export or copy it again.")
    if stated > limit:
        raise DataError(
            f"{size:,} bytes expand to more than {limit:,}, the limit is {_MOST_EXPANSION} times",
            where=file.name,
            advice="Unpack it yourself if you trust it, and name the unpacked file.",
        )


def _expands_beyond(file: Path, limit: int) -> bool:
    """Whether the file really holds that much; a cut one ends in bytes that only look like a size."""
    expanded = 0
    try:
        with gzip.open(file, "rb") as stream:
            while chunk := stream.read(1 << 20):
                expanded += len(chunk)
                if expanded > limit:
                    return True
    except (OSError, EOFError, zlib.error):
        return False
    return False


def digest_of_files(files: Sequence[Path]) -> str:
    """SHA-256 of the content of one file, or of the hashes of several in order.

    Raises
    ------
    DataError
        If a file can no longer be read.
    """
    hashes = []
    for file in files:
        try:
            with file.open("rb") as stream:
                hashes.append(hashlib.file_digest(stream, "sha256").hexdigest())
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=file.name) from None
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def literal(text: str) -> str:
    """Quote a text for SQL.

    Examples
    --------
    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


# -- what the files hold ---------------------------------------------------------------------------------------------


def scan_sql(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> str:
    """Write the SQL that reads the files as one table.

    CSV files must have one header; their types are unified, so that cutting a file in two changes nothing.

    Raises
    ------
    DataError
        If a file cannot be read or the files do not hold the same columns.
    """
    listed = ", ".join(literal(str(file)) for file in files)
    if kind_of(files[0]) == "parquet":
        _check_schemas(files, [_described(connection, f"read_parquet({literal(str(file))})", file) for file in files])
        return f"read_parquet([{listed}])"
    heads = [_header(file) for file in files]
    for file, head in zip(files[1:], heads[1:], strict=True):
        if head != heads[0]:
            raise _schema_error(files[0], dict.fromkeys(heads[0][0], ""), file, dict.fromkeys(head[0], ""))
    names, delimiter = heads[0]
    types = [_csv_types(connection, file, names, delimiter) for file in files]
    unified = {name: _unified([each[name] for each in types]) for name in names}
    columns = ", ".join(f"{literal(name)}: '{kind}'" for name, kind in unified.items())
    return f"read_csv([{listed}], auto_detect=false, columns={{{columns}}}, {_dialect(delimiter)})"


def _dialect(delimiter: str) -> str:
    # Without a date format DuckDB guesses whether 01/02/2026 is in January.
    return f"""header=true, delim={literal(delimiter)}, quote='"', escape='"', dateformat='%Y-%m-%d'"""


def _header(file: Path) -> tuple[tuple[str, ...], str]:
    opener = gzip.open if file.name.lower().endswith(".gz") else open
    try:
        with opener(file, "rb") as stream:
            line = bytes(stream.readline(1_000_000))
    except (OSError, EOFError, zlib.error):
        raise DataError("is not a readable gzip file", where=file.name, advice="Export or copy it again.") from None
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            "is not UTF-8 (byte 0 looks like UTF-16)", where=file.name, advice="Save it as UTF-8 and read it again."
        )
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise _encoding_error(file, error.start) from None
    delimiter = max(_DELIMITERS, key=lambda sign: len(next(csv.reader([text], delimiter=sign), [])))
    names = next(csv.reader([text], delimiter=delimiter), [])
    check_names(names, where=f"{file.name}:1")
    return tuple(names), delimiter


def check_names(names: Sequence[object], *, where: str) -> None:
    """Refuse column names that are empty, hold NUL, or occur twice (SQL does not see case).

    Raises
    ------
    DataError
        Naming the column.
    """
    seen: set[str] = set()
    for position, name in enumerate(names, start=1):
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            raise DataError(
                f"column {position} has no usable name ({name!r})", where=where, advice="Give every column a name."
            )
        if name.lower() in seen:
            raise DataError(f"column {name!r} occurs twice", where=where, advice="Rename one of the two.")
        seen.add(name.lower())


def _csv_types(
    connection: duckdb.DuckDBPyConnection, file: Path, names: Sequence[str], delimiter: str
) -> dict[str, str]:
    candidates = ", ".join(f"'{kind}'" for kind in _GUESSED)
    guess = f"{_dialect(delimiter)}, auto_type_candidates=[{candidates}]"
    source = literal(str(file))
    types = list(_described(connection, f"read_csv({source}, {guess})", file).values())
    if _misguessed(connection, file, types, delimiter):
        types = list(_described(connection, f"read_csv({source}, {guess}, sample_size=-1)", file).values())
        zoned = _misguessed(connection, file, types, delimiter)
        types = ["TIMESTAMPTZ" if kind == "TIMESTAMP" and i in zoned else kind for i, kind in enumerate(types)]
    if len(types) != len(names):
        raise _ragged_error(file, delimiter, len(names))
    # Integers of twenty digits are ids; doubles would merge them.
    return {name: "VARCHAR" if kind == "HUGEINT" else kind for name, kind in zip(names, types, strict=True)}


def _misguessed(connection: duckdb.DuckDBPyConnection, file: Path, types: Sequence[str], delimiter: str) -> set[int]:
    """Find the columns in which a line holds what the guessed type would refuse, or change without a word."""
    columns = ", ".join(f"c{i}: 'VARCHAR'" for i in range(len(types)))
    tests = {
        i: f"bool_or(c{i} IS NOT NULL AND (TRY_CAST(c{i} AS {kind}) IS NULL OR {_changes(kind, i)}))"
        for i, kind in enumerate(types)
        if kind != "VARCHAR"
    }
    if not tests:
        return set()
    scan = f"read_csv({literal(str(file))}, auto_detect=false, columns={{{columns}}}, {_dialect(delimiter)})"
    try:
        found = connection.execute(f"SELECT {', '.join(tests.values())} FROM {scan}").fetchall()[0]  # noqa: S608 - names are numbers, the path is quoted
    except duckdb.Error as error:
        raise_file_error(error, file, delimiter=delimiter, n_fields=len(types))
    return {i for i, wrong in zip(tests, found, strict=True) if wrong}


# What a cast would change without a word: 007 and 1.5 as whole numbers, a time as a date, a zone left out.
_SILENT = {
    "BIGINT": "NOT regexp_full_match(c{i}, '[+-]?(0|[1-9][0-9]*)')",
    "DATE": "length(c{i}) > 10",
    "TIMESTAMP": "regexp_matches(c{i}, ':[0-9.]+ ?([+-][0-9:]+|Z)$')",
}


def _changes(kind: str, i: int) -> str:
    return _SILENT.get(kind, "false").format(i=i)


def _unified(kinds: Sequence[str]) -> str:
    distinct = set(kinds)
    if len(distinct) == 1:
        return kinds[0]
    for pair, wider in _WIDER:
        if distinct <= pair:
            return wider
    if distinct <= {"DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"}:
        return "TIMESTAMPTZ"
    return "VARCHAR"


def _described(connection: duckdb.DuckDBPyConnection, scan: str, file: Path) -> dict[str, str]:
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()  # noqa: S608 - the path is quoted
    except duckdb.Error as error:
        delimiter = re.search(r"delim='(.)'", scan)
        raise_file_error(error, file, delimiter=delimiter.group(1) if delimiter else "")
    return {str(row[0]): str(row[1]) for row in rows}


def _check_schemas(files: Sequence[Path], schemas: Sequence[dict[str, str]]) -> None:
    for file, schema in zip(files[1:], schemas[1:], strict=True):
        if list(schema.items()) != list(schemas[0].items()):
            raise _schema_error(files[0], schemas[0], file, schema)


def _schema_error(first: Path, schema: dict[str, str], other: Path, other_schema: dict[str, str]) -> DataError:
    differences = [
        *(f"{name!r} only in {first.name}" for name in schema if name not in other_schema),
        *(f"{name!r} only in {other.name}" for name in other_schema if name not in schema),
        *(
            f"{name!r} is {kind} in {first.name}, {other_schema[name]} in {other.name}"
            for name, kind in schema.items()
            if other_schema.get(name, kind) != kind
        ),
    ]
    return DataError(
        f"{first.name} and {other.name} do not hold the same columns: "
        f"{'; '.join(differences[:5]) or 'the order or the separator differs'}",
        advice="Export the files of one table with the same columns, order and types.",
    )


# -- plain words -----------------------------------------------------------------------------------------------------


def raise_file_error(error: duckdb.Error, file: Path, *, delimiter: str = "", n_fields: int = 0) -> NoReturn:
    """Say in plain words why DuckDB cannot read a file.

    Raises
    ------
    DataError
        Always.
    """
    text = str(error)
    if kind_of(file) == "csv":
        start = _first_bad_byte(file)
        if start is not None:
            raise _encoding_error(file, start) from None
        if "sniffing" in text or "Number of Columns" in text:
            raise _ragged_error(file, delimiter or ",", n_fields) from None
        if "GZIP" in text.upper():
            raise DataError("is a damaged gzip file", where=file.name, advice="Export or copy it again.") from None
        line = _LINE.search(text)
        where = f"{file.name}:{line.group(1)}" if line else file.name
        raise DataError(f"cannot be read: {_first_line(text)}", where=where, advice="Correct the line.") from None
    raise DataError(
        "is not a complete Parquet file (cut off or damaged)",
        where=file.name,
        advice="Nothing was read from it. Export or copy it again.",
    ) from None


def _first_line(text: str) -> str:
    lines = [
        line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("CSV Error", "Invalid"))
    ]
    line = re.sub(r"/\S+/", "", (lines or [text.strip() or "unknown reason"])[0])
    return line[:120].rstrip(".")


def _first_bad_byte(file: Path) -> int | None:
    opener = gzip.open if file.name.lower().endswith(".gz") else open
    offset = 0
    try:
        with opener(file, "rb") as stream:
            for line in stream:
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as error:
                    return offset + error.start
                offset += len(line)
    except (OSError, EOFError, zlib.error):
        return None  # damaged: the caller says so
    return None


def _encoding_error(file: Path, start: int) -> DataError:
    return DataError(
        f"is not UTF-8: byte {start:,} looks like Latin-1 (Windows)",
        where=file.name,
        advice="Save it as UTF-8 and read it again.",
    )


def _ragged_error(file: Path, delimiter: str, n_fields: int) -> DataError:
    opener = gzip.open if file.name.lower().endswith(".gz") else open
    with opener(file, "rt", encoding="utf-8-sig", newline="") as stream:
        rows = csv.reader(stream, delimiter=delimiter)
        expected = n_fields or len(next(rows, []))
        for row in rows:
            if row and len(row) != expected:
                return DataError(
                    f"this line has {len(row)} fields, the header has {expected}",
                    where=f"{file.name}:{rows.line_num}",
                    advice=f"Fields are separated by {delimiter!r}; put fields that contain it in quotes.",
                )
    return DataError("cannot be read as CSV", where=file.name, advice="Check quotes, separators and line ends.")
