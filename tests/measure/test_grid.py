"""Teams, segments, calendars and time zones: every unit has every period, and events are what is aggregated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.catalog.entities import CPI, KPI, Aggregate, Benefit, Catalog, Function, Measure
from cpi_experiments.errors import DataError
from cpi_experiments.measure import grid as grid_module
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.panel import Panel, build_panel
from cpi_experiments.measure.periods import period_number, period_start, skipped_times, start_of
from cpi_experiments.units import Direction, Increment

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def catalog(*, unit="hour", value="hours(asked, at)", score_table="quotes") -> Catalog:
    def measure(value, aggregate, table="quotes"):
        return Measure(table=table, entity="customer_id", at="at", value=value, aggregate=aggregate)

    wait = CPI(
        id="wait",
        label="Fast Quote",
        outcome="a price while I am looking",
        unit=unit,
        better=Direction.LOWER,
        increment=Increment.parse("1 hour"),
        measure=measure(value, Aggregate.MEAN),
        benefit=Benefit.FUNCTIONAL,
        function=Function.SALES,
    )
    kpis = {
        "won": ("fraction", measure("won", Aggregate.MEAN, score_table)),
        "revenue": ("EUR", measure("premium", Aggregate.SUM)),
        "middle": ("EUR", measure("premium", Aggregate.MEDIAN)),
    }
    return Catalog(
        cpis={"wait": wait},
        kpis={k: KPI(id=k, label=k, unit=u, better=Direction.HIGHER, measure=m) for k, (u, m) in kpis.items()},
    )


def quotes(n=2000, *, seed=3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    at = pd.Timestamp("2025-11-03") + pd.to_timedelta(rng.integers(0, 150 * 86400, n), unit="s")
    rows = pd.DataFrame(
        {
            "quote_id": np.arange(n),
            "customer_id": rng.integers(1, 61, n),
            "team_id": rng.choice(["blue", "red", "sea"], n, p=[0.6, 0.3, 0.1]),
            "at": at,
            "asked": at - pd.to_timedelta(rng.integers(60, 86400, n), unit="s"),
            "won": (rng.random(n) < 0.3).astype(float),
            "premium": rng.lognormal(4, 1, n),
        }
    )
    rows.loc[::50, "won"] = np.nan
    return rows


def customers(n=60) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    region = np.where(rng.random(n) < 0.5, "north", "south").astype(object)
    region[:3] = None
    return pd.DataFrame({"customer_id": range(1, n + 1), "region": region, "age": rng.integers(20, 70, n)})


def by_hand(rows: pd.DataFrame, unit: str) -> pd.DataFrame:
    rows = rows.assign(
        period=rows["at"].dt.to_period("M").dt.start_time.astype("datetime64[us]"),
        wait=(rows["at"] - rows["asked"]).dt.total_seconds() / 3600,
        who=rows["customer_id"].where(rows["won"].notna()),
    )
    found = rows.groupby([unit, "period"]).agg(
        wait=("wait", "mean"),
        won=("won", "mean"),
        revenue=("premium", "sum"),
        middle=("premium", "median"),
        events=("won", "count"),
        people=("who", "nunique"),
    )
    found.index.names = ["unit", "period"]
    return found


def check_against(panel: Panel, expected: pd.DataFrame) -> None:
    got = panel.frame.assign(events=panel.events["won"], people=panel.people["won"]).set_index(["unit", "period"])
    assert len(got) == panel.n_units * panel.frame["period"].nunique()
    for name in expected.columns:
        np.testing.assert_allclose(got.loc[expected.index, name], expected[name], rtol=1e-12, err_msg=name)


# -- teams and segments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{}, {"customers": customers()}])
def test_teams_aggregate_their_events(extra):
    rows = quotes()
    with Tables({"quotes": rows, **extra}) as tables:
        panel = build_panel(tables, catalog(), unit="team_id")
    assert (panel.n_units, panel.covariates) == (3, ())
    check_against(panel, by_hand(rows, "team_id"))


def test_teams_of_a_table_have_rows_without_events():
    teams = pd.DataFrame({"team_id": ["blue", "idle", "red", "sea"], "floor": [1, 2, 3, 4]})
    with Tables({"quotes": quotes(), "teams": teams}) as tables:
        panel = build_panel(tables, catalog(), unit="team_id", customers="teams", covariates=["floor"])
    idle = panel.frame[panel.frame["unit"] == "idle"]
    assert len(idle) == panel.frame["period"].nunique()
    assert (idle["revenue"] == 0).all()
    assert idle["wait"].isna().all()
    assert (idle["floor"] == 2).all()


def test_segments_aggregate_the_events_of_their_customers_not_customers_means():
    rows, people = quotes(), customers()
    with Tables({"quotes": rows, "customers": people}) as tables:
        panel = build_panel(tables, catalog(), unit="region")
    assert panel.frame["unit"].unique().tolist() == ["north", "south"]
    joined = rows.merge(people.dropna(), on="customer_id")
    check_against(panel, by_hand(joined, "region"))
    lost = len(rows) - len(joined)
    assert ("revenue", "of customers without a known region", lost) in panel.losses
    means = joined.groupby(["region", "customer_id"])["premium"].mean().groupby("region").mean()
    assert not np.allclose(panel.frame.groupby("unit")["middle"].mean(), means)


def test_segments_take_events_that_name_the_segment_themselves():
    rows, people = quotes(), customers().fillna({"region": "east"})
    named = rows.merge(people, on="customer_id")
    scores = rows[["quote_id", "customer_id", "at", "won"]]
    with Tables({"quotes": named, "scores": scores, "customers": people}) as tables:
        panel = build_panel(tables, catalog(score_table="scores"), unit="region")
    with Tables({"quotes": rows, "scores": scores, "customers": people}) as tables:
        joined = build_panel(tables, catalog(score_table="scores"), unit="region")
    pd.testing.assert_frame_equal(panel.frame, joined.frame, check_exact=True)


def test_cells_of_few_customers_can_be_hidden():
    with Tables({"quotes": quotes(300)}) as tables:
        panel = build_panel(tables, catalog(), unit="team_id")
    safe = panel.without_small_cells(10)
    small = (panel.people["revenue"] > 0) & (panel.people["revenue"] < 10)
    assert small.any()
    assert safe.frame.loc[small, "revenue"].isna().all()
    pd.testing.assert_series_equal(safe.frame.loc[~small, "revenue"], panel.frame.loc[~small, "revenue"])
    assert ("revenue", "cells of fewer than 10 customers hidden", int(small.sum())) in safe.losses
    assert safe.digest != panel.digest
    with pytest.raises(DataError, match="may not be shown"):
        panel.without_small_cells(2)
    with Tables({"quotes": quotes(300)}) as tables:
        each = build_panel(tables, catalog())
    assert (each.people, each.events) == ({}, {})
    with pytest.raises(DataError, match="is not known to be a group of persons"):
        each.without_small_cells()


@pytest.mark.parametrize(
    ("extra", "options", "says"),
    [
        (
            {},
            {"unit": "team_id", "catalog": catalog(score_table="scores")},
            r"won \(scores\)(.|\n)*no column 'team_id'",
        ),
        ({"customers": customers()}, {"unit": "region", "covariates": ["age"]}, "describe customers, not a region"),
        ({"customers": customers().assign(region=None)}, {"unit": "region"}, "no rows with a unit"),
        ({"customers": pd.concat([customers(), customers(1)])}, {"unit": "region"}, "1 rows repeat a customer_id"),
        (
            {"customers": customers()},
            {"unit": "team_id", "covariates": ["age"]},
            "covariates need a table of customers",
        ),
        ({}, {"indicators": ["wat"]}, "'wat' is neither a CPI nor a KPI of the catalog.\n  Did you mean 'wait'"),
        ({}, {"fiscal_year_start": 13}, "cannot start in month 13"),
    ],
)
def test_units_that_do_not_fit_are_explained(extra, options, says):
    scores = quotes(50)[["quote_id", "customer_id", "at", "won"]]
    chosen = {"catalog": catalog(), **options}
    with Tables({"quotes": quotes(), "scores": scores, **extra}) as tables, pytest.raises(DataError, match=says):
        build_panel(tables, **chosen)


def test_only_named_indicators_are_measured():
    scores = quotes(50)[["quote_id", "customer_id", "at", "won"]]
    with Tables({"quotes": quotes(), "scores": scores}) as tables:
        panel = build_panel(tables, catalog(score_table="scores"), unit="team_id", indicators=["revenue", "wait"])
    assert (panel.cpis, panel.kpis) == (("wait",), ("revenue",))


def test_a_time_far_off_does_not_fill_the_memory(monkeypatch):
    rows = quotes()
    rows.loc[0, ["at", "asked"]] = pd.Timestamp("2225-01-01")
    monkeypatch.setattr(grid_module, "MOST_NUMBERS", 100_000)
    with Tables({"quotes": rows, "customers": customers()}) as tables:
        with pytest.raises(DataError, match=r"4 indicators of 60 units in 2,391 periods are too many numbers"):
            build_panel(tables, catalog())
        assert len(build_panel(tables, catalog(), end="2026-12-31").frame) == 60 * 6


# -- calendars -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", ["quarter", "year"])
@pytest.mark.parametrize("start", [1, 2, 4, 10, 12])
def test_fiscal_periods_start_where_the_year_does(period, start):
    rows = quotes(800)
    with Tables({"quotes": rows}) as tables:
        panel = build_panel(tables, catalog(), period=period, fiscal_year_start=start)
    last = (pd.Timestamp(2026, start, 1) - pd.Timedelta(days=1)).strftime("%b").upper()
    freq = rows["at"].dt.to_period(f"{'Q' if period == 'quarter' else 'Y'}-{last}")
    expected = rows.groupby(["customer_id", freq.dt.start_time.astype("datetime64[us]")])["premium"].sum()
    got = panel.frame.set_index(["unit", "period"])["revenue"].dropna()
    np.testing.assert_allclose(got.loc[expected.index], expected, rtol=1e-12)
    assert len(got) == len(expected)
    assert panel.lagged("revenue", 1).shape == (len(panel.frame),)
    assert panel.fiscal_year_start == start


@given(
    st.datetimes(pd.Timestamp("1950-01-01").to_pydatetime(), pd.Timestamp("2100-01-01").to_pydatetime()),
    st.sampled_from(["month", "quarter", "year"]),
    st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_a_fiscal_period_holds_its_times_and_neighbours_differ_by_one(time, period, start):
    times = np.array([time], dtype="datetime64[us]")
    number = period_number(times, period, fiscal_year_start=start)
    begin, end = (start_of(number + step, period, fiscal_year_start=start)[0] for step in (0, 1))
    assert begin <= times[0] < end
    assert period_start(times, period, fiscal_year_start=start)[0] == begin
    if period != "month":
        assert (begin.astype("datetime64[M]").astype(int) - (start - 1)) % {"quarter": 3, "year": 12}[period] == 0


def test_ready_rows_follow_the_fiscal_year_too():
    frame = pd.DataFrame({"id": [1, 1], "t": ["2026-01-15", "2026-04-02"], "x": [1.0, 2.0], "y": [0.0, 1.0]})
    fiscal, usual = (
        Panel.from_frame(frame, unit="id", time="t", cpis=["x"], kpis=["y"], period="quarter", fiscal_year_start=start)
        for start in (2, 1)
    )
    assert fiscal.frame["period"].dt.strftime("%Y-%m").tolist() == ["2025-11", "2026-02"]
    np.testing.assert_array_equal(fiscal.lagged("x", 1), [np.nan, 1.0])
    assert fiscal.digest != usual.digest


def test_leads_are_lags_that_look_ahead():
    with Tables({"quotes": quotes(), "customers": customers()}) as tables:
        panel = build_panel(tables, catalog())
    wide = panel.frame.pivot_table(index="unit", columns="period", values="wait", dropna=False)
    for step in (-2, -1, 1, 3):
        np.testing.assert_array_equal(panel.lagged("wait", step), wide.shift(step, axis=1).to_numpy().ravel())


# -- clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Europe/Berlin", "2026-06-01", 24),
        ("America/Sao_Paulo", "2017-10-15", 23),
        ("America/Sao_Paulo", "2018-02-17", 25),
    ],
)
def test_days_on_which_clocks_change_have_their_hours(zone, day, hours):
    around = pd.date_range(pd.Timestamp(day) - pd.Timedelta(days=2), periods=5 * 24, freq="h", tz="UTC")
    rows = pd.DataFrame({"customer_id": 1, "at": around, "asked": around, "won": 1.0, "premium": 1.0})
    with Tables({"quotes": rows}) as tables:
        frame = build_panel(tables, catalog(), period="day", time_zone=zone).frame
    assert frame.set_index("period")["revenue"][pd.Timestamp(day)] == hours


def test_skipped_hours_are_those_of_the_zone():
    first, last = np.datetime64("2016-01-01"), np.datetime64("2018-12-31")
    assert skipped_times("America/Sao_Paulo", first, last) == (
        ("2016-10-16T00:00:00", "2016-10-16T01:00:00"),
        ("2017-10-15T00:00:00", "2017-10-15T01:00:00"),
        ("2018-11-04T00:00:00", "2018-11-04T01:00:00"),
    )
    assert skipped_times("UTC", first, last) == ()
    assert skipped_times("Europe/Berlin", np.datetime64("2026-03-29T03:00"), last) == ()


def in_the_gap(times) -> pd.DataFrame:
    at = pd.to_datetime(pd.Series(times))
    return pd.DataFrame({"customer_id": range(len(at)), "at": at, "asked": at, "won": 1.0, "premium": 1.0})


def test_times_that_never_were_are_refused_with_their_count_and_the_rules():  # B14
    rows = in_the_gap(["2026-03-29 02:30", "2026-03-29 02:59", "2026-03-29 03:00", "2026-03-29 01:59"])
    says = (
        r"quotes: 2 times in 'at' never happened in Europe/Berlin, such as 2026-03-29 02:30(.|\n)*skipped=\"forward\""
    )
    with Tables({"quotes": rows}) as tables:
        with pytest.raises(DataError, match=says):
            build_panel(tables, catalog(), time_zone="Europe/Berlin")
        panel = build_panel(tables, catalog(), period="day", time_zone="Europe/Berlin", skipped="forward")
        assert build_panel(tables, catalog(), time_zone="UTC").losses == ()
        with pytest.raises(DataError, match="rule 'backward' for skipped hours is not known"):
            build_panel(tables, catalog(), time_zone="Europe/Berlin", skipped="backward")
    assert set(panel.frame["period"]) == {pd.Timestamp("2026-03-29")}
    assert ("won", "in an hour that clocks of Europe/Berlin skip, read one hour later", 2) in panel.losses


def test_days_written_as_midnights_are_in_no_gap():
    rows = in_the_gap(["2017-10-14", "2017-10-15", "2017-10-16"])
    with Tables({"quotes": rows}) as tables:
        panel = build_panel(tables, catalog(), period="day", time_zone="America/Sao_Paulo")
    assert panel.losses == ()


@pytest.mark.skipif(not (SHARED / "olist_orders.csv.gz").exists(), reason="the shared data are not here")
def test_olist_purchases_were_written_by_a_clock_that_shows_sao_paulo():
    at = "order_purchase_timestamp"
    wait = Measure(table="orders", entity="order_status", at=at, value=f"hours({at}, order_approved_at)")
    found = catalog()
    found = Catalog(
        cpis={"wait": CPI(**{n: getattr(found.cpis["wait"], n) for n in CPI.__slots__} | {"measure": wait})}, kpis={}
    )
    with Tables({"orders": SHARED / "olist_orders.csv.gz"}) as tables:
        panel = build_panel(tables, found, unit="order_status", time_zone="America/Sao_Paulo")
    assert panel.n_units > 3  # no order was placed in an hour that clocks skipped


# -- what must not matter --------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(0, 600))
@settings(max_examples=4, deadline=None)
def test_neither_row_order_nor_files_change_one_bit(tmp_path_factory, seed, cut):
    folder = tmp_path_factory.mktemp("files")
    rows = quotes(600)
    shuffled = rows.sample(frac=1, random_state=seed % 1000)
    for i, part in enumerate((shuffled[:cut], shuffled[cut:])):
        if len(part):
            part.to_parquet(folder / f"part{i}.parquet")
    frames = []
    for source in (rows, shuffled, folder / "part*.parquet"):
        for unit in ("customer_id", "team_id"):
            with Tables({"quotes": source}) as tables:
                frames.append(build_panel(tables, catalog(), unit=unit).frame)
    for frame in frames[2:]:
        like = frames[0] if len(frame) == len(frames[0]) else frames[1]
        pd.testing.assert_frame_equal(frame, like, check_exact=True)


def test_minutes_are_sixty_times_hours():
    with Tables({"quotes": quotes()}) as tables:
        hours = build_panel(tables, catalog()).frame["wait"]
        minutes = build_panel(tables, catalog(unit="minute", value="minutes(asked, at)")).frame["wait"]
    np.testing.assert_allclose(minutes, 60 * hours, rtol=1e-14)
    assert catalog().cpi("wait").divisor * 60 == catalog(unit="minute", value="minutes(asked, at)").cpi("wait").divisor


def test_values_too_large_for_exact_sums_are_still_summed():
    rows = quotes(300).assign(premium=lambda frame: frame["premium"] * 1e15)
    with Tables({"quotes": rows}) as tables:
        panel = build_panel(tables, catalog(), unit="team_id")
    np.testing.assert_allclose(panel.frame["revenue"].sum(), rows["premium"].sum(), rtol=1e-12)


def test_events_outside_the_span_are_counted():
    rows = quotes()
    with Tables({"quotes": rows}) as tables:
        panel = build_panel(tables, catalog(), start="2025-12-01", end="2026-01-31")
    early, late = (rows["at"] < "2025-12-01").sum(), (rows["at"] >= "2026-02-01").sum()
    assert ("revenue", "before 2025-12-01", early) in panel.losses
    assert ("revenue", "after 2026-01-31", late) in panel.losses
