from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
from pptx import Presentation
from pptx.util import Pt

from cpi_experiments import whole_files
from cpi_experiments.display import clean_text
from cpi_experiments.errors import CpiWarning, ReportError
from cpi_experiments.report.folding import Grid, line_count, shown
from cpi_experiments.report.pptx import write_pptx

TITLES = ("What customers value", "What was claimed", "Verdicts", "Past data beside", "Who can own what",
          "Experiments in flight", "Can we trust the numbers?", "Appendix: reasons")  # fmt: skip


def read_deck(review, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CpiWarning)  # fonts differ from machine to machine
        return Presentation(str(write_pptx(review, folder / "review.pptx")))


def tables(deck, title):
    """Cells of every table below slides of this title, without their heads."""
    rows = []
    for slide in deck.slides:
        if slide.shapes.title.text_frame.text.startswith(title):
            for shape in slide.shapes:
                if shape.has_table:
                    rows += [[cell.text_frame.text for cell in row.cells] for row in list(shape.table.rows)[1:]]
    return rows


def said(deck):
    texts = [shape.text_frame.text for slide in deck.slides for shape in slide.shapes if shape.has_text_frame]
    cells = [cell.text_frame.text for slide in deck.slides for shape in slide.shapes if shape.has_table for cell in shape.table.iter_cells()]  # fmt: skip
    return texts + cells


def check_laws(deck, review):
    """What holds on every slide of every deck."""
    width, height = deck.slide_width, deck.slide_height
    assert (round(width / 914400, 3), height / 914400) == (13.333, 7.5)
    titles = []
    for slide in deck.slides:
        shapes = list(slide.shapes)
        titles.append(shapes[0].text_frame.text)
        assert shapes[0] == slide.shapes.title
        assert 0 < len(titles[-1]) <= 110
        texts = [shape.text_frame.text for shape in shapes if shape.has_text_frame]
        assert texts[-1] == shown(review.source) or shown(review.source) in texts
        for shape in shapes:
            assert 0 <= shape.left < shape.left + shape.width <= width
            assert 0 <= shape.top < shape.top + shape.height <= height
            check_shape(shape)
    assert len(set(titles)) == len(titles)


def check_shape(shape):
    if shape.has_table or not shape.has_text_frame:
        alt = shape._element.xpath(".//p:cNvPr")[0].get("descr")
        assert len(alt) > 20
        assert ".png" not in alt
    frames = [cell.text_frame for cell in shape.table.iter_cells()] if shape.has_table else []
    frames += [shape.text_frame] if shape.has_text_frame else []
    for frame in frames:
        assert frame.word_wrap or shape.has_table
        sizes = [run.font.size for paragraph in frame.paragraphs for run in paragraph.runs]
        assert min(sizes, default=Pt(12)) >= (Pt(12) if shape.has_table else Pt(10))


def test_every_slide_keeps_the_laws_of_a_deck(review, tmp_path):
    deck = read_deck(review, tmp_path)
    check_laws(deck, review)
    titles = [slide.shapes.title.text_frame.text for slide in deck.slides]
    places = [next(at for at, title in enumerate(titles) if title.startswith(start)) for start in TITLES]
    assert places == sorted(places)
    assert titles[1] == review.title


def test_every_number_of_the_tables_equals_the_model(review, tmp_path):
    deck = read_deck(review, tmp_path)
    verdicts = tables(deck, "Verdicts")
    assert [row[1:] for row in verdicts] == [
        [shown(text) for text in (row.step, row.range_text, row.evidence, f"{row.symbol} {row.verdict}", row.why)]
        for row in review.verdicts
    ]
    assert [row[0] for row in verdicts] == [f"{row.cpi} → {row.kpi}" for row in review.verdicts]
    assert tables(deck, "Who can own what") == [
        [f"{row.team}: {row.cpi}", f"{row.symbol} {row.standing}",
         *(shown(text) for text in (row.today, row.goal, row.due, row.worth, row.why))]
        for row in review.charter
    ]  # fmt: skip
    assert [row[1] for row in tables(deck, review.title)] == [
        shown(text) for text in (*review.alarms, *(line.text for line in review.lines))
    ]
    cards = [f"{count.count}\n{count.symbol} {count.word}" for count in review.counts]
    assert set(cards) <= set(said(deck))


def test_numbers_carry_a_true_minus_and_are_never_nan(review, tmp_path):
    words = " ".join(said(read_deck(review, tmp_path)))
    assert "−0.190 to −0.050 points" in words
    assert re.findall(r"\b(nan|inf|None)\b|(?<![\w-])-\d", words) == []


def test_notes_hold_the_ids_of_the_links_of_their_slide(review, tmp_path):
    deck = read_deck(review, tmp_path)
    notes = {}
    for slide in deck.slides:
        start = slide.shapes.title.text_frame.text.split(" (continued")[0]
        notes.setdefault(start, []).extend(slide.notes_slide.notes_text_frame.text.split("\n"))
    ids = [row.link for row in review.verdicts]
    assert notes["Verdicts"] == ids
    assert notes["Past data beside experiments"] == ids
    assert sorted(notes["What was claimed, and what holds"]) == sorted(ids)
    assert notes["Appendix: reasons"] == [f"{page.anchor} {key}" for page, key in zip(review.pages, ids, strict=True)]


def test_only_checks_that_are_not_ok_are_shown_the_worst_first(review, tmp_path):
    bad = [row for row in review.checks if row.state != "OK"]
    many = dataclasses.replace(review, checks=tuple(bad[:1] * 20) + review.checks)
    few, cutoff = (tables(read_deck(each, tmp_path), "Can we trust") for each in (review, many))
    assert [row[2] for row in few] == [f"{row.symbol} {row.state}" for row in bad]
    assert len(cutoff) == 12
    assert "10 more that are not OK" in " ".join(said(read_deck(many, tmp_path)))


@pytest.mark.parametrize("links", [0, 1, 60])
def test_any_number_of_links_gives_a_whole_deck(quarter, links, tmp_path):
    review = quarter.named_review("Fast Quote", links=links)
    deck = read_deck(review, tmp_path)
    check_laws(deck, review)
    assert [row[1] for row in tables(deck, "Verdicts")] == [shown(row.step) for row in review.verdicts]
    assert ("No link has a verdict yet." in said(deck)) == (links == 0)
    assert any("continued 2/8" in text for text in said(deck)) == (links == 60)


def test_any_name_survives_as_text(quarter, hostile, tmp_path):  # A16
    review = quarter.named_review(hostile, hostile)
    deck = read_deck(review, tmp_path)
    check_laws(deck, review)
    name = shown(" ".join(clean_text(hostile).split()))[:20].rstrip()
    assert tables(deck, "Verdicts")[0][0].startswith(name)
    assert tables(deck, "Who can own what")[0][0].startswith(name)


def test_an_empty_quarter_says_so_on_every_slide(quarter, tmp_path):
    review = quarter.sample_review(verdicts=(), in_flight=(), losses=(), alarms=())
    bare = dataclasses.replace(review, charter=(), checks=(), lines=())
    texts = " ".join(said(read_deck(bare, tmp_path)))
    for sentence in ("Nothing to assign, stop or decide.", "No charter has been drawn up yet.", "No experiment is running.",
                     "No row was set aside.", "No link has been judged.", "No link has a verdict yet."):  # fmt: skip
        assert sentence in texts


def test_the_same_review_gives_the_same_bytes(quarter, tmp_path):
    first = write_pptx(quarter.sample_review(), tmp_path / "a.pptx")
    second = write_pptx(quarter.sample_review(), tmp_path / "new" / "b.pptx")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as entries:
        assert {entry.date_time for entry in entries.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert entries.namelist() == sorted(entries.namelist())


def test_a_failed_write_leaves_the_old_deck_and_no_draft(review, tmp_path, monkeypatch):
    target = tmp_path / "review.pptx"
    target.write_text("old")

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_files.os, "fsync", fail)
    with pytest.raises(ReportError, match="No space left on device"):
        write_pptx(review, target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_without_python_pptx_the_extra_is_named(tmp_path):
    script = (
        "import sys; sys.modules['pptx'] = None\n"
        "from cpi_experiments.report.pptx import write_pptx\n"
        f"write_pptx(None, {str(tmp_path / 'a.pptx')!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ReportError" in done.stderr
    assert "PowerPoint needs python-pptx.\n  pip install 'cpi-experiments[report]'" in done.stderr
    assert not Path(tmp_path / "a.pptx").exists()


@pytest.mark.parametrize("lines", [1, 3, 9])
def test_a_cell_never_has_more_lines_than_it_may(lines):
    grid = Grid(name="t", heads=("a",), widths=(2.0,), rows=(("Wide words in a narrow cell " * 30,),), most_lines=lines)
    [cell] = grid.fitted(grid.rows[0])
    assert line_count(cell, 72 * 1.86) <= lines
    assert cell.endswith("…")
