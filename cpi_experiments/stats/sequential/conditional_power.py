"""Futility: the chance to succeed at the planned end given what was seen.

Advice only: whoever goes on although the chance is small keeps the type I error, because the bounds were found as if
nobody ever gave up.
"""

from __future__ import annotations

import math

from scipy import special

from cpi_experiments.errors import DesignError


def conditional_power(z: float, time: float, bound: float, *, drift: float) -> float:
    """Return the chance that Z at the planned end passes ``bound``, given Z now, if the drift is what is named.

    Parameters
    ----------
    z : float
        Statistic now; positive in the direction hoped for.
    time : float
        Information fraction now, between 0 and 1.
    bound : float
        What Z must pass at the end.
    drift : float
        Assumed mean of Z at the end: effect over the standard error planned for the end. ``z / sqrt(time)`` is the
        trend seen so far.

    Raises
    ------
    DesignError
        If the time is not between 0 and 1.

    References
    ----------
    Lan, Wittes (1988), The B-value, Biometrics 44; Jennison, Turnbull (2000), section 10.2.

    Examples
    --------
    >>> round(conditional_power(1.0, 0.5, 1.96, drift=2.8), 4)
    0.5824
    """
    _check(time)
    ahead = z * math.sqrt(time) + drift * (1 - time) - bound
    return float(special.ndtr(ahead / math.sqrt(1 - time)))


def predictive_power(z: float, time: float, bound: float) -> float:
    """Return the conditional power averaged over what the data so far say about the drift (flat prior).

    References
    ----------
    Spiegelhalter, Freedman, Blackburn (1986), Controlled Clinical Trials 7.

    Examples
    --------
    >>> round(predictive_power(1.0, 0.5, 1.96), 4)
    0.2926
    """
    _check(time)
    return float(special.ndtr((z / math.sqrt(time) - bound) * math.sqrt(time / (1 - time))))


def _check(time: float) -> None:
    if not 0 < time < 1:
        raise DesignError(
            f"information fraction {time:g} is not between 0 and 1", advice="Futility is for before the end."
        )
