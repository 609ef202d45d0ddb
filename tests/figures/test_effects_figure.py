"""The forest of a comparison: everything inside the paper, arrows for open ends, arms told apart twice."""

import math

import numpy as np
import pytest

from cpi_experiments.figures.canvas import to_png, to_svg
from cpi_experiments.figures.effects import EffectRow, effects_forest, reach


def rows(outcomes: int, arms: int, *, segments: int = 0) -> list[EffectRow]:
    rng = np.random.default_rng(outcomes + arms)
    found = []
    for outcome in range(outcomes):
        for arm in range(arms):
            for note in ["", *(f"region = {at}" for at in range(segments))]:
                value = float(rng.normal())
                label = f"outcome {outcome} of a rather long name that is cut"
                found.append(EffectRow(label=label, arm=f"arm {arm}", note=note, effect=(value, value - 1, value + 1)))
    return found


@pytest.mark.parametrize(
    ("outcomes", "arms", "segments"), [(1, 1, 0), (8, 1, 0), (3, 3, 0), (2, 2, 4), (1, 7, 0), (1, 19, 0), (1, 19, 1)]
)
def test_texts_do_not_overlap_and_stay_on_the_paper(outcomes: int, arms: int, segments: int) -> None:
    figure = effects_forest(
        rows(outcomes, arms, segments=segments),
        title="Which arms changed what, and by how much, " * 5,
        axis_label="unit",
    )
    to_png(figure)
    boxes = [t.get_window_extent() for axes in figure.axes for t in axes.texts if t.get_text()]
    width, height = figure.canvas.get_width_height()
    for at, one in enumerate(boxes):
        assert one.x0 >= 0
        assert one.x1 <= width
        assert one.y0 >= 0
        assert one.y1 <= height
        assert not any(one.overlaps(other) for other in boxes[at + 1 :])


def test_open_ends_are_arrows_and_missing_ones_are_said() -> None:
    figure = effects_forest(
        [
            EffectRow(label="a", arm="x", effect=(1.0, -math.inf, 2.0)),
            EffectRow(label="b", arm="x", effect=(1.0, 0.5, math.inf)),
            EffectRow(label="c", arm="x", effect=(math.nan, math.nan, math.nan)),
            EffectRow(label="d", arm="x", effect=(0.4, math.nan, math.nan)),
        ],
        title="Effects", axis_label="unit",
    )  # fmt: skip
    labels = [line.get_label() for axes in figure.axes for line in axes.lines]
    assert labels.count("arrow") == 2
    texts = [t.get_text() for axes in figure.axes for t in axes.texts]
    assert "no estimate" in texts
    assert "+1 […, +2]" in texts
    assert "+1 [+0.5, …]" in texts
    assert "c" not in labels


def test_many_arms_have_a_key_that_fits_or_none_where_rows_name_them() -> None:
    keys = []
    for segments in (0, 1):
        figure = effects_forest(rows(1, 19, segments=segments), title="T", axis_label="l")
        marks = [line for axes in figure.axes for line in axes.lines if line.get_label() == "key"]
        keys.append(len(marks))
        looks = {(mark.get_color(), mark.get_marker()) for mark in marks}
        assert len(looks) == len(marks)
    assert keys == [0, 19]


def test_margins_are_inside_the_axis_however_far() -> None:
    row = EffectRow(label="a", arm="x", effect=(0.01, 0.0, 0.02), limits=(-3.0, 2.0))
    low, high = reach([row])
    assert low < -3.0
    assert high > 2.0
    figure = effects_forest([row], title="T", axis_label="l")
    assert [line.get_label() for axes in figure.axes for line in axes.lines].count("margin") == 2


def test_what_is_said_stands_in_place_of_no_estimate() -> None:
    row = EffectRow(label="a", arm="x", effect=(math.nan,) * 3, said="+1 abs.")
    texts = [text.get_text() for axes in effects_forest([row], title="T", axis_label="l").axes for text in axes.texts]
    assert "+1 abs." in texts
    assert "no estimate" not in texts


def test_shares_are_written_in_percent() -> None:
    figure = effects_forest(
        [EffectRow(label="a", arm="x", effect=(0.1, -0.05, 0.25))], title="T", axis_label="l", percent=True
    )
    assert "+10.0% [−5.0%, +25.0%]" in [t.get_text() for axes in figure.axes for t in axes.texts]
    svg = to_svg(figure)
    assert "+10%" in svg


def test_arms_differ_in_colour_and_shape() -> None:
    figure = effects_forest(rows(1, 6), title="T", axis_label="l")
    keys = [line for axes in figure.axes for line in axes.lines if line.get_label() == "key"]
    assert len({line.get_color() for line in keys}) == len({line.get_marker() for line in keys}) == 6


def test_a_wild_interval_does_not_squeeze_the_others() -> None:
    tight = [EffectRow(label=str(k), arm="x", effect=(0.1, 0.0, 0.2)) for k in range(5)]
    low, high = reach([*tight, EffectRow(label="wild", arm="x", effect=(0.2, -1e6, 1e6))])
    assert -1 < low < 0
    assert 0.2 < high < 2
    assert reach([])[0] < 0 < reach([])[1]
    assert reach([EffectRow(label="a", arm="x", effect=(0.0, 0.0, 0.0))])[0] < 0
