"""Everything that has to hold before a change lands, with the time that each step took.

``python dev/check.py`` runs all steps, ``python dev/check.py tests types`` some. Needs ``pip install -e '.[test]'``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
COVERAGE = ("--cov", "--cov-report=term")
TESTED = ("-m", "not slow and not postgres", "tests", "cpi_experiments")
STEPS = {
    "lint": [["ruff", "check", "."], ["ruff", "format", "--check", "."]],
    "types": [["mypy"]],
    "floors": [["lint-imports"]],
    "tests": [
        [
            "pytest",
            "-q",
            "-n",
            "2",
            "--dist",
            "loadfile",
            "-m",
            "not slow and not postgres",
            *COVERAGE,
            "tests",
            "cpi_experiments",
        ]
    ],
    "calibration": [["cpi", "calibrate", "--quick"]],
    "notebooks": [["pytest", "-q", "--nbmake", "--nbmake-timeout=300", "-p", "no:cacheprovider", "notebooks"]],
}


def main(names: list[str]) -> int:
    """Run the named steps, all by default; return 1 if any failed."""
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        print(f"unknown step {unknown[0]!r}; steps: {', '.join(STEPS)}")
        return 2
    # one BLAS thread a process: two test processes share two cores
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    env["PATH"] = f"{BIN}{os.pathsep}{env.get('PATH', '')}"
    failed, times = [], {}
    for name in names or STEPS:
        started = time.monotonic()
        for command in STEPS[name]:
            print(f"== {name}: {' '.join(command)}", flush=True)
            tool = str(BIN / command[0])
            if subprocess.run([tool, *command[1:]], cwd=ROOT, env=env, check=False).returncode:
                failed.append(name)
        times[name] = time.monotonic() - started
    print("\n".join(f"{name:<10} {seconds:6.0f} s" for name, seconds in times.items()), flush=True)
    print(f"failed: {', '.join(dict.fromkeys(failed))}" if failed else "all steps passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
