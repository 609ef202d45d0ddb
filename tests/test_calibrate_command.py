"""`cpi calibrate` as a user types it: what it prints, writes, refuses, and leaves behind when it is interrupted."""

import json
import re
from dataclasses import replace

import pytest

from cpi_experiments.calibration import harness, roster
from cpi_experiments.calibration.unit_worlds import WORLDS
from cpi_experiments.calibration.world import Claim
from cpi_experiments.cli import calibrate

ONE = "team_unassignable"


@pytest.fixture
def few(monkeypatch):
    """A roster of three small worlds, of which the last fails if asked to."""

    def choose(*, fails=False):
        chosen = [
            replace(w, reps_quick=200 if w.name == ONE else 20, reps_full=200)
            for w in WORLDS
            if w.name in (ONE, "clean_strong")
        ]
        if fails:
            bad = Claim(name="assigned without own lever", relation=">=", bound=0.5, kind="verdict")
            chosen.append(replace(chosen[-1], name="bound_to_fail", claims=(bad, chosen[-1].claims[1])))
        monkeypatch.setattr(roster, "worlds", lambda: tuple(chosen))
        monkeypatch.setattr(harness, "all_worlds", lambda: tuple(chosen))

    choose()
    return choose


def test_one_line_a_claim_in_eighty_columns(cpi, few):
    ran = cpi("calibrate", "--processes", "1")
    assert ran.code == 0, ran.err
    lines = ran.out.split("\n")
    assert max(map(len, lines)) <= 80
    assert sum(line.endswith((" holds", " open", " shown")) for line in lines) == 6
    assert re.search(r"^    assigned without own lever +0\.0000 +0\.0000-0\.\d{4}  <= 0 +holds$", ran.out, re.MULTILINE)
    assert "29 team_unassignable (" in ran.out
    assert re.match(r"Every one of 6 claims in 2 worlds passes \(seed 20261122", ran.out)
    assert re.search(r"^    claim +rate +band +bound +state$", ran.out, re.MULTILINE)
    assert ran.out.index("open: not") < ran.out.index("    claim  ")
    assert re.search(r"\d hold, \d (is|are) not contradicted \(too few draws to show more\)", " ".join(lines))
    assert re.search(rf"^{ONE}: holds \(\d+\.\d s\)$", ran.err, re.MULTILINE)


def test_a_claim_that_does_not_hold_ends_with_one(cpi, few):
    few(fails=True)
    ran = cpi("calibrate", "--processes", "1")
    assert ran.code == 1
    assert "FAILS" in ran.out
    assert "1 of 8 claims in 3 worlds does not hold" in ran.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--world", "team_unasignable"), "Did you mean 'team_unassignable'?"),
        (("--world", ""), "`cpi calibrate --list` names all 2."),
        (("--seed", "x", "--world", ONE), "seed 'x' is no seed"),
        (("--seed", "-1", "--world", ONE), "seed '-1' is no seed"),
        (("--json", "no/such/folder.json", "--world", ONE), "which does not exist"),
        (("--markdown", ".", "--world", ONE), ". is a folder"),
        (("--processes", "0"), "--processes"),
    ],
)
def test_bad_input_is_told_before_anything_is_simulated(cpi, few, tmp_path, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    ran = cpi("calibrate", *options)
    assert ran.code == 2
    assert told in ran.err
    assert list(tmp_path.iterdir()) == []


def test_seed_gives_the_same_rates_and_fresh_another_seed(cpi, few, tmp_path):
    found = []
    for seed in ("7", "7", "8", "fresh", "fresh"):
        path = tmp_path / f"{len(found)}.json"
        ran = cpi("calibrate", "--world", ONE, "--seed", seed, "--json", path)
        assert ran.code in (0, 1), ran.err
        found.append(json.loads(path.read_text()))
    rates = [[o["rate"] for o in each["outcomes"]] for each in found]
    assert rates[0] == rates[1] != rates[2]
    assert found[0]["seed"] == 7
    assert found[3]["seed"] != found[4]["seed"]
    assert found[3]["fresh"] is True
    assert {"world", "claim", "rate", "band_low", "band_high", "reps", "passed"} <= set(found[0]["outcomes"][0])


def test_page_is_filled_between_its_marks_and_nowhere_else(cpi, few, tmp_path):
    page, new = tmp_path / "page.md", tmp_path / "new.md"
    page.write_text(f"before\n{calibrate.BEGIN}\nyesterday\n{calibrate.END}\nafter\n", encoding="utf-8")
    for path in (page, page, new):
        assert cpi("calibrate", "--world", ONE, "--markdown", path).code == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{calibrate.BEGIN}\n\n")
    assert text.endswith(f"\n\n{calibrate.END}\nafter\n")
    assert "yesterday" not in text
    assert text.count("assigned without own lever") == new.read_text(encoding="utf-8").count(
        "assigned without own lever"
    )
    page.write_text("no marks", encoding="utf-8")
    ran = cpi("calibrate", "--world", ONE, "--markdown", page)
    assert ran.code == 2
    assert "has no lines" in ran.err
    assert page.read_text(encoding="utf-8") == "no marks"


def test_list_names_every_world_and_runs_none(cpi):
    ran = cpi("calibrate", "--list")
    lines = ran.out.rstrip("\n").split("\n")
    assert ran.code == 0
    assert lines[2].split()[:2] == ["#", "world"]
    assert sum(line[4] != " " for line in lines[3:]) == len(roster.worlds())
    assert max(map(len, lines)) <= 80
    assert any(re.match(r" 33 clustered +No effect", line) for line in lines)
    assert "..." not in ran.out
    assert all(" ".join(w.title.split()) in " ".join(ran.out.split()) for w in roster.worlds())


def test_unknown_worlds_are_answered_with_the_nearest_five(cpi):
    ran = cpi("calibrate", "--world", "peeking_lost")
    assert ran.code == 2
    assert 1 <= ran.err.count("'") / 2 - 1 <= 5
    assert f"`cpi calibrate --list` names all {len(roster.worlds())}." in ran.err


def test_long_runs_end_with_the_summary_that_they_began_with(monkeypatch):
    found = harness.run(world="peeking_capped_early")
    monkeypatch.setattr(calibrate, "SHORT", 3)
    lines = list(calibrate.table_of(found))
    assert lines[-1] == f"{found.date}, quick, {found.seconds:.0f} s"
    assert lines[: lines.index(lines[-1]) + 1] == lines[-lines.index(lines[-1]) - 1 :]
    assert sum(line.endswith("breaks 0.02  shown") for line in lines) == 1


@pytest.mark.parametrize(
    ("quick", "one", "cores", "expected"),
    [(True, True, 8, 1), (True, False, 8, 2), (False, True, 8, 2), (True, False, 1, 1)],
)
def test_two_processes_only_where_that_pays(monkeypatch, quick, one, cores, expected):
    monkeypatch.setattr(calibrate.os, "cpu_count", lambda: cores)
    assert calibrate._processes(quick=quick, one=one) == expected


@pytest.mark.parametrize("processes", ["1", "2"])
def test_interrupted_run_leaves_nothing(cpi_process, tmp_path, processes):
    (tmp_path / "kept.md").write_text(f"{calibrate.BEGIN}\nold\n{calibrate.END}\n", encoding="utf-8")
    before = (tmp_path / "kept.md").read_bytes()
    ran = cpi_process(
        "calibrate", "--full", "--processes", processes, "--json", "rates.json", "--markdown", "kept.md",
        cwd=tmp_path, interrupt_after=6,
    )  # fmt: skip
    assert ran.code == 130, ran.err
    assert "interrupted" in ran.err
    assert "Traceback" not in ran.err
    assert ran.seconds < 40
    assert [path.name for path in tmp_path.iterdir()] == ["kept.md"]
    assert (tmp_path / "kept.md").read_bytes() == before


def test_processes_share_the_work_and_change_no_rate(cpi_process, tmp_path):
    rates = []
    for processes in ("1", "2"):
        ran = cpi_process(
            "calibrate",
            "--world",
            "clustered_few",
            "--processes",
            processes,
            "--json",
            f"{processes}.json",
            cwd=tmp_path,
        )
        assert ran.code == 0, ran.err
        rates.append([o["rate"] for o in json.loads((tmp_path / f"{processes}.json").read_text())["outcomes"]])
    assert rates[0] == rates[1]
