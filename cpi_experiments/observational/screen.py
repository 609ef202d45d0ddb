"""Look at every CPI x KPI x segment of past data at once: which links are worth a hypothesis.

A screen nominates and proves nothing. The size of the family is kept: every cell that was looked at counts, those
without an answer, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import Displayed, Row, clean_text, percent, plain, short
from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.measure.engines.opening import open_data
from cpi_experiments.measure.engines.source import Engine
from cpi_experiments.measure.moments.cells import CellSums, gather_cells
from cpi_experiments.measure.moments.scores import MOST_SURVIVORS, Survivor, clustered_errors
from cpi_experiments.stats.regression import FEWEST_CLUSTERS, MANY_CLUSTERS
from cpi_experiments.stats.screening import Slopes, q_values, slopes_of, two_sided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data

Array = np.ndarray

_SHOWN = 10
_COLUMNS = (
    *("cpi", "kpi", "n", "slope", "std_error", "p_value", "q_value", "direction", "passes", "clusters", "note"),
)
_NAMES = {"BH": "Benjamini-Hochberg", "BY": "Benjamini-Yekutieli"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Screen(Displayed):
    """All cells of a screen, strongest first.

    Parameters
    ----------
    cells : mapping of column to array, shape (C,)
        ``cpi``, ``kpi``, the segments, ``n``, ``slope`` (KPI units per unit of the CPI), ``std_error``, ``p_value``,
        ``q_value``, ``direction`` (whether the KPI ``rises`` or ``falls`` with the CPI), ``passes``, ``clusters`` (0
        if the errors are not clustered) and ``note`` (why there is no answer).
    family : int
        Cells that were looked at.
    fdr : float
        False discovery rate among the cells that pass, if the tests were valid.
    procedure : {"BH", "BY"}
    by : tuple of str
        Columns of segments.
    controls : tuple of str
        Columns held constant.
    cluster : str
        Column of the clusters of the errors of the cells that pass; empty if none.
    """

    cells: Mapping[str, Array] = field(repr=False)
    family: int
    fdr: float
    procedure: str
    by: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    cluster: str = ""

    @property
    def passing(self) -> int:
        """Cells that pass."""
        return int(self.cells["passes"].sum())

    @property
    def unanswered(self) -> int:
        """Cells without a p-value; they count as 1 in the family."""
        return int(np.isnan(self.cells["p_value"]).sum())

    def _title(self) -> str:
        n_cpis, n_kpis = (len(set(self.cells[name].tolist())) for name in ("cpi", "kpi"))
        segments = self.family // (n_cpis * n_kpis)
        split = f" x {segments:,} segments by {clean_text(' and '.join(self.by))}" if self.by else ""
        held = f", {clean_text(', '.join(self.controls))} held constant" if self.controls else ""
        errors = f", errors clustered by {clean_text(self.cluster)}" if self.cluster else ""
        size = f"{self.family:,} cells ({n_cpis:,} CPIs x {n_kpis:,} KPIs{split})"
        how = f"{_NAMES[self.procedure]} over all cells{errors}"
        lines = [
            f"{self.passing:,} of {size} pass at a false discovery rate of {percent(self.fdr)} ({how}){held}.",
            self._rows_in_words(),
            "A screen nominates links and proves none: only an experiment can confirm them.",
        ]
        if self.unanswered:
            lines.insert(2, f"{self.unanswered:,} cells gave no p-value; they count in the family and cannot pass.")
        return "\n".join(lines)

    def _rows_in_words(self) -> str:
        low, high = int(self.cells["n"].min()), int(self.cells["n"].max())
        if low == high:
            return f"Every cell has {low:,} rows."
        return f"Each cell uses the rows that have its own CPI and KPI and all controls: {low:,} to {high:,}."

    def _rows(self) -> list[Row]:
        names, columns = list(self.cells), [values.tolist() for values in self.cells.values()]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def _shown(self) -> list[Row]:
        strongest = replace(self, cells={name: values[:_SHOWN] for name, values in self.cells.items()})
        hidden = ("std_error", "clusters", "note")
        return [{key: short(value) for key, value in row.items() if key not in hidden} for row in strongest._rows()]  # noqa: SLF001 - its own class

    def to_dict(self) -> Row:
        """Return the cells and what the screen was asked, as plain Python content."""
        asked = ("family", "fdr", "procedure", "by", "controls", "cluster")
        return {**{name: plain(getattr(self, name)) for name in asked}, "cells": plain(self._rows())}


def screen(  # noqa: PLR0913 - a door: every argument by name
    data: Data,
    *,
    cpis: Sequence[str],
    kpis: Sequence[str],
    controls: Sequence[str] = (),
    by: str | Sequence[str] = (),
    cluster: str | None = None,
    fdr: float = 0.10,
    procedure: str = "BH",
) -> Screen:
    """Estimate the slope of every KPI on every CPI in every segment of past data, and say which stand out.

    All slopes come from sums of one scan, with errors that assume equal variance in all rows. With ``cluster``, the
    cells that pass (the 100 with the smallest p-values at most) are estimated again with clustered errors (CR1), and
    only those that pass once more, in the same family, are nominated; cells of fewer than 40 clusters, or whose slope
    fewer than six clusters carry, do not pass: look at those with `association`.

    Parameters
    ----------
    data : DataFrame, path or glob, DuckDB relation, Spark DataFrame or warehouse table
        One row an observation.
    cpis, kpis : sequence of str
        Columns of numbers or flags. CPIs may be columns of earlier periods.
    controls : sequence of str
        Columns of numbers held constant in every cell.
    by : str or sequence of str
        Columns of segments; a row without one belongs to a segment of its own.
    cluster : str, optional
        Column of the groups within which rows may depend on each other, such as the customer.
    fdr : float
    procedure : {"BH", "BY"}
        See `cpi_experiments.stats.screening.q_values`.

    Returns
    -------
    Screen
        Each cell over the rows in which its CPI, its KPI and all controls are present, with their number.

    Raises
    ------
    DataError
        If columns are missing or no numbers, one is given two parts, or rows have no cluster.
    EstimationError
        If the false discovery rate is not between 0 and 1.

    References
    ----------
    Benjamini, Hochberg (1995), JRSS B 57; Benjamini, Yekutieli (2001), Ann. Statist. 29.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> frame = pd.DataFrame(rng.normal(size=(400, 3)), columns=["hours", "errors", "won"])
    >>> frame["won"] -= 0.4 * frame["hours"]
    >>> found = screen(frame, cpis=["hours", "errors"], kpis=["won"])
    >>> print(found.to_frame()[["cpi", "kpi", "direction", "passes"]].to_string(index=False))
       cpi kpi direction  passes
     hours won     falls    True
    errors won     falls   False
    """
    segments = (by,) if isinstance(by, str) else tuple(by)
    parts = _check_parts(cpis=cpis, kpis=kpis, controls=controls, by=segments)
    if not 0 < fdr < 1:
        raise EstimationError(f"false discovery rate {fdr:g} is not between 0 and 1", advice="Did you mean 0.1?")
    with open_data(data, [*parts, *([cluster] if cluster else [])]) as (engine, table):
        sums = gather_cells(engine, table, cpis=cpis, kpis=kpis, controls=controls, by=segments)
        shape = sums.grams.shape
        slopes = slopes_of(sums.grams.reshape(-1, *shape[3:]))
        first = q_values(slopes.p_value, procedure=procedure)
        columns = _columns(slopes, sums, cpis=cpis, kpis=kpis)
        if cluster:
            again = _Again(engine=engine, table=table, controls=tuple(controls), by=segments, cluster=cluster)
            again.replace_errors(columns, slopes, sums.origin, survived=first <= fdr)
    columns["q_value"] = q_values(columns["p_value"], procedure=procedure)
    columns["passes"] = columns["q_value"] <= fdr
    if cluster:
        columns["passes"] &= columns["clusters"] > 0
    order = np.lexsort((-np.abs(columns["slope"] / columns["std_error"]), columns["p_value"], columns["q_value"]))
    names = ("cpi", "kpi", *segments, "n", "slope", "std_error", "p_value", "q_value", "direction", "passes")
    return Screen(
        cells={name: columns[name][order] for name in (*names, "clusters", "note")},
        family=len(order),
        fdr=fdr,
        procedure=procedure,
        by=segments,
        controls=tuple(controls),
        cluster=cluster or "",
    )


def _check_parts(*, cpis: Sequence[str], kpis: Sequence[str], controls: Sequence[str], by: Sequence[str]) -> list[str]:
    seen: dict[str, str] = {}
    for part, names in (("cpi", cpis), ("kpi", kpis), ("control", controls), ("segment", by)):
        if isinstance(names, str) or (part in ("cpi", "kpi") and not names):
            raise DataError(f"{part}s are {names!r}, not a list of columns", advice=f'Give {part}s as ["name"].')
        for name in names:
            if name in seen:
                raise DataError(
                    f"column {name!r} is given as {seen[name]} and as {part}", advice="Give each column one part."
                )
            if part == "segment" and name in _COLUMNS:
                raise DataError(f"a segment cannot be called {name!r}", advice="Rename the column: a result has it.")
            seen[name] = part
    return list(seen)


def _columns(slopes: Slopes, sums: CellSums, *, cpis: Sequence[str], kpis: Sequence[str]) -> dict[str, Array]:
    groups = sums.grams.shape[0]
    at, i, j = (codes.ravel() for codes in np.indices((groups, len(cpis), len(kpis))))
    direction = np.select([slopes.slope > 0, slopes.slope < 0], ["rises", "falls"], default="")
    return {
        "cpi": np.array(cpis, dtype=object)[i],
        "kpi": np.array(kpis, dtype=object)[j],
        **{name: labels[at] for name, labels in sums.keys.items()},
        "n": slopes.n,
        "slope": slopes.slope,
        "std_error": slopes.std_error,
        "p_value": slopes.p_value,
        "direction": direction.astype(object),
        "clusters": np.zeros(len(i), dtype=np.int64),
        "note": slopes.problem.astype(object),
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Again:
    """Where and how the cells that stand out are estimated again."""

    engine: Engine
    table: str
    controls: tuple[str, ...]
    by: tuple[str, ...]
    cluster: str

    def replace_errors(
        self, columns: dict[str, Array], slopes: Slopes, origin: Mapping[str, float], *, survived: Array
    ) -> None:
        """Put clustered errors and p-values in the place of the plain ones; no answer where none can be trusted."""
        order = np.flatnonzero(survived)[np.argsort(slopes.p_value[survived], kind="stable")]
        chosen, late = order[:MOST_SURVIVORS], order[MOST_SURVIVORS:]
        columns["p_value"], columns["std_error"] = columns["p_value"].copy(), columns["std_error"].copy()
        columns["p_value"][late] = np.nan
        columns["note"][late] = f"stood out, but only the {MOST_SURVIVORS} strongest get clustered errors"
        if not len(chosen):
            return
        survivors = [
            Survivor(
                cpi=columns["cpi"][c],
                kpi=columns["kpi"][c],
                labels=tuple(columns[name][c] for name in self.by),
                n=int(slopes.n[c]),
                slope=float(slopes.slope[c]),
                intercept=slopes.intercept[c],
                explained=slopes.explained[c],
                left=float(slopes.left[c]),
            )
            for c in chosen
        ]
        found = clustered_errors(
            self.engine,
            self.table,
            survivors,
            controls=self.controls,
            by=self.by,
            cluster=self.cluster,
            origin=origin,
        )
        columns["clusters"][chosen] = found.clusters
        columns["std_error"][chosen] = found.std_error
        p_value = two_sided(slopes.slope[chosen] / found.std_error, found.clusters - 1)
        few = (found.clusters < MANY_CLUSTERS) | ~(found.carriers >= FEWEST_CLUSTERS)
        columns["p_value"][chosen] = np.where(few, np.nan, p_value)
        columns["note"][chosen[few]] = "too few clusters carry it: see association()"
