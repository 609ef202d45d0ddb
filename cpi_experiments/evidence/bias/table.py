"""The table of regressions and experiments, from recorded evidence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.evidence.case import Case, Trialed, broken
from cpi_experiments.evidence.verdict import Design, Evidence
from cpi_experiments.stats.combining.link_point import link_point

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from cpi_experiments.hypotheses.hypothesis import Hypothesis

_COLUMNS = ("link", "effect_past", "se_past", "effect_trial", "se_trial", "sesoi", "expected_sign")


def bias_table(evidence: Sequence[Evidence], hypotheses: Iterable[Hypothesis]) -> pd.DataFrame:
    """Put the regression of every link beside its experiments, for `regression_bias`.

    Parameters
    ----------
    evidence : sequence of Evidence
        As `cpi_experiments.evidence.record.recall` returns it. Past data are those of design observational, the newest
        of a link; experiments those of design randomized. Blocked evidence and quasi-experiments are left out, so are
        experiments that are exploratory, inert, or share customers with one that counts.
    hypotheses : iterable of Hypothesis
        The registered links, which give SESOI and sign; evidence of other links is left out.

    Returns
    -------
    DataFrame
        One row per hypothesis with columns ``link, effect_past, se_past, effect_trial, se_trial, sesoi,
        expected_sign``; KPI per increment in the KPI's own unit and sign, NaN where there is no such evidence or its
        standard error is infinite (a weak first stage).
    """
    import pandas as pd  # noqa: PLC0415 - only where a frame is made

    rows = []
    for hypothesis in hypotheses:
        mine = [e for e in evidence if e.link == hypothesis.link and not e.blocked]
        past, trial = _past(mine), _trial(mine, hypothesis)
        rows.append((str(hypothesis.link), *past, *trial, hypothesis.sesoi, hypothesis.expected_sign))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _past(evidence: Sequence[Evidence]) -> tuple[float, float]:
    found = [e.estimate for e in evidence if e.design is Design.OBSERVATIONAL]
    return _known(found[-1].value, found[-1].std_error) if found else (math.nan, math.nan)


def _trial(evidence: Sequence[Evidence], hypothesis: Hypothesis) -> tuple[float, float]:
    """Effect of the experiments that count, combined as the judge combines them."""
    mine = [e for e in evidence if e.design is Design.RANDOMIZED]
    trials = tuple(
        Trialed(
            experiment=e.experiment,
            lever=e.lever,
            pair=e.pair,
            lever_sign=e.lever_sign,
            planned_move=e.planned_move,
            blocked=broken(e.pair),
            exploratory=e.exploratory,
        )
        for e in mine
        if e.pair is not None
    )
    case = Case(trials=trials, sesoi=hypothesis.sesoi, expected_sign=hypothesis.expected_sign)
    case = case.without_overlaps({e.experiment: e.overlaps for e in mine})
    if not case.counted:
        return math.nan, math.nan
    point = link_point(case.effects(case.counted))
    return _known(hypothesis.expected_sign * point.value, point.std_error)


def _known(value: float, error: float) -> tuple[float, float]:
    known = math.isfinite(value) and math.isfinite(error) and error > 0
    return (value, error) if known else (math.nan, math.nan)
