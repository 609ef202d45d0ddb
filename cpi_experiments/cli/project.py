"""Commands that work on a project folder."""

from __future__ import annotations

import sys

import click

from cpi_experiments.cli.app import BLOCKED, app
from cpi_experiments.cli.output import draft_of, new_path, progress, write_report, written
from cpi_experiments.errors import ReportError

FOLDER = click.option(
    "--project", "folder", default=".", metavar="DIR", help="Project folder; default: the current one."
)


@app.command()
@click.argument("name")
def init(name: str) -> None:
    """Write a commented starter project into the new folder NAME."""
    from cpi_experiments.catalog.starter_project import write_starter  # noqa: PLC0415

    folder = new_path(name)
    written = write_starter(folder, name=folder.name)
    click.echo(f"wrote {len(written)} files to {name}; next: cd {name} && cpi lint")


@app.command()
@FOLDER
def lint(folder: str) -> None:
    """Check the catalog; exit 1 if there are errors."""
    from cpi_experiments.study.study import Study  # noqa: PLC0415
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
@FOLDER
def candidates(folder: str) -> None:
    """List every CPI x KPI pair that the catalog allows."""
    from cpi_experiments.study.study import Study  # noqa: PLC0415

    with Study.open(folder) as study:
        click.echo(str(study.candidates()))


@app.command()
@click.argument("link", required=False)
@FOLDER
@click.option("--who", default="", help="Name to record beside the user of this machine.")
def register(link: str | None, folder: str, who: str) -> None:
    """Freeze the claim of LINK ("cpi -> kpi") in the ledger, or of every claimed link."""
    from cpi_experiments.hypotheses.registry import registrations  # noqa: PLC0415
    from cpi_experiments.study.study import Study  # noqa: PLC0415

    with Study.open(folder) as study:
        frozen = (study.register(link, who=who),) if link else study.register_all(who=who)
        registered = registrations(study.ledger)
        for hypothesis in frozen:
            click.echo(str(hypothesis))
            before = registered[hypothesis.link].after_data
            if before:
                click.echo(f"  changed after data had been looked at (it was {before[:8]}): those data count no more")


@app.command()
@FOLDER
@click.option("--as-of", default=None, metavar="DAY", help="Rows after this day are late; default: none are.")
def check(folder: str, as_of: str | None) -> None:
    """Check every event table against its contract, and for what looks wrong; exit 1 if there are errors."""
    from cpi_experiments.catalog.resolve import read_date  # noqa: PLC0415
    from cpi_experiments.study.study import Study  # noqa: PLC0415
    from cpi_experiments.wording.review import plural  # noqa: PLC0415

    with Study.open(folder) as study:
        reports = study.check(as_of=read_date(as_of) if as_of else None)
    for report in reports:
        click.echo(f"{report}\n")
    errors = sum(len(report.errors) for report in reports)
    rows = sum(count for report in reports for _, _, count in report.losses)
    click.echo(f"{plural(errors, 'error')}, {plural(rows, 'row')} set aside, in {plural(len(reports), 'table')}")
    sys.exit(1 if errors else 0)


@app.command()
@FOLDER
@click.option("--by", default=None, metavar="COLUMN", help="Column of the customers: one row a group.")
@click.option("--period", default="month", show_default=True, help="day, week, month, quarter or year.")
@click.option("--as-of", default=None, metavar="DAY", help="Last day that is seen.")
@click.option("--json", "as_json", is_flag=True, help="Every number, for other programs.")
def measure(folder: str, by: str | None, period: str, as_of: str | None, *, as_json: bool) -> None:
    """Measure every indicator: level, change, against target and benchmark."""
    import json  # noqa: PLC0415 - only for this option

    from cpi_experiments.catalog.resolve import read_date  # noqa: PLC0415
    from cpi_experiments.study.study import Study  # noqa: PLC0415

    with Study.open(folder) as study:
        last = read_date(as_of) if as_of else None
        panel = study.measure(period=period, as_of=last, covariates=None if by is None else [by])
        card = study.scorecard(panel, by=by, as_of=last)
    if as_json:
        click.echo(json.dumps(card.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
        return
    click.echo(f"{panel}\n\n{card}")


@app.command()
@click.argument("quarter")
@FOLDER
@click.option("--out", default=None, metavar="DIR", help="Folder of the report; default: reports/QUARTER.")
@click.option("--force", is_flag=True, help="Replace a report that is there.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, touch nothing.")
@click.option("--deck", is_flag=True, help="Also write review.pptx (needs the extra `report`).")
@click.option("--quiet", is_flag=True, help="No progress.")
def run(quarter: str, folder: str, out: str | None, *, force: bool, dry_run: bool, deck: bool, quiet: bool) -> None:
    """Measure, analyse, judge and report QUARTER, such as 2026Q4."""
    from cpi_experiments.report.pptx import require_pptx, write_pptx  # noqa: PLC0415
    from cpi_experiments.study.study import Study  # noqa: PLC0415

    if deck:
        require_pptx("--deck")
    with Study.open(folder) as study:
        when = study.project.quarter(quarter)
        target = new_path(out) if out else study.project.reports_path / str(when)
        if dry_run:
            done, running = study.finished(when.last), study.running(when.last)
            click.echo(
                f"register and judge {len(study.catalog.links)} links; tables: {', '.join(study.project.sources)}"
            )
            click.echo(f"analyse {', '.join(plan.id for plan in done) or 'no experiment'}")
            click.echo(f"running, effects hidden: {', '.join(plan.id for plan in running) or 'none'}")
            click.echo(f"write {target}")
            return
        with draft_of(target, force=force) as report:
            with progress(2 + len(study.finished(when.last)) + 1, quiet=quiet) as step:
                review = study.run(str(when), progress=step)
            text = write_report(review, report)
            if deck:
                write_pptx(review, report / "review.pptx")
    click.echo(f"{text}\n\n{written(review, target)}")
    sys.exit(BLOCKED if any(row.verdict == "blocked" for row in review.verdicts) else 0)


@app.group()
def ledger() -> None:
    """Look after the ledger of a project."""


@ledger.command()
@FOLDER
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
