"""Sums of every CPI x KPI x segment: own complete rows, from batches and from SQL alike."""

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.moments import cells as module
from cpi_experiments.measure.moments.cells import gather_cells

CPIS, KPIS = ["hours", "errors", "calls"], ["won", "revenue"]


def rows(seed=1, *, n=2000, holes=0.1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 6)) * 3 + 100, columns=[*CPIS, *KPIS, "prior"])
    frame["calls"] = frame["calls"].round()
    for name in ("hours", "calls", "won", "prior"):
        frame.loc[rng.random(n) < holes, name] = np.nan
    frame["segment"] = rng.choice(["b2b", "b2c", "public"], n)
    frame["late"] = rng.random(n) < 0.5
    return frame


def expected(frame, controls, origin, segment):
    part = frame[frame["segment"] == segment]
    grams = np.empty((len(CPIS), len(KPIS), len(controls) + 3, len(controls) + 3))
    for i, cpi in enumerate(CPIS):
        for j, kpi in enumerate(KPIS):
            used = part[[*controls, cpi, kpi]].astype(float).dropna()
            moved = (used - [origin[name] for name in used.columns]).to_numpy()
            ones = np.column_stack([np.ones(len(moved)), moved])
            grams[i, j] = ones.T @ ones
    return grams


@pytest.mark.parametrize("streams", [True, False], ids=["batches", "sql"])
@pytest.mark.parametrize("holes", [0.0, 0.1])
@pytest.mark.parametrize("controls", [[], ["prior"], ["prior", "late"]])
def test_every_cell_has_its_own_complete_rows(streams, holes, controls, monkeypatch):
    if not streams:
        monkeypatch.setattr(module, "can_stream", lambda _: False)
        monkeypatch.setattr(module, "_PRODUCTS", 8)
    frame = rows(holes=holes)
    with Tables({"t": frame}) as tables:
        sums = gather_cells(tables, "t", cpis=CPIS, kpis=KPIS, controls=controls, by=["segment"])
    assert sums.keys["segment"].tolist() == ["b2b", "b2c", "public"]
    for g, segment in enumerate(sums.keys["segment"]):
        assert sums.grams[g] == pytest.approx(expected(frame, controls, sums.origin, segment), rel=1e-9, abs=1e-8)


@pytest.mark.parametrize("streams", [True, False], ids=["batches", "sql"])
def test_rows_without_a_segment_are_a_segment(streams, monkeypatch):
    monkeypatch.setattr(module, "can_stream", lambda _: streams)
    frame = rows(holes=0)
    frame["segment"] = frame["segment"].where(frame.index % 5 > 0, None)
    with Tables({"t": frame}) as tables:
        sums = gather_cells(tables, "t", cpis=CPIS, kpis=KPIS, by=["segment", "late"])
    assert int(sums.grams[:, 0, 0, 0, 0].sum()) == 2000
    assert sum(label is None for label in sums.keys["segment"]) == 2


@pytest.mark.parametrize("streams", [True, False], ids=["batches", "sql"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hours": np.inf}, "infinite values"),
        ({"hours": [1e200, *[1.0] * 1999]}, "values? beyond 1e\\+150"),
        ({"hours": "text"}, "column 'hours' is text"),
    ],
)
def test_values_that_cannot_be_squared_are_refused(streams, change, words, monkeypatch):
    monkeypatch.setattr(module, "can_stream", lambda _: streams)
    with Tables({"t": rows().assign(**change)}) as tables, pytest.raises(DataError, match=words):
        gather_cells(tables, "t", cpis=CPIS, kpis=KPIS)


def test_too_many_segments_are_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_CELLS", 17)
    with Tables({"t": rows()}) as tables, pytest.raises(DataError, match="more than 2 segments"):
        gather_cells(tables, "t", cpis=CPIS, kpis=KPIS, by=["segment"])
