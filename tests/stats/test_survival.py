"""Survival: Freireich's leukaemia patients, statsmodels, and coverage under censoring."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.survival import kaplan_meier

# Freireich et al. (1963), 6-MP arm: weeks of remission
WEEKS = np.array([6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35], dtype=float)
RELAPSED = np.array([1] * 9 + [0] * 12)


@pytest.mark.parametrize(
    ("week", "share", "low", "high"),
    [
        (6, 0.8571, 0.6197, 0.9516),
        (7, 0.8067, 0.5631, 0.9228),
        (10, 0.7529, 0.5032, 0.8894),
        (13, 0.6902, 0.4316, 0.8491),
        (16, 0.6275, 0.3675, 0.8049),
        (22, 0.5378, 0.2678, 0.7468),
        (23, 0.4482, 0.1881, 0.6801),
    ],
)
def test_remission_equals_the_published_log_log_table(week, share, low, high):
    assert kaplan_meier(WEEKS, RELAPSED).at(week) == pytest.approx((share, low, high), abs=5.1e-5)


def test_curve_equals_statsmodels():
    rng = np.random.default_rng(3)
    times, left = rng.exponential(10, 300).round(1), rng.integers(0, 2, 300)
    ours, other = kaplan_meier(times, left), SurvfuncRight(times, left)
    assert ours.times == pytest.approx(other.surv_times)
    assert ours.survival == pytest.approx(other.surv_prob, abs=1e-12)
    alive = ours.survival > 0
    assert (ours.survival * np.sqrt(np.where(alive, ours.greenwood, 0)))[alive] == pytest.approx(
        other.surv_prob_se[alive], abs=1e-12
    )


def test_counts_stand_for_repeated_rows():
    times, left = np.array([2.0, 5.0, 5.0]), np.array([1, 0, 1])
    counts = np.array([3, 2, 4])
    short, long = (
        kaplan_meier(times, left, counts=counts),
        kaplan_meier(np.repeat(times, counts), np.repeat(left, counts)),
    )
    assert short.survival == pytest.approx(long.survival)
    assert short.at(4.0) == pytest.approx(long.at(4.0))
    assert short.n == long.n == 9


def test_log_log_interval_covers_under_censoring():
    rng = np.random.default_rng(5)
    reps, hits = 1500, 0
    for _ in range(reps):
        life, watched = rng.exponential(10, 90), rng.uniform(2, 25, 90)
        curve = kaplan_meier(np.minimum(life, watched), (life <= watched).astype(float))
        _, low, high = curve.at(8.0)
        hits += low <= math.exp(-0.8) <= high
    low, high = stats.binom.ppf([5e-7, 1 - 5e-7], reps, 0.95) / reps
    assert low <= hits / reps <= high


def test_nobody_left_and_nobody_there_have_one_sided_bounds():
    stay = kaplan_meier(np.full(20, 5.0), np.zeros(20))
    assert stay.at(5.0) == pytest.approx((1.0, 0.025 ** (1 / 20), 1.0))
    gone = kaplan_meier(np.full(20, 5.0), np.ones(20))
    assert gone.at(9.0) == pytest.approx((0.0, 0.0, 1 - 0.025 ** (1 / 20)))


def test_beyond_the_longest_watch_nothing_is_known():
    with pytest.raises(EstimationError, match="nobody was watched for 36; the longest was 35"):
        kaplan_meier(WEEKS, RELAPSED).at(36)


@pytest.mark.parametrize(("times", "left"), [([], []), ([-1.0], [1]), ([1.0], [0.5]), ([np.nan], [1])])
def test_impossible_lives_are_refused(times, left):
    with pytest.raises(EstimationError, match="times from 0"):
        kaplan_meier(np.array(times), np.array(left))
