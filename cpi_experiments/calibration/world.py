"""What a truth-world is: a truth, what must be said about it, and how to draw it and ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

#: Hits per claim: bool (or 0/1) arrays give a rate, float arrays a mean (false discovery proportions, shares found).
Hits = Mapping[str, np.ndarray]
Kind = Literal["false confirmation", "refutation error", "power", "coverage", "fdr", "verdict", "sign error"]

#: Simulations that one task draws at a time; results depend on it, and not on the number of processes.
CHUNK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One bound that a rate of a world has to keep.

    Parameters
    ----------
    name : str
        At most 30 characters; unique in its world. The key of the hits that `World.simulate` returns.
    relation : str
        ``<=`` or ``>=``.
    bound : float
    kind : str
        What kind of rate it is.
    method : str
        ``judge``, the method whose table it is, or the name of a naive method.
    naive : bool
        The claim is that this method breaks the bound, which the honest rule keeps: it passes if the simulations
        show the rate on the wrong side.

    Examples
    --------
    >>> Claim(name="confirmed", relation="<=", bound=0.01, kind="false confirmation").told
    '<= 0.01'
    >>> gate = Claim(name="F gate", relation="<=", bound=0.05, kind="false confirmation", method="F > 10", naive=True)
    >>> gate.told
    'breaks 0.05'
    """

    name: str
    relation: Literal["<=", ">="]
    bound: float
    kind: Kind
    method: str = "judge"
    naive: bool = False

    @property
    def told(self) -> str:
        """The bound as one reads it; a naive method is to break it."""
        return f"{'breaks' if self.naive else self.relation} {self.bound:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A truth and what must be said about it.

    Parameters
    ----------
    number : int
        Number in the list of worlds of the methods page; 0 for one that is not in it.
    name : str
        Slug of at most 24 characters, unique; it seeds the draws.
    title : str
        One sentence: what is true.
    expected : str
        The verdict to expect, in words.
    claims : tuple of Claim
    simulate : callable
        ``simulate(rng, reps)`` draws ``reps`` worlds and returns one array of hits per claim, by its name. The arrays
        may be longer or shorter than ``reps``: a rate is over what is in them (a conditional rate over those that
        met the condition, a naive method over more draws).
    reps_quick, reps_full : int
    unit_level : bool
        Whether customers are drawn, rather than summaries of experiments.
    chunk : int
        Simulations per call of ``simulate``.
    """

    number: int
    name: str
    title: str
    expected: str
    claims: tuple[Claim, ...]
    simulate: Callable[[np.random.Generator, int], Hits]
    reps_quick: int = 400
    reps_full: int = 2000
    unit_level: bool = False
    chunk: int = CHUNK

    def reps(self, *, quick: bool) -> int:
        """Return the simulations of a run."""
        return self.reps_quick if quick else self.reps_full

    def facts(self) -> dict[str, Any]:
        """Tell what a row of a result says about its world."""
        return {"number": self.number, "world": self.name, "title": self.title, "unit_level": self.unit_level}
