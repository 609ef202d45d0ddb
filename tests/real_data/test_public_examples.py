"""Examples on data that packages from PyPI ship, typed as a reader of the documentation would type them."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cpi_experiments as cpi


@pytest.fixture(scope="module")
def thornton() -> pd.DataFrame:
    """Thornton (2008): a random cash offer and a random clinic, to come and collect an HIV test result."""
    return pytest.importorskip("causaldata").thornton_hiv.load_pandas().data.astype(float)


@pytest.fixture(scope="module")
def bookings() -> pd.DataFrame:
    """Cab bookings of Shmueli et al.; the file is read without importing its package, which asks for scikit-learn."""
    found = find_spec("mlba")
    if found is None or found.origin is None:
        pytest.skip("mlba, which ships the cab bookings, is not installed")
    return pd.read_csv(Path(found.origin).parent / "csvFiles" / "Taxi-cancellation-case.csv.gz")


# -- an encouragement: offer -> incentive -> result collected ---------------------------------------------------------


def test_an_offer_brings_45_points_more_people_to_their_result(thornton: pd.DataFrame) -> None:
    offered = thornton.dropna(subset=["any"])
    result = cpi.compare(offered, arm="any", control=0, outcomes="got", allocation={0: 623, 1: 2211})
    assert result["got"].control_mean == pytest.approx(0.3387, abs=5e-5)
    assert result["got"].treatment_mean == pytest.approx(0.7892, abs=5e-5)
    assert "+0.451" in str(result)
    assert "not used for got: 67 without got" in str(result)


def test_an_intended_split_that_is_not_given_is_not_guessed(thornton: pd.DataFrame) -> None:
    offered = thornton.dropna(subset=["any"])
    assert cpi.compare(offered, arm="any", control=0, outcomes="got").integrity.blocks
    assert "give `allocation` if the plan was not equal" in cpi.compare(
        offered, arm="any", control=0, outcomes="got"
    ).integrity.advice.replace("\n", " ")


def test_missing_outcomes_are_counted_and_are_not_failures(thornton: pd.DataFrame) -> None:
    estimate = cpi.association(thornton, cpi="distvct", kpi="got")
    assert estimate.dropped == (("without got", 1926),)
    assert estimate.n_obs + estimate.n_dropped == len(thornton) == 4820


def test_each_dollar_is_worth_35_points_where_the_offer_is_the_instrument(thornton: pd.DataFrame) -> None:
    link = cpi.link_effect(thornton, cpi="tinc", kpi="got", arm="any", control=0)
    used = thornton.dropna(subset=["any", "got", "tinc"])
    gaps = used[used["any"] == 1].mean() - used[used["any"] == 0].mean()
    assert link.estimate.value == pytest.approx(gaps["got"] / gaps["tinc"], rel=1e-12)
    assert link.sentence.startswith("Each 1 more of tinc adds 35.0 points to got (95% set 31.")
    assert link.f_effective > 1000
    assert f"F {link.f_effective:,.0f}" in str(link)  # not in powers of ten
    for part in (link.sentence, "For customers whose tinc", "sample ratio", "direct path", "not used"):
        assert part in link._repr_html_()  # a notebook shows what the terminal shows


def test_rows_without_a_village_are_not_put_into_one(thornton: pd.DataFrame) -> None:
    with pytest.raises(cpi.CpiError, match="rows have no 'villnum'"):
        cpi.association(thornton, cpi="tinc", kpi="got", controls=["any", "distvct"], cluster="villnum")


@pytest.mark.parametrize(
    ("cpi_column", "value", "std_error"),
    [("any", 0.3485, 0.0253), ("tinc", 0.0818, 0.0121), ("distvct", -0.0286, 0.0076)],
)
def test_doses_of_money_and_distance_within_villages(
    thornton: pd.DataFrame, cpi_column: str, value: float, std_error: float
) -> None:
    placed = thornton.dropna(subset=["villnum"])
    others = [name for name in ("any", "tinc", "distvct") if name != cpi_column]
    estimate = cpi.association(placed, cpi=cpi_column, kpi="got", controls=others, cluster="villnum")
    assert (estimate.n_obs, estimate.n_clusters) == (2830, 119)
    assert estimate.value == pytest.approx(value, abs=5e-5)
    assert estimate.std_error == pytest.approx(std_error, abs=5e-5)


# -- a link that needs an instrument: college -> wages ----------------------------------------------------------------


def test_years_of_school_are_worth_more_by_the_college_next_door_than_by_regression() -> None:
    frame = pytest.importorskip("causaldata").close_college.load_pandas().data
    past = cpi.association(frame, cpi="educ", kpi="lwage")
    link = cpi.link_effect(frame, cpi="educ", kpi="lwage", arm="nearc4", control=0)
    assert past.value == pytest.approx(0.052, abs=5e-4)  # Card (1995), raw least squares
    assert link.estimate.value == pytest.approx(0.188, abs=5e-4)  # the Wald estimate without controls
    assert link.ar_set[0][0] > past.ci_high
    assert link.integrity.blocks  # nobody drew where colleges stand: the toolkit says that this was no experiment


# -- the cab came, or not ---------------------------------------------------------------------------------------------


def first_bookings(bookings: pd.DataFrame) -> pd.DataFrame:
    """First booking of each user whose next 60 days could be seen, and whether the user booked again in them."""
    when = {"booked": "booking_created", "pickup": "from_date"}
    times = {name: pd.to_datetime(bookings[column], format="%m/%d/%y %H:%M") for name, column in when.items()}
    frame = bookings.assign(**times).sort_values(["booked", "row#"])
    last = frame["booked"].max()
    first = frame.drop_duplicates("user_id")
    pairs = first[["user_id", "row#", "pickup"]].merge(frame[["user_id", "row#", "booked"]], on="user_id")
    days = pairs["booked"] - pairs["pickup"]
    another = pairs["row#_x"] != pairs["row#_y"]
    again = pairs.loc[another & (days > pd.Timedelta(0)) & (days <= pd.Timedelta(days=60)), "row#_x"]
    first = first.assign(again=first["row#"].isin(again) * 1.0)
    return first[first["pickup"] <= last - pd.Timedelta(days=60)]


def test_customers_whose_cab_did_not_come_return_less_often(bookings: pd.DataFrame) -> None:
    result = cpi.compare(first_bookings(bookings), arm="Car_Cancellation", control=0, outcomes="again")
    effect = result["again"]
    assert (effect.n_control, effect.n_treatment) == (5412, 351)
    assert effect.control_mean == pytest.approx(645 / 5412, rel=1e-12)
    assert effect.treatment_mean == pytest.approx(0.0769, abs=5e-5)
    assert 1 + effect.rel_effect == pytest.approx(0.0769 / 0.1194, abs=2e-3)  # levels are too low: read the ratio
    assert result.integrity.blocks  # the company decided, not a lot: no experiment


def test_a_booking_made_after_its_own_pickup_is_all_that_differs_from_the_reference_of_11_94_percent(
    bookings: pd.DataFrame,
) -> None:
    frame = first_bookings(bookings)
    itself = (frame["booked"] > frame["pickup"]) & (frame["Car_Cancellation"] == 0)
    counted = frame.assign(again=np.maximum(frame["again"], itself))
    effect = cpi.compare(counted, arm="Car_Cancellation", control=0, outcomes="again")["again"]
    assert itself.sum() == 1
    assert effect.control_mean == pytest.approx(0.1194, abs=5e-5)
    assert effect.estimate.value == pytest.approx(-0.0424, abs=5e-5)
    assert effect.estimate.std_error == pytest.approx(0.0149, abs=5e-5)


def test_the_gap_shrinks_when_kinds_of_trips_are_held_constant(bookings: pd.DataFrame) -> None:
    frame = first_bookings(bookings)
    lead = (frame["pickup"] - frame["booked"]).dt.total_seconds() / 3600
    frame = frame.assign(
        log_lead=np.log1p(lead.clip(lower=0)),
        month=frame["pickup"].dt.strftime("%Y-%m"),
        channel=np.select(
            [frame["online_booking"] == 1, frame["mobile_site_booking"] == 1], ["online", "mobile"], "phone"
        ),
        travel=frame["travel_type_id"].astype(str),
    )
    estimate = cpi.association(
        frame, cpi="Car_Cancellation", kpi="again", controls=["channel", "travel", "log_lead", "month"]
    )
    assert estimate.value == pytest.approx(-0.0316, abs=5e-5)
    assert estimate.std_error == pytest.approx(0.0158, abs=5e-5)
    advice = " ".join(item.advice for item in estimate.diagnostics)
    assert "not proof that Car_Cancellation causes again" in advice
