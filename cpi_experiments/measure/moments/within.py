"""Sums by unit and period for two-way fixed effects: three aggregations of one table, no rows in Python.

1. By period: rows, sums and products; 2. by unit, then by the set of periods in which units were seen; 3. by unit, the
scores, once slopes and period effects are known. The periods enter 2 and 3 as a small table that is joined, so that no
dialect needs lists, shifts or window functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.measure.columns import LARGEST, missing
from cpi_experiments.measure.engine import Tables, quote
from cpi_experiments.measure.engines.batches import can_stream, stream_batches
from cpi_experiments.measure.engines.source import Engine
from cpi_experiments.measure.moments.columns import Column, describe_columns
from cpi_experiments.stats.one_blas_thread import one_blas_thread
from cpi_experiments.stats.regression import Regression
from cpi_experiments.stats.within_moments import (
    MOST_PERIODS,
    UnitSums,
    WithinMoments,
    WithinScores,
    WithinSolution,
    add_units,
    solve_within,
    take_units,
    within_regression,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


Array = np.ndarray

#: Columns whose products fit one query on every engine.
MOST_COLUMNS = 20
_BATCH = 16_384
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG)?INT(EGER)?|BOOLEAN|DOUBLE|FLOAT|REAL|DECIMAL\(.*")
_FLOAT = ("DOUBLE", "FLOAT", "REAL")
_TIME = re.compile(r"(TINY|SMALL|BIG)?INT(EGER)?|DOUBLE|VARCHAR|DATE|TIMESTAMP")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WithinFit:
    """A regression with effects of unit and period, and the rows that it could not use.

    Parameters
    ----------
    regression : Regression
    dropped : tuple of (reason, rows)
        Rows with a missing value, each under its first missing column; singletons are counted by the regression.
    n_rows : int
        Rows of the table.
    periods : array, shape (T,)
        Labels of the periods, in order.
    """

    regression: Regression
    dropped: tuple[tuple[str, int], ...]
    n_rows: int
    periods: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Panel:
    """A table with its columns, the outcome first; ``periods`` are the labels of the periods once they are known."""

    engine: Engine
    table: str
    columns: tuple[Column, ...]
    unit: str
    time: str
    complete: bool = True
    periods: tuple[object, ...] = ()

    @property
    def rows(self) -> str:
        """SQL of the rows that are used: unit ``u``, period ``t``, columns ``v0``, ``v1``, ..."""
        values = ", ".join(f"{each.shifted} AS v{i}" for i, each in enumerate(self.columns))
        rows = f"SELECT {quote(self.unit)} AS u, {quote(self.time)} AS t, {values} FROM {quote(self.table)}"  # noqa: S608 - quoted
        if self.complete:
            return rows
        known = " AND ".join(f"NOT ({_is_missing(f'v{i}')})" for i in range(len(self.columns)))
        return f"SELECT * FROM ({rows}) AS every WHERE {known}"  # noqa: S608 - quoted

    def lookup(self, numbers: Sequence[Sequence[str]]) -> str:
        """Write a table with the numbers of every period: columns ``label``, ``c0``, ``c1``, ..."""
        kind = self.engine.type_of(self.table, self.time)
        listed = ", ".join(f"(CAST(? AS {kind}), {', '.join(row)})" for row in numbers)
        names = ", ".join(f"c{i}" for i in range(len(numbers[0])))
        return f"(VALUES {listed}) AS periods(label, {names})"


def fit_within(
    engine: Engine, table: str, *, outcome: str, columns: Sequence[str], unit: str, time: str
) -> WithinFit | None:
    """Regress an outcome on columns with effects of unit and period, errors clustered by unit (CR1).

    Parameters
    ----------
    engine : Engine
    table : str
    outcome : str
    columns : sequence of str
        Numbers or flags; rows that miss a value are blamed on the first column, then the outcome, then the others.
    unit, time : str
        Columns of units and periods.

    Returns
    -------
    WithinFit or None
        None where the rows themselves have to be read: labels are missing, a unit has two rows in a period, more than
        62 periods, columns that are not numbers, values beyond 1e150, or what `solve_within` cannot answer to ten
        digits. Nothing is refused here; the path that reads the rows says what is wrong with them.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.measure.engine import Tables
    >>> rng = np.random.default_rng(7)
    >>> broker, month = (codes.ravel() for codes in np.indices((50, 8)))
    >>> hours = 20 + broker % 5 + rng.normal(size=400)
    >>> frame = pd.DataFrame({"broker": broker, "month": month, "hours": hours})
    >>> frame["won"] = 3 * (broker % 5) - 0.8 * hours + rng.normal(size=400)
    >>> with Tables({"past": frame}) as tables:
    ...     fit = fit_within(tables, "past", outcome="won", columns=["hours"], unit="broker", time="month")
    >>> fit.regression.coefficients.round(3).tolist(), fit.regression.n_clusters
    ([-0.839], 50)
    """
    names = [outcome, *columns]
    if len(names) > MOST_COLUMNS or not _usable_types(engine, table, names, time):
        return None
    described = describe_columns(engine, table, names, caps={}, scales={}, origins={})
    panel = _Panel(engine=engine, table=table, columns=described, unit=unit, time=time)
    found = _by_period(panel)
    dropped: tuple[tuple[str, int], ...] = ()
    if found is None:  # some value is missing
        counted = _count_missing(panel, blamed=(1, 0, *range(2, len(names))))
        if counted is None:
            return None
        dropped = counted
        panel = replace(panel, complete=False)
        found = _by_period(panel)
    if found is None or not _usable_periods(found):
        return None
    order = np.argsort(found["t"], kind="stable")
    found = {name: values[order] for name, values in found.items()}
    panel = replace(panel, periods=tuple(_plain_label(label) for label in found["t"]))
    moments = _by_unit(panel, found)
    solution = None if moments is None else solve_within(moments)
    if solution is None:
        return None
    return WithinFit(
        regression=within_regression(solution, _scores(panel, solution)),
        dropped=dropped,
        n_rows=int(found["n"].sum()) + sum(count for _, count in dropped),
        periods=found["t"],
    )


def _usable_types(engine: Engine, table: str, names: Sequence[str], time: str) -> bool:
    numbers = all(_NUMBER.fullmatch(engine.type_of(table, name)) for name in names)
    return numbers and bool(_TIME.fullmatch(engine.type_of(table, time)))


def _usable_periods(found: dict[str, Array]) -> bool:
    labels = found["t"]
    if not 2 <= len(labels) <= MOST_PERIODS or missing(labels).any():
        return False
    sums = np.concatenate([np.abs(values) for name, values in found.items() if name[0] in "sq"])
    return bool(np.all(sums < LARGEST**2))  # False for NaN, too


# -- queries ---------------------------------------------------------------------------------------------------------


def _by_period(panel: _Panel) -> dict[str, Array] | None:
    """Rows, sums and products by period; None if a value or the unit is missing somewhere."""
    p = range(len(panel.columns))
    sums = [f"sum(v{i}) AS s{i}" for i in p] + [f"sum(v{i} * v{j}) AS q{i}_{j}" for i in p for j in p if i <= j]
    present = f"count({' + '.join(f'v{i}' for i in p)}) AS present"
    labelled = f"count({_unless_nan(panel, panel.unit, 'u')}) AS labelled"
    found = panel.engine.query(
        f"SELECT t, count(*) AS n, {present}, {labelled}, {', '.join(sums)} FROM ({panel.rows}) AS used GROUP BY t"  # noqa: S608 - quoted
    )
    complete = np.array_equal(found["n"], found["present"]) and np.array_equal(found["n"], found["labelled"])
    return found if complete and not any(np.isnan(found[f"s{i}"]).any() for i in p) else None


def _count_missing(panel: _Panel, *, blamed: Sequence[int]) -> tuple[tuple[str, int], ...] | None:
    """Count rows by their first missing column; None if some value is not a finite number of ordinary size."""
    cases, before = [], "1 = 1"
    for i in blamed:
        cases.append(f"sum(CASE WHEN {before} AND {_is_missing(f'v{i}')} THEN 1 ELSE 0 END) AS m{i}")
        before += f" AND NOT ({_is_missing(f'v{i}')})"
    wild = " OR ".join(f"(NOT ({_is_missing(f'v{i}')}) AND abs(v{i}) > {LARGEST!r})" for i in blamed)
    found = panel.engine.query(
        f"SELECT {', '.join(cases)}, sum(CASE WHEN {wild} THEN 1 ELSE 0 END) AS wild FROM ({panel.rows}) AS used"  # noqa: S608 - quoted
    )
    if int(found["wild"][0]):
        return None
    counts = [(f"without {panel.columns[i].name}", int(found[f"m{i}"][0])) for i in blamed]
    return tuple((reason, count) for reason, count in counts if count)


def _by_unit(panel: _Panel, found: dict[str, Array]) -> WithinMoments | None:
    """Take in the units by their sums and the periods they were seen in; None if a unit has two rows in one period."""
    p = len(panel.columns)
    pairs = [(i, j) for i in range(p) for j in range(i, p)]
    inner = ", ".join(f"sum(v{i}) AS s{i}" for i in range(p))
    bits = panel.lookup([[f"CAST({1 << t} AS BIGINT)"] for t in range(len(panel.periods))])
    units = f"SELECT bit_or(c0) AS b, {inner} FROM ({panel.rows}) AS used JOIN {bits} ON t = label GROUP BY u"  # noqa: S608 - quoted
    engine = panel.engine
    if isinstance(engine, Tables) and can_stream(engine):
        sums = _streamed(engine, panel, units)
    else:
        sums = _by_set(panel, units, pairs)
    if sums.rows != int(found["n"].sum()):
        return None
    return WithinMoments(
        products=_square({pair: found[f"q{pair[0]}_{pair[1]}"].sum() for pair in pairs}, p),
        period_rows=found["n"].astype(np.int64),
        period_sums=np.column_stack([found[f"s{i}"] for i in range(p)]),
        units=sums,
    )


def _streamed(engine: Tables, panel: _Panel, units: str) -> UnitSums:
    """Take in the units batch by batch: what is kept does not grow with them."""
    with one_blas_thread():
        batches = stream_batches(engine, units, panel.periods, rows=_BATCH)
        parts = (take_units(seen, np.column_stack(sums), periods=len(panel.periods)) for seen, *sums in batches)
        return reduce(add_units, parts)


def _by_set(panel: _Panel, units: str, pairs: Sequence[tuple[int, int]]) -> UnitSums:
    """Let the engine add up the units that were seen in the same periods, and fetch these sets at once."""
    p = len(panel.columns)
    outer = [f"sum(s{i}) AS s{i}" for i in range(p)] + [f"sum(s{i} * s{j}) AS q{i}_{j}" for i, j in pairs]
    sets = panel.engine.query(
        f"SELECT b, count(*) AS units, {', '.join(outer)} FROM ({units}) AS units GROUP BY b ORDER BY b",  # noqa: S608 - quoted
        panel.periods,
    )
    return take_units(
        sets["b"].astype(np.int64),
        np.column_stack([sets[f"s{i}"] for i in range(p)]),
        periods=len(panel.periods),
        units=sets["units"].astype(np.int64),
        products=_square({(i, j): sets[f"q{i}_{j}"] for i, j in pairs}, p),
    )


def _scores(panel: _Panel, solution: WithinSolution) -> WithinScores:
    """Sum the scores of the units: what is left of every column times what is left of the outcome."""
    k = len(solution.coefficients)
    periods = zip(solution.period_columns, solution.period_effects, strict=True)
    known = panel.lookup([[*map(_real, columns), _real(effect)] for columns, effect in periods])
    fitted = " + ".join(f"({_real(b)}) * v{j + 1}" for j, b in enumerate(solution.coefficients))
    left = [f"v{j + 1} - c{j} AS x{j}" for j in range(k)]
    weights = solution.bread[0] / solution.bread[0, 0]
    own = " + ".join(f"({_real(weight)}) * x{j}" for j, weight in enumerate(weights))
    rows = f"SELECT u, v0 - ({fitted}) - c{k} AS e, {', '.join(left)} FROM ({panel.rows}) AS used JOIN {known} ON t = label"  # noqa: E501, S608 - quoted
    inner = [f"sum(x{j} * e) AS xe{j}, sum(x{j}) AS x{j}" for j in range(k)]
    units = f"SELECT count(*) AS n, sum(e) AS e, sum(({own}) * ({own})) AS z, {', '.join(inner)} FROM ({rows}) AS rest GROUP BY u"  # noqa: E501, S608 - quoted
    scores = [f"xe{j} - x{j} * e / n AS s{j}" for j in range(k)]
    per_unit = f"SELECT z - ({own}) * ({own}) / n AS z, {', '.join(scores)} FROM ({units}) AS units"  # noqa: S608 - quoted
    pairs = [(i, j) for i in range(k) for j in range(i, k)]
    sums = [f"sum(s{j}) AS s{j}" for j in range(k)] + [f"sum(s{i} * s{j}) AS q{i}_{j}" for i, j in pairs]
    found = panel.engine.query(
        f"SELECT sum(z) AS z, sum(z * z) AS zz, {', '.join(sums)} FROM ({per_unit}) AS scores",  # noqa: S608 - quoted
        panel.periods,
    )
    return WithinScores(
        total=np.array([found[f"s{j}"][0] for j in range(k)]),
        products=_square({pair: found[f"q{pair[0]}_{pair[1]}"][0] for pair in pairs}, k),
        own=float(found["z"][0]),
        own_squared=float(found["zz"][0]),
    )


def _is_missing(value: str) -> str:
    return f"({value} IS NULL OR isnan({value}))"


def _unless_nan(panel: _Panel, name: str, value: str) -> str:
    if panel.engine.type_of(panel.table, name) not in _FLOAT:
        return value
    return f"CASE WHEN isnan({value}) THEN NULL ELSE {value} END"


def _real(number: float) -> str:
    """Write a double so that every dialect reads it as that double, not as a decimal."""
    return f"{float(number):.17e}"


def _plain_label(label: object) -> object:
    plain = label.astype("datetime64[us]") if isinstance(label, np.datetime64) else label
    return plain.item() if isinstance(plain, np.generic) else plain


def _square(entries: dict[tuple[int, int], Array], size: int) -> Array:
    """Symmetric matrices from their upper entries, shape (..., size, size)."""
    first = np.asarray(next(iter(entries.values())))
    square = np.empty((*first.shape, size, size))
    for (i, j), values in entries.items():
        square[..., i, j] = square[..., j, i] = values
    return square
