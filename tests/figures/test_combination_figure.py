"""The picture of many experiments: every mark at its numbers, the two slopes told apart without colour."""

import math

import pytest
from matplotlib.colors import to_hex

from cpi_experiments.figures.canvas import to_svg
from cpi_experiments.figures.combination import Dot, combination_figure

DOTS = [Dot(x=1.0, y=0.5, error_x=0.1, error_y=0.2), Dot(x=-2.0, y=-0.9, error_x=0.1, error_y=0.2)]


def draw(dots=DOTS, *, slope=(0.4, 0.3, 0.5), naive=(0.1, 0.7), **more):
    return combination_figure(
        dots, **{"slope": slope, "naive": naive, "title": "Over 2 experiments", "x_label": "effect on CPI",
                 "y_label": "effect on KPI", "level": "95%", **more}
    )  # fmt: skip


def lines(figure, label):
    return [line for line in figure.axes[1].lines if line.get_label() == label]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_marks_and_slopes_stand_at_their_numbers():
    figure = draw()
    marks = lines(figure, "experiment")[0]
    assert (list(marks.get_xdata()), list(marks.get_ydata())) == ([1.0, -2.0], [0.5, -0.9])
    honest, naive = lines(figure, "honest slope")[0], lines(figure, "naive line")[0]
    x, y = honest.get_xdata(), honest.get_ydata()
    assert [b / a for a, b in zip(x, y, strict=True) if a] == pytest.approx([0.4, 0.4])
    x, y = naive.get_xdata(), naive.get_ydata()
    assert list(x) == [-2.0, 1.0]
    assert y == pytest.approx([0.1 - 2 * 0.7, 0.1 + 0.7])
    assert honest.get_linestyle() != naive.get_linestyle()
    assert "honest slope 0.4 per step, band: its 95% set" in texts(figure)
    assert "naive line through the dots, slope 0.7: what a plain scatter would say" in texts(figure)


def test_every_experiment_lies_inside_the_axes():
    axes = draw([*DOTS, Dot(x=4.0, y=3.0, error_x=50.0, error_y=0.1)]).axes[1]
    assert axes.get_xlim()[0] < -2 < 4 < axes.get_xlim()[1] < 40
    assert axes.get_ylim()[0] < -0.9 < 3 < axes.get_ylim()[1]


@pytest.mark.parametrize(
    ("slope", "words"),
    [
        ((math.nan, -math.inf, math.inf), "any slope possible: the CPI moved too little for an honest line"),
        ((-0.315, -math.inf, math.inf), "any slope possible: the CPI moved too little for an honest line"),
        ((math.nan, 0.1, 0.9), "no honest line: the CPI moved too little; band: 95% set of slopes"),
    ],
)
def test_what_does_not_exist_is_not_drawn_but_said(slope, words):
    figure = draw(slope=slope, naive=(math.nan, math.nan))
    assert not lines(figure, "honest slope")
    assert not lines(figure, "naive line")
    bands = [c for c in figure.axes[1].collections if c.get_label() == "set of the honest slope"]
    assert len(bands) == math.isfinite(slope[1])
    assert words in texts(figure)


def test_points_stand_above_the_lines_and_bars_unlike_the_axes():
    axes = draw().axes[1]
    order = {line.get_label(): line.get_zorder() for line in axes.lines}
    assert order["experiment"] > max(order["honest slope"], order["naive line"])
    zero = next(line for line in axes.lines if list(line.get_xdata()) == [0, 1])
    bars = [c for c in axes.collections if c.get_label() != "set of the honest slope"]
    assert bars
    assert all(to_hex(bar.get_color()[0]) != to_hex(zero.get_color()) for bar in bars)


def test_no_experiments_and_strange_names_still_draw():
    figure = draw([], title="$x_1$ " * 40, x_label="a" * 200, y_label="<b>&")
    assert figure.axes[1].get_xlim() == (-1.0, 1.0)
    assert to_svg(figure) == to_svg(draw([], title="$x_1$ " * 40, x_label="a" * 200, y_label="<b>&"))
