"""Sums for every CPI x KPI x segment of a screen, each over its own complete rows, in one scan.

A batch without missing values adds one product of all its columns. Where values are missing, the products of each CPI
with each KPI are taken over the rows that have both and all controls: a handful of matrix products more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.engines.batches import can_stream
from cpi_experiments.measure.moments.columns import Column, describe_columns
from cpi_experiments.measure.moments.gather import gather_table
from cpi_experiments.measure.moments.wide import stream_groups
from cpi_experiments.stats.exact_sums import as_floats, codes_of
from cpi_experiments.stats.moments import Moments, origin_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engines.source import Engine

Array = np.ndarray

#: Cells of a screen; more need more care than a screen can give.
MOST_CELLS = 2_000_000
#: Products of one query on engines that cannot hand out batches.
_PRODUCTS = 300
_NUMBER = re.compile(r"(U?(TINY|SMALL|BIG)?INT(EGER)?|BOOLEAN|FLOAT|REAL|DECIMAL\(.*)")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellSums:
    """Sums of ``[1, controls, CPI, KPI]`` for every segment, CPI and KPI.

    Parameters
    ----------
    keys : mapping of key to array, shape (G,)
        Labels of the segments; empty if there is one only.
    grams : array, shape (G, I, J, m, m)
        Sums of products about the origins; ``m`` is 3 plus the number of controls.
    origin : mapping of column to float
        What was subtracted from every column.
    """

    keys: Mapping[str, Array]
    grams: Array
    origin: Mapping[str, float]


@dataclass(slots=True, kw_only=True, eq=False)
class _Growing:
    """Sums while the rows stream by; columns are controls, CPIs, KPIs in this order."""

    n_controls: int
    n_cpis: int
    origins: Array | None = None
    full: dict[int, Array] = field(default_factory=dict)
    pairs: dict[int, Array] = field(default_factory=dict)

    def add(self, group: int, rows: Array) -> bool:
        if self.origins is None:
            self.origins = np.array([[origin_of(row[~np.isnan(row)], whole=False)] for row in rows[1:]])
        rows[1:] -= self.origins
        products = rows @ rows.T
        if np.isnan(products).any():
            pairs = pair_grams(rows[1:], n_controls=self.n_controls, n_cpis=self.n_cpis)
            self.pairs[group] = self.pairs.get(group, 0.0) + pairs
        else:
            self.full[group] = self.full.get(group, 0.0) + products
        return True


def gather_cells(
    engine: Engine,
    table: str,
    *,
    cpis: Sequence[str],
    kpis: Sequence[str],
    controls: Sequence[str] = (),
    by: Sequence[str] = (),
) -> CellSums:
    """Sum what all cells of a screen need, each over the rows in which its CPI, its KPI and all controls are present.

    Parameters
    ----------
    engine : Engine
    table : str
    cpis, kpis, controls : sequence of str
        Columns of numbers or flags.
    by : sequence of str
        Columns of segments.

    Raises
    ------
    DataError
        If a column is not a number or holds infinite values, or there are more than two million cells.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.measure.engine import Tables
    >>> frame = pd.DataFrame({"hours": [1.0, 2.0, None, 5.0], "won": [0.0, 1.0, 1.0, 1.0]})
    >>> with Tables({"t": frame}) as tables:
    ...     sums = gather_cells(tables, "t", cpis=["hours"], kpis=["won"])
    >>> int(sums.grams[0, 0, 0, 0, 0])
    3
    """
    names = [*controls, *cpis, *kpis]
    if can_stream(engine):
        grown = _Growing(n_controls=len(controls), n_cpis=len(cpis))
        most = MOST_CELLS // (len(cpis) * len(kpis))
        labels = stream_groups(engine, table, plain_columns(engine, table, names), by=by, add=grown.add, most=most)
        if labels is None:
            raise _too_many(f"{len(cpis)} CPIs x {len(kpis)} KPIs in more than {most:,} segments")
        sums = _sums(grown, labels, names, n_kpis=len(kpis))
    else:
        sums = _from_moments(engine, table, cpis=cpis, kpis=kpis, controls=controls, by=by)
    if not np.isfinite(sums.grams).all():
        for name in names:  # describes what is wrong with the column, by its values
            gather_table(engine, table, [name], by=(), pairs=None, caps={}, scales={}, origins={})
        raise DataError("sums of squares leave the range of doubles", advice="Count in larger units.")
    return sums


def pair_grams(rows: Array, *, n_controls: int, n_cpis: int) -> Array:
    """Take the sums of every CPI x KPI over the rows in which both and all controls are present.

    Parameters
    ----------
    rows : array, shape (q + I + J, n)
        Controls, CPIs and KPIs; NaN where missing.
    n_controls, n_cpis : int

    Returns
    -------
    array, shape (I, J, q + 3, q + 3)

    Examples
    --------
    >>> rows = np.array([[1.0, 2.0, np.nan], [3.0, np.nan, 4.0]])
    >>> pair_grams(rows, n_controls=0, n_cpis=1)[0, 0].tolist()
    [[1.0, 1.0, 3.0], [1.0, 1.0, 3.0], [3.0, 3.0, 9.0]]
    """
    q = n_controls
    rows = rows[:, ~np.isnan(rows[:q]).any(axis=0)]
    x, y = rows[q : q + n_cpis], rows[q + n_cpis :]
    has_x, has_y = (~np.isnan(x)).astype(float), (~np.isnan(y)).astype(float)
    x, y = (
        np.nan_to_num(x, nan=0.0, posinf=np.inf, neginf=-np.inf),
        np.nan_to_num(y, nan=0.0, posinf=np.inf, neginf=-np.inf),
    )
    known = np.vstack([np.ones(rows.shape[1]), rows[:q]])
    grams = np.empty((len(x), len(y), q + 3, q + 3))
    for a, one in enumerate(known):
        for b in range(a, q + 1):
            grams[..., a, b] = grams[..., b, a] = (has_x * (one * known[b])) @ has_y.T
        grams[..., a, q + 1] = grams[..., q + 1, a] = (x * one) @ has_y.T
        grams[..., a, q + 2] = grams[..., q + 2, a] = (has_x * one) @ y.T
    grams[..., q + 1, q + 1] = (x * x) @ has_y.T
    grams[..., q + 2, q + 2] = has_x @ (y * y).T
    grams[..., q + 1, q + 2] = grams[..., q + 2, q + 1] = x @ y.T
    return grams


def _sums(grown: _Growing, labels: Mapping[str, Array], names: Sequence[str], *, n_kpis: int) -> CellSums:
    q, n_cpis = grown.n_controls, grown.n_cpis
    groups = max(len(next(iter(labels.values()), [0])), 1)
    grams = np.zeros((groups, n_cpis, n_kpis, q + 3, q + 3))
    for group, pairs in grown.pairs.items():
        grams[group] += pairs
    for group, full in grown.full.items():
        grams[group] += _expanded(full, n_controls=q, n_cpis=n_cpis)
    origins = np.zeros(len(names)) if grown.origins is None else grown.origins[:, 0]
    return CellSums(keys=labels, grams=grams, origin=dict(zip(names, origins.tolist(), strict=True)))


def _expanded(full: Array, *, n_controls: int, n_cpis: int) -> Array:
    """Cut the products of all columns (the constant first) into those of every CPI x KPI."""
    q = n_controls
    x, y = np.arange(q + 1, q + 1 + n_cpis), np.arange(q + 1 + n_cpis, len(full))
    places = np.empty((len(x), len(y), q + 3), dtype=np.intp)
    places[..., : q + 1] = np.arange(q + 1)
    places[..., q + 1] = x[:, None]
    places[..., q + 2] = y
    return np.asarray(full[places[..., :, None], places[..., None, :]])


def plain_columns(engine: Engine, table: str, names: Sequence[str]) -> list[Column]:
    """Describe columns without a look at their values; whatever is not a plain number is described with one.

    Raises
    ------
    DataError
        If a column is missing or is not a number.
    """
    found = []
    for name in names:
        kind = engine.type_of(table, name)
        value = quote(name) if kind == "DOUBLE" else f"CAST({quote(name)} AS DOUBLE)"
        if kind == "DOUBLE" or _NUMBER.fullmatch(kind):
            found.append(Column(name=name, value=value, whole=False, scale=1.0, origin=0.0))
        else:
            found += describe_columns(engine, table, [name], caps={}, scales={}, origins={})
    return found


# -- engines that cannot hand out batches ----------------------------------------------------------------------------


def _from_moments(
    engine: Engine, table: str, *, cpis: Sequence[str], kpis: Sequence[str], controls: Sequence[str], by: Sequence[str]
) -> CellSums:
    """Gather in SQL, some KPIs at a time so that no query grows too long."""
    fixed = [(a, b) for a in (*controls, *cpis) for b in controls] + [(name, name) for name in cpis]
    size = max(1, (_PRODUCTS - len(fixed)) // (len(cpis) + len(controls) + 1))
    blocks = []
    origins: dict[str, float] = {}
    for start in range(0, len(kpis), size):
        some = kpis[start : start + size]
        pairs = [*fixed, *((a, b) for a in (*controls, *cpis) for b in some), *((name, name) for name in some)]
        moments = gather_table(
            engine, table, [*controls, *cpis, *some], by=by, pairs=pairs, caps={}, scales={},
            origins={name: origins[name] for name in (*controls, *cpis) if name in origins},
        )  # fmt: skip
        origins |= dict(zip(moments.columns, moments.origin.tolist(), strict=True))
        blocks.append(_cells_of(moments, cpis=cpis, kpis=some, controls=controls, by=by))
    return CellSums(keys=blocks[0][0], grams=np.concatenate([grams for _, grams in blocks], axis=2), origin=origins)


def _cells_of(
    moments: Moments, *, cpis: Sequence[str], kpis: Sequence[str], controls: Sequence[str], by: Sequence[str]
) -> tuple[dict[str, Array], Array]:
    """Add up, for every CPI x KPI, the cells of moments in which nothing that it needs is missing."""
    joint = np.zeros(len(moments), dtype=np.int64)
    for name in by:
        codes, labels = codes_of(moments.key(name))
        joint = joint * len(labels) + codes
    _, first, group = np.unique(joint, return_index=True, return_inverse=True)
    q = len(controls)
    grams = np.zeros((len(first), len(cpis), len(kpis), q + 3, q + 3))
    place = {pair: k for k, pair in enumerate(moments.pairs)}
    scale = moments.scale
    sums, products = as_floats(moments.sums) / scale, as_floats(moments.products)
    for i, cpi in enumerate(cpis):
        for j, kpi in enumerate(kpis):
            at = [moments.place(name) for name in (*controls, cpi, kpi)]
            complete = moments.present[:, at].all(axis=1)
            gram = np.empty((len(moments), q + 3, q + 3))
            gram[:, 0, 0] = moments.n
            for a, left in enumerate(at, start=1):
                gram[:, 0, a] = gram[:, a, 0] = sums[:, left]
                for b, right in enumerate(at, start=1):
                    k = place[min(left, right), max(left, right)]
                    gram[:, a, b] = products[:, k] / (scale[left] * scale[right])
            np.add.at(grams[:, i, j], group[complete], gram[complete])
    return {name: moments.keys[name][first] for name in by}, grams


def _too_many(found: str) -> DataError:
    return DataError(
        f"{found} are more than {MOST_CELLS:,} cells", advice="Use coarser segments, or fewer CPIs and KPIs."
    )
