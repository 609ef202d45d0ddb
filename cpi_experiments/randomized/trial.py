"""The rows of one trial, read and checked once: who was in which arm, cluster and stratum, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.measure.engine import numeric, read_columns
from cpi_experiments.randomized.integrity import sample_ratio, several_arms

if TYPE_CHECKING:
    from cpi_experiments.measure.engine import Data

Array = np.ndarray
Label = str | int | float | bool
_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Rows of a trial.

    Parameters
    ----------
    numbers : mapping of column to float array
        Outcomes and covariates; NaN where missing.
    arm : int array
        0 = control, 1.. = treatments, -1 = missing.
    labels : tuple
        Control first, then the treatments as they were labelled.
    cluster, strata : int array or None
        Codes; -1 where missing.
    names : mapping of role to column
        For messages: ``arm``, ``cluster``, ``strata``.
    integrity : Diagnostic
        The sample ratio.
    diagnostics : tuple of Diagnostic
        What else was checked on reading.
    several : bool array
        Rows of units seen in several arms.
    """

    numbers: Mapping[str, Array]
    arm: Array
    labels: tuple[Label, ...]
    cluster: Array | None
    strata: Array | None
    names: Mapping[str, str]
    integrity: Diagnostic
    diagnostics: tuple[Diagnostic, ...]
    several: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """Complete cases of a control and one treatment.

    Parameters
    ----------
    columns : mapping of column to float array, shape (n,)
    treated : bool array, shape (n,)
    cluster, strata : int array or None
        Codes 0, 1, ... without gaps.
    dropped : tuple of (reason, rows)
    """

    columns: Mapping[str, Array]
    treated: Array
    cluster: Array | None
    strata: Array | None
    dropped: tuple[tuple[str, int], ...]


def read_trial(  # noqa: PLR0913 - the roles of columns, each named
    data: Data,
    *,
    numbers: Sequence[str],
    arm: str,
    control: Label,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    unit: str | None = None,
    allocation: Mapping[Any, float] | None = None,
) -> Trial:
    """Read the columns of a trial and check that they describe one.

    Parameters
    ----------
    data : DataFrame, path of a Parquet or CSV file, or DuckDB relation
        One row per unit.
    numbers : sequence of str
        Outcome and covariate columns.
    arm, control
        Column of the arm, and the label of the arm that keeps today's way.
    cluster, strata, unit : str, optional
        Column of the randomised group, of the strata, and of the unit (to find units in several arms).
    allocation : mapping of label to weight, optional
        Intended shares; equal by default.

    Raises
    ------
    DataError
        If the arms do not describe an experiment, or a column cannot be used.
    """
    if arm in numbers:
        raise DataError(
            f"column {arm!r} is the arm and cannot be an outcome or a covariate too", advice="Name each column once."
        )
    strata_names = names_of(strata)
    keys = [arm, *([cluster] if cluster else []), *strata_names, *([unit] if unit else [])]
    table = read_columns(data, list(dict.fromkeys([*numbers, *keys])))
    code, labels = _arms(table[arm], arm=arm, control=control, allocation=allocation)
    clusters = encode(table[cluster])[0] if cluster else None
    several = np.zeros(len(code), dtype=bool)
    if unit:
        several = _in_several_arms(table[unit], code, unit, events=unit == cluster)
    counts_of, counted = _randomised(code, clusters, several)
    counts = {str(label): int(np.sum(counts_of == j)) for j, label in enumerate(labels)}
    diagnostics = (several_arms(_distinct(table[unit][several]), _distinct(table[unit])),) if unit else ()
    return Trial(
        numbers={name: numeric(table, name) for name in dict.fromkeys(numbers)},
        arm=code,
        labels=labels,
        cluster=clusters,
        strata=_joint([encode(table[name])[0] for name in strata_names]),
        names={"arm": arm, "cluster": cluster or "", "strata": ", ".join(strata_names)},
        integrity=sample_ratio(counts, _weights(labels, allocation), units=counted),
        diagnostics=diagnostics,
        several=several,
    )


def complete(trial: Trial, treatment: int, columns: Sequence[str]) -> Cases:
    """Take the control and one treatment, keep rows with every column, count the rest by reason.

    Raises
    ------
    DataError
        If nothing is left, or a cluster lies in several strata.
    """
    mine = (trial.arm == 0) | (trial.arm == treatment)
    keep = mine | (trial.arm < 0)
    dropped: list[tuple[str, int]] = []
    checks = [
        (f"without {trial.names['arm']}", trial.arm < 0),
        ("in several arms", trial.several),
        *((f"without {name}", np.isnan(trial.numbers[name])) for name in dict.fromkeys(columns)),
        *((f"without {trial.names[role]}", codes < 0) for role, codes in _groups(trial)),
    ]
    for reason, missing in checks:
        lost = int(np.sum(keep & missing))
        if lost:
            dropped.append((reason, lost))
            keep &= ~missing
    if not keep.any():
        lost_text = "; ".join(f"{count:,} {reason}" for reason, count in dropped)
        raise DataError("no complete row is left", advice=f"Rows not used: {lost_text}.")
    cluster = None if trial.cluster is None else np.unique(trial.cluster[keep], return_inverse=True)[1]
    strata = None if trial.strata is None else np.unique(trial.strata[keep], return_inverse=True)[1]
    if (
        cluster is not None
        and strata is not None
        and len(np.unique(cluster * (strata.max() + 1) + strata)) > (cluster.max() + 1)
    ):
        raise DataError(
            f"some clusters ({trial.names['cluster']}) lie in several strata ({trial.names['strata']})",
            advice="Stratify on something that is the same for a whole cluster.",
        )
    return Cases(
        columns={name: trial.numbers[name][keep] for name in dict.fromkeys(columns)},
        treated=trial.arm[keep] == treatment,
        cluster=cluster,
        strata=strata,
        dropped=tuple(dropped),
    )


def encode(values: Array) -> tuple[Array, list[Any]]:
    """Give distinct values the codes 0, 1, ...; missing is -1.

    Examples
    --------
    >>> encode(np.array(["b", None, "a", "b"], dtype=object))
    (array([ 0, -1,  1,  0]), ['b', 'a'])
    """
    if values.dtype != object:
        missing = values != values  # noqa: PLR0124 - true for NaN and NaT only
        distinct, codes = np.unique(values, return_inverse=True)
        return np.where(missing, -1, codes), distinct[~(distinct != distinct)].tolist()  # noqa: PLR0124
    seen: dict[Any, int] = {}
    codes = np.fromiter(
        (-1 if value is None or value != value else seen.setdefault(value, len(seen)) for value in values),  # noqa: PLR0124
        dtype=np.intp,
        count=len(values),
    )
    return codes, list(seen)


def names_of(columns: str | Sequence[str] | None) -> list[str]:
    """Read one name, several or none as a list.

    Examples
    --------
    >>> names_of("won"), names_of(None)
    (['won'], [])
    """
    return [columns] if isinstance(columns, str) else list(columns or ())


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
    if not 0 < confidence_level < 1:
        raise DesignError(f"confidence level {confidence_level:g} is not between 0 and 1", advice="Did you mean 0.95?")


def _groups(trial: Trial) -> list[tuple[str, Array]]:
    pairs = (("cluster", trial.cluster), ("strata", trial.strata))
    return [(role, codes) for role, codes in pairs if codes is not None]


def _arms(
    values: Array, *, arm: str, control: Label, allocation: Mapping[Any, float] | None
) -> tuple[Array, tuple[Label, ...]]:
    codes, found = encode(values)
    found = [_label(label) for label in found]
    if control not in found:  # a command line knows text only
        control = next((label for label in found if str(label) == control), control)
    shown = ", ".join(repr(label) for label in found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    if control not in found:
        raise DataError(
            f"control {control!r} is not an arm in column {arm!r}", advice=f"Found: {shown or 'no arm at all'}."
        )
    if len(found) < 2:
        raise DataError(
            f"needs at least two arms; found {shown} only", where=f"column {arm!r}", advice="Look at the row filter."
        )
    if allocation is not None:
        for label in found:
            if label not in allocation:
                raise DataError(
                    f"arm {label!r} is not in the allocation {dict(allocation)}",
                    where=f"column {arm!r}",
                    advice="Every arm in the data must be in the plan: correct the label, or drop these rows.",
                )
    if len(found) > 50:
        raise DataError(f"column {arm!r} has {len(found)} different values", advice="Is it really the arm?")
    first = found.index(control)
    others = sorted((label for j, label in enumerate(found) if j != first), key=str)
    order = {first: 0} | {found.index(label): j + 1 for j, label in enumerate(others)}
    lookup = np.array([order[j] for j in range(len(found))] + [-1], dtype=np.intp)
    return lookup[codes], (control, *others)


def _label(value: Any) -> Label:  # noqa: ANN401 - whatever the column held
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value  # type: ignore[no-any-return]


def _weights(labels: tuple[Label, ...], allocation: Mapping[Any, float] | None) -> dict[str, float]:
    if allocation is None:
        return {str(label): 1.0 for label in labels}
    if not all(weight > 0 for weight in allocation.values()):
        raise DesignError(f"allocation {dict(allocation)} holds a share that is not above zero")
    missing = [label for label in allocation if label not in labels]
    if missing:
        raise DataError(
            f"arm {missing[0]!r} of the allocation has no rows", advice=f"Found: {', '.join(map(repr, labels))}."
        )
    return {str(label): float(allocation[label]) for label in labels}


def _in_several_arms(units: Array, arm: Array, unit: str, *, events: bool) -> Array:
    codes, found = encode(units)
    if not found:
        raise DataError(f"column {unit!r} holds no unit at all", advice="Name the column of the randomised unit.")
    known = (codes >= 0) & (arm >= 0)
    pairs = np.unique(codes[known].astype(np.int64) * (arm.max() + 1) + arm[known])
    arms_of = np.bincount(pairs // (arm.max() + 1), minlength=len(found))
    several = np.where(codes >= 0, arms_of[codes] > 1, False)  # noqa: FBT003 - a fill value
    rows = np.bincount(codes[known], minlength=len(found))
    repeated = int(np.sum((rows > 1) & (arms_of == 1)))
    if repeated and not events:
        raise DataError(
            f"{repeated:,} units have more than one row",
            where=f"column {unit!r}",
            advice="Give one row per unit (aggregate first), or name the unit as `cluster` too if rows are events.",
        )
    return several


def _randomised(arm: Array, cluster: Array | None, several: Array) -> tuple[Array, str]:
    """Arm of every randomised unit: the cluster where clusters lie in one arm each, else the row."""
    known = (arm >= 0) & ~several
    if cluster is None:
        return arm[known], "units"
    both = known & (cluster >= 0)
    pairs = np.unique(cluster[both].astype(np.int64) * (arm.max() + 1) + arm[both])
    if len(pairs) > len(np.unique(cluster[both])):
        return arm[known], "units"
    return pairs % (arm.max() + 1), "clusters"


def _joint(codes: Sequence[Array]) -> Array | None:
    if not codes:
        return None
    joint, missing = np.zeros(len(codes[0]), dtype=np.int64), np.zeros(len(codes[0]), dtype=bool)
    for part in codes:
        joint = joint * (part.max() + 2) + part
        missing |= part < 0
    return np.where(missing, -1, np.unique(joint, return_inverse=True)[1])


def _distinct(values: Array) -> int:
    return len(encode(values)[1])
