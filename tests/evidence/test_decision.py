"""The order of the decision table, and what it says when there is no number."""

import math
from dataclasses import replace

import pytest

from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence.case import Case, Trialed, Weighed, weigh
from cpi_experiments.evidence.decision import Standing, decide
from cpi_experiments.evidence.verdict import VerdictWord
from cpi_experiments.stats.combining.link_point import LinkPoint
from cpi_experiments.wording.results import banned_words

PAIR = EffectPair(effect_cpi=10.0, effect_kpi=20.0, var_cpi=0.01, var_kpi=9.0, cov=0.0)
TRIAL = Trialed(experiment="E1", lever="L1", pair=PAIR, planned_move=10.0)
NOWHERE = Standing(direction=False, harm=False, equivalence=False, threshold=0.008)
POINT = LinkPoint(value=2.0, std_error=0.3, low=1.4, high=2.6)
MIXED = replace(POINT, q_p_value=0.09)
SURE = Weighed(
    direction=1e-9, harm=1e-9, equivalence=1e-9, harm_e=100.0, material_e=100.0, point=POINT, breakdown=0.5, margin=0.4,
    levers_direction=2, levers_harm=2, levers_equivalence=2,
)  # fmt: skip


def moved(x):
    return replace(TRIAL, pair=replace(PAIR, effect_cpi=x))


def case(*trials, past=""):
    return Case(trials=trials or (TRIAL,), sesoi=1.0, expected_sign=1, past_data=past, step="hour faster")


def standing(*families):
    return replace(NOWHERE, **dict.fromkeys(families, True))


# rows in the order of the table: each is true together with all that follow it
ROWS = {
    "no material effect": ({}, ("harm", "equivalence", "direction"), "refuted"),
    "harmful": ({"point": MIXED}, ("harm", "equivalence", "direction"), "refuted"),
    "heterogeneous": ({"point": MIXED, "harm_e": 19.0}, ("harm", "equivalence", "direction"), "inconclusive"),
    "real but small so far": ({"point": replace(POINT, value=0.9)}, ("direction",), "inconclusive"),
    "fragile to a direct path": ({"breakdown": 0.09}, ("direction",), "inconclusive"),
    "": ({}, ("direction",), "confirmed"),
    "underpowered": ({}, (), "inconclusive"),
}  # fmt: skip


@pytest.mark.parametrize("cause", ROWS)
def test_first_row_that_holds_decides(cause):
    numbers, families, word = ROWS[cause]
    found = decide(case(), replace(SURE, **numbers), standing(*families))
    assert (found.cause, found.verdict.value) == (cause, word)


@pytest.mark.parametrize(
    ("second", "each", "cause"),
    [
        ({"effect_kpi": 12.0}, (1e-6, 1e-6), ""),  # 2.0 and 1.2 per step, both sure: only the size differs
        ({"effect_kpi": 9.0}, (1e-6, 1e-6), "heterogeneous"),  # one is below the SESOI
        ({"effect_kpi": 45.0}, (1e-6, 1e-6), "heterogeneous"),  # more than a factor of two apart
        ({"effect_kpi": 12.0}, (1e-6, 0.009), "heterogeneous"),  # one is not sure alone
        (
            {"effect_kpi": 12.0, "effect_cpi": 10.0, "var_cpi": 64.0},
            (1e-6, 1e-6),
            "heterogeneous",
        ),  # may not have moved
        ({"effect_kpi": -20.0}, (1e-6, 1e-6), "heterogeneous"),
    ],
)
def test_trials_that_differ_only_in_size_may_confirm_if_each_does_alone(second, each, cause):
    other = replace(TRIAL, experiment="E2", lever="L2", pair=replace(PAIR, **second))
    found = decide(case(TRIAL, other), replace(SURE, point=MIXED, each=each), standing("direction"))
    assert found.cause == cause
    assert (
        decide(case(TRIAL, other), replace(SURE, point=MIXED, each=each), NOWHERE).verdict is not VerdictWord.CONFIRMED
    )


def test_a_bundle_is_never_credited_or_blamed():
    for families in ((), ("harm",), ("equivalence",), ("direction",)):
        found = decide(case(TRIAL, replace(TRIAL, experiment="E2", bundle="ftr")), SURE, standing(*families))
        assert (found.verdict, found.cause) == (VerdictWord.INCONCLUSIVE, "bundle")


def test_no_row_is_supported_by_levers_that_may_not_have_moved():
    weak = replace(TRIAL, pair=replace(PAIR, effect_cpi=1.0, var_cpi=1.0))
    for family in ("harm", "equivalence", "direction"):
        assert decide(case(weak), SURE, standing(family)).cause == "lever not shown to move the CPI"
        assert decide(case(weak, TRIAL), SURE, standing(family)).cause in ("harmful", "no material effect", "")


@pytest.mark.parametrize(
    ("change", "families", "grade"),
    [
        ({}, ("direction",), "A+"),
        ({"material_e": 19.0}, ("direction",), "A"),
        ({"levers_direction": 1}, ("direction",), "B"),
        ({"breakdown": 0.24}, ("direction",), "B"),
        ({"breakdown": 0.24}, (), "B"),
        ({"breakdown": 0.09}, (), "C"),
        ({}, ("harm",), "A"),
        ({"levers_harm": 1}, ("harm",), "B"),
        ({"harm_e": 1.0}, ("equivalence",), "A"),
        ({"harm_e": 1.0, "margin": 0.2}, ("equivalence",), "B"),
        ({"harm_e": 1.0, "margin": 0.05}, ("equivalence",), "C"),
    ],
)
def test_grade_rates_the_evidence(change, families, grade):
    assert decide(case(), replace(SURE, **change), standing(*families)).grade == grade


NOTHING = {
    "exploratory": (
        replace(TRIAL, exploratory="the link was not registered before the analysis"),
        "",
        "only exploratory",
    ),
    "lever moved the CPI the wrong way": (moved(-10.0), "", "against its declared sign"),
    "lever inert": (moved(0.1), "", "E1: L1 did not move the CPI (-0.06 to +0.26 steps)"),
    "evidence expired": (
        replace(TRIAL, left_out="it ended on 2020-01-01"),
        "",
        "E1 is not counted: it ended on 2020-01-01.",
    ),
    "only past data": (replace(TRIAL, left_out="it ended on 2020-01-01"), "Fast ones buy more.", "Fast ones buy more."),
}


@pytest.mark.parametrize("cause", NOTHING)
def test_without_countable_evidence_nothing_is_claimed(cause):
    trial, past, text = NOTHING[cause]
    found = decide(case(trial, past=past), weigh(case(trial)), NOWHERE)
    assert (found.verdict, found.cause) == (VerdictWord.INCONCLUSIVE, cause)
    assert found.grade == ("D" if cause == "only past data" else "")
    assert found.p_value == 1.0
    assert math.isnan(found.effect)
    assert text in " ".join(found.reasons)


def test_a_link_without_any_evidence_says_so():
    empty = Case(trials=(), sesoi=1.0, expected_sign=1)
    assert decide(empty, weigh(empty), NOWHERE).cause == "no evidence"
    known = replace(empty, past_data="Fast ones buy more.")
    assert decide(known, weigh(known), NOWHERE).cause == "only past data"


def test_blocked_comes_before_everything_and_lists_every_breakage():
    trials = (
        TRIAL,
        replace(TRIAL, experiment="E2", blocked="lost log"),
        replace(TRIAL, experiment="E3", blocked="ratio"),
    )
    found = decide(case(*trials), SURE, standing("direction"))
    assert found.verdict is VerdictWord.BLOCKED
    assert (found.cause, found.grade, len(found.reasons)) == ("", "", 2)
    assert found.reasons[0] == "No verdict: E2: lost log. Repair it and analyse again."


def test_breakdown_of_a_refutation_is_its_margin():
    assert decide(case(), SURE, standing("direction")).breakdown == SURE.breakdown
    assert decide(case(), SURE, standing("equivalence")).breakdown == SURE.margin


def test_no_limit_of_size_is_said_in_words_and_asks_for_a_better_lever():
    open_ = LinkPoint(value=4.0, std_error=math.inf, low=-math.inf, high=math.inf)
    found = decide(case(), replace(SURE, point=open_), NOWHERE)
    text = " ".join(found.reasons)
    assert "any value" in text
    assert "A lever that moves the CPI more is needed" in text
    assert found.effect_shrunken == 0.0


def test_reasons_are_written_for_leaders():
    for cause, (numbers, families, _) in ROWS.items():
        text = " ".join(decide(case(), replace(SURE, **numbers), standing(*families)).reasons)
        assert text, cause
        assert not banned_words(text)
        assert "hour faster" in text or cause != ""
