"""The doors take moments instead of rows: the same numbers from every source, and what moments cannot answer."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import CpiError, DataError, DesignError
from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.randomized import trial_moments
from cpi_experiments.randomized.cases import complete
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.outcomes import Ratio, all_pairs
from cpi_experiments.randomized.links.link import LinkEffects
from cpi_experiments.randomized.links.link_effect import link_effect, link_pairs
from cpi_experiments.randomized.trial import read_trial
from cpi_experiments.stats.arm_means import arm_means, means_of_cells
from cpi_experiments.stats.moments import add_moments, moments_of

NUMBERS = ["won", "revenue", "hours", "orders", "visits", "before", "fixed"]
OUTCOMES = ["won", "revenue", Ratio("orders", "visits"), Ratio("revenue", "visits"), "fixed"]
CALLS = (
    {},
    {"covariates": ["before", "fixed"]},
    {"covariates": ["before", "hours"], "strata": ["region"]},
    {"arm": "arm_of_cluster", "cluster": "team"},
    {"cluster": "team", "covariates": ["before"]},
    {"arm": "arm_of_cluster", "cluster": "team", "strata": "half", "covariates": ["before", "hours"]},
    {"unit": "customer", "covariates": ["before"]},
    {"arm": "arm_of_cluster", "cluster": "team", "unit": "team"},
)


@pytest.fixture
def gaps(frame: pd.DataFrame) -> pd.DataFrame:
    """A trial with something missing everywhere, three arms, and customers in several of them."""
    for step, name in ((17, "revenue"), (23, "before"), (29, "arm"), (31, "region"), (37, "customer")):
        frame[name] = frame[name].mask(frame.index % step == 3)
    frame["half"] = (frame.index % 24) // 12
    twice = frame.head(2).assign(arm=frame["arm"].head(2).map({"auto": "manual", "manual": "auto"}))
    frame = pd.concat([frame, twice], ignore_index=True)
    frame.loc[frame.index % 11 == 5, "arm"] = "semi"
    return frame


def keys_of(call: dict) -> list[str]:
    named = [call.get("arm", "arm"), call.get("cluster"), call.get("unit")]
    strata = call.get("strata", [])
    return list(dict.fromkeys(name for name in [*named, *([strata] if isinstance(strata, str) else strata)] if name))


def close(found: Any, expected: Any, *, rel: float = 1e-10) -> bool:
    """Whether two plain results are the same but for the rounding of their numbers."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[k], expected[k], rel=rel) for k in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(close(a, b, rel=rel) for a, b in zip(found, expected, strict=True))
    if isinstance(expected, float) and isinstance(found, float):
        return found == pytest.approx(expected, rel=rel, abs=1e-15, nan_ok=True)
    return bool(found == expected)


def answer(door: Callable[[], Any]) -> Any:
    try:
        return door().to_dict()
    except CpiError as error:
        return {"refused": str(error)}


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_moments_say_what_rows_say(gaps: pd.DataFrame, call: dict) -> None:
    moments = gather(gaps, NUMBERS, by=keys_of(call))
    asked = {"arm": "arm", "control": "manual", "outcomes": OUTCOMES, **call}
    if "fixed" in call.get("covariates", []):
        asked["outcomes"] = OUTCOMES[:-1]
    rows = compare(gaps, **asked)
    assert close(compare(moments, **asked).to_dict(), rows.to_dict())
    assert rows["won", "auto"].estimate.status.value == "ok"


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_links_from_moments_are_those_from_rows(gaps: pd.DataFrame, call: dict) -> None:
    two = gaps[gaps["arm"] != "semi"]
    kpis = ["won", "revenue"] if "fixed" in call.get("covariates", []) else ["won", "revenue", "fixed"]
    asked = {"arm": "arm", "control": "manual", "cpi": "visits", "kpi": kpis, **call}
    moments = gather(two, NUMBERS, by=keys_of(call))
    rows = link_effect(two, **asked)
    assert close(link_effect(moments, **asked).to_dict(), rows.to_dict())
    assert rows["won"].estimate.n_obs > 100


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_an_engine_says_what_arrays_say(
    gaps: pd.DataFrame, call: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"arm": "arm", "control": "manual", "outcomes": ["won", "revenue"], **call}
    arrays = answer(lambda: compare(gaps, **asked))
    duckdb.from_df(gaps).write_parquet(str(tmp_path / "trial.parquet"))
    assert close(answer(lambda: compare(tmp_path / "trial.parquet", **asked)), arrays)
    monkeypatch.setattr(trial_moments, "SMALL", 10)
    assert close(answer(lambda: compare(gaps, **asked)), arrays)


@pytest.mark.parametrize("rows", [10, 1000])
def test_units_with_several_rows_are_refused_by_engines_and_arrays(
    frame: pd.DataFrame, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_moments, "SMALL", rows)
    frame["arm"] = frame["arm_of_cluster"]
    with pytest.raises(DataError, match="24 units have more than one row"):
        compare(frame, arm="arm", control="manual", outcomes="won", unit="team")
    with pytest.raises(DataError, match="holds no unit at all"):
        compare(frame.assign(nobody=np.nan), arm="arm", control="manual", outcomes="won", unit="nobody")


def test_without_units_in_several_arms_an_engine_gives_no_unit_away(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_moments, "SMALL", 10)
    trial = read_trial(frame, numbers=["won"], arm="arm", control="manual", unit="customer")
    assert len(trial.moments) == 2
    assert "240 units" not in trial.diagnostics[0].advice
    assert trial.diagnostics[0].passed


# -- keys ------------------------------------------------------------------------------------------------------------


def test_keys_that_are_not_asked_for_are_added_up_and_segments_come_from_the_same_moments(frame: pd.DataFrame) -> None:
    frame["week"] = frame.index % 5
    moments = gather(frame, ["revenue", "before"], by=["arm", "region", "week"])
    call = {"arm": "arm", "control": "manual", "outcomes": "revenue", "covariates": "before"}
    assert close(compare(moments, **call).to_dict(), compare(frame, **call).to_dict())
    for label, part in moments.split("region").items():
        assert close(compare(part, **call).to_dict(), compare(frame[frame["region"] == label], **call).to_dict())
    strata = {**call, "strata": "region"}
    assert close(compare(moments, **strata).to_dict(), compare(frame, **strata).to_dict())


def test_a_new_week_is_added_without_the_old_rows(frame: pd.DataFrame) -> None:
    call = {"cpi": "hours", "kpi": "revenue", "arm": "arm", "control": "manual", "covariates": ["before"]}
    parts = [gather(part, ["hours", "revenue", "before"], by=["arm"]) for part in (frame[:150], frame[150:])]
    assert close(link_effect(add_moments(parts), **call).to_dict(), link_effect(frame, **call).to_dict())


def test_whole_numbers_give_the_same_bits_in_any_order_and_split(frame: pd.DataFrame) -> None:
    frame["cents"] = np.round(100 * frame["revenue"]).astype(int)
    call = {"arm": "arm", "control": "manual", "outcomes": ["cents", "won"], "covariates": ["visits"]}
    columns = ["cents", "won", "visits"]
    expected = compare(gather(frame, columns, by=["arm"]), **call).to_dict()
    shuffled = frame.sample(frac=1, random_state=3)
    parts = [gather(shuffled[at::3], columns, by=["arm"]) for at in range(3)]
    assert compare(gather(shuffled, columns, by=["arm"]), **call).to_dict() == expected
    assert compare(add_moments(parts), **call).to_dict() == expected


# -- what is asked of the engine -------------------------------------------------------------------------------------


def test_only_the_products_that_are_needed_are_summed() -> None:
    assert all_pairs([["y"], ["a", "b"]], ["x"], clustered=False) == [
        ("y", "y"), ("y", "x"), ("x", "x"), ("a", "a"), ("a", "b"), ("b", "b"), ("a", "x"), ("b", "x"),
    ]  # fmt: skip
    assert all_pairs([["y"], ["a", "b"]], [], clustered=True) == []
    assert all_pairs([["y"]], ["x"], clustered=True) == [("y", "x"), ("x", "x")]
    assert link_pairs([("c", "k"), ("d", "k")], [], clustered=False) == [
        ("c", "c"), ("c", "k"), ("k", "k"), ("d", "d"), ("d", "k"),
    ]  # fmt: skip
    assert link_pairs([("c", "k")], [], clustered=True) == [("k", "k")]


@pytest.mark.parametrize("call", CALLS[:6], ids=str)
def test_moments_with_the_needed_products_are_enough(gaps: pd.DataFrame, call: dict) -> None:
    names, covariates = ["won", "revenue"], list(call.get("covariates", []))
    pairs = all_pairs([[name] for name in names], covariates, clustered="cluster" in call)
    asked = {"arm": "arm", "control": "manual", "outcomes": names, **call}
    few = gather(gaps, [*names, *covariates], by=keys_of(call), pairs=pairs)
    more = gather(gaps, NUMBERS, by=keys_of(call))
    assert close(compare(few, **asked).to_dict(), compare(more, **asked).to_dict())
    for lost in pairs:
        fewer = gather(gaps, [*names, *covariates], by=keys_of(call), pairs=[pair for pair in pairs if pair != lost])
        with pytest.raises(DataError, match="hold no products of 1 pairs") as caught:
            compare(fewer, **asked)
        assert f"{lost}" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ({"outcomes": "profit"}, "column 'profit' is not among the moments"),
        ({"covariates": ["profit"]}, "column 'profit' is not among the moments"),
        ({"cluster": "team"}, r"not split by 'team'(.|\n)*by=\['team'\]"),
        ({"strata": "half"}, "not split by 'half'"),
        ({"unit": "customer"}, "not split by 'customer'"),
        ({"arm": "variant"}, "not split by 'variant'"),
        ({"control": "maunal"}, "control 'maunal' is not an arm"),
    ],
)
def test_what_moments_cannot_answer_is_said(frame: pd.DataFrame, call: dict, found: str) -> None:
    moments = gather(frame, ["won", "before"], by=["arm"])
    with pytest.raises(DataError, match=found):
        compare(moments, **{"arm": "arm", "control": "manual", "outcomes": "won", **call})


# -- many links at once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [{}, {"covariates": ["before"]}, {"cluster": "team", "arm": "arm_of_cluster"}])
def test_several_cpis_and_kpis_are_the_links_one_by_one(gaps: pd.DataFrame, call: dict) -> None:
    two = gaps[gaps["arm"] != "semi"]
    steps = {"hours": -1.0, "visits": 2.0}
    asked = {"arm": "arm", "control": "manual", **call}
    found = link_effect(two, cpi=["hours", "visits"], kpi=["won", "revenue"], increment=steps, **asked)
    assert isinstance(found, LinkEffects)
    names = [(cpi, kpi) for cpi in steps for kpi in ("won", "revenue")]
    assert [(e.estimate.cause, e.estimate.outcome) for e in found] == names
    for at, (cpi, kpi) in enumerate(names):
        alone = link_effect(two, cpi=cpi, kpi=kpi, increment=steps[cpi], **asked)
        assert found[at].to_dict() == found[cpi, kpi].to_dict() == alone.to_dict()
    with pytest.raises(DataError, match=r"2 effects match 'won'(.|\n)*'hours', 'visits'"):
        found["won"]
    with pytest.raises(DataError, match="no effect of 'orders' on 'won'"):
        found["orders", "won"]


@pytest.mark.parametrize(
    ("call", "error", "found"),
    [
        ({"cpi": []}, DataError, "no CPI is named"),
        ({"cpi": ["hours", "won"]}, DataError, "'won' is both CPI and KPI"),
        ({"increment": {"hours": -1.0}}, DesignError, "CPI 'visits' has no increment"),
        ({"increment": {"hours": -1.0, "visits": 0.0}}, DesignError, "increment 0.0 is not a step"),
        ({"covariates": ["visits"]}, DataError, "both an outcome and a covariate"),
    ],
)
def test_bad_links_are_refused(frame: pd.DataFrame, call: dict, error: type, found: str) -> None:
    asked = {"cpi": ["hours", "visits"], "kpi": ["won"], "arm": "arm", "control": "manual", **call}
    with pytest.raises(error, match=found):
        link_effect(frame, **asked)


@pytest.mark.parametrize(
    ("values", "yes_or_no"),
    [
        ([0, 1], True), ([0.0, 1.0], True), ([0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], True), ([0.0, 1.0, np.nan], True),
        ([0, 2], False), ([-1, 0, 1], False), ([0.5, 0.5, 0.5, -0.5], False), ([0.25, 0.5], False), ([1e6, 1e6 + 1], False),
    ],
)  # fmt: skip
def test_yes_or_no_columns_are_told_from_moments(values: list, *, yes_or_no: bool) -> None:
    rows = np.tile(np.array(values, dtype=float), 40)
    frame = pd.DataFrame({"arm": np.repeat(["a", "b"], len(rows)), "k": np.tile(rows, 2)})
    frame["c"] = np.random.default_rng(1).normal(size=len(frame)) + (frame["arm"] == "b")
    assert link_effect(frame, cpi="c", kpi="k", arm="arm", control="a").shares == yes_or_no


# -- no variance, few digits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 10**6])
@pytest.mark.parametrize(
    ("low", "high"),
    [(0.1, 0.3), (1e12 + 0.4, 1e12 + 0.4), (1e-9, 3e-9), (1e-9, 1e-9), (7.0, 9.0), (1e15 + 1, 1e15 + 3)],
)
@pytest.mark.parametrize("call", [{}, {"covariates": ["x"]}, {"cluster": "g"}, {"cluster": "g", "covariates": ["x"]}])
def test_constants_are_not_proof_however_often_they_are_added(
    monkeypatch: pytest.MonkeyPatch, low: float, high: float, call: dict, rows: int
) -> None:
    monkeypatch.setattr(trial_moments, "SMALL", rows)
    n = 30_000
    treated = np.arange(n) % 2 == 1
    x = np.random.default_rng(2).normal(size=n)
    frame = pd.DataFrame({"arm": treated * 1, "y": np.where(treated, high, low), "x": x, "g": np.arange(n) % 40})
    estimate = compare(frame, arm="arm", control=0, outcomes="y", **call)["y"].estimate
    assert estimate.status.value == "failed"
    assert math.isnan(estimate.p_value)
    assert estimate.value == pytest.approx(high - low, rel=1e-9, abs=0)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("noise", [1e-3, 1e-5])
def test_small_variances_are_no_rounding(size: float, noise: float) -> None:
    rng = np.random.default_rng(3)
    y = size * (1 + noise * rng.normal(size=400))
    frame = pd.DataFrame({"arm": np.repeat([0, 1], 200), "y": y})
    estimate = compare(frame, arm="arm", control=0, outcomes="y")["y"].estimate
    direct = arm_means(y[:, None], np.arange(400) >= 200)
    assert estimate.status.value == "ok"
    assert estimate.value == pytest.approx(float(direct.effect[0]), rel=1e-9)
    assert estimate.std_error == pytest.approx(math.sqrt(direct.omega[0, 0]), rel=1e-9)


def precision(frame: pd.DataFrame, **call: Any) -> list[str]:
    estimate = compare(frame, arm="arm", control=0, outcomes="y", **call)["y"].estimate
    return [d.advice for d in estimate.diagnostics if d.name == "precision" and not d.passed]


def test_digits_that_are_lost_are_said() -> None:
    rng = np.random.default_rng(4)
    arm, noise = np.arange(400) % 2, rng.normal(size=400)
    near, far = (pd.DataFrame({"arm": arm, "y": step * arm + noise}) for step in (10, 1e5))
    assert precision(near) == []
    assert "variance has lost 9 digits" in precision(far)[0] or "variance has lost 10 digits" in precision(far)[0]
    assert precision(far.round()) == []  # whole numbers lose none
    clustered = far.assign(g=np.arange(400) % 40)
    assert precision(clustered, cluster="g") == []  # totals of clusters are squared after the subtraction
    x = rng.normal(size=400)
    twins = near.assign(x=x, z=x + 1e-5 * rng.normal(size=400))
    assert "almost collinear (condition number" in precision(twins, covariates=["x", "z"])[0]
    assert precision(twins, covariates=["x"]) == []


def test_large_whole_numbers_keep_every_digit_of_their_variance() -> None:
    """Epoch microseconds of one hour about a far origin: doubles would keep no digit of the squares."""
    rng = np.random.default_rng(5)
    seconds = 1_700_000_000_000_000 + rng.integers(0, 3_600_000_000, 500)
    arm = np.arange(500) % 2
    frame = pd.DataFrame({"arm": arm, "t": seconds})
    moments = gather(frame, ["t"], by=["arm"])
    assert bool(moments.whole[0])
    far = moments.based_on(np.array([0.0]))
    found = [compare(m, arm="arm", control=0, outcomes="t")["t"].estimate for m in (moments, far)]
    a, b = (seconds[arm == each] - seconds.min() for each in (0, 1))
    error = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    for estimate in found:
        assert estimate.std_error == pytest.approx(error, rel=1e-12)
        assert estimate.status.value == "ok"
    assert found[0].value == pytest.approx(b.mean() - a.mean(), rel=1e-12)


@pytest.mark.parametrize("call", [{}, {"strata": "s"}, {"cluster": "g"}, {"cluster": "g", "strata": "s"}])
def test_cells_of_moments_are_the_array_door(frame: pd.DataFrame, call: dict) -> None:
    g = np.arange(len(frame)) % 24
    frame = frame.assign(g=g, s=g // 12)
    trial = read_trial(
        frame, numbers=["revenue", "hours"], arm="arm", control="manual",
        pairs=all_pairs([["revenue", "hours"]], [], clustered="cluster" in call), **call,
    )  # fmt: skip
    found = means_of_cells(complete(trial, 1, ["revenue", "hours"]).cells)
    codes = {"strata": frame["s"].to_numpy() if "strata" in call else None}
    codes["clusters"] = g if "cluster" in call else None
    direct = arm_means(frame[["revenue", "hours"]].to_numpy(), (frame["arm"] == "auto").to_numpy(), **codes)
    for name in ("control", "treatment", "effect", "cov", "df_control", "df_treatment"):
        np.testing.assert_allclose(getattr(found, name), getattr(direct, name), rtol=1e-10, atol=1e-15)
    assert (found.crossed, found.clusters_control) == (direct.crossed, direct.clusters_control)


def test_a_column_twice_is_what_it_was(frame: pd.DataFrame) -> None:
    same = compare(frame, arm="arm", control="manual", outcomes=Ratio("visits", "visits")).effects[0].estimate
    assert (same.value, same.status.value) == (0.0, "failed")
    with pytest.raises(CpiError, match="collinear"):
        compare(frame, arm="arm", control="manual", outcomes="won", covariates=["before", "before"])


def test_moments_in_memory_are_moments(frame: pd.DataFrame) -> None:
    columns = {name: frame[name].to_numpy(float) for name in ("won", "hours")}
    moments = moments_of(columns, {"arm": frame["arm"].to_numpy(object)})
    call = {"cpi": "hours", "kpi": "won", "arm": "arm", "control": "manual"}
    assert close(link_effect(moments, **call).to_dict(), link_effect(frame, **call).to_dict())
