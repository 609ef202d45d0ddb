"""Boundaries for planned looks: alpha spending, and the exact chance to cross, by recursive numerical integration.

The statistic of a look is Z = estimate / standard error; its information fraction t is the variance planned for the
end over the variance now. Then Z * sqrt(t) is Brownian motion with drift at the times t, for means, proportions,
ratios and adjusted effects alike, however unequally the looks are spaced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import optimize, special

from cpi_experiments.errors import DesignError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = np.ndarray
Spending = Literal["obrien_fleming", "pocock", "power"]
SPENDING = ("obrien_fleming", "pocock", "power")
#: Paths further out than this have no weight in doubles that matters (1e-28).
_REACH = 11.0
#: Less alpha than this is not spent at a look: the boundary is infinite and the alpha is kept for later.
_NOTHING = 1e-25
#: Two looks must differ by this share of their information: closer ones would need too many nodes.
_CLOSEST = 1e-4
_FEWEST_NODES = 64


def spent(
    times: Sequence[float] | Floats,
    *,
    alpha: float = 0.05,
    spending: Spending = "obrien_fleming",
    rho: float = 3.0,
    two_sided: bool = True,
) -> Floats:
    """Return the alpha that may have been spent by each information fraction.

    Parameters
    ----------
    times : array, shape (k,)
        Information fractions; from 1 on everything is spent.
    alpha : float
    spending : {"obrien_fleming", "pocock", "power"}
        Per side, with a = alpha (one-sided) or alpha / 2: ``2 - 2 * Phi(z(1 - a/2) / sqrt(t))``;
        ``a * log(1 + (e - 1) * t)``; ``a * t**rho``.
    rho : float
        For ``power``: 1 spends evenly, 3 is close to O'Brien and Fleming.
    two_sided : bool
        Whether alpha is for both sides together.

    Returns
    -------
    array, shape (k,)
        Cumulative, over both sides if two-sided.

    Raises
    ------
    DesignError
        If alpha or rho is out of range or the spending is not known.

    References
    ----------
    Lan, DeMets (1983), Biometrika 70; Kim, DeMets (1987), Biometrika 74 (power family).

    Examples
    --------
    >>> spent([0.5, 1.0], spending="power", rho=2)
    array([0.0125, 0.05  ])
    """
    if not 0 < alpha < 1:
        raise DesignError(f"alpha {alpha:g} is not between 0 and 1", advice="Did you mean 0.05?")
    if spending not in SPENDING:
        raise DesignError(f"spending {spending!r} is not known", advice=nearest(str(spending), list(SPENDING)))
    if not (rho > 0 and math.isfinite(rho)):
        raise DesignError(f"rho {rho:g} is not above zero", advice="1 spends evenly, 3 keeps most for the end.")
    t = np.clip(np.asarray(times, dtype=float), 0.0, 1.0)
    sides = 2 if two_sided else 1
    a = alpha / sides
    if spending == "obrien_fleming":
        with np.errstate(divide="ignore"):
            used = 2 * special.ndtr(special.ndtri(a / 2) / np.sqrt(t))
    else:
        used = a * (np.log1p((math.e - 1) * t) if spending == "pocock" else t**rho)
    return np.asarray(sides * used)


def boundaries(
    times: Sequence[float] | Floats,
    *,
    alpha: float = 0.05,
    spending: Spending = "obrien_fleming",
    rho: float = 3.0,
    two_sided: bool = True,
    final: bool = False,
) -> Floats:
    """Return the z that the statistic must pass at every look, so that alpha is kept over all of them.

    Parameters
    ----------
    times : array, shape (k,)
        Information fractions of the looks, increasing. Looks that were not planned may be among them, and the last
        may be above 1 (more information than planned): what is left of alpha is spent at the first look from 1 on.
    alpha, spending, rho, two_sided
        As in `spent`.
    final : bool
        Whether the last time is the end of the trial even if it is below 1: all that is left is spent there.

    Returns
    -------
    array, shape (k,)
        Infinite where nothing may be spent.

    Raises
    ------
    DesignError
        If the times do not increase, are not above zero, or two of them are closer than 0.01 %.

    References
    ----------
    Armitage, McPherson, Rowe (1969), JRSS A 132; Lan, DeMets (1983); Jennison, Turnbull (2000), chapters 7 and 19.

    Examples
    --------
    >>> boundaries([0.2, 0.4, 0.6, 0.8, 1.0]).round(4)
    array([4.8769, 3.357 , 2.6803, 2.2898, 2.031 ])
    >>> boundaries([0.3, 0.6, 1.0], spending="power", rho=2).round(4)
    array([2.8408, 2.4267, 2.045 ])
    """
    t = _times(times)
    total = spent(t, alpha=alpha, spending=spending, rho=rho, two_sided=two_sided)
    if final:
        total[-1] = alpha
    return bounds_that_spend(t, total, two_sided=two_sided)


def bounds_that_spend(times: Sequence[float] | Floats, total: Floats, *, two_sided: bool = True) -> Floats:
    """Solve for the bounds that have spent ``total[i]`` of alpha by look i.

    Parameters
    ----------
    times : array, shape (k,)
    total : array, shape (k,)
        Cumulative alpha, non-decreasing; over both sides if two-sided.

    Raises
    ------
    DesignError
        If the times are not looks or the totals fall.

    Examples
    --------
    >>> bounds_that_spend([1.0], np.array([0.05])).round(4)
    array([1.96])
    """
    t = _times(times)
    sides = 2 if two_sided else 1
    side = np.asarray(total, dtype=float) / sides
    if side.shape != t.shape or np.any(np.diff(side, prepend=0.0) < 0) or side[-1] >= 1:
        raise DesignError("the alpha spent by each look must not fall, and needs one number a look")
    found, used = np.full(len(t), math.inf), 0.0
    path = _Path(last=0.0, now=float(t[0]))
    for i in range(len(t)):
        if side[i] - used > _NOTHING:
            found[i] = path.bound(side[i] - used)
            used = side[i]
        if i + 1 < len(t):
            path = path.step(-found[i] if two_sided else -math.inf, found[i], later=float(t[i + 1]))
    return found


def crossing_probability(
    times: Sequence[float] | Floats, bounds: Sequence[float] | Floats, *, drift: float = 0.0, two_sided: bool = True
) -> Floats:
    """Return the chance to cross for the first time at each look; their sum is the power (type I at drift 0).

    Parameters
    ----------
    times, bounds : array, shape (k,)
    drift : float
        Mean of Z at t = 1: true effect over the standard error planned for the end.
    two_sided : bool
        Whether ``-bounds`` counts too.

    Returns
    -------
    array, shape (k,)

    Raises
    ------
    DesignError
        If the times are not looks.

    Examples
    --------
    >>> t = [0.2, 0.4, 0.6, 0.8, 1.0]
    >>> float(crossing_probability(t, [2.4132] * 5).sum().round(5))  # Pocock's constant for five looks
    0.05
    >>> float(crossing_probability(t, boundaries(t), drift=2.8).sum().round(4))
    0.7898
    """
    upper = np.asarray(bounds, dtype=float)
    lower = -upper if two_sided else np.full(upper.shape, -math.inf)
    return np.asarray(exits(times, lower, upper, drift=drift).sum(axis=1))


def exits(
    times: Sequence[float] | Floats, lower: Sequence[float] | Floats, upper: Sequence[float] | Floats, *, drift: float
) -> Floats:
    """Return the chance to leave (lower, upper) at each look, below and above.

    Returns
    -------
    array, shape (k, 2)

    Examples
    --------
    >>> exits([1.0], [-1.96], [1.96], drift=0.0).round(3)
    array([[0.025, 0.025]])
    """
    t = _times(times)
    low, high = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    if low.shape != t.shape or high.shape != t.shape or not np.all(low <= high):
        raise DesignError("every look needs one lower and one upper bound, the lower one below the upper")
    found, path = np.zeros((len(t), 2)), _Path(last=0.0, now=float(t[0]), drift=float(drift))
    for i in range(len(t)):
        found[i] = path.below(low[i]), path.above(high[i])
        if i + 1 < len(t):
            path = path.step(low[i], high[i], later=float(t[i + 1]))
    return found


# -- Brownian motion between the bounds ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    """Where the paths that are still between the bounds stood at the last look, on nodes with weights."""

    last: float
    now: float
    drift: float = 0.0
    at: Floats = field(default_factory=lambda: np.zeros(1))
    weight: Floats = field(default_factory=lambda: np.ones(1))

    def above(self, bound: float) -> float:
        return float(self.weight @ special.ndtr((self._mean() - bound * math.sqrt(self.now)) / self._scale()))

    def below(self, bound: float) -> float:
        return float(self.weight @ special.ndtr((bound * math.sqrt(self.now) - self._mean()) / self._scale()))

    def bound(self, chance: float) -> float:
        """Find the upper bound that is passed with this chance."""
        wanted = math.log(chance)

        def lacking(bound: float) -> float:
            found = self.above(bound)
            return (math.log(found) if found > 0 else -1e3) - wanted  # the log is nearly a parabola

        return float(optimize.brentq(lacking, -_REACH, _REACH + 1, xtol=1e-12, rtol=1e-14))

    def step(self, lower: float, upper: float, *, later: float) -> _Path:
        """Keep the paths within the bounds and go on to the next look."""
        root, scale = math.sqrt(self.now), self._scale()
        centre = self.drift * self.now
        low, high = max(lower * root, centre - _REACH * root), min(upper * root, centre + _REACH * root)
        length = max(high - low, 0.0)
        unit, unit_weight = _nodes(length / min(scale, math.sqrt(later - self.now)))
        at = low + length * unit
        density = np.exp(-0.5 * ((at[:, None] - self._mean()) / scale) ** 2) @ self.weight
        weight = density * unit_weight * (length / (scale * math.sqrt(2 * math.pi)))
        return _Path(last=self.now, now=later, drift=self.drift, at=at, weight=weight)

    def _mean(self) -> Floats:
        return np.asarray(self.at + self.drift * (self.now - self.last))

    def _scale(self) -> float:
        return math.sqrt(self.now - self.last)


def _nodes(steps: float) -> tuple[Floats, Floats]:
    """Return Gauss-Legendre nodes and weights on (0, 1), two a standard deviation of the finest step."""
    return _legendre(32 * math.ceil((_FEWEST_NODES + 2 * steps) / 32))


@lru_cache(maxsize=64)
def _legendre(n: int) -> tuple[Floats, Floats]:
    x, w = special.roots_legendre(n)
    return (x + 1) / 2, w / 2


def _times(times: Sequence[float] | Floats) -> Floats:
    t = np.atleast_1d(np.asarray(times, dtype=float))
    if t.ndim != 1 or not len(t) or not np.all(np.isfinite(t)) or not t[0] > 0:
        raise DesignError("information fractions must be above zero", advice="Such as [0.25, 0.5, 0.75, 1.0].")
    if np.any(np.diff(t) < _CLOSEST * t[1:]):
        at = int(np.argmin(np.diff(t) / t[1:])) + 1
        raise DesignError(
            f"look {at + 1} (information {t[at]:g}) does not follow look {at} ({t[at - 1]:g})",
            advice="Information fractions must increase from look to look by at least a hundredth of a percent.",
        )
    return t
