"""The review as a PowerPoint deck; python-pptx is looked for only when one is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpi_experiments.errors import ReportError
from cpi_experiments.report.files import write_whole

if TYPE_CHECKING:
    from cpi_experiments.report.review import Review


def require_pptx(where: str) -> None:
    """Make sure, before anything is computed, that a deck could be written.

    Raises
    ------
    ReportError
        If python-pptx (the extra ``report``) is not installed.
    """
    try:
        import pptx  # noqa: F401, PLC0415 - only whether it is there
    except ModuleNotFoundError as error:
        if (error.name or "").split(".", 1)[0] != "pptx":
            raise
        raise ReportError(
            "PowerPoint needs python-pptx", where=where, advice="pip install 'cpi-experiments[report]'"
        ) from None


def write_pptx(review: Review, path: Path | str) -> Path:
    """Write the deck; the file appears whole or not at all, and the same review gives the same bytes.

    Slides: front, in short, link map, verdicts, past data beside experiments, who can own what, can we trust the
    numbers, and as appendix the reasons of each verdict. Tables go on on further slides; the notes hold the ids of
    the links.

    Parameters
    ----------
    review : Review
    path : Path or str

    Raises
    ------
    ReportError
        If python-pptx (the extra ``report``) is not installed, or the file cannot be written.
    """
    require_pptx(str(path))
    from cpi_experiments.report.deck import build_deck  # noqa: PLC0415 - it needs python-pptx, which is optional

    return write_whole(build_deck(review), Path(path))
