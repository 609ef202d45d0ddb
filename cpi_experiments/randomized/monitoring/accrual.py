"""Units as they came: the moments of a trial by arm and time, gathered in one scan and cut off at any look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.randomized.arms import Label, arms_of, encode, joint_codes
from cpi_experiments.randomized.integrity.sample_ratio import sample_ratio
from cpi_experiments.randomized.trial import Trial
from cpi_experiments.randomized.trial_moments import labels_of, moments_of_trial

if TYPE_CHECKING:
    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.effects.outcomes import Pair
    from cpi_experiments.stats.moments import Moments

Array = np.ndarray
_LOOK = "look"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column plays which role in a running trial.

    Parameters
    ----------
    arm, control, time
    cluster : str or None
    strata : tuple of str
    allocation : mapping of arm to weight, or None
        Intended shares; equal if None.
    """

    arm: str
    control: Label
    time: str
    cluster: str | None = None
    strata: tuple[str, ...] = ()
    allocation: Mapping[Any, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accrual:
    """Moments of a trial by arm and time.

    Parameters
    ----------
    trial : Trial
        Its cells are by arm, time, cluster and strata; rows without a time are not in them.
    columns : Columns
    order : int array, shape (cells,)
        Place of a cell's time in ``times``.
    times : tuple
        Labels of the times in order, T of them.
    weights : array, shape (arms,)
        Intended shares, sum 1.
    counts : int array, shape (T, arms)
        Randomised units that came at each time: clusters at their first row, where they lie in one arm each.
    without_time : int
        Rows left out because they have no time.
    repeated : int
        Clusters with rows at several times; 0 where clusters span the arms.
    unfinished : bool
        More rows of the same clusters may come: they did before, or there is but one time to tell by.
    """

    trial: Trial
    columns: Columns
    order: Array
    times: tuple[Any, ...]
    weights: Array
    counts: Array
    without_time: int
    repeated: int = 0
    unfinished: bool = False

    @property
    def total(self) -> Array:
        """Units that had come by each time, shape (T,)."""
        return np.asarray(self.counts.sum(axis=1).cumsum())

    def until(self, place: int) -> Trial:
        """Return the trial as it stood at a time."""
        chosen, whole = self.order <= place, self.trial
        return replace(
            whole,
            moments=whole.moments.take(chosen),
            arm=whole.arm[chosen],
            cluster=None if whole.cluster is None else whole.cluster[chosen],
            strata=None if whole.strata is None else whole.strata[chosen],
            several=whole.several[chosen],
            layouts={},
        )

    def at_looks(self, places: Sequence[int]) -> Accrual:
        """Keep some times as looks and add up the cells between them: a look then costs little."""
        ends = np.asarray(places, dtype=np.intp)
        look = np.searchsorted(ends, self.order, side="left")
        kept = look < len(ends)
        moments = self.trial.moments.take(kept)
        chosen = self.columns
        keys = [chosen.arm, *([chosen.cluster] if chosen.cluster else []), *chosen.strata]
        moments = replace(moments, keys={**{name: moments.key(name) for name in keys}, _LOOK: look[kept]})
        moments = moments.roll_up([*keys, _LOOK])
        counts = np.diff(np.vstack([np.zeros((1, len(self.weights))), self.counts.cumsum(axis=0)[ends]]), axis=0)
        return replace(
            self,
            trial=_trial(moments, chosen)[0],
            order=moments.key(_LOOK),
            times=tuple(self.times[place] for place in places),
            counts=counts.astype(np.int64),
        )


def accrue(
    data: Data | Moments,
    columns: Columns,
    *,
    numbers: Sequence[str],
    pairs: Sequence[Pair],
    caps: Mapping[str, float] | None = None,
) -> Accrual:
    """Gather the moments of a trial by arm and time, in one scan; of `Moments` no row is touched.

    Parameters
    ----------
    data : table of any kind, or Moments with the time among their keys
    columns : Columns
    numbers : sequence of str
        Outcomes, guardrails and covariates.
    pairs : sequence of (column, column)
        Products that the estimates need.
    caps : mapping of column to number, optional

    Raises
    ------
    DataError
        If a column cannot be used, no row has a time, or times have no order.
    """
    roles = [columns.arm, columns.time, *([columns.cluster] if columns.cluster else []), *columns.strata]
    for name in roles:
        if name in numbers or roles.count(name) > 1:
            raise DataError(f"column {name!r} is named for two roles", advice="Name each column once.")
    moments = moments_of_trial(
        data, list(dict.fromkeys(numbers)), arm=columns.arm, by=roles[1:], pairs=pairs, unit=None, caps=caps
    ).moments
    order, times = _ordered(labels_of(moments, columns.time), columns.time)
    without = int(moments.n[order < 0].sum())
    moments, order = moments.take(order >= 0), order[order >= 0]
    trial, weights = _trial(moments, columns)
    repeated = _repeated(trial, order, len(times))
    return Accrual(
        trial=trial,
        columns=replace(columns, allocation=dict(zip(trial.labels, weights.tolist(), strict=True))),
        order=order,
        times=times,
        weights=weights,
        counts=_counts(trial, order, shape=(len(times), len(weights))),
        without_time=without,
        repeated=repeated or 0,
        unfinished=repeated is not None and (repeated > 0 or len(times) == 1),
    )


def _trial(moments: Moments, columns: Columns) -> tuple[Trial, Array]:
    """Read moments as a trial, and the intended shares of its arms."""
    code, labels = arms_of(
        labels_of(moments, columns.arm), arm=columns.arm, control=columns.control, allocation=columns.allocation
    )
    planned = columns.allocation or dict.fromkeys(labels, 1.0)
    weights = np.array([float(planned[label]) for label in labels])
    if len(planned) != len(labels) or not np.all(weights > 0):
        raise DesignError(f"allocation {dict(planned)} is not one share above zero for each arm that is found")
    sizes = np.bincount(code[code >= 0], weights=moments.n[code >= 0], minlength=len(labels)).astype(int).tolist()
    names = list(map(str, labels))
    trial = Trial(
        moments=moments,
        arm=code,
        labels=labels,
        cluster=encode(labels_of(moments, columns.cluster))[0] if columns.cluster else None,
        strata=joint_codes([encode(labels_of(moments, name))[0] for name in columns.strata]),
        names={"arm": columns.arm, "cluster": columns.cluster or "", "strata": ", ".join(columns.strata)},
        integrity=sample_ratio(
            dict(zip(names, sizes, strict=True)), dict(zip(names, weights.tolist(), strict=True)), units="rows"
        ),
        diagnostics=(),
        several=np.zeros(len(code), dtype=bool),
    )
    return trial, weights / weights.sum()


def _ordered(values: Array, column: str) -> tuple[Array, tuple[Any, ...]]:
    """Give times their places in order; -1 where missing."""
    codes, found = encode(values.astype("datetime64[us]") if values.dtype.kind == "M" else values)
    if not found:
        raise DataError("no row has a time", where=f"column {column!r}", advice="Name when each outcome was known.")
    keys = [_moment(text, column) for text in found] if isinstance(found[0], str) else list(found)
    try:
        ranked = sorted(range(len(found)), key=keys.__getitem__)
    except TypeError as error:
        raise DataError(
            "times are of several kinds and have no order", where=f"column {column!r}", advice="Use dates, or numbers."
        ) from error
    place = np.empty(len(found) + 1, dtype=np.intp)
    place[ranked], place[-1] = np.arange(len(found)), -1
    return place[codes], tuple(found[at] for at in ranked)


def _moment(text: Any, column: str) -> datetime:  # noqa: ANN401 - a label of any kind may stand among texts
    """Read a date, a time or an ISO week.

    Raises
    ------
    DataError
        If the text is none: texts sort by letters, not by time.
    """
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise DataError(
            f"{text!r} is not a date that can be put in order",
            where=f"column {column!r}",
            advice="Write times as 2026-04-10 or 2026-04-10T08:00, or give dates or numbers.",
        ) from None


def _whole_clusters(trial: Trial) -> Array | None:
    """Mark the cells with arm and cluster if clusters were randomised: every one lies in one arm."""
    if trial.cluster is None:
        return None
    both = np.asarray((trial.arm >= 0) & (trial.cluster >= 0))
    pairs = np.unique(trial.cluster[both] * len(trial.labels) + trial.arm[both])
    return both if len(pairs) == len(np.unique(trial.cluster[both])) else None


def _repeated(trial: Trial, order: Array, times: int) -> int | None:
    """Count the clusters that have rows at several times; None where clusters are not what was randomised."""
    both = _whole_clusters(trial)
    if both is None or trial.cluster is None:
        return None
    seen = np.unique(trial.cluster[both] * times + order[both])
    return int(np.sum(np.bincount(seen // times) > 1))


def _counts(trial: Trial, order: Array, *, shape: tuple[int, int]) -> Array:
    code, group, n = trial.arm, trial.cluster, trial.moments.n
    both = _whole_clusters(trial)
    if both is not None and group is not None:
        first = np.full(int(group.max(initial=-1)) + 1, shape[0])
        np.minimum.at(first, group[both], order[both])
        arm = np.zeros(len(first), dtype=np.intp)
        arm[group[both]] = code[both]
        seen = first < shape[0]
        return _table(first[seen], arm[seen], np.ones(int(seen.sum())), shape)
    known = code >= 0
    return _table(order[known], code[known], n[known], shape)


def _table(row: Array, column: Array, n: Array, shape: tuple[int, int]) -> Array:
    flat = np.bincount(row * shape[1] + column, weights=n, minlength=shape[0] * shape[1])
    return np.asarray(flat.reshape(shape), dtype=np.int64)


def shown(label: Any) -> str:  # noqa: ANN401 - dates, numbers and text
    """Write a time in few characters.

    Examples
    --------
    >>> shown(datetime(2026, 4, 10)), shown(datetime(2026, 4, 10, 8, 30)), shown(3.0)
    ('2026-04-10', '2026-04-10 08:30', '3')
    """
    if isinstance(label, datetime):
        label = label.isoformat(sep=" ", timespec="minutes").removesuffix(" 00:00")
    if isinstance(label, float):
        return f"{label:g}"
    return str(label)
