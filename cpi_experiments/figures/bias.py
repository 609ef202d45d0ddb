"""Regressions against experiments: one point a link, the diagonal where both agree, and the mean bias beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.figures.canvas import INK, PAST, PAST_TEXT, QUIET, RULE, Lettering, fold, new_figure, paper, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _LEFT, _FOOT, _SIDE = 6.6, 0.85, 0.95, 5.5
_LINE = 0.21
_DASHES = (0, (5, 3))
_TWO_SIDED = 1.96
#: No more links are named; letters of a line of a name; inches of a letter, of a line, free around a name, at the edge.
_NAMED, _SHORT, _LETTER, _NAME_LINE, _AIR, _EDGE = 6, 22, 0.064, 0.145, 0.03, 0.04
#: Half a point, in inches.
_POINT = 0.06
#: Where a name may stand: inches from its point, and directions.
_RADII = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)
#: No line to a name is upright or level: it would look like a bar.
_ANGLES = np.radians([quarter + turn for turn in (45, 60, 30, 75, 15) for quarter in (0, 90, 180, 270)])
_WAYS = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
_SMALL = Lettering(size=8, colour=QUIET, align="center", valign="center")
Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasPoint:
    """One link; numbers in one unit, + = the expected direction.

    Parameters
    ----------
    label : str
    trial, trial_error : float
        From experiments, with standard error.
    past, past_error : float
        From the regression.
    """

    label: str
    trial: float
    trial_error: float
    past: float
    past_error: float


def bias_figure(points: Sequence[BiasPoint], *, bias: float, title: str, unit: str) -> Figure:
    """Draw regressions (up) against experiments (right) with 95 % intervals.

    Only the few links furthest from the mean bias are named, where a name lies on no mark; the foot says how many.

    Parameters
    ----------
    points : sequence of BiasPoint
        One or more.
    bias : float
        Mean of regression minus experiment: a dashed line beside the diagonal.
    title, unit : str

    Examples
    --------
    >>> point = BiasPoint(label="a -> b", trial=1.0, trial_error=0.2, past=1.8, past_error=0.1)
    >>> bias_figure([point], bias=0.8, title="Bias", unit="SESOI").get_size_inches().tolist()
    [6.6, 7.25]
    """
    heading = fold(title, 66, lines=4)
    head = 0.8 + _LINE * heading.count("\n")
    figure = new_figure(_WIDTH, round(head + _SIDE + _FOOT, 2))
    width, height = figure.get_size_inches()
    sheet = paper(figure)
    write(sheet, (0.15, height - 0.1), heading, lettering=Lettering(size=12, bold=True, valign="top"))
    write(sheet, (0.15, height - head + 0.2), "regression on past data", lettering=Lettering(colour=PAST_TEXT))
    _key(sheet, height - head + 0.2)
    below = Lettering(colour=QUIET, align="center", valign="top")
    write(sheet, (_LEFT + _SIDE / 2, _FOOT - 0.36), fold(f"experiments ({unit})", 70), lettering=below)
    axes = figure.add_axes((_LEFT / width, _FOOT / height, _SIDE / width, _SIDE / height))
    _dress(axes, _reach(points))
    _lines(axes, bias)
    _draw(axes, points)
    named = _name(axes, points, bias)
    quiet = Lettering(size=8, colour=QUIET, align="center", valign="top")
    write(sheet, (_LEFT + _SIDE / 2, _FOOT - 0.66), _caption(named, len(points)), lettering=quiet)
    return figure


def _reach(points: Sequence[BiasPoint]) -> tuple[float, float]:
    """Both axes have the same ends: all points with their intervals, a wide interval cut at the others' range."""
    values = np.array([[p.trial, p.past] for p in points])
    errors = np.array([[p.trial_error, p.past_error] for p in points])
    span = max(float(np.ptp(np.append(values, 0.0))), 1e-9)
    low = max(float(np.min(values - _TWO_SIDED * errors)), float(np.min(values)) - 0.5 * span)
    high = min(float(np.max(values + _TWO_SIDED * errors)), float(np.max(values)) + 0.5 * span)
    low, high = min(low, 0.0), max(high, 0.0)
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def _dress(axes: Axes, ends: tuple[float, float]) -> None:
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.locator_params(nbins=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:.4g}".replace("-", "−"))
    axes.grid(visible=True, color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=10, length=0, pad=6)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.axhline(0, color=QUIET, linewidth=0.9).set_label("zero")
    axes.axvline(0, color=QUIET, linewidth=0.9).set_label("zero")


def _lines(axes: Axes, bias: float) -> None:
    ends = np.array(axes.get_xlim())
    axes.plot(ends, ends, color=INK, linewidth=1.3, zorder=2)[0].set_label("agreement")
    axes.plot(ends, ends + bias, color=PAST, linewidth=1.5, linestyle=_DASHES, zorder=2)[0].set_label("mean bias")


def _key(sheet: Axes, y: float) -> None:
    """Say what the two lines are, above the right end of the panel."""
    for x, words, colour, text, style in (
        (_WIDTH - 2.95, "both agree", INK, INK, "-"),
        (_WIDTH - 1.5, "mean bias", PAST, PAST_TEXT, _DASHES),
    ):
        sheet.plot([x, x + 0.35], [y, y], color=colour, linewidth=1.5, linestyle=style)[0].set_label(words)
        write(sheet, (x + 0.42, y), words, lettering=Lettering(size=9.5, colour=text))


def _draw(axes: Axes, points: Sequence[BiasPoint]) -> None:
    x, y = np.array([p.trial for p in points]), np.array([p.past for p in points])
    bars = axes.errorbar(
        x, y,
        xerr=_TWO_SIDED * np.array([p.trial_error for p in points]),
        yerr=_TWO_SIDED * np.array([p.past_error for p in points]),
        fmt="D", color=PAST, markersize=6, markeredgecolor="white", ecolor=QUIET, elinewidth=0.9, zorder=4,
    )  # fmt: skip
    bars.set_label("links")


def _caption(named: int, links: int) -> str:
    if named == links:
        return "Bars are 95% intervals."
    who = "The link furthest" if named == 1 else f"The {named} links furthest"
    said = f" {who} from the mean bias {'is' if named == 1 else 'are'} named." if named else ""
    return f"Bars are 95% intervals.{said}"


# -- names: everything in inches of the panel -------------------------------------------------------------------------


def _name(axes: Axes, points: Sequence[BiasPoint], bias: float) -> int:
    """Name the links furthest from the mean bias, beside their points or at the end of a thin line; count them."""
    low, high = axes.get_xlim()
    inch = (high - low) / _SIDE
    taken = _marks(points, bias, low=low, inch=inch)
    homes, names = (np.array([[p.trial, p.past] for p in points]) - low) / inch, np.empty((0, 2))
    furthest = sorted(points, key=lambda p: -abs(p.past - p.trial - bias))[:_NAMED]
    for count, point in enumerate(furthest):
        name = _two_lines(point.label)
        size = np.array([_LETTER * max(map(len, name.split("\n"))), _NAME_LINE * (1 + name.count("\n"))])
        home = (np.array([point.trial, point.past]) - low) / inch
        others = homes[np.max(np.abs(homes - home), axis=1) > _POINT]
        corner = _free_spot(home, size, taken, np.vstack([names, others]))
        if corner is None:  # a line over another point is better than no name
            corner = _free_spot(home, size, taken, names)
        if corner is None:  # "the furthest" must not leave one out
            return count
        line = _between(home, corner, size)
        names = np.vstack([names, _filled(corner, corner + size)])
        taken = np.vstack([taken, names, line])
        words = write(axes, tuple(low + inch * (corner + size / 2)), name, lettering=_SMALL)
        words.set_zorder(3)
        words.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
        axes.plot(*(low + inch * line[[0, -1]].T), color=QUIET, linewidth=0.5, zorder=2.5)[0].set_label("name of")
    return len(furthest)


def _marks(points: Sequence[BiasPoint], bias: float, *, low: float, inch: float) -> Floats:
    """Dots, a twentieth of an inch apart, on everything that is drawn: no name may lie on one. Shape (n, 2)."""
    steps = np.linspace(-1, 1, 161)[:, None]
    panel = np.linspace(0, _SIDE, 160)[:, None]
    zero = np.full_like(panel, -low / inch)
    parts = [np.hstack([panel, panel]), np.hstack([panel, panel + bias / inch])]
    parts += [np.hstack([panel, zero]), np.hstack([zero, panel])]
    for p in points:
        home = (np.array([p.trial, p.past]) - low) / inch
        reach = np.minimum(_TWO_SIDED * np.array([p.trial_error, p.past_error]) / inch, 4.0)
        parts += [home + steps * reach * [1, 0], home + steps * reach * [0, 1], _filled(home - _POINT, home + _POINT)]
    return np.vstack(parts)


def _filled(corner: Floats, end: Floats) -> Floats:
    """Dots all over a rectangle."""
    x, y = (np.linspace(corner[i], end[i], max(2, int((end[i] - corner[i]) / 0.04) + 2)) for i in (0, 1))
    return np.array(np.meshgrid(x, y)).reshape(2, -1).T


def _free_spot(home: Floats, size: Floats, taken: Floats, kept: Floats) -> Floats | None:
    """Find the nearest lower left corner where a name lies on nothing and its line cuts nothing that is kept."""
    for radius in _RADII:
        for way in _WAYS:
            corner: Floats = home + radius * way + size * (np.sign(way) - 1) / 2
            if np.any(corner < _EDGE) or np.any(corner + size > _SIDE - _EDGE):
                continue
            on = np.all((taken > corner - _AIR) & (taken < corner + size + _AIR), axis=1)
            if not np.any(on) and not _cuts(_between(home, corner, size), kept):
                return corner
    return None


def _between(home: Floats, corner: Floats, size: Floats) -> Floats:
    """Dots on the line from a point to the nearest end of its name."""
    return np.linspace(home, np.clip(home, corner, corner + size), 60)


def _cuts(line: Floats, kept: Floats) -> bool:
    return bool(np.any(np.max(np.abs(line[:, None] - kept[None]), axis=2) < _POINT))


def _two_lines(label: str) -> str:
    """Break a link before its arrow and shorten both names in the middle: what is left tells CPI and KPI."""
    name = fold(label, 400, lines=1)
    cpi, arrow, kpi = name.partition(" -> ")
    if not arrow or len(name) <= _SHORT:
        return _middle(name, _SHORT)
    return f"{_middle(cpi, _SHORT)}\n-> {_middle(kpi, _SHORT - 3)}"


def _middle(name: str, width: int) -> str:
    """Take letters out of the middle of a name that is too long."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[-tail:]}"
