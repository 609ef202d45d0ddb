"""Evidence over experiments, drawn: the sequence with its lines above, every e-value with the line of 20 below."""

import math

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.figures.canvas import to_png, to_svg
from cpi_experiments.figures.evidence_sequence import EvidencePoint, evidence_sequence


def points(count=9, **fields):
    return [point(k, **fields) for k in range(1, count + 1)]


def point(k, **fields):
    usual = {"name": str(k), "estimate": 0.1, "low": 0.1 - 1 / k, "high": 0.1 + 1 / k, "expected": 1.5**k}
    return EvidencePoint(**(usual | {"opposite": 0.8**k, "immaterial": 1.1} | fields))


def drawn(count=9, start=1.0, **fields):
    return evidence_sequence(points(count, **fields), title="t", axis_label="won per hour", sesoi=0.2, start=start)


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_zero_and_the_sesoi_are_marked_on_both_sides():
    upper = drawn().axes[1]
    assert [line.get_ydata()[0] for line in upper.lines if line.get_label() in ("zero", "SESOI")] == [0, -0.2, 0.2]
    assert {"no effect", "worth acting on"} <= set(texts(drawn()))
    low, high = upper.get_ylim()
    assert low < -0.2 < 0.2 < high


def test_the_band_holds_every_experiment_and_the_first_wide_ones_leave_the_picture():
    figure = drawn()
    band = next(each for each in figure.axes[1].collections if each.get_label() == "sequence")
    across = band.get_paths()[0].vertices[:, 0]
    assert (across.min(), across.max()) == (0.5, 9.5)
    assert figure.axes[1].get_ylim()[1] < 0.1 + 1 / 2


def test_e_values_are_drawn_on_a_log_scale_from_their_start_with_the_line_of_twenty():
    found = lines(drawn(start=5.0).axes[2])
    assert found["20"].get_ydata()[0] == pytest.approx(math.log10(20))
    assert found["expected sign"].get_ydata() == pytest.approx(np.log10([5.0, *(1.5**k for k in range(1, 10))]))
    assert found["opposite sign"].get_ydata()[0] == 0.0
    assert "levers in general" not in found


def test_what_begins_late_has_no_line_before():
    late = [
        EvidencePoint(name=str(k), estimate=0.1, low=0, high=1, expected=2, opposite=1, immaterial=1,
                      general=math.nan if k < 20 else 3.0)
        for k in range(1, 23)
    ]  # fmt: skip
    figure = evidence_sequence(late, title="t", axis_label="y", sesoi=0.2)
    heights = lines(figure.axes[2])["levers in general"].get_ydata()
    assert np.isnan(heights[:20]).all()
    assert heights[20:] == pytest.approx(np.log10([3.0] * 3))


def test_names_of_lines_do_not_stand_on_each_other():
    names = drawn(expected=1.0, opposite=20.0, immaterial=1.0).axes[2].texts
    heights = sorted(text.get_position()[1] for text in names)
    assert len(heights) == 4
    assert "20: strong" in [text.get_text() for text in names]
    assert min(text.get_position()[0] for text in names) > 9.5  # beside the lines, where no curve crosses them
    low, high = drawn(expected=1.0, opposite=20.0, immaterial=1.0).axes[2].get_ylim()
    assert min(np.diff(heights)) > 0.05 * (high - low)


@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize(
    "fields",
    [
        {"low": -math.inf, "high": math.inf},
        {"estimate": math.nan, "low": math.nan, "high": math.nan},
        {"expected": 1e300, "opposite": 0.0},
        {"name": "a $b$ <c>"},
    ],
    ids=["unbounded", "nothing yet", "far", "odd name"],
)
def test_anything_that_can_be_followed_can_be_drawn(count, fields):
    figure = drawn(count, **fields)
    assert np.all(np.isfinite([axes.get_ylim() for axes in figure.axes]))
    assert to_png(figure)[:4] == b"\x89PNG"
    assert "experiments so far" in to_svg(figure)


def test_large_evidence_is_labelled_by_powers():
    ticks = drawn(expected=1e9).axes[2]
    labels = [ticks.yaxis.get_major_formatter()(value, 0) for value in (-2, -1, 0, 1, 4, 6)]
    assert labels == ["1/100", "1/10", "1", "10", "10,000", "10⁶"]


@pytest.mark.parametrize(
    ("fields", "axes", "marker", "words"),
    [
        ({"expected": 1e12}, 2, "^", "arrows: above 10⁸, off the scale"),
        ({"opposite": 1e-9}, 2, "v", "arrows: below 1/1,000, off the scale"),
        ({"high": math.inf}, 1, "^", "shaded: 95% at every look; arrows: it reaches beyond the picture"),
        ({"low": -math.inf}, 1, "v", "shaded: 95% at every look; arrows: it reaches beyond the picture"),
    ],
)
def test_what_leaves_the_picture_is_marked_and_said(fields, axes, marker, words):
    figure = drawn(**fields)
    heads = [line for line in figure.axes[axes].lines if line.get_label() == "cut" and line.get_marker() == marker]
    assert list(heads[0].get_xdata()) == list(range(1, 10))
    assert words in texts(figure)
    inside = drawn(low=-0.1, high=0.3)
    assert not [line for each in inside.axes for line in each.lines if line.get_label() == "cut"]
    assert not [text for text in texts(inside) if "arrows" in text]


def test_nothing_to_draw_is_refused():
    with pytest.raises(EstimationError, match="no experiment"):
        evidence_sequence([], title="t", axis_label="y", sesoi=0.2)
