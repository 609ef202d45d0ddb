"""Commands that say what to do with what is known: what to test next."""

from __future__ import annotations

import click

from cpi_experiments.cli.app import app
from cpi_experiments.cli.project import FOLDER


@app.command("next")
@FOLDER
@click.option("--quarter", default="", metavar="2026Q4", help="Verdicts to start from; default: the newest recorded.")
@click.option("--weeks", default=26.0, show_default=True, help="No test may last longer, KPI windows included.")
@click.option(
    "--scarce",
    default="weeks",
    show_default=True,
    type=click.Choice(["weeks", "customers"]),
    help="What tests compete for: rank per week, or per customer and week.",
)
@click.option("--json", "as_json", is_flag=True, help="Every number, for other programs.")
def next_(folder: str, quarter: str, weeks: float, scarce: str, *, as_json: bool) -> None:
    """Rank what to test next: which link, with which lever, how long, and what each answer would make us do.

    Starts from recorded verdicts; it judges nothing, looks at no data and records nothing.
    """
    import json  # noqa: PLC0415 - only for this option

    from cpi_experiments.errors import DesignError  # noqa: PLC0415
    from cpi_experiments.evidence.next.next_tests import MOST_WEEKS  # noqa: PLC0415
    from cpi_experiments.study.study import Study  # noqa: PLC0415

    if not 0 < weeks <= MOST_WEEKS:
        raise DesignError(
            f"--weeks {weeks:g} is not above zero and at most {MOST_WEEKS}",
            advice="Give the longest that a test may last, KPI windows included, such as --weeks 26.",
        )
    with Study.open(folder) as study:
        found = study.next(quarter, most_weeks=weeks, scarce=scarce)  # type: ignore[arg-type] # checked by the option
    click.echo(json.dumps(found.to_dict(), ensure_ascii=False, indent=2, allow_nan=False) if as_json else str(found))
