"""Tables of methods: one world a method, one claim (or two: not too many, not too few) for every kind of data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.calibration.world import Claim, Hits, Kind, World

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray
#: Draws to hits: ``count(rng, reps)`` returns a bool array.
Count = Callable[[np.random.Generator, int], Array]
#: Alarms of an honest five-percent test.
LEVEL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One rate of a method on one kind of data, and the range that it must stay in.

    Parameters
    ----------
    name : str
        At most 20 characters: the claims add "at most" or "at least".
    count : callable
    at_most, at_least : float, optional
        Bounds; one or both.
    kind : str
        As in `Claim`.
    naive : bool
        The bound is one that this method must be seen to break.
    method : str
        If it is not the method of the table.
    times : int
        Draws for every simulation of the world.
    """

    name: str
    count: Count
    at_most: float | None = None
    at_least: float | None = None
    kind: Kind = "false confirmation"
    naive: bool = False
    method: str = ""
    times: int = 1

    def claims(self, method: str) -> tuple[Claim, ...]:
        """One claim a bound."""
        bounds = (("<=", self.at_most), (">=", self.at_least))
        given = [(relation, bound) for relation, bound in bounds if bound is not None]
        both = len(given) > 1
        return tuple(
            Claim(
                name=self._named(relation, both=both),
                relation=relation,  # type: ignore[arg-type] # one of two
                bound=bound,
                kind=self.kind,
                method=self.method or method,
                naive=self.naive,
            )
            for relation, bound in given
        )

    def _named(self, relation: str, *, both: bool) -> str:
        return f"{self.name}, at {'most' if relation == '<=' else 'least'}" if both else self.name


def about(name: str, count: Count, rate: float = LEVEL, *, kind: Kind = "false confirmation", times: int = 1) -> Rate:
    """Ask for a rate that is what it says, neither more nor less.

    Examples
    --------
    >>> rate = about("coin", lambda rng, reps: rng.random(reps) < 0.5, 0.5, kind="coverage")
    >>> [claim.name for claim in rate.claims("a coin")]
    ['coin, at most', 'coin, at least']
    """
    return Rate(name=name, count=count, at_most=rate, at_least=rate, kind=kind, times=times)


def careful(name: str, count: Count, at_least: float, *, rate: float = LEVEL) -> Rate:
    """Ask for a rate that may be lower than it says (small samples, heavy tails), but not useless."""
    return Rate(name=name, count=count, at_most=rate, at_least=at_least)


def broken(name: str, count: Count, rate: float = LEVEL, *, method: str, times: int = 1) -> Rate:
    """Ask a naive method for a rate that it cannot keep."""
    return Rate(name=name, count=count, at_most=rate, naive=True, method=method, times=times)


def method_world(
    name: str,
    title: str,
    method: str,
    rates: Sequence[Rate],
    *,
    reps: tuple[int, int] = (2_000, 20_000),
    chunk: int = 200,
    unit_level: bool = True,
) -> World:
    """Make a world of the rates of one method."""
    return World(
        number=0,
        name=name,
        title=title,
        expected="every rate is what the method says",
        claims=tuple(claim for rate in rates for claim in rate.claims(method)),
        simulate=partial(_simulate, rates=tuple(rates), method=method),
        reps_quick=reps[0],
        reps_full=reps[1],
        unit_level=unit_level,
        chunk=chunk,
    )


def _simulate(rng: np.random.Generator, reps: int, *, rates: tuple[Rate, ...], method: str) -> Hits:
    hits: dict[str, Array] = {}
    for rate in rates:
        found = rate.count(rng, rate.times * reps)
        hits |= dict.fromkeys((claim.name for claim in rate.claims(method)), found)
    return hits
