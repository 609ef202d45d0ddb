"""Closed step-e: which hypotheses of a portfolio may be published at a false discovery rate, under any dependence.

Every hypothesis carries one p-value. A subset of size s turns a p-value into the e-value ``s / (q * k)``, where k is
the smallest level with ``p <= q * beta(k) / s`` and ``beta(k) = sum_{levels j <= k} j / len(levels)``. Its mean under
the hypothesis is at most 1, because ``sum_l [s / (q l)] [q l nu_l / s] = 1``. A set R may be published if for every
nonempty subset A of the slots ``sum_{i in A} 1/k_|A|(p_i) >= |A and R| / |R|``: then, with A the true hypotheses of no
effect, FDP(R) <= q * (mean e-value over A), whose expectation is at most q. No assumption on dependence enters.

References
----------
Wang, Ramdas (2022), JRSS B 84 (e-BH); Blanchard, Roquain (2008), EJS 2 (prior nu); Xu et al. (2025),
arXiv 2509.02517 (e-closure).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

#: A link that is judged alone is judged as one of at least so many, so that a portfolio cut into pieces gains nothing.
MIN_SLOTS = 4
_EPS = 1e-12


def slots_of(n_links: int, *, at_least: int = MIN_SLOTS) -> int:
    """Slots of a portfolio: its links, never fewer than `MIN_SLOTS`.

    Examples
    --------
    >>> slots_of(1), slots_of(12)
    (4, 12)
    """
    return max(n_links, at_least)


def levels_of(slots: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Levels k and thresholds beta(k) for a number of slots, weights one third each.

    Examples
    --------
    >>> levels_of(12)[0], [round(b, 3) for b in levels_of(12)[1]]
    ((1, 2, 4), [0.333, 1.0, 2.333])
    >>> levels_of(60)[0], [round(b, 3) for b in levels_of(60)[1]]
    ((1, 6, 20), [0.333, 2.333, 9.0])
    """
    second = max(2, round(slots / 10))
    levels = (1, second, max(3, round(slots / 3), second + 1))
    beta, total = [], 0.0
    for level in levels:
        total += level / len(levels)
        beta.append(total)
    return levels, tuple(beta)


def alone_threshold(q: float, slots: int) -> float:
    """Largest p-value that is published when every other slot has p = 1.

    Examples
    --------
    >>> round(alone_threshold(0.10, 12), 5)
    0.00278
    """
    return q * levels_of(slots)[1][0] / slots


def publish(p_values: Sequence[float], *, q: float, slots: int, published: Collection[int] = ()) -> frozenset[int]:
    """Return the indices of a largest allowed prefix set, given what is published already; equal p-values go together.

    Parameters
    ----------
    p_values : sequence of float, shape (m,)
        One per hypothesis; each valid for its own hypothesis of no effect. 1 where there is no evidence.
    q : float
        False discovery rate.
    slots : int
        Size of the portfolio, at least m; empty slots count as p = 1.
    published : collection of int
        Indices published before; they stay.

    Returns
    -------
    frozenset of int

    Raises
    ------
    EstimationError
        If a p-value is not in [0, 1], q is not a share, or there are more hypotheses than slots.

    Examples
    --------
    >>> sorted(publish([0.00135] + [1.0] * 11, q=0.10, slots=12))  # z = 3 alone among twelve
    [0]
    >>> sorted(publish([0.01, 0.01], q=0.10, slots=12))
    []
    """
    p = np.asarray(p_values, dtype=float)
    if np.any(~((p >= 0) & (p <= 1))):
        raise EstimationError(f"p-values must lie in [0, 1]; found {p[~((p >= 0) & (p <= 1))].tolist()}")
    if not 0 < q < 1:
        raise EstimationError(f"false discovery rate {q:g} is not between 0 and 1", advice="Did you mean 0.1?")
    if len(p) > slots:
        raise EstimationError(f"{len(p)} hypotheses do not fit {slots} slots")
    levels, beta = levels_of(slots)
    step = np.array([1 / a - 1 / b for a, b in zip(levels, (*levels[1:], math.inf), strict=True)])
    kept = sorted(published)
    rest = [i for i in np.lexsort((np.arange(len(p)), p)).tolist() if i not in published]
    # a p-value above the loosest threshold of any subset adds nothing to any e-value
    useful = len([i for i in rest if p[i] <= min(1.0, q * beta[-1])])
    for n in range(useful, 0, -1):
        if n < len(rest) and p[rest[n - 1]] == p[rest[n]]:
            continue  # equal p-values go together, or the order of links would decide
        inside = p[[*kept, *rest[:n]]]
        outside = np.concatenate([p[rest[n:]], np.ones(slots - len(p))])
        if _allowed(inside, outside, q=q, beta=beta, step=step):
            return frozenset([*kept, *rest[:n]])
    return frozenset(kept)


def _allowed(inside: np.ndarray, outside: np.ndarray, *, q: float, beta: tuple[float, ...], step: np.ndarray) -> bool:
    """Check every subset by its worst members: the a largest p inside the set and the b largest outside."""
    a = np.arange(1, len(inside) + 1)[:, None]
    b = np.arange(len(outside) + 1)[None, :]
    size = a + b
    sizes = np.arange(1, len(inside) + len(outside) + 1)
    total = np.zeros(size.shape)
    for weight, level_beta in zip(step, beta, strict=True):
        threshold = q * level_beta / sizes
        above_in = len(inside) - np.searchsorted(np.sort(inside), threshold, side="right")
        above_out = len(outside) - np.searchsorted(np.sort(outside), threshold, side="right")
        total += weight * np.maximum(a - above_in[size - 1], 0)
        total += weight * np.maximum(b - above_out[size - 1], 0)
    return bool(np.all(total >= a / len(inside) - _EPS))
