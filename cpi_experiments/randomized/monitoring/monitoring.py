"""The state of a running trial: what may be seen now, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cpi_experiments.display import Displayed, Row
from cpi_experiments.errors import DataError
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.monitoring.effects import EffectOverTime
from cpi_experiments.randomized.monitoring.guardrails import Guardrail
from cpi_experiments.randomized.monitoring.looks import Plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cpi_experiments.randomized.arms import Label

State = Literal["keep running", "stop", "finished", "blocked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring(Displayed):
    """What may be seen of a running trial. Before a planned look there is no effect in it at all.

    Parameters
    ----------
    sentence : str
        What to do and why.
    state : {"keep running", "stop", "finished", "blocked"}
    plan : {"fixed", "group_sequential", "anytime"}
    n, planned_n : int
        Randomised units of all arms so far, and at the planned end.
    units : str
        What is counted.
    integrity : Diagnostic
        Sample ratio against the intended allocation at every time; its p-value holds at all of them together.
    guardrails : tuple of Guardrail
    effects : tuple of EffectOverTime
        Empty where the plan hides the effects.
    chances : mapping-like tuple of (outcome, arm, chance)
        Chance to show the effect in the better direction by the planned end, where it is still open.
    notes : tuple of str
    """

    sentence: str
    state: State
    plan: Plan
    n: int
    planned_n: int
    units: str
    integrity: Diagnostic
    guardrails: tuple[Guardrail, ...]
    effects: tuple[EffectOverTime, ...]
    chances: tuple[tuple[str, str, float], ...]
    notes: tuple[str, ...]

    def __getitem__(self, key: str | tuple[str, Label]) -> EffectOverTime:
        """Return the effect on an outcome (and arm, where there are several).

        Raises
        ------
        DataError
            If it is hidden, or not one effect matches.
        """
        outcome, arm = key if isinstance(key, tuple) else (key, None)
        found = [e for e in self.effects if e.outcome == outcome and arm in (None, e.arm)]
        if len(found) == 1:
            return found[0]
        if not self.effects:
            raise DataError("no effect may be seen yet", advice=self.sentence)
        known = ", ".join(dict.fromkeys(f"{e.outcome} ({e.arm})" for e in self.effects))
        raise DataError(f"{len(found)} effects match {key!r}", advice=f"Seen: {known}.")

    @property
    def looks(self) -> list[Row]:
        """One row for each look, outcome and arm."""
        return [row for effect in self.effects for row in effect._rows()]  # noqa: SLF001 - rows of the same family

    def plot(self) -> Figure:
        """Draw the first effect over time.

        Raises
        ------
        DataError
            If no effect may be seen yet.
        """
        if not self.effects:
            raise DataError("no effect may be seen yet", advice=self.sentence)
        return self.effects[0].plot()

    def _title(self) -> str:
        lines = [self.sentence]
        if not self.integrity.passed:
            lines.append(str(self.integrity))
        lines += [guardrail._title() for guardrail in self.guardrails]  # noqa: SLF001 - titles of the same family
        lines += [
            f"{outcome}, {arm}: chance to be shown by the planned end {100 * chance:.0f}%"
            for outcome, arm, chance in self.chances
        ]
        return "\n".join([*lines, *self.notes])

    def _rows(self) -> list[Row]:
        return self.looks or [{"plan": self.plan, "n": self.n, "planned_n": self.planned_n, "state": self.state}]

    def _shown(self) -> list[Row]:
        if not self.effects:
            return [{"n": f"{self.n:,}", "of": f"{self.planned_n:,}", "state": self.state}]
        return [
            {"outcome": effect.outcome, "arm": str(effect.arm), **row}
            for effect in self.effects
            for row in effect._shown()[-(_SHOWN if len(self.effects) == 1 else 1) :]  # noqa: SLF001
        ]


_SHOWN = 5
