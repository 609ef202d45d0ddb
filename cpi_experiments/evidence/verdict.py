"""The verdict on a link and the evidence it rests on: nouns only, the rule stands in `judge`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cpi_experiments.display import Displayed, decimals, interval, number, wrapped
from cpi_experiments.estimate import EffectPair, Estimate, Link

if TYPE_CHECKING:
    from cpi_experiments.display import Row


#: Columns of a verdict's frame that do not fit a printed table.
_NOT_SHOWN = ("reasons", "e_value", "general", "at_risk", "since")


class VerdictWord(StrEnum):
    """The four words, everywhere the same."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    BLOCKED = "blocked"


class Design(StrEnum):
    """How the numbers came about."""

    RANDOMIZED = "randomized"
    QUASI = "quasi-experimental"
    OBSERVATIONAL = "observational"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence(Displayed):
    """An estimate of a link, recorded: where it came from, for which registered hypothesis, and whether it may count.

    Parameters
    ----------
    link : Link
    design : Design
    estimate : Estimate
        KPI per increment (LATE or ASSOCIATION).
    hypothesis_digest : str
        Digest of the registered hypothesis; empty if the analysis was not registered.
    plan_digest : str
        Digest of the locked analysis plan of the experiment; empty if none was locked.
    experiment, lever : str
        Empty for past data.
    lever_sign : int
        Expected sign of the lever on the CPI counted in increments.
    planned_move : float
        Registered move of the CPI, in increments.
    first_stage, reduced_form : Estimate or None
        Lever on CPI (raw units) and lever on KPI.
    pair : EffectPair or None
        The five numbers, in increments; None for past data.
    ended : str
        Date on which the KPI window closed, ISO.
    others_moved : tuple of str
        Other catalogued CPIs that the lever moved as well.
    overlaps : tuple of str
        Experiments of the same link that share customers with this one.
    blocked, exploratory : str
        Why the evidence is blocked, or only exploratory; empty if it counts.
    holdout : bool
        Whether it comes from a maintained holdout: it keeps a verdict fresh and is no planned look.
    projected : str
        Day on which the KPI will be known (ISO), if its effect is projected from surrogates; empty if it is measured.
    recorded_at, who, data_digest : str
    seq : int
        Row of the ledger.
    """

    link: Link
    design: Design
    estimate: Estimate
    hypothesis_digest: str = ""
    plan_digest: str = ""
    experiment: str = ""
    lever: str = ""
    lever_sign: int = 1
    planned_move: float = 1.0
    first_stage: Estimate | None = None
    reduced_form: Estimate | None = None
    pair: EffectPair | None = None
    ended: str = ""
    others_moved: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    blocked: str = ""
    exploratory: str = ""
    holdout: bool = False
    projected: str = ""
    recorded_at: str = ""
    who: str = ""
    data_digest: str = ""
    seq: int = 0

    def _title(self) -> str:
        source = f"{self.experiment or 'past data'} ({self.design.value})"
        stages = [e._title() for e in (self.first_stage, self.reduced_form) if e is not None]  # noqa: SLF001 - same family
        size = f"{self.estimate._title().removesuffix('.')}; {self.estimate.unit}."  # noqa: SLF001
        failed = [f"{d.name}: {d.advice}" for d in self.estimate.diagnostics if not d.passed]
        state = [
            f"{word}: {why}" for word, why in (("BLOCKED", self.blocked), ("exploratory", self.exploratory)) if why
        ]
        return "\n".join([source, *(line for text in (*stages, size, *failed, *state) for line in wrapped(text))])

    def _rows(self) -> list[Row]:
        e = self.estimate
        return [
            {
                "link": str(self.link),
                "source": self.experiment or "past data",
                "lever": self.lever,
                "design": self.design.value,
                "estimand": e.estimand.value,
                "effect": e.value,
                "ci_low": e.ci_low,
                "ci_high": e.ci_high,
                "p_value": e.p_value,
                "n_obs": e.n_obs,
                "blocked": self.blocked,
                "exploratory": self.exploratory,
            }
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Displayed):
    """Confirmed, refuted, inconclusive or blocked, with cause, grade and reasons; recomputed at each look.

    Parameters
    ----------
    link : Link
    verdict : VerdictWord
    cause : str
        Short cause, such as ``no material effect``; empty when confirmed.
    grade : str
        A+ to D rates the evidence whatever the verdict; empty if there is none or it is blocked.
    effect, effect_shrunken, ci_low, ci_high : float
        KPI units per increment: raw, shrunken toward zero, and the ends of the 95% set (infinite ends allowed).
    p_value : float
        Running p-value against "no effect or the wrong sign" over all declared looks.
    e_value : float
        Sequential evidence against it: had there been no effect, it would ever reach this in one of so many sequences.
    breakdown : float
        Largest share of the KPI lift that may bypass the CPI before the sign is in doubt.
    reasons : tuple of str
        Sentences with the numbers in them.
    experiments, levers : tuple of str
        What the verdict rests on.
    sesoi : float
        Smallest effect worth acting on.
    expected_sign : int
        Predicted sign of the effect.
    general : bool
        Whether twenty or more trials speak for levers in general, not only for those tried.
    at_risk : bool
        Whether a confirmed link is not seen any more in the last four quarters alone.
    since : str
        Quarter from which it was published as it is now; empty if it is not.
    history : tuple of str
        Earlier verdicts, one a quarter: ``2026Q3 inconclusive, B``.
    """

    link: Link
    verdict: VerdictWord
    cause: str = ""
    grade: str = ""
    effect: float = math.nan
    effect_shrunken: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    p_value: float = 1.0
    breakdown: float = math.nan
    reasons: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    levers: tuple[str, ...] = ()
    sesoi: float = math.nan
    expected_sign: int = 1
    e_value: float = 1.0
    general: bool = False
    at_risk: bool = False
    since: str = ""
    history: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The word with its cause: ``refuted (no material effect)``, ``confirmed (at risk)``."""
        cause = self.cause or ("at risk" if self.at_risk else "")
        return f"{self.verdict.value} ({cause})" if cause else self.verdict.value

    def _title(self) -> str:
        digits = decimals(self.ci_low, self.ci_high)
        size = ""
        if not math.isnan(self.effect) and not self.reasons:  # the reasons say it in the KPI's own unit
            span = interval(self.ci_low, self.ci_high, digits, sign=True)
            size = f" {number(self.effect, digits, sign=True)} per increment ({span})."
        grade = f", grade {self.grade}" if self.grade else ""
        before = f" Before: {'; '.join(self.history)}." if self.history else ""
        return f"{self.link}: {self.headline}{grade}.{size} {' '.join(self.reasons)}{before}".strip()

    def _rows(self) -> list[Row]:
        return [
            {
                "link": str(self.link),
                "verdict": self.verdict.value,
                "cause": self.cause,
                "grade": self.grade,
                "effect": self.effect,
                "effect_shrunken": self.effect_shrunken,
                "ci_low": self.ci_low,
                "ci_high": self.ci_high,
                "p_value": self.p_value,
                "e_value": self.e_value,
                "general": self.general,
                "at_risk": self.at_risk,
                "since": self.since,
                "reasons": " ".join(self.reasons),
            }
        ]

    def _shown(self) -> list[Row]:
        return [{key: value for key, value in row.items() if key not in _NOT_SHOWN} for row in Displayed._shown(self)]  # noqa: SLF001 - the mixin itself; slots rule out super()
