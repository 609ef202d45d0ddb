"""Files appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cpi_experiments.errors import ReportError


def write_whole(content: bytes, path: Path) -> Path:
    """Write beside the target, flush to disk, then take its name in one step.

    Raises
    ------
    ReportError
        If the folder cannot be made or written.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(b"a", Path(folder) / "new" / "a.txt").read_bytes()
    b'a'
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _unwritable(path, error) from error
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    return path


def _unwritable(path: Path, error: OSError) -> ReportError:
    return ReportError(
        f"the file cannot be written: {error.strerror or error}", where=str(path), advice="Choose another folder."
    )
