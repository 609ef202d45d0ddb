"""A cause is measured before its effect: rows, cells, trials and past data that break it are refused or flagged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.analysis import past_evidence
from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.errors import DataError
from cpi_experiments.estimate import Link
from cpi_experiments.hypotheses.candidates import hypothesis_of
from cpi_experiments.measure import order as order_module
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.order import Order, check_order, order_of_times
from cpi_experiments.measure.panel import Panel, build_panel
from cpi_experiments.measure.units import measure_units

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
CATALOG = """\
cpis:
  - id: room_kept
    label: Room Kept
    outcome: "I get the room that I booked"
    benefit: functional
    function: operations
    unit: fraction
    better: higher
    increment: 1 pp
    measure: {table: bookings, entity: guest, at: arrival, value: kept}
kpis:
  - id: cancelled
    label: Cancelled
    unit: fraction
    better: lower
    measure: {table: KPI_TABLE, entity: guest, at: status_at, value: is_canceled}
links:
  - {cpi: room_kept, kpi: cancelled, because: "Another room feels like cheating", expect: negative, sesoi: 0.1 pp,
     lag: LAG}
"""


def path_of(name: str) -> Path:
    path = SHARED / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the checkout: its licence does not let it travel with the package")
    return path


def hotel(tmp_path, *, table="bookings", lag="0-28 days"):
    (tmp_path / "catalog.yaml").write_text(CATALOG.replace("KPI_TABLE", table).replace("LAG", lag), encoding="utf-8")
    return load_catalog(tmp_path / "catalog.yaml")


def bookings(n=3000, *, before=0.4, seed=5) -> pd.DataFrame:
    """One guest may book often; a share of the bookings gets its status before the arrival, the others after it."""
    rng = np.random.default_rng(seed)
    arrival = pd.Timestamp("2026-01-05") + pd.to_timedelta(rng.integers(0, 150 * 24, n), unit="h")
    early = rng.random(n) < before
    days = np.where(early, -rng.uniform(0.1, 3, n), rng.uniform(0.1, 3, n))
    return pd.DataFrame(
        {
            "booking": np.arange(n),
            "guest": rng.integers(1, 41, n),
            "arrival": arrival,
            "status_at": (arrival + pd.to_timedelta(days, unit="D")).floor("s"),
            "kept": rng.random(n) < 0.8,
            "is_canceled": rng.random(n) < 0.3,
        }
    )


def evidence_of(rows, catalog) -> object:
    with Tables(rows) as tables:
        panel = build_panel(tables, catalog, unit="guest")
    return past_evidence(panel, catalog, hypothesis_of(catalog, Link.parse("room_kept -> cancelled")))


# -- the rule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by_row", "n", "before", "after", "passed", "blocks"),
    [
        (True, 100, 0, 100, True, False),
        (True, 100, 10, 90, False, False),  # ten percent is still an accident
        (True, 100, 11, 89, False, True),
        (False, 100, 30, 20, False, False),  # sixty percent of the ordered ones
        (False, 100, 31, 20, False, True),
        (False, 100, 0, 0, True, False),  # all alternate
        (True, 0, 0, 0, True, False),
    ],
)
def test_order_is_refused_beyond_its_share_and_flagged_below(by_row, n, before, after, passed, blocks):
    found = check_order(Order(cpi="hours", kpi="won", by_row=by_row, n=n, before=before, after=after))
    assert (found.passed, found.blocks) == (passed, blocks)
    assert bool(found.advice) == (not passed)
    if not passed:
        assert f"In {before:,} of" in found.advice
        assert "won is measured before hours" in found.advice


def test_limits_can_be_stated():
    found = Order(cpi="hours", kpi="won", by_row=True, n=100, before=5, after=95)
    assert check_order(found, most_rows=0.04).blocks
    assert not check_order(found).blocks


def test_alternating_cells_are_neither_before_nor_after():
    def days(*texts):
        return np.array([f"2026-01-{text}" for text in texts], dtype="datetime64[us]")

    cpi, kpi = (days("02", "02", "02"), days("05", "05", "05")), (days("01", "03", "05"), days("01", "04", "09"))
    found = order_of_times(("hours", "won"), cpi, kpi)
    assert (found.n, found.before, found.after, found.mixed) == (3, 1, 1, 1)


def test_days_are_compared_with_days():
    day, noon = (np.array([f"2026-01-02{text}"], dtype="datetime64[us]") for text in ("", "T12"))
    assert order_of_times(("hours", "won"), (noon, noon), (day, day)).before == 0
    rows = bookings(300, before=0.0).assign(status_at=lambda rows: rows["arrival"].dt.normalize())
    assert check_order(
        Order(cpi="c", kpi="k", by_row=True, n=300, before=int((rows["status_at"] < rows["arrival"]).sum()), after=0)
    ).blocks


# -- panels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "blocks"), [(0.4, True), (0.05, False)])
def test_one_row_that_records_both_is_counted_by_row(tmp_path, before, blocks):
    rows = bookings(before=before)
    with Tables({"bookings": rows}) as tables:
        panel = build_panel(tables, hotel(tmp_path), unit="guest")
    expected = int((rows["status_at"] < rows["arrival"]).sum())
    assert [(each.by_row, each.n, each.before) for each in panel.orders] == [(True, len(rows), expected)]
    assert panel.order_of("room_kept", "cancelled").blocks == blocks


@pytest.mark.parametrize("enough", [20_000, 10])
def test_two_tables_meet_in_cells_as_pandas_pairs_them(tmp_path, monkeypatch, enough):
    monkeypatch.setattr(order_module, "ENOUGH_UNITS", enough)
    rows = bookings(400)
    guests = pd.DataFrame({"guest": range(1, 41)})
    source = {"bookings": rows, "statuses": rows[["booking", "guest", "status_at", "is_canceled"]], "customers": guests}
    with Tables(source) as tables:
        (found,) = build_panel(tables, hotel(tmp_path, table="statuses"), unit="guest").orders
    every = 1 if enough > 40 else 4
    some = rows[(rows["guest"] - 1) % every == 0]

    def ends(at):
        month = some[at].dt.to_period("M")
        return some.groupby(["guest", month.rename("month")])[at].agg(["min", "max"])

    both = ends("arrival").join(ends("status_at").add_suffix("_kpi"), how="inner")
    assert (found.by_row, found.every) == (False, every)
    assert found.n == len(both)
    assert found.before == (both["max_kpi"] < both["min"]).sum() > 0
    assert found.after == (both["min_kpi"] >= both["max"]).sum() > 0
    assert ("of every 4th unit" in check_order(found).advice) == (every == 4)


def test_kpi_before_its_cpi_is_no_past_evidence(tmp_path):
    with pytest.raises(DataError, match=r"In 1,\d+ of 3,000 rows \(\d+%\) cancelled is measured before room_kept"):
        evidence_of({"bookings": bookings()}, hotel(tmp_path))


def test_a_few_rows_in_the_wrong_order_are_told_beside_the_estimate(tmp_path):
    estimate = evidence_of({"bookings": bookings(before=0.05)}, hotel(tmp_path)).estimate
    (told,) = [each for each in estimate.diagnostics if each.name == "order of measuring"]
    assert not told.passed
    assert "Leave those rows out" in told.advice


@pytest.mark.parametrize(("before", "lag"), [(0.0, "0-28 days"), (0.4, "28-56 days")])
def test_right_order_and_later_periods_say_nothing(tmp_path, before, lag):
    estimate = evidence_of({"bookings": bookings(before=before)}, hotel(tmp_path, lag=lag)).estimate
    assert "order of measuring" not in [each.name for each in estimate.diagnostics]


def test_ready_rows_do_not_pretend_to_know_the_order():
    frame = pd.DataFrame({"id": [1, 1], "month": ["2026-01", "2026-02"], "hours": [3.0, 2.0], "won": [0, 1]})
    found = Panel.from_frame(frame, unit="id", time="month", cpis=["hours"], kpis=["won"]).order_of("hours", "won")
    assert (found.passed, found.blocks) == (False, False)
    assert "is not in this panel" in found.advice


# -- trials ----------------------------------------------------------------------------------------------------------


def test_a_trial_knows_when_each_value_was_complete(tmp_path):
    rows = bookings(200)
    rows["is_canceled"] = rows["is_canceled"].astype(float).where(rows["booking"] % 5 > 0)  # some have no answer
    assigned = pd.DataFrame(
        {"experiment": "e", "guest": range(1, 42), "arm": ["new", "old"] * 20 + ["new"], "assigned_at": "2026-02-01"}
    )
    assigned["assigned_at"] = pd.to_datetime(assigned["assigned_at"])
    statuses = rows[["booking", "guest", "status_at", "is_canceled"]]
    with Tables({"bookings": rows, "statuses": statuses, "assignments": assigned}) as tables:
        catalog = hotel(tmp_path, table="statuses")
        data = measure_units(tables, catalog, experiment="e", cpis=["room_kept"], kpis=["cancelled"], unit="guest")
    window = (pd.Timestamp("2026-02-01"), pd.Timestamp("2026-03-01") - pd.Timedelta(microseconds=1))
    inside = rows[rows["arrival"].between(*window)]
    answered = rows[rows["status_at"].between(*window) & rows["is_canceled"].notna()]
    index = pd.Index(range(1, 42), name="guest")
    expected = {
        "room_kept": inside.groupby("guest")["arrival"].max().reindex(index),
        "cancelled": answered.groupby("guest")["status_at"].min().reindex(index),
    }
    for name, times in expected.items():
        np.testing.assert_array_equal(data.measured_at[name], times.to_numpy().astype("datetime64[us]"))
    assert np.isnat(data.measured_at["room_kept"][-1])  # guest 41 never came
    (found,) = data.orders
    assert found.n == len(set(inside["guest"]) & set(answered["guest"]))
    assert data.order_of("room_kept", "cancelled").name == "order of measuring"
    with pytest.raises(DataError, match="were not measured together"):
        data.order_of("room_kept", "won")


# -- the real traps --------------------------------------------------------------------------------------------------


def test_hotel_cancellations_come_before_the_room_is_given(tmp_path):
    frame = pd.read_csv(path_of("hotel_bookings"))
    day = frame["arrival_date_year"].astype(str) + " " + frame["arrival_date_month"]
    day += " " + frame["arrival_date_day_of_month"].astype(str)
    rows = pd.DataFrame(
        {
            "booking": np.arange(len(frame)),
            "guest": frame["agent"].fillna(0).astype(int),
            "arrival": pd.to_datetime(day, format="%Y %B %d"),
            "status_at": pd.to_datetime(frame["reservation_status_date"]),
            "kept": frame["reserved_room_type"] == frame["assigned_room_type"],
            "is_canceled": frame["is_canceled"],
        }
    )
    with pytest.raises(DataError, match=r"of 119,390 rows \(3\d%\) cancelled is measured before room_kept"):
        evidence_of({"bookings": rows}, hotel(tmp_path))


OLIST = """\
units: [star]
cpis:
  - id: delivery_days
    label: Fast Delivery
    outcome: "It is here when I need it"
    benefit: functional
    function: operations
    unit: day
    better: lower
    increment: 1 day
    measure: {table: orders, entity: state, at: delivered_at, value: "days(bought_at, delivered_at)"}
kpis:
  - id: score
    label: Review score
    unit: star
    better: higher
    measure: {table: orders, entity: state, at: reviewed_at, value: review_score}
links:
  - {cpi: delivery_days, kpi: score, because: "Waiting makes people angry", expect: positive, sesoi: 0.02 star}
"""


def test_olist_reviews_before_delivery_are_flagged_with_their_count(tmp_path):
    orders = pd.read_csv(path_of("olist_orders"))
    reviews = pd.read_csv(path_of("olist_order_reviews"))
    people = pd.read_csv(path_of("olist_customers"))[["customer_id", "customer_state"]]
    last = reviews.sort_values("review_answer_timestamp").drop_duplicates("order_id", keep="last")
    rows = orders[orders["order_status"] == "delivered"].merge(last, on="order_id").merge(people, on="customer_id")
    rows = pd.DataFrame(
        {
            "order_id": rows["order_id"],
            "state": rows["customer_state"],
            "bought_at": pd.to_datetime(rows["order_purchase_timestamp"]),
            "delivered_at": pd.to_datetime(rows["order_delivered_customer_date"]),
            "reviewed_at": pd.to_datetime(rows["review_creation_date"]),
            "review_score": rows["review_score"],
        }
    )
    (tmp_path / "catalog.yaml").write_text(OLIST, encoding="utf-8")
    catalog = load_catalog(tmp_path / "catalog.yaml")
    with Tables({"orders": rows}) as tables:
        panel = build_panel(tables, catalog, unit="state")
    (order,) = panel.orders
    assert (order.by_row, order.n) == (True, 6_651)
    assert order.before == 350
    found = past_evidence(panel, catalog, hypothesis_of(catalog, Link.parse("delivery_days -> score")))
    told = [each.advice for each in found.estimate.diagnostics if each.name == "order of measuring"]
    (advice,) = told
    assert advice.startswith("In 350 of 6,651 rows (5%) score is measured before delivery_days. Leave those rows out")
