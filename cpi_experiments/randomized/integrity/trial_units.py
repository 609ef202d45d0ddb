"""The units of a trial for its checks: one entry a unit, and the rows that it has on which days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, DesignError, EstimationError
from cpi_experiments.measure.columns import missing
from cpi_experiments.randomized.arms import Label, encode
from cpi_experiments.randomized.caps import cut_of
from cpi_experiments.randomized.effects.outcomes import Cap, Mean, Outcome
from cpi_experiments.randomized.integrity.days import Days, read_days
from cpi_experiments.randomized.rows import Rows, read_rows
from cpi_experiments.stats.arm_means import ArmMeans, arm_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which column plays which part; see `cpi_experiments.randomized.integrity.check_trial.check_trial`."""

    arm: str
    control: Label
    unit: str | None
    cluster: str | None
    day: str | None
    allocation: Mapping[Any, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialUnits:
    """Units that lie in one arm, n of them, and their rows.

    Parameters
    ----------
    arm : int array, shape (n,)
        0 = control, 1.. = treatments.
    labels : tuple
    shares : array, shape (arms,)
        Intended shares; they sum to 1.
    means, totals : mapping of column to array, shape (n,)
        Over the unit's rows; NaN where all of them are missing.
    keys : mapping of column to array, shape (n,)
        What the unit's first row says.
    cluster, day : int array, shape (n,), or None
        Code of the cluster; first day.
    row_unit : int array, shape (rows,)
        Unit of every row, -1 where the row is not used.
    row_day : int array, shape (rows,), or None
    row_values, row_keys : mapping of column to array, shape (rows,)
    calendar : Days or None
    n_seen, n_several : int
        Units in the data; those in several arms, which are left out.
    """

    arm: Array
    labels: tuple[Label, ...]
    shares: Array
    means: Mapping[str, Array]
    totals: Mapping[str, Array]
    keys: Mapping[str, Array]
    cluster: Array | None
    day: Array | None
    row_unit: Array
    row_day: Array | None
    row_values: Mapping[str, Array]
    row_keys: Mapping[str, Array]
    calendar: Days | None
    n_seen: int
    n_several: int

    @property
    def repeated(self) -> bool:
        """Whether some unit has several rows."""
        return int(np.sum(self.row_unit >= 0)) > len(self.arm)

    @property
    def treatments(self) -> range:
        """Codes of the treatments."""
        return range(1, len(self.labels))

    def randomised(self) -> tuple[Array, str]:
        """Positions of the units that stand for what was randomised, and what that is called.

        One unit of every cluster where clusters lie in one arm each, else all units.
        """
        if self.cluster is None:
            return np.arange(len(self.arm)), "units"
        clusters, first, code = np.unique(self.cluster, return_index=True, return_inverse=True)
        if np.any(self.arm[first][code] != self.arm):
            return np.arange(len(self.arm)), "units"
        return first[: len(clusters)], "clusters"

    def counts(self, at: Array | None = None) -> dict[str, int]:
        """Count units (all, or some) by arm, under the names of the arms."""
        counted = np.bincount(self.arm if at is None else self.arm[at], minlength=len(self.labels))
        return {str(label): int(n) for label, n in zip(self.labels, counted, strict=True)}

    def values(self, outcome: Outcome) -> Array:
        """Value of every unit whose mean by arm is the outcome: the mean of a column, or a ratio's linear form."""
        if isinstance(outcome, Mean):
            return capped(self.means[outcome.column], outcome.cap)
        top, base = self.totals[outcome.numerator], self.totals[outcome.denominator]
        return linear_form(capped(top, outcome.cap), base, self.arm)

    def row_outcome(self, outcome: Outcome) -> Array:
        """Value of every row, as `values` of units."""
        if isinstance(outcome, Mean):
            return capped(self.row_values[outcome.column], outcome.cap, among=self.row_unit >= 0)
        arm = np.where(self.row_unit >= 0, self.arm[self.row_unit], -1)
        top, base = self.row_values[outcome.numerator], self.row_values[outcome.denominator]
        return linear_form(capped(top, outcome.cap, among=self.row_unit >= 0), base, arm)

    def difference(self, columns: Sequence[Array], treatment: int, *, among: Array | None = None) -> ArmMeans | None:
        """Compare the means of columns between a treatment and the control; None where an arm has too few values."""
        values = np.stack(columns, axis=1)
        keep = np.isin(self.arm, [0, treatment]) & ~np.isnan(values).any(axis=1)
        if among is not None:
            keep &= among
        treated = self.arm[keep] == treatment
        if min(int(treated.sum()), int((~treated).sum())) < 2:
            return None
        try:
            return arm_means(values[keep], treated, clusters=None if self.cluster is None else self.cluster[keep])
        except EstimationError:  # one cluster in an arm
            return None


def capped(values: Array, cap: Cap | None, *, among: Array | None = None) -> Array:
    """Set larger values to a cap: a number, or a percentile of all values (or those ``among`` marks) such as ``"p99"``.

    Examples
    --------
    >>> capped(np.array([1.0, 2.0, 30.0]), 5), capped(np.array([1.0, 2.0, 30.0]), "p50")
    (array([1., 2., 5.]), array([1., 2., 2.]))
    """
    if cap is None or np.isnan(values if among is None else values[among]).all():
        return values
    return np.asarray(np.minimum(values, cut_of(values, cap, column="capped", among=among)))


def linear_form(numerator: Array, denominator: Array, arm: Array) -> Array:
    """Linearise a ratio of means within every arm (delta method); NaN where either part is missing.

    Raises
    ------
    EstimationError
        If a mean of the denominator is not above zero.

    Examples
    --------
    >>> linear_form(np.array([1.0, 3.0]), np.array([2.0, 2.0]), np.array([0, 0]))
    array([0.5, 1.5])
    """
    values = np.full(len(arm), np.nan)
    known = ~(np.isnan(numerator) | np.isnan(denominator))
    for code in range(int(arm.max()) + 1):
        at = known & (arm == code)
        if not at.any():
            continue
        top, base = float(numerator[at].mean()), float(denominator[at].mean())
        if not base > 0:
            raise EstimationError(f"the denominator's mean in an arm is {base:g}; a ratio needs it above zero")
        values[at] = top / base + (numerator[at] - top / base * denominator[at]) / base
    return values


def read_units(data: Data, roles: Roles, *, numbers: Sequence[str], keys: Sequence[str]) -> TrialUnits:
    """Read a trial and put its rows together by unit.

    Raises
    ------
    DataError
        If columns cannot be used, or an arm has fewer than two units.
    """
    extra = [name for name in (roles.unit, roles.day) if name]
    rows = read_rows(
        data,
        numbers=list(dict.fromkeys(numbers)),
        arm=roles.arm,
        control=roles.control,
        cluster=roles.cluster,
        keys=list(dict.fromkeys([*keys, *extra])),
        allocation=roles.allocation,
    )
    shares = _shares(rows.labels, roles.allocation)
    unit, several, n_seen = _units(rows, roles)
    used = (unit >= 0) & (rows.arm >= 0) & (True if rows.cluster is None else rows.cluster >= 0)
    used[used] = ~several[unit[used]]
    first = np.full(len(several), -1, dtype=np.intp)
    at = np.flatnonzero(used)[::-1]
    first[unit[at]] = at
    kept = np.flatnonzero(first >= 0)
    place = np.full(len(several), -1, dtype=np.intp)
    place[kept] = np.arange(len(kept))
    row_unit = np.where(used, place[np.where(used, unit, 0)], -1)
    first = first[kept]
    _check_sizes(rows.arm[first], rows.labels, several=int(several.sum()))
    sums = {name: _by_unit(value, row_unit, len(kept)) for name, value in rows.values.items()}
    row_day, calendar = _days(rows, roles.day, used) if roles.day else (None, None)
    return TrialUnits(
        arm=rows.arm[first],
        labels=rows.labels,
        shares=shares,
        means={name: mean for name, (mean, _) in sums.items()},
        totals={name: total for name, (_, total) in sums.items()},
        keys={name: rows.keys[name][first] for name in keys},
        cluster=None if rows.cluster is None else rows.cluster[first],
        day=None if row_day is None else _first_day(row_day, row_unit, len(kept)),
        row_unit=row_unit,
        row_day=row_day,
        row_values=rows.values,
        row_keys=rows.keys,
        calendar=calendar,
        n_seen=n_seen,
        n_several=int(several.sum()),
    )


def _shares(labels: tuple[Label, ...], allocation: Mapping[Any, float] | None) -> Array:
    weights = dict.fromkeys(labels, 1.0) if allocation is None else allocation
    lost = [label for label in weights if label not in labels]
    if lost:
        raise DataError(
            f"arm {lost[0]!r} of the allocation has no rows", advice=f"Found: {', '.join(map(repr, labels))}."
        )
    shares = np.array([float(weights[label]) for label in labels])
    if not np.all(shares > 0):
        raise DesignError(f"allocation {dict(weights)} holds a share that is not above zero")
    return np.asarray(shares / shares.sum())


def _units(rows: Rows, roles: Roles) -> tuple[Array, Array, int]:
    """Code of every row's unit, which units lie in several arms, and how many there are."""
    if roles.unit is None:
        return np.arange(len(rows.arm)), np.zeros(len(rows.arm), dtype=bool), int(np.sum(rows.arm >= 0))
    if missing(rows.keys[roles.unit]).all():
        raise DataError(f"column {roles.unit!r} holds no unit at all", advice="Name the column of the randomised unit.")
    unit, names = encode(rows.keys[roles.unit])
    known = (unit >= 0) & (rows.arm >= 0)
    low, high = np.full(len(names), len(rows.labels)), np.full(len(names), -1)
    np.minimum.at(low, unit[known], rows.arm[known])
    np.maximum.at(high, unit[known], rows.arm[known])
    several = low < high
    rows_of = np.bincount(unit[known], minlength=len(names))
    if roles.day is None and roles.cluster != roles.unit and np.any(rows_of[~several] > 1):
        raise DataError(
            f"{int(np.sum(rows_of[~several] > 1)):,} units have more than one row",
            where=f"column {roles.unit!r}",
            advice="Give one row per unit (aggregate first), or name the `day` if rows are days of a unit.",
        )
    return unit, several, int(np.sum(rows_of > 0))


def _check_sizes(arm: Array, labels: tuple[Label, ...], *, several: int) -> None:
    counts = np.bincount(arm, minlength=len(labels))
    if counts.min() < 2:
        label, n = labels[int(counts.argmin())], int(counts.min())
        lost = f" after {several:,} units in several arms were left out" if several else ""
        raise DataError(
            f"arm {label!r} has {n} unit{'' if n == 1 else 's'}{lost}",
            advice="A comparison needs at least two units an arm.",
        )


def _by_unit(values: Array, unit: Array, units: int) -> tuple[Array, Array]:
    """Mean and total of a column over the rows of every unit; NaN where all are missing."""
    there = (unit >= 0) & ~np.isnan(values)
    n = np.bincount(unit[there], minlength=units)
    total = np.bincount(unit[there], weights=values[there], minlength=units)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan), np.where(n > 0, total, np.nan)


def _days(rows: Rows, column: str, used: Array) -> tuple[Array, Days]:
    """Days of the rows that are used; -1 elsewhere."""
    day = np.full(len(used), -1, dtype=np.int64)
    day[used], calendar = read_days(rows.keys[column][used], column)
    return day, calendar


def _first_day(day: Array, unit: Array, units: int) -> Array:
    first = np.full(units, np.iinfo(np.int64).max)
    known = (unit >= 0) & (day >= 0)
    np.minimum.at(first, unit[known], day[known])
    return np.where(first == np.iinfo(np.int64).max, -1, first)
