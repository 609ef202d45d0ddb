"""Keys, ids and references: what is double, what has two names, what leads nowhere, and joins that inflate rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cpi_experiments.display import percent
from cpi_experiments.errors import DataError
from cpi_experiments.measure.arrays import missing_column
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.quality.findings import Finding, QualityReport, share_text, worst_first
from cpi_experiments.measure.quality.table import family_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.measure.quality.table import CheckedTable

_FEW_COLUMNS = 5  # rows of fewer columns are alike by chance


def key_findings(table: CheckedTable) -> Iterator[Finding]:
    """Judge keys, repeated rows, double ids and references."""
    yield from _double_keys(table)
    yield from _repeated(table)
    yield from _same_but_for_key(table)
    yield from _two_ids(table)
    yield from _references(table)


def _double_keys(table: CheckedTable) -> Iterator[Finding]:
    key = table.contract.key
    if not key:
        return
    listed, known = ", ".join(quote(c) for c in key), " AND ".join(f"({table.known(c)})" for c in key)
    inner = f"SELECT COUNT(*) AS n FROM {quote(table.name)} WHERE {known} GROUP BY {listed} HAVING COUNT(*) > 1"  # noqa: S608 - quoted
    found = table.engine.query(f"SELECT COUNT(*) AS keys, SUM(n) AS total FROM ({inner}) AS doubled")  # noqa: S608 - quoted
    keys = int(found["keys"][0])
    if keys:
        rows = int(found["total"][0])
        yield table.finding(
            "double-key",
            ", ".join(key),
            severity="error",
            rows=rows,
            found=f"{keys:,} keys occur more than once, in {share_text(rows, table.rows)}",
            advice="A join would inflate rows: choose one row a key, or add the column that tells them apart.",
        )


def _repeated(table: CheckedTable) -> Iterator[Finding]:
    rows, contract = table.engine.repeated_rows(table.name), table.contract
    if not rows or contract.repeated_rows == "events":
        if rows:
            yield Finding(
                rule="repeated-rows",
                severity="info",
                table=table.name,
                rows=rows,
                of=table.rows,
                found=f"{share_text(rows, table.rows)} repeat another row in every column",
                advice="They are kept: the contract says that they are events without an id.",
            )
        return
    many = contract.repeated_rows != "copies" and rows > max(1, contract.limits.repeated * table.rows)
    yield Finding(
        rule="repeated-rows",
        severity="error" if many else "warning",
        table=table.name,
        rows=rows,
        of=table.rows,
        found=f"{share_text(rows, table.rows)} repeat another row in every column",
        advice="Say what they are: `repeated_rows: copies` (count once) or `repeated_rows: events` (count each)."
        if many
        else "They count once.",
        reason="repeated rows",
        set_aside=rows,
    )


def _same_but_for_key(table: CheckedTable) -> Iterator[Finding]:
    others = [column for column in table.types if column not in table.contract.key]
    if not table.contract.key or len(others) < _FEW_COLUMNS:
        return
    listed = ", ".join(quote(c) for c in others)
    sql = f"SELECT COUNT(*) AS n FROM (SELECT DISTINCT {listed} FROM {quote(table.name)}) AS apart"  # noqa: S608 - quoted
    rows = table.rows - int(table.engine.query(sql)["n"][0])
    if rows:
        yield Finding(
            rule="same-but-for-key",
            severity="info",
            table=table.name,
            rows=rows,
            of=table.rows,
            found=f"{share_text(rows, table.rows)} repeat another row in everything but the key",
            advice="Nothing is dropped. They may be one thing that was entered twice.",
        )


def _two_ids(table: CheckedTable) -> Iterator[Finding]:
    for one, other in table.contract.same_as.items():
        for column, partner in ((one, other), (other, one)):
            known = f"({table.known(column)}) AND ({table.known(partner)})"
            inner = f"SELECT {quote(column)} FROM {quote(table.name)} WHERE {known} GROUP BY {quote(column)} HAVING MIN({quote(partner)}) <> MAX({quote(partner)})"  # noqa: S608, E501 - quoted
            counted = f"SELECT COUNT(DISTINCT {quote(column)}) AS every FROM {quote(table.name)} WHERE {known}"  # noqa: S608 - quoted
            several = int(table.engine.query(f"SELECT COUNT(*) AS n FROM ({inner}) AS several")["n"][0])  # noqa: S608 - quoted
            every = int(table.engine.query(counted)["every"][0])
            if several:
                bad = several > table.contract.limits.same_as * every
                yield Finding(
                    rule="two-ids",
                    severity="error" if bad else "warning",
                    table=table.name,
                    column=f"{column}, {partner}",
                    rows=several,
                    of=every,
                    found=f"{several:,} of {every:,} values of {column} go with several values of {partner}",
                    advice=f"Count persons by {column}, never by {partner}.",
                )


def _references(table: CheckedTable) -> Iterator[Finding]:
    for column, (other, theirs) in table.contract.foreign.items():
        if other not in table.engine.names:
            yield table.finding(
                "not-checked",
                column,
                severity="info",
                rows=0,
                found=f"table {other!r} is not here, so references to it were not checked",
                advice="Check the tables of one project together.",
            )
            continue
        table.engine.type_of(other, theirs)
        sql = (
            f"SELECT COUNT(*) AS n FROM {quote(table.name)} AS mine LEFT JOIN "  # noqa: S608 - quoted
            f"(SELECT DISTINCT CAST({quote(theirs)} AS VARCHAR) AS id FROM {quote(other)}) AS theirs "
            f"ON CAST(mine.{quote(column)} AS VARCHAR) = theirs.id "
            f"WHERE mine.{quote(column)} IS NOT NULL AND theirs.id IS NULL"
        )
        rows = int(table.engine.query(sql)["n"][0])
        if rows:
            bad = rows > table.contract.limits.reference * table.rows
            yield table.finding(
                "leads-nowhere",
                column,
                severity="error" if bad else "warning",
                rows=rows,
                found=f"{share_text(rows, table.rows)} name something that {other}.{theirs} does not hold",
                advice="Look for another extract date, lost zeros, or ids of another system.",
            )


# -- joins -----------------------------------------------------------------------------------------------------------


def check_join(
    engine: Engine, left: str, right: str, *, on: str | Sequence[str] | Mapping[str, str], most_unmatched: float = 0.05
) -> QualityReport:
    """Say what a join would do before it is done: inflate rows, lose rows, or match nothing.

    Parameters
    ----------
    engine : Engine
    left, right : str
        Tables; every row of the left one is meant to find one row of the right one.
    on : str, sequence of str, or mapping of left column to right column
    most_unmatched : float
        Share of left rows without a partner from which on it is an error.

    Returns
    -------
    QualityReport
        About the left table. Rules: ``join-inflates``, ``join-many-to-many``, ``join-unmatched``, ``join-without-key``,
        ``join-kinds``.

    Raises
    ------
    DataError
        If a table or column is missing, or nothing is given to join on.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.measure.engine import Tables
    >>> tables = Tables({"orders": pd.DataFrame({"id": [1, 2]}), "reviews": pd.DataFrame({"id": [1, 1]})})
    >>> [finding.rule for finding in check_join(tables, "orders", "reviews", on="id").findings]
    ['join-inflates', 'join-unmatched']
    """
    pairs = _pairs(engine, left, right, on)
    kinds = [(engine.type_of(left, one), engine.type_of(right, other)) for one, other in pairs.items()]
    told = _join_counts(engine, left, right, pairs)
    findings = [*_join_findings((left, right), pairs, told, most_unmatched)]
    if told["keyed"]:
        findings += _kinds_differ(left, pairs, kinds)
    return QualityReport(table=left, rows=told["rows"], findings=worst_first(findings))


def _pairs(engine: Engine, left: str, right: str, on: str | Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(on, str):
        on = [on]
    pairs = dict(on) if isinstance(on, Mapping) else {column: column for column in on}
    if not pairs:
        raise DataError("nothing to join on", where=f"{left} and {right}", advice="Name at least one column.")
    for table, columns in ((left, list(pairs)), (right, list(pairs.values()))):
        found = list(engine.columns(table))
        for column in columns:
            if column not in found:
                raise missing_column(column, found, where=table)
    return pairs


def _join_counts(engine: Engine, left: str, right: str, pairs: Mapping[str, str]) -> dict[str, int]:
    keys = [f"k{i}" for i in range(len(pairs))]

    def grouped(table: str, columns: Sequence[str]) -> str:
        listed = ", ".join(f"CAST({quote(c)} AS VARCHAR) AS {key}" for c, key in zip(columns, keys, strict=True))
        known = " AND ".join(f"{quote(c)} IS NOT NULL" for c in columns)
        inner = f"SELECT {listed} FROM {quote(table)} WHERE {known}"  # noqa: S608 - quoted
        return f"(SELECT {', '.join(keys)}, COUNT(*) AS n FROM ({inner}) AS read GROUP BY {', '.join(keys)})"  # noqa: S608 - quoted

    both = f"{grouped(left, list(pairs))} AS l LEFT JOIN {grouped(right, list(pairs.values()))} AS r ON "
    both += " AND ".join(f"l.{key} = r.{key}" for key in keys)
    asked = {
        "keyed": "SUM(l.n)",
        "unmatched": "SUM(CASE WHEN r.n IS NULL THEN l.n ELSE 0 END)",
        "joined": "SUM(l.n * COALESCE(r.n, 1))",
        "inflated": "SUM(CASE WHEN r.n > 1 THEN l.n ELSE 0 END)",
        "many": "SUM(CASE WHEN r.n > 1 AND l.n > 1 THEN 1 ELSE 0 END)",
    }
    listed = ", ".join(f"{sql} AS {name}" for name, sql in asked.items())
    found = engine.query(f"SELECT {listed} FROM {both}")  # noqa: S608 - quoted
    rows = int(engine.query(f"SELECT COUNT(*) AS n FROM {quote(left)}")["n"][0])  # noqa: S608 - quoted
    return {"rows": rows} | {name: int(found[name][0]) if found[name][0] == found[name][0] else 0 for name in asked}


def _kinds_differ(left: str, pairs: Mapping[str, str], kinds: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    for (one, other), (mine, theirs) in zip(pairs.items(), kinds, strict=True):
        if family_of(mine) != family_of(theirs):
            yield Finding(
                rule="join-kinds",
                severity="error",
                table=left,
                column=one,
                rows=0,
                of=0,
                found=f"{one} is {mine} and {other} is {theirs}",
                advice="Read ids as text on both sides: 007 never equals 7, and 1021.0 never equals 1021.",
            )


def _join_findings(
    tables: tuple[str, str], pairs: Mapping[str, str], told: Mapping[str, int], most_unmatched: float
) -> Iterator[Finding]:
    (left, right), column, rows = tables, ", ".join(pairs), told["rows"]
    without, grows = rows - told["keyed"], f"{told['keyed']:,} rows would become {told['joined']:,}"
    if told["many"]:
        yield Finding(
            rule="join-many-to-many",
            severity="error",
            table=left,
            column=column,
            rows=told["inflated"],
            of=rows,
            found=f"{told['many']:,} keys occur several times on both sides: {grows}",
            advice=f"Choose one row a key in {right}, or aggregate it first.",
        )
    elif told["inflated"]:
        yield Finding(
            rule="join-inflates",
            severity="error",
            table=left,
            column=column,
            rows=told["inflated"],
            of=rows,
            found=f"{share_text(told['inflated'], rows)} find several rows in {right}: {grows}",
            advice=f"Choose one row a key in {right}, such as the last one, or aggregate it first.",
        )
    if told["unmatched"]:
        bad = told["unmatched"] > most_unmatched * rows
        yield Finding(
            rule="join-unmatched",
            severity="error" if bad else "warning",
            table=left,
            column=column,
            rows=told["unmatched"],
            of=rows,
            found=f"{share_text(told['unmatched'], rows)} find no row in {right}",
            advice=f"At most {percent(most_unmatched, 1)} is allowed. Is it another extract, or another kind of id?"
            if bad
            else "They are missing, which is not zero: report them by group.",
            reason=f"without a row in {right}",
            set_aside=told["unmatched"],
        )
    if without:
        yield Finding(
            rule="join-without-key",
            severity="warning",
            table=left,
            column=column,
            rows=without,
            of=rows,
            found=f"{share_text(without, rows)} have no key",
            advice="They match nothing and are set aside.",
            reason="without a key",
            set_aside=without,
        )
