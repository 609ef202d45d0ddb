"""What makes a comparison more or less precise than the same number of single customers, and planned looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.planning.given import count, real
from cpi_experiments.stats.planning.design_effects import (
    Analysis,
    cluster_effect,
    mean_autocorrelation,
    repeated_factor,
)
from cpi_experiments.stats.sequential.group_sequential import Spending, boundaries

HOURS = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """Several measurements of each customer before and after the start, equally correlated.

    Parameters
    ----------
    before, after : int
        Measurements before the start and after it.
    correlation : float
        Between two measurements of a customer, from 0 to 1.
    analysis : {"ancova", "change", "post"}
        Mean after adjusted by the mean before (as `compare` does with a covariate), their difference, or after alone.

    Examples
    --------
    >>> round(Repeated(before=1, after=1, correlation=0.7).factor, 2)
    0.51
    """

    before: int
    after: int
    correlation: float
    analysis: Analysis = "ancova"

    def __post_init__(self) -> None:
        count(self.before, "before")
        count(self.after, "after")
        real(self.correlation, "correlation")
        if not self.factor > 0:
            raise DesignError("measurements that repeat each other exactly leave no variance", advice="Check the data.")

    @property
    def after_factor(self) -> float:
        """Variance of the mean after the start, in variances of one measurement."""
        return repeated_factor(self.before, self.after, self.correlation, analysis="post")

    @property
    def factor(self) -> float:
        """Variance that the analysis leaves, in variances of one measurement."""
        return repeated_factor(self.before, self.after, self.correlation, analysis=self.analysis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Groups that are assigned as a whole, such as shops.

    Parameters
    ----------
    size : float
        Mean number of customers in a cluster.
    icc : float
        Intra-cluster correlation, from 0 to 1.
    size_cv : float
        Standard deviation of the cluster sizes over their mean.

    Examples
    --------
    >>> round(Clusters(size=50, icc=0.02).effect(40), 2)
    1.98
    """

    size: float
    icc: float
    size_cv: float = 0.0

    def __post_init__(self) -> None:
        for name in ("size", "icc", "size_cv"):
            real(getattr(self, name), name)
        self.effect(2.0)

    def effect(self, groups: float) -> float:  # noqa: ARG002 - one signature with `Switchback`
        """Variance in variances of single customers."""
        return cluster_effect(self.size, self.icc, size_cv=self.size_cv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switchback:
    """Periods of time that are assigned as a whole, at random, such as hours of a market.

    Parameters
    ----------
    hours : float
        Length of a period.
    per_hour : float
        Customers an hour.
    icc : float
        Share of the variance of a customer's outcome that lies between periods.
    washout_hours : float
        Hours at the start of each period that are left out, so that the period before no longer acts.
    autocorrelation : float
        Of the period means from one period to the next (first-order), from 0 to below 1. Random assignment makes the
        shared part cancel, so it never needs more periods; fewer only where there are few.
    size_cv : float
        Standard deviation of the customers per period over their mean.

    Examples
    --------
    Two hours of six are washed out: a third of the customers is lost.

    >>> plan = Switchback(hours=6, per_hour=100, icc=0.05, washout_hours=2)
    >>> plan.size, round(plan.effect(40), 3)
    (600, 31.425)
    """

    hours: float
    per_hour: float
    icc: float
    washout_hours: float = 0.0
    autocorrelation: float = 0.0
    size_cv: float = 0.0

    def __post_init__(self) -> None:
        for name in ("hours", "per_hour", "icc", "washout_hours", "autocorrelation", "size_cv"):
            real(getattr(self, name), name)
        for value, what in ((self.hours, "hours a period"), (self.per_hour, "customers an hour")):
            if not (value > 0 and math.isfinite(value)):
                raise DesignError(f"{value:g} {what}", advice="Above zero.")
        if not 0 <= self.washout_hours < self.hours:
            raise DesignError(
                f"a washout of {self.washout_hours:g} hours leaves nothing of a period of {self.hours:g} hours",
                advice="Plan periods that are several times as long as an effect carries over.",
            )
        self.effect(2.0)

    @property
    def size(self) -> float:
        """Customers who come in a period, washed out ones included."""
        return self.hours * self.per_hour

    def effect(self, groups: float) -> float:
        """Variance in variances of single customers, for this number of periods in two arms."""
        kept = 1 - self.washout_hours / self.hours
        shared = mean_autocorrelation(max(groups, 2.0), self.autocorrelation)
        whole = cluster_effect(max(self.size * kept, 1.0), self.icc, size_cv=self.size_cv)
        between = whole - (1 - self.icc)
        return (1 - self.icc + between * (1 - shared)) / kept

    @property
    def per_day(self) -> float:
        """Customers a day."""
        return HOURS * self.per_hour


Grouping = Clusters | Switchback


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """Planned looks at the result, each of which may end the experiment.

    Parameters
    ----------
    number : int, optional
        Equally spaced looks, the last at the end.
    times : sequence of float, optional
        Shares of the final sample at which to look instead, increasing to 1.
    spending : {"obrien_fleming", "pocock", "power"}
        How alpha is spent: late, evenly, or as time to the power ``rho``.
    rho : float

    Examples
    --------
    >>> Looks(number=4).fractions
    (0.25, 0.5, 0.75, 1.0)
    """

    number: int | None = None
    times: Sequence[float] | None = None
    spending: Spending = "obrien_fleming"
    rho: float = 3.0

    def __post_init__(self) -> None:
        if (self.number is None) == (self.times is None):
            raise DesignError("looks need either their number or their times", advice="Such as Looks(number=4).")
        if self.number is not None and not 1 <= count(self.number, "number of looks") <= 100:
            raise DesignError(
                f"{self.number} looks", advice="From 1 to 100; more often: monitor without planned looks."
            )
        if self.times is not None and not (len(self.times) and abs(self.times[-1] - 1) < 1e-12):
            raise DesignError(f"the last look is not at the end: times {list(self.times)}", advice="End with 1.")
        self.bounds(0.05, two_sided=True)

    @property
    def fractions(self) -> tuple[float, ...]:
        """Shares of the final sample, the last 1."""
        if self.times is not None:
            return tuple(float(t) for t in self.times)
        number = self.number or 1
        return tuple((i + 1) / number for i in range(number))

    def bounds(self, alpha: float, *, two_sided: bool) -> tuple[float, ...]:
        """Values of z beyond which each look rejects."""
        return _bounds(self.fractions, alpha, self.spending, self.rho, two_sided=two_sided)


@lru_cache(maxsize=256)
def _bounds(
    times: tuple[float, ...], alpha: float, spending: Spending, rho: float, *, two_sided: bool
) -> tuple[float, ...]:
    found = boundaries(times, alpha=alpha, spending=spending, rho=rho, two_sided=two_sided)
    return tuple(float(z) for z in found)
