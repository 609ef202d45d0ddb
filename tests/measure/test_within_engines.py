"""Panels and screens from sums on Spark and PostgreSQL: the numbers of DuckDB."""

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.engines.dialect import translate
from cpi_experiments.measure.engines.spark import SparkTables
from cpi_experiments.measure.engines.warehouse import Warehouse
from cpi_experiments.measure.moments import cells as gather_cells_module
from cpi_experiments.measure.moments.cells import gather_cells
from cpi_experiments.measure.moments.scores import Survivor, clustered_errors
from cpi_experiments.measure.moments.within import fit_within
from cpi_experiments.observational.association import association
from cpi_experiments.observational.screen import screen
from cpi_experiments.stats.screening import slopes_of

pytestmark = pytest.mark.xdist_group("spark")  # one Java is enough


def panel():
    rng = np.random.default_rng(4)
    unit, time = (codes.ravel() for codes in np.indices((60, 6)))
    frame = pd.DataFrame({"unit": unit, "time": [f"2026-{t + 1:02}" for t in time], "prior": rng.normal(size=360)})
    frame["hours"] = 20 + unit % 5 + rng.normal(size=360)
    frame["won"] = 3 * (unit % 5) - 0.8 * frame["hours"] + frame["prior"] + rng.normal(size=360)
    frame.loc[::17, "hours"] = np.nan
    frame["segment"] = np.array(["b2b", None], dtype=object)[unit % 2]
    return frame[rng.random(360) < 0.8].reset_index(drop=True)


@pytest.fixture(scope="module")
def engines(spark, tmp_path_factory):
    path = tmp_path_factory.mktemp("panel") / "past.parquet"
    panel().to_parquet(path)
    with SparkTables({"past": spark.read.parquet(str(path))}) as there, Tables({"past": path}) as here:
        yield there, here


def test_fixed_effects_on_spark_are_those_of_duckdb(engines):
    there, here = (
        fit_within(each, "past", outcome="won", columns=["hours", "prior"], unit="unit", time="time")
        for each in engines
    )
    assert there.dropped == here.dropped
    assert there.periods.tolist() == here.periods.tolist()
    assert there.regression.coefficients == pytest.approx(here.regression.coefficients, rel=1e-12)
    assert there.regression.covariance == pytest.approx(here.regression.covariance, rel=1e-11)
    assert there.regression.n_clusters == here.regression.n_clusters


def test_cells_and_clustered_errors_on_spark_are_those_of_duckdb(engines):
    found = []
    for engine in engines:
        given = {"controls": ["prior"], "by": ["segment"]}
        sums = gather_cells(engine, "past", cpis=["hours"], kpis=["won"], **given)
        slopes = slopes_of(sums.grams.reshape(-1, 4, 4))
        survivors = [
            Survivor(
                cpi="hours",
                kpi="won",
                labels=(label,),
                n=int(slopes.n[c]),
                slope=float(slopes.slope[c]),
                intercept=slopes.intercept[c],
                explained=slopes.explained[c],
                left=float(slopes.left[c]),
            )
            for c, label in enumerate(sums.keys["segment"])
        ]
        errors = clustered_errors(engine, "past", survivors, **given, cluster="unit", origin=sums.origin)
        found.append((sums.keys["segment"].tolist(), slopes.slope, errors.std_error, errors.clusters, errors.carriers))
    there, here = found
    assert there[0] == here[0] == ["b2b", None]
    for ours, theirs in zip(there[1:], here[1:], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize("dialect", ["spark", "postgres", "bigquery", "snowflake"])
def test_every_query_can_be_written_for_other_engines(dialect, monkeypatch):
    pytest.importorskip("sqlglot", reason="sqlglot is not installed")
    asked = []
    query = Tables.query

    def listen(self, sql, parameters=()):
        asked.append((sql, len(parameters)))
        return query(self, sql, parameters)

    monkeypatch.setattr(Tables, "query", listen)
    monkeypatch.setattr(gather_cells_module, "can_stream", lambda _: False)
    frame = panel()
    fit_within_table(frame)
    screen(frame, cpis=["hours"], kpis=["won"], controls=["prior"], by="segment", cluster="unit")
    assert len(asked) > 8
    for sql, values in asked:
        written = translate(sql, dialect)
        assert written.count(":cpi_value_") >= values
        assert "?" not in written


def fit_within_table(frame):
    with Tables({"past": frame}) as tables:
        fit = fit_within(tables, "past", outcome="won", columns=["hours", "prior"], unit="unit", time="time")
        assert fit is not None


@pytest.mark.postgres
def test_fixed_effects_and_screens_on_postgres_are_those_of_duckdb(postgres):
    frame = panel()
    postgres.execute("CREATE TABLE past (unit bigint, time text, prior float8, hours float8, won float8, segment text)")
    names = ["unit", "time", "prior", "hours", "won", "segment"]
    with postgres.cursor().copy("COPY past FROM STDIN") as copy:
        for row in frame[names].astype(object).itertuples(index=False):
            copy.write_row([None if value != value else value for value in row])  # noqa: PLR0124 - NaN
    there = Warehouse(postgres, dialect="postgres").table("past")
    given = {"cpi": "hours", "kpi": "won", "unit": "unit", "time": "time", "controls": ["prior"]}
    ours, theirs = (association(data, **given) for data in (there, frame))
    assert str(ours) == str(theirs)
    assert [ours.value, ours.std_error] == pytest.approx([theirs.value, theirs.std_error], rel=1e-11)
    screened = [
        screen(data, cpis=["hours"], kpis=["won"], controls=["prior"], cluster="unit").cells for data in (there, frame)
    ]
    assert screened[0]["passes"].all()
    for name in ("n", "clusters", "slope", "std_error", "q_value"):
        assert screened[0][name] == pytest.approx(screened[1][name], rel=1e-10)
