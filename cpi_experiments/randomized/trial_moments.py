"""The moments that a trial needs, from whatever the caller has: rows in memory, a table anywhere, or moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.arrays import as_doubles
from cpi_experiments.measure.columns import LARGEST, numeric
from cpi_experiments.measure.engine import quote, read_columns
from cpi_experiments.measure.engines.opening import open_data
from cpi_experiments.measure.moments.gather import gather_table
from cpi_experiments.stats.moments import Moments, add_moments, origin_of, pairs_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.randomized.outcomes import Pair

    TrialData: TypeAlias = Data | Moments

Array = np.ndarray
#: Rows of a frame in memory up to which arrays are faster than an engine: opening one costs as much as 100,000 rows.
SMALL = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCounts:
    """Units of a table by arm: all of them, those in several arms, those with several rows in one arm."""

    units: int
    several: int
    repeated: int


def moments_of_trial(
    data: TrialData,
    columns: Sequence[str],
    *,
    arm: str,
    by: Sequence[str],
    pairs: Sequence[Pair],
    unit: str | None,
) -> tuple[Moments, UnitCounts | None]:
    """Take the moments of some columns by arm and other keys, in one scan.

    Parameters
    ----------
    data : table of any kind, or Moments
    columns : sequence of str
    arm : str
    by : sequence of str
        Other keys: cluster, strata.
    pairs : sequence of (column, column)
        Products that are needed.
    unit : str, optional
        Column of the unit. It becomes a key only where some unit is in several arms, or where it costs nothing.

    Returns
    -------
    Moments
        Its cells are single rows where the data are a small frame.
    UnitCounts or None
        What an engine counted, if it was asked and the unit is not a key.

    Raises
    ------
    DataError
        If a column is missing or no number, or moments were gathered without something that is needed.
    """
    keys = list(dict.fromkeys([arm, *by]))
    with_unit = list(dict.fromkeys([*keys, *([unit] if unit else [])]))
    if isinstance(data, Moments):
        _check_pairs(data, columns, pairs)
        return data if set(data.keys) == set(with_unit) else data.roll_up(with_unit), None
    if _is_small(data):
        return rows_as_cells(data, columns, keys=with_unit, pairs=pairs), None
    with open_data(data, list(dict.fromkeys([*columns, *with_unit]))) as (engine, table):
        counts = count_units(engine, table, unit=unit, arm=arm) if unit and unit not in keys else None
        split = keys if counts and not counts.several else with_unit
        nothing: Mapping[str, Any] = {}
        found = gather_table(
            engine, table, list(columns), by=split, pairs=pairs, caps=nothing, scales=nothing, origins=nothing
        )
    _refuse_absurd(found)
    return found, counts if split is keys else None


def rows_as_cells(data: Data, columns: Sequence[str], *, keys: Sequence[str], pairs: Sequence[Pair]) -> Moments:
    """Read rows as the moments of cells of one row each.

    Raises
    ------
    DataError
        If a column is missing or no number.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = rows_as_cells(pd.DataFrame({"arm": ["a", "b"], "won": [0, 1]}), ["won"], keys=["arm"], pairs=[])
    >>> rows.n.tolist(), rows.sums.ravel().tolist()
    ([1, 1], [0.0, 1.0])
    """
    table = read_columns(data, list(dict.fromkeys([*columns, *keys])))
    values = [numeric(table, name) for name in columns]
    rows = len(next(iter(table.values())))
    present = np.stack([~np.isnan(value) for value in values], axis=1) if values else np.zeros((rows, 0), dtype=bool)
    known = [value if ok.all() else value[ok] for value, ok in zip(values, present.T, strict=True)]
    whole = [bool(np.all(value == np.round(value))) for value in known]
    origin = np.array([origin_of(value, whole=w) for value, w in zip(known, whole, strict=True)], dtype=float)
    sums = np.where(present, np.stack(values, axis=1) - origin, 0.0) if values else np.zeros((rows, 0))
    at = pairs_of(list(columns), pairs)
    return Moments(
        columns=tuple(columns),
        keys={name: table[name] for name in keys},
        present=present,
        n=np.ones(rows, dtype=np.int64),
        sums=sums,
        pairs=at,
        products=np.stack([sums[:, i] * sums[:, j] for i, j in at], axis=1) if at else np.zeros((rows, 0)),
        origin=origin,
        scale=np.ones(len(values)),
        whole=np.array(whole, dtype=bool),
    )


def moments_in_blocks(
    frame: pd.DataFrame, columns: Sequence[str], *, keys: Sequence[str], pairs: Sequence[Pair]
) -> Moments:
    """Take the moments of a frame in memory in the order of its rows, a block of them at a time.

    An engine with several threads adds reals up in another order every time; this does not, and needs no more memory
    for many rows than for few.

    Raises
    ------
    DataError
        If a column is missing or no number, or there are no rows.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"arm": ["a", "b", "a"], "won": [0, 1, 1]})
    >>> moments_in_blocks(rows, ["won"], keys=["arm"], pairs=[]).n.tolist()
    [2, 1]
    """
    blocks = [frame.iloc[at : at + SMALL] for at in range(0, max(len(frame), 1), SMALL)]
    return add_moments([rows_as_cells(block, columns, keys=keys, pairs=pairs).roll_up(keys) for block in blocks])


def count_units(engine: Engine, table: str, *, unit: str, arm: str) -> UnitCounts:
    """Count units, those in several arms, and those with several rows in one arm; only the counts leave the engine.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.measure.engine import Tables
    >>> rows = pd.DataFrame({"u": [1, 1, 2, 3, 3], "arm": ["a", "b", "a", "b", "b"]})
    >>> with Tables({"t": rows}) as tables:
    ...     count_units(tables, "t", unit="u", arm="arm")
    UnitCounts(units=3, several=1, repeated=1)
    """
    u, a = (_known(engine, table, name) for name in (unit, arm))
    sql = (
        "SELECT count(*) AS units, sum(CASE WHEN low <> high THEN 1 ELSE 0 END) AS several, "  # noqa: S608 - quoted
        "sum(CASE WHEN low = high AND n > 1 THEN 1 ELSE 0 END) AS repeated FROM ("
        "SELECT u, count(a) AS n, min(a) AS low, max(a) AS high FROM ("
        f"SELECT {u} AS u, CAST({a} AS VARCHAR) AS a FROM {quote(table)}) AS seen WHERE u IS NOT NULL GROUP BY u"
        ") AS by_unit"
    )
    found = engine.query(sql)
    units, several, repeated = (found[name][0] for name in ("units", "several", "repeated"))
    return UnitCounts(
        units=int(units),
        several=0 if np.isnan(several) else int(several),
        repeated=0 if np.isnan(repeated) else int(repeated),
    )


def labels_of(moments: Moments, key: str) -> Array:
    """Return the labels of a key, numbers and flags as doubles, whatever engine they came from."""
    return as_doubles(moments.key(key))


def _is_small(data: Any) -> bool:  # noqa: ANN401 - whatever the caller has
    return hasattr(data, "iloc") and len(data) <= SMALL


def _known(engine: Engine, table: str, name: str) -> str:
    column = quote(name)
    real = engine.type_of(table, name) in ("DOUBLE", "FLOAT", "REAL")
    return f"CASE WHEN isnan({column}) THEN NULL ELSE {column} END" if real else column


def _check_pairs(moments: Moments, columns: Sequence[str], pairs: Sequence[Pair]) -> None:
    have = set(moments.pairs)
    for name in columns:
        moments.place(name)
    lost = [pair for pair, at in zip(pairs, _positions(moments, pairs), strict=True) if at not in have]
    if lost:
        listed = ", ".join(f"({a!r}, {b!r})" for a, b in lost[:6]) + (", ..." if len(lost) > 6 else "")
        raise DataError(
            f"the moments hold no products of {len(lost):,} pairs of columns that this needs: {listed}",
            advice="Gather them again with these pairs, or leave `pairs` out to get all.",
        )


def _positions(moments: Moments, pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    places = [(moments.place(a), moments.place(b)) for a, b in pairs]
    return [(min(i, j), max(i, j)) for i, j in places]


def _refuse_absurd(moments: Moments) -> None:
    """Refuse columns whose sums no measured outcome can have, as rows in memory are (see `numeric`)."""
    sums = np.abs(moments.sums.astype(float)) / moments.scale
    for name, largest in zip(moments.columns, sums.max(axis=0, initial=0.0), strict=True):
        if largest > LARGEST:
            raise DataError(
                f"column {name!r} holds values beyond {LARGEST:g}",
                advice="No measured outcome is that large: correct the rows or the unit.",
            )
