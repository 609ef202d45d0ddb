"""Planned power of the judging rule: simulated experiments of a given size, the same draws at every size and effect.

The first stage is estimated, not known: effects on CPI and KPI are drawn together with their correlation, and small
experiments draw their covariance matrix as well. Draws fill the space more evenly than random numbers do and are always
the same, so that one size has one power and searches are exact and repeatable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.stats.instruments.fieller import fieller_set
from cpi_experiments.stats.planning.simulated_judging import MANY, Draws, JudgingRule, judge_draws
from cpi_experiments.stats.student import quantile, satterthwaite

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = np.ndarray

#: Simulated links per size.
DRAWS = 16_384
#: No experiment is larger.
LARGEST = 10**12
SEED = 20_260_101


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """Experiments of one link as they are planned; everything but their size.

    Parameters
    ----------
    sd_cpi, sd_kpi : float
        Standard deviation of both between randomised units within an arm: increments, KPI units. The first may be 0:
        the move is then known.
    correlation : float
        Of the two between units, inside (-1, 1).
    ratio : float
        Units in treatment per unit in control.
    experiments : int
        How many of that size, each with a lever of its own and other units.
    clustered : bool
        Whether units are clusters (of equal size): the judge needs five an arm.
    rule : JudgingRule
    """

    sd_cpi: float
    sd_kpi: float
    correlation: float
    ratio: float
    experiments: int
    clustered: bool
    rule: JudgingRule

    @property
    def fewest(self) -> int:
        """Units below which there is no variance, or the judge blocks: two an arm, five for clusters."""
        return math.ceil((5 if self.clustered else 2) * (1 + max(self.ratio, 1 / self.ratio)))

    def covariance(self, units: float) -> tuple[float, float, float]:
        """Variance on the CPI, covariance, and variance on the KPI of the effects of one experiment."""
        per = (1 + self.ratio) ** 2 / (self.ratio * units)
        cov = self.correlation * self.sd_cpi * self.sd_kpi
        return self.sd_cpi**2 * per, cov * per, self.sd_kpi**2 * per

    def expected_f(self, units: float) -> float:
        """Mean of the first-stage F of one experiment (one more than its noncentrality)."""
        xx = self.covariance(units)[0]
        return 1 + self.rule.move**2 / xx if xx > 0 else math.inf

    def df(self, units: float) -> float:
        """Degrees of freedom of one experiment's variances; infinite for several experiments, which are large."""
        if self.experiments > 1:
            return math.inf
        control = units / (1 + self.ratio)
        arms = np.array([control, units - control])
        found = satterthwaite(1 / arms, arms - 1)
        return found if found < MANY else math.inf


def verdict_power(trial: PlannedTrial, units: float, *, effect: float) -> tuple[float, float, float]:
    """Chance that the link is confirmed, refuted as immaterial, refuted as harmful.

    Parameters
    ----------
    trial : PlannedTrial
    units : float
        In both arms of each experiment together.
    effect : float
        True KPI effect per increment, + = expected sign.

    Examples
    --------
    >>> trial = PlannedTrial(sd_cpi=5.0, sd_kpi=0.4, correlation=0.3, ratio=1.0, experiments=1, clustered=False,
    ...                      rule=JudgingRule(sesoi=0.004, threshold=0.0083, move=3.0))
    >>> [round(p, 2) for p in verdict_power(trial, 24_000, effect=0.006)]
    [0.77, 0.0, 0.0]
    """
    confirmed, immaterial, harmful = judge_draws(simulated(trial, units, effect=effect), trial.rule)
    return float(confirmed.mean()), float(immaterial.mean()), float(harmful.mean())


def simulated(trial: PlannedTrial, units: float, *, effect: float) -> Draws:
    """Draw effects and covariances of `DRAWS` links."""
    xx, xy, yy = trial.covariance(units)
    k, df = trial.experiments, trial.df(units)
    e = _normals(2 * k + (3 if k == 1 else 0))
    first, second = e[:, :k], e[:, k : 2 * k]
    rest = math.sqrt(1 - trial.correlation**2)
    x = trial.rule.move + math.sqrt(xx) * first
    y = effect * trial.rule.move + math.sqrt(yy) * (trial.correlation * first + rest * second)
    if math.isinf(df):
        return Draws(x=x, y=y, xx=np.array([[xx]]), xy=np.array([[xy]]), yy=np.array([[yy]]))
    a, b, c = _wishart(df)
    lower = math.sqrt(yy) * (trial.correlation * a + rest * b)
    return Draws(x=x, y=y, xx=xx * a**2, xy=math.sqrt(xx) * a * lower, yy=lower**2 + yy * (rest * c) ** 2, df=df)


@lru_cache(maxsize=4)
def _wishart(df: float) -> tuple[Floats, Floats, Floats]:
    """Draw Cholesky factors of a Wishart matrix over its df, by Bartlett's decomposition: two roots and what is below.

    Shapes (DRAWS, 1).
    """
    e = _normals(5)
    chi = [2 * special.gammaincinv(k / 2, special.ndtr(e[:, j : j + 1])) for j, k in ((2, df), (4, df - 1))]
    return np.sqrt(chi[0] / df), e[:, 3:4] / math.sqrt(df), np.sqrt(chi[1] / df)


@lru_cache(maxsize=4)
def _normals(dims: int) -> Floats:
    """Draw normal scores, shape (DRAWS, dims): a lattice in the first two, a Latin hypercube in the others.

    References
    ----------
    Niederreiter (1992), Random Number Generation and Quasi-Monte Carlo Methods, chapter 3 (Kronecker sequences);
    McKay, Beckman, Conover (1979), Technometrics 21.
    """
    rng = np.random.default_rng(SEED)
    root = 1.324717957244746  # the real root of root^3 = root + 1: its powers fill the square evenly
    square = rng.random(2) + np.arange(1, DRAWS + 1)[:, None] * root ** -np.array([1.0, 2.0])
    lines = [(rng.permutation(DRAWS) + rng.random(DRAWS)) / DRAWS for _ in range(dims - 2)]
    found = special.ndtri(np.clip(np.column_stack([square % 1, *lines]), 1e-12, 1 - 1e-12))
    found.setflags(write=False)
    return np.asarray(found)


def units_for(power_at: Callable[[int], float], target: float, *, start: float, fewest: int) -> int:
    """Return a size that reaches a power while one unit less does not: the exact inverse of ``power_at``.

    Parameters
    ----------
    power_at : function of units
    target : float
    start : float
        Where to begin, such as a closed form.
    fewest : int
        Smallest size that can be used; the answer if it suffices.

    Returns
    -------
    int
        `LARGEST` if that is still too small.

    Examples
    --------
    >>> units_for(lambda n: n / 100, 0.8, start=10, fewest=4)
    80
    """
    high = max(math.ceil(start), fewest)
    if power_at(high) < target:
        low = high
        while power_at(high) < target:
            low, high = high, 2 * high
            if high >= LARGEST:
                return LARGEST
    else:
        step = max(high // 8, 1)
        while high - step >= fewest and power_at(high - step) >= target:
            high, step = high - step, 2 * step
        low = max(high - step, fewest - 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle) >= target else (middle, high)
    return high


def smallest_effect(power_at: Callable[[float], float], target: float, *, unit: float) -> float:
    """Return the smallest effect (a multiple of ``unit`` at the start of the search) that reaches a power.

    Parameters
    ----------
    power_at : function of the effect
    target : float
    unit : float
        Effects from this one up to 100 times as large are tried, 5 % apart; between two of them the edge is bisected.

    Returns
    -------
    float
        Infinite if none reaches it: with a weak first stage a larger effect does not help.

    Examples
    --------
    >>> round(smallest_effect(lambda effect: effect / 4, 0.5, unit=1.0), 9)
    2.0
    """
    tried = unit * 1.05 ** np.arange(95)
    reached = next((i for i, effect in enumerate(tried) if power_at(float(effect)) >= target), None)
    if reached is None:
        return math.inf
    high = float(tried[reached])
    low = float(tried[reached - 1]) if reached else 0.0
    for _ in range(32):
        middle = (low + high) / 2
        low, high = (low, middle) if power_at(middle) >= target else (middle, high)
    return high


def slope_power(trial: PlannedTrial, units: float, *, effect: float, distance: float, alpha: float = 0.05) -> float:
    """Chance that the Anderson-Rubin set of one experiment excludes a slope that is ``distance`` off the truth.

    The worse of the two sides; the noise of the first stage enters by ``v(t) = yy - 2 t xy + t^2 xx``.

    Examples
    --------
    >>> trial = PlannedTrial(sd_cpi=5.0, sd_kpi=0.4, correlation=0.0, ratio=1.0, experiments=1, clustered=False,
    ...                      rule=JudgingRule(sesoi=0.004, threshold=0.0083, move=3.0))
    >>> round(slope_power(trial, 40_000, effect=0.006, distance=0.004), 4)
    0.8454
    """
    xx, xy, yy = trial.covariance(units)
    critical = quantile(1 - alpha / 2, trial.df(units))
    chances = []
    for t in (effect - distance, effect + distance):
        shift = distance * trial.rule.move / math.sqrt(yy - 2 * t * xy + t * t * xx)
        chances.append(float(special.ndtr(shift - critical) + special.ndtr(-shift - critical)))
    return min(chances)


def expected_set(trial: PlannedTrial, units: float, *, effect: float) -> tuple[tuple[float, float], ...]:
    """Anderson-Rubin set of one experiment whose estimates are what is expected of them."""
    xx, xy, yy = trial.covariance(units)
    move = trial.rule.move
    critical = quantile(0.975, trial.df(units))
    return fieller_set(move, effect * move, var_x=xx, var_y=yy, cov=xy, critical=critical)
