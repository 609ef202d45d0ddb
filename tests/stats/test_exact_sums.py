"""Whole numbers add up without rounding; groups get codes whatever their labels are."""

import datetime as dt

import numpy as np
import pytest

from cpi_experiments.stats.exact_sums import EXACT, add_by_group, as_floats, codes_of, compact, exact_objects

BIG = 2**53 + 1  # no double holds it


@pytest.mark.parametrize(
    ("labels", "codes", "distinct"),
    [
        (np.array(["b", "a", "b"]), [1, 0, 1], ["a", "b"]),
        (np.array(["b", None, "a"], dtype=object), [1, 2, 0], ["a", "b", None]),
        (np.array([3.0, np.nan, 1.0, np.nan]), [1, 2, 0, 2], [1.0, 3.0, None]),
        (np.array([2, 1, 2]), [1, 0, 1], [1, 2]),
        (np.array([True, False]), [1, 0], [False, True]),
        (np.array([2, "b", 1.0, None, float("nan")], dtype=object), [1, 2, 0, 3, 3], [1.0, 2, "b", None]),
        (np.array([dt.date(2026, 2, 1), dt.date(2026, 1, 1)], dtype=object), [1, 0], None),
        (np.array([], dtype=object), [], []),
        (np.array([], dtype=float), [], []),
    ],
)
def test_equal_labels_share_a_code_and_missing_ones_come_last(labels, codes, distinct):
    found, names = codes_of(labels)
    assert found.tolist() == codes
    assert distinct is None or names == distinct


def test_times_have_codes_in_their_order_and_a_missing_time_is_last():
    times = np.array(["2026-02-01", "NaT", "2026-01-01"], dtype="datetime64[us]")
    found, names = codes_of(times)
    assert found.tolist() == [1, 2, 0]
    assert names[-1] is None
    assert len(names) == 3


def test_sums_beyond_the_doubles_stay_exact():
    values = np.array([[float(2**53)], [1.0], [1.0], [5.0]])
    _, sums, _ = add_by_group(np.ones(4, int), values, np.zeros((4, 0)), np.array([0, 0, 0, 1]), 2)
    assert sums[0, 0] == 2**53 + 2
    assert sums[1, 0] == 5
    odd = np.array([[float(2**53)], [1.0]])
    _, sums, _ = add_by_group(np.ones(2, int), odd, np.zeros((2, 0)), np.zeros(2, int), 1)
    assert int(sums[0, 0]) == BIG


def test_sums_that_leave_the_doubles_on_the_way_and_come_back_stay_exact():
    values = np.array([float(2**53 - 1)] * 2 + [2.0, 1.0 - 2**53, 1.0 - 2**53])[:, None]
    _, sums, _ = add_by_group(np.ones(5, int), values, np.zeros((5, 0)), np.zeros(5, int), 1)
    assert sums[0, 0] == 2


def test_real_numbers_add_up_as_doubles():
    values = np.array([[0.1], [0.2], [1e300]])
    n, sums, products = add_by_group(np.array([1, 2, 3]), values, values**0, np.array([0, 0, 1]), 2)
    assert n.tolist() == [3, 3]
    assert sums.dtype == np.float64
    assert sums.ravel().tolist() == [0.1 + 0.2, 1e300]
    assert products.ravel().tolist() == [2, 1]


def test_a_large_real_column_beside_a_large_whole_one_keeps_both():
    values = np.array([[BIG, 0.5], [1, 0.25]], dtype=object)
    _, sums, none = add_by_group(np.ones(2, int), values, np.zeros((2, 0)), np.zeros(2, int), 1)
    assert sums[0, 0] == BIG + 1
    assert sums[0, 1] == 0.75
    assert none.shape == (1, 0)


def test_missing_values_stay_missing():
    values = np.array([[np.nan], [1.0]])
    _, sums, _ = add_by_group(np.ones(2, int), values, values, np.array([0, 1]), 2)
    assert np.isnan(sums[0, 0])
    assert sums[1, 0] == 1


def test_compact_gives_doubles_unless_they_would_round():
    assert compact(np.array([[1, 2.5]], dtype=object)).dtype == np.float64
    assert compact(np.array([[BIG, 2.5]], dtype=object))[0, 0] == BIG
    assert compact(np.array([[1e300, 2.5]], dtype=object)).dtype == np.float64
    assert compact(np.zeros((0, 2), dtype=object)).shape == (0, 2)


def test_whole_doubles_turn_into_python_integers_and_back():
    objects = exact_objects(np.array([[EXACT, 0.5]]))
    assert isinstance(objects[0, 0], int)
    assert objects[0, 1] == 0.5
    assert as_floats(objects).tolist() == [[EXACT, 0.5]]
    floats = np.array([1.0])
    assert as_floats(floats) is floats
