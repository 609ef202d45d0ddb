from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.catalog.entities import CPI, KPI, Aggregate, Benefit, Catalog, Function, Measure
from cpi_experiments.errors import CatalogError, DataError
from cpi_experiments.measure.engine import Tables, quote
from cpi_experiments.measure.events import count_losses, events_sql
from cpi_experiments.measure.indicators import find_indicators, key_sql
from cpi_experiments.units import Direction, Increment

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def cpi(name, *, unit="hour", value="hours(asked, answered)", step="1 hour", **measure) -> CPI:
    fields = {"table": "quotes", "entity": "customer_id", "at": "answered", **measure}
    return CPI(
        id=name,
        label=name,
        outcome="so that I can decide",
        unit=unit,
        better=Direction.LOWER,
        increment=Increment.parse(step),
        measure=Measure(value=value, **fields),
        benefit=Benefit.FUNCTIONAL,
        function=Function.SALES,
    )


def kpi(name, *, unit="fraction", value="won", **measure) -> KPI:
    fields = {"table": "quotes", "entity": "customer_id", "at": "answered", **measure}
    return KPI(id=name, label=name, unit=unit, better=Direction.HIGHER, measure=Measure(value=value, **fields))


def catalog(*entities) -> Catalog:
    return Catalog(
        cpis={each.id: each for each in entities if isinstance(each, CPI)},
        kpis={each.id: each for each in entities if isinstance(each, KPI)},
    )


def quotes(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    asked = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 90 * 86400, n), unit="s")
    return pd.DataFrame(
        {
            "customer_id": rng.integers(1, 20, n),
            "asked": asked,
            "answered": asked + pd.to_timedelta(rng.integers(60, 20 * 3600, n), unit="s"),
            "won": rng.random(n) < 0.3,
            "channel": rng.choice(["web", "o'phone"], n),
            "premium": rng.lognormal(3, 1, n),
        }
    )


def measured(frame: pd.DataFrame, entity) -> tuple[pd.DataFrame, tuple]:
    """Clean values by event, and the losses."""
    with Tables({"quotes": frame}) as tables:
        found = find_indicators(tables, catalog(entity), [entity.id])
        key = key_sql(tables, [("quotes", "customer_id")])
        values = tables.frame(events_sql(tables, found, key=key))
        aggregate = found[0].aggregate("v0", "TRUE")
        values.attrs["aggregate"] = tables.query(
            f"SELECT {aggregate} AS a FROM ({events_sql(tables, found, key=key)})"
        )["a"][0]
        return values, count_losses(tables, found)


@pytest.mark.parametrize("aggregate", list(Aggregate))
@pytest.mark.parametrize("value", ["hours(asked, answered)", "premium / 2 + 1"])
def test_aggregates_equal_pandas(aggregate, value):
    frame = quotes()
    raw = (
        (frame["answered"] - frame["asked"]).dt.total_seconds() / 3600
        if value.startswith("h")
        else frame["premium"] / 2 + 1
    )
    got, losses = measured(frame, cpi("x", value=value, aggregate=aggregate))
    assert losses == ()
    assert got.attrs["aggregate"] == pytest.approx(raw.agg(aggregate.value), rel=1e-12)


@pytest.mark.parametrize(
    ("where", "mask"),
    [
        ("channel = 'web'", lambda f: f["channel"] == "web"),
        ("channel != 'web'", lambda f: f["channel"] != "web"),
        ("won = 'true'", lambda f: f["won"]),
        ("premium > 20", lambda f: f["premium"] > 20),
    ],
)
def test_filters_choose_events(where, mask):
    frame = quotes()
    got, _ = measured(frame, kpi("x", where=where))
    assert got["v0"].notna().sum() == mask(frame).sum()
    assert got["v0"].sum() == frame.loc[mask(frame), "won"].sum()


def test_cap_sets_values_to_it_and_counts_them():
    frame = quotes()
    hours = (frame["answered"] - frame["asked"]).dt.total_seconds() / 3600
    got, losses = measured(frame, cpi("x", cap=5))
    assert got["v0"].max() == 5
    assert losses == (("x", "capped at 5", int((hours > 5).sum())),)


def test_every_loss_is_counted_under_its_first_reason():
    frame = quotes(400).assign(premium=lambda f: f["premium"].astype(float))
    frame["customer_id"] = frame["customer_id"].astype("Int64")
    frame.loc[0, "customer_id"] = pd.NA
    frame.loc[[1, 2], "answered"] = pd.NaT
    frame.loc[3, "asked"] = frame.loc[3, "answered"] + pd.Timedelta("1h")
    frame.loc[4, "asked"] = pd.NaT
    frame = pd.concat([frame, frame.iloc[[7, 7, 8]]], ignore_index=True)
    got, losses = measured(frame, cpi("x"))
    assert losses == (
        ("x", "repeated rows of quotes", 3),
        ("x", "without customer_id", 1),
        ("x", "without answered", 2),
        ("x", "without a value", 1),
        ("x", "negative duration", 1),
    )
    assert got["v0"].notna().sum() == 400 - 5


def test_infinite_and_absurd_values_are_set_aside_and_counted():
    frame = quotes(400)
    frame.loc[[0, 1], "premium"] = [np.inf, 1e300]
    frame.loc[2, "premium"] = np.nan
    got, losses = measured(frame, kpi("x", unit="EUR", value="premium"))
    assert losses == (("x", "without a value", 1), ("x", "infinite or absurdly large", 2))
    assert got["v0"].notna().sum() == 397


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            {"asked": lambda f: f["answered"] + pd.Timedelta("1h")},
            "10 of 200 events are negative duration, more than 1%",
        ),
        (
            {"customer_id": lambda f: pd.array([pd.NA] * len(f), dtype="Int64")},
            "events are without customer_id, more than 5%",
        ),
    ],
)
def test_many_impossible_events_are_an_error(damage, says):
    frame = quotes(200)
    frame["customer_id"] = frame["customer_id"].astype("Int64")
    n = 10 if "asked" in damage else 11
    for column, make in damage.items():
        frame.loc[: n - 1, column] = make(frame.loc[: n - 1])
    with pytest.raises(DataError, match=says):
        measured(frame, cpi("x"))


@pytest.mark.parametrize(
    ("values", "says"), [([0.2, 97.3], r"max 97\.3 > 1; unit percent\?"), ([-0.1, 0.5], r"min -0\.1 < 0")]
)
def test_fractions_outside_zero_to_one_are_an_error(values, says):
    frame = quotes(2).assign(share=values)
    with pytest.raises(DataError, match=says):
        measured(frame, kpi("x", value="share"))
    assert measured(frame, kpi("x", value="share", unit="percent"))[1] == ()
    assert measured(frame, kpi("x", value="share", aggregate=Aggregate.SUM))[1] == ()


@pytest.mark.parametrize(
    ("entity", "error", "says"),
    [
        (cpi("x", value="hours(asked, anwsered)"), DataError, "'anwsered' is missing.*\n?.*Did you mean 'answered'"),
        (cpi("x", table="quote"), DataError, "table 'quote' is missing.\n  Did you mean 'quotes'"),
        (cpi("x", entity="customer"), DataError, "column 'customer' is missing"),
        (cpi("x", at="channel"), DataError, "column 'channel' is text, not a time.\n  Use ISO 8601"),
        (cpi("x", at="premium"), DataError, "column 'premium' is DOUBLE, not a time"),
        (cpi("x", value="hours(channel, answered)"), DataError, "Use ISO 8601"),
        (cpi("x", value="days(asked, answered)"), CatalogError, "counted in hour but its value.*is in days"),
        (kpi("x", value="channel"), DataError, "is text; 200 of 200 values are not numbers, such as"),
        (kpi("x", value="comma"), DataError, "3,5 looks like a decimal comma: write 3.5"),
        (kpi("x", value="digits"), DataError, "column 'digits' is text.\n  Store it as a number"),
        (kpi("x", value="answered"), DataError, "is a time, not a number.\n  Measure a duration"),
        (kpi("x", value="__import__('os').system('touch pwned')"), CatalogError, "value"),
        (kpi("x", where="1 = 1; DROP TABLE quotes"), CatalogError, "value|filter"),
    ],
)
def test_unusable_measures_are_explained(entity, error, says):
    frame = quotes().assign(comma="3,5", digits="7")
    with pytest.raises(error, match=says):
        measured(frame, entity)


def test_unknown_ids_name_the_nearest():
    with Tables({"quotes": quotes()}) as tables, pytest.raises(CatalogError, match="Did you mean 'win_rate'"):
        find_indicators(tables, catalog(kpi("win_rate")), ["win_rat"])


def test_filter_texts_are_values_never_sql():
    frame = quotes().assign(channel="x' OR 'a'='a")
    with pytest.raises(CatalogError):
        measured(frame, kpi("x", where="channel = 'x' OR 'a'='a'"))
    got, _ = measured(frame, kpi("x", where="channel = 'nosuch'"))
    assert got["v0"].notna().sum() == 0


def test_comparisons_with_text_inside_a_value_count_events():
    frame = quotes()
    got, _ = measured(frame, kpi("x", value="channel == 'web'"))
    assert got["v0"].sum() == (frame["channel"] == "web").sum()
    got, _ = measured(frame, kpi("x", value="greatest(premium, 10) + 0 * (channel == 'web')", unit="EUR"))
    assert got["v0"].sum() == pytest.approx(frame["premium"].clip(lower=10).sum())


def test_keys_of_mixed_types_compare_as_text_so_that_007_is_never_7():
    frames = {
        "a": pd.DataFrame({"id": [7, 8]}),
        "b": pd.DataFrame({"id": ["007", "8"]}),
        "c": pd.DataFrame({"id": [7.0, 9.0]}),
    }
    with Tables(frames) as tables:
        mixed = key_sql(tables, [("a", "id"), ("b", "id")])("id")
        same = f"SELECT a.k FROM (SELECT {mixed} AS k FROM a) a JOIN (SELECT {mixed} AS k FROM b) b ON a.k = b.k"
        assert tables.query(same)["k"].tolist() == ["8"]
        assert key_sql(tables, [("b", "id")])("id") == quote("id")
        numbers = key_sql(tables, [("a", "id"), ("c", "id")])("id")
        same = f"SELECT a.k FROM (SELECT {numbers} AS k FROM a) a JOIN (SELECT {numbers} AS k FROM c) c ON a.k = c.k"
        assert tables.query(same)["k"].tolist() == [7.0]


@pytest.mark.skipif(not (REAL / "olist_orders.csv.gz").exists(), reason="the shared data are not here")
def test_olist_waits_and_late_share_equal_pandas():
    wait = cpi(
        "wait",
        unit="day",
        step="1 day",
        table="orders",
        at="order_delivered_customer_date",
        value="days(order_purchase_timestamp, order_delivered_customer_date)",
    )
    late = kpi(
        "late",
        table="orders",
        at="order_delivered_customer_date",
        value="days(order_estimated_delivery_date, order_delivered_customer_date) > 0",
        where="order_status = 'delivered'",
    )
    frame = pd.read_csv(REAL / "olist_orders.csv.gz", parse_dates=[3, 6, 7])
    with Tables({"orders": REAL / "olist_orders.csv.gz"}) as tables:
        found = find_indicators(tables, catalog(wait, late), ["wait", "late"])
        got = tables.frame(events_sql(tables, found, key=key_sql(tables, [("orders", "customer_id")])))
        losses = {(name, reason): n for name, reason, n in count_losses(tables, found)}
    delivered = frame["order_delivered_customer_date"].notna()
    days = (frame["order_delivered_customer_date"] - frame["order_purchase_timestamp"]).dt.total_seconds() / 86400
    assert got["v0"].mean() == pytest.approx(days.mean(), rel=1e-12)
    assert losses["wait", "without order_delivered_customer_date"] == (~delivered).sum()
    is_late = (frame["order_delivered_customer_date"] > frame["order_estimated_delivery_date"])[
        delivered & (frame["order_status"] == "delivered")
    ]
    assert got["v1"].mean() == pytest.approx(is_late.mean(), rel=1e-12)
