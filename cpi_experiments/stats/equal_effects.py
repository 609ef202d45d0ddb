"""Are several independent effects the same: Welch's heteroscedastic F."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc, fdtrc

from cpi_experiments.errors import EstimationError

Array = np.ndarray


def equal_effects_test(effects: Array, variances: Array, dfs: Array) -> tuple[float, float]:
    """Test that k independent effects are equal.

    Parameters
    ----------
    effects, variances : array, shape (k,)
        Estimates and their squared standard errors, all above zero.
    dfs : array, shape (k,)
        Degrees of freedom of the variances; infinite for known ones.

    Returns
    -------
    (statistic, p_value)
        Welch's F with k - 1 and approximate degrees of freedom; with two effects Welch's t, squared.

    Raises
    ------
    EstimationError
        If fewer than two effects, or a variance that is not above zero, are given.

    References
    ----------
    Welch (1951), On the comparison of several mean values, Biometrika 38, 330-336.

    Examples
    --------
    >>> statistic, p = equal_effects_test(np.array([1.0, 2.0]), np.array([0.1, 0.15]), np.array([9.0, 9.0]))
    >>> round(statistic, 6), round(p, 6)
    (4.0, 0.061445)
    """
    k = len(effects)
    if k < 2 or not np.all(np.asarray(variances) > 0):
        raise EstimationError(f"{k} effects with variances {np.asarray(variances).tolist()} cannot be compared")
    weight = 1 / variances
    share = weight / weight.sum()
    q = float(weight @ (effects - share @ effects) ** 2)
    off = float(np.sum((1 - share) ** 2 / dfs))
    statistic = q / (k - 1) / (1 + 2 * (k - 2) / (k * k - 1) * off)
    if off == 0:  # the variances are known: chi-squared
        return statistic, float(chdtrc(k - 1, q))
    return statistic, float(fdtrc(k - 1, (k * k - 1) / (3 * off), statistic))
