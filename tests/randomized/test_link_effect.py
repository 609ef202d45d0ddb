"""The door `link_effect`: the ratio, its Anderson-Rubin set, the increment, and what stays open."""

import math
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_experiments.display import plain
from cpi_experiments.errors import DataError, DesignError, EstimationError
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.links.link import LinkEffect, LinkEffects
from cpi_experiments.randomized.links.link_effect import link_effect

PLAIN = {"cpi": "hours", "kpi": "revenue", "arm": "arm", "control": "manual"}


def run(frame: Any, **call: Any) -> LinkEffect:
    return link_effect(frame, **{**PLAIN, **call})


def inside(pieces: tuple, t: float) -> bool:
    return any(low <= t <= high for low, high in pieces)


@pytest.mark.parametrize("adjustment", ["cuped", "regression"])
@pytest.mark.parametrize("arms", [2, 3])
def test_units_in_several_arms_are_in_no_estimate_however_it_is_adjusted(
    frame: pd.DataFrame, adjustment: str, arms: int
) -> None:
    if arms == 3:
        frame.loc[frame.index % 3 == 0, "arm"] = "semi"
    other = {"auto": "manual", "manual": "auto", "semi": "auto"}
    again = frame.head(20).assign(arm=frame["arm"].head(20).map(other), revenue=1e4)
    found = run(pd.concat([frame, again]), unit="customer", adjustment=adjustment)
    clean = run(frame.iloc[20:], unit="customer", adjustment=adjustment)
    assert dict(found.estimate.dropped) == {"in several arms": 40}
    assert found.estimate.n_obs == clean.estimate.n_obs == len(frame) - 20
    np.testing.assert_allclose(found.estimate.confidence_set, clean.estimate.confidence_set, rtol=1e-8)
    parts = [found] if arms == 2 else found.arms
    for mine, theirs in zip(parts, [clean] if arms == 2 else clean.arms, strict=True):
        assert mine.reduced_form.value == pytest.approx(theirs.reduced_form.value, rel=1e-9)
        assert [reason for reason, _ in mine.reduced_form.dropped] == ["in several arms"]


@pytest.mark.parametrize("seed", range(5))
def test_without_covariates_the_point_is_two_stage_least_squares(frame_of: Any, seed: int) -> None:
    iv = pytest.importorskip("linearmodels.iv")
    frame = frame_of(seed)
    z = (frame["arm"] == "auto").astype(float)
    constant = pd.Series(1.0, index=frame.index, name="constant")
    fit = iv.IV2SLS(frame["revenue"], constant, frame["hours"], z.rename("z")).fit(cov_type="robust")
    link = run(frame)
    assert link.estimate.value == pytest.approx(fit.params["hours"], rel=1e-10)
    assert link.estimate.std_error == pytest.approx(fit.std_errors["hours"], rel=0.02)  # HC0 there, Welch here


def test_with_covariates_the_point_is_that_of_adjusted_columns(frame: pd.DataFrame) -> None:
    iv = pytest.importorskip("linearmodels.iv")
    x = np.stack([np.ones(len(frame)), frame["before"]], axis=1)
    z = (frame["arm"] == "auto").to_numpy(float)
    rest = {name: frame[name] - x @ np.linalg.lstsq(x, frame[name], rcond=None)[0] for name in ("hours", "revenue")}
    fit = iv.IV2SLS(rest["revenue"], np.ones((len(frame), 1)), rest["hours"], z).fit()
    assert run(frame, covariates=["before"]).estimate.value == pytest.approx(fit.params["hours"], rel=1e-10)


@pytest.mark.parametrize(
    "call", [{}, {"covariates": ["before"]}, {"strata": "region"}, {"arm": "arm_of_cluster", "cluster": "team"}]
)
def test_the_set_is_the_inverted_test_of_a_direct_difference(frame: pd.DataFrame, call: dict) -> None:
    """At every t the set contains t exactly when the ITT test of ``kpi - t * cpi`` does not reject with that quantile."""
    link = run(frame, **call)
    edges = [end for piece in link.ar_set for end in piece if math.isfinite(end)]
    grid = [*np.linspace(-3, 3, 61), *(e * (1 + 1e-6 * s) + 1e-6 * s for e in edges for s in (-1, 1))]
    names = {key: value for key, value in call.items() if key != "arm"}
    critical = stats.t.ppf(0.975, link.reduced_form.df)
    for t in grid:
        mixed = frame.assign(mixed=frame["revenue"] - t * frame["hours"])
        e = compare(mixed, arm=call.get("arm", "arm"), control="manual", outcomes="mixed", **names)["mixed"].estimate
        assert inside(link.ar_set, t) == (abs(e.value / e.std_error) <= critical), t


def test_first_stage_is_ols_with_hc2_and_f_is_its_square(frame: pd.DataFrame) -> None:
    sm = pytest.importorskip("statsmodels.api")
    z = sm.add_constant((frame["arm"] == "auto").astype(float))
    fit = sm.OLS(frame["hours"], z).fit(cov_type="HC2")
    link = run(frame)
    assert link.first_stage.value == pytest.approx(fit.params["arm"], rel=1e-10)
    assert link.first_stage.std_error == pytest.approx(fit.bse["arm"], rel=1e-10)
    assert link.f_effective == pytest.approx(fit.tvalues["arm"] ** 2, rel=1e-10)


def test_stages_are_those_of_compare(frame: pd.DataFrame) -> None:
    call = {"covariates": ["before"], "strata": "region"}
    link = run(frame, **call)
    both = compare(frame, arm="arm", control="manual", outcomes=["hours", "revenue"], **call)
    for stage, name in ((link.first_stage, "hours"), (link.reduced_form, "revenue")):
        expected = both[name].estimate
        assert stage.value == pytest.approx(expected.value, rel=1e-12)
        assert stage.std_error == pytest.approx(expected.std_error, rel=1e-12)
        assert stage.p_value == pytest.approx(expected.p_value, rel=1e-10)
        assert stage.estimand.value == "ITT"
    assert link.integrity == both.integrity


def test_pair_holds_the_joint_covariance_in_increments(frame: pd.DataFrame) -> None:
    link = run(frame, increment=-2)
    cov = sum(
        np.cov(frame.loc[frame["arm"] == arm, ["hours", "revenue"]].T) / (frame["arm"] == arm).sum()
        for arm in ("auto", "manual")
    )
    pair = link.pair
    assert pair.effect_cpi == pytest.approx(link.first_stage.value / -2, rel=1e-12)
    assert pair.effect_kpi == link.reduced_form.value
    assert (pair.var_cpi, pair.var_kpi, pair.cov) == pytest.approx(
        (cov[0, 0] / 4, cov[1, 1], cov[0, 1] / -2), rel=1e-10
    )
    assert link.estimate.value == pytest.approx(pair.effect_kpi / pair.effect_cpi, rel=1e-12)
    theta = link.estimate.value
    variance = (pair.var_kpi - 2 * theta * pair.cov + theta**2 * pair.var_cpi) / pair.effect_cpi**2
    assert link.estimate.std_error == pytest.approx(math.sqrt(variance), rel=1e-10)
    e = link.reduced_form
    half = stats.t.ppf(0.975, e.df) * e.std_error
    assert link.breakdown == pytest.approx(max(abs(e.value) - half, 0) / abs(e.value), rel=1e-10)


@pytest.mark.parametrize(
    ("increment", "words"),
    [(-1, "hour faster"), (-2, "2 hours faster"), (1, "hour longer"), (0.5, "0.5 hours longer")],
)
def test_a_negative_increment_reads_lower_is_better(frame: pd.DataFrame, increment: float, words: str) -> None:
    frame["revenue"] -= 0.5 * frame["hours"]
    link = run(frame, increment=increment)
    assert f"ach {words} {'adds' if increment < 0 else 'takes'} " in link.sentence
    assert link.step == words
    assert math.copysign(1, link.estimate.value) == -math.copysign(1, increment)
    assert link.first_stage.value < 0


def test_p_value_is_the_itt_test_and_the_set_agrees(frame_of: Any) -> None:
    for seed in range(20):
        frame = frame_of(seed)
        frame["revenue"] += (frame["arm"] == "auto") * 0.03 * seed
        link = run(frame)
        assert link.estimate.p_value == link.reduced_form.p_value
        assert inside(link.ar_set, 0.0) == (link.estimate.p_value >= 0.05)


def test_the_pair_is_that_of_adjusted_rows_by_brute_force(frame: pd.DataFrame) -> None:
    """Cov(x, y) after the same adjustment of both: take out the covariate from rows, then compare or jackknife."""
    design = np.stack([np.ones(len(frame)), frame["before"]], axis=1)
    rest = {
        name: frame[name] - design @ np.linalg.lstsq(design, frame[name], rcond=None)[0]
        for name in ("hours", "revenue")
    }
    both = pd.DataFrame(rest).to_numpy()
    arm = (frame["arm"] == "auto").to_numpy()
    cov = sum(np.cov(both[arm == side].T) / np.sum(arm == side) for side in (True, False))
    pair = run(frame, covariates="before").pair
    assert (pair.var_cpi, pair.cov, pair.var_kpi) == pytest.approx((cov[0, 0], cov[0, 1], cov[1, 1]), rel=1e-9)
    arm, team = (frame["arm_of_cluster"] == "auto").to_numpy(), frame["team"].to_numpy()
    full, total = both[arm].mean(axis=0) - both[~arm].mean(axis=0), 0.0
    for name in np.unique(team):
        keep = team != name
        move = both[arm & keep].mean(axis=0) - both[~arm & keep].mean(axis=0) - full
        g = len(np.unique(team[arm == arm[~keep][0]]))
        total = total + (g - 1) / g * np.outer(move, move)
    pair = run(frame, covariates="before", arm="arm_of_cluster", cluster="team").pair
    assert (pair.var_cpi, pair.cov, pair.var_kpi) == pytest.approx((total[0, 0], total[0, 1], total[1, 1]), rel=1e-9)


@pytest.mark.parametrize("variance", ["iid", "HC1"])
def test_regression_enters_covariates_and_strata_in_both_stages(frame: pd.DataFrame, variance: str) -> None:
    iv = pytest.importorskip("linearmodels.iv")
    z = (frame["arm"] == "auto").astype(float)
    exog = pd.get_dummies(frame["region"], drop_first=True, dtype=float).assign(one=1.0, before=frame["before"])
    fit = iv.IV2SLS(frame["revenue"], exog, frame["hours"], z).fit(
        cov_type="unadjusted" if variance == "iid" else "robust", debiased=True
    )
    link = run(frame, adjustment="regression", variance=variance, covariates=["before", "fixed"], strata="region")
    assert link.estimate.value == pytest.approx(fit.params["hours"], rel=1e-8)
    assert link.estimate.std_error == pytest.approx(fit.std_errors["hours"], rel=1e-8)
    assert link.estimate.df == fit.df_resid
    assert link.pair.df == link.reduced_form.df == link.estimate.df
    assert inside(link.ar_set, 0.0) == (link.estimate.p_value >= 0.05)
    assert "covariates" in [d.name for d in link.estimate.diagnostics if not d.passed]  # `fixed` is constant
    assert f"a constant for every stratum, {variance}" in link.estimate.method


def test_regression_without_covariates_is_the_comparison_of_means(frame: pd.DataFrame) -> None:
    one, two = run(frame), run(frame, adjustment="regression")
    assert two.estimate.value == pytest.approx(one.estimate.value, rel=1e-10)
    n = len(frame)
    assert two.first_stage.std_error == pytest.approx(one.first_stage.std_error * math.sqrt(n / (n - 2)), rel=0.01)
    clustered = run(frame, adjustment="regression", arm="arm_of_cluster", cluster="team")
    assert clustered.first_stage.value == pytest.approx(
        run(frame, arm="arm_of_cluster", cluster="team").first_stage.value
    )
    assert clustered.estimate.n_clusters == 24
    assert clustered.estimate.df == 23
    assert "randomised by team" in str(clustered)
    assert "CR3" in clustered.estimate.method
    assert "randomised by" not in str(run(frame, adjustment="regression", cluster="team", variance="CR1"))


def test_regression_says_what_is_constant_and_what_is_sharp(frame: pd.DataFrame) -> None:
    assert run(frame, kpi="fixed", adjustment="regression").estimate.status.value == "failed"
    frame["hours"] = np.where(frame["arm"] == "auto", 0.0, 2.0)
    link = run(frame, adjustment="regression", increment=-1)
    assert link.estimate.value == pytest.approx(link.reduced_form.value / 2, rel=1e-12)
    assert math.isinf(link.f_effective)


def test_regression_needs_rows_and_two_of_them_in_each_arm(frame: pd.DataFrame) -> None:
    short = frame.assign(
        revenue=frame["revenue"].where(
            (frame["arm"] == "manual") | (frame.index == frame.index[frame["arm"] == "auto"][0])
        )
    )
    with pytest.raises(DataError, match="no rows"):
        run(short.iloc[:0], adjustment="regression")
    with pytest.raises(EstimationError, match="arm 'auto' has 1 complete rows"):
        run(short, adjustment="regression")


def test_few_clusters_are_said_in_a_regression(frame: pd.DataFrame) -> None:
    few = frame.assign(team=frame["team"].str.slice(0, 6))
    few["arm_of_cluster"] = np.where(few["team"].isin(["team 1", "team 3", "team 5"]), "auto", "manual")
    link = run(few, adjustment="regression", arm="arm_of_cluster", cluster="team")
    (note,) = [d for d in link.estimate.diagnostics if d.name == "clusters per arm"]
    assert note.statistic == 3
    assert note.blocks
    assert "3 clusters" in note.advice


def test_c13_a_lever_that_did_not_move_the_cpi_cannot_test_the_link(frame: pd.DataFrame) -> None:  # C13
    rng = np.random.default_rng(1)
    frame["hours"] = rng.normal(size=len(frame))
    link = run(frame)
    assert link.f_effective < 1
    (note,) = [d for d in link.estimate.diagnostics if d.name == "first stage"]
    assert "the link is not testable by this experiment" in note.advice
    assert "effect on the KPI itself is still tested" in note.advice
    assert math.isfinite(link.reduced_form.value)
    assert f"auto -> {link.reduced_form.outcome}" in str(link)
    still = run(frame.assign(hours=1.0))
    assert "the link is not testable by this experiment" in " ".join(str(still).split())
    assert math.isfinite(still.reduced_form.p_value)


def test_c14_assignment_counts_not_what_was_received() -> None:  # C14
    """A fifth of the control got the treatment, and those who would have bought anyway took it."""
    rng = np.random.default_rng(14)
    n = 20_000
    eager = rng.normal(size=n)
    assigned = rng.random(n) < 0.5
    received = assigned | (eager > np.quantile(eager, 0.8))
    spend = 10 + 2.0 * received + 3 * eager + rng.normal(size=n)
    frame = pd.DataFrame({"arm": np.where(assigned, "auto", "manual"), "got": received.astype(int), "spend": spend})
    link = link_effect(frame, cpi="got", kpi="spend", arm="arm", control="manual")
    assert link.first_stage.value == pytest.approx(0.8, abs=0.02)
    assert inside(link.ar_set, 2.0)
    as_treated = frame.groupby("got")["spend"].mean().diff().iloc[-1]
    assert not inside(link.ar_set, as_treated)


def test_another_cpi_that_moved_is_said_and_does_not_block(frame: pd.DataFrame) -> None:
    frame["options"] = np.random.default_rng(2).normal(size=len(frame)) + (frame["arm"] == "auto")
    link = run(frame, also_moved=["options", "before"])
    note = link.estimate.diagnostics[-1]
    assert (note.name, note.passed, note.blocks) == ("bundle", False, False)
    assert "options (auto: t " in note.advice
    assert "before" not in note.advice
    alone = run(frame)
    assert (link.estimate.value, link.ar_set) == (alone.estimate.value, alone.ar_set)
    both = run(frame, cpi=["hours", "options"])
    assert [d.passed for d in both.moved_too] == [False, False]
    assert "options (auto: t " in both.moved_too[0].advice
    assert "bundle: The lever also moved" in str(both)
    assert [d.name for d in both[0].estimate.diagnostics] == [d.name for d in alone.estimate.diagnostics]
    quiet = run(frame, also_moved="before")
    assert quiet.estimate.diagnostics[-1].passed
    frame["rare"] = frame["hours"].where(frame.index == 3)  # too few to tell
    for name in ("fixed", "rare"):
        none = run(frame, also_moved=name).estimate.diagnostics[-1]
        assert none.passed
        assert math.isnan(none.statistic)


def test_tf_is_shown_and_decides_nothing(frame: pd.DataFrame) -> None:
    link = run(frame)
    low, high = link.tf_interval
    assert high - low >= 2 * 1.959963 * link.estimate.std_error
    assert link.to_frame()[["tf_low", "tf_high"]].iloc[0].tolist() == [low, high]
    assert "tF interval" in link._repr_html_()
    assert "tF" not in str(link)
    assert all(map(math.isnan, run(frame, kpi="fixed").tf_interval))
    assert all(map(math.isnan, run(frame, confidence_level=0.4).tf_interval))
    assert run(frame).estimate.digest == link.estimate.digest


@pytest.mark.parametrize("kind", ["interval", "open", "sharp"])
def test_the_curve_is_drawn_whatever_the_set(frame: pd.DataFrame, kind: str) -> None:
    if kind == "open":
        frame["hours"] = np.random.default_rng(9).normal(size=len(frame))
    if kind == "sharp":
        frame["hours"] = np.where(frame["arm"] == "auto", 0.0, 2.0)
    link = run(frame, increment=-1)
    figure = link.plot(sesoi=0.1)
    axes = figure.axes[1]
    (curve,) = [line for line in axes.lines if len(line.get_xdata()) > 10]
    x, y = np.array(curve.get_xdata()), np.array(curve.get_ydata())
    away = np.array([min(abs(t - e) for piece in link.ar_set for e in piece) > 1e-6 for t in x])
    assert [inside(link.ar_set, t) for t in x[away]] == list(y[away] >= 0.05)
    at_zero = y[np.argmin(abs(x))]
    assert at_zero == pytest.approx(link.estimate.p_value, abs=0.05)


def test_no_curve_without_an_estimate(frame: pd.DataFrame) -> None:
    with pytest.raises(EstimationError, match="no estimate to draw"):
        run(frame, kpi="fixed").plot()


def test_a_list_of_kpis_gives_one_effect_each_in_order(frame: pd.DataFrame) -> None:
    links = run(frame, kpi=["won", "revenue"])
    assert isinstance(links, LinkEffects)
    assert len(links) == 2
    assert [link.estimate.outcome for link in links] == ["won", "revenue"]
    assert plain(links["revenue"]) == plain(links[1]) == plain(run(frame))
    assert links["won"].sentence.count("points") == 1
    assert list(links.to_frame()["kpi"]) == ["won", "revenue"]
    assert str(links) == f"{links[0]}\n\n{links[1]}"
    assert links[0].sentence in links._repr_html_()
    with pytest.raises(DataError, match="'hours' is not among the KPIs"):
        links["hours"]


def test_c12_a_lever_that_hardly_moves_the_cpi_leaves_the_size_open(frame: pd.DataFrame) -> None:  # C12
    rng = np.random.default_rng(9)
    frame["hours"] = rng.normal(size=len(frame))
    link = run(frame)
    assert link.f_effective < 3.8
    assert link.estimate.status.value == "weak"
    assert not (math.isfinite(link.estimate.ci_low) and math.isfinite(link.estimate.ci_high))
    assert link.estimate.confidence_set == link.ar_set
    assert "We cannot tell" in link.sentence
    assert "first stage" in str(link)
    assert math.isfinite(link.reduced_form.p_value)


@pytest.mark.parametrize("call", [{}, {"covariates": ["before"]}])
def test_a_constant_kpi_has_no_link(frame: pd.DataFrame, call: dict) -> None:  # C10
    link = run(frame, kpi="fixed", **call)
    e = link.estimate
    assert e.status.value == "failed"
    assert all(map(math.isnan, (e.value, e.std_error, e.p_value, e.ci_low, e.ci_high, link.pair.var_kpi)))
    assert link.ar_set == ()
    assert math.isfinite(link.f_effective)
    assert "cannot be estimated" in link.sentence
    assert "nan" not in str(link)
    assert "direct path" not in str(link)


@pytest.mark.parametrize("call", [{}, {"covariates": ["before"]}])
@pytest.mark.parametrize("level", [3.0, 0.1])
def test_a_constant_cpi_has_no_link(frame: pd.DataFrame, call: dict, level: float) -> None:
    frame["hours"] = level
    link = run(frame, **call)
    assert link.estimate.status.value == "failed"
    assert math.isnan(link.estimate.value)
    assert math.isnan(link.estimate.p_value)
    assert math.isfinite(link.reduced_form.p_value)
    assert link.ar_set == ()


def test_a_cpi_that_covariates_predict_exactly_has_no_link(frame: pd.DataFrame) -> None:
    frame["hours"] = 3 * frame["before"]
    link = run(frame, covariates=["before"])
    assert link.estimate.status.value == "failed"
    assert link.ar_set == ()


@pytest.mark.parametrize("call", [{}, {"covariates": ["before"]}])
def test_a_cpi_set_by_the_arm_is_a_known_move(frame: pd.DataFrame, call: dict) -> None:
    frame["hours"] = np.where(frame["arm"] == "auto", 0.1, 2.1)
    link = run(frame, increment=-1, **call)
    e = link.reduced_form
    assert link.estimate.value == pytest.approx(e.value / 2, rel=1e-12)
    assert link.ar_set[0] == pytest.approx((e.ci_low / 2, e.ci_high / 2), rel=1e-10)
    assert math.isinf(link.f_effective)
    assert link.pair.var_cpi == link.pair.cov == 0
    assert "F no limit" in str(link)


def test_rows_are_complete_in_both_and_counted(frame: pd.DataFrame) -> None:
    frame["hours"] = frame["hours"].mask(frame.index < 3)
    frame["revenue"] = frame["revenue"].mask(frame.index < 5)
    link = run(frame)
    assert link.estimate.dropped == (("without hours", 3), ("without revenue", 2))
    assert link.estimate.n_obs == link.first_stage.n_obs == len(frame) - 5
    assert "5 rows: 3 without hours, 2 without revenue" in str(link)
    assert link.estimate.value == pytest.approx(run(frame.iloc[5:]).estimate.value, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "found"),
    [
        ({"increment": 0}, DesignError, "increment 0 is not a step"),
        ({"increment": math.nan}, DesignError, "increment nan is not a step"),
        ({"increment": math.inf}, DesignError, "increment inf is not a step"),
        ({"confidence_level": 5}, DesignError, "confidence level 5"),
        ({"kpi": []}, DataError, "no KPI is named"),
        ({"kpi": "hours"}, DataError, "both CPI and KPI"),
        ({"kpi": ["won", "hours"]}, DataError, "both CPI and KPI"),
        ({"covariates": ["hours"]}, DataError, "both an outcome and a covariate"),
        ({"cpi": "arm"}, DataError, "is the arm and cannot be an outcome"),
        ({"cpi": "quote"}, DataError, "column 'quote' is missing"),
        ({"kpi": "region"}, DataError, "column 'region' is text"),
        ({"control": "maunal"}, DataError, "control 'maunal' is not an arm"),
        ({"adjustment": "lin"}, DesignError, "adjustment 'lin' is not known"),
        ({"variance": "HC1"}, DesignError, "variance 'HC1' is for adjustment='regression'"),
        ({"adjustment": "regression", "variance": "CR3"}, DesignError, "'CR3' is not known without clusters"),
        ({"adjustment": "regression", "cluster": "team", "variance": "iid"}, DesignError, "'iid' is not known with"),
        ({"also_moved": "revenue"}, DataError, "both CPI and KPI"),
        ({"arm": "arm_of_cluster", "cluster": "team", "strata": "team"}, EstimationError, "24 of 24 strata"),
        ({"allocation": {"manual": 1}}, DataError, "arm 'auto' is not in the allocation"),
    ],
)
def test_bad_input_is_answered(frame: pd.DataFrame, call: dict, error: type, found: str) -> None:
    with pytest.raises(error, match=found):
        run(frame, **call)


def test_every_kind_of_data_gives_the_same_numbers(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame["revenue"] = frame["revenue"].mask(frame.index % 13 == 0)
    call = {"covariates": ["before"], "strata": ["region"], "kpi": ["won", "revenue"], "increment": -1}
    expected = run(frame, **call).to_frame()
    frame.to_csv(tmp_path / "trial.csv", index=False)
    duckdb.from_df(frame).write_parquet(str(tmp_path / "trial.parquet"))
    with duckdb.connect() as connection:
        sources = [
            frame.convert_dtypes(),
            tmp_path / "trial.csv",
            str(tmp_path / "trial.parquet"),
            connection.from_df(frame),
        ]
        for source in sources:
            pd.testing.assert_frame_equal(run(source, **call).to_frame(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"allocation": {"manual": 3, "auto": 1}},
        {"arm": "arm_of_cluster", "cluster": "team"},
        {"kpi": "fixed"},
        {"cpi": "visits"},
    ],
)
def test_text_fits_a_terminal_and_tables_show_the_sentence(frame: pd.DataFrame, call: dict) -> None:
    frame["won"] = frame["won"].mask(frame.index < 4)
    link = run(frame, **{"kpi": "won", **call})
    assert max(map(len, str(link).splitlines())) <= 80
    assert " ".join(str(link).split()).startswith(link.sentence)
    assert ("BLOCKED" in str(link)) == ("allocation" in call)
    assert ("randomised by team" in str(link)) == ("cluster" in call)
    assert link.sentence in link._repr_markdown_()
    assert len(link.to_frame()) == 1
    assert link.to_dict()["step"] == link.step


def test_clusters_in_both_arms_are_not_called_the_randomised_unit(frame: pd.DataFrame) -> None:
    assert "randomised by" not in str(run(frame, cluster="team"))


def test_html_escapes_names(frame: pd.DataFrame) -> None:
    link = run(frame.rename(columns={"revenue": "<img src=x>"}), kpi="<img src=x>")
    assert "<img" not in link._repr_html_()
    assert "&lt;img" in link._repr_html_()


def test_a_lift_within_noise_leaves_no_room_for_a_direct_path(frame: pd.DataFrame) -> None:
    frame["noise"] = np.random.default_rng(3).normal(size=len(frame))
    link = run(frame, kpi="noise")
    assert link.breakdown == 0
    assert "in doubt even if nothing bypasses hours" in " ".join(str(link).split())
