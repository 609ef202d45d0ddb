"""The decision table: from the numbers of a link and the published sets to a verdict with cause, grade and reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import decimals, interval, number, percent
from cpi_experiments.evidence.verdict import VerdictWord
from cpi_experiments.stats.judging.shrinkage import shrink
from cpi_experiments.stats.planning.judging_power import (
    FRAGILE,
    ROBUST,
    std_error_to_confirm,
    std_error_to_refute,
    times_as_many,
)
from cpi_experiments.wording.verdicts import reason

if TYPE_CHECKING:
    from cpi_experiments.evidence.case import Case, Weighed

#: e-value above which harm and A+ are material; p-value of Cochran's Q below which experiments disagree.
MATERIAL_E = 20.0
HETEROGENEOUS_P = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Outcome of the decision table for one link; effects in the KPI's own sign."""

    verdict: VerdictWord
    cause: str
    grade: str
    effect: float
    effect_shrunken: float
    ci_low: float
    ci_high: float
    p_value: float
    breakdown: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Membership of a link in the published sets of the three families, and what the portfolio asks of it alone."""

    direction: bool
    harm: bool
    equivalence: bool
    threshold: float


def decide(case: Case, weighed: Weighed, standing: Standing) -> Decision:
    """Apply the decision table, first match wins.

    Parameters
    ----------
    case : Case
    weighed : Weighed
        Its numbers.
    standing : Standing
        Its place in the portfolio.

    Returns
    -------
    Decision
    """
    if case.blocks:
        return _without_numbers(VerdictWord.BLOCKED, "", [reason("blocked", what=text) for text in case.blocks])
    notes = _notes(case)
    if weighed.point is None:
        return _without_evidence(case, notes)
    shrunken = shrink(weighed.point.value, weighed.point.std_error, prior_sd=case.sesoi)
    verdict, cause = _verdict(case, weighed, standing, shrunken)
    sign = case.expected_sign
    ends = sorted((sign * weighed.point.low, sign * weighed.point.high))
    return Decision(
        verdict=verdict,
        cause=cause,
        grade=_grade(weighed, standing, cause),
        effect=sign * weighed.point.value,
        effect_shrunken=sign * shrunken,
        ci_low=ends[0],
        ci_high=ends[1],
        p_value=weighed.direction,
        breakdown=weighed.margin if cause == "no material effect" else weighed.breakdown,
        reasons=(*_reasons(case, weighed, standing, shrunken, cause), *notes),
    )


def _verdict(case: Case, weighed: Weighed, standing: Standing, shrunken: float) -> tuple[VerdictWord, str]:
    refuted, open_ = VerdictWord.REFUTED, VerdictWord.INCONCLUSIVE
    supported = any(t.move == "moved" for t in case.counted)
    if not supported:
        return open_, "lever not shown to move the CPI"
    bundle = any(t.bundle for t in case.counted)
    mixed = weighed.point is not None and weighed.point.q_p_value < HETEROGENEOUS_P
    apart = mixed and not _replicated(case, weighed, standing)
    rows = (
        (standing.equivalence and not mixed and not bundle, refuted, "no material effect"),
        (standing.harm and weighed.harm_e >= MATERIAL_E and not bundle, refuted, "harmful"),
        (bundle, open_, "bundle"),
        (apart, open_, "heterogeneous"),
        (standing.direction and shrunken < case.sesoi, open_, "real but small so far"),
        (standing.direction and weighed.breakdown < FRAGILE, open_, "fragile to a direct path"),
        (standing.direction, VerdictWord.CONFIRMED, ""),
    )
    return next(((verdict, cause) for holds, verdict, cause in rows if holds), (open_, "underpowered"))


def _replicated(case: Case, weighed: Weighed, standing: Standing) -> bool:
    """Whether every trial confirms the link on its own and the sizes agree within a factor of two.

    The largest of the trials' p-values is a p-value for "some lever has no effect", so the verdict holds for each
    lever that was tried; a Q test that finds a difference of size alone does not take it back.
    """
    sizes = [t.pair.effect_kpi * case.expected_sign / t.pair.effect_cpi for t in case.counted if t.move == "moved"]
    alone = max(weighed.each, default=1.0) <= standing.threshold
    return alone and len(sizes) == len(case.counted) and case.sesoi <= min(sizes) and max(sizes) <= 2 * min(sizes)


def _grade(weighed: Weighed, standing: Standing, cause: str) -> str:
    """Rate the evidence: A two levers agreeing, B valid and robust to a direct path, C fragile to it."""
    levers, published, share = {
        "harmful": (weighed.levers_harm, standing.harm, weighed.breakdown),
        "no material effect": (weighed.levers_equivalence, standing.equivalence, weighed.margin),
    }.get(cause, (weighed.levers_direction, standing.direction, weighed.breakdown))
    if levers >= 2 and published and share >= ROBUST:
        return "A+" if weighed.material_e >= MATERIAL_E and cause == "" else "A"
    return "B" if share >= FRAGILE else "C"


def _without_numbers(verdict: VerdictWord, cause: str, reasons: list[str], grade: str = "") -> Decision:
    nan = math.nan
    return Decision(
        verdict=verdict,
        cause=cause,
        grade=grade,
        effect=nan,
        effect_shrunken=nan,
        ci_low=nan,
        ci_high=nan,
        p_value=1.0,
        breakdown=nan,
        reasons=tuple(reasons),
    )


def _without_evidence(case: Case, notes: list[str]) -> Decision:
    """No experiment counts: say whether none was valid, none moved the CPI, or none was run."""
    cause = "no evidence"
    if any(t.exploratory for t in case.trials):
        cause = "exploratory"
    elif any(t.move == "wrong way" for t in case.trials if not t.left_out):
        cause = "lever moved the CPI the wrong way"
    elif any(t.move == "inert" for t in case.trials if not t.left_out):
        cause = "lever inert"
    elif case.past_data:
        cause = "only past data"
    elif any(t.left_out for t in case.trials):
        cause = "evidence expired"
    reasons = [reason(cause, past=case.past_data), *notes]
    grade = "D" if cause == "only past data" else ""
    return _without_numbers(VerdictWord.INCONCLUSIVE, cause, reasons, grade)


def _notes(case: Case) -> list[str]:
    """One sentence for every trial that does not count in full."""
    notes = []
    for trial in case.trials:
        if trial.left_out:
            notes.append(reason("left out", experiment=trial.experiment, why=trial.left_out))
        elif trial.exploratory:
            notes.append(reason("not registered", experiment=trial.experiment, why=trial.exploratory))
        elif trial.move != "moved":
            low, high = trial.cpi_interval
            span = interval(low, high, decimals(low, high), sign=True)
            notes.append(reason(trial.move, experiment=trial.experiment, lever=trial.lever, span=span))
        if trial.bundle and not trial.left_out:
            notes.append(reason("moves others", lever=trial.lever, others=trial.bundle))
    return notes


def _reasons(case: Case, weighed: Weighed, standing: Standing, shrunken: float, cause: str) -> list[str]:
    point = weighed.point
    if point is None:
        return []
    factor, unit = case.scale
    factor_signed = case.expected_sign * factor
    low, high = sorted((factor_signed * point.low, factor_signed * point.high))
    digits = decimals(low, high)
    words = {
        "value": number(factor_signed * point.value, digits, sign=True) + unit,
        "span": interval(low, high, digits, sign=True),
        "shrunken": number(factor_signed * shrunken, digits, sign=True) + unit,
        "sesoi": f"{factor * case.sesoi:g}{unit}",
        "step": case.step,
        "trials": str(len(case.counted)),
        "levers": str(len({t.lever for t in case.counted})),
        "share": percent(weighed.breakdown),
        "q_p": f"{point.q_p_value:.2g}",
        "more": _more_customers(case, point.std_error, standing.threshold) if cause == "underpowered" else "",
    }
    found = [reason(cause or "confirmed", **words)]
    if cause in ("", "harmful"):
        found.append(reason("breakdown", **words))
    return found


def _more_customers(case: Case, std_error: float, threshold: float) -> str:
    confirm = times_as_many(std_error, std_error_to_confirm(sesoi=case.sesoi, threshold=threshold))
    refute = times_as_many(std_error, std_error_to_refute(sesoi=case.sesoi, threshold=threshold))
    if math.isinf(confirm):
        return "A lever that moves the CPI more is needed"
    return (
        f"About {confirm:.1f} times as many customers would confirm an effect of 1.5 times that size, "
        f"{refute:.1f} times as many would refute a link without effect"
    )
