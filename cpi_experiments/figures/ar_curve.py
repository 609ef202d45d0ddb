"""The Anderson-Rubin curve: which effects per increment the data do not rule out, and how firmly the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.errors import EstimationError
from cpi_experiments.figures.canvas import (
    BAND,
    EXPERIMENT,
    INK,
    PAST,
    QUIET,
    RULE,
    Lettering,
    fold,
    new_figure,
    paper,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 7.5, 4.2
_TEXT = 10.0


def ar_curve(  # noqa: PLR0913 - what is drawn, each named
    theta: Sequence[float],
    p_values: Sequence[float],
    *,
    title: str,
    axis_label: str,
    pieces: Sequence[tuple[float, float]],
    confidence_level: float = 0.95,
    point: float = math.nan,
    sesoi: float | None = None,
) -> Figure:
    """Draw the p-value of every effect per increment; what lies above the line is in the set, which is shaded.

    Parameters
    ----------
    theta : sequence of float, increasing
        Effects per increment.
    p_values : sequence of float
        Of the Anderson-Rubin test of each.
    title, axis_label : str
    pieces : sequence of (low, high)
        The set; infinite ends run out of the picture.
    confidence_level : float
    point : float
        The estimate; NaN draws none.
    sesoi : float, optional
        Smallest effect worth acting on, marked on both sides of 0.

    Raises
    ------
    EstimationError
        If the two sequences differ in length or hold fewer than two points.

    Examples
    --------
    >>> ar_curve([0.0, 1.0, 2.0], [0.01, 0.9, 0.01], title="Each hour", axis_label="KPI per hour",
    ...          pieces=[(0.4, 1.6)], point=1.0).get_size_inches().tolist()
    [7.5, 4.2]
    """
    if len(theta) != len(p_values) or len(theta) < 2:
        raise EstimationError(
            f"{len(theta)} effects and {len(p_values)} p-values", advice="A curve needs as many of both, at least two."
        )
    heading = fold(title, 76, lines=3)
    figure = new_figure(_WIDTH, _HEIGHT)
    sheet = paper(figure)
    top = _HEIGHT - 0.25 - 0.19 * (heading.count("\n") + 1)
    axes = figure.add_axes((0.75 / _WIDTH, 0.85 / _HEIGHT, (_WIDTH - 1.0) / _WIDTH, (top - 1.1) / _HEIGHT))
    _frame(axes, float(theta[0]), float(theta[-1]), 1 - confidence_level)
    for low, high in pieces:
        axes.axvspan(max(low, theta[0]), min(high, theta[-1]), color=BAND, zorder=0, linewidth=0)
    at = min(range(len(theta)), key=lambda i: abs(theta[i] - point))
    _marks(axes, (point, p_values[at]), sesoi, low=float(theta[0]), high=float(theta[-1]))
    axes.plot(list(theta), list(p_values), color=EXPERIMENT, linewidth=1.8, zorder=3)
    write(sheet, (0.2, _HEIGHT - 0.2), heading, lettering=Lettering(size=11.5, valign="top", bold=True))
    below = Lettering(size=_TEXT, colour=QUIET, align="center")
    write(sheet, ((0.75 + _WIDTH - 0.25) / 2, 0.3), fold(axis_label, 90, lines=1), lettering=below)
    write(sheet, (0.2, top - 0.05), "p-value; the set is shaded", lettering=Lettering(size=9, colour=QUIET))
    return figure


def _frame(axes: Axes, low: float, high: float, level: float) -> None:
    axes.set_facecolor("none")
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1.04)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.set_yticks([level, 0.25, 0.5, 0.75, 1.0], [f"{level:g}"[:5], "0.25", "0.5", "0.75", "1"])
    axes.tick_params(colors=QUIET, labelsize=9, length=4)
    axes.locator_params(axis="x", nbins=8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
    axes.axhline(level, color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)


def _marks(axes: Axes, point: tuple[float, float], sesoi: float | None, *, low: float, high: float) -> None:
    """Zero, the estimate and the smallest effect worth acting on; words only where the line is in the picture."""
    if low < 0 < high:
        axes.axvline(0, color=INK, linewidth=1.1, zorder=1).set_label("zero")
    for value in () if sesoi is None else (-sesoi, sesoi):
        if low < value < high:
            axes.axvline(value, color=PAST, linewidth=1.2, linestyle=(0, (1.2, 2.0)), zorder=1).set_label("SESOI")
    if low < point[0] < high:
        axes.plot([point[0]], [point[1]], marker="v", markersize=8, color=EXPERIMENT, zorder=4, clip_on=False)
    if axes.get_legend_handles_labels()[1]:
        _key(axes, point=point[0], sesoi=sesoi)


def _key(axes: Axes, *, point: float, sesoi: float | None) -> None:
    words = ["black line: no effect"]
    if sesoi is not None:
        words.append("dotted: smallest effect worth acting on")
    if math.isfinite(point):
        words.append("triangle: estimate")
    axes.annotate(
        "   ".join(words),
        (1.0, 1.02),
        xycoords="axes fraction",
        ha="right",
        va="bottom",
        fontsize=9,
        color=QUIET,
        parse_math=False,
    )
