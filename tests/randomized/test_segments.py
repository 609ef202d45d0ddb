"""Effects within segments: the same numbers as of the rows of each, and whether they differ."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_experiments.errors import DataError
from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.randomized import trial_moments
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.comparison import Comparison
from cpi_experiments.randomized.effects.outcomes import Mean

PLAIN = {"arm": "arm", "control": "manual", "outcomes": "revenue"}


def ask(frame: Any, **call: Any) -> Comparison:
    return compare(frame, **{**PLAIN, **call})


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"covariates": "before", "adjustment": "lin"},
        {"strata": "half"},
        {"unit": "customer", "outcomes": ["won", Mean("revenue", cap=3)]},
    ],
)
@pytest.mark.parametrize("rows", [10, 100_000])
def test_segments_are_comparisons_of_their_rows(
    frame: pd.DataFrame, call: dict, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_moments, "SMALL", rows)
    frame["half"] = frame.index % 2
    found = ask(frame, by=["region", "half"] if "strata" not in call else "region", **call)
    plain = ask(frame, **call)
    pd.testing.assert_frame_equal(
        found.to_frame().query("segment == 'all'").drop(columns="segment").reset_index(drop=True),
        plain.to_frame(), rtol=1e-10,
    )  # fmt: skip
    for part in found.differences:
        for effect in part.effects:
            label = effect.segment.split(" = ")[1]
            own = frame[frame[part.by].astype(str) == label]
            expected = ask(own, **call)[part.outcome].estimate
            assert effect.estimate.value == pytest.approx(expected.value, rel=1e-9)
            assert effect.estimate.std_error == pytest.approx(expected.std_error, rel=1e-9)
    labels = [row for row in found.to_frame()["segment"] if row != "all"]
    assert labels[:3] == ["region = north", "region = south", "region = west"]


def test_two_segments_differ_as_welch_says(frame: pd.DataFrame) -> None:
    frame["half"] = np.where(frame.index % 2 == 0, "a", "b")
    part = ask(frame, by="half").differences[0]
    one, other = (effect.estimate for effect in part.effects)
    t = (one.value - other.value) / math.hypot(one.std_error, other.std_error)
    assert part.statistic == pytest.approx(t * t, rel=1e-10)
    v = np.array([one.std_error**2, other.std_error**2])
    df = v.sum() ** 2 / np.sum(v**2 / np.array([one.df, other.df]))
    assert part.p_value == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-6)
    assert part.df == 1


def test_a_difference_is_found_and_said(frame: pd.DataFrame) -> None:
    assert (
        ask(frame, by="region")
        .differences[0]
        .sentence.startswith("No sign that the effect of auto on revenue differs by region (p 0.")
    )
    frame["revenue"] += 5 * ((frame["arm"] == "auto") & (frame["region"] == "west"))
    found = ask(frame, by="region", correction="holm", outcomes=["revenue", "hours"])
    assert found.differences[0].sentence == ("The effect of auto on revenue differs by region (p < 0.001, corrected).")
    assert found.differences[0].p_adjusted == pytest.approx(2 * found.differences[0].p_value)
    assert found.differences[0].sentence in " ".join(str(found).split())
    p = np.array([e.estimate.p_value for part in found.differences for e in part.effects])
    adjusted = [e.p_adjusted for part in found.differences for e in part.effects]
    assert min(adjusted) == pytest.approx(6 * p.min())
    assert str(found.differences[1]).startswith("No sign")
    assert len(found.differences[0].to_frame()) == 3


def test_moments_answer_for_segments_without_rows(frame: pd.DataFrame) -> None:
    moments = gather(frame, ["revenue", "before"], by=["arm", "region", "team"])
    call = {"by": "region", "covariates": "before"}
    pd.testing.assert_frame_equal(ask(moments, **call).to_frame(), ask(frame, **call).to_frame(), rtol=1e-9)


def test_segments_without_an_estimate_are_named_and_left_out(frame: pd.DataFrame) -> None:
    frame.loc[:2, "region"] = "islands"
    frame.loc[:2, "arm"] = "manual"
    frame.loc[5, "region"] = None
    found = ask(frame, by="region").differences[0]
    assert found.left_out[0][0] == "islands"
    assert "0 units" in found.left_out[0][1]
    assert len(found.effects) == 3
    assert "region = islands is left out for revenue" in " ".join(str(ask(frame, by="region")).split())
    one = ask(frame[frame["region"] == "north"], by="region").differences[0]
    assert math.isnan(one.p_value)
    assert "fewer than two segments" in one.sentence


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ({"by": "arm"}, "is the arm and cannot be a segment"),
        ({"by": "revenue"}, "groups the rows and cannot be an outcome"),
        ({"by": "nowhere"}, "column 'nowhere' is missing"),
        ({"by": "customer"}, "has 240 different values"),
        ({"by": "region", "cluster": "team"}, "clusters lie in several segments of 'region'"),
    ],
)
def test_bad_segments_are_refused(frame: pd.DataFrame, call: dict, found: str) -> None:
    with pytest.raises(DataError, match=found):
        ask(frame, **call)


def test_clusters_within_segments_are_compared(frame: pd.DataFrame) -> None:
    frame["half"] = (frame.index % 24) // 12
    found = ask(frame, arm="arm_of_cluster", cluster="team", by="half").differences[0]
    assert [e.estimate.n_clusters for e in found.effects] == [12, 12]
    assert 0 < found.p_value < 1
