"""An effect over time: estimates with the interval that holds at every look, and where the plan ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter

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

_WIDTH, _HEIGHT = 8.0, 4.6
_TEXT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencePoint:
    """One look.

    Parameters
    ----------
    n : int
    estimate, low, high : float
        Ends may be infinite.
    crossed : int
        1 or -1 where the interval lies above or below zero.
    """

    n: int
    estimate: float
    low: float
    high: float
    crossed: int = 0


def sequence(
    points: Sequence[SequencePoint],
    *,
    title: str,
    axis_label: str,
    planned_n: int | None = None,
    steps: bool = False,
    units: str = "units",
) -> Figure:
    """Draw an effect over the units that had come, with its interval and the first look that decided.

    Parameters
    ----------
    points : sequence of SequencePoint
        In order of n.
    title, axis_label : str
    planned_n : int, optional
        Where the plan ends.
    steps : bool
        A few planned looks: bars instead of a band.
    units : str
        What is counted, in words.

    Examples
    --------
    >>> points = [SequencePoint(n=n, estimate=0.1, low=0.1 - 9 / n, high=0.1 + 9 / n) for n in (50, 100, 200)]
    >>> sequence(points, title="won", axis_label="won", planned_n=200).get_size_inches().tolist()
    [8.0, 4.6]
    """
    figure = new_figure(_WIDTH, _HEIGHT)
    sheet = paper(figure)
    heading = fold(title, 84, lines=3)
    write(sheet, (0.15, _HEIGHT - 0.12), heading, lettering=Lettering(size=_TEXT + 1, bold=True, valign="top"))
    top = 0.55 + 0.2 * heading.count("\n")
    axes = figure.add_axes((0.9 / _WIDTH, 0.65 / _HEIGHT, (_WIDTH - 1.15) / _WIDTH, (_HEIGHT - 0.65 - top) / _HEIGHT))
    _dress(axes, points, planned_n)
    (_bars if steps else _band)(axes, points)
    _mark_decision(axes, points)
    label = Lettering(size=_TEXT, colour=QUIET, align="center")
    write(sheet, (_WIDTH / 2 + 0.3, 0.17), fold(f"{units} so far", 84, lines=1), lettering=label)
    write(sheet, (0.16, (_HEIGHT + 0.65 - top) / 2), fold(axis_label, 42), lettering=label).set_rotation(90)
    return figure


def _dress(axes: Axes, points: Sequence[SequencePoint], planned_n: int | None) -> None:
    axes.set_facecolor("none")
    right = max([point.n for point in points] + ([planned_n] if planned_n else []))
    axes.set_xlim(0, 1.04 * right)
    low, high = _reach(points)
    axes.set_ylim(low, high)
    axes.axhline(0, color=INK, linewidth=1.1, zorder=2).set_label("zero")
    if planned_n:
        axes.axvline(planned_n, color=QUIET, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1).set_label("planned end")
        note = Lettering(size=_TEXT - 1, colour=QUIET, align="right", valign="top")
        write(
            axes, (planned_n - 0.008 * right, high - 0.02 * (high - low)), f"planned end: {planned_n:,}", lettering=note
        )
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.tick_params(colors=QUIET, labelsize=_TEXT - 1, length=4)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.3g}".replace("-", "−") if value else "0"))
    axes.locator_params(nbins=7)


def _reach(points: Sequence[SequencePoint]) -> tuple[float, float]:
    """Let the later looks decide: the first intervals are many times as wide and may leave the picture."""
    half = len(points) // 2 if len(points) > 4 else 0
    ends = [end for point in points[half:] for end in (point.low, point.high, point.estimate) if math.isfinite(end)]
    ends = [*(ends or [0.0]), 0.0]
    low, high = min(ends), max(ends)
    pad = 0.35 * (high - low) or 1.0
    return low - pad, high + pad


def _clipped(axes: Axes, points: Sequence[SequencePoint]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    low, high = axes.get_ylim()
    beyond = high - low
    n = np.array([point.n for point in points], dtype=float)
    ends = [np.array([getattr(point, name) for point in points], dtype=float) for name in ("low", "high")]
    lower, upper = (np.clip(np.nan_to_num(each, nan=0.0), low - beyond, high + beyond) for each in ends)
    return n, np.array([point.estimate for point in points]), lower, upper


def _band(axes: Axes, points: Sequence[SequencePoint]) -> None:
    n, estimate, low, high = _clipped(axes, points)
    axes.fill_between(n, low, high, color=EXPERIMENT, alpha=0.16, linewidth=0, zorder=1).set_label("interval")
    for ends in (low, high):
        axes.plot(n, ends, color=EXPERIMENT, linewidth=1.0, zorder=3)[0].set_label("end")
    axes.plot(n, estimate, color=EXPERIMENT, linewidth=2.0, zorder=4)[0].set_label("estimate")
    axes.plot(n[-1:], estimate[-1:], "o", color=EXPERIMENT, markersize=6, zorder=5)[0].set_label("now")


def _bars(axes: Axes, points: Sequence[SequencePoint]) -> None:
    n, estimate, low, high = _clipped(axes, points)
    axes.vlines(n, low, high, color=EXPERIMENT, linewidth=2.2, zorder=3).set_label("interval")
    axes.plot(n, estimate, "o", color=EXPERIMENT, markersize=8, zorder=4)[0].set_label("estimate")


def _mark_decision(axes: Axes, points: Sequence[SequencePoint]) -> None:
    first = next((point for point in points if point.crossed), None)
    if first is None:
        return
    low, high = axes.get_ylim()
    axes.plot([first.n], [first.estimate], "D", color=PAST, markersize=9, zorder=6)[0].set_label("decided")
    words = f"shown {'above' if first.crossed > 0 else 'below'} zero at {first.n:,}"
    left = first.n > 0.6 * axes.get_xlim()[1]
    at = (first.n + (-1 if left else 1) * 0.015 * axes.get_xlim()[1], low + 0.05 * (high - low))
    note = Lettering(size=_TEXT, colour=PAST_TEXT, align="right" if left else "left")
    axes.axvline(first.n, ymax=0.9, color=PAST, linewidth=1.0, linestyle=(0, (1, 2)), zorder=2).set_label("decision")
    write(axes, at, words, lettering=note)
