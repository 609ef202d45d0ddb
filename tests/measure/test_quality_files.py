"""Files of one pattern against each other, and fixtures of what exports look like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.catalog.contract import Contract
from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import Tables, read_columns
from cpi_experiments.measure.engines.write import write_parquet
from cpi_experiments.measure.quality.checks import check_data
from cpi_experiments.measure.quality.files import check_files, check_unchanged

N = 100
RNG = np.random.default_rng(7)


def month(first=0, *, scale=1.0, **columns):
    hours = np.random.default_rng(first).lognormal(1, 0.5, N) * scale
    return pd.DataFrame({"order_id": [f"o{first + i}" for i in range(N)], "hours": hours.round(3), **columns})


def write(folder, *frames):
    for i, frame in enumerate(frames, start=1):
        frame.to_csv(folder / f"orders_{i}.csv", index=False)
    return folder / "orders_*.csv"


STATES = ["open", "closed"] * 50

#: rule: frames, contract, severity, column, rows
DRIFTS = {
    "schema-drift": ([month(), month(500).rename(columns={"hours": "minutes"})], Contract(), "error", "hours, minutes", N),
    "kind-drift": ([month(), month(500).assign(hours=["n/a", *["2.5"] * 99])], Contract(), "error", "hours", N),
    "overlap": ([month(), month(60).assign(hours=list(month()["hours"][60:]) + [2.0] * 60)], Contract(), "warning", "", 40),
    "scale-jump": ([month(), month(500, scale=60)], Contract(), "warning", "hours", N),
    "mean-drift": ([month(), month(500, scale=2.5)], Contract(), "info", "hours", N),
    "missing-drift": ([month(), month(500).assign(hours=[np.nan] * 50 + [2.5] * 50)], Contract(), "warning", "hours", N),
    "new-levels": (
        [month(status=STATES), month(500, status=["open", "Closed"] * 50)], Contract(public=("status",)), "info", "status", N,
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", DRIFTS)
def test_every_drift_between_files_is_found(tmp_path, rule):  # B27
    frames, contract, severity, column, rows = DRIFTS[rule]
    report = check_files(write(tmp_path, *frames), contract=contract)
    assert [(e.severity, e.column, e.rows) for e in report.named(rule)] == [(severity, column, rows)]
    assert report.rows == 2 * N


def test_files_that_agree_have_no_findings(tmp_path):
    pattern = write(tmp_path, month(status=STATES), month(500, status=STATES), month(900, status=STATES))
    assert str(check_files(pattern)) == "orders_*.csv: 300 rows, nothing found"
    assert check_files("orders_1.csv", root=tmp_path).findings == ()


def test_an_hour_that_became_minutes_is_guessed(tmp_path):
    report = check_files(write(tmp_path, month(), month(500, scale=60)))
    assert "60 times the one before" in report.named("scale-jump")[0].found


@pytest.mark.parametrize(
    ("change", "severity", "words"),
    [(0.0, "warning", "rows are alike"), (1.0, "error", "40 of them with other content")],
)
def test_keys_in_several_files_say_whether_their_rows_agree(tmp_path, change, severity, words):
    second = month(60).assign(hours=[*(month()["hours"][60:] + change), *[2.0] * 60])
    report = check_files(write(tmp_path, month(), second), contract=Contract(key=("order_id",)))
    assert [(e.severity, e.rows) for e in report.named("overlap")] == [(severity, 40)]
    assert words in report.named("overlap")[0].found


def test_another_order_of_columns_is_drift_and_the_engine_refuses_it(tmp_path):  # B27
    pattern = write(tmp_path, month(), month(500)[["hours", "order_id"]])
    assert "in another order" in check_files(pattern).named("schema-drift")[0].found
    with pytest.raises(DataError, match="do not hold the same columns"):
        Tables({"orders": pattern})


def test_whole_numbers_and_decimals_are_one_kind(tmp_path):
    report = check_files(write(tmp_path, month(), month(500).assign(hours=3)))
    assert [(e.severity, e.found) for e in report.named("kind-drift")] == [
        ("info", "DOUBLE in orders_1.csv, BIGINT in orders_2.csv")
    ]


def test_one_changed_byte_is_found_by_the_hash_and_both_are_named(tmp_path):  # B06
    frame = pd.DataFrame({"x": np.arange(500_000) % 1000})
    path = tmp_path / "a.parquet"
    with Tables({"t": frame}) as tables:
        write_parquet(path, [{"x": tables.query("SELECT x FROM t")["x"]}])
    with Tables({"a": path}) as tables:
        before = tables.digest("a")
        assert check_unchanged(tables, "a", registered=before).passed
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(bytes(content))
    with Tables({"a": path}) as tables:
        after = tables.digest("a")
        report = check_unchanged(tables, "a", registered=before)
    with pytest.raises(DataError, match=rf"the hash was {before}, it is {after}"):
        report.raise_if_bad()


# -- what exports look like ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"\xef\xbb\xbfid,v\na,1\nb,2\n", None),  # B01
        ("id;v\n" + "".join(f"a{i};{i},5\n" for i in range(30)), "decimal-comma"),  # B02
        ("id,at\n" + "".join(f"a{i},0{i % 9 + 1}/02/2026\n" for i in range(30)), "time-as-text"),  # B15
        ("id,at\n" + "".join(f"a{i},{i % 9 + 1}/2/68 9:05\n" for i in range(30)), "two-digit-year"),
        ("id,agent_id\n" + "".join(f"a{i},{1000 + i}.0\n" for i in range(30)), "id-as-float"),
        ("id,zip\n" + "".join(f"a{i},{i:05d}\n" for i in range(30)), "leading-zeros"),  # B21
        ("id,created_at\n" + "".join(f"a{i},{1767000000 + i}\n" for i in range(30)), "epoch-as-number"),
    ],
)
def test_exports_are_read_or_their_fault_is_named(tmp_path, content, rule):
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert {e.rule for e in check_data(path).findings} == ({rule} if rule else set())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("id,né\na,é\n".encode("latin-1"), "a.csv: is not UTF-8: byte 4 looks like Latin-1"),  # B03
        ("id,v\na,1\n".encode("utf-16"), "UTF-16"),  # B03
        (b"", r"0 bytes"),  # B05
        (b"id,\na,1\n", "column 2 has no usable name"),  # B26
        (b"id,v\0\na,1\n", "column 2 has no usable name"),  # B26
    ],
)
def test_files_that_cannot_be_read_are_refused_by_name(tmp_path, content, says):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=says):
        check_data(tmp_path / "a.csv")


def test_double_blanks_in_headers_are_part_of_the_name_and_the_nearest_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("order  id,v\na,1\nb,2\n")
    assert read_columns(tmp_path / "a.csv", ["order  id"])["order  id"].tolist() == ["a", "b"]
    with pytest.raises(DataError, match="Did you mean 'order  id'"):
        check_data(tmp_path / "a.csv", contract=Contract(key=("order id",)))


def test_zero_inflated_money_is_no_fault():
    spend = np.where(RNG.uniform(size=2000) < 0.97, 0, RNG.lognormal(3, 1, 2000))
    assert check_data(pd.DataFrame({"id": range(2000), "spend": spend})).findings == ()
