"""How clusters, repeated measures and switchback periods change the variance of a comparison."""

from __future__ import annotations

import math
from typing import Literal

from cpi_experiments.errors import DesignError

Analysis = Literal["ancova", "change", "post"]


def cluster_effect(size: float, icc: float, *, size_cv: float = 0.0) -> float:
    """Factor by which assigning clusters instead of units inflates the variance: 1 + ((cv^2 + 1) m - 1) icc.

    Parameters
    ----------
    size : float
        Mean number m of units in a cluster.
    icc : float
        Intra-cluster correlation: share of the variance that lies between clusters.
    size_cv : float
        Standard deviation of the cluster sizes over their mean.

    References
    ----------
    Donner, Klar (2000), Design and Analysis of Cluster Randomization Trials; Eldridge, Ashby, Kerry (2006),
    International J. Epidemiology 35, for unequal sizes.

    Examples
    --------
    >>> round(cluster_effect(20, 0.05), 10), round(cluster_effect(20, 0.05, size_cv=0.5), 10)
    (1.95, 2.2)
    """
    _in_range(size, "cluster size {:g}", low=1, high=math.inf)
    _in_range(icc, "intra-cluster correlation {:g}", low=0, high=1)
    _in_range(size_cv, "coefficient of variation of the cluster sizes {:g}", low=0, high=math.inf)
    return 1 + ((size_cv**2 + 1) * size - 1) * icc


def repeated_factor(before: int, after: int, correlation: float, *, analysis: Analysis = "ancova") -> float:
    """Variance of a comparison of repeated measures, in variances of one measurement.

    Parameters
    ----------
    before, after : int
        Measurements of each unit before the start (0 or more) and after it (1 or more).
    correlation : float
        Between any two measurements of a unit.
    analysis : {"ancova", "change", "post"}
        The mean after, adjusted by the mean before; their difference; or the mean after alone.

    References
    ----------
    Frison, Pocock (1992), Repeated measures in clinical trials. Statistics in Medicine 11.

    Examples
    --------
    >>> round(repeated_factor(1, 1, 0.7), 2), round(repeated_factor(3, 3, 0.7), 4)
    (0.51, 0.1875)
    >>> round(repeated_factor(1, 1, 0.7, analysis="change"), 2), repeated_factor(0, 1, 0.7, analysis="post")
    (0.6, 1.0)
    """
    if not (isinstance(before, int) and isinstance(after, int) and before >= 0 and after >= 1):
        raise DesignError(
            f"{before} measurements before and {after} after the start",
            advice="Give whole numbers: 0 or more before, 1 or more after.",
        )
    _in_range(correlation, "correlation {:g} between measurements", low=0, high=1)
    if analysis not in ("ancova", "change", "post"):
        raise DesignError(f"analysis {analysis!r} is not known", advice="Known: ancova, change, post.")
    later = (1 + (after - 1) * correlation) / after
    if analysis == "post" or (before == 0 and analysis == "ancova"):
        return later
    if before == 0:
        raise DesignError("a change needs a measurement before the start", advice="Use analysis='post'.")
    if analysis == "change":
        return later + (1 + (before - 1) * correlation) / before - 2 * correlation
    return later - before * correlation**2 / (1 + (before - 1) * correlation)


def mean_autocorrelation(periods: float, correlation: float) -> float:
    """Mean correlation between two different periods of a first-order autoregressive series.

    Where periods are assigned at random this is the share of the variance between periods that treatment and control
    have in common: 2 / (G (G - 1)) times the sum of (G - k) r^k over the distances k.

    Parameters
    ----------
    periods : float
        Number G of periods, above 1; need not be whole.
    correlation : float
        Between neighbouring periods, 0 or more and below 1.

    Examples
    --------
    >>> round(mean_autocorrelation(2, 0.5), 10), round(mean_autocorrelation(3, 0.5), 10)
    (0.5, 0.4166666667)
    """
    _in_range(periods, "{:g} periods", low=1 + 1e-9, high=math.inf)
    if not 0 <= correlation < 1:
        raise DesignError(f"autocorrelation {correlation:g} between periods is not from 0 to below 1")
    if correlation == 0 or math.isinf(periods):
        return 0.0
    left = 1 - correlation
    total = (periods * correlation * left - correlation * (1 - correlation**periods)) / left**2
    return float(2 * total / (periods * (periods - 1)))


def best_control_share(control_sd: float, treatment_sd: float, *, treatments: int = 1) -> float:
    """Share of all units that the control should have: its sd times the root of the number of treatments, to 1.

    References
    ----------
    Dunnett (1955) for the root; Neyman (1934) for the standard deviations.

    Examples
    --------
    >>> round(best_control_share(1.0, 1.0), 4), round(best_control_share(1.0, 1.0, treatments=4), 4)
    (0.5, 0.3333)
    """
    weight = math.sqrt(treatments) * control_sd
    return weight / (weight + treatments * treatment_sd)


def _in_range(value: float, what: str, *, low: float, high: float) -> None:
    if not (low <= value <= high and math.isfinite(value)):
        limits = f"from {low:.3g} to {high:g}" if math.isfinite(high) else f"{low:.3g} or more"
        raise DesignError(f"{what.format(value)} is not possible", advice=f"It is {limits}.")
