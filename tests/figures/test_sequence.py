"""An effect over time: the band or the bars, the decision, the planned end, and ends that leave the picture."""

import math

import numpy as np
import pytest

from cpi_experiments.figures.canvas import to_png, to_svg
from cpi_experiments.figures.sequence import SequencePoint, sequence


def points(k=20, *, crossed=None, low=None):
    return [
        SequencePoint(
            n=100 * (i + 1),
            estimate=0.5,
            low=low if low is not None and i == 0 else 0.5 - 6 / (i + 1),
            high=0.5 + 6 / (i + 1),
            crossed=1 if crossed is not None and i >= crossed else 0,
        )
        for i in range(k)
    ]


def labels(figure):
    return [artist.get_label() for axes in figure.axes for artist in (*axes.lines, *axes.collections)]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_axis_names_what_is_counted():
    assert "customers so far" in texts(sequence(points(3), title="won", axis_label="won", units="customers"))
    assert "units so far" in texts(sequence(points(3), title="won", axis_label="won"))


@pytest.mark.parametrize("steps", [False, True])
def test_every_look_is_drawn_with_its_interval(steps):
    figure = sequence(points(6), title="won", axis_label="won", planned_n=900, steps=steps)
    plot = figure.axes[1]
    estimate = next(line for line in plot.lines if line.get_label() == "estimate")
    assert estimate.get_xdata().tolist() == [100, 200, 300, 400, 500, 600]
    assert "interval" in labels(figure)
    assert ("now" in labels(figure)) == (not steps)
    assert "planned end: 900" in texts(figure)
    assert plot.get_xlim()[1] > 900


def test_zero_is_always_in_the_picture_and_the_first_wide_looks_are_not():
    low, high = sequence(points(), title="t", axis_label="y").axes[1].get_ylim()
    assert low < 0 < high
    assert high < 0.5 + 6 / 2  # the second look is already cut off


@pytest.mark.parametrize(("crossed", "side"), [(2, "left"), (18, "right")])
def test_the_first_look_that_decided_is_marked_once(crossed, side):
    figure = sequence(points(crossed=crossed), title="t", axis_label="y")
    assert labels(figure).count("decided") == 1
    (note,) = [text for axes in figure.axes for text in axes.texts if "shown above zero" in text.get_text()]
    assert note.get_text() == f"shown above zero at {100 * (crossed + 1):,}"
    assert note.get_ha() == side


def test_nothing_is_marked_where_nothing_is_decided():
    assert "decided" not in labels(sequence(points(), title="t", axis_label="y"))


def test_infinite_ends_and_one_look_can_be_drawn():
    figure = sequence([SequencePoint(n=10, estimate=0.0, low=-math.inf, high=math.inf)], title="t", axis_label="y")
    assert np.all(np.isfinite(figure.axes[1].get_ylim()))
    assert to_png(figure)[:4] == b"\x89PNG"
    assert "units so far" in to_svg(sequence(points(low=-math.inf), title="a $b$ <c>", axis_label="y"))
