"""Several CPIs moved by the same levers: the debiased ratio of each with the others held fixed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.combining.debiased import STRONG
from cpi_experiments.stats.combining.heterogeneity import paule_mandel

Floats = np.ndarray

#: Experiments needed beyond the number of CPIs.
SPARE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralCauses:
    """Debiased effects of m CPIs on one KPI.

    Parameters
    ----------
    values, std_errors : array, shape (m,)
        KPI per increment of each CPI, the others held fixed; jackknife errors over experiments.
    covariance : array, shape (m, m)
    df : float
        K - m.
    strength : float
        Smallest eigenvalue of the corrected moves in units of their noise times sqrt(K / 2): kappa of the combination
        of CPIs that the levers move least. 4 or more for an answer.
    """

    values: Floats
    std_errors: Floats
    covariance: Floats
    df: float
    strength: float

    @property
    def informative(self) -> bool:
        """Whether the levers can tell the CPIs apart."""
        return self.strength >= STRONG and bool(np.all(np.isfinite(self.std_errors)))


def several_causes(x: Floats, y: Floats, *, xx: Floats, xy: Floats, yy: Floats) -> SeveralCauses:
    """Solve sum(w (x x' - xx)) theta = sum(w (x y - xy)) over K experiments.

    Parameters
    ----------
    x : array, shape (K, m)
        Effects of the levers on m CPIs, in increments.
    y : array, shape (K,)
        Effects on the KPI.
    xx : array, shape (K, m, m)
        Sampling covariances of the effects on the CPIs.
    xy : array, shape (K, m)
        Covariances with the effect on the KPI.
    yy : array, shape (K,)

    Raises
    ------
    EstimationError
        If there are fewer than m + 5 experiments.

    References
    ----------
    Wu, Kang, Ye (2025), Biometrika: a more robust approach to multivariable Mendelian randomization.

    Examples
    --------
    >>> x = np.array([[3.0, 1], [1, 3], [4, 2], [2, 5], [5, 1], [1, 1], [2, 4]])
    >>> found = several_causes(x, x @ [0.5, 0.1], xx=np.tile(np.eye(2) / 100, (7, 1, 1)), xy=np.zeros((7, 2)),
    ...                        yy=np.full(7, 0.01))
    >>> found.values.round(3).tolist(), found.df, found.informative
    ([0.501, 0.1], 5.0, True)
    """
    k, m = x.shape
    if k < m + SPARE:
        raise EstimationError(
            f"{k} experiments are too few for {m} CPIs",
            advice=f"{m + SPARE} are needed to tell their effects apart; with fewer, credit the CPIs together.",
        )
    w = _weights(x, xx, yy)
    a = w[:, None] * (x * y[:, None] - xy)
    b = w[:, None, None] * (x[:, :, None] * x[:, None, :] - xx)
    bread = b.sum(axis=0)
    strength = _strength(x, xx)
    rest = bread - b
    if np.linalg.eigvalsh(bread)[0] <= 0 or np.linalg.eigvalsh(rest)[:, 0].min() <= 0:
        nothing = np.full(m, math.nan)
        return SeveralCauses(values=nothing, std_errors=np.full(m, math.inf), covariance=np.full((m, m), math.inf),
                             df=float(k - m), strength=min(strength, 0.0))  # fmt: skip
    values = np.linalg.solve(bread, a.sum(axis=0))
    moved = np.linalg.solve(rest, (a.sum(axis=0) - a)[..., None])[..., 0] - values
    covariance = (k - 1) / k * moved.T @ moved
    return SeveralCauses(
        values=values,
        std_errors=np.sqrt(np.diag(covariance)),
        covariance=covariance,
        df=float(k - m),
        strength=strength,
    )


def _weights(x: Floats, xx: Floats, yy: Floats) -> Floats:
    """1 / yy times m / sum over CPIs of (1 + noise / typical squared move), which is constant for noise alike."""
    noise = np.einsum("kii->ki", xx)
    relative = np.zeros(len(yy))
    for i in range(x.shape[1]):
        own = noise[:, i]
        typical = paule_mandel(x[:, i] ** 2, own, total=len(yy)) if np.all(own > 0) else float(np.mean(x[:, i] ** 2))
        relative += (typical + own) / np.max(typical + own)
    w = 1 / (yy * relative)
    return np.asarray(w / np.max(w))


def _strength(x: Floats, xx: Floats) -> float:
    """Smallest eigenvalue of mean(xx)^(-1/2) mean(x x' - xx) mean(xx)^(-1/2), times sqrt(K / 2)."""
    noise = xx.mean(axis=0)
    size = np.sqrt(np.diag(noise))
    if not np.all(size > 0):
        return math.inf
    signal = (x[:, :, None] * x[:, None, :] - xx).mean(axis=0) / np.outer(size, size)
    values, vectors = np.linalg.eigh(noise / np.outer(size, size))
    root = vectors / np.sqrt(np.maximum(values, 1e-12))
    return float(np.linalg.eigvalsh(root.T @ signal @ root)[0] * math.sqrt(len(x) / 2))
