"""One scan gives the moments that numpy finds in the rows, whatever the types, keys and gaps."""

from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.moments.gather import gather, gather_table
from cpi_experiments.stats.moments import moments_of

KEYS = ["arm", "week"]
COLUMNS = ["won", "orders", "hours"]


def trial(n=400, seed=5):
    rng = np.random.default_rng(seed)
    hours = np.round(rng.gamma(2, 8, n), 3) + 500
    hours[rng.random(n) < 0.2] = np.nan
    return pd.DataFrame(
        {
            "arm": rng.choice(["a", "b"], n),
            "week": rng.integers(0, 3, n),
            "won": rng.random(n) < 0.3,
            "orders": rng.integers(0, 9, n),
            "hours": hours,
            "revenue": np.round(rng.lognormal(3, 1, n), 2),
        }
    )


def write(frame, path):
    duckdb.from_df(frame).write_parquet(str(path))
    return path


def by_numpy(frame, columns, keys=()):
    keys = {name: frame[name].to_numpy() for name in keys}
    return moments_of({name: frame[name].to_numpy(dtype=float) for name in columns}, keys).ordered()


def agree(found, expected, *, rtol=1e-11):
    expected = expected.ordered()
    assert found.columns == expected.columns
    assert found.n.tolist() == expected.n.tolist()
    assert found.present.tolist() == expected.present.tolist()
    for name, labels in expected.keys.items():
        assert found.keys[name].tolist() == labels.tolist()
    moved = found.based_on(expected.origin)
    scale = found.scale
    i, j = [a for a, _ in found.pairs], [b for _, b in found.pairs]
    pairs = (
        (moved.sums.astype(float) / scale, expected.sums),
        (moved.products.astype(float) / (scale[i] * scale[j]), expected.products),
    )
    for one, two in pairs:
        assert np.all(np.abs(one - two) <= rtol * np.abs(two).max(axis=0, initial=1e-300))


@pytest.mark.parametrize("kind", ["frame", "parquet", "csv", "relation"])
@pytest.mark.parametrize("keys", [[], ["arm"], KEYS])
def test_moments_are_those_of_the_rows(kind, keys, tmp_path):
    frame = trial()
    data = frame
    if kind == "parquet":
        data = write(frame, tmp_path / "t.parquet")
    elif kind == "csv":
        data = tmp_path / "t.csv"
        frame.to_csv(data, index=False)
    elif kind == "relation":
        data = duckdb.from_df(frame)
    agree(gather(data, COLUMNS, by=keys), by_numpy(frame, COLUMNS, keys))


@pytest.mark.parametrize(
    "sql", ["BOOLEAN", "TINYINT", "INTEGER", "BIGINT", "DECIMAL(9, 2)", "FLOAT", "DOUBLE", "UINTEGER"]
)
def test_the_type_of_a_column_changes_no_number(sql, tmp_path):
    frame = trial()[["arm", "won", "revenue"]]
    write(frame, tmp_path / "t.parquet")
    path = tmp_path / "typed.parquet"
    duckdb.sql(f"COPY (SELECT arm, won::INTEGER::{sql} AS won, revenue FROM '{tmp_path}/t.parquet') TO '{path}'")
    found = gather(path, ["won", "revenue"], by=["arm"])
    assert found.whole.tolist() == [sql not in ("FLOAT", "DOUBLE"), False]
    agree(found, by_numpy(frame, ["won", "revenue"], ["arm"]))


def test_money_is_counted_in_whole_cents_by_its_type_or_by_its_scale(tmp_path):
    frame = trial()[["revenue"]]
    path = tmp_path / "t.parquet"
    duckdb.sql("SELECT revenue::DECIMAL(12, 2) AS revenue FROM frame").write_parquet(str(path))
    cents = [int(Decimal(str(each)) * 100) for each in frame["revenue"]]
    for found in (gather(path, ["revenue"]), gather(frame, ["revenue"], scales={"revenue": 100})):
        zero = found.based_on(np.zeros(1))
        assert int(zero.sums[0, 0]) == sum(cents)
        assert int(zero.products[0, 0]) == sum(each * each for each in cents)
        assert found.means(["revenue"])[0, 0] == pytest.approx(sum(cents) / 100 / len(cents), rel=1e-15)


@pytest.mark.parametrize("cents", range(101, 140))
def test_a_scaled_origin_is_whole_even_where_its_quotient_is_not(cents):
    frame = pd.DataFrame({"price": np.array([cents, cents, cents + 1]) / 100})
    found = gather(frame, ["price"], scales={"price": 100})
    zero = found.based_on(np.zeros(1))
    assert zero.sums[0, 0] == 3 * cents + 1
    assert zero.products[0, 0] == 2 * cents**2 + (cents + 1) ** 2


def test_sums_too_large_for_doubles_are_taken_as_integers(tmp_path):
    path = tmp_path / "big.parquet"
    duckdb.sql(
        "SELECT (CASE WHEN i % 2 = 0 THEN 900719925474099 ELSE -900719925474098 END)::BIGINT AS x, i % 3 AS y "
        "FROM range(5001) t(i)"
    ).write_parquet(str(path))
    expected = 2501 * 900719925474099 - 2500 * 900719925474098
    squares = 2501 * 900719925474099**2 + 2500 * 900719925474098**2
    for pairs in (None, [], [("x", "y")]):
        found = gather(path, ["x", "y"], pairs=pairs).based_on(np.zeros(2))
        assert int(found.sums[0, 0]) == expected
        if pairs is None:
            assert int(found.products[0, 0]) == squares


def test_missing_values_make_cells_of_their_own():
    frame = pd.DataFrame({"a": [1.0, None, 3.0, None], "b": [1.0, 2.0, None, None]})
    found = gather(frame, ["a", "b"])
    assert found.n.tolist() == [1, 1, 1, 1]
    assert found.complete(["a"]).sum() == 2
    assert found.complete(["a", "b"]).sum() == 1
    assert not found.sums[~found.present].any()


def test_nan_in_a_file_is_missing_as_null_is(tmp_path):
    path = tmp_path / "nan.parquet"
    values = "VALUES (1.25e0, 1), ('NaN'::DOUBLE, 2), (NULL, 3), (2.5e0, NULL)"
    duckdb.sql(f"SELECT * FROM ({values}) t(x, y)").write_parquet(str(path))
    found = gather(path, ["x", "y"], scales={"x": 100})
    assert sorted(zip(found.present[:, 0].tolist(), found.n.tolist(), strict=True)) == [
        (False, 2),
        (True, 1),
        (True, 1),
    ]
    assert sorted(found.take(found.complete(["x"])).means(["x"]).ravel()) == [1.25, 2.5]
    assert gather(path, ["x"], caps={"x": 2}).n.tolist() == [2, 2]


@pytest.mark.parametrize("p", [1, 29, 30, 31, 62, 63, 64, 90])
def test_any_number_of_columns_may_have_gaps(p):
    x = np.arange(p * 4, dtype=float).reshape(4, p)
    x[0, 0] = x[1, p - 1] = np.nan
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(p)])
    agree(gather(frame, list(frame), pairs=[]), moments_of(dict(zip(frame, x.T, strict=True)), {}, pairs=[]))


def test_rows_are_counted_without_any_column():
    found = gather(trial(), [], by=["arm"])
    assert found.n.sum() == 400
    assert found.keys["arm"].tolist() == ["a", "b"]
    assert found.present.shape == (2, 0)


def test_rows_without_a_label_form_a_cell():
    frame = pd.DataFrame({"arm": ["a", None, "a", None], "won": [0, 1, 1, 1]})
    found = gather(frame, ["won"], by=["arm"])
    assert found.keys["arm"].tolist() == ["a", None]
    assert found.n.tolist() == [2, 2]
    numbers = gather(pd.DataFrame({"site": [1.0, np.nan, 1.0], "won": [0, 1, 1]}), ["won"], by=["site"])
    assert numbers.n.tolist() == [2, 1]
    assert np.isnan(numbers.keys["site"][1])


def test_a_cap_is_numpys_clip(tmp_path):
    frame = trial()
    for cap in (3, 20.5):
        found = gather(frame, ["orders", "revenue"], caps={"orders": cap, "revenue": cap})
        clipped = frame.assign(orders=frame["orders"].clip(upper=cap), revenue=frame["revenue"].clip(upper=cap))
        agree(found, by_numpy(clipped, ["orders", "revenue"]))
    path = write(frame, tmp_path / "t.parquet")
    assert gather(path, ["orders"], caps={"orders": 3}).whole[0]
    assert not gather(path, ["orders"], caps={"orders": 3.5}).whole[0]


def test_a_percentile_cap_is_numpys_percentile():
    frame = trial()
    found = gather(frame, ["revenue", "hours"], caps={"revenue": "p95", "hours": "p99.5"})
    clipped = frame.assign(
        revenue=frame["revenue"].clip(upper=np.quantile(frame["revenue"], 0.95)),
        hours=frame["hours"].clip(upper=np.nanquantile(frame["hours"], 0.995)),
    )
    agree(found, by_numpy(clipped, ["revenue", "hours"]))


def test_given_origins_change_no_number_and_a_fraction_ends_the_whole_mode(tmp_path):
    frame = trial()
    path = write(frame, tmp_path / "t.parquet")
    for given, whole in ((2.5, False), (2.0, True)):
        found = gather(path, ["orders", "hours"], origins={"orders": given, "hours": 512.0})
        assert found.whole.tolist() == [whole, False]
        assert found.origin[1] == 512
        agree(found, by_numpy(frame, ["orders", "hours"]))


def test_a_column_that_is_key_and_value_is_both():
    found = gather(trial(), ["week"], by=["week"])
    assert found.means(["week"]).ravel().tolist() == [0, 1, 2]


def test_names_that_look_like_sql_are_names():
    frame = pd.DataFrame({'a"; DROP TABLE x; --': [1, 2], "select": ["u", "v"]})
    found = gather(frame, ['a"; DROP TABLE x; --'], by=["select"])
    assert found.sums.shape == (2, 1)


@pytest.mark.parametrize(
    ("data", "call", "said"),
    [
        ({"a": ["x", "y"]}, {}, "column 'a' is text"),
        ({"b": [1]}, {}, "column 'a' is missing"),
        ({"a": [1.0, np.inf]}, {}, "infinite|not finite"),
        ({"a": [1.005, 2.0]}, {"scales": {"a": 100}}, "times 100 is not whole"),
        ({"a": [1.0]}, {"caps": {"b": 1.0}}, "'b' has a cap"),
        ({"a": [1.0]}, {"caps": {"a": "p10"}}, "'p10' of column 'a' is not a percentile"),
        ({"a": [1.0]}, {"caps": {"a": "most"}}, "'most' of column 'a' is not a percentile"),
        ({"a": [1.0]}, {"caps": {"a": np.nan}}, "cap nan"),
        ({"a": [None, None], "b": [1, 2]}, {"caps": {"a": "p90"}}, "no value to cap"),
        ({"a": []}, {}, "no rows"),
        ({"a": [1e300, -1e300]}, {}, "beyond 1e\\+150"),
    ],
)
def test_what_cannot_be_summed_is_refused_in_words(data, call, said):
    with pytest.raises(DataError, match=said):
        gather(pd.DataFrame(data), ["a"], **call)


def test_a_column_without_any_value_is_missing_everywhere(tmp_path):
    path = tmp_path / "t.parquet"
    duckdb.sql("SELECT NULL::VARCHAR AS a, b FROM (VALUES (1), (2)) t(b)").write_parquet(str(path))
    for data in (pd.DataFrame({"a": [None, None], "b": [1, 2]}), path):
        found = gather(data, ["a", "b"])
        assert found.present.tolist() == [[False, True]]
        assert np.isnan(found.means(["a"])).all()


def test_a_time_is_no_number(tmp_path):
    path = tmp_path / "t.parquet"
    duckdb.sql("SELECT DATE '2026-01-05' AS a").write_parquet(str(path))
    with pytest.raises(DataError, match="column 'a' "):
        gather(path, ["a"])


def test_a_table_of_an_engine_without_rows_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    duckdb.sql("SELECT 1 AS a WHERE FALSE").write_parquet(str(path))
    with Tables({"t": path}) as tables, pytest.raises(DataError, match="no rows"):
        gather_table(tables, "t", ["a"], by=[], pairs=None, caps={}, scales={}, origins={})


@pytest.mark.parametrize("kind", ["int64", "int8", "uint16", "bool", "Int64", "boolean"])
def test_whole_columns_of_a_frame_are_whole_to_the_engine(kind):
    frame = pd.DataFrame({"a": pd.array([1, 0, 1], dtype=kind), "b": [0.5, 1.5, 2.5]})
    found = gather(frame, ["a", "b"])
    assert found.whole.tolist() == [True, False]
    assert found.means(["a"])[0, 0] == pytest.approx(2 / 3, rel=1e-16)


def test_one_scan_answers_where_nothing_is_missing(monkeypatch, tmp_path):
    path = write(trial().drop(columns="hours"), tmp_path / "t.parquet")
    asked = []
    query = Tables.query
    monkeypatch.setattr(
        Tables, "query", lambda self, sql, parameters=(): asked.append(sql) or query(self, sql, parameters)
    )
    gather(path, ["won", "orders", "revenue"], by=KEYS)
    full = [sql for sql in asked if "LIMIT" not in sql]
    assert len(full) == 1
    assert "GROUP BY" in full[0]
    assert Path(path).exists()
