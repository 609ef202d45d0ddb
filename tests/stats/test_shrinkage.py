"""Shrinkage of a portfolio: the posterior is the one that brute force finds, whatever the portfolio looks like."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.judging.shrinkage import FEWEST, shrink, shrink_portfolio

ARRAYS = ("mean", "sd", "low", "high", "chance_zero", "chance_wrong_sign")


def portfolio(seed, links=30, error=1.0):
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random(links) < 0.5, 0.0, 2 * rng.normal(size=links))
    errors = error * rng.uniform(0.5, 1.5, size=links)
    return truth + errors * rng.normal(size=links), errors


def brute_force(y, s, effects):
    """Posterior of every link over a fine grid of shares, spreads and effects; weight of the point at zero beside it."""
    shares = (np.arange(300) + 0.5) / 300
    spreads = np.exp(np.linspace(math.log(0.5), math.log(max(4, 2 * np.max(np.abs(y)))), 300))
    null = stats.norm.pdf(y, 0, s)
    slab = np.array([stats.norm.pdf(y, 0, np.hypot(s, t)) for t in spreads])
    log_like = np.array([np.log(p * null + (1 - p) * slab).sum(axis=1) for p in shares])
    posterior = np.exp(log_like - log_like.max()) * spreads / (1 + spreads**2)
    posterior /= posterior.sum()
    zero = sum(posterior[i] @ (p * null / (p * null + (1 - p) * slab)) for i, p in enumerate(shares))
    first = 0
    weight = sum(posterior[i] * (1 - p) / (p * null[first] + (1 - p) * slab[:, first]) for i, p in enumerate(shares))
    density = stats.norm.pdf(y[first], effects, s[first]) * sum(
        w * stats.norm.pdf(effects, 0, t) for w, t in zip(weight, spreads, strict=True)
    )
    return zero, density


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_posterior_is_what_brute_force_integrates(seed):
    y, s = portfolio(seed)
    found = shrink_portfolio(y, s, sesoi=1.0)
    effects = np.linspace(-14, 14, 14_001)
    zero, density = brute_force(y, s, effects)
    step = effects[1] - effects[0]
    assert found.chance_zero == pytest.approx(zero, abs=2e-3)
    assert float(density.sum() * step) == pytest.approx(1 - zero[0], abs=1e-3)
    assert found.mean[0] == pytest.approx(float((density * effects).sum() * step), abs=5e-3)
    second = float((density * effects**2).sum() * step)
    assert found.sd[0] == pytest.approx(math.sqrt(second - found.mean[0] ** 2), rel=5e-3)
    below = np.cumsum(density) * step + np.where(effects >= 0, zero[0], 0.0)
    for probability, end in ((0.05, found.low[0]), (0.95, found.high[0])):
        assert end == pytest.approx(effects[np.searchsorted(below, probability)], abs=0.02)
    wrong = float(density[effects * np.sign(y[0]) < 0].sum() * step)
    assert found.chance_wrong_sign[0] == pytest.approx(wrong, abs=2e-3)


@pytest.mark.parametrize("links", [1, FEWEST - 1])
def test_a_small_portfolio_has_a_normal_prior_of_one_sesoi(links):
    y, s = portfolio(4, links)
    sesoi = np.linspace(0.5, 2, links)
    found = shrink_portfolio(y, s, sesoi=sesoi)
    assert found.mean == pytest.approx([shrink(*pair, prior_sd=d) for *pair, d in zip(y, s, sesoi, strict=True)])
    assert found.sd == pytest.approx(1 / np.sqrt(1 / sesoi**2 + 1 / s**2))
    assert found.low == pytest.approx(stats.norm.ppf(0.05, found.mean, found.sd), abs=1e-9)
    assert found.high == pytest.approx(stats.norm.ppf(0.95, found.mean, found.sd), abs=1e-9)
    assert found.chance_wrong_sign == pytest.approx(stats.norm.sf(np.abs(found.mean) / found.sd))
    assert not found.chance_zero.any()
    assert found.prior.startswith("normal prior")
    assert f"{links} link" in found.prior


DEGENERATE = {
    "all zero": (np.zeros(25), np.ones(25)),
    "all null": (np.random.default_rng(1).normal(size=25), np.ones(25)),
    "all large": (np.random.default_rng(2).normal(50, 1, size=25), np.ones(25)),
    "ties": (np.full(25, 2.0), np.ones(25)),
    "one outlier": (np.r_[np.zeros(24), 1e6], np.ones(25)),
    "exact estimates": (np.r_[np.zeros(10), np.arange(1.0, 16)], np.zeros(25)),
    "one exact": (np.r_[np.linspace(-2, 2, 24), 3.0], np.r_[np.ones(24), 0.0]),
    "hugely vague": (np.linspace(-1, 1, 25), np.full(25, 1e8)),
    "no estimates": (np.full(25, np.nan), np.full(25, np.inf)),
    "infinite errors": (np.linspace(-5, 5, 45), np.r_[np.ones(25), np.full(20, np.inf)]),
    "mixed scales": (np.linspace(-5, 5, 40), np.geomspace(1e-6, 1e6, 40)),
    "nothing": (np.zeros(0), np.zeros(0)),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_every_portfolio_gives_finite_ordered_posteriors(name):
    y, s = DEGENERATE[name]
    found = shrink_portfolio(y, s, sesoi=1.0)
    assert all(np.all(np.isfinite(getattr(found, array))) for array in ARRAYS)
    assert np.all(found.low <= found.high)
    known = np.where(np.isfinite(y), y, 0.0)
    assert np.all(np.abs(found.mean) <= np.abs(known) * (1 + 1e-9))  # toward zero, never past it
    assert np.all(found.mean * known >= 0)
    chances = found.chance_zero + found.chance_wrong_sign
    assert np.all((found.chance_zero >= 0) & (found.chance_wrong_sign >= -1e-12) & (chances <= 1 + 1e-9))


def test_guard_rails_say_the_plain_thing():
    null = shrink_portfolio(*DEGENERATE["all null"], sesoi=1.0)
    assert np.max(np.abs(null.mean)) < 0.6
    assert np.mean(null.chance_zero) > 0.5
    large = shrink_portfolio(*DEGENERATE["all large"], sesoi=1.0)
    assert large.mean == pytest.approx(DEGENERATE["all large"][0], rel=1e-3)
    assert large.share_zero < 0.1
    exact = shrink_portfolio(*DEGENERATE["exact estimates"], sesoi=1.0)
    assert exact.mean == pytest.approx(DEGENERATE["exact estimates"][0])
    assert exact.chance_zero == pytest.approx(np.r_[np.ones(10), np.zeros(15)], abs=1e-6)
    assert exact.low == pytest.approx(exact.high)


def test_what_is_missing_gets_the_prior_and_tells_nothing():
    y, s = portfolio(5, 24)
    alone = shrink_portfolio(y, s, sesoi=1.0)
    more = shrink_portfolio(np.r_[y, np.nan, 3.0], np.r_[s, 1.0, np.inf], sesoi=1.0)
    assert more.prior == alone.prior
    assert more.mean[:24] == pytest.approx(alone.mean)
    assert more.mean[24:].tolist() == [0.0, 0.0]
    assert more.chance_zero[24:] == pytest.approx(alone.share_zero, abs=1e-9)
    assert more.low[24:] == pytest.approx(-more.high[24:])


@settings(derandomize=True, deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-4, 1e4), links=st.sampled_from([7, 22, 30]))
def test_units_order_and_sign_do_not_matter(seed, scale, links):
    y, s = portfolio(seed, links)
    found = shrink_portfolio(y, s, sesoi=1.0)
    units = shrink_portfolio(scale * y, scale * s, sesoi=scale)
    turned = shrink_portfolio(-y[::-1], s[::-1], sesoi=1.0)
    assert units.mean == pytest.approx(scale * found.mean, rel=1e-6, abs=1e-9 * scale)
    assert units.high == pytest.approx(scale * found.high, rel=1e-6, abs=1e-9 * scale)
    assert turned.mean[::-1] == pytest.approx(-found.mean, rel=1e-6, abs=1e-9)
    assert turned.low[::-1] == pytest.approx(-found.high, rel=1e-6, abs=1e-7)
    assert turned.chance_wrong_sign[::-1] == pytest.approx(found.chance_wrong_sign, abs=1e-9)


def test_links_with_own_units_are_compared_by_their_sesoi():
    y, s = portfolio(6)
    own = np.geomspace(0.01, 100, len(y))
    assert shrink_portfolio(own * y, own * s, sesoi=own).mean / own == pytest.approx(
        shrink_portfolio(y, s, sesoi=1.0).mean
    )


def test_one_link_goes_toward_zero_and_what_is_missing_to_it():
    assert shrink(3.0, 2.0, prior_sd=1.0) == pytest.approx(0.6)
    assert [shrink(*pair, prior_sd=1.0) for pair in ((3.0, math.inf), (math.nan, 1.0))] == [0.0, 0.0]


def test_a_larger_estimate_stays_larger():
    y = np.linspace(-6, 6, 41)
    assert np.all(np.diff(shrink_portfolio(y, np.ones(41), sesoi=1.0).mean) > 0)


@pytest.mark.parametrize(
    ("values", "errors", "sesoi", "message"),
    [
        (np.zeros(3), np.ones(2), 1.0, "have shape"),
        (np.zeros((2, 2)), np.ones((2, 2)), 1.0, "have shape"),
        (np.zeros(3), np.ones(3), np.ones(2), "SESOI"),
        (np.zeros(3), np.ones(3), np.array([1.0, 0.0, 1.0]), "1 of 3 links have an impossible SESOI, first 1"),
        (np.zeros(3), np.ones(3), math.nan, "impossible SESOI"),
        (np.zeros(3), np.array([1.0, -1.0, -1.0]), 1.0, "2 of 3 links have an impossible standard error, first 1"),
    ],
)
def test_impossible_input_is_refused(values, errors, sesoi, message):
    with pytest.raises(EstimationError, match=message):
        shrink_portfolio(values, errors, sesoi=sesoi)
