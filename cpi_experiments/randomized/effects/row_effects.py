"""The effect of being assigned where sums do not answer: quantiles, ranks, and inference by resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from cpi_experiments.display import Displayed, Row
from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.estimate import Diagnostic, Estimand, Estimate, Status
from cpi_experiments.randomized.caps import cut_of
from cpi_experiments.randomized.effects.comparison import LEAST_BASE
from cpi_experiments.randomized.effects.outcomes import Mean, Ratio
from cpi_experiments.randomized.effects.row_case import (
    REPS,
    Asked,
    Found,
    Inference,
    RowCase,
    counted,
    resampling_diagnostic,
    t_test,
    what_is_said,
)
from cpi_experiments.randomized.effects.row_means import mean_effect
from cpi_experiments.randomized.effects.row_outcomes import Quantile, Rank
from cpi_experiments.stats.quantile_effect import COARSE, QuantileEffect, quantile_effect
from cpi_experiments.stats.rank_test import superiority, superiority_test
from cpi_experiments.stats.resampling.quantile_bootstrap import quantile_bootstrap_test
from cpi_experiments.stats.student import ALTERNATIVES, satterthwaite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.effects.outcomes import AnyOutcome
    from cpi_experiments.randomized.rows import Lost, Rows

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class RowEffect(Displayed):
    """Effect of one arm on one outcome from rows, absolute and relative to the control.

    Parameters
    ----------
    estimate : Estimate
        ITT. Of a `Rank` it is the probability of superiority less one half.
    control_value, treatment_value : float
        Value of each arm, unadjusted: mean, ratio, quantile; for a `Rank` the chance of exceeding the other arm.
    rel_effect, rel_ci_low, rel_ci_high : float
        Effect over the control's value, with the interval of the ratio less one; NaN where the control is not above
        zero by two of its own standard errors, or the method has no interval of a ratio (ranks, permutation, wild
        bootstrap, bootstrap with covariates).
    n_control, n_treatment : int
    """

    estimate: Estimate
    control_value: float
    treatment_value: float
    rel_effect: float
    rel_ci_low: float
    rel_ci_high: float
    n_control: int
    n_treatment: int

    def _title(self) -> str:
        return self.estimate._title()  # noqa: SLF001 - a title of the same family

    def _rows(self) -> list[Row]:
        e = self.estimate
        return [
            {
                "outcome": e.outcome,
                "arm": e.cause,
                "effect": e.value,
                "std_error": e.std_error,
                "ci_low": e.ci_low,
                "ci_high": e.ci_high,
                "p_value": e.p_value,
                "rel_effect": self.rel_effect,
                "rel_ci_low": self.rel_ci_low,
                "rel_ci_high": self.rel_ci_high,
                "control_value": self.control_value,
                "treatment_value": self.treatment_value,
                "n_control": self.n_control,
                "n_treatment": self.n_treatment,
                "method": e.method,
                "status": e.status.value,
            }
        ]


def row_effect(  # noqa: PLR0913 - a door: every argument after the outcome is named by the caller
    rows: Rows,
    treatment: int,
    outcome: AnyOutcome,
    *,
    covariates: Sequence[str] = (),
    inference: Inference = "formula",
    confidence_level: float = 0.95,
    alternative: str = "two-sided",
    reps: int | None = None,
    seed: int = 0,
) -> RowEffect:
    """Estimate the effect of one arm on one outcome from the rows of a trial (estimand: ITT).

    Parameters
    ----------
    rows : Rows
        Of `cpi_experiments.randomized.rows.read_rows`, with the outcome's columns and the covariates among its numbers.
        Clusters and strata are used where it has them.
    treatment : int
        Code of the arm: 1 is the first treatment.
    outcome : Quantile, Rank, Mean or Ratio
    covariates : sequence of column names
        For `Mean` and `Ratio` (CUPED; coefficients are those of the sample).
    inference : {"formula", "bootstrap", "permutation", "wild"}
        ``formula``: order statistics for a `Quantile`, placements for a `Rank`. ``bootstrap``: studentised for means
        and ratios, percentile for quantiles. ``permutation``: arms are drawn again (means, ratios); for few clusters.
        ``wild``: signs of clusters' residuals under the null (means and ratios with clusters).
    confidence_level : float
    alternative : {"two-sided", "greater", "less"}
    reps : int, optional
        Resamples; 1,999 by default. Assignments are all counted where they are at most 20,000.
    seed : int
        The same seed gives the same numbers.

    Returns
    -------
    RowEffect

    Raises
    ------
    DesignError
        If the outcome has no such inference, or an argument is out of range.
    DataError
        If no row is complete, or values are infinite.
    EstimationError
        If an arm has too few units, clusters or rows for the quantile.

    Notes
    -----
    Rows with a missing outcome, covariate, cluster or stratum are left out and counted. Where nothing varies the
    estimate has status ``failed`` and no p-value.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.randomized.effects.outcomes import Mean
    >>> from cpi_experiments.randomized.rows import read_rows
    >>> hours = [*range(1, 101), *range(11, 111)]
    >>> trial = read_rows(pd.DataFrame({"arm": ["a"] * 100 + ["b"] * 100, "hours": hours}), numbers=["hours"],
    ...                   arm="arm", control="a")
    >>> found = row_effect(trial, 1, Quantile("hours", 0.5))
    >>> found.estimate.value, found.control_value, round(found.estimate.p_value, 3)
    (10.0, 50.5, 0.165)
    >>> round(row_effect(trial, 1, Mean("hours"), inference="permutation").estimate.p_value, 2)
    0.02
    """
    asked = _asked(inference, confidence_level, alternative, REPS if reps is None else reps, seed)
    if not 1 <= treatment < len(rows.labels):
        raise DesignError(f"there is no arm with code {treatment}", advice=f"Codes: 1 to {len(rows.labels) - 1}.")
    case, lost = _complete(rows, treatment, outcome, covariates)
    if isinstance(outcome, Quantile | Rank):
        _check_inference(outcome, covariates, asked)
        found = _quantile(case, outcome, asked) if isinstance(outcome, Quantile) else _rank(case, outcome, asked)
    else:
        found = mean_effect(case, outcome, covariates, asked)
    return _filled(found, cause=str(rows.labels[treatment]), outcome=outcome, asked=asked, lost=lost)


def _asked(inference: Inference, confidence_level: float, alternative: str, reps: int, seed: int) -> Asked:
    if inference not in get_args(Inference):
        raise DesignError(f"inference {inference!r} is not known", advice=f"Known: {', '.join(get_args(Inference))}.")
    if not 0 < confidence_level < 1:
        raise DesignError(f"confidence level {confidence_level} is not between 0 and 1")
    if alternative not in ALTERNATIVES:
        raise DesignError(f"alternative {alternative!r} is not known", advice=f"Known: {', '.join(ALTERNATIVES)}.")
    return Asked(inference=inference, confidence_level=confidence_level, alternative=alternative, reps=reps, seed=seed)


def _check_inference(outcome: Quantile | Rank, covariates: Sequence[str], asked: Asked) -> None:
    known = ("formula", "bootstrap") if isinstance(outcome, Quantile) else ("formula",)
    if asked.inference not in known:
        raise DesignError(
            f"{outcome.name!r} has no inference by {asked.inference}",
            advice=f"Known for it: {', '.join(known)}. For few clusters compare a mean by permutation.",
        )
    if covariates:
        raise DesignError(
            f"{outcome.name!r} is not adjusted by covariates",
            advice="Leave them out, or give a coarse covariate as strata.",
        )


def _complete(
    rows: Rows, treatment: int, outcome: AnyOutcome, covariates: Sequence[str]
) -> tuple[RowCase, tuple[Lost, ...]]:
    names = list(dict.fromkeys([*outcome.columns, *covariates]))
    for name in names:
        if name not in rows.values:
            raise DataError(f"column {name!r} was not read", advice=f"Read: {', '.join(rows.values)}.")
    cap = outcome.cap if isinstance(outcome, Mean | Ratio) else None
    top = outcome.columns[0]
    cut = None if cap is None else cut_of(rows.values[top], cap, column=top, among=rows.arm >= 0)
    keep, lost = rows.complete(names, arms=[0, treatment])
    keep &= np.isin(rows.arm, [0, treatment])
    values = {name: rows.values[name][keep] for name in names}
    for name in names:
        if not np.all(np.isfinite(values[name])):
            raise DataError(
                "some values are not finite", where=f"column {name!r}", advice="Set them to missing, or cap."
            )
    if cut is not None:
        values[top] = np.minimum(values[top], cut)
    case = RowCase(
        values=values,
        treated=rows.arm[keep] == treatment,
        strata=None if rows.strata is None else rows.strata[keep],
        clusters=None if rows.cluster is None else rows.cluster[keep],
    )
    return case, lost


# -- quantiles and ranks ---------------------------------------------------------------------------------------------


def _quantile(case: RowCase, outcome: Quantile, asked: Asked) -> Found:
    values = case.values[outcome.column]
    formula = quantile_effect(values, case.treated, outcome.at, strata=case.strata, clusters=case.clusters)
    std_error = math.sqrt(formula.variance) if formula.usable else math.nan
    notes = (*what_is_said(formula.means, asked), *_coarse(formula))
    low = high = p = math.nan
    ratio, how = (math.nan, math.nan), "percentile bootstrap" if asked.inference == "bootstrap" else "order statistics"
    if asked.inference == "bootstrap" and formula.usable:
        found = quantile_bootstrap_test(
            values, case.treated, outcome.at, rng=asked.rng(), reps=asked.reps, strata=case.strata,
            clusters=case.clusters, confidence_level=asked.confidence_level, alternative=asked.alternative,
        )  # fmt: skip
        low, high, p, ratio = found.ci_low, found.ci_high, found.p_value, (found.ratio_low, found.ratio_high)
        notes, how = (*notes, resampling_diagnostic(found, asked, "resamples")), f"{how}, {counted(found, 'resamples')}"
    elif formula.usable:
        low, high, p = t_test(formula.effect, std_error, formula.df, asked)
        ratio = _log_ratio(formula, asked)
    return Found(
        value=formula.effect, std_error=std_error, df=formula.df, ci_low=low, ci_high=high, p_value=p,
        rel_low=ratio[0], rel_high=ratio[1], control=formula.control, treatment=formula.treatment, means=formula.means,
        control_error=math.sqrt(max(float(formula.cov[0, 0]), 0.0)) if formula.usable else math.nan,
        method=f"difference of quantile {outcome.at:g}, {how}" + _places(case), diagnostics=notes,
        usable=formula.usable,
    )  # fmt: skip


def _places(case: RowCase) -> str:
    strata = ", weighted to strata" if case.strata is not None else ""
    return strata + (", by clusters" if case.clusters is not None else "")


def _coarse(found: QuantileEffect) -> tuple[Diagnostic, ...]:
    if found.distinct >= COARSE or not found.usable:
        return ()
    advice = (
        f"Only {found.distinct} different values lie around the quantile: the outcome is too coarse for an exact "
        "interval. Compare the share above a threshold, the mean, or ranks."
    )
    null = f"at least {COARSE} different values around the quantile"
    return (Diagnostic(name="ties", null=null, statistic=float(found.distinct), passed=False, advice=advice),)


def _log_ratio(found: QuantileEffect, asked: Asked) -> tuple[float, float]:
    """Interval of treatment over control by the delta method on the log."""
    if not (found.control > 0 and found.treatment > 0):
        return math.nan, math.nan
    slope = np.array([-1 / found.control, 1 / found.treatment])
    parts = slope**2 * np.diag(found.cov)
    df = found.df if found.means.crossed else satterthwaite(parts, found.df_arms)
    std_error = math.sqrt(float(slope @ found.cov @ slope))
    low, high, _ = t_test(math.log(found.treatment / found.control), std_error, df, asked)
    return math.exp(low), math.exp(min(high, 700.0)) if high < 700 else math.inf


def _rank(case: RowCase, outcome: Rank, asked: Asked) -> Found:
    found = superiority(case.values[outcome.column], case.treated, strata=case.strata, clusters=case.clusters)
    usable = not math.isnan(found.std_error)
    low = high = p = math.nan
    if usable:
        low, high, p = superiority_test(found, confidence_level=asked.confidence_level, alternative=asked.alternative)
    return Found(
        value=found.probability - 0.5, std_error=found.std_error, df=found.df, ci_low=low, ci_high=high, p_value=p,
        control=1 - found.probability, treatment=found.probability, means=found.means, usable=usable,
        method="probability of superiority less 1/2, placements (Brunner-Munzel), log odds" + _places(case),
        diagnostics=what_is_said(found.means, asked),
    )  # fmt: skip


# -- filling ---------------------------------------------------------------------------------------------------------


def _filled(found: Found, *, cause: str, outcome: AnyOutcome, asked: Asked, lost: tuple[Lost, ...]) -> RowEffect:
    means, usable = found.means, found.usable
    diagnostics = found.diagnostics
    if not usable:
        null = "the outcome varies within the arms"
        advice = "Nothing varies where the effect is measured, so that no test exists. Look at how the outcome is made."
        diagnostics = (*diagnostics, Diagnostic(name="variance", null=null, passed=False, advice=advice, blocks=True))
    low, high, p = (each if usable else math.nan for each in (found.ci_low, found.ci_high, found.p_value))
    estimate = Estimate(
        cause=cause,
        outcome=outcome.name,
        estimand=Estimand.ITT,
        value=found.value,
        std_error=found.std_error if usable else math.nan,
        ci_low=low,
        ci_high=high,
        confidence_set=((low, high),) if usable else (),
        p_value=p,
        unit=outcome.name,
        n_obs=means.n_control + means.n_treatment,
        n_clusters=means.clusters_control + means.clusters_treatment,
        df=found.df,
        dropped=lost,
        method=found.method,
        diagnostics=diagnostics,
        confidence_level=asked.confidence_level,
        status=Status.OK if usable else Status.FAILED,
    )
    shares = found.control > 0 and not found.control < LEAST_BASE * found.control_error
    relative = found.value / found.control if shares and not isinstance(outcome, Rank) else math.nan
    return RowEffect(
        estimate=estimate,
        control_value=found.control,
        treatment_value=found.treatment,
        rel_effect=relative,
        rel_ci_low=found.rel_low - 1 if usable and shares else math.nan,
        rel_ci_high=found.rel_high - 1 if usable and shares else math.nan,
        n_control=means.n_control,
        n_treatment=means.n_treatment,
    )
