"""How a deck is drawn: titles, texts, tables, pictures with words for those who cannot see them.

With `report.deck` the only modules that need python-pptx; `report.pptx` imports them only when a deck is written.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.opc.constants import RELATIONSHIP_TYPE
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls
from pptx.util import Emu, Inches, Length, Pt

from cpi_experiments.report.folding import CELL, LINE, PAD, Grid, shorten, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pptx.presentation import Presentation as Deck
    from pptx.slide import Slide

WIDTH, HEIGHT = 13.333, 7.5
MARGIN, TOP, BOTTOM = 0.6, 1.2, 6.95  # the body of a slide lies between
INK, QUIET, GROUND = "1F2933", "4B5563", "F1F3F6"
#: Colours of verdicts, standings and states; the word itself always stands there too.
COLOURS = {
    **dict.fromkeys(("confirmed", "assignable", "OK"), "00543A"),
    **dict.fromkeys(("refuted", "Watch"), "8A3C00"),
    **dict.fromkeys(("inconclusive", "not yet", "no lever"), QUIET),
    **dict.fromkeys(("blocked", "Blocked"), "000000"),
}
MOST_TITLE = 110

_FONT = "Arial"
_NO_STYLE = "{2D5ABB26-0587-4C30-8999-92F81FD0307C}"  # PowerPoint's own table without lines and fills
_LONG_AGO = datetime(1980, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle of a slide, in inches."""

    left: float = MARGIN
    top: float = TOP
    width: float = WIDTH - 2 * MARGIN
    height: float = BOTTOM - TOP


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a text is set; the size in points."""

    size: float = 14
    colour: str = INK
    bold: bool = False
    centred: bool = False


def _fill(frame: Any, text: str, style: Style) -> None:  # noqa: ANN401 - a text frame of a shape or of a cell
    frame.word_wrap = True
    for place, line in enumerate(text.split("\n")):
        paragraph = frame.paragraphs[0] if place == 0 else frame.add_paragraph()
        paragraph.alignment = PP_ALIGN.CENTER if style.centred else PP_ALIGN.LEFT
        if not line:  # else an empty line is as high as one of 18 points
            paragraph._p.get_or_add_endParaRPr().set("sz", str(round(100 * style.size)))  # noqa: SLF001 - no public way
            continue
        run = paragraph.add_run()
        run.text = shown(line)
        run.font.size, run.font.bold, run.font.name = Pt(style.size), style.bold, _FONT
        run.font.color.rgb = _rgb(style.colour)


def _margins(part: Any, size: float) -> None:  # noqa: ANN401 - a text frame or a cell
    part.margin_left = part.margin_right = part.margin_top = part.margin_bottom = Inches(size)


def put_text(slide: Slide, text: str, box: Box, *, style: Style) -> None:
    """Write a text into a box of a slide."""
    shape = slide.shapes.add_textbox(*_emu(box))
    _margins(shape.text_frame, 0)
    _fill(shape.text_frame, text, style)


def put_card(slide: Slide, text: str, box: Box, *, style: Style) -> None:
    """Write a text into a filled box: its first line large, the others small."""
    card = slide.shapes.add_textbox(*_emu(box))
    card.fill.solid()
    card.fill.fore_color.rgb = _rgb(GROUND)
    card.text_frame.vertical_anchor = MSO_ANCHOR.MIDDLE
    _fill(card.text_frame, text, style)
    for paragraph in card.text_frame.paragraphs[1:]:
        paragraph.runs[0].font.size = Pt(style.size / 2)


# -- slides ----------------------------------------------------------------------------------------------------------


def new_deck(title: str) -> Deck:
    """Start a deck of 16:9 slides, 13.333 by 7.5 inches."""
    deck = Presentation()
    stretch = Inches(WIDTH) / deck.slide_width
    deck.slide_width, deck.slide_height = Inches(WIDTH), Inches(HEIGHT)
    for page in (deck.slide_master, *deck.slide_layouts):  # so that a slide added by hand fits too
        for shape in page.placeholders:
            shape.left, shape.top, shape.width, shape.height = (
                Emu(int(shape.left * stretch)), shape.top, Emu(int(shape.width * stretch)), shape.height,
            )  # fmt: skip
    facts = deck.core_properties
    facts.title, facts.author, facts.last_modified_by = shown(title), "", ""
    facts.created = facts.modified = _LONG_AGO
    package = deck.part.package
    for name, relation in list(package._rels.items()):  # noqa: SLF001 - no public way; the thumbnail is of another deck
        if relation.reltype == RELATIONSHIP_TYPE.THUMBNAIL:
            package.drop_rel(name)
    return deck


def add_slide(
    deck: Deck, title: str, *, lead: str = "", source: str, notes: Iterable[str] = (), top: float = 0.3
) -> Slide:
    """Add a slide with its title, one sentence below it, its source line and its notes."""
    slide: Slide = deck.slides.add_slide(_layout(deck))
    head: Any = slide.shapes.title
    head.left, head.top, head.width, head.height = _emu(Box(top=top, height=0.85))
    head.text_frame.vertical_anchor = MSO_ANCHOR.MIDDLE
    _margins(head.text_frame, 0)
    _fill(head.text_frame, shorten(title, MOST_TITLE), Style(size=24, bold=True))
    if lead:
        put_text(slide, lead, Box(height=0.5), style=Style(colour=QUIET))
    put_text(slide, source, Box(top=7.02, height=0.25), style=Style(size=10, colour=QUIET))
    spoken: Any = slide.notes_slide.notes_text_frame
    spoken.text = shown("\n".join(notes))
    return slide


def _layout(deck: Any) -> Any:  # noqa: ANN401 - python-pptx types only parts of itself
    return deck.slide_layouts.get_by_name("Title Only")


def put_picture(slide: Slide, png: bytes, alt: str, *, box: Box) -> None:
    """Put a picture into the middle of a box, as large as fits, with words for those who cannot see it."""
    picture = slide.shapes.add_picture(io.BytesIO(png), Emu(0), Emu(0))
    left, top, width, height = _emu(box)
    scale = min(width / picture.width, height / picture.height)
    picture.width, picture.height = Emu(int(picture.width * scale)), Emu(int(picture.height * scale))
    picture.left, picture.top = Emu(left + (width - picture.width) // 2), Emu(top + (height - picture.height) // 2)
    _say(picture, alt)


def put_table(slide: Slide, grid: Grid, *, top: float) -> None:
    """Draw a table; cells that hold a verdict, standing or state are coloured, names are bold."""
    heights = [LINE + 2 * PAD, *grid.heights()]
    box = Box(top=top, width=sum(grid.widths), height=sum(heights))
    frame = slide.shapes.add_table(len(heights), len(grid.widths), *_emu(box))
    _say(frame, grid.name)
    table: Any = frame.table
    table.horz_banding = False
    table._tbl.tblPr.find("{*}tableStyleId").text = _NO_STYLE  # noqa: SLF001 - no public way to choose a style
    for column, width in zip(table.columns, grid.widths, strict=True):
        column.width = Inches(width)
    for row, height in zip(table.rows, heights, strict=True):
        row.height = Inches(height)
    for at, text in enumerate(grid.heads):
        cell = table.cell(0, at)
        cell.fill.solid()
        cell.fill.fore_color.rgb = _rgb(GROUND)
        _put_cell(cell, text, Style(size=CELL, colour=QUIET, bold=True))
    for place, row in enumerate(grid.rows, start=1):
        for at, text in enumerate(grid.fitted(row)):
            word = text.split(" ", 1)[-1]
            style = Style(size=CELL, colour=COLOURS.get(word, INK), bold=at == 0 or word in COLOURS)
            _put_cell(table.cell(place, at), text, style)


def _put_cell(cell: Any, text: str, style: Style) -> None:  # noqa: ANN401 - a private class of python-pptx
    _margins(cell, PAD)
    _rule(cell)
    _fill(cell.text_frame, text, style)


def _rule(cell: Any) -> None:  # noqa: ANN401 - a private class of python-pptx
    """Draw a thin line below a cell; it must stand before the fill."""
    line = f'<a:lnB w="9525" {nsdecls("a")}><a:solidFill><a:srgbClr val="C5CDD6"/></a:solidFill></a:lnB>'
    cell._tc.get_or_add_tcPr().insert(0, parse_xml(line))  # noqa: SLF001 - no public way to draw one border


def _say(shape: Any, words: str) -> None:  # noqa: ANN401 - a picture or the frame of a table
    shape._element.xpath(".//p:cNvPr")[0].set("descr", shown(words))  # noqa: SLF001 - no public way to set alt text


def _rgb(colour: str) -> RGBColor:
    red, green, blue = bytes.fromhex(colour)
    return RGBColor(red, green, blue)  # type: ignore[no-untyped-call]  # python-pptx types only parts of itself


def _emu(box: Box) -> tuple[Length, Length, Length, Length]:
    return Inches(box.left), Inches(box.top), Inches(box.width), Inches(box.height)


# -- bytes -----------------------------------------------------------------------------------------------------------


def deck_bytes(deck: Deck) -> bytes:
    """Return the file of a deck: entries sorted and dated alike, so that the same deck gives the same bytes."""
    loose, packed = io.BytesIO(), io.BytesIO()
    deck.save(loose)
    with zipfile.ZipFile(loose) as source, zipfile.ZipFile(packed, "w") as target:
        for name in sorted(source.namelist()):
            entry = zipfile.ZipInfo(name)  # dated 1980-01-01
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            target.writestr(entry, source.read(name))
    return packed.getvalue()
