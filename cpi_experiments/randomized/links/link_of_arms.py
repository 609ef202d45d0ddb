"""One link from several treatments against one control: every arm is an instrument, the control is shared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.estimate import Diagnostic, Estimand, Estimate, Status
from cpi_experiments.randomized.cases import Cases, complete, only_zero_and_one
from cpi_experiments.randomized.effects.itt import Adjusted, adjusted_by, few_digits, method_of
from cpi_experiments.randomized.links.arms_link import ArmsLink
from cpi_experiments.randomized.links.link import Intervals
from cpi_experiments.randomized.links.link_of_trial import first_stage_strength, link_of
from cpi_experiments.stats.adjustment import adjustment
from cpi_experiments.stats.instruments.anderson_rubin import Agreement, anderson_rubin_set, best_agreement
from cpi_experiments.stats.instruments.fieller import hull
from cpi_experiments.stats.instruments.several_instruments import (
    JointEffects,
    disagreement,
    effective_f,
    joint_critical,
    joint_p_value,
    two_stage,
)
from cpi_experiments.stats.instruments.shared_control import SharedControl, effects_against_control

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.links.link import LinkEffect
    from cpi_experiments.randomized.trial import Trial
    from cpi_experiments.stats.cells import Cells

#: Arms that disagree this clearly are not spoken of with one number.
ARMS_DISAGREE = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyArms:
    """Effects of every arm on some columns, all adjusted alike, and what is said about the rows.

    Parameters
    ----------
    found : SharedControl
    merged : Cases
        All treatments as one: complete cases, dropped rows, clusters.
    adjusted : Adjusted
        What is said about covariates.
    diagnostics : tuple of Diagnostic
    """

    found: SharedControl
    merged: Cases
    adjusted: Adjusted
    diagnostics: tuple[Diagnostic, ...]


_NOTHING = (math.nan, math.nan)
_NOWHERE = Agreement(theta=math.nan, std_error=math.nan, misfit=math.nan, p_value=math.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Solution:
    """What joint effects give; nothing where they have no variance."""

    sets: Intervals = ()
    best: Agreement = _NOWHERE
    p_value: float = math.nan
    hansen: tuple[float, float] = _NOTHING
    two_stage: tuple[float, float] = _NOTHING


def effects_of_arms(trial: Trial, outcomes: Sequence[str], covariates: Sequence[str]) -> ManyArms:
    """Take the effects of all treatments on some columns from complete cases, after one adjustment.

    Raises
    ------
    DataError
        If no row is complete.
    EstimationError
        If a cell has too few units or clusters, or covariates are collinear.
    """
    k, columns = len(outcomes), [*outcomes, *covariates]
    merged = complete(merged_arms(trial), 1, columns)
    adjusted = adjusted_by(merged.cells, k, covariates)
    slope, offset, kept = _common_slope(merged.cells, k, covariates)

    def mapped(cells: Cells) -> Cells:
        cells = cells.take(kept)
        return cells.mapped(slope, offset, origin=cells.origin[:k])

    arms = range(1, len(trial.labels))
    pairs = [mapped(complete(trial, j, columns).cells) for j in arms]
    between = None
    if pairs[0].clusters is not None and _clusters(pairs) > merged.n_clusters:
        between = {
            (i - 1, j - 1): mapped(complete(_as_pair(trial, i, j), 1, columns).cells) for i, j in combinations(arms, 2)
        }
    found = effects_against_control(pairs, between=between, n_clusters=merged.n_clusters)
    notes = (*trial.diagnostics, *adjusted.diagnostics, *few_digits(merged))
    return ManyArms(found=found, merged=merged, adjusted=adjusted, diagnostics=notes)


def merged_arms(trial: Trial) -> Trial:
    """Let all treatments be one."""
    return replace(trial, arm=np.minimum(trial.arm, 1), layouts={})


def _common_slope(cells: Cells, k: int, covariates: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return one adjustment for all arms: slope and offset on outcomes and used covariates, and which these are."""
    if not covariates:
        return np.eye(k), np.zeros(k), list(range(k))
    found = adjustment(cells, k)
    moving = np.array([cells.varies(j) for j in range(k)])
    kept = [*range(k), *(k + np.flatnonzero(found.used))]
    slope = np.hstack([np.eye(k), -(found.coefficients[found.used] * moving).T])
    return slope, found.offset * moving, kept


def _clusters(pairs: Sequence[Cells]) -> int:
    """Clusters counted once in every arm in which they lie."""
    counts = [each.clusters.per_cell for each in pairs if each.clusters is not None]
    return int(counts[0][0::2].sum() + sum(each[1::2].sum() for each in counts))


def _as_pair(trial: Trial, i: int, j: int) -> Trial:
    """Let treatment i stand for the control and treatment j for the only treatment."""
    arm = np.full(len(trial.arm), 2, dtype=trial.arm.dtype)
    arm[trial.arm == i], arm[trial.arm == j], arm[trial.arm < 0] = 0, 1, -1
    return replace(trial, arm=arm, layouts={})


def joint_effects(found: SharedControl, *, cpi: int = 0, kpi: int = 1, increment: float = 1.0) -> JointEffects:
    """Take the effects on one CPI, counted in increments, and on one KPI out of those on several columns."""
    at = [cpi, kpi]
    count = len(found.effects)
    unit = np.repeat([1 / increment, 1.0], count)
    omega = found.omega[np.ix_(at, range(count), at, range(count))].reshape(2 * count, 2 * count)
    return JointEffects(
        first=found.effects[:, cpi] / increment,
        reduced=found.effects[:, kpi],
        omega=omega * np.outer(unit, unit),
        weights=found.weights,
        df=float(np.nan_to_num(found.df[kpi], nan=1.0)),
    )


def link_of_arms(
    trial: Trial,
    *,
    cpi: str,
    kpi: str,
    covariates: Sequence[str],
    increment: float,
    step: str,
    confidence_level: float = 0.95,
) -> ArmsLink:
    """Estimate one link from all treatments of a trial that is read."""
    arms = tuple(
        link_of(
            trial,
            cpi=cpi,
            kpi=kpi,
            covariates=covariates,
            increment=increment,
            step=step,
            confidence_level=confidence_level,
            treatment=j,
        )
        for j in range(1, len(trial.labels))
    )
    many = effects_of_arms(trial, [cpi, kpi], covariates)
    merged = merged_arms(trial)
    link = assemble_arms(
        arms,
        joint_effects(many.found, increment=increment),
        n_obs=many.found.n_obs,
        n_clusters=many.merged.n_clusters,
        dropped=many.merged.dropped,
        method=method_of(many.merged, adjusted=many.adjusted.used),
        diagnostics=(*many.diagnostics, *_about_clusters(arms)),
    )
    return replace(link, shares=only_zero_and_one(merged, 1, [cpi, kpi, *covariates], kpi), unit=_unit(trial, arms))


def _about_clusters(arms: Sequence[LinkEffect]) -> tuple[Diagnostic, ...]:
    """Take what the arms say about their clusters, of each check the worst."""
    notes = [d for arm in arms for d in arm.reduced_form.diagnostics if d.name.startswith("clusters")]
    worst: dict[str, Diagnostic] = {}
    for d in notes:
        if d.name not in worst or (d.passed, d.statistic) < (worst[d.name].passed, worst[d.name].statistic):
            worst[d.name] = d
    return tuple(worst.values())


def _unit(trial: Trial, arms: Sequence[LinkEffect]) -> str:
    return trial.names["cluster"] if all(arm.unit for arm in arms) else ""


def assemble_arms(
    arms: tuple[LinkEffect, ...],
    joint: JointEffects,
    *,
    n_obs: int,
    n_clusters: int,
    dropped: tuple[tuple[str, int], ...],
    method: str,
    diagnostics: tuple[Diagnostic, ...],
) -> ArmsLink:
    """Put the link together from the arms on their own and their joint effects; without variance it has failed.

    Raises
    ------
    EstimationError
        If there are fewer degrees of freedom than arms.
    """
    integrity = arms[0].integrity
    failed = any(arm.reduced_form.status is Status.FAILED for arm in arms) or all(
        arm.estimate.status is Status.FAILED for arm in arms
    )
    found = _Solution() if failed else _solve(joint, arms[0].estimate.confidence_level)
    agreement = _agreement(found.best, empty=not found.sets and not failed)
    strength = effective_f(joint)
    first_stage = first_stage_strength(
        strength,
        failed=failed,
        bounded=not failed and not _open(found.sets),
        still=failed and all(arm.reduced_form.status is not Status.FAILED for arm in arms),
    )
    estimate = replace(
        _estimate(arms[0].estimate, found, joint, failed=failed),
        n_obs=n_obs,
        n_clusters=n_clusters,
        dropped=dropped,
        method=f"{len(arms)} arms as instruments, Anderson-Rubin set; {method}",
        diagnostics=(integrity, *diagnostics, agreement, first_stage),
    )
    return ArmsLink(
        arms=arms,
        estimate=estimate,
        ar_set=found.sets,
        joint=joint,
        two_stage=found.two_stage[0],
        two_stage_error=found.two_stage[1],
        f_effective=strength,
        agreement=agreement,
        hansen=Diagnostic(
            name="ratios alike",
            null="the arms' own ratios are alike (Hansen's Q, covariance at two-stage least squares)",
            statistic=found.hansen[0],
            p_value=found.hansen[1],
            passed=not found.hansen[1] < ARMS_DISAGREE,
        ),
        integrity=integrity,
        step=arms[0].step,
    )


def _estimate(first: Estimate, found: _Solution, joint: JointEffects, *, failed: bool) -> Estimate:
    """Fill in what the solution says; cause, outcome, unit and level are those of the first arm."""
    sets = found.sets
    bounded = len(sets) == 1 and not _open(sets)
    return Estimate(
        cause=first.cause,
        outcome=first.outcome,
        estimand=Estimand.LATE,
        value=found.best.theta if sets else math.nan,
        std_error=found.best.std_error if sets else math.nan,
        ci_low=hull(sets)[0],
        ci_high=hull(sets)[1],
        confidence_set=sets,
        confidence_level=first.confidence_level,
        p_value=found.p_value,
        unit=first.unit,
        n_obs=first.n_obs,
        df=joint.df,
        method="",
        status=Status.FAILED if failed or not sets else Status.OK if bounded else Status.WEAK,
    )


def _solve(joint: JointEffects, level: float) -> _Solution:
    return _Solution(
        sets=anderson_rubin_set(joint, critical=joint_critical(joint.count, joint.df, confidence_level=level)),
        best=best_agreement(joint),
        p_value=joint_p_value(joint.statistic(0.0), joint.count, joint.df),
        hansen=disagreement(joint),
        two_stage=two_stage(joint),
    )


def _open(sets: tuple[tuple[float, float], ...]) -> bool:
    return any(math.isinf(end) for piece in sets for end in piece)


def _agreement(best: Agreement, *, empty: bool) -> Diagnostic:
    """Say whether one effect per increment fits all arms."""
    advice = ""
    if empty or best.p_value < ARMS_DISAGREE:
        advice = (
            f"The arms disagree more than chance (J {best.misfit:.3g}): at least one arm reaches the KPI by another "
            "way, or an increment is worth more in one arm than in another. Read the arms one by one."
        )
    return Diagnostic(
        name="arms agree",
        null="one effect per increment fits every arm, and no arm reaches the KPI by another way",
        statistic=best.misfit,
        p_value=best.p_value,
        passed=not advice,
        advice=advice,
    )
