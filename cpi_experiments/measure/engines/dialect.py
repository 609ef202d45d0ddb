"""Queries are written once, in DuckDB's dialect; this is how other engines come to read them, or why they cannot.

A translation that changes a number without a word would be worse than none. So functions are on a list, each with one
meaning everywhere; whatever is not on it is refused. Where engines differ, the differing part is rewritten.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from cpi_experiments.errors import DataError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The extra of the package that installs the translator, by dialect.
EXTRAS = {
    "duckdb": "warehouse",
    "spark": "spark",
    "postgres": "warehouse",
    "bigquery": "warehouse",
    "snowflake": "warehouse",
}


def translate(
    sql: str,
    dialect: str,
    *,
    tables: Mapping[str, Sequence[str]] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> str:
    """Write a query of DuckDB's dialect in another one.

    Names come out quoted as they were written, values as ``:cpi_value_1``, ``:cpi_value_2``. A division is one of
    doubles; by zero it is an error where DuckDB answers infinity, so write ``nullif``.

    Parameters
    ----------
    sql : str
        One SELECT; values are ``?`` or ``$1``.
    dialect : {"duckdb", "spark", "postgres", "bigquery", "snowflake"}
    tables : mapping of name to parts, optional
        What a table of the query is called in the other engine: ``{"data": ("sales", "trial")}``. Other tables are
        then refused.
    kinds : mapping of column to type, optional
        What is known of the columns, in DuckDB's words: some casts are written differently for flags and for doubles.

    Returns
    -------
    str

    Raises
    ------
    DataError
        If sqlglot is not installed, the query is not one that only reads, or it uses what has no translation.

    Examples
    --------
    >>> translate("SELECT arm, fsum(hours) / count(*) AS mean FROM data GROUP BY ALL", "postgres")
    'SELECT "arm", CAST(SUM("hours") AS DOUBLE PRECISION) / COUNT(*) AS "mean" FROM "data" GROUP BY 1'
    """
    if dialect not in EXTRAS:
        raise DataError(f"dialect {dialect!r} is not known", advice=nearest(dialect, list(EXTRAS)))
    if find_spec("sqlglot") is None:
        raise DataError(
            f"{dialect} needs sqlglot, which is not installed",
            advice=f'pip install "cpi-experiments[{EXTRAS[dialect]}]"',
        )
    from cpi_experiments.measure.engines.parse import number_values, parse_query, rename_tables  # noqa: PLC0415 - an extra
    from cpi_experiments.measure.engines.rules import rewrite, write  # noqa: PLC0415 - an extra

    tree = parse_query(sql)
    if tables is not None:
        rename_tables(tree, tables)
    number_values(tree)
    if dialect != "duckdb":
        rewrite(tree, dialect, kinds or {})
    return write(tree, dialect)
