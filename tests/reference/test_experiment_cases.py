"""Published numbers of experiments: `experiment_cases.json`, one tolerance a quantity, data with exactly those moments."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.randomized.compare import compare
from cpi_experiments.randomized.integrity.sample_ratio import sample_ratio
from cpi_experiments.randomized.link_effect import link_effect
from cpi_experiments.randomized.outcomes import Ratio
from cpi_experiments.stats import power as power_module
from cpi_experiments.stats.counts import sample_ratio_test

CASES = json.loads((Path(__file__).parent / "experiment_cases.json").read_text(encoding="utf-8"))
SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def with_moments(arm: dict[str, Any], columns: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """Rows of one arm whose sample means and covariances are exactly those given (up to rounding)."""
    if "values" in arm:
        return pd.DataFrame({"arm": arm["label"], columns[0]: np.array(arm["values"], dtype=float)})
    n = arm["n"]
    if "sum" in arm:
        total = np.array(arm["sum"])
        mean, cov = total / n, (np.array(arm["cross"]) - np.outer(total, total) / n) / (n - 1)
    else:
        mean, cov = np.array(arm["mean"]), np.array(arm["cov"])
    z = rng.normal(size=(n, len(mean)))
    for _ in range(2):  # the second pass removes the rounding of the first
        z = z - z.mean(axis=0)
        z = np.linalg.solve(np.linalg.cholesky(np.cov(z.T).reshape(len(mean), -1)), z.T).T
    values = mean + z @ np.linalg.cholesky(cov).T
    return pd.DataFrame({"arm": arm["label"], **dict(zip(columns, values.T, strict=True))})


def public_data(name: str) -> pd.DataFrame:
    if name in ("nhefs", "thornton"):
        causaldata = pytest.importorskip("causaldata")
        if name == "thornton":
            return causaldata.thornton_hiv.load_pandas().data
        frame = causaldata.nhefs_complete.load_pandas().data.dropna(subset=["price82"])
        return frame.assign(high_price=(frame["price82"] >= 1.5).astype(int))
    path = SHARED / ("taxi_cancellation.csv.gz" if name == "taxi" else "cookie_cats.csv.gz")
    if not path.exists():
        pytest.skip(f"{path.name} is not there: its licence does not let it travel with the package")
    frame = pd.read_csv(path)
    if name == "taxi":
        return first_bookings(frame)
    return frame[frame["sum_gamerounds"] < 40_000] if name.endswith("outlier") else frame


def first_bookings(frame: pd.DataFrame) -> pd.DataFrame:
    """First booking of each user, if 60 days could be seen after its pickup, and whether the user then came again."""
    times = {"booked": "booking_created", "pickup": "from_date"}
    frame = frame.assign(
        **{name: pd.to_datetime(frame[column], format="%m/%d/%y %H:%M") for name, column in times.items()}
    )
    frame = frame.sort_values(["booked", "row#"])
    first = frame.drop_duplicates("user_id")
    days = pd.Timedelta(days=60)
    pairs = first.merge(frame[["user_id", "booked", "row#"]], on="user_id", suffixes=("", "_next"))
    later = (pairs["booked_next"] > pairs["pickup"]) & (pairs["booked_next"] <= pairs["pickup"] + days)
    came = pairs.loc[later & (pairs["row#"] != pairs["row#_next"]), "row#"]
    return first.assign(again=first["row#"].isin(came).astype(float))[first["pickup"] <= frame["booked"].max() - days]


def row_of(frame: pd.DataFrame, call: dict[str, Any]) -> dict[str, Any]:
    outcomes = call["outcomes"]
    outcome = Ratio(*outcomes["ratio"]) if isinstance(outcomes, dict) else outcomes
    found = compare(frame, **{"arm": "arm", **call, "outcomes": outcome}).to_frame()
    assert len(found) == 1
    row = found.iloc[0].to_dict()
    return row | {"t_statistic": row["effect"] / row["std_error"]}


@pytest.mark.parametrize("case", CASES["comparisons"], ids=lambda case: case["id"])
def test_comparisons_of_peers_are_met(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(7)
    frame = pd.concat([with_moments(arm, case["columns"], rng) for arm in case["arms"]], ignore_index=True)
    row = row_of(frame, case["call"])
    for expected in case["expected"]:
        found = row[expected["quantity"]]
        assert found == pytest.approx(expected["value"], rel=expected["rtol"], abs=0), expected


def test_one_sided_relative_interval_has_an_infinite_end() -> None:
    case = next(case for case in CASES["comparisons"] if case["id"] == "G4")
    rng = np.random.default_rng(7)
    frame = pd.concat([with_moments(arm, case["columns"], rng) for arm in case["arms"]], ignore_index=True)
    assert row_of(frame, case["call"])["rel_ci_high"] == np.inf


@pytest.mark.parametrize("case", CASES["sample_ratios"], ids=lambda case: str(case["counts"]))
def test_sample_ratios_of_peers_are_met(case: dict[str, Any]) -> None:
    assert sample_ratio_test(case["counts"], case["allocation"])[1] == pytest.approx(case["p_value"], rel=case["rtol"])
    arms = [f"arm {j}" for j in range(len(case["counts"]))]
    counts, weights = (dict(zip(arms, case[key], strict=True)) for key in ("counts", "allocation"))
    assert sample_ratio(counts, weights).p_value == pytest.approx(case["p_value"], rel=case["rtol"])


@pytest.mark.parametrize("case", CASES["power"], ids=lambda case: case["id"])
def test_power_of_peers_is_met(case: dict[str, Any]) -> None:
    options = dict(case["kwargs"])
    std_dev = options.pop("variance") ** 0.5
    found = getattr(power_module, case["function"])(*case["args"], std_dev=std_dev, **options)
    assert found == pytest.approx(case["value"], rel=case["rtol"])


@pytest.mark.parametrize("case", CASES["public"], ids=lambda case: case["id"])
def test_public_experiments_are_met(case: dict[str, Any]) -> None:
    frame = public_data(case["data"])
    if case["door"] == "compare":
        row = row_of(frame, case["call"])
    else:
        estimate = link_effect(frame, **case["call"]).estimate
        row = {"value": estimate.value, "n_obs": estimate.n_obs}
    for expected in case["expected"]:
        assert row[expected["quantity"]] == pytest.approx(expected["value"], rel=expected["rtol"], abs=0), expected


def test_a_weak_instrument_leaves_the_size_open() -> None:
    link = link_effect(public_data("nhefs"), cpi="qsmk", kpi="wt82_71", arm="high_price", control=0)
    assert link.estimate.status.value == "weak"
    assert link.ar_set == ((-np.inf, np.inf),)
    assert link.f_effective < 1
    assert "We cannot tell" in link.sentence
    assert not next(d for d in link.estimate.diagnostics if d.name == "first stage").passed


def test_a_sample_ratio_of_one_percent_warns_but_does_not_block() -> None:
    integrity = compare(
        public_data("cookie_cats"), arm="test_version", control="gate_30", outcomes="retention_7"
    ).integrity
    assert integrity.p_value == pytest.approx(0.0086, rel=5e-3)
    assert not integrity.passed
    assert not integrity.blocks


def test_welch_is_hc2_and_close_to_hc1_on_public_data() -> None:
    sm = pytest.importorskip("statsmodels.api")
    frame = public_data("thornton").dropna(subset=["got", "any"])
    fit = sm.OLS(frame["got"], sm.add_constant(frame["any"]))
    estimate = compare(frame, arm="any", control=0, outcomes="got")["got"].estimate
    assert estimate.std_error == pytest.approx(fit.fit(cov_type="HC2").bse["any"], rel=1e-10)
    hc1 = fit.fit(cov_type="HC1").bse["any"]
    assert hc1 == pytest.approx(0.0208579713, rel=1e-8)
    assert estimate.std_error == pytest.approx(hc1, rel=1e-3)
