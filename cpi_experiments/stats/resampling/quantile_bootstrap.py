"""Bootstrap of the difference of a quantile between two arms; without clusters and strata no row is drawn."""

from __future__ import annotations

import math

import numpy as np

from cpi_experiments.stats.quantile_effect import quantile_effect
from cpi_experiments.stats.quantiles import quantile_ranks
from cpi_experiments.stats.resampling.bootstrap import draw_counts
from cpi_experiments.stats.resampling.resampled import BLOCK, Resampled, check_resampling, error_of_p
from cpi_experiments.stats.resampling.totals import totals_of

Floats = np.ndarray


def bootstrap_quantiles(
    values: Floats,
    treated: Floats,
    probability: float,
    *,
    rng: np.random.Generator,
    reps: int = 1_999,
    strata: Floats | None = None,
    clusters: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Resample a quantile of both arms.

    The j-th order statistic of a resample of n rows is the order statistic of rank ``ceil(n U)`` with U from
    Beta(j, n + 1 - j), so that rows on their own need no drawing. Clusters are drawn whole, within arms and strata.

    Parameters
    ----------
    values, treated, probability, strata, clusters
        As in `quantile_effect`.
    rng : numpy Generator
    reps : int

    Returns
    -------
    control, treatment : float array, shape (reps,)

    Raises
    ------
    EstimationError
        If a cluster lies in both arms or a cell has fewer than two units.

    References
    ----------
    Hutson, Ernst (2000), J. R. Stat. Soc. B 62, 89-94; Schultzberg, Ankargren (2022), arXiv 2202.10992.

    Examples
    --------
    >>> control, treatment = bootstrap_quantiles(np.arange(200.0), np.arange(200) >= 100, 0.5,
    ...                                          rng=np.random.default_rng(0))
    >>> round(float(np.mean(treatment - control))), round(float(np.std(control)))
    (100, 5)
    """
    treated = np.asarray(treated, dtype=bool)
    if strata is None and clusters is None:
        return (
            _of_order_statistics(values[~treated], probability, reps, rng),
            _of_order_statistics(values[treated], probability, reps, rng),
        )
    totals = totals_of(values, np.ones(len(values)), treated, strata=strata, clusters=clusters)
    unit = np.arange(len(values)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    stratum = np.zeros(len(values), dtype=np.intp) if strata is None else np.unique(strata, return_inverse=True)[1]
    ascending = np.argsort(values, kind="stable")
    order = [ascending[~treated[ascending]], ascending[treated[ascending]]]
    block = max(BLOCK // len(values), 1)
    found: list[list[Floats]] = [[], []]
    for start in range(0, reps, block):
        counts = np.zeros((min(block, reps - start), len(totals.top)))
        for cell in (at for pair in totals.cells() for at in pair):
            counts[:, cell] = draw_counts(len(cell), len(counts), rng)
        for arm in (0, 1):
            weights = _shared(counts[:, unit[order[arm]]], stratum[order[arm]], totals.weight)
            found[arm].append(_weighted(values[order[arm]], weights, probability))
    return np.concatenate(found[0]), np.concatenate(found[1])


def _of_order_statistics(values: Floats, probability: float, reps: int, rng: np.random.Generator) -> Floats:
    n = len(values)
    lower, upper, weight = quantile_ranks(n, probability)
    ordered = np.sort(values)
    first = rng.beta(lower, n + 1 - lower, reps)
    below = ordered[_rank(first, n)]
    if upper == lower or weight == 0:
        return np.asarray(below)
    second = first + (1 - first) * rng.beta(1, n - lower, reps)
    return np.asarray(below + weight * (ordered[_rank(second, n)] - below))


def _rank(uniform: Floats, n: int) -> Floats:
    return np.minimum((uniform * n).astype(np.intp), n - 1)


def _shared(counts: Floats, stratum: Floats, share: Floats) -> Floats:
    """Scale the counts of every stratum to its share of all rows."""
    if len(share) == 1:
        return counts
    weights = np.zeros(counts.shape)
    for s, part in enumerate(share):
        inside = counts[:, stratum == s]
        weights[:, stratum == s] = inside * (part / np.maximum(inside.sum(axis=1, keepdims=True), 1))
    return weights


def _weighted(ordered: Floats, weights: Floats, probability: float) -> Floats:
    """Smallest value at which the weights reach the probability, of every row of weights."""
    reached = np.cumsum(weights, axis=1)
    wanted = probability * reached[:, -1:] * (1 - 1e-12)
    return np.asarray(ordered[np.sum(reached < wanted, axis=1)])


def quantile_bootstrap_test(  # noqa: PLR0913 - the data's four arrays, and what is asked of them
    values: Floats,
    treated: Floats,
    probability: float,
    *,
    rng: np.random.Generator,
    reps: int = 1_999,
    strata: Floats | None = None,
    clusters: Floats | None = None,
    confidence_level: float = 0.95,
    alternative: str = "two-sided",
) -> Resampled:
    """Percentile interval and p-value of the difference of a quantile between two arms.

    Returns
    -------
    Resampled
        ``std_error`` is that of `quantile_effect`, for comparison; the interval does not use it. The interval of the
        ratio of quantiles is NaN where a resampled control is not above zero.

    Raises
    ------
    EstimationError
        As `quantile_effect`, and if an argument has no meaning.

    Examples
    --------
    >>> found = quantile_bootstrap_test(np.arange(200.0), np.arange(200) >= 100, 0.5,
    ...                                 rng=np.random.default_rng(0))
    >>> found.effect, found.p_value, found.ci_low < 100 < found.ci_high
    (100.0, 0.001, True)
    """
    check_resampling(reps=reps, confidence_level=confidence_level, alternative=alternative)
    formula = quantile_effect(values, treated, probability, strata=strata, clusters=clusters)
    control, treatment = bootstrap_quantiles(
        values, treated, probability, rng=rng, reps=reps, strata=strata, clusters=clusters
    )
    draws = treatment - control
    ends = _percentiles(draws, 1 - confidence_level, alternative)
    p = _percentile_p(draws, alternative)
    ratio = (math.nan, math.nan)
    if np.all(control > 0) and formula.control > 0:
        ratio = _percentiles(treatment / control, 1 - confidence_level, alternative)
    return Resampled(
        effect=formula.effect, std_error=math.sqrt(formula.variance) if formula.usable else math.nan, ci_low=ends[0],
        ci_high=ends[1], p_value=p, p_error=error_of_p(p, reps, exact=False), resamples=reps, exact=False,
        smallest_p=(2 if alternative == "two-sided" else 1) / (reps + 1), ratio_low=ratio[0],
        ratio_high=ratio[1],
    )  # fmt: skip


def _percentile_p(draws: Floats, alternative: str) -> float:
    """p-value that is below its level exactly when the percentile interval excludes zero; ties count as in."""
    n = len(draws)
    greater, less = ((1 + int(np.sum(side))) / (n + 1) for side in (draws <= 0, draws >= 0))
    return {"two-sided": min(2 * min(greater, less), 1.0), "greater": greater, "less": less}[alternative]


def _percentiles(draws: Floats, alpha: float, alternative: str) -> tuple[float, float]:
    """Order statistics of the draws with at most the given share of draws (and the data) beyond them."""
    ordered, n = np.sort(draws), len(draws)
    tail = alpha / 2 if alternative == "two-sided" else alpha
    beyond = math.floor(tail * (n + 1) * (1 + 1e-12))  # 1 + hits <= beyond rejects
    low = -math.inf if alternative == "less" or beyond < 1 else float(ordered[beyond - 1])
    high = math.inf if alternative == "greater" or beyond < 1 else float(ordered[n - beyond])
    return low, high
