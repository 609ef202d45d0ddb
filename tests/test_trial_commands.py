"""Commands of an experiment, as a user types them: plan, lock, deal, analyse; what they refuse and leave untouched."""

from __future__ import annotations

import json
import random

import pytest

TRIAL = "auto_quote_2026q2"
LINK = "quote_hours -> win_rate"


@pytest.fixture
def units(tmp_path):
    """Sixty customers of three regions."""
    dice = random.Random(5)  # noqa: S311 - a table for tests
    path = tmp_path / "customers.csv"
    lines = [f"{i:03d},{dice.gauss(300, 50):.2f},r{i % 3},broker{i // 6}" for i in range(60)]
    path.write_text("\n".join(["customer_id,premium,region,broker", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--rate", "0.1", "--effect", "0.01", "--per-day", "1200"), "29,498 customers (14,749 an arm, 25 days)"),
        (("--sd", "12", "--n", "5000", "--covariate-r2", "0.4"), "5,000 customers"),
        (("--count-rate", "2", "--effect", "0.1", "--relative"), "power 80%"),
        (("--sd", "1", "--effect", "0.2", "--cluster-size", "20", "--icc", "0.05"), "clusters"),
        (("--sd", "1", "--effect", "0.2", "--looks", "4"), "customers"),
        (("--rate", "0.2", "--effect", "0.02", "--arm", "a=2", "--arm", "b=1", "--arm", "c=1"), "a"),
        (("--sd", "1", "--goal", "non_inferiority", "--margin", "0.1"), "customers"),
    ],
)
def test_design_answers_in_one_sentence(cpi, options, told):
    ran = cpi("design", *options)
    assert ran.code == 0, ran.err
    assert told in ran.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "0 outcomes are described"),
        (("--rate", "0.1", "--sd", "1"), "2 outcomes are described"),
        (("--rate", "0.1", "--effect", "0"), "effect"),  # C18
        (("--rate", "0.1", "--effect", "0.01", "--power", "1.2"), "power 1.2"),  # C19
        (("--rate", "0.1", "--effect", "0.01", "--alpha", "0"), "alpha 0"),  # C19
        (("--rate", "0.1", "--effect", "1e-7", "--population", "1000000"), "not feasible"),  # C20
        (("--rate", "0.1", "--effect", "0.01", "--arm", "control"), "is not a new arm with its weight"),
        (("--rate", "0.1", "--effect", "0.01", "--arm", "c=1", "--arm", "c=1"), "is not a new arm with its weight"),
        (("--rate", "0.1", "--effect", "0.01", "--icc", "0.1"), "--icc says nothing without --cluster-size"),
        (("--sd", "1", "--effect", "0.1", "--dispersion", "2"), "--dispersion says nothing without --count-rate"),
        (("--sd", "1", "--effect", "0.1", "--lever", "x"), "does not use --lever"),
        ((LINK, "--lever", "auto_quote"), "lacks --kpi-sd, --planned-move"),
    ],
)
def test_design_refuses_what_cannot_be_planned(cpi, options, told):
    ran = cpi("design", *options)
    assert ran.code == 2
    assert told in ran.err
    assert "Traceback" not in ran.err


def test_design_of_a_link_confirms_and_refutes(cpi, write_shop):
    root = write_shop()
    ran = cpi(
        "design", LINK, "--lever", "auto_quote", "--kpi-sd", "0.4", "--planned-move", "5", "--cpi-sd", "3",
        "--per-day", "200", "--project", root,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "to confirm" in ran.out
    assert "refute" in ran.out


def test_lock_amends_only_with_a_reason(cpi, write_shop):
    root = write_shop()
    first = cpi("lock", TRIAL, "--project", root, "--who", "Ann")
    plan = root / "experiments" / "trial.yaml"
    plan.write_text(plan.read_text(encoding="utf-8").replace("planned_move: 5", "planned_move: 4"), encoding="utf-8")
    stands = cpi("lock", TRIAL, "--project", root)
    assert stands.code == 1
    assert stands.out.startswith(first.out)
    assert "the files differ from this lock: planned_move: 5.0 became 4.0" in stands.out
    amended = cpi("lock", TRIAL, "--project", root, "--amend", "the engine is slower")
    assert "amended: the engine is slower" in amended.out
    assert "chain ok: 2 rows" in cpi("ledger", "verify", "--project", root).out
    assert cpi("lock", "auto_quote_2026q1", "--project", root).code == 2


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ((), "hash"),
        (("--strata", "region"), "stratified"),
        (("--balance", "premium"), "re-randomised"),
        (("--cluster", "broker"), "hash"),
    ],
)
def test_assign_writes_a_list_that_reads_back(cpi, write_shop, units, tmp_path, options, method):
    from cpi_experiments.randomized.assigning.lists import read_assignment

    out = tmp_path / "list.csv"
    ran = cpi("assign", TRIAL, "--project", write_shop(), "--units", units, "--out", out, *options)
    assert ran.code == 0, ran.err
    found = read_assignment(out)
    assert len(found.arms) == 60
    assert found.method == method
    assert set(found.arms.values()) == {"manual", "auto"}
    assert found.arms["007"] in ("manual", "auto")
    if "--cluster" in options:
        groups = [line.split(",") for line in units.read_text(encoding="utf-8").splitlines()[1:]]
        assert len({(broker, found.arms[unit]) for unit, _, _, broker in groups}) == 10


def test_assign_replaces_nothing_unless_told_to(cpi, write_shop, units, tmp_path):
    root, out = write_shop(), tmp_path / "list.csv"
    call = ("assign", TRIAL, "--project", root, "--units", units, "--out", out)
    assert cpi(*call).code == 0
    before = out.read_bytes()
    refused = cpi(*call, "--strata", "region")
    assert refused.code == 2
    assert "exists" in refused.err
    assert out.read_bytes() == before
    assert cpi(*call, "--strata", "region", "--force").code == 0
    assert out.read_bytes() != before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--cluster", "broker", "--strata", "region"), "clusters are dealt by their hash only"),
        (("--strata", "regoin"), "regoin"),
        (("--unit", "client"), "client"),
    ],
)
def test_assign_refuses_and_writes_nothing(cpi, write_shop, units, tmp_path, options, told):
    out = tmp_path / "list.csv"
    ran = cpi("assign", TRIAL, "--project", write_shop(), "--units", units, "--out", out, *options)
    assert ran.code == 2
    assert told in ran.err
    assert not out.exists()


def test_assign_without_units_asks_for_them(cpi, write_shop, tmp_path):
    ran = cpi("assign", TRIAL, "--project", write_shop(), "--out", tmp_path / "list.csv")
    assert ran.code == 2
    assert "--units customers.csv" in ran.err


def test_analyze_prints_the_link_and_records_it(cpi, write_shop):
    root = write_shop()
    cpi("register", "--project", root)
    ran = cpi("analyze", TRIAL, "--project", root, "--as-of", "2026-06-30")
    assert ran.code == 0, ran.err
    assert "quote_hours -> win_rate" in ran.out
    assert "exploratory" not in ran.out
    assert "chain ok: 3 rows" in cpi("ledger", "verify", "--project", root).out


def test_analyze_says_when_a_verdict_is_blocked(cpi, write_shop):
    ran = cpi("analyze", TRIAL, "--project", write_shop(share=0.3), "--as-of", "2026-06-30")
    assert ran.code == 3
    assert "sample ratio" in ran.out


def test_analyze_while_customers_are_measured_shows_no_effect(cpi, write_shop):  # C17
    root = write_shop()
    ran = cpi("analyze", TRIAL, "--project", root, "--as-of", "2026-04-15")
    shown = ran.out + ran.err
    assert ran.code == 2
    assert "600 of 600 units are still measured" in shown
    assert "CI" not in shown
    assert not (root / "ledger.sqlite").exists()


def test_lists_name_the_experiment_and_carry_their_digest(cpi, write_shop, units, tmp_path):
    out = tmp_path / "list.csv"
    cpi("assign", TRIAL, "--project", write_shop(), "--units", units, "--out", out)
    (beside,) = (path for path in tmp_path.glob("list*") if path.suffix == ".json")
    description = json.loads(beside.read_text(encoding="utf-8"))
    assert TRIAL in json.dumps(description)
    assert "digest" in description


def begin_in_pairs(root):
    """Customers of both arms begin on each of four days, as they would if arms were drawn; three days have closed."""
    path = root / "data" / "assignments.csv"
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines]
    dated = [f"{trial},{who},{arm},2026-03-{28 + int(who) // 2 % 4} 08:00:00" for trial, who, arm, _ in rows]
    path.write_text("\n".join([head, *dated]) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("plan", "told", "hidden"),
    [
        ("planned_n: 600", "Effects are hidden until the planned end", True),
        ("planned_n: 600\nstopping: anytime", "whatever happens next", False),
        ("planned_n: 600\nstopping: group_sequential\nlooks: [0.5, 1]", "at a planned look", False),
    ],
)
def test_monitor_shows_what_the_plan_allows(cpi, write_shop, plan, told, hidden):  # C17
    root = write_shop(("experiments/trial.yaml", "planned_n: 600", plan))
    begin_in_pairs(root)
    ran = cpi("monitor", TRIAL, "--project", root, "--as-of", "2026-04-27")
    assert ran.code == 0, ran.err
    assert told in " ".join(ran.out.split())
    assert ("win_rate" in ran.out) != hidden


def test_monitor_before_any_window_has_closed_says_when(cpi, write_shop):
    ran = cpi("monitor", TRIAL, "--project", write_shop(), "--as-of", "2026-04-15")
    assert ran.code == 2
    assert "The first closes on 2026-04-29" in ran.err


def test_monitor_blocks_on_a_broken_split(cpi, write_shop):
    ran = cpi("monitor", TRIAL, "--project", write_shop(share=0.3), "--as-of", "2026-05-05")
    assert ran.code == 3
    assert "sample ratio" in ran.out


def test_a_wrong_experiment_is_told_before_any_table_is_opened(cpi, write_shop):
    root = write_shop()
    (root / "data" / "quotes.csv").unlink()
    for command in (("analyze",), ("monitor", "--as-of", "2026-05-08"), ("lock",)):
        ran = cpi(command[0], "auto_quote_2026q1", *command[1:], "--project", root)
        assert ran.code == 2
        assert "'auto_quote_2026q1' is not planned" in ran.err
