"""What is known of an outcome before an experiment: enough for its variance in each arm, nothing more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.planning.given import real
from cpi_experiments.stats.planning.event_power import LogRankMoments, event_probability, log_rank_moments

#: Lowest and highest mean that an outcome can have.
Range = tuple[float, float]
EVERYWHERE: Range = (-math.inf, math.inf)
ABOVE_ZERO: Range = (0.0, math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMean:
    """A mean per customer, such as revenue.

    Parameters
    ----------
    sd : float
        Standard deviation between customers within an arm, before any adjustment; the same in all arms.
    mean : float, optional
        Mean of the control, in the outcome's unit; needed for relative effects.

    Examples
    --------
    >>> PlannedMean(sd=12.0, mean=40.0).variance_at(41.0)
    144.0
    """

    sd: float
    mean: float | None = None

    def __post_init__(self) -> None:
        _above_zero(self.sd, "standard deviation")
        if self.mean is not None and not math.isfinite(real(self.mean, "mean")):
            raise DesignError(f"mean {self.mean:g} is not a number to plan with")

    @property
    def baseline(self) -> float:
        """Mean of the control; NaN if not known."""
        return math.nan if self.mean is None else self.mean

    @property
    def possible(self) -> Range:
        """Means that the outcome can have."""
        return EVERYWHERE

    def variance_at(self, mean: float) -> float:  # noqa: ARG002 - one signature for every outcome
        """Variance of one customer in an arm with this mean."""
        return self.sd**2


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedProportion:
    """A share of customers, such as those who stay; each arm varies by its own rate.

    Parameters
    ----------
    rate : float
        Share in the control, between 0 and 1.

    Examples
    --------
    >>> round(PlannedProportion(rate=0.4).variance_at(0.5), 4)
    0.25
    """

    rate: float

    def __post_init__(self) -> None:
        if not 0 < real(self.rate, "rate") < 1:
            advice = f"Did you mean {self.rate / 100:g}?" if 1 < self.rate < 100 else "A share of customers."
            raise DesignError(f"rate {self.rate:g} is not between 0 and 1", advice=advice)

    @property
    def baseline(self) -> float:
        """Share in the control."""
        return self.rate

    @property
    def possible(self) -> Range:
        """Means that the outcome can have."""
        return (0.0, 1.0)

    def variance_at(self, mean: float) -> float:
        """Variance of one customer in an arm with this rate."""
        return mean * (1 - mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCount:
    """A number of events per customer, such as calls; each arm varies by its own rate.

    Parameters
    ----------
    rate : float
        Events per customer in the control, over the time that each customer is watched.
    dispersion : float
        Variance over mean: 1 for Poisson, more where some customers call much more often than others.

    Examples
    --------
    >>> PlannedCount(rate=0.5, dispersion=2.0).variance_at(0.6)
    1.2
    """

    rate: float
    dispersion: float = 1.0

    def __post_init__(self) -> None:
        _above_zero(self.rate, "rate")
        _above_zero(self.dispersion, "dispersion")

    @property
    def baseline(self) -> float:
        """Events per customer in the control."""
        return self.rate

    @property
    def possible(self) -> Range:
        """Means that the outcome can have."""
        return ABOVE_ZERO

    def variance_at(self, mean: float) -> float:
        """Variance of one customer in an arm with this rate."""
        return self.dispersion * mean


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRatio:
    """A ratio of two means, such as orders per visit, by the delta method.

    Parameters
    ----------
    numerator_mean, denominator_mean : float
        Per customer; the denominator above zero.
    numerator_sd, denominator_sd : float
        Between customers within an arm.
    correlation : float
        Between numerator and denominator of a customer, from -1 to 1.

    Notes
    -----
    The variance (sn^2 - 2 R r sn sd + R^2 sd^2) / mean(denominator)^2 is taken to be the same in all arms.

    Examples
    --------
    >>> orders = PlannedRatio(numerator_mean=1.0, denominator_mean=4.0, numerator_sd=1.2, denominator_sd=2.0,
    ...                       correlation=0.6)
    >>> orders.baseline, round(orders.variance_at(0.26), 4)
    (0.25, 0.0606)
    """

    numerator_mean: float
    denominator_mean: float
    numerator_sd: float
    denominator_sd: float
    correlation: float

    def __post_init__(self) -> None:
        _above_zero(self.denominator_mean, "mean of the denominator")
        _above_zero(self.numerator_sd, "standard deviation of the numerator")
        if not math.isfinite(real(self.numerator_mean, "mean of the numerator")):
            raise DesignError(f"mean {self.numerator_mean:g} of the numerator is not a number to plan with")
        if not (
            real(self.denominator_sd, "standard deviation of the denominator") >= 0
            and math.isfinite(self.denominator_sd)
        ):
            raise DesignError(f"standard deviation {self.denominator_sd:g} of the denominator is below zero")
        if not -1 <= real(self.correlation, "correlation") <= 1:
            raise DesignError(f"correlation {self.correlation:g} is not from -1 to 1")
        _above_zero(self.variance_at(self.baseline), "variance of the ratio")

    @property
    def baseline(self) -> float:
        """Ratio of the means in the control."""
        return self.numerator_mean / self.denominator_mean

    @property
    def possible(self) -> Range:
        """Means that the outcome can have."""
        return EVERYWHERE

    def variance_at(self, mean: float) -> float:  # noqa: ARG002 - one signature for every outcome
        """Variance of one customer's share in the ratio."""
        shared = self.baseline * self.denominator_sd
        both = self.numerator_sd**2 - 2 * self.correlation * self.numerator_sd * shared + shared**2
        return both / self.denominator_mean**2


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEvents:
    """Time until an event, such as leaving, compared by the log-rank test; effects are hazard ratios.

    Parameters
    ----------
    hazard : float
        Events per customer and day in the control, constant over time: -log(1 - share) / days.
    follow_up : float
        Days from the last entry to the end.
    accrual : float
        Days over which customers enter evenly; 0 if all enter at once. Where `design` knows ``per_day`` it follows
        from the traffic, and must be left out here.
    loss : float
        Customers lost from sight per customer and day.
    formula : {"integrated", "schoenfeld"}
        Moments of the log-rank statistic over the course of the trial, or Schoenfeld's count of events; the latter
        promises too much or too little power where the arms differ in size (68 % for 80 % at 4:1 and ratio 0.5).

    Examples
    --------
    >>> leaving = PlannedEvents(hazard=-math.log(1 - 0.2) / 365, follow_up=365)
    >>> round(leaving.share_seen(0.5, accrual=0.0), 4)
    0.1056
    """

    hazard: float
    follow_up: float
    accrual: float = 0.0
    loss: float = 0.0
    formula: Literal["integrated", "schoenfeld"] = "integrated"

    def __post_init__(self) -> None:
        for name in ("hazard", "follow_up", "accrual", "loss"):
            real(getattr(self, name), name)
        self.share_seen(1.0, accrual=self.accrual)
        if self.formula not in ("integrated", "schoenfeld"):
            raise DesignError(f"formula {self.formula!r} is not known", advice="Known: integrated, schoenfeld.")

    def share_seen(self, hazard_ratio: float, *, accrual: float) -> float:
        """Share of an arm's customers whose event is seen."""
        return event_probability(self.hazard * hazard_ratio, self.follow_up, accrual=accrual, loss=self.loss)

    def accrual_of(self, n: float, *, per_day: float | None) -> float:
        """Days over which ``n`` customers enter, by the traffic if it is known."""
        return n / per_day if per_day else self.accrual

    def moments(
        self, hazard_ratio: float, *, against: float, weights: tuple[float, float], accrual: float
    ) -> LogRankMoments:
        """Moments of the score of one customer in control or treatment, whose numbers are as ``weights``."""
        share = weights[1] / sum(weights)
        if self.formula == "integrated":
            return log_rank_moments(
                (self.hazard, self.hazard * hazard_ratio),
                self.follow_up,
                accrual=accrual,
                loss=self.loss,
                treatment_share=share,
                null_ratio=against,
            )
        seen = [self.share_seen(ratio, accrual=accrual) for ratio in (1.0, hazard_ratio)]
        information = share * (1 - share) * ((1 - share) * seen[0] + share * seen[1])
        score = math.log(hazard_ratio / against) * information
        return LogRankMoments(score=score, information=information, variance=information)


MeanOutcome = PlannedMean | PlannedProportion | PlannedCount | PlannedRatio
PlannedOutcome = MeanOutcome | PlannedEvents


def _above_zero(value: float, what: str) -> None:
    if not (real(value, what) > 0 and math.isfinite(value)):
        raise DesignError(f"{what} {value:g} is not above zero")
