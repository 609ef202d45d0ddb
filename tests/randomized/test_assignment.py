"""Assignment by hash: fixed vectors, shares, independence of salts."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.randomized.assigning.assignment import assign, uniform_hash
from cpi_experiments.randomized.experiment import Experiment
from cpi_experiments.stats.counts import independence_test, sample_ratio_test


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
