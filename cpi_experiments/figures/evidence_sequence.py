"""Evidence over experiments: the confidence sequence that narrows, and below it what each e-value has grown to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cpi_experiments.errors import EstimationError
from cpi_experiments.figures.canvas import (
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 8.0, 6.4
_LEFT, _RIGHT, _SPLIT = 0.95, 1.55, 2.65
_TEXT = 10.0
#: What each line means, by the field of a point, its colour and its dashes.
_LINES = (
    ("expected", "expected sign", EXPERIMENT, "-"),
    ("opposite", "opposite sign", PAST, (0, (5, 2))),
    ("immaterial", "too small to matter", QUIET, (0, (1.2, 1.6))),
    ("general", "levers in general", INK, (0, (6, 2, 1.2, 2))),
)
_STRONG = 20.0
_REACH = (-3.0, 8.0)
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidencePoint:
    """State after one experiment.

    Parameters
    ----------
    name : str
    estimate, low, high : float
        NaN or infinite where there is none.
    expected, opposite, immaterial, general : float
        e-values; NaN where there is none.
    """

    name: str
    estimate: float
    low: float
    high: float
    expected: float
    opposite: float
    immaterial: float
    general: float = math.nan


def evidence_sequence(
    points: Sequence[EvidencePoint],
    *,
    title: str,
    axis_label: str,
    sesoi: float,
    confidence_level: float = 0.95,
    start: float = 1.0,
    across: str = "experiments so far",
) -> Figure:
    """Draw the confidence sequence over experiments with 0 and the SESOI, and the e-values with the line of 20.

    Parameters
    ----------
    points : sequence of EvidencePoint
        In order of time.
    title, axis_label : str
    sesoi : float
        Smallest effect worth acting on, marked on both sides of 0.
    confidence_level : float
    start : float
        e-value of the expected sign before the first experiment: above or below 1 if earlier work entered.
    across : str
        What the points are, below the axis.

    Raises
    ------
    EstimationError
        If there is no point.

    Examples
    --------
    >>> points = [EvidencePoint(name=str(k), estimate=0.1, low=-1 / k, high=1 / k, expected=1.5**k, opposite=0.5,
    ...     immaterial=0.4) for k in range(1, 9)]
    >>> evidence_sequence(points, title="Evidence", axis_label="won per hour", sesoi=0.2).get_size_inches().tolist()
    [8.0, 6.4]
    """
    if not points:
        raise EstimationError("there is no experiment to draw", advice="Give one point per experiment.")
    figure = new_figure(_WIDTH, _HEIGHT)
    sheet = paper(figure)
    heading = fold(title, 84, lines=3)
    write(sheet, (0.15, _HEIGHT - 0.12), heading, lettering=Lettering(size=_TEXT + 1, bold=True, valign="top"))
    top = _HEIGHT - 0.5 - 0.2 * heading.count("\n")
    wide = _WIDTH - _LEFT - _RIGHT
    upper = figure.add_axes((_LEFT / _WIDTH, (_SPLIT + 0.3) / _HEIGHT, wide / _WIDTH, (top - _SPLIT - 0.3) / _HEIGHT))
    lower = figure.add_axes((_LEFT / _WIDTH, 0.65 / _HEIGHT, wide / _WIDTH, (_SPLIT - 0.65) / _HEIGHT))
    for axes in (upper, lower):
        _dress(axes, len(points))
    _draw_sizes(upper, points, sesoi, f"{100 * confidence_level:.6g}% at every look")
    _draw_e_values(lower, points, start)
    quiet = Lettering(size=_TEXT, colour=QUIET, align="center")
    write(sheet, (_LEFT + wide / 2, 0.17), fold(across, 60, lines=1), lettering=quiet)
    write(sheet, (0.17, (top + _SPLIT + 0.3) / 2), fold(axis_label, 36), lettering=quiet).set_rotation(90)
    write(sheet, (0.17, (_SPLIT + 0.65) / 2), "evidence (e-value)", lettering=quiet).set_rotation(90)
    return figure


def _dress(axes: Axes, count: int) -> None:
    axes.set_facecolor("none")
    axes.set_xlim(0, count + 0.5)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.tick_params(colors=QUIET, labelsize=_TEXT - 1, length=4)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))


def _draw_sizes(axes: Axes, points: Sequence[EvidencePoint], sesoi: float, band: str) -> None:
    low, high = _reach(points, sesoi)
    axes.set_ylim(low, high)
    far = high - low
    at, edges = np.arange(1, len(points) + 1), np.arange(len(points) + 1) + 0.5
    ends = [np.array([getattr(point, name) for point in points]) for name in ("low", "high")]
    lower, upper = (np.clip(np.append(each, each[-1]), low - far, high + far) for each in ends)  # NaN stays: a gap
    axes.fill_between(edges, lower, upper, step="post", color=EXPERIMENT, alpha=0.16, linewidth=0).set_label("sequence")
    estimate = np.array([point.estimate for point in points])
    axes.plot(at, estimate, "o-", color=EXPERIMENT, linewidth=1.6, markersize=4, zorder=4)[0].set_label("estimate")
    for marker, beyond, place in (
        ("^", upper[:-1] > high, high - 0.025 * far),
        ("v", lower[:-1] < low, low + 0.025 * far),
    ):
        if np.any(beyond):
            _mark(axes, at[beyond], place, marker=marker, colour=EXPERIMENT)
    axes.axhline(0, color=INK, linewidth=1.1, zorder=2).set_label("zero")
    for value in (-sesoi, sesoi):
        axes.axhline(value, color=PAST, linewidth=1.2, linestyle=(0, (1.2, 2.0)), zorder=2).set_label("SESOI")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.3g}".replace("-", "−") if value else "0"))
    axes.locator_params(axis="y", nbins=7)
    _name_lines(axes, [(0.0, "no effect", INK), (sesoi, "worth acting on", PAST_TEXT)], len(points))
    above = Lettering(size=9, colour=QUIET, valign="bottom")
    cut = "; arrows: it reaches beyond the picture" if np.any(upper > high) or np.any(lower < low) else ""
    write(axes, (0.01 * len(points), high), f"shaded: {band}{cut}", lettering=above)


def _reach(points: Sequence[EvidencePoint], sesoi: float) -> tuple[float, float]:
    """Let the later half decide: the first sets are many times as wide, or have no end, and may leave the picture."""
    half = len(points) // 2 if len(points) > 4 else 0
    ends = [end for point in points[half:] for end in (point.low, point.high) if math.isfinite(end)]
    ends += [point.estimate for point in points[-3:] if math.isfinite(point.estimate)]
    low, high = min([*ends, -1.6 * sesoi]), max([*ends, 1.6 * sesoi])
    pad = 0.08 * (high - low)
    return low - pad, high + pad


def _draw_e_values(axes: Axes, points: Sequence[EvidencePoint], start: float) -> None:
    at = np.arange(len(points) + 1)
    shown, labels = [0.0, math.log10(_STRONG)], [(math.log10(_STRONG), f"{_STRONG:g}: strong", INK)]
    cut: dict[str, list[int]] = {"^": [], "v": []}
    for field, words, colour, dashes in _LINES:
        e = np.array([1.0, *(getattr(point, field) for point in points)])
        if np.all(np.isnan(e[1:])):
            continue
        e[0] = math.nan if math.isnan(e[1]) else start if field == "expected" else 1.0
        exact = np.log10(np.maximum(e, 1e-300))
        height = np.clip(exact, *_REACH)
        axes.plot(at, height, color=colour, linestyle=dashes, linewidth=1.8, zorder=3)[0].set_label(words)
        shown += [value for value in height.tolist() if not math.isnan(value)]
        labels.append((float(height[~np.isnan(height)][-1]), words, PAST_TEXT if colour == PAST else colour))
        for marker, beyond, end in (("^", exact > _REACH[1], _REACH[1]), ("v", exact < _REACH[0], _REACH[0])):
            if np.any(beyond):
                cut[marker].append(int(at[beyond][0]))
                _mark(axes, at[beyond], end, marker=marker, colour=colour)
    axes.set_ylim(min(shown) - (1.3 if cut["v"] else 0.15), max(shown) + (1.3 if cut["^"] else 0.3))
    _say_cut(axes, cut)
    axes.axhline(0, color=RULE, linewidth=1.0, zorder=1).set_label("start")
    axes.axhline(math.log10(_STRONG), color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1).set_label("20")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    _name_lines(axes, labels, len(points))


def _mark(axes: Axes, at: np.ndarray, place: float, *, marker: str, colour: str) -> None:
    """Put arrowheads where what is drawn goes on outside the picture."""
    heads = axes.plot(at, np.full(len(at), place), marker, color=colour, markersize=5.5, zorder=5, clip_on=False)
    heads[0].set_label("cut")


def _say_cut(axes: Axes, cut: dict[str, list[int]]) -> None:
    """Say beyond which e-value no line is drawn."""
    far = axes.get_xlim()[1]
    places: tuple[tuple[str, str, float, Literal["bottom", "top"]], ...] = (
        ("^", "above", 0.3, "bottom"),
        ("v", "below", -0.3, "top"),
    )
    for marker, words, gap, valign in places:
        if cut[marker]:
            end = _REACH[marker == "^"]
            right = min(cut[marker]) > far / 2
            lettering = Lettering(size=9, colour=QUIET, valign=valign, align="right" if right else "left")
            text = f"arrows: {words} {_power(end)}, off the scale"
            write(axes, (far if right else min(cut[marker]), end + gap), text, lettering=lettering)


def _name_lines(axes: Axes, labels: list[tuple[float, str, str]], count: int) -> None:
    """Name each line at its right end, apart from each other."""
    low, high = axes.get_ylim()
    gap = 0.08 * (high - low)
    place = -math.inf
    for end, words, colour in sorted(labels):
        place = max(end, place + gap)
        write(axes, (count + 0.5 + 0.012 * count, place), words, lettering=Lettering(size=_TEXT - 1, colour=colour))


def _power(value: float) -> str:
    """Write 10 to a whole power as one reads it."""
    size = round(abs(value))
    words = f"{10**size:,}" if size < 5 else "10" + str(size).translate(_RAISED)
    return words if value >= 0 else f"1/{words}"
