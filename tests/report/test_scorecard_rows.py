"""The table of a scorecard shows the numbers of the scorecard, and says why where there are none."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.catalog.entities import KPI, Catalog, Measure, Target
from cpi_experiments.measure.scores.scorecard import scorecard
from cpi_experiments.measure.unit_periods import Panel
from cpi_experiments.report.scorecard_rows import scorecard_rows
from cpi_experiments.stats.goal_track import Track
from cpi_experiments.units import Direction
from cpi_experiments.wording.results import banned_words
from cpi_experiments.wording.scorecard import TRACK_SYMBOLS

TARGET = Target(baseline=0.2, value=0.9, due="2026-12-31", benchmark=0.1, benchmark_source="trade body 2025")


def card(*, by=None, target=TARGET):
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"id": np.tile(np.arange(200), 2), "month": np.repeat(["2026-05", "2026-06"], 200)})
    rows["won"] = (rng.random(400) < np.where(rows["month"] == "2026-05", 0.3, 0.6)).astype(float)
    rows["channel"] = np.where(rows["id"] < 4, "fax", np.where(rows["id"] < 100, "web", "shop")).astype(object)
    measure = Measure(table="quotes", entity="id", at="at", value="won")
    won = KPI(id="won", label="Win\nrate", unit="fraction", better=Direction.HIGHER, measure=measure, target=target)
    panel = Panel.from_frame(rows, unit="id", time="month", cpis=[], kpis=["won"], covariates=["channel"])
    return scorecard(panel, Catalog(cpis={}, kpis={"won": won}), by=by, as_of="2026-06-30")


def test_a_row_shows_the_numbers_of_the_scorecard():
    found = card()
    (row,) = scorecard_rows(found)
    raw = found.rows[0]
    assert row.indicator == "Win rate"
    assert row.level == f"{100 * raw.level:.1f}%"
    assert row.level_range == f"{100 * raw.ci_low:.1f} to {100 * raw.ci_high:.1f}"
    assert row.change.endswith("(better)")
    assert (row.track, row.symbol, row.target) == (
        raw.goal.state.value,
        TRACK_SYMBOLS[raw.goal.state.value],
        "90% by 2026-12-31",
    )
    assert (row.benchmark, row.benchmark_side) == ("10% (trade body 2025)", "better")
    assert row.year == row.mix == ""
    assert row.customers == "200"


def test_hidden_groups_say_why_and_show_no_number():
    rows = scorecard_rows(card(by="channel"))
    assert [row.group for row in rows] == ["", "fax", "shop", "web"]
    fax = rows[1]
    assert fax.level == "fewer than 10 customers"
    shown = {
        each.name: getattr(fax, each.name)
        for each in fields(fax)
        if each.name not in ("indicator", "kind", "group", "level", "note")
    }
    assert not any(shown.values())
    assert rows[0].mix != ""


def test_without_target_and_benchmark_the_cells_are_empty():
    (row,) = scorecard_rows(card(target=None))
    assert (row.target, row.track, row.expected, row.symbol, row.benchmark) == ("",) * 5


def test_every_state_has_a_symbol_beside_its_word():
    assert set(TRACK_SYMBOLS) == {state.value for state in Track}


@pytest.mark.parametrize("by", [None, "channel"])
def test_notes_are_for_leaders(by):
    for row in scorecard_rows(card(by=by)):
        assert banned_words(" ".join(getattr(row, each.name) for each in fields(row))) == ()


def test_labels_of_groups_are_made_safe():
    found = card(by="channel")
    rows = tuple(replace(row, group=row.group and f"{row.group}\u202e\x07") for row in found.rows)
    assert scorecard_rows(replace(found, rows=rows))[1].group == "fax\ufffd"
