r"""Step-e: which hypotheses of a portfolio may be published, step after step, at one false discovery rate.

Every hypothesis i of M slots carries one running p-value P_i, valid over all its looks and never rising. Levels
``k_1 < k_2 < k_3`` with weights ``nu = 1/3`` and ``beta(k) = sum_{levels j <= k} j nu_j`` are frozen with M. In a
subset of size s, ``I_s(P) = 1 / min{k : P <= q beta(k) / s}`` (0 if there is none), and ``f_s(P) = (s / q) I_s(P)`` is
an e-value: its mean under the hypothesis is at most ``sum_l [s / (q k_l)] [q k_l nu_l / s] = 1``. It falls in P, so
its supremum over time is its last value: ``E[sup_t f_s(P_i(t))] <= 1``.

**Plain**: the largest set R with ``I_M(P_i) >= 1/|R|`` for each member (e-BH on f_M). Each false member has
``1 <= (q/M) |R| f_M(P_i)``, so ``FDP_t <= (q/M) sum_{nulls} f_M(P_i(T))`` for every t at once, of mean at most
``q m0 / M``.

**Closed**: R may be published if every nonempty subset A of the slots has
``sum_{i in A} I_|A|(P_i) >= |A and R| / |R|``. With A = N, the true nulls:
``FDP_t = |N and R| / |R| <= sum_N I_|N|(P_i(t)) = q mean_N f_|N|(P_i(t))``, which only grows with t and ends with a
mean of at most q: ``E[max_t FDP_t] <= q``, for all allowed sets at once. What is published stays allowed, because
every I grows. Nothing about dependence between hypotheses is used. N must not have been chosen by the evidence: where
hypotheses are registered because of results, take plain.

**Search.** (1) For given numbers a inside and b outside of R the worst subset has the a largest P inside and the b
largest outside. (2) For one size s = a + b the sum minus a/|R| is convex and piecewise linear in a, so only the ends
and the six points at which a slope changes are looked at. (3) Among sets of one size that keep what is published, the
one with the smallest P is allowed if any is: swap i in R for j outside with P_j <= P_i; a subset A with j and without
i has the sum of A - j + i or more, and that one had to reach the same share. So trying every number of smallest P
finds a largest allowed set. (4) The plain set is allowed, because ``I_s >= I_M``.

References
----------
Wang, Ramdas (2022), JRSS B 84 (e-BH); Blanchard, Roquain (2008), EJS 2 (prior nu: plain step-e on single looks is their
rule); Xu et al. (2025), arXiv 2509.02517 (e-closure); Tavyrikov, Goeman, de Heide (2025), arXiv 2501.19360 (e-BH on raw
suprema of e-processes is not valid).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Floats = np.ndarray

#: A link that is judged alone is judged as one of at least so many, so that a portfolio cut into pieces gains nothing.
MIN_SLOTS = 4
#: Closed wins more; plain holds also where links were registered because of what the portfolio showed.
PUBLISH_MODES = ("closed", "plain")
#: Two different sums differ by more than 1 / (k_1 k_2 k_3 |R|), rounding by far less.
_EPS = 1e-9
#: Sizes looked at in the first, necessary pass over all candidate sets, and sets of the full pass at a time.
_COARSE, _AT_ONCE = 32, 8


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


def publish(
    p_values: Sequence[float] | Floats,
    *,
    q: float,
    slots: int,
    published: Collection[int] = (),
    mode: str = "closed",
) -> frozenset[int]:
    """Return a largest set that may be published and holds what is published already; equal p-values go together.

    Parameters
    ----------
    p_values : sequence of float, shape (m,)
        One per hypothesis; each valid for its own hypothesis of no effect over all its looks, and not above its value
        at the step before. 1 where there is no evidence.
    q : float
        False discovery rate.
    slots : int
        Size of the portfolio, at least m, the same at every step; empty slots count as p = 1.
    published : collection of int
        Indices published before in this horizon; they stay.
    mode : {"closed", "plain"}
        The same at every step.

    Returns
    -------
    frozenset of int

    Raises
    ------
    EstimationError
        If a p-value is not in [0, 1], q is not a share, the mode is unknown, there are more hypotheses than slots, an
        index that was published is none of them, or what was published is not allowed on these p-values (one rose).

    Examples
    --------
    >>> sorted(publish([0.00135] + [1.0] * 11, q=0.10, slots=12))  # z = 3 alone among twelve
    [0]
    >>> sorted(publish([0.01, 0.01], q=0.10, slots=12))
    []
    >>> sorted(publish([0.001, 0.002, 0.009, 0.3], q=0.10, slots=12))
    [0, 1, 2]
    >>> sorted(publish([0.001, 0.002, 0.009, 0.3], q=0.10, slots=12, mode="plain"))
    [0, 1]
    """
    p = checked_p_values(p_values, slots=slots)
    _check_rule(q, mode)
    kept = frozenset(int(i) for i in published)
    if kept and not (min(kept) >= 0 and max(kept) < len(p)):
        raise EstimationError(f"published {sorted(kept)}, but there are {len(p)} hypotheses")
    plain = _plain(p, q, slots)
    if mode == "plain":
        _check_kept(kept <= plain, kept)
        return plain
    search = _Search.of(p, q=q, slots=slots, kept=kept)
    _check_kept(not kept or search.keeps(), kept)
    found = search.largest(at_least=len(plain - kept) if kept <= plain else 0)
    return kept | frozenset(search.order[:found].tolist())


def checked_p_values(p_values: Sequence[float] | Floats, *, slots: int) -> Floats:
    """Return p-values as an array; refuse what is no p-value or does not fit the portfolio."""
    p = np.asarray(p_values, dtype=float)
    if p.ndim != 1:
        raise EstimationError(f"p-values of shape {p.shape} are not one number per hypothesis")
    wrong = p[~((p >= 0) & (p <= 1))]
    if len(wrong):
        raise EstimationError(
            f"p-values must lie in [0, 1]; found {wrong[:5].tolist()}", advice="Without evidence a p-value is 1."
        )
    if len(p) > slots:
        raise EstimationError(f"{len(p)} hypotheses do not fit {slots} slots")
    return p


def _check_rule(q: float, mode: str) -> None:
    if not 0 < q < 1:
        raise EstimationError(f"false discovery rate {q:g} is not between 0 and 1", advice="Did you mean 0.1?")
    if mode not in PUBLISH_MODES:
        raise EstimationError(f"mode {mode!r} is not known", advice=nearest(str(mode), list(PUBLISH_MODES)))


def _check_kept(allowed: bool, kept: frozenset[int]) -> None:  # noqa: FBT001 - a check has one outcome to look at
    if not allowed:
        raise EstimationError(
            f"what was published ({len(kept)} of the hypotheses) may not be published on these p-values",
            advice="A p-value rose, or q, slots or mode changed within the horizon; running p-values never rise.",
        )


def _plain(p: Floats, q: float, slots: int) -> frozenset[int]:
    """Largest r such that r hypotheses or more lie on a level of at most r."""
    levels, beta = levels_of(slots)
    for level, after, b in reversed(list(zip(levels, (*levels[1:], slots + 1), beta, strict=True))):
        members = np.flatnonzero(p <= q * b / slots)
        if level <= len(members) < after:
            return frozenset(members.tolist())
    return frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """Candidate sets: what is kept, and the n smallest p-values of the rest.

    ``below_kept`` and ``below_rest``, shape (levels, slots): how many p-values are on each level in a subset of size
    1 .. slots.
    """

    order: np.ndarray
    ends: np.ndarray
    slots: int
    n_kept: int
    step: Floats
    below_kept: Floats
    below_rest: Floats

    @classmethod
    def of(cls, p: Floats, *, q: float, slots: int, kept: frozenset[int]) -> _Search:
        levels, beta = levels_of(slots)
        mine = np.isin(np.arange(len(p)), list(kept))
        rest = np.flatnonzero(~mine)
        order = rest[np.argsort(p[rest], kind="stable")]
        ordered = p[order]
        threshold = q * np.array(beta)[:, None] / np.arange(1, slots + 1)
        # equal p-values go together, or the order of links would decide; one above the loosest threshold never goes
        last_of_ties = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
        ends = np.flatnonzero(last_of_ties & (ordered <= min(1.0, q * beta[-1]))) + 1
        return cls(
            order=order,
            ends=ends,
            slots=slots,
            n_kept=len(kept),
            step=np.array([1 / a - 1 / b for a, b in zip(levels, (*levels[1:], math.inf), strict=True)]),
            below_kept=np.searchsorted(np.sort(p[mine]), threshold, side="right"),
            below_rest=np.searchsorted(ordered, threshold, side="right"),
        )

    def keeps(self) -> bool:
        """Whether what is kept may be published as it is."""
        return bool(self._allowed(np.zeros(1, dtype=int), np.arange(1, self.slots + 1))[0])

    def largest(self, *, at_least: int) -> int:
        """Return how many of the rest may be added, knowing that `at_least` may."""
        whole = float(self.step @ (self.below_kept[:, -1] + self.below_rest[:, -1]))
        if whole < 1 - _EPS:  # all slots together fall short, whatever is published
            return at_least
        sizes = np.arange(1, self.slots + 1)
        ends = self.ends[self.ends > at_least][::-1]
        ends = ends[self._allowed(ends, sizes[:: max(1, self.slots // _COARSE)])]
        for start in range(0, len(ends), _AT_ONCE):
            some = ends[start : start + _AT_ONCE]
            passed = some[self._allowed(some, sizes)]
            if len(passed):
                return int(passed[0])
        return at_least

    def _allowed(self, n: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Check candidates against the worst subsets of the given sizes; shape (candidates,)."""
        n, at = n[:, None], sizes - 1
        members = n + self.n_kept  # |R|
        others = self.slots - members
        rest = self.below_rest[:, None, at]
        short_in = members - self.below_kept[:, None, at] - np.minimum(rest, n)  # (levels, candidates, sizes)
        short_out = others - np.maximum(rest - n, 0)
        low, high = np.maximum(1, sizes - others), np.minimum(members, sizes)
        turns = np.concatenate([low[None], high[None], short_in, sizes - short_out])
        a = np.clip(turns, low, high)
        total = np.zeros(a.shape)
        for weight, inside, outside in zip(self.step, short_in, short_out, strict=True):
            total += weight * (np.maximum(a - inside, 0) + np.maximum(sizes - a - outside, 0))
        return np.asarray(np.all(total >= a / members - _EPS, axis=(0, 2)))
