"""Switchback schedules: no gap, no overlap, balanced over hours and weekdays, the same from the same salt."""

from datetime import datetime, timedelta
from itertools import pairwise

import pandas as pd
import pytest

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.randomized.assigning.switchback import schedule_switchback
from cpi_experiments.randomized.experiment import Experiment

HOUR = timedelta(hours=1)


def plan(**changes):
    values = {
        "id": "demo", "lever": "l", "control": "c", "allocation": {"c": 1, "t": 1}, "hypotheses": (),
        "randomize": "region", "start": "2026-01-05", "end": "2026-02-01",
    }  # fmt: skip
    return Experiment(**{**values, **changes})


def schedule(experiment=None, regions=("north", "south", "west"), **changes):
    given = {"block": 2 * HOUR, "washout": HOUR / 2, **changes}
    return schedule_switchback(experiment or plan(), list(regions), **given)


@pytest.mark.parametrize("block", [HOUR, 3 * HOUR, 12 * HOUR, timedelta(days=1), timedelta(days=2)])
def test_periods_cover_the_trial_without_gap_or_overlap(block):
    found = schedule(block=block)
    for region in ("north", "south", "west"):
        own = [p for p in found.periods if p.unit == region]
        assert own[0].start == datetime(2026, 1, 5)  # noqa: DTZ001 - the region's wall clock
        assert own[-1].end == datetime(2026, 2, 2)  # noqa: DTZ001
        assert all(a.end == b.start for a, b in pairwise(own))
        assert all(p.end - p.start == block for p in own)
        assert all(p.use_from - p.start == HOUR / 2 for p in own)


@pytest.mark.parametrize("allocation", [{"c": 1, "t": 1}, {"c": 2, "t": 1}, {"c": 1, "a": 1, "b": 1, "d": 1}])
def test_arms_are_balanced_within_days_and_hours_of_the_week(allocation):
    """Twelve weeks hold whole squares for decks of 2, 3 and 4: every margin is exact."""
    found = schedule(plan(allocation=allocation, end="2026-03-29")).to_frame()
    share = {arm: weight / sum(allocation.values()) for arm, weight in allocation.items()}
    found["day"], found["weekday"], found["hour"] = (
        found.start.dt.date,
        found.start.dt.strftime("%a"),
        found.start.dt.hour,
    )
    for by in (["unit", "day"], ["unit", "hour"], ["unit", "weekday"], ["unit", "weekday", "hour"]):
        counts = pd.crosstab([found[column] for column in by], found["arm"], normalize="index")
        for arm, planned in share.items():
            assert counts[arm].to_numpy() == pytest.approx(planned, abs=1e-12), (by, arm)


def test_incomplete_weeks_are_off_by_at_most_one():
    found = schedule(plan(end="2026-01-18"), block=8 * HOUR).to_frame()
    by_day = pd.crosstab([found.unit, found.start.dt.date], found.arm)
    assert (by_day["c"] - by_day["t"]).abs().max() <= 1
    by_hour = pd.crosstab([found.unit, found.start.dt.hour], found.arm)
    assert (by_hour["c"] - by_hour["t"]).abs().max() == 0


def test_ten_days_leave_a_rest_that_is_still_dealt_in_turn():
    found = schedule(plan(end="2026-01-14"), block=6 * HOUR).to_frame()
    by_hour = pd.crosstab([found.unit, found.start.dt.hour], found.arm)
    assert (by_hour["c"] - by_hour["t"]).abs().max() <= 1


def test_the_schedule_depends_on_salt_and_region_alone():
    one = schedule()
    assert schedule(regions=["west", "north", "south", "north"]).to_frame().sort_values(
        ["unit", "start"]
    ).arm.tolist() == (one.to_frame().sort_values(["unit", "start"]).arm.tolist())
    assert schedule(salt="other").to_frame().arm.tolist() != one.to_frame().arm.tolist()
    arms = {r: [p.arm for p in one.periods if p.unit == r] for r in ("north", "south")}
    assert arms["north"] != arms["south"]
    table = pd.DataFrame({"region": ["north", "south", "west"]})
    assert schedule_switchback(plan(), table, unit="region", block=2 * HOUR, washout=HOUR / 2) == one


def test_every_arm_has_its_chance_in_every_slot():
    """400 salts: the arm of one period is a fair coin, and so is a change from the one before across squares."""
    treated = sum(schedule(regions=["n"], salt=str(j), block=6 * HOUR).periods[5].arm == "t" for j in range(400))
    assert abs(treated - 200) < 5 * 10


def test_schedules_say_what_is_left_out():
    found = schedule()
    assert (
        str(found)
        .replace("\n ", "")
        .startswith(
            "demo: 1,008 periods of 2 h in 3 regions, 2026-01-05 to 2026-02-01; the first 0.5 h of each are not used (25%)"
        )
    )
    assert list(found.to_frame().columns) == ["unit", "start", "end", "arm", "use_from"]
    assert max(map(len, str(found).split("\n"))) <= 80


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": 5 * HOUR}, "blocks of 5 h do not fit days"),
        ({"block": 36 * HOUR}, "blocks of 36 h do not fit days"),
        ({"block": timedelta(0)}, "blocks of 0 h do not fit days"),
        ({"block": timedelta(days=60)}, "one block of 1440 h is longer than all 28 days"),
        ({"washout": 2 * HOUR}, "a washout of 2 h leaves nothing of a block of 2 h"),
        ({"washout": -HOUR}, "a washout of -1 h leaves nothing"),
        ({"block": timedelta(seconds=1), "washout": timedelta(0)}, "periods are too many"),
        ({"experiment": plan(allocation={"c": 0.47, "t": 0.53})}, "is not in small whole numbers"),
        ({"experiment": plan(allocation={"c": 1, "t": 1e-9})}, "is not in small whole numbers"),
        ({"block": timedelta(days=28)}, "each region has 1 periods, and the allocation needs 2"),
    ],
)
def test_schedules_that_cannot_be_are_refused(changes, message):
    with pytest.raises(DesignError, match=message):
        schedule(**changes)


def test_a_schedule_needs_regions():
    with pytest.raises(DataError, match="there is no unit to assign"):
        schedule(regions=[])
