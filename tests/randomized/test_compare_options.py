"""What `compare` can be asked for beyond a plain mean: caps, Lin, margins, pools, corrections, resampling."""

import math
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_experiments.errors import CpiError, DataError, DesignError, EstimationError
from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.randomized import trial_moments
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.comparison import Comparison
from cpi_experiments.randomized.effects.outcomes import Mean, Ratio, scans_of
from cpi_experiments.randomized.effects.row_outcomes import Quantile, Rank

PLAIN = {"arm": "arm", "control": "manual", "outcomes": "revenue"}


def ask(frame: Any, **call: Any) -> Comparison:
    return compare(frame, **{**PLAIN, **call})


@pytest.fixture
def three(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[frame.index % 3 == 0, "arm"] = "semi"
    return frame


# -- caps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cap", [2, 2.5, "p90", "p97.5"])
def test_a_capped_mean_is_the_mean_of_capped_values(frame: pd.DataFrame, cap: Any) -> None:
    at = cap if not isinstance(cap, str) else np.percentile(frame["revenue"], float(cap[1:]))
    expected = ask(frame.assign(revenue=frame["revenue"].clip(upper=at))).effects[0]
    found = ask(frame, outcomes=Mean("revenue", cap=cap)).effects[0]
    assert found.estimate.outcome == f"revenue, at most {cap}"
    assert f"revenue capped at {at:,.10g}" in found.estimate.method
    assert found.estimate.value == pytest.approx(expected.estimate.value, rel=1e-12)
    assert found.estimate.std_error == pytest.approx(expected.estimate.std_error, rel=1e-12)
    assert found.control_mean < ask(frame).effects[0].control_mean


@pytest.mark.parametrize(
    "outcome", [Mean("revenue", cap="p90"), Mean("visits", cap=4), Ratio("orders", "visits", cap=2)]
)
def test_an_engine_caps_as_arrays_do(
    frame: pd.DataFrame, outcome: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame["revenue"] = frame["revenue"].mask(frame.index % 17 == 0)
    arrays = ask(frame, outcomes=outcome, covariates="before").to_frame()
    duckdb.from_df(frame).write_parquet(str(tmp_path / "t.parquet"))
    files = ask(tmp_path / "t.parquet", outcomes=outcome, covariates="before").to_frame()
    pd.testing.assert_frame_equal(files, arrays, rtol=1e-11)
    monkeypatch.setattr(trial_moments, "SMALL", 10)
    pd.testing.assert_frame_equal(ask(frame, outcomes=outcome, covariates="before").to_frame(), arrays, rtol=1e-11)


@pytest.mark.parametrize("how", ["arrays", "engine", "file", "permutation", "bootstrap", "cells of units"])
def test_a_cut_is_taken_over_the_rows_that_are_compared_whichever_way_they_are_read(
    frame: pd.DataFrame, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = float(np.percentile(frame["revenue"].iloc[10:], 90))
    clean = ask(frame.iloc[10:], outcomes=Mean("revenue", cap=expected)).effects[0]
    twice = frame.head(10).assign(arm=frame["arm"].head(10).map({"auto": "manual", "manual": "auto"}), revenue=1e3)
    nobody = frame.tail(60).assign(arm=None, revenue=2e3, customer=np.arange(60.0) + 9_000)
    nobody.loc[nobody.index[::2], "customer"] = np.nan  # a row without arm and unit
    data = pd.concat([frame, twice, nobody])
    call: dict[str, Any] = {"outcomes": Mean("revenue", cap="p90"), "unit": "customer"}
    if how in ("permutation", "bootstrap"):
        call |= {"inference": how, "reps": 99}
    if how in ("engine", "cells of units"):
        monkeypatch.setattr(trial_moments, "SMALL", 10)
    if how == "cells of units":
        call |= {"cluster": "customer"}
    if how == "file":
        duckdb.from_df(data).write_parquet(str(tmp_path / "t.parquet"))
    found = ask(tmp_path / "t.parquet" if how == "file" else data, **call).effects[0]
    assert found.control_mean == pytest.approx(clean.control_mean, rel=1e-12)
    assert found.treatment_mean == pytest.approx(clean.treatment_mean, rel=1e-12)
    assert found.estimate.n_obs == len(frame) - 10


def test_a_column_with_and_without_caps_is_each_of_them(frame: pd.DataFrame) -> None:
    outcomes = ["visits", Mean("visits", cap=3), Mean("visits", cap=4), Ratio("orders", "visits"),
                Ratio("visits", "orders", cap=3), "won"]  # fmt: skip
    together = ask(frame, outcomes=outcomes)
    assert [effect.estimate.outcome for effect in together.effects] == [
        "visits", "visits, at most 3", "visits, at most 4", "orders / visits", "visits, at most 3 / orders", "won",
    ]  # fmt: skip
    for outcome, effect in zip(outcomes, together.effects, strict=True):
        assert effect.to_dict() == ask(frame, outcomes=outcome).effects[0].to_dict()
    assert [scan.caps for scan in scans_of([Mean("a", cap=2), Ratio("b", "a", cap=1)])] == [{"a": 2}, {"b": 1}]


def test_moments_are_capped_when_they_are_gathered(frame: pd.DataFrame) -> None:
    moments = gather(frame, ["revenue"], by=["arm"], caps={"revenue": 2})
    with pytest.raises(DataError, match=r"cannot be capped(.|\n)*caps=\{'revenue': 2\}"):
        ask(moments, outcomes=Mean("revenue", cap=2))
    found, rows = ask(moments).effects[0], ask(frame, outcomes=Mean("revenue", cap=2)).effects[0]
    assert found.estimate.std_error == pytest.approx(rows.estimate.std_error, rel=1e-10)


@pytest.mark.parametrize("cap", ["p100", "p9", "p49", "99", math.nan, math.inf, True])
def test_what_is_no_cap_is_refused(cap: Any) -> None:
    with pytest.raises(DesignError, match="neither a number nor a percentile"):
        Mean("revenue", cap=cap)


def test_caps_that_cannot_be_are_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(DesignError, match="ratio of 'won' to itself has no cap"):
        Ratio("won", "won", cap=1)
    with pytest.raises(DataError, match="no value to cap"):
        ask(frame.assign(revenue=np.nan), outcomes=Mean("revenue", cap="p99"))
    with pytest.raises(DataError, match="no value to cap"):
        ask(frame.assign(revenue=np.nan), outcomes=Mean("revenue", cap="p99"), inference="bootstrap")
    with pytest.raises(DesignError, match="7 is no outcome"):
        ask(frame, outcomes=[7])


def test_outcomes_have_names_of_their_own(frame: pd.DataFrame) -> None:
    frame["revenue, at most 2"] = frame["hours"]
    with pytest.raises(DataError, match="two outcomes are called 'revenue, at most 2'"):
        ask(frame, outcomes=["revenue, at most 2", Mean("revenue", cap=2)])
    assert len(ask(frame, outcomes=["won", "won"]).effects) == 1


# -- covariates with coefficients of each arm's own ------------------------------------------------------------------


def test_lin_is_least_squares_with_interactions_about_the_mean(frame: pd.DataFrame) -> None:
    sm = pytest.importorskip("statsmodels.api")
    frame["revenue"] += np.where(frame["arm"] == "auto", 2.0, 0.3) * frame["before"]
    treated = (frame["arm"] == "auto").to_numpy(float)
    x = frame[["before", "hours"]].to_numpy()
    x = x - x.mean(axis=0)
    design = np.column_stack([np.ones(len(x)), treated, x, treated[:, None] * x])
    fit = sm.OLS(frame["revenue"].to_numpy(), design).fit()
    e = ask(frame, covariates=["before", "hours"], adjustment="lin")["revenue"].estimate
    assert e.value == pytest.approx(fit.params[1], rel=1e-10)
    assert "Lin" in e.method
    moved = fit.params[4:]
    population = moved @ np.cov(x.T) @ moved / len(x)
    for kind in ("HC1", "HC2"):  # theirs holds the covariates' mean fixed and lets the noise differ by unit
        robust = sm.OLS(frame["revenue"].to_numpy(), design).fit(cov_type=kind).bse[1]
        assert e.std_error == pytest.approx(math.sqrt(robust**2 + population), rel=0.03)
    parts = []
    for arm in (0, 1):
        own = sm.OLS(frame["revenue"].to_numpy()[treated == arm], sm.add_constant(x[treated == arm])).fit()
        parts.append(own.get_prediction(np.array([[1.0, 0.0, 0.0]])).se_mean[0] ** 2)
    assert e.std_error == pytest.approx(math.sqrt(sum(parts) + population), rel=1e-9)
    assert 110 < e.df <= len(frame) - 6
    assert e.std_error < ask(frame, covariates=["before", "hours"])["revenue"].estimate.std_error * 1.06


@pytest.mark.parametrize(
    "call", [{}, {"strata": "region"}, {"outcomes": Ratio("orders", "visits")}, {"unit": "customer"}]
)
def test_lin_from_moments_and_engines_is_that_of_rows(
    frame: pd.DataFrame, call: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = {"covariates": ["before", "hours"], "adjustment": "lin", **call}
    rows = ask(frame, **call).to_frame()
    names = [name for name in ("arm", call.get("strata"), call.get("unit")) if name]
    moments = gather(frame, ["revenue", "orders", "visits", "before", "hours"], by=names)
    pd.testing.assert_frame_equal(ask(moments, **call).to_frame(), rows, rtol=1e-9)
    monkeypatch.setattr(trial_moments, "SMALL", 10)
    pd.testing.assert_frame_equal(ask(frame, **call).to_frame(), rows, rtol=1e-9)


def test_c23_a_constant_covariate_is_skipped_by_lin_too(frame: pd.DataFrame) -> None:  # C23
    call = {"adjustment": "lin"}
    with_constant = ask(frame, covariates=["fixed", "before"], **call)
    assert "constant: fixed" in str(with_constant)
    assert with_constant.to_frame().equals(ask(frame, covariates=["before"], **call).to_frame())
    only = ask(frame, covariates=["fixed"], **call)["revenue"].estimate
    assert only.std_error == ask(frame)["revenue"].estimate.std_error


@pytest.mark.parametrize(
    ("change", "call", "found"),
    [
        ({}, {"cluster": "team"}, "not available with clusters"),
        ({"twin": lambda f: 2 * f["before"]}, {"covariates": ["before", "twin"]}, "collinear"),
        ({"half": lambda f: np.where(f["arm"] == "auto", 1.0, f["before"])}, {"covariates": "half"},
         "a covariate is constant within the treatment arm"),
        ({}, {"test": "z"}, "with common coefficients"),
    ],
)  # fmt: skip
def test_what_lin_cannot_do_is_said(frame: pd.DataFrame, change: dict, call: dict, found: str) -> None:
    for name, make in change.items():
        frame[name] = make(frame)
    with pytest.raises(CpiError, match=found):
        ask(frame, **{"covariates": "before", "adjustment": "lin", **call})


def test_lin_needs_enough_units_for_its_coefficients(frame: pd.DataFrame) -> None:
    few = pd.concat([part.head(6) for _, part in frame.groupby("arm")])
    with pytest.raises(EstimationError, match=r"6 units for 1 coefficients(.|\n)*at least 7"):
        ask(few, covariates="before", adjustment="lin")


def test_an_outcome_that_covariates_predict_exactly_has_no_test_by_lin(frame: pd.DataFrame) -> None:
    frame["copy"] = 3 * frame["before"] + 5
    e = ask(frame, outcomes="copy", covariates="before", adjustment="lin")["copy"].estimate
    assert e.status.value == "failed"
    constant = ask(frame, outcomes="fixed", covariates="before", adjustment="lin")["fixed"].estimate
    assert constant.status.value == "failed"


# -- classical tests -------------------------------------------------------------------------------------------------


def test_student_is_scipys(frame: pd.DataFrame) -> None:
    auto, manual = (frame.loc[frame["arm"] == arm, "revenue"] for arm in ("auto", "manual"))
    test = stats.ttest_ind(auto, manual, equal_var=True)
    row = ask(frame, test="student").to_frame().iloc[0]
    assert row["p_value"] == pytest.approx(test.pvalue, rel=1e-10)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(test.confidence_interval(0.95)), rel=1e-10)
    assert row["method"] == "difference in means, Student, pooled variance"
    with pytest.raises(DesignError, match="independent units without strata"):
        ask(frame, test="student", strata="region")


# -- margins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_not_worse_is_scipys_test_of_shifted_values(frame: pd.DataFrame, better: str, margin: float) -> None:
    auto, manual = (frame.loc[frame["arm"] == arm, "revenue"] for arm in ("auto", "manual"))
    shift, side = (margin, "greater") if better == "higher" else (-margin, "less")
    test = stats.ttest_ind(auto + shift, manual, equal_var=False, alternative=side)
    found = ask(frame, margin=margin, better=better)
    verdict = found["revenue"].margins[0]
    assert verdict.p_value == pytest.approx(test.pvalue, rel=1e-10)
    assert (
        verdict.shown
        == (test.pvalue < 0.05)
        == (verdict.low > -margin if better == "higher" else verdict.high < margin)
    )
    assert found.to_frame().loc[0, "margin_verdict"] == verdict.verdict
    assert verdict._title() in found._title()


@pytest.mark.parametrize(("bound", "verdict"), [(2.0, "equivalent"), (0.01, "not shown")])
def test_equivalence_is_two_one_sided_tests(frame: pd.DataFrame, bound: float, verdict: str) -> None:
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    auto, manual = (frame.loc[frame["arm"] == arm, "revenue"] for arm in ("auto", "manual"))
    expected = weightstats.ttost_ind(auto, manual, -bound, bound, usevar="unequal")[0]
    found = ask(frame, equivalence={"revenue": bound})["revenue"].margins[0]
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert found.verdict == verdict
    low, high = (ask(frame, confidence_level=0.9)["revenue"].estimate.ci_low, found.high)
    assert found.low == pytest.approx(low, rel=1e-12)
    assert found.shown == (low > -bound and high < bound)
    far = ask(frame.assign(revenue=frame["revenue"] + 9 * (frame["arm"] == "auto")), equivalence=1.0)
    assert far["revenue"].margins[0].verdict == "different"
    assert "not within ±1 of manual" in str(far)


@pytest.mark.parametrize("covariates", [None, "before"])
def test_relative_margins_are_tests_of_a_contrast(frame: pd.DataFrame, covariates: Any) -> None:
    found = ask(frame, margin=0.2, equivalence=0.5, margin_scale="relative", covariates=covariates)["revenue"]
    worse, apart = found.margins
    auto, manual = (frame.loc[frame["arm"] == arm, "revenue"] for arm in ("auto", "manual"))
    if covariates is None:  # treatment - 0.8 control
        test = stats.ttest_ind(auto, 0.8 * manual, equal_var=False, alternative="greater")
        assert worse.p_value == pytest.approx(test.pvalue, rel=1e-9)
        two = [stats.ttest_ind(auto, m * manual, equal_var=False, alternative=side).pvalue
               for m, side in ((0.5, "greater"), (1.5, "less"))]  # fmt: skip
        assert apart.p_value == pytest.approx(max(two), rel=1e-9)
    assert worse.shown == (worse.low > -0.2)
    assert worse.high == math.inf
    assert apart.low < found.rel_effect < apart.high
    sunk = frame.assign(revenue=frame["revenue"] - frame["revenue"].mean())
    lost = ask(sunk, margin=0.2, margin_scale="relative")["revenue"].margins[0]
    assert lost.verdict == "not tested"
    assert "cannot be tested" in str(lost)


def test_margins_say_themselves(frame: pd.DataFrame) -> None:
    found = ask(
        frame, outcomes=["revenue", "hours", "fixed"], margin={"hours": 1.0, "fixed": 1.0}, better={"hours": "lower"}
    )
    assert found["revenue"].margins == ()
    assert str(found["hours"].margins[0]).startswith("hours with auto: not worse than manual by 1 or more (")
    assert found["fixed"].margins[0].verdict == "not tested"
    table = found["hours"].margins[0].to_frame()
    assert table.loc[0, "better"] == "lower"
    assert table.loc[0, "verdict"] == "not worse"
    flat = ask(frame, margin=0.0)["revenue"].margins[0]
    assert "no better than manual" in str(flat)
    equal = ask(frame, equivalence=0.5, margin_scale="relative")["revenue"].margins[0]
    assert "within ±50% of manual" in str(equal)
    assert "percent" in str(equal)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ({"margin": -0.1}, "margin -0.1 of 'revenue' is not a size"),
        ({"margin": math.nan}, "is not a size"),
        ({"margin": "2%"}, "is not a size"),
        ({"equivalence": 0}, "margin 0 of 'revenue' is not a size"),
        ({"margin": {"revenu": 1}}, "margin names 'revenu'(.|\n)*Did you mean 'revenue'"),
        ({"better": {"profit": "lower"}}, "better names 'profit'"),
        ({"margin": 1, "better": "up"}, "better 'up' is not known"),
        ({"margin": 1, "margin_scale": "share"}, "margin scale 'share' is not known"),
        ({"margin": 1, "inference": "bootstrap"}, "margins are tested by formula, not by bootstrap"),
        (
            {"margin": 1, "margin_scale": "relative", "outcomes": Quantile("revenue", 0.5)},
            "relative margin of 'revenue",
        ),
        ({"adjustment": "ancova"}, "adjustment 'ancova' is not known"),
        ({"test": "t"}, "test 't' is not known"),
        ({"inference": "jackknife"}, "inference 'jackknife' is not known"),
        ({"correction": "fdr"}, "correction 'fdr' is not known"),
        ({"outcomes": Rank("revenue"), "test": "z"}, "estimated from rows: adjustment and test"),
        ({"outcomes": Rank("revenue"), "by": "region"}, "no segments there"),
    ],
)
def test_bad_options_are_answered(frame: pd.DataFrame, call: dict, found: str) -> None:
    with pytest.raises(DesignError, match=found):
        ask(frame, **call)


def ranks(seed: int, lift: float = 1.0, n: int = 15) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = np.r_[rng.normal(size=n), rng.normal(size=n) + lift]
    return pd.DataFrame({"arm": np.repeat(["manual", "auto"], n), "hours": values})


@pytest.mark.parametrize(("better", "alternative"), [("higher", "greater"), ("lower", "less")])
@pytest.mark.parametrize("lift", [0.0, 0.7, -0.7, 50.0])  # the last: arms that do not overlap
def test_a_rank_margin_of_zero_is_the_one_sided_test_of_the_effect(better: str, alternative: str, lift: float) -> None:
    for seed in range(20):
        call = {"outcomes": Rank("hours"), "margin": 0.0, "better": better, "alternative": alternative}
        found = ask(ranks(seed, lift), **call).effects[0]
        verdict = found.margins[0]
        assert verdict.p_value == pytest.approx(found.estimate.p_value, rel=1e-9, abs=1e-300)
        assert (verdict.low, verdict.high) == pytest.approx((found.estimate.ci_low, found.estimate.ci_high), rel=1e-9)


@pytest.mark.parametrize("size", [0.1, 0.2, 0.3])
def test_rank_margins_decide_as_the_interval_on_log_odds_does(size: float) -> None:
    kept = []
    for seed in range(25):
        call = {"outcomes": Rank("hours"), "confidence_level": 0.9, "margin": size, "equivalence": size}
        found = ask(ranks(seed, 0.4, n=40), **call).effects[0]
        worse, apart = found.margins
        wide = ask(ranks(seed, 0.4, n=40), outcomes=Rank("hours"), confidence_level=0.8).effects[0].estimate
        assert (apart.low, apart.high) == pytest.approx((wide.ci_low, wide.ci_high), rel=1e-9)
        assert worse.low == pytest.approx(wide.ci_low, rel=1e-9)
        assert apart.shown == (-size < apart.low and apart.high < size) == (apart.p_value < 0.1)
        assert worse.shown == (-size < worse.low) == (worse.p_value < 0.1)
        assert worse.margin.size == apart.margin.size == size
        kept.append(apart.shown)
    assert size < 0.3 or any(kept)


def test_a_rank_margin_that_any_result_keeps_is_refused() -> None:
    with pytest.raises(DesignError, match=r"margin 0.5 .* is kept by any result"):
        ask(ranks(0), outcomes=Rank("hours"), margin=0.5)
    with pytest.raises(DesignError, match="needs the means of the arms"):
        ask(ranks(0), outcomes=Rank("hours"), margin=0.1, margin_scale="relative")
    still = ask(ranks(0).assign(hours=1.0), outcomes=Rank("hours"), margin=0.1).effects[0]
    assert still.margins[0].verdict == "not tested"


# -- pools and corrections -------------------------------------------------------------------------------------------


def test_pooled_arms_are_one_arm_of_all_their_units(three: pd.DataFrame) -> None:
    call = {"outcomes": ["revenue", Ratio("orders", "visits")], "covariates": "before"}
    found = ask(three, pool={"any": ["auto", "semi"]}, **call)
    assert [e.arm for e in found.effects] == ["auto", "semi", "any"] * 2
    joined = ask(three.replace({"arm": {"auto": "any", "semi": "any"}}), **call)
    for name in ("revenue", "orders / visits"):
        mine, theirs = found[name, "any"], joined[name]
        assert mine.estimate.value == pytest.approx(theirs.estimate.value, rel=1e-12)
        assert mine.estimate.std_error == pytest.approx(theirs.estimate.std_error, rel=1e-12)
        assert mine.n_treatment == theirs.n_treatment
        assert found[name, "auto"].to_dict() == ask(three, **call)[name, "auto"].to_dict()
    moments = gather(three, ["revenue"], by=["arm"])
    assert ask(moments, pool={"any": ["auto", "semi"]})["revenue", "any"].n_treatment == mine.n_treatment


@pytest.mark.parametrize(
    ("pool", "found"),
    [
        ({"auto": ["auto", "semi"]}, "has the name of an arm"),
        ({"any": ["auto", "sami"]}, "names 'sami', no treatment(.|\n)*Did you mean 'semi'"),
        ({"any": ["auto", "manual"]}, "names 'manual', no treatment"),
        ({"any": "auto"}, "holds 1 arms"),
    ],
)
def test_bad_pools_are_refused(three: pd.DataFrame, pool: dict, found: str) -> None:
    with pytest.raises(DesignError, match=found):
        ask(three, pool=pool)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("holm", "holm"), ("bh", "fdr_bh"), ("by", "fdr_by"), ("bonferroni",) * 2]
)
def test_corrections_are_over_all_rows(three: pd.DataFrame, ours: Any, theirs: str) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    outcomes = ["revenue", "won", "hours", "fixed"]
    table = ask(three, outcomes=outcomes, correction=ours).to_frame()
    p = table["p_value"].fillna(1.0)
    expected = multitest.multipletests(p, method=theirs)[1]
    known = table["p_value"].notna().to_numpy()
    assert table["p_adjusted"][known].tolist() == pytest.approx(expected[known].tolist(), rel=1e-12)
    assert table["p_adjusted"][~known].isna().all()  # E01: counted as a test, shown as none
    assert (~known).sum() == 2
    assert ("joint_low" in table) == (ours == "bonferroni")
    if ours == "bonferroni":
        wide = ask(three, outcomes=outcomes, confidence_level=1 - 0.05 / 8).to_frame()
        np.testing.assert_allclose(table["joint_low"], wide["ci_low"])
        np.testing.assert_allclose(table["joint_high"], wide["ci_high"])


@pytest.mark.parametrize(
    ("outcome", "call", "there"),
    [
        (Mean("revenue"), {}, True),
        (Mean("revenue"), {"alternative": "greater"}, True),
        (Mean("revenue"), {"cluster": "team", "arm": "arm_of_cluster"}, True),
        (Quantile("revenue", 0.5), {}, True),
        (Quantile("revenue", 0.5), {"inference": "bootstrap", "reps": 199}, False),
        (Mean("revenue"), {"inference": "bootstrap", "reps": 199}, False),
        (Mean("revenue"), {"inference": "permutation", "reps": 199}, False),
        (Mean("revenue"), {"inference": "permutation", "reps": 199, "alternative": "less"}, False),
        (Mean("revenue"), {"inference": "wild", "reps": 199, "cluster": "team", "arm": "arm_of_cluster"}, False),
        (Rank("revenue"), {}, False),
    ],
)
def test_intervals_that_hold_together_are_t_intervals_or_not_there(
    frame: pd.DataFrame, outcome: Any, call: dict, *, there: bool
) -> None:
    second = type(outcome)("hours", *([0.5] if isinstance(outcome, Quantile) else []))
    found = ask(frame, outcomes=[outcome, second], correction="bonferroni", **call).effects[0]
    assert found.p_adjusted == pytest.approx(min(2 * found.estimate.p_value, 1.0))
    assert math.isnan(found.joint_low) == math.isnan(found.joint_high) == (not there)
    if there:
        wide = ask(frame, outcomes=[outcome, second], confidence_level=0.975, **call).effects[0].estimate
        assert (found.joint_low, found.joint_high) == pytest.approx((wide.ci_low, wide.ci_high), rel=1e-9)


# -- what needs rows -------------------------------------------------------------------------------------------------


def test_quantiles_ranks_and_resampling_stand_beside_means(three: pd.DataFrame) -> None:
    three["revenue"] = three["revenue"].mask(three.index % 19 == 0)
    found = ask(
        three,
        outcomes=["won", Quantile("revenue", 0.5), Rank("hours")],
        pool={"any": ["auto", "semi"]},
        unit="customer",
    )
    names = list(dict.fromkeys(found.to_frame()["outcome"]))
    assert names == ["won", Quantile("revenue", 0.5).name, Rank("hours").name]
    median = found[names[1], "any"]
    arms = three.dropna(subset=["revenue"])
    by_arm = arms.groupby(arms["arm"] == "manual")["revenue"].median()
    assert median.estimate.value == pytest.approx(by_arm[False] - by_arm[True], rel=1e-9)
    assert median.n_treatment == int((arms["arm"] != "manual").sum())
    assert found["won", "auto"].to_dict() == ask(three, outcomes="won", unit="customer")["won", "auto"].to_dict()
    assert max(map(len, str(found).splitlines())) <= 80


def test_resampled_means_agree_with_the_formula_and_repeat_themselves(frame: pd.DataFrame) -> None:
    formula = ask(frame, outcomes=Mean("revenue", cap="p90")).effects[0]
    for inference in ("bootstrap", "permutation"):
        call = {"outcomes": Mean("revenue", cap="p90"), "inference": inference, "reps": 999, "seed": 4}
        found = ask(frame, **call).effects[0]
        assert found.estimate.outcome == "revenue, at most p90"
        assert found.estimate.value == pytest.approx(formula.estimate.value, rel=1e-10)
        assert found.estimate.p_value == pytest.approx(formula.estimate.p_value, abs=0.06)
        assert ask(frame, **call).to_dict() == ask(frame, **call).to_dict()


def test_units_in_several_arms_are_left_out_of_rows_too(frame: pd.DataFrame) -> None:
    again = frame.head(2).assign(arm=frame["arm"].head(2).map({"auto": "manual", "manual": "auto"}), revenue=1e6)
    both = pd.concat([frame, again])
    found = ask(both, outcomes=Quantile("revenue", 0.5), unit="customer").effects[0].estimate
    assert found.dropped[0] == ("in several arms", 4)
    clean = ask(frame.iloc[2:], outcomes=Quantile("revenue", 0.5)).effects[0].estimate
    assert found.value == pytest.approx(clean.value, rel=1e-12)


def test_moments_cannot_answer_what_needs_rows(frame: pd.DataFrame) -> None:
    moments = gather(frame, ["revenue"], by=["arm"])
    for call in ({"outcomes": Quantile("revenue", 0.5)}, {"inference": "permutation"}):
        with pytest.raises(DataError, match="needs rows, and moments hold none"):
            ask(moments, **call)


def test_c16_four_clusters_block_the_formula_and_point_to_permutation(frame: pd.DataFrame) -> None:  # C16
    frame["group"] = np.arange(240) % 8
    frame["z"] = np.where(frame["group"] % 2 == 1, "auto", "manual")
    call = {"arm": "z", "cluster": "group"}
    found = ask(frame, **call)
    check = next(d for d in found["revenue"].estimate.diagnostics if d.name == "clusters per arm")
    assert check.blocks
    assert 'inference="permutation"' in str(found)
    exact = ask(frame, **call, inference="permutation")["revenue"].estimate
    assert exact.p_value * 70 == pytest.approx(round(exact.p_value * 70), abs=1e-6)  # 8 choose 4 assignments
    assert not any(d.blocks and not d.passed for d in exact.diagnostics)


def test_the_wild_bootstrap_stands_beside_the_jackknife(frame: pd.DataFrame) -> None:
    call = {"arm": "arm_of_cluster", "cluster": "team", "outcomes": ["revenue", Ratio("orders", "visits", cap=3)]}
    jackknife, wild = ask(frame, **call), ask(frame, **call, inference="wild", reps=999, seed=1)
    for mine, theirs in zip(wild.effects, jackknife.effects, strict=True):
        assert mine.estimate.outcome == theirs.estimate.outcome
        assert mine.estimate.value == pytest.approx(theirs.estimate.value, rel=1e-9)
        assert mine.estimate.p_value == pytest.approx(theirs.estimate.p_value, abs=0.1)
        assert "wild" in mine.estimate.method


def test_c15_one_cluster_in_an_arm_has_no_variance(frame: pd.DataFrame) -> None:  # C15
    frame["arm"] = np.where(frame["team"] == "team 3", "auto", "manual")
    with pytest.raises(EstimationError, match="variance cannot be estimated"):
        ask(frame, cluster="team")


# -- how it shows itself ---------------------------------------------------------------------------------------------


def test_the_first_line_is_a_sentence(three: pd.DataFrame) -> None:
    one = ask(three[three["arm"] != "semi"])
    assert str(one).splitlines()[0].startswith("auto -> revenue: ")
    three["revenue"] += 3 * (three["arm"] == "auto")
    three["hours"] -= 5 * (three["arm"] == "auto")
    many = ask(three, outcomes=["revenue", "hours", "won", "fixed"])
    assert str(many).splitlines()[0].startswith("8 effects against manual: ")
    assert "2 could not be estimated (each test on its own)." in many.sentence
    assert "Holm's correction" in ask(three, outcomes=["revenue", "hours"], correction="holm").sentence
    assert "<p>8 effects" in many._repr_html_()


def test_long_names_are_cut_until_the_table_fits(three: pd.DataFrame) -> None:
    long = "how satisfied customers are with the quote that they were given"
    three[long] = three["revenue"] * 1e6
    three["a segment of customers"] = three["region"] + " of the country that they live in"
    three["arm"] = three["arm"].replace(
        {"auto": "automatic with a very long explanation", "semi": "semi-automatic or so"}
    )
    found = ask(three, outcomes=[long, "won"], by="a segment of customers", correction="holm", margin=1.0)
    table = str(found).split("\n\n")[1]
    assert max(map(len, str(found).splitlines())) <= 80
    assert "…" in table
    assert long in found.to_frame()["outcome"].tolist()


def test_rows_say_which_arm_and_outcome_failed(frame: pd.DataFrame) -> None:
    lost = frame.assign(revenue=frame["revenue"].mask(frame["arm"] == "auto"))
    with pytest.raises(EstimationError, match="arm 'auto', outcome 'revenue"):
        ask(lost, outcomes=Quantile("revenue", 0.5))


def test_a_picture_has_a_row_an_effect(three: pd.DataFrame) -> None:
    found = ask(three, outcomes=["revenue", "hours"], by="region")
    figure = found.plot()
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sum("[" in text for text in texts) == 4 + 12
    assert any("percent of the mean of manual" in text for text in texts)
    alone = ask(three, outcomes="revenue").plot(scale="absolute", title="Revenue")
    assert "Revenue" in [text.get_text() for text in alone.axes[0].texts]
    with pytest.raises(DesignError, match="scale 'share' is not known"):
        found.plot(scale="share")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["string", object, "category"])
def test_texts_of_a_large_frame_are_grouped_by_number_and_come_back(
    frame: pd.DataFrame, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame["region"] = frame["region"].where(frame.index % 7 != 0)
    frame["arm"] = frame["arm"].where(frame.index % 31 != 0)
    call = {"strata": "region", "cluster": None, "by": "region", "unit": "customer"}
    expected = ask(frame, **call)
    monkeypatch.setattr(trial_moments, "SMALL", 10)
    found = ask(frame.astype({"arm": dtype, "region": dtype}), **call)
    pd.testing.assert_frame_equal(found.to_frame(), expected.to_frame(), rtol=1e-10)
    assert found["revenue"].estimate.dropped == expected["revenue"].estimate.dropped
    with pytest.raises(DataError, match="column 'regio' is missing"):
        ask(frame.astype({"arm": dtype}), strata="regio")
    twice = pd.concat([frame.astype({"arm": dtype}), frame[["won"]]], axis=1)
    with pytest.raises(DataError, match="'won' occurs twice"):
        ask(twice, outcomes="won")
    assert ask(twice)["revenue"].estimate.value == pytest.approx(ask(frame)["revenue"].estimate.value)
