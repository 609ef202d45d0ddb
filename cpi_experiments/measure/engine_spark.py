"""Columns of a Spark DataFrame: chosen in Spark, collected once as Arrow; Spark itself is never imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

from cpi_experiments.errors import DataError
from cpi_experiments.measure.arrays import wanted_columns

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_spark(data: object) -> bool:
    """Whether these are a DataFrame of Spark, classic or Connect.

    Examples
    --------
    >>> is_spark("trial.parquet")
    False
    """
    return type(data).__module__.startswith("pyspark.sql.")


def collect_columns(data: Any, columns: Sequence[str], optional: Sequence[str]) -> duckdb.DuckDBPyRelation:  # noqa: ANN401 - checked by `is_spark`
    """Fetch the columns that are needed, and no others.

    Raises
    ------
    DataError
        If a column is missing or occurs twice, or this Spark cannot hand over Arrow.
    """
    if not hasattr(data, "toArrow"):
        raise DataError("this Spark cannot hand over Arrow", where="data", advice="Use Spark 4, or give .toPandas().")
    wanted = wanted_columns(list(data.columns), columns, optional, where="data")
    quoted = ["`" + name.replace("`", "``") + "`" for name in wanted]  # else a dot would mean a field of a struct
    return duckdb.connect(":memory:").from_arrow(data.select(*quoted).toArrow())
