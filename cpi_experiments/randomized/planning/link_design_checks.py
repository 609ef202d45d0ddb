"""What a plan for a link may be given, and what is said when it cannot be carried out."""

from __future__ import annotations

import math

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.planning.planned_judging import PlannedTrial, smallest_effect, verdict_power
from cpi_experiments.stats.planning.power import minimum_detectable_effect


def check_design(  # noqa: PLR0913 - the arguments of the door, each named
    *,
    kpi_sd: float,
    planned_move: float,
    cpi_sd: float | None,
    correlation: float,
    covariate_r2: float,
    power: float,
    ratio: float,
    cluster_size: float,
    icc: float,
    cluster_cv: float,
    experiments: int,
    links: int,
    fdr: float,
    per_day: float | None,
    window_days: float,
    population: int | None,
) -> None:
    """Refuse numbers that no plan can be made with.

    Raises
    ------
    DesignError
        Naming the first of them and its range.
    """
    moved_by = "Give it in increments."
    checks = (
        (not planned_move > 0, f"planned move {planned_move:g} is not above zero", moved_by),
        (math.isinf(planned_move), f"a planned move of {planned_move:g} is not a number to plan with", moved_by),
        (not _positive(kpi_sd), f"standard deviation {kpi_sd:g} is not above zero", "That of the KPI within an arm."),
        (
            cpi_sd is not None and not _positive(cpi_sd),
            f"standard deviation {cpi_sd or 0:g} of the CPI is not above zero",
            "Leave `cpi_sd` out to take the move as known.",
        ),
        (not -1 < correlation < 1, f"correlation {correlation:g} is not between -1 and 1", "CPI and KPI must differ."),
        (cpi_sd is None and correlation != 0, "a correlation without `cpi_sd`", "Give both, or neither."),
        (not 0 <= covariate_r2 < 1, f"covariate_r2 {covariate_r2:g} is not a share below 1", "0 means no covariates."),
        (not 0.05 < power < 1, f"power {power:g} is not between alpha (0.05) and 1", "A usual power is 0.8 or 0.9."),
        (not _positive(ratio), f"allocation ratio {ratio:g} is not above zero", "1 means equal arms."),
        (links < 1, f"a portfolio of {links} links", "Count the links that will be judged together."),
        (not 0 < fdr < 1, f"false discovery rate {fdr:g} is not between 0 and 1", "Did you mean 0.1?"),
        (
            per_day is not None and not per_day > 0,
            f"{per_day or 0:g} customers a day",
            "Leave `per_day` out if the traffic is not known.",
        ),
        (
            not 0 <= window_days < math.inf,
            f"a window of {window_days:g} days",
            "0 means that the KPI is known at once.",
        ),
        (
            population is not None and population < 1,
            f"a population of {population or 0:,}",
            "Leave it out if it is not known.",
        ),
        *_clusters(cluster_size, icc, cluster_cv, experiments),
    )
    for wrong, found, advice in checks:
        if wrong:
            raise DesignError(found, advice=advice)


def _clusters(size: float, icc: float, cv: float, experiments: int) -> tuple[tuple[bool, str, str], ...]:
    return (
        (not 1 <= size < math.inf, f"clusters of {size:g} customers", "1 means that customers are randomised."),
        (not 0 <= icc <= 1, f"icc {icc:g} is not between 0 and 1", "0.01 to 0.1 is usual for teams and shops."),
        (not 0 <= cv < math.inf, f"cluster_cv {cv:g} is below zero", "It is the groups' sd of size over their mean."),
        (size == 1 and (icc > 0 or cv > 0), "an icc or cluster_cv without `cluster_size`", "Give the groups' size."),
        (not 1 <= experiments <= 10, f"{experiments} experiments", "Plan 1 to 10 of them together."),
        (
            experiments > 1 and size > 1,
            f"{experiments} experiments on clusters cannot be planned together",
            "Plan one of them alone: its size is on the safe side for several.",
        ),
    )


def _positive(value: float) -> bool:
    return 0 < value < math.inf


def infeasible(
    trial: PlannedTrial, link: str, *, needed: int, population: int, power: float, cluster_size: float
) -> DesignError:
    """Say that a plan needs more customers than there are, and what all of them would show."""
    units = population / cluster_size / trial.experiments
    told = "Move the CPI more, or choose a KPI that varies less."
    if units >= trial.fewest:
        lift = minimum_detectable_effect(units, power, std_dev=trial.sd_kpi, ratio=trial.ratio)
        link_size = smallest_effect(
            lambda effect: verdict_power(trial, units, effect=effect)[0], power, unit=trial.rule.sesoi
        )
        least = (
            "no link of any size would be confirmed"
            if math.isinf(link_size)
            else f"the smallest link confirmed is {link_size:.4g} per increment "
            f"({link_size / trial.rule.sesoi:.1f} times the smallest effect worth acting on)"
        )
        told = f"With all of them the smallest visible lift is {lift:.4g}, and {least}. {told}"
    return DesignError(f"not feasible: {needed:,} customers would confirm {link}, {population:,} exist", advice=told)
