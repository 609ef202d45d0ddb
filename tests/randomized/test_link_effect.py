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
from cpi_experiments.randomized.compare import compare
from cpi_experiments.randomized.link import LinkEffect, LinkEffects
from cpi_experiments.randomized.link_effect import link_effect

PLAIN = {"cpi": "hours", "kpi": "revenue", "arm": "arm", "control": "manual"}


def run(frame: Any, **call: Any) -> LinkEffect:
    return link_effect(frame, **{**PLAIN, **call})


def inside(pieces: tuple, t: float) -> bool:
    return any(low <= t <= high for low, high in pieces)


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
        ({"arm": "region", "control": "north"}, DataError, "2 treatment arms: 'south', 'west'"),
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
