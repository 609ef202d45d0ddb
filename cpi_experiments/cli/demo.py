"""The demo: a company with known truth, judged in a minute."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import click

from cpi_experiments.cli.app import app
from cpi_experiments.cli.output import draft_of, new_path, progress, write_report, written
from cpi_experiments.errors import ReportError

if TYPE_CHECKING:
    from pathlib import Path


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
    from cpi_experiments.study.study import Study  # noqa: PLC0415

    target = new_path(out)
    with draft_of(target, force=force) as folder, progress(16, quiet=quiet) as step:
        _check_company(target / "company")
        step("simulating a company")
        company = simulate_company(folder / "company", size=size, seed=seed)  # type: ignore[arg-type]
        with Study.open(company.folder) as study:
            review = study.run("2026Q4", progress=step)
        truth = [row for known in company.truth for row in known._rows()]  # noqa: SLF001 - rows of a result
        write_csv(truth, folder / "truth.csv")
        text = write_report(review, folder, truth=truth)
        if (target / "company").exists():
            shutil.rmtree(target / "company")
    click.echo(f"{text}\n\n{written(review, target)}\nsize {size}, seed {seed}")


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
