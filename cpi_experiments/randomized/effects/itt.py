"""The effect of being assigned (ITT): outcomes, the estimate, and what is said about its variance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import p_text, percent
from cpi_experiments.errors import EstimationError
from cpi_experiments.estimate import Diagnostic, Estimand, Estimate, Status
from cpi_experiments.randomized.effects.outcomes import Mean, Outcome
from cpi_experiments.stats.adjustment import Adjustment, adjustment, linear_ratio
from cpi_experiments.stats.cells import Cells
from cpi_experiments.stats.student import interval as t_interval
from cpi_experiments.stats.student import p_value as t_p_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.cases import Cases
    from cpi_experiments.stats.arm_means import ArmMeans

Array = np.ndarray

#: Fewer clusters in an arm than this make a variance that cannot be trusted.
FEW_CLUSTERS = 10
TOO_FEW_CLUSTERS = 5
#: Squares about the origin may exceed the variance by this factor before it is said: six digits are lost by then.
MOST_LOST = 1e6
#: Condition number of covariates above which it is said.
ILL_CONDITIONED = 1e8
#: Covariates that differ between the arms: below the first p-value no verdict is given, below the second a warning is.
BALANCE_BLOCKS, BALANCE_WARNS = 0.0005, 0.01
#: Share of an effect that the adjustment may take away on average before it is said; all but which is the arm itself.
MOST_SHRUNK, SAME_AS_ARM = 0.02, 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjusted:
    """Outcomes before and after the adjustment by covariates.

    Parameters
    ----------
    cells : Cells
        The k adjusted outcomes, then the k raw ones.
    idle : list of str
        Covariates that are constant.
    used : bool
        Whether any covariate was used.
    diagnostics : tuple of Diagnostic
        What is said about the covariates and about digits.
    """

    cells: Cells
    idle: list[str]
    used: bool
    diagnostics: tuple[Diagnostic, ...]


def outcome_cells(outcome: Outcome, cases: Cases) -> Cells:
    """Moments of an outcome, the column itself or the linear form of a ratio, and of the covariates after it."""
    return cases.cells if isinstance(outcome, Mean) else linear_ratio(cases.cells)


def adjusted_by(cells: Cells, k: int, covariates: Sequence[str]) -> Adjusted:
    """Adjust k outcomes by the covariates that follow them; name the covariates that are constant.

    An outcome that is constant within the arms stays as it is: a covariate's chance imbalance would only make up
    variance for it.
    """
    slope, offset = np.eye(k), np.zeros(k)
    notes: tuple[Diagnostic, ...] = ()
    idle: list[str] = []
    if covariates:
        found = adjustment(cells, k)
        idle = [name for name, used in zip(covariates, found.used, strict=True) if not used]
        cells = cells.take([*range(k), *(k + np.flatnonzero(found.used))])
        moving = np.array([cells.varies(j) for j in range(k)])
        slope = np.hstack([slope, -(found.coefficients[found.used] * moving).T])
        offset = found.offset * moving
        balance = _arms_differ(found, cells)
        notes = (*skipped(idle), *few_digits_in_covariates(found.condition), *balance)
    raw = np.hstack([np.eye(k), np.zeros((k, slope.shape[1] - k))])
    both = cells.mapped(
        np.vstack([slope, raw]), np.concatenate([offset, np.zeros(k)]), origin=np.tile(cells.origin[:k], 2)
    )
    return Adjusted(cells=both, idle=idle, used=len(idle) < len(covariates), diagnostics=notes)


def _arms_differ(found: Adjustment, cells: Cells) -> tuple[Diagnostic, ...]:
    """Say whether covariates differ between the arms more than chance, or are too many: CUPED then shrinks effects.

    The test is the F test of the assignment on the covariates; with clusters or strata none is made here.
    """
    n, used = float(cells.n.sum()), int(found.used.sum())
    if not used or math.isnan(found.of_arm):
        return ()
    share = min(max(found.of_arm, 0.0), 1.0)
    if share > 1 - SAME_AS_ARM:
        raise EstimationError(
            "the covariates say who is in which arm",
            advice="A covariate is measured before the assignment; leave out what the assignment changed.",
        )
    rest = n - 1 - used
    if cells.clusters is not None or rest <= 0:
        return ()
    p = _f_tail(share / used / ((1 - share) / rest), used, rest)
    many = used / (n - 1) > MOST_SHRUNK
    passed = p >= BALANCE_WARNS and not many
    lost = f"CUPED takes {percent(share, 1)} from every effect"
    if p < BALANCE_WARNS:
        advice = f"Covariates differ between the arms (p {p_text(p)}): were they measured before assignment? {lost}."
    else:
        advice = f'{used} covariates for {n:,.0f} units: {lost}. Use fewer, or adjustment="lin" (link: "regression").'
    return (
        Diagnostic(
            name="covariate balance",
            null="covariates are alike in the arms, and few for so many units",
            statistic=share,
            p_value=p,
            passed=passed,
            advice="" if passed else advice,
            blocks=p < BALANCE_BLOCKS,
        ),
    )


def _f_tail(statistic: float, one: int, other: float) -> float:
    """Upper tail of F; of one covariate by Student's t, which needs no slow import."""
    if one == 1:
        return t_p_value(math.sqrt(statistic), other)
    from scipy.special import fdtrc  # noqa: PLC0415 - its import takes longer than a comparison

    return float(fdtrc(one, other, statistic))


def few_digits(cases: Cases) -> tuple[Diagnostic, ...]:
    """Say which columns are so far from their origin that their variances lose digits."""
    worst = max(cases.lost_digits, key=lambda name: cases.lost_digits[name], default=None)
    if worst is None or cases.lost_digits[worst] <= MOST_LOST:
        return ()
    factor = cases.lost_digits[worst]
    advice = (
        f"The mean of {worst} differs so much between arms, or from the number subtracted before squaring, that its "
        f"variance has lost {math.log10(factor):.0f} digits. Store it as whole numbers (cents), or give its origin."
    )
    null = "sums of squares are not much larger than the variance"
    return (Diagnostic(name="precision", null=null, statistic=factor, passed=False, advice=advice),)


def few_digits_in_covariates(condition: float) -> tuple[Diagnostic, ...]:
    """Say that covariates are almost collinear."""
    if condition <= ILL_CONDITIONED:
        return ()
    advice = (
        f"Covariates are almost collinear (condition number {condition:.1g}): the adjustment keeps about "
        f"{16 - math.log10(condition):.0f} digits. Leave out those that the others nearly contain."
    )
    null = "covariates are far from collinear"
    return (Diagnostic(name="precision", null=null, statistic=condition, passed=False, advice=advice),)


def cluster_diagnostics(means: ArmMeans) -> tuple[Diagnostic, ...]:
    """Say when clusters are too few, or lie in both arms."""
    fewest = min(means.clusters_control, means.clusters_treatment)
    if not fewest:
        return ()
    few = few_clusters(fewest, blocks=fewest < TOO_FEW_CLUSTERS)
    crossed = Diagnostic(
        name="clusters in one arm",
        null="every cluster lies in one arm",
        passed=not means.crossed,
        advice="Clusters lie in both arms: they are treated as blocks of related units, not as the randomised unit."
        if means.crossed
        else "",
    )
    return few, crossed


def few_clusters(fewest: int, *, blocks: bool) -> Diagnostic:
    """Say whether the smaller arm has clusters enough for a variance.

    Examples
    --------
    >>> few_clusters(12, blocks=False).passed, few_clusters(7, blocks=False).passed
    (True, False)
    """
    passed = fewest >= FEW_CLUSTERS
    return Diagnostic(
        name="clusters per arm",
        null=f"at least {FEW_CLUSTERS} clusters in each arm",
        statistic=float(fewest),
        passed=passed,
        advice="" if passed else _advice_on_clusters(fewest),
        blocks=blocks,
    )


def _advice_on_clusters(fewest: int) -> str:
    if fewest >= TOO_FEW_CLUSTERS:
        return f"The smaller arm has {fewest} clusters: intervals are rough. Randomise more clusters."
    return (
        f"The smaller arm has {fewest} clusters: the formula's variance cannot be trusted. Permute the clusters "
        '(compare with inference="permutation", audit_link with resample="always"), and randomise more next time.'
    )


def method_of(
    cases: Cases, *, adjusted: bool, ratio: bool = False, adjustment: str = "CUPED", cap: str = "", test: str = "Welch"
) -> str:
    """Name the estimator and its variance in a few words."""
    parts = ["ratio of means (delta)" if ratio else "difference in means"]
    if cap:
        parts.append(cap)
    if adjusted:
        parts.append(adjustment)
    if cases.stratified:
        parts.append("post-stratified")
    parts.append("cluster jackknife (CR3)" if cases.n_clusters else test)
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
    return effect_estimate(
        float(means.effect[j]),
        math.sqrt(float(means.omega[j, j])),
        means.df(j),
        cause=cause,
        outcome=outcome,
        usable=usable,
        n_obs=means.n_control + means.n_treatment,
        n_clusters=cases.n_clusters,
        dropped=cases.dropped,
        method=method,
        diagnostics=diagnostics,
        confidence_level=confidence_level,
        alternative=alternative,
    )


def effect_estimate(  # noqa: PLR0913 - one place fills every field of an ITT estimate
    effect: float,
    std_error: float,
    df: float,
    *,
    cause: str,
    outcome: str,
    n_obs: int,
    n_clusters: int,
    dropped: tuple[tuple[str, int], ...],
    method: str,
    usable: bool = True,
    diagnostics: tuple[Diagnostic, ...] = (),
    confidence_level: float = 0.95,
    alternative: str = "two-sided",
) -> Estimate:
    """Fill an estimate with Student's interval and p-value; without variance it has status ``failed`` and neither."""
    usable = usable and std_error > 0
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
        n_obs=n_obs,
        n_clusters=n_clusters,
        df=df if usable else math.nan,
        dropped=dropped,
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
