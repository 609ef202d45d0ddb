"""`cpi calibrate`: the toolkit's own error rates, measured now, on this machine."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cpi_experiments.cli.app import app
from cpi_experiments.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cpi_experiments.calibration.result import Calibration, Outcome
    from cpi_experiments.calibration.world import World

#: Exit code where a claim does not hold.
FAILS = 1
#: Columns of the table for the terminal.
WIDTH = 80
#: A run of more claims ends with the summary that it began with.
SHORT = 12
#: Text of a page between these lines is replaced by the tables of a run.
BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"


@app.command()
@click.option("--quick/--full", default=True, help="Minutes, or the figures of the documentation (half an hour).")
@click.option("--world", default=None, metavar="NAME", help="One world, or all whose names hold this; see --list.")
@click.option("--seed", default=None, metavar="S", help="Root of all draws: a number, or `fresh` for a new one.")
@click.option("--json", "json_path", default=None, metavar="FILE", help="Write every rate and band to this file.")
@click.option(
    "--markdown",
    "page",
    default=None,
    metavar="FILE",
    help="Write the tables to this page; in a page with marks, between them.",
)
@click.option("--processes", default=None, type=click.IntRange(1, 64), help="Default: two where that is faster.")
@click.option("--list", "listed", is_flag=True, help="Name the worlds and stop.")
def calibrate(
    *,
    quick: bool,
    world: str | None,
    seed: str | None,
    json_path: str | None,
    page: str | None,
    processes: int | None,
    listed: bool,
) -> None:
    """Simulate worlds with known truth and say how often the toolkit is wrong; exit 1 if a claim does not hold."""
    from cpi_experiments.calibration.harness import run  # noqa: PLC0415 - the worlds are not needed by other commands
    from cpi_experiments.calibration.roster import worlds  # noqa: PLC0415

    if listed:
        click.echo("\n".join(_named(worlds())))
        return
    targets = [_target(path) for path in (json_path, page) if path]
    found = run(
        quick=quick,
        world=world,
        seed=_seed(seed),
        processes=processes or _processes(quick=quick, one=world is not None),
        progress=lambda line: click.echo(line, err=True),
    )
    click.echo("\n".join(table_of(found)))
    if json_path:
        _write(targets[0], json.dumps(_content(found), ensure_ascii=False, allow_nan=False, indent=1) + "\n")
    if page:
        _write(targets[-1], paged(targets[-1], found.to_markdown()))
    sys.exit(0 if found.passed else FAILS)


def table_of(found: Calibration) -> Iterator[str]:
    """Yield the lines for the terminal, at most 80 columns: what was found, how to read it, one line a claim."""
    from cpi_experiments.calibration.result import LEGEND  # noqa: PLC0415

    summary = [
        *_wrapped(str(found).split("\n\n")[0]),
        f"{found.date}, {'quick' if found.quick else 'full'}, {found.seconds:.0f} s",
        "",
    ]
    yield from summary
    yield from _wrapped(f"{LEGEND} The number before a world is another name of it: --world 8 runs number 8.")
    yield ""
    yield f"    {'claim':<30} {'rate':>7}  {'band':>13}  {'bound':<12} state"
    for _, mine in groupby(found.outcomes, key=lambda o: o.world):
        outcomes = list(mine)
        first = outcomes[0]
        about = f"{first.world} ({first.seconds:.1f} s, {'customers' if first.unit_level else 'summaries'})"
        yield _cut(about if not first.number else f"{first.number} {about}")
        yield from textwrap.wrap(first.title, WIDTH, initial_indent="  ", subsequent_indent="  ")
        yield from (_line(outcome) for outcome in outcomes)
        yield ""
    if len(found.outcomes) > SHORT:
        yield from summary[:-1]


def _line(o: Outcome) -> str:
    from cpi_experiments.calibration.result import STATES  # noqa: PLC0415

    band = f"{o.band_low:.4f}-{o.band_high:.4f}"
    return f"    {o.claim:<30} {o.rate:>7.4f}  {band:>13}  {o.bound_told:<12} {STATES[o.state]}"


def _named(worlds: Sequence[World]) -> list[str]:
    """List the worlds: number, name, and what is true in it."""
    lines = [
        "`cpi calibrate --world NAME` runs one: by its name, a part of it, or its number.",
        "",
        f"{'#':>3} {'world':<25}what is true",
    ]
    for w in worlds:
        told = textwrap.wrap(w.title, WIDTH - 29, break_on_hyphens=False)
        lines += [f"{w.number or '':>3} {w.name:<25}{told[0]}", *(f"{'':29}{more}" for more in told[1:])]
    return lines


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3].rstrip()}..."


def _wrapped(text: str) -> list[str]:
    return [part for line in text.split("\n") for part in textwrap.wrap(line, WIDTH)]


def _seed(text: str | None) -> Any:  # noqa: ANN401 - a number, the word, or what `run` is to refuse
    return int(text) if text is not None and text.isdecimal() else text


def _processes(*, quick: bool, one: bool) -> int:
    """Two processes where their start is worth it: not for one quick world, not on one core."""
    return 1 if quick and one else min(2, os.cpu_count() or 1)


def _content(found: Calibration) -> dict[str, Any]:
    return {"passed": found.passed, **found.to_dict()}


def _target(text: str) -> Path:
    """Check that a file can be written, before minutes are spent.

    Raises
    ------
    ReportError
        If its folder does not exist, or it is a folder.
    """
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"lies in {path.parent}, which does not exist"
        raise ReportError(f"{text} {what}", advice="Give a file in a folder that exists.")
    return path


def paged(path: Path, tables: str) -> str:
    """Put the tables into a page: between its marks if it has them, else the tables are the page.

    Raises
    ------
    ReportError
        If the page has other text but no marks.
    """
    if not path.exists():
        return tables
    text = path.read_text(encoding="utf-8")
    head, begun, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (begun and ended):
        raise ReportError(f"{path} has no lines {BEGIN} and {END}", advice="Add them, or give a file that is new.")
    return f"{head}{BEGIN}\n\n{tables.strip()}\n\n{END}{tail}"


def _write(path: Path, text: str) -> None:
    from cpi_experiments.whole_files import whole_file  # noqa: PLC0415

    with whole_file(path) as file:
        file.write(text.encode("utf-8"))
