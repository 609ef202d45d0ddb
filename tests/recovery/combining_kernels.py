"""Thousands of links at once: worlds of K experiments, and the statistics of combining as arrays over repetitions.

Written from the formulas, apart from the package; `test_combining_rates` first shows that both give the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from cpi_experiments.stats.combining.effects import Effects

Array = np.ndarray
Z = 1.959963984540054


@dataclass(frozen=True)
class Many:
    """Effects of R links with K experiments each, arrays (R, K)."""

    x: Array
    y: Array
    xx: Array
    xy: Array
    yy: Array

    def one(self, r: int) -> Effects:
        k = self.x.shape[1]
        ones = np.ones(k)
        return Effects(x=self.x[r], y=self.y[r], xx=self.xx[r], xy=self.xy[r], yy=self.yy[r], df=np.inf * ones,
                       sign=ones, move=ones)  # fmt: skip


def world(
    rng: np.random.Generator, *, links: int, k: int, phi: float, theta: float = 0.0, rho: float = 0.5,
    spread: float = 0.0, direct: float = 0.0, shared: float = 0.0, unequal: bool = False, sparse: float = 1.0,
) -> Many:  # fmt: skip
    """Links whose experiments have mean F of phi + 1; ``spread`` = sd of theta_k, ``direct`` = sd of direct effects."""
    s = np.exp(rng.normal(0, 0.7, k)) if unequal else np.ones(k)
    t = np.exp(rng.normal(0, 0.4, k)) if unequal else np.ones(k)
    r = np.clip(rho + rng.uniform(-0.3, 0.3, k), -0.95, 0.95) if unequal else np.full(k, rho)
    size = math.sqrt(phi / sparse / np.mean(1 / s**2))
    move = rng.normal(size=(links, k)) * size * (rng.random((links, k)) < sparse)
    e = rng.normal(size=(links, k))
    f = r * e + np.sqrt(1 - r**2) * rng.normal(size=(links, k))
    theta_k = theta + spread * rng.normal(size=(links, k))
    y = theta_k * move + shared + direct * rng.normal(size=(links, k)) + t * f
    full = (links, k)
    return Many(x=move + s * e, y=y, xx=np.broadcast_to(s**2, full), xy=np.broadcast_to(r * s * t, full),
                yy=np.broadcast_to(t**2, full))  # fmt: skip


def solved(squares: Array, variances: Array, total: float) -> Array:
    """Paule-Mandel variance, (R,)."""
    tau = np.zeros(len(squares))
    for _ in range(60):
        w = 1 / (variances + tau[:, None])
        excess = (squares * w).sum(1) - total
        tau = np.where(excess > 0, tau + excess / (squares * w**2).sum(1), tau)
    return tau


def terms(m: Many) -> tuple[Array, Array]:
    w = 1 / (m.yy * (solved(m.x**2, m.xx, m.x.shape[1])[:, None] + m.xx))
    w = w / w.max(1, keepdims=True)
    return w * (m.x * m.y - m.xy), w * (m.x**2 - m.xx)


def kappa(m: Many) -> Array:
    return (m.x**2 / m.xx - 1).sum(1) / math.sqrt(2 * m.x.shape[1])


def debiased(m: Many) -> tuple[Array, Array]:
    """Value and jackknife error, (R,)."""
    a, b = terms(m)
    k, bread = a.shape[1], b.sum(1)
    value = np.where(bread > 0, a.sum(1) / bread, np.nan)
    g, rest = a - value[:, None] * b, bread[:, None] - b
    error = np.sqrt((k - 1) / k * ((g / rest) ** 2).sum(1))
    return value, np.where((bread > 0) & (rest > 0).all(1), error, np.inf)


def moment_rejects(m: Many, theta: float) -> Array:
    a, b = terms(m)
    g = a - theta * b
    k = g.shape[1]
    return np.abs(g.mean(1)) > stats.t.isf(0.025, k - 1) * g.std(1, ddof=1) / math.sqrt(k)


def variance(m: Many, t: Array) -> Array:
    t = t[:, None]
    return m.yy - 2 * t * m.xy + t**2 * m.xx


def q_of(m: Many, t: Array) -> Array:
    return ((m.y - t[:, None] * m.x) ** 2 / variance(m, t)).sum(1)


def scale_of(m: Many) -> Array:
    return np.sqrt((m.yy + m.y**2).sum(1) / (m.xx + m.x**2).sum(1))


def least(m: Many) -> Array:
    """Ratio of least disagreement: a grid of angles, then golden sections."""
    scale, count = scale_of(m), 97
    angles = np.linspace(-math.pi / 2, math.pi / 2, count, endpoint=False) + 0.01
    found = np.stack([q_of(m, scale * math.tan(a)) for a in angles])
    best = angles[np.argmin(found, axis=0)]
    low, high = best - math.pi / count, best + math.pi / count
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(34):
        a, b = high - golden * (high - low), low + golden * (high - low)
        left = q_of(m, scale * np.tan(a)) < q_of(m, scale * np.tan(b))
        low, high = np.where(left, low, a), np.where(left, b, high)
    return scale * np.tan((low + high) / 2)


@dataclass(frozen=True)
class Score:
    """The K-score of R links as a function of the ratio: beyond 1 where it is rejected."""

    m: Many
    at: Array
    tau: Array
    steady: Array
    seen: bool

    def ratio(self, t: Array) -> Array:
        m, k = self.m, self.m.x.shape[1]
        u = m.y - t[:, None] * m.x
        v = variance(m, t) + self.tau[:, None]
        p = self.steady * (m.x - (m.xy - t[:, None] * m.xx) / v * u)
        info = p**2 / v
        most = Z * np.sqrt(info.sum(1))
        if self.seen:
            h = info / info.sum(1, keepdims=True)
            hat = m.y - self.at[:, None] * m.x
            most = np.maximum(most, stats.t.isf(0.025, k - 1) * np.sqrt((info * hat**2 / v / (1 - h) ** 2).sum(1)))
        return (p * u / v).sum(1) / most

    def covers(self, theta: float, steps: int = 40) -> Array:
        """Whether the reported piece (around the ratio of least disagreement) holds theta."""
        scale = scale_of(self.m)
        goal, start = np.arctan(theta / scale), np.arctan(self.at / scale)
        ways = []
        for turn in (goal, np.where(goal > start, goal - math.pi, goal + math.pi)):
            inside = np.ones(len(start), bool)
            for share in np.linspace(0, 1, steps):
                inside &= np.abs(self.ratio(scale * np.tan(start + share * (turn - start)))) <= 1
            ways.append(inside)
        outside_at_start = np.abs(self.ratio(self.at)) > 1  # then the line is reported
        return ways[0] | ways[1] | outside_at_start


def fixed_score(m: Many) -> Score:
    return Score(m, least(m), np.zeros(len(m.x)), np.ones_like(m.x), seen=False)


def overdispersed(m: Many) -> Score:
    at = least(m)
    tau = solved((m.y - at[:, None] * m.x) ** 2, variance(m, at), m.x.shape[1] - 1)
    steady = 1 / (solved(m.x**2, m.xx, m.x.shape[1])[:, None] + m.xx)
    return Score(m, at, tau, steady / steady.max(1, keepdims=True), seen=True)


def shipped_covers(m: Many, theta: float) -> Array:
    """Coverage of the set of `link_point` for ten experiments and more."""
    found = overdispersed(m).covers(theta)
    if m.x.shape[1] < 100:
        return found
    return np.where((m.x**2 / m.xx).mean(1) < 3, ~moment_rejects(m, theta), found)
