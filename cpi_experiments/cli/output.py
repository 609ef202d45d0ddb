"""What commands write: reports that appear whole or not at all, and progress."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_experiments.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cpi_experiments.report.review import Review

_LONGEST_NAME = 200
_DRAFT = ".cpi-draft"


def write_report(review: Review, folder: Path, *, truth: Sequence[dict[str, Any]] = ()) -> str:
    """Write every format of the review and return the table for the terminal."""
    from cpi_experiments.report.html import write_html  # noqa: PLC0415
    from cpi_experiments.report.pictures import write_pictures  # noqa: PLC0415
    from cpi_experiments.report.tables import write_json, write_tables  # noqa: PLC0415
    from cpi_experiments.report.terminal import truth_table, verdict_table  # noqa: PLC0415

    write_html(review, folder / "review.html")
    write_json(review, folder / "review.json")
    write_tables(review, folder)
    write_pictures(review, folder)
    width = min(max(shutil.get_terminal_size().columns, 80), 100) if sys.stdout.isatty() else 100
    return truth_table(review.verdicts, truth, width=width) if truth else verdict_table(review.verdicts, width=width)


def written(review: Review, target: Path) -> str:
    """Say what was written, and the head of the ledger behind it."""
    return f"wrote {target / 'review.html'}\nledger head {review.ledger_rows}:{review.ledger_head}"


def new_path(text: str) -> Path:
    """Check a path that is to be written: no way up, no name that a file system refuses."""
    if "\0" in text or not text.strip():
        raise ReportError(f"{text!r} is not a folder name", advice="Give a name such as reports/2026Q4.")
    path = Path(text)
    if ".." in path.parts:
        raise ReportError(f"{text!r} leads out of the folder", advice="Give a path without '..'.")
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > _LONGEST_NAME:
        raise ReportError(f"a folder name of {longest} bytes is too long", advice=f"At most {_LONGEST_NAME} bytes.")
    return path


@contextmanager
def draft_of(target: Path, *, force: bool) -> Iterator[Path]:
    """Give a folder whose content moves to ``target`` when all of it is there; else nothing of it stays."""
    made = _prepare(target, force=force)
    draft = target / _DRAFT
    try:
        draft.mkdir()
        yield draft
        for item in sorted(draft.iterdir()):
            item.replace(target / item.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):  # not empty: something was written, here or by others
            for folder in made:
                folder.rmdir()


def _prepare(target: Path, *, force: bool) -> tuple[Path, ...]:
    """Make the folder, if it can be written and nothing is overwritten by accident; return the folders that are new."""
    try:
        if target.exists() and not target.is_dir():
            raise ReportError(f"{target} is a file", advice="Give a folder.")
        if target.is_dir() and any(target.iterdir()) and not force:
            raise ReportError(
                f"{target} is not empty", advice="Choose another folder, or pass --force to replace its report."
            )
        made = tuple(folder for folder in (target, *target.parents) if not folder.exists())
        target.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target / _DRAFT, ignore_errors=True)  # of a run that was killed
        (target / _DRAFT).mkdir()
        (target / _DRAFT).rmdir()
    except OSError as error:
        raise ReportError(f"{target} cannot be written ({error.strerror})", advice="Choose another folder.") from error
    return made


def progress(total: int, *, quiet: bool) -> _Steps:
    """Show the steps of a command on stderr."""
    return _Steps(total, quiet=quiet)


class _Steps:
    """A progress bar on stderr whose text says what is being done; silent when piped or asked to be."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        from tqdm import tqdm  # noqa: PLC0415

        self._bar = tqdm(total=total, disable=True if quiet else None, bar_format="{desc:<28} {bar:30} {elapsed}")

    def __enter__(self) -> Callable[[str], None]:
        return self._step

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _step(self, text: str) -> None:
        self._bar.set_description_str(text)
        self._bar.update(1)
