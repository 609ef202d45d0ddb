"""Where an instrument moved a graded treatment, and whether it moved everybody the same way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.arm_means import arm_means
from cpi_experiments.stats.student import p_value

Floats = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseWeights:
    """Weights of the average causal response, by step of the treatment.

    Parameters
    ----------
    low, high : array, shape (k,)
        Steps of the treatment: from ``low`` to ``high``.
    gained : array, shape (k,)
        How far the instrument moved the mean within each step: the integral, from ``low`` to ``high``, of how many more
        crossed a level. The steps sum to the whole first stage.
    std_error : array, shape (k,)
        Welch's, or the jackknife over clusters; within strata where there are any.
    weight : array, shape (k,)
        Shares of the first stage: ``gained`` over its sum.
    z_against : float
        Largest step against the direction of the whole, in standard errors; 0 if there is none.
    p_against : float
        Bonferroni p-value of Student's t over the steps: small values say that some were moved the other way.
    """

    low: Floats
    high: Floats
    gained: Floats
    std_error: Floats
    weight: Floats
    z_against: float
    p_against: float


def response_weights(
    treatment: Floats,
    assigned: Floats,
    *,
    strata: Floats | None = None,
    clusters: Floats | None = None,
    steps: int = 10,
) -> ResponseWeights:
    """Weights with which a Wald ratio averages the effects of single steps of a graded treatment.

    With potential treatments X(1) >= X(0) for all (or <= for all), the ratio is the weighted average of the effects of
    going from one level to the next, with weights proportional to ``P(X(1) >= level > X(0))``, which is the difference
    of the two arms' shares at or above the level.

    Parameters
    ----------
    treatment : array, shape (n,)
        Without missing values.
    assigned : bool array, shape (n,)
    strata, clusters : int array, shape (n,), optional
        Codes; used as in `cpi_experiments.stats.arm_means.arm_means`, so that the steps sum to its effect.
    steps : int
        Treatments with more levels are cut at quantiles of all rows together.

    Raises
    ------
    EstimationError
        If the treatment does not vary, or an arm (of a stratum) has fewer than two rows or clusters.

    References
    ----------
    Angrist, Imbens (1995), JASA 90, theorem 1.

    Examples
    --------
    >>> x = np.array([0.0, 0, 1, 1, 1, 1, 2, 2])
    >>> found = response_weights(x, np.array([False] * 4 + [True] * 4))
    >>> found.gained, found.weight
    (array([0.5, 0.5]), array([0.5, 0.5]))
    """
    if min(int(np.sum(assigned)), int(np.sum(~assigned))) < 2:
        raise EstimationError("an arm has fewer than two rows")
    levels = np.unique(treatment)
    if len(levels) < 2:
        raise EstimationError("the treatment is the same for everybody", advice="Nothing was moved.")
    if len(levels) > steps + 1:
        cuts = np.quantile(treatment, np.linspace(0, 1, steps + 1)[1:-1], method="inverted_cdf")
        levels = np.unique([levels[0], *cuts, levels[-1]])
    low, high = levels[:-1], levels[1:]
    means = arm_means(np.clip(treatment[:, None], low, high) - low, assigned, strata=strata, clusters=clusters)
    gained, std_error = means.effect, np.sqrt(np.maximum(np.diag(means.omega), 0.0))
    total = float(gained.sum())
    against = -gained * math.copysign(1.0, total)
    z = np.divide(against, std_error, out=np.where(against > 0, np.inf, 0.0), where=std_error > 0)
    p = [p_value(float(t), means.df(j), alternative="greater") for j, t in enumerate(z) if t > 0]
    return ResponseWeights(
        low=low,
        high=high,
        gained=gained,
        std_error=std_error,
        weight=gained / total if total else np.full(len(gained), np.nan),
        z_against=max(float(z.max()), 0.0),
        p_against=min([1.0, *(len(gained) * each for each in p)]),
    )
