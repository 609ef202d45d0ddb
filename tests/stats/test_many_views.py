"""Views beside the answer: each against its definition, and where there is none."""

import math

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.combining.many_views import (
    across_halves,
    noise_correlation,
    prediction,
    range_without_each,
    weighted_median,
)
from cpi_experiments.stats.combining.naive_slopes import naive_slopes
from cpi_experiments.stats.combining.several_causes import several_causes
from cpi_experiments.stats.student import quantile


def effects_of(x, y, *, xx=1.0, xy=0.0, yy=1.0):
    k = len(x)
    full = [np.broadcast_to(np.asarray(each, dtype=float), (k,)).copy() for each in (x, y, xx, xy, yy)]
    ones = np.ones(k)
    return Effects(
        **dict(zip(("x", "y", "xx", "xy", "yy"), full, strict=True)), df=math.inf * ones, sign=ones, move=ones
    )


def test_weighted_median_is_not_moved_by_outliers():
    x = np.array([4.0, 5.0, 6.0, 5.0, 4.0])
    y = 0.5 * x
    y[4] = 90.0
    assert weighted_median(effects_of(x, y)) == pytest.approx(0.5)
    assert weighted_median(effects_of([1.0, 1.0], [1.0, 2.0])) == pytest.approx(1.5)
    assert math.isnan(weighted_median(effects_of([0.0], [1.0])))


def test_noise_correlation_is_the_mean_over_experiments():
    assert noise_correlation(effects_of([1, 2], [1, 2], xx=[4, 1], yy=[1, 1], xy=[1.0, 0.9])) == pytest.approx(0.7)
    assert noise_correlation(effects_of([1], [1], xx=0.0)) == 0.0


def test_range_without_each_lever_needs_two_levers():
    e = effects_of([5.0, 6.0, 7.0, 8.0], [2.5, 3.0, 3.5, 8.0], xx=0.01)
    low, high = range_without_each(e, np.array([0, 0, 1, 2]))
    assert low == pytest.approx(0.5, abs=0.01)
    assert high > 0.7
    assert np.isnan(range_without_each(e, np.zeros(4, dtype=int))).all()
    assert np.isnan(range_without_each(effects_of([9.0, 0.1], [1.0, 1.0]), np.array([0, 1]))).all()


@pytest.mark.parametrize(("x", "k"), [(5.0, 8), (20.0, 2)])
def test_prediction_needs_strong_moves_and_three_experiments(x, k):
    assert prediction(effects_of(np.full(k, x), np.ones(k))) is None


def test_prediction_interval_holds_a_new_lever_as_often_as_it_says():
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(1500):
        theta = 0.5 + 0.3 * rng.normal(size=11)
        x = 20 + rng.normal(size=10)
        found = prediction(effects_of(x, theta[:10] * 20 + rng.normal(size=10)))
        hits += found.low <= theta[10] <= found.high
    assert 0.93 <= hits / 1500 <= 0.97


def test_halves_need_no_covariance():
    """Noise of the two effects correlated .9 within a half; nothing in common across halves."""
    rng = np.random.default_rng(5)
    values, hits = [], 0
    for _ in range(800):
        move = 1.5 * rng.normal(size=40)
        noise = rng.multivariate_normal([0, 0], [[2, 1.8], [1.8, 2]], size=(2, 40))
        value, error = across_halves(move + noise[..., 0], 0.3 * move + noise[..., 1], weights=np.ones(40))
        values.append(value)
        hits += not abs(value - 0.3) > quantile(0.975, 39) * error
    assert np.nanmedian(values) == pytest.approx(0.3, abs=0.03)
    assert 0.92 <= hits / 800 <= 0.985


def test_halves_without_a_move_have_no_ratio():
    assert across_halves(np.array([[1.0, -1, 1], [-1, 1, -1]]), np.ones((2, 3)), weights=np.ones(3))[1] == math.inf
    with pytest.raises(EstimationError, match="2 experiments"):
        across_halves(np.ones((2, 2)), np.ones((2, 2)), weights=np.ones(2))


def test_naive_slopes_are_their_formulas():
    e = effects_of([1.0, -3.0, 4.0, 0.5], [1.0, -1.0, 3.0, 0.0], yy=[1.0, 2.0, 1.0, 4.0])
    found, w = naive_slopes(e), 1 / e.yy
    slope, intercept = np.polyfit(e.x, e.y, 1)
    assert (found.scatter, found.scatter_intercept) == pytest.approx((slope, intercept))
    assert found.weighted == pytest.approx(np.sum(w * e.x * e.y) / np.sum(w * e.x**2))
    assert found.egger == pytest.approx(np.polyfit(np.abs(e.x), np.sign(e.x) * e.y, 1, w=np.sqrt(w))[0])
    keep = np.abs(e.x) > 1.96
    assert found.screened == pytest.approx(np.sum((w * e.x * e.y)[keep]) / np.sum((w * e.x**2)[keep]))
    few = naive_slopes(effects_of([1.0, 1.5], [1.0, 1.0]))
    assert math.isnan(few.scatter)
    assert math.isnan(few.screened)


def test_several_causes_are_one_cause_where_there_is_one():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(9, 1)) * 5
    found = several_causes(x, 0.4 * x[:, 0], xx=np.full((9, 1, 1), 0.5), xy=np.full((9, 1), 0.1), yy=np.ones(9))
    top, bottom = np.sum(0.4 * x[:, 0] ** 2 - 0.1), np.sum(x[:, 0] ** 2 - 0.5)
    assert found.values[0] == pytest.approx(top / bottom)
    assert found.strength == pytest.approx(np.sum(x**2 / 0.5 - 1) / math.sqrt(18))
    assert found.covariance[0, 0] == pytest.approx(found.std_errors[0] ** 2)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_causes_moved_in_one_proportion_cannot_be_told_apart(noise):
    rng = np.random.default_rng(7)
    one = rng.normal(size=12) * 5
    x = np.column_stack([one, 2 * one + noise * rng.normal(size=12)])
    found = several_causes(x, one, xx=np.tile(np.eye(2), (12, 1, 1)), xy=np.zeros((12, 2)), yy=np.ones(12))
    assert not found.informative
    assert found.strength < 4


def test_causes_without_noise_and_too_few_experiments():
    x = np.array([[1.0, 0], [0, 1], [1, 1], [2, 1], [1, 2], [3, 1], [1, 3], [2, 2]])
    found = several_causes(x, x @ [0.5, -0.2], xx=np.zeros((8, 2, 2)), xy=np.zeros((8, 2)), yy=np.ones(8))
    assert found.values == pytest.approx([0.5, -0.2])
    assert math.isinf(found.strength)
    with pytest.raises(EstimationError, match="6 experiments are too few for 2 CPIs"):
        several_causes(x[:6], x[:6, 0], xx=np.zeros((6, 2, 2)), xy=np.zeros((6, 2)), yy=np.ones(6))
