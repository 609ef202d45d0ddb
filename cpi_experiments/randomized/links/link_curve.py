"""From a link estimate to the picture of its Anderson-Rubin curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.estimate import Status
from cpi_experiments.figures.ar_curve import ar_curve
from cpi_experiments.stats.instruments.several_instruments import joint_p_value
from cpi_experiments.stats.student import p_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from cpi_experiments.randomized.links.arms_link import ArmsLink
    from cpi_experiments.randomized.links.link import LinkEffect

_POINTS = 601


def curve_of_link(link: LinkEffect, *, sesoi: float | None = None) -> Figure:
    """Draw the curve of one link; see `cpi_experiments.figures.ar_curve.ar_curve`.

    Raises
    ------
    EstimationError
        If the link has no estimate.
    """
    pair = link.pair

    def test(theta: float) -> float:
        variance = pair.var_kpi - 2 * theta * pair.cov + theta**2 * pair.var_cpi
        return p_value((pair.effect_kpi - theta * pair.effect_cpi) / math.sqrt(variance), pair.df)

    return _drawn(
        link, test, spread=math.sqrt(pair.var_kpi / pair.var_cpi) if pair.var_cpi > 0 else math.nan, sesoi=sesoi
    )


def curve_of_arms(link: ArmsLink, *, sesoi: float | None = None) -> Figure:
    """Draw the joint curve of several arms.

    Raises
    ------
    EstimationError
        If the link has no estimate.
    """
    joint, k = link.joint, link.joint.count
    ratio = np.trace(joint.omega[k:, k:]) / np.trace(joint.omega[:k, :k]) if joint.omega[0, 0] > 0 else math.nan

    def test(theta: float) -> float:
        return joint_p_value(joint.statistic(theta), k, joint.df)

    return _drawn(link, test, spread=math.sqrt(ratio), sesoi=sesoi)


def _drawn(
    link: LinkEffect | ArmsLink, test: Callable[[float], float], *, spread: float, sesoi: float | None
) -> Figure:
    e = link.estimate
    if e.status is Status.FAILED and not (hasattr(link, "arms") and math.isfinite(e.p_value)):
        raise EstimationError("there is no estimate to draw", advice=link.sentence)
    scale = 100.0 if link.shares else 1.0
    low, high = _reach(link, spread, 0.0 if sesoi is None else abs(sesoi))
    theta = np.unique(np.concatenate([np.linspace(low, high, _POINTS), _ends(link, low, high)]))
    return ar_curve(
        (scale * theta).tolist(),
        [test(float(t)) for t in theta],
        title=link.sentence,
        axis_label=f"{e.outcome}{' (points)' if link.shares else ''}: change for each {link.step}",
        pieces=[(scale * a, scale * b) for a, b in link.ar_set],
        confidence_level=e.confidence_level,
        point=scale * e.value,
        sesoi=None if sesoi is None else scale * abs(sesoi),
    )


def _ends(link: LinkEffect | ArmsLink, low: float, high: float) -> list[float]:
    ends = [end for piece in link.ar_set for end in piece if low < end < high]
    return [*ends, *([link.estimate.value] if low < link.estimate.value < high else [])]


def _reach(link: LinkEffect | ArmsLink, spread: float, sesoi: float) -> tuple[float, float]:
    """Choose what to show: the finite ends with room around them, zero, and the smallest effect worth acting on."""
    e = link.estimate
    ends = [end for piece in link.ar_set for end in piece if math.isfinite(end)]
    shown = [*ends, -sesoi, sesoi, 0.0]
    if len(ends) < 2 or any(math.isinf(end) for piece in link.ar_set for end in piece):
        wide = 3 * spread if math.isfinite(spread) else 1.0
        shown += [-wide, wide]
        if math.isfinite(e.value) and abs(e.value) < 3 * wide:
            shown.append(e.value)
    room = 0.25 * (max(shown) - min(shown)) or 1.0
    return min(shown) - room, max(shown) + room
