"""Worlds of customers in which a link is judged: a real one, confounding, many weak experiments, the reverse cause."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.calibration.unit_arms import UnitTrials, covers, link_set, reduced_p
from cpi_experiments.calibration.unit_draws import (
    INCREMENT,
    LEVEL,
    UnitTruth,
    cases_of,
    customers,
    draw_links,
    draw_trials,
)
from cpi_experiments.calibration.world import Claim, Hits, World
from cpi_experiments.evidence import judge
from cpi_experiments.evidence.case import Case
from cpi_experiments.stats.regression import least_squares
from cpi_experiments.stats.student import p_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.evidence.decision import Decision

Array = np.ndarray
Z = 1.959963984540054
#: Customers of the past that a regression is given.
PAST = 2_000
_CONFIRMED = Claim(name="confirmed", relation="<=", bound=0.01, kind="false confirmation")
_COVERS = (
    Claim(name="AR set covers, at least", relation=">=", bound=0.94, kind="coverage", method="AR set"),
    Claim(name="AR set covers, at most", relation="<=", bound=0.96, kind="coverage", method="AR set"),
)


def judged(cases: Sequence[Case]) -> list[Decision]:
    """Judge every case as the only link of its portfolio, by the rule that users call."""
    return [judge.judge_cases([case])[0] for case in cases]


def share(decisions: Sequence[Decision], word: str, *, grades: Sequence[str] = (), cause: str = "") -> Array:
    """Which decisions have a verdict (and one of the grades, or the cause)."""
    return np.array(
        [d.verdict.value == word and (not grades or d.grade in grades) and cause in ("", d.cause) for d in decisions]
    )


def set_hits(experiment: UnitTrials, theta: float) -> Hits:
    """Say which Anderson-Rubin sets of one experiment hold the truth, for both claims on coverage."""
    hits = np.array([covers(link_set(pair), theta) for pair in experiment.pairs()])
    return {claim.name: hits for claim in _COVERS}


def past_slopes(truth: UnitTruth, rng: np.random.Generator, reps: int) -> tuple[Array, Array]:
    """Slope of the KPI on the CPI in past data, per step, with its two-sided p-value: robust least squares."""
    found = []
    for _ in range(reps):
        rows = customers(truth, rng, PAST, np.zeros(1))[0]
        fit = least_squares(rows[:, 1], (rows[:, :1] - LEVEL) / INCREMENT)
        slope = float(fit.coefficients[0])
        found.append((slope, p_value(slope / float(fit.std_errors[0]), fit.df)))
    slopes, p_values = np.array(found).T
    return slopes, p_values


# -- the link is real ------------------------------------------------------------------------------------------------


def clean(rng: np.random.Generator, reps: int, *, truth: UnitTruth) -> Hits:
    """Judge a link that is worth two SESOI."""
    experiments = draw_links(truth, rng, reps)
    decisions = judged(cases_of(experiments))
    return {
        "confirmed, grade A": share(decisions, "confirmed", grades=("A", "A+")),
        "refuted": share(decisions, "refuted"),
        **set_hits(experiments[0], truth.theta),
    }


def _clean_world(number: int, name: str, title: str, truth: UnitTruth, *, sets: Sequence[Claim] = _COVERS) -> World:
    return World(
        number=number,
        name=name,
        title=title,
        expected="confirmed, grade A",
        claims=(
            Claim(name="confirmed, grade A", relation=">=", bound=0.90, kind="power"),
            Claim(name="refuted", relation="<=", bound=0.005, kind="sign error"),
            *sets,
        ),
        simulate=partial(clean, truth=truth),
        reps_quick=400,
        reps_full=2_000,
        unit_level=True,
        chunk=100,
    )


# -- only confounding ------------------------------------------------------------------------------------------------


def confounded(rng: np.random.Generator, reps: int, *, truth: UnitTruth) -> Hits:
    """Judge a link that past data show and that does not exist."""
    experiments = draw_links(truth, rng, reps)
    decisions = judged(cases_of(experiments))
    slope, p = past_slopes(truth, rng, reps)
    return {
        "refuted: no material effect": share(decisions, "refuted", cause="no material effect"),
        "confirmed": share(decisions, "confirmed"),
        "regression: p < .05, > SESOI": (p < 0.05) & (slope > 1),
        **set_hits(experiments[0], truth.theta),
    }


def _confounded_world(name: str, title: str, truth: UnitTruth) -> World:
    regression = Claim(
        name="regression: p < .05, > SESOI", relation="<=", bound=0.01, kind="false confirmation",
        method="regression", naive=True,
    )  # fmt: skip
    return World(
        number=2,
        name=name,
        title=title,
        expected="refuted (no material effect); past data flagged",
        claims=(
            Claim(name="refuted: no material effect", relation=">=", bound=0.90, kind="power"),
            _CONFIRMED,
            regression,
            *_COVERS,
        ),
        simulate=partial(confounded, truth=truth),
        reps_quick=300,
        reps_full=2_000,
        unit_level=True,
        chunk=50,
    )


# -- many weak experiments -------------------------------------------------------------------------------------------


def many(rng: np.random.Generator, reps: int, *, truth: UnitTruth, experiments: int) -> Hits:
    """Judge a link without effect from many experiments whose levers hardly move the CPI."""
    decisions, weighted = [], []
    for _ in range(reps):
        trials = weak_levers(truth, rng, experiments)
        decisions += judged(cases_of(trials))
        weighted.append(abs(weighted_slope(trials)))
    low, high = (np.array([getattr(d, end) for d in decisions]) for end in ("ci_low", "ci_high"))
    return {
        "confirmed": share(decisions, "confirmed"),
        "direction p < .05": np.array([d.p_value < 0.05 for d in decisions]),
        "95% set covers 0": (low <= 0) & (high >= 0),
        "IVW: p < .05": np.array(weighted) > Z,
    }


def weak_levers(truth: UnitTruth, rng: np.random.Generator, experiments: int) -> list[UnitTrials]:
    """Experiments of one link whose true moves are normal with the planned size as standard deviation; signs known."""
    moves = truth.move * rng.standard_normal(experiments)
    drawn = draw_trials(truth, rng, moves, truth.move)
    signs = np.where(moves < 0, -1, 1)
    return [
        replace(drawn, arms=(drawn.arms[0][k : k + 1], drawn.arms[1][k : k + 1]), lever_sign=int(signs[k]))
        for k in range(experiments)
    ]


def weighted_slope(trials: Sequence[UnitTrials]) -> float:
    """Return the t statistic of the naive inverse-variance slope: the noise in the CPI is forgotten."""
    pairs = [pair for trial in trials for pair in trial.pairs()]
    x, y, w = np.array([(p.effect_cpi, p.effect_kpi, 1 / p.var_kpi) for p in pairs]).T
    return float(np.sum(w * x * y) / math.sqrt(np.sum(w * x * x)))


def _many_world(name: str, title: str, truth: UnitTruth, *, reps: tuple[int, int]) -> World:
    return World(
        number=6,
        name=name,
        title=title,
        expected="not confirmed",
        claims=(
            Claim(name="confirmed", relation="<=", bound=0.01, kind="false confirmation"),
            Claim(name="direction p < .05", relation="<=", bound=0.07, kind="false confirmation"),
            Claim(name="95% set covers 0", relation=">=", bound=0.93, kind="coverage"),
            Claim(name="IVW: p < .05", relation="<=", bound=0.07, kind="false confirmation", method="IVW", naive=True),
        ),
        simulate=partial(many, truth=truth, experiments=200),
        reps_quick=reps[0],
        reps_full=reps[1],
        unit_level=True,
        chunk=10,
    )


# -- the KPI drives the CPI ------------------------------------------------------------------------------------------

#: How much of the CPI the KPI drives: good customers get faster quotes.
REVERSE = 0.6


def reverse_customers(rng: np.random.Generator, reps: int, n: int, move: float) -> Array:
    """Draw customers whose CPI (in steps, variance 1) follows from their KPI: hours and KPI, shape (reps, n, 2)."""
    kpi = rng.standard_normal((reps, n))
    steps = REVERSE * kpi + math.sqrt(1 - REVERSE**2) * rng.standard_normal((reps, n)) + move
    return np.stack([LEVEL + INCREMENT * steps, 3 * kpi], axis=-1)


def reverse_trial(rng: np.random.Generator, reps: int, *, n: int, move: float) -> UnitTrials:
    """Draw an experiment that moves the CPI, and so nothing else."""
    arms = reverse_customers(rng, reps, n, 0.0), reverse_customers(rng, reps, n, move)
    return UnitTrials(arms=arms, increment=INCREMENT, planned_move=move)


def reverse(rng: np.random.Generator, reps: int, *, n: int, move: float) -> Hits:
    """Judge the reverse cause from past data alone, and from an experiment."""
    experiment = reverse_trial(rng, reps, n=n, move=move)
    alone, tried, p = [], [], []
    for _ in range(reps):
        rows = reverse_customers(rng, 1, PAST, 0.0)[0]
        fit = least_squares(rows[:, 1], (rows[:, :1] - LEVEL) / INCREMENT)
        p.append(p_value(float(fit.coefficients[0] / fit.std_errors[0]), fit.df))
        told = f"{fit.coefficients[0]:+.2f} per step (p {p[-1]:.2g})"
        alone.append(Case(trials=(), sesoi=1.0, expected_sign=1, past_data=told))
        tried.append(told)
    past = judged(alone)
    decisions = judged([replace(c, past_data=t) for c, t in zip(cases_of([experiment]), tried, strict=True)])
    return {
        "past data: a hypothesis": share(past, "inconclusive", cause="only past data", grades=("D",)),
        "past data: confirmed": share(past, "confirmed"),
        "experiment: refuted": share(decisions, "refuted", cause="no material effect"),
        "experiment: confirmed": share(decisions, "confirmed"),
        "regression: p < .05": np.array(p) < 0.05,
        "AR test of no link: p < .05": np.array([reduced_p(pair) for pair in experiment.pairs()]) < 0.05,
    }


def _reverse_world() -> World:
    return World(
        number=23,
        name="reverse_causality",
        title="The KPI drives the CPI; past data show a slope, an experiment moves the CPI alone",
        expected="past data: hypothesis; experiment: refuted",
        claims=(
            Claim(name="past data: a hypothesis", relation=">=", bound=1.0, kind="verdict"),
            Claim(name="past data: confirmed", relation="<=", bound=0.0, kind="false confirmation"),
            Claim(name="experiment: refuted", relation=">=", bound=0.90, kind="power"),
            Claim(name="experiment: confirmed", relation="<=", bound=0.01, kind="false confirmation"),
            Claim(
                name="AR test of no link: p < .05", relation="<=", bound=0.05, kind="false confirmation", method="AR"
            ),
            Claim(
                name="regression: p < .05", relation="<=", bound=0.05, kind="false confirmation", method="regression",
                naive=True,
            ),
        ),
        simulate=partial(reverse, n=700, move=1.0),
        reps_quick=300,
        reps_full=2_000,
        unit_level=True,
        chunk=50,
    )  # fmt: skip


CLEAN = UnitTruth(theta=2.0, strength=100, n=(400, 400), noise=3.5, confounding=1.0, levers=2)
CONFOUNDED = UnitTruth(theta=0.0, strength=684, n=(1_400, 1_400), confounding=3 / math.sqrt(0.5))
WEAK = UnitTruth(theta=0.0, strength=0.3, n=(150, 150), confounding=1.0)

WORLDS = (
    _clean_world(1, "clean_strong", "The link is worth 2 SESOI; two levers, F 100, 400 customers an arm", CLEAN),
    _clean_world(
        1, "clean_heavy_tails", "The same with log-normal KPI noise (sigma 1.5), and a covariate from before",
        replace(CLEAN, shape="heavy", covariate=True, n=(600, 600)),
    ),
    _clean_world(
        1, "clean_unequal_arms", "The same with 250 customers in control and 900 in treatment",
        replace(CLEAN, n=(250, 900)),
    ),
    _confounded_world(
        "pure_confounding", "Past data show 3 SESOI per step, the CPI does nothing; standard error SESOI/6", CONFOUNDED
    ),
    _confounded_world(
        "confounding_covariate", "The same; what drives both is partly known and taken out",
        replace(CONFOUNDED, strength=500, covariate=True),
    ),
    _many_world(
        "correlated_noise_many", "No effect; 200 experiments of F 1.3 whose noise is correlated by .5",
        WEAK, reps=(60, 500),
    ),
    _many_world(
        "correlated_noise_minus", "The same with noise correlated by -.5 and F 2",
        replace(WEAK, confounding=-1.0, strength=1.0), reps=(40, 500),
    ),
    _reverse_world(),
)  # fmt: skip
