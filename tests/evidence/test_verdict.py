"""How a verdict says itself."""

import math

import pytest

from cpi_experiments.estimate import Link, from_plain
from cpi_experiments.evidence.verdict import Verdict, VerdictWord

LINK = Link(cpi_id="quote_hours", kpi_id="win_rate")
SIZED = {"effect": 0.0083, "effect_shrunken": 0.008, "ci_low": 0.0031, "ci_high": 0.0136}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"verdict": "confirmed", "grade": "B", **SIZED}, "confirmed, grade B. +0.0083 per increment (+0.0031 to +0.0136)."),
        ({"verdict": "refuted", "cause": "harmful", **SIZED}, "refuted (harmful). +0.0083 per increment"),
        ({"verdict": "inconclusive", "cause": "underpowered", "effect": 1.0, "ci_low": -math.inf, "ci_high": math.inf}, "(any value)"),
        ({"verdict": "blocked", "reasons": ("Why.",)}, "quote_hours -> win_rate: blocked. Why."),
        ({"verdict": "confirmed", "grade": "B", "reasons": ("Why.",), **SIZED}, "win_rate: confirmed, grade B. Why."),
    ],
)  # fmt: skip
def test_a_verdict_says_word_cause_grade_size_and_reason(fields, text):
    found = Verdict(link=LINK, **{**fields, "verdict": VerdictWord(fields["verdict"])})
    assert text in " ".join(str(found).split())
    assert "nan" not in str(found)
    assert from_plain(Verdict, found.to_dict()).to_dict() == found.to_dict()


def test_there_are_four_words():
    assert [word.value for word in VerdictWord] == ["confirmed", "refuted", "inconclusive", "blocked"]
