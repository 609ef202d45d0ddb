from __future__ import annotations

import subprocess
import sys

import pytest

from cpi_experiments.catalog.claimed_link import ClaimedLink, Sign
from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.catalog.starter_project import STARTER
from cpi_experiments.errors import CatalogError
from cpi_experiments.estimate import Link


def test_ids_are_resolved_with_a_hint():
    catalog = load_catalog(STARTER)
    assert catalog.team("service").label == "Customer Service"
    assert catalog.lever_sign("knowledge_base", "first_time_resolution") == 1
    for action in (
        lambda: catalog.cpi("quote_hour"),
        lambda: catalog.claimed(Link(cpi_id="quote_hours", kpi_id="win_rat")),
        lambda: catalog.lever_sign("auto_quote", "quote_hour"),
    ):
        with pytest.raises(CatalogError, match=r"Did you mean 'quote_hours"):
            action()


def test_catalog_shows_each_cpi_with_its_levers_and_kpis():
    catalog = load_catalog(STARTER)
    assert str(catalog).startswith("2 CPIs, 3 KPIs, 2 levers, 2 links\n")
    row = catalog.to_frame().set_index("cpi").loc["quote_hours"]
    assert (row["increment"], row["levers"], row["kpis"]) == ("1 hour", "auto_quote", "win_rate")


def test_units_are_counted_in_increments_toward_better():
    cpi = load_catalog(STARTER).cpi("quote_hours")
    assert (cpi.divisor, cpi.step, cpi.measure.window_days) == (-1.0, "hour faster", 28.0)


@pytest.mark.parametrize("lag", ["28", "28 days", "9-3 days", "0 to 28 days", "0-28 weeks"])
def test_lag_is_a_range_of_days(lag):
    claim = ClaimedLink(cpi="a", kpi="b", because="", expect=Sign.NEGATIVE, sesoi="1 pp", lag=lag)
    with pytest.raises(CatalogError, match="0-28 days"):
        assert claim.lag_days is None
    assert (claim.expect.number, str(claim.link)) == (-1, "a -> b")


def test_entities_load_no_heavy_library():
    code = (
        "import sys; import cpi_experiments.catalog.entities;"
        "print(sorted({'yaml', 'pydantic', 'numpy', 'pandas', 'duckdb', 'scipy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("looks", "read"),
    [
        ("retest", "retest"),
        ("planned 4", "planned 4"),
        ("capped 0.2 pp", "capped 0.002"),
        ("open 1 fraction", "open 1"),
        (" single ", "single"),
    ],
)
def test_looks_are_read_in_the_unit_of_the_kpi(looks, read):
    claim = ClaimedLink(cpi="a", kpi="b", because="", expect=Sign.POSITIVE, sesoi="1 pp", looks=looks)
    assert claim.looks_in("fraction") == read
