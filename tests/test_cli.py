"""Laws of the command line: what it prints, what it writes, what it refuses, and with which exit code."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import sqlite3
import subprocess
import sys

import pytest

from cpi_experiments.cli import main
from cpi_experiments.errors import DataError

pytestmark = pytest.mark.xdist_group("demo")

FILES = {"review.html", "review.json", "verdicts.csv", "charter.csv", "scorecard.csv", "truth.csv", "company"}
PICTURES = {"forest.svg", "forest.png", "link_map.svg", "link_map.png"}
UNTRUE = {"null", "trivial", "confounded", "harmful"}


def check_refused(ran, *found):
    """One message that says what was found and what to do; exit 2; nothing on stdout."""
    assert ran.code == 2
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert ran.err.startswith("cpi: ")
    assert ran.err.count("cpi: ") == 1
    assert len(ran.err.strip().splitlines()) >= 2, "no advice"
    for text in found:
        assert text in ran.err


def content(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def table(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def timeless(path):
    """Content of review.json without what the clock put in: times of the ledger, and the hashes that hold them."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", path.read_text(encoding="utf-8"))
    review = json.loads(text)
    head = review["ledger_head"]
    return json.loads(text.replace(head, "HEAD").replace(head[:8], "HEAD"))


def alike(one, other):
    """Equal in every word; numbers to ten digits, as sums over threads are."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    try:
        return one == other or math.isclose(float(one), float(other), rel_tol=1e-9, abs_tol=1e-12)
    except (TypeError, ValueError):
        return False


# -- the demo --------------------------------------------------------------------------------------------------------


def test_demo_is_quick_and_small(demo):
    assert (demo.code, demo.err) == (0, "")
    assert demo.seconds <= 60
    assert 50 < demo.mebibytes <= 2048


def test_demo_writes_files_that_parse(demo):
    assert {path.name for path in demo.folder.iterdir()} == FILES | PICTURES
    review = json.loads((demo.folder / "review.json").read_text(encoding="utf-8"))
    assert (
        len(review["verdicts"])
        == len(table(demo.folder / "verdicts.csv"))
        == len(table(demo.folder / "truth.csv"))
        == 12
    )
    assert len(table(demo.folder / "charter.csv")) == len(review["charter"]) > 0
    page = (demo.folder / "review.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert (demo.folder / "company" / "cpi.yaml").is_file()


def test_demo_prints_every_verdict_beside_the_truth(demo):  # G08
    assert "12 of 12 verdicts agree with the truth." in demo.out
    for row in table(demo.folder / "truth.csv"):
        assert row["link"] in demo.out
        assert row["kind"] in demo.out
    assert "wrote report/review.html" in demo.out
    assert re.search(r"ledger head \d+:[0-9a-f]{64}\nsize small, seed \d+\n$", demo.out)
    assert max(map(len, demo.out.splitlines())) <= 100
    assert "\x1b" not in demo.out
    assert "\r" not in demo.out


def test_same_seed_gives_the_same_verdicts_and_another_confirms_nothing_untrue(demo, cpi, tmp_path):  # G08
    seed = re.search(r"seed (\d+)", demo.out).group(1)
    again = cpi("demo", "--out", tmp_path / "again", "--seed", seed, "--quiet")
    assert again.code == 0
    for name in ("verdicts.csv", "charter.csv", "truth.csv"):
        assert alike(table(tmp_path / "again" / name), table(demo.folder / name))
    assert alike(timeless(tmp_path / "again" / "review.json"), timeless(demo.folder / "review.json"))
    other = cpi("demo", "--out", tmp_path / "again", "--seed", int(seed) + 1, "--force")
    assert other.code == 0
    assert {path.name for path in (tmp_path / "again").iterdir()} == FILES | PICTURES
    verdicts = {row["link"]: row["verdict"] for row in table(tmp_path / "again" / "verdicts.csv")}
    untrue = [row["link"] for row in table(tmp_path / "again" / "truth.csv") if row["kind"] in UNTRUE]
    assert len(untrue) == 4
    assert "confirmed" not in {verdicts[link] for link in untrue}
    first = {row["link"]: row["effect"] for row in table(demo.folder / "verdicts.csv")}
    assert first != {row["link"]: row["effect"] for row in table(tmp_path / "again" / "verdicts.csv")}


def test_interrupted_demo_leaves_nothing(cpi_process, tmp_path):  # G11
    (tmp_path / "kept").mkdir()
    for out in ("new/report", "kept"):
        ran = cpi_process("demo", "--out", out, cwd=tmp_path, interrupt_after=3.0)
        assert ran.code == 130
        assert ran.err.strip() == "cpi: interrupted; nothing was kept of what was not finished."
        assert ran.out == ""
        assert content(tmp_path) == ["kept"]


@pytest.mark.parametrize(
    ("out", "found"),
    [
        ("../../x", "leads out of the folder"),
        ("a\0b", "is not a folder name"),
        (" ", "is not a folder name"),
        ("x" * 300, "300 bytes is too long"),
        ("/proc/nowhere/x", "cannot be written"),
        ("file", "is a file"),
        ("file/below", "cannot be written"),
        ("full", "is not empty"),
        ("/".join(["x" * 190] * 30), "cannot be written"),
    ],
)
@pytest.mark.parametrize("command", ["demo", "run"])
def test_out_that_cannot_be_written_is_refused_before_anything_is_computed(  # G02 G03
    command, out, found, cpi, write_shop, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    root, before = write_shop(), content(tmp_path)
    given = ("demo",) if command == "demo" else ("run", "2026Q2", "--project", root)
    check_refused(cpi(*given, "--out", out), found)
    assert content(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_folder_of_somebody_else_is_refused(cpi, tmp_path):
    assert cpi("demo", "--out", "a/../b").code == 2  # everything that the command needs is loaded
    os.seteuid(65534)
    try:
        ran = cpi("demo", "--out", tmp_path / "new")
    finally:
        os.seteuid(0)
    check_refused(ran, "new cannot be written (Permission denied)", "Choose another folder.")
    assert content(tmp_path) == []


@pytest.mark.parametrize("change", ["another project", "no settings", "a link"])
def test_force_never_removes_what_is_not_an_earlier_demo(change, cpi, write_shop, tmp_path):
    mine = write_shop(folder="elsewhere/company")
    if change == "no settings":
        (mine / "cpi.yaml").unlink()
    if change == "a link":
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "company").symlink_to(mine)
    before = content(mine)
    out = tmp_path / ("linked" if change == "a link" else "elsewhere")
    check_refused(cpi("demo", "--out", out, "--force"), "is not the company of an earlier demo, and stays as it is")
    assert content(mine) == before


def test_draft_of_a_killed_run_is_cleared(cpi, write_shop):
    root = write_shop()
    draft = root / "reports" / "2026Q2" / ".cpi-draft"
    draft.mkdir(parents=True)
    (draft / "half.html").write_text("half")
    check_refused(cpi("run", "2026Q2", "--project", root), "is not empty")
    assert cpi("run", "2026Q2", "--project", root, "--force").code == 0
    assert not draft.exists()


# -- options and environments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["run", "--bogus"], "No such option"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run"], "Missing argument 'QUARTER'"),
        (["demo", "--size", "huge"], "'huge' is not one of"),
        (["demo", "--seed", "-1"], "-1"),
        (["demo", "--seed", "five"], "'five' is not a valid int"),
        (["link", "x.csv", "--cpi", "a"], "Missing option"),
        (
            ["compare", "x.csv", "--arm", "a", "--control", "b", "--outcome", "c", "--confidence-level", "five"],
            "'five'",
        ),
    ],
)
def test_wrong_use_shows_the_usage(cpi, arguments, found):  # G01
    ran = cpi(*arguments)
    check_refused(ran, found, "Usage: cpi", "--help")


def test_help_and_version(cpi):
    assert cpi("-h").out == cpi("--help").out
    assert "cpi demo  " in cpi("--help").out
    assert re.fullmatch(r"cpi, version \d+\.\d+\.\d+\n", cpi("--version").out)
    bare = cpi()
    assert (bare.code, bare.out) == (2, "")
    assert bare.err.startswith("Usage: cpi")
    for command in ("init", "lint", "candidates", "register", "run", "demo", "link", "compare", "ledger"):
        assert cpi(command, "--help").code == 0


def test_help_loads_nothing_heavy():
    script = (
        "import sys; from cpi_experiments.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy','pandas','scipy','duckdb','matplotlib','yaml','pydantic','jinja2','statsmodels','sqlite3'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_output_is_the_same_in_every_locale(cpi_process, trial):  # G13
    trial.write_text(trial.read_text().replace("won", "gewonnen für uns"), encoding="utf-8")
    given = ("compare", trial, "--arm", "variant", "--control", "0", "--outcome", "gewonnen für uns")
    languages = ({"LC_ALL": "C", "LANG": "C"}, {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"})
    runs = [cpi_process(*given, PYTHONWARNINGS="error", **language) for language in languages]
    assert [run.code for run in runs] == [0, 0]
    assert runs[0].out == runs[1].out
    assert "gewonnen für uns" in runs[0].out


def test_reader_who_goes_away_sees_no_error(trial):
    script = "import sys; from cpi_experiments.cli import main; main(sys.argv[1:])"
    given = ["compare", str(trial), "--arm", "variant", "--control", "0", "--outcome", "won"]
    command = [sys.executable, "-c", script, *given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        RuntimeError("Query interrupted"),
        RuntimeError("KeyboardInterrupt: "),
        DataError("the query cannot run: Interrupted!"),
        DataError("the query cannot run: KeyboardInterrupt: "),
    ],
)
def test_interrupt_is_one_however_it_arrives(cpi, monkeypatch, error, write_shop):
    def fail(_):
        raise error

    root = write_shop()
    monkeypatch.setattr("cpi_experiments.study.study.load_catalog", fail)
    ran = cpi("candidates", "--project", root)
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.strip() == "cpi: interrupted; nothing was kept of what was not finished."


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (MemoryError(), "there is not enough memory for these data.\n  Close"),
        (OSError(28, "No space left on device", "x.csv"), "x.csv: No space left on device.\n  Check the path"),
        (KeyError("won"), "KeyError: 'won'\n  This is a defect"),
    ],
)
def test_unforeseen_errors_are_one_message_unless_debug(cpi, monkeypatch, error, found, write_shop):
    def fail(_):
        raise error

    root = write_shop()
    monkeypatch.setattr("cpi_experiments.study.study.load_catalog", fail)
    check_refused(cpi("candidates", "--project", root), found)
    with pytest.raises(type(error)):
        main(["--debug", "candidates", "--project", str(root)])


# -- a project -------------------------------------------------------------------------------------------------------


def test_starter_project_is_made_and_has_no_finding(cpi, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = cpi("init", "insurer")
    assert made.out == "wrote 7 files to insurer; next: cd insurer && cpi lint\n"
    monkeypatch.chdir(tmp_path / "insurer")
    assert cpi("lint").code == 0
    assert "pairs of CPI and KPI" in cpi("candidates").out
    before = content(tmp_path)
    check_refused(cpi("run", "2026Q4"), "data/")
    assert content(tmp_path) == before
    monkeypatch.chdir(tmp_path)
    check_refused(cpi("init", "insurer"), "holds")
    check_refused(cpi("init", "../x"), "leads out")
    check_refused(cpi("lint"), "is not a project folder", "cpi init")


def test_lint_exits_1_with_file_line_and_remedy(cpi, write_shop):
    root = write_shop(
        ("catalog/shop.yaml", "id: quote_hours\n    label: Fast Quote", "id: quote_hours\n    label: NPS")
    )
    ran = cpi("lint", "--project", root)
    assert ran.code == 1
    assert re.search(r"^catalog/shop\.yaml:\d+  error    ", ran.out, re.MULTILINE)
    assert re.search(r"^one error, no warnings in one CPI, one KPI, one team$", ran.out, re.MULTILINE)


def test_register_freezes_once(cpi, write_shop):
    root = write_shop()
    one = cpi("register", "quote_hours -> win_rate", "--project", root, "--who", "Ann")
    every = cpi("register", "--project", root)
    assert one.out == every.out
    assert "registered 20" in one.out
    assert "chain ok: 2 rows" in cpi("ledger", "verify", "--project", root).out
    check_refused(cpi("register", "quote_hours -> wim_rate", "--project", root), "wim_rate")
    check_refused(cpi("register", "nonsense", "--project", root), "nonsense")


def test_run_reports_once_and_appends_to_the_ledger(cpi, write_shop, tmp_path):  # G04
    root, before = write_shop(), content(tmp_path)
    plan = cpi("run", "2026Q2", "--project", root, "--dry-run")
    assert (plan.code, content(tmp_path)) == (0, before)
    assert "analyse auto_quote_2026q2" in plan.out
    early = cpi("run", "2026-Q1", "--project", root, "--dry-run").out
    assert "analyse no experiment\nrunning, effects hidden: none\n" in early
    first = cpi("run", "2026Q2", "--project", root)
    assert (first.code, first.err) == (0, "")
    assert "confirmed" in first.out
    anchor = re.search(r"ledger head (\S+)", first.out).group(1)
    assert {path.name for path in (root / "reports" / "2026Q2").iterdir()} == (FILES | PICTURES) - {
        "company",
        "truth.csv",
    }
    check_refused(cpi("run", "2026Q2", "--project", root), "is not empty", "--force")
    second = cpi("run", "2026Q2", "--project", root, "--force", "--out", tmp_path / "again" / "here")
    assert second.code == 0
    assert (tmp_path / "again" / "here" / "verdicts.csv").read_bytes() == (
        root / "reports/2026Q2/verdicts.csv"
    ).read_bytes()
    verified = cpi("ledger", "verify", "--project", root, "--anchor", anchor)
    assert (verified.code, verified.out) == (
        0,
        f"chain ok: 8 rows, head {re.search(r'ledger head (.*)', second.out).group(1)}\n",
    )
    check_refused(cpi("ledger", "verify", "--project", root, "--anchor", "x"), "is not COUNT:HASH")
    assert cpi("ledger", "verify", "--project", root, "--anchor", "9:" + "0" * 64).code == 1


def test_paths_are_those_of_the_project_wherever_it_is_started(cpi, write_shop, tmp_path, monkeypatch):  # G12
    root = write_shop()
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    assert cpi("run", "2026Q2", "--project", "../shop").code == 0
    assert content(tmp_path / "else") == []
    assert (root / "ledger.sqlite").is_file()
    assert (root / "reports/2026Q2/review.html").is_file()


def test_tampered_ledger_is_named_and_stops_the_run(cpi, write_shop):
    root = write_shop()
    assert cpi("run", "2026Q2", "--project", root).code == 0
    with sqlite3.connect(root / "ledger.sqlite") as ledger:
        for (name,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            ledger.execute(f'DROP TRIGGER "{name}"')
        ledger.execute("UPDATE entries SET payload = replace(payload, '0.004', '0.001') WHERE seq = 1")
    ledger.close()
    verified = cpi("ledger", "verify", "--project", root)
    assert verified.code == 1
    assert "row 1" in verified.out
    assert "chain ok" not in verified.out
    before = content(root)
    check_refused(cpi("run", "2026Q2", "--project", root, "--force"), "ledger.sqlite", "cpi ledger verify")
    assert content(root) == before


def test_broken_sample_ratio_blocks_the_link_and_exits_3(cpi, write_shop):  # C04
    root = write_shop(share=0.6)
    ran = cpi("run", "2026Q2", "--project", root)
    assert (ran.code, ran.err) == (3, "")
    assert "blocked" in ran.out
    assert table(root / "reports/2026Q2/verdicts.csv")[0]["verdict"] == "blocked"
    assert "chain ok: 6 rows" in cpi("ledger", "verify", "--project", root).out


DATA = "data/quotes.csv"


@pytest.mark.parametrize(
    ("quarter", "replacement", "found"),
    [
        ("2026Q5", (), ["'2026Q5' is not a quarter", "2026Q4"]),  # G05
        ("2020Q1", (), ["no indicator has data", "2026-01-01"]),  # G06
        ("2026Q2", ("cpi.yaml", "fdr: 0.10", "fdr: 5"), ["cpi.yaml:2", "Did you mean 0.05?"]),  # G07
        ("2026Q2", ("cpi.yaml", "fdr: 0.10", "fdr: 0"), ["cpi.yaml:2", "between 0 and 1"]),  # G07
        ("2026Q2", ("cpi.yaml", "fdr: 0.10", "fdr: -1"), ["cpi.yaml:2", "between 0 and 1"]),  # G07
        ("2026Q2", ("cpi.yaml", "fdr: 0.10", "fdr: five"), ["cpi.yaml:2", "five"]),  # G07
        ("2026Q2", ("cpi.yaml", "data/quotes.csv", "postgres://ann:s3cret@host/db"), ["cpi.yaml:4", "remote"]),
        ("2026Q2", ("cpi.yaml", "data/quotes.csv", "data/gone.csv"), ["gone.csv"]),
        ("2026Q2", ("cpi.yaml", "data/quotes.csv", "../quotes.csv"), ["cpi.yaml:4"]),
        ("2026Q2", (DATA, "2026-01-01 09:00:00", "banana"), ["quotes", "'requested_at' is text"]),
        ("2026Q2", (DATA, ",1,mail@example.org", ",yes,mail@example.org"), ["won"]),
        ("2026Q2", (DATA, "customer_id,requested_at", "client,requested_at"), ["customer_id"]),
        ("2026Q2", ("data/assignments.csv", ",auto,", ",automatic,"), ["experiment auto_quote_2026q2", "'automatic'"]),  # C06
        ("2026Q2", ("data/assignments.csv", "experiment,", "trial,"), ["experiment"]),
        ("2026Q2", ("experiments/trial.yaml", "lever: auto_quote", "lever: auto_qoute"), ["experiments/trial.yaml", "auto_quote"]),
        ("2026Q2", ("experiments/trial.yaml", '["quote_hours -> win_rate"]', '["quote_hours -> churn"]'), ["experiments/trial.yaml", "churn"]),
        ("2026Q2", ("experiments/trial.yaml", "2026-04-10", "soon"), ["experiments/trial.yaml"]),
    ],
)  # fmt: skip
def test_bad_input_is_one_message_and_writes_nothing(cpi, write_shop, quarter, replacement, found):
    root = write_shop(*[replacement] if replacement else [], email="mail@example.org")
    before = content(root)
    ran = cpi("run", quarter, "--project", root)
    check_refused(ran, *found)
    assert "mail@example.org" not in ran.err
    assert "s3cret" not in ran.err
    assert content(root) == before


def test_truncated_parquet_is_refused(cpi, demo, tmp_path):
    root = tmp_path / "company"
    shutil.copytree(demo.folder / "company", root)
    (root / "ledger.sqlite").unlink()
    quotes = root / "data" / "quotes.parquet"
    quotes.write_bytes(quotes.read_bytes()[:5000])
    before = content(root)
    check_refused(cpi("run", "2026Q4", "--project", root), "quotes")
    assert content(root) == before


def test_hostile_labels_are_text_everywhere(cpi, write_shop):
    root = write_shop(
        ("catalog/shop.yaml", "label: Sales Operations", 'label: "<script>alert(1)</script>"'),
        ("catalog/shop.yaml", "label: Win rate", "label: '=HYPERLINK(\"http://evil.example\")'"),
        email="canary@example.org",
    )
    ran = cpi("run", "2026Q2", "--project", root)
    assert ran.code == 0
    folder = root / "reports/2026Q2"
    page = (folder / "review.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for name in ("verdicts.csv", "charter.csv"):
        for row in csv.reader((folder / name).read_text(encoding="utf-8").splitlines()):
            assert not [cell for cell in row if cell.startswith(("=", "@", "+", "\t"))]
    everything = ran.out + ran.err + "".join(path.read_bytes().decode("latin-1") for path in folder.iterdir())
    assert "canary@example.org" not in everything + (root / "ledger.sqlite").read_bytes().decode("latin-1")


# -- one file --------------------------------------------------------------------------------------------------------


@pytest.fixture
def trial(tmp_path):
    path = tmp_path / "trial.csv"
    rows = [f"{i % 2},{10 - 3 * (i % 2) + i % 7},{int(i % 5 < 2 + i % 2)},{i % 20},{i % 3}" for i in range(400)]
    path.write_text("variant,quote_hours,won,broker,prior\n" + "\n".join(rows) + "\n")
    return path


def test_link_of_one_file_with_a_numeric_arm(cpi, trial):
    ran = cpi(
        "link", trial, "--cpi", "quote_hours", "--kpi", "won", "--arm", "variant", "--control", "0", "--increment", "-1",
        "--covariate", "prior",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert "sample ratio" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


def test_compare_of_one_file(cpi, trial):
    given = ("compare", trial, "--arm", "variant", "--control", "0", "--outcome", "won")
    both = cpi(*given, "--outcome", "quote_hours")
    assert (both.code, both.err) == (0, "")
    assert "won" in both.out
    assert "quote_hours" in both.out
    check_refused(cpi(*given, "--confidence-level", "5"), "confidence level 5 is not between 0 and 1")
    check_refused(
        cpi("compare", trial, "--arm", "variant", "--control", "2", "--outcome", "won"), "'2' is not an arm", "0, 1"
    )
    check_refused(cpi("compare", trial, "--arm", "variant", "--control", "0", "--outcome", "wom"), "wom", "won")


def test_a_blocked_trial_exits_3_and_says_so_first(cpi, trial):
    head, *rows = trial.read_text().splitlines()
    trial.write_text("\n".join([head, *(row for at, row in enumerate(rows) if at % 6 not in (1, 3))]) + "\n")
    given = (trial, "--arm", "variant", "--control", "0")
    ran = cpi("compare", *given, "--outcome", "won")
    assert (ran.code, ran.err) == (3, "")
    assert ran.out.startswith("Blocked: the sample ratio")
    for kpis in (("--kpi", "won"), ("--kpi", "won", "--kpi", "prior")):
        ran = cpi("link", *given, "--cpi", "quote_hours", *kpis)
        assert (ran.code, ran.err) == (3, "")
        assert "BLOCKED" in ran.out


def test_options_that_do_not_go_together_are_refused(cpi, trial):
    given = ("compare", trial, "--arm", "variant", "--control", "0", "--outcome", "won")
    check_refused(cpi(*given, "--cap", "prior=3"), "--cap prior is for a column that is no outcome")
    check_refused(cpi(*given, "--cap", "won=abc"), "'abc' is neither a number nor a percentile", "p99")
    assert cpi(*given, "--cap", "won=p99").code == 0
    check_refused(cpi("aa", trial, "--outcome", "won", "--n", "10", "--ladder"), "--n and --ladder")


def test_boolean_arms_are_named_on_the_command_line(cpi, trial):
    trial.write_text(trial.read_text().replace("\n0,", "\nFalse,").replace("\n1,", "\nTrue,"))
    ran = cpi("compare", trial, "--arm", "variant", "--control", "False", "--outcome", "won")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("True -> won")


@pytest.mark.parametrize("name", ["gone.csv", "a\0b.csv", "model.pkl", "empty.csv", "."])
def test_file_that_cannot_be_read_is_refused(cpi, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "model.pkl").write_bytes(b"x")
    given = ("--arm", "a", "--control", "b", "--confidence-level", "0.9")
    check_refused(cpi("compare", name, *given, "--outcome", "c"))
    check_refused(cpi("link", name, *given, "--cpi", "c", "--kpi", "k"))


def test_text_among_numbers_is_refused_without_showing_it(cpi, trial):
    trial.write_text(trial.read_text().replace(",1,", ",canary@example.org,", 1))
    ran = cpi("compare", trial, "--arm", "variant", "--control", "0", "--outcome", "won")
    check_refused(ran, "won")
    assert "canary" not in ran.err


def test_progress_bar_goes_to_the_terminal_only(cpi, write_shop, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    root = write_shop()
    loud = cpi("run", "2026Q2", "--project", root)
    assert "judging" in loud.err
    assert "judging" not in loud.out
    assert cpi("run", "2026Q2", "--project", root, "--force", "--quiet").err == ""


def test_deck_is_written_on_request_and_its_extra_is_named_where_absent(cpi, write_shop, monkeypatch):  # G09
    root = write_shop()
    assert cpi("run", "2026Q2", "--project", root, "--deck").code in (0, 3)
    assert (root / "reports" / "2026Q2" / "review.pptx").read_bytes()[:2] == b"PK"
    monkeypatch.setitem(sys.modules, "pptx", None)
    check_refused(cpi("run", "2026Q2", "--project", root, "--deck", "--force"), "cpi-experiments[report]")


def test_table_keeps_to_a_narrow_terminal(cpi, write_shop, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    ran = cpi("run", "2026Q2", "--project", write_shop(), "--quiet")
    table = ran.out.split("\n\n")[0].splitlines()
    assert len(table) >= 3
    assert max(map(len, table)) <= 80
