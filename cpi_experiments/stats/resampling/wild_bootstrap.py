"""The wild cluster bootstrap with the null imposed, for a difference between arms of few clusters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.resampling.resampled import (
    BLOCK,
    Resampled,
    check_resampling,
    counted_p,
    error_of_p,
    extreme,
    inverted,
)
from cpi_experiments.stats.resampling.totals import ROUNDING, Totals, studentised

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Floats = np.ndarray
#: Linear sums, sums of squares (per arm, over sign patterns), and a constant per arm.
Sums = tuple[list[Floats], list[Floats], list[float]]
Signs = Literal["rademacher", "webb"]

#: Sign patterns are all counted up to this many clusters with two signs each.
ENUMERATED_CLUSTERS = 14
#: With fewer clusters two signs give too few patterns, and Webb's six points are used.
WEBB_BELOW = 12
_WEBB = np.array([-np.sqrt(1.5), -1.0, -np.sqrt(0.5), np.sqrt(0.5), 1.0, np.sqrt(1.5)])


def wild_cluster_test(
    totals: Totals,
    *,
    rng: np.random.Generator,
    reps: int = 1_999,
    confidence_level: float = 0.95,
    alternative: str = "two-sided",
    signs: Signs | None = None,
) -> Resampled:
    """Test a difference of means (or ratios) between arms of whole clusters by turning the signs of their residuals.

    Residuals are those under the null (WCR): totals of clusters about the common mean, after the null effect is taken
    from treated clusters. A statistic is the effect over its jackknife (CR3) standard error, as in `arm_means`. Up to
    14 clusters all sign patterns are counted, except where Webb's points are used.

    Parameters
    ----------
    totals : Totals
        One unit a cluster, without strata.
    rng : numpy Generator
    reps : int
    confidence_level : float
    alternative : {"two-sided", "greater", "less"}
    signs : {"rademacher", "webb"}, optional
        Webb's six points below 12 clusters, else Rademacher's two signs.

    Returns
    -------
    Resampled
        The interval inverts the same test.

    Raises
    ------
    EstimationError
        If there are strata, or an argument has no meaning.

    Notes
    -----
    With few clusters in one arm (fewer than 5) the test hardly ever rejects, whatever is true (MacKinnon, Webb 2017):
    use `permutation_test`.

    References
    ----------
    Cameron, Gelbach, Miller (2008), Rev. Econ. Stat. 90, 414-427; Webb (2023), Can. J. Econ. 56, 839-858;
    MacKinnon, Webb (2017), J. Appl. Econom. 32, 233-254; MacKinnon, Nielsen, Webb (2023), J. Econometrics 232 (CR3).

    Examples
    --------
    >>> from cpi_experiments.stats.resampling.totals import totals_of
    >>> of_clusters = np.array([3.1, 2.4, 4.0, 2.8, 3.3, 2.9, 4.4, 5.0, 4.1, 4.9, 5.2, 3.8])
    >>> clusters = totals_of(of_clusters, np.ones(12), np.arange(12) >= 6)
    >>> found = wild_cluster_test(clusters, rng=np.random.default_rng(0))
    >>> found.resamples, found.exact, round(found.p_value, 3)
    (4096, True, 0.002)
    """
    check_resampling(reps=reps, confidence_level=confidence_level, alternative=alternative)
    if len(totals.weight) > 1:
        raise EstimationError(
            f"the wild bootstrap is not made for strata; there are {len(totals.weight)}",
            advice="Use the permutation test, which assigns clusters again within strata.",
        )
    turned = turned_sums(totals, rng=rng, reps=reps, signs=signs)
    (effect, std_error), n, exact = turned.observed, turned.patterns, turned.exact

    def p_at(null: float) -> float:
        return wild_p(turned, null=null, alternative=alternative)

    p = p_at(0.0)
    low, high = inverted(p_at, effect, std_error, confidence_level=confidence_level, alternative=alternative)
    least = (2 if alternative == "two-sided" else 1) / n if exact else 1 / (n + 1)
    return Resampled(
        effect=effect, std_error=std_error, ci_low=low, ci_high=high, p_value=p,
        p_error=error_of_p(p, n, exact=exact), resamples=n, exact=exact, smallest_p=least,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """What every statistic of the wild bootstrap is made of, at any null.

    Parameters
    ----------
    sums : Sums
    observed : tuple of (effect, standard error)
    patterns : int
    exact : bool
        Whether these are all patterns.
    """

    sums: Sums
    observed: tuple[float, float]
    patterns: int
    exact: bool


def turned_sums(totals: Totals, *, rng: np.random.Generator, reps: int = 1_999, signs: Signs | None = None) -> Turned:
    """Draw the factors of the clusters' residuals (or take all patterns) and add up.

    Raises
    ------
    EstimationError
        If the signs are not known.
    """
    g = len(totals.top)
    chosen = signs or ("webb" if g < WEBB_BELOW else "rademacher")
    if chosen not in ("rademacher", "webb"):
        raise EstimationError(f"signs {chosen!r} are not known", advice="Known: rademacher, webb.")
    exact = chosen == "rademacher" and g <= ENUMERATED_CLUSTERS
    sums = _sums(totals, _patterns(g, reps, rng, chosen=chosen, exact=exact))
    effect, variance = (float(each[0]) for each in _effects(_sums(totals, [np.ones((1, g))]), 0.0))
    return Turned(sums=sums, observed=(effect, variance**0.5), patterns=len(sums[0][0]), exact=exact)


def wild_p(turned: Turned, *, null: float = 0.0, alternative: str = "two-sided") -> float:
    """p-value of the hypothesis that the effect is ``null``.

    Examples
    --------
    >>> from cpi_experiments.stats.resampling.totals import totals_of
    >>> apart = totals_of(np.arange(12.0), np.ones(12), np.arange(12) >= 6)
    >>> wild_p(turned_sums(apart, rng=np.random.default_rng(0)))  # 2 of 4,096
    0.00048828125
    """
    effect, std_error = turned.observed
    t = studentised(*_effects(turned.sums, null))
    statistic = float(studentised(np.array(effect - null), np.array(std_error**2)))
    hits = int(np.sum(extreme(t, statistic, alternative=alternative)))
    return counted_p(hits, turned.patterns, exact=turned.exact)


def _patterns(g: int, reps: int, rng: np.random.Generator, *, chosen: str, exact: bool) -> Iterator[Floats]:
    """Blocks of factors of the clusters' residuals, each of shape (b, g)."""
    if exact:
        yield np.array(list(product((1.0, -1.0), repeat=g)))
        return
    points = _WEBB if chosen == "webb" else np.array([-1.0, 1.0])
    block = max(BLOCK // g, 1)
    for start in range(0, reps, block):
        yield points[rng.integers(0, len(points), (min(block, reps - start), g))]


def _sums(totals: Totals, patterns: Iterable[Floats]) -> Sums:
    """Everything that effects and variances are made of, at any null: per arm, sums over its clusters.

    Under a null effect d the residual total of a cluster is ``top - d * moved``.
    """
    (control, treated), top, base = totals.cells()[0], totals.top, totals.base
    moved = base * (totals.treated - base[treated].sum() / base.sum())
    first, second, still = [], [], []
    for at in (control, treated):
        e, f, b, g = top[at], moved[at], base[at], len(at)
        c = (g - 1) / g / (b.sum() - b) ** 2  # the jackknife's weight of a squared residual
        first.append(np.column_stack([e / b.sum(), f / b.sum(), c * b * e, c * b * f]))
        second.append(np.column_stack([c * e * e, c * e * f, c * f * f]))
        still.append(float(np.sum(c * b * b)))
    parts = [
        [(v[:, at] @ one, v[:, at] ** 2 @ two) for at, one, two in zip((control, treated), first, second, strict=True)]
        for v in patterns
    ]
    linear = [np.concatenate([block[arm][0] for block in parts]) for arm in (0, 1)]
    squares = [np.concatenate([block[arm][1] for block in parts]) for arm in (0, 1)]
    return linear, squares, still


def _effects(sums: Sums, null: float) -> tuple[Floats, Floats]:
    """Effect and jackknife variance of every pattern under a null effect, each of shape (b,)."""
    means: list[Floats] = []
    variance: Floats = np.zeros(len(sums[0][0]))
    for linear, squares, still in zip(*sums, strict=True):
        e, f, ce, cf = linear.T
        ee, ef, ff = squares.T
        mean = e - null * f
        size = ee - 2 * null * ef + null**2 * ff
        own = size - 2 * mean * (ce - null * cf) + mean**2 * still
        variance = variance + np.where(own > ROUNDING * (np.abs(size) + mean**2 * still), own, 0.0)
        means.append(mean)
    return means[1] - means[0], variance
