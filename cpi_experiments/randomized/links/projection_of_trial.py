"""From a trial that is read and a history that is fitted to the projected link."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

from cpi_experiments.errors import DataError
from cpi_experiments.estimate import Diagnostic, EffectPair, Estimate, Status
from cpi_experiments.randomized.cases import Cases, complete
from cpi_experiments.randomized.effects.itt import (
    adjusted_by,
    cluster_diagnostics,
    effect_estimate,
    few_digits,
    itt_estimate,
    method_of,
)
from cpi_experiments.randomized.links.link import LinkEffect
from cpi_experiments.randomized.links.link_of_trial import assemble_link
from cpi_experiments.randomized.links.projected_link import CameTrue, ProjectedLink, gap_diagnostic
from cpi_experiments.randomized.links.projection_tables import Early, History, Roles, table_notes
from cpi_experiments.stats.arm_means import ArmMeans, means_of_cells
from cpi_experiments.stats.surrogate_checks import mean_square_gap
from cpi_experiments.stats.surrogate_index import ProjectedEffect, projected_effect
from cpi_experiments.wording.projection import only_the_cpi
from cpi_experiments.wording.results import step_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.trial import Trial
    from cpi_experiments.stats.surrogate_index import SurrogateModel

Array = np.ndarray


def came_true(kpi: str, projected: ProjectedLink, measured: LinkEffect | EffectPair) -> CameTrue:
    """Set an earlier projection beside what was measured.

    The two share the trial's noise in the surrogates, so that the variance of their difference is what the measured
    effect has beyond it, plus the error of the projection's model.

    Raises
    ------
    DataError
        If the two are not of this KPI, or have no variance.
    """
    if not isinstance(projected, ProjectedLink) or not isinstance(measured, LinkEffect | EffectPair):
        raise DataError(
            f"matured holds {type(projected).__name__} and {type(measured).__name__}",
            advice="Give pairs of (project_link's result, link_effect's result or its pair).",
        )
    names = [projected.estimate.outcome, *([measured.estimate.outcome] if isinstance(measured, LinkEffect) else [])]
    other = [name for name in names if name != kpi]
    if other:
        raise DataError(f"a matured projection is of {other[0]!r}, not of {kpi!r}", advice="Give those of this KPI.")
    real = measured.pair if isinstance(measured, LinkEffect) else measured
    variance = max(real.var_kpi - projected.var_trial, 0.0) + projected.var_model
    if not variance > 0 or not math.isfinite(variance):
        raise DataError("a matured projection has no variance", advice="Leave estimates that failed out.")
    return CameTrue(
        projected=projected.reduced_form.value, measured=real.effect_kpi, std_error=math.sqrt(variance)
    )  # fmt: skip


def projected_link(  # noqa: PLR0913 - what was read, and what was asked for
    trial: Trial,
    early: Early,
    past: History,
    roles: Roles,
    *,
    came_true: tuple[CameTrue, ...],
    increment: float,
    matures: str,
    confidence_level: float,
) -> ProjectedLink:
    """Estimate a projected link: complete cases, one adjustment of CPI and surrogates, index, model error, AR set."""
    names, k = roles.outcomes, len(roles.outcomes)
    cases = complete(trial, 1, [*names, *roles.covariates])
    found = adjusted_by(cases.cells, k, roles.covariates)
    cells = found.cells.take(range(k))
    places = [names.index(name) for name in roles.surrogates]
    slope = np.zeros((2 + k, k))
    slope[0, 0], slope[1, places], slope[2:] = 1.0, past.model.slopes, np.eye(k)
    cells = cells.mapped(slope, np.zeros(2 + k), origin=slope @ cells.origin)
    means = means_of_cells(cells)
    gaps = np.array([each.measured - each.projected for each in came_true])
    errors = np.array([each.std_error**2 for each in came_true])
    effect = _effect(past.model, means, places, gap=mean_square_gap(gaps, errors) if came_true else 0.0, gaps=len(gaps))
    checks = (*_matured_note(gaps, errors), *table_notes(roles, early, past), *_only_cpi(roles))
    notes = (*trial.diagnostics, *cluster_diagnostics(means), *found.diagnostics, *few_digits(cases), *checks)
    stages = [
        itt_estimate(
            means,
            cause=str(trial.labels[1]),
            outcome=name,
            cases=cases,
            usable=cells.varies(2 + j),
            method=method_of(cases, adjusted=found.used),
            j=2 + j,
            diagnostics=notes,
            confidence_level=confidence_level,
        )
        for j, name in enumerate(names)
    ]
    cases = replace(cases, dropped=(*cases.dropped, *past.dropped))
    reduced = _reduced(effect, stages[0], cases, roles, confidence_level)
    still = stages[0].status is Status.FAILED and abs(effect.x) <= 1e-13 * cells.size(0)
    pair = _pair(effect, failed=reduced.status is Status.FAILED or still).scaled(increment)
    link = assemble_link(
        stages[0], reduced, pair=pair, increment=increment, step=step_words(roles.cpi, increment),
        integrity=trial.integrity,
    )  # fmt: skip
    return ProjectedLink(
        first_stage=link.first_stage,
        reduced_form=link.reduced_form,
        estimate=link.estimate,
        ar_set=link.ar_set,
        f_effective=link.f_effective,
        breakdown=link.breakdown,
        integrity=link.integrity,
        pair=link.pair,
        step=link.step,
        surrogates=roles.surrogates,
        matures=matures,
        model=past.model,
        effects=tuple(stages[place] for place in places),
        var_trial=effect.var_trial,
        var_model=effect.var_model,
        var_gap=effect.var_gap,
        outside=past.model.outside(early.surrogates),
        late=past.late,
        came_true=came_true,
        shares=past.shares,
        unit="" if means.crossed else trial.names["cluster"],
    )


def _effect(model: SurrogateModel, means: ArmMeans, places: Sequence[int], *, gap: float, gaps: int) -> ProjectedEffect:
    at = [0, *(2 + place for place in places)]
    df = means.df(1)
    return projected_effect(
        model, means.effect[at], means.omega[np.ix_(at, at)], df=model.df if math.isnan(df) else df, gap=gap, gaps=gaps
    )


def _reduced(effect: ProjectedEffect, first: Estimate, cases: Cases, roles: Roles, level: float) -> Estimate:
    return effect_estimate(
        effect.y,
        math.sqrt(effect.var_y),
        effect.df,
        cause=first.cause,
        outcome=roles.kpi,
        n_obs=first.n_obs,
        n_clusters=first.n_clusters,
        dropped=cases.dropped,
        method=f"projected by {', '.join(roles.surrogates)} (surrogate index, model error by delta); {first.method}",
        diagnostics=first.diagnostics,
        confidence_level=level,
    )


def _pair(effect: ProjectedEffect, *, failed: bool) -> EffectPair:
    return EffectPair(
        effect_cpi=effect.x,
        effect_kpi=effect.y,
        var_cpi=math.nan if failed else effect.var_x,
        var_kpi=math.nan if failed else effect.var_y,
        cov=math.nan if failed else effect.cov,
        df=math.nan if failed else effect.df,
    )


def _matured_note(gaps: Array, variances: Array) -> tuple[Diagnostic, ...]:
    if not len(gaps):
        return ()
    statistic = float(np.sum(np.square(gaps) / variances))
    return (gap_diagnostic(statistic, float(chdtrc(len(gaps), statistic)), len(gaps)),)


def _only_cpi(roles: Roles) -> tuple[Diagnostic, ...]:
    if roles.surrogates != (roles.cpi,):
        return ()
    null = "more than the CPI itself projects the KPI"
    advice = only_the_cpi(cpi=roles.cpi, kpi=roles.kpi)
    return (Diagnostic(name="surrogates", null=null, passed=False, advice=advice),)
