"""Taking the winner's curse out of estimated sizes."""

from __future__ import annotations

import math


def shrink(value: float, std_error: float, *, prior_sd: float) -> float:
    """Posterior mean under a normal prior around zero: what is left after the winner's curse.

    Examples
    --------
    >>> shrink(2.0, 1.0, prior_sd=1.0)
    1.0
    """
    if math.isinf(std_error) or math.isnan(value):
        return 0.0
    return value * prior_sd**2 / (prior_sd**2 + std_error**2)
