"""e-BH: which hypotheses may be published on their e-values, under any dependence, where no looks were planned.

An e-value is non-negative and has a mean of at most 1 under its hypothesis. e-BH publishes the largest r hypotheses
with ``e >= M / (q r)``: each false one has ``1 <= (q/M) r e``, so the false share is at most
``(q/M) sum_{nulls} e``, of mean at most q. Closed e-BH publishes R if every nonempty subset A of the slots has
``mean_A e >= |A and R| / (q |R|)``; with A the true nulls that bounds the false share by q times their mean e-value.
For a inside and b outside of R the worst subset has the smallest e-values, and among sets of one size the one with the
largest e-values is allowed if any is.

The bound holds for the e-values of one time (a stopping time that all processes know). It does not hold for running
maxima of e-processes: those are no e-values. A running p-value and `portfolio.publish` are for that.

References
----------
Wang, Ramdas (2022), JRSS B 84; Xu, Fischer, Ramdas (2025), arXiv 2504.11759 (closed e-BH); Tavyrikov, Goeman, de Heide
(2025), arXiv 2501.19360 (suprema).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.judging.portfolio import checked_p_values
from cpi_experiments.stats.multiplicity import adjusted_p_values

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

Floats = np.ndarray
_EPS = 1e-9


def e_bh(e_values: Sequence[float] | Floats, *, q: float, slots: int) -> frozenset[int]:
    """Return the hypotheses that e-BH publishes.

    Parameters
    ----------
    e_values : sequence of float, shape (m,)
        Non-negative; infinite is allowed. 1 or 0 where there is no evidence.
    q : float
        False discovery rate.
    slots : int
        Size of the portfolio, at least m; empty slots count as e = 0.

    Returns
    -------
    frozenset of int

    Raises
    ------
    EstimationError
        If an e-value is negative or NaN, q is not a share, or there are more hypotheses than slots.

    Examples
    --------
    >>> sorted(e_bh([70.0, 61.0, 3.0, 0.0], q=0.10, slots=12))
    [0, 1]
    """
    e = _checked(e_values, q=q, slots=slots)
    ordered = np.sort(e)[::-1]
    passed = np.flatnonzero(_passes(ordered * q * np.arange(1, len(e) + 1), slots))
    if not len(passed):
        return frozenset()
    return frozenset(np.flatnonzero(e >= ordered[passed[-1]]).tolist())


def closed_e_bh(e_values: Sequence[float] | Floats, *, q: float, slots: int) -> frozenset[int]:
    """Return a largest set that closed e-BH allows; it holds the set of `e_bh`, and equal e-values go together.

    Parameters
    ----------
    e_values, q, slots
        As in `e_bh`.

    Returns
    -------
    frozenset of int

    Raises
    ------
    EstimationError
        As in `e_bh`.

    Examples
    --------
    >>> sorted(closed_e_bh([200.0, 16.0], q=0.10, slots=4)), sorted(e_bh([200.0, 16.0], q=0.10, slots=4))
    ([0, 1], [0])
    """
    e = _checked(e_values, q=q, slots=slots)
    order = np.argsort(-e, kind="stable")
    ordered = np.concatenate([e[order], np.zeros(slots - len(e))])
    for r in range(len(e), 0, -1):
        tied = r < len(e) and ordered[r - 1] == ordered[r]
        if not tied and _allowed(ordered, r, q):
            return frozenset(order[:r].tolist())
    return frozenset()


def frozen_screen(
    p_values: Sequence[float] | Floats, *, q: float, slots: int, correction: Literal["bh", "by"] = "by"
) -> frozenset[int]:
    """Return the hypotheses of a screen that is read once: Benjamini-Yekutieli, or Benjamini-Hochberg.

    Not for looks that are repeated: read quarter after quarter, either lets the share of false alarms grow.

    Parameters
    ----------
    p_values : sequence of float, shape (m,)
        1 where there is no evidence.
    q : float
        False discovery rate.
    slots : int
        Number of hypotheses registered for the screen, at least m, dormant ones too.
    correction : {"bh", "by"}
        ``by`` holds under any dependence; ``bh`` for independent or positively dependent p-values only.

    Returns
    -------
    frozenset of int

    Raises
    ------
    EstimationError
        If a p-value is not in [0, 1], q is not a share, the correction is another one, or there are too many.

    References
    ----------
    Benjamini, Hochberg (1995), JRSS B 57; Benjamini, Yekutieli (2001), Annals of Statistics 29.

    Examples
    --------
    >>> p = [0.001, 0.012, 0.02, 0.9]
    >>> sorted(frozen_screen(p, q=0.10, slots=8, correction="bh")), sorted(frozen_screen(p, q=0.10, slots=8))
    ([0, 1, 2], [0])
    """
    p = checked_p_values(p_values, slots=slots)
    _check_rate(q)
    if correction not in ("bh", "by"):
        raise EstimationError(f"correction {correction!r} does not control a false discovery rate", advice="bh or by.")
    adjusted = adjusted_p_values(np.concatenate([p, np.ones(slots - len(p))]), correction=correction)[: len(p)]
    return frozenset(np.flatnonzero(adjusted <= q * (1 + _EPS)).tolist())


def _allowed(ordered: Floats, r: int, q: float) -> bool:
    """Check every subset by the a smallest e-values of the first r and the b smallest of the others."""
    inside = np.cumsum(ordered[:r][::-1])[:, None]
    outside = np.concatenate([[0.0], np.cumsum(ordered[r:][::-1])])[None, :]
    a, b = np.arange(1, r + 1)[:, None], np.arange(outside.shape[1])[None, :]
    return bool(np.all(_passes((inside + outside) * q * r, (a + b) * a)))


def _passes(value: Floats, bound: Floats | float) -> Floats:
    """Return value >= bound, whatever the rounding of either."""
    return np.asarray(value >= np.asarray(bound) * (1 - _EPS))


def _check_rate(q: float) -> None:
    if not 0 < q < 1:
        raise EstimationError(f"false discovery rate {q:g} is not between 0 and 1", advice="Did you mean 0.1?")


def _checked(e_values: Sequence[float] | Floats, *, q: float, slots: int) -> Floats:
    e = np.asarray(e_values, dtype=float)
    _check_rate(q)
    if e.ndim != 1 or not np.all(e >= 0):
        raise EstimationError(
            f"e-values must be non-negative numbers, one per hypothesis; found {e[~(e >= 0)][:5].tolist()}",
            advice="Without evidence an e-value is 1.",
        )
    if len(e) > slots:
        raise EstimationError(f"{len(e)} hypotheses do not fit {slots} slots")
    return e
