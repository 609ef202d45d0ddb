"""The moments that a trial needs, from whatever the caller has: rows in memory, a table anywhere, or moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.measure.arrays import as_doubles
from cpi_experiments.measure.columns import LARGEST, measured, numeric
from cpi_experiments.measure.engine import quote, read_columns
from cpi_experiments.measure.engines.opening import open_data
from cpi_experiments.measure.moments.columns import cut_point
from cpi_experiments.measure.moments.gather import gather_table
from cpi_experiments.randomized.arms import encode, in_several_arms
from cpi_experiments.randomized.caps import cut_of
from cpi_experiments.stats.moments import Moments, add_moments, origin_of, pairs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from cpi_experiments.measure.engine import Data
    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.randomized.effects.outcomes import Cap, Pair

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Moments of a trial, what an engine counted of its units, and the caps as numbers."""

    moments: Moments
    counts: UnitCounts | None
    caps: Mapping[str, float]


def moments_of_trial(
    data: TrialData,
    columns: Sequence[str],
    *,
    arm: str,
    by: Sequence[str],
    pairs: Sequence[Pair],
    unit: str | None,
    caps: Mapping[str, Cap] | None = None,
) -> Gathered:
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
    caps : mapping of column to number or percentile, optional
        Larger values are set to it.

    Returns
    -------
    Gathered
        Cells of its moments are single rows where the data are a small frame; what an engine counted is there if it
        was asked and the unit is not a key.

    Raises
    ------
    DataError
        If a column is missing or no number, or moments were gathered without something that is needed.
    """
    caps = caps or {}
    keys = list(dict.fromkeys([arm, *by]))
    with_unit = list(dict.fromkeys([*keys, *([unit] if unit else [])]))
    if isinstance(data, Moments):
        _check_caps(caps)
        _check_pairs(data, columns, pairs)
        found = data if set(data.keys) == set(with_unit) else data.roll_up(with_unit)
        return Gathered(moments=found, counts=None, caps={})
    if _is_small(data):
        cuts = _cuts_of_rows(data, caps, arm=arm, unit=unit)
        found = rows_as_cells(data, columns, keys=with_unit, pairs=pairs, caps=cuts)
        return Gathered(moments=found, counts=None, caps=cuts)
    coded, texts = texts_as_codes(data, list(dict.fromkeys([*columns, *with_unit])), keys=keys)
    with open_data(coded, list(dict.fromkeys([*columns, *with_unit]))) as (engine, table):
        counts = count_units(engine, table, unit=unit, arm=arm) if unit and unit not in keys else None
        split = keys if counts and not counts.several else with_unit
        nothing: Mapping[str, Any] = {}
        among = _compared(engine, table, arm=arm, unit=unit if counts is None or counts.several else None)
        cuts = {name: cut_point(engine, table, name, cap, among=among) for name, cap in caps.items()}
        found = gather_table(
            engine, table, list(columns), by=split, pairs=pairs, caps=cuts, scales=nothing, origins=nothing
        )
    _refuse_absurd(found)
    found = with_texts(found, texts)
    return Gathered(moments=found, counts=counts if split is keys else None, caps=cuts)


def rows_as_cells(
    data: Data,
    columns: Sequence[str],
    *,
    keys: Sequence[str],
    pairs: Sequence[Pair],
    caps: Mapping[str, float] | None = None,
) -> Moments:
    """Read rows as the moments of cells of one row each; larger values than a column's cap are set to it.

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
    values = [_at_most(measured(table, name), (caps or {}).get(name)) for name in columns]
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


def texts_as_codes(data: Any, columns: Sequence[str], *, keys: Sequence[str]) -> tuple[Any, dict[str, Array]]:  # noqa: ANN401 - whatever the caller has
    """Give the texts among the keys of a frame numbers, by which an engine groups several times faster.

    Nothing is copied but these keys. Other data, and frames that lack a column or have one twice, stay as they are.

    Returns
    -------
    data
        Missing keys are NaN.
    texts : mapping of key to array of text
        By number; the last stands for missing ones.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"arm": pd.Series(["b", "a", "b"], dtype="string"), "won": [0, 1, 1]})
    >>> coded, texts = texts_as_codes(rows, ["won", "arm"], keys=["arm"])
    >>> coded["arm"].tolist(), texts["arm"].tolist()
    ([0, 1, 0], ['b', 'a', None])
    """
    if not hasattr(data, "iloc") or not data.columns.is_unique or any(name not in data.columns for name in columns):
        return data, {}
    import pandas as pd  # noqa: PLC0415 - whoever has a frame has pandas

    taken = {name: data[name] for name in columns}
    texts: dict[str, Array] = {}
    for name in keys:
        if isinstance(taken[name].dtype, pd.StringDtype):
            codes, labels = taken[name].factorize()
            known = codes >= 0
            taken[name] = pd.Series(codes if known.all() else np.where(known, codes, np.nan), index=data.index)
            texts[name] = np.array([*labels.tolist(), None], dtype=object)
    return (pd.DataFrame(taken, copy=False), texts) if texts else (data, {})


def with_texts(moments: Moments, texts: Mapping[str, Array]) -> Moments:
    """Put the texts of `texts_as_codes` back in place of their numbers."""
    if not texts:
        return moments
    keys = dict(moments.keys)
    for name in [name for name in keys if name in texts]:
        codes = keys[name].astype(float)
        keys[name] = texts[name][np.where(np.isnan(codes), -1, codes).astype(np.intp)]
    return replace(moments, keys=keys).ordered()


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


def _at_most(values: Array, cap: float | None) -> Array:
    return values if cap is None else np.minimum(values, cap)


def _cuts_of_rows(data: Data, caps: Mapping[str, Cap], *, arm: str, unit: str | None) -> dict[str, float]:
    """Return caps as numbers; percentiles are of the rows that are compared, all arms together."""
    if not any(isinstance(cap, str) for cap in caps.values()):
        return {name: float(cap) for name, cap in caps.items()}
    table = read_columns(data, list(dict.fromkeys([*caps, arm, *([unit] if unit else [])])))
    arms = encode(as_doubles(table[arm]))[0]
    among = arms >= 0
    if unit:
        among &= ~in_several_arms(encode(as_doubles(table[unit]))[0], arms)
    return {name: cut_of(numeric(table, name), cap, column=name, among=among) for name, cap in caps.items()}


def _compared(engine: Engine, table: str, *, arm: str, unit: str | None) -> str:
    """Write the condition of the rows that are compared: with an arm, of units in one arm (or without a unit)."""
    a = _known(engine, table, arm)
    if not unit:
        return f"{a} IS NOT NULL"
    u = _known(engine, table, unit)
    several = (
        f"SELECT u FROM (SELECT {u} AS u, CAST({a} AS VARCHAR) AS a FROM {quote(table)}) AS seen "  # noqa: S608 - quoted
        "WHERE u IS NOT NULL GROUP BY u HAVING min(a) <> max(a)"
    )
    return f"{a} IS NOT NULL AND ({u} IS NULL OR {u} NOT IN ({several}))"


def _check_caps(caps: Mapping[str, Cap]) -> None:
    if caps:
        name, cap = next(iter(caps.items()))
        raise DataError(
            f"moments are summed already: column {name!r} cannot be capped at {cap} any more",
            advice=f"Gather them with caps={{{name!r}: {cap!r}}} and name the column without a cap.",
        )


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
