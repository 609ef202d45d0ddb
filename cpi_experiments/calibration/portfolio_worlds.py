"""Worlds of whole portfolios: many links that grow over quarters under shared shocks, judged every quarter."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.calibration.array_core import cumulative_scores, published_by_step, running
from cpi_experiments.calibration.judged_draws import Drawn, Truth, cases
from cpi_experiments.calibration.naive import bh_each_quarter, significant_each_quarter
from cpi_experiments.calibration.world import Claim, Hits, World
from cpi_experiments.evidence import judge
from cpi_experiments.evidence.case import Case
from cpi_experiments.stats.judging.look_plan import look_plan

if TYPE_CHECKING:
    from collections.abc import Iterable

Floats = np.ndarray
Q = 0.10
#: Draws of a naive rule for every portfolio that is judged.
NAIVE_DRAWS = 100
#: A link worth this many SESOI has to be found.
WORTHWHILE = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A portfolio of links, each with one experiment a quarter.

    Parameters
    ----------
    links : int
    real : int
        Links with an effect: half-normal with standard deviation ``sd`` (in SESOI); the others have none.
    sd : float
    error : float
        Standard error of a link after the last quarter, in SESOI.
    quarters : int
    shock : float
        Correlation of the KPI noise of all links within a quarter.
    rho : float
        Correlation of the noise of CPI and KPI within an experiment.
    looks : str
        Look plan of every link.
    """

    links: int
    real: int = 0
    sd: float = 2.0
    error: float = 0.3
    quarters: int = 8
    shock: float = 0.5
    rho: float = 0.3
    looks: str = "planned 8"

    @property
    def truth(self) -> Truth:
        """What is alike in all links."""
        error = self.error * math.sqrt(self.quarters)
        return Truth(
            theta=0.0,
            error=error,
            strength=50,
            k=self.quarters,
            rho=self.rho,
            looks=look_plan(self.looks),
            orientation=0,
        )


def draw_portfolios(company: Company, rng: np.random.Generator, reps: int) -> Drawn:
    """Draw ``reps`` portfolios: arrays of shape (reps, links, quarters)."""
    truth, shape = company.truth, (reps, company.links, company.quarters)
    theta = np.zeros(shape)
    theta[:, : company.real] = company.sd * np.abs(rng.standard_normal((reps, company.real, 1)))
    own, noise = rng.standard_normal((2, *shape))
    shared = rng.standard_normal((reps, 1, company.quarters))
    rest = math.sqrt(company.shock) * shared + math.sqrt(1 - company.shock) * noise
    y = theta * truth.move + truth.noise * (company.rho * own + math.sqrt(1 - company.rho**2) * rest)
    return Drawn(
        x=truth.move + own, y=y, theta=theta, xx=1.0, xy=company.rho * truth.noise, yy=truth.noise**2, truth=truth
    )


def false_share(members: Iterable[int], effect: Floats) -> float:
    """Return the false discovery proportion of a set of links; ``effect`` is above zero where there is one."""
    chosen = list(members)
    return float(np.mean(effect[chosen] <= 0)) if chosen else 0.0


def one_portfolio(drawn: Drawn, r: int) -> Drawn:
    """Take one of the drawn portfolios: arrays of shape (links, quarters)."""
    return replace(drawn, x=drawn.x[r], y=drawn.y[r], theta=drawn.theta[r])


def _null(rng: np.random.Generator, reps: int, *, company: Company) -> Hits:
    drawn = draw_portfolios(company, rng, reps)
    p = running(drawn, drawn.truth.looks)
    score, information = cumulative_scores(drawn)
    z = score / np.sqrt(np.maximum(information, 1e-300))
    return {
        "any false confirmation": np.array([bool(published_by_step(one, q=Q, slots=company.links)[-1]) for one in p]),
        "p < .05 each quarter": np.any(significant_each_quarter(z), axis=(1, 2)),
        "BH each quarter": np.any(bh_each_quarter(z, Q), axis=(1, 2)),
    }


def _null_world(name: str, title: str, company: Company) -> World:
    return World(
        number=18,
        name=name,
        title=title,
        expected="none confirmed in any quarter",
        claims=(
            Claim(name="any false confirmation", relation="<=", bound=0.05, kind="false confirmation"),
            *(
                Claim(name=rule, relation="<=", bound=0.05, kind="false confirmation", method=rule, naive=True)
                for rule in ("p < .05 each quarter", "BH each quarter")
            ),
        ),
        simulate=partial(_null, company=company),
        reps_quick=400,
        reps_full=4000,
        chunk=100,
    )  # fmt: skip


NULLS = (
    _null_world(
        "portfolio_null", "60 links without effect, an experiment each in 8 quarters, a shock shared by quarter",
        Company(links=60, error=0.6),
    ),
    _null_world(
        "portfolio_null_12", "12 links without effect, independent, 8 quarters",
        Company(links=12, error=0.6, shock=0.0, rho=-0.5),
    ),
    _null_world(
        "portfolio_null_capped", "24 links without effect, any looks up to a declared standard error",
        Company(links=24, error=0.6, shock=0.3, looks="capped 0.6"),
    ),
)  # fmt: skip


# -- half of the links are real ---------------------------------------------------------------------------------------


def _mixed(rng: np.random.Generator, reps: int, *, company: Company) -> Hits:
    drawn = draw_portfolios(company, rng, reps)
    p, effect = running(drawn, drawn.truth.looks), drawn.theta[..., 0]
    rows = [_one_mixed(one_portfolio(drawn, r), p[r], effect[r]) for r in range(reps)]
    many = draw_portfolios(company, rng, NAIVE_DRAWS * reps)
    return {key: np.array([row[key] for row in rows]) for key in rows[0]} | _naive_shares(many)


def _naive_shares(drawn: Drawn) -> dict[str, Floats]:
    """Return the false share of the links that a naive rule ever confirmed, per portfolio."""
    score, information = cumulative_scores(drawn)
    z, effect = score / np.sqrt(np.maximum(information, 1e-300)), drawn.theta[..., 0]
    ever = {"p < .05 each quarter": significant_each_quarter(z), "BH each quarter": bh_each_quarter(z, Q)}
    return {
        name: np.array(
            [false_share(np.flatnonzero(one), real) for one, real in zip(np.any(rule, axis=2), effect, strict=True)]
        )
        for name, rule in ever.items()
    }


def _one_mixed(portfolio: Drawn, p: Floats, effect: Floats) -> dict[str, float | bool]:
    steps = published_by_step(p, q=Q, slots=len(p))
    decisions = judge.judge_cases(cases(portfolio))
    confirmed = [i for i, d in enumerate(decisions) if d.verdict.value == "confirmed"]
    refuted = [i for i, d in enumerate(decisions) if d.verdict.value == "refuted"]
    large = np.flatnonzero(effect >= WORTHWHILE)
    return {
        "largest FDP of any quarter": max(false_share(s, effect) for s in steps),
        "FDP of the confirmed links": false_share(confirmed, effect),
        "FDP of the refuted links": float(np.mean(effect[refuted] >= 1)) if refuted else 0.0,
        "found at 1.5 SESOI or more": len(set(confirmed) & set(large.tolist())) / max(len(large), 1),
        "withdrawn by chance": any(before - after for before, after in pairwise(steps)),
    }


def _mixed_world(name: str, title: str, company: Company, *, power: float, reps_quick: int) -> World:
    fdr = ("largest FDP of any quarter", "FDP of the confirmed links", "FDP of the refuted links")
    return World(
        number=19,
        name=name,
        title=title,
        expected="effects of 1.5 SESOI found, at most one in ten of those published wrong",
        claims=(
            *(Claim(name=key, relation="<=", bound=Q, kind="fdr") for key in fdr),
            Claim(name="found at 1.5 SESOI or more", relation=">=", bound=power, kind="power"),
            Claim(name="withdrawn by chance", relation="<=", bound=0.0, kind="verdict"),
            *(
                Claim(name=key, relation="<=", bound=Q, kind="fdr", method=key, naive=True)
                for key in ("p < .05 each quarter", "BH each quarter")
            ),
        ),
        simulate=partial(_mixed, company=company),
        reps_quick=reps_quick,
        reps_full=2000,
        chunk=10,
    )


MIXED = (
    _mixed_world(
        "portfolio_mixed", "60 links, half without effect, the others half-normal with sd 2 SESOI; a shared shock",
        Company(links=60, real=30), power=0.95, reps_quick=40,
    ),
    _mixed_world(
        "portfolio_mixed_rare", "24 links, four fifths without effect, independent, noise correlation -0.5",
        Company(links=24, real=5, shock=0.0, rho=-0.5), power=0.90, reps_quick=80,
    ),
)  # fmt: skip


# -- links that were registered and not tested stay in the family -----------------------------------------------------

REGISTERED, TOLD = 60, 6


def _drawer(rng: np.random.Generator, reps: int) -> Hits:
    company = Company(links=REGISTERED, error=0.6, quarters=1, shock=0.2, looks="single")
    drawn = draw_portfolios(company, rng, reps)
    hits = {"any false confirmation": np.zeros(reps, dtype=bool), "only tested links": np.zeros(reps, dtype=bool)}
    for r in range(reps):
        known = cases(one_portfolio(drawn, r))
        told = np.argsort(-(drawn.y[r, :, 0] / drawn.x[r, :, 0]))[:TOLD]
        tested = [known[i] for i in told]
        dormant = [Case(trials=(), sesoi=1.0, expected_sign=1)] * (REGISTERED - TOLD)
        for key, family in (("any false confirmation", [*tested, *dormant]), ("only tested links", tested)):
            hits[key][r] = any(d.verdict.value == "confirmed" for d in judge.judge_cases(family))
    return hits


DRAWER = (
    World(
        number=18,
        name="file_drawer",
        title=f"{REGISTERED} links without effect; only the {TOLD} best results are told, the others stay registered",
        expected="none confirmed",
        claims=(
            Claim(name="any false confirmation", relation="<=", bound=0.05, kind="false confirmation"),
            Claim(
                name="only tested links", relation="<=", bound=0.05, kind="false confirmation",
                method="dormant links dropped", naive=True,
            ),
        ),
        simulate=_drawer,
        reps_quick=300,
        reps_full=2000,
    ),
)  # fmt: skip

WORLDS: tuple[World, ...] = (*NULLS, *MIXED, *DRAWER)
