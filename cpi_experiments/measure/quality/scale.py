"""Numbers against each other: collinear pairs, one value or one person that is everything, jumps in scale."""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, Final

from cpi_experiments.display import percent
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.quality.findings import Finding, share_text
from cpi_experiments.measure.quality.table import count_if, plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cpi_experiments.measure.quality.table import CheckedTable, Key

_MOST_COLUMNS: Final = 30
_ENOUGH = 30
_LARGEST_SHARE = 0.2  # of a total in one person or row, as the share from which on C21 asks for a second look
_VARIANCE_SHARE = 0.5
_CODES_BELOW = (-1.0, -9.0, -99.0, -999.0, -9999.0)
_CODES_ABOVE = (99.0, 999.0, 9999.0, 99999.0, 999999.0)
_FACTORS: Final = {
    24: "24 times",
    60: "60 times",
    100: "100 times",
    1000: "1,000 times",
    1440: "1,440 times",
    3600: "3,600 times",
}


def nearest_factor(difference: float, *, tolerance: float) -> str:
    """Name the factor between units that a difference of logarithms is near, or nothing.

    Examples
    --------
    >>> [nearest_factor(difference, tolerance=0.1) for difference in (math.log(61), -math.log(100), 0.1)]
    ['60 times', 'a 100th of', '']
    """
    for factor, words in _FACTORS.items():
        if abs(abs(difference) - math.log(factor)) <= tolerance:
            return words if difference > 0 else f"a {factor:,}th of"
    return ""


def scale_columns(table: CheckedTable, told: Mapping[Key, Any]) -> list[str]:
    """Return the columns of numbers that vary and measure something."""
    numbers = [column for column in table.of_family("number") if not table.is_id(column)]
    vary = [c for c in numbers if told[(c, "low")] is not None and told[(c, "low")] < told[(c, "high")]]
    return vary[:_MOST_COLUMNS]


def scale_sql(table: CheckedTable, told: Mapping[Key, Any]) -> dict[Key, str]:
    """Write the aggregates of the second scan, centred at the means of the first."""
    columns = scale_columns(table, told)
    centred = {c: f"({table.number(c)} - {told[(c, 'mean')]!r})" for c in columns}
    asked: dict[Key, str] = {}
    for column in columns:
        value, low, high = table.number(column), told[(column, "low")], told[(column, "high")]
        asked[(column, "square")] = f"SUM({centred[column]} * {centred[column]})"
        asked[(column, "second low")] = f"MIN(CASE WHEN {value} > {low!r} THEN {value} END)"
        asked[(column, "second high")] = f"MAX(CASE WHEN {value} < {high!r} THEN {value} END)"
        asked[(column, "at low")] = count_if(f"{value} = {low!r}")
        asked[(column, "at high")] = count_if(f"{value} = {high!r}")
    for one, other in combinations(columns, 2):
        if told[(one, "known")] == told[(other, "known")]:
            asked[(one, other, "product")] = f"SUM({centred[one]} * {centred[other]})"
    return asked


def scale_findings(table: CheckedTable, told: Mapping[Key, Any]) -> Iterator[Finding]:
    """Judge the answers of both scans."""
    columns = scale_columns(table, told)
    for column in columns:
        yield from _code_guess(table, column, told)
        yield from _heavy(table, column, told)
    yield from _collinear(table, columns, told)
    yield from _persons(table, columns)
    yield from _jumps(table, columns)


def _code_guess(table: CheckedTable, column: str, told: Mapping[Key, Any]) -> Iterator[Finding]:
    low, high = told[(column, "low")], told[(column, "high")]
    above, below = told[(column, "second low")], told[(column, "second high")]
    guess = None
    if low in _CODES_BELOW and above >= 0:
        guess = (low, told[(column, "at low")])
    elif high in _CODES_ABOVE and below < high / 3:
        guess = (high, told[(column, "at high")])
    if guess and column not in table.contract.missing:
        yield table.finding(
            "code-for-missing",
            column,
            rows=int(guess[1]),
            found=f"{share_text(int(guess[1]), table.rows)} hold {guess[0]:g}, far from all others",
            advice=f"If it stands for not known, list it: `missing: {{{column}: [{guess[0]:g}]}}`.",
        )


def _heavy(table: CheckedTable, column: str, told: Mapping[Key, Any]) -> Iterator[Finding]:
    square, known, mean = told[(column, "square")], told[(column, "known")], told[(column, "mean")]
    ends = [(told[(column, end)], told[(column, f"at {end}")]) for end in ("low", "high")]
    two_values = told[(column, "second high")] == told[(column, "low")]
    if known < _ENOUGH or two_values or not square:
        return
    end, rows = max(ends, key=lambda each: abs(each[0] - mean))
    variance = (end - mean) ** 2 / square
    total = abs(end) / told[(column, "size")] if told[(column, "size")] else 0.0
    if rows != 1 or (variance < _VARIANCE_SHARE and total < _LARGEST_SHARE):
        return
    yield table.finding(
        "one-row-is-everything",
        column,
        rows=1,
        found=f"one row holds {percent(variance)} of the variance and {percent(total, 1)} of the total",
        advice="Declare a cap before looking at effects, and show the result with and without this row.",
    )


def _collinear(table: CheckedTable, columns: list[str], told: Mapping[Key, Any]) -> Iterator[Finding]:
    for one, other in combinations(columns, 2):
        product = told.get((one, other, "product"))
        size = math.sqrt(told[(one, "square")]) * math.sqrt(told[(other, "square")])
        if product is None or not size or abs(product) < (1 - 1e-10) * size:
            continue
        yield table.finding(
            "collinear",
            f"{one}, {other}",
            rows=int(told[(one, "known")]),
            found="each is a straight-line function of the other",
            advice="Use one of them: their effects cannot be told apart.",
        )


def _persons(table: CheckedTable, columns: list[str]) -> Iterator[Finding]:
    entity = table.contract.entity
    if not entity or not columns:
        return
    inner = ", ".join(f"SUM({table.number(c)}) AS s{i}" for i, c in enumerate(columns))
    outer = ", ".join(f"MAX(ABS(s{i})) AS m{i}, SUM(ABS(s{i})) AS t{i}" for i in range(len(columns)))
    sql = f"SELECT COUNT(*) AS n, {outer} FROM (SELECT {inner} FROM {quote(table.name)} WHERE {table.known(entity)} GROUP BY {quote(entity)}) AS persons"  # noqa: S608, E501 - quoted
    found = table.engine.query(sql)
    persons = int(found["n"][0])
    for i, column in enumerate(columns):
        most, total = plain_value(found[f"m{i}"][0]), plain_value(found[f"t{i}"][0])
        if persons >= _ENOUGH and most and total and most >= _LARGEST_SHARE * total:
            yield table.finding(
                "one-person-is-everything",
                column,
                rows=0,
                found=f"one of {persons:,} holds {percent(most / total)} of the total",
                advice="Declare a cap before looking at effects, and show the result with and without it.",
            )


def _jumps(table: CheckedTable, columns: list[str]) -> Iterator[Finding]:
    at = table.contract.time
    if not at or table.family(at) != "time" or not columns:
        return
    logs = [f"CASE WHEN {table.number(c)} > 0 THEN LN({table.number(c)}) END" for c in columns]
    listed = ", ".join(f"COUNT({log}) AS n{i}, AVG({log}) AS m{i}" for i, log in enumerate(logs))
    month = f"date_trunc('month', {table.moment(at)})"
    sql = f"SELECT {month} AS month, {listed} FROM {quote(table.name)} WHERE {quote(at)} IS NOT NULL GROUP BY {month} ORDER BY month"  # noqa: S608, E501 - quoted
    found = table.engine.query(sql)
    months = [str(month)[:7] for month in found["month"].astype("datetime64[M]")]
    for i, column in enumerate(columns):
        kept = [
            (m, float(mean), int(n))
            for m, n, mean in zip(months, found[f"n{i}"], found[f"m{i}"], strict=True)
            if n >= _ENOUGH
        ]
        for (_, before, _n), (name, after, n) in pairwise(kept):
            if abs(after - before) >= math.log(10):
                factor = nearest_factor(after - before, tolerance=0.3)
                change = math.exp(abs(after - before))
                words = f" ({factor} the month before)" if factor else ""
                yield table.finding(
                    "scale-jump",
                    column,
                    rows=n,
                    found=f"in {name} the typical value changes by a factor of {change:,.0f}{words}",
                    advice="Did the unit change (hours to minutes, euros to cents)?",
                )
