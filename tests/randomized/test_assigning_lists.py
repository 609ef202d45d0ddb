"""Assignment lists: exact round trip of any id, every change found, whole files only."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError
from cpi_experiments.randomized.assigning.assignment import Assignment, assign, members
from cpi_experiments.randomized.assigning.lists import beside, read_assignment, write_assignment
from cpi_experiments.randomized.assigning.rerandomized import assign_balanced
from cpi_experiments.randomized.assigning.stratified import assign_stratified
from cpi_experiments.randomized.experiment import Experiment

ODD = [
    "007", "7", "12345678901234567890", "=1+1", "+1", "-1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "'quoted", "''twice", "'",
    'a"b', "a,b", "a;b", "line\nbreak", "carriage\rreturn", "\ttab", " blank ", "Zoë", "Zoe\u0308", "客户", "🙂", "None",
    "NULL", "NA", "true", "1e5", "\u202eabc", "#comment", "\ufeffbom", "x" * 5_000, "nul\0",
]  # fmt: skip


def plan(**changes):
    values = {
        "id": "demo", "lever": "l", "control": "c", "allocation": {"c": 1, "t": 2}, "hypotheses": (),
        "randomize": "id", "start": "2026-01-01", "end": "2026-03-31",
    }  # fmt: skip
    return Experiment(**{**values, **changes})


def all_kinds():
    table = pd.DataFrame(
        {"id": [f"{j:04d}" for j in range(120)], "region": ["n", "s", "w"] * 40, "age": np.arange(120) % 17}
    )
    clusters = {f"b{j}": f"r{j % 7}" for j in range(60)}
    regions = pd.DataFrame({"region": [f"r{j}" for j in range(9)], "size": list("abc") * 3})
    return {
        "hash": assign(plan(), ODD),
        "cluster": assign(plan(), list(clusters), cluster=clusters),
        "stratified": assign_stratified(plan(), table, unit="id", strata="region"),
        "re-randomised": assign_balanced(plan(), table, unit="id", covariates=["age"], acceptance=0.2),
        "re-randomised in strata": assign_balanced(
            plan(), table, unit="id", covariates=["age"], strata="region", largest_difference=0.2
        ),
        "clusters of strata": members(
            assign_stratified(plan(), regions, unit="region", strata="size"), list(clusters), cluster=clusters
        ),
    }


@pytest.mark.parametrize("kind", all_kinds())
def test_lists_come_back_as_they_were_written(tmp_path, kind):
    found = all_kinds()[kind]
    path = write_assignment(found, tmp_path / "list.csv", unit="id")
    again = read_assignment(path)
    assert again == found
    assert again.digest == found.digest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["list.csv", "list.csv.json"]
    write_assignment(again, path, unit="id")
    assert read_assignment(str(path)) == found


def test_no_cell_is_a_formula(tmp_path):
    path = write_assignment(assign(plan(id="=evil"), ODD), tmp_path / "list.csv")
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [c for c in cells if c[:1] in ("=", "@", "\t", "\r")]
    assert [c for c in cells if c[:1] in ("+", "-")] == ["+1", "-1"]
    assert read_assignment(path).experiment == "=evil"


@pytest.mark.parametrize("unit", ["experiment", "arm", "cluster", "stratum"])
def test_the_unit_has_a_name_of_its_own(tmp_path, unit):
    with pytest.raises(DataError, match="is the name of another column"):
        write_assignment(assign(plan(), ["a"]), tmp_path / "list.csv", unit=unit)


def test_a_list_without_shares_is_not_written(tmp_path):
    with pytest.raises(DataError, match="an assignment without its allocation cannot be checked later"):
        write_assignment(Assignment(experiment="e", salt="s", arms={"a": "c"}), tmp_path / "list.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"list\.csv: cannot be written: No such file"):
        write_assignment(assign(plan(), ["a"]), tmp_path / "nowhere" / "list.csv")


def test_a_failed_write_leaves_the_old_list(tmp_path, monkeypatch):
    old = assign(plan(), ["a", "b"])
    path = write_assignment(old, tmp_path / "list.csv")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match="No space left"):
        write_assignment(assign(plan(), ["a", "b", "c"]), path)
    monkeypatch.undo()
    assert read_assignment(path) == old
    assert len(list(tmp_path.iterdir())) == 2


def edited(path, change):
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8", newline="")


def flip(line):
    return line.replace('"c"', '"T"').replace('"t"', '"c"').replace('"T"', '"t"')


@pytest.mark.parametrize("kind", ["hash", "cluster", "stratified", "re-randomised"])
def test_the_first_unit_in_another_arm_is_named(tmp_path, kind):
    path = write_assignment(all_kinds()[kind], tmp_path / "list.csv", unit="id")
    lines = path.read_text(encoding="utf-8").split("\n")
    edited(path, lambda _: "\n".join([*lines[:3], flip(lines[3]), flip(lines[4]), *lines[5:]]))
    unit = next(csv.reader([lines[3]]))[1]
    with pytest.raises(
        DataError, match=rf"list\.csv:4: unit '{unit}' is in arm '[ct]', but salt 'demo.*' gives '[ct]'"
    ):
        read_assignment(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"0003"', '"3"'), "list.csv.*"),
        (lambda text: "\n".join(text.split("\n")[:-2]) + "\n", "list.csv.*"),
        (lambda text: text + text.split("\n")[1] + "\n", "unit '0000' stands in two lines, 2 and 122"),
        (
            lambda text: text.replace('"demo"', '"other"'),
            "list.csv:2: holds experiment 'other'; its .json is of 'demo'",
        ),
        (lambda text: text.replace('"id"', '"ID"'), "has the columns experiment, ID, arm"),
        (lambda _: "", "has the columns none"),
        (lambda text: text.replace('"0003",', '"0003";'), "list.csv.*"),
        (lambda text: text[:-5], "list.csv.*"),
        (
            lambda text: text.replace('"demo","0003","', '"demo","0003","extra","'),
            "list.csv:5: has 5 cells instead of 4",
        ),
    ],
)
def test_every_change_of_the_list_is_found(tmp_path, change, message):
    table = pd.DataFrame({"id": [f"{j:04d}" for j in range(120)], "region": ["n", "s", "w"] * 40})
    path = write_assignment(
        assign_stratified(plan(), table, unit="id", strata="region"), tmp_path / "list.csv", unit="id"
    )
    edited(path, change)
    with pytest.raises(DataError, match=message):
        read_assignment(path)


def test_zeros_lost_in_a_spreadsheet_are_found_even_if_the_arm_is_the_same(tmp_path):
    ids = [f"{j:05d}" for j in range(60)]
    table = assign(plan(allocation={"c": 1, "t": 1}), ids)
    short = assign(plan(allocation={"c": 1, "t": 1}), [str(int(i)) for i in ids])
    same = next(i for i in ids if table.arms[i] == short.arms[str(int(i))])
    path = write_assignment(table, tmp_path / "list.csv")
    edited(path, lambda text: text.replace(f'"{same}"', f'"{int(same)}"'))
    with pytest.raises(DataError, match="60 units do not have the digest of the 60 that were written"):
        read_assignment(path)


def test_a_list_that_a_spreadsheet_saved_without_harm_is_still_good(tmp_path):
    found = assign(plan(), ["c1", "c2", "c3"])
    path = write_assignment(found, tmp_path / "list.csv")
    edited(path, lambda text: "\ufeff" + text.replace('"', "").replace("\n", "\r\n"))
    assert read_assignment(path) == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about | {"salt": "other"}, "but salt 'other' gives"),
        (lambda about: about | {"held_out": 5}, "do not have the digest"),
        (lambda about: about | {"units": 5}, "do not have the digest of the 5"),
        (lambda about: about | {"version": 2}, "is not the description of a list, or of another version"),
        (lambda about: {k: v for k, v in about.items() if k != "digest"}, "is not the description of a list"),
        (lambda about: [about], "is not the description of a list"),
        (lambda about: about | {"allocation": [["c"]]}, "cannot be read as a list of units"),
    ],
)
def test_every_change_of_the_description_is_found(tmp_path, change, message):
    path = write_assignment(assign(plan(), [f"u{j}" for j in range(50)]), tmp_path / "list.csv")
    about = json.loads(beside(path).read_text(encoding="utf-8"))
    beside(path).write_text(json.dumps(change(about)), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_assignment(path)


def test_missing_and_damaged_files_are_named(tmp_path):
    path = write_assignment(assign(plan(), ["a"]), tmp_path / "list.csv")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"list\.csv: cannot be read as a list of units"):
        read_assignment(path)
    path.unlink()
    with pytest.raises(DataError, match=r"list\.csv: cannot be read: No such file"):
        read_assignment(path)
    beside(path).write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"list\.csv\.json: is not the description of a list"):
        read_assignment(path)
    beside(path).unlink()
    with pytest.raises(DataError, match=r"list\.csv\.json: cannot be read: No such file"):
        read_assignment(path)
