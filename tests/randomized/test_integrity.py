"""Sample ratio and units in several arms: thresholds and words."""

import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.randomized.integrity.sample_ratio import sample_ratio, several_arms


@pytest.mark.parametrize(
    ("counts", "plan", "passed", "blocks"),
    [
        ({"a": 500_300, "b": 499_700}, {"a": 1, "b": 1}, True, False),
        ({"a": 510_000, "b": 490_000}, {"a": 1, "b": 1}, False, True),
        ({"a": 44_700, "b": 45_489}, {"a": 1, "b": 1}, False, False),
        ({"a": 1_900, "b": 100}, {"a": 19, "b": 1}, True, False),
        ({"a": 1_900, "b": 100}, {"a": 1, "b": 19}, False, True),
        ({"a": 1_900}, {"a": 1, "b": 1}, False, True),
        ({"a": 500, "b": 500, "c": 600}, {"a": 0.34, "b": 0.33, "c": 0.33}, False, False),
    ],
)
def test_sizes_are_judged_against_the_plan(counts: dict, plan: dict, *, passed: bool, blocks: bool) -> None:
    found = sample_ratio(counts, plan)
    assert (found.passed, found.blocks) == (passed, blocks)
    assert bool(found.advice) != passed
    assert all(arm in found.null for arm in plan)


def test_nothing_counted_is_refused() -> None:
    with pytest.raises(DataError, match="no clusters are left to count"):
        sample_ratio({}, {"a": 1, "b": 1}, units="clusters")


@pytest.mark.parametrize(
    ("several", "units", "passed", "blocks"),
    [
        (0, 1000, True, False),
        (2, 1000, False, False),
        (10, 1000, False, False),
        (11, 1000, False, True),
        (0, 0, True, False),
    ],
)
def test_units_in_several_arms_block_above_one_percent(several: int, units: int, *, passed: bool, blocks: bool) -> None:
    found = several_arms(several, units)
    assert (found.passed, found.blocks) == (passed, blocks)
    assert bool(found.advice) != passed
