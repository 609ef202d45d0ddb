"""Why customers leave: the share of lost customers and of lost value per reason, with ranges that hold together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import Displayed, Row, clean_text, percent
from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.measure.columns import missing, numeric
from cpi_experiments.measure.engine import read_columns
from cpi_experiments.measure.small_groups import MINIMUM, check_minimum, hidden_cells, hidden_groups
from cpi_experiments.stats.category_shares import simultaneous_shares, value_shares
from cpi_experiments.wording import segments as wording

if TYPE_CHECKING:
    from cpi_experiments.measure.engine import Data

Array = np.ndarray
UNKNOWN = "(unknown)"
_MOST_REASONS = 40
_COLUMNS = (
    *("group", "reason", "customers", "share", "share_low", "share_high"),
    *("value", "value_share", "value_low", "value_high", "hidden"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonRow:
    """One reason, of all lost customers or of those of one group.

    Parameters
    ----------
    reason, group : str
        ``group`` is empty for all.
    customers : int
        0 if hidden.
    share, share_low, share_high : float
        Of the lost customers of the group.
    value, value_share, value_low, value_high : float
        Lost value and its share; NaN without a column of values.
    hidden : bool
    """

    reason: str
    group: str = ""
    customers: int = 0
    share: float = math.nan
    share_low: float = math.nan
    share_high: float = math.nan
    value: float = math.nan
    value_share: float = math.nan
    value_low: float = math.nan
    value_high: float = math.nan
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attrition(Displayed):
    """Reasons for leaving.

    Parameters
    ----------
    rows : tuple of ReasonRow
        All lost customers first, most frequent reason first, the unknown one last; then group by group.
    customers : int
        Lost customers.
    by : str
    without_value : int
        Lost customers whose value is not known; they are not in the shares of value.
    confidence_level : float
    """

    rows: tuple[ReasonRow, ...]
    customers: int
    by: str = ""
    without_value: int = 0
    confidence_level: float = 0.95

    def _title(self) -> str:
        whole = [row for row in self.rows if not row.group and not row.hidden and row.customers]
        top = next((row for row in whole if row.reason != UNKNOWN), None)
        unknown = next((row for row in whole if row.reason == UNKNOWN), None)
        return wording.reasons_sentence(
            customers=f"{self.customers:,}",
            top=top.reason if top else "",
            share=percent(top.share) if top else "",
            span=f"{percent(top.share_low)} to {percent(top.share_high)}" if top else "",
            unknown=percent(unknown.share) if unknown else "",
        )

    def _rows(self) -> list[Row]:
        return [{name: getattr(row, name) for name in _COLUMNS} for row in self.rows]

    def _shown(self) -> list[Row]:
        with_value = any(not math.isnan(row.value_share) for row in self.rows)
        return [self._line(row, with_value=with_value) for row in self.rows]

    def _line(self, row: ReasonRow, *, with_value: bool) -> Row:
        cells = {self.by: row.group or "all"} if self.by else {}
        cells |= {"reason": row.reason[:30], "customers": "hidden" if row.hidden else f"{row.customers:,}"}
        cells |= {"share (likely)": "" if row.hidden else _share(row.share, row.share_low, row.share_high)}
        if with_value:
            cells["of value"] = "" if row.hidden else _share(row.value_share, row.value_low, row.value_high)
        return cells


def _share(share: float, low: float, high: float) -> str:
    span = "" if math.isnan(low) else f" ({percent(low).rstrip('%')} to {percent(high).rstrip('%')})"
    return f"{percent(share)}{span}"


def attrition_reasons(
    data: Data,
    *,
    reason: str,
    unit: str,
    value: str | None = None,
    by: str | None = None,
    confidence_level: float = 0.95,
    minimum: int = MINIMUM,
) -> Attrition:
    """Share out lost customers, and the value lost with them, by reason.

    Shares of customers have Goodman's intervals, shares of value Bonferroni's on the logit scale: all reasons of one
    group hold together. They take the lost customers as a sample of customers who would leave.

    Parameters
    ----------
    data : DataFrame, path or relation
        One row per lost customer.
    reason : str
        Column of the main reason; missing or blank means that it is not known.
    unit : str
        Column of the customer.
    value : str, optional
        Column of the value lost, such as last year's revenue; not below zero.
    by : str, optional
        Column of groups, such as segment.
    confidence_level : float
    minimum : int
        Fewest customers behind a number; smaller ones are hidden, and those that would give them away.

    Returns
    -------
    Attrition

    Raises
    ------
    DataError
        If a customer is listed twice, a value is negative, there are more than 40 reasons, or no reason is known.

    References
    ----------
    Goodman (1965), Technometrics 7.

    Examples
    --------
    >>> import pandas as pd
    >>> lost = pd.DataFrame({"id": range(100), "why": ["price"] * 60 + ["service"] * 30 + [None] * 10})
    >>> print(attrition_reasons(lost, reason="why", unit="id"))
    Of 100 lost customers most name "price": 60% (likely 48% to 71%). The reason is
      not known for 10%.
    <BLANKLINE>
    reason     customers  share (likely)
    price      60         60% (48 to 71)
    service    30         30% (20 to 42)
    (unknown)  10         10% (5 to 19)
    """
    if not 0 < confidence_level < 1:
        raise EstimationError(f"confidence level {confidence_level} is not between 0 and 1")
    check_minimum(minimum)
    names = dict.fromkeys([reason, unit, *([value] if value else []), *([by] if by else [])])
    table = read_columns(data, list(names))
    _check_customers(table[unit], unit)
    reasons, why = _labels(table[reason])
    if len(reasons) > _MOST_REASONS:
        raise DataError(
            f"column {reason!r} holds {len(reasons):,} different reasons, more than {_MOST_REASONS}",
            advice="Put free texts into a few main reasons first.",
        )
    if reasons == (UNKNOWN,):
        raise DataError(f"column {reason!r} holds no reason", advice="Ask leaving customers, and record their answer.")
    money = _money(numeric(table, value), value) if value else None
    groups, group = _labels(table[by]) if by else ((), np.zeros(len(why), dtype=np.int64))
    order = _order(why, reasons)
    settings = _Settings(reasons=reasons, order=order, level=confidence_level, minimum=minimum)
    counts = np.stack(
        [np.bincount(why[group == g], minlength=len(reasons)) for g in range(max(len(groups), 1))], axis=1
    )
    cells, whole, columns = hidden_cells(counts, minimum=minimum)
    if not by:
        whole = hidden_groups(counts[:, 0], minimum=minimum)
    rows = _rows_of(why, money, settings, hidden=whole, group="")
    for g, name in enumerate(groups):
        mine = group == g
        here = None if money is None else money[mine]
        rows += _rows_of(why[mine], here, settings, hidden=cells[:, g] | columns[g], group=name)
    return Attrition(
        rows=tuple(rows),
        customers=len(why),
        by=by or "",
        without_value=0 if money is None else int(np.isnan(money).sum()),
        confidence_level=confidence_level,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Settings:
    reasons: tuple[str, ...]
    order: Array
    level: float
    minimum: int


def _check_customers(units: Array, name: str) -> None:
    lost = missing(units)
    if lost.any():
        raise DataError(f"{int(lost.sum()):,} of {len(units):,} rows have no {name}", advice="Every row is a customer.")
    repeats = len(units) - len(np.unique(units.astype(str) if units.dtype == object else units))
    if repeats:
        raise DataError(f"{repeats:,} rows repeat a {name}", advice="Keep one row per lost customer: the main reason.")


def _money(values: Array, name: str) -> Array:
    below = int(np.sum(values < 0))
    if below:
        raise DataError(
            f"column {name!r} holds {below:,} values below zero",
            advice="Shares need what customers brought, from 0 up.",
        )
    return values


def _labels(values: Array) -> tuple[tuple[str, ...], Array]:
    """Give the labels numbers; missing and blank ones are the last, unknown."""
    lost = missing(values)
    texts = np.array([UNKNOWN if gone else _label(each) for each, gone in zip(values, lost, strict=True)], dtype=object)
    texts[texts == ""] = UNKNOWN
    known = sorted(set(texts) - {UNKNOWN})
    names = (*known, UNKNOWN) if (texts == UNKNOWN).any() else tuple(known)
    place = {name: code for code, name in enumerate(names)}
    return names, np.array([place[text] for text in texts], dtype=np.int64)


def _label(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return " ".join(clean_text(text).split())


def _order(why: Array, reasons: tuple[str, ...]) -> Array:
    counts = np.bincount(why, minlength=len(reasons))
    last = np.array([name == UNKNOWN for name in reasons])
    return np.lexsort((-counts, last))


def _rows_of(why: Array, money: Array | None, settings: _Settings, *, hidden: Array, group: str) -> list[ReasonRow]:
    size = len(settings.reasons)
    counts = np.bincount(why, minlength=size)
    if hidden.all() or not counts.sum():
        return [ReasonRow(reason=settings.reasons[r], group=group, hidden=True) for r in settings.order]
    ends = simultaneous_shares(counts, confidence_level=settings.level)
    totals, shares, value_ends = _value_columns(why, money, size, settings.level)
    return [
        ReasonRow(reason=settings.reasons[r], group=group, hidden=True)
        if hidden[r]
        else ReasonRow(
            reason=settings.reasons[r],
            group=group,
            customers=int(counts[r]),
            share=float(counts[r] / counts.sum()),
            share_low=float(ends[r, 0]),
            share_high=float(ends[r, 1]),
            value=float(totals[r]),
            value_share=float(shares[r]),
            value_low=float(value_ends[r, 0]),
            value_high=float(value_ends[r, 1]),
        )
        for r in settings.order
    ]


def _value_columns(why: Array, money: Array | None, size: int, level: float) -> tuple[Array, Array, Array]:
    if money is None or np.isnan(money).all():
        nothing = np.full(size, np.nan)
        return nothing, nothing, np.full((size, 2), np.nan)
    known = ~np.isnan(money)
    totals = np.bincount(why[known], weights=money[known], minlength=size)
    return totals, *value_shares(money[known], why[known], size, confidence_level=level)
