"""Very many slopes at once from sums, and which of them stand out from so many.

A cell is one CPI, one KPI and one segment. Its sums are those of ``[1, controls, CPI, KPI]`` over the rows in which
none of these is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError, nearest
from cpi_experiments.stats.student import upper_tail

Array = np.ndarray

PROCEDURES = ("BH", "BY")
_MANY = 50_000
_LEAST_LEFT = 1e-10
_LEAST_UNEXPLAINED = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slopes:
    """Slopes of C cells; NaN where there is none.

    Parameters
    ----------
    n : int array, shape (C,)
        Rows of the cell.
    slope, std_error, p_value : array, shape (C,)
        KPI units per unit of the CPI; errors of equal variance in all rows.
    problem : array of str, shape (C,)
        Why there is no slope; empty where there is one.
    intercept : array, shape (C, 1 + q)
        Constant and slopes of the controls.
    explained : array, shape (C, 1 + q)
        Constant and slopes of the regression of the CPI on the controls.
    left : array, shape (C,)
        Squares of the CPI that the controls leave.
    """

    n: Array
    slope: Array
    std_error: Array
    p_value: Array
    problem: Array
    intercept: Array
    explained: Array
    left: Array


def slopes_of(grams: Array) -> Slopes:
    """Regress the last column on the others in every cell and take the slope of the one before it.

    Parameters
    ----------
    grams : array, shape (C, m, m)
        Sums of products of ``[1, controls, CPI, KPI]``.

    Returns
    -------
    Slopes

    Examples
    --------
    >>> rows = np.array([[1, 1, 1, 1], [0, 1, 2, 3], [1, 3, 4, 8]], dtype=float)
    >>> found = slopes_of((rows @ rows.T)[None])
    >>> found.slope.round(6).tolist(), found.std_error.round(6).tolist()
    ([2.2], [0.424264])
    """
    n = grams[:, 0, 0]
    q = grams.shape[1] - 3
    controls, both = grams[:, : q + 1, : q + 1], grams[:, : q + 1, q + 1 :]
    weights, rank = _solve(controls, both)
    left = grams[:, q + 1 :, q + 1 :] - np.swapaxes(both, 1, 2) @ weights
    xx, xy, yy = left[:, 0, 0], left[:, 0, 1], left[:, 1, 1]
    raw_x, raw_y = grams[:, q + 1, q + 1], grams[:, q + 2, q + 2]
    df = n - rank - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = xy / xx
        rss = yy - slope * xy
        std_error = np.sqrt(rss / df / xx)
        problem = np.select(
            [df < 1, xx <= _LEAST_LEFT * raw_x, yy <= _LEAST_LEFT * raw_y, rss <= _LEAST_UNEXPLAINED * yy],
            ["too few rows", "the CPI does not vary", "the KPI does not vary", "the same thing measured twice"],
            default="",
        )
        bad = problem != ""
        slope, std_error = np.where(bad, np.nan, slope), np.where(bad, np.nan, std_error)
        p_value = two_sided(slope / std_error, df)
    return Slopes(
        n=n.astype(np.int64),
        slope=slope,
        std_error=std_error,
        p_value=p_value,
        problem=problem,
        intercept=weights[:, :, 1] - slope[:, None] * weights[:, :, 0],
        explained=weights[:, :, 0],
        left=xx,
    )


def two_sided(statistic: Array, df: Array) -> Array:
    """p-values of t statistics; NaN stays NaN.

    Examples
    --------
    >>> two_sided(np.array([2.228139, np.nan]), np.array([10.0, 10.0])).round(4).tolist()
    [0.05, nan]
    """
    size, df = np.abs(statistic), np.maximum(df, 1)
    if len(size) < _MANY:
        return np.array([2 * upper_tail(t, d) for t, d in zip(size.tolist(), df.tolist(), strict=True)])
    from scipy import special  # noqa: PLC0415 - its import takes longer than some thousand tails

    return np.asarray(2 * special.stdtr(df, -size))


def q_values(p_values: Array, *, procedure: str = "BH") -> Array:
    """Smallest false discovery rate at which each p-value of a family passes.

    Parameters
    ----------
    p_values : array, shape (m,)
        The whole family; NaN counts as 1.
    procedure : {"BH", "BY"}
        Benjamini-Hochberg, for tests that are independent or move together; Benjamini-Yekutieli, for any.

    Returns
    -------
    array, shape (m,)

    Raises
    ------
    EstimationError
        If the procedure is another word.

    References
    ----------
    Benjamini, Hochberg (1995), JRSS B 57; Benjamini, Yekutieli (2001), Ann. Statist. 29.

    Examples
    --------
    >>> q_values(np.array([0.01, 0.04, 0.03, np.nan])).round(4).tolist()
    [0.04, 0.0533, 0.0533, 1.0]
    """
    if procedure not in PROCEDURES:
        raise EstimationError(f"procedure {procedure!r} is not known", advice=nearest(procedure, list(PROCEDURES)))
    p = np.where(np.isnan(p_values), 1.0, p_values)
    m = len(p)
    order = np.argsort(p, kind="stable")
    times = float(np.sum(1 / np.arange(1, m + 1))) if procedure == "BY" else 1.0
    scaled = p[order] * m / np.arange(1, m + 1) * times
    q = np.empty(m)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def _solve(controls: Array, both: Array) -> tuple[Array, Array]:
    """Solve for the weights of constant and controls, shape (C, q + 1, 2), and count how many of these differ."""
    size = np.sqrt(np.maximum(np.einsum("cii->ci", controls), 0))
    scale = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(controls / (scale[:, :, None] * scale[:, None, :]))
    kept = values > _LEAST_LEFT
    inverse = np.where(kept, 1 / np.where(kept, values, 1.0), 0.0)
    projected = np.swapaxes(vectors, 1, 2) @ (both / scale[:, :, None])
    return (vectors @ (inverse[:, :, None] * projected)) / scale[:, :, None], kept.sum(axis=1)
