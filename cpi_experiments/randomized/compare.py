"""The plain door for comparing arms: one row per arm and outcome, integrity first."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cpi_experiments.display import WIDTH, Displayed, Row, decimals, interval, number, p_text, percent
from cpi_experiments.errors import DataError, DesignError, EstimationError
from cpi_experiments.estimate import Diagnostic, Estimate, Status
from cpi_experiments.randomized.arms import Label, names_of
from cpi_experiments.randomized.cases import Cases, complete
from cpi_experiments.randomized.itt import (
    adjusted_by,
    cluster_diagnostics,
    few_digits,
    itt_estimate,
    method_of,
    outcome_cells,
)
from cpi_experiments.randomized.outcomes import Mean, Outcome, Ratio, all_pairs, as_outcome
from cpi_experiments.randomized.trial import check_covariates, check_level, read_trial
from cpi_experiments.stats.arm_means import ArmMeans, means_of_cells
from cpi_experiments.stats.student import ALTERNATIVES
from cpi_experiments.stats.student import interval as t_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.stats.moments import Moments

Array = np.ndarray
Alternative = Literal["two-sided", "greater", "less"]
RelativeScale = Literal["log", "linear"]
#: Above it the exponential leaves the doubles: the control mean cannot be told from zero.
_LARGEST_LOG = 700.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEffect(Displayed):
    """Effect of one arm on one outcome, absolute and relative to the control.

    Parameters
    ----------
    estimate : Estimate
        Absolute effect, treatment less control, in the outcome's unit.
    arm, control : label
    rel_effect, rel_ci_low, rel_ci_high : float
        Effect over the unadjusted control mean (0.1 = +10 %); NaN where that mean is not above zero.
    control_mean, treatment_mean : float
        Unadjusted means (ratios for a `Ratio`).
    n_control, n_treatment : int
    """

    estimate: Estimate
    arm: Label
    control: Label
    rel_effect: float
    rel_ci_low: float
    rel_ci_high: float
    control_mean: float
    treatment_mean: float
    n_control: int
    n_treatment: int

    def _title(self) -> str:
        return self.estimate._title()  # noqa: SLF001 - a title of the same family

    def _rows(self) -> list[Row]:
        e = self.estimate
        return [
            {
                "outcome": e.outcome,
                "arm": self.arm,
                "control": self.control,
                "estimand": e.estimand.value,
                "effect": e.value,
                "std_error": e.std_error,
                "ci_low": e.ci_low,
                "ci_high": e.ci_high,
                "p_value": e.p_value,
                "rel_effect": self.rel_effect,
                "rel_ci_low": self.rel_ci_low,
                "rel_ci_high": self.rel_ci_high,
                "control_mean": self.control_mean,
                "treatment_mean": self.treatment_mean,
                "n_control": self.n_control,
                "n_treatment": self.n_treatment,
                "method": e.method,
                "status": e.status.value,
            }
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Displayed):
    """Effects of every arm on every outcome, with the sample ratio that has to hold first.

    Parameters
    ----------
    effects : tuple of ArmEffect
        In the order of outcomes, then arms.
    integrity : Diagnostic
        Sample ratio against the intended allocation.
    """

    effects: tuple[ArmEffect, ...]
    integrity: Diagnostic

    def __getitem__(self, key: str | tuple[str, Label]) -> ArmEffect:
        """Return the effect on an outcome (and arm, where there are several)."""
        outcome, arm = key if isinstance(key, tuple) else (key, None)
        found = [e for e in self.effects if e.estimate.outcome == outcome and arm in (None, e.arm)]
        if len(found) != 1:
            known = sorted({e.estimate.outcome for e in self.effects})
            raise DataError(f"{len(found)} effects match {key!r}", advice=f"Outcomes: {', '.join(known)}.")
        return found[0]

    def _title(self) -> str:
        lines = [str(self.integrity)]
        for effect in self.effects:
            lost = "; ".join(f"{count:,} {reason}" for reason, count in effect.estimate.dropped)
            if lost:
                lines.append(f"not used for {effect.estimate.outcome}: {lost}")
            lines += [f"{effect.estimate.outcome}: {d.advice}" for d in effect.estimate.diagnostics if not d.passed]
        return "\n".join(dict.fromkeys(lines))

    def _rows(self) -> list[Row]:
        return [row for effect in self.effects for row in effect._rows()]  # noqa: SLF001 - rows of the same family

    def _shown(self) -> list[dict[str, str]]:
        return [_shown(effect) for effect in self.effects]

    def __str__(self) -> str:
        from cpi_experiments.display import text_table  # noqa: PLC0415 - only for printing

        notes = (textwrap.fill(line, WIDTH, break_long_words=False) for line in self._title().splitlines())
        return "\n".join([text_table(self._shown()), "", *notes])


def _shown(effect: ArmEffect) -> dict[str, str]:
    e = effect.estimate
    digits = decimals(e.ci_low, e.ci_high)
    relative = percent(effect.rel_effect, 1) if not math.isnan(effect.rel_effect) else ""
    return {
        "outcome": e.outcome,
        "arm": str(effect.arm),
        "effect": number(e.value, digits, sign=True),
        f"{percent(e.confidence_level)} CI": interval(e.ci_low, e.ci_high, digits, sign=True),
        "relative": relative,
        "p": p_text(e.p_value),
        "n": f"{effect.n_control:,} + {effect.n_treatment:,}",
    }


def compare(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    data: Data | Moments,
    *,
    arm: str,
    control: Label,
    outcomes: str | Outcome | Sequence[str | Outcome],
    covariates: str | Sequence[str] | None = None,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    allocation: Mapping[Any, float] | None = None,
    alternative: Alternative = "two-sided",
    confidence_level: float = 0.95,
    unit: str | None = None,
    relative_scale: RelativeScale = "log",
) -> Comparison:
    """Compare the arms of a randomised experiment (estimand: ITT, the effect of being assigned).

    Parameters
    ----------
    data : DataFrame, path of Parquet or CSV files, DuckDB relation, Spark DataFrame, warehouse table, or Moments
        One row per unit (or per event of a unit named in ``cluster``). Of `Moments` (see
        `cpi_experiments.measure.moments.gather.gather`) no row is touched; keys that are not asked for are added up.
    arm, control
        Column of the arm, and the label of the arm that the others are compared with.
    outcomes : column names, `Mean` or `Ratio`
    covariates : str or sequence of str, optional
        Columns measured before the assignment (CUPED; one coefficient vector for all arms of a comparison).
    cluster : str, optional
        Column of the randomised group: leave-one-cluster-out jackknife (CR3), t(clusters - 2).
    strata : str or sequence of str, optional
        Arms are compared within strata and weighted by size (post-stratification).
    allocation : mapping of arm to weight, optional
        Intended shares, for the sample ratio; equal by default.
    alternative : {"two-sided", "greater", "less"}
        What the p-value and the interval are for: treatment greater (less) than control.
    confidence_level : float
    unit : str, optional
        Column of the unit; units seen in several arms are then found, counted and left out.
    relative_scale : {"log", "linear"}
        Delta-method interval of the relative effect on the log of the ratio (default) or on the ratio itself.

    Returns
    -------
    Comparison
        ``to_frame()`` has one row per arm and outcome; ``integrity`` is the sample ratio.

    Raises
    ------
    DataError
        If columns or arms cannot be used, or moments lack what this needs; it says what to gather.
    EstimationError
        If a variance cannot be estimated (an arm with one unit or one cluster).

    Notes
    -----
    Rows with a missing outcome, covariate or cluster are left out and counted; a missing outcome is not a zero.
    Assumes that units (or clusters) do not influence each other. Without variance in either arm the row has status
    ``failed`` and no p-value. Proportions use the sample variance. Everything derives from counts, sums and products
    by cell, taken in one scan; only clusters (and units, where some are in several arms) are cells of their own.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"arm": ["a", "a", "a", "b", "b", "b"], "won": [0, 0, 1, 1, 1, 0]})
    >>> compare(df, arm="arm", control="a", outcomes="won")["won"].estimate.value.__round__(4)
    0.3333

    Moments that were gathered once answer for every segment without another look at the rows:

    >>> from cpi_experiments.measure.moments.gather import gather
    >>> df = pd.concat([df.assign(segment="b2b"), df.assign(segment="b2c", won=1 - df["won"])])
    >>> moments = gather(df, ["won"], by=["arm", "segment"])
    >>> found = {label: compare(part, arm="arm", control="a", outcomes="won")
    ...          for label, part in moments.split("segment").items()}
    >>> {label: round(each["won"].estimate.value, 4) for label, each in found.items()}
    {'b2b': 0.3333, 'b2c': -0.3333}
    >>> compare(moments, arm="arm", control="a", outcomes="won")["won"].estimate.n_obs
    12
    """
    check_level(confidence_level)
    if alternative not in ALTERNATIVES:
        raise DesignError(f"alternative {alternative!r} is not known", advice=f"Known: {', '.join(ALTERNATIVES)}.")
    if relative_scale not in ("log", "linear"):
        raise DesignError(f"relative scale {relative_scale!r} is not known", advice="Known: log, linear.")
    wanted = [as_outcome(o) for o in ([outcomes] if isinstance(outcomes, str | Mean | Ratio) else outcomes)]
    if not wanted:
        raise DataError("no outcome is named", advice='Give column names, such as outcomes=["won"].')
    adjusters = names_of(covariates)
    columns = [name for outcome in wanted for name in outcome.columns]
    check_covariates(adjusters, columns)
    trial = read_trial(
        data, numbers=[*columns, *adjusters], arm=arm, control=control, cluster=cluster, strata=strata, unit=unit,
        allocation=allocation,
        pairs=all_pairs([outcome.columns for outcome in wanted], adjusters, clustered=cluster is not None),
    )  # fmt: skip
    plan = _Plan(alternative=alternative, confidence_level=confidence_level, relative_scale=relative_scale)
    effects = []
    for outcome in wanted:
        for j, label in enumerate(trial.labels[1:], start=1):
            try:
                cases = complete(trial, j, [*outcome.columns, *adjusters])
                effects.append(_effect(outcome, cases, adjusters, (trial.labels[0], label), trial.diagnostics, plan))
            except EstimationError as error:
                where = f"arm {label!r}, outcome {outcome.name!r}"
                raise EstimationError(error.found, where=where, advice=error.advice) from error
    return Comparison(effects=tuple(effects), integrity=trial.integrity)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    alternative: str
    confidence_level: float
    relative_scale: str


def _effect(
    outcome: Outcome, cases: Cases, adjusters: list[str], labels: tuple[Label, Label], checks: tuple[Diagnostic, ...],
    plan: _Plan,
) -> ArmEffect:  # fmt: skip
    found = adjusted_by(outcome_cells(outcome, cases), 1, adjusters)
    means = means_of_cells(found.cells)
    estimate = itt_estimate(
        means,
        cause=str(labels[1]),
        outcome=outcome.name,
        cases=cases,
        usable=found.cells.varies(0),
        method=method_of(cases, adjusted=found.used, ratio=isinstance(outcome, Ratio)),
        diagnostics=(*checks, *cluster_diagnostics(means), *found.diagnostics, *few_digits(cases)),
        confidence_level=plan.confidence_level,
        alternative=plan.alternative,
    )
    relative = _relative(means, plan) if estimate.status is not Status.FAILED else (math.nan,) * 3
    return ArmEffect(
        estimate=estimate,
        arm=labels[1],
        control=labels[0],
        rel_effect=relative[0],
        rel_ci_low=relative[1],
        rel_ci_high=relative[2],
        control_mean=float(means.control[1]),
        treatment_mean=float(means.treatment[1]),
        n_control=means.n_control,
        n_treatment=means.n_treatment,
    )


def _relative(means: ArmMeans, plan: _Plan) -> tuple[float, float, float]:
    """Effect over the unadjusted control mean, with a delta-method interval.

    Outcome 0 is the adjusted one, outcome 1 the raw one; the gradient runs over
    [control adjusted, control raw, treatment adjusted, treatment raw].
    """
    base, effect = float(means.control[1]), float(means.effect[0])
    moved = base + effect
    if not base > 0:
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
