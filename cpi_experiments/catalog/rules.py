"""Lint: small checks of what a catalog claims, each finding with file, line and remedy."""

from __future__ import annotations

import re
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from cpi_experiments.catalog.entities import CPI, KPI, Aggregate, Catalog, Discovery, DiscoveryMethod, Role, Target
from cpi_experiments.catalog.expression import parse_expression
from cpi_experiments.catalog.issue import Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cpi_experiments.catalog.entities import Measure

__all__ = ["FAMILIES", "MANY_GOALS", "MANY_LINKS", "RULES", "Issue", "lint"]

#: Links above which every further one visibly costs power.
MANY_LINKS: Final = 100
#: Goals above which nobody can tell what matters.
MANY_GOALS: Final = 10
#: Each link is tested in three families: direction, harm, equivalence.
FAMILIES: Final = 3


def lint(catalog: Catalog, *, fdr: float = 0.10) -> tuple[Issue, ...]:
    """Return every finding, in order of file and line.

    Parameters
    ----------
    catalog : Catalog
    fdr : float
        Share of confirmed links that may be false; sets what many links cost.

    Examples
    --------
    >>> from cpi_experiments.catalog.load import load_catalog
    >>> from cpi_experiments.catalog.starter_project import STARTER
    >>> [issue for issue in lint(load_catalog(STARTER)) if issue.severity == "error"]
    []
    """
    found = [*catalog.remarks, *(issue for rule in RULES for issue in rule(catalog)), *_many_links(catalog, fdr)]
    return tuple(sorted(found, key=_in_order))


def _in_order(issue: Issue) -> tuple[str, int, str]:
    file, _, line = issue.where.rpartition(":")
    return (file, int(line), issue.rule) if line.isdigit() else (issue.where, 0, issue.rule)


def _at(catalog: Catalog, key: str, field: str = "") -> str:
    """Place of a field, else of its entity, else the entity itself."""
    return catalog.places.get(f"{key}.{field}", catalog.places.get(key, key))


# What a company measures about its own success, and how people call it.
_COMPANY_WORDS: Final = {
    r"nps|net promoter( score)?|promoters?": "NPS",
    r"csat|customer satisfaction( score)?": "CSAT",
    r"clv|cltv|ltv|(customer )?lifetime value": "lifetime value",
    r"cac|customer acquisitions?|acquisition costs?": "acquisition cost",
    r"churn|attrition": "churn",
    r"retention|renewal rate|repurchase( rate)?": "retention",
    r"revenues?|turnover|arpu|sales volume|premium income": "revenue",
    r"profits?|profitability|ebitda?|(profit|contribution|gross|net) margins?": "profit",
    r"loyalty": "loyalty",
    r"market share|share of wallet": "market share",
    r"conversions|conversion rate|win rate|upsell(ing)?|cross sell(ing)?": "conversion rate",
    r"cost to serve|cost per (contact|order|customer)": "cost to serve",
}
_COMPANY_PATTERNS: Final = tuple((re.compile(rf"\b(?:{words})\b"), name) for words, name in _COMPANY_WORDS.items())


def _kpi_as_cpi(catalog: Catalog) -> Iterator[Issue]:
    for cpi in catalog.cpis.values():
        name = _company_number(cpi)
        if not name:
            continue
        accepted = len(cpi.override.split()) >= 3
        remedy = (
            f"Accepted, because: {cpi.override}"
            if accepted
            else "Make it a KPI; name the outcome behind it as the CPI, or write the reason in `override`."
        )
        yield Issue(
            rule="kpi-as-cpi",
            severity="warning" if accepted else "error",
            where=_at(catalog, f"cpi:{cpi.id}"),
            message=f"CPI {cpi.id!r}: customers do not care about your {name}; this measures value for the company.",
            remedy=remedy,
        )


def _company_number(cpi: CPI) -> str:
    """Name what a CPI says about the company's own success, by its indicator or by its words; empty if nothing."""
    kind = cpi.measure.kind
    if kind is not None and kind.company:
        return kind.label[0].lower() + kind.label[1:]
    words = re.sub(r"[^a-z0-9]+", " ", f"{cpi.id} | {cpi.label}".lower())
    return next((name for pattern, name in _COMPANY_PATTERNS if pattern.search(words)), "")


def _outcome(catalog: Catalog) -> Iterator[Issue]:
    for cpi in catalog.cpis.values():
        if len(cpi.outcome.split()) < 2:
            yield Issue(
                rule="outcome",
                severity="error",
                where=_at(catalog, f"cpi:{cpi.id}", "outcome"),
                message=f"CPI {cpi.id!r} does not say its outcome in the customer's words.",
                remedy='Write a sentence a customer said, such as "I get a price while I am still looking".',
            )


_MISTAKES: Final = {
    DiscoveryMethod.BORROWED: ("borrowed from another company", "Other companies have other customers"),
    DiscoveryMethod.INTERNAL_OPINION: ("found by internal opinion", "Insiders guess what customers value"),
    DiscoveryMethod.FOCUS_GROUP: ("found in a focus group", "Groups talk one another into answers"),
    DiscoveryMethod.SURVEY: ("found by survey", "Surveys mislead here"),
}


def _discovery(catalog: Catalog) -> Iterator[Issue]:
    for cpi in catalog.cpis.values():
        found = _discovery_finding(cpi.discovery)
        if found:
            yield Issue(
                rule="discovery",
                severity="warning",
                where=_at(catalog, f"cpi:{cpi.id}", "discovery"),
                message=f"CPI {cpi.id!r} {found[0]}",
                remedy=found[1],
            )


def _discovery_finding(discovery: Discovery | None) -> tuple[str, str] | None:
    if discovery is None:
        return (
            "does not say how it was found.",
            "Add `discovery: {method: contextual_inquiry, when: ..., note: ...}`.",
        )
    if discovery.method.trusted:
        return None
    how, why = _MISTAKES[discovery.method]
    return f"was {how}.", f"{why}: confirm it by contextual inquiry (see docs: discovery)."


def _targets(catalog: Catalog) -> Iterator[Issue]:
    indicators: list[tuple[str, CPI | KPI]] = [
        *(("cpi", cpi) for cpi in catalog.cpis.values()),
        *(("kpi", kpi) for kpi in catalog.kpis.values()),
    ]
    for kind, indicator in indicators:
        target, goal = indicator.target, isinstance(indicator, KPI) and indicator.role is Role.GOAL
        where, name = _at(catalog, f"{kind}:{indicator.id}", "target"), f"{kind.upper()} {indicator.id!r}"
        missing = _missing(target) if target is not None else "no target" if goal else ""
        if missing:
            yield Issue(
                rule="target-smart",
                severity="warning",
                where=where,
                message=f"{name}: {'target has ' if target is not None else ''}{missing}.",
                remedy="A target needs a baseline, a value, a due date and a cadence.",
            )
        if target is not None and _contradicts(target, indicator.better.sign):
            yield Issue(
                rule="target-direction",
                severity="error",
                where=where,
                message=f"{name}: target goes from {target.baseline:g} to {target.value:g}, "
                f"but {indicator.better.value} is better.",
                remedy="Exchange baseline and value, or correct `better`.",
            )


def _benchmarks(catalog: Catalog) -> Iterator[Issue]:
    for kind, indicators in (("cpi", catalog.cpis), ("kpi", catalog.kpis)):
        for indicator in indicators.values():
            target = indicator.target
            if target is None or (target.benchmark is None) == (not target.benchmark_source.strip()):
                continue
            no_source = target.benchmark is not None
            yield Issue(
                rule="benchmark",
                severity="warning",
                where=_at(catalog, f"{kind}:{indicator.id}", "target"),
                message=f"{kind.upper()} {indicator.id!r}: "
                + ("benchmark without a source." if no_source else "source of a benchmark without its value."),
                remedy="Write both: `benchmark: 44, benchmark_source: who measured it, where and when`.",
            )


def _missing(target: Target) -> str:
    parts = (
        ("baseline", target.baseline),
        ("value", target.value),
        ("due date", target.due),
        ("cadence", target.cadence),
    )
    return ", ".join(f"no {name}" for name, content in parts if content is None or content == "")


def _contradicts(target: Target, sign: int) -> bool:
    if target.baseline is None or target.value is None:
        return False
    return (target.value - target.baseline) * sign < 0


def _assignable(catalog: Catalog) -> Iterator[Issue]:
    moved = {cpi_id for lever in catalog.levers.values() for cpi_id in lever.moves}
    for cpi_id in catalog.cpis:
        if cpi_id not in moved:
            yield Issue(
                rule="not-assignable",
                severity="warning",
                where=_at(catalog, f"cpi:{cpi_id}"),
                message=f"CPI {cpi_id!r} is not assignable: no lever moves it.",
                remedy=f"Add a lever with `moves: {{{cpi_id}: ...}}`; until then no team can own it.",
            )
    for lever in catalog.levers.values():
        if not lever.moves:
            yield Issue(
                rule="not-assignable",
                severity="warning",
                where=_at(catalog, f"lever:{lever.id}", "moves"),
                message=f"Lever {lever.id!r} of team {lever.team!r} is not assignable: it moves no CPI.",
                remedy="Say which CPI it should move: `moves: {cpi_id: lower}`, or remove it.",
            )
    owners = {lever.team for lever in catalog.levers.values()}
    for team_id in catalog.teams:
        if team_id not in owners:
            yield Issue(
                rule="not-assignable",
                severity="warning",
                where=_at(catalog, f"team:{team_id}"),
                message=f"Team {team_id!r} is not assignable: it has no lever.",
                remedy="Add what it can change under `levers:`; until then it can own no CPI.",
            )


def _links(catalog: Catalog) -> Iterator[Issue]:
    for link, claim in catalog.links.items():
        if len(claim.because.split()) < 3:
            yield Issue(
                rule="no-mechanism",
                severity="warning",
                where=_at(catalog, f"link:{link}", "because"),
                message=f"Link {str(link)!r} does not say why customers would react.",
                remedy='Write one sentence: `because: "Buyers stop looking once they have a price that they like"`.',
            )
    linked = {link.cpi_id for link in catalog.links}
    for cpi_id in catalog.cpis:
        if cpi_id not in linked:
            yield Issue(
                rule="cpi-without-link",
                severity="warning",
                where=_at(catalog, f"cpi:{cpi_id}"),
                message=f"CPI {cpi_id!r} has no link to a KPI.",
                remedy=f"Claim one under `links:` with `cpi: {cpi_id}`, or nothing will be tested.",
            )


def _tautologies(catalog: Catalog) -> Iterator[Issue]:
    columns = {
        measure: _read_columns(measure)
        for measure in {
            *(cpi.measure for cpi in catalog.cpis.values()),
            *(kpi.measure for kpi in catalog.kpis.values()),
        }
    }
    for link in catalog.links:
        if link.cpi_id not in catalog.cpis or link.kpi_id not in catalog.kpis:
            continue  # only a catalog made in Python can hold a link to nowhere
        cause, outcome = catalog.cpis[link.cpi_id].measure, catalog.kpis[link.kpi_id].measure
        shared = sorted(columns[cause] & columns[outcome])
        if not shared or not _same_rows(cause, outcome):
            continue
        whole = columns[cause] <= columns[outcome] or columns[outcome] <= columns[cause]
        yield Issue(
            rule="tautology",
            severity="error" if whole else "warning",
            where=_at(catalog, f"link:{link}"),
            message=f"Tautological link {str(link)!r}: both sides are computed from {cause.table}.{', '.join(shared)}.",
            remedy="They move together by arithmetic. Measure one side from something else, or drop the link.",
        )


def _read_columns(measure: Measure) -> frozenset[str]:
    return frozenset(parse_expression(measure.value).columns)


def _same_rows(one: Measure, other: Measure) -> bool:
    """Whether two measures look at the same events: one table, and no two different filters."""
    counted = Aggregate.COUNT in (one.aggregate, other.aggregate)  # a count looks at rows, not at what a column says
    if one.table != other.table or (counted and one.aggregate is not other.aggregate):
        return False
    return one.where == other.where or not one.where or not other.where


def _many_goals(catalog: Catalog) -> Iterator[Issue]:
    goals = [kpi for kpi in catalog.kpis.values() if kpi.role is Role.GOAL]
    if len(goals) > MANY_GOALS:
        yield Issue(
            rule="too-many-kpis",
            severity="warning",
            where=_at(catalog, f"kpi:{goals[MANY_GOALS].id}"),
            message=f"{len(goals)} KPIs are goals; above {MANY_GOALS} nobody can tell which matter.",
            remedy="Keep the ones that decisions hang on; make others `role: guardrail` or remove them.",
        )


def _many_links(catalog: Catalog, fdr: float) -> Iterator[Issue]:
    count = len(catalog.links)
    if count <= MANY_LINKS:
        return
    threshold = fdr / (FAMILIES * count)
    normal = NormalDist()
    effect = normal.inv_cdf(0.975) + normal.inv_cdf(0.80)  # an effect that one two-sided test at 5% finds in 80 of 100
    power = normal.cdf(effect - normal.inv_cdf(1 - threshold / 2))
    last = list(catalog.links)[-1]
    yield Issue(
        rule="multiplicity",
        severity="warning",
        where=_at(catalog, f"link:{last}"),
        message=f"{count:,} links are claimed: a true link that stands alone needs two-sided p < {threshold:.1e} "
        f"({fdr:g} / ({FAMILIES} x {count:,})), so a trial with 80% power at p < 0.05 keeps {power:.0%}.",
        remedy="Claim the links you would act on; drop the rest before they are registered.",
    )


RULES: Final[tuple[Callable[[Catalog], Iterator[Issue]], ...]] = (
    _kpi_as_cpi,
    _outcome,
    _discovery,
    _targets,
    _benchmarks,
    _assignable,
    _links,
    _tautologies,
    _many_goals,
)
