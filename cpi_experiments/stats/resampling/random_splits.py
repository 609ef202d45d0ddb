"""The tests of a comparison for thousands of splits at once: Welch, ratio, covariates, cluster jackknife.

The formulas are those of `cpi_experiments.stats.arm_means` and `cpi_experiments.stats.adjustment`; here they run over
a leading axis of splits, on plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.cell_clusters import freedom_of_sums

Array = np.ndarray
#: Directions of the covariates' products below this share of the largest hold nothing of their own.
_SAME = 1e-12
#: Variances below this share of the largest square are rounding: all values of the arm are one.
_ROUNDING = 1e-26


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitTests:
    """Effects of s splits with their tests.

    Parameters
    ----------
    effect, variance, df : array, shape (s,)
    """

    effect: Array
    variance: Array
    df: Array

    @property
    def statistic(self) -> Array:
        """Effects over their standard errors, shape (s,); NaN without variance."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(self.variance > 0, self.effect / np.sqrt(self.variance), np.nan))

    @property
    def p_value(self) -> Array:
        """Two-sided p-values, shape (s,); NaN without variance."""
        return np.asarray(2 * stdtr(np.where(self.df > 0, self.df, np.nan), -np.abs(self.statistic)))


def unit_tests(control: Array, treatment: Array, *, ratio: bool = False) -> SplitTests:
    """Welch's test of a mean or a ratio, adjusted by covariates, in every split.

    Parameters
    ----------
    control, treatment : array, shape (s, n, m)
        Columns: the outcome (for a ratio numerator and denominator), then covariates.
    ratio : bool

    Raises
    ------
    EstimationError
        If a ratio's denominator has a mean that is not above zero.

    Examples
    --------
    >>> a, b = np.array([[[1.0], [2.0], [3.0]]]), np.array([[[2.0], [4.0], [6.0]]])
    >>> found = unit_tests(a, b)
    >>> found.effect, found.p_value.round(6)
    (array([2.]), array([0.220881]))
    """
    k = 2 if ratio else 1
    y = [_linear(arm) if ratio else arm[..., 0] for arm in (control, treatment)]
    if control.shape[-1] > k:
        y = _adjusted(y, [control[..., k:], treatment[..., k:]])
    means = [values.mean(axis=1) for values in y]
    largest = np.maximum(*(np.abs(values).max(axis=1) for values in y)) ** 2
    parts = [_real(np.var(values, axis=1, ddof=1), largest) / values.shape[1] for values in y]
    variance = parts[0] + parts[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        df = variance**2 / sum(part**2 / (values.shape[1] - 1) for part, values in zip(parts, y, strict=True))
    return SplitTests(effect=means[1] - means[0], variance=variance, df=np.asarray(df))


def _real(variance: Array, largest: Array) -> Array:
    return np.asarray(np.where(variance > _ROUNDING * largest, variance, 0.0))


def _linear(arm: Array) -> Array:
    base = arm[..., 1].mean(axis=1, keepdims=True)
    _check_base(base)
    value = arm[..., 0].mean(axis=1, keepdims=True) / base
    return np.asarray(value + (arm[..., 0] - value * arm[..., 1]) / base)


def _check_base(base: Array) -> None:
    if not np.all(base > 0):
        raise EstimationError(
            f"in {int(np.sum(~(base > 0))):,} of {base.size:,} random splits the denominator's mean is not above zero",
            advice="Use more units, or a denominator that is rarely zero.",
        )


def _adjusted(y: list[Array], x: list[Array]) -> list[Array]:
    both, values = np.concatenate(x, axis=1), np.concatenate(y, axis=1)
    both = both - both.mean(axis=1, keepdims=True)
    theta = _coefficients(
        np.einsum("sni,snj->sij", both, both),
        np.einsum("sni,sn->si", both, values - values.mean(axis=1, keepdims=True)),
    )
    left = values - np.einsum("sni,si->sn", both, theta)
    n = y[0].shape[1]
    return [left[:, :n], left[:, n:]]


def _coefficients(products: Array, with_outcome: Array) -> Array:
    """Solve for the covariates' coefficients; those that do not vary get none."""
    scale = np.sqrt(np.maximum(np.diagonal(products, axis1=1, axis2=2), 0))
    scale = np.where(scale > 0, scale, 1.0)
    inverse = np.linalg.pinv(products / (scale[:, :, None] * scale[:, None, :]), rcond=_SAME, hermitian=True)
    return np.asarray(np.einsum("sij,sj->si", inverse, with_outcome / scale) / scale)


def cluster_totals(values: Array, cluster: Array, *, ratio: bool = False) -> Array:
    """Sum what a clustered comparison needs by cluster.

    Parameters
    ----------
    values : array, shape (n, m)
        Columns as in `unit_tests`.
    cluster : int array, shape (n,)
    ratio : bool

    Returns
    -------
    array, shape (clusters, 1 + m + p)
        Units, totals, and products of covariates with each other and with the outcome's columns.

    Examples
    --------
    >>> cluster_totals(np.array([[1.0], [2.0], [5.0]]), np.array([0, 0, 1]))
    array([[2., 3.],
           [1., 5.]])
    """
    k = 2 if ratio else 1
    x, code = values[:, k:], np.unique(cluster, return_inverse=True)[1]
    products = [x[:, i] * x[:, j] for i in range(x.shape[1]) for j in range(x.shape[1])]
    products += [x[:, i] * values[:, j] for i in range(x.shape[1]) for j in range(k)]
    columns = [np.ones(len(values)), *values.T, *products]
    return np.stack([np.bincount(code, weights=column) for column in columns], axis=1)


def cluster_tests(control: Array, treatment: Array, *, covariates: int = 0, ratio: bool = False) -> SplitTests:
    """Compare means of clusters' units by the leave-one-cluster-out jackknife (CR3), in every split.

    Degrees of freedom are Bell and McCaffrey's in an arm and Welch-Satterthwaite's over arms.

    Parameters
    ----------
    control, treatment : array, shape (s, clusters, columns)
        From `cluster_totals`.
    covariates : int
    ratio : bool

    Raises
    ------
    EstimationError
        If a ratio's denominator has a mean that is not above zero.

    Examples
    --------
    >>> rows = cluster_totals(np.array([[1.0], [2.0], [3.0], [5.0]]), np.arange(4))
    >>> found = cluster_tests(rows[None, :2], rows[None, 2:])
    >>> found.effect, found.variance, found.df.round(4)
    (array([2.5]), array([1.25]), array([1.4706]))
    """
    k = 2 if ratio else 1
    arms = [_of_values(arm, covariates, k) for arm in (control, treatment)]
    if covariates:
        n = sum(size.sum(axis=1) for size, _, _, _, _ in arms)[:, None]
        sums, outcome = (sum(arm[at].sum(axis=1) for arm in arms) for at in (2, 1))
        products = sum(arm[3] for arm in arms) - np.einsum("si,sj->sij", sums, sums) / n[:, :, None]
        theta = _coefficients(products, sum(arm[4] for arm in arms) - sums * outcome[:, None] / n)
        arms = [(size, y - np.einsum("sgi,si->sg", x, theta), x, xx, xy) for size, y, x, xx, xy in arms]
    means, variance, squares = [], np.zeros(len(control)), np.zeros(len(control))
    largest = np.maximum(*(np.abs(y / size).max(axis=1) for size, y, _, _, _ in arms)) ** 2
    for size, y, _, _, _ in arms:
        n, g = size.sum(axis=1, keepdims=True), size.shape[1]
        mean = y.sum(axis=1, keepdims=True) / n
        part = _real((g - 1) / g * np.sum(((y - size * mean) / (n - size)) ** 2, axis=1), largest)
        variance, squares = (
            variance + part,
            squares + part**2 / freedom_of_sums(*(np.sum((size / (n - size)) ** p, axis=1) for p in (1, 2, 4))),
        )
        means.append(mean[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        df = variance**2 / squares
    return SplitTests(effect=means[1] - means[0], variance=variance, df=np.asarray(df))


def _of_values(arm: Array, q: int, k: int) -> tuple[Array, Array, Array, Array, Array]:
    """Sizes and totals of one value per unit by cluster; totals of covariates, their products, and with the value."""
    size, x = arm[..., 0], arm[..., 1 + k : 1 + k + q]
    products = arm[..., 1 + k + q :].sum(axis=1)
    xx, with_columns = products[:, : q * q].reshape(len(arm), q, q), products[:, q * q :].reshape(len(arm), q, k)
    if k == 1:
        return size, arm[..., 1], x, xx, with_columns[..., 0]
    n, top, base = (arm[..., i].sum(axis=1, keepdims=True) for i in range(3))
    _check_base(base)
    value, mean = top / base, base / n
    y = value * size + (arm[..., 1] - value * arm[..., 2]) / mean
    xy = value * x.sum(axis=1) + (with_columns[..., 0] - value * with_columns[..., 1]) / mean
    return size, y, x, xx, xy
