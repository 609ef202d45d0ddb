"""The nouns of an audit of a link: the estimate, with what would undo it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cpi_experiments.display import Displayed, Row, decimals, interval, p_text, percent, text_table, wrapped
from cpi_experiments.estimate import Estimate
from cpi_experiments.randomized.links.link import Intervals, LinkEffect
from cpi_experiments.stats.instruments.response_weights import ResponseWeights
from cpi_experiments.wording.audit import (
    compliance_sentence,
    negative_control_sentence,
    permutation_sentence,
    weights_sentence,
)

#: A step of the CPI that goes the other way, or a KPI that only another way can move, counts below this p-value.
SUSPICIOUS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectPath:
    """The set of a link if some share of the KPI lift may have come about by another way.

    Parameters
    ----------
    share : float
        Largest share, of either sign.
    confidence_set : tuple of (low, high)
    """

    share: float
    confidence_set: Intervals

    @property
    def keeps_sign(self) -> bool:
        """Whether zero is outside."""
        return all(low > 0 or high < 0 for low, high in self.confidence_set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compliance:
    """Who did as assigned, where the CPI is a yes/no column; all in shares of customers, weighted over strata.

    Parameters
    ----------
    always, never : float
        Would have it in either arm (its share in the arm that has less of it), and in neither.
    moved : float
        Had it because of the assignment: the first stage without covariates. Below zero where the lever takes it away.
    """

    always: float
    never: float
    moved: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAudit(Displayed):
    """A link estimate with what would undo it.

    Parameters
    ----------
    link : LinkEffect
    direct : tuple of DirectPath
        Conley-Hansen-Rossi sets by share of the lift that may be direct; `LinkEffect.breakdown` is the share at which
        the sign is lost.
    compliance : Compliance or None
        Where the CPI is a yes/no column.
    weights : ResponseWeights or None
        Where on the CPI's scale the lever moved customers, where the CPI is graded: the effect is an average over these
        steps, and speaks of no other. By strata and clusters as the link, without covariates.
    negative_controls : tuple of Estimate
        Effects of the lever on outcomes that only another way could move.
    permuted_set : tuple of (low, high)
        Anderson-Rubin set by permutation of the arms; empty if it was not needed.
    permuted_p : float
        Its p-value of no effect; NaN if it was not needed.
    why_permuted : str
        Why Student's t was not trusted, or what was asked for; empty if it was not needed.
    covariates : tuple of str
        Of the link. Compliance, weights and permutation do without them, so they may differ from the link a little.
    """

    link: LinkEffect
    direct: tuple[DirectPath, ...]
    compliance: Compliance | None
    weights: ResponseWeights | None
    negative_controls: tuple[Estimate, ...]
    permuted_set: Intervals
    permuted_p: float
    why_permuted: str
    covariates: tuple[str, ...] = ()

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against the estimate, in sentences."""
        found = []
        if self.weights is not None and self.weights.p_against < SUSPICIOUS:
            found.append(weights_sentence(p=p_text(self.weights.p_against), cpi=self.link.estimate.cause))
        found += [
            negative_control_sentence(kpi=e.outcome, p=p_text(e.p_value), moved=True)
            for e in self.negative_controls
            if e.p_value < SUSPICIOUS
        ]
        if self.why_permuted and not math.isnan(self.permuted_p):
            held, holds = self.link.estimate.p_value < SUSPICIOUS, self.permuted_p < SUSPICIOUS
            if held != holds:
                found.append(permutation_sentence(why=self.why_permuted, p=p_text(self.permuted_p)))
        return tuple(found)

    def _title(self) -> str:
        return self.link.sentence

    def _lines(self) -> list[tuple[str, str]]:
        e = self.link.estimate
        lines = [
            (f"if {percent(path.share)} is direct", self._pieces(path.confidence_set))
            for path in self.direct
            if path.share > 0
        ]
        if self.compliance is not None:
            c = self.compliance
            told = compliance_sentence(
                cpi=e.cause, moved=percent(abs(c.moved), 1), always=percent(c.always, 1), never=percent(c.never, 1),
                lowered=c.moved < 0,
            )  # fmt: skip
            lines.append(("for whom", told))
        lines += [
            ("negative control", negative_control_sentence(
                kpi=estimate.outcome, p=p_text(estimate.p_value), moved=estimate.p_value < SUSPICIOUS
            ))
            for estimate in self.negative_controls
        ]  # fmt: skip
        if self.why_permuted:
            told = f"{self._pieces(self.permuted_set)}, p {p_text(self.permuted_p)} ({self.why_permuted})"
            lines.append(("by permutation", told))
        if self.covariates and (self.compliance or self.weights or self.why_permuted):
            lines.append(("without covariates", "who was moved, and the permutation (not the link itself)"))
        return lines

    def _pieces(self, sets: Intervals) -> str:
        """Write a set as the link's own sentence does: yes/no KPIs in points."""
        e, scale, unit = self.link.estimate, *((100.0, " points") if self.link.shares else (1.0, ""))
        digits = decimals(scale * e.ci_low, scale * e.ci_high)
        pieces = [interval(scale * low, scale * high, digits, sign=True) for low, high in sets]
        if not pieces:
            return "no value fits"
        return " or ".join(pieces) + (unit if pieces != ["any value"] else "")

    def _rows(self) -> list[Row]:
        rows: list[Row] = [
            {"check": "direct path", "case": path.share, "low": low, "high": high, "p_value": math.nan}
            for path in self.direct
            for low, high in path.confidence_set
        ]
        rows += [
            {"check": "negative control", "case": e.outcome, "low": e.ci_low, "high": e.ci_high, "p_value": e.p_value}
            for e in self.negative_controls
        ]
        rows += [
            {"check": "permutation", "case": self.why_permuted, "low": low, "high": high, "p_value": self.permuted_p}
            for low, high in self.permuted_set
        ]
        if self.weights is not None:
            w = self.weights
            rows += [
                {"check": "weight", "case": f"{low:g} to {high:g}", "low": weight, "high": weight, "p_value": math.nan}
                for low, high, weight in zip(w.low, w.high, w.weight, strict=True)
            ]
        return rows

    def _weight_table(self) -> str:
        if self.weights is None:
            return ""
        w = self.weights
        rows = [
            {"step of the CPI": f"{low:.4g} to {high:.4g}", "weight": percent(weight, 0)}
            for low, high, weight in zip(w.low.tolist(), w.high.tolist(), w.weight.tolist(), strict=True)
        ]
        return text_table(rows, right=["weight"])

    def _shown(self) -> list[Row]:
        return [{"what": what, "found": found} for what, found in self._lines()]

    def __str__(self) -> str:
        doubts = [line for doubt in self.doubts for line in wrapped(f"DOUBT: {doubt}", indent="")]
        lines = [line for what, found in self._lines() for line in wrapped(f"{what}: {found}")]
        return "\n".join([str(self.link), *doubts, "", *lines, *(["", self._weight_table()] if self.weights else [])])
