"""Rows that break a contract: one condition each, counted, set aside and quarantined by the same SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.display import percent
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.quality.clock import clock_rules
from cpi_experiments.measure.quality.findings import BrokenRule, Finding, share_text
from cpi_experiments.measure.quality.table import checked_table, count_if, time_literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from cpi_experiments.catalog.contract import Contract, Range
    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.measure.quality.table import CheckedTable, Key

_MOST_VALUES, _SCALE = 5, 1000


def broken_rules(table: CheckedTable) -> tuple[BrokenRule, ...]:
    """Write every condition that the contract and the kinds of the columns imply, in the order of reasons.

    A row that breaks several rules is set aside under the first of them.
    """
    return (
        *_without_id(table),
        *_out_of_time(table),
        *clock_rules(table),
        *_negative(table),
        *_without_value(table),
        *_impossible(table),
        *_all_zero(table),
        *_unknown_levels(table),
    )


def broken_row_findings(table: CheckedTable, counts: Mapping[Key, float]) -> Iterator[Finding]:
    """Judge the counts of `count_sql`."""
    rules = broken_rules(table)
    broken = {i: int(counts[("rule", str(i))] or 0) for i in range(len(rules))}
    first = _first_reasons(table, rules) if any(broken.values()) else {}
    for i, rule in enumerate(rules):
        rows = broken[i]
        if not rows:
            continue
        bad = rows > rule.limit * table.rows
        limit = f"At most {percent(rule.limit, 1)} is allowed. " if bad and rule.limit else ""
        yield Finding(
            rule=rule.rule,
            severity="error" if bad else "warning",
            table=table.name,
            column=rule.column,
            rows=rows,
            of=table.rows,
            found=f"{share_text(rows, table.rows)} {rule.found}{_bad_values(table, rule)}",
            advice=f"{limit}{rule.advice}" if bad else "They are set aside and counted.",
            reason=rule.reason,
            set_aside=first.get(i, 0),
        )


def _bad_values(table: CheckedTable, rule: BrokenRule) -> str:
    """Count the bad values of a scale: a few small whole numbers, which name nobody."""
    if rule.rule != "out-of-range" or table.is_id(rule.column):
        return ""
    value = f"CAST({quote(rule.column)} AS DOUBLE)"
    sql = (
        f"SELECT {value} AS bad, COUNT(*) AS n FROM {quote(table.name)} "  # noqa: S608 - quoted
        f"WHERE {rule.condition} GROUP BY {value} ORDER BY bad LIMIT {_MOST_VALUES + 1}"
    )
    found = table.engine.query(sql)
    values = [(float(bad), int(n)) for bad, n in zip(found["bad"], found["n"], strict=True)]
    if len(values) > _MOST_VALUES or any(not bad.is_integer() or abs(bad) >= _SCALE for bad, _ in values):
        return ""
    return f": {', '.join(f'{bad:g} in {n:,}' for bad, n in values)}"


def _first_reasons(table: CheckedTable, rules: tuple[BrokenRule, ...]) -> dict[int, int]:
    """Count every broken row once, under the first rule that it breaks."""
    inner = f"SELECT {reason_sql(rules)} AS reason FROM {quote(table.name)}"  # noqa: S608 - quoted
    sql = f"SELECT reason, COUNT(*) AS n FROM ({inner}) AS judged WHERE reason IS NOT NULL GROUP BY reason"  # noqa: S608 - quoted
    found = table.engine.query(sql)
    return {int(reason): int(n) for reason, n in zip(found["reason"], found["n"], strict=True)}


def count_sql(table: CheckedTable) -> dict[Key, str]:
    """Write one count for each rule."""
    return {("rule", str(i)): count_if(rule.condition) for i, rule in enumerate(broken_rules(table))}


def kept_rows_sql(engine: Engine, table: str, contract: Contract, *, as_of: str | date | None = None) -> str:
    """Write the SELECT of the rows that break no rule.

    Parameters
    ----------
    engine : Engine
    table : str
    contract : Contract
    as_of : str or date, optional
        Last day that the analysis may see.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.catalog.contract import Contract
    >>> from cpi_experiments.measure.engine import Tables
    >>> tables = Tables({"t": pd.DataFrame({"id": ["a", None], "n": [1, 2]})})
    >>> tables.query(kept_rows_sql(tables, "t", Contract(key=("id",))))
    {'id': array(['a'], dtype=object), 'n': array([1])}
    """
    rules = broken_rules(checked_table(engine, table, contract, as_of))
    bad = " OR ".join(f"({rule.condition})" for rule in rules)
    # A comparison with a missing value is unknown, and unknown is not broken.
    kept = f" WHERE CASE WHEN {bad} THEN 0 ELSE 1 END = 1" if bad else ""
    return f"SELECT * FROM {quote(table)}{kept}"  # noqa: S608 - quoted


def reason_sql(rules: tuple[BrokenRule, ...]) -> str:
    """Write the SQL of the number of the first rule that a row breaks, NULL if it breaks none."""
    cases = " ".join(f"WHEN {rule.condition} THEN {i}" for i, rule in enumerate(rules))
    return f"CASE {cases} END" if cases else "NULL"


def _without_id(table: CheckedTable) -> Iterator[BrokenRule]:
    contract = table.contract
    for column in dict.fromkeys([*contract.key, *([contract.entity] if contract.entity else [])]):
        yield BrokenRule(
            rule="missing-id",
            column=column,
            condition=f"NOT ({table.known(column)})",
            reason=f"without {column}",
            limit=contract.limits.null_id,
            found="name nobody",
            advice="Find out where the export loses the id.",
        )


def _out_of_time(table: CheckedTable) -> Iterator[BrokenRule]:
    contract, limits = table.contract, table.contract.limits
    if not contract.time or table.family(contract.time) != "time":
        return
    at, ends = table.moment(contract.time), [(table.end, "the day of the analysis")]
    if contract.latest:
        ends.append((f"{contract.latest}T23:59:59.999999", f"the latest day, {contract.latest}"))
    for end, words in ends:
        if end:
            past = ">=" if end == table.end else ">"
            yield BrokenRule(
                rule="future-rows",
                column=contract.time,
                condition=f"{at} {past} {time_literal(end)}",
                reason=f"after {words}",
                limit=limits.future,
                found=f"lie after {words}",
                advice="Look for two-digit years, swapped day and month, and clocks that are wrong.",
            )
    if contract.earliest:
        yield BrokenRule(
            rule="early-rows",
            column=contract.time,
            condition=f"{at} < {time_literal(str(contract.earliest))}",
            reason=f"before {contract.earliest}",
            limit=limits.early,
            found=f"lie before {contract.earliest}",
            advice="Look for default dates such as 1900-01-01 and 1970-01-01.",
        )
    if contract.recorded and table.end and table.family(contract.recorded) == "time":
        after = f"{table.moment(contract.recorded)} >= {time_literal(table.end)}"
        yield BrokenRule(
            rule="late-rows",
            column=contract.recorded,
            condition=f"{at} < {time_literal(table.end)} AND {after}",
            reason="recorded after the day of the analysis",
            limit=1.0,
            found="happened in time but were recorded after the day of the analysis",
            advice="Nobody could have known them.",
        )


def _negative(table: CheckedTable) -> Iterator[BrokenRule]:
    for earlier, sign, later in table.contract.pairs:
        kinds = {table.family(earlier), table.family(later)}
        if kinds == {"time"}:
            first, second = table.moment(earlier), table.moment(later)
        elif kinds == {"number"}:
            first, second = table.number(earlier), table.number(later)
        else:
            continue  # a time that is text is an error of its own
        yield BrokenRule(
            rule="negative-duration",
            column=f"{earlier}, {later}",
            condition=f"{first} {'>' if sign == '<=' else '>='} {second}",
            reason=f"{later} before {earlier}" if sign == "<=" else f"{later} not after {earlier}",
            limit=table.contract.limits.negative,
            found=f"break {earlier} {sign} {later}",
            advice="Check the clocks, the zones and which column is which.",
        )


def _without_value(table: CheckedTable) -> Iterator[BrokenRule]:
    contract = table.contract
    for column in contract.required:
        if column not in contract.key and column != contract.entity:
            yield BrokenRule(
                rule="missing-required",
                column=column,
                condition=f"NOT ({table.known(column)})",
                reason=f"without {column}",
                limit=contract.limits.missing,
                found="hold no value",
                advice="Find out which rows lack it, and whether that differs between groups.",
            )
    for column, when in contract.required_when.items():
        told = " AND ".join(f"({table.is_one_of(other, levels)})" for other, levels in when.items())
        yield BrokenRule(
            rule="contradiction",
            column=column,
            condition=f"{told} AND NOT ({table.known(column)})",
            reason=f"without {column} although {', '.join(when)} says so",
            limit=contract.limits.missing,
            found=f"hold no value although {', '.join(when)} says that they must",
            advice="One of the columns is wrong.",
        )


def _impossible(table: CheckedTable) -> Iterator[BrokenRule]:
    contract = table.contract
    reals = [c for c in table.types if table.types[c] in ("DOUBLE", "FLOAT", "REAL")]
    for column in reals:
        value = f"CAST({quote(column)} AS DOUBLE)"
        yield BrokenRule(
            rule="infinite",
            column=column,
            condition=f"{table.known(column)} AND ABS({value}) > 1e150",
            reason="infinite or absurdly large",
            limit=0.0,
            found="are infinite or absurdly large",
            advice="Look for divisions by zero, and state a plausible range.",
        )
    for column, span in contract.ranges.items():
        if table.family(column) != "number":
            continue
        ends = [f"{quote(column)} < {span.low!r}"] if span.low is not None else []
        ends += [f"{quote(column)} > {span.high!r}"] if span.high is not None else []
        words = _outside(span)
        yield BrokenRule(
            rule="out-of-range",
            column=column,
            condition=f"{table.known(column)} AND ({' OR '.join(ends)})",
            reason=words,
            limit=contract.limits.range,
            found=f"lie {words}",
            advice="Correct them, or name the code under `missing:` if it stands for not known.",
        )


def _outside(span: Range) -> str:
    if span.low is None:
        return f"above {span.high:g}"
    return f"below {span.low:g}" if span.high is None else f"outside {span.low:g} to {span.high:g}"


def _all_zero(table: CheckedTable) -> Iterator[BrokenRule]:
    for columns in table.contract.not_all_zero:
        numbers = [column for column in columns if table.family(column) == "number"]
        condition = " AND ".join(f"{quote(column)} = 0" for column in numbers) or "1 = 0"
        yield BrokenRule(
            rule="all-zero",
            column=", ".join(columns),
            condition=condition,
            reason=f"zero in {', '.join(columns)}",
            limit=table.contract.limits.range,
            found=f"are zero in {', '.join(columns)}",
            advice="Correct them, or find out what such a row stands for.",
        )


def _unknown_levels(table: CheckedTable) -> Iterator[BrokenRule]:
    for column, levels in table.contract.levels.items():
        if table.family(column) in ("text", "number", "flag"):
            yield BrokenRule(
                rule="unknown-level",
                column=column,
                condition=f"{table.known(column)} AND NOT ({table.is_one_of(column, levels)})",
                reason="a level that is not listed",
                limit=table.contract.limits.level,
                found=f"hold a level that is not one of the {len(levels)} listed",
                advice="Correct the spelling, or list the level.",
            )
