"""What the raw values of a built-in indicator are worth, and which of them cannot exist."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.catalog.indicator_kinds import Reading
from cpi_experiments.errors import DataError
from cpi_experiments.measure.columns import LARGEST
from cpi_experiments.measure.engine import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.catalog.indicator_kinds import IndicatorKind
    from cpi_experiments.measure.engines.source import Engine

_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A raw value with what it may be.

    Parameters
    ----------
    name : str
        How messages call it.
    raw : str
        SQL of the raw value as a double.
    where : str
        SQL of the events that count.
    allowed : (low, high) or None
    whole : bool
        Whether it must be a whole number.
    scaled : bool
        Whether another scale can be declared.
    """

    name: str
    raw: str
    where: str = "TRUE"
    allowed: tuple[float, float] | None = None
    whole: bool = False
    scaled: bool = False

    @property
    def impossible(self) -> str:
        """SQL that is true where the raw value is there and cannot exist.

        Examples
        --------
        >>> Answer(name="nps", raw="s", allowed=(0.0, 10.0)).impossible
        'TRUE AND s IS NOT NULL AND NOT isnan(s) AND (s < 0e0 OR s > 10e0)'
        """
        low, high = self.allowed or (-math.inf, math.inf)
        tests = [f"{self.raw} < {_literal(low)}"] if low > -math.inf else []
        tests += [f"{self.raw} > {_literal(high)}"] if high < math.inf else []
        tests += [f"{self.raw} <> floor({self.raw})"] if self.whole else []
        return (
            f"{self.where} AND {self.raw} IS NOT NULL AND NOT isnan({self.raw}) AND ({' OR '.join(tests) or 'FALSE'})"
        )


def read_answer(
    kind: IndicatorKind,
    raw: str,
    *,
    scale: tuple[float, float] | None = None,
    promise: float = math.nan,
    top: int = 1,
) -> str:
    """Write the SQL of what one event is worth.

    Parameters
    ----------
    kind : IndicatorKind
    raw : str
        SQL of the raw value as a double.
    scale : (low, high), optional
        Declared scale of the answers.
    promise : float
        In the unit of the raw value.
    top : int
        How many of the highest answers are the top box.

    Examples
    --------
    >>> from cpi_experiments.catalog.known_kinds import find_kind
    >>> read_answer(find_kind("nps"), "s")
    'CASE WHEN s IS NULL OR isnan(s) THEN NULL WHEN s >= 9e0 THEN 100e0 WHEN s <= 6e0 THEN -100e0 ELSE 0e0 END'
    """
    if kind.reading is Reading.NPS:
        cases = f"WHEN {raw} >= 9e0 THEN 100e0 WHEN {raw} <= 6e0 THEN -100e0 ELSE 0e0"
    elif kind.reading is Reading.TOP_BOX:
        highest = (kind.allowed(scale) or (math.nan, math.nan))[1]
        cases = f"WHEN {raw} > {_literal(highest - top)} THEN 1e0 ELSE 0e0"
    elif kind.reading is Reading.PROMISE:
        # impossible durations stay what they are, for whoever sets them aside
        impossible = f"WHEN {raw} < 0e0 OR {raw} > {LARGEST!r} THEN {raw}"
        cases = f"{impossible} WHEN {raw} <= {_literal(promise)} THEN 1e0 ELSE 0e0"
    else:
        return raw
    # NaN is larger than every number in SQL
    return f"CASE WHEN {raw} IS NULL OR isnan({raw}) THEN NULL {cases} END"


def refuse_impossible(engine: Engine, table: str, answers: Sequence[Answer]) -> None:
    """Refuse a table with answers that cannot exist, such as 11 on a scale from 0 to 10; one scan.

    Raises
    ------
    DataError
        With the number of each such value.
    """
    if not answers:
        return
    counts = ", ".join(f"sum(CASE WHEN {each.impossible} THEN 1 ELSE 0 END) AS c{i}" for i, each in enumerate(answers))
    found = engine.query(f"SELECT {counts} FROM {quote(table)}")  # noqa: S608 - quoted
    for i, each in enumerate(answers):
        n = float(found[f"c{i}"][0])
        if n > 0:
            raise _impossible(engine, table, each, int(n))


def _impossible(engine: Engine, table: str, answer: Answer, n: int) -> DataError:
    found = engine.query(
        f"SELECT {answer.raw} AS v, count(*) AS n FROM {quote(table)} WHERE {answer.impossible} "  # noqa: S608 - quoted
        f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_SHOWN + 1}"
    )
    values = [(float(value), int(count)) for value, count in zip(found["v"], found["n"], strict=True)]
    listed = ", ".join(f"{count:,} x {value:g}" for value, count in values[:_SHOWN])
    more = ", ..." if len(values) > _SHOWN else ""
    return DataError(
        f"{n:,} values of {answer.name!r} cannot exist: {listed}{more}",
        where=f"table {table!r}",
        advice=_what_is_allowed(answer, [value for value, _ in values]),
    )


def _what_is_allowed(answer: Answer, bad: Sequence[float]) -> str:
    low, high = answer.allowed or (-math.inf, math.inf)
    if (low, high) == (0.0, 1.0):
        top = max(bad)
        guess = f"max {top:g} > 1; unit percent? " if top > 1 else ""
        return f"{guess}Give 0 or 1 for every event, or a comparison such as `contacts == 1`."
    span = f"from {low:g} to {high:g}" if math.isfinite(high) else f"from {low:g}"
    numbers = "Whole numbers" if answer.whole else "Numbers"
    other = f" Another scale is declared as `scale`, such as ({low:g}, {2 * high:g})." if answer.scaled else ""
    return f"{numbers} {span} are allowed. Leave codes that mean `no answer` empty.{other}"


def _literal(value: float) -> str:
    text = f"{value:.17g}" if float(f"{value:.15g}") != value else f"{value:.15g}"
    text = text if "e" in text else f"{text}e0"
    return f"({text})" if text.startswith("-") else text
