"""The winner's curse: what is left of it after shrinkage, and that forgetting shrinkage is seen at the judge's door."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.evidence import judge as judge_module
from cpi_experiments.evidence.judge import judge_links
from cpi_experiments.stats.judging.shrinkage import shrink, shrink_portfolio

SESOI, SPREAD = 0.1, 0.2


def effects_of(world, shape, rng):
    normal = SPREAD * rng.normal(size=shape)
    heavy = SPREAD * rng.standard_t(3, size=shape) / math.sqrt(3)
    live = rng.random(shape) < 0.5
    return {
        "half are zero": np.where(live, normal, 0.0),
        "all are zero": np.zeros(shape),
        "none is zero": normal,
        "heavy tails": np.where(live, heavy, 0.0),
        "all small": 0.1 * normal,
    }[world]


def rates(world, error, *, links, portfolios, seed=1):
    """Exaggeration of significant links, raw and shrunken; coverage of all and of the significant ones; errors."""
    rng = np.random.default_rng(seed)
    truth = effects_of(world, (portfolios, links), rng)
    y = truth + error * rng.normal(size=truth.shape)
    found = [shrink_portfolio(row, np.full(links, error), sesoi=SESOI) for row in y]
    mean, low, high = (np.array([getattr(f, name) for f in found]) for name in ("mean", "low", "high"))
    seen, sign = np.abs(y) > 1.96 * error, np.sign(y)
    covered = (low - 1e-12 <= truth) & (truth <= high + 1e-12)
    real = np.sum((sign * truth)[seen])
    return SimpleNamespace(
        raw=float(np.sum(np.abs(y)[seen]) / real) if real else math.inf,
        ratio=float(np.sum((sign * mean)[seen]) / real) if real else math.inf,
        left=float(np.mean(np.abs(mean)) / np.mean(np.abs(y))),
        covered=float(np.mean(covered)),
        covered_seen=float(np.mean(covered[seen])),
        rmse=float(np.sqrt(np.mean((mean - truth) ** 2))),
        rmse_normal=float(np.sqrt(np.mean((y / (1 + error**2 / SESOI**2) - truth) ** 2))),
        rmse_raw=error,
    )


@pytest.mark.parametrize(
    ("error", "raw", "least", "most"), [(0.05, 1.10, 0.98, 1.02), (0.1, 1.38, 0.93, 1.04), (0.2, 2.5, 0.75, 1.05)]
)
def test_significant_sizes_are_right_after_shrinkage(error, raw, least, most):
    found = rates("half are zero", error, links=60, portfolios=50)
    assert found.raw == pytest.approx(raw, rel=0.12)
    assert least <= found.ratio <= most
    assert 0.84 <= found.covered <= 0.96
    assert 0.86 <= found.covered_seen <= 0.96


def test_noise_eight_times_the_effects_leaves_little_of_it():
    found = rates("half are zero", 0.4, links=60, portfolios=50)
    assert found.raw > 5
    assert 0.5 <= found.ratio <= 1.6
    assert found.covered_seen >= 0.80


@pytest.mark.parametrize("error", [0.05, 0.2, 0.4])
def test_where_nothing_is_real_nothing_is_left(error):
    found = rates("all are zero", error, links=34, portfolios=30)
    assert found.left < 0.2
    assert found.covered >= 0.995


@pytest.mark.parametrize("world", ["none is zero", "heavy tails"])
@pytest.mark.parametrize("error", [0.05, 0.1, 0.2])
def test_a_wrong_prior_still_covers_and_beats_the_normal_one(world, error):
    found = rates(world, error, links=60, portfolios=30)
    assert 0.88 <= found.ratio <= 1.05
    assert found.covered >= 0.80
    assert found.covered_seen >= 0.84
    assert found.rmse < min(found.rmse_raw, found.rmse_normal)


@pytest.mark.slow
def test_a_large_portfolio_knows_its_prior():
    for error, most in ((0.05, 0.02), (0.1, 0.04), (0.2, 0.07)):
        found = rates("half are zero", error, links=1000, portfolios=8)
        assert found.ratio == pytest.approx(1.0, abs=most)
        assert found.covered == pytest.approx(0.9, abs=0.025)


# -- the same through the door: the size of a link that is judged to be real -------------------------------------------


def judged_exaggeration(portfolios=8, links=40, error=0.1, seed=3):
    """Shrunken over true size of the links whose direction is published, through `judge_links`."""
    rng = np.random.default_rng(seed)
    told = real = 0.0
    for _ in range(portfolios):
        truth = np.abs(effects_of("half are zero", links, rng))
        y = truth + error * rng.normal(size=links)
        table = pd.DataFrame(
            {
                "link": [f"c{i} -> k" for i in range(links)],
                "experiment": "e",
                "lever": "l",
                "effect_cpi": 1.0,
                "effect_kpi": y,
                "var_cpi": 1e-8,
                "var_kpi": error**2,
                "cov": 0.0,
                "sesoi": SESOI,
                "expected_sign": 1,
            }
        )
        found = judge_links(table)
        seen = (found["p_value"] < 0.025).to_numpy()
        told += float(found["effect_shrunken"].to_numpy()[seen].sum())
        real += float(truth[seen].sum())
    return told / real


def check_sizes_are_not_exaggerated():
    assert judged_exaggeration() <= 1.08


def test_judged_sizes_are_not_exaggerated():
    check_sizes_are_not_exaggerated()


def forgotten(values, std_errors, *, sesoi):
    return SimpleNamespace(mean=np.where(np.isfinite(std_errors), values, 0.0))


def test_shrinkage_forgotten_turns_the_law_red(monkeypatch):
    monkeypatch.setattr(judge_module, "shrink_portfolio", forgotten)
    with pytest.raises(AssertionError):
        check_sizes_are_not_exaggerated()


def test_shrinkage_forgotten_turns_the_rates_red(monkeypatch):
    def raw(values, std_errors, *, sesoi):
        return SimpleNamespace(mean=values, low=values - 1.645 * std_errors, high=values + 1.645 * std_errors)

    monkeypatch.setitem(rates.__globals__, "shrink_portfolio", raw)
    with pytest.raises(AssertionError):
        test_significant_sizes_are_right_after_shrinkage(0.2, 2.5, 0.75, 1.05)


def test_one_link_under_the_normal_prior_is_right_if_the_prior_is():
    rng = np.random.default_rng(5)
    truth = SESOI * rng.normal(size=200_000)
    y = truth + 0.1 * rng.normal(size=truth.size)
    seen = y > 0.196
    left = np.array([shrink(v, 0.1, prior_sd=SESOI) for v in y[seen]])
    assert left.mean() == pytest.approx(truth[seen].mean(), rel=0.02)
