from __future__ import annotations

import pytest

from cpi_experiments.figures.canvas import to_png, to_svg
from cpi_experiments.figures.power_curve import PowerCurve, power_curve

RISING = PowerCurve(x=[10, 500, 1000], power=[0.05, 0.5, 0.8], planned=(500, 0.5), label="customers")
FALLING = PowerCurve(x=[0.5, 0.7, 1.0], power=[1.0, 0.8, 0.05], planned=(0.7, 0.8), label="hazard ratio")
LATE = PowerCurve(x=[10, 500, 1000], power=[0.05, 0.5, 0.8], planned=(1000, 0.8), label="customers")
BELOW = PowerCurve(x=[-0.1, -0.05, -1e-7], power=[1, 0.8, 0.05], planned=(-0.05, 0.8), label="x", scale=100, suffix="%")


def plan_of(axes):
    return next(line for line in axes.lines if line.get_label() == "plan")


@pytest.mark.parametrize("curve", [RISING, FALLING, LATE, BELOW])
def test_the_plan_is_marked_on_its_curve(curve):
    axes = power_curve([curve], title="A plan").axes[1]
    mark = plan_of(axes)
    assert (float(mark.get_xdata()[0]), float(mark.get_ydata()[0])) == curve.planned
    line = next(line for line in axes.lines if line.get_label() == "power")
    assert list(line.get_ydata()) == list(curve.power)


@pytest.mark.parametrize("curve", [RISING, FALLING, LATE, BELOW])
def test_the_note_stands_beside_the_curve_and_inside_the_panel(curve):
    figure = power_curve([curve], title="A plan", notes=["9,999 customers: 80%"])
    to_png(figure)
    axes = figure.axes[1]
    box = axes.texts[0].get_window_extent()
    panel = axes.get_window_extent()
    assert panel.x0 <= box.x0 < box.x1 <= panel.x1
    line = next(line for line in axes.lines if line.get_label() == "power")
    path = axes.transData.transform(line.get_xydata())
    assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for x, y in path)


def test_axes_begin_at_nothing_and_count_in_the_unit_of_the_reader():
    figure = power_curve([RISING, BELOW], title="A plan")
    to_png(figure)
    assert figure.axes[1].get_xlim()[0] == 0.0
    assert figure.axes[2].get_xlim()[1] == 0.0
    assert "−4%" in [label.get_text() for label in figure.axes[2].get_xticklabels()]
    assert [text.get_text() for text in figure.axes[1].texts] == ["50%"]
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()][-1] == "100%"


def test_a_long_title_is_folded_above_the_panels():
    figure = power_curve([RISING, FALLING], title="customers in clusters " * 12)
    svg = to_svg(figure)
    assert svg.startswith("<svg")
    heading = figure.axes[0].texts[0].get_text()
    assert 2 <= heading.count("\n") + 1 <= 4


def test_the_same_plan_gives_the_same_bytes():
    first, second = (to_png(power_curve([RISING, FALLING], title="A plan")) for _ in range(2))
    assert first == second
