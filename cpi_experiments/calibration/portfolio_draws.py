"""Portfolios with known truth as arrays: links that share users, shocks, or are set against the rule that judges them.

Letters: reps portfolios of m links over T quarters. A null link has an effect of exactly zero, where errors are most
frequent; z is the mean of a real link's statistic once its information is complete.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import special

from cpi_experiments.errors import EstimationError, nearest
from cpi_experiments.stats.judging.running_p import look_plan, running_p

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = np.ndarray
#: ``independent``; ``block``: links in blocks of six share users (correlation 0.5); ``shock``: one factor a quarter
#: (0.5); ``opposed``: one factor that lifts every null and lowers every real link (0.95); ``steps``: nulls fall
#: together into the steps of BH's own grid, so that BH errs at q (1 + 1/2 + ... + 1/m). Single looks only.
Dependence = Literal["independent", "block", "shock", "opposed", "steps"]
DEPENDENCES = ("independent", "block", "shock", "opposed", "steps")
QUARTERS = 8
_BLOCK = 6
#: Links, slots, share of late links and correlation of the mixed world.
MIXED_LINKS, MIXED_SLOTS, MIXED_LATE, MIXED_RHO = 60, 72, 0.40, 0.60
#: Confirmations from which more experiments are ordered in the mixed world.
_ENOUGH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LookDraws:
    """Portfolios with one planned look a link.

    Attributes
    ----------
    p_values : array, shape (reps, m)
        One-sided, at the look.
    quarter : array of int, shape (reps, m)
        Quarter of the look.
    null : array of bool, shape (reps, m)
    """

    p_values: Floats
    quarter: Floats
    null: Floats

    def running(self) -> Floats:
        """P after each quarter, shape (reps, m, T); 1 before the look."""
        seen = self.quarter[..., None] <= np.arange(QUARTERS)
        return np.asarray(np.where(seen, self.p_values[..., None], 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDraws:
    """Portfolios whose links get an experiment each quarter.

    Attributes
    ----------
    scores, information : array, shape (reps, m, T)
        Cumulative S and V; one unit of information a quarter.
    null : array of bool, shape (reps, m)
    """

    scores: Floats
    information: Floats
    null: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What a rule did in each portfolio.

    Attributes
    ----------
    fdp : array, shape (reps, T)
        Share of nulls among the links published after each quarter; 0 if there are none.
    ever_fdp : array, shape (reps,)
        The same among links that were ever published.
    found : array, shape (reps, T)
        Share of the real links that is published; NaN without real links.
    withdrawn : array of int, shape (reps,)
        Links that were published once and were not at a later quarter.
    """

    fdp: Floats
    ever_fdp: Floats
    found: Floats
    withdrawn: Floats

    @property
    def max_fdp(self) -> Floats:
        """Largest share over the quarters, shape (reps,): its mean is what the rule bounds by q."""
        return np.asarray(self.fdp.max(axis=1))


def draw_looks(
    rng: np.random.Generator, reps: int, *, dependence: str, m: int, nulls: float, z: float = 3.0, q: float = 0.10
) -> LookDraws:
    """Draw portfolios with one planned look a link, staggered over the quarters.

    Parameters
    ----------
    rng : Generator
    reps, m : int
    dependence : str
        One of `DEPENDENCES`.
    nulls : float
        Share of null links.
    z : float
        Mean statistic of a real link.
    q : float
        Rate of the BH rule that ``steps`` is set against.

    Raises
    ------
    EstimationError
        If the dependence is unknown.

    Examples
    --------
    >>> world = draw_looks(np.random.default_rng(1), 1000, dependence="shock", m=12, nulls=0.5)
    >>> world.running().shape, float((world.p_values[world.null] < 0.05).mean().round(2))
    ((1000, 12, 8), 0.05)
    """
    _check(dependence, DEPENDENCES)
    null = _nulls(rng, reps, m, nulls)
    quarter = rng.permuted(np.broadcast_to(np.arange(m) % QUARTERS, (reps, m)), axis=1)
    if dependence == "steps":
        p = np.where(null, _steps(rng, null, q), special.ndtr(-(rng.standard_normal((reps, m)) + z)))
    else:
        factors = rng.standard_normal((reps, QUARTERS))
        p = special.ndtr(-(_noise(rng, null, dependence, factors, quarter) + np.where(null, 0.0, z)))
    return LookDraws(p_values=p, quarter=quarter, null=null)


def draw_scores(
    rng: np.random.Generator, reps: int, *, dependence: str, m: int, nulls: float, z: float = 3.0
) -> ScoreDraws:
    """Draw portfolios whose links get an experiment each quarter; z is reached after the last.

    Parameters
    ----------
    rng, reps, m, nulls, z
        As in `draw_looks`.
    dependence : str
        One of `DEPENDENCES` but ``steps``; factors are new each quarter.

    Raises
    ------
    EstimationError
        If the dependence is unknown.

    Examples
    --------
    >>> world = draw_scores(np.random.default_rng(1), 500, dependence="block", m=12, nulls=0.5)
    >>> last = world.scores[..., -1] / world.information[..., -1] ** 0.5
    >>> bool(abs(last[world.null].mean()) < 0.1), bool(abs(last[~world.null].mean() - 3) < 0.1)
    (True, True)
    """
    _check(dependence, DEPENDENCES[:-1])
    null = _nulls(rng, reps, m, nulls)
    drift = np.where(null, 0.0, z / math.sqrt(QUARTERS))
    parts = [
        drift + _noise(rng, null, dependence, rng.standard_normal((reps, 1)), np.zeros((reps, m), dtype=int))
        for _ in range(QUARTERS)
    ]
    scores = np.cumsum(np.stack(parts, axis=-1), axis=-1)
    return ScoreDraws(scores=scores, information=np.broadcast_to(np.arange(1.0, QUARTERS + 1), scores.shape), null=null)


def judge_quarters(p_values: Floats, null: Floats, decide: Callable[[Floats, frozenset[int]], frozenset[int]]) -> Rates:
    """Apply a rule quarter after quarter and compare what it publishes with the truth.

    Parameters
    ----------
    p_values : array, shape (reps, m, T)
    null : array of bool, shape (reps, m)
    decide : callable
        ``decide(p, published)`` returns the indices published on ``p``, shape (m,), after ``published``.

    Returns
    -------
    Rates

    Examples
    --------
    >>> from cpi_experiments.stats.judging.portfolio import publish
    >>> world = draw_looks(np.random.default_rng(2), 200, dependence="opposed", m=12, nulls=0.5)
    >>> rates = judge_quarters(
    ...     world.running(), world.null, lambda p, before: publish(p, q=0.10, slots=12, published=before))
    >>> bool(rates.max_fdp.mean() < 0.10), int(rates.withdrawn.sum())
    (True, 0)
    """
    reps, m, quarters = p_values.shape
    sets = np.zeros((reps, quarters, m), dtype=bool)
    for rep in range(reps):
        published: frozenset[int] = frozenset()
        for t in range(quarters):
            published = decide(p_values[rep, :, t], published)
            sets[rep, t, list(published)] = True
    return rates_of(sets, null)


def rates_of(sets: Floats, null: Floats) -> Rates:
    """Compare published sets, shape (reps, T, m), with the truth, shape (reps, m)."""
    real = (~null).sum(axis=1)[:, None]
    good = (sets & ~null[:, None, :]).sum(axis=-1)
    ever = sets.any(axis=1)
    return Rates(
        fdp=1 - good / np.maximum(sets.sum(axis=-1), 1) - (sets.sum(axis=-1) == 0),
        ever_fdp=(ever & null).sum(axis=1) / np.maximum(ever.sum(axis=1), 1),
        found=np.where(real > 0, good / np.maximum(real, 1), math.nan),
        withdrawn=(ever & ~sets[:, -1]).sum(axis=1)
        + ((np.diff(sets.astype(int), axis=1) < 0).any(axis=1) & sets[:, -1]).sum(axis=1),
    )


# -- the mixed world -------------------------------------------------------------------------------------------------


def judge_mixed(
    rng: np.random.Generator,
    reps: int,
    *,
    nulls: float,
    decide: Callable[[Floats, frozenset[int]], frozenset[int]],
) -> tuple[Rates, Floats]:
    """Run portfolios in which looks differ, links arrive late, and what is tested next follows from what was found.

    60 links in 72 slots, 40 % of them late; 40 % one look with evidence-driven tests after it (an account), 40 %
    capped, 20 % open-ended; true z 2.5 to 4.5 at the planned information; users shared in blocks and one shock a
    quarter (correlation 0.6 together). An experiment is ordered with chance 0.5 a quarter, with 0.9 for a link at
    z > 1 or once ten links are confirmed; a test after the single look only for a link between z = 1 and 3.5.

    Parameters
    ----------
    rng : Generator
    reps : int
    nulls : float
    decide : callable
        As in `judge_quarters`; it gets the p-values of all 72 slots.

    Returns
    -------
    Rates
    array, shape (reps, 72, T)
        Running p-values.

    Examples
    --------
    >>> from cpi_experiments.stats.judging.portfolio import publish
    >>> rule = lambda p, before: publish(p, q=0.10, slots=len(p), published=before)
    >>> rates, p = judge_mixed(np.random.default_rng(3), 20, nulls=0.5, decide=rule)
    >>> bool(rates.max_fdp.mean() < 0.10), int(rates.withdrawn.sum()), bool((np.diff(p) <= 0).all())
    (True, 0, True)
    """
    m = MIXED_LINKS
    null = _nulls(rng, reps, m, nulls)
    drift = np.where(null, 0.0, rng.uniform(2.5, 4.5, (reps, m)))
    start = np.where(rng.uniform(size=(reps, m)) < MIXED_LATE, rng.integers(1, QUARTERS - 1, (reps, m)), 0)
    kind = np.array([0, 0, 1, 1, 2] * (m // 5))  # a test and its follow-ups, capped, open-ended
    size = np.where(kind == 0, 1.0, 0.25)
    s, v = np.zeros((reps, m, QUARTERS)), np.zeros((reps, m, QUARTERS))
    p = np.ones((reps, MIXED_SLOTS, QUARTERS))
    sets = np.zeros((reps, QUARTERS, m), dtype=bool)
    published = [frozenset[int]()] * reps
    for t in range(QUARTERS):
        before_s, before_v = (s[..., t - 1], v[..., t - 1]) if t else (s[..., 0], v[..., 0])
        z = before_s / np.sqrt(np.maximum(before_v, 1e-9))
        many = sets[:, t - 1].sum(axis=1)[:, None] >= _ENOUGH if t else np.zeros((reps, 1), dtype=bool)
        wanted = np.where((z > 1) | many, 0.9, 0.5)
        wanted = np.where((kind == 0) & (before_v > 0) & ~((z > 1) & (z < 3.5)), 0.0, wanted)
        tested = (rng.uniform(size=(reps, m)) < wanted) & (t >= start)
        noise = _mixed_noise(rng, reps, m)
        s[..., t] = before_s + tested * (drift * size + np.sqrt(size) * noise)
        v[..., t] = before_v + tested * size
        for code, text in enumerate(("retest", "capped 1", "open 1.4142135623731")):
            mine = np.flatnonzero(kind == code)
            found = running_p(s[:, mine, : t + 1], v[:, mine, : t + 1], look_plan(text))
            p[:, mine, t] = found.p_values[..., -1]
        for rep in range(reps):
            published[rep] = decide(p[rep, :, t], published[rep])
            sets[rep, t, list(published[rep])] = True
    return rates_of(sets, null), p


def _mixed_noise(rng: np.random.Generator, reps: int, m: int) -> Floats:
    """Half of the shared variance from blocks of users, half from the quarter."""
    shared = math.sqrt(MIXED_RHO / 2)
    block = np.repeat(rng.standard_normal((reps, -(-m // _BLOCK))), _BLOCK, axis=1)[:, :m]
    own = math.sqrt(1 - MIXED_RHO) * rng.standard_normal((reps, m))
    return np.asarray(shared * (block + rng.standard_normal((reps, 1))) + own)


# -- noise -----------------------------------------------------------------------------------------------------------


def _check(dependence: str, known: tuple[str, ...]) -> None:
    if dependence not in known:
        raise EstimationError(f"dependence {dependence!r} is not known", advice=nearest(dependence, list(known)))


def _nulls(rng: np.random.Generator, reps: int, m: int, share: float) -> Floats:
    return rng.permuted(np.broadcast_to(np.arange(m) < round(m * share), (reps, m)), axis=1)


def _noise(rng: np.random.Generator, null: Floats, dependence: str, factors: Floats, quarter: Floats) -> Floats:
    """Draw standard normal noise, shape (reps, m); factors, shape (reps, quarters), are picked by quarter."""
    reps, m = null.shape
    own = rng.standard_normal((reps, m))
    if dependence == "independent":
        return own
    if dependence == "block":
        shared, rho = np.repeat(rng.standard_normal((reps, -(-m // _BLOCK))), _BLOCK, axis=1)[:, :m], 0.5
    elif dependence == "shock":
        shared, rho = np.take_along_axis(factors, quarter, axis=1), 0.5
    else:
        shared, rho = np.where(null, 1.0, -1.0) * factors[:, :1], 0.95
    return np.asarray(math.sqrt(rho) * shared + math.sqrt(1 - rho) * own)


def _steps(rng: np.random.Generator, null: Floats, q: float) -> Floats:
    """Uniform p-values of nulls, j of which fall together into the step at which BH would publish them and all real."""
    reps, m = null.shape
    m0 = null.sum(axis=1)
    p = np.ones((reps, m))
    for rep in range(reps):
        k, real = int(m0[rep]), m - int(m0[rep])
        chances = q * k / m / np.arange(1, k + 1)
        j = int(rng.choice(k + 1, p=[1 - chances.sum(), *chances]))
        free = rng.uniform(size=k) * (1 - q * k / m)
        values = np.where(free < q * real / m, free, free + q * k / m)  # uniform outside of the steps
        values[:j] = rng.uniform(q * (real + j - 1) / m, q * (real + j) / m, j)
        p[rep, np.flatnonzero(null[rep])] = rng.permutation(values)
    return p
