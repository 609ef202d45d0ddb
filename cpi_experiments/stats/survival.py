"""How long customers stay: the Kaplan-Meier curve with an interval that stays between 0 and 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from cpi_experiments.errors import EstimationError

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalCurve:
    """Share of customers that is still there, by time since the start.

    Parameters
    ----------
    times : float array, shape (k,)
        Times at which at least one customer left, ascending.
    at_risk, left : float array, shape (k,)
        Customers still there just before, and those who left then.
    survival : float array, shape (k,)
        Share that is there after each time.
    greenwood : float array, shape (k,)
        Greenwood's sum: variance of ``survival`` divided by its square; infinite once nobody is left.
    last_seen : float
        Longest time that anybody was watched: beyond it nothing is known.
    n : int
        Customers.
    """

    times: Floats
    at_risk: Floats
    left: Floats
    survival: Floats
    greenwood: Floats
    last_seen: float
    n: int

    def at(self, time: float, *, confidence_level: float = 0.95) -> tuple[float, float, float]:
        """Return the share that stays longer than a time, with its log-log interval.

        Parameters
        ----------
        time : float
        confidence_level : float

        Returns
        -------
        value, low, high : float
            Where nobody has left yet the exact bound of n customers without a loss is the lower end; where nobody is
            left, the upper end is that of n losses.

        Raises
        ------
        EstimationError
            If nobody was watched that long.

        References
        ----------
        Kalbfleisch, Prentice (2002), section 1.4.1 (log-log interval); Greenwood (1926).

        Examples
        --------
        >>> curve = kaplan_meier(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 0, 1, 0]))
        >>> [round(part, 4) for part in curve.at(3.5)]
        [0.375, 0.011, 0.808]
        """
        if time > self.last_seen and not (len(self.survival) and self.survival[-1] == 0):
            raise EstimationError(
                f"nobody was watched for {time:g}; the longest was {self.last_seen:g}",
                advice="Ask for a shorter time, or wait.",
            )
        place = int(np.searchsorted(self.times, time, side="right")) - 1
        watched = float(self.at_risk[place]) if place >= 0 else float(self.n)
        share = float(self.survival[place]) if place >= 0 else 1.0
        bound = float(np.power((1 - confidence_level) / 2, 1 / watched))  # Clopper-Pearson without a loss
        if share >= 1:
            return 1.0, bound, 1.0
        if share <= 0:
            return 0.0, 0.0, 1 - bound
        spread = math.sqrt(float(self.greenwood[place])) / abs(math.log(share))
        step = math.exp(float(special.ndtri(0.5 + confidence_level / 2)) * spread)
        return share, share**step, share ** (1 / step)


def kaplan_meier(times: Floats, left: Floats, *, counts: Floats | None = None) -> SurvivalCurve:
    """Estimate the share of customers that stays, when some are still there (censored).

    Parameters
    ----------
    times : float array, shape (n,)
        How long each was watched, from 0.
    left : array, shape (n,)
        Whether the customer left then (1) or was still there (0).
    counts : array, shape (n,), optional
        How many customers each row stands for.

    Returns
    -------
    SurvivalCurve
        Who leaves and who is lost from sight at the same time: the leaving comes first.

    Raises
    ------
    EstimationError
        If there is no customer, or a time is negative or missing.

    References
    ----------
    Kaplan, Meier (1958), J. Am. Stat. Assoc. 53, 457-481.

    Examples
    --------
    >>> kaplan_meier(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 0, 1, 0])).survival
    array([0.75 , 0.375])
    """
    t, gone = np.asarray(times, dtype=float), np.asarray(left, dtype=float)
    weight = np.ones(len(t)) if counts is None else np.asarray(counts, dtype=float)
    if not len(t) or not np.all(t >= 0) or not np.all((gone == 0) | (gone == 1)):
        raise EstimationError("survival needs times from 0 and marks of 0 or 1", advice="Leave the other rows out.")
    distinct, place = np.unique(t, return_inverse=True)
    all_here = np.bincount(place, weights=weight)
    losses = np.bincount(place, weights=weight * gone)
    at_risk = np.cumsum(all_here[::-1])[::-1]
    happened = losses > 0
    n, d = at_risk[happened], losses[happened]
    # 1 - d/n loses digits where few leave; (n - d)/n does not
    survival = np.cumprod((n - d) / n)
    greenwood = np.cumsum(np.divide(d, n * (n - d), out=np.full(len(n), np.inf), where=n > d))
    return SurvivalCurve(
        times=distinct[happened],
        at_risk=n,
        left=d,
        survival=survival,
        greenwood=greenwood,
        last_seen=float(distinct[-1]),
        n=int(weight.sum()),
    )
