"""The slope of a large panel from sums by unit and period: the rows stay in the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.measure.engine import quote
from cpi_experiments.measure.engines.opening import open_data
from cpi_experiments.measure.moments.within import fit_within
from cpi_experiments.observational.past_rows import look_like_periods, not_periods
from cpi_experiments.observational.slope import Slope, slope_of
from cpi_experiments.stats.regression import MANY_CLUSTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.observational.past_rows import Roles

Array = np.ndarray

#: Frames of fewer rows are regressed as arrays, which is faster than opening an engine.
SMALL_FRAME = 100_000
_SAMPLE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A slope, the rows that it could not use by reason, and the rows of the table."""

    slope: Slope
    dropped: tuple[tuple[str, int], ...]
    n_rows: int


def slope_from_sums(data: Data, roles: Roles) -> Found | None:
    """Take the slope of the CPI with effects of unit and period from sums, if sums can answer.

    Returns
    -------
    Found or None
        None where the rows have to be read: other effects, clusters or weights, fewer than 40 units, text controls,
        small frames, labels that are missing or look wrong, and what `fit_within` leaves to the rows.

    Raises
    ------
    DataError
        If a column is missing.
    EstimationError
        If fewer than two units carry the slope.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.observational.past_rows import Roles
    >>> slope_from_sums(pd.DataFrame({"hours": [1.0], "won": [1.0]}), Roles(cpi="hours", kpi="won")) is None
    True
    """
    if not (roles.unit and roles.time) or roles.cluster != roles.unit or roles.weights or _is_small(data):
        return None
    with open_data(data, list(dict.fromkeys((*roles.measured, *roles.labels)))) as (engine, table):
        fit = fit_within(
            engine,
            table,
            outcome=roles.kpi,
            columns=[roles.cpi, *roles.controls],
            unit=roles.unit,
            time=roles.time,
        )
        if fit is None or fit.regression.n_clusters < MANY_CLUSTERS:
            return None
        if not_periods(fit.periods) or _may_be_swapped(engine, table, roles.unit, fit.periods):
            return None
    slope = slope_of(
        fit.regression,
        names=(roles.kpi, roles.cpi, *roles.controls),
        method=effects_in_words(roles.effects),
        cluster_name=roles.cluster,
    )
    return Found(slope=slope, dropped=fit.dropped, n_rows=fit.n_rows)


def effects_in_words(effects: Sequence[str]) -> str:
    """Name the estimator for the method line.

    Examples
    --------
    >>> effects_in_words(["broker", "month"])
    'least squares with fixed effects of broker and month'
    """
    return f"least squares with fixed effects of {' and '.join(effects)}"


def _is_small(data: Any) -> bool:  # noqa: ANN401 - any kind of data
    return hasattr(data, "iloc") and len(data) < SMALL_FRAME


def _may_be_swapped(engine: Engine, table: str, unit: str, periods: Array) -> bool:
    """Whether the first units could all be periods while the periods are not; the rows then decide."""
    if look_like_periods(periods):
        return False
    units = engine.query(f"SELECT {quote(unit)} AS u FROM {quote(table)} LIMIT {_SAMPLE}")["u"]  # noqa: S608 - quoted
    return not not_periods(units) if units.dtype == object else look_like_periods(units)
