"""What one scan says about every column by itself: missing, constant, numbers and times kept as text, ids, units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.engines.files import literal
from cpi_experiments.measure.quality.findings import Finding, share_text
from cpi_experiments.measure.quality.numbers import (
    EPOCHS,
    epoch_findings,
    exposure_findings,
    number_kind_findings,
    time_values_findings,
    unit_findings,
)
from cpi_experiments.measure.quality.table import count_if

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cpi_experiments.measure.quality.table import CheckedTable, Key

    Answers = Mapping[str, Any]
    Rule = Callable[[CheckedTable, str, Answers], Iterator[Finding]]

_MOSTLY = 0.9  # share of texts that read as numbers or times from which on a column is meant as such
#: Words that stand for "not known" in many exports. NA and None are left out: they are a country and a name.
_CODE_WORDS = ("undefined", "unknown", "null", "n/a", "#n/a", "nan", "missing", "not available", "?", "-", "--", ".")
#: Anchored at both ends, because some engines match the whole text and others any part of it.
_PATTERNS: Final = {
    "number": "^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?$",
    "comma": "^[+-]?[0-9]+([.][0-9][0-9][0-9])*,[0-9]+$",
    "zeros": "^0[0-9]+$",
    "long": "^[0-9]{16,}$",
    "floated": "^[0-9]+[.]0$",
    "iso": "^[0-9][0-9][0-9][0-9]-[0-9][0-9]?-[0-9][0-9]?([T ].*)?$",
    "dated": "^[0-9][0-9]?[/.-][0-9][0-9]?[/.-][0-9][0-9]([0-9][0-9])?([T ].*)?$",
    "short_year": "^[0-9][0-9]?[/.-][0-9][0-9]?[/.-][0-9][0-9]([T ].*)?$",
    "zoned": "^.*:[0-9.]+ ?([+-][0-9:]+|Z)$",
}
_NAIVE = "^[0-9].*:[0-9][0-9]([.][0-9]+)?$"


def profile_sql(table: CheckedTable) -> dict[Key, str]:
    """Write every aggregate of the first scan; keys are ``(column, name)``."""
    asked: dict[Key, str] = {}
    for column in table.types:
        name, family = quote(column), table.family(column)
        asked[(column, "known")] = count_if(table.known(column))
        asked[(column, "present")] = f"COUNT({name})"
        if family == "text":
            asked |= {(column, key): text for key, text in _text_sql(table, column).items()}
        elif family == "number":
            asked |= {(column, key): text for key, text in _number_sql(table, column).items()}
        elif family == "time":
            asked |= {(column, key): text for key, text in _time_sql(column).items()}
        elif family == "flag":
            asked[(column, "same")] = f"CASE WHEN COUNT(DISTINCT {name}) = 1 THEN 1 ELSE 0 END"
    for count, exposure in table.contract.rates.items():
        if {table.family(count), table.family(exposure)} == {"number"}:
            asked[(exposure, f"zero under {count}")] = count_if(f"{quote(exposure)} = 0")
    return asked


def _text_sql(table: CheckedTable, column: str) -> dict[str, str]:
    name = quote(column)
    trimmed = f"TRIM({name})"
    codes = ", ".join(literal(word) for word in _CODE_WORDS)
    # Every pattern begins like a number: words, which most texts are, are looked at once.
    numeral = f"CASE WHEN regexp_matches({trimmed}, '^[-+.0-9].*$') THEN {trimmed} END"
    asked = {key: count_if(f"regexp_matches({numeral}, '{pattern}')") for key, pattern in _PATTERNS.items()}
    naive = f"regexp_matches({numeral}, '{_NAIVE}') AND NOT regexp_matches({numeral}, '{_PATTERNS['zoned']}')"
    asked["naive"] = count_if(naive)
    asked["blank"] = count_if(f"{name} IS NOT NULL AND {trimmed} = ''")
    asked["padded"] = count_if(f"{trimmed} <> '' AND {trimmed} <> {name}")
    asked["coded"] = count_if(f"LOWER({trimmed}) IN ({codes}) AND {table.known(column)}")
    asked["listed"] = _listed(table, column)
    asked["same"] = f"CASE WHEN MIN({name}) = MAX({name}) THEN 1 ELSE 0 END"
    return asked


def _number_sql(table: CheckedTable, column: str) -> dict[str, str]:
    name, value = quote(column), table.number(column)
    asked = {
        "low": f"MIN({value})",
        "high": f"MAX({value})",
        "mean": f"AVG({value})",
        "size": f"SUM(ABS({value}))",
        "whole": count_if(f"{value} = FLOOR({value})"),
        "listed": _listed(table, column),
        "above_one": count_if(f"{value} > 1"),
        **{
            f"as {unit}": count_if(f"{value} >= {low!r} AND {value} < {high!r}") for unit, (low, high) in EPOCHS.items()
        },
    }
    if table.types[column] in ("DOUBLE", "FLOAT", "REAL"):
        asked["nan"] = count_if(f"{name} > CAST('Infinity' AS DOUBLE)")
    return asked


def _time_sql(column: str) -> dict[str, str]:
    name = quote(column)
    defaults = " OR ".join(f"CAST({name} AS DATE) = CAST('{day}' AS DATE)" for day in ("1900-01-01", "1970-01-01"))
    return {
        "first": f"MIN({name})",
        "last": f"MAX({name})",
        "midnight": count_if(f"{name} = date_trunc('day', {name})"),
        "default": count_if(defaults),
        "far": count_if(f"{name} >= CAST('2050-01-01' AS DATE)"),
    }


def _listed(table: CheckedTable, column: str) -> str:
    codes = table.contract.missing.get(column, ())
    return count_if(table.is_one_of(column, codes)) if codes else "0"


def column_findings(table: CheckedTable, answers: Mapping[Key, Any]) -> Iterator[Finding]:
    """Judge what `profile_sql` asked for, one column after the other."""
    for column in table.types:
        told = {key[1]: value for key, value in answers.items() if key[0] == column and len(key) == 2}
        rules: tuple[Rule, ...] = {
            "text": (_missing, _constant, _number_as_text, _time_as_text, _text_form),
            "number": (_missing, _constant, number_kind_findings, unit_findings, epoch_findings, exposure_findings),
            "time": (_missing, _constant, time_values_findings),
        }.get(table.family(column), (_missing, _constant))
        rules = (_wrong_kind, *rules)
        for rule in rules:
            yield from rule(table, column, told)


def _missing(table: CheckedTable, column: str, told: Answers) -> Iterator[Finding]:
    absent = int(table.rows - told["known"])
    if absent == 0:
        return
    reasons = {
        "empty": table.rows - told["present"],
        "blank text": told.get("blank"),
        "a code for missing": told.get("listed"),
        "not a number": told.get("nan"),
    }
    listed = ", ".join(f"{int(n):,} {words}" for words, n in reasons.items() if n)
    everything = absent == table.rows
    yield table.finding(
        "all-missing" if everything else "missing",
        column,
        severity="warning" if everything or told.get("blank") else "info",
        rows=absent,
        found=f"{share_text(absent, table.rows)} hold no value: {listed}",
        advice="Leave the column out, or find where it is lost."
        if everything
        else "Missing is not zero, and not a no.",
    )


def _wrong_kind(table: CheckedTable, column: str, _: Answers) -> Iterator[Finding]:
    family = table.family(column)
    wanted = {
        "number": table.means_number(column) and family in ("time", "flag", "other"),
        "time": table.means_time(column) and family in ("flag", "other"),
        "flag": table.contract.kinds.get(column) == "flag" and family in ("time", "other"),
    }
    for word, wrong in wanted.items():
        if wrong:
            yield table.finding(
                "wrong-kind",
                column,
                severity="error",
                rows=table.rows,
                found=f"the column is {table.types[column]}, the contract needs a {word}",
                advice="Convert the column, or correct the contract.",
            )


def _constant(table: CheckedTable, column: str, told: Answers) -> Iterator[Finding]:
    known = told["known"]
    numbers_alike = told.get("low") is not None and told["low"] == told["high"]
    times_alike = told.get("first") is not None and told["first"] == told["last"]
    if known and table.rows > 1 and (told.get("same") == 1 or numbers_alike or times_alike):
        yield table.finding(
            "constant",
            column,
            severity="info",
            rows=known,
            found="every known value is the same",
            advice="It explains nothing; an indicator made of it has no variance.",
        )


def _number_as_text(table: CheckedTable, column: str, told: Answers) -> Iterator[Finding]:
    known, declared = told["known"] or 0, table.contract.kinds.get(column)
    if declared in ("text", "time", "flag") or not known:
        return
    comma = told["comma"] or 0
    numbers = (told["number"] or 0) + comma
    meant = table.means_number(column)
    looks = numbers >= _MOSTLY * known and not told["zeros"] and not told["long"] and not table.is_id(column)
    if not (meant or looks):
        return
    others = int(known - numbers)
    parts = [f"{int(told['blank']):,} blank" if told["blank"] else "", f"{others:,} other texts" if others else ""]
    parts.insert(0, f"{int(comma):,} with a decimal comma" if comma else "")
    listed = ", ".join(part for part in parts if part) or "every value reads as a number"
    advice = (
        "Write a decimal point, or convert the column first."
        if comma
        else "Leave the cell empty where the value is unknown."
    )
    yield table.finding(
        "decimal-comma" if comma else "number-as-text",
        column,
        severity="error" if meant or comma else "warning",
        rows=comma or told["blank"] or others or known,
        found=f"numbers are kept as text: {listed}",
        advice=advice,
    )


def _time_as_text(table: CheckedTable, column: str, told: Answers) -> Iterator[Finding]:
    known = told["known"] or 0
    iso, dated = told["iso"] or 0, told["dated"] or 0
    meant = table.means_time(column)
    if not known or not (meant or iso + dated >= _MOSTLY * known):
        return
    without = int(told["naive"] or 0)
    if told["zoned"] and without:
        yield table.finding(
            "mixed-zones",
            column,
            severity="error",
            rows=without,
            found=f"{int(told['zoned']):,} times state a zone and {without:,} do not",
            advice="State the zone in every row, or export in UTC.",
        )
    short = int(told["short_year"] or 0)
    if short:
        yield table.finding(
            "two-digit-year",
            column,
            severity="error" if meant else "warning",
            rows=short,
            found=f"{share_text(short, table.rows)} write the year with two digits",
            advice="Tools read 69 as 1969 or 2069; write ISO 8601, such as 2026-02-28.",
        )
    other = int(dated - short)
    if other or (meant and not short):
        yield table.finding(
            "time-as-text",
            column,
            severity="error" if meant else "warning",
            rows=other or known - iso,
            found="times are kept as text"
            + (f", {other:,} with day and month in an order that is not stated" if other else ""),
            advice="Use ISO 8601, such as 2026-02-28T12:00; 01/02/2026 is in January or in February.",
        )


def _text_form(table: CheckedTable, column: str, told: Answers) -> Iterator[Finding]:
    zeros, padded, coded, floated = (int(told[key] or 0) for key in ("zeros", "padded", "coded", "floated"))
    if zeros:
        yield table.finding(
            "leading-zeros",
            column,
            severity="info",
            rows=zeros,
            found=f"{share_text(zeros, table.rows)} begin with a zero",
            advice="Keep them as text: a number would lose it.",
        )
    if padded:
        yield table.finding(
            "padded-text",
            column,
            severity="warning",
            rows=padded,
            found=f"{share_text(padded, table.rows)} begin or end with a blank",
            advice="A level with a blank is another level: trim it in the export.",
        )
    if coded:
        yield table.finding(
            "code-for-missing",
            column,
            severity="warning",
            rows=coded,
            found=f"{share_text(coded, table.rows)} hold a word that often stands for not known",
            advice=f"If it does, list it: `missing: {{{column}: [...]}}`.",
        )
    if floated and floated >= _MOSTLY * (told["known"] or 0) and table.is_id(column):
        yield table.finding(
            "id-as-float",
            column,
            severity="warning",
            rows=floated,
            found=f"{share_text(floated, table.rows)} end in .0",
            advice="The ids were once read as numbers: 1021.0 is not 1021.",
        )
