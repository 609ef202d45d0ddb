"""A Spark DataFrame goes through every door of plain data; needs pyspark and Java."""

import importlib.util
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import cpi_experiments as cpi
from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import read_columns
from cpi_experiments.measure.engine_spark import is_spark


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(7)
    arm = np.array(["auto", "manual"])[rng.integers(0, 2, 400)]
    hours = 20 + 5 * rng.standard_normal(400) - 3 * (arm == "auto")
    won = rng.random(400) < 0.3
    return pd.DataFrame({"arm": arm, "hours.spent": np.where(rng.random(400) < 0.05, np.nan, hours), "won": won})


@pytest.fixture(scope="module")
def session():
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed")
    from pyspark.sql import SparkSession

    made = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    yield made
    made.stop()


@pytest.fixture(scope="module")
def spark_trial(session, trial):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Spark says that it does not know pandas 3 yet
        return session.createDataFrame(trial)


@pytest.mark.slow
def test_spark_and_pandas_give_identical_numbers(spark_trial, trial):
    rules = {"arm": "arm", "control": "manual", "outcomes": ["hours.spent", "won"]}
    found, wanted = (cpi.compare(data, **rules) for data in (spark_trial, trial))
    assert found.to_dict() == wanted.to_dict()


@pytest.mark.slow
def test_only_the_columns_that_are_needed_leave_spark(spark_trial, trial):
    columns = read_columns(spark_trial, ["won"], optional=["hours.spent", "absent"])
    assert list(columns) == ["won", "hours.spent"]
    np.testing.assert_array_equal(columns["won"], trial["won"].to_numpy(float))


@pytest.mark.slow
def test_a_column_missing_in_spark_is_the_same_error_as_in_pandas(spark_trial, trial):
    messages = []
    for data in (spark_trial, trial):
        with pytest.raises(DataError) as error:
            read_columns(data, ["wom"])
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "Did you mean 'won'?" in messages[0]


def test_a_spark_without_arrow_says_what_to_do():
    old = type("DataFrame", (SimpleNamespace,), {"__module__": "pyspark.sql.dataframe"})(columns=["won"])
    assert is_spark(old)
    with pytest.raises(DataError, match=r"cannot hand over Arrow.\n  Use Spark 4, or give .toPandas"):
        read_columns(old, ["won"])
