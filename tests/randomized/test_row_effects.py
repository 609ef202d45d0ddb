"""The door to quantiles, ranks and resampling: what it reads, what it refuses, and that it equals `compare`."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_experiments.display import WIDTH
from cpi_experiments.errors import DataError, DesignError, EstimationError
from cpi_experiments.estimate import Estimand, Status
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.outcomes import Mean, Ratio
from cpi_experiments.randomized.effects.row_effects import row_effect
from cpi_experiments.randomized.effects.row_outcomes import Quantile, Rank
from cpi_experiments.randomized.rows import Rows, read_rows

NUMBERS = ["won", "hours", "visits", "before", "flat"]


def frame(seed: int = 0, n: int = 240, arms: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    arm = np.resize(list("abc")[:arms], n)
    before = rng.normal(size=n)
    return pd.DataFrame({
        "arm": arm,
        "team": np.arange(n) // (6 * arms) * arms + np.resize(np.arange(arms), n),
        "region": np.resize(np.repeat(["n", "s"], arms), n),
        "before": before,
        "hours": np.exp(0.3 * before + 0.4 * rng.normal(size=n) + 0.1 * (arm == "b")),
        "won": rng.binomial(1, 0.4, n),
        "visits": rng.poisson(3, n) + 1.0,
        "flat": 2.0,
    })  # fmt: skip


def rows(data: pd.DataFrame, **roles: str) -> Rows:
    return read_rows(data, numbers=NUMBERS, arm="arm", control="a", **roles)


@pytest.mark.parametrize("inference", ["bootstrap", "permutation"])
@pytest.mark.parametrize(
    ("outcome", "covariates", "roles"),
    [
        (Mean("hours"), (), {}),
        (Mean("hours"), ("before",), {}),
        (Mean("hours"), ("before", "flat"), {"strata": "region"}),
        (Mean("hours"), ("before",), {"cluster": "team"}),
        (Mean("hours", cap=2.0), (), {}),
        (Mean("hours", cap="p90"), (), {}),
        (Ratio("won", "visits"), (), {}),
        (Ratio("won", "visits"), ("before",), {"strata": "region"}),
        (Ratio("won", "visits"), (), {"cluster": "team"}),
        (Ratio("hours", "visits", cap=3.0), (), {}),
    ],
)
def test_point_estimate_is_that_of_compare_and_the_interval_close_to_it(inference, outcome, covariates, roles):
    data = frame(1)
    expected = compare(
        data, arm="arm", control="a", outcomes=[outcome], covariates=list(covariates) or None, **roles
    ).effects[0]
    found = row_effect(rows(data, **roles), 1, outcome, covariates=covariates, inference=inference, reps=999)
    assert found.estimate.value == pytest.approx(expected.estimate.value, rel=1e-9)
    assert (found.control_value, found.treatment_value) == pytest.approx(
        (expected.control_mean, expected.treatment_mean), rel=1e-9
    )
    assert found.rel_effect == pytest.approx(expected.rel_effect, rel=1e-9)
    assert found.estimate.outcome == expected.estimate.outcome
    assert found.estimate.std_error == pytest.approx(expected.estimate.std_error, rel=0.05)  # CR1 against CR3
    for end in ("ci_low", "ci_high"):
        assert getattr(found.estimate, end) == pytest.approx(
            getattr(expected.estimate, end), abs=0.35 * expected.estimate.std_error
        )
    assert (found.n_control, found.n_treatment) == (expected.n_control, expected.n_treatment)
    assert found.estimate.n_clusters == expected.estimate.n_clusters


def test_bootstrap_of_a_relative_effect_is_close_to_the_delta_method():
    data = frame(2, n=600)
    expected = compare(data, arm="arm", control="a", outcomes="hours")["hours"]
    found = row_effect(rows(data), 1, Mean("hours"), inference="bootstrap")
    assert found.rel_ci_low == pytest.approx(expected.rel_ci_low, abs=0.03)
    assert found.rel_ci_high == pytest.approx(expected.rel_ci_high, abs=0.05)


@pytest.mark.parametrize(("inference", "covariates"), [("permutation", ()), ("bootstrap", ("before",)), ("wild", ())])
def test_relative_interval_is_absent_where_the_method_has_none(inference, covariates):
    found = row_effect(
        rows(frame(3), cluster="team"), 1, Mean("hours"), inference=inference, covariates=covariates, reps=199
    )
    assert math.isnan(found.rel_ci_low)
    assert math.isnan(found.rel_ci_high)
    assert found.rel_effect == pytest.approx(found.estimate.value / found.control_value)


def test_wild_bootstrap_is_close_to_the_jackknife():
    data = frame(4, n=480)
    expected = compare(data, arm="arm", control="a", outcomes="hours", cluster="team")["hours"].estimate
    found = row_effect(rows(data, cluster="team"), 1, Mean("hours"), inference="wild").estimate
    assert found.std_error == pytest.approx(expected.std_error, rel=1e-9)
    assert found.p_value == pytest.approx(expected.p_value, abs=0.03)
    assert found.ci_low == pytest.approx(expected.ci_low, abs=0.25 * expected.std_error)


def test_method_says_how_many_resamples_and_how_exact_p_is():
    trial = rows(frame(5), cluster="team")
    method = [
        row_effect(trial, 1, outcome, inference=inference, reps=199).estimate.method
        for outcome, inference in ((Mean("hours"), "wild"), (Quantile("hours"), "bootstrap"))
    ]
    assert ", 199 sign patterns, p to within 0.0" in method[0]
    assert "percentile bootstrap, 199 resamples, p to within" in method[1]
    exact = row_effect(few_clusters(4), 1, Mean("won"), inference="permutation").estimate.method
    assert exact.endswith("all 70 assignments")


def test_same_seed_same_digest():
    found = [
        row_effect(rows(frame(5)), 1, Mean("hours"), inference="bootstrap", seed=seed, reps=199).estimate.digest
        for seed in (3, 3, 4)
    ]
    assert found[0] == found[1] != found[2]


def test_each_arm_is_compared_with_the_control_alone():
    data = frame(6, n=360, arms=3)
    both = rows(data)
    alone = rows(data[data["arm"] != "b"])
    two, one = row_effect(both, 2, Quantile("hours")), row_effect(alone, 1, Quantile("hours"))
    assert two == one
    assert two.estimate.cause == "c"
    assert two.estimate.estimand is Estimand.ITT


def test_missing_values_are_left_out_and_counted():
    data = frame(7)
    data.loc[[0, 1, 2], "hours"] = np.nan
    data.loc[[5], "before"] = np.nan
    found = row_effect(rows(data), 1, Mean("hours"), covariates=["before"], inference="permutation", reps=99)
    assert found.estimate.dropped == (("without hours", 3), ("without before", 1))
    assert found.estimate.n_obs == 236


# -- quantiles and ranks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inference", ["formula", "bootstrap"])
@pytest.mark.parametrize("roles", [{}, {"cluster": "team"}, {"strata": "region"}])
def test_quantile_by_formula_and_by_bootstrap_agree(inference, roles):
    data = frame(8, n=1200)
    found = row_effect(rows(data, **roles), 1, Quantile("hours", 0.5), inference=inference)
    medians = data.groupby("arm")["hours"].median()
    assert found.estimate.value == pytest.approx(medians["b"] - medians["a"], abs=0.01)
    assert found.estimate.ci_high - found.estimate.ci_low == pytest.approx(4 * found.estimate.std_error, rel=0.15)
    assert found.rel_ci_low < found.rel_effect < found.rel_ci_high
    assert (found.rel_ci_low > 0) == (found.estimate.ci_low > 0)


def test_relative_interval_of_a_quantile_needs_values_above_zero():
    data = frame(9)
    data["hours"] -= 100
    found = row_effect(rows(data), 1, Quantile("hours"))
    assert math.isnan(found.rel_effect)
    assert math.isnan(found.rel_ci_low)
    assert math.isfinite(found.estimate.ci_low)


def test_rank_is_the_mann_whitney_probability_less_one_half():
    data = frame(10)
    found = row_effect(rows(data), 1, Rank("hours"))
    a, b = (data.loc[data["arm"] == label, "hours"] for label in "ab")
    chance = stats.mannwhitneyu(b, a).statistic / (len(a) * len(b))
    assert found.treatment_value == pytest.approx(chance)
    assert found.estimate.value == pytest.approx(chance - 0.5)
    assert found.control_value == pytest.approx(1 - chance)
    assert math.isnan(found.rel_effect)
    assert found.estimate.p_value == pytest.approx(stats.brunnermunzel(a, b).pvalue, abs=0.01)


@pytest.mark.parametrize("alternative", ["greater", "less"])
@pytest.mark.parametrize("outcome", [Quantile("hours"), Rank("hours"), Mean("hours")])
def test_alternatives_have_one_end(alternative, outcome):
    inference = "bootstrap" if isinstance(outcome, Mean) else "formula"
    found = row_effect(rows(frame(11)), 1, outcome, inference=inference, alternative=alternative, reps=199).estimate
    bound = 0.5 if isinstance(outcome, Rank) else math.inf
    assert (found.ci_high if alternative == "greater" else -found.ci_low) == bound


def test_coarse_quantiles_are_said():
    data = frame(12)
    found = row_effect(rows(data), 1, Quantile("visits", 0.5)).estimate
    advice = [d.advice for d in found.diagnostics if d.name == "ties"]
    assert len(advice) == (1 if found.status is Status.OK else 0)
    data["visits"] = np.round(frame(12)["hours"] * 3)
    found = row_effect(rows(data), 1, Quantile("visits", 0.7)).estimate
    assert "different values lie around the quantile" in next(d.advice for d in found.diagnostics if d.name == "ties")


@pytest.mark.parametrize(
    ("outcome", "inference"),
    [
        (Quantile("flat"), "formula"),
        (Quantile("flat"), "bootstrap"),
        (Rank("flat"), "formula"),
        (Mean("flat"), "permutation"),
        (Mean("flat"), "bootstrap"),
    ],
)
@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_c10_c11_no_variance_means_failed_and_no_p_value(outcome, inference, apart):
    data = frame(13)
    data["flat"] += apart * (data["arm"] == "b")
    found = row_effect(rows(data), 1, outcome, inference=inference, reps=99).estimate
    assert found.status is Status.FAILED
    assert all(math.isnan(each) for each in (found.p_value, found.ci_low, found.ci_high, found.std_error))
    assert found.confidence_set == ()
    assert any(d.blocks for d in found.diagnostics)


# -- few clusters ----------------------------------------------------------------------------------------------------


def few_clusters(per_arm: int) -> Rows:
    rng = np.random.default_rng(14)
    team = np.arange(2 * per_arm * 5) // 5
    data = pd.DataFrame({"arm": np.where(team < per_arm, "a", "b"), "team": team, "won": rng.normal(size=len(team))})
    return read_rows(data, numbers=["won"], arm="arm", control="a", cluster="team")


def test_c16_four_clusters_get_randomisation_inference_and_its_smallest_p_is_said():
    found = row_effect(few_clusters(2), 1, Mean("won"), inference="permutation").estimate
    note = next(d for d in found.diagnostics if d.name == "resampling")
    assert "all 6 assignments" in note.advice
    assert "smallest possible p-value is 0.33" in note.advice
    assert not note.passed
    assert found.p_value >= 1 / 3
    assert (found.ci_low, found.ci_high) == (-math.inf, math.inf)
    assert not any(d.blocks for d in found.diagnostics)


@pytest.mark.parametrize("inference", ["bootstrap", "wild"])
def test_c16_few_clusters_block_what_needs_many(inference):
    found = row_effect(few_clusters(4), 1, Mean("won"), inference=inference, reps=199).estimate
    assert any(d.blocks and d.name == "clusters per arm" for d in found.diagnostics)
    assert any(d.blocks and d.name == "few clusters" for d in found.diagnostics) == (inference == "wild")
    enough = row_effect(few_clusters(10), 1, Mean("won"), inference=inference, reps=199).estimate
    assert not any(d.blocks for d in enough.diagnostics)


@pytest.mark.parametrize(
    ("per_arm", "covariates", "blocked"), [(8, 0, False), (8, 1, True), (10, 3, True), (11, 3, False)]
)
def test_every_covariate_needs_one_more_cluster_for_the_wild_bootstrap(per_arm, covariates, blocked):
    rng = np.random.default_rng(5)
    team = np.arange(2 * per_arm * 5) // 5
    names = [f"x{j}" for j in range(covariates)]
    data = pd.DataFrame({"arm": np.where(team < per_arm, "a", "b"), "team": team, "won": rng.normal(size=len(team))})
    data[names] = rng.normal(size=(2 * per_arm, covariates))[team]
    data["flat"] = 1.0  # constant: takes nothing out
    few = read_rows(data, numbers=["won", "flat", *names], arm="arm", control="a", cluster="team")
    found = row_effect(few, 1, Mean("won"), covariates=[*names, "flat"], inference="wild", reps=199).estimate
    said = [d for d in found.diagnostics if d.name == "few clusters"]
    assert bool(said) == blocked
    assert not blocked or (said[0].blocks and f"at least {8 + covariates} clusters" in said[0].null)


def test_c15_one_cluster_in_an_arm_is_refused():
    with pytest.raises(EstimationError, match="1 cluster"):
        row_effect(few_clusters(1), 1, Mean("won"), inference="permutation")


def test_crossed_clusters_are_refused_where_clusters_are_drawn():
    data = frame(15)
    data["team"] = np.arange(len(data)) // 4
    with pytest.raises(EstimationError, match="lie in both arms"):
        row_effect(rows(data, cluster="team"), 1, Mean("hours"), inference="permutation")
    found = row_effect(rows(data, cluster="team"), 1, Quantile("hours")).estimate
    assert any(d.name == "clusters in one arm" and not d.passed for d in found.diagnostics)


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "options", "message"),
    [
        (Mean("hours"), {}, "needs no rows"),
        (Mean("hours"), {"inference": "wild"}, "needs clusters"),
        (Mean("hours"), {"inference": "guess"}, "inference 'guess' is not known"),
        (Mean("hours"), {"inference": "bootstrap", "confidence_level": 1.2}, "confidence level"),
        (Mean("hours"), {"inference": "bootstrap", "alternative": "up"}, "alternative 'up'"),
        (Quantile("hours"), {"inference": "permutation"}, "no inference by permutation"),
        (Rank("hours"), {"inference": "bootstrap"}, "no inference by bootstrap"),
        (Rank("hours"), {"covariates": ["before"]}, "not adjusted by covariates"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(outcome, options, message):
    with pytest.raises(DesignError, match=message):
        row_effect(rows(frame(16)), 1, outcome, **options)


def test_arms_and_columns_that_are_not_there_are_named():
    with pytest.raises(DesignError, match="no arm with code 2"):
        row_effect(rows(frame(17)), 2, Rank("hours"))
    with pytest.raises(DataError, match="column 'profit' was not read"):
        row_effect(rows(frame(17)), 1, Rank("profit"))


@pytest.mark.parametrize("at", [0.0, 1.0, -0.1, math.nan])
def test_a_quantile_lies_between_zero_and_one(at):
    with pytest.raises(DesignError, match="does not exist"):
        Quantile("hours", at)


def test_infinite_values_are_refused_rather_than_resampled():
    read = rows(frame(18))
    values = dict(read.values)
    values["hours"] = np.where(np.arange(len(read.arm)) == 3, np.inf, values["hours"])
    with pytest.raises(DataError, match="not finite"):
        row_effect(dataclasses.replace(read, values=values), 1, Mean("hours"), inference="bootstrap")


@pytest.mark.parametrize("outcome", [Quantile("hours", 0.9), Rank("hours"), Mean("hours")])
def test_result_prints_in_eighty_columns_and_has_one_row(outcome):
    inference = "permutation" if isinstance(outcome, Mean) else "formula"
    found = row_effect(rows(frame(19)), 1, outcome, inference=inference, reps=199)
    assert all(len(line) <= WIDTH for line in str(found).splitlines())
    assert str(found).startswith("b changed") or outcome.name in str(found)
    assert len(found.to_frame()) == 1
    assert found.to_dict()["estimate"]["method"] == found.estimate.method
