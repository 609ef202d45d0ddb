from __future__ import annotations

import dataclasses
import json
import math
from importlib.metadata import PackageNotFoundError

import pytest

from cpi_experiments.accountability.charter import Charter
from cpi_experiments.errors import CatalogError, ReportError
from cpi_experiments.estimate import Link, Status
from cpi_experiments.evidence.verdict import Design, Evidence, VerdictWord
from cpi_experiments.figures.marks import ForestRow
from cpi_experiments.report import review as review_module
from cpi_experiments.wording.results import banned_words
from cpi_experiments.wording.review import GLOSSARY, METHOD

MAIN = (
    "title", "counts", "lines", "edges", "verdicts", "forest_title", "forest_axis", "charter", "in_flight",
    "checks_line", "dropped_line", "alarms", "source",
)  # fmt: skip


def row_of(review, link):
    return next(row for row in review.verdicts if row.link == link)


def strings(content):
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from strings(value)
    elif isinstance(content, list):
        for value in content:
            yield from strings(value)


def test_title_counts_verdicts_and_is_short(review):
    assert review.title == "Three of twelve links from customers to company results are confirmed, three are refuted"
    assert len(review.title) <= 110
    assert [(count.word, count.count) for count in review.counts] == [
        ("confirmed", 3), ("refuted", 3), ("inconclusive", 5), ("blocked", 1),
    ]  # fmt: skip


def test_rows_are_ordered_by_verdict_then_by_value(review):
    assert [row.verdict for row in review.verdicts] == (
        ["confirmed"] * 3 + ["blocked"] + ["inconclusive"] * 5 + ["refuted"] * 3
    )
    worth = [row.effect / row.sesoi * (-1 if row.kpi == "Churn" else 1) for row in review.verdicts[:3]]
    assert worth == sorted(worth, reverse=True)


@pytest.mark.parametrize(
    ("link", "step", "span", "evidence"),
    [
        ("quote_hours -> win_rate", "1 h faster: +0.83 points", "+0.31 to +1.36 points", "A, two trials"),
        (
            "ftr -> churn",
            "1 point more: -0.120 points (lower Churn is good)",
            "-0.190 to -0.050 points",
            "B, one trial",
        ),
        ("value -> revenue", "10 EUR more: +14.2 EUR", "+8.9 to +19.5 EUR", "A+, three trials"),
        ("options -> win_rate", "1 option more: +0.020 points", "-0.040 to +0.070 points", "B, one trial"),
        ("broke -> revenue", "1 point more: no number while blocked", "not shown", "one trial"),
        ("friends -> hours", "1 friend more: not estimable", "any value", "one trial"),
        ("friends -> revenue", "1 friend more: +2.10 EUR", "+1.40 to +2.80 EUR", "D, past data"),
        ("quote_hours -> churn", "1 h faster: not available", "not available", "no evidence yet"),
    ],
)
def test_each_row_speaks_in_customer_steps_and_company_units(review, link, step, span, evidence):
    row = row_of(review, link)
    assert (row.step, row.range_text, row.evidence) == (step, span, evidence)


def test_a_blocked_link_shows_no_number_anywhere_in_its_row(review):
    row = row_of(review, "broke -> revenue")
    assert all(math.isnan(value) for value in (row.effect, row.effect_shrunken, row.ci_low, row.ci_high))
    forest = next(mark for mark in review.forest if mark.label == "Nothing Broke → Revenue per customer")
    assert math.isnan(forest.experiment[0])


def test_low_is_good_is_turned_round_in_the_picture_only(review):
    mark = next(mark for mark in review.forest if mark.label == "First Time Resolution → Churn")
    assert mark.experiment == pytest.approx((2.4, 1.0, 3.8))
    assert row_of(review, "ftr -> churn").effect == -0.0012
    assert "turned round, as lower is better: Churn" in review.forest_axis


def test_a_link_that_could_be_anything_draws_no_experiment(review):
    mark = next(mark for mark in review.forest if mark.label == "Know Which Friends Like This → Hours of use")
    assert math.isnan(mark.experiment[0])
    assert next(mark for mark in review.forest if mark.label == "Fast Quote → Churn").empty


def test_past_only_is_never_drawn_as_experiment(review):
    mark = next(mark for mark in review.forest if mark.label == "Know Which Friends Like This → Revenue per customer")
    assert math.isnan(mark.experiment[0])
    assert math.isfinite(mark.past[0])
    assert isinstance(mark, ForestRow)


def test_only_grade_a_is_called_proven(review):
    proven = [line.text for line in review.lines if line.topic == "PROVEN"]
    likely = [line.text for line in review.lines if line.topic == "LIKELY"]
    assert proven == [
        "Value Delivered: each 10 EUR more adds 14.2 EUR to Revenue per customer (likely 8.9 to 19.5).",
        "Fast Quote: each hour faster adds 0.83 points to Win rate (likely 0.31 to 1.36).",
    ]
    assert likely == [
        "First Time Resolution: each point more appears to take 0.120 points from Churn (likely 0.050 to 0.190)."
    ]


def test_summary_says_what_to_assign_stop_and_decide(review):
    topics = {
        topic: [line.text for line in review.lines if line.topic == topic] for topic in ("ASSIGN", "STOP", "DECIDE")
    }
    assert topics["ASSIGN"] == [
        (
            "Sales Operations can own Fast Quote: 26 h to 20 h by 2027-03-31, worth +2.1 to +7.1 points of Win rate, "
            "6.5 to 22.0 EUR a customer."
        )
    ]
    assert topics["STOP"][0].startswith("Payment Flexibility → Win rate: Any effect is smaller than 0.1 points")
    assert "Better Payment Flexibility made Churn worse" in topics["STOP"][2]
    assert [text.split()[0] for text in topics["DECIDE"]] == ["Name", "Fund", "Keep"]


@pytest.mark.parametrize(
    ("cause", "effect", "sign"),
    [
        ("no material effect", 0.002, 1),  # larger than the smallest effect worth acting on
        ("no material effect", math.nan, 1),
        ("harmful", 0.003, 1),  # of the right sign
        ("harmful", -0.003, -1),
    ],
)
def test_refuted_against_its_own_numbers_is_refused(quarter, cause, effect, sign):
    verdict = quarter.make_verdict(
        "quote_hours", "win_rate", VerdictWord.REFUTED, cause, "A", effect, -0.01, 0.01, 0.001, 2
    )
    verdict = dataclasses.replace(verdict, expected_sign=sign)
    with pytest.raises(ReportError, match="quote_hours -> win_rate is refuted"):
        quarter.sample_review(verdicts=(verdict,))


@pytest.mark.parametrize(
    ("link", "why"),
    [
        (
            "broke -> revenue",
            "No verdict: 53.1% of 18,204 customers got arm auto, planned 50%. Repair it and analyse again.",
        ),
        (
            "broke -> churn",
            "We cannot tell yet: the effect may be anything in the range -0.80 to +0.01 points; more customers would settle it.",
        ),
        (
            "friends -> hours",
            "We cannot tell yet: no experiment shows yet that its lever moves Know Which Friends Like This.",
        ),
        ("quote_hours -> churn", "We cannot tell yet: there is no experiment and no past data so far."),
        ("ftr -> churn", "One trial with one lever; a second lever would make it firmer."),
    ],
)
def test_why_speaks_in_the_units_of_the_table(review, link, why):
    assert row_of(review, link).why == why


@pytest.mark.parametrize("word", [VerdictWord.INCONCLUSIVE, VerdictWord.REFUTED])
def test_a_range_that_holds_zero_never_words_a_refutation(quarter, word):
    verdict = quarter.make_verdict(
        "quote_hours", "win_rate", word, "no material effect", "A", 0.0005, -0.005, 0.007, 0.001, 2
    )
    verdict = dataclasses.replace(verdict, reasons=("The range holds zero, so refuted.",))
    row = quarter.sample_review(verdicts=(verdict,)).verdicts[0]
    said = "smaller than 0.1 points, which we said beforehand" in row.why
    assert said == (word is VerdictWord.REFUTED)
    assert row.verdict == word.value
    assert ("zero" in row.why) == (word is not VerdictWord.REFUTED)


def test_main_sections_hold_no_banned_word(review):
    content = review.to_dict()
    said = [text for name in MAIN for text in strings(content[name])]
    said += [text for row in content["checks"] if row["headline"] for text in (row["name"], row["note"], row["where"])]
    found = [(text, banned_words(text)) for text in said if banned_words(text)]
    assert found == []
    assert len(said) > 100
    assert any(banned_words(reason) for page in review.pages for reason in page.reasons)  # the appendix keeps them


def test_a_reason_for_experts_gives_way_in_the_main_sections(quarter):
    verdict = quarter.make_verdict(
        "quote_hours", "win_rate", VerdictWord.INCONCLUSIVE, "unknown cause", "B", 0.001, -0.1, 0.1, 0.001, 1
    )
    verdict = dataclasses.replace(verdict, reasons=("The p-value is not significant.",))
    review = quarter.sample_review(verdicts=(verdict,), alarms=("the posterior moved",))
    assert review.verdicts[0].why == "We cannot tell yet: unknown cause."
    assert review.pages[0].reasons == ("The p-value is not significant.",)
    assert review.alarms == ("An alarm is described in the ledger.",)


def test_past_data_are_compared_in_counts(review, quarter):
    assert review.forest_title == "Past data suggested a larger effect than the experiments on 8 of 8 links"
    few = quarter.sample_review(verdicts=quarter.sample_verdicts()[:2])
    assert few.forest_title.startswith("Too few links")


def test_charter_puts_assignable_first_and_names_a_missing_team(review):
    assert [(row.team, row.standing) for row in review.charter] == [
        ("Sales Operations", "assignable"), ("Customer Service", "not yet"), ("no team", "no lever"),
    ]  # fmt: skip
    assert (review.charter[1].today, review.charter[1].goal) == ("71.2%", "75.0%")
    assert review.charter[0].worth == "+2.1 to +7.1 points of Win rate, 6.5 to 22.0 EUR a customer"


def test_running_experiments_show_health_and_no_effect(review):
    row = review.in_flight[0]
    assert (row.progress, row.ends, row.health) == ("12,400 of 20,000 (62%)", "2027-02-12", "Sample ratio ok.")
    assert set(dataclasses.asdict(row)) == {"experiment", "lever", "links", "ends", "progress", "health"}


def test_a_blocked_check_names_the_verdict_it_blocks(review):
    first = review.checks[0]
    assert (first.state, first.name) == ("Blocked", "sample ratio")
    assert "blocks Nothing Broke → Revenue per customer" in first.note
    assert review.checks_line == f"{len(review.checks)} checks: {len(review.checks) - 2} OK, 1 to watch, 1 blocked."


def test_evidence_blocked_without_a_failed_check_is_still_shown(quarter):
    verdict = quarter.make_verdict("broke", "revenue", VerdictWord.BLOCKED, "no covariance", "", 1.0, 0.0, 2.0, 3.0, 0)
    item = Evidence(link=verdict.link, design=Design.RANDOMIZED, estimate=quarter.make_estimate(1.0, 0.0, 2.0),
                    experiment="E-1", blocked="the covariance is missing", exploratory="")  # fmt: skip
    review = quarter.sample_review(verdicts=(verdict,), evidence=(item,))
    assert review.checks[0].note == "the covariance is missing (blocks Nothing Broke → Revenue per customer)"
    assert review.estimates[0].counts == "no, blocked: the covariance is missing"


def test_rows_not_used_are_listed_by_source_with_reasons(review):
    assert [(row.where, row.rows) for row in review.dropped][:2] == [
        ("measuring quote_hours", 3108),
        ("E-quote_hours-0", 212),
    ]
    assert review.dropped[1].reasons == "no outcome: 180; no cluster: 32"
    assert review.dropped_line.startswith(f"{sum(row.rows for row in review.dropped):,} rows of ")


def test_appendix_prints_the_hypothesis_as_registered(review):
    page = next(page for page in review.pages if (page.cpi, page.kpi) == ("Fast Quote", "Win rate"))
    facts = dict(page.facts)
    assert facts["Registered"] == "2026-07-01T08:00:00Z 9f31c2aa9f31c2aa"
    assert facts["Smallest effect worth acting on"] == "0.4 points"
    assert facts["Held constant"] == "channel, region"
    assert facts["Running p-value"] == "0.004"
    assert len(page.estimates) == 3
    assert review.glossary == GLOSSARY
    assert review.method == METHOD
    assert dict(review.reproduce)["Command"] == "cpi run 2026Q4"


def test_appendix_lists_every_estimate_even_without_a_verdict(quarter):
    failed = dataclasses.replace(quarter.make_estimate(1.0, 0.0, 2.0), status=Status.FAILED)
    stray = Evidence(link=Link(cpi_id="gone", kpi_id="also_gone"), design=Design.OBSERVATIONAL, estimate=failed,
                     exploratory="not registered")  # fmt: skip
    review = quarter.sample_review(verdicts=(), evidence=(stray,))
    row = review.estimates[0]
    assert (row.link, row.effect, row.registered, row.counts) == (
        "gone -> also_gone", "not available", "no", "no, exploratory: not registered",
    )  # fmt: skip


def test_two_verdicts_of_one_link_are_refused(quarter):
    verdicts = quarter.sample_verdicts()
    with pytest.raises(ReportError, match="1 links have two verdicts: quote_hours -> win_rate"):
        quarter.sample_review(verdicts=(*verdicts, verdicts[0]))


def test_a_link_outside_the_catalog_is_refused(quarter):
    verdict = quarter.make_verdict("quote_hour", "win_rate", VerdictWord.BLOCKED, "x", "", 1.0, 0.0, 2.0, 3.0, 0)
    with pytest.raises(CatalogError, match="quote_hour"):
        quarter.sample_review(verdicts=(verdict,))


def test_without_verdicts_the_review_claims_nothing(quarter):
    review = quarter.sample_review(verdicts=(), in_flight=(), losses=(), alarms=())
    assert review.title == "No link has been judged yet, so nothing can be claimed this quarter"
    assert {count.count for count in review.counts} == {0}
    assert "(no link has a verdict)" in str(review)


def test_at_most_four_lines_a_topic(quarter):
    review = quarter.named_review("Fast", links=30)
    proven = [line.text for line in review.lines if line.topic == "PROVEN"]
    assert len(proven) == 5
    assert proven[-1] == "And six more in the table of verdicts."


def test_a_review_shows_itself_in_every_way(review):
    assert all(len(line) <= 80 for line in str(review).splitlines())
    assert "1 h faster: +0.83" in str(review)
    assert "+0.83 points" in review._repr_html_()
    assert "✔ confirmed" in review._repr_markdown_()
    frame = review.to_frame()
    assert list(frame.loc[frame["link"] == "quote_hours -> win_rate", "effect"]) == [0.0083]
    assert json.dumps(review.to_dict(), allow_nan=False) == json.dumps(review.to_dict(), allow_nan=False)


def test_a_package_that_is_not_installed_says_so(quarter, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(review_module, "version", missing)
    assert dict(quarter.sample_review().reproduce)["Version"] == "cpi-experiments not installed as a package"


def test_worth_without_money_is_said_in_kpi_units(quarter):
    row = dataclasses.replace(quarter.sample_charter().rows[1], link=Link(cpi_id="quote_hours", kpi_id="churn"))
    review = quarter.sample_review(charter=Charter(rows=(row,)))
    assert review.charter[0].worth == "+2.1 to +7.1 points of Churn"


def test_a_link_with_past_data_only_promises_no_number(quarter):
    verdict = quarter.make_verdict(
        "friends", "revenue", VerdictWord.INCONCLUSIVE, "only past data", "D", math.nan, math.nan, math.nan, 1.0, 0
    )
    past = Evidence(link=verdict.link, design=Design.OBSERVATIONAL, estimate=quarter.make_estimate(-2.0, -3.0, -1.0))
    review = quarter.sample_review(verdicts=(verdict,), evidence=(past,))
    row = review.verdicts[0]
    assert (row.step, row.evidence) == ("1 friend more: no experiment yet", "D, past data")
    assert row.why.startswith("Customers with better Know Which Friends Like This also have no better Revenue")
    assert math.isfinite(review.forest[0].past[0])


@pytest.mark.parametrize(
    ("cause", "said"), [("lever inert", "the lever did not move"), ("exploratory", "nothing was registered")]
)
def test_an_experiment_that_told_nothing_is_not_hidden_behind_past_data(quarter, cause, said):
    verdict = quarter.make_verdict(
        "friends", "revenue", VerdictWord.INCONCLUSIVE, cause, "", math.nan, math.nan, math.nan, 1.0, 0
    )
    past = Evidence(link=verdict.link, design=Design.OBSERVATIONAL, estimate=quarter.make_estimate(2.0, 1.0, 3.0))
    row = quarter.sample_review(verdicts=(verdict,), evidence=(past,)).verdicts[0]
    assert row.step == "1 friend more: not available"
    assert said in row.why
