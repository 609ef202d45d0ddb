"""Plan an experiment for one outcome: any one of sample, effect and power from the others, on one code path."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cpi_experiments.display import Displayed, Row, percent, short
from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.arms import Label
from cpi_experiments.randomized.planning import design_inputs as inputs
from cpi_experiments.randomized.planning.design_words import notes_of, sentence
from cpi_experiments.randomized.planning.given import real
from cpi_experiments.randomized.planning.planned_outcomes import PlannedEvents, PlannedOutcome
from cpi_experiments.randomized.planning.planned_test import Alternative, Better, Correction, Goal, PlannedTest
from cpi_experiments.randomized.planning.solving import days_of, n_of, solve_effect, solve_margin, solve_n
from cpi_experiments.randomized.planning.whole_numbers import check_population, rounded_up, split

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from matplotlib.figure import Figure

    from cpi_experiments.randomized.planning.precision import Clusters, Looks, Repeated, Switchback

USUAL_POWER = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Design(Displayed):
    """An experiment on one outcome, planned.

    Parameters
    ----------
    n : int
        Customers in all arms together.
    n_exact : float
        The same before it was rounded up to whole customers (or clusters) in every arm.
    n_by_arm : dict of label to int
    n_clusters_by_arm : dict of label to int, or None
        Clusters or switchback periods.
    effect : float
        Planned true effect of every treatment: absolute, relative (0.05 is +5 %) or a hazard ratio.
    margin : float or None
        For non-inferiority and equivalence.
    power : float
        Of the weakest comparison with the control, at ``n``.
    days : float
        NaN if the traffic is not known.
    test : PlannedTest
        Everything else that was asked for.
    notes : tuple of str
    """

    n: int
    n_exact: float
    n_by_arm: dict[Label, int]
    n_clusters_by_arm: dict[Label, int] | None
    effect: float
    margin: float | None
    power: float
    days: float
    test: PlannedTest
    notes: tuple[str, ...]

    def power_at(self, *, n: float | None = None, effect: float | None = None, margin: float | None = None) -> float:
        """Power of the same plan with another sample, effect or margin; what is left out stays as planned.

        Raises
        ------
        DesignError
            If the sample cannot be analysed, or the outcome cannot have the effect.

        Examples
        --------
        >>> from cpi_experiments.randomized.planning.planned_outcomes import PlannedMean
        >>> plan = design(PlannedMean(sd=1.0), effect=0.1)
        >>> round(plan.power_at(n=plan.n / 2), 3), round(plan.power_at(effect=0.05), 3)
        (0.508, 0.288)
        """
        size = self.n if n is None else inputs.check_n(self.test, n)
        true = self.effect if effect is None else inputs.check_effect(self.test, effect)
        wide = self.margin if margin is None else inputs.check_margin(self.test, margin, effect=true)
        return self.test.power(size, effect=true, margin=wide)

    def plot(self) -> Figure:
        """Draw the power against the sample and against the effect (or margin), the plan marked."""
        from cpi_experiments.randomized.planning.design_curves import draw_design  # noqa: PLC0415 - matplotlib

        return draw_design(self)

    def _title(self) -> str:
        return "\n".join([sentence(self), *self.notes])

    def _rows(self) -> list[Row]:
        power = (None, *self.test.power_by_arm(self.n, effect=self.effect, margin=self.margin))
        rows = []
        for arm, share, each in zip(self.test.labels, self.test.shares, power, strict=True):
            row: Row = {"arm": arm, "share": share, "n": self.n_by_arm[arm]}
            if self.n_clusters_by_arm:
                row["clusters"] = self.n_clusters_by_arm[arm]
            rows.append({**row, "power": each})
        return rows

    def _shown(self) -> list[dict[str, str]]:
        return [
            {key: percent(value, 1) if key in ("share", "power") and value is not None else short(value)
             for key, value in row.items()}
            for row in self._rows()
        ]  # fmt: skip


def design(  # noqa: PLR0913 - a door: every argument after the first is named by the caller
    outcome: PlannedOutcome,
    *,
    control: Label = "control",
    allocation: Mapping[Any, float] | None = None,
    effect: float | None = None,
    n: float | None = None,
    days: float | None = None,
    power: float | None = None,
    per_day: float | None = None,
    population: float | None = None,
    effect_scale: Literal["absolute", "relative"] = "absolute",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    goal: Goal = "superiority",
    margin: float | None = None,
    better: Better = "higher",
    covariate_r2: float = 0.0,
    strata_r2: float = 0.0,
    repeated: Repeated | None = None,
    clusters: Clusters | None = None,
    switchback: Switchback | None = None,
    looks: Looks | None = None,
    correction: Correction = "none",
) -> Design:
    """Plan an experiment that compares treatments with a control on one outcome.

    Give two of: the size (``n`` or ``days``), the effect, the power; the third is found. The power is 0.8 if only the
    size or the effect is given. For non-inferiority and equivalence the ``margin`` takes the place of the effect, and
    ``effect`` is the true difference that is reckoned with (none by default).

    Parameters
    ----------
    outcome : PlannedMean, PlannedProportion, PlannedCount, PlannedRatio or PlannedEvents
        What is known of the outcome beforehand.
    control : label
    allocation : mapping of arm to weight, optional
        Two or more arms; by default the control and one treatment of the same size.
    effect : float, optional
        Treatment less control, in the outcome's unit; relative to the control mean; or a hazard ratio.
    n : float, optional
        Customers in all arms together.
    days : float, optional
        Duration instead of ``n``; needs ``per_day``.
    power : float, optional
        Of every comparison with the control.
    per_day : float, optional
        Customers who enter a day, in all arms together.
    population : float, optional
        Customers who exist; a plan that needs more is refused.
    effect_scale : {"absolute", "relative"}
        Relative effects are tested as `compare` builds its relative interval, on the log of the ratio of means;
        relative margins as `compare` tests them. An absolute test of "5 % more" is planned with
        ``effect=0.05 * mean``. Hazard ratios have no other scale.
    alpha : float
        Of the test that ``alternative`` names: two-sided by default.
    alternative : {"two-sided", "greater", "less"}
        Of a test of superiority.
    goal : {"superiority", "non_inferiority", "equivalence"}
        Non-inferiority is one one-sided test at ``alpha`` and equivalence two of them, as in `compare`: their intervals
        are the one-sided 95 % and the two-sided 90 % one. Use ``alpha=0.025`` where the usual 95 % interval shall
        decide.
    margin : float, optional
        Above zero, on the scale of the effect; for times to an event a hazard ratio above 1.
    better : {"higher", "lower"}
        Which way the outcome (the hazard ratio) is better: the side of the margin of non-inferiority, and of the effect
        that a two-sided test is found to detect.
    covariate_r2, strata_r2 : float
        Share of the variance within arms that covariates (CUPED) explain, and strata before them; with clusters or
        periods, of the variance of their means.
    repeated : Repeated, optional
        Several measurements of a customer; ``sd`` is then that of one measurement.
    clusters : Clusters, optional
        Groups assigned as a whole; the test is Welch's of their means, an arm of G clusters having about
        (G - 1) / (1 + size_cv^2) degrees of freedom.
    switchback : Switchback, optional
        Periods assigned as a whole.
    looks : Looks, optional
        Planned looks that may stop the experiment early.
    correction : {"none", "bonferroni", "dunnett"}
        For several treatments: the chance of any false alarm is alpha.

    Returns
    -------
    Design

    Raises
    ------
    DesignError
        If a number is outside its range, too much or too little is given, parts do not go together, or the plan needs
        more customers than exist; the message then says what effect all of them would find.

    Notes
    -----
    Power is that of the test that `compare` runs: Student's noncentral t with Welch's degrees of freedom and each
    arm's own variance; for times to an event the normal log-rank statistic (Schoenfeld 1981); for looks the exact
    group-sequential chance to cross. All three questions are answered by that one function: the answers are exact
    inverses of each other in ``n_exact``.

    References
    ----------
    Cohen (1988), Statistical Power Analysis; Julious (2004), Statistics in Medicine 23; Donner, Klar (2000); Frison,
    Pocock (1992); Schoenfeld (1981); Jennison, Turnbull (2000).

    Examples
    --------
    >>> from cpi_experiments.randomized.planning.planned_outcomes import PlannedMean, PlannedProportion
    >>> print(design(PlannedProportion(rate=0.10), effect=0.01, per_day=1200))
    29,498 customers (14,749 an arm, 25 days) find a lift of 1 point with power 80%.
    <BLANKLINE>
    arm        share  n       power
    control    50.0%  14,749
    treatment  50.0%  14,749  80.0%

    The other two questions:

    >>> round(design(PlannedMean(sd=12.0), n=5_000, covariate_r2=0.4).effect, 3)
    0.737
    >>> round(design(PlannedMean(sd=12.0), n=5_000, effect=0.5).power, 3)
    0.313
    """
    inputs.check_words(
        {
            "goal": goal,
            "effect_scale": effect_scale,
            "alternative": alternative,
            "better": better,
            "correction": correction,
        }
    )
    grouping = inputs.grouping_of(clusters, switchback)
    inputs.check_kinds(outcome, grouping=grouping, repeated=repeated, looks=looks)
    labels, shares = inputs.shares_of(allocation, control)
    factor, left = inputs.variance_factors(covariate_r2, strata_r2, repeated)
    test = PlannedTest(
        outcome=outcome,
        labels=labels,
        shares=shares,
        goal=goal,
        scale="hazard_ratio" if isinstance(outcome, PlannedEvents) else effect_scale,
        alpha=alpha,
        alternative=alternative,
        better=better,
        correction=correction,
        factor=factor,
        left=left,
        grouping=grouping,
        looks=looks,
        per_day=per_day,
    )
    inputs.check_test(test, repeated=repeated)
    wanted = _wanted(test, effect=effect, margin=margin, size=_size(test, n, days), power=power)
    return _planned(test, wanted, population=population)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What is known of a plan; exactly one of n, power and (effect or margin) is None and will be found."""

    n: float | None
    effect: float | None
    margin: float | None
    power: float | None


def _size(test: PlannedTest, n: float | None, days: float | None) -> float | None:
    if n is not None and days is not None:
        raise DesignError("n and days are both given", advice="Leave one out: it follows from the other.")
    if days is not None:
        if not (real(days, "days") > 0 and math.isfinite(days)):
            raise DesignError(f"{days:g} days are not a number to plan with")
        return inputs.check_n(test, n_of(test, days))
    return None if n is None else inputs.check_n(test, n)


def _wanted(
    test: PlannedTest, *, effect: float | None, margin: float | None, size: float | None, power: float | None
) -> _Wanted:
    key = "effect" if test.goal == "superiority" else "margin"
    target = effect if test.goal == "superiority" else margin
    given = [name for name, value in (("the size", size), (key, target), ("power", power)) if value is not None]
    if len(given) == 3:
        raise DesignError(
            f"the size, {key} and power are all given",
            advice="Leave out the one to be found: it follows from the others.",
        )
    if size is None and target is None:
        raise DesignError(
            f"neither the size nor the {key} is given",
            advice=f"Give n (or days) to find the {key}, or the {key} to find n; power is 0.8 if left out.",
        )
    if power is None and (size is None or target is None):
        power = USUAL_POWER
    if test.goal != "superiority" and effect is None:
        effect = test.none
    return _Wanted(
        n=size,
        effect=None if effect is None else inputs.check_effect(test, effect),
        margin=inputs.check_margin(test, margin, effect=0.0 if effect is None else effect),
        power=None if power is None else inputs.check_power(test, power),
    )


def _planned(test: PlannedTest, wanted: _Wanted, *, population: float | None) -> Design:
    effect, margin, power = wanted.effect, wanted.margin, wanted.power
    if wanted.n is None and effect is not None and power is not None:
        n = solve_n(test, effect=effect, margin=margin, power=power)
        counts = rounded_up(test, n)
        whole = float(sum(counts[0].values()))
        check_population(test, n=whole, population=population, effect=effect, margin=margin, power=power)
        power = test.power(whole, effect=effect, margin=margin)
    else:
        n = whole = wanted.n or 0.0
        counts = split(test, n)
        limit = USUAL_POWER if power is None else power
        check_population(test, n=n, population=population, effect=effect, margin=margin, power=limit)
        effect, margin, power = _completed(test, n, wanted)
    days = days_of(test, whole)
    return Design(
        n=sum(counts[0].values()),
        n_exact=n,
        n_by_arm=counts[0],
        n_clusters_by_arm=counts[1],
        effect=effect,
        margin=margin,
        power=power,
        days=days,
        test=test,
        notes=notes_of(test, effect=effect, n=whole, days=days),
    )


def _completed(test: PlannedTest, n: float, wanted: _Wanted) -> tuple[float, float | None, float]:
    """Find the effect, the margin or the power, whichever is missing."""
    if wanted.power is not None and test.goal == "superiority":
        return solve_effect(test, n=n, power=wanted.power), None, wanted.power
    effect = wanted.effect or 0.0
    if wanted.power is not None:
        return effect, solve_margin(test, n=n, effect=effect, power=wanted.power), wanted.power
    return effect, wanted.margin, test.power(n, effect=effect, margin=wanted.margin)
