"""What a registration freezes."""

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_experiments.display import plain
from cpi_experiments.errors import DesignError
from cpi_experiments.estimate import Link, from_plain
from cpi_experiments.hypotheses.hypothesis import Hypothesis

LINK = Link(cpi_id="quote_hours", kpi_id="win_rate")
CLAIM = Hypothesis(link=LINK, expected_sign=1, sesoi=0.004)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"expected_sign": 0}, "expected sign of quote_hours -> win_rate is 0"),
        ({"expected_sign": 2}, "is 2"),
        ({"sesoi": 0.0}, "sesoi of quote_hours -> win_rate is 0.0"),
        ({"sesoi": -0.1}, "is -0.1"),
        ({"sesoi": math.nan}, "is nan"),
        ({"sesoi": math.inf}, "is inf"),
    ],
)
def test_a_sign_or_size_that_cannot_be_is_refused(change, found):
    with pytest.raises(DesignError, match=found):
        replace(CLAIM, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"link": Link(cpi_id="quote_hours", kpi_id="revenue")}, {"expected_sign": -1}, {"sesoi": 0.0040001}, {"lag_days": (0, 29)},
        {"population": "new customers"}, {"adjustment": ("region",)}, {"decision_rule": "p < .05"}, {"looks": "planned 4"},
    ],
    ids=str,
)  # fmt: skip
def test_every_part_of_the_claim_is_in_its_digest(change):
    assert replace(CLAIM, **change).content_digest() != CLAIM.content_digest()


def test_time_and_digest_themselves_are_not():
    assert replace(CLAIM, registered_at="2026-10-01", digest="abc").content_digest() == CLAIM.content_digest()


@given(sesoi=st.integers(1, 1000))
def test_the_same_number_written_otherwise_is_the_same_claim(sesoi):
    digests = {replace(CLAIM, sesoi=value).content_digest() for value in (sesoi, float(sesoi), np.float64(sesoi))}
    assert len(digests) == 1


@given(sesoi=st.floats(1e-9, 1e9), low=st.integers(0, 9), adjustment=st.lists(st.text(max_size=5), max_size=3))
def test_digest_survives_being_written_and_read(sesoi, low, adjustment):
    claim = replace(CLAIM, sesoi=sesoi, lag_days=(low, 28), adjustment=tuple(adjustment))
    back = from_plain(Hypothesis, plain(claim))
    assert back == claim
    assert back.content_digest() == claim.content_digest()


def test_it_says_whether_it_is_registered():
    assert (
        str(CLAIM) == "quote_hours -> win_rate: expect +, at least 0.004 per increment; looks: retest\nnot registered"
    )
    done = replace(CLAIM, expected_sign=-1, registered_at="2026-10-01T00:00:00Z", digest="0123456789")
    assert "expect -" in str(done)
    assert "registered 2026-10-01T00:00:00Z, 01234567" in str(done)
    assert done.registered
    with pytest.raises(FrozenInstanceError):
        done.sesoi = 1.0
