"""The default path for analysts: a project folder, one object, one call a step. It holds no formula and no rule."""

from __future__ import annotations

import html
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Self

from cpi_experiments.accountability.assess import charter, influences
from cpi_experiments.catalog.entity_reader import read_entity
from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.catalog.project import Project, load_project
from cpi_experiments.catalog.resolve import read_date
from cpi_experiments.catalog.rules import lint
from cpi_experiments.errors import CatalogError, DataError, DesignError, EstimationError, LedgerError, nearest
from cpi_experiments.estimate import Link
from cpi_experiments.evidence.quarter import judge
from cpi_experiments.evidence.record import recall, record, record_verdicts
from cpi_experiments.evidence.verdict import Design as EvidenceDesign
from cpi_experiments.evidence.verdict import Evidence, Verdict
from cpi_experiments.hypotheses.candidates import Candidates, candidates, hypothesis_of
from cpi_experiments.hypotheses.registry import register, registrations
from cpi_experiments.ledger.store import Ledger
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.levels import latest_levels
from cpi_experiments.measure.overlap import shared_share
from cpi_experiments.measure.panel import Panel, build_panel
from cpi_experiments.measure.units import UnitFrame, measure_units
from cpi_experiments.observational.fixed_effects import fixed_effects
from cpi_experiments.randomized.design import Design, design
from cpi_experiments.randomized.encouragement import check_integrity, encouragement, itt
from cpi_experiments.randomized.experiment import Experiment
from cpi_experiments.report.review import build_review
from cpi_experiments.report.sections import InFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cpi_experiments.accountability.charter import Charter
    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.catalog.issue import Issue
    from cpi_experiments.hypotheses.hypothesis import Hypothesis
    from cpi_experiments.report.review import Review

    Progress = Callable[[str], None]

#: A lever moves another CPI as well if its |t| exceeds this: where the catalog says it should, and where it does not.
ALSO_MOVED, ALSO_MOVED_UNDECLARED = 2.0, 4.0
#: Experiments of one link that share more than this of their customers at the same time are not pooled.
MOST_SHARED = 0.01


class Study:
    """A project folder opened for analysis.

    Parameters
    ----------
    project : Project
    catalog : Catalog
    experiments : mapping of id to Experiment

    Examples
    --------
    >>> from cpi_experiments.catalog.starter_project import write_starter
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp()) / "insurer"
    >>> _ = write_starter(folder, name="insurer")
    >>> study = Study.open(folder)
    >>> sorted(study.catalog.cpis)[0] in study.catalog.cpis
    True
    """

    __slots__ = ("_ledger", "_tables", "catalog", "experiments", "project")

    def __init__(self, project: Project, catalog: Catalog, experiments: Mapping[str, Experiment]) -> None:
        self.project = project
        self.catalog = catalog
        self.experiments = experiments
        self._tables: Tables | None = None
        self._ledger: Ledger | None = None

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Open a project folder: settings, catalog and plans are read and checked, data are not touched.

        Raises
        ------
        CatalogError
            If a file of the folder cannot be used; it names file and line.
        """
        project = load_project(folder)
        catalog = load_catalog(project.root)
        plans: dict[str, Experiment] = {}
        for path in sorted(project.experiments_path.glob("*.y*ml")):
            plan, _ = read_entity(path, Experiment, root=project.root)
            _check_plan(plan, catalog, path.name)
            plans[plan.id] = plan
        return cls(project, catalog, plans)

    def __repr__(self) -> str:
        return f"Study({self.project.name}: {self.catalog._title()}, {len(self.experiments)} experiments)"  # noqa: SLF001

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.catalog._repr_html_()}"

    @property
    def tables(self) -> Tables:
        """The event tables, opened at first use."""
        if self._tables is None:
            self._tables = Tables(dict(self.project.sources), root=self.project.root)
        return self._tables

    @property
    def ledger(self) -> Ledger:
        """The ledger, created at first use."""
        if self._ledger is None:
            self._ledger = Ledger(self.project.ledger_path)
        return self._ledger

    def close(self) -> None:
        """Close tables and ledger."""
        for opened in (self._tables, self._ledger):
            if opened is not None:
                opened.close()
        self._tables = self._ledger = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lint(self) -> tuple[Issue, ...]:
        """Return the findings of the catalog rules."""
        return lint(self.catalog, fdr=self.project.fdr)

    def candidates(self) -> Candidates:
        """Return every CPI x KPI pair that the catalog allows."""
        return candidates(self.catalog)

    def measure(self, *, period: str = "month", as_of: date | None = None) -> Panel:
        """Measure every indicator by customer and period, up to and with a day."""
        end = None if as_of is None else str(as_of)
        return build_panel(self.tables, self.catalog, period=period, end=end, time_zone=self.project.time_zone)

    def register(self, link: str | Link, *, who: str = "") -> Hypothesis:
        """Freeze the claim of a link in the ledger."""
        link = Link.parse(link) if isinstance(link, str) else link
        return register(hypothesis_of(self.catalog, link), self.ledger, who=who)

    def register_all(self, *, who: str = "") -> tuple[Hypothesis, ...]:
        """Freeze every claimed link; links that are registered already stay as they are."""
        return tuple(self.register(link, who=who) for link in self.catalog.links)

    def design(self, hypothesis: Hypothesis, *, lever: str, kpi_sd: float, planned_move: float) -> Design:
        """Plan an experiment for a hypothesis; see `cpi_experiments.randomized.design.design`."""
        self.catalog.lever(lever)
        links = len(self.catalog.links)
        return design(hypothesis, lever, kpi_sd=kpi_sd, planned_move=planned_move, links=links, fdr=self.project.fdr)

    def past_data(self, hypothesis: Hypothesis, panel: Panel, *, record_it: bool = True) -> Evidence:
        """Estimate the association of a link in past data (two-way fixed effects) and record it."""
        link = hypothesis.link
        estimate = fixed_effects(panel, hypothesis, divisor=self.catalog.cpi(link.cpi_id).divisor)
        evidence = Evidence(
            link=link,
            design=EvidenceDesign.OBSERVATIONAL,
            estimate=estimate,
            hypothesis_digest=hypothesis.digest,
            data_digest=panel.digest,
        )
        return record(self.ledger, evidence) if record_it else evidence

    def analyze(self, experiment_id: str, *, as_of: date | None = None) -> tuple[Evidence, ...]:
        """Analyse a finished experiment: integrity first, then every link that it tests; all of it is recorded.

        Raises
        ------
        DesignError
            If some customers can still be measured: one look was planned, at the end. Nothing is recorded then.
        """
        plan = self._plan(experiment_id)
        frozen = {link: r.hypothesis for link, r in registrations(self.ledger).items()}
        hypotheses = [frozen.get(link) or hypothesis_of(self.catalog, link) for link in plan.links]
        return tuple(record(self.ledger, evidence) for evidence in self._analysis(plan, hypotheses, as_of=as_of))

    def _analysis(
        self, plan: Experiment, hypotheses: Sequence[Hypothesis], *, as_of: date | None
    ) -> tuple[Evidence, ...]:
        try:
            data = self._units(plan, as_of=as_of)
            moved = {cpi: estimate for cpi in self.catalog.cpis if (estimate := _moved(data, plan, cpi)) is not None}
            return tuple(self._evidence(plan, data, hypothesis, moved) for hypothesis in hypotheses)
        except (DataError, EstimationError) as error:
            where = ", ".join(part for part in (f"experiment {plan.id}", error.where) if part)
            raise type(error)(error.found, where=where, advice=error.advice) from error

    def _units(self, plan: Experiment, *, as_of: date | None) -> UnitFrame:
        ids = dict.fromkeys(i for link in plan.links for i in (link.cpi_id, link.kpi_id))
        kpis = [i for i in ids if i in self.catalog.kpis]
        data = measure_units(
            self.tables,
            self.catalog,
            experiment=plan.id,
            cpis=list(self.catalog.cpis),
            kpis=kpis,
            covariates=plan.covariates,
            unit=plan.randomize,
            assignments=plan.table,
            as_of=None if as_of is None else str(as_of),
        )
        if data.n_open:
            raise DesignError(
                f"experiment {plan.id!r} is not over: {data.n_open:,} of {len(data.frame):,} units are still measured",
                advice=f"Its effects stay hidden until {self._closes(plan)}: an early look costs the error rate.",
            )
        return data

    def _evidence(
        self, plan: Experiment, data: UnitFrame, hypothesis: Hypothesis, moved: Mapping[str, float]
    ) -> Evidence:
        link, cpi = hypothesis.link, self.catalog.cpi(hypothesis.link.cpi_id)
        checks = check_integrity(data, plan, outcomes=(link.cpi_id, link.kpi_id))
        effect = encouragement(data, plan, hypothesis, cpi=cpi)
        declared = self.catalog.lever(plan.lever).moves
        others = tuple(
            other
            for other, t in moved.items()
            if other != link.cpi_id and abs(t) > (ALSO_MOVED if other in declared else ALSO_MOVED_UNDECLARED)
        )
        failed = [check for check in (*checks, *effect.estimate.diagnostics) if check.blocks]
        return Evidence(
            link=link,
            design=EvidenceDesign.RANDOMIZED,
            estimate=effect.estimate,
            hypothesis_digest=hypothesis.digest,
            experiment=plan.id,
            lever=plan.lever,
            lever_sign=self.catalog.lever_sign(plan.lever, link.cpi_id),
            planned_move=plan.planned_move,
            first_stage=effect.first_stage,
            reduced_form=effect.reduced_form,
            pair=effect.pair,
            ended=str(date.fromisoformat(plan.end) + timedelta(days=self._window(link))),
            others_moved=others,
            overlaps=self._overlaps(plan, link),
            blocked="; ".join(dict.fromkeys(f"{check.name}: {check.advice}" for check in failed)),
            data_digest=data.digest,
        )

    def _overlaps(self, plan: Experiment, link: Link) -> tuple[str, ...]:
        """Experiments of the same link whose customers were in this one at the same time."""
        others = (o for o in self.experiments.values() if o.id != plan.id and link in o.links and o.table == plan.table)
        days = self._window(link)
        share = partial(shared_share, self.tables, plan.id, days=days, unit=plan.randomize, assignments=plan.table)
        return tuple(o.id for o in others if share(o.id) > MOST_SHARED)

    def _plan(self, experiment_id: str) -> Experiment:
        if experiment_id not in self.experiments:
            raise CatalogError(
                f"experiment {experiment_id!r} is not planned", advice=nearest(experiment_id, list(self.experiments))
            )
        return self.experiments[experiment_id]

    def finished(self, as_of: date) -> tuple[Experiment, ...]:
        """Experiments whose last KPI window had closed by a day, in order of their end."""
        done = [plan for plan in self.experiments.values() if self._closes(plan) <= as_of]
        return tuple(sorted(done, key=lambda plan: (plan.end, plan.id)))

    def running(self, as_of: date) -> tuple[Experiment, ...]:
        """Experiments that had started by a day and were not finished; their effects stay hidden."""
        begun = (plan for plan in self.experiments.values() if date.fromisoformat(plan.start) < as_of)
        return tuple(plan for plan in begun if self._closes(plan) > as_of)

    def _closes(self, plan: Experiment) -> date:
        windows = [self._window(link) for link in plan.links]
        return date.fromisoformat(plan.end) + timedelta(days=max(windows, default=0))

    def _window(self, link: Link) -> float:
        """Days after an assignment until CPI and KPI of a link are complete."""
        cpi, kpi = self.catalog.cpi(link.cpi_id), self.catalog.kpi(link.kpi_id)
        return max(cpi.measure.window_days, kpi.measure.window_days)

    def check_ledger(self) -> None:
        """Refuse to go on from a ledger whose rows were changed.

        Raises
        ------
        LedgerError
            Naming the first row that does not fit the chain.
        """
        findings = self.ledger.verify() if self.project.ledger_path.exists() else ()
        if findings:
            raise LedgerError(
                f"row {findings[0].seq}: {findings[0].problem} ({len(findings)} findings)",
                where=str(self.project.ledger_path),
                advice="Run cpi ledger verify, and restore the file from a copy.",
            )

    def judge(self, quarter: str) -> tuple[Verdict, ...]:
        """Judge every registered link from what the ledger holds at the end of a quarter."""
        return judge(self.ledger, self.catalog, fdr=self.project.fdr, as_of=self.project.quarter(quarter).end)

    def charter(self, verdicts: Sequence[Verdict], *, panel: Panel | None = None) -> Charter:
        """Say who can be accountable for what, given verdicts."""
        levels = {} if panel is None else latest_levels(panel)
        return charter(self.catalog, verdicts, influences(self.catalog, recall(self.ledger)), levels=levels)

    def run(self, quarter: str, *, progress: Progress = lambda _: None) -> Review:
        """Measure, analyse, register, judge and charter a quarter; everything but writing the review.

        The ledger is written at the end: data that cannot be used, or an interruption, leave no row in it.
        """
        when = self.project.quarter(quarter)
        self.check_ledger()
        progress("measuring")
        panel = self.measure(as_of=when.last)
        progress("past data")
        found = [self.past_data(self._claim(link), panel, record_it=False) for link in self.catalog.links]
        for plan in self.finished(when.last):
            progress(plan.id)
            found += self._analysis(plan, [self._claim(link) for link in plan.links], as_of=when.last)
        progress("judging")
        self.register_all()
        for evidence in found:
            record(self.ledger, evidence)
        verdicts = self.judge(quarter)
        record_verdicts(self.ledger, verdicts, quarter=str(when))
        return self.review(quarter, verdicts, panel=panel)

    def _claim(self, link: Link) -> Hypothesis:
        """Return the hypothesis of a link as `register_all` freezes it."""
        claim = hypothesis_of(self.catalog, link)
        return replace(claim, digest=claim.content_digest())

    def review(self, quarter: str, verdicts: Sequence[Verdict], *, panel: Panel | None = None) -> Review:
        """Word a judged quarter; `cpi_experiments.report` writes it as a page, tables and pictures."""
        when, head = self.project.quarter(quarter), self.ledger.head()
        return build_review(
            quarter=str(when),
            catalog=self.catalog,
            verdicts=verdicts,
            evidence=recall(self.ledger),
            charter=self.charter(verdicts, panel=panel),
            ledger_head=head.hash,
            ledger_rows=head.count,
            as_of=str(when.last),
            company=self.project.name,
            hypotheses=[r.hypothesis for r in registrations(self.ledger).values()],
            losses=() if panel is None else panel.losses,
            in_flight=[self._in_flight(plan) for plan in self.running(when.last)],
        )

    def _in_flight(self, plan: Experiment) -> InFlight:
        lever = self.catalog.lever(plan.lever).label
        return InFlight(
            experiment=plan.id, lever=lever, links=plan.links, ends=str(self._closes(plan)), planned_n=plan.planned_n
        )


def _moved(data: UnitFrame, plan: Experiment, cpi: str) -> float | None:
    """Return the t statistic of the lever on a CPI; None where too few customers have it."""
    try:
        estimate = itt(data, plan, cpi)
    except (DataError, EstimationError):
        return None
    return estimate.value / estimate.std_error if estimate.std_error > 0 else None


def _check_plan(plan: Experiment, catalog: Catalog, file: str) -> None:
    try:
        read_date(plan.start), read_date(plan.end)
        _check_links(plan, catalog)
    except CatalogError as error:
        raise CatalogError(error.found, where=f"experiments/{file}", advice=error.advice) from error


def _check_links(plan: Experiment, catalog: Catalog) -> None:
    lever = catalog.lever(plan.lever)
    for link in plan.links:
        catalog.claimed(link)
        if link.cpi_id not in lever.moves:
            raise CatalogError(
                f"lever {lever.id!r} is not said to move {link.cpi_id!r}",
                advice=f"It moves {', '.join(lever.moves) or 'nothing'}: add it under `moves:` or drop the hypothesis.",
            )
