"""Fixed effects: against linearmodels and dummy variables, singletons, absorbed columns, exact jackknife."""

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats import fixed_effects, student
from cpi_experiments.stats.fixed_effects import partial_out, within
from cpi_experiments.stats.regression import least_squares


def panel(seed=1, *, units=50, periods=9, share=0.7):
    """Unbalanced: ``share`` of the cells exist."""
    rng = np.random.default_rng(seed)
    unit, time = (codes.ravel() for codes in np.indices((units, periods)))
    kept = rng.random(len(unit)) < share
    unit, time = unit[kept], time[kept]
    effect = rng.normal(size=units)[unit] + rng.normal(size=periods)[time]
    x = rng.normal(size=(len(unit), 2)) + effect[:, None]
    y = x @ [0.5, -1.0] + 3 * effect + rng.normal(size=len(unit)) + 0.5 * rng.normal(size=units)[unit] * x[:, 0]
    return y, x, unit, time, rng.uniform(0.3, 3.0, len(unit))


def dummies(*effects):
    return np.column_stack([(codes[:, None] == np.unique(codes)).astype(float) for codes in effects])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("two_way", [False, True])
def test_unbalanced_effects_agree_with_linearmodels(weighted, clustered, two_way):
    oracle = pytest.importorskip("linearmodels.panel").PanelOLS
    y, x, unit, time, weights = panel()
    fit = within(
        y,
        x,
        effects=[unit, time] if two_way else [unit],
        weights=weights if weighted else None,
        cluster=unit if clustered else None,
        variance="CR1" if clustered else "iid",
    )
    index = pd.MultiIndex.from_arrays([unit, time])
    frame = pd.DataFrame({"y": y, "a": x[:, 0], "b": x[:, 1], "w": weights if weighted else 1.0}, index=index)
    model = oracle(frame["y"], frame[["a", "b"]], weights=frame["w"], entity_effects=True, time_effects=two_way)
    if clustered:
        theirs = model.fit(
            cov_type="clustered", cluster_entity=True, group_debias=True, auto_df=False, count_effects=False
        )
        convert = (len(y) - 2) / (len(y) - fit.n_parameters)  # they count slopes only
        assert fit.n_parameters == 2 + 1 + (len(np.unique(time)) - 1 if two_way else 0)
    else:
        theirs, convert = model.fit(), 1.0
    assert fit.coefficients == pytest.approx(theirs.params.to_numpy(), rel=1e-10)
    assert fit.covariance == pytest.approx(theirs.cov.to_numpy() * convert, rel=1e-8, abs=1e-14)


@pytest.mark.parametrize("direct", [400, 0], ids=["direct", "conjugate gradients"])
def test_partialling_out_is_the_residual_of_dummies(direct, monkeypatch):
    monkeypatch.setattr(fixed_effects, "DIRECT_LEVELS", direct)
    y, x, unit, time, weights = panel(units=30, periods=14, share=0.3)
    unit = np.unique(unit, return_inverse=True)[1]
    root, data = np.sqrt(weights), np.column_stack([y, x])
    design = dummies(unit, time) * root[:, None]
    expected = data * root[:, None] - design @ np.linalg.lstsq(design, data * root[:, None], rcond=None)[0]
    for order in ([unit, time], [time, unit]):
        assert partial_out(data, order, root=root) == pytest.approx(expected, abs=1e-11)


def test_too_slow_gradients_are_an_error(monkeypatch):
    monkeypatch.setattr(fixed_effects, "DIRECT_LEVELS", 0)
    with pytest.raises(EstimationError, match="could not be separated"):
        fixed_effects._conjugate_gradients(lambda v: v * np.nan, np.ones(3), np.ones((3, 1)), np.zeros(1))


def test_parameters_are_the_rank_of_all_effects_even_in_separate_islands():
    y, x, unit, time, _ = panel(units=20, periods=8, share=1.0)
    island = (unit < 8) == (time < 4)
    y, x, unit, time = y[island], x[island], unit[island], time[island]
    fit = within(y, x, effects=[unit, time], variance="iid")
    assert fit.n_parameters == 2 + np.linalg.matrix_rank(dummies(unit, time))
    assert fit.df == len(y) - fit.n_parameters


@pytest.mark.parametrize("two_way", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_cr3_is_the_exact_leave_one_cluster_out_jackknife(two_way, nested):
    y, x, unit, time, weights = panel(units=24, periods=6)
    cluster = unit % 8 if nested else (unit + time) % 8
    effects = [unit, time] if two_way else [unit]
    fit = within(y, x, effects=effects, weights=weights, cluster=cluster, variance="clustered")
    moves = []
    for g in range(8):
        kept = cluster != g
        others = within(
            y[kept], x[kept], effects=[codes[kept] for codes in effects], weights=weights[kept], variance="iid"
        )
        moves.append(others.coefficients - fit.coefficients)
    assert (fit.variance, fit.df) == ("CR3", 7.0)
    assert fit.covariance == pytest.approx(7 / 8 * np.transpose(moves) @ np.array(moves), rel=1e-8)


def test_cr3_is_missing_where_one_cluster_alone_was_treated():
    y, x, unit, time, _ = panel(units=24, periods=6)
    treated = ((unit == 3) & (time > 2)).astype(float)
    fit = within(y, np.column_stack([treated, x]), effects=[unit, time], cluster=unit, variance="CR3")
    assert np.isnan(fit.std_errors[0])
    assert np.isfinite(fit.std_errors[1:]).all()


def test_singletons_are_dropped_until_none_is_left_and_change_nothing():
    y, x, unit, time, _ = panel()
    # unit 900 occurs once; unit 901 twice, once in a period of its own: dropping that makes it a singleton too
    more = within(
        np.r_[y, 5.0, 6.0, 7.0],
        np.vstack([x, [[1.0, 2.0], [3.0, 4.0], [0.0, 9.0]]]),
        effects=[np.r_[unit, 900, 901, 901], np.r_[time, 0, 77, 1]],
        cluster=np.r_[unit, 900, 901, 901],
    )
    fit = within(y, x, effects=[unit, time], cluster=unit)
    assert (more.singletons, fit.singletons, more.n_clusters) == (3, 0, fit.n_clusters)
    assert more.covariance == pytest.approx(fit.covariance, rel=1e-9)


def test_unit_effects_equal_dummy_regression_with_robust_errors():
    y, x, unit, _, _ = panel(units=12)
    fit = within(y, x, effects=[unit], variance="HC1")
    theirs = least_squares(y, np.column_stack([x, dummies(unit)[:, 1:]]), variance="HC1")
    assert fit.coefficients == pytest.approx(theirs.coefficients[:2], rel=1e-10)
    assert fit.covariance == pytest.approx(theirs.covariance[:2, :2], rel=1e-9)
    assert (fit.df, fit.sigma) == (theirs.df, pytest.approx(theirs.sigma))


@pytest.mark.parametrize(("clustered", "reps", "holds"), [(True, 2000, True), (False, 300, False)])
def test_clustered_errors_keep_the_error_rate_and_planted_iid_errors_do_not(clustered, reps, holds):
    rng = np.random.default_rng(11)
    unit, time = (codes.ravel() for codes in np.indices((50, 6)))
    rejected = 0
    for _ in range(reps):
        x, y = (np.cumsum(rng.normal(size=(50, 6)), axis=1).ravel() for _ in range(2))  # serial dependence
        fit = within(
            y, x, effects=[unit, time], cluster=unit if clustered else None, variance="CR1" if clustered else "iid"
        )
        rejected += student.p_value(fit.coefficients[0] / fit.std_errors[0], fit.df) < 0.05
    assert (0.028 <= rejected / reps <= 0.0755) is holds


Y, X, UNIT, TIME, _ = panel(units=20)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"columns": np.column_stack([X, np.sqrt(UNIT)])}, "c is absorbed by the fixed effects"),
        ({"columns": np.column_stack([X, 1e9 + UNIT + TIME / 7])}, "c is absorbed by the fixed effects"),
        ({"outcome": UNIT * 1.5}, "kpi is absorbed by the fixed effects"),
        ({"columns": np.column_stack([X, X[:, 0] + UNIT])}, "c is an exact combination of a"),
        ({"effects": [UNIT * 0, TIME]}, "a fixed effect has one level only"),
        ({"effects": [np.arange(len(Y))]}, "every row is the only one of its unit or period"),
        ({"effects": []}, "0 sets of fixed effects"),
        ({"effects": [UNIT, TIME, TIME]}, "3 sets of fixed effects"),
        ({"effects": [UNIT[:5]]}, "5 labels of an effect"),
        ({"effects": [np.arange(len(Y)) // 2]}, "parameters"),
        ({"cluster": UNIT % 5, "variance": "clustered"}, "5 clusters"),
    ],
)
def test_what_has_no_answer_is_refused_with_names(arguments, words):
    given = {"outcome": Y, "columns": X, "effects": [UNIT, TIME], "variance": "iid"} | arguments
    if words == "parameters":
        given |= {name: given[name][:4] for name in ("outcome", "columns")} | {"effects": [np.arange(4) // 2]}
    names = ("kpi", *"abc"[: given["columns"].shape[1]])
    with pytest.raises(EstimationError) as caught:
        within(given.pop("outcome"), given.pop("columns"), names=names, **given)
    assert words in str(caught.value)
