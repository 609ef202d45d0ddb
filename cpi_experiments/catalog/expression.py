"""A measure's value: a tiny arithmetic over columns, parsed into a tree and written as SQL; never evaluated here.

Python's parser reads the text, a whitelist of node kinds builds the tree, and everything else is refused.
"""

from __future__ import annotations

import ast
import math
import re
import unicodedata
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cpi_experiments.errors import CatalogError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds in the unit that each duration function counts in.
DURATIONS: Final[dict[str, int]] = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
FUNCTIONS: Final = (*DURATIONS, "greatest", "least", "abs")
ALLOWED: Final = (
    "Use column names and numbers with only + - * /, the comparisons == != < <= > >=, and the listed functions: "
    "hours(from, to), days(from, to), minutes(from, to), seconds(from, to), greatest, least, abs."
)

_MAX_CHARACTERS = 500
_MAX_DEPTH = 20
_ARITHMETIC: Final[dict[type[ast.operator], str]] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARISONS: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "=",
    ast.NotEq: "<>",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_COLUMN = re.compile(r"[^\W\d]\w*")
_FILTER = re.compile(r"\s*([^\W\d]\w*)\s*(=|==|!=)\s*(?:'([^'\"\\]*)'|\"([^'\"\\]*)\")\s*")
_CHARACTERS = re.compile(r"[\w\s+\-*/()<>=!.,'\"]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the event table."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A finite number."""

    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text that a column is compared with."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Two sides and a sign: arithmetic or a comparison."""

    sign: str
    left: Node
    right: Node

    @property
    def compares(self) -> bool:
        """Whether the result is true or false rather than a number."""
        return self.sign in _COMPARISONS.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A listed function and its arguments."""

    name: str
    arguments: tuple[Node, ...]


Node = Column | Number | Text | Operation | Call


def quoted(name: str) -> str:
    """Quote a column for SQL.

    Examples
    --------
    >>> print(quoted('odd "column" name'))
    "odd ""column"" name"
    """
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A parsed measure value.

    Parameters
    ----------
    text : str
        As written.
    tree : Column, Number, Text, Operation or Call
        What it means.

    Examples
    --------
    >>> value = parse_expression("hours(requested_at, quoted_at)")
    >>> value.columns
    ('requested_at', 'quoted_at')
    >>> value.sql()
    '((epoch_us("quoted_at") - epoch_us("requested_at")) / 3600e6)'
    """

    text: str
    tree: Node

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, once, in order of appearance."""
        return tuple(dict.fromkeys(_columns(self.tree)))

    @property
    def time_columns(self) -> tuple[str, ...]:
        """The columns between which a duration is taken; they must hold times."""
        return tuple(dict.fromkeys(_time_columns(self.tree)))

    @property
    def compares(self) -> bool:
        """Whether the whole expression is true or false rather than a number."""
        return isinstance(self.tree, Operation) and self.tree.compares

    def sql(self, quote: Callable[[str], str] = quoted) -> str:
        """Write the expression for DuckDB.

        A division by zero and a function of a missing value are missing. All numbers are doubles.

        Parameters
        ----------
        quote : callable
            Turns a column's name into SQL; the caller may cast there. Durations need the column as a time.

        Examples
        --------
        >>> parse_expression("paid / orders").sql()
        '("paid" / nullif("orders", 0))'
        """
        return _sql(self.tree, quote)


def parse_expression(text: str) -> Expression:
    """Read a measure's value without evaluating it.

    Parameters
    ----------
    text : str
        A column, or columns and numbers with ``+ - * /``, one comparison, and the listed functions.

    Raises
    ------
    CatalogError
        If anything else stands in the text.

    Examples
    --------
    >>> parse_expression("contacts == 1").sql()
    '("contacts" = 1e0)'
    """
    text = text.strip()
    if len(text) > _MAX_CHARACTERS:
        raise _refused(text, f"has {len(text):,} characters, more than {_MAX_CHARACTERS}")
    if _COLUMN.fullmatch(text):
        return Expression(text=text, tree=Column(name=text))
    return Expression(text=text, tree=_node(_parsed(text), text, 0))


def parse_filter(text: str) -> Expression:
    """Read the filter of a measure: ``column = 'text'`` or any one comparison.

    Raises
    ------
    CatalogError
        If the text is not one comparison.

    Examples
    --------
    >>> print(parse_filter("channel = 'web'").sql())
    ("channel" = 'web')
    """
    simple = _FILTER.fullmatch(text)
    if simple:
        column, sign, single, double = simple.groups()
        side = Text(value=single if single is not None else double)
        tree = Operation(sign="<>" if sign == "!=" else "=", left=Column(name=column), right=side)
        return Expression(text=text.strip(), tree=tree)
    expression = parse_expression(text)
    if not expression.compares:
        raise CatalogError(f"filter {_shown(text)} is not a comparison", advice="Write it like `channel = 'web'`.")
    return expression


def _parsed(text: str) -> ast.expr:
    # Python folds look-alike letters into others; a column would silently become another one.
    if not _CHARACTERS.fullmatch(text) or unicodedata.normalize("NFKC", text) != text:
        raise _refused(text, "holds a character that is not allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _refused(text, "cannot be read") from None


def _node(found: ast.expr, text: str, depth: int) -> Node:
    if depth > _MAX_DEPTH:
        raise _refused(text, f"is nested deeper than {_MAX_DEPTH}")
    if isinstance(found, ast.Name):
        return Column(name=found.id)
    if isinstance(found, ast.Constant):
        return _number(found.value, text)
    if isinstance(found, ast.UnaryOp) and isinstance(found.op, ast.USub):
        return _negative(_node(found.operand, text, depth + 1))
    if isinstance(found, ast.BinOp) and type(found.op) in _ARITHMETIC:
        left, right = _node(found.left, text, depth + 1), _node(found.right, text, depth + 1)
        return Operation(sign=_ARITHMETIC[type(found.op)], left=left, right=right)
    if isinstance(found, ast.Compare):
        return _comparison(found, text, depth)
    if isinstance(found, ast.Call):
        return _call(found, text, depth)
    raise _refused(text, f"holds {_KINDS.get(type(found).__name__, 'something')} that is not allowed")


_KINDS: Final = {
    "Attribute": "an attribute (a.b)",
    "Subscript": "a subscript (a[b])",
    "Lambda": "a lambda",
    "BinOp": "an operator",
    "UnaryOp": "an operator",
    "BoolOp": "`and` or `or`",
    "IfExp": "`if`",
}


def _number(value: object, text: str) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(text, f"holds {value!r} where a column or a number is needed")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _refused(text, "holds a number that is too large")
    return Number(value=number)


def _negative(node: Node) -> Node:
    if isinstance(node, Number):
        return Number(value=-node.value)
    return Operation(sign="-", left=Number(value=0.0), right=node)


def _comparison(found: ast.Compare, text: str, depth: int) -> Operation:
    if len(found.ops) != 1 or type(found.ops[0]) not in _COMPARISONS:
        raise _refused(text, "compares more than two sides, or with `in` or `is`")
    sign = _COMPARISONS[type(found.ops[0])]
    sides = [
        Text(value=side.value)
        if isinstance(side, ast.Constant) and isinstance(side.value, str) and sign in ("=", "<>")
        else _node(side, text, depth + 1)
        for side in (found.left, found.comparators[0])
    ]
    if isinstance(sides[0], Text) and isinstance(sides[1], Text):
        raise _refused(text, "compares two texts")
    return Operation(sign=sign, left=sides[0], right=sides[1])


def _call(found: ast.Call, text: str, depth: int) -> Call:
    if not isinstance(found.func, ast.Name):
        raise _refused(text, "calls something that is not a listed function")
    name = found.func.id
    if name not in FUNCTIONS:
        raise _refused(text, f"calls {name!r}, which is not a listed function", hint=nearest(name, list(FUNCTIONS)))
    if found.keywords:
        raise _refused(text, f"gives {name} a named argument")
    arguments = tuple(_node(argument, text, depth + 1) for argument in found.args)
    needed = {"abs": (1, 1), "greatest": (2, 9), "least": (2, 9)}.get(name, (2, 2))
    if not needed[0] <= len(arguments) <= needed[1]:
        raise _refused(text, f"gives {name} {len(arguments)} arguments")
    if name in DURATIONS and not all(isinstance(argument, Column) for argument in arguments):
        raise _refused(text, f"gives {name} something other than two time columns")
    return Call(name=name, arguments=arguments)


def _columns(node: Node) -> list[str]:
    if isinstance(node, Column):
        return [node.name]
    return [name for part in _parts(node) for name in _columns(part)]


def _time_columns(node: Node) -> list[str]:
    if isinstance(node, Call) and node.name in DURATIONS:
        return _columns(node)
    return [name for part in _parts(node) for name in _time_columns(part)]


def _parts(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Operation):
        return (node.left, node.right)
    return node.arguments if isinstance(node, Call) else ()


def _sql(node: Node, quote: Callable[[str], str]) -> str:
    if isinstance(node, Column):
        return quote(node.name)
    if isinstance(node, Number):
        return _literal(node.value)
    if isinstance(node, Text):
        return "'" + node.value.replace("'", "''") + "'"
    if isinstance(node, Call):
        return _call_sql(node, quote)
    left, right = (_operand(side, quote) for side in (node.left, node.right))
    return f"({left} / nullif({right}, 0))" if node.sign == "/" else f"({left} {node.sign} {right})"


def _literal(value: float) -> str:
    text = f"{value:.15g}" if float(f"{value:.15g}") == value else repr(value)
    text = text if "e" in text else f"{text}e0"  # without an exponent DuckDB reads a decimal, not a double
    return f"({text})" if text.startswith("-") else text


def _operand(node: Node, quote: Callable[[str], str]) -> str:
    """Write one side; a comparison inside arithmetic counts as 1 or 0."""
    text = _sql(node, quote)
    return f"CAST({text} AS DOUBLE)" if isinstance(node, Operation) and node.compares else text


def _call_sql(node: Call, quote: Callable[[str], str]) -> str:
    texts = [_operand(argument, quote) for argument in node.arguments]
    if node.name in DURATIONS:
        return f"((epoch_us({texts[1]}) - epoch_us({texts[0]})) / {DURATIONS[node.name]}e6)"
    if node.name == "abs":
        return f"abs({texts[0]})"
    missing = " OR ".join(f"{text} IS NULL" for text in texts)  # DuckDB would skip the missing ones
    return f"(CASE WHEN {missing} THEN NULL ELSE {node.name}({', '.join(texts)}) END)"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _refused(text: str, why: str, *, hint: str = "") -> CatalogError:
    advice = f"{hint} {ALLOWED}" if hint.startswith("Did") else ALLOWED
    return CatalogError(f"value {_shown(text)} {why}", advice=advice)
