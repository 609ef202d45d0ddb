"""What a calibration run found: every claim of every world, with its rate, its exact band and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import special

from cpi_experiments.display import Displayed, markdown_table, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.calibration.world import Claim, World

#: Chance of either tail beyond the band: a true claim at its very bound fails once in ten thousand runs.
TAIL = 1e-4
#: Half-width of the band of a mean (a false discovery rate), in standard errors.
MEAN_ERRORS = 4.0
#: A claim holds only if its band ends this near to its bound: as far as the bound is from 0 or 1, and no further than
#: the first (20 % against "at most 10 %", 70 % against "at least 80 %"); the second where the bound is 0 or 1 itself.
WIDEST, WIDEST_AT_THE_END = 0.1, 0.05

#: How a table of claims is read.
LEGEND = (
    "rate: how often it happened; band: what the true rate may be (exact, 1 in 10,000 each side). "
    "holds: the rate keeps the bound and the band ends near it; open: not contradicted, too few draws to show more; "
    '"breaks 0.02 ... shown": a common but wrong method, shown to break the bound that ours keeps.'
)

State = Literal["holds", "open", "shown", "fails"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Hits of one claim, added up: how many, their sum, their sum of squares, and whether they are a mean.

    Examples
    --------
    >>> two = Tally.of(np.array([True, False])) + Tally.of(np.array([True]))
    >>> two.reps, two.rate, two.is_mean
    (3, 0.6666666666666666, False)
    """

    reps: int = 0
    total: float = 0.0
    squares: float = 0.0
    is_mean: bool = False

    @classmethod
    def of(cls, hits: np.ndarray) -> Tally:
        """Add up an array of hits: bool or integers for a rate, floats for a mean."""
        values = np.asarray(hits)
        is_mean = values.dtype.kind == "f"
        values = values.astype(float)
        return cls(reps=values.size, total=float(values.sum()), squares=float(np.sum(values**2)), is_mean=is_mean)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            reps=self.reps + other.reps,
            total=self.total + other.total,
            squares=self.squares + other.squares,
            is_mean=self.is_mean or other.is_mean,
        )

    @property
    def rate(self) -> float:
        """Share or mean; NaN if nothing was counted."""
        return self.total / self.reps if self.reps else float("nan")

    def band(self) -> tuple[float, float]:
        """Band of the true rate: exact binomial (Clopper–Pearson) with `TAIL` each side; mean ± 4 errors for a mean."""
        if not self.reps:
            return 0.0, 1.0
        if self.is_mean:
            spread = max(self.squares / self.reps - self.rate**2, 0.0)
            half = MEAN_ERRORS * (spread / max(self.reps - 1, 1)) ** 0.5
            return self.rate - half, self.rate + half
        hits, misses = self.total, self.reps - self.total
        low = float(special.betaincinv(hits, misses + 1, TAIL)) if hits else 0.0
        high = float(special.betaincinv(hits + 1, misses, 1 - TAIL)) if misses else 1.0
        return low, high


#: States as tables write them.
STATES = {"holds": "holds", "open": "open", "shown": "shown", "fails": "FAILS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One claim and what the simulations say about it.

    Parameters
    ----------
    world : str
    number : int
    title : str
    unit_level : bool
        The world, as in `World`.
    claim, kind, method, relation : str
    bound : float
    naive : bool
        The claim, as in `Claim`.
    rate : float
    band_low, band_high : float
        Exact band of the true rate (one in ten thousand each side); four standard errors for a mean.
    reps : int
        What the rate is over.
    inside : bool
        Whether the rate itself keeps the bound.
    passed : bool
        The band does not contradict the bound; for a naive method: the band shows that the bound is broken.
    state : {"holds", "open", "shown", "fails"}
        ``holds``: the rate keeps the bound and its band ends near it (at most twice a bound of 10 % or less).
        ``open``: not contradicted, but the rate is on the wrong side by chance, or too few draws could show that it
        holds. ``shown``: a naive method breaks the bound, as it should. ``fails``: not passed.
    seconds : float
        Computing time of the whole world.
    """

    world: str
    number: int
    title: str
    unit_level: bool
    claim: str
    kind: str
    method: str
    naive: bool
    relation: str
    bound: float
    rate: float
    band_low: float
    band_high: float
    reps: int
    inside: bool
    passed: bool
    state: State
    seconds: float

    @property
    def bound_told(self) -> str:
        """The bound as one reads it; a naive method is to break it."""
        return f"{'breaks' if self.naive else self.relation} {self.bound:g}"


def state_of(claim: Claim, *, passed: bool, inside: bool, band: tuple[float, float]) -> State:
    """Say what a band shows of a claim that it does or does not contradict.

    Examples
    --------
    >>> from cpi_experiments.calibration.world import Claim
    >>> claim = Claim(name="confirmed", relation="<=", bound=0.02, kind="false confirmation")
    >>> state_of(claim, passed=True, inside=True, band=(0.0, 0.035))
    'holds'
    >>> state_of(claim, passed=True, inside=True, band=(0.0, 0.088))  # none of 100 draws: it may be 8 %
    'open'
    """
    if not passed:
        return "fails"
    if claim.naive:
        return "shown"
    nearest_end = min(claim.bound, 1 - claim.bound)
    slack = min(nearest_end, WIDEST) if nearest_end > 0 else WIDEST_AT_THE_END
    beyond = band[1] - claim.bound if claim.relation == "<=" else claim.bound - band[0]
    return "holds" if inside and beyond <= slack else "open"


def outcome(world: World, claim: Claim, tally: Tally, *, seconds: float) -> Outcome:
    """Hold a tally against its claim.

    Examples
    --------
    >>> from cpi_experiments.calibration.world import Claim, World
    >>> claim = Claim(name="confirmed", relation="<=", bound=0.01, kind="false confirmation")
    >>> world = World(number=0, name="w", title="", expected="", claims=(claim,), simulate=lambda rng, reps: {})
    >>> found = outcome(world, claim, Tally(reps=1000, total=15), seconds=0.1)
    >>> found.rate, found.inside, found.passed  # 15 of 1,000 do not contradict 1 in 100
    (0.015, False, True)
    >>> found.state
    'open'
    """
    low, high = tally.band()
    upper = claim.relation == "<="
    holds = tally.reps > 0 and (low <= claim.bound if upper else high >= claim.bound)
    inside = tally.rate <= claim.bound if upper else tally.rate >= claim.bound
    passed = (not holds and tally.reps > 0) if claim.naive else holds
    return Outcome(
        **world.facts(),
        claim=claim.name,
        kind=claim.kind,
        method=claim.method,
        naive=claim.naive,
        relation=claim.relation,
        bound=claim.bound,
        rate=tally.rate,
        band_low=low,
        band_high=high,
        reps=tally.reps,
        inside=inside,
        passed=passed,
        state=state_of(claim, passed=passed, inside=inside, band=(low, high)),
        seconds=seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Displayed):
    """Outcome of a calibration run.

    Parameters
    ----------
    outcomes : tuple of Outcome
        One per claim, by world.
    seed : int
        Root of all draws.
    fresh : bool
        Whether the seed was drawn for this run.
    quick : bool
    date : str
        Day of the run.
    seconds : float
        Wall time.
    """

    outcomes: tuple[Outcome, ...]
    seed: int
    fresh: bool
    quick: bool
    date: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether no claim is contradicted."""
        return not self.failed

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The claims that do not hold."""
        return tuple(o for o in self.outcomes if not o.passed)

    @property
    def open(self) -> tuple[Outcome, ...]:
        """The claims that are not contradicted, but not shown to hold either."""
        return tuple(o for o in self.outcomes if o.state == "open")

    def _title(self) -> str:
        n = len(self.outcomes)
        worlds = len({o.world for o in self.outcomes})
        run = f"(seed {self.seed}{', drawn for this run' if self.fresh else ''}, {self._sizes()})"
        where = "1 world" if worlds == 1 else f"{worlds} worlds"
        if self.passed:
            who = f"Every one of {n} claims" if n > 1 else "The only claim"
            return f"{who} in {where} {self._passes(run)}"
        named = "; ".join(f"{o.world}: {o.claim} {o.rate:.4f}, not {o.relation} {o.bound:g}" for o in self.failed[:5])
        more = f"; and {len(self.failed) - 5} more" if len(self.failed) > 5 else ""
        verb = "does" if len(self.failed) == 1 else "do"
        left = f", {len(self.open)} {_are(len(self.open))} not contradicted" if self.open else ""
        return f"{len(self.failed)} of {n} claims in {where} {verb} not hold{left} {run}: {named}{more}"

    def _passes(self, run: str) -> str:
        many, n = len(self.open), len(self.outcomes)
        if not many:
            return f"holds {run}"
        if n == 1:
            return f"is not contradicted {run}: too few draws to show more"
        held = f"{n - many} {'holds' if n - many == 1 else 'hold'}"
        return f"passes {run}: {held}, {many} {_are(many)} not contradicted (too few draws to show more)"

    def _sizes(self) -> str:
        sizes = [o.reps for o in self.outcomes]
        if min(sizes) == max(sizes):
            return f"{sizes[0]:,} simulations a world"
        return f"{min(sizes):,} to {max(sizes):,} simulations a claim"

    def _rows(self) -> list[dict[str, Any]]:
        names = ("world", "claim", "kind", "method", "naive", "relation", "bound")
        numbers = ("rate", "band_low", "band_high", "reps", "inside", "passed", "state", "seconds")
        return [{name: getattr(o, name) for name in (*names, *numbers)} for o in self.outcomes]

    def _shown(self) -> list[dict[str, str]]:
        return [
            {
                "world": o.world if i == 0 or self.outcomes[i - 1].world != o.world else "",
                "claim": o.claim,
                "rate": number(o.rate, 4),
                "bound": o.bound_told,
                "state": STATES[o.state],
            }
            for i, o in enumerate(self.outcomes)
        ]

    def to_markdown(self) -> str:
        """Return the page for the documentation: date, seed, one table of worlds, one of claims."""
        size = "quick" if self.quick else "full"
        head = f"{self._title()}.\n\nRun of {self.date}, {size}, {self.seconds / 60:.1f} minutes. {LEGEND}"
        worlds = {o.world: o for o in self.outcomes}
        about = [{"#": str(o.number or ""), "world": name, "what is true": o.title} for name, o in worlds.items()]
        return f"{head}\n\n{_tables(about)}\n\n{_tables([_page_row(o) for o in self.outcomes])}\n"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _page_row(o: Outcome) -> dict[str, str]:
    return {
        "world": o.world,
        "claim": o.claim,
        "method": o.method,
        "rate": number(o.rate, 4),
        "band": f"{number(o.band_low, 4)} to {number(o.band_high, 4)}",
        "bound": o.bound_told,
        "simulations": f"{o.reps:,}",
        "state": STATES[o.state] if o.passed else f"**{STATES[o.state]}**",
        "seconds": number(o.seconds, 1),
    }


def _tables(rows: Sequence[dict[str, str]]) -> str:
    """One Markdown table of any length (the shared one stops at twenty rows)."""
    head, *_ = (markdown_table(rows[:1]),)
    lines = head.split("\n")[:2]
    return "\n".join([*lines, *(markdown_table([row]).split("\n")[2] for row in rows)])
