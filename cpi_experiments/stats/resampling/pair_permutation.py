"""Anderson-Rubin sets by permutation, where two variances and a covariance do not say enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.instruments.set_end import end_between

if TYPE_CHECKING:
    from cpi_experiments.stats.instruments.fieller import Interval

Floats = np.ndarray
#: Numbers in one block of dealt arms.
BLOCK = 4_000_000
#: Directions at which the set is looked at before its ends are found by bisection.
_DIRECTIONS = 720


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDraws:
    """Two effects with their covariance: as observed, and under every new deal of the arms.

    Parameters
    ----------
    observed : array, shape (5,)
        Effect on x, effect on y, their variances and covariance: (x, y, xx, yy, xy).
    draws : array, shape (reps, 5)
    """

    observed: Floats
    draws: Floats

    def p_value(self, ratio: float) -> float:
        """Two-sided p-value of "y is ``ratio`` times x"; an infinite ratio asks whether x is moved at all."""
        return self._p(math.atan(ratio / self.unit) if math.isfinite(ratio) else math.pi / 2)

    @property
    def unit(self) -> float:
        """A ratio of the size that the two effects can have."""
        x, y, xx, yy, _ = self.observed.tolist()
        return float(max(abs(y), math.sqrt(yy)) / max(abs(x), math.sqrt(xx)))

    def _p(self, angle: float) -> float:
        a, b = math.cos(angle), math.sin(angle) * self.unit

        def size(five: Floats) -> Floats:
            x, y, xx, yy, xy = five.T
            variance = np.maximum(a * a * yy - 2 * a * b * xy + b * b * xx, 0.0)
            off = np.abs(a * y - b * x)
            fixed = np.where(off > 0, np.inf, 0.0)
            return np.asarray(np.divide(off, np.sqrt(variance), out=fixed, where=variance > 0))

        t = float(size(self.observed[None, :])[0])
        return float(np.sum(size(self.draws) >= t * (1 - 1e-12)) + 1) / (len(self.draws) + 1)

    def confidence_set(self, level: float) -> tuple[Interval, ...]:
        """Return every ratio that the permutation test at ``1 - level`` does not reject.

        Returns
        -------
        tuple of (low, high)
            Rising intervals; infinite ends where no bound exists, none if every ratio is rejected.
        """
        edges = np.linspace(-math.pi / 2, math.pi / 2, _DIRECTIONS + 1)
        inside = [self._p(float(angle)) > 1 - level for angle in edges]
        found: list[Interval] = []
        start = -math.inf if inside[0] else math.nan
        for k in range(_DIRECTIONS):
            if inside[k] == inside[k + 1]:
                continue
            ends = float(edges[k]), float(edges[k + 1])
            cut = self.unit * math.tan(end_between(lambda angle: self._p(angle) > 1 - level, *ends))
            if inside[k]:
                found.append((start, cut))
            start = cut
        if inside[-1]:
            found.append((start, math.inf))
        return tuple(found)


def permute_pair(
    x: Floats,
    y: Floats,
    assigned: Floats,
    *,
    clusters: Floats | None = None,
    strata: Floats | None = None,
    reps: int = 1999,
    rng: np.random.Generator,
) -> PairDraws:
    """Deal the arms out anew to units, or to whole clusters, within strata, and take both effects each time.

    If ``y`` is exactly t times what the instrument does to ``x``, then ``y - t*x`` is the same in both arms, and the
    test of t is exact in samples of any size, however skew the values and unequal the arms; the statistic is
    studentised, so that it stays right in large samples if only the means agree.

    Parameters
    ----------
    x, y : array, shape (n,)
        Without missing values.
    assigned : bool array, shape (n,)
    clusters : int array, shape (n,), optional
        Codes; every cluster lies in one arm.
    strata : int array, shape (n,), optional
        Codes; arms are dealt and compared within them, weighted by the stratum's share of all rows. Every cluster lies
        in one.
    reps : int
    rng : Generator

    Raises
    ------
    EstimationError
        If an arm (of a stratum) has fewer than two units, or a cluster lies in both arms or in several strata.

    References
    ----------
    Rosenbaum (2002), Statistical Science 17: covariance adjustment in randomized experiments and observational
    studies; Chung, Romano (2013), Annals of Statistics 41: exact and asymptotically robust permutation tests.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> assigned = np.arange(400) % 2 == 1
    >>> x = rng.normal(size=400) + 2 * assigned
    >>> found = permute_pair(x, 0.5 * x + rng.normal(size=400), assigned, reps=999, rng=rng)
    >>> [(round(low, 1), round(high, 1)) for low, high in found.confidence_set(0.95)]
    [(0.4, 0.6)]
    """
    code = np.arange(len(x)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    columns, units = _totals(x - x.mean(), y - y.mean(), code)  # effects do not depend on it, digits do
    treated = np.bincount(code, weights=assigned) > 0
    if np.any(np.bincount(code, weights=~assigned)[treated] > 0):
        raise EstimationError("some clusters lie in both arms", advice="Permute what was randomised.")
    cells = [_Stratum.of(columns[own], treated[own], len(x)) for own in _by_stratum(strata, code, units)]
    observed = sum(cell.effects(cell.treated[None, :]) for cell in cells)
    block = max(BLOCK // units, 1)
    draws = []
    for start in range(0, reps, block):
        size = min(block, reps - start)
        draws.append(sum(cell.effects(rng.permuted(np.tile(cell.treated, (size, 1)), axis=1)) for cell in cells))
    return PairDraws(observed=np.asarray(observed)[0], draws=np.concatenate(draws))


def _by_stratum(strata: Floats | None, code: Floats, units: int) -> list[Floats]:
    """List the units of every stratum.

    Raises
    ------
    EstimationError
        If a unit (a cluster) lies in several.
    """
    if strata is None:
        return [np.arange(units)]
    own = np.zeros(units, dtype=np.intp)
    labels, place = np.unique(strata, return_inverse=True)
    own[code] = place
    if np.any(own[code] != place):
        raise EstimationError("some clusters lie in several strata", advice="Permute without strata.")
    return [np.flatnonzero(own == k) for k in range(len(labels))]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stratum:
    """Units of one stratum: their totals, who is treated, and the stratum's share of all rows."""

    columns: Floats
    treated: Floats
    share: float

    @classmethod
    def of(cls, columns: Floats, treated: Floats, rows: int) -> _Stratum:
        """Make one, if both arms have two units or more."""
        fewest = min(int(treated.sum()), int((~treated).sum()))
        if fewest < 2:
            raise EstimationError(f"the smaller arm has {fewest} unit", advice="It needs at least two (in a stratum).")
        return cls(columns=columns, treated=treated, share=float(columns[:, 0].sum()) / rows)

    def effects(self, dealt: Floats) -> Floats:
        """Effects on x and y with their variances and covariance, as parts of the whole: shape (reps, 5)."""
        sums, count = dealt.astype(float) @ self.columns, int(self.treated.sum())
        treated = _five(sums, count)
        control = _five(self.columns.sum(axis=0) - sums, len(self.columns) - count)
        parts = np.column_stack([treated[:, :2] - control[:, :2], treated[:, 2:] + control[:, 2:]])
        return np.asarray(parts * self.share ** np.array([1, 1, 2, 2, 2]))


def _totals(x: Floats, y: Floats, code: Floats) -> tuple[Floats, int]:
    """Totals of every unit and the products that means and variances need: shape (units, 9)."""
    own = np.unique(code, return_inverse=True)[1]
    n = np.bincount(own).astype(float)
    a, b = (np.bincount(own, weights=values) for values in (x, y))
    return np.column_stack([n, a, b, n * n, n * a, n * b, a * a, a * b, b * b]), len(n)


def _five(sums: Floats, units: int) -> Floats:
    """Means of x and y with their variances and covariance from sums of totals: shape (reps, 5)."""
    n, a, b, nn, na, nb, aa, ab, bb = sums.T
    mx, my = a / n, b / n
    factor = units / (units - 1) / n**2
    xx = factor * (aa - 2 * mx * na + mx**2 * nn)
    yy = factor * (bb - 2 * my * nb + my**2 * nn)
    xy = factor * (ab - mx * nb - my * na + mx * my * nn)
    return np.column_stack([mx, my, np.maximum(xx, 0.0), np.maximum(yy, 0.0), xy])
