"""Rows of past data made ready for a regression: complete, with named roles, text controls as indicators."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import clean_text
from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.measure.columns import complete_cases, missing, numeric, shown
from cpi_experiments.measure.engine import Data, read_columns
from cpi_experiments.stats.inputs import is_constant, label_codes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Array = np.ndarray
Columns = dict[str, Array]

MOST_LEVELS = 200
_PERIOD = re.compile(r"\d{4}([-/]?(Q[1-4]|W\d{1,2}|\d{2}([-/]?\d{2})?))?([T ].*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which column plays which part; empty text for none.

    Raises
    ------
    DataError
        If one column plays two parts that exclude each other.
    """

    cpi: str
    kpi: str
    controls: tuple[str, ...] = ()
    unit: str = ""
    time: str = ""
    cluster: str = ""
    weights: str = ""

    def __post_init__(self) -> None:
        parts = [("cpi", self.cpi), ("kpi", self.kpi), *(("control", name) for name in self.controls)]
        parts += [(part, name) for part, name in (("unit", self.unit), ("time", self.time)) if name]
        seen: dict[str, str] = {}
        for part, name in parts:
            if name in seen:
                raise DataError(
                    f"column {name!r} is given as {seen[name]} and as {part}", advice="Give each column one part."
                )
            seen[name] = part

    @property
    def effects(self) -> tuple[str, ...]:
        """Columns whose fixed effects are held constant."""
        return tuple(name for name in (self.unit, self.time) if name)

    @property
    def measured(self) -> tuple[str, ...]:
        """Columns without which a row cannot be used."""
        return tuple(dict.fromkeys(name for name in (self.cpi, self.kpi, *self.controls, self.weights) if name))

    @property
    def labels(self) -> tuple[str, ...]:
        """Columns that say where a row belongs."""
        return tuple(dict.fromkeys(name for name in (*self.effects, self.cluster) if name))


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRows:
    """Arrays of the rows that are used.

    Parameters
    ----------
    kpi : array, shape (n,)
    columns : array, shape (n, k)
        The CPI first, then the controls.
    names : tuple of str
        The KPI, then the columns.
    effects : tuple of arrays, shape (n,)
        Labels of the fixed effects.
    cluster, weights : array, shape (n,), or None
    dropped : tuple of (reason, rows)
    n_rows : int
        Rows in the table.
    """

    kpi: Array
    columns: Array
    names: tuple[str, ...]
    effects: tuple[Array, ...]
    cluster: Array | None
    weights: Array | None
    dropped: tuple[tuple[str, int], ...]
    n_rows: int


def past_rows(data: Data, roles: Roles) -> PastRows:
    """Read the columns of the roles, keep complete rows and expand text controls.

    Raises
    ------
    DataError
        If columns are missing or of the wrong kind, or two rows share one unit and period.
    EstimationError
        If no row can be used, labels are missing, or the KPI or a text control is constant.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"hours": [1.0, 2.0, None], "won": [1.0, 0.0, 1.0], "region": ["n", "s", "n"]})
    >>> rows = past_rows(frame, Roles(cpi="hours", kpi="won", controls=("region",)))
    >>> rows.names, len(rows.kpi)
    (('won', 'hours', 'region=s'), 2)
    """
    columns = dict(read_columns(data, list(dict.fromkeys((*roles.measured, *roles.labels)))))
    n_rows = len(columns[roles.kpi])
    for name in roles.measured:
        if name not in roles.controls or columns[name].dtype != object:
            columns[name] = numeric(columns, name)
    kept, dropped = _usable(columns, roles)
    if not kept.any():
        reasons = "; ".join(f"{reason}: {count:,}" for reason, count in dropped) or "the table is empty"
        raise EstimationError(f"none of {n_rows:,} rows can be used ({reasons})", advice="Check these columns.")
    columns = {name: values[kept] for name, values in columns.items()}
    _check_labels(columns, roles)
    if is_constant(columns[roles.kpi]):
        raise EstimationError(
            f"KPI {roles.kpi!r} is constant ({columns[roles.kpi][0]:g} in all {int(kept.sum()):,} rows)",
            advice="A KPI that never varies cannot be linked to anything.",
        )
    names, controls = expand(columns, roles.controls)
    return PastRows(
        kpi=columns[roles.kpi],
        columns=np.column_stack([columns[roles.cpi], *controls]),
        names=(roles.kpi, roles.cpi, *names),
        effects=tuple(columns[name] for name in roles.effects),
        cluster=columns[roles.cluster] if roles.cluster else None,
        weights=columns[roles.weights] if roles.weights else None,
        dropped=dropped,
        n_rows=n_rows,
    )


def _usable(columns: Columns, roles: Roles) -> tuple[Array, tuple[tuple[str, int], ...]]:
    kept, reasons = complete_cases({name: columns[name] for name in roles.measured})
    dropped = tuple(reasons)
    if roles.weights:
        weights = columns[roles.weights]
        negative = int(np.sum(weights < 0))
        if negative:
            raise DataError(f"weights {roles.weights!r} hold {negative:,} negative values", advice="Use 0 or more.")
        empty = kept & (weights == 0)
        dropped = (*dropped, (f"{roles.weights} is 0", int(empty.sum()))) if empty.any() else dropped
        kept = kept & ~empty
    return kept, dropped


def expand(columns: Mapping[str, Array], controls: Sequence[str]) -> tuple[list[str], list[Array]]:
    """Names and values of the controls; text ones as one indicator a level, against the most frequent level.

    Raises
    ------
    EstimationError
        If a text control has one level or more than 200.

    Examples
    --------
    >>> expand({"region": np.array(["n", "s", "n"], dtype=object)}, ["region"])[0]
    ['region=s']
    """
    names: list[str] = []
    arrays: list[Array] = []
    for control in controls:
        values = columns[control]
        if values.dtype != object:
            names.append(control)
            arrays.append(values)
            continue
        for level in _levels(values, control):
            names.append(f"{control}={clean_text(str(level))}")
            arrays.append((values == level).astype(np.float64))
    return names, arrays


def _levels(values: Array, control: str) -> list[str]:
    counts = Counter(values.tolist())
    if len(counts) == 1:
        raise EstimationError(
            f"control {control!r} is constant ({clean_text(str(values[0]))!r} in all rows)", advice="Leave it out."
        )
    if len(counts) > MOST_LEVELS:
        raise EstimationError(
            f"control {control!r} has {len(counts):,} levels; at most {MOST_LEVELS} are allowed",
            advice="Group its levels. If it holds numbers written as text, turn them into numbers first.",
        )
    ordered = sorted(counts, key=lambda level: (-counts[level], str(level)))
    return sorted(ordered[1:], key=str)


# -- labels ----------------------------------------------------------------------------------------------------------


def _check_labels(columns: Columns, roles: Roles) -> None:
    for name in roles.labels:
        lost = int(missing(columns[name]).sum())
        if lost:
            raise EstimationError(
                f"{lost:,} of {len(columns[name]):,} rows have no {name!r}",
                advice="A row without it belongs nowhere. Fill it in, or leave these rows out on purpose.",
            )
    for name in roles.effects:
        if label_codes(columns[name])[1] == 1:
            raise EstimationError(
                f"{name!r} has one value only ({clean_text(str(columns[name][0]))})",
                advice="A fixed effect needs at least two. Leave it out.",
            )
    if roles.time:
        _check_time(columns, roles)
    if roles.unit and roles.time:
        _check_key(columns[roles.unit], columns[roles.time], roles)


def _check_time(columns: Columns, roles: Roles) -> None:
    odd = not_periods(columns[roles.time])
    if roles.unit and look_like_periods(columns[roles.unit]) and not look_like_periods(columns[roles.time]):
        raise EstimationError(
            f"unit {roles.unit!r} holds periods and time {roles.time!r} does not: they look swapped",
            advice=f"Give unit={roles.time!r} and time={roles.unit!r}. If they are right, write the units as text.",
        )
    if odd:
        raise EstimationError(
            f"time {roles.time!r} holds text that is not a period, such as {odd}",
            advice="Write periods as numbers or as 2026, 2026-Q1, 2026-W05, 2026-01 or 2026-01-31.",
        )


def not_periods(values: Array) -> str:
    """First text that is not a period, ready to be shown; empty if there is none.

    Examples
    --------
    >>> not_periods(np.array(["2026-Q1", "Q1 26"], dtype=object))
    "'Q1 26'"
    """
    if values.dtype != object:
        return ""
    return next((shown(value) for value in dict.fromkeys(values) if not _PERIOD.fullmatch(str(value))), "")


def look_like_periods(values: Array) -> bool:
    """Whether labels are dates, or years; digits written as text may be ids and do not count.

    Examples
    --------
    >>> look_like_periods(np.array([2024.0, 2025.0])), look_like_periods(np.array(["7", "8"], dtype=object))
    (True, False)
    """
    if values.dtype.kind == "M":
        return True
    if values.dtype != object:
        return bool(np.all((values == np.round(values)) & (values >= 1900) & (values <= 2100)))
    return not not_periods(values) and not all(str(value).isdigit() for value in set(values))


def _check_key(units: Array, times: Array, roles: Roles) -> None:
    unit_codes, _ = label_codes(units)
    time_codes, n_times = label_codes(times)
    _, first, counts = np.unique(unit_codes * n_times + time_codes, return_index=True, return_counts=True)
    if np.all(counts == 1):
        return
    where = np.sort(first[counts > 1])[:5]
    keys = ", ".join(f"({_text(units[i])}, {_text(times[i])})" for i in where)
    raise DataError(
        f"{int(np.sum(counts > 1)):,} pairs of {roles.unit!r} and {roles.time!r} occur more than once: {keys}",
        advice="A panel holds one row a unit and period. Aggregate the rows first.",
    )


def _text(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, float) else clean_text(str(value))
