"""The Anderson-Rubin set of several instruments, all pieces of it, and the ratio at which they disagree least."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.instruments.fieller import LINE, Interval
from cpi_experiments.stats.instruments.set_end import end_between
from cpi_experiments.stats.instruments.several_instruments import joint_p_value

if TYPE_CHECKING:
    from cpi_experiments.stats.instruments.several_instruments import JointEffects

Floats = np.ndarray

#: Roots whose imaginary part is below this are looked at: too many cost nothing, a lost one would cost a piece.
_NEARLY_REAL = 1e-4
_BISECTIONS = 60
_DESCENTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Where the instruments agree best.

    Parameters
    ----------
    theta : float
        The ratio at which ``T`` is least (continuously updated GMM; LIML where errors are alike for every row).
    std_error : float
        Of a strong first stage.
    misfit, p_value : float
        Least ``T`` (the J or Sargan statistic) and its p-value with K - 1 degrees of freedom; NaN for one instrument.
    """

    theta: float
    std_error: float
    misfit: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standard:
    """Effects in units in which the second outcome's covariance is the identity and the first's is about one."""

    first: Floats
    reduced: Floats
    parts: tuple[Floats, Floats, Floats]  # V at angle a: cos² p0 + cos sin p1 + sin² p2
    unit: float


# -- the set ---------------------------------------------------------------------------------------------------------


def anderson_rubin_set(effects: JointEffects, *, critical: float) -> tuple[Interval, ...]:
    """Solve ``T(t) <= critical`` for t, all pieces of it, exactly.

    ``T <= c`` where ``c V - u u'`` has no negative eigenvalue. Its determinant vanishes at the eigenvalues of a
    quadratic matrix polynomial; between neighbouring real ones nothing changes, so one look at each gap finds every
    piece. Angles instead of ratios keep infinity an ordinary point.

    Parameters
    ----------
    effects : JointEffects
    critical : float
        Of the statistic; see `joint_critical`.

    Returns
    -------
    tuple of (low, high)
        Empty if every ratio is rejected: the instruments disagree. Otherwise intervals in order, rays, or the line.

    Raises
    ------
    EstimationError
        If the second outcome's effects have no covariance of full rank.

    References
    ----------
    Anderson, Rubin (1949), Ann. Math. Stat. 20; Stock, Wright (2000), Econometrica 68 (other variances).

    Examples
    --------
    >>> from cpi_experiments.stats.instruments.several_instruments import JointEffects
    >>> one = JointEffects(first=np.array([2.0]), reduced=np.array([1.0]), omega=np.eye(2) / 100, weights=np.eye(1))
    >>> (low, high), = anderson_rubin_set(one, critical=1.96**2)
    >>> round(low, 4), round(high, 4)
    (0.3946, 0.6151)
    >>> two = JointEffects(first=np.ones(2), reduced=np.array([1.0, 9.0]), omega=np.eye(4) / 9, weights=np.eye(2))
    >>> anderson_rubin_set(two, critical=5.99)
    ()
    """
    found = _standard(effects)
    return _ratios(_arcs(found, critical), found.unit)


def fits_somewhere(effects: JointEffects, *, critical: float) -> bool:
    """Whether some ratio is not rejected: whether `anderson_rubin_set` is not empty, without its ends.

    Examples
    --------
    >>> from cpi_experiments.stats.instruments.several_instruments import JointEffects
    >>> two = JointEffects(first=np.ones(2), reduced=np.array([1.0, 9.0]), omega=np.eye(4) / 9, weights=np.eye(2))
    >>> fits_somewhere(two, critical=5.99), fits_somewhere(two, critical=599.0)
    (False, True)
    """
    found = _standard(effects)
    if np.any(_statistics(np.arctan2(found.reduced, found.first) + 1e-9, found) <= critical):
        return True
    roots = np.sort(_roots(found, critical))
    if len(roots) == 0:
        return False
    ends = np.append(roots, roots[0] + math.pi)
    return bool(np.any(_statistics((ends[:-1] + ends[1:]) / 2, found) <= critical))


def _standard(effects: JointEffects) -> _Standard:
    k = effects.count
    try:
        root = np.linalg.cholesky(effects.omega[k:, k:])
    except np.linalg.LinAlgError as error:
        raise EstimationError(
            "the effects on the second outcome have no covariance of full rank",
            advice="An outcome that is constant in an arm, or arms that repeat each other, have none.",
        ) from error
    turn = np.linalg.inv(root)
    first, reduced = turn @ effects.first, turn @ effects.reduced
    xx, cross = turn @ effects.omega[:k, :k] @ turn.T, turn @ effects.omega[:k, k:] @ turn.T
    unit = max(math.sqrt(max(float(np.trace(xx)), 0.0) / k), float(np.abs(first).max()) * 1e-3) or 1.0
    parts = (np.eye(k), -(cross + cross.T) / unit, xx / unit**2)
    return _Standard(first=first / unit, reduced=reduced, parts=parts, unit=unit)


def _at(angle: Floats | float, found: _Standard) -> tuple[Floats, Floats]:
    """Return ``u`` and ``V`` times cos² at some angles."""
    cos, sin = np.cos(angle), np.sin(angle)
    u = np.multiply.outer(cos, found.reduced) - np.multiply.outer(sin, found.first)
    v = (
        np.multiply.outer(cos * cos, found.parts[0])
        + np.multiply.outer(cos * sin, found.parts[1])
        + np.multiply.outer(sin * sin, found.parts[2])
    )
    return u, v


def _statistics(angle: Floats, found: _Standard) -> Floats:
    u, v = _at(angle, found)
    return np.asarray(np.einsum("ai,ai->a", u, np.linalg.solve(v, u[..., None])[..., 0]))


def _arcs(found: _Standard, level: float) -> list[tuple[float, float]]:
    """Arcs of angles (start, end), within one half turn, on which ``T <= level``."""
    roots = np.sort(_roots(found, level))
    if len(roots) == 0:
        return [(0.0, math.pi)] if _statistics(np.array([0.1]), found)[0] <= level else []
    ends = np.append(roots, roots[0] + math.pi)
    middle = (ends[:-1] + ends[1:]) / 2
    inside = _statistics(middle, found) <= level
    if inside.all() or not inside.any():
        return [(0.0, math.pi)] if inside.all() else []
    arcs = []
    count = len(roots)
    for i in np.flatnonzero(inside & ~np.roll(inside, 1)):  # the first gap of each run of gaps inside
        length = next(j for j in range(1, count + 1) if not inside[(i + j) % count])
        start = _edge(found, level, middle[i - 1] - (math.pi if i == 0 else 0.0), middle[i])
        last = i + length - 1
        turn = math.pi * (last // count)
        after = middle[(last + 1) % count] + math.pi * ((last + 1) // count)
        arcs.append((start, _edge(found, level, middle[last % count] + turn, after)))
    return arcs


def _edge(found: _Standard, level: float, low: float, high: float) -> float:
    """Find where ``T`` crosses the level between two angles, one inside and one outside."""
    return end_between(lambda angle: bool(_statistics(np.array([angle]), found)[0] <= level), low, high)


def _roots(found: _Standard, level: float) -> Floats:
    """Angles at which ``level * V - u u'`` is singular, and some that are nearly so."""
    x, y = found.first, found.reduced
    n0, n1, n2 = (
        level * part - tensor
        for part, tensor in zip(
            found.parts, (np.outer(y, y), -np.outer(x, y) - np.outer(y, x), np.outer(x, x)), strict=True
        )
    )
    k = len(x)
    cos, sin = _far_from_singular((n0, n1, n2))
    top = cos * cos * n0 + cos * sin * n1 + sin * sin * n2
    bottom = sin * sin * n0 - cos * sin * n1 + cos * cos * n2
    cross = 2 * cos * sin * (n2 - n0) + (cos * cos - sin * sin) * n1
    half = np.linalg.solve(top, np.hstack([bottom, cross]))
    companion = np.block([[np.zeros((k, k)), np.eye(k)], [-half[:, :k], -half[:, k:]]])
    values = np.linalg.eigvals(companion)
    real = values.real[np.abs(values.imag) <= _NEARLY_REAL * (1 + np.abs(values.real))]
    return np.asarray(np.arctan2(real * sin + cos, real * cos - sin) % math.pi)


def _far_from_singular(parts: tuple[Floats, Floats, Floats]) -> tuple[float, float]:
    """Choose the direction that stands for infinity: the one in which the matrix is best conditioned."""
    k = len(parts[0])
    angles = np.linspace(0, math.pi, 4 * k + 3, endpoint=False) + 0.123
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    values = np.abs(np.linalg.eigvalsh(cos * cos * parts[0] + cos * sin * parts[1] + sin * sin * parts[2]))
    best = angles[int(np.argmax(values.min(axis=1) / values.max(axis=1)))]
    return math.cos(best), math.sin(best)


def _ratios(arcs: list[tuple[float, float]], unit: float) -> tuple[Interval, ...]:
    """Turn arcs into intervals of the ratio; an arc through a quarter turn is cut at infinity."""
    pieces = []
    for start, end in arcs:
        if end - start >= math.pi:
            return LINE
        shift = math.pi * math.floor((start + math.pi / 2) / math.pi)
        low, high = start - shift, end - shift
        if high <= math.pi / 2:
            pieces.append((math.tan(low), math.tan(high)))
        else:
            pieces += [(math.tan(low), math.inf), (-math.inf, math.tan(high - math.pi))]
    return tuple(sorted((low / unit, high / unit) for low, high in pieces))


# -- the point -------------------------------------------------------------------------------------------------------


def best_agreement(effects: JointEffects) -> Agreement:
    """Find the ratio at which the instruments disagree least, and how much they still do.

    It lies in every Anderson-Rubin set that is not empty, and does not depend on which outcome is called first. The
    search ends when the set just below the least statistic is empty, so no better ratio is left anywhere.

    Raises
    ------
    EstimationError
        If the second outcome's effects have no covariance of full rank.

    References
    ----------
    Hansen, Heaton, Yaron (1996), JBES 14 (continuously updated GMM); Sargan (1958), Econometrica 26.

    Examples
    --------
    >>> from cpi_experiments.stats.instruments.several_instruments import JointEffects
    >>> two = JointEffects(first=np.array([1.0, 2.0]), reduced=np.array([2.1, 3.9]), omega=np.eye(4) / 400,
    ...                    weights=np.eye(2))
    >>> best = best_agreement(two)
    >>> round(best.theta, 3), round(best.misfit, 3), round(best.p_value, 3)
    (1.981, 1.462, 0.227)
    """
    if effects.count == 1:
        theta = float(effects.reduced[0] / effects.first[0]) if effects.first[0] else math.nan
        return Agreement(theta=theta, std_error=_std_error(effects, theta), misfit=math.nan, p_value=math.nan)
    found = _standard(effects)
    angle, least = _least(found)
    theta = math.tan(angle) / found.unit
    p_value = joint_p_value(least, effects.count - 1, effects.df)
    return Agreement(theta=theta, std_error=_std_error(effects, theta), misfit=least, p_value=p_value)


def _least(found: _Standard) -> tuple[float, float]:
    """Return the angle of the least statistic and that statistic."""
    own = np.arctan2(found.reduced, found.first)
    angles = np.concatenate([own + 1e-9, np.linspace(0, math.pi, 64, endpoint=False) + 0.017])
    values = _statistics(angles, found)
    angle, least = float(angles[np.argmin(values)]), float(values.min())
    for _ in range(_DESCENTS):
        arcs = _arcs(found, least * (1 - 1e-11)) if least > 1e-14 else []
        lows = [_bottom(found, *arc) for arc in arcs]
        better = [(value, place) for place, value in lows if value < least]
        if not better:
            break
        least, angle = min(better)
    return angle, least


def _bottom(found: _Standard, low: float, high: float) -> tuple[float, float]:
    """Find a local minimum inside an arc at whose ends the statistic is equal and larger."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _slope(found, middle) > 0:
            high = middle
        else:
            low = middle
    place = (low + high) / 2
    return place, float(_statistics(np.array([place]), found)[0])


def _slope(found: _Standard, angle: float) -> float:
    """Differentiate the statistic by the angle."""
    u, v = _at(angle, found)
    cos, sin = math.cos(angle), math.sin(angle)
    w = np.linalg.solve(v, u)
    p0, p1, p2 = found.parts
    turned = 2 * cos * sin * (p2 - p0) + (cos * cos - sin * sin) * p1
    return float(2 * w @ (-sin * found.reduced - cos * found.first) - w @ turned @ w)


def _std_error(effects: JointEffects, theta: float) -> float:
    if not math.isfinite(theta):
        return math.nan
    strength = float(effects.first @ np.linalg.solve(effects.variance(theta), effects.first))
    return 1 / math.sqrt(strength) if strength > 0 else math.inf
