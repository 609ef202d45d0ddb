"""The commented starter project that `cpi init` writes."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Final

from cpi_experiments.errors import CatalogError

#: The starter as it lies in the package; a project folder in its own right.
STARTER: Final = Path(__file__).parent / "starter"

_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_NAME_LINE = "name: starter"


def write_starter(folder: Path, *, name: str) -> tuple[Path, ...]:
    """Write the starter project into a new or empty folder; all files or none.

    Parameters
    ----------
    folder : Path
        Folder to make.
    name : str
        Name of the project, a-z, 0-9, _ and -.

    Returns
    -------
    tuple of Path
        The files, sorted.

    Raises
    ------
    CatalogError
        If the name is not allowed, the folder holds something, or it cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise CatalogError(f"project name {name!r} is not allowed", advice="Use 1 to 64 of a-z, 0-9, _ and -.")
    folder = Path(folder)
    draft = folder.parent / f".{folder.name}.{os.getpid()}.part"
    try:
        _check_free(folder)
        _write_draft(draft, name)
        draft.replace(folder)
    except OSError as error:
        raise CatalogError(f"{str(folder)!r} cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return tuple(sorted(file for file in folder.rglob("*") if file.is_file()))


def _check_free(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise CatalogError(f"{str(folder)!r} exists and is not a folder", advice="Give another name.")
    if folder.is_dir() and any(folder.iterdir()):
        count = sum(1 for _ in folder.iterdir())
        raise CatalogError(f"{str(folder)!r} holds {count} files or folders", advice="Give the name of a new folder.")
    if not folder.parent.is_dir():
        raise CatalogError(f"folder {str(folder.parent)!r} does not exist", advice="Make it first.")


def _write_draft(draft: Path, name: str) -> None:
    draft.mkdir()
    for file in sorted(STARTER.rglob("*")):
        if file.suffix not in (".yaml", ".txt"):
            continue
        copy = draft / file.relative_to(STARTER)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text(encoding="utf-8")
        copy.write_text(text.replace(_NAME_LINE, f"name: {name}", 1), encoding="utf-8")
