"""Worlds of one link with few experiments, at one look: what is true, and how often the judge says so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.calibration import naive
from cpi_experiments.calibration.judged import Asked, asked, confirmed, found, judged_world, refuted
from cpi_experiments.calibration.judged_draws import Truth
from cpi_experiments.stats.judging.portfolio import MIN_SLOTS, alone_threshold

if TYPE_CHECKING:
    from cpi_experiments.calibration.world import World
    from cpi_experiments.evidence.decision import Decision

NEVER = (confirmed(), refuted())
#: "Not significant, so there is no effect" and "significant, so there is one", beside the judge.
ABSENCE = naive.breaks("p > .05 = refuted", naive.not_significant, 0.01, kind="refutation error")
PRESENCE = naive.breaks("p < .05 = confirmed", naive.significant, 0.01)


def _unbounded(decision: Decision) -> bool:
    return math.isinf(decision.ci_high - decision.ci_low)


def _published(decision: Decision) -> bool:
    return decision.p_value <= alone_threshold(0.10, MIN_SLOTS)


#: Whatever the size: the p-value that a link alone is asked for.
PUBLISHED = asked("published as an effect", "<=", 0.01, _published, kind="false confirmation")
UNBOUNDED = asked("95% set has no limit", ">=", 0.75, _unbounded, kind="verdict")


def _covers(theta: float) -> tuple[Asked, Asked]:
    def inside(decision: Decision) -> bool:
        return decision.ci_low <= theta <= decision.ci_high

    return (
        asked("95% set covers, at least", ">=", 0.93, inside, kind="coverage"),
        asked("95% set covers, at most", "<=", 0.97, inside, kind="coverage"),
    )


def _wrong_sign(name: str, relation_of: str) -> Asked:
    return asked(name, "<=", 0.005, lambda d: d.verdict.value == relation_of, kind="sign error")


EFFECTS = (
    judged_world(
        1, "strong_summaries", "The link is worth 2 SESOI; two levers at F 100", "confirmed, grade A",
        Truth(theta=2.0, error=0.4, strength=100, k=2, rho=0.5),
        (found("confirmed", 0.90), found("confirmed", 0.90, grades=("A", "A+")), *_covers(2.0)),
    ),
    judged_world(
        1, "strong_lower_expected", "The KPI falls by 2 SESOI per increment, as expected", "confirmed",
        Truth(theta=2.0, error=0.25, sign=-1), (found("confirmed", 0.90), _wrong_sign("refuted", "refuted")),
    ),
    judged_world(
        2, "no_effect_precise", "No effect; one experiment with standard error SESOI/6", "refuted (no effect)",
        Truth(theta=0.0, error=1 / 6, rho=0.5), (found("refuted", 0.90), confirmed(), *_covers(0.0)),
        beside=[PRESENCE],
    ),
    judged_world(
        3, "null_underpowered", "No effect; standard error 0.6 SESOI", "inconclusive",
        Truth(theta=0.0, error=0.6, rho=0.5), NEVER, beside=[ABSENCE, PRESENCE],
    ),
    judged_world(
        3, "null_underpowered_minus", "The same, with noise that is correlated negatively", "inconclusive",
        Truth(theta=0.0, error=0.6, rho=-0.5), NEVER, beside=[ABSENCE],
    ),
    judged_world(
        3, "null_underpowered_three", "No effect; three levers at F 15, standard error 1 SESOI each", "inconclusive",
        Truth(theta=0.0, error=1.0, strength=15, k=3, rho=-0.8), NEVER,
    ),
    judged_world(
        0, "real_but_small", "The link is worth 0.7 SESOI, known well", "not confirmed",
        Truth(theta=0.7, error=0.15, rho=0.5), (confirmed(0.03), refuted(0.5)),
        beside=[naive.breaks("p < .05 = confirmed", naive.significant, 0.03)],
    ),
    judged_world(
        14, "trivial_effect", "The link is worth 0.3 SESOI, standard error 0.15 SESOI", "refuted (immaterial)",
        Truth(theta=0.3, error=0.15, rho=0.5), (found("refuted", 0.90), confirmed(0.03)),
        beside=[naive.breaks("p < .05 = confirmed", naive.significant, 0.03)],
    ),
    judged_world(
        14, "trivial_effect_minus", "The same with negative noise correlation and sign", "refuted (immaterial)",
        Truth(theta=-0.3, error=0.15, rho=-0.5), (found("refuted", 0.90), confirmed(0.0)),
    ),
    judged_world(
        15, "boundary", "The link is worth exactly 1 SESOI, standard error 0.25 SESOI", "anything but refuted",
        Truth(theta=1.0, error=0.25, rho=0.5), (refuted(),),
    ),
    judged_world(
        15, "boundary_sharp", "The same, standard error 0.15 SESOI", "anything but refuted",
        Truth(theta=1.0, error=0.15, rho=-0.5), (refuted(),),
    ),
    judged_world(
        15, "boundary_imprecise", "The same, standard error 0.6 SESOI", "anything but refuted",
        Truth(theta=1.0, error=0.6, rho=0.5), (refuted(),), beside=[ABSENCE],
    ),
    judged_world(
        15, "boundary_weak_levers", "The same, five levers at F 2 with noise correlation 0.9", "anything but refuted",
        Truth(theta=1.0, error=1.0, strength=2, k=5, rho=0.9), (refuted(),),
    ),
    judged_world(
        15, "boundary_minus", "The link is worth exactly -1 SESOI", "no claim that it is immaterial",
        Truth(theta=-1.0, error=0.2, rho=-0.7),
        (asked("no material effect", "<=", 0.01, lambda d: d.cause == "no material effect", kind="refutation error"),
         _wrong_sign("confirmed", "confirmed")),
    ),
)  # fmt: skip

SIGNS = (
    judged_world(
        0, "harmful", "The link is worth -1 SESOI, standard error 0.25 SESOI", "refuted (harmful)",
        Truth(theta=-1.0, error=0.25, rho=0.5),
        (found("refuted", 0.90, cause="harmful"), _wrong_sign("confirmed", "confirmed")),
    ),
    judged_world(
        0, "harmful_three_levers", "The same from three levers at F 6, negative noise correlation", "refuted",
        Truth(theta=-1.0, error=0.26, strength=6, k=3, rho=-0.5),
        (found("refuted", 0.90), _wrong_sign("confirmed", "confirmed")),
    ),
    judged_world(
        0, "harmful_imprecise", "The link is worth -1 SESOI, standard error 0.6 SESOI", "never confirmed",
        Truth(theta=-1.0, error=0.6, rho=0.5), (_wrong_sign("confirmed", "confirmed"),),
    ),
    judged_world(
        0, "helpful_imprecise", "The link is worth 1 SESOI, standard error 0.8 SESOI", "never harmful",
        Truth(theta=1.0, error=0.8, rho=-0.5),
        (asked("harmful", "<=", 0.005, lambda d: d.cause == "harmful", kind="sign error"),),
    ),
    judged_world(
        0, "wrong_sign_large", "The link is worth -26 SESOI, standard error 10 SESOI", "never real but small",
        Truth(theta=-26.0, error=10.0, rho=0.5),
        (asked("real but small", "<=", 0.0, lambda d: d.cause == "real but small so far", kind="verdict"),
         confirmed(0.0)),
    ),
)  # fmt: skip

FIRST_STAGES = (
    judged_world(
        4, "weak_first_stage", "No effect; the lever hardly moves the CPI (F 2), noise correlation 0.9",
        "inconclusive, no limits", Truth(theta=0.0, error=5.0, strength=2, rho=0.9),
        (confirmed(0.05), refuted(), UNBOUNDED),
        beside=[naive.reaches("F > 10: false among passing", naive.passing, 0.90)],
    ),
    judged_world(
        4, "weak_first_stage_f10", "The same at F 10", "inconclusive",
        Truth(theta=0.0, error=1.0, strength=10, rho=0.9), (confirmed(0.05), refuted()),
        beside=[naive.breaks("F > 10, then t > 1.96", naive.gated, 0.06)],
    ),
    judged_world(
        4, "weak_first_stage_minus", "The same at F 5, noise correlation -0.9", "inconclusive",
        Truth(theta=0.0, error=1.5, strength=5, rho=-0.9), (confirmed(0.05), refuted()),
        beside=[naive.breaks("F > 10: false among passing", naive.passing, 0.05)],
    ),
    judged_world(
        4, "weak_nine_levers", "No effect; nine levers at F 2, noise correlation 0.9", "inconclusive",
        Truth(theta=0.0, error=2.0, strength=2, k=9, rho=0.9), (*NEVER, PUBLISHED),
        beside=[
            naive.breaks("weighted slope", naive.weighted_slope, 0.05),
            naive.breaks("judge, covariance as zero", naive.without_covariance, 0.01, cheap=False),
        ],
    ),
    judged_world(
        5, "inert_lever_f2", "A link worth 2 SESOI; the lever does nothing, planned F 2", "inconclusive",
        Truth(theta=2.0, error=0.3, strength=2, works=False, rho=0.5), NEVER,
    ),
    judged_world(
        5, "inert_lever_f30", "The same, planned F 30, noise correlation 0.9", "inconclusive",
        Truth(theta=2.0, error=0.3, strength=30, works=False, rho=0.9), NEVER,
    ),
    judged_world(
        5, "inert_lever_f200", "The same, planned F 200", "inconclusive: lever inert",
        Truth(theta=2.0, error=0.3, strength=200, works=False, rho=-0.5),
        (*NEVER, found("inconclusive", 0.80, cause="lever inert")), beside=[ABSENCE],
    ),
    judged_world(
        5, "inert_levers_three", "A link worth 2 SESOI; three levers that do nothing, planned F 12", "inconclusive",
        Truth(theta=2.0, error=0.3, strength=12, k=3, works=False, rho=0.7), NEVER,
    ),
    judged_world(
        8, "missing_covariance", "A link worth 2 SESOI; the covariance of the effects was not kept", "blocked",
        Truth(theta=2.0, error=0.2, k=2, covariance=False), (found("blocked", 1.0),),
    ),
)  # fmt: skip

PATHS = (
    judged_world(
        11, "one_bad_lever", "No effect; one of five levers at F 50 acts directly, 0.6 per unit of first stage",
        "inconclusive: heterogeneous", Truth(theta=0.0, error=10 / 7, strength=50, k=5, direct=(6.0,)),
        (found("inconclusive", 0.85, cause="heterogeneous"), confirmed(0.10)),
        beside=[naive.breaks("weighted slope", naive.weighted_slope, 0.10)],
    ),
    judged_world(
        11, "one_bad_lever_minus", "The same with three levers and noise correlation -0.5", "not confirmed",
        Truth(theta=0.0, error=10 / 7, strength=50, k=3, rho=-0.5, direct=(6.0,)), (confirmed(0.10),),
        beside=[naive.breaks("weighted slope", naive.weighted_slope, 0.10)],
    ),
)  # fmt: skip

WORLDS: tuple[World, ...] = (*EFFECTS, *SIGNS, *FIRST_STAGES, *PATHS)
