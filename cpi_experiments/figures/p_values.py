"""p-values of random splits: are they uniform, and how often is nothing called an effect at every size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr

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

Array = np.ndarray
_WIDTH, _HEIGHT = 9.0, 3.9
_LEFT, _GAP, _RIGHT, _FOOT, _HEAD = 0.75, 0.95, 0.25, 0.75, 0.85
_LINE = 0.21
_BINS = 20
_BAND = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """False alarms of one size.

    Parameters
    ----------
    label : str
        The size.
    rate, low, high : float
        Share of p-values below .05, and the band of a right test.
    safe : bool
        Drawn as a filled circle, else as an open diamond.
    """

    label: str
    rate: float
    low: float
    high: float
    safe: bool


def p_values_figure(p_values: Array, rates: Sequence[Rate], *, title: str, sizes_label: str) -> Figure:
    """Draw the histogram of p-values with its band, and the false alarms by size with theirs.

    Parameters
    ----------
    p_values : array, shape (n,)
        NaN is left out.
    rates : sequence of Rate
        From small to large sizes.
    title, sizes_label : str

    Examples
    --------
    >>> rate = Rate(label="400", rate=0.049, low=0.035, high=0.067, safe=True)
    >>> figure = p_values_figure(np.linspace(0, 1, 500), [rate], title="Safe", sizes_label="units")
    >>> len(figure.axes)
    3
    """
    heading = fold(title, 84, lines=2)
    head = _HEAD + _LINE * heading.count("\n")
    figure = new_figure(_WIDTH, _HEIGHT + head - _HEAD)
    sheet = paper(figure)
    top = figure.get_size_inches()[1]
    write(sheet, (0.15, top - 0.1), heading, lettering=Lettering(size=12, bold=True, valign="top"))
    panel = (_WIDTH - _LEFT - _GAP - _RIGHT) / 2
    height = top - head - _FOOT
    _histogram(_panel(figure, (_LEFT, panel, height)), p_values[~np.isnan(p_values)])
    _rates(_panel(figure, (_LEFT + panel + _GAP, panel, height)), rates)
    above = Lettering(size=10.5, colour=QUIET, valign="bottom")
    below = Lettering(size=10.5, colour=QUIET, align="center", valign="top")
    over_rates = "False alarms at 5%, by size" + ("" if all(r.safe for r in rates) else " (open: not safe)")
    for x, over, under in (
        (_LEFT, "Random splits by p-value; grey: a right test", "p-value"),
        (_LEFT + panel + _GAP, over_rates, fold(sizes_label, 40)),
    ):
        write(sheet, (x, top - head + 0.08), over, lettering=above)
        write(sheet, (x + panel / 2, _FOOT - 0.38), under, lettering=below)
    return figure


def _panel(figure: Figure, place: tuple[float, float, float]) -> Axes:
    left, panel, high = place
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, _FOOT / height, panel / width, high / height))
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.tick_params(colors=QUIET, labelsize=10, length=4)
    return axes


def _histogram(axes: Axes, p: Array) -> None:
    counts, edges = np.histogram(p, bins=_BINS, range=(0, 1))
    low, high = _band(len(p))
    axes.axhspan(low, high, color=BAND, linewidth=0, zorder=0).set_label("band")
    axes.axhline(len(p) / _BINS, color=QUIET, linewidth=1, zorder=1).set_label("uniform")
    centres, inside = (edges[:-1] + edges[1:]) / 2, counts <= high
    for which, colour, hatch in ((inside, EXPERIMENT, ""), (~inside, PAST, "///")):
        bars = axes.bar(centres[which], counts[which], width=0.8 / _BINS, color=colour, hatch=hatch, zorder=2)
        for bar in bars:
            bar.set_edgecolor("white")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.12 * max(float(counts.max(initial=1)), high))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _band(n: int) -> tuple[float, float]:
    """Find the counts of one bin between which a uniform sample lies (exact binomial)."""
    below = bdtr(np.arange(n + 1), n, 1 / _BINS)
    tail = (1 - _BAND) / 2
    return float(np.searchsorted(below, tail, side="right")) - 0.5, float(np.searchsorted(below, 1 - tail)) + 0.5


def _rates(axes: Axes, rates: Sequence[Rate]) -> None:
    x = np.arange(len(rates), dtype=float)
    wide = np.concatenate([[-0.5], x, [len(rates) - 0.5]])
    low, high = (np.array([getattr(rate, end) for rate in rates]) for end in ("low", "high"))
    ends = [np.concatenate([each[:1], each, each[-1:]]) for each in (low, high)]
    axes.fill_between(wide, ends[0], ends[1], color=BAND, linewidth=0, zorder=0).set_label("band")
    axes.axhline(0.05, color=QUIET, linewidth=1, zorder=1).set_label("nominal")
    top = max(0.1, 1.2 * max(rate.rate for rate in rates))
    for place, rate in zip(x, rates, strict=True):
        mark, colour, fill = ("o", EXPERIMENT, EXPERIMENT) if rate.safe else ("D", PAST, "white")
        point = axes.plot([place], [rate.rate], mark, color=colour, markersize=8, markerfacecolor=fill, zorder=4)[0]
        point.set_markeredgewidth(1.6)
        point.set_label("safe" if rate.safe else "not safe")
        text = Lettering(size=9.5, colour=INK, align="center", valign="bottom")
        if len(rates) <= 8:
            words = write(axes, (place, rate.rate + 0.035 * top), f"{100 * rate.rate:.1f}%", lettering=text)
            words.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.7})
    axes.set_xlim(-0.5, len(rates) - 0.5)
    axes.set_ylim(0, top)
    step = max(1, -(-len(rates) // 6))
    axes.set_xticks(x[::step], [rate.label for rate in rates][::step])
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
