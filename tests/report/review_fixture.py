"""An invented quarter: every verdict, every grade, and names that try to break a report."""

from __future__ import annotations

import math

from cpi_experiments.accountability.charter import Accountability, Charter, Standing
from cpi_experiments.catalog.claimed_link import ClaimedLink, Sign
from cpi_experiments.catalog.entities import (
    CPI,
    KPI,
    Benefit,
    Catalog,
    Discovery,
    DiscoveryMethod,
    Function,
    Lever,
    Measure,
    Team,
    Worth,
)
from cpi_experiments.estimate import Diagnostic, Estimand, Estimate, Link, Status
from cpi_experiments.evidence.verdict import Design, Evidence, Verdict, VerdictWord
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.report.review import InFlight, Review, build_review
from cpi_experiments.units import Direction, Increment

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "handler": '"><img src=x onerror=alert(1)>',
    "formula": "=cmd|' /C calc'!A0",
    "wide formula": "＝1+1",
    "mathtext": r"Save $\bad$ or $5",
    "bidi": "Sales\u202e Ops\u2066",
    "nul": "Fast\x00 Quote\x1b[31m",
    "long": "An outcome with a name that never ends " * 8,
    "one word": "Donaudampfschifffahrtsgesellschaft" * 9,
    "emoji": "Joy 😀🚀",
    "arabic": "سرعة العرض",
    "cjk": "首次解决率 報價速度",
    "braces": "{{ 7 * 7 }} {% raw %}",
}
MEASURE = Measure(table="events", entity="customer_id", at="at", value="value")
LOWER, HIGHER = Direction.LOWER, Direction.HIGHER
_CPIS = (
    ("quote_hours", "Fast Quote", "hour", LOWER, "1 hour", "I get a price while I am still looking"),
    ("ftr", "First Time Resolution", "fraction", HIGHER, "1 pp", "Solved when I first asked"),
    ("options", "Payment Flexibility", "option", HIGHER, "1 option", "I can pay the way that suits me"),
    ("broke", "Nothing Broke", "fraction", HIGHER, "1 pp", "It arrived whole"),
    ("friends", "Know Which Friends Like This", "friend", HIGHER, "1 friend", "I feel part of it"),
    ("value", "Value Delivered", "EUR", HIGHER, "10 EUR", "What I got for my money, shown to me"),
)
_KPIS = (
    ("win_rate", "Win rate", "fraction", HIGHER, 310.0),
    ("churn", "Churn", "fraction", LOWER, None),
    ("revenue", "Revenue per customer", "EUR", HIGHER, None),
    ("hours", "Hours of use", "hour", HIGHER, None),
)


def make_cpi(key, label, unit="hour", better=LOWER, increment="1 hour", outcome="It is fast"):
    return CPI(
        id=key, label=label, outcome=outcome, unit=unit, better=better, increment=Increment.parse(increment),
        measure=MEASURE, benefit=Benefit.FUNCTIONAL, function=Function.SALES,
        discovery=Discovery(method=DiscoveryMethod.CONTEXTUAL_INQUIRY),
    )  # fmt: skip


def make_kpi(key, label, unit="fraction", better=HIGHER, worth=None):
    money = Worth(amount=worth, currency="EUR", per=label) if worth else None
    return KPI(id=key, label=label, unit=unit, better=better, measure=MEASURE, worth=money)


# cpi, kpi, word, cause, grade, effect, low, high, sesoi, levers
_V = VerdictWord
_LINKS = (
    ("quote_hours", "win_rate", _V.CONFIRMED, "", "A", 0.0083, 0.0031, 0.0136, 0.004, 2),
    ("ftr", "churn", _V.CONFIRMED, "", "B", -0.0012, -0.0019, -0.0005, 0.0005, 1),
    ("value", "revenue", _V.CONFIRMED, "", "A+", 14.2, 8.9, 19.5, 3.0, 3),
    ("options", "win_rate", _V.REFUTED, "no material effect", "B", 0.0002, -0.0004, 0.0007, 0.001, 1),
    ("options", "churn", _V.REFUTED, "harmful", "A", 0.0031, 0.0012, 0.005, 0.001, 2),
    ("broke", "churn", _V.INCONCLUSIVE, "underpowered", "B", -0.004, -0.008, 0.0001, 0.002, 1),
    ("broke", "revenue", _V.BLOCKED, "sample ratio", "", 22.0, 11.0, 33.0, 3.0, 1),
    ("friends", "hours", _V.INCONCLUSIVE, "lever not shown to move the CPI", "", 0.4, -math.inf, math.inf, 0.1, 1),
    ("friends", "revenue", _V.INCONCLUSIVE, "only past data", "D", 2.1, 1.4, 2.8, 1.0, 0),
    ("quote_hours", "churn", _V.INCONCLUSIVE, "no evidence", "", math.nan, math.nan, math.nan, 0.001, 0),
    ("ftr", "revenue", _V.INCONCLUSIVE, "real but small so far", "B", 0.8, 0.2, 1.4, 1.0, 1),
    ("value", "churn", _V.REFUTED, "no material effect", "A", -0.0001, -0.0006, 0.0004, 0.001, 2),
)
_REASONS = {
    "underpowered": ("We cannot tell yet: -0.004 per step (-0.008 to +0.0001).", "The LATE is not significant."),
    "lever not shown to move the CPI": ("The lever hardly moved the CPI.",),
    "sample ratio": ("No verdict: 53.1% of 18,204 customers got arm auto, planned 50%. Repair it and analyse again.",),
}


def make_verdict(cpi, kpi, word, cause, grade, effect, low, high, sesoi, levers):  # noqa: PLR0917 - one row of a table
    return Verdict(
        link=Link(cpi_id=cpi, kpi_id=kpi), verdict=word, cause=cause, grade=grade, effect=effect,
        effect_shrunken=effect * 0.9, ci_low=low, ci_high=high, p_value=0.004, sesoi=sesoi,
        breakdown=0.31 if levers > 1 else math.nan, reasons=_REASONS.get(cause, ()),
        experiments=tuple(f"E-{cpi}-{at}" for at in range(levers)), levers=tuple(f"lever {at}" for at in range(levers)),
        expected_sign=-1 if kpi == "churn" else 1,
    )  # fmt: skip


def make_estimate(value, low, high, *, estimand=Estimand.LATE, checks=(), status=Status.OK):
    return Estimate(
        cause="cpi", outcome="kpi", estimand=estimand, value=value, std_error=(high - low) / 4, ci_low=low,
        ci_high=high, p_value=0.01, unit="per step", n_obs=18204, n_clusters=312, method="ratio of effects, clustered",
        dropped=(("no outcome", 180), ("no cluster", 32)), diagnostics=checks, status=status,
    )  # fmt: skip


def _evidence(verdict, seq):
    blocked = verdict.verdict is VerdictWord.BLOCKED
    ratio = Diagnostic(
        name="sample ratio", null="Arms hold as many customers as planned.", statistic=70.5 if blocked else 0.8,
        p_value=2e-16 if blocked else 0.4, passed=not blocked, blocks=blocked,
        advice="Look at the logging of arm manual." if blocked else "",
    )  # fmt: skip
    stage = Diagnostic(name="first stage", null="The lever moves the CPI.", statistic=664.0)
    digest = f"{seq:02d}abcdef0123456789"
    effect, low, high = verdict.effect, verdict.ci_low, verdict.ci_high
    trials = [
        Evidence(
            link=verdict.link, design=Design.RANDOMIZED, estimate=make_estimate(effect, low, high, checks=(ratio, stage)),
            hypothesis_digest=digest, experiment=name, lever="auto_quote", seq=seq,
            blocked="sample ratio" if blocked else "",
        )
        for name in verdict.experiments
    ]  # fmt: skip
    if math.isnan(effect):
        return trials
    late = Diagnostic(
        name="timing", null="The CPI is measured before the KPI.", passed=seq != 2, advice="Look at lags."
    )
    past = make_estimate(effect * 1.6, effect * 1.6 - 0.4 * abs(effect), effect * 1.6 + 0.4 * abs(effect),
                         estimand=Estimand.ASSOCIATION, checks=(late,))  # fmt: skip
    return [*trials, Evidence(link=verdict.link, design=Design.OBSERVATIONAL, estimate=past, seq=seq + 100)]


def sample_catalog():
    return Catalog(
        cpis={row[0]: make_cpi(*row) for row in _CPIS},
        kpis={row[0]: make_kpi(*row) for row in _KPIS},
        teams={"sales_ops": Team(id="sales_ops", label="Sales Operations", function=Function.SALES),
               "service": Team(id="service", label="Customer Service", function=Function.CUSTOMER_SERVICE)},
        levers={"auto_quote": Lever(id="auto_quote", label="Auto-quote engine", team="sales_ops", moves={"quote_hours": LOWER})},
        links={
            Link(cpi_id=row[0], kpi_id=row[1]): ClaimedLink(
                cpi=row[0], kpi=row[1], because="Buyers stop looking once they have a price that they like",
                expect=Sign.NEGATIVE if row[1] == "churn" else Sign.POSITIVE, sesoi="0.1 pp" if row[1] in ("win_rate", "churn") else "1 EUR",
            )
            for row in _LINKS
        },
    )  # fmt: skip


def sample_charter():
    link = Link(cpi_id="quote_hours", kpi_id="win_rate")
    return Charter(
        rows=(
            Accountability(team="service", cpi="ftr", standing=Standing.NOT_YET, baseline=0.712, target=0.75,
                           reasons=("Grade B: one lever only; a second lever is needed.",)),
            Accountability(team="sales_ops", cpi="quote_hours", standing=Standing.ASSIGNABLE, link=link, baseline=26.0,
                           target=20.0, steps=6.0, gain_p10=0.021, gain_p50=0.045, gain_p90=0.071, horizon="2027-03-31",
                           reasons=("Its own lever moved the CPI by 3.3 h; the link is confirmed.",)),
            Accountability(team="", cpi="friends", standing=Standing.NO_LEVER, reasons=("No lever moves it.",)),
        )
    )  # fmt: skip


def sample_verdicts():
    return tuple(make_verdict(*row) for row in _LINKS)


def sample_review(**changes) -> Review:
    verdicts = changes.pop("verdicts", sample_verdicts())
    flight = InFlight(experiment="E-0034", lever="Stronger boxes", links=(Link(cpi_id="broke", kpi_id="revenue"),),
                      ends="2027-02-12", planned_n=20000, so_far=12400, health="Sample ratio ok.")  # fmt: skip
    claim = Hypothesis(link=Link(cpi_id="quote_hours", kpi_id="win_rate"), expected_sign=1, sesoi=0.004,
                       adjustment=("channel", "region"), registered_at="2026-07-01T08:00:00Z", digest="9f31c2aa" * 8)  # fmt: skip
    arguments = {
        "quarter": "2026Q4", "catalog": sample_catalog(), "verdicts": verdicts, "charter": sample_charter(),
        "evidence": tuple(item for seq, verdict in enumerate(verdicts) for item in _evidence(verdict, seq)),
        "ledger_head": "9f31c2aa" * 8, "ledger_rows": 218, "as_of": "2026-12-31", "company": "Insurer and More",
        "hypotheses": (claim,), "losses": (("quote_hours", "of unknown customers", 3108), ("quote_hours", "nothing", 0)), "in_flight": (flight,),
        "alarms": ("Quote errors rose in October while quotes became faster.",),
    }  # fmt: skip
    return build_review(**{**arguments, **changes})


def named_review(cpi_label: str, kpi_label: str = "Win rate", *, links: int = 1) -> Review:
    """A quarter of ``links`` links whose names are given."""
    cpis = {f"c{at}": make_cpi(f"c{at}", cpi_label) for at in range(links)}
    kpis = {f"k{at}": make_kpi(f"k{at}", kpi_label) for at in range(min(links, 5))}
    words = (("confirmed", ""), ("inconclusive", "underpowered"), ("blocked", "sample ratio"))
    verdicts = []
    for at in range(links):
        word, cause = words[at % 3]
        verdicts.append(
            make_verdict(f"c{at}", f"k{at % 5}", VerdictWord(word), cause, "A", 0.0083, 0.0031, 0.0136, 0.004, 2)
        )
    team = Team(id="t", label=cpi_label, function=Function.SALES)
    rows = (Accountability(team="t", cpi="c0", standing=Standing.NOT_YET, reasons=(cpi_label,)),) if links else ()
    return sample_review(
        catalog=Catalog(cpis=cpis, kpis=kpis, teams={"t": team}), verdicts=tuple(verdicts), charter=Charter(rows=rows),
        company=cpi_label, hypotheses=(), in_flight=(), losses=((cpi_label, cpi_label, 3),), alarms=(cpi_label,),
    )  # fmt: skip
