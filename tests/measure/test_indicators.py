from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.catalog.entities import CPI, KPI, Aggregate, Benefit, Catalog, Function, Measure
from cpi_experiments.errors import CatalogError, DataError
from cpi_experiments.measure.audit import count_losses
from cpi_experiments.measure.engine import Tables, quote
from cpi_experiments.measure.events import events_sql
from cpi_experiments.measure.indicators import find_indicators, key_sql
from cpi_experiments.measure.panel import build_panel
from cpi_experiments.measure.units import measure_units
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
    expected = {"p90": lambda x: x.quantile(0.9), "any": lambda x: float((x != 0).any())}
    assert got.attrs["aggregate"] == pytest.approx(raw.agg(expected.get(aggregate.value, aggregate.value)), rel=1e-12)


@pytest.mark.parametrize(
    ("where", "mask"),
    [
        ("channel = 'web'", lambda f: f["channel"] == "web"),
        ("channel != 'web'", lambda f: f["channel"] != "web"),
        ("won = 'true'", lambda f: f["won"]),
        ("customer_id = '7'", lambda f: f["customer_id"] == 7),
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
        (
            kpi("x", value="won == 'Yes'"),
            DataError,
            "true or false, never 'Yes'.\n  Values such as Yes and No were read so",
        ),
        (kpi("x", where="won != 'No'"), DataError, "'won' is true or false, never 'No'"),
        (
            kpi("x", value="premium == '7'"),
            DataError,
            "'premium' is a number, never the text '7'.\n  Compare it with a num",
        ),
        (kpi("x", value="customer_id == '007'"), DataError, "'customer_id' is a number, never the text '007'"),
        (kpi("x", value="greatest(won == 'Yes', 0)"), DataError, "'won' is true or false, never 'Yes'"),
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


# -- built-in indicators ---------------------------------------------------------------------------------------------

KINDS = {
    "nps": (kpi("x", unit="point", value="nps", indicator="nps"), lambda f: f["nps"].map(promoter)),
    "csat": (kpi("x", unit="point", value="csat", indicator="csat"), lambda f: f["csat"]),
    "top": (
        kpi("x", value="csat", indicator="csat_top_box", top=2),
        lambda f: f["csat"].map({1: 0, 2: 0, 3: 0, 4: 1, 5: 1}),
    ),
    "resolved": (
        kpi("x", value="contacts == 1", indicator="first_time_resolution"),
        lambda f: f["contacts"].map({1: 1, 2: 0}),
    ),
    "within": (
        kpi("x", value="hours(asked, answered)", indicator="share_within", promise="10 hours"),
        lambda f: (f["answered"] - f["asked"] <= pd.Timedelta("10h")).astype(float),
    ),
    "hours": (
        kpi("x", unit="hour", value="waited", indicator="response_time", aggregate=Aggregate.P90),
        lambda f: f["waited"],
    ),
    "revenue": (kpi("x", unit="EUR", value="premium", indicator="revenue_per_customer"), lambda f: f["premium"]),
    "bought": (kpi("x", value="won", indicator="repurchase"), lambda f: f["won"].astype(float)),
}


def promoter(score) -> float:
    return np.nan if np.isnan(score) else 100.0 * ((score >= 9) - float(score <= 6))


def answers(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    frame = quotes(n).assign(
        nps=rng.integers(0, 11, n).astype(float),
        csat=rng.integers(1, 6, n).astype(float),
        contacts=rng.integers(1, 3, n),
        waited=rng.exponential(5, n),
    )
    frame.loc[:4, ["nps", "csat"]] = np.nan
    return frame


@pytest.mark.parametrize("name", KINDS)
def test_values_of_built_in_indicators_equal_pandas(name):
    frame = answers()
    entity, values = KINDS[name]
    got, losses = measured(frame, entity)
    want = np.asarray(values(frame), dtype=float)
    assert np.sort(got["v0"].dropna()) == pytest.approx(np.sort(want[~np.isnan(want)]), rel=1e-12)
    assert losses == ((("x", "without a value", 5),) if name in ("nps", "csat", "top") else ())


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        ("nps", {"nps": [11, 11, -1]}, r"3 values of 'x' cannot exist: 2 x 11, 1 x -1\.\n  Whole numbers from 0 to 10"),
        ("csat", {"csat": [0, 2.5, 6]}, "1 x 0, 1 x 2.5, 1 x 6"),
        ("top", {"csat": [0, 0, 3]}, "2 values of 'x' cannot exist: 2 x 0"),
        ("hours", {"waited": [-1.0] * 4}, "4 of 300 events are negative duration, more than 1%"),
        ("bought", {"won": [97.3]}, r"1 x 97.3.\n  max 97.3 > 1; unit percent\?"),
    ],
)
def test_answers_that_cannot_exist_never_become_values(name, damage, says):
    frame = answers()
    for column, bad in damage.items():
        frame[column] = frame[column].astype(float)
        frame.loc[20 : 19 + len(bad), column] = bad
    with pytest.raises(DataError, match=says):
        measured(frame, KINDS[name][0])


def test_answers_outside_the_filter_are_not_judged():
    frame = answers()
    frame.loc[frame["channel"] == "web", "nps"] = 99
    entity = kpi("x", unit="point", value="nps", indicator="nps", where="channel != 'web'")
    got, _ = measured(frame, entity)
    assert got["v0"].abs().max() == 100


def test_a_few_negative_durations_are_set_aside_not_kept_within_the_promise():
    frame = answers()
    frame.loc[10, "answered"] = frame.loc[10, "asked"] - pd.Timedelta("1h")
    got, losses = measured(frame, KINDS["within"][0])
    assert losses == (("x", "negative duration", 1),)
    assert set(got["v0"].dropna()) == {0.0, 1.0}


def test_units_of_durations_are_checked_for_kinds_too():
    with pytest.raises(CatalogError, match="counted in day but its value"):
        measured(answers(), kpi("x", unit="day", value="hours(asked, answered)", indicator="response_time"))


def test_an_indicator_that_any_event_fulfils_is_zero_without_events():
    with Tables({"quotes": answers()}) as tables:
        found = find_indicators(tables, catalog(KINDS["bought"][0], KINDS["nps"][0]), ["x"])
    assert found[0].adds_up == (found[0].measure.indicator == "repurchase")


def shop() -> dict[str, pd.DataFrame]:
    """Two arms; arm b solves more requests at the first contact, and its customers recommend more."""
    rng = np.random.default_rng(21)
    customers = np.arange(400)
    better = customers % 2 == 1
    events = 3
    codes = np.repeat(customers, events)
    solved = rng.random(len(codes)) < np.where(better[codes], 0.8, 0.6)
    score = np.clip(rng.integers(4, 10, len(codes)) + solved, 0, 10)
    day = pd.Timestamp("2026-02-02") + pd.to_timedelta(rng.integers(0, 20 * 86400, len(codes)), unit="s")
    arms = pd.DataFrame({"experiment": "t", "customer_id": customers, "arm": np.where(better, "b", "a")})
    return {
        "requests": pd.DataFrame(
            {
                "customer_id": codes,
                "at": day,
                "contacts": 2 - solved.astype(int),
                "score": score,
                "paid": rng.gamma(2, 9, len(codes)),
            }
        ),
        "assignments": arms.assign(assigned_at=pd.Timestamp("2026-02-01")),
        "customers": pd.DataFrame({"customer_id": customers}),
    }


def shop_catalog() -> Catalog:
    place = {"table": "requests", "at": "at"}
    return catalog(
        cpi("solved", unit="fraction", step="1 pp", value="contacts == 1", indicator="first_time_resolution", **place),
        kpi("nps", unit="point", value="score", indicator="nps", **place),
        kpi("again", value="paid > 0", indicator="repurchase", **place),
        kpi("revenue", unit="EUR", value="paid", indicator="revenue_per_customer", **place),
    )


def test_built_in_indicators_are_outcomes_of_a_trial():
    frames = shop()
    with Tables(frames) as tables:
        units = measure_units(tables, shop_catalog(), experiment="t", cpis=["solved"], kpis=["nps", "again", "revenue"])
    requests = frames["requests"]
    worth = requests["score"].map(promoter).groupby(requests["customer_id"]).mean()
    frame = units.frame.set_index("unit")
    assert frame["nps"].to_numpy() == pytest.approx(worth.to_numpy())
    assert frame["revenue"].to_numpy() == pytest.approx(requests.groupby("customer_id")["paid"].sum().to_numpy())
    assert frame["again"].tolist() == [1.0] * 400
    by_arm = frame.groupby("arm")["solved"].mean()
    assert by_arm["b"] - by_arm["a"] == pytest.approx(0.2, abs=0.06)


def test_built_in_indicators_are_columns_of_a_panel():
    frames = shop()
    first = frames["requests"]["customer_id"] != 7
    with Tables({**frames, "requests": frames["requests"][first]}) as tables:
        panel = build_panel(tables, shop_catalog(), period="week", start="2026-02-02", end="2026-02-22")
    weeks = panel.frame.groupby("period")
    seen = frames["requests"][first].assign(week=lambda f: f["at"].dt.to_period("W").dt.start_time)
    for week, part in weeks:
        active = seen[seen["week"] == week]
        assert part["again"].sum() == active["customer_id"].nunique()
        assert set(part["again"]) == {0.0, 1.0}
        worth = active["score"].map(promoter).groupby(active["customer_id"]).mean()
        assert np.nanmean(part["nps"]) == pytest.approx(worth.mean())
        assert part["nps"].notna().sum() == len(worth)
    assert (panel.frame.loc[panel.frame["unit"] == 7, "again"] == 0).all()


def test_an_impossible_answer_stops_trials_and_panels():
    frames = shop()
    frames["requests"].loc[5, "score"] = 11
    with Tables(frames) as tables:
        with pytest.raises(DataError, match="1 values of 'nps' cannot exist: 1 x 11"):
            measure_units(tables, shop_catalog(), experiment="t", cpis=["solved"], kpis=["nps"])
        with pytest.raises(DataError, match="1 values of 'nps' cannot exist: 1 x 11"):
            build_panel(tables, shop_catalog(), period="week")
