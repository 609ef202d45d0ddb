"""Dunnett's critical value: several treatments against one control, the family error kept exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.planning.scale_integral import scale_nodes
from cpi_experiments.stats.student import quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def dunnett_critical(
    control_shares: Sequence[float], df: float, *, alpha: float = 0.05, two_sided: bool = True
) -> float:
    """Value that the largest of several t statistics against one control exceeds with probability alpha.

    Parameters
    ----------
    control_shares : sequence of float, one per treatment
        Share of the control in the variance of each difference: with sample means v0/n0 / (v0/n0 + vj/nj), one half
        in a balanced design. Two differences correlate by the root of the product of their shares.
    df : float
        Degrees of freedom of the shared variance estimate.
    alpha : float
    two_sided : bool
        Whether the sizes of the statistics count, or only large positive ones.

    Raises
    ------
    DesignError
        If a share is not between 0 and 1, or alpha is not.

    References
    ----------
    Dunnett (1955), J. American Statistical Association 50; Dunnett (1964), Biometrics 20.

    Examples
    --------
    >>> round(dunnett_critical([0.5, 0.5], 10.0), 2), round(dunnett_critical([0.5, 0.5, 0.5], 1e9), 2)
    (2.57, 2.35)
    """
    shares = np.asarray(control_shares, dtype=float)
    if not (len(shares) and np.all((shares > 0) & (shares < 1))):
        raise DesignError(f"shares {list(control_shares)} of the control in the variances are not between 0 and 1")
    if not 0 < alpha < 1:
        raise DesignError(f"alpha {alpha:g} is not between 0 and 1", advice="Did you mean 0.05?")
    tail = alpha / 2 if two_sided else alpha
    alone = quantile(1 - tail, df)
    if len(shares) == 1:
        return alone
    bonferroni = quantile(1 - tail / len(shares), df)
    u, weights = scale_nodes(df)

    def beyond(critical: float) -> float:
        return alpha - (1 - float(weights @ _all_below(critical * u, np.sqrt(shares), two_sided=two_sided)))

    return float(optimize.brentq(beyond, alone, bonferroni * (1 + 1e-9), xtol=1e-13, rtol=1e-14))


def _all_below(limits: np.ndarray, loading: np.ndarray, *, two_sided: bool) -> np.ndarray:
    """P(all |Z_j| < limit) for Z_j = loading * shared + rest; shape of ``limits``."""
    shift = loading[:, None] * _NODES  # treatments x nodes
    rest = np.sqrt(1 - loading**2)[:, None]
    chance = np.ones((len(limits), len(_NODES)))
    for j in range(len(loading)):
        upper = special.ndtr((limits[:, None] - shift[j]) / rest[j])
        chance *= upper - special.ndtr((-limits[:, None] - shift[j]) / rest[j]) if two_sided else upper
    return np.asarray(chance @ _WEIGHTS)
