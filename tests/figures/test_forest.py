from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest
from matplotlib.patches import Rectangle

from cpi_experiments.figures.canvas import EXPERIMENT, PAST, to_svg
from cpi_experiments.figures.forest import ForestRow, forest

BOTH = ForestRow(label="Fast Quote → Win rate", experiment=(2.1, 0.8, 3.4), past=(3.0, 2.5, 3.5), note="+0.83 points")
PAST_ONLY = ForestRow(label="Past", past=(0.5, 0.2, 0.8))
EMPTY = ForestRow(label="Nothing")
OPEN = ForestRow(label="Open", experiment=(0.5, -math.inf, 2.0))


def draw(*rows, narrow=False):
    return forest(rows, title="Past data suggested more", axis_label="multiples", narrow=narrow)


def plot_of(figure):
    return figure.axes[1]


def lines(figure, label):
    return [line for line in plot_of(figure).lines if line.get_label() == label]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("narrow", [False, True])
def test_each_estimate_is_one_mark_with_one_range(narrow):
    figure = draw(BOTH, PAST_ONLY, EMPTY, OPEN, narrow=narrow)
    trials, past = lines(figure, "experiment"), lines(figure, "past data")
    assert (len(trials), len(past)) == (2, 2)
    assert (len(lines(figure, "experiment range")), len(lines(figure, "past data range"))) == (2, 2)
    assert {(line.get_marker(), line.get_color()) for line in trials} == {("o", EXPERIMENT)}
    assert {(line.get_marker(), line.get_color()) for line in past} == {("D", PAST)}


def test_marks_and_ranges_stand_at_their_numbers():
    figure = draw(BOTH)
    assert float(lines(figure, "experiment")[0].get_xdata()[0]) == 2.1
    assert list(lines(figure, "past data range")[0].get_xdata()) == [2.5, 3.5]


def test_first_row_stands_on_top():
    figure = draw(BOTH, PAST_ONLY)
    heights = {float(line.get_xdata()[0]): float(line.get_ydata()[0]) for line in lines(figure, "past data")}
    assert heights[3.0] > heights[0.5]


def test_band_reaches_one_multiple_either_side_of_the_zero_line():
    axes = plot_of(draw(BOTH))
    band = next(patch for patch in axes.patches if patch.get_label() == "too small to matter")
    assert isinstance(band, Rectangle)
    assert (band.get_x(), band.get_x() + band.get_width()) == (-1, 1)
    zero = next(line for line in axes.lines if line.get_label() == "zero")
    assert list(zero.get_xdata()) == [0, 0]


@pytest.mark.parametrize(
    ("triple", "arrows"),
    [
        ((0.5, -math.inf, 2.0), ["<"]),
        ((0.5, 0.1, math.inf), [">"]),
        ((0.5, -math.inf, math.inf), ["<", ">"]),
        ((0.5, -90.0, 1.0), ["<"]),
        ((0.5, math.nan, 1.0), ["<"]),
        ((0.5, 0.1, 0.9), []),
    ],
)
def test_ends_beyond_the_axis_are_arrows_at_the_edge(triple, arrows):
    figure = draw(ForestRow(label="Open", experiment=triple))
    found = lines(figure, "experiment arrow")
    assert [line.get_marker() for line in found] == arrows
    left, right = plot_of(figure).get_xlim()
    assert all(float(line.get_xdata()[0]) == (left if line.get_marker() == "<" else right) for line in found)


@pytest.mark.parametrize("narrow", [False, True])
def test_a_row_without_numbers_says_so(narrow):
    figure = draw(BOTH, EMPTY, narrow=narrow)
    assert texts(figure).count("no estimate") == 1
    assert "Nothing" in texts(figure)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("count", [0, 1, 60])
def test_every_point_lies_inside_the_axis(count, narrow):
    rows = [ForestRow(label=f"link {at}", experiment=(at - 20.0, at - 21.0, at - 19.0)) for at in range(count)]
    figure = draw(*rows, narrow=narrow)
    left, right = plot_of(figure).get_xlim()
    assert len(lines(figure, "experiment")) == count
    assert all(left < float(line.get_xdata()[0]) < right for line in lines(figure, "experiment"))
    assert ("No link to show" in texts(figure)) == (count == 0)


def test_text_on_a_phone_is_at_least_eleven_pixels():
    figure = draw(BOTH, narrow=True)
    shown = 340 / (figure.get_size_inches()[0] * 96)  # the picture is 340 px wide on a screen of 390
    sizes = [text.get_fontsize() for axes in figure.axes for text in axes.texts]
    sizes += [label.get_fontsize() for label in plot_of(figure).get_xticklabels()]
    assert min(sizes) * 96 / 72 * shown >= 11


def test_same_rows_give_the_same_svg():
    first, second = to_svg(draw(BOTH, OPEN)), to_svg(draw(BOTH, OPEN))
    assert first == second
    assert ET.fromstring(first).tag.endswith("svg")  # noqa: S314 - our own output
    assert to_svg(draw(BOTH)) != to_svg(draw(OPEN))
