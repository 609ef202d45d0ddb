"""From a truth and a list of claims to a world: draw, judge with the rule that users call, count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from cpi_experiments.calibration.judged_draws import Drawn, Truth, cases, draw
from cpi_experiments.calibration.world import Claim, Hits, Kind, World
from cpi_experiments.evidence import judge
from cpi_experiments.evidence.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Draws of a naive method for every link that is judged: they cost next to nothing.
NAIVE_DRAWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A claim about the judge, and how a decision counts.

    Parameters
    ----------
    claim : Claim
    counts : callable
        Whether a decision is a hit.
    """

    claim: Claim
    counts: Callable[[Decision], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A claim about another method, and how it counts the same draws.

    Parameters
    ----------
    claim : Claim
    counts : callable
        Drawn summaries to hits, one per link (or fewer: a conditional rate).
    cheap : bool
        Whether it is drawn `NAIVE_DRAWS` times as often; False for what calls the judge.
    """

    claim: Claim
    counts: Callable[[Drawn], np.ndarray]
    cheap: bool = True


def confirmed(bound: float = 0.01) -> Asked:
    """Ask how often the link is confirmed though it must not be."""
    claim = Claim(name="confirmed", relation="<=", bound=bound, kind="false confirmation")
    return Asked(claim=claim, counts=lambda d: d.verdict.value == "confirmed")


def refuted(bound: float = 0.01) -> Asked:
    """Ask how often the link is refuted though it must not be."""
    claim = Claim(name="refuted", relation="<=", bound=bound, kind="refutation error")
    return Asked(claim=claim, counts=lambda d: d.verdict.value == "refuted")


def found(word: str, bound: float, *, cause: str = "", grades: Sequence[str] = ()) -> Asked:
    """Ask how often the verdict is the right one, with its cause or one of the grades if told."""

    def counts(decision: Decision) -> bool:
        right = decision.verdict.value == word and cause in ("", decision.cause)
        return right and (not grades or decision.grade in grades)

    told = f"grade {' or '.join(grades)}" if grades else cause or word
    named = f"{word}: {told}"[:30] if told != word else f"rightly {word}"
    return Asked(claim=Claim(name=named, relation=">=", bound=bound, kind="power"), counts=counts)


def asked(
    name: str, relation: Literal["<=", ">="], bound: float, counts: Callable[[Decision], bool], *, kind: Kind
) -> Asked:
    """Ask anything else of a decision."""
    return Asked(claim=Claim(name=name, relation=relation, bound=bound, kind=kind), counts=counts)


def judged_world(  # noqa: PLR0913 - what a world is
    number: int,
    name: str,
    title: str,
    expected: str,
    truth: Truth,
    questions: Sequence[Asked],
    *,
    beside: Sequence[Beside] = (),
    reps: tuple[int, int] = (400, 4000),
) -> World:
    """Make a world whose links are judged one by one, each as one of four slots.

    Parameters
    ----------
    number, name, title, expected : as in `World`
    truth : Truth
    questions : sequence of Asked
    beside : sequence of Beside
        Other methods on draws of the same truth.
    reps : tuple of int
        Simulations of a quick and of a full run.

    Examples
    --------
    >>> truth = Truth(theta=2.0, error=0.2)
    >>> world = judged_world(0, "strong", "2 SESOI", "confirmed", truth, [found("confirmed", 0.9)])
    >>> {key: int(hits.sum()) for key, hits in world.simulate(np.random.default_rng(1), 20).items()}
    {'rightly confirmed': 20}
    """
    return World(
        number=number,
        name=name,
        title=title,
        expected=expected,
        claims=(*(q.claim for q in questions), *(b.claim for b in beside)),
        simulate=partial(_simulate, truth=truth, questions=tuple(questions), beside=tuple(beside)),
        reps_quick=reps[0],
        reps_full=reps[1],
    )


def _simulate(
    rng: np.random.Generator, reps: int, *, truth: Truth, questions: tuple[Asked, ...], beside: tuple[Beside, ...]
) -> Hits:
    drawn = draw(truth, rng, reps)
    decisions = [judge.judge_cases([case])[0] for case in cases(drawn)]
    hits = {q.claim.name: np.array([q.counts(d) for d in decisions]) for q in questions}
    if any(b.cheap for b in beside):
        many = draw(truth, rng, NAIVE_DRAWS * reps)
    return hits | {b.claim.name: b.counts(many if b.cheap else drawn) for b in beside}
