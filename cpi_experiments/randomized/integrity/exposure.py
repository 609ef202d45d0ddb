"""Did units see what they were assigned: contamination, crossover, never exposed, several arms, never assigned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import p_text, percent
from cpi_experiments.errors import DataError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.measure.columns import missing
from cpi_experiments.measure.engine import read_columns
from cpi_experiments.randomized.arms import encode, read_label
from cpi_experiments.randomized.integrity.rules import (
    NEVER_ASSIGNED_REFUSED,
    NEVER_EXPOSED_WARNS,
    SEVERAL_EXPOSURES_BLOCKS,
    WARNS,
    watched,
)
from cpi_experiments.stats.counts import independence_test

if TYPE_CHECKING:
    from cpi_experiments.measure.engine import Data
    from cpi_experiments.randomized.integrity.trial_units import TrialUnits

Array = np.ndarray
_RULE = (
    "Compare by assignment (ITT); for the effect of the treatment itself use assignment as the instrument "
    "(`link_effect`). Never compare as treated."
)


def received_treatment(units: TrialUnits, column: str) -> tuple[Diagnostic, ...]:
    """Compare what units received with what they were assigned: contamination and crossover.

    Parameters
    ----------
    units : TrialUnits
    column : str
        Arm that was received, or with two arms a flag (1 = the treatment). Missing is unknown and not counted. A unit
        with several rows counts as soon as one row differs.

    Raises
    ------
    DataError
        If it holds labels that are not arms.
    """
    got = _received(units, column)
    known = (units.row_unit >= 0) & (got >= 0)
    unit = units.row_unit[known]
    differs = np.zeros(len(units.arm), dtype=bool)
    np.logical_or.at(differs, unit, got[known] != units.arm[unit])
    seen = np.zeros(len(units.arm), dtype=bool)
    seen[unit] = True
    control, treated = seen & (units.arm == 0), seen & (units.arm > 0)
    wrong = int(np.sum(differs & control)), int(np.sum(differs & treated))
    n = int(control.sum()), int(treated.sum())
    got_some = f"of {units.labels[0]} received a treatment"
    return (
        _share("contamination", "no control unit received a treatment", (wrong[0], n[0]), got_some),
        _share(
            "crossover",
            "every treated unit received its treatment",
            (wrong[1], n[1]),
            "of the treated did not receive their treatment",
        ),
    )


def _share(name: str, null: str, counts: tuple[int, int], words: str) -> Diagnostic:
    wrong, n = counts
    share = wrong / n if n else np.nan
    if not n:
        return watched(name, null=null, advice="Nothing is known about what these units received.")
    if not wrong:
        return Diagnostic(name=name, null=null, statistic=share)
    return watched(
        name, null=null, advice=f"{percent(share, 1)} {words} ({wrong:,} of {n:,}). {_RULE}", statistic=share
    )


def _received(units: TrialUnits, column: str) -> Array:
    code, names = encode(units.row_keys[column])
    labels = [read_label(name) for name in names]
    known = {str(label): j for j, label in enumerate(units.labels)}
    if len(units.labels) == 2 and set(labels) <= {0, 1} and not {str(label) for label in labels} <= set(known):
        known = {"0": 0, "1": 1, "False": 0, "True": 1}
    lost = [label for label in labels if str(label) not in known]
    if lost:
        raise DataError(
            f"column {column!r} holds {lost[0]!r}, which is no arm",
            advice=f"Arms: {', '.join(map(repr, units.labels))}; with two arms 0 and 1 do as well.",
        )
    lookup = np.array([known[str(label)] for label in labels] + [-1], dtype=np.intp)
    return np.asarray(lookup[code])


def never_exposed(units: TrialUnits, exposed: Array) -> Diagnostic:
    """Say how many units never met the treatment or its counterpart, and whether that depends on the arm.

    Parameters
    ----------
    units : TrialUnits
    exposed : bool array, shape (n,)
    """
    table = [np.bincount(units.arm[part], minlength=len(units.labels)).tolist() for part in (exposed, ~exposed)]
    statistic, p = independence_test(table)
    share = 1 - float(np.mean(exposed))
    null = "exposure is as frequent in every arm, and hardly anybody misses it"
    listed = ", ".join(
        f"{label} {percent(lost / max(seen + lost, 1), 1)}"
        for label, seen, lost in zip(units.labels, *table, strict=True)
    )
    advice = f"Never exposed: {listed}. "
    advice += (
        f"Arms differ (p {p_text(p)}): those who were exposed cannot be compared; compare all who were assigned."
        if p < WARNS
        else "Effects of being assigned are diluted by as much; compare all who were assigned all the same."
    )
    passed = p >= WARNS and share <= NEVER_EXPOSED_WARNS
    return Diagnostic(
        name="never exposed", null=null, statistic=statistic, p_value=p, passed=passed, advice="" if passed else advice
    )


def flag_of_units(units: TrialUnits, column: str) -> Array:
    """Whether a flag is set in some row of every unit; missing is not set.

    Raises
    ------
    DataError
        If the column holds anything but 0 and 1.
    """
    values = units.row_values[column]
    wrong = values[~np.isin(values, [0, 1]) & ~np.isnan(values)]
    if len(wrong):
        raise DataError(f"column {column!r} holds {wrong[0]:g}", advice="A flag is 0 or 1, false or true.")
    at = (units.row_unit >= 0) & (values == 1)
    flag = np.zeros(len(units.arm), dtype=bool)
    flag[units.row_unit[at]] = True
    return flag


def logged_exposures(units: TrialUnits, exposures: Data, *, unit: str, arm: str) -> tuple[Diagnostic, ...]:
    """Hold a log of exposures against the assignment.

    Parameters
    ----------
    units : TrialUnits
        Its keys hold the unit.
    exposures : table of any kind
        With the columns of unit and arm of the trial; one row an exposure.
    unit, arm : str

    Returns
    -------
    tuple of Diagnostic
        Exposed to several arms, exposed but never assigned, saw another arm, never exposed.

    Raises
    ------
    DataError
        If ids of units are text in one table and numbers in the other, or an arm is unknown.
    """
    table = read_columns(exposures, [unit, arm])
    ids, logged = units.row_keys[unit], table[unit]
    if (ids.dtype == object) != (logged.dtype == object):
        raise DataError(
            f"column {unit!r} is text in one table and a number in the other",
            where="exposures",
            advice="Give ids of one kind in both.",
        )
    there = ~missing(logged)
    code, names = encode(np.concatenate([ids, logged[there]]))
    in_trial, code = code[: len(ids)], code[len(ids) :]
    low, high = _lowest_and_highest(code, _arms_seen(table[arm][there], units, arm), len(names))
    exposed, assigned, own = high >= 0, np.zeros(len(names), dtype=bool), np.full(len(names), -1)
    assigned[in_trial[in_trial >= 0]] = True
    used = units.row_unit >= 0
    _refuse_strangers(~assigned & exposed, exposed)
    own[in_trial[used]] = units.arm[units.row_unit[used]]
    of_unit = np.zeros(len(units.arm), dtype=bool)
    of_unit[units.row_unit[used]] = exposed[in_trial[used]]
    return (
        _logged(
            ("exposed to several arms", "every unit saw one arm", SEVERAL_EXPOSURES_BLOCKS),
            low < high,
            exposed,
            "saw more than one arm. Look at how the assignment is stored when a customer returns.",
        ),
        _logged(
            ("exposed but never assigned", "only assigned units were exposed", np.inf),
            ~assigned,
            exposed,
            "were never assigned. Look at who can reach the treatment, and for ids that do not match.",
        ),
        _logged(
            ("saw another arm", "every exposed unit saw the arm it was assigned", np.inf),
            (own >= 0) & (low == high) & (low != own),
            exposed,
            f"saw another arm than their own. {_RULE}",
        ),
        never_exposed(units, of_unit),
    )


def _refuse_strangers(strangers: Array, exposed: Array) -> None:
    """Refuse a log most of whose units may belong to another trial."""
    count, total = int(np.sum(strangers)), int(np.sum(exposed))
    if total and count / total > NEVER_ASSIGNED_REFUSED:
        raise DataError(
            f"{count:,} of {total:,} exposed units ({percent(count / total, 1)}) were never assigned",
            where="exposures",
            advice="Look for ids that do not match, for the log of another trial, and at who can reach the treatment.",
        )


def _lowest_and_highest(code: Array, seen: Array, n: int) -> tuple[Array, Array]:
    low, high = np.full(n, np.iinfo(np.int64).max), np.full(n, -1)
    known = seen >= 0
    np.minimum.at(low, code[known], seen[known])
    np.maximum.at(high, code[known], seen[known])
    return low, high


def _arms_seen(values: Array, units: TrialUnits, column: str) -> Array:
    code, names = encode(values)
    known = {str(label): j for j, label in enumerate(units.labels)}
    labels = [str(read_label(name)) for name in names]
    lost = [label for label in labels if label not in known]
    if lost:
        raise DataError(
            f"column {column!r} holds {lost[0]!r}, which is no arm of the trial",
            where="exposures",
            advice=f"Arms: {', '.join(map(repr, units.labels))}.",
        )
    return np.asarray(np.array([known[label] for label in labels] + [-1], dtype=np.intp)[code])


def _logged(rule: tuple[str, str, float], wrong: Array, exposed: Array, words: str) -> Diagnostic:
    name, null, blocks_above = rule
    n, found = int(exposed.sum()), int(np.sum(wrong & exposed))
    share = found / n if n else 0.0
    if not found:
        return Diagnostic(name=name, null=null, statistic=0.0)
    return watched(
        name,
        null=null,
        advice=f"{found:,} of {n:,} exposed units ({percent(share, 2)}) {words}",
        statistic=float(found),
        blocks=share > blocks_above,
    )
