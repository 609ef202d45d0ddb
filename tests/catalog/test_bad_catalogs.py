"""Every row of the bad-input list for catalogs: what was found, where, and what to do."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.catalog.rules import lint
from cpi_experiments.errors import CatalogError

BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
DEEP = "cpis: " + "[" * 500 + "]" * 500 + "\n"
MEASURE = 'value: "hours(requested_at, quoted_at)"'
DISCOVERY = "    discovery: {method: contextual_inquiry, when: 2026-03}\n"
ALLOWED = "only + - * /"

# row, what is replaced by what, line of the finding, what the message must hold
BROKEN = [
    (
        "A01",
        ("label: Fast Quote", "label: !!python/object/apply:os.system ['echo x']"),
        3,
        ["tags are not allowed, line 3", "Remove"],
    ),
    ("A02", ("cpis:\n", BOMB + "cpis:\n"), 1, ["anchors and aliases are not allowed", "Write the content out"]),
    ("A02", ("[win_rate]", "*all"), 12, ["anchors and aliases are not allowed"]),
    ("A03", ("cpis:\n", DEEP), 1, ["nested deeper than 20", "flatten"]),
    (
        "A04",
        ("    worth:", "    target: {value: 1}\n    worth:"),
        20,
        ["'target' stands twice", "line 19 and line 20", "Keep one"],
    ),
    ("A05", ("benefit: functional", "benefit: NO"), 5, ["the text 'NO'", "Allowed: functional"]),
    ("A05", ("value: 0.23", "value: 12:30"), 19, ["the text '12:30'; a number is needed", "Write a plain number"]),
    ("A05", ("value: 0.23", "value: 1.0e3"), 19, ["1.0e3", "Write 1000", "quote it"]),
    ("A05", ("value: 0.23", "value: 010"), 19, ["010", "Write 10,", "quote it"]),
    ("A05", ("value: 0.23", "value: -0x1F"), 19, ["-0x1F", "Write -31"]),
    ("A05", ("value: 0.23", "value: .nan"), 19, ["not a finite number"]),
    ("A05", ("label: Win rate", "label: 12"), 15, ["the number 12; a text is needed", "Quote it"]),
    ("A05", ("amount: 310", "amount: true"), 20, ["is true; a number is needed"]),
    (
        "A06",
        ("    target:", "    tagret:"),
        19,
        ["KPI 'win_rate' has an unknown key `tagret`", "Did you mean 'target'?"],
    ),
    ("A06", ("cadence: monthly", "cadance: monthly"), 19, ["`target.cadance`", "Did you mean 'cadence'?"]),
    ("A06", ("teams:", "taems:"), 21, ["unknown section `taems`", "Did you mean 'teams'?"]),
    (
        "A08",
        ("  - cpi: quote_hours", "  - cpi: quote_huors"),
        26,
        ["CPI 'quote_huors' is not in the catalog", "Did you mean 'quote_hours'?"],
    ),
    ("A08", ("    kpi: win_rate", "    kpi: quote_hours"), 27, ["'quote_hours' is a CPI, not a KPI", "CPI -> KPI"]),
    ("A08", ("team: sales_ops", "team: sales"), 24, ["team 'sales' is not in the catalog", "sales_ops"]),
    ("A08", ("moves: {quote_hours", "moves: {quote_days"), 24, ["CPI 'quote_days'", "quote_hours"]),
    ("A08", ("[win_rate]", "[win_rtae]"), 12, ["KPI 'win_rtae'", "Did you mean 'win_rate'?"]),
    (
        "A09",
        ("table: quotes, entity: customer_id, at: decided_at", "table: win_rate, entity: customer_id, at: decided_at"),
        18,
        ["defined by itself: win_rate -> win_rate", "event table"],
    ),
    ("A11", ("unit: hour\n", "unit: parsec/h\n"), 8, ["unit 'parsec/h' is not known", "hour", "units: [parsec_h]"]),
    ("A12", ("    better: lower\n", ""), 2, ["has no `better`", "`better: lower` or `better: higher`"]),
    ("A12", ("better: lower", "better: lowr"), 9, ["`better` is the text 'lowr'", "Did you mean 'lower'?"]),
    ("A13", ("increment: 1 hour", "increment: 0 hour"), 10, ["'0 hour' is not above zero", "increment is a size"]),
    ("A13", ("increment: 1 hour", "increment: -2 hour"), 10, ["'-2 hour' is not above zero"]),
    ("A13", ("increment: 1 hour", "increment: 1"), 10, ["the number 1, not a number and a unit", "1 hour"]),
    ("A13", ("    increment: 1 hour\n", ""), 2, ["has no `increment`", "the step customers value"]),
    ("A13", ("increment: 1 hour", "increment: 1 EUR"), 10, ["'EUR' cannot be counted in 'hour'", "same kind"]),
    ("A15", ("id: sales_ops", "id: ../../x"), 22, ["'../../x'", "[a-z0-9_-]{1,64}"]),
    ("A15", ("id: auto_quote", "id: auto quote"), 24, ["'auto quote'", "[a-z0-9_-]{1,64}"]),
    ("A16", ("label: Fast Quote", f"label: {'x' * 300}"), 3, ["label has 300 characters, more than 200", "Shorten"]),
    ("A17", (MEASURE, "value: \"__import__('os').system('x')\""), 11, [ALLOWED]),
    ("A17", (MEASURE, 'value: "won.real"'), 11, ["attribute", ALLOWED]),
    ("A17", (MEASURE, 'value: "won[0]"'), 11, [ALLOWED]),
    ("A17", (MEASURE, 'value: "lambda: won"'), 11, [ALLOWED]),
    ("A17", (MEASURE, 'value: "__import__(won)"'), 11, ["'__import__'", ALLOWED]),
    ("A17", ("value: won", 'value: won, where: "system(1)"'), 18, ["measure.where", ALLOWED]),
    ("A20", ("value: 0.23", "value: 1.2"), 19, ["target value 1.2 is outside [0, 1]", "percentage? Write 0.012"]),
    ("A20", ("baseline: 0.20", "baseline: -0.2"), 19, ["baseline -0.2 is outside [0, 1]"]),
    # beyond the list
    ("ids", ("  - id: win_rate", "  - id: quote_hours"), 14, ["same id", "an id of its own"]),
    (
        "ids",
        ("  - {id: sales_ops", "  - {id: sales_ops, label: A, function: sales}\n  - {id: sales_ops"),
        23,
        ["stands twice, in shop.yaml:22 and shop.yaml:23"],
    ),
    (
        "ids",
        ("  - id: win_rate\n    label: Win rate", "  - label: Win rate"),
        14,
        ["the KPI has no `id`", "id: short_name"],
    ),
    ("ids", ("id: auto_quote", "id: 7"), 24, ["the number 7; a text is needed"]),
    ("sesoi", ("sesoi: 0.4 pp", "sesoi: 1 hour"), 30, ["cannot be counted in 'fraction'", "same kind"]),
    ("sesoi", ("sesoi: 0.4 pp", "sesoi: 0 pp"), 30, ["'0 pp' is not above zero"]),
    ("sesoi", ("sesoi: 0.4 pp", "sesoi: 0.4 parsec"), 30, ["unit 'parsec' is not known"]),
    ("looks unknown", ("sesoi: 0.4 pp", "sesoi: 0.4 pp\n    looks: weekly"), 31, ["`looks`", "'weekly' are not known"]),
    ("looks unit", ("sesoi: 0.4 pp", "sesoi: 0.4 pp\n    looks: capped 1 hour"), 31, ["`looks`", "hour"]),
    ("looks size", ("sesoi: 0.4 pp", "sesoi: 0.4 pp\n    looks: planned 1"), 31, ["`looks`", "from 2 to"]),
    ("lag", ("sesoi: 0.4 pp", "sesoi: 0.4 pp\n    lag: 28-0 days"), 31, ["not a range of days", "0-28 days"]),
    ("due", ("2027-06-30", "2027-02-30"), 19, ["not a day of the calendar"]),
    ("due", ("2027-06-30", "June 2027"), 19, ["'June 2027' is not a date", "2027-06-30"]),
    ("money", ("currency: EUR", "currency: Euro"), 20, ["three capital letters"]),
    ("window", ("value: won", "value: won, window: 0 days"), 18, ["'0 days' is not above zero"]),
    ("window", ("value: won", "value: won, window: 2 EUR"), 18, ["'EUR' cannot be counted in 'day'"]),
    ("column", ("at: decided_at", 'at: " "'), 18, ["measure.at is empty"]),
    ("filter", ("value: won", "value: won, where: won"), 18, ["not a comparison", "channel = 'web'"]),
    (
        "shape",
        ("guardrails: [win_rate]", "guardrails: win_rate"),
        12,
        ["the text 'win_rate'; a list is needed", "[one, two]"],
    ),
    (
        "shape",
        ("discovery: {method: contextual_inquiry, when: 2026-03}", "discovery: survey"),
        7,
        ["keys with values is needed", "method: contextual_inquiry"],
    ),
    ("shape", ('outcome: "I get a price while I am still looking"', "outcome:"), 4, ["`outcome` is empty"]),
    (
        "shape",
        ("  - {id: sales_ops, label: Sales Operations, function: sales}", "  - sales_ops"),
        22,
        ["entry 1 of `teams` is the text 'sales_ops'"],
    ),
    (
        "shape",
        ("teams:\n  - {id", "teams:\n  {id"),
        21,
        ["`teams` is keys with values, not a list", "Begin each entry"],
    ),
    ("yaml", ("unit: fraction", "unit: [fraction"), 17, ["not readable as YAML"]),
    ("units", ("cpis:\n", "units: [3, 'a b']\ncpis:\n"), 1, ["a unit is the number 3", "unit 'a b' is not a word"]),
]


@pytest.mark.parametrize(("row", "change", "line", "parts"), BROKEN)
def test_bad_catalog_says_what_where_and_how_to_mend(write_catalog, row, change, line, parts):
    path = write_catalog(change)
    begin = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(CatalogError) as caught:
        load_catalog(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    message = str(caught.value)
    assert f"shop.yaml:{line}:" in message
    assert [part for part in parts if part not in message] == []
    assert time.perf_counter() - begin < 5
    assert peak < 200e6


def test_words_that_older_yaml_takes_for_truth_stay_text(write_catalog):
    assert load_catalog(write_catalog(("label: Win rate", "label: yes"))).kpi("win_rate").label == "yes"


def test_empty_scalar_and_missing_file_have_three_texts(tmp_path):  # A07
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    (tmp_path / "scalar.yaml").write_text("hello\n")
    texts = []
    for name in ("empty", "scalar", "missing"):
        with pytest.raises(CatalogError, match=rf"{name}\.yaml") as caught:
            load_catalog(tmp_path / f"{name}.yaml")
        texts.append(caught.value.found)
    assert len(set(texts)) == 3  # A07
    assert "empty" in texts[0]
    assert "single text" in texts[1]
    assert "does not exist" in texts[2]


def test_circle_over_two_indicators_is_printed_once(write_catalog):  # A09
    path = write_catalog(
        ("table: quotes, entity: customer_id, at: quoted_at", "table: win_rate, entity: customer_id, at: quoted_at"),
        (
            "table: quotes, entity: customer_id, at: decided_at",
            "table: quote_hours, entity: customer_id, at: decided_at",
        ),
    )
    with pytest.raises(CatalogError, match="quote_hours -> win_rate -> quote_hours") as caught:
        load_catalog(path)
    assert str(caught.value).count("defined by itself") == 1


def test_every_finding_of_every_file_is_listed_at_once(write_catalog, tmp_path):
    write_catalog(
        ("unit: hour\n", "unit: parsec\n"), ("sesoi: 0.4 pp", "sesoi: tiny"), ("team: sales_ops", "team: in_broken")
    )
    (tmp_path / "broken.yaml").write_text("kpis: [")
    with pytest.raises(CatalogError) as caught:
        load_catalog(tmp_path)
    assert [finding.where for finding in caught.value.findings] == [
        "broken.yaml:1",
        "shop.yaml:8",
        "shop.yaml:30",
    ]
    assert str(caught.value).startswith("3 errors:\n  broken.yaml:1: ")


# row, change, rule, severity, line, what message and remedy must hold
LINTED = [
    (
        "A10",
        ("label: Fast Quote", "label: NPS"),
        "kpi-as-cpi",
        "error",
        2,
        ["customers do not care about your NPS", "Make it a KPI"],
    ),
    ("A10", ("label: Fast Quote", "label: Average CSAT"), "kpi-as-cpi", "error", 2, ["CSAT"]),
    ("A10", ("label: Fast Quote", "label: Revenue per customer"), "kpi-as-cpi", "error", 2, ["revenue", "override"]),
    (
        "A10",
        ("label: Fast Quote", "label: Churn\n    override: tenants told us they fear leaving"),
        "kpi-as-cpi",
        "warning",
        2,
        ["they fear leaving"],
    ),
    ("A10", ("label: Fast Quote", "label: Churn\n    override: because"), "kpi-as-cpi", "error", 2, ["override"]),
    (
        "A14",
        ("levers:\n", "  - {id: idle, label: Idle, function: sales}\nlevers:\n"),
        "not-assignable",
        "warning",
        23,
        ["Team 'idle' is not assignable", "levers:"],
    ),
    (
        "A14",
        ("moves: {quote_hours: lower}", "moves: {}"),
        "not-assignable",
        "warning",
        24,
        ["Lever 'auto_quote'", "moves no CPI"],
    ),
    (
        "A14",
        ("moves: {quote_hours: lower}", "moves: {}"),
        "not-assignable",
        "warning",
        2,
        ["CPI 'quote_hours' is not assignable"],
    ),
    (
        "A16",
        ("label: Fast Quote", "label: Fast\u202e Quote \U0001f600"),
        "clean-text",
        "warning",
        3,
        ["invisible", "retype"],
    ),
    ("A16", ("label: Fast Quote", 'label: "Fast\\aQuote"'), "clean-text", "warning", 3, ["`label`"]),
    ("A19", (MEASURE, "value: won"), "tautology", "error", 26, ["Tautological link", "quotes.won"]),
    ("A19", (MEASURE, 'value: "won == 1"'), "tautology", "error", 26, ["Tautological link"]),
    ("part", ((MEASURE), 'value: "won * price"'), "tautology", "error", 26, ["won"]),
]


@pytest.mark.parametrize(("row", "change", "rule", "severity", "line", "parts"), LINTED)
def test_lint_says_what_where_and_how_to_mend(write_catalog, row, change, rule, severity, line, parts):
    issues = load_catalog(write_catalog(change)).lint()
    found = [
        str(issue)
        for issue in issues
        if (issue.rule, issue.severity, issue.where) == (rule, severity, f"shop.yaml:{line}")
    ]
    assert len(found) == 1
    assert [part for part in parts if part not in found[0]] == []


def test_valid_catalog_has_no_finding(write_catalog):
    assert load_catalog(write_catalog()).lint() == ()


def test_hostile_names_are_cleaned_and_kept(write_catalog):  # A16
    catalog = load_catalog(write_catalog(("label: Fast Quote", 'label: "Fast\u202e\n\n      Quote \U0001f600 \\a"')))
    assert catalog.cpi("quote_hours").label == "Fast Quote \U0001f600 �"


def test_ten_thousand_links_load_quickly_and_their_cost_is_told(tmp_path):  # A18
    header = (
        "cpis:\n"
        + "".join(
            f"  - {{id: c{i}, label: C{i}, outcome: it was quick for me, benefit: functional, function: sales, unit: hour, better: lower,"
            f" increment: 1 hour, measure: {{table: t, entity: e, at: a, value: c{i}}}}}\n"
            for i in range(100)
        )
        + "kpis:\n"
        + "".join(
            f"  - {{id: k{i}, label: K{i}, unit: fraction, better: higher, measure: {{table: t, entity: e, at: b, value: k{i}}}}}\n"
            for i in range(100)
        )
    )
    (tmp_path / "indicators.yaml").write_text(header)
    for i in range(100):
        links = "".join(
            f"  - {{cpi: c{i}, kpi: k{j}, because: they told us so, expect: positive, sesoi: 0.4 pp}}\n"
            for j in range(100)
        )
        (tmp_path / f"links{i}.yaml").write_text("links:\n" + links)
    begin = time.perf_counter()
    catalog = load_catalog(tmp_path)
    issues = lint(catalog)
    assert time.perf_counter() - begin < 10
    assert len(catalog.links) == 10_000
    cost = [issue for issue in issues if issue.rule == "multiplicity"]
    assert len(cost) == 1  # A18
    assert "10,000 links" in cost[0].message
    assert "p < 3.3e-06" in cost[0].message
    assert "keeps 3%" in cost[0].message
