"""Share of customers who stay longer than a time, those still there counted as far as they were seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.catalog.expression import DURATIONS, parse_expression
from cpi_experiments.errors import DataError
from cpi_experiments.measure.answers import Answer, refuse_impossible
from cpi_experiments.measure.built_in.rows import Dropped, Group, Key, Rows, keys_of
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.indicators import check_time, moment, value_sql
from cpi_experiments.stats.survival import SurvivalCurve, kaplan_meier
from cpi_experiments.units import convert

if TYPE_CHECKING:
    from cpi_experiments.measure.built_in.events import Found
    from cpi_experiments.measure.built_in.request import Request

#: Distinct times that are fetched; a curve needs every one of them.
MAX_TIMES = 2_000_000


def survival_levels(rows: Rows, request: Request) -> tuple[tuple[Group, ...], Dropped, dict[Key, Found]]:
    """Kaplan-Meier's share that stays longer than the window, by group, with its log-log interval.

    Raises
    ------
    DataError
        If a customer has several rows, a mark is not 0 or 1, or no group was watched long enough.
    """
    timed = _timed(rows, request)
    groups, dropped = timed.count()
    _check_once(timed)
    curves = _curves(timed, _marked(timed, request))
    time = convert(request.window_seconds, "second", request.duration_unit)
    lasting = f"{time:g} {request.duration_unit}s"
    if not any(_seen_until(curve, time) for curve in curves.values()):
        longest = max(curve.last_seen for curve in curves.values())
        raise DataError(
            f"nobody was watched for {lasting}; the longest was {longest:g}",
            advice="Ask for a shorter window, or wait.",
        )
    found: dict[Key, Found] = {}
    for key, curve in curves.items():
        level, how = (math.nan, math.nan, math.nan), f"nobody was watched for {lasting}"
        if _seen_until(curve, time):
            level = curve.at(time, confidence_level=request.confidence_level)
            how = f"Kaplan-Meier at {lasting}; log-log, Greenwood"
        found[key] = (*level, curve.n, how)
    return groups, dropped, found


def _seen_until(curve: SurvivalCurve, time: float) -> bool:
    return time <= curve.last_seen or bool(len(curve.survival) and curve.survival[-1] == 0)


def _timed(rows: Rows, request: Request) -> Rows:
    """Rows whose value is how long the customer was watched."""
    if not request.start:
        return rows
    engine, table = rows.engine, rows.table
    for column in (request.start, request.end):
        check_time(engine, table, column)
    first, last = (moment(engine, table, name) for name in (request.start, request.end))
    end = request.end_of_sight or _last_seen(rows, first, last)
    sight = f"TIMESTAMP '{end.replace('T', ' ')}'"
    until = f"CASE WHEN {last} IS NULL OR {last} >= {sight} THEN {sight} ELSE {last} END"
    seconds = f"CAST((epoch_us({until}) - epoch_us({first})) / {DURATIONS[request.duration_unit + 's']}e6 AS DOUBLE)"
    return replace(rows, value=seconds, at=first, before=sight)


def _last_seen(rows: Rows, first: str, last: str) -> str:
    sql = f"SELECT max({first}) AS a, max({last}) AS b FROM {quote(rows.table)} WHERE {rows.where}"  # noqa: S608 - quoted
    found = rows.engine.query(sql)
    times = [found[name][0] for name in ("a", "b") if not np.isnat(found[name][0])]
    if not times:
        raise DataError("no start and no end is known", advice="Look at the columns of the two times.")
    return str(max(times) + np.timedelta64(1, "us"))


def _marked(rows: Rows, request: Request) -> str:
    """Write whether the customer left (1) or was still there (0)."""
    engine, table = rows.engine, rows.table
    if request.event:
        mark = value_sql(engine, table, parse_expression(request.event))
        answer = Answer(name=request.event, raw=mark, where=rows.where, allowed=(0.0, 1.0), whole=True)
        refuse_impossible(engine, table, [answer])
        return mark
    last = moment(engine, table, request.end)
    end = request.end_of_sight
    seen = f" AND {last} < TIMESTAMP '{end}'" if end else ""
    return f"CASE WHEN {last} IS NOT NULL{seen} THEN 1e0 ELSE 0e0 END"


def _check_once(rows: Rows) -> None:
    if not rows.entity:
        return
    repeated = f"SELECT e FROM ({rows.sql}) AS fine GROUP BY e HAVING count(*) > 1"  # noqa: S608 - quoted
    n = int(rows.engine.query(f"SELECT count(*) AS n FROM ({repeated}) AS several")["n"][0])  # noqa: S608 - quoted
    if n:
        raise DataError(f"{n:,} customers have several rows", advice="Survival needs one row a customer.")


def _curves(rows: Rows, mark: str) -> dict[Key, SurvivalCurve]:
    """Fetch every distinct time with how many left or stayed then, and draw the curves."""
    seen = f" AND {rows.at} < {rows.before}" if rows.before else ""
    marked = replace(rows, at=mark, before="", where=f"({rows.where}){seen}")  # the mark rides in the time's place
    listed = rows.listed("v", "t", "count(*) AS n")
    sql = f"SELECT {listed} FROM ({marked.sql}) AS fine{rows.grouped('v', 't')} LIMIT {MAX_TIMES + 1}"  # noqa: S608 - quoted
    found = rows.engine.query(sql)
    if len(found["n"]) > MAX_TIMES:
        raise DataError(f"more than {MAX_TIMES:,} different times", advice="Round them, for example to whole days.")
    keys = keys_of(found, rows.keys)
    places: dict[Key, list[int]] = {}
    for row, key in enumerate(keys):
        places.setdefault(key, []).append(row)
    return {
        key: kaplan_meier(found["v"][at], found["t"][at], counts=found["n"][at].astype(float))
        for key, at in places.items()
    }
