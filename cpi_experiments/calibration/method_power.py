"""Table of planned power: sizes that the planner gives, drawn as customers, tested or judged as users would."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.calibration.method_means import alarms
from cpi_experiments.calibration.method_world import Rate, method_world
from cpi_experiments.calibration.unit_arms import means_of_trials
from cpi_experiments.calibration.unit_draws import UnitTruth, cases_of, draw_links
from cpi_experiments.calibration.unit_links import judged, share
from cpi_experiments.estimate import Link
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.randomized.planning.design import design
from cpi_experiments.randomized.planning.link_design import design_link
from cpi_experiments.randomized.planning.planned_outcomes import PlannedMean, PlannedProportion
from cpi_experiments.randomized.planning.precision import Clusters

if TYPE_CHECKING:
    from cpi_experiments.randomized.planning.link_sizes import LinkDesign

Array = np.ndarray
#: Planned power, and how far whole customers and approximations may be off it.
POWER, LOWEST, HIGHEST = 0.8, 0.785, 0.815
#: Move of the CPI in steps that is planned for, and standard deviation of the KPI's own noise.
MOVE, NOISE = 0.7, 3.0


def mean_power(rng: np.random.Generator, reps: int, *, covariate: bool) -> Array:
    """Count trials of the planned size that find a lift of .3 standard deviations."""
    r2 = 0.39 if covariate else 0.0
    sizes = _planned_sizes(r2)
    past = [rng.standard_normal((reps, n)) for n in sizes]
    own = [rng.standard_normal((reps, n)) for n in sizes]
    arms = [math.sqrt(r2) * x + math.sqrt(1 - r2) * e + 0.3 * j for j, (x, e) in enumerate(zip(past, own, strict=True))]
    if not covariate:
        return alarms(means_of_trials((arms[0][..., None], arms[1][..., None])))
    stacked = [np.stack(each, axis=-1) for each in zip(arms, past, strict=True)]
    return alarms(means_of_trials((stacked[0], stacked[1]), covariates=["x"]))


@lru_cache
def _planned_sizes(r2: float) -> tuple[int, ...]:
    return tuple(design(PlannedMean(sd=1.0), effect=0.3, covariate_r2=r2).n_by_arm.values())


def rate_power(rng: np.random.Generator, reps: int) -> Array:
    """Count trials of the planned size that find a rise from 20 to 30 percent."""
    sizes = design(PlannedProportion(rate=0.2), effect=0.1).n_by_arm.values()
    arms = [(rng.random((reps, n)) < 0.2 + 0.1 * j).astype(float)[..., None] for j, n in enumerate(sizes)]
    return alarms(means_of_trials((arms[0], arms[1])))


def group_power(rng: np.random.Generator, reps: int) -> Array:
    """Count trials of the planned number of groups of 20 (ICC .1) that find a lift of .4 standard deviations."""
    plan = design(PlannedMean(sd=1.0), effect=0.4, clusters=Clusters(size=20, icc=0.1))
    counts = [n // 20 for n in plan.n_by_arm.values()]
    arms = []
    for j, count in enumerate(counts):
        shared = np.repeat(rng.standard_normal((reps, count)), 20, axis=1)
        y = math.sqrt(0.1) * shared + math.sqrt(0.9) * rng.standard_normal(shared.shape) + 0.4 * j
        arms.append(y[..., None])
    sizes = np.full(counts[0], 20), np.full(counts[1], 20)
    return alarms(means_of_trials((arms[0], arms[1]), clusters=sizes))


@lru_cache
def link_plan(theta: float) -> tuple[LinkDesign, UnitTruth]:
    """Plan the experiment of a link whose customers follow `UnitTruth` with this worth of a step; SESOI 1."""
    truth = UnitTruth(theta=theta, strength=0.0, n=(0, 0), noise=NOISE, confounding=1.0)
    kpi_sd = math.sqrt(theta**2 + 2 * theta * math.sqrt(truth.shared) + 1 + NOISE**2)
    plan = design_link(
        Hypothesis(link=Link(cpi_id="hours", kpi_id="spend"), expected_sign=1, sesoi=1.0),
        "auto",
        kpi_sd=kpi_sd,
        cpi_sd=1.0,
        correlation=(theta + math.sqrt(truth.shared)) / kpi_sd,
        planned_move=MOVE,
        power=POWER,
        links=4,
    )
    return plan, truth


def link_power(rng: np.random.Generator, reps: int, *, theta: float, size: str) -> Array:
    """Count links that are judged as planned, at the size planned to confirm, to refute, or by a plain lift test.

    ``lift`` is the usual plan, a lift of the KPI seen with power .8, taken for a plan to confirm.
    """
    plan, kind = link_plan(theta)
    half = {"confirm": plan.n_confirm, "refute": plan.n_refute, "lift": plan.n_lift}[size] // 2
    truth = UnitTruth(
        theta=theta, strength=MOVE**2 * half / 2, n=(half, half), noise=kind.noise, confounding=kind.confounding
    )
    decisions = judged(cases_of(draw_links(truth, rng, reps)))
    if size == "refute":
        return share(decisions, "refuted", cause="no material effect")
    return share(decisions, "confirmed")


def _power(name: str, count: object, *, highest: float = HIGHEST) -> Rate:
    return Rate(name=name, count=count, at_most=highest, at_least=LOWEST, kind="power")  # type: ignore[arg-type] # a partial


WORLDS = (
    method_world(
        "planned_power", "Trials of the size that `design` gives for a power of .8", "design",
        [
            _power("mean", partial(mean_power, covariate=False)),
            _power("mean, covariate", partial(mean_power, covariate=True)),
            _power("20 to 30 percent", rate_power),
            _power("groups of 20, ICC .1", group_power, highest=0.83),
        ],
        reps=(2_000, 20_000), chunk=200,
    ),
    method_world(
        "planned_link_power", "Links at the sizes that `design_link` gives for a power of .8", "design_link",
        [
            _power("1.5 SESOI: confirmed", partial(link_power, theta=1.5, size="confirm")),
            _power("no effect: refuted", partial(link_power, theta=0.0, size="refute"), highest=0.83),
            Rate(
                name="lift plan: confirmed", count=partial(link_power, theta=1.5, size="lift"), at_least=LOWEST,
                kind="power", naive=True, method="plan of a lift test",
            ),
        ],
        reps=(500, 10_000), chunk=50,
    ),
)  # fmt: skip
