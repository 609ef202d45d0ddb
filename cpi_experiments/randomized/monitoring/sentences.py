"""What to do with a running trial, in one sentence, by rules in a fixed order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.display import decimals, interval, number
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.monitoring.effects import EffectOverTime
from cpi_experiments.randomized.monitoring.guardrails import Guardrail
from cpi_experiments.randomized.monitoring.looks import Plan

if TYPE_CHECKING:
    from cpi_experiments.randomized.monitoring.monitoring import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An effect that may be seen.

    Parameters
    ----------
    effect : EffectOverTime
    better : int
        1 if higher is better, -1 if lower; 0 for the size of a link, which decides nothing.
    chance : float
        Chance to be shown by the planned end; NaN where that is no question.
    dropped : tuple of (reason, rows)
        Rows not used.
    """

    effect: EffectOverTime
    better: int
    chance: float = math.nan
    dropped: tuple[tuple[str, int], ...] = ()

    @property
    def open(self) -> bool:
        """Whether there is a chance to speak of."""
        return not math.isnan(self.chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a trial stands."""

    plan: Plan
    n: int
    planned_n: int
    units: str
    ended: bool
    futility: float
    integrity: Diagnostic
    guardrails: tuple[Guardrail, ...]
    seen: tuple[Seen, ...]
    unfinished: bool = False

    @property
    def progress(self) -> str:
        """How far the trial is, in words."""
        return f"{self.n:,} of {self.planned_n:,} {self.units}"


def rule_on(standing: Standing) -> tuple[State, str]:
    """Decide what to do: repair, stop for harm, stop because it is shown, stop for futility, finish, go on."""
    for rule in (_broken, _guarded, _shown_worse, _shown_better, _over, _futile):
        ruling = rule(standing)
        if ruling is not None:
            return ruling
    return "keep running", f"Keep running: {standing.progress}. {_waiting(standing)}"


Ruling = tuple["State", str]


def _broken(standing: Standing) -> Ruling | None:
    if not standing.integrity.blocks:
        return None
    return "blocked", f"Stop and repair: arms are not split as planned ({standing.progress}). No effect can be trusted."


def _guarded(standing: Standing) -> Ruling | None:
    hurt = [f"{each.outcome} ({each.arm})" for each in standing.guardrails if each.state == "harm"]
    if not hurt:
        return None
    return "stop", f"Stop: harm is shown on {', '.join(hurt)} ({standing.progress})."


def _shown_worse(standing: Standing) -> Ruling | None:
    worse = [each for each in standing.seen if each.better and each.effect.decided == -each.better]
    return _shown(worse, standing, "worse") if worse else None


def _shown_better(standing: Standing) -> Ruling | None:
    better = [each for each in standing.seen if each.better and each.effect.decided == each.better]
    if not better:
        return None
    unsure = [f"{each.outcome} ({each.arm})" for each in standing.guardrails if each.state == "watch"]
    if not unsure:
        return _shown(better, standing, "better")
    first = better[0].effect
    words = f"{first.outcome} is better with {first.arm}, but {', '.join(unsure)} may still be worse than its margin."
    if standing.ended:
        return "finished", f"Finished: {standing.progress}. {_capital(words)}"
    return "keep running", f"Keep running: {standing.progress}. {_capital(words)}"


def _shown(found: list[Seen], standing: Standing, word: str) -> Ruling:
    each = found[0].effect
    side = "above" if each.decided > 0 else "below"
    head = "Finished" if standing.ended and standing.plan != "anytime" else "Stop"
    held = {
        "anytime": "whatever happens next",
        "group_sequential": "at a planned look",
        "fixed": "at the planned end",
    }[standing.plan]
    at = next(look.n for look in each.looks if look.crossed)
    more = f" ({word} than the control; {_size(each)}, at {at:,} {standing.units})"
    state: State = "finished" if head == "Finished" else "stop"
    return state, f"{head}: the effect of {each.arm} on {each.outcome} is {side} zero {held}{more}."


def _over(standing: Standing) -> Ruling | None:
    if not standing.ended:
        return None
    if not standing.seen:
        return "finished", f"Finished: {standing.progress}. No effect can be tested: see the notes."
    open_ = ", ".join(
        f"{each.effect.outcome} ({each.effect.arm}): {_size(each.effect)}" for each in standing.seen if each.better
    )
    return "finished", f"Finished: {standing.progress}. No effect is shown: {open_}."


def _futile(standing: Standing) -> Ruling | None:
    judged = [each for each in standing.seen if each.better]
    if not judged or not all(each.open and each.chance < standing.futility for each in judged):
        return None
    best = max(each.chance for each in judged)
    return "stop", (
        f"Consider stopping: {standing.progress}, and the chance to show an effect by the planned end is "
        f"{'below 1%' if best < 0.01 else f'{100 * best:.0f}%'}."
    )


def _waiting(standing: Standing) -> str:
    if standing.unfinished:
        return "Effects are hidden until the last rows are in."
    if standing.plan == "fixed":
        return "Effects are hidden until the planned end."
    if standing.seen:
        return "No effect is shown yet."
    if standing.plan == "group_sequential":
        return "Effects are hidden until the first planned look."
    return "Too few for an effect to be shown."


def _size(effect: EffectOverTime) -> str:
    """Write the effect where it was decided, else now; after planned looks, with the looks allowed for."""
    look = next((each for each in effect.looks if each.crossed), effect.looks[-1])
    end = look if effect.final is None else effect.final
    digits = decimals(end.low, end.high)
    return f"{number(end.estimate, digits, sign=True)}, {interval(end.low, end.high, digits, sign=True)}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
