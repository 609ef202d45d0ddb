"""The portfolio replayed look by look: running p-values of every link, and the sets published after each step.

A judging step is one time at which the whole portfolio was judged. What a link's evidence was at an earlier step
follows from the experiments that counted then, so the state of the rule is nothing but a list of experiments by step,
and the same evidence gives the same history in a table and in a ledger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError, nearest
from cpi_experiments.evidence.case import INERT_SHARE
from cpi_experiments.stats.judging.e_bh import e_bh
from cpi_experiments.stats.judging.link_score import direction_terms, planned_terms, spoken_for
from cpi_experiments.stats.judging.portfolio import alone_threshold, publish, slots_of
from cpi_experiments.stats.judging.running_p import running_p
from cpi_experiments.stats.sequential.link_process import planned_log_e, purged_log_e

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.evidence.case import Case, Trialed
    from cpi_experiments.stats.combining.effects import Effects
    from cpi_experiments.stats.judging.look_plan import LookPlan

Floats = np.ndarray

FAMILIES = ("direction", "harm", "equivalence")
#: How sets are formed: closed step-e; plain step-e where links are registered because of evidence; e-BH without plans.
MODES = ("closed", "plain", "e-bh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Cumulative scores and information of one test for every link after every step.

    Parameters
    ----------
    scores, information : array, shape (m, T)
    """

    scores: Floats
    information: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """What was known of every link after every step, and what could be published.

    Parameters
    ----------
    p_values : mapping of family to array, shape (m, T)
        Running p-values; they never rise.
    published : mapping of family to tuple of T frozensets
        Indices of links.
    scores : mapping of test to Scores
        ``direction``, ``harm``, ``below sesoi`` and ``above minus sesoi``.
    fdr : float
        Rate of each family.
    slots : int
    mode : str
    first : int
        Step at which the horizon began.
    """

    p_values: Mapping[str, Floats]
    published: Mapping[str, tuple[frozenset[int], ...]]
    scores: Mapping[str, Scores]
    fdr: float
    slots: int
    mode: str
    first: int = 0

    @property
    def threshold(self) -> float:
        """One-sided p-value that is published when every other slot has p = 1."""
        return self.fdr / self.slots if self.mode == "e-bh" else alone_threshold(self.fdr, self.slots)

    def holds(self, family: str, link: int) -> bool:
        """Whether a link is published in a family after the last step."""
        return link in self.published[family][-1]

    def since(self, family: str, link: int) -> int | None:
        """First step of this horizon from which the link was published without a break; None if it is not now."""
        steps = self.published[family]
        if link not in steps[-1]:
            return None
        missing = [t for t, members in enumerate(steps) if link not in members]
        return max([self.first, *(t + 1 for t in missing)])


def replay(
    cases: Sequence[Case], *, fdr: float, slots: int | None = None, mode: str = "closed", first: int = 0
) -> Portfolio:
    """Judge a portfolio step by step.

    Parameters
    ----------
    cases : sequence of Case
        Every registered link, dormant ones too.
    fdr : float
    slots : int, optional
        Size of the portfolio, frozen at the start of the horizon; the number of links (at least 4) by default.
    mode : str
        One of `MODES`, frozen as well.
    first : int
        Step at which the horizon began: published sets start empty there, running p-values do not.

    Raises
    ------
    EstimationError
        If ``fdr`` is not a share, the mode is unknown, or there are more links than slots.
    """
    _check(fdr, slots, links=len(cases))
    if mode not in MODES:
        raise EstimationError(f"mode {mode!r} is not known", advice=nearest(mode, list(MODES)))
    size = slots_of(len(cases) if slots is None else slots)
    steps = 1 + max([t.looked_at for case in cases for t in case.known] + [first])
    scores = _scores(cases, steps)
    p_values = _from_e_values(cases, steps) if mode == "e-bh" else _running(scores, [case.looks for case in cases])
    return Portfolio(
        p_values={name: np.minimum.accumulate(p, axis=1) for name, p in p_values.items()},
        published={
            family: _published(p_values[family], fdr=fdr, slots=size, mode=mode, first=first) for family in FAMILIES
        },
        scores=scores,
        fdr=fdr,
        slots=size,
        mode=mode,
        first=first,
    )


def _check(fdr: object, slots: object, *, links: int) -> None:
    if not (isinstance(fdr, int | float) and 0 < fdr < 1):
        raise EstimationError(f"fdr {fdr} is not between 0 and 1", advice="Did you mean 0.1?")
    if slots is not None and not (isinstance(slots, int | np.integer) and slots >= links):
        raise EstimationError(f"slots is {slots!r} for {links} links", advice="Give a whole number, the links or more.")


def _published(p: Floats, *, fdr: float, slots: int, mode: str, first: int) -> tuple[frozenset[int], ...]:
    members: frozenset[int] = frozenset()
    steps = []
    for t in range(p.shape[1]):
        if mode == "e-bh":
            members = e_bh(1 / p[:, t], q=fdr, slots=slots)
        else:
            before = members if t > first else frozenset()
            members = publish(p[:, t], q=fdr, slots=slots, published=before, mode=mode)
        steps.append(members)
    return tuple(steps)


def _running(scores: Mapping[str, Scores], plans: Sequence[LookPlan]) -> dict[str, Floats]:
    p = {name: np.ones(part.scores.shape) for name, part in scores.items()}
    for plan in dict.fromkeys(plans):
        mine = np.array([other == plan for other in plans])
        for name, part in scores.items():
            p[name][mine] = running_p(part.scores[mine], part.information[mine], plan).p_values
    return _families(p)


def _families(p: Mapping[str, Floats]) -> dict[str, Floats]:
    return {
        "direction": p["direction"],
        "harm": p["harm"],
        "equivalence": np.maximum(p["below sesoi"], p["above minus sesoi"]),
    }


def _tests(effects: Effects, delta: float) -> dict[str, tuple[Floats, Floats]]:
    """Terms of every test.

    An experiment whose lever was inert or moved the wrong way is no look at the direction. The planned weights of the
    other tests take it as it is: choosing there would choose by the residual.
    """
    speaks = spoken_for(effects, 0.0, inert_share=INERT_SHARE)
    scores, information = direction_terms(effects)
    return {
        "direction": (scores * speaks, information * speaks),
        "harm": planned_terms(effects, 0.0, side=-1),
        "below sesoi": planned_terms(effects, delta, side=-1),
        "above minus sesoi": planned_terms(effects, -delta, side=1),
    }


def _scores(cases: Sequence[Case], steps: int) -> dict[str, Scores]:
    names = ("direction", "harm", "below sesoi", "above minus sesoi")
    found = {name: np.zeros((2, len(cases), steps)) for name in names}
    for i, case in enumerate(cases):
        trials = _counting(case)
        if not trials:
            continue
        at = np.array([t.looked_at for t in trials])
        for name, terms in _tests(case.effects(trials), case.sesoi).items():
            for j, part in enumerate(terms):
                found[name][j, i] = np.bincount(at, weights=part, minlength=steps).cumsum()
    return {name: Scores(scores=both[0], information=both[1]) for name, both in found.items()}


def _from_e_values(cases: Sequence[Case], steps: int) -> dict[str, Floats]:
    """Read 1 / e of the mixture processes after every step: for portfolios in which no look was planned."""
    p = {name: np.ones((len(cases), steps)) for name in ("direction", "harm", "below sesoi", "above minus sesoi")}
    for i, case in enumerate(cases):
        trials = _counting(case)
        if not trials:
            continue
        effects, delta = case.effects(trials), case.sesoi
        last = np.searchsorted([t.looked_at for t in trials], np.arange(steps), side="right") - 1
        logs = {
            "direction": purged_log_e(effects, 0.0, scale=delta),
            "harm": planned_log_e(effects, 0.0, side=-1, scale=delta),
            "below sesoi": planned_log_e(effects, delta, side=-1, scale=delta),
            "above minus sesoi": planned_log_e(effects, -delta, side=1, scale=delta),
        }
        for name, log_e in logs.items():
            p[name][i] = np.where(last < 0, 1.0, np.exp(-np.clip(log_e[last], 0.0, math.log(1e300))))
    return _families(p)


def _counting(case: Case) -> tuple[Trialed, ...]:
    """List what running p-values are made of; a broken trial is not among them and takes nothing from other links."""
    return () if case.waiting else case.known
