"""A DB-API connection and a dialect make an engine: PostgreSQL and DuckDB's own connection answer as the engine does."""

import sqlite3
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import duckdb
import numpy as np
import pandas as pd
import pytest

import cpi_experiments as cpi
from cpi_experiments.errors import CpiWarning, DataError
from cpi_experiments.measure.engine import Tables, read_columns
from cpi_experiments.measure.engines.kinds import described_words
from cpi_experiments.measure.engines.opening import open_data
from cpi_experiments.measure.engines.rows import column_array
from cpi_experiments.measure.engines.warehouse import Warehouse, _bound
from cpi_experiments.measure.moments.gather import gather

sys.path.insert(0, str(Path(__file__).parent))
import conformance

#: DuckDB hands over times with a zone through a library that is not installed.
ZONED = {"moments_of_time"}
COLUMNS = {
    "data": "customer int, arm text, segment text, week int, won boolean, orders bigint, hours float8, gap float8, "
    "revenue float8, half float8, cents bigint, paid numeric(12, 2), seen_at timestamp, seen_on date, zoned timestamptz",
    "customers": "customer int, weight bigint, region varchar(9)",
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return conformance.write_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def expected(paths):
    return conformance.answer_all(paths)


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as opened:
        conformance.make_tables(opened)
        yield opened


@pytest.fixture
def warehouse(connection):
    opened = Warehouse(connection, dialect="duckdb")
    for table in COLUMNS:
        opened.table(table)
    return opened


@pytest.fixture(scope="module")
def server(postgres, paths):
    """PostgreSQL with the two tables."""
    for table, columns in COLUMNS.items():
        postgres.execute(f"CREATE TABLE {table} ({columns})")
        names = ", ".join(each.split()[0] for each in columns.replace("(12, 2)", "").split(", "))
        csv = paths[table].with_suffix(".csv")
        duckdb.connect().execute(
            f"SET TimeZone = 'UTC'; COPY (SELECT {names} FROM '{paths[table]}') TO '{csv}' (HEADER false, NULLSTR '\\N')"
        )
        with postgres.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv, NULL '\\N')") as copy:
            copy.write(csv.read_bytes())
    opened = Warehouse(postgres, dialect="postgres")
    for table in COLUMNS:
        opened.table(table)
    return opened


# -- PostgreSQL: `python dev/matrix.py postgres` -------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.parametrize("name", list(conformance.QUERIES))
def test_postgres_answers_as_duckdb_does(server, expected, name):
    conformance.check_same(conformance.answer(server, name), expected[name], name)


@pytest.mark.postgres
def test_types_of_postgres_are_named_as_duckdb_names_them(server, paths):
    with Tables(paths) as tables:
        for table in COLUMNS:
            wanted = {name: kind.replace("(12,2)", "(12, 2)") for name, kind in tables.columns(table).items()}
            assert server.columns(table) == {name: wanted[name] for name in server.columns(table)}


@pytest.mark.postgres
def test_moments_of_postgres_are_those_of_duckdb(server, paths):
    columns, origin = ["orders", "won", "paid", "revenue", "hours"], np.array([3.0, 0, 500, 50, 20])
    found, wanted = (
        gather(data, columns, by=["arm", "week"]).based_on(origin) for data in (server.table("data"), paths["data"])
    )
    assert found.whole.tolist() == wanted.whole.tolist() == [True, True, True, False, False]
    assert found.n.tolist() == wanted.n.tolist()
    assert found.sums[:, :3].tolist() == wanted.sums[:, :3].tolist()
    exact = [k for k, (i, j) in enumerate(found.pairs) if i < 3 and j < 3]
    assert found.products[:, exact].tolist() == wanted.products[:, exact].tolist()
    for one, two in zip(found.products.T.astype(float), wanted.products.T.astype(float), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12 * np.abs(two).max())


@pytest.mark.postgres
def test_a_table_of_postgres_goes_through_a_door(server, paths):
    rules = {"arm": "arm", "control": "b", "outcomes": ["revenue", "won"], "cluster": "customer"}
    found, wanted = (cpi.compare(data, **rules).to_frame() for data in (server.table("data"), paths["data"]))
    for name in ("effect", "std_error", "ci_low", "ci_high"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-10)


@pytest.mark.postgres
def test_the_digest_of_postgres_sees_content_and_not_the_order_or_the_session(server, postgres):
    before = server.digest("data")
    postgres.execute("SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET IntervalStyle = 'iso_8601'")
    postgres.execute("CREATE TABLE shuffled AS SELECT * FROM data ORDER BY revenue")
    with pytest.warns(CpiWarning, match="time zone is Asia/Tokyo, not UTC"):
        other = Warehouse(postgres, dialect="postgres")
    assert other.table("shuffled").engine.digest("shuffled") == before
    postgres.execute("RESET DateStyle")  # psycopg reads ISO times only
    found = other.query("SELECT min(zoned) AS first FROM shuffled")
    assert found["first"][0] == np.datetime64("2026-03-27")
    postgres.execute("UPDATE shuffled SET orders = orders + 1 WHERE customer = 7")
    assert other.digest("shuffled") != before
    postgres.execute("SET TimeZone = 'UTC'; DROP TABLE shuffled")


@pytest.mark.postgres
def test_a_session_that_rounds_doubles_is_refused(server, postgres):
    postgres.execute("SET extra_float_digits = 0")
    with pytest.raises(DataError, match="extra_float_digits = 0, which rounds them"):
        Warehouse(postgres, dialect="postgres")
    postgres.execute("RESET extra_float_digits")


@pytest.mark.postgres
def test_an_error_of_postgres_is_one_line(server):
    with pytest.raises(DataError, match='the server cannot run the query: column "orderz" does not exist') as error:
        server.query("SELECT orderz FROM data")
    assert len(str(error.value).splitlines()) == 1


# -- any connection ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(conformance.QUERIES) - ZONED))
def test_a_connection_of_duckdb_answers_as_the_engine_does(warehouse, expected, name):
    conformance.check_same(conformance.answer(warehouse, name), expected[name], name)


def test_a_table_is_a_handle_that_every_door_takes(connection, paths):
    connection.execute('CREATE SCHEMA IF NOT EXISTS "Sales x"; CREATE OR REPLACE VIEW "Sales x"."T.1" AS FROM data')
    table = Warehouse(connection, dialect="duckdb").table('"Sales x"."T.1"')
    assert table.columns[:2] == ("customer", "arm")
    rules = {"arm": "arm", "control": "b", "outcomes": ["revenue", "won"]}
    found, wanted = (cpi.compare(data, **rules).to_frame() for data in (table, paths["data"]))
    np.testing.assert_allclose(found["effect"], wanted["effect"], rtol=1e-12)
    np.testing.assert_array_equal(read_columns(table, ["week"])["week"], read_columns(paths["data"], ["week"])["week"])
    with open_data(table, ["week"], optional=["absent"]) as (engine, name):
        assert (engine, name) == (table.engine, table.name)
    for broken in (["weak"], ["week", "weak"]):
        with pytest.raises(DataError, match="column 'weak' is missing") as error, open_data(table, broken):
            pass
        assert "Did you mean 'week'?" in str(error.value)


def test_digest_and_repeated_rows(connection, warehouse):
    connection.execute("CREATE OR REPLACE TABLE sorted AS SELECT * FROM data ORDER BY revenue")
    connection.execute("CREATE OR REPLACE TABLE twice AS SELECT arm FROM data")
    assert warehouse.table("sorted").engine.digest("sorted") == warehouse.digest("data")
    assert warehouse.repeated_rows("data") == 0
    assert warehouse.repeated_rows("twice") == conformance.N - 2
    connection.execute("UPDATE sorted SET orders = orders + 1 WHERE customer = 7")
    assert warehouse.digest("sorted") != warehouse.digest("data")


def test_only_tables_that_were_asked_for_can_be_read(connection):
    opened = Warehouse(connection, dialect="duckdb")
    assert opened.names == ()
    with pytest.raises(DataError, match="table 'data' is missing"):
        opened.query("SELECT 1 AS one FROM data")
    opened.table("data")
    assert opened.names == ("data",)
    with pytest.raises(DataError, match="does not only read"):
        opened.query("DROP TABLE data")
    opened.close()
    assert opened.names == ()
    assert connection.execute("SELECT count(*) FROM data").fetchall() == [(conformance.N,)]


def test_a_table_that_is_not_there_is_an_error(warehouse):
    with pytest.raises(DataError, match=r"the server cannot run the query.*nothing"):
        warehouse.table("nothing")


def test_no_message_repeats_a_password(warehouse):
    secrets = ["postgresql://bob:S3CRET@host/db", "host=h password=S3CRET user=bob", "PASSWORD: S3CRET"]
    for secret in secrets:
        with pytest.raises(DataError) as error:
            warehouse.query(f'SELECT "{secret}" FROM data')
        assert "S3CRET" not in str(error.value) + repr(warehouse)
        assert error.value.__suppress_context__


def test_a_session_in_another_zone_is_said():
    with duckdb.connect() as connection:
        connection.execute("SET GLOBAL TimeZone = 'Europe/Berlin'")
        with pytest.warns(CpiWarning, match="time zone is Europe/Berlin, not UTC"):
            Warehouse(connection, dialect="duckdb")


def test_what_is_no_connection_or_dialect_is_refused(connection):
    with pytest.raises(DataError, match="a DataFrame is not a DB-API connection"):
        Warehouse(pd.DataFrame(), dialect="postgres")
    with pytest.raises(DataError, match="Did you mean 'postgres'"):
        Warehouse(connection, dialect="postgresql")


def test_a_server_that_is_not_what_was_said_is_an_error():
    with sqlite3.connect(":memory:") as connection, pytest.raises(DataError, match="the server cannot run the query"):
        Warehouse(connection, dialect="postgres")
    connection.close()


def test_a_value_too_few_is_an_error(warehouse):
    with pytest.raises(DataError, match="has a value 2, 1 were given"):
        warehouse.query("SELECT count(*) AS n FROM data WHERE arm = ? AND week = ?", ["a"])


@pytest.mark.parametrize(
    ("style", "text", "values"),
    [
        ("qmark", "a % ? = ? AND ?", [1, 2, 1]),
        ("format", "a %% %s = %s AND %s", [1, 2, 1]),
        (
            "pyformat",
            "a %% %(cpi_value_1)s = %(cpi_value_2)s AND %(cpi_value_1)s",
            {"cpi_value_1": 1, "cpi_value_2": 2},
        ),
        ("named", "a % :cpi_value_1 = :cpi_value_2 AND :cpi_value_1", {"cpi_value_1": 1, "cpi_value_2": 2}),
        ("numeric", "a % :1 = :2 AND :1", [1, 2]),
    ],
)
def test_values_are_bound_in_the_style_of_the_driver(style, text, values):
    assert _bound("a % :cpi_value_1 = :cpi_value_2 AND :cpi_value_1", [1, 2], style) == (text, values)


def test_values_of_numpy_are_bound_as_plain_ones(warehouse):
    found = warehouse.query(
        "SELECT count(*) AS n FROM data WHERE week = ? AND revenue > ?", [np.int32(3), np.float64(50)]
    )
    assert found["n"][0] > 0


# -- rows and types ------------------------------------------------------------------------------------------------------

BERLIN = timezone(timedelta(hours=2))
ROWS = [
    ([1, 2], [1, 2], "i"),
    ([1, None], [1.0, np.nan], "f"),
    ([2**60, None], [2**60, None], "O"),
    ([2**64, 1], [2**64, 1], "O"),
    ([Decimal(2**100), Decimal(3)], [2**100, 3], "O"),
    ([Decimal("1E+2"), 3], [100, 3], "i"),
    ([Decimal("1.50"), None], [1.5, np.nan], "f"),
    ([Decimal("NaN"), Decimal(1)], [np.nan, 1.0], "f"),
    ([1, 2.5], [1.0, 2.5], "f"),
    ([True, False], [True, False], "b"),
    ([True, None], [1.0, np.nan], "f"),
    ([None, None], [np.nan, np.nan], "f"),
    (["a", None], ["a", None], "O"),
    ([UUID(int=1), None], ["00000000-0000-0000-0000-000000000001", None], "O"),
    ([date(2026, 1, 2), None], [np.datetime64("2026-01-02", "us"), np.datetime64("NaT", "us")], "M"),
    ([datetime(2026, 1, 2, 3, tzinfo=BERLIN)], [np.datetime64("2026-01-02T01", "us")], "M"),
    (
        [datetime(2026, 1, 2, 3, tzinfo=UTC), None],
        [np.datetime64("2026-01-02T03", "us"), np.datetime64("NaT", "us")],
        "M",
    ),
    ([timedelta(hours=2), None], [np.timedelta64(7_200_000_000, "us"), np.timedelta64("NaT", "us")], "m"),
    ([], [], "f"),
]


@pytest.mark.parametrize(("values", "wanted", "kind"), ROWS)
def test_rows_become_the_arrays_that_duckdb_would_give(values, wanted, kind):
    found = column_array(values)
    assert found.dtype.kind == kind
    np.testing.assert_array_equal(found, np.array(wanted, dtype=found.dtype))


@pytest.mark.parametrize(
    ("dialect", "column", "kind"),
    [
        ("postgres", (701, None, None, None, None), "DOUBLE"),
        ("postgres", (1700, None, None, 12, 2), "DECIMAL(12, 2)"),
        ("postgres", (1700, None, None, None, None), "DOUBLE"),
        ("postgres", (1043, None, None, None, None), "VARCHAR"),
        ("snowflake", (0, None, None, 38, 0), "DECIMAL(38, 0)"),
        ("snowflake", (0, None, None, 10, 0), "BIGINT"),
        ("snowflake", (0, None, None, 10, 2), "DECIMAL(10, 2)"),
        ("snowflake", (13, None, None, None, None), "BOOLEAN"),
        ("bigquery", ("INT64", None, None, None, None), "BIGINT"),
        ("bigquery", ("TIMESTAMP", None, None, None, None), "TIMESTAMP WITH TIME ZONE"),
        ("bigquery", ("STRING", None, None, None, None), "VARCHAR"),
    ],
)
def test_types_come_from_what_the_driver_says(dialect, column, kind):
    assert described_words([("x", column[0], None, None, column[3], column[4], None)], dialect) == {"x": kind}
