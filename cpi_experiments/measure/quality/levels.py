"""Levels of columns with few of them: other spellings, third answers, mixed codes, and what gives an outcome away."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np

from cpi_experiments.display import percent
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.quality.findings import Finding, share_text
from cpi_experiments.measure.quality.scale import nearest_factor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cpi_experiments.measure.quality.table import CheckedTable

    #: Level to rows.
    Levels = dict[str, int]

MOST_LEVELS: Final = 200
_SAMPLE = 20_000  # rows of the head that say whether a column has few levels
_RARE = 0.02  # a misspelt level is rarer than this share of the level that was meant
_SHOWN = 10  # rows that a level needs to be named, as groups of customers in reports
_NEARLY = 0.99
_FLAG_WORDS = ({"yes", "y", "true", "t", "1"}, {"no", "n", "false", "f", "0"})


class LevelTable:
    """Levels of every column with few of them, from one scan.

    Parameters
    ----------
    table : CheckedTable

    Attributes
    ----------
    levels : dict of column to {level: rows}
    by_outcome : dict of column to {(level, outcome): rows}
    log_means : dict of (column, number) to {level: (rows, mean logarithm)}
    """

    def __init__(self, table: CheckedTable) -> None:
        self.levels: dict[str, Levels] = {}
        self.by_outcome: dict[str, dict[tuple[str, str], int]] = {}
        self.log_means: dict[tuple[str, str], dict[str, tuple[int, float]]] = {}
        columns, outcome = few_leveled(table), table.contract.outcome
        if outcome and outcome not in columns:
            outcome = ""
        numbers = [c for c in {**table.contract.units, **table.contract.ranges} if table.family(c) == "number"]
        if columns:
            self._read(table, columns, outcome, numbers)

    def _read(self, table: CheckedTable, columns: list[str], outcome: str, numbers: list[str]) -> None:
        keys = {column: f"k{i}" for i, column in enumerate(columns)}
        found = table.engine.query(_levels_sql(table, keys, outcome, numbers))
        for column, key in keys.items():
            mine = _grouped(found, key)
            if outcome and column != outcome:
                self._add_pairs(column, found, mine, (key, keys[outcome]))
                continue
            if outcome:
                mine = mine & _alone(found, keys, column)
            self.levels[column] = _counted(found[key][mine], found["n"][mine])
        for i, number in enumerate(numbers):
            for column, key in keys.items():
                if column not in (number, outcome):
                    self.log_means[(column, number)] = _log_means(found, key, i)

    def _add_pairs(self, column: str, found: Mapping[str, np.ndarray], mine: np.ndarray, keys: tuple[str, str]) -> None:
        pairs: dict[tuple[str, str], int] = defaultdict(int)
        levels: Levels = defaultdict(int)
        for level, other, n in zip(found[keys[0]][mine], found[keys[1]][mine], found["n"][mine], strict=True):
            if level:
                levels[str(level)] += int(n)
                if other:
                    pairs[(str(level), str(other))] += int(n)
        self.levels[column], self.by_outcome[column] = dict(levels), dict(pairs)


def few_leveled(table: CheckedTable) -> list[str]:
    """Return the columns with few levels, judged by the first rows and never naming people."""
    private = {*table.contract.key, table.contract.entity, *table.contract.same_as, *table.contract.same_as.values()}
    asked = [column for column in table.of_family("text", "flag", "number") if column not in private]
    if not asked:
        return []
    listed = ", ".join(f"COUNT(DISTINCT {quote(column)}) AS d{i}" for i, column in enumerate(asked))
    sql = f"SELECT {listed} FROM (SELECT * FROM {quote(table.name)} LIMIT {_SAMPLE}) AS head"  # noqa: S608 - quoted
    found = table.engine.query(sql)
    most = {"text": MOST_LEVELS, "flag": 2, "number": 50}
    few = [c for i, c in enumerate(asked) if 0 < int(found[f"d{i}"][0]) <= most[table.family(c)]]
    return [c for c in few if not (table.family(c) == "number" and table.is_id(c))]


def _levels_sql(table: CheckedTable, keys: Mapping[str, str], outcome: str, numbers: list[str]) -> str:
    # Missing becomes an empty text, so that NULL says that a column is not part of a group.
    inner = [f"COALESCE(CAST({quote(column)} AS VARCHAR), '') AS {key}" for column, key in keys.items()]
    inner += [f"CASE WHEN {table.number(c)} > 0 THEN LN({table.number(c)}) END AS x{i}" for i, c in enumerate(numbers)]
    outer = [*keys.values(), "COUNT(*) AS n"]
    outer += [text for i in range(len(numbers)) for text in (f"COUNT(x{i}) AS n{i}", f"AVG(x{i}) AS m{i}")]
    y = keys.get(outcome, "")
    sets = ", ".join(f"({key}, {y})" if y and key != y else f"({key})" for key in keys.values())
    return (
        f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner)} FROM {quote(table.name)}) AS seen "  # noqa: S608 - quoted
        f"GROUP BY GROUPING SETS ({sets})"
    )


def _grouped(found: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    return np.array([level is not None for level in found[key]], dtype=bool)


def _alone(found: Mapping[str, np.ndarray], keys: Mapping[str, str], column: str) -> np.ndarray:
    alone = _grouped(found, keys[column])
    for other in (key for name, key in keys.items() if name != column):
        alone = alone & ~_grouped(found, other)
    return alone


def _counted(levels: np.ndarray, rows: np.ndarray) -> Levels:
    return {str(level): int(n) for level, n in zip(levels, rows, strict=True) if level != ""}


def _log_means(found: Mapping[str, np.ndarray], key: str, i: int) -> dict[str, tuple[int, float]]:
    sums: dict[str, tuple[int, float]] = {}
    for level, n, mean in zip(found[key], found[f"n{i}"], found[f"m{i}"], strict=True):
        if level and n and mean == mean:  # noqa: PLR0124 - NaN
            seen, total = sums.get(str(level), (0, 0.0))
            sums[str(level)] = (seen + int(n), total + int(n) * float(mean))
    return {level: (n, total / n) for level, (n, total) in sums.items()}


# -- findings --------------------------------------------------------------------------------------------------------


def level_findings(table: CheckedTable) -> Iterator[Finding]:
    """Judge the levels of every column that has few."""
    seen = LevelTable(table)
    for column, levels in seen.levels.items():
        if len(levels) > 1 and table.family(column) == "text":
            yield from _variants(table, column, levels)
            yield from _misspelt(table, column, levels)
            yield from _third_answers(table, column, levels)
            yield from _mixed_codes(table, column, levels)
        yield from _flag_words(table, column, levels)
    yield from _leaks(table, seen)
    yield from _other_scale(table, seen)


def _name(table: CheckedTable, column: str, level: str, rows: int) -> str:
    """Name a level if the contract says that the column is public, else only describe it."""
    words = {str(each) for each in table.contract.levels.get(column, ())}
    public = column in table.contract.public and rows >= _SHOWN and "@" not in level
    return repr(level) if public or level in words else f"a level of {len(level)} characters"


def _folded(level: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", level).replace("_", " ").casefold().split())


def _variants(table: CheckedTable, column: str, levels: Levels) -> Iterator[Finding]:
    groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for level, rows in levels.items():
        groups[_folded(level)].append((rows, level))
    doubled = [sorted(group, reverse=True) for folded, group in groups.items() if len(group) > 1 and folded]
    if doubled:
        rows = sum(n for group in doubled for n, _ in group[1:])
        n, first = doubled[0][0]
        yield table.finding(
            "level-variants",
            column,
            rows=rows,
            found=f"{len(doubled):,} levels are written in several ways (case, blanks, underscores), one of them "
            f"{_name(table, column, first, n)}: {share_text(rows, table.rows)} use the rarer way",
            advice="They count as different levels: write each in one way.",
        )


def _misspelt(table: CheckedTable, column: str, levels: Levels) -> Iterator[Finding]:
    listed = {str(each) for each in table.contract.levels.get(column, ())}
    plain = {level: n for level, n in levels.items() if len(level) >= 5 and not any(sign.isdigit() for sign in level)}
    for level, rows in plain.items():
        meant = [
            other
            for other, n in plain.items()
            if (other in listed or rows <= _RARE * n)
            and level not in listed
            and _folded(level) != _folded(other)
            and _one_slip(_folded(level), _folded(other))
        ]
        if meant:
            n = plain[meant[0]]
            yield table.finding(
                "misspelt-level",
                column,
                rows=rows,
                found=f"{share_text(rows, table.rows)} hold {_name(table, column, level, rows)}, one slip away from "
                f"{_name(table, column, meant[0], n)} with {n:,} rows",
                advice="It counts as a level of its own: correct the spelling, or list it under `levels:`.",
            )


def _one_slip(one: str, other: str) -> bool:
    """Whether one letter is wrong, missing, too many, or two neighbours are swapped.

    Examples
    --------
    >>> _one_slip("delivred", "delivered"), _one_slip("shipped", "shippde"), _one_slip("north", "south")
    (True, True, False)
    """
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    a, b = one[start:], other[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[:2][::-1] and a[2:] == b[2:])


def _third_answers(table: CheckedTable, column: str, levels: Levels) -> Iterator[Finding]:
    folded = {level: _folded(level) for level in levels}
    if "no" not in folded.values():
        return
    alike = [level for level, text in folded.items() if text.startswith(("no ", "not ")) and len(levels) <= 10]
    rows = sum(levels[level] for level in alike)
    if rows:
        yield table.finding(
            "third-answer",
            column,
            rows=rows,
            found=f"{share_text(rows, table.rows)} hold another answer that begins with No, beside No",
            advice="They are not the customers who said no: keep the level apart, or look at those who were asked.",
        )


def _mixed_codes(table: CheckedTable, column: str, levels: Levels) -> Iterator[Finding]:
    codes = {level: n for level, n in levels.items() if level.isascii() and level.isalpha() and level.isupper()}
    lengths: dict[int, int] = defaultdict(int)
    for level in codes:
        lengths[len(level)] += 1
    usual = max(lengths, key=lambda length: lengths[length], default=0)
    if len(codes) < 5 or not 2 <= usual <= 3 or lengths[usual] < 0.9 * len(levels):
        return
    for level, rows in codes.items():
        twins = [other for other in codes if len(other) == usual and len(level) != usual and _within(level, other)]
        if twins:
            yield table.finding(
                "mixed-codes",
                column,
                rows=rows,
                found=f"{share_text(rows, table.rows)} hold a code of {len(level)} letters where others have {usual}; "
                f"it may be the same as one with {max(codes[twin] for twin in twins):,} rows",
                advice="Use one list of codes (ISO 3166 has codes of two and of three letters).",
            )


def _within(short: str, long: str) -> bool:
    """Whether the letters of one code occur in the other, in order and from its first letter."""
    if len(short) > len(long):
        short, long = long, short
    rest = iter(long)
    return short[0] == long[0] and all(letter in rest for letter in short)


def _flag_words(table: CheckedTable, column: str, levels: Levels) -> Iterator[Finding]:
    words = {_folded(level).removesuffix(".0") for level in levels}
    if (
        table.contract.kinds.get(column) == "flag"
        and table.family(column) == "text"
        and not words <= set.union(*_FLAG_WORDS)
    ):
        yield table.finding(
            "wrong-kind",
            column,
            severity="error",
            rows=sum(levels.values()),
            found=f"a flag has {len(words)} levels other than yes and no",
            advice="A flag is true or false, yes or no, 1 or 0.",
        )
    elif words == {"1", "2"} and min(levels.values()) >= _SHOWN and not table.is_id(column):
        yield table.finding(
            "one-or-two",
            column,
            severity="info",
            rows=sum(levels.values()),
            found="the values are 1 and 2",
            advice="If this is a flag, say which is yes: as numbers, their mean is no share.",
        )
    elif len(words) > 2 and words <= set.union(*_FLAG_WORDS) and table.family(column) == "text":
        yield table.finding(
            "level-variants",
            column,
            rows=sum(levels.values()),
            found=f"yes and no are written in {len(words)} ways",
            advice="Write each in one way.",
        )


def _leaks(table: CheckedTable, seen: LevelTable) -> Iterator[Finding]:
    outcome = table.contract.outcome
    base = seen.levels.get(outcome, {})
    total = sum(base.values())
    if len(base) < 2 or not total:
        return
    commonest = max(base.values()) / total
    for column, pairs in seen.by_outcome.items():
        best: dict[str, int] = defaultdict(int)
        for (level, _), n in pairs.items():
            best[level] = max(best[level], n)
        rows = sum(pairs.values())
        told = sum(best.values()) / rows if rows else 0.0
        if 20 * len(best) > rows or told < _NEARLY or commonest > 1 - 2 * (1 - _NEARLY) or len(best) < 2:
            continue
        exactly = "exactly" if told == 1 else f"in {percent(told, 1)} of the rows"
        yield table.finding(
            "gives-outcome-away",
            column,
            rows=sum(best.values()),
            found=f"it tells {outcome} {exactly}: the two are one thing, or it is recorded afterwards",
            advice="Never use it as a CPI, a control or a group when this outcome is studied.",
        )


def _other_scale(table: CheckedTable, seen: LevelTable) -> Iterator[Finding]:
    for (column, number), levels in seen.log_means.items():
        total = sum(n for n, _ in levels.values())
        for level, (n, mean) in levels.items():
            others = total - n
            if n < 30 or others < 30:
                continue
            rest = sum(m * other for other, m in levels.values()) - n * mean
            factor = nearest_factor(mean - rest / others, tolerance=0.15)
            if factor:
                yield table.finding(
                    "unit-guess",
                    number,
                    rows=n,
                    found=f"the {n:,} rows with {_name(table, column, level, n)} of {column} are {factor} the others",
                    advice="Are they in another unit (minutes for hours, cents for euros)?",
                )
