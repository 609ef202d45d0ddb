"""Clustered errors for the few cells of a screen that stand out: their scores by cluster, squared and summed in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.moments.cells import plain_columns
from cpi_experiments.stats.regression import small_sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.measure.engines.source import Engine

Array = np.ndarray

#: Cells that are estimated again; their scores are taken some at a time, so that a million clusters fit the memory.
MOST_SURVIVORS = 100
_BLOCK = 25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survivor:
    """One cell of a screen, solved about the origins.

    Parameters
    ----------
    cpi, kpi : str
    labels : tuple
        Of its segment, one a key.
    n : int
        Rows.
    slope : float
    intercept, explained : array, shape (1 + q,)
        Constant and controls of the regressions of the KPI (with the CPI) and of the CPI.
    left : float
        Squares of the CPI that the controls leave.
    """

    cpi: str
    kpi: str
    labels: tuple[object, ...]
    n: int
    slope: float
    intercept: Array
    explained: Array
    left: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusteredErrors:
    """Standard errors (CR1), clusters, and how many of them carry the slope, of every survivor; shape (S,)."""

    std_error: Array
    clusters: Array
    carriers: Array


def clustered_errors(
    engine: Engine,
    table: str,
    survivors: Sequence[Survivor],
    *,
    controls: Sequence[str],
    by: Sequence[str],
    cluster: str,
    origin: Mapping[str, float],
) -> ClusteredErrors:
    """Give the slopes of survivors errors clustered by a column.

    Parameters
    ----------
    engine : Engine
    table : str
    survivors : sequence of Survivor
    controls, by : sequence of str
    cluster : str
    origin : mapping of column to float
        What was subtracted from every column.

    Raises
    ------
    EstimationError
        If rows have no cluster.

    References
    ----------
    Carter, Schnepel, Steigerwald (2017), Rev. Econ. Stat. 99: clusters that carry a slope.
    """
    _check_labelled(engine, table, cluster)
    found = [
        _one_scan(engine, table, survivors[at : at + _BLOCK], controls=controls, by=by, cluster=cluster, origin=origin)
        for at in range(0, len(survivors), _BLOCK)
    ]
    squares, clusters, own, own_squares = np.concatenate(found, axis=1)
    left, n = (np.array([getattr(each, name) for each in survivors], dtype=float) for name in ("left", "n"))
    factor = small_sample(n, len(controls) + 2, np.maximum(clusters, 2))  # type: ignore[arg-type] # the formula holds for arrays
    return ClusteredErrors(
        std_error=np.sqrt(squares * factor) / left,
        clusters=clusters.astype(np.int64),
        carriers=own**2 / own_squares,
    )


def _one_scan(
    engine: Engine,
    table: str,
    survivors: Sequence[Survivor],
    *,
    controls: Sequence[str],
    by: Sequence[str],
    cluster: str,
    origin: Mapping[str, float],
) -> Array:
    """Sum squared scores, clusters, own squares and their squares; shape (4, S)."""
    names = list(dict.fromkeys([*controls, *(each.cpi for each in survivors), *(each.kpi for each in survivors)]))
    place = {name: f"v{i}" for i, name in enumerate(names)}
    known = {
        each.name: f"CASE WHEN isnan({each.value}) THEN NULL ELSE {each.value} END"
        for each in plain_columns(engine, table, names)
    }
    values = [f"({known[name]}) - ({origin[name]!r}) AS {place[name]}" for name in names]
    keys = [f"{quote(name)} AS k{g}" for g, name in enumerate(by)]
    rows = f"SELECT {', '.join([f'{quote(cluster)} AS g', *keys, *values])} FROM {quote(table)}"  # noqa: S608 - quoted
    held = [place[name] for name in controls]
    inner, labels = [], []
    for s, each in enumerate(survivors):
        x, y = place[each.cpi], place[each.kpi]
        inside = [f"{y} IS NOT NULL", *(f"k{g} {'IS NULL' if _none(v) else '= ?'}" for g, v in enumerate(each.labels))]
        left = f"({x} - ({_combined(each.explained, held)}))"
        error = f"({y} - ({_combined(each.intercept, held)}) - ({_real(each.slope)}) * {x})"
        when = f"CASE WHEN {' AND '.join(inside)} THEN {left}"
        inner += [f"sum({when} * {error} END) AS s{s}", f"sum({when} * {left} END) AS w{s}"]
        labels += 2 * [_plain(label) for label in each.labels if not _none(label)]
    outer = [
        f"sum(s{s} * s{s}) AS a{s}, count(s{s}) AS b{s}, sum(w{s}) AS c{s}, sum(w{s} * w{s}) AS d{s}"
        for s in range(len(survivors))
    ]
    clusters = f"SELECT {', '.join(inner)} FROM ({rows}) AS used GROUP BY g"  # noqa: S608 - quoted
    found = engine.query(f"SELECT {', '.join(outer)} FROM ({clusters}) AS clusters", labels)  # noqa: S608 - quoted
    return np.array([[float(found[f"{kind}{s}"][0]) for s in range(len(survivors))] for kind in "abcd"])


def _check_labelled(engine: Engine, table: str, cluster: str) -> None:
    kind, name = engine.type_of(table, cluster), quote(cluster)
    known = f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END" if kind in ("DOUBLE", "FLOAT", "REAL") else name
    found = engine.query(f"SELECT count(*) AS n, count({known}) AS known FROM {quote(table)}")  # noqa: S608 - quoted
    n, lost = int(found["n"][0]), int(found["n"][0]) - int(found["known"][0])
    if lost:
        raise EstimationError(
            f"{lost:,} of {n:,} rows have no {cluster!r}",
            advice="A row without it belongs nowhere. Fill it in, or leave these rows out on purpose.",
        )


def _combined(weights: Array, columns: Sequence[str]) -> str:
    return " + ".join([_real(weights[0]), *(f"({_real(w)}) * {c}" for w, c in zip(weights[1:], columns, strict=True))])


def _real(number: float) -> str:
    """Write a double so that every dialect reads it as that double, not as a decimal."""
    return f"{float(number):.17e}"


def _none(label: object) -> bool:
    return label is None or label != label  # noqa: PLR0124 - true for NaN and NaT


def _plain(label: object) -> object:
    plain = label.astype("datetime64[us]") if isinstance(label, np.datetime64) else label
    return plain.item() if isinstance(plain, np.generic) else plain
