"""Money per new customer: the sum that was spent, and the number of those it won."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.catalog.expression import parse_expression
from cpi_experiments.errors import DataError
from cpi_experiments.measure.answers import Answer, refuse_impossible
from cpi_experiments.measure.indicators import value_sql
from cpi_experiments.stats.rates import cost_per_count

if TYPE_CHECKING:
    from cpi_experiments.measure.built_in.events import Found
    from cpi_experiments.measure.built_in.request import Request
    from cpi_experiments.measure.built_in.rows import Dropped, Group, Key, Rows


def cost_levels(rows: Rows, request: Request) -> tuple[tuple[Group, ...], Dropped, dict[Key, Found]]:
    """Spending divided by new customers, with the exact Poisson interval of their number.

    Raises
    ------
    DataError
        If spending is negative, or one amount is given for several groups.
    EstimationError
        If a group won nobody.
    """
    groups, dropped = rows.count()
    new = "sum(v) AS new" if request.value else "count(DISTINCT e) AS new"
    won = rows.run(f"SELECT {rows.listed(new)} FROM ({rows.sql}) AS fine{rows.grouped()}")  # noqa: S608 - quoted
    used = [group for group in groups if group.n]
    spent = _spent(rows, request, used)
    counts = np.array([won[group.key]["new"] for group in used])
    money = np.array([spent[group.key] for group in used])
    value, low, high = cost_per_count(money, counts, confidence_level=request.confidence_level)
    how = "spending / new customers; exact Poisson interval of their number"
    found: dict[Key, Found] = {
        group.key: (float(value[i]), float(low[i]), float(high[i]), int(counts[i]), how) for i, group in enumerate(used)
    }
    return groups, dropped, found


def _spent(rows: Rows, request: Request, groups: list[Group]) -> dict[Key, float]:
    if not isinstance(request.spend, str):
        amount = float(request.spend if request.spend is not None else np.nan)
        if len(groups) > 1:
            raise DataError("one amount spent cannot be told apart by group", advice="Give a column of the spending.")
        if not amount >= 0:
            raise DataError(f"spend {amount:g} is negative", advice="Give the money spent.")
        return {groups[0].key: amount}
    amount_sql = value_sql(rows.engine, rows.table, parse_expression(request.spend))
    answer = Answer(name=request.spend, raw=amount_sql, where=rows.where, allowed=(0.0, np.inf))
    refuse_impossible(rows.engine, rows.table, [answer])
    money = replace(rows, value=amount_sql)
    missing = sum(n for group in money.count()[0] for reason, n in group.dropped if reason == "without a value")
    if missing:
        raise DataError(
            f"{missing:,} rows have no {request.spend!r}",
            advice="Write 0 where nothing was spent; else the cost is too low.",
        )
    found = money.run(f"SELECT {money.listed('sum(v) AS s')} FROM ({money.sql}) AS fine{money.grouped()}")  # noqa: S608 - quoted
    return {key: each["s"] for key, each in found.items()}
