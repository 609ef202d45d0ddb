"""Planning an experiment for a link: how many customers confirm it, how many refute it, how long that takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, Row
from cpi_experiments.errors import DesignError
from cpi_experiments.stats.judging_power import std_error_to_confirm, std_error_to_refute
from cpi_experiments.stats.portfolio import alone_threshold, slots_of
from cpi_experiments.stats.power import minimum_detectable_effect, sample_size

if TYPE_CHECKING:
    from cpi_experiments.hypotheses.hypothesis import Hypothesis


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDesign(Displayed):
    """Sizes of a two-arm experiment for one link.

    Parameters
    ----------
    link, lever : str
    planned_move : float
        Expected move of the CPI in increments.
    n_lift : int
        Customers in both arms together that show a KPI lift of 1.5 SESOI x planned move by a two-sided 5 % test.
    n_confirm, n_refute : int
        Customers for the judging rule to confirm an effect of 1.5 SESOI, to refute a link without effect.
    days_confirm, days_refute : float
        At ``per_day`` customers; NaN if the traffic is not given.
    power : float
    mde : float
        Smallest KPI lift seen with that power at ``n_confirm`` customers, in KPI units.
    """

    link: str
    lever: str
    planned_move: float
    n_lift: int
    n_confirm: int
    n_refute: int
    days_confirm: float
    days_refute: float
    power: float
    mde: float

    def _title(self) -> str:
        days = "" if math.isnan(self.days_confirm) else f" ({self.days_confirm:.0f} and {self.days_refute:.0f} days)"
        return (
            f"{self.link} by {self.lever}: {self.n_confirm:,} customers to confirm, {self.n_refute:,} to refute{days}, "
            f"if the lever moves the CPI by {self.planned_move:g} increments."
        )

    def _rows(self) -> list[Row]:
        return [{name: getattr(self, name) for name in self.__dataclass_fields__}]


def design_link(  # noqa: PLR0913 - everything that a plan depends on, each named
    hypothesis: Hypothesis,
    lever: str,
    *,
    kpi_sd: float,
    planned_move: float,
    power: float = 0.8,
    ratio: float = 1.0,
    links: int = 12,
    fdr: float = 0.10,
    per_day: float | None = None,
    population: int | None = None,
) -> LinkDesign:
    """Plan a two-arm experiment that can confirm, and one that can refute, a link.

    Parameters
    ----------
    hypothesis : Hypothesis
        Gives the SESOI.
    lever : str
        Lever to be varied.
    kpi_sd : float
        Standard deviation of the KPI between customers within an arm, in its unit (after covariate adjustment).
    planned_move : float
        How far the lever is expected to move the CPI, in increments; above zero.
    power : float
    ratio : float
        Customers in treatment per customer in control.
    links, fdr : int, float
        Size and false discovery rate of the portfolio in which the link will be judged.
    per_day, population : float, int, optional
        Customers who enter a day, and who exist at all.

    Returns
    -------
    LinkDesign
        Sizes assume a first stage strong enough to know the move well (F of 20 or more).

    Raises
    ------
    DesignError
        If a number is outside its range, or the needed size exceeds the population.

    Examples
    --------
    >>> from cpi_experiments.estimate import Link
    >>> from cpi_experiments.hypotheses.hypothesis import Hypothesis
    >>> claim = Hypothesis(link=Link.parse("quote_hours -> win_rate"), expected_sign=1, sesoi=0.004)
    >>> plan = design_link(claim, "auto_quote", kpi_sd=0.4, planned_move=3.0, links=12)
    >>> plan.n_lift, plan.n_confirm
    (15506, 27497)
    """
    _check(planned_move=planned_move, links=links, fdr=fdr, per_day=per_day)
    lift = 1.5 * hypothesis.sesoi * planned_move
    n_lift = sample_size(lift, power, std_dev=kpi_sd, ratio=ratio)
    threshold = alone_threshold(fdr, slots_of(links))
    sizes = {
        "confirm": std_error_to_confirm(sesoi=hypothesis.sesoi, threshold=threshold, target=power),
        "refute": std_error_to_refute(sesoi=hypothesis.sesoi, threshold=threshold, target=power),
    }
    # the standard error of KPI per increment is that of the lift over the planned move
    unit = kpi_sd * (1 + ratio) / math.sqrt(ratio) / planned_move
    needed = {goal: math.ceil((unit / error) ** 2) for goal, error in sizes.items()}
    if population is not None and needed["confirm"] > population:
        mde = minimum_detectable_effect(population, power, std_dev=kpi_sd, ratio=ratio)
        raise DesignError(
            f"not feasible: {needed['confirm']:,} customers would confirm {hypothesis.link}, {population:,} exist",
            advice=f"With all of them the smallest visible lift is {mde:.4g}: move the CPI more, or choose a KPI that "
            "varies less.",
        )
    days = {goal: n / per_day if per_day else math.nan for goal, n in needed.items()}
    return LinkDesign(
        link=str(hypothesis.link),
        lever=lever,
        planned_move=planned_move,
        n_lift=n_lift,
        n_confirm=needed["confirm"],
        n_refute=needed["refute"],
        days_confirm=days["confirm"],
        days_refute=days["refute"],
        power=power,
        mde=minimum_detectable_effect(needed["confirm"], power, std_dev=kpi_sd, ratio=ratio),
    )


def _check(*, planned_move: float, links: int, fdr: float, per_day: float | None) -> None:
    if not planned_move > 0:
        raise DesignError(f"planned move {planned_move:g} is not above zero", advice="Give it in increments.")
    if links < 1:
        raise DesignError(f"a portfolio of {links} links", advice="Count the links that will be judged together.")
    if not 0 < fdr < 1:
        raise DesignError(f"false discovery rate {fdr:g} is not between 0 and 1", advice="Did you mean 0.1?")
    if per_day is not None and not per_day > 0:
        raise DesignError(f"{per_day:g} customers a day", advice="Leave `per_day` out if the traffic is not known.")
