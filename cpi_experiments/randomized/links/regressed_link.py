"""A link by regression: arms as instruments, covariates and strata entered by least squares in both stages."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DesignError, EstimationError
from cpi_experiments.estimate import Diagnostic, EffectPair, Estimate, Status
from cpi_experiments.randomized.effects.itt import TOO_FEW_CLUSTERS, effect_estimate, few_clusters, skipped
from cpi_experiments.randomized.links.link_of_arms import assemble_arms
from cpi_experiments.randomized.links.link_of_trial import assemble_link
from cpi_experiments.stats.inputs import is_constant
from cpi_experiments.stats.instruments.instrument_regression import InstrumentEffects, instrument_effects
from cpi_experiments.stats.instruments.shared_control import joint_df

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.links.arms_link import ArmsLink
    from cpi_experiments.randomized.links.link import LinkEffect
    from cpi_experiments.randomized.rows import Rows, TrialRows
    from cpi_experiments.randomized.trial import Trial
    from cpi_experiments.stats.instruments.several_instruments import JointEffects

Array = np.ndarray

#: Variances without and with clusters, the default first.
VARIANCES = {False: ("HC1", "iid"), True: ("CR3", "CR1")}


def variance_for(variance: str | None, *, clustered: bool) -> str:
    """Choose the variance of a regression, or refuse one that does not fit.

    Raises
    ------
    DesignError
        If the variance is not known, or does not go with (or without) clusters.

    Examples
    --------
    >>> variance_for(None, clustered=False), variance_for(None, clustered=True)
    ('HC1', 'CR3')
    """
    allowed = VARIANCES[clustered]
    if variance is None:
        return allowed[0]
    if variance not in allowed:
        where = "with clusters" if clustered else "without clusters"
        raise DesignError(f"variance {variance!r} is not known {where}", advice=f"Known: {', '.join(allowed)}.")
    return variance


def regressed_link(  # noqa: PLR0913 - the roles of columns, each named
    trial: Trial,
    source: TrialRows,
    *,
    cpi: str,
    kpi: str,
    covariates: Sequence[str],
    variance: str,
    increment: float,
    step: str,
    confidence_level: float = 0.95,
) -> LinkEffect | ArmsLink:
    """Estimate one link by least squares with the arms and the covariates in both stages.

    Parameters
    ----------
    trial : Trial
        For the sample ratio and what was found on reading.
    source : TrialRows
        The same data, without the units that the trial leaves out.
    variance : {"HC1", "iid", "CR3", "CR1"}

    Raises
    ------
    EstimationError
        If an arm has fewer than two complete rows, columns are collinear, or there are too few rows or clusters.
    """
    rows = source.rows
    keep, lost = rows.complete([cpi, kpi, *covariates])
    dropped, count = (*source.dropped, *lost), len(rows.labels) - 1
    columns, idle = _columns(rows, keep, covariates)
    found = _fit(rows, keep, (cpi, kpi), columns, variance=variance)
    notes = (*trial.diagnostics, *skipped(idle), *_about_clusters(found, rows, keep))
    method = _method(variance, covariates=len(columns[1]), stratified=rows.strata is not None)
    arms = []
    for j in range(count):
        first, reduced = (
            _stage(
                found,
                outcome,
                at,
                cause=str(rows.labels[j + 1]),
                dropped=dropped,
                notes=notes,
                method=method,
                level=confidence_level,
            )
            for outcome, at in ((cpi, j), (kpi, count + j))
        )
        pair = _pair(found.joint, j, first, reduced, increment=increment)
        link = assemble_link(first, reduced, pair=pair, increment=increment, step=step, integrity=trial.integrity)
        unit = "" if rows.cluster is None or _crossed(rows.cluster, rows, keep) else trial.names["cluster"]
        arms.append(replace(link, shares=_only_zero_and_one(rows.values[kpi][keep]), unit=unit))
    if count == 1:
        return arms[0]
    together = assemble_arms(
        tuple(arms),
        _in_increments(replace(found.joint, df=_joint_df(found, rows, keep)), increment),
        n_obs=found.n_obs,
        n_clusters=found.n_clusters,
        dropped=dropped,
        method=method,
        diagnostics=notes,
    )
    return replace(together, shares=arms[0].shares, unit=arms[0].unit)


def _fit(
    rows: Rows, keep: Array, link: tuple[str, str], columns: tuple[Array, list[str]], *, variance: str
) -> InstrumentEffects:
    """Regress both ends of a link on the arms and the columns."""
    arm, (values, names) = rows.arm[keep], columns
    cpi, kpi = (rows.values[name][keep] for name in link)
    for j, label in enumerate(rows.labels):
        if int(np.sum(arm == j)) < 2:
            raise EstimationError(
                f"arm {label!r} has {int(np.sum(arm == j))} complete rows: its effect cannot be estimated",
                advice="Every arm needs at least two.",
            )
    return instrument_effects(
        cpi,
        kpi,
        (arm[:, None] == np.arange(1, len(rows.labels))).astype(float),
        covariates=values if values.shape[1] else None,
        names=[*(f"arm {label!r}" for label in rows.labels[1:]), *names],
        cluster=None if rows.cluster is None else rows.cluster[keep],
        variance=variance,
    )


def _columns(rows: Rows, keep: Array, covariates: Sequence[str]) -> tuple[tuple[Array, list[str]], list[str]]:
    """Covariates that vary, then a dummy for every stratum but the first; and the covariates that are constant."""
    values = {name: rows.values[name][keep] for name in covariates}
    idle = [name for name, value in values.items() if is_constant(value)]
    used = [name for name in values if name not in idle]
    columns = [values[name] for name in used]
    if rows.strata is not None:
        codes, strata = rows.strata[keep], np.unique(rows.strata[keep])[1:]
        columns += [(codes == s).astype(float) for s in strata]
        used += [f"stratum {i}" for i in range(2, len(strata) + 2)]
    return (np.stack(columns, axis=1) if columns else np.zeros((int(keep.sum()), 0)), used), idle


def _stage(  # noqa: PLR0913 - one place fills every field of a stage
    found: InstrumentEffects,
    outcome: str,
    at: int,
    *,
    cause: str,
    dropped: tuple[tuple[str, int], ...],
    notes: tuple[Diagnostic, ...],
    method: str,
    level: float,
) -> Estimate:
    """Fill the estimate of one arm on one outcome; without variance it has failed."""
    joint = found.joint
    return effect_estimate(
        float(np.concatenate([joint.first, joint.reduced])[at]),
        math.sqrt(float(joint.omega[at, at])),
        joint.df,
        cause=cause,
        outcome=outcome,
        n_obs=found.n_obs,
        n_clusters=found.n_clusters,
        dropped=dropped,
        method=method,
        diagnostics=notes,
        confidence_level=level,
    )


def _pair(joint: JointEffects, j: int, first: Estimate, reduced: Estimate, *, increment: float) -> EffectPair:
    k = joint.count
    still = first.status is Status.FAILED and abs(first.value) <= 1e-13
    failed = reduced.status is Status.FAILED or still
    return EffectPair(
        effect_cpi=first.value,
        effect_kpi=reduced.value,
        var_cpi=math.nan if failed else float(joint.omega[j, j]),
        var_kpi=math.nan if failed else float(joint.omega[k + j, k + j]),
        cov=math.nan if failed else float(joint.omega[j, k + j]),
        df=reduced.df,
    ).scaled(increment)


def _joint_df(found: InstrumentEffects, rows: Rows, keep: Array) -> float:
    """Degrees of freedom of the joint test: with whole clusters in the arms those of every arm's own variance."""
    joint, k = found.joint, found.joint.count
    if rows.cluster is None or _crossed(rows.cluster, rows, keep):
        return joint.df
    block = joint.omega[k:, k:]
    shared = max(float(block.sum() - np.trace(block)) / (k * (k - 1)), 0.0)  # the control's part
    parts = np.array([shared, *np.maximum(np.diag(block) - shared, 0.0)])
    return min(joint.df, joint_df(parts[:, None], _clusters_by_arm(rows.cluster, rows, keep)[:, None] - 1.0))


def _clusters_by_arm(cluster: Array, rows: Rows, keep: Array) -> Array:
    return np.array([len(np.unique(cluster[keep & (rows.arm == j)])) for j in range(len(rows.labels))])


def _in_increments(joint: JointEffects, increment: float) -> JointEffects:
    unit = np.repeat([1 / increment, 1.0], joint.count)
    return replace(joint, first=joint.first / increment, omega=joint.omega * np.outer(unit, unit))


def _method(variance: str, *, covariates: int, stratified: bool) -> str:
    parts = ["least squares on the arms"]
    if covariates:
        parts.append("covariates in both stages")
    if stratified:
        parts.append("a constant for every stratum")
    return ", ".join([*parts, {"CR3": "cluster jackknife (CR3)"}.get(variance, variance)])


def _about_clusters(found: InstrumentEffects, rows: Rows, keep: Array) -> tuple[Diagnostic, ...]:
    """Say when an arm has few clusters."""
    if rows.cluster is None:
        return ()
    counts = _clusters_by_arm(rows.cluster, rows, keep)
    fewest = int(counts.min())
    whole = bool(counts.sum() == found.n_clusters)
    return (few_clusters(fewest, blocks=whole and fewest < TOO_FEW_CLUSTERS),)


def _crossed(cluster: Array, rows: Rows, keep: Array) -> bool:
    """Whether some cluster lies in several arms."""
    both = cluster[keep] * len(rows.labels) + rows.arm[keep]
    return len(np.unique(both)) > len(np.unique(cluster[keep]))


def _only_zero_and_one(values: Array) -> bool:
    return bool(np.all((values == 0) | (values == 1)))
