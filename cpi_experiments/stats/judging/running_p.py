"""One p-value a hypothesis that never rises, over every look that its registration allows.

A look is a judging step at which the information V of a link grew. Under "no effect" the score S is Brownian motion in
V: increments of new experiments are independent, with mean 0 (at the boundary of the null) and variance their
information. Declared before the first look, a `LookPlan` says which looks count and how P is read from them:

- ``single``: ``P = SF(z)``, ``z = S / sqrt(V)`` at the first look; nothing later counts.
- ``planned K``: ``P = P0(max_{s <= K} Z_s (s/K)^(1/4) >= c)`` at ``c = max z_s (s/K)^(1/4)`` over the looks done, by
  recursive integration for V_s proportional to ``s^1.25``. A look that would add more than that grows has its weight
  shrunk until it does not; then every correlation ``sqrt(V_s / V_t)`` is at least that of the table, and by Slepian's
  inequality the table is an upper bound, so looks of unequal size (random first stages) keep the error rate.
- ``capped E``: any looks until the standard error is E. With ``V_max = E^-2`` and ``c = max S_s / (V_s V_max)^(1/4)``
  Brownian scaling gives ``P0(c) = P(sup_{0 < f <= 1} B(f) / f^(1/4) >= c)`` whenever the looks were made, whatever
  decided on them. ``P = 3 SF(c)``: the ratio P0(c) / SF(c) rises with c towards 3 (see `CAP_FACTOR`). The look that
  would pass V_max has its weight shrunk so that V is V_max exactly.
- ``open E``: caps ``2^j E^-2`` for j = 0, 1, 2, each with its share of the error: ``P = min_j 3 SF(c_j) / a_j``.
- ``retest``: every look is a plan of its own on the new experiments only: ``P = min_c P_c / a_c``, the shares a_c
  adding up to 1.

Shrinking a weight by l multiplies the increment of S by l and that of V by l^2. It uses V only, never S, so S stays
Brownian motion in V.

In every case ``{P <= u}`` at the last step is the event that a fixed boundary b(u) was passed at one of the looks, of
chance at most u, and P at a step is the smallest u whose boundary was passed by then: P never rises, and
``P(P <= u) <= u`` over all looks together.

References
----------
Slepian (1962), Bell System Technical Journal 41; Jennison, Turnbull (2000), chapters 4 and 19 (recursive integration);
Buonocore, Nobile, Ricciardi (1987), Advances in Applied Probability 19 (first passage through a moving boundary).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.judging.look_plan import MOST_LOOKS, LookPlan, look_plan
from cpi_experiments.stats.sequential.group_sequential import crossing_probability

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CAP_FACTOR", "SMALLEST", "LookPlan", "RunningP", "capped_tail", "look_plan", "planned_tail", "running_p"]

Floats = np.ndarray
#: Bound of P0(c) / SF(c) for looks up to a cap. The ratio is 2.51 (c = 0.5), 2.73 (1), 2.83 (1.5), 2.886 (2), 2.940
#: (3), 2.963 (4), 2.976 (5), 2.990 (8) and tends to 3: near the cap the boundary of Brownian motion has slope c/4, so a
#: path that ends x/c below it has passed it with chance exp(-3x/2), and 1 + integral of exp(x - 3x/2) is 3.
CAP_FACTOR = 3.0
#: Smallest P of looks that were not counted out beforehand: further out the normal tail of an estimate is a belief.
SMALLEST = 1e-6
#: Shares of the three caps of an open-ended plan, and of the first plan of a link that may be tested again.
OPEN_SHARES = (0.7, 0.2, 0.1)
FIRST_SHARE = 0.8
#: Looks of a planned sequence may grow so that V_s is at most V_1 s^1.25.
_GROWTH = 1.25
_GRID = np.linspace(0.0, 9.0, 181)
_FULL = 1 - 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningP:
    """The p-value of each hypothesis after each judging step, and what it was read from.

    Attributes
    ----------
    p_values : array, shape (..., T)
        Non-increasing over the last axis, in [0, 1]; 1 before the first look.
    statistic : array, shape (..., T)
        Running maximum c that P was read from (z for ``single``; of the account that decides for ``retest`` and
        ``open``); NaN before the first look.
    looks_used : array of int, shape (..., T)
        Looks that have counted so far.
    scores, information : array, shape (..., T)
        S and V as counted: without later looks, with shrunken weights. For ``open`` those of the widest cap.
    """

    p_values: Floats
    statistic: Floats
    looks_used: Floats
    scores: Floats
    information: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """Cumulative score and information of the looks that count, and the running number of those looks."""

    s: Floats
    v: Floats
    looks: Floats

    def running_max(self, scale: Floats) -> Floats:
        """Return max over looks so far of S_s * scale_s; -inf before the first."""
        value = np.where(self.v > 0, self.s * scale, -math.inf)
        return np.asarray(np.maximum.accumulate(value, axis=-1))


def running_p(scores: Floats, information: Floats, plan: LookPlan) -> RunningP:
    """Return the running p-value of hypotheses "the effect is zero or has the wrong sign" under one look plan.

    Parameters
    ----------
    scores, information : array, shape (..., T)
        Cumulative score S and information V after each judging step; large S speaks against the null. V does not
        fall; a look is a step at which it grew. V must not be steered by S beyond what the plan allows: for ``single``
        and ``planned`` it is set beforehand, for ``capped`` and ``open`` it may depend on everything before.
    plan : LookPlan

    Returns
    -------
    RunningP

    Raises
    ------
    EstimationError
        If the arrays differ in shape, are not finite, V falls, or S moves without V.

    Examples
    --------
    >>> found = running_p(np.array([0.0, 6.0, 9.0]), np.array([0.0, 4.0, 9.0]), look_plan("single"))
    >>> found.p_values.round(5).tolist(), found.looks_used.tolist()
    ([1.0, 0.00135, 0.00135], [0, 1, 1])
    >>> running_p(np.array([1.0, 6.0]), np.array([2.0, 4.0]), look_plan("capped 0.5")).p_values.round(5).tolist()
    [0.82816, 0.00405]
    """
    ds, dv = _increments(scores, information)
    if plan.kind == "retest":
        return _accounted(ds, dv)
    if plan.kind in ("single", "planned"):
        return _planned(ds, dv, plan.looks)
    if plan.kind == "capped":
        return _capped(ds, dv, plan.information)
    return _open(ds, dv, plan.information)


def _increments(scores: Floats, information: Floats) -> tuple[Floats, Floats]:
    s, v = np.asarray(scores, dtype=float), np.asarray(information, dtype=float)
    if s.shape != v.shape or s.ndim == 0:
        raise EstimationError(f"scores of shape {s.shape} and information of shape {v.shape} do not match")
    if not (np.all(np.isfinite(s)) and np.all(np.isfinite(v))):
        found = int(np.sum(~(np.isfinite(s) & np.isfinite(v))))
        raise EstimationError(f"{found} of {s.size} scores or informations are not finite numbers")
    zero = np.zeros((*s.shape[:-1], 1))
    ds, dv = np.diff(s, axis=-1, prepend=zero), np.diff(v, axis=-1, prepend=zero)
    dv = np.where(np.abs(dv) <= 1e-12 * np.abs(v), 0.0, dv)  # a sum in another order is no look
    if np.any(dv < 0):
        raise EstimationError(
            f"information falls at {int(np.sum(dv < 0))} of {dv.size} steps",
            advice="What counted once stays counted; without an experiment, all steps are judged anew.",
        )
    still = (dv == 0) & (np.abs(ds) > np.maximum(1e-9 * np.abs(s), 1e-5 * np.sqrt(v)))  # ten standard deviations
    if np.any(still):
        raise EstimationError(f"the score moves without information at {int(np.sum(still))} of {ds.size} steps")
    return np.where(dv > 0, ds, 0.0), dv


def _count_looks(ds: Floats, dv: Floats, limit: Callable[[Floats, Floats], Floats]) -> _Counted:
    """Add looks up to ``limit(V so far, looks so far)``; the look that would pass it has its weight shrunk."""
    s, v, looks = np.zeros(ds.shape), np.zeros(ds.shape), np.zeros(ds.shape, dtype=int)
    s_now, v_now, n_now = np.zeros(ds.shape[:-1]), np.zeros(ds.shape[:-1]), np.zeros(ds.shape[:-1], dtype=int)
    for t in range(ds.shape[-1]):
        step, most = dv[..., t], limit(v_now, n_now)
        counts = (step > 0) & (v_now < most * _FULL)
        kept = np.where(counts, np.minimum(step, most - v_now), 0.0)
        weight = np.sqrt(kept / np.where(counts, step, 1.0))
        s_now, v_now, n_now = s_now + weight * ds[..., t], v_now + kept, n_now + counts
        s[..., t], v[..., t], looks[..., t] = s_now, v_now, n_now
    return _Counted(s=s, v=v, looks=looks)


def _planned(ds: Floats, dv: Floats, looks: int) -> RunningP:
    def limit(v: Floats, n: Floats) -> Floats:
        grown = v * (1 + 1 / np.maximum(n, 1)) ** _GROWTH
        return np.where(n == 0, math.inf, np.where(n >= looks, v, grown))

    counted = _count_looks(ds, dv, limit)
    c = counted.running_max(_root(counted.v) * (np.maximum(counted.looks, 1) / looks) ** 0.25)
    return _result(counted, c, planned_tail(c, looks))


def _capped(ds: Floats, dv: Floats, most: float) -> RunningP:
    counted = _count_looks(ds, dv, lambda v, _: np.full(v.shape, most))
    c = counted.running_max(np.sqrt(_root(counted.v)) / most**0.25)
    return _result(counted, c, capped_tail(c))


def _open(ds: Floats, dv: Floats, first: float) -> RunningP:
    caps = [_capped(ds, dv, first * 2**j) for j in range(len(OPEN_SHARES))]
    p = np.stack([np.minimum(cap.p_values / share, 1.0) for cap, share in zip(caps, OPEN_SHARES, strict=True)])
    best = np.argmin(p, axis=0)[None]
    statistic = np.take_along_axis(np.stack([cap.statistic for cap in caps]), best, axis=0)[0]
    widest = caps[-1]
    return RunningP(
        p_values=np.take_along_axis(p, best, axis=0)[0],
        statistic=statistic,
        looks_used=widest.looks_used,
        scores=widest.scores,
        information=widest.information,
    )


def _accounted(ds: Floats, dv: Floats) -> RunningP:
    """Judge every look by its own experiments, from an account of shares that add up to 1."""
    new = dv > 0
    looks = np.cumsum(new, axis=-1)
    shares = np.where(looks <= 1, FIRST_SHARE, (1 - FIRST_SHARE) * 0.5 ** np.maximum(looks - 1.0, 1.0))
    z = ds * _root(dv)
    p = np.where(new, np.minimum(special.ndtr(-z) / shares, 1.0), 1.0)
    running = np.minimum.accumulate(p, axis=-1)
    statistic, best, least = np.full(z.shape, math.nan), np.full(z.shape[:-1], math.nan), np.full(z.shape[:-1], 2.0)
    for t in range(z.shape[-1]):
        better = new[..., t] & (p[..., t] < least)
        best, least = np.where(better, z[..., t], best), np.where(better, p[..., t], least)
        statistic[..., t] = best
    return RunningP(
        p_values=running,
        statistic=statistic,
        looks_used=looks,
        scores=np.cumsum(ds, axis=-1),
        information=np.cumsum(dv, axis=-1),
    )


def _root(v: Floats) -> Floats:
    """1 / sqrt(V), 0 where there is no information."""
    return np.asarray(np.where(v > 0, 1 / np.sqrt(np.where(v > 0, v, 1.0)), 0.0))


def _result(counted: _Counted, c: Floats, p: Floats) -> RunningP:
    seen = counted.looks > 0
    return RunningP(
        p_values=np.minimum.accumulate(np.where(seen, p, 1.0), axis=-1),  # against the last bit of a table
        statistic=np.where(seen, c, math.nan),
        looks_used=counted.looks,
        scores=counted.s,
        information=counted.v,
    )


# -- tails of running maxima -----------------------------------------------------------------------------------------


def capped_tail(c: Floats) -> Floats:
    """Bound P(sup of B(f) / f^(1/4) over 0 < f <= 1 is at least c); never below `SMALLEST`.

    Examples
    --------
    >>> capped_tail(np.array([-1.0, 2.0, 3.0, 9.0])).round(6).tolist()
    [1.0, 0.06825, 0.00405, 1e-06]
    """
    return np.asarray(np.clip(CAP_FACTOR * special.ndtr(-np.asarray(c, dtype=float)), SMALLEST, 1.0))


def planned_tail(c: Floats, looks: int) -> Floats:
    """Return P(max over s of Z_s (s/K)^(1/4) is at least c) for K looks, V_s proportional to s^1.25.

    The exact SF(c) for one look. Below c = 0, where the chance is above one half, it is taken as 1.

    Examples
    --------
    >>> planned_tail(np.array([1.9, 2.8]), 8).round(4).tolist()
    [0.0542, 0.0044]
    """
    at = np.asarray(c, dtype=float)
    if looks == 1:
        return np.asarray(special.ndtr(-at))
    ratio = np.exp(np.interp(at, _GRID, _log_ratio(looks)))
    return np.asarray(np.where(at < 0, 1.0, np.minimum(ratio * special.ndtr(-at), 1.0)))


@lru_cache(maxsize=MOST_LOOKS)
def _log_ratio(looks: int) -> Floats:
    """Log of the tail over SF(c), on the grid: it bends so little that straight lines between are enough."""
    share = np.arange(1, looks + 1) / looks
    tail = [crossing_probability(share**_GROWTH, c / share**0.25, two_sided=False).sum() for c in _GRID]
    return np.asarray(np.log(tail) - special.log_ndtr(-_GRID))
