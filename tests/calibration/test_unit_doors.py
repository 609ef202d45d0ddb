"""Every world of customers computes what a user would get: `link_effect` on the rows, then `judge_links`, on 50 data sets."""

from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.accountability.assess import charter, influences
from cpi_experiments.calibration import unit_accountability, unit_clusters, unit_draws, unit_integrity, unit_links
from cpi_experiments.calibration.unit_arms import link_set, p_values_of_trials, reduced_p
from cpi_experiments.evidence.judge import judge_links
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.integrity.check_trial import check_trial
from cpi_experiments.randomized.links.link_effect import link_effect

SETS = 50
FIVE = ("effect_cpi", "effect_kpi", "var_cpi", "var_kpi", "cov", "df")
DECIDED = ("effect", "effect_shrunken", "ci_low", "ci_high", "p_value")


@pytest.fixture
def rng(request):
    return np.random.default_rng([2026, crc32(request.node.name.encode())])


def rows_of(trial, i, *, shuffle=None):
    """One draw as a user's table, its rows in any order."""
    parts = []
    for j, arm in enumerate(trial.arms):
        names = ["hours", "kpi", *trial.covariates]
        part = pd.DataFrame(arm[i], columns=names).assign(variant=["manual", "auto"][j])
        if trial.clusters is not None:
            part["agent"] = [f"{j}-{g}" for g in np.repeat(np.arange(len(trial.clusters[j])), trial.clusters[j])]
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    return frame.sample(frac=1, random_state=i if shuffle is None else shuffle).reset_index(drop=True)


def door(trial, i):
    return link_effect(
        rows_of(trial, i), cpi="hours", kpi="kpi", arm="variant", control="manual", increment=trial.increment,
        covariates=list(trial.covariates) or None, cluster="agent" if trial.clusters is not None else None,
    )  # fmt: skip


def table_of(trials, links, *, sesoi, sign=1, blocked=""):
    return pd.DataFrame([
        {
            "link": "a -> b", "experiment": f"E{k:03d}", "lever": f"L{k:03d}", "sesoi": sesoi, "expected_sign": sign,
            "lever_sign": trial.lever_sign, "planned_move": trial.planned_move, "blocked": blocked,
            **{name: getattr(link.pair, name) for name in FIVE},
        }
        for k, (trial, link) in enumerate(zip(trials, links, strict=True))
    ])  # fmt: skip


def check_world(trials, *, sesoi, sign=1, rel=1e-9):
    """Five numbers, sets and decisions of all draws against the two doors."""
    decisions = unit_links.judged(unit_draws.cases_of(trials, sesoi=sesoi, expected_sign=sign))
    kernel = [trial.pairs() for trial in trials]
    for i, decision in enumerate(decisions):
        links = [door(trial, i) for trial in trials]
        for pairs, link in zip(kernel, links, strict=True):
            assert [getattr(pairs[i], n) for n in FIVE] == pytest.approx(
                [getattr(link.pair, n) for n in FIVE], rel=1e-9
            )
            assert np.ravel(link_set(pairs[i])) == pytest.approx(np.ravel(link.ar_set), rel=1e-8)
            assert reduced_p(pairs[i]) == pytest.approx(link.reduced_form.p_value, rel=1e-8)
        row = judge_links(table_of(trials, links, sesoi=sesoi, sign=sign)).iloc[0]
        assert (row["verdict"], row["cause"], row["grade"]) == (decision.verdict.value, decision.cause, decision.grade)
        numbers = [row[name] for name in DECIDED]
        assert [getattr(decision, n) for n in DECIDED] == pytest.approx(numbers, rel=rel, abs=1e-9, nan_ok=True)
    return decisions


DRAWN = {
    "clean_strong": lambda rng: unit_draws.draw_links(unit_links.CLEAN, rng, SETS),
    "clean, heavy, covariate": lambda rng: unit_draws.draw_links(
        unit_draws.UnitTruth(theta=2.0, strength=60, n=(90, 60), confounding=1, shape="heavy", covariate=True), rng, SETS
    ),
    "rare yes": lambda rng: unit_draws.draw_links(
        unit_draws.UnitTruth(theta=0.0, strength=60, n=(300, 300), confounding=0.5, shape="rare"), rng, SETS
    ),
    "pure_confounding": lambda rng: unit_draws.draw_links(unit_links.CONFOUNDED, rng, SETS),
    "reverse_causality": lambda rng: (unit_links.reverse_trial(rng, SETS, n=700, move=1.0),),
    "clustered": lambda rng: (unit_clusters.agents_trial(rng, SETS, agents=8, unequal=False),),
    "clustered, unequal": lambda rng: (unit_clusters.agents_trial(rng, SETS, agents=10, unequal=True),),
    "nonlinear_dose": lambda rng: (unit_accountability.flat_trial(rng, SETS, n=200),),
    "team_lever": lambda rng: (unit_accountability.lever_trial(rng, SETS),),
}  # fmt: skip


@pytest.mark.parametrize("world", DRAWN)
def test_kernel_of_a_world_is_the_door(rng, world):
    assert len(check_world(DRAWN[world](rng), sesoi=0.02 if world == "rare yes" else 1.0)) == SETS


def test_kernel_of_many_weak_experiments_is_the_door(rng):
    for _ in range(SETS):
        trials = unit_links.weak_levers(unit_links.WEAK, rng, 10)
        assert len(check_world(trials, sesoi=1.0, rel=1e-6)) == 1  # the search for the size stops at 1e-8 of it


def test_kernel_of_a_broken_arm_is_the_door(rng):
    blocked = 0
    for _ in range(SETS):
        trial = unit_integrity.broken_trial(rng, 16_000)
        link = door(trial, 0)
        why = unit_integrity.split_blocks((trial.arms[0].shape[1], trial.arms[1].shape[1]))
        assert bool(why) == link.integrity.blocks
        row = judge_links(table_of([trial], [link], sesoi=1.0, blocked=link.integrity.advice if why else "")).iloc[0]
        decision = unit_links.judged(unit_draws.cases_of([trial], blocked=[why]))[0]
        assert row["verdict"] == decision.verdict.value
        blocked += row["verdict"] == "blocked"
    assert blocked > SETS / 2


@pytest.mark.parametrize("spill", ["group", "none", "all"])
def test_kernel_of_interference_is_the_door(rng, spill):
    groups = 60
    treated = unit_integrity.by_customer(rng, SETS, groups)
    rows = unit_integrity.households(rng, SETS, groups=groups, treated=treated, spill=spill)
    kernel = unit_integrity.neighbours_p(rows, treated)
    for i in range(SETS):
        frame = pd.DataFrame({
            "kpi": rows[i, ..., 1].ravel(), "variant": np.where(treated[i].ravel() > 0, "auto", "manual"),
            "household": np.repeat(np.arange(groups), unit_integrity.GROUP),
        })  # fmt: skip
        found = check_trial(frame, arm="variant", control="manual", outcomes="kpi", neighbours="household")
        (p,) = (d.p_value for d in found.diagnostics if d.name.startswith("interference"))
        assert kernel[i] == pytest.approx(p, rel=1e-9)


def test_tests_of_a_mean_are_the_door(rng):
    arms = rng.lognormal(size=(SETS, 30, 2)), rng.lognormal(size=(SETS, 45, 2))
    arms[0][..., 0] += arms[0][..., 1]
    arms[1][..., 0] += arms[1][..., 1]
    p = p_values_of_trials(arms, covariates=["x"])
    for i in range(SETS):
        frame = pd.concat([pd.DataFrame(a[i], columns=["y", "x"]).assign(arm=j) for j, a in enumerate(arms)])
        found = compare(frame, arm="arm", control=0, outcomes="y", covariates="x")["y"].estimate
        assert p[i] == pytest.approx(found.p_value, rel=1e-9)


def test_the_charter_of_a_world_is_the_charter_of_its_evidence(rng):
    trial = unit_accountability.lever_trial(rng, 5)
    catalog = unit_accountability.company(levers=[("auto", unit_accountability.SALES)])
    for i, (decision, row) in enumerate(unit_accountability.accountabilities(trial, catalog)):
        evidence = unit_accountability.evidence_of(door(trial, i).pair, "auto")
        (again,) = charter(
            catalog,
            [unit_accountability.verdict_of(decision)],
            influences(catalog, [evidence]),
            levels={"quote_hours": 24.0},
        ).rows
        assert row.standing == again.standing
        assert row.target == pytest.approx(again.target, rel=1e-9)
