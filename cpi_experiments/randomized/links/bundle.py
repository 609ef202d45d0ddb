"""Several CPIs moved by one lever: which else moved, and what can be said of each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.estimate import Diagnostic, Estimand, Estimate, Status
from cpi_experiments.randomized.arms import Label, names_of
from cpi_experiments.randomized.cases import only_zero_and_one
from cpi_experiments.randomized.effects.outcomes import Pair, all_pairs
from cpi_experiments.randomized.links.also_moved import effect_of_arm
from cpi_experiments.randomized.links.bundle_link import BundleEffect
from cpi_experiments.randomized.links.link_of_arms import effects_of_arms, merged_arms
from cpi_experiments.randomized.trial import check_covariates, check_level, read_trial
from cpi_experiments.stats.instruments.bundle_score import (
    BundleEffects,
    bundle_misfit,
    bundle_strength,
    bundle_two_stage,
    projected_set,
)
from cpi_experiments.stats.instruments.fieller import hull
from cpi_experiments.wording.results import step_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.trial import Trial
    from cpi_experiments.stats.instruments.shared_control import SharedControl
    from cpi_experiments.stats.moments import Moments


def bundle_effect(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    data: Data | Moments,
    *,
    cpis: Sequence[str],
    kpi: str,
    arm: str,
    control: Label,
    increment: float | Mapping[str, float] = 1.0,
    covariates: str | Sequence[str] | None = None,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    allocation: Mapping[Any, float] | None = None,
    confidence_level: float = 0.95,
    unit: str | None = None,
) -> BundleEffect:
    """Estimate what several CPIs that a lever moves together do to a KPI.

    With at least as many treatment arms as CPIs, each CPI's effect with the others held fixed is two-stage least
    squares with the arms as instruments, its set the projected Anderson-Rubin set. With fewer arms the data cannot
    tell the CPIs apart: the effect of the lever on the KPI is credited to all of them together.

    Parameters
    ----------
    data : table of any kind, or Moments
        One row per unit.
    cpis : sequence of str
        Two or more columns.
    kpi : str
    arm, control, covariates, cluster, strata, allocation, unit
        As in `cpi_experiments.randomized.links.link_effect.link_effect`.
    increment : float, or mapping of CPI to float
        Raw CPI units of one increment.
    confidence_level : float

    Returns
    -------
    BundleEffect

    Raises
    ------
    DataError
        If fewer than two CPIs are named, or columns or arms cannot be used.
    DesignError
        If an increment is missing or 0.
    EstimationError
        If variances cannot be estimated, or the arms move the CPIs in the same proportion.

    References
    ----------
    Angrist, Pischke (2009), Mostly Harmless Econometrics, section 4.6; Dufour, Taamouti (2005), Econometrica 73.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> arm = np.repeat(["today", "fast", "choice"], 400)
    >>> hours = rng.gamma(4, 2, 1200) - 3 * (arm == "fast") - 1 * (arm == "choice")
    >>> options = rng.poisson(3, 1200) + 2 * (arm == "choice")
    >>> value = 10 - 0.5 * hours + rng.normal(size=1200)
    >>> df = pd.DataFrame({"arm": arm, "hours": hours, "options": options, "value": value})
    >>> both = bundle_effect(df, cpis=["hours", "options"], kpi="value", arm="arm", control="today",
    ...                      increment={"hours": -1, "options": 1})
    >>> [(e.cause, round(e.value, 2), round(e.ci_low, 2), round(e.ci_high, 2)) for e in both.effects]
    [('hours', 0.48, 0.42, 0.55), ('options', 0.03, -0.04, 0.1)]
    """
    names, adjusters = list(dict.fromkeys(names_of(cpis))), names_of(covariates)
    if len(names) < 2:
        raise DataError(f"{len(names)} CPI is named", advice="A bundle has two or more; one CPI is for link_effect.")
    if kpi in names:
        raise DataError(f"column {kpi!r} is both CPI and KPI", advice="A link runs from one column to another.")
    check_level(confidence_level)
    check_covariates(adjusters, [*names, kpi])
    columns = [*names, kpi, *adjusters]
    trial = read_trial(
        data, numbers=columns, arm=arm, control=control, cluster=cluster, strata=strata, unit=unit,
        allocation=allocation, pairs=bundle_pairs(names, kpi, adjusters, clustered=cluster is not None),
    )  # fmt: skip
    steps = steps_of(increment, names)
    return bundle_of(trial, cpis=names, kpi=kpi, covariates=adjusters, steps=steps, confidence_level=confidence_level)


def steps_of(increment: float | Mapping[str, float], cpis: Sequence[str]) -> dict[str, float]:
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
        given: object = steps[name]
        number = isinstance(given, Real) and not isinstance(given, bool)
        if not number or not math.isfinite(steps[name]) or steps[name] == 0:
            raise DesignError(
                f"increment {given!r} is not a step", advice="Give raw CPI units, negative if lower is better."
            )
    return dict(steps)


def bundle_pairs(cpis: Sequence[str], kpi: str, covariates: Sequence[str], *, clustered: bool) -> list[Pair]:
    """List the products that a bundle needs."""
    return list(dict.fromkeys([*all_pairs([[*cpis, kpi]], covariates, clustered=clustered), (kpi, kpi)]))


def bundle_of(
    trial: Trial,
    *,
    cpis: Sequence[str],
    kpi: str,
    covariates: Sequence[str],
    steps: Mapping[str, float],
    confidence_level: float = 0.95,
) -> BundleEffect:
    """Estimate a bundle from a trial that is read; see `bundle_effect`."""
    columns = [*cpis, kpi, *covariates]
    by_outcome = [
        tuple(
            effect_of_arm(
                trial, j, name=name, columns=columns, covariates=covariates, confidence_level=confidence_level
            )
            for j in range(1, len(trial.labels))
        )
        for name in (*cpis, kpi)
    ]
    credit, moved = by_outcome[-1], tuple(e for row in by_outcome[:-1] for e in row)
    agreement = _agreement(math.nan, math.nan)
    effects: tuple[Estimate, ...] = ()
    strength = math.nan
    if len(credit) >= len(cpis) and all(e.status is not Status.FAILED for e in (*credit, *moved)):
        many = effects_of_arms(trial, [*cpis, kpi], covariates)
        joint = _joint(many.found, [steps[name] for name in cpis])
        model = replace(
            credit[0], n_obs=many.found.n_obs, n_clusters=many.merged.n_clusters, dropped=many.merged.dropped
        )
        effects = _effects(joint, model, cpis, steps, level=confidence_level)
        strength = bundle_strength(joint)
        agreement = _agreement(*bundle_misfit(joint))
    return BundleEffect(
        effects=effects,
        strength=strength,
        credit=credit,
        moved=moved,
        agreement=agreement,
        integrity=trial.integrity,
        steps=tuple(step_words(name, steps[name]) for name in cpis),
        shares=only_zero_and_one(merged_arms(trial), 1, columns, kpi),
    )


def _joint(found: SharedControl, units: Sequence[float]) -> BundleEffects:
    """Effects of all arms on all CPIs, in increments, and on the KPI."""
    m = len(units)
    scale = np.array([*(1 / unit for unit in units), 1.0])
    return BundleEffects(
        first=(found.effects[:, :m] * scale[:m]).T,
        reduced=found.effects[:, m],
        omega=found.omega * scale[:, None, None, None] * scale[None, None, :, None],
        weights=found.weights,
        df=float(found.df[m]),
    )


def _effects(
    joint: BundleEffects, model: Estimate, cpis: Sequence[str], steps: Mapping[str, float], *, level: float
) -> tuple[Estimate, ...]:
    theta, covariance = bundle_two_stage(joint)
    found = []
    for j, name in enumerate(cpis):
        sets = projected_set(joint, j, confidence_level=level) if len(cpis) == 2 else ()
        low, high = hull(sets)
        bounded = len(sets) == 1 and all(math.isfinite(end) for end in sets[0])
        error = math.sqrt(max(float(covariance[j, j]), 0.0))
        found.append(
            Estimate(
                cause=name,
                outcome=model.outcome,
                estimand=Estimand.LATE,
                value=float(theta[j]),
                std_error=error,
                ci_low=low,
                ci_high=high,
                confidence_set=sets,
                confidence_level=level,
                p_value=math.nan,
                unit=f"{model.outcome} per {steps[name]:+g} {name}",
                n_obs=model.n_obs,
                n_clusters=model.n_clusters,
                df=joint.df,
                dropped=model.dropped,
                method=f"two-stage least squares of {len(cpis)} CPIs with {len(joint.reduced)} arms; {model.method}",
                diagnostics=model.diagnostics,
                status=Status.OK if bounded else Status.WEAK,
            )
        )
    return tuple(found)


def _agreement(statistic: float, p_value: float) -> Diagnostic:
    passed = not p_value < 0.10
    return Diagnostic(
        name="arms agree",
        null="one set of effects fits every arm",
        statistic=statistic,
        p_value=p_value,
        passed=passed,
        advice="" if passed else "The arms do not fit one set of effects: read them one by one.",
    )
