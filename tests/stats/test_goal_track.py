"""Where a level stands against a target: every state once, both directions, and how often noise says behind."""

import math

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.contrast import sample_mean
from cpi_experiments.stats.goal_track import Line, Side, Track, side_of, track

STATES = [
    # level, low, high, target, expected, overdue, state (more is better)
    (0.40, 0.36, 0.44, 0.30, 0.25, False, Track.REACHED),
    (0.40, 0.36, 0.44, 0.30, math.nan, False, Track.REACHED),
    (0.31, 0.27, 0.35, 0.30, 0.25, False, Track.ON_TRACK),
    (0.26, 0.22, 0.30, 0.35, 0.25, False, Track.ON_TRACK),
    (0.24, 0.20, 0.28, 0.35, 0.25, False, Track.AT_RISK),
    (0.20, 0.18, 0.22, 0.35, 0.25, False, Track.BEHIND),
    (0.20, 0.18, 0.22, 0.35, 0.35, True, Track.OVERDUE),
    (0.33, 0.30, 0.36, 0.35, 0.35, True, Track.CANNOT_TELL),
    (0.37, 0.34, 0.40, 0.35, 0.35, True, Track.CANNOT_TELL),
    (0.20, 0.18, 0.22, 0.35, math.nan, False, Track.NO_LINE),
    (0.20, math.nan, math.nan, 0.35, 0.25, False, Track.CANNOT_TELL),
]


@pytest.mark.parametrize("case", STATES)
@pytest.mark.parametrize("sign", [1, -1])
def test_every_state_in_both_directions(case, sign):
    level, low, high, target, expected, overdue, state = case
    ends = sorted((sign * low, sign * high)) if not math.isnan(low) else (low, high)
    found = track(sign * level, *ends, target=sign * target, expected=sign * expected, sign=sign, overdue=overdue)
    assert found is state


def test_noise_alone_says_behind_in_at_most_one_of_forty():
    """An outcome exactly on its line."""
    rng = np.random.default_rng(8)
    states = []
    for _ in range(6000):
        mean = sample_mean(rng.normal(0.5, 1, 40), np.arange(40))
        low, high = mean.ends()
        states.append(track(mean.value, low, high, target=2.0, expected=0.5, sign=1))
    behind = states.count(Track.BEHIND)
    assert stats.binom.ppf(5e-7, 6000, 0.025) <= behind <= stats.binom.isf(5e-7, 6000, 0.025)
    assert states.count(Track.AT_RISK) > 2500  # a rule by the point alone would have called these behind


def test_the_line_is_straight_and_stays_within_its_ends():
    line = Line(baseline=26, value=20, start=100, due=200)
    assert [line.at(day) for day in (50, 100, 150, 200, 900)] == [26, 26, 23, 20, 20]


def test_a_line_needs_time():
    with pytest.raises(EstimationError, match="cannot start"):
        Line(baseline=1, value=2, start=5, due=5).at(5)


@pytest.mark.parametrize(
    ("than", "sign", "side"), [(1, 1, Side.BETTER), (1, -1, Side.WORSE), (9, 1, Side.WORSE), (3, 1, Side.CANNOT_TELL)]
)
def test_sides_need_the_whole_interval(than, sign, side):
    assert side_of(2, 4, than=than, sign=sign) is side


def test_without_an_interval_no_side_is_taken():
    assert side_of(math.nan, math.nan, than=0, sign=1) is Side.CANNOT_TELL
