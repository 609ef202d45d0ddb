"""A query comes out in another dialect with the same meaning, or not at all."""

import re
import sys

import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engines.dialect import EXTRAS, translate
from cpi_experiments.measure.engines.parse import table_parts

OTHERS = ["spark", "postgres", "bigquery", "snowflake"]
# One row a difference: what is written, and what each engine has to read for the same number.
GOLDEN = {
    "SELECT fsum(x) AS s, favg(x) AS m FROM t": {
        "spark": "SELECT SUM(`x`) AS `s`, AVG(`x`) AS `m` FROM `t`",
        "postgres": 'SELECT SUM("x") AS "s", AVG("x") AS "m" FROM "t"',
        "bigquery": "SELECT SUM(`x`) AS `s`, AVG(`x`) AS `m` FROM `t`",
        "snowflake": 'SELECT SUM("x") AS "s", AVG("x") AS "m" FROM "t"',
    },
    "SELECT count(*) FILTER (WHERE isnan(x)) AS n, sum(x) FILTER (WHERE k) AS s FROM t": {
        "spark": "SELECT COUNT(*) FILTER(WHERE (`x` = CAST('NaN' AS DOUBLE))) AS `n`, SUM(`x`) FILTER(WHERE `k`) AS `s` FROM `t`",
        "postgres": "SELECT COUNT(*) FILTER(WHERE (\"x\" = CAST('NaN' AS DOUBLE PRECISION))) AS \"n\", SUM(\"x\") FILTER(WHERE \"k\") AS \"s\" FROM \"t\"",
        "bigquery": "SELECT COUNTIF(IS_NAN(`x`)) AS `n`, SUM(IF(`k`, `x`, NULL)) AS `s` FROM `t`",
        "snowflake": "SELECT COUNT_IF((\"x\" = CAST('NaN' AS DOUBLE))) AS \"n\", SUM(IFF(\"k\", \"x\", NULL)) AS \"s\" FROM \"t\"",
    },
    "SELECT (a + b) / c AS r, 1e0 AS one FROM t": {
        "spark": "SELECT CAST(`a` + `b` AS DOUBLE) / `c` AS `r`, 1e0 AS `one` FROM `t`",
        "postgres": 'SELECT CAST("a" + "b" AS DOUBLE PRECISION) / "c" AS "r", CAST(1e0 AS DOUBLE PRECISION) AS "one" FROM "t"',
        "bigquery": "SELECT CAST(`a` + `b` AS FLOAT64) / `c` AS `r`, 1e0 AS `one` FROM `t`",
        "snowflake": 'SELECT CAST("a" + "b" AS DOUBLE) / "c" AS "r", CAST(1e0 AS DOUBLE) AS "one" FROM "t"',
    },
    "SELECT sum(CAST(v AS DECIMAL(19, 0)) * CAST(v AS HUGEINT)) AS q FROM t": {
        "spark": "SELECT SUM(CAST(`v` AS DECIMAL(19, 0)) * CAST(`v` AS DECIMAL(38, 0))) AS `q` FROM `t`",
        "postgres": 'SELECT SUM(CAST(CAST("v" AS BIGINT) AS DECIMAL(19, 0)) * CAST(CAST("v" AS TEXT) AS DECIMAL(38, 0))) AS "q" FROM "t"',
        "bigquery": "SELECT SUM(CAST(`v` AS BIGNUMERIC) * CAST(`v` AS BIGNUMERIC)) AS `q` FROM `t`",
        "snowflake": 'SELECT SUM(CAST("v" AS DECIMAL(19, 0)) * CAST("v" AS DECIMAL(38, 0))) AS "q" FROM "t"',
    },
    "SELECT CAST(won AS DOUBLE) AS d, CAST(x > 1 AS BIGINT) AS b, CAST(x AS BIGINT) AS w, CAST(n AS BIGINT) AS k FROM t": {
        "spark": "SELECT CAST(CASE WHEN (`won`) THEN 1 WHEN NOT (`won`) THEN 0 END AS DOUBLE) AS `d`, CAST(CASE WHEN (`x` > 1) THEN 1 WHEN NOT (`x` > 1) THEN 0 END AS BIGINT) AS `b`, CAST(BROUND(`x`) AS BIGINT) AS `w`, CAST(`n` AS BIGINT) AS `k` FROM `t`",
        "postgres": 'SELECT CAST(CASE WHEN ("won") THEN 1 WHEN NOT ("won") THEN 0 END AS DOUBLE PRECISION) AS "d", CAST(CASE WHEN ("x" > 1) THEN 1 WHEN NOT ("x" > 1) THEN 0 END AS BIGINT) AS "b", CAST("x" AS BIGINT) AS "w", CAST("n" AS BIGINT) AS "k" FROM "t"',
    },
    "SELECT bit_or(CAST(1 AS BIGINT) << week) AS m FROM t": {
        "spark": "SELECT BIT_OR(SHIFTLEFT(CAST(1 AS BIGINT), CAST(`week` AS INT))) AS `m` FROM `t`",
        "postgres": 'SELECT BIT_OR(CAST(1 AS BIGINT) << CAST("week" AS INT)) AS "m" FROM "t"',
        "bigquery": "SELECT BIT_OR(CAST(1 AS INT64) << `week`) AS `m` FROM `t`",
        "snowflake": 'SELECT BITORAGG(BITSHIFTLEFT(CAST(1 AS BIGINT), "week")) AS "m" FROM "t"',
    },
    "SELECT least(x, 5) AS l, greatest(x, y, 1) AS g FROM t": {
        "spark": "SELECT LEAST(`x`, 5) AS `l`, GREATEST(`x`, `y`, 1) AS `g` FROM `t`",
        "bigquery": "SELECT COALESCE(LEAST(`x`, 5), `x`, 5) AS `l`, COALESCE(GREATEST(COALESCE(GREATEST(`x`, `y`), `x`, `y`), 1), COALESCE(GREATEST(`x`, `y`), `x`, `y`), 1) AS `g` FROM `t`",
        "snowflake": 'SELECT LEAST_IGNORE_NULLS("x", 5) AS "l", GREATEST_IGNORE_NULLS("x", "y", 1) AS "g" FROM "t"',
    },
    "SELECT quantile_cont(x, 0.9) AS p, quantile_disc(x, 0.5) AS d, median(x) AS m, approx_quantile(x, 0.5) AS a FROM t": {
        "spark": "SELECT PERCENTILE(`x`, 0.9) AS `p`, PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY `x`) AS `d`, MEDIAN(`x`) AS `m`, PERCENTILE_APPROX(`x`, 0.5) AS `a` FROM `t`",
        "postgres": 'SELECT PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY "x") AS "p", PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY "x") AS "d", PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY "x") AS "m", PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY "x") AS "a" FROM "t"',
        "snowflake": 'SELECT PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY "x") AS "p", PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY "x") AS "d", MEDIAN("x") AS "m", APPROX_PERCENTILE("x", 0.5) AS "a" FROM "t"',
    },
    "SELECT approx_quantile(x, 0.9) AS a FROM t": {
        "bigquery": "SELECT APPROX_QUANTILES(`x`, 1000)[CAST(ROUND(1000 * 0.9) AS INT64)] AS `a` FROM `t`",
    },
    "SELECT date_trunc('week', at) AS w, epoch_us(at) AS u, timezone('Europe/Berlin', at) AS c, TIMESTAMP '2026-01-01' AS n FROM t": {
        "spark": "SELECT DATE_TRUNC('WEEK', `at`) AS `w`, UNIX_MICROS(CAST(`at` AS TIMESTAMP_LTZ)) AS `u`, CAST(FROM_UTC_TIMESTAMP(`at`, 'Europe/Berlin') AS TIMESTAMP_NTZ) AS `c`, CAST('2026-01-01' AS TIMESTAMP_NTZ) AS `n` FROM `t`",
        "postgres": "SELECT DATE_TRUNC('WEEK', \"at\") AS \"w\", CAST(EXTRACT(EPOCH FROM \"at\") * 1000000 AS BIGINT) AS \"u\", TIMEZONE('Europe/Berlin', \"at\") AS \"c\", CAST('2026-01-01' AS TIMESTAMP) AS \"n\" FROM \"t\"",
        "bigquery": "SELECT TIMESTAMP_TRUNC(`at`, ISOWEEK) AS `w`, UNIX_MICROS(CAST(`at` AS TIMESTAMP)) AS `u`, DATETIME(`at`, 'Europe/Berlin') AS `c`, CAST('2026-01-01' AS DATETIME) AS `n` FROM `t`",
        "snowflake": "SELECT DATE_TRUNC('WEEK', \"at\") AS \"w\", DATE_PART('EPOCH_MICROSECOND', \"at\") AS \"u\", CAST(CONVERT_TIMEZONE('Europe/Berlin', \"at\") AS TIMESTAMPNTZ) AS \"c\", CAST('2026-01-01' AS TIMESTAMPNTZ) AS \"n\" FROM \"t\"",
    },
    "SELECT isfinite(x) AS f, isinf(x) AS i, round(x) AS r, any_value(k) AS k FROM t": {
        "spark": "SELECT (ABS(`x`) < CAST('Infinity' AS DOUBLE)) AS `f`, (ABS(`x`) = CAST('Infinity' AS DOUBLE)) AS `i`, ROUND(`x`) AS `r`, MIN(`k`) AS `k` FROM `t`",
        "postgres": "SELECT (ABS(\"x\") < CAST('Infinity' AS DOUBLE PRECISION)) AS \"f\", (ABS(\"x\") = CAST('Infinity' AS DOUBLE PRECISION)) AS \"i\", (TRUNC((\"x\")) + CASE WHEN ABS((\"x\") - TRUNC((\"x\"))) >= 0.5 THEN SIGN((\"x\")) ELSE 0 END) AS \"r\", MIN(\"k\") AS \"k\" FROM \"t\"",
        "bigquery": "SELECT (NOT (IS_NAN(`x`) OR IS_INF(`x`))) AS `f`, IS_INF(`x`) AS `i`, ROUND(`x`) AS `r`, MIN(`k`) AS `k` FROM `t`",
    },
    "SELECT arm, k.x, count(*) AS n FROM (SELECT * FROM t) JOIN (SELECT 1 AS x) AS k ON TRUE GROUP BY ALL": {
        "spark": "SELECT `arm`, `k`.`x`, COUNT(*) AS `n` FROM (SELECT * FROM `t`) JOIN (SELECT 1 AS `x`) AS `k` ON TRUE GROUP BY ALL",
        "postgres": 'SELECT "arm", "k"."x", COUNT(*) AS "n" FROM (SELECT * FROM "t") AS "cpi_table_1" JOIN (SELECT 1 AS "x") AS "k" ON TRUE GROUP BY 1, 2',
    },
    "SELECT CAST(extract(year FROM at) AS BIGINT) AS y, row_number() OVER (ORDER BY a DESC, b) AS r FROM t": {
        "spark": "SELECT CAST(BROUND(EXTRACT(YEAR FROM `at`)) AS BIGINT) AS `y`, ROW_NUMBER() OVER (ORDER BY `a` DESC, `b` NULLS LAST) AS `r` FROM `t`",
        "postgres": 'SELECT CAST(EXTRACT(YEAR FROM "at") AS BIGINT) AS "y", ROW_NUMBER() OVER (ORDER BY "a" DESC NULLS LAST, "b") AS "r" FROM "t"',
    },
    "SELECT CAST(x AS DECIMAL) AS d, CAST(m AS DECIMAL(10, 2)) AS m FROM t": {
        "postgres": 'SELECT CAST(CAST("x" AS TEXT) AS DECIMAL(18, 3)) AS "d", CAST(CAST("m" AS TEXT) AS DECIMAL(10, 2)) AS "m" FROM "t"',
    },
    "SELECT fsum(x) FROM t GROUP BY ALL": {"postgres": 'SELECT SUM("x") FROM "t"'},
    "SELECT unnest(generate_series(1, 3)) AS k": {
        "spark": "SELECT EXPLODE(SEQUENCE(1, 3)) AS `k`",
        "postgres": 'SELECT GENERATE_SERIES(1, 3) AS "k"',
    },
    "SELECT * FROM t WHERE a = ? AND b = '?' AND c = $1": {
        "spark": "SELECT * FROM `t` WHERE `a` = :cpi_value_1 AND `b` = '?' AND `c` = :cpi_value_1",
        "bigquery": "SELECT * FROM `t` WHERE `a` = :cpi_value_1 AND `b` = '?' AND `c` = :cpi_value_1",
    },
    'SELECT "a""b`c" FROM t ORDER BY 1': {
        "spark": 'SELECT `a"b``c` FROM `t` ORDER BY 1 NULLS LAST',
        "postgres": 'SELECT "a""b`c" FROM "t" ORDER BY 1',
        "bigquery": 'SELECT `a"b\\`c` FROM `t` ORDER BY 1 NULLS LAST',
    },
}  # fmt: skip
CASES = [(sql, dialect, text) for sql, texts in GOLDEN.items() for dialect, text in texts.items()]
KINDS = {"won": "BOOLEAN", "n": "INTEGER"}


@pytest.mark.parametrize(("sql", "dialect", "text"), CASES)
def test_a_query_reads_in_each_dialect_as_frozen(sql, dialect, text):
    assert translate(sql, dialect, kinds=KINDS) == text


@pytest.mark.parametrize("dialect", OTHERS)
@pytest.mark.parametrize(
    "call",
    ["date_diff('day', a, b)", "hash(a)", "pg_sleep(9)", "first(a)", "list(a)", "var_samp(a)", "log(a)", "random()",
     "regexp_extract(a, 'b')", "extract(dow FROM a)", "extract(second FROM a)"],
)  # fmt: skip
def test_a_function_that_may_mean_something_else_is_refused(dialect, call):
    with pytest.raises(DataError, match=f"has no translation to {dialect}"):
        translate(f"SELECT {call} FROM t", dialect)


@pytest.mark.parametrize("dialect", list(EXTRAS))
@pytest.mark.parametrize(
    "sql",
    ["DROP TABLE t", "DELETE FROM t", "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "CREATE TABLE u AS SELECT 1",
     "COPY t TO 'x.csv'", "ATTACH 'x'", "SET threads = 1", "PRAGMA version", "VALUES (1)", "EXPLAIN SELECT 1",
     "SELECT 1 INTO u", "SELECT * FROM t FOR UPDATE", "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a"],
)  # fmt: skip
def test_only_queries_that_read_are_sent(dialect, sql):
    with pytest.raises(DataError, match="does not only read"):
        translate(sql, dialect)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1; SELECT 2", "2 statements instead of one"),
        ("", "0 statements instead of one"),
        ("SELECT (1", "cannot be parsed"),
        ("SELECT 'unclosed", "cannot be parsed"),
        ("SELECT cpi_value_1 FROM t", "holds 'cpi_value_'"),
    ],
)
def test_what_is_not_one_query_is_refused(sql, message):
    with pytest.raises(DataError, match=message):
        translate(sql, "spark")


def test_an_unknown_dialect_names_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'postgres'"):
        translate("SELECT 1", "postgresql")


def test_exact_quantiles_of_bigquery_and_series_of_warehouses_are_refused():
    with pytest.raises(DataError, match=r"no exact quantile of groups.\n  Use approx_quantile"):
        translate("SELECT median(x) FROM t", "bigquery")
    with pytest.raises(DataError, match="series of rows has no translation to snowflake"):
        translate("SELECT unnest(generate_series(1, 3))", "snowflake")


@pytest.mark.parametrize(("dialect", "extra"), [("spark", "spark"), ("postgres", "warehouse")])
def test_without_the_translator_the_message_names_the_extra(monkeypatch, dialect, extra):
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    command = re.escape(f'pip install "cpi-experiments[{extra}]"')
    with pytest.raises(DataError, match=rf"{dialect} needs sqlglot, which is not installed.\n  {command}"):
        translate("SELECT 1", dialect)


TABLES = {"data": ("Sales", 'tri"al'), "k": ("cpi_1",)}


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT data.a FROM data", 'SELECT "data"."a" FROM "Sales"."tri""al" AS "data"'),
        ("SELECT d.a FROM data AS d", 'SELECT "d"."a" FROM "Sales"."tri""al" AS "d"'),
        (
            "WITH data AS (SELECT a FROM data) SELECT a, (SELECT count(*) FROM k) FROM data",
            'WITH "data" AS (SELECT "a" FROM "Sales"."tri""al" AS "data") SELECT "a", (SELECT COUNT(*) FROM "cpi_1" AS "k") FROM "data"',
        ),
        (
            "SELECT a FROM data UNION ALL SELECT b FROM k WHERE EXISTS (SELECT 1 FROM data)",
            'SELECT "a" FROM "Sales"."tri""al" AS "data" UNION ALL SELECT "b" FROM "cpi_1" AS "k" WHERE EXISTS(SELECT 1 FROM "Sales"."tri""al" AS "data")',
        ),
    ],
)
def test_tables_get_their_names_and_definitions_keep_theirs(sql, text):
    assert translate(sql, "postgres", tables=TABLES) == text
    assert translate(sql, "duckdb", tables=TABLES) == text


@pytest.mark.parametrize("source", ["secrets", "main.data", "read_csv('x.csv')", "'x.csv'", "duckdb_settings()"])
def test_other_tables_and_files_cannot_be_read(source):
    for dialect in ("duckdb", "spark"):
        with pytest.raises(DataError, match=r"is missing|has no translation"):
            translate(f"SELECT * FROM {source}", dialect, tables=TABLES)


@pytest.mark.parametrize(
    ("name", "dialect", "parts"),
    [
        ("trial", "postgres", ("trial",)),
        ("Sales.Trial", "postgres", ("sales", "trial")),
        ('"Sales"."Tri""al"', "postgres", ("Sales", 'Tri"al')),
        ("db.sales.trial", "snowflake", ("DB", "SALES", "TRIAL")),
        ("`my-project`.sales.trial", "bigquery", ("my-project", "sales", "trial")),
    ],
)
def test_names_of_tables_are_split_as_their_engine_would(name, dialect, parts):
    assert table_parts(name, dialect) == parts


@pytest.mark.parametrize(
    "name", ["", "a.b.c.d", "a b", "t; DROP TABLE t", "(SELECT 1)", "t AS u", "a..b", "read_csv('x')"]
)
def test_what_is_no_name_of_a_table_is_refused(name):
    with pytest.raises(DataError, match="is not the name of a table"):
        table_parts(name, "postgres")
