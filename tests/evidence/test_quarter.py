"""Judging from ledger and catalog: the same rule, over everything that was registered."""

import math
from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from cpi_experiments.catalog.entities import CPI, KPI, Benefit, Catalog, Function, Lever, Measure, Team
from cpi_experiments.errors import EstimationError
from cpi_experiments.estimate import EffectPair, Estimand, Estimate, Link
from cpi_experiments.evidence.judge import judge_links
from cpi_experiments.evidence.quarter import judge
from cpi_experiments.evidence.record import record
from cpi_experiments.evidence.verdict import Design, Evidence, VerdictWord
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.hypotheses.registry import register
from cpi_experiments.ledger import Ledger
from cpi_experiments.units import Direction, Increment

QUOTE, FTR = Link(cpi_id="quote_hours", kpi_id="win_rate"), Link(cpi_id="ftr", kpi_id="win_rate")
NAN = math.nan


def _measure(column):
    return Measure(table="events", entity="customer_id", at="at", value=column)


def _cpi(key, unit, better, increment):
    return CPI(
        id=key, label=key, outcome="It is good", unit=unit, better=better, increment=Increment.parse(increment),
        measure=_measure(key), benefit=Benefit.FUNCTIONAL, function=Function.SALES,
    )  # fmt: skip


CATALOG = Catalog(
    cpis={"quote_hours": _cpi("quote_hours", "hour", Direction.LOWER, "1 hour"), "ftr": _cpi("ftr", "fraction", Direction.HIGHER, "1 pp")},
    kpis={"win_rate": KPI(id="win_rate", label="Win rate", unit="fraction", better=Direction.HIGHER, measure=_measure("won"))},
    teams={"sales": Team(id="sales", label="Sales", function=Function.SALES)},
    levers={"auto": Lever(id="auto", label="Auto", team="sales", moves={"quote_hours": Direction.LOWER})},
)  # fmt: skip


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.sqlite")


def claim(ledger, link=QUOTE, **fields):
    return register(Hypothesis(link=link, expected_sign=1, sesoi=0.004, **fields), ledger)


def note(ledger, hypothesis, experiment="E1", *, lever="auto", design=Design.RANDOMIZED, pair=None, y=0.03, **fields):
    estimate = Estimate(
        cause="c", outcome="k", estimand=Estimand.LATE, value=0.01, std_error=0.002, ci_low=0.006, ci_high=0.014,
        p_value=0.001, unit="u", n_obs=10, method="m",
    )  # fmt: skip
    numbers = (
        EffectPair(effect_cpi=3.0, effect_kpi=y, var_cpi=0.04, var_kpi=1e-5, cov=1e-4, df=500.0)
        if pair is None
        else pair
    )
    evidence = Evidence(
        link=hypothesis.link, design=design, estimate=estimate, hypothesis_digest=hypothesis.digest,
        experiment=experiment, lever=lever, pair=None if design is Design.OBSERVATIONAL else numbers, planned_move=3.0, **fields,
    )  # fmt: skip
    return record(ledger, evidence)


def only(ledger, **options):
    (verdict,) = judge(ledger, CATALOG, **options)
    return verdict


def test_ledger_and_plain_table_say_the_same(ledger):
    first, second = claim(ledger, looks="single"), claim(ledger, FTR, looks="single")
    note(ledger, first)
    note(ledger, first, "E2", lever="chat", y=0.028)
    note(ledger, second, y=0.001)
    rows = [
        {"link": link, "experiment": experiment, "lever": lever, "effect_cpi": 3.0, "effect_kpi": y, "var_cpi": 0.04,
         "var_kpi": 1e-5, "cov": 1e-4, "sesoi": 0.004, "expected_sign": 1, "planned_move": 3.0, "df": 500.0}
        for link, experiment, lever, y in ((str(QUOTE), "E1", "auto", 0.03), (str(QUOTE), "E2", "chat", 0.028), (str(FTR), "E1", "auto", 0.001))
    ]  # fmt: skip
    frame = pd.concat([verdict.to_frame() for verdict in judge(ledger, CATALOG)], ignore_index=True)
    table = judge_links(pd.DataFrame(rows))
    assert frame.drop(columns="reasons").equals(table[frame.columns].drop(columns="reasons"))
    assert frame["verdict"].tolist() == ["confirmed", "refuted"]


def test_verdict_carries_what_it_rests_on_and_speaks_in_steps(ledger):
    note(ledger, claim(ledger))
    found = only(ledger)
    assert (found.experiments, found.levers, found.sesoi, found.expected_sign) == (("E1",), ("auto",), 0.004, 1)
    assert "hour faster" in found.reasons[0]
    assert found.headline == "confirmed"


def test_registered_links_without_evidence_are_judged_too(ledger):
    claim(ledger)
    claim(ledger, FTR)
    assert [v.cause for v in judge(ledger, CATALOG)] == ["no evidence"] * 2
    assert judge(Ledger(ledger.path.parent / "other.sqlite"), CATALOG) == ()


def test_past_data_never_confirm(ledger):
    hypothesis = claim(ledger)
    note(ledger, hypothesis, "", lever="", design=Design.OBSERVATIONAL)
    found = only(ledger)
    assert (found.verdict, found.cause, found.grade) == (VerdictWord.INCONCLUSIVE, "only past data", "D")
    assert "customers with better quote_hours show +0.0100 of win_rate (+0.0060 to +0.0140)" in found.reasons[0]
    note(ledger, hypothesis, y=0.0, pair=EffectPair(effect_cpi=3.0, effect_kpi=0, var_cpi=0.04, var_kpi=1e-6, cov=0))
    assert only(ledger).headline == "refuted (no material effect)"  # E05: no averaging with past data


@pytest.mark.parametrize("spoilt", ["cov", "var_cpi", "effect_kpi", "var_kpi"])
def test_missing_numbers_in_the_ledger_block(ledger, spoilt):
    pair = EffectPair(effect_cpi=3.0, effect_kpi=0.03, var_cpi=0.04, var_kpi=1e-5, cov=0.0)
    note(ledger, claim(ledger), pair=replace(pair, **{spoilt: NAN}))
    found = only(ledger)
    assert found.verdict is VerdictWord.BLOCKED
    assert f"E1: {spoilt} missing" in found.reasons[0]


def test_a_trial_without_numbers_or_with_a_broken_one_blocks(ledger):
    hypothesis = claim(ledger)
    note(ledger, hypothesis)
    note(ledger, hypothesis, "E2", blocked="sample ratio p = 2e-16")
    found = only(ledger)
    assert found.reasons == ("No verdict: E2: sample ratio p = 2e-16. Repair it and analyse again.",)
    note(ledger, hypothesis, "E2", pair=EffectPair(effect_cpi=3, effect_kpi=0.03, var_cpi=0.04, var_kpi=0.0, cov=0))
    assert "the KPI has no variance" in only(ledger).reasons[0]
    note(ledger, hypothesis, "E2")
    assert only(ledger).verdict is VerdictWord.CONFIRMED  # repaired and analysed again


@pytest.mark.parametrize(("as_of", "cause"), [("2026-09-30", ""), ("2026-12-31", "evidence expired")])
def test_evidence_expires_after_four_quarters(ledger, as_of, cause):
    """E07."""
    note(ledger, claim(ledger), ended="2025-12-31")
    assert only(ledger, as_of=date.fromisoformat(as_of)).cause == cause
    assert only(ledger).cause == ""  # without a date nothing is old


def test_a_trial_that_broke_long_ago_does_not_block_a_fresh_one(ledger):
    hypothesis = claim(ledger)
    note(ledger, hypothesis, "broken", ended="2020-01-01", blocked="lost log")
    note(ledger, hypothesis, "new", ended="2026-09-30", overlaps=("broken",))
    found = only(ledger, as_of=date(2026, 12, 31))
    assert (found.verdict, found.experiments) == (VerdictWord.CONFIRMED, ("new",))


def test_overlapping_trials_count_once(ledger):
    hypothesis = claim(ledger)
    note(
        ledger,
        hypothesis,
        "small",
        pair=EffectPair(effect_cpi=3, effect_kpi=0.03, var_cpi=0.04, var_kpi=2e-5, cov=0),
        overlaps=("large",),
    )
    note(ledger, hypothesis, "large", lever="chat")
    found = only(ledger)
    assert found.experiments == ("large",)
    assert "small is not counted: it shares customers with large" in " ".join(found.reasons)


def test_a_lever_that_moves_two_outcomes_is_a_bundle(ledger):
    note(ledger, claim(ledger), others_moved=("ftr", "options"))
    found = only(ledger)
    assert found.cause == "bundle"
    assert "auto also moves ftr, options." in found.reasons


def test_claims_changed_after_data_cannot_be_confirmed_by_those_data(ledger):
    """C08: the old trial is not judged under the new sign and size."""
    note(ledger, claim(ledger), y=-0.03)
    assert only(ledger).headline == "refuted (harmful)"
    register(Hypothesis(link=QUOTE, expected_sign=-1, sesoi=0.004), ledger)
    found = only(ledger)
    assert (found.verdict, found.cause) == (VerdictWord.INCONCLUSIVE, "exploratory")
    assert "was changed after data had been looked at" in " ".join(found.reasons)


def test_verdicts_are_computed_again_from_what_the_ledger_holds(ledger):
    hypothesis = claim(ledger)
    note(ledger, hypothesis)
    assert only(ledger) == only(ledger)
    assert only(ledger).verdict is VerdictWord.CONFIRMED
    note(ledger, hypothesis, "E2", lever="chat", y=-0.01)
    assert only(ledger).cause == "heterogeneous"


def test_rate_is_checked(ledger):
    claim(ledger)
    with pytest.raises(EstimationError, match="fdr 10 is not between 0 and 1"):
        judge(ledger, CATALOG, fdr=10)
