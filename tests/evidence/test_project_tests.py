"""What a project should test next: verdicts, trials and catalog together."""

import math
from dataclasses import dataclass, replace
from datetime import date

import pytest

from cpi_experiments.catalog.entities import (
    CPI,
    KPI,
    Benefit,
    Catalog,
    Function,
    Lever,
    Measure,
    Target,
    Team,
    Worth,
)
from cpi_experiments.errors import DesignError, LedgerError
from cpi_experiments.estimate import EffectPair, Estimand, Estimate, Link
from cpi_experiments.evidence.next.facts import Facts, Tried
from cpi_experiments.evidence.next.project_tests import judged_quarter, next_tests_of, recorded_verdicts
from cpi_experiments.evidence.record import record, record_verdicts
from cpi_experiments.evidence.verdict import Design, Evidence, Verdict, VerdictWord
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.hypotheses.registry import register
from cpi_experiments.ledger import Ledger
from cpi_experiments.units import Direction, Increment

LINK, OTHER = Link.parse("hours -> won"), Link.parse("reply -> won")
NOW = date(2026, 12, 31)
OPEN, CONFIRMED, REFUTED = VerdictWord.INCONCLUSIVE, VerdictWord.CONFIRMED, VerdictWord.REFUTED


@dataclass(frozen=True)
class Plan:
    """What `next` asks of a planned experiment."""

    id: str
    lever: str = "auto"
    links: tuple[Link, ...] = (LINK,)
    start: str = "2026-05-01"
    end: str = "2026-05-28"
    planned_move: float = 4.0


def measure(column):
    return Measure(table="events", entity="customer_id", at="at", value=column)


def cpi(key, target=None):
    return CPI(
        id=key, label=key, outcome="It is good", unit="hour", better=Direction.LOWER, increment=Increment.parse("1 hour"),
        measure=measure(key), benefit=Benefit.FUNCTIONAL, function=Function.SALES, target=target,
    )  # fmt: skip


def lever(key, *moves, cost=None, randomize="customer_id"):
    return Lever(
        id=key, label=key, team="sales", moves=dict.fromkeys(moves, Direction.LOWER), randomize=randomize, cost=cost
    )


WORTH = Worth(amount=300.0, currency="EUR")
CATALOG = Catalog(
    cpis={"hours": cpi("hours", Target(baseline=36.0, value=24.0)), "reply": cpi("reply")},
    kpis={
        "won": KPI(id="won", label="Won", unit="fraction", better=Direction.HIGHER, measure=measure("won"), worth=WORTH,
                   target=Target(baseline=0.2)),
        "churn": KPI(id="churn", label="Churn", unit="fraction", better=Direction.LOWER, measure=measure("churn"), worth=WORTH),
        "spend": KPI(id="spend", label="Spend", unit="EUR", better=Direction.HIGHER, measure=measure("spend")),
    },
    teams={"sales": Team(id="sales", label="Sales", function=Function.SALES)},
    levers={"auto": lever("auto", "hours"), "portal": lever("portal", "hours", cost=2_000.0), "chat": lever("chat", "reply")},
)  # fmt: skip


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def claim(ledger, link=LINK, *, sign=1, sesoi=0.004, **fields):
    return register(Hypothesis(link=link, expected_sign=sign, sesoi=sesoi, **fields), ledger)


def trial(ledger, hypothesis, experiment="E1", *, by="auto", n=4000, x=5.0, y=0.02, var_cpi=0.04, blocked="", **fields):
    estimate = Estimate(
        cause="c", outcome="k", estimand=Estimand.LATE, value=y / x, std_error=0.002, ci_low=0.0, ci_high=0.01,
        p_value=0.02, unit="u", n_obs=n, method="m",
    )  # fmt: skip
    pair = EffectPair(effect_cpi=x, effect_kpi=y, var_cpi=var_cpi, var_kpi=4 * 0.16 / n, cov=0.0)
    return record(
        ledger,
        Evidence(
            link=hypothesis.link, design=Design.RANDOMIZED, estimate=estimate, reduced_form=estimate, pair=pair,
            hypothesis_digest=hypothesis.digest, experiment=experiment, lever=by, planned_move=4.0, blocked=blocked, **fields,
        ),
    )  # fmt: skip


def verdict(link=LINK, word=OPEN, **fields):
    content = {"grade": "B", "effect": 0.004, "effect_shrunken": 0.003, "ci_low": -0.002, "ci_high": 0.01, "sesoi": 0.004,
               "cause": "" if word is CONFIRMED else "underpowered", "levers": ("auto",), "experiments": ("E1",)}  # fmt: skip
    return Verdict(link=link, verdict=word, **content | fields)


def ask(ledger, *verdicts, catalog=CATALOG, plans=(Plan("E1"),), **options):
    return next_tests_of(ledger, catalog, verdicts=verdicts, as_of=NOW, plans=plans, **options)


def only(ledger, *verdicts, **options):
    (test,) = ask(ledger, *verdicts, **options).tests
    return test


def test_open_link_is_tested_with_what_its_trial_taught(ledger):
    trial(ledger, claim(ledger))
    test = only(ledger, verdict())
    assert (test.link, test.lever, test.new_lever, test.lever_cost) == ("hours -> won", "auto", False, 0.0)
    sd = math.sqrt(0.16 + 0.003**2 * 0.04 * 1000)  # KPI less slope x CPI, for equal arms
    assert test.std_error == pytest.approx(2 * sd / (5 * math.sqrt(test.n)))
    assert test.weeks == pytest.approx(4 + test.n * 28 / 4000 / 7)
    assert test.inert_chance == pytest.approx(0, abs=1e-12)
    assert not test.acts_today
    assert " points per step" in test.answers


def test_value_is_worth_times_steps_times_customers_of_a_year(ledger):
    trial(ledger, claim(ledger))
    base = only(ledger, verdict())
    richer = replace(
        CATALOG, kpis=CATALOG.kpis | {"won": replace(CATALOG.kpis["won"], worth=replace(WORTH, amount=600.0))}
    )
    assert only(ledger, verdict(), catalog=richer).value == pytest.approx(2 * base.value)
    nearer = replace(CATALOG, cpis=CATALOG.cpis | {"hours": cpi("hours", Target(baseline=36.0, value=35.0))})
    assert only(ledger, verdict(), catalog=nearer).value == pytest.approx(
        base.value / 5
    )  # 1 step instead of the 5 moved
    assert ask(ledger, verdict()).currency == "EUR"


def test_link_without_a_verdict_counts_as_not_tested(ledger):
    trial(ledger, claim(ledger))
    claim(ledger, OTHER)
    found = ask(ledger, verdict())
    test = next(t for t in found.tests if t.link == "reply -> won")
    assert (test.lever, test.new_lever, test.grade) == ("chat", True, "")
    assert test.inert_chance == pytest.approx((0.2 * 5 + 0) / 6, abs=1e-9)  # one trial, its lever not inert
    assert not test.acts_today
    assert test.weeks == pytest.approx(4 + test.n * 28 / 4000 / 7)  # the pace of the KPI's other trials


def test_without_any_trial_shares_are_planned_from_their_baseline(ledger):
    claim(ledger)
    found = ask(ledger, plans=())
    assert found.scarce == "customers"
    assert [math.isnan(test.weeks) for test in found.tests] == [True]
    assert found.tests[0].std_error == pytest.approx(2 * 0.4 / math.sqrt(found.tests[0].n))  # one step, sd of 20 %
    assert found.notes[-1].startswith("No trial says how many customers enter a day")
    spend = Link.parse("hours -> spend")
    claim(ledger, spend, sesoi=1.0)
    assert ("hours -> spend", "nobody knows how much spend varies between customers: no trial measured it.") in ask(
        ledger, plans=()
    ).left_out


@pytest.mark.parametrize(
    ("word", "fields", "why"),
    [
        (CONFIRMED, {"grade": "A"}, "confirmed, grade A: act on it; a small holdout keeps the evidence fresh."),
        (CONFIRMED, {"grade": "A+"}, "confirmed, grade A+: act on it"),
        (REFUTED, {"cause": "harmful"}, "refuted (harmful): nothing is left to find out"),
        (VerdictWord.BLOCKED, {}, "blocked: repair what broke its experiment first"),
    ],
)
def test_settled_links_are_left_out_and_it_is_said_why(ledger, word, fields, why):
    trial(ledger, claim(ledger))
    found = ask(ledger, verdict(word=word, **fields))
    assert found.tests == ()
    ((link, said),) = found.left_out
    assert link == "hours -> won"
    assert said.startswith(why)


def test_confirmed_link_of_grade_b_is_tested_with_new_levers_only(ledger):
    trial(ledger, claim(ledger))
    shaky = {"effect_shrunken": 0.0045, "ci_low": 0.001, "ci_high": 0.011}
    test = only(ledger, verdict(word=CONFIRMED, **shaky))
    assert (test.lever, test.new_lever, test.lever_cost) == ("portal", True, 2_000.0)
    both = verdict(word=CONFIRMED, levers=("auto", "portal"), **shaky)
    assert ask(ledger, both).left_out == (
        ("hours -> won", "confirmed, grade B: a second lever would lift it to A, and the catalog has none."),
    )
    assert only(ledger, replace(both, at_risk=True, grade="A")).link == "hours -> won"  # a re-test is due


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("2026-12-15", "E9 runs; its answer is due on 2027-02-18."),
        ("2027-01-05", "E9 is planned; its answer is due on 2027-02-18."),
    ],
)
def test_links_that_an_experiment_is_about_to_answer_wait_for_it(ledger, start, why):
    trial(ledger, claim(ledger))
    found = ask(ledger, verdict(), plans=(Plan("E1"), Plan("E9", start=start, end="2027-01-21")))
    assert (found.tests, found.left_out) == ((), (("hours -> won", why),))


def test_looks_decide_how_much_of_the_threshold_is_left(ledger, tmp_path):
    trial(ledger, claim(ledger))
    retest = only(ledger, verdict())
    with Ledger(tmp_path / "single.sqlite") as other:
        trial(other, claim(other, looks="single"))
        single = only(other, verdict())
    with Ledger(tmp_path / "capped.sqlite") as other:
        trial(other, claim(other, looks="capped 0.001"))
        capped = only(other, verdict())
    assert retest.n_refute > single.n_refute  # 0.8 of the threshold, against all of it
    assert capped.n_confirm < retest.n_confirm  # pooled with the trials so far


@pytest.mark.parametrize(
    ("levers", "why"),
    [
        ([], "no lever of the catalog moves hours."),
        ([lever("fixed", "hours", randomize="")], "fixed cannot be randomised"),
        ([lever("redesign", "hours", "reply")], "redesign moves other customer outcomes too"),
    ],
)
def test_links_without_a_usable_lever_say_what_is_missing(ledger, levers, why):
    claim(ledger)
    found = ask(ledger, catalog=replace(CATALOG, levers={each.id: each for each in levers}))
    assert found.tests == ()
    assert found.left_out[0][1].startswith(why)


def test_inert_levers_are_not_tried_again(ledger):
    trial(ledger, claim(ledger), x=0.05, var_cpi=0.01)
    fields = {"effect": math.nan, "effect_shrunken": math.nan, "ci_low": math.nan, "ci_high": math.nan, "levers": ()}
    alone = replace(CATALOG, levers={"auto": CATALOG.levers["auto"]})
    found = ask(ledger, verdict(cause="lever inert", **fields), catalog=alone)
    assert found.left_out == (("hours -> won", "auto does not move the CPI: another lever is needed."),)
    plans = (Plan("E1"), Plan("E7", lever="portal", planned_move=6.0))
    other = only(ledger, verdict(cause="lever inert", **fields), plans=plans)
    assert other.lever == "portal"
    assert other.inert_chance == pytest.approx(2 / 6, abs=1e-3)  # one of one was inert


def test_bundles_teach_nothing_about_one_outcome(ledger):
    trial(ledger, claim(ledger))
    test = only(ledger, verdict(cause="bundle", effect_shrunken=0.02))
    assert not test.acts_today
    unknown = ask(ledger, verdict(cause="no evidence", effect_shrunken=math.nan, effect=math.nan, ci_low=math.nan))
    assert test.decide_at == pytest.approx(unknown.tests[0].decide_at, rel=0.01)


def test_wide_or_unbounded_sets_leave_the_prior(ledger):
    trial(ledger, claim(ledger))
    unbounded = only(ledger, verdict(effect_shrunken=0.0, ci_low=-math.inf, ci_high=math.inf))
    wide = only(ledger, verdict(effect_shrunken=0.0, ci_low=-400.0, ci_high=400.0))
    assert unbounded.value == pytest.approx(wide.value, rel=1e-6)


def test_without_common_money_values_count_sesoi_steps(ledger):
    trial(ledger, claim(ledger))
    trial(ledger, claim(ledger, Link.parse("hours -> spend"), sesoi=1.0), y=2.0)
    spend = verdict(Link.parse("hours -> spend"), sesoi=1.0, effect=0.4, effect_shrunken=0.3, ci_low=-1.0, ci_high=1.8)
    found = ask(ledger, verdict(), spend)
    assert found.currency == ""
    assert found.notes[0].startswith("No common money (spend has no `worth`): values count steps of the smallest size")
    assert all(test.lever_cost == 0 for test in found.tests)
    dollars = replace(CATALOG.kpis["spend"], worth=Worth(amount=0.3, currency="USD"))
    mixed = ask(ledger, verdict(), spend, catalog=replace(CATALOG, kpis=CATALOG.kpis | {"spend": dollars}))
    assert "the worth of KPIs is in several currencies" in mixed.notes[0]
    euros = replace(CATALOG.kpis["spend"], worth=Worth(amount=0.3, currency="EUR"))
    same = ask(ledger, verdict(), spend, catalog=replace(CATALOG, kpis=CATALOG.kpis | {"spend": euros}))
    assert same.currency == "EUR"


def test_claims_of_damage_are_answered_the_other_way_round(ledger):
    """A claim that hours saved raise churn: if it is true we hold back."""
    link = Link.parse("hours -> churn")
    trial(ledger, claim(ledger, link))
    assert "the damage is real, hold it back" in only(ledger, verdict(link)).answers
    assert "scale it" not in only(ledger, verdict(link)).answers


def test_negative_claims_are_oriented_by_their_sign(ledger, tmp_path):
    trial(ledger, claim(ledger, Link.parse("hours -> churn"), sign=-1))
    fields = {"effect": -0.004, "effect_shrunken": -0.003, "ci_low": -0.01, "ci_high": 0.002, "expected_sign": -1}
    down = only(ledger, verdict(Link.parse("hours -> churn"), **fields))
    with Ledger(tmp_path / "up.sqlite") as other:
        trial(other, claim(other))
        up = only(other, verdict())
    assert (down.n, down.chance_act) == (up.n, pytest.approx(up.chance_act))
    assert "scale it" in down.answers


def test_blocked_and_incomplete_trials_teach_nothing(ledger):
    hypothesis = claim(ledger)
    trial(ledger, hypothesis, "E1", x=50.0, blocked="sample ratio")
    trial(ledger, hypothesis, "E2", x=60.0, var_cpi=math.nan)
    assert ask(ledger, plans=(Plan("E7", lever="portal"),)).tests[0].std_error == pytest.approx(
        2 * 0.4 / 4 / math.sqrt(ask(ledger, plans=(Plan("E7", lever="portal"),)).tests[0].n), rel=0.5
    )
    assert Facts.of(CATALOG, (), ()).trials == ()
    assert math.isnan(Facts.of(CATALOG, (), ()).largest_move("hours"))


@pytest.mark.parametrize(
    ("x", "error", "move", "inert"),
    [(5.0, 0.0, 5.0, 0.0), (0.5, 0.0, 1.0, 1.0), (5.0, 0.2, 5.0, 0.0), (1.0, 0.5, 1.0 + 0.5 * 0.797885, 0.5)],
)
def test_move_is_that_of_a_lever_that_is_not_inert(x, error, move, inert):
    """Normal around the estimate, cut at a quarter of the planned move of 4."""
    pair = EffectPair(effect_cpi=-x, effect_kpi=0.01, var_cpi=error**2, var_kpi=1e-4, cov=0.0)
    tried = Tried(link=LINK, experiment="E", lever="auto", pair=pair, lever_sign=-1, planned_move=4.0, customers=100)
    assert tried.moved == pytest.approx((move, inert), abs=1e-6)


def test_verdicts_are_recalled_as_they_were_recorded(ledger):
    with pytest.raises(LedgerError, match="nothing has been judged yet"):
        judged_quarter(ledger)
    first, second = verdict(), verdict(effect=0.006, ci_high=math.inf)
    record_verdicts(ledger, (first,), quarter="2026Q3")
    record_verdicts(ledger, (first,), quarter="2026Q4")
    record_verdicts(ledger, (second,), quarter="2026Q4")
    assert judged_quarter(ledger) == "2026Q4"
    assert repr(recorded_verdicts(ledger, "2026Q3")) == repr((first,))  # NaN is not itself
    assert repr(recorded_verdicts(ledger, "2026Q4")) == repr((second,))
    with pytest.raises(LedgerError, match="2027Q1 was not judged"):
        recorded_verdicts(ledger, "2027Q1")


def test_options_are_checked(ledger):
    with pytest.raises(DesignError, match="most_weeks"):
        ask(ledger, most_weeks=-1.0)
    assert ask(ledger).tests == ()
    assert ask(ledger).notes == ()
