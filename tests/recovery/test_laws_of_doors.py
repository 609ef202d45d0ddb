"""Laws that every way to an effect has to keep, asked of the doors themselves: rates on few trials, and agreements.

The rates here see gross faults only (independent errors in clusters, one variance for unequal arms, a ratio's Wald
interval); fine ones are for the kernels beside this file, which are shown to be these doors.
"""

import math
from collections.abc import Callable
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_experiments.catalog.entities import CPI, KPI, Benefit, Catalog, Function, Measure
from cpi_experiments.estimate import Estimate, Link
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.units import measure_units
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.outcomes import Quantile, Ratio
from cpi_experiments.randomized.effects.row_outcomes import Rank
from cpi_experiments.randomized.encouragement import encouragement
from cpi_experiments.randomized.experiment import Experiment
from cpi_experiments.randomized.integrity.check_trial import check_trial
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.randomized.monitoring.monitor import monitor
from cpi_experiments.units import Direction, Increment

ROOT = 20_241_122
TRIALS = 120
ROLES = {"arm": "arm", "control": 0}


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([ROOT, crc32(request.node.name.encode())]))


def at_most(errors: list[bool], rate: float = 0.05) -> bool:
    """Whether errors are no more than an exact binomial band of 1e-6 allows."""
    return sum(errors) <= stats.binom.isf(5e-7, len(errors), rate)


# -- ways to an effect on y --------------------------------------------------------------------------------------------


def compared(outcome: Any = "y", **options: Any) -> Callable[..., Estimate]:
    return lambda frame, **roles: compare(frame, outcomes=outcome, **ROLES, **options, **roles).effects[0].estimate


def linked(**options: Any) -> Callable[..., Estimate]:
    return lambda frame, **roles: link_effect(frame, cpi="x", kpi="y", **ROLES, **options, **roles).reduced_form


WAYS: dict[str, Callable[..., Estimate]] = {
    "mean": compared(),
    "covariate": compared(covariates="before"),
    "lin": compared(covariates="before", adjustment="lin"),
    "ratio": compared(Ratio("y", "size")),
    "median": compared(Quantile("y", 0.5)),
    "rank": compared(Rank("y")),
    "bootstrap": compared(inference="bootstrap", reps=199),
    "permutation": compared(inference="permutation", reps=199),
    "wild": compared(inference="wild", reps=199),
    "link": linked(),
    "link, covariate": linked(covariates="before"),
    "link, regression": linked(adjustment="regression", covariates="before"),
}
OF_CLUSTERS, OF_UNITS = (tuple(way for way in WAYS if way != other) for other in ("lin", "wild"))


def units(rng: np.random.Generator, sizes: tuple[int, int], *, noise: float = 1.0, icc: float = 0.0) -> pd.DataFrame:
    """Ten units a cluster, no effect on y; the treatment is ``noise`` times as noisy and moves x."""
    arm = np.repeat([0, 1], sizes)
    team = np.arange(len(arm)) // 10
    own, shared = rng.normal(size=(2, len(arm))), rng.normal(size=(2, team[-1] + 1))[:, team]
    x, y = math.sqrt(icc) * shared + math.sqrt(1 - icc) * own
    before = rng.normal(size=len(arm))
    y = np.where(arm == 1, noise, 1.0) * (y + 0.5 * before)
    size = rng.poisson(4, len(arm)) + 1.0
    return pd.DataFrame({"arm": arm, "team": team, "x": x + arm, "y": y, "before": before, "size": size})


@pytest.mark.parametrize("way", OF_CLUSTERS)
def test_clusters_raise_no_more_alarms_at_any_door(rng: np.random.Generator, way: str) -> None:
    """Twelve clusters an arm, ICC .5: independent errors would alarm in two of five trials. No p-value is an alarm too."""
    trials = (units(rng, (120, 120), icc=0.5) for _ in range(TRIALS))
    assert at_most([not WAYS[way](frame, cluster="team").p_value >= 0.05 for frame in trials])


@pytest.mark.parametrize("way", OF_UNITS)
def test_unequal_arms_with_unequal_noise_raise_no_more_alarms_at_any_door(rng: np.random.Generator, way: str) -> None:
    """9:1, the small arm three times as noisy: one variance for both would alarm in one of three trials."""
    trials = (units(rng, (270, 30), noise=3.0) for _ in range(TRIALS))
    assert at_most([not WAYS[way](frame).p_value >= 0.05 for frame in trials])


@pytest.mark.parametrize("way", OF_UNITS)
def test_the_interval_leaves_out_zero_where_p_is_below_five_percent_at_any_door(
    rng: np.random.Generator, way: str
) -> None:
    frame, seen = units(rng, (60, 60)), set()
    unsure = 0.012 if way in ("bootstrap", "permutation") else 1e-9  # 199 resamples say no more
    for shift in np.linspace(0, 1.2, 61):
        found = WAYS[way](frame.assign(y=frame["y"] + shift * frame["arm"]))
        if abs(found.p_value - 0.05) > unsure:
            assert (found.ci_low > 0 or found.ci_high < 0) == (found.p_value < 0.05)
            seen.add(found.p_value < 0.05)
    assert seen == {True, False}


@pytest.mark.parametrize("way", OF_UNITS)
def test_rows_without_an_outcome_count_in_neither_arm_at_any_door(rng: np.random.Generator, way: str) -> None:
    frame = units(rng, (60, 60))
    lost = frame["arm"].eq(0) & frame.index.isin(range(0, 60, 4))
    holes, whole = frame.assign(y=frame["y"].where(~lost)), frame[~lost]
    found, expected = WAYS[way](holes), WAYS[way](whole)
    assert (found.n_obs, found.dropped) == (105, (("without y", 15),))
    assert (found.value, found.std_error) == pytest.approx((expected.value, expected.std_error), rel=1e-9)


# -- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arms", [1, 3])
def test_sets_of_weak_levers_cover(rng: np.random.Generator, arms: int) -> None:
    """No effect, noise correlation .95, levers that hardly move the CPI: zero has to stay in the set."""
    missed = []
    for _ in range(2 * TRIALS // arms):
        arm = np.repeat(np.arange(arms + 1), 60)
        x = rng.normal(size=len(arm))
        y = 0.95 * x + math.sqrt(1 - 0.95**2) * rng.normal(size=len(arm))
        frame = pd.DataFrame({"arm": arm, "x": x + 0.1 * (arm > 0), "y": y})
        pieces = link_effect(frame, cpi="x", kpi="y", **ROLES).ar_set
        missed.append(not any(low <= 0 <= high for low, high in pieces))
    assert at_most(missed)


DAY = pd.Timestamp("2026-01-05")


def solved(unit: str, column: str) -> CPI:
    """A share of contacts, counted in steps of one point."""
    return CPI(
        id=column, label=column, outcome="my question is answered", unit=unit, better=Direction.HIGHER,
        increment=Increment.parse("1 pp"), benefit=Benefit.FUNCTIONAL, function=Function.CUSTOMER_SERVICE,
        measure=Measure(table="contacts", entity="customer_id", at="at", value=column),
    )  # fmt: skip


def test_a_point_is_a_hundredth_of_a_fraction(rng: np.random.Generator) -> None:
    """A CPI measured as a fraction and the same one in percent have the same effect per point, in the KPI's unit."""
    n = 400
    share = np.clip(0.5 + 0.1 * (np.arange(n) % 2) + 0.1 * rng.normal(size=n), 0, 1)
    contacts = pd.DataFrame(
        {"customer_id": np.arange(n), "at": DAY + pd.Timedelta(days=1), "fraction": share, "percent": 100 * share,
         "spent": 200 * share + rng.normal(size=n)}
    )  # fmt: skip
    assigned = pd.DataFrame(
        {"experiment": "e", "customer_id": np.arange(n), "arm": np.resize(["old", "new"], n), "assigned_at": DAY}
    )
    cpis = {unit: solved(unit, unit) for unit in ("fraction", "percent")}
    spent = Measure(table="contacts", entity="customer_id", at="at", value="spent")
    catalog = Catalog(
        cpis=cpis, kpis={"spent": KPI(id="spent", label="spent", unit="EUR", better=Direction.HIGHER, measure=spent)}
    )
    with Tables({"contacts": contacts, "assignments": assigned}) as tables:
        data = measure_units(tables, catalog, experiment="e", cpis=list(cpis), kpis=["spent"])
    plan = Experiment(
        id="e", lever="answers", control="old", allocation={"old": 1, "new": 1},
        hypotheses=("fraction -> spent", "percent -> spent"), randomize="customer_id", start="2026-01-05", end="2026-02-28",
    )  # fmt: skip
    for unit, cpi in cpis.items():
        claim = Hypothesis(link=Link.parse(f"{unit} -> spent"), expected_sign=1, sesoi=1.0)
        found = encouragement(data, plan, claim, cpi=cpi)
        assert found.estimate.value == pytest.approx(2.0, abs=0.1)
        assert found.pair.effect_cpi == pytest.approx(10, abs=3)


# -- the split -------------------------------------------------------------------------------------------------------


def splits(frame: pd.DataFrame, allocation: dict[int, float] | None) -> dict[str, bool]:
    """Whether each door lets the split pass."""
    given = {**ROLES, "allocation": allocation}
    running = monitor(frame, outcomes="y", time="day", plan="anytime", planned_n=2_000, **given)
    return {
        "compare": compare(frame, outcomes="y", **given).integrity.passed,
        "rank": compare(frame, outcomes=Rank("y"), **given).integrity.passed,
        "link_effect": link_effect(frame, cpi="x", kpi="y", **given).integrity.passed,
        "check_trial": check_trial(frame, unit="id", **given)["sample ratio"].passed,
        "monitor": running.integrity.passed,
    }


def test_every_door_tests_the_split_against_the_plan(rng: np.random.Generator) -> None:
    frame = units(rng, (800, 400)).sample(frac=1, random_state=1)
    frame = frame.assign(day=np.arange(len(frame)) // 120, id=np.arange(len(frame)))
    for allocation, passed in (({0: 2, 1: 1}, True), (None, False), ({0: 1, 1: 2}, False)):
        assert splits(frame, allocation) == dict.fromkeys(splits(frame, None), passed)
