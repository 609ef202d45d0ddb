"""Judging a quarter: the rule of `judge_links` over everything that the ledger holds for the registered links."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cpi_experiments.display import decimals, interval, number
from cpi_experiments.estimate import EffectPair, Link
from cpi_experiments.evidence.case import Case, Trialed, broken
from cpi_experiments.evidence.judge import judge_portfolio
from cpi_experiments.evidence.looked_at import LookedAt, quarter_name, quarter_of, read_looks
from cpi_experiments.evidence.portfolio_state import PortfolioState, read_states, rule_for, state_of
from cpi_experiments.evidence.record import earlier_verdicts, why_exploratory
from cpi_experiments.evidence.verdict import Design, Evidence, Verdict
from cpi_experiments.hypotheses.registry import registrations
from cpi_experiments.stats.judging.look_plan import look_plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.evidence.decision import Decision
    from cpi_experiments.hypotheses.registry import Registration
    from cpi_experiments.ledger.store import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedQuarter:
    """Verdicts of a quarter and the state of the rule behind them.

    Parameters
    ----------
    verdicts : tuple of Verdict
        In order of registration.
    state : PortfolioState
        To be recorded with them: the next quarter goes on from it.
    """

    verdicts: tuple[Verdict, ...]
    state: PortfolioState


def judge(
    ledger: Ledger,
    catalog: Catalog,
    *,
    fdr: float = 0.10,
    as_of: date | None = None,
    slots: int | None = None,
    mode: str = "closed",
    fiscal_year_start: int = 1,
) -> tuple[Verdict, ...]:
    """Judge every registered link from the evidence in the ledger; see `judge_quarter`.

    Returns
    -------
    tuple of Verdict
        In order of registration.
    """
    return judge_quarter(
        ledger, catalog, fdr=fdr, as_of=as_of, slots=slots, mode=mode, fiscal_year_start=fiscal_year_start
    ).verdicts


def judge_quarter(
    ledger: Ledger,
    catalog: Catalog,
    *,
    fdr: float = 0.10,
    as_of: date | None = None,
    slots: int | None = None,
    mode: str = "closed",
    fiscal_year_start: int = 1,
) -> JudgedQuarter:
    """Judge every registered link, going on from the judging steps that the ledger holds.

    Parameters
    ----------
    ledger : Ledger
        It is read, not written: record the state with `cpi_experiments.evidence.portfolio_state.record_state`.
    catalog : Catalog
        For the words of steps and the signs of levers.
    fdr : float
        False discovery rate of each family over all registered links, dormant ones included.
    as_of : date, optional
        Last day of the quarter that is judged; without it evidence does not age.
    slots : int, optional
        Places in the portfolio for eight quarters; the links at their start and a fifth more by default.
    mode : str
        ``closed``, or ``plain`` where links are registered because of evidence.
    fiscal_year_start : int
        First month of the fiscal year.

    Raises
    ------
    DesignError
        If rate, places or mode differ from what the running horizon was started with.
    """
    registered = registrations(ledger)
    quarter = None if as_of is None else quarter_of(as_of, fiscal_year_start)
    states = read_states(ledger)
    rule = rule_for(states, fdr=fdr, slots=slots, mode=mode, links=len(registered), quarter=quarter)
    past = read_looks(ledger, states, quarter=quarter, as_of=as_of, fiscal_year_start=fiscal_year_start)
    cases, rows = {}, {}
    for i, (link, registration) in enumerate(registered.items()):
        mine = past.evidence(link)
        cases[str(link)] = replace(_case(registration, mine, catalog, past), waiting=i >= rule.slots)
        rows[str(link)] = {e.experiment: e.seq for e in mine}
    steps = past.steps(cases.values(), rule.start)
    placed = {link: past.placed(case, steps) for link, case in cases.items()}
    first = 0 if rule.start is None else steps.index(rule.start)
    inside = dict(list(placed.items())[: rule.slots])
    decisions, portfolio = judge_portfolio(
        list(inside.values()), fdr=rule.fdr, slots=rule.slots, mode=rule.mode, first=first
    )
    waiting = judge_portfolio(list(placed.values())[rule.slots :], fdr=rule.fdr, mode=rule.mode)[0]
    label = quarter_name(quarter)
    told = earlier_verdicts(ledger, before=label)
    verdicts = tuple(
        _verdict(link, placed[str(link)], decision, steps, told.get(str(link), ()))
        for link, decision in zip(registered, (*decisions, *waiting), strict=True)
    )
    counted = {link: {t.experiment: rows[link][t.experiment] for t in case.known} for link, case in inside.items()}
    state = state_of(inside, portfolio, counted=counted, label=label, rule=rule)
    return JudgedQuarter(verdicts=verdicts, state=state)


def _verdict(
    link: Link, case: Case, decision: Decision, steps: Sequence[int | None], history: tuple[str, ...]
) -> Verdict:
    return Verdict(
        link=link,
        **{name: getattr(decision, name) for name in _DECIDED},
        since="" if decision.since is None else quarter_name(steps[decision.since]),
        experiments=tuple(trial.experiment for trial in case.counted),
        levers=tuple(dict.fromkeys(trial.lever for trial in case.counted)),
        sesoi=case.sesoi,
        expected_sign=case.expected_sign,
        history=history,
    )


_DECIDED = (
    "verdict", "cause", "grade", "effect", "effect_shrunken", "ci_low", "ci_high", "p_value", "breakdown", "reasons",
    "e_value", "general", "at_risk",
)  # fmt: skip


def _case(registration: Registration, evidence: Sequence[Evidence], catalog: Catalog, past: LookedAt) -> Case:
    hypothesis = registration.hypothesis
    randomized = {e.experiment: e for e in evidence if e.design is Design.RANDOMIZED}
    regressions = [e for e in evidence if e.design is Design.OBSERVATIONAL]
    span = (regressions[-1].estimate.ci_low, regressions[-1].estimate.ci_high) if regressions else (math.nan, math.nan)
    case = Case(
        trials=tuple(_trial(e, registration, past) for e in randomized.values()),
        sesoi=hypothesis.sesoi,
        expected_sign=hypothesis.expected_sign,
        looks=look_plan(hypothesis.looks),
        now=past.quarter,
        past_data=_in_words(regressions[-1], hypothesis.link) if regressions else "",
        past_interval=span,
        step=catalog.cpi(hypothesis.link.cpi_id).step,
        unit=catalog.kpi(hypothesis.link.kpi_id).unit,
    )
    return case.without_overlaps({name: e.overlaps for name, e in randomized.items()})


def _trial(evidence: Evidence, registration: Registration, past: LookedAt) -> Trialed:
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
        left_out=past.why_left_out(evidence),
        looked_at=past.look_of(evidence) or 0,
        quarter=past.closed(evidence),
        holdout=evidence.holdout,
        projected=evidence.projected,
        remark=past.remark(evidence),
    )


def _in_words(evidence: Evidence, link: Link) -> str:
    e = evidence.estimate
    digits = decimals(e.ci_low, e.ci_high)
    span = interval(e.ci_low, e.ci_high, digits, sign=True)
    return f"customers with better {link.cpi_id} show {number(e.value, digits, sign=True)} of {link.kpi_id} ({span})."
