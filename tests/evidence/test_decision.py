"""The order of the decision table, and what it says when there is no number."""

import math
from dataclasses import replace

import pytest

from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence.case import Case, Trialed
from cpi_experiments.evidence.decision import decide
from cpi_experiments.evidence.standing import Standing
from cpi_experiments.evidence.verdict import VerdictWord
from cpi_experiments.evidence.weighing import LeverCounts, Weighed, weigh
from cpi_experiments.stats.combining.link_point import LinkPoint
from cpi_experiments.wording.results import banned_words

PAIR = EffectPair(effect_cpi=10.0, effect_kpi=20.0, var_cpi=0.01, var_kpi=9.0, cov=0.0)
TRIAL = Trialed(experiment="E1", lever="L1", pair=PAIR, planned_move=10.0)
NOWHERE = Standing(direction=False, harm=False, equivalence=False, threshold=0.008, shrunken=1.8)
POINT = LinkPoint(value=2.0, std_error=0.3, low=1.4, high=2.6)
SMALL = replace(POINT, value=0.1, low=-0.4, high=0.6)
MIXED = replace(POINT, q_p_value=0.09)
SURE = Weighed(
    z_direction=6.0, z_harm=3.0, harm_e=100.0, material_e=100.0, point=POINT, breakdown=0.5, margin=0.4,
    levers=LeverCounts(direction=2, harm=2, equivalence=2),
)  # fmt: skip


def moved(x):
    return replace(TRIAL, pair=replace(PAIR, effect_cpi=x))


def case(*trials, past=""):
    return Case(trials=trials or (TRIAL,), sesoi=1.0, expected_sign=1, past_data=past, step="hour faster")


def standing(*families):
    return replace(NOWHERE, **dict.fromkeys(families, True))


# rows in the order of the table: each is true together with all that follow it
ROWS = {
    "no material effect": ({"point": SMALL}, ("harm", "equivalence", "direction"), "refuted"),
    "harmful": ({"point": MIXED}, ("harm", "equivalence", "direction"), "refuted"),
    "heterogeneous": ({"point": MIXED, "harm_e": 19.0}, ("harm", "equivalence", "direction"), "inconclusive"),
    "real but small so far": ({"shrunken": 0.9}, ("direction",), "inconclusive"),
    "fragile to a direct path": ({"breakdown": 0.09}, ("direction",), "inconclusive"),
    "": ({}, ("direction",), "confirmed"),
    "underpowered": ({}, (), "inconclusive"),
}  # fmt: skip


def decided(cause):
    numbers, families, _ = ROWS[cause]
    size = {"shrunken": numbers["shrunken"]} if "shrunken" in numbers else {}
    weighed = replace(SURE, **{key: value for key, value in numbers.items() if key not in size})
    return decide(case(), weighed, replace(standing(*families), **size))


@pytest.mark.parametrize("cause", ROWS)
def test_first_row_that_holds_decides(cause):
    found = decided(cause)
    word = ROWS[cause][2]
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


def test_what_was_published_once_is_not_held_against_what_is_known_now():
    """E08: Later trials moved the set out of the SESOI, or took the harm away: neither refutation stands."""
    outside = replace(SURE, harm_e=1.0, point=replace(SMALL, low=0.3, high=1.2))
    assert decide(case(), outside, standing("equivalence")).verdict is VerdictWord.INCONCLUSIVE
    healed = replace(SURE, z_harm=-1.0, point=replace(SMALL, low=0.1, high=0.6))
    assert decide(case(), healed, standing("harm")).verdict is VerdictWord.INCONCLUSIVE


@pytest.mark.parametrize(("q_p_value", "cause"), [(0.05, ""), (1e-4, "heterogeneous")])
def test_slight_disagreement_passes_if_no_single_trial_carries_the_link(q_p_value, cause):
    three = tuple(replace(TRIAL, experiment=f"E{i}", lever=f"L{i}") for i in range(3))
    weighed = replace(SURE, point=replace(POINT, q_p_value=q_p_value), each=(0.5, 0.5, 0.5))
    held = replace(weighed, without_each=((1e-4, 1.5),) * 3)
    assert decide(case(*three), held, standing("direction")).cause == cause
    carried = replace(weighed, without_each=((1e-4, 1.5), (0.2, 1.5), (1e-4, 1.5)))
    assert decide(case(*three), carried, standing("direction")).cause == "heterogeneous"
    small = replace(weighed, without_each=((1e-4, 1.5), (1e-4, 0.9), (1e-4, 1.5)))
    assert decide(case(*three), small, standing("direction")).cause == "heterogeneous"


def test_a_bundle_is_never_credited_or_blamed():
    for families in ((), ("harm",), ("equivalence",), ("direction",)):
        found = decide(case(TRIAL, replace(TRIAL, experiment="E2", bundle="ftr")), SURE, standing(*families))
        assert (found.verdict, found.cause) == (VerdictWord.INCONCLUSIVE, "bundle")


def test_no_row_is_supported_by_levers_that_may_not_have_moved():
    weak = replace(TRIAL, pair=replace(PAIR, effect_cpi=1.0, var_cpi=1.0))
    for family in ("harm", "equivalence", "direction"):
        weighed = replace(SURE, point=SMALL) if family == "equivalence" else SURE
        assert decide(case(weak), weighed, standing(family)).cause == "lever not shown to move the CPI"
        assert decide(case(weak, TRIAL), weighed, standing(family)).cause in ("harmful", "no material effect", "")


@pytest.mark.parametrize(
    ("change", "families", "grade"),
    [
        ({}, ("direction",), "A+"),
        ({"material_e": 19.0}, ("direction",), "A"),
        ({"levers": LeverCounts(direction=1)}, ("direction",), "B"),
        ({"breakdown": 0.24}, ("direction",), "B"),
        ({"breakdown": 0.24}, (), "B"),
        ({"breakdown": 0.09}, (), "C"),
        ({}, ("harm",), "A"),
        ({"levers": LeverCounts(harm=1)}, ("harm",), "B"),
        ({"harm_e": 1.0, "point": SMALL}, ("equivalence",), "A"),
        ({"harm_e": 1.0, "margin": 0.2, "point": SMALL}, ("equivalence",), "B"),
        ({"harm_e": 1.0, "margin": 0.05, "point": SMALL}, ("equivalence",), "C"),
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
    "no trial counts": (
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
    assert decide(case(), replace(SURE, point=SMALL), standing("equivalence")).breakdown == SURE.margin


def test_no_limit_of_size_is_said_in_words_and_asks_for_a_better_lever():
    open_ = LinkPoint(value=4.0, std_error=math.inf, low=-math.inf, high=math.inf)
    found = decide(case(), replace(SURE, point=open_), replace(NOWHERE, shrunken=0.0))
    text = " ".join(found.reasons)
    assert "any value" in text
    assert "A lever that moves the CPI more is needed" in text
    assert found.effect_shrunken == 0.0


def test_reasons_are_written_for_leaders():
    for cause in ROWS:
        text = " ".join(decided(cause).reasons)
        assert text, cause
        assert not banned_words(text)
        assert "hour faster" in text or cause != ""
