"""Worlds of one link that is looked at again and again, and of sizes that survive a selection."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.calibration.array_core import cumulative_scores, running
from cpi_experiments.calibration.judged import Beside, confirmed, found, judged_world, refuted
from cpi_experiments.calibration.judged_draws import Drawn, Truth, cases, draw
from cpi_experiments.calibration.judged_worlds import PUBLISHED
from cpi_experiments.calibration.naive import ONE_SIDED, breaks
from cpi_experiments.calibration.world import Claim, Hits, World
from cpi_experiments.evidence import judge
from cpi_experiments.stats.judging.look_plan import look_plan
from cpi_experiments.stats.judging.portfolio import MIN_SLOTS, alone_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.evidence.case import Case

Q = 0.10


def published_at_any_look(drawn: Drawn) -> np.ndarray:
    """Whether the link alone was in the published set at any look: it must be for a confirmation."""
    return np.asarray(running(drawn, drawn.truth.looks)[:, -1] <= alone_threshold(Q, MIN_SLOTS))


def significant_at_any_look(drawn: Drawn) -> np.ndarray:
    """Test everything so far anew at each look: p below .05 at any of them."""
    score, information = cumulative_scores(drawn)
    z = score / np.sqrt(np.maximum(information, 1e-300))
    return np.asarray(np.any(z > ONE_SIDED, axis=1))


def latched(drawn: Drawn) -> np.ndarray:
    """Say "confirmed" once the judge itself did at any look, and never take it back."""
    return np.array([_ever(case) for case in cases(drawn)])


def _ever(case: Case) -> bool:
    looks = range(len(case.trials), 0, -1)
    steps = (replace(case, trials=case.trials[:n]) for n in looks)
    return any(judge.judge_cases([step])[0].verdict.value == "confirmed" for step in steps)


ANY_LOOK = Beside(
    claim=Claim(name="published at any look", relation="<=", bound=0.02, kind="false confirmation"),
    counts=published_at_any_look,
)
PEEKING = breaks("p < .05 at any look", significant_at_any_look, 0.02)


def _peeking(name: str, title: str, looks: str, **truth: float) -> World:
    settings: dict[str, float] = {"theta": 0.0, "k": 20, **truth}
    return judged_world(
        17, name, title, "never confirmed", Truth(**settings, looks=look_plan(looks)),  # type: ignore[arg-type]
        (confirmed(0.02), refuted(0.02)), beside=[ANY_LOOK, PEEKING], reps=(100, 2000),
    )  # fmt: skip


#: Twenty experiments with error e each give a link with error e / sqrt(20).
_LAST = 0.6
_EACH = _LAST * math.sqrt(20)
LOOKS = (
    _peeking(
        "peeking_planned", "No effect; 20 planned looks, one experiment each, F 50", "planned 20",
        error=_EACH, strength=50, rho=0.5,
    ),
    _peeking(
        "peeking_capped", "The same, any looks up to a declared standard error that is reached", f"capped {_LAST}",
        error=_EACH, strength=50, rho=-0.5,
    ),
    _peeking(
        "peeking_capped_early", "The same, declared twice as imprecise as it becomes", f"capped {2 * _LAST}",
        error=_EACH, strength=50, rho=0.5,
    ),
    _peeking(
        "peeking_open", "The same, looks without a fixed end", f"open {_LAST}", error=_EACH, strength=50, rho=0.5,
    ),
    _peeking(
        "peeking_retest", "The same, every experiment a new test of the link", "retest",
        error=_EACH, strength=50, rho=-0.5,
    ),
    _peeking(
        "peeking_weak", "The same with 20 planned looks, F 4 and noise correlation -0.8", "planned 20",
        error=_EACH, strength=4, rho=-0.8,
    ),
)  # fmt: skip

INERT_LEVERS = (
    judged_world(
        5, "inert_levers_nine", "No effect; nine levers that move nothing, a new test of the link each, F 200 planned",
        "inconclusive",
        Truth(theta=0.0, error=0.05, strength=200, works=False, k=9, rho=0.8, looks=look_plan("retest")),
        (confirmed(), refuted(), PUBLISHED), reps=(500, 5000),
    ),
    judged_world(
        5, "inert_levers_planned", "The same, nine planned looks", "inconclusive",
        Truth(theta=0.0, error=0.05, strength=200, works=False, k=9, rho=-0.8, looks=look_plan("planned 9")),
        (confirmed(), refuted(), PUBLISHED), reps=(500, 5000),
    ),
)  # fmt: skip

LATCHING = (
    judged_world(
        0, "small_four_looks", "The link is worth 0.7 SESOI; four planned looks, standard error 0.15 SESOI at last",
        "not confirmed at last, whatever was said before",
        Truth(theta=0.7, error=0.15 * math.sqrt(4), strength=100, k=4, looks=look_plan("planned 4")),
        (confirmed(0.03), refuted(0.5)),
        beside=[breaks("verdict latched", latched, 0.03, cheap=False)], reps=(250, 2000),
    ),
    judged_world(
        0, "strong_eight_looks", "The link is worth 2 SESOI; eight planned looks, standard error 0.3 SESOI at last",
        "confirmed",
        Truth(theta=2.0, error=0.3 * math.sqrt(8), strength=100, k=8, rho=-0.5, looks=look_plan("planned 8")),
        (found("confirmed", 0.85),), reps=(150, 2000),
    ),
)  # fmt: skip


# -- sizes after selection -----------------------------------------------------------------------------------------

LINKS = 24


def _selected(rng: np.random.Generator, reps: int, *, error: float) -> Hits:
    """Portfolios of links half of which have no effect: how far told sizes of confirmed links lie from the truth."""
    excess: list[float] = []
    raw: list[float] = []
    for _ in range(reps):
        drawn = _mixed_sizes(rng, error)
        for decision, theta in zip(judge.judge_cases(cases(drawn)), drawn.theta[:, 0], strict=True):
            if decision.verdict.value == "confirmed":
                excess.append(decision.effect_shrunken - theta)
                raw.append(decision.effect - theta)
    return {"mean excess of the told size": np.array(excess), "mean excess, as measured": np.array(raw)}


def _mixed_sizes(rng: np.random.Generator, error: float) -> Drawn:
    """Half nothing, half normal with a standard deviation of 2 SESOI."""
    theta = np.where(np.arange(LINKS) % 2 == 0, 0.0, 2.0 * rng.standard_normal(LINKS))
    still = draw(Truth(theta=0.0, error=error, rho=0.3), rng, LINKS)
    shift = theta[:, None] * still.truth.move
    return replace(still, y=still.y + shift, theta=np.broadcast_to(theta[:, None], still.x.shape))


def _winners(name: str, error: float, bounds: Sequence[float]) -> World:
    return World(
        number=0,
        name=name,
        title=f"Portfolios of {LINKS} links, half without effect, half with an sd of 2 SESOI; standard error {error:g}",
        expected="sizes of confirmed links are right on average",
        claims=(
            Claim(name="mean excess of the told size", relation="<=", bound=bounds[0], kind="coverage"),
            Claim(
                name="mean excess, as measured", relation="<=", bound=bounds[1], kind="coverage",
                method="no shrinkage", naive=True,
            ),
        ),
        simulate=partial(_selected, error=error),
        reps_quick=150,
        reps_full=2000,
        chunk=20,
    )  # fmt: skip


CURSE = (_winners("winners_curse", 1.2, (0.10, 0.10)),)

WORLDS: tuple[World, ...] = (*LOOKS, *INERT_LEVERS, *LATCHING, *CURSE)
