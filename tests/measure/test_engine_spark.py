"""Spark answers what DuckDB answers, and DataFrames of it go through every door; needs pyspark and Java."""

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import cpi_experiments as cpi
from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import Tables, read_columns
from cpi_experiments.measure.engines.opening import open_data
from cpi_experiments.measure.engines.spark import SparkTables, is_spark
from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.measure.panel import build_panel
from cpi_experiments.measure.units import measure_units
from cpi_experiments.simulate.company import simulate_company

sys.path.insert(0, str(Path(__file__).parent))
import conformance

pytestmark = pytest.mark.xdist_group("spark")  # one Java is enough


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return conformance.write_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def expected(paths):
    return conformance.answer_all(paths)


@pytest.fixture(scope="module")
def tables(spark, paths):
    with SparkTables({name: spark.read.parquet(str(path)) for name, path in paths.items()}) as opened:
        yield opened


@pytest.mark.parametrize("name", list(conformance.QUERIES))
def test_spark_answers_as_duckdb_does(tables, expected, name):
    conformance.check_same(conformance.answer(tables, name), expected[name], name)


def test_types_are_named_as_duckdb_names_them(tables, paths):
    with Tables(paths) as wanted:
        assert tables.names == wanted.names
        for table in tables.names:
            assert tables.columns(table) == wanted.columns(table)


def test_the_sessions_own_settings_are_put_back(spark, tables):
    tables.query("SELECT count(*) AS n FROM data")
    assert spark.conf.get("spark.sql.ansi.enabled") == "false"
    assert spark.conf.get("spark.sql.session.timeZone") == "America/New_York"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT sum(cents * 3000000000) AS s FROM data", "cannot run the query.*overflow"),
        ("SELECT orders / 0 AS r FROM data", "cannot run the query.*[Dd]ivision by zero"),
        ("SELECT orderz FROM data", "cannot run the query.*orderz"),
        ("SELECT 1 AS one FROM secrets", "table 'secrets' is missing"),
        ("DROP TABLE data", "does not only read"),
    ],
)
def test_what_cannot_be_answered_is_an_error_in_one_line(tables, capfd, sql, message):
    with pytest.raises(DataError, match=message) as error:
        tables.query(sql)
    assert "\tat org.apache" not in str(error.value) + "".join(capfd.readouterr())


def test_the_digest_sees_content_and_not_the_order(spark, paths, tables):
    data = spark.read.parquet(str(paths["data"]))
    with SparkTables({"data": data.repartition(3, "customer").orderBy("revenue")}) as shuffled:
        assert shuffled.digest("data") == tables.digest("data")
    for changed in (
        data.filter("customer <> 5"),
        data.withColumn("orders", data.orders + 1),
        data.withColumnRenamed("orders", "orderz"),
        data.withColumn("won", ~data.won),
    ):
        with SparkTables({"data": changed}) as other:
            assert other.digest("data") != tables.digest("data")


def test_missing_values_are_part_of_the_digest(spark):
    digests = set()
    for row in ("1, CAST(NULL AS INT)", "CAST(NULL AS INT), 1"):
        with SparkTables({"t": spark.sql(f"SELECT a, b FROM VALUES ({row}) AS t(a, b)")}) as tables:
            digests.add(tables.digest("t"))
    assert len(digests) == 2


def test_repeated_rows_are_counted(spark, tables):
    assert tables.repeated_rows("data") == 0
    with SparkTables({"t": spark.sql("SELECT id % 3 AS k, NULL AS gap FROM range(8)")}) as repeated:
        assert repeated.repeated_rows("t") == 5
        assert repeated.frame("SELECT k, count(*) AS n FROM t GROUP BY k ORDER BY k")["n"].tolist() == [3, 3, 2]


def test_views_are_dropped_and_no_others(spark, paths):
    before = {each.name for each in spark.catalog.listTables()}
    opened = SparkTables({"data": spark.read.parquet(str(paths["data"]))})
    assert len({each.name for each in spark.catalog.listTables()} - before) == 1
    opened.close()
    assert {each.name for each in spark.catalog.listTables()} == before


def test_sources_that_are_no_tables_of_one_session_are_refused(spark, paths):
    data = spark.read.parquet(str(paths["data"]))
    with pytest.raises(DataError, match="not a Spark DataFrame"):
        SparkTables({"data": pd.DataFrame({"a": [1]})})
    with pytest.raises(DataError, match="no table"):
        SparkTables({})
    with pytest.raises(DataError, match="several Spark sessions"):
        SparkTables({"data": data, "other": spark.newSession().range(3)})
    with pytest.raises(DataError, match="column 'id' occurs twice"):
        SparkTables({"t": spark.range(3).selectExpr("id", "id + 1 AS id")})


def test_a_missing_table_or_column_names_the_nearest(tables):
    with pytest.raises(DataError, match="Did you mean 'customers'"):
        tables.columns("customer")
    with pytest.raises(DataError, match="Did you mean 'orders'"):
        tables.type_of("data", "order")


# -- doors -----------------------------------------------------------------------------------------------------------

COLUMNS = ["orders", "won", "revenue", "hours"]


def test_moments_of_whole_numbers_are_bit_equal_and_reals_to_twelve_digits(spark, paths):
    rules = {"by": ["arm", "week"], "origins": {"orders": 3, "won": 0, "revenue": 50, "hours": 20}}
    origin = np.array([3.0, 0, 50, 20])
    wanted = gather(paths["data"], COLUMNS, **rules).based_on(origin)
    for data in (spark.read.parquet(str(paths["data"])), pd.read_parquet(paths["data"])):
        found = gather(data, COLUMNS, **rules).based_on(origin)
        assert found.whole[COLUMNS.index("won")]
        assert found.n.tolist() == wanted.n.tolist()
        assert found.present.tolist() == wanted.present.tolist()
        sums = dict(zip(COLUMNS, zip(found.sums.T, wanted.sums.T, strict=True), strict=True))
        named = [(COLUMNS[i], COLUMNS[j]) for i, j in found.pairs]
        products = dict(zip(named, zip(found.products.T, wanted.products.T, strict=True), strict=True))
        for exact in (sums["orders"], sums["won"], products["orders", "orders"], products["orders", "won"]):
            assert exact[0].tolist() == exact[1].tolist()
        for one, two in (*sums.values(), *products.values()):
            np.testing.assert_allclose(one.astype(float), two.astype(float), rtol=1e-12, atol=1e-12 * np.abs(two).max())


def test_money_of_decimals_is_exact(spark, paths):
    found, wanted = (
        gather(data, ["paid"], by=["arm"], origins={"paid": 500})
        for data in (spark.read.parquet(str(paths["data"])), paths["data"])
    )
    assert found.whole.all()
    assert found.sums.tolist() == wanted.sums.tolist()
    assert found.products.tolist() == wanted.products.tolist()


def test_open_data_fetches_results_only(spark, paths):
    with open_data(spark.read.parquet(str(paths["data"])), ["orders"], optional=["won", "absent"]) as (engine, table):
        assert engine.dialect == "spark"
        assert list(engine.columns(table)) == ["orders", "won"]
    with (
        pytest.raises(DataError, match="no rows"),
        open_data(spark.range(3).filter("id > 5"), ["id"]) as (engine, table),
    ):
        engine.query("SELECT 1")


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(7)
    arm = np.array(["auto", "manual"])[rng.integers(0, 2, 400)]
    hours = 20 + 5 * rng.standard_normal(400) - 3 * (arm == "auto")
    won = rng.random(400) < 0.3
    return pd.DataFrame({"arm": arm, "hours.spent": np.where(rng.random(400) < 0.05, np.nan, hours), "won": won})


@pytest.fixture(scope="module")
def spark_trial(spark, trial):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Spark says that it does not know pandas 3 yet
        return spark.createDataFrame(trial)


def test_spark_and_pandas_give_the_same_estimates(spark_trial, trial):
    rules = {"arm": "arm", "control": "manual", "outcomes": ["hours.spent", "won"]}
    found, wanted = (cpi.compare(data, **rules).to_frame() for data in (spark_trial, trial))
    for name in ("effect", "std_error", "ci_low", "ci_high"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-10)
    assert found["n_control"].tolist() == wanted["n_control"].tolist()


def test_only_the_columns_that_are_needed_leave_spark(spark_trial, trial):
    columns = read_columns(spark_trial, ["won"], optional=["hours.spent", "absent"])
    assert list(columns) == ["won", "hours.spent"]
    np.testing.assert_array_equal(columns["won"], trial["won"].to_numpy(float))


def test_a_column_missing_in_spark_is_the_same_error_as_in_pandas(spark_trial, trial):
    messages = []
    for data in (spark_trial, trial):
        with pytest.raises(DataError) as error, open_data(data, ["wom"]):
            pass
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "Did you mean 'won'?" in messages[0]


def test_a_spark_without_arrow_says_what_to_do():
    old = type("DataFrame", (SimpleNamespace,), {"__module__": "pyspark.sql.dataframe"})(columns=["won"])
    assert is_spark(old)
    with pytest.raises(DataError, match=r"cannot hand over Arrow.\n  Use Spark 4, or give .toPandas"):
        read_columns(old, ["won"])


@pytest.mark.slow
def test_panels_and_trials_of_a_company_are_those_of_duckdb(spark, tmp_path):
    company = simulate_company(tmp_path / "insurer")
    catalog, files = load_catalog(company.folder), sorted((company.folder / "data").glob("*.parquet"))
    few = {each.stem: spark.read.parquet(str(each)) for each in files}
    few = {
        name: each.filter("customer_id % 40 = 0") if "customer_id" in each.columns else each
        for name, each in few.items()
    }
    with SparkTables(few) as one, Tables({name: one.frame(f"SELECT * FROM {name}") for name in few}) as two:
        panels = [build_panel(engine, catalog) for engine in (one, two)]
        trial = str(two.query("SELECT min(experiment) AS id FROM assignments")["id"][0])
        rules = {"experiment": trial, "cpis": list(catalog.cpis)[:1], "kpis": list(catalog.kpis)[:2]}
        units = [measure_units(engine, catalog, **rules) for engine in (one, two)]
    for found, wanted in (panels, units):
        assert found.losses == wanted.losses
        pd.testing.assert_frame_equal(found.frame, wanted.frame, rtol=1e-9, atol=1e-9)
