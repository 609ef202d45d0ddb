"""Tables of what is looked at again and again: sample ratios, sequences that may be read any time, planned looks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.calibration.method_world import Rate, about, broken, careful, method_world
from cpi_experiments.randomized.integrity.rules import BLOCKS, WARNS
from cpi_experiments.stats.counts import sample_ratio_test
from cpi_experiments.stats.sequential.anytime import boundary, student_bound
from cpi_experiments.stats.sequential.group_sequential import boundaries
from cpi_experiments.stats.sequential.sequential_counts import log_bayes_factor

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
#: Two-sided 5 % of the normal.
Z = 1.959963984540054
#: Customers an arm before the first look counts.
LATE = 20


def looks_of(
    rng: np.random.Generator,
    draw: Callable[[np.random.Generator, tuple[int, int]], Array],
    *,
    ends: Array,
    trials: int,
    arms: tuple[float, float] = (1.0, 1.0),
    lift: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Effect, variance and Welch df of every trial at every look.

    Parameters
    ----------
    rng : Generator
    draw : callable
        ``draw(rng, (trials, customers))`` gives outcomes.
    ends : array, shape (looks,)
        Customers an arm at every look.
    trials : int
    arms : tuple of float
        Factors of ``ends`` for control and treatment.
    lift : float
        Effect of the treatment.

    Returns
    -------
    effect, variance, df : array, shape (trials, looks)
    """
    sums, squares, n = [], [], []
    for j, size in enumerate(arms):
        mine = np.round(ends * size).astype(int)
        parts = np.diff(mine, prepend=0)
        s, q = np.empty((trials, len(ends))), np.empty((trials, len(ends)))
        for k, part in enumerate(parts):
            y = draw(rng, (trials, int(part))) + lift * j
            s[:, k], q[:, k] = y.sum(axis=1), (y * y).sum(axis=1)
        sums.append(s.cumsum(axis=1))
        squares.append(q.cumsum(axis=1))
        n.append(mine)
    v = [np.maximum(q - s * s / m, 0) / (m - 1) / m for s, q, m in zip(sums, squares, n, strict=True)]
    variance = v[0] + v[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        df = variance**2 / (v[0] ** 2 / (n[0] - 1) + v[1] ** 2 / (n[1] - 1))
    return sums[1] / n[1] - sums[0] / n[0], variance, df


def outside(effect: Array, variance: Array, df: Array, bound: Array, *, from_look: int = 0) -> Array:
    """Say which trials are ever outside their bounds, shape (trials,)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        far = np.abs(effect) / np.sqrt(variance) > student_bound(np.broadcast_to(bound, effect.shape), df)
    return np.asarray((far & (variance > 0))[:, from_look:].any(axis=1))


def normal(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Draw standard normal outcomes."""
    return rng.standard_normal(size)


def skewed(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Draw log-normal outcomes with sigma 1.5."""
    return rng.lognormal(0, 1.5, size)


def anytime(rng: np.random.Generator, reps: int, *, looks: int, kind: str = "normal") -> Array:
    """Count trials without effect that a confidence sequence ever calls; 1,000 customers an arm."""
    ends = np.unique(np.linspace(0, 1_000, looks + 1).astype(int))[1:]
    parts = looks_of(rng, normal if kind == "normal" else skewed, ends=ends, trials=reps)
    return outside(*parts, boundary(ends / ends[-1]), from_look=int(np.argmax(ends >= LATE)))


def narrow(rng: np.random.Generator, reps: int) -> Array:
    """Say which trials end with a sequence at most 1.6 times as wide as the fixed interval."""
    ends = 50 * np.arange(1, 21)
    df = looks_of(rng, normal, ends=ends, trials=reps)[2][:, -1]
    return np.asarray(student_bound(boundary([1.0]), df) <= -1.6 * special.stdtrit(df, 0.025))


def planned(rng: np.random.Generator, reps: int, *, spending: str) -> Array:
    """Count trials without effect that one of four planned looks calls."""
    ends = np.array([60, 100, 180, 200])
    bound = boundaries(ends / 200, spending=spending)  # type: ignore[arg-type] # one of the known
    return outside(*looks_of(rng, normal, ends=ends, trials=reps), bound)


def peeking(rng: np.random.Generator, reps: int) -> Array:
    """Count trials without effect that an ordinary test calls at one of twenty looks."""
    return outside(*looks_of(rng, normal, ends=50 * np.arange(1, 21), trials=reps), np.full(20, Z))


def split_alarms(rng: np.random.Generator, reps: int, *, share: float, level: float, customers: int = 100_000) -> Array:
    """Count sample ratios planned 1 : 1 that alarm once, at the end."""
    treated = rng.binomial(customers, share, reps)
    return np.array([sample_ratio_test([customers - int(t), int(t)], [1, 1])[1] < level for t in treated])


def split_at_looks(rng: np.random.Generator, reps: int, *, share: float, level: float, each: int = 2_000) -> Array:
    """Count sample ratios planned 1 : 1 that alarm at any of fifty looks."""
    treated = rng.binomial(each, share, (reps, 50)).cumsum(axis=1)
    total = each * np.arange(1, 51)
    found = log_bayes_factor(np.stack([total - treated, treated], axis=-1), [1, 1])
    return np.asarray(found.max(axis=1) > -np.log(level))


def split_read_daily(rng: np.random.Generator, reps: int) -> Array:
    """Count sample ratios that an ordinary chi-squared test calls at five percent at any of fifty looks."""
    treated = rng.binomial(400, 0.5, (reps, 50)).cumsum(axis=1)
    total = 400 * np.arange(1, 51)
    return np.asarray((special.chdtrc(1, (2 * treated - total) ** 2 / total) < 0.05).any(axis=1))


WORLDS = (
    method_world(
        "sample_ratio", "Arms planned 1 : 1, split so or 51 : 49", "chi-squared",
        [
            careful(f"blocks at {BLOCKS:g}", partial(split_alarms, share=0.5, level=BLOCKS), 0.0003, rate=0.00055),
            careful(f"warns at {WARNS:g}", partial(split_alarms, share=0.5, level=WARNS), 0.009, rate=0.0105),
            Rate(
                name="51 : 49 is seen", count=partial(split_alarms, share=0.51, level=BLOCKS), at_least=0.99,
                kind="power",
            ),
        ],
        reps=(20_000, 200_000), chunk=5_000, unit_level=False,
    ),
    method_world(
        "sample_ratio_looks", "The same, read at fifty looks", "anytime counts",
        [
            Rate(
                name=f"blocks at {BLOCKS:g}", count=partial(split_at_looks, share=0.5, level=BLOCKS), at_most=BLOCKS
            ),
            careful("alarms at .05", partial(split_at_looks, share=0.5, level=0.05), 0.003),
            Rate(
                name="51 : 49 is seen", count=partial(split_at_looks, share=0.51, level=WARNS), at_least=0.99,
                kind="power",
            ),
            broken("chi-squared at .05", split_read_daily, method="chi-squared daily"),
        ],
        reps=(4_000, 100_000), chunk=1_000, unit_level=False,
    ),
    method_world(
        "looks", "No effect; the same trial is looked at 4, 20 or 500 times", "sequences",
        [
            careful("any time, 20 looks", partial(anytime, looks=20), 0.002),
            careful("any time, 500 looks", partial(anytime, looks=500), 0.002),
            careful("500 looks, lognormal", partial(anytime, looks=500, kind="lognormal"), 0.001),
            Rate(name="at most 1.6 x as wide", count=narrow, at_least=1.0, kind="coverage"),
            about("4 looks, O'Brien", partial(planned, spending="obrien_fleming")),
            about("4 looks, Pocock", partial(planned, spending="pocock")),
            broken("test at 20 looks", peeking, method="t test at each look"),
        ],
        reps=(2_000, 10_000), chunk=500,
    ),
)  # fmt: skip
