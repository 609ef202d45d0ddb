"""The same work by other libraries, each at its best documented way; imports nothing of the product."""
# ruff: noqa: PLC0415, S608 - the measured processes import only what they measure; the queries are ours

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tables import ADJUSTED, CPIS, KPIS, LAGGED, PLAIN, RATIOS, SCREENED_KPIS

if TYPE_CHECKING:
    from pathlib import Path

Numbers = dict[str, float]
#: Fits of statsmodels that are timed; the other fits cost the same each.
TIMED = 24


def tea_tasting(folder: Path) -> Numbers:
    """8 metrics, 5 with CUPED, 2 ratios and the sample ratio, by tea-tasting on DuckDB through Ibis."""
    import ibis
    import tea_tasting as tt

    connection = ibis.duckdb.connect(threads=2)
    data = connection.read_parquet(str(folder / "trial.parquet"))
    metrics: dict[str, Any] = {"sample_ratio": tt.SampleRatio()}
    metrics |= {name: tt.Mean(name) for name in PLAIN}
    metrics |= {name: tt.Mean(name, f"pre_{name}") for name in ADJUSTED}
    metrics |= {f"{top}/{bottom}": tt.RatioOfMeans(top, bottom) for top, bottom in RATIOS}
    found = tt.Experiment(metrics, variant="arm").analyze(data, control=0)
    numbers: Numbers = {}
    for name in metrics:
        result = found[name]
        if name == "sample_ratio":
            numbers["sample_ratio.p"] = float(result.pvalue)
            continue
        numbers[f"{name}.effect"] = float(result.effect_size)
        # its interval and statistic give the standard error
        numbers[f"{name}.se"] = float(result.effect_size / result.statistic)
    return numbers


def linearmodels(folder: Path) -> Numbers:
    """Two-stage least squares of linearmodels, clustered by site."""
    import numpy as np
    from linearmodels.iv import IV2SLS

    rows = _frame(folder / "trial.parquet", ["site", "site_arm", CPIS[0], KPIS[0]])
    fit = IV2SLS(
        rows[KPIS[0]], np.ones((len(rows), 1)), rows[[CPIS[0]]].astype(float), rows[["site_arm"]].astype(float)
    ).fit(cov_type="clustered", clusters=rows["site"], debiased=False)
    name = f"{CPIS[0]}->{KPIS[0]}"
    return {f"{name}.effect": float(fit.params[CPIS[0]]), f"{name}.se": float(fit.std_errors[CPIS[0]])}


def pyfixest(folder: Path) -> Numbers:
    """Two-way fixed effects of pyfixest, clustered by customer."""
    import pyfixest as pf

    rows = _frame(folder / "panel.parquet", ["customer", "week", "hours", "won"])
    fit = pf.feols("won ~ hours | customer + week", data=rows, vcov={"CRV1": "customer"})
    return {"hours->won.effect": float(fit.coef()["hours"]), "hours->won.se": float(fit.se()["hours"])}


def statsmodels(folder: Path) -> Numbers:
    """Least squares of statsmodels, cell by cell; processor time of 24 fits, extrapolated to all 7,200."""
    import statsmodels.api as sm

    rows = _frame(folder / "screen.parquet", ["segment", LAGGED[0], *SCREENED_KPIS])
    fits = [(kpi, segment) for segment in range(8) for kpi in SCREENED_KPIS][:TIMED]
    parts = {segment: part for segment, part in rows.groupby("segment")}  # noqa: C416 - labels to frames
    numbers: Numbers = {}
    busy = time.process_time()
    for kpi, segment in fits:
        part = parts[segment]
        fit = sm.OLS(part[kpi].to_numpy(), sm.add_constant(part[LAGGED[0]].to_numpy())).fit()
        numbers[f"{kpi}.{segment}.effect"] = float(fit.params[1])
        numbers[f"{kpi}.{segment}.se"] = float(fit.bse[1])
    each = (time.process_time() - busy) / len(fits)
    return numbers | {"cpu": each * len(LAGGED) * len(SCREENED_KPIS) * 8}


def _frame(path: Path, columns: list[str]) -> Any:  # noqa: ANN401 - a DataFrame of the rival's pandas
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET enable_progress_bar = false")
    return connection.execute(f"SELECT {', '.join(columns)} FROM '{path}'").df()
