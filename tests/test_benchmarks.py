"""Every benchmark runs and finds the numbers that numpy finds; how fast it is is no test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import cases  # noqa: E402 - the benchmarks are scripts beside the package
import doors  # noqa: E402
import expected  # noqa: E402
import rivals  # noqa: E402
import run as run_module  # noqa: E402
import scans  # noqa: E402
import tables  # noqa: E402
import timing  # noqa: E402

sys.path.remove(str(BENCHMARKS))
ROWS = 20_800
MODULES = {"doors": doors, "scans": scans, "rivals": rivals}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("benchmarks")
    for write in tables.WRITERS.values():
        write(made, ROWS)
    return made


def find(work):
    module, function = work.split(".")
    return getattr(MODULES[module], function)


def run(*arguments):
    command = [sys.executable, str(BENCHMARKS / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", cases.CASES)
def test_the_product_finds_what_numpy_finds(number, folder):
    case = cases.CASES[number]
    if "weeks" in case.data:
        tables.forget_new_week(folder)
    found = find(case.works[0])(folder)
    assert timing.check("numpy", found, getattr(expected, case.expected)(folder), cases.TO_NUMPY) >= 2
    for work, tolerances in case.agree.items():
        if not work.startswith("rivals."):
            assert timing.check(work, found, find(work)(folder), tolerances) >= 2


def test_a_new_week_adds_one_file_of_moments_and_leaves_the_others(folder):
    tables.forget_new_week(folder)
    saved = {place.name: place.stat().st_mtime_ns for place in (folder / "moments").iterdir()}
    assert len(saved) == tables.WEEKS - 1
    doors.new_week(folder)
    after = {place.name: place.stat().st_mtime_ns for place in (folder / "moments").iterdir()}
    assert len(after) == tables.WEEKS
    assert {name: after[name] for name in saved} == saved


def test_every_figure_compares_works_that_run():
    for case in cases.CASES.values():
        assert callable(getattr(expected, case.expected))
        assert all(callable(find(work)) for work in (*case.works, *case.agree))
        assert set(case.needs) == {work for work in case.works if work.startswith("rivals.")}
        for figure in case.figures:
            assert {figure.over, figure.under} - {""} <= set(case.works)
            assert (figure.aim >= figure.must) == figure.faster


def test_figures_are_judged_at_the_rows_that_they_are_stated_for_only():
    tea = cases.CASES[2].figures[0]
    assert [tea.wanted(rows, 10_000_000) for rows in (10_000_000, 1_000_000, 20_000)] == [(3.5, 5), (6, 7), None]
    judged = [run_module._judged(value, tea, (3.5, 5))[2] for value in (3.4, 3.5, 6)]
    assert judged == [run_module.MISSED, "must", "aim"]
    slower = cases.CASES[1].figures[0]
    assert [run_module._judged(value, slower, (2.4, 1.6))[2] for value in (2.5, 2.4, 1.0)] == judged
    assert run_module._judged(9.0, slower, None) == ("", "", "")


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"x.effect": 1.001}, "x.effect is 1.0, expected 1.001"),
        ({"y.effect": 1.0}, "y.effect is missing"),
        ({"x.other": 1.0}, "nothing to compare"),
        ({"x.effect": float("nan")}, "expected nan"),
    ],
)
def test_a_fast_wrong_answer_fails(theirs, said):
    with pytest.raises(timing.BenchmarkError, match=said):
        timing.check("rival", {"x.effect": 1.0}, theirs, {"effect": 1e-6})


def test_a_process_that_fails_says_why(tmp_path):
    pythons = timing.Pythons(bytecode=tmp_path / "bytecode")
    with pytest.raises(timing.BenchmarkError, match=r"(?s)scans\.trial failed.*No files found"):
        timing.run_once("scans.trial", tmp_path, pythons)


def test_measures_are_of_the_whole_process_and_medians(folder, tmp_path):
    pythons = timing.Pythons(bytecode=tmp_path / "bytecode")
    took = timing.measure(["scans.trial"], folder, pythons, rounds=2)["scans.trial"]
    assert 0.01 < took.cpu < 60
    assert took.wall > 0.01
    assert 20 < took.peak < 500
    assert took.numbers == scans.trial(folder)
    assert pythons.compiled("scans.trial")
    assert not pythons.compiled("doors.compare")


def test_the_command_prints_a_table_in_markdown(tmp_path):
    done = run("--rows", "2600", "--cases", "1,4", "--only-numbers", "--no-rivals", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["1", "1", "4", "4", "4", "4"]
    assert sum("skipped, left out" in line for line in lines) == 2
    assert not list(tmp_path.iterdir())


def test_an_unknown_case_is_refused():
    done = run("--cases", "99")
    assert done.returncode == 2
    assert "no case 99" in done.stderr


def test_what_a_process_prints_is_json(folder, tmp_path):
    command = [sys.executable, str(BENCHMARKS / "work.py"), "scans.panel", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == {"numbers", "peak"}
