"""The decision table: from the numbers of a link and the published sets to a verdict with cause, grade and reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.evidence.grades import grade_of
from cpi_experiments.evidence.reasons import found_reasons, notes_of, size_words
from cpi_experiments.evidence.verdict import VerdictWord
from cpi_experiments.evidence.weighing import HETEROGENEOUS_P
from cpi_experiments.stats.combining.link_point import MANY, link_point
from cpi_experiments.stats.judging.shrinkage import shrink
from cpi_experiments.stats.planning.judging_power import FRAGILE
from cpi_experiments.stats.student import quantile
from cpi_experiments.wording.verdicts import reason

if TYPE_CHECKING:
    from cpi_experiments.evidence.case import Case
    from cpi_experiments.evidence.standing import Standing
    from cpi_experiments.evidence.weighing import Weighed

#: e-value above which harm, A+ and general claims are material.
MATERIAL_E = 20.0
#: p-value of Q below which a difference between experiments is no chance that leaving one out could answer.
APART_P = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Outcome of the decision table for one link; effects in the KPI's own sign.

    Parameters
    ----------
    verdict, cause, grade, effect, effect_shrunken, ci_low, ci_high, p_value, breakdown, reasons
        As in `cpi_experiments.evidence.verdict.Verdict`.
    e_value : float
        e-value of the sequential evidence for the expected sign.
    general : bool
        Whether the evidence speaks for levers in general, not only for the ones tried.
    at_risk : bool
        Whether a confirmed link is not seen any more in the last four quarters alone.
    since : int or None
        Judging step from which the link was published in the family of its verdict.
    """

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
    e_value: float = 1.0
    general: bool = False
    at_risk: bool = False
    since: int | None = None


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
    notes = notes_of(case)
    if case.waiting:
        return _without_numbers(VerdictWord.INCONCLUSIVE, "waiting for a slot", [reason("waiting for a slot"), *notes])
    if weighed.point is None:
        return _provisional(case, notes) if case.projections else _without_evidence(case, notes)
    verdict, cause = _verdict(case, weighed, standing)
    sign = case.expected_sign
    ends = sorted((sign * weighed.point.low, sign * weighed.point.high))
    at_risk = verdict is VerdictWord.CONFIRMED and weighed.ageing is not None and weighed.ageing.at_risk
    family = {"no material effect": "equivalence", "harmful": "harm"}.get(cause, "direction")
    return Decision(
        verdict=verdict,
        cause=cause,
        grade=grade_of(weighed, standing, cause),
        effect=sign * weighed.point.value,
        effect_shrunken=sign * standing.shrunken,
        ci_low=ends[0],
        ci_high=ends[1],
        p_value=standing.p_value,
        breakdown=weighed.margin if cause == "no material effect" else weighed.breakdown,
        reasons=(*found_reasons(case, weighed, standing, cause), *notes),
        e_value=weighed.direction_e,
        general=weighed.general_e >= MATERIAL_E,
        at_risk=at_risk,
        since=dict(standing.since).get(family) if verdict is not VerdictWord.INCONCLUSIVE else None,
    )


def _verdict(case: Case, weighed: Weighed, standing: Standing) -> tuple[VerdictWord, str]:
    refuted, open_ = VerdictWord.REFUTED, VerdictWord.INCONCLUSIVE
    bundle = any(t.bundle for t in case.counted)
    ageing = weighed.ageing
    immaterial = standing.equivalence or (case.looks.kind == "open" and weighed.equivalence_e >= MATERIAL_E)
    rows = (
        (all(t.move != "moved" for t in case.counted), open_, "lever not shown to move the CPI"),
        (ageing is not None and ageing.expired, open_, "evidence expired"),
        (immaterial and not bundle and _inside(case, weighed), refuted, "no material effect"),
        (standing.harm and _harmful_now(weighed) and not bundle, refuted, "harmful"),
        (bundle, open_, "bundle"),
        (standing.direction and ageing is not None and ageing.breached, open_, "faded"),
        (_apart(case, weighed, standing), open_, "heterogeneous"),
        (standing.direction and _bypassed(weighed), open_, "direct path"),
        (weighed.point is None or math.isnan(weighed.point.value), open_, "size unknown"),
        (standing.direction and standing.shrunken < case.sesoi, open_, "real but small so far"),
        (standing.direction and weighed.breakdown < FRAGILE, open_, "fragile to a direct path"),
        (standing.direction, VerdictWord.CONFIRMED, ""),
    )
    return next(((verdict, cause) for holds, verdict, cause in rows if holds), (open_, "underpowered"))


def _mixed(weighed: Weighed) -> bool:
    return weighed.point is not None and weighed.point.q_p_value < HETEROGENEOUS_P


def _inside(case: Case, weighed: Weighed) -> bool:
    """Whether all that is known by now lies within the SESOI, and the experiments agree on it (or are many)."""
    if weighed.point is None:
        return False
    within = -case.sesoi < weighed.point.low and weighed.point.high < case.sesoi
    return within and (len(case.counted) >= MANY or not _mixed(weighed))


def _harmful_now(weighed: Weighed) -> bool:
    """Whether all that is known by now is material harm: what was published once is not held against later trials."""
    return weighed.harm_e >= MATERIAL_E and weighed.z_harm >= quantile(0.95, math.inf)


def _apart(case: Case, weighed: Weighed, standing: Standing) -> bool:
    """Whether experiments differ so much that their average says little.

    Fewer than ten cannot protect against that: they must agree, or each must confirm the link on its own, or all but
    any one together. The set of many already holds the differences, so it must exclude zero.
    """
    if weighed.point is None or not _mixed(weighed):
        return False
    if len(case.counted) >= MANY:
        return standing.direction and not weighed.point.low > 0
    return not (_replicated(case, weighed, standing) or _whichever_is_left_out(case, weighed, standing))


def _whichever_is_left_out(case: Case, weighed: Weighed, standing: Standing) -> bool:
    """Whether trials that differ hardly more than chance explains would confirm the link without any one of them."""
    rest = weighed.without_each
    slight = weighed.point is not None and weighed.point.q_p_value >= APART_P
    return slight and bool(rest) and all(p <= standing.threshold and size >= case.sesoi for p, size in rest)


def _replicated(case: Case, weighed: Weighed, standing: Standing) -> bool:
    """Whether every trial confirms the link on its own and the sizes agree within a factor of two.

    The largest of the trials' p-values is a p-value for "some lever has no effect", so the verdict holds for each
    lever that was tried; a Q test that finds a difference of size alone does not take it back.
    """
    sizes = [t.pair.effect_kpi * case.expected_sign / t.pair.effect_cpi for t in case.counted if t.move == "moved"]
    alone = max(weighed.each, default=1.0) <= standing.threshold
    return alone and len(sizes) == len(case.counted) and case.sesoi <= min(sizes) and max(sizes) <= 2 * min(sizes)


def _bypassed(weighed: Weighed) -> bool:
    """Whether the effect could be a direct path that the levers share: with one in the fit it is not sure to be left.

    Asking only whether such a path is seen, and halves the size, left 40 % false confirmations over 60 levers.
    """
    line = weighed.egger
    if line is None or weighed.point is None or not line.informative:
        return False
    return line.value <= quantile(0.95, line.df) * line.std_error


def _provisional(case: Case, notes: list[str]) -> Decision:
    """Only projections of a KPI that is not known yet: say what they say, prove nothing."""
    point = link_point(case.effects(case.projections))
    sign = case.expected_sign
    low, high = sorted((sign * point.low, sign * point.high))
    words = size_words(case, sign * point.value, (low, high))
    until = max(t.projected for t in case.projections)
    return Decision(
        verdict=VerdictWord.INCONCLUSIVE,
        cause="provisional",
        grade="C",
        effect=sign * point.value,
        effect_shrunken=sign * shrink(point.value, point.std_error, prior_sd=case.sesoi),
        ci_low=low,
        ci_high=high,
        p_value=1.0,
        breakdown=math.nan,
        reasons=(reason("provisional", **words, until=until), *notes),
    )


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
    elif any(t.left_out or t.holdout for t in case.trials):
        cause = "no trial counts"
    reasons = [reason(cause, past=case.past_data), *notes]
    grade = "D" if cause == "only past data" else ""
    return _without_numbers(VerdictWord.INCONCLUSIVE, cause, reasons, grade)
