from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cpi_experiments.figures.canvas import to_svg
from cpi_experiments.figures.link_map import MapEdge, link_map
from cpi_experiments.figures.marks import LINES
from cpi_experiments.wording.review import SYMBOLS

WORDS = tuple(LINES)


def example(count, *, cpis=6, kpis=4, label="First Time Resolution of every request"):
    edges = [
        MapEdge(
            cpi=f"c{at % cpis}", kpi=f"k{at % kpis}", verdict=WORDS[at % 4], symbol=SYMBOLS[WORDS[at % 4]], grade="A+",
            note="−12,345.67 EUR",
        )
        for at in range(count)
    ]  # fmt: skip
    return link_map({f"c{at}": label for at in range(cpis)}, {f"k{at}": f"{label} {at}" for at in range(kpis)}, edges)


def boxes(figure):
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [(text.get_text(), text.get_window_extent(renderer)) for text in figure.axes[0].texts]


@pytest.mark.parametrize("shape", [(0, 3, 2), (1, 1, 1), (5, 6, 5), (12, 6, 4), (14, 7, 5), (14, 14, 1), (40, 3, 9)])
def test_no_two_texts_overlap_and_none_leaves_the_page(shape):
    count, cpis, kpis = shape
    figure = example(count, cpis=cpis, kpis=kpis)
    found = boxes(figure)
    overlapping = [(a[0], b[0]) for a, b in itertools.combinations(found, 2) if a[1].overlaps(b[1])]
    assert overlapping == []
    assert all(box.x0 >= 0 and box.y0 >= 0 for _, box in found)
    assert all(box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height for _, box in found)


def test_every_hypothesis_has_word_symbol_grade_and_two_curves():
    figure = example(12)
    axes = figure.axes[0]
    labels = [text.get_text() for text in axes.texts]
    for word in WORDS:
        assert labels.count(f"{SYMBOLS[word]} {word} A+ · −12,345.67 EUR") == 3
        assert sum(patch.get_label() == word for patch in axes.patches) == 6


@pytest.mark.parametrize("word", WORDS)
def test_each_verdict_has_its_own_dash(word):
    styles = {}
    for patch in example(4).axes[0].patches:
        if patch.get_label() in WORDS:
            styles[patch.get_label()] = (str(patch.get_linestyle()), patch.get_edgecolor())
    assert len({style for name, style in styles.items() if name != word}) == 3
    assert styles[word] not in [style for name, style in styles.items() if name != word]
    assert (LINES["confirmed"][0], bool(LINES["refuted"][0])) == ((), True)


def test_order_is_by_kpi_then_verdict_whatever_the_order_given():
    edges = [
        MapEdge(cpi=f"c{at % 3}", kpi=f"k{at % 2}", verdict=WORDS[at % 4], symbol="s", note=str(at)) for at in range(6)
    ]
    cpis, kpis = {f"c{at}": f"C {at}" for at in range(3)}, {"k0": "K 0", "k1": "K 1"}
    forward, backward = (to_svg(link_map(cpis, kpis, order)) for order in (edges, edges[::-1]))
    assert forward == backward


def test_svg_is_xml_and_text_stays_text():
    svg = to_svg(example(3, label=r"<b>$\bad$ & more"), name="map")
    root = ET.fromstring(svg)  # noqa: S314 - our own output
    said = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("text")]
    assert sum(r"<b>$\bad$ & more" in line for line in said) >= 6
    assert all(node.get("id", "map-").startswith("map-") for node in root.iter())


def test_without_links_the_map_says_so():
    assert "No link to show" in [text.get_text() for text in example(0).axes[0].texts]
