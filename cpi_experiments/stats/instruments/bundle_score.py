"""Several causes moved by the same instruments: two-stage least squares, projected sets, and how far they are apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.instruments.anderson_rubin import fits_somewhere
from cpi_experiments.stats.instruments.set_end import end_between
from cpi_experiments.stats.instruments.several_instruments import JointEffects, joint_critical, joint_p_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpi_experiments.stats.instruments.fieller import Interval

Floats = np.ndarray

#: Angles at which a projected set is looked at, besides those around the point.
_GRID = 96
_AROUND = np.concatenate([-np.geomspace(0.05, 20, 14)[::-1], [0.0], np.geomspace(0.05, 20, 14)])


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleEffects:
    """Effects of K instruments on m causes and one outcome.

    Parameters
    ----------
    first : array, shape (m, K)
    reduced : array, shape (K,)
    omega : array, shape (m + 1, K, m + 1, K)
        Sampling covariance; the outcome comes last.
    weights : array, shape (K, K)
        Cross-products of the instruments.
    df : float

    Raises
    ------
    EstimationError
        If there are fewer instruments than causes, or shapes differ.
    """

    first: Floats
    reduced: Floats
    omega: Floats
    weights: Floats
    df: float = math.inf

    def __post_init__(self) -> None:
        m, k = self.first.shape
        if self.omega.shape != (m + 1, k, m + 1, k) or self.reduced.shape != (k,):
            raise EstimationError(f"{m} causes and {k} instruments need a covariance of ({m + 1}, {k}, {m + 1}, {k})")
        if k < m:
            raise EstimationError(
                f"{k} instruments for {m} causes", advice="Their effects cannot be told apart: credit all together."
            )

    def combined(self, weights: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
        """Return a combination of the m + 1 outcomes, shape (K,), and its covariance with another, as a function."""
        stacked = np.vstack([self.first, self.reduced])
        return weights @ stacked, lambda other: np.einsum("a,aibj,b->ij", weights, self.omega, other)

    def statistic(self, theta: Floats) -> float:
        """Return the Anderson-Rubin statistic of all causes' effects together.

        Examples
        --------
        >>> two = BundleEffects(first=np.eye(2), reduced=np.array([1.0, 2.0]), omega=np.eye(6).reshape(3, 2, 3, 2),
        ...                     weights=np.eye(2))
        >>> two.statistic(np.array([1.0, 2.0])), two.statistic(np.zeros(2))
        (0.0, 5.0)
        """
        turned = np.append(-theta, 1.0)
        u, covariance = self.combined(turned)
        return float(u @ np.linalg.solve(covariance(turned), u))


def bundle_two_stage(effects: BundleEffects) -> tuple[Floats, Floats]:
    """Two-stage least squares of all causes together: coefficients (m,) and their robust covariance (m, m).

    Raises
    ------
    EstimationError
        If the instruments move the causes in the same proportion, so that their effects cannot be told apart.

    Examples
    --------
    >>> two = BundleEffects(first=np.eye(2), reduced=np.array([1.0, 2.0]), omega=np.eye(6).reshape(3, 2, 3, 2),
    ...                     weights=np.eye(2))
    >>> bundle_two_stage(two)[0].tolist()
    [1.0, 2.0]
    """
    direction = effects.first @ effects.weights
    bread = direction @ effects.first.T
    size = np.sqrt(np.diag(bread))
    if not (size > 0).all() or np.linalg.cond(bread / np.outer(size, size)) > 1e12:
        raise EstimationError(
            "the arms move the CPIs in the same proportion",
            advice="Their effects cannot be told apart: credit them together, or add an arm that moves only one.",
        )
    theta = np.linalg.solve(bread, direction @ effects.reduced)
    turned = np.append(-theta, 1.0)
    half = np.linalg.solve(bread, direction)
    return theta, half @ effects.combined(turned)[1](turned) @ half.T


def bundle_misfit(effects: BundleEffects) -> tuple[float, float]:
    """Hansen's statistic at two-stage least squares and its p-value (K - m degrees of freedom); NaN if K = m.

    Examples
    --------
    >>> two = BundleEffects(first=np.eye(2), reduced=np.array([1.0, 2.0]), omega=np.eye(6).reshape(3, 2, 3, 2),
    ...                     weights=np.eye(2))
    >>> bundle_misfit(two)
    (nan, nan)
    """
    m, k = effects.first.shape
    if k == m:
        return math.nan, math.nan
    turned = np.append(-bundle_two_stage(effects)[0], 1.0)
    inverse = np.linalg.inv(effects.combined(turned)[1](turned))
    gain = np.linalg.solve(effects.first @ inverse @ effects.first.T, effects.first @ inverse @ effects.reduced)
    u = effects.reduced - gain @ effects.first
    statistic = float(u @ inverse @ u)
    return statistic, joint_p_value(statistic, k - m, effects.df)


def bundle_strength(effects: BundleEffects) -> float:
    """First-stage F of the combination of causes that the instruments move least.

    The smallest eigenvalue of ``X W X'`` relative to ``tr(Omega_ij W)``: the effective F for one cause, about 1 where
    the instruments cannot tell the causes apart.

    References
    ----------
    Cragg, Donald (1993), Econometric Theory 9; Lewis, Mertens (2022): a robust test for weak instruments, several
    causes.

    Examples
    --------
    >>> two = BundleEffects(first=np.diag([3.0, 5.0]), reduced=np.ones(2), omega=np.eye(6).reshape(3, 2, 3, 2),
    ...                     weights=np.eye(2))
    >>> round(bundle_strength(two), 6)
    4.5
    """
    m = len(effects.first)
    noise = np.einsum("aibj,ji->ab", effects.omega[:m, :, :m, :], effects.weights)
    signal = effects.first @ effects.weights @ effects.first.T
    size = np.sqrt(np.diag(noise))
    if not (size > 0).all():
        return math.inf
    root = np.linalg.inv(np.linalg.cholesky(noise / np.outer(size, size)))
    return float(np.linalg.eigvalsh(root @ (signal / np.outer(size, size)) @ root.T)[0])


def projected_set(effects: BundleEffects, cause: int, *, confidence_level: float = 0.95) -> tuple[Interval, ...]:
    """Anderson-Rubin set of one of two causes, whatever the effect of the other.

    All values for which some effect of the other cause keeps the joint statistic below its critical value with K
    degrees of freedom: never too small, however weak the instruments. Found on a grid of angles that is dense around
    two-stage least squares, its ends by bisection.

    Parameters
    ----------
    effects : BundleEffects
        Of two causes.
    cause : {0, 1}
    confidence_level : float

    Raises
    ------
    EstimationError
        If there are not two causes.

    References
    ----------
    Dufour, Taamouti (2005), Econometrica 73: projection of Anderson-Rubin sets.

    Examples
    --------
    >>> two = BundleEffects(first=20 * np.eye(2), reduced=np.array([20.0, 40.0]),
    ...                     omega=np.eye(6).reshape(3, 2, 3, 2), weights=np.eye(2))
    >>> (low, high), = projected_set(two, 0)
    >>> round(low, 2), round(high, 2)
    (0.71, 1.32)
    """
    m, k = effects.first.shape
    if m != 2:
        raise EstimationError(f"projected sets are for two causes, not {m}")
    critical = joint_critical(k, effects.df, confidence_level=confidence_level)
    theta, covariance = bundle_two_stage(effects)
    error = math.sqrt(max(float(covariance[cause, cause]), 0.0))
    unit = abs(float(theta[cause])) + error
    fits = partial(_fits, effects, cause, unit, critical)
    near = np.arctan((theta[cause] + error * _AROUND) / unit)
    angles = np.unique(np.concatenate([near % math.pi, np.linspace(0, math.pi, _GRID, endpoint=False) + 0.011]))
    inside = np.array([fits(angle) for angle in angles])
    if inside.all():
        return ((-math.inf, math.inf),)
    ends = [
        end_between(fits, angles[i], angles[(i + 1) % len(angles)] + (math.pi if i + 1 == len(angles) else 0.0))
        for i in np.flatnonzero(inside != np.roll(inside, -1))
    ]
    if not ends:
        return ()
    starts_inside = fits((ends[0] + ends[1]) / 2)
    starts = ends[0::2] if starts_inside else ends[1::2]
    stops = ends[1::2] if starts_inside else [*ends[2::2], ends[0] + math.pi]
    return _pieces(list(zip(starts, stops, strict=True)), unit)


def _line(effects: BundleEffects, first: Floats, reduced: Floats) -> JointEffects:
    """Take two combinations of the outcomes as one cause and one outcome."""
    k = len(effects.reduced)
    x, with_x = effects.combined(first)
    y, with_y = effects.combined(reduced)
    omega = np.block([[with_x(first), with_x(reduced)], [with_y(first), with_y(reduced)]])
    return JointEffects(first=x, reduced=y, omega=omega.reshape(2 * k, 2 * k), weights=effects.weights, df=effects.df)


def _fits(effects: BundleEffects, cause: int, unit: float, critical: float, angle: float) -> bool:
    """Whether some effect of the other cause fits where this one's is ``unit * tan(angle)``."""
    turned = np.zeros(3)
    turned[2], turned[cause] = math.cos(angle), -unit * math.sin(angle)
    return fits_somewhere(_line(effects, np.eye(3)[1 - cause], turned), critical=critical)


def _pieces(arcs: list[tuple[float, float]], unit: float) -> tuple[Interval, ...]:
    """Turn arcs of angles into intervals, cut at infinity."""
    found = []
    for start, stop in arcs:
        shift = math.pi * math.floor((start + math.pi / 2) / math.pi)
        low, high = start - shift, stop - shift
        if high <= math.pi / 2:
            found.append((unit * math.tan(low), unit * math.tan(high)))
        else:
            found += [(unit * math.tan(low), math.inf), (-math.inf, unit * math.tan(high - math.pi))]
    return tuple(sorted(found))
