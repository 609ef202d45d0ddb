"""What one scan says about numbers and times: ids kept as decimals, units, epochs, days that stand for moments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cpi_experiments.measure.quality.findings import Finding, share_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cpi_experiments.measure.quality.table import CheckedTable

    Answers = Mapping[str, Any]

_MOSTLY = 0.9
_ENOUGH = 20  # rows below which it says little that all are alike
#: Where counts of seconds, milliseconds and microseconds since 1970 lie, from 1973 on.
EPOCHS = {"second": (1e8, 5e9), "millisecond": (1e11, 5e12), "microsecond": (1e14, 5e15)}
_TIME_NAME = re.compile(r"(.*_)?(at|on|time|date|timestamp|ts|created|updated|when)(_.*)?", re.IGNORECASE)
_RATE_NAME = re.compile(r"(.*_)?(rate|share|fraction|ratio|probability)(_.*)?", re.IGNORECASE)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def number_kind_findings(table: CheckedTable, column: str, told: Answers) -> Iterator[Finding]:
    """Judge numbers that stand for something else: days, flags, ids."""
    declared, known = table.contract.kinds.get(column), told["known"] or 0
    if table.means_time(column):
        serial = told["low"] is not None and told["low"] > 20_000 and told["high"] < 80_000
        yield table.finding(
            "serial-date" if serial else "wrong-kind",
            column,
            severity="error",
            rows=known,
            found="times are numbers"
            + (" that look like days since 1899-12-30, as Excel counts them" if serial else ""),
            advice="Export them as ISO 8601, such as 2026-02-28.",
        )
        return
    if declared == "flag" and known and (told["low"] < 0 or told["high"] > 1 or told["whole"] < known):
        yield table.finding(
            "wrong-kind",
            column,
            severity="error",
            rows=known,
            found="a flag holds numbers other than 0 and 1",
            advice="Say which value means yes: 1/2 and shares are no flags.",
        )
    if not table.is_id(column) or not known:
        return
    if table.types[column] in ("DOUBLE", "FLOAT", "REAL") and told["whole"] == known:
        yield table.finding(
            "id-as-float",
            column,
            severity="warning",
            rows=known,
            found=f"{share_text(int(known), table.rows)} are whole numbers kept as decimals",
            advice="Read the column as text: 1021.0 does not match 1021, and long ids merge.",
        )
    elif declared == "text":
        yield table.finding(
            "wrong-kind",
            column,
            severity="warning",
            rows=known,
            found="an id that is text was read as a number",
            advice="Leading zeros are lost by now: read the column as text.",
        )


def unit_findings(table: CheckedTable, column: str, told: Answers) -> Iterator[Finding]:
    """Judge whether values can have the unit that is declared."""
    unit, low, high = table.contract.units.get(column), told["low"], told["high"]
    if high is None:
        return
    above = int(told["above_one"] or 0)
    if unit == "fraction" and (high > 1 or low < 0):
        end = f"max {high:g} > 1" if high > 1 else f"min {low:g} < 0"
        yield table.finding(
            "percent-as-fraction",
            column,
            severity="error",
            rows=above or 1,
            found=f"a fraction lies outside 0 to 1 in {share_text(above, table.rows)}: {end}; unit percent?",
            advice="Declare `percent`, or divide by 100.",
        )
    elif unit == "percent" and low >= 0 and high <= 1 and told["whole"] < told["known"]:
        yield table.finding(
            "fraction-as-percent",
            column,
            severity="warning",
            rows=told["known"],
            found=f"every percentage lies between 0 and 1: max {high:g}; unit fraction?",
            advice="Declare `fraction`, or multiply by 100.",
        )
    elif unit is None and _RATE_NAME.fullmatch(column) and low >= 0 and 1 < high <= 100:
        yield table.finding(
            "percent-or-fraction",
            column,
            severity="info",
            rows=above,
            found="its name says share, and its values reach beyond 1 but not beyond 100",
            advice=f"State `units: {{{column}: percent}}` if these are percentages.",
        )
    elif unit in _SECONDS and told["mean"] * _SECONDS[unit] > 10 * 365 * 86_400:
        yield table.finding(
            "unit-guess",
            column,
            severity="warning",
            rows=told["known"],
            found=f"the mean is {told['mean']:,.4g} {unit}s, more than ten years",
            advice="Is the unit a smaller one?",
        )


def epoch_findings(table: CheckedTable, column: str, told: Answers) -> Iterator[Finding]:
    """Judge counts of seconds since 1970, and mixtures of seconds and milliseconds."""
    if not (_TIME_NAME.fullmatch(column) or table.means_time(column)) or not told["known"]:
        return
    counts = {unit: int(told[f"as {unit}"] or 0) for unit in EPOCHS}
    used = [unit for unit, count in counts.items() if count]
    if sum(counts.values()) < _MOSTLY * told["known"]:
        return
    listed = " and ".join(f"{counts[unit]:,} {unit}s" for unit in used)
    mixed = len(used) > 1
    yield table.finding(
        "mixed-epochs" if mixed else "epoch-as-number",
        column,
        severity="error" if mixed else "warning",
        rows=min(counts[unit] for unit in used),
        found=f"times are numbers: {listed} since 1970",
        advice="Export them as ISO 8601 in one unit, such as 2026-02-28T12:00:00Z.",
    )


def exposure_findings(table: CheckedTable, column: str, told: Answers) -> Iterator[Finding]:
    """Judge rates whose exposure is zero."""
    for count in table.contract.rates:
        zero = int(told.get(f"zero under {count}") or 0)
        if zero and table.contract.rates[count] == column:
            yield table.finding(
                "zero-exposure",
                column,
                severity="warning",
                rows=zero,
                found=f"{share_text(zero, table.rows)} divide {count} by zero",
                advice="Use the ratio of sums, not the mean of ratios; rows without exposure say nothing about a rate.",
            )


def time_values_findings(table: CheckedTable, column: str, told: Answers) -> Iterator[Finding]:
    """Judge default dates, far futures, and days that are kept as moments."""
    default, far, midnight, known = (int(told[key] or 0) for key in ("default", "far", "midnight", "known"))
    if default:
        yield table.finding(
            "default-date",
            column,
            severity="warning",
            rows=default,
            found=f"{share_text(default, table.rows)} lie on 1900-01-01 or 1970-01-01",
            advice="Tools write these days for not known: export them as missing.",
        )
    if far:
        yield table.finding(
            "far-future",
            column,
            rows=far,
            found=f"{share_text(far, table.rows)} lie in 2050 or later",
            advice="Look for two-digit years that were read as 20xx, and for 9999-12-31 where never is meant.",
        )
    clocked = table.types[column].startswith("TIMESTAMP")
    compared = [pair for pair in table.contract.pairs if column in (pair[0], pair[2])]
    if clocked and midnight == known >= _ENOUGH:
        yield table.finding(
            "midnight-times",
            column,
            severity="warning" if compared else "info",
            rows=midnight,
            found="every time is 00:00:00, so these are days and not moments",
            advice="Compare days with days: anything later on the promised day itself would count as late.",
        )
