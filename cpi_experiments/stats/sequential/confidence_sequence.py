"""Confidence sequence for the effect per increment over experiments: the values that no e-process has ruled out.

A value t is left out after experiment k if the planned-move process against "t or less", or that against "t or more",
is then at least 2 / alpha. The chance that the true value is *ever* left out is at most alpha, if it is the same for
every lever tried.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.sequential.link_process import averaged, planned_log_e, predictable_spread

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects

Floats = np.ndarray

_ANGLES = np.linspace(-1, 1, 241) * (math.pi / 2 - 1e-7)
_STEPS = 8


def largest_log_e(effects: Effects, t: Floats, *, scale: float, spread: Floats) -> Floats:
    """Log of the larger of the two one-sided e-values against each value t, after every experiment.

    The mixture scale at t is max(scale, abs(t)): far away what counts is whether the levers moved x at all, and a
    prior of the size of the SESOI would never rule out a value ten thousand times as large.

    Parameters
    ----------
    effects : Effects
        Arrays (streams, K): ways to choose among experiments that share customers, whose e-values are averaged; one
        row if none do.
    t : array, shape (n,)
    scale : float
    spread : array (streams, K)

    Returns
    -------
    array, shape (n, K)
    """
    at = t[:, None]
    width = np.maximum(scale, np.abs(t))[:, None, None]
    sides = [averaged(planned_log_e(effects, at, side=side, scale=width, spread=spread), axis=1) for side in (-1, 1)]
    return np.asarray(np.maximum(*sides))


def confidence_sequence(
    effects: Effects, *, scale: float, confidence_level: float = 0.95, spread: Floats | None = None
) -> Floats:
    """Find the ends of the confidence sequence after every experiment.

    Parameters
    ----------
    effects : Effects
        Arrays (K,), or (streams, K) as in `largest_log_e`; in order of time.
    scale : float
        Frozen mixture scale at 0; the SESOI unless declared otherwise.
    confidence_level : float
    spread : array, optional
        As in `predictable_spread`, the default.

    Returns
    -------
    array, shape (K, 2)
        Low and high; infinite where values without limit are not ruled out, as long as the levers are not shown to
        have moved x. Where the values left form two pieces the ends are those of both together; NaN if none is left
        (experiments that share customers and contradict each other).

    Raises
    ------
    EstimationError
        If the level is not between 0 and 1.

    Notes
    -----
    Every row is a valid set at once. Their running intersection is valid too and narrower, but only if all levers
    have the same effect; it becomes empty where they do not.

    References
    ----------
    Howard, Ramdas, McAuliffe, Sekhon (2021), Ann. Stat. 49.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> sequence = Effects(**{name: np.full(6, value) for name, value in dict(
    ...     x=3.0, y=0.03, xx=0.04, xy=0.0, yy=4e-5, df=np.inf, sign=1.0, move=3.0).items()})
    >>> confidence_sequence(sequence, scale=0.004)[[0, 5]].round(4)
    array([[0.0017, 0.0196],
           [0.0067, 0.0137]])
    """
    given: object = confidence_level
    if not (isinstance(given, Real) and 0 < float(given) < 1):
        raise EstimationError(f"confidence_level {confidence_level} is not between 0 and 1", advice="Such as 0.95.")
    rows = type(effects)(**{name: np.atleast_2d(getattr(effects, name)) for name in effects.__dataclass_fields__})
    factors = np.atleast_2d(predictable_spread(rows) if spread is None else spread)
    critical = math.log(2 / (1 - confidence_level))
    return np.array([_ends(rows, factors, k, scale, critical) for k in range(1, rows.x.shape[-1] + 1)])


def _ends(rows: Effects, factors: Floats, k: int, scale: float, critical: float) -> tuple[float, float]:
    """Hull of the values that are left after k experiments."""
    first = type(rows)(**{name: getattr(rows, name)[:, :k] for name in rows.__dataclass_fields__})

    centre, width = _about(first, factors[:, :k], scale)

    def value(angle: Floats | float) -> Floats:
        return np.atleast_1d(centre + width * np.tan(angle))

    def excess(angle: Floats | float) -> Floats:
        found = largest_log_e(first, value(angle), scale=scale, spread=factors[:, :k])
        return np.asarray(found[:, -1] - critical)

    left = np.flatnonzero(excess(_ANGLES) < 0)
    if not len(left):
        return math.nan, math.nan
    ends = [-math.inf, math.inf]
    for side, (edge, step) in enumerate(((left[0], -1), (left[-1], 1))):
        if 0 < edge < len(_ANGLES) - 1:
            inside, outside = _ANGLES[edge], _ANGLES[edge + step]
            angle = optimize.brentq(lambda a: float(excess(a)[0]), inside, outside, xtol=1e-14, rtol=1e-14)
            ends[side] = float(value(angle)[0])
    return ends[0], ends[1]


def _about(first: Effects, factors: Floats, scale: float) -> tuple[float, float]:
    """Return the value at which the planned-move score is zero and its standard error; they only place the grid."""
    weight, t = first.sign * first.move, 0.0
    for _ in range(_STEPS):
        v = first.v(t) * factors
        moved = float(np.sum(weight * first.x / v))
        if moved == 0:
            return 0.0, scale
        t = float(np.sum(weight * first.y / v)) / moved
    return t, max(math.sqrt(float(np.sum(weight**2 / v))) / abs(moved), 1e-9 * abs(t))
