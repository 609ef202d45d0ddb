"""What may be said after a trial with planned looks has stopped: p-value, interval and median, ordered by stage.

Crossing at an earlier look is stronger evidence than crossing at a later one, and at the same look a larger Z is
stronger. Under this order the chance of what happened, or of anything stronger, is a p-value, whatever looks would
have come later; solving it for the drift gives an interval and a median-unbiased estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.sequential.group_sequential import exits

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Inference that allows for the looks.

    Parameters
    ----------
    estimate : float
        Median-unbiased: as often too large as too small.
    low, high : float
        Confidence interval.
    p_value : float
        Against no effect.
    """

    estimate: float
    low: float
    high: float
    p_value: float


def stopped(
    times: Sequence[float] | Floats,
    bounds: Sequence[float] | Floats,
    *,
    z: float,
    std_error: float,
    alpha: float = 0.05,
    two_sided: bool = True,
) -> Stopped:
    """Return estimate, interval and p-value of a trial that stopped at its last look.

    Parameters
    ----------
    times : array, shape (k,)
        Information fractions of the looks taken, up to the one at which it stopped.
    bounds : array, shape (k,)
        Upper bounds of these looks; the last is not used.
    z, std_error : float
        Statistic and standard error at the last look.
    alpha : float
        One minus the confidence level.
    two_sided : bool
        Whether ``-bounds`` stopped the trial too.

    Raises
    ------
    DesignError
        If there are no looks, or bounds and times do not fit.

    References
    ----------
    Tsiatis, Rosner, Mehta (1984), Biometrics 40; Jennison, Turnbull (2000), sections 8.2 to 8.5.

    Examples
    --------
    >>> from cpi_experiments.stats.sequential.group_sequential import boundaries
    >>> t = [0.5, 1.0]
    >>> end = stopped(t, boundaries(t), z=2.2, std_error=1.0)
    >>> round(end.estimate, 3), round(end.low, 3), round(end.high, 3), round(end.p_value, 4)
    (2.192, 0.223, 4.155, 0.0292)
    """
    t, upper = np.asarray(times, dtype=float), np.array(bounds, dtype=float)
    if len(t) != len(upper) or not len(t):
        raise DesignError("a stopped trial needs one bound for each look, and at least one look")
    lower = -upper if two_sided else np.full(upper.shape, -math.inf)
    lower[-1] = upper[-1] = z
    unit = std_error * math.sqrt(t[-1])  # standard error at information 1

    def above(drift: float) -> float:
        """Chance of crossing above at an earlier look, or of at least this z now."""
        return float(exits(t, lower, upper, drift=drift)[:, 1].sum())

    def drift_at(chance: float) -> float:
        centre, reach = z / math.sqrt(t[-1]), 12.0 / math.sqrt(t[0])
        return float(optimize.brentq(lambda d: above(d) - chance, centre - reach, centre + reach, xtol=1e-10))

    tail = above(0.0)
    return Stopped(
        estimate=unit * drift_at(0.5),
        low=unit * drift_at(alpha / 2),
        high=unit * drift_at(1 - alpha / 2),
        p_value=min(1.0, 2 * min(tail, 1 - tail)) if two_sided else tail,
    )
