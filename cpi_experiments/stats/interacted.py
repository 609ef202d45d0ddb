"""Covariate adjustment with coefficients of each arm's own (Lin 2013), and the classical tests, from moments."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.adjustment import COLLINEAR
from cpi_experiments.stats.arm_means import ArmMeans, means_of_cells
from cpi_experiments.stats.student import satterthwaite

if TYPE_CHECKING:
    from cpi_experiments.stats.cells import Cells

Floats = np.ndarray
#: Degrees of freedom that the residuals of every arm must keep; below it coverage was found to fall short.
LEAST_DF = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class MeansWithDf(ArmMeans):
    """Means whose degrees of freedom do not follow from the two arms' variances alone.

    Parameters
    ----------
    df_test : float
        Infinite for the normal.
    """

    df_test: float

    def df_of(self, variances: Floats, j: int) -> float:  # noqa: ARG002 - the same for every contribution
        """Degrees of freedom of the test."""
        return self.df_test


@dataclass(frozen=True, slots=True, kw_only=True)
class Interacted:
    """What `interacted` found.

    Parameters
    ----------
    means : ArmMeans
        Value 0 is adjusted, value 1 is as it was.
    coefficients : array, shape (2, q)
        Of the control and of the treatment.
    condition : float
        Largest condition number of the scaled cross-products of an arm.
    varies : bool
        Whether anything is left to vary within the arms once the covariates are taken out.
    """

    means: ArmMeans
    coefficients: Floats
    condition: float
    varies: bool


def interacted(cells: Cells) -> Interacted:
    r"""Adjust one outcome by covariates with a coefficient vector for each arm.

    With ``b_a`` the least squares slopes within arm a (common to its strata), ``w_s = n_s / n`` and means by cell::

        mean_a = sum_s w_s (y_sa - b_a' (x_sa - x_s))                      effect = mean_1 - mean_0
        var    = sum_s w_s^2 sum_a sigma_sa^2 (1 / n_sa) + d_a' (X_a'X_a)^-1 d_a sigma_a^2
                 + sum_s w_s^2 (b_1 - b_0)' S_s (b_1 - b_0) / n_s

    with ``d_a = sum_s w_s (x_sa - x_s)``. The first line of the variance is that of two least squares fits predicted
    at the mean of all units (residual variance with n_a - cells - q degrees of freedom); the second is there because
    that mean is itself of a sample: the estimand is the effect in the population that the units were drawn from.
    Degrees of freedom: Satterthwaite over the arms' residuals and the covariates, at most those of all residuals.

    Parameters
    ----------
    cells : Cells
        The outcome, then q covariates that all vary; not clustered.

    Raises
    ------
    EstimationError
        If covariates are collinear within an arm, or an arm has too few units for its own coefficients.

    References
    ----------
    Lin (2013), Annals of Applied Statistics 7; Negi, Wooldridge (2021), Econometric Reviews 40 (population term).

    Examples
    --------
    >>> from cpi_experiments.stats.cells import cells_of_rows
    >>> x = np.arange(40.0) % 10
    >>> y = np.where(np.arange(40) < 20, x, 3 + 2 * x) + np.arange(40) % 3
    >>> found = interacted(cells_of_rows(np.column_stack([y, x]), np.arange(40) >= 20))
    >>> found.coefficients.round(2).ravel().tolist(), found.means.effect.round(2).tolist()
    ([0.99, 2.02], [7.55, 7.55])
    """
    cells = cells.cleaned()
    n, q = cells.n, cells.means.shape[1] - 1
    strata = (n[0::2] + n[1::2])[:, None]
    weight = strata[:, 0] / n.sum()
    slopes, inverses, df, condition = _slopes(cells, q)
    x = cells.means[:, 1:]
    centre = (n[0::2, None] * x[0::2] + n[1::2, None] * x[1::2]) / strata
    apart = x - np.repeat(centre, 2, axis=0)
    raw = np.array([weight @ cells.means[arm::2, 0] for arm in (0, 1)])
    adjusted = raw - [weight @ (apart[arm::2] @ slopes[arm]) for arm in (0, 1)]
    scale = (np.array([_units(n, arm) - len(weight) for arm in (0, 1)])) / df
    left = _residual_squares(cells, slopes)
    residual = np.array(
        [
            scale[a] * np.sum(weight**2 * left[a::2] / (n[a::2] - 1) / n[a::2])
            + (weight @ apart[a::2]) @ inverses[a] @ (weight @ apart[a::2]) * left[a::2].sum() / df[a]
            for a in (0, 1)
        ]
    )
    spread = _of_covariates(cells, weight)
    moved = slopes[1] - slopes[0]
    population = float(moved @ spread @ moved)
    parts = np.array([*residual, population])
    noise = sum(
        float(np.sum(cells.noise[a::2, 0]) + slopes[a] ** 2 @ cells.noise[a::2, 1:].sum(axis=0)) for a in (0, 1)
    )
    return Interacted(
        means=MeansWithDf(
            control=np.array([adjusted[0], raw[0]]) + cells.origin[0],
            treatment=np.array([adjusted[1], raw[1]]) + cells.origin[0],
            effect=np.array([adjusted[1] - adjusted[0], raw[1] - raw[0]]),
            cov=_joint(residual, slopes, spread, cells, weight),
            df_control=np.full(2, df[0]),
            df_treatment=np.full(2, df[1]),
            df_clusters=math.nan,
            n_control=int(_units(n, 0)),
            n_treatment=int(_units(n, 1)),
            df_test=min(satterthwaite(parts, np.array([*df, n.sum() - len(n)])), float(df.sum())),
        ),
        coefficients=slopes,
        condition=condition,
        varies=bool(left.sum() > noise + 64 * np.finfo(float).eps * cells.cross[:, 0, 0].sum()),
    )


def _units(n: Floats, arm: int) -> float:
    return float(n[arm::2].sum())


def _slopes(cells: Cells, q: int) -> tuple[Floats, Floats, Floats, float]:
    """Return slopes (2, q), inverse cross-products (2, q, q), residual df (2,) and the condition number."""
    slopes, inverses, df, worst = np.zeros((2, q)), np.zeros((2, q, q)), np.zeros(2), 1.0
    for arm, name in enumerate(("control", "treatment")):
        df[arm] = _units(cells.n, arm) - len(cells.n) // 2 - q
        if df[arm] < LEAST_DF:
            raise EstimationError(
                f"the {name} arm has {_units(cells.n, arm):g} units for {q} coefficients of its own",
                advice=f"It needs at least {LEAST_DF + q + len(cells.n) // 2:g}; leave out covariates, or use CUPED.",
            )
        total = cells.cross[arm::2].sum(axis=0)
        size = np.sqrt(np.diag(total)[1:])
        if not np.all(size > 0):
            raise EstimationError(
                f"a covariate is constant within the {name} arm", advice="Leave it out, or use CUPED."
            )
        scaled = total[1:, 1:] / np.outer(size, size)
        worst = max(worst, float(np.linalg.cond(scaled)))
        if not worst < COLLINEAR:
            raise EstimationError("covariates are collinear", advice="Leave out those that the others already contain.")
        inverses[arm] = np.linalg.inv(scaled) / np.outer(size, size)
        slopes[arm] = np.linalg.solve(scaled, total[1:, 0] / size) / size
    return slopes, inverses, df, worst


def _residual_squares(cells: Cells, slopes: Floats) -> Floats:
    """Sum of squares of ``y - b_a' x`` about the cell's mean, shape (c,)."""
    turn = np.hstack([np.ones((2, 1)), -slopes])[np.arange(len(cells.n)) % 2]
    return np.asarray(np.maximum(np.einsum("ci,cij,cj->c", turn, cells.cross, turn), 0.0))


def _of_covariates(cells: Cells, weight: Floats) -> Floats:
    """Return the sampling covariance of the mean of the covariates over all units, strata fixed, shape (q, q)."""
    n, x = cells.n, cells.means[:, 1:]
    strata = n[0::2] + n[1::2]
    within = cells.cross[0::2, 1:, 1:] + cells.cross[1::2, 1:, 1:]
    between = x[1::2] - x[0::2]
    within = within + (n[0::2] * n[1::2] / strata)[:, None, None] * between[:, :, None] * between[:, None, :]
    return np.asarray(np.sum((weight**2 / strata / (strata - 1))[:, None, None] * within, axis=0))


def _joint(residual: Floats, slopes: Floats, spread: Floats, cells: Cells, weight: Floats) -> Floats:
    """Return the sampling covariance of control (adjusted, raw) and treatment (adjusted, raw).

    A raw mean is the residuals' mean plus the slopes times its arm's covariates; those covary with the mean over all
    units as much as that mean varies itself.
    """
    cov = np.zeros((4, 4))
    for arm in (0, 1):
        at = 2 * arm
        own = float(np.sum(weight**2 * cells.cross[arm::2, 0, 0] / (cells.n[arm::2] - 1) / cells.n[arm::2]))
        predicted = float(slopes[arm] @ spread @ slopes[arm])
        cov[at, at] = residual[arm] + predicted
        cov[at, at + 1] = cov[at + 1, at] = min(residual[arm] + predicted, math.sqrt(cov[at, at] * own))
        cov[at + 1, at + 1] = own
    both = float(slopes[0] @ spread @ slopes[1])
    for i, j in ((0, 2), (0, 3), (1, 2)):
        cov[i, j] = cov[j, i] = both
    return cov


def pooled_means(cells: Cells) -> ArmMeans:
    """Return the means with Student's pooled variance: one variance for both arms, t with n - 2.

    Assumes equal variances: with unequal arms it rejects too often or too rarely where they differ (Welch does not).

    Parameters
    ----------
    cells : Cells
        Of one stratum, not clustered.

    Examples
    --------
    >>> from cpi_experiments.stats.cells import cells_of_rows
    >>> rows = np.array([[1.0], [2.0], [3.0], [5.0], [4.0]])
    >>> means = pooled_means(cells_of_rows(rows, np.array([False, False, True, True, True])))
    >>> means.omega.round(6).tolist(), means.df(0)
    ([[0.694444]], 3.0)
    """
    cells = cells.cleaned()
    n = cells.n
    pooled = cells.cross.sum(axis=0) / (n.sum() - 2)
    return _tested(replace(cells, cross=pooled * (n - 1)[:, None, None]), df=float(n.sum() - 2))


def normal_means(cells: Cells) -> ArmMeans:
    """Return the means for the z test: unpooled variances with divisor n, the normal quantile.

    For proportions the variance is p (1 - p) / n, the textbook's.

    Examples
    --------
    >>> from cpi_experiments.stats.cells import cells_of_rows
    >>> rows = np.array([[0.0], [1.0], [1.0], [1.0], [0.0]])
    >>> normal_means(cells_of_rows(rows, np.array([False, False, True, True, True]))).omega.round(6).tolist()
    [[0.199074]]
    """
    cells = cells.cleaned()
    return _tested(replace(cells, cross=cells.cross * ((cells.n - 1) / cells.n)[:, None, None]), df=math.inf)


def _tested(cells: Cells, *, df: float) -> MeansWithDf:
    found = means_of_cells(cells)
    return MeansWithDf(**{name: getattr(found, name) for name in ArmMeans.__slots__}, df_test=df)
