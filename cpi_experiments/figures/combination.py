"""Many experiments of one link: each with its errors, the honest slope with its set, the naive slope beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _LEFT, _RIGHT, _PLOT, _FOOT = 8.0, 0.95, 0.35, 4.2, 0.75
_LINE = 0.24
_BAND = "#CFE3F0"
_Z = 1.959963984540054
_BARS = "#7B8794"
_FEW = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One experiment: effects and their standard errors."""

    x: float
    y: float
    error_x: float
    error_y: float


def combination_figure(
    dots: Sequence[Dot],
    *,
    slope: tuple[float, float, float],
    naive: tuple[float, float],
    title: str,
    x_label: str,
    y_label: str,
    level: str,
) -> Figure:
    """Draw effects on CPI and KPI of every experiment, the honest slope and the naive one.

    Parameters
    ----------
    dots : sequence of Dot
    slope : tuple of (value, low, high)
        Honest slope through the origin and its set; a NaN value leaves the line out, an infinite end line and band.
    naive : tuple of (intercept, slope)
        Line of a plain scatter, drawn over the range of the experiments; NaN leaves it out.
    title, x_label, y_label : str
    level : str
        Confidence level in words, such as ``95%``.

    Examples
    --------
    >>> dots = [Dot(x=1.0, y=0.5, error_x=0.1, error_y=0.1), Dot(x=2.0, y=0.9, error_x=0.1, error_y=0.1)]
    >>> figure = combination_figure(dots, slope=(0.46, 0.4, 0.52), naive=(0.1, 0.4), title="", x_label="CPI",
    ...                             y_label="KPI", level="95%")
    >>> len(figure.axes)
    2
    """
    heading = fold(title, 78, lines=3)
    keys = _keys(slope, naive, level)
    head = 0.35 + _LINE * (heading.count("\n") + 1 + len(keys))
    top = head + _PLOT + _FOOT
    figure = new_figure(_WIDTH, top)
    sheet = paper(figure)
    write(sheet, (0.12, top - 0.1), heading, lettering=Lettering(size=12, bold=True, valign="top"))
    axes = _axes(figure, dots, height=top)
    _draw(axes, dots, slope, naive)
    at = top - 0.3 - _LINE * (heading.count("\n") + 1)
    for place, (text, colour, dash) in enumerate(keys):
        height = at - _LINE * place
        if dash == "dot":
            sheet.plot([0.375], [height], "o", color=colour, markersize=5)[0].set_label("key")
        else:
            sheet.plot([0.15, 0.6], [height, height], color=colour, linestyle=dash, linewidth=2)[0].set_label("key")
        write(sheet, (0.72, height), text, lettering=Lettering(colour=colour))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    write(sheet, (middle, 0.2), fold(x_label, 80, lines=1), lettering=Lettering(colour=QUIET, align="center"))
    label = write(sheet, (0.2, _FOOT + _PLOT / 2), fold(y_label, 48, lines=1), lettering=Lettering(colour=QUIET))
    label.set_rotation(90)
    label.set_horizontalalignment("center")
    return figure


def _keys(
    slope: tuple[float, float, float], naive: tuple[float, float], level: str
) -> list[tuple[str, str, str | tuple[int, tuple[float, ...]]]]:
    keys: list[tuple[str, str, str | tuple[int, tuple[float, ...]]]] = [
        ("an experiment, with 95% error bars of both effects", INK, "dot")
    ]
    if not _bounded(slope):
        keys.append(("any slope possible: the CPI moved too little for an honest line", EXPERIMENT, "none"))
    elif math.isfinite(slope[0]):
        keys.append((f"honest slope {slope[0]:.3g} per step, band: its {level} set", EXPERIMENT, "-"))
    else:
        keys.append((f"no honest line: the CPI moved too little; band: {level} set of slopes", EXPERIMENT, "none"))
    if math.isfinite(naive[1]):
        text = f"naive line through the dots, slope {naive[1]:.3g}: what a plain scatter would say"
        keys.append((text, PAST_TEXT, (0, (5, 2))))
    return keys


def _bounded(slope: tuple[float, float, float]) -> bool:
    return math.isfinite(slope[1]) and math.isfinite(slope[2])


def _axes(figure: Figure, dots: Sequence[Dot], *, height: float) -> Axes:
    axes = figure.add_axes(
        (_LEFT / _WIDTH, _FOOT / height, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, _PLOT / height), facecolor="none"
    )
    axes.set_xlim(*_limits([(d.x, d.error_x) for d in dots]))
    axes.set_ylim(*_limits([(d.y, d.error_y) for d in dots]))
    axes.axhline(0, color=RULE, linewidth=1, zorder=1)
    axes.axvline(0, color=RULE, linewidth=1, zorder=1)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.locator_params(nbins=7)
    axes.tick_params(colors=QUIET, labelsize=10, length=4, labelfontfamily=font_families()[0])
    return axes


def _limits(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Zero, all points, and error bars of usual length; a very wide bar may leave the picture."""
    if not points:
        return -1.0, 1.0
    usual = float(np.median([error for _, error in points]))
    reach = [min(error, 3 * usual) * _Z for _, error in points]
    low = min(0.0, *(value - each for (value, _), each in zip(points, reach, strict=True)))
    high = max(0.0, *(value + each for (value, _), each in zip(points, reach, strict=True)))
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _draw(axes: Axes, dots: Sequence[Dot], slope: tuple[float, float, float], naive: tuple[float, float]) -> None:
    across = np.array(axes.get_xlim())
    ends = np.array([across[0], 0.0, across[1]])
    value, low, high = slope
    if _bounded(slope):
        band = axes.fill_between(ends, low * ends, high * ends, color=_BAND, linewidth=0, zorder=0)
        band.set_label("set of the honest slope")
    if math.isfinite(value) and _bounded(slope):
        axes.plot(ends, value * ends, color=EXPERIMENT, linewidth=2.0, zorder=3)[0].set_label("honest slope")
    if math.isfinite(naive[1]):
        over = np.array([min(d.x for d in dots), max(d.x for d in dots)]) if dots else across
        line = axes.plot(
            over, naive[0] + naive[1] * over, color=PAST_TEXT, linewidth=1.8, linestyle=(0, (5, 2)), zorder=4
        )
        line[0].set_label("naive line")
    if dots:
        axes.errorbar(
            [d.x for d in dots], [d.y for d in dots],
            xerr=[_Z * d.error_x for d in dots], yerr=[_Z * d.error_y for d in dots],
            fmt="none", ecolor=_BARS, elinewidth=1, capsize=2.5, zorder=2,
            alpha=1.0 if len(dots) <= _FEW else 0.55,
        )  # fmt: skip
        marks = axes.plot([d.x for d in dots], [d.y for d in dots], "o", color=INK, markersize=5.5, zorder=6)
        marks[0].set_label("experiment")
        marks[0].set_markeredgecolor("white")
