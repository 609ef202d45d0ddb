"""Guardrails: outcomes that must not get worse than a margin, watched at every look without spending the trial's alpha.

Each has sequences of its own that hold at all looks, so that a guardrail may be read every day under any plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cpi_experiments.display import Displayed, Row, decimals, interval, number
from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.arms import Label
from cpi_experiments.randomized.monitoring.sequences import Timing, fractions
from cpi_experiments.stats.sequential.anytime import boundary, student_bound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpi_experiments.randomized.monitoring.streams import Stream

State = Literal["ok", "watch", "harm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail(Displayed):
    """One guardrail in one arm, now.

    Parameters
    ----------
    outcome : str
    arm : label
    better : {"higher", "lower"}
    margin : float
        Largest worsening that is tolerated, in the outcome's unit.
    state : {"ok", "watch", "harm"}
        ok: worse than the margin is ruled out. harm: worse than the control is shown, and the estimate is beyond the
        margin. watch: neither yet.
    estimate, low, high : float
        Effect; the ends of the two one-sided sequences that decide (``low`` to ``high`` where higher is better: low
        rules out harm, high shows it). NaN before the sequence starts.
    n : int
        Rows used.
    """

    outcome: str
    arm: Label
    better: str
    margin: float
    state: State
    estimate: float
    low: float
    high: float
    n: int

    def _title(self) -> str:
        words = {
            "ok": "ok: worse than the margin is ruled out",
            "watch": "watch: worse than the margin is not ruled out yet",
            "harm": "harm shown: stop",
        }
        digits = decimals(self.low, self.high)
        seen = f"{number(self.estimate, digits, sign=True)}, {interval(self.low, self.high, digits, sign=True)}"
        return (
            f"{self.outcome}, {self.arm}: {words[self.state]} ({seen}; margin {self.margin:g}, {self.better} is better)"
        )


def check_margins(margins: Mapping[str, float], outcomes: Sequence[str]) -> None:
    """Refuse margins that tolerate nothing sensible, and guardrails that are outcomes too.

    Raises
    ------
    DesignError
        Naming the column.
    """
    for column, margin in margins.items():
        if column in outcomes:
            raise DesignError(
                f"{column!r} is both an outcome and a guardrail",
                advice="A guardrail is read while the effect on the outcome is hidden: name different columns.",
            )
        if not (math.isfinite(margin) and margin > 0):
            raise DesignError(
                f"margin {margin!r} of guardrail {column!r} is not above zero",
                advice="Give the largest worsening that is tolerated, in the column's unit, without a sign.",
            )


def judge_guardrail(
    stream: Stream, timing: Timing, *, margin: float, better: str, alpha: float, alarms: int
) -> Guardrail:
    """Judge a guardrail at the last look.

    Parameters
    ----------
    stream : Stream
    timing : Timing
    margin : float
    better : {"higher", "lower"}
    alpha : float
        Chance ever to call a guardrail ok that is worse by the margin; over ``alarms`` it is the chance ever to
        call harm where nothing is worse, so that all guardrails together stop a harmless trial with at most alpha.
    alarms : int
        Guardrails (and arms) watched together.

    References
    ----------
    Schultzberg, Ankargren, Frånberg (2024), arXiv 2402.11609: non-inferiority of every guardrail needs no correction
    of alpha, as all of them must pass.
    """
    sign = 1 if better == "higher" else -1
    if not len(stream.place) or stream.place[-1] != len(timing.times) - 1:
        return Guardrail(
            outcome=stream.outcome, arm=stream.arm, better=better, margin=float(margin), state="watch",
            estimate=math.nan, low=math.nan, high=math.nan, n=0,
        )  # fmt: skip
    at = float(fractions(stream, timing)[-1])
    estimate, error = sign * float(stream.estimate[-1]), float(stream.std_error[-1])
    down, up = (
        float(student_bound(boundary(at, alpha=level, alternative="greater"), stream.df[-1])) * error
        for level in (alpha, alpha / alarms)
    )
    low, high = estimate - down, estimate + up
    state: State = "ok" if low > -margin else "harm" if high < 0 and estimate < -margin else "watch"
    ends = (low, high) if sign > 0 else (-high, -low)
    return Guardrail(
        outcome=stream.outcome, arm=stream.arm, better=better, margin=float(margin), state=state,
        estimate=sign * estimate, low=ends[0], high=ends[1], n=int(stream.n[-1]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling(Displayed):
    """Whether to ship, by the rule registered beforehand.

    Parameters
    ----------
    ship : bool
    reason : str
    """

    ship: bool
    reason: str

    def _title(self) -> str:
        return self.reason

    def _rows(self) -> list[Row]:
        return [{"ship": self.ship, "reason": self.reason}]


def ship_rule(successes: Mapping[str, bool], guardrails: Mapping[str, bool]) -> Ruling:
    """Decide: at least one success metric is better, and every guardrail is shown not to be worse than its margin.

    Parameters
    ----------
    successes : mapping of outcome to whether it is shown to be better
        Their alpha has to be shared among them; `monitor` does.
    guardrails : mapping of outcome to whether it is shown to keep its margin
        Each at the full alpha.

    Raises
    ------
    DesignError
        If nothing is named.

    References
    ----------
    Schultzberg, Ankargren, Frånberg (2024), Risk-aware product decisions in A/B tests with multiple metrics,
    arXiv 2402.11609.

    Examples
    --------
    >>> print(ship_rule({"won": True, "revenue": False}, {"complaints": True}))
    Ship: won is better, and every guardrail keeps its margin.
    >>> print(ship_rule({"won": True}, {"complaints": False}))
    Do not ship: complaints may be worse than its margin.
    """
    if not successes and not guardrails:
        raise DesignError("no metric is named", advice="Name success metrics, guardrails, or both.")
    better = [name for name, shown in successes.items() if shown]
    broken = [name for name, kept in guardrails.items() if not kept]
    if broken:
        return Ruling(ship=False, reason=f"Do not ship: {', '.join(broken)} may be worse than its margin.")
    if successes and not better:
        return Ruling(ship=False, reason="Do not ship: no success metric is shown to be better.")
    parts = [
        f"{', '.join(better)} is better" if better else "",
        "every guardrail keeps its margin" if guardrails else "",
    ]
    return Ruling(ship=True, reason=f"Ship: {', and '.join(part for part in parts if part)}.")


def power_of_each(power: float, *, metrics: int) -> float:
    """Return the power each metric needs for all to pass together: ``1 - (1 - power) / metrics``.

    Parameters
    ----------
    power : float
    metrics : int
        Metrics that must all pass: guardrails, and one for the success metrics.

    Raises
    ------
    DesignError
        If a number is out of range.

    Examples
    --------
    >>> round(power_of_each(0.8, metrics=4), 2)
    0.95
    """
    if not (0 < power < 1 and metrics >= 1):
        raise DesignError(f"power {power:g} for {metrics} metrics does not exist", advice="Such as 0.8 for 3 metrics.")
    return 1 - (1 - power) / metrics
