"""Simulated power of the judging rule: against its closed form, against random numbers, and its searches."""

import math

import numpy as np
import pytest

from cpi_experiments.stats.planning.judging_power import confirm_power, refute_power
from cpi_experiments.stats.planning.planned_judging import (
    LARGEST,
    PlannedTrial,
    expected_set,
    simulated,
    slope_power,
    smallest_effect,
    units_for,
    verdict_power,
)
from cpi_experiments.stats.planning.simulated_judging import Draws, JudgingRule, judge_draws

RULE = JudgingRule(sesoi=0.004, threshold=0.00278, move=3.0)


def planned(**changes):
    values = {"sd_cpi": 0.0, "sd_kpi": 0.4, "correlation": 0.0, "ratio": 1.0, "experiments": 1, "clustered": False}
    return PlannedTrial(**{**values, "rule": RULE, **changes})


@pytest.mark.parametrize("threshold", [0.0083, 0.00278, 0.0006])
@pytest.mark.parametrize("n", [12_000, 30_000, 90_000])
def test_a_known_first_stage_gives_the_closed_form(n, threshold):
    rule = JudgingRule(sesoi=0.004, threshold=threshold, move=3.0)
    error = 0.4 * math.sqrt(4 / n) / 3
    for effect in (0.004, 0.006, 0.008):
        closed = confirm_power(error, effect=effect, sesoi=0.004, threshold=threshold)
        assert verdict_power(planned(rule=rule), n, effect=effect)[0] == pytest.approx(closed, abs=0.002)
    closed = refute_power(error, sesoi=0.004, threshold=threshold)
    assert verdict_power(planned(rule=rule), n, effect=0.0)[1] == pytest.approx(closed, abs=0.002)


@pytest.mark.parametrize("correlation", [-0.6, 0.0, 0.6])
@pytest.mark.parametrize("experiments", [1, 3, 10])
def test_even_draws_give_what_random_numbers_give(correlation, experiments):
    trial = planned(sd_cpi=40.0, correlation=correlation, experiments=experiments)
    n = 30_000 / experiments
    e = np.random.default_rng(5).standard_normal((100_000, 2 * experiments))
    xx, xy, yy = trial.covariance(n)
    first, other = e[:, :experiments], e[:, experiments:]
    y = 0.018 + math.sqrt(yy) * (correlation * first + math.sqrt(1 - correlation**2) * other)
    draws = Draws(x=3 + math.sqrt(xx) * first, y=y, xx=np.array([[xx]]), xy=np.array([[xy]]), yy=np.array([[yy]]))
    found = [float(each.mean()) for each in judge_draws(draws, RULE)]
    assert list(verdict_power(trial, n, effect=0.006)) == pytest.approx(found, abs=0.008)


def test_few_units_draw_their_variances_as_a_wishart_matrix():
    trial = planned(sd_cpi=2.0, correlation=0.7, clustered=True)
    draws = simulated(trial, 22, effect=0.0)
    xx, xy, yy = trial.covariance(22)
    assert draws.df == 20
    assert [draws.xx.mean(), draws.xy.mean(), draws.yy.mean()] == pytest.approx([xx, xy, yy], rel=0.003)
    assert [draws.xx.var(), draws.yy.var()] == pytest.approx([2 * xx**2 / 20, 2 * yy**2 / 20], rel=0.05)
    assert draws.xy.var() == pytest.approx((xx * yy + xy**2) / 20, rel=0.05)
    assert np.all(draws.xy**2 < draws.xx * draws.yy)
    # the t test of the reduced form keeps its size, which known variances would not
    t = draws.y[:, 0] / np.sqrt(draws.yy[:, 0])
    assert np.mean(np.abs(t) > 2.085963) == pytest.approx(0.05, abs=0.004)


def test_degrees_of_freedom_are_those_of_the_analysis():
    assert planned().df(100) == pytest.approx(98)
    assert planned(ratio=3.0).df(100) < 98
    assert planned(clustered=True).df(100) == pytest.approx(98)
    # Welch's with known variances: 1 / (share^2 / (n - 1) + ...) over 25 and 75 clusters
    assert planned(clustered=True, ratio=3.0).df(100) == pytest.approx(1 / (0.75**2 / 24 + 0.25**2 / 74))
    assert math.isinf(planned().df(50_000))
    assert math.isinf(planned(experiments=2).df(100))
    assert (planned().fewest, planned(clustered=True, ratio=3.0).fewest) == (4, 20)


def test_a_lever_that_does_not_move_the_cpi_gives_no_verdict():
    rule = JudgingRule(sesoi=0.004, threshold=0.0083, move=1e-9)
    confirmed, immaterial, harmful = verdict_power(planned(sd_cpi=40.0, rule=rule), 50_000, effect=0.006)
    assert confirmed + immaterial + harmful <= 0.06  # only where the lever seems to move it, one draw in twenty


@pytest.mark.parametrize("start", [1, 4, 79, 80, 81, 5_000])
@pytest.mark.parametrize("edge", [4, 5, 80, 977])
def test_searches_find_the_edge_from_everywhere(start, edge):
    assert units_for(lambda n: float(n >= edge), 0.8, start=start, fewest=4) == edge


def test_a_search_without_an_answer_says_so():
    assert units_for(lambda _: 0.5, 0.8, start=100, fewest=4) == LARGEST
    assert math.isinf(smallest_effect(lambda _: 0.5, 0.8, unit=1.0))
    assert smallest_effect(lambda effect: float(effect >= 0.3), 0.8, unit=1.0) == pytest.approx(0.3)


def test_slope_power_is_the_power_of_the_anderson_rubin_test():
    trial = planned(sd_cpi=40.0, correlation=0.4)
    xx, xy, yy = trial.covariance(30_000)
    e = np.random.default_rng(2).multivariate_normal([3.0, 0.018], [[xx, xy], [xy, yy]], size=200_000)
    shares = []
    for t in (0.002, 0.010):
        u = e[:, 1] - t * e[:, 0]
        shares.append(np.mean(u**2 > 1.959964**2 * (yy - 2 * t * xy + t**2 * xx)))
    assert slope_power(trial, 30_000, effect=0.006, distance=0.004) == pytest.approx(min(shares), abs=0.004)
    low, high = expected_set(trial, 30_000, effect=0.006)[0]
    assert low < 0.006 < high
    assert slope_power(trial, 30_000, effect=0.006, distance=0.0) == pytest.approx(0.05, abs=1e-6)
