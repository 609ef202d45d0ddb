"""The judge's evidence on arrays of many links at once: the same scores, running p-values and sets, without verdicts.

Everything here calls the functions that the judge calls; only the bookkeeping of experiments is left out. A test
holds it against the judge's own history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.evidence.case import INERT_SHARE
from cpi_experiments.stats.combining.effects import Effects
from cpi_experiments.stats.judging import portfolio
from cpi_experiments.stats.judging.link_score import direction_terms, spoken_for
from cpi_experiments.stats.judging.running_p import running_p

if TYPE_CHECKING:
    from cpi_experiments.calibration.judged_draws import Drawn
    from cpi_experiments.stats.judging.look_plan import LookPlan

Floats = np.ndarray


def effects_of(drawn: Drawn) -> Effects:
    """Arrays of the drawn summaries, shape (reps, K)."""
    ones = np.ones(drawn.x.shape)
    return Effects(
        x=drawn.x,
        y=drawn.y,
        xx=drawn.xx * ones,
        xy=drawn.xy * ones,
        yy=drawn.yy * ones,
        df=np.inf * ones,
        sign=ones,
        move=drawn.truth.move * ones,
    )


def cumulative_scores(drawn: Drawn) -> tuple[Floats, Floats]:
    """Score and information of "the link has the expected sign" after every experiment; shape (reps, K)."""
    effects = effects_of(drawn)
    speaks = spoken_for(effects, 0.0, inert_share=INERT_SHARE)
    score, information = (np.cumsum(part * speaks, axis=-1) for part in direction_terms(effects))
    return score, information


def running(drawn: Drawn, plan: LookPlan) -> Floats:
    """Return running p-values, one look after every experiment; shape (reps, K)."""
    return running_p(*cumulative_scores(drawn), plan).p_values


def published_by_step(p_values: Floats, *, q: float, slots: int) -> list[frozenset[int]]:
    """Form the sets that closed step-e publishes of a portfolio after every step; ``p_values`` has shape (m, T)."""
    members: frozenset[int] = frozenset()
    steps = []
    for t in range(p_values.shape[1]):
        if t == 0 or np.any(p_values[:, t] < p_values[:, t - 1]):
            members = portfolio.publish(p_values[:, t], q=q, slots=slots, published=members)
        steps.append(members)
    return steps
