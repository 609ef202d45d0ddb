"""Rows of a trial as arrays."""

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.randomized.rows import read_rows

FRAME = pd.DataFrame(
    {
        "arm": ["b", "a", "c", None, "a", "b"],
        "hours": [1.0, 2.0, np.nan, 4.0, 5.0, 6.0],
        "agent": ["x", None, "y", "y", "x", "x"],
        "day": pd.to_datetime(["2026-01-01"] * 6),
    }
)


def test_rows_have_codes_values_and_keys_in_the_order_of_the_table():
    rows = read_rows(FRAME, numbers=["hours"], arm="arm", control="a", cluster="agent", keys=["day"])
    assert rows.arm.tolist() == [1, 0, 2, -1, 0, 1]
    assert rows.labels == ("a", "b", "c")
    assert rows.cluster is not None
    assert rows.cluster.tolist() == [0, -1, 1, 1, 0, 0]
    assert rows.keys["day"].dtype.kind == "M"


def test_what_is_missing_is_counted_by_its_first_reason():
    rows = read_rows(FRAME, numbers=["hours"], arm="arm", control="a", cluster="agent")
    keep, dropped = rows.complete(["hours"])
    assert keep.tolist() == [True, False, False, False, True, True]
    assert dropped == (("without arm", 1), ("without hours", 1), ("without cluster", 1))


def test_other_arms_are_left_out_without_being_counted():
    rows = read_rows(FRAME, numbers=["hours"], arm="arm", control="a")
    keep, dropped = rows.complete(["hours"], arms=[0, 1])
    assert keep.tolist() == [True, True, False, False, True, True]
    assert dropped == (("without arm", 1),)


def test_a_file_gives_the_same_rows_as_a_frame(tmp_path):
    path = tmp_path / "trial.csv"
    FRAME.to_csv(path, index=False)
    one, other = (read_rows(each, numbers=["hours"], arm="arm", control="a") for each in (FRAME, str(path)))
    assert one.arm.tolist() == other.arm.tolist()
    np.testing.assert_array_equal(one.values["hours"], other.values["hours"])


def test_moments_hold_no_rows():
    moments = gather(FRAME[["arm", "hours"]], ["hours"], by=["arm"])
    with pytest.raises(DataError, match="moments hold no rows"):
        read_rows(moments, numbers=["hours"], arm="arm", control="a")


def test_nothing_left_says_what_was_lost():
    rows = read_rows(FRAME.assign(hours=np.nan), numbers=["hours"], arm="arm", control="a")
    with pytest.raises(DataError, match="no complete row") as error:
        rows.complete(["hours"])
    assert "5 without hours" in error.value.advice
