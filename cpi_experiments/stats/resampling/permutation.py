"""Randomisation inference: the studentised permutation test, exact where assignments are few."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from cpi_experiments.stats.resampling.resampled import (
    BLOCK,
    Resampled,
    check_resampling,
    counted_p,
    error_of_p,
    extreme,
    inverted,
)
from cpi_experiments.stats.resampling.totals import Totals, contrast, observed, studentised

Floats = np.ndarray

#: All assignments are counted up to this many.
ENUMERATED = 20_000
#: Sums by stratum: of the assigned to treatment and of all, with the units of control and treatment.
Sums = list[tuple[Floats, Floats, int, int]]


def permutation_test(
    totals: Totals,
    *,
    rng: np.random.Generator,
    reps: int = 1_999,
    confidence_level: float = 0.95,
    alternative: str = "two-sided",
) -> Resampled:
    """Test the difference of means (or ratios) of two arms by assigning the same units again.

    The statistic is the effect over its own standard error, so that the test is exact if both arms have one
    distribution and asymptotically valid if only their means are equal. Units (or whole clusters) change arms within
    strata. Up to 20,000 possible assignments are all counted, otherwise ``reps`` are drawn.

    Parameters
    ----------
    totals : Totals
    rng : numpy Generator
        Not used when all assignments are counted.
    reps : int
    confidence_level : float
    alternative : {"two-sided", "greater", "less"}

    Returns
    -------
    Resampled
        The interval holds the shifts of the treated units that the same test does not reject (bisection).

    Raises
    ------
    EstimationError
        If ``reps``, level or alternative have no meaning.

    References
    ----------
    Chung, Romano (2013), Ann. Stat. 41, 484-507; Janssen (1997), Stat. Probab. Lett. 36, 9-21; Phipson, Smyth (2010).

    Examples
    --------
    >>> from cpi_experiments.stats.resampling.totals import totals_of
    >>> few = totals_of(np.array([1.0, 2.0, 5.0, 6.0]), np.ones(4), np.array([False, False, True, True]))
    >>> found = permutation_test(few, rng=np.random.default_rng(0))
    >>> round(found.p_value, 4), found.resamples, round(found.smallest_p, 4), found.ci_high
    (0.3333, 6, 0.3333, inf)
    """
    check_resampling(reps=reps, confidence_level=confidence_level, alternative=alternative)
    effect, std_error = observed(totals)
    sums = assigned_sums(totals, rng=rng, reps=reps)
    n, exact = len(sums[0][0]), _are_few(totals)

    def p_at(null: float) -> float:
        return _p(totals, sums, (effect - null, std_error), null, alternative=alternative, exact=exact)

    p = p_at(0.0)
    low, high = inverted(p_at, effect, std_error, confidence_level=confidence_level, alternative=alternative)
    return Resampled(
        effect=effect, std_error=std_error, ci_low=low, ci_high=high, p_value=p, p_error=error_of_p(p, n, exact=exact),
        resamples=n, exact=exact, smallest_p=smallest_p(totals, alternative) if exact else 1 / (n + 1),
    )  # fmt: skip


def assigned_sums(totals: Totals, *, rng: np.random.Generator, reps: int = 1_999) -> Sums:
    """Assign the units again, in all ways if these are few, and add up what every statistic is made of."""
    return _all_sums(totals) if _are_few(totals) else _drawn_sums(totals, reps, rng)


def permutation_p(totals: Totals, sums: Sums, *, null: float = 0.0, alternative: str = "two-sided") -> float:
    """p-value of the hypothesis that the effect is ``null``, from the sums of `assigned_sums`.

    Examples
    --------
    >>> from cpi_experiments.stats.resampling.totals import totals_of
    >>> few = totals_of(np.arange(8.0), np.ones(8), np.arange(8) >= 4)
    >>> round(permutation_p(few, assigned_sums(few, rng=np.random.default_rng(0))), 4)  # 2 of 70
    0.0286
    """
    effect, std_error = observed(totals)
    return _p(totals, sums, (effect - null, std_error), null, alternative=alternative, exact=_are_few(totals))


def _p(totals: Totals, sums: Sums, seen: tuple[float, float], null: float, *, alternative: str, exact: bool) -> float:
    """p-value of a null from what was seen: the distance from it and its standard error."""
    t = studentised(*contrast(_shifted(sums, null), totals.weight))
    statistic = float(studentised(np.array(seen[0]), np.array(seen[1] ** 2)))
    hits = int(np.sum(extreme(t, statistic, alternative=alternative)))
    return counted_p(hits, len(t), exact=exact)


def _are_few(totals: Totals) -> bool:
    """Whether all assignments are to be counted; their number itself may have as many digits as there are units."""
    ways = 1
    for control, treated in totals.cells():
        small = min(len(control), len(treated))
        for k in range(1, small + 1):  # comb(n, k) with n units grows up to half of them
            if ways * math.comb(len(control) + len(treated), k) > ENUMERATED:
                return False
        ways *= math.comb(len(control) + len(treated), small)
    return True


def assignments(totals: Totals) -> int:
    """Count the ways in which the same numbers of units could have been assigned.

    Examples
    --------
    >>> from cpi_experiments.stats.resampling.totals import totals_of
    >>> assignments(totals_of(np.arange(8.0), np.ones(8), np.arange(8) < 4))
    70
    """
    return math.prod(math.comb(len(c) + len(t), len(t)) for c, t in totals.cells())


def smallest_p(totals: Totals, alternative: str) -> float:
    """Smallest p-value that these numbers of units can give: with equal arms every assignment has a mirror image.

    Examples
    --------
    >>> from cpi_experiments.stats.resampling.totals import totals_of
    >>> clusters = totals_of(np.arange(4.0), np.ones(4), np.arange(4) < 2)
    >>> round(smallest_p(clusters, "two-sided"), 2), round(smallest_p(clusters, "greater"), 2)
    (0.33, 0.17)
    """
    mirrored = alternative == "two-sided" and all(len(c) == len(t) for c, t in totals.cells())
    return (2 if mirrored else 1) / assignments(totals)


def _columns(totals: Totals) -> Floats:
    """Columns whose sums give every statistic at every shift of the treated units; shape (g, 8)."""
    t, b, d = totals.top, totals.base, totals.treated
    return np.column_stack([totals.products(), d * b, d * t * b, d * b * b])


def _all_sums(totals: Totals) -> Sums:
    columns, own = _columns(totals), []
    for control, treated in totals.cells():
        units = np.concatenate([control, treated])
        chosen = np.array(list(combinations(range(len(units)), len(treated))))
        own.append((columns[units][chosen].sum(axis=1), columns[units].sum(axis=0), len(control), len(treated)))
    places = np.unravel_index(np.arange(math.prod(len(each[0]) for each in own)), [len(each[0]) for each in own])
    return [(each[0][at], *each[1:]) for each, at in zip(own, places, strict=True)]


def _drawn_sums(totals: Totals, reps: int, rng: np.random.Generator) -> Sums:
    columns, sums = _columns(totals), []
    for control, treated in totals.cells():
        units = np.concatenate([control, treated])
        own, n1 = columns[units], len(treated)
        block = max(BLOCK // len(units), 1)
        found = []
        for start in range(0, reps, block):
            keys = rng.random((min(block, reps - start), len(units)))
            chosen = np.argpartition(keys, n1 - 1, axis=1)[:, :n1]  # faster than shuffling marks
            keys[:] = 0.0
            np.put_along_axis(keys, chosen, 1.0, axis=1)
            found.append(keys @ own)
        sums.append((np.concatenate(found), own.sum(axis=0), len(control), n1))
    return sums


def _shifted(sums: Sums, null: float) -> Sums:
    """Take the sums of control and treatment after the null effect is taken from the units that were really treated."""
    return [(_less(total - treated, null), _less(treated, null), n0, n1) for treated, total, n0, n1 in sums]


def _less(sums: Floats, null: float) -> Floats:
    t, b, tt, tb, bb, db, dtb, dbb = np.moveaxis(sums, -1, 0)
    return np.stack([t - null * db, b, tt - 2 * null * dtb + null**2 * dbb, tb - null * dbb, bb], axis=-1)
