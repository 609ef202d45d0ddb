"""Experiments of one link, from a table or from nouns, in order of time and fit to count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, kind_of
from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence.case import Trialed
from cpi_experiments.evidence.effect_table import OPTIONAL_TEXT, PAIR, cases_of, read_rows
from cpi_experiments.evidence.sequence.checks import check_trial
from cpi_experiments.measure.engine import numeric, read_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data

_LINK = "the link"
_OPTIONAL = (
    "link",
    "experiment",
    "lever",
    "sesoi",
    "expected_sign",
    *OPTIONAL_TEXT,
    "lever_sign",
    "planned_move",
    "df",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InTime:
    """Experiments in order of time.

    Parameters
    ----------
    trials : list of Trialed
    told : dict of experiment to experiments
        Which ones share customers, as far as a table tells.
    dates : list of str
        When each was looked at; empty texts if that was not told.
    unplanned : int
        How many came without a planned move.
    """

    trials: list[Trialed]
    told: dict[str, set[str]]
    dates: list[str]
    unplanned: int


def experiments_in_time(
    experiments: Data | Sequence[EffectPair] | Sequence[Trialed], *, sesoi: float, expected_sign: int
) -> InTime:
    """Read experiments in order of time.

    Returns
    -------
    InTime

    Raises
    ------
    DataError
        If there are none, one cannot count, or one appears twice.
    """
    given: Any = experiments
    if isinstance(given, list | tuple):
        trials = sorted((_named(each, i) for i, each in enumerate(given, 1)), key=lambda t: t.looked_at)
        labels = sorted({t.looked_at for t in trials})
        dates = [str(t.looked_at) if len(labels) > 1 else "" for t in trials]
        unplanned = sum(isinstance(each, EffectPair) for each in given)
        found = InTime(trials=trials, told={}, dates=dates, unplanned=unplanned)
    else:
        found = _of_table(given, sesoi=sesoi, expected_sign=expected_sign)
    if not found.trials:
        raise DataError("there is no experiment", advice="Give one row, or one pair of effects, per experiment.")
    names = [t.experiment for t in found.trials]
    for trial in found.trials:
        check_trial(trial, names.count(trial.experiment))
    return found


def _named(each: object, position: int) -> Trialed:
    if isinstance(each, Trialed):
        return each
    if not isinstance(each, EffectPair):
        raise DataError(f"experiment {position} is {kind_of(each)}", advice="Give EffectPair, or a table.")
    return Trialed(experiment=str(position), lever="", pair=each)


def _of_table(table: Any, *, sesoi: float, expected_sign: int) -> InTime:  # noqa: ANN401 - read_columns checks it
    import pandas as pd  # noqa: PLC0415 - the reader of effect tables takes a frame

    columns = dict(read_columns(table, PAIR, optional=_OPTIONAL))
    columns.pop("looks", None)  # sequential evidence needs no plan of looks
    size = len(columns["cov"])
    filled = {
        "link": np.full(size, _LINK, dtype=object),
        "experiment": np.array([str(i + 1) for i in range(size)], dtype=object),
        "lever": np.full(size, "the lever", dtype=object),
        "sesoi": np.full(size, sesoi),
        "expected_sign": np.full(size, float(expected_sign)),
    }
    rows = read_rows(pd.DataFrame(filled | {name: _days(values) for name, values in columns.items()}))
    for name, value in (("sesoi", sesoi), ("expected_sign", expected_sign)):
        other = next((row[name] for row in rows if row[name] != value), None)
        if other is not None:
            raise DataError(f"the table says {name} {other:g}, the call {value:g}", advice="Give the registered one.")
    links = sorted({row["link"] for row in rows})
    if len(links) > 1:
        raise DataError(f"the rows are of {len(links)} links: {', '.join(links[:4])}", advice="Follow one at a time.")
    moves = numeric(columns, "planned_move") if "planned_move" in columns else np.full(size, np.nan)
    return _in_order(rows, unplanned=int(np.sum(np.isnan(moves))))


def _in_order(rows: list[dict[str, Any]], *, unplanned: int) -> InTime:
    told = {row["experiment"]: {part.strip() for part in row.pop("overlaps", "").split(",")} - {""} for row in rows}
    cases, labels = cases_of(rows)
    trials = [trial for case in cases.values() for trial in case.trials]
    place = {row["experiment"]: i for i, row in enumerate(rows)}
    trials.sort(key=lambda t: (t.looked_at, place[t.experiment]))
    return InTime(trials=trials, told=told, dates=[labels[t.looked_at] for t in trials], unplanned=unplanned)


def _days(values: np.ndarray) -> np.ndarray:
    """Write dates as the texts that a judging step is told by."""
    if values.dtype.kind != "M":
        return values
    return np.where(np.isnat(values), "", values.astype("datetime64[D]").astype(str)).astype(object)
