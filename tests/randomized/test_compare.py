"""The door `compare`: its columns, its methods, every kind of data, and every way to ask for too much."""

import math
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_experiments.errors import CpiError, DataError, DesignError, EstimationError
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.outcomes import Mean, Ratio

COLUMNS = [
    "outcome", "arm", "control", "estimand", "effect", "std_error", "ci_low", "ci_high", "p_value", "rel_effect",
    "rel_ci_low", "rel_ci_high", "control_mean", "treatment_mean", "n_control", "n_treatment", "method", "status",
]  # fmt: skip
PLAIN = {"arm": "arm", "control": "manual", "outcomes": "revenue"}


def run(frame: Any, **call: Any) -> pd.DataFrame:
    return compare(frame, **{**PLAIN, **call}).to_frame()


def test_one_row_per_outcome_and_arm_with_exactly_these_columns(frame: pd.DataFrame) -> None:
    frame.loc[:40, "arm"] = "semi"
    found = compare(frame, arm="arm", control="manual", outcomes=["won", Mean("revenue"), Ratio("orders", "visits")])
    table = found.to_frame()
    assert list(table.columns) == COLUMNS
    assert list(zip(table["outcome"], table["arm"], strict=True)) == [
        (outcome, arm) for outcome in ("won", "revenue", "orders / visits") for arm in ("auto", "semi")
    ]
    assert set(table["control"]) == {"manual"}
    assert set(table["estimand"]) == {"ITT"}
    assert set(table["status"]) == {"ok"}
    assert found["won", "semi"].estimate.cause == "semi"
    with pytest.raises(DataError, match="2 effects match 'won'"):
        found["won"]
    with pytest.raises(DataError, match="0 effects match"):
        found["wonn", "semi"]


def test_plain_means_are_scipys_welch(frame: pd.DataFrame) -> None:
    row = run(frame).iloc[0]
    auto, manual = (frame.loc[frame["arm"] == arm, "revenue"] for arm in ("auto", "manual"))
    test = stats.ttest_ind(auto, manual, equal_var=False)
    low, high = test.confidence_interval(0.95)
    assert row["effect"] == pytest.approx(auto.mean() - manual.mean(), rel=1e-12)
    assert row["p_value"] == pytest.approx(test.pvalue, rel=1e-10)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high), rel=1e-10)
    assert (row["n_control"], row["n_treatment"]) == (len(manual), len(auto))
    assert (row["control_mean"], row["treatment_mean"]) == pytest.approx((manual.mean(), auto.mean()), rel=1e-12)
    for alternative in ("greater", "less"):
        test = stats.ttest_ind(auto, manual, equal_var=False, alternative=alternative)
        row = run(frame, alternative=alternative, confidence_level=0.9).iloc[0]
        assert row["p_value"] == pytest.approx(test.pvalue, rel=1e-10)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(test.confidence_interval(0.9)), rel=1e-10)


def test_relative_effects_on_both_scales_are_their_delta_formulas(frame: pd.DataFrame) -> None:
    auto, manual = (frame.loc[frame["arm"] == arm, "revenue"] for arm in ("auto", "manual"))
    a, b, va, vb = auto.mean(), manual.mean(), auto.var() / len(auto), manual.var() / len(manual)
    dfs = np.array([len(auto) - 1, len(manual) - 1])
    parts = np.array([va / a**2, vb / b**2])
    t = stats.t.ppf(0.975, parts.sum() ** 2 / np.sum(parts**2 / dfs))
    row = run(frame).iloc[0]
    assert row["rel_effect"] == pytest.approx(a / b - 1, rel=1e-12)
    expected = (math.exp(math.log(a / b) + sign * t * math.sqrt(parts.sum())) - 1 for sign in (-1, 1))
    assert (row["rel_ci_low"], row["rel_ci_high"]) == pytest.approx(tuple(expected), rel=1e-10)
    t = stats.t.ppf(0.975, (va + vb) ** 2 / (va**2 / dfs[0] + vb**2 / dfs[1]))
    half = t * math.sqrt(va / b**2 + a**2 * vb / b**4)
    row = run(frame, relative_scale="linear").iloc[0]
    assert (row["rel_ci_low"], row["rel_ci_high"]) == pytest.approx((a / b - 1 - half, a / b - 1 + half), rel=1e-10)


@pytest.mark.parametrize(
    ("call", "method"),
    [
        ({}, "difference in means, Welch"),
        ({"covariates": ["before"]}, "difference in means, CUPED, Welch"),
        ({"covariates": "before", "strata": "region"}, "difference in means, CUPED, post-stratified, Welch"),
        ({"covariates": ["fixed"]}, "difference in means, Welch"),
        (
            {"arm": "arm_of_cluster", "cluster": "team"},
            "difference in means, cluster jackknife (CR3)",
        ),
        ({"outcomes": Ratio("orders", "visits")}, "ratio of means (delta), Welch"),
    ],
)
def test_the_method_says_what_was_done(frame: pd.DataFrame, call: dict, method: str) -> None:
    assert run(frame, **call)["method"].tolist() == [method]


def test_covariates_tighten_without_moving_the_reported_means(frame: pd.DataFrame) -> None:
    frame["revenue"] += 2 * frame["before"]
    plain, adjusted = run(frame).iloc[0], run(frame, covariates=["before"]).iloc[0]
    assert adjusted["std_error"] < 0.8 * plain["std_error"]
    assert adjusted["control_mean"] == plain["control_mean"]
    assert adjusted["rel_effect"] == pytest.approx(adjusted["effect"] / plain["control_mean"])


def test_a_constant_covariate_is_skipped_with_a_note(frame: pd.DataFrame) -> None:
    found = compare(frame, **PLAIN, covariates=["fixed", "before"])
    assert "constant: fixed" in str(found)
    assert run(frame, covariates=["fixed", "before"]).equals(run(frame, covariates=["before"]))


def test_events_clustered_by_user_equal_the_ratio_of_user_totals() -> None:
    rng = np.random.default_rng(3)
    user = np.repeat(np.arange(40), rng.integers(1, 6, 40))
    events = pd.DataFrame({"user": user, "arm": np.where(user % 2 == 1, "b", "a"), "won": rng.random(len(user))})
    by_event = compare(events, arm="arm", control="a", outcomes="won", cluster="user")["won"].estimate
    users = events.groupby(["user", "arm"], as_index=False).agg(total=("won", "sum"), n=("won", "size"))
    by_user = compare(users, arm="arm", control="a", outcomes=Ratio("total", "n")).effects[0].estimate
    assert by_event.value == pytest.approx(by_user.value, rel=1e-12)
    assert by_event.std_error == pytest.approx(by_user.std_error, rel=0.1)
    assert by_event.n_clusters == 40
    named = compare(events, arm="arm", control="a", outcomes="won", cluster="user", unit="user")
    assert named["won"].estimate.std_error == by_event.std_error


def test_a_missing_outcome_is_not_a_zero_and_is_counted(frame: pd.DataFrame) -> None:
    frame["revenue"] = frame["revenue"].mask(frame.index < 7)
    frame["arm"] = frame["arm"].where(frame.index != 20)
    found = compare(frame, **PLAIN)
    assert found["revenue"].estimate.dropped == (("without arm", 1), ("without revenue", 7))
    assert found["revenue"].estimate.n_obs == len(frame) - 8
    assert "not used for revenue: 1 without arm; 7 without revenue" in str(found)
    assert found.integrity.statistic == compare(frame, **{**PLAIN, "outcomes": "won"}).integrity.statistic


# -- every kind of data ----------------------------------------------------------------------------------------------

CALLS = (
    {"outcomes": ["won", "revenue", Ratio("orders", "visits")], "covariates": ["before"], "strata": ["region"]},
    {"arm": "arm_of_cluster", "outcomes": ["won", "revenue"], "cluster": "team"},
    {"outcomes": "revenue", "unit": "customer"},
)


def as_source(frame: pd.DataFrame, kind: str, folder: Path) -> Any:
    if kind == "nullable":
        return frame.convert_dtypes()
    if kind == "arrow":
        pytest.importorskip("pyarrow")
        return frame.convert_dtypes(dtype_backend="pyarrow")
    if kind == "object":
        return frame.astype(dict.fromkeys(("arm", "team", "region", "won"), object))
    if kind == "category":
        return frame.astype(dict.fromkeys(("arm", "team", "region"), "category"))
    path = folder / f"trial.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    else:
        duckdb.from_df(frame).write_parquet(str(path))
    return path


@pytest.mark.parametrize("kind", ["nullable", "arrow", "object", "category", "csv", "parquet"])
@pytest.mark.parametrize("call", CALLS, ids=["strata", "clusters", "units"])
def test_every_kind_of_data_gives_the_same_numbers(frame: pd.DataFrame, kind: str, call: dict, tmp_path: Path) -> None:
    frame["revenue"] = frame["revenue"].mask(frame.index % 17 == 0)
    expected = run(frame, **call)
    pd.testing.assert_frame_equal(
        run(as_source(frame, kind, tmp_path), **call), expected, rtol=1e-12, check_dtype=False
    )


def test_a_relation_gives_the_same_numbers(frame: pd.DataFrame) -> None:
    frame["revenue"] = frame["revenue"].mask(frame.index % 17 == 0)
    with duckdb.connect() as connection:
        relation = connection.from_df(frame)
        for call in CALLS:
            pd.testing.assert_frame_equal(run(relation, **call), run(frame, **call), rtol=1e-12)


@pytest.mark.parametrize(
    ("labels", "control"), [((0, 1), 0), ((False, True), False), ((1.0, 2.0), 1), (("0", "1"), "0")]
)
def test_labels_may_be_numbers_texts_or_booleans(frame: pd.DataFrame, labels: tuple, control: Any) -> None:
    frame["z"] = frame["arm"].map({"manual": labels[0], "auto": labels[1]})
    found = run(frame, arm="z", control=control, allocation={labels[0]: 1, labels[1]: 1})
    assert found.loc[0, "effect"] == run(frame).loc[0, "effect"]
    assert found.loc[0, "arm"] == labels[1]


# -- bad input -------------------------------------------------------------------------------------------------------


def test_c01_one_arm_is_no_experiment(frame: pd.DataFrame) -> None:  # C01
    with pytest.raises(DataError, match="needs at least two arms; found 'manual' only"):
        run(frame[frame["arm"] == "manual"])


@pytest.mark.parametrize("units", [0, 1])
def test_c02_an_arm_without_variance_is_refused(frame: pd.DataFrame, units: int) -> None:  # C02
    rows = np.flatnonzero(frame["arm"] == "auto")
    frame["revenue"] = frame["revenue"].mask(frame.index.isin(rows[units:]))
    with pytest.raises(EstimationError, match=f"the treatment arm has {units} unit") as caught:
        run(frame)
    assert "arm 'auto', outcome 'revenue'" in str(caught.value)


@pytest.mark.parametrize(("both", "blocks"), [(2, False), (50, True)])
def test_c03_units_in_several_arms_are_found_left_out_and_judged(*, both: int, blocks: bool) -> None:  # C03
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"u": np.arange(1000), "arm": np.arange(1000) % 2, "y": rng.normal(size=1000)})
    again = frame.head(both).assign(arm=1 - frame["arm"].head(both), y=99.0)
    found = compare(pd.concat([frame, again]), arm="arm", control=0, outcomes="y", unit="u")
    estimate = found["y"].estimate
    diagnostic = next(d for d in estimate.diagnostics if d.name == "units in several arms")
    assert (diagnostic.passed, diagnostic.blocks) == (False, blocks)
    assert f"{both} of 1,000 units" in diagnostic.advice
    assert estimate.dropped == (("in several arms", 2 * both),)
    clean = compare(frame.iloc[both:], arm="arm", control=0, outcomes="y", unit="u")
    assert estimate.value == pytest.approx(clean["y"].estimate.value, rel=1e-9)
    assert next(d for d in clean["y"].estimate.diagnostics if d.name == "units in several arms").passed


def test_all_units_in_several_arms_leave_nothing() -> None:
    frame = pd.DataFrame({"u": [1, 1, 2, 2], "arm": [0, 1, 0, 1], "y": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(DataError, match="no units are left to count"):
        compare(frame, arm="arm", control=0, outcomes="y", unit="u")


def test_c04_and_c05_sample_ratios_of_a_million() -> None:  # C04 C05
    y = np.tile([0.0, 1.0], 500_000)
    for treated, blocks in ((510_000, True), (500_300, False)):
        arm = np.repeat([1, 0], [treated, 1_000_000 - treated])
        integrity = compare(pd.DataFrame({"arm": arm, "y": y}), arm="arm", control=0, outcomes="y").integrity
        assert (integrity.blocks, integrity.passed) == (blocks, not blocks)
        expected = 5.5e-89 if blocks else 0.5485
        assert integrity.p_value == pytest.approx(expected, rel=2e-2)


def test_c06_a_label_outside_the_plan_is_refused(frame: pd.DataFrame) -> None:  # C06
    frame.loc[3, "arm"] = "autoo"
    with pytest.raises(DataError, match="arm 'autoo' is not in the allocation"):
        run(frame, allocation={"manual": 1, "auto": 1})
    with pytest.raises(DataError, match="arm 'semi' of the allocation has no rows"):
        run(frame, allocation={"manual": 1, "auto": 1, "autoo": 1, "semi": 1})


def test_c10_a_constant_outcome_has_no_p_value(frame: pd.DataFrame) -> None:  # C10
    row = run(frame, outcomes="fixed").iloc[0]
    assert row["status"] == "failed"
    for name in ("std_error", "ci_low", "ci_high", "p_value", "rel_effect", "rel_ci_low", "rel_ci_high"):
        assert math.isnan(row[name])
    assert row["effect"] == 0


@pytest.mark.parametrize("call", [{}, {"covariates": ["before"]}, {"strata": "region"}, {"cluster": "team"}])
def test_c11_constants_that_differ_between_arms_are_not_proof(frame: pd.DataFrame, call: dict) -> None:  # C11
    frame["level"] = np.where(frame["arm"] == "auto", 0.3, 0.1)
    found = compare(frame, **{**PLAIN, "outcomes": "level"}, **call)
    estimate = found["level"].estimate
    assert estimate.status.value == "failed"
    assert estimate.value == pytest.approx(0.2, rel=1e-12)
    assert math.isnan(estimate.p_value)
    assert any(d.blocks and d.name == "variance" for d in estimate.diagnostics)


@pytest.mark.parametrize("offset", [0.0, 5.0, 1e6])
def test_an_outcome_that_covariates_predict_exactly_has_no_test(frame: pd.DataFrame, offset: float) -> None:
    frame["copy"] = 3 * (frame["before"] - frame["before"].mean()) + offset
    estimate = compare(frame, **{**PLAIN, "outcomes": "copy"}, covariates=["before"])["copy"].estimate
    assert estimate.status.value == "failed"
    assert math.isnan(estimate.p_value)


@pytest.mark.parametrize(
    ("change", "call", "error", "found"),
    [
        ({}, {"outcomes": "revenu"}, DataError, "column 'revenu' is missing"),
        ({}, {"arm": "variant"}, DataError, "column 'variant' is missing"),
        ({}, {"cluster": "village"}, DataError, "column 'village' is missing"),
        ({}, {"outcomes": "region"}, DataError, "column 'region' is text"),
        ({}, {"covariates": ["region"]}, DataError, "column 'region' is text"),
        ({}, {"outcomes": []}, DataError, "no outcome is named"),
        ({}, {"control": "Manual"}, DataError, "control 'Manual' is not an arm in column 'arm'"),
        ({}, {"arm": "customer", "control": 1000}, DataError, "240 different values"),
        ({}, {"arm": "won", "control": 0, "outcomes": "won"}, DataError, "is the arm and cannot be an outcome"),
        ({}, {"covariates": ["revenue"]}, DataError, "both an outcome and a covariate"),
        ({}, {"alternative": "larger"}, DesignError, "alternative 'larger' is not known"),
        ({}, {"relative_scale": "lin"}, DesignError, "relative scale 'lin' is not known"),
        ({}, {"confidence_level": 5}, DesignError, "confidence level 5 is not between 0 and 1"),
        ({}, {"confidence_level": 1.0}, DesignError, "confidence level 1 is not between 0 and 1"),
        ({}, {"confidence_level": math.nan}, DesignError, "confidence level nan"),
        ({}, {"allocation": {"manual": 1, "auto": 0}}, DesignError, "not above zero"),
        ({}, {"allocation": {"manual": 1, "auto": math.nan}}, DesignError, "not above zero"),
        ({"revenue": np.inf}, {}, DataError, "1 infinite value among 240"),
        ({"revenue": 1e200}, {}, DataError, "beyond 1e\\+150"),
        ({"arm": None}, {"control": None}, DataError, "control None is not an arm"),
        ({"team": "lonely", "arm_of_cluster": "solo"}, {"arm": "arm_of_cluster", "cluster": "team"}, EstimationError,
         "arm 'solo', outcome 'revenue': the treatment arm has 1 unit"),
        ({"region": "lonely"}, {"strata": "region"}, EstimationError, "1 of 4 strata have fewer than two units"),
        ({}, {"arm": "arm_of_cluster", "cluster": "team", "strata": "region"}, DataError, "lie in several strata"),
        ({}, {"covariates": ["before", "before_too"]}, EstimationError, "covariates are collinear"),
        ({}, {"unit": "team"}, DataError, "units have more than one row|are left"),
        ({}, {"outcomes": Ratio("won", "zero")}, EstimationError, "the denominator's mean in an arm is 0"),
        ({}, {"unit": "nobody"}, DataError, "column 'nobody' holds no unit at all"),
        ({}, {"cluster": "nobody"}, DataError, "no clusters are left to count"),
    ],
)  # fmt: skip
def test_bad_input_is_answered(frame: pd.DataFrame, change: dict, call: dict, error: type, found: str) -> None:
    frame = frame.assign(before_too=2 * frame["before"] + 1, zero=0.0, nobody=None)
    for name, value in change.items():
        frame.loc[5, name] = value
    with pytest.raises(error, match=found) as caught:
        run(frame, **call)
    assert isinstance(caught.value, CpiError)
    assert "Traceback" not in str(caught.value)


def test_one_cluster_in_an_arm_is_refused(frame: pd.DataFrame) -> None:
    frame["arm"] = np.where(frame["team"] == "team 3", "auto", "manual")
    with pytest.raises(EstimationError, match="the treatment arm has 1 cluster: its variance cannot be estimated"):
        run(frame, cluster="team")


@pytest.mark.parametrize(("clusters", "passed", "blocks"), [(6, False, True), (12, False, False), (24, True, False)])
def test_few_clusters_warn_and_fewer_block(frame: pd.DataFrame, *, clusters: int, passed: bool, blocks: bool) -> None:
    frame["group"] = np.arange(240) % clusters
    frame["z"] = frame["group"] % 2
    found = compare(frame, arm="z", control=0, outcomes="revenue", cluster="group")
    diagnostics = {d.name: d for d in found["revenue"].estimate.diagnostics}
    assert (diagnostics["clusters per arm"].passed, diagnostics["clusters per arm"].blocks) == (passed, blocks)
    assert diagnostics["clusters in one arm"].passed
    means = [part.groupby("group")["revenue"].mean() for _, part in frame.groupby("z")]
    test = stats.ttest_ind(means[1], means[0], equal_var=False)  # clusters of one size
    estimate = found["revenue"].estimate
    assert (estimate.df, estimate.p_value) == pytest.approx((test.df, test.pvalue), rel=1e-9)
    assert f"{clusters:,} clusters" in found.integrity.null or "clusters were split" in found.integrity.null


def test_clusters_in_both_arms_are_said(frame: pd.DataFrame) -> None:
    found = compare(frame, **PLAIN, cluster="team")
    diagnostics = {d.name: d for d in found["revenue"].estimate.diagnostics}
    assert not diagnostics["clusters in one arm"].passed
    assert "units were split" in found.integrity.null


def test_rows_without_a_cluster_are_counted(frame: pd.DataFrame) -> None:
    frame["team"] = frame["team"].where(frame.index >= 4)
    estimate = compare(frame, **{**PLAIN, "arm": "arm_of_cluster"}, cluster="team")["revenue"].estimate
    assert estimate.dropped == (("without team", 4),)


@pytest.mark.parametrize("bad", [None, 3, "nowhere.csv"])
def test_what_is_no_table_is_refused(bad: Any) -> None:
    with pytest.raises(DataError):
        run(bad)


def test_an_empty_table_has_no_rows(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no rows"):
        run(frame.head(0))


# -- how it shows itself ---------------------------------------------------------------------------------------------


def test_text_fits_a_terminal_and_tables_escape(frame: pd.DataFrame) -> None:
    frame["<b>|x"] = frame["revenue"]
    frame["arm"] = frame["arm"].replace({"auto": "<script>"})
    found = compare(
        frame, arm="arm", control="manual", outcomes=["<b>|x", "won", "fixed"], allocation={"manual": 3, "<script>": 1}
    )
    assert max(map(len, str(found).splitlines())) <= 80
    assert "<script>" not in found._repr_html_()
    assert "&lt;script&gt;" in found._repr_html_()
    assert "\\|x" in found._repr_markdown_()
    assert "BLOCKED" in str(found)
    assert "constant within each arm" in str(found)
    assert "nan" not in str(found).lower().replace("planned", "")
    assert str(found.effects[0]).startswith("<script> -> <b>|x: ")
    assert list(found.effects[0].to_frame().columns) == COLUMNS


def test_a_control_mean_at_or_below_zero_has_no_relative_effect(frame: pd.DataFrame) -> None:
    frame["loss"] = -frame["revenue"]
    row = run(frame, outcomes="loss").iloc[0]
    assert math.isnan(row["rel_effect"])
    assert row["status"] == "ok"
    frame["sunk"] = np.where(frame["arm"] == "auto", -50.0, 1.0) + frame["before"] / 100
    row = run(frame, outcomes="sunk").iloc[0]
    assert row["rel_effect"] == pytest.approx(-51, rel=0.05)
    assert math.isnan(row["rel_ci_low"])
    assert math.isfinite(run(frame, outcomes="sunk", relative_scale="linear").loc[0, "rel_ci_low"])


def test_a_control_mean_that_cannot_be_told_from_zero_has_no_relative_effect() -> None:
    y = np.random.default_rng(5).normal(size=(2, 20))
    y += 1e-6 - y.mean(axis=1, keepdims=True)
    frame = pd.DataFrame({"arm": np.repeat(["a", "b"], 20), "y": y.ravel()})
    row = compare(frame, arm="arm", control="a", outcomes="y").to_frame().iloc[0]
    assert row[["rel_effect", "rel_ci_low", "rel_ci_high"]].isna().all()
    assert row["status"] == "ok"


def test_no_complete_row_says_what_each_column_lost(frame: pd.DataFrame) -> None:
    frame["revenue"] = frame["revenue"].mask(frame["before"] < 0)
    frame["before"] = frame["before"].mask(frame["before"] >= 0)
    with pytest.raises(DataError, match="no complete row is left") as caught:
        run(frame, covariates="before")
    assert "without revenue; " in str(caught.value)
    assert "without before" in str(caught.value)


def test_a_covariate_that_moved_with_the_arm_is_told_and_blocks():
    rng = np.random.default_rng(21)
    treated = np.arange(400) % 2 == 1
    frame = pd.DataFrame({"arm": np.where(treated, "b", "a"), "y": rng.normal(size=400) + 0.5 * treated})
    frame["later"] = treated + rng.normal(0, 0.5, 400)
    estimate = compare(frame, arm="arm", control="a", outcomes="y", covariates="later")["y"].estimate
    check = next(each for each in estimate.diagnostics if each.name == "covariate balance")
    assert check.blocks
    assert "were they measured before" in check.advice
    assert check.statistic == pytest.approx(np.corrcoef(treated, frame["later"])[0, 1] ** 2, rel=1e-9)
    with pytest.raises(EstimationError, match="say who is in which arm"):
        compare(frame.assign(later=treated * 1.0), arm="arm", control="a", outcomes="y", covariates="later")


def test_many_covariates_shrink_effects_and_it_is_said():
    rng = np.random.default_rng(22)
    names = [f"x{j}" for j in range(20)]
    frame = pd.DataFrame(rng.normal(size=(200, 20)), columns=names)
    frame["arm"] = np.where(rng.permutation(200) < 100, "b", "a")
    frame["y"] = frame[names].sum(axis=1) + rng.normal(size=200)
    estimate = compare(frame, arm="arm", control="a", outcomes="y", covariates=names)["y"].estimate
    check = next(each for each in estimate.diagnostics if each.name == "covariate balance")
    assert not check.passed
    assert not check.blocks
    assert 'adjustment="lin"' in check.advice


def test_balance_of_covariates_alarms_as_often_as_it_says():
    rng = np.random.default_rng(23)
    p_values = []
    for _ in range(1000):
        frame = pd.DataFrame({"arm": np.where(rng.permutation(80) < 40, "b", "a"), "y": rng.normal(size=80)})
        frame["x"], frame["z"] = rng.normal(size=(2, 80))
        found = compare(frame, arm="arm", control="a", outcomes="y", covariates=["x", "z"])["y"].estimate
        p_values.append(next(each.p_value for each in found.diagnostics if each.name == "covariate balance"))
    assert 0.021 <= np.mean(np.array(p_values) < 0.05) <= 0.089  # exact binomial band of two-sided probability 1e-6
