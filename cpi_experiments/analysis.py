"""From measured data to evidence: the one place where estimators and the record of what they say meet."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

from cpi_experiments.errors import DataError, DesignError, EstimationError
from cpi_experiments.evidence.verdict import Design, Evidence
from cpi_experiments.measure.overlap import shared_share
from cpi_experiments.measure.units import UnitFrame, measure_units
from cpi_experiments.observational.fixed_effects import fixed_effects
from cpi_experiments.randomized.encouragement import check_integrity, encouragement, itt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.estimate import Link
    from cpi_experiments.hypotheses.hypothesis import Hypothesis
    from cpi_experiments.measure.engine import Tables
    from cpi_experiments.measure.panel import Panel
    from cpi_experiments.randomized.experiment import Experiment

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


def measure_trial(tables: Tables, catalog: Catalog, plan: Experiment, *, as_of: date | None) -> UnitFrame:
    """Measure every CPI, and the KPIs that an experiment tests, on its customers; look at no effect.

    Raises
    ------
    DesignError
        If some customers can still be measured: one look was planned, at the end.
    DataError
        If tables or arms do not fit the plan.
    """
    kpis = dict.fromkeys(link.kpi_id for link in plan.links)
    try:
        data = measure_units(
            tables,
            catalog,
            experiment=plan.id,
            cpis=list(catalog.cpis),
            kpis=list(kpis),
            covariates=plan.covariates,
            unit=plan.randomize,
            assignments=plan.table,
            as_of=None if as_of is None else str(as_of),
        )
        check_integrity(data, plan)
    except DataError as error:
        raise _named(error, plan) from error
    if data.n_open:
        raise DesignError(
            f"experiment {plan.id!r} is not over: {data.n_open:,} of {len(data.frame):,} units are still measured",
            advice=f"Its effects stay hidden until {closes(catalog, plan)}: an early look costs the error rate.",
        )
    return data


def past_evidence(panel: Panel, catalog: Catalog, hypothesis: Hypothesis) -> Evidence:
    """Estimate the association of a link in past data by two-way fixed effects.

    Raises
    ------
    DataError, EstimationError
        If past data do not allow an estimate.
    """
    return Evidence(
        link=hypothesis.link,
        design=Design.OBSERVATIONAL,
        estimate=fixed_effects(panel, hypothesis, divisor=catalog.cpi(hypothesis.link.cpi_id).divisor),
        hypothesis_digest=hypothesis.digest,
        data_digest=panel.digest,
    )


def trial_evidence(
    data: UnitFrame,
    catalog: Catalog,
    plan: Experiment,
    hypotheses: Iterable[Hypothesis],
    *,
    overlaps: Mapping[Link, tuple[str, ...]],
) -> tuple[Evidence, ...]:
    """Estimate every link that an experiment tests, integrity first.

    Parameters
    ----------
    data : UnitFrame
        From `measure_trial`.
    catalog, plan, hypotheses
    overlaps : mapping of Link to experiments
        From `overlapping`.

    Raises
    ------
    DataError, EstimationError
        If the trial does not allow an estimate; it names the experiment.
    """
    try:
        moved = {cpi: t for cpi in catalog.cpis if (t := _moved(data, plan, cpi)) is not None}
        return tuple(_evidence(data, catalog, plan, h, moved, overlaps.get(h.link, ())) for h in hypotheses)
    except (DataError, EstimationError) as error:
        raise _named(error, plan) from error


def overlapping(
    tables: Tables, catalog: Catalog, plan: Experiment, experiments: Iterable[Experiment]
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
    moved: Mapping[str, float],
    overlaps: tuple[str, ...],
) -> Evidence:
    link = hypothesis.link
    checks = check_integrity(data, plan, outcomes=(link.cpi_id, link.kpi_id))
    effect = encouragement(data, plan, hypothesis, cpi=catalog.cpi(link.cpi_id))
    declared = catalog.lever(plan.lever).moves
    failed = [check for check in (*checks, *effect.estimate.diagnostics) if check.blocks]
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
        blocked="; ".join(dict.fromkeys(f"{check.name}: {check.advice}" for check in failed)),
        data_digest=data.digest,
    )


def _moved(data: UnitFrame, plan: Experiment, cpi: str) -> float | None:
    """Return the t statistic of the lever on a CPI; None where too few customers have it."""
    try:
        estimate = itt(data, plan, cpi)
    except (DataError, EstimationError):
        return None
    return estimate.value / estimate.std_error if estimate.std_error > 0 else None


def _named(error: DataError | EstimationError, plan: Experiment) -> DataError | EstimationError:
    where = ", ".join(part for part in (f"experiment {plan.id}", error.where) if part)
    return type(error)(error.found, where=where, advice=error.advice)
