"""Commands that need no project: the demo, and one file of a trial."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import click

from cpi_experiments.cli.app import app
from cpi_experiments.cli.output import draft_of, new_path, progress, write_report, written
from cpi_experiments.errors import ReportError

if TYPE_CHECKING:
    from pathlib import Path

    from cpi_experiments.stats.moments import Moments


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
    """Estimate the KPI effect per increment of the CPI from one file of a trial, or from its saved moments."""
    from cpi_experiments.randomized.link_effect import link_effect  # noqa: PLC0415

    result = link_effect(_data(data), kpi=list(kpi) if len(kpi) > 1 else kpi[0], **options)
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
    """Compare the arms of a trial in one file, or in its saved moments."""
    from cpi_experiments.randomized.compare import compare as compare_arms  # noqa: PLC0415

    click.echo(str(compare_arms(_data(data), outcomes=list(outcomes), **options)))


def _data(name: str) -> str | Moments:
    """Return saved moments, or the name of a file of rows."""
    if not name.endswith(".npz"):
        return name
    from cpi_experiments.measure.moments.store import load_moments  # noqa: PLC0415

    return load_moments(name)


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
