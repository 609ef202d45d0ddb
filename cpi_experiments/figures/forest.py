"""The forest plot: past data beside experiments, one row a link, all rows in one unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matplotlib.patches import Rectangle

from cpi_experiments.figures.canvas import (
    BAND,
    EXPERIMENT,
    INK,
    PAST,
    PAST_TEXT,
    QUIET,
    RULE,
    Lettering,
    fold,
    new_figure,
    paper,
    write,
)
from cpi_experiments.figures.marks import ForestRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ForestRow", "forest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Measures of one version, in inches; text in points."""

    width: float
    left: float
    right: float
    row: float
    head: float
    foot: float
    text: float
    fold: int
    fold_foot: int
    fold_title: int
    narrow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """Shape and colour of one source of evidence; shape too, because the two colours are alike in grey."""

    name: str
    shape: str
    size: float
    colour: str
    text: str


_LINE = 0.2  # height of a line of text, inches
_CIRCLE = _Mark(name="experiment", shape="o", size=8, colour=EXPERIMENT, text=EXPERIMENT)
_DIAMOND = _Mark(name="past data", shape="D", size=6.5, colour=PAST, text=PAST_TEXT)


_WIDE = _Frame(
    width=10,
    left=3.3,
    right=1.65,
    row=0.5,
    head=0.9,
    foot=1.0,
    text=10.5,
    fold=34,
    fold_foot=66,
    fold_title=90,
    narrow=False,
)
_NARROW = _Frame(
    width=3.73,
    left=0.12,
    right=0.12,
    row=0.8,
    head=1.2,
    foot=1.3,
    text=9,
    fold=40,
    fold_foot=42,
    fold_title=36,
    narrow=True,
)


def forest(rows: Sequence[ForestRow], *, title: str, axis_label: str, narrow: bool = False) -> Figure:
    """Draw effects of links with their ranges: circles from experiments, diamonds from past data.

    Right of zero is better for the company; whoever calls flips KPIs that are better low and says so in the label.

    Parameters
    ----------
    rows : sequence of ForestRow
        In multiples of the smallest effect worth acting on, so that links with different KPIs share one axis.
    title, axis_label : str
    narrow : bool
        The version for a phone: names above the ranges.

    Examples
    --------
    >>> row = ForestRow(label="Fast Quote -> Win rate", experiment=(2.1, 0.8, 3.4), past=(3.0, 2.5, 3.5))
    >>> forest([row], title="Effects", axis_label="multiples").get_size_inches().tolist()
    [10.0, 2.4]
    """
    frame = _NARROW if narrow else _WIDE
    heading, footing = fold(title, frame.fold_title, lines=4), fold(axis_label, frame.fold_foot, lines=6)
    frame = replace(
        frame,
        head=max(frame.head, (0.8 if narrow else 0.7) + _LINE * (heading.count("\n") + 1)),
        foot=max(frame.foot, 0.4 + _LINE * (footing.count("\n") + 1)),
    )
    count = max(len(rows), 1)
    figure = new_figure(frame.width, frame.head + frame.row * count + frame.foot)
    sheet = paper(figure)
    sheet.set_zorder(1)  # names stand before the band, not behind it
    axes = _add_plot(figure, frame, count=count, reach=_reach(rows))
    for place, row in enumerate(reversed(rows)):
        _draw_name(sheet, row, frame.foot + frame.row * (place + 0.5), frame=frame)
        _draw_row(axes, row, place, frame=frame)
    if not rows:
        write(axes, (0, 0), "No link to show", lettering=Lettering(size=frame.text, colour=QUIET, align="center"))
    _write_head(sheet, heading, frame=frame)
    below = Lettering(size=frame.text, colour=QUIET, align="center", valign="top")
    middle = (frame.left + frame.width - frame.right) / 2
    write(sheet, (middle, frame.foot - 0.36), footing, lettering=below)
    return figure


def _reach(rows: Sequence[ForestRow]) -> float:
    """Half-width of the axis: every point inside it, and ends as far as they do not squeeze the points."""
    triples = [triple for row in rows for triple in (row.experiment, row.past) if math.isfinite(triple[0])]
    points = max((abs(value) for value, _, _ in triples), default=0.0)
    ends = max((abs(end) for _, low, high in triples for end in (low, high) if math.isfinite(end)), default=0.0)
    return 1.12 * max(1.6, points, min(ends, 2.5 * max(points, 1.2)))


def _add_plot(figure: Figure, frame: _Frame, *, count: int, reach: float) -> Axes:
    width, height = figure.get_size_inches()
    across = (frame.width - frame.left - frame.right) / width
    axes = figure.add_axes((frame.left / width, frame.foot / height, across, frame.row * count / height))
    axes.set_facecolor("none")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-0.5, count - 0.5)
    axes.axvspan(-1, 1, color=BAND, zorder=0, linewidth=0).set_label("too small to matter")
    axes.axvline(0, color=INK, linewidth=1.1, zorder=1).set_label("zero")
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=5 if frame.narrow else 11, integer=True)
    axes.tick_params(axis="x", colors=QUIET, labelsize=frame.text, length=4)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0")
    return axes


def _draw_name(sheet: Axes, row: ForestRow, centre: float, *, frame: _Frame) -> None:
    if frame.narrow:
        above = Lettering(size=frame.text, valign="bottom")
        words = write(sheet, (frame.left, centre + 0.02), fold(row.label, frame.fold), lettering=above)
        words.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
        return
    write(sheet, (0.1, centre), fold(row.label, frame.fold), lettering=Lettering(size=frame.text))
    note = Lettering(size=frame.text, colour=EXPERIMENT, align="right")
    write(sheet, (frame.width - 0.1, centre), fold(row.note, 16), lettering=note)


def _draw_row(axes: Axes, row: ForestRow, place: int, *, frame: _Frame) -> None:
    centre = place - 0.24 if frame.narrow else place
    if row.empty:
        faint = Lettering(size=frame.text, colour=QUIET, align="center")
        words = write(axes, (0, centre), "no estimate", lettering=faint)
        words.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.5})
        return
    both = math.isfinite(row.experiment[0]) and math.isfinite(row.past[0])
    apart = (0.11 if frame.narrow else 0.15) if both else 0.0
    _draw_mark(axes, row.experiment, centre + apart, mark=_CIRCLE)
    _draw_mark(axes, row.past, centre - apart, mark=_DIAMOND)


def _draw_mark(axes: Axes, triple: tuple[float, float, float], height: float, *, mark: _Mark) -> None:
    value, low, high = triple
    if math.isnan(value):
        return
    left, right = axes.get_xlim()
    low, high = (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)
    line = axes.plot([max(low, left), min(high, right)], [height, height], color=mark.colour, linewidth=2, zorder=3)
    line[0].set_label(f"{mark.name} range")
    for beyond, edge, arrow in ((low < left, left, "<"), (high > right, right, ">")):
        if beyond:
            tip = axes.plot([edge], [height], arrow, color=mark.colour, markersize=7, clip_on=False, zorder=4)
            tip[0].set_label(f"{mark.name} arrow")
    _plot_mark(axes, (value, height), mark=mark)


def _plot_mark(axes: Axes, at: tuple[float, float], *, mark: _Mark) -> None:
    drawn = axes.plot([at[0]], [at[1]], mark.shape, color=mark.colour, markersize=mark.size, zorder=5)[0]
    drawn.set_markeredgecolor("white")
    drawn.set_markeredgewidth(0.8)
    drawn.set_label(mark.name)


def _write_head(sheet: Axes, heading: str, *, frame: _Frame) -> None:
    top = sheet.get_ylim()[1]
    bold = Lettering(size=frame.text + 1.5, bold=True, valign="top")
    write(sheet, (0.1, top - 0.08), heading, lettering=bold)
    keys = ((_CIRCLE, "experiment"), (_DIAMOND, "past data"))
    y = top - (0.28 if frame.narrow else 0.35) - _LINE * (heading.count("\n") + 1)
    for (mark, word), x in zip(keys, (0.2, 1.45 if frame.narrow else 1.6), strict=True):
        _plot_mark(sheet, (x, y), mark=mark)
        sheet.lines[-1].set_label("key")
        write(sheet, (x + 0.13, y), word, lettering=Lettering(size=frame.text, colour=mark.text))
    x, y = (0.12, y - 0.25) if frame.narrow else (2.85, y)
    sheet.add_patch(Rectangle((x, y - 0.075), 0.2, 0.15, facecolor=BAND, edgecolor=RULE, linewidth=0.6))
    write(sheet, (x + 0.28, y), "too small to matter", lettering=Lettering(size=frame.text, colour=QUIET))
