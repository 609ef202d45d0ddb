"""What is resampled: units or whole clusters as pairs of totals, and differences of their ratios between arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.cell_clusters import check_sizes

Floats = np.ndarray
#: Sums of the control's and the treatment's units and how many they are, stratum by stratum.
Parts = Sequence[tuple[Floats, Floats, int, int]]

#: A variance below this share of its largest term is what rounding leaves of zero.
ROUNDING = 1e-13


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Independent units (rows, or clusters of rows) of two arms, each with two totals.

    The value of an arm is the sum of ``top`` over the sum of ``base``: a mean if ``base`` counts rows, a ratio of means
    if it is a denominator.

    Parameters
    ----------
    top, base : float array, shape (g,)
        ``top`` about ``origin * base``.
    treated : bool array, shape (g,)
    stratum : int array, shape (g,)
        Codes 0, 1, ..., s - 1.
    weight : float array, shape (s,)
        Share of each stratum; arms are compared within strata.
    origin : float
        Ratio of all totals, subtracted for the sake of digits; the effect does not depend on it.
    """

    top: Floats
    base: Floats
    treated: Floats
    stratum: Floats
    weight: Floats
    origin: float

    def cells(self) -> list[tuple[Floats, Floats]]:
        """Positions of the control's and the treatment's units, stratum by stratum."""
        return [
            (np.flatnonzero(inside & ~self.treated), np.flatnonzero(inside & self.treated))
            for inside in (self.stratum == s for s in range(len(self.weight)))
        ]

    def products(self) -> Floats:
        """Columns that every statistic is a function of the sums of: top, base, their squares and product; (g, 5)."""
        t, b = self.top, self.base
        return np.column_stack([t, b, t * t, t * b, b * b])


def totals_of(
    top: Floats, base: Floats, treated: Floats, *, strata: Floats | None = None, clusters: Floats | None = None
) -> Totals:
    """Add rows up by cluster, and check that every arm has two units in every stratum.

    Parameters
    ----------
    top, base : float array, shape (n,)
        Values of the rows; ``base`` is 1 for a mean.
    treated : bool array, shape (n,)
    strata, clusters : int array, shape (n,), optional
        Codes from 0, perhaps with gaps.

    Raises
    ------
    EstimationError
        If a cluster lies in both arms or several strata, a cell has fewer than two units, or the base does not add up
        to more than zero.

    Examples
    --------
    >>> found = totals_of(np.array([1.0, 2.0, 3.0, 6.0]), np.ones(4), np.array([False, False, True, True]))
    >>> found.origin, found.top.tolist()
    (3.0, [-2.0, -1.0, 0.0, 3.0])
    """
    stratum = np.zeros(len(top), dtype=np.intp) if strata is None else np.unique(strata, return_inverse=True)[1]
    weight = np.bincount(stratum) / len(top)
    treated = np.asarray(treated, dtype=bool)
    if not np.sum(base) > 0:
        raise EstimationError(f"the denominator adds up to {np.sum(base):g}; a ratio needs it above zero")
    origin = float(np.sum(top) / np.sum(base))
    top = top - origin * base
    if clusters is not None:
        code, first = _one_cell_each(clusters, 2 * stratum + treated)
        top, base = np.bincount(code, weights=top), np.bincount(code, weights=base)
        treated, stratum = treated[first], stratum[first]
    check_sizes(
        np.bincount(2 * stratum + treated, minlength=2 * len(weight)), "unit" if clusters is None else "cluster"
    )
    return Totals(top=top, base=base, treated=treated, stratum=stratum, weight=weight, origin=origin)


def _one_cell_each(clusters: Floats, cell: Floats) -> tuple[Floats, Floats]:
    _, first, code = np.unique(clusters, return_index=True, return_inverse=True)
    apart = len(np.unique(code[cell[first][code] != cell]))
    if apart:
        raise EstimationError(
            f"{apart:,} of {len(first):,} clusters lie in both arms or in several strata",
            advice="Clusters are resampled whole, so each must lie in one arm of one stratum. Where arms were drawn "
            "within clusters, give these as strata.",
        )
    return code, first


def ratio_and_variance(sums: Floats, g: Floats | float) -> tuple[Floats, Floats]:
    """Ratio of two totals and its delta-method variance; a mean and s^2 / n where the base is 1.

    Parameters
    ----------
    sums : float array, shape (..., 5)
        Of top, base, top^2, top * base, base^2.
    g : float, or array of shape (...)
        Units that were added up.

    Returns
    -------
    ratio, variance : float array, shape (...)
        NaN where the base is not above zero.

    References
    ----------
    Cochran (1977), Sampling Techniques, 3rd ed., section 6.4 (with g / (g - 1)).

    Examples
    --------
    >>> [round(float(each), 4) for each in ratio_and_variance(np.array([6.0, 3.0, 14.0, 6.0, 3.0]), 3)]  # of 1, 2, 3
    [2.0, 0.3333]
    """
    t, b, tt, tb, bb = np.moveaxis(np.asarray(sums, dtype=float), -1, 0)
    base = np.where(b > 0, b, np.nan)
    ratio = t / base
    squares = tt - 2 * ratio * tb + ratio**2 * bb
    squares = np.where(squares > ROUNDING * (np.abs(tt) + ratio**2 * np.abs(bb)), squares, squares * 0)
    return ratio, np.asarray(squares / base**2 * (g / np.maximum(np.asarray(g) - 1, 1)))


def by_arm(parts: Parts, weight: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Ratios of both arms over strata with their variances.

    Parameters
    ----------
    parts : sequence of (sums of control, sums of treatment, units of control, units of treatment)
        A stratum each; sums of shape (..., 5).
    weight : float array, shape (s,)

    Returns
    -------
    control, treatment, variance of control, variance of treatment : float array, shape (...)
    """
    found = [np.float64(0.0)] * 4
    for (control, treatment, g0, g1), share in zip(parts, weight, strict=True):
        (r0, v0), (r1, v1) = ratio_and_variance(control, g0), ratio_and_variance(treatment, g1)
        own = (share * r0, share * r1, share**2 * v0, share**2 * v1)
        found = [total + each for total, each in zip(found, own, strict=True)]
    control, treatment, variance_control, variance_treatment = (np.asarray(each) for each in found)
    return control, treatment, variance_control, variance_treatment


def contrast(parts: Parts, weight: Floats) -> tuple[Floats, Floats]:
    """Effect and its variance over strata; see `by_arm`."""
    control, treatment, variance_control, variance_treatment = by_arm(parts, weight)
    return treatment - control, variance_control + variance_treatment


def own_sums(totals: Totals) -> Parts:
    """Add up the units as they are, stratum by stratum."""
    columns = totals.products()
    return [(columns[c].sum(axis=0), columns[t].sum(axis=0), len(c), len(t)) for c, t in totals.cells()]


def observed(totals: Totals) -> tuple[float, float]:
    """Effect and standard error of the units as they are.

    Examples
    --------
    >>> observed(totals_of(np.array([1.0, 2.0, 3.0, 5.0]), np.ones(4), np.array([False, False, True, True])))
    (2.5, 1.118033988749895)
    """
    effect, variance = contrast(own_sums(totals), totals.weight)
    return float(effect), float(np.sqrt(variance))


def studentised(effect: Floats, variance: Floats) -> Floats:
    """Effect over its standard error; infinite (the careful side) where an effect has no variance or no value.

    Examples
    --------
    >>> studentised(np.array([1.0, 1.0, 0.0, np.nan]), np.array([0.25, 0.0, 0.0, 1.0]))
    array([ 2., inf,  0., inf])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        t = effect / np.sqrt(variance)
    return np.where(effect == 0, 0.0, np.where(np.isnan(t), np.inf, t))
