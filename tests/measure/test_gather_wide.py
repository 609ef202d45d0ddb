"""Moments from batches and BLAS: the same cells, sums and products as from SQL."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.engines import batches as engine_batches
from cpi_experiments.measure.engines.batches import stream_batches
from cpi_experiments.measure.moments import wide as gather_wide
from cpi_experiments.measure.moments.columns import describe_columns
from cpi_experiments.measure.moments.gather import gather_table
from cpi_experiments.stats.one_blas_thread import blas_threads, one_blas_thread


def table(seed=1, *, n=3000, p=6, holes=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) + 50 * np.arange(p)
    x[rng.random(x.shape) < holes] = np.nan
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(p)])
    frame["count"] = rng.integers(0, 9, n)
    frame["won"] = rng.random(n) < 0.3
    frame["segment"] = rng.choice(["b2b", "b2c", None], n)
    frame["week"] = pd.to_datetime("2026-01-05") + pd.to_timedelta(7 * rng.integers(0, 3, n), unit="D")
    return frame


NAMES = [*(f"c{i}" for i in range(6)), "count", "won"]
NOTHING = {"caps": {}, "scales": {}, "origins": {}}


def both(frame, by, *, names=NAMES):
    with Tables({"t": frame}) as tables:
        columns = describe_columns(tables, "t", names, **NOTHING)
        sql = gather_table(tables, "t", names, by=by, pairs=None, **NOTHING)
        return gather_wide.gather_wide(tables, "t", columns, by=by), sql


def in_order(moments):
    """Cells by their labels as text, then by what is present."""
    labels = [values.astype(str) for values in moments.keys.values()]
    return moments.take(np.lexsort([*moments.present.T, *labels]))


@pytest.mark.parametrize("by", [(), ("segment",), ("segment", "week")])
@pytest.mark.parametrize("holes", [0.0, 0.01])
@pytest.mark.parametrize("batch", [30_000, 700])
def test_batches_and_sql_give_the_same_moments(by, holes, batch, monkeypatch):
    monkeypatch.setattr(gather_wide, "BATCH", batch)
    wide, sql = (in_order(each) for each in both(table(holes=holes), by))
    assert wide.present.all() == (holes == 0)
    assert (wide.columns, wide.pairs, tuple(wide.keys)) == (sql.columns, sql.pairs, tuple(sql.keys))
    for name in by:
        assert wide.keys[name].astype(str).tolist() == sql.keys[name].astype(str).tolist()
    assert wide.n.tolist() == sql.n.tolist()
    assert wide.present.tolist() == sql.present.tolist()
    assert wide.origin.tolist() == sql.origin.tolist()
    assert wide.whole.tolist() == sql.whole.tolist()
    assert wide.sums == pytest.approx(sql.sums, rel=1e-10, abs=1e-8)
    assert wide.products == pytest.approx(sql.products, rel=1e-10, abs=1e-7)


def test_whole_numbers_and_flags_are_exact_for_any_batch(monkeypatch):
    frame = table(n=5000).assign(money=lambda f: (f["c0"] * 1e6).round().astype("int64"))
    names = ["count", "won", "money"]
    found = []
    for batch in (30_000, 333):
        monkeypatch.setattr(gather_wide, "BATCH", batch)
        wide, sql = both(frame, (), names=names)
        found.append(wide)
        assert wide.products.tolist() == sql.products.astype(float).tolist()
        assert abs(wide.products).max() < 2**53
    assert found[0].products.tolist() == found[1].products.tolist()
    assert found[0].sums.tolist() == found[1].sums.tolist()


def test_scaled_columns_are_scaled_before_they_are_squared():
    frame = pd.DataFrame({"price": [Decimal(each) for each in ("1.25", "3.50", "9.75")]})
    wide, sql = both(frame, (), names=["price"])
    assert wide.scale.tolist() == sql.scale.tolist() == [100.0]
    assert wide.products.tolist() == sql.products.tolist()


def test_too_many_cells_or_patterns_are_left_to_others(monkeypatch):
    monkeypatch.setattr(gather_wide, "MOST_BYTES", 8 * 81 * 5)
    assert both(table(), ("segment", "week"))[0] is None
    assert both(table(holes=0.2), ())[0] is None
    assert both(table(holes=0.3, n=12), ())[0] is None
    assert both(table(), ("segment",))[0] is not None


def test_a_declared_scale_is_checked_elsewhere():
    with Tables({"t": pd.DataFrame({"price": [1.25, 3.5]})}) as tables:
        columns = describe_columns(tables, "t", ["price"], caps={}, scales={"price": 100}, origins={})
        assert gather_wide.gather_wide(tables, "t", columns) is None


def test_engines_without_batches_are_left_to_sql(monkeypatch):
    monkeypatch.setattr(engine_batches, "find_spec", lambda _: None)
    assert both(table(), ())[0] is None
    nothing = {"by": (), "add": lambda *_: True, "most": 1}
    assert gather_wide.stream_groups("a warehouse", "t", [], **nothing) is None


def test_column_names_do_not_meet_the_names_of_the_query():
    frame = table().rename(columns={"c0": "code", "c1": "k0", "segment": "v0"})
    wide, sql = both(frame, ("v0",), names=["k0", "code"])
    assert in_order(wide).sums == pytest.approx(in_order(sql).sums, rel=1e-10)


def test_infinite_values_stay_visible():
    wide, _ = both(table(n=50), (), names=["c0"])
    assert np.isfinite(wide.products).all()
    frame = table(n=50)
    frame.loc[3, "c0"] = np.inf
    with Tables({"t": frame}) as tables:
        columns = describe_columns(tables, "t", ["c0"], **NOTHING)
        assert not np.isfinite(gather_wide.gather_wide(tables, "t", columns).products).all()


def test_batches_cover_every_row_once_and_keep_missing_ones():
    frame = table(n=10_000, holes=0.1)
    with Tables({"t": frame}) as tables:
        parts = list(stream_batches(tables, "SELECT c0, won, CAST(count AS INTEGER) AS n FROM t", rows=900))
    assert len(parts) > 3
    joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    assert np.array_equal(joined[0], frame["c0"].to_numpy(), equal_nan=True)
    assert np.array_equal(joined[1], frame["won"].to_numpy())
    assert np.array_equal(joined[2], frame["count"].to_numpy())


def test_a_query_that_cannot_run_says_so():
    from cpi_experiments.errors import DataError

    with Tables({"t": table(n=5)}) as tables, pytest.raises(DataError, match="the query cannot run"):
        next(stream_batches(tables, "SELECT nothing FROM t", rows=10))


def test_one_thread_of_blas_inside_and_as_before_after():
    threads = blas_threads()
    if threads is None:
        pytest.skip("numpy brings no OpenBLAS of its own here")
    read, write = threads
    before = read()
    write(2)
    with one_blas_thread():
        assert read() == 1
    assert read() == 2
    write(before)


def test_other_libraries_are_left_alone(monkeypatch, tmp_path):
    from cpi_experiments.stats import one_blas_thread as module

    monkeypatch.setattr(module.np, "__file__", str(tmp_path / "numpy" / "__init__.py"))
    assert blas_threads() is None
    with one_blas_thread():
        assert float(np.ones(2) @ np.ones(2)) == 2.0
