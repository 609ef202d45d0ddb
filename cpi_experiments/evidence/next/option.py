"""A test that could be run next: what is known of its link, what it would cost, and how large it should be."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from cpi_experiments.evidence.next.result import NextTest
from cpi_experiments.evidence.next.words import amount
from cpi_experiments.stats.judging.sample_information import (
    chance_above,
    outcome_needed,
    sample_information,
    verdict_lines,
)
from cpi_experiments.stats.planning.judging_power import std_error_to_confirm, std_error_to_refute

Floats = np.ndarray
Scarce = Literal["weeks", "customers"]

#: No test is smaller or larger, in customers of both arms.
FEWEST, LARGEST = 200, 1e12
#: A test is left out if a result that changes the decision has a smaller chance, or the lever is more surely inert.
SURPRISE, INERT = 0.01, 0.9
#: Tests whose worth is within this share of each other are equally good.
TIE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverOption:
    """One link with one lever that could be varied to test it.

    Parameters
    ----------
    link, lever : str
    effect, sd : float
        What is known of the KPI effect per step, oriented so that the claimed sign is +: posterior mean and sd.
    break_even, sesoi : float
        Effect per step from which one acts, and the smallest one worth acting on (for the verdict).
    value : float
        Worth of one KPI unit per step: worth of the KPI x attainable steps x customers.
    unit_sd : float
        Standard deviation of the KPI between customers within an arm.
    planned_move : float
        Steps by which the lever moves the CPI.
    inert_chance : float
        Chance that it does not.
    per_day : float
        Customers who enter a day; NaN if not known.
    window_days : float
        Days from a customer's entry until the KPI is known.
    cost : float
        Money to build the lever, 0 if it is there.
    grade : str
        Of the evidence so far.
    new_lever : bool
        Whether the link was never tested with this lever.
    estimate, std_error : float
        Trials of the link so far; their size will be pooled with that of the test. Infinite error if there are none.
    pooled : bool
        Whether their p-values will be pooled too; else the test is a plan of its own.
    share : float
        Share of the portfolio's threshold that is left for the next look at the link.
    population : float
        Customers there are.
    factor, unit : float, str
        How KPI effects are told: times ``factor``, followed by ``unit``.
    adverse : bool
        Whether the claim is of damage: acting on it means to hold the CPI back.
    confirmed : bool
        Whether the link is confirmed: only then it is acted on today.
    """

    link: str
    lever: str
    effect: float
    sd: float
    break_even: float
    sesoi: float
    value: float
    unit_sd: float
    planned_move: float
    inert_chance: float = 0.0
    per_day: float = math.nan
    window_days: float = 0.0
    cost: float = 0.0
    grade: str = ""
    new_lever: bool = False
    estimate: float = 0.0
    std_error: float = math.inf
    pooled: bool = True
    share: float = 1.0
    population: float = math.inf
    factor: float = 1.0
    unit: str = ""
    adverse: bool = False
    confirmed: bool = False

    @property
    def lifts_grade(self) -> bool:
        """Whether the test could lift the evidence from B to A: another lever says the same."""
        return self.new_lever and self.grade == "B"

    def error_of(self, n: float) -> float:
        """Return the standard error per step of a test with n customers in two equal arms (strong first stage)."""
        return 2 * self.unit_sd / (self.planned_move * math.sqrt(n))

    def customers_for(self, std_error: float) -> float:
        """Return customers of a test that brings the pooled standard error down to a size; 0 if it is there already."""
        left = std_error**-2 - (self.std_error**-2 if self.pooled else 0.0)
        return (2 * self.unit_sd / self.planned_move) ** 2 * left if left > 0 else 0.0

    def most(self, most_weeks: float) -> float:
        """Return customers who can be had within some weeks, windows closed."""
        days = 7 * most_weeks - self.window_days
        enter = math.inf if math.isnan(self.per_day) else self.per_day * days
        return min(self.population, enter, LARGEST) if days > 0 else 0.0


def size_up(
    option: LeverOption, *, scarce: Scarce, settle: bool, most_weeks: float, threshold: float
) -> NextTest | None:
    """Choose how many customers a test should have, and say what it is worth; None if there are too few customers.

    The size is the one with most value per week (or per customer and week, where the first customers always tell most,
    so that sizes are small), the cost of the lever taken off.

    Parameters
    ----------
    option : LeverOption
    scarce : {"weeks", "customers"}
        What is short: time (one test after the other), or customers times weeks.
    settle : bool
        Whether a test that is judged on its own must confirm 1.5 SESOI with power 0.8, if such a test fits.
    most_weeks : float
        No test may last longer.
    threshold : float
        One-sided p-value that the portfolio asks of a link alone.
    """
    most = option.most(most_weeks)
    if most < FEWEST:
        return None
    wanted = 0.0
    if settle and not (option.pooled and math.isfinite(option.std_error)):
        wanted = option.customers_for(option.sesoi * _error_to_confirm(option.share * threshold))
    n = _grid(option, most, wanted if wanted <= most else 0.0)
    paces = 0.0 if math.isnan(option.per_day) else 1 / (7 * option.per_day)
    weeks = option.window_days / 7 + n * paces
    if not weeks[-1] > 0:
        weeks = np.ones_like(n)  # neither pace nor window are known: customers alone are counted
    value = (1 - option.inert_chance) * sample_information(
        option.effect,
        option.sd,
        std_error=2 * option.unit_sd / (option.planned_move * np.sqrt(n)),
        line=option.break_even,
        value=option.value,
    )
    price = weeks if scarce == "weeks" else n * weeks
    rate = (value - option.cost) / price
    best = int(np.argmax(rate if rate.max() > 0 else value / price))
    return _test(
        option, int(n[best]), weeks=float(weeks[best]), value=float(value[best]), rate=float(rate[best]),
        threshold=threshold,
    )  # fmt: skip


def _grid(option: LeverOption, most: float, wanted: float) -> Floats:
    """Sizes to try: about 5 % apart, of two digits, up to twenty times what is known already."""
    alike = min(2 * option.unit_sd / (option.planned_move * option.sd), 1e6) ** 2
    low = max(FEWEST, min(wanted, most))
    high = max(min(most, max(400 * alike, 10 * low)), low)
    tried = np.geomspace(low, high, max(2, math.ceil(math.log(high / low) / 0.05)))
    digits = 10 ** (np.floor(np.log10(tried)) - 1)
    rounded = np.unique(np.ceil(tried / digits - 1e-9) * digits)
    fits = rounded[rounded <= most]
    return fits if len(fits) else np.array([2.0 * math.floor(most / 2)])


@lru_cache(maxsize=256)
def _error_to_confirm(threshold: float) -> float:
    """Largest standard error in SESOIs; the rule does not know units."""
    return std_error_to_confirm(sesoi=1.0, threshold=threshold)


@lru_cache(maxsize=256)
def _error_to_refute(threshold: float) -> float:
    return std_error_to_refute(sesoi=1.0, threshold=threshold)


def _test(option: LeverOption, n: int, *, weeks: float, value: float, rate: float, threshold: float) -> NextTest:
    c, bar = option, option.share * threshold
    error = c.error_of(n)
    decide_at = outcome_needed(c.effect, c.sd, std_error=error, line=c.break_even)
    confirm_at, refute_at, lowest = _verdict_results(c, error, bar)

    def above(result: float) -> float:
        return chance_above(c.effect, c.sd, std_error=error, result=result)

    return NextTest(
        link=c.link,
        lever=c.lever,
        new_lever=c.new_lever,
        grade=c.grade,
        n=n,
        weeks=math.nan if math.isnan(c.per_day) else weeks,
        value=value,
        lever_cost=c.cost,
        customer_weeks=n * weeks,
        rate=rate,
        inert_chance=c.inert_chance,
        std_error=error,
        acts_today=c.effect > c.break_even,
        decide_at=decide_at,
        chance_act=above(decide_at),
        confirm_at=confirm_at,
        chance_confirm=above(confirm_at),
        refute_at=refute_at,
        chance_refute=0.0 if math.isnan(refute_at) else above(lowest) - above(refute_at),
        n_confirm=_whole(c.customers_for(c.sesoi * _error_to_confirm(bar))),
        n_refute=_whole(c.customers_for(c.sesoi * _error_to_refute(bar))),
        factor=c.factor,
        unit=c.unit,
        adverse=c.adverse,
        confirmed=c.confirmed,
    )


def _verdict_results(option: LeverOption, error: float, threshold: float) -> tuple[float, float, float]:
    """Results of a test that would confirm the link, and from which down to which it would be refuted (NaN: none)."""
    c = option
    before = c.std_error if c.pooled else math.inf
    together = (error**-2 + before**-2) ** -0.5
    confirm, refute = verdict_lines(together, sesoi=c.sesoi, threshold=threshold)
    confirm_at = confirm + (error / before) ** 2 * (confirm - c.estimate)
    if not c.pooled:  # the size counts all trials, whoever's p-value decides
        both = error**-2 + c.std_error**-2
        size = c.sesoi + 1 / (both * c.sesoi)
        confirm_at = max(confirm_at, size + (error / c.std_error) ** 2 * (size - c.estimate))
    if refute <= 0:
        return confirm_at, math.nan, math.nan
    weight = (error / before) ** 2
    return confirm_at, refute + weight * (refute - c.estimate), -refute + weight * (-refute - c.estimate)


def why_not(option: LeverOption, test: NextTest, told_in: str) -> str:
    """Say why a test is not worth running now; empty if it is.

    Parameters
    ----------
    option : LeverOption
    test : NextTest
        The option, sized.
    told_in : str
        Unit of values, in words; empty if nobody named it.
    """
    if option.inert_chance >= INERT:
        return f"{option.lever} does not move the CPI: another lever is needed."
    if option.value == 0:
        return "no value was given to this link (its value is 0): say what it is worth."
    if min(test.chance_act, 1 - test.chance_act) < SURPRISE:
        do = "act on it" if test.acts_today else "leave it"
        grade = " A new lever would only lift its grade." if option.lifts_grade else ""
        return f"we would {do} whatever a test of {test.n:,} customers says.{grade}"
    if test.rate <= 0:
        worth = f"knowing more is worth {amount(test.value)} {told_in}".strip()
        less = f", less than the {amount(test.lever_cost)} that {test.lever} costs" if test.lever_cost else ""
        return f"{worth}{less}."
    return ""


def why_none(
    option: LeverOption, *, settle: bool, most_weeks: float, threshold: float, told_in: str
) -> tuple[str, ...]:
    """Say why no test of an option fits, and what else would keep it from being run if customers were many."""
    days = 7 * most_weeks - option.window_days
    if days <= 0:
        limit = f"the KPI window alone takes {option.window_days / 7:.4g} weeks, and no test may last longer than"
        short = f"{limit} {most_weeks:.4g}: raise `most_weeks` (--weeks)."
    else:
        most = max(option.most(most_weeks), 0)
        short = f"only {most:,.0f} customers in {most_weeks:g} weeks, and a test needs {FEWEST}."
    free = replace(option, per_day=math.nan, window_days=0.0, population=math.inf)
    test = size_up(free, scarce="weeks", settle=settle, most_weeks=most_weeks, threshold=threshold)
    other = "" if test is None else why_not(free, test, told_in)
    return tuple(each for each in (other, short) if each)


def _whole(customers: float) -> int:
    """Round up, to even numbers: two equal arms."""
    return 2 * math.ceil(customers / 2)


def rank(sized: list[tuple[LeverOption, NextTest]]) -> list[NextTest]:
    """Put the best test first, one a link; of tests that are equally good, a new lever on a link of grade B.

    Greedy: what one test tells about its link is nothing that another link's test tells.
    """
    left, ranked = list(sized), []
    while left:
        top = max(test.rate for _, test in left)
        close = [pair for pair in left if pair[1].rate >= top - TIE * abs(top)]
        option, test = min(close, key=lambda pair: (not pair[0].lifts_grade, -pair[1].rate, pair[0].link))
        ranked.append(test)
        left = [pair for pair in left if pair[0].link != option.link]
    return ranked
