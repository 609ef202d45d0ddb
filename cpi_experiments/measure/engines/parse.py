"""Queries of ours as trees: parsed, proved to read only, with the other engine's names. Needs sqlglot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.scope import traverse_scope

from cpi_experiments.errors import DataError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What stands for the first value, the second and so on in a translated query, after a colon.
MARK = "cpi_value_"


def parse_query(sql: str) -> exp.Query:
    """Parse one query of DuckDB's dialect; nameless values get numbers in the order of the text.

    Raises
    ------
    DataError
        If it cannot be parsed, is not one statement, or does anything but read.

    Examples
    --------
    >>> parse_query("SELECT a FROM t WHERE b = ? AND c = ?").sql("duckdb")
    'SELECT a FROM t WHERE b = $1 AND c = $2'
    """
    if MARK in sql:
        raise DataError(f"the query holds {MARK!r}", advice="Rename the column: values go by that name.")
    try:
        unnamed = [
            each for each in sqlglot.tokenize(sql, read="duckdb") if each.token_type == sqlglot.TokenType.PLACEHOLDER
        ]
        for position, token in reversed(list(enumerate(unnamed, start=1))):
            sql = f"{sql[: token.start]}${position}{sql[token.end + 1 :]}"
        trees = [tree for tree in sqlglot.parse(sql, read="duckdb") if tree is not None]
    except SqlglotError as error:
        raise DataError(f"the query cannot be parsed: {str(error).splitlines()[0][:200]}") from None
    if len(trees) != 1:
        raise DataError(f"{len(trees)} statements instead of one", advice="Send one SELECT at a time.")
    return _only_reading(trees[0])


def _only_reading(tree: exp.Expr) -> exp.Query:
    parts = [tree, *(each.this for each in tree.find_all(exp.CTE))]
    writes = [part for part in parts if not isinstance(part, exp.Select | exp.SetOperation)]
    writes += tree.find_all(exp.Into, exp.Lock, exp.Command, exp.DML)
    if writes or not isinstance(tree, exp.Query):
        raise DataError(f"{writes[0].key.upper()} does not only read", advice="Only SELECT and WITH are sent.")
    return tree


def rename_tables(tree: exp.Query, tables: Mapping[str, Sequence[str]]) -> None:
    """Give tables their names in the other engine; what a WITH defines keeps its own.

    Parameters
    ----------
    tree : Query
        Changed in place.
    tables : mapping of name to parts
        Such as ``{"data": ("sales", "trial")}``.

    Raises
    ------
    DataError
        If a table is not among them.
    """
    real = [node for scope in traverse_scope(tree) for node in scope.tables if not _is_defined(scope.cte_sources, node)]
    for node in real:
        parts = tables.get(node.name) if isinstance(node.this, exp.Identifier) and not node.db else None
        if parts is None:
            raise DataError(f"table {node.name or node.sql()!r} is missing", advice=nearest(node.name, list(tables)))
        names = [exp.to_identifier(part, quoted=True) for part in reversed(parts)]
        renamed = exp.Table(**dict(zip(("this", "db", "catalog"), names, strict=False)))
        renamed.set("alias", exp.TableAlias(this=exp.to_identifier(node.alias or node.name, quoted=True)))
        node.replace(renamed)


def _is_defined(defined: Mapping[str, object], node: exp.Table) -> bool:
    return not node.db and node.name in defined


def number_values(tree: exp.Query) -> None:
    """Write values as ``:cpi_value_1``, which no dialect changes."""
    for node in list(tree.find_all(exp.Placeholder)):
        node.replace(exp.Var(this=f":{MARK}{node.name}"))


def table_parts(name: str, dialect: str) -> tuple[str, ...]:
    """Split the name of a table as its engine would: unquoted letters become small in PostgreSQL, large in Snowflake.

    Raises
    ------
    DataError
        If it is no name of a table.

    Examples
    --------
    >>> table_parts('Sales."Trial"', "postgres"), table_parts("sales.trial", "snowflake")
    (('sales', 'Trial'), ('SALES', 'TRIAL'))
    """
    try:
        table = sqlglot.parse_one(name, read=dialect, into=exp.Table)
    except SqlglotError:
        table = exp.Table()
    parts = [part for part in table.parts if isinstance(part, exp.Identifier)]
    whole = len(parts) == len(table.parts) and table.args.get("db") != ""
    if not 1 <= len(parts) <= 3 or not whole or table.alias:
        raise DataError(f"{name!r} is not the name of a table", advice="Write it as in SQL: schema.table.")
    return tuple(str(normalize_identifiers(part.copy(), dialect=dialect).name) for part in parts)


def quoted_names(names: Sequence[Sequence[str]], dialect: str) -> list[str]:
    """Quote names, given in parts, for an engine.

    Examples
    --------
    >>> quoted_names([("sales", "trial"), ("won",)], "bigquery")
    ['`sales`.`trial`', '`won`']
    """
    return [".".join(exp.to_identifier(part, quoted=True).sql(dialect=dialect) for part in parts) for parts in names]
