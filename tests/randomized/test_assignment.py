"""Assignment by hash: fixed vectors, shares, independence of salts."""

import hashlib
import time
import uuid
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError, DesignError
from cpi_experiments.randomized.assigning.assignment import assign, uniform_hash
from cpi_experiments.randomized.assigning.holdout import hold_out
from cpi_experiments.randomized.experiment import Experiment
from cpi_experiments.stats.counts import independence_test, sample_ratio_test

if TYPE_CHECKING:
    from collections.abc import Iterable


def plan(**changes: object) -> Experiment:
    values = {
        "id": "demo", "lever": "auto_quote", "control": "manual", "allocation": {"manual": 1, "auto": 1},
        "hypotheses": (), "randomize": "customer_id", "start": "2026-01-01", "end": "2026-03-31",
    }  # fmt: skip
    return Experiment(**{**values, **changes})  # type: ignore[arg-type] # checked by the test's own keys


@pytest.mark.parametrize(
    ("salt", "unit", "expected"),
    [
        ("demo", "customer-1", 0.99225827),
        ("demo", "customer-2", 0.16832544),
        ("", "", int(hashlib.sha256(b":").hexdigest()[:16], 16) / 2**64),
        ("größe", "Zoë", int(hashlib.sha256("größe:Zoë".encode()).hexdigest()[:16], 16) / 2**64),
    ],
)
def test_hash_vectors(salt: str, unit: str, expected: float) -> None:
    assert uniform_hash(unit, salt=salt) == pytest.approx(expected, abs=5e-9)


def test_hashes_are_uniform() -> None:
    values = [uniform_hash(str(unit), salt="u") for unit in range(20_000)]
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    assert sample_ratio_test(counts.tolist(), [1] * 20)[1] > 1e-6
    assert min(values) >= 0
    assert max(values) < 1


@pytest.mark.parametrize(
    "allocation", [{"manual": 1, "auto": 1}, {"manual": 19, "auto": 1}, {"manual": 0.2, "a": 0.3, "b": 0.5}]
)
def test_shares_follow_the_allocation(allocation: dict[str, float]) -> None:
    found = assign(plan(allocation=allocation), range(20_000)).counts()
    assert set(found) == set(allocation)
    assert sample_ratio_test([found[arm] for arm in allocation], list(allocation.values()))[1] > 1e-6


def test_salts_are_independent() -> None:
    one, two = (assign(plan(), range(20_000), salt=salt).arms for salt in ("one", "two"))
    table = [[sum(one[u] == a and two[u] == b for u in one) for b in ("manual", "auto")] for a in ("manual", "auto")]
    assert independence_test(table)[1] > 1e-6
    assert min(map(min, table)) > 4_500


def test_order_repetition_and_company_never_matter() -> None:
    units = [f"c{j}" for j in range(200)]
    full = assign(plan(), units)
    assert dict(assign(plan(), [*reversed(units), *units]).arms) == dict(full.arms)
    assert assign(plan(), units[5:6]).arms == {"c5": full.arms["c5"]}
    assert dict(assign(plan(), np.arange(9)).arms) == dict(assign(plan(), [str(j) for j in range(9)]).arms)


def test_a_larger_share_only_adds_units() -> None:
    """Ramping up keeps everyone who was treated in treatment, because slices start at the other end."""
    small, large = (
        assign(plan(allocation={"auto": share, "manual": 1 - share}), range(2_000)).arms for share in (0.1, 0.4)
    )
    assert all(large[u] == "auto" for u in small if small[u] == "auto")


def test_the_experiments_id_is_the_salt() -> None:
    assert assign(plan(), ["a"]).salt == "demo"
    assert assign(plan(), range(50)).arms != assign(plan(id="other"), range(50)).arms
    assert assign(plan(id="other"), range(50), salt="demo").arms == assign(plan(), range(50)).arms


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, pd.NaT, ""])
def test_a_unit_without_id_is_refused(missing: object) -> None:
    with pytest.raises(DataError, match="a unit after 2 others has no id"):
        assign(plan(), ["a", "b", missing])


def test_nobody_cannot_be_assigned() -> None:
    with pytest.raises(DataError, match="there is no unit to assign"):
        assign(plan(), [])


def test_assignments_show_their_sizes() -> None:
    found = assign(plan(), range(300))
    assert str(found).startswith("demo: 300 units; auto ")
    table = found.to_frame()
    assert list(table.columns) == ["experiment", "unit", "arm"]
    assert table["arm"].value_counts().to_dict() == found.counts()


# -- tables, clusters, holdouts --------------------------------------------------------------------------------------


def test_ids_are_the_same_wherever_they_come_from(tmp_path: Path) -> None:
    """A column of whole numbers with an empty cell is stored as reals: the ids stay whole numbers."""
    table = pd.DataFrame({"id": [3, 10, 7], "other": [1.0, 2.0, 3.0]})
    table.to_csv(tmp_path / "t.csv", index=False)
    expected = dict(assign(plan(), ["3", "10", "7"]).arms)
    sources = (table, tmp_path / "t.csv", str(tmp_path / "t.csv"), table.astype({"id": float}))
    assert all(dict(assign(plan(), source, unit="id").arms) == expected for source in sources)
    lists: list[Iterable[object]] = [
        table["id"],
        (3, 10, 7),
        {3: "x", 10: "y", 7: "z"},
        (Decimal(j) for j in (3, 10, 7)),
    ]
    assert all(dict(assign(plan(), ids).arms) == expected for ids in lists)


def test_b21_zeros_and_long_ids_are_texts(tmp_path: Path) -> None:
    ids = ["007", "7", "12345678901234567890", "12345678901234567891"]
    pd.DataFrame({"id": ids}).to_csv(tmp_path / "t.csv", index=False)
    assert list(assign(plan(), tmp_path / "t.csv", unit="id").arms) == ids
    assert list(assign(plan(), [2**60 + 1, np.int64(2**60)]).arms) == [str(2**60 + 1), str(2**60)]


def test_b22_texts_that_look_missing_are_ids() -> None:
    assert list(assign(plan(), ["None", "NA", "null", "0"]).arms) == ["None", "NA", "null", "0"]


def test_uuids_are_their_text() -> None:
    one = uuid.UUID("6f1c0c7e-5b0e-4f0e-9a53-0d5a1c3a7f10")
    assert assign(plan(), [one]).arms == assign(plan(), [str(one)]).arms


@pytest.mark.parametrize(
    "value", [1.5, 2.0**60, True, np.True_, b"bytes", (1, 2), float("inf"), Decimal("1.5"), np.datetime64("2026-01-01")]
)
def test_what_has_no_stable_text_is_no_id(value: object) -> None:
    with pytest.raises(DataError, match="is not an id"):
        assign(plan(), ["a", value])


def test_invalid_unicode_is_no_id() -> None:
    with pytest.raises(DataError, match=r"the id of the unit after 1 others is not valid Unicode: 'x\\udc80'"):
        assign(plan(), ["é", "x\udc80"])


def test_a_million_units_take_seconds() -> None:
    started = time.perf_counter()
    assert len(assign(plan(), (f"c{j}" for j in range(1_000_000))).arms) == 1_000_000
    assert time.perf_counter() - started < 30


def test_a_table_needs_the_name_of_its_ids() -> None:
    table = pd.DataFrame({"id": [1]})
    for units in (table, "file.csv"):
        with pytest.raises(DataError, match=r"`units` is a (DataFrame|str)"):
            assign(plan(), units)
    with pytest.raises(DataError, match="column 'branch' needs a table"):
        assign(plan(), [1, 2], cluster="branch")
    with pytest.raises(DataError, match="column 'ID' is missing"):
        assign(plan(), table, unit="ID")


def test_all_units_of_a_cluster_share_its_arm() -> None:
    table = pd.DataFrame({"id": range(600), "branch": [f"b{j % 40}" for j in range(600)]})
    found = assign(plan(), table, unit="id", cluster="branch")
    of_branch = assign(plan(), table["branch"].unique()).arms
    assert all(found.arms[str(j)] == of_branch[f"b{j % 40}"] for j in range(600))
    by_mapping = assign(plan(), table["id"], cluster=dict(zip(table["id"], table["branch"], strict=True)))
    by_series = assign(plan(), table["id"], cluster=table.set_index("id")["branch"])
    assert found == by_mapping == by_series
    assert "; 40 clusters" in str(found)
    assert list(found.to_frame().columns) == ["experiment", "unit", "arm", "cluster"]


def test_a_unit_belongs_to_one_cluster() -> None:
    table = pd.DataFrame({"id": [1, 2, 1], "branch": ["a", "b", "b"]})
    with pytest.raises(DataError, match="unit '1' is in cluster 'a' and in 'b'"):
        assign(plan(), table, unit="id", cluster="branch")
    with pytest.raises(DataError, match="1 units have no cluster, such as '9'"):
        assign(plan(), [1, 9], cluster={1: "a"})
    with pytest.raises(DataError, match="a cluster after 0 others has no id"):
        assign(plan(), [1], cluster={1: None})


def test_a_holdout_is_left_out_and_counted() -> None:
    spared = hold_out(range(2_000), 0.1, salt="2026")
    found, full = assign(plan(), range(2_000), holdout=spared), assign(plan(), range(2_000))
    assert set(found.arms) == set(full.arms) - set(spared.units)
    assert all(full.arms[unit] == arm for unit, arm in found.arms.items())
    assert found.held_out == len(spared.units)
    assert f"{len(spared.units)} held out" in str(found)
    later = [unit for unit in map(str, range(2_000, 4_000)) if spared.holds([unit])[0]]
    assert not set(later) & set(assign(plan(), range(2_000, 4_000), holdout=spared).arms)


def test_holdouts_are_independent_of_every_experiment() -> None:
    """Chi-squared on 40,000 units, and against the experiment that has the holdout's own name."""
    spared = hold_out(range(40_000), 0.2, salt="demo")
    held = set(spared.units)
    assert abs(len(held) - 8_000) < 5 * 80
    for name in ("demo", "other"):
        arms = assign(plan(id=name), range(40_000)).arms
        table = [
            [sum((u in held) == out and arms[u] == arm for u in arms) for arm in ("manual", "auto")] for out in (0, 1)
        ]
        assert independence_test(table)[1] > 1e-6
    other = set(hold_out(range(40_000), 0.2, salt="2027").units)
    assert abs(len(held & other) - 1_600) < 5 * 40


def test_a_larger_holdout_only_adds_units() -> None:
    small, large = (set(hold_out(range(3_000), share, salt="h").units) for share in (0.05, 0.15))
    assert small < large


def test_holdouts_show_their_size() -> None:
    spared = hold_out(pd.DataFrame({"id": range(100)}), 0.1, salt="2026", unit="id")
    assert f"{len(spared.units)} of 100 units" in str(spared)
    assert "planned 10.0%" in str(spared).replace("\n ", "")
    assert spared.to_frame()["unit"].tolist() == list(spared.units)


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan"), 5])
def test_a_holdout_is_a_share(share: float) -> None:
    with pytest.raises(DesignError, match="is not a share"):
        hold_out(["a"], share, salt="x")


def test_a_holdout_cannot_share_its_salt_or_take_everyone() -> None:
    spared = hold_out(range(50), 0.5, salt="2026")
    with pytest.raises(DesignError, match="share the salt 'holdout:2026'"):
        assign(plan(), range(50), holdout=spared, salt="holdout:2026")
    with pytest.raises(DataError, match="all 1 units are held out"):
        assign(plan(), spared.units[:1], holdout=spared)


def test_a_large_list_is_shown_by_arm() -> None:
    found = assign(plan(allocation={"manual": 3, "auto": 1}), range(5_000))
    text = str(found)
    assert len(text.split("\n")) == 5
    assert max(map(len, text.split("\n"))) <= 80
    assert "planned" in text
    assert "75.0%" in text
    assert "<table>" in found._repr_html_()


def test_the_digest_is_of_what_was_decided() -> None:
    one = assign(plan(), ["a", "b", "c"])
    assert one.digest == assign(plan(), ["c", "b", "a"]).digest
    others = [
        assign(plan(), ["a", "b"]), assign(plan(), ["a", "b", "c"], salt="x"), replace(one, held_out=1),
        assign(plan(allocation={"manual": 1, "auto": 1.5}), ["a", "b", "c"]), replace(one, method="other"),
        replace(one, arms={**one.arms, "a": "manual" if one.arms["a"] == "auto" else "auto"}),
        assign(plan(), ["a", "b", "c"], cluster={"a": "a", "b": "b", "c": "c"}),
    ]  # fmt: skip
    assert len({one.digest, *(other.digest for other in others)}) == 1 + len(others)


def test_numpy_weights_have_the_same_digest() -> None:
    exact = assign(plan(), ["a"])
    assert assign(plan(allocation={"manual": np.int64(1), "auto": np.int64(1)}), ["a"]).digest == exact.digest
