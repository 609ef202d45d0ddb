"""What a project should test next: its verdicts, its trials and its catalog, ranked by the value of the answers."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from cpi_experiments.errors import LedgerError
from cpi_experiments.estimate import Link, from_plain
from cpi_experiments.evidence.next.facts import Facts
from cpi_experiments.evidence.next.next_tests import check_options, ranked
from cpi_experiments.evidence.next.option import LeverOption
from cpi_experiments.evidence.portfolio_state import read_states
from cpi_experiments.evidence.record import VERDICT, recall
from cpi_experiments.evidence.verdict import Verdict, VerdictWord
from cpi_experiments.hypotheses.registry import registrations
from cpi_experiments.stats.judging.look_plan import look_plan
from cpi_experiments.stats.judging.look_price import asked_at_the_end
from cpi_experiments.stats.judging.portfolio import alone_threshold, slots_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cpi_experiments.catalog.entities import Catalog, Lever
    from cpi_experiments.evidence.next.facts import Plan
    from cpi_experiments.evidence.next.option import Scarce
    from cpi_experiments.evidence.next.result import NextTests
    from cpi_experiments.ledger.store import Ledger

#: Looks that pool all experiments so far.
_POOLED = ("planned", "capped", "open")
#: A threshold of a usual portfolio: the share that looks leave of it hardly depends on it.
_USUAL = 0.003
_Z = 1.959963984540054


def judged_quarter(ledger: Ledger) -> str:
    """Return the newest quarter whose verdicts are in the ledger.

    Raises
    ------
    LedgerError
        If there is none.
    """
    quarters = [str(row.payload["quarter"]) for row in ledger.rows(action=VERDICT)]
    if not quarters:
        raise LedgerError("nothing has been judged yet", advice="Run `cpi run` with a quarter first.")
    return max(quarters)


def recorded_verdicts(ledger: Ledger, quarter: str) -> tuple[Verdict, ...]:
    """Return the newest verdicts of a quarter as they were recorded; looking at them again costs nothing.

    Raises
    ------
    LedgerError
        If there are none.
    """
    newest: dict[str, Verdict] = {}
    for row in ledger.rows(action=VERDICT):
        if row.payload["quarter"] == quarter:
            content = {name: value for name, value in row.payload.items() if name != "quarter"}
            newest[row.subject] = from_plain(Verdict, content)
    if not newest:
        raise LedgerError(f"{quarter} was not judged", advice=f"Run `cpi run {quarter}`, or name another quarter.")
    return tuple(newest.values())


def next_tests_of(  # noqa: PLR0913 - what a ranking depends on, each named
    ledger: Ledger,
    catalog: Catalog,
    *,
    verdicts: Sequence[Verdict],
    as_of: date,
    plans: Iterable[Plan] = (),
    fdr: float = 0.10,
    scarce: Scarce = "weeks",
    most_weeks: float = 26.0,
) -> NextTests:
    """Rank what to test next, from recorded verdicts and evidence; nothing is judged and nothing recorded.

    Parameters
    ----------
    ledger : Ledger
        Registrations and evidence.
    catalog : Catalog
        Worth of KPIs, levers and what they cost, targets.
    verdicts : sequence of Verdict
        Of the quarter that was judged last; a registered link without one counts as not tested.
    as_of : date
        Last day that is known: experiments that run or are planned after it answer their links anyway.
    plans : iterable of Plan
        Experiments with their dates; from them it is known how many customers enter a day.
    fdr : float
        Used if the ledger holds no judged portfolio.
    scarce, most_weeks
        As in `cpi_experiments.evidence.next.next_tests.next_tests`.

    Raises
    ------
    DesignError
        If an option is outside its range.

    Notes
    -----
    The effect of a link is normal with the verdict's shrunken mean; its standard deviation is that of the interval
    under a normal prior of the size of the SESOI, which is all there is where no trial can be used. One acts on a link
    from its SESOI on. A KPI unit is worth what the catalog says, in steps up to the CPI's target (no further than a
    lever moved it), for the customers of a year at the pace of the trials.
    """
    check_options(scarce, most_weeks=most_weeks, fdr=fdr)
    registered = registrations(ledger)
    facts = Facts.of(catalog, recall(ledger), plans)
    known = {verdict.link: verdict for verdict in verdicts}
    busy = _busy(facts, as_of)
    states = read_states(ledger)
    spent = _spent(ledger)
    options: list[LeverOption] = []
    left_out: list[tuple[str, str]] = []
    for link, registration in registered.items():
        h = registration.hypothesis
        verdict = known.get(link) or Verdict(
            link=link,
            verdict=VerdictWord.INCONCLUSIVE,
            cause="no evidence",
            sesoi=h.sesoi,
            expected_sign=h.expected_sign,
        )
        found, why = _options(facts, verdict, looks=h.looks, spent=spent[str(link)], busy=busy.get(link, ""))
        options += found
        left_out += [(str(link), why)] if why else []
    rule = states[-1].rule if states else None
    threshold = alone_threshold(rule.fdr, rule.slots) if rule else alone_threshold(fdr, slots_of(len(registered)))
    priced, currency, notes = _in_one_currency(options, facts)
    paced = any(math.isfinite(option.per_day) for option in options)
    return ranked(
        priced, currency=currency, in_money=bool(currency), scarce=scarce if paced else "customers",
        settle=scarce == "weeks", most_weeks=most_weeks, threshold=threshold, left_out=left_out, notes=notes,
    )  # fmt: skip


def _busy(facts: Facts, as_of: date) -> dict[Link, str]:
    """Links that an experiment is about to answer, and when."""
    found: dict[Link, str] = {}
    answered = {(t.experiment, t.link) for t in facts.trials}
    for plan in facts.plans.values():
        for link in plan.links:
            due = date.fromisoformat(plan.end) + timedelta(days=facts.window_days(link))
            if due > as_of and (plan.id, link) not in answered:
                state = "runs" if date.fromisoformat(plan.start) <= as_of else "is planned"
                found[link] = f"{plan.id} {state}; its answer is due on {due.isoformat()}."
    return found


def _spent(ledger: Ledger) -> Counter[str]:
    """Count the looks that every link has had: judging steps at which something new counted."""
    looks: Counter[str] = Counter()
    seen: dict[str, frozenset[str]] = {}
    for state in read_states(ledger):
        for link, experiments in state.counted.items():
            if frozenset(experiments) - seen.get(link, frozenset()):
                looks[link] += 1
                seen[link] = seen.get(link, frozenset()) | frozenset(experiments)
    return looks


def _options(facts: Facts, verdict: Verdict, *, looks: str, spent: int, busy: str) -> tuple[list[LeverOption], str]:
    """Levers with which a link could be tested next, or why it should not be."""
    kind = look_plan(looks).kind
    why = busy or _settled(verdict) or ("its one planned look is spent." if kind == "single" and spent else "")
    if why:
        return [], why
    link = verdict.link
    levers = [lever for lever in facts.catalog.levers.values() if link.cpi_id in lever.moves]
    usable = [lever for lever in levers if lever.randomize or facts.tried(lever.id)]
    alone = [lever for lever in usable if len(lever.moves) == 1]
    confirmed = verdict.verdict is VerdictWord.CONFIRMED and not verdict.at_risk
    new = [lever for lever in alone if lever.id not in verdict.levers] if confirmed else alone
    if not new:
        return [], _no_lever(levers, usable, alone, verdict)
    slope = verdict.effect_shrunken if math.isfinite(verdict.effect_shrunken) else 0.0
    sd = facts.unit_sd(link, slope)
    if math.isnan(sd):
        return [], f"nobody knows how much {link.kpi_id} varies between customers: no trial measured it."
    share = asked_at_the_end(_USUAL, look_plan(looks), spent=spent) / _USUAL
    basis = _basis(facts, verdict, sd, share=share, pooled=kind in _POOLED)
    return [_with_lever(facts, verdict, lever, basis) for lever in new], ""


def _settled(verdict: Verdict) -> str:
    if verdict.verdict is VerdictWord.BLOCKED:
        return "blocked: repair what broke its experiment first, it would break the next one too."
    if verdict.verdict is VerdictWord.REFUTED:
        return f"{verdict.headline}: nothing is left to find out; spend nothing more on it."
    if verdict.verdict is VerdictWord.CONFIRMED and verdict.grade in ("A", "A+") and not verdict.at_risk:
        return f"confirmed, grade {verdict.grade}: act on it; a small holdout keeps the evidence fresh."
    return ""


def _no_lever(levers: list[Lever], usable: list[Lever], alone: list[Lever], verdict: Verdict) -> str:
    if alone:
        return f"confirmed, grade {verdict.grade}: a second lever would lift it to A, and the catalog has none."
    if usable:
        names = ", ".join(lever.id for lever in usable)
        return f"{names} moves other customer outcomes too: a lever is needed that moves this one alone."
    if levers:
        return f"{', '.join(lever.id for lever in levers)} cannot be randomised (see `randomize` in the catalog)."
    return f"no lever of the catalog moves {verdict.link.cpi_id}."


def _basis(facts: Facts, verdict: Verdict, sd: float, *, share: float, pooled: bool) -> LeverOption:
    """Everything of an option but its lever; oriented so that the claimed sign is +."""
    link, sign, prior = verdict.link, verdict.expected_sign, verdict.sesoi
    half = (verdict.ci_high - verdict.ci_low) / 2
    usable = verdict.cause != "bundle" and math.isfinite(verdict.effect_shrunken)
    error = half / _Z if usable and math.isfinite(half) and half > 0 else math.inf
    kpi = facts.catalog.kpi(link.kpi_id)
    factor, unit = (
        (100.0, " points") if kpi.unit == "fraction" else (1.0, " points" if kpi.unit == "point" else f" {kpi.unit}")
    )
    return LeverOption(
        link=str(link),
        lever="",
        effect=sign * verdict.effect_shrunken if usable else 0.0,
        sd=prior * error / math.hypot(prior, error) if math.isfinite(error) else prior,
        break_even=prior,
        sesoi=prior,
        value=1.0,
        unit_sd=sd,
        planned_move=1.0,
        per_day=facts.per_day(link),
        window_days=facts.window_days(link),
        grade=verdict.grade,
        confirmed=verdict.verdict is VerdictWord.CONFIRMED,
        estimate=sign * verdict.effect if math.isfinite(error) else 0.0,
        std_error=error,
        pooled=pooled,
        share=share,
        factor=factor,
        unit=unit,
        adverse=sign != kpi.better.sign,
    )


def _with_lever(facts: Facts, verdict: Verdict, lever: Lever, basis: LeverOption) -> LeverOption:
    move, inert = facts.move(lever.id, verdict.link.cpi_id)
    return replace(
        basis,
        lever=lever.id,
        planned_move=move,
        inert_chance=inert,
        cost=0.0 if facts.tried(lever.id) else lever.cost or 0.0,
        new_lever=lever.id not in verdict.levers,
    )


def _steps(facts: Facts, link: Link, move: float) -> float:
    """Count the steps that can be gained: to the target of the CPI, no further than a lever moved it."""
    cpi = facts.catalog.cpi(link.cpi_id)
    largest = facts.largest_move(cpi.id)
    reach = move if math.isnan(largest) else max(largest, move)
    target = cpi.target
    if target is None or target.value is None or target.baseline is None:
        return reach
    return min(max((target.value - target.baseline) / cpi.divisor, 0.0) or reach, reach)


def _in_one_currency(options: Sequence[LeverOption], facts: Facts) -> tuple[list[LeverOption], str, list[str]]:
    """Give every option its value: money where all KPIs have a worth in one currency, else steps of SESOI size."""
    links = {o.link: Link.parse(o.link) for o in options}
    worths = {link.kpi_id: facts.catalog.kpi(link.kpi_id).worth for link in links.values()}
    currencies = {worth.currency for worth in worths.values() if worth is not None}
    silent = sorted(kpi for kpi, worth in worths.items() if worth is None)
    money = not silent and len(currencies) == 1
    priced, unpaced = [], all(math.isnan(o.per_day) for o in options)
    for option in options:
        link = links[option.link]
        worth = worths[link.kpi_id]
        per_unit = worth.amount if money and worth is not None else 1 / option.sesoi
        customers = 1.0 if unpaced else 365 * option.per_day
        value = per_unit * _steps(facts, link, option.planned_move) * customers
        priced.append(replace(option, value=value, cost=option.cost if money and not unpaced else 0.0))
    return priced, currencies.pop() if money else "", _notes(options, silent, money=money, unpaced=unpaced)


def _notes(options: Sequence[LeverOption], silent: Sequence[str], *, money: bool, unpaced: bool) -> list[str]:
    if not options:
        return []
    who = "one customer" if unpaced else "the customers of a year at the pace of the trials"
    if money:
        notes = [f"Values count {who}, and steps up to the target of the CPI, no further than a lever moved it."]
    else:
        why = f"{', '.join(silent)} has no `worth`" if silent else "the worth of KPIs is in several currencies"
        size = "steps of the smallest size worth acting on"
        notes = [f"No common money ({why}): values count {size}, gained by {who}; what levers cost is left out."]
    if unpaced:
        notes.append("No trial says how many customers enter a day: sizes and ranks count customers, not weeks.")
    return notes
