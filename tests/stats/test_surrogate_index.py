"""The surrogate index: slopes and their covariance, the projected effect, and what can be checked of it."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.surrogate_checks import late_check, mean_square_gap
from cpi_experiments.stats.surrogate_index import projected_effect, surrogate_model

Array = np.ndarray


def history(seed: int = 1, n: int = 400, p: int = 2) -> tuple[Array, Array, Array, Array]:
    """KPI, surrogates, covariates and clusters."""
    rng = np.random.default_rng(seed)
    cluster = np.arange(n) % 50
    x = rng.normal(size=(n, 2))
    s = rng.normal(size=(n, p)) + 0.5 * x[:, :1] + 0.3 * rng.normal(size=50)[cluster][:, None]
    y = 2 + s @ np.array([0.6, -0.4, 0.3])[:p] + x @ [1.0, 0.2] + np.exp(0.3 * s[:, 0]) * rng.normal(size=n)
    return y, s, x, cluster


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("adjusted", [False, True])
def test_slopes_and_their_covariance_are_those_of_statsmodels(*, clustered: bool, adjusted: bool) -> None:
    y, s, x, cluster = history()
    model = surrogate_model(y, s, covariates=x if adjusted else None, cluster=cluster if clustered else None)
    columns = np.hstack([s, x]) if adjusted else s
    call = {"cov_type": "cluster", "cov_kwds": {"groups": cluster}} if clustered else {"cov_type": "HC1"}
    fit = sm.OLS(y, sm.add_constant(columns)).fit(**call)
    assert model.slopes == pytest.approx(fit.params[1:3], rel=1e-10)
    assert model.covariance == pytest.approx(fit.cov_params()[1:3, 1:3], rel=1e-9)
    assert model.r_squared == pytest.approx(fit.rsquared, rel=1e-10)
    without = sm.OLS(y, sm.add_constant(x)).fit().rsquared if adjusted else 0.0
    assert model.r_squared_surrogates == pytest.approx(1 - (1 - fit.rsquared) / (1 - without), rel=1e-9)
    assert (model.n_obs, model.n_clusters, model.df) == (
        (400, 50, 49.0) if clustered else (400, 0, 400 - len(fit.params))
    )


def test_projected_effect_is_the_difference_of_mean_predictions() -> None:
    y, s, _, _ = history()
    model = surrogate_model(y, s)
    _, trial, _, _ = history(2)
    treated = np.arange(400) % 2 == 1
    predicted = sm.OLS(y, sm.add_constant(s)).fit().predict(sm.add_constant(trial))
    moved = trial[treated].mean(axis=0) - trial[~treated].mean(axis=0)
    found = projected_effect(model, np.array([1.0, *moved]), np.eye(3) * 0.01, df=398.0)
    assert found.y == pytest.approx(predicted[treated].mean() - predicted[~treated].mean(), rel=1e-10)


def test_variance_is_that_of_both_tables_drawn_again() -> None:
    """The variance of the formula against 4,000 bootstrap draws of history and trial, customers as units."""
    rng = np.random.default_rng(5)
    y, s, _, _ = history(n=600)
    treated = np.arange(500) % 2 == 1
    dose = rng.normal(size=500) + 1.5 * treated
    trial = 0.5 * dose[:, None] + rng.normal(size=(500, 2))
    both = np.column_stack([dose, trial])
    arms = [both[~treated], both[treated]]
    omega = sum(np.cov(arm.T) / len(arm) for arm in arms)
    effects = arms[1].mean(axis=0) - arms[0].mean(axis=0)
    found = projected_effect(surrogate_model(y, s), effects, omega, df=498.0)
    drawn = []
    for _ in range(4000):
        rows = rng.integers(0, 600, 600)
        slopes = np.linalg.lstsq(np.column_stack([np.ones(600), s[rows]]), y[rows], rcond=None)[0][1:]
        again = [arm[rng.integers(0, len(arm), len(arm))].mean(axis=0) for arm in arms]
        drawn.append([again[1][0] - again[0][0], (again[1] - again[0])[1:] @ slopes])
    reference = np.cov(np.array(drawn).T)
    assert found.var_y == pytest.approx(reference[1, 1], rel=0.07)
    assert found.cov == pytest.approx(reference[0, 1], rel=0.10)
    assert found.var_x == pytest.approx(reference[0, 0], rel=0.07)
    assert found.var_model / found.var_y > 0.1


def test_parts_of_the_variance_add_up_and_share_their_degrees_of_freedom() -> None:
    y, s, _, _ = history()
    model, effects, omega = surrogate_model(y, s), np.array([1.0, 0.5, -0.2]), np.diag([0.04, 0.01, 0.02])
    plain = projected_effect(model, effects, omega, df=100.0)
    wide = projected_effect(model, effects, omega, df=100.0, gap=1.0, gaps=3)
    assert plain.var_trial == pytest.approx(model.slopes**2 @ [0.01, 0.02])
    assert plain.var_model == pytest.approx(effects[1:] @ model.covariance @ effects[1:])
    assert plain.var_gap == 0
    assert plain.var_y == pytest.approx(plain.var_trial + plain.var_model)
    assert wide.var_y == pytest.approx(plain.var_y + 1)
    parts, dfs = np.array([plain.var_trial, plain.var_model, 1.0]), np.array([100.0, model.df, 3.0])
    assert wide.df == pytest.approx(parts.sum() ** 2 / np.sum(parts**2 / dfs))


def test_a_surrogate_unit_changes_nothing_but_its_own_slope() -> None:
    y, s, x, _ = history()
    unit = np.array([1000.0, 0.01])
    plain, scaled = surrogate_model(y, s, covariates=x), surrogate_model(y, s * unit + 7, covariates=x)
    effects, omega = np.array([1.0, 0.5, -0.2]), np.diag([0.04, 0.01, 0.02])
    scale = np.array([1.0, *unit])
    a = projected_effect(plain, effects, omega, df=90.0)
    b = projected_effect(scaled, effects * scale, omega * np.outer(scale, scale), df=90.0)
    for name in ("y", "var_y", "cov", "var_model", "df"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-8)


def test_outside_counts_customers_with_any_surrogate_beyond_the_range() -> None:
    y, s, _, _ = history()
    model = surrogate_model(y, s)
    rows = np.vstack([s[:6], [[s[:, 0].max() + 1, 0.0], [0.0, s[:, 1].min() - 1]]])
    assert model.outside(rows) == 0.25
    assert model.outside(s) == 0.0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda y, s: (y[:150], s[:150]), "150 complete rows of history for 3 parameters"),
        (lambda y, s: (y[:215], np.tile(s[:215], 5) + np.arange(10)), "215 complete rows of history for 11 parameters"),
        (lambda y, s: (y, s * [1.0, 0.0]), "constant"),
        (lambda y, s: (y, s[:, [0, 0]]), "exact combination"),
        (lambda y, s: (np.where(np.arange(400) == 3, np.nan, y), s), "missing"),
    ],
)
def test_a_history_that_cannot_be_fitted_is_refused(change: object, told: str) -> None:
    y, s, _, _ = history()
    with pytest.raises(EstimationError, match=told):
        surrogate_model(*change(y, s))


# -- does it hold later? ---------------------------------------------------------------------------------------------


def test_late_check_is_the_regression_of_the_late_rows_on_their_prediction() -> None:
    y, s, x, _ = history(n=1000)
    time = np.repeat(np.arange(20), 50)
    found = late_check(y, s, time, covariates=x)
    early, late = time < 16, time >= 16
    first = sm.OLS(y[early], sm.add_constant(np.hstack([s, x])[early])).fit(cov_type="HC1")
    index = s[late] @ first.params[1:3]
    again = sm.OLS(y[late], sm.add_constant(np.column_stack([index, x[late]]))).fit(cov_type="HC1")
    assert (found.n_early, found.n_late) == (800, 200)
    assert found.slope == pytest.approx(again.params[1], rel=1e-9)
    assert (found.ci_high - found.ci_low) / 2 > 1.96 * again.bse[1]  # the early model's error too
    missed = y[late] - first.predict(sm.add_constant(np.hstack([s, x])[late]))
    assert found.bias == pytest.approx(missed.mean(), rel=1e-9)
    assert found.error == pytest.approx(math.sqrt(np.mean(missed**2)), rel=1e-9)
    assert found.r_squared == pytest.approx(1 - np.sum(missed**2) / np.sum((y[late] - y[late].mean()) ** 2), rel=1e-9)


def test_late_check_interval_holds_one_where_nothing_changes_and_not_where_slopes_halve() -> None:
    rng = np.random.default_rng(3)
    time = np.repeat(np.arange(20), 30)
    held = {1.0: 0, 0.4: 0}
    for late_slope in held:
        for _ in range(400):
            s = rng.normal(size=(600, 2))
            y = s @ [0.6, -0.4] * np.where(time >= 16, late_slope, 1.0) + rng.normal(size=600)
            found = late_check(y, s, time)
            held[late_slope] += found.ci_low <= 1 <= found.ci_high
    low, high = stats.binom.ppf(5e-7, 400, 0.95), stats.binom.isf(5e-7, 400, 0.95)
    assert low <= held[1.0] <= high
    assert held[0.4] < 0.2 * 400


def test_late_check_keeps_rows_of_one_time_together_and_sorts_what_can_be_sorted() -> None:
    y, s, _, _ = history(n=1000)
    number = np.repeat(np.arange(4), 250)
    months = np.array(["2026-01", "2026-02", "2026-03", "2026-04"], dtype=object)[number]
    by_number, by_text = late_check(y, s, number), late_check(y, s, months)
    assert by_number == by_text
    assert (by_number.n_early, by_number.n_late) == (750, 250)


@pytest.mark.parametrize("case", ["one time", "few rows", "constant late", "few clusters"])
def test_no_late_check_is_better_than_one_from_nothing(case: str) -> None:
    y, s, _, _ = history(n=1000)
    time, cluster = np.repeat(np.arange(10), 100), None
    if case == "one time":
        time = np.zeros(1000)
    elif case == "few rows":
        y, s, time = y[::5], s[::5], time[::5]
    elif case == "constant late":
        s = np.where((time >= 8)[:, None], 1.0, s)
    else:
        cluster = np.arange(1000) % 5
    assert late_check(y, s, time, cluster=cluster) is None


# -- did others come true? -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 8])
def test_mean_square_gap_solves_its_equation(k: int) -> None:
    rng = np.random.default_rng(k)
    for _ in range(50):
        gaps, variances = 3 * rng.normal(size=k), rng.uniform(0.2, 2, k)
        m = mean_square_gap(gaps, variances)
        at = np.sum(gaps**2 / (variances + m))
        assert m >= 0
        assert at == pytest.approx(stats.chi2.median(k), rel=1e-9) if m else at <= stats.chi2.median(k)


def test_gaps_that_always_miss_to_one_side_count_in_full() -> None:
    one_side, both = np.full(8, 2.0), np.array([2.0, -2.0] * 4)
    assert mean_square_gap(one_side, np.full(8, 0.1)) == mean_square_gap(both, np.full(8, 0.1)) > 3


def test_gaps_without_variance_are_refused() -> None:
    with pytest.raises(EstimationError, match="not above zero"):
        mean_square_gap(np.array([1.0]), np.array([0.0]))
