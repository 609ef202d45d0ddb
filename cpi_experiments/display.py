"""How every result shows itself, and the one table of number formats."""

from __future__ import annotations

import html
import math
import textwrap
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

Row = dict[str, Any]
MAX_ROWS = 20
WIDTH = 80


class Displayed:
    """Mixin: one object, five ways to see it, all from `_title` and `_rows`."""

    __slots__ = ()

    def _title(self) -> str:
        return ""

    def _rows(self) -> list[Row]:
        return [{key: value for key, value in self.to_dict().items() if not isinstance(value, list | dict)}]

    def _shown(self) -> list[Row]:
        """Rows as a person reads them; by default the rows themselves, in short numbers."""
        return [{key: short(value) for key, value in row.items()} for row in self._rows()]

    def to_dict(self) -> Row:
        """Return every field as plain Python content (NaN becomes None, an infinite end ``"inf"``)."""
        content = plain(self)
        return content if isinstance(content, dict) else {"rows": content}

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame, numbers unrounded."""
        import pandas as pd  # noqa: PLC0415 - the package must import without pandas

        return pd.DataFrame(self._rows())

    def __str__(self) -> str:
        rows = self._shown()
        title = "\n".join(part for line in self._title().split("\n") for part in wrapped(line, indent=""))
        if len(rows) == 1 and title:
            return title
        return "\n\n".join(part for part in (title, text_table(rows)) if part)

    def _repr_html_(self) -> str:
        title = html.escape(self._title()).replace("\n", "<br>")
        head = f"<p>{title}</p>" if title else ""
        return head + html_table(self._shown())

    def _repr_markdown_(self) -> str:
        head = f"{self._title()}\n\n" if self._title() else ""
        return head + markdown_table(self._shown())

    def _mime_(self) -> tuple[str, str]:
        return "text/html", self._repr_html_()


def plain(content: Any) -> Any:  # noqa: ANN401 - anything that a result may hold
    """Reduce results, enums, tuples and numpy numbers to what JSON can hold.

    Examples
    --------
    >>> plain({"low": -math.inf, "high": math.nan, "pair": (1, 2.5)})
    {'low': '-inf', 'high': None, 'pair': [1, 2.5]}
    """
    if isinstance(content, Enum):
        return content.value
    if isinstance(content, bool | int | str) or content is None:
        return content
    if hasattr(content, "item") and getattr(content, "ndim", 1) == 0:  # a numpy scalar
        return plain(content.item())
    if isinstance(content, float):
        return None if math.isnan(content) else content if math.isfinite(content) else str(content)
    return _plain_container(content)


def _plain_container(content: Any) -> Any:  # noqa: ANN401
    if is_dataclass(content) and not isinstance(content, type):
        return {field.name: plain(getattr(content, field.name)) for field in fields(content)}
    if hasattr(content, "items"):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple | set | frozenset) or hasattr(content, "tolist"):
        return [plain(item) for item in content]
    return str(content)


# -- numbers ---------------------------------------------------------------------------------------------------------


def decimals(low: float, high: float, *, most: int = 6) -> int:
    """Decimals that an interval earns: two digits of its half-width.

    Examples
    --------
    >>> decimals(0.31, 1.36), decimals(-120, 240)
    (2, 0)
    """
    half = (high - low) / 2
    if not (math.isfinite(half) and half > 0):
        return 3
    return min(max(0, 1 - math.floor(math.log10(half))), most)


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """Round to ``digits`` decimals; words for what is not a number, no negative zero.

    Examples
    --------
    >>> number(0.8264, 2, sign=True), number(-0.0004, 2), number(18204, 0), number(math.nan, 2)
    ('+0.83', '0.00', '18,204', 'not available')
    """
    if math.isnan(value):
        return "not available"
    if math.isinf(value):
        return "no limit"
    text = f"{round(value, digits):+,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return text[1:]
    return text if sign or text.startswith("-") else text[1:]


def interval(low: float, high: float, digits: int, *, sign: bool = False) -> str:
    """Write an interval; a missing end is said in words.

    Examples
    --------
    >>> interval(0.31, 1.36, 2)
    '0.31 to 1.36'
    >>> interval(-math.inf, 1.36, 2)
    'up to 1.36'
    >>> interval(-math.inf, math.inf, 2)
    'any value'
    """
    if math.isnan(low) or math.isnan(high):
        return "not available"
    if math.isinf(low) and math.isinf(high):
        return "any value"
    if math.isinf(low):
        return f"up to {number(high, digits, sign=sign)}"
    if math.isinf(high):
        return f"{number(low, digits, sign=sign)} or more"
    return f"{number(low, digits, sign=sign)} to {number(high, digits, sign=sign)}"


def percent(share: float, digits: int = 0) -> str:
    """Write a share as a percentage.

    Examples
    --------
    >>> percent(0.95), percent(0.7123, 1)
    ('95%', '71.2%')
    """
    return "not available" if math.isnan(share) else f"{100 * share:.{digits}f}%"


def level_text(level: float) -> str:
    """Write a confidence level with as many digits as it has.

    Examples
    --------
    >>> level_text(0.95), level_text(0.975), level_text(0.9999999)
    ('95%', '97.5%', '99.99999%')
    """
    return f"{100 * level:.12g}%"


def points(text: str) -> str:
    """Add the unit to a number of points that is written already.

    Examples
    --------
    >>> points("+1"), points("-2.0")
    ('+1 point', '-2.0 points')
    """
    return f"{text} point{'' if text.lstrip('+-') == '1' else 's'}"


def p_text(p_value: float) -> str:
    """Write a p-value.

    Examples
    --------
    >>> p_text(0.0344), p_text(2e-16)
    ('0.034', '< 0.001')
    """
    if math.isnan(p_value):
        return "not available"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def short(value: Any) -> str:  # noqa: ANN401
    """Write any cell of a table in few characters.

    Examples
    --------
    >>> short(0.123456789), short(None), short(18204), short("won")
    ('0.1235', '', '18,204', 'won')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return clean_text(str(value))


# Control characters, bidirectional overrides and lone surrogates would change how a name is drawn or break a file.
_UNWANTED = {
    **dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(127, 160), *range(55296, 57344)], "�"),
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], ""),
}


def clean_text(text: str) -> str:
    """Make a name safe to draw: no control characters, no bidi overrides, no lone surrogates.

    Examples
    --------
    >>> clean_text("Sales" + chr(0x202E) + "Ops" + chr(7))
    'SalesOps\ufffd'
    """
    return text.translate(_UNWANTED)


#: Tabs and new lines in a name would break the table that it stands in.
_BREAKS = dict.fromkeys((9, 10, 13, 0x2028, 0x2029), " ")


def one_line(text: str) -> str:
    """Make a name safe to stand in a line or a table.

    Examples
    --------
    >>> one_line("won" + chr(10) + "back")
    'won back'
    """
    return clean_text(text.replace("\r\n", " ")).translate(_BREAKS)


# -- tables ----------------------------------------------------------------------------------------------------------


def wrapped(text: str, *, indent: str = "  ") -> list[str]:
    """Break a line so that it fits 80 columns; every part is indented.

    Examples
    --------
    >>> wrapped("2,000 rows; least squares")
    ['  2,000 rows; least squares']
    """
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every key of every row, in order of first appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))


def _hidden(rows: Sequence[Any]) -> str:
    return f"... {len(rows) - MAX_ROWS} more rows" if len(rows) > MAX_ROWS else ""


def text_table(rows: Sequence[Mapping[str, str]], *, right: Iterable[str] = ()) -> str:
    r"""Lay rows out in columns of text.

    Examples
    --------
    >>> print(text_table([{"link": "a -> b", "n": "12"}], right=["n"]))
    link     n
    a -> b  12
    """
    if not rows:
        return "(no rows)"
    names = columns_of(rows)
    cells = [[*map(one_line, names)], *([one_line(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    flush = set(right)
    lines = [
        "  ".join(
            text.rjust(width) if name in flush else text.ljust(width)
            for text, width, name in zip(line, widths, names, strict=True)
        ).rstrip()
        for line in cells
    ]
    return "\n".join(lines)


def html_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Lay rows out as an HTML table, every cell escaped."""
    names = columns_of(rows)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(row.get(name, ''))}</td>" for name in names) + "</tr>"
        for row in rows[:MAX_ROWS]
    )
    note = f"<p>{_hidden(rows)}</p>" if _hidden(rows) else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Lay rows out as a Markdown table; pipes in cells are escaped."""
    names = columns_of(rows)
    lines = [names, ["---"] * len(names), *([row.get(name, "") for name in names] for row in rows[:MAX_ROWS])]
    text = "\n".join("| " + " | ".join(one_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{text}\n\n{_hidden(rows)}" if _hidden(rows) else text
