"""The look of every picture, and the two ways out: SVG text and PNG bytes, the same bytes each time."""

from __future__ import annotations

import io
import re
import textwrap
import unicodedata
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure

from cpi_experiments.errors import CpiWarning

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.text import Text

EXPERIMENT = "#0072B2"
PAST = "#D55E00"
PAST_TEXT = "#8A3C00"
INK = "#1F2933"
QUIET = "#4B5563"
BAND = "#E9EDF2"
RULE = "#C5CDD6"

#: Drawn first; the others help out where it has no glyph and the machine has them.
FONT = "DejaVu Sans"
_HELPERS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Noto Sans Arabic", "Noto Emoji", "Symbola")
_SETTINGS: dict[Any, Any] = {"svg.hashsalt": "cpi_experiments", "svg.fonttype": "none", "svg.id": None}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_ID = re.compile(r'(\bid="|url\(#|href="#)')
_BIDI = frozenset({*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lettering:
    """How a piece of text is set; sizes in points."""

    size: float = 10.5
    colour: str = INK
    align: Literal["left", "center", "right"] = "left"
    valign: Literal["baseline", "bottom", "center", "top"] = "center"
    bold: bool = False


BODY = Lettering()


@lru_cache(maxsize=1)
def font_families() -> list[str]:
    """Return the fonts to draw with: ours, then those of this machine that know other scripts."""
    installed = set(font_manager.get_font_names())
    return [FONT, *(name for name in _HELPERS if name in installed)]


def new_figure(width: float, height: float) -> Figure:
    """Make an empty white figure; no pyplot, so nothing is left behind in the process.

    Parameters
    ----------
    width, height : float
        In inches.

    Examples
    --------
    >>> new_figure(4, 3).get_size_inches().tolist()
    [4.0, 3.0]
    """
    return Picture(figsize=(width, height), dpi=150, facecolor="white")


class Picture(Figure):
    """A figure that a notebook draws once when a cell returns it; without pyplot nothing else would."""

    def _repr_png_(self) -> bytes:
        return to_png(self)


def paper(figure: Figure) -> Axes:
    """Lay invisible axes over the whole figure, measured in inches from its lower left corner."""
    axes = figure.add_axes((0, 0, 1, 1), facecolor="none")
    axes.set_axis_off()
    width, height = figure.get_size_inches()
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    return axes


def drawable(text: str) -> str:
    """Take out what would break a file or turn a name around: control characters, surrogates, bidi overrides.

    Examples
    --------
    >>> drawable("Sales" + chr(0x202E) + " Ops" + chr(0))
    'Sales Ops\ufffd'
    """
    kept = (
        char if char.isspace() or unicodedata.category(char) not in ("Cc", "Cs") else "�"
        for char in text
        if char not in _BIDI
    )
    return " ".join("".join(kept).split())


def fold(text: str, width: int, *, lines: int = 2) -> str:
    """Break a name into at most ``lines`` lines of ``width`` characters; what is too long ends in an ellipsis.

    Examples
    --------
    >>> print(fold("First Time Resolution of every request", 14))
    First Time
    Resolution of…
    """
    return "\n".join(textwrap.wrap(drawable(text), width, max_lines=lines, placeholder="…") or [""])


def write(axes: Axes, at: tuple[float, float], text: str, *, lettering: Lettering = BODY) -> Text:
    """Put text on axes, never read as mathematics: a name may hold dollar signs and backslashes."""
    return axes.text(
        *at,
        text,
        parse_math=False,
        family=font_families(),
        fontsize=lettering.size,
        color=lettering.colour,
        ha=lettering.align,
        va=lettering.valign,
        fontweight="bold" if lettering.bold else "normal",
        linespacing=1.15,
    )


def to_svg(figure: Figure, *, name: str = "") -> str:
    """Return the figure as one SVG element; text stays text, and the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
    name : str
        Put before every id, so that several pictures can stand in one page.

    Examples
    --------
    >>> to_svg(new_figure(1, 1)).startswith("<svg")
    True
    """
    text = _render(figure, "svg", _NO_METADATA, warn=False).decode()
    text = text.replace(f"'{FONT}'", f"'{FONT}', Verdana, sans-serif")
    text = "\n".join(line.rstrip() for line in text[text.index("<svg") :].splitlines()) + "\n"
    return _ID.sub(rf"\g<1>{name}-", text) if name else text


def to_png(figure: Figure) -> bytes:
    """Return the figure as PNG, 150 dots an inch.

    Warns
    -----
    CpiWarning
        If this machine has no font for a character of a name; an empty box is drawn in its place.
    """
    return _render(figure, "png", {"Software": None}, warn=True)


def save_png(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG and return the path."""
    path.write_bytes(to_png(figure))
    return path


def _render(figure: Figure, kind: str, metadata: Mapping[str, None], *, warn: bool) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught, mpl.rc_context(_SETTINGS):
        warnings.simplefilter("always")
        figure.savefig(buffer, format=kind, metadata=dict(metadata))
    glyphs = [note for note in caught if "lyph" in str(note.message)]
    for note in caught:
        if note not in glyphs:
            warnings.warn_explicit(note.message, note.category, note.filename, note.lineno)
    if glyphs and warn:  # in SVG the reader's own fonts draw the text
        missing = len({str(note.message) for note in glyphs})
        warnings.warn(
            f"{missing} characters of the labels have no font here and are drawn as boxes; install Noto fonts",
            CpiWarning,
            stacklevel=3,
        )
    return buffer.getvalue()
