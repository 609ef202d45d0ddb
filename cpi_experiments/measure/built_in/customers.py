"""Levels of what is one number a customer: sums, and what the history of purchases says about staying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.measure.built_in.rows import Dropped, Group, Key, Rows, keys_of
from cpi_experiments.stats.cluster_means import ClusterSums, mean_interval
from cpi_experiments.stats.lifetime_value import projected_value
from cpi_experiments.stats.proportions import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.built_in.events import Found
    from cpi_experiments.measure.built_in.request import Request

Table = tuple[tuple[Group, ...], Dropped, dict[Key, "Found"]]

#: Calendar steps as SQL intervals that every engine can add to a time.
STEPS: Final = {
    "day": "INTERVAL 1 DAY",
    "week": "INTERVAL 7 DAY",
    "month": "INTERVAL 1 MONTH",
    "quarter": "INTERVAL 3 MONTH",
    "year": "INTERVAL 12 MONTH",
}
_PARTS: Final = ("m", "k", "a", "b")


def customer_levels(rows: Rows, request: Request) -> Table:
    """Measure what is one number a customer.

    Raises
    ------
    DataError
        If no customer is usable, or a customer belongs to several groups where a history has to have one.
    """
    counted, unknown = rows.count()
    lost = _together(counted, unknown)
    kind = request.kind.id
    if kind in ("revenue_per_customer", "margin_per_customer"):
        return _sums(rows, request, _totals(rows), lost)
    _check_one_group(rows)
    end = _end(rows, request)
    if kind in ("retention", "churn"):
        return _staying(rows, request, end, lost)
    if kind == "repurchase":
        return _buying_again(rows, request, end, lost)
    if kind == "clv_realised":
        return _sums(rows, request, _first_window(rows, request, end), lost)
    return _projected(rows, request, end, lost)


def _together(groups: Sequence[Group], dropped: Dropped) -> Dropped:
    """Add up what was lost in all groups."""
    total = dict(dropped)
    for reason, n in (each for group in groups for each in group.dropped):
        total[reason] = total.get(reason, 0) + n
    return tuple(total.items())


def _end(rows: Rows, request: Request) -> str:
    """Write the first moment that was not seen: after ``as_of``, else the last event."""
    end = request.end_of_sight
    if end is None:
        end = str(rows.engine.query(f"SELECT max(t) AS t FROM ({rows.sql}) AS fine")["t"][0])  # noqa: S608 - quoted
    return f"TIMESTAMP '{end.replace('T', ' ')}'"


def _check_one_group(rows: Rows) -> None:
    for name, key in zip(rows.by, rows.keys, strict=True):
        several = f"SELECT e FROM ({rows.sql}) AS fine GROUP BY e HAVING min({key}) <> max({key})"  # noqa: S608 - quoted
        n = int(rows.engine.query(f"SELECT count(*) AS n FROM ({several}) AS mixed")["n"][0])  # noqa: S608 - quoted
        if n:
            raise DataError(
                f"{n:,} customers have several values of {name!r}",
                advice="A history belongs to one group: make a column with the first value of each customer.",
            )


# -- one number a customer, and its mean -----------------------------------------------------------------------------


def _totals(rows: Rows) -> str:
    """SELECT of every customer's sum."""
    per_row = rows.listed("v AS x", "0 AS is_open")
    if not rows.entity:
        return f"SELECT {per_row} FROM ({rows.sql}) AS fine"  # noqa: S608 - quoted
    return f"SELECT {rows.listed('sum(v) AS x', '0 AS is_open')} FROM ({rows.sql}) AS fine{rows.grouped('e')}"  # noqa: S608 - quoted


def _first_window(rows: Rows, request: Request, end: str) -> str:
    """SELECT of every customer's sum in the window after the first purchase, and whether it is still open."""
    window = f"INTERVAL {request.window_seconds} SECONDS"
    keys = _keys(rows, request)
    inside = f"sum(CASE WHEN fine.t < first.t0 + {window} THEN fine.v ELSE 0e0 END) AS x"
    still = f"max(CASE WHEN first.t0 + {window} <= {end} THEN 0 ELSE 1 END) AS is_open"
    listed = ", ".join([*(f"first.{key} AS {key}" for key in keys), inside, still])
    group = ", ".join([*(f"first.{key}" for key in keys), "first.e"])
    return f"SELECT {listed} FROM {_joined(rows, request)} GROUP BY {group}"  # noqa: S608 - quoted


def _keys(rows: Rows, request: Request) -> tuple[str, ...]:
    return (*rows.keys, "cohort") if request.period else rows.keys


def _joined(rows: Rows, request: Request) -> str:
    """Every usable row beside the first purchase of its customer."""
    cohort = [f"date_trunc('{request.period}', min(t)) AS cohort"] if request.period else []
    labels = [f"min({key}) AS {key}" for key in rows.keys]
    first = f"SELECT {', '.join(['e', 'min(t) AS t0', *labels, *cohort])} FROM ({rows.sql}) AS fine GROUP BY e"  # noqa: S608 - quoted
    return f"({rows.sql}) AS fine JOIN ({first}) AS first ON first.e = fine.e"


def _sums(rows: Rows, request: Request, per_customer: str, lost: Dropped) -> Table:
    keys = _keys(rows, request) if request.is_history else rows.keys
    mean = rows.engine.query(f"SELECT avg(x) AS x FROM ({per_customer}) AS c WHERE is_open = 0")["x"][0]  # noqa: S608 - quoted
    origin = float(np.floor(mean)) if not np.isnan(float(mean)) else 0.0
    y = f"CASE WHEN is_open = 0 THEN x - ({origin!r}) ELSE 0e0 END"
    listed = ", ".join([*keys, "count(*) AS n", "sum(is_open) AS open", f"sum({y}) AS s", f"sum(({y}) * ({y})) AS ss"])
    found = _by_group(rows, f"SELECT {listed} FROM ({per_customer}) AS c", keys)  # noqa: S608 - quoted
    groups, levels = [], {}
    for key, each in found.items():
        n = each["n"] - each["open"]
        groups.append(_group(key, int(n), int(each["open"]), "whose window is not over"))
        if n < 1:
            continue
        parts = {"clusters": n, "n": n, "nn": n, "s": each["s"], "ns": each["s"], "ss": each["ss"]}
        sums = ClusterSums(**{name: np.array([part]) for name, part in parts.items()}, origin=origin)
        low, high = mean_interval(sums, confidence_level=request.confidence_level)
        levels[key] = (float(sums.mean[0]), float(low[0]), float(high[0]), int(n), "mean over customers; t")
    _need_any(levels, "the window of no customer is over")
    return tuple(groups), lost, levels


def _by_group(rows: Rows, sql: str, keys: Sequence[str]) -> dict[Key, dict[str, float]]:
    tail = f" GROUP BY {', '.join(keys)} ORDER BY {', '.join(keys)}" if keys else ""
    found = rows.engine.query(sql + tail)
    names = [name for name in found if name not in keys]
    labels = keys_of(found, keys)
    return {key: {name: float(found[name][row]) for name in names} for row, key in enumerate(labels)}


def _group(key: Key, n: int, still_open: int, why: str) -> Group:
    dropped = ((f"customers {why}", still_open),) if still_open else ()
    return Group(key=key, n=n, mean=float("nan"), dropped=dropped)


def _need_any(levels: dict[Key, Found], why: str) -> None:
    if not levels:
        raise DataError(why, advice="Give a later as_of, a shorter window or period, or more data.")


# -- staying ---------------------------------------------------------------------------------------------------------


def _buying_again(rows: Rows, request: Request, end: str, lost: Dropped) -> Table:
    window = f"INTERVAL {request.window_seconds} SECONDS"
    keys = _keys(rows, request)
    again = f"max(CASE WHEN fine.t > first.t0 AND fine.t < first.t0 + {window} THEN 1 ELSE 0 END) AS again"
    still = f"max(CASE WHEN first.t0 + {window} <= {end} THEN 0 ELSE 1 END) AS is_open"
    chosen = ", ".join([*(f"first.{key} AS {key}" for key in keys), again, still])
    group = ", ".join([*(f"first.{key}" for key in keys), "first.e"])
    each = f"SELECT {chosen} FROM {_joined(rows, request)} GROUP BY {group}"  # noqa: S608 - quoted
    hits = "sum(CASE WHEN is_open = 0 THEN again ELSE 0 END) AS hits"
    listed = ", ".join([*keys, "count(*) - sum(is_open) AS n", "sum(is_open) AS open", hits])
    found = _by_group(rows, f"SELECT {listed} FROM ({each}) AS customers", keys)  # noqa: S608 - quoted
    return _shares(request, found, "whose window is not over", lost)


def _staying(rows: Rows, request: Request, end: str, lost: Dropped) -> Table:
    """Of those active in one period, who is active in the next, which is the one that labels the group."""
    step = STEPS[request.period]
    active = f"SELECT DISTINCT {rows.listed('e', f'date_trunc({request.period!r}, t) AS p')} FROM ({rows.sql}) AS fine"  # noqa: S608 - quoted
    later = f"SELECT DISTINCT e, date_trunc('{request.period}', t) AS p FROM ({rows.sql}) AS fine"  # noqa: S608 - quoted
    labels = [*(f"now.{key} AS {key}" for key in rows.keys), f"now.p + {step} AS period"]
    complete = f"CASE WHEN now.p + {step} + {step} <= {end} THEN 1 ELSE 0 END AS seen"
    pairs = (
        f"SELECT {', '.join([*labels, complete, 'CASE WHEN next.e IS NULL THEN 0 ELSE 1 END AS kept'])} "  # noqa: S608 - quoted
        f"FROM ({active}) AS now LEFT JOIN ({later}) AS next ON next.e = now.e AND next.p = now.p + {step}"
    )
    keys = (*rows.keys, "period")
    hit = "kept" if request.kind.id == "retention" else "1 - kept"
    counts = ("sum(seen) AS n", "count(*) - sum(seen) AS open", f"sum(seen * ({hit})) AS hits")
    found = _by_group(rows, f"SELECT {', '.join([*keys, *counts])} FROM ({pairs}) AS steps", keys)  # noqa: S608 - quoted
    return _shares(request, found, "whose next period is not over", lost)


def _shares(request: Request, found: dict[Key, dict[str, float]], why: str, lost: Dropped) -> Table:
    groups, levels = [], {}
    for key, each in found.items():
        n, hits = each["n"], each["hits"]
        groups.append(_group(key, int(n), int(each["open"]), why))
        if n > 0:
            low, high = wilson(np.array([hits]), np.array([n]), confidence_level=request.confidence_level)
            levels[key] = (hits / n, float(low[0]), float(high[0]), int(n), "share of customers; Wilson")
    _need_any(levels, f"there are no customers but those {why}")
    return tuple(groups), lost, levels


# -- the projection --------------------------------------------------------------------------------------------------


def _projected(rows: Rows, request: Request, end: str, lost: Dropped) -> Table:
    found = _by_group(rows, _projection_sql(rows, request, end), rows.keys)
    over = f"date_trunc('{request.period}', t) + {STEPS[request.period]} <= {end}"
    unfinished = f"SELECT count(*) AS n FROM ({rows.sql}) AS fine WHERE NOT ({over})"  # noqa: S608 - quoted
    late = int(rows.engine.query(unfinished)["n"][0])
    lost = (*lost, ("in a period that is not over", late)) if late else lost
    groups, levels = [], {}
    for key, each in found.items():
        n = int(each["n"])
        groups.append(_group(key, n, 0, ""))
        products = np.array([[each[f"{min(i, j)}{max(i, j)}"] for j in _PARTS] for i in _PARTS])
        try:
            value = projected_value(
                np.array([each[part] for part in _PARTS]),
                products,
                n,
                discount=float(request.discount or 0.0),
                confidence_level=request.confidence_level,
            )
        except EstimationError as error:
            error.where = ", ".join(map(str, key))
            raise
        how = f"margin {value.margin:.6g} x r / (1 + d - r), r = {value.retention:.4f}; delta method over customers"
        levels[key] = (value.value, value.ci_low, value.ci_high, n, how)
    _need_any(levels, "no period is over")
    return tuple(groups), lost, levels


def _projection_sql(rows: Rows, request: Request, end: str) -> str:
    """SELECT of the sums and products over customers of margin, periods, periods with a next one, and those kept."""
    step, period = STEPS[request.period], request.period
    listed = rows.listed("e", f"date_trunc('{period}', t) AS p", "sum(v) AS m")
    sums = f"SELECT {listed} FROM ({rows.sql}) AS fine{rows.grouped('e', 'p')}"  # noqa: S608 - quoted
    later = f"SELECT DISTINCT e, date_trunc('{period}', t) AS p FROM ({rows.sql}) AS fine"  # noqa: S608 - quoted
    watched = f"CASE WHEN now.p + {step} + {step} <= {end} THEN 1e0 ELSE 0e0 END"
    steps = (
        f"SELECT {', '.join([*(f'now.{key} AS {key}' for key in rows.keys), 'now.e AS e', 'now.m AS m'])}, "  # noqa: S608 - quoted
        f"{watched} AS a, CASE WHEN next.e IS NULL THEN 0e0 ELSE {watched} END AS b FROM ({sums}) AS now "
        f"LEFT JOIN ({later}) AS next ON next.e = now.e AND next.p = now.p + {step} WHERE now.p + {step} <= {end}"
    )
    per = rows.listed("sum(m) AS m", "CAST(count(*) AS DOUBLE) AS k", "sum(a) AS a", "sum(b) AS b")
    customers = f"SELECT {per} FROM ({steps}) AS steps{rows.grouped('e')}"  # noqa: S608 - quoted
    order = sorted(_PARTS)
    products = [f"sum({i} * {j}) AS {i}{j}" for at, i in enumerate(order) for j in order[at:]]
    totals = [f"sum({part}) AS {part}" for part in _PARTS]
    return f"SELECT {rows.listed('count(*) AS n', *totals, *products)} FROM ({customers}) AS customers"  # noqa: S608 - quoted
