"""Event tables of a chunk of customers: what they experienced and, after it, what they did.

A *visit* is one customer in one billing cycle of 28 days. All events of a visit lie inside its cycle, CPI events before
the KPI events that depend on them. The KPIs depend on the *experienced* values (as they stand in the tables), not on
latent means. Numbers of quotes and tickets and the share of answered surveys never depend on an arm, so customers
without an event drop out of all arms alike. Every probability stays inside (0, 1) by construction; nothing is clipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cpi_experiments.errors import DataError
from cpi_experiments.simulate.truth import REFERENCE, TURN_DAY, World

if TYPE_CHECKING:
    from numpy.random import Generator

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]
Table = Mapping[str, np.ndarray]

DAY: Final = 86_400
HOUR: Final = 3_600
CHANNELS: Final = ("direct", "online", "broker")
#: Hours that a quote takes longer in each channel: past data must hold the channel constant.
CHANNEL_HOURS: Final = np.array([0.0, -4.0, 4.0])
FEED, STATEMENT, RENEWAL = "feed", "statement", "renewal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visits:
    """One row for each customer and billing cycle of a chunk.

    Parameters
    ----------
    customer_id, team_id : int array (v,)
    start : int array (v,)
        Second of the year (0 = 1 January 2026, 00:00 UTC) at which the cycle starts.
    moved : mapping of CPI id to float array (v,)
        Raw units by which a lever shifts the CPI in this cycle.
    engagement : float array (v,)
        Latent, between -1 and 1: the confounder of `friends_seen` and `purchases`.
    premium : float array (v,)
        Prior premium, scaled to -1 to 1.
    team : float array (v,)
        How good the customer's service team is, -1 to 1.
    channel : int array (v,)
    """

    customer_id: Integers
    team_id: Integers
    start: Integers
    moved: Mapping[str, Numbers]
    engagement: Numbers
    premium: Numbers
    team: Numbers
    channel: Integers

    @property
    def later(self) -> NDArray[np.bool_]:
        """Whether the cycle starts from the turn of the year's effects on."""
        return self.start >= TURN_DAY * DAY


def draw(rng: Generator, probability: Numbers) -> NDArray[np.bool_]:
    """Toss one coin for each probability.

    Raises
    ------
    DataError
        If a probability is not strictly between 0 and 1: clipping it would make the stated truth false.
    """
    if probability.size and not (probability.min() > 0 and probability.max() < 1):
        raise DataError(
            f"probabilities run from {probability.min():.3g} to {probability.max():.3g}",
            advice="Choose effects and bases that keep them between 0 and 1.",
        )
    return rng.random(probability.shape) < probability


def experienced(cpi: str, visit: Integers, *, values: Numbers, n_visits: int) -> Numbers:
    """Average the values of each visit; the reference where there is none."""
    count = np.bincount(visit, minlength=n_visits)
    total = np.bincount(visit, weights=values, minlength=n_visits)
    return np.where(count > 0, total / np.maximum(count, 1), REFERENCE[cpi])


def make_quotes(rng: Generator, visits: Visits, *, world: World) -> tuple[Table, Numbers]:
    """Quotes: asked for on days 0-20 of a cycle, decided within three days of the price.

    Returns
    -------
    table
        customer_id, team_id, requested_at, quoted_at, decided_at, won, has_error.
    array (v,)
        Hours experienced in each visit.
    """
    visit = np.repeat(np.arange(visits.start.size), rng.choice(3, size=visits.start.size, p=[0.1, 0.5, 0.4]))
    n = visit.size
    hours = REFERENCE["quote_hours"] + CHANNEL_HOURS[visits.channel[visit]] - 2 * visits.team[visit]
    hours += rng.uniform(-14, 14, n) + visits.moved["quote_hours"][visit]
    waited = np.rint(hours * HOUR).astype(np.int64)
    requested = visits.start[visit] + rng.integers(0, 21 * DAY, n)
    hours = waited / HOUR
    shift = world.kpi_shift("win_rate", {"quote_hours": hours}, later=visits.later[visit])
    won = draw(rng, 0.34 + 0.06 * visits.premium[visit] + shift)
    quoted = requested + waited
    table = {
        "customer_id": visits.customer_id[visit],
        "team_id": visits.team_id[visit],
        "requested_at": requested,
        "quoted_at": quoted,
        "decided_at": quoted + rng.integers(HOUR, 3 * DAY, n),
        "won": won,
        "has_error": draw(rng, np.full(n, 0.02)),
    }
    return table, experienced("quote_hours", visit, values=hours, n_visits=visits.start.size)


def make_tickets(rng: Generator, visits: Visits, *, world: World, value_shown: Numbers) -> tuple[Table, Table, Numbers]:
    """Tickets on days 3-23, and the survey answers of eight in ten of them within ten hours of the reply.

    Promoters and detractors shift against each other, so the net promoter score is linear in what was experienced.

    Returns
    -------
    tickets
        customer_id, team_id, created_at, first_reply_at, solved_first.
    survey answers
        customer_id, answered_at, score.
    array (v,)
        Minutes to the reply experienced in each visit.
    """
    visit = np.repeat(np.arange(visits.start.size), rng.choice(3, size=visits.start.size, p=[0.25, 0.6, 0.15]))
    n = visit.size
    minutes = REFERENCE["reply_minutes"] - 5 * visits.team[visit] + rng.uniform(-30, 30, n)
    waited = np.rint((minutes + visits.moved["reply_minutes"][visit]) * 60).astype(np.int64)
    base = REFERENCE["first_time_resolution"] + 0.04 * visits.team[visit]
    solved = draw(rng, base + visits.moved["first_time_resolution"][visit])
    created = visits.start[visit] + 3 * DAY + rng.integers(0, 21 * DAY, n)
    tickets = {
        "customer_id": visits.customer_id[visit],
        "team_id": visits.team_id[visit],
        "created_at": created,
        "first_reply_at": created + waited,
        "solved_first": solved,
    }
    felt = {
        "first_time_resolution": solved.astype(np.float64),
        "reply_minutes": waited / 60,
        "value_shown": value_shown[visit],
    }
    shift = world.kpi_shift("nps", felt, later=visits.later[visit])
    answered = np.flatnonzero(draw(rng, np.full(n, 0.8)))
    survey = {
        "customer_id": visits.customer_id[visit][answered],
        "answered_at": (created + waited)[answered] + rng.integers(HOUR, 10 * HOUR, answered.size),
        "score": _scores(rng, shift[answered]),
    }
    return tickets, survey, experienced("reply_minutes", visit, values=waited / 60, n_visits=visits.start.size)


def _scores(rng: Generator, shift: Numbers) -> Integers:
    """Answers 0-10 whose net promoter score has mean 10 + shift: 40 % promoters and 30 % detractors, moved apart."""
    promoter, detractor = 0.40 + shift / 200, 0.30 - shift / 200
    draw(rng, np.stack([promoter, detractor]))
    u = rng.random(shift.shape)
    spread = rng.random(shift.shape)
    low, passive, high = (np.floor(start + width * spread) for start, width in ((0, 7), (7, 2), (9, 2)))
    return np.where(u < detractor, low, np.where(u < 1 - promoter, passive, high)).astype(np.int64)


def make_orders(rng: Generator, visits: Visits, *, world: World, quote_hours: Numbers, friends_seen: Numbers) -> Table:
    """One order at the start of each cycle; what it was like decides how many follow on days 14-19.

    Returns
    -------
    table
        customer_id, ordered_at, delivered_at, plan_options, amount, whole, refund.
    """
    n = visits.start.size
    first = _order(rng, visits, world=world, visit=np.arange(n), day=0)
    felt = {
        "plan_options": first["plan_options"].astype(np.float64),
        "nothing_broke": first["whole"].astype(np.float64),
        "delivery_days": (first["delivered_at"] - first["ordered_at"]) / DAY,
        "friends_seen": friends_seen,
    }
    season = 0.02 * np.sin(2 * np.pi * visits.start / (365 * DAY))
    base = 1.32 + 3 * (season + 0.02 * visits.premium) + 0.75 * visits.engagement
    mean = base + world.kpi_shift("purchases", felt, later=visits.later)
    again = draw(rng, np.repeat(mean[:, None] / 3, 3, axis=1)).sum(axis=1)
    repeat = _order(rng, visits, world=world, visit=np.repeat(np.arange(n), again), day=14)
    # Spend moves through the first order's amount; it always exists, so the sum moves by the whole shift.
    shift = world.kpi_shift("spend", {"quote_hours": quote_hours}, later=visits.later)
    first["amount"] = first["amount"] + shift
    return {name: np.concatenate([first[name], repeat[name]]) for name in first}


def _order(rng: Generator, visits: Visits, *, world: World, visit: Integers, day: int) -> dict[str, np.ndarray]:
    n = visit.size
    ordered = visits.start[visit] + day * DAY + rng.integers(0, 6 * DAY, n)
    days = REFERENCE["delivery_days"] + rng.uniform(-2.5, 2.5, n) + visits.moved["delivery_days"][visit]
    whole = draw(rng, REFERENCE["nothing_broke"] + visits.moved["nothing_broke"][visit])
    options = REFERENCE["plan_options"] + rng.integers(-1, 2, n) + visits.moved["plan_options"][visit]
    per_whole = {"nothing_broke": whole.astype(np.float64)}
    # An order that broke costs, on average, what the link says that 100 points of whole orders save.
    whole_cost = world.kpi_shift("refund_cost", {"nothing_broke": np.ones(n)}, later=visits.later[visit])
    returned = draw(rng, np.full(n, 0.06))  # sent back whole
    cost = world.kpi_shift("refund_cost", per_whole, later=visits.later[visit]) - whole_cost
    return {
        "customer_id": visits.customer_id[visit],
        "ordered_at": ordered,
        "delivered_at": ordered + np.rint(days * DAY).astype(np.int64),
        "plan_options": np.rint(options).astype(np.int64),
        "amount": 51 + 10 * visits.premium[visit] + rng.uniform(-25, 25, n),
        "whole": whole,
        "refund": cost * rng.uniform(0.6, 1.4, n) + np.where(returned, rng.uniform(10, 50, n), 0.0),
    }


def make_interactions(rng: Generator, visits: Visits) -> tuple[Table, Numbers, Numbers]:
    """Feed views on days 0-13 and statements on days 0-2.

    Returns
    -------
    table
        customer_id, happened_at, kind, value.
    arrays (v,)
        Friends seen and EUR of value shown in each visit.
    """
    n = visits.start.size
    friends = REFERENCE["friends_seen"] + 3 * visits.engagement + rng.uniform(-1, 1, n)
    friends = np.floor(friends + rng.random(n)) + visits.moved["friends_seen"]
    shown = np.rint(100 * (REFERENCE["value_shown"] + rng.uniform(-25, 25, n))) / 100 + visits.moved["value_shown"]
    feed = _interaction(visits, FEED, at=visits.start + rng.integers(0, 14 * DAY, n), value=friends)
    statement = _interaction(visits, STATEMENT, at=visits.start + rng.integers(0, 3 * DAY, n), value=shown)
    return {name: np.concatenate([feed[name], statement[name]]) for name in feed}, friends, shown


def make_renewals(
    rng: Generator, visits: Visits, *, world: World, value_shown: Numbers, reply_minutes: Numbers
) -> Table:
    """Renewal decisions on days 25-27, after everything else: customer_id, happened_at, kind, value (1 = renewed)."""
    felt = {"value_shown": value_shown, "reply_minutes": reply_minutes}
    chance = 0.72 + 0.03 * visits.premium + world.kpi_shift("renewal", felt, later=visits.later)
    renewed = draw(rng, chance).astype(np.float64)
    at = visits.start + 25 * DAY + rng.integers(0, 3 * DAY, renewed.size)
    return _interaction(visits, RENEWAL, at=at, value=renewed)


def _interaction(visits: Visits, kind: str, *, at: Integers, value: Numbers) -> Table:
    return {
        "customer_id": visits.customer_id,
        "happened_at": at,
        "kind": np.full(at.size, kind, dtype=object),
        "value": value,
    }
