"""The tuple grain: every combination counted once, missing values told apart, continuous columns refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.measure.moments.tuples import gather_tuples


def answers() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "team": rng.choice(["a", "b"], 500),
            "score": rng.choice([np.nan, 3, 8, 9, 10], 500),
            "solved": rng.random(500) < 0.7,
            "channel": rng.choice(["web", None], 500),
        }
    )


def test_counts_equal_pandas():
    frame = answers()
    got = gather_tuples(frame, ["score", "solved", "channel"], by=["team"])
    want = frame.groupby(["team", "score", "solved", "channel"], dropna=False).size()
    assert len(got) == len(want)
    assert got.n.sum() == 500
    for team in "ab":
        values, counts = got.where({"team": team}).distribution("score")
        expected = frame.loc[frame["team"] == team, "score"].value_counts().sort_index()
        assert values.tolist() == expected.index.tolist()
        assert counts.tolist() == expected.tolist()
    words, counts = got.distribution("channel")
    assert dict(zip(words, counts, strict=True)) == {"web": (frame["channel"] == "web").sum()}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda f: gather_tuples(f, ["x"], max_tuples=99), "x have more than 99 combinations of values"),
        (lambda f: gather_tuples(f, ["x"], by=["x"]), "'x' is a column and a key"),
        (lambda f: gather_tuples(f, []), "no column was asked for"),
        (lambda f: gather_tuples(f, ["y"]), "'y' is missing"),
        (lambda f: gather_tuples(f, ["x"]).distribution("y"), "'y' is not among the tuples"),
        (lambda f: gather_tuples(f, ["x"], by=["g"]).where({"g": "c"}), "no combination has g = 'c'"),
        (lambda f: gather_tuples(f, ["x"]).where({"g": "c"}), "no combination has g = 'c'"),
    ],
)
def test_what_is_not_discrete_or_not_there_is_refused(call, says):
    with pytest.raises(DataError, match=says):
        call(pd.DataFrame({"x": range(100), "g": "a"}))
