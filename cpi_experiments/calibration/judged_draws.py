"""Truths about one link, at the level of experiment summaries: five numbers drawn from their normal law."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence.case import SINGLE, Case, Trialed, broken
from cpi_experiments.stats.judging.look_plan import LookPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is true of a link and of the experiments on it; the SESOI is 1 unless told otherwise.

    Parameters
    ----------
    theta : float
        KPI per increment.
    error : float
        Standard error of that number from one experiment whose lever moves the CPI as planned.
    strength : float
        Planned F of the first stage (it holds one for noise); the move is ``sqrt(strength - 1)`` standard errors.
    k : int
        Experiments, each with its own lever.
    rho : float
        Correlation of the noise of CPI and KPI.
    works : bool
        Whether the levers move the CPI at all.
    direct : tuple of float
        Direct effects on the KPI per unit of first stage, of the first levers; the others have none.
    direct_all : float
        The same, of all levers.
    spread : float
        Standard deviation of theta over levers.
    uneven : bool
        First stages half-normal with the planned mean square, rather than all alike.
    path : float
        Mean over levers of the direct effect, in standard errors of the KPI effect, independent of the first stage.
    path_spread : float
        Its standard deviation.
    orientation : int
        Declared orientation of the levers; 0 if none.
    covariance : bool
        Whether the covariance of the two effects is known.
    sign : int
        Expected sign; a truth with -1 is the mirror image.
    sesoi : float
    looks : LookPlan
        With another plan than one look every experiment is a look of its own.
    """

    theta: float
    error: float
    strength: float = 400.0
    k: int = 1
    rho: float = 0.0
    works: bool = True
    direct: tuple[float, ...] = ()
    direct_all: float = 0.0
    spread: float = 0.0
    uneven: bool = False
    path: float = 0.0
    path_spread: float = 0.0
    orientation: int = 0
    covariance: bool = True
    sign: int = 1
    sesoi: float = 1.0
    looks: LookPlan = SINGLE

    @property
    def move(self) -> float:
        """Planned move of the CPI, in standard errors."""
        return math.sqrt(self.strength - 1)

    @property
    def noise(self) -> float:
        """Standard error of an effect on the KPI."""
        return self.error * self.move


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Summaries of many links alike: effects of shape (reps, K) and their known covariance.

    Parameters
    ----------
    x, y : array, shape (reps, K)
    theta : array, shape (reps, K)
        True size at each lever.
    xx, xy, yy : float
    truth : Truth
    """

    x: Floats
    y: Floats
    theta: Floats
    xx: float
    xy: float
    yy: float
    truth: Truth


def draw(truth: Truth, rng: np.random.Generator, reps: int) -> Drawn:
    """Draw the summaries of ``reps`` links.

    Examples
    --------
    >>> drawn = draw(Truth(theta=2.0, error=0.1, k=3), np.random.default_rng(1), 5)
    >>> drawn.x.shape, round(float(np.mean(drawn.y / drawn.x)), 1)
    ((5, 3), 2.0)
    """
    shape = (reps, truth.k)
    a, b = rng.standard_normal((2, *shape))
    planned = np.full(shape, truth.move)
    if truth.uneven:
        planned = np.abs(rng.standard_normal(shape)) * truth.move
    moved = planned if truth.works else np.zeros(shape)
    theta = truth.theta + truth.spread * rng.standard_normal(shape)
    bypass = np.full(truth.k, truth.direct_all)
    bypass[: len(truth.direct)] += truth.direct
    path = truth.path + truth.path_spread * rng.standard_normal(shape)
    y = theta * moved + bypass * planned + truth.noise * (path + truth.rho * a + math.sqrt(1 - truth.rho**2) * b)
    return Drawn(x=moved + a, y=y, theta=theta, xx=1.0, xy=truth.rho * truth.noise, yy=truth.noise**2, truth=truth)


def cases(drawn: Drawn, *, known: float | None = None, blocked: Sequence[str] = ()) -> list[Case]:
    """Turn the summaries into what the judge reads.

    Parameters
    ----------
    drawn : Drawn
    known : float, optional
        Covariance that the experiments report instead of the true one.
    blocked : sequence of str
        Why the experiments of each link are broken; empty texts, or nothing, if they are not.
    """
    truth = drawn.truth
    cov = math.nan if not truth.covariance else drawn.xy if known is None else known
    why = blocked or [""] * len(drawn.x)
    return [
        Case(
            trials=tuple(_trials(drawn, i, cov, why[i])),
            sesoi=truth.sesoi,
            expected_sign=truth.sign,
            looks=truth.looks,
        )
        for i in range(len(drawn.x))
    ]


def _trials(drawn: Drawn, i: int, cov: float, blocked: str) -> list[Trialed]:
    truth = drawn.truth
    found = []
    for j, (x, y) in enumerate(zip(drawn.x[i].tolist(), drawn.y[i].tolist(), strict=True)):
        pair = EffectPair(
            effect_cpi=x, effect_kpi=truth.sign * y, var_cpi=drawn.xx, var_kpi=drawn.yy, cov=truth.sign * cov
        )
        found.append(
            Trialed(
                experiment=f"E{j:03}",
                lever=f"L{j}",
                pair=pair,
                planned_move=truth.move,
                blocked=broken(pair) or blocked,
                looked_at=j if truth.looks is not SINGLE else 0,
                orientation=truth.orientation,
            )
        )
    return found
