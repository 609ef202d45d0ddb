"""Effects that need the rows: quantiles, ranks, and inference by resampling; read once for all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.randomized.effects.comparison import ArmEffect
from cpi_experiments.randomized.effects.decisions import judge_margin, judge_rank_margin
from cpi_experiments.randomized.effects.row_effects import row_effect
from cpi_experiments.randomized.effects.row_outcomes import Rank
from cpi_experiments.randomized.rows import rows_of_one_arm
from cpi_experiments.stats.moments import Moments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.arms import Label
    from cpi_experiments.randomized.effects.arm_effects import Inference, Plan
    from cpi_experiments.randomized.effects.outcomes import AnyOutcome
    from cpi_experiments.randomized.effects.segments import Group
    from cpi_experiments.randomized.rows import Rows, TrialRows

Array = np.ndarray


def rows_of_trial(  # noqa: PLR0913 - the roles of columns, each named
    data: Data | Moments,
    outcomes: Sequence[AnyOutcome],
    *,
    covariates: Sequence[str],
    arm: str,
    control: Label,
    cluster: str | None,
    strata: str | Sequence[str] | None,
    allocation: Mapping[Any, float] | None,
    unit: str | None,
) -> TrialRows:
    """Read the rows that some outcomes need, and leave out units that are in several arms.

    Raises
    ------
    DataError
        If data are moments, or a column cannot be used.
    """
    if isinstance(data, Moments):
        raise DataError(
            f"{outcomes[0].name!r} needs rows, and moments hold none",
            advice="Give the table that the moments come from; means and ratios by formula need no rows.",
        )
    numbers = [*(name for outcome in outcomes for name in outcome.columns), *covariates]
    return rows_of_one_arm(
        data, numbers=numbers, arm=arm, control=control, cluster=cluster, strata=strata, allocation=allocation,
        unit=unit,
    )  # fmt: skip


def _pooled(rows: Rows, group: Group) -> tuple[Rows, int]:
    """Take the arms of a group as one treatment with a code of its own."""
    label, codes = group
    if len(codes) == 1:
        return rows, codes[0]
    code = len(rows.labels)
    return replace(rows, arm=np.where(np.isin(rows.arm, codes), code, rows.arm), labels=(*rows.labels, label)), code


def effect_of_rows(
    outcome: AnyOutcome,
    source: TrialRows,
    group: Group,
    plan: Plan,
    *,
    inference: Inference,
    reps: int | None,
    seed: int,
) -> ArmEffect:
    """Estimate the effect of one treatment on one outcome from rows.

    Raises
    ------
    DataError, EstimationError, DesignError
        If the rows, the outcome and the inference do not fit each other.
    """
    rows, treatment = _pooled(source.rows, group)
    found = row_effect(
        rows,
        treatment,
        outcome,
        covariates=plan.covariates,
        inference=inference,
        confidence_level=plan.confidence_level,
        alternative=plan.alternative,
        reps=reps,
        seed=seed,
    )
    estimate = replace(found.estimate, dropped=(*source.dropped, *found.estimate.dropped))
    names = str(group[0]), str(rows.labels[0])
    registered = plan.margins.get(outcome.name, ())
    if isinstance(outcome, Rank):
        margins = tuple(judge_rank_margin(each, estimate, names) for each in registered)
    else:
        margins = tuple(judge_margin(each, estimate, names, None) for each in registered)
    return ArmEffect(
        estimate=estimate,
        arm=group[0],
        control=rows.labels[0],
        rel_effect=found.rel_effect,
        rel_ci_low=found.rel_ci_low,
        rel_ci_high=found.rel_ci_high,
        control_mean=found.control_value,
        treatment_mean=found.treatment_value,
        n_control=found.n_control,
        n_treatment=found.n_treatment,
        margins=margins,
    )
