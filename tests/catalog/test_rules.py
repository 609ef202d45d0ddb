from __future__ import annotations

from dataclasses import replace

import pytest

from cpi_experiments.catalog.claimed_link import ClaimedLink, Sign
from cpi_experiments.catalog.entities import Cadence, Discovery, DiscoveryMethod, Role, Target
from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.catalog.rules import lint
from cpi_experiments.estimate import Link

FULL = Target(baseline=0.2, value=0.3, due="2027-06-30", cadence=Cadence.MONTHLY)


@pytest.fixture
def catalog(write_catalog):
    return load_catalog(write_catalog())


def found(catalog, rule):
    return [(issue.severity, issue.where, issue.message) for issue in lint(catalog) if issue.rule == rule]


def with_cpi(catalog, **changes):
    return replace(catalog, cpis={"quote_hours": replace(catalog.cpi("quote_hours"), **changes)})


def with_kpi(catalog, **changes):
    return replace(catalog, kpis={"win_rate": replace(catalog.kpi("win_rate"), **changes)})


@pytest.mark.parametrize(
    "label",
    ["NPS", "Net Promoter Score", "CSAT", "Customer satisfaction", "CLV", "Lifetime value", "CAC", "Churn rate", "Retention", "Renewal rate",
     "Revenue", "Profit margin", "Loyalty", "Market share", "Conversion rate", "Win-rate", "Cost to serve"],
)  # fmt: skip
def test_what_the_company_gains_is_no_cpi(catalog, label):
    assert [severity for severity, _, _ in found(with_cpi(catalog, label=label), "kpi-as-cpi")] == ["error"]


@pytest.mark.parametrize(
    "label",
    [
        "Fast Quote",
        "Nothing Broke",
        "First Time Resolution",
        "Payment Flexibility",
        "Value Delivered",
        "Know Which Friends Like This",
        "Easy Renewal",
        "Safety margin",
    ],
)
def test_what_customers_gain_is_a_cpi(catalog, label):
    assert found(with_cpi(catalog, label=label), "kpi-as-cpi") == []


@pytest.mark.parametrize("method", list(DiscoveryMethod))
def test_the_four_mistakes_of_discovery_are_warned_about(catalog, method):
    issues = found(with_cpi(catalog, discovery=Discovery(method=method)), "discovery")
    assert [severity for severity, _, _ in issues] == [] if method.trusted else ["warning"]


def test_missing_discovery_is_warned_about(catalog):
    assert "does not say how it was found" in found(with_cpi(catalog, discovery=None), "discovery")[0][2]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (None, "no target"),
        (Target(), "no baseline, no value, no due date, no cadence"),
        (replace(FULL, due=""), "target has no due date"),
        (replace(FULL, baseline=None), "no baseline"),
        (replace(FULL, cadence=None), "no cadence"),
    ],
)
def test_target_that_is_not_smart_names_what_is_missing(catalog, target, words):
    (issue,) = found(with_kpi(catalog, target=target), "target-smart")
    assert issue[:2] == ("warning", "shop.yaml:19")
    assert words in issue[2]


def test_guardrail_and_cpi_may_have_no_target(catalog):
    assert found(with_kpi(catalog, target=None, role=Role.GUARDRAIL), "target-smart") == []
    assert found(with_cpi(catalog, target=None), "target-smart") == []


def test_zero_is_a_level_and_not_missing(catalog):
    assert found(with_kpi(catalog, target=replace(FULL, baseline=0.0)), "target-smart") == []


def test_target_against_the_better_direction_is_an_error(catalog):
    issues = found(with_kpi(catalog, target=replace(FULL, value=0.1)), "target-direction")
    assert issues == [("error", "shop.yaml:19", "KPI 'win_rate': target goes from 0.2 to 0.1, but higher is better.")]
    assert found(with_cpi(catalog, target=replace(FULL, value=0.1)), "target-direction") == []


def test_outcome_must_be_said_in_words(catalog):
    assert found(with_cpi(catalog, outcome=""), "outcome")[0][:2] == ("error", "shop.yaml:4")


def test_link_without_a_reason_is_warned_about(catalog):
    link = Link(cpi_id="quote_hours", kpi_id="win_rate")
    bare = replace(catalog, links={link: replace(catalog.claimed(link), because="")})
    assert found(bare, "no-mechanism")[0][:2] == ("warning", "shop.yaml:28")


def test_cpi_without_link_is_warned_about(catalog):
    assert found(replace(catalog, links={}), "cpi-without-link")[0][0] == "warning"


def test_partly_shared_columns_are_a_warning_and_other_rows_are_none(catalog):
    measure = catalog.kpi("win_rate").measure
    both = with_kpi(catalog, measure=replace(measure, value="hours(quoted_at, decided_at)"))
    assert [severity for severity, _, _ in found(both, "tautology")] == ["warning"]
    for change in ({"table": "other"}, {"value": "requested_at", "aggregate": "count"}, {"value": "won"}):
        assert (
            found(
                with_kpi(
                    catalog, measure=replace(measure, value="quoted_at") if not change else replace(measure, **change)
                ),
                "tautology",
            )
            == []
        )


def test_two_filters_are_two_sets_of_rows(catalog):
    cause = replace(catalog.cpi("quote_hours").measure, value="score", where="channel = 'web'")
    outcome = replace(cause, where="channel = 'shop'")
    assert found(with_kpi(with_cpi(catalog, measure=cause), measure=outcome), "tautology") == []
    assert found(with_kpi(with_cpi(catalog, measure=cause), measure=replace(cause, where="")), "tautology") != []


def test_many_goals_are_warned_about(catalog):
    kpi = catalog.kpi("win_rate")
    many = replace(catalog, kpis={f"k{i}": replace(kpi, id=f"k{i}") for i in range(11)}, links={})
    assert "11 KPIs are goals" in found(many, "too-many-kpis")[0][2]


def test_links_to_nowhere_and_places_of_python_catalogs_do_not_stop_lint(catalog):
    link = Link(cpi_id="gone", kpi_id="gone")
    claim = ClaimedLink(cpi="gone", kpi="gone", because="so they told us", expect=Sign.POSITIVE, sesoi="1 pp")
    bare = replace(catalog, places={}, links={link: claim})
    assert [issue.where for issue in lint(bare)] == ["cpi:quote_hours"]


def test_findings_come_in_order_of_line(write_catalog):
    path = write_catalog(
        ("moves: {quote_hours: lower}", "moves: {}"),
        ("due: 2027-06-30, ", ""),
        ("method: contextual_inquiry", "method: survey"),
    )
    lines = [int(issue.where.split(":")[1]) for issue in load_catalog(path).lint()]
    assert lines == sorted(lines)
    assert len(lines) == 4


def test_issue_prints_as_one_line_and_becomes_a_row(write_catalog):
    (issue,) = load_catalog(write_catalog(("method: contextual_inquiry", "method: survey"))).lint()
    assert str(issue) == (
        "shop.yaml:7  warning  CPI 'quote_hours' was found by survey. "
        "Surveys mislead here: confirm it by contextual inquiry (see docs: discovery)."
    )
    assert issue.to_frame()["rule"].tolist() == ["discovery"]
