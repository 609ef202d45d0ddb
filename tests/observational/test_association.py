"""The door for plain tables: numbers of real data, rows that are lost, and what is refused."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import CpiError, DataError
from cpi_experiments.estimate import Estimand, Status
from cpi_experiments.observational.association import association
from cpi_experiments.stats.fixed_effects import within
from cpi_experiments.stats.generalized import generalized

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def real(name: str) -> pd.DataFrame:
    path = REAL / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    return pd.read_csv(path)


def months(seed=1, *, units=60, periods=12, share=0.8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    unit, time = (codes.ravel() for codes in np.indices((units, periods)))
    effect = rng.normal(size=units)[unit] + rng.normal(size=periods)[time]
    hours = 20 + effect + rng.normal(size=len(unit))
    won = 50 - 0.5 * hours + 3 * effect + rng.normal(size=len(unit))
    frame = pd.DataFrame(
        {
            "broker": [f"b{i:03}" for i in unit],
            "month": [f"2026-{t + 1:02}" for t in time],
            "hours": hours,
            "won": won,
            "prior": rng.normal(size=len(unit)),
            "region": rng.choice(["north", "south", "west"], size=len(unit), p=[0.5, 0.3, 0.2]),
            "size": 1.0 + unit % 7,
        }
    )
    return frame[rng.random(len(frame)) < share].reset_index(drop=True)


FRAME = months()


def check(estimate, name):
    return next(item for item in estimate.diagnostics if item.name == name)


def test_an_association_says_what_it_is():
    estimate = association(FRAME, cpi="hours", kpi="won", unit="broker", time="month", controls=["prior"])
    expected = within(
        FRAME["won"].to_numpy(),
        FRAME[["hours", "prior"]].to_numpy(),
        effects=[FRAME["broker"].to_numpy(), FRAME["month"].to_numpy()],
        cluster=FRAME["broker"].to_numpy(),
    )
    assert (estimate.cause, estimate.outcome, estimate.estimand) == ("hours", "won", Estimand.ASSOCIATION)
    assert (estimate.unit, estimate.status, estimate.n_clusters, estimate.df) == ("won per 1 hours", Status.OK, 60, 59)
    assert estimate.value == pytest.approx(expected.coefficients[0], rel=1e-12)
    assert estimate.std_error == pytest.approx(expected.std_errors[0], rel=1e-12)
    assert abs(estimate.value + 0.5) < 4 * estimate.std_error
    assert "fixed effects of broker and month; errors clustered by broker (60 clusters, CR1" in estimate.method
    assert "not proof that hours causes won" in check(estimate, "past data").advice
    assert check(estimate, "clusters").passed
    assert 40 < check(estimate, "clusters").statistic < 60


def test_unit_effects_remove_what_pooled_data_confound():
    pooled = association(FRAME, cpi="hours", kpi="won")
    assert pooled.value > 0.3
    assert "robust errors (HC1)" in pooled.method
    assert (pooled.n_clusters, pooled.df) == (0, len(FRAME) - 2)


def test_time_alone_and_unit_alone_are_one_way():
    for role in ("unit", "time"):
        column = {"unit": "broker", "time": "month"}[role]
        estimate = association(FRAME, cpi="hours", kpi="won", **{role: column})
        assert f"fixed effects of {column};" in estimate.method


def test_text_controls_are_indicators_against_the_most_frequent_level():
    estimate = association(FRAME, cpi="hours", kpi="won", controls=["region"])
    coded = FRAME.assign(a=(FRAME["region"] == "south") * 1.0, b=(FRAME["region"] == "west") * 1.0)
    same = association(coded, cpi="hours", kpi="won", controls=["a", "b"])
    assert estimate.value == pytest.approx(same.value, rel=1e-12)
    assert estimate.std_error == pytest.approx(same.std_error, rel=1e-12)


def test_rows_are_lost_by_reason_and_a_large_loss_is_said():
    frame = FRAME.iloc[:200].copy()
    frame.loc[:149, "won"] = np.nan
    estimate = association(frame, cpi="hours", kpi="won")
    assert (estimate.n_obs, estimate.dropped) == (50, (("without won", 150),))
    assert not check(estimate, "rows used").passed
    assert check(estimate, "rows used").advice.startswith("50 of 200 rows used")


def test_weight_zero_leaves_a_row_out():
    frame = FRAME.assign(w=np.where(FRAME.index < 30, 0.0, 2.0))
    estimate = association(frame, cpi="hours", kpi="won", weights="w")
    assert estimate.dropped == (("w is 0", 30),)
    assert estimate.value == pytest.approx(association(FRAME.iloc[30:], cpi="hours", kpi="won").value, rel=1e-12)


def test_singletons_are_counted_among_the_rows_not_used():
    alone = FRAME.iloc[[0]].assign(broker="only once")
    estimate = association(pd.concat([FRAME, alone]), cpi="hours", kpi="won", unit="broker", time="month")
    assert estimate.dropped == (("the only row of its unit or period", 1),)
    assert (estimate.n_obs, estimate.n_clusters) == (len(FRAME), 60)


def test_few_or_dominating_clusters_are_said():
    few = association(FRAME[FRAME["broker"] < "b012"], cpi="hours", kpi="won", unit="broker", time="month")
    assert "12 clusters are few" in check(few, "clusters").advice
    assert "by leaving out one broker at a time (12 clusters, CR3" in few.method
    assert few.status is Status.OK


@pytest.mark.parametrize("family", ["gaussian", "logit"])
def test_a_slope_that_few_of_many_clusters_carry_is_weak(family):
    late = (FRAME["broker"] < "b003") & (FRAME["month"] > "2026-06")
    frame = FRAME.assign(hours=late * 1.0, won=FRAME.index % 2)
    estimate = association(frame, cpi="hours", kpi="won", cluster="broker", family=family)
    assert estimate.status is Status.WEAK
    assert "rests on about 3.0 of 60 clusters" in check(estimate, "clusters").advice


@pytest.mark.parametrize("family", ["logit", "poisson"])
def test_other_families_report_average_slopes_in_kpi_units(family):
    rng = np.random.default_rng(3)
    hours = rng.uniform(0, 10, 3000)
    mean = 1 / (1 + np.exp(hours / 3 - 1)) if family == "logit" else np.exp(2 - hours / 5)
    kpi = (rng.random(3000) < mean) * 1.0 if family == "logit" else rng.poisson(mean) * 1.0
    frame = pd.DataFrame({"hours": hours, "won": kpi, "broker": rng.integers(0, 100, 3000)})
    estimate = association(frame, cpi="hours", kpi="won", family=family, cluster="broker")
    slope = -mean * (1 - mean) / 3 if family == "logit" else -mean / 5
    assert abs(estimate.value - slope.mean()) < 4 * estimate.std_error
    assert estimate.method.startswith(f"{family}, average slope; errors clustered by broker (100 clusters")


def test_separation_is_a_failed_estimate_without_numbers():
    frame = pd.DataFrame({"hours": np.arange(40.0), "won": (np.arange(40) < 20) * 1.0})
    estimate = association(frame, cpi="hours", kpi="won", family="logit")
    assert estimate.status is Status.FAILED
    assert all(math.isnan(x) for x in (estimate.value, estimate.std_error, estimate.ci_low, estimate.p_value))
    assert check(estimate, "separation").blocks
    assert str(estimate).startswith("hours -> won: not available, ASSOCIATION.\n")


def test_a_file_gives_the_same_estimate_as_its_frame(tmp_path):
    FRAME.to_csv(tmp_path / "past.csv", index=False)
    given = {"cpi": "hours", "kpi": "won", "unit": "broker", "time": "month", "controls": ["region"]}
    there = association(tmp_path / "past.csv", **given)
    assert there.value == pytest.approx(association(FRAME, **given).value, rel=1e-10)


@pytest.mark.parametrize("kind", ["dates", "numbers", "quarters"])
def test_periods_may_be_dates_numbers_or_iso_text(kind):
    number = FRAME["month"].str[-2:].astype(int)
    written = {
        "dates": pd.to_datetime(FRAME["month"] + "-01"),
        "numbers": number,
        "quarters": "20" + (10 + number).astype(str) + "-Q1",
    }
    estimate = association(FRAME.assign(month=written[kind]), cpi="hours", kpi="won", unit="broker", time="month")
    same = association(FRAME, cpi="hours", kpi="won", unit="broker", time="month")
    assert estimate.value == pytest.approx(same.value, rel=1e-12)


YEARS = FRAME.assign(year=1995 + FRAME["month"].str[-2:].astype(int), firm=FRAME["broker"].str[1:].astype(int))
SWAPPED = "they look swapped"


@pytest.mark.parametrize(
    ("frame", "given", "words"),
    [
        (FRAME.assign(y=2 * FRAME["hours"]), {"controls": ["prior", "y"]}, "y is an exact combination of hours"),
        (FRAME.assign(y=4.5), {"controls": ["y"]}, "y is constant (4.5 in all"),
        (FRAME.assign(y="same"), {"controls": ["y"]}, "control 'y' is constant ('same' in all rows)"),
        (FRAME.assign(hours=FRAME["size"]), {"unit": "broker"}, "hours is absorbed by the fixed effects"),
        (FRAME.assign(broker="b"), {"unit": "broker"}, "'broker' has one value only (b)"),
        (FRAME.assign(month="2026-01"), {"time": "month"}, "'month' has one value only (2026-01)"),
        (pd.concat([FRAME, FRAME.iloc[:7]]), {"unit": "broker", "time": "month"}, "7 pairs of 'broker' and 'month'"),
        (FRAME.assign(broker=FRAME.index.astype(str)), {"unit": "broker"}, "every row is the only one"),
        (FRAME, {"unit": "month", "time": "broker"}, SWAPPED),
        (YEARS, {"unit": "year", "time": "firm"}, SWAPPED),
        (YEARS.assign(date=pd.to_datetime(FRAME["month"])), {"unit": "date", "time": "firm"}, SWAPPED),
        (FRAME.iloc[:2], {}, "2 rows for 2 parameters"),
        (FRAME.assign(hours=np.where(FRAME.index == 5, np.inf, 1.0)), {}, "1 infinite value"),
        (FRAME.assign(won=3.0), {}, "KPI 'won' is constant (3 in all"),
        (FRAME.assign(g=FRAME["broker"].where(FRAME.index > 4)), {"cluster": "g"}, "5 of 567 rows have no 'g'"),
        (FRAME.assign(month="Q1 26"), {"time": "month"}, "one value only"),
        (FRAME.assign(month=FRAME["month"].str[5:] + "x"), {"time": "month"}, "not a period, such as '01x'"),
        (FRAME.assign(won=np.nan), {}, f"none of {len(FRAME):,} rows can be used (without won"),
        (FRAME.assign(won=3 - FRAME["hours"]), {}, "the same thing is measured twice"),
        (FRAME.assign(g=FRAME.index % 4), {"cluster": "g"}, "4 clusters: no standard error can be trusted"),
        (FRAME.assign(y=[f"l{i}" for i in range(len(FRAME))]), {"controls": ["y"]}, "at most 200 are allowed"),
        (FRAME.assign(w=-1.0), {"weights": "w"}, "negative values"),
        (FRAME, {"controls": ["hours"]}, "column 'hours' is given as cpi and as control"),
        (FRAME, {"family": "logit"}, "values that logit cannot hold"),
        (FRAME, {"family": "logit", "unit": "broker"}, "fixed effects of 'broker' with family='logit'"),
        (FRAME, {"family": "poison"}, "Did you mean 'poisson'?"),
        (FRAME, {"confidence_level": 95}, "confidence level 95 is not between 0 and 1"),
        (FRAME, {"controls": ["pryor"]}, "Did you mean 'prior'?"),
        (FRAME.assign(hours=FRAME["region"]), {}, "column 'hours' is text"),
    ],
)
def test_bad_input_is_refused_with_what_was_found(frame, given, words):
    with pytest.raises(CpiError) as caught:
        association(frame, cpi="hours", kpi="won", **given)
    assert words in str(caught.value)


def test_first_five_repeated_keys_are_named():
    with pytest.raises(DataError) as caught:
        association(pd.concat([FRAME, FRAME.iloc[:7]]), cpi="hours", kpi="won", unit="broker", time="month")
    named = [f"({row.broker}, {row.month})" for row in FRAME.iloc[:7].itertuples()]
    assert all(key in str(caught.value) for key in named[:5])
    assert named[5] not in str(caught.value)


@pytest.mark.parametrize("brokers", ["b010", "b060"])
@pytest.mark.parametrize("family", ["gaussian", "logit"])
def test_a_cpi_that_moves_in_one_cluster_has_no_interval(brokers, family):
    frame = FRAME[FRAME["broker"] < brokers]
    late = ((frame["broker"] == "b003") & (frame["month"] > "2026-06")) * 1.0
    frame = frame.assign(won=np.arange(len(frame)) % 2 * 1.0, hours=late)
    roles = {"unit": "broker", "time": "month"} if family == "gaussian" else {"cluster": "broker"}
    with pytest.raises(CpiError, match=r"slope of hours rests on about 1\.\d of the \d+ clusters"):
        association(frame, cpi="hours", kpi="won", family=family, **roles)


def test_a_cpi_that_moves_in_two_rows_of_one_unit_is_refused_not_certain():
    pairs = pd.DataFrame(
        {"unit": np.repeat(np.arange(50), 2), "hours": 0.0, "won": np.random.default_rng(1).normal(size=100)}
    )
    pairs.loc[1, "hours"] = 1.0  # its residuals are zero: an unguarded clustered error would be zero too
    with pytest.raises(CpiError, match=r"rests on about 1\.0 of the 50 clusters"):
        association(pairs, cpi="hours", kpi="won", unit="unit")


def test_a_slope_that_few_rows_carry_is_weak_or_refused():
    frame = FRAME.assign(hours=np.where(FRAME.index < 3, 5.0, 0.0))
    estimate = association(frame, cpi="hours", kpi="won")
    assert estimate.status is Status.WEAK
    assert "rests on about 3.0 of 567 rows" in check(estimate, "rows").advice
    with pytest.raises(CpiError, match=r"rests on about 1\.0 of the rows"):
        association(frame.assign(hours=np.where(FRAME.index < 1, 5.0, 0.0)), cpi="hours", kpi="won")


# -- real data -------------------------------------------------------------------------------------------------------


def olist() -> pd.DataFrame:
    orders, items, people = (real(f"olist_{name}") for name in ("orders", "order_items", "customers"))
    reviews = real("olist_order_reviews").sort_values("review_answer_timestamp")
    frame = orders[orders["order_status"] == "delivered"].merge(
        reviews.drop_duplicates("order_id", keep="last")[["order_id", "review_score"]], on="order_id"
    )
    sums = items.groupby("order_id").agg(price=("price", "sum"), n_items=("order_item_id", "size"))
    frame = frame.merge(sums, on="order_id").merge(people[["customer_id", "customer_state"]], on="customer_id")
    bought, delivered, promised = (
        pd.to_datetime(frame[f"order_{name}"])
        for name in ("purchase_timestamp", "delivered_customer_date", "estimated_delivery_date")
    )
    frame = frame.assign(
        wait=(delivered - bought).dt.total_seconds() / 86400,
        late=(delivered.dt.normalize() > promised.dt.normalize()) * 1.0,
        log_price=np.log(frame["price"]),
        month=bought.dt.strftime("%Y-%m"),
    )
    return frame[delivered.notna()]


@pytest.mark.parametrize(
    ("cpi", "value", "std_error"), [("wait", -0.0241, 0.0045), ("late", -1.4946, 0.1131), ("n_items", -0.2777, 0.0503)]
)
def test_olist_review_scores_fall_with_waiting(cpi, value, std_error):
    controls = [name for name in ("wait", "late", "log_price", "n_items", "customer_state", "month") if name != cpi]
    estimate = association(olist(), cpi=cpi, kpi="review_score", controls=controls)
    assert estimate.n_obs == 6651
    assert estimate.value == pytest.approx(value, abs=5e-5)
    assert estimate.std_error == pytest.approx(std_error, abs=5e-5)


def test_hotel_room_changes_show_the_naive_gap_that_must_not_be_believed():
    frame = real("hotel_bookings")
    frame["changed"] = (frame["reserved_room_type"] != frame["assigned_room_type"]) * 1.0
    estimate = association(frame, cpi="changed", kpi="is_canceled")
    assert estimate.value == pytest.approx(0.0538 - 0.4156, abs=1e-4)
    assert not check(estimate, "past data").passed


def test_telco_churn_falls_with_support():
    frame = real("telco_churn")
    frame = frame[frame["InternetService"] != "No"]
    names = ["TechSupport", "OnlineSecurity"]
    frame = frame.assign(
        **{name: (frame[name] == "Yes") * 1.0 for name in [*names, "Churn"]},
        fibre=(frame["InternetService"] == "Fiber optic") * 1.0,
        year=(frame["Contract"] == "One year") * 1.0,
        two_years=(frame["Contract"] == "Two year") * 1.0,
    )
    columns = [*names, "fibre", "tenure", "MonthlyCharges", "year", "two_years", "SeniorCitizen"]
    fit = generalized(frame["Churn"].to_numpy(), frame[columns].to_numpy(float), family="logit", variance="iid")
    assert (fit.n_obs, *fit.coefficients[:2].round(4)) == (5517, -0.4515, -0.5379)
    assert np.sqrt(np.diag(fit.covariance))[:2].round(4).tolist() == [0.0871, 0.0841]
    controls = [name for name in columns if name not in ("TechSupport", "year", "two_years")]
    estimate = association(frame, cpi="TechSupport", kpi="Churn", controls=[*controls, "Contract"], family="logit")
    assert estimate.value == pytest.approx(fit.effects[0], rel=1e-9)
    assert -0.08 < estimate.value < -0.05
