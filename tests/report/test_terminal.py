from __future__ import annotations

import re

import pytest

from cpi_experiments.report.html import page
from cpi_experiments.report.terminal import _columns, _fold, truth_table, verdict_table

NUMBER = re.compile(r"[+-]\d[\d,]*\.?\d*")
TRUTH = (
    {"link": "quote_hours -> win_rate", "kind": "true", "effect": 0.008, "expected": "confirmed"},
    {"link": "options -> win_rate", "kind": "none", "effect": 0.0, "expected": ("refuted", "inconclusive")},
    {"link": "broke -> revenue", "kind": "true", "effect": 20.0, "expected": "confirmed, inconclusive"},
    {"link": "friends -> revenue", "kind": "confounded", "effect": 0.0, "expected": "refuted"},
    {"link": "not -> there", "kind": "true", "effect": 1.0, "expected": "confirmed"},
)


def compact(text):
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_table_fits_its_width(review, width):
    lines = verdict_table(review.verdicts, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("link")


def test_table_is_ascii_for_ascii_names(review):
    assert verdict_table(review.verdicts).isascii()


def test_each_row_gives_link_step_verdict_grade_and_why(review):
    wide = verdict_table(review.verdicts, width=400).splitlines()[1:]
    for line, row in zip(wide, review.verdicts, strict=True):
        assert row.verdict in line
        assert f"  {row.grade or '-'}  " in line
        assert compact(row.label) in compact(line)


def test_terminal_and_page_give_the_same_numbers(review):
    table = verdict_table(review.verdicts, width=100)
    shown = page(review).replace("−", "-")
    for row in review.verdicts:
        found = NUMBER.findall(row.step)
        assert all(number in table and number in shown for number in found)
    assert sum(len(NUMBER.findall(row.step)) for row in review.verdicts) == 9


@pytest.mark.parametrize("width", [80, 100])
def test_any_name_keeps_the_table_inside_its_width(quarter, hostile, width):
    text = verdict_table(quarter.named_review(hostile, hostile, links=3).verdicts, width=width)
    assert max(map(_columns, text.splitlines())) <= width
    assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


def test_truth_stands_beside_the_verdict_with_a_cause_for_each_disagreement(review):
    text = truth_table(review.verdicts, TRUTH)
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert max(map(len, text.splitlines())) <= 100
    assert re.search(r"\+0\.80 +\+0\.83 +confirmed +yes$", rows["quote_hours -> win_rate"])
    assert re.search(r"refuted +yes$", rows["options -> win_rate"])
    assert "no " in rows["broke -> revenue"]
    assert re.search(r"- +blocked +no +expected", rows["broke -> revenue"])
    assert "not judged" in rows["not -> there"]
    assert text.endswith("2 of 5 verdicts agree with the truth.")


def test_truth_without_rows_says_so(review):
    assert truth_table(review.verdicts, ()).startswith("(no truth)")


def test_a_wide_character_in_the_narrowest_column_still_ends():
    assert _fold("解決", 1) == ["解", "決"]
