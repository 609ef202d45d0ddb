"""Worlds of one link with many levers, at one look: shared noise, direct paths, levers that differ."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.calibration import naive
from cpi_experiments.calibration.judged import asked, confirmed, found, judged_world, refuted
from cpi_experiments.calibration.judged_draws import Truth, cases, draw
from cpi_experiments.calibration.world import Claim, Hits, World
from cpi_experiments.evidence import judge

if TYPE_CHECKING:
    from cpi_experiments.evidence.decision import Decision


def _levers(k: int, phi: float, **other: float) -> Truth:
    """Many levers of uneven strength: mean F of 1 + phi, KPI noise 1, SESOI 0.1 per standard error of the CPI."""
    settings: dict[str, float] = {"theta": 0.0, "sesoi": 0.1, **other}
    return Truth(error=1 / math.sqrt(phi), strength=1 + phi, k=k, uneven=True, **settings)  # type: ignore[arg-type]


GENERAL = asked("claimed for levers in general", "<=", 0.02, lambda d: d.general, kind="false confirmation")
SLOPE = naive.breaks("weighted slope", naive.weighted_slope, 0.07)
SCATTER = naive.breaks("line through the dots", naive.scatter, 0.07)
NO_COVARIANCE = naive.breaks("judge, covariance as zero", naive.without_covariance, 0.07, cheap=False)

NOISE = (
    judged_world(
        6, "noise_many", "No effect; 200 levers at mean F 1.3 whose noise in CPI and KPI is correlated 0.5",
        "not confirmed", _levers(200, 0.3, rho=0.5), (confirmed(0.07), refuted()),
        beside=[SLOPE, SCATTER, NO_COVARIANCE], reps=(60, 2000),
    ),
    judged_world(
        6, "noise_many_minus", "The same with 60 levers at mean F 2, correlation -0.5", "not confirmed",
        _levers(60, 1.0, rho=-0.5), (confirmed(0.07), refuted()), beside=[SLOPE], reps=(100, 2000),
    ),
    judged_world(
        6, "noise_twelve", "The same with 12 levers at mean F 5, correlation 0.5", "not confirmed",
        _levers(12, 4.0, rho=0.5), (confirmed(0.07), refuted()), beside=[SLOPE], reps=(100, 2000),
    ),
)  # fmt: skip

PATHS = (
    judged_world(
        10, "directional_path", "No effect; 60 levers act directly on the KPI, 0.5 standard errors each on average",
        "not confirmed: direct path", _levers(60, 4.0, rho=0.5, path=0.5, orientation=1), (confirmed(0.07),),
        beside=[SLOPE, naive.breaks("judge, no orientation", naive.without_orientation, 0.07, cheap=False)],
        reps=(100, 2000),
    ),
    judged_world(
        10, "directional_path_uneven", "The same, direct effects that differ, noise correlation -0.5", "not confirmed",
        _levers(60, 4.0, rho=-0.5, path=0.5, path_spread=0.5, orientation=1), (confirmed(0.07),), reps=(100, 2000),
    ),
    judged_world(
        10, "directional_path_real", "A link worth 5 SESOI with the same direct effects", "confirmed",
        _levers(60, 4.0, theta=0.5, rho=0.5, path=0.5, orientation=1), (found("confirmed", 0.80),), reps=(100, 2000),
    ),
)  # fmt: skip


def _differing(strength: float, rho: float, name: str) -> World:
    return judged_world(
        35, name, f"No effect on average; 40 levers at F {strength:g} whose effects differ (sd 3 SESOI)",
        "no claim for levers in general",
        Truth(theta=0.0, error=1 / math.sqrt(strength - 1), strength=strength, k=40, rho=rho, spread=0.3, sesoi=0.1),
        (GENERAL, confirmed(0.05)), reps=(100, 2000),
    )  # fmt: skip


DIFFERING = (
    _differing(6, 0.5, "het_levers_f6"),
    _differing(6, -0.5, "het_levers_f6_minus"),
    _differing(16, 0.5, "het_levers_f16"),
    _differing(16, -0.5, "het_levers_f16_minus"),
    judged_world(
        0, "het_levers_real", "Effects of 6 SESOI on average that differ (sd 3 SESOI); 40 levers at F 16",
        "confirmed, for levers in general",
        Truth(theta=0.6, error=1 / math.sqrt(15), strength=16, k=40, rho=0.5, spread=0.3, sesoi=0.1),
        (found("confirmed", 0.90),
         asked("rightly for levers in general", ">=", 0.80, lambda d: d.general, kind="power")),
        reps=(100, 2000),
    ),
)  # fmt: skip


# -- a direct path in proportion to the CPI: only a control can see it ---------------------------------------------


def _excludes_zero(decision: Decision) -> bool:
    return decision.ci_low > 0 or decision.ci_high < 0


def _with_control(rng: np.random.Generator, reps: int, *, truth: Truth, right: str) -> Hits:
    """Judge a link alone, and again after a control KPI that only the direct path can move."""
    drawn = draw(truth, rng, reps)
    control = draw(replace(truth, theta=0.0), rng, reps)
    alone = [judge.judge_cases([case])[0] for case in cases(drawn)]
    moved = [_excludes_zero(judge.judge_cases([case])[0]) for case in cases(control)]
    why = ["the control KPI moved, which only a direct path can do" if m else "" for m in moved]
    together = [judge.judge_cases([case])[0].verdict.value for case in cases(drawn, blocked=why)]
    return {
        "confirmed without a control": np.array([d.verdict.value == "confirmed" for d in alone]),
        f"{right} with a control": np.array([word == right for word in together]),
    }


def _control_world(name: str, title: str, expected: str, truth: Truth, claims: tuple[Claim, Claim]) -> World:
    right = claims[1].name.removesuffix(" with a control")
    return World(
        number=12,
        name=name,
        title=title,
        expected=expected,
        claims=claims,
        simulate=partial(_with_control, truth=truth, right=right),
        reps_quick=200,
        reps_full=2000,
    )


CONTROLS = (
    _control_world(
        "all_bad_proportional",
        "No effect; all five levers act directly, in proportion to their move of the CPI",
        "undetectable from these effects; blocked with a control KPI",
        Truth(theta=0.0, error=0.5, strength=50, k=5, rho=0.5, direct_all=2.0),
        (
            Claim(
                name="confirmed without a control", relation="<=", bound=0.05, kind="false confirmation",
                method="no control KPI", naive=True,
            ),
            Claim(name="blocked with a control", relation=">=", bound=0.95, kind="verdict"),
        ),
    ),
    _control_world(
        "all_good_with_control",
        "A link worth 2 SESOI; five levers without a direct path",
        "confirmed, with a control KPI too",
        Truth(theta=2.0, error=0.5, strength=50, k=5, rho=0.5),
        (
            Claim(name="confirmed without a control", relation=">=", bound=0.90, kind="power"),
            Claim(name="confirmed with a control", relation=">=", bound=0.85, kind="power"),
        ),
    ),
)  # fmt: skip

WORLDS: tuple[World, ...] = (*NOISE, *PATHS, *DIFFERING, *CONTROLS)
