"""Built-in indicators: equal to pandas by hand, groups equal to separate calls, refusals with counts, coverage."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_experiments.catalog.known_kinds import KINDS
from cpi_experiments.errors import CatalogError, CpiError, DataError, EstimationError
from cpi_experiments.measure.built_in.indicator import indicator
from cpi_experiments.units import Direction


def requests(n: int = 900, seed: int = 3) -> pd.DataFrame:
    """Requests of customers of three teams, with everything that an indicator may need."""
    rng = np.random.default_rng(seed)
    asked = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 180 * 86400, n), unit="s")
    customer = rng.integers(0, 220, n)
    return pd.DataFrame(
        {
            "customer": customer,
            "team": rng.choice(["north", "o'south", "west"], n),
            "country": np.where(customer % 3 == 0, "FR", "DE"),
            "nps": rng.choice(11, n, p=[0.02] * 6 + [0.08, 0.15, 0.25, 0.2, 0.2]),
            "csat": rng.integers(1, 6, n),
            "ease": rng.integers(1, 8, n),
            "contacts": rng.integers(1, 4, n),
            "late_days": rng.normal(-1, 2, n).round(),
            "whole": rng.random(n) < 0.93,
            "plans": rng.integers(0, 6, n),
            "asked": asked,
            "answered": asked + pd.to_timedelta(rng.integers(60, 90 * 3600, n), unit="s"),
            "paid": rng.lognormal(3, 1, n).round(2),
        }
    )


HOURS = {"start": "asked", "end": "answered"}
EVENTS = {
    "nps": ({"value": "nps"}, lambda f: np.where(f["nps"] >= 9, 100, np.where(f["nps"] <= 6, -100, 0))),
    "csat": ({"value": "csat"}, lambda f: f["csat"]),
    "csat_top_box": ({"value": "csat", "top": 2}, lambda f: f["csat"] >= 4),
    "ces": ({"value": "ease"}, lambda f: f["ease"]),
    "first_time_resolution": ({"value": "contacts == 1"}, lambda f: f["contacts"] == 1),
    "response_time": (HOURS, lambda f: (f["answered"] - f["asked"]).dt.total_seconds() / 3600),
    "resolution_time": (
        {"value": "days(asked, answered)"},
        lambda f: (f["answered"] - f["asked"]).dt.total_seconds() / 86400,
    ),
    "share_within": (
        {**HOURS, "promise": "2 days"},
        lambda f: f["answered"] - f["asked"] <= pd.Timedelta("2 days"),
    ),
    "on_time": ({"value": "late_days <= 0"}, lambda f: f["late_days"] <= 0),
    "nothing_broke": ({"value": "whole"}, lambda f: f["whole"]),
    "options_offered": ({"value": "plans"}, lambda f: f["plans"]),
    "complaint_resolution": ({"value": "contacts < 3"}, lambda f: f["contacts"] < 3),
    "review_score": ({"value": "csat"}, lambda f: f["csat"]),
    "engagement": ({"value": "csat"}, lambda f: f["csat"]),
    "retention": ({"value": "whole"}, lambda f: f["whole"]),
    "churn": ({"value": "whole"}, lambda f: f["whole"]),
}
HISTORIES = {
    "retention": {"period": "month"},
    "churn": {"period": "week"},
    "repurchase": {"window": "30 days"},
    "revenue_per_customer": {"value": "paid"},
    "margin_per_customer": {"value": "paid * 0.3 - 2"},
    "clv_realised": {"value": "paid", "window": "60 days"},
    "clv_projected": {"value": "paid", "period": "month", "discount": 0.01},
}


def numbers(level) -> list[float]:
    return [level.value, level.ci_low, level.ci_high, level.n, level.n_entities]


@pytest.mark.parametrize("kind", EVENTS)
def test_levels_of_events_equal_pandas(kind):
    frame = requests()
    arguments, values = EVENTS[kind]
    x = np.asarray(values(frame), dtype=float)
    plain = indicator(frame, kind, **arguments).only
    clustered = indicator(frame, kind, entity="customer", **arguments).only
    assert [plain.value, clustered.value] == pytest.approx([x.mean()] * 2, rel=1e-12)
    assert (plain.n, plain.n_entities, clustered.n_entities) == (900, 900, frame["customer"].nunique())
    if KINDS[kind].interval == "mean":
        half = stats.t.ppf(0.975, 899) * x.std(ddof=1) / 30
        assert plain.ci_high - plain.value == pytest.approx(half, rel=1e-9)
    else:
        other = stats.binomtest(int(x.sum()), 900).proportion_ci(method="wilson")
        assert (plain.ci_low, plain.ci_high) == pytest.approx((other.low, other.high), rel=1e-9)
    assert clustered.ci_low < clustered.value < clustered.ci_high


@pytest.mark.parametrize("kind", [*EVENTS, *HISTORIES])
def test_groups_equal_separate_calls(kind):
    frame = requests()
    history = kind in HISTORIES and kind not in EVENTS
    by = "country" if history else "team"
    arguments = (
        HISTORIES[kind] | ({"at": "asked"} if "per_customer" not in kind else {}) if history else EVENTS[kind][0]
    )
    together = indicator(frame, kind, entity="customer", by=by, **(arguments | as_of(history, kind)))
    assert len(together) == frame[by].nunique()
    for label, part in frame.groupby(by):
        alone = indicator(part, kind, entity="customer", **(arguments | as_of(history, kind)))
        assert numbers(together[label]) == pytest.approx(numbers(alone.only), rel=1e-9)


def as_of(history, kind) -> dict:
    return {"as_of": "2026-06-30"} if history and "per_customer" not in kind else {}


@pytest.mark.parametrize("kind", [*EVENTS, *HISTORIES])
def test_row_order_and_repetition_of_the_call_never_matter(kind):
    frame = requests(400)
    arguments = EVENTS[kind][0] if kind in EVENTS else HISTORIES[kind]
    if kind not in EVENTS and "per_customer" not in kind:
        arguments = arguments | {"at": "asked"}
    shuffled = frame.sample(frac=1, random_state=1)
    one, two = (indicator(data, kind, entity="customer", **arguments) for data in (frame, shuffled))
    assert [level.group for level in one] == [level.group for level in two]
    for a, b in zip(one, two, strict=True):
        assert numbers(a) == pytest.approx(numbers(b), rel=1e-11, nan_ok=True)


@pytest.mark.parametrize("aggregate", ["mean", "median", "p90"])
@pytest.mark.parametrize("entity", [None, "customer"])
def test_unit_change_rescales_exactly(aggregate, entity):
    frame = requests()
    hours, minutes = (
        indicator(frame, "response_time", **HOURS, unit=unit, by="team", aggregate=aggregate, entity=entity)
        for unit in ("hour", "minute")
    )
    for a, b in zip(hours, minutes, strict=True):
        assert [60 * part for part in numbers(a)[:3]] == pytest.approx(numbers(b)[:3], rel=1e-12)
    assert (hours.unit, minutes.unit) == ("hour", "minute")


@pytest.mark.parametrize(("aggregate", "probability"), [("median", 0.5), ("p90", 0.9)])
def test_quantiles_equal_pandas_and_exact_order_statistics(aggregate, probability):
    frame = requests(250)
    x = np.sort((frame["answered"] - frame["asked"]).dt.total_seconds() / 3600)
    got = indicator(frame, "response_time", **HOURS, aggregate=aggregate).only
    binomial = stats.binom(250, probability)
    lower = max(k for k in range(251) if k == 0 or binomial.cdf(k - 1) <= 0.025)
    upper = min(k for k in range(1, 252) if binomial.sf(k - 1) <= 0.025)
    assert got.value == pytest.approx(np.quantile(x, probability), rel=1e-12)
    assert (got.ci_low, got.ci_high) == pytest.approx((x[lower - 1], x[upper - 1]), rel=1e-12)
    assert got.method.endswith("order statistics, exact")


def test_few_values_leave_a_quantile_open_upwards():
    frame = pd.DataFrame({"h": [1.0, 2.0, 3.0]})
    got = indicator(frame, "response_time", value="h", unit="hour", aggregate="p90").only
    assert (got.ci_low, got.ci_high) == (1.0, math.inf)
    got = indicator(frame, "response_time", value="h", unit="hour", aggregate="median").only
    assert (got.value, got.ci_low, got.ci_high) == (2.0, 0.0, math.inf)


@pytest.mark.parametrize("aggregate", ["median", "p90"])
def test_clustered_quantiles_cover_where_order_statistics_do_not(aggregate):
    rng = np.random.default_rng(12)
    worlds, customers = 300, 50
    parts = []
    for world in range(worlds):
        sizes = rng.integers(1, 12, customers)
        codes = np.repeat(np.arange(customers), sizes)
        x = np.exp(0.9 * rng.normal(size=customers)[codes] + 0.5 * rng.normal(size=len(codes)))
        parts.append(pd.DataFrame({"world": world, "customer": codes, "h": x}))
    frame = pd.concat(parts)
    true = math.exp(stats.norm.ppf({"median": 0.5, "p90": 0.9}[aggregate]) * math.hypot(0.9, 0.5))
    arguments = {"value": "h", "unit": "hour", "by": "world", "aggregate": aggregate}
    clustered, plain = (indicator(frame, "response_time", entity=e, **arguments) for e in ("customer", None))
    rate, naive = (np.mean([level.ci_low <= true <= level.ci_high for level in found]) for found in (clustered, plain))
    low, high = stats.binom.ppf([5e-7, 1 - 5e-7], worlds, 0.95) / worlds
    assert low <= rate <= high
    assert naive < 0.87


def test_calendar_periods_are_groups():
    frame = requests()
    got = indicator(frame, "nps", value="nps", by="team", at="asked", period="quarter")
    assert len(got) == 6
    quarter = frame["asked"].dt.to_period("Q").dt.start_time.dt.strftime("%Y-%m-%d")
    for (team, start), part in frame.groupby(["team", quarter]):
        assert got[team, start].value == pytest.approx(indicator(part, "nps", value="nps").only.value)


def test_what_is_set_aside_is_counted_by_group_and_reason():
    frame = requests(1000).astype({"customer": "Int64"})
    frame.loc[0, "customer"] = pd.NA
    frame.loc[[1, 2], "answered"] = pd.NaT
    frame.loc[3, "answered"] = frame.loc[3, "asked"] - pd.Timedelta("1h")
    frame.loc[4, "team"] = None
    hours = (frame["answered"] - frame["asked"]).dt.total_seconds() / 3600
    got = indicator(frame, "response_time", **HOURS, entity="customer", by="team", cap=80)
    lost: dict[str, int] = {}
    for reason, n in (each for level in got for each in level.dropped):
        lost[reason] = lost.get(reason, 0) + n
    capped = ((hours > 80) & frame["team"].notna() & frame["customer"].notna()).sum()
    assert lost == {"without customer": 1, "without a value": 2, "negative duration": 1, "capped at 80": capped}
    assert got.dropped == (("without team", 1),)
    assert sum(level.n for level in got) == 995
    usable = hours.clip(upper=80)[frame["customer"].notna() & frame["team"].notna() & (hours >= 0)]
    assert np.average([x.value for x in got], weights=[x.n for x in got]) == pytest.approx(usable.mean())


def test_a_group_without_any_value_says_so():
    frame = pd.DataFrame({"team": ["a", "a", "b"], "score": [9.0, 3.0, np.nan]})
    got = indicator(frame, "nps", value="score", by="team")
    assert math.isnan(got["b"].value)
    assert (got["b"].n, got["b"].dropped) == (0, (("without a value", 1),))
    assert "not available" in str(got)


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("nps", [9, 11, 11, -1], r"3 values of 'v' cannot exist: 2 x 11, 1 x -1.\n  Whole numbers from 0 to 10"),
        ("nps", [9, 8.5], "1 values of 'v' cannot exist: 1 x 8.5"),
        ("csat", [5, 0, 0], r"2 x 0.\n  Whole numbers from 1 to 5 are allowed.*Another scale"),
        ("ces", [8, 7], "1 x 8.\n  Whole numbers from 1 to 7"),
        ("first_time_resolution", [97.3, 1], r"1 x 97.3.\n  max 97.3 > 1; unit percent\?"),
        ("nothing_broke", [0.5, 1], "1 x 0.5.\n  Give 0 or 1 for every event"),
        ("options_offered", [-1, 2], "1 x -1.\n  Whole numbers from 0 are allowed"),
        ("review_score", [4.5, 2], "1 x 4.5"),
        ("csat", [np.nan, np.nan], "no value is left: 2 without a value"),
        ("nps", [1e300, 3], "1 x 1e\\+300"),
    ],
)
def test_answers_that_cannot_exist_are_refused_with_counts(kind, values, says):
    with pytest.raises(DataError, match=says):
        indicator(pd.DataFrame({"v": values}), kind, value="v")


def test_another_scale_is_declared():
    frame = pd.DataFrame({"v": [0, 10, 10, 9]})
    assert indicator(frame, "csat", value="v", scale=(0, 10)).only.value == 7.25
    assert indicator(frame, "csat_top_box", value="v", scale=(0, 10), top=2).only.value == 0.75
    assert indicator(frame, "csat", value="v", scale=(0, 10), aggregate="median").only.value == 9.5


def test_negative_durations_are_set_aside_up_to_one_percent():
    frame = pd.DataFrame({"h": [-1.0] + [5.0] * 99 + [7.0]})
    assert indicator(frame, "response_time", value="h", unit="hour").only.dropped == (("negative duration", 1),)
    within = indicator(frame, "share_within", value="h", unit="hour", promise="6 hours").only
    assert (within.value, within.dropped) == (0.99, (("negative duration", 1),))
    frame.loc[1:3, "h"] = -2.0
    for kind, more in (("response_time", {}), ("share_within", {"promise": "6 hours"})):
        with pytest.raises(DataError, match="4 of 101 rows are negative duration, more than 1%"):
            indicator(frame, kind, value="h", unit="hour", **more)


def test_equal_answers_are_not_taken_for_certainty():
    frame = pd.DataFrame({"v": [10] * 20, "h": [2.0] * 20, "e": [1.1] * 20})
    nps = indicator(frame, "nps", value="v").only
    assert (nps.value, nps.ci_high) == (100.0, 100.0)
    assert nps.ci_low == pytest.approx(100 - 200 * (1 - 0.05 ** (1 / 20)))
    assert indicator(frame, "response_time", value="h", unit="hour").only.ci_high == math.inf
    assert math.isnan(indicator(frame, "revenue_per_customer", value="e").only.ci_low)
    share = indicator(frame, "nothing_broke", value="v == 10").only
    assert (share.value, share.ci_high) == (1.0, 1.0)
    assert share.ci_low == pytest.approx(0.8389, abs=1e-4)


def test_the_calendar_of_a_zone_cuts_periods_or_is_refused(tmp_path):
    times = pd.to_datetime(["2026-01-31T23:30:00Z", "2026-02-01T12:00:00Z"])
    frame = pd.DataFrame({"at": times, "v": [1, 5]})
    frame.to_parquet(tmp_path / "t.parquet")
    arguments = {"value": "v", "at": "at", "period": "month"}
    assert (
        len(indicator(tmp_path / "t.parquet", "csat", **arguments)) == len(indicator(frame, "csat", **arguments)) == 2
    )
    berlin = indicator(tmp_path / "t.parquet", "csat", **arguments, time_zone="Europe/Berlin")
    assert (berlin.only.group, berlin.only.value) == ({"period": "2026-02-01"}, 3.0)
    with pytest.raises(DataError, match="times without a zone"):
        indicator(frame, "csat", **arguments, time_zone="Europe/Berlin")


def test_one_customer_is_no_sample():
    frame = pd.DataFrame({"c": [1, 1, 1], "h": [1.0, 2.0, 5.0], "ok": [1, 0, 1]})
    for aggregate in ("mean", "median"):
        got = indicator(frame, "response_time", value="h", unit="hour", entity="c", aggregate=aggregate).only
        assert got.value in (8 / 3, 2.0)
        assert np.isnan([got.ci_low, got.ci_high]).all()
    got = indicator(frame, "on_time", value="ok", entity="c").only
    assert np.isnan([got.ci_low, got.ci_high]).all()


def test_labels_may_be_numbers_truths_and_times():
    times = pd.to_datetime(["2026-01-01", "2026-01-01 06:00", None, "2026-01-01"], format="ISO8601")
    frame = pd.DataFrame(
        {"size": [1.0, 2.5, np.nan, 1.0], "yes": [True, False, None, True], "at": times, "v": [1, 2, 3, 5]}
    )
    for by, keys in {
        "size": [1, 2.5],
        "yes": [False, True],
        "at": ["2026-01-01", "2026-01-01T06:00:00.000000"],
    }.items():
        got = indicator(frame, "csat", value="v", by=by)
        assert [level.group[by] for level in got] == keys
        assert sorted(level.value for level in got) == [2.0, 3.0]
        assert got.dropped == ((f"without {by}", 1),)


# -- customers -------------------------------------------------------------------------------------------------------


def test_retention_and_churn_follow_customers_from_period_to_period():
    frame = requests()
    month = frame["asked"].dt.to_period("M")
    active = {m: set(part["customer"]) for m, part in frame.groupby(month)}
    kept = indicator(frame, "retention", entity="customer", at="asked", period="month", as_of="2026-06-29")
    gone = indicator(frame, "churn", entity="customer", at="asked", period="month", as_of="2026-06-29")
    months = sorted(active)
    assert [level.group["period"] for level in kept] == [str(m.start_time.date()) for m in months[1:]] + ["2026-07-01"]
    for level, lost, before, after in zip(kept, gone, months[:-1], months[1:], strict=False):
        share = len(active[before] & active[after]) / len(active[before])
        if after == months[-1]:  # June is not over
            assert math.isnan(level.value)
            assert level.dropped == (("customers whose next period is not over", len(active[before])),)
            continue
        assert level.value == pytest.approx(share)
        assert lost.value == pytest.approx(1 - share)
        assert lost.ci_low == pytest.approx(1 - level.ci_high)
    june = indicator(frame, "retention", entity="customer", at="asked", period="month", as_of="2026-06-30")
    assert june["2026-06-01"].n == len(active[months[-2]])


def test_repurchase_counts_only_customers_whose_window_is_over():
    frame = requests()
    window, end = pd.Timedelta("45 days"), pd.Timestamp("2026-06-01")
    seen = frame[frame["asked"] < end]
    first = seen.groupby("customer")["asked"].min()
    later = seen.merge(first.rename("first"), left_on="customer", right_index=True)
    again = later[(later["asked"] > later["first"]) & (later["asked"] < later["first"] + window)]["customer"].unique()
    closed = first[first + window <= end]
    got = indicator(frame, "repurchase", entity="customer", at="asked", window="45 days", as_of="2026-05-31")
    assert got.only.n == len(closed)
    assert got.only.value == pytest.approx(closed.index.isin(again).mean())
    assert got.only.dropped == (("customers whose window is not over", len(first) - len(closed)),)
    assert got.dropped == (("later than as_of", len(frame) - len(seen)),)
    cohorts = indicator(
        frame, "repurchase", entity="customer", at="asked", window="45 days", as_of="2026-05-31", period="month"
    )
    assert sum(level.n for level in cohorts) == len(closed)
    assert sum(level.n * level.value for level in cohorts if level.n) == pytest.approx(got.only.n * got.only.value)


def test_revenue_is_summed_by_customer_before_it_is_averaged():
    frame = requests()
    sums = frame.groupby("customer")["paid"].sum()
    got = indicator(frame, "revenue_per_customer", value="paid", entity="customer", unit="EUR")
    half = stats.t.ppf(0.975, len(sums) - 1) * sums.std() / math.sqrt(len(sums))
    assert numbers(got.only) == pytest.approx([sums.mean(), sums.mean() - half, sums.mean() + half, *[len(sums)] * 2])
    assert got.unit == "EUR"


def test_realised_value_adds_up_the_first_window_of_each_customer():
    frame = requests()
    first = frame.groupby("customer")["asked"].transform("min")
    closed = first + pd.Timedelta("60 days") <= frame["asked"].max()
    inside = frame[closed & (frame["asked"] < first + pd.Timedelta("60 days"))]
    sums = inside.groupby("customer")["paid"].sum()
    got = indicator(frame, "clv_realised", value="paid", entity="customer", at="asked", window="60 days").only
    assert (got.value, got.n) == (pytest.approx(sums.mean()), len(sums))
    assert got.dropped[0][1] == frame["customer"].nunique() - len(sums)


def test_projected_value_is_margin_times_the_multiple():
    frame = requests()
    month = frame["asked"].dt.to_period("M")
    margins = frame.groupby(["customer", month])["paid"].sum()
    pairs = set(margins.index)
    last = max(month)
    watched = [(c, m) for c, m in pairs if m < last]
    r = np.mean([(c, m + 1) in pairs for c, m in watched])
    got = indicator(
        frame, "clv_projected", value="paid", entity="customer", at="asked", period="month", discount=0.02,
        as_of="2026-06-30",
    ).only  # fmt: skip
    assert got.value == pytest.approx(margins.mean() * r / (1.02 - r))
    assert f"r = {r:.4f}" in got.method
    assert got.ci_low < got.value < got.ci_high
    cut = indicator(
        frame, "clv_projected", value="paid", entity="customer", at="asked", period="month", discount=0.02,
        as_of="2026-06-20",
    )  # fmt: skip
    unfinished = (month == last) & (frame["asked"] < "2026-06-21")
    late = (frame["asked"] >= "2026-06-21").sum()
    assert dict(cut.dropped) == {"later than as_of": late, "in a period that is not over": unfinished.sum()}


def test_projection_without_a_limit_names_its_group():
    frame = pd.DataFrame(
        {
            "c": [1, 1, 2, 2, 3, 3],
            "at": pd.to_datetime(["2026-01-05", "2026-02-05"] * 3),
            "m": 1.0,
            "team": "a",
        }
    )
    with pytest.raises(EstimationError, match="a: retention 1 is not below"):
        indicator(
            frame, "clv_projected", value="m", entity="c", at="at", period="month", discount=0, by="team",
            as_of="2026-02-28",
        )  # fmt: skip


def test_customers_of_two_groups_have_no_history():
    with pytest.raises(DataError, match=r"\d+ customers have several values of 'team'"):
        indicator(requests(), "repurchase", entity="customer", at="asked", by="team")


def test_a_history_that_is_not_over_is_not_measured():
    with pytest.raises(DataError, match="the window of no customer is over"):
        indicator(requests(), "clv_realised", value="paid", entity="customer", at="asked", window="900 days")
    with pytest.raises(DataError, match="no customers but those whose next period is not over"):
        indicator(requests(), "retention", entity="customer", at="asked", period="year")


# -- survival and cost -----------------------------------------------------------------------------------------------


def lives() -> pd.DataFrame:
    rng = np.random.default_rng(9)
    start = pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(0, 200, 300), unit="D")
    life = pd.to_timedelta(rng.exponential(150, 300).round(), unit="D")
    end = (start + life).where(start + life < "2026-01-01")
    return pd.DataFrame({"c": range(300), "plan": rng.choice(["a", "b"], 300), "start": start, "end": end})


def test_survival_from_two_times_equals_survival_from_durations():
    frame = lives()
    until = frame["end"].fillna(pd.Timestamp("2026-01-01"))
    frame["days"] = (until - frame["start"]).dt.days.astype(float)
    frame["left"] = frame["end"].notna()
    one = indicator(frame, "survival", start="start", end="end", window="100 days", by="plan", as_of="2025-12-31")
    two = indicator(frame, "survival", value="days", event="left", unit="day", window="100 days", by="plan", entity="c")
    for a, b in zip(one, two, strict=True):
        assert numbers(a)[:4] == pytest.approx(numbers(b)[:4])
        assert 0 < a.ci_low < a.value < a.ci_high < 1


def test_survival_sees_nothing_after_as_of():
    frame = lives()
    got = indicator(frame, "survival", start="start", end="end", window="60 days", as_of="2025-06-30").only
    assert got.dropped == (("later than as_of", int((frame["start"] >= "2025-07-01").sum())),)
    early = frame[frame["start"] < "2025-07-01"].assign(end=lambda f: f["end"].where(f["end"] < "2025-07-01"))
    alone = indicator(early, "survival", start="start", end="end", window="60 days", as_of="2025-06-30").only
    assert numbers(got) == pytest.approx(numbers(alone))


def test_survival_without_as_of_sees_up_to_the_last_known_time():
    got = indicator(lives(), "survival", start="start", end="end", window="100 days").only
    assert 0.3 < got.value < 0.7
    with pytest.raises(DataError, match="nobody was watched for 900 days; the longest was"):
        indicator(lives(), "survival", start="start", end="end", window="900 days")


def test_survival_needs_times_and_not_too_many_of_them(monkeypatch):
    nothing = lives().assign(start=pd.NaT, end=pd.NaT).astype({"start": "datetime64[us]", "end": "datetime64[us]"})
    with pytest.raises(DataError, match="no start and no end is known"):
        indicator(nothing, "survival", start="start", end="end", window="9 days")
    monkeypatch.setattr("cpi_experiments.measure.built_in.stay.MAX_TIMES", 20)
    with pytest.raises(DataError, match=r"more than 20 different times\.\n  Round them"):
        indicator(lives(), "survival", start="start", end="end", window="9 days")


def test_survival_of_a_group_that_is_too_young_is_not_available():
    frame = pd.DataFrame(
        {"plan": ["old"] * 4 + ["new"] * 2, "d": [50.0, 80, 120, 130, 5, 9], "left": [1, 0, 1, 0, 0, 1]}
    )
    got = indicator(frame, "survival", value="d", event="left", unit="day", window="100 days", by="plan")
    assert got["old"].value == pytest.approx(0.75)
    assert got["new"].value == 0.0  # the last of them left
    frame.loc[5, "left"] = 0
    got = indicator(frame, "survival", value="d", event="left", unit="day", window="100 days", by="plan")
    assert math.isnan(got["new"].value)
    assert got["new"].method == "nobody was watched for 100 days"


@pytest.mark.parametrize(
    ("change", "says"),
    [({"c": 1}, "1 customers have several rows"), ({"left": 2}, "values of 'left' cannot exist: 9 x 2")],
)
def test_impossible_lives_are_refused(change, says):
    frame = pd.DataFrame({"c": range(9), "d": np.arange(9.0), "left": 1}).assign(**change)
    with pytest.raises(DataError, match=says):
        indicator(frame, "survival", value="d", event="left", unit="day", window="3 days", entity="c")


def test_acquisition_cost_divides_spending_by_new_customers():
    frame = pd.DataFrame({"channel": ["web", "web", "tv"], "spend": [400.0, 600.0, 900.0], "new": [4, 6, 30]})
    got = indicator(frame, "cac", spend="spend", value="new", by="channel", unit="EUR")
    assert (got["web"].value, got["tv"].value) == (100.0, 30.0)
    assert (got["web"].ci_low, got["web"].ci_high) == pytest.approx((1000 / 18.3904, 1000 / 4.7954), rel=1e-4)
    one = indicator(pd.DataFrame({"c": [1, 2, 2, 3]}), "cac", spend=600, entity="c").only
    assert (one.value, one.n_entities) == (200.0, 3)


@pytest.mark.parametrize(
    ("frame", "arguments", "error", "says"),
    [
        ({"s": [1.0], "n": [0]}, {"spend": "s", "value": "n"}, EstimationError, "won nobody"),
        ({"s": [-1.0], "n": [3]}, {"spend": "s", "value": "n"}, DataError, "values of 's' cannot exist: 1 x -1"),
        ({"s": [1.0, None], "n": [3, 3]}, {"spend": "s", "value": "n"}, DataError, "1 rows have no 's'"),
        ({"g": ["a", "b"], "n": [3, 3]}, {"spend": 5, "value": "n", "by": "g"}, DataError, "told apart by group"),
        ({"n": [3]}, {"spend": -5, "value": "n"}, DataError, "spend -5 is negative"),
        ({"n": [2.5]}, {"spend": 5, "value": "n"}, DataError, "1 x 2.5"),
    ],
)
def test_costs_that_do_not_exist_are_refused(frame, arguments, error, says):
    with pytest.raises(error, match=says):
        indicator(pd.DataFrame(frame), "cac", **arguments)


# -- the door --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "says"),
    [
        ("npss", {"value": "nps"}, CatalogError, "'npss' is not built in.\n  Did you mean 'nps'"),
        ("nps", {}, DataError, "'nps' needs value.\n  It is measured from value="),
        ("nps", {"value": "npss"}, DataError, "'npss' is missing"),
        ("nps", {"value": "nps", "cap": 3}, DataError, "'nps' has no use for cap"),
        ("nps", {"value": "nps", "scale": (0, 5)}, DataError, "no use for scale"),
        ("nps", {"value": "nps", "aggregate": "median"}, DataError, "'nps' has no median"),
        ("nps", {"value": "nps", "aggregate": "mode"}, DataError, "'mode' is not known"),
        ("nps", {"value": "nps", "top": 2}, DataError, "no top box"),
        ("nps", {"value": "nps", "period": "month"}, DataError, "needs the time of the event"),
        ("nps", {"value": "nps", "period": "moon", "at": "asked"}, DataError, "period 'moon'"),
        ("nps", {"value": "nps", "time_zone": "Mars"}, DataError, "time zone 'Mars'"),
        ("nps", {"value": "nps", "confidence_level": 95}, DataError, "confidence_level 95"),
        ("nps", {"value": "nps", "by": "tema"}, DataError, "'tema' is missing"),
        ("nps", {"value": "team"}, DataError, "is text; 900 of 900"),
        ("nps", {"value": "__import__('os').system('true')"}, CatalogError, "only [+] - [*] /"),
        ("nps", {"value": "nps", "where": "team = 'nobody'"}, DataError, "no row meets the filter"),
        ("response_time", {"value": "late_days"}, DataError, "nothing says what 'late_days' is counted in"),
        ("response_time", {"start": "asked"}, DataError, "start and end go together"),
        ("response_time", {**HOURS, "value": "plans"}, DataError, "both given"),
        ("response_time", {**HOURS, "unit": "week"}, DataError, "cannot be counted in 'week'"),
        ("response_time", {"start": "team", "end": "asked"}, DataError, "is text, not a time"),
        ("response_time", {}, DataError, "needs value or start"),
        ("share_within", HOURS, DataError, "'share_within' needs promise"),
        ("share_within", {**HOURS, "promise": "0 hours"}, CatalogError, "not above zero"),
        ("share_within", {**HOURS, "promise": "2 EUR"}, CatalogError, "cannot be counted in 'hour'"),
        ("csat", {"value": "csat", "scale": (5, 1)}, DataError, "is not a scale"),
        ("csat_top_box", {"value": "csat", "top": 5}, DataError, "5 boxes of a scale from 1 to 5"),
        ("retention", {"entity": "customer", "at": "asked"}, DataError, "'retention' needs period"),
        ("clv_projected", {"entity": "customer", "at": "asked", "value": "paid", "period": "month"}, DataError, "disc"),
        ("survival", {"value": "paid", "unit": "day"}, DataError, "needs event or start"),
        ("cac", {"value": "plans"}, DataError, "'cac' needs spend"),
        ("repurchase", {"entity": "customer", "at": "team"}, DataError, "is text, not a time"),
        ("nps", {"value": "nps", "by": "paid", "as_of": "2026-01-01"}, DataError, "no use for as_of"),
    ],
)
def test_requests_that_make_no_sense_are_explained(kind, arguments, error, says):
    with pytest.raises(error, match=says):
        indicator(requests(), kind, **arguments)


def test_too_many_groups_are_refused():
    frame = pd.DataFrame({"id": range(90_000), "v": 5})
    with pytest.raises(DataError, match="id make more than 10,000 groups"):
        indicator(frame, "csat", value="v", by="id")


def test_every_kind_of_data_gives_the_same_levels(tmp_path):
    import duckdb

    frame = requests(300)
    path = tmp_path / "requests.parquet"
    frame.to_parquet(path)
    frame.to_csv(tmp_path / "requests.csv", index=False)
    arguments = {**HOURS, "entity": "customer", "by": ["team", "country"], "aggregate": "median"}
    found = [
        indicator(data, "response_time", **arguments)
        for data in (frame, path, tmp_path / "requests.csv", duckdb.from_df(frame), frame.convert_dtypes())
    ]
    for other in found[1:]:
        assert [level.group for level in other] == [level.group for level in found[0]]
        assert [numbers(level) for level in other] == [numbers(level) for level in found[0]]


def test_columns_that_are_named_like_those_of_the_query_are_read_as_they_are():
    names = dict(zip(["team", "customer", "nps", "asked"], ["g0", "e", "x", "t"], strict=True))
    frame = requests(200)
    plain = indicator(frame, "nps", value="nps", by="team", entity="customer", at="asked", period="month")
    odd = frame.rename(columns=names).assign(v=1, state="capped", n=0, s=1)
    got = indicator(odd, "nps", value="x", by="g0", entity="e", at="t", period="month", where="state = 'capped'")
    assert [numbers(level) for level in got] == [numbers(level) for level in plain]


def test_levels_show_themselves():
    got = indicator(requests(), "nothing_broke", value="whole", by="team", entity="customer")
    assert (got.better, got.unit, len(got)) == (Direction.HIGHER, "fraction", 3)
    lines = str(got).splitlines()
    assert lines[0] == "Nothing broke in fraction (higher is better)"
    assert "%" in lines[3]
    frame = got.to_frame()
    assert list(frame["team"]) == ["north", "o'south", "west"]
    assert frame["ci_low"].tolist() == [level.ci_low for level in got]
    assert got.to_dict()["levels"][0]["group"] == {"team": "north"}
    assert "<table>" in got._repr_html_()
    with pytest.raises(DataError, match=r"no group is east\.\n  Groups: north; o'south; west"):
        got["east"]
    with pytest.raises(DataError, match="there are 3 groups"):
        _ = got.only


def test_every_built_in_indicator_is_measured_somewhere():
    assert {*EVENTS, *HISTORIES, "survival", "cac"} == set(KINDS)
    for kind in KINDS.values():
        assert kind.definition.endswith(".")
        assert issubclass(CatalogError, CpiError)
