"""Evidence in and out of a real ledger: what counts, what stays exploratory for good."""

import math
from dataclasses import replace

import pytest

from cpi_experiments.errors import LedgerError
from cpi_experiments.estimate import EffectPair, Estimand, Estimate, Link
from cpi_experiments.evidence.record import VERDICT, recall, record, record_verdicts, why_exploratory
from cpi_experiments.evidence.verdict import Design, Evidence, Verdict, VerdictWord
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.hypotheses.registry import ANALYSE, register, registrations
from cpi_experiments.ledger import Ledger

LINK = Link(cpi_id="quote_hours", kpi_id="win_rate")
CLAIM = Hypothesis(link=LINK, expected_sign=1, sesoi=0.004)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.sqlite")


def evidence(digest="", experiment="E1", design=Design.RANDOMIZED, value=0.01, link=LINK):
    estimate = Estimate(
        cause="quote_hours", outcome="win_rate", estimand=Estimand.LATE, value=value, std_error=0.001, ci_low=value - 0.002,
        ci_high=math.inf, p_value=0.001, unit="win_rate per 1 hour", n_obs=100, method="ratio",
        confidence_set=((value - 0.002, math.inf),),
    )  # fmt: skip
    pair = EffectPair(effect_cpi=3.0, effect_kpi=3 * value, var_cpi=0.04, var_kpi=1e-5, cov=math.nan)
    return Evidence(
        link=link, design=design, estimate=estimate, hypothesis_digest=digest, experiment=experiment, lever="auto_quote",
        pair=pair, ended="2026-09-30", others_moved=("ftr",), overlaps=("E9",), data_digest="d" * 64,
    )  # fmt: skip


def test_evidence_comes_back_as_it_went_in(ledger):
    digest = register(CLAIM, ledger).digest
    kept = record(ledger, evidence(digest), who="ann")
    (back,) = recall(ledger)
    assert back.exploratory == ""
    assert (back.seq, back.recorded_at) == (kept.seq, kept.recorded_at)
    assert "ann" in back.who
    assert math.isnan(back.pair.cov)  # missing stays missing, never zero
    assert back.estimate.confidence_set == ((0.008, math.inf),)
    assert replace(back, pair=None) == replace(kept, pair=None)


def test_an_analysis_without_registration_is_exploratory(ledger):
    """C07."""
    assert "was not registered before the analysis" in record(ledger, evidence()).exploratory
    assert why_exploratory(None, evidence()) == record(ledger, evidence()).exploratory


def test_registering_after_the_data_were_seen_does_not_help(ledger):
    record(ledger, evidence())
    digest = register(CLAIM, ledger).digest
    again = record(ledger, evidence(digest))
    assert "its data were analysed before the link was registered (row 1)" in again.exploratory
    assert record(ledger, evidence(digest, experiment="E2")).exploratory == ""  # fresh data count


def test_a_link_other_than_the_registered_one_is_exploratory(ledger):
    """C09."""
    digest = register(CLAIM, ledger).digest
    other = Link(cpi_id="quote_hours", kpi_id="revenue")
    assert record(ledger, evidence(digest, link=other)).exploratory
    assert "analysed under" in record(ledger, evidence("0" * 64)).exploratory
    assert "no registration" in record(ledger, evidence("", experiment="E2")).exploratory


def test_registration_edited_after_data_makes_everything_exploratory_with_both_digests(ledger):
    """C08."""
    first = register(CLAIM, ledger).digest
    assert record(ledger, evidence(first)).exploratory == ""
    second = register(replace(CLAIM, sesoi=0.001), ledger).digest
    for later in (evidence(second), evidence(second, experiment="E2"), evidence(first, experiment="E3")):
        said = record(ledger, later).exploratory
        assert first[:8] in said
        assert second[:8] in said
    back_again = register(CLAIM, ledger).digest
    assert back_again == first
    assert record(ledger, evidence(first, experiment="E4")).exploratory  # changing it back does not heal it


def test_evidence_recorded_before_the_edit_does_not_count_for_the_new_claim(ledger):
    first = register(CLAIM, ledger).digest
    old = record(ledger, evidence(first))
    register(replace(CLAIM, expected_sign=-1), ledger)
    assert old.exploratory == ""
    assert "was changed after data" in why_exploratory(registrations(ledger)[LINK], old)


def test_analysing_again_supersedes_and_counts_once(ledger):
    """E06."""
    digest = register(CLAIM, ledger).digest
    first = record(ledger, evidence(digest))
    record(ledger, evidence(digest, value=0.02))
    record(ledger, evidence(digest, experiment="E2"))
    record(ledger, evidence(digest, experiment="", design=Design.OBSERVATIONAL))
    current = recall(ledger)
    assert [(e.experiment, e.design.value) for e in current] == [
        ("E1", "randomized"),
        ("E2", "randomized"),
        ("", "observational"),
    ]
    assert current[0].estimate.value == 0.02
    rows = ledger.rows(action=ANALYSE)
    assert [row.supersedes for row in rows] == [None, first.seq, None, None]
    assert rows[1].reason == "analysed again"


def test_verdicts_of_two_quarters_stand_beside_each_other(ledger):
    verdict = Verdict(link=LINK, verdict=VerdictWord.INCONCLUSIVE, cause="underpowered", ci_low=-math.inf)
    record_verdicts(ledger, (verdict,), quarter="2026Q3")
    record_verdicts(ledger, (replace(verdict, verdict=VerdictWord.CONFIRMED, cause=""),), quarter="2026Q4")
    rows = ledger.rows(action=VERDICT)
    assert [(row.payload["quarter"], row.payload["verdict"]) for row in rows] == [
        ("2026Q3", "inconclusive"),
        ("2026Q4", "confirmed"),
    ]
    assert rows[0].payload["ci_low"] == "-inf"
    assert ledger.verify() == ()


def test_nothing_is_recorded_where_nothing_may_be_written(ledger):
    reader = Ledger(ledger.path, mode="read")
    with pytest.raises(LedgerError, match="nothing was recorded"):
        record(reader, evidence())
    assert ledger.rows() == ()
