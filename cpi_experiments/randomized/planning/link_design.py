"""Planning an experiment for a link: how many customers confirm it, how many refute it, how long that takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.planning.link_design_checks import check_design, infeasible
from cpi_experiments.randomized.planning.link_sizes import MULTIPLE, LinkDesign, days_for
from cpi_experiments.stats.judging.look_plan import look_plan
from cpi_experiments.stats.judging.look_price import asked_at_the_end
from cpi_experiments.stats.judging.portfolio import alone_threshold, slots_of
from cpi_experiments.stats.planning.judging_power import std_error_to_confirm, std_error_to_refute
from cpi_experiments.stats.planning.planned_judging import (
    LARGEST,
    PlannedTrial,
    slope_power,
    units_for,
    verdict_power,
)
from cpi_experiments.stats.planning.power import minimum_detectable_effect, sample_size
from cpi_experiments.stats.planning.simulated_judging import JudgingRule

if TYPE_CHECKING:
    from cpi_experiments.hypotheses.hypothesis import Hypothesis

__all__ = ["LinkDesign", "design_link"]


def design_link(  # noqa: PLR0913 - everything that a plan depends on, each named
    hypothesis: Hypothesis,
    lever: str,
    *,
    kpi_sd: float,
    planned_move: float,
    cpi_sd: float | None = None,
    correlation: float = 0.0,
    covariate_r2: float = 0.0,
    power: float = 0.8,
    ratio: float = 1.0,
    cluster_size: float = 1.0,
    icc: float = 0.0,
    cluster_cv: float = 0.0,
    experiments: int = 1,
    links: int = 12,
    fdr: float = 0.10,
    per_day: float | None = None,
    window_days: float = 0.0,
    population: int | None = None,
) -> LinkDesign:
    """Plan a two-arm experiment that can confirm, and one that can refute, a link.

    Parameters
    ----------
    hypothesis : Hypothesis
        Gives the SESOI, the expected sign and the declared looks: power is that at the last planned look.
    lever : str
        Lever to be varied.
    kpi_sd : float
        Standard deviation of the KPI between customers within an arm, in its unit.
    planned_move : float
        How far the lever is expected to move the CPI, in increments; above zero.
    cpi_sd : float, optional
        Standard deviation of the CPI between customers within an arm, in increments. Without it the move is taken as
        known, and the sizes are those of a very strong first stage; the plan says so.
    correlation : float
        Of CPI (in increments, + = better for the customer) and KPI (its own sign) between customers within an arm.
    covariate_r2 : float
        Share of the KPI's variance that covariates known before the assignment predict. ``cpi_sd`` and
        ``correlation`` are those that are left after the adjustment.
    power : float
    ratio : float
        Customers in treatment per customer in control.
    cluster_size, icc, cluster_cv : float
        Where groups are randomised: customers per group, correlation of two customers of a group (the larger one of
        CPI and KPI), and coefficient of variation of the groups' sizes.
    experiments : int
        Experiments that are judged together, each with its own lever, its own customers and the same planned move.
    links, fdr : int, float
        Places and false discovery rate of the portfolio in which the link will be judged.
    per_day, population : float, int, optional
        Customers who enter a day, and who exist at all.
    window_days : float
        Days from a customer's entry until the KPI is known.

    Returns
    -------
    LinkDesign

    Raises
    ------
    DesignError
        If a number is outside its range, or the size needed to confirm exceeds the population.

    Notes
    -----
    Power is that of the whole judging rule, simulated (16,384 draws of both effects, the same at every size): the lever
    is seen to move the CPI, the published set, size after shrinkage, breakdown point, both equivalence tests. The
    closed form stands beside it. A size reaches its power while one randomised unit less does not.

    Examples
    --------
    >>> from cpi_experiments.estimate import Link
    >>> from cpi_experiments.hypotheses.hypothesis import Hypothesis
    >>> claim = Hypothesis(link=Link.parse("quote_hours -> win_rate"), expected_sign=1, sesoi=0.004, looks="single")
    >>> plan = design_link(claim, "auto_quote", kpi_sd=0.4, cpi_sd=6.0, correlation=0.1, planned_move=3.0)
    >>> plan.n_lift, round(plan.n_confirm, -2), plan.n_confirm_formula
    (15506, 27300, 27497)
    >>> round(plan.power_to_confirm(15_506), 2), round(plan.smallest_link(60_000), 4)
    (0.51, 0.0052)
    """
    check_design(
        kpi_sd=kpi_sd, planned_move=planned_move, cpi_sd=cpi_sd, correlation=correlation, covariate_r2=covariate_r2,
        power=power, ratio=ratio, cluster_size=cluster_size, icc=icc, cluster_cv=cluster_cv, experiments=experiments,
        links=links, fdr=fdr, per_day=per_day, window_days=window_days, population=population,
    )  # fmt: skip
    sesoi = hypothesis.sesoi
    threshold = asked_at_the_end(alone_threshold(fdr, slots_of(links)), look_plan(hypothesis.looks))
    inflation = math.sqrt((1 + ((1 + cluster_cv**2) * cluster_size - 1) * icc) / cluster_size)
    trial = PlannedTrial(
        sd_cpi=(cpi_sd or 0.0) * inflation,
        sd_kpi=kpi_sd * math.sqrt(1 - covariate_r2) * inflation,
        correlation=correlation * hypothesis.expected_sign,
        ratio=ratio,
        experiments=experiments,
        clustered=cluster_size > 1,
        rule=JudgingRule(sesoi=sesoi, threshold=threshold, move=planned_move),
    )
    units = _sizes(trial, power)
    n = {goal: math.ceil(count * cluster_size) for goal, count in units.items()}
    daily = math.nan if per_day is None else per_day
    if population is not None and n["confirm"] * experiments > population:
        raise infeasible(
            trial, str(hypothesis.link), needed=n["confirm"] * experiments, population=population, power=power,
            cluster_size=cluster_size,
        )  # fmt: skip
    return LinkDesign(
        link=str(hypothesis.link),
        lever=lever,
        sesoi=sesoi,
        planned_move=planned_move,
        power=power,
        n_lift=n["lift"],
        n_slope=n["slope"],
        n_confirm=n["confirm"],
        n_refute=n["refute"],
        n_confirm_formula=n["confirm formula"],
        n_refute_formula=n["refute formula"],
        days_confirm=days_for(n["confirm"] * experiments, per_day=daily, window_days=window_days),
        days_refute=days_for(n["refute"] * experiments, per_day=daily, window_days=window_days),
        f_confirm=trial.expected_f(units["confirm"]),
        f_refute=trial.expected_f(units["refute"]),
        mde=minimum_detectable_effect(units["confirm"], power, std_dev=trial.sd_kpi, ratio=ratio),
        trial=trial,
        cluster_size=cluster_size,
        per_day=daily,
        window_days=window_days,
        population=population,
    )


def _sizes(trial: PlannedTrial, power: float) -> dict[str, int]:
    """Randomised units of one experiment for every goal.

    Raises
    ------
    DesignError
        If no size reaches a goal.
    """
    sesoi, effect = trial.rule.sesoi, MULTIPLE * trial.rule.sesoi
    lift = sample_size(effect * trial.rule.move, power, std_dev=trial.sd_kpi, ratio=trial.ratio)
    errors = (
        std_error_to_confirm(sesoi=sesoi, threshold=trial.rule.threshold, target=power),
        std_error_to_refute(sesoi=sesoi, threshold=trial.rule.threshold, target=power),
    )
    # the standard error of KPI per increment is that of the lift over the move; experiments add up
    unit = trial.covariance(1.0)[2] / trial.rule.move**2 / trial.experiments
    formula = [max(math.ceil(unit / error**2), trial.fewest) for error in errors]
    found = {
        "lift": max(lift, trial.fewest),
        "slope": units_for(
            lambda n: slope_power(trial, n, effect=effect, distance=sesoi),
            power, start=formula[0], fewest=trial.fewest,
        ),
        "confirm": units_for(
            lambda n: verdict_power(trial, n, effect=effect)[0], power, start=formula[0], fewest=trial.fewest
        ),
        "refute": units_for(
            lambda n: verdict_power(trial, n, effect=0.0)[1], power, start=formula[1], fewest=trial.fewest
        ),
        "confirm formula": formula[0],
        "refute formula": formula[1],
    }  # fmt: skip
    if LARGEST in found.values():
        raise DesignError(f"no feasible sample gives a verdict with power {power:g}", advice=_why_never(trial, effect))
    return found


def _why_never(trial: PlannedTrial, effect: float) -> str:
    if trial.experiments > 1:
        return "Of several experiments one in ten disagrees by chance, which caps the power at about 0.9."
    if effect * trial.sd_cpi * trial.correlation > trial.sd_kpi:
        return (
            "The effect of one standard deviation of the CPI would exceed the KPI's own: check the units of `cpi_sd` "
            "and `kpi_sd`."
        )
    return f"Even {LARGEST:g} units are too few."
