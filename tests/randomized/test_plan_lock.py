"""The analysis plan is decided before the data are looked at: what is locked, and what a deviation becomes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.errors import CatalogError, DataError, DesignError
from cpi_experiments.estimate import from_plain
from cpi_experiments.hypotheses.candidates import hypothesis_of
from cpi_experiments.ledger.store import Ledger
from cpi_experiments.randomized.experiment import Experiment
from cpi_experiments.randomized.planning.analysis_plan import AnalysisPlan, changes, plan_of
from cpi_experiments.randomized.planning.plan_lock import follows_lock, lock_plan, locked_plans
from cpi_experiments.randomized.plans import read_plans
from cpi_experiments.study.study import Study

TRIAL = "auto_quote_2026q2"
JUNE = date(2026, 6, 30)


@pytest.fixture
def plan(write_shop) -> AnalysisPlan:
    root = write_shop()
    catalog = load_catalog(root)
    experiment = read_plans(root / "experiments", catalog, root=root)[TRIAL]
    return plan_of(experiment, catalog, [hypothesis_of(catalog, link) for link in experiment.links])


def edited(study: Study, old: str, new: str, *, file: str = "experiments/trial.yaml") -> Study:
    path = study.project.root / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return Study.open(study.project.root)


def test_a_plan_holds_all_that_is_decided_beforehand(plan):
    content = plan.content()
    assert content["sesoi"] == {"quote_hours -> win_rate": 0.004}
    assert set(content["outcomes"]) == {"quote_hours", "win_rate"}
    for name in (
        "scale",
        "covariates",
        "caps",
        "exclude",
        "stopping",
        "looks",
        "planned_n",
        "allocation",
        "adjustment",
    ):
        assert name in content
    assert "not locked" in str(plan)
    assert len(plan.to_frame()) >= len(content) - 2
    assert max(map(len, str(plan).splitlines())) <= 80


def test_a_lock_holds_until_it_is_amended_with_a_reason(plan, tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    first = lock_plan(plan, ledger, who="Ann")
    assert first.locked
    assert lock_plan(plan, ledger) == first
    other = replace(plan, covariates=("prior_premium",))
    assert lock_plan(other, ledger) == first
    assert ledger.head().count == 1
    second = lock_plan(other, ledger, amend="the premium is known after all")
    assert (second.covariates, second.reason, second.after_data) == (
        ("prior_premium",),
        "the premium is known after all",
        "",
    )
    assert locked_plans(ledger) == {TRIAL: second}
    assert [row.supersedes for row in ledger.rows()] == [None, first.seq]


def test_a_lock_reads_back_as_it_was_written(plan, tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    lock_plan(replace(plan, caps={"win_rate": None, "quote_hours": 240.0}, guardrails={"nps": 1.5}), ledger)
    found = locked_plans(ledger)[TRIAL]
    assert found.content_digest() == found.digest
    assert from_plain(AnalysisPlan, found.to_dict()) == found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"covariates": ("prior_premium",)}, "covariates: none became prior_premium"),
        ({"caps": {"quote_hours": 48.0, "win_rate": None}}, "caps, quote_hours: none became 48.0"),
        ({"sesoi": {"quote_hours -> win_rate": 0.001}}, "sesoi, quote_hours -> win_rate: 0.004 became 0.001"),
        ({"stopping": "anytime"}, "stopping: fixed became anytime"),
        ({"exclude": "staff = 'yes'"}, "exclude: none became staff = 'yes'"),
        ({"scale": "relative"}, "became relative"),
        ({"end": "2026-09-01"}, "end: 2026-04-10 became 2026-09-01"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_every_deviation_is_named(plan, change, told):
    locked = replace(plan, digest=plan.content_digest())
    found = follows_lock(replace(plan, **change), locked)
    assert not found.passed
    assert told in found.advice
    assert len(changes(locked, replace(plan, **change))) == 1
    assert replace(plan, **change).content_digest() != locked.digest
    assert follows_lock(plan, locked).passed


def test_following_the_lock_counts_and_carries_its_digest(write_shop):
    with Study.open(write_shop()) as study:
        study.register("quote_hours -> win_rate")
        (found,) = study.analyze(TRIAL, as_of=JUNE)
        assert found.exploratory == ""
        assert found.plan_digest == locked_plans(study.ledger)[TRIAL].digest
        check = next(each for each in found.estimate.diagnostics if each.name == "analysis plan")
        assert check.passed


@pytest.mark.parametrize(
    ("old", "new", "file", "told"),
    [
        ("planned_move: 5", "planned_move: 6", "experiments/trial.yaml", "planned_move: 5.0 became 6.0"),
        ("end: 2026-04-10", "end: 2026-04-09", "experiments/trial.yaml", "end: 2026-04-10 became 2026-04-09"),
        ('quoted_at)"}', 'quoted_at)", cap: 30}', "catalog/shop.yaml", "caps, quote_hours: none became 30.0"),
    ],
)
def test_a_deviation_is_recorded_shown_and_exploratory(write_shop, old, new, file, told):
    root = write_shop()
    if old not in (root / file).read_text(encoding="utf-8"):
        pytest.fail(f"{file} has no {old!r}")
    with Study.open(root) as study:
        study.register("quote_hours -> win_rate")
        with edited(study, old, new, file=file) as changed:
            (found,) = changed.analyze(TRIAL, as_of=JUNE)
            assert told in found.exploratory
            assert told in str(found).replace("\n    ", " ").replace("\n  ", " ")
            assert changed.judge("2026Q2")[0].verdict.value == "inconclusive"
            row = next(row for row in changed.ledger.rows(action="analyse"))
            assert told in row.payload["exploratory"]


def test_an_amendment_before_the_data_counts_and_after_them_never(write_shop):
    with Study.open(write_shop()) as study:
        study.register("quote_hours -> win_rate")
        with edited(study, "planned_move: 5", "planned_move: 6") as changed:
            assert changed.lock(TRIAL, amend="the engine is slower").reason == "the engine is slower"
            assert changed.analyze(TRIAL, as_of=JUNE)[0].exploratory == ""
            with edited(changed, "planned_move: 6", "planned_move: 4") as late:
                locked = late.lock(TRIAL, amend="after all")
                assert locked.after_data
                assert "changed after its effects had been seen" in late.analyze(TRIAL, as_of=JUNE)[0].exploratory


def test_an_experiment_without_a_lock_is_exploratory(write_shop):
    with Study.open(write_shop()) as study:
        (early,) = study.analyze(TRIAL, as_of=JUNE)
        assert early.exploratory
        assert study.lock(TRIAL).after_data == "no plan"


def test_locking_an_unknown_experiment_names_the_nearest(write_shop):
    with Study.open(write_shop()) as study, pytest.raises(CatalogError, match="Did you mean"):
        study.lock("auto_quote_2026q1")


def test_excluded_units_are_left_out_and_counted(write_shop):
    root = write_shop()
    assigned = root / "data" / "assignments.csv"
    head, *lines = assigned.read_text(encoding="utf-8").splitlines()
    marked = [f"{line},{'staff' if i % 10 == 0 else 'buyer'}" for i, line in enumerate(lines)]
    assigned.write_text("\n".join([f"{head},kind", *marked]) + "\n", encoding="utf-8")
    with (
        Study.open(root) as whole,
        edited(whole, "planned_n: 600", "planned_n: 600\nexclude: \"kind = 'staff'\"") as study,
    ):
        study.register("quote_hours -> win_rate")
        (found,) = study.analyze(TRIAL, as_of=JUNE)
        assert found.exploratory == ""
        assert found.estimate.n_obs == 540
        assert whole.analyze(TRIAL, as_of=JUNE)[0].estimate.n_obs == 600


def test_an_exclusion_by_a_column_that_is_not_there_is_refused(write_shop):
    with (
        Study.open(write_shop()) as study,
        edited(study, "planned_n: 600", "planned_n: 600\nexclude: \"stuff = 'yes'\"") as changed,
        pytest.raises(DataError, match="stuff"),
    ):
        changed.analyze(TRIAL, as_of=JUNE)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"stopping": "whenever"}, "stopping 'whenever'"),
        ({"looks": (0.5, 0.4, 1.0), "stopping": "group_sequential"}, "do not rise to 1"),
        ({"looks": (0.5, 1.0)}, "group_sequential"),
        ({"guardrails": {"nps": 0.0}}, "margin of guardrail 'nps'"),
    ],
)
def test_plans_that_cannot_be_followed_are_refused(values, told):
    fields = {
        "id": "e1", "lever": "auto", "control": "a", "allocation": {"a": 1, "b": 1}, "hypotheses": (), "randomize": "id",
        "start": "2026-01-01", "end": "2026-02-01",
    }  # fmt: skip
    with pytest.raises(DesignError) as error:
        Experiment(**{**fields, **values})
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("increment: 1 hour", "increment: 4 hours", "increments, quote_hours: -1.0 became -4.0"),
        ("better: lower", "better: higher", "better, quote_hours: lower became higher"),
        (
            "moves: {quote_hours: lower}",
            "moves: {quote_hours: higher}",
            "lever_moves, quote_hours: lower became higher",
        ),
    ],
)
def test_what_signs_and_scales_an_estimate_is_locked(write_shop, old, new, told):
    with Study.open(write_shop()) as study:
        study.register("quote_hours -> win_rate")
        with edited(study, old, new, file="catalog/shop.yaml") as changed:
            assert told in changed.analyze(TRIAL, as_of=JUNE)[0].exploratory
            assert changed.judge("2026Q2")[0].verdict.value == "inconclusive"


OTHER = """  - id: quote_length
    label: Short Quote
    outcome: "I see at once what I pay"
    benefit: functional
    function: sales
    discovery: {method: contextual_inquiry, when: 2026-03}
    unit: hour
    better: lower
    increment: 1 hour
    measure: {table: quotes, entity: customer_id, at: decided_at, value: "hours(quoted_at, decided_at)"}
"""


def test_a_cpi_that_is_watched_may_be_added_and_not_taken_away(write_shop):
    with Study.open(write_shop()) as study:
        study.register("quote_hours -> win_rate")
        with edited(study, "kpis:\n", f"{OTHER}kpis:\n", file="catalog/shop.yaml") as more:
            assert more.analyze(TRIAL, as_of=JUNE)[0].exploratory == ""
            assert more.deviations(TRIAL) == ()
    with Study.open(write_shop(("catalog/shop.yaml", "kpis:\n", f"{OTHER}kpis:\n"), folder="other")) as study:
        study.register("quote_hours -> win_rate")
        with edited(study, OTHER, "", file="catalog/shop.yaml") as fewer:
            assert "watched, quote_length" in fewer.analyze(TRIAL, as_of=JUNE)[0].exploratory


ANYTIME = ("experiments/trial.yaml", "planned_n: 600", "planned_n: 600\nstopping: anytime")


def test_an_amendment_after_effects_were_seen_while_running_is_exploratory(write_shop):
    with Study.open(write_shop(ANYTIME)) as study:
        study.register("quote_hours -> win_rate")
        assert study.monitor(TRIAL, as_of=date(2026, 5, 6)).effects
        assert [row.action for row in study.ledger.rows()] == ["register", "lock", "look"]
        with edited(study, "planned_move: 5", "planned_move: 4") as late:
            assert late.lock(TRIAL, amend="it looks good").after_data
            assert "changed after its effects had been seen" in late.analyze(TRIAL, as_of=JUNE)[0].exploratory


def test_a_hidden_look_leaves_no_row(write_shop):
    with Study.open(write_shop()) as study:
        study.register("quote_hours -> win_rate")
        assert study.monitor(TRIAL, as_of=date(2026, 5, 6)).effects == ()
        assert [row.action for row in study.ledger.rows()] == ["register", "lock"]


@pytest.mark.parametrize(("planned", "counts"), [(600, True), (900, False)])
def test_a_trial_that_could_end_early_and_did_does_not_count(write_shop, planned, counts):
    plan = f"planned_n: {planned}\nstopping: anytime"
    with Study.open(write_shop(("experiments/trial.yaml", "planned_n: 600", plan))) as study:
        study.register("quote_hours -> win_rate")
        (found,) = study.analyze(TRIAL, as_of=JUNE)
        assert (found.exploratory == "") == counts
        assert counts or "ended with 600 customers of 900 planned" in found.exploratory


def test_a_kpi_that_is_better_low_is_not_shown_better_when_it_rises(write_shop):
    low = ("catalog/shop.yaml", "unit: fraction\n    better: higher", "unit: fraction\n    better: lower")
    with Study.open(write_shop(ANYTIME, low)) as study:
        assert "better than the control" not in study.monitor(TRIAL, as_of=date(2026, 5, 8)).sentence


def test_integrity_that_blocks_blocks_the_evidence(write_shop):
    root = write_shop()
    path = root / "data" / "assignments.csv"
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines]
    apart = [f"{t},{who},{arm},2026-03-{28 if arm == 'auto' else 29} 08:00:00" for t, who, arm, _ in rows]
    path.write_text("\n".join([head, *apart]) + "\n", encoding="utf-8")
    with Study.open(root) as study:
        study.register("quote_hours -> win_rate")
        assert study.integrity(TRIAL, as_of=JUNE).blocks
        assert "sample ratio by day" in study.analyze(TRIAL, as_of=JUNE)[0].blocked
        assert study.judge("2026Q2")[0].verdict.value == "blocked"
