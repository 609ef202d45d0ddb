"""Faults that judges are known for, planted in the code that users call: each turns a claim of a world red."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from cpi_experiments.calibration import array_core, judged_draws
from cpi_experiments.calibration.harness import judge_worlds
from cpi_experiments.calibration.roster import worlds
from cpi_experiments.evidence import case, decision, history, judge, weighing
from cpi_experiments.evidence.verdict import VerdictWord
from cpi_experiments.stats.judging import portfolio

KNOWN = {world.name: world for world in worlds()}


def failed(name, reps):
    """Claims about the judge that do not hold in a world; other methods are left out."""
    world = KNOWN[name]
    if "beside" in getattr(world.simulate, "keywords", {}):
        beside = {other.claim.name for other in world.simulate.keywords["beside"]}
        claims = tuple(claim for claim in world.claims if claim.name not in beside)
        world = replace(world, claims=claims, simulate=partial(world.simulate, beside=()))
    found = judge_worlds([replace(world, reps_quick=reps, chunk=min(reps, 200))])
    return {o.claim for o in found.failed if not o.naive}


def check(name, reps):
    """The claims of a world as one law."""
    assert failed(name, reps) == set()


def covariance_as_zero(monkeypatch):
    effects = case.Case.effects
    monkeypatch.setattr(
        case.Case, "effects", lambda self, trials: replace(effects(self, trials), xy=np.zeros(len(trials)))
    )


def missing_covariance_as_zero(monkeypatch):
    covariance_as_zero(monkeypatch)
    monkeypatch.setattr(judged_draws, "broken", lambda _pair: "")


def weights_by_measured_moves(monkeypatch):
    def faulty(effects):
        weight, v = effects.sign * np.maximum(effects.sign * effects.x, 0), effects.v(0.0)
        return weight * effects.u(0.0) / v, weight**2 / v

    monkeypatch.setattr(history, "direction_terms", faulty)
    monkeypatch.setattr(weighing, "direction_terms", faulty)


def verdict_latched(monkeypatch):
    honest = judge.judge_cases

    def faulty(cases, **settings):
        last = max(t.looked_at for c in cases for t in c.trials)
        steps = [
            honest([replace(c, trials=tuple(t for t in c.trials if t.looked_at <= step)) for c in cases], **settings)
            for step in range(last + 1)
        ]
        return tuple(
            next((d for d in history_of_one if d.verdict is VerdictWord.CONFIRMED), history_of_one[-1])
            for history_of_one in zip(*steps, strict=True)
        )

    monkeypatch.setattr(judge, "judge_cases", faulty)


def only_the_significant_ones(monkeypatch):
    def faulty(p_values, *, q, slots, published=(), mode="closed"):
        order = sorted((p, i) for i, p in enumerate(p_values) if p < 0.05)
        passed = [j for j, (p, _) in enumerate(order, start=1) if p <= q * j / len(order)]
        return frozenset([*published, *(i for _, i in order[: max(passed, default=0)])])

    monkeypatch.setattr(history, "publish", faulty)


def dormant_dropped(monkeypatch):
    def faulty(p_values, *, q, slots, published=(), mode="closed"):
        kept = [i for i, p in enumerate(p_values) if p < 1]
        before = [kept.index(i) for i in published if i in kept]
        found = portfolio.publish(
            [p_values[i] for i in kept], q=q, slots=max(len(kept), 4), published=before, mode=mode
        )
        return frozenset(kept[i] for i in found)

    monkeypatch.setattr(history, "publish", faulty)


def not_significant_as_refuted(monkeypatch):
    def faulty(case_, weighed, standing):
        honest = decision.decide(case_, weighed, standing)
        open_ = honest.verdict is VerdictWord.INCONCLUSIVE and standing.p_value > 0.05
        return replace(honest, verdict=VerdictWord.REFUTED, cause="no material effect") if open_ else honest

    monkeypatch.setattr(judge, "decide", faulty)


def shrinkage_forgotten(monkeypatch):
    monkeypatch.setattr(
        judge, "_shrunken", lambda _cases, weighed: [w.point.value if w.point else 0.0 for w in weighed]
    )


def size_not_asked(monkeypatch):
    monkeypatch.setattr(judge, "_shrunken", lambda _cases, weighed: [math.inf for _ in weighed])


def two_sided_direction(monkeypatch):
    honest = history.running_p

    def faulty(scores, information, plan):
        found = honest(scores, information, plan)
        return replace(found, p_values=2 * np.minimum(found.p_values, 1 - found.p_values))

    monkeypatch.setattr(history, "running_p", faulty)


def disagreement_ignored(monkeypatch):
    monkeypatch.setattr(decision, "_mixed", lambda _weighed: False)


def looks_not_counted(monkeypatch):
    """Each look is tested as if it were the only one."""
    honest = history.running_p

    def faulty(scores, information, plan):
        found = honest(scores, information, plan)
        z = scores / np.sqrt(np.maximum(information, 1e-300))
        fixed = np.minimum.accumulate(0.5 * np.vectorize(math.erfc)(z / math.sqrt(2)), axis=-1)
        return replace(found, p_values=fixed)

    monkeypatch.setattr(history, "running_p", faulty)
    monkeypatch.setattr(array_core, "running_p", faulty)


def chosen_by_measured_moves(monkeypatch):
    def faulty(effects, t, *, inert_share):
        half = 1.645 * np.sqrt(effects.xx)
        inert = np.maximum(np.abs(effects.x - half), np.abs(effects.x + half)) <= inert_share * effects.move
        return (effects.sign * effects.x + half >= 0) & ~inert

    monkeypatch.setattr(history, "spoken_for", faulty)


FAULTS = [
    (chosen_by_measured_moves, "inert_levers_nine", 1000, "published as an effect"),
    (covariance_as_zero, "weak_nine_levers", 100, "published as an effect"),
    (missing_covariance_as_zero, "missing_covariance", 30, "rightly blocked"),
    (weights_by_measured_moves, "weak_nine_levers", 100, "published as an effect"),
    (verdict_latched, "small_four_looks", 300, "confirmed"),
    (only_the_significant_ones, "file_drawer", 150, "any false confirmation"),
    (dormant_dropped, "file_drawer", 150, "any false confirmation"),
    (not_significant_as_refuted, "null_underpowered", 50, "refuted"),
    (not_significant_as_refuted, "boundary_imprecise", 50, "refuted"),
    (shrinkage_forgotten, "winners_curse", 150, "mean excess of the told size"),
    (size_not_asked, "real_but_small", 50, "confirmed"),
    (two_sided_direction, "wrong_sign_large", 100, "real but small"),
    (disagreement_ignored, "one_bad_lever", 60, "inconclusive: heterogeneous"),
    (looks_not_counted, "portfolio_null_12", 200, "any false confirmation"),
]


@pytest.mark.parametrize(
    ("fault", "world", "reps", "claim"), FAULTS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_planted_fault_turns_a_claim_red(monkeypatch, fault, world, reps, claim):
    assert claim not in failed(world, reps)
    fault(monkeypatch)
    assert claim in failed(world, reps)


def test_faults_are_planted_in_the_rule_that_users_call():
    assert judged_draws.broken is case.broken
    assert history.publish is portfolio.publish
    assert history.direction_terms is weighing.direction_terms
    assert history.running_p is array_core.running_p
    assert judge.decide is decision.decide
