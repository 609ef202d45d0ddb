"""Several CPIs moved by one lever: told apart with as many arms as CPIs, credited together with fewer."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError, DesignError, EstimationError
from cpi_experiments.randomized.links.bundle import BundleEffect, bundle_effect


def build(seed: int = 1, n: int = 900) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    arm = rng.choice(["today", "fast", "wide", "both"], n)
    before = rng.normal(size=n)
    hours = rng.gamma(4, 2, n) + before - 3 * np.isin(arm, ["fast", "both"])
    options = rng.poisson(3, n) + 2.0 * np.isin(arm, ["wide", "both"])
    depth = rng.normal(size=n) + 0.8 * (arm == "both")
    spend = 20 - 0.5 * hours + before + 2 * rng.normal(size=n)
    return pd.DataFrame(
        {
            "arm": arm,
            "hours": hours,
            "options": options,
            "depth": depth,
            "spend": spend,
            "won": (rng.random(n) < 0.7 - 0.03 * hours).astype(int),
            "before": before,
            "region": rng.integers(0, 2, n),
            "team": rng.integers(0, 40, n) + 100 * np.unique(arm, return_inverse=True)[1],
            "fixed": 1.0,
        }
    )


def run(frame: Any, **call: Any) -> BundleEffect:
    steps = {"hours": -1, "options": 1, "depth": 1, "fixed": 1}
    base = {"cpis": ["hours", "options"], "kpi": "spend", "arm": "arm", "control": "today", "increment": steps}
    return bundle_effect(frame, **{**base, **call})


def inside(pieces: tuple, t: float) -> bool:
    return any(low <= t <= high for low, high in pieces)


@pytest.fixture
def frame() -> pd.DataFrame:
    return build(2)


@pytest.mark.parametrize("cpis", [["hours", "options"], ["hours", "options", "depth"]])
def test_effects_are_two_stage_least_squares_of_all_cpis(frame: pd.DataFrame, cpis: list[str]) -> None:
    iv = pytest.importorskip("linearmodels.iv")
    z = pd.get_dummies(frame["arm"], dtype=float).drop(columns="today")
    one = pd.Series(1.0, index=frame.index, name="one")
    fit = iv.IV2SLS(frame["spend"], one, frame[cpis] * [-1, 1, 1][: len(cpis)], z).fit(cov_type="robust")
    both = run(frame, cpis=cpis)
    assert [e.value for e in both.effects] == pytest.approx(list(fit.params[cpis]), rel=1e-8)
    assert [e.std_error for e in both.effects] == pytest.approx(list(fit.std_errors[cpis]), rel=0.03)
    assert all(bool(e.confidence_set) == (len(cpis) == 2) for e in both.effects)
    assert {e.status.value for e in both.effects} == {"ok" if len(cpis) == 2 else "weak"}


@pytest.mark.parametrize("call", [{}, {"covariates": "before"}, {"strata": "region"}, {"cluster": "team"}])
def test_each_cpi_gets_its_own_effect_with_the_other_held(frame: pd.DataFrame, call: dict) -> None:
    both = run(frame, **call)
    hours, options = both.effects
    assert inside(hours.confidence_set, 0.5)
    assert inside(options.confidence_set, 0.0)
    assert hours.ci_low > 0
    assert hours.n_obs == len(frame)
    assert hours.unit == "spend per -1 hours"
    assert both.strength > 20
    assert math.isfinite(both.agreement.statistic)
    assert "With the other CPI held fixed, each hour faster adds" in both.sentence


def test_fewer_arms_than_cpis_credit_the_bundle(frame: pd.DataFrame) -> None:
    one = run(frame[frame["arm"].isin(["today", "both"])])
    assert one.effects == ()
    assert math.isnan(one.strength)
    assert [e.outcome for e in one.moved] == ["hours", "options"]
    assert one.credit[0].outcome == "spend"
    assert one.sentence == (
        "With 1 arm, hours and options cannot be told apart: credit them together with what the lever did to spend."
    )
    assert "both -> spend" in str(one)
    two = run(frame[frame["arm"] != "wide"], cpis=["hours", "options", "depth"])
    assert two.sentence.startswith("With 2 arms, hours, options and depth cannot be told apart")


def test_a_constant_cpi_leaves_no_coefficients(frame: pd.DataFrame) -> None:
    found = run(frame, cpis=["hours", "fixed"])
    assert found.effects == ()
    assert "nan" not in str(found)


def test_arms_that_do_not_fit_are_said(frame: pd.DataFrame) -> None:
    frame["spend"] += 3.0 * (frame["arm"] == "both")
    found = run(frame)
    assert not found.agreement.passed
    assert "do not fit one set of effects" in found.agreement.advice


@pytest.mark.parametrize("call", [{}, {"kpi": "won"}, {"cpis": ["hours", "options", "depth"]}])
def test_text_fits_a_terminal_and_rows_hold_everything(frame: pd.DataFrame, call: dict) -> None:
    found = run(frame, **call)
    assert max(map(len, str(found).splitlines())) <= 80
    assert " ".join(str(found).split()).startswith(found.sentence)
    assert found.sentence in found._repr_html_()
    m = len(found.effects)
    assert len(found.to_frame()) == m + 3 + 3 * m
    assert ("points" in found.sentence) == (call.get("kpi") == "won")


@pytest.mark.parametrize(
    ("call", "error", "found"),
    [
        ({"cpis": ["hours"]}, DataError, "1 CPI is named"),
        ({"cpis": ["hours", "spend"]}, DataError, "column 'spend' is both CPI and KPI"),
        ({"covariates": "hours"}, DataError, "both an outcome and a covariate"),
        ({"increment": {"hours": 1}}, DesignError, "CPI 'options' has no increment"),
        ({"increment": 0}, DesignError, "increment 0 is not a step"),
        ({"confidence_level": 2}, DesignError, "confidence level 2"),
        ({"control": "tody"}, DataError, "control 'tody' is not an arm"),
    ],
)
def test_bad_input_is_answered(frame: pd.DataFrame, call: dict, error: type, found: str) -> None:
    with pytest.raises(error, match=found):
        run(frame, **call)


def test_cpis_that_are_one_cannot_be_told_apart(frame: pd.DataFrame) -> None:
    frame["twice"] = -2 * frame["hours"]
    with pytest.raises(EstimationError, match="in the same proportion"):
        run(frame, cpis=["hours", "twice"], increment=1)
