"""Columns of pandas and DuckDB as plain numpy arrays: NaN, NaT or None where missing, doubles for numbers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from cpi_experiments.errors import DataError, kind_of, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

Array = np.ndarray

_EXACT = 2**53  # whole numbers beyond it are not exact as doubles
# DuckDB has no casts and no zones for nanoseconds, in which pandas 2 writes.
_NANOSECONDS = {"TIMESTAMP_NS": "TIMESTAMP", "TIMESTAMPTZ_NS": "TIMESTAMP WITH TIME ZONE"}
_AS_TEXT = ("ENUM", "UUID", "HUGEINT", "UHUGEINT")  # numpy has no array for these, or not an exact one


def kind_seen(kind: str) -> str:
    """Return the type in which a column of DuckDB is seen: what numpy can hold, and times that know zones.

    Examples
    --------
    >>> kind_seen("TIMESTAMPTZ_NS"), kind_seen("HUGEINT"), kind_seen("DOUBLE")
    ('TIMESTAMP WITH TIME ZONE', 'VARCHAR', 'DOUBLE')
    """
    return "VARCHAR" if kind.startswith(_AS_TEXT) else _NANOSECONDS.get(kind, kind)


def digest_of_frame(frame: pd.DataFrame) -> str:
    """SHA-256 of column names and content; row order counts, the index does not.

    Examples
    --------
    >>> import pandas as pd
    >>> digest_of_frame(pd.DataFrame({"a": [1]})) == digest_of_frame(pd.DataFrame({"a": [1]}, index=[7]))
    True
    """
    import pandas as pd  # noqa: PLC0415 - the path from a file to arrays needs no pandas

    digest = hashlib.sha256()
    for name in frame.columns:
        digest.update(str(name).encode() + b"\0")
        digest.update(pd.util.hash_array(_plain_hashable(frame[name])).tobytes())
    return digest.hexdigest()


def plain_array(values: Array) -> Array:
    """Replace DuckDB's masks: NaN for numbers, NaT for times, None for the rest."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    mask, kind = np.ma.getmaskarray(values), values.dtype.kind
    if kind in "biu" and not (kind != "b" and np.abs(values.data[~mask].astype(float)).max(initial=0) > _EXACT):
        return np.where(mask, np.nan, values.data.astype(np.float64))
    filled = values.data.astype(object) if kind not in "fMm" else values.data.copy()
    filled[mask] = {"f": np.nan, "M": np.datetime64("NaT", "us"), "m": np.timedelta64("NaT", "us")}.get(kind)
    return filled


def as_doubles(values: Array) -> Array:
    """Turn numbers and booleans into doubles, except whole numbers that doubles cannot hold."""
    if values.dtype.kind == "b" or (values.dtype.kind == "f" and values.dtype != np.float64):
        return values.astype(np.float64)
    if values.dtype.kind not in "iu":
        return values
    exact = int(values.min(initial=0)) >= -_EXACT and int(values.max(initial=0)) <= _EXACT
    return values.astype(np.float64) if exact else values


def wanted_columns(found: list[Any], columns: Sequence[str], optional: Sequence[str], *, where: str) -> list[str]:
    """Choose the columns to read.

    Raises
    ------
    DataError
        If one is missing or occurs twice.
    """
    wanted = list(dict.fromkeys([*columns, *(name for name in optional if name in found)]))
    for name in wanted:
        if name not in found:
            raise missing_column(name, [str(each) for each in found], where=where)
        if found.count(name) > 1:
            raise DataError(f"column {name!r} occurs twice", where=where, advice="Rename one of the two.")
    if not wanted:
        raise DataError("no column was asked for", where=where, advice=f"Columns: {', '.join(map(str, found))}.")
    return wanted


def missing_column(name: str, found: list[str], *, where: str) -> DataError:
    """Say which column is missing, which is nearest, and which there are."""
    near = nearest(name, found)
    listed = f" Columns: {', '.join(found[:20])}{', ...' if len(found) > 20 else ''}."
    return DataError(
        f"column {name!r} is missing", where=where, advice=(near if near.startswith("Did") else "") + listed
    )


def columns_of_frame(data: Any, columns: Sequence[str], optional: Sequence[str]) -> dict[str, Array]:  # noqa: ANN401 - checked here
    """Take columns of a DataFrame one by one.

    Raises
    ------
    DataError
        If the data are no table, or a column is missing or occurs twice.
    """
    if not (hasattr(data, "columns") and hasattr(data, "iloc")):
        raise DataError(f"{kind_of(data)} is not a table", advice="Give a DataFrame, a path or a relation.")
    wanted = wanted_columns(list(data.columns), columns, optional, where="data")
    return {name: series_array(data[name], name) for name in wanted}


def series_array(series: pd.Series[Any], name: str) -> Array:
    """Take one pandas column, whatever its dtype, without a copy where numpy already holds it.

    Raises
    ------
    DataError
        If it holds durations or complex numbers.
    """
    kind = getattr(series.dtype, "kind", "O")
    if kind in "cm":
        raise DataError(
            f"column {name!r} is {series.dtype}, not a number", where="data", advice="Turn it into a number first."
        )
    if kind == "M":
        times = series.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(series.dt, "tz", None) else series
        return times.to_numpy(dtype="datetime64[us]")
    if kind not in "biuf":
        return _of_objects(series, name)
    if isinstance(series.dtype, np.dtype):
        return series.to_numpy()
    if hasattr(series.dtype, "numpy_dtype") and kind in "biu" and not series.isna().any():
        return series.to_numpy(dtype=series.dtype.numpy_dtype)
    return _nullable(series, whole=kind in "iu")


def _of_objects(series: pd.Series[Any], name: str) -> Array:
    import pandas as pd  # noqa: PLC0415 - whoever has a Series has pandas

    known = pd.api.types.infer_dtype(series, skipna=True)
    if known == "period":
        return series_array(series.dt.to_timestamp(), name)
    if known in ("integer", "floating", "mixed-integer-float", "boolean", "decimal", "empty"):
        return _nullable(series.astype(object), whole=known == "integer")
    if known in ("datetime", "datetime64", "date"):
        return series_array(pd.to_datetime(series, utc=True), name)
    texts = series.astype(object).to_numpy(copy=True)
    texts[series.isna().to_numpy()] = None
    return texts


def _nullable(series: pd.Series[Any], *, whole: bool) -> Array:
    """Take numbers with pandas' own mark for missing; whole ones that doubles cannot hold stay whole."""
    numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
    if not whole or np.nanmax(np.abs(numbers), initial=0) <= _EXACT:
        return numbers
    exact = series.astype(object).to_numpy(copy=True)
    exact[series.isna().to_numpy(dtype=bool)] = None
    return exact


def _plain_hashable(series: pd.Series[Any]) -> Array:
    values = as_doubles(series_array(series, str(series.name)))
    if values.dtype == object:
        return np.array([repr(value) for value in values], dtype=object)
    return values
