"""A registered experiment on measured customers: integrity, the effect of the lever, and the link per increment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cpi_experiments.errors import DataError
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.outcomes import Pair, all_pairs
from cpi_experiments.randomized.integrity.missing import missing_in_trial
from cpi_experiments.randomized.integrity.plug_in_limits import plug_in_limits
from cpi_experiments.randomized.integrity.sample_ratio import several_arms
from cpi_experiments.randomized.links.link_effect import link_of, link_pairs
from cpi_experiments.randomized.trial import check_two_arms, read_trial
from cpi_experiments.randomized.trial_moments import SMALL, moments_in_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from cpi_experiments.catalog.entities import CPI
    from cpi_experiments.estimate import Diagnostic, Estimate, Link
    from cpi_experiments.hypotheses.hypothesis import Hypothesis
    from cpi_experiments.measure.units import UnitFrame
    from cpi_experiments.randomized.experiment import Experiment
    from cpi_experiments.randomized.links.link import LinkEffect
    from cpi_experiments.stats.moments import Moments


def trial_moments(data: UnitFrame, experiment: Experiment, *, columns: Sequence[str] | None = None) -> Moments:
    """Take the moments of a trial once, for all of its links and for every effect of its lever.

    Parameters
    ----------
    data : UnitFrame
    experiment : Experiment
        Its links and covariates say which products are needed.
    columns : sequence of str, optional
        Ids of CPIs and KPIs; all that were measured by default.

    Returns
    -------
    Moments
        By arm; `encouragement`, `itt` and `check_integrity` take them as ``moments``. Sums are taken in the order of
        the rows, so that the same trial has the same digits in every run.

    Raises
    ------
    DataError
        If a column was not measured.
    """
    wanted = list(dict.fromkeys((*data.cpis, *data.kpis) if columns is None else columns))
    links = [(link.cpi_id, link.kpi_id) for link in experiment.links if {link.cpi_id, link.kpi_id} <= set(wanted)]
    covariates = [name for name in experiment.covariates if name not in wanted]
    pairs = all_pairs([*links, *([name] for name in wanted)], covariates, clustered=False)
    return moments_in_blocks(data.frame, [*wanted, *covariates], keys=["arm"], pairs=pairs)


def _source(
    data: UnitFrame, columns: Sequence[str], pairs: Sequence[Pair], moments: Moments | None
) -> pd.DataFrame | Moments:
    """Choose moments that are there, rows of a small trial, or the moments of a large one."""
    if moments is not None:
        return moments
    if len(data.frame) <= SMALL:
        return data.frame
    return moments_in_blocks(data.frame, list(dict.fromkeys(columns)), keys=["arm"], pairs=pairs)


def encouragement(
    data: UnitFrame, experiment: Experiment, hypothesis: Hypothesis, *, cpi: CPI, moments: Moments | None = None
) -> LinkEffect:
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
    moments : Moments, optional
        From `trial_moments`, so that the customers are read once for all links.

    Returns
    -------
    LinkEffect
        Estimand LATE; see `cpi_experiments.randomized.links.link_effect.link_effect`.

    Raises
    ------
    DataError, EstimationError
        If arms, columns or variances do not allow an estimate.
    """
    link = hypothesis.link
    columns = [link.cpi_id, link.kpi_id, *experiment.covariates]
    pairs = link_pairs([(link.cpi_id, link.kpi_id)], experiment.covariates, clustered=False)
    trial = read_trial(
        _source(data, columns, pairs, moments),
        numbers=columns,
        arm="arm",
        control=experiment.control,
        allocation=experiment.allocation,
        pairs=pairs,
    )
    check_two_arms(trial)
    found = link_of(
        trial,
        cpi=link.cpi_id,
        kpi=link.kpi_id,
        covariates=experiment.covariates,
        increment=cpi.divisor,
        step=cpi.step,
    )
    notes = (*found.estimate.diagnostics, *_size_limits(data, experiment, link))
    return replace(found, estimate=replace(found.estimate, diagnostics=notes))


def _size_limits(data: UnitFrame, experiment: Experiment, link: Link) -> tuple[Diagnostic, ...]:
    """Say whether the arms are large enough for what is pooled later: if not, their evidence may not be."""
    known = data.frame[[link.cpi_id, link.kpi_id]].notna().all(axis=1).to_numpy()
    treated = (data.frame["arm"] != experiment.control).to_numpy()[known]
    kpi = data.frame[link.kpi_id].to_numpy(dtype=float)[known]
    checks = plug_in_limits((int((~treated).sum()), int(treated.sum())), kpi)
    return tuple(replace(check, blocks=not check.passed) for check in checks)


def itt(data: UnitFrame, experiment: Experiment, outcome: str, *, moments: Moments | None = None) -> Estimate:
    """Estimate the effect of being assigned to the treatment on one CPI or KPI (ITT).

    Parameters
    ----------
    data : UnitFrame
    experiment : Experiment
        Two arms.
    outcome : str
        Id of a measured CPI or KPI.
    moments : Moments, optional
        From `trial_moments`.

    Raises
    ------
    DataError, EstimationError
        If arms, columns or variances do not allow an estimate.
    """
    pairs = all_pairs([[outcome]], experiment.covariates, clustered=False)
    found = compare(
        _source(data, [outcome, *experiment.covariates], pairs, moments),
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
    data: UnitFrame, experiment: Experiment, *, outcomes: tuple[str, ...] = (), moments: Moments | None = None
) -> tuple[Diagnostic, ...]:
    """Check, before any effect, that the comparison can be random.

    Parameters
    ----------
    data : UnitFrame
    experiment : Experiment
    outcomes : tuple of str
        Measured CPIs and KPIs whose missing values are compared between arms.
    moments : Moments, optional
        From `trial_moments`.

    Returns
    -------
    tuple of Diagnostic
        Sample ratio, units in several arms, and missing outcomes by arm; those with ``blocks`` allow no verdict.
    """
    trial = read_trial(
        _source(data, outcomes, [], moments),
        numbers=list(outcomes),
        arm="arm",
        control=experiment.control,
        allocation=experiment.allocation,
    )
    several = several_arms(data.n_in_two_arms, data.n_in_two_arms + len(data.frame))
    missing = tuple(missing_in_trial(trial, outcome) for outcome in outcomes)
    return (trial.integrity, several, *missing)
