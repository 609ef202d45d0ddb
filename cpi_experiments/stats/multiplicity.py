"""p-values adjusted for many tests: Bonferroni, Holm, Benjamini-Hochberg, Benjamini-Yekutieli."""

from __future__ import annotations

from typing import Literal

import numpy as np

from cpi_experiments.errors import EstimationError, nearest

Array = np.ndarray
Correction = Literal["none", "bonferroni", "holm", "bh", "by"]
CORRECTIONS = ("none", "bonferroni", "holm", "bh", "by")


def adjusted_p_values(p_values: Array, *, correction: Correction) -> Array:
    """Adjust p-values so that comparing them with a level controls errors over all tests together.

    ``bonferroni`` and ``holm`` bound the chance of any false alarm under every dependence between the tests; Holm is
    never weaker. ``bh`` bounds the expected share of false alarms among the alarms, for independent or positively
    dependent tests; ``by`` does so under every dependence.

    Parameters
    ----------
    p_values : array, shape (m,)
        NaN for tests that could not be made: they count among the m tests with p = 1, and stay NaN.
    correction : {"none", "bonferroni", "holm", "bh", "by"}

    Returns
    -------
    array, shape (m,)

    Raises
    ------
    EstimationError
        If a p-value lies outside 0 to 1, or the correction is not known.

    References
    ----------
    Holm (1979), Scand. J. Statistics 6; Benjamini, Hochberg (1995), JRSS B 57; Benjamini, Yekutieli (2001), Annals 29.

    Examples
    --------
    >>> adjusted_p_values(np.array([0.01, 0.04, 0.03]), correction="holm").round(4).tolist()
    [0.03, 0.06, 0.06]
    >>> adjusted_p_values(np.array([0.01, np.nan]), correction="bonferroni").tolist()
    [0.02, nan]
    """
    p = np.asarray(p_values, dtype=float)
    if correction not in CORRECTIONS:
        raise EstimationError(f"correction {correction!r} is not known", advice=nearest(correction, list(CORRECTIONS)))
    wrong = p[(p < 0) | (p > 1)]
    if len(wrong):
        raise EstimationError(
            f"{len(wrong)} of {len(p)} p-values lie outside 0 to 1; the first is {wrong[0]:g}",
            advice="Look at where they come from: a p-value is a chance.",
        )
    if correction == "none" or not len(p):
        return p.copy()
    adjusted = _STEPS[correction](np.where(np.isnan(p), 1.0, p))
    return np.where(np.isnan(p), np.nan, np.minimum(adjusted, 1.0))


def _bonferroni(p: Array) -> Array:
    return np.asarray(len(p) * p)


def _holm(p: Array) -> Array:
    """Step down from the smallest p-value; equal ones get equal answers."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _placed(steps, order)


def _benjamini_hochberg(p: Array) -> Array:
    """Step up from the largest p-value."""
    order = np.argsort(p, kind="stable")
    shares = p[order] * len(p) / np.arange(1, len(p) + 1)
    return _placed(np.minimum.accumulate(shares[::-1])[::-1], order)


def _benjamini_yekutieli(p: Array) -> Array:
    return np.asarray(_benjamini_hochberg(p) * np.sum(1 / np.arange(1, len(p) + 1)))


def _placed(values: Array, order: Array) -> Array:
    found = np.empty(len(order))
    found[order] = values
    return found


_STEPS = {"bonferroni": _bonferroni, "holm": _holm, "bh": _benjamini_hochberg, "by": _benjamini_yekutieli}
