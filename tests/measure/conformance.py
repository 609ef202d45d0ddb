"""One table and the queries that every engine must answer alike: whole numbers to the last bit, reals to 1e-12."""

from dataclasses import dataclass

import duckdb
import numpy as np

from cpi_experiments.measure.engine import Tables

N = 3000
X, Y = "(hours - 20)", "(revenue - 50)"
I, J = "(orders - 3)", "(CAST(won AS INTEGER))"  # noqa: E741 - the letters of sums
SEEN = "hours IS NOT NULL AND NOT isnan(hours)"
PRESENT = f"CASE WHEN {SEEN} THEN 1 ELSE 0 END + CASE WHEN orders IS NOT NULL THEN 2 ELSE 0 END"
ODD = "x ' %s :cpi \\ \" `"  # a label that only a value or a quoted text carries unharmed


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query, the columns that say which row is which, and the columns that are real numbers."""

    sql: str
    labels: tuple[str, ...] = ()
    reals: tuple[str, ...] = ()
    values: tuple[object, ...] = ()


QUERIES = {
    "counts": Asked(sql="SELECT count(*) AS n, count(hours) AS h, count(orders) AS o, count(won) AS w FROM data"),
    "whole_moments": Asked(
        sql=f"SELECT sum({I}) AS s, sum({I} * {I}) AS ss, sum({I} * {J}) AS sj, sum({J}) AS j FROM data"
    ),
    "real_moments": Asked(
        sql=f"SELECT sum({X}) AS s, sum({X} * {X}) AS ss, sum({X} * {Y}) AS sy, avg({Y}) AS y FROM data WHERE {SEEN}",
        reals=("s", "ss", "sy", "y"),
    ),
    "moments_with_nan": Asked(sql=f"SELECT sum({X}) AS s, max(hours) AS most, min(hours) AS least FROM data"),
    "by_arm": Asked(
        sql=f"SELECT arm, count(*) AS n, sum({I}) AS s, sum({Y} * {I}) AS sy FROM data GROUP BY arm",
        labels=("arm",),
        reals=("sy",),
    ),
    "by_arm_segment_week": Asked(
        sql=f"SELECT arm, segment, week, count(*) AS n, sum({I} * {I}) AS ss, sum({Y}) AS y FROM data "
        "GROUP BY arm, segment, week",
        labels=("arm", "segment", "week"),
        reals=("y",),
    ),
    "by_all": Asked(
        sql="SELECT arm, week, fsum(revenue) AS r, favg(orders) AS o FROM data GROUP BY ALL",
        labels=("arm", "week"),
        reals=("r", "o"),
    ),
    "missing_patterns": Asked(
        sql=f"SELECT present, arm, count(*) AS n, sum(o) AS o, sum(h) AS h FROM (SELECT arm, {PRESENT} AS present, "
        f"coalesce(orders, 0) AS o, CASE WHEN {SEEN} THEN hours ELSE 0e0 END AS h FROM data) AS seen "
        "GROUP BY present, arm",
        labels=("present", "arm"),
        reals=("h",),
    ),
    "missing_is_not_nan": Asked(
        sql="SELECT count(*) FILTER (WHERE isnan(gap)) AS a, count(*) FILTER (WHERE NOT isnan(gap)) AS b, "
        "count(*) FILTER (WHERE isnan(gap) IS NULL) AS c, count(*) FILTER (WHERE isfinite(gap)) AS d, "
        "count(*) FILTER (WHERE isinf(gap)) AS e, count(*) FILTER (WHERE gap > 1e300) AS f FROM data",
    ),
    "clusters": Asked(
        sql="SELECT count(*) AS g, sum(s * s) AS ss, sum(s * n) AS sn, sum(n * n) AS nn FROM "
        f"(SELECT customer, sum({I}) AS s, count(orders) AS n FROM data GROUP BY customer)",
    ),
    "two_stages": Asked(
        sql=f"WITH per AS (SELECT customer, arm, sum({X}) AS m, sum({J}) AS w FROM data WHERE {SEEN} "
        "GROUP BY customer, arm) SELECT arm, sum(m * m) AS mm, sum(m * w) AS mw, sum(w * w) AS ww FROM per GROUP BY arm",
        labels=("arm",),
        reals=("mm", "mw"),
    ),
    "weeks_of_customers": Asked(
        sql="SELECT mask, count(*) AS c, sum(s) AS s, sum(s * s) AS ss FROM (SELECT customer, "
        f"bit_or(CAST(1 AS BIGINT) << week) AS mask, sum({I}) AS s FROM data GROUP BY customer) AS per GROUP BY mask",
        labels=("mask",),
    ),
    "join": Asked(
        sql="SELECT region, count(*) AS n, sum(orders) AS o, sum(orders * weight) AS w FROM data "
        "JOIN customers USING (customer) GROUP BY region",
        labels=("region",),
    ),
    "join_to_what_is_not_there": Asked(
        sql="SELECT count(*) AS n, count(k.region) AS k, count(DISTINCT d.customer) AS c FROM data AS d "
        "LEFT JOIN customers AS k ON d.customer = k.customer AND k.region <> 'north'",
    ),
    "defined_like_a_table": Asked(
        sql="WITH data AS (SELECT orders FROM data WHERE orders > 2) SELECT count(*) AS n, sum(orders) AS o FROM data"
    ),
    "caps": Asked(
        sql="SELECT sum(least(orders, 5)) AS o, sum(greatest(least(revenue, 80), 20)) AS r, "
        "sum(CASE WHEN revenue > 80.5 THEN 80.5 ELSE revenue END) AS c FROM data",
        reals=("r", "c"),
    ),
    "distinct": Asked(
        sql="SELECT arm, count(DISTINCT customer) AS c, count(DISTINCT segment) AS s, any_value(arm) AS a FROM data "
        "GROUP BY arm",
        labels=("arm",),
    ),
    "filters": Asked(
        sql="SELECT sum(orders) FILTER (WHERE won) AS o, count(*) FILTER (WHERE orders > 3) AS n, "
        "min(revenue) FILTER (WHERE arm = 'b') AS r, max(orders) FILTER (WHERE segment IS NULL) AS m, "
        "bool_or(orders > 12) AS any, bool_and(revenue < 91) AS every FROM data",
    ),
    "huge_sums": Asked(
        sql="SELECT CAST(sum(CAST(cents AS DECIMAL(19, 0)) * CAST(cents AS DECIMAL(19, 0))) AS VARCHAR) AS q, "
        "CAST(sum(CAST(cents AS HUGEINT)) AS VARCHAR) AS s FROM data",
    ),
    "huge_doubles": Asked(  # whole numbers that came as doubles: none of their 16 digits may go
        sql="SELECT CAST(sum(CAST(v AS DECIMAL(19, 0)) * CAST(v AS DECIMAL(19, 0))) AS VARCHAR) AS q, "
        "CAST(sum(CAST(v AS HUGEINT)) AS VARCHAR) AS s FROM (SELECT CAST(cents AS DOUBLE) * 3 + 1 AS v FROM data) AS d",
    ),
    "money": Asked(
        sql="SELECT arm, sum(paid) AS p, sum(CAST(paid AS DOUBLE)) AS d, sum(round(CAST(paid AS DOUBLE) * 100.0)) AS c "
        "FROM data GROUP BY arm",
        labels=("arm",),
        reals=("p", "d"),
    ),
    "casts": Asked(
        sql="SELECT sum(CAST(half AS BIGINT)) AS even, sum(CAST(round(half) AS BIGINT)) AS away, "
        "sum(CAST(floor(half) AS BIGINT)) AS low, sum(CAST(ceil(half) AS BIGINT)) AS high, "
        "sum(CAST(won AS DOUBLE)) AS d, sum(CAST(CAST(won AS INTEGER) AS DOUBLE)) AS e, "
        "sum(CAST(orders > 3 AS BIGINT)) AS more, sum(CAST(customer AS DOUBLE) * 1e0) AS ids FROM data",
    ),
    "halves": Asked(
        sql="SELECT half, round(half) AS away, CAST(half AS BIGINT) AS even, count(*) AS n FROM data GROUP BY half",
        labels=("half",),
    ),
    "division": Asked(
        sql="SELECT sum(orders / nullif(week, 0)) AS r, sum(orders) / count(*) AS m, sum(orders // 2) AS h, "
        "sum(orders % 3) AS rest FROM data",
        reals=("r", "m"),
    ),
    "quantiles": Asked(
        sql="SELECT arm, median(revenue) AS m, quantile_cont(revenue, 0.9) AS p90, quantile_disc(orders, 0.25) AS q, "
        "quantile_cont(revenue, 0.1) FILTER (WHERE won) AS low FROM data GROUP BY arm",
        labels=("arm",),
        reals=("m", "p90", "low"),
    ),
    "times": Asked(
        sql="SELECT date_trunc('week', seen_at) AS w, count(*) AS n, min(seen_at) AS early, "
        "max(seen_at + INTERVAL 90 SECONDS) AS late, "
        "sum((epoch_us(seen_at) - epoch_us(TIMESTAMP '2026-01-01 00:00:00')) / 3600e6) AS hours, "
        "max(epoch(seen_at) - 1767225600) AS s FROM data WHERE seen_at >= TIMESTAMP '2026-01-02 03:04:05' "
        "AND seen_at < TIMESTAMP '2026-02-20' GROUP BY date_trunc('week', seen_at)",
        labels=("w",),
        reals=("hours", "s"),
    ),
    "days": Asked(
        sql="SELECT seen_on, count(*) AS n FROM data WHERE seen_on >= DATE '2026-01-10' GROUP BY seen_on",
        labels=("seen_on",),
    ),
    "moments_of_time": Asked(sql="SELECT min(zoned) AS early, max(zoned) AS late, max(epoch(zoned)) AS s FROM data"),
    "clocks": Asked(
        sql="SELECT date_trunc('day', timezone('Europe/Berlin', zoned)) AS d, count(*) AS n FROM data GROUP BY 1",
        labels=("d",),
    ),
    "series": Asked(sql="SELECT unnest(generate_series(2, 6)) AS k", labels=("k",)),
    "nothing": Asked(sql="SELECT arm, sum(orders) AS o FROM data WHERE orders > 1000 GROUP BY arm", labels=("arm",)),
    "sums_of_nothing": Asked(
        sql="SELECT sum(orders) AS o, avg(hours) AS h, count(*) AS n, max(arm) AS a FROM data WHERE orders > 1000"
    ),
    "values": Asked(
        sql="SELECT arm, count(*) AS n FROM data WHERE segment = ? AND orders % 100 >= ? AND arm <> ? GROUP BY arm",
        labels=("arm",),
        values=(ODD, 2, "b"),
    ),
    "numbered_values": Asked(
        sql="SELECT count(*) AS n FROM data WHERE arm = $2 AND orders > $1 AND week > $1", values=(2, "a")
    ),
}


def make_tables(connection):
    """Make the two tables in a DuckDB connection."""
    odd = ODD.replace("'", "''")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute(
        f"""
        CREATE TABLE data AS SELECT
            CAST(i % 211 AS INTEGER) AS customer,
            CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END AS arm,
            CASE WHEN i % 7 = 0 THEN NULL WHEN i % 3 = 0 THEN '{odd}' ELSE 'ünï' END AS segment,
            CAST(i % 53 % 11 AS INTEGER) AS week,
            i % 5 = 0 AND i % 3 > 0 AS won,
            CASE WHEN i % 11 = 0 THEN NULL ELSE CAST((i * 7919) % 23 - 9 AS BIGINT) END AS orders,
            CASE WHEN i % 13 = 0 THEN NULL WHEN i % 17 = 0 THEN 'NaN'::DOUBLE ELSE 20 + 9 * sin(i * 1e0) END AS hours,
            CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN 'NaN'::DOUBLE WHEN 2 THEN 'inf'::DOUBLE WHEN 3 THEN '-inf'::DOUBLE
                ELSE 1e0 END AS gap,
            50 + 40 * cos(i * 0.7e0) AS revenue,
            (i % 9 - 4) / 2e0 AS half,
            CAST((i * 104729) % 3000017 * 1000000007 AS BIGINT) AS cents,
            CAST(((i * 7919) % 100003) * 1e-2 AS DECIMAL(12, 2)) AS paid,
            TIMESTAMP '2026-01-01' + to_microseconds(i * 1799999999) AS seen_at,
            CAST(TIMESTAMP '2026-01-01' + to_seconds(i * 1800) AS DATE) AS seen_on,
            CAST(TIMESTAMP '2026-03-27' + to_seconds(i * 700) AS TIMESTAMPTZ) AS zoned
        FROM range({N}) AS t(i)
        """
    )
    connection.execute(
        "CREATE TABLE customers AS SELECT CAST(range AS INTEGER) AS customer, CAST(range % 4 AS BIGINT) AS weight, "
        "CASE WHEN range % 3 = 0 THEN 'north' ELSE 'south' END AS region FROM range(200)"
    )


def write_tables(folder):
    """Write the two tables as Parquet files; return them by name."""
    with duckdb.connect() as connection:
        make_tables(connection)
        paths = {name: folder / f"{name}.parquet" for name in ("data", "customers")}
        for name, path in paths.items():
            connection.execute(f"COPY {name} TO '{path}' (FORMAT parquet)")
    return paths


def answer(engine, name):
    """Run one of the queries; rows sorted by their labels."""
    asked = QUERIES[name]
    found = engine.query(asked.sql, asked.values)
    if not asked.labels:
        return found
    order = np.lexsort([np.array([str(value) for value in found[label].tolist()]) for label in asked.labels])
    return {column: values[order] for column, values in found.items()}


def answer_all(paths):
    """Answer all queries by DuckDB, the engine that every other one is compared with."""
    with Tables(paths) as tables:
        return {name: answer(tables, name) for name in QUERIES}


def check_same(found, wanted, name):
    """Whole numbers, texts and times must be equal, reals to 1e-12 of the largest number of their column."""
    assert list(found) == list(wanted)
    for column, values in wanted.items():
        one, two = found[column].tolist(), values.tolist()
        if column in QUERIES[name].reals:
            scale = max(1.0, *map(abs, two))
            np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12 * scale, err_msg=f"{name}.{column}")
        else:
            assert [_same(value) for value in one] == [_same(value) for value in two], f"{name}.{column}"


def _same(value):
    """Make missing values of all kinds equal: a column without any value has no type on some engines."""
    return None if value is None or value != value else value  # noqa: PLR0124 - NaN
