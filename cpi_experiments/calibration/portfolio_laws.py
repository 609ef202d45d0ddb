"""Worlds of portfolios as scores alone: dependence that is set against the rule, power at z = 3, mixed look plans."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cpi_experiments.calibration.naive import bh_each_quarter
from cpi_experiments.calibration.portfolio_draws import Rates, draw_looks, draw_scores, judge_mixed, judge_quarters
from cpi_experiments.calibration.world import Claim, Hits, World
from cpi_experiments.stats.judging import portfolio
from cpi_experiments.stats.judging.look_plan import look_plan
from cpi_experiments.stats.judging.running_p import running_p

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Floats = np.ndarray
Q = 0.10

LARGEST, FOUND, WITHDRAWN, ANY = "largest FDP of any quarter", "real links found", "withdrawn by chance", "any false"
BH, EVER_BH = "BH on the same p-values", "BH each quarter, ever"


def published(p: Floats, before: frozenset[int], *, slots: int) -> frozenset[int]:
    """Apply the rule that the judge applies."""
    return portfolio.publish(p, q=Q, slots=slots, published=before)


def _hits(rates: Rates, wanted: Sequence[str]) -> dict[str, Floats]:
    known = {
        LARGEST: rates.max_fdp,
        FOUND: rates.found[:, -1],
        WITHDRAWN: rates.withdrawn > 0,
        ANY: rates.max_fdp > 0,
    }
    return {name: known[name] for name in wanted if name in known}


def _looks(
    rng: np.random.Generator, reps: int, *, dependence: str, m: int, nulls: float, wanted: Sequence[str]
) -> Hits:
    """Judge links with one planned look each, staggered over eight quarters; true z = 3."""
    drawn = draw_looks(rng, reps, dependence=dependence, m=m, nulls=nulls, q=Q)
    rates = judge_quarters(drawn.running(), drawn.null, partial(published, slots=m))
    hits = _hits(rates, wanted)
    if BH in wanted:
        many = draw_looks(rng, 5 * reps, dependence=dependence, m=m, nulls=nulls, q=Q)
        z = -special.ndtri(np.clip(many.p_values, 1e-300, 1 - 1e-16))
        hits[BH] = _false_share(bh_each_quarter(z[..., None], Q)[..., 0], many.null)
    return hits


def _scores(
    rng: np.random.Generator, reps: int, *, dependence: str, m: int, nulls: float, looks: str, wanted: Sequence[str]
) -> Hits:
    """Judge links that get an experiment in every quarter; true z = 3 at last."""
    drawn = draw_scores(rng, reps, dependence=dependence, m=m, nulls=nulls)
    p = running_p(drawn.scores, drawn.information, look_plan(looks)).p_values
    hits = _hits(judge_quarters(p, drawn.null, partial(published, slots=m)), wanted)
    if EVER_BH in wanted:
        rule = bh_each_quarter(drawn.scores / np.sqrt(drawn.information), Q)
        hits[EVER_BH] = _false_share(np.any(rule, axis=-1), drawn.null)
    return hits


def _mixed(rng: np.random.Generator, reps: int, *, nulls: float, wanted: Sequence[str]) -> Hits:
    rates, _ = judge_mixed(rng, reps, nulls=nulls, decide=lambda p, before: published(p, before, slots=len(p)))
    return _hits(rates, wanted)


def _false_share(chosen: Floats, null: Floats) -> Floats:
    return np.asarray((chosen & null).sum(axis=1) / np.maximum(chosen.sum(axis=1), 1))


def _claims(bounds: dict[str, float]) -> tuple[Claim, ...]:
    made = []
    for name, bound in bounds.items():
        naive = name in (BH, EVER_BH)
        made.append(
            Claim(
                name=name,
                relation=">=" if name == FOUND else "<=",
                bound=bound,
                kind={FOUND: "power", WITHDRAWN: "verdict", ANY: "false confirmation"}.get(name, "fdr"),  # type: ignore[arg-type]
                method=name if naive else "closed step-e",
                naive=naive,
            )
        )
    return tuple(made)


def _law(
    name: str,
    title: str,
    simulate: Callable[..., Hits],
    bounds: dict[str, float],
    *,
    reps: tuple[int, int] = (400, 4000),
    chunk: int = 100,
    **settings: object,
) -> World:
    return World(
        number=0,
        name=name,
        title=title,
        expected="at most one in ten published is wrong, in any quarter; nothing is withdrawn by chance",
        claims=_claims(bounds),
        simulate=partial(simulate, wanted=tuple(bounds), **settings),
        reps_quick=reps[0],
        reps_full=reps[1],
        chunk=chunk,
    )


SAFE = {LARGEST: Q, WITHDRAWN: 0.0}
WORLDS: tuple[World, ...] = (
    _law(
        "one_look_12", "12 links, half real at z = 3, one planned look each, over 8 quarters", _looks,
        {**SAFE, FOUND: 0.84}, dependence="independent", m=12, nulls=0.5, reps=(1000, 10_000),
    ),
    _law(
        "one_look_60", "60 links, half real at z = 3, one planned look each, over 8 quarters", _looks,
        {**SAFE, FOUND: 0.82}, dependence="independent", m=60, nulls=0.5,
    ),
    _law(
        "one_look_rare", "12 links, a fifth real at z = 3, a shock shared by quarter", _looks,
        {**SAFE, FOUND: 0.68}, dependence="shock", m=12, nulls=0.8, reps=(1000, 10_000),
    ),
    _law(
        "one_look_null", "12 links without effect that share customers in blocks of six", _looks,
        {ANY: 0.05, WITHDRAWN: 0.0}, dependence="block", m=12, nulls=1.0, reps=(1000, 10_000),
    ),
    _law(
        "opposed", "One factor lifts every link without effect and lowers every real one; 12 links", _looks,
        SAFE, dependence="opposed", m=12, nulls=0.5, reps=(1000, 10_000),
    ),
    _law(
        "against_bh_12", "12 links, the joint law under which Benjamini-Hochberg errs most", _looks,
        {**SAFE, BH: Q}, dependence="steps", m=12, nulls=0.8, reps=(1000, 10_000),
    ),
    _law(
        "against_bh_60", "60 links, the joint law under which Benjamini-Hochberg errs most", _looks,
        {**SAFE, BH: Q}, dependence="steps", m=60, nulls=0.8,
    ),
    _law(
        "against_bh_null", "12 links without effect, the joint law under which Benjamini-Hochberg errs most", _looks,
        {ANY: 0.05, BH: 0.10}, dependence="steps", m=12, nulls=1.0, reps=(1000, 10_000),
    ),
    _law(
        "eight_looks_12", "12 links, half real at z = 3 after 8 experiments, 8 planned looks", _scores,
        {**SAFE, FOUND: 0.80}, dependence="independent", m=12, nulls=0.5, looks="planned 8",
        reps=(1000, 10_000),
    ),
    _law(
        "eight_looks_60", "60 links, four fifths without effect, a shock shared by quarter, 8 planned looks", _scores,
        {**SAFE, FOUND: 0.52, EVER_BH: Q}, dependence="shock", m=60, nulls=0.8, looks="planned 8",
    ),
    _law(
        "capped_looks_12", "12 links, half real at z = 3 at the declared cap, any looks", _scores,
        {**SAFE, FOUND: 0.68}, dependence="opposed", m=12, nulls=0.5,
        looks=f"capped {8 ** -0.5:.12f}", reps=(1000, 10_000),
    ),
    _law(
        "eight_looks_null", "60 links without effect, opposed by one factor, 8 planned looks", _scores,
        {ANY: 0.05}, dependence="opposed", m=60, nulls=1.0, looks="planned 8",
    ),
    _law(
        "mixed_plans", "60 links of all look plans in 72 slots, late arrivals, tests ordered by what was found", _mixed,
        {**SAFE, FOUND: 0.50}, nulls=0.5, reps=(60, 2000), chunk=20,
    ),
    _law(
        "mixed_plans_null", "The same without any effect", _mixed,
        {ANY: 0.05}, nulls=1.0, reps=(100, 2000), chunk=20,
    ),
)  # fmt: skip
