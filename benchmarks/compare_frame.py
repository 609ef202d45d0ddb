"""How long `compare` takes on a DataFrame in memory beside the bare pandas group means of the same columns.

``python benchmarks/compare_frame.py`` prints a table in Markdown: a million rows, eight outcomes, a row for every kind
of arm column and for what can be asked besides. Both run in turn in one process with one thread for linear algebra;
figures are ratios of medians. Whoever's means disagree fails the run.
"""

from __future__ import annotations

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

import argparse
import math
import platform
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from work import peak_megabytes

from cpi_experiments import Mean, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MUST = 3.0
OUTCOMES = [f"y{at}" for at in range(8)]
HEAD = "| asked | arm column | pandas ms | compare ms | ratio | must | |\n" + "|---" * 7 + "|"
ASKED: dict[str, dict[str, Any]] = {
    "8 means": {},
    "8 means, Holm, margins": {"correction": "holm", "margin": 0.1, "equivalence": 0.1},
    "8 means, one covariate": {"covariates": "before"},
    "8 means, Lin": {"covariates": "before", "adjustment": "lin"},
    "8 means by 4 regions": {"by": "region"},
    "8 means capped at 5": {"outcomes": [Mean(name, cap=5) for name in OUTCOMES]},
}


def main(arguments: Sequence[str]) -> int:
    """Run every kind of question; 1 if the one that must hold did not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args(arguments)
    frame = trial(asked.rows)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"{asked.rows:,} rows, pandas {pd.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, "
          f"load {load} at the start\n\n{HEAD}")  # fmt: skip
    held, before = True, peak_megabytes()
    for words, call in ASKED.items():
        for kind in KINDS if not call else ["text"]:
            rows = frame.assign(arm=KINDS[kind](frame["arm"]))
            bare, ours = both(rows, call, rounds=asked.rounds)
            value, must = ours / bare, not call and kind == "text"
            held &= not must or value <= MUST
            mark = ("yes" if value <= MUST else "**missed**") if must else ""
            bound = f"≤ {MUST:g}" if must else ""
            print(
                f"| {words} | {kind} | {1000 * bare:.0f} | {1000 * ours:.0f} | {value:.2f} | {bound} | {mark} |",
                flush=True,
            )
    print(
        f"\npeak {peak_megabytes():.0f} MB, {peak_megabytes() - before:.0f} MB above that of the frame and the imports"
    )
    return 0 if held else 1


def trial(rows: int) -> pd.DataFrame:
    """Half counts, half reals; a covariate and a region."""
    rng = np.random.default_rng(1)
    arm = np.where(rng.random(rows) < 0.5, "control", "treatment")
    before = rng.normal(size=rows)
    values = {
        name: rng.poisson(3, rows) if at % 2 else rng.normal(5, 2, rows) + 0.5 * before
        for at, name in enumerate(OUTCOMES)
    }
    region = np.array(["north", "south", "east", "west"])[rng.integers(0, 4, rows)]
    return pd.DataFrame({"arm": arm, "before": before, "region": region, **values})


def _as_numbers(arm: pd.Series[Any]) -> pd.Series[Any]:
    return (arm == "treatment").astype(int)


KINDS: dict[str, Callable[[Any], Any]] = {
    "text": lambda arm: arm,
    "object": lambda arm: arm.astype(object),
    "category": lambda arm: arm.astype("category"),
    "whole numbers": _as_numbers,
}


def both(frame: pd.DataFrame, call: dict[str, Any], *, rounds: int) -> tuple[float, float]:
    """Median seconds of pandas and of the door, in turn, after one round that does not count."""
    control = min(frame["arm"].unique(), key=str)
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        started = time.perf_counter()
        means = frame.groupby("arm", observed=True)[OUTCOMES].mean()
        took[0].append(time.perf_counter() - started)
        started = time.perf_counter()
        found = compare(frame, arm="arm", control=control, **{"outcomes": OUTCOMES, **call})
        took[1].append(time.perf_counter() - started)
    if "outcomes" not in call:
        check(found, means)
    return statistics.median(took[0][1:]), statistics.median(took[1][1:])


def check(found: Any, means: pd.DataFrame) -> None:  # noqa: ANN401 - a comparison of the product
    """Refuse means that differ.

    Raises
    ------
    ValueError
        Naming the outcome.
    """
    for effect in found.effects:
        name = effect.estimate.outcome
        for label, ours in ((effect.control, effect.control_mean), (effect.arm, effect.treatment_mean)):
            if not math.isclose(ours, means.loc[label, name], rel_tol=1e-11):
                raise ValueError(f"the mean of {name} in {label} is {ours!r}, pandas says {means.loc[label, name]!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
