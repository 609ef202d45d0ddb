"""Random assignment as the instrument for the CPI: the KPI effect per customer-valued increment, with its AR set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.estimate import Diagnostic, EffectPair, Estimand, Estimate, Status
from cpi_experiments.randomized.itt import (
    adjusted_by,
    cluster_diagnostics,
    itt_estimate,
    method_of,
    rounding,
    skipped,
    varies,
)
from cpi_experiments.randomized.link import Intervals, LinkEffect, LinkEffects
from cpi_experiments.randomized.trial import (
    Cases,
    Label,
    Trial,
    check_covariates,
    check_level,
    check_two_arms,
    complete,
    names_of,
    read_trial,
)
from cpi_experiments.stats.arm_means import ArmMeans, arm_means
from cpi_experiments.stats.fieller import breakdown, delta_std_error, fieller_set, hull
from cpi_experiments.stats.student import quantile
from cpi_experiments.wording.results import step_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.measure.engine import Data

Array = np.ndarray


def link_effect(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    data: Data,
    *,
    cpi: str,
    kpi: str | Sequence[str],
    arm: str,
    control: Label,
    increment: float = 1.0,
    covariates: str | Sequence[str] | None = None,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    allocation: Mapping[Any, float] | None = None,
    confidence_level: float = 0.95,
    unit: str | None = None,
) -> LinkEffect | LinkEffects:
    """Estimate the KPI effect per increment of the CPI, with random assignment as the instrument.

    Parameters
    ----------
    data : DataFrame, path of a Parquet or CSV file, or DuckDB relation
        One row per unit.
    cpi, kpi : str
        Columns of the CPI and the KPI; ``kpi`` may be a list, then the result holds one effect per KPI.
    arm, control
        Column of the arm and label of the control; exactly one other arm.
    increment : float
        Raw CPI units of one customer-valued step, signed: negative means that lower is better (``-1`` on hours
        reads "each hour faster").
    covariates, cluster, strata, allocation, unit
        As in `compare`; CPI and KPI are adjusted by the same covariates.
    confidence_level : float

    Returns
    -------
    LinkEffect, or LinkEffects if ``kpi`` is a list
        Estimand LATE: the average KPI gain per increment for units whose CPI the lever changed, in the range in
        which it changed it (weights of Angrist and Imbens).

    Raises
    ------
    DataError
        If columns or arms cannot be used, or there is more than one treatment arm.
    DesignError
        If the increment is 0 or the confidence level is not a share.
    EstimationError
        If a variance cannot be estimated.

    Notes
    -----
    Assumes random assignment, that the lever reaches the KPI only through the CPI (see ``breakdown`` for how much of
    that may fail), and that no unit's CPI is moved against the others. The set is Anderson and Rubin's with the
    reduced form's t quantile, so it excludes zero exactly when the ITT test of the KPI rejects.

    References
    ----------
    Imbens, Angrist (1994), Econometrica 62; Angrist, Imbens (1995), JASA 90; Anderson, Rubin (1949).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> auto = np.repeat([False, True], 500)
    >>> hours = rng.gamma(4, 2, 1000) - 3 * auto
    >>> won = (rng.random(1000) < 0.5 - 0.03 * hours).astype(int)
    >>> df = pd.DataFrame({"variant": np.where(auto, "auto", "manual"), "quote_hours": hours, "won": won})
    >>> link = link_effect(df, cpi="quote_hours", kpi="won", arm="variant", control="manual", increment=-1)
    >>> link.sentence
    'Each hour faster adds 2.5 points to won (95% set 0.2 to 4.6).'
    """
    check_level(confidence_level)
    if not (math.isfinite(increment) and increment != 0):
        raise DesignError(
            f"increment {increment} is not a step", advice="Give raw CPI units, negative if lower is better."
        )
    kpis = [kpi] if isinstance(kpi, str) else list(kpi)
    if not kpis:
        raise DataError("no KPI is named", advice='Give a column, such as kpi="won".')
    adjusters = names_of(covariates)
    if cpi in kpis:
        raise DataError(f"column {cpi!r} is both CPI and KPI", advice="A link runs from one column to another.")
    check_covariates(adjusters, [cpi, *kpis])
    trial = read_trial(
        data, numbers=[cpi, *kpis, *adjusters], arm=arm, control=control, cluster=cluster, strata=strata, unit=unit,
        allocation=allocation,
    )  # fmt: skip
    check_two_arms(trial)
    effects = tuple(
        link_of(
            trial,
            cpi=cpi,
            kpi=name,
            covariates=adjusters,
            increment=increment,
            step=step_words(cpi, increment),
            confidence_level=confidence_level,
        )
        for name in kpis
    )
    return effects[0] if isinstance(kpi, str) else LinkEffects(effects=effects)


def link_of(
    trial: Trial,
    *,
    cpi: str,
    kpi: str,
    covariates: Sequence[str],
    increment: float,
    step: str,
    confidence_level: float = 0.95,
) -> LinkEffect:
    """Estimate one link from a trial that is read: complete cases, same adjustment of both, pair, AR set."""
    cases = complete(trial, 1, [cpi, kpi, *covariates])
    values = np.stack([cases.columns[cpi], cases.columns[kpi]], axis=1)
    adjusted, idle = adjusted_by(values, cases, covariates)
    means = arm_means(adjusted, cases.treated, strata=cases.strata, clusters=cases.cluster)
    notes = (*trial.diagnostics, *cluster_diagnostics(means), *skipped(idle))
    stages = [
        itt_estimate(
            means,
            cause=str(trial.labels[1]),
            outcome=name,
            cases=cases,
            usable=varies(adjusted[:, j], cases.treated, raw=values[:, j]),
            method=method_of(cases, adjusted=len(idle) < len(covariates)),
            j=j,
            diagnostics=notes,
            confidence_level=confidence_level,
        )
        for j, name in enumerate((cpi, kpi))
    ]
    return _link(trial, cases, means, stages, increment=increment, step=step)


def _link(
    trial: Trial, cases: Cases, means: ArmMeans, stages: list[Estimate], *, increment: float, step: str
) -> LinkEffect:
    first, reduced = stages
    sharp = means.omega[0, 0] == 0 or first.status is Status.FAILED  # the CPI does not vary within the arms
    still = sharp and abs(first.value) <= rounding(cases.columns[first.outcome])
    failed = reduced.status is Status.FAILED or still
    pair = _pair(means, first, reduced, increment=increment, sharp=sharp, failed=failed)
    level = reduced.confidence_level
    critical = math.nan if failed else quantile(0.5 + level / 2, reduced.df)
    sets: Intervals = ()
    if not failed:
        x, y = pair.effect_cpi, pair.effect_kpi
        sets = fieller_set(x, y, var_x=pair.var_cpi, var_y=pair.var_kpi, cov=pair.cov, critical=critical)
    bounded = len(sets) == 1 and all(math.isfinite(end) for end in sets[0])
    low, high = hull(sets)
    f_effective = _f_effective(first, pair)
    kpi_values = cases.columns[reduced.outcome]
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
        diagnostics=(trial.integrity, *reduced.diagnostics, *_strength(f_effective, failed=failed, bounded=bounded)),
        status=Status.FAILED if failed else Status.OK if bounded else Status.WEAK,
    )
    return LinkEffect(
        first_stage=first,
        reduced_form=reduced,
        estimate=estimate,
        ar_set=sets,
        f_effective=f_effective,
        breakdown=math.nan if failed else breakdown(pair.effect_kpi, pair.var_kpi, critical=critical),
        integrity=trial.integrity,
        pair=pair,
        step=step,
        shares=bool(np.all((kpi_values == 0) | (kpi_values == 1))),
        unit="" if means.crossed else trial.names["cluster"],
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


def _strength(f_effective: float, *, failed: bool, bounded: bool) -> tuple[Diagnostic, ...]:
    advice = ""
    if failed:
        advice = "CPI or KPI is constant within the arms: nothing can be estimated."
    elif not bounded:
        advice = (
            f"The lever hardly moved the CPI (F {f_effective:.2g}): how much an increment is worth stays open. "
            "The effect on the KPI itself is still tested."
        )
    return (
        Diagnostic(
            name="first stage",
            null="the lever moved the CPI enough to bound the effect per increment",
            statistic=f_effective,
            passed=bounded,
            advice=advice,
        ),
    )
