"""One link of a trial that is read: complete cases, the same adjustment of CPI and KPI, the pair, the AR set."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from cpi_experiments.estimate import Diagnostic, EffectPair, Estimand, Estimate, Status
from cpi_experiments.randomized.cases import complete, only_zero_and_one
from cpi_experiments.randomized.effects.itt import adjusted_by, cluster_diagnostics, few_digits, itt_estimate, method_of
from cpi_experiments.randomized.effects.outcomes import Pair, all_pairs
from cpi_experiments.randomized.links.link import Intervals, LinkEffect
from cpi_experiments.stats.arm_means import ArmMeans, means_of_cells
from cpi_experiments.stats.instruments.fieller import breakdown, delta_std_error, fieller_set, hull
from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cpi_experiments.randomized.trial import Trial
    from cpi_experiments.stats.cells import Cells


def link_pairs(links: Iterable[tuple[str, str]], covariates: Sequence[str], *, clustered: bool) -> list[Pair]:
    """List the products that links (cpi, kpi) need together: the KPI's square tells whether it is a yes/no column."""
    links = list(links)
    pairs = all_pairs(links, covariates, clustered=clustered)
    return list(dict.fromkeys([*pairs, *((kpi, kpi) for _, kpi in links)]))


def link_of(  # noqa: PLR0913 - the roles of columns, each named
    trial: Trial,
    *,
    cpi: str,
    kpi: str,
    covariates: Sequence[str],
    increment: float,
    step: str,
    confidence_level: float = 0.95,
    treatment: int = 1,
) -> LinkEffect:
    """Estimate one link from a trial that is read: complete cases, same adjustment of both, pair, AR set."""
    columns = [cpi, kpi, *covariates]
    cases = complete(trial, treatment, columns)
    found = adjusted_by(cases.cells, 2, covariates)
    means = means_of_cells(found.cells)
    notes = (*trial.diagnostics, *cluster_diagnostics(means), *found.diagnostics, *few_digits(cases))
    stages = [
        itt_estimate(
            means,
            cause=str(trial.labels[treatment]),
            outcome=name,
            cases=cases,
            usable=found.cells.varies(j),
            method=method_of(cases, adjusted=found.used),
            j=j,
            diagnostics=notes,
            confidence_level=confidence_level,
        )
        for j, name in enumerate((cpi, kpi))
    ]
    link = _link(trial, found.cells, means, stages, increment=increment, step=step)
    return replace(link, shares=only_zero_and_one(trial, treatment, columns, kpi))


def _link(
    trial: Trial, cells: Cells, means: ArmMeans, stages: list[Estimate], *, increment: float, step: str
) -> LinkEffect:
    first, reduced = stages
    sharp = means.omega[0, 0] == 0 or first.status is Status.FAILED  # the CPI does not vary within the arms
    still = sharp and abs(first.value) <= 1e-13 * cells.size(2)
    failed = reduced.status is Status.FAILED or still
    pair = _pair(means, first, reduced, increment=increment, sharp=sharp, failed=failed)
    link = assemble_link(first, reduced, pair=pair, increment=increment, step=step, integrity=trial.integrity)
    return replace(link, unit="" if means.crossed else trial.names["cluster"])


def assemble_link(
    first: Estimate, reduced: Estimate, *, pair: EffectPair, increment: float, step: str, integrity: Diagnostic
) -> LinkEffect:
    """Put a link together from its two stages and the pair; a pair without variances has failed.

    Parameters
    ----------
    first, reduced : Estimate
        Lever on CPI, in raw units, and on KPI.
    pair : EffectPair
        In increments.
    increment : float
        Raw CPI units of one increment.
    step : str
        One increment in words.
    integrity : Diagnostic
        The sample ratio.
    """
    failed = math.isnan(pair.var_kpi)
    level = reduced.confidence_level
    critical = math.nan if failed else quantile(0.5 + level / 2, reduced.df)
    sets: Intervals = ()
    if not failed:
        x, y = pair.effect_cpi, pair.effect_kpi
        sets = fieller_set(x, y, var_x=pair.var_cpi, var_y=pair.var_kpi, cov=pair.cov, critical=critical)
    bounded = len(sets) == 1 and all(math.isfinite(end) for end in sets[0])
    low, high = hull(sets)
    f_effective = _f_effective(first, pair)
    still = failed and reduced.status is not Status.FAILED
    strength = first_stage_strength(f_effective, failed=failed, bounded=bounded, still=still)
    estimate = Estimate(
        cause=first.outcome,
        outcome=reduced.outcome,
        estimand=Estimand.LATE,
        value=math.nan if failed or pair.effect_cpi == 0 else pair.effect_kpi / pair.effect_cpi,
        std_error=_wald_error(pair, failed=failed),
        ci_low=low,
        ci_high=high,
        confidence_set=sets,
        confidence_level=level,
        p_value=math.nan if failed else reduced.p_value,
        unit=f"{reduced.outcome} per {increment:+g} {first.outcome}",
        n_obs=reduced.n_obs,
        n_clusters=reduced.n_clusters,
        df=reduced.df,
        dropped=reduced.dropped,
        method=f"Wald ratio with Anderson-Rubin set; {reduced.method}",
        diagnostics=(integrity, *reduced.diagnostics, strength),
        status=Status.FAILED if failed else Status.OK if bounded else Status.WEAK,
    )
    return LinkEffect(
        first_stage=first,
        reduced_form=reduced,
        estimate=estimate,
        ar_set=sets,
        f_effective=f_effective,
        breakdown=math.nan if failed else breakdown(pair.effect_kpi, pair.var_kpi, critical=critical),
        integrity=integrity,
        pair=pair,
        step=step,
    )


def _pair(
    means: ArmMeans, first: Estimate, reduced: Estimate, *, increment: float, sharp: bool, failed: bool
) -> EffectPair:
    """Count the five numbers in increments; a failed estimate has no variances that could be mistaken for zero."""
    omega = means.omega
    return EffectPair(
        effect_cpi=first.value,
        effect_kpi=reduced.value,
        var_cpi=math.nan if failed else 0.0 if sharp else float(omega[0, 0]),
        var_kpi=math.nan if failed else float(omega[1, 1]),
        cov=math.nan if failed else 0.0 if sharp else float(omega[0, 1]),
        df=reduced.df,
    ).scaled(increment)


def _wald_error(pair: EffectPair, *, failed: bool) -> float:
    if failed or pair.effect_cpi == 0:
        return math.nan
    return delta_std_error(pair.effect_cpi, pair.effect_kpi, var_x=pair.var_cpi, var_y=pair.var_kpi, cov=pair.cov)


def _f_effective(first: Estimate, pair: EffectPair) -> float:
    """Robust first-stage F, which is the effective F for one instrument (Montiel Olea and Pflueger 2013)."""
    if pair.var_cpi == 0:
        return math.inf
    return (first.value / first.std_error) ** 2


def first_stage_strength(f_effective: float, *, failed: bool, bounded: bool, still: bool = False) -> Diagnostic:
    """Say whether the lever moved the CPI enough to tell what an increment is worth; never a filter."""
    advice = ""
    if still:
        advice = (
            "The CPI is the same in all arms: the link is not testable by this experiment. The effect on the KPI "
            "itself is still tested."
        )
    elif failed:
        advice = "CPI or KPI is constant within the arms: nothing can be estimated."
    elif not bounded and f_effective < 1:
        advice = (
            f"The lever did not move the CPI (F {f_effective:.2g}): the link is not testable by this experiment. "
            "The effect on the KPI itself is still tested."
        )
    elif not bounded:
        advice = (
            f"The lever hardly moved the CPI (F {f_effective:.2g}): how much an increment is worth stays open. "
            "The effect on the KPI itself is still tested."
        )
    return Diagnostic(
        name="first stage",
        null="the lever moved the CPI enough to bound the effect per increment",
        statistic=f_effective,
        passed=bounded,
        advice=advice,
    )
