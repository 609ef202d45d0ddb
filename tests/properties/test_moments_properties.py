"""Laws of gathered moments that hold for any data."""

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import pandas as pd
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.stats.moments import Moments, add_moments, moments_of

laws = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
COLUMNS = ["won", "orders", "cents", "hours"]
KEYS = ["arm", "week"]


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """1 to 60 rows: a flag, a count, money in cents and a real number, each with or without gaps."""
    seed, n = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 60))
    gaps = draw(st.tuples(*[st.sampled_from([0.0, 0.0, 0.3, 1.0])] * 4))
    offset = draw(st.sampled_from([0, 7, 10**6, 10**9]))
    rng = np.random.default_rng(seed)
    values = {
        "won": rng.integers(0, 2, n).astype(float),
        "orders": rng.poisson(3, n) + float(offset),
        "cents": np.round(rng.lognormal(8, 2, n)) + offset,
        "hours": rng.normal(offset, 3, n),
    }
    for (name, column), share in zip(values.items(), gaps, strict=True):
        values[name] = np.where(rng.random(n) < share, np.nan, column)
    return pd.DataFrame({"arm": rng.choice(["a", "b"], n), "week": rng.integers(0, 3, n), **values})


def whole(frame: pd.DataFrame) -> duckdb.DuckDBPyRelation:
    """The same table in the types of a warehouse."""
    casts = "won::BOOLEAN AS won, orders::BIGINT AS orders, cents::BIGINT AS cents, hours"
    return duckdb.sql(f"SELECT arm, week, {casts} FROM frame")


def taken(data: object, keys: list[str] = KEYS) -> Moments:
    """Gather; a column that is whole by its type, or by its scale of 1, is whole."""
    return gather(data, COLUMNS, by=keys, scales={"won": 1, "orders": 1, "cents": 1})  # type: ignore[arg-type] # any data


def same(one: Moments, two: Moments) -> None:
    """Equal bits for whole columns, equal to 1e-10 of its size for the real one."""
    one, two = one.ordered(), two.ordered()
    assert one.n.tolist() == two.n.tolist()
    assert one.present.tolist() == two.present.tolist()
    assert [each.tolist() for each in one.keys.values()] == [each.tolist() for each in two.keys.values()]
    assert one.whole.tolist() == two.whole.tolist()
    i, j = [a for a, _ in one.pairs], [b for _, b in one.pairs]
    assert one.origin[one.whole].tolist() == two.origin[one.whole].tolist()
    assert one.sums[:, one.whole].tolist() == two.sums[:, one.whole].tolist()
    both = one.whole[i] & one.whole[j]
    assert one.products[:, both].tolist() == two.products[:, both].tolist()
    two = two.based_on(one.origin)
    for first, second in ((one.sums, two.sums), (one.products, two.products)):
        gap = np.abs((first - second).astype(float))
        assert np.all(gap <= 1e-10 * np.maximum(np.abs(first.astype(float)).max(axis=0, initial=0), 1e-6))


@laws
@given(frame=tables(), seed=st.integers(0, 1000))
def test_row_order_never_matters(frame: pd.DataFrame, seed: int) -> None:
    same(taken(frame), taken(frame.sample(frac=1, random_state=seed)))


@laws
@given(frame=tables(), cuts=st.lists(st.integers(0, 60), min_size=1, max_size=3))
def test_files_add_up_however_the_rows_are_split(frame: pd.DataFrame, cuts: list[int]) -> None:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(frame)}), len(frame)]
    parts = [frame.iloc[low:high] for low, high in itertools.pairwise(edges)]
    added = add_moments([taken(part) for part in parts])
    same(taken(frame), added)
    with TemporaryDirectory() as folder:
        for k, part in enumerate(parts):
            duckdb.from_df(part).write_parquet(f"{folder}/{k}.parquet")
        same(added, taken(str(Path(folder) / "*.parquet")))


@laws
@given(frame=tables())
def test_rolling_up_equals_gathering_by_fewer_keys(frame: pd.DataFrame) -> None:
    fine = taken(frame)
    same(taken(frame, ["arm"]), fine.roll_up(["arm"]))
    same(taken(frame, ["week", "arm"]), fine.roll_up(["week", "arm"]))
    same(taken(frame, []), fine.roll_up([]))


@laws
@given(frame=tables(), minutes=st.sampled_from([60.0, 2.0**-10, 2.0**20]), cents=st.sampled_from([100, 10, 1]))
def test_another_unit_rescales_and_changes_no_bit_of_whole_columns(
    frame: pd.DataFrame, minutes: float, cents: int
) -> None:
    one = taken(frame)
    other = gather(
        frame.assign(hours=frame["hours"] * minutes, cents=frame["cents"] / cents), COLUMNS, by=KEYS,
        scales={"won": 1, "orders": 1, "cents": cents},
    )  # fmt: skip
    assert other.sums[:, :3].tolist() == one.sums[:, :3].tolist()
    means, moved = one.means(COLUMNS), other.means(COLUMNS)
    assert np.allclose(moved[:, 2] * cents, means[:, 2], rtol=1e-14, equal_nan=True)
    assert np.allclose(moved[:, 3], means[:, 3] * minutes, rtol=1e-12, atol=1e-9 * minutes, equal_nan=True)
    if np.log2(minutes).is_integer():
        assert np.array_equal(moved[:, 3], means[:, 3] * minutes, equal_nan=True)


@laws
@given(frame=tables())
def test_other_labels_of_the_keys_change_no_number(frame: pd.DataFrame) -> None:
    renamed = frame.assign(arm=frame["arm"].map({"a": "old", "b": "über; DROP"}), week=frame["week"] + 10)
    one, two = taken(frame), taken(renamed)
    assert one.n.tolist() == two.n.tolist()
    assert one.sums.tolist() == two.sums.tolist()
    assert two.keys["week"].tolist() == [week + 10 for week in one.keys["week"]]


@laws
@given(frame=tables(), picked=st.sets(st.sampled_from(COLUMNS), min_size=1))
def test_complete_cells_hold_the_rows_that_pandas_keeps(frame: pd.DataFrame, picked: set[str]) -> None:
    columns = sorted(picked)
    m = taken(frame)
    kept = frame.dropna(subset=columns)
    cells = m.take(m.complete(columns)).roll_up([])
    assert int(cells.n.sum()) == len(kept)
    assume(len(kept) > 0)
    means = (cells.means(columns) * cells.n[:, None]).sum(axis=0) / cells.n.sum()
    assert np.allclose(means, kept[columns].mean().to_numpy(), rtol=1e-12, atol=1e-9)
    i = m.place(columns[0])
    squares = cells.based_on(np.zeros(len(COLUMNS))).products[:, m.pairs.index((i, i))].astype(float).sum()
    assert np.isclose(squares, float((kept[columns[0]] ** 2).sum()), rtol=1e-9, atol=1e-9)


@laws
@given(frame=tables(), origin=st.lists(st.integers(-(10**9), 10**9), min_size=4, max_size=4))
def test_going_to_another_origin_and_back_changes_nothing(frame: pd.DataFrame, origin: list[int]) -> None:
    m = taken(frame)
    back = m.based_on(np.array(origin, dtype=float)).based_on(m.origin)
    assert back.sums[:, :3].tolist() == m.sums[:, :3].tolist()
    both = [k for k, (i, j) in enumerate(m.pairs) if i < 3 and j < 3]
    assert back.products[:, both].tolist() == m.products[:, both].tolist()
    size = 1e18 * max(1, int(m.n.max()))  # squares of the far origin's offset were added and taken away
    assert np.all(np.abs((back.products - m.products).astype(float)) <= 1e-14 * size)


@laws
@given(frame=tables())
def test_types_of_columns_change_no_number(frame: pd.DataFrame) -> None:
    same(taken(frame), gather(whole(frame), COLUMNS, by=KEYS))
    found = taken(frame)
    arrays = {name: frame[name].to_numpy(dtype=float) for name in COLUMNS}
    in_memory = moments_of(arrays, {name: frame[name].to_numpy() for name in KEYS})
    assume(not in_memory.whole[3])  # whole hours are whole to numpy, real by their type
    same(found, in_memory)
    decimals = duckdb.sql("SELECT arm, week, won, orders, (cents / 100)::DECIMAL(16, 2) AS cents, hours FROM frame")
    money = gather(decimals, COLUMNS, by=KEYS, scales={"won": 1, "orders": 1})
    assert money.sums[:, 2].tolist() == found.sums[:, 2].tolist()
    assert money.scale[2] == 100


@laws
@given(frame=tables(), cap=st.sampled_from([0, 1, 3, 10**4, 10**6 + 2]))
def test_a_cap_equals_clipping_first(frame: pd.DataFrame, cap: int) -> None:
    scales = {"won": 1, "orders": 1, "cents": 1}
    found = gather(frame, COLUMNS, by=KEYS, scales=scales, caps=dict.fromkeys(COLUMNS, cap))
    same(found, taken(frame.assign(**{name: frame[name].clip(upper=cap) for name in COLUMNS})))
