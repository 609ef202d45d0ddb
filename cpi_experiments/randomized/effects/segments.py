"""Effects within segments, and whether they differ: one scan, one test of equality an outcome and arm."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import CpiError, DataError
from cpi_experiments.estimate import Status
from cpi_experiments.randomized.effects.arm_effects import Plan, effect_of_arm
from cpi_experiments.randomized.effects.comparison import ArmEffect, SegmentDifference
from cpi_experiments.randomized.trial import Trial, in_segment, pooled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.estimate import Estimate
    from cpi_experiments.randomized.arms import Label
    from cpi_experiments.randomized.effects.outcomes import Outcome

#: A treatment of a comparison: its label, and the codes of the arms in it (several if they are pooled).
Group = tuple["Label", tuple[int, ...]]


def with_arms(trial: Trial, groups: Sequence[Group]) -> list[tuple[Trial, int]]:
    """Give every treatment the trial in which it stands, and its code there."""
    return [(trial, codes[0]) if len(codes) == 1 else (pooled(trial, codes, label), 1) for label, codes in groups]


def segment_differences(
    trial: Trial, outcomes: Sequence[Outcome], groups: Sequence[Group], plan: Plan, *, by: str
) -> list[SegmentDifference]:
    """Estimate every effect within every segment and test that it is the same in all.

    Segments in which an effect cannot be estimated are named and left out of the test; rows of no segment are counted
    in ``dropped``. Margins are for all units.

    Parameters
    ----------
    trial : Trial
        Read with ``by`` among its segments.
    outcomes, groups
        Outcomes, and treatments with the codes of their arms.
    plan : Plan
    by : str

    Raises
    ------
    DataError
        If clusters lie in several segments: their effects would not be independent.
    """
    _check_clusters(trial, by)
    plan = replace(plan, margins={})
    labels = trial.segments[by][1]
    parts = [(str(label), with_arms(in_segment(trial, by, code), groups)) for code, label in enumerate(labels)]
    lost = [_without(trial, by, codes) for _, codes in groups]
    return [
        replace(
            _difference(outcome, [(label, arms[at]) for label, arms in parts], plan, (by, group[0], trial.labels[0])),
            dropped=lost[at],
        )
        for outcome in outcomes
        for at, group in enumerate(groups)
    ]


def _difference(
    outcome: Outcome, parts: Sequence[tuple[str, tuple[Trial, int]]], plan: Plan, names: tuple[str, Label, Label]
) -> SegmentDifference:
    by, arm, control = names
    effects: list[ArmEffect] = []
    left_out: list[tuple[str, str]] = []
    for label, (trial, treatment) in parts:
        try:
            found = effect_of_arm(outcome, trial, treatment, plan)
        except CpiError as error:
            left_out.append((label, error.found))
            continue
        effects.append(replace(found, segment=f"{by} = {label}"))
    usable = [each.estimate for each in effects if each.estimate.status is not Status.FAILED]
    statistic, p_value = _equal(usable)
    return SegmentDifference(
        by=by,
        outcome=outcome.name,
        arm=arm,
        control=control,
        effects=tuple(effects),
        left_out=tuple(left_out),
        statistic=statistic,
        df=float(len(usable) - 1),
        p_value=p_value,
        confidence_level=plan.confidence_level,
    )


def _without(trial: Trial, by: str, arms: Sequence[int]) -> tuple[tuple[str, int], ...]:
    """Count the rows of the control and some treatments that are in no segment."""
    lost = np.isin(trial.arm, [0, *arms]) & (trial.segments[by][0] < 0) & ~trial.several
    return ((f"without {by}", int(trial.moments.n[lost].sum())),) if lost.any() else ()


def _equal(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Test that estimates of disjoint units are of one number; NaN for fewer than two."""
    if len(estimates) < 2:
        return math.nan, math.nan
    from cpi_experiments.stats.equal_effects import equal_effects_test  # noqa: PLC0415 - takes long

    values, errors, df = (np.array([getattr(e, name) for e in estimates]) for name in ("value", "std_error", "df"))
    return equal_effects_test(values, errors**2, df)


def _check_clusters(trial: Trial, by: str) -> None:
    if trial.cluster is None:
        return
    codes = trial.segments[by][0]
    known = (trial.cluster >= 0) & (codes >= 0)
    pairs = np.unique(np.stack([trial.cluster[known], codes[known]]), axis=1)
    several = int(np.sum(np.unique(pairs[0], return_counts=True)[1] > 1)) if pairs.size else 0
    if several:
        raise DataError(
            f"{several:,} clusters lie in several segments of {by!r}: the segments' effects are not independent",
            advice="Split by a column that is the same for a whole cluster.",
        )
