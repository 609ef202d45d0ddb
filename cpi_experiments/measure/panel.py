"""Unit x period: every indicator of the catalog by customer and calendar period, gaps and losses in plain sight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cpi_experiments.display import Displayed, Row, number, plain
from cpi_experiments.errors import DataError
from cpi_experiments.estimate import digest_of
from cpi_experiments.measure.arrays import digest_of_frame
from cpi_experiments.measure.columns import complete_cases, numeric
from cpi_experiments.measure.engine import read_columns
from cpi_experiments.measure.events import Loss, by_source, count_losses, events_sql
from cpi_experiments.measure.grid import Span, grid_sql, panel_covariates, seen_span, units_sql, unknown_units
from cpi_experiments.measure.indicators import find_indicators, key_sql
from cpi_experiments.measure.periods import (
    bound,
    check_period,
    check_time_zone,
    period_number,
    period_start,
    read_times,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.measure.engine import Data, Tables

Array = np.ndarray
_RESERVED = ("unit", "period")
_MAX_SHARE_NULL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel(Displayed):
    """Indicators by unit and period, checked once.

    Parameters
    ----------
    frame : DataFrame
        Columns ``unit``, ``period`` (start of the period, or a whole number), one per CPI and KPI (NaN where
        missing), and the covariates. One row per unit and period, sorted by both.
    unit : str
        What a unit is: the column's name in the source.
    period : str
        ``day``, ``week``, ``month``, ``quarter`` or ``year``.
    cpis, kpis, covariates : tuple of str
        Columns by role.
    losses : tuple of (indicator, reason, rows)
        What was set aside or changed on the way.
    digest : str
        Hash of the data and of how they were measured.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"id": [1, 1], "month": ["2026-01", "2026-02"], "hours": [3.0, 2.0], "won": [0, 1]})
    >>> panel = Panel.from_frame(rows, unit="id", time="month", cpis=["hours"], kpis=["won"])
    >>> panel.lagged("hours", 1)
    array([nan,  3.])
    """

    frame: pd.DataFrame
    unit: str
    period: str
    cpis: tuple[str, ...]
    kpis: tuple[str, ...]
    covariates: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    digest: str = ""

    @classmethod
    def from_frame(
        cls,
        frame: Data,
        *,
        unit: str,
        time: str,
        cpis: Sequence[str],
        kpis: Sequence[str],
        covariates: Sequence[str] = (),
        period: str = "month",
    ) -> Panel:
        """Take a ready panel.

        Parameters
        ----------
        frame : DataFrame, path or DuckDB relation
            One row per unit and period.
        unit, time : str
            Columns of the unit and of the time: dates, ISO texts, quarters (``2026Q1``) or whole numbers.
        cpis, kpis, covariates : sequence of str
            Columns by role; covariates may be text.
        period : str
            Length of a period; dates are cut to its start.

        Raises
        ------
        DataError
            If a column is missing or unusable, a unit has two rows in one period, or more than 5% of the rows have
            no unit or time.
        """
        check_period(period)
        names = _roles(cpis, kpis, covariates)
        columns = read_columns(frame, [unit, time, *names])
        keep, dropped = complete_cases({unit: columns[unit], time: columns[time]})
        _check_share(dropped, len(keep))
        columns = {name: values[keep] for name, values in columns.items()}
        content: dict[str, Array] = {"unit": columns[unit], "period": _period_of(columns[time], time, period)}
        for name in names:
            as_it_is = name in covariates and columns[name].dtype == object
            content[name] = columns[name] if as_it_is else numeric(columns, name)
        return _assembled(
            content,
            unit=unit,
            period=period,
            roles=(tuple(cpis), tuple(kpis), tuple(covariates)),
            losses=tuple(("all indicators", reason, rows) for reason, rows in dropped),
        )

    @property
    def n_units(self) -> int:
        """Units in the panel."""
        return int(self.frame["unit"].nunique())

    def lagged(self, column: str, periods: int) -> Array:
        """Return a column's value of the same unit, ``periods`` periods earlier (later if negative).

        A period without a row gives NaN, never the value of the row before it.

        Parameters
        ----------
        column : str
            A numeric column of the frame.
        periods : int
            How many periods back.

        Returns
        -------
        float array, shape (rows,)

        Raises
        ------
        DataError
            If there is no such column or it is text.
        """
        values = numeric({str(name): self.frame[name].to_numpy() for name in self.frame.columns}, column)
        codes = np.unique(self.frame["unit"].to_numpy(), return_inverse=True)[1].astype(np.int64)
        steps = period_number(self.frame["period"].to_numpy(), self.period)
        steps = steps - steps.min()
        width = int(steps.max()) + 1
        keys, wanted = codes * width + steps, steps - periods
        order = np.argsort(keys)
        target = codes * width + wanted
        place = np.minimum(np.searchsorted(keys[order], target), len(keys) - 1)
        found = (keys[order][place] == target) & (wanted >= 0) & (wanted < width)
        return np.where(found, values[order][place], np.nan)

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the data."""
        return self.frame.copy()

    def to_dict(self) -> Row:
        """Return what the panel is; its rows stay in the frame."""
        content = {name: getattr(self, name) for name in ("unit", "period", "cpis", "kpis", "covariates", "losses")}
        return {**plain(content), "n_rows": len(self.frame), "n_units": self.n_units, "digest": self.digest}

    def _title(self) -> str:
        steps = period_number(self.frame["period"].to_numpy(), self.period)
        lost = sum(rows for _, _, rows in self.losses)
        return (
            f"{self.n_units:,} units ({self.unit}) in {len(np.unique(steps)):,} periods ({self.period}), "
            f"{len(self.frame):,} rows; {lost:,} events set aside or changed"
        )

    def _rows(self) -> list[Row]:
        rows: list[Row] = []
        for role, names in (("CPI", self.cpis), ("KPI", self.kpis)):
            for name in names:
                values = self.frame[name].to_numpy()
                seen = values[~np.isnan(values)]
                notes = "; ".join(f"{count:,} {reason}" for each, reason, count in self.losses if each == name)
                mean = number(float(seen.mean()), 3) if len(seen) else "no data"
                rows.append({"indicator": name, "role": role, "observed": len(seen), "mean": mean, "set aside": notes})
        return rows


def build_panel(  # noqa: PLR0913 - a door: everything by name
    tables: Tables,
    catalog: Catalog,
    *,
    unit: str = "customer_id",
    period: str = "month",
    start: str | date | None = None,
    end: str | date | None = None,
    customers: str = "customers",
    covariates: Sequence[str] | None = None,
    time_zone: str = "UTC",
) -> Panel:
    """Measure every CPI and KPI of the catalog by unit and calendar period.

    Parameters
    ----------
    tables : Tables
        The event tables that the catalog names, and the customers.
    catalog : Catalog
    unit : str
        Column of the unit in ``customers``, and in the event tables that have it (else the measure's entity).
    period : {"day", "week", "month", "quarter", "year"}
    start, end : str or date, optional
        First and last day used; later events are not seen.
    customers : str
        Table of all units. Without it the units are those with an event, and no event is missing, never zero.
    covariates : sequence of str, optional
        Columns of ``customers``; by default those that the catalog's links adjust for and the table has.
    time_zone : str
        Whose calendar counts. Times without a zone are taken as local.

    Returns
    -------
    Panel
        A row per unit and period between the first and the last period seen. Sums and counts without events are 0.

    Raises
    ------
    DataError
        If tables or columns are missing or unusable, or no event lies in the span.
    """
    check_period(period), check_time_zone(time_zone)
    cpis, kpis = tuple(catalog.cpis), tuple(catalog.kpis)
    indicators = find_indicators(tables, catalog, [*cpis, *kpis], unit=unit)
    has_customers = customers in tables.names
    chosen = panel_covariates(tables, catalog, customers if has_customers else "", unit, covariates)
    _roles(cpis, kpis, chosen)
    keys = {(each.measure.table, each.measure.entity) for each in indicators}
    key = key_sql(tables, [*sorted(keys), *([(customers, unit)] if has_customers else [])])
    span = Span(start=bound(start, last=False, where="start"), end=bound(end, last=True, where="end"))
    events = {
        source: events_sql(tables, group, key=key, time_zone=time_zone, condition=span.condition)
        for source, group in by_source(indicators).items()
    }
    (first, last), unseen = seen_span(tables, indicators, events, key=key, time_zone=time_zone)
    units = units_sql(tables, customers if has_customers else "", unit, chosen, key, list(events.values()))
    frame = tables.frame(
        grid_sql(indicators, events, units, (first, last, period), chosen, has_customers=has_customers)
    )
    outside = unknown_units(tables, indicators, events, units) if has_customers else ()
    how = {
        "unit": unit,
        "period": period,
        "start": span.start,
        "end": span.end,
        "time_zone": time_zone,
        "covariates": chosen,
    }
    used = sorted({each.measure.table for each in indicators} | ({customers} if has_customers else set()))
    return Panel(
        frame=frame,
        unit=unit,
        period=period,
        cpis=cpis,
        kpis=kpis,
        covariates=chosen,
        losses=(*unseen, *count_losses(tables, indicators), *outside),
        digest=digest_of(
            {
                "tables": {table: tables.digest(table) for table in used},
                "measures": {each.id: plain(each.measure) for each in indicators},
                "how": how,
            }
        ),
    )


# -- a ready frame ---------------------------------------------------------------------------------------------------


def _roles(cpis: Sequence[str], kpis: Sequence[str], covariates: Sequence[str]) -> list[str]:
    names = [*cpis, *kpis, *covariates]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"column {name!r} has two roles", advice="A column is a CPI, a KPI or a covariate.")
        if name in _RESERVED:
            raise DataError(f"column {name!r} cannot be an indicator", advice=f"Rename it: {_RESERVED} are taken.")
    if not cpis and not kpis:
        raise DataError("no CPI and no KPI is named", advice="Name at least one column.")
    return names


def _check_share(dropped: tuple[tuple[str, int], ...], rows: int) -> None:
    lost = sum(count for _, count in dropped)
    if lost > _MAX_SHARE_NULL * rows:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in dropped)
        raise DataError(
            f"{lost:,} of {rows:,} rows cannot be placed: {reasons}", advice="Every row needs its unit and its time."
        )


def _period_of(times: Array, name: str, period: str) -> Array:
    if times.dtype.kind == "f":
        if (times != np.round(times)).any():
            raise DataError(f"column {name!r} holds numbers that are not whole", advice="Use dates or period numbers.")
        return times.astype(np.int64)
    if times.dtype.kind == "O":
        times = read_times(times, where=f"column {name!r}")
    return period_start(times, period)


def _assembled(
    content: dict[str, Array],
    *,
    unit: str,
    period: str,
    roles: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    losses: tuple[Loss, ...],
) -> Panel:
    frame = pd.DataFrame(content).sort_values(["unit", "period"], kind="stable", ignore_index=True)
    repeated = frame.duplicated(["unit", "period"])
    if repeated.any():
        pairs = frame.loc[repeated, ["unit", "period"]].drop_duplicates().head(5)
        listed = "; ".join(f"{row.unit} in {str(row.period)[:10]}" for row in pairs.itertuples())
        raise DataError(
            f"{int(repeated.sum()):,} rows repeat a unit and {period}; first: {listed}",
            advice="Aggregate to one row per unit and period, or state the shorter period.",
        )
    cpis, kpis, covariates = roles
    digest = digest_of({"frame": digest_of_frame(frame), "unit": unit, "period": period, "roles": roles})
    return Panel(
        frame=frame,
        unit=unit,
        period=period,
        cpis=cpis,
        kpis=kpis,
        covariates=covariates,
        losses=losses,
        digest=digest,
    )
