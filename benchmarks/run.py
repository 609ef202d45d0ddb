"""How fast and how small the product is beside a bare scan and beside other libraries.

``python benchmarks/run.py --rows 10000000 --rival-python ~/rivals/bin/python`` prints a table in Markdown. Every
measurement is a whole process, from the start of the interpreter to its end, in rounds of product, scan, rival, so that
a busy machine slows all of them; figures are ratios of medians. Whoever's numbers disagree fails the run.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cases import CASES, LONG, TO_NUMPY, Case, Figure
from tables import WRITERS, forget_new_week
from timing import BenchmarkError, Pythons, Took, check, measure, run_once

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = "| # | work | rows | wall s | cpu s | peak MB | figure | must | aim | |\n" + "|---" * 10 + "|"
MISSED = "**missed**"
WARM_ROWS = 2_600
#: Rows up to which the numbers are checked against numpy, too.
MOST_CHECKED = 2_000_000


def main(arguments: Sequence[str]) -> int:
    """Run the cases that were asked for; 1 if one failed, or a figure that must hold did not."""
    asked = _parse(arguments)
    with tempfile.TemporaryDirectory(dir=asked.folder) as made:
        pythons = Pythons(rival=asked.rival_python, bytecode=Path(made) / "bytecode")
        print(_machine(pythons), HEAD, sep="\n\n", flush=True)
        failed = 0
        for number in asked.cases:
            case = CASES[number]
            rows = asked.rows or case.rows
            try:
                failed += not _run_case(number, case, rows, Path(made), pythons, asked)
            except BenchmarkError as error:
                why = _one_line(error)
                print(f"| {number} | {case.title} | {rows:,} | | | | **failed**: {why} | | | |", flush=True)
                failed += 1
    return 1 if failed else 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="rows of every case; each case's own by default (10 million)")
    parser.add_argument("--cases", type=_numbers, default=[n for n in CASES if n not in LONG], help="such as 1,4")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of every work in turn")
    parser.add_argument("--rival-python", help="interpreter in which tea-tasting, linearmodels, pyfixest are installed")
    parser.add_argument("--folder", type=Path, help="where data are written while it runs; the temporary folder if not")
    parser.add_argument("--no-rivals", action="store_true", help="leave the other libraries out")
    parser.add_argument("--only-numbers", action="store_true", help="one cold round; figures do not count")
    return parser.parse_args(arguments)


def _numbers(text: str) -> list[int]:
    found = [int(each) for each in text.split(",")]
    unknown = [each for each in found if each not in CASES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no case {unknown[0]}; cases are {', '.join(map(str, CASES))}")
    return found


def _run_case(number: int, case: Case, rows: int, folder: Path, pythons: Pythons, asked: argparse.Namespace) -> bool:
    """Write the data, warm up, measure, check the numbers, print a row a figure; whether all figures hold."""
    works, missing = _works(case, pythons, rivals=not asked.no_rivals)
    data = folder / f"rows_{rows}"
    _write(case, data, rows)

    def prepare(work: str) -> None:
        if work == "doors.new_week":
            forget_new_week(data)

    if not asked.only_numbers:
        _warm_up(case, works, folder, pythons)
    took = measure(works, data, pythons, rounds=1 if asked.only_numbers else asked.rounds, prepare=prepare)
    product = took[case.works[0]]
    for work, tolerances in case.agree.items():
        if work in took:
            check(work, product.numbers, took[work].numbers, tolerances)
    if rows <= MOST_CHECKED:
        truth = run_once(f"expected.{case.expected}", data, pythons)
        check("numpy", product.numbers, truth.numbers, TO_NUMPY)
    held = _print(number, case, rows, took, missing)
    if "weeks" in case.data or rows > MOST_CHECKED:
        shutil.rmtree(data / "weeks", ignore_errors=True)
    return held or asked.only_numbers


def _works(case: Case, pythons: Pythons, *, rivals: bool) -> tuple[list[str], dict[str, str]]:
    """Split works into those that can run and those that cannot, with the reason."""
    missing: dict[str, str] = {}
    for work, module in case.needs.items():
        if not rivals:
            missing[work] = "left out"
        elif subprocess.run([pythons.of(work), "-c", f"import {module}"], capture_output=True, check=False).returncode:
            missing[work] = f"{module} is not installed for {Path(pythons.of(work)).name}: give --rival-python"
    return [work for work in case.works if work not in missing], missing


def _write(case: Case, data: Path, rows: int) -> None:
    for table in case.data:
        done = data / f"{table}.done"
        if not done.exists():
            WRITERS[table](data, rows)
            done.touch()


def _warm_up(case: Case, works: Sequence[str], folder: Path, pythons: Pythons) -> None:
    """Run every work on few rows: it compiles what it imports, and the disk's cache holds the libraries.

    Raises
    ------
    BenchmarkError
        If no bytecode was left: imports would then cost several times what they cost a user.
    """
    small = folder / "warm"
    _write(case, small, WARM_ROWS)
    for work in works:
        run_once(work, small, pythons)
        if not pythons.compiled(work):
            raise BenchmarkError(f"{work} left no bytecode: run python -m compileall on its libraries first")


# -- what is printed -------------------------------------------------------------------------------------------------


def _print(number: int, case: Case, rows: int, took: dict[str, Took], missing: dict[str, str]) -> bool:
    """Print one row a figure, and below it the rows of the works that it was compared with; whether all hold."""
    held = True
    for at, figure in enumerate(case.figures):
        ours = took[case.works[0]] if figure.faster or not figure.under else took[figure.over]
        cells = f"{ours.wall:.3f} | {ours.cpu:.2f} | {ours.peak:.0f}"
        start = f"| {number} | {case.title if not at else ''} | {rows:,} | {cells}"
        lost = [work for work in (figure.over, figure.under) if work in missing]
        if lost:
            print(f"{start} | {figure.words}: skipped, {missing[lost[0]]} | | | |", flush=True)
            continue
        value = _value(figure, took)
        must, aim, mark = _judged(value, figure, figure.wanted(rows, case.rows))
        held &= mark != MISSED
        print(f"{start} | {_shown(value, figure, took)} {figure.words} | {must} | {aim} | {mark} |", flush=True)
    for work, each in took.items():
        if work != case.works[0]:
            print(f"| {number} | *{work}* | {rows:,} | {each.wall:.3f} | {each.cpu:.2f} | {each.peak:.0f} | | | | |")
    return held


def _value(figure: Figure, took: dict[str, Took]) -> float:
    value = getattr(took[figure.over], figure.measure)
    return value / getattr(took[figure.under], figure.measure) if figure.under else value


def _judged(value: float, figure: Figure, wanted: tuple[float, float] | None) -> tuple[str, str, str]:
    """Return must, aim and whether they hold, in words; nothing where none are stated for these rows."""
    if wanted is None:
        return "", "", ""
    sign = "≥" if figure.faster else "≤"
    must, aim = (value >= each if figure.faster else value <= each for each in wanted)
    mark = "aim" if aim else "must" if must else MISSED
    return f"{sign} {wanted[0]:g}", f"{sign} {wanted[1]:g}", mark


def _shown(value: float, figure: Figure, took: dict[str, Took]) -> str:
    if not figure.under:
        return f"{value:.3g}"
    busy = f" (cpu {took[figure.over].cpu / took[figure.under].cpu:.2f} ×)" if figure.measure == "wall" else ""
    return f"{value:.2f} ×{busy}"


def _machine(pythons: Pythons) -> str:
    today = datetime.now(tz=UTC).date().isoformat()
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    rival = f", rivals on {pythons.rival}" if pythons.rival else ""
    return (
        f"{today}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}{rival}, "
        f"load {load} at the start, DuckDB 2 threads, linear algebra 1 thread"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[-300:].replace("|", "/")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
