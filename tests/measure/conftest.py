"""One Spark for all tests of a process, in local mode, whose Java ends with the tests; and a PostgreSQL if one runs."""

import os
import shutil
import uuid
import warnings

import pytest

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",  # queries are short: a fast start beats fast code
    "spark.log.level": "OFF",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "America/New_York",  # nothing may depend on these two
    "spark.sql.ansi.enabled": "false",
}


@pytest.fixture(scope="session")
def spark():
    """Yield a Spark session of one thread."""
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        pytest.skip("no Java on this machine")
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").appName("cpi-tests")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Spark says that it does not know pandas 3 yet
        session = builder.getOrCreate()
    gateway = session.sparkContext._gateway
    yield session
    session.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(timeout=60)


@pytest.fixture(scope="session")
def postgres():
    """Yield a connection whose tables are found in a schema of its own, dropped afterwards."""
    address = os.environ.get("CPI_POSTGRES")
    if not address:
        pytest.skip("no PostgreSQL: `python dev/matrix.py postgres` starts one")
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    schema = f'"Tests {uuid.uuid4().hex}"'
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"SET TimeZone = 'UTC'; CREATE SCHEMA {schema}; SET search_path TO {schema}")
        yield connection
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
