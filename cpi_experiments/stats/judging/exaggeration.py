"""What a design does to significant sizes: how much they exaggerate, how often they point the wrong way."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from cpi_experiments.errors import EstimationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Exaggeration:
    """Errors of a significant estimate.

    Parameters
    ----------
    type_m : float
        Expected size of a significant estimate, in multiples of the true effect.
    type_s : float
        Chance that a significant estimate has the wrong sign.
    power : float
        Chance of a significant estimate, of either sign.
    """

    type_m: float
    type_s: float
    power: float


def exaggeration(effect: float, std_error: float, *, alpha: float = 0.05) -> Exaggeration:
    """Type M and type S error of a design, for an effect that is thought plausible before the data.

    Parameters
    ----------
    effect : float
        True effect, not zero; its sign does not matter.
    std_error : float
        Of the estimate, which is normal around the truth; above zero.
    alpha : float
        Level of the two-sided test.

    Returns
    -------
    Exaggeration

    Raises
    ------
    EstimationError
        If the effect is zero, the error not above zero or alpha not between 0 and 1.

    Notes
    -----
    With l = abs(effect) / std_error and X ~ N(l, 1): type M = E(abs(X), abs(X) > z) / (l power), type S =
    P(X < -z) / power; both in closed form by the truncated normal.

    References
    ----------
    Gelman, Carlin (2014), Perspectives on Psychological Science 9; closed form: Lu, Qiu, Deng (2019), British Journal
    of Mathematical and Statistical Psychology 72.

    Examples
    --------
    Beauty and the sex of children, the first example of Gelman and Carlin:

    >>> beauty = exaggeration(0.1, 3.28)
    >>> round(beauty.type_m), round(beauty.type_s, 2), round(beauty.power, 2)
    (77, 0.46, 0.05)
    """
    if not (math.isfinite(effect) and effect != 0 and math.isfinite(std_error) and std_error > 0 and 0 < alpha < 1):
        raise EstimationError(
            f"no exaggeration exists for effect {effect:g}, standard error {std_error:g}, alpha {alpha:g}",
            advice="Give an effect that is not zero, a standard error above zero and a level between 0 and 1.",
        )
    size = abs(effect) / std_error
    critical = -float(special.ndtri(alpha / 2))
    right, wrong = float(special.ndtr(size - critical)), float(special.ndtr(-size - critical))
    power = right + wrong
    expected = size * (right - wrong) + _density(critical - size) + _density(critical + size)
    return Exaggeration(type_m=expected / size / power, type_s=wrong / power, power=power)


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
