"""One-way and two-way fixed effects: exact within transformation for unbalanced panels, clustered errors.

Two effects are partialled out exactly: every column is demeaned within the effect with more levels, then the small
normal equations of the other effect (T x T) are solved: directly up to 400 levels, by conjugate gradients above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.inputs import (
    check_arrays,
    check_rows,
    check_variation,
    is_constant,
    label_codes,
    root_weights,
)
from cpi_experiments.stats.regression import (
    Regression,
    Solved,
    carriers_of,
    check_cluster,
    covariance_of,
    jackknife,
    resolve_variance,
    solve,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Floats = np.ndarray

DIRECT_LEVELS = 400
_ABSORBED = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows of a panel: ``data`` holds the outcome first, then the columns; ``effects`` one code array an effect."""

    data: Floats
    effects: tuple[Floats, ...]
    root: Floats
    cluster: Floats | None

    def take(self, kept: Floats) -> _Rows:
        return _Rows(
            data=self.data[kept],
            effects=tuple(_renumber(codes[kept]) for codes in self.effects),
            root=self.root[kept],
            cluster=None if self.cluster is None else _renumber(self.cluster[kept]),
        )


def within(
    outcome: Floats,
    columns: Floats,
    *,
    effects: Sequence[Floats],
    names: Sequence[str] = (),
    weights: Floats | None = None,
    cluster: Floats | None = None,
    variance: str = "CR1",
) -> Regression:
    """Regress an outcome on columns, holding one or two sets of fixed effects constant.

    Rows that an effect fits alone (singletons) say nothing; they are dropped, repeatedly, and counted. ``CR3`` leaves
    out one cluster at a time: by sums over clusters where a single effect is nested in the clusters (the demeaning
    of the others does not change then), otherwise by partialling out anew without each cluster; both are exact.

    Parameters
    ----------
    outcome : array, shape (n,)
    columns : array, shape (n, k)
    effects : one or two arrays, shape (n,)
        Labels, for example units and periods.
    names : sequence of str
        Names of the outcome and of the columns, for error messages.
    weights : array, shape (n,), optional
        Above zero; only their ratios matter.
    cluster : array, shape (n,), optional
        Labels of the clusters, for the clustered variances.
    variance : {"CR1", "CR3", "clustered", "HC1", "iid"}
        See `cpi_experiments.stats.regression`; ``iid`` and ``HC1`` count all effects.

    Raises
    ------
    EstimationError
        If an effect has one level, all rows are singletons, a column is absorbed by the effects or collinear, the
        outcome does not vary within them, or there are not more rows than parameters.

    References
    ----------
    Baltagi (2021), Econometric Analysis of Panel Data, ch. 2-3 and 9; Correia (2015): singletons.

    Examples
    --------
    >>> unit = np.array([0, 0, 1, 1, 2, 2])
    >>> x = np.array([0.0, 1.0, 0.0, 3.0, 1.0, 2.0])
    >>> fit = within(2 * x + 10 * unit + np.array([0, 1, 0, 0, 0, -1.0]), x[:, None], effects=[unit], variance="iid")
    >>> fit.coefficients.tolist(), fit.df
    ([2.0], 2.0)
    """
    y, x, names = check_arrays(outcome, columns, names)
    check_variation(y, x, names)
    labelled = tuple(_effect(labels, len(y)) for labels in _one_or_two(effects))
    codes = check_cluster(cluster, len(y), variance)
    rows = _Rows(data=np.column_stack([y, x]), effects=labelled, root=root_weights(weights, len(y)), cluster=codes)
    rows = _without_singletons(rows)
    variance = resolve_variance(variance, rows.cluster)
    reduced = partial_out(rows.data - rows.data[0], rows.effects, root=rows.root)
    _check_left(rows.data, reduced, rows.root, names)
    n_effects = _rank(rows.effects)
    check_rows(len(reduced), x.shape[1] + n_effects)
    solved = solve(reduced[:, 0], reduced[:, 1:], names[1:])
    covariance, df, n_clusters = _covariance(rows, solved, variance, n_effects)
    rss = float(solved.residuals @ solved.residuals)
    return Regression(
        coefficients=solved.coefficients,
        covariance=covariance,
        df=df,
        n_obs=len(reduced),
        n_parameters=x.shape[1] + n_effects - _nested_levels(rows),
        variance=variance,
        n_clusters=n_clusters,
        sigma=math.sqrt(rss / (len(reduced) - x.shape[1] - n_effects)),
        unexplained=rss / float(reduced[:, 0] @ reduced[:, 0]),
        carriers=carriers_of(solved, rows.cluster),
        singletons=len(y) - len(reduced),
    )


def partial_out(data: Floats, effects: Sequence[Floats], *, root: Floats) -> Floats:
    """Residuals of weighted regressions of each column on the effects, times the root of the weights.

    Parameters
    ----------
    data : array, shape (n, k)
    effects : one or two int arrays, shape (n,)
        Codes 0, 1, ... without gaps.
    root : array, shape (n,)
        Roots of the weights.

    Examples
    --------
    >>> partial_out(np.array([[1.0], [3.0], [5.0]]), [np.array([0, 0, 1])], root=np.ones(3)).ravel().tolist()
    [-1.0, 1.0, 0.0]
    """
    weights = root**2
    large = max(effects, key=lambda codes: int(codes.max()))
    small = [codes for codes in effects if codes is not large]
    left = _demean(data, large, weights)
    if small:
        size = np.linalg.norm((data - data.mean(axis=0)) * root[:, None], axis=0)
        left = _sweep(left, large, small[0], weights, size)
        left = _sweep(left, large, small[0], weights, size)  # once more removes the rounding of the first solution
    return np.asarray(left * root[:, None])


def _demean(data: Floats, codes: Floats, weights: Floats) -> Floats:
    total = np.bincount(codes, weights=weights)
    means = np.column_stack([np.bincount(codes, weights=weights * column) / total for column in data.T])
    return np.asarray(data - means[codes])


def _sweep(data: Floats, large: Floats, small: Floats, weights: Floats, size: Floats) -> Floats:
    """Remove the smaller effect from columns that are demeaned within the larger one.

    ``size`` holds the norms of the original columns, shape (k,): the rounding that is left of them is no signal.
    """
    from scipy import sparse  # noqa: PLC0415 - only two-way effects need it

    cells = sparse.csr_matrix((weights, (large, small)))
    share = sparse.diags_array(1 / np.bincount(large, weights=weights)) @ cells
    diagonal = np.bincount(small, weights=weights)
    sums = np.column_stack([np.bincount(small, weights=weights * column) for column in data.T])
    if len(diagonal) <= DIRECT_LEVELS:
        normal = np.diag(diagonal) - (cells.T @ share).toarray()
        gamma = np.linalg.pinv(normal, rcond=1e-12, hermitian=True) @ sums
    else:
        rounding = 1e-14 * np.sqrt(diagonal.max()) * size
        gamma = _conjugate_gradients(lambda v: diagonal * v - cells.T @ (share @ v), diagonal, sums, rounding)
    return np.asarray(data - gamma[small] + (share @ gamma)[large])


def _conjugate_gradients(
    normal: Callable[[Floats], Floats], diagonal: Floats, sums: Floats, rounding: Floats
) -> Floats:
    from scipy.sparse import linalg  # noqa: PLC0415 - only for effects with very many levels

    size = len(diagonal)
    operator = linalg.LinearOperator((size, size), matvec=normal, dtype=np.float64)
    inverse = linalg.LinearOperator((size, size), matvec=lambda v: v.ravel() / diagonal, dtype=np.float64)
    columns = []
    for column, least in zip(sums.T, rounding, strict=True):
        gamma, failed = linalg.cg(operator, column, rtol=1e-12, atol=least, maxiter=20 * size, M=inverse)
        if failed:
            raise EstimationError(
                f"the two sets of effects could not be separated in {20 * size:,} steps",
                advice="Use coarser periods, or one set of effects.",
            )
        columns.append(gamma)
    return np.column_stack(columns)


def _one_or_two(effects: Sequence[Floats]) -> Sequence[Floats]:
    if len(effects) not in (1, 2):
        raise EstimationError(f"{len(effects)} sets of fixed effects", advice="Give one or two.")
    return effects


def _effect(labels: Floats, n_obs: int) -> Floats:
    codes, levels = label_codes(np.asarray(labels))
    if len(codes) != n_obs:
        raise EstimationError(f"{len(codes)} labels of an effect for {n_obs} rows")
    if levels < 2:
        raise EstimationError("a fixed effect has one level only", advice="Leave that effect out.")
    return codes


def _renumber(codes: Floats) -> Floats:
    present = np.bincount(codes) > 0
    return np.asarray((np.cumsum(present) - 1)[codes])


def _without_singletons(rows: _Rows) -> _Rows:
    while True:
        alone = np.zeros(len(rows.data), dtype=bool)
        for codes in rows.effects:
            alone |= (np.bincount(codes) == 1)[codes]
        if alone.all():
            raise EstimationError(
                "every row is the only one of its unit or period", advice="Fixed effects need repeated units."
            )
        if not alone.any():
            return rows
        rows = rows.take(~alone)


def absorbed(data: Floats, reduced: Floats, root: Floats) -> Floats:
    """Mark columns of which nothing is left after `partial_out`.

    Parameters
    ----------
    data, reduced : array, shape (n, k)
        Before and after.
    root : array, shape (n,)
        Roots of the weights.

    Returns
    -------
    bool array, shape (k,)

    Examples
    --------
    >>> x, unit, root = np.array([[1.0, 5.0], [1.0, 6.0], [2.0, 7.0]]), np.array([0, 0, 1]), np.ones(3)
    >>> absorbed(x, partial_out(x, [unit], root=root), root).tolist()
    [True, False]
    """
    before = np.linalg.norm((data - data.mean(axis=0)) * root[:, None], axis=0)
    gone = np.linalg.norm(reduced, axis=0) <= _ABSORBED * before
    return np.asarray(gone | np.array([is_constant(column) for column in data.T]))


def _check_left(data: Floats, reduced: Floats, root: Floats, names: Sequence[str]) -> None:
    for j in np.flatnonzero(absorbed(data, reduced, root)):
        raise EstimationError(
            f"{names[int(j)]} is absorbed by the fixed effects: it does not vary within them",
            advice="Leave it out, or compare units without unit effects.",
        )


def _rank(effects: Sequence[Floats]) -> int:
    """Levels of all effects, less one for every set of units and periods that hang together."""
    levels = [int(codes.max()) + 1 for codes in effects]
    if len(effects) == 1:
        return levels[0]
    from scipy import sparse  # noqa: PLC0415 - only two-way effects need it

    nodes = sum(levels)
    graph = sparse.csr_matrix((np.ones(len(effects[0])), (effects[0], effects[1] + levels[0])), shape=(nodes, nodes))
    n_sets, _ = sparse.csgraph.connected_components(graph, directed=False)
    return nodes - int(n_sets)


def _is_nested(codes: Floats, cluster: Floats | None) -> bool:
    if cluster is None:
        return False
    home = np.zeros(int(codes.max()) + 1, dtype=np.intp)
    home[codes] = cluster
    return bool(np.all(home[codes] == cluster))


def _nested_levels(rows: _Rows) -> int:
    return sum(int(codes.max()) for codes in rows.effects if _is_nested(codes, rows.cluster))


def _covariance(rows: _Rows, solved: Solved, variance: str, n_effects: int) -> tuple[Floats, float, int]:
    by_sums = len(rows.effects) == 1 and _is_nested(rows.effects[0], rows.cluster)
    if variance == "CR3" and rows.cluster is not None and not by_sums:
        n_clusters = int(rows.cluster.max()) + 1
        moves = [_refit(rows.take(rows.cluster != g)) - solved.coefficients for g in range(n_clusters)]
        return jackknife(np.asarray(moves)), float(n_clusters - 1), n_clusters
    everything = solved.design.shape[1] + n_effects
    return covariance_of(
        solved, variance, rows.cluster, n_parameters=everything - _nested_levels(rows), n_parameters_all=everything
    )


def _refit(rows: _Rows) -> Floats:
    """Coefficients on some of the rows; NaN for those that these rows do not identify."""
    reduced = partial_out(rows.data - rows.data[0], rows.effects, root=rows.root)
    y, x = reduced[:, 0], reduced[:, 1:]
    scale = np.linalg.norm((rows.data - rows.data.mean(axis=0))[:, 1:] * rows.root[:, None], axis=0)
    x = x / np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(x.T @ x)
    kept = values > _ABSORBED**2
    b = (vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ (x.T @ y))
    b[np.any(np.abs(vectors[:, ~kept]) > 1e-6, axis=1)] = np.nan
    return np.asarray(b / np.where(scale > 0, scale, 1.0))
