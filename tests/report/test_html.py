from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from cpi_experiments import whole_files
from cpi_experiments.display import clean_text
from cpi_experiments.errors import ReportError
from cpi_experiments.report.html import page, write_html

VOID = {"meta", "img", "br", "link", "input", "hr"}
FETCHED = ("src", "href", "xlink:href", "srcset", "data", "action", "poster")


class Page(HTMLParser):
    """Everything a browser would see: tags, attributes, text, cells of tables."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.cells, self.ids = {}, []
        self._cell = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = found.get("id")
        if tag == "td":
            self._cell = []
            self.cells.setdefault(self.section, []).append((found.get("data-l"), self._cell))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "td":
            self._cell = None

    def handle_data(self, data):
        self.text.append(data)
        if self._cell is not None:
            self._cell.append(data)

    def column(self, section, name):
        return ["".join(parts).strip() for label, parts in self.cells.get(section, []) if label == name]


def check_harmless(text):
    seen = Page(text)
    assert seen.open == []
    assert not {"script", "img", "iframe", "object", "link", "form", "base"} & set(seen.tags)
    assert [name for _, name, _ in seen.attributes if name.startswith("on")] == []
    assert [value for _, name, value in seen.attributes if name in FETCHED and not value.startswith("#")] == []
    fetched = re.findall(r"url\(([^)]*)\)", text)
    assert [target for target in fetched if not target.startswith("#")] == []
    assert "@import" not in text
    return seen


def words_of(text):
    return " ".join(text.split())


def test_page_needs_nothing_else_and_runs_nothing(review):
    seen = check_harmless(page(review))
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in [value for _, _, value in seen.attributes]
    assert len(seen.ids) == len(set(seen.ids))


def test_page_has_language_title_one_heading_main_and_skip_link(review):
    seen = Page(page(review))
    assert (seen.tags.count("h1"), seen.tags.count("main"), seen.tags.count("title")) == (1, 1, 1)
    assert ("html", "lang", "en") in seen.attributes
    assert ("a", "href", "#verdicts") in seen.attributes
    assert {"summary", "map", "verdicts", "forest", "charter", "flight", "trust", "appendix"} <= set(seen.ids)


def test_no_cell_is_without_a_label_for_phones(review):
    seen = Page(page(review))
    assert sum(tag == "td" for tag in seen.tags) == sum(
        tag == "td" and name == "data-l" for tag, name, _ in seen.attributes
    )


def test_every_number_of_the_verdict_table_equals_the_model(review):
    seen = Page(page(review))
    back = str.maketrans("−", "-")
    for name, field in (("One step", "step"), ("95% range", "range_text"), ("Evidence", "evidence"), ("Why", "why")):
        shown = [text.translate(back) for text in seen.column("verdicts", name)]
        assert shown == [getattr(row, field) for row in review.verdicts]
    words = [text.replace("︎", "").split() for text in seen.column("verdicts", "Verdict")]
    assert words == [[row.symbol, row.verdict] for row in review.verdicts]


def test_numbers_carry_a_true_minus(review):
    ranges = Page(page(review)).column("verdicts", "95% range")
    assert "−0.190 to −0.050 points" in ranges
    assert not any("-" in text for text in ranges)


def test_page_never_says_nan_or_inf(review):
    said = " ".join(Page(page(review)).text)
    assert re.findall(r"\b(nan|inf|None)\b", said) == []


@pytest.mark.parametrize("links", [0, 1, 60])
def test_any_number_of_links_gives_a_whole_page(quarter, links):
    seen = check_harmless(page(quarter.named_review("Fast Quote", links=links)))
    assert len(seen.column("verdicts", "One step")) == links
    assert ("No link has a verdict yet." in " ".join(seen.text)) == (links == 0)


def test_any_name_survives_as_text_and_does_nothing(quarter, hostile):  # A16
    seen = check_harmless(page(quarter.named_review(hostile, hostile)))
    name = words_of(clean_text(hostile))
    assert name in words_of(" ".join(seen.column("verdicts", "Link")).replace("→", " "))
    assert any(name in words_of(text) for text in seen.column("charter", "Team"))
    assert any(name in words_of(text) for text in seen.text)


def test_the_same_review_gives_the_same_bytes(quarter, tmp_path):
    first = write_html(quarter.sample_review(), tmp_path / "a.html").read_bytes()
    second = write_html(quarter.sample_review(), tmp_path / "new" / "b.html").read_bytes()
    assert first == second
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_failed_write_leaves_the_old_page_and_no_draft(review, tmp_path, monkeypatch):  # G04
    target = tmp_path / "review.html"
    target.write_text("old")

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_files.os, "fsync", fail)
    with pytest.raises(ReportError, match="No space left on device"):
        write_html(review, target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_a_file_is_refused(review, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot be written"):
        write_html(review, tmp_path / "file" / "review.html")


def test_an_empty_quarter_says_so_in_every_section(quarter):
    review = quarter.sample_review(verdicts=(), in_flight=(), losses=(), alarms=())
    bare = dataclasses.replace(review, charter=(), checks=(), lines=())
    said = " ".join(Page(page(bare)).text)
    for sentence in ("Nothing to assign, stop or decide.", "No charter has been drawn up yet.", "No experiment is running.",
                     "No row was set aside.", "No link has been judged.", "No link to show."):  # fmt: skip
        assert sentence in said
