"""The mess of real files, found and counted; the counts are those of the data's own page."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from cpi_experiments.catalog.contract import Contract, Limits, Range
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.quality.checks import check_data, check_join, check_table
from cpi_experiments.measure.quality.files import check_files
from cpi_experiments.measure.quality.quarantine import quarantine

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def path_of(name: str) -> Path:
    path = SHARED / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the checkout: its licence does not let it travel with the package")
    return path


def found(report, rule):
    return {each.column: each.rows for each in report.named(rule)}


def test_telco_blank_charges_third_answers_and_customers_alike() -> None:
    report = check_data(path_of("telco_churn"), contract=Contract(key=("customerID",), outcome="Churn"))
    assert report.passed
    assert found(report, "number-as-text") == {"TotalCharges": 11}
    assert found(report, "missing") == {"TotalCharges": 11}
    third = found(report, "third-answer")
    assert third.pop("MultipleLines") == 682
    assert set(third.values()) == {1_526}
    assert len(third) == 6
    assert found(report, "same-but-for-key") == {"": 22}
    assert not report.named("gives-outcome-away")


def test_telco_blank_charges_are_all_of_customers_without_a_month() -> None:
    contract = Contract(required_when={"TotalCharges": {"tenure": (0,)}})
    assert found(check_data(path_of("telco_churn"), contract=contract), "contradiction") == {"TotalCharges": 11}


HOTEL = Contract(
    outcome="is_canceled",
    missing={"meal": ("Undefined",), "distribution_channel": ("Undefined",)},
    ranges={"adr": Range(low=0, high=1000), "lead_time": Range(high=365)},
    not_all_zero=(("adults", "children", "babies"), ("stays_in_weekend_nights", "stays_in_week_nights")),
    limits=Limits(range=0.05),
)


def test_hotel_repeated_rows_codes_leak_and_impossible_values() -> None:
    report = check_data(path_of("hotel_bookings"), contract=HOTEL)
    assert [(each.severity, each.rows) for each in report.named("repeated-rows")] == [("error", 31_994)]
    missing = found(report, "missing")
    expected = {"meal": 1_169, "distribution_channel": 5, "agent": 16_340, "company": 112_593}
    assert {column: missing[column] for column in expected} == expected
    assert found(report, "out-of-range") == {"adr": 2, "lead_time": 3_148}
    nothing = found(report, "all-zero")
    assert nothing == {"adults, children, babies": 180, "stays_in_weekend_nights, stays_in_week_nights": 715}
    assert found(report, "mixed-codes") == {"country": 1_279}
    assert "999 rows" in report.named("mixed-codes")[0].found
    assert [each.column for each in report.named("gives-outcome-away")] == ["reservation_status"]


def test_hotel_each_end_of_the_daily_rate() -> None:
    counts = {}
    rates = pd.read_csv(path_of("hotel_bookings"), usecols=["adr"])
    for name, span in {"negative": Range(low=0), "above": Range(high=1000), "not above": Range(low=0.001)}.items():
        report = check_data(rates, contract=Contract(ranges={"adr": span}))
        counts[name] = found(report, "out-of-range")["adr"]
    assert counts == {"negative": 1, "above": 1, "not above": 1 + 1_959}


def test_hotel_agents_become_decimals_in_a_frame() -> None:
    frame = pd.read_csv(path_of("hotel_bookings"))
    report = check_data(frame, contract=Contract(kinds={"agent": "text"}))
    assert found(report, "id-as-float") == {"agent": 119_390 - 16_340}


OLIST_TIMES = [
    "order_purchase_timestamp", "order_approved_at", "order_delivered_carrier_date", "order_delivered_customer_date",
]  # fmt: skip
ORDERS = Contract(
    key=("order_id",),
    time="order_purchase_timestamp",
    time_zone="America/Sao_Paulo",
    orderings=(
        "order_approved_at <= order_delivered_carrier_date",
        "order_purchase_timestamp <= order_delivered_carrier_date",
        "order_delivered_carrier_date <= order_delivered_customer_date",
    ),
    required_when={"order_delivered_customer_date": {"order_status": ("delivered",)}},
    limits=Limits(negative=0.02),
)


def test_olist_orders_durations_contradictions_promises_and_clocks() -> None:
    report = check_data(path_of("olist_orders"), contract=ORDERS, as_of=date(2018, 8, 31))
    assert sorted(found(report, "negative-duration").values()) == [3, 40, 300]
    assert found(report, "contradiction") == {"order_delivered_customer_date": 1}
    assert found(report, "missing")["order_delivered_customer_date"] == 409
    assert found(report, "midnight-times") == {"order_estimated_delivery_date": 22_870}
    frame = pd.read_csv(path_of("olist_orders"), parse_dates=OLIST_TIMES)
    late = int((frame["order_purchase_timestamp"] >= "2018-09-01").sum())
    assert found(report, "future-rows") == {"order_purchase_timestamp": late}
    assert not report.named("skipped-hour")
    assert set(found(report, "doubled-hour")) <= set(OLIST_TIMES)
    bad = pd.Series(data=False, index=frame.index)
    for earlier, later in ((1, 2), (0, 2), (2, 3)):
        bad |= frame[OLIST_TIMES[earlier]] > frame[OLIST_TIMES[later]]
    bad |= frame["order_purchase_timestamp"] >= "2018-09-01"
    bad |= (frame["order_status"] == "delivered") & frame["order_delivered_customer_date"].isna()
    assert sum(rows for _, _, rows in report.losses) == int(bad.sum())
    with Tables({"orders": path_of("olist_orders")}) as tables:
        aside = quarantine(tables, "orders", ORDERS, salt="a secret of this test", as_of=date(2018, 8, 31))
    assert aside["row"].tolist() == (bad[bad].index + 1).tolist()


def test_olist_reviews_double_keys_and_joins_that_inflate() -> None:
    names = ("olist_orders", "olist_order_reviews")
    with Tables({name: path_of(name) for name in names}) as tables:
        report = check_table(tables, "olist_order_reviews", Contract(key=("order_id",)))
        assert report.named("double-key")[0].found.startswith("27 keys occur more than once")
        by_id = check_table(tables, "olist_order_reviews", Contract(key=("review_id",)))
        assert by_id.named("double-key")[0].found.startswith("2 keys occur more than once")
        join = check_join(tables, "olist_orders", "olist_order_reviews", on="order_id", most_unmatched=1.0)
    assert [(each.rule, each.rows) for each in join.findings if each.severity == "error"] == [("join-inflates", 27)]
    sampled = pd.read_csv(path_of("olist_orders"), usecols=["order_id", "sample"])
    asked = sampled[sampled["sample"].isin(["s1", "s2"])]
    assert len(asked) == 6_887
    assert join.named("join-unmatched")[0].rows == len(sampled) - len(asked) + 48


def test_olist_reviews_before_delivery() -> None:
    orders = pd.read_csv(path_of("olist_orders"), parse_dates=OLIST_TIMES)
    reviews = pd.read_csv(
        path_of("olist_order_reviews"), parse_dates=["review_creation_date", "review_answer_timestamp"]
    )
    last = reviews.sort_values("review_answer_timestamp").drop_duplicates("order_id", keep="last")
    both = orders[orders["order_status"] == "delivered"].merge(last, on="order_id")
    both = both.dropna(subset="order_delivered_customer_date")
    assert len(both) == 6_651
    both["delivered"], both["asked"] = (
        both["order_delivered_customer_date"].dt.normalize(),
        both["review_creation_date"],
    )
    report = check_data(both, contract=Contract(orderings=("delivered <= asked",)))
    assert found(report, "negative-duration") == {"delivered, asked": 350}
    assert report.named("negative-duration")[0].severity == "error"


def test_olist_customers_two_ids_and_leading_zeros() -> None:
    contract = Contract(key=("customer_id",), same_as={"customer_unique_id": "customer_id"})
    report = check_data(path_of("olist_customers"), contract=contract)
    assert [(each.rows, each.of) for each in report.named("two-ids")] == [(179, 22_684)]
    assert found(report, "leading-zeros") == {"customer_zip_code_prefix": 1_639}
    assert not report.named("double-key")


def test_overlapping_extracts_of_olist_are_found(tmp_path) -> None:
    orders = pd.read_csv(path_of("olist_orders"), dtype=str)
    again = orders.sample(2_130, random_state=1)
    for i, part in enumerate((orders[orders["sample"] <= "s2"], orders[orders["sample"] > "s2"]), start=1):
        more = again[~again["order_id"].isin(part["order_id"])]
        pd.concat([part, more]).to_csv(tmp_path / f"orders_{i}.csv", index=False)
    report = check_files(tmp_path / "orders_*.csv", contract=Contract(key=("order_id",)))
    assert [(each.severity, each.rows) for each in report.named("overlap")] == [("warning", 2_130)]


def test_cookie_cats_one_player_is_most_of_the_variance() -> None:
    report = check_data(path_of("cookie_cats"), contract=Contract(key=("userid",), kinds={"retention_1": "flag"}))
    assert [each.rule for each in report.findings] == ["one-row-is-everything"]
    assert "72% of the variance" in report.findings[0].found


def test_thornton_code_for_missing_and_missing_outcome() -> None:
    report = check_data(path_of("thornton_hiv"))
    assert found(report, "code-for-missing") == {"hiv2004": 14}
    assert found(report, "missing")["got"] == 1_926
    told = check_data(path_of("thornton_hiv"), contract=Contract(missing={"hiv2004": (-1,)}))
    assert not told.named("code-for-missing")


def test_taxi_two_digit_years_areas_as_decimals_and_negative_durations() -> None:
    times = ["booking_created", "from_date", "to_date"]
    pairs = ("booking_created <= from_date", "from_date <= to_date")
    refused = check_data(path_of("taxi_cancellation"), contract=Contract(orderings=pairs))
    assert set(found(refused, "two-digit-year")) == set(times)
    assert not refused.passed
    frame = pd.read_csv(path_of("taxi_cancellation"))
    for name in times:
        frame[name] = pd.to_datetime(frame[name], format="%m/%d/%y %H:%M")
    report = check_data(frame, contract=Contract(key=("row#",), orderings=pairs, limits=Limits(negative=0.05)))
    assert sorted(found(report, "negative-duration").values()) == [8, 340]
    assert {"from_area_id", "to_area_id"} <= set(found(report, "id-as-float"))
