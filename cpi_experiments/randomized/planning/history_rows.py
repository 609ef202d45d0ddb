"""The user's own history as a world to draw experiments from: complete rows, and the same rows under an effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.columns import complete_cases, numeric
from cpi_experiments.measure.engine import read_columns
from cpi_experiments.randomized.arms import encode, joint_codes, names_of
from cpi_experiments.stats.moments import Moments
from cpi_experiments.stats.resampling.resampled_trials import History, history_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRows:
    """Complete rows of a history.

    Parameters
    ----------
    values : array, shape (n, k)
        Outcomes.
    covariates : array, shape (n, q)
        Centred, with unit variance; those that are constant are left out.
    strata, clusters : int array, shape (n,), or None
    dropped : tuple of (reason, rows)
    idle : tuple of str
        Covariates that are constant.
    """

    values: Array
    covariates: Array
    strata: Array | None
    clusters: Array | None
    dropped: tuple[tuple[str, int], ...]
    idle: tuple[str, ...]

    def world(self, treated: Array) -> History:
        """Put the rows under control and under treatment together, by randomised unit."""
        return history_of(self.values, treated, covariates=self.covariates, strata=self.strata, clusters=self.clusters)

    @property
    def units(self) -> int:
        """Units that can be drawn: rows, or clusters."""
        return len(self.values) if self.clusters is None else int(self.clusters.max()) + 1


def read_history(
    data: Data | Moments,
    outcomes: Sequence[str],
    *,
    covariates: Sequence[str],
    cluster: str | None,
    strata: str | Sequence[str] | None,
) -> HistoryRows:
    """Read the rows of a history without any experiment, from data of any kind.

    Raises
    ------
    DataError
        If data are moments, a column cannot be used, an outcome does not vary, fewer than ten units are left, or a
        cluster lies in several strata.
    """
    if isinstance(data, Moments):
        raise DataError("moments hold no rows, and this needs them", advice="Give the table they come from.")
    groups = [*([cluster] if cluster else []), *names_of(strata)]
    table = read_columns(data, list(dict.fromkeys([*outcomes, *covariates, *groups])))
    columns = {name: numeric(table, name) for name in dict.fromkeys([*outcomes, *covariates])}
    keep, dropped = complete_cases({**columns, **{name: table[name] for name in groups}})
    values = np.stack([columns[name][keep] for name in outcomes], axis=1)
    for j, name in enumerate(outcomes):
        if len(values) and np.ptp(values[:, j]) == 0:
            raise DataError(f"column {name!r} does not vary", advice="Without variance nothing can be planned.")
    found = HistoryRows(
        values=values,
        covariates=_scaled([columns[name][keep] for name in covariates], len(values)),
        strata=joint_codes([_codes(table[name][keep]) for name in names_of(strata)]),
        clusters=_codes(table[cluster][keep]) if cluster else None,
        dropped=dropped,
        idle=tuple(name for name in covariates if len(values) and np.ptp(columns[name][keep]) == 0),
    )
    _check(found)
    return found


def _codes(values: Array) -> Array:
    return np.unique(encode(values)[0], return_inverse=True)[1]


def _scaled(columns: list[Array], n: int) -> Array:
    moving = [column for column in columns if n and np.ptp(column) > 0]
    return np.stack([(c - c.mean()) / c.std() for c in moving], axis=1) if moving else np.zeros((n, 0))


def _check(found: HistoryRows) -> None:
    lost = "; ".join(f"{count:,} rows {reason}" for reason, count in found.dropped)
    if len(found.values) == 0 or found.units < 10:
        what = "rows" if found.clusters is None else "clusters"
        units = found.units if len(found.values) else 0
        raise DataError(
            f"{units} complete {what} are no history to draw from",
            advice=f"It needs ten at least{f'; not used: {lost}' if lost else ''}.",
        )
    if found.strata is not None and found.clusters is not None:
        first = np.zeros(found.units, dtype=np.intp)
        first[found.clusters] = found.strata
        apart = int(np.sum(first[found.clusters] != found.strata))
        if apart:
            raise DataError(
                f"some clusters lie in several strata ({apart:,} rows)",
                advice="Stratify on something that is the same for a whole cluster.",
            )
