"""Stratified dealing: exact counts, no matter the order, every chance as planned."""

import math

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.randomized.assigning.assignment import assign, members
from cpi_experiments.randomized.assigning.holdout import hold_out
from cpi_experiments.randomized.assigning.stratified import assign_stratified, deal
from cpi_experiments.randomized.experiment import Experiment

ALLOCATIONS = [{"c": 1, "t": 1}, {"c": 3, "t": 1}, {"c": 0.2, "a": 0.3, "b": 0.5}, {"c": 1, "x": 1, "y": 1, "z": 1}]


def plan(**changes):
    values = {
        "id": "demo", "lever": "l", "control": "c", "allocation": {"c": 1, "t": 1}, "hypotheses": (),
        "randomize": "id", "start": "2026-01-01", "end": "2026-03-31",
    }  # fmt: skip
    return Experiment(**{**values, **changes})


def strata_sizes(rng, kind):
    if kind == "singles":
        return np.ones(300, dtype=int)
    return rng.integers(1, 40 if kind == "large" else 5, 60)


def counted(strata, arms):
    found = {}
    for stratum, arm in zip(strata, arms, strict=True):
        found.setdefault(stratum, {}).setdefault(arm, 0)
        found[stratum][arm] += 1
    return found


@pytest.mark.parametrize("allocation", ALLOCATIONS, ids=str)
@pytest.mark.parametrize("kind", ["singles", "small", "large"])
def test_every_stratum_and_the_whole_are_split_as_planned(allocation, kind):
    rng = np.random.default_rng(7)
    depth = math.ceil(math.log2(len(allocation)))
    total = sum(allocation.values())
    for salt in "abcde":
        sizes = strata_sizes(rng, kind)
        strata = np.repeat([f"s{j}" for j in range(len(sizes))], sizes).tolist()
        units = [f"u{j}" for j in range(len(strata))]
        arms = deal(units, strata, allocation, salt=salt)
        assert list(arms) == units
        for arm, weight in allocation.items():
            share = weight / total
            assert abs(sum(a == arm for a in arms.values()) - len(units) * share) <= depth + 1e-9
            for stratum, counts in counted(strata, arms.values()).items():
                planned = strata.count(stratum) * share
                assert abs(counts.get(arm, 0) - planned) < depth + 1e-9, (stratum, arm)


def test_two_arms_are_within_one_half_in_every_stratum_of_equal_shares():
    strata = np.repeat(np.arange(50).astype(str), np.arange(1, 51)).tolist()
    units = [f"u{j}" for j in range(len(strata))]
    for counts in counted(strata, deal(units, strata, {"c": 1, "t": 1}, salt="x").values()).values():
        assert abs(counts.get("c", 0) - counts.get("t", 0)) <= 1


@pytest.mark.parametrize("allocation", ALLOCATIONS, ids=str)
def test_every_unit_has_its_planned_chance(allocation):
    """2,000 salts over strata of 1, 2, 3 and 5 units; bands at two-sided 1e-6 over 11 units."""
    strata = ["a", *"bb", *"ccc", *"ddddd"]
    units = [f"u{j}" for j in range(len(strata))]
    counts = {arm: np.zeros(len(units)) for arm in allocation}
    for salt in range(2_000):
        for j, arm in enumerate(deal(units, strata, allocation, salt=str(salt)).values()):
            counts[arm][j] += 1
    total = sum(allocation.values())
    for arm, weight in allocation.items():
        share = weight / total
        assert np.all(np.abs(counts[arm] / 2_000 - share) < 5.2 * math.sqrt(share * (1 - share) / 2_000))


def test_the_result_depends_on_ids_strata_and_salt_alone():
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {"id": np.arange(500), "region": rng.choice(["n", "s", "w"], 500), "tier": rng.integers(1, 4, 500)}
    )
    one = assign_stratified(plan(), table, unit="id", strata=["region", "tier"])
    other = assign_stratified(plan(), table.sample(frac=1, random_state=1), unit="id", strata=["region", "tier"])
    assert dict(one.arms) == dict(other.arms)
    assert one.digest == other.digest
    assert dict(assign_stratified(plan(), table, unit="id", strata="region", salt="b").arms) != dict(one.arms)
    assert set(one.strata.values()) == {f'["{r}","{t}"]' for r in "nsw" for t in (1, 2, 3)}
    assert str(one).startswith("demo: 500 units; c 250, t 250; 9 strata")


@pytest.mark.parametrize("kind", ["frame", "csv", "parquet", "duckdb", "arrow"])
def test_data_of_any_kind_give_the_same_arms(tmp_path, kind):
    import duckdb

    table = pd.DataFrame({"id": [f"{j:03d}" for j in range(40)], "region": ["north", "south"] * 20})
    expected = assign_stratified(plan(), table, unit="id", strata="region")
    if kind == "csv":
        table.to_csv(tmp_path / "t.csv", index=False)
        data = tmp_path / "t.csv"
    elif kind == "parquet":
        data = str(tmp_path / "t.parquet")
        duckdb.from_df(table).write_parquet(data)
    elif kind == "duckdb":
        data = duckdb.from_df(table)
    elif kind == "arrow":
        data = duckdb.from_df(table).to_arrow_table()
    else:
        data = table
    found = assign_stratified(plan(), data, unit="id", strata="region")
    assert found.digest == expected.digest
    assert dict(assign(plan(), data, unit="id").arms) == dict(assign(plan(), table["id"]).arms)


def test_a_holdout_leaves_before_the_dealing():
    table = pd.DataFrame({"id": range(400), "region": ["n", "s"] * 200})
    spared = hold_out(table, 0.25, salt="2026", unit="id")
    found = assign_stratified(plan(), table, unit="id", strata="region", holdout=spared)
    assert not set(spared.units) & set(found.arms)
    assert found.held_out == len(spared.units)
    assert abs(found.counts()["c"] - found.counts()["t"]) <= 1
    assert set(found.strata) == set(found.arms)


def test_strata_of_clusters_carry_over_to_units():
    branches = pd.DataFrame({"branch": [f"b{j}" for j in range(12)], "size": ["big", "small"] * 6})
    of_branches = assign_stratified(plan(), branches, unit="branch", strata="size")
    people = pd.DataFrame({"id": range(60), "branch": [f"b{j % 12}" for j in range(60)]})
    found = members(of_branches, people, unit="id", cluster="branch")
    assert found.counts() == {"c": 30, "t": 30}
    assert found.strata["0"] == "big"
    assert all(found.arms[str(j)] == of_branches.arms[f"b{j % 12}"] for j in range(60))
    with pytest.raises(DataError, match="1 clusters were not assigned, such as 'b99'"):
        members(of_branches, ["x"], cluster={"x": "b99"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": ["n", None, "s", "s"]}, "stratum 'region': a row after 1 others has no value"),
        ({"region": [1.5, 2.0, 1.0, 1.0]}, "stratum 'region': .*1.5.* is not the name of a stratum"),
        ({"id": [1, 1, 2, 3]}, "unit '1' is in stratum 'n' and in 's'"),
        ({"id": [1, None, 2, 3]}, "a unit after 1 others has no id"),
    ],
)
def test_strata_that_cannot_be_are_refused(change, message):
    table = pd.DataFrame({"id": [1, 2, 3, 4], "region": list("nsns"), **change})
    with pytest.raises(DataError, match=message):
        assign_stratified(plan(), table, unit="id", strata="region")
