"""Power of the two one-sided tests of equivalence, exact for Student's t."""

from __future__ import annotations

import numpy as np
from scipy import special

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.planning.scale_integral import scale_nodes
from cpi_experiments.stats.student import quantile


def equivalence_power(low: float, high: float, df: float, *, alpha: float = 0.05) -> float:
    """Chance that both one-sided tests reject, so that the 1 - 2 alpha interval lies between the limits.

    Parameters
    ----------
    low, high : float
        Distances of the true effect to the lower and the upper limit, in standard errors: (effect - lower) / se and
        (upper - effect) / se. Negative where the effect lies beyond a limit.
    df : float
        Degrees of freedom of the standard error.
    alpha : float
        Level of each of the two tests.

    Raises
    ------
    DesignError
        If alpha is not between 0 and 0.5.

    Notes
    -----
    With the standard error at u times its true value both tests reject if the estimate falls into an interval of
    length low + high - 2 c u; the chance of that is averaged over u. This is Owen's Q in another order.

    References
    ----------
    Schuirmann (1987), J. Pharmacokinetics and Biopharmaceutics 15; Owen (1965), Biometrika 52; Phillips (1990),
    J. Pharmacokinetics and Biopharmaceutics 18.

    Examples
    --------
    A 2 x 2 crossover with 40 people, coefficient of variation 0.3, true ratio 0.95, limits 0.8 and 1.25:

    >>> import math
    >>> se = math.sqrt(2 / 40 * math.log(1 + 0.3**2))
    >>> effect = math.log(0.95)
    >>> round(equivalence_power((effect - math.log(0.8)) / se, (math.log(1.25) - effect) / se, 38), 6)
    0.815845
    """
    if not 0 < alpha < 0.5:
        raise DesignError(f"alpha {alpha:g} of each one-sided test is not between 0 and 0.5")
    critical = quantile(1 - alpha, df)
    widest = (low + high) / (2 * critical)
    if not widest > 0:
        return 0.0
    u, weights = scale_nodes(df, upper=widest)
    chance = special.ndtr(high - critical * u) - special.ndtr(critical * u - low)
    return float(weights @ np.maximum(chance, 0.0))
