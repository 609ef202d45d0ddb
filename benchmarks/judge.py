"""How long judging takes: a portfolio of 500 links with 40 experiments each over 8 looks, and one link of 200.

``python benchmarks/judge.py`` prints a table in Markdown with the limits that must hold; 1 if one does not.
"""

from __future__ import annotations

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

import platform
import statistics
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from work import peak_megabytes

from cpi_experiments import combine, judge_links

if TYPE_CHECKING:
    from collections.abc import Callable

JUDGE_SECONDS, COMBINE_MILLISECONDS = 10.0, 20.0
LOOKS = 8


def effects(links: int, experiments: int) -> pd.DataFrame:
    """Draw five numbers an experiment, half of the links without an effect; looks spread evenly over quarters."""
    rng = np.random.default_rng(1)
    k = np.arange(experiments)
    parts = []
    for i in range(links):
        moves, theta = 5 + rng.standard_normal(experiments), 0.5 * (i % 2)
        look = k * LOOKS // experiments
        parts.append(
            pd.DataFrame(
                {
                    "link": f"c{i} -> k", "experiment": [f"E{j}" for j in k], "lever": [f"L{j}" for j in k],
                    "effect_cpi": moves + rng.standard_normal(experiments),
                    "effect_kpi": theta * moves + 2 * rng.standard_normal(experiments), "var_cpi": 1.0, "var_kpi": 4.0,
                    "cov": 0.3, "sesoi": 0.3, "expected_sign": 1, "planned_move": 5.0, "looks": f"planned {LOOKS}",
                    "quarter": [f"{2024 + t // 4}Q{t % 4 + 1}" for t in look],
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def seconds(call: Callable[[], object], *, rounds: int) -> float:
    """Median wall time of a call."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> int:
    """Time both; 1 if a limit did not hold."""
    table, one = effects(500, 40), effects(1, 200).drop(columns=["looks", "quarter"])
    combine(one)
    judged = seconds(lambda: judge_links(table, slots=600), rounds=3)
    combined = 1000 * seconds(lambda: combine(one), rounds=21)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load}, peak {peak_megabytes():.0f} MB\n")
    print("| asked | measured | must |\n|---|---|---|")
    print(f"| 500 links x 40 experiments x {LOOKS} looks | {judged:.1f} s | {JUDGE_SECONDS:.0f} s |")
    print(f"| combine 200 experiments | {combined:.1f} ms | {COMBINE_MILLISECONDS:.0f} ms |")
    return int(judged > JUDGE_SECONDS or combined > COMBINE_MILLISECONDS)


if __name__ == "__main__":
    sys.exit(main())
