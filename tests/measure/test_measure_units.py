from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.catalog.entities import CPI, KPI, Aggregate, Benefit, Catalog, Function, Measure
from cpi_experiments.errors import CatalogError, DataError
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.units import UnitFrame, measure_units
from cpi_experiments.units import Direction, Increment


def catalog(window: str = "28 days") -> Catalog:
    def measure(value, aggregate=Aggregate.MEAN, **fields):
        return Measure(
            table="quotes", entity="customer_id", at="at", value=value, aggregate=aggregate, window=window, **fields
        )

    wait = CPI(
        id="wait",
        label="Fast Quote",
        outcome="a price while I am looking",
        unit="hour",
        better=Direction.LOWER,
        increment=Increment.parse("1 hour"),
        measure=measure("hours(asked, at)"),
        benefit=Benefit.FUNCTIONAL,
        function=Function.SALES,
    )
    kpis = {
        "won": ("fraction", measure("won")),
        "revenue": ("EUR", measure("premium", Aggregate.SUM)),
        "big": ("count", measure("premium", Aggregate.COUNT, where="premium > 1000000")),
    }
    return Catalog(
        cpis={"wait": wait},
        kpis={k: KPI(id=k, label=k, unit=u, better=Direction.HIGHER, measure=m) for k, (u, m) in kpis.items()},
    )


def events(rows) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["customer_id", "at", "hours", "won", "premium"])
    frame["at"] = pd.to_datetime(frame["at"])
    frame["asked"] = frame["at"] - pd.to_timedelta(frame["hours"], unit="h")
    return frame


SMALL = events(
    [
        (1, "2026-01-31 23:59", 9, 1, 1.0),  # before assignment
        (1, "2026-02-01 00:00", 2, 1, 10.0),  # at assignment: counts
        (1, "2026-02-28 23:59", 4, 0, 20.0),  # last minute of 28 days
        (1, "2026-03-01 00:00", 8, 0, 40.0),  # after the window
        (2, "2026-02-10 12:00", 6, 0, 80.0),
        (9, "2026-02-10 12:00", 6, 0, 160.0),  # never assigned
    ]
)
ASSIGNED = pd.DataFrame(
    {
        "experiment": ["e"] * 8 + ["other"],
        "customer_id": [1, 1, 2, 3, 4, 4, None, 5, 2],
        "arm": ["auto", "auto", "manual", "manual", "auto", "manual", "auto", None, "auto"],
        "assigned_at": pd.to_datetime(["2026-02-01", "2026-02-05", *["2026-02-01"] * 7]),
    }
)
CUSTOMERS = pd.DataFrame({"customer_id": [1, 2, 5], "age": [30, 40, 50], "region": ["n", None, "s"]})
ALL = {"cpis": ["wait"], "kpis": ["won", "revenue"]}


def small(**options) -> UnitFrame:
    with Tables({"quotes": SMALL, "assignments": ASSIGNED, "customers": CUSTOMERS}) as tables:
        return measure_units(tables, catalog(), **{"experiment": "e", **ALL, **options})


def test_windows_arms_and_counts_by_hand():
    found = small(covariates=["age", "region", "pre_wait", "pre_revenue"])
    frame = found.frame
    assert list(frame) == [
        "unit",
        "arm",
        "assigned_at",
        "wait",
        "won",
        "revenue",
        "age",
        "region",
        "pre_wait",
        "pre_revenue",
    ]
    assert frame["unit"].tolist() == [1, 2, 3]
    assert frame["arm"].tolist() == ["auto", "manual", "manual"]
    assert frame["assigned_at"].dt.day.tolist() == [1, 1, 1]  # the earliest of unit 1
    np.testing.assert_array_equal(frame["wait"], [3, 6, np.nan])
    np.testing.assert_array_equal(frame["won"], [0.5, 0, np.nan])
    np.testing.assert_array_equal(frame["revenue"], [30, 80, 0])
    np.testing.assert_array_equal(frame["age"], [30, 40, np.nan])
    np.testing.assert_array_equal(frame["pre_wait"], [9, 9, 9])
    np.testing.assert_array_equal(frame["pre_revenue"], [1, 0, 0])
    assert frame["region"][0] == "n"
    assert dict(found.n_assigned) == {"auto": 1, "manual": 2}
    assert found.n_in_two_arms == 1
    assert set(found.losses) == {
        ("assignments", "without customer_id, arm or time", 2),
        ("pre_wait", "filled by the mean of the others", 2),
        ("age", "not known in customers", 1),
        ("region", "not known in customers", 2),
    }
    assert found._title() == "e: 1 in auto, 2 in manual; 1 in several arms left out"
    assert [row["observed"] for row in found._rows()][:2] == [1, 1]
    assert found.to_dict()["n_rows"] == 3
    assert found.to_frame() is not found.frame


@pytest.mark.parametrize(
    ("as_of", "revenue", "n_open"), [("2026-02-10", 10 + 80, 3), (date(2026, 2, 5), 10, 3), ("2026-03-15", 110, 0)]
)
def test_events_after_as_of_are_not_seen_and_open_windows_are_counted(as_of, revenue, n_open):
    found = small(as_of=as_of)
    assert found.frame["revenue"].sum() == revenue
    assert found.n_open == n_open
    assert ("windows still open" in str(found)) == (n_open > 0)


def test_windows_are_open_when_the_events_end_before_them():
    with Tables({"quotes": SMALL[SMALL["at"] < "2026-02-20"], "assignments": ASSIGNED}) as tables:
        assert measure_units(tables, catalog(), experiment="e", **ALL).n_open == 3


def simulated(n=400, *, seed=1):
    rng = np.random.default_rng(seed)
    assigned = pd.DataFrame(
        {
            "experiment": "e",
            "customer_id": [f"c{i}" for i in range(n)],
            "arm": rng.choice(["auto", "manual"], n),
            "assigned_at": pd.Timestamp("2026-03-01") + pd.to_timedelta(rng.integers(0, 20 * 86400, n), unit="s"),
        }
    )
    m = 20 * n
    rows = pd.DataFrame(
        {
            "customer_id": [f"c{i}" for i in rng.integers(0, n, m)],
            "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 150 * 86400, m), unit="s"),
            "won": rng.random(m) < 0.3,
            "premium": rng.lognormal(3, 1, m),
        }
    )
    rows["asked"] = rows["at"] - pd.to_timedelta(rng.integers(60, 86400, m), unit="s")
    return assigned, rows


@pytest.mark.parametrize("window", ["28 days", "12 hours", "2 weeks"])
def test_units_equal_pandas(window):
    assigned, rows = simulated()
    with Tables({"quotes": rows, "assignments": assigned}) as tables:
        frame = measure_units(
            tables, catalog(window), experiment="e", **ALL, covariates=["pre_revenue"]
        ).frame.set_index("unit")
    joined = rows.merge(assigned, on="customer_id")
    length = pd.Timedelta(window.replace("weeks", "W"))
    after = joined[(joined["at"] >= joined["assigned_at"]) & (joined["at"] < joined["assigned_at"] + length)]
    before = joined[(joined["at"] < joined["assigned_at"]) & (joined["at"] >= joined["assigned_at"] - length)]
    hours = (after["at"] - after["asked"]).dt.total_seconds() / 3600
    index = assigned["customer_id"].sort_values()
    np.testing.assert_allclose(frame["wait"], hours.groupby(after["customer_id"]).mean().reindex(index), rtol=1e-12)
    np.testing.assert_allclose(frame["won"], after.groupby("customer_id")["won"].mean().reindex(index), rtol=1e-12)
    np.testing.assert_allclose(
        frame["revenue"], after.groupby("customer_id")["premium"].sum().reindex(index, fill_value=0), rtol=1e-12
    )
    np.testing.assert_allclose(
        frame["pre_revenue"], before.groupby("customer_id")["premium"].sum().reindex(index, fill_value=0), rtol=1e-12
    )


def test_row_order_and_files_do_not_matter(tmp_path):
    assigned, rows = simulated(150)
    rows[:1000].to_csv(tmp_path / "q1.csv", index=False)
    rows[1000:].to_csv(tmp_path / "q2.csv", index=False)
    assigned.to_csv(tmp_path / "a.csv", index=False)
    sources = [
        {"quotes": rows, "assignments": assigned},
        {"quotes": rows.sample(frac=1, random_state=2), "assignments": assigned.sample(frac=1, random_state=3)},
        {"quotes": tmp_path / "q*.csv", "assignments": tmp_path / "a.csv"},
    ]
    frames = []
    for source in sources:
        with Tables(source) as tables:
            frames.append(measure_units(tables, catalog(), experiment="e", **ALL).frame)
    for other in frames[1:]:
        pd.testing.assert_frame_equal(frames[0], other, rtol=1e-12, check_dtype=False)


def test_digest_follows_data_and_questions():
    found = [small(), small(), small(as_of="2026-03-15"), small(kpis=["won"])]
    assert found[0].digest == found[1].digest
    assert len({each.digest for each in found}) == 3


def test_an_indicator_without_events_is_named_not_hidden():
    found = small(kpis=["won", "big"])
    assert ("big", "no event in any window", 0) in found.losses
    assert (found.frame["big"] == 0).all()


def test_pre_period_never_observed_is_constant_and_counted():
    with Tables({"quotes": SMALL[SMALL["at"] >= "2026-02-01"], "assignments": ASSIGNED}) as tables:
        found = measure_units(tables, catalog(), experiment="e", **ALL, covariates=["pre_wait"])
    assert (found.frame["pre_wait"] == 0).all()
    assert ("pre_wait", "never observed before, set to 0", 3) in found.losses


def test_customers_with_text_ids_meet_events_with_text_ids_only():
    text = SMALL.assign(customer_id=SMALL["customer_id"].map("{:03d}".format))
    ids = ASSIGNED.assign(customer_id=ASSIGNED["customer_id"].map(lambda v: None if pd.isna(v) else f"{int(v):03d}"))
    with Tables({"quotes": text, "assignments": ids}) as tables:
        assert measure_units(tables, catalog(), experiment="e", **ALL).frame["revenue"].tolist() == [30, 80, 0]
    with (
        Tables({"quotes": text, "assignments": ASSIGNED}) as tables,
        pytest.raises(DataError, match="Compare the column 'customer_id'"),
    ):
        measure_units(tables, catalog(), experiment="e", **ALL)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"experiment": "ee"}, DataError, "experiment 'ee' has no assignments"),
        ({"experiment": "othr"}, DataError, "Did you mean 'other'"),
        ({"as_of": "2025-01-01"}, DataError, "no event of the 3 units falls into a window"),
        ({"as_of": "soon"}, DataError, "'soon' is not a date"),
        ({"covariates": ["agee"]}, DataError, "Did you mean 'age'"),
        ({"covariates": ["pre_wit"]}, DataError, "Did you mean 'pre_wait'"),
        ({"covariates": ["wait"]}, DataError, "'wait' is named twice or is taken"),
        ({"cpis": [], "kpis": []}, DataError, "no CPI and no KPI is named"),
        ({"kpis": ["wonn"]}, CatalogError, "Did you mean 'won'"),
        ({"unit": "customer"}, DataError, "column 'customer' is missing"),
        ({"assignments": "assignment"}, DataError, "table 'assignment' is missing"),
    ],
)
def test_unusable_questions_are_explained(options, error, says):
    with pytest.raises(error, match=says):
        small(**options)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"assigned_at": "01/02/2026"}, "column 'assigned_at' is text, not a time"),
        ({"customer_id": 4}, "every unit of the experiment is in several arms"),
    ],
)
def test_unusable_assignments_are_explained(change, says):
    with (
        Tables({"quotes": SMALL, "assignments": ASSIGNED.assign(**change)}) as tables,
        pytest.raises(DataError, match=says),
    ):
        measure_units(tables, catalog(), experiment="e", **ALL)


def test_customers_listed_twice_are_refused():
    twice = pd.concat([CUSTOMERS, CUSTOMERS[:1]])
    with (
        Tables({"quotes": SMALL, "assignments": ASSIGNED, "customers": twice}) as tables,
        pytest.raises(DataError, match="1 rows repeat a customer_id"),
    ):
        measure_units(tables, catalog(), experiment="e", **ALL, covariates=["age"])


def test_experiment_ids_are_values_never_sql():
    with pytest.raises(DataError, match="has no assignments"):
        small(experiment="e' OR '1'='1")
