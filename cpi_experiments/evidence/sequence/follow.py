"""The door: experiments of one link in order of time, and the evidence after each of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import EstimationError
from cpi_experiments.evidence.case import Case
from cpi_experiments.evidence.combining.terms import check_level, is_number
from cpi_experiments.evidence.sequence.checks import NO_EVIDENCE, check_terms, note_of
from cpi_experiments.evidence.sequence.evidence_sequence import EvidenceSequence, EvidenceStep
from cpi_experiments.evidence.sequence.experiments_in_time import experiments_in_time
from cpi_experiments.evidence.sequence.sharing import groups_of, partners, streams_of
from cpi_experiments.stats.combining.link_point import link_point
from cpi_experiments.stats.sequential.anytime import always_valid_p
from cpi_experiments.stats.sequential.confidence_sequence import confidence_sequence
from cpi_experiments.stats.sequential.link_process import (
    as_e_values,
    averaged,
    calibrated,
    general_log_e,
    planned_log_e,
    predictable_spread,
    purged_log_e,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cpi_experiments.estimate import EffectPair
    from cpi_experiments.evidence.case import Trialed
    from cpi_experiments.measure.engine import Data
    from cpi_experiments.stats.combining.effects import Effects

Floats = np.ndarray


def follow(
    experiments: Data | Sequence[EffectPair] | Sequence[Trialed],
    *,
    sesoi: float,
    expected_sign: int = 1,
    scale: float | None = None,
    overlaps: Mapping[str, Collection[str]] | None = None,
    old_p_value: float | None = None,
    confidence_level: float = 0.95,
) -> EvidenceSequence:
    """Follow the evidence about one link over its experiments; it may be read, and acted upon, after each of them.

    Parameters
    ----------
    experiments : DataFrame, path of a Parquet or CSV file, or sequence of EffectPair or Trialed
        In order of time. Columns of a table: ``effect_cpi, effect_kpi, var_cpi, var_kpi, cov`` and optionally
        ``experiment, lever, lever_sign, planned_move, df, overlaps, looked_at`` as in `judge_links`. Without planned
        moves one step is taken, and sets are wider than need be. With
        ``looked_at`` (quarters, days or whole numbers) the rows are put in its order, else their own order counts.
        The CPI counts increments, + = better for the customer; the KPI keeps its own unit and sign.
    sesoi : float
        Smallest effect worth acting on, above zero, in KPI units per increment.
    expected_sign : int
        Registered sign of KPI per increment.
    scale : float, optional
        Scale of the half-normal mixture; the SESOI if it was not declared otherwise beforehand, never less.
    overlaps : mapping of experiment to experiments, optional
        Which ones share customers, beside the column ``overlaps``; told by either side. Pairs are named "1", "2", ...
    old_p_value : float, optional
        One-sided p-value of earlier work against "no effect or the wrong sign". It enters ``e_plus`` once, as
        ``0.5 / sqrt(p)``, and must not come from any of these experiments.
    confidence_level : float

    Returns
    -------
    EvidenceSequence

    Raises
    ------
    DataError
        If a column is missing or no number, an effect, variance or covariance is missing (it is never taken as zero),
        an experiment appears twice or is blocked, or the rows are of several links.
    EstimationError
        If a size or sign cannot be, or ``scale`` is less than the SESOI.

    Notes
    -----
    Estimand of ``e_plus``: whether *any* lever tried has an effect of the expected sign; ``e_general`` is the one about
    levers in general. Experiments whose lever did not move the CPI, or moved it against its declared sign, are named
    and add nothing, as in `judge_links`. Those that share customers are averaged, and count when the last of them is
    in; others multiply. Assumes effects that are normal with known covariance (ten or more clusters an arm), levers
    that do not move the CPI against their declared sign, planned moves that were registered before, and one row per
    experiment: what it says after its own end.

    References
    ----------
    Howard, Ramdas, McAuliffe, Sekhon (2021), Ann. Stat. 49; Kleibergen (2002), Econometrica 70; Shafer, Shen,
    Vereshchagin, Vovk (2011), Stat. Sci. 26.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"experiment": ["Q1", "Q2", "Q3"], "effect_cpi": [2.0, 3.0, 2.5], "var_cpi": 0.09,
    ...     "effect_kpi": [0.019, 0.022, 0.024], "var_kpi": 5e-5, "cov": 1e-4})
    >>> print(follow(table, sesoi=0.004, scale=0.008))
    After 3 experiments ...
    """
    declared = sesoi if scale is None else scale
    check_terms(sesoi, expected_sign, declared, overlaps)
    check_level(confidence_level)
    if old_p_value is not None and not is_number(old_p_value):
        raise EstimationError(f"old_p_value is {old_p_value!r}, not above 0 and at most 1", advice="Such as 0.03.")
    found = experiments_in_time(experiments, sesoi=sesoi, expected_sign=expected_sign)
    trials, dates, names = found.trials, found.dates, [t.experiment for t in found.trials]
    shared = partners(names, (found.told, overlaps or {}))
    groups = groups_of(shared, [t.move not in NO_EVIDENCE for t in trials])
    notes = tuple(note_of(t) for t in trials if t.move in NO_EVIDENCE)
    case = Case(trials=tuple(trials), sesoi=sesoi, expected_sign=expected_sign)
    effects = case.effects(case.trials)
    old = 1.0 if old_p_value is None else calibrated(old_p_value)
    columns = _columns(effects, groups, sesoi=sesoi, scale=declared, level=confidence_level, old=old)
    return EvidenceSequence(
        steps=_steps(trials, dates, groups, columns, sign=expected_sign),
        sesoi=float(sesoi),
        scale=float(declared),
        expected_sign=expected_sign,
        confidence_level=confidence_level,
        ordered_by="looked_at" if any(dates) else "row order",
        old_e=old,
        left_out=notes,
        together=tuple(tuple(names[i] for i in group) for group in groups if len(group) > 1),
        unplanned=found.unplanned,
    )


def _columns(
    effects: Effects, groups: Sequence[Sequence[int]], *, sesoi: float, scale: float, level: float, old: float
) -> dict[str, Floats]:
    """Every number before the first group and after each, oriented so that the expected sign is +."""
    start = {"e_plus": old, "e_minus": 1.0, "e_up": 1.0, "e_lo": 1.0, "e_general": math.nan}
    if not groups:
        rest = {
            "p_value": min(1 / old, 1.0),
            "effect": math.nan,
            "q_p_value": math.nan,
            "low": -math.inf,
            "high": math.inf,
        }
        return {name: np.array([value]) for name, value in (start | rest).items()}
    streams = streams_of(effects, groups)
    spread = predictable_spread(streams)
    logs = {
        "e_plus": purged_log_e(streams, 0.0, scale=scale, spread=spread) + math.log(old),
        "e_minus": planned_log_e(streams, 0.0, side=-1, scale=scale, spread=spread),
        "e_up": planned_log_e(streams, sesoi, side=-1, scale=scale, spread=spread),
        "e_lo": planned_log_e(streams, -sesoi, side=1, scale=scale, spread=spread),
        "e_general": general_log_e(streams, 0.0, scale=scale),
    }
    information = effects.move**2 / effects.yy
    best = np.array([max(group, key=lambda i: information[i]) for group in groups])
    points = [link_point(effects.only(best[: k + 1])) for k in range(len(best))]
    ends = confidence_sequence(streams, scale=scale, confidence_level=level, spread=spread)
    found = {name: np.append(start[name], as_e_values(averaged(log_e))) for name, log_e in logs.items()}
    found["p_value"] = always_valid_p(found["e_plus"])
    return found | {
        "effect": np.array([math.nan, *(point.value for point in points)]),
        "q_p_value": np.array([math.nan, *(point.q_p_value for point in points)]),
        "low": np.append(-math.inf, ends[:, 0]),
        "high": np.append(math.inf, ends[:, 1]),
    }


def _steps(
    trials: Sequence[Trialed],
    dates: Sequence[str],
    groups: Sequence[Sequence[int]],
    columns: Mapping[str, Floats],
    *,
    sign: int,
) -> tuple[EvidenceStep, ...]:
    steps = []
    for k, (trial, date) in enumerate(zip(trials, dates, strict=True)):
        whole = [group for group in groups if group[-1] <= k]
        now = {name: float(values[len(whole)]) for name, values in columns.items()}
        low, high = sorted((sign * now.pop("low"), sign * now.pop("high")))
        now["effect"] *= sign
        counted = sum(map(len, whole))
        steps.append(
            EvidenceStep(experiment=trial.experiment, looked_at=date, counted=counted, ci_low=low, ci_high=high, **now)
        )
    return tuple(steps)
