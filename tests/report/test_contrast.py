from __future__ import annotations

import re
from pathlib import Path

import pytest

from cpi_experiments.figures.canvas import EXPERIMENT, INK, PAST, PAST_TEXT, QUIET
from cpi_experiments.figures.marks import LINES
from cpi_experiments.report import html

STYLE = (Path(html.__file__).parent / "templates" / "review.html").read_text(encoding="utf-8")
TOKENS = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6});", STYLE))


def luminance(colour):
    digits = colour.lstrip("#")
    digits = "".join(2 * char for char in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("token", ["ink", "quiet", "link", "confirmed", "refuted", "inconclusive", "blocked"])
def test_text_of_the_page_has_contrast_on_both_grounds(token):
    assert contrast(TOKENS[token], TOKENS["card"]) >= 4.5
    assert contrast(TOKENS[token], TOKENS["ground"]) >= 4.5


@pytest.mark.parametrize("colour", [INK, QUIET, PAST_TEXT, EXPERIMENT, *(colour for _, colour in LINES.values())])
def test_text_of_the_pictures_has_contrast_on_white(colour):
    assert contrast(colour, "#ffffff") >= 4.5


def test_lines_have_contrast_on_white():
    assert contrast(PAST, "#ffffff") >= 3


def test_no_text_is_smaller_than_fourteen_pixels():
    sizes = [float(size) * 16 for size in re.findall(r"font-size: ([\d.]+)rem", STYLE)]  # a rem is 16 px in browsers
    assert len(sizes) > 8
    assert min(sizes) >= 14
