"""From verdicts to the rows, lines, edges and forest rows of a review."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpi_experiments.catalog.entities import CPI, KPI
from cpi_experiments.display import interval, percent
from cpi_experiments.errors import ReportError
from cpi_experiments.estimate import Status
from cpi_experiments.evidence.verdict import Design, Evidence, Verdict, VerdictWord
from cpi_experiments.figures.marks import ForestRow, MapEdge
from cpi_experiments.report.amounts import Scale, step_words, tidy
from cpi_experiments.report.sections import VerdictRow
from cpi_experiments.units import Direction
from cpi_experiments.wording import review as wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpi_experiments.catalog.entities import Catalog

_ORDER = (VerdictWord.CONFIRMED, VerdictWord.BLOCKED, VerdictWord.INCONCLUSIVE, VerdictWord.REFUTED)
_NO_NUMBERS = (math.nan, math.nan, math.nan)
_MINUS = str.maketrans("-", "−")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict with everything needed to speak about it."""

    verdict: Verdict
    cpi: CPI
    kpi: KPI
    scale: Scale
    sesoi: float
    trial: tuple[float, float, float]
    past: tuple[float, float, float]

    @property
    def names(self) -> tuple[str, str]:
        """Labels of both ends."""
        return tidy(self.cpi.label), tidy(self.kpi.label)

    @property
    def harmful(self) -> bool:
        """Whether it is refuted because it goes the wrong way."""
        return self.verdict.verdict is VerdictWord.REFUTED and "harm" in self.verdict.cause

    @property
    def shown(self) -> tuple[float, float, float]:
        """The numbers that may be shown: none while blocked, no estimate where any value is possible."""
        verdict = self.verdict
        if verdict.verdict is VerdictWord.BLOCKED:
            return _NO_NUMBERS
        anything = math.isinf(verdict.ci_low) and math.isinf(verdict.ci_high)
        return math.nan if anything else verdict.effect, verdict.ci_low, verdict.ci_high

    @property
    def digits(self) -> int:
        """Decimals of every number of this link."""
        return self.scale.digits(self.verdict.ci_low, self.verdict.ci_high, size=self.sesoi)


def gather(catalog: Catalog, verdicts: Sequence[Verdict], evidence: Sequence[Evidence]) -> tuple[Judged, ...]:
    """Join verdicts, catalog and evidence, in the order of the table.

    Raises
    ------
    ReportError
        If a link has two verdicts, or is called refuted against its own numbers.
    CatalogError
        If a link is not in the catalog.
    """
    seen = [verdict.link for verdict in verdicts]
    twice = sorted({str(link) for link in seen if seen.count(link) > 1})
    if twice:
        raise ReportError(f"{len(twice)} links have two verdicts: {', '.join(twice)}", advice="Give one per link.")
    judged = [_join(catalog, verdict, evidence) for verdict in verdicts]
    for one in judged:
        _check_refuted(one)
    return tuple(sorted(judged, key=_rank))


def _join(catalog: Catalog, verdict: Verdict, evidence: Sequence[Evidence]) -> Judged:
    kpi = catalog.kpi(verdict.link.kpi_id)
    mine = [item for item in evidence if item.link == verdict.link]
    past = [item for item in mine if item.design is Design.OBSERVATIONAL and not item.blocked]
    tried = any(item.design is Design.RANDOMIZED for item in mine) and verdict.verdict is not VerdictWord.BLOCKED
    latest = max(past, key=lambda item: item.seq).estimate if past else None
    failed = latest is None or latest.status is Status.FAILED
    return Judged(
        verdict=verdict,
        cpi=catalog.cpi(verdict.link.cpi_id),
        kpi=kpi,
        scale=Scale.of(kpi),
        sesoi=verdict.sesoi if math.isfinite(verdict.sesoi) else catalog.sesoi(verdict.link),
        trial=_bounded((verdict.effect, verdict.ci_low, verdict.ci_high)) if tried else _NO_NUMBERS,
        past=_NO_NUMBERS if latest is None or failed else _bounded((latest.value, latest.ci_low, latest.ci_high)),
    )


def _bounded(triple: tuple[float, float, float]) -> tuple[float, float, float]:
    """Keep an estimate only with its interval: neither a bare point nor one that could be anything is drawn."""
    missing = any(math.isnan(part) for part in triple) or (math.isinf(triple[1]) and math.isinf(triple[2]))
    return _NO_NUMBERS if missing else triple


def _check_refuted(one: Judged) -> None:
    if one.verdict.verdict is not VerdictWord.REFUTED:
        return
    effect = one.verdict.effect
    fits = effect * one.verdict.expected_sign < 0 if one.harmful else abs(effect) < one.sesoi
    if not fits:  # also where the effect is NaN
        rule = "have the wrong sign" if one.harmful else f"be smaller than {one.sesoi:g}"
        raise ReportError(
            f"{one.verdict.link} is {one.verdict.headline}, but its effect is {effect:g}",
            advice=f"A link refuted for this cause must {rule}. Judge the ledger again before you report.",
        )


def _rank(one: Judged) -> tuple[int, float, str]:
    value = one.verdict.effect * one.kpi.better.sign / one.sesoi
    return _ORDER.index(one.verdict.verdict), -value if math.isfinite(value) else math.inf, str(one.verdict.link)


def verdict_row(one: Judged) -> VerdictRow:
    """Fill one row of the verdict table."""
    verdict, (cpi, kpi) = one.verdict, one.names
    effect, low, high = one.shown
    blocked = verdict.verdict is VerdictWord.BLOCKED
    return VerdictRow(
        link=str(verdict.link),
        cpi=cpi,
        kpi=kpi,
        verdict=verdict.verdict.value,
        symbol=wording.SYMBOLS[verdict.verdict.value],
        cause=tidy(verdict.cause),
        grade=verdict.grade,
        trials=len(verdict.experiments),
        step=f"{step_words(one.cpi)}: {_step_effect(one)}",
        range_text="not shown" if blocked else one.scale.span(low, high, one.digits),
        evidence=_evidence_words(one),
        why=why(one),
        effect=effect,
        effect_shrunken=math.nan if blocked else verdict.effect_shrunken,
        ci_low=low,
        ci_high=high,
        sesoi=one.sesoi,
        factor=one.scale.factor,
        unit=one.scale.unit,
        digits=one.digits,
    )


def _step_effect(one: Judged) -> str:
    effect = one.shown[0]
    if one.verdict.verdict is VerdictWord.BLOCKED:
        return "no number while blocked"
    if math.isnan(effect):
        tried = one.verdict.cause != "only past data"
        return "not estimable" if math.isinf(one.verdict.ci_low) else "not available" if tried else "no experiment yet"
    text = one.scale.effect(effect, one.digits)
    good = f" (lower {one.names[1]} is good)" if one.kpi.better is Direction.LOWER else ""
    return text + good


def _evidence_words(one: Judged) -> str:
    trials = len(one.verdict.experiments)
    if trials:
        source = wording.plural(trials, "trial")
    else:
        source = "past data" if math.isfinite(one.past[0]) else "no evidence yet"
    return f"{one.verdict.grade}, {source}" if one.verdict.grade else source


def why(one: Judged) -> str:
    """Say why the verdict is what it is, in words for leaders."""
    verdict, (cpi, kpi) = one.verdict, one.names
    if verdict.verdict is VerdictWord.CONFIRMED:
        share = percent(verdict.breakdown) if math.isfinite(verdict.breakdown) else ""
        trials, levers = len(verdict.experiments), len(set(verdict.levers))
        return wording.confirmed_why(trials=trials, levers=levers, breakdown=share, cpi=cpi)
    if verdict.verdict is VerdictWord.REFUTED:
        return wording.refuted_why(harmful=one.harmful, sesoi=one.scale.limit(one.sesoi), cpi=cpi, kpi=kpi)
    blocked = verdict.verdict is VerdictWord.BLOCKED
    if verdict.cause == "only past data" and math.isfinite(one.past[0]):  # an experiment that told nothing speaks first
        return wording.past_only_why(cpi=cpi, kpi=kpi, better=one.past[0] * one.kpi.better.sign > 0)
    reason = tidy(verdict.reasons[0]) if verdict.reasons else ""
    span = one.scale.span(verdict.ci_low, verdict.ci_high, one.digits)
    return wording.open_why(blocked=blocked, reason=reason, cause=tidy(verdict.cause), cpi=cpi, kpi=kpi, span=span)


def effect_sentence(one: Judged) -> str:
    """Say a confirmed effect with its range."""
    effect, low, high = one.shown
    adds = effect >= 0
    factor = one.scale.factor
    ends = (low, high) if adds else (-high, -low)
    return wording.effect_line(
        cpi=one.names[0],
        step=one.cpi.step,
        kpi=one.names[1],
        size=one.scale.size(effect, one.digits),
        span=interval(factor * ends[0], factor * ends[1], one.digits),
        adds=adds,
        grade=one.verdict.grade,
    )


def map_edge(one: Judged) -> MapEdge:
    """Draw the link as an edge of the map."""
    word = one.verdict.verdict
    effect = one.shown[0]
    note = one.scale.effect(effect, one.digits).translate(_MINUS) if math.isfinite(effect) else ""
    if word is VerdictWord.REFUTED:
        note = "harmful" if one.harmful else "too small"
    return MapEdge(
        cpi=one.cpi.id,
        kpi=one.kpi.id,
        verdict=word.value,
        symbol=wording.SYMBOLS[word.value],
        grade=one.verdict.grade,
        note=note,
    )


def forest_row(one: Judged) -> ForestRow:
    """Count the link in multiples of its smallest effect worth acting on, + = better for the company."""
    effect = one.trial[0]
    note = one.scale.effect(effect, one.digits).translate(_MINUS) if math.isfinite(effect) else ""
    turn = one.kpi.better.sign / one.sesoi
    cpi, kpi = one.names
    return ForestRow(
        label=f"{cpi} → {kpi}", experiment=_turned(one.trial, turn), past=_turned(one.past, turn), note=note
    )


def _turned(triple: tuple[float, float, float], turn: float) -> tuple[float, float, float]:
    value, low, high = (part * turn for part in triple)
    return (value, low, high) if turn > 0 else (value, high, low)


def past_sentence(judged: Sequence[Judged]) -> str:
    """Compare past data with experiments over all links that have both."""
    pairs = [(one.past[0], one.trial[0]) for one in judged if math.isfinite(one.past[0] + one.trial[0])]
    return wording.past_against_trials(
        pairs=len(pairs),
        larger=sum(abs(past) > abs(trial) for past, trial in pairs),
        opposite=sum(past * trial < 0 for past, trial in pairs),
    )
