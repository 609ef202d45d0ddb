"""Boundaries for planned looks: closed forms, independent integration, and what is refused."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.sequential.group_sequential import (
    boundaries,
    bounds_that_spend,
    crossing_probability,
    exits,
    spent,
)
from cpi_experiments.stats.sequential.stopped_trial import stopped


def test_one_look_is_the_ordinary_test():
    assert boundaries([1.0]) == pytest.approx([special.ndtri(0.975)], abs=1e-10)
    assert boundaries([1.0], two_sided=False) == pytest.approx([special.ndtri(0.95)], abs=1e-10)


def test_two_looks_agree_with_the_bivariate_normal():
    t = [0.37, 1.0]
    upper, drift = boundaries(t, spending="pocock"), 1.7
    mean, cov = drift * np.sqrt(t), np.array([[1, math.sqrt(t[0])], [math.sqrt(t[0]), 1]])
    inside = stats.multivariate_normal(mean, cov).cdf(upper, lower_limit=-upper)
    assert crossing_probability(t, upper, drift=drift).sum() == pytest.approx(1 - inside, abs=1e-9)


def test_third_bound_agrees_with_direct_integration():
    t = np.array([0.2, 0.5, 0.9])
    b = boundaries(t) * np.sqrt(t)

    def inner(x):
        weight = stats.norm.pdf(x, scale=math.sqrt(t[0]))
        step, last = math.sqrt(t[1] - t[0]), math.sqrt(t[2] - t[1])
        found = integrate.quad(
            lambda y: stats.norm.pdf((y - x) / step) / step * special.ndtr((y - b[2]) / last), -b[1], b[1], epsabs=1e-12
        )
        return weight * found[0]

    upper = integrate.quad(inner, -b[0], b[0], epsabs=1e-11)[0]
    total = spent(t)
    assert 2 * upper == pytest.approx(total[2] - total[1], rel=1e-7)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock", "power"])
@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("times", [[0.1, 0.15, 0.7, 1.0], list(np.arange(1, 51) / 50), [0.5, 1.3]])
def test_all_alpha_is_spent_as_planned(spending, two_sided, times):
    upper = boundaries(times, spending=spending, two_sided=two_sided)
    found = crossing_probability(times, upper, two_sided=two_sided)
    assert np.cumsum(found) == pytest.approx(spent(times, spending=spending, two_sided=two_sided), abs=1e-12)
    assert found.sum() == pytest.approx(0.05, abs=1e-12)


def test_five_hundred_looks_keep_alpha_and_the_reflection_bound():
    t = np.arange(1, 501) / 500
    constant = crossing_probability(t, 2.241 / np.sqrt(t)).sum()
    assert 0.045 < constant < 0.0500  # continuous looks cross 2.241 / sqrt(t) with chance .05, fewer ones less
    assert crossing_probability(t, boundaries(t)).sum() == pytest.approx(0.05, abs=1e-10)


def test_looks_beyond_the_plan_spend_what_is_left_and_then_nothing():
    assert boundaries([0.5, 1.2])[-1] > boundaries([0.5, 1.0])[-1] - 0.05
    late = boundaries([0.5, 1.0, 1.2])
    assert late[:2] == pytest.approx(boundaries([0.5, 1.0]))
    assert math.isinf(late[2])
    early = boundaries([0.5, 0.8], final=True)
    assert crossing_probability([0.5, 0.8], early).sum() == pytest.approx(0.05, abs=1e-12)


def test_tiny_first_looks_have_no_boundary_rather_than_a_wrong_one():
    t = np.arange(1, 201) / 200
    upper = boundaries(t)
    assert math.isinf(upper[0])
    assert np.all(np.diff(upper[np.isfinite(upper)]) < 0)


def test_power_grows_with_the_drift_and_looks_cost_some_of_it():
    t = [0.3, 0.6, 1.0]
    upper = boundaries(t)
    once = special.ndtri(0.975) + special.ndtri(0.8)
    powers = [crossing_probability(t, upper, drift=drift).sum() for drift in (0.0, 1.0, once, 4.0)]
    assert np.all(np.diff(powers) > 0)
    assert powers[0] == pytest.approx(0.05, abs=1e-9)
    assert 0.78 < powers[2] < 0.8


def test_exits_of_a_closed_region_are_certain():
    found = exits([0.5, 1.0], [-1.0, 0.5], [1.5, 0.5], drift=0.4)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)


def test_spent_alpha_may_be_given_directly():
    assert bounds_that_spend([0.5, 1.0], np.array([0.0, 0.05])) == pytest.approx([math.inf, special.ndtri(0.975)])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: boundaries([0.5, 0.4]), "does not follow"),
        (lambda: boundaries([0.0, 1.0]), "above zero"),
        (lambda: boundaries([]), "above zero"),
        (lambda: boundaries([0.5, 0.50001]), "does not follow"),
        (lambda: boundaries([1.0], alpha=0), "alpha 0"),
        (lambda: boundaries([1.0], spending="bonferroni"), "not known"),
        (lambda: boundaries([1.0], spending="power", rho=0), "rho"),
        (lambda: bounds_that_spend([0.5, 1.0], np.array([0.05, 0.01])), "must not fall"),
        (lambda: exits([1.0], [1.0], [0.0], drift=0.0), "lower"),
        (lambda: stopped([0.5], [2.0, 2.0], z=1.0, std_error=1.0), "one bound"),
    ],
)
def test_plans_that_are_none_are_refused(call, words):
    with pytest.raises(DesignError, match=words):
        call()


# -- after the stop --------------------------------------------------------------------------------------------------


def test_one_look_gives_the_ordinary_interval():
    end = stopped([1.0], [1.96], z=2.5, std_error=0.4)
    assert end.estimate == pytest.approx(1.0, abs=1e-8)
    assert (end.low, end.high) == pytest.approx((1 - 1.959964 * 0.4, 1 + 1.959964 * 0.4), abs=1e-6)
    assert end.p_value == pytest.approx(2 * special.ndtr(-2.5), rel=1e-8)


def test_at_the_last_boundary_the_p_value_is_alpha_and_zero_is_an_end():
    t = [0.25, 0.5, 0.75, 1.0]
    upper = boundaries(t)
    end = stopped(t, upper, z=upper[-1], std_error=1.0)
    assert end.p_value == pytest.approx(0.05, abs=1e-9)
    assert end.low == pytest.approx(0.0, abs=1e-6)


def test_stopping_early_is_drawn_towards_zero():
    t = [0.25]
    upper = boundaries([0.25, 1.0])[:1]
    naive, end = 4.6 * 0.5, stopped([0.25, 0.5], [upper[0], 3.0], z=3.2, std_error=0.5)
    assert end.estimate < 3.2 * 0.5 < naive
    assert stopped(t, upper, z=4.6, std_error=0.5).p_value == pytest.approx(2 * special.ndtr(-4.6), rel=1e-6)
    below = stopped([0.25, 0.5], [upper[0], 3.0], z=-3.2, std_error=0.5)
    assert (below.low, below.high) == pytest.approx((-end.high, -end.low), abs=1e-6)


def test_intervals_after_planned_looks_cover():
    rng = np.random.default_rng(11)
    t = np.array([0.3, 0.6, 1.0])
    upper, drift, trials = boundaries(t, spending="pocock"), 2.0, 3_000
    steps = rng.normal(size=(trials, 3)) * np.sqrt(np.diff(t, prepend=0)) + drift * np.diff(t, prepend=0)
    z = np.cumsum(steps, axis=1) / np.sqrt(t)
    crossed = np.abs(z) >= upper
    stop = np.where(crossed.any(axis=1), crossed.argmax(axis=1), 2)
    # covered if and only if the chance of this or stronger, at the true drift, is within the middle 95 %
    tails = np.empty(trials)
    for k in range(3):
        at = np.flatnonzero(stop == k)
        grid = np.linspace(-6, 9, 301)
        tail = []
        for value in grid:
            low, high = np.append(-upper[:k], value), np.append(upper[:k], value)
            tail.append(exits(t[: k + 1], low, high, drift=drift)[:, 1].sum())
        tails[at] = np.interp(z[at, k], grid, tail)
    covered = np.mean((tails > 0.025) & (tails < 0.975))
    assert 0.93 < covered < 0.97
    row = int(np.flatnonzero(stop == 1)[0])
    end = stopped(t[:2], upper[:2], z=z[row, 1], std_error=1 / math.sqrt(t[1]))
    assert (end.low < drift < end.high) == (0.025 < tails[row] < 0.975)
    assert np.mean(tails < 0.5) == pytest.approx(0.5, abs=0.04)  # median-unbiased
