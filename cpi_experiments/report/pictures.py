"""The pictures of a review, as files and as parts of its page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpi_experiments.figures.canvas import to_png, to_svg
from cpi_experiments.figures.forest import forest
from cpi_experiments.figures.link_map import link_map
from cpi_experiments.report.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cpi_experiments.report.review import Review

#: More links than this are drawn as one map for each KPI.
MOST_EDGES = 14


def draw_forest(review: Review, *, narrow: bool = False) -> Figure:
    """Draw past data beside experiments."""
    return forest(review.forest, title=review.forest_title, axis_label=review.forest_axis, narrow=narrow)


def draw_maps(review: Review) -> tuple[Figure, ...]:
    """Draw the link map; one for each KPI if there are many links."""
    cpis, kpis = dict(review.map_cpis), dict(review.map_kpis)
    if len(review.edges) <= MOST_EDGES:
        return (link_map(cpis, kpis, review.edges),)
    maps = []
    for key, label in kpis.items():
        edges = [edge for edge in review.edges if edge.kpi == key]
        ends = {edge.cpi for edge in edges}
        maps.append(link_map({cpi: name for cpi, name in cpis.items() if cpi in ends}, {key: label}, edges))
    return tuple(maps)


def write_pictures(review: Review, folder: Path | str) -> tuple[Path, ...]:
    """Write ``forest`` and ``link_map`` as SVG and PNG; many links give ``link_map_1``, ``link_map_2`` and so on.

    Raises
    ------
    ReportError
        If the folder cannot be written.
    """
    home = Path(folder)
    maps = draw_maps(review)
    figures = {"forest": draw_forest(review)}
    for place, figure in enumerate(maps, start=1):
        figures["link_map" if len(maps) == 1 else f"link_map_{place}"] = figure
    paths = []
    for name, figure in figures.items():
        paths.append(write_whole(to_svg(figure).encode("utf-8"), home / f"{name}.svg"))
        paths.append(write_whole(to_png(figure), home / f"{name}.png"))
    return tuple(paths)
