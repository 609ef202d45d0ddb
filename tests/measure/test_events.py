"""Every event is looked at once; what is set aside or changed is counted under its first reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.catalog.entities import CPI, KPI, Aggregate, Benefit, Catalog, Function, Measure
from cpi_experiments.errors import DataError
from cpi_experiments.measure.audit import audit, count_losses, count_outside, holds_days
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.indicators import find_indicators
from cpi_experiments.measure.panel import build_panel
from cpi_experiments.measure.units import Trial, measure_trials, measure_units
from cpi_experiments.units import Direction, Increment


def catalog(**kpis) -> Catalog:
    def measure(value, aggregate=Aggregate.MEAN, **fields):
        return Measure(
            **{"table": "quotes", "entity": "who", "at": "at", "value": value, "aggregate": aggregate, **fields}
        )

    wait = CPI(
        id="wait",
        label="Fast Quote",
        outcome="a price while I am looking",
        unit="hour",
        better=Direction.LOWER,
        increment=Increment.parse("1 hour"),
        measure=measure("hours(asked, at)", cap=10),
        benefit=Benefit.FUNCTIONAL,
        function=Function.SALES,
    )
    found = {"revenue": measure("premium", Aggregate.SUM), "big": measure("premium", where="kind = 'big'"), **kpis}
    return Catalog(
        cpis={"wait": wait},
        kpis={k: KPI(id=k, label=k, unit="EUR", better=Direction.HIGHER, measure=m) for k, m in found.items()},
    )


def messy(n=1000) -> pd.DataFrame:
    at = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(n), unit="h")
    rows = pd.DataFrame(
        {
            "id": np.arange(n),
            "who": np.arange(n) % 40.0,
            "at": at,
            "asked": at - pd.to_timedelta(np.arange(n) % 9 + 1, unit="h"),
            "premium": 100.0,
            "kind": np.where(np.arange(n) % 4, "small", "big"),
        }
    )
    rows.loc[0:9, "who"] = np.nan
    rows.loc[5:14, "at"] = pd.NaT  # five of them have no customer either
    rows.loc[20:22, "asked"] = pd.NaT
    rows.loc[30:33, "asked"] += pd.Timedelta(days=9)
    rows.loc[40:45, "asked"] -= pd.Timedelta(days=9)
    rows.loc[50, "premium"] = np.inf
    rows.loc[51, "premium"] = -1e200
    rows.loc[52:54, "premium"] = np.nan
    return rows


def test_every_loss_is_counted_under_its_first_reason():
    with Tables({"quotes": messy()}) as tables:
        losses = count_losses(tables, find_indicators(tables, catalog(), ["wait", "revenue", "big"]))
    assert set(losses) == {
        ("wait", "without who", 10),
        ("wait", "without at", 5),
        ("wait", "without a value", 3),
        ("wait", "negative duration", 4),
        ("wait", "capped at 10", 6),
        ("revenue", "without who", 10),
        ("revenue", "without at", 5),
        ("revenue", "without a value", 3),
        ("revenue", "infinite or absurdly large", 2),
        ("big", "without who", 3),
        ("big", "without at", 1),
        ("big", "without a value", 1),
    }


def test_an_audit_says_what_can_be_used():
    rows = messy()
    with Tables({"quotes": rows}) as tables:
        wait, revenue, _ = audit(tables, find_indicators(tables, catalog(), ["wait", "revenue", "big"]))
    placed = rows.dropna(subset=["who", "at"])
    assert wait.counts["placed"] == revenue.counts["placed"] == len(placed)
    assert (wait.counts["usable"], revenue.counts["usable"]) == (len(placed) - 7, len(placed) - 5)
    assert (revenue.low, revenue.high) == (100.0, 100.0)
    assert wait.low >= 0
    assert (wait.first, wait.last) == tuple(placed["at"].to_numpy().astype("datetime64[us]")[[0, -1]])
    assert not wait.every_event


def test_a_table_without_a_usable_event_has_no_first_and_no_last():
    with Tables({"quotes": messy(5)}) as tables:  # nobody is named
        (found,) = audit(tables, find_indicators(tables, catalog(), ["revenue"]))
        assert count_outside(tables, [found.indicator], end="2025-01-01T00:00:00") == ()
    assert np.isnat(found.first)
    assert np.isnat(found.last)
    assert found.low > found.high


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("who", np.nan, "51 of 1,000 events are without who, more than 5%"),
        ("asked", pd.Timestamp("2027-01-01"), "events are negative duration, more than 1%"),
        ("premium", np.inf, "events are infinite or absurdly large, more than 1%"),
    ],
)
def test_many_impossible_events_are_a_defect(column, value, says):
    rows = messy()
    rows["who"] = np.arange(1000) % 40.0
    rows.loc[100:150, column] = value
    with (
        Tables({"quotes": rows}) as tables,
        pytest.raises(DataError, match=says),
    ):
        count_losses(tables, find_indicators(tables, catalog(), ["wait", "revenue"]))


def test_each_table_is_looked_at_once_however_often_it_is_asked(monkeypatch):
    asked = []
    query = Tables.query

    def counted(self, sql, parameters=()):
        asked.append(sql)
        return query(self, sql, parameters)

    monkeypatch.setattr(Tables, "query", counted)
    with Tables({"quotes": messy()}) as tables:
        for _ in range(3):
            count_losses(tables, find_indicators(tables, catalog(), ["wait", "revenue"]))
        first = len(asked)
        count_losses(tables, find_indicators(tables, catalog(), ["wait", "revenue", "big"]))
    assert first == 2  # rows that repeat, and the audit
    assert len(asked) == 3  # only what is new


def test_scans_do_not_grow_with_the_number_of_trials(monkeypatch):
    rows = messy().dropna(subset=["at", "who"])
    names = [f"t{i}" for i in range(6)]
    assigned = pd.DataFrame([(name, who, "ab"[who % 2]) for name in names for who in range(40)])
    assigned.columns = ["experiment", "who", "arm"]
    assigned["assigned_at"] = pd.Timestamp("2026-01-05")
    asked = []
    query = Tables.query

    def counted(self, sql, parameters=()):
        asked.append(sql)
        return query(self, sql, parameters)

    monkeypatch.setattr(Tables, "query", counted)
    scans = []
    for some in (names[:1], names):
        with Tables({"quotes": rows, "assignments": assigned}) as tables:
            asked.clear()
            trials = [Trial(experiment=name, cpis=("wait",), kpis=("revenue",), unit="who") for name in some]
            frames = measure_trials(tables, catalog(), trials)
            scans.append(sum('FROM "quotes"' in sql for sql in asked))
    assert [frame.experiment for frame in frames] == names
    assert scans[0] == scans[1] == 4  # rows that repeat, the audit, the order of measuring, the windows


def test_together_trials_measure_what_each_does_alone():
    rng = np.random.default_rng(8)
    rows = messy().dropna(subset=["at", "who"])
    rows["premium"] = rng.lognormal(3, 1, len(rows))
    parts = []
    for i, name in enumerate(("t0", "t1", "t2")):
        who = rng.permutation(60)[:30]
        at = pd.Timestamp("2026-01-05") + pd.to_timedelta(rng.integers(0, 400, 30) + i, unit="h")
        parts.append(
            pd.DataFrame({"experiment": name, "who": who, "arm": rng.choice(["a", "b"], 30), "assigned_at": at})
        )
    assigned = pd.concat([*parts, parts[0][:2].assign(arm="c")])
    people = pd.DataFrame({"who": range(50), "age": rng.integers(20, 60, 50)})
    asked = [
        Trial(experiment="t2", cpis=("wait",), kpis=("revenue",), covariates=("age", "pre_wait"), unit="who"),
        Trial(experiment="t0", cpis=(), kpis=("revenue", "big"), unit="who"),
        Trial(experiment="t1", cpis=("wait",), kpis=("big",), covariates=("pre_revenue",), unit="who"),
    ]
    with Tables({"quotes": rows, "assignments": assigned, "customers": people}) as tables:
        together = measure_trials(tables, catalog(), asked, as_of="2026-02-01")
        for trial, found in zip(asked, together, strict=True):
            alone = measure_units(
                tables,
                catalog(),
                experiment=trial.experiment,
                cpis=trial.cpis,
                kpis=trial.kpis,
                covariates=trial.covariates,
                unit="who",
                as_of="2026-02-01",
            )
            pd.testing.assert_frame_equal(found.frame, alone.frame, check_exact=True)
            assert found.to_dict() == alone.to_dict()
            assert (found.orders, found.digest) == (alone.orders, alone.digest)
    assert together[1].n_in_two_arms == 2
    late = int(((rows["at"] >= "2026-02-02") & (rows["premium"] < 1e150)).sum())
    assert ("revenue", "after 2026-02-01", late) in together[0].losses


def test_an_error_of_one_trial_names_it():
    assigned = pd.DataFrame(
        {"experiment": ["t0", "t1"], "who": [1, 99], "arm": "a", "assigned_at": pd.Timestamp("2026-01-05")}
    )
    asked = [Trial(experiment=name, cpis=("wait",), kpis=("revenue",), unit="who") for name in ("t0", "t1")]
    with (
        Tables({"quotes": messy().dropna(subset=["at", "who"]), "assignments": assigned}) as tables,
        pytest.raises(DataError, match="experiment t1, assignments: no event of the 1 units falls into a window"),
    ):
        measure_trials(tables, catalog(), asked)


def test_windows_do_not_depend_on_row_order():
    rng = np.random.default_rng(9)
    rows = messy().dropna(subset=["at", "who"]).assign(premium=lambda frame: rng.lognormal(3, 1, len(frame)))
    assigned = pd.DataFrame({"experiment": "e", "who": range(40), "arm": ["a", "b"] * 20})
    assigned["assigned_at"] = pd.Timestamp("2026-01-10")
    frames = []
    for seed in range(4):
        mixed = {
            "quotes": rows.sample(frac=1, random_state=seed),
            "assignments": assigned.sample(frac=1, random_state=seed),
        }
        with Tables(mixed) as tables:
            frames.append(
                measure_units(
                    tables,
                    catalog(),
                    experiment="e",
                    cpis=["wait"],
                    kpis=["revenue"],
                    covariates=["pre_revenue"],
                    unit="who",
                ).frame
            )
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0], check_exact=True)


def test_repeated_rows_are_used_once_and_counted():
    rows = messy().dropna(subset=["at", "who"])
    with Tables({"quotes": pd.concat([rows, rows[:3]])}) as tables, Tables({"quotes": rows}) as once:
        doubled, single = (build_panel(each, catalog(), unit="who") for each in (tables, once))
    pd.testing.assert_frame_equal(doubled.frame, single.frame, check_exact=True)
    assert ("revenue", "repeated rows of quotes", 3) in doubled.losses


@pytest.mark.parametrize(("timed", "rows", "days"), [(0, 10, True), (1, 99, False), (1, 100, True), (9, 6651, True)])
def test_a_column_of_midnights_holds_days(timed, rows, days):
    assert holds_days(timed, rows) is days
