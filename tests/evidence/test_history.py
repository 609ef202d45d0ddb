"""The portfolio replayed look by look: running p-values, published sets, and what a table says at every quarter."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import special

from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence.case import Case, Trialed
from cpi_experiments.evidence.decision import MATERIAL_E
from cpi_experiments.evidence.effect_table import quarter_number
from cpi_experiments.evidence.history import FAMILIES, MODES, replay
from cpi_experiments.evidence.judge import judge_links, judge_portfolio
from cpi_experiments.evidence.verdict import VerdictWord
from cpi_experiments.stats.judging.look_plan import look_plan
from cpi_experiments.stats.judging.portfolio import publish
from cpi_experiments.stats.judging.running_p import running_p

STRONG = 20.0


def trial(z, at=0, *, name=None, se=0.4, lever=None, **fields):
    """One experiment with a very strong first stage whose effect per increment is z standard errors."""
    pair = EffectPair(effect_cpi=STRONG, effect_kpi=z * se * STRONG, var_cpi=1e-8, var_kpi=(se * STRONG) ** 2, cov=0.0)
    return Trialed(
        experiment=name or f"E{at}", lever=lever or f"L{at}", pair=pair, planned_move=STRONG, looked_at=at, **fields
    )


def link(*trials, looks="single", sesoi=1.0, **fields):
    return Case(trials=trials, sesoi=sesoi, expected_sign=1, looks=look_plan(looks), **fields)


def p_of(case, family="direction"):
    return replay([case], fdr=0.1).p_values[family][0]


def test_a_single_look_is_the_first_and_final():
    assert p_of(link(trial(2.0, 1), trial(4.0, 2))) == pytest.approx([1.0, *[special.ndtr(-2.0)] * 2])
    assert p_of(link(trial(2.0, 1), trial(2.0, 1, name="F"))) == pytest.approx([1.0, special.ndtr(-2 * math.sqrt(2))])


def test_a_new_plan_after_a_look_is_judged_on_its_own_experiments():
    found = p_of(link(trial(2.0, 0), trial(3.0, 2), looks="retest"))
    assert found == pytest.approx([special.ndtr(-2.0) / 0.8] * 2 + [special.ndtr(-3.0) / 0.1])


@pytest.mark.parametrize("looks", ["planned 3", "capped 0.2", "open 0.5"])
def test_looks_that_pool_read_the_sum_of_scores(looks):
    case = link(trial(1.5, 0), trial(2.5, 1), trial(2.0, 2), looks=looks)
    information = np.arange(1, 4) / 0.4**2
    scores = np.cumsum([1.5, 2.5, 2.0]) / 0.4
    expected = running_p(scores, information, look_plan(looks)).p_values
    assert p_of(case) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("looks", ["single", "retest", "planned 4", "capped 0.1", "open 0.4"])
def test_running_p_values_never_rise_and_nothing_is_withdrawn(looks):
    rng = np.random.default_rng(7)
    for _ in range(20):
        cases = [
            link(*(trial(rng.normal(1.5), t) for t in range(6) if rng.random() < 0.7), looks=looks) for _ in range(8)
        ]
        found = replay(cases, fdr=0.1)
        for family in FAMILIES:
            assert np.all(np.diff(found.p_values[family], axis=1) <= 0)
            steps = found.published[family]
            assert all(before <= after for before, after in pairwise(steps))


def test_what_came_later_changes_no_earlier_step():
    """E06, and the law behind the ledger: the past of a portfolio is a function of what counted then."""
    rng = np.random.default_rng(3)
    cases = [link(*(trial(rng.normal(2), t) for t in range(5)), looks="planned 5") for _ in range(6)]
    whole = replay(cases, fdr=0.1)
    for t in range(5):
        early = replay([replace(c, trials=c.trials[: t + 1]) for c in cases], fdr=0.1)
        for family in FAMILIES:
            assert early.p_values[family] == pytest.approx(whole.p_values[family][:, : t + 1])
            assert early.published[family] == whole.published[family][: t + 1]


def test_sets_are_those_of_the_rule_given_what_was_published():
    rng = np.random.default_rng(11)
    cases = [link(*(trial(rng.normal(2), t) for t in range(3)), looks="planned 3") for _ in range(12)]
    found, before = replay(cases, fdr=0.1), frozenset()
    for t in range(3):
        before = publish(found.p_values["direction"][:, t], q=0.1, slots=12, published=before)
        assert found.published["direction"][t] == before
    assert found.since("direction", min(before)) is not None


def test_a_new_horizon_starts_with_empty_sets_and_old_p_values():
    """Two links at z = 2.6 carry a third over the line while they are in the set, not after it was emptied."""
    cases = [link(trial(3.5, 0)), link(trial(2.5, 1)), link(trial(2.4, 1)), *[link()] * 5]
    one, two = replay(cases, fdr=0.1), replay(cases, fdr=0.1, first=1)
    assert np.array_equal(one.p_values["direction"], two.p_values["direction"])
    assert one.published["direction"][1] >= two.published["direction"][1]
    assert two.since("direction", 0) in (0, 1)


def test_waiting_and_blocked_links_have_no_evidence_in_the_family():
    sure = trial(9.0)
    found = replay([link(sure, waiting=True), link(replace(sure, blocked="lost log")), link(sure)], fdr=0.1)
    assert found.p_values["direction"][:, -1].tolist()[:2] == [1.0, 1.0]
    assert found.published["direction"][-1] == {2}
    decisions, _ = judge_portfolio([link(sure, waiting=True)])
    assert (decisions[0].cause, decisions[0].verdict) == ("waiting for a slot", VerdictWord.INCONCLUSIVE)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_confirms_what_is_sure_and_nothing_that_is_not(mode):
    cases = [link(trial(8.0), trial(8.0, 1)), *(link(trial(0.3, name=f"E{i}", se=1.0)) for i in range(5))]
    decisions, portfolio = judge_portfolio(cases, mode=mode)
    assert [d.verdict.value for d in decisions][:2] == ["confirmed", "inconclusive"]
    assert portfolio.published["direction"][-1] == {0}


@pytest.mark.parametrize(
    ("options", "what"), [({"fdr": 1.0}, "fdr 1.0 is not"), ({"fdr": 0.1, "mode": "close"}, "Did you mean 'closed'")]
)
def test_a_rule_that_does_not_exist_is_refused(options, what):
    with pytest.raises(EstimationError, match=what):
        replay([link(trial(1.0))], **options)


# -- ageing, projections, generality: rows of the decision table that need time or many experiments --------------------


def only(case, **options):
    return judge_portfolio([case], **options)[0][0]


def quarters(*z, start=8000, **fields):
    return tuple(trial(v, t, quarter=start + t, **fields) for t, v in enumerate(z))


def test_confirmed_evidence_expires_after_four_quarters_without_a_fresh_one():
    """E07."""
    case = link(*quarters(6.0))
    assert only(replace(case, now=8003)).verdict is VerdictWord.CONFIRMED
    late = only(replace(case, now=8004))
    assert (late.verdict, late.cause) == (VerdictWord.INCONCLUSIVE, "evidence expired")
    assert only(case).verdict is VerdictWord.CONFIRMED  # without a date nothing is old


def test_a_holdout_keeps_evidence_fresh_and_is_no_look():
    kept = trial(6.0, 4, name="H", quarter=8004, holdout=True)
    case = link(*quarters(6.0), kept, now=8005)
    found = only(case)
    assert found.verdict is VerdictWord.CONFIRMED
    assert found.p_value == pytest.approx(special.ndtr(-6.0))
    assert "H is a holdout" in " ".join(found.reasons)


def test_a_link_that_died_is_at_risk_and_then_faded():
    alive, dead = [6.0, 6.0], [0.0] * 6
    now = 8001 + len(dead)
    case = link(*quarters(*alive, *dead, se=0.25), looks="planned 8", now=now)
    assert only(case).cause in ("faded", "heterogeneous")
    weaker = link(*quarters(6.0, 6.0, 6.0, 0.4, 0.4, 0.4, 0.4, se=0.4), looks="planned 7", now=8006, sesoi=0.5)
    found = only(weaker)
    assert found.at_risk or found.cause in ("faded", "heterogeneous", "real but small so far")


def test_an_at_risk_link_stays_confirmed_and_says_so():
    rows = (*quarters(5.0, se=0.3), trial(0.9, 4, name="late", se=1.5, quarter=8004))
    found = only(link(*rows, looks="planned 2", now=8004))
    assert (found.verdict, found.at_risk) == (VerdictWord.CONFIRMED, True)
    assert "At risk: the last four quarters alone no longer show it" in " ".join(found.reasons)


def test_a_projection_confirms_nothing_and_is_told_with_its_day():
    shown = only(link(trial(9.0, projected="2027-03-31")))
    assert (shown.verdict, shown.cause, shown.grade, shown.p_value) == (
        VerdictWord.INCONCLUSIVE,
        "provisional",
        "C",
        1.0,
    )
    assert shown.effect == pytest.approx(3.6)
    assert "Provisional until 2027-03-31" in shown.reasons[0]
    with_real = only(link(trial(9.0), trial(0.0, name="P", projected="2027-03-31")))
    assert with_real.verdict is VerdictWord.CONFIRMED
    assert "P is a projection until 2027-03-31" in " ".join(with_real.reasons)


def test_past_data_that_contradict_the_trials_are_shown_and_not_averaged():
    """E05."""
    apart = link(trial(0.0, se=0.1), past_interval=(2.0, 3.0))
    found = only(apart)
    assert found.verdict is VerdictWord.REFUTED
    assert "Past data say otherwise (+2.00 to +3.00)" in " ".join(found.reasons)
    agreeing = only(link(trial(0.0, se=0.1), past_interval=(-0.1, 3.0)))
    assert "Past data" not in " ".join(agreeing.reasons)
    assert found.effect == agreeing.effect


def test_many_experiments_that_agree_hold_for_levers_in_general():
    rng = np.random.default_rng(2)
    many = link(*(trial(6.0 + rng.standard_normal(), name=f"E{i}", lever=f"L{i}") for i in range(24)))
    found = only(many)
    assert found.general
    assert found.verdict is VerdictWord.CONFIRMED
    assert "levers in general" in " ".join(found.reasons)
    few = only(link(*(trial(6.0, name=f"E{i}", lever=f"L{i}") for i in range(12))))
    assert not few.general
    assert "for the levers that were tried" in " ".join(few.reasons)
    assert MATERIAL_E == 20.0


def test_a_shared_direct_path_is_seen_where_orientation_was_declared():
    rng = np.random.default_rng(5)
    trials = []
    for i in range(60):
        move = 5 + 10 * rng.random()
        direct = 6.0
        pair = EffectPair(
            effect_cpi=move + 0.3 * rng.standard_normal(), effect_kpi=direct + 0.5 * rng.standard_normal(),
            var_cpi=0.09, var_kpi=0.25, cov=0.0,
        )  # fmt: skip
        trials.append(Trialed(experiment=f"E{i}", lever=f"L{i}", pair=pair, planned_move=10.0, orientation=1))
    told = link(*trials, sesoi=0.2)
    assert only(told).cause == "direct path"
    silent = link(*(replace(t, orientation=0) for t in trials), sesoi=0.2)
    assert only(silent).cause != "direct path"


# -- the table ---------------------------------------------------------------------------------------------------------


def rows_of(case, name="quote -> win", **columns):
    return [
        {
            "link": name, "experiment": t.experiment, "lever": t.lever, "effect_cpi": t.pair.effect_cpi,
            "effect_kpi": t.pair.effect_kpi, "var_cpi": t.pair.var_cpi, "var_kpi": t.pair.var_kpi, "cov": t.pair.cov,
            "sesoi": case.sesoi, "expected_sign": 1, "planned_move": t.planned_move, "looks": str(case.looks), **columns,
            "quarter": f"{t.quarter // 4}Q{t.quarter % 4 + 1}",
        }
        for t in case.trials
    ]  # fmt: skip


def test_a_table_is_judged_at_every_quarter_as_it_would_have_been():
    case = link(*quarters(2.0, 3.0, 3.0, start=quarter_number("2026Q1")), looks="planned 3", sesoi=0.3)
    table = pd.DataFrame(rows_of(case))
    words = [judge_links(table, as_of=q)["verdict"].item() for q in ("2025Q4", "2026Q1", "2026Q2", "2026Q3")]
    assert words == ["inconclusive", "inconclusive", "confirmed", "confirmed"]
    last = judge_links(table)
    assert last["since"].item() == "2026Q2"
    assert last["p_value"].item() == pytest.approx(p_of(case)[-1])
    early = judge_links(table, as_of="2025Q4")
    assert early["cause"].item() == "no evidence"


def test_looks_in_a_table_may_be_days_or_numbers():
    case = link(*quarters(2.0, 3.0, start=quarter_number("2026Q1")), looks="retest")
    base = pd.DataFrame(rows_of(case)).drop(columns="quarter")
    ways = (["2026-03-31", "2026-06-30"], [1, 2], ["9", "10"], ["2026Q1", "2026Q2"])
    found = [judge_links(base.assign(looked_at=way))["p_value"].item() for way in ways]
    assert found == pytest.approx([found[0]] * len(ways))
    assert found[0] == pytest.approx(min(special.ndtr(-2.0) / 0.8, special.ndtr(-3.0) / 0.1))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"quarter": "2026Q5"}, "'2026Q5' is not a quarter"),
        ({"looked_at": ["2026Q1", "3"]}, "written in different ways"),
        ({"looked_at": ["2026Q1", ""], "quarter": ""}, "looked_at is empty in 1 of 2 rows"),
        ({"looked_at": "soon"}, "looked_at 'soon' is no look"),
        ({"holdout": "maybe"}, "holdout is 'maybe'"),
        ({"projected": "next year"}, "projected is 'next year'"),
        ({"orientation": 2.0}, "orientation is 2.0"),
        ({"looks": ["single", "retest"]}, "looks differs between rows"),
    ],
)
def test_wrong_words_about_time_are_told(change, what):
    table = pd.DataFrame(rows_of(link(*quarters(2.0, 3.0)))).assign(**change)
    with pytest.raises(DataError, match=what):
        judge_links(table)


def test_as_of_needs_quarters():
    table = pd.DataFrame(rows_of(link(*quarters(2.0)))).drop(columns="quarter")
    with pytest.raises(DataError, match="as_of needs the column quarter"):
        judge_links(table, as_of="2026Q1")
