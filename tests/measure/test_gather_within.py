"""Two-way fixed effects from sums: the same numbers as the rows give, on any engine, whatever is missing."""

import datetime as dt

import duckdb
import numpy as np
import pandas as pd
import pytest

from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.moments import within as module
from cpi_experiments.measure.moments.within import fit_within
from cpi_experiments.stats.fixed_effects import within


def panel(seed, *, units=120, periods=10, share=0.7, missing=0.05, controls=2):
    """Build an unbalanced panel with controls, missing values and units seen once."""
    rng = np.random.default_rng(seed)
    unit, time = (codes.ravel() for codes in np.indices((units, periods)))
    effect = 3 * rng.normal(size=units)[unit] + rng.normal(size=periods)[time]
    frame = pd.DataFrame({"unit": unit, "time": time})
    for j in range(controls):
        frame[f"z{j}"] = 5 * j + effect * j + rng.normal(size=len(unit))
    frame["x"] = 100 + effect + frame[[f"z{j}" for j in range(controls)]].sum(axis=1) / 3 + rng.normal(size=len(unit))
    noise = rng.normal(size=len(unit)) * np.exp(rng.normal(size=units) / 2)[unit]
    frame["y"] = 50 - 0.5 * frame["x"] + 2 * effect + noise
    frame = frame[rng.random(len(frame)) < share * rng.beta(2, 1, size=units)[unit]].reset_index(drop=True)
    for name in ("x", "y", "z0"):
        if name in frame:
            frame.loc[rng.random(len(frame)) < missing, name] = np.nan
    return frame


def both(frame, columns=("x",)):
    """Fit by sums and by rows."""
    with Tables({"past": frame}) as tables:
        sums = fit_within(tables, "past", outcome="y", columns=columns, unit="unit", time="time")
    used = frame.dropna(subset=["y", *columns])
    rows = within(
        used["y"].to_numpy(),
        used[list(columns)].to_numpy(),
        effects=[used["unit"].to_numpy(), used["time"].to_numpy()],
        cluster=used["unit"].to_numpy(),
        variance="CR1",
    )
    return sums, rows


def assert_same(fit, rows, *, rel=1e-10):
    for name in ("coefficients", "covariance", "carriers", "sigma", "unexplained"):
        assert getattr(fit, name) == pytest.approx(getattr(rows, name), rel=rel), name
    for name in ("df", "n_obs", "n_parameters", "n_clusters", "singletons", "variance"):
        assert getattr(fit, name) == getattr(rows, name), name


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("columns", [("x",), ("x", "z0"), ("x", "z0", "z1")])
def test_sums_and_rows_give_the_same_regression(seed, columns):
    frame = panel(seed)
    sums, rows = both(frame, columns)
    assert rows.singletons > 0
    assert_same(sums.regression, rows)
    assert sums.n_rows == len(frame)
    assert sum(count for _, count in sums.dropped) == int(frame[["y", *columns]].isna().any(axis=1).sum())
    assert [reason for reason, _ in sums.dropped] == [
        f"without {name}" for name in ("x", "y", "z0") if name != "z0" or "z0" in columns
    ]


def test_sums_agree_with_linearmodels():
    from linearmodels.panel import PanelOLS

    frame = panel(3, missing=0.0)
    sums, _ = both(frame, ("x", "z0"))
    theirs = PanelOLS.from_formula("y ~ x + z0 + EntityEffects + TimeEffects", frame.set_index(["unit", "time"])).fit(
        cov_type="clustered", cluster_entity=True, group_debias=True, auto_df=False, count_effects=False
    )
    fit = sums.regression
    n = len(frame)  # they count slopes only, and keep singletons among the clusters
    ours = (n - fit.singletons - 1) / (n - fit.singletons - fit.n_parameters) * fit.n_clusters / (fit.n_clusters - 1)
    g = frame["unit"].nunique()
    convert = ours / ((n - 1) / (n - 2) * g / (g - 1))
    assert fit.coefficients == pytest.approx(theirs.params.to_numpy(), rel=1e-9)
    assert fit.covariance == pytest.approx(theirs.cov.to_numpy() * convert, rel=1e-8)


@pytest.mark.parametrize(
    "written",
    [
        lambda t: [f"2026-{k + 1:02}" for k in t],
        lambda t: [dt.date(2026, 1, 1) + dt.timedelta(weeks=int(k)) for k in t],
        lambda t: pd.Timestamp("2026-01-01") + pd.to_timedelta(t * 36, unit="h"),
        lambda t: t + 0.5,
    ],
    ids=["text", "dates", "times", "numbers"],
)
def test_labels_of_any_kind_give_the_same_numbers(written):
    frame = panel(5)
    plain, _ = both(frame)
    frame["time"] = written(frame["time"].to_numpy())
    frame["unit"] = "b" + frame["unit"].astype(str)
    other, _ = both(frame)
    assert_same(other.regression, plain.regression, rel=1e-12)
    assert len(other.periods) == 10


def test_row_order_threads_and_files_change_nothing(tmp_path):
    frame = panel(6)
    plain, _ = both(frame)
    shuffled = frame.sample(frac=1, random_state=1)
    for part in range(3):
        shuffled.iloc[part::3].to_parquet(tmp_path / f"{part}.parquet")
    with Tables({"past": str(tmp_path / "*.parquet")}, threads=1) as tables:
        parts = fit_within(tables, "past", outcome="y", columns=["x"], unit="unit", time="time")
    assert_same(parts.regression, plain.regression, rel=1e-12)
    assert parts.dropped == plain.dropped


def test_offsets_and_units_of_measure_change_what_they_must_only():
    frame = panel(8, missing=0)
    plain, _ = both(frame)
    moved, _ = both(frame.assign(x=1e6 + 60 * frame["x"], y=frame["y"] / 1000 - 40))
    assert moved.regression.coefficients == pytest.approx(plain.regression.coefficients / 60_000, rel=1e-9)
    assert moved.regression.std_errors == pytest.approx(plain.regression.std_errors / 60_000, rel=1e-9)


def test_flags_and_whole_numbers_are_numbers():
    frame = panel(9, missing=0).assign(z0=lambda f: f["z0"] > 0, x=lambda f: f["x"].round().astype(int))
    sums, _ = both(frame, ("x", "z0"))
    _, rows = both(frame.astype({"z0": float}), ("x", "z0"))
    assert_same(sums.regression, rows)


def test_missing_marks_of_parquet_and_of_doubles_are_both_missing(tmp_path):
    frame = panel(10)
    plain, _ = both(frame)
    duckdb.from_df(frame).project("unit, time, x, CAST(coalesce(y, 'NaN'::DOUBLE) AS DOUBLE) AS y").write_parquet(
        str(tmp_path / "p.parquet")
    )
    with Tables({"past": tmp_path / "p.parquet"}) as tables:
        assert tables.query("SELECT count(*) AS n FROM past WHERE isnan(y)")["n"][0] > 0
        nan = fit_within(tables, "past", outcome="y", columns=["x"], unit="unit", time="time")
    assert_same(nan.regression, plain.regression, rel=1e-12)
    assert nan.dropped == plain.dropped


def period_of_one_row(frame):
    return pd.concat([frame, frame[frame["time"] == 1].head(1).assign(time=99)])


COMPLETE = panel(11, missing=0)


@pytest.mark.parametrize(
    "frame",
    [
        pd.concat([COMPLETE, COMPLETE.iloc[:1]]),
        period_of_one_row(COMPLETE),
        COMPLETE.assign(unit=COMPLETE["unit"].where(COMPLETE.index > 2)),
        COMPLETE.assign(unit=COMPLETE["unit"].astype(str).where(COMPLETE.index > 2)),
        COMPLETE.assign(time=COMPLETE["time"].where(COMPLETE.index > 2)),
        COMPLETE.assign(time=range(len(COMPLETE))),
        COMPLETE.assign(time=0),
        COMPLETE.assign(time=COMPLETE["time"] > 3),
        COMPLETE.assign(unit=range(len(COMPLETE))),
        COMPLETE.assign(x=np.inf),
        COMPLETE.assign(x=COMPLETE["x"].where(COMPLETE.index > 0, 1e151)),
        COMPLETE.assign(x=COMPLETE["x"].where(COMPLETE.index > 0, np.inf).where(COMPLETE.index != 5)),
        COMPLETE.assign(x="text"),
        COMPLETE.assign(x=COMPLETE["unit"] / 7),
        COMPLETE.assign(x=COMPLETE["unit"] / 7 + COMPLETE["time"] ** 2),
        COMPLETE.assign(x=COMPLETE["x"] + 1e6 * COMPLETE["unit"]),
        COMPLETE.assign(y=3 * COMPLETE["x"] + COMPLETE["unit"]),
        COMPLETE.assign(y=2.0),
        COMPLETE.assign(z0=2 * COMPLETE["x"]),
        COMPLETE.assign(x=np.nan),
        COMPLETE[(COMPLETE["unit"] < 3) & (COMPLETE["time"] < 2)],
    ],
    ids=[
        "two rows in a period", "a period of one row", "units missing", "text units missing", "periods missing",
        "too many periods", "one period", "flags as periods", "units seen once", "infinite", "absurd",
        "infinite among missing", "text", "constant in units", "sum of effects", "hardly varies in units", "exact fit",
        "constant outcome", "collinear", "nothing left", "too few rows",
    ],
)  # fmt: skip
def test_what_sums_cannot_answer_is_left_to_the_rows(frame):
    with Tables({"past": frame}) as tables:
        assert fit_within(tables, "past", outcome="y", columns=["x", "z0"], unit="unit", time="time") is None


@pytest.mark.parametrize("seed", range(3))
def test_engines_without_batches_add_up_units_by_the_periods_they_share(seed, monkeypatch):
    frame = panel(seed)
    streamed, rows = both(frame, ("x", "z0"))
    monkeypatch.setattr(module, "can_stream", lambda _: False)
    grouped, _ = both(frame, ("x", "z0"))
    assert_same(grouped.regression, rows)
    assert_same(grouped.regression, streamed.regression, rel=1e-11)
