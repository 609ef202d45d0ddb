"""From measured data to evidence: the one place where estimators and the record of what they say meet."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cpi_experiments.errors import DataError, DesignError, EstimationError
from cpi_experiments.evidence.verdict import Design, Evidence
from cpi_experiments.measure.overlap import shared_share
from cpi_experiments.measure.units import Trial, UnitFrame, measure_trials
from cpi_experiments.observational.fixed_effects import fixed_effects, lag_periods
from cpi_experiments.randomized.encouragement import check_integrity, encouragement, itt
from cpi_experiments.randomized.integrity.check_trial import check_trial
from cpi_experiments.randomized.monitoring.monitor import monitor
from cpi_experiments.randomized.planning.analysis_plan import plan_of
from cpi_experiments.randomized.planning.plan_lock import follows_lock
from cpi_experiments.units import Direction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.estimate import Diagnostic, Link
    from cpi_experiments.hypotheses.hypothesis import Hypothesis
    from cpi_experiments.measure.engines.source import Engine
    from cpi_experiments.measure.panel import Panel
    from cpi_experiments.randomized.experiment import Experiment
    from cpi_experiments.randomized.integrity.check_trial import Integrity
    from cpi_experiments.randomized.monitoring.monitoring import Monitoring
    from cpi_experiments.randomized.planning.analysis_plan import AnalysisPlan
    from cpi_experiments.stats.moments import Moments

#: A lever moves another CPI as well if its |t| exceeds this: where the catalog says it should, and where it does not.
ALSO_MOVED, ALSO_MOVED_UNDECLARED = 2.0, 4.0
#: Experiments of one link that share more than this of their customers at the same time are not pooled.
MOST_SHARED = 0.01


def window_days(catalog: Catalog, link: Link) -> float:
    """Days after an assignment until CPI and KPI of a link are complete."""
    cpi, kpi = catalog.cpi(link.cpi_id), catalog.kpi(link.kpi_id)
    return max(cpi.measure.window_days, kpi.measure.window_days)


def closes(catalog: Catalog, plan: Experiment) -> date:
    """Day on which the last KPI window of an experiment closes."""
    windows = [window_days(catalog, link) for link in plan.links]
    return date.fromisoformat(plan.end) + timedelta(days=max(windows, default=0))


def measure_trial(tables: Engine, catalog: Catalog, plan: Experiment, *, as_of: date | None) -> UnitFrame:
    """Measure one experiment; see `measure_plans`."""
    return measure_plans(tables, catalog, [plan], as_of=as_of)[0]


def measure_plans(
    tables: Engine, catalog: Catalog, plans: Sequence[Experiment], *, as_of: date | None
) -> tuple[UnitFrame, ...]:
    """Measure every CPI, and the KPIs that each experiment tests, on its customers; look at no effect.

    Every event table is scanned once for all experiments.

    Raises
    ------
    DesignError
        If some customers can still be measured: one look was planned, at the end.
    DataError
        If tables or arms do not fit a plan; it names the experiment.
    """
    trials = [_asked(catalog, plan) for plan in plans]
    found = measure_trials(tables, catalog, trials, as_of=None if as_of is None else str(as_of))
    for plan, data in zip(plans, found, strict=True):
        try:
            check_integrity(data, plan)
        except DataError as error:
            raise _named(error, plan) from error
        if data.n_open:
            raise DesignError(
                f"experiment {plan.id!r} is not over: {data.n_open:,} of {len(data.frame):,} units are still measured",
                advice=f"Its effects stay hidden until {closes(catalog, plan)}: an early look costs the error rate. "
                "cpi monitor shows what may be seen.",
            )
    return found


def _asked(catalog: Catalog, plan: Experiment) -> Trial:
    cpis = (cpi.id for cpi in catalog.cpis.values() if cpi.measure.kind is None or cpi.measure.kind.by_customer)
    return Trial(
        experiment=plan.id,
        cpis=tuple(cpis),
        kpis=tuple(dict.fromkeys([*(link.kpi_id for link in plan.links), *plan.guardrails])),
        covariates=tuple(plan.covariates),
        unit=plan.randomize,
        assignments=plan.table,
        exclude=plan.exclude,
    )


def monitor_trial(tables: Engine, catalog: Catalog, plan: Experiment, link: Link, *, as_of: date) -> Monitoring:
    """Look at a running experiment as its plan allows: customers whose windows have closed, effects only if planned.

    Parameters
    ----------
    tables : Engine
    catalog : Catalog
    plan : Experiment
        Its ``stopping`` and ``looks`` say what may be seen; its ``guardrails`` are watched always.
    link : Link
        One of the plan's.
    as_of : date
        Last day that is seen.

    Raises
    ------
    DesignError
        If the plan names no size.
    DataError
        If no customer's window has closed, or tables or arms do not fit the plan; it names the experiment.
    """
    if not plan.planned_n:
        raise DesignError(f"experiment {plan.id!r} names no `planned_n`", advice="See cpi design.")
    data = measure_trials(tables, catalog, [_asked(catalog, plan)], as_of=str(as_of))[0]
    days = max(catalog.kpi(kpi).measure.window_days for kpi in data.kpis)
    window = np.timedelta64(round(max(days, window_days(catalog, link)) * 86_400), "s")
    known = data.frame["assigned_at"].to_numpy().astype("datetime64[s]") + window
    closed = np.asarray(known < np.datetime64(as_of + timedelta(days=1), "s"))
    if not closed.any():
        raise DataError(
            f"no window of the {len(closed):,} customers has closed by {as_of}", where=f"experiment {plan.id}",
            advice=f"The first closes on {known.min().astype('datetime64[D]')}.",
        )  # fmt: skip
    frame = data.frame[closed].assign(known=np.datetime_as_string(known[closed].astype("datetime64[D]")))
    watched = {kpi: catalog.kpi(kpi).better for kpi in (*plan.guardrails, link.kpi_id)}
    try:
        return monitor(
            frame, arm="arm", control=plan.control, time="known", plan=plan.stopping,  # type: ignore[arg-type] # checked by the plan
            planned_n=plan.planned_n,
            cpi=link.cpi_id, kpi=link.kpi_id, increment=catalog.cpi(link.cpi_id).divisor,
            looks=plan.looks if plan.stopping == "group_sequential" else None, covariates=plan.covariates,
            allocation=plan.allocation, guardrails=plan.guardrails,
            better={kpi: "lower" if side is Direction.LOWER else "higher" for kpi, side in watched.items()},
            units="customers",
        )  # fmt: skip
    except (DataError, EstimationError) as error:
        raise _named(error, plan) from error


def running_integrity(tables: Engine, catalog: Catalog, plan: Experiment, *, as_of: date | None) -> Integrity:
    """Check an experiment that may still run; no effect is looked at."""
    until = None if as_of is None else str(as_of)
    return trial_integrity(measure_trials(tables, catalog, [_asked(catalog, plan)], as_of=until)[0], plan)


def trial_integrity(data: UnitFrame, plan: Experiment, *, link: Link | None = None) -> Integrity:
    """Check a measured experiment before its effects: its split, by day too, who is missing, what differed before.

    Parameters
    ----------
    data : UnitFrame
    plan : Experiment
    link : Link, optional
        Whose CPI and KPI are looked at; those of all links by default.

    Raises
    ------
    DataError
        If arms or columns do not fit the plan.
    """
    links = plan.links if link is None else (link,)
    days = np.datetime_as_string(data.frame["assigned_at"].to_numpy().astype("datetime64[D]"))
    return check_trial(
        data.frame.assign(day=days),
        arm="arm",
        control=plan.control,
        unit="unit",
        allocation=plan.allocation,
        outcomes=list(dict.fromkeys(name for each in links for name in (each.cpi_id, each.kpi_id))),
        covariates=list(plan.covariates),
        day="day",
    )


def past_evidence(panel: Panel, catalog: Catalog, hypothesis: Hypothesis) -> Evidence:
    """Estimate the association of a link in past data by two-way fixed effects.

    Raises
    ------
    DataError, EstimationError
        If past data do not allow an estimate, or the KPI is measured before its CPI in the same period.
    """
    estimate = fixed_effects(panel, hypothesis, divisor=catalog.cpi(hypothesis.link.cpi_id).divisor)
    return Evidence(
        link=hypothesis.link,
        design=Design.OBSERVATIONAL,
        estimate=replace(estimate, diagnostics=(*estimate.diagnostics, *_order_in(panel, hypothesis))),
        hypothesis_digest=hypothesis.digest,
        data_digest=panel.digest,
    )


def _order_in(panel: Panel, hypothesis: Hypothesis) -> tuple[Diagnostic, ...]:
    """Return what to watch in the order of measuring; a KPI of a later period comes later by itself."""
    if lag_periods(hypothesis.lag_days, panel.period) > 0:
        return ()
    order = panel.order_of(hypothesis.link.cpi_id, hypothesis.link.kpi_id)
    if order.blocks:
        raise DataError(order.advice.rstrip("."), advice=f"A lag of one {panel.period} makes the order sure.")
    return () if order.passed else (order,)


def trial_evidence(
    data: UnitFrame,
    catalog: Catalog,
    plan: Experiment,
    hypotheses: Iterable[Hypothesis],
    *,
    moments: Moments,
    overlaps: Mapping[Link, tuple[str, ...]],
    locked: AnalysisPlan | None,
) -> tuple[Evidence, ...]:
    """Estimate every link that an experiment tests, integrity first, without another look at its customers.

    Parameters
    ----------
    data : UnitFrame
        From `measure_plans`.
    catalog, plan, hypotheses
    moments : Moments
        From `cpi_experiments.randomized.encouragement.trial_moments`.
    overlaps : mapping of Link to experiments
        From `overlapping`.
    locked : AnalysisPlan or None
        The plan that was locked for the experiment: evidence that does not follow it is exploratory.

    Raises
    ------
    DataError, EstimationError
        If the trial does not allow an estimate; it names the experiment.
    """
    hypotheses = tuple(hypotheses)
    follows = follows_lock(plan_of(plan, catalog, hypotheses), locked)
    try:
        moved = {cpi: t for cpi in catalog.cpis if (t := _moved(data, plan, cpi, moments)) is not None}
        part = partial(_evidence, data, catalog, plan, moments=moments, moved=moved)
        found = tuple(part(h, overlaps=overlaps.get(h.link, ())) for h in hypotheses)
    except (DataError, EstimationError) as error:
        raise _named(error, plan) from error
    why = follows.advice.rstrip(".") or _stopped_early(plan, len(data.frame))
    return tuple(
        replace(
            evidence,
            estimate=replace(evidence.estimate, diagnostics=(*evidence.estimate.diagnostics, follows)),
            plan_digest="" if locked is None else locked.digest,
            exploratory=why,
        )
        for evidence in found
    )


def _stopped_early(plan: Experiment, n: int) -> str:
    """Say why the estimate of a trial that could end early, and did, does not count: it ended where it looked best."""
    if plan.stopping == "fixed" or n >= plan.planned_n > 0:
        return ""
    planned = f"{plan.planned_n:,} planned" if plan.planned_n else "no planned size"
    return f"its {plan.stopping.replace('_', '-')} plan ended with {n:,} customers of {planned}: see cpi monitor"


def overlapping(
    tables: Engine, catalog: Catalog, plan: Experiment, experiments: Iterable[Experiment]
) -> dict[Link, tuple[str, ...]]:
    """For every link of an experiment, the other experiments of it whose customers were in this one at the time."""
    others = [other for other in experiments if other.id != plan.id and other.table == plan.table]
    found = {}
    for link in plan.links:
        days = window_days(catalog, link)
        share = partial(shared_share, tables, plan.id, days=days, unit=plan.randomize, assignments=plan.table)
        found[link] = tuple(other.id for other in others if link in other.links and share(other.id) > MOST_SHARED)
    return found


def _evidence(
    data: UnitFrame,
    catalog: Catalog,
    plan: Experiment,
    hypothesis: Hypothesis,
    *,
    moments: Moments,
    moved: Mapping[str, float],
    overlaps: tuple[str, ...],
) -> Evidence:
    link = hypothesis.link
    checks = check_integrity(data, plan, outcomes=(link.cpi_id, link.kpi_id), moments=moments)
    effect = encouragement(data, plan, hypothesis, cpi=catalog.cpi(link.cpi_id), moments=moments)
    declared = catalog.lever(plan.lever).moves
    more = trial_integrity(data, plan, link=link).diagnostics
    failed = {check.name: check for check in (*more, *checks, *effect.estimate.diagnostics) if check.blocks}
    return Evidence(
        link=link,
        design=Design.RANDOMIZED,
        estimate=effect.estimate,
        hypothesis_digest=hypothesis.digest,
        experiment=plan.id,
        lever=plan.lever,
        lever_sign=catalog.lever_sign(plan.lever, link.cpi_id),
        planned_move=plan.planned_move,
        first_stage=effect.first_stage,
        reduced_form=effect.reduced_form,
        pair=effect.pair,
        ended=str(date.fromisoformat(plan.end) + timedelta(days=window_days(catalog, link))),
        others_moved=tuple(
            other
            for other, t in moved.items()
            if other != link.cpi_id and abs(t) > (ALSO_MOVED if other in declared else ALSO_MOVED_UNDECLARED)
        ),
        overlaps=overlaps,
        blocked="; ".join(f"{check.name}: {check.advice}" for check in failed.values()),
        data_digest=data.digest,
    )


def _moved(data: UnitFrame, plan: Experiment, cpi: str, moments: Moments) -> float | None:
    """Return the t statistic of the lever on a CPI; None where too few customers have it."""
    try:
        estimate = itt(data, plan, cpi, moments=moments)
    except (DataError, EstimationError):
        return None
    return estimate.value / estimate.std_error if estimate.std_error > 0 else None


def _named(error: DataError | EstimationError, plan: Experiment) -> DataError | EstimationError:
    where = ", ".join(part for part in (f"experiment {plan.id}", error.where) if part)
    return type(error)(error.found, where=where, advice=error.advice)
