"""Whole processes, interleaved: wall and processor seconds of each, and its peak memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).resolve().parent


class BenchmarkError(Exception):
    """A run failed, or its numbers are wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one process, or the median of several, took: seconds, seconds, megabytes, and the numbers that it found."""

    wall: float
    cpu: float
    peak: float
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pythons:
    """The interpreters, and where their bytecode goes."""

    own: str = sys.executable
    rival: str | None = None
    bytecode: Path

    def of(self, work: str) -> str:
        """Return the interpreter of a kind of work."""
        return self.rival if work.startswith("rivals.") and self.rival else self.own

    def environment(self) -> dict[str, str]:
        """One thread for linear algebra; bytecode is written and kept apart from the sources."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {
            **kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": str(self.bytecode),
        }  # fmt: skip

    def compiled(self, work: str) -> bool:
        """Whether the warm-up left bytecode of what this work imports; without it imports cost many times more."""
        library = {"scans": "duckdb", "rivals": "numpy"}.get(work.split(".", 1)[0], "cpi_experiments")
        return any(library in place.parts for place in self.bytecode.rglob("*.pyc"))


def run_once(work: str, folder: Path, pythons: Pythons) -> Took:
    """Run one process from its start to its end.

    Raises
    ------
    BenchmarkError
        If it fails; with the end of what it said.
    """
    command = [pythons.of(work), "-W", "ignore", str(HERE / "work.py"), work, str(folder)]
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=pythons.environment(), text=True
    ) as process:
        said, complaint = _both(process)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"{work} failed: {complaint[-1500:]}")
    answer = json.loads(said.splitlines()[-1])
    numbers = answer["numbers"]
    # some work is timed inside its process: fits that are extrapolated, analyses after the imports
    return Took(
        wall=numbers.pop("wall", wall),
        cpu=numbers.pop("cpu", usage.ru_utime + usage.ru_stime),
        peak=answer["peak"],
        numbers=numbers,
    )


def _both(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Read what a process prints until it closes its output; complaints are short and fit the pipe."""
    assert process.stdout is not None  # noqa: S101 - both are pipes
    assert process.stderr is not None  # noqa: S101 - both are pipes
    return process.stdout.read(), process.stderr.read()


def measure(
    works: Sequence[str],
    folder: Path,
    pythons: Pythons,
    *,
    rounds: int,
    prepare: Callable[[str], None] = lambda _: None,
) -> dict[str, Took]:
    """Run all works in turn, round by round, so that a busy machine slows all; medians of the rounds."""
    runs: dict[str, list[Took]] = {work: [] for work in works}
    for _ in range(rounds):
        for work, found in runs.items():
            prepare(work)
            found.append(run_once(work, folder, pythons))
    return {work: _median(found) for work, found in runs.items()}


def _median(runs: Sequence[Took]) -> Took:
    wall, cpu, peak = (statistics.median(getattr(run, name) for run in runs) for name in ("wall", "cpu", "peak"))
    return Took(wall=wall, cpu=cpu, peak=peak, numbers=runs[0].numbers)


def check(name: str, ours: Mapping[str, float], theirs: Mapping[str, float], tolerances: Mapping[str, float]) -> int:
    """Compare numbers by their last word (effect, se, p, total); return how many were compared.

    Raises
    ------
    BenchmarkError
        If one is missing or differs by more than its tolerance: a fast wrong answer is no answer.
    """
    compared = 0
    for key, expected in theirs.items():
        kind = key.rsplit(".", 1)[-1]
        if kind not in tolerances:
            continue
        if key not in ours:
            raise BenchmarkError(f"{name}: {key} is missing")
        allowed = tolerances[kind] * max(abs(expected), 1e-12)
        if not abs(ours[key] - expected) <= allowed:
            said = f"{key} is {ours[key]!r}, expected {expected!r} (tolerance {tolerances[kind]})"
            raise BenchmarkError(f"{name}: {said}")
        compared += 1
    if not compared:
        raise BenchmarkError(f"{name}: nothing to compare")
    return compared
