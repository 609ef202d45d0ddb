"""The review of a quarter: numbers and words only, from which every renderer draws."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from cpi_experiments.accountability.charter import Charter, Standing
from cpi_experiments.display import Displayed, Row, percent
from cpi_experiments.evidence.verdict import Evidence, Verdict, VerdictWord
from cpi_experiments.figures.marks import ForestRow, MapEdge
from cpi_experiments.report.amounts import tidy
from cpi_experiments.report.appendix import all_estimates, link_page, running_tests
from cpi_experiments.report.charter_rows import assign_sentence, charter_rows
from cpi_experiments.report.quality_rows import check_rows, dropped_rows
from cpi_experiments.report.scorecard_rows import ScoreTableRow, scorecard_rows
from cpi_experiments.report.sections import (
    CharterRow,
    CheckRow,
    Count,
    DroppedRow,
    EstimateRow,
    FlightRow,
    InFlight,
    Line,
    LinkPage,
    VerdictRow,
)
from cpi_experiments.report.terminal import verdict_table
from cpi_experiments.report.verdict_rows import (
    Judged,
    effect_sentence,
    forest_row,
    gather,
    map_edge,
    past_sentence,
    verdict_row,
    why,
)
from cpi_experiments.units import Direction
from cpi_experiments.wording import review as wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.estimate import Link
    from cpi_experiments.hypotheses.hypothesis import Hypothesis
    from cpi_experiments.measure.scores.rows import Scorecard

__all__ = ["InFlight", "Review", "build_review"]

_MOST_LINES = 4
_WORDS = tuple(VerdictWord)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review(Displayed):
    """A quarter as it is told: everything worded and rounded, plus the raw numbers of the tables.

    Parameters
    ----------
    quarter, company, as_of : str
    title : str
        The quarter in one sentence.
    ledger_head, ledger_rows
        State of the ledger that the review was made from.
    counts, lines
        The four verdicts counted; what is proven, can be assigned, stopped, must be decided.
    map_cpis, map_kpis, edges
        Link map: ids with labels, and the hypotheses between them.
    score_lines, scores, score_notes
        Where every indicator stands.
    verdicts, forest, charter, in_flight
    checks, dropped, alarms
        Can we trust the numbers.
    pages, estimates, family, glossary, method, reproduce
        Appendix.
    """

    quarter: str
    company: str
    as_of: str
    title: str
    ledger_head: str
    ledger_rows: int
    source: str
    counts: tuple[Count, ...]
    lines: tuple[Line, ...]
    map_cpis: tuple[tuple[str, str], ...]
    map_kpis: tuple[tuple[str, str], ...]
    edges: tuple[MapEdge, ...]
    verdicts: tuple[VerdictRow, ...]
    forest_title: str
    forest_axis: str
    forest: tuple[ForestRow, ...]
    score_lines: tuple[str, ...]
    scores: tuple[ScoreTableRow, ...]
    score_notes: tuple[str, ...]
    charter: tuple[CharterRow, ...]
    in_flight: tuple[FlightRow, ...]
    checks_line: str
    checks: tuple[CheckRow, ...]
    dropped_line: str
    dropped: tuple[DroppedRow, ...]
    alarms: tuple[str, ...]
    pages: tuple[LinkPage, ...]
    estimates: tuple[EstimateRow, ...]
    family: tuple[tuple[str, str], ...]
    glossary: tuple[tuple[str, str], ...]
    method: tuple[str, ...]
    reproduce: tuple[tuple[str, str], ...]

    def _title(self) -> str:
        return f"{self.title}."

    def _rows(self) -> list[Row]:
        names = ("link", "verdict", "cause", "grade", "trials", "effect", "effect_shrunken", "ci_low", "ci_high")
        return [{name: getattr(row, name) for name in (*names, "sesoi", "why")} for row in self.verdicts]

    def _shown(self) -> list[Row]:
        return [
            {
                "link": row.label,
                "one customer step": row.step,
                "95% range": row.range_text,
                "evidence": row.evidence,
                "verdict": f"{row.symbol} {row.verdict}",
                "why": row.why,
            }
            for row in self.verdicts
        ]

    def __str__(self) -> str:
        counts = ", ".join(f"{count.count} {count.word}" for count in self.counts)
        head = textwrap.fill(f"{self.company} {self.quarter}: {self.title}.", 80)
        source = textwrap.fill(self.source, 80)
        return f"{head}\n{counts}\n\n{verdict_table(self.verdicts, width=80)}\n\n{source}"


def build_review(  # noqa: PLR0913 - a door: everything a quarter consists of, keyword-only
    *,
    quarter: str,
    catalog: Catalog,
    verdicts: Sequence[Verdict],
    evidence: Sequence[Evidence],
    charter: Charter,
    ledger_head: str,
    ledger_rows: int,
    as_of: str,
    company: str,
    hypotheses: Sequence[Hypothesis] = (),
    losses: Sequence[tuple[str, str, int]] = (),
    alarms: Sequence[str] = (),
    in_flight: Sequence[InFlight] = (),
    scorecard: Scorecard | None = None,
) -> Review:
    """Word and round everything that a quarter has to say.

    Parameters
    ----------
    quarter, as_of, company : str
        Such as ``2026Q4``; the date up to which data are used; the name on the front.
    catalog, verdicts, evidence, charter
        What is claimed, what is believed, on which evidence, and who can own what.
    ledger_head, ledger_rows
        Hash of the last row of the ledger and its number of rows.
    hypotheses : sequence of Hypothesis
        As registered; the appendix prints them. A later one of the same link replaces an earlier one.
    losses : sequence of (indicator, reason, rows)
        Rows set aside while measuring, as a panel lists them.
    alarms : sequence of str
        Sentences that leaders must read.
    in_flight : sequence of InFlight
        Running experiments; no effects.
    scorecard : Scorecard, optional
        Where every indicator stands at the end of the quarter.

    Raises
    ------
    ReportError
        If a link has two verdicts, or is called refuted against its own numbers.
    CatalogError
        If a link, team or CPI is not in the catalog.
    """
    judged = gather(catalog, verdicts, evidence)
    names = {one.verdict.link: " → ".join(one.names) for one in judged}
    rows = tuple(verdict_row(one) for one in judged)
    owners = charter_rows(catalog, charter)
    flights = tuple(_flight_row(flight, names) for flight in in_flight)
    checks, dropped = check_rows(evidence, names), dropped_rows(evidence, losses, names)
    flipped = dict.fromkeys(one.names[1] for one in judged if one.kpi.better is Direction.LOWER)
    cpi_ids, kpi_ids = ({getattr(one, kind).id for one in judged} for kind in ("cpi", "kpi"))
    return Review(
        quarter=tidy(quarter),
        company=tidy(company),
        as_of=tidy(as_of),
        title=_title_of(judged),
        ledger_head=ledger_head,
        ledger_rows=ledger_rows,
        source=_source_line(tidy(quarter), tidy(as_of), ledger_head, ledger_rows),
        counts=tuple(_count(word, judged) for word in _WORDS),
        lines=_lines(judged, owners, flights=in_flight, names=names),
        map_cpis=tuple((key, tidy(cpi.label)) for key, cpi in catalog.cpis.items() if key in cpi_ids),
        map_kpis=tuple((key, tidy(kpi.label)) for key, kpi in catalog.kpis.items() if key in kpi_ids),
        edges=tuple(map_edge(one) for one in judged),
        verdicts=rows,
        forest_title=past_sentence(judged),
        forest_axis=wording.forest_axis(tuple(flipped)),
        forest=tuple(forest_row(one) for one in judged),
        score_lines=tuple(tidy(line) for line in scorecard.headline) if scorecard else (),
        scores=scorecard_rows(scorecard) if scorecard else (),
        score_notes=tuple(tidy(line) for line in scorecard.notes) if scorecard else (),
        charter=owners,
        in_flight=flights,
        checks_line=_checks_line(checks),
        checks=checks,
        dropped_line=wording.dropped_line(rows=sum(row.rows for row in dropped), sources=len(dropped)),
        dropped=dropped,
        alarms=(*_ageing_alarms(judged, names), *(_alarm(alarm) for alarm in alarms)),
        pages=tuple(
            link_page(one, place, catalog=catalog, evidence=evidence, hypotheses=hypotheses)
            for place, one in enumerate(judged, start=1)
        ),
        estimates=all_estimates(catalog, evidence),
        family=running_tests([one.verdict for one in judged]),
        glossary=wording.GLOSSARY,
        method=wording.METHOD,
        reproduce=_reproduce(tidy(quarter), ledger_head, ledger_rows),
    )


def _title_of(judged: Sequence[Judged]) -> str:
    words = [one.verdict.verdict for one in judged]
    confirmed, refuted = words.count(VerdictWord.CONFIRMED), words.count(VerdictWord.REFUTED)
    return wording.review_title(confirmed=confirmed, refuted=refuted, total=len(words))


def _count(word: VerdictWord, judged: Sequence[Judged]) -> Count:
    count = sum(one.verdict.verdict is word for one in judged)
    return Count(word=word.value, symbol=wording.SYMBOLS[word.value], count=count)


def _source_line(quarter: str, as_of: str, head: str, rows: int) -> str:
    state = f"snapshot {head[:8]}, {rows:,} entries" if head else "no ledger"
    return f"Source: evidence ledger {quarter}, {state}; data up to {as_of}; ranges are 95%."


def _checks_line(checks: Sequence[CheckRow]) -> str:
    states = [check.state for check in checks]
    return wording.checks_line(total=len(states), watch=states.count("Watch"), blocked=states.count("Blocked"))


def _ageing_alarms(judged: Sequence[Judged], names: dict[Link, str]) -> tuple[str, ...]:
    verdicts = [one.verdict for one in judged]
    aged = [v for v in verdicts if v.at_risk or v.cause == "faded"]
    return tuple(wording.ageing_alarm(link=names[v.link], faded=v.cause == "faded") for v in aged)


def _alarm(text: str) -> str:
    return wording.readable(tidy(text)) or "An alarm is described in the ledger."


def _flight_row(flight: InFlight, names: dict[Link, str]) -> FlightRow:
    planned = f" of {flight.planned_n:,} ({percent(flight.so_far / flight.planned_n)})" if flight.planned_n else ""
    return FlightRow(
        experiment=tidy(flight.experiment),
        lever=tidy(flight.lever),
        links="; ".join(names.get(link, tidy(str(link))) for link in flight.links),
        ends=tidy(flight.ends),
        progress=f"{flight.so_far:,}{planned}",
        health=wording.readable(tidy(flight.health)) or "see the appendix",
    )


def _lines(
    judged: Sequence[Judged],
    owners: Sequence[CharterRow],
    *,
    flights: Sequence[InFlight],
    names: dict[Link, str],
) -> tuple[Line, ...]:
    by_word = {word: [one for one in judged if one.verdict.verdict is word] for word in _WORDS}
    confirmed = by_word[VerdictWord.CONFIRMED]
    sure = [one for one in confirmed if one.verdict.grade in ("A+", "A")]
    likely = [one for one in confirmed if one not in sure]
    topics = {
        "PROVEN": [effect_sentence(one) for one in sure],
        "LIKELY": [effect_sentence(one) for one in likely],
        "ASSIGN": [assign_sentence(row) for row in owners if row.standing == Standing.ASSIGNABLE.value],
        "STOP": [f"{names[one.verdict.link]}: {why(one)}" for one in by_word[VerdictWord.REFUTED]],
        "DECIDE": _decisions(by_word[VerdictWord.BLOCKED], likely, flights, names),
    }
    return tuple(Line(topic=topic, text=text) for topic, texts in topics.items() for text in _at_most(texts))


def _decisions(
    blocked: Sequence[Judged], likely: Sequence[Judged], flights: Sequence[InFlight], names: dict[Link, str]
) -> list[str]:
    mend = [wording.decide_line(what="mend", link=names[one.verdict.link]) for one in blocked]
    lone = [one for one in likely if len(set(one.verdict.levers)) < 2]
    second = [wording.decide_line(what="second lever", link=names[one.verdict.link]) for one in lone]
    due = [
        wording.decide_line(what="due", link=names[link], when=tidy(flight.ends))
        for flight in flights
        for link in flight.links
        if link in names
    ]
    return [*mend, *second, *due]


def _at_most(texts: Sequence[str]) -> list[str]:
    hidden = len(texts) - _MOST_LINES
    return [*texts[:_MOST_LINES], *([wording.more_line(hidden)] if hidden > 0 else [])]


def _reproduce(quarter: str, head: str, rows: int) -> tuple[tuple[str, str], ...]:
    try:
        release = version("cpi-experiments")
    except PackageNotFoundError:
        release = "not installed as a package"
    return (
        ("Command", f"cpi run {quarter}"),
        ("Version", f"cpi-experiments {release}"),
        ("Ledger head", head or "no ledger"),
        ("Ledger entries", f"{rows:,}"),
    )
