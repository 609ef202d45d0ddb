"""The line with an intercept: what it finds, whom it leaves out, and when it is not informative."""

import math

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.combining.egger import egger
from cpi_experiments.stats.student import quantile


def effects_of(x, y, *, xx=0.01, xy=0.0, yy=0.01):
    k = len(x)
    full = [np.broadcast_to(np.asarray(each, dtype=float), (k,)).copy() for each in (x, y, xx, xy, yy)]
    ones = np.ones(k)
    return Effects(
        **dict(zip(("x", "y", "xx", "xy", "yy"), full, strict=True)), df=math.inf * ones, sign=ones, move=ones
    )


X = np.array([1.0, 2.0, 3.0, 5.0, 8.0])


def test_shared_direct_effect_is_the_intercept_in_the_declared_orientation():
    turn = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    found = egger(effects_of(turn * X, turn * (0.5 * X + 2), xx=1e-12), turn)
    assert (found.value, found.intercept) == pytest.approx((0.5, 2.0))
    assert found.informative
    assert abs(found.intercept_t) > 100
    assert found.intercept_p < 0.001


def test_centring_leaves_a_known_share_of_the_noise():
    """By hand: equal weights, so f = 1 - 1/K; sums of centred products less f times the covariances."""
    e = effects_of(X, [1.0, 1.0, 2.0, 2.0, 5.0], xx=0.3, xy=0.1)
    centred = X - X.mean()
    top = np.sum(centred * (e.y - e.y.mean())) - 5 * 0.8 * 0.1
    bottom = np.sum(centred**2) - 5 * 0.8 * 0.3
    found = egger(e, np.ones(5))
    assert found.value == pytest.approx(top / bottom)
    assert found.intercept == pytest.approx(e.y.mean() - found.value * X.mean())
    assert found.strength == pytest.approx(np.sum(centred**2 / (0.8 * 0.3) - 1) / math.sqrt(10))


def test_error_is_the_jackknife_over_experiments():
    e = effects_of(X, [1.0, 1.0, 2.0, 2.0, 5.0])
    found = egger(e, np.ones(5))
    values = []
    for left in range(5):
        x, y = np.delete(e.x, left), np.delete(e.y, left)
        top = np.sum((x - x.mean()) * (y - y.mean()))
        values.append(top / (np.sum((x - x.mean()) ** 2) - 4 * 0.75 * 0.01))
    assert found.std_error == pytest.approx(math.sqrt(0.8 * np.sum((np.array(values) - found.value) ** 2)))
    low, high = found.interval()
    assert high - low == pytest.approx(2 * quantile(0.975, 3) * found.std_error)
    assert found.df == 3


def test_levers_in_doubt_are_left_out_and_counted():
    full = egger(effects_of(X, 0.5 * X + [0.1, 0.0, -0.1, 0.1, 0.0]), np.ones(5))
    more = effects_of([*X, 40.0], [*(0.5 * X + [0.1, 0.0, -0.1, 0.1, 0.0]), -99.0])
    found = egger(more, np.array([1.0, 1, 1, 1, 1, 0]))
    assert found.value == pytest.approx(full.value)
    assert (found.used, found.dropped) == (5, 1)


@pytest.mark.parametrize(("x", "informative"), [([3.0, 3.1, 2.9, 3.05, 3.0], False), ([1.0, 2, 3, 5, 8], True)])
def test_levers_of_one_strength_are_not_informative(x, informative):
    found = egger(effects_of(x, [1.0, 1.2, 1.1, 0.9, 1.4]), np.ones(5))
    assert found.informative == informative
    assert math.isnan(found.intercept_p) != informative


def test_nothing_beyond_noise_has_no_line():
    found = egger(effects_of([3.0, 3.1, 2.9, 3.0], [1.0, 1.2, 0.9, 1.1], xx=4.0), np.ones(4))
    assert math.isnan(found.value)
    assert math.isinf(found.std_error)
    assert found.intercept_t == 0.0
    assert not found.informative


@pytest.mark.parametrize(
    ("orientation", "words"),
    [([1, 1, 0.5, 1, 1], "neither"), ([1, 1, 1, 0, 0], "3 of 5 experiments"), ([0, 0, 0, 0, 0], "0 of 5")],
)
def test_orientations_that_cannot_be_used_are_refused(orientation, words):
    with pytest.raises(EstimationError, match=words):
        egger(effects_of(X, X), np.array(orientation, dtype=float))
