"""Estimates of a running trial at every look, cumulative: what boundaries and sequences are laid over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import CpiError
from cpi_experiments.randomized.arms import Label
from cpi_experiments.randomized.cases import complete, only_zero_and_one
from cpi_experiments.randomized.effects.itt import adjusted_by, outcome_cells
from cpi_experiments.randomized.effects.outcomes import Mean, Outcome, all_pairs
from cpi_experiments.stats.arm_means import ArmMeans, means_of_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.monitoring.accrual import Accrual
    from cpi_experiments.randomized.trial import Trial

Array = np.ndarray
#: Units in the smaller arm before an estimate is shown; more where arms are unequal, since skewness then stays in.
START = 20
START_UNEQUAL = 1_000
#: Rarer answers of a yes/no column in either arm before an estimate is shown.
RARE = 10
RARE_UNEQUAL = 100
#: Clusters in the smaller arm.
START_CLUSTERS = 10
#: Arms further apart than this are unequal.
EQUAL_UP_TO = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Estimates of one arm on one outcome (and of the CPI beside it, for a link) at k looks.

    Looks before the sequence starts, and looks without variance, are not in it.

    Parameters
    ----------
    outcome : str
    arm : label
    place : int array, shape (k,)
        Looks.
    n : int array, shape (k,)
        Rows used.
    effect : array, shape (k, m)
        The KPI or outcome last; m = 2 for a link, else 1.
    omega : array, shape (k, m, m)
        Sampling covariance.
    df : array, shape (k,)
        Of the last one.
    dropped : tuple of (reason, rows)
        Rows not used at the last look.
    """

    outcome: str
    arm: Label
    place: Array
    n: Array
    effect: Array
    omega: Array
    df: Array
    dropped: tuple[tuple[str, int], ...] = ()

    @property
    def estimate(self) -> Array:
        """Effect on the outcome, shape (k,)."""
        return np.asarray(self.effect[:, -1])

    @property
    def std_error(self) -> Array:
        """Its standard error, shape (k,)."""
        return np.asarray(np.sqrt(self.omega[:, -1, -1]))


def pairs_needed(
    outcomes: Sequence[Outcome], covariates: Sequence[str], link: tuple[str, str] | None, *, clustered: bool
) -> list[tuple[str, str]]:
    """List the products that the estimates of all looks need, and squares for the start rule."""
    several = [*(outcome.columns for outcome in outcomes), *([link] if link else [])]
    squares = [(name, name) for columns in several for name in columns]
    return list(dict.fromkeys([*all_pairs(several, covariates, clustered=clustered), *squares]))


def effect_stream(
    accrual: Accrual,
    outcome: Outcome,
    treatment: int,
    *,
    covariates: Sequence[str],
    cpi: str | None = None,
    at_once: bool = False,
) -> Stream:
    """Estimate one arm's effect at every time of the accrual.

    Parameters
    ----------
    accrual : Accrual
        Its times are the looks.
    outcome : Mean or Ratio
    treatment : int
        Code of the arm.
    covariates : sequence of str
        Adjusted for at each look with the coefficients of that look (CUPED).
    cpi : str, optional
        Column whose effect is estimated jointly, after the same adjustment.
    at_once : bool
        Show every look that has a variance, as planned looks are; else only from the start rule on.

    Raises
    ------
    DataError, EstimationError
        If even the last look has no estimate.
    """
    m = 2 if cpi else 1
    columns = [*([cpi] if cpi else []), *outcome.columns, *covariates]
    found: list[tuple[int, int, Array, Array, float]] = []
    last = len(accrual.times) - 1
    for place in range(last + 1):
        trial = accrual.until(place)
        try:
            cases = complete(trial, treatment, columns)
            cells = cases.cells if cpi else outcome_cells(outcome, cases)
            adjusted = adjusted_by(cells, m, covariates).cells
            means = means_of_cells(adjusted)
        except CpiError:
            if place == last:
                raise
            continue  # too early for an estimate
        if (
            adjusted.varies(m - 1)
            and means.omega[m - 1, m - 1] > 0
            and (at_once or _started(means, trial, treatment, columns, outcome))
        ):
            n = means.n_control + means.n_treatment
            found.append((place, n, means.effect[:m], means.omega[:m, :m], means.df(m - 1)))
    return Stream(
        outcome=outcome.name,
        arm=accrual.trial.labels[treatment],
        place=np.array([each[0] for each in found], dtype=np.intp),
        n=np.array([each[1] for each in found], dtype=np.intp),
        effect=np.array([each[2] for each in found]).reshape(len(found), m),
        omega=np.array([each[3] for each in found]).reshape(len(found), m, m),
        df=np.array([each[4] for each in found]),
        dropped=cases.dropped,
    )


def _started(means: ArmMeans, trial: Trial, treatment: int, columns: Sequence[str], outcome: Outcome) -> bool:
    """Whether the normal approximation may be trusted from here on; the numbers are from simulations."""
    n = np.array([means.n_control, means.n_treatment], dtype=float)
    clusters = np.array([means.clusters_control, means.clusters_treatment])
    units = clusters if clusters.any() else n
    equal = units.max() <= EQUAL_UP_TO * units.min()
    if clusters.any():
        return bool(clusters.min() >= START_CLUSTERS)
    if (
        isinstance(outcome, Mean)
        and outcome.cap is None
        and only_zero_and_one(trial, treatment, columns, outcome.column)
    ):
        share = np.array([means.control[-1], means.treatment[-1]])
        rarer = n * np.minimum(share, 1 - share)
        return bool(rarer.min() >= (RARE if equal else RARE_UNEQUAL))
    return bool(n.min() >= (START if equal else START_UNEQUAL))
