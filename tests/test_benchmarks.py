"""The benchmarks run and print every row; how fast they are is no test."""

import re
import subprocess
import sys
from pathlib import Path

DOORS = Path(__file__).resolve().parents[1] / "benchmarks" / "doors.py"


def test_doors_prints_a_row_for_every_door():
    command = [sys.executable, str(DOORS), "--rows", "5000", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["compare", "link_effect", "association", "judge_links"]
    for row in rows:
        assert len(row) == 7
        assert all(re.fullmatch(r"\d+\.?\d*", cell) for cell in row[1:])
        assert float(row[1]) > 0
