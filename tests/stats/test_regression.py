"""Least squares: digits, covariances against statsmodels, error rates, and what is refused."""

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats import student
from cpi_experiments.stats.regression import cluster_variance, least_squares

BAND = (0.028, 0.0755)  # exact binomial band for 5 % at 2,000 repetitions, two-sided 1e-6


def drawn(seed=1, n=300, n_clusters=45):
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, n_clusters, n)
    x = rng.normal(size=(n, 3)) + rng.normal(size=n_clusters)[cluster][:, None]
    y = x @ [0.3, -1.0, 2.0] + rng.normal(size=n_clusters)[cluster] + rng.normal(size=n) * (1 + np.abs(x[:, 0]))
    return y, x, cluster, rng.uniform(0.2, 3.0, n)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("variance", "oracle"), [("iid", "nonrobust"), ("HC1", "HC1"), ("CR1", "cluster")])
def test_least_squares_agrees_with_statsmodels(weighted, variance, oracle):
    sm = pytest.importorskip("statsmodels.api")
    y, x, cluster, weights = drawn()
    weights = weights if weighted else np.ones(len(y))
    fit = least_squares(
        y, x, weights=weights if weighted else None, cluster=cluster if variance == "CR1" else None, variance=variance
    )
    groups = {"groups": cluster} if oracle == "cluster" else None
    theirs = sm.WLS(y, np.column_stack([x, np.ones(len(y))]), weights=weights).fit(cov_type=oracle, cov_kwds=groups)
    assert fit.coefficients == pytest.approx(theirs.params, rel=1e-11)
    assert fit.covariance == pytest.approx(theirs.cov_params(), rel=1e-9, abs=1e-12)
    assert fit.df == (fit.n_clusters - 1 if variance == "CR1" else len(y) - 4)


@pytest.mark.parametrize("weighted", [False, True])
def test_cr3_is_the_exact_leave_one_cluster_out_jackknife(weighted):
    y, x, cluster, weights = drawn(n=120, n_clusters=12)
    weights = weights if weighted else np.ones(len(y))
    fit = least_squares(y, x, weights=weights, cluster=cluster, variance="CR3")
    moves = np.array(
        [
            least_squares(y[cluster != g], x[cluster != g], weights=weights[cluster != g]).coefficients
            - fit.coefficients
            for g in range(12)
        ]
    )
    assert fit.covariance == pytest.approx(11 / 12 * moves.T @ moves, rel=1e-9)
    assert (fit.df, fit.n_clusters) == (11.0, 12)


def test_cr3_is_missing_where_a_slope_rests_on_one_cluster():
    y, x, cluster, _ = drawn(n=120, n_clusters=12)
    only = (cluster == 3) * np.arange(120.0)
    fit = least_squares(y, np.column_stack([x, only]), cluster=cluster, variance="CR3")
    assert np.isfinite(fit.std_errors[:3]).all()
    assert np.isnan(fit.std_errors[3])


def type_one_rate(variance, *, n_clusters, clustered, reps=2000):
    rng = np.random.default_rng(20260701)
    cluster = np.repeat(np.arange(n_clusters), 8)
    rejected = 0
    for _ in range(reps):
        x = rng.normal(size=n_clusters)[cluster] + rng.normal(size=len(cluster))
        y = rng.normal(size=n_clusters)[cluster] * 0.7 + rng.normal(size=len(cluster))
        fit = least_squares(y, x, cluster=cluster if clustered else None, variance=variance)
        rejected += student.p_value(fit.coefficients[0] / fit.std_errors[0], fit.df) < 0.05
    return rejected / reps


@pytest.mark.parametrize(("variance", "n_clusters"), [("CR1", 50), ("CR3", 10)])
def test_clustered_errors_keep_the_error_rate(variance, n_clusters):
    assert BAND[0] <= type_one_rate(variance, n_clusters=n_clusters, clustered=True) <= BAND[1]


def test_planted_iid_errors_under_dependence_break_the_error_rate():
    assert type_one_rate("iid", n_clusters=50, clustered=False, reps=300) > BAND[1]


@pytest.mark.parametrize(("n_clusters", "variance"), [(6, "CR3"), (39, "CR3"), (40, "CR1"), (500, "CR1")])
def test_jackknife_below_40_clusters(n_clusters, variance):
    assert cluster_variance(n_clusters) == variance
    cluster = np.arange(1000) % n_clusters
    y = np.random.default_rng(2).normal(size=1000)
    assert least_squares(y, np.arange(1000.0), cluster=cluster, variance="clustered").variance == variance


def test_large_offsets_cost_no_digits():
    y, x, _, _ = drawn()
    x = np.round(x, 3)
    near, far = least_squares(y, x[:, :1]), least_squares(y, x[:, :1] + 2.0**33)
    assert far.coefficients[0] == pytest.approx(near.coefficients[0], rel=1e-5)
    shifted = least_squares(y + 1e12, x[:, :1])
    assert shifted.coefficients[0] == pytest.approx(near.coefficients[0], rel=1e-3)


def test_unit_change_rescales_exactly_and_row_order_never_matters():
    y, x, cluster, weights = drawn()
    fit = least_squares(y, x, cluster=cluster, weights=weights, variance="CR1")
    scaled = least_squares(8 * y, x / 4, cluster=cluster, weights=weights / 2, variance="CR1")
    assert scaled.coefficients[:3] == pytest.approx(32 * fit.coefficients[:3], rel=1e-13)
    assert scaled.std_errors[:3] == pytest.approx(32 * fit.std_errors[:3], rel=1e-13)
    order = np.random.default_rng(3).permutation(len(y))
    mixed = least_squares(y[order], x[order], cluster=cluster[order], weights=weights[order], variance="CR1")
    assert mixed.std_errors == pytest.approx(fit.std_errors, rel=1e-11)


Y, X, CLUSTER, _ = drawn(n=60, n_clusters=8)
BAD = np.where(np.arange(60) == 7, np.nan, X[:, 0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"columns": np.column_stack([X, 2 * X[:, 1]])}, "d is an exact combination of b"),
        ({"columns": np.column_stack([X, X @ [1, 1, 1] + 5])}, "d is an exact combination of a, b, c"),
        ({"columns": np.column_stack([X[:, :2], np.full(60, 0.1)])}, "c is constant (0.1 in all 60 rows)"),
        ({"outcome": np.full(60, 3.0)}, "kpi is constant"),
        ({"columns": np.column_stack([X[:, :2], BAD])}, "c has 1 missing or infinite of 60 values"),
        ({"outcome": np.where(np.arange(60) < 2, np.inf, Y)}, "kpi has 2 missing or infinite"),
        ({"outcome": Y[:4], "columns": X[:4]}, "4 rows for 4 parameters"),
        ({"outcome": Y[:0], "columns": X[:0]}, "no rows are left"),
        ({"outcome": Y[:5]}, "the same rows"),
        ({"weights": np.zeros(60)}, "weights must be finite numbers above zero"),
        ({"weights": np.ones(7)}, "weights must be finite numbers above zero"),
        ({"variance": "HC9"}, "variance 'HC9' is not known"),
        ({"variance": "CR1"}, "variance 'CR1' needs clusters"),
        ({"cluster": CLUSTER}, "variance 'HC1' does not use clusters"),
        ({"cluster": CLUSTER[:9], "variance": "CR1"}, "9 cluster labels for 60 rows"),
        ({"cluster": np.zeros(60), "variance": "CR1"}, "1 cluster"),
        ({"cluster": np.arange(60) % 5, "variance": "clustered"}, "5 clusters: no standard error can be trusted"),
        ({"cluster": BAD, "variance": "CR1"}, "1 of 60 labels of clusters or effects are missing"),
    ],
)
def test_what_has_no_answer_is_refused_with_names(arguments, words):
    given = {"outcome": Y, "columns": X} | arguments
    names = ("kpi", *"abcdef"[: given["columns"].shape[1]])
    with pytest.raises(EstimationError) as caught:
        least_squares(given.pop("outcome"), given.pop("columns"), names=names, **given)
    assert words in str(caught.value)
