"""The default path for analysts: a project folder, one object, one call a step. It holds no formula and no rule."""

from __future__ import annotations

import html
from datetime import date
from typing import TYPE_CHECKING, Self

from cpi_experiments.accountability.assess import charter, influences
from cpi_experiments.analysis import (
    closes,
    measure_trial,
    monitor_trial,
    past_evidence,
    running_integrity,
    window_days,
)
from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.catalog.project import Project, load_project
from cpi_experiments.catalog.resolve import read_date
from cpi_experiments.catalog.rules import lint
from cpi_experiments.errors import CatalogError, LedgerError, nearest
from cpi_experiments.estimate import Link
from cpi_experiments.evidence.bias.measured import regression_bias
from cpi_experiments.evidence.bias.table import bias_table
from cpi_experiments.evidence.next.project_tests import judged_quarter, next_tests_of, recorded_verdicts
from cpi_experiments.evidence.portfolio_state import places_for
from cpi_experiments.evidence.record import recall, record
from cpi_experiments.hypotheses.candidates import Candidates, candidates, hypothesis_of
from cpi_experiments.hypotheses.registry import LOOK, register, registrations
from cpi_experiments.ledger.store import Ledger
from cpi_experiments.measure.engine import Tables
from cpi_experiments.measure.levels import latest_levels
from cpi_experiments.measure.panel import Panel, build_panel
from cpi_experiments.measure.quality.checks import check_table
from cpi_experiments.measure.quality.files import check_files
from cpi_experiments.measure.quality.gate import hold_to_contracts
from cpi_experiments.measure.scores.scorecard import scorecard
from cpi_experiments.randomized.planning.analysis_plan import AnalysisPlan, Change, changes, plan_of
from cpi_experiments.randomized.planning.link_design import LinkDesign, design_link
from cpi_experiments.randomized.planning.plan_lock import lock_plan, locked_plans
from cpi_experiments.randomized.plans import read_plans
from cpi_experiments.study.quarter_run import analyse_trial, judge_and_record, review_quarter, run_quarter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cpi_experiments.accountability.charter import Charter
    from cpi_experiments.catalog.entities import Catalog
    from cpi_experiments.catalog.issue import Issue
    from cpi_experiments.evidence.bias.gaps import RegressionBias
    from cpi_experiments.evidence.next.option import Scarce
    from cpi_experiments.evidence.next.result import NextTests
    from cpi_experiments.evidence.verdict import Evidence, Verdict
    from cpi_experiments.hypotheses.hypothesis import Hypothesis
    from cpi_experiments.measure.quality.findings import QualityReport
    from cpi_experiments.measure.scores.rows import Scorecard
    from cpi_experiments.randomized.experiment import Experiment
    from cpi_experiments.randomized.integrity.check_trial import Integrity
    from cpi_experiments.randomized.monitoring.monitoring import Monitoring
    from cpi_experiments.report.review import Review

    Progress = Callable[[str], None]


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

    __slots__ = ("_gate", "_ledger", "_tables", "catalog", "experiments", "project")

    def __init__(self, project: Project, catalog: Catalog, experiments: Mapping[str, Experiment]) -> None:
        self.project = project
        self.catalog = catalog
        self.experiments = experiments
        self._tables: Tables | None = None
        self._gate: tuple[QualityReport, ...] = ()
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
        return cls(project, catalog, read_plans(project.experiments_path, catalog, root=project.root))

    def __repr__(self) -> str:
        return f"Study({self.project.name}: {self.catalog._title()}, {len(self.experiments)} experiments)"  # noqa: SLF001

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.catalog._repr_html_()}"

    @property
    def tables(self) -> Tables:
        """The event tables, opened at first use; rows that break the contract of their table are not seen."""
        if self._tables is None:
            opened = self._opened()
            self._gate = hold_to_contracts(opened, self.project.contracts)
            self._tables = opened
        return self._tables

    def _opened(self) -> Tables:
        for table in self.project.sources:
            self.project.source_files(table)  # a missing file is told in the words of cpi.yaml
        return Tables(dict(self.project.sources), root=self.project.root)

    def check(self, *, as_of: date | None = None) -> tuple[QualityReport, ...]:
        """Look at every event table: what breaks its contract, and what looks wrong without one.

        Files of one pattern are compared with each other first; if they do not fit together, that is all there is.
        """
        contracts, sources = self.project.contracts, self.project.sources
        many = [name for name in sources if len(self.project.source_files(name)) > 1]
        files = tuple(check_files(sources[n], contract=contracts.get(n), root=self.project.root) for n in many)
        if any(report.errors for report in files):
            return files
        with self._opened() as tables:
            return (*files, *(check_table(tables, name, contracts.get(name), as_of=as_of) for name in sources))

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

    def measure(
        self, *, period: str = "month", as_of: date | None = None, covariates: Sequence[str] | None = None
    ) -> Panel:
        """Measure every indicator by customer and period, up to and with a day."""
        return build_panel(
            self.tables,
            self.catalog,
            period=period,
            end=None if as_of is None else str(as_of),
            covariates=covariates,
            time_zone=self.project.time_zone,
            fiscal_year_start=self.project.fiscal_year_start,
        )

    def scorecard(self, panel: Panel, *, by: str | None = None, as_of: date | None = None) -> Scorecard:
        """Say where every indicator stands: level, change, target and benchmark, for all customers or by group."""
        return scorecard(panel, self.catalog, by=by, as_of=as_of)

    def register(self, link: str | Link, *, who: str = "") -> Hypothesis:
        """Freeze the claim of a link in the ledger, and lock the analysis plans of its experiments."""
        link = Link.parse(link) if isinstance(link, str) else link
        claim = register(hypothesis_of(self.catalog, link), self.ledger, who=who)
        for plan in self.experiments.values():
            if link in plan.links:
                self.lock(plan.id, who=who)
        return claim

    def lock(self, experiment_id: str, *, who: str = "", amend: str = "") -> AnalysisPlan:
        """Lock the analysis plan of an experiment; a locked one changes only with a reason to amend it."""
        return lock_plan(self._plan_now(experiment_id), self.ledger, who=who, amend=amend)

    def deviations(self, experiment_id: str) -> tuple[Change, ...]:
        """Say in which fields the files of an experiment differ from its lock; nothing if it is not locked."""
        locked = locked_plans(self.ledger).get(experiment_id)
        return () if locked is None else changes(locked, self._plan_now(experiment_id))

    def _plan_now(self, experiment_id: str) -> AnalysisPlan:
        plan = self.planned(experiment_id)
        return plan_of(plan, self.catalog, [hypothesis_of(self.catalog, link) for link in plan.links])

    def planned(self, experiment_id: str) -> Experiment:
        """Return the plan of an experiment.

        Raises
        ------
        CatalogError
            If there is none of that name.
        """
        if experiment_id not in self.experiments:
            raise CatalogError(
                f"experiment {experiment_id!r} is not planned", advice=nearest(experiment_id, list(self.experiments))
            )
        return self.experiments[experiment_id]

    def register_all(self, *, who: str = "") -> tuple[Hypothesis, ...]:
        """Freeze every claimed link; links that are registered already stay as they are."""
        return tuple(self.register(link, who=who) for link in self.catalog.links)

    def design(  # noqa: PLR0913 - what a plan depends on, each named
        self,
        hypothesis: Hypothesis,
        *,
        lever: str,
        kpi_sd: float,
        planned_move: float,
        cpi_sd: float | None = None,
        power: float = 0.8,
        per_day: float | None = None,
        population: int | None = None,
    ) -> LinkDesign:
        """Plan an experiment for a hypothesis; see `cpi_experiments.randomized.planning.link_design.design_link`."""
        self.catalog.lever(lever)
        links = places_for(len(self.catalog.links), self.project.slots)
        return design_link(
            hypothesis, lever, kpi_sd=kpi_sd, planned_move=planned_move, cpi_sd=cpi_sd, power=power, per_day=per_day,
            population=population, window_days=window_days(self.catalog, hypothesis.link), links=links,
            fdr=self.project.fdr,
        )  # fmt: skip

    def past_data(self, hypothesis: Hypothesis, panel: Panel) -> Evidence:
        """Estimate the association of a link in past data (two-way fixed effects) and record it."""
        return record(self.ledger, past_evidence(panel, self.catalog, hypothesis))

    def monitor(self, experiment_id: str, *, as_of: date | str, link: str | Link | None = None) -> Monitoring:
        """Look at a running experiment as its plan allows; effects stay hidden unless looks at them were planned.

        A look at which effects could be seen is recorded: what is changed after it is exploratory.
        """
        plan = self.planned(experiment_id)
        if not plan.links:
            raise CatalogError(f"experiment {experiment_id!r} tests no link", advice="Name one under `hypotheses:`.")
        chosen = Link.parse(str(link)) if link else plan.links[0]
        last = as_of if isinstance(as_of, date) else read_date(as_of)
        found = monitor_trial(self.tables, self.catalog, plan, chosen, as_of=last)
        if found.effects:
            seen = {
                "experiment": plan.id,
                "link": str(chosen),
                "as_of": str(as_of),
                "n": found.n,
                "said": found.sentence,
            }
            self.ledger.append(LOOK, plan.id, seen)
        return found

    def integrity(self, experiment_id: str, *, as_of: date | None = None) -> Integrity:
        """Check an experiment, finished or running, before its effects are looked at."""
        plan = self.planned(experiment_id)  # a wrong name is told before any table is opened
        return running_integrity(self.tables, self.catalog, plan, as_of=as_of)

    def analyze(self, experiment_id: str, *, as_of: date | None = None) -> tuple[Evidence, ...]:
        """Analyse a finished experiment: integrity first, then every link that it tests; all of it is recorded.

        Raises
        ------
        DesignError
            If some customers can still be measured: one look was planned, at the end. Nothing is recorded then.
        """
        plan = self.planned(experiment_id)
        data = measure_trial(self.tables, self.catalog, plan, as_of=as_of)
        return tuple(record(self.ledger, evidence) for evidence in analyse_trial(self, plan, data))

    def finished(self, as_of: date) -> tuple[Experiment, ...]:
        """Experiments whose last KPI window had closed by a day, in order of their end."""
        done = [plan for plan in self.experiments.values() if closes(self.catalog, plan) <= as_of]
        return tuple(sorted(done, key=lambda plan: (plan.end, plan.id)))

    def running(self, as_of: date) -> tuple[Experiment, ...]:
        """Experiments that had started by a day and were not finished; their effects stay hidden."""
        begun = (plan for plan in self.experiments.values() if date.fromisoformat(plan.start) < as_of)
        return tuple(plan for plan in begun if closes(self.catalog, plan) > as_of)

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

    def judge(self, quarter: str, *, who: str = "") -> tuple[Verdict, ...]:
        """Judge every registered link from what the ledger holds at the end of a quarter, and record it.

        Judging is a look: what counted, and what was published, is in the ledger, and the next one goes on from it.
        """
        return judge_and_record(self, quarter, who=who)

    def next(self, quarter: str = "", *, most_weeks: float = 26.0, scarce: Scarce = "weeks") -> NextTests:
        """Rank what to test next from the verdicts of a quarter (the newest recorded); it judges and records nothing.

        Raises
        ------
        LedgerError
            If that quarter was not judged.
        """
        if not self.project.ledger_path.exists():
            raise LedgerError("nothing has been judged yet", advice="Run `cpi run` with a quarter first.")
        when = self.project.quarter(quarter or judged_quarter(self.ledger))
        return next_tests_of(
            self.ledger, self.catalog, verdicts=recorded_verdicts(self.ledger, str(when)), as_of=when.last,
            plans=self.experiments.values(), fdr=self.project.fdr, scarce=scarce, most_weeks=most_weeks,
        )  # fmt: skip

    def regression_bias(self) -> RegressionBias:
        """Say how far past data overstate links, over all links that have past data and trials in the ledger."""
        claims = [registration.hypothesis for registration in registrations(self.ledger).values()]
        return regression_bias(bias_table(recall(self.ledger), claims))

    def charter(self, verdicts: Sequence[Verdict], *, panel: Panel | None = None) -> Charter:
        """Say who can be accountable for what, given verdicts."""
        levels = {} if panel is None else latest_levels(panel)
        return charter(self.catalog, verdicts, influences(self.catalog, recall(self.ledger)), levels=levels)

    def run(self, quarter: str, *, progress: Progress = lambda _: None) -> Review:
        """Measure, register, analyse, judge and charter a quarter; everything but writing the review.

        Everything is measured before anything is registered, so that data that cannot be used leave no row in the
        ledger; and every claim is registered before any effect is looked at. Results are recorded together, at the end.
        """
        return run_quarter(self, quarter, progress=progress)

    def review(
        self, quarter: str, verdicts: Sequence[Verdict], *, panel: Panel | None = None, alarms: Sequence[str] = ()
    ) -> Review:
        """Word a judged quarter; `cpi_experiments.report` writes it as a page, tables and pictures."""
        return review_quarter(self, quarter, verdicts, panel=panel, alarms=alarms)

    @property
    def losses(self) -> tuple[tuple[str, str, int], ...]:
        """Rows of the event tables that break a contract and are not seen: table, rule, rows."""
        return tuple(loss for report in self._gate for loss in report.losses)

    @property
    def data_alarms(self) -> tuple[str, ...]:
        """What readers must know about the event tables."""
        return tuple(alarm for report in self._gate for alarm in report.alarms)
