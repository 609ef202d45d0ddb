"""World 33: whole agents are randomised, not customers; the covariance has to know it."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from cpi_experiments.calibration.unit_arms import UnitTrials, reduced_p
from cpi_experiments.calibration.unit_draws import INCREMENT, LEVEL, cases_of
from cpi_experiments.calibration.unit_links import judged, share
from cpi_experiments.calibration.world import Claim, Hits, Kind, World

Array = np.ndarray
#: Share of the variance of CPI and KPI that customers of one agent have in common.
ICC = 0.05
_FALSE: Kind = "false confirmation"
#: Size of an agent's book, when books differ: coefficient of variation about .5.
UNEQUAL_BOOKS = (10, 20, 30, 40, 50, 60, 70, 80, 50, 90)


def books(agents: int, *, unequal: bool) -> Array:
    """Give the number of customers of every agent of an arm; 50 on average."""
    return np.resize(UNEQUAL_BOOKS, agents) if unequal else np.full(agents, 50)


def agents_trial(rng: np.random.Generator, reps: int, *, agents: int, unequal: bool, move: float = 1.0) -> UnitTrials:
    """Draw an experiment in which agents move the CPI by ``move`` steps and the KPI not at all.

    Customers of one agent share `ICC` of CPI and KPI; the two are correlated by .5 at both levels.
    """
    sizes = books(agents, unequal=unequal)
    arms = []
    for moved in (0.0, move):
        n = int(sizes.sum())
        shared = np.repeat(_correlated(rng, (reps, agents)), sizes, axis=1)
        steps = math.sqrt(ICC) * shared + math.sqrt(1 - ICC) * _correlated(rng, (reps, n))
        steps[..., 0] = LEVEL + INCREMENT * (steps[..., 0] + moved)
        arms.append(steps)
    return UnitTrials(arms=(arms[0], arms[1]), clusters=(sizes, sizes), increment=INCREMENT, planned_move=move)


def _correlated(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    z = rng.standard_normal((*size, 2))
    z[..., 1] = 0.5 * z[..., 0] + math.sqrt(0.75) * z[..., 1]
    return z


def clustered(rng: np.random.Generator, reps: int, *, agents: int, unequal: bool) -> Hits:
    """Test a link without effect by agents, and as if customers had been randomised."""
    trial = agents_trial(rng, reps, agents=agents, unequal=unequal)
    pairs = trial.pairs()
    by_agent = np.array([reduced_p(pair) for pair in pairs]) < 0.05
    return {
        "AR test by agent, at most": by_agent,
        "AR test by agent, at least": by_agent,
        "confirmed": share(judged(cases_of([trial], sesoi=0.1)), "confirmed"),
        "AR test by customer": np.array([reduced_p(pair) for pair in trial.by_customer().pairs()]) < 0.05,
    }


def _world(name: str, *, agents: int, unequal: bool, reps: tuple[int, int] = (500, 4_000)) -> World:
    sizes = "of 10 to 90 customers" if unequal else "of 50 customers"
    return World(
        number=33,
        name=name,
        title=f"No effect; {agents} agents an arm {sizes} are randomised, ICC .05",
        expected="not confirmed",
        claims=(
            Claim(name="AR test by agent, at most", relation="<=", bound=0.055, kind=_FALSE, method="AR, CR3 and t"),
            Claim(name="AR test by agent, at least", relation=">=", bound=0.03, kind=_FALSE, method="AR, CR3 and t"),
            Claim(name="confirmed", relation="<=", bound=0.01, kind=_FALSE),
            Claim(
                name="AR test by customer", relation="<=", bound=0.07, kind=_FALSE, method="customers as units",
                naive=True,
            ),
        ),
        simulate=partial(clustered, agents=agents, unequal=unequal),
        reps_quick=reps[0],
        reps_full=reps[1],
        unit_level=True,
        chunk=50,
    )  # fmt: skip


WORLDS = (
    _world("clustered", agents=20, unequal=False),
    _world("clustered_few", agents=10, unequal=False),
    _world("clustered_unequal", agents=10, unequal=True),
    _world("clustered_five", agents=5, unequal=False),
)
