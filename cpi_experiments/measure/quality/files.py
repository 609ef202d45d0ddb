"""Files of one table against each other: columns, kinds, levels, means, and rows that several of them hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cpi_experiments.catalog.contract import Contract
from cpi_experiments.display import percent
from cpi_experiments.measure.engine import Tables, quote
from cpi_experiments.measure.engines.files import find_files
from cpi_experiments.measure.quality.findings import Finding, QualityReport, Severity, worst_first
from cpi_experiments.measure.quality.scale import nearest_factor
from cpi_experiments.measure.quality.table import CheckedTable, checked_table, family_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cpi_experiments.measure.engines.source import Engine

_ENOUGH = 30
_MOST_LEVELS: Final = 50
_SHIFT = 0.5  # standard deviations
_MISSING_SHIFT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    name: str
    table: CheckedTable
    told: dict[tuple[str, ...], Any]


def check_files(source: str | Path, *, contract: Contract | None = None, root: Path | None = None) -> QualityReport:
    """Compare the files of one pattern with each other before they are read as one table.

    Parameters
    ----------
    source : str or Path
        Such as ``data/orders_*.csv``.
    contract : Contract, optional
        Its key says which rows are the same; its public columns may be named level by level.
    root : Path, optional
        Folder that relative paths start at and that no file may lie outside of.

    Returns
    -------
    QualityReport
        Rules: ``schema-drift``, ``kind-drift``, ``overlap``, ``scale-jump``, ``mean-drift``, ``missing-drift``,
        ``new-levels``. One file alone has no findings.

    Raises
    ------
    DataError
        If a file cannot be read; it names the file.
    """
    files, promised = find_files(source, root=root), contract or Contract()
    name = Path(source).name
    with Tables({f"file_{i}": file for i, file in enumerate(files)}) as tables:
        types = [tables.columns(f"file_{i}") for i in range(len(files))]
        shared = [column for column in types[0] if all(column in each for each in types)]
        plain = Contract(missing={c: v for c, v in promised.missing.items() if c in shared})
        seen = []
        for i, file in enumerate(files):
            checked = checked_table(tables, f"file_{i}", plain, None)
            seen.append(_File(name=file.name, table=checked, told=checked.ask(_asked(checked, shared))))
        findings = [
            *_schema(name, seen, types),
            *_overlap(name, tables, seen, shared, promised.key),
            *(each for column in shared for each in _drift(name, seen, column)),
            *_levels(name, tables, seen, shared, promised),
        ]
    rows = sum(each.table.rows for each in seen)
    return QualityReport(table=name, rows=rows, findings=worst_first(findings))


def check_unchanged(engine: Engine, table: str, *, registered: str) -> QualityReport:
    """Compare the content of a table with the hash that was registered.

    Parameters
    ----------
    engine : Engine
    table : str
    registered : str
        What ``engine.digest(table)`` was then.

    Returns
    -------
    QualityReport
        Rule ``changed-content``, an error that names both hashes.

    Examples
    --------
    >>> import pandas as pd
    >>> tables = Tables({"orders": pd.DataFrame({"hours": [1.0, 2.0]})})
    >>> check_unchanged(tables, "orders", registered=tables.digest("orders")).passed
    True
    """
    rows = int(engine.query(f"SELECT COUNT(*) AS n FROM {quote(table)}")["n"][0])  # noqa: S608 - quoted
    digest = engine.digest(table)
    changed = Finding(
        rule="changed-content",
        severity="error",
        table=table,
        rows=rows,
        of=rows,
        found=f"the content changed since it was registered: the hash was {registered}, it is {digest}",
        advice="Use the file of then, or register anew: what was seen before stays exploratory.",
    )
    return QualityReport(table=table, rows=rows, findings=() if digest == registered else (changed,))


def _asked(table: CheckedTable, columns: Sequence[str]) -> dict[tuple[str, ...], str]:
    asked: dict[tuple[str, ...], str] = {}
    for column in columns:
        asked[(column, "known")] = f"SUM(CASE WHEN {table.known(column)} THEN 1 ELSE 0 END)"
        if table.family(column) == "number" and not table.is_id(column):
            value = table.number(column)
            asked[(column, "mean")] = f"AVG({value})"
            asked[(column, "sd")] = f"STDDEV_SAMP({value})"
            asked[(column, "log")] = f"AVG(CASE WHEN {value} > 0 THEN LN({value}) END)"
    return asked


def _said(
    name: str, rule: str, column: str, *, rows: int, found: str, advice: str, severity: Severity = "warning"
) -> Finding:
    return Finding(rule=rule, severity=severity, table=name, column=column, rows=rows, found=found, advice=advice)


def _schema(name: str, seen: Sequence[_File], types: Sequence[dict[str, str]]) -> Iterator[Finding]:
    first, head = seen[0], types[0]
    for other, columns in zip(seen[1:], types[1:], strict=True):
        lost, new = [c for c in head if c not in columns], [c for c in columns if c not in head]
        if lost or new:
            parts = [
                f"{', '.join(map(repr, part))} only in {file}"
                for part, file in ((lost, first.name), (new, other.name))
                if part
            ]
            yield _said(
                name,
                "schema-drift",
                ", ".join([*lost, *new]),
                severity="error",
                rows=other.table.rows,
                found="; ".join(parts),
                advice="Export the files of one table with the same columns.",
            )
        elif list(head) != list(columns):
            yield _said(
                name,
                "schema-drift",
                "",
                severity="error",
                rows=other.table.rows,
                found=f"{other.name} holds the columns of {first.name} in another order",
                advice="Export the files of one table with the same order of columns.",
            )
        for column in (c for c in head if c in columns and head[c] != columns[c]):
            alike = family_of(head[column]) == family_of(columns[column])
            known = first.told[(column, "known")] and other.told[(column, "known")]
            yield _said(
                name,
                "kind-drift",
                column,
                severity="info" if alike or not known else "error",
                rows=other.table.rows,
                found=f"{head[column]} in {first.name}, {columns[column]} in {other.name}",
                advice="They are read as the wider kind." if alike else "Look for texts among the numbers or times.",
            )


def _overlap(
    name: str, tables: Tables, seen: Sequence[_File], shared: Sequence[str], key: Sequence[str]
) -> Iterator[Finding]:
    by = [column for column in key if column in shared] or list(shared)
    if len(seen) < 2 or not by:
        return
    several = _several(tables, len(seen), by)
    if not several:
        return
    alike = _several(tables, len(seen), shared)
    what = "keys" if key else "rows"
    told = (
        ""
        if not key
        else "; their rows are alike"
        if alike >= several
        else f"; {several - alike:,} of them with other content"
    )
    yield _said(
        name,
        "overlap",
        ", ".join(by) if key else "",
        severity="error" if key and alike < several else "warning",
        rows=several,
        found=f"{several:,} {what} occur in two or more of {len(seen)} files{told}",
        advice="The extracts overlap: count each row once, and choose the newest where they differ.",
    )


def _several(tables: Tables, n: int, columns: Sequence[str]) -> int:
    keys = [f"k{i}" for i in range(len(columns))]
    listed = ", ".join(f"CAST({quote(c)} AS VARCHAR) AS {key}" for c, key in zip(columns, keys, strict=True))
    each = " UNION ALL ".join(f"SELECT DISTINCT {listed} FROM {quote(f'file_{i}')}" for i in range(n))  # noqa: S608 - quoted
    inner = f"SELECT COUNT(*) AS n FROM ({each}) AS listed GROUP BY {', '.join(keys)} HAVING COUNT(*) > 1"  # noqa: S608 - quoted
    return int(tables.query(f"SELECT COUNT(*) AS n FROM ({inner}) AS several")["n"][0])  # noqa: S608 - quoted


def _drift(name: str, seen: Sequence[_File], column: str) -> Iterator[Finding]:
    for before, after in pairwise(seen):
        rows = after.table.rows
        if min(before.table.rows, rows) < _ENOUGH:
            continue
        lost = [1 - each.told[(column, "known")] / each.table.rows for each in (before, after)]
        if lost[1] - lost[0] > _MISSING_SHIFT:
            yield _said(
                name,
                "missing-drift",
                column,
                rows=rows,
                found=f"{percent(lost[0])} hold no value in {before.name}, {percent(lost[1])} in {after.name}",
                advice="Find out since when the column is no longer filled.",
            )
        yield from _number_drift(name, before, after, column)


def _number_drift(name: str, before: _File, after: _File, column: str) -> Iterator[Finding]:
    told = [(each.told.get((column, "log")), each.told.get((column, "mean"))) for each in (before, after)]
    (log_before, mean_before), (log_after, mean_after) = told
    rows = after.table.rows
    if log_before is not None and log_after is not None and abs(log_after - log_before) >= math.log(10):
        factor = nearest_factor(log_after - log_before, tolerance=0.3)
        yield _said(
            name,
            "scale-jump",
            column,
            rows=rows,
            found=f"from {before.name} to {after.name} the typical value changes by a factor of "
            f"{math.exp(abs(log_after - log_before)):,.0f}" + (f" ({factor} the one before)" if factor else ""),
            advice="Did the unit change (hours to minutes, euros to cents)?",
        )
        return
    spread = before.told.get((column, "sd"))
    if mean_before is None or mean_after is None or not spread:
        return
    shift = (mean_after - mean_before) / spread
    if abs(shift) > _SHIFT:
        yield _said(
            name,
            "mean-drift",
            column,
            severity="info",
            rows=rows,
            found=f"from {before.name} to {after.name} the mean moves by {shift:+.1f} standard deviations",
            advice="Is it another population, another season, or another way to measure?",
        )


def _levels(
    name: str, tables: Tables, seen: Sequence[_File], shared: Sequence[str], contract: Contract
) -> Iterator[Finding]:
    private = {*contract.key, contract.entity, *contract.same_as, *contract.same_as.values()}
    texts = [c for c in shared if c not in private and all(each.table.family(c) == "text" for each in seen)]
    for column in texts:
        known: set[str] = set()
        for i, file in enumerate(seen):
            sql = f"SELECT DISTINCT TRIM({quote(column)}) AS level FROM {quote(f'file_{i}')} WHERE {file.table.known(column)} LIMIT {_MOST_LEVELS + 1}"  # noqa: S608, E501 - quoted
            levels = set(tables.query(sql)["level"])
            if len(levels) > _MOST_LEVELS:
                break
            new = sorted(levels - known)
            if i and new:
                words = f": {', '.join(map(repr, new[:5]))}" if column in contract.public else ""
                yield _said(
                    name,
                    "new-levels",
                    column,
                    severity="info",
                    rows=file.table.rows,
                    found=f"{len(new):,} levels occur in {file.name} that no earlier file holds{words}",
                    advice="Is it a new level, or another spelling?",
                )
            known |= levels
