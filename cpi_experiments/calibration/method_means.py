"""Tables of what compares means: false alarms and coverage of Welch, ratios, CUPED and randomised groups."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.calibration.method_world import about, broken, careful, method_world
from cpi_experiments.calibration.unit_arms import cells_of_trials, covers, means_of_trials
from cpi_experiments.stats.adjustment import linear_ratio
from cpi_experiments.stats.arm_means import means_of_cells
from cpi_experiments.stats.student import interval, p_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cpi_experiments.calibration.unit_arms import Arms
    from cpi_experiments.stats.arm_means import ArmMeans

Array = np.ndarray
ALPHA = 0.05


def p_of(means: ArmMeans) -> float:
    """Two-sided p-value of the first column; 1 where nothing varies, so that no test exists."""
    variance = float(means.omega[0, 0])
    return p_value(float(means.effect[0]) / math.sqrt(variance), means.df(0)) if variance > 0 else 1.0


def alarms(found: Iterable[ArmMeans]) -> Array:
    """Which trials are significant at five percent."""
    return np.array([p_of(means) < ALPHA for means in found])


def held(found: Iterable[ArmMeans], effect: float) -> Array:
    """Which 95 % intervals hold the effect."""
    return np.array(
        [covers((interval(float(m.effect[0]), math.sqrt(float(m.omega[0, 0])), m.df(0)),), effect) for m in found]
    )


# -- kinds of data -----------------------------------------------------------------------------------------------------


def values(rng: np.random.Generator, size: tuple[int, int], kind: str) -> Array:
    """Draw customers: ``normal``, ``lognormal`` with sigma 1.5, or ``rare``: one in a hundred is 1."""
    if kind == "normal":
        return rng.standard_normal(size)
    if kind == "lognormal":
        return rng.lognormal(0, 1.5, size)
    return (rng.random(size) < 0.01).astype(float)


def two_arms(rng: np.random.Generator, reps: int, *, kind: str, n: tuple[int, int], spread: float = 1.0) -> Arms:
    """Draw two arms without effect; the treatment may spread more."""
    drawn = [values(rng, (reps, size), kind)[..., None] for size in n]
    return drawn[0], spread * drawn[1]


def ratios(rng: np.random.Generator, reps: int, n: int) -> Arms:
    """Draw purchases and visits of customers with different rates; arms n and 2 n."""
    arms = []
    for size in (n, 2 * n):
        visits = rng.poisson(3, (reps, size)) + 1
        bought = rng.binomial(visits, rng.beta(2, 6, (reps, size)))
        arms.append(np.stack([bought, visits], axis=-1).astype(float))
    return arms[0], arms[1]


def before(rng: np.random.Generator, reps: int, n: int, effect: float = 0.0) -> Arms:
    """Draw an outcome and what was known before (correlation .62); arms n and 2 n."""
    arms = []
    for j, size in enumerate((n, 2 * n)):
        past = rng.standard_normal((reps, size))
        arms.append(np.stack([0.8 * past + rng.standard_normal((reps, size)) + effect * j, past], axis=-1))
    return arms[0], arms[1]


def groups(rng: np.random.Generator, reps: int, per_arm: int, effect: float = 0.0) -> tuple[Arms, tuple[Array, Array]]:
    """Draw groups of 10 to 30 customers that share a tenth of the variance."""
    sizes = np.resize([10, 20, 30, 25, 15], per_arm)
    arms = []
    for j in (0, 1):
        shared = np.repeat(rng.standard_normal((reps, per_arm)), sizes, axis=1)
        y = math.sqrt(0.1) * shared + math.sqrt(0.9) * rng.standard_normal(shared.shape) + effect * j
        arms.append(y[..., None])
    return (arms[0], arms[1]), (sizes, sizes)


# -- methods -----------------------------------------------------------------------------------------------------------


def welch(rng: np.random.Generator, reps: int, *, kind: str, n: tuple[int, int], spread: float = 1.0) -> Array:
    """Count false alarms of Welch's test."""
    return alarms(means_of_trials(two_arms(rng, reps, kind=kind, n=n, spread=spread)))


def ratio(rng: np.random.Generator, reps: int, *, n: int) -> Array:
    """Count false alarms of a ratio of means (delta method)."""
    return alarms(means_of_cells(linear_ratio(cells)) for cells in cells_of_trials(ratios(rng, reps, n)))


def ratio_of_visits(rng: np.random.Generator, reps: int, *, n: int) -> Array:
    """Count false alarms of a test that takes visits for independent: the naive variance of a share."""
    rates, variance = [], np.zeros(reps)
    for arm in ratios(rng, reps, n):
        total = arm[..., 1].sum(axis=1)
        rate = arm[..., 0].sum(axis=1) / total
        variance += rate * (1 - rate) / total
        rates.append(rate)
    return np.asarray(np.abs(rates[1] - rates[0]) > 1.959963984540054 * np.sqrt(variance))


def cuped(rng: np.random.Generator, reps: int, *, n: int) -> Array:
    """Count false alarms after the adjustment by what was known before."""
    return alarms(means_of_trials(before(rng, reps, n), covariates=["x"]))


def grouped(rng: np.random.Generator, reps: int, *, per_arm: int, known: bool = True) -> Array:
    """Count false alarms where groups are randomised, known to the test or not."""
    arms, sizes = groups(rng, reps, per_arm)
    return alarms(means_of_trials(arms, clusters=sizes if known else None))


def covered(rng: np.random.Generator, reps: int, *, case: str) -> Array:
    """Count intervals that hold the effect of .3."""
    if case == "ratio of spreads 3":
        arms = two_arms(rng, reps, kind="normal", n=(180, 20), spread=3.0)
        return held(means_of_trials((arms[0], arms[1] + 0.3)), 0.3)
    if case == "CUPED":
        return held(means_of_trials(before(rng, reps, 60, effect=0.3), covariates=["x"]), 0.3)
    arms, sizes = groups(rng, reps, 20, effect=0.3)
    return held(means_of_trials(arms, clusters=sizes), 0.3)


def _welch(kind: str, *n: int, spread: float = 1.0) -> Callable[..., Array]:
    return partial(welch, kind=kind, n=(n[0], n[-1]), spread=spread)


WORLDS = (
    method_world(
        "false_alarms_welch", "No effect; Welch's test of two means", "Welch",
        [
            about("normal, 100", _welch("normal", 100)),
            about("normal, 10", _welch("normal", 10)),
            about("spread 3, 180 and 20", _welch("normal", 180, 20, spread=3.0)),
            careful("lognormal 1.5, 100", _welch("lognormal", 100), 0.02),
            careful("1 %, 100", _welch("rare", 100), 0.005),
        ],
    ),
    method_world(
        "false_alarms_welch_large", "No effect; Welch's test of two means of 2,000 customers", "Welch",
        [
            about("normal, 2,000", _welch("normal", 2_000)),
            careful("lognormal 1.5, 2,000", _welch("lognormal", 2_000), 0.04, rate=0.052),
            careful("1 %, 2,000", _welch("rare", 2_000), 0.04, rate=0.052),
        ],
        reps=(1_000, 20_000), chunk=50,
    ),
    method_world(
        "false_alarms_ratio", "No effect; purchases per visit, the delta method", "ratio of means",
        [
            careful("100 and 200", partial(ratio, n=100), 0.045, rate=0.055),
            about("1,000 and 2,000", partial(ratio, n=1_000)),
            broken("visits as units", partial(ratio_of_visits, n=100), method="share of visits"),
        ],
        reps=(1_000, 20_000), chunk=50,
    ),
    method_world(
        "false_alarms_cuped", "No effect; means adjusted by what was known before", "CUPED",
        [about("30 and 60", partial(cuped, n=30)), about("500 and 1,000", partial(cuped, n=500))],
        reps=(1_000, 20_000), chunk=100,
    ),
    method_world(
        "false_alarms_groups", "No effect; groups of 10 to 30 customers are randomised, ICC .1", "CR3 and t",
        [
            careful("10 groups", partial(grouped, per_arm=5), 0.03),
            careful("40 groups", partial(grouped, per_arm=20), 0.04),
            broken("40 groups, customers", partial(grouped, per_arm=20, known=False), method="customers as units"),
        ],
        reps=(1_000, 20_000), chunk=100,
    ),
    method_world(
        "coverage_of_means", "The effect is .3; 95 % intervals", "intervals",
        [
            about(name, partial(covered, case=name), 0.95, kind="coverage")
            for name in ("ratio of spreads 3", "CUPED", "40 groups, ICC .1")
        ],
        reps=(1_000, 20_000), chunk=100,
    ),
)  # fmt: skip
