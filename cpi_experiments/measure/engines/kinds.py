"""Types of columns of other engines, in DuckDB's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ZONED, _CLOCK = "TIMESTAMP WITH TIME ZONE", "TIMESTAMP"
_SPARK = {
    "bigint": "BIGINT",
    "int": "INTEGER",
    "smallint": "SMALLINT",
    "tinyint": "TINYINT",
    "double": "DOUBLE",
    "float": "FLOAT",
    "boolean": "BOOLEAN",
    "string": "VARCHAR",
    "date": "DATE",
    "timestamp": _ZONED,
    "timestamp_ntz": _CLOCK,
    "binary": "BLOB",
}
# What a driver's cursor.description says: numbers of PostgreSQL's types and of Snowflake's, words of BigQuery's.
_DESCRIBED: dict[str, dict[object, str]] = {
    "postgres": {
        16: "BOOLEAN",
        20: "BIGINT",
        21: "SMALLINT",
        23: "INTEGER",
        700: "FLOAT",
        701: "DOUBLE",
        1700: "DECIMAL",
        1082: "DATE",
        1114: _CLOCK,
        1184: _ZONED,
        17: "BLOB",
    },
    "snowflake": {
        0: "DECIMAL",
        1: "DOUBLE",
        3: "DATE",
        6: _ZONED,
        7: _ZONED,
        8: _CLOCK,
        11: "BLOB",
        13: "BOOLEAN",
    },
    "bigquery": {
        "INTEGER": "BIGINT",
        "INT64": "BIGINT",
        "FLOAT": "DOUBLE",
        "FLOAT64": "DOUBLE",
        "BOOLEAN": "BOOLEAN",
        "BOOL": "BOOLEAN",
        "NUMERIC": "DECIMAL(38, 9)",
        "BIGNUMERIC": "DOUBLE",
        "DATE": "DATE",
        "TIMESTAMP": _ZONED,
        "DATETIME": _CLOCK,
        "BYTES": "BLOB",
    },
}
_BIGINT_DIGITS = 18


def spark_words(columns: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Types of a Spark DataFrame, from its ``dtypes``.

    Examples
    --------
    >>> spark_words([("arm", "string"), ("paid", "decimal(10,2)")])
    {'arm': 'VARCHAR', 'paid': 'DECIMAL(10,2)'}
    """
    return {name: _SPARK.get(kind) or re.sub(r"^(VAR)?CHAR\(\d+\)$", "VARCHAR", kind.upper()) for name, kind in columns}


def described_words(described: Sequence[Sequence[Any]], dialect: str) -> dict[str, str]:
    """Types of a query's columns, from the ``description`` of a DB-API cursor; what is not known counts as text.

    Examples
    --------
    >>> described_words([("won", 16, None, None, None, None, None)], "postgres")
    {'won': 'BOOLEAN'}
    """
    return {str(each[0]): _described(each, dialect) for each in described}


def _described(column: Sequence[Any], dialect: str) -> str:
    if dialect == "duckdb":
        return str(column[1])
    kind = _DESCRIBED[dialect].get(column[1], "VARCHAR")
    if kind != "DECIMAL":
        return kind
    digits, scale = column[4], column[5]
    if digits is None or scale is None:  # a decimal of any size, whose scale differs by row
        return "DOUBLE"
    return (
        "BIGINT"
        if dialect == "snowflake" and scale == 0 and digits <= _BIGINT_DIGITS
        else f"DECIMAL({digits}, {scale})"
    )


def known_kinds(tables: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Types of the columns whose name means the same type in every table.

    Examples
    --------
    >>> known_kinds({"a": {"k": "BIGINT", "v": "DOUBLE"}, "b": {"k": "BIGINT", "v": "BOOLEAN"}})
    {'k': 'BIGINT'}
    """
    kinds: dict[str, set[str]] = {}
    for columns in tables.values():
        for name, kind in columns.items():
            kinds.setdefault(name.lower(), set()).add(kind)
    return {name: next(iter(found)) for name, found in kinds.items() if len(found) == 1}
