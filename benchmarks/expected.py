"""The same numbers by numpy from the rows, by other formulas: what every case has to agree with."""
# ruff: noqa: PLC0415, S608 - the measured processes import only what they measure; the queries are ours

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tables import ADJUSTED, CPIS, KPIS, LAGGED, METRICS, PLAIN, RATIOS, SCREENED_KPIS

if TYPE_CHECKING:
    from pathlib import Path

Array = np.ndarray
Numbers = dict[str, float]


def _read(path: object, columns: list[str] | None = None) -> dict[str, Array]:
    import duckdb

    listed = ", ".join(columns or ["*"])
    found = duckdb.connect().execute(f"SELECT {listed} FROM read_parquet('{path}')").fetchnumpy()
    return {name: np.asarray(values, dtype=float) for name, values in found.items()}


def _compare_all(rows: dict[str, Array], *, label: str = "") -> Numbers:
    from math import erfc, sqrt

    new = rows["arm"] == 1
    n = np.array([np.count_nonzero(~new), np.count_nonzero(new)])
    numbers = {f"{label}sample_ratio.p": erfc(abs(n[1] - n[0]) / sqrt(n.sum()) / sqrt(2))}
    for name in METRICS:
        y = rows[name]
        numbers[f"{label}{name}.total"] = float(y.sum())
        if name in ADJUSTED:
            x = rows[f"pre_{name}"]
            y = y - np.cov(y, x)[0, 1] / x.var(ddof=1) * (x - x.mean())
        _welch(numbers, f"{label}{name}", y[~new], y[new])
    for top, bottom in RATIOS:
        values = []
        for arm in (~new, new):
            u, v = rows[top][arm], rows[bottom][arm]
            values.append(u.mean() / v.mean() + (u - u.mean() / v.mean() * v) / v.mean())
        _welch(numbers, f"{label}{top}/{bottom}", *values)
    assert len(PLAIN) + len(ADJUSTED) == len(METRICS)  # noqa: S101 - every metric once
    return numbers


def _welch(numbers: Numbers, name: str, old: Array, new: Array) -> None:
    numbers[f"{name}.effect"] = float(new.mean() - old.mean())
    numbers[f"{name}.se"] = float(np.sqrt(new.var(ddof=1) / len(new) + old.var(ddof=1) / len(old)))


def compare(folder: Path) -> Numbers:
    """Welch, CUPED by `numpy.cov`, ratios by their linear form."""
    return _compare_all(_read(folder / "trial.parquet"))


def compare_by_segment_and_week(folder: Path) -> Numbers:
    """All together and every segment by itself."""
    rows = _read(folder / "trial.parquet")
    numbers = _compare_all(rows)
    for segment in range(8):
        mine = rows["segment"] == segment
        numbers |= _compare_all({name: each[mine] for name, each in rows.items()}, label=f"segment_{segment}.")
    return numbers


def _link(rows: dict[str, Array], cpi: str, kpi: str) -> Numbers:
    """The ratio of effects; its error by leaving out one site at a time (the delta method on those effects)."""
    site = rows["site"].astype(int)
    arm = np.bincount(site, rows["site_arm"]) / np.bincount(site) > 0.5
    size = np.bincount(site).astype(float)
    left = []
    whole = []
    for name in (cpi, kpi):
        total = np.bincount(site, rows[name])
        means, without = [], np.zeros((2, len(size)))
        for j, mine in enumerate((~arm, arm)):
            s, n = total[mine].sum(), size[mine].sum()
            means.append(s / n)
            without[j] = s / n
            without[j, mine] = (s - total[mine]) / (n - size[mine])
        whole.append(means[1] - means[0])
        left.append(without[1] - without[0])
    slope = whole[1] / whole[0]
    moved = (np.array(left) - np.array(whole)[:, None]).T @ np.array([-slope, 1.0]) / whole[0]
    share = np.where(arm, 1 - 1 / arm.sum(), 1 - 1 / (~arm).sum())
    return {f"{cpi}->{kpi}.effect": float(slope), f"{cpi}->{kpi}.se": float(np.sqrt(np.sum(share * moved**2)))}


def link(folder: Path) -> Numbers:
    """One CPI and one KPI."""
    rows = _read(folder / "trial.parquet", ["site", "site_arm", CPIS[0], KPIS[0]])
    return _link(rows, CPIS[0], KPIS[0])


def links(folder: Path) -> Numbers:
    """Every pair of 2 CPIs and 6 KPIs."""
    rows = _read(folder / "trial.parquet", ["site", "site_arm", *CPIS, *KPIS])
    numbers: Numbers = {}
    for cpi in CPIS:
        for kpi in KPIS:
            numbers |= _link(rows, cpi, kpi)
    return numbers


def panel(folder: Path) -> Numbers:
    """Demean by customer and week in turn until nothing moves; sandwich by customer with Stata's factor."""
    rows = _read(folder / "panel.parquet")
    customer = np.unique(rows["customer"], return_inverse=True)[1]
    week = rows["week"].astype(int)
    alone = np.bincount(customer)[customer] == 1
    customer, week = np.unique(customer[~alone], return_inverse=True)[1], week[~alone]
    x, y = (_demeaned(rows[name][~alone], customer, week) for name in ("hours", "won"))
    slope = float(x @ y / (x @ x))
    scores = np.bincount(customer, x * (y - slope * x))
    groups, n = len(scores), len(x)
    k = 1 + 26  # the slope, the weeks and the constant; customers are nested in the clusters
    factor = groups / (groups - 1) * (n - 1) / (n - k)
    return {"hours->won.effect": slope, "hours->won.se": float(np.sqrt(factor * scores @ scores) / (x @ x))}


def _demeaned(values: Array, *groups: Array) -> Array:
    for _ in range(1000):
        before = values
        for group in groups:
            values = values - (np.bincount(group, values) / np.bincount(group))[group]
        if np.abs(values - before).max() <= 1e-15:
            return values
    raise ArithmeticError("the group means did not settle")


def screen(folder: Path) -> Numbers:
    """Slopes of the first CPI by `numpy.polyfit`, with errors of least squares."""
    rows = _read(folder / "screen.parquet", ["segment", LAGGED[0], *SCREENED_KPIS])
    numbers: Numbers = {"cells.count": float(len(LAGGED) * len(SCREENED_KPIS) * 8)}
    for segment in range(8):
        mine = rows["segment"] == segment
        for kpi in SCREENED_KPIS:
            fitted, cov = np.polyfit(rows[LAGGED[0]][mine], rows[kpi][mine], 1, cov=True)
            numbers[f"{kpi}.{segment}.effect"] = float(fitted[0])
            numbers[f"{kpi}.{segment}.se"] = float(np.sqrt(cov[0, 0]))
    return numbers


def saved(folder: Path) -> Numbers:
    """Some of the numbers of `compare_by_segment_and_week`."""
    rows = _read(folder / "trial.parquet")
    numbers = _compare_all(rows)
    mine = rows["segment"] == 3
    numbers |= _compare_all({name: each[mine] for name, each in rows.items()}, label="segment_3.")
    wanted = ("margin", "orders", "segment_3.revenue")
    return {f"{name}.{part}": numbers[f"{name}.{part}"] for name in wanted for part in ("effect", "se")}


def new_week(folder: Path) -> Numbers:
    """All weeks in one."""
    return _compare_all(_read(folder / "weeks" / "*.parquet"))
