"""Customers of two arms, many trials at a time; every trial's five numbers by the cores that the doors use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.estimate import EffectPair
from cpi_experiments.randomized.effects.itt import adjusted_by
from cpi_experiments.stats.arm_means import ArmMeans, means_of_cells
from cpi_experiments.stats.cell_clusters import ClusterMoments, by_cell, cluster_moments, place_clusters
from cpi_experiments.stats.cells import Cells
from cpi_experiments.stats.instruments.fieller import fieller_set
from cpi_experiments.stats.student import p_value, quantile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Array = np.ndarray
#: Control and treatment, each of shape (trials, customers, columns).
Arms = tuple[Array, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTrials:
    """One experiment, drawn many times.

    Parameters
    ----------
    arms : tuple of array, each of shape (trials, customers, 2 + q)
        Control and treatment; columns CPI, KPI and q covariates. Sizes are the same in all trials.
    clusters : tuple of int array, each of shape (groups,), optional
        Customers of every randomised group; the rows of an arm are in the order of their groups.
    increment : float
        Raw CPI units of one step.
    planned_move : float
        Of the CPI, in steps.
    lever_sign : int
        Declared sign of that move.
    """

    arms: Arms
    clusters: tuple[Array, Array] | None = None
    increment: float = 1.0
    planned_move: float = 1.0
    lever_sign: int = 1

    @property
    def trials(self) -> int:
        """How often the experiment was drawn."""
        return len(self.arms[0])

    @property
    def covariates(self) -> tuple[str, ...]:
        """Names of the columns after CPI and KPI."""
        return tuple(f"x{j}" for j in range(self.arms[0].shape[2] - 2))

    def pairs(self) -> list[EffectPair]:
        """Five numbers of every trial, counted in steps."""
        return pairs_of(self.arms, clusters=self.clusters, covariates=self.covariates, increment=self.increment)

    def by_customer(self) -> UnitTrials:
        """Return the same trials as if every customer had been randomised on their own."""
        return UnitTrials(
            arms=self.arms, increment=self.increment, planned_move=self.planned_move, lever_sign=self.lever_sign
        )


def pairs_of(
    arms: Arms, *, clusters: tuple[Array, Array] | None = None, covariates: Sequence[str] = (), increment: float = 1.0
) -> list[EffectPair]:
    """Five numbers of every trial as `cpi_experiments.link_effect` computes them.

    Parameters
    ----------
    arms : Arms
        Columns CPI, KPI, covariates.
    clusters : tuple of int array, optional
        As in `UnitTrials`.
    covariates : sequence of str
        Names of the last columns.
    increment : float

    Returns
    -------
    list of EffectPair

    Examples
    --------
    >>> control = np.array([[[0.0, 1.0], [2.0, 2.0], [1.0, 3.0]]])
    >>> pair, = pairs_of((control, control + [2.0, 3.0]), increment=2.0)
    >>> pair.effect_cpi, pair.effect_kpi, round(pair.var_kpi, 6), pair.df
    (1.0, 3.0, 0.666667, 4.0)
    """
    return [pair_of(means, increment) for means in means_of_trials(arms, clusters=clusters, covariates=covariates)]


def pair_of(means: ArmMeans, increment: float = 1.0) -> EffectPair:
    """Five numbers from the means of two arms, whose first columns are CPI and KPI."""
    omega = means.omega
    pair = EffectPair(
        effect_cpi=float(means.effect[0]),
        effect_kpi=float(means.effect[1]),
        var_cpi=float(omega[0, 0]),
        var_kpi=float(omega[1, 1]),
        cov=float(omega[0, 1]),
        df=means.df(1),
    )
    return pair.scaled(increment)


def means_of_trials(
    arms: Arms, *, clusters: tuple[Array, Array] | None = None, covariates: Sequence[str] = ()
) -> Iterator[ArmMeans]:
    """Yield the means of the two arms of every trial, after the adjustment by covariates if there are any."""
    k = arms[0].shape[2] - len(covariates)
    for cells in cells_of_trials(arms, clusters=clusters):
        yield means_of_cells(adjusted_by(cells, k, covariates).cells if covariates else cells)


def cells_of_trials(arms: Arms, *, clusters: tuple[Array, Array] | None = None) -> Iterator[Cells]:
    """Yield the moments of every trial: those of `cpi_experiments.stats.cells.cells_of_rows`, all trials at once."""
    trials, _, k = arms[0].shape
    n = np.array([float(a.shape[1]) for a in arms])
    origin = arms[0][:, 0].copy()
    centred = [a - origin[:, None] for a in arms]
    means = np.stack([a.mean(axis=1) for a in centred], axis=1)
    residuals = [a - means[:, j, None] for j, a in enumerate(centred)]
    cross = np.stack([r.transpose(0, 2, 1) @ r for r in residuals], axis=1)
    squares = np.diagonal(cross, axis1=2, axis2=3) + n[:, None] * means**2
    grouped = None if clusters is None else _grouped(residuals, means, clusters, n)
    zero, reals = np.zeros((2, k)), np.zeros(k)
    for i in range(trials):
        cells = Cells(
            n=n,
            origin=origin[i],
            means=means[i],
            cross=cross[i],
            noise=zero,
            unit_noise=zero,
            clusters=None if grouped is None else grouped[i][0],
        )
        yield cells.with_noise(squares[i], unit=reals, of_clusters=None if grouped is None else grouped[i][1])


def _grouped(
    residuals: list[Array], means: Array, clusters: tuple[Array, Array], n: Array
) -> list[tuple[ClusterMoments, Array]]:
    """Moments of the groups of every trial, and the squares of their means."""
    counts = [len(sizes) for sizes in clusters]
    cell = np.repeat([0, 1], counts)
    places = place_clusters(np.arange(sum(counts)), cell, 2)
    size = np.concatenate(clusters).astype(float)
    totals = np.concatenate(
        [np.add.reduceat(r, np.cumsum(sizes) - sizes, axis=1) for r, sizes in zip(residuals, clusters, strict=True)],
        axis=1,
    )
    own = totals / size[:, None] + means[:, cell]
    return [
        (cluster_moments(places, size, n, totals[i]), by_cell(own[i] ** 2 * size[:, None], cell, 2))
        for i in range(len(totals))
    ]


def p_values_of_trials(
    arms: Arms, *, clusters: tuple[Array, Array] | None = None, covariates: Sequence[str] = ()
) -> Array:
    """Two-sided p-values of the first column, shape (trials,)."""
    found = means_of_trials(arms, clusters=clusters, covariates=covariates)
    return np.array([p_value(float(m.effect[0]) / float(m.omega[0, 0]) ** 0.5, m.df(0)) for m in found])


def reduced_p(pair: EffectPair) -> float:
    """Two-sided p-value of the effect on the KPI, which is Anderson and Rubin's test of no link."""
    return p_value(pair.effect_kpi / pair.var_kpi**0.5, pair.df)


def link_set(pair: EffectPair, confidence_level: float = 0.95) -> tuple[tuple[float, float], ...]:
    """Anderson and Rubin's set of one experiment, as the door prints it."""
    return fieller_set(
        pair.effect_cpi, pair.effect_kpi, var_x=pair.var_cpi, var_y=pair.var_kpi, cov=pair.cov,
        critical=quantile(0.5 + confidence_level / 2, pair.df),
    )  # fmt: skip


def covers(pieces: tuple[tuple[float, float], ...], theta: float) -> bool:
    """Whether a set holds a value.

    Examples
    --------
    >>> covers(((-1.0, 0.5), (2.0, float("inf"))), 1.0)
    False
    """
    return any(low <= theta <= high for low, high in pieces)
