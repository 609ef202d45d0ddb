"""Are outcomes missing, and does that depend on the arm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.display import p_text, percent
from cpi_experiments.errors import DesignError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.integrity.rules import BLOCKS, MISSING_WARNS, WARNS, watched
from cpi_experiments.stats.counts import independence_test
from cpi_experiments.stats.exact_counts import binomial_p_values
from cpi_experiments.stats.student import p_value as t_p_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.randomized.arms import Label
    from cpi_experiments.randomized.effects.outcomes import Outcome
    from cpi_experiments.randomized.integrity.trial_units import TrialUnits
    from cpi_experiments.randomized.trial import Trial

Array = np.ndarray
#: Below this expected count the chi-squared distribution is no longer close; exact tails are used.
_SMALL = 10.0


def missing_outcome(units: TrialUnits, outcome: Outcome) -> Diagnostic:
    """Compare the share of units without an outcome between arms (attrition).

    By the chi-squared test of independence, exact binomial tails where few are missing, or the cluster jackknife where
    clusters were randomised.
    """
    lost = np.any([np.isnan(units.means[column]) for column in outcome.columns], axis=0)
    n = np.bincount(units.arm, minlength=len(units.labels))
    gone = np.bincount(units.arm[lost], minlength=len(units.labels))
    test = _by_cluster(units, lost) if units.cluster is not None and gone.any() else None
    return _judged(outcome.name, gone, n, units.labels, test=test)


def missing_in_trial(trial: Trial, outcome: str) -> Diagnostic:
    """Compare the share of rows without an outcome between arms, from the moments of a trial: no row is touched.

    The same check as `missing_outcome`, for a trial whose rows are the randomised units.

    Parameters
    ----------
    trial : Trial
        Of `cpi_experiments.randomized.trial.read_trial`, with the outcome among its numbers.
    outcome : str
        Column.

    Raises
    ------
    DesignError
        If the trial has clusters: then rows do not go missing one by one.

    Examples
    --------
    >>> import pandas as pd
    >>> from cpi_experiments.randomized.trial import read_trial
    >>> frame = pd.DataFrame({"arm": ["a", "b"] * 100, "won": [1, None] * 40 + [1, 0] * 60})
    >>> found = missing_in_trial(read_trial(frame, numbers=["won"], arm="arm", control="a"), "won")
    >>> found.name, found.blocks, found.advice[:27]
    ('missing won', True, 'No won: a 0.0%, b 40.0% (p ')
    """
    if trial.cluster is not None:
        raise DesignError("rows of clusters are not missing one by one", advice="Use check_trial with `cluster`.")
    used = (trial.arm >= 0) & ~trial.several
    lost = used & ~trial.moments.complete([outcome])
    gone, n = (
        np.bincount(trial.arm[at], weights=trial.moments.n[at], minlength=len(trial.labels)).astype(np.int64)
        for at in (lost, used)
    )
    return _judged(outcome, gone, n, trial.labels)


def _judged(
    outcome: str, gone: Array, n: Array, labels: Sequence[Label], *, test: tuple[float, float] | None = None
) -> Diagnostic:
    name, null = f"missing {outcome}", f"{outcome} is missing equally often in every arm"
    empty = [str(label) for label, a, b in zip(labels, gone, n, strict=True) if a == b]
    if empty:
        advice = f"No unit of {', '.join(empty)} has {outcome}: nothing can be compared. Look at the measurement."
        return watched(name, null=null, advice=advice, statistic=1.0, blocks=True)
    statistic, p = _by_arm(gone, n) if test is None else test
    shares = ", ".join(f"{label} {percent(a / b, 1)}" for label, a, b in zip(labels, gone, n, strict=True))
    share = float(gone.sum() / n.sum())
    advice = f"No {outcome}: {shares} (p {p_text(p)}). " + (
        "Those who are left may differ: look at whether the lever changes who is measured."
        if p < WARNS
        else f"{percent(share)} are missing in all; results speak for those who are left."
    )
    passed = p >= WARNS and share <= MISSING_WARNS
    return Diagnostic(
        name=name,
        null=null,
        statistic=statistic,
        p_value=p,
        passed=passed,
        advice="" if passed else advice,
        blocks=p < BLOCKS,
    )


def _by_arm(gone: Array, n: Array) -> tuple[float, float]:
    if not gone.any():
        return 0.0, 1.0
    if float(min(gone.sum(), (n - gone).sum()) * n.min() / n.sum()) >= _SMALL:
        return independence_test([gone.tolist(), (n - gone).tolist()])
    rare = gone if gone.sum() <= (n - gone).sum() else n - gone
    arms = slice(1, None) if len(n) == 2 else slice(None)
    p = binomial_p_values(rare[arms], np.full(len(rare[arms]), rare.sum()), n[arms] / n.sum())
    return float(rare.sum()), min(1.0, float(p.min()) * len(p))


def _by_cluster(units: TrialUnits, lost: Array) -> tuple[float, float]:
    found = []
    for j in units.treatments:
        means = units.difference([lost.astype(float)], j)
        if means is not None and means.omega[0, 0] > 0:
            t = float(means.effect[0]) / float(np.sqrt(means.omega[0, 0]))
            found.append((abs(t), t_p_value(t, means.df(0))))
    if not found:
        return 0.0, 1.0
    statistic, p = min(found, key=lambda each: each[1])
    return statistic, min(1.0, p * len(found))
