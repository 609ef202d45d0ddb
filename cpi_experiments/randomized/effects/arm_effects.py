"""The effect of one arm on one outcome from the moments of a trial: adjusted, tested, absolute and relative."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from cpi_experiments.errors import DesignError
from cpi_experiments.estimate import Diagnostic, Status
from cpi_experiments.randomized.cases import Cases, complete
from cpi_experiments.randomized.effects.comparison import LEAST_BASE, ArmEffect
from cpi_experiments.randomized.effects.decisions import Margin, judge_margin
from cpi_experiments.randomized.effects.itt import (
    adjusted_by,
    cluster_diagnostics,
    few_digits,
    few_digits_in_covariates,
    itt_estimate,
    method_of,
    outcome_cells,
    skipped,
)
from cpi_experiments.randomized.effects.outcomes import Outcome, Ratio
from cpi_experiments.stats.adjustment import adjustment
from cpi_experiments.stats.arm_means import ArmMeans, means_of_cells
from cpi_experiments.stats.interacted import interacted, normal_means, pooled_means
from cpi_experiments.stats.student import interval as t_interval

if TYPE_CHECKING:
    from cpi_experiments.randomized.trial import Trial

Array = np.ndarray
Adjustment = Literal["cuped", "lin"]
Test = Literal["welch", "student", "z"]
Inference = Literal["formula", "bootstrap", "permutation", "wild"]
#: Above it the exponential leaves the doubles: the control mean cannot be told from zero.
_LARGEST_LOG = 700.0
_MEANS = {"welch": means_of_cells, "student": pooled_means, "z": normal_means}
_NAMES = {"welch": "Welch", "student": "Student, pooled variance", "z": "z, variances with divisor n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How effects are estimated and tested.

    Parameters
    ----------
    covariates : tuple of str
    adjustment : {"cuped", "lin"}
    test : {"welch", "student", "z"}
    alternative, confidence_level, relative_scale
        As in `cpi_experiments.randomized.effects.compare.compare`.
    margins : mapping of outcome to tuple of Margin
    """

    covariates: tuple[str, ...]
    adjustment: Adjustment
    test: Test
    alternative: str
    confidence_level: float
    relative_scale: str
    margins: Mapping[str, tuple[Margin, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Means of the adjusted outcome and of the raw one, and what is said about them."""

    means: ArmMeans
    usable: bool
    used: bool
    notes: tuple[Diagnostic, ...]


def effect_of_arm(outcome: Outcome, trial: Trial, treatment: int, plan: Plan) -> ArmEffect:
    """Estimate the effect of one treatment on one outcome.

    Raises
    ------
    DataError, EstimationError
        If no complete row is left, or no variance exists.
    DesignError
        If the adjustment or the test does not fit clusters or strata.
    """
    cases = complete(trial, treatment, [*outcome.columns, *plan.covariates])
    _check_plan(plan, cases)
    found = (_lin if plan.adjustment == "lin" and plan.covariates else _common)(outcome, cases, plan)
    labels = trial.labels[0], trial.labels[treatment]
    estimate = itt_estimate(
        found.means,
        cause=str(labels[1]),
        outcome=outcome.name,
        cases=cases,
        usable=found.usable,
        method=method_of(
            cases,
            adjusted=found.used,
            ratio=isinstance(outcome, Ratio),
            adjustment="CUPED" if plan.adjustment == "cuped" else "Lin (coefficients of each arm's own)",
            cap="" if outcome.cap is None else f"{outcome.capped} capped at {trial.caps[outcome.capped]:,.10g}",
            test=_NAMES[plan.test],
        ),
        diagnostics=(*trial.diagnostics, *cluster_diagnostics(found.means), *found.notes, *few_digits(cases)),
        confidence_level=plan.confidence_level,
        alternative=plan.alternative,
    )
    relative = _relative(found.means, plan) if estimate.status is not Status.FAILED else (math.nan,) * 3
    names = str(labels[1]), str(labels[0])
    return ArmEffect(
        estimate=estimate,
        arm=labels[1],
        control=labels[0],
        rel_effect=relative[0],
        rel_ci_low=relative[1],
        rel_ci_high=relative[2],
        control_mean=float(found.means.control[1]),
        treatment_mean=float(found.means.treatment[1]),
        n_control=found.means.n_control,
        n_treatment=found.means.n_treatment,
        margins=tuple(judge_margin(m, estimate, names, found.means) for m in plan.margins.get(outcome.name, ())),
    )


def _check_plan(plan: Plan, cases: Cases) -> None:
    if plan.adjustment == "lin" and cases.n_clusters and plan.covariates:
        raise DesignError(
            "coefficients of each arm's own are not available with clusters",
            advice='Use adjustment="cuped", or give one row per cluster (its totals, and Ratio for means).',
        )
    if plan.test != "welch" and (cases.n_clusters or cases.stratified or plan.adjustment == "lin"):
        raise DesignError(
            f"test {plan.test!r} is for independent units without strata and with common coefficients",
            advice="Leave `test` out: Welch, or the jackknife with clusters.",
        )


def _common(outcome: Outcome, cases: Cases, plan: Plan) -> _Found:
    """Adjust with one coefficient vector for both arms (CUPED), or not at all."""
    found = adjusted_by(outcome_cells(outcome, cases), 1, plan.covariates)
    return _Found(
        means=_MEANS[plan.test](found.cells), usable=found.cells.varies(0), used=found.used, notes=found.diagnostics
    )


def _lin(outcome: Outcome, cases: Cases, plan: Plan) -> _Found:
    """Adjust with coefficients of each arm's own; constant covariates are skipped."""
    cells = outcome_cells(outcome, cases)
    used = adjustment(cells, 1).used
    if not used.any() or not cells.varies(0):
        return _common(outcome, cases, plan)
    found = interacted(cells.take([0, *(1 + np.flatnonzero(used))]))
    idle = [name for name, each in zip(plan.covariates, used, strict=True) if not each]
    notes = (*skipped(idle), *few_digits_in_covariates(found.condition))
    return _Found(means=found.means, usable=found.varies, used=True, notes=notes)


def _relative(means: ArmMeans, plan: Plan) -> tuple[float, float, float]:
    """Effect over the unadjusted control mean, with a delta-method interval.

    Outcome 0 is the adjusted one, outcome 1 the raw one; the gradient runs over
    [control adjusted, control raw, treatment adjusted, treatment raw]. A share of a control mean that is not above
    zero by `LEAST_BASE` of its own standard errors says nothing: then all three are NaN.
    """
    base, effect = float(means.control[1]), float(means.effect[0])
    moved = base + effect
    if not base > 0 or base < LEAST_BASE * math.sqrt(max(float(means.cov[1, 1]), 0.0)):
        return math.nan, math.nan, math.nan
    if plan.relative_scale == "linear":
        gradient = np.array([-1 / base, -effect / base**2, 1 / base, 0.0])
        df, centre = means.df(0), effect / base
    else:
        if not moved > 0:
            return effect / base, math.nan, math.nan
        gradient = np.array([-1 / moved, 1 / moved - 1 / base, 1 / moved, 0.0])
        centre = math.log(moved / base)
        parts = [float(gradient[s] @ means.cov[s, s] @ gradient[s]) for s in (slice(0, 2), slice(2, 4))]
        df = means.df_of(np.array(parts), 0)
    std_error = math.sqrt(float(gradient @ means.cov @ gradient))
    low, high = t_interval(centre, std_error, df, confidence_level=plan.confidence_level, alternative=plan.alternative)
    if plan.relative_scale == "linear":
        return effect / base, low, high
    low, high = (math.expm1(end) if end < _LARGEST_LOG else math.inf for end in (low, high))
    return effect / base, low, high
