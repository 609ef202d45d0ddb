"""The floor: DuckDB sums the columns that a case needs, and nothing else."""
# ruff: noqa: PLC0415, S608 - the measured processes import only what they measure; the queries are ours

from __future__ import annotations

from typing import TYPE_CHECKING

from tables import BEFORE, LAGGED, METRICS, SCREENED_KPIS, WEEKS

if TYPE_CHECKING:
    from pathlib import Path


def _sums(path: Path, columns: list[str]) -> dict[str, float]:
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET enable_progress_bar = false")
    listed = ", ".join(f"sum({name})" for name in columns)
    row = connection.execute(f"SELECT {listed} FROM read_parquet('{path}')").fetchall()[0]
    return {f"{name}.total": float(total) for name, total in zip(columns, row, strict=True) if name in METRICS}


def trial(folder: Path) -> dict[str, float]:
    """The 13 metric columns."""
    return _sums(folder / "trial.parquet", [*METRICS, *BEFORE])


def link(folder: Path) -> dict[str, float]:
    """Arm, cluster, CPI and KPI."""
    return _sums(folder / "trial.parquet", ["site_arm", "site", "turnaround", "converted"])


def panel(folder: Path) -> dict[str, float]:
    """Customer, week, CPI and KPI."""
    return _sums(folder / "panel.parquet", ["customer", "week", "hours", "won"])


def screen(folder: Path) -> dict[str, float]:
    """75 columns and the segment."""
    return _sums(folder / "screen.parquet", ["segment", *LAGGED, *SCREENED_KPIS])


def new_week(folder: Path) -> dict[str, float]:
    """The 13 metric columns of the last week."""
    return _sums(folder / "weeks" / f"week_{WEEKS - 1:02d}.parquet", [*METRICS, *BEFORE])
