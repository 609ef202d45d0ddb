"""The same findings from every engine; Spark needs pyspark and Java."""

from __future__ import annotations

from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cpi_experiments.catalog.contract import Contract, Limits, Range
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.engines.spark import SparkTables
from cpi_experiments.measure.quality.checks import check_data, check_join, check_table
from cpi_experiments.measure.quality.quarantine import quarantine
from cpi_experiments.measure.quality.rows import kept_rows_sql

N = 300
CONTRACT = Contract(
    key=("id",), entity="who", same_as={"who": "id"}, required=("hours",), required_when={"done": {"status": ("closed",)}},
    kinds={"won": "flag"}, units={"hours": "hour", "share": "fraction"}, ranges={"hours": Range(low=0)}, rates={"clicks": "views"},
    levels={"status": ("open", "closed")}, missing={"clicks": (-1,), "meal": ("Undefined",)}, time="at", time_zone="Europe/Berlin",
    orderings=("at <= done",), outcome="won", limits=Limits(negative=0.5, future=0.5), not_all_zero=(("clicks", "views"),),
    references={"who": "people.who"}, earliest=date(2026, 1, 2),
)  # fmt: skip


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    at = pd.date_range("2026-03-01 00:10", periods=N, freq="3h").astype("datetime64[us]")
    hours = rng.lognormal(1, 0.5, N)
    hours[:4] = [np.nan, -1.0, 1e200, 49_854.0]
    return pd.DataFrame(
        {
            "id": [None, " ", "o2", "o2", *(f"o{i}" for i in range(4, N))],
            "who": [f"c{i % 90}" for i in range(N)],
            "status": [["open", "closed", "closed", "Closed ", "clsed"][i % 5] for i in range(N)],
            "meal": ["Undefined" if i % 30 == 0 else "BB" for i in range(N)],
            "amount": [f"{i},5" if i % 3 else f"{i}" for i in range(N)],
            "day": [f"{i % 9 + 1}/2/26" for i in range(N)],
            "at": at,
            "done": at + pd.to_timedelta(rng.normal(30, 20, N).round(), unit="h"),
            "due": at.normalize(),
            "hours": hours,
            "minutes": 60 * np.nan_to_num(hours, nan=3.0, posinf=3.0).clip(0, 50),
            "clicks": rng.integers(-1, 9, N),
            "views": rng.integers(0, 9, N),
            "share": rng.uniform(0, 1.2, N),
            "won": rng.integers(0, 2, N).astype(bool),
        }
    )


def told(report):
    return sorted(str(each) for each in report.findings)


def test_arrow_relation_and_frame_give_the_same_findings(data):
    wanted = told(check_data(data, contract=CONTRACT, as_of="2026-03-31"))
    assert len(wanted) > 20
    relation = duckdb.connect().from_df(data)
    for other in (pa.Table.from_pandas(data), relation):
        assert told(check_data(other, contract=CONTRACT, as_of="2026-03-31")) == wanted


@pytest.mark.xdist_group("spark")
def test_spark_finds_what_duckdb_finds(spark, data, tmp_path):
    data.to_parquet(tmp_path / "data.parquet", coerce_timestamps="us")
    people = pd.DataFrame({"who": [f"c{i}" for i in range(80)]})
    people.to_parquet(tmp_path / "people.parquet")
    paths = {name: tmp_path / f"{name}.parquet" for name in ("data", "people")}
    with (
        Tables(paths) as one,
        SparkTables({name: spark.read.parquet(str(path)) for name, path in paths.items()}) as other,
    ):
        assert told(check_table(other, "data", CONTRACT, as_of="2026-03-31")) == told(
            check_table(one, "data", CONTRACT, as_of="2026-03-31")
        )
        assert told(check_join(other, "data", "people", on="who")) == told(check_join(one, "data", "people", on="who"))
        frames = [
            quarantine(each, "data", CONTRACT, salt="a long secret text", as_of="2026-03-31") for each in (one, other)
        ]
        assert sorted(frames[0]["key_hash"]) == sorted(frames[1]["key_hash"])
        assert set(frames[1]["row"]) == {0}
        kept = [each.query(kept_rows_sql(each, "data", CONTRACT, as_of="2026-03-31"))["id"] for each in (one, other)]
        assert sorted(kept[0]) == sorted(kept[1])
