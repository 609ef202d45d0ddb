"""The data of the benchmarks: the same values for the same number of rows, on any machine and number of threads."""
# ruff: noqa: PLC0415, S608 - the measured processes import only what they measure; the queries are ours

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METRICS = ["converted", "orders", "items", "visits", "nps", "revenue", "margin", "turnaround"]
ADJUSTED = ["orders", "items", "visits", "revenue", "turnaround"]
PLAIN = [name for name in METRICS if name not in ADJUSTED]
RATIOS = [("items", "visits"), ("revenue", "orders")]
BEFORE = [f"pre_{name}" for name in ADJUSTED]
PAIRS = [
    *((name, name) for name in [*METRICS, *BEFORE]),
    *((name, f"pre_{name}") for name in ADJUSTED),
    *RATIOS,
]
KPIS = ["converted", "orders", "items", "visits", "nps", "revenue"]
CPIS = ["turnaround", "margin"]
WEEKS = 26
SCREENED_CPIS = [f"cpi_{at}" for at in range(20)]
LAGS = 3
LAGGED = [f"{name}_lag{lag}" for name in SCREENED_CPIS for lag in range(LAGS)]
SCREENED_KPIS = [f"kpi_{at}" for at in range(15)]

# -- as SQL: row i, hashes for chance --------------------------------------------------------------------------------

_TRIAL = """
SELECT *, round(greatest(turnaround + chance_9 * 8 - 4, 0e0), 2) AS pre_turnaround FROM (
  SELECT (hash(i) % 2)::TINYINT AS arm, (hash(i * 7 + 1) % 8)::TINYINT AS segment, (i % 26)::TINYINT AS week,
    (i // 100)::INTEGER AS site, (hash((i // 100) * 3 + 1) % 2)::TINYINT AS site_arm,
    (hash(i * 3) % 1000 < 400 + 10 * (hash(i) % 2)::INT + 15 * (hash((i // 100) * 3 + 1) % 2)::INT)::TINYINT
      AS converted,
    (hash(i * 5) % 7 + (hash(i * 53) % 20 < hash(i) % 2)::INT)::SMALLINT AS orders,
    (hash(i * 11) % 20)::SMALLINT AS items, (1 + hash(i * 13) % 30)::SMALLINT AS visits,
    (((hash(i * 17) % 3)::INT - 1) * 100)::SMALLINT AS nps,
    round(exp((hash(i * 19) % 1000000) / 250000e0 + 1) * (1 + 0.01e0 * (hash(i) % 2)), 2) AS revenue,
    round((hash(i * 23) % 1000000) / 10000e0 + (hash((i // 100) * 3 + 1) % 2), 2) AS margin,
    (hash(i * 29) % 1000000) / 25000e0 + 3 - 2e0 * (hash((i // 100) * 3 + 1) % 2) + (hash(i // 100) % 8) / 4e0
      AS turnaround,
    (hash(i * 5) % 7 + hash(i * 31) % 3)::SMALLINT AS pre_orders,
    (hash(i * 11) % 20 + hash(i * 37) % 4)::SMALLINT AS pre_items,
    (1 + hash(i * 13) % 30 + hash(i * 41) % 3)::SMALLINT AS pre_visits,
    round(exp((hash(i * 19) % 1000000) / 250000e0 + 1) + (hash(i * 43) % 1000) / 100e0, 2) AS pre_revenue,
    (hash(i * 47) % 1000) / 1000e0 AS chance_9
  FROM range({start}, {stop}) AS t(i)
)
"""

_PANEL = """
SELECT customer, week, hours, 0.5e0 * hash(customer * 7 + 3) / 1.8446744073709552e19 - 0.02e0 * hours
    + 0.01e0 * week + hash(i * 61) / 1.8446744073709552e19 AS won
FROM (
  SELECT i, (i // 26)::INTEGER AS customer, (i % 26)::TINYINT AS week,
    20 + 4e0 * hash(i * 59) / 1.8446744073709552e19 + 3e0 * hash((i // 26) * 5 + 2) / 1.8446744073709552e19
      + 0.05e0 * (i % 26) AS hours
  FROM range({rows} * 10 // 7) AS t(i) WHERE hash(i * 67) % 10 < 7
)
"""


def _screen_sql(rows: int) -> str:
    noise = "hash(i * 151 + {}) / 1.8446744073709552e19"
    cpis = [f"{noise.format(at)} AS {name}" for at, name in enumerate(LAGGED)]
    kpis = [
        f"{noise.format(at + 71)} + 0.05e0 * {noise.format(at * LAGS)} AS {name}"
        for at, name in enumerate(SCREENED_KPIS)
    ]
    return f"SELECT (hash(i) % 8)::TINYINT AS segment, {', '.join([*cpis, *kpis])} FROM range({rows}) AS t(i)"


def _copy(sql: str, path: Path) -> None:
    import duckdb

    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(".part")
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(f"COPY ({sql}) TO '{made}' (FORMAT parquet, COMPRESSION zstd)")
    made.rename(path)


def write_trial(folder: Path, rows: int) -> None:
    """Units of a trial with 17 columns; sites of 100 units are the clusters."""
    _copy(_TRIAL.format(start=0, stop=rows), folder / "trial.parquet")


def write_panel(folder: Path, rows: int) -> None:
    """Customers by week, about three tenths of the weeks missing."""
    _copy(_PANEL.format(rows=rows), folder / "panel.parquet")


def write_screen(folder: Path, rows: int) -> None:
    """75 real columns and a segment."""
    _copy(_screen_sql(rows), folder / "screen.parquet")


def write_weeks(folder: Path, rows: int) -> None:
    """The rows of the trial in one file a week, and the moments of all weeks but the last."""
    from doors import all_weeks

    each = rows // WEEKS
    for week in range(WEEKS):
        name = f"week_{week:02d}.parquet"
        place = folder / "weeks" / name if week < WEEKS - 1 else folder / "new" / name
        _copy(_TRIAL.format(start=week * each, stop=(week + 1) * each), place)
    all_weeks(folder)
    shutil.copytree(folder / "moments", folder / "moments_of_old_weeks")
    (folder / "new" / f"week_{WEEKS - 1:02d}.parquet").rename(folder / "weeks" / f"week_{WEEKS - 1:02d}.parquet")


def forget_new_week(folder: Path) -> None:
    """Put the saved moments back to where the last week is new."""
    shutil.rmtree(folder / "moments", ignore_errors=True)
    shutil.copytree(folder / "moments_of_old_weeks", folder / "moments")


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "trial": write_trial,
    "panel": write_panel,
    "screen": write_screen,
    "weeks": write_weeks,
}
