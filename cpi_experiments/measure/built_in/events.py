"""Levels of what happens once or often to a customer: means, shares and quantiles of events, clustered by customer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import percent
from cpi_experiments.measure.built_in.rows import Group, Key, Rows, keys_of
from cpi_experiments.stats.cluster_means import ClusterSums, mean_interval
from cpi_experiments.stats.proportions import clustered_wilson, effective_trials, wilson
from cpi_experiments.stats.quantiles import order_ranks, quantile_ranks, share_ranks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Array = np.ndarray
#: Value, lower and upper end, number of customers, method.
Found = tuple[float, float, float, int, str]
_SUMS = ("clusters", "n", "s", "nn", "ns", "ss")


def mean_levels(
    rows: Rows, groups: Sequence[Group], *, bounds: tuple[float, float] | None, confidence_level: float
) -> dict[Key, Found]:
    """Mean of the rows of every group, with Student's interval over customers."""
    sums = cluster_sums(rows, rows.sql, groups)
    found: dict[Key, Found] = {}
    for key, each in sums.items():
        low, high = mean_interval(each, confidence_level=confidence_level, allowed=bounds)
        how = "t, clustered by " + rows.entity if _repeats(each) else "t"
        found[key] = (float(each.mean[0]), float(low[0]), float(high[0]), int(each.clusters[0]), f"mean; {how}")
    return found


def share_levels(rows: Rows, groups: Sequence[Group], *, confidence_level: float) -> dict[Key, Found]:
    """Share of rows with value 1, with Wilson's interval (effective sample size where customers repeat)."""
    found: dict[Key, Found] = {}
    for key, each in cluster_sums(rows, rows.sql, groups).items():
        share, n, clusters = each.mean, each.n, each.clusters
        if _repeats(each):
            low, high = clustered_wilson(
                share, n, variance=each.variance, clusters=clusters, confidence_level=confidence_level
            )
            how = f"Wilson with effective sample size, clustered by {rows.entity}"
        else:
            low, high = wilson(share * n, n, confidence_level=confidence_level)
            how = "Wilson"
        found[key] = (float(share[0]), float(low[0]), float(high[0]), int(clusters[0]), f"share; {how}")
    return found


def quantile_levels(
    rows: Rows,
    groups: Sequence[Group],
    *,
    probability: float,
    bounds: tuple[float, float] | None,
    confidence_level: float,
) -> dict[Key, Found]:
    """Quantile of the rows of every group; its interval lies between order statistics."""
    below = cluster_sums(rows, rows.sql, groups)
    if any(_repeats(each) for each in below.values()):
        below = cluster_sums(rows, _at_or_below(rows, probability), groups, origin=0.0)
    used = [group for group in groups if group.n]
    wanted = {group.key: _ranks(below[group.key], probability, confidence_level) for group in used}
    values = _values_at(rows, [(group.key, wanted[group.key]) for group in used])
    name = "median" if probability == 0.5 else f"{percent(probability)} quantile"
    found: dict[Key, Found] = {}
    for group in used:
        at, each = values[group.key], below[group.key]
        first, second, weight = quantile_ranks(group.n, probability)
        low, high = wanted[group.key][:2]
        value = at[first] if at[first] == at[second] else (1 - weight) * at[first] + weight * at[second]
        floor, ceiling = bounds or (-math.inf, math.inf)
        how = f"Woodruff, clustered by {rows.entity}" if _repeats(each) else "order statistics, exact"
        ends = (at.get(low, floor), at.get(high, ceiling)) if each.clusters[0] > 1 else (math.nan, math.nan)
        found[group.key] = (value, *ends, int(each.clusters[0]), f"{name}; {how}")
    return found


def cluster_sums(
    rows: Rows, sql: str, groups: Sequence[Group], *, origin: float | None = None
) -> dict[Key, ClusterSums]:
    """Sum values by customer and those sums by group, in one scan.

    Parameters
    ----------
    rows : Rows
    sql : str
        SELECT of ``g0, ..., e, v``.
    groups : sequence of Group
        Their means give the origin from which values are counted,
    origin : float, optional
        unless it is given.
    """
    total = sum(group.n for group in groups)
    if origin is None:
        origin = float(np.floor(sum(group.n * group.mean for group in groups if group.n) / total))
    shifted = f"(v - ({origin!r}))"
    if rows.entity:
        inner = f"SELECT {rows.listed('e', 'CAST(count(*) AS DOUBLE) AS n', f'sum({shifted}) AS s')} FROM ({sql}) AS fine{rows.grouped('e')}"  # noqa: S608, E501 - quoted
    else:
        inner = f"SELECT {rows.listed('1e0 AS n', f'{shifted} AS s')} FROM ({sql}) AS fine"  # noqa: S608 - quoted
    parts = ("CAST(count(*) AS DOUBLE)", "sum(n)", "sum(s)", "sum(n * n)", "sum(n * s)", "sum(s * s)")
    listed = rows.listed(*(f"{part} AS {name}" for part, name in zip(parts, _SUMS, strict=True)))
    found = rows.run(f"SELECT {listed} FROM ({inner}) AS customers{rows.grouped()}")  # noqa: S608 - quoted
    known = {group.key for group in groups}
    return {key: _sums_of(each, origin) for key, each in found.items() if key in known}


def _sums_of(found: Mapping[str, float], origin: float) -> ClusterSums:
    parts = {name: np.array([found[name]]) for name in _SUMS}
    return ClusterSums(**parts, origin=origin)


def _repeats(sums: ClusterSums) -> bool:
    """Whether some customer has several rows."""
    return bool(sums.nn[0] > sums.n[0])


def _cumulated(rows: Rows) -> str:
    """SELECT of every distinct value of a group, how many rows have it, and how many have it or less."""
    part = f"PARTITION BY {', '.join(rows.keys)}" if rows.keys else ""
    counted = f"SELECT {rows.listed('v', 'count(*) AS n')} FROM ({rows.sql}) AS fine{rows.grouped('v')}"  # noqa: S608 - quoted
    sums = (f"sum(n) OVER ({part} ORDER BY v) AS upto", f"sum(n) OVER ({part}) AS total")
    return f"SELECT {rows.listed('v', 'n', *sums)} FROM ({counted}) AS counted"  # noqa: S608 - quoted


def _at_or_below(rows: Rows, probability: float) -> str:
    """SELECT of whether each row lies at or below the quantile of its group."""
    reached = f"WHERE upto >= ceil({probability!r} * total){rows.grouped()}"
    quantiles = f"SELECT {rows.listed('min(v) AS q')} FROM ({_cumulated(rows)}) AS cumulated {reached}"  # noqa: S608 - quoted
    same = " AND ".join(f"fine.{key} = quantiles.{key}" for key in rows.keys) or "TRUE"
    listed = rows.listed("fine.e AS e", "CASE WHEN fine.v <= quantiles.q THEN 1e0 ELSE 0e0 END AS v", of="fine")
    return f"SELECT {listed} FROM ({rows.sql}) AS fine JOIN ({quantiles}) AS quantiles ON {same}"  # noqa: S608 - quoted


def _ranks(below: ClusterSums, probability: float, confidence_level: float) -> tuple[int, ...]:
    """Ranks of the lower and upper end, and of the two values around the quantile."""
    n = int(below.n[0])
    if not _repeats(below):
        ends = order_ranks(n, probability, confidence_level=confidence_level)
    elif below.clusters[0] < 2:
        ends = (0, n + 1)
    else:
        effective = effective_trials(below.mean, below.n, variance=below.variance, clusters=below.clusters)
        low, high = clustered_wilson(
            np.array([probability]),
            below.n,
            variance=probability * (1 - probability) / effective,
            clusters=below.clusters,
            confidence_level=confidence_level,
        )
        ends = share_ranks(float(low[0]), float(high[0]), n)
    return (*ends, *quantile_ranks(n, probability)[:2])


def _values_at(rows: Rows, wanted: Sequence[tuple[Key, tuple[int, ...]]]) -> dict[Key, dict[int, float]]:
    """Fetch the values of some ranks of every group; the engine sorts, only those values leave it."""
    pairs = sorted({(code, rank) for code, (_, ranks) in enumerate(wanted, start=1) for rank in ranks})
    listed = ", ".join(f"({code}, {rank})" for code, rank in pairs)
    upto = _cumulated(rows)
    # a value holds the ranks from `upto - n + 1` to `upto` of its group
    ranked = f"SELECT {rows.listed('v', 'n', 'upto', '1 AS c')} FROM ({upto}) AS cumulated"  # noqa: S608 - quoted
    if rows.keys:
        order = ", ".join(rows.keys)
        groups = f"SELECT {order}, sum(1) OVER (ORDER BY {order}) AS c FROM ({rows.sql}) AS fine GROUP BY {order}"  # noqa: S608 - quoted
        same = " AND ".join(f"cumulated.{key} = numbered.{key}" for key in rows.keys)
        columns = rows.listed("v", "n", "upto", "numbered.c AS c", of="cumulated")
        ranked = f"SELECT {columns} FROM ({upto}) AS cumulated JOIN ({groups}) AS numbered ON {same}"  # noqa: S608 - quoted
    found = rows.engine.query(
        f"SELECT {rows.listed('asked.place AS r', 'ranked.v AS v', of='ranked')} FROM ({ranked}) AS ranked "  # noqa: S608 - quoted
        f"JOIN (VALUES {listed}) AS asked (code, place) ON ranked.c = asked.code "
        "AND asked.place <= ranked.upto AND asked.place > ranked.upto - ranked.n"
    )
    values: dict[Key, dict[int, float]] = {key: {} for key, _ in wanted}
    for row, key in enumerate(keys_of(found, rows.keys)):
        values[key][int(found["r"][row])] = float(found["v"][row])
    return values
