"""How long the doors take beside reading their columns: ``python benchmarks/doors.py --rows 1000000``.

Each measurement is a fresh process that loads its library first and is then timed. Bare DuckDB scans of the same
columns into numpy run in turn with the doors, so that a busy machine slows both; the ratios are of the medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

OUTCOMES = [f"outcome_{at}" for at in range(8)]
LINK_COLUMNS = ["arm", "hours", "won", "broker"]
PAST_COLUMNS = ["hours", "won", "customer", "week"]
JUDGED = ["link", "experiment", "lever", "effect_cpi", "effect_kpi", "var_cpi", "var_kpi", "cov", "sesoi",
          "expected_sign"]  # fmt: skip
CASES = {
    "compare": ("trial.parquet", ["arm", *OUTCOMES]),
    "link_effect": ("trial.parquet", LINK_COLUMNS),
    "association": ("past.parquet", PAST_COLUMNS),
    "judge_links": ("links.parquet", JUDGED),
}
LINKS, TRIALS, WEEKS = 500, 4, 20


def write_data(folder: Path, rows: int) -> None:
    """Write a clustered trial and a panel of ``rows`` rows each, and a table of 500 links in 4 trials each."""
    from cpi_experiments.measure.engine_write import write_parquet  # noqa: PLC0415 - not in the measured processes

    rng = np.random.default_rng(20)
    broker = rng.integers(0, max(rows // 50, 10), rows)
    arm = broker % 2
    hours = 20 + rng.standard_normal(rows) - 2 * arm
    won = (rng.random(rows) < 0.6 - 0.015 * hours).astype(float)
    outcomes = {name: rng.standard_normal(rows) + 0.01 * arm for name in OUTCOMES}
    write_parquet(folder / "trial.parquet", [{"arm": arm, "hours": hours, "won": won, "broker": broker, **outcomes}])
    customer, week = np.divmod(np.arange(rows), WEEKS)
    write_parquet(folder / "past.parquet", [{"hours": hours, "won": won, "customer": customer, "week": week}])
    write_parquet(folder / "links.parquet", [_links(rng)])


def _links(rng: np.random.Generator) -> dict[str, np.ndarray]:
    link, trial = np.divmod(np.arange(LINKS * TRIALS), TRIALS)
    size = len(link)
    return {
        "link": np.array([f"cpi_{at} -> kpi_{at}" for at in link], dtype=object),
        "experiment": np.array([f"e{at}_{no}" for at, no in zip(link, trial, strict=True)], dtype=object),
        "lever": np.array([f"lever_{no}" for no in trial], dtype=object),
        "effect_cpi": 3 + 0.2 * rng.standard_normal(size),
        "effect_kpi": 0.012 * (link % 3) + 0.006 * rng.standard_normal(size),
        "var_cpi": np.full(size, 0.04),
        "var_kpi": np.full(size, 3.6e-5),
        "cov": np.zeros(size),
        "sesoi": np.full(size, 0.002),
        "expected_sign": np.ones(size),
    }


# -- in a process of its own -----------------------------------------------------------------------------------------


def run_case(name: str, folder: Path, *, bare: bool) -> dict[str, float]:
    """Run one door, or the bare scan beside it, and measure it: seconds, processor seconds, peak megabytes."""
    file, columns = CASES[name]
    work = _scan() if bare else _door(name)
    started, busy = time.perf_counter(), time.process_time()
    work(str(folder / file), columns)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"wall": seconds, "cpu": busy, "peak": peak}


def _scan() -> Any:  # noqa: ANN401 - a function of a path and its columns
    import duckdb  # noqa: PLC0415 - only in the process that scans

    def read(path: str, columns: list[str]) -> dict[str, np.ndarray]:
        connection = duckdb.connect(":memory:", config={"threads": "2"})
        listed = ", ".join(f'"{name}"' for name in columns)
        return connection.execute(f"SELECT {listed} FROM read_parquet(?)", [path]).fetchnumpy()  # noqa: S608 - ours

    duckdb.sql("SELECT 1e0 AS x").fetchnumpy()  # loads what the first query loads
    return read


def _door(name: str) -> Any:  # noqa: ANN401 - a function of a path and its columns
    import cpi_experiments as cpi  # noqa: PLC0415 - only in the process of the door

    doors = {
        "compare": lambda path, _: cpi.compare(path, arm="arm", control=0, outcomes=OUTCOMES),
        "link_effect": lambda path, _: cpi.link_effect(
            path, cpi="hours", kpi="won", arm="arm", control=0, increment=-1, cluster="broker"
        ),
        "association": lambda path, _: cpi.association(path, cpi="hours", kpi="won", unit="customer", time="week"),
        "judge_links": lambda path, _: cpi.judge_links(path),
    }
    getattr(cpi, name)  # loads its modules
    return doors[name]


# -- in the process that asks ----------------------------------------------------------------------------------------


def measure(name: str, folder: Path, *, repeats: int) -> dict[str, dict[str, float]]:
    """Measure a door and its scan in turn; medians of ``repeats``."""
    runs: dict[str, list[dict[str, float]]] = {"door": [], "scan": []}
    for _ in range(repeats):
        for kind, found in runs.items():
            command = [sys.executable, __file__, "--case", name, "--folder", str(folder)]
            command += ["--bare"] if kind == "scan" else []
            found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return {
        kind: {key: statistics.median(run[key] for run in found) for key in found[0]} for kind, found in runs.items()
    }


def report(rows: int, *, repeats: int) -> None:
    """Print one line a door: its wall and processor seconds and peak megabytes, and each against the bare scan."""
    print(f"{rows:,} rows, median of {repeats}; ratios against a bare DuckDB scan of the same columns")
    print(f"{'door':<13}{'wall s':>8}{'ratio':>8}{'cpu s':>8}{'ratio':>8}{'peak MB':>9}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_data(folder, rows)
        for name in CASES:
            found = measure(name, folder, repeats=repeats)
            cells = [
                f"{found['door'][key]:>{wide}.{digits}f}{found['door'][key] / found['scan'][key]:>8.1f}"
                for key, wide, digits in (("wall", 8, 3), ("cpu", 8, 3), ("peak", 9, 0))
            ]
            print(f"{name:<13}{''.join(cells)}", flush=True)


def main(arguments: list[str]) -> int:
    """Measure all doors, or one case in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--bare", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.case:
        print(json.dumps(run_case(asked.case, asked.folder, bare=asked.bare)))
    else:
        report(asked.rows, repeats=asked.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
