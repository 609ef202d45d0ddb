"""The panel: indicators by unit and period, checked once, with its lags, its losses and its order of measuring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cpi_experiments.display import Displayed, Row, number, plain
from cpi_experiments.errors import DataError, nearest
from cpi_experiments.estimate import Diagnostic, digest_of
from cpi_experiments.measure.arrays import digest_of_frame
from cpi_experiments.measure.columns import complete_cases, numeric
from cpi_experiments.measure.engine import read_columns
from cpi_experiments.measure.events import Loss
from cpi_experiments.measure.order import Order, check_order
from cpi_experiments.measure.periods import (
    check_period,
    check_year_start,
    period_number,
    period_start,
    read_times,
)
from cpi_experiments.measure.small_groups import MINIMUM, check_minimum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data

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
    fiscal_year_start : int
        First month of the year, which quarters and years follow.
    orders : tuple of Order
        How often each KPI was measured before its CPI, for the links of the catalog (all pairs without links).
    events, people : mapping of indicator to int array, shape (rows,)
        How many events and persons are behind every cell, where a unit is a group of persons; else empty.

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
    fiscal_year_start: int = 1
    orders: tuple[Order, ...] = ()
    events: Mapping[str, Array] = field(default_factory=dict, repr=False)
    people: Mapping[str, Array] = field(default_factory=dict, repr=False)

    @classmethod
    def from_frame(  # noqa: PLR0913 - a door: everything by name
        cls,
        frame: Data,
        *,
        unit: str,
        time: str,
        cpis: Sequence[str],
        kpis: Sequence[str],
        covariates: Sequence[str] = (),
        period: str = "month",
        fiscal_year_start: int = 1,
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
        fiscal_year_start : int
            First month of the year; quarters and years follow it.

        Raises
        ------
        DataError
            If a column is missing or unusable, a unit has two rows in one period, or more than 5% of the rows have
            no unit or time.
        """
        check_period(period), check_year_start(fiscal_year_start)
        names = check_roles(cpis, kpis, covariates)
        columns = read_columns(frame, [unit, time, *names])
        keep, dropped = complete_cases({unit: columns[unit], time: columns[time]})
        _check_share(dropped, len(keep))
        columns = {name: values[keep] for name, values in columns.items()}
        content: dict[str, Array] = {
            "unit": columns[unit],
            "period": _period_of(columns[time], time, period, fiscal_year_start),
        }
        for name in names:
            as_it_is = name in covariates and columns[name].dtype == object
            content[name] = columns[name] if as_it_is else numeric(columns, name)
        return _assembled(
            content,
            unit=unit,
            period=period,
            roles=(tuple(cpis), tuple(kpis), tuple(covariates)),
            losses=tuple(("all indicators", reason, rows) for reason, rows in dropped),
            fiscal_year_start=fiscal_year_start,
        )

    @property
    def n_units(self) -> int:
        """Units in the panel."""
        return int(self.frame["unit"].nunique())

    def lagged(self, column: str, periods: int) -> Array:
        """Return a column's value of the same unit, ``periods`` periods earlier; a lead (later) if negative.

        A period without a row gives NaN, never the value of the row before or after it.

        Parameters
        ----------
        column : str
            A numeric column of the frame.
        periods : int
            How many periods back: 1 is the period before, -1 the one after.

        Returns
        -------
        float array, shape (rows,)

        Raises
        ------
        DataError
            If there is no such column or it is text.
        """
        if column not in self.frame.columns:
            raise DataError(f"column {column!r} is missing", advice=nearest(column, list(map(str, self.frame.columns))))
        values = numeric({column: self.frame[column].to_numpy()}, column)
        keys, width = self._keys()
        steps = keys % width
        wanted = np.arange(len(keys)) - periods  # where it is if the unit has every period
        there = np.clip(wanted, 0, len(keys) - 1)
        inside = (steps - periods >= 0) & (steps - periods < width)
        found = inside & (wanted == there) & (keys[there] == keys - periods)
        rest = np.flatnonzero(inside & ~found)
        if len(rest) and len(keys) < (int(keys[-1]) // width + 1) * width:
            target = keys[rest] - periods
            there[rest] = np.minimum(np.searchsorted(keys, target), len(keys) - 1)
            found[rest] = keys[there[rest]] == target
        return np.where(found, values[there], np.nan)

    def _keys(self) -> tuple[Array, int]:
        """Give rows ascending numbers by unit and period; neighbours in time differ by one."""
        unit = self.frame["unit"].to_numpy()
        same = np.asarray(unit[1:] == unit[:-1], dtype=bool)
        codes = np.concatenate([[0], np.cumsum(~same)]).astype(np.int64)
        times = self.frame["period"].to_numpy()
        steps = period_number(times, self.period, fiscal_year_start=self.fiscal_year_start)
        width = int(steps.max() - steps.min()) + 1
        keys = codes * width + (steps - steps.min())
        if np.any(keys[1:] <= keys[:-1]):
            raise DataError("the rows are not sorted by unit and period", advice="Make the panel by Panel.from_frame.")
        return keys, width

    def order_of(self, cpi: str, kpi: str) -> Diagnostic:
        """Say whether a KPI was measured after its CPI within the periods.

        Returns
        -------
        Diagnostic
            It blocks if the KPI mostly comes first; see `cpi_experiments.measure.order.check_order`.
        """
        for order in self.orders:
            if (order.cpi, order.kpi) == (cpi, kpi):
                return check_order(order)
        return Diagnostic(
            name="order of measuring",
            null=f"{kpi} is measured after {cpi}",
            passed=False,
            advice=f"When {cpi} and {kpi} happened is not in this panel: make sure that {kpi} comes after {cpi}.",
        )

    def without_small_cells(self, minimum: int = MINIMUM) -> Panel:
        """Return the panel with missing values where fewer than ``minimum`` persons are behind a number.

        Raises
        ------
        DataError
            If a unit is no group of persons, or ``minimum`` is below 5.
        """
        check_minimum(minimum)
        if not self.people:
            raise DataError(
                f"a {self.unit} is not known to be a group of persons", advice="Measure by team or segment."
            )
        small = {name: (count > 0) & (count < minimum) for name, count in self.people.items()}
        frame = self.frame.assign(**{name: self.frame[name].mask(few) for name, few in small.items()})
        hidden = tuple(
            (name, f"cells of fewer than {minimum} customers hidden", int(few.sum()))
            for name, few in small.items()
            if few.any()
        )
        digest = digest_of({"panel": self.digest, "minimum": minimum})
        return replace(self, frame=frame, losses=(*self.losses, *hidden), digest=digest)

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the data."""
        return self.frame.copy()

    def to_dict(self) -> Row:
        """Return what the panel is; its rows stay in the frame."""
        content = {name: getattr(self, name) for name in ("unit", "period", "cpis", "kpis", "covariates", "losses")}
        return {**plain(content), "n_rows": len(self.frame), "n_units": self.n_units, "digest": self.digest}

    def _title(self) -> str:
        lost = sum(rows for _, _, rows in self.losses)
        return (
            f"{self.n_units:,} units ({self.unit}) in {self.frame['period'].nunique():,} periods ({self.period}), "
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


# -- a ready frame ---------------------------------------------------------------------------------------------------


def check_roles(cpis: Sequence[str], kpis: Sequence[str], covariates: Sequence[str]) -> list[str]:
    """Return the columns of all roles.

    Raises
    ------
    DataError
        If one has two roles or a reserved name, or there is none.
    """
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


def _period_of(times: Array, name: str, period: str, fiscal_year_start: int) -> Array:
    if times.dtype.kind == "f":
        if (times != np.round(times)).any():
            raise DataError(f"column {name!r} holds numbers that are not whole", advice="Use dates or period numbers.")
        return times.astype(np.int64)
    if times.dtype.kind == "O":
        times = read_times(times, where=f"column {name!r}")
    return period_start(times, period, fiscal_year_start=fiscal_year_start)


def _assembled(
    content: dict[str, Array],
    *,
    unit: str,
    period: str,
    roles: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    losses: tuple[Loss, ...],
    fiscal_year_start: int,
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
    if fiscal_year_start != 1:
        digest = digest_of({"panel": digest, "fiscal_year_start": fiscal_year_start})
    return Panel(
        frame=frame,
        unit=unit,
        period=period,
        cpis=cpis,
        kpis=kpis,
        covariates=covariates,
        losses=losses,
        digest=digest,
        fiscal_year_start=fiscal_year_start,
    )
