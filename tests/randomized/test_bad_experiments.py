"""Bad inputs of experiments get the same answer at every door (docs/bad-inputs.md, section C)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import CpiError, DataError
from cpi_experiments.estimate import Diagnostic, Estimate, Status
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.integrity.aa import aa
from cpi_experiments.randomized.integrity.check_trial import check_trial
from cpi_experiments.randomized.links.audit_link import audit_link
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.randomized.monitoring.monitor import monitor
from cpi_experiments.randomized.planning.simulated_power import simulate_power

N = 400
ROLES = {"arm": "arm", "control": "manual"}
LINK = {**ROLES, "cpi": "hours", "kpi": "won", "increment": -1}
Door = Callable[..., Any]

DOORS: dict[str, Door] = {
    "compare": lambda data, **call: compare(data, **ROLES, outcomes="won", **call),
    "permutation": lambda data, **call: compare(
        data, **ROLES, outcomes="won", inference="permutation", reps=199, **call
    ),
    "link": lambda data, **call: link_effect(data, **LINK, **call),
    "regression": lambda data, **call: link_effect(data, **LINK, adjustment="regression", **call),
    "audit": lambda data, **call: audit_link(data, **LINK, **call),
    "check": lambda data, **call: check_trial(data, **ROLES, outcomes="won", **call),
    "anytime": lambda data, **call: monitor(
        data, **ROLES, outcomes="won", time="day", plan="anytime", planned_n=2 * N, **call
    ),
}
ESTIMATES = ("compare", "permutation", "link", "regression")


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    df = pd.DataFrame(
        {"arm": np.resize(["manual", "auto"], N), "day": np.arange(N) // 20, "before": rng.normal(size=N)}
    )
    df["hours"] = rng.gamma(4, 2, N) - 2 * (df["arm"] == "auto")
    df["won"] = (rng.random(N) < 0.5 - 0.03 * df["hours"]).astype(float)
    return df


def estimate_of(found: Any) -> Estimate:
    """Return the estimate on which a door's answer rests."""
    return found["won"].estimate if hasattr(found, "effects") else getattr(found, "link", found).estimate


def grouped(frame: pd.DataFrame, per_arm: int) -> pd.DataFrame:
    return frame.assign(group=[f"{arm} {i // 2 % per_arm}" for i, arm in enumerate(frame["arm"])])


def named(checks: Iterable[Diagnostic], name: str) -> Diagnostic:
    return next(check for check in checks if check.name == name)


@pytest.mark.parametrize("door", DOORS)
def test_c01_one_arm_is_refused_at_every_door(frame: pd.DataFrame, door: str) -> None:  # C01
    with pytest.raises(DataError, match="at least two arms; found 'manual' only"):
        DOORS[door](frame[frame["arm"] == "manual"])


@pytest.mark.parametrize("door", DOORS)
def test_c02_an_arm_of_one_unit_is_refused_at_every_door(frame: pd.DataFrame, door: str) -> None:  # C02
    alone = pd.concat([frame[frame["arm"] == "manual"], frame[frame["arm"] == "auto"].head(1)])
    with pytest.raises(CpiError, match=r"has 1 (unit|complete row)"):
        DOORS[door](alone)


@pytest.mark.parametrize("door", DOORS)
def test_c06_an_arm_outside_the_plan_is_refused_at_every_door(frame: pd.DataFrame, door: str) -> None:  # C06
    with pytest.raises(DataError, match="arm 'auto' is not in the allocation"):
        DOORS[door](frame, allocation={"manual": 1, "auot": 1})


@pytest.mark.parametrize("apart", [0.0, 1.0])
@pytest.mark.parametrize("door", [*ESTIMATES, "audit"])
def test_c10_c11_constant_arms_have_no_p_value_and_no_set(frame: pd.DataFrame, door: str, apart: float) -> None:
    found = estimate_of(DOORS[door](frame.assign(won=apart * (frame["arm"] == "auto"))))
    assert found.status is Status.FAILED
    assert [math.isnan(each) for each in (found.p_value, found.ci_low, found.ci_high)] == [True] * 3
    assert any(check.blocks for check in found.diagnostics)


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_c10_c11_a_running_trial_decides_nothing_on_constant_arms(frame: pd.DataFrame, apart: float) -> None:
    seen = DOORS["anytime"](frame.assign(won=apart * (frame["arm"] == "auto")))
    assert seen.state == "keep running"
    assert seen.effects == ()
    assert "does not vary within the arms" in " ".join(str(seen).split())


def test_c10_a_constant_history_plans_and_tests_nothing(frame: pd.DataFrame) -> None:  # C10
    past = frame.assign(won=1.0)
    with pytest.raises(DataError, match="won is constant"):
        aa(past, outcome="won")
    with pytest.raises(DataError, match="'won' does not vary"):
        simulate_power(past, outcome="won", effect=0.1, n=100)


@pytest.mark.parametrize("door", ["link", "regression", "audit"])
def test_c12_c13_an_idle_lever_has_a_set_without_limits_and_the_kpi_is_still_tested(
    frame: pd.DataFrame, door: str
) -> None:  # C12, C13
    found = DOORS[door](frame.assign(hours=np.random.default_rng(5).gamma(4, 2, N)))
    link = getattr(found, "link", found)
    assert link.f_effective < 1
    assert link.ar_set == ((-math.inf, math.inf),)
    assert "not testable by this experiment" in " ".join(str(found).split())
    assert 0 < link.reduced_form.p_value < 1


@pytest.mark.parametrize("door", [door for door in DOORS if door != "check"])
def test_c15_one_cluster_in_an_arm_is_refused_at_every_door(frame: pd.DataFrame, door: str) -> None:  # C15
    lopsided = grouped(frame, 20)
    lopsided.loc[lopsided["arm"] == "auto", "group"] = "auto"
    with pytest.raises(CpiError, match=r"1 cluster|without one of the clusters"):
        DOORS[door](lopsided, cluster="group")


@pytest.mark.parametrize("door", ["compare", "link", "regression", "audit"])
def test_c16_four_clusters_block_and_five_an_arm_warn(frame: pd.DataFrame, door: str) -> None:  # C16
    four = estimate_of(DOORS[door](grouped(frame, 2), cluster="group"))
    few = estimate_of(DOORS[door](grouped(frame, 5), cluster="group"))
    assert [bool(named(each.diagnostics, "clusters per arm").blocks) for each in (four, few)] == [True, False]
    assert not named(few.diagnostics, "clusters per arm").passed


def test_c16_randomisation_inference_with_four_clusters_cannot_reject(frame: pd.DataFrame) -> None:  # C16
    found = estimate_of(DOORS["permutation"](grouped(frame, 2), cluster="group"))
    assert found.p_value >= 1 / 3
    assert (found.ci_low, found.ci_high) == (-math.inf, math.inf)
    assert DOORS["anytime"](grouped(frame, 2), cluster="group").effects == ()


@pytest.mark.parametrize("door", [*ESTIMATES, "audit"])
def test_c23_a_constant_covariate_changes_nothing_and_is_named(frame: pd.DataFrame, door: str) -> None:  # C23
    skipped = DOORS[door](frame.assign(fixed=7.0), covariates="fixed")
    plain = estimate_of(DOORS[door](frame))
    assert "constant: fixed" in " ".join(str(skipped).split())
    assert estimate_of(skipped).value == pytest.approx(plain.value, rel=1e-12)
    assert estimate_of(skipped).p_value == pytest.approx(plain.p_value, rel=1e-9)


def test_c23_a_running_trial_skips_a_constant_covariate(frame: pd.DataFrame) -> None:  # C23
    skipped = DOORS["anytime"](frame.assign(fixed=7.0), covariates="fixed")["won"].looks[-1]
    plain = DOORS["anytime"](frame)["won"].looks[-1]
    assert (skipped.estimate, skipped.low, skipped.high) == pytest.approx((plain.estimate, plain.low, plain.high))


def test_every_row_of_the_page_names_tests_that_exist() -> None:
    tests = Path(__file__).resolve().parents[1]
    page = (tests.parent / "docs" / "bad-inputs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (C\d\d) \|.*", page, flags=re.MULTILINE)
    assert rows == [f"C{k:02}" for k in range(1, 26)]
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    lost = [(file, name) for file, name in named if f"def {name}(" not in (tests / file).read_text(encoding="utf-8")]
    assert lost == []
