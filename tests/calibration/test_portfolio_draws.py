"""Drawn portfolios have the truth, the margins and the dependence that they claim."""

import math

import numpy as np
import pytest
from scipy import special, stats

from cpi_experiments.calibration.portfolio_draws import (
    DEPENDENCES,
    QUARTERS,
    draw_looks,
    draw_scores,
    judge_mixed,
    judge_quarters,
    rates_of,
)
from cpi_experiments.errors import EstimationError


@pytest.mark.parametrize("dependence", DEPENDENCES)
@pytest.mark.parametrize("nulls", [1.0, 0.5])
def test_null_p_values_are_uniform_and_real_ones_have_their_mean(dependence, nulls):
    world = draw_looks(np.random.default_rng(1), 6000, dependence=dependence, m=12, nulls=nulls, z=2.0)
    assert np.all(world.null.sum(axis=1) == round(12 * nulls))
    # one link of each portfolio: portfolios are independent
    first = world.p_values[:, 0][world.null[:, 0]]
    assert stats.kstest(first, "uniform").pvalue > 1e-3
    real = world.p_values[:, 0][~world.null[:, 0]]
    assert nulls == 1 or stats.kstest(-special.ndtri(real) - 2.0, "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    ("dependence", "pair", "rho"),
    [("independent", (0, 1), 0.0), ("block", (0, 5), 0.5), ("block", (5, 6), 0.0), ("opposed", (0, 1), 0.95)],
)
def test_null_links_are_correlated_as_said(dependence, pair, rho):
    world = draw_looks(np.random.default_rng(2), 6000, dependence=dependence, m=12, nulls=1.0)
    z = -special.ndtri(world.p_values[:, pair])
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(rho, abs=0.05)


def test_shock_is_shared_within_a_quarter_only_and_opposed_links_move_apart():
    world = draw_looks(np.random.default_rng(3), 6000, dependence="shock", m=12, nulls=1.0)
    z, same = -special.ndtri(world.p_values), world.quarter[:, 0] == world.quarter[:, 1]
    assert np.corrcoef(z[same, 0], z[same, 1])[0, 1] == pytest.approx(0.5, abs=0.1)
    assert np.corrcoef(z[~same, 0], z[~same, 1])[0, 1] == pytest.approx(0.0, abs=0.05)
    world = draw_looks(np.random.default_rng(4), 6000, dependence="opposed", m=12, nulls=0.5, z=0.0)
    z, apart = -special.ndtri(world.p_values), world.null[:, 0] != world.null[:, 1]
    assert np.corrcoef(z[apart, 0], z[apart, 1])[0, 1] == pytest.approx(-0.95, abs=0.02)


@pytest.mark.parametrize("dependence", DEPENDENCES[:-1])
def test_scores_of_nulls_are_brownian_and_real_links_reach_z(dependence):
    world = draw_scores(np.random.default_rng(5), 4000, dependence=dependence, m=12, nulls=0.5, z=3.0)
    steps = np.diff(world.scores, axis=-1, prepend=0.0)[:, 0][world.null[:, 0]]
    assert np.corrcoef(steps.T)[0, 1:] == pytest.approx(np.zeros(QUARTERS - 1), abs=0.08)
    assert stats.kstest(steps[:, -1], "norm").pvalue > 1e-3
    last = (world.scores / np.sqrt(world.information))[..., -1]
    assert last[~world.null].mean() == pytest.approx(3.0, abs=0.06)


def test_single_look_is_unseen_before_its_quarter():
    world = draw_looks(np.random.default_rng(6), 50, dependence="independent", m=12, nulls=0.5)
    p = world.running()
    assert np.array_equal((p < 1).argmax(axis=2), world.quarter)
    assert np.array_equal(p[..., -1], world.p_values)


@pytest.mark.parametrize(("draw", "word"), [(draw_looks, "shok"), (draw_scores, "steps")])
def test_unknown_dependence_is_refused(draw, word):
    with pytest.raises(EstimationError, match="is not known"):
        draw(np.random.default_rng(0), 2, dependence=word, m=4, nulls=0.5)


def test_rates_count_false_shares_finds_and_withdrawals():
    null = np.array([[True, False, False], [True, True, True]])
    sets = np.array(
        [
            [[True, True, False], [False, True, False], [True, True, True]],  # link 0 left and came back
            [[False, False, False], [False, False, True], [False, False, False]],  # link 2 left
        ]
    )
    rates = rates_of(sets, null)
    assert rates.fdp == pytest.approx(np.array([[1 / 2, 0, 1 / 3], [0, 1, 0]]))
    assert rates.max_fdp == pytest.approx([1 / 2, 1])
    assert rates.ever_fdp == pytest.approx([1 / 3, 1])
    assert rates.found[0] == pytest.approx([1 / 2, 1 / 2, 1])
    assert np.isnan(rates.found[1]).all()
    assert rates.withdrawn.tolist() == [1, 1]


def test_a_rule_sees_what_it_published_before():
    seen = []

    def decide(p, published):
        seen.append(published)
        return published | {len(published)}

    judge_quarters(np.ones((1, 4, 3)), np.zeros((1, 4), dtype=bool), decide)
    assert seen == [frozenset(), frozenset({0}), frozenset({0, 1})]


def test_mixed_world_has_late_links_empty_slots_and_tests_more_what_looks_promising():
    sizes = []

    def decide(p, _):
        sizes.append(len(p))
        return frozenset()

    rates, p = judge_mixed(np.random.default_rng(7), 30, nulls=0.5, decide=decide)
    assert set(sizes) == {72}
    assert np.all(p[:, 60:] == 1)
    assert np.all(np.diff(p, axis=2) <= 0)
    assert 0 < np.mean(p[:, :60, 0] < 1) < np.mean(p[:, :60, -1] < 1)
    assert not rates.withdrawn.any()
    assert math.isclose(rates.max_fdp.sum(), 0.0)
