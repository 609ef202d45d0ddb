"""Built-in indicators on Spark equal those on DuckDB; and on the public Olist orders those of pandas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.measure.built_in.indicator import indicator
from cpi_experiments.measure.moments.tuples import gather_tuples

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
REVIEWS, ORDERS = DATA / "olist_order_reviews.csv.gz", DATA / "olist_orders.csv.gz"
TELCO = DATA / "telco_churn.csv.gz"

ASKED = [
    ("nps", {"value": "score", "by": "team", "at": "asked", "period": "quarter", "entity": "c"}),
    ("response_time", {"start": "asked", "end": "answered", "by": "team", "entity": "c", "aggregate": "median"}),
    ("retention", {"entity": "c", "at": "asked", "period": "month"}),
    ("repurchase", {"entity": "c", "at": "asked", "window": "30 days", "period": "month"}),
    ("clv_projected", {"entity": "c", "at": "asked", "value": "paid", "period": "month", "discount": 0.01}),
    ("survival", {"start": "asked", "end": "gone", "window": "30 days", "by": "team"}),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    rng = np.random.default_rng(1)
    n = 400
    asked = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 180 * 86400, n), unit="s")
    frame = pd.DataFrame(
        {
            "c": rng.integers(0, 120, n),
            "team": rng.choice(["a", "b"], n),
            "score": rng.integers(0, 11, n),
            "asked": asked,
            "answered": asked + pd.to_timedelta(rng.integers(60, 90000, n), unit="s"),
            "paid": rng.lognormal(3, 1, n).round(2),
        }
    )
    frame["gone"] = (asked + pd.to_timedelta(rng.integers(1, 90, n), unit="D")).where(rng.random(n) < 0.6)
    file = tmp_path_factory.mktemp("requests") / "requests.parquet"
    frame.astype(dict.fromkeys(("asked", "answered", "gone"), "datetime64[us]")).to_parquet(file)
    return file


@pytest.mark.xdist_group("spark")
def test_levels_on_spark_equal_those_on_duckdb(spark, path):
    frame = spark.read.parquet(str(path)).cache()
    for kind, arguments in ASKED:
        ours, theirs = (indicator(data, kind, **arguments) for data in (path, frame))
        assert [level.group for level in ours] == [level.group for level in theirs], kind
        for a, b in zip(ours, theirs, strict=True):
            assert (a.n, a.n_entities, a.dropped, a.method) == (b.n, b.n_entities, b.dropped, b.method), kind
            assert [a.value, a.ci_low, a.ci_high] == pytest.approx(
                [b.value, b.ci_low, b.ci_high], rel=1e-10, nan_ok=True
            )
    assert (
        gather_tuples(frame, ["score"], by=["team"]).n.tolist()
        == gather_tuples(path, ["score"], by=["team"]).n.tolist()
    )


@pytest.mark.skipif(not (REVIEWS.exists() and ORDERS.exists()), reason="the shared data are not here")
def test_olist_levels_equal_pandas():
    reviews = pd.read_csv(REVIEWS)
    got = indicator(REVIEWS, "review_score", value="review_score", entity="order_id").only
    assert got.value == pytest.approx(reviews["review_score"].mean(), rel=1e-12)
    assert got.n_entities == reviews["order_id"].nunique()
    happy = indicator(REVIEWS, "csat_top_box", value="review_score", top=2).only
    assert happy.value == pytest.approx((reviews["review_score"] >= 4).mean(), rel=1e-12)
    times = ["order_purchase_timestamp", "order_delivered_customer_date", "order_estimated_delivery_date"]
    orders = pd.read_csv(ORDERS, parse_dates=times)
    delivered = orders[orders["order_delivered_customer_date"].notna()]
    days = (delivered[times[1]] - delivered[times[0]]).dt.total_seconds() / 86400
    for aggregate, want in {"median": days.median(), "p90": days.quantile(0.9), "mean": days.mean()}.items():
        wait = indicator(ORDERS, "response_time", start=times[0], end=times[1], unit="day", aggregate=aggregate).only
        assert wait.value == pytest.approx(want, rel=1e-10)
        assert wait.dropped == (("without a value", len(orders) - len(delivered)),)
    on_time = indicator(ORDERS, "on_time", value=f"days({times[2]}, {times[1]}) <= 0").only
    assert on_time.value == pytest.approx((delivered[times[1]] <= delivered[times[2]]).mean(), rel=1e-12)


@pytest.mark.skipif(not TELCO.exists(), reason="the shared data are not here")
def test_telco_survival_and_churn_equal_statsmodels_and_pandas():
    from statsmodels.duration.survfunc import SurvfuncRight

    frame = pd.read_csv(TELCO)
    gone = frame["Churn"] == "Yes"
    got = indicator(TELCO, "survival", value="tenure * 30", event="Churn", unit="day", window="720 days", by="Contract")
    for label, part in frame.groupby("Contract"):
        other = SurvfuncRight(part["tenure"], gone[part.index].astype(int))
        place = np.searchsorted(other.surv_times, 24, side="right") - 1
        staying = other.surv_prob[place] if place >= 0 else 1.0  # nobody with two years left within two years
        assert got[label].value == pytest.approx(staying, abs=1e-12)
    with pytest.raises(DataError, match="'Churn' is true or false, never 'Yes'"):
        indicator(TELCO, "churn", value="Churn == 'Yes'")
    churn = indicator(TELCO, "churn", value="Churn", by="Contract")
    for label, part in frame.groupby("Contract"):
        assert churn[label].value == pytest.approx(gone[part.index].mean())
