"""Which pairs the catalog allows, and how a claimed link becomes a hypothesis."""

from dataclasses import replace

import pytest

from cpi_experiments.catalog.claimed_link import ClaimedLink, Sign
from cpi_experiments.catalog.entities import CPI, KPI, Aggregate, Benefit, Catalog, Function, Lever, Measure, Role, Team
from cpi_experiments.errors import CatalogError
from cpi_experiments.estimate import Link
from cpi_experiments.hypotheses.candidates import candidates, hypothesis_of
from cpi_experiments.units import Direction, Increment

LINK = Link(cpi_id="quote_hours", kpi_id="win_rate")
WON = Measure(table="quotes", entity="customer_id", at="decided_at", value="won")
HOURS = Measure(table="quotes", entity="customer_id", at="quoted_at", value="hours", aggregate=Aggregate.MEDIAN)


def cpi(key, measure=HOURS):
    return CPI(
        id=key, label=key, outcome="It is fast", unit="hour", better=Direction.LOWER, increment=Increment.parse("1 hour"),
        measure=measure, benefit=Benefit.FUNCTIONAL, function=Function.SALES,
    )  # fmt: skip


def kpi(key, measure=WON, role=Role.GOAL):
    return KPI(id=key, label=key, unit="fraction", better=Direction.HIGHER, measure=measure, role=role)


CLAIM = ClaimedLink(
    cpi="quote_hours", kpi="win_rate", because="Buyers stop looking", expect=Sign.NEGATIVE, sesoi="0.4 pp", lag="7-35 days",
    adjust_for=("region",), population="direct buyers",
)  # fmt: skip
CATALOG = Catalog(
    cpis={"ftr_hours": cpi("ftr_hours"), "quote_hours": cpi("quote_hours")},
    kpis={
        "retention": kpi("retention", replace(WON, value="kept")),
        "win_rate": kpi("win_rate"),
        "errors": kpi("errors", replace(WON, value="error"), Role.GUARDRAIL),
        "hours_again": kpi("hours_again", HOURS),
    },
    teams={"sales": Team(id="sales", label="Sales", function=Function.SALES)},
    levers={
        key: Lever(id=key, label=key, team="sales", moves={"quote_hours": Direction.LOWER})
        for key in ("auto_quote", "night_shift")
    },
    links={LINK: CLAIM},
)


def test_every_pair_but_guardrails_and_tautologies_is_a_candidate():
    found = candidates(CATALOG)
    assert [str(row.link) for row in found.rows] == [
        "quote_hours -> win_rate", "ftr_hours -> retention", "ftr_hours -> win_rate", "quote_hours -> retention",
    ]  # fmt: skip
    assert len(found) == 4


@pytest.mark.parametrize(
    "change", [{"value": "minutes"}, {"aggregate": Aggregate.MEAN}, {"where": "channel = 'web'"}, {"table": "calls"}]
)
def test_only_the_very_same_computation_is_a_tautology(change):
    other = replace(CATALOG, kpis={"k": kpi("k", replace(HOURS, **change))})
    assert len(candidates(other)) == 2


def test_what_is_missing_before_registration_is_said():
    first, *others = candidates(CATALOG).rows
    assert (first.claimed, first.levers, first.missing) == (True, ("auto_quote", "night_shift"), "")
    assert all("claim it under `links:`" in row.missing for row in others)
    (first, *_) = candidates(replace(CATALOG, levers={})).rows
    assert "a lever that moves the CPI" in first.missing


def test_candidates_show_themselves_as_a_table():
    found = candidates(CATALOG)
    assert str(found).startswith("4 pairs of CPI and KPI, 1 of them claimed.")
    assert found.to_frame().shape == (4, 4)
    assert found.to_frame()["levers"][0] == "auto_quote, night_shift"


def test_no_candidates_without_cpis():
    assert len(candidates(replace(CATALOG, cpis={}))) == 0


def test_a_claimed_link_becomes_a_hypothesis_in_kpi_units_per_increment():
    found = hypothesis_of(CATALOG, LINK)
    assert (found.link, found.expected_sign, found.lag_days) == (LINK, -1, (7, 35))
    assert found.sesoi == pytest.approx(0.004)
    assert (found.adjustment, found.population) == (("region",), "direct buyers")
    assert not found.registered


def test_a_link_that_nobody_claims_is_no_hypothesis():
    with pytest.raises(CatalogError, match="Did you mean 'quote_hours -> win_rate'"):
        hypothesis_of(CATALOG, Link(cpi_id="quote_hours", kpi_id="win_rates"))


@pytest.mark.parametrize("lag", ["a month", "28-0 days", "28 days", ""])
def test_a_lag_that_is_no_range_is_refused(lag):
    with pytest.raises(CatalogError, match="is not a range of days"):
        hypothesis_of(replace(CATALOG, links={LINK: replace(CLAIM, lag=lag)}), LINK)
