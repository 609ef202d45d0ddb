"""Worlds with known truth, at the level of experiment summaries: what the judge says, how often, and what would be seen.

SESOI 1, known covariances, every link judged alone (as one of four slots) unless a portfolio is meant. A world that
bounds a rate from above tolerates three Monte-Carlo errors of that bound; planted faults must break a world.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence import case as case_module
from cpi_experiments.evidence import decision as decision_module
from cpi_experiments.evidence import judge as judge_module
from cpi_experiments.evidence.case import Case, Trialed, weigh
from cpi_experiments.evidence.decision import decide
from cpi_experiments.evidence.judge import judge_cases
from cpi_experiments.evidence.verdict import VerdictWord
from cpi_experiments.stats.judging.portfolio import publish


def draw(rng, *, theta, error, strength=400.0, k=1, rho=0.0, works=True, direct=0.0, covariance=True, sign=1):
    """One link with k experiments, each with its own lever, expected F ``strength`` and standard error ``error``.

    ``works`` = False: the lever does nothing. ``direct`` x pi: effect of the first lever that bypasses the CPI.
    """
    pi = math.sqrt(strength - 1)  # the expected F holds one for noise
    sd = error * pi
    trials = []
    for j in range(k):
        a, b = rng.standard_normal(2)
        moved = pi if works else 0.0
        lift = theta * moved + (direct * pi if j == 0 else 0.0) + sd * (rho * a + math.sqrt(1 - rho**2) * b)
        cov = rho * sd if covariance else math.nan
        pair = EffectPair(effect_cpi=moved + a, effect_kpi=lift, var_cpi=1.0, var_kpi=sd**2, cov=cov)
        blocked = case_module.broken(pair)
        trials.append(Trialed(experiment=f"E{j}", lever=f"L{j}", pair=pair, planned_move=pi, blocked=blocked))
    return Case(trials=tuple(trials), sesoi=1.0, expected_sign=sign)


def is_(word):
    return lambda decision: decision.verdict.value == word


def cause(text):
    return lambda decision: decision.cause == text


def grade(*letters):
    return lambda decision: decision.verdict.value == "confirmed" and decision.grade in letters


def unbounded(decision):
    return math.isinf(decision.ci_high - decision.ci_low)


def covers(theta):
    return lambda decision: decision.ci_low <= theta <= decision.ci_high


NEVER = ((is_("confirmed"), "<=", 0.01), (is_("refuted"), "<=", 0.01))
WORLDS = {
    "1 clean strong": (
        {"theta": 2.0, "error": 0.4, "strength": 100, "k": 2, "rho": 0.5},
        ((is_("confirmed"), ">=", 0.90), (grade("A", "A+"), ">=", 0.90), (covers(2.0), ">=", 0.93), (covers(2.0), "<=", 0.97))),
    "2 no effect, precise": (
        {"theta": 0.0, "error": 1 / 6, "rho": 0.5}, ((is_("refuted"), ">=", 0.90), (is_("confirmed"), "<=", 0.01))),
    "3 null, underpowered": ({"theta": 0.0, "error": 0.6, "rho": 0.5}, NEVER),
    "3 null, underpowered, other correlation": ({"theta": 0.0, "error": 0.6, "rho": -0.5}, NEVER),
    "4 weak first stage": (
        {"theta": 0.0, "error": 5.0, "strength": 2, "rho": 0.9},
        ((is_("confirmed"), "<=", 0.05), (is_("refuted"), "<=", 0.01), (unbounded, ">=", 0.75))),
    "4 weak first stage, F 10": (
        {"theta": 0.0, "error": 1.0, "strength": 10, "rho": 0.9}, ((is_("confirmed"), "<=", 0.05), (is_("refuted"), "<=", 0.01))),
    "4 weak first stages, nine levers": (
        {"theta": 0.0, "error": 2.0, "strength": 2, "k": 9, "rho": 0.9}, ((is_("confirmed"), "<=", 0.01),)),
    "5 inert lever, planned F 2": ({"theta": 2.0, "error": 0.3, "strength": 2, "works": False, "rho": 0.5}, NEVER),
    "5 inert lever, planned F 30": ({"theta": 2.0, "error": 0.3, "strength": 30, "works": False, "rho": 0.9}, NEVER),
    "5 inert lever, planned F 200": (
        {"theta": 2.0, "error": 0.3, "strength": 200, "works": False, "rho": -0.5}, (*NEVER, (cause("lever inert"), ">=", 0.80))),
    "8 missing covariance": ({"theta": 2.0, "error": 0.2, "covariance": False, "k": 2}, ((is_("blocked"), ">=", 1.0),)),
    "11 one bad lever": (
        {"theta": 0.0, "error": 10 / 7, "strength": 50, "k": 5, "direct": 6.0},
        ((cause("heterogeneous"), ">=", 0.85), (is_("confirmed"), "<=", 0.10))),
    "14 trivial effect": (
        {"theta": 0.3, "error": 0.15, "rho": 0.5}, ((is_("refuted"), ">=", 0.90), (is_("confirmed"), "<=", 0.03))),
    "15 boundary": ({"theta": 1.0, "error": 0.25, "rho": 0.5}, ((is_("refuted"), "<=", 0.01),)),
    "15 boundary, sharp": ({"theta": 1.0, "error": 0.15, "rho": -0.5}, ((is_("refuted"), "<=", 0.01),)),
    "15 boundary, imprecise": ({"theta": 1.0, "error": 0.6, "rho": 0.5}, ((is_("refuted"), "<=", 0.01),)),
    "15 boundary, five weak levers": (
        {"theta": 1.0, "error": 1.0, "strength": 2, "k": 5, "rho": 0.9}, ((is_("refuted"), "<=", 0.01),)),
    "real but small": (
        {"theta": 0.7, "error": 0.15, "rho": 0.5}, ((is_("confirmed"), "<=", 0.03), (is_("refuted"), "<=", 0.5))),
    "harmful": ({"theta": -1.0, "error": 0.25, "rho": 0.5}, ((cause("harmful"), ">=", 0.90), (is_("confirmed"), "<=", 0.0))),
    "harmful, three levers, F 6": (
        {"theta": -1.0, "error": 0.26, "strength": 6, "k": 3, "rho": -0.5}, ((is_("refuted"), ">=", 0.90),)),
    "wrong sign, imprecise": (
        {"theta": -26.0, "error": 10.0, "rho": 0.5},
        ((cause("real but small so far"), "<=", 0.0), (is_("confirmed"), "<=", 0.0))),
    "lower is expected": ({"theta": -2.0, "error": 0.25, "sign": -1}, ((is_("confirmed"), ">=", 0.90),)),
}  # fmt: skip


def rates(name, reps):
    options, claims = WORLDS[name]
    rng = np.random.default_rng([sorted(WORLDS).index(name), 2026])
    hits = np.zeros(len(claims))
    for _ in range(reps):
        case = draw(rng, **options)
        (decision,) = judge_module.judge_cases([case])
        hits += [bool(claim(decision)) for claim, _, _ in claims]
    return hits / reps


def check(name, reps):
    for rate, (_, relation, bound) in zip(rates(name, reps), WORLDS[name][1], strict=True):
        slack = 3 * math.sqrt(bound * (1 - bound) / reps)
        assert rate <= bound + slack if relation == "<=" else rate >= bound - slack, (
            f"{name}: {rate:.4f} {relation} {bound}"
        )


@pytest.mark.parametrize("name", WORLDS)
def test_judge_says_what_is_true_as_often_as_promised(name):
    check(name, 1000 if WORLDS[name][0].get("k", 1) > 1 else 2000)


def test_gating_on_a_strong_looking_first_stage_fails_where_the_rule_holds():
    """The usual gate "F above 10, then t above 1.96" in world 4."""
    rng = np.random.default_rng(4)

    def gate(strength):
        x, e = rng.standard_normal((2, 20_000))
        pi, y = math.sqrt(strength - 1), 0.9 * x + math.sqrt(1 - 0.81) * e
        x = pi + x
        theta = y / x
        passed = x**2 > 10
        false = np.abs(theta) * np.abs(x) / np.sqrt(1 - 1.8 * theta + theta**2) > 1.96
        return passed, false & passed

    passed, false = gate(2)
    assert passed.sum() >= 300
    assert false.sum() / passed.sum() >= 0.90
    passed, false = gate(10)
    assert false.mean() >= 0.07


# -- portfolios --------------------------------------------------------------------------------------------------------


def check_portfolio(reps=400):
    """Twelve links without effect and two dormant ones: any confirmation is false; then one clear link among them."""
    rng = np.random.default_rng(18)
    dormant = [Case(trials=(), sesoi=1.0, expected_sign=1)] * 2
    wrong = found = 0
    for _ in range(reps):
        decisions = judge_module.judge_cases([*(draw(rng, theta=0.0, error=1.0) for _ in range(12)), *dormant])
        wrong += any(d.verdict is VerdictWord.CONFIRMED for d in decisions)
    for _ in range(reps // 5):
        links = [draw(rng, theta=0.0, error=1.0) for _ in range(11)]
        found += judge_module.judge_cases([draw(rng, theta=4.0, error=0.8), *links])[0].verdict is VerdictWord.CONFIRMED
    assert wrong / reps <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / reps), f"any false confirmation: {wrong / reps:.3f}"
    assert found / (reps // 5) >= 0.85, f"power: {found / (reps // 5):.3f}"
    return wrong / reps, found / (reps // 5)


def check_dormant():
    """A link at z = 2.6 among thirty-nine that were registered and never tested."""
    pair = EffectPair(effect_cpi=20.0, effect_kpi=2.6 * 20, var_cpi=0.01, var_kpi=400.0, cov=0.0)
    edge = Case(trials=(Trialed(experiment="E", lever="L", pair=pair, planned_move=20.0),), sesoi=1.0, expected_sign=1)
    dormant = [Case(trials=(), sesoi=1.0, expected_sign=1)] * 39
    assert judge_module.judge_cases([edge])[0].verdict is VerdictWord.CONFIRMED
    assert judge_module.judge_cases([edge, *dormant])[0].verdict is VerdictWord.INCONCLUSIVE, (
        "dormant links are in the family"
    )


def test_a_portfolio_of_null_links_confirms_hardly_any():
    wrong, found = check_portfolio()
    assert wrong < found


def test_links_never_tested_stay_in_the_family():
    check_dormant()


# -- planted faults ----------------------------------------------------------------------------------------------------


def covariance_as_zero(monkeypatch):
    effects = case_module._effects
    monkeypatch.setattr(
        case_module, "_effects", lambda trials, sign: replace(effects(trials, sign), xy=np.zeros(len(trials)))
    )


def missing_covariance_as_zero(monkeypatch):
    covariance_as_zero(monkeypatch)
    monkeypatch.setattr(case_module, "broken", lambda _pair: "")


def not_significant_as_refuted(monkeypatch):
    def faulty(case, weighed, standing):
        decision = decide(case, weighed, standing)
        open_ = decision.verdict is VerdictWord.INCONCLUSIVE and weighed.direction > 0.05
        return replace(decision, verdict=VerdictWord.REFUTED, cause="no material effect") if open_ else decision

    monkeypatch.setattr(judge_module, "decide", faulty)


def two_sided_direction(monkeypatch):
    def faulty(case):
        found = weigh(case)
        return replace(found, direction=2 * min(found.direction, 1 - found.direction))

    monkeypatch.setattr(judge_module, "weigh", faulty)


def only_the_significant_ones(monkeypatch):
    def faulty(p_values, *, q, slots):
        order = sorted((p, i) for i, p in enumerate(p_values) if p < 0.05)
        passed = [j for j, (p, _) in enumerate(order, start=1) if p <= q * j / len(order)]
        return frozenset(i for _, i in order[: max(passed, default=0)])

    monkeypatch.setattr(judge_module, "publish", faulty)


def dormant_dropped(monkeypatch):
    def faulty(p_values, *, q, slots):
        kept = [i for i, p in enumerate(p_values) if p < 1]
        found = publish([p_values[i] for i in kept], q=q, slots=max(len(kept), 4))
        return frozenset(kept[i] for i in found)

    monkeypatch.setattr(judge_module, "publish", faulty)


def size_not_asked(monkeypatch):
    def faulty(value, std_error, *, prior_sd):
        return math.copysign(math.inf, value)

    monkeypatch.setattr(decision_module, "shrink", faulty)


@pytest.mark.parametrize(
    ("fault", "seen_by", "message"),
    [
        (covariance_as_zero, lambda: check("4 weak first stages, nine levers", 300), "nine levers"),
        (missing_covariance_as_zero, lambda: check("8 missing covariance", 50), "missing covariance"),
        (not_significant_as_refuted, lambda: check("3 null, underpowered", 300), "underpowered"),
        (not_significant_as_refuted, lambda: check("15 boundary, imprecise", 300), "boundary"),
        (two_sided_direction, lambda: check("wrong sign, imprecise", 300), "wrong sign"),
        (only_the_significant_ones, check_portfolio, "any false confirmation"),
        (dormant_dropped, check_dormant, "dormant links are in the family"),
        (size_not_asked, lambda: check("real but small", 300), "real but small"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_planted_fault_turns_a_world_red(monkeypatch, fault, seen_by, message):
    fault(monkeypatch)
    with pytest.raises(AssertionError, match=message):
        seen_by()


def test_faults_are_planted_in_the_rule_that_users_call():
    assert judge_cases is judge_module.judge_cases
