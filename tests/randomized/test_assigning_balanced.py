"""Re-randomisation within limits, and the balance table."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.randomized.assigning.balance import balance_table
from cpi_experiments.randomized.assigning.rerandomized import assign_balanced
from cpi_experiments.randomized.assigning.stratified import assign_stratified
from cpi_experiments.randomized.experiment import Experiment
from cpi_experiments.stats.balance import joint_distance, whiten

BALANCED = {"unit": "id", "covariates": ["age", "plan"]}


def plan(**changes):
    values = {
        "id": "demo", "lever": "l", "control": "c", "allocation": {"c": 1, "t": 1}, "hypotheses": (),
        "randomize": "id", "start": "2026-01-01", "end": "2026-03-31",
    }  # fmt: skip
    return Experiment(**{**values, **changes})


@pytest.fixture
def table():
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "id": [f"u{j}" for j in range(200)],
            "age": rng.lognormal(3, 0.5, 200),
            "plan": rng.choice(["free", "gold", "team"], 200),
            "region": rng.choice(["n", "s"], 200),
        }
    )


def arms_of(found, table):
    return table.assign(arm=[found.arms[unit] for unit in table["id"]])


# -- re-randomisation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allocation", [{"c": 1, "t": 1}, {"t": 1, "c": 3}, {"a": 1, "c": 1, "b": 2}])
def test_the_accepted_draw_keeps_the_limit(table, allocation):
    experiment = plan(allocation=allocation)
    found = assign_balanced(experiment, table, **BALANCED, acceptance=0.1)
    df = 3 * (len(allocation) - 1)
    assert found.details["df"] == df
    assert found.details["limit"] == pytest.approx(stats.chi2.ppf(0.1, df), rel=1e-10)
    after = balance_table(arms_of(found, table), arm="arm", control="c", covariates=["age", "plan"])
    assert after.statistic == pytest.approx(found.details["distance"], rel=1e-9)
    assert after.statistic <= found.details["limit"]
    assert after.df == df
    for arm, weight in allocation.items():
        assert abs(found.counts()[arm] - 200 * weight / sum(allocation.values())) <= 2


def test_the_accepted_salt_is_the_first_good_draw(table):
    found = assign_balanced(plan(), table, **BALANCED, acceptance=0.05)
    tries = found.details["tries"]
    assert tries > 1
    assert found.salt == f"demo#{tries - 1}"
    white = whiten(
        np.column_stack([table["age"], *(table["plan"] == p for p in ("free", "gold", "team"))]).astype(float)
    )
    for k in range(tries):
        drawn = assign_stratified(plan(), table.assign(all="x"), unit="id", strata="all", salt=f"demo#{k}")
        arm = np.array([drawn.arms[u] == "t" for u in table["id"]]).astype(int)
        assert (joint_distance(white, arm, 2) <= found.details["limit"]) == (k == tries - 1)


def test_the_largest_difference_can_be_the_limit(table):
    found = assign_balanced(plan(), table, **BALANCED, largest_difference=0.05)
    after = balance_table(arms_of(found, table), arm="arm", control="c", covariates=["age", "plan"])
    largest = max(abs(row.difference) for row in after.rows)
    assert largest == pytest.approx(found.details["largest_difference"], rel=1e-9)
    assert largest <= 0.05
    assert not after.large


def test_order_of_rows_never_matters(table):
    one = assign_balanced(plan(), table, **BALANCED)
    assert dict(one.arms) == dict(assign_balanced(plan(), table[::-1], **BALANCED).arms)


def test_draws_can_be_stratified(table):
    found = assign_balanced(plan(), table, **BALANCED, strata="region")
    counts = pd.crosstab(table["region"], arms_of(found, table)["arm"])
    assert (counts["c"] - counts["t"]).abs().max() <= 1
    assert set(found.strata.values()) == {"n", "s"}


def test_the_result_says_how_to_analyse_it(table):
    found = assign_balanced(plan(), table, **BALANCED)
    text = str(found)
    assert "analyse with the covariates age, plan" in text.replace("\n ", "")
    assert max(map(len, text.split("\n"))) <= 80
    assert {"tries", "limit", "limit_of", "distance", "df", "covariates"} < set(found.details)


def test_missing_covariates_are_balanced_too(table):
    table.loc[:59, "age"] = np.nan
    found = assign_balanced(plan(), table, **BALANCED, largest_difference=0.08)
    after = balance_table(arms_of(found, table), arm="arm", control="c", covariates=["age", "plan"])
    row = next(row for row in after.rows if row.covariate == "age missing")
    assert abs(row.difference) <= 0.08
    assert after.missing == (("age", 60),)


def test_c23_a_constant_covariate_changes_nothing(table):
    plain = assign_balanced(plan(), table, **BALANCED)
    with_constant = assign_balanced(plan(), table.assign(k=3.0), unit="id", covariates=["age", "plan", "k"])
    assert dict(plain.arms) == dict(with_constant.arms)
    with pytest.raises(DesignError, match="no covariate varies among 200 units: k"):
        assign_balanced(plan(), table.assign(k=3.0), unit="id", covariates=["k"])


def test_a_limit_that_no_draw_keeps_names_the_best(table):
    message = r"none of 3 draws keeps the largest difference within 1e-09; the best has 0\.\d+"
    with pytest.raises(DesignError, match=message):
        assign_balanced(plan(), table, **BALANCED, largest_difference=1e-9, max_tries=3)
    with pytest.raises(DesignError, match="none of 2 draws keeps the distance within"):
        assign_balanced(plan(), table, **BALANCED, acceptance=1e-9, max_tries=2)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"acceptance": 0}, "acceptance is 0"),
        ({"acceptance": 1.0}, "acceptance is 1"),
        ({"largest_difference": 0}, "largest_difference is 0"),
        ({"largest_difference": math.nan}, "largest_difference is nan"),
        ({"acceptance": 0.1, "largest_difference": 0.1}, "two limits are given"),
        ({"max_tries": 0}, "max_tries is 0"),
    ],
)
def test_limits_out_of_range_are_refused(table, limits, message):
    with pytest.raises(DesignError, match=message):
        assign_balanced(plan(), table, **BALANCED, **limits)


def test_a_unit_has_one_row(table):
    with pytest.raises(DataError, match="201 rows hold 200 units"):
        assign_balanced(plan(), pd.concat([table, table[:1]]), **BALANCED)


# -- balance table ---------------------------------------------------------------------------------------------------


def test_the_table_is_welch_and_austin(table):
    table["arm"] = np.where(np.arange(200) % 3 == 0, "t", "c")
    found = balance_table(table, arm="arm", control="c", covariates=["age", "plan"])
    assert [row.covariate for row in found.rows] == ["age", "plan = free", "plan = gold", "plan = team"]
    t, c = (table.loc[table["arm"] == a, "age"] for a in "tc")
    age = found.rows[0]
    assert (age.n_treatment, age.n_control) == (len(t), len(c))
    assert age.difference == pytest.approx((t.mean() - c.mean()) / math.sqrt((t.var() + c.var()) / 2), rel=1e-10)
    assert age.variance_ratio == pytest.approx(t.var() / c.var(), rel=1e-10)
    assert age.p_value == pytest.approx(stats.ttest_ind(t, c, equal_var=False).pvalue, rel=1e-9)
    gold = found.rows[2]
    assert gold.mean_control == pytest.approx((table.loc[table["arm"] == "c", "plan"] == "gold").mean())


def test_the_joint_test_is_chi_squared_of_the_regression(table):
    """(n - 1) R^2 of the arm on the covariates, by least squares: Hansen and Bowers (2008)."""
    table["arm"] = np.where(np.arange(200) % 3 == 0, "t", "c")
    found = balance_table(table, arm="arm", control="c", covariates=["age", "plan"])
    x = np.column_stack([np.ones(200), table["age"], table["plan"] == "gold", table["plan"] == "team"]).astype(float)
    y = (table["arm"] == "t").to_numpy(dtype=float)
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    statistic = 199 * (1 - residual @ residual / np.sum((y - y.mean()) ** 2))
    assert (found.statistic, found.df) == pytest.approx((statistic, 3), rel=1e-9)
    assert found.p_value == pytest.approx(stats.chi2.sf(statistic, 3), rel=1e-9)


def test_many_arms_and_missing_rows_are_told(table):
    table["arm"] = np.array(["c", "a", "b", "a"], dtype=object)[np.arange(200) % 4]
    table.loc[:3, "arm"] = None
    table.loc[10:29, "plan"] = None
    found = balance_table(table, arm="arm", control="c", covariates=["age", "plan"])
    assert found.n == 196
    assert found.dropped == (("without arm", 4),)
    assert found.missing == (("plan", 20),)
    assert found.df == 2 * 4
    assert {row.arm for row in found.rows} == {"a", "b"}
    text = str(found)
    assert "plan: 20 missing" in text
    assert "4 rows without arm" in text
    assert max(map(len, text.split("\n"))) <= 80
    assert list(found.to_frame().columns)[:2] == ["covariate", "arm"]


def test_clusters_are_compared_by_their_means():
    rng = np.random.default_rng(9)
    rows = pd.DataFrame({"team": np.repeat(np.arange(20), rng.integers(1, 9, 20))})
    rows["arm"] = np.where(rows["team"] % 2, "t", "c")
    rows["age"] = rng.normal(size=len(rows))
    rows.loc[rows["team"] == 3, "age"] = np.nan
    rows["team"] = rows["team"].astype(float)
    rows.loc[rows["team"] == 5, "team"] = np.nan
    found = balance_table(rows, arm="arm", control="c", covariates=["age"], cluster="team")
    assert (found.n, found.counted) == (19, "clusters")
    means = rows.groupby("team").agg(arm=("arm", "first"), age=("age", "mean"))
    t, c = (means.loc[means["arm"] == a, "age"].dropna() for a in "tc")
    assert found.rows[0].difference == pytest.approx(
        (t.mean() - c.mean()) / math.sqrt((t.var() + c.var()) / 2), rel=1e-9
    )
    assert found.dropped[0][0] == "without cluster"
    rows["arm"] = np.where(np.arange(len(rows)) % 2, "t", "c")
    with pytest.raises(DataError, match="clusters lie in two arms"):
        balance_table(rows, arm="arm", control="c", covariates=["age"], cluster="team")


def test_the_diagnostic_warns_and_blocks(table):
    rng = np.random.default_rng(2)
    table["arm"] = rng.permutation(np.repeat(["c", "t"], 100))
    good = balance_table(table, arm="arm", control="c", covariates=["age", "plan"]).as_diagnostic()
    assert good.passed
    assert not good.blocks
    assert good.advice == ""
    table["arm"] = np.where(table["age"] > table["age"].median(), "t", "c")
    found = balance_table(table, arm="arm", control="c", covariates=["age", "plan"])
    bad = found.as_diagnostic()
    assert not bad.passed
    assert bad.blocks
    assert "most in 'age' of arm 't'" in bad.advice
    assert found.large[0].covariate == "age"
    assert " !" in str(found)


def test_no_test_without_enough_units_or_variation():
    few = pd.DataFrame({"arm": list("ccctt"), "a": [1.0, 2, 3, 5, 8], "b": [1.0, 0, 1, 1, 0], "c": [3.0, 1, 4, 1, 5]})
    found = balance_table(few, arm="arm", control="c", covariates=["a", "b", "c"])
    assert math.isnan(found.p_value)
    assert found.as_diagnostic().passed
    assert "too few units for a joint test" in str(found)
    still = balance_table(few.assign(k=1.0), arm="arm", control="c", covariates=["k"])
    assert (still.p_value, still.df) == (1.0, 0)
    assert math.isnan(still.rows[0].p_value)
    assert still.rows[0].difference == 0


@pytest.mark.parametrize(
    ("change", "covariates", "message"),
    [
        ({}, [], "no covariate is named"),
        ({"x": [f"v{j}" for j in range(200)]}, ["x"], "covariate 'x' has 200 levels"),
        ({"x": pd.Timestamp("2026-01-01")}, ["x"], "column 'x' is a time"),
        ({"x": np.inf}, ["x"], "infinite"),
        ({"arm": ["t"] + ["c"] * 199}, ["age"], "arm 't' has 1 units"),
        ({"arm": "c"}, ["age"], "needs at least two arms"),
    ],
)
def test_c02_tables_that_cannot_be_are_refused(table, change, covariates, message):
    data = table.assign(**{"arm": ["c", "t"] * 100, **change})
    with pytest.raises(DataError, match=message):
        balance_table(data, arm="arm", control="c", covariates=covariates)
