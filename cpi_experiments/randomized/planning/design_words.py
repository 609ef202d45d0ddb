"""A plan in words: the sentence on top of a design, and what should be known about it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from cpi_experiments.display import clean_text, percent
from cpi_experiments.randomized.planning.planned_outcomes import PlannedProportion
from cpi_experiments.randomized.planning.precision import Switchback
from cpi_experiments.stats.planning.design_effects import best_control_share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cpi_experiments.randomized.arms import Label
    from cpi_experiments.randomized.planning.design import Design
    from cpi_experiments.randomized.planning.planned_test import PlannedTest

_FEW_GROUPS = 10
_WEEK = 7.0


def sentence(plan: Design) -> str:
    """Say in one sentence what the plan is and what it can do."""
    return f"{_sample(plan)} {_claim(plan)} with power {percent(plan.power)}."


def _sample(plan: Design) -> str:
    noun = "periods" if isinstance(plan.test.grouping, Switchback) else "clusters"
    groups = plan.n_clusters_by_arm
    whole = f"{plan.n:,} customers" + (f" in {sum(groups.values()):,} {noun}" if groups else "")
    days = "" if math.isnan(plan.days) else f", {math.ceil(plan.days - 1e-9):,} days"
    return f"{whole} ({_by_arm(groups or plan.n_by_arm)}{days})"


def _by_arm(counts: Mapping[Label, int]) -> str:
    if len(set(counts.values())) == 1:
        return f"{next(iter(counts.values())):,} an arm"
    return ", ".join(f"{count:,} {clean_text(str(arm))}" for arm, count in counts.items())


def _claim(plan: Design) -> str:
    test = plan.test
    against = " by each treatment" if len(test.labels) > 2 else ""
    if test.goal == "superiority":
        return f"find {effect_words(test, plan.effect)}{against}"
    margin = plan.margin or 0.0
    size = f"{margin:.4g}-fold" if test.scale == "hazard_ratio" else amount(test, margin)
    truth = "" if plan.effect == test.none else f" if there is {effect_words(test, plan.effect)}"
    if test.goal == "equivalence":
        return f"show that arms differ by less than {size}{truth}"
    return f"show a treatment to be less than {size} worse than the control{truth}"


def effect_words(test: PlannedTest, effect: float) -> str:
    """Write an effect as a lift, a drop or a hazard ratio.

    Examples
    --------
    >>> from cpi_experiments.randomized.planning.design import design
    >>> from cpi_experiments.randomized.planning.planned_outcomes import PlannedMean
    >>> effect_words(design(PlannedMean(sd=1), effect=0.1).test, -0.25)
    'a drop of 0.25'
    """
    if test.scale == "hazard_ratio":
        return f"a hazard ratio of {effect:.4g}"
    return f"a {'lift' if effect >= 0 else 'drop'} of {amount(test, abs(effect))}"


def amount(test: PlannedTest, size: float) -> str:
    """Write the size of an effect or a margin in its unit."""
    if test.scale == "relative":
        return f"{100 * size:.4g}%"
    if isinstance(test.outcome, PlannedProportion):
        points = f"{100 * size:.4g}"
        return f"{points} point{'' if points == '1' else 's'}"
    return f"{size:.4g}"


def notes_of(test: PlannedTest, *, effect: float, n: float, days: float) -> tuple[str, ...]:
    """Say what the plan rests on, and what would make it better."""
    found = [
        _groups_note(test, n),
        f"The experiment runs {days:.3g} days, less than a weekly cycle." if days < _WEEK else "",
        _level_note(test),
        _looks_note(test),
        _allocation_note(test, effect=effect, n=n),
        _switchback_note(test),
    ]
    return tuple(note for note in found if note)


def _groups_note(test: PlannedTest, n: float) -> str:
    if test.grouping is None:
        return ""
    fewest = n * min(test.shares) / test.grouping.size
    if fewest >= _FEW_GROUPS - 1e-9:
        return ""
    return (
        f"Only {fewest:.3g} clusters or periods in the smallest arm: power and test are rough below {_FEW_GROUPS}; "
        "more and smaller ones are better than more customers in each."
    )


def _level_note(test: PlannedTest) -> str:
    if test.goal == "non_inferiority":
        return f"Non-inferiority is one one-sided test at level {test.tail:.4g}; {test.better} is better."
    if test.goal == "equivalence":
        return (
            f"Equivalence needs two one-sided tests at level {test.test_alpha:.4g}: the "
            f"{percent(1 - 2 * test.test_alpha, 1)} interval must lie inside the margin."
        )
    return ""


def _looks_note(test: PlannedTest) -> str:
    if test.looks is None:
        return ""
    bounds = test.looks.bounds(2 * test.tail if test.two_sided else test.tail, two_sided=test.two_sided)
    shares = ", ".join(percent(t) for t in test.looks.fractions[:12])
    limits = ", ".join(f"{z:.3f}" for z in bounds[:12])
    more = ", ..." if len(bounds) > 12 else ""
    return f"Looks at {shares}{more} of the sample; stop where z passes {limits}{more}."


def _allocation_note(test: PlannedTest, *, effect: float, n: float) -> str:
    shares, savings = best_allocation(test, effect=effect, n=n)
    if savings < 0.01:
        return ""
    text = " : ".join(f"{share / shares[-1]:.3g}" for share in shares)
    return f"An allocation of {text} (control first) would need about {percent(savings)} fewer customers."


def best_allocation(test: PlannedTest, *, effect: float, n: float) -> tuple[tuple[float, ...], float]:
    """Shares that give the most precise comparisons, and the share of the customers that they save.

    The control's standard deviation times the root of the number of treatments, against the treatments' own (Dunnett
    1955; Neyman 1934).
    """
    worst, arm = _worst_variance(test, effect=effect, n=n)
    control_part = test.contrast(n, arm=arm, effect=effect).control_share
    spread = math.sqrt(control_part * test.shares[0]), math.sqrt((1 - control_part) * test.shares[arm])
    treatments = len(test.shares) - 1
    control = best_control_share(*spread, treatments=treatments)
    shares = (control, *((1 - control) / treatments,) * treatments)
    return shares, 1 - _worst_variance(replace(test, shares=shares), effect=effect, n=n)[0] / worst


def _worst_variance(test: PlannedTest, *, effect: float, n: float) -> tuple[float, int]:
    errors = [test.contrast(n, arm=j, effect=effect).std_error for j in range(1, len(test.shares))]
    return max(errors) ** 2, 1 + errors.index(max(errors))


def _switchback_note(test: PlannedTest) -> str:
    if not isinstance(test.grouping, Switchback) or not test.grouping.washout_hours:
        return ""
    share = test.grouping.washout_hours / test.grouping.hours
    return f"{percent(share)} of the customers come in a washout and are left out of the comparison."
