"""Whether a KPI can be measured before its CPI: a cause comes first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import percent
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.measure.audit import holds_days, remembered
from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.events import by_source, clean_sql, rows_sql
from cpi_experiments.measure.grid import placed_events_sql
from cpi_experiments.measure.indicators import moment
from cpi_experiments.measure.periods import period_of_sql, period_sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cpi_experiments.measure.audit import Audit
    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.measure.grid import Calendar
    from cpi_experiments.measure.indicators import Indicator
    from cpi_experiments.measure.places import Places

Array = np.ndarray

#: Share of the rows that record both in which the KPI may come first: more is how they are recorded, not an accident.
MOST_ROWS_BEFORE = 0.10
#: Share of the ordered cells in which every KPI event may come before every CPI event. One half is what chance gives.
MOST_CELLS_BEFORE = 0.60


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How often a KPI was measured before its CPI.

    Parameters
    ----------
    cpi, kpi : str
    by_row : bool
        Whether both are recorded in one row of one table, such as a booking; else their events meet in cells, one unit
        in one period (or one unit in its windows).
    n : int
        Rows or cells in which both were measured.
    before : int
        Of these, rows in which the KPI's time is before the CPI's; cells in which the KPI's last event is before the
        CPI's first.
    after : int
        Of these, rows or cells in which the KPI's first event is not before the CPI's last.
    every : int
        Only every so manieth unit was looked at.
    """

    cpi: str
    kpi: str
    by_row: bool
    n: int
    before: int
    after: int
    every: int = 1

    @property
    def mixed(self) -> int:
        """Cells in which events of both alternate."""
        return self.n - self.before - self.after


def check_order(
    order: Order, *, most_rows: float = MOST_ROWS_BEFORE, most_cells: float = MOST_CELLS_BEFORE
) -> Diagnostic:
    """Refuse a KPI that is measured before its CPI, or flag it if that happens sometimes.

    Where one row records both, more than ``most_rows`` of the rows in the wrong order block. Where events meet in
    calendar periods, chance alone puts half of the ordered cells wrong: more than ``most_cells`` of them block.

    Parameters
    ----------
    order : Order
    most_rows, most_cells : float
        Shares between 0 and 1.

    Returns
    -------
    Diagnostic
        ``statistic`` is the share in the wrong order: of all rows, or of the cells whose events do not alternate.

    Examples
    --------
    >>> print(check_order(Order(cpi="room_kept", kpi="cancelled", by_row=True, n=1000, before=340, after=660)).advice)
    In 340 of 1,000 rows (34%) cancelled is measured before room_kept, which then cannot have caused it. Measure the KPI later, or claim a lag.
    >>> check_order(Order(cpi="waited", kpi="score", by_row=True, n=6651, before=350, after=6301)).blocks
    False
    """  # noqa: E501 - one sentence as it is told
    ordered = order.n if order.by_row else order.before + order.after
    share = order.before / ordered if ordered else 0.0
    blocks = share > (most_rows if order.by_row else most_cells)
    cells = "cells of one unit and period" + (f" (of every {order.every}th unit)" if order.every > 1 else "")
    what = "rows" if order.by_row else cells
    counted = f"In {order.before:,} of {ordered:,} {what} ({percent(share)}) {order.kpi} is measured before {order.cpi}"
    if blocks:
        advice = f"{counted}, which then cannot have caused it. Measure the KPI later, or claim a lag."
    else:
        rest = "Leave those rows out" if order.by_row else "A lag of a period"
        advice = f"{counted}. {rest}{' to be sure of the order' if order.by_row else ' makes the order sure'}."
    return Diagnostic(
        name="order of measuring",
        null=f"{order.kpi} is measured after {order.cpi}",
        statistic=share,
        passed=order.before == 0,
        advice=advice if order.before else "",
        blocks=blocks,
    )


def row_orders(
    tables: Engine, indicators: Mapping[str, Indicator], pairs: Iterable[tuple[str, str]], *, time_zone: str = "UTC"
) -> dict[tuple[str, str], Order]:
    """Count the order of pairs that one row of one table records; each table is scanned once.

    Parameters
    ----------
    indicators : mapping of id to Indicator
    pairs : iterable of (cpi, kpi)
        Pairs of different tables, or never in one row, are left out of the answer.
    """
    of_table: dict[str, list[tuple[Indicator, Indicator]]] = {}
    for cpi, kpi in pairs:
        one, other = indicators[cpi], indicators[kpi]
        if one.measure.table == other.measure.table:
            of_table.setdefault(one.measure.table, []).append((one, other))
    found = {}
    for table, wanted in of_table.items():
        keys = [("row order", *pair, time_zone) for pair in wanted]

        def ask(new: list[tuple[str, Indicator, Indicator, str]], table: str = table) -> list[tuple[int, int]]:
            return _count_rows(tables, table, [(one, other) for _, one, other, _ in new], time_zone)

        for (one, other), (both, before) in zip(wanted, remembered(tables, keys, ask), strict=True):
            if both:
                found[one.id, other.id] = Order(
                    cpi=one.id, kpi=other.id, by_row=True, n=both, before=before, after=both - before
                )
    return found


def _count_rows(
    tables: Engine, table: str, pairs: Sequence[tuple[Indicator, Indicator]], time_zone: str
) -> list[tuple[int, int]]:
    """Count rows by what is true of each pair: a few groups, which one scan finds faster than conditional counts."""
    read = ", ".join(f"{_row_sql(tables, table, pair, time_zone)} AS r{i}" for i, pair in enumerate(pairs))
    keys = ", ".join(f"r{i}" for i in range(len(pairs)))
    found = tables.query(
        f"SELECT {keys}, count(*) AS n FROM (SELECT {read} FROM {rows_sql(tables, table)} AS source_rows) AS pairs "  # noqa: S608 - quoted
        f"GROUP BY {keys}"
    )
    answers = []
    for i in range(len(pairs)):
        bits = found[f"r{i}"].astype(np.int64)
        both, before, day_before, *timed = (int(found["n"][bits & bit > 0].sum()) for bit in (1, 2, 4, 8, 16))
        answers.append((both, day_before if holds_days(min(timed), both) else before))
    return answers


def _row_sql(tables: Engine, table: str, pair: tuple[Indicator, Indicator], time_zone: str) -> str:
    """Write what is true of a row as bits: both measured; KPI before, by time and by day; times not at midnight."""
    cpi, kpi = pair
    since, at = (moment(tables, table, each.measure.at, time_zone=time_zone) for each in pair)
    day, its_day = (f"date_trunc('day', {time})" for time in (since, at))
    usable = [f"{clean_sql(each)} IS NOT NULL AND {quote(each.measure.at)} IS NOT NULL" for each in (cpi, kpi)]
    bits = {2: f"{at} < {since}", 4: f"{its_day} < {day}", 8: f"{at} <> {its_day}", 16: f"{since} <> {day}"}
    added = " + ".join(f"CASE WHEN {text} THEN {bit} ELSE 0 END" for bit, text in bits.items())
    return f"CASE WHEN {' AND '.join(usable)} THEN 1 + {added} ELSE 0 END"


def cell_orders(
    tables: Engine,
    audits: Mapping[str, Audit],
    pairs: Sequence[tuple[str, str]],
    places: Places,
    calendar: Calendar,
) -> dict[tuple[str, str], Order]:
    """Count the order of pairs whose events meet in one unit and period.

    Of many units only every k-th is looked at, so that some 20,000 are: their shares say enough.

    Parameters
    ----------
    audits : mapping of id to Audit
    pairs : sequence of (cpi, kpi)
    """
    every = 1 if places.labels is None else max(len(places.labels) // ENOUGH_UNITS, 1)
    wanted = [audits[name] for name in dict.fromkeys(name for pair in pairs for name in pair)]
    cells: dict[str, _Times] = {}
    for group in by_source(each.indicator for each in wanted).values():
        cells |= _cell_times(tables, [audits[each.id] for each in group], places, calendar, every)
    return {(cpi, kpi): _met(cells[cpi], cells[kpi], (cpi, kpi), every) for cpi, kpi in pairs}


#: Units whose events are put in order when there are more.
ENOUGH_UNITS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    """First and last events of an indicator, where it has any."""

    unit: Array
    period: Array
    first: Array
    last: Array


def _cell_times(
    tables: Engine, group: Sequence[Audit], places: Places, calendar: Calendar, every: int
) -> dict[str, _Times]:
    unit, events = placed_events_sql(tables, group, places, calendar)
    columns: dict[str, str] = {}
    for i, each in enumerate(group):
        tail, condition = ("", "") if each.every_event else (f"_{i}", f" FILTER (WHERE v{i} IS NOT NULL)")
        columns |= {
            f"{name}{tail}": f"{text}(event_at){condition}" for name, text in (("first", "min"), ("last", "max"))
        }
    period = period_sql(calendar.period, fiscal_year_start=calendar.fiscal_year_start)
    chosen = f" WHERE {unit} % {every} = 0" if every > 1 else f" WHERE {unit} IS NOT NULL"
    listed = ", ".join(f"{text} AS {name}" for name, text in columns.items())
    found = tables.query(f"SELECT {unit} AS unit, {period} AS period, {listed} FROM {events}{chosen} GROUP BY 1, 2")  # noqa: S608 - quoted
    times = {}
    for i, each in enumerate(group):
        tail = "" if each.every_event else f"_{i}"
        there = ~np.isnat(found[f"first{tail}"])
        times[each.indicator.id] = _Times(
            unit=found["unit"][there],
            period=period_of_sql(found["period"], calendar.period)[there],
            first=found[f"first{tail}"][there],
            last=found[f"last{tail}"][there],
        )
    return times


def _met(cpi: _Times, kpi: _Times, pair: tuple[str, str], every: int) -> Order:
    import pandas as pd  # noqa: PLC0415 - panels hold a DataFrame

    sides = [
        pd.DataFrame({"unit": each.unit, "period": each.period, "first": each.first, "last": each.last})
        for each in (cpi, kpi)
    ]
    both = sides[0].merge(sides[1], on=["unit", "period"], suffixes=("_cpi", "_kpi"))
    times = {name: both[name].to_numpy() for name in ("first_cpi", "last_cpi", "first_kpi", "last_kpi")}
    found = order_of_times(pair, (times["first_cpi"], times["last_cpi"]), (times["first_kpi"], times["last_kpi"]))
    return replace(found, every=every)


def order_of_times(pair: tuple[str, str], cpi: tuple[Array, Array], kpi: tuple[Array, Array]) -> Order:
    """Count the order of first and last times, missing where a unit has no event.

    If one side knows only days (almost all its times are midnights), days are compared.

    Parameters
    ----------
    pair : (cpi, kpi)
    cpi, kpi : (first, last), datetime64 arrays, shape (cells,)

    Examples
    --------
    >>> day = np.array(["2026-01-01", "2026-01-03", "NaT"], dtype="datetime64[us]")
    >>> other = np.array(["2026-01-02", "2026-01-02", "2026-01-02"], dtype="datetime64[us]")
    >>> found = order_of_times(("hours", "won"), (day, day), (other, other))
    >>> found.n, found.before, found.after
    (2, 1, 1)
    """
    both = ~(np.isnat(cpi[0]) | np.isnat(kpi[0]))
    known = [side[both] for side in (*cpi, *kpi)]
    if any(holds_days(int(np.sum(side != side.astype("datetime64[D]"))), len(side)) for side in known):
        cpi, kpi = ((first.astype("datetime64[D]"), last.astype("datetime64[D]")) for first, last in (cpi, kpi))
    return Order(
        cpi=pair[0],
        kpi=pair[1],
        by_row=False,
        n=int(both.sum()),
        before=int(np.sum(both & (kpi[1] < cpi[0]))),
        after=int(np.sum(both & (kpi[0] >= cpi[1]))),
    )
