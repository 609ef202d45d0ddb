"""Planned power against the rule itself: what the planner simulates must be what the judge does."""

import math

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.estimate import EffectPair, Link
from cpi_experiments.evidence import case as case_module
from cpi_experiments.evidence import decision
from cpi_experiments.evidence.case import Case, Trialed
from cpi_experiments.evidence.judge import judge_cases
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.randomized.planning.link_design import design_link
from cpi_experiments.randomized.planning.simulated_power import simulate_power
from cpi_experiments.stats.judging.portfolio import alone_threshold
from cpi_experiments.stats.planning import simulated_judging
from cpi_experiments.stats.planning.judging_power import confirm_power, refute_power
from cpi_experiments.stats.planning.planned_judging import simulated
from cpi_experiments.stats.planning.simulated_judging import Draws, JudgingRule, judge_draws

REPS = 800
BAND = 4.9 * math.sqrt(0.25 / REPS)  # two-sided 1e-6


def judged(draws, *, sesoi, move, slots, rows=None):
    """Return the verdict of the real judge for every draw, alone in its portfolio."""
    words = []
    xx, xy, yy = (np.broadcast_to(part, draws.x.shape) for part in (draws.xx, draws.xy, draws.yy))
    for i in range(len(draws.x)) if rows is None else rows:
        trials = tuple(
            Trialed(
                experiment=f"E{k}", lever=f"L{k}", planned_move=move,
                pair=EffectPair(
                    effect_cpi=draws.x[i, k], effect_kpi=draws.y[i, k], var_cpi=xx[i, k], var_kpi=yy[i, k],
                    cov=xy[i, k], df=draws.df,
                ),
            )
            for k in range(draws.x.shape[1])
        )  # fmt: skip
        found = judge_cases([Case(trials=trials, sesoi=sesoi, expected_sign=1)], slots=slots)[0]
        words.append({"no material effect": "immaterial"}.get(found.cause, found.cause or found.verdict.value))
    return words


def simulated_world(rng, *, experiments, strength, correlation, effect, error, size=10):
    """Draw links with a first stage of the given F, some of them with a lever that does nothing; SESOI 0.01."""
    move = float(rng.choice([0.5, 3.0]))
    xx, yy = move**2 / strength, (error * 0.01 * move) ** 2
    df = float(rng.choice([8.0, 40.0, np.inf])) if experiments == 1 else math.inf
    e = rng.standard_normal((size, experiments, 2))
    x = move + math.sqrt(xx) * e[..., 0]
    noise = correlation * e[..., 0] + math.sqrt(1 - correlation**2) * e[..., 1]
    if rng.random() < 0.3:
        x[:, 0] -= move
    cov = correlation * math.sqrt(xx * yy)
    y = effect * 0.01 * move + math.sqrt(yy) * noise
    return Draws(x=x, y=y, xx=np.array([[xx]]), xy=np.array([[cov]]), yy=np.array([[yy]]), df=df), move


@pytest.mark.parametrize("strength", [5, 25, 400])
@pytest.mark.parametrize("correlation", [-0.6, 0.0, 0.6])
def test_simulated_verdicts_are_the_judges_draw_by_draw(strength, correlation):
    rng, seen = np.random.default_rng([strength, int(10 * correlation) + 9]), set()
    for experiments in (1, 2, 3):
        for effect in (-1.5, 0.0, 0.5, 1.5, 2.5):
            for error in (0.08, 0.15, 0.3):
                slots = int(rng.choice([4, 12, 60]))
                draws, move = simulated_world(
                    rng, experiments=experiments, strength=strength, correlation=correlation, effect=effect, error=error
                )
                rule = JudgingRule(sesoi=0.01, threshold=alone_threshold(0.10, slots), move=move)
                confirmed, immaterial, harmful = judge_draws(draws, rule)
                words = judged(draws, sesoi=0.01, move=move, slots=slots)
                seen.update(words)
                assert confirmed.tolist() == [word == "confirmed" for word in words]
                assert immaterial.tolist() == [word == "immaterial" for word in words]
                assert harmful.tolist() == [word == "harmful" for word in words]
    assert {"confirmed", "harmful", "immaterial", "heterogeneous", "underpowered"} <= seen


def test_planner_and_judge_have_the_same_limits():
    assert simulated_judging.INERT_SHARE == case_module.INERT_SHARE
    assert simulated_judging.HETEROGENEOUS_P == decision.HETEROGENEOUS_P
    assert simulated_judging.MATERIAL_E == decision.MATERIAL_E
    assert simulated_judging.APART_P == decision.APART_P


@pytest.mark.parametrize(
    "changes",
    [
        {"cpi_sd": 100.0, "correlation": 0.3},
        {"cpi_sd": 60.0, "correlation": -0.6},
        {"cpi_sd": 60.0, "correlation": 0.6},
        {"cpi_sd": 15.0, "correlation": -0.6},
        {"cpi_sd": 60.0, "correlation": 0.3, "experiments": 3},
        {"cpi_sd": 6.0, "kpi_sd": 0.05, "cluster_size": 20, "icc": 0.1, "correlation": 0.3},
    ],
)
def test_a_planned_power_of_80_percent_is_what_the_judge_reaches(changes):
    claim = Hypothesis(link=Link.parse("a -> b"), expected_sign=1, sesoi=0.004, looks="single")
    plan = design_link(claim, "lever", **{"kpi_sd": 0.4, "planned_move": 3.0, **changes})
    rng = np.random.default_rng(11)
    for n, effect, word in ((plan.n_confirm, 0.006, "confirmed"), (plan.n_refute, 0.0, "immaterial")):
        draws = fresh(plan, n, effect=effect, rng=rng, reps=20_000)
        found = dict(zip(("confirmed", "immaterial", "harmful"), judge_draws(draws, plan.trial.rule), strict=True))
        words = judged(draws, sesoi=0.004, move=3.0, slots=12, rows=range(200))
        assert [each == word for each in words] == found[word][:200].tolist()
        assert 0.78 <= found[word].mean() <= 0.82


def test_a_plan_that_takes_a_noisy_move_as_known_falls_short():
    claim = Hypothesis(link=Link.parse("a -> b"), expected_sign=1, sesoi=0.004, looks="single")
    plan = design_link(claim, "lever", kpi_sd=0.4, planned_move=3.0, cpi_sd=60.0, correlation=-0.6)
    draws = fresh(plan, plan.n_confirm_formula, effect=0.006, rng=np.random.default_rng(12), reps=400)
    words = judged(draws, sesoi=0.004, move=3.0, slots=12)
    assert words.count("confirmed") / len(words) < 0.5


@pytest.mark.parametrize("sign", [1, -1])
def test_a_plan_from_a_history_is_confirmed_on_that_history_as_often_as_planned(sign):
    rng = np.random.default_rng(21)
    hours = 8 + rng.gamma(4.0, 1.0, 20_000)
    spend = 60 - sign * 2.0 * hours + rng.lognormal(2.0, 0.7, 20_000)  # faster is better (worse) for spend
    claim = Hypothesis(link=Link.parse("hours -> spend"), expected_sign=sign, sesoi=1.0, looks="single")
    plan = design_link(
        claim, "lever", kpi_sd=spend.std(), cpi_sd=hours.std(), planned_move=1.0,
        correlation=float(np.corrcoef(-hours, spend)[0, 1]),
    )  # fmt: skip
    past = pd.DataFrame({"hours": hours, "spend": spend})
    roles = {"cpi": "hours", "kpi": "spend", "planned_move": 1.0, "increment": -1.0, "hypothesis": claim, "reps": 2_000}
    found = simulate_power(past, effect=1.5 * sign, n=[plan.n_confirm, plan.n_refute], **roles)
    shares = {(share.n, share.effect): share for share in found.shares}
    assert 0.77 <= shares[plan.n_confirm, 1.5 * sign].confirmed <= 0.83
    assert 0.77 <= shares[plan.n_refute, 0.0].refuted <= 0.83
    assert shares[plan.n_confirm, 0.0].confirmed <= 0.01
    assert shares[plan.n_confirm, 1.5 * sign].refuted <= 0.01
    assert "confirmed" in str(found)


def fresh(plan, n, *, effect, rng, reps):
    """Draw experiments anew, with random numbers instead of the planner's."""
    trial, k = plan.trial, plan.trial.experiments
    xx, xy, yy = trial.covariance(n / plan.cluster_size)
    df = trial.df(n / plan.cluster_size)
    omega = np.array([[xx, xy], [xy, yy]])
    e = rng.standard_normal((reps, k, 2)) @ np.linalg.cholesky(omega).T
    parts = [np.array([[value]]) for value in (xx, xy, yy)]
    if math.isfinite(df):
        rows = rng.standard_normal((reps, int(df), 2)) @ np.linalg.cholesky(omega).T
        w = np.einsum("tni,tnj->tij", rows, rows) / df
        parts = [w[:, :1, 0], w[:, :1, 1], w[:, 1:, 1]]
    return Draws(x=3.0 + e[..., 0], y=3.0 * effect + e[..., 1], xx=parts[0], xy=parts[1], yy=parts[2], df=df)


def test_the_planners_own_draws_get_the_same_verdicts_from_the_judge():
    claim = Hypothesis(link=Link.parse("a -> b"), expected_sign=1, sesoi=0.004, looks="single")
    plan = design_link(
        claim, "lever", kpi_sd=0.05, planned_move=3.0, cpi_sd=6.0, correlation=0.3, cluster_size=20, icc=0.1
    )
    draws = simulated(plan.trial, plan.n_confirm / 20, effect=0.006)
    rows = range(0, len(draws.x), 97)
    words = judged(draws, sesoi=0.004, move=3.0, slots=12, rows=rows)
    confirmed = judge_draws(draws, plan.trial.rule)[0]
    assert [word == "confirmed" for word in words] == [bool(confirmed[i]) for i in rows]


@pytest.mark.parametrize(
    ("effect", "error", "slots", "rho"),
    [
        (1.5, 0.25, 4, 0),
        (1.5, 0.4, 12, 0.6),
        (1.0, 0.15, 4, 0),
        (2.0, 0.6, 60, -0.6),
        (0.0, 0.25, 4, 0),
        (0.3, 0.2, 12, 0),
    ],
)
def test_with_a_strong_first_stage_the_closed_form_is_what_the_judge_does(effect, error, slots, rho):
    rng = np.random.default_rng(int(1000 * effect + 10 * error + slots))
    e = rng.standard_normal((REPS, 2))
    sd = error * 10.0
    y = effect * 10 + sd * (rho * e[:, :1] + math.sqrt(1 - rho**2) * e[:, 1:])
    parts = [np.array([[value]]) for value in (0.01, rho * 0.1 * sd, sd**2)]
    draws = Draws(x=10 + 0.1 * e[:, :1], y=y, xx=parts[0], xy=parts[1], yy=parts[2])
    words = judged(draws, sesoi=1.0, move=10.0, slots=slots)
    threshold = alone_threshold(0.10, slots)
    closed = confirm_power(error, effect=effect, sesoi=1.0, threshold=threshold)
    assert words.count("confirmed") / REPS == pytest.approx(closed, abs=BAND)
    closed = refute_power(error, sesoi=1.0, threshold=threshold, effect=effect)
    refuted = words.count("immaterial") + words.count("harmful")
    assert refuted / REPS == pytest.approx(closed, abs=BAND)
