"""Built-in indicators in the catalog: defaults they bring, contradictions they refuse, benchmarks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cpi_experiments.catalog.entities import KPI, Aggregate, Measure, Target
from cpi_experiments.catalog.kind_checks import kind_misfits, promise_in
from cpi_experiments.catalog.known_kinds import KINDS, find_kind
from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.catalog.rules import lint
from cpi_experiments.errors import CatalogError
from cpi_experiments.units import Direction, check_unit

WON = (
    "unit: fraction\n    better: higher\n    measure: {table: quotes, entity: customer_id, at: decided_at, value: won}"
)
TARGET = "    target: {baseline: 0.20, value: 0.23, due: 2027-06-30, cadence: monthly}\n"


def kpi_text(measure, *, unit="point", better="higher") -> tuple[str, str]:
    head = f"unit: {unit}\n    better: {better}\n"
    return (WON, f"{head}    measure: {{table: quotes, entity: customer_id, at: decided_at, {measure}}}")


def measure(**fields) -> Measure:
    return Measure(**{"table": "t", "entity": "c", "at": "at", "value": "v", **fields})


def kpi(*, unit="point", better=Direction.HIGHER, **fields) -> KPI:
    return KPI(id="k", label="K", unit=unit, better=better, measure=measure(**fields))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_consistent(name):
    kind = find_kind(name)
    assert kind.id == name
    assert [check_unit(unit) for unit in kind.units] == list(kind.units)
    bounds = kind.bounds()
    assert bounds is None or bounds[0] < bounds[1]
    chosen = measure(indicator=name)
    assert (chosen.aggregate.value, chosen.window) == (kind.aggregate, kind.window)
    assert chosen.window_days > 0


def test_what_is_written_wins_over_what_the_kind_brings():
    assert measure(indicator="repurchase").window_days == 90
    assert measure(indicator="repurchase", window="10 days").window_days == 10
    assert measure(indicator="revenue_per_customer").aggregate is Aggregate.SUM
    assert measure(indicator="response_time", aggregate=Aggregate.P90).aggregate is Aggregate.P90
    assert (measure().aggregate, measure().window, measure().kind) == (Aggregate.MEAN, "28 days", None)
    assert replace(measure(indicator="repurchase"), entity="e").window == "90 days"


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(CatalogError, match=r"indicator 'npss' is not built in\.\n  Did you mean 'nps'"):
        measure(indicator="npss")


def test_catalog_reads_kinds_scales_promises_and_boxes(write_catalog):
    def load(text, *, unit="point") -> Measure:
        path = write_catalog((TARGET, ""), kpi_text(text, unit=unit), ("0.4 pp", SESOI[unit]))
        return load_catalog(path).kpi("win_rate").measure

    assert load("value: score, indicator: nps").kind is KINDS["nps"]
    assert load("value: score, indicator: csat, scale: [0, 10]").scale == (0.0, 10.0)
    assert load("value: score, indicator: csat_top_box, top: 2", unit="fraction").top == 2
    promised = load('value: "hours(a, b)", indicator: share_within, promise: 2 days', unit="fraction")
    assert promise_in(promised.promise, value=promised.value) == 48.0
    assert load("value: paid, indicator: revenue_per_customer", unit="EUR").aggregate is Aggregate.SUM


SESOI = {"point": "1 point", "fraction": "0.4 pp", "EUR": "1 EUR"}

BROKEN = [
    (kpi_text("value: s, indicator: npss"), ":18: ", ["`measure.indicator`: indicator 'npss'", "Did you mean 'nps'"]),
    (kpi_text("value: s, indicator: nps", unit="fraction"), ":16: ", ["'nps' is not counted in 'fraction'", "point"]),
    (kpi_text("value: s, indicator: nps", better="lower"), ":17: ", ["lower is not better for 'nps'"]),
    (kpi_text("value: s, indicator: nps, cap: 9"), ":18: ", ["'nps' cannot be capped"]),
    (kpi_text("value: s, indicator: nps, aggregate: sum"), ":18: ", ["answers of 'nps' do not add up"]),
    (kpi_text("value: s, indicator: nps, scale: [0, 5]"), ":18: ", ["'nps' has no other scale than its own"]),
    (kpi_text("value: s, indicator: csat, scale: [5, 1]"), ":18: ", ["[5.0, 1.0] is not a scale"]),
    (kpi_text("value: s, indicator: csat, scale: [1, 4.5]"), ":18: ", ["is not a scale"]),
    (kpi_text("value: s, indicator: csat, top: 2"), ":18: ", ["'csat' has no top box"]),
    (kpi_text("value: s, indicator: csat_top_box, top: 5", unit="fraction"), ":18: ", ["5 boxes of a scale"]),
    (kpi_text("value: s, indicator: csat, promise: 1 day"), ":18: ", ["'csat' has no promise"]),
    (kpi_text("value: s, indicator: share_within", unit="fraction"), ":18: ", ["needs what was promised"]),
    (
        kpi_text("value: s, indicator: share_within, promise: 1 day", unit="fraction"),
        ":18: ",
        ["value 's' is not one duration", "hours(from, to)"],
    ),
    (
        kpi_text('value: "hours(a, b)", indicator: share_within, promise: 0 days', unit="fraction"),
        ":18: ",
        ["not above zero"],
    ),
    (kpi_text("value: s, scale: [1, 5]"), ":18: ", ["`scale` belongs to a built-in indicator"]),
    (kpi_text("value: s, promise: 1 day"), ":18: ", ["`promise` belongs"]),
    (kpi_text("value: s, top: 2"), ":18: ", ["`top` belongs"]),
    (kpi_text("value: s, indicator: cac", unit="EUR", better="lower"), ":18: ", ["no value for one customer"]),
    (kpi_text("value: s, indicator: survival", unit="fraction"), ":18: ", ["indicator(data, 'survival', ...)"]),
    (kpi_text("value: s, indicator: 7"), ":18: ", ["`measure.indicator` is the number 7; a text is needed"]),
]


@pytest.mark.parametrize(("change", "line", "parts"), BROKEN)
def test_contradictions_say_what_where_and_how_to_mend(write_catalog, change, line, parts):
    unit = next(unit for unit in SESOI if f"unit: {unit}\n" in change[1])
    with pytest.raises(CatalogError) as caught:
        load_catalog(write_catalog((TARGET, ""), change, ("0.4 pp", SESOI[unit])))
    message = str(caught.value)
    assert line in message
    assert [part for part in parts if part not in message] == []


def test_levels_that_an_indicator_cannot_have_are_refused(write_catalog):
    target = "    target: {baseline: 20, value: 120, due: 2027-06-30, cadence: monthly}\n"
    change = kpi_text("value: s, indicator: nps")
    with pytest.raises(CatalogError, match=r"target value 120 is outside \[-100, 100\]"):
        load_catalog(write_catalog((TARGET, target), change, ("0.4 pp", "1 point")))
    revenue = kpi_text("value: s, indicator: revenue_per_customer", unit="EUR")
    catalog = load_catalog(write_catalog((TARGET, target), revenue, ("0.4 pp", "1 EUR")))
    assert catalog.kpi("win_rate").target.value == 120


@pytest.mark.parametrize(
    ("written", "warned"),
    [
        ("benchmark: 0.25, benchmark_source: Insurers of 2026", ""),
        ("benchmark: 0.25", "benchmark without a source"),
        ("benchmark_source: Insurers of 2026", "source of a benchmark without its value"),
    ],
)
def test_a_benchmark_has_a_source(write_catalog, written, warned):
    catalog = load_catalog(write_catalog(("cadence: monthly}", f"cadence: monthly, {written}}}")))
    target = catalog.kpi("win_rate").target
    assert (target.benchmark or 0.25, target.benchmark_source or "Insurers of 2026") == (0.25, "Insurers of 2026")
    found = [(issue.where, issue.message) for issue in lint(catalog) if issue.rule == "benchmark"]
    assert found == ([("shop.yaml:19", f"KPI 'win_rate': {warned}.")] if warned else [])


def test_a_benchmark_percentage_is_no_fraction(write_catalog):
    with pytest.raises(CatalogError, match=r"target benchmark 44 is outside \[0, 1\].*\n?.*Write 0.44"):
        load_catalog(write_catalog(("cadence: monthly}", "cadence: monthly, benchmark: 44}")))
    assert Target().benchmark is None


def test_what_a_kind_says_about_the_company_is_no_cpi(write_catalog):
    value = 'value: "hours(requested_at, quoted_at)"'
    cpi = (
        "unit: hour\n    better: lower\n    increment: 1 hour",
        "unit: point\n    better: higher\n    increment: 1 point",
    )
    catalog = load_catalog(write_catalog(cpi, (value, "value: score, indicator: nps")))
    issue = next(issue for issue in lint(catalog) if issue.rule == "kpi-as-cpi")
    assert issue.severity == "error"
    assert "do not care about your net promoter score" in issue.message
    catalog = load_catalog(write_catalog((value, f"{value}, indicator: response_time")))
    assert not [issue for issue in lint(catalog) if issue.rule == "kpi-as-cpi"]


@pytest.mark.parametrize(
    ("entity", "fields"),
    [
        (kpi(indicator="nps"), []),
        (kpi(indicator="nps", unit="percent", better=Direction.LOWER), ["unit", "better"]),
        (kpi(indicator="clv_projected", unit="EUR"), ["measure.indicator"]),
        (kpi(indicator="options_offered", unit="count", cap=9.0), []),
        (
            kpi(unit="fraction", promise="1 day", top=2, scale=(1.0, 5.0)),
            ["measure.scale", "measure.promise", "measure.top"],
        ),
        (kpi(indicator="share_within", unit="fraction", value="hours(a, b)", promise="1 parsec"), ["measure.promise"]),
    ],
)
def test_misfits_name_their_field(entity, fields):
    assert [field for field, _, _ in kind_misfits(entity)] == fields


def test_the_page_of_indicators_holds_every_kind_as_it_is():
    page = (Path(__file__).resolve().parents[2] / "docs" / "indicators.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines() if line.startswith("| `")]
    told = {row[1].strip("`"): (row[4], row[5]) for row in rows}
    usual = {name: (kind.units[0], kind.better.value) for name, kind in KINDS.items()}
    hours = dict.fromkeys(("response_time", "resolution_time"), ("hour", "lower"))
    assert told == usual | hours
