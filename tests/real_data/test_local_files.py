"""Real files of `../shared/data` through the doors; their licences do not let them travel with the package."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cpi_experiments as cpi
from cpi_experiments.hypotheses.candidates import hypothesis_of
from cpi_experiments.observational.fixed_effects import fixed_effects

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def path_of(name: str) -> Path:
    path = SHARED / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the checkout: its licence does not let it travel with the package")
    return path


# -- Cookie Cats: a true experiment whose arms are a little too unequal ------------------------------------------------


def test_a_moved_gate_keeps_fewer_players_and_the_split_wants_a_look() -> None:
    result = cpi.compare(
        path_of("cookie_cats"), arm="test_version", control="gate_30", outcomes=["retention_1", "retention_7"]
    )
    assert [str(result.integrity).split(". ")[0], result.integrity.blocks] == ["sample ratio: watch", False]
    assert result.integrity.p_value == pytest.approx(0.0086, abs=5e-5)
    day_1, day_7 = result["retention_1"], result["retention_7"]
    assert (day_1.n_control, day_1.n_treatment) == (44_700, 45_489)
    assert [day_1.control_mean, day_1.treatment_mean] == pytest.approx([0.4482, 0.4423], abs=5e-5)
    assert day_1.estimate.p_value == pytest.approx(0.0744, abs=5e-5)
    assert day_7.estimate.value == pytest.approx(-0.0082, abs=5e-5)
    assert day_7.estimate.p_value == pytest.approx(0.00156, abs=5e-6)


def test_a_split_planned_as_it_came_is_no_alarm() -> None:
    told = {"gate_30": 44_700, "gate_40": 45_489}
    found = cpi.compare(
        path_of("cookie_cats"), arm="test_version", control="gate_30", outcomes="retention_7", allocation=told
    )
    assert found.integrity.passed
    assert found.integrity.p_value == pytest.approx(1.0)


def test_a_wrong_arm_or_column_is_answered_with_those_there_are() -> None:
    path = path_of("cookie_cats")
    with pytest.raises(cpi.CpiError, match="Found: 'gate_30', 'gate_40'"):
        cpi.compare(path, arm="test_version", control="gate30", outcomes="retention_7")
    with pytest.raises(cpi.CpiError, match="Did you mean 'test_version'"):
        cpi.compare(path, arm="version", control="gate_30", outcomes="retention_7")


# -- Telco: numbers that are text, and third levels that look like "No" ------------------------------------------------


@pytest.mark.parametrize("read", [str, pd.read_csv])
def test_blank_charges_are_reported_not_read_as_zero(read: Callable[[Path], object]) -> None:
    data = read(path_of("telco_churn"))
    with pytest.raises(
        cpi.CpiError, match=r"'TotalCharges' is text; 11 of 7,043 values are not numbers.*' '"
    ) as caught:
        cpi.association(data, cpi="TotalCharges", kpi="MonthlyCharges")
    assert type(caught.value).__name__ == "DataError"
    assert "leave the cell empty if the value is unknown" in str(caught.value)


def test_blank_charges_made_missing_are_counted() -> None:
    frame = pd.read_csv(path_of("telco_churn"))
    frame["TotalCharges"] = pd.to_numeric(frame["TotalCharges"], errors="coerce")
    estimate = cpi.association(frame, cpi="tenure", kpi="TotalCharges")
    assert estimate.dropped == (("without TotalCharges", 11),)
    assert estimate.n_obs == 7032


def test_three_levels_of_support_are_not_two() -> None:
    frame = pd.read_csv(path_of("telco_churn")).assign(churned=lambda rows: (rows["Churn"] == "Yes") * 1.0)
    with pytest.raises(cpi.CpiError, match="text"):
        cpi.association(frame, cpi="TechSupport", kpi="churned")
    result = cpi.compare(frame, arm="TechSupport", control="No", outcomes="churned")
    assert {effect.arm for effect in result.effects} == {"Yes", "No internet service"}
    supported = result["churned", "Yes"]
    assert [supported.treatment_mean, supported.control_mean] == pytest.approx([0.1517, 0.4164], abs=5e-5)
    assert result["churned", "No internet service"].n_treatment == 1526


# -- a catalog over event tables -------------------------------------------------------------------------------------


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
    measure: {table: orders, entity: customer_state, at: order_delivered_customer_date,
              value: "days(order_purchase_timestamp, order_delivered_customer_date)"}
  - id: late
    label: Kept Promise
    outcome: "It came when you said"
    benefit: emotional
    function: operations
    unit: fraction
    better: lower
    increment: 1 pp
    measure: {table: orders, entity: customer_state, at: order_delivered_customer_date,
              value: "days(promised_day, delivered_day) > 0"}
kpis:
  - id: score
    label: Review score
    unit: star
    better: higher
    measure: {table: reviews, entity: customer_state, at: review_answer_timestamp, value: review_score}
links:
  - {cpi: delivery_days, kpi: score, because: "Waiting makes people angry", expect: positive, sesoi: 0.02 star}
"""

HOTEL = """\
cpis:
  - id: room_kept
    label: Room Kept
    outcome: "I get the room that I booked"
    benefit: functional
    function: operations
    unit: fraction
    better: higher
    increment: 1 pp
    measure: {table: bookings, entity: agent, at: arrival, value: kept}
kpis:
  - id: cancelled
    label: Cancelled
    unit: fraction
    better: lower
    measure: {table: bookings, entity: agent, at: status_at, value: is_canceled}
links:
  - {cpi: room_kept, kpi: cancelled, because: "Guests given another room feel cheated", expect: negative, sesoi: 0.1 pp}
"""


def catalog_of(text: str, folder: Path) -> cpi.Catalog:
    path = folder / "catalog.yaml"
    path.write_text(text, encoding="utf-8")
    return cpi.load_catalog(path)


def past_data(panel: cpi.Panel, catalog: cpi.Catalog, link: str) -> cpi.Estimate:
    claim = hypothesis_of(catalog, cpi.Link.parse(link))
    return fixed_effects(panel, claim, divisor=catalog.cpi(claim.link.cpi_id).divisor)


def check(estimate: cpi.Estimate, name: str) -> cpi.Diagnostic:
    return next(item for item in estimate.diagnostics if item.name == name)


@pytest.fixture(scope="module")
def olist() -> dict[str, pd.DataFrame]:
    """Orders and reviews with the customer's state, times read as times."""
    customers = pd.read_csv(path_of("olist_customers"))[["customer_id", "customer_unique_id", "customer_state"]]
    orders = pd.read_csv(path_of("olist_orders")).merge(customers, on="customer_id", validate="1:1")
    times = [name for name in orders if name.endswith(("_date", "_timestamp", "_at"))]
    orders[times] = orders[times].apply(pd.to_datetime)
    orders["delivered_day"] = orders["order_delivered_customer_date"].dt.normalize()
    orders["promised_day"] = orders["order_estimated_delivery_date"].dt.normalize()
    reviews = pd.read_csv(path_of("olist_order_reviews")).merge(orders[["order_id", "customer_state"]], on="order_id")
    for name in ("review_creation_date", "review_answer_timestamp"):
        reviews[name] = pd.to_datetime(reviews[name])
    return {"orders": orders, "reviews": reviews}


def test_delivery_by_state_and_month_is_what_pandas_counts(olist: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    with cpi.Tables(olist) as tables:
        panel = cpi.build_panel(tables, catalog_of(OLIST, tmp_path), unit="customer_state")
    assert (panel.n_units, panel.frame["period"].nunique()) == (27, 25)
    assert ("delivery_days", "without order_delivered_customer_date", 409) in panel.losses
    orders = olist["orders"].dropna(subset=["order_delivered_customer_date"])
    wait = (orders["order_delivered_customer_date"] - orders["order_purchase_timestamp"]).dt.total_seconds() / 86_400
    month = orders["order_delivered_customer_date"].dt.to_period("M").dt.to_timestamp()
    late = (orders["delivered_day"] > orders["promised_day"]) * 1.0
    peer = pd.DataFrame({"unit": orders["customer_state"], "period": month, "wait": wait, "late": late})
    peer = peer.groupby(["unit", "period"], as_index=False).mean()
    both = panel.frame.assign(period=pd.to_datetime(panel.frame["period"])).merge(peer, on=["unit", "period"])
    assert len(both) == len(peer) == int(panel.frame["delivery_days"].notna().sum())
    np.testing.assert_allclose(both["delivery_days"], both["wait"], rtol=1e-9)
    np.testing.assert_allclose(both["late_x"], both["late_y"], rtol=1e-9, atol=1e-12)


def test_a_promise_for_a_day_is_broken_on_the_next_day_not_at_midnight(olist: dict[str, pd.DataFrame]) -> None:
    orders = olist["orders"].dropna(subset=["order_delivered_customer_date"])
    by_day = orders["delivered_day"] > orders["promised_day"]
    by_moment = orders["order_delivered_customer_date"] > orders["order_estimated_delivery_date"]
    assert by_moment.sum() > 1.1 * by_day.sum()  # why the catalog above compares days


def test_waiting_goes_with_scores_but_the_placebo_says_not_to_read_it_as_an_effect(
    olist: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    catalog = catalog_of(OLIST, tmp_path)
    with cpi.Tables(olist) as tables:
        panel = cpi.build_panel(tables, catalog, unit="customer_state")
    estimate = past_data(panel, catalog, "delivery_days -> score")
    plain = cpi.association(panel.to_frame(), cpi="delivery_days", kpi="score", unit="unit", time="period")
    assert estimate.value == pytest.approx(-plain.value, rel=1e-9)  # per day faster, not per day longer
    assert estimate.ci_low > 0
    assert not check(estimate, "lead placebo").passed
    assert "26 clusters are few" in check(estimate, "clusters").advice


def test_times_that_are_text_are_refused_with_the_form_they_need(
    olist: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    orders = olist["orders"].assign(
        order_delivered_customer_date=olist["orders"]["order_delivered_customer_date"].dt.strftime("%d/%m/%Y")
    )
    with (
        cpi.Tables({**olist, "orders": orders}) as tables,
        pytest.raises(cpi.CpiError, match=r"'order_delivered_customer_date' is text, not a time(.|\n)*ISO 8601"),
    ):
        cpi.build_panel(tables, catalog_of(OLIST, tmp_path), unit="customer_state")


def test_one_person_has_many_order_ids_and_one_own(olist: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    catalog = catalog_of(OLIST.replace("entity: customer_state", "entity: customer_unique_id"), tmp_path)
    reviews = olist["reviews"].merge(olist["orders"][["order_id", "customer_unique_id"]], on="order_id")
    with cpi.Tables({**olist, "reviews": reviews}) as tables:
        people = cpi.build_panel(tables, catalog, unit="customer_unique_id", period="year")
        orders = cpi.build_panel(tables, catalog_of(OLIST, tmp_path), unit="customer_state", period="year")
    delivered = olist["orders"].dropna(subset=["order_delivered_customer_date"])
    known = set(delivered["customer_unique_id"]) | set(reviews["customer_unique_id"])
    assert people.n_units == len(known) < olist["orders"]["customer_id"].nunique()
    assert orders.n_units == 27


def test_files_straight_from_the_export_keep_times_and_ids(tmp_path: Path) -> None:
    paths = {"orders": path_of("olist_orders"), "customers": path_of("olist_customers")}
    with cpi.Tables(paths) as tables:
        kinds = tables.columns("orders")
        assert (kinds["order_delivered_customer_date"], kinds["order_id"]) == ("TIMESTAMP", "VARCHAR")
        assert tables.repeated_rows("orders") == 0
        ids = (
            "SELECT count(DISTINCT customer_id) AS orders, count(DISTINCT customer_unique_id) AS people FROM customers"
        )
        assert {name: int(values[0]) for name, values in tables.query(ids).items()} == {
            "orders": 22_870,
            "people": 22_684,
        }


# -- Hotel: a KPI that can happen before its CPI ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def bookings() -> pd.DataFrame:
    """Every booking with its arrival, the time of its last status, and whether the room was the one booked."""
    frame = pd.read_csv(path_of("hotel_bookings"))
    arrival = frame["arrival_date_year"].astype(str) + " " + frame["arrival_date_month"]
    days = arrival + " " + frame["arrival_date_day_of_month"].astype(str)
    return frame.assign(
        booking=np.arange(len(frame)),
        arrival=pd.to_datetime(days, format="%Y %B %d"),
        status_at=pd.to_datetime(frame["reservation_status_date"]),
        kept=(frame["reserved_room_type"] == frame["assigned_room_type"]) * 1,
    )


def test_no_control_repairs_a_kpi_that_happens_before_its_cpi(bookings: pd.DataFrame) -> None:
    frame = bookings.assign(changed=1.0 - bookings["kept"])
    controls = ["hotel", "lead_time", "adults", "deposit_type", "market_segment", "arrival_date_month"]
    estimate = cpi.association(frame, cpi="changed", kpi="is_canceled", controls=controls)
    assert -0.25 < estimate.value < -0.15  # rooms are given near check-in: who cancelled before still "has" the room
    assert (frame["status_at"] < frame["arrival"])[frame["is_canceled"] == 1].mean() > 0.9
    assert "not proof" in check(estimate, "past data").advice


def test_the_placebo_of_past_data_catches_a_kpi_that_happens_before_its_cpi(
    bookings: pd.DataFrame, tmp_path: Path
) -> None:
    catalog = catalog_of(HOTEL, tmp_path)
    named = bookings.assign(agent=bookings["agent"].fillna(0).astype(int))  # no agent means: booked directly
    with cpi.Tables({"bookings": named}) as tables:
        panel = cpi.build_panel(tables, catalog, unit="agent")
    assert (panel.n_units, panel.losses) == (334, ())
    estimate = past_data(panel, catalog, "room_kept -> cancelled")
    lead = check(estimate, "lead placebo")
    assert lead.p_value < 0.01
    assert "Do not read the slope as an effect" in lead.advice


def test_bookings_without_an_agent_are_not_left_out_silently(bookings: pd.DataFrame, tmp_path: Path) -> None:
    with (
        cpi.Tables({"bookings": bookings}) as tables,
        pytest.raises(cpi.CpiError, match="16,340 of 119,390 events are without agent, more than 5%"),
    ):
        cpi.build_panel(tables, catalog_of(HOTEL, tmp_path), unit="agent")


def test_a_table_that_does_not_say_when_is_refused(bookings: pd.DataFrame, tmp_path: Path) -> None:
    catalog = catalog_of(HOTEL.replace("at: arrival", "at: assigned_at"), tmp_path)
    with (
        cpi.Tables({"bookings": bookings}) as tables,
        pytest.raises(cpi.CpiError, match="column 'assigned_at' is missing"),
    ):
        cpi.build_panel(tables, catalog, unit="agent")
