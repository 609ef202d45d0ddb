"""Moments on disk: content-hashed files beside the ledger, so that a new week of data costs one scan of that week."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError
from cpi_experiments.estimate import digest_of
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.engines.files import digest_of_files, find_files
from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.stats.exact_sums import exact_objects
from cpi_experiments.stats.moments import Moments, add_moments
from cpi_experiments.whole_files import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Array = np.ndarray
#: Cells of fewer rows do not leave the house.
SMALLEST_CELL = 10
_FORMAT = "cpi-moments-1"
_PLAIN = ("present", "n", "origin", "scale", "whole")


def save_moments(moments: Moments, path: Path | str) -> str:
    """Write moments to a file that says when it was changed; an existing one is replaced in one step.

    Returns
    -------
    str
        SHA-256 of the content.

    Raises
    ------
    DataError
        If a key holds labels other than numbers, text, flags and times.

    Examples
    --------
    >>> import tempfile
    >>> from cpi_experiments.stats.moments import moments_of
    >>> m = moments_of({"won": np.array([0.0, 1.0])}, {"arm": np.array(["a", "b"], dtype=object)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save_moments(m, Path(folder) / "trial.npz")
    ...     load_moments(Path(folder) / "trial.npz").keys["arm"].tolist()
    ['a', 'b']
    """
    arrays = _as_arrays(moments)
    digest = _digest(arrays)
    path = Path(path)
    if path.is_dir():
        raise DataError("is a folder", where=str(path), advice="Name a file, such as trial.npz.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as stream:
        _write_arrays(stream, {"digest": np.array(digest), **arrays})
    return digest


def _write_arrays(stream: IO[bytes], arrays: Mapping[str, Array]) -> None:
    """Write what `numpy.load` reads; `numpy.savez` cannot be told to refuse pickles before numpy 2.1."""
    with zipfile.ZipFile(stream, "w") as whole:
        for name, values in arrays.items():
            with whole.open(f"{name}.npy", "w", force_zip64=True) as part:
                np.lib.format.write_array(part, np.asarray(values), allow_pickle=False)


def load_moments(path: Path | str) -> Moments:
    """Read moments that `save_moments` wrote.

    Raises
    ------
    DataError
        If the file is missing, damaged, changed, or none of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("there is no such file", where=path.name, advice="Gather the moments again and save them.")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except (TypeError, AttributeError, ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile):
        raise DataError("is not a file of moments", where=path.name, advice="Gather them again.") from None
    digest = str(arrays.pop("digest", ""))
    if "about" not in arrays or digest != _digest(arrays):
        raise DataError(
            "was changed since it was saved, or is no file of moments", where=path.name, advice="Gather them again."
        )
    return _from_arrays(arrays)


def gather_files(
    files: Path | str,
    columns: Sequence[str],
    *,
    store: Path | str,
    by: Sequence[str] = (),
    pairs: Sequence[tuple[str, str]] | None = None,
    caps: Mapping[str, float | str] | None = None,
    scales: Mapping[str, int] | None = None,
) -> Moments:
    """Gather the moments of many files, looking only at files that are new.

    Moments of each file are kept in ``store`` under the hash of what was asked and the hash of the file, and added
    up. A file that changed is read again; a file that is gone no longer counts.

    Parameters
    ----------
    files : str or Path
        A file or a pattern such as ``data/week_*.parquet``; no row may be in two of them.
    store : Path
        Folder of the saved moments, such as ``moments/`` beside the ledger.
    columns, by, pairs, caps, scales
        As in `cpi_experiments.measure.moments.gather.gather`; caps are numbers, the same for all files.

    Raises
    ------
    DataError
        If a file cannot be read, or two files have the same content.
    """
    asked = {"columns": list(columns), "by": list(by), "pairs": None if pairs is None else sorted(map(sorted, pairs)),
             "caps": dict(caps or {}), "scales": dict(scales or {})}  # fmt: skip
    for name, cap in (caps or {}).items():
        if isinstance(cap, str):
            raise DataError(
                f"cap {cap!r} of column {name!r} would differ from file to file",
                advice="Give one number for all files.",
            )
    recipe, folder = digest_of(asked)[:16], Path(store)
    found: dict[str, Path] = {}
    for file in find_files(files):
        content = digest_of_files([file])
        if content in found:
            raise DataError(
                f"{found[content].name} and {file.name} hold the same bytes",
                advice="Every row may be counted once: remove the copy.",
            )
        found[content] = file
    _check_kinds(list(found.values()), [*columns, *by])
    parts: list[Moments] = []
    for content, file in found.items():
        place = folder / f"{recipe}-{content[:32]}.npz"
        if not place.exists():
            origins = dict(zip(parts[0].columns, parts[0].origin.tolist(), strict=True)) if parts else None
            part = gather(file, columns, by=by, pairs=pairs, caps=caps, scales=scales, origins=origins)
            save_moments(part, place)
        parts.append(load_moments(place))
    return add_moments(parts)


def _check_kinds(files: Sequence[Path], columns: Sequence[str]) -> None:
    """Refuse files in which a column has another type: 1 and '1' would be two labels."""
    first: dict[str, str] = {}
    for file in files:
        with Tables({"data": file}) as tables:
            kinds = {name: tables.type_of("data", name) for name in columns}
        first = first or kinds
        for name, kind in kinds.items():
            if kind != first[name]:
                raise DataError(
                    f"column {name!r} is {first[name]} in {files[0].name} and {kind} in {file.name}",
                    advice="Export all files with the same types; Parquet keeps them.",
                )


def export_moments(moments: Moments, path: Path | str, *, smallest: int = SMALLEST_CELL) -> int:
    """Write moments for others to use, without the cells of few rows.

    A cell of fewer than ``smallest`` rows is left out; if all that was left out together is as few, the smallest
    other cell goes too, so that a total known from elsewhere does not give the hidden rows away.

    Returns
    -------
    int
        Cells that were left out.

    Raises
    ------
    DataError
        If ``smallest`` is below 5, or nothing would be left.
    """
    if smallest < 5:
        raise DataError(f"smallest cell of {smallest} rows", advice="Cells of fewer than 5 rows name people; use 10.")
    hidden = moments.n < smallest
    if hidden.any() and not hidden.all() and moments.n[hidden].sum() < smallest:
        others = np.flatnonzero(~hidden)
        hidden[others[np.argmin(moments.n[others])]] = True
    if hidden.all():
        raise DataError(
            f"all {len(moments):,} cells have fewer than {smallest} rows, or give one away that has",
            advice="Roll up to larger groups first: these are people, not groups.",
        )
    save_moments(moments.take(~hidden), path)
    return int(hidden.sum())


# -- arrays ----------------------------------------------------------------------------------------------------------


def _as_arrays(moments: Moments) -> dict[str, Array]:
    about = {"format": _FORMAT, "columns": moments.columns, "keys": list(moments.keys), "pairs": moments.pairs}
    arrays = {"about": np.array(json.dumps(about))}
    arrays |= {name: getattr(moments, name) for name in _PLAIN}
    for name in ("sums", "products"):
        values = getattr(moments, name)
        arrays[name] = values.astype(float)
        large = (
            [at for at, each in enumerate(values.ravel().tolist()) if isinstance(each, int)]
            if values.dtype == object
            else []
        )
        arrays[f"{name}_at"] = np.array(large, dtype=np.int64)
        arrays[f"{name}_exact"] = np.array([str(values.ravel()[at]) for at in large], dtype=str)
    for at, (name, labels) in enumerate(moments.keys.items()):
        arrays |= _label_arrays(f"key_{at}", name, labels)
    return arrays


def _label_arrays(place: str, name: str, labels: Array) -> dict[str, Array]:
    if labels.dtype != object:
        return {place: labels}
    listed = labels.tolist()
    odd = next((each for each in listed if not isinstance(each, str | int | float | bool | None)), None)
    if odd is not None:
        raise DataError(f"key {name!r} holds a {type(odd).__name__}", advice="Turn its labels into text first.")
    return {place: np.array([json.dumps(each) for each in listed], dtype=str), f"{place}_json": np.array(True)}  # noqa: FBT003 - a mark


def _from_arrays(arrays: Mapping[str, Array]) -> Moments:
    about = json.loads(str(arrays["about"]))
    return Moments(
        columns=tuple(about["columns"]),
        keys={name: _labels(arrays, f"key_{at}") for at, name in enumerate(about["keys"])},
        pairs=tuple((i, j) for i, j in about["pairs"]),
        sums=_numbers(arrays, "sums"),
        products=_numbers(arrays, "products"),
        **{name: arrays[name] for name in _PLAIN},
    )


def _labels(arrays: Mapping[str, Array], place: str) -> Array:
    if f"{place}_json" not in arrays:
        return arrays[place]
    return np.array([json.loads(each) for each in arrays[place].tolist()], dtype=object)


def _numbers(arrays: Mapping[str, Array], name: str) -> Array:
    at = arrays[f"{name}_at"]
    if not len(at):
        return arrays[name]
    values = exact_objects(arrays[name])
    values.ravel()[at] = [int(each) for each in arrays[f"{name}_exact"].tolist()]
    return values


def _digest(arrays: Mapping[str, Array]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {values.dtype.str} {arrays[name].shape}\n".encode())
        total.update(values.tobytes())
    return total.hexdigest()
