"""Files of a report, whole or not at all, and what a reader is told if one cannot be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.errors import ReportError
from cpi_experiments.whole_files import whole_file

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(content: bytes, path: Path) -> Path:
    """Write beside the target, flush to disk, then take its name in one step.

    Raises
    ------
    ReportError
        If the folder cannot be made or written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(b"a", Path(folder) / "new" / "a.txt").read_bytes()
    b'a'
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise ReportError(
            f"the file cannot be written: {error.strerror or error}", where=str(path), advice="Choose another folder."
        ) from error
    return path
