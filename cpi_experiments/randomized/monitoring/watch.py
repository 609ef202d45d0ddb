"""Effects, guardrails and the split of a running trial, judged at the looks that its plan has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cpi_experiments.display import p_text, percent
from cpi_experiments.estimate import Diagnostic
from cpi_experiments.randomized.effects.outcomes import Mean, Outcome
from cpi_experiments.randomized.integrity.sample_ratio import SAMPLE_RATIO_BLOCKS, SAMPLE_RATIO_WARNS
from cpi_experiments.randomized.monitoring.accrual import Accrual, shown
from cpi_experiments.randomized.monitoring.guardrails import Guardrail, judge_guardrail
from cpi_experiments.randomized.monitoring.looks import LookPlan, information
from cpi_experiments.randomized.monitoring.sentences import Seen
from cpi_experiments.randomized.monitoring.sequences import Rule, Timing, chance_to_succeed, over_time
from cpi_experiments.randomized.monitoring.streams import Stream, effect_stream
from cpi_experiments.stats.sequential.group_sequential import Spending
from cpi_experiments.stats.sequential.sequential_counts import sequential_ratio_test


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Everything that the judgement of one effect needs beside its name; see `monitor`."""

    accrual: Accrual
    plans: LookPlan
    covariates: tuple[str, ...]
    alpha: float
    alternative: str
    spending: Spending
    rho: float
    sides: Mapping[str, str]
    planned_effect: float | None

    @property
    def arms(self) -> range:
        """Codes of the treatments."""
        return range(1, len(self.accrual.weights))

    @property
    def unfinished(self) -> bool:
        """Whether planned looks wait for rows of clusters that were counted already."""
        return self.accrual.unfinished and self.plans.plan != "anytime"

    @property
    def ended(self) -> bool:
        """Whether the planned end has come."""
        return (self.came and not self.accrual.unfinished) or self.plans.final

    @property
    def came(self) -> bool:
        """Whether as many units as planned have come; of clusters the first rows."""
        return bool(self.accrual.total[-1] >= self.plans.planned_n)

    def places(self) -> list[int]:
        """Choose the looks; where the number of clusters says nothing there is one, at the end."""
        if not self.unfinished:
            return self.plans.places(self.accrual.total)
        return [len(self.accrual.times) - 1] if self.plans.final else []

    def side(self, outcome: Outcome) -> str:
        """Which way an outcome is better."""
        return self.sides.get(outcome.name, self.sides.get(outcome.columns[0], "higher"))


def judge_effects(
    watch: Watch, places: Sequence[int], wanted: Sequence[Outcome], *, link: tuple[str, str, float] | None
) -> tuple[Seen, ...]:
    """Judge every outcome in every arm at the looks; alpha is shared equally."""
    looked = watch.accrual.at_looks(places)
    found: list[Seen] = []
    for outcome in wanted:
        side = watch.side(outcome)
        rule = Rule(
            plan=watch.plans.plan,
            alpha=watch.alpha / (len(wanted) * len(watch.arms)),
            alternative=watch.alternative,
            spending=watch.spending,
            rho=watch.rho,
            better=1 if side == "higher" else -1,
        )
        cpi = link[0] if link and outcome == Mean(link[1]) else None
        for j in watch.arms:
            stream = effect_stream(
                looked, outcome, j, covariates=watch.covariates, cpi=cpi, at_once=rule.plan != "anytime"
            )
            if len(stream.place):
                found += _seen(stream, _timing(watch, looked, j), rule, watch, link=link if cpi else None)
    return tuple(found)


def _seen(
    stream: Stream, timing: Timing, rule: Rule, watch: Watch, *, link: tuple[str, str, float] | None
) -> list[Seen]:
    effect = over_time(stream, timing, rule, unit=stream.outcome)
    chance = math.nan
    if not effect.decided and rule.plan != "fixed":
        chance = chance_to_succeed(stream, timing, rule, planned_effect=watch.planned_effect)
    found = [Seen(effect=effect, better=rule.better, chance=chance, dropped=stream.dropped)]
    if link:
        cpi, kpi, increment = link
        per = f"{kpi} per {increment:+g} {cpi}"
        ratio = over_time(replace(stream, outcome=per), timing, rule, increment=increment, unit=per)
        found.append(Seen(effect=ratio, better=0))
    return found


def _timing(watch: Watch, looked: Accrual, treatment: int) -> Timing:
    chosen = [0, treatment]
    total = looked.total
    return Timing(
        times=tuple(map(shown, looked.times)),
        total=total,
        information=information(looked.counts.cumsum(axis=0)[:, chosen], looked.weights[chosen], watch.plans.planned_n),
        planned_n=watch.plans.planned_n,
        ended=watch.ended,
        clustered=looked.columns.cluster is not None and watch.plans.plan == "anytime",
    )


def judge_guardrails(watch: Watch, margins: Mapping[str, float]) -> tuple[Guardrail, ...]:
    """Judge every guardrail in every arm at the last time."""
    if not margins:
        return ()
    clustered = watch.accrual.columns.cluster is not None
    last = len(watch.accrual.times) - 1  # without clusters earlier looks do not change what the last one says
    daily = LookPlan(plan="anytime", planned_n=watch.plans.planned_n)
    now = watch.accrual.at_looks(daily.places(watch.accrual.total) if clustered else [last])
    return tuple(
        judge_guardrail(
            effect_stream(now, Mean(column), j, covariates=watch.covariates),
            replace(_timing(watch, now, j), clustered=clustered),
            margin=margin,
            better=watch.side(Mean(column)),
            alpha=watch.alpha,
            alarms=len(margins) * len(watch.arms),
        )
        for column, margin in margins.items()
        for j in watch.arms
    )


def split_over_time(accrual: Accrual) -> Diagnostic:
    """Test the split at every time, with one p-value for all of them together."""
    p = float(sequential_ratio_test(accrual.counts, accrual.weights.tolist())[-1])
    by_arm = accrual.counts.sum(axis=0)
    labels = list(map(str, accrual.trial.labels))
    came = ", ".join(f"{label} {percent(n / by_arm.sum(), 2)}" for label, n in zip(labels, by_arm, strict=True))
    planned = ", ".join(f"{label} {percent(w, 2)}" for label, w in zip(labels, accrual.weights, strict=True))
    passed = p >= SAMPLE_RATIO_WARNS
    advice = (
        f"Planned {planned}; {int(by_arm.sum()):,} came as {came} (p {p_text(p)} for all times together). Look at how "
        "arms are assigned and logged, and give `allocation` if the plan was not equal."
    )
    return Diagnostic(
        name="sample ratio",
        null=f"units were split as planned ({planned}) at every time",
        statistic=-math.log(p) if p > 0 else math.inf,
        p_value=p,
        passed=passed,
        advice="" if passed else advice,
        blocks=p < SAMPLE_RATIO_BLOCKS,
    )
