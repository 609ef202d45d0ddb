"""The link map: customer outcomes left, company results right, one line for each hypothesis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from cpi_experiments.figures.canvas import BAND, INK, QUIET, RULE, Lettering, fold, new_figure, paper, write
from cpi_experiments.figures.marks import LINES, MapEdge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MapEdge", "link_map"]

# Measures in inches.
_WIDTH = 10.0
_NODE = 2.5
_PILL = (3.35, 6.65)
_LANE = 0.46
_ROOM = 0.66
_HEAD = 0.55
_FOOT = 0.55
_KEY = (("confirmed", 0.1), ("inconclusive", 2.1), ("refuted", 4.3), ("blocked", 6.1))


def link_map(cpis: Mapping[str, str], kpis: Mapping[str, str], edges: Sequence[MapEdge]) -> Figure:
    """Draw the hypotheses as lines between two fixed columns; each label has a lane of its own, so none overlap.

    Lines say the verdict by dash, colour, word and symbol; their width says nothing.

    Parameters
    ----------
    cpis, kpis : mapping from id to label
        In the order in which they should stand; a KPI nobody links to stands alone.
    edges : sequence of MapEdge

    Examples
    --------
    >>> edge = MapEdge(cpi="a", kpi="b", verdict="confirmed", symbol="v", grade="A")
    >>> round(float(link_map({"a": "Fast Quote"}, {"b": "Win rate"}, [edge]).get_size_inches()[1]), 2)
    1.76
    """
    ranks = list(LINES)
    order = {key: place for place, key in enumerate(kpis)}
    lanes = sorted(edges, key=lambda edge: (order[edge.kpi], ranks.index(edge.verdict), edge.cpi))
    body = max(_LANE * len(lanes), _ROOM * max(len(cpis), len(kpis), 1))
    figure = new_figure(_WIDTH, _HEAD + body + _FOOT)
    sheet = paper(figure)
    step = body / max(len(lanes), 1)
    rows = [_FOOT + body - step * (lane + 0.5) for lane in range(len(lanes))]
    left = _even(_places(cpis, [edge.cpi for edge in lanes], rows, body=body), body=body)
    right = _places(kpis, [edge.kpi for edge in lanes], rows, body=body)
    for edge, row in zip(lanes, rows, strict=True):
        _draw_edge(sheet, edge, (left[edge.cpi], row, right[edge.kpi]))
    for key, y in left.items():
        _draw_node(sheet, cpis[key], (0.1, y))
    for key, y in right.items():
        _draw_node(sheet, kpis[key], (_WIDTH - _NODE - 0.1, y))
    _draw_frame(sheet, _HEAD + body + _FOOT)
    if not lanes:
        quiet = Lettering(colour=QUIET, align="center")
        write(sheet, (_WIDTH / 2, _FOOT + body / 2), "No link to show", lettering=quiet)
    return figure


def _places(labels: Mapping[str, str], ends: Sequence[str], rows: Sequence[float], *, body: float) -> dict[str, float]:
    """Stand each name at the middle of its lanes, pushed apart until no two touch."""
    wanted = {}
    for place, key in enumerate(labels):
        mine = [row for end, row in zip(ends, rows, strict=True) if end == key]
        wanted[key] = sum(mine) / len(mine) if mine else _FOOT - place  # without a link: at the bottom
    keys = sorted(labels, key=lambda key: -wanted[key])
    top = _FOOT + body - _ROOM / 2
    heights: list[float] = []
    for key in keys:
        ceiling = heights[-1] - _ROOM if heights else top
        heights.append(min(wanted[key], ceiling))
    floor = _FOOT + _ROOM / 2
    for place in reversed(range(len(heights))):
        heights[place] = max(heights[place], floor)
        floor = heights[place] + _ROOM
    return dict(zip(keys, heights, strict=True))


def _even(places: Mapping[str, float], *, body: float) -> dict[str, float]:
    """Keep the order, use the whole height: lines of the left column cross less steeply."""
    step = body / max(len(places), 1)
    return {key: _FOOT + body - step * (place + 0.5) for place, key in enumerate(places)}


def _draw_edge(sheet: Axes, edge: MapEdge, heights: tuple[float, float, float]) -> None:
    start, row, end = heights
    dashes, colour = LINES[edge.verdict]
    style = (0, dashes) if dashes else "solid"
    for (x0, y0), (x1, y1) in (
        ((0.1 + _NODE, start), (_PILL[0], row)),
        ((_PILL[1], row), (_WIDTH - _NODE - 0.2, end)),
    ):
        middle = (x0 + x1) / 2
        curve = Curve([(x0, y0), (middle, y0), (middle, y1), (x1, y1)], [1, 4, 4, 4])
        line = PathPatch(curve, facecolor="none", edgecolor=colour, linewidth=1.8, linestyle=style, zorder=2)
        line.set_label(edge.verdict)
        sheet.add_patch(line)
    tip = (_WIDTH - _NODE - 0.1, end)
    sheet.add_patch(
        FancyArrowPatch(
            (tip[0] - 0.12, end), tip, arrowstyle="-|>", mutation_scale=11, color=colour, linewidth=0, zorder=3
        )
    )
    _draw_pill(sheet, edge, row, colour=colour)


def _draw_pill(sheet: Axes, edge: MapEdge, row: float, *, colour: str) -> None:
    box = FancyBboxPatch(
        (_PILL[0] + 0.08, row - 0.15),
        _PILL[1] - _PILL[0] - 0.16,
        0.3,
        boxstyle="round,pad=0.04,rounding_size=0.14",
        facecolor="white",
        edgecolor=colour,
        linewidth=1.1,
        hatch="////" if edge.verdict == "blocked" else None,
        zorder=3,
    )
    box.set_hatch_linewidth(0.3)
    sheet.add_patch(box)
    words = write(
        sheet,
        ((_PILL[0] + _PILL[1]) / 2, row),
        fold(edge.words, 38, lines=1),
        lettering=Lettering(size=10, colour=colour, align="center", bold=edge.verdict == "confirmed"),
    )
    words.set_zorder(4)
    if edge.verdict == "blocked":
        words.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.5})


def _draw_node(sheet: Axes, label: str, at: tuple[float, float]) -> None:
    x, y = at
    box = FancyBboxPatch(
        (x + 0.05, y - 0.21),
        _NODE - 0.1,
        0.42,
        boxstyle="round,pad=0.05,rounding_size=0.06",
        facecolor=BAND,
        edgecolor=RULE,
        linewidth=0.8,
        zorder=3,
    )
    sheet.add_patch(box)
    words = write(sheet, (x + 0.12, y), fold(label, 27), lettering=Lettering(size=10, colour=INK))
    words.set_zorder(4)


def _draw_frame(sheet: Axes, height: float) -> None:
    head = Lettering(size=10.5, bold=True, valign="top")
    write(sheet, (0.1, height - 0.12), "What customers get", lettering=head)
    write(sheet, (_WIDTH - _NODE - 0.1, height - 0.12), "What the company gets", lettering=head)
    for word, x in _KEY:
        dashes, colour = LINES[word]
        style = (0, dashes) if dashes else "solid"
        sheet.plot([x, x + 0.5], [0.22, 0.22], color=colour, linewidth=1.8, linestyle=style)
        write(sheet, (x + 0.6, 0.22), word, lettering=Lettering(size=10, colour=colour))
    note = Lettering(size=10, colour=QUIET, align="right")
    write(sheet, (_WIDTH - 0.1, 0.22), "width has no meaning", lettering=note)
