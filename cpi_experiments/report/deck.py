"""The story of a review, slide by slide: the words and numbers of the page, and no others."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from cpi_experiments.figures.canvas import to_png
from cpi_experiments.figures.forest import forest
from cpi_experiments.figures.link_map import link_map
from cpi_experiments.report.folding import Grid, cut, shorten
from cpi_experiments.report.slides import (
    BOTTOM,
    COLOURS,
    INK,
    MARGIN,
    MOST_TITLE,
    QUIET,
    TOP,
    WIDTH,
    Box,
    Style,
    add_slide,
    deck_bytes,
    new_deck,
    put_card,
    put_picture,
    put_table,
    put_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    from pptx.presentation import Presentation as Deck
    from pptx.slide import Slide

    from cpi_experiments.figures.marks import MapEdge
    from cpi_experiments.report.review import Review

    Item = TypeVar("Item")

_MOST_ROWS = 8
_MOST_CHECKS = 12
_MOST_EDGES = 7  # of one map, so that its letters stay readable on a slide
_MOST_NAME = 60
_MOST_ALT = 1500
_BELOW_LEAD = TOP + 0.6
_BELOW_CARDS = TOP + 1.25


def build_deck(review: Review) -> bytes:
    """Return the deck of a review as the bytes of its file."""
    title = f"What customers value that moves the business: {review.quarter}"
    deck = new_deck(f"{shorten(review.company, _MOST_NAME)}. {title}")
    _add_front(deck, review, title)
    _add_short(deck, review)
    _add_maps(deck, review)
    _add_verdicts(deck, review)
    _add_forests(deck, review)
    _add_charter(deck, review)
    _add_flights(deck, review)
    _add_checks(deck, review)
    _add_reasons(deck, review)
    return deck_bytes(deck)


# -- words -----------------------------------------------------------------------------------------------------------


def _add_front(deck: Deck, review: Review, title: str) -> None:
    slide = add_slide(deck, title, source=review.source, notes=_ids(review), top=2.6)
    put_text(slide, shorten(review.company, _MOST_NAME), Box(top=3.6, height=0.8), style=Style(size=20))
    put_text(slide, f"Data up to {review.as_of}", Box(top=4.4, height=0.4), style=Style(colour=QUIET))


def _add_short(deck: Deck, review: Review) -> None:
    said = [("!", alarm) for alarm in review.alarms] + [(line.topic, line.text) for line in review.lines]
    topics = [None, *(topic for topic, _ in said)]
    grid = Grid(
        name="What is proven, can be assigned, is stopped, must be decided",
        heads=("Topic", "In short"),
        widths=_widths(1.3, 10.8),
        rows=tuple(
            ("" if now == before else str(now), text)
            for (before, now), (_, text) in zip(pairwise(topics), said, strict=True)
        ),
    )
    parts = list(cut(grid, BOTTOM - _BELOW_CARDS, most_rows=_MOST_CHECKS))
    for place, part in enumerate(parts or [None]):
        slide = add_slide(deck, _continued(review.title, place, len(parts)), source=review.source, notes=_ids(review))
        _put_counts(slide, review)
        if part is None:
            put_text(slide, "Nothing to assign, stop or decide.", Box(top=_BELOW_CARDS, height=0.4), style=Style())
        else:
            put_table(slide, part, top=_BELOW_CARDS)


def _put_counts(slide: Slide, review: Review) -> None:
    wide = (WIDTH - 2 * MARGIN + 0.2) / len(review.counts)
    for place, count in enumerate(review.counts):
        box = Box(left=MARGIN + place * wide, top=TOP + 0.05, width=wide - 0.2, height=1.0)
        style = Style(size=28, colour=COLOURS.get(count.word, INK), bold=True, centred=True)
        put_card(slide, f"{count.count}\n{count.symbol} {count.word}", box, style=style)


def _ids(review: Review) -> list[str]:
    return [row.link for row in review.verdicts]


def _continued(title: str, place: int, total: int) -> str:
    """Say on which of several slides a title stands."""
    tail = f" (continued {place + 1}/{total})" if place else ""
    return shorten(title, MOST_TITLE - len(tail)) + tail


def _widths(*shares: float) -> tuple[float, ...]:
    """Spread columns over the width of the body."""
    return tuple((WIDTH - 2 * MARGIN) * share / sum(shares) for share in shares)


# -- pictures --------------------------------------------------------------------------------------------------------


def _add_maps(deck: Deck, review: Review) -> None:
    title, lead = (
        "What was claimed, and what holds",
        "Each line is one claim, written down before the data were looked at.",
    )
    cpis, kpis = dict(review.map_cpis), dict(review.map_kpis)
    groups = _map_groups(review)
    for place, edges in enumerate(groups):
        notes = [f"{edge.cpi} -> {edge.kpi}" for edge in edges]
        slide = add_slide(deck, _continued(title, place, len(groups)), lead=lead, source=review.source, notes=notes)
        here = {end for edge in edges for end in (edge.cpi, edge.kpi)}
        left, right = ({key: name for key, name in names.items() if key in here} for names in (cpis, kpis))
        claims = "; ".join(f"{cpis[edge.cpi]} → {kpis[edge.kpi]}: {edge.verdict}" for edge in edges)
        alt = shorten(f"Link map. {claims or 'No link to show'}.", _MOST_ALT)
        put_picture(slide, to_png(link_map(left, right, edges)), alt, box=_picture_box())


def _map_groups(review: Review) -> list[list[MapEdge]]:
    """Put links of one KPI together, and as many KPIs on one map as stay readable."""
    groups: list[list[MapEdge]] = [[]]
    for kpi, _ in review.map_kpis:
        for part in _even([edge for edge in review.edges if edge.kpi == kpi], _MOST_EDGES):
            if groups[-1] and len(groups[-1]) + len(part) > _MOST_EDGES:
                groups.append([])
            groups[-1] += part
    return groups


def _add_forests(deck: Deck, review: Review) -> None:
    lead = "Where an experiment and past data speak about the same link, do they agree?"
    parts = _even(list(zip(review.forest, _ids(review), strict=True)), _MOST_ROWS) or [[]]
    for place, part in enumerate(parts):
        title = _continued("Past data beside experiments", place, len(parts))
        slide = add_slide(deck, title, lead=lead, source=review.source, notes=[key for _, key in part])
        figure = forest([row for row, _ in part], title=review.forest_title, axis_label=review.forest_axis)
        names = "; ".join(row.label for row, _ in part) or "No link to show"
        alt = f"{review.forest_title}. {names}. The table of verdicts holds the numbers."
        put_picture(slide, to_png(figure), shorten(alt, _MOST_ALT), box=_picture_box())


def _picture_box() -> Box:
    return Box(top=_BELOW_LEAD, height=BOTTOM - _BELOW_LEAD)


def _even(items: Sequence[Item], most: int) -> list[list[Item]]:
    """Cut into parts of at most ``most``, as equal as can be."""
    count = -(-len(items) // most)
    ends = [len(items) * at // count for at in range(count + 1)] if count else [0]
    return [list(items[first:end]) for first, end in pairwise(ends)]


# -- tables ----------------------------------------------------------------------------------------------------------


def _add_tables(deck: Deck, review: Review, title: str, *, lead: str, grid: Grid, most_rows: int = _MOST_ROWS) -> None:
    """Put a table on as many slides as it needs; without rows only the lead stands there."""
    parts = list(cut(grid, BOTTOM - _BELOW_LEAD, most_rows=most_rows))
    for place, part in enumerate(parts or [grid]):
        slide = add_slide(
            deck, _continued(title, place, len(parts)), lead=lead, source=review.source,
            notes=part.notes or _ids(review),
        )  # fmt: skip
        if part.rows:
            put_table(slide, part, top=_BELOW_LEAD)


def _add_verdicts(deck: Deck, review: Review) -> None:
    rows = review.verdicts
    grid = Grid(
        name="Verdict of each link, with its effect per customer step, its range and its evidence",
        heads=("Link", "One customer step", "95% range", "Evidence", "Verdict", "Why"),
        widths=_widths(2.3, 2.2, 1.6, 1.35, 1.5, 3.6),
        rows=tuple(
            (_both(row.cpi, row.kpi), row.step, row.range_text, row.evidence, f"{row.symbol} {row.verdict}", row.why)
            for row in rows
        ),
        notes=tuple(_ids(review)),
    )
    lead = "What one step that customers value does to the company’s result. The grade rates the evidence, A+ is best."
    _add_tables(deck, review, "Verdicts", lead=lead if rows else "No link has a verdict yet.", grid=grid)


def _add_charter(deck: Deck, review: Review) -> None:
    grid = Grid(
        name="Which team can own which outcome, with its target and its worth",
        heads=("Team and outcome", "Standing", "Today", "Target", "By", "Worth", "Why"),
        widths=_widths(2.6, 1.4, 0.9, 0.9, 1.2, 2.3, 3.0),
        rows=tuple(
            (
                f"{shorten(row.team, _MOST_NAME)}: {shorten(row.cpi, _MOST_NAME)}", f"{row.symbol} {row.standing}",
                row.today, row.goal, row.due, row.worth, row.why,
            )
            for row in review.charter
        ),
        notes=tuple(row.link or "no link" for row in review.charter),
    )  # fmt: skip
    lead = "A team can be accountable for an outcome that it can move and that is known to matter."
    lead = lead if review.charter else "No charter has been drawn up yet."
    _add_tables(deck, review, "Who can own what", lead=lead, grid=grid)


def _add_flights(deck: Deck, review: Review) -> None:
    grid = Grid(
        name="Experiments that are running, with their planned end and their health",
        heads=("Experiment", "Lever", "Tests", "Ends", "Enrolled", "Health"),
        widths=_widths(1.8, 2.2, 3.4, 1.2, 1.8, 2.2),
        rows=tuple(
            (row.experiment, row.lever, row.links, row.ends, row.progress, row.health) for row in review.in_flight
        ),
    )
    lead = "Effects stay hidden until the planned end: looking early would spoil the answer."
    lead = lead if review.in_flight else "No experiment is running."
    _add_tables(deck, review, "Experiments in flight", lead=lead, grid=grid)


def _add_checks(deck: Deck, review: Review) -> None:
    """Show what is not OK, the worst first; the rest is in the page."""
    found = [row for row in review.checks if row.state != "OK"]
    grid = Grid(
        name="Checks that are not OK",
        heads=("Where", "Check", "State", "Note"),
        widths=_widths(3.4, 2.2, 1.3, 5.2),
        rows=tuple((row.where, row.name, f"{row.symbol} {row.state}", row.note) for row in found[:_MOST_CHECKS]),
    )
    more = f" The page lists {len(found) - _MOST_CHECKS:,} more that are not OK." if len(found) > _MOST_CHECKS else ""
    lead = f"{review.checks_line}{more} {review.dropped_line}"
    _add_tables(deck, review, "Can we trust the numbers?", lead=lead, grid=grid, most_rows=_MOST_CHECKS)


def _add_reasons(deck: Deck, review: Review) -> None:
    grid = Grid(
        name="Reasons of each verdict",
        heads=("Link", "Verdict", "Reasons"),
        widths=_widths(2.8, 2.4, 6.9),
        rows=tuple(
            (_both(page.cpi, page.kpi), page.verdict, "\n".join(page.reasons) or row.why)
            for page, row in zip(review.pages, review.verdicts, strict=True)
        ),
        notes=tuple(f"{page.anchor} {key}" for page, key in zip(review.pages, _ids(review), strict=True)),
        most_lines=18,
    )
    lead = "For those who check: what each verdict rests on." if review.pages else "No link has been judged."
    _add_tables(deck, review, "Appendix: reasons", lead=lead, grid=grid)


def _both(cpi: str, kpi: str) -> str:
    return f"{shorten(cpi, _MOST_NAME)} → {shorten(kpi, _MOST_NAME)}"
