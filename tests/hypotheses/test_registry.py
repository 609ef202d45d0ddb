"""Freezing hypotheses in a real ledger."""

from dataclasses import replace

import pytest

from cpi_experiments.errors import LedgerError
from cpi_experiments.estimate import Link
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.hypotheses.registry import ANALYSE, REGISTER, register, registrations
from cpi_experiments.ledger import Ledger

LINK, OTHER = Link(cpi_id="quote_hours", kpi_id="win_rate"), Link(cpi_id="ftr", kpi_id="churn")
CLAIM = Hypothesis(link=LINK, expected_sign=1, sesoi=0.004, adjustment=("region",))


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.sqlite")


def look_at_data(ledger, link=LINK):
    return ledger.append(ANALYSE, str(link), {"design": "randomized", "experiment": "E1"})


def test_registering_freezes_content_time_and_digest(ledger):
    done = register(CLAIM, ledger, who="ann")
    (row,) = ledger.rows()
    assert (row.action, row.subject) == (REGISTER, str(LINK))
    assert done.registered_at == row.at
    assert done.digest == CLAIM.content_digest() == row.payload["hypothesis"]["digest"]
    assert registrations(ledger)[LINK].hypothesis == done
    assert "ann" in row.who


def test_the_same_content_twice_is_one_row(ledger):
    first = register(CLAIM, ledger)
    assert register(CLAIM, ledger) == first
    assert register(first, ledger) == first
    assert register(registrations(ledger)[LINK].hypothesis, ledger) == first
    look_at_data(ledger)
    assert register(CLAIM, ledger) == first
    assert len(ledger.rows(action=REGISTER)) == 1


def test_whole_numbers_survive_the_ledger_as_the_same_claim(ledger):
    first = register(replace(CLAIM, sesoi=1), ledger)
    again = register(registrations(ledger)[LINK].hypothesis, ledger)
    assert again.digest == first.digest
    assert len(ledger.rows()) == 1


def test_a_claim_edited_before_data_is_a_new_version_that_counts(ledger):
    first = register(CLAIM, ledger)
    second = register(replace(CLAIM, sesoi=0.002), ledger)
    found = registrations(ledger)[LINK]
    assert found.hypothesis == second
    assert second.digest != first.digest
    assert found.after_data == ""
    rows = ledger.rows(action=REGISTER)
    assert rows[1].supersedes == rows[0].seq
    assert rows[1].reason == "the claim changed"


def test_a_claim_edited_after_data_is_exploratory_for_good_with_both_digests(ledger):
    """C08."""
    first = register(CLAIM, ledger)
    look_at_data(ledger)
    second = register(replace(CLAIM, sesoi=0.002), ledger, reason="the board asked")
    third = register(replace(CLAIM, sesoi=0.003), ledger)
    found = registrations(ledger)[LINK]
    assert (found.hypothesis.digest, found.after_data) == (third.digest, first.digest)
    digests = [row.payload["hypothesis"]["digest"] for row in ledger.rows(action=REGISTER)]
    assert digests == [first.digest, second.digest, third.digest]
    assert ledger.rows(action=REGISTER)[1].reason == "the board asked"
    register(CLAIM, ledger)  # back to the first text: data were seen in between all the same
    assert registrations(ledger)[LINK].after_data == first.digest


def test_data_of_one_link_do_not_taint_another(ledger):
    register(CLAIM, ledger)
    register(replace(CLAIM, link=OTHER), ledger)
    look_at_data(ledger, OTHER)
    register(replace(CLAIM, sesoi=0.002), ledger)
    found = registrations(ledger)
    assert list(found) == [LINK, OTHER]
    assert found[LINK].after_data == ""


def test_nothing_is_registered_where_nothing_may_be_written(ledger):
    register(CLAIM, ledger)
    with pytest.raises(LedgerError, match="nothing was recorded"):
        register(replace(CLAIM, sesoi=1.0), Ledger(ledger.path, mode="read"))
    assert len(ledger.rows()) == 1


def test_an_empty_ledger_has_no_registrations(ledger):
    assert registrations(ledger) == {}
