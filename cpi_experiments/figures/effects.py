"""The forest of a comparison: one row an effect, arms told apart by colour and shape, names on the left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.figures.canvas import INK, QUIET, RULE, Lettering, fold, new_figure, paper, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's colours, told apart by the colour-blind; the shape says the same in grey.
_LOOKS = (
    ("#0072B2", "o"), ("#D55E00", "D"), ("#009E73", "s"), ("#CC79A7", "^"), ("#56B4E9", "v"), ("#E69F00", "P"),
)  # fmt: skip
_WIDTH, _LEFT, _RIGHT, _FOOT = 10.0, 3.3, 2.3, 0.95
_ROW, _GAP, _LINE = 0.34, 0.16, 0.2
_TEXT = 10.0
_FAR = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    """One effect with its interval.

    Parameters
    ----------
    label : str
        What it is an effect on; rows of one label stand together.
    arm : str
    note : str
        Such as a segment; empty for all units.
    effect : (value, low, high)
        Infinite ends are drawn as arrows; NaN not at all.
    limits : tuple of float
        Margins of the row, marked by dashes across it.
    said : str
        What stands on the right in place of the effect; by default its numbers, or "no estimate".
    """

    label: str
    arm: str
    effect: tuple[float, float, float]
    note: str = ""
    limits: tuple[float, ...] = ()
    said: str = ""


def effects_forest(rows: Sequence[EffectRow], *, title: str, axis_label: str, percent: bool = False) -> Figure:
    """Draw effects with their intervals about a line at zero.

    Parameters
    ----------
    rows : sequence of EffectRow
        In the order from top to bottom.
    title, axis_label : str
    percent : bool
        Whether effects are shares, to be written in percent.

    Examples
    --------
    >>> row = EffectRow(label="revenue", arm="auto", effect=(0.02, -0.01, 0.05))
    >>> effects_forest([row], title="Effects", axis_label="revenue").get_size_inches().tolist()
    [10.0, 2.3]
    """
    arms = list(dict.fromkeys(row.arm for row in rows))
    looks = {arm: _look(at) for at, arm in enumerate(arms)}
    key = _lines_of_key(arms) if len(arms) <= len(_LOOKS) or any(row.note for row in rows) else []
    heading, footing = fold(title, 86, lines=3), fold(axis_label, 72, lines=2)
    head = 0.5 + _LINE * heading.count("\n") + (0.14 + 0.26 * len(key) if key else 0.24)
    heights = _heights(rows)
    body = (heights[-1] if heights else 0.0) + 0.25
    figure = new_figure(_WIDTH, round(head + body + _FOOT, 2))
    sheet = paper(figure)
    axes = _add_plot(figure, body, (head, reach(rows)), percent=percent)
    for at, (row, height) in enumerate(zip(rows, heights, strict=True)):
        place = _FOOT + body - height
        named = not at or rows[at - 1].label != row.label
        _write_names(sheet, row, place, named=named, alone=len(arms) == 1)
        _draw(axes, row, body - height, looks[row.arm])
        note = row.said or _said(row, percent=percent)
        write(sheet, (_WIDTH - 0.1, place), note, lettering=Lettering(size=_TEXT - 1, colour=INK, align="right"))
    top = sheet.get_ylim()[1]
    write(sheet, (0.1, top - 0.1), heading, lettering=Lettering(size=_TEXT + 1.5, bold=True, valign="top"))
    for at, line in enumerate(key):
        _write_key(sheet, {arm: looks[arm] for arm in line}, top - 0.48 - 0.26 * at - _LINE * heading.count("\n"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    below = Lettering(size=_TEXT, colour=QUIET, align="center", valign="top")
    write(sheet, (middle, _FOOT - 0.38), footing, lettering=below)
    return figure


def _look(at: int) -> tuple[str, str]:
    """Colour and shape of an arm; the shape moves on where colours come again."""
    return _LOOKS[at % len(_LOOKS)][0], _LOOKS[(at + at // len(_LOOKS)) % len(_LOOKS)][1]


def _lines_of_key(arms: Sequence[str]) -> list[list[str]]:
    """Break the key into lines that fit the sheet; one arm needs none."""
    lines: list[list[str]] = []
    room = 0.0
    for arm in arms if len(arms) > 1 else []:
        wide = _width_in_key(arm)
        if not lines or wide > room:
            lines.append([])
            room = _WIDTH - 0.4
        lines[-1].append(arm)
        room -= wide
    return lines


def _width_in_key(arm: str) -> float:
    return 0.45 + 0.085 * len(fold(arm, 20, lines=1))


def _heights(rows: Sequence[EffectRow]) -> list[float]:
    """Inches from the top of the plot to each row; groups stand apart."""
    found, at = [], 0.02
    for row, before in zip(rows, [None, *rows], strict=False):
        at += _ROW + (_GAP if before is not None and before.label != row.label else 0.0)
        found.append(at)
    return found


def reach(rows: Sequence[EffectRow]) -> tuple[float, float]:
    """Choose the ends of the axis: zero, values and margins are inside, ends as far as they do not squeeze the rest.

    Examples
    --------
    >>> low, high = reach([EffectRow(label="a", arm="b", effect=(1.0, -1.0, 3.0))])
    >>> round(low, 2), round(high, 2)
    (-1.24, 3.24)
    """
    known = [row.effect for row in rows if math.isfinite(row.effect[0])]
    values = [0.0, *(value for value, _, _ in known)]
    halves = sorted(
        (high - low) / 2 for _, low, high in known if math.isfinite(low) and math.isfinite(high) and high > low
    )
    typical = halves[len(halves) // 2] if halves else max(map(abs, values)) or 1.0
    span = max(max(values) - min(values), typical)
    low, high = min(values) - _FAR * span, max(values) + _FAR * span
    ends = [end for _, one, other in known for end in (one, other) if math.isfinite(end)]
    limits = [limit for row in rows if math.isfinite(row.effect[0]) for limit in row.limits]
    low = min([max(low, min([*values, *ends])), *limits])
    high = max([min(high, max([*values, *ends])), *limits])
    low, high = (low, high) if high > low else (low - 1.0, high + 1.0)
    return low - 0.06 * (high - low), high + 0.06 * (high - low)


def _add_plot(figure: Figure, body: float, frame: tuple[float, tuple[float, float]], *, percent: bool) -> Axes:
    width, height = figure.get_size_inches()
    across = (_WIDTH - _LEFT - _RIGHT) / width
    axes = figure.add_axes((_LEFT / width, _FOOT / height, across, body / height))
    axes.set_facecolor("none")
    axes.set_xlim(*frame[1])
    axes.set_ylim(0, body)
    axes.axvline(0, color=INK, linewidth=1.1, zorder=1).set_label("zero")
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=6)
    axes.tick_params(axis="x", colors=QUIET, labelsize=_TEXT, length=4)
    axes.xaxis.set_major_formatter(lambda value, _: _tick(value, percent=percent))
    return axes


def _tick(value: float, *, percent: bool) -> str:
    shown = f"{100 * value:+.4g}%" if percent else f"{value:+.4g}"
    return shown.replace("-", "−") if abs(value) > 1e-12 else "0"


def _said(row: EffectRow, *, percent: bool) -> str:
    value, low, high = row.effect
    if math.isnan(value):
        return "no estimate"
    return f"{_short(value, percent=percent)} [{_short(low, percent=percent)}, {_short(high, percent=percent)}]"


def _short(value: float, *, percent: bool) -> str:
    if not math.isfinite(value):
        return "…"
    return (f"{100 * value:+.1f}%" if percent else f"{value:+.3g}").replace("-", "−")


def _write_names(sheet: Axes, row: EffectRow, place: float, *, named: bool, alone: bool) -> None:
    second = row.note or ("" if alone else row.arm)
    if named:
        label = fold(row.label, 18 if second else 34, lines=2)
        write(sheet, (0.1, place), label, lettering=Lettering(size=_TEXT, bold=True))
    write(
        sheet,
        (_LEFT - 0.12, place),
        fold(second, 16, lines=1),
        lettering=Lettering(size=_TEXT - 1, colour=QUIET, align="right"),
    )


def _draw(axes: Axes, row: EffectRow, height: float, look: tuple[str, str]) -> None:
    value, low, high = row.effect
    if math.isnan(value):
        return
    colour, shape = look
    left, right = axes.get_xlim()
    low, high = (value if math.isnan(low) else low), (value if math.isnan(high) else high)
    for limit in row.limits:
        mark = axes.plot([limit, limit], [height - 0.14, height + 0.14], color=INK, linewidth=1.3, zorder=2)[0]
        mark.set_linestyle((0, (2, 1.2)))
        mark.set_label("margin")
    line = axes.plot([max(low, left), min(high, right)], [height, height], color=colour, linewidth=2, zorder=3)
    line[0].set_label(f"{row.label} range")
    for beyond, edge, arrow in ((low < left, left, "<"), (high > right, right, ">")):
        if beyond:
            tip = axes.plot([edge], [height], arrow, color=colour, markersize=7, clip_on=False, zorder=4)
            tip[0].set_label("arrow")
    drawn = axes.plot([value], [height], shape, color=colour, markersize=7.5 if not row.note else 6, zorder=5)[0]
    drawn.set_markeredgecolor("white")
    drawn.set_markeredgewidth(0.8)
    drawn.set_label(row.label)


def _write_key(sheet: Axes, looks: dict[str, tuple[str, str]], y: float) -> None:
    x = 0.2
    for arm, (colour, shape) in looks.items():
        sheet.plot([x], [y], shape, color=colour, markersize=7)[0].set_label("key")
        word = fold(arm, 20, lines=1)
        write(sheet, (x + 0.13, y), word, lettering=Lettering(size=_TEXT - 1, colour=QUIET))
        x += _width_in_key(arm)
