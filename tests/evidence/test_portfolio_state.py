"""Quarter after quarter from the ledger: the state of the rule is kept, replayed, and may not be changed mid-way."""

import math
from dataclasses import replace
from datetime import date

import pytest
from scipy import special

from cpi_experiments.catalog.entities import CPI, KPI, Benefit, Catalog, Function, Measure, Team
from cpi_experiments.errors import DesignError
from cpi_experiments.estimate import EffectPair, Estimand, Estimate, Link
from cpi_experiments.evidence.looked_at import quarter_of
from cpi_experiments.evidence.portfolio_state import (
    HORIZON,
    PORTFOLIO,
    FrozenRule,
    PortfolioState,
    read_states,
    record_state,
    rule_for,
)
from cpi_experiments.evidence.quarter import judge_quarter
from cpi_experiments.evidence.record import record, record_verdicts
from cpi_experiments.evidence.verdict import Design, Evidence, VerdictWord
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.hypotheses.registry import register
from cpi_experiments.ledger import Ledger
from cpi_experiments.units import Direction, Increment

ENDS = {
    "2026Q1": date(2026, 3, 31), "2026Q2": date(2026, 6, 30), "2026Q3": date(2026, 9, 30), "2026Q4": date(2026, 12, 31),
    "2027Q1": date(2027, 3, 31), "2027Q4": date(2027, 12, 31), "2028Q1": date(2028, 3, 31),
}  # fmt: skip


def _measure(column):
    return Measure(table="events", entity="customer_id", at="at", value=column)


CPIS = [f"hours_{i}" for i in range(6)]
CATALOG = Catalog(
    cpis={
        name: CPI(
            id=name, label=name, outcome="It is fast", unit="hour", better=Direction.LOWER, increment=Increment.parse("1 hour"),
            measure=_measure(name), benefit=Benefit.FUNCTIONAL, function=Function.SALES,
        )
        for name in CPIS
    },
    kpis={"win_rate": KPI(id="win_rate", label="Win rate", unit="fraction", better=Direction.HIGHER, measure=_measure("won"))},
    teams={"sales": Team(id="sales", label="Sales", function=Function.SALES)},
    levers={},
)  # fmt: skip


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.sqlite")


def claims(ledger, n=1, **fields):
    links = [Link(cpi_id=name, kpi_id="win_rate") for name in CPIS[:n]]
    return [register(Hypothesis(link=link, expected_sign=1, sesoi=0.001, **fields), ledger) for link in links]


def note(ledger, hypothesis, experiment, ended, *, z=3.0, se=0.002, **fields):
    """An experiment whose effect per increment is z standard errors; ten increments moved, very sure."""
    estimate = Estimate(
        cause="c", outcome="k", estimand=Estimand.LATE, value=0.01, std_error=0.002, ci_low=0.006, ci_high=0.014,
        p_value=0.001, unit="u", n_obs=10, method="m",
    )  # fmt: skip
    pair = EffectPair(effect_cpi=10.0, effect_kpi=10 * z * se, var_cpi=1e-9, var_kpi=(10 * se) ** 2, cov=0.0)
    evidence = Evidence(
        link=hypothesis.link, design=Design.RANDOMIZED, estimate=estimate, hypothesis_digest=hypothesis.digest,
        experiment=experiment, lever="auto", pair=pair, planned_move=10.0, ended=ended, **fields,
    )  # fmt: skip
    return record(ledger, evidence)


def run(ledger, quarter, **options):
    judged = judge_quarter(ledger, CATALOG, as_of=ENDS[quarter], **options)
    record_state(ledger, judged.state)
    record_verdicts(ledger, judged.verdicts, quarter=quarter)
    return judged


def test_the_state_of_the_rule_comes_back_from_the_ledger(ledger):
    (claim,) = claims(ledger)
    note(ledger, claim, "E1", "2026-03-01")
    state = run(ledger, "2026Q1").state
    (back,) = read_states(ledger)
    assert back == state
    link = str(claim.link)
    assert (back.label, list(back.counted[link]), back.looks[link]) == ("2026Q1", ["E1"], "retest")
    assert back.rule == FrozenRule(fdr=0.1, slots=4, mode="closed", start=4 * 2026)
    assert back.rule.levels == (1, 2, 3)
    score, information = back.scores[link]["direction"]
    assert score / math.sqrt(information) == pytest.approx(3.0, rel=1e-3)
    assert back.p_values[link]["direction"] == pytest.approx(special.ndtr(-3) / 0.8, rel=1e-2)
    assert back.published["direction"] == (link,)
    assert "at most 10% are expected to be wrong" in str(back)


def test_judging_again_without_news_is_no_look_and_writes_nothing(ledger):
    (claim,) = claims(ledger)
    note(ledger, claim, "E1", "2026-03-01", z=2.0)
    first = run(ledger, "2026Q1")
    rows = len(ledger.rows())
    assert run(ledger, "2026Q1") == first
    assert len(ledger.rows()) == rows
    second = run(ledger, "2026Q2")
    assert second.state.p_values == first.state.p_values


def test_a_later_experiment_is_a_new_plan_not_a_larger_sample(ledger):
    """Two looks at z = 2 and z = 2.9: the second is judged alone, at an eighth of the first one's share."""
    (claim,) = claims(ledger)
    note(ledger, claim, "E1", "2026-03-01", z=2.0)
    run(ledger, "2026Q1")
    note(ledger, claim, "E2", "2026-06-01", z=2.9)
    (verdict,) = run(ledger, "2026Q2").verdicts
    assert verdict.p_value == pytest.approx(min(special.ndtr(-2.0) / 0.8, special.ndtr(-2.9) / 0.1), rel=0.02)
    assert verdict.verdict is VerdictWord.INCONCLUSIVE
    late = Ledger(ledger.path.parent / "late.sqlite")
    (claim,) = claims(late)
    note(late, claim, "E1", "2026-03-01", z=2.0)
    note(late, claim, "E2", "2026-06-01", z=2.9)
    assert run(late, "2026Q2").verdicts[0].p_value == verdict.p_value  # judging late gives no look back
    together = Ledger(ledger.path.parent / "together.sqlite")
    (claim,) = claims(together)
    note(together, claim, "E1", "2026-05-01", z=2.0)
    note(together, claim, "E2", "2026-06-01", z=2.9)
    assert run(together, "2026Q2").verdicts[0].verdict is VerdictWord.CONFIRMED  # one look at both


def test_peeking_every_quarter_pays_for_every_look(ledger):
    (claim,) = claims(ledger, looks="planned 4")
    p_values = []
    for i, quarter in enumerate(("2026Q1", "2026Q2", "2026Q3", "2026Q4")):
        note(ledger, claim, f"E{i}", str(ENDS[quarter]), z=1.0)
        p_values.append(run(ledger, quarter).verdicts[0].p_value)
    assert p_values == sorted(p_values, reverse=True)
    assert p_values[-1] > special.ndtr(-2.0)  # what one look at all four would have said


def test_a_published_link_stays_when_its_neighbours_fall_silent(ledger):
    strong, weak, *_ = claims(ledger, 3)
    note(ledger, strong, "E1", "2026-03-01", z=5.0)
    note(ledger, weak, "E1", "2026-03-01", z=2.4, se=0.004)
    before = run(ledger, "2026Q1")
    note(ledger, strong, "E2", "2026-06-01", z=-1.0)
    after = run(ledger, "2026Q2")
    assert set(before.state.published["direction"]) <= set(after.state.published["direction"])


def test_verdicts_tell_their_history_and_since_when(ledger):
    (claim,) = claims(ledger, looks="planned 2")
    note(ledger, claim, "E1", "2026-03-01", z=2.2)
    run(ledger, "2026Q1")
    note(ledger, claim, "E2", "2026-06-01", z=4.0)
    (verdict,) = run(ledger, "2026Q2").verdicts
    assert (verdict.since, verdict.history) == ("2026Q2", ("2026Q1 inconclusive, B",))
    assert "Before: 2026Q1 inconclusive, B." in str(verdict).replace("\n", " ")


def test_an_old_quarter_is_judged_as_it_was(ledger):
    (claim,) = claims(ledger)
    note(ledger, claim, "E1", "2026-03-01", z=2.0)
    first = run(ledger, "2026Q1")
    note(ledger, claim, "E2", "2026-06-01", z=6.0)
    run(ledger, "2026Q2")
    again = judge_quarter(ledger, CATALOG, as_of=ENDS["2026Q1"])
    assert again.verdicts[0].verdict is first.verdicts[0].verdict
    assert again.verdicts[0].p_value == first.verdicts[0].p_value
    assert "E2 is not counted: it ended on 2026-06-01, after the quarter" in " ".join(again.verdicts[0].reasons)


def test_evidence_that_turns_out_broken_is_taken_back(ledger):
    """Nothing is withdrawn by chance; what was wrong is."""
    (claim,) = claims(ledger)
    note(ledger, claim, "E1", "2026-03-01", z=6.0)
    assert run(ledger, "2026Q1").verdicts[0].verdict is VerdictWord.CONFIRMED
    note(ledger, claim, "E1", "2026-03-01", z=6.0, blocked="the log of one arm was lost")
    judged = run(ledger, "2026Q2")
    assert judged.verdicts[0].verdict is VerdictWord.BLOCKED
    assert judged.state.published["direction"] == ()


@pytest.mark.parametrize(
    ("options", "what"),
    [({"fdr": 0.2}, "fdr is 0.2"), ({"mode": "plain"}, "mode is plain"), ({"slots": 9}, "slots is 9")],
)
def test_the_rule_of_a_horizon_may_not_change(ledger, options, what):
    claims(ledger)
    run(ledger, "2026Q1")
    with pytest.raises(DesignError, match=what) as caught:
        run(ledger, "2026Q2", **options)
    assert "until 2028Q1" in str(caught.value)
    assert run(ledger, "2028Q1", **options).state.rule.start == quarter_of(ENDS["2028Q1"])


def test_a_new_horizon_counts_its_links_again(ledger):
    claims(ledger)
    assert run(ledger, "2026Q1").state.rule.slots == 4
    claims(ledger, 6)
    assert run(ledger, "2027Q4").state.rule.slots == 4
    assert run(ledger, "2028Q1").state.rule.slots == 8  # six links and a fifth


def test_links_beyond_the_places_wait_for_the_next_horizon(ledger):
    claims(ledger)
    run(ledger, "2026Q1")
    *_, last = claims(ledger, 6)
    note(ledger, last, "E1", "2026-05-01", z=9.0)
    judged = run(ledger, "2026Q2")
    assert [v.cause for v in judged.verdicts].count("waiting for a slot") == 2
    assert judged.verdicts[-1].cause == "waiting for a slot"
    assert str(last.link) not in judged.state.p_values
    note(ledger, last, "E2", "2028-02-01", z=9.0)
    assert run(ledger, "2028Q1").verdicts[-1].verdict is VerdictWord.CONFIRMED


def test_a_horizon_is_eight_quarters_and_without_quarters_it_has_no_end():
    frozen = FrozenRule(fdr=0.1, slots=5, start=100)
    states = (PortfolioState(label="a", rule=frozen),)
    asked = {"fdr": 0.1, "slots": None, "mode": "closed", "links": 9}
    assert rule_for(states, quarter=100 + HORIZON - 1, **asked) == frozen
    new = rule_for(states, quarter=100 + HORIZON, **asked)
    assert (new.slots, new.start) == (11, 100 + HORIZON)
    with pytest.raises(DesignError, match="lies before the horizon that was started in 25Q1"):
        rule_for(states, quarter=99, **asked)
    endless = (PortfolioState(label="", rule=replace(frozen, start=None)),)
    assert rule_for(endless, quarter=None, **asked).slots == 5


def test_projections_and_holdouts_in_the_ledger_are_told_as_such(ledger):
    first, second = claims(ledger, 2)
    note(ledger, first, "P1", "2026-03-01", z=9.0, projected="2026-12-31")
    note(ledger, second, "E1", "2026-03-01", z=9.0)
    note(ledger, second, "H1", "2027-03-01", z=9.0, holdout=True)
    assert run(ledger, "2026Q1").verdicts[0].cause == "provisional"
    late = run(ledger, "2027Q1").verdicts[1]
    assert (late.verdict, late.experiments) == (VerdictWord.CONFIRMED, ("E1",))
    note(ledger, first, "P1", "2026-12-31", z=9.0)  # the KPI itself is known now
    assert run(ledger, "2027Q1").verdicts[0].verdict is VerdictWord.CONFIRMED


def test_what_was_looked_at_keeps_its_numbers(ledger):
    """E06: Analysing the same experiment again, with more data, is no second look; nor does it take the first one back."""
    first, second = claims(ledger, 2, looks="single")
    note(ledger, first, "E1", "2026-03-01", z=1.5)
    note(ledger, second, "E1", "2026-03-01", z=4.0)
    before = run(ledger, "2026Q1")
    note(ledger, first, "E1", "2026-03-01", z=5.0)
    note(ledger, second, "E1", "2026-03-01", z=0.5)
    after = run(ledger, "2026Q2")
    assert [v.p_value for v in after.verdicts] == [v.p_value for v in before.verdicts]
    assert [v.verdict for v in after.verdicts] == [v.verdict for v in before.verdicts]
    assert "E1 was analysed again after its look" in " ".join(after.verdicts[0].reasons)


def test_an_exploratory_analysis_does_not_give_a_spent_look_back(ledger):
    (claim,) = claims(ledger, looks="single")
    note(ledger, claim, "E1", "2026-03-01", z=-1.0)
    run(ledger, "2026Q1")
    note(ledger, claim, "E2", "2026-06-01", z=3.0)
    note(ledger, claim, "E1", "2026-03-01", z=-1.0, exploratory="the plan was changed")
    (verdict,) = run(ledger, "2026Q2").verdicts
    assert verdict.verdict is VerdictWord.INCONCLUSIVE
    assert verdict.p_value == pytest.approx(special.ndtr(1.0), rel=0.01)


def test_one_set_of_customers_counts_once_under_any_name(ledger):
    """E06."""
    (claim,) = claims(ledger, looks="planned 4")
    for i, quarter in enumerate(("2026Q1", "2026Q2", "2026Q3", "2026Q4")):
        note(ledger, claim, f"E{i}", str(ENDS[quarter]), z=2.0, data_digest="d" * 64)
        found = run(ledger, quarter)
    (verdict,) = found.verdicts
    assert verdict.experiments == ("E0",)
    assert "E3 is only exploratory: its data are those of E0, under another name" in " ".join(verdict.reasons)


def test_an_experiment_that_comes_late_is_looked_at_late(ledger):
    """Its quarter was judged without it: adding it there would choose the looks afterwards."""
    (claim,) = claims(ledger, looks="single")
    note(ledger, claim, "E2", "2026-06-01", z=1.0)
    run(ledger, "2026Q2")
    note(ledger, claim, "E1", "2026-03-01", z=5.0)
    (verdict,) = run(ledger, "2026Q3").verdicts
    assert verdict.p_value == pytest.approx(special.ndtr(-1.0), rel=0.01)
    assert run(ledger, "2026Q4").verdicts[0].p_value == verdict.p_value


def test_judging_an_earlier_quarter_changes_no_rule(ledger):
    claims(ledger)
    run(ledger, "2026Q2", slots=12)
    with pytest.raises(DesignError, match="2026Q1 lies before the horizon that was started in 2026Q2"):
        run(ledger, "2026Q1", slots=4)
    assert run(ledger, "2026Q3").state.rule.slots == 12


def test_an_old_quarter_judged_again_does_not_rewrite_history(ledger):
    (claim,) = claims(ledger, looks="planned 2")
    note(ledger, claim, "E1", "2026-03-01", z=1.0)
    run(ledger, "2026Q1")
    run(ledger, "2026Q2")
    record_verdicts(
        ledger, (replace(run(ledger, "2026Q2").verdicts[0], verdict=VerdictWord.CONFIRMED),), quarter="2026Q1"
    )
    assert run(ledger, "2026Q3").verdicts[0].history == ("2026Q1 inconclusive, C", "2026Q2 inconclusive, C")


def test_a_broken_trial_takes_nothing_from_other_links(ledger):
    """E01."""
    strong, weak = claims(ledger, 2)
    note(ledger, strong, "E1", "2026-03-01", z=5.0)
    note(ledger, weak, "E1", "2026-03-01", z=2.5)
    before = run(ledger, "2026Q1")
    note(ledger, strong, "E9", "2026-06-01", z=5.0, blocked="sample ratio p = 1e-9")
    after = run(ledger, "2026Q2")
    assert after.verdicts[0].verdict is VerdictWord.BLOCKED
    assert after.verdicts[1].p_value == before.verdicts[1].p_value
    assert before.state.published["direction"] == after.state.published["direction"]


def test_states_are_rows_of_their_own_in_the_chain(ledger):
    claims(ledger)
    run(ledger, "2026Q1")
    assert [row.subject for row in ledger.rows(action=PORTFOLIO)] == ["2026Q1"]
    assert ledger.verify() == ()


def test_judging_without_quarters_first_takes_nothing_from_judging_with_them(ledger):
    (claim,) = claims(ledger)
    note(ledger, claim, "E1", "2026-03-01", z=5.0)
    record_state(ledger, judge_quarter(ledger, CATALOG).state)
    assert run(ledger, "2026Q1").verdicts[0].verdict is VerdictWord.CONFIRMED
