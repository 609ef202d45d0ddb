"""The work of the product, one function a case: a folder of data in, numbers out."""
# ruff: noqa: PLC0415 - the measured processes import only what they measure

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from tables import (
    ADJUSTED,
    BEFORE,
    CPIS,
    KPIS,
    LAGGED,
    METRICS,
    PAIRS,
    PLAIN,
    RATIOS,
    SCREENED_KPIS,
    WEEKS,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Numbers = dict[str, float]
COLUMNS = [*METRICS, *BEFORE]


def _compare_all(moments: Any, *, label: str = "") -> Numbers:  # noqa: ANN401 - moments of the product
    """Effects of 8 metrics, 5 with CUPED, and 2 ratios, and the sample ratio, from moments."""
    from cpi_experiments import Ratio, compare

    found = compare(moments, arm="arm", control=0, outcomes=[*PLAIN, *(Ratio(*each) for each in RATIOS)])
    numbers = {f"{label}sample_ratio.p": found.integrity.p_value}
    adjusted = (compare(moments, arm="arm", control=0, outcomes=y, covariates=f"pre_{y}") for y in ADJUSTED)
    for effect in (effect for table in (found, *adjusted) for effect in table.effects):
        name = effect.estimate.outcome.replace(" ", "")
        numbers[f"{label}{name}.effect"] = effect.estimate.value
        numbers[f"{label}{name}.se"] = effect.estimate.std_error
        total = effect.control_mean * effect.n_control + effect.treatment_mean * effect.n_treatment
        if "/" not in name:
            numbers[f"{label}{name}.total"] = total
    return numbers


def compare(folder: Path) -> Numbers:
    """8 metrics, 5 of them with CUPED, 2 ratios and the sample ratio, from one scan."""
    from cpi_experiments.measure.moments.gather import gather

    return _compare_all(gather(folder / "trial.parquet", COLUMNS, by=["arm"], pairs=PAIRS))


def compare_by_segment_and_week(folder: Path) -> Numbers:
    """The same, gathered by 8 segments and 26 weeks: all together and every segment."""
    from cpi_experiments.measure.moments.gather import gather

    fine = gather(folder / "trial.parquet", COLUMNS, by=["arm", "segment", "week"], pairs=PAIRS)
    numbers = _compare_all(fine.roll_up(["arm"]))
    for segment, part in fine.split("segment").items():
        numbers |= _compare_all(part.roll_up(["arm"]), label=f"segment_{segment}.")
    return numbers


def _link_numbers(link: Any) -> Numbers:  # noqa: ANN401 - a result of the product
    name = f"{link.estimate.cause}->{link.estimate.outcome}"
    numbers = {
        f"{name}.effect": link.estimate.value,
        f"{name}.se": link.estimate.std_error,
    }
    return numbers | {f"{name}.ar_{end}": value for end, value in zip(("low", "high"), link.ar_set[0], strict=True)}


def link(folder: Path) -> Numbers:
    """One CPI and one KPI, sites randomised, with the Anderson-Rubin set."""
    from cpi_experiments import link_effect

    found = link_effect(
        folder / "trial.parquet", cpi="turnaround", kpi="converted", arm="site_arm", control=0, cluster="site"
    )
    return _link_numbers(found)


def links(folder: Path) -> Numbers:
    """6 KPIs and 2 CPIs from the same moments."""
    from cpi_experiments import link_effect
    from cpi_experiments.measure.moments.gather import gather
    from cpi_experiments.randomized.links.link_effect import link_pairs

    pairs = link_pairs([(cpi, kpi) for cpi in CPIS for kpi in KPIS], [], clustered=True)
    moments = gather(folder / "trial.parquet", [*CPIS, *KPIS], by=["site_arm", "site"], pairs=pairs)
    numbers: Numbers = {}
    for cpi in CPIS:
        found = link_effect(moments, cpi=cpi, kpi=KPIS, arm="site_arm", control=0, cluster="site")
        for each in found.effects:
            numbers |= _link_numbers(each)
    return numbers


def panel(folder: Path) -> Numbers:
    """The slope within customers and weeks, clustered by customer."""
    from cpi_experiments import association

    found = association(folder / "panel.parquet", cpi="hours", kpi="won", unit="customer", time="week")
    return {"hours->won.effect": found.value, "hours->won.se": found.std_error}


def screen(folder: Path) -> Numbers:
    """7,200 slopes: 20 CPIs at 3 lags, 15 KPIs, 8 segments; those of the first CPI and their number come back."""
    from cpi_experiments.observational.screen import screen as screen_all

    cells = screen_all(folder / "screen.parquet", cpis=LAGGED, kpis=SCREENED_KPIS, by=["segment"]).cells
    numbers = {"cells.count": float(len(cells["cpi"]))}
    for at in np.flatnonzero(cells["cpi"] == LAGGED[0]):
        name = f"{cells['kpi'][at]}.{int(cells['segment'][at])}"
        numbers[f"{name}.effect"] = float(cells["slope"][at])
        numbers[f"{name}.se"] = float(cells["std_error"][at])
    return numbers


def saved(folder: Path) -> Numbers:
    """Another metric set and a segment on saved moments; the time is that of the analysis alone."""
    from cpi_experiments.measure.moments.gather import gather
    from cpi_experiments.measure.moments.store import load_moments, save_moments

    place = folder / "saved.npz"
    if not place.exists():
        columns, keys = COLUMNS, ["arm", "segment", "week"]
        save_moments(gather(folder / "trial.parquet", columns, by=keys, pairs=PAIRS), place)
    loaded = load_moments(place)
    _compare_all(loaded.roll_up(["arm"]))  # imports what it needs
    numbers: Numbers = {}
    for name, work in _further(loaded).items():
        started = time.perf_counter()
        found = work()
        numbers[f"{name}.ms"] = 1000 * (time.perf_counter() - started)
        numbers |= found
    numbers["load.ms"] = _milliseconds(lambda: load_moments(place))
    numbers["wall"] = max(value for key, value in numbers.items() if key.endswith(".ms")) / 1000
    return numbers


def _further(moments: Any) -> dict[str, Callable[[], Numbers]]:  # noqa: ANN401 - moments of the product
    from cpi_experiments import compare as compare_arms

    def one_metric() -> Numbers:
        found = compare_arms(moments.roll_up(["arm"]), arm="arm", control=0, outcomes="margin")["margin"].estimate
        return {"margin.effect": found.value, "margin.se": found.std_error}

    def adjusted() -> Numbers:
        found = compare_arms(
            moments.roll_up(["arm"]), arm="arm", control=0, outcomes="orders", covariates="pre_orders"
        )["orders"].estimate
        return {"orders.effect": found.value, "orders.se": found.std_error}

    def segment() -> Numbers:
        part = moments.where({"segment": 3}).roll_up(["arm"])
        found = compare_arms(part, arm="arm", control=0, outcomes="revenue", covariates="pre_revenue")
        estimate = found["revenue"].estimate
        return {"segment_3.revenue.effect": estimate.value, "segment_3.revenue.se": estimate.std_error}

    return {"metric": one_metric, "adjusted": adjusted, "segment": segment}


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def all_weeks(folder: Path) -> Any:  # noqa: ANN401 - moments of the product
    """Gather the weeks that are there, looking only at files whose moments are not saved."""
    from cpi_experiments.measure.moments.store import gather_files

    return gather_files(str(folder / "weeks" / "*.parquet"), COLUMNS, store=folder / "moments", by=["arm"], pairs=PAIRS)


def new_week(folder: Path) -> Numbers:
    """All weeks, of which one is new: its file is scanned, the saved moments of the others are added."""
    return _compare_all(all_weeks(folder))


def new_week_alone(folder: Path) -> Numbers:
    """The new week without the others: what its own scan and estimates cost."""
    from cpi_experiments.measure.moments.gather import gather

    file = folder / "weeks" / f"week_{WEEKS - 1:02d}.parquet"
    return _compare_all(gather(file, COLUMNS, by=["arm"], pairs=PAIRS))
