from __future__ import annotations

import itertools
import math

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cpi_experiments.figures.canvas import to_svg
from cpi_experiments.figures.link_curve import Curve, power_figure

SIZES = (1_000.0, 2_000.0, 5_000.0, 20_000.0)


def curve(label="confirm", *, planned=4_000.0, shift=0.0, bars=False, x=SIZES):
    y = tuple(min(0.2 + 0.25 * i + shift, 1.0) for i in range(len(x)))
    ends = {"low": tuple(v - 0.05 for v in y), "high": tuple(v + 0.05 for v in y)} if bars else {}
    return Curve(label=label, x=x, y=y, planned=planned, **ends)


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [curve()],
        [curve(), curve("refute", planned=4_000.0, shift=-0.1)],
        [
            curve(f"effect {i} of a link with a very long name indeed", planned=float("nan"), bars=True)
            for i in range(6)
        ],
        [curve(x=(-0.2, 0.1, 0.2, 0.3), planned=float("nan"), bars=True)],
        [curve(x=(5.0,), planned=float("nan"), bars=True)],
        [curve(x=(1e2, 1e4, 1e6, 1e9), planned=1e5)],
    ],
)
@pytest.mark.parametrize("title", ["Power", "First Time Resolution of every request -> Customer Lifetime Value $ " * 3])
def test_no_two_texts_overlap_and_none_leaves_the_page(curves, title):
    figure = power_figure(curves, title=title, x_label="Customers", target=0.8)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    sheet, axes = figure.axes
    ticks = [t for t in (*axes.get_xticklabels(), *axes.get_yticklabels()) if t.get_text()]
    low, high = axes.get_window_extent(renderer).x0, axes.get_window_extent(renderer).x1
    boxes = [t.get_window_extent(renderer) for t in (*sheet.texts, *axes.texts, *ticks)]
    boxes = [box for box in boxes if box.width > 0 and not (box.x1 < low - 60 or box.x0 > high + 60)]
    assert not [1 for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]
    assert all(box.x0 >= 0 and box.y0 >= 0 for box in boxes)
    assert all(box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height for box in boxes)


def test_planned_points_lie_on_their_curves():
    figure = power_figure([curve(planned=3_500.0), curve("refute", planned=500.0)], title="Power", x_label="n")
    points = [line for line in figure.axes[1].lines if line.get_label() == "planned"]
    assert [float(p.get_ydata()[0]) for p in points] == pytest.approx(
        [0.45 + 0.25 * math.log(1.75) / math.log(2.5), 0.2]
    )
    assert {text.get_text() for text in figure.axes[1].texts} == {"3,500", "500"}
    beyond = power_figure([curve(planned=9e4)], title="Power", x_label="n").axes[1]
    assert [float(line.get_ydata()[0]) for line in beyond.lines if line.get_label() == "planned"] == [0.95]


def test_lines_differ_by_dash_and_mark_not_by_colour_alone():
    figure = power_figure([curve(str(i), bars=True) for i in range(4)], title="Power", x_label="n")
    lines = [line for line in figure.axes[1].lines if line.get_label() in "0123"]
    assert len({str(line.get_linestyle()) + str(line._unscaled_dash_pattern) for line in lines}) == 4
    assert len({line.get_marker() for line in figure.axes[1].lines if line.get_marker() in "os^D"}) == 4


def test_names_are_drawn_as_they_are_and_the_picture_is_the_same_each_time():
    hostile = "win_rate $\\frac{1}{0}$ <script>"
    first, second = (to_svg(power_figure([curve(hostile)], title=hostile, x_label=hostile)) for _ in range(2))
    assert first == second
    assert "<script>" not in first
    assert "$\\frac{1}{0}$" in first
