"""Customers with known truth: what the lever does to the CPI, what the CPI does to the KPI, and what drives both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from cpi_experiments.calibration.unit_arms import UnitTrials
from cpi_experiments.evidence.case import Case, Trialed, broken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.calibration.unit_arms import Arms

Array = np.ndarray
Shape = Literal["normal", "heavy", "rare"]

#: Hours are better if fewer: half an hour less is one step.
INCREMENT, LEVEL = -0.5, 24.0
#: Log-normal noise with this sigma, scaled to mean 0 and variance 1.
HEAVY = 1.5
#: Buyers among the customers where the KPI is a rare yes.
RARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTruth:
    """Truth of one link at the level of customers.

    The CPI of a customer, in steps, is ``root(shared) * taste + own noise + move in treatment`` and has variance 1
    within an arm; it is stored in hours (half an hour less is a step). The KPI is ``theta * CPI + confounding * taste
    + noise``: taste drives both, and past data show a slope of ``theta + confounding * root(shared)``.

    Parameters
    ----------
    theta : float
        KPI per step of the CPI.
    strength : float
        Noncentrality of the first stage: its expected F is one more.
    n : tuple of int
        Customers in control and treatment.
    noise : float
        Standard deviation of the KPI's own noise.
    shared : float
        Share of the CPI's variance that is taste.
    confounding : float
        What taste does to the KPI.
    shape : {"normal", "heavy", "rare"}
        KPI's own noise: normal, log-normal 1.5, or a KPI that is 1 for five in a hundred customers (theta must be 0).
    covariate : bool
        Whether a noisy look at taste is known from before.
    levers : int
        Experiments of the link, each with a lever of its own.
    """

    theta: float
    strength: float
    n: tuple[int, int]
    noise: float = 1.0
    shared: float = 0.5
    confounding: float = 0.0
    shape: Shape = "normal"
    covariate: bool = False
    levers: int = 1

    @property
    def move(self) -> float:
        """What the lever does to the CPI, in steps."""
        return math.sqrt(self.strength * (1 / self.n[0] + 1 / self.n[1]))

    @property
    def past_slope(self) -> float:
        """What past data show."""
        return self.theta + self.confounding * math.sqrt(self.shared)


def draw_links(truth: UnitTruth, rng: np.random.Generator, reps: int) -> tuple[UnitTrials, ...]:
    """Draw the experiments of a link, ``reps`` times each."""
    return tuple(draw_trials(truth, rng, np.full(reps, truth.move), truth.move) for _ in range(truth.levers))


def draw_trials(truth: UnitTruth, rng: np.random.Generator, moves: Array, planned: float) -> UnitTrials:
    """Draw one experiment for every given move of the CPI, in steps."""
    arms: Arms = (
        customers(truth, rng, truth.n[0], 0.0 * moves),
        customers(truth, rng, truth.n[1], moves),
    )
    return UnitTrials(arms=arms, increment=INCREMENT, planned_move=planned)


def customers(truth: UnitTruth, rng: np.random.Generator, n: int, moves: Array) -> Array:
    """Draw the customers of one arm, shape (moves, n, 2 or 3): hours, KPI, and what was known before."""
    size = (len(moves), n)
    taste = rng.standard_normal(size)
    steps = math.sqrt(truth.shared) * taste + math.sqrt(1 - truth.shared) * rng.standard_normal(size) + moves[:, None]
    columns = [LEVEL + INCREMENT * steps, truth.theta * steps + _other(truth, rng, taste)]
    if truth.covariate:
        columns.append(taste + 0.5 * rng.standard_normal(size))
    return np.stack(columns, axis=-1)


def _other(truth: UnitTruth, rng: np.random.Generator, taste: Array) -> Array:
    """Draw what else drives the KPI."""
    if truth.shape == "rare":
        buys = RARE * np.exp(truth.confounding * taste - truth.confounding**2 / 2)
        return (rng.random(taste.shape) < buys).astype(float)
    noise = rng.standard_normal(taste.shape)
    if truth.shape == "heavy":
        variance = math.expm1(HEAVY**2) * math.exp(HEAVY**2)
        noise = (np.exp(HEAVY * noise) - math.exp(HEAVY**2 / 2)) / math.sqrt(variance)
    return truth.confounding * taste + truth.noise * noise


def cases_of(
    experiments: Sequence[UnitTrials], *, sesoi: float = 1.0, expected_sign: int = 1, blocked: Sequence[str] = ()
) -> list[Case]:
    """Make one case of every draw of the experiments of a link.

    Parameters
    ----------
    experiments : sequence of UnitTrials
        Every one drawn as often.
    sesoi, expected_sign : float, int
    blocked : sequence of str, optional
        Why the experiments of every draw are broken.

    Returns
    -------
    list of Case
    """
    drawn = [each.pairs() for each in experiments]
    return [
        Case(
            trials=tuple(
                Trialed(
                    experiment=f"E{k:03d}",
                    lever=f"L{k:03d}",
                    pair=pairs[i],
                    lever_sign=experiment.lever_sign,
                    planned_move=experiment.planned_move,
                    blocked=broken(pairs[i]) or (blocked[i] if blocked else ""),
                )
                for k, (experiment, pairs) in enumerate(zip(experiments, drawn, strict=True))
            ),
            sesoi=sesoi,
            expected_sign=expected_sign,
        )
        for i in range(experiments[0].trials)
    ]
