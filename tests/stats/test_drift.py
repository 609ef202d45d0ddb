"""Ageing of a confirmed link: what counts as fresh, and bounds that are the inverted test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.judging.drift import (
    ageing,
    breach_e_value,
    rolling_lower_bound,
    score_lower_bound,
    stale,
)
from cpi_experiments.stats.judging.link_score import direction_score
from cpi_experiments.stats.sequential.link_process import as_e_values, log_mixture


def mixture(score, information, *, scale):
    """One e-value of the mixture as a plain number."""
    return float(as_e_values(log_mixture(score, information, scale=scale)))


CRITICAL = special.ndtri(0.90)


def effects(y, *, x=1.0, xx=1e-10, xy=0.0, yy=0.0144, df=np.inf, sign=1.0, move=1.0):
    y = np.atleast_1d(np.asarray(y, dtype=float))
    columns = {"x": x, "y": y, "xx": xx, "xy": xy, "yy": yy, "df": df, "sign": sign, "move": move}
    return Effects(**{name: np.broadcast_to(np.asarray(v, dtype=float), y.shape).copy() for name, v in columns.items()})


def weak(seed, k=3, theta=0.0, strength=1.2, rho=0.8):
    rng = np.random.default_rng(seed)
    noise = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=k)
    x = strength + noise[:, 0]
    return effects(theta * strength + noise[:, 1], x=x, xx=1.0, xy=rho, yy=1.0)


def test_a_strong_first_stage_gives_the_plain_bound():
    y = np.array([0.3, 0.5, 0.1])
    assert score_lower_bound(effects(y)) == pytest.approx(y.mean() - CRITICAL * 0.12 / math.sqrt(3), rel=1e-6)
    two = effects(y, x=2.0, move=2.0)
    assert score_lower_bound(two) == pytest.approx((y.mean() - CRITICAL * 0.12 / math.sqrt(3)) / 2, rel=1e-6)


@pytest.mark.parametrize("seed", range(40))
def test_the_bound_is_above_zero_exactly_if_the_score_test_rejects(seed):
    found = weak(seed, theta=(seed % 3) * 0.7)
    score, information = direction_score(found)
    rejects = information > 0 and score > CRITICAL * math.sqrt(information)
    assert (score_lower_bound(found) > 0) == rejects


@pytest.mark.parametrize("seed", range(20))
def test_at_a_finite_bound_the_test_is_on_the_edge(seed):
    found = weak(seed, k=5, theta=0.8, strength=4.0)
    bound = score_lower_bound(found)
    assert math.isfinite(bound)
    weight = np.maximum(found.purged(bound), 0)
    z = np.sum(weight * found.u(bound) / found.v(bound)) / math.sqrt(np.sum(weight**2 / found.v(bound)))
    assert z == pytest.approx(CRITICAL, abs=1e-6)


def test_a_lever_that_says_nothing_gives_no_bound():
    assert score_lower_bound(effects(0.1, x=0.3, xx=1.0)) == -math.inf
    assert score_lower_bound(effects(0.5, x=-1.0, xx=0.01)) == -math.inf  # moved against its declared sign


def test_few_degrees_of_freedom_lower_the_bound():
    assert score_lower_bound(effects([0.4, 0.4], df=4.0)) < score_lower_bound(effects([0.4, 0.4]))


def test_only_the_last_quarters_count():
    y, when = np.array([0.9, 0.9, -0.1, 0.0]), np.array([1, 2, 5, 6])
    for now, mask in ((2, when <= 2), (5, (when == 2) | (when == 5)), (6, when >= 5), (9, when == 6)):
        assert rolling_lower_bound(effects(y), when, now=now) == score_lower_bound(effects(y).only(mask))
    assert rolling_lower_bound(effects(y), when, now=10) == -math.inf
    assert rolling_lower_bound(effects(y), when, now=9, span=2) == -math.inf


@pytest.mark.parametrize(("now", "old"), [(4, False), (7, False), (8, True), (3, True)])
def test_evidence_expires_after_four_quarters(now, old):
    assert stale(np.array([4]), now) is old


def test_the_e_value_is_the_mixture_at_half_the_baselines_bound():
    baseline, fresh = effects([0.3] * 6), effects([0.0, -0.1])
    bound = 0.3 - CRITICAL * 0.12 / math.sqrt(6)
    score = sum((bound / 2 - y) / 0.0144 for y in (0.0, -0.1))
    expected = mixture(score, 2 / 0.0144, scale=bound)
    assert breach_e_value(baseline, fresh, sesoi=0.1) == pytest.approx(expected, rel=1e-6)
    wide = mixture(score, 2 / 0.0144, scale=1.0)
    assert breach_e_value(baseline, fresh, sesoi=1.0) == pytest.approx(wide, rel=1e-6)
    assert breach_e_value(baseline, baseline.only(np.zeros(6, dtype=bool)), sesoi=0.1) == 1.0


def test_a_baseline_that_reaches_zero_is_held_against_zero():
    vague, fresh = effects(0.05), effects([-0.2] * 4)
    expected = mixture(0.8 / 0.0144, 4 / 0.0144, scale=0.1)
    assert breach_e_value(vague, fresh, sesoi=0.1) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("later", "now", "at_risk", "breached", "expired", "since"),
    [
        ([0.3, 0.3], 8, False, False, False, 0),
        ([0.0, 0.0, 0.0, 0.0], 10, True, False, False, 0),
        ([-0.3, -0.3, -0.3, -0.3], 10, True, True, False, 0),
        ([0.3], 10, False, False, False, 3),
        ([0.3], 11, False, False, True, 4),
        ([], 9, False, False, False, 3),
        ([0.3, -5.0], 7, False, False, False, 0),  # what comes after now is not known yet
    ],
)
def test_what_becomes_of_a_confirmed_link(later, now, at_risk, breached, expired, since):
    y = np.r_[[0.3] * 6, later]
    found = ageing(effects(y), np.arange(1, len(y) + 1), now=now, confirmed=6, sesoi=0.1)
    assert (found.at_risk, found.breached, found.expired, found.quarters_since) == (at_risk, breached, expired, since)
    assert found.breached == (found.e_value >= 20)
    assert (found.lower_bound == -math.inf) == expired


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: rolling_lower_bound(e, np.array([1]), now=1), "2 experiments have quarters of shape"),
        (lambda e: rolling_lower_bound(e, np.array([1.0, 2.0]), now=1), "type float64"),
        (
            lambda e: ageing(e, np.array([5, 6]), now=8, confirmed=4, sesoi=1.0),
            "none of 2 experiments is from quarter 4",
        ),
        (
            lambda e: ageing(e, np.array([5, 6]), now=4, confirmed=6, sesoi=1.0),
            "none of 2 experiments is from quarter 4",
        ),
        (lambda e: breach_e_value(e, e, sesoi=0.0), "smallest effect worth acting on is 0.0"),
    ],
)
def test_what_cannot_be_aged_is_refused(call, message):
    with pytest.raises(EstimationError, match=message):
        call(effects([0.3, 0.3]))
