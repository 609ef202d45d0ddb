from __future__ import annotations

import math

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.figures.ar_curve import ar_curve
from cpi_experiments.figures.canvas import to_png, to_svg

THETA = np.linspace(-2, 2, 81)
P = np.exp(-((THETA - 0.7) ** 2) / 0.1)


def draw(pieces, **more):
    return ar_curve(THETA.tolist(), P.tolist(), title="Each $hour faster", axis_label="won_rate", pieces=pieces, **more)


def plot_of(figure):
    return figure.axes[1]


def shades(figure):
    return [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in plot_of(figure).patches]


@pytest.mark.parametrize(
    ("pieces", "shaded"),
    [
        ([(0.2, 1.2)], [(0.2, 1.2)]),
        ([(-math.inf, -1.0), (0.5, math.inf)], [(-2.0, -1.0), (0.5, 2.0)]),
        ([(-math.inf, math.inf)], [(-2.0, 2.0)]),
        ([], []),
    ],
)
def test_every_piece_is_shaded_as_far_as_the_picture_goes(pieces, shaded):
    assert np.array(shades(draw(pieces))) == pytest.approx(np.array(shaded))


def test_zero_sesoi_and_estimate_are_marked_where_they_are_in_the_picture():
    figure = draw([(0.2, 1.2)], point=0.7, sesoi=0.4)
    labels = [line.get_label() for line in plot_of(figure).lines]
    assert labels.count("zero") == 1
    assert labels.count("SESOI") == 2
    (mark,) = [line for line in plot_of(figure).lines if line.get_marker() == "v"]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((0.7, 1.0), abs=1e-3)
    text = to_svg(figure)
    assert "triangle: estimate" in text
    assert "smallest effect worth acting on" in text
    plain = draw([(0.2, 1.2)], sesoi=9.0)
    assert not [line for line in plot_of(plain).lines if line.get_marker() == "v"]
    assert [line.get_label() for line in plot_of(plain).lines].count("SESOI") == 0


def test_the_line_stands_at_the_level_and_names_are_not_mathematics():
    figure = draw([], confidence_level=0.9)
    heights = [line.get_ydata()[0] for line in plot_of(figure).lines if list(line.get_xdata()) == [0, 1]]
    assert pytest.approx(0.1) in heights
    assert "Each $hour faster" in to_svg(figure)
    assert to_png(figure)[:4] == b"\x89PNG"
    assert to_png(draw([])) == to_png(draw([]))


def test_a_picture_away_from_zero_has_no_key():
    figure = ar_curve([1.0, 2.0], [0.1, 0.2], title="t", axis_label="a", pieces=[(1.0, 2.0)], point=1.5)
    assert "black line" not in to_svg(figure)


@pytest.mark.parametrize(("theta", "p"), [([0.0], [1.0]), ([0.0, 1.0], [0.5])])
def test_curves_need_points(theta, p):
    with pytest.raises(EstimationError, match="A curve needs as many of both"):
        ar_curve(theta, p, title="", axis_label="", pieces=[])
