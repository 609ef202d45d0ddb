"""Judging a quarter: the rule of `judge` over everything that the ledger holds for the registered links."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING

from cpi_experiments.display import decimals, interval, number
from cpi_experiments.estimate import EffectPair, Link
from cpi_experiments.evidence.case import Case, Trialed, broken
from cpi_experiments.evidence.judge import judge_cases
from cpi_experiments.evidence.record import recall, why_exploratory
from cpi_experiments.evidence.verdict import Design, Evidence, Verdict
from cpi_experiments.hypotheses.registry import registrations

if TYPE_CHECKING:
    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.hypotheses.registry import Registration
    from cpi_experiments.ledger.store import Ledger

#: Evidence older than this does not speak for a quarter.
EXPIRY_DAYS = 366


def judge(ledger: Ledger, catalog: Catalog, *, fdr: float = 0.10, as_of: date | None = None) -> tuple[Verdict, ...]:
    """Judge every registered link from the evidence in the ledger.

    Parameters
    ----------
    ledger : Ledger
    catalog : Catalog
        For the words of steps and the signs of levers.
    fdr : float
        False discovery rate of each family over all registered links, dormant ones included.
    as_of : date, optional
        End of the quarter that is judged; evidence that ended more than a year before it has expired.

    Returns
    -------
    tuple of Verdict
        In order of registration.
    """
    registered = registrations(ledger)
    evidence = recall(ledger)
    mine = {link: [e for e in evidence if e.link == link] for link in registered}
    cases = [_case(registration, mine[link], catalog, as_of) for link, registration in registered.items()]
    decisions = judge_cases(cases, fdr=fdr)
    return tuple(
        Verdict(
            link=link,
            verdict=decision.verdict,
            cause=decision.cause,
            grade=decision.grade,
            effect=decision.effect,
            effect_shrunken=decision.effect_shrunken,
            ci_low=decision.ci_low,
            ci_high=decision.ci_high,
            p_value=decision.p_value,
            breakdown=decision.breakdown,
            reasons=decision.reasons,
            experiments=tuple(trial.experiment for trial in case.counted),
            levers=tuple(dict.fromkeys(trial.lever for trial in case.counted)),
            sesoi=case.sesoi,
            expected_sign=case.expected_sign,
        )
        for link, case, decision in zip(registered, cases, decisions, strict=True)
    )


def _case(registration: Registration, evidence: list[Evidence], catalog: Catalog, as_of: date | None) -> Case:
    hypothesis = registration.hypothesis
    randomized = {e.experiment: e for e in evidence if e.design is Design.RANDOMIZED}
    past = [e for e in evidence if e.design is Design.OBSERVATIONAL]
    case = Case(
        trials=tuple(_trial(e, registration, as_of) for e in randomized.values()),
        sesoi=hypothesis.sesoi,
        expected_sign=hypothesis.expected_sign,
        past_data=_in_words(past[-1], hypothesis.link) if past else "",
        step=catalog.cpi(hypothesis.link.cpi_id).step,
        unit=catalog.kpi(hypothesis.link.kpi_id).unit,
    )
    return case.without_overlaps({name: e.overlaps for name, e in randomized.items()})


def _trial(evidence: Evidence, registration: Registration, as_of: date | None) -> Trialed:
    nan = math.nan
    pair = evidence.pair or EffectPair(effect_cpi=nan, effect_kpi=nan, var_cpi=nan, var_kpi=nan, cov=nan)
    return Trialed(
        experiment=evidence.experiment,
        lever=evidence.lever,
        pair=pair,
        lever_sign=evidence.lever_sign,
        planned_move=evidence.planned_move,
        blocked=evidence.blocked or broken(pair),
        bundle=", ".join(evidence.others_moved),
        exploratory=evidence.exploratory or why_exploratory(registration, evidence),
        left_out=_out_of_time(evidence.ended, as_of),
    )


def _out_of_time(ended: str, as_of: date | None) -> str:
    if as_of is None or not ended:
        return ""
    age = (as_of - date.fromisoformat(ended)).days
    if age < 0:
        return f"it ended on {ended}, after the quarter that is judged"
    if age <= EXPIRY_DAYS:
        return ""
    return f"it ended on {ended}, more than four quarters ago"


def _in_words(evidence: Evidence, link: Link) -> str:
    e = evidence.estimate
    digits = decimals(e.ci_low, e.ci_high)
    span = interval(e.ci_low, e.ci_high, digits, sign=True)
    return f"customers with better {link.cpi_id} show {number(e.value, digits, sign=True)} of {link.kpi_id} ({span})."
