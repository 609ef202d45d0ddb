"""Worlds in which the comparison is not what it seems: a logger that fails in one arm, customers who affect others."""

from __future__ import annotations

from functools import partial

import numpy as np

from cpi_experiments.calibration.unit_arms import UnitTrials, covers, means_of_trials
from cpi_experiments.calibration.unit_draws import LEVEL, UnitTruth, cases_of, customers
from cpi_experiments.calibration.unit_links import judged, share
from cpi_experiments.calibration.world import Claim, Hits, World
from cpi_experiments.randomized.integrity.rules import WARNS
from cpi_experiments.randomized.integrity.sample_ratio import sample_ratio
from cpi_experiments.stats.group_slope import group_slope
from cpi_experiments.stats.student import interval

Array = np.ndarray

# -- world 24: the logger fails ----------------------------------------------------------------------------------------

#: No link, but the customers with slow quotes are lost in treatment: those who would have bought less.
BROKEN = UnitTruth(theta=0.0, strength=0.0, n=(0, 0), shared=0.5, confounding=1.0)
#: Of ten customers with the slowest quotes the logger of the treatment loses six: 50 : 47.
SLOW, LOST = 0.1, 0.6
#: Draws of sound splits for every broken one.
SOUND = 50


def broken_trial(rng: np.random.Generator, customers_: int) -> UnitTrials:
    """Draw one experiment planned 1 : 1 whose treatment lost slow customers; the lever moves the CPI by .2 steps."""
    half = customers_ // 2
    control = customers(BROKEN, rng, half, np.zeros(1))
    treatment = customers(BROKEN, rng, half, np.full(1, 0.2))
    slowest = np.quantile(treatment[0, :, 0], 1 - SLOW)
    lost = (treatment[0, :, 0] > slowest) & (rng.random(half) < LOST)
    return UnitTrials(arms=(control, treatment[:, ~lost]), increment=-0.5, planned_move=0.2)


def split_blocks(sizes: tuple[int, int]) -> str:
    """Why a split that was planned 1 : 1 is no experiment; empty if it is one."""
    found = sample_ratio({"a": sizes[0], "b": sizes[1]}, {"a": 1, "b": 1})
    return found.advice if found.blocks else ""


def broken(rng: np.random.Generator, reps: int, *, size: int) -> Hits:
    """Judge experiments whose logger failed, and count alarms on sound ones."""
    checked, unchecked = [], []
    for _ in range(reps):
        trial = broken_trial(rng, size)
        why = split_blocks((trial.arms[0].shape[1], trial.arms[1].shape[1]))
        checked += judged(cases_of([trial], sesoi=0.02, blocked=[why]))
        unchecked += judged(cases_of([trial], sesoi=0.02))
    treated = rng.binomial(size, 0.5, SOUND * reps)
    return {
        "blocked": share(checked, "blocked"),
        "confirmed": share(checked, "confirmed"),
        "sound split blocked": np.array([bool(split_blocks((size - int(t), int(t)))) for t in treated]),
        "split not looked at: confirmed": share(unchecked, "confirmed"),
    }


def _broken_world(name: str, size: int, *, reps: tuple[int, int]) -> World:
    return World(
        number=24,
        name=name,
        title=f"A logger loses slow customers in treatment: 50 : 47 of {size:,}; the link does not exist",
        expected="blocked",
        claims=(
            Claim(name="blocked", relation=">=", bound=0.99, kind="verdict"),
            Claim(name="confirmed", relation="<=", bound=0.01, kind="false confirmation"),
            Claim(name="sound split blocked", relation="<=", bound=0.0005, kind="verdict", method="sample ratio"),
            Claim(
                name="split not looked at: confirmed", relation="<=", bound=0.01, kind="false confirmation",
                method="no sample ratio", naive=True,
            ),
        ),
        simulate=partial(broken, size=size),
        reps_quick=reps[0],
        reps_full=reps[1],
        unit_level=True,
        chunk=25,
    )  # fmt: skip


# -- world 25: customers affect others ---------------------------------------------------------------------------------

#: Customers of one household or broker.
GROUP = 4
#: Effect of one's own treatment on the KPI (standard deviations), and what all others of the group add to it.
OWN, SPILL = 1.0, 0.5


def households(rng: np.random.Generator, reps: int, *, groups: int, treated: Array, spill: str) -> Array:
    """Draw hours and KPI of all customers, shape (reps, groups, GROUP, 2).

    ``spill`` is ``group`` where the others of one's own group matter, ``all`` where the share treated in the whole
    company does, ``none`` where nobody does.
    """
    shared = 0.5 * rng.standard_normal((reps, groups, 1))
    kpi = shared + rng.standard_normal((reps, groups, GROUP)) + OWN * treated
    others = {
        "group": (treated.sum(axis=2, keepdims=True) - treated) / (GROUP - 1),
        "all": np.broadcast_to(treated.mean(axis=(1, 2), keepdims=True), treated.shape),
        "none": np.zeros(treated.shape),
    }[spill]
    hours = LEVEL - 0.5 * (rng.standard_normal(kpi.shape) + treated)
    return np.stack([hours, kpi + SPILL * OWN * others], axis=-1)


def by_customer(rng: np.random.Generator, reps: int, groups: int) -> Array:
    """Treat half of all customers, whatever their group: shape (reps, groups, GROUP)."""
    plan = np.resize([0.0, 1.0], groups * GROUP)
    return rng.permuted(np.tile(plan, (reps, 1)), axis=1).reshape(reps, groups, GROUP)


def neighbours_p(rows: Array, treated: Array) -> Array:
    """p-values of the check for interference, shape (reps,): controls against the share of treated others."""
    found = []
    for y, t in zip(rows[..., 1], treated, strict=True):
        share_of_others = (t.sum(axis=1, keepdims=True) - t) / (GROUP - 1)
        control = t == 0
        group = np.broadcast_to(np.arange(len(t))[:, None], t.shape)
        slope = group_slope(share_of_others[control], y[control], group[control])
        found.append(1.0 if slope is None else slope.p_value)
    return np.array(found)


def arms_of(rows: Array, treated: Array) -> tuple[Array, Array]:
    """Split customers into arms of equal size: shape (reps, customers / 2, 2) each."""
    reps = len(rows)
    return rows[treated == 0].reshape(reps, -1, 2), rows[treated == 1].reshape(reps, -1, 2)


def covers_total(trial: UnitTrials) -> Array:
    """Say which intervals of the effect on the KPI hold what treating everybody would do."""
    hits = []
    for means in means_of_trials(trial.arms, clusters=trial.clusters):
        low, high = interval(float(means.effect[1]), float(means.omega[1, 1]) ** 0.5, means.df(1))
        hits.append(covers(((low, high),), OWN * (1 + SPILL)))
    return np.array(hits)


def interfered(rng: np.random.Generator, reps: int, *, groups: int) -> Hits:
    """Look for spill-over that is there, that is not, and that reaches all alike; and randomise whole groups."""
    treated = by_customer(rng, reps, groups)
    rows = {s: households(rng, reps, groups=groups, treated=treated, spill=s) for s in ("group", "none", "all")}
    flags = {s: neighbours_p(rows[s], treated) < WARNS for s in rows}
    whole = np.broadcast_to((np.arange(groups) % 2)[:, None].astype(float), (reps, groups, GROUP))
    sizes = np.full(groups // 2, GROUP)
    grouped = UnitTrials(
        arms=arms_of(households(rng, reps, groups=groups, treated=whole, spill="group"), whole),
        clusters=(sizes, sizes),
    )
    total = covers_total(grouped)
    return {
        "flag: others of the group": flags["group"],
        "flag: no spill-over": flags["none"],
        "flag: spill-over to all alike": flags["all"],
        "by group: total, at least": total,
        "by group: total, at most": total,
        "by customer: total covered": covers_total(UnitTrials(arms=arms_of(rows["group"], treated))),
    }


def _interference_world(groups: int) -> World:
    return World(
        number=25,
        name="interference",
        title="Half of the effect spills over to others of the same household (seen), or to everybody (cannot be seen)",
        expected="flagged; randomising households recovers the total effect",
        claims=(
            Claim(name="flag: others of the group", relation=">=", bound=0.90, kind="power", method="neighbours"),
            Claim(name="flag: no spill-over", relation="<=", bound=WARNS, kind="verdict", method="neighbours"),
            Claim(
                name="flag: spill-over to all alike", relation="<=", bound=WARNS, kind="verdict", method="neighbours"
            ),
            Claim(name="by group: total, at least", relation=">=", bound=0.94, kind="coverage", method="CR3 and t"),
            Claim(name="by group: total, at most", relation="<=", bound=0.96, kind="coverage", method="CR3 and t"),
            Claim(
                name="by customer: total covered", relation=">=", bound=0.94, kind="coverage",
                method="customers as units", naive=True,
            ),
        ),
        simulate=partial(interfered, groups=groups),
        reps_quick=400,
        reps_full=2_000,
        unit_level=True,
        chunk=50,
    )  # fmt: skip


WORLDS = (
    _broken_world("srm_broken_arm", 100_000, reps=(60, 2_000)),
    _broken_world("srm_broken_arm_small", 20_000, reps=(200, 2_000)),
    _interference_world(800),
)
