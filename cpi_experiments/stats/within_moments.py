"""Two-way fixed effects from sums: exact for unbalanced panels, no iteration, no rows.

Every unit enters by its sums and by the set of periods in which it was seen. Partialling out the units then needs
nothing but sums over units that share such a set; partialling out the periods is one system of T equations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cpi_experiments.stats.regression import Regression, small_sample

Array = np.ndarray

#: Periods that fit the set of a unit, one bit each.
MOST_PERIODS = 62
#: Digits that may be lost to what units, periods and other columns explain; the rows themselves answer beyond.
_MOST_LOST = 1e4
_LEAST_UNEXPLAINED = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitSums:
    """What the units take out, and which periods they link; additive over disjoint sets of units.

    Parameters
    ----------
    taken : array, shape (p + T, p + T)
        Sum over units of the products of their means, times their rows, of columns and period indicators.
    linked : bool array, shape (T, T)
        Periods in which one unit was seen.
    alone : int array, shape (T,)
        Units that were seen once, by period.
    units, rows : int
        Units, and the rows that they have if each has one row a period.
    """

    taken: Array
    linked: Array
    alone: Array
    units: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WithinMoments:
    """Sums over the rows of a panel with one row a unit and period; p columns, the outcome first.

    Parameters
    ----------
    products : array, shape (p, p)
        Sum over all rows.
    period_rows : int array, shape (T,)
    period_sums : array, shape (T, p)
        Sums by period.
    units : UnitSums
    """

    products: Array
    period_rows: Array
    period_sums: Array
    units: UnitSums


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WithinSolution:
    """Slopes of k columns, and what the scores of the units are made of.

    Parameters
    ----------
    coefficients : array, shape (k,)
    bread : array, shape (k, k)
        Inverse of the products that the effects leave.
    period_columns : array, shape (T, k)
        What the periods explain of the columns.
    period_effects : array, shape (T,)
        What the periods explain of the outcome less the columns times their slopes.
    n_obs, n_units, n_effects : int
        Rows and units without singletons; rank of all effects.
    n_periods : int
        Parameters of the periods, the constant included.
    singletons : int
    rss, within : float
        Residual sum of squares, and that of the outcome after the effects.
    """

    coefficients: Array
    bread: Array
    period_columns: Array
    period_effects: Array
    n_obs: int
    n_units: int
    n_effects: int
    n_periods: int
    singletons: int
    rss: float
    within: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WithinScores:
    """Sums over units of their scores.

    Parameters
    ----------
    total : array, shape (k,)
        Sum of the scores: zero but for rounding.
    products : array, shape (k, k)
        Sum of their outer products.
    own, own_squared : float
        Sum over units of the squares of the first column after all others are taken out, and of their squares.
    """

    total: Array
    products: Array
    own: float
    own_squared: float


def solve_within(moments: WithinMoments) -> WithinSolution | None:
    """Regress the outcome on the other columns with effects of unit and period.

    Singletons among the units drop out by themselves: nothing of them is left after their own mean.

    Returns
    -------
    WithinSolution or None
        None where sums cannot answer to ten digits, or the rows have to be looked at: a column that the effects or
        the other columns (nearly) explain, a period of one row, too few rows.

    References
    ----------
    Wansbeek, Kapteyn (1989), J. Econometrics 41: two-way effects of unbalanced panels.

    Examples
    --------
    Three units, seen in periods (0, 1), (0, 1) and (0, 1): y = 2 x + effects.

    >>> x, y = np.array([[0.0, 1], [0, 3], [1, 1]]), np.array([[0.0, 3], [5, 12], [9, 10]])
    >>> w, sums = np.stack([y, x], axis=-1), np.stack([y, x], axis=-1).sum(axis=1)
    >>> solution = solve_within(WithinMoments(
    ...     products=np.einsum("itj,itk->jk", w, w), period_rows=np.array([3, 3]), period_sums=w.sum(axis=0),
    ...     units=take_units(np.array([3, 3, 3]), sums, periods=2)))
    >>> solution is None  # an exact fit: no digit of its error is known
    True
    """
    rows = moments.period_rows - moments.units.alone
    if np.any(rows == 1) or rows.sum() == 0:
        return None
    reduced = _without_units(moments)
    p, raw = len(moments.products), np.diag(moments.products)
    explained = np.linalg.pinv(reduced[p:, p:], rcond=1e-12, hermitian=True) @ reduced[p:, :p]
    left = reduced[:p, :p] - reduced[:p, p:] @ explained
    if not np.all(np.isfinite(left)) or np.any(np.diag(left) * _MOST_LOST <= raw) or not _well_posed(left, raw):
        return None
    scale = np.sqrt(np.diag(left)[1:])
    bread = np.linalg.inv(left[1:, 1:] / np.outer(scale, scale)) / np.outer(scale, scale)
    b = bread @ left[1:, 0]
    rss = float(left[0, 0] - b @ left[1:, 0])
    n_units = moments.units.units - int(moments.units.alone.sum())
    n_sets = _islands(moments.units.linked, rows > 0)
    n_periods = int(np.sum(rows > 0)) - n_sets + 1
    n_effects = n_units + n_periods - 1
    if rss < _LEAST_UNEXPLAINED * raw[0] or rows.sum() <= p - 1 + n_effects:
        return None
    return WithinSolution(
        coefficients=b,
        bread=bread,
        period_columns=explained[:, 1:],
        period_effects=explained[:, 0] - explained[:, 1:] @ b,
        n_obs=int(rows.sum()),
        n_units=n_units,
        n_effects=n_effects,
        n_periods=n_periods,
        singletons=int(moments.period_rows.sum() - rows.sum()),
        rss=rss,
        within=float(left[0, 0]),
    )


def within_regression(solution: WithinSolution, scores: WithinScores) -> Regression:
    """Put slopes and scores together: errors clustered by unit (CR1), as `cpi_experiments.stats.fixed_effects.within`.

    The sum of the scores, which were taken row by row, corrects what rounding left in the slopes.

    Returns
    -------
    Regression
    """
    k = len(solution.coefficients)
    n_parameters = k + solution.n_periods
    factor = small_sample(solution.n_obs, n_parameters, solution.n_units)
    return Regression(
        coefficients=solution.coefficients + solution.bread @ scores.total,
        covariance=solution.bread @ (scores.products * factor) @ solution.bread,
        df=float(solution.n_units - 1),
        n_obs=solution.n_obs,
        n_parameters=n_parameters,
        variance="CR1",
        n_clusters=solution.n_units,
        sigma=math.sqrt(solution.rss / (solution.n_obs - k - solution.n_effects)),
        unexplained=solution.rss / solution.within,
        carriers=scores.own**2 / scores.own_squared,
        singletons=solution.singletons,
    )


def take_units(
    seen: Array, sums: Array, *, periods: int, units: Array | None = None, products: Array | None = None
) -> UnitSums:
    """Take in units, one by one or by the set of periods in which they were seen.

    Parameters
    ----------
    seen : int array, shape (M,)
        Sets of periods: bit t is set if the unit was seen in period t.
    sums : array, shape (M, p)
        Sums of the rows.
    periods : int
        T.
    units : int array, shape (M,), optional
        Units of each set; one by default.
    products : array, shape (M, p, p), optional
        Sum over the units of a set of the outer product of the unit's sums; that of the sums by default.

    Examples
    --------
    >>> found = take_units(np.array([0b11, 0b01]), np.array([[4.0], [1.0]]), periods=2)
    >>> found.taken[0, 0], found.alone.tolist(), found.rows
    (np.float64(9.0), [1, 0], 3)
    """
    p, size = sums.shape[1], np.bitwise_count(seen.astype(np.int64)).astype(np.int64)
    share, count = 1.0 / size, np.ones(len(seen)) if units is None else units.astype(float)
    bits = ((seen[:, None] >> np.arange(periods)) & 1).astype(float)
    taken = np.empty((p + periods, p + periods))
    taken[:p, :p] = (sums.T * share) @ sums if products is None else np.einsum("m,mjk->jk", share, products)
    taken[p:, :p] = bits.T @ (sums * share[:, None])
    taken[:p, p:] = taken[p:, :p].T
    taken[p:, p:] = bits.T @ (bits * (count * share)[:, None])
    return UnitSums(
        taken=taken,
        linked=(bits.T @ bits) > 0,
        alone=((count * (size == 1)) @ bits).astype(np.int64),
        units=int(count.sum()),
        rows=int(count @ size),
    )


def add_units(a: UnitSums, b: UnitSums) -> UnitSums:
    """Add two disjoint sets of units."""
    return UnitSums(
        taken=a.taken + b.taken,
        linked=a.linked | b.linked,
        alone=a.alone + b.alone,
        units=a.units + b.units,
        rows=a.rows + b.rows,
    )


def _without_units(moments: WithinMoments) -> Array:
    """Products of the columns and the period indicators after the units are taken out, shape (p + T, p + T)."""
    p = len(moments.products)
    everything = np.zeros_like(moments.units.taken)
    everything[:p, :p] = moments.products
    everything[p:, :p] = moments.period_sums
    everything[:p, p:] = moments.period_sums.T
    everything[p:, p:] = np.diag(moments.period_rows)
    return np.asarray(everything - moments.units.taken)


def _well_posed(left: Array, raw: Array) -> bool:
    """Whether the columns differ enough from each other, all losses of digits together."""
    scale = np.sqrt(np.diag(left)[1:])
    spread = np.linalg.eigvalsh(left[1:, 1:] / np.outer(scale, scale))
    lost = float(np.max(raw / np.diag(left)))
    return bool(spread[0] > 0 and spread[-1] / spread[0] * lost < _MOST_LOST)


def _islands(linked: Array, used: Array) -> int:
    """Count the sets of periods that no unit links to each other."""
    near = linked | np.eye(len(used), dtype=bool)
    for _ in range(6):  # paths of up to 2**6 steps, more than there are periods
        near = (near.astype(float) @ near.astype(float)) > 0
    return len(np.unique(near[used], axis=0))
