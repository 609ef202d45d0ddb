"""What is too long for ``dev/check.py``: other versions, Spark, slow tests and the documentation.

``python dev/matrix.py`` runs all steps; ``python dev/matrix.py py313 lowest`` runs some; with ``--write`` the results
go into ``docs/matrix.md``, where the rows of steps that did not run stay as they are. Each step makes a virtual
environment of its own, installs ``.[test]`` and runs the tests: some minutes a step. A step whose Python is not on
this machine is skipped and says so; that is no failure.

    py312, py313   newer Pythons, newest dependencies
    pandas23       the last pandas before 3
    lowest         the lowest versions that pyproject.toml allows, on Python 3.11
    spark          the tests that hand over Spark DataFrames (needs Java)
    postgres       the tests marked postgres, on a server of their own that the step starts and stops
    slow           the tests marked slow
    docs           mkdocs build --strict
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "matrix.md"
TESTS = ("pytest", "-q", "-n", "2", "--dist", "loadfile", "-m", "not slow and not postgres", "tests", "cpi_experiments")
SPARK = ("pytest", "-q", "-rs", "tests/measure/test_engine_spark.py")
POSTGRES = (
    "pytest",
    "-q",
    "-rs",
    "-m",
    "postgres",
    "tests/measure/test_engine_warehouse.py",
    "tests/measure/test_within_engines.py",
)
SLOW = ("pytest", "-q", "-m", "slow", "tests", "cpi_experiments")
DOCS = ("mkdocs", "build", "--strict", "--site-dir", "{folder}/site")
SHOWN = ("numpy", "scipy", "pandas", "duckdb", "statsmodels", "pydantic", "pyspark", "psycopg", "mkdocs-material")
FLOOR = re.compile(r"^([A-Za-z0-9._-]+).*?>=([0-9.]+)")
COUNTS = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")
HEAD = "| step | date | Python | versions | result |\n|---|---|---|---|---|\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: its Python, the versions that it holds down, what it installs besides the project, what it runs."""

    python: str
    extra: str = "test"
    pins: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    command: tuple[str, ...] = TESTS
    server: bool = False


def floors() -> tuple[str, ...]:
    """Turn each ``>=X`` of the project's dependencies into ``==X``, whatever its patch where X names none.

    >>> [pin for pin in floors() if pin.startswith("py")]
    ['pyyaml==6.0.2', 'pydantic==2.10.*']
    """
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    found = [FLOOR.match(line) for line in wanted]
    return tuple(f"{match[1]}=={match[2]}{'.*' if match[2].count('.') < 2 else ''}" for match in found if match)


def steps() -> dict[str, Step]:
    """Return every step by its name."""
    return {
        "py312": Step(python="3.12"),
        "py313": Step(python="3.13"),
        "pandas23": Step(python="3.11", pins=("pandas==2.3.*",)),
        "lowest": Step(python="3.11", pins=floors()),
        "postgres": Step(python="3.11", more=("psycopg[binary]>=3.2",), command=POSTGRES, server=True),
        "spark": Step(python="3.11", more=("pyspark>=4", "pyarrow"), command=SPARK),
        "slow": Step(python="3.11", command=SLOW),
        "docs": Step(python="3.11", extra="docs", command=DOCS),
    }


def find_python(version: str) -> str:
    """Return the path of a Python of this version, or nothing if there is none."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    named = [*map(str, reversed(kept)), shutil.which(f"python{version}"), sys.executable]
    asks = "import sys; print('{}.{}'.format(*sys.version_info))"
    for path in filter(None, named):
        said = subprocess.run([path, "-c", asks], capture_output=True, text=True, check=False)
        if said.stdout.strip() == version:
            return path
    return ""


def run_step(step: Step, folder: Path) -> tuple[str, str]:
    """Run one step; return the versions that were installed and the result in words."""
    python = find_python(step.python)
    if not python:
        return "", f"skipped: no Python {step.python} on this machine"
    bin_folder = folder / "venv" / "bin"
    subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
    pins = folder / "constraints.txt"
    pins.write_text("\n".join(step.pins) + "\n")
    install = ["-m", "pip", "install", "-q", "-e", f"{ROOT}[{step.extra}]", *step.more, "-c", str(pins)]
    if subprocess.run([str(bin_folder / "python"), *install], check=False).returncode:
        return "", "failed: cannot be installed"
    tool, *options = (part.format(folder=folder) for part in step.command)
    if not (bin_folder / tool).exists():
        return installed(bin_folder), f"failed: the extra {step.extra!r} does not install {tool}"
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    env["PATH"] = f"{bin_folder}{os.pathsep}{env.get('PATH', '')}"
    print(f"   {tool} {' '.join(options)}", flush=True)
    with postgres_server() if step.server else nullcontext("") as address:
        if address is None:
            return installed(bin_folder), "skipped: no PostgreSQL server on this machine"
        run = subprocess.run(
            [str(bin_folder / tool), *options],
            cwd=ROOT,
            env={**env, "CPI_POSTGRES": address},
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        print((run.stdout + run.stderr)[-20_000:], flush=True)
    return installed(bin_folder), result_of(run.returncode, run.stdout)


@contextmanager
def postgres_server() -> Iterator[str | None]:
    """Start a private PostgreSQL on a socket in a folder of its own; yield its address, None if there is no server."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")) or [Path(shutil.which("pg_ctl") or "")]
    if not programs[-1].is_file():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="cpi-pg-") as folder:
        home, owner = Path(folder), {"user": "nobody"} if os.geteuid() == 0 else {}  # PostgreSQL refuses root
        if owner:
            shutil.chown(home, **owner)
        ctl = [str(programs[-1]), "-D", str(home / "data"), "-w", "-l", str(home / "log")]
        initdb = [str(programs[-1].with_name("initdb")), "-D", str(home / "data"), "-A", "trust", "-U", "cpi"]
        options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off"
        quiet = {"stdout": subprocess.DEVNULL, "cwd": home, **owner}
        subprocess.run([*initdb, "--no-sync", "--encoding=UTF8", "--locale=C"], check=True, **quiet)
        subprocess.run([*ctl, "-o", options, "start"], check=True, **quiet)
        try:
            yield f"host={home} user=cpi dbname=postgres"
        finally:
            subprocess.run([*ctl, "-m", "immediate", "stop"], check=True, **quiet)


def installed(bin_folder: Path) -> str:
    """Return the versions that matter, as one line."""
    listed = subprocess.run(
        [str(bin_folder / "python"), "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    versions = dict(line.split("==", 1) for line in listed.stdout.splitlines() if "==" in line)
    return ", ".join(f"{name} {versions[name]}" for name in SHOWN if name in versions)


def result_of(code: int, text: str) -> str:
    """Say how a step ended, with the counts of its closing line; tests that were all skipped are no pass.

    >>> result_of(0, "12 passed, 1 skipped in 3.0s"), result_of(0, "4 skipped in 1s"), result_of(1, "")
    ('passed: 12 passed, 1 skipped', 'skipped: 4 skipped', 'failed')
    """
    counts = COUNTS.findall(text.rstrip().splitlines()[-1] if text.strip() else "")
    words = ", ".join(f"{count} {word}" for count, word in counts)
    empty = bool(counts) and not any(word == "passed" for _, word in counts)
    state = "failed" if code else "skipped" if empty else "passed"
    return f"{state}: {words}" if words else state


def write_page(rows: dict[str, str]) -> None:
    """Write the table; a step that did not run keeps its row."""
    old = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    kept = {line.split("|")[1].strip(): line for line in old if line.startswith("| ")}
    found = {**kept, **rows}
    lines = [found[name] for name in steps() if name in found]
    PAGE.parent.mkdir(exist_ok=True)
    text = "# Where the tests pass\n\nWhat the steps of `python dev/matrix.py` gave, on the day named.\n\n"
    PAGE.write_text(text + HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Run the named steps, all by default; return 1 if any failed."""
    known, write = steps(), "--write" in arguments
    names = [name for name in arguments if name != "--write"]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"unknown step {unknown[0]!r}; steps: {', '.join(known)}")
        return 2
    rows, summary = {}, []
    for name in names or known:
        print(f"== {name}", flush=True)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="cpi-matrix-") as folder:
            versions, result = run_step(known[name], Path(folder))
        rows[name] = f"| {name} | {datetime.now(UTC):%Y-%m-%d} | {known[name].python} | {versions} | {result} |"
        summary.append(f"{name:<10} {time.monotonic() - started:6.0f} s  {result}")
        print(summary[-1], flush=True)
    if write:
        write_page(rows)
    print("\n".join(["", *summary]))
    return 1 if any("  failed" in line for line in summary) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
