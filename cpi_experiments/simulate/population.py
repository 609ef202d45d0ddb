"""Who the customers are, which experiments each belongs to, and in which billing cycles a lever was on."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cpi_experiments.catalog.yaml_marks import read_yaml
from cpi_experiments.errors import DataError
from cpi_experiments.simulate.events import CHANNELS, DAY, Integers, Visits
from cpi_experiments.simulate.truth import REFERENCE, World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.random import Generator

    from cpi_experiments.simulate.events import Numbers, Table

CYCLE: Final = 28
YEAR_DAYS: Final = 365
TEAMS: Final = 12
AGENTS_PER_TEAM: Final = 8
FIRST_CUSTOMER: Final = 100_001
REGIONS: Final = ("north", "east", "south", "west")
NEW_YEAR: Final = np.datetime64("2026-01-01", "us")
#: Cycles of every customer, so that the whole year is covered whatever the phase.
CYCLES: Final = np.arange(-1, 13)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the simulator needs of an experiment file; days count from 1 January 2026 = 0."""

    id: str
    lever: str
    control: str
    arms: tuple[str, ...]
    shares: tuple[float, ...]
    first_day: int
    last_day: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Customers in order of their ids.

    Parameters
    ----------
    first : int
        Id of the first one.
    phase : int array (n,)
        Day of the year on which the customer's first billing cycle of the year starts, 0 to 27.
    experiment, arm : int array (rounds, n)
        Number of the plan (-1 = none) and of its arm, in each round of experiments that run at the same time.
    """

    first: int
    phase: Integers
    experiment: Integers
    arm: Integers

    @property
    def customer_id(self) -> Integers:
        """Ids of the customers."""
        return self.first + np.arange(self.phase.size)

    def part(self, begin: int, end: int) -> Population:
        """Return the customers from ``begin`` up to ``end``."""
        return Population(
            first=self.first + begin,
            phase=self.phase[begin:end],
            experiment=self.experiment[:, begin:end],
            arm=self.arm[:, begin:end],
        )

    def members(self, number: int) -> tuple[Integers, Integers]:
        """Positions of the customers in one experiment, and their arms."""
        row, column = np.nonzero(self.experiment == number)
        return column, self.arm[row, column]

    def assigned_day(self, plan: Plan, customers: Integers) -> Integers:
        """Day on which customers are assigned: the first start of a cycle from the first day of the plan."""
        return plan.first_day + (self.phase[customers] - plan.first_day) % CYCLE


def generator(seed: int, name: str, chunk: int = 0) -> Generator:
    """One random stream for each name and chunk: adding a table never changes another one.

    Examples
    --------
    >>> int(generator(1, "quotes").integers(100)) == int(generator(1, "quotes").integers(100))
    True
    """
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode()), chunk]))


def read_plans(folder: Path) -> tuple[Plan, ...]:
    """Read the experiment files of a project folder that this package wrote, in order of their names."""
    plans = []
    for file in sorted((folder / "experiments").glob("*.yaml")):
        content = read_yaml(file, root=folder).content
        weights = content["allocation"]
        plans.append(
            Plan(
                id=content["id"],
                lever=content["lever"],
                control=content["control"],
                arms=tuple(weights),
                shares=tuple(weight / sum(weights.values()) for weight in weights.values()),
                first_day=_day_of_year(str(content["start"])),
                last_day=_day_of_year(str(content["end"])),
                n=content["planned_n"],
            )
        )
    return tuple(plans)


def _day_of_year(date: str) -> int:
    return int((np.datetime64(date, "D") - NEW_YEAR.astype("datetime64[D]")).astype(np.int64))


def rounds_of(plans: tuple[Plan, ...]) -> list[list[int]]:
    """Group the plans whose measurement windows overlap; customers are dealt anew in each round."""
    rounds: list[list[int]] = []
    over = 0
    for number in sorted(range(len(plans)), key=lambda each: plans[each].first_day):
        if not rounds or plans[number].first_day >= over:
            rounds.append([])
        rounds[-1].append(number)
        over = max(over, plans[number].last_day + CYCLE)
    return rounds


def populate(plans: tuple[Plan, ...], n: int, *, rng: Generator) -> Population:
    """Deal customers to experiments at random, and inside each experiment to arms in exactly the planned shares.

    A customer is in one experiment at a time at most.

    Raises
    ------
    DataError
        If the experiments of one round need more customers than there are.
    """
    rounds = rounds_of(plans)
    experiment, arm = np.full((len(rounds), n), -1), np.zeros((len(rounds), n), np.int64)
    for row, numbers in enumerate(rounds):
        needed = sum(plans[number].n for number in numbers)
        if needed > n:
            raise DataError(f"experiments that run together need {needed:,} customers of {n:,}")
        order = rng.permutation(n)
        for number in numbers:
            plan = plans[number]
            members, order = order[: plan.n], order[plan.n :]
            cuts = np.rint(np.cumsum(plan.shares) * plan.n)
            experiment[row, members] = number
            arm[row, members] = np.searchsorted(cuts, np.arange(plan.n), side="right")
    return Population(first=FIRST_CUSTOMER, phase=rng.integers(0, CYCLE, n), experiment=experiment, arm=arm)


def make_teams() -> Table:
    """List the regional service teams: team_id, label, region."""
    names = [f"{REGIONS[team % len(REGIONS)].title()} {team // len(REGIONS) + 1}" for team in range(TEAMS)]
    return {
        "team_id": np.arange(1, TEAMS + 1),
        "label": np.array(names, dtype=object),
        "region": np.array(REGIONS, dtype=object)[np.arange(TEAMS) % len(REGIONS)],
    }


def make_assignments(people: Population, plans: tuple[Plan, ...]) -> Table:
    """List who is in an experiment: experiment, customer_id, arm, assigned_at."""
    parts = []
    for number, plan in enumerate(plans):
        customers, arm = people.members(number)
        parts.append(
            {
                "experiment": np.full(customers.size, plan.id, dtype=object),
                "customer_id": people.customer_id[customers],
                "arm": np.array(plan.arms, dtype=object)[arm],
                "assigned_at": people.assigned_day(plan, customers) * DAY,
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def make_customers(
    people: Population, plans: tuple[Plan, ...], *, world: World, rng: Generator
) -> tuple[Table, Visits]:
    """Draw the customers and their visits: every billing cycle that touches the year.

    Returns
    -------
    table
        customer_id, region, channel, joined_at, prior_premium, team_id, agent_id.
    Visits
        In order of customer and time; the first and the last cycle may lie partly outside the year.
    """
    n = people.phase.size
    team = rng.integers(0, TEAMS, n)
    channel = rng.choice(len(CHANNELS), size=n, p=[0.3, 0.4, 0.3])
    premium, steady = rng.uniform(-1, 1, n), rng.uniform(-0.3, 0.3, n)
    customers = {
        "customer_id": people.customer_id,
        "region": np.array(REGIONS, dtype=object)[team % len(REGIONS)],
        "channel": np.array(CHANNELS, dtype=object)[channel],
        "joined_at": rng.integers(-1500, -CYCLE, n) * DAY,
        "prior_premium": np.rint(70_000 + 50_000 * premium) / 100,
        "team_id": team + 1,
        "agent_id": 100 * (team + 1) + rng.integers(1, AGENTS_PER_TEAM + 1, n),
    }
    owner = np.repeat(np.arange(n), CYCLES.size)
    visits = Visits(
        customer_id=people.customer_id[owner],
        team_id=team[owner] + 1,
        start=(people.phase[:, None] + CYCLE * CYCLES).ravel() * DAY,
        moved=_moves(people, plans, world=world),
        engagement=steady[owner] + rng.uniform(-0.7, 0.7, owner.size),
        premium=premium[owner],
        team=(2 * (team * 5 % TEAMS) / (TEAMS - 1) - 1)[owner],  # teams differ evenly, in no order of their ids
        channel=channel[owner],
    )
    return customers, visits


def _moves(people: Population, plans: tuple[Plan, ...], *, world: World) -> Mapping[str, Numbers]:
    """Raw units by which the levers shift each CPI: in treated arms only, in the cycle of the trial only."""
    moved = {cpi: np.zeros((people.phase.size, CYCLES.size)) for cpi in REFERENCE}
    for number, plan in enumerate(plans):
        customers, arm = people.members(number)
        treated = customers[arm != plan.arms.index(plan.control)]
        cycle = (people.assigned_day(plan, treated) - people.phase[treated]) // CYCLE - CYCLES[0]
        for cpi, shift in moved.items():
            shift[treated, cycle] = world.lever_move(plan.lever, cpi)
    return {cpi: shift.ravel() for cpi, shift in moved.items()}
