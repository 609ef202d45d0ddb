from __future__ import annotations

import gzip
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import Tables, check_version, complete_cases, numeric, quote, read_columns

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
ODD = 'x" FROM t; DROP TABLE t; --'
CSV = "id,at,hours,won,channel\n007,2026-01-01T10:00:00Z,1.5,true,web\n010,2026-01-02T10:00:00+02:00,,false,\n"


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def parquet(folder: Path, name: str, frame: pd.DataFrame) -> Path:
    path = folder / name
    frame.to_parquet(path)
    return path


# -- what is read ----------------------------------------------------------------------------------------------------


def test_csv_keeps_ids_as_text_times_in_utc_and_missing_as_missing(tmp_path):
    with Tables({"q": write(tmp_path, "q.csv", CSV)}) as tables:
        assert tables.columns("q") == {
            "id": "VARCHAR",
            "at": "TIMESTAMP WITH TIME ZONE",
            "hours": "DOUBLE",
            "won": "BOOLEAN",
            "channel": "VARCHAR",
        }
        found = tables.query("SELECT * FROM q")
    assert found["id"].tolist() == ["007", "010"]
    assert found["at"].tolist() == np.array(["2026-01-01T10:00", "2026-01-02T08:00"], "datetime64[us]").tolist()
    assert found["hours"][0] == 1.5
    assert np.isnan(found["hours"][1])
    assert found["channel"].tolist() == ["web", None]
    assert found["won"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "\ufeffid,x\n1,2\n"),
        ("a.csv.gz", gzip.compress(b"id,x\n1,2\n", mtime=0)),
        ("a.csv", "id;x\n1;2\n"),
        ("a.csv", "id\tx\r\n1\t2\r\n"),
        ("a.csv", '"id","x"\n"1","2"\n'),
    ],
)
def test_byte_order_marks_compression_and_separators_do_not_matter(tmp_path, name, content):
    found = read_columns(write(tmp_path, name, content), ["id", "x"])
    assert {key: values.tolist() for key, values in found.items()} == {"id": [1.0], "x": [2.0]}


def test_na_and_none_are_texts_not_missing(tmp_path):
    found = read_columns(write(tmp_path, "a.csv", "country,x\nNA,1\nNone,2\nNO,3\n,4\n"), ["country"])
    assert found["country"].tolist() == ["NA", "None", "NO", None]


def test_ids_of_twenty_digits_stay_distinct(tmp_path):
    path = write(tmp_path, "a.csv", "id,x\n12345678901234567890,1\n12345678901234567891,2\n")
    assert read_columns(path, ["id"])["id"].tolist() == ["12345678901234567890", "12345678901234567891"]


@pytest.mark.parametrize(
    ("head", "late", "kind"),
    [
        ("100001", "A17", "VARCHAR"),
        ("100001", "007", "VARCHAR"),
        ("100001", "1.5", "DOUBLE"),
        ("2026-01-01", "2026-01-01T10:00:00", "TIMESTAMP"),
        ("2026-01-01T10:00:00", "2026-01-01T10:00:00+02:00", "TIMESTAMP WITH TIME ZONE"),
        ("2026-01-01", "01/02/2026", "VARCHAR"),
    ],
)
def test_types_come_from_the_whole_file_not_from_its_head(tmp_path, head, late, kind):
    path = write(tmp_path, "a.csv", "id\n" + f"{head}\n" * 60_000 + f"{late}\n")
    with Tables({"a": path}) as tables:
        assert tables.columns("a") == {"id": kind}
        assert tables.query("SELECT count(*) AS n FROM a")["n"][0] == 60_001


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("how", ["frame", "path", "relation"])
def test_every_door_reads_the_same(tmp_path, suffix, how):
    frame = pd.DataFrame({"x": [1.0, None, 3.0], "b": [True, False, True], "s": ["u", None, "NA"], "n": [1, 2, 3]})
    path = tmp_path / f"a.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    connection = duckdb.connect()
    door = {
        "frame": frame,
        "path": str(path),
        "relation": connection.sql(f"SELECT * FROM '{path}'"),
    }[how]
    found = read_columns(door, ["x", "b", "s"], optional=["n", "absent"])
    assert list(found) == ["x", "b", "s", "n"]
    np.testing.assert_array_equal(found["x"], [1, np.nan, 3])
    assert found["b"].tolist() == [1.0, 0.0, 1.0]
    assert found["s"].tolist() == ["u", None, "NA"]
    assert found["n"].dtype == np.float64
    connection.close()


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (pd.array([1, None, 3], dtype="Int64"), [1, np.nan, 3]),
        (pd.array([True, None, False], dtype="boolean"), [1, np.nan, 0]),
        (pd.array([1.5, None], dtype="Float64"), [1.5, np.nan]),
        (pd.Series([1, None], dtype="int64[pyarrow]"), [1, np.nan]),
        (pd.Series([True, None], dtype="bool[pyarrow]"), [1, np.nan]),
        (pd.Series([Decimal("1.5"), None], dtype=object), [1.5, np.nan]),
        (pd.Series([1, 2.5, None], dtype=object), [1, 2.5, np.nan]),
        (pd.Series([None, None], dtype=object), [np.nan, np.nan]),
        (np.array([1, 2], dtype=np.float32), [1, 2]),
    ],
)
def test_numbers_of_any_pandas_dtype_become_doubles(series, expected):
    found = read_columns(pd.DataFrame({"x": series}), ["x"])["x"]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(["a", None], dtype="string"),
        pd.Series(["a", None], dtype="string[pyarrow]"),
        pd.Series(["a", None], dtype=object),
        pd.Series(["a", None], dtype="category"),
        pd.Series(["a", None]),
    ],
)
def test_text_of_any_pandas_dtype_keeps_none_for_missing(series):
    assert read_columns(pd.DataFrame({"x": series}), ["x"])["x"].tolist() == ["a", None]


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(pd.to_datetime(["2026-01-01 01:00", None])).dt.tz_localize("Europe/Berlin"),
        pd.Series(pd.to_datetime(["2026-01-01", None])),
        pd.Series([pd.Timestamp("2026-01-01").date(), None], dtype=object),
        pd.Series(pd.PeriodIndex(["2026-01", None], freq="M")),
    ],
)
def test_times_become_datetime64_in_utc(series):
    found = read_columns(pd.DataFrame({"t": series}), ["t"])["t"]
    assert found.dtype.kind == "M"
    assert str(found[0])[:16] == "2026-01-01T00:00"
    assert np.isnat(found[1])


@pytest.mark.parametrize("dtype", ["int64", "Int64", object])
def test_whole_numbers_beyond_doubles_are_not_merged(tmp_path, dtype):
    frame = pd.DataFrame({"id": pd.Series([2**60, 2**60 + 1], dtype=dtype)})
    assert len(set(read_columns(frame, ["id"])["id"].tolist())) == 2
    if dtype is not object:
        assert len(set(read_columns(parquet(tmp_path, "a.parquet", frame), ["id"])["id"].tolist())) == 2


def test_whole_numbers_beyond_doubles_survive_missing_neighbours(tmp_path):
    frame = pd.DataFrame({"id": pd.array([2**60, 2**60 + 1, None], dtype="Int64")})
    for door in (frame, parquet(tmp_path, "a.parquet", frame)):
        assert read_columns(door, ["id"])["id"].tolist() == [2**60, 2**60 + 1, None]


def test_numbers_of_a_frame_are_not_copied():
    frame = pd.DataFrame({"x": np.arange(5.0)})
    assert np.shares_memory(read_columns(frame, ["x"])["x"], frame["x"].to_numpy())


def test_a_file_is_read_without_pandas(tmp_path):
    write(tmp_path, "q.csv", CSV)
    code = "import sys; from cpi_experiments.measure.engine import read_columns as r; r('q.csv', ['hours', 'id']); assert 'pandas' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_types_that_numpy_lacks_become_text(tmp_path):
    path = tmp_path / "a.parquet"
    duckdb.connect().execute(
        f"COPY (SELECT 'u'::ENUM('u', 'v') AS e, 170141183460469231731687303715884105727::HUGEINT::VARCHAR AS h) TO '{path}'"
    )
    with Tables({"a": path}) as tables:
        assert tables.frame("SELECT e FROM a")["e"].tolist() == ["u"]


# -- splitting, order, digests ---------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.sampled_from(["", "1.5", "x", "007"])), min_size=2, max_size=8), st.data()
)
@settings(max_examples=15, deadline=None)
def test_cutting_a_file_in_two_changes_nothing(tmp_path_factory, rows, data):
    folder = tmp_path_factory.mktemp("split")
    cut = data.draw(st.integers(1, len(rows) - 1))
    lines = [f"{number},{text}" for number, text in rows]
    write(folder, "whole.csv", "n,v\n" + "\n".join(lines) + "\n")
    write(folder, "part1.csv", "n,v\n" + "\n".join(lines[:cut]) + "\n")
    write(folder, "part2.csv", "n,v\n" + "\n".join(lines[cut:]) + "\n")
    with Tables({"whole": "whole.csv", "parts": "part*.csv"}, root=folder) as tables:
        as_text = [
            tables.query(f"SELECT CAST(n AS DOUBLE) AS n, CAST(v AS VARCHAR) AS v FROM {name}")
            for name in ("whole", "parts")
        ]
    np.testing.assert_array_equal(as_text[0]["n"], as_text[1]["n"])
    assert [None if v is None else str(v) for v in as_text[0]["v"]] == [
        None if v is None else str(v) for v in as_text[1]["v"]
    ]


def test_rows_keep_the_order_of_the_file(tmp_path):
    values = np.random.default_rng(1).permutation(300_000).astype(float)
    path = parquet(tmp_path, "a.parquet", pd.DataFrame({"x": values}))
    np.testing.assert_array_equal(read_columns(path, ["x"])["x"], values)


def test_digests_name_the_content(tmp_path):
    path = write(tmp_path, "q.csv", CSV)
    frame = pd.DataFrame({"a": [1.0, None], "s": ["x", None]})
    with Tables({"q": path, "f": frame, "g": frame.assign(a=[1.0, 2.0]), "h": frame.astype({"s": object})}) as tables:
        import hashlib

        assert tables.digest("q") == hashlib.sha256(path.read_bytes()).hexdigest()
        assert tables.digest("f") == tables.digest("f")
        assert tables.digest("f") != tables.digest("g")
        assert tables.digest("f") == tables.digest("h")
        with pytest.raises(DataError, match="table 'z' is missing"):
            tables.digest("z")


def test_digest_of_several_files_depends_on_each(tmp_path):
    write(tmp_path, "a1.csv", "x\n1\n")
    write(tmp_path, "a2.csv", "x\n2\n")
    with Tables({"a": "a*.csv"}, root=tmp_path) as tables:
        before = tables.digest("a")
    write(tmp_path, "a2.csv", "x\n3\n")
    with Tables({"a": "a*.csv"}, root=tmp_path) as tables:
        assert tables.digest("a") != before
    with Tables({"a": "a*.csv"}, root=tmp_path) as tables:
        (tmp_path / "a1.csv").unlink()
        with pytest.raises(DataError, match="cannot be read"):
            tables.digest("a")


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("1", "1.5", "DOUBLE"),
        ("2026-01-01", "2026-01-01T10:00:00", "TIMESTAMP"),
        ("2026-01-01T10:00:00", "2026-01-01T10:00:00+02:00", "TIMESTAMP WITH TIME ZONE"),
        ("1", "2026-01-01", "VARCHAR"),
    ],
)
def test_types_of_several_csv_files_are_unified(tmp_path, one, other, kind):
    write(tmp_path, "a1.csv", f"x\n{one}\n")
    write(tmp_path, "a2.csv", f"x\n{other}\n")
    with Tables({"a": "a*.csv"}, root=tmp_path) as tables:
        assert tables.columns("a") == {"x": kind}
        assert tables.query("SELECT count(x) AS n FROM a")["n"][0] == 2


# -- bad input -------------------------------------------------------------------------------------------------------

GOOD_PARQUET = "good"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"", r"a.csv: the file is empty \(0 bytes\)"),
        ("a.parquet", b"", r"the file is empty \(0 bytes\)"),
        ("a.parquet", b"PAR1 and nothing more", "not a complete Parquet file"),
        ("a.csv", "id,x\n1,é\n".encode("utf-16"), "UTF-16"),
        ("a.csv", "id,x\n1,é\n".encode("latin-1"), "byte 7 looks like Latin-1"),
        ("a.csv", "é,x\n1,2\n".encode("latin-1"), "byte 0 looks like Latin-1"),
        ("a.csv", b"id,x\n1,2\n3,4,5\n", "a.csv:3: this line has 3 fields, the header has 2"),
        ("a.csv", b"id,x\n1,2\n3\n", "a.csv:3: this line has 1 fields, the header has 2"),
        ("a.csv", b"id,x\n" + b"1,2\n" * 50_000 + b"1,2,3\n", "a.csv:50002: this line has 3 fields"),
        ("a.csv", b"id,id\n1,2\n", "column 'id' occurs twice"),
        ("a.csv", b"id,,x\n1,2,3\n", "column 2 has no usable name"),
        ("a.csv", b"id,ID\n1,2\n", "column 'ID' occurs twice"),
        ("a.csv.gz", b"not gzip at all", "gzip"),
        ("a.csv.gz", gzip.compress(b"id,x\n" + b"1,2\n" * 9000, mtime=0)[:-30], "gzip"),
        ("a.csv.gz", b"\x1f\x8b and then nonsense\0\0\0\0", "a.csv.gz: is not a readable gzip file"),
        (
            "a.csv.gz",
            gzip.compress(bytes(range(33, 127)) * 9 + b"\n" + b"1,2\n" * 9000, mtime=0)[:90] + bytes(4),
            "a.csv.gz",
        ),
        ("a.csv.gz", gzip.compress(b"id,x\n" + "1,2\n3,é\n".encode("latin-1"), mtime=0), "byte 11 looks like Latin-1"),
        ("a.csv", b'id,x\n1,"open\n2,3\n', "a.csv"),
        ("a.csv", b"id,x\n", "no rows"),
        ("a.csv", b"id,z\n1,2\n", "column 'x' is missing"),
        ("a.pkl", b"cos\nsystem\n(S'touch pwned'\ntR.", "unsupported file type '.pkl'"),
        ("a.joblib", b"x", "unsupported file type '.joblib'"),
        ("a.xlsx", b"PK", "unsupported file type '.xlsx'"),
        ("a", b"x", "unsupported file type 'without extension'"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, name, content, says):
    with pytest.raises(DataError, match=says) as caught:
        read_columns(write(tmp_path, name, content), ["id", "x"])
    assert "Traceback" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("keep", [0.3, 0.999])
def test_truncated_parquet_gives_no_partial_result(tmp_path, keep):
    path = parquet(tmp_path, "good.parquet", pd.DataFrame({"x": np.random.default_rng(0).normal(size=5000)}))
    content = path.read_bytes()
    bad = write(tmp_path, "bad.parquet", content[: int(len(content) * keep)])
    with pytest.raises(DataError, match=r"bad\.parquet: is not a complete Parquet file"):
        read_columns(bad, ["x"])


def test_parquet_damaged_in_the_middle_names_the_file(tmp_path):
    path = parquet(tmp_path, "good.parquet", pd.DataFrame({"x": np.random.default_rng(0).normal(size=200_000)}))
    content = bytearray(path.read_bytes())
    content[4:4000] = bytes(3996)
    with pytest.raises(DataError, match=r"bad\.parquet"):
        read_columns(write(tmp_path, "bad.parquet", bytes(content)), ["x"])


def test_compression_bombs_are_refused_before_reading(tmp_path):
    path = write(tmp_path, "a.csv.gz", gzip.compress(b"x\n" + b"1\n" * 60_000_000, compresslevel=9, mtime=0))
    with pytest.raises(DataError, match="the limit is 300 times"):
        read_columns(path, ["x"])


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ((pd.DataFrame({"x": [1.0]}), pd.DataFrame({"y": [1.0]})), "'x' only in a1"),
        (
            (pd.DataFrame({"x": [1.0]}), pd.DataFrame({"x": ["u"]})),
            "'x' is DOUBLE in a1.parquet, VARCHAR in a2.parquet",
        ),
        (
            (pd.DataFrame({"x": [1], "y": [2]}), pd.DataFrame({"y": [2], "x": [1]})),
            "the order or the separator differs",
        ),
    ],
)
def test_files_of_one_table_must_agree(tmp_path, frames, says):
    for i, frame in enumerate(frames, start=1):
        parquet(tmp_path, f"a{i}.parquet", frame)
    with pytest.raises(DataError, match=says):
        Tables({"a": "a*.parquet"}, root=tmp_path)


def test_csv_files_of_one_table_must_have_one_header(tmp_path):
    write(tmp_path, "a1.csv", "x,y\n1,2\n")
    write(tmp_path, "a2.csv", "x,z\n1,2\n")
    with pytest.raises(DataError, match=r"'y' only in a1\.csv; 'z' only in a2\.csv"):
        Tables({"a": "a*.csv"}, root=tmp_path)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nosuch.csv", "nosuch.csv: no such file"),
        ("quote.csv", "Did you mean 'quotes.csv'"),
        ("no*.csv", "no file matches"),
        ("https://bob:S3CRET@host/d.csv", "a https address is not a local file"),
        ("s3://bucket/d.parquet", "a s3 address"),
        ("a\0.csv", "NUL"),
        ("folder.csv", "this is a folder"),
        ("*", "unsupported|mixes"),
        ("loop.csv", "no usable path|no such file"),  # the words depend on the version of Python
        ("x" * 300 + ".csv", "no usable path|no such file"),
        ("x" * 300 + "*.csv", "no usable path|no file matches"),
    ],
)
def test_unusable_paths_are_refused(tmp_path, source, says):
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    write(tmp_path, "quotes.csv", "x\n1\n")
    write(tmp_path, "other.parquet", "x\n1\n")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=says) as caught:
        Tables({"a": source}, root=tmp_path)
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize("source", ["../secret.csv", "link.csv", "../s*.csv"])
def test_no_file_outside_the_root_is_read(tmp_path, source):
    root = tmp_path / "data"
    root.mkdir()
    secret = write(tmp_path, "secret.csv", "x\n1\n")
    (root / "link.csv").symlink_to(secret)
    with pytest.raises(DataError, match="outside the data folder"):
        Tables({"a": source}, root=root)


def test_paths_that_duckdb_would_expand_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"one of \* \? \["):
        read_columns(write(tmp_path, "a[1].csv", "x\n1\n"), ["x"])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (pd.DataFrame({"x": []}), "no rows"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "column 'x' occurs twice"),
        (pd.DataFrame({"xx": [1.0]}), "Did you mean 'xx'"),
        (pd.DataFrame({"x": pd.to_timedelta([1, 2], unit="h")}), "timedelta64"),
        ([1, 2], "a list is not a table"),
    ],
)
def test_unusable_frames_are_refused(data, says):
    with pytest.raises(DataError, match=says):
        read_columns(data, ["x"])


def test_a_relation_without_rows_or_columns_is_refused():
    connection = duckdb.connect()
    with pytest.raises(DataError, match="no rows"):
        read_columns(connection.sql("SELECT 1 AS x WHERE false"), ["x"])
    with pytest.raises(DataError, match="column 'y' is missing"):
        read_columns(connection.sql("SELECT 1 AS x"), ["y"])
    with pytest.raises(DataError, match="the relation cannot be read"):
        read_columns(connection.sql("SELECT CAST(s AS INT) AS x FROM (VALUES ('u')) v(s)"), ["x"])
    with pytest.raises(DataError, match="no column was asked for"):
        read_columns(connection.sql("SELECT 1 AS x"), [])
    connection.close()


# -- the lock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "ATTACH '{folder}/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
        "SELECT * FROM local_frame",
        "EXPORT DATABASE '{folder}/dump'",
    ],
)
def test_the_connection_reaches_nothing_but_its_tables(tmp_path, sql):
    local_frame = pd.DataFrame({"x": [1]})
    with Tables({"a": write(tmp_path, "a.csv", "x\n1\n"), "f": local_frame}) as tables:
        with pytest.raises(DataError):
            tables.query(sql.format(folder=tmp_path))
        assert tables.query("SELECT x FROM a")["x"].tolist() == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_hostile_column_names_are_only_names(tmp_path):
    frame = pd.DataFrame({ODD: [1.0, 2.0], "y": [3.0, 4.0]})
    path = parquet(tmp_path, "a.parquet", frame)
    with Tables({"t": frame, "p": path}) as tables:
        for table in ("t", "p"):
            assert tables.query(f"SELECT {quote(ODD)} AS v FROM {table}")["v"].tolist() == [1.0, 2.0]
        assert tables.names == ("t", "p")
    assert read_columns(path, [ODD])[ODD].tolist() == [1.0, 2.0]
    assert read_columns(frame, [ODD])[ODD].tolist() == [1.0, 2.0]
    with pytest.raises(DataError, match="is missing"):
        read_columns(path, ["y FROM data; DROP TABLE data; --"])


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_cannot_be_quoted_are_refused(name):
    with pytest.raises(DataError, match="cannot be a column or table name"):
        quote(name)


def test_tables_are_named_with_the_nearest_when_missing():
    with Tables({"quotes": pd.DataFrame({"hours": [1.0]})}) as tables:
        with pytest.raises(DataError, match="Did you mean 'quotes'"):
            tables.columns("quote")
        with pytest.raises(DataError, match=r"Did you mean 'hours'.*Columns: hours"):
            tables.type_of("quotes", "hour")
        with pytest.raises(DataError, match="the query cannot run"):
            tables.query("SELECT nosuch FROM quotes")


@pytest.mark.parametrize(
    "sources",
    [
        {"a": 3},
        {"": pd.DataFrame({"x": [1]})},
        {"a": pd.DataFrame({1: [1]})},
        {"a": pd.DataFrame({"x": [1], "X": [2]})},
    ],
)
def test_what_is_not_a_table_is_refused(sources):
    with pytest.raises(DataError):
        Tables(sources)


def test_memory_limit_says_what_to_do():  # G14
    with (
        Tables({"a": pd.DataFrame({"x": [1]})}, memory_limit="20MB") as tables,
        pytest.raises(DataError, match=r"more memory than its limit\.\s+Raise memory_limit"),
    ):
        tables.query("SELECT list(range) AS l FROM range(60000000)")


def test_unreadable_settings_are_refused():
    with pytest.raises(DataError, match="the engine refuses memory_limit"):
        Tables({}, memory_limit="a lot")


def test_old_engines_are_refused_with_the_pin():  # G10
    with pytest.raises(DataError, match=r'duckdb 1\.5\.6 is too old.\s+Install "duckdb>=2\.0"'):
        check_version("1.5.6")


def test_a_relation_with_hostile_names_is_read():
    connection = duckdb.connect()
    assert read_columns(connection.sql(f"SELECT 1 AS {quote(ODD)}, 2 AS y"), [ODD])[ODD].tolist() == [1.0]
    connection.close()


def test_a_relation_can_be_a_table():
    connection = duckdb.connect()
    with Tables({"r": connection.sql("SELECT range AS x FROM range(3)")}) as tables:
        assert tables.query("SELECT sum(x) AS s FROM r")["s"][0] == 3
    connection.close()


def test_repeated_rows_are_counted_once_each():
    with Tables({"a": pd.DataFrame({"x": [1, 1, 1, 2], "y": ["u", "u", "v", None]})}) as tables:
        assert tables.repeated_rows("a") == 1


# -- numbers and complete cases --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            np.array(["1", "abc"], dtype=object),
            r"is text; 1 of 2 values are not numbers; first such value 'abc' \(row 2\)",
        ),
        (np.array(["3,5", "4"], dtype=object), "3,5 looks like a decimal comma: write 3.5"),
        (np.array(["1", "2"], dtype=object), "all 2 values would read as numbers"),
        (np.array(["ann@example.org"], dtype=object), "a text of 15 characters"),
        (np.array([1.0, np.inf, -np.inf]), "holds 2 infinite values among 3"),
        (np.array([1e300]), r"holds 1 value beyond 1e\+150"),
        (np.array(["2026-01-01"], dtype="datetime64[us]"), "is a time"),
    ],
)
def test_what_is_not_a_number_is_explained(values, says):
    with pytest.raises(DataError, match=says) as caught:
        numeric({"x": values}, "x", where="trial.csv")
    assert str(caught.value).startswith("trial.csv: ")
    assert "ann@" not in str(caught.value)


def test_numeric_names_the_nearest_column():
    with pytest.raises(DataError, match="Did you mean 'hours'"):
        numeric({"hours": np.array([1.0])}, "hour")


def test_each_row_is_lost_once_under_its_first_missing_column():
    columns = {
        "a": np.array([1, np.nan, np.nan, 4]),
        "b": np.array(["u", None, "v", None], dtype=object),
        "t": np.array(["2026-01-01", "2026-01-01", "NaT", "2026-01-01"], dtype="datetime64[D]"),
    }
    mask, dropped = complete_cases(columns)
    assert mask.tolist() == [True, False, False, False]
    assert dropped == (("without a", 2), ("without b", 1))


def test_columns_of_different_length_are_refused():
    with pytest.raises(DataError, match="differ in length"):
        complete_cases({"a": np.zeros(2), "b": np.zeros(3)})


# -- real data -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (REAL / "telco_churn.csv.gz").exists(), reason="the shared data are not here")
def test_telco_total_charges_is_text_because_of_eleven_blanks():
    found = read_columns(REAL / "telco_churn.csv.gz", ["TotalCharges", "tenure"])
    assert found["tenure"].dtype == np.float64
    with pytest.raises(DataError, match=r"is text; 11 of 7,043 values are not numbers; first such value ' '"):
        numeric(found, "TotalCharges")


def test_nanoseconds_are_times_like_others(tmp_path):
    at = pd.to_datetime(["2026-01-31T23:30:00Z", "2026-02-01T12:00:00Z"])
    zoned = pd.Series(at).astype("datetime64[ns, UTC]")
    frame = pd.DataFrame({"zoned": zoned, "local": zoned.dt.tz_localize(None)})
    frame.to_parquet(tmp_path / "t.parquet", version="2.6")
    for source in (tmp_path / "t.parquet", frame):
        with Tables({"t": source}) as tables:
            kinds = {"zoned": "TIMESTAMP WITH TIME ZONE", "local": "TIMESTAMP"}
            assert tables.columns("t") == kinds
            found = tables.query("SELECT timezone('Europe/Berlin', zoned) AS z, CAST(local AS TIMESTAMP) AS l FROM t")
        assert [str(each)[:16] for each in (found["z"][0], found["l"][0])] == ["2026-02-01T00:30", "2026-01-31T23:30"]
