"""Parquet files appear whole or not at all."""

import duckdb
import numpy as np
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.measure.engines.write import write_parquet

FIRST = {
    "id": np.array([1, 2]),
    "at": np.array(["2026-01-01T00:00:01", "NaT"], dtype="datetime64[us]"),
    "won": np.array([True, False]),
    "kind": np.array(["it's", "b"], dtype=object),
    "value": np.array([1.5, np.nan]),
}
SECOND = {name: values[:1] for name, values in FIRST.items()}


@pytest.mark.parametrize("chunks", [[FIRST], [FIRST, SECOND], [FIRST, SECOND, SECOND]])
def test_chunks_are_joined_in_order_and_missing_stays_missing(tmp_path, chunks):
    path = tmp_path / "it's here" / "t.parquet"
    rows = sum(len(chunk["id"]) for chunk in chunks)
    assert write_parquet(path, chunks) == rows
    found = duckdb.read_parquet(str(path)).fetchall()
    assert [row[0] for row in found] == [1, 2, 1, 1][:rows]
    assert found[1][1] is None
    assert found[1][4] is None
    assert found[0][2:] == (True, "it's", 1.5)
    assert list(path.parent.iterdir()) == [path]


def stopped():
    yield SECOND
    raise RuntimeError("stopped")


def test_existing_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "t.parquet"
    write_parquet(path, [FIRST])
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="stopped"):
        write_parquet(path, stopped())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert write_parquet(path, [SECOND]) == 1


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([], "no rows to write"),
        ([{}], "unequal length"),
        ([{"a": np.arange(2), "b": np.arange(3)}], "unequal length"),
        ([{"a": np.arange(2)}, {"b": np.arange(2)}], "differ from the first chunk"),
    ],
)
def test_unusable_chunks_leave_nothing_behind(tmp_path, chunks, message):
    with pytest.raises(DataError, match=message):
        write_parquet(tmp_path / "t.parquet", chunks)
    assert list(tmp_path.iterdir()) == []
