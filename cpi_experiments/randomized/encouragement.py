"""A registered experiment on measured customers: integrity, the effect of the lever, and the link per increment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import p_text, percent
from cpi_experiments.errors import DataError
from cpi_experiments.estimate import Diagnostic, Estimate
from cpi_experiments.randomized.compare import compare
from cpi_experiments.randomized.integrity import several_arms
from cpi_experiments.randomized.link_effect import link_of
from cpi_experiments.randomized.trial import check_two_arms, read_trial
from cpi_experiments.stats.counts import independence_test

if TYPE_CHECKING:
    from cpi_experiments.catalog.entities import CPI
    from cpi_experiments.hypotheses.hypothesis import Hypothesis
    from cpi_experiments.measure.units import UnitFrame
    from cpi_experiments.randomized.experiment import Experiment
    from cpi_experiments.randomized.link import LinkEffect

#: Missing outcomes that differ between arms this clearly block a verdict; the second warns.
ATTRITION_BLOCKS = 0.0005
ATTRITION_WARNS = 0.01


def encouragement(data: UnitFrame, experiment: Experiment, hypothesis: Hypothesis, *, cpi: CPI) -> LinkEffect:
    """Estimate the KPI effect per increment, random assignment being the instrument for the CPI.

    Parameters
    ----------
    data : UnitFrame
        Measured customers of the experiment, from `cpi_experiments.measure.units.measure_units`.
    experiment : Experiment
        Two arms; its covariates adjust CPI and KPI alike.
    hypothesis : Hypothesis
        Names the link.
    cpi : CPI
        Gives the increment, signed so that + is better for the customer.

    Returns
    -------
    LinkEffect
        Estimand LATE; see `cpi_experiments.randomized.link_effect.link_effect`.

    Raises
    ------
    DataError, EstimationError
        If arms, columns or variances do not allow an estimate.
    """
    trial = read_trial(
        data.frame,
        numbers=[hypothesis.link.cpi_id, hypothesis.link.kpi_id, *experiment.covariates],
        arm="arm",
        control=experiment.control,
        allocation=experiment.allocation,
    )
    check_two_arms(trial)
    return link_of(
        trial,
        cpi=hypothesis.link.cpi_id,
        kpi=hypothesis.link.kpi_id,
        covariates=experiment.covariates,
        increment=cpi.divisor,
        step=cpi.step,
    )


def itt(data: UnitFrame, experiment: Experiment, outcome: str) -> Estimate:
    """Estimate the effect of being assigned to the treatment on one CPI or KPI (ITT).

    Parameters
    ----------
    data : UnitFrame
    experiment : Experiment
        Two arms.
    outcome : str
        Id of a measured CPI or KPI.

    Raises
    ------
    DataError, EstimationError
        If arms, columns or variances do not allow an estimate.
    """
    found = compare(
        data.frame,
        arm="arm",
        control=experiment.control,
        outcomes=[outcome],
        covariates=list(experiment.covariates),
        allocation=experiment.allocation,
    )
    if len(found.effects) > 1:
        raise DataError(
            f"experiment {experiment.id!r} has {len(found.effects)} treatments",
            advice="The effect of a lever needs two arms; `compare` takes several.",
        )
    return found.effects[0].estimate


def check_integrity(
    data: UnitFrame, experiment: Experiment, *, outcomes: tuple[str, ...] = ()
) -> tuple[Diagnostic, ...]:
    """Check, before any effect, that the comparison can be random.

    Parameters
    ----------
    data : UnitFrame
    experiment : Experiment
    outcomes : tuple of str
        Measured CPIs and KPIs whose missing values are compared between arms.

    Returns
    -------
    tuple of Diagnostic
        Sample ratio, units in several arms, and missing outcomes by arm; those with ``blocks`` allow no verdict.
    """
    trial = read_trial(
        data.frame,
        numbers=list(outcomes),
        arm="arm",
        control=experiment.control,
        allocation=experiment.allocation,
    )
    several = several_arms(data.n_in_two_arms, data.n_in_two_arms + len(data.frame))
    missing = tuple(_attrition(outcome, np.isnan(trial.numbers[outcome]), trial.arm) for outcome in outcomes)
    return (trial.integrity, several, *missing)


def _attrition(outcome: str, missing: np.ndarray, arm: np.ndarray) -> Diagnostic:
    arms = range(int(arm.max()) + 1)
    lost = [int(np.sum(missing[arm == j])) for j in arms]
    kept = [int(np.sum(~missing[arm == j])) for j in arms]
    statistic, p = independence_test([lost, kept])
    shares = " and ".join(percent(a / max(a + b, 1), 1) for a, b in zip(lost, kept, strict=True))
    advice = (
        f"{shares} of the arms have no {outcome} (p {p_text(p)}): those who are left may differ. Look at whether the "
        "lever changes who is measured."
    )
    return Diagnostic(
        name=f"missing {outcome}",
        null=f"{outcome} is missing equally often in every arm",
        statistic=statistic,
        p_value=p,
        passed=p >= ATTRITION_WARNS,
        advice="" if p >= ATTRITION_WARNS else advice,
        blocks=p < ATTRITION_BLOCKS,
    )
