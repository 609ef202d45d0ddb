"""The test that will be run, as far as it is known before: its power, the one code path of every plan."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from scipy import special

from cpi_experiments.randomized.arms import Label
from cpi_experiments.randomized.planning.planned_outcomes import MeanOutcome, PlannedEvents, PlannedOutcome
from cpi_experiments.randomized.planning.precision import Grouping, Looks
from cpi_experiments.stats.planning.equivalence_power import equivalence_power
from cpi_experiments.stats.planning.many_arm_power import dunnett_critical
from cpi_experiments.stats.planning.power import t_test_power
from cpi_experiments.stats.sequential.group_sequential import crossing_probability
from cpi_experiments.stats.student import quantile

Goal = Literal["superiority", "non_inferiority", "equivalence"]
Scale = Literal["absolute", "relative", "hazard_ratio"]
Correction = Literal["none", "bonferroni", "dunnett"]
Alternative = Literal["two-sided", "greater", "less"]
Better = Literal["higher", "lower"]
#: Beyond this many standard errors every test of every plan rejects: drifts further out change nothing.
_SURE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One treatment against the control as the test sees it.

    Parameters
    ----------
    delta : float
        True value of what is tested against zero.
    std_error : float
    df : float
        Below 1 the test cannot be run.
    control_share : float
        Share of the control in the squared standard error.
    spread : float
        True standard deviation of the statistic, where the test does not estimate it.
    """

    delta: float
    std_error: float
    df: float
    control_share: float
    spread: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTest:
    """Everything that the power depends on besides sample size, effect and margin.

    Parameters
    ----------
    outcome : PlannedOutcome
    labels : tuple of label
        Arms, the control first.
    shares : tuple of float
        Of all customers, by arm; they add up to 1.
    goal, scale, alpha, alternative, better, correction
        As in `cpi_experiments.randomized.planning.design.design`.
    factor : float
        Variance of the outcome in variances of one customer's measurement, after strata.
    left : float
        Share of that variance that covariates leave.
    grouping : Clusters or Switchback, optional
    looks : Looks, optional
    per_day : float, optional
        Customers who enter a day; gives the accrual of times to an event.
    """

    outcome: PlannedOutcome
    labels: tuple[Label, ...]
    shares: tuple[float, ...]
    goal: Goal
    scale: Scale
    alpha: float
    alternative: Alternative
    better: Better
    correction: Correction
    factor: float = 1.0
    left: float = 1.0
    grouping: Grouping | None = None
    looks: Looks | None = None
    per_day: float | None = None

    @property
    def two_sided(self) -> bool:
        """Whether effects of both signs are looked for."""
        return self.goal == "superiority" and self.alternative == "two-sided"

    @property
    def test_alpha(self) -> float:
        """Level of one comparison, after Bonferroni."""
        return self.alpha / (len(self.shares) - 1) if self.correction == "bonferroni" else self.alpha

    @property
    def tail(self) -> float:
        """Chance of a false alarm on the side that counts, in one comparison without looks."""
        return self.test_alpha / 2 if self.two_sided else self.test_alpha

    @property
    def none(self) -> float:
        """The effect that is no effect: 1 for a hazard ratio, else 0."""
        return 1.0 if self.scale == "hazard_ratio" else 0.0

    @property
    def sign(self) -> int:
        """Direction of effects that are solved for."""
        return -1 if self.alternative == "less" or (self.two_sided and self.better == "lower") else 1

    def towards(self, effect: float) -> PlannedTest:
        """Return the same test looking to the side of this effect, where a two-sided one is solved for its effect."""
        return replace(self, better="lower" if effect < self.none else "higher") if self.two_sided else self

    def limits(self, margin: float) -> tuple[float, float]:
        """Lowest and highest effect that the margin accepts."""
        low, high = (1 / margin, margin) if self.scale == "hazard_ratio" else (-margin, margin)
        if self.goal == "equivalence":
            return low, high
        return (-math.inf, high) if self.better == "lower" else (low, math.inf)

    def power(self, n: float, *, effect: float, margin: float | None = None) -> float:
        """Power of the weakest comparison; arguments as in `power_by_arm`."""
        return min(self.power_by_arm(n, effect=effect, margin=margin))

    def power_by_arm(self, n: float, *, effect: float, margin: float | None = None) -> tuple[float, ...]:
        """Power of each treatment's comparison with the control, in the order of the labels.

        Parameters
        ----------
        n : float
            Customers in all arms together; need not be whole.
        effect : float
            True effect of every treatment, on the effect scale.
        margin : float, optional
            For non-inferiority and equivalence.
        """
        limits = (self.none, self.none) if margin is None else self.limits(margin)
        against = [limit for limit in dict.fromkeys(limits) if math.isfinite(limit)]
        contrasts = [
            [self.contrast(n, arm=j, effect=effect, against=limit) for limit in against]
            for j in range(1, len(self.shares))
        ]
        if min(each.df for pair in contrasts for each in pair) < 1:
            return (0.0,) * len(contrasts)
        critical = self._critical([pair[0] for pair in contrasts]) if self.correction == "dunnett" else None
        return tuple(self._power(pair, critical) for pair in contrasts)

    def contrast(self, n: float, *, arm: int, effect: float, against: float | None = None) -> Contrast:
        """Describe treatment ``arm`` against the control as a test with ``n`` customers in all arms sees it.

        Parameters
        ----------
        n : float
        arm : int
            Place among the labels.
        effect : float
        against : float, optional
            Effect that the null hypothesis names; by default none.
        """
        null = self.none if against is None else against
        if isinstance(self.outcome, PlannedEvents):
            return self._log_rank(self.outcome, n, arm=arm, ratios=(effect, null))
        sizes = n * self.shares[0], n * self.shares[arm]
        delta, variances = difference(
            self.outcome, effect, against=null, relative=self.scale == "relative", left=self.left
        )
        groups = math.inf if self.grouping is None else sum(sizes) / self.grouping.size
        inflation = self.factor * (1.0 if self.grouping is None else self.grouping.effect(groups))
        parts = [inflation * v / size for v, size in zip(variances, sizes, strict=True)]
        return Contrast(
            delta=delta,
            std_error=math.sqrt(sum(parts)),
            df=_welch_df(parts, sizes) if self.grouping is None else _grouped_df(parts, sizes, self.grouping),
            control_share=parts[0] / (parts[0] + parts[1]),
        )

    def _log_rank(self, outcome: PlannedEvents, n: float, *, arm: int, ratios: tuple[float, float]) -> Contrast:
        """Score over information estimates the log hazard ratio."""
        weights = self.shares[0], self.shares[arm]
        accrual = outcome.accrual_of(n, per_day=self.per_day)
        moments = outcome.moments(ratios[0], against=ratios[1], weights=weights, accrual=accrual)
        return Contrast(
            delta=moments.score / moments.information,
            std_error=1 / math.sqrt(n * sum(weights) * moments.information),
            df=math.inf,
            control_share=weights[1] / sum(weights),
            spread=math.sqrt(moments.variance / moments.information),
        )

    def _critical(self, contrasts: list[Contrast]) -> float:
        df = min(contrast.df for contrast in contrasts)
        shares = [contrast.control_share for contrast in contrasts]
        return dunnett_critical(shares, df, alpha=self.alpha, two_sided=self.two_sided)

    def _power(self, contrasts: list[Contrast], critical: float | None) -> float:
        first, last = contrasts[0], contrasts[-1]
        df = min(first.df, last.df)
        if self.goal == "equivalence":
            limit = quantile(1 - self.test_alpha, df)
            low, high = (
                (sign * each.delta / each.std_error - limit) / each.spread + limit
                for sign, each in ((1, first), (-1, last))
            )
            return equivalence_power(low, high, df, alpha=self.test_alpha)
        downwards = self.better == "lower" if self.goal == "non_inferiority" else self.alternative == "less"
        shift = first.delta / first.std_error
        return self._rejects(-shift if downwards else shift, df, critical, first.spread)

    def _rejects(self, shift: float, df: float, critical: float | None, spread: float) -> float:
        """Power of a two-sided test, or of one that looks upwards."""
        limit = quantile(1 - self.tail, df) if critical is None else critical
        if self.looks is None:
            side = "two-sided" if self.two_sided else "greater"
            return t_test_power(shift / spread, df, alternative=side, critical=limit / spread)
        level = 2 * self.tail if self.two_sided else self.tail
        bounds = [bound / spread for bound in self.looks.bounds(level, two_sided=self.two_sided)]
        drift = _normal_drift((abs(shift) if self.two_sided else shift) / spread, df, self.tail)
        found = crossing_probability(self.looks.fractions, bounds, drift=drift, two_sided=self.two_sided)
        return float(found.sum())


def difference(
    outcome: MeanOutcome, effect: float, *, against: float = 0.0, relative: bool = False, left: float = 1.0
) -> tuple[float, tuple[float, float]]:
    """Value that the test of an effect compares with zero, and the variance of one customer in control and treatment.

    As `compare` does it: an absolute effect is the difference less the limit; a relative one the log of the ratio of
    the means; a relative one against a margin the contrast ``treatment - (1 + limit) control``. Relative effects
    refer to the control's mean before adjustment.

    Parameters
    ----------
    outcome : PlannedMean, PlannedProportion, PlannedCount or PlannedRatio
    effect, against : float
        True effect, and the one that the null hypothesis names.
    relative : bool
    left : float
        Share of the variance that covariates leave.

    Examples
    --------
    >>> from cpi_experiments.randomized.planning.planned_outcomes import PlannedProportion
    >>> value, variances = difference(PlannedProportion(rate=0.4), 0.1, against=-0.02)
    >>> value, [round(v, 4) for v in variances]
    (0.12000000000000001, [0.24, 0.25])
    """
    base = outcome.baseline
    mean = base * (1 + effect) if relative else base + effect
    value, adjusted, raw, treated = effect - against, -1.0, 0.0, 1.0
    if relative and against:
        value, raw = base * (effect - against), -against
    elif relative:
        value, adjusted, raw, treated = math.log1p(effect), -1 / mean, 1 / mean - 1 / base, 1 / mean
    control = left * (adjusted + raw) ** 2 + (1 - left) * raw**2
    return value, (outcome.variance_at(base) * control, outcome.variance_at(mean) * left * treated**2)


def _welch_df(parts: list[float], sizes: tuple[float, float]) -> float:
    if min(sizes) < 2:
        return 0.0
    total = sum(parts)
    return 1 / sum((part / total) ** 2 / (size - 1) for part, size in zip(parts, sizes, strict=True))


def _grouped_df(parts: list[float], sizes: tuple[float, float], grouping: Grouping) -> float:
    """Welch's over whole groups; an arm of unequal groups has Bell and McCaffrey's, about (G - 1) / (1 + CV^2)."""
    control, treatment = (size / grouping.size for size in sizes)
    return _welch_df(parts, (control, treatment)) / (1 + grouping.size_cv**2)


def _normal_drift(shift: float, df: float, tail: float) -> float:
    """Shift of a normal statistic with the same power as Student's in one look: looks compare p-values."""
    if math.isinf(df) or abs(shift) > _SURE:
        return max(min(shift, _SURE), -_SURE)
    chance = t_test_power(shift, df, alpha=tail, alternative="greater")
    lost = t_test_power(-shift, df, alpha=tail, alternative="greater", critical=-quantile(1 - tail, df))
    score = special.ndtri(chance) if chance < 0.5 else -special.ndtri(lost)
    return float(max(min(score + quantile(1 - tail, math.inf), _SURE), -_SURE))
