from __future__ import annotations

import pytest

from cpi_experiments.figures.bias import BiasPoint, bias_figure
from cpi_experiments.figures.canvas import to_png, to_svg


def point(label="a -> b", trial=1.0, past=1.8, trial_error=0.2, past_error=0.1):
    return BiasPoint(label=label, trial=trial, trial_error=trial_error, past=past, past_error=past_error)


SPREAD = [point(f"cpi_{i} -> kpi", 0.3 * i, 0.3 * i + 0.7) for i in range(8)]


def labels(axes):
    return [text.get_text() for text in axes.texts]


def test_both_axes_have_one_scale_and_the_diagonal_is_agreement():
    figure = bias_figure(SPREAD, bias=0.7, title="Bias", unit="SESOI")
    to_png(figure)
    axes = figure.axes[1]
    assert axes.get_xlim() == axes.get_ylim()
    box = axes.get_window_extent()
    assert box.width == pytest.approx(box.height)
    agreement, mean = (next(line for line in axes.lines if line.get_label() == n) for n in ("agreement", "mean bias"))
    assert list(agreement.get_xdata()) == list(agreement.get_ydata())
    assert mean.get_ydata() - mean.get_xdata() == pytest.approx(0.7)


def test_every_point_is_inside_and_a_huge_interval_hides_no_other():
    points = [*SPREAD, point("vague -> kpi", 0.5, 1.0, trial_error=1e4)]
    axes = bias_figure(points, bias=0.7, title="Bias", unit="SESOI").axes[1]
    low, high = axes.get_xlim()
    assert all(low < value < high for p in points for value in (p.trial, p.past))
    assert high - low < 20


def test_names_do_not_lie_on_each_other():
    crowd = [point(f"cpi_{i} -> kpi", 1.0 + 0.01 * i, 1.8) for i in range(6)]
    figure = bias_figure([*crowd, point("far -> away", -2.0, -1.0)], bias=0.7, title="Bias", unit="SESOI")
    to_png(figure)
    axes = figure.axes[1]
    assert "far -> away" in labels(axes)
    assert 2 <= len(labels(axes)) <= 6
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_only_the_furthest_links_are_named_and_no_name_lies_on_a_mark():
    long = [
        point(f"{cpi}_of_every_request -> {kpi}_of_the_whole_year", 0.4 * i, 0.4 * i + 0.7 + 0.12 * (-1) ** i * (i % 5))
        for i, (cpi, kpi) in enumerate((f"cpi{a}", f"kpi{b}") for a in range(6) for b in range(5))
    ]
    figure = bias_figure(long, bias=0.7, title="Bias", unit="SESOI")
    to_png(figure)
    axes = figure.axes[1]
    assert 3 <= len(axes.texts) <= 6
    furthest = sorted(long, key=lambda p: -abs(p.past - p.trial - 0.7))[:6]
    for text, named in zip(axes.texts, furthest, strict=False):
        cpi, kpi = text.get_text().split("\n-> ")
        assert named.label.startswith(cpi.split("…")[0])
        assert named.label.endswith(kpi.split("…")[1])
        assert f"kpi{named.label[named.label.index('kpi') + 3]}" in kpi
        box = text.get_window_extent()
        for p in long:
            for share in [i / 50 for i in range(-50, 51)]:
                bars = [
                    (p.trial + share * 1.96 * p.trial_error, p.past),
                    (p.trial, p.past + share * 1.96 * p.past_error),
                ]
                assert not any(box.contains(*axes.transData.transform(dot)) for dot in bars)
        for at in [i / 10 for i in range(-20, 150)]:
            assert not any(box.contains(*axes.transData.transform(dot)) for dot in ((at, at), (at, at + 0.7)))
    said = [text.get_text() for text in figure.axes[0].texts]
    assert f"Bars are 95% intervals. The {len(axes.texts)} links furthest from the mean bias are named." in said


@pytest.mark.parametrize("points", [[point()], [point(trial=0.0, past=0.0)], [point(trial=-1.0, past=-3.0)]])
def test_one_point_is_a_picture(points):
    assert to_svg(bias_figure(points, bias=points[0].past - points[0].trial, title="B", unit="u")).startswith("<svg")


def test_a_long_title_is_folded_and_the_same_links_give_the_same_bytes():
    first, second = (to_png(bias_figure(SPREAD, bias=0.7, title="regressions " * 12, unit="u")) for _ in range(2))
    assert first == second
