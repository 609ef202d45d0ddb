"""Effects of the experiments of one link: the arrays from which everything about the link is computed.

Experiment k gives x_k (effect on the CPI, in increments), y_k (effect on the KPI) and their covariance
[[xx, xy], [xy, yy]]. For a value t of KPI per increment: u_k = y_k - t x_k and v_k = yy - 2 t xy + t^2 xx.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cpi_experiments.stats.student import normal_scores

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Effects of K experiments of one link, oriented so that the expected sign is +.

    Parameters
    ----------
    x, y, xx, xy, yy : array, shape (K,)
        Effects, variances and covariance.
    df : array, shape (K,)
        Degrees of freedom of the variances; infinite for the normal.
    sign : array, shape (K,)
        Declared sign of the lever on x: +1 or -1.
    move : array, shape (K,)
        Planned size of the move of x, above zero.
    """

    x: Floats
    y: Floats
    xx: Floats
    xy: Floats
    yy: Floats
    df: Floats
    sign: Floats
    move: Floats

    def __len__(self) -> int:
        return len(self.x)

    def only(self, keep: Floats) -> Effects:
        """Take some of the experiments (bool array, shape (K,))."""
        return Effects(**{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})

    def u(self, t: float | Floats) -> Floats:
        """Residuals at t (shape (...,), result (..., K)), each t statistic replaced by the normal one of its tail."""
        scale = np.sqrt(self.v(t))
        return np.asarray(scale * normal_scores((self.y - np.asarray(t)[..., None] * self.x) / scale, self.df))

    def v(self, t: float | Floats) -> Floats:
        """Variances of the residuals at t; shapes as in `u`."""
        at = np.asarray(t)[..., None]
        return np.asarray(self.yy - 2 * at * self.xy + at * at * self.xx)

    def purged(self, t: float | Floats) -> Floats:
        """First stages made independent of the residuals: x - [(xy - t xx) / v] u (Kleibergen 2002)."""
        return np.asarray(self.x - (self.xy - np.asarray(t)[..., None] * self.xx) / self.v(t) * self.u(t))
