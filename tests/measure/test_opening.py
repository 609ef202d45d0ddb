"""Every kind of data opens as a table of an engine, with the same types, the same numbers and the same errors."""

from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import Tables, read_columns
from cpi_experiments.measure.engines.opening import open_data
from cpi_experiments.measure.engines.relation import RelationTable

FRAME = pd.DataFrame(
    {
        "arm": ["a", None, "b", "a"],
        "orders": [3, -1, 2**60, 0],
        "hours": [1.5, np.nan, 2.0, -4.0],
        "won": [True, False, False, True],
        "seen": pd.to_datetime(["2026-01-01", None, "2026-01-03", "2026-01-04"]),
        "unused": [object()] * 4,
    }
)
USED = ["arm", "orders", "hours", "won", "seen"]


def as_relation(frame):
    connection = duckdb.connect()
    connection.register("f", frame)
    return connection.sql("SELECT * FROM f")


def as_parquet(frame, folder):
    path = folder / "trial.parquet"
    duckdb.from_df(frame).write_parquet(str(path))
    return path


KINDS = {
    "frame": lambda frame, _: frame,
    "arrow frame": lambda frame, _: frame.convert_dtypes(dtype_backend="pyarrow").astype({"hours": "float64[pyarrow]"}),
    "parquet": as_parquet,
    "glob": lambda frame, folder: str(as_parquet(frame, folder).parent / "*.parquet"),
    "relation": lambda frame, _: as_relation(frame),
    "arrow": lambda frame, _: pa.Table.from_pandas(frame),
    "stream": lambda frame, _: pa.Table.from_pandas(frame).to_reader(),
    "tables": lambda frame, _: (Tables({"trial": frame}), "trial"),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_data_answers_alike(kind, tmp_path):
    data = KINDS[kind](FRAME[USED] if kind != "frame" else FRAME, tmp_path)
    with open_data(data, USED, optional=["absent"]) as (engine, table):
        sql = f'SELECT arm, sum(orders) AS o, sum(hours) AS h, count(hours) AS n, max(seen) AS seen FROM "{table}" GROUP BY arm ORDER BY arm'
        first, second = engine.query(sql), engine.query(sql)
        whole = {name: engine.type_of(table, name) for name in ("orders", "won", "hours", "arm")}
    assert whole == {"orders": "BIGINT", "won": "BOOLEAN", "hours": "DOUBLE", "arm": "VARCHAR"}
    for found in (first, second):
        assert found["arm"].tolist() == ["a", "b", None]
        assert found["o"].tolist() == [3, 2**60, -1]
        np.testing.assert_array_equal(found["h"], [-2.5, 2.0, np.nan])
        assert found["n"].tolist() == [2, 1, 0]
        assert found["seen"][0] == np.datetime64("2026-01-04")


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_missing_column_is_the_same_error_everywhere(kind, tmp_path):
    frame = FRAME[["orders", "hours"]]
    with (
        pytest.raises(DataError, match=r"column 'ordes' is missing.\n  Did you mean 'orders'"),
        open_data(KINDS[kind](frame, tmp_path), ["ordes"]),
    ):
        pass


@pytest.mark.parametrize("kind", list(KINDS))
def test_no_rows_is_the_same_error_everywhere(kind, tmp_path):
    with (
        pytest.raises(DataError, match=r"no rows.\n  Look at the filter"),
        open_data(KINDS[kind](FRAME[["orders", "hours"]].iloc[:0], tmp_path), ["orders"]),
    ):
        pass


@pytest.mark.parametrize("kind", ["frame", "arrow", "stream", "relation"])
def test_a_column_that_occurs_twice_is_an_error_only_if_it_is_asked_for(kind):
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "b"])
    twice = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "b", "b"])
    data = {
        "frame": frame,
        "arrow": twice,
        "stream": twice.to_reader(),
        "relation": duckdb.sql("SELECT 1 AS a, 2 AS b, 3 AS c"),
    }[kind]
    if kind == "relation":  # DuckDB renames the second itself
        data = data.project("a, b, c AS b_1")
    else:
        with pytest.raises(DataError, match="column 'b' occurs twice"), open_data(data, ["a", "b"]):
            pass
        data = twice.to_reader() if kind == "stream" else data
    with open_data(data, ["a"]) as (engine, table):
        assert list(engine.columns(table)) == ["a"]


@pytest.mark.parametrize("thing", [3, None, [1, 2], {"a": [1]}])
def test_what_is_no_table_is_refused(thing):
    with pytest.raises(DataError, match="is not a table"), open_data(thing, ["a"]):
        pass


@pytest.mark.parametrize(
    ("values", "kind", "total"),
    [
        (pd.array([1, None, 3], dtype="Int64"), "DOUBLE", 4),
        (pd.array([2**60, None, 1], dtype="Int64"), "BIGINT", 2**60 + 1),
        (np.array([1, 2, 3], dtype=np.uint8), "UTINYINT", 6),
        (np.array([2**63, 1, 2], dtype=np.uint64), "UBIGINT", 2**63 + 3),
        (np.array([1, 2, 4], dtype=np.float16), "FLOAT", 7),
        (pd.Categorical(["a", "b", "a"]), "VARCHAR", None),
        (["2026-01-01", "x", None], "VARCHAR", None),
        ([date(2026, 1, 1), None, date(2026, 1, 2)], "TIMESTAMP", None),
        (pd.to_datetime(["2026-01-01T02:00+02:00"] * 3), "TIMESTAMP", None),
    ],
)
def test_columns_of_frames_keep_their_meaning(values, kind, total):
    with open_data(pd.DataFrame({"x": values}), ["x"]) as (engine, table):
        assert engine.type_of(table, "x") == kind
        if total is not None:
            found = engine.query(f'SELECT CAST(sum(CAST(x AS HUGEINT)) AS VARCHAR) AS s FROM "{table}"')
            assert found["s"].tolist() == [str(total)]


def test_numbers_of_a_frame_are_not_copied():
    frame = pd.DataFrame({"x": np.arange(3.0)})
    with open_data(frame, ["x"]) as (engine, table):
        assert np.shares_memory(engine._frames[table]["x"], frame["x"].to_numpy())


def test_a_frame_that_is_closed_leaves_nothing(tmp_path):
    with open_data(FRAME, ["orders"]) as (engine, _):
        pass
    with pytest.raises(DataError):
        engine.query("SELECT 1 AS one")


# -- relations -------------------------------------------------------------------------------------------------------


def test_a_relation_is_asked_where_it_lives():
    connection = duckdb.connect()
    connection.execute("CREATE TABLE data AS SELECT 99 AS orders")  # a table of the user that has our name
    relation = connection.sql("SELECT range AS orders, 'x'::ENUM('x') AS arm, range::HUGEINT AS big FROM range(3)")
    opened = RelationTable(relation, ["orders", "arm", "big"])
    (name,) = opened.names
    assert opened.columns(name) == {"orders": "BIGINT", "arm": "VARCHAR", "big": "VARCHAR"}
    found = opened.query(f"SELECT sum(orders) AS o, max(big) AS b FROM {name}")
    assert (found["o"].tolist(), found["b"].tolist()) == ([3], ["2"])
    assert opened.repeated_rows(name) == 0
    assert opened.dialect == "duckdb"
    assert len(opened.digest(name)) == 64
    assert connection.execute("SELECT orders FROM data").fetchall() == [(99,)]
    assert connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall() == []


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda opened: opened.query(f"SELECT nothing FROM {opened.names[0]}"), "the query cannot run.*nothing"),
        (lambda opened: opened.query("SELECT 1 AS one WHERE 1 = ?", [1]), "with values cannot run on a relation"),
        (lambda opened: opened.columns("date"), "table 'date' is missing"),
        (lambda opened: opened.type_of(opened.names[0], "aa"), "column 'aa' is missing"),
    ],
)
def test_what_a_relation_cannot_answer_is_an_error(ask, message):
    opened = RelationTable(duckdb.sql("SELECT 1 AS a"), ["a"])
    with pytest.raises(DataError, match=message):
        ask(opened)
    opened.close()
    assert opened.query(f"SELECT a FROM {opened.names[0]}")["a"].tolist() == [1]


# -- sources of Tables -----------------------------------------------------------------------------------------------


def test_arrays_and_arrow_are_sources_with_the_digest_of_their_content():
    arrays = {"a": np.arange(3), "b": np.array(["x", None, "y"], dtype=object)}
    frame = pd.DataFrame({"a": arrays["a"], "b": arrays["b"]})
    digests = set()
    for source in (arrays, frame, pa.table({"a": [0, 1, 2], "b": ["x", None, "y"]})):
        with Tables({"t": source}) as tables:
            digests.add(tables.digest("t"))
            assert tables.query("SELECT sum(a) AS a, count(b) AS b FROM t")["b"].tolist() == [2]
    assert len(digests) == 1


def test_arrow_goes_through_the_door_of_columns():
    table = pa.table({"a": [1, 2, None], "b": ["x", "y", "z"]})
    found = read_columns(table, ["a"], optional=["b"])
    np.testing.assert_array_equal(found["a"], [1, 2, np.nan])
    assert found["b"].tolist() == ["x", "y", "z"]
