"""The K-score: a test of one ratio from many experiments that no weakness of the moves can fool, and its set.

The first stage p_k is made independent of the residual u_k (see `Effects.purged`), so weights built from it cost no
validity. With few experiments the errors are those of the variances; with many, what the experiments themselves show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from cpi_experiments.stats.combining.debiased import typical_move
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.combining.heterogeneity import scale_of
from cpi_experiments.stats.student import quantile

Floats = np.ndarray

#: Where the set is searched, as shares of the way to infinity. With many experiments it is narrow, and a step costs.
_SHARES = np.linspace(0, 1, 200)
_DENSE_SHARES = np.linspace(0, 1, 64) ** 2


@dataclass(frozen=True, slots=True, kw_only=True)
class KScore:
    """A K-score as a function of the ratio.

    Parameters
    ----------
    effects : Effects
    at : float
        Ratio of least disagreement: the set is the piece around it.
    critical : float
        Quantile that goes with the error of the variances.
    tau_squared : float
        Variance of direct effects that is added to every residual; 0 for the fixed-effect form.
    steady : array, shape (K,)
        Factors of the first stages: 1 for the fixed-effect form, 1 / (m + xx) for many experiments.
    critical_seen : float
        Quantile that goes with the error that the residuals show; 0 for the fixed-effect form, which has none.
    """

    effects: Effects
    at: float
    critical: float
    tau_squared: float
    steady: Floats
    critical_seen: float = 0.0

    def excess(self, t: float | Floats) -> Floats:
        """Score less what it may be by chance, at t (shape (...,)): above zero where t is rejected."""
        score, most = self._parts(t)
        return np.asarray(np.abs(score) - most)

    def ratio(self, t: float) -> float:
        """Score in multiples of what it may be by chance, with its sign: beyond 1 (or -1) where t is rejected."""
        score, most = self._parts(t)
        return float(score / most) if most > 0 else 0.0

    def _parts(self, t: float | Floats) -> tuple[Floats, Floats]:
        u = self.effects.u(t)
        at = np.asarray(t)[..., None]
        variance = self.effects.v(t) + self.tau_squared
        p = self.steady * (self.effects.x - (self.effects.xy - at * self.effects.xx) / variance * u)
        information = p**2 / variance
        score, total = np.sum(p * u / variance, axis=-1), np.sum(information, axis=-1)
        most = self.critical * np.sqrt(total)
        if self.critical_seen:
            seen = (self.effects.y - self.at * self.effects.x) ** 2 / variance
            share = np.minimum(information / np.maximum(total, 1e-300)[..., None], 1 - 1e-9)
            most = np.maximum(
                most, self.critical_seen * np.sqrt(np.sum(information * seen / (1 - share) ** 2, axis=-1))
            )
        return np.asarray(score), np.asarray(most)


def fixed_effect_score(effects: Effects, *, at: float, confidence_level: float = 0.95) -> KScore:
    """K-score of few experiments: errors from their variances alone, exact if all share one ratio.

    References
    ----------
    Kleibergen (2002), Econometrica 70.
    """
    return KScore(
        effects=effects,
        at=at,
        critical=quantile(0.5 + confidence_level / 2, math.inf),
        tau_squared=0.0,
        steady=np.ones(len(effects)),
    )


def overdispersed_score(effects: Effects, *, at: float, tau_squared: float, confidence_level: float = 0.95) -> KScore:
    """K-score of many experiments: the larger of two errors, for direct effects and for ratios that differ.

    One error is that of the variances with ``tau_squared`` added (normal quantile), the other what the residuals at
    ``at`` show, each divided by one less its leverage (t quantile with K - 1).

    Parameters
    ----------
    effects : Effects
        Ten or more.
    at, tau_squared : float
        Ratio of least disagreement and Paule-Mandel variance there.
    confidence_level : float

    Notes
    -----
    ``tau_squared`` is one number for all t: solved again at every t it would keep the score below sqrt(K - 1). First
    stages are shrunken by 1 / (m + xx), so that an experiment whose move is mostly noise does not lead.

    References
    ----------
    Kleibergen (2002), Econometrica 70; MacKinnon, White (1985), J. Econometrics 29 (HC3).
    """
    level = 0.5 + confidence_level / 2
    factor = 1 / (typical_move(effects) + effects.xx) if np.any(effects.xx > 0) else np.ones(len(effects))
    return KScore(
        effects=effects,
        at=at,
        critical=quantile(level, math.inf),
        tau_squared=tau_squared,
        steady=factor / np.max(factor),
        critical_seen=quantile(level, len(effects) - 1),
    )


def score_set(score: KScore) -> tuple[float, float]:
    """Piece of the set around the ratio of least disagreement; the line if it reaches infinity on either side.

    The score also vanishes where the experiments disagree most, so the set always has a second piece; that one is not
    reported. A piece that reaches infinity goes on at the other end.
    """
    scale = scale_of(score.effects)
    origin = math.atan(score.at / scale)
    if score.excess(score.at) > 0:  # direct effects moved the score: only with very weak moves
        return -math.inf, math.inf
    shares = _DENSE_SHARES if score.critical_seen else _SHARES
    ends = []
    for side in (-1, 1):
        grid = origin + shares * (side * (math.pi / 2 - 1e-4) - origin)
        outside = np.flatnonzero(score.excess(scale * np.tan(grid[1:])) > 0)
        if not len(outside):
            return -math.inf, math.inf
        j = int(outside[0])
        found = optimize.brentq(
            lambda angle: float(score.excess(scale * math.tan(angle))), grid[j], grid[j + 1], xtol=1e-13
        )
        ends.append(scale * math.tan(float(found)))
    return ends[0], ends[1]
