"""Laws of `cpi next` and `Study.next`."""

from __future__ import annotations

import json

import pytest

from cpi_experiments.errors import CatalogError, LedgerError
from cpi_experiments.ledger import Ledger
from cpi_experiments.study.study import Study

pytestmark = pytest.mark.xdist_group("demo")


def rows(folder):
    with Ledger(folder / "ledger.sqlite", mode="read") as ledger:
        return ledger.head().count


def test_next_ranks_the_open_links_of_the_demo_and_names_all_others(demo, cpi):
    company = demo.folder / "company"
    before = rows(company)
    ran = cpi("next", "--project", company)
    assert (ran.code, ran.err) == (0, "")
    assert rows(company) == before  # nothing was judged, nothing recorded
    assert max(map(len, ran.out.splitlines())) <= 80
    assert ran.out.startswith("Test next ")
    told = json.loads(cpi("next", "--project", company, "--json").out)
    tested = {test["link"] for test in told["tests"]}
    left = {link for link, _ in told["left_out"]}
    with Study.open(company) as study:
        assert tested | left == {str(link) for link in study.catalog.links}
        assert str(study.next()) + "\n" == ran.out
        assert len(study.next().to_frame()) == len(told["tests"])
    assert not tested & left
    assert {"reply_minutes -> nps", "value_shown -> nps", "quote_hours -> spend"} <= tested
    assert {"quote_hours -> win_rate", "value_shown -> renewal", "delivery_days -> purchases"} <= left
    rates = [test["rate"] for test in told["tests"]]
    assert rates == sorted(rates, reverse=True)
    assert told["currency"] == "EUR"
    bundle = next(test for test in told["tests"] if test["link"] == "reply_minutes -> nps")
    assert (bundle["lever"], bundle["new_lever"]) == ("chat_assist", True)  # not the redesign, which moves two outcomes


def test_next_takes_a_quarter_and_a_limit(demo, cpi):
    company = demo.folder / "company"
    assert cpi("next", "--project", company, "--quarter", "2026Q4").out == cpi("next", "--project", company).out
    short = json.loads(cpi("next", "--project", company, "--weeks", "8", "--json").out)
    assert all(test["weeks"] <= 8 for test in short["tests"])
    none = " ".join(cpi("next", "--project", company, "--weeks", "4").out.split())
    assert "only 0 customers" not in none
    assert "no test may last longer than 4: raise `most_weeks` (--weeks)." in none
    few = json.loads(cpi("next", "--project", company, "--scarce", "customers", "--json").out)
    assert few["scarce"] == "customers"
    usual = json.loads(cpi("next", "--project", company, "--json").out)
    assert max(test["n"] for test in few["tests"]) < max(test["n"] for test in usual["tests"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--quarter", "2026Q2"), "2026Q2 was not judged"),
        (("--quarter", "soon"), "'soon' is not a quarter"),
        (("--weeks", "0"), "--weeks 0 is not above zero and at most 520"),
        (("--weeks", "nan"), "--weeks nan is not above zero"),
        (("--weeks", "-1"), "--weeks -1 is not above zero and at most 520"),
        (("--scarce", "money"), "'money' is not one of"),
    ],
)
def test_next_refuses_what_it_cannot_use(demo, cpi, options, said):
    company = demo.folder / "company"
    before = rows(company)
    ran = cpi("next", "--project", company, *options)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert len(ran.err.strip().splitlines()) >= 2
    assert rows(company) == before


def test_next_before_any_verdict_says_so_and_leaves_nothing_behind(write_shop, cpi):
    shop = write_shop()
    ran = cpi("next", "--project", shop)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("cpi: nothing has been judged yet.\n")
    assert not (shop / "ledger.sqlite").exists()
    with Study.open(shop) as study:
        study.register_all()
        with pytest.raises(LedgerError, match="nothing has been judged yet"):
            study.next()
    with pytest.raises(CatalogError, match="is not a project folder"):
        Study.open(shop / "nowhere")


def test_next_works_right_after_judging(write_shop):
    with Study.open(write_shop()) as study:
        study.run("2026Q2")
        found = study.next()
    assert found.tests == ()
    ((link, why),) = found.left_out
    assert link == "quote_hours -> win_rate"
    assert "a second lever would lift it to A" in why
