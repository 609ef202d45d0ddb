"""Moments: additive, exact for whole numbers, and the same about any origin."""

import numpy as np
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.stats.moments import add_moments, moments_of, origin_of, pairs_of


def rows(n=200, seed=3):
    rng = np.random.default_rng(seed)
    hours = np.round(rng.gamma(2, 8, n), 2) + 1000
    hours[rng.random(n) < 0.2] = np.nan
    columns = {
        "won": rng.integers(0, 2, n).astype(float),
        "orders": rng.integers(0, 9, n).astype(float),
        "hours": hours,
    }
    keys = {"arm": rng.choice(np.array(["a", "b"], dtype=object), n), "week": rng.integers(0, 3, n)}
    return columns, keys


def same(one, two, *, tolerance=1e-9):
    one, two = one.ordered(), two.ordered()
    two = two.based_on(one.origin)
    assert one.n.tolist() == two.n.tolist()
    assert one.present.tolist() == two.present.tolist()
    for name in one.keys:
        assert one.keys[name].tolist() == two.keys[name].tolist()
    for first, second in ((one.sums, two.sums), (one.products, two.products)):
        scale = np.abs(first.astype(float)).max(axis=0, initial=1)
        assert np.all(np.abs((first - second).astype(float)) <= tolerance * scale)


def test_every_cell_has_the_sums_of_its_rows():
    columns, keys = rows()
    m = moments_of(columns, keys)
    assert sum(m.n) == 200
    for g in range(len(m)):
        mine = (keys["arm"] == m.keys["arm"][g]) & (keys["week"] == m.keys["week"][g])
        mine &= np.isnan(columns["hours"]) != m.present[g, 2]
        assert m.n[g] == mine.sum()
        x = np.where(m.present[g], np.column_stack(list(columns.values()))[mine] - m.origin, 0)
        assert np.allclose(m.sums[g], x.sum(axis=0), rtol=1e-13)
        gram = x.T @ x
        assert np.allclose(m.products[g], [gram[i, j] for i, j in m.pairs], rtol=1e-12)


def test_means_are_those_of_the_rows_and_nan_where_a_column_is_missing():
    columns, keys = rows()
    m = moments_of(columns, keys).roll_up(["arm"])
    means = m.means(["hours", "won"])
    for g in range(len(m)):
        mine = (keys["arm"] == m.keys["arm"][g]) & (np.isnan(columns["hours"]) != m.present[g, 2])
        assert means[g, 1] == pytest.approx(columns["won"][mine].mean(), rel=1e-14)
        if m.present[g, 2]:
            assert means[g, 0] == pytest.approx(columns["hours"][mine].mean(), rel=1e-14)
        else:
            assert np.isnan(means[g, 0])


def test_rolling_up_equals_gathering_by_fewer_keys():
    columns, keys = rows()
    same(moments_of(columns, {"arm": keys["arm"]}), moments_of(columns, keys).roll_up(["arm"]))
    same(moments_of(columns, {}), moments_of(columns, keys).roll_up([]))


def test_adding_the_parts_equals_the_whole_and_their_order_does_not_matter():
    columns, keys = rows()
    cuts = [slice(0, 20), slice(20, 150), slice(150, 200)]
    parts = [moments_of({k: v[c] for k, v in columns.items()}, {k: v[c] for k, v in keys.items()}) for c in cuts]
    same(moments_of(columns, keys), add_moments(parts))
    same(add_moments(parts[::-1]), add_moments(parts))
    same(add_moments([add_moments(parts[:2]), parts[2]]), add_moments(parts))


def test_labels_keep_their_kind_when_parts_are_added():
    times = np.array(["2026-01-05", "2026-01-12"], dtype="datetime64[us]")
    parts = [moments_of({"won": np.array([0.0, 1.0])}, {"week": times, "site": np.array([1, 2])}) for _ in range(2)]
    added = add_moments(parts)
    assert added.keys["week"].dtype == times.dtype
    assert added.where({"week": times[1]}).n.tolist() == [2]
    assert added.keys["site"].dtype.kind == "i"
    mixed = add_moments([parts[0], moments_of({"won": np.array([1.0])}, {"week": times[:1], "site": np.array(["x"])})])
    assert set(mixed.keys["site"].tolist()) == {1, 2, "x"}


def test_another_origin_changes_no_number():
    columns, keys = rows()
    m = moments_of(columns, keys)
    moved = m.based_on(np.array([5.0, -3.0, 990.25]))
    same(m, moved)
    assert np.allclose(moved.means(["won", "orders", "hours"]), m.means(["won", "orders", "hours"]), equal_nan=True)
    assert m.based_on(m.origin) is m


def test_whole_numbers_return_exactly_from_any_whole_origin():
    values = np.array([3.0, 10**7 + 1, 10**9 - 1, 2.0])
    m = moments_of({"x": values, "y": values[::-1].copy()}, {})
    far = m.based_on(np.array([10.0**12, -(10.0**13)]))
    assert far.sums.dtype == object or np.abs(far.sums).max() < 2**53
    back = far.based_on(m.origin)
    assert back.sums.tolist() == m.sums.tolist()
    assert back.products.tolist() == m.products.tolist()
    exact = sum(int(v - 10**12) ** 2 for v in values)
    assert int(far.products[0, 0]) == exact


def test_a_fractional_origin_is_taken_exactly_and_ends_the_whole_mode():
    m = moments_of({"won": np.array([1.0, 2.0, 4.0])}, {})
    half = m.based_on(np.array([0.5]))
    assert half.means(["won"])[0, 0] == pytest.approx(7 / 3, rel=1e-15)
    assert half.sums[0, 0] == 5.5
    assert half.products[0, 0] == pytest.approx(0.25 + 2.25 + 12.25)
    assert not half.whole[0]


def test_cells_are_chosen_by_label_and_split_by_key():
    columns, keys = rows()
    m = moments_of(columns, keys)
    parts = m.split("week")
    assert list(parts) == [0, 1, 2]
    same(parts[1], m.where({"week": 1}))
    assert m.where({"week": 1, "arm": "a"}).keys["arm"].tolist() == ["a"] * 2
    assert m.complete(["won"]).all()
    assert m.complete(["won", "hours"]).tolist() == m.present[:, 2].tolist()
    assert len(m.take(m.complete(["hours"]))) == 6


def test_order_of_cells_is_by_keys_then_by_what_is_missing():
    columns, keys = rows()
    m = moments_of(columns, keys)
    shuffled = m.take(np.random.default_rng(0).permutation(len(m))).ordered()
    labels = list(zip(shuffled.keys["arm"], shuffled.keys["week"], (~shuffled.present[:, 2]).tolist(), strict=True))
    assert labels == sorted(labels)
    alone = moments_of({"won": np.array([1.0, 1.0])}, {})
    assert alone.ordered() is alone


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.place("wom"), "'wom' is not among the moments"),
        (lambda m: m.key("segment"), "not split by 'segment'"),
        (lambda m: m.where({"arm": "c"}), "no cell has arm = 'c'"),
        (lambda _: add_moments([]), "no moments to add"),
        (lambda m: add_moments([m, m.roll_up(["arm"])]), "cannot be added"),
        (lambda m: add_moments([m, moments_of({"won": np.ones(2)}, {})]), "cannot be added"),
    ],
)
def test_what_was_not_gathered_is_named(call, said):
    columns, keys = rows()
    with pytest.raises(DataError, match=said):
        call(moments_of(columns, keys))


def test_only_the_pairs_that_were_asked_for_are_summed():
    columns, keys = rows()
    m = moments_of(columns, keys, pairs=[("orders", "won"), ("won", "won")])
    assert m.pairs == ((0, 0), (0, 1))
    assert m.products.shape == (len(m), 2)
    assert moments_of(columns, {}, pairs=[]).products.shape[1] == 0
    assert pairs_of(("a", "b", "c"), [("c", "a"), ("a", "c")]) == ((0, 2),)


@pytest.mark.parametrize(
    ("sample", "whole", "origin"),
    [
        ([], False, 0.0),
        ([np.inf, np.nan], False, 0.0),
        ([0.0, 1.0], True, 0.0),
        ([5.25, 5.25], False, 5.25),
        ([7.0, 7.0], True, 7.0),
        ([100.3, 100.1], True, 100.0),
    ],
)
def test_origins_lie_near_the_mean_where_that_matters(sample, whole, origin):
    assert origin_of(np.array(sample), whole=whole) == origin


def test_an_origin_is_subtracted_without_rounding():
    rng = np.random.default_rng(1)
    for size in (1e-3, 1.0, 1e6):
        sample = rng.normal(1e4 * size, size, 100)
        origin = origin_of(sample, whole=False)
        assert abs(origin - sample.mean()) <= sample.std()
        assert float(np.float32(origin)) == origin  # few binary digits
