"""Published numbers of experiments: `experiment_cases.json`, one tolerance a quantity, data with exactly those moments."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.comparison import Comparison
from cpi_experiments.randomized.effects.outcomes import Ratio
from cpi_experiments.randomized.integrity.sample_ratio import sample_ratio
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.stats.counts import sample_ratio_test
from cpi_experiments.stats.multiplicity import adjusted_p_values
from cpi_experiments.stats.planning import power as power_module
from cpi_experiments.stats.student import interval, p_value, quantile, satterthwaite

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
    found = compare(frame, **{"arm": "arm", **call, "outcomes": outcome})
    table = found.to_frame()
    assert len(table) == 1
    row = table.iloc[0].to_dict()
    return row | {"t_statistic": row["effect"] / row["std_error"]} | by_their_conventions(frame, row, found, call)


def by_their_conventions(frame: pd.DataFrame, row: dict[str, Any], found: Comparison, call: dict[str, Any]) -> dict:
    """What peers report from the same estimate and standard error: tests of relative effects, other quantiles."""
    if call.get("relative_scale") != "linear" and call.get("test") != "z":
        return {}
    df = found.effects[0].estimate.df
    level = 0.95 if call.get("alternative") == "greater" else 0.975
    linear = call.get("relative_scale") == "linear"
    rel = (row["rel_effect"] - row["rel_ci_low"]) / quantile(level, df) if linear else np.nan
    arms = [frame.loc[frame["arm"] == each, "y"] for each in ("A", "B")]
    n = np.array([len(each) for each in arms])
    welch = satterthwaite(np.array([each.var(ddof=0) for each in arms]) / n, n - 1)
    t, z = row["rel_effect"] / rel, row["effect"] / row["std_error"]
    rel_welch = interval(row["rel_effect"], rel, welch)
    rel_normal = interval(row["rel_effect"], rel, np.inf)
    return {
        "rel_std_error": rel,
        "rel_p_value": p_value(t, df),
        "rel_p_value_greater": p_value(t, df, alternative="greater"),
        "p_value_welch": p_value(z, welch),
        "rel_p_value_welch": p_value(t, welch),
        "rel_ci_low_welch": rel_welch[0],
        "rel_ci_high_welch": rel_welch[1],
        "rel_ci_low_normal": rel_normal[0],
        "rel_ci_high_normal": rel_normal[1],
        "rel_chance_above_zero": 1 - p_value(t, np.inf, alternative="greater"),
    }


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


def of_shares(arms: list[dict[str, Any]]) -> pd.DataFrame:
    values = [np.repeat([1.0, 0.0], [arm["successes"], arm["n"] - arm["successes"]]) for arm in arms]
    return pd.concat([pd.DataFrame({"arm": arm["label"], "y": y}) for arm, y in zip(arms, values, strict=True)])


@pytest.mark.parametrize("case", CASES["shares"], ids=lambda case: case["id"])
def test_shares_of_peers_are_met(case: dict[str, Any]) -> None:
    table = compare(of_shares(case["arms"]), arm="arm", outcomes="y", **case["call"]).to_frame().set_index("arm")
    for expected in case["expected"]:
        found = table.loc[expected["arm"], expected["quantity"]]
        assert found == pytest.approx(expected["value"], rel=expected["rtol"], abs=0), expected


def test_a_relative_margin_counts_the_uncertainty_of_the_control_on_purpose() -> None:
    """Ours tests treatment - 0.95 control; a margin of 5 % of a share that is taken as known is a little narrower."""
    case = next(case for case in CASES["shares"] if case["id"] == "S2")
    call = {**case["call"], "margin": 0.05, "margin_scale": "relative"}
    row = compare(of_shares(case["arms"]), arm="arm", outcomes="y", **call).to_frame().iloc[0]
    z = (0.5 - 0.95 * 0.4) / np.sqrt(0.25 / 100 + 0.95**2 * 0.24 / 100)
    assert row["margin_p"] == pytest.approx(p_value(z, np.inf, alternative="greater"), rel=1e-10)
    assert row["margin_p"] != pytest.approx(0.043238132746832816, rel=1e-3)


@pytest.mark.parametrize("case", CASES["corrections"], ids=lambda case: case["id"])
def test_corrections_of_peers_are_met(case: dict[str, Any]) -> None:
    found = adjusted_p_values(np.array(case["p_values"]), correction=case["correction"])
    assert found.tolist() == pytest.approx(case["adjusted"], rel=case["rtol"])


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
