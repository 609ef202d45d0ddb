"""How texts fold and tables break on slides, estimated before anything is drawn."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cpi_experiments.display import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Points: letters of a cell. Inches: height of their line, space around them.
CELL = 12
LINE, PAD = 1.2 * CELL / 72, 0.07

_MINUS = re.compile(r"(?<![\w-])-(?=[\d.])")
_NOT_XML = str.maketrans(dict.fromkeys((0xFFFE, 0xFFFF), "�"))


def shown(text: str) -> str:
    """Make a text safe for a slide; numbers get a true minus.

    Examples
    --------
    >>> shown("-0.5 to +1" + chr(7))
    '−0.5 to +1\ufffd'
    """
    return _MINUS.sub("−", clean_text(text).translate(_NOT_XML))


def shorten(text: str, most: int) -> str:
    """Cut a text to ``most`` characters; what was cut ends in an ellipsis.

    Examples
    --------
    >>> shorten("Fast Quote", 6), shorten("Fast", 6)
    ('Fast…', 'Fast')
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def line_count(text: str, room: float, *, size: float = CELL) -> int:
    r"""Estimate into how many lines a text is folded.

    Parameters
    ----------
    text : str
        May hold line breaks.
    room, size : float
        Width of the box and size of the letters, in points.

    Examples
    --------
    >>> line_count("Fast Quote", 100), line_count("Fast Quote", 40), line_count("a\nb", 100)
    (1, 2, 2)
    """
    lines = 0
    for part in text.split("\n"):
        lines, used = lines + 1, 0.0
        for word in part.split(" "):
            wide = size * sum(map(_em, word))
            if used and used + wide > room:
                lines, used = lines + 1, 0.0
            lines += int(wide // room) + (wide > room)  # one more: where a word is broken, lines stay ragged
            used += wide % room + size * _em(" ")
    return lines


def _em(char: str) -> float:
    """Width of a character of a bold sans serif font, in multiples of its size, rather too wide than too narrow."""
    if unicodedata.combining(char):
        return 0.0
    if unicodedata.east_asian_width(char) in "WF":
        return 1.0
    if char in "iljtfI.,:;'|!() ":
        return 0.34
    return 0.78 if char.isupper() or char in "mw%@+" or not char.isascii() else 0.58


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table before it is cut into slides.

    Parameters
    ----------
    name : str
        What a screen reader says.
    heads, widths : tuple
        One for each column; widths in inches.
    rows : tuple of tuple of str
    notes : tuple of str
        One for each row, for the notes of its slide.
    most_lines : int
        Longer cells end in an ellipsis.
    """

    name: str
    heads: tuple[str, ...]
    widths: tuple[float, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    most_lines: int = 6

    def fitted(self, row: tuple[str, ...]) -> tuple[str, ...]:
        """Cut the cells of a row until they fit into their lines."""
        return tuple(_fitted(text, _room(width), self.most_lines) for text, width in zip(row, self.widths, strict=True))

    def heights(self) -> list[float]:
        """Return the height that each row will need, in inches."""
        return [LINE * self._lines(row) + 2 * PAD for row in self.rows]

    def _lines(self, row: tuple[str, ...]) -> int:
        lines = [line_count(text, _room(width)) for text, width in zip(row, self.widths, strict=True)]
        return min(max(lines), self.most_lines)


def cut(grid: Grid, room: float, *, most_rows: int) -> Iterator[Grid]:
    """Cut a table into parts of at most ``most_rows`` rows that are at most ``room`` inches high.

    Examples
    --------
    >>> grid = Grid(name="t", heads=("a",), widths=(3.0,), rows=(("x",),) * 5)
    >>> [len(part.rows) for part in cut(grid, 5.0, most_rows=2)]
    [2, 2, 1]
    """
    first, used = 0, LINE + 2 * PAD
    for at, height in enumerate(grid.heights()):
        if at > first and (at - first == most_rows or used + height > room):
            yield _slice(grid, first, at)
            first, used = at, LINE + 2 * PAD
        used += height
    if grid.rows:
        yield _slice(grid, first, len(grid.rows))


def _slice(grid: Grid, first: int, end: int) -> Grid:
    return replace(grid, rows=grid.rows[first:end], notes=grid.notes[first:end])


def _room(width: float) -> float:
    """Width of a cell's text, in points."""
    return 72 * (width - 2 * PAD)


def _fitted(text: str, room: float, most_lines: int) -> str:
    short, size = text, len(text)
    while line_count(short, room) > most_lines:
        size = int(size * 0.95)
        short = shorten(text, size)
    return short
