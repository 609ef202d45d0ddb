"""Columns of a table as they are summed: type, scale, cap and origin, in SQL."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.columns import numeric
from cpi_experiments.measure.engine import quote
from cpi_experiments.stats.exact_sums import EXACT
from cpi_experiments.stats.moments import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.measure.engines.source import Engine

Array = np.ndarray

#: Rows that are looked at to choose the origins; any choice is right, a near one keeps more digits.
SAMPLE = 2000
_WHOLE = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|BOOLEAN)")
_PERCENTILE = re.compile(r"p(\d{2}(?:\.\d+)?)")
_LONG = re.compile(r"U?(BIG|HUGE)INT")
_LAST_PLACE = 9e-16
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A number column of a table, ready to be summed.

    Parameters
    ----------
    name : str
    value : str
        SQL of its value as a double; NULL or NaN where missing.
    whole : bool
        Whether ``scale * value`` is a whole number by its type or by declaration.
    scale : float
    origin : float
    rest : str
        SQL of what ``scale * value`` lacks to a whole number, where that was declared; 1 for a whole number that
        doubles cannot hold; empty where nothing has to be checked.
    """

    name: str
    value: str
    whole: bool
    scale: float
    origin: float
    rest: str = ""

    @property
    def shifted(self) -> str:
        """SQL of ``scale * (value - origin)`` as a double."""
        value = f"round({self.value} * {self.scale!r})" if self.scale != 1 else self.value
        origin = float(round(self.scale * self.origin)) if self.whole else self.scale * self.origin
        return f"({value} - ({origin!r}))" if origin else value


def cut_point(engine: Engine, table: str, column: str, cap: float | str, *, among: str = "") -> float:
    """Return a cap as a number; ``"p99"`` asks the engine for the percentile.

    ``among`` is an SQL condition, already quoted, of the rows that count; all by default.

    Raises
    ------
    DataError
        If the cap is neither, or the column has no value.
    """
    if not isinstance(cap, str):
        if not math.isfinite(cap):
            raise DataError(f"cap {cap} of column {column!r} is not a number", advice='Such as 500 or "p99".')
        return float(cap)
    match = _PERCENTILE.fullmatch(cap)
    share = float(match.group(1)) / 100 if match else math.nan
    if not 0.5 <= share < 1:
        raise DataError(f"cap {cap!r} of column {column!r} is not a percentile", advice='From "p50" to below "p100".')
    value = _value(engine, table, column, engine.type_of(table, column))
    known = f"{value} IS NOT NULL AND NOT isnan({value})" + (f" AND ({among})" if among else "")
    sql = f"SELECT quantile_cont({value}, {share!r}) AS cut FROM {quote(table)} WHERE {known}"  # noqa: S608 - quoted
    found = float(engine.query(sql)["cut"][0])
    if math.isnan(found):
        raise DataError(f"column {column!r} has no value to cap", advice="Leave the cap out.")
    return found


def describe_columns(
    engine: Engine,
    table: str,
    columns: Sequence[str],
    *,
    caps: Mapping[str, float],
    scales: Mapping[str, int],
    origins: Mapping[str, float],
) -> tuple[Column, ...]:
    """Find the type, scale and origin of every column.

    Raises
    ------
    DataError
        If a column is text or a time.
    """
    kinds = {name: engine.type_of(table, name) for name in columns}
    values = {name: _value(engine, table, name, kinds[name]) for name in columns}
    listed = ", ".join(f"{values[name]} AS c{i}" for i, name in enumerate(columns))
    sample = engine.query(f"SELECT {listed} FROM {quote(table)} LIMIT {SAMPLE}") if columns else {}  # noqa: S608 - quoted
    return tuple(
        _column(
            name,
            kinds[name],
            values[name],
            sample[f"c{i}"],
            cap=caps.get(name),
            scale=scales.get(name),
            origin=origins.get(name),
        )
        for i, name in enumerate(columns)
    )


def _value(engine: Engine, table: str, name: str, kind: str) -> str:
    column = quote(name)
    if kind == "BOOLEAN":
        return f"CAST(CAST({column} AS INTEGER) AS DOUBLE)"
    if _WHOLE.fullmatch(kind) or _DECIMAL.fullmatch(kind) or kind in ("DOUBLE", "FLOAT", "REAL"):
        return f"CAST({column} AS DOUBLE)" if kind != "DOUBLE" else column
    if not engine.query(f"SELECT count({column}) AS n FROM {quote(table)}")["n"][0]:  # noqa: S608 - quoted
        return "CAST(NULL AS DOUBLE)"  # a column without any value has no type of its own
    numeric({name: engine.query(f"SELECT {column} AS v FROM {quote(table)}")["v"]}, name)  # noqa: S608 - quoted
    raise DataError(f"column {name!r} is {kind}, not a number", advice="Store it as a number.")


def _column(
    name: str, kind: str, value: str, sample: Array, *, cap: float | None, scale: int | None, origin: float | None
) -> Column:
    decimal = _DECIMAL.fullmatch(kind)
    whole = scale is not None or decimal is not None or _WHOLE.fullmatch(kind) is not None
    times = float(scale if scale is not None else 10 ** int(decimal.group(2)) if decimal else 1)
    numbers = np.asarray(sample, dtype=float)
    rest = f"CASE WHEN abs({value}) > {EXACT!r} THEN 1e0 ELSE 0e0 END" if _LONG.fullmatch(kind) else ""
    if scale is not None:
        if not (isinstance(scale, int) and scale > 0):
            raise DataError(f"scale {scale} of column {name!r} is not a whole number above 0", advice="Such as 100.")
        # what doubles cannot show of a large value is no rest: four units in its last place
        rest = f"(abs({value} * {times!r} - round({value} * {times!r})) - abs({value} * {times!r}) * {_LAST_PLACE!r})"
    if cap is not None:
        above = f"{value} > {float(cap)!r} AND NOT isnan({value})"  # NaN is above every number to the engine
        value = f"CASE WHEN {above} THEN {float(cap)!r} ELSE {value} END"
        numbers = np.minimum(numbers, cap)
        whole = whole and float(cap * times).is_integer()
    if origin is not None and whole:
        whole = abs(times * origin - round(times * origin)) <= 1e-12 * max(abs(times * origin), 1)
    chosen = origin_of(numbers[~np.isnan(numbers)] * times, whole=whole) / times if origin is None else float(origin)
    return Column(name=name, value=value, whole=whole, scale=times, origin=chosen, rest=rest)
