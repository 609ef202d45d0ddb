"""Keep the linear algebra of many small products on one thread: the threads of the engine are busy already."""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let the OpenBLAS of numpy's wheels use one thread; numpy with another library is left alone.

    Small products on several threads spend most of their time waiting for each other, and take it from the engine.

    Examples
    --------
    >>> with one_blas_thread():
    ...     float(np.ones(3) @ np.ones(3))
    3.0
    """
    threads = blas_threads()
    if threads is None:
        yield
        return
    read, write = threads
    before = read()
    write(1)
    try:
        yield
    finally:
        write(before)


def blas_threads() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Find how to read and how to set the threads of numpy's OpenBLAS; None if numpy brings another library."""
    folder = Path(np.__file__).parent
    for place in (folder.parent / "numpy.libs", folder / ".dylibs"):
        for file in sorted(place.glob("*openblas*")):
            library = ctypes.CDLL(str(file))  # loaded already: this is the same copy
            for end in ("64_", ""):
                read = getattr(library, f"scipy_openblas_get_num_threads{end}", None)
                write = getattr(library, f"scipy_openblas_set_num_threads{end}", None)
                if read is not None and write is not None:
                    return read, write
    return None
