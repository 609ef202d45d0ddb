"""The command itself: its help, and what every error becomes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cpi_experiments.errors import CpiError

if TYPE_CHECKING:
    from collections.abc import Sequence

BAD_INPUT, BLOCKED, INTERRUPTED = 2, 3, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="cpi-experiments", prog_name="cpi")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def app(*, debug: bool) -> None:
    """Link what customers value (CPIs) to what the company earns (KPIs), and say which links are true.

    \b
    cpi demo                      a company with known truth, judged in a minute
    cpi init insurer              a commented project folder
    cpi measure                   where every indicator stands
    cpi run 2026Q4                measure, analyse, judge and report a quarter
    cpi next                      what to test next, and what each answer would make us do
    cpi calibrate --quick         our own error rates, measured now
    cpi design --rate 0.1 --effect 0.01 --per-day 1200
    cpi link trial.parquet ...    one link from one file, no project needed; likewise integrity, compare, audit, aa
    """  # noqa: D301 - click's mark for lines that must not be wrapped


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Exit 0 ok, 1 findings, 2 bad input, 3 a verdict is blocked, 130 interrupted; a traceback only with ``--debug``.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(given, prog_name="cpi", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(BAD_INPUT)
    except (Exception, KeyboardInterrupt) as error:
        if _is_interrupt(error):
            click.echo("cpi: interrupted; nothing was kept of what was not finished.", err=True)
            sys.exit(INTERRUPTED)
        if "--debug" in given:
            raise
        click.echo(f"cpi: {_explain(error)}", err=True)
        sys.exit(BAD_INPUT)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error; the engine makes errors of its own of it, and names it in two ways."""
    while error is not None:
        said = str(error).rstrip("!:. ").lower()
        if isinstance(error, click.Abort | KeyboardInterrupt) or said.endswith(("interrupted", "keyboardinterrupt")):
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
