"""The effect of being assigned (ITT): unit values, the estimate, and what is said about its variance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.estimate import Diagnostic, Estimand, Estimate, Status
from cpi_experiments.randomized.outcomes import Mean, Outcome
from cpi_experiments.stats.adjustment import adjust, linearise_ratio
from cpi_experiments.stats.student import interval as t_interval
from cpi_experiments.stats.student import p_value as t_p_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.trial import Cases
    from cpi_experiments.stats.arm_means import ArmMeans

Array = np.ndarray

#: Fewer clusters in an arm than this make a variance that cannot be trusted.
FEW_CLUSTERS = 10
TOO_FEW_CLUSTERS = 5


def unit_values(outcome: Outcome, cases: Cases) -> Array:
    """Values whose arm means are the outcome: the column itself, or the linear form of a ratio."""
    if isinstance(outcome, Mean):
        return cases.columns[outcome.column]
    return linearise_ratio(cases.columns[outcome.numerator], cases.columns[outcome.denominator], cases.treated)[0]


def rounding(raw: Array) -> float:
    """Size below which differences of a column, adjusted or not, are rounding."""
    return 1e-13 * float(np.max(np.abs(raw)))


def varies(values: Array, treated: Array, *, raw: Array) -> bool:
    """Whether a column, perhaps adjusted, has any variance within an arm beyond the rounding of its raw values."""
    return any(float(np.ptp(values[side])) > rounding(raw) for side in (treated, ~treated) if side.any())


def adjusted_by(raw: Array, cases: Cases, covariates: Sequence[str]) -> tuple[Array, list[str]]:
    """Adjust outcomes, shape (n, k), by covariates; name the covariates that are constant.

    An outcome that is constant within the arms stays as it is: a covariate's chance imbalance would only make up
    variance for it.
    """
    if not covariates:
        return raw, []
    adjusted, used = adjust(raw, np.stack([cases.columns[name] for name in covariates], axis=1))
    still = [not varies(column, cases.treated, raw=column) for column in raw.T]
    return np.where(still, raw, adjusted), [name for name, ok in zip(covariates, used, strict=True) if not ok]


def cluster_diagnostics(means: ArmMeans) -> tuple[Diagnostic, ...]:
    """Say when clusters are too few, or lie in both arms."""
    fewest = min(means.clusters_control, means.clusters_treatment)
    if not fewest:
        return ()
    few = Diagnostic(
        name="clusters per arm",
        null=f"at least {FEW_CLUSTERS} clusters in each arm",
        statistic=float(fewest),
        passed=fewest >= FEW_CLUSTERS,
        advice=""
        if fewest >= FEW_CLUSTERS
        else f"The smaller arm has {fewest} clusters: intervals are rough. Randomise more clusters.",
        blocks=fewest < TOO_FEW_CLUSTERS,
    )
    crossed = Diagnostic(
        name="clusters in one arm",
        null="every cluster lies in one arm",
        passed=not means.crossed,
        advice="Clusters lie in both arms: they are treated as blocks of related units, not as the randomised unit."
        if means.crossed
        else "",
    )
    return few, crossed


def method_of(cases: Cases, *, adjusted: bool, ratio: bool = False) -> str:
    """Name the estimator and its variance in a few words."""
    parts = ["ratio of means (delta)" if ratio else "difference in means"]
    if adjusted:
        parts.append("CUPED")
    if cases.strata is not None:
        parts.append("post-stratified")
    parts.append("Welch" if cases.cluster is None else "cluster jackknife (CR3)")
    return ", ".join(parts)


def itt_estimate(  # noqa: PLR0913 - one place fills every field of an ITT estimate
    means: ArmMeans,
    *,
    cause: str,
    outcome: str,
    cases: Cases,
    usable: bool,
    method: str,
    j: int = 0,
    diagnostics: tuple[Diagnostic, ...] = (),
    confidence_level: float = 0.95,
    alternative: str = "two-sided",
) -> Estimate:
    """Fill the estimate of the j-th effect; without variance it has status ``failed`` and no p-value."""
    effect = float(means.effect[j])
    std_error = math.sqrt(float(means.omega[j, j]))
    usable = usable and std_error > 0
    df = means.df(j) if usable else math.nan
    low, high = math.nan, math.nan
    if usable:
        low, high = t_interval(effect, std_error, df, confidence_level=confidence_level, alternative=alternative)
    else:
        none = "the outcome varies within the arms"
        advice = "The outcome is constant within each arm: no test exists. Look at how it is computed."
        diagnostics = (*diagnostics, Diagnostic(name="variance", null=none, passed=False, advice=advice, blocks=True))
    return Estimate(
        cause=cause,
        outcome=outcome,
        estimand=Estimand.ITT,
        value=effect,
        std_error=std_error if usable else math.nan,
        ci_low=low,
        ci_high=high,
        confidence_set=((low, high),) if usable else (),
        p_value=t_p_value(effect / std_error, df, alternative=alternative) if usable else math.nan,
        unit=outcome,
        n_obs=means.n_control + means.n_treatment,
        n_clusters=0 if cases.cluster is None else int(cases.cluster.max()) + 1,
        df=df,
        dropped=cases.dropped,
        method=method,
        diagnostics=diagnostics,
        confidence_level=confidence_level,
        status=Status.OK if usable else Status.FAILED,
    )


def skipped(names: list[str]) -> tuple[Diagnostic, ...]:
    """Say which covariates could not help because they are constant."""
    if not names:
        return ()
    advice = f"Not used for adjustment, constant: {', '.join(names)}."
    return (Diagnostic(name="covariates", null="every covariate varies", passed=False, advice=advice),)
