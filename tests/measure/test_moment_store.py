"""Saved moments come back bit for bit, a new file is the only one read, and small cells stay at home."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import cpi_experiments.measure.moments.store as room
from cpi_experiments.errors import DataError
from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.measure.moments.store import export_moments, gather_files, load_moments, save_moments
from cpi_experiments.stats.moments import moments_of

COLUMNS = ["won", "revenue", "hours"]


def trial(rows: int = 400, *, seed: int = 3, arms: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "arm": rng.integers(0, arms, rows),
            "week": rng.integers(1, 4, rows),
            "won": rng.integers(0, 2, rows),
            "revenue": np.round(rng.lognormal(3, 1, rows), 2),
            "hours": rng.normal(20, 3, rows),
        }
    )
    frame["segment"] = np.where(rng.random(rows) < 0.5, "b2b", None)
    frame.loc[::17, "hours"] = np.nan
    return frame


def same(one, other) -> bool:
    keys = all(one.keys[name].tolist() == other.keys[name].tolist() for name in one.keys)
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("present", "n", "sums", "products", "origin", "scale", "whole")
    )
    return keys and arrays and (one.columns, one.pairs) == (other.columns, other.pairs)


def test_saved_moments_come_back_bit_for_bit(tmp_path):
    found = gather(trial(), COLUMNS, by=["arm", "segment"], scales={"revenue": 100})
    save_moments(found, tmp_path / "m.npz")
    assert same(load_moments(tmp_path / "m.npz"), found)


def test_whole_numbers_beyond_doubles_come_back_as_they_were(tmp_path):
    large = moments_of({"big": np.array([3e15, 1.0, 7.0, 2e15])}, {"arm": np.array([0, 0, 1, 1])})
    about_zero = large.based_on(np.zeros(1))
    assert about_zero.products.dtype == object
    assert about_zero.products[0, 0] == 3 * 10**15 * 3 * 10**15 + 1
    save_moments(about_zero, tmp_path / "m.npz")
    again = load_moments(tmp_path / "m.npz")
    assert again.products.tolist() == about_zero.products.tolist()


def test_times_and_flags_are_labels_too(tmp_path):
    keys = {"day": np.array(["2026-01-01", "NaT"], dtype="datetime64[us]"), "flag": np.array([True, False])}
    save_moments(moments_of({"won": np.array([0.0, 1.0])}, keys), tmp_path / "m.npz")
    again = load_moments(tmp_path / "m.npz")
    assert str(again.keys["day"][0])[:10] == "2026-01-01"
    assert sorted(again.keys["flag"].tolist()) == [False, True]


def test_labels_of_other_kinds_are_refused(tmp_path):
    odd = moments_of({"won": np.array([0.0])}, {"who": np.array([("a", 1), None], dtype=object)[:1]})
    with pytest.raises(DataError, match="key 'who' holds a tuple"):
        save_moments(odd, tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["flip", "cut", "text", "empty", "other"])
def test_a_file_that_was_changed_is_refused(tmp_path, how):
    path = tmp_path / "m.npz"
    save_moments(gather(trial(), COLUMNS, by=["arm"]), path)
    whole = path.read_bytes()
    place = whole.index(b"sums.npy") + 200
    content = {
        "flip": whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
        "cut": whole[: len(whole) // 2],
        "text": b"won,arm\n1,a\n",
        "empty": b"",
    }
    if how == "other":
        np.savez(path, x=np.arange(3))
    else:
        path.write_bytes(content[how])
    with pytest.raises(DataError, match=r"m\.npz"):
        load_moments(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no such file"):
        load_moments(tmp_path / "none.npz")


def test_only_a_new_file_is_read_and_the_sum_is_that_of_all_rows(tmp_path, monkeypatch):
    frame = trial(900)
    for week, part in frame.groupby("week"):
        part.drop(columns="segment").to_csv(tmp_path / f"week_{week}.csv", index=False)
    read = []
    door = room.gather
    monkeypatch.setattr(room, "gather", lambda file, *a, **k: (read.append(file.name), door(file, *a, **k))[1])
    ask = {"columns": COLUMNS, "by": ["arm"], "scales": {"revenue": 100}, "store": tmp_path / "moments"}
    (tmp_path / "week_3.csv").rename(tmp_path / "later.csv")
    gather_files(tmp_path / "week_*.csv", **ask)
    assert read == ["week_1.csv", "week_2.csv"]
    (tmp_path / "later.csv").rename(tmp_path / "week_3.csv")
    three = gather_files(tmp_path / "week_*.csv", **ask)
    assert read == ["week_1.csv", "week_2.csv", "week_3.csv"]
    whole = gather(frame, COLUMNS, by=["arm"], scales={"revenue": 100})
    three, whole = three.based_on(whole.origin).ordered(), whole.ordered()
    assert three.n.tolist() == whole.n.tolist()
    exact = [k for k, (i, j) in enumerate(whole.pairs) if max(i, j) < 2]
    assert np.array_equal(three.products[:, exact], whole.products[:, exact])
    assert three.products.astype(float) == pytest.approx(whole.products.astype(float), rel=1e-10)


def test_a_file_that_changed_is_read_again(tmp_path):
    path, ask = tmp_path / "week_1.csv", {"columns": ["won"], "by": ["arm"], "store": tmp_path / "moments"}
    trial(100).to_csv(path, index=False)
    before = gather_files(path, **ask)
    trial(150).to_csv(path, index=False)
    assert (int(before.n.sum()), int(gather_files(path, **ask).n.sum())) == (100, 150)


def test_rows_in_two_files_are_not_counted_twice(tmp_path):
    for name in ("week_1.csv", "copy_of_week_1.csv"):
        trial(100).to_csv(tmp_path / name, index=False)
    with pytest.raises(DataError, match="hold the same bytes"):
        gather_files(tmp_path / "*.csv", columns=["won"], store=tmp_path / "moments")


def test_small_cells_do_not_leave_the_house(tmp_path):
    frame = pd.concat([trial(300), pd.DataFrame({"arm": [7] * 3, "won": [1, 1, 0]})])
    found = gather(frame, ["won"], by=["arm"])
    hidden = export_moments(found, tmp_path / "out.npz")
    shown = load_moments(tmp_path / "out.npz")
    assert hidden == 2  # the three people, and the smallest other cell: a known total would give them away
    assert shown.n.min() >= 10
    assert 7 not in shown.keys["arm"].tolist()


@pytest.mark.parametrize(
    ("smallest", "by", "text"), [(4, ["arm"], "below|fewer than 5"), (10, ["hours"], "these are people")]
)
def test_exports_that_would_name_people_are_refused(tmp_path, smallest, by, text):
    found = gather(trial(60), ["won"], by=by)
    with pytest.raises(DataError, match=text):
        export_moments(found, tmp_path / "out.npz", smallest=smallest)
    assert list(tmp_path.iterdir()) == []


def test_a_percentile_cannot_cap_file_by_file(tmp_path):
    trial(100).to_csv(tmp_path / "week_1.csv", index=False)
    with pytest.raises(DataError, match="would differ from file to file"):
        gather_files(tmp_path / "*.csv", ["revenue"], store=tmp_path / "moments", caps={"revenue": "p90"})


def test_a_bare_array_and_a_folder_are_no_files_of_moments(tmp_path):
    with (tmp_path / "bare.npz").open("wb") as stream:
        np.save(stream, np.arange(3))
    with pytest.raises(DataError, match=r"bare\.npz"):
        load_moments(tmp_path / "bare.npz")
    with pytest.raises(DataError, match="is a folder"):
        save_moments(gather(trial(60), ["won"]), tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [({"columns": "won"}, "are lists"), ({"pairs": [("won", "zz")]}, "zz"), ({"pairs": ["won"]}, "not a pair")],
)
def test_what_cannot_be_gathered_is_said(change, text):
    with pytest.raises(DataError, match=text):
        gather(trial(60), **{"columns": ["won"], **change})


def test_moments_print_in_one_line():
    assert repr(gather(trial(60), ["won"], by=["arm"])) == "Moments of won by arm: 2 cells, 60 rows"


def test_files_whose_labels_have_other_types_are_not_added_up(tmp_path):
    pd.DataFrame({"cl": [1, 2, 1], "won": [0, 1, 1]}).to_csv(tmp_path / "week_1.csv", index=False)
    pd.DataFrame({"cl": [1, 2, "z9"], "won": [0, 1, 1]}).to_csv(tmp_path / "week_2.csv", index=False)
    with pytest.raises(DataError, match=r"column 'cl' is BIGINT in week_1\.csv and VARCHAR in week_2\.csv"):
        gather_files(tmp_path / "*.csv", ["won"], by=["cl"], store=tmp_path / "moments")


@pytest.mark.parametrize(
    ("values", "scales", "text"),
    [
        ([1e-6, 2e-6], {"x": 100}, "is not whole"),
        ([2**60, 2**60 + 1], None, "beyond 2"),
        ([1.0, 2.0], {"x": 0}, "scale 0"),
    ],
)
def test_numbers_that_would_be_rounded_away_are_refused(values, scales, text):
    with pytest.raises(DataError, match=text):
        gather(pd.DataFrame({"x": values}), ["x"], scales=scales)


def test_large_money_may_lack_what_doubles_cannot_show():
    found = gather(pd.DataFrame({"x": [1e12 + 0.01, 12.34]}), ["x"], scales={"x": 100})
    assert found.means(["x"])[0, 0] == pytest.approx((1e12 + 0.01 + 12.34) / 2, rel=1e-15)


def test_a_missing_label_is_found_again():
    found = gather(pd.DataFrame({"k": [1.0, np.nan], "x": [1, 2]}), ["x"], by=["k"])
    assert found.where({"k": None}).means(["x"]).tolist() == [[2.0]]
