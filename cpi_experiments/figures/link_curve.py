"""Power against size: lines with their planned points, or simulated shares with their error bars."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.figures.canvas import (
    EXPERIMENT,
    INK,
    PAST_TEXT,
    QUIET,
    RULE,
    Lettering,
    fold,
    font_families,
    new_figure,
    paper,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colour, dash pattern and mark of each line in turn; dash and mark too, because colours are alike in grey.
_STYLES = (
    (EXPERIMENT, "-", "o"),
    (PAST_TEXT, (0, (5, 2)), "s"),
    ("#00543A", (0, (1.2, 1.6)), "^"),
    (QUIET, (0, (7, 2, 1.5, 2)), "D"),
)
_WIDTH, _LEFT, _RIGHT, _PLOT, _FOOT = 8.0, 0.75, 0.35, 3.6, 0.75
_LINE = 0.24


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line of a power figure.

    Parameters
    ----------
    label : str
    x, y : tuple of float
        Sizes (or effects) and power, a share.
    low, high : tuple of float
        Ends of the error bars; without them no mark stands at the points.
    planned : float
        Size that the plan asks for; NaN if none.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    planned: float = math.nan


def power_figure(curves: Sequence[Curve], *, title: str, x_label: str, target: float = math.nan) -> Figure:
    """Draw power against size, one line a curve, in at most four styles that repeat.

    Parameters
    ----------
    curves : sequence of Curve
    title, x_label : str
    target : float
        Power that was asked for, drawn as a thin line; NaN for none.

    Examples
    --------
    >>> curve = Curve(label="confirm", x=(1000.0, 2000.0, 4000.0), y=(0.4, 0.7, 0.95), planned=2500.0)
    >>> power_figure([curve], title="Power", x_label="Customers", target=0.8).axes[1].get_xscale()
    'log'
    """
    heading = fold(title, 78, lines=3)
    head = 0.35 + _LINE * (heading.count("\n") + 1) + _LINE * len(curves)
    figure = new_figure(_WIDTH, head + _PLOT + _FOOT)
    sheet = paper(figure)
    top = head + _PLOT + _FOOT
    write(sheet, (0.12, top - 0.1), heading, lettering=Lettering(size=12, bold=True, valign="top"))
    axes = _axes(figure, curves, height=top)
    if not math.isnan(target):
        axes.axhline(target, color=RULE, linewidth=1.2, zorder=1).set_label("power asked for")
    at = top - 0.3 - _LINE * (heading.count("\n") + 1)
    for place, curve in enumerate(curves):
        colour, dash, mark = _STYLES[place % len(_STYLES)]
        height = at - _LINE * place
        sheet.plot([0.15, 0.6], [height, height], color=colour, linestyle=dash, linewidth=2)[0].set_label("key")
        write(sheet, (0.72, height), fold(curve.label, 84, lines=1), lettering=Lettering(colour=colour))
        _draw(axes, curve, style=(colour, dash, mark), above=place % 2 == 0)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    write(sheet, (middle, 0.2), fold(x_label, 80), lettering=Lettering(colour=QUIET, align="center"))
    return figure


def _axes(figure: Figure, curves: Sequence[Curve], *, height: float) -> Axes:
    axes = figure.add_axes(
        (_LEFT / _WIDTH, _FOOT / height, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, _PLOT / height), facecolor="none"
    )
    values = [x for curve in curves for x in (*curve.x, curve.planned) if math.isfinite(x)]
    low, high = min(values, default=1.0), max(values, default=2.0)
    if low > 0 and high / low >= 3:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.08, high * 1.08)
        _log_ticks(axes, low, high)
    else:
        room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
        axes.set_xlim(low - room, high + room)
        axes.locator_params(axis="x", nbins=7)
        axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.set_ylim(0, 1.04)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.tick_params(colors=QUIET, labelsize=10, length=4, labelfontfamily=font_families()[0])
    return axes


def _log_ticks(axes: Axes, low: float, high: float) -> None:
    """Put ticks at 1, 2 and 5 of every power of ten, or at powers of ten alone where these are many."""
    steps = (1, 2, 5) if high / low < 300 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [s * 10.0**p for p in powers for s in steps if low / 1.08 <= s * 10.0**p <= high * 1.08]
    axes.set_xticks(ticks, [_short(tick) for tick in ticks])
    axes.set_xticks([], minor=True)


def _short(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.6g} M"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}".replace("-", "−")


def _draw(axes: Axes, curve: Curve, *, style: tuple[str, object, str], above: bool) -> None:
    colour, dash, mark = style
    axes.plot(curve.x, curve.y, color=colour, linestyle=dash, linewidth=2, zorder=3)[0].set_label(curve.label)
    if curve.low:
        below = [max(y - end, 0.0) for y, end in zip(curve.y, curve.low, strict=True)]
        over = [max(end - y, 0.0) for y, end in zip(curve.y, curve.high, strict=True)]
        axes.errorbar(
            curve.x, curve.y, yerr=[below, over], fmt=mark, color=colour, markersize=5, capsize=3, zorder=4,
            markeredgecolor="white", markeredgewidth=0.6,
        )  # fmt: skip
    if math.isnan(curve.planned):
        return
    at = _height(curve, math.log if axes.get_xscale() == "log" else float)
    point = axes.plot([curve.planned], [at], mark, color=colour, markersize=8, zorder=5)[0]
    point.set_markeredgecolor("white")
    point.set_label("planned")
    text = write(
        axes, (curve.planned, at), _short(curve.planned),
        lettering=Lettering(
            colour=INK, align="right" if above else "left", valign="bottom" if above else "top", bold=True
        ),
    )  # fmt: skip
    text.set_position((curve.planned * (0.95 if above else 1.05), at + (0.02 if above else -0.03)))


def _height(curve: Curve, scale: Callable[[float], float]) -> float:
    """Power of a curve at its planned size, along the line that is drawn between its points."""
    pairs = sorted(zip(curve.x, curve.y, strict=True))
    x = scale(curve.planned)
    for (left, y0), (right, y1) in itertools.pairwise(pairs):
        x0, x1 = scale(left), scale(right)
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * ((x - x0) / (x1 - x0) if x1 > x0 else 0.0)
    return pairs[0][1] if curve.planned < pairs[0][0] else pairs[-1][1]
