"""Power curves of a plan: against the sample and against the effect, the planned point marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.figures.canvas import EXPERIMENT, INK, QUIET, RULE, Lettering, fold, new_figure, paper, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 9.0, 4.3
_LEFT, _RIGHT, _GAP, _FOOT, _HEAD = 0.75, 0.25, 0.65, 0.75, 0.75
_LINE = 0.21


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCurve:
    """One curve and the planned point on it.

    Parameters
    ----------
    x, power : sequence of float
        Ascending in x; power from 0 to 1.
    planned : tuple of float
        x and power of the plan.
    label : str
        What x is.
    scale, suffix : float, str
        The axis shows scale * x, and the suffix after it.
    """

    x: Sequence[float]
    power: Sequence[float]
    planned: tuple[float, float]
    label: str
    scale: float = 1.0
    suffix: str = ""


def power_curve(curves: Sequence[PowerCurve], *, title: str, notes: Sequence[str] = ()) -> Figure:
    """Draw power curves side by side on one axis of power.

    Parameters
    ----------
    curves : sequence of PowerCurve
        One or more; one panel each.
    title : str
    notes : sequence of str
        What is to be read next to the planned points, one a curve; by default the power.

    Examples
    --------
    >>> curve = PowerCurve(x=[0, 100, 200], power=[0.05, 0.5, 0.8], planned=(200, 0.8), label="customers")
    >>> len(power_curve([curve], title="A plan").axes)
    2
    """
    heading = fold(title, 80, lines=4)
    head = _HEAD + _LINE * heading.count("\n")
    figure = new_figure(_WIDTH, _HEIGHT + head - _HEAD)
    height = _HEIGHT - _HEAD - _FOOT
    sheet = paper(figure)
    write(sheet, (0.15, figure.get_figheight() - 0.1), heading, lettering=Lettering(size=12, bold=True, valign="top"))
    write(sheet, (0.15, figure.get_figheight() - head + 0.14), "power", lettering=Lettering(size=10.5, colour=QUIET))
    each = (_WIDTH - _LEFT - _RIGHT - _GAP * (len(curves) - 1)) / len(curves)
    for place, curve in enumerate(curves):
        left = _LEFT + place * (each + _GAP)
        box = (left / _WIDTH, _FOOT / figure.get_figheight(), each / _WIDTH, height / figure.get_figheight())
        axes = figure.add_axes(box)
        _dress(axes, curve)
        _draw(axes, curve, note=notes[place] if notes else f"{100 * curve.planned[1]:.0f}%")
        below = Lettering(size=10.5, colour=QUIET, align="center", valign="top")
        write(sheet, (left + each / 2, _FOOT - 0.36), fold(curve.label, 50), lettering=below)
    return figure


def _dress(axes: Axes, curve: PowerCurve) -> None:
    axes.set_ylim(0, 1.04)
    axes.set_xlim(*_ends(curve.x))
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axes.xaxis.set_major_formatter(lambda value, _: _tick(curve.scale * value) + curve.suffix)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(visible=True, color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=10, length=0, pad=6)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.axhline(0, color=INK, linewidth=1.1).set_label("zero")


def _ends(x: Sequence[float]) -> tuple[float, float]:
    """Limits of the axis; an end that is nearly zero becomes zero."""
    low, high = min(x), max(x)
    return (0.0 if 0 < low < 0.25 * high else low), (0.0 if low < 0 and 0.25 * low < high < 0 else high)


def _tick(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−")


def _draw(axes: Axes, curve: PowerCurve, *, note: str) -> None:
    x, power = curve.planned
    axes.plot(curve.x, curve.power, color=EXPERIMENT, linewidth=2.2, zorder=3)[0].set_label("power")
    drops = axes.plot([x, x], [0, power], color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    drops[0].set_label("planned x")
    axes.plot([x], [power], "o", color=EXPERIMENT, markersize=9, zorder=4, markeredgecolor="white")[0].set_label("plan")
    low, high = axes.get_xlim()
    before = x > low + 0.55 * (high - low)  # the note stands where the curve does not
    rising = curve.power[-1] >= curve.power[0]
    above = rising == before
    lettering = Lettering(
        size=10.5,
        colour=EXPERIMENT,
        bold=True,
        align="right" if before else "left",
        valign="bottom" if above else "top",
    )
    at = x + (-0.03 if before else 0.03) * (high - low), min(power + 0.02, 0.88) if above else max(power - 0.02, 0.16)
    words = write(axes, at, fold(note, 18), lettering=lettering)
    words.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85})
    words.set_zorder(5)
