"""One quarter of a project from measuring to the review: the order of the steps, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpi_experiments.analysis import closes, measure_plans, overlapping, past_evidence, trial_evidence
from cpi_experiments.errors import DataError, EstimationError
from cpi_experiments.evidence.portfolio_state import record_state
from cpi_experiments.evidence.quarter import judge_quarter
from cpi_experiments.evidence.record import recall, record, record_verdicts
from cpi_experiments.hypotheses.candidates import hypothesis_of
from cpi_experiments.hypotheses.registry import registrations
from cpi_experiments.measure.moments.store import save_moments
from cpi_experiments.randomized.encouragement import trial_moments
from cpi_experiments.randomized.planning.plan_lock import locked_plans
from cpi_experiments.report.review import build_review
from cpi_experiments.report.sections import InFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cpi_experiments.evidence.verdict import Evidence, Verdict
    from cpi_experiments.measure.panel import Panel
    from cpi_experiments.measure.units import UnitFrame
    from cpi_experiments.randomized.experiment import Experiment
    from cpi_experiments.report.review import Review
    from cpi_experiments.study.study import Study

    Progress = Callable[[str], None]


def run_quarter(study: Study, quarter: str, *, progress: Progress) -> Review:
    """Measure, register, analyse, judge and charter a quarter; see `Study.run`."""
    when = study.project.quarter(quarter)
    study.check_ledger()
    progress("measuring")
    panel = study.measure(as_of=when.last)
    plans = study.finished(when.last)
    trials = measure_plans(study.tables, study.catalog, plans, as_of=when.last)
    hypotheses = study.register_all()
    progress("past data")
    found, alarms = [], []
    for hypothesis in hypotheses:
        try:
            found.append(past_evidence(panel, study.catalog, hypothesis))
        except (DataError, EstimationError) as error:
            alarms.append(f"Past data say nothing about {hypothesis.link}: {error.found}.")
    for plan, data in zip(plans, trials, strict=True):
        progress(plan.id)
        found += analyse_trial(study, plan, data)
    progress("judging")
    for evidence in found:
        record(study.ledger, evidence)
    verdicts = study.judge(quarter)
    return study.review(quarter, verdicts, panel=panel, alarms=alarms)


def analyse_trial(study: Study, plan: Experiment, data: UnitFrame) -> tuple[Evidence, ...]:
    """Analyse every link that a measured experiment tests, by the claims as registered and the plan as locked."""
    frozen = {link: r.hypothesis for link, r in registrations(study.ledger).items()}
    hypotheses = [frozen.get(link) or hypothesis_of(study.catalog, link) for link in plan.links]
    overlaps = overlapping(study.tables, study.catalog, plan, study.experiments.values())
    moments = trial_moments(data, plan)
    save_moments(moments, study.project.moments_path / f"{plan.id}-{data.digest[:16]}.npz")
    locked = locked_plans(study.ledger).get(plan.id)
    return trial_evidence(data, study.catalog, plan, hypotheses, moments=moments, overlaps=overlaps, locked=locked)


def judge_and_record(study: Study, quarter: str, *, who: str) -> tuple[Verdict, ...]:
    """Judge every registered link at the end of a quarter, and record verdicts and state of the rule."""
    when, project = study.project.quarter(quarter), study.project
    judged = judge_quarter(
        study.ledger, study.catalog, fdr=project.fdr, as_of=when.last, slots=project.slots,
        mode="closed" if project.late_links == "planned" else "plain", fiscal_year_start=project.fiscal_year_start,
    )  # fmt: skip
    record_state(study.ledger, judged.state, who=who)
    record_verdicts(study.ledger, judged.verdicts, quarter=str(when), who=who)
    return judged.verdicts


def review_quarter(
    study: Study, quarter: str, verdicts: Sequence[Verdict], *, panel: Panel | None, alarms: Sequence[str]
) -> Review:
    """Gather what a review says of a quarter."""
    when, head = study.project.quarter(quarter), study.ledger.head()
    return build_review(
        quarter=str(when),
        catalog=study.catalog,
        verdicts=verdicts,
        evidence=recall(study.ledger),
        charter=study.charter(verdicts, panel=panel),
        ledger_head=head.hash,
        ledger_rows=head.count,
        as_of=str(when.last),
        company=study.project.name,
        hypotheses=[r.hypothesis for r in registrations(study.ledger).values()],
        losses=(*study.losses, *(panel.losses if panel else ())),
        alarms=[*study.data_alarms, *alarms],
        scorecard=None if panel is None else study.scorecard(panel, as_of=when.last),
        in_flight=[_in_flight(study, plan) for plan in study.running(when.last)],
    )


def _in_flight(study: Study, plan: Experiment) -> InFlight:
    return InFlight(
        experiment=plan.id,
        lever=study.catalog.lever(plan.lever).label,
        links=plan.links,
        ends=str(closes(study.catalog, plan)),
        planned_n=plan.planned_n,
    )
