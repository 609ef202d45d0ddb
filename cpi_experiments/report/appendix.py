"""The appendix: each link on one block, every estimate that was recorded, and how to make the review again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.display import number, p_text, percent
from cpi_experiments.estimate import Status
from cpi_experiments.report.amounts import Scale, tidy
from cpi_experiments.report.sections import EstimateRow, LinkPage
from cpi_experiments.stats.judging.look_plan import look_plan
from cpi_experiments.wording import review as wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.estimate import Estimate, Link
    from cpi_experiments.evidence.verdict import Evidence, Verdict
    from cpi_experiments.hypotheses.hypothesis import Hypothesis
    from cpi_experiments.report.verdict_rows import Judged

Fact = tuple[str, str]


def link_page(
    one: Judged, place: int, *, catalog: Catalog, evidence: Sequence[Evidence], hypotheses: Sequence[Hypothesis]
) -> LinkPage:
    """Put everything about one link on one block."""
    link = one.verdict.link
    mine = [item for item in evidence if item.link == link]
    registered = next((claim for claim in reversed(hypotheses) if claim.link == link), None)
    facts = (_claim_facts(catalog, link), _registered_facts(one, registered, mine), _number_facts(one))
    return LinkPage(
        anchor=f"L-{place:04d}",
        cpi=one.names[0],
        kpi=one.names[1],
        verdict=f"{wording.SYMBOLS[one.verdict.verdict.value]} {tidy(one.verdict.headline)}",
        facts=tuple(fact for group in facts for fact in group if fact[1]),
        reasons=tuple(tidy(reason) for reason in one.verdict.reasons),
        estimates=tuple(estimate_row(item, one.scale) for item in mine),
    )


def _claim_facts(catalog: Catalog, link: Link) -> list[Fact]:
    cpi = catalog.cpi(link.cpi_id)
    found = cpi.discovery.method.value.replace("_", " ") if cpi.discovery else "not said"
    trust = "" if cpi.discovery and cpi.discovery.method.trusted else " (not by watching customers)"
    claim = catalog.links.get(link)
    return [
        ("In the customer's words", tidy(cpi.outcome)),
        ("How the outcome was found", found + trust),
        ("Why it should hold", tidy(claim.because) if claim else ""),
    ]


def _registered_facts(one: Judged, claim: Hypothesis | None, mine: Sequence[Evidence]) -> list[Fact]:
    verdict = one.verdict
    digest = claim.digest if claim else next((item.hypothesis_digest for item in mine if item.hypothesis_digest), "")
    sign = claim.expected_sign if claim else verdict.expected_sign
    sesoi = claim.sesoi if claim else one.sesoi
    facts = [
        ("Expected sign", "positive" if sign > 0 else "negative"),
        ("Smallest effect worth acting on", one.scale.limit(sesoi)),
        ("Registered", f"{claim.registered_at if claim else ''} {digest[:16]}".strip() or "not registered"),
    ]
    if claim:
        facts += [
            ("Delay", f"{claim.lag_days[0]} to {claim.lag_days[1]} days"),
            ("Customers", tidy(claim.population)),
            ("Held constant", tidy(", ".join(claim.adjustment))),
            ("Decision rule", tidy(claim.decision_rule)),
            ("Looks", look_plan(claim.looks).sentence),
        ]
    return facts


def _number_facts(one: Judged) -> list[Fact]:
    verdict = one.verdict
    effect, low, high = one.shown
    if not math.isfinite(effect):
        return [("Effect per step", "not shown" if math.isfinite(verdict.effect) else "not available")]
    shrunken = verdict.effect_shrunken
    return [
        ("Effect per step", f"{one.scale.effect(effect, one.digits)} ({one.scale.span(low, high, one.digits)})"),
        ("Forecast for planning", one.scale.effect(shrunken, one.digits) if math.isfinite(shrunken) else ""),
        ("Running p-value", p_text(verdict.p_value)),
        ("Evidence value", _evidence_value(verdict.e_value)),
        ("Verdict holds since", verdict.since),
        ("Before", "; ".join(verdict.history)),
        ("May bypass the CPI", percent(verdict.breakdown) if math.isfinite(verdict.breakdown) else ""),
        ("Experiments", tidy(", ".join(verdict.experiments))),
        ("Levers", tidy(", ".join(verdict.levers))),
    ]


def _evidence_value(e: float) -> str:
    if e <= 1:
        return ""
    return "over 1,000,000" if e > 1e6 else number(e, 0 if e >= 100 else 1)


def estimate_row(item: Evidence, scale: Scale) -> EstimateRow:
    """Show one recorded estimate."""
    estimate = item.estimate
    failed = estimate.status is Status.FAILED
    digits = scale.digits(estimate.ci_low, estimate.ci_high, size=abs(estimate.value))
    return EstimateRow(
        link=tidy(str(item.link)),
        source=tidy(item.experiment) or "past data",
        design=item.design.value,
        estimand=estimate.estimand.value,
        effect="not available" if failed else scale.effect(estimate.value, digits),
        range_text="not available" if failed else scale.span(estimate.ci_low, estimate.ci_high, digits),
        p_text=p_text(estimate.p_value),
        size=_size(estimate),
        method=tidy(estimate.method),
        registered=item.hypothesis_digest[:8] or "no",
        counts=_counts(item),
    )


def _size(estimate: Estimate) -> str:
    clusters = f" in {number(estimate.n_clusters, 0)} clusters" if estimate.n_clusters else ""
    return f"{number(estimate.n_obs, 0)}{clusters}"


def _counts(item: Evidence) -> str:
    if item.blocked:
        return f"no, blocked: {tidy(item.blocked)}"
    return f"no, exploratory: {tidy(item.exploratory)}" if item.exploratory else "yes"


def all_estimates(catalog: Catalog, evidence: Sequence[Evidence]) -> tuple[EstimateRow, ...]:
    """Show every estimate that was recorded, whether its link has a verdict or not, in the order of the ledger."""
    rows = sorted(evidence, key=lambda item: (item.seq, str(item.link)))
    kpis = catalog.kpis
    return tuple(
        estimate_row(item, Scale.of(kpis[item.link.kpi_id]) if item.link.kpi_id in kpis else Scale()) for item in rows
    )


def running_tests(verdicts: Sequence[Verdict]) -> tuple[Fact, ...]:
    """List the running p-value of every link of the family."""
    return tuple((tidy(str(verdict.link)), p_text(verdict.p_value)) for verdict in verdicts)
