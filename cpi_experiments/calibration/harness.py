"""Run the worlds: seeds, chunks, processes; results depend on the seed alone."""

from __future__ import annotations

import secrets
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from difflib import get_close_matches
from multiprocessing import get_context
from typing import TYPE_CHECKING, Literal
from zlib import crc32

import numpy as np

from cpi_experiments.calibration.result import Calibration, Tally, outcome
from cpi_experiments.calibration.roster import worlds as all_worlds
from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.one_blas_thread import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cpi_experiments.calibration.result import Outcome
    from cpi_experiments.calibration.world import World

#: Root of all draws where no seed is given.
SEED = 20261122
#: One task: name of the world, root seed, number of the chunk, simulations.
Task = tuple[str, int, int, int]
#: Worlds that an error names.
_NAMED = 5


def run(
    *,
    quick: bool = True,
    world: str | None = None,
    seed: int | Literal["fresh"] | None = None,
    processes: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Calibration:
    """Simulate worlds with known truth and hold every rate against its claim.

    Parameters
    ----------
    quick : bool
        Few simulations a world (minutes), or the full number.
    world : str, optional
        Name or number of one world; all by default. A name may be a part that several worlds share.
    seed : int or "fresh", optional
        Root of all draws: a fixed one by default; ``"fresh"`` draws one, tells it and records it.
    processes : int
        Python processes that share the work; they change nothing but the time.
    progress : callable, optional
        Called with one line of text: the seed at the start, then every world when it is done.

    Returns
    -------
    Calibration

    Raises
    ------
    EstimationError
        If no world has that name, or seed or processes are not usable.

    Notes
    -----
    A claim is contradicted if the exact binomial tail at its bound is below 1e-4 (a mean: if it is four standard errors
    off); the run has then not passed. It holds if the rate keeps the bound and the band ends near it (at most twice a
    bound of 10 % or less); between the two it is open: too few draws could show more. So a claim that is true at its
    very bound fails once in ten thousand runs, and a rate 1.5 times its bound of .05 is found with 2,000 simulations
    in about half of the runs.

    Examples
    --------
    >>> print(run(world="missing_covariance"))
    The only claim in 1 world holds (seed 20261122, 400 simulations a world)
    """
    root = _root(seed)
    if processes < 1:
        raise EstimationError(f"processes is {processes}", advice="Give 1 or more.")
    chosen = _chosen(world)
    told = progress or (lambda _line: None)
    told(f"seed {root}")
    return judge_worlds(chosen, quick=quick, root=root, processes=processes, progress=told, fresh=seed == "fresh")


def judge_worlds(
    chosen: Sequence[World],
    *,
    quick: bool = True,
    root: int = SEED,
    processes: int = 1,
    progress: Callable[[str], None] = lambda _line: None,
    fresh: bool = False,
) -> Calibration:
    """Run given worlds; with several processes they must be in the roster."""
    began = time.perf_counter()
    outcomes = []
    with one_blas_thread():
        counted = _counted(chosen, quick=quick, root=root, processes=processes)
        for world, (tallies, seconds) in zip(chosen, counted, strict=True):
            found = [outcome(world, claim, tallies[claim.name], seconds=seconds) for claim in world.claims]
            outcomes += found
            progress(f"{world.name}: {_said(found)} ({seconds:.1f} s)")
    return Calibration(
        outcomes=tuple(outcomes),
        seed=root,
        fresh=fresh,
        quick=quick,
        date=datetime.now(UTC).date().isoformat(),
        seconds=time.perf_counter() - began,
    )


def _root(seed: int | str | None) -> int:
    if seed is None:
        return SEED
    if seed == "fresh":
        return secrets.randbelow(2**31)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise EstimationError(f"seed {seed!r} is no seed", advice='Give a whole number from 0 up, or "fresh".')
    return seed


def _chosen(name: str | None) -> tuple[World, ...]:
    known = all_worlds()
    if name is None:
        return known
    found = tuple(w for w in known if name in (w.name, str(w.number or w.name)))
    found = found or tuple(w for w in known if name and name in w.name)
    if not found:
        raise EstimationError(f"no world is called {name!r}", advice=_like(name, [w.name for w in known]))
    return found


def _like(name: object, known: Sequence[str]) -> str:
    """Name the nearest few worlds, and where all of them stand."""
    close = get_close_matches(str(name), known, n=_NAMED, cutoff=0.4)
    ask = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"For example {', '.join(known[:_NAMED])}."
    return f"{ask} `cpi calibrate --list` names all {len(known)}."


def _said(found: Sequence[Outcome]) -> str:
    failed, left = ([o.claim for o in found if o.state == state] for state in ("fails", "open"))
    if failed:
        return f"FAILS {', '.join(failed)}"
    return f"not contradicted: {', '.join(left)}" if left else "holds"


def _counted(
    chosen: Sequence[World], *, quick: bool, root: int, processes: int
) -> Iterator[tuple[dict[str, Tally], float]]:
    """Tallies and computing time of every world, in order."""
    tasks = [list(_tasks(world, quick=quick, root=root)) for world in chosen]
    if processes == 1:
        for world, mine in zip(chosen, tasks, strict=True):
            yield _added(simulated(world, task) for task in mine)
        return
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_leave_interrupts_to_the_parent)
    futures = [[pool.submit(simulated_by_name, task) for task in mine] for mine in tasks]
    try:
        for sent in futures:
            yield _added(future.result() for future in sent)
    finally:  # after Ctrl-C wait for what is being simulated, and for nothing else
        for future in (each for sent in futures for each in sent):
            future.cancel()
        pool.shutdown(wait=False)


def _leave_interrupts_to_the_parent() -> None:
    """Let a worker end its task quietly when Ctrl-C reaches all processes of a terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _tasks(world: World, *, quick: bool, root: int) -> Iterator[Task]:
    reps = world.reps(quick=quick)
    for chunk, start in enumerate(range(0, reps, world.chunk)):
        yield world.name, root, chunk, min(world.chunk, reps - start)


def simulated_by_name(task: Task) -> tuple[dict[str, Tally], float]:
    """Run one task in a process of its own."""
    (world,) = (w for w in all_worlds() if w.name == task[0])
    with one_blas_thread():
        return simulated(world, task)


def simulated(world: World, task: Task) -> tuple[dict[str, Tally], float]:
    """Run one task: tallies per claim, and computing time in seconds."""
    name, root, chunk, reps = task
    began = time.perf_counter()
    rng = np.random.default_rng(np.random.SeedSequence([root, crc32(name.encode()), chunk]))
    hits = world.simulate(rng, reps)
    claimed = {claim.name for claim in world.claims}
    if set(hits) != claimed:
        raise EstimationError(f"world {name} claims {sorted(claimed)}; it counted {sorted(hits)}")
    return {key: Tally.of(values) for key, values in hits.items()}, time.perf_counter() - began


def _added(parts: Iterable[tuple[dict[str, Tally], float]]) -> tuple[dict[str, Tally], float]:
    total: dict[str, Tally] = {}
    seconds = 0.0
    for tallies, spent in parts:
        for key, tally in tallies.items():
            total[key] = total[key] + tally if key in total else tally
        seconds += spent
    return total, seconds
