"""A small valid catalog as text, so that a test can spoil one line of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CATALOG = """\
cpis:
  - id: quote_hours
    label: Fast Quote
    outcome: "I get a price while I am still looking"
    benefit: functional
    function: sales
    discovery: {method: contextual_inquiry, when: 2026-03}
    unit: hour
    better: lower
    increment: 1 hour
    measure: {table: quotes, entity: customer_id, at: quoted_at, value: "hours(requested_at, quoted_at)"}
    guardrails: [win_rate]
kpis:
  - id: win_rate
    label: Win rate
    unit: fraction
    better: higher
    measure: {table: quotes, entity: customer_id, at: decided_at, value: won}
    target: {baseline: 0.20, value: 0.23, due: 2027-06-30, cadence: monthly}
    worth: {amount: 310, currency: EUR}
teams:
  - {id: sales_ops, label: Sales Operations, function: sales}
levers:
  - {id: auto_quote, label: Auto-quote, team: sales_ops, moves: {quote_hours: lower}}
links:
  - cpi: quote_hours
    kpi: win_rate
    because: "Buyers stop looking once they have a price"
    expect: positive
    sesoi: 0.4 pp
"""


@pytest.fixture
def write_catalog(tmp_path: Path) -> Callable[..., Path]:
    """Write the valid catalog with fragments replaced; every fragment must be there."""

    def write(*replacements: tuple[str, str], name: str = "shop.yaml") -> Path:
        text = CATALOG
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new, 1)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write
