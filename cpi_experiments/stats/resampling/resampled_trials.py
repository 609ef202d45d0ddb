"""Many experiments drawn from one history: effects, covariances and degrees of freedom of all of them at once.

The estimates are those of `cpi_experiments.stats.arm_means`: differences in means with Welch's variance, or the
leave-one-cluster-out jackknife with its degrees of freedom, within strata if there are any, after one adjustment by
covariates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from cpi_experiments.stats.cell_clusters import freedom_of_sums

Floats = np.ndarray

#: Units that are drawn at once.
_CHUNK = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Units that can be drawn, with what they would be under control and under treatment.

    Parameters
    ----------
    size : array, shape (u,)
        Rows of a unit: 1, or those of a cluster.
    control, treatment : array, shape (u, k)
        Sums of k outcomes over the rows of a unit.
    covariates : array, shape (u, q)
        Sums of q covariates.
    squares : array, shape (u, q, q)
        Sums of their products.
    with_control, with_treatment : array, shape (u, q, k)
        Sums of their products with the outcomes.
    strata : int array, shape (u,)
        Codes 0, 1, ...; all 0 without strata.
    clustered : bool
    """

    size: Floats
    control: Floats
    treatment: Floats
    covariates: Floats
    squares: Floats
    with_control: Floats
    with_treatment: Floats
    strata: Floats
    clustered: bool

    def __len__(self) -> int:
        return len(self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEffects:
    """Effects of R drawn experiments on k outcomes.

    Parameters
    ----------
    effect : array, shape (R, k)
    omega : array, shape (R, k, k)
        Sampling covariance; NaN where a cell had fewer than two units.
    df : array, shape (R, k)
    """

    effect: Floats
    omega: Floats
    df: Floats

    def p_value(self, j: int) -> Floats:
        """Two-sided p-values of the j-th effect, shape (R,); 1 where there is no variance."""
        return self.p_at(0.0, j=j)

    def critical(self, alpha: float, *, j: int) -> Floats:
        """Two-sided t quantiles of the j-th effect, shape (R,)."""
        return np.asarray(special.stdtrit(self.df[:, j], 1 - alpha / 2))

    def p_at(self, t: float, *, j: int = 1) -> Floats:
        """Anderson-Rubin p-values of a slope: the test that ``effect_j - t effect_0`` is zero, with the df of j."""
        variance = self.omega[:, j, j] - 2 * t * self.omega[:, 0, j] + t * t * self.omega[:, 0, 0]
        u = self.effect[:, j] - t * self.effect[:, 0] if t else self.effect[:, j]
        with np.errstate(divide="ignore", invalid="ignore"):
            found = 2 * special.stdtr(self.df[:, j], -np.abs(u) / np.sqrt(variance))
        return np.where(variance > 0, found, 1.0)


def history_of(
    control: Floats,
    treatment: Floats,
    *,
    covariates: Floats,
    strata: Floats | None = None,
    clusters: Floats | None = None,
) -> History:
    """Sum rows to the units that are randomised.

    Parameters
    ----------
    control, treatment : array, shape (n, k)
        Outcomes without and with the treatment.
    covariates : array, shape (n, q)
        Best centred and scaled; q may be 0.
    strata, clusters : int array, shape (n,), optional
        Codes 0, 1, ... without gaps; every cluster lies in one stratum.

    Examples
    --------
    >>> rows = np.array([[1.0], [2.0], [4.0]])
    >>> history_of(rows, rows + 1, covariates=np.zeros((3, 0)), clusters=np.array([0, 0, 1])).treatment.ravel()
    array([5., 5.])
    """
    squares = covariates[:, :, None] * covariates[:, None, :]
    crossed = [covariates[:, :, None] * values[:, None, :] for values in (control, treatment)]
    parts = [np.ones(len(control)), control, treatment, covariates, squares, *crossed]
    stratum = np.zeros(len(control), dtype=np.intp) if strata is None else strata
    if clusters is not None:
        groups = int(clusters.max()) + 1
        parts = [_summed(part, clusters, groups) for part in parts]
        first = np.zeros(groups, dtype=np.intp)
        first[clusters] = stratum
        stratum = first
    return History(
        size=parts[0], control=parts[1], treatment=parts[2], covariates=parts[3], squares=parts[4],
        with_control=parts[5], with_treatment=parts[6], strata=stratum, clustered=clusters is not None,
    )  # fmt: skip


def _summed(values: Floats, codes: Floats, groups: int) -> Floats:
    flat = values.reshape(len(values), -1)
    columns = [np.bincount(codes, weights=column, minlength=groups) for column in flat.T]
    shape = (groups, *values.shape[1:])
    return np.stack(columns, axis=1).reshape(shape) if columns else np.zeros(shape)


def drawn_effects(
    history: History, n_control: int, n_treatment: int, *, reps: int, rng: np.random.Generator
) -> TrialEffects:
    """Draw experiments with replacement, assign at random, and analyse each of them.

    Parameters
    ----------
    history : History
    n_control, n_treatment : int
        Units an arm. Units are drawn independently, so that which of them comes first is already random.
    reps : int
    rng : Generator

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> rows = rng.normal(size=(500, 1))
    >>> world = history_of(rows, rows + 0.5, covariates=np.zeros((500, 0)))
    >>> found = drawn_effects(world, 50, 50, reps=2000, rng=rng)
    >>> bool(abs(found.effect.mean() - 0.5) < 0.02)
    True
    """
    n = n_control + n_treatment
    at_once = max(_CHUNK // n, 1)
    parts = []
    for start in range(0, reps, at_once):
        drawn = rng.integers(len(history), size=(min(at_once, reps - start), n))
        parts.append(effects_of(history, drawn, n_control))
    return TrialEffects(
        effect=np.concatenate([part.effect for part in parts]),
        omega=np.concatenate([part.omega for part in parts]),
        df=np.concatenate([part.df for part in parts]),
    )


def effects_of(history: History, drawn: Floats, n_control: int) -> TrialEffects:
    """Analyse experiments that are drawn already.

    Parameters
    ----------
    history : History
    drawn : int array, shape (R, n)
        Units of each experiment; the first ``n_control`` are its control.
    n_control : int
    """
    first, second = drawn[:, :n_control], drawn[:, n_control:]
    size = history.size[drawn]
    values = np.concatenate([history.control[first], history.treatment[second]], axis=1)
    if history.covariates.shape[1]:
        values = values - _predicted(history, drawn, n_control, size, values)
    cells = _Cells(history.strata[drawn], n_control, int(history.strata.max()) + 1)
    return _effects(cells, size, values, clustered=history.clustered)


def _predicted(history: History, drawn: Floats, n_control: int, size: Floats, values: Floats) -> Floats:
    """Predict from covariates every unit's sums, about its experiment's mean; shape (R, n, k)."""
    total = size.sum(axis=1)
    x = history.covariates[drawn]
    mean = x.sum(axis=1) / total[:, None]
    squares = history.squares[drawn].sum(axis=1) - total[:, None, None] * mean[:, :, None] * mean[:, None, :]
    crossed = history.with_control[drawn[:, :n_control]].sum(axis=1)
    crossed = crossed + history.with_treatment[drawn[:, n_control:]].sum(axis=1)
    crossed = crossed - mean[:, :, None] * values.sum(axis=1)[:, None, :]
    slopes = np.linalg.pinv(squares, rcond=1e-12, hermitian=True) @ crossed
    return np.asarray((x - size[:, :, None] * mean[:, None, :]) @ slopes)


class _Cells:
    """Sums of units by arm and stratum of their experiment; cell 2s is the control of stratum s."""

    def __init__(self, strata: Floats, n_control: int, count: int) -> None:
        self.count, self.n_control, self.shape = count, n_control, strata.shape
        if count > 1:
            arm = np.arange(strata.shape[1]) >= n_control
            self.code = 2 * strata + arm + 2 * count * np.arange(len(strata))[:, None]

    def add(self, values: Floats) -> Floats:
        """(R, n) to (R, cells)."""
        if self.count == 1:
            parts = (values[:, : self.n_control], values[:, self.n_control :])
            return np.stack([part.sum(axis=1) for part in parts], axis=1)
        length = 2 * self.count * self.shape[0]
        flat = np.bincount(self.code.ravel(), weights=values.ravel(), minlength=length)
        return flat.reshape(self.shape[0], -1)

    def spread(self, values: Floats) -> Floats:
        """(R, cells) to (R, n)."""
        if self.count == 1:
            n = self.shape[1]
            return np.repeat(values, [self.n_control, n - self.n_control], axis=1)
        return np.asarray(values.ravel()[self.code])


def _effects(cells: _Cells, size: Floats, values: Floats, *, clustered: bool) -> TrialEffects:
    k = values.shape[2]
    rows, units = cells.add(size), cells.add(np.ones(size.shape))
    used = rows.reshape(len(rows), -1, 2).sum(axis=2)
    weight = np.repeat(used / used.sum(axis=1, keepdims=True), 2, axis=1)
    sign = np.tile([-1.0, 1.0], rows.shape[1] // 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = [cells.add(values[:, :, j]) / rows for j in range(k)]
        left = cells.spread(rows) - size
        shifts = [(values[:, :, j] - size * cells.spread(means[j])) / left for j in range(k)]
        factor = weight**2 * (units - 1) / units
        share = np.empty((k, k, *rows.shape))
        for i in range(k):
            for j in range(i, k):
                share[i, j] = share[j, i] = factor * cells.add(shifts[i] * shifts[j])
        # strata that an experiment did not meet weigh nothing; a cell with one unit has no variance
        share = np.where(weight > 0, np.where(units >= 2, share, np.nan), 0.0)
        omega = share.sum(axis=3)
        effect = [np.where(weight > 0, sign * weight * mean, 0.0).sum(axis=1) for mean in means]
        own = np.stack([share[j, j] for j in range(k)])
        freedom = freedom_of_sums(*(cells.add((size / left) ** p) for p in (1, 2, 4))) if clustered else units - 1
        parts = np.where(weight > 0, (own / own.sum(axis=2, keepdims=True)) ** 2 / freedom, 0.0)
        df = 1 / parts.sum(axis=2)
    return TrialEffects(effect=np.stack(effect, axis=1), omega=np.moveaxis(omega, 2, 0), df=np.asarray(df.T))
