"""Looks are declared in one short text that is read back as it was written."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.judging.look_plan import KINDS, MOST_LOOKS, LookPlan, look_plan


@pytest.mark.parametrize(
    ("text", "kind", "looks", "information"),
    [
        ("single", "single", 1, math.inf),
        (" Retest ", "retest", 1, math.inf),
        ("planned 4", "planned", 4, math.inf),
        ("PLANNED   24", "planned", 24, math.inf),
        ("capped 0.001", "capped", 1, 1e6),
        ("open 4e-3", "open", 1, 62500.0),
    ],
)
def test_text_is_read_as_kind_looks_and_information(text, kind, looks, information):
    plan = look_plan(text)
    assert (plan.kind, plan.looks) == (kind, looks)
    assert plan.information == pytest.approx(information, rel=1e-12)
    assert look_plan(str(plan)) == plan


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    kind=st.sampled_from(("capped", "open")),
    digits=st.integers(1, 10**12),
    exponent=st.integers(-30, 10),
)
def test_standard_error_survives_the_round_trip(kind, digits, exponent):
    text = f"{kind} {float(f'{digits}e{exponent}'):.12g}"
    plan = look_plan(text)
    assert look_plan(str(plan)) == plan
    assert f"{kind} {float(str(plan).split()[1]):.12g}" == text


@pytest.mark.parametrize("k", [2, 7, MOST_LOOKS])
def test_planned_looks_survive_the_round_trip(k):
    assert str(look_plan(f"planned {k}")) == f"planned {k}"


def test_every_kind_has_a_sentence_with_its_number():
    texts = ["single", "retest", "planned 4", "capped 0.001", "open 0.004"]
    sentences = [look_plan(text).sentence for text in texts]
    assert [text.split()[0] for text in texts] == list(KINDS)
    assert len(set(sentences)) == len(KINDS)
    for text, sentence in zip(texts, sentences, strict=True):
        assert sentence.endswith(".")
        assert text.split()[-1] in sentence or len(text.split()) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "are not known"),
        ("singel", "Did you mean 'single'"),
        ("weekly", "planned 4, capped 0.001"),
        ("planned", 'Write "planned 4"'),
        ("planned 4 5", "cannot be read"),
        ("single 2", 'Write "single"'),
        ("planned 1", 'One look is "single"'),
        ("planned 25", "from 2 to 24"),
        ("planned 2.5", "is not a whole number"),
        ("planned -3", "is not a whole number"),
        ("capped", 'Write "capped 0.001"'),
        ("capped zero", "'zero' in looks"),
        ("capped 0", "above zero"),
        ("open -1", "above zero"),
        ("open nan", "above zero"),
        ("capped inf", "above zero"),
    ],
)
def test_what_is_no_plan_is_refused_with_what_to_write(text, found):
    with pytest.raises(DesignError, match=found):
        look_plan(text)


@pytest.mark.parametrize(
    "fields",
    [{"kind": "weekly"}, {"kind": "planned", "looks": 2.0}, {"kind": "capped"}, {"kind": "open", "information": 0.0}],
)
def test_a_plan_made_by_hand_is_checked_too(fields):
    with pytest.raises(DesignError):
        LookPlan(**fields)
