"""The command line. Nothing heavy is imported before a command needs it; numbers go to stdout, progress to stderr."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cpi_experiments.errors import CpiError, ReportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cpi_experiments.report.review import Review

_BAD_INPUT, _BLOCKED, _INTERRUPTED = 2, 3, 130
_LONGEST_NAME = 200
_DRAFT = ".cpi-draft"
_FOLDER = click.option(
    "--project", "folder", default=".", metavar="DIR", help="Project folder; default: the current one."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="cpi-experiments", prog_name="cpi")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def app(*, debug: bool) -> None:
    """Link what customers value (CPIs) to what the company earns (KPIs), and say which links are true.

    \b
    cpi demo                      a company with known truth, judged in a minute
    cpi init insurer              a commented project folder
    cpi run 2026Q4                measure, analyse, judge and report a quarter
    cpi link trial.parquet ...    one link from one file, no project needed
    """  # noqa: D301 - click's mark for lines that must not be wrapped


@app.command()
@click.argument("name")
def init(name: str) -> None:
    """Write a commented starter project into the new folder NAME."""
    from cpi_experiments.catalog.starter_project import write_starter  # noqa: PLC0415

    folder = _new_path(name)
    written = write_starter(folder, name=folder.name)
    click.echo(f"wrote {len(written)} files to {name}; next: cd {name} && cpi lint")


@app.command()
@_FOLDER
def lint(folder: str) -> None:
    """Check the catalog; exit 1 if there are errors."""
    from cpi_experiments.study import Study  # noqa: PLC0415
    from cpi_experiments.wording.review import plural  # noqa: PLC0415

    with Study.open(folder) as study:
        catalog, issues = study.catalog, study.lint()
    for issue in issues:
        click.echo(f"{issue.where}  {issue.severity:<8} {issue.message} {issue.remedy}".rstrip())
    errors = sum(issue.severity == "error" for issue in issues)
    sizes = (plural(len(catalog.cpis), "CPI"), plural(len(catalog.kpis), "KPI"), plural(len(catalog.teams), "team"))
    found = f"{plural(errors, 'error')}, {plural(len(issues) - errors, 'warning')}"
    click.echo(f"{found} in {', '.join(sizes)}")
    sys.exit(1 if errors else 0)


@app.command()
@_FOLDER
def candidates(folder: str) -> None:
    """List every CPI x KPI pair that the catalog allows."""
    from cpi_experiments.study import Study  # noqa: PLC0415

    with Study.open(folder) as study:
        click.echo(str(study.candidates()))


@app.command()
@click.argument("link", required=False)
@_FOLDER
@click.option("--who", default="", help="Name to record beside the user of this machine.")
def register(link: str | None, folder: str, who: str) -> None:
    """Freeze the claim of LINK ("cpi -> kpi") in the ledger, or of every claimed link."""
    from cpi_experiments.study import Study  # noqa: PLC0415

    with Study.open(folder) as study:
        frozen = (study.register(link, who=who),) if link else study.register_all(who=who)
        for hypothesis in frozen:
            click.echo(str(hypothesis))


@app.command()
@click.argument("quarter")
@_FOLDER
@click.option("--out", default=None, metavar="DIR", help="Folder of the report; default: reports/QUARTER.")
@click.option("--force", is_flag=True, help="Replace a report that is there.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, touch nothing.")
@click.option("--deck", is_flag=True, help="Also write review.pptx (needs the extra `report`).")
@click.option("--quiet", is_flag=True, help="No progress.")
def run(quarter: str, folder: str, out: str | None, *, force: bool, dry_run: bool, deck: bool, quiet: bool) -> None:
    """Measure, analyse, judge and report QUARTER, such as 2026Q4."""
    from cpi_experiments.report.pptx import require_pptx, write_pptx  # noqa: PLC0415
    from cpi_experiments.study import Study  # noqa: PLC0415

    if deck:
        require_pptx("--deck")
    with Study.open(folder) as study:
        when = study.project.quarter(quarter)
        target = _new_path(out) if out else study.project.reports_path / str(when)
        if dry_run:
            done, running = study.finished(when.last), study.running(when.last)
            click.echo(
                f"register and judge {len(study.catalog.links)} links; tables: {', '.join(study.project.sources)}"
            )
            click.echo(f"analyse {', '.join(plan.id for plan in done) or 'no experiment'}")
            click.echo(f"running, effects hidden: {', '.join(plan.id for plan in running) or 'none'}")
            click.echo(f"write {target}")
            return
        with _draft(target, force=force) as report:
            with _progress(2 + len(study.finished(when.last)) + 1, quiet=quiet) as step:
                review = study.run(str(when), progress=step)
            text = _write_report(review, report)
            if deck:
                write_pptx(review, report / "review.pptx")
    click.echo(f"{text}\n\n{_written(review, target)}")
    sys.exit(_BLOCKED if any(row.verdict == "blocked" for row in review.verdicts) else 0)


@app.command()
@click.option("--out", default="cpi-demo", metavar="DIR", help="Folder to write; default: cpi-demo.")
@click.option("--seed", default=2026, type=click.IntRange(min=0), help="Seed of the company; default 2026.")
@click.option(
    "--size", default="small", type=click.Choice(["small", "medium"]), help="How many customers; default small."
)
@click.option("--force", is_flag=True, help="Replace an earlier demo.")
@click.option("--quiet", is_flag=True, help="No progress.")
def demo(out: str, seed: int, size: str, *, force: bool, quiet: bool) -> None:
    """Simulate a company with known truth, judge its quarter, and print the verdicts beside the truth."""
    from cpi_experiments.report.tables import write_csv  # noqa: PLC0415
    from cpi_experiments.simulate.company import simulate_company  # noqa: PLC0415
    from cpi_experiments.study import Study  # noqa: PLC0415

    target = _new_path(out)
    with _draft(target, force=force) as folder, _progress(16, quiet=quiet) as step:
        _check_company(target / "company")
        step("simulating a company")
        company = simulate_company(folder / "company", size=size, seed=seed)  # type: ignore[arg-type]
        with Study.open(company.folder) as study:
            review = study.run("2026Q4", progress=step)
        truth = [row for known in company.truth for row in known._rows()]  # noqa: SLF001 - rows of a result
        write_csv(truth, folder / "truth.csv")
        text = _write_report(review, folder, truth=truth)
        if (target / "company").exists():
            shutil.rmtree(target / "company")
    click.echo(f"{text}\n\n{_written(review, target)}\nsize {size}, seed {seed}")


@app.command()
@click.argument("data")
@click.option("--cpi", required=True, help="Column of the CPI.")
@click.option("--kpi", required=True, multiple=True, help="Column of the KPI; may be repeated.")
@click.option("--arm", required=True, help="Column of the arm.")
@click.option("--control", required=True, help="Label of the control arm.")
@click.option("--increment", default=1.0, show_default=True, help="Raw CPI units per step; negative: lower is better.")
@click.option("--covariate", "covariates", multiple=True, help="Column measured before; may be repeated.")
@click.option("--cluster", default=None, help="Column of the randomised group.")
@click.option("--confidence-level", default=0.95, show_default=True)
def link(data: str, kpi: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - the options of the door, as named
    """Estimate the KPI effect per increment of the CPI from one file of a trial."""
    from cpi_experiments.randomized.link_effect import link_effect  # noqa: PLC0415

    result = link_effect(data, kpi=list(kpi) if len(kpi) > 1 else kpi[0], **options)
    click.echo(str(result))


@app.command()
@click.argument("data")
@click.option("--arm", required=True, help="Column of the arm.")
@click.option("--control", required=True, help="Label of the control arm.")
@click.option("--outcome", "outcomes", required=True, multiple=True, help="Column of an outcome; may be repeated.")
@click.option("--covariate", "covariates", multiple=True, help="Column measured before; may be repeated.")
@click.option("--cluster", default=None, help="Column of the randomised group.")
@click.option("--confidence-level", default=0.95, show_default=True)
def compare(data: str, outcomes: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401 - the options of the door
    """Compare the arms of a trial in one file."""
    from cpi_experiments.randomized.compare import compare as compare_arms  # noqa: PLC0415

    click.echo(str(compare_arms(data, outcomes=list(outcomes), **options)))


@app.group()
def ledger() -> None:
    """Look after the ledger of a project."""


@ledger.command()
@_FOLDER
@click.option("--anchor", default=None, metavar="COUNT:HASH", help="Head that an earlier report printed.")
def verify(folder: str, anchor: str | None) -> None:
    """Check that no row was edited, removed or inserted; exit 1 if one was."""
    from cpi_experiments.catalog.project import load_project  # noqa: PLC0415
    from cpi_experiments.ledger.chain import Head  # noqa: PLC0415
    from cpi_experiments.ledger.store import Ledger  # noqa: PLC0415

    known = None
    if anchor:
        count, _, digest = anchor.partition(":")
        if not count.isdigit() or not digest:
            raise ReportError(f"anchor {anchor!r} is not COUNT:HASH", advice="Copy it from the footer of a report.")
        known = Head(count=int(count), hash=digest)
    with Ledger(load_project(folder).ledger_path, mode="read") as opened:
        findings = opened.verify(anchor=known)
        head = opened.head() if not findings else None
    for finding in findings:
        click.echo(str(finding))
    if head is not None:
        click.echo(f"chain ok: {head.count} rows, head {head.count}:{head.hash}")
    sys.exit(1 if findings else 0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Exit 0 ok, 1 findings, 2 bad input, 3 a verdict is blocked, 130 interrupted; a traceback only with ``--debug``.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(given, prog_name="cpi", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(_BAD_INPUT)
    except (Exception, KeyboardInterrupt) as error:
        if _is_interrupt(error):
            click.echo("cpi: interrupted; nothing was kept of what was not finished.", err=True)
            sys.exit(_INTERRUPTED)
        if "--debug" in given:
            raise
        click.echo(f"cpi: {_explain(error)}", err=True)
        sys.exit(_BAD_INPUT)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error; the engine turns it into an error of its own, "Query interrupted"."""
    while error is not None:
        if isinstance(error, click.Abort | KeyboardInterrupt) or str(error).rstrip("!").lower().endswith("interrupted"):
            return True
        error = error.__cause__ or error.__context__
    return False


def _explain(error: BaseException) -> str:
    """Say in words what went wrong, where, and what to do."""
    if isinstance(error, CpiError):
        return str(error)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{error.format_message()}\n  {error.ctx.get_usage()}\n  Options: {error.ctx.command_path} --help"
    if isinstance(error, MemoryError):
        return "there is not enough memory for these data.\n  Close other programs, or give fewer rows or columns."
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}.\n  Check the path, its permissions and the space on the disk."
    return f"{type(error).__name__}: {error}\n  This is a defect: report what `cpi --debug ...` shows."


def _write_report(review: Review, folder: Path, *, truth: Sequence[dict[str, Any]] = ()) -> str:
    """Write every format of the review and return the table for the terminal."""
    from cpi_experiments.report.html import write_html  # noqa: PLC0415
    from cpi_experiments.report.pictures import write_pictures  # noqa: PLC0415
    from cpi_experiments.report.tables import write_json, write_tables  # noqa: PLC0415
    from cpi_experiments.report.terminal import truth_table, verdict_table  # noqa: PLC0415

    write_html(review, folder / "review.html")
    write_json(review, folder / "review.json")
    write_tables(review, folder)
    write_pictures(review, folder)
    width = min(max(shutil.get_terminal_size().columns, 80), 100) if sys.stdout.isatty() else 100
    return truth_table(review.verdicts, truth, width=width) if truth else verdict_table(review.verdicts, width=width)


def _written(review: Review, target: Path) -> str:
    return f"wrote {target / 'review.html'}\nledger head {review.ledger_rows}:{review.ledger_head}"


def _new_path(text: str) -> Path:
    """Check a path that is to be written: no way up, no name that a file system refuses."""
    if "\0" in text or not text.strip():
        raise ReportError(f"{text!r} is not a folder name", advice="Give a name such as reports/2026Q4.")
    path = Path(text)
    if ".." in path.parts:
        raise ReportError(f"{text!r} leads out of the folder", advice="Give a path without '..'.")
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > _LONGEST_NAME:
        raise ReportError(f"a folder name of {longest} bytes is too long", advice=f"At most {_LONGEST_NAME} bytes.")
    return path


@contextmanager
def _draft(target: Path, *, force: bool) -> Iterator[Path]:
    """Give a folder whose content moves to ``target`` when all of it is there; else nothing of it stays."""
    made = _prepare(target, force=force)
    draft = target / _DRAFT
    try:
        draft.mkdir()
        yield draft
        for item in sorted(draft.iterdir()):
            item.replace(target / item.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):  # not empty: something was written, here or by others
            for folder in made:
                folder.rmdir()


def _prepare(target: Path, *, force: bool) -> tuple[Path, ...]:
    """Make the folder, if it can be written and nothing is overwritten by accident; return the folders that are new."""
    try:
        if target.exists() and not target.is_dir():
            raise ReportError(f"{target} is a file", advice="Give a folder.")
        if target.is_dir() and any(target.iterdir()) and not force:
            raise ReportError(
                f"{target} is not empty", advice="Choose another folder, or pass --force to replace its report."
            )
        made = tuple(folder for folder in (target, *target.parents) if not folder.exists())
        target.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target / _DRAFT, ignore_errors=True)  # of a run that was killed
        (target / _DRAFT).mkdir()
        (target / _DRAFT).rmdir()
    except OSError as error:
        raise ReportError(f"{target} cannot be written ({error.strerror})", advice="Choose another folder.") from error
    return made


def _check_company(folder: Path) -> None:
    """Refuse to replace a folder that is not the company of an earlier demo."""
    from importlib import resources  # noqa: PLC0415

    shipped = resources.files("cpi_experiments.simulate") / "insurer" / "cpi.yaml"
    settings = folder / "cpi.yaml"
    ours = not folder.is_symlink() and settings.is_file() and settings.read_bytes() == shipped.read_bytes()
    if folder.exists() and not ours:
        raise ReportError(
            f"{folder} is not the company of an earlier demo, and stays as it is", advice="Choose another folder."
        )


def _progress(total: int, *, quiet: bool) -> _Steps:
    return _Steps(total, quiet=quiet)


class _Steps:
    """A progress bar on stderr whose text says what is being done; silent when piped or asked to be."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        from tqdm import tqdm  # noqa: PLC0415

        self._bar = tqdm(total=total, disable=True if quiet else None, bar_format="{desc:<28} {bar:30} {elapsed}")

    def __enter__(self) -> Callable[[str], None]:
        return self._step

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _step(self, text: str) -> None:
        self._bar.set_description_str(text)
        self._bar.update(1)
