"""The noun of several CPIs that one lever moved together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cpi_experiments.display import Displayed, Row, decimals, interval, level_text, number, p_text, points
from cpi_experiments.estimate import Diagnostic, Estimate
from cpi_experiments.randomized.links.link import effect_text, f_text, wrapped_lines
from cpi_experiments.wording.results import bundle_sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleEffect(Displayed):
    """What several CPIs that were moved together do to a KPI.

    Parameters
    ----------
    effects : tuple of Estimate
        KPI per increment of each CPI with the others held fixed (LATE); empty where there are fewer arms than CPIs.
        Intervals are projected Anderson-Rubin sets for two CPIs; for more only the point is given.
    strength : float
        First-stage F of the combination of CPIs that the arms move least: about 1 where the arms cannot tell the CPIs
        apart; NaN with fewer arms than CPIs. Shown, never a filter.
    credit : tuple of Estimate
        Effect of every arm on the KPI: what the whole bundle did, whatever it came through.
    moved : tuple of Estimate
        Effect of every arm on every CPI, in raw units.
    agreement : Diagnostic
        Whether the arms fit one set of effects, where there are more arms than CPIs.
    integrity : Diagnostic
        Sample ratio.
    steps : tuple of str
        One increment of each CPI in words.
    shares : bool
        Whether the KPI is a yes/no column.
    """

    effects: tuple[Estimate, ...]
    strength: float
    credit: tuple[Estimate, ...]
    moved: tuple[Estimate, ...]
    agreement: Diagnostic
    integrity: Diagnostic
    steps: tuple[str, ...]
    shares: bool = False

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        cpis = list(dict.fromkeys(e.outcome for e in self.moved))
        told = [
            (step, self._value(e), self._set(e)) for step, e in zip(self.steps, self.effects, strict=bool(self.effects))
        ]
        return bundle_sentence(
            cpis=cpis,
            kpi=self.credit[0].outcome,
            effects=told,
            level=level_text(self.credit[0].confidence_level),
            arms=len(self.credit),
        )

    def _scale(self) -> float:
        return 100.0 if self.shares else 1.0

    def _value(self, e: Estimate) -> str:
        scale = self._scale()
        digits = decimals(scale * e.ci_low, scale * e.ci_high)
        text = number(scale * e.value, digits, sign=True)
        return points(text) if self.shares else text

    def _set(self, e: Estimate) -> str:
        scale = self._scale()
        digits = decimals(scale * e.ci_low, scale * e.ci_high)
        return " or ".join(interval(scale * low, scale * high, digits) for low, high in e.confidence_set)

    def _title(self) -> str:
        return self.sentence

    def _lines(self) -> list[tuple[str, str]]:
        lines = [(f"{e.cause} -> {e.outcome}", effect_text(e, 1.0)) for e in self.moved]
        lines += [(f"{e.cause} -> {e.outcome}", effect_text(e, self._scale())) for e in self.credit]
        if self.effects:
            lines.append(("CPIs apart", f"least F {f_text(self.strength)}"))
        if math.isfinite(self.agreement.statistic):
            lines.append(("misfit", f"Q {self.agreement.statistic:.3g} (p {p_text(self.agreement.p_value)})"))
        state = "ok" if self.integrity.passed else ("BLOCKED" if self.integrity.blocks else "watch")
        return [*lines, ("sample ratio", state if self.integrity.passed else f"{state}: {self.integrity.advice}")]

    def _shown(self) -> list[Row]:
        return [{"what": name, "found": text} for name, text in self._lines()]

    def __str__(self) -> str:
        n = (self.effects or self.credit)[0].n_obs
        who = f"For customers whose CPIs the lever changed; {n:,} customers."
        return wrapped_lines(self.sentence, who, self._lines())

    def _rows(self) -> list[Row]:
        return [
            {
                "cause": e.cause,
                "outcome": e.outcome,
                "estimand": e.estimand.value,
                "effect": e.value,
                "std_error": e.std_error,
                "ci_low": e.ci_low,
                "ci_high": e.ci_high,
                "p_value": e.p_value,
                "method": e.method,
                "status": e.status.value,
            }
            for e in (*self.effects, *self.credit, *self.moved)
        ]
