"""Tables of what divides two effects: Anderson and Rubin's set, and the Wald interval with and without a gate."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.calibration.method_world import Rate, about, broken, method_world
from cpi_experiments.calibration.unit_arms import UnitTrials, covers, link_set
from cpi_experiments.stats.instruments.fieller import delta_std_error

if TYPE_CHECKING:
    from cpi_experiments.estimate import EffectPair

Array = np.ndarray
Z = 1.959963984540054
#: Worth of a step, correlation of the noise of CPI and KPI, customers an arm.
THETA, NOISE, CUSTOMERS = 0.7, 0.95, 60


def instruments(
    rng: np.random.Generator, reps: int, *, strength: float, noise: float = NOISE, n: tuple[int, int] = (60, 60)
) -> UnitTrials:
    """Draw experiments whose first-stage F is ``strength`` + 1 on average; the CPI is worth `THETA` a step."""
    moved = math.sqrt(strength * (1 / n[0] + 1 / n[1]))
    arms = []
    for size, move in zip(n, (0.0, moved), strict=True):
        z = rng.standard_normal((2, reps, size))
        cpi = z[0] + move
        kpi = THETA * cpi + noise * z[0] + math.sqrt(1 - noise**2) * z[1]
        arms.append(np.stack([cpi, kpi], axis=-1))
    return UnitTrials(arms=(arms[0], arms[1]), planned_move=max(moved, 1e-9))


def set_misses(
    rng: np.random.Generator, reps: int, *, strength: float, noise: float = NOISE, n: tuple[int, int] = (60, 60)
) -> Array:
    """Count Anderson-Rubin sets without the truth."""
    pairs = instruments(rng, reps, strength=strength, noise=noise, n=n).pairs()
    return np.array([not covers(link_set(pair), THETA) for pair in pairs])


def wald_misses(pair: EffectPair) -> bool:
    """Whether the delta method's interval misses the truth."""
    found = pair.effect_kpi / pair.effect_cpi
    error = delta_std_error(pair.effect_cpi, pair.effect_kpi, var_x=pair.var_cpi, var_y=pair.var_kpi, cov=pair.cov)
    return abs(found - THETA) > Z * error


def wald(rng: np.random.Generator, reps: int, *, strength: float) -> Array:
    """Count Wald intervals without the truth."""
    return np.array([wald_misses(pair) for pair in instruments(rng, reps, strength=strength).pairs()])


def gated(rng: np.random.Generator, reps: int, *, strength: float) -> Array:
    """Count Wald intervals without the truth among the experiments whose F is above 10."""
    pairs = instruments(rng, reps, strength=strength).pairs()
    return np.array([wald_misses(pair) for pair in pairs if pair.effect_cpi**2 > 10 * pair.var_cpi], dtype=bool)


def _about(name: str, strength: float, noise: float = NOISE, n: tuple[int, int] = (60, 60)) -> Rate:
    return about(name, partial(set_misses, strength=strength, noise=noise, n=n))


STRENGTHS = (0.5, 1.3, 11.0, 45.0)

WORLDS = (
    method_world(
        "anderson_rubin", "A step is worth .7; noise correlated by .95 or -.95; F from nothing to strong", "AR set",
        [
            *(_about(f"F {f:g}", f) for f in STRENGTHS),
            *(_about(f"F {f:g}, minus", f, -NOISE) for f in STRENGTHS),
            _about("F 11, 90 and 30", 11.0, NOISE, (90, 30)),
        ],
        reps=(1_000, 20_000),
    ),
    method_world(
        "wald_and_gate", "The same, by the interval that most packages print", "Wald",
        [
            *(broken(f"Wald, F {f:g}", partial(wald, strength=f), method="Wald", times=k)
              for f, k in ((0.5, 1), (1.3, 1), (11.0, 4))),
            broken("gate F > 10, at F 2", partial(gated, strength=1.0), method="F > 10, then Wald", times=10),
        ],
        reps=(1_000, 10_000), chunk=100,
    ),
)  # fmt: skip
