"""The sentences of a verdict: every reason with the number in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cpi_experiments.display import decimals, interval, number, percent
from cpi_experiments.stats.combining.link_point import MANY
from cpi_experiments.stats.judging.look_price import asked_at_the_end
from cpi_experiments.stats.planning.judging_power import std_error_to_confirm, std_error_to_refute, times_as_many
from cpi_experiments.wording.verdicts import reason

if TYPE_CHECKING:
    from cpi_experiments.evidence.case import Case, Trialed
    from cpi_experiments.evidence.standing import Standing
    from cpi_experiments.evidence.weighing import Weighed

#: e-value above which a claim speaks for levers in general.
GENERAL_E = 20.0


def notes_of(case: Case) -> list[str]:
    """Say one sentence for every trial that does not count in full."""
    notes = []
    for trial in case.trials:
        notes += [_standing_of(case, trial)]
        if trial.remark:
            notes.append(reason("remark", experiment=trial.experiment, what=trial.remark))
        if trial.holdout and trial.usable:
            notes.append(reason("holdout", experiment=trial.experiment))
        if trial.projected and trial.usable and case.counted:
            notes.append(reason("projected", experiment=trial.experiment, until=trial.projected))
        if trial.bundle and not trial.left_out:
            notes.append(reason("moves others", lever=trial.lever, others=trial.bundle))
    return list(dict.fromkeys(note for note in notes if note))


def _standing_of(case: Case, trial: Trialed) -> str:
    """Say why a trial does not count, or that its lever is not seen to move the CPI; empty if it counts in full."""
    if trial.blocked and (case.long_ago(trial) or trial.projected):
        return reason("left out", experiment=trial.experiment, why=f"it is broken: {trial.blocked}")
    if trial.left_out:
        return reason("left out", experiment=trial.experiment, why=trial.left_out)
    if trial.exploratory:
        return reason("not registered", experiment=trial.experiment, why=trial.exploratory)
    if trial.move == "moved":
        return ""
    low, high = trial.cpi_interval
    span = interval(low, high, decimals(low, high), sign=True)
    return reason(trial.move, experiment=trial.experiment, lever=trial.lever, span=span)


def size_words(case: Case, value: float, span: tuple[float, float]) -> dict[str, str]:
    """Word an effect and its set in the KPI's own unit and sign.

    Parameters
    ----------
    case : Case
    value : float
        In the KPI's own sign.
    span : (float, float)
        Ends of the set, in order.
    """
    factor, unit = case.scale
    low, high = (factor * end for end in span)
    digits = decimals(low, high)
    return {
        "value": number(factor * value, digits, sign=True) + unit,
        "span": interval(low, high, digits, sign=True),
        "sesoi": f"{factor * case.sesoi:g}{unit}",
        "step": case.step,
    }


def found_reasons(case: Case, weighed: Weighed, standing: Standing, cause: str) -> list[str]:
    """Say why the decision table gave this cause (empty when confirmed)."""
    point = weighed.point
    if point is None:
        return []
    sign, (factor, unit) = case.expected_sign, case.scale
    low, high = sorted((sign * point.low, sign * point.high))
    digits = decimals(factor * low, factor * high)
    words = {
        **size_words(case, sign * point.value, (low, high)),
        "shrunken": number(factor * sign * standing.shrunken, digits, sign=True) + unit,
        "trials": str(len(case.counted)),
        "levers": str(len({t.lever for t in case.counted})),
        "share": percent(weighed.breakdown),
        "q_p": f"{point.q_p_value:.2g}",
        "without": number(factor * sign * weighed.egger.value, digits, sign=True) + unit if weighed.egger else "",
        "more": _more_customers(case, point.std_error, standing.threshold) if cause == "underpowered" else "",
    }
    found = [reason(cause or "confirmed", **words)]
    if cause in ("", "harmful"):
        found.append(reason("breakdown", **words))
    return [*found, *_reach(case, weighed, cause), *_ageing(case, weighed, cause), *_contradiction(case, (low, high))]


def _reach(case: Case, weighed: Weighed, cause: str) -> list[str]:
    """Whether a verdict over many experiments speaks for levers in general or for those that were tried."""
    if cause or len(case.counted) < MANY:
        return []
    return [reason("general" if weighed.general_e >= GENERAL_E else "levers tried", e=f"{weighed.general_e:.3g}")]


def _ageing(case: Case, weighed: Weighed, cause: str) -> list[str]:
    ageing = weighed.ageing
    if ageing is None or not ageing.at_risk or cause:
        return []
    factor, unit = case.scale
    word = "at least" if case.expected_sign > 0 else "at most"
    return [reason("at risk", bound=f"{word} {case.expected_sign * factor * ageing.lower_bound:+.3g}{unit}")]


def _contradiction(case: Case, span: tuple[float, float]) -> list[str]:
    """Past data whose interval has no value in common with the set of the trials."""
    low, high = case.past_interval
    if math.isnan(low) or (low <= span[1] and span[0] <= high):
        return []
    factor, unit = case.scale
    digits = decimals(factor * low, factor * high)
    return [reason("contradiction", past=interval(factor * low, factor * high, digits, sign=True) + unit)]


def _more_customers(case: Case, std_error: float, threshold: float) -> str:
    """Say what would settle an open link: a stronger lever or more customers, and a new plan if its looks are spent."""
    asked = asked_at_the_end(threshold, case.looks, spent=len({t.looked_at for t in case.known}))
    confirm = times_as_many(std_error, std_error_to_confirm(sesoi=case.sesoi, threshold=asked))
    refute = times_as_many(std_error, std_error_to_refute(sesoi=case.sesoi, threshold=asked))
    if math.isinf(confirm):
        return "A lever that moves the CPI more is needed"
    plan = "; its one planned look is spent, so it takes a new plan" if case.looks.kind == "single" else ""
    left = f"{_times(refute)} would refute a link without effect{plan}"
    if confirm <= 1:
        return f"An effect of 1.5 times that size would have been seen; {left}"
    told = _times(confirm)
    return f"{told[0].upper()}{told[1:]} would confirm an effect of 1.5 times that size, {left}"


def _times(count: float) -> str:
    """Say how many times as many customers, no finer than anybody can know."""
    told = f"{max(count, 1):.1f}" if count < 10 else f"{float(f'{count:.1g}'):,.0f}"
    return f"about {told} times as many customers"
