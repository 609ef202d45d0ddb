"""The review as one page: no script, nothing fetched, the same bytes each time."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cpi_experiments.figures.canvas import to_svg
from cpi_experiments.report.files import write_whole
from cpi_experiments.report.pictures import draw_forest, draw_maps

if TYPE_CHECKING:
    from jinja2 import Template

    from cpi_experiments.report.review import Review

_TEMPLATES = Path(__file__).parent / "templates"
_MINUS = re.compile(r"(?<![\w-])-(?=[\d.])")
#: Keeps check marks from turning into coloured emoji on phones.
_TEXT_STYLE = "︎"


def _true_minus(text: str) -> str:
    """Write the sign of numbers as a minus, not as a hyphen."""
    return _MINUS.sub("−", text)


def _symbol(text: str) -> str:
    return text if text.isascii() else text + _TEXT_STYLE


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FileSystemLoader(_TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = _true_minus
    environment.filters["symbol"] = _symbol
    return environment.get_template("review.html")


def page(review: Review) -> str:
    """Render the review as one HTML page that needs nothing else."""
    return _template().render(
        review=review,
        forest_wide=to_svg(draw_forest(review), name="fw"),
        forest_narrow=to_svg(draw_forest(review, narrow=True), name="fn"),
        maps=[to_svg(figure, name=f"map{place}") for place, figure in enumerate(draw_maps(review))],
    )


def write_html(review: Review, path: Path | str) -> Path:
    """Write the page; the file appears whole or not at all.

    Raises
    ------
    ReportError
        If the file cannot be written.
    """
    return write_whole(page(review).encode("utf-8"), Path(path))
