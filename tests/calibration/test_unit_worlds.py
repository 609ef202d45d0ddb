"""Worlds of customers and tables of methods: what they promise at a few hundred draws, and that a fault is seen."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.calibration import (
    method_power,
    unit_accountability,
    unit_arms,
    unit_clusters,
    unit_draws,
    unit_integrity,
)
from cpi_experiments.calibration.harness import judge_worlds
from cpi_experiments.calibration.method_world import Rate, about, method_world
from cpi_experiments.calibration.unit_worlds import TABLES, WORLDS
from cpi_experiments.stats.planning.power import sample_size

ALL = {world.name: world for world in (*WORLDS, *TABLES)}
#: Draws for the test command; the run of the page has thousands.
FEW = {
    "correlated_noise_many": 3, "correlated_noise_minus": 3, "srm_broken_arm": 5, "planned_link_power": 30,
    "wrong_verdicts": 30, "sample_ratio": 10_000, "sample_ratio_looks": 2_000,
}  # fmt: skip


def small(world, reps):
    return replace(world, reps_quick=reps, chunk=reps)


def outcomes(world, reps, seed=3):
    return {o.claim: o for o in judge_worlds([small(world, reps)], root=seed).outcomes}


@pytest.mark.parametrize("name", ALL)
def test_every_claim_of_a_world_is_counted_and_none_is_broken(name):
    found = outcomes(ALL[name], FEW.get(name, 60))
    assert set(found) == {claim.name for claim in ALL[name].claims}
    assert [o.claim for o in found.values() if not o.naive and not o.passed] == []


def test_names_fit_the_table_and_bounds_can_be_broken():
    assert len(ALL) == len(WORLDS) + len(TABLES)
    for world in ALL.values():
        names = [claim.name for claim in world.claims]
        assert len(world.name) <= 24
        assert max(map(len, names)) <= 30, names
        assert len(set(names)) == len(names)
        for claim in world.claims:
            assert (claim.relation, claim.bound) not in {("<=", 1.0), (">=", 0.0)}, (world.name, claim.name)


def test_all_worlds_of_the_list_that_need_customers_are_there():
    assert {1, 2, 6, 23, 24, 25, 27, 29, 30, 33} == {world.number for world in WORLDS}
    assert all(world.unit_level for world in WORLDS)


def test_truth_of_customers_is_what_it_says():
    rng = np.random.default_rng(1)
    truth = unit_draws.UnitTruth(theta=2.0, strength=50, n=(1_000, 500), noise=1.5, confounding=1.2)
    (trial,) = unit_draws.draw_links(truth, rng, 40)
    steps = [(arm[..., 0] - 24) / -0.5 for arm in trial.arms]
    assert steps[1].mean() - steps[0].mean() == pytest.approx(truth.move, abs=0.02)
    assert steps[0].var() == pytest.approx(1, rel=0.02)
    slope = np.cov(steps[0].ravel(), trial.arms[0][..., 1].ravel())[0, 1] / steps[0].var()
    assert slope == pytest.approx(truth.past_slope, rel=0.02)
    strength = np.mean([pair.effect_cpi**2 / pair.var_cpi for pair in trial.pairs()])
    assert strength == pytest.approx(51, rel=0.15)
    heavy = unit_draws.customers(
        replace(truth, theta=0.0, confounding=0.0, shape="heavy", noise=2.0), rng, 4_000, np.zeros(50)
    )
    assert heavy[..., 1].mean() == pytest.approx(0, abs=0.05)
    assert stats.skew(heavy[..., 1].ravel()) > 5
    rare = unit_draws.customers(replace(truth, theta=0.0, confounding=0.5, shape="rare"), rng, 4_000, np.zeros(20))
    assert rare[..., 1].mean() == pytest.approx(0.05, rel=0.08)


def test_true_gain_is_the_mean_of_the_flat_curve():
    steps = np.random.default_rng(2).normal(0, unit_accountability.SPREAD, 400_000)
    for move in (0.0, 1.0, 1.8, 6.0):
        gain = unit_accountability.flat_gain(steps + move).mean() - unit_accountability.flat_gain(steps).mean()
        assert unit_accountability.true_gain(move) == pytest.approx(gain, abs=0.01)


def test_f_test_of_teams_is_two_way_analysis_of_variance():
    import pandas as pd
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    levels = unit_accountability.team_levels(np.random.default_rng(3), 5)
    p = unit_accountability.variance_p(levels)
    for i, each in enumerate(levels):
        team, period = np.indices(each.shape)
        frame = pd.DataFrame({"y": each.ravel(), "team": team.ravel(), "period": period.ravel()})
        table = anova_lm(smf.ols("y ~ C(team) + C(period)", frame).fit())
        assert p[i] == pytest.approx(table.loc["C(team)", "PR(>F)"], rel=1e-9)


def test_treatment_of_half_the_customers_is_half_in_every_draw():
    treated = unit_integrity.by_customer(np.random.default_rng(4), 30, 25)
    assert np.all(treated.sum(axis=(1, 2)) == 50)
    rows = unit_integrity.households(np.random.default_rng(5), 30, groups=25, treated=treated, spill="none")
    control, other = unit_integrity.arms_of(rows, treated)
    assert control.shape == other.shape == (30, 50, 2)
    assert other[..., 1].mean() - control[..., 1].mean() == pytest.approx(unit_integrity.OWN, abs=0.15)


def test_a_table_asks_for_both_sides_of_a_rate():
    fair = method_world("fair", "", "coin", [about("heads", lambda rng, n: rng.random(n) < 0.05)], reps=(4_000, 4_000))
    loaded = method_world(
        "loaded", "", "coin", [about("heads", lambda rng, n: rng.random(n) < 0.02)], reps=(4_000, 4_000)
    )
    assert all(o.passed for o in outcomes(fair, 4_000).values())
    assert [o.passed for o in outcomes(loaded, 4_000).values()] == [True, False]
    twice = Rate(name="x", count=lambda rng, n: rng.random(n) < 1, at_least=1.0, times=3)
    assert outcomes(method_world("t", "", "coin", [twice]), 50)["x"].reps == 150


def test_seeds_make_the_run_and_nothing_else():
    world = ALL["clean_strong"]
    one, again, other = (outcomes(world, 20, seed=seed) for seed in (1, 1, 2))
    rates = [{name: o.rate for name, o in found.items()} for found in (one, again, other)]
    assert rates[0] == rates[1] != rates[2]


def test_planned_sizes_are_those_of_the_planner():
    assert sum(method_power._planned_sizes(0.0)) == pytest.approx(sample_size(0.3, std_dev=1.0), abs=1)
    plan, _ = method_power.link_plan(1.5)
    assert plan.n_confirm > plan.n_lift


# -- planted faults ----------------------------------------------------------------------------------------------------


def without_covariance(monkeypatch):
    monkeypatch.setattr(
        unit_arms,
        "pair_of",
        lambda means, increment=1.0, right=unit_arms.pair_of: replace(right(means, increment), cov=0.0),
    )


def without_groups(monkeypatch):
    monkeypatch.setattr(
        unit_arms, "means_of_cells", lambda cells, right=unit_arms.means_of_cells: right(replace(cells, clusters=None))
    )


def normal_quantile(monkeypatch):
    monkeypatch.setattr(unit_arms, "quantile", lambda p, _df: stats.norm.ppf(p))


def sign_forgotten(monkeypatch):
    monkeypatch.setattr(
        unit_arms, "pair_of", lambda means, increment=1.0, right=unit_arms.pair_of: right(means, abs(increment))
    )


def split_never_looked_at(monkeypatch):
    monkeypatch.setattr(unit_integrity, "split_blocks", lambda _sizes: "")


def plan_for_a_lift(monkeypatch):
    right = method_power.link_plan
    monkeypatch.setattr(
        method_power,
        "link_plan",
        lambda theta: (replace(right(theta)[0], n_confirm=right(theta)[0].n_lift), right(theta)[1]),
    )


def test_sets_with_the_normal_quantile_are_too_narrow_for_three_groups(monkeypatch):
    trial = unit_clusters.agents_trial(np.random.default_rng(6), 400, agents=3, unequal=False, move=3.0)

    def misses():
        return sum(not unit_arms.covers(unit_arms.link_set(pair), 0.0) for pair in trial.pairs())

    assert stats.binomtest(misses(), 400, 0.05, alternative="greater").pvalue > 1e-4
    normal_quantile(monkeypatch)
    assert stats.binomtest(misses(), 400, 0.05, alternative="greater").pvalue < 1e-4


@pytest.mark.parametrize(
    ("fault", "world", "reps", "seen_by"),
    [
        (without_covariance, "clean_strong", 300, "AR set covers, at most"),
        (without_groups, "clustered", 200, "AR test by agent, at most"),
        (without_groups, "coverage_of_means", 400, "40 groups, ICC .1, at least"),
        (sign_forgotten, "clean_strong", 40, "confirmed, grade A"),
        (split_never_looked_at, "srm_broken_arm", 4, "blocked"),
        (plan_for_a_lift, "planned_link_power", 200, "1.5 SESOI: confirmed, at least"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_planted_fault_turns_a_world_red(monkeypatch, fault, world, reps, seen_by):
    fault(monkeypatch)
    assert not outcomes(ALL[world], reps)[seen_by].passed
