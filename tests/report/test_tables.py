from __future__ import annotations

import csv
import json
import math
import unicodedata

import pytest

from cpi_experiments.display import clean_text
from cpi_experiments.report.tables import SCHEMA_VERSION, guard, write_csv, write_json, write_tables


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1+2", "@SUM(A1)", " =1", "\t=1", "\rx", "\tx", "＝1", "＋1", "－1", "＠x", "\u200b=1", "\ufeff=1",
     "\u202e=1", "\n=1", "\u00a0=1", "\u2066=cmd"],
)  # fmt: skip
def test_text_that_starts_a_formula_is_guarded(text):
    assert guard(text) == "'" + clean_text(text)


@pytest.mark.parametrize("text", ["Fast Quote", "1 h faster: +0.83", "a=b", "5-3", "−0.5", "", "'=1", "解決"])
def test_other_text_is_left_alone(text):
    assert guard(text) == text


@pytest.mark.parametrize(
    ("value", "cell"),
    [(-0.1 - 0.2, "-0.30000000000000004"), (-5, "-5"), (math.nan, ""), (None, ""), (math.inf, "inf"), (True, "yes"),
     (False, "no"), ("-5", "'-5")],
)  # fmt: skip
def test_numbers_stay_numbers_at_full_precision(tmp_path, value, cell):
    path = write_csv([{"=head": value, "other": "x"}], tmp_path / "a.csv")
    assert read(path) == [{"'=head": cell, "other": "x"}]


def test_no_cell_of_any_table_starts_a_formula(quarter, hostile, tmp_path):
    for path in write_tables(quarter.named_review(hostile, hostile), tmp_path):
        rows = read(path)
        for row in rows:
            for name, cell in row.items():
                seen = unicodedata.normalize("NFKC", cell).lstrip()
                assert not seen.startswith(("=", "@", "+", "-")) or float(cell) == float(cell), name
        assert len(rows) == 1


def test_tables_hold_the_numbers_of_the_model(review, tmp_path):
    verdicts, charter = write_tables(review, tmp_path)
    assert (verdicts.name, charter.name) == ("verdicts.csv", "charter.csv")
    for row, shown in zip(review.verdicts, read(verdicts), strict=True):
        assert shown["link"] == row.link
        for name in ("effect", "ci_low", "ci_high", "sesoi"):
            value = getattr(row, name)
            assert shown[name] == ("" if math.isnan(value) else repr(value))
    assert read(charter)[0]["gain_p50"] == "0.045"


def test_json_is_whole_and_has_a_version(review, tmp_path):
    path = write_json(review, tmp_path / "review.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["schema_version"] == SCHEMA_VERSION
    assert content["verdicts"][0]["effect"] == 14.2
    assert len(content["verdicts"]) == 12
    assert path.read_bytes() == write_json(review, tmp_path / "again.json").read_bytes()


def test_an_empty_table_is_an_empty_file_with_no_rows(tmp_path):
    assert write_csv([], tmp_path / "none.csv").read_text() == "\n"
