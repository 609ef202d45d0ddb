from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.catalog.claimed_link import ClaimedLink, Sign
from cpi_experiments.catalog.entities import CPI, KPI, Aggregate, Benefit, Catalog, Function, Measure
from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.panel import Panel, build_panel
from cpi_experiments.measure.periods import PERIODS, bound, period_number, period_start, read_times
from cpi_experiments.units import Direction, Increment

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def measure(value, aggregate=Aggregate.MEAN, **fields) -> Measure:
    return Measure(
        **{"table": "quotes", "entity": "customer_id", "at": "at", "value": value, "aggregate": aggregate, **fields}
    )


def catalog(*, unit="hour", cpi=None, kpis=None) -> Catalog:
    hours = CPI(
        id="wait",
        label="Fast Quote",
        outcome="a price while I am looking",
        unit=unit,
        better=Direction.LOWER,
        increment=Increment.parse("1 hour"),
        measure=cpi or measure("hours(asked, at)"),
        benefit=Benefit.FUNCTIONAL,
        function=Function.SALES,
    )
    kpis = kpis or {
        "won": measure("won"),
        "revenue": measure("premium", Aggregate.SUM),
        "quotes": measure("won", Aggregate.COUNT),
    }
    units = {"won": "fraction", "revenue": "EUR", "quotes": "count"}
    entities = {
        k: KPI(id=k, label=k, unit=units.get(k, "EUR"), better=Direction.HIGHER, measure=m) for k, m in kpis.items()
    }
    claim = ClaimedLink(
        cpi="wait",
        kpi=next(iter(kpis)),
        because="b",
        expect=Sign.POSITIVE,
        sesoi="1 pp",
        adjust_for=("age", "region", "gone"),
    )
    return Catalog(cpis={"wait": hours}, kpis=entities, links={claim.link: claim})


def quotes(n=3000, *, seed=3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    at = pd.Timestamp("2025-11-03") + pd.to_timedelta(rng.integers(0, 150 * 86400, n), unit="s")
    return pd.DataFrame(
        {
            "customer_id": rng.integers(1, 60, n),
            "at": at,
            "asked": at - pd.to_timedelta(rng.integers(60, 86400, n), unit="s"),
            "won": rng.random(n) < 0.3,
            "premium": rng.lognormal(4, 1, n),
        }
    )


def customers(n=65) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    return pd.DataFrame(
        {"customer_id": range(1, n + 1), "age": rng.integers(20, 70, n), "region": rng.choice(["n", "s"], n)}
    )


def by_hand(frame: pd.DataFrame, freq: str) -> pd.DataFrame:
    frame = frame.assign(
        period=frame["at"].dt.to_period(freq).dt.start_time.astype("datetime64[us]"),
        wait=(frame["at"] - frame["asked"]).dt.total_seconds() / 3600,
    )
    return frame.groupby(["customer_id", "period"]).agg(
        wait=("wait", "mean"), won=("won", "mean"), revenue=("premium", "sum"), quotes=("won", "count")
    )


# -- from events -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "freq"), [("day", "D"), ("week", "W-SUN"), ("month", "M"), ("quarter", "Q"), ("year", "Y")]
)
def test_panel_equals_pandas_groupby(period, freq):
    frame = quotes()
    with Tables({"quotes": frame, "customers": customers()}) as tables:
        panel = build_panel(tables, catalog(), period=period)
    expected = by_hand(frame, freq)
    got = panel.frame.set_index(["unit", "period"])
    assert len(got) == 65 * panel.frame["period"].nunique()
    seen = got.loc[expected.index]
    for name in ("wait", "won", "revenue", "quotes"):
        np.testing.assert_allclose(seen[name], expected[name].astype(float), rtol=1e-12)
    unseen = got.drop(expected.index)
    assert unseen["wait"].isna().all()
    assert (unseen[["revenue", "quotes"]] == 0).all(axis=None)
    assert panel.covariates == ("age", "region")


def test_a_small_panel_by_hand():
    events = pd.DataFrame(
        {
            "customer_id": ["a", "a", "a", "b"],
            "asked": pd.to_datetime(["2026-01-01 08:00", "2026-01-31 08:00", "2026-03-01 08:00", "2026-03-02 08:00"]),
            "at": pd.to_datetime(["2026-01-01 10:00", "2026-01-31 12:00", "2026-03-01 09:00", "2026-03-02 13:00"]),
            "won": [1, 0, 1, 0],
            "premium": [10.0, 20.0, 30.0, 40.0],
        }
    )
    with Tables({"quotes": events}) as tables:
        frame = build_panel(tables, catalog()).frame
    assert frame["unit"].tolist() == ["a"] * 3 + ["b"] * 3
    assert frame["period"].dt.month.tolist() == [1, 2, 3] * 2
    np.testing.assert_array_equal(frame["wait"], [3, np.nan, 1, np.nan, np.nan, 5])
    # Without a table of customers no event is missing, not zero.
    np.testing.assert_array_equal(frame["revenue"], [30, np.nan, 30, np.nan, np.nan, 40])


def test_row_order_files_and_engines_do_not_matter(tmp_path):
    frame = quotes(500)
    shuffled = frame.sample(frac=1, random_state=1)
    frame.to_csv(tmp_path / "whole.csv", index=False)
    shuffled[:200].to_parquet(tmp_path / "part1.parquet")
    shuffled[200:].to_parquet(tmp_path / "part2.parquet")
    panels = []
    for source in (frame, shuffled, tmp_path / "whole.csv", tmp_path / "part*.parquet"):
        with Tables({"quotes": source, "customers": customers()}) as tables:
            panels.append(build_panel(tables, catalog()).frame)
    for other in panels[1:]:
        pd.testing.assert_frame_equal(panels[0], other, rtol=1e-12, check_dtype=False)


def test_another_unit_rescales_exactly():
    with Tables({"quotes": quotes()}) as tables:
        hours = build_panel(tables, catalog()).frame["wait"]
        minutes = build_panel(tables, catalog(unit="minute", cpi=measure("minutes(asked, at)"))).frame["wait"]
    np.testing.assert_allclose(minutes, 60 * hours, rtol=1e-12)


@pytest.mark.parametrize("end", ["2026-01-31", date(2026, 1, 31), "2026-01-31T23:59:59.999999"])
def test_events_outside_the_span_are_not_seen(end):
    frame = quotes()
    inside = frame[(frame["at"] >= "2025-12-01") & (frame["at"] < "2026-02-01")]
    with Tables({"quotes": frame}) as tables, Tables({"quotes": inside}) as cut:
        got = build_panel(tables, catalog(), start="2025-12-01", end=end)
        pd.testing.assert_frame_equal(got.frame, build_panel(cut, catalog()).frame)


def test_periods_follow_the_time_zone():
    events = pd.DataFrame(
        {
            "customer_id": [1],
            "at": ["2026-01-31T23:30:00Z"],
            "asked": ["2026-01-31T23:00:00Z"],
            "won": [1],
            "premium": [1],
        }
    )
    events[["at", "asked"]] = events[["at", "asked"]].apply(pd.to_datetime, utc=True)
    with Tables({"quotes": events}) as tables:
        months = [
            build_panel(tables, catalog(), time_zone=zone).frame["period"].dt.month[0]
            for zone in ("UTC", "Europe/Berlin")
        ]
        with pytest.raises(DataError, match="time zone 'Mars' is not known"):
            build_panel(tables, catalog(), time_zone="Mars")
    assert months == [1, 2]


def test_events_of_unknown_customers_are_counted():
    frame = quotes()
    with Tables({"quotes": frame, "customers": customers(50)}) as tables:
        panel = build_panel(tables, catalog())
    losses = {(name, reason): n for name, reason, n in panel.losses}
    assert losses["wait", "of unknown customers"] == (frame["customer_id"] > 50).sum()
    assert "of unknown customers" in str(panel)


def test_digest_changes_with_data_and_with_how_they_are_measured():
    with Tables({"quotes": quotes()}) as tables, Tables({"quotes": quotes(seed=9)}) as others:
        digests = [
            build_panel(tables, catalog()).digest,
            build_panel(tables, catalog()).digest,
            build_panel(others, catalog()).digest,
            build_panel(tables, catalog(), period="week").digest,
            build_panel(tables, catalog(cpi=measure("hours(asked, at)", cap=3.0))).digest,
        ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_an_indicator_without_data_is_named_not_hidden():
    frame = quotes()
    frame["never"] = np.nan
    with Tables({"quotes": frame}) as tables:
        panel = build_panel(tables, catalog(kpis={"won": measure("won"), "none": measure("never")}))
    assert ("none", "no data in the span", 0) in panel.losses
    assert panel.frame["none"].isna().all()
    assert [row["mean"] for row in panel._rows() if row["indicator"] == "none"] == ["no data"]


@pytest.mark.parametrize(
    ("extra", "options", "says"),
    [
        (
            {},
            {"start": "2027-01-01"},
            "no indicator has data in the span.\n  quotes has events from 2025-11-0. to 2026-0",
        ),
        ({}, {"end": "2020-01-01"}, "quotes has events from"),
        ({}, {"end": "01/02/2026"}, "'01/02/2026' is not a date"),
        ({}, {"end": "2026-02-01T10:00:00Z"}, "states a zone"),
        ({}, {"period": "fortnight"}, "period 'fortnight' is not known"),
        ({}, {"covariates": ["age"]}, "covariates need a table of customers"),
        ({"customers": customers()}, {"covariates": ["wage"]}, "column 'wage' is missing"),
        ({"customers": pd.concat([customers(), customers(1)])}, {}, "customers: 1 rows repeat a customer_id"),
        (
            {"customers": customers().assign(customer_id=lambda f: f["customer_id"] + 1000)},
            {},
            "belongs to a known unit",
        ),
        ({"customers": customers(1).assign(customer_id=np.nan)}, {}, "no rows with a unit"),
        ({"customers": customers().drop(columns="customer_id")}, {}, "column 'customer_id' is missing"),
    ],
)
def test_unusable_spans_and_customers_are_explained(extra, options, says):
    with Tables({"quotes": quotes(), **extra}) as tables, pytest.raises(DataError, match=says):
        build_panel(tables, catalog(), **options)


def test_times_read_as_text_ask_for_iso(tmp_path):
    quotes(50).assign(at="13/02/2026").to_csv(tmp_path / "q.csv", index=False)
    with Tables({"quotes": tmp_path / "q.csv"}) as tables, pytest.raises(DataError, match="Use ISO 8601"):
        build_panel(tables, catalog())


def test_event_tables_that_have_the_unit_are_counted_by_it():
    frame = quotes().assign(broker_id=lambda f: f["customer_id"] % 7)
    with Tables({"quotes": frame}) as tables:
        panel = build_panel(tables, catalog(), unit="broker_id")
    assert panel.n_units == 7
    assert panel.frame["quotes"].sum() == len(frame)


# -- a ready frame ---------------------------------------------------------------------------------------------------


def ready(**columns) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["b", "a", "a", "b"],
            "t": ["2026-02", "2026-01", "2026-02", "2026-01"],
            "x": [1.0, 2, 3, 4],
            "y": [0, 1, 0, 1.0],
            **columns,
        }
    )


def take(frame, **options) -> Panel:
    return Panel.from_frame(frame, **{"unit": "id", "time": "t", "cpis": ["x"], "kpis": ["y"], **options})


def test_a_ready_frame_is_sorted_and_summarised():
    panel = take(ready(c=["u", None, "v", "w"]), covariates=["c"])
    assert panel.frame["unit"].tolist() == ["a", "a", "b", "b"]
    assert panel.frame["x"].tolist() == [2, 3, 4, 1]
    assert str(panel).startswith("2 units (id) in 2 periods (month), 4 rows; 0 events set aside")
    assert panel.to_dict()["n_rows"] == 4
    assert panel.to_frame() is not panel.frame
    assert take(ready()).digest == take(ready()).digest != take(ready(x=[9.0, 2, 3, 4])).digest


@pytest.mark.parametrize(
    "times",
    [
        ["2026-02", "2026-01", "2026-02", "2026-01"],
        ["2026-02-27", "2026-01-15", "2026-02-01T12:00", "2026-01-31"],
        pd.to_datetime(["2026-02-27", "2026-01-15", "2026-02-01", "2026-01-31"]),
        pd.PeriodIndex(["2026-02", "2026-01", "2026-02", "2026-01"], freq="M"),
    ],
)
def test_times_in_any_iso_form_mean_the_same(times):
    assert take(ready(t=times)).frame["period"].dt.month.tolist() == [1, 2, 1, 2]


def test_quarters_and_whole_numbers_are_periods():
    quarters = take(ready(t=["2026Q2", "2026-Q1", "2026Q2", "2026Q1"]), period="quarter")
    assert quarters.frame["period"].dt.month.tolist() == [1, 4, 1, 4]
    years = take(ready(t=[1981, 1980, 1981, 1980]), period="year")
    assert years.frame["period"].tolist() == [1980, 1981, 1980, 1981]
    np.testing.assert_array_equal(years.lagged("x", 1), [np.nan, 2, np.nan, 4])


@pytest.mark.parametrize(
    ("frame", "options", "says"),
    [
        (ready(t=["2026-01"] * 4), {}, "2 rows repeat a unit and month; first: a in 2026-01-01; b in 2026-01-01"),
        (ready(t=["Q1 26"] * 4), {}, "'Q1 26' is not a time.\n  Use ISO 8601"),
        (ready(t=["2026-13"] * 4), {}, "'2026-13' is not a time"),
        (ready(t=[1.5, 1, 2, 3]), {}, "numbers that are not whole"),
        (ready(id=["a", None, "a", "b"]), {}, "1 of 4 rows cannot be placed: 1 without id"),
        (ready(x=[np.inf, 1, 2, 3]), {}, "column 'x' holds 1 infinite value"),
        (ready(x=["u", "v", "w", "x"]), {}, "column 'x' is text"),
        (ready(), {"kpis": ["x"]}, "column 'x' has two roles"),
        (ready(unit=1.0), {"kpis": ["unit"]}, "column 'unit' cannot be an indicator"),
        (ready(), {"cpis": [], "kpis": []}, "no CPI and no KPI is named"),
        (ready(), {"kpis": ["z"]}, "column 'z' is missing"),
        (ready(), {"period": "moon"}, "period 'moon' is not known"),
        (ready()[:0], {}, "no rows"),
    ],
)
def test_unusable_frames_are_explained(frame, options, says):
    with pytest.raises(DataError, match=says):
        take(frame, **options)


def test_a_few_rows_without_unit_are_counted():
    n = 100
    frame = pd.DataFrame({"id": ["a"] * (n - 1) + [None], "t": range(n), "x": np.arange(n) * 1.0, "y": 0.0})
    panel = take(frame)
    assert len(panel.frame) == n - 1
    assert panel.losses == (("all indicators", "without id", 1),)


def test_lags_never_jump_a_gap():
    frame = pd.DataFrame(
        {
            "id": ["a"] * 4 + ["b"],
            "t": ["2026-01", "2026-02", "2026-04", "2026-05", "2026-03"],
            "x": [1.0, 2, 4, 5, 3],
            "y": 0.0,
        }
    )
    panel = take(frame)
    np.testing.assert_array_equal(panel.lagged("x", 1), [np.nan, 1, np.nan, 4, np.nan])
    np.testing.assert_array_equal(panel.lagged("x", 2), [np.nan, np.nan, 2, np.nan, np.nan])
    np.testing.assert_array_equal(panel.lagged("x", -1), [2, np.nan, 5, np.nan, np.nan])
    np.testing.assert_array_equal(panel.lagged("x", 0), panel.frame["x"])
    assert np.isnan(panel.lagged("x", 99)).all()
    with pytest.raises(DataError, match="is missing"):
        panel.lagged("z", 1)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=25, unique=True), st.integers(-4, 4)
)
@settings(max_examples=40, deadline=None)
def test_lags_equal_a_merge(pairs, periods):
    frame = pd.DataFrame(pairs, columns=["id", "t"]).assign(x=lambda f: f["id"] * 100.0 + f["t"], y=0.0)
    panel = take(frame)
    expected = [
        unit * 100 + t - periods if (unit, t - periods) in set(pairs) else np.nan
        for unit, t in zip(panel.frame["unit"].astype(int), panel.frame["period"], strict=True)
    ]
    np.testing.assert_array_equal(panel.lagged("x", periods), expected)


# -- calendar --------------------------------------------------------------------------------------------------------


@given(
    st.datetimes(pd.Timestamp("1950-01-01").to_pydatetime(), pd.Timestamp("2100-01-01").to_pydatetime()),
    st.sampled_from(PERIODS),
)
@settings(max_examples=60, deadline=None)
def test_a_period_starts_at_or_before_its_times_and_has_their_number(time, period):
    times = np.array([time], dtype="datetime64[us]")
    start = period_start(times, period)
    assert start[0] <= times[0]
    assert period_number(start, period)[0] == period_number(times, period)[0]
    before = start - np.timedelta64(1, "us")
    assert period_number(before, period)[0] == period_number(times, period)[0] - 1


def test_open_spans_stay_open():
    assert bound(None, last=True, where="end") is None
    assert read_times(np.array(["2026-01-01T10:00:00"], dtype=object), where="t")[0] == np.datetime64(
        "2026-01-01T10:00"
    )


@pytest.mark.skipif(not (REAL / "olist_orders.csv.gz").exists(), reason="the shared data are not here")
def test_olist_monthly_waits_by_seller_state_equal_pandas():
    frame = pd.read_csv(REAL / "olist_orders.csv.gz", parse_dates=[3, 6])
    done = "order_delivered_customer_date"
    wait = measure(f"days(order_purchase_timestamp, {done})", table="orders", entity="order_status", at=done)
    found = catalog(
        unit="day",
        cpi=wait,
        kpis={
            "quotes": measure(
                "days(order_purchase_timestamp, order_approved_at)",
                Aggregate.COUNT,
                table="orders",
                entity="order_status",
                at="order_purchase_timestamp",
            )
        },
    )
    found = Catalog(
        cpis=found.cpis,
        kpis={
            "quotes": KPI(
                id="quotes", label="q", unit="day", better=Direction.HIGHER, measure=found.kpis["quotes"].measure
            )
        },
    )
    with Tables({"orders": REAL / "olist_orders.csv.gz"}) as tables:
        panel = build_panel(tables, found, unit="order_status")
    frame["wait"] = (frame[done] - frame["order_purchase_timestamp"]).dt.total_seconds() / 86400
    frame["month"] = frame[done].dt.to_period("M").dt.start_time.astype("datetime64[us]")
    expected = frame.dropna(subset=[done]).groupby(["order_status", "month"])["wait"].mean()
    got = panel.frame.set_index(["unit", "period"])["wait"].dropna()
    np.testing.assert_allclose(got.loc[expected.index], expected, rtol=1e-12)
    assert len(got) == len(expected)
