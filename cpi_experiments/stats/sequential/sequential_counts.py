"""Counts against intended shares at every look: a test that may be read as often as one likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln, logsumexp

from cpi_experiments.errors import EstimationError

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray

#: Prior units behind the intended shares. The small one sees gross faults in hundreds of units, the large one a
#: percent in a hundred thousand; the average of both Bayes factors is one again.
CONCENTRATIONS = (100.0, 10_000.0)


def log_bayes_factor(
    counts: Array, allocation: Sequence[float], *, concentrations: Sequence[float] = CONCENTRATIONS
) -> Array:
    r"""Log Bayes factor of other shares against the intended ones.

    With intended shares :math:`p` and the prior Dirichlet(:math:`c\,p`) under the alternative,
    :math:`BF = B(c\,p + n) / B(c\,p) / \prod p_k^{n_k}`; several concentrations c are averaged.

    Parameters
    ----------
    counts : array, shape (..., arms)
        Units seen so far.
    allocation : sequence of float, shape (arms,)
        Intended weights; any positive numbers.
    concentrations : sequence of float
        Prior units c, each above zero.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    EstimationError
        If counts and allocation do not describe an experiment.

    References
    ----------
    Lindon, Malek (2022), Anytime-valid inference for multinomial count data, NeurIPS 35 (arXiv 2011.03567).

    Examples
    --------
    >>> log_bayes_factor(np.array([[500, 500], [800, 200]]), [1, 1], concentrations=[10_000]).round(4)
    array([-0.0477, 16.3256])
    """
    seen, weights = np.asarray(counts, dtype=float), np.asarray(allocation, dtype=float)
    usable = seen.ndim >= 1 and seen.shape[-1] == len(weights) >= 2 and bool(np.all(weights > 0))
    if not usable or np.any(seen < 0) or not concentrations or min(concentrations) <= 0:
        raise EstimationError(
            f"counts of shape {seen.shape}, allocation {weights.tolist()} and concentrations {list(concentrations)} "
            "do not describe a test of counts"
        )
    shares, total = weights / weights.sum(), seen.sum(axis=-1)
    null = seen @ np.log(shares)
    each = []
    for c in concentrations:
        prior = c * shares
        each.append(gammaln(c) - gammaln(c + total) + np.sum(gammaln(prior + seen) - gammaln(prior), axis=-1) - null)
    return np.asarray(logsumexp(np.stack(each), axis=0) - np.log(len(each)))


def sequential_ratio_test(
    counts: Array, allocation: Sequence[float], *, concentrations: Sequence[float] = CONCENTRATIONS
) -> Array:
    """p-values of the sample ratio that hold at all looks together, however many there are.

    Parameters
    ----------
    counts : array, shape (looks, arms)
        Units that came between one look and the next, in order of time.
    allocation, concentrations
        As in `log_bayes_factor`.

    Returns
    -------
    array, shape (looks,)
        Smallest ``1 / BF`` up to the look, at most 1; it never rises. The chance that it ever goes below alpha is at
        most alpha if units fall into arms with the intended shares (Ville's inequality).

    Raises
    ------
    EstimationError
        If counts and allocation do not describe an experiment.

    Examples
    --------
    >>> days = np.array([[500, 500], [600, 400], [700, 300]])
    >>> sequential_ratio_test(days, [1, 1], concentrations=[10_000]).round(9)
    array([1.00000000e+00, 2.06859015e-01, 1.09900000e-06])
    """
    seen = np.asarray(counts, dtype=float)
    if seen.ndim != 2:
        raise EstimationError(f"counts of shape {seen.shape} are not looks by arms")
    found = log_bayes_factor(np.cumsum(seen, axis=0), allocation, concentrations=concentrations)
    return np.asarray(np.exp(-np.maximum.accumulate(np.maximum(found, 0.0))))
