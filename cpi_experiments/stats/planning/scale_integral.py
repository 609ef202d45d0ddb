"""Averages over the estimated standard deviation of a normal sample, by quadrature: smooth, exact to 1e-11."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

Floats = np.ndarray

#: With more degrees of freedom the estimate is the true value to 1e-11.
_KNOWN = 1e12
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)


def scale_nodes(df: float, *, upper: float = math.inf) -> tuple[Floats, Floats]:
    """Nodes u and weights that average a smooth function of u = s / sigma, where df * u**2 is chi-squared.

    Parameters
    ----------
    df : float
        Degrees of freedom, 1 or more; infinite gives the single node 1.
    upper : float
        Only values of u up to here count (the function is zero, or has a kink, beyond it).

    Returns
    -------
    nodes, weights : float arrays, shape (k,)
        The weights add up to P(u <= upper).

    Examples
    --------
    >>> u, weights = scale_nodes(10.0)
    >>> round(float(weights @ u**2), 12)
    1.0
    """
    if df > _KNOWN:
        return np.ones(1), np.array([1.0 if upper >= 1 else 0.0])
    low, high = (float(f(df / 2, 1e-18)) for f in (special.gammaincinv, special.gammainccinv))
    ends = math.sqrt(2 * low / df), math.sqrt(2 * high / df)
    nodes, weights = _interval(ends, df)
    total = weights.sum()
    if upper < ends[1]:
        nodes, weights = _interval((ends[0], max(upper, ends[0])), df)
    return nodes, weights / total


def _interval(ends: tuple[float, float], df: float) -> tuple[Floats, Floats]:
    half = (ends[1] - ends[0]) / 2
    u = ends[0] + half * (1 + _NODES)
    return u, half * _WEIGHTS * np.exp((df - 1) * np.log(u) - df * (u - 1) * (u + 1) / 2)
