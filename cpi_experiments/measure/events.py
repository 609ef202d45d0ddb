"""Clean events of an indicator: what each is worth, and what was set aside or changed and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.errors import DataError
from cpi_experiments.measure.columns import LARGEST
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.indicators import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from cpi_experiments.measure.engine import Tables
    from cpi_experiments.measure.indicators import Indicator

Loss = tuple[str, str, int]

MAX_SHARE_BAD = 0.01  # negative durations and infinite values: more is a defect of the data, not of a few rows
MAX_SHARE_NULL_ENTITY = 0.05


def by_source(indicators: Sequence[Indicator]) -> dict[tuple[str, str, str], list[Indicator]]:
    """Group indicators that one scan can serve."""
    groups: dict[tuple[str, str, str], list[Indicator]] = {}
    for indicator in indicators:
        groups.setdefault(indicator.source, []).append(indicator)
    return groups


def events_sql(
    tables: Tables,
    indicators: Sequence[Indicator],
    *,
    key: Callable[[str], str],
    time_zone: str = "UTC",
    condition: str = "TRUE",
) -> str:
    """Write the SELECT of clean events of one source: ``entity, event_at, v0, v1, ...``.

    A value is missing where the filter says no, where it is missing, negative for a duration, or not finite; it is
    capped. Rows that repeat another row in every column count once.

    Parameters
    ----------
    indicators : sequence of Indicator
        Of one source, in the order of ``v0, v1, ...``.
    key : callable
        Column name to the SQL of the entity.
    time_zone : str
        Whose clock shows ``event_at``.
    condition : str
        SQL over ``entity`` and ``event_at``.
    """
    table, entity, at = indicators[0].source
    values = ", ".join(f"{_clean(each)} AS v{i}" for i, each in enumerate(indicators))
    seen = f"SELECT {key(entity)} AS entity, {moment(tables, table, at, time_zone=time_zone)} AS event_at, {values} FROM {_rows(tables, table)}"  # noqa: S608, E501 - quoted
    return f"SELECT * FROM ({seen}) WHERE entity IS NOT NULL AND event_at IS NOT NULL AND {condition}"  # noqa: S608 - quoted


#: A larger share of rows that repeat another in every column is no accident: they may be events without an id.
MOST_REPEATED = 0.01


def _rows(tables: Tables, table: str) -> str:
    repeats = tables.repeated_rows(table)
    if repeats:
        rows = int(tables.query(f"SELECT count(*) AS n FROM {quote(table)}")["n"][0])  # noqa: S608 - quoted
        if repeats > MOST_REPEATED * rows and repeats > 1:
            raise DataError(
                f"{repeats:,} of {rows:,} rows repeat another row in every column",
                where=f"table {table!r}",
                advice="Give every event an id column if they are different events, or remove the copies.",
            )
    return f"(SELECT DISTINCT * FROM {quote(table)})" if tables.repeated_rows(table) else quote(table)  # noqa: S608 - quoted


def _clean(indicator: Indicator) -> str:
    raw, cap = indicator.value, indicator.measure.cap
    # DuckDB orders NaN above every number, so the bound refuses it too.
    good = f"{indicator.where} AND abs({raw}) <= {LARGEST!r}" + (f" AND {raw} >= 0" if indicator.is_duration else "")
    capped = f"least({raw}, {float(cap)!r}::DOUBLE)" if cap is not None else raw
    return f"CASE WHEN {good} THEN {capped} END"


def count_losses(tables: Tables, indicators: Sequence[Indicator]) -> tuple[Loss, ...]:
    """Count, per indicator, the events that were set aside or changed, each under its first reason.

    Returns
    -------
    tuple of (indicator, reason, rows)
        Only reasons that occurred.

    Raises
    ------
    DataError
        If more than 5% of the events name no customer, more than 1% are impossible, or a fraction leaves 0 to 1.
    """
    losses: list[Loss] = []
    for (table, entity, at), group in by_source(indicators).items():
        columns = [text for i, each in enumerate(group) for text in _counts_sql(each, i, entity, at)]
        found = tables.query(f"SELECT {', '.join(columns)} FROM {_rows(tables, table)}")  # noqa: S608 - quoted
        repeated = tables.repeated_rows(table)
        for i, each in enumerate(group):
            if repeated:
                losses.append((each.id, f"repeated rows of {table}", repeated))
            losses += _losses_of(
                each, {name[: -len(str(i)) - 1]: found[name] for name in found if name.endswith(f"_{i}")}
            )
    return tuple(losses)


def _counts_sql(indicator: Indicator, i: int, entity: str, at: str) -> list[str]:
    raw, cap = indicator.value, indicator.measure.cap
    known = f"{indicator.where} AND {quote(entity)} IS NOT NULL"
    timed = f"{known} AND {quote(at)} IS NOT NULL"
    finite = f"{timed} AND abs({raw}) <= {LARGEST!r}" + (f" AND {raw} >= 0" if indicator.is_duration else "")
    conditions = {
        "events": indicator.where,
        "no_entity": f"{indicator.where} AND {quote(entity)} IS NULL",
        "no_time": f"{known} AND {quote(at)} IS NULL",
        "no_value": f"{timed} AND ({raw} IS NULL OR isnan({raw}))",
        "infinite": f"{timed} AND abs({raw}) > {LARGEST!r} AND NOT isnan({raw})",
        "negative": f"{timed} AND {raw} < 0 AND abs({raw}) <= {LARGEST!r}" if indicator.is_duration else "FALSE",
        "capped": f"{finite} AND {raw} > {float(cap)!r}::DOUBLE" if cap is not None else "FALSE",
    }
    extremes = [f"{name}({raw}) FILTER (WHERE {finite}) AS {name}_{i}" for name in ("min", "max")]
    return [f"count(*) FILTER (WHERE {text}) AS {name}_{i}" for name, text in conditions.items()] + extremes


def _losses_of(indicator: Indicator, found: Mapping[str, np.ndarray]) -> list[Loss]:
    counts = {name: int(found[name][0]) for name in found if name not in ("min", "max")}
    measure, events = indicator.measure, counts["events"]
    where = f"{indicator.id} ({measure.table})"
    reasons = {
        "no_entity": f"without {measure.entity}",
        "no_time": f"without {measure.at}",
        "no_value": "without a value",
        "infinite": "infinite or absurdly large",
        "negative": "negative duration",
        "capped": f"capped at {measure.cap:g}" if measure.cap is not None else "capped",
    }
    limits = {"no_entity": MAX_SHARE_NULL_ENTITY, "infinite": MAX_SHARE_BAD, "negative": MAX_SHARE_BAD}
    for name, limit in limits.items():
        if counts[name] > limit * events:
            raise DataError(
                f"{counts[name]:,} of {events:,} events are {reasons[name]}, more than {100 * limit:g}%",
                where=where,
                advice="A few such rows are set aside and counted; this many are a defect: correct the export.",
            )
    _check_fraction(indicator, float(found["min"][0]), float(found["max"][0]), where)
    return [(indicator.id, text, counts[name]) for name, text in reasons.items() if counts[name]]


def _check_fraction(indicator: Indicator, low: float, high: float, where: str) -> None:
    if indicator.unit != "fraction" or indicator.adds_up:
        return
    if high > 1 or low < 0:
        found = f"max {high:g} > 1" if high > 1 else f"min {low:g} < 0"
        raise DataError(
            f"a fraction lies outside 0 to 1: {found}; unit percent?",
            where=where,
            advice="Declare `unit: percent`, or divide the value by 100.",
        )
