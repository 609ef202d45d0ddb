"""What a plan of looks costs a link: the p-value that is asked at its last planned look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from cpi_experiments.stats.judging.running_p import CAP_FACTOR, FIRST_SHARE, OPEN_SHARES, planned_tail

if TYPE_CHECKING:
    from cpi_experiments.stats.judging.look_plan import LookPlan


def asked_at_the_end(threshold: float, plan: LookPlan, *, spent: int = 0) -> float:
    """Return the one-sided p-value of all evidence at the last planned look that gives a running p-value.

    Parameters
    ----------
    threshold : float
        Running p-value that the portfolio asks of a link.
    plan : LookPlan
        ``open`` is taken at its first cap.
    spent : int
        Looks that a ``retest`` link has had already.

    Returns
    -------
    float
        ``threshold`` for one planned look, less for any other plan: the price of looking more often.

    Examples
    --------
    >>> from cpi_experiments.stats.judging.look_plan import LookPlan
    >>> [round(asked_at_the_end(0.00278, LookPlan(kind=kind)), 5) for kind in ("single", "retest")]
    [0.00278, 0.00222]
    >>> round(asked_at_the_end(0.00278, LookPlan(kind="planned", looks=4)), 5)
    0.00203
    """
    if plan.kind == "planned":
        return _planned(threshold, plan.looks)
    retest = FIRST_SHARE if spent == 0 else (1 - FIRST_SHARE) * 0.5**spent
    share = {"retest": retest, "capped": 1 / CAP_FACTOR, "open": OPEN_SHARES[0] / CAP_FACTOR}
    return threshold * share.get(plan.kind, 1.0)


def _planned(threshold: float, looks: int) -> float:
    def surplus(c: float) -> float:
        return float(planned_tail(np.array(c), looks)) - threshold

    return float(special.ndtr(-optimize.brentq(surplus, 0.0, 9.0, xtol=1e-10)))
