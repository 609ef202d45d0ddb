"""Measuring from the command line: contracts hide rows and say so, levels are printed, moments answer without rows."""

from __future__ import annotations

import json
from datetime import date

import pandas as pd
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.measure.moments.store import load_moments
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.study.study import Study

JUNE = date(2026, 6, 30)
PLAIN = "quotes: data/quotes.csv"


def contract(*lines):
    """The source of the quotes, with a contract."""
    return ("cpi.yaml", PLAIN, "\n".join(["quotes:", "    path: data/quotes.csv", *(f"    {line}" for line in lines)]))


def test_rows_that_break_a_contract_are_neither_measured_nor_forgotten(write_shop):
    with Study.open(write_shop(folder="whole")) as whole:
        everything = whole.measure(as_of=JUNE)
    late = contract("earliest: 2026-02-01", "time: requested_at", "limits: {early: 1}")
    with Study.open(write_shop(late, folder="held")) as held:
        panel = held.measure(as_of=JUNE)
        review = held.run("2026Q2")
    january = everything.frame["period"] == "2026-01-01"
    assert january.any()
    assert (panel.frame["period"] >= "2026-02-01").all()
    assert panel.digest != everything.digest
    (hidden,) = [row for row in review.dropped if "requested_at" in row.where]
    assert hidden.rows == 600


def test_a_table_that_breaks_its_contract_too_often_stops_the_run_before_the_ledger(write_shop):
    held = contract("ranges: {won: {low: 1}}")
    with Study.open(write_shop(held)) as study:
        with pytest.raises(DataError, match="won"):
            study.run("2026Q2")
        assert not study.project.ledger_path.exists()


def test_check_names_what_is_wrong_and_exits_1(cpi, write_shop):
    clean = cpi("check", "--project", write_shop(folder="clean"))
    assert clean.code == 0
    assert "no errors" in clean.out
    broken = cpi("check", "--project", write_shop(contract("ranges: {won: {low: 1}}"), folder="broken"))
    assert broken.code == 1
    assert "quotes.won" in broken.out
    late = cpi("check", "--as-of", "2026-02-01", "--project", write_shop(contract("time: requested_at"), folder="late"))
    assert late.code == 1
    assert "requested_at" in late.out


def test_check_compares_the_files_of_a_pattern_before_they_are_one_table(cpi, write_shop):
    root = write_shop(("cpi.yaml", PLAIN, "quotes: data/quotes_*.csv"))
    rows = pd.read_csv(root / "data" / "quotes.csv")
    rows.iloc[:1200].to_csv(root / "data" / "quotes_1.csv", index=False)
    rows.iloc[1200:].to_csv(root / "data" / "quotes_2.csv", index=False)
    fits = cpi("check", "--project", root)
    assert fits.code == 0
    assert "quotes_*.csv" in fits.out
    rows.iloc[1200:].drop(columns="won").to_csv(root / "data" / "quotes_2.csv", index=False)
    drifted = cpi("check", "--project", root)
    assert drifted.code == 1
    assert "won" in drifted.out


def test_measure_prints_where_every_indicator_stands(cpi, write_shop):
    ran = cpi("measure", "--as-of", "2026-06-30", "--project", write_shop())
    assert ran.code == 0
    assert "Fast Quote" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100
    full = cpi("measure", "--as-of", "2026-06-30", "--json", "--project", write_shop(folder="again"))
    assert json.loads(full.out)["rows"]


def test_run_keeps_the_moments_of_a_trial_and_they_answer_without_rows(cpi, write_shop):
    root = write_shop()
    with Study.open(root) as study:
        study.run("2026Q2")
        (saved,) = study.project.moments_path.glob("*.npz")
        (evidence,) = study.analyze("auto_quote_2026q2", as_of=JUNE)
    moments = load_moments(saved)
    effect = compare(moments, arm="arm", control="manual", outcomes="win_rate")["win_rate"].estimate
    assert effect.value == pytest.approx(evidence.reduced_form.value, rel=1e-12)
    told = cpi("compare", str(saved), "--arm", "arm", "--control", "manual", "--outcome", "win_rate")
    assert told.code == 0
    assert "win_rate" in told.out
    link = cpi("link", str(saved), "--arm", "arm", "--control", "manual", "--cpi", "quote_hours", "--kpi", "win_rate")
    assert link.code == 0
    missing = cpi("compare", str(saved.with_name("none.npz")), "--arm", "arm", "--control", "a", "--outcome", "x")
    assert missing.code == 2
    assert "no such file" in missing.err


def test_the_review_says_where_every_indicator_stands(cpi, write_shop, tmp_path):
    ran = cpi("run", "2026Q2", "--quiet", "--out", tmp_path / "report", "--project", write_shop())
    assert ran.code == 0
    page = (tmp_path / "report" / "review.html").read_text(encoding="utf-8")
    assert "Where every indicator stands" in page
    table = pd.read_csv(tmp_path / "report" / "scorecard.csv")
    assert set(table["indicator"]) >= {"Fast Quote"}
    assert table["level"].notna().all()


def test_a_target_runs_since_the_day_that_it_names(write_shop):
    def state(*replacements, folder):
        with Study.open(write_shop(*replacements, folder=folder)) as study:
            card = study.scorecard(study.measure(as_of=JUNE), as_of=JUNE)
        return card.row("win_rate").goal

    def dated(day):
        return ("catalog/shop.yaml", "due: 2027-06-30", f"since: {day}, due: 2027-06-30")

    early, late = state(dated("2025-06-30"), folder="early"), state(dated("2026-12-31"), folder="late")
    assert late.expected == pytest.approx(0.20)  # the line has not begun: the baseline
    assert 0.21 < early.expected < 0.23
