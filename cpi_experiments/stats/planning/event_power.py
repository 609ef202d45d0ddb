"""What a log-rank test has to work with: the chance of an event, and the moments of the score over a trial."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import special

from cpi_experiments.errors import DesignError

_NODES, _WEIGHTS = (np.polynomial.legendre.leggauss(24)[0] + 1) / 2, np.polynomial.legendre.leggauss(24)[1] / 2


def event_probability(hazard: float, follow_up: float, *, accrual: float = 0.0, loss: float = 0.0) -> float:
    """Chance that a customer's event is seen, with exponential times and even entry.

    Parameters
    ----------
    hazard : float
        Events per customer and unit of time.
    follow_up : float
        Time from the last entry to the end.
    accrual : float
        Time over which customers enter evenly; 0 if all enter at once.
    loss : float
        Hazard of being lost from sight.

    References
    ----------
    Lachin, Foulkes (1986), Biometrics 42.

    Examples
    --------
    >>> round(event_probability(math.log(2), 1.0), 10)
    0.5
    >>> round(event_probability(0.1, 2.0, accrual=3.0, loss=0.05), 6)
    0.26896
    """
    _positive(hazard, "hazard")
    _positive(accrual + follow_up, "accrual and follow-up together")
    for value, what in ((accrual, "accrual"), (follow_up, "follow-up"), (loss, "loss")):
        if not (value >= 0 and math.isfinite(value)):
            raise DesignError(f"{what} {value:g} is below zero or has no end")
    leaving = hazard + loss
    return hazard / leaving * _seen(leaving, follow_up, accrual)


def _seen(leaving: float, follow_up: float, accrual: float) -> float:
    """1 - mean of exp(-leaving * time) over times from ``follow_up`` to ``follow_up + accrual``."""
    span = leaving * accrual
    mean = -math.expm1(-span) / span if span > 0 else 1.0
    return 1 - math.exp(-leaving * follow_up) * mean


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRankMoments:
    """Moments of the log-rank score of one customer, treatment or control.

    Parameters
    ----------
    score : float
        Mean of events less events expected in treatment.
    information : float
        Mean of the variance that the test reckons with.
    variance : float
        True variance of the score; differs from the information where there is an effect.
    """

    score: float
    information: float
    variance: float


def log_rank_moments(
    hazards: tuple[float, float],
    follow_up: float,
    *,
    accrual: float = 0.0,
    loss: float = 0.0,
    treatment_share: float = 0.5,
    null_ratio: float = 1.0,
) -> LogRankMoments:
    """Integrate the log-rank score of ``hazard ratio = null_ratio`` over a trial with exponential times and even entry.

    Where the arms differ in size and the effect is not small this is much closer to what happens than counting
    events: those at risk do not stay in the ratio in which they entered.

    Parameters
    ----------
    hazards : tuple of float
        Of the event in control and treatment.
    follow_up, accrual, loss : float
        As in `event_probability`.
    treatment_share : float
    null_ratio : float
        1 for the log-rank test; another ratio for a margin.

    References
    ----------
    Schoenfeld (1981), Biometrika 68, section 2; Lakatos (1988), Biometrics 44; Yung, Liu (2020), Biometrics 76.

    Examples
    --------
    Close to no effect and in equal arms it is one quarter of an event a customer:

    >>> moments = log_rank_moments((0.1, 0.1001), 2.0)
    >>> round(moments.information / event_probability(0.1, 2.0), 3)
    0.25
    """
    for hazard in (*hazards, null_ratio):
        _positive(hazard, "hazard")
    _positive(accrual + follow_up, "accrual and follow-up together")
    if not 0 < treatment_share < 1:
        raise DesignError(f"a treatment share of {treatment_share:g} is not between 0 and 1")
    end = follow_up + accrual
    breaks = sorted({0.0, follow_up, end, *(end / 4.0**k for k in range(1, 12))})  # fast and slow hazards alike
    odds = math.log(null_ratio * treatment_share / (1 - treatment_share))
    total = np.zeros(3)
    for start, stop in pairwise(breaks):
        t, dt = start + (stop - start) * _NODES, (stop - start) * _WEIGHTS
        watched = np.minimum((end - t) / accrual, 1.0) if accrual else np.ones_like(t)
        control, treatment = (
            share * np.exp(-(hazard + loss) * t) * watched
            for share, hazard in zip((1 - treatment_share, treatment_share), hazards, strict=True)
        )
        expected = special.expit(
            odds - (hazards[1] - hazards[0]) * t
        )  # treatment among those at risk, as the null has it
        e0, e1 = hazards[0] * control * dt, hazards[1] * treatment * dt
        total += [
            np.sum(e1 * (1 - expected) - e0 * expected),
            np.sum((e0 + e1) * expected * (1 - expected)),
            np.sum(e1 * (1 - expected) ** 2 + e0 * expected**2),
        ]
    return LogRankMoments(score=float(total[0]), information=float(total[1]), variance=float(total[2]))


def _positive(value: float, what: str) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise DesignError(f"{what} {value:g} is not above zero")
