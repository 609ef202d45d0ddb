"""Worlds of targets and teams: how far a target may reach, and when a team can be accountable at all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.accountability.assess import charter, influences
from cpi_experiments.accountability.charter import Standing
from cpi_experiments.calibration.unit_arms import UnitTrials, covers, link_set
from cpi_experiments.calibration.unit_draws import INCREMENT, LEVEL, cases_of
from cpi_experiments.calibration.unit_links import judged
from cpi_experiments.calibration.world import Claim, Hits, World
from cpi_experiments.catalog.entities import CPI, KPI, Benefit, Catalog, Function, Lever, Measure, Target, Team
from cpi_experiments.estimate import EffectPair, Estimand, Estimate, Link
from cpi_experiments.evidence.verdict import Design, Evidence, Verdict, VerdictWord
from cpi_experiments.stats.regression import least_squares
from cpi_experiments.stats.student import quantile
from cpi_experiments.units import Direction, Increment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.accountability.charter import Accountability
    from cpi_experiments.evidence.decision import Decision

Array = np.ndarray
LINK = Link(cpi_id="quote_hours", kpi_id="spend")
SALES = "sales"


def company(
    *, levers: Sequence[tuple[str, str]], teams: Sequence[str] = (SALES,), target: float | None = None
) -> Catalog:
    """Make a catalog of one CPI (half an hour less is a step), one KPI and the teams that own the levers.

    Parameters
    ----------
    levers : sequence of (lever, team)
    teams : sequence of str
    target : float, optional
        Declared target of the CPI, in hours.
    """
    where = Measure(table="quotes", entity="customer_id", at="at", value="hours")
    cpi = CPI(
        id=LINK.cpi_id, label="Fast quote", outcome="I get a price while I am still looking", unit="hour",
        better=Direction.LOWER, increment=Increment.parse("0.5 hour"), measure=where, benefit=Benefit.FUNCTIONAL,
        function=Function.SALES, target=None if target is None else Target(value=target, due="2027-06-30"),
    )  # fmt: skip
    kpi = KPI(id=LINK.kpi_id, label="Spend", unit="EUR", better=Direction.HIGHER, measure=where)
    return Catalog(
        cpis={cpi.id: cpi},
        kpis={kpi.id: kpi},
        teams={key: Team(id=key, label=key, function=Function.SALES) for key in teams},
        levers={key: Lever(id=key, label=key, team=team, moves={cpi.id: Direction.LOWER}) for key, team in levers},
    )


def evidence_of(pair: EffectPair, lever: str) -> Evidence:
    """Wrap five numbers as the evidence of one experiment."""
    estimate = Estimate(
        cause=LINK.cpi_id, outcome=LINK.kpi_id, estimand=Estimand.LATE, value=pair.effect_kpi / pair.effect_cpi,
        std_error=math.nan, ci_low=math.nan, ci_high=math.nan, p_value=math.nan, unit="EUR", n_obs=0,
        method="five numbers",
    )  # fmt: skip
    return Evidence(
        link=LINK, design=Design.RANDOMIZED, estimate=estimate, experiment=f"E-{lever}", lever=lever, pair=pair
    )


def verdict_of(decision: Decision, sesoi: float = 1.0) -> Verdict:
    """Name the link that a decision is about."""
    return Verdict(
        link=LINK, verdict=decision.verdict, cause=decision.cause, grade=decision.grade, effect=decision.effect,
        effect_shrunken=decision.effect_shrunken, ci_low=decision.ci_low, ci_high=decision.ci_high, sesoi=sesoi,
    )  # fmt: skip


def accountabilities(
    trial: UnitTrials, catalog: Catalog, *, level: float = LEVEL
) -> list[tuple[Decision, Accountability]]:
    """Judge every draw of one experiment of lever ``auto`` and write the charter; return the row of its team."""
    found = []
    for case, pair in zip(cases_of([trial]), trial.pairs(), strict=True):
        (decision,) = judged([case])
        rows = charter(
            catalog, [verdict_of(decision)], influences(catalog, [evidence_of(pair, "auto")]),
            levels={LINK.cpi_id: level},
        ).rows  # fmt: skip
        found.append((decision, next(row for row in rows if row.team == SALES)))
    return found


# -- world 27: the KPI is flat beyond two steps ------------------------------------------------------------------------

#: Steps beyond which nothing more is gained, steps that the lever moves, steps to the declared target.
FLAT, MOVED, DECLARED = 2.0, 1.8, 6.0
WORTH, SPREAD = 3.0, 0.4


def flat_gain(steps: Array) -> Array:
    """KPI of customers who are so many steps better than today."""
    return np.asarray(WORTH * np.minimum(steps, FLAT))


def true_gain(steps: float) -> float:
    """Mean gain of a move of all customers by so many steps; exact for normal customers around today's level."""
    distance = FLAT - steps

    def mean(gap: float) -> float:  # E min(gap, e) for e ~ N(0, SPREAD^2)
        z = gap / SPREAD
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return float(gap * special.ndtr(-z) - SPREAD * density)

    return WORTH * (steps + mean(distance) - mean(FLAT))


def flat_trial(rng: np.random.Generator, reps: int, n: int = 400) -> UnitTrials:
    """Draw an experiment that moves all customers by `MOVED` steps."""
    arms = []
    for moved in (0.0, MOVED):
        steps = SPREAD * rng.standard_normal((reps, n)) + moved
        arms.append(
            np.stack([LEVEL + INCREMENT * steps, flat_gain(steps) + 2 * rng.standard_normal((reps, n))], axis=-1)
        )
    return UnitTrials(arms=(arms[0], arms[1]), increment=INCREMENT, planned_move=MOVED)


def nonlinear(rng: np.random.Generator, reps: int) -> Hits:
    """Write charters for a target that is declared far beyond what was ever tried."""
    trial = flat_trial(rng, reps)
    rows = accountabilities(trial, company(levers=[("auto", SALES)], target=LEVEL + INCREMENT * DECLARED))
    assigned = [
        (d, row, p) for (d, row), p in zip(rows, trial.pairs(), strict=True) if row.standing is Standing.ASSIGNABLE
    ]
    promised = np.array([row.gain_p50 <= 1.25 * true_gain(row.steps) for _, row, _ in assigned])
    return {
        "assignable": np.array([row.standing is Standing.ASSIGNABLE for _, row in rows]),
        "target within the moved range": np.array([row.steps <= pair.effect_cpi for _, row, pair in assigned]),
        "promise <= 1.25 x true gain": promised,
        "line to target: <= 1.25 x true": np.array(
            [d.effect * DECLARED <= 1.25 * true_gain(DECLARED) for d, _, _ in assigned]
        ),
    }


NONLINEAR = World(
    number=27,
    name="nonlinear_dose",
    title="The KPI is flat beyond 2 steps; the lever moved 1.8 steps, the declared target is 6 steps away",
    expected="target capped at the range that was moved",
    claims=(
        Claim(name="assignable", relation=">=", bound=0.95, kind="power"),
        Claim(name="target within the moved range", relation=">=", bound=1.0, kind="verdict"),
        Claim(name="promise <= 1.25 x true gain", relation=">=", bound=0.95, kind="verdict"),
        Claim(
            name="line to target: <= 1.25 x true", relation=">=", bound=0.95, kind="verdict", method="straight line",
            naive=True,
        ),
    ),
    simulate=nonlinear,
    reps_quick=300,
    reps_full=2_000,
    unit_level=True,
)  # fmt: skip

# -- world 29: teams differ, but nobody tried a lever ------------------------------------------------------------------

TEAMS = ("north", "south", "east", "west")
PERIODS, VARIANCE_SHARE = 8, 0.10


def team_levels(rng: np.random.Generator, reps: int) -> Array:
    """Levels of four teams in eight periods, shape (reps, teams, periods): a tenth of the variance is the teams'."""
    teams = math.sqrt(VARIANCE_SHARE) * rng.standard_normal((reps, len(TEAMS), 1))
    common = 0.5 * rng.standard_normal((reps, 1, PERIODS))
    return teams + common + math.sqrt(1 - VARIANCE_SHARE) * rng.standard_normal((reps, len(TEAMS), PERIODS))


def variance_p(levels: Array) -> Array:
    """p-values of the F test that teams do not differ, periods taken out; shape (reps,)."""
    _, k, t = levels.shape
    grand = levels.mean(axis=(1, 2), keepdims=True)
    team, period = levels.mean(axis=2, keepdims=True), levels.mean(axis=1, keepdims=True)
    between = t * np.sum((team - grand) ** 2, axis=(1, 2)) / (k - 1)
    within = np.sum((levels - team - period + grand) ** 2, axis=(1, 2)) / ((k - 1) * (t - 1))
    return np.asarray(special.fdtrc(k - 1, (k - 1) * (t - 1), between / within))


def unassignable(rng: np.random.Generator, reps: int) -> Hits:
    """Write charters for teams that differ, where a link is confirmed, but by a lever that is none of theirs."""
    levels = team_levels(rng, reps)
    catalog = company(levers=[("auto", SALES), ("route", "north")], teams=(SALES, *TEAMS))
    pair = EffectPair(effect_cpi=1.0, effect_kpi=2.0, var_cpi=1e-3, var_kpi=0.01, cov=0.0)
    proven = Verdict(
        link=LINK, verdict=VerdictWord.CONFIRMED, grade="B", effect=2.0, effect_shrunken=2.0, ci_low=1.8, ci_high=2.2,
        sesoi=1.0,
    )  # fmt: skip
    tried = influences(catalog, [evidence_of(pair, "auto")])
    assigned = []
    for each in levels:
        now = LEVEL + float(each[:, -1].mean())
        rows = charter(catalog, [proven], tried, levels={LINK.cpi_id: now}).rows
        assigned.append(any(row.standing is Standing.ASSIGNABLE and row.team in TEAMS for row in rows))
    return {
        "assigned without own lever": np.array(assigned),
        "variance share > 0: assigned": variance_p(levels) < 0.025,
    }


UNASSIGNABLE = World(
    number=29,
    name="team_unassignable",
    title="Four teams, a tenth of the CPI's variance is theirs, none of them tried a lever of its own",
    expected="not assignable",
    claims=(
        Claim(name="assigned without own lever", relation="<=", bound=0.0, kind="verdict"),
        Claim(
            name="variance share > 0: assigned", relation="<=", bound=0.05, kind="verdict", method="ANOVA of 8 periods",
            naive=True,
        ),
    ),
    simulate=unassignable,
    reps_quick=400,
    reps_full=4_000,
    unit_level=True,
)  # fmt: skip

# -- world 30: the team's lever moves the CPI --------------------------------------------------------------------------

#: Share of the measured CPI's variance that is real.
RELIABILITY = 0.8
THETA, OWN_MOVE = 2.0, 0.5


def lever_trial(rng: np.random.Generator, reps: int, *, move: float = OWN_MOVE, n: int = 500) -> UnitTrials:
    """Draw an experiment of the team's lever; the CPI is measured with error, the KPI follows the real one."""
    arms = []
    for moved in (0.0, move):
        real = rng.standard_normal((reps, n)) + moved
        seen = real + math.sqrt(1 / RELIABILITY - 1) * rng.standard_normal((reps, n))
        arms.append(np.stack([LEVEL + INCREMENT * seen, THETA * real + 2 * rng.standard_normal((reps, n))], axis=-1))
    return UnitTrials(arms=(arms[0], arms[1]), increment=INCREMENT, planned_move=OWN_MOVE)


def regression_covers(arm: Array) -> Array:
    """Say which intervals of a regression of the KPI on the measured CPI hold the truth."""
    hits = []
    for rows in arm:
        fit = least_squares(rows[:, 1], (rows[:, :1] - LEVEL) / INCREMENT)
        half = quantile(0.975, fit.df) * float(fit.std_errors[0])
        hits.append(abs(float(fit.coefficients[0]) - THETA) <= half)
    return np.array(hits)


def lever(rng: np.random.Generator, reps: int) -> Hits:
    """Write charters for a team whose lever moves the CPI by half a step, and for one whose lever moves a fifth."""
    catalog = company(levers=[("auto", SALES)])
    trial = lever_trial(rng, reps)
    rows = accountabilities(trial, catalog)
    small = accountabilities(lever_trial(rng, reps, move=0.2), catalog)
    return {
        "assignable": np.array([row.standing is Standing.ASSIGNABLE for _, row in rows]),
        "lever of a fifth: assignable": np.array([row.standing is Standing.ASSIGNABLE for _, row in small]),
        "AR set covers": np.array([covers(link_set(pair), THETA) for pair in trial.pairs()]),
        "regression covers": regression_covers(trial.arms[0]),
    }


LEVER = World(
    number=30,
    name="team_lever",
    title="The team's lever moves the CPI by half a step; a fifth of what is measured of the CPI is error",
    expected="assignable",
    claims=(
        Claim(name="assignable", relation=">=", bound=0.85, kind="power"),
        Claim(name="lever of a fifth: assignable", relation="<=", bound=0.05, kind="verdict"),
        Claim(name="AR set covers", relation=">=", bound=0.94, kind="coverage", method="AR set"),
        Claim(name="regression covers", relation=">=", bound=0.94, kind="coverage", method="regression", naive=True),
    ),
    simulate=lever,
    reps_quick=300,
    reps_full=2_000,
    unit_level=True,
    chunk=100,
)  # fmt: skip

WORLDS = (NONLINEAR, UNASSIGNABLE, LEVER)
