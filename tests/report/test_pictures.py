from __future__ import annotations

import warnings
import xml.etree.ElementTree as ET

import pytest

from cpi_experiments.errors import CpiWarning
from cpi_experiments.report.pictures import draw_maps, write_pictures


def test_pictures_are_written_as_svg_and_png_the_same_twice(review, tmp_path):
    first = write_pictures(review, tmp_path / "a")
    second = write_pictures(review, tmp_path / "b")
    assert [path.name for path in first] == ["forest.svg", "forest.png", "link_map.svg", "link_map.png"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert ET.parse(first[0]).getroot().tag.endswith("svg")  # noqa: S314 - our own output


def test_one_changed_effect_changes_the_picture(quarter, tmp_path):
    verdicts = quarter.sample_verdicts()
    full = write_pictures(quarter.sample_review(), tmp_path / "a")
    less = write_pictures(quarter.sample_review(verdicts=verdicts[1:]), tmp_path / "b")
    assert full[0].read_bytes() != less[0].read_bytes()


@pytest.mark.parametrize(("links", "maps"), [(0, 1), (1, 1), (14, 1), (15, 5), (60, 5)])
def test_many_links_are_drawn_one_map_a_kpi(quarter, links, maps):
    assert len(draw_maps(quarter.named_review("Fast", links=links))) == maps


def test_many_links_are_written_as_numbered_maps(quarter, tmp_path):
    names = [path.name for path in write_pictures(quarter.named_review("Fast", links=15), tmp_path)]
    assert names[2:4] == ["link_map_1.svg", "link_map_1.png"]
    assert len(names) == 12


def test_any_name_gives_whole_pictures(quarter, hostile, tmp_path):  # A16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CpiWarning)  # fonts differ from machine to machine
        paths = write_pictures(quarter.named_review(hostile, hostile), tmp_path)
    for path in paths:
        if path.suffix == ".svg":
            assert ET.parse(path).getroot().tag.endswith("svg")  # noqa: S314 - our own output
        else:
            assert path.read_bytes().startswith(b"\x89PNG")
