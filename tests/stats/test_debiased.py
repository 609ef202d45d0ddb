"""The debiased ratio, its moments' set and weights: laws, units, and what has no answer."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.stats.combining.debiased import (
    debiased_ratio,
    moment_set,
    steady_weights,
    strength,
    typical_move,
    without_each,
)
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.student import quantile


def effects_of(x, y, *, xx=1.0, xy=0.0, yy=1.0, df=math.inf):
    k = len(x)
    full = [np.broadcast_to(np.asarray(each, dtype=float), (k,)).copy() for each in (x, y, xx, xy, yy, df)]
    ones = np.ones(k)
    return Effects(**dict(zip(("x", "y", "xx", "xy", "yy", "df"), full, strict=True)), sign=ones, move=ones)


def drawn(seed, k=12, *, size=4.0, theta=0.5, rho=0.5, unequal=False):
    rng = np.random.default_rng(seed)
    s, t = (np.exp(rng.normal(0, 0.5, k)) if unequal else np.ones(k) for _ in range(2))
    move = size * rng.normal(size=k)
    e = rng.normal(size=k)
    f = rho * e + math.sqrt(1 - rho**2) * rng.normal(size=k)
    return effects_of(move + s * e, theta * move + t * f, xx=s**2, xy=rho * s * t, yy=t**2)


def test_without_noise_it_is_the_slope_through_the_origin():
    x = np.array([1.0, -2.0, 3.0])
    found = debiased_ratio(effects_of(x, 0.5 * x, xx=0.0, yy=1.0))
    assert found.value == pytest.approx(0.5)
    assert found.std_error == pytest.approx(0.0, abs=1e-15)
    assert math.isinf(found.strength)


def test_expected_noise_is_subtracted_term_by_term():
    e = effects_of([3.0, 4.0, 5.0], [1.0, 2.0, 3.0], xy=0.5)
    assert debiased_ratio(e).value == pytest.approx((3 + 8 + 15 - 1.5) / (9 + 16 + 25 - 3))


def test_more_moves_than_noise_are_needed_for_a_value():
    found = debiased_ratio(effects_of([0.5, -0.5, 0.2], [1.0, 1.0, 1.0]))
    assert math.isnan(found.value)
    assert (found.std_error, found.sandwich_error) == (math.inf, math.inf)
    assert not found.printable
    assert found.strength < 0


def test_one_experiment_that_carries_all_moves_has_no_error():
    found = debiased_ratio(effects_of([9.0, 0.3, 0.2], [4.0, 0.1, 0.3]))
    assert math.isfinite(found.value)
    assert math.isinf(found.std_error)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(seed=st.integers(0, 10**6), a=st.sampled_from([-3.0, 0.01, 1e4]), b=st.sampled_from([-1.0, 1e-5, 700.0]))
def test_other_units_change_nothing_but_the_unit(seed, a, b):
    e = drawn(seed, unequal=True)
    other = effects_of(a * e.x, b * e.y, xx=a * a * e.xx, xy=a * b * e.xy, yy=b * b * e.yy)
    one, two = debiased_ratio(e), debiased_ratio(other)
    assert two.value == pytest.approx(one.value * b / a, rel=1e-8, nan_ok=True)
    assert two.std_error == pytest.approx(one.std_error * abs(b / a), rel=1e-7)
    assert two.strength == pytest.approx(one.strength, rel=1e-9)
    ends = [end * b / a for piece in moment_set(e) for end in piece]
    assert sorted(end for piece in moment_set(other) for end in piece) == pytest.approx(sorted(ends), rel=1e-6)


def test_experiments_measured_alike_get_weights_by_the_kpi_alone():
    e = effects_of([3.0, 4.0, 5.0], [1.0, 2.0, 3.0], yy=[1.0, 2.0, 4.0])
    assert steady_weights(e) / steady_weights(e)[0] == pytest.approx([1, 0.5, 0.25])


def test_an_experiment_of_noise_hardly_counts():
    e = effects_of([3.0, 4.0, 5.0, 30.0], [1.5, 2.0, 2.5, -400.0], xx=[0.1, 0.1, 0.1, 1e6])
    assert typical_move(e) == pytest.approx(12.4, rel=0.01)
    assert steady_weights(e)[3] / steady_weights(e)[0] < 2e-5
    assert np.sum((e.x**2 - e.xx) / e.yy) < 0  # weights 1 / yy would leave nothing to divide by
    assert debiased_ratio(e).value == pytest.approx(0.5, abs=0.25)


def test_jackknife_and_sandwich_agree_over_many_experiments():
    found = debiased_ratio(drawn(3, k=2000))
    assert found.std_error == pytest.approx(found.sandwich_error, rel=0.01)
    assert found.df == 1999


def test_strength_of_levers_without_effect_is_about_standard_normal():
    rng = np.random.default_rng(8)
    values = [strength(effects_of(rng.normal(size=200), np.zeros(200))) for _ in range(500)]
    assert np.mean(values) == pytest.approx(0, abs=0.15)
    assert np.std(values) == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_end_of_the_moment_set_is_where_the_t_test_turns(seed, level):
    e = drawn(seed, 40, size=4.0)
    ends = [end for piece in moment_set(e, confidence_level=level) for end in piece if math.isfinite(end)]
    assert len(ends) == 2
    for end in ends:
        w = steady_weights(e)
        g = w * ((e.x * e.y - e.xy) - end * (e.x**2 - e.xx))
        t = g.mean() / (g.std(ddof=1) / math.sqrt(len(g)))
        assert abs(t) == pytest.approx(quantile(0.5 + level / 2, len(g) - 1), rel=1e-7)


def test_interval_is_symmetric_with_the_t_quantile():
    found = debiased_ratio(drawn(5))
    low, high = found.interval(confidence_level=0.9)
    assert (low + high) / 2 == pytest.approx(found.value)
    assert high - found.value == pytest.approx(quantile(0.95, 11) * found.std_error)


def test_without_each_lever_is_the_ratio_of_the_others():
    e = drawn(6, k=6)
    groups = np.array([0, 1, 0, 2, 1, 2])
    found = without_each(e, groups)
    w = steady_weights(e)
    for lever in range(3):
        keep = groups != lever
        top, bottom = (w * (e.x * e.y - e.xy))[keep].sum(), (w * (e.x**2 - e.xx))[keep].sum()
        assert found[lever] == pytest.approx(top / bottom)
    assert np.isnan(without_each(effects_of([9.0, 0.1], [1.0, 1.0]), np.array([0, 1]))[0])
