"""The cells of one trial, gathered and checked once: how many in which arm, cluster and stratum, and their moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.arms import Label, arms_of, column_name, encode, joint_codes, names_of, read_label
from cpi_experiments.randomized.integrity.sample_ratio import sample_ratio, several_arms
from cpi_experiments.randomized.trial_moments import UnitCounts, labels_of, moments_of_trial
from cpi_experiments.stats.moments import Moments

if TYPE_CHECKING:
    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.effects.outcomes import Cap, Pair

Array = np.ndarray
MOST_SEGMENTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Cells of a trial: rows that share arm, cluster, strata and what is missing, or single rows.

    Parameters
    ----------
    moments : Moments
        Of outcomes and covariates.
    arm : int array, shape (g,)
        0 = control, 1.. = treatments, -1 = missing.
    labels : tuple
        Control first, then the treatments as they were labelled.
    cluster, strata : int array, shape (g,), or None
        Codes; -1 where missing.
    names : mapping of role to column
        For messages: ``arm``, ``cluster``, ``strata``.
    integrity : Diagnostic
        The sample ratio.
    diagnostics : tuple of Diagnostic
        What else was checked on reading.
    several : bool array, shape (g,)
        Cells of units seen in several arms.
    segments : mapping of column to (codes, labels)
        Codes have shape (g,), -1 where missing.
    caps : mapping of column to float
        Columns whose larger values were set to this.
    layouts : dict
        What `cpi_experiments.randomized.cases` found before: outcomes without missing values share it.
    """

    moments: Moments
    arm: Array
    labels: tuple[Label, ...]
    cluster: Array | None
    strata: Array | None
    names: Mapping[str, str]
    integrity: Diagnostic
    diagnostics: tuple[Diagnostic, ...]
    several: Array
    segments: Mapping[str, tuple[Array, tuple[Label, ...]]] = field(default_factory=dict)
    caps: Mapping[str, float] = field(default_factory=dict)
    layouts: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)


def read_trial(  # noqa: PLR0913 - the roles of columns, each named
    data: Data | Moments,
    *,
    numbers: Sequence[str],
    arm: str,
    control: Label,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    unit: str | None = None,
    allocation: Mapping[Any, float] | None = None,
    pairs: Sequence[Pair] = (),
    segments: Sequence[str] = (),
    caps: Mapping[str, Cap] | None = None,
) -> Trial:
    """Take the moments of a trial in one scan and check that they describe one.

    Parameters
    ----------
    data : table of any kind, or Moments
        One row per unit, or the moments of such rows.
    numbers : sequence of str
        Outcome and covariate columns.
    arm, control
        Column of the arm, and the label of the arm that keeps today's way.
    cluster, strata, unit : str, optional
        Column of the randomised group, of the strata, and of the unit (to find units in several arms).
    allocation : mapping of label to weight, optional
        Intended shares; equal by default.
    pairs : sequence of (column, column)
        Products that the estimates need.
    segments : sequence of str
        Columns whose labels split the units, measured before the assignment.
    caps : mapping of column to number or percentile, optional
        Larger values are set to it.

    Raises
    ------
    DataError
        If the arms do not describe an experiment, or a column cannot be used.
    """
    for name in (arm, *numbers, *(each for each in (cluster, unit) if each is not None)):
        column_name(name)
    if arm in numbers:
        raise DataError(
            f"column {arm!r} is the arm and cannot be an outcome or a covariate too", advice="Name each column once."
        )
    strata_names = names_of(strata)
    for name in (*([cluster] if cluster else []), *strata_names, *segments):
        if name in numbers:
            raise DataError(
                f"column {name!r} groups the rows and cannot be an outcome or a covariate too",
                advice="Name each column once.",
            )
    if arm in segments:
        raise DataError(f"column {arm!r} is the arm and cannot be a segment too", advice="Name each column once.")
    by = [*([cluster] if cluster else []), *strata_names, *segments]
    gathered = moments_of_trial(data, list(dict.fromkeys(numbers)), arm=arm, by=by, pairs=pairs, unit=unit, caps=caps)
    moments = gathered.moments
    code, labels = arms_of(labels_of(moments, arm), arm=arm, control=control, allocation=allocation)
    clusters = encode(labels_of(moments, cluster))[0] if cluster else None
    several, diagnostics = _units(moments, gathered.counts, code, unit, events=unit == cluster)
    sizes, counted = _randomised(moments.n, code, clusters, several, arms=len(labels))
    return Trial(
        moments=moments,
        arm=code,
        labels=labels,
        cluster=clusters,
        strata=joint_codes([encode(labels_of(moments, name))[0] for name in strata_names]),
        names={"arm": arm, "cluster": cluster or "", "strata": ", ".join(strata_names)},
        integrity=sample_ratio(
            dict(zip(map(str, labels), sizes, strict=True)), _weights(labels, allocation), units=counted
        ),
        diagnostics=diagnostics,
        several=several,
        segments={name: _segments(moments, name) for name in segments},
        caps=gathered.caps,
    )


def pooled(trial: Trial, arms: Sequence[int], label: Label) -> Trial:
    """Take several arms as one treatment, with code 1; the other treatments are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"arm": ["a", "b", "c", "d"], "won": [0, 1, 1, 0]})
    >>> pooled(read_trial(rows, numbers=["won"], arm="arm", control="a"), [1, 2], "any").arm.tolist()
    [0, 1, 1, 2]
    """
    code = np.where(np.isin(trial.arm, arms), 1, np.where(trial.arm > 0, 2, trial.arm))
    return replace(trial, arm=code, labels=(trial.labels[0], label), layouts={})


def in_segment(trial: Trial, name: str, code: int) -> Trial:
    """Keep the cells of one segment."""
    kept = trial.segments[name][0] == code
    return replace(
        trial,
        moments=trial.moments.take(kept),
        arm=trial.arm[kept],
        cluster=None if trial.cluster is None else trial.cluster[kept],
        strata=None if trial.strata is None else trial.strata[kept],
        several=trial.several[kept],
        segments={},
        layouts={},
    )


def check_covariates(covariates: Sequence[str], outcomes: Sequence[str]) -> None:
    """Refuse to adjust an outcome by itself.

    Raises
    ------
    DataError
        If a covariate is also an outcome.
    """
    both = [name for name in covariates if name in outcomes]
    if both:
        raise DataError(
            f"column {both[0]!r} is both an outcome and a covariate",
            advice="A covariate is measured before the assignment; an outcome after it.",
        )


def check_two_arms(trial: Trial) -> None:
    """Refuse several treatments where one is needed.

    Raises
    ------
    DataError
        If there is more than one treatment arm.
    """
    if len(trial.labels) > 2:
        raise DataError(
            f"{len(trial.labels) - 1} treatment arms: {', '.join(map(repr, trial.labels[1:]))}",
            where=f"column {trial.names['arm']!r}",
            advice="This needs one treatment and one control; select the rows of one treatment.",
        )


def check_level(confidence_level: float) -> None:
    """Refuse confidence levels that are not shares.

    Raises
    ------
    DesignError
        If the level is not between 0 and 1.
    """
    known = isinstance(confidence_level, int | float | np.number)
    if not known or not 0 < confidence_level < 1:
        given = f"{confidence_level:g}" if known else repr(confidence_level)
        raise DesignError(f"confidence level {given} is not between 0 and 1", advice="Did you mean 0.95?")


def check_seed(seed: object, reps: object = None) -> None:
    """Refuse seeds and numbers of repetitions that are not whole numbers.

    Raises
    ------
    DesignError
        If the seed is below zero or one of them is no whole number.
    """
    for what, value, least in (("seed", seed, 0), ("reps", 1 if reps is None else reps, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise DesignError(f"{what} {value!r} is not a whole number from {least} on", advice="Such as 1999.")


def _weights(labels: tuple[Label, ...], allocation: Mapping[Any, float] | None) -> dict[str, float]:
    if allocation is None:
        return {str(label): 1.0 for label in labels}
    missing = [label for label in allocation if label not in labels]
    if missing:
        raise DataError(
            f"arm {missing[0]!r} of the allocation has no rows", advice=f"Found: {', '.join(map(repr, labels))}."
        )
    return {str(label): float(allocation[label]) for label in labels}


def _segments(moments: Moments, name: str) -> tuple[Array, tuple[Label, ...]]:
    codes, labels = encode(labels_of(moments, name))
    if len(labels) > MOST_SEGMENTS:
        raise DataError(f"column {name!r} has {len(labels):,} different values", advice="Is it really a segment?")
    order = sorted(range(len(labels)), key=lambda at: (isinstance(labels[at], str), labels[at]))
    place = np.empty(len(labels) + 1, dtype=np.intp)
    place[order], place[-1] = np.arange(len(labels)), -1
    return place[codes], tuple(read_label(labels[at]) for at in order)


def _units(
    moments: Moments, counts: UnitCounts | None, arm: Array, unit: str | None, *, events: bool
) -> tuple[Array, tuple[Diagnostic, ...]]:
    """Mark the cells of units in several arms, and say how many there are."""
    several = np.zeros(len(arm), dtype=bool)
    if not unit:
        return several, ()
    if counts is None:
        codes, found = encode(labels_of(moments, unit))
        counts, several = _count_in_arms(codes, len(found), arm, moments.n)
    if not counts.units:
        raise DataError(f"column {unit!r} holds no unit at all", advice="Name the column of the randomised unit.")
    if counts.repeated and not events:
        raise DataError(
            f"{counts.repeated:,} units have more than one row",
            where=f"column {unit!r}",
            advice="Give one row per unit (aggregate first), or name the unit as `cluster` too if rows are events.",
        )
    return several, (several_arms(counts.several, counts.units),)


def _count_in_arms(unit: Array, units: int, arm: Array, n: Array) -> tuple[UnitCounts, Array]:
    known = (unit >= 0) & (arm >= 0)
    width = int(arm.max(initial=0)) + 1
    pairs = np.unique(unit[known].astype(np.int64) * width + arm[known])
    arms_of = np.bincount(pairs // width, minlength=units)
    rows = np.bincount(unit[known], weights=n[known], minlength=units)
    several = np.zeros(len(unit), dtype=bool)
    several[unit >= 0] = arms_of[unit[unit >= 0]] > 1
    repeated = int(np.sum((rows > 1) & (arms_of == 1)))
    return UnitCounts(units=units, several=int(np.sum(arms_of > 1)), repeated=repeated), several


def _randomised(n: Array, arm: Array, cluster: Array | None, several: Array, *, arms: int) -> tuple[list[int], str]:
    """Size of every arm in randomised units: clusters where they lie in one arm each, else rows."""
    known = (arm >= 0) & ~several
    if cluster is not None:
        both = known & (cluster >= 0)
        seen = np.zeros((int(cluster.max(initial=0)) + 1, arms), dtype=bool)
        seen[cluster[both], arm[both]] = True
        if seen.sum(axis=1).max(initial=0) <= 1:
            return seen.sum(axis=0).tolist(), "clusters"
    return [int(each) for each in np.bincount(arm[known], weights=n[known], minlength=arms)], "units"
