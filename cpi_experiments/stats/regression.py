"""Least squares by QR on centred, scaled columns, and the one small-sample convention of every covariance here.

``N`` rows, ``K`` parameters, ``G`` clusters:

========= ==================================================================== ==========
variance  covariance                                                           t with df
========= ==================================================================== ==========
``iid``   RSS / (N - K) times the inverse Gram matrix                          N - K
``HC1``   robust, N / (N - K)                                                  N - K
``CR1``   cluster sandwich, G / (G - 1) * (N - 1) / (N - K)                    G - 1
``CR3``   leave-one-cluster-out jackknife, (G - 1) / G * sum of squared moves  G - 1
========= ==================================================================== ==========

``K`` counts the slopes, the constant and every fixed effect that is not nested in the clusters (the "nonnested" rule
of fixest and Stata's reghdfe); effects that are nested count as one constant. ``clustered`` stands for CR1 with 40
clusters or more, CR3 with 6 to 39, and a refusal below (`cluster_variance`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.inputs import check_arrays, check_rows, check_variation, label_codes, root_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = np.ndarray

VARIANCES = ("iid", "HC1", "CR1", "CR3", "clustered")
#: Below the first number of clusters no clustered error is given; below the second the jackknife replaces CR1.
FEWEST_CLUSTERS, MANY_CLUSTERS = 6, 40
_COLLINEAR = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """Coefficients with their covariance.

    Parameters
    ----------
    coefficients : array, shape (k,)
        Slopes in the order of the columns; least squares without fixed effects adds the constant at the end.
    covariance : array, shape (k, k)
        NaN where a jackknife does not exist, because a slope is not identified without one of the clusters.
    df : float
        Degrees of freedom of t.
    n_obs, n_parameters, n_clusters : int
        N, K and G; G is 0 if the errors are not clustered.
    variance : {"iid", "HC1", "CR1", "CR3"}
    sigma : float
        Residual standard deviation, all effects counted.
    unexplained : float
        Residual over total sum of squares, after the fixed effects if there are any.
    carriers : float
        How many clusters, or rows without clusters, carry the first slope: see `carriers_of`.
    singletons : int
        Rows set aside because a fixed effect fits them alone.
    """

    coefficients: Floats
    covariance: Floats
    df: float
    n_obs: int
    n_parameters: int
    variance: str
    n_clusters: int = 0
    sigma: float = math.nan
    unexplained: float = math.nan
    carriers: float = math.nan
    singletons: int = 0

    @property
    def std_errors(self) -> Floats:
        """Square roots of the variances, shape (k,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """Least squares of one outcome on columns that need no further centring.

    Parameters
    ----------
    design : array, shape (n, k)
        Columns, multiplied by the root of the weights.
    residuals : array, shape (n,)
        Multiplied by the root of the weights.
    coefficients : array, shape (k,)
    bread : array, shape (k, k)
        Inverse Gram matrix of the design.
    """

    design: Floats
    residuals: Floats
    coefficients: Floats
    bread: Floats


def least_squares(
    outcome: Floats,
    columns: Floats,
    *,
    names: Sequence[str] = (),
    weights: Floats | None = None,
    cluster: Floats | None = None,
    variance: str = "HC1",
) -> Regression:
    """Regress an outcome on columns and a constant.

    Parameters
    ----------
    outcome : array, shape (n,)
    columns : array, shape (n, k)
        Without a constant; it is added and reported last.
    names : sequence of str
        Names of the outcome and of the columns, for error messages.
    weights : array, shape (n,), optional
        Above zero; only their ratios matter.
    cluster : array, shape (n,), optional
        Labels of the clusters, needed by the clustered variances and not allowed otherwise.
    variance : {"HC1", "iid", "CR1", "CR3", "clustered"}

    Raises
    ------
    EstimationError
        If values are missing or infinite, the outcome or a column is constant, columns are collinear, or there are
        not more rows than parameters.

    References
    ----------
    MacKinnon, White (1985), J. Econometrics 29: HC1. MacKinnon, Nielsen, Webb (2023), J. Econometrics 232: CR1, CR3.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> fit = least_squares(np.array([1.0, 3.0, 5.0, 8.0]), x, variance="iid")
    >>> fit.coefficients.round(6).tolist()
    [2.3, 0.8]
    """
    y, x, names = check_arrays(outcome, columns, names)
    root = root_weights(weights, len(y))
    codes = check_cluster(cluster, len(y), variance)
    variance = resolve_variance(variance, codes)
    check_variation(y, x, names)
    check_rows(len(y), x.shape[1] + 1)
    center_y, center_x = _mean(y[:, None], root)[0], _mean(x, root)
    design = np.column_stack([x - center_x, np.ones(len(y))]) * root[:, None]
    total = (y - center_y) * root
    solved = solve(total, design, (*names[1:], "the constant"))
    covariance, df, n_clusters = covariance_of(solved, variance, codes, n_parameters=design.shape[1])
    coefficients = solved.coefficients.copy()
    coefficients[-1] += center_y - center_x @ coefficients[:-1]
    rss = float(solved.residuals @ solved.residuals)
    return Regression(
        coefficients=coefficients,
        covariance=uncenter(covariance, center_x),
        df=df,
        n_obs=len(y),
        n_parameters=design.shape[1],
        variance=variance,
        n_clusters=n_clusters,
        sigma=math.sqrt(rss / (len(y) - design.shape[1])),
        unexplained=rss / float(total @ total),
        carriers=carriers_of(solved, codes),
    )


def cluster_variance(n_clusters: int) -> str:
    """Choose the clustered covariance that a number of clusters can carry.

    Raises
    ------
    EstimationError
        If there are fewer than six clusters: no standard error from so few can be trusted.

    Examples
    --------
    >>> cluster_variance(312), cluster_variance(12)
    ('CR1', 'CR3')
    """
    if n_clusters < FEWEST_CLUSTERS:
        raise EstimationError(
            f"{n_clusters} clusters: no standard error can be trusted with fewer than {FEWEST_CLUSTERS}",
            advice="Use a finer cluster, or compare the clusters one by one.",
        )
    return "CR1" if n_clusters >= MANY_CLUSTERS else "CR3"


def resolve_variance(variance: str, codes: Floats | None) -> str:
    """Replace ``clustered`` by what the number of clusters can carry."""
    return variance if variance != "clustered" or codes is None else cluster_variance(int(codes.max()) + 1)


def check_cluster(cluster: Floats | None, n_obs: int, variance: str) -> Floats | None:
    """Return cluster codes, or raise if clusters and variance do not belong together."""
    if variance not in VARIANCES:
        raise EstimationError(f"variance {variance!r} is not known", advice=f"Known: {', '.join(VARIANCES)}.")
    if (cluster is not None) != (variance not in ("iid", "HC1")):
        raise EstimationError(
            f"variance {variance!r} {'does not use' if cluster is not None else 'needs'} clusters",
            advice="CR1, CR3 and clustered need clusters; iid and HC1 go without.",
        )
    if cluster is None:
        return None
    codes, levels = label_codes(np.asarray(cluster))
    if len(codes) != n_obs:
        raise EstimationError(f"{len(codes)} cluster labels for {n_obs} rows")
    if levels < 2:
        raise EstimationError("1 cluster: a clustered error needs at least two")
    return codes


def _mean(values: Floats, root: Floats) -> Floats:
    shift = values[0]  # a second pass around a near value keeps the digits that a large offset would take
    return np.asarray(shift + np.average(values - shift, axis=0, weights=root**2))


def uncenter(covariance: Floats, center: Floats) -> Floats:
    """Covariance of slopes and constant, from that of slopes and mean at ``center``; NaN spreads to the constant only.

    Examples
    --------
    >>> uncenter(np.diag([4.0, 1.0]), np.array([0.5])).tolist()
    [[4.0, -2.0], [-2.0, 2.0]]
    """
    constant = np.append(-center, 1.0)
    moved = covariance.copy()
    moved[-1, :] = moved[:, -1] = covariance @ constant
    moved[-1, -1] = constant @ covariance @ constant
    return moved


def solve(outcome: Floats, design: Floats, names: Sequence[str]) -> Solved:
    """Solve least squares by QR of the scaled design with one step of refinement.

    Raises
    ------
    EstimationError
        If columns are collinear; the message names them.
    """
    scale = np.sqrt(np.einsum("ij,ij->j", design, design))
    q, r = np.linalg.qr(design / scale)
    _check_collinear(r, names)
    inverse = np.linalg.inv(r)
    b = inverse @ (q.T @ outcome)
    b += inverse @ (q.T @ (outcome - (design / scale) @ b))
    return Solved(
        design=design,
        residuals=outcome - (design / scale) @ b,
        coefficients=b / scale,
        bread=inverse @ inverse.T / np.outer(scale, scale),
    )


def _check_collinear(r: Floats, names: Sequence[str]) -> None:
    dependent = np.flatnonzero(np.abs(np.diag(r)) < _COLLINEAR)
    if len(dependent) == 0:
        return
    j = int(dependent[0])
    mix = np.linalg.lstsq(r[:j, :j], r[:j, j], rcond=None)[0]
    partners = [names[i] for i in range(j) if abs(mix[i]) > 1e-6]
    raise EstimationError(
        f"{names[j]} is an exact combination of {', '.join(partners[:5])}{' and others' if len(partners) > 5 else ''}",
        advice="Leave one of them out: the data cannot tell their effects apart.",
    )


def covariance_of(
    solved: Solved, variance: str, codes: Floats | None, *, n_parameters: int, n_parameters_all: int | None = None
) -> tuple[Floats, float, int]:
    """Covariance of the coefficients, degrees of freedom of t, and number of clusters.

    Parameters
    ----------
    solved : Solved
    variance : str
    codes : int array, shape (n,), or None
    n_parameters : int
        K of the clustered covariances.
    n_parameters_all : int, optional
        K with nested effects counted in full, for ``iid`` and ``HC1``; the same as ``n_parameters`` if not given.
    """
    n, k_all = len(solved.residuals), n_parameters_all or n_parameters
    if variance == "iid":
        s2 = float(solved.residuals @ solved.residuals) / (n - k_all)
        return s2 * solved.bread, float(n - k_all), 0
    scores = solved.design * solved.residuals[:, None]
    if codes is None:
        meat = scores.T @ scores * (n / (n - k_all))
        return solved.bread @ meat @ solved.bread, float(n - k_all), 0
    n_clusters = int(codes.max()) + 1
    if variance == "CR3":
        return jackknife(delete_one(solved, codes)), float(n_clusters - 1), n_clusters
    meat = cluster_meat(scores, codes) * small_sample(n, n_parameters, n_clusters)
    return solved.bread @ meat @ solved.bread, float(n_clusters - 1), n_clusters


def carriers_of(solved: Solved, codes: Floats | None) -> float:
    """Count the clusters (rows, without clusters) that carry the first slope.

    1 / sum of squared shares, where the share of a cluster is its part of the squares of the first column after the
    others are taken out. All alike give G; a slope that rests on one gives 1, and then no robust error can be trusted.

    References
    ----------
    Carter, Schnepel, Steigerwald (2017), Rev. Econ. Stat. 99; MacKinnon, Nielsen, Webb (2023), J. Econometrics 232.
    """
    own = np.square(solved.design @ solved.bread[:, 0])
    shares = (own if codes is None else np.bincount(codes, weights=own)) / own.sum()
    return float(1 / np.sum(np.square(shares)))


def small_sample(n_obs: int, n_parameters: int, n_clusters: int) -> float:
    """Return G / (G - 1) * (N - 1) / (N - K)."""
    return n_clusters / (n_clusters - 1) * (n_obs - 1) / (n_obs - n_parameters)


def cluster_meat(scores: Floats, codes: Floats) -> Floats:
    """Sum over clusters of the outer product of each cluster's score, shape (k, k)."""
    sums = np.column_stack([np.bincount(codes, weights=column) for column in scores.T])
    return np.asarray(sums.T @ sums)


def delete_one(solved: Solved, codes: Floats) -> Floats:
    """How far each coefficient moves when one cluster is left out, shape (G, k); NaN if it is not identified then.

    Exact: ``b(-g) - b = -(X'X - Xg'Xg)^-1 Xg'e_g``.
    """
    scale = np.sqrt(np.einsum("ij,ij->j", solved.design, solved.design))
    x = solved.design / scale
    gram = x.T @ x
    moves = []
    for g in range(int(codes.max()) + 1):
        own = codes == g
        values, vectors = np.linalg.eigh(gram - x[own].T @ x[own])
        kept = values > 1e-11 * values[-1]
        solution = vectors[:, kept] / values[kept]
        move = -solution @ (vectors[:, kept].T @ (x[own].T @ solved.residuals[own]))
        move[np.any(np.abs(vectors[:, ~kept]) > 1e-6, axis=1)] = np.nan
        moves.append(move / scale)
    return np.asarray(moves)


def jackknife(moves: Floats) -> Floats:
    """Jackknife covariance around the full-sample coefficients from the moves of `delete_one`."""
    n_clusters = len(moves)
    return np.asarray((n_clusters - 1) / n_clusters * (moves.T @ moves))
