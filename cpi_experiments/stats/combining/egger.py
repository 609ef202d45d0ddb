"""A direct effect that all levers share: the debiased ratio with an intercept, for levers of declared orientation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.combining.debiased import STRONG
from cpi_experiments.stats.combining.heterogeneity import paule_mandel
from cpi_experiments.stats.student import p_value, quantile

if TYPE_CHECKING:
    from cpi_experiments.stats.combining.effects import Effects

Floats = np.ndarray

_FEWEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Egger:
    """Debiased ratio beside a mean direct effect.

    Parameters
    ----------
    value, std_error : float
        KPI per increment, whatever direct effect the levers share; jackknife error over experiments.
    intercept, intercept_error : float
        Mean direct effect of a lever on the KPI in its declared orientation, and its jackknife error.
    strength : float
        kappa of the spread of the moves; 4 or more for an answer.
    used, dropped : int
        Experiments with and without a declared orientation.
    """

    value: float
    std_error: float
    intercept: float
    intercept_error: float
    strength: float
    used: int
    dropped: int

    @property
    def df(self) -> float:
        """Degrees of freedom: experiments less two."""
        return self.used - 2.0

    @property
    def informative(self) -> bool:
        """Whether the levers differ enough in strength to tell a shared direct effect from the link."""
        return self.strength >= STRONG and math.isfinite(self.std_error)

    @property
    def intercept_t(self) -> float:
        """Intercept in its errors; 0 where it has none."""
        return self.intercept / self.intercept_error if 0 < self.intercept_error < math.inf else 0.0

    @property
    def intercept_p(self) -> float:
        """Two-sided p-value of no shared direct effect."""
        return p_value(self.intercept_t, self.df) if self.informative else math.nan

    def interval(self, *, confidence_level: float = 0.95) -> tuple[float, float]:
        """Interval of the ratio with the t quantile of K - 2."""
        half = quantile(0.5 + confidence_level / 2, self.df) * self.std_error
        return self.value - half, self.value + half


def egger(effects: Effects, orientation: Floats) -> Egger:
    """Fit ratio and intercept over levers whose orientation was declared before the data.

    Moves and KPI effects are turned by the orientation, centred, and relieved of the noise that centring leaves:
    f_k = 1 - w_k / sum(w) of every experiment's covariance.

    Parameters
    ----------
    effects : Effects
    orientation : array, shape (K,)
        +1 or -1: the sense of the lever in which direct effects would add up, declared in advance (never the sign of
        the estimated move); 0 where it was not or is doubtful, which leaves the experiment out.

    Returns
    -------
    Egger

    Raises
    ------
    EstimationError
        If an orientation is another number, or fewer than four experiments have one.

    References
    ----------
    Bowden, Davey Smith, Burgess (2015), Int. J. Epidemiology 44, without their assumptions that moves have no noise
    and that the two effects share no customers.

    Examples
    --------
    >>> from cpi_experiments.stats.combining.effects import Effects
    >>> ones, x = np.ones(5), np.array([1.0, 2, 3, 4, 5])
    >>> five = Effects(x=x, y=0.5 * x + 1, xx=ones / 100, xy=0 * ones, yy=ones / 100, df=np.inf * ones, sign=ones,
    ...                move=ones)
    >>> found = egger(five, ones)
    >>> round(found.value, 2), round(found.intercept, 2), found.informative
    (0.5, 0.99, True)
    """
    orientation = np.asarray(orientation, dtype=float)
    if not np.all(np.isin(orientation, (-1.0, 0.0, 1.0))):
        raise EstimationError("an orientation is neither +1, -1 nor 0", advice="0 leaves the experiment out.")
    told = orientation != 0
    used = int(np.sum(told))
    if used < _FEWEST:
        raise EstimationError(
            f"{used} of {len(effects)} experiments have a declared orientation, and a line with an intercept needs "
            f"{_FEWEST}",
            advice="Declare orientations before the data are seen, or leave the intercept out.",
        )
    part, turn = effects.only(told), orientation[told]
    x, y = turn * part.x, turn * part.y
    spread = paule_mandel((x - np.mean(x)) ** 2, part.xx, total=used - 1) if np.all(part.xx > 0) else float(np.var(x))
    w = 1 / (part.yy * (spread + part.xx))
    w = w / np.max(w)
    terms = np.stack(
        [w, w * x, w * y, w * x * x, w * x * y, w * part.xx, w * w * part.xx, w * part.xy, w * w * part.xy]
    )
    total = np.sum(terms, axis=1)
    value, intercept, bread = _line(total)
    if not bread > 0:
        return Egger(value=math.nan, std_error=math.inf, intercept=math.nan, intercept_error=math.inf,
                     strength=_strength(w, x, part.xx), used=used, dropped=len(effects) - used)  # fmt: skip
    values, intercepts, breads = _line(total[:, None] - terms)
    sound = bool(np.all(breads > 0))
    return Egger(
        value=float(value),
        std_error=_jackknife(values, float(value)) if sound else math.inf,
        intercept=float(intercept),
        intercept_error=_jackknife(intercepts, float(intercept)) if sound else math.inf,
        strength=_strength(w, x, part.xx),
        used=used,
        dropped=len(effects) - used,
    )


def _line(s: Floats) -> tuple[Floats, Floats, Floats]:
    """Ratio, intercept and bread from the nine sums, shape (9, ...)."""
    cross = s[4] - s[1] * s[2] / s[0] - (s[7] - s[8] / s[0])
    bread = s[3] - s[1] ** 2 / s[0] - (s[5] - s[6] / s[0])
    value = cross / np.where(bread == 0, np.nan, bread)
    return value, (s[2] - value * s[1]) / s[0], bread


def _jackknife(values: Floats, whole: float) -> float:
    k = len(values)
    return math.sqrt((k - 1) / k * float(np.sum((values - whole) ** 2)))


def _strength(w: Floats, x: Floats, xx: Floats) -> float:
    share = 1 - w / np.sum(w)
    with np.errstate(divide="ignore"):
        return float(np.sum((x - np.sum(w * x) / np.sum(w)) ** 2 / (share * xx) - 1) / math.sqrt(2 * len(x)))
