"""The plain door for built-in indicators: today's level of each group, with its interval and every lost row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.catalog.expression import parse_expression, parse_filter
from cpi_experiments.catalog.indicator_kinds import Interval
from cpi_experiments.catalog.known_kinds import find_kind
from cpi_experiments.measure.built_in.customers import customer_levels
from cpi_experiments.measure.built_in.events import mean_levels, quantile_levels, share_levels
from cpi_experiments.measure.built_in.levels import Level, Levels
from cpi_experiments.measure.built_in.request import Request, read_rows
from cpi_experiments.measure.built_in.spend import cost_levels
from cpi_experiments.measure.built_in.stay import survival_levels
from cpi_experiments.measure.engines.opening import open_data

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from cpi_experiments.measure.built_in.events import Found
    from cpi_experiments.measure.built_in.rows import Group, Key, Rows
    from cpi_experiments.measure.engine import Data
    from cpi_experiments.measure.engines.source import Engine

__all__ = ["Level", "Levels", "indicator"]

_AGGREGATES = {"mean": 0.0, "median": 0.5, "p90": 0.9}
#: Kinds whose value follows from the history of a customer's events, unless it is given.
_HISTORIES = ("retention", "churn", "repurchase", "clv_realised", "clv_projected")
_PER_CUSTOMER = ("revenue_per_customer", "margin_per_customer")


def indicator(  # noqa: PLR0913 - a door: everything by name
    data: Data,
    kind: str,
    *,
    value: str | None = None,
    entity: str | None = None,
    at: str | None = None,
    start: str | None = None,
    end: str | None = None,
    by: str | Sequence[str] = (),
    where: str = "",
    aggregate: str = "mean",
    unit: str = "",
    cap: float | None = None,
    scale: tuple[float, float] | None = None,
    top: int = 1,
    promise: str = "",
    window: str = "",
    period: str = "",
    event: str | None = None,
    spend: str | float | None = None,
    discount: float | None = None,
    as_of: str | date | None = None,
    time_zone: str = "UTC",
    confidence_level: float = 0.95,
) -> Levels:
    """Measure a built-in indicator: one level with its interval for every group.

    Parameters
    ----------
    data : DataFrame, path of CSV or Parquet files, DuckDB relation, Spark DataFrame or warehouse table
        One row per event (answer, request, order), or per customer for ``survival``.
    kind : str
        ``nps``, ``csat``, ``csat_top_box``, ``ces``, ``first_time_resolution``, ``response_time``,
        ``resolution_time``, ``share_within``, ``on_time``, ``nothing_broke``, ``options_offered``,
        ``complaint_resolution``, ``review_score``, ``engagement``, ``retention``, ``churn``, ``repurchase``,
        ``survival``, ``revenue_per_customer``, ``margin_per_customer``, ``clv_realised``, ``clv_projected``, ``cac``.
    value : str, optional
        Column, or whitelisted expression such as ``contacts == 1``: the answer, the flag, the duration, the amount;
        for ``cac`` the number of new customers.
    entity : str, optional
        Column of the customer (of the employee for ``engagement``). Rows of one customer go together: intervals are
        clustered by it. Without it every row counts as independent.
    at : str, optional
        Column of the time of the event; needed for ``period`` and for histories.
    start, end : str, optional
        Columns of two times, instead of ``value``: a duration in ``unit``. For ``survival`` an empty end means that
        the customer is still there.
    by : str or sequence of str
        Columns of groups: team, channel, segment.
    where : str
        One comparison, such as ``channel = 'web'``.
    aggregate : {"mean", "median", "p90"}
        For durations and counts.
    unit : str
        Unit of a duration that is a plain column, or of ``start`` to ``end`` (hours by default, days for survival);
        currency of an amount.
    cap : float, optional
        Larger values are set to it, and counted.
    scale : (low, high), optional
        Scale of the answers, where it is not the usual one.
    top : int
        For ``csat_top_box``: how many of the highest answers count.
    promise : str
        For ``share_within``: ``24 hours``.
    window : str
        For ``repurchase``, ``clv_realised``, ``survival``: ``90 days``.
    period : {"day", "week", "month", "quarter", "year"}, optional
        Groups by calendar period of ``at``; the step of ``retention``, ``churn`` and ``clv_projected``.
    event : str, optional
        For ``survival`` with ``value``: column or comparison that is 1 if the customer left then, 0 if still there.
    spend : str or float, optional
        For ``cac``: column (or expression) of the money spent, or the whole amount.
    discount : float, optional
        For ``clv_projected``: rate of interest per period.
    as_of : str or date, optional
        Last day or moment seen, ISO; by default that of the last event. Customers and periods that are not over by
        then are counted as open, not as lost.
    time_zone : str
        Whose calendar cuts periods, for times with a zone in files and warehouses; other times are taken as the
        clock shows them, those of frames with a zone in UTC.
    confidence_level : float

    Returns
    -------
    Levels
        One row a group: value, interval, rows, customers, what was set aside and why, method.

    Raises
    ------
    DataError
        If a column is missing or has the wrong type, a value cannot exist (an NPS answer of 11, a percentage where a
        flag is needed, more than 1% negative durations), or no value is left.
    CatalogError
        If the kind, the expression or a quantity cannot be read.

    Examples
    --------
    >>> import pandas as pd
    >>> answers = pd.DataFrame({"customer": range(8), "team": ["a", "b"] * 4, "score": [10, 9, 9, 3, 8, 7, 10, 0]})
    >>> levels = indicator(answers, "nps", value="score", by="team")
    >>> [(level.group["team"], level.value, level.n) for level in levels]
    [('a', 75.0, 4), ('b', -25.0, 4)]
    """
    request = Request(
        kind=find_kind(kind),
        value=value or "",
        entity=entity or "",
        at=at or "",
        start=start or "",
        end=end or "",
        by=(by,) if isinstance(by, str) else tuple(by),
        where=where,
        aggregate=aggregate,
        unit=unit,
        cap=cap,
        scale=scale,
        top=top,
        promise=promise,
        window=window,
        period=period,
        event=event or "",
        spend=spend,
        discount=discount,
        as_of=as_of,
        time_zone=time_zone,
        confidence_level=confidence_level,
    )
    request.check()
    with open_data(data, _columns(request)) as (engine, table):
        return _measured(engine, table, request)


def _columns(request: Request) -> list[str]:
    """Every column that the request reads, for the door's own check."""
    listed = [request.entity, request.at, request.start, request.end, *request.by]
    spend = request.spend if isinstance(request.spend, str) else ""
    for text in (request.value, request.event, spend):
        listed += parse_expression(text).columns if text else []
    listed += parse_filter(request.where).columns if request.where else []
    return list(dict.fromkeys(name for name in listed if name))


def _measured(engine: Engine, table: str, request: Request) -> Levels:
    kind = request.kind
    rows = read_rows(engine, table, request)
    if kind.interval is Interval.COST:
        return _table(request, *cost_levels(rows, request))
    if kind.interval is Interval.SURVIVAL:
        return _table(request, *survival_levels(rows, request))
    if kind.id in _PER_CUSTOMER or (kind.id in _HISTORIES and not request.is_flag):
        return _table(request, *customer_levels(rows, request))
    groups, dropped = rows.count()
    return _table(request, groups, dropped, _event_levels(rows, groups, request))


def _event_levels(rows: Rows, groups: Sequence[Group], request: Request) -> dict[Key, Found]:
    kind, level = request.kind, request.confidence_level
    if kind.interval is Interval.SHARE:
        return share_levels(rows, groups, confidence_level=level)
    bounds = kind.bounds(request.scale)
    if request.aggregate == "mean":
        return mean_levels(rows, groups, bounds=bounds, confidence_level=level)
    probability = _AGGREGATES[request.aggregate]
    return quantile_levels(rows, groups, probability=probability, bounds=bounds, confidence_level=level)


def _table(
    request: Request, groups: Sequence[Group], dropped: Sequence[tuple[str, int]], found: dict[Key, Found]
) -> Levels:
    names = request.group_names
    nothing = (float("nan"), float("nan"), float("nan"), 0, "no value")
    levels = []
    for group in groups:
        value, low, high, n_entities, method = found.get(group.key, nothing)
        levels.append(
            Level(
                group=dict(zip(names, group.key, strict=True)),
                value=value,
                ci_low=low,
                ci_high=high,
                n=group.n,
                n_entities=n_entities,
                dropped=group.dropped,
                method=method,
            )
        )
    return Levels(
        kind=request.kind.id,
        label=request.kind.label,
        unit=request.unit_of_value,
        better=request.kind.better,
        confidence_level=request.confidence_level,
        levels=tuple(levels),
        dropped=tuple(dropped),
    )
