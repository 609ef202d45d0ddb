"""The rows of one trial, for what sums cannot answer: quantiles, ranks, resampling, what happened on which day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.columns import measured, missing
from cpi_experiments.measure.engine import read_columns
from cpi_experiments.randomized.arms import Label, arms_of, encode, in_several_arms, joint_codes, names_of
from cpi_experiments.stats.moments import Moments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.measure.engine import Data

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of a trial as arrays, in their own order.

    Parameters
    ----------
    values : mapping of column to float array, shape (n,)
        Outcomes and covariates; NaN where missing.
    arm : int array, shape (n,)
        0 = control, 1.. = treatments, -1 = missing.
    labels : tuple
        Control first, then the treatments as they were labelled.
    cluster, strata : int array, shape (n,), or None
        Codes 0, 1, ...; -1 where missing.
    keys : mapping of column to array, shape (n,)
        Columns that are read as they are: text as objects with None, times as ``datetime64``, numbers as doubles.
    """

    values: Mapping[str, Array]
    arm: Array
    labels: tuple[Label, ...]
    cluster: Array | None
    strata: Array | None
    keys: Mapping[str, Array]

    def complete(self, columns: Sequence[str], *, arms: Sequence[int] | None = None) -> tuple[Array, tuple[Lost, ...]]:
        """Mark the rows that can be used and count the others by reason.

        Parameters
        ----------
        columns : sequence of str
            Among ``values`` and ``keys``.
        arms : sequence of int, optional
            Codes of the arms that are compared; all by default. Rows of other arms are left out without being counted.

        Returns
        -------
        keep : bool array, shape (n,)
        dropped : tuple of (reason, rows)

        Raises
        ------
        DataError
            If no row is left.
        """
        keep = np.ones(len(self.arm), dtype=bool)
        if arms is not None:
            keep = np.isin(self.arm, [*arms, -1])
        dropped = []
        checks = [("without arm", self.arm < 0), *((f"without {name}", self._missing(name)) for name in columns)]
        checks += [
            (f"without {role}", codes < 0)
            for role, codes in (("cluster", self.cluster), ("strata", self.strata))
            if codes is not None
        ]
        for reason, absent in checks:
            lost = int(np.sum(keep & absent))
            if lost:
                dropped.append((reason, lost))
                keep &= ~absent
        if not keep.any():
            lost_text = "; ".join(f"{count:,} {reason}" for reason, count in dropped)
            raise DataError("no complete row is left", advice=f"Rows not used: {lost_text}.")
        return keep, tuple(dropped)

    def without_several(self, unit: str) -> tuple[Rows, int]:
        """Leave out the rows of units that are seen in several arms, and count these rows.

        Parameters
        ----------
        unit : str
            Among ``keys``.

        Examples
        --------
        >>> import pandas as pd
        >>> both = pd.DataFrame({"u": [1, 1, 2, 3], "arm": ["a", "b", "a", "b"], "won": [0, 1, 1, 0]})
        >>> rows, several = read_rows(both, numbers=["won"], arm="arm", control="a", keys=["u"]).without_several("u")
        >>> rows.arm.tolist(), several
        ([0, 1], 2)
        """
        several = in_several_arms(encode(self.keys[unit])[0], self.arm)
        if not several.any():
            return self, 0
        keep = ~several
        kept = replace(
            self,
            values={name: values[keep] for name, values in self.values.items()},
            arm=self.arm[keep],
            cluster=None if self.cluster is None else self.cluster[keep],
            strata=None if self.strata is None else self.strata[keep],
            keys={name: values[keep] for name, values in self.keys.items()},
        )
        return kept, int(several.sum())

    def _missing(self, name: str) -> Array:
        return np.isnan(self.values[name]) if name in self.values else missing(self.keys[name])


Lost = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRows:
    """Rows of a trial without those of units in several arms, which are counted.

    Parameters
    ----------
    rows : Rows
    several : int
        Rows that were left out.
    """

    rows: Rows
    several: int

    @property
    def dropped(self) -> tuple[Lost, ...]:
        """What was left out, as results say it."""
        return (("in several arms", self.several),) if self.several else ()


def read_rows(  # noqa: PLR0913 - the roles of columns, each named
    data: Data | Moments,
    *,
    numbers: Sequence[str],
    arm: str,
    control: Label,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    keys: Sequence[str] = (),
    allocation: Mapping[Any, float] | None = None,
) -> Rows:
    """Read the rows of a trial as arrays, from data of any kind.

    Parameters
    ----------
    data : DataFrame, path, DuckDB relation, Arrow table, Spark DataFrame or warehouse table
    numbers : sequence of str
        Outcome and covariate columns.
    arm, control, cluster, strata
        As in `cpi_experiments.randomized.effects.compare.compare`.
    keys : sequence of str
        Other columns, read as they are.
    allocation : mapping of arm to weight, optional
        Every arm in the data must be in it.

    Raises
    ------
    DataError
        If data are moments (they hold no rows), a column cannot be used, or there are fewer than two arms.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = read_rows(pd.DataFrame({"arm": ["a", "b", "b"], "won": [0, 1, None]}), numbers=["won"], arm="arm",
    ...                  control="a")
    >>> rows.arm.tolist(), rows.labels, rows.values["won"].tolist()
    ([0, 1, 1], ('a', 'b'), [0.0, 1.0, nan])
    """
    if isinstance(data, Moments):
        raise DataError("moments hold no rows, and this needs them", advice="Give the table they come from.")
    named = names_of([arm, *([cluster] if cluster else []), *names_of(strata), *keys])
    names_of(numbers)
    table = read_columns(data, list(dict.fromkeys([*numbers, *named])))
    code, labels = arms_of(table[arm], arm=arm, control=control, allocation=allocation)
    return Rows(
        values={name: measured(table, name) for name in dict.fromkeys(numbers)},
        arm=code,
        labels=labels,
        cluster=encode(table[cluster])[0] if cluster else None,
        strata=joint_codes([encode(table[name])[0] for name in names_of(strata)]),
        keys={name: table[name] for name in keys},
    )


def rows_of_one_arm(  # noqa: PLR0913 - the roles of columns, each named
    data: Data | Moments,
    *,
    numbers: Sequence[str],
    arm: str,
    control: Label,
    cluster: str | None,
    strata: str | Sequence[str] | None,
    allocation: Mapping[Any, float] | None,
    unit: str | None,
) -> TrialRows:
    """Read the rows of a trial, and leave out units that are in several arms where the unit is named.

    Raises
    ------
    DataError
        If data are moments, or a column cannot be used.

    Examples
    --------
    >>> import pandas as pd
    >>> both = pd.DataFrame({"u": [1, 1, 2, 3], "arm": ["a", "b", "a", "b"], "won": [0, 1, 1, 0]})
    >>> rows_of_one_arm(both, numbers=["won"], arm="arm", control="a", cluster=None, strata=None, allocation=None,
    ...                 unit="u").dropped
    (('in several arms', 2),)
    """
    rows = read_rows(
        data, numbers=numbers, arm=arm, control=control, cluster=cluster, strata=strata, allocation=allocation,
        keys=[unit] if unit else [],
    )  # fmt: skip
    kept, several = rows.without_several(unit) if unit else (rows, 0)
    return TrialRows(rows=kept, several=several)
