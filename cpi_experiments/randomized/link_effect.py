"""Random assignment as the instrument for the CPI: the KPI effect per customer-valued increment, with its AR set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.estimate import Diagnostic, EffectPair, Estimand, Estimate, Status
from cpi_experiments.randomized.arms import Label, names_of
from cpi_experiments.randomized.cases import complete, only_zero_and_one
from cpi_experiments.randomized.itt import adjusted_by, cluster_diagnostics, few_digits, itt_estimate, method_of
from cpi_experiments.randomized.link import Intervals, LinkEffect, LinkEffects
from cpi_experiments.randomized.outcomes import Pair, all_pairs
from cpi_experiments.randomized.trial import (
    Trial,
    check_covariates,
    check_level,
    check_two_arms,
    read_trial,
)
from cpi_experiments.stats.arm_means import ArmMeans, means_of_cells
from cpi_experiments.stats.fieller import breakdown, delta_std_error, fieller_set, hull
from cpi_experiments.stats.student import quantile
from cpi_experiments.wording.results import step_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.stats.cells import Cells
    from cpi_experiments.stats.moments import Moments


def link_effect(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    data: Data | Moments,
    *,
    cpi: str | Sequence[str],
    kpi: str | Sequence[str],
    arm: str,
    control: Label,
    increment: float | Mapping[str, float] = 1.0,
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
    data : DataFrame, path of Parquet or CSV files, DuckDB relation, Spark DataFrame, warehouse table, or Moments
        One row per unit. Of `Moments` (see `cpi_experiments.measure.moments.gather.gather`) no row is touched.
    cpi, kpi : str, or sequence of str
        Columns of the CPI and the KPI. Either may be a list: the result then holds one effect per pair, all of them
        from one scan.
    arm, control
        Column of the arm and label of the control; exactly one other arm.
    increment : float, or mapping of CPI to float
        Raw CPI units of one customer-valued step, signed: negative means that lower is better (``-1`` on hours
        reads "each hour faster").
    covariates, cluster, strata, allocation, unit
        As in `compare`; CPI and KPI are adjusted by the same covariates.
    confidence_level : float

    Returns
    -------
    LinkEffect, or LinkEffects if ``cpi`` or ``kpi`` is a list
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

    The same from moments, gathered once for any number of estimates:

    >>> from cpi_experiments.measure.moments.gather import gather
    >>> moments = gather(df, ["quote_hours", "won"], by=["variant"])
    >>> link_effect(moments, cpi="quote_hours", kpi="won", arm="variant", control="manual", increment=-1).sentence
    'Each hour faster adds 2.5 points to won (95% set 0.2 to 4.6).'
    """
    check_level(confidence_level)
    cpis, kpis, adjusters = names_of(cpi), names_of(kpi), names_of(covariates)
    steps = _steps(increment, cpis)
    _check_roles(cpis, kpis, adjusters)
    links = [(cause, outcome) for cause in cpis for outcome in kpis]
    trial = read_trial(
        data, numbers=[*cpis, *kpis, *adjusters], arm=arm, control=control, cluster=cluster, strata=strata, unit=unit,
        allocation=allocation, pairs=link_pairs(links, adjusters, clustered=cluster is not None),
    )  # fmt: skip
    check_two_arms(trial)
    effects = tuple(
        link_of(
            trial,
            cpi=cause,
            kpi=outcome,
            covariates=adjusters,
            increment=steps[cause],
            step=step_words(cause, steps[cause]),
            confidence_level=confidence_level,
        )
        for cause, outcome in links
    )
    return effects[0] if isinstance(kpi, str) and isinstance(cpi, str) else LinkEffects(effects=effects)


def _steps(increment: float | Mapping[str, float], cpis: Sequence[str]) -> dict[str, float]:
    """Give every CPI its increment.

    Raises
    ------
    DesignError
        If one has none, or it is no step.
    """
    steps = increment if isinstance(increment, Mapping) else dict.fromkeys(cpis, increment)
    for name in cpis:
        if name not in steps:
            raise DesignError(f"CPI {name!r} has no increment", advice=f"Given: {', '.join(steps)}.")
        if not (math.isfinite(steps[name]) and steps[name] != 0):
            raise DesignError(
                f"increment {steps[name]} is not a step", advice="Give raw CPI units, negative if lower is better."
            )
    return dict(steps)


def _check_roles(cpis: Sequence[str], kpis: Sequence[str], covariates: Sequence[str]) -> None:
    """Refuse columns in two roles, and links without an end.

    Raises
    ------
    DataError
        Naming the column, or the role that is empty.
    """
    if not cpis:
        raise DataError("no CPI is named", advice='Give a column, such as cpi="quote_hours".')
    if not kpis:
        raise DataError("no KPI is named", advice='Give a column, such as kpi="won".')
    both = [name for name in cpis if name in kpis]
    if both:
        raise DataError(f"column {both[0]!r} is both CPI and KPI", advice="A link runs from one column to another.")
    check_covariates(covariates, [*cpis, *kpis])


def link_pairs(links: Iterable[tuple[str, str]], covariates: Sequence[str], *, clustered: bool) -> list[Pair]:
    """List the products that links (cpi, kpi) need together: the KPI's square tells whether it is a yes/no column."""
    links = list(links)
    pairs = all_pairs(links, covariates, clustered=clustered)
    return list(dict.fromkeys([*pairs, *((kpi, kpi) for _, kpi in links)]))


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
    columns = [cpi, kpi, *covariates]
    cases = complete(trial, 1, columns)
    found = adjusted_by(cases.cells, 2, covariates)
    means = means_of_cells(found.cells)
    notes = (*trial.diagnostics, *cluster_diagnostics(means), *found.diagnostics, *few_digits(cases))
    stages = [
        itt_estimate(
            means,
            cause=str(trial.labels[1]),
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
    return replace(link, shares=only_zero_and_one(trial, 1, columns, kpi))


def _link(
    trial: Trial, cells: Cells, means: ArmMeans, stages: list[Estimate], *, increment: float, step: str
) -> LinkEffect:
    first, reduced = stages
    sharp = means.omega[0, 0] == 0 or first.status is Status.FAILED  # the CPI does not vary within the arms
    still = sharp and abs(first.value) <= 1e-13 * cells.size(2)
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
