"""Read and check what a plan is asked for, before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cpi_experiments.errors import DesignError, nearest
from cpi_experiments.randomized.planning.given import real
from cpi_experiments.randomized.planning.planned_outcomes import MeanOutcome, PlannedEvents, PlannedOutcome
from cpi_experiments.randomized.planning.precision import Clusters, Grouping, Looks, Repeated, Switchback
from cpi_experiments.randomized.planning.solving import FEWEST_GROUPS, fewest_n, limits_of_effect

if TYPE_CHECKING:
    from cpi_experiments.randomized.arms import Label
    from cpi_experiments.randomized.planning.planned_test import PlannedTest

_WORDS = {
    "goal": ("superiority", "non_inferiority", "equivalence"),
    "effect_scale": ("absolute", "relative"),
    "alternative": ("two-sided", "greater", "less"),
    "better": ("higher", "lower"),
    "correction": ("none", "bonferroni", "dunnett"),
}


def shares_of(allocation: Mapping[Any, float] | None, control: Label) -> tuple[tuple[Label, ...], tuple[float, ...]]:
    """Read the arms, the control first, and their shares of all customers.

    Examples
    --------
    >>> shares_of({"new": 3, "old": 1}, "old")
    (('old', 'new'), (0.25, 0.75))
    """
    if allocation is not None and not isinstance(allocation, Mapping):
        raise DesignError(
            f"{allocation!r} names no arms", where="allocation", advice='Such as {"control": 1, "treatment": 1}.'
        )
    weights = {control: 1.0, "treatment": 1.0} if allocation is None else dict(allocation)
    if control not in weights:
        known = ", ".join(repr(arm) for arm in weights)
        raise DesignError(f"control {control!r} is not an arm", where="allocation", advice=f"Arms: {known}.")
    if len(weights) < 2:
        raise DesignError(
            "a design needs at least two arms", where="allocation", advice='Such as {"control": 1, "treatment": 1}.'
        )
    for arm, weight in weights.items():
        if not (real(weight, f"weight of arm {arm!r}") > 0 and math.isfinite(weight)):
            raise DesignError(f"arm {arm!r} has weight {weight:g}", where="allocation", advice="Above zero.")
    labels = (control, *(arm for arm in weights if arm != control))
    total = math.fsum(weights.values())
    return labels, tuple(float(weights[arm] / total) for arm in labels)


def check_words(words: Mapping[str, str]) -> None:
    """Refuse a word that no option knows; keys are the options of `design`."""
    for option, word in words.items():
        if word not in _WORDS[option]:
            raise DesignError(f"{option} {word!r} is not known", advice=nearest(str(word), list(_WORDS[option])))


def check_kinds(outcome: object, *, grouping: object, repeated: object, looks: object) -> None:
    """Refuse objects of another kind than planned ones."""
    if not isinstance(outcome, PlannedOutcome):
        raise DesignError(
            f"{type(outcome).__name__} is not a planned outcome",
            advice="Give a PlannedMean, PlannedProportion, PlannedCount, PlannedRatio or PlannedEvents.",
        )
    for found, kind, option in (
        (grouping, Clusters | Switchback, "clusters or switchback"),
        (repeated, Repeated, "repeated"),
        (looks, Looks, "looks"),
    ):
        if found is not None and not isinstance(found, kind):
            raise DesignError(f"{option}: {type(found).__name__} is not a plan", advice="See the examples of `design`.")


def grouping_of(clusters: Clusters | None, switchback: Switchback | None) -> Grouping | None:
    """Return what is assigned as a whole; only one kind is possible."""
    if clusters is not None and switchback is not None:
        raise DesignError(
            "clusters and switchback together",
            advice="Where each period of each market is assigned by itself, give the number an hour of one market.",
        )
    return clusters if clusters is not None else switchback


def variance_factors(covariate_r2: float, strata_r2: float, repeated: Repeated | None) -> tuple[float, float]:
    """Variance of the outcome after strata, in variances of one measurement, and the share of it that covariates leave.

    Examples
    --------
    >>> variance_factors(0.5, 0.2, None)
    (0.8, 0.5)
    """
    for value, option in ((covariate_r2, "covariate_r2"), (strata_r2, "strata_r2")):
        if not 0 <= real(value, option) < 1:
            raise DesignError(f"{option} {value:g} is not from 0 to below 1", advice="A share of the variance.")
    if repeated is None:
        return 1 - strata_r2, 1 - covariate_r2
    if repeated.before and repeated.analysis != "post" and covariate_r2:
        raise DesignError(
            "measurements before the start are a covariate already",
            advice="Give either `repeated`, or in `covariate_r2` what all covariates together explain.",
        )
    if repeated.analysis == "change":
        return (1 - strata_r2) * repeated.factor, 1.0
    return (1 - strata_r2) * repeated.after_factor, (1 - covariate_r2) * repeated.factor / repeated.after_factor


def check_test(test: PlannedTest, *, repeated: Repeated | None) -> None:
    """Refuse combinations that no test can serve."""
    refused = [text for refuse, text in _combinations(test, repeated=repeated) if refuse]
    if refused:
        raise DesignError(refused[0])
    highest = 0.5 if test.goal == "equivalence" else 1.0
    if not 0 < real(test.alpha, "alpha") < highest:
        raise DesignError(f"alpha {test.alpha:g} is not between 0 and {highest:g}", advice="Did you mean 0.05?")
    if test.per_day is not None and not (real(test.per_day, "per_day") > 0 and math.isfinite(test.per_day)):
        raise DesignError(
            f"{test.per_day:g} customers a day", advice="Leave `per_day` out if the traffic is not known."
        )
    if test.scale == "relative" and not (isinstance(test.outcome, MeanOutcome) and test.outcome.baseline > 0):
        raise DesignError(
            "a relative effect needs a control mean above zero", advice="Give `mean`, or plan an absolute effect."
        )


def _combinations(test: PlannedTest, *, repeated: Repeated | None) -> list[tuple[bool, str]]:
    events = isinstance(test.outcome, PlannedEvents)
    both = isinstance(test.outcome, PlannedEvents) and test.outcome.accrual > 0 and test.per_day is not None
    equivalence = test.goal == "equivalence"
    return [
        (
            events and (test.factor != 1 or test.left != 1),
            "covariates, strata and repeated measures do not go with times to an event",
        ),
        (events and test.grouping is not None, "clusters and periods do not go with times to an event"),
        (both, "accrual and per_day are both given: with per_day the accrual follows from the number of customers"),
        (
            isinstance(test.grouping, Switchback) and test.per_day is not None,
            "per_day does not go with a switchback: its customers come `per_hour`",
        ),
        (
            test.grouping is not None and repeated is not None,
            "repeated measures do not go with clusters: give in covariate_r2 what the measurements before explain",
        ),
        (
            test.goal != "superiority" and test.alternative != "two-sided",
            "the margin says what is tested: leave `alternative` out, and say in `better` what is better",
        ),
        (equivalence and test.looks is not None, "planned looks do not go with equivalence: plan one look at the end"),
        (equivalence and test.correction == "dunnett", "Dunnett does not go with equivalence: use bonferroni"),
        (
            test.looks is not None and test.correction == "dunnett",
            "Dunnett does not go with planned looks: use bonferroni",
        ),
    ]


def check_n(test: PlannedTest, n: float) -> float:
    """Refuse a sample that cannot be analysed."""
    if not (real(n, "n") > 0 and math.isfinite(n)):
        raise DesignError(f"a sample of {n:g} customers is not a number to plan with")
    fewest = fewest_n(test)
    if n < fewest * (1 - 1e-9):
        why = "at least two customers" if test.grouping is None else f"at least {FEWEST_GROUPS} clusters or periods"
        raise DesignError(
            f"{n:,.0f} customer{' is' if n == 1 else 's are'} too few",
            advice=f"Every arm needs {why}: {math.ceil(fewest):,} customers.",
        )
    return float(n)


def check_effect(test: PlannedTest, effect: float) -> float:
    """Refuse an effect that the outcome cannot have, or that the test cannot find."""
    if not math.isfinite(real(effect, "effect")):
        raise DesignError(f"an effect of {effect:g} is not a number to plan with")
    if test.goal == "superiority" and (
        effect == test.none or ((effect - test.none) * test.sign < 0 and test.alternative != "two-sided")
    ):
        raise DesignError(
            f"an effect of {effect:g} cannot be found by a {test.alternative} test",
            advice="Give the smallest effect that is worth acting on.",
        )
    low, high = limits_of_effect(test)
    if not low < effect < high:
        raise DesignError(f"an effect of {effect:g} is not possible", advice=f"It lies between {low:g} and {high:g}.")
    return float(effect)


def check_margin(test: PlannedTest, margin: float | None, *, effect: float) -> float | None:
    """Refuse a margin that is missing, not wanted, or already lost by the planned effect."""
    if test.goal == "superiority":
        if margin is not None:
            raise DesignError("a margin does not go with superiority", advice='Did you mean goal="non_inferiority"?')
        return None
    if margin is None:
        return None
    if not (real(margin, "margin") > test.none and math.isfinite(margin)):
        raise DesignError(
            f"margin {margin:g} is not above {test.none:g}", advice="Largest harm that would still be accepted."
        )
    if test.scale == "relative" and not margin < 1:
        raise DesignError(f"relative margin {margin:g} is not below 1", advice=f"Did you mean {margin / 100:g}?")
    low, high = test.limits(margin)
    if not low < effect < high:
        raise DesignError(
            f"an effect of {effect:g} lies outside the margin of {margin:g}",
            advice="No sample shows what is not true: plan an effect inside the margin.",
        )
    return float(margin)


def check_power(test: PlannedTest, power: float) -> float:
    """Refuse a power that is not between alpha and 1."""
    if not test.alpha < real(power, "power") < 1:
        raise DesignError(
            f"power {power:g} is not between alpha ({test.alpha:g}) and 1", advice="A usual power is 0.8 or 0.9."
        )
    return float(power)
