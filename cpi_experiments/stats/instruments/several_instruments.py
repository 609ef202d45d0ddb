"""One ratio from several instruments: the joint test, two-stage least squares, whether they agree, strength.

Everything follows from the effects of K instruments on the first and on the second outcome and their joint covariance
``omega``, of shape (2K, 2K). With ``u(t) = reduced - t * first`` and ``V(t)`` its covariance, the statistic is
``T(t) = u' V^-1 u``: the Anderson-Rubin test at ``t``, and at its smallest the test that the instruments agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.student import quantile
from cpi_experiments.stats.student import upper_tail as t_tail

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class JointEffects:
    """Effects of K instruments on two outcomes.

    Parameters
    ----------
    first, reduced : array, shape (K,)
        Effects on the outcome that causes and on the one that follows.
    omega : array, shape (2K, 2K)
        Sampling covariance of ``[first, reduced]``.
    weights : array, shape (K, K)
        Cross-products of the instruments about their means (or about what covariates predict), over the rows: what
        two-stage least squares weights by.
    df : float
        Degrees of freedom of the variances; infinite for the normal.

    Raises
    ------
    EstimationError
        If shapes differ or a number is missing.
    """

    first: Floats
    reduced: Floats
    omega: Floats
    weights: Floats
    df: float = math.inf

    def __post_init__(self) -> None:
        k = len(self.first)
        if self.reduced.shape != (k,) or self.omega.shape != (2 * k, 2 * k) or self.weights.shape != (k, k):
            raise EstimationError(
                f"{k} effects on the first outcome, {len(self.reduced)} on the second, and a covariance of "
                f"{len(self.omega)}",
                advice="K instruments need K effects on each outcome and a joint covariance of 2K by 2K.",
            )
        if not all(np.isfinite(each).all() for each in (self.first, self.reduced, self.omega, self.weights)):
            raise EstimationError("an effect or a variance is not a number")

    @property
    def count(self) -> int:
        """How many instruments there are."""
        return len(self.first)

    def variance(self, theta: float) -> Floats:
        """Covariance of ``reduced - theta * first``, shape (K, K)."""
        k = self.count
        cross = self.omega[:k, k:]
        return np.asarray(self.omega[k:, k:] - theta * (cross + cross.T) + theta**2 * self.omega[:k, :k])

    def statistic(self, theta: float) -> float:
        """Return the Anderson-Rubin statistic ``T(theta)``.

        Examples
        --------
        >>> two = JointEffects(first=np.ones(2), reduced=np.array([1.0, 2.0]), omega=np.eye(4), weights=np.eye(2))
        >>> two.statistic(0.0), two.statistic(1.0)
        (5.0, 0.5)
        """
        u = self.reduced - theta * self.first
        return float(u @ np.linalg.solve(self.variance(theta), u))


def joint_critical(count: int, df: float, *, confidence_level: float = 0.95) -> float:
    """Critical value of ``T`` for K instruments: Hotelling's, which is the squared t quantile for one.

    ``K df / (df - K + 1) * F(level; K, df - K + 1)``, chi-squared with K for infinite ``df``.

    Raises
    ------
    EstimationError
        If the degrees of freedom are too few for so many instruments.

    References
    ----------
    Hotelling (1931), Ann. Math. Stat. 2; Krishnamoorthy, Yu (2004), Stat. Prob. Letters 66, for unequal covariances.

    Examples
    --------
    >>> round(joint_critical(1, 10) ** 0.5, 6), round(joint_critical(3, math.inf), 4)
    (2.228139, 7.8147)
    """
    if count == 1:
        return quantile(0.5 + confidence_level / 2, df) ** 2
    from scipy import special  # noqa: PLC0415 - several instruments only; its import takes longer than a comparison

    if math.isinf(df):
        return float(special.chdtri(count, 1 - confidence_level))
    rest = _rest(count, df)
    return count * df / rest * float(special.fdtri(count, rest, confidence_level))


def joint_p_value(statistic: float, count: int, df: float) -> float:
    """p-value of ``T`` under `joint_critical`'s distribution.

    Examples
    --------
    >>> round(joint_p_value(7.814728, 3, math.inf), 6)
    0.05
    """
    if count == 1:
        return 2 * t_tail(math.sqrt(max(statistic, 0.0)), df)
    from scipy import special  # noqa: PLC0415 - several instruments only

    if math.isinf(df):
        return float(special.chdtrc(count, statistic))
    rest = _rest(count, df)
    return float(special.fdtrc(count, rest, statistic * rest / (count * df)))


def _rest(count: int, df: float) -> float:
    rest = df - count + 1
    if not rest >= 1:
        raise EstimationError(
            f"{df:.3g} degrees of freedom are too few for {count} instruments",
            advice="Randomise more units or clusters, or compare fewer arms.",
        )
    return rest


def two_stage(effects: JointEffects) -> tuple[float, float]:
    """Two-stage least squares from the effects of the instruments, and its robust standard error.

    ``x'Wy / x'Wx`` with the instruments' cross-products W: an average of the instruments' own ratios.

    Examples
    --------
    >>> two = JointEffects(first=np.array([1.0, 2.0]), reduced=np.array([2.0, 4.0]), omega=np.eye(4) / 400,
    ...                    weights=np.eye(2))
    >>> theta, std_error = two_stage(two)
    >>> round(theta, 6), round(std_error, 4)
    (2.0, 0.05)
    """
    direction = effects.weights @ effects.first
    size = float(direction @ effects.first)
    if not size > 0:
        return math.nan, math.nan
    theta = float(direction @ effects.reduced) / size
    return theta, math.sqrt(max(float(direction @ effects.variance(theta) @ direction), 0.0)) / size


def disagreement(effects: JointEffects) -> tuple[float, float]:
    """Hansen's statistic with the covariance taken at two-stage least squares, and its p-value.

    `cpi_experiments.stats.instruments.anderson_rubin.best_agreement` takes the covariance at every ratio instead.

    References
    ----------
    Hansen (1982), Econometrica 50.

    Examples
    --------
    >>> two = JointEffects(first=np.array([1.0, 2.0]), reduced=np.array([2.0, 4.0]), omega=np.eye(4) / 400,
    ...                    weights=np.eye(2))
    >>> disagreement(two)[0] < 1e-20
    True
    """
    if effects.count == 1:
        return math.nan, math.nan
    theta = two_stage(effects)[0]
    inverse = np.linalg.inv(effects.variance(theta))
    efficient = float(effects.first @ inverse @ effects.reduced) / float(effects.first @ inverse @ effects.first)
    u = effects.reduced - efficient * effects.first
    statistic = float(u @ inverse @ u)
    return statistic, joint_p_value(statistic, effects.count - 1, effects.df)


def effective_f(effects: JointEffects) -> float:
    """Effective first-stage F: ``x'Wx / tr(Omega_xx W)``, the robust F for one instrument.

    References
    ----------
    Montiel Olea, Pflueger (2013), JBES 31: a robust test for weak instruments.

    Examples
    --------
    >>> two = JointEffects(first=np.array([1.0, 2.0]), reduced=np.ones(2), omega=np.eye(4) / 4, weights=np.eye(2))
    >>> effective_f(two)
    10.0
    """
    k = effects.count
    noise = float(np.trace(effects.omega[:k, :k] @ effects.weights))
    signal = float(effects.first @ effects.weights @ effects.first)
    return signal / noise if noise > 0 else math.inf
