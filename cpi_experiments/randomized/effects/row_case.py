"""One control and one treatment as complete rows, what is asked of them, and the numbers that come back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.effects.itt import cluster_diagnostics
from cpi_experiments.stats.arm_means import ArmMeans
from cpi_experiments.stats.student import interval, p_value

if TYPE_CHECKING:
    from cpi_experiments.stats.resampling.resampled import Resampled

Array = np.ndarray
Inference = Literal["formula", "bootstrap", "permutation", "wild"]

#: Resamples unless another number is asked for; (reps + 1) times a twentieth is whole.
REPS = 1_999
#: With fewer clusters in an arm, of unequal sizes, the wild bootstrap rejects true nulls too often (measured). Every
#: covariate needs one more: its coefficient is estimated once, and the bootstrap takes it as known.
FEWEST_WILD = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How an effect is to be tested.

    Parameters
    ----------
    inference : {"formula", "bootstrap", "permutation", "wild"}
    confidence_level : float
    alternative : {"two-sided", "greater", "less"}
    reps, seed : int
        Of resampling.
    """

    inference: Inference
    confidence_level: float
    alternative: str
    reps: int
    seed: int

    def rng(self) -> np.random.Generator:
        """Make the generator of this seed, at its start."""
        return np.random.default_rng(self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCase:
    """Complete rows of a control and one treatment.

    Parameters
    ----------
    values : mapping of column to float array, shape (n,)
        Outcome columns, capped where a cap is named, and covariates.
    treated : bool array, shape (n,)
    strata, clusters : int array, shape (n,), or None
    """

    values: Mapping[str, Array]
    treated: Array
    strata: Array | None
    clusters: Array | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Numbers of one effect before they are put into an estimate.

    Parameters
    ----------
    value, std_error, df, ci_low, ci_high, p_value : float
    control, treatment : float
        Values of the arms.
    control_error : float
        Standard error of the control's value; NaN where it is not known.
    means : ArmMeans
        Counts of units and clusters.
    rel_low, rel_high : float
        Interval of treatment over control; NaN where there is none.
    method : str
    diagnostics : tuple of Diagnostic
    usable : bool
        Whether anything varies.
    """

    value: float
    std_error: float
    df: float
    ci_low: float
    ci_high: float
    p_value: float
    control: float
    treatment: float
    means: ArmMeans
    method: str
    usable: bool = True
    control_error: float = math.nan
    rel_low: float = math.nan
    rel_high: float = math.nan
    diagnostics: tuple[Diagnostic, ...] = field(default_factory=tuple)


def t_test(value: float, std_error: float, df: float, asked: Asked) -> tuple[float, float, float]:
    """Return the ends of a t interval and the p-value."""
    low, high = interval(value, std_error, df, confidence_level=asked.confidence_level, alternative=asked.alternative)
    return low, high, p_value(value / std_error, df, alternative=asked.alternative)


def what_is_said(means: ArmMeans, asked: Asked, *, covariates: int = 0) -> tuple[Diagnostic, ...]:
    """Say whether clusters are too few or lie in both arms; assigning them again is exact for any number.

    ``covariates`` is the number that the outcome is adjusted by.
    """
    if asked.inference == "permutation":
        return ()
    found = cluster_diagnostics(means)
    fewest = min(means.clusters_control, means.clusters_treatment)
    needed = FEWEST_WILD + covariates
    if asked.inference == "wild" and fewest < needed:
        more = f" with {covariates} covariate{'s' * (covariates > 1)}" if covariates else ""
        null = f"at least {needed} clusters in each arm for the wild bootstrap{more}"
        advice = f'The smaller arm has {fewest} clusters: use inference="permutation", which is exact for any number.'
        few = Diagnostic(
            name="few clusters", null=null, statistic=float(fewest), passed=False, advice=advice, blocks=True
        )
        return (*found, few)
    return found


def counted(found: Resampled, what: str) -> str:
    """Say how many resamples there were, and how well the p-value is known."""
    if found.exact:
        return f"all {found.resamples:,} {what}"
    return f"{found.resamples:,} {what}, p to within {2 * found.p_error:.3f}"


def resampling_diagnostic(found: Resampled, asked: Asked, what: str) -> Diagnostic:
    """Say how many resamples were used, how exact their p-value is, and whether it could have been small."""
    alpha = 1 - asked.confidence_level
    possible = found.smallest_p <= alpha * (1 + 1e-9)
    advice = (
        f"With {counted(found, what)}, the smallest possible p-value is {found.smallest_p:.2g}: no effect, "
        f"however large, can be shown at {alpha:.2g}. Randomise more {'clusters or ' if found.exact else ''}units."
    )
    return Diagnostic(
        name="resampling",
        null=f"{counted(found, what)}, seed {asked.seed}; the smallest possible p-value is {found.smallest_p:.2g}",
        statistic=float(found.resamples),
        passed=possible,
        advice="" if possible else advice,
    )
