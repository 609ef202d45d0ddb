"""Where the engines differ: one rule for every part of a query that would mean something else there. Needs sqlglot."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sqlglot import ErrorLevel, exp, parse_one
from sqlglot.errors import UnsupportedError

from cpi_experiments.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Node: TypeAlias = exp.Expr

#: Functions that mean the same everywhere, or are given one meaning by the rules below; all others are refused.
KNOWN = (
    *(exp.Sum, exp.Avg, exp.Count, exp.Min, exp.Max, exp.BitwiseOrAgg, exp.LogicalOr, exp.LogicalAnd, exp.AnyValue),
    *(exp.Median, exp.PercentileCont, exp.PercentileDisc, exp.ApproxQuantile),
    *(exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Cast, exp.TryCast, exp.And, exp.Or, exp.Exists),
    *(exp.Abs, exp.Sign, exp.Round, exp.Floor, exp.Ceil, exp.Least, exp.Greatest, exp.IsNan, exp.IsInf),
    *(exp.Sqrt, exp.Ln, exp.Exp, exp.Pow, exp.Lower, exp.Upper, exp.Trim, exp.RegexpLike),
    *(exp.TimestampTrunc, exp.DateTrunc, exp.TimeToUnix, exp.Extract, exp.Explode, exp.GenerateSeries),
    *(exp.RowNumber, exp.Rank, exp.DenseRank),
)
_SUMS = {"fsum": exp.Sum, "kahan_sum": exp.Sum, "sumkahan": exp.Sum, "favg": exp.Avg}
_PARTS = ("YEAR", "QUARTER", "MONTH", "DAY", "HOUR", "MINUTE")  # days of weeks and seconds differ
_NUMBERS = ("TINYINT", "SMALLINT", "INT", "BIGINT", "INT128", "FLOAT", "DOUBLE", "DECIMAL")
_TRUTH = (exp.Predicate, exp.Connector, exp.Not, exp.Boolean)
_WHOLE = ("TINYINT", "SMALLINT", "INT", "INTEGER", "BIGINT")
_BIGINT_DIGITS = 19
#: SQL of `epoch_us`, microseconds since 1970, and of `timezone`, the clock of a zone.
_EPOCH_US = {
    "spark": "UNIX_MICROS(CAST(:x AS TIMESTAMPLTZ))",
    "postgres": "CAST(EXTRACT(EPOCH FROM :x) * 1000000 AS BIGINT)",
    "bigquery": "UNIX_MICROS(CAST(:x AS TIMESTAMPTZ))",
    "snowflake": "DATE_PART('EPOCH_MICROSECOND', :x)",
}
_CLOCK = {
    "spark": "CAST(FROM_UTC_TIMESTAMP(:x, :zone) AS TIMESTAMPNTZ)",
    "postgres": "TIMEZONE(:zone, :x)",
    "bigquery": "DATETIME(:x, :zone)",
    "snowflake": "CAST(CONVERT_TIMEZONE(:zone, :x) AS TIMESTAMPNTZ)",
}


def rewrite(tree: exp.Query, dialect: str, kinds: Mapping[str, str]) -> None:
    """Rewrite what means something else in the other engine; the tree is changed in place.

    Parameters
    ----------
    tree : Query
    dialect : str
    kinds : mapping of column to type
        Types that are known, in DuckDB's words.

    Raises
    ------
    DataError
        If the query uses what has no translation.
    """
    for call in tree.find_all(exp.Func):
        if not isinstance(call, KNOWN) and not (isinstance(call, exp.Anonymous) and call.name.lower() in _ANONYMOUS):
            name = call.name if isinstance(call, exp.Anonymous) else call.sql_name()
            raise DataError(
                f"{name.upper()} has no translation to {dialect}", advice="Write it with the plain parts of SQL."
            )
    known = {name.lower(): kind for name, kind in kinds.items()}
    for node in reversed(list(tree.walk(bfs=True))):  # children before their parents
        rule = _RULES.get(type(node))
        new = rule(node, dialect, known) if rule else node
        if new is not node:
            node.replace(new)
    if dialect == "postgres":
        for group in list(tree.find_all(exp.Group)):
            _group_all(group)


def write(tree: exp.Query, dialect: str) -> str:
    """Write a tree as text.

    Raises
    ------
    DataError
        If a part cannot be written in the dialect.
    """
    try:
        return tree.sql(dialect=dialect, identify=True, unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise DataError(f"no translation to {dialect}: {str(error)[:200]}") from None


def _made(text: str, **parts: Node) -> Node:
    """Write a part of a query from a pattern such as ``ABS(:x)``."""
    return exp.replace_placeholders(parse_one(text), **{name: part.copy() for name, part in parts.items()})


# -- numbers ---------------------------------------------------------------------------------------------------------


def _literal(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    """Write 1e0 so that it is a double; PostgreSQL and Snowflake read a decimal."""
    inexact = not node.args["is_string"] and "e" in node.name.lower()
    return exp.cast(node.copy(), "DOUBLE") if inexact and dialect in ("postgres", "snowflake") else node


def _divide(node: Node, _: str, __: Mapping[str, str]) -> Node:
    """Divide doubles: whole numbers would be cut off, decimals rounded."""
    return exp.Div(this=exp.cast(_bracketed(node.this), "DOUBLE"), expression=node.args["expression"].copy())


def _bracketed(node: Node) -> Node:
    return node.this.copy() if isinstance(node, exp.Paren) else node.copy()


def _is_nan(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    """Missing stays missing, which ISNAN of Spark makes false."""
    return node if dialect == "bigquery" else _made("(:x = CAST('NaN' AS DOUBLE))", x=node.this)


def _is_infinite(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    return node if dialect == "bigquery" else _made("(ABS(:x) = CAST('Infinity' AS DOUBLE))", x=node.this)


def _is_finite(node: Node, dialect: str) -> Node:
    bounded = "(NOT (IS_NAN(:x) OR IS_INF(:x)))" if dialect == "bigquery" else "(ABS(:x) < CAST('Infinity' AS DOUBLE))"
    return _made(bounded, x=node.expressions[0])  # NaN is above infinity in Spark, PostgreSQL and Snowflake


def _round(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    """Round halves away from zero; PostgreSQL rounds those of doubles to even."""
    if dialect != "postgres" or node.args.get("decimals"):
        return node
    return _made("(TRUNC(:x) + CASE WHEN ABS(:x - TRUNC(:x)) >= 0.5 THEN SIGN(:x) ELSE 0 END)", x=_in_brackets(node))


def _in_brackets(node: Node) -> Node:
    return exp.paren(_bracketed(node.this), copy=False)


def _shift_left(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    """Spark and PostgreSQL shift by an INT only."""
    if dialect not in ("spark", "postgres") or isinstance(node.expression, exp.Cast):
        return node
    return exp.BitwiseLeftShift(this=node.this.copy(), expression=exp.cast(_bracketed(node.expression), "INT"))


def _skip_missing(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    """LEAST and GREATEST of BigQuery are missing if one of their arguments is; DuckDB skips it."""
    parts = [node.this, *node.expressions]
    if dialect != "bigquery":
        return node
    found: Node = parts[0].copy()
    for part in parts[1:]:
        pair = type(node)(this=found.copy(), expressions=[part.copy()])
        found = exp.Coalesce(this=pair, expressions=[found, part.copy()])
    return found


# -- casts -----------------------------------------------------------------------------------------------------------


def _cast(node: Node, dialect: str, kinds: Mapping[str, str]) -> Node:
    target = node.args["to"].this.name
    source = _bracketed(node.this)
    kind = kinds.get(source.name.lower(), "") if isinstance(source, exp.Column) else ""
    if target in _NUMBERS and (kind == "BOOLEAN" or isinstance(source, _TRUTH)):
        source, kind = _made("CASE WHEN :x THEN 1 WHEN NOT :x THEN 0 END", x=exp.paren(source)), "INTEGER"
    elif isinstance(source, exp.Round | exp.Floor | exp.Ceil | exp.Count) or _is_whole_cast(source):
        kind = "DOUBLE" if isinstance(source, exp.Round | exp.Floor | exp.Ceil) else "INTEGER"
    if target in _WHOLE:
        source = _rounded(source, dialect, kind)
    if target in ("INT128", "DECIMAL"):
        return _decimal(node, source, dialect, kind)
    new = node.copy()
    new.set("this", source)
    return new


def _is_whole_cast(node: Node) -> bool:
    return isinstance(node, exp.Cast) and node.args["to"].this.name in _WHOLE


def _rounded(source: Node, dialect: str, kind: str) -> Node:
    """Round before a cast to whole numbers, halves to even as DuckDB does for doubles; Spark would cut off."""
    already = kind in _WHOLE or kind == "VARCHAR" or isinstance(source, exp.Literal | exp.Round | exp.Floor | exp.Ceil)
    return source if dialect != "spark" or already else exp.Anonymous(this="BROUND", expressions=[source])


def _decimal(node: Node, source: Node, dialect: str, kind: str) -> Node:
    """Cast to a decimal without losing digits."""
    digits, scale = _size(node.args["to"])
    if dialect == "bigquery" and scale == 0:
        return exp.cast(source, "BIGDECIMAL")  # NUMERIC has 29 digits before the point: not enough for squares
    if dialect == "postgres" and kind not in _WHOLE and not isinstance(source, exp.Literal):
        # PostgreSQL keeps 15 digits of a double that becomes a decimal; its text and its BIGINT keep all.
        via = "BIGINT" if digits <= _BIGINT_DIGITS and scale == 0 else "TEXT"
        source = exp.cast(source, via)
    return exp.cast(source, f"DECIMAL({digits}, {scale})")


def _size(kind: exp.DataType) -> tuple[int, int]:
    if kind.this.name == "INT128":
        return 38, 0
    digits, scale, *_ = [int(each.name) for each in kind.expressions] + [0, 0] if kind.expressions else [18, 3]
    return digits, scale


# -- aggregates ------------------------------------------------------------------------------------------------------


def _quantile(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    if dialect == "bigquery":
        raise DataError("BigQuery has no exact quantile of groups", advice="Use approx_quantile.")
    if dialect != "spark" or isinstance(node, exp.Median):
        return node
    share = node.expression
    if isinstance(node, exp.PercentileCont):
        return exp.Anonymous(this="PERCENTILE", expressions=[node.this.copy(), share.copy()])
    order = exp.Order(expressions=[exp.Ordered(this=node.this.copy(), nulls_first=True)])
    return exp.WithinGroup(this=exp.Anonymous(this="PERCENTILE_DISC", expressions=[share.copy()]), expression=order)


def _approximate_quantile(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    if dialect == "bigquery":
        return _made("APPROX_QUANTILES(:x, 1000)[CAST(ROUND(1000 * :p) AS INT)]", x=node.this, p=node.args["quantile"])
    if dialect != "postgres":
        return node
    return exp.PercentileCont(this=node.this.copy(), expression=node.args["quantile"].copy())


def _any_value(node: Node, _: str, __: Mapping[str, str]) -> Node:
    """Any value that is there will do, so take the least: every engine has it, and always finds the same."""
    return exp.Min(this=node.this.this.copy()) if isinstance(node.this, exp.AnyValue) else node


def _group_all(group: exp.Group) -> None:
    """Write GROUP BY ALL as places; PostgreSQL does not know it."""
    if group.args.get("all") and group.parent is not None:
        listed = enumerate(group.parent.expressions, start=1)
        places = [exp.Literal.number(place) for place, each in listed if not each.find(exp.AggFunc)]
        group.parent.set("group", exp.Group(expressions=places) if places else None)


# -- times and tables ------------------------------------------------------------------------------------------------


def _anonymous(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    name, parts = node.name.lower(), node.expressions
    if name in _SUMS:
        return _SUMS[name](this=parts[0].copy())
    if name == "isfinite":
        return _is_finite(node, dialect)
    if name == "epoch_us":
        return _made(_EPOCH_US[dialect], x=parts[0])
    return _made(_CLOCK[dialect], zone=parts[0], x=parts[1]) if name == "timezone" else node


_ANONYMOUS = ("isfinite", "epoch_us", "timezone", *_SUMS)


def _epoch(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    """Seconds since 1970 with their fraction, which Spark and Snowflake would cut off."""
    return _made(f"(CAST({_EPOCH_US[dialect]} AS DOUBLE) / 1000000)", x=node.this)


def _truncate_time(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    """Weeks start on Monday; those of BigQuery on Sunday."""
    unit = node.args.get("unit")
    if dialect == "bigquery" and unit is not None and unit.name.upper() == "WEEK":
        node.set("unit", exp.Var(this="ISOWEEK"))
    return node


def _extract(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    if node.name.upper() not in _PARTS:
        known = f"Known: {', '.join(_PARTS)}."
        raise DataError(f"EXTRACT of {node.name} has no translation to {dialect}", advice=known)
    return node


def _series(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    if dialect in ("bigquery", "snowflake"):
        raise DataError(f"a series of rows has no translation to {dialect}", advice="Join a table of periods.")
    return node.this.copy() if dialect == "postgres" else node


def _subquery(node: Node, dialect: str, _: Mapping[str, str]) -> Node:
    """PostgreSQL wants a name for every table."""
    if dialect == "postgres" and isinstance(node.parent, exp.From | exp.Join) and not node.alias:
        position = sum(1 for each in node.root().find_all(exp.Subquery) if each.alias)
        node.set("alias", exp.TableAlias(this=exp.to_identifier(f"cpi_table_{position}", quoted=True)))
    return node


_RULES: dict[type[Node], Callable[[Node, str, Mapping[str, str]], Node]] = {
    exp.Literal: _literal,
    exp.Div: _divide,
    exp.IsNan: _is_nan,
    exp.IsInf: _is_infinite,
    exp.Round: _round,
    exp.BitwiseLeftShift: _shift_left,
    exp.Least: _skip_missing,
    exp.Greatest: _skip_missing,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Median: _quantile,
    exp.PercentileCont: _quantile,
    exp.PercentileDisc: _quantile,
    exp.ApproxQuantile: _approximate_quantile,
    exp.IgnoreNulls: _any_value,
    exp.Anonymous: _anonymous,
    exp.TimeToUnix: _epoch,
    exp.TimestampTrunc: _truncate_time,
    exp.DateTrunc: _truncate_time,
    exp.Extract: _extract,
    exp.Explode: _series,
    exp.Subquery: _subquery,
}
