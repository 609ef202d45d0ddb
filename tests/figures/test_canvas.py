from __future__ import annotations

import warnings
import xml.etree.ElementTree as ET

import pytest

from cpi_experiments.errors import CpiWarning
from cpi_experiments.figures import canvas
from cpi_experiments.figures.canvas import drawable, fold, new_figure, paper, save_png, to_png, to_svg, write

NAMES = [
    "<script>",
    r"$\bad$",
    "Save $5 or $10",
    "a\x00b",
    "x\ud800y",
    "\u202eabc",
    "😀",
    "سرعة",
    "解決率",
    "n" * 300,
    "",
]


def lettered(text):
    figure = new_figure(3, 1)
    write(paper(figure), (0.1, 0.5), drawable(text))
    return figure


@pytest.mark.parametrize("name", NAMES)
def test_any_name_gives_valid_svg_that_holds_it_as_text(name):
    svg = to_svg(lettered(name))
    said = "".join(ET.fromstring(svg).itertext())  # noqa: S314 - our own output
    assert drawable(name) in said
    assert svg == to_svg(lettered(name))


def test_svg_carries_no_date_and_no_random_ids():
    svg = to_svg(lettered("a"))
    assert "date" not in svg.lower()
    assert svg.startswith("<svg")


def test_png_is_the_same_bytes_twice(tmp_path):
    first = to_png(lettered("Fast Quote"))
    assert first == to_png(lettered("Fast Quote"))
    assert save_png(lettered("Fast Quote"), tmp_path / "a.png").read_bytes() == first
    assert first.startswith(b"\x89PNG")


def test_png_without_a_font_for_a_name_warns_in_our_words(monkeypatch):
    monkeypatch.setattr(canvas, "font_families", lambda: [canvas.FONT])
    with pytest.warns(CpiWarning, match="2 characters of the labels have no font"):
        to_png(lettered("解決"))


def test_other_warnings_of_a_drawing_pass_through(monkeypatch):
    figure = lettered("a")
    plain = figure.savefig

    def noisy(*args, **kwargs):
        warnings.warn("something else", UserWarning, stacklevel=1)
        plain(*args, **kwargs)

    monkeypatch.setattr(figure, "savefig", noisy)
    with pytest.warns(UserWarning, match="something else"):
        to_svg(figure)


def test_fold_keeps_to_its_lines_and_says_that_it_shortened():
    folded = fold("word " * 50, 20, lines=2).split("\n")
    assert len(folded) == 2
    assert all(len(line) <= 20 for line in folded)
    assert folded[-1].endswith("…")
    assert fold("", 20) == ""
