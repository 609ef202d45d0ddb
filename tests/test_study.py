"""Laws of the analyst's object: every step of a study, what it records, and what it refuses."""

from __future__ import annotations

from datetime import date

import pytest

from cpi_experiments.errors import CatalogError, CpiError, DataError, DesignError, LedgerError
from cpi_experiments.study.study import Study

LINK, TRIAL = "quote_hours -> win_rate", "auto_quote_2026q2"
JUNE = date(2026, 6, 30)


@pytest.fixture
def study(write_shop):
    with Study.open(write_shop()) as opened:
        yield opened


def change_claim(study):
    """The claim is edited in the catalog, and the folder opened again."""
    file = study.project.root / "catalog" / "shop.yaml"
    file.write_text(file.read_text().replace("sesoi: 0.4 pp", "sesoi: 0.1 pp"))
    return Study.open(study.project.root)


def test_every_step_returns_an_object_that_prints_well(study):
    panel = study.measure(as_of=JUNE)
    claim = study.register(LINK, who="Ann")
    past = study.past_data(claim, panel)
    plan = study.design(claim, lever="auto_quote", kpi_sd=0.4, planned_move=5.0)
    checks = study.integrity(TRIAL, as_of=JUNE)
    (found,) = study.analyze(TRIAL, as_of=JUNE)
    verdicts = study.judge("2026Q2")
    charter = study.charter(verdicts, panel=panel)
    review = study.review("2026Q2", verdicts, panel=panel)
    shown = (study.catalog, study.candidates(), panel, claim, past, plan, checks, found, *verdicts, charter, review)
    for result in shown:
        text = str(result)
        assert text
        lines = text.splitlines()
        assert len(lines) == 1 or max(map(len, lines)) <= 100, text  # sentences wrap, tables must not
        assert result._repr_html_().startswith("<")
        assert len(result.to_frame()) > 0
        assert result.to_dict()
    assert (past.seq, found.seq) == (3, 4)
    assert found.exploratory == ""
    assert [verdict.verdict.value for verdict in verdicts] == ["confirmed"]
    assert study.lint() == ()


def test_study_shows_itself_escaped(write_shop):
    label = ("catalog/shop.yaml", "label: Fast Quote", 'label: "<script>alert(1)</script>"')
    study = Study.open(write_shop(label))
    assert repr(study).startswith("Study(shop: ")
    assert repr(study).endswith(", 1 experiments)")
    page = study._repr_html_()
    assert page.startswith("<p>Study(shop: ")
    assert "<script" not in page


def test_opening_and_reading_writes_nothing_and_closing_twice_is_fine(study):
    before = sorted(study.project.root.rglob("*"))
    study.candidates()
    study.measure()
    study.check_ledger()
    study.close()
    study.close()
    assert sorted(study.project.root.rglob("*")) == before


def test_folder_without_settings_is_refused(tmp_path):
    with pytest.raises(CatalogError, match=r"is not a project folder: it has no cpi.yaml"):
        Study.open(tmp_path)


def test_unknown_names_are_told_with_the_nearest(study):
    claim = study.register(LINK)
    with pytest.raises(CatalogError, match="Did you mean 'auto_quote_2026q2'"):
        study.analyze("auto_quote_2026q3")
    with pytest.raises(CatalogError, match="auto_quote"):
        study.design(claim, lever="auto_qoute", kpi_sd=0.4, planned_move=5.0)
    with pytest.raises(CpiError, match="win_rate"):
        study.register("quote_hours -> wim_rate")


def test_early_look_is_refused_and_records_nothing(study):
    study.register(LINK)
    with pytest.raises(DesignError, match=r"600 of 600 units are still measured.*\n.*until 2026-05-08") as raised:
        study.analyze(TRIAL, as_of=date(2026, 4, 15))
    assert TRIAL in str(raised.value)
    assert [row.action for row in study.ledger.rows()] == ["register", "lock"]
    assert [plan.id for plan in study.running(date(2026, 4, 15))] == [TRIAL]
    assert study.finished(date(2026, 4, 15)) == ()
    assert [plan.id for plan in study.finished(JUNE)] == [TRIAL]


def test_a_running_experiment_can_be_checked_and_shows_no_effect(study):
    checks = study.integrity(TRIAL, as_of=date(2026, 4, 20))
    assert not checks.blocks
    assert "sample ratio" in [check.name for check in checks.diagnostics]
    assert study.monitor(TRIAL, as_of="2026-05-08", link=LINK).plan == "fixed"
    with pytest.raises(CatalogError, match="2026-13-01"):
        study.monitor(TRIAL, as_of="2026-13-01")


def test_running_experiments_are_in_the_review_without_effects(write_shop):
    longer = ("experiments/trial.yaml", "end: 2026-04-10", "end: 2026-06-10")
    with Study.open(write_shop(longer)) as study:
        review = study.run("2026Q2")
        assert [row.experiment for row in review.in_flight] == [TRIAL]
        assert [row.action for row in study.ledger.rows()] == ["register", "lock", "analyse", "portfolio", "verdict"]
        assert review.verdicts[0].trials == 0


def test_unregistered_analysis_is_exploratory_for_good(study):  # C07
    (early,) = study.analyze(TRIAL, as_of=JUNE)
    assert early.exploratory == "the link was not registered before the analysis"
    study.register(LINK)
    (late,) = study.analyze(TRIAL, as_of=JUNE)
    assert "analysed before the link was registered (row 1)" in late.exploratory
    assert [verdict.verdict.value for verdict in study.judge("2026Q2")] == ["inconclusive"]


def test_registration_edited_after_the_analysis_makes_it_exploratory(study):  # C08
    first = study.register(LINK)
    study.analyze(TRIAL, as_of=JUNE)
    assert study.judge("2026Q2")[0].verdict.value == "confirmed"
    with change_claim(study) as edited:
        second = edited.register(LINK)
        (again,) = edited.analyze(TRIAL, as_of=JUNE)
        assert first.digest[:8] in again.exploratory
        assert second.digest[:8] in again.exploratory
        assert edited.judge("2026Q2")[0].verdict.value == "inconclusive"
        assert edited.ledger.verify() == ()


def test_run_after_an_edit_of_the_claim_does_not_confirm_it(study):
    assert study.run("2026Q2").verdicts[0].verdict == "confirmed"
    with change_claim(study) as edited:
        assert edited.run("2026Q2").verdicts[0].verdict == "inconclusive"


def test_kpi_that_was_not_registered_is_exploratory(write_shop):  # C09
    spend = """  - id: quote_count
    label: Quotes
    unit: count
    better: higher
    measure: {table: quotes, entity: customer_id, at: decided_at, value: won + 1}
teams:"""
    claimed = """links:
  - {cpi: quote_hours, kpi: quote_count, because: "Quick answers invite more questions", expect: positive, sesoi: 0.01 count}"""
    root = write_shop(
        ("catalog/shop.yaml", "teams:", spend),
        ("catalog/shop.yaml", "links:", claimed),
        ("experiments/trial.yaml", '["quote_hours', '["quote_hours -> quote_count", "quote_hours'),
    )
    with Study.open(root) as study:
        study.register(LINK)
        other, mine = study.analyze(TRIAL, as_of=JUNE)
        assert str(other.link) == "quote_hours -> quote_count"
        assert other.exploratory == "the link was not registered before the analysis"
        assert mine.exploratory == ""
        assert [str(verdict.link) for verdict in study.judge("2026Q2")] == [LINK]


def test_failed_run_leaves_no_row_and_names_the_experiment(write_shop):
    with Study.open(write_shop(arm="automatic")) as study:
        with pytest.raises(DataError, match=rf"experiment {TRIAL}.*'automatic' is not in the allocation"):
            study.run("2026Q2")
        assert not study.project.ledger_path.exists()


@pytest.mark.parametrize(("step", "rows"), [("measuring", 0), ("past data", 2), (TRIAL, 2), ("judging", 2)])
def test_interrupted_run_leaves_claims_but_no_result(study, step, rows):  # G11
    def interrupt(text):
        if text == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.run("2026Q2", progress=interrupt)
    assert study.project.ledger_path.exists() == bool(rows)
    if rows:
        assert [row.action for row in study.ledger.rows()] == ["register", "lock"]


def test_claims_are_registered_before_any_effect_is_looked_at(study):
    study.run("2026Q2")
    actions = [row.action for row in study.ledger.rows()]
    assert actions.index("analyse") > max(k for k, action in enumerate(actions) if action == "register")


def test_run_tells_its_steps_and_counts_evidence_once(study):
    steps = []
    study.run("2026Q2", progress=steps.append)
    study.run("2026Q2")
    assert steps == ["measuring", "past data", TRIAL, "judging"]
    actions = [row.action for row in study.ledger.rows()]
    assert actions == ["register", "lock", "analyse", "analyse", "portfolio", "verdict", "analyse", "analyse"]
    assert study.judge("2026Q2")[0].experiments == (TRIAL,)


def test_changed_ledger_stops_the_run(study):
    study.run("2026Q2")
    data = study.project.ledger_path.read_bytes()
    study.project.ledger_path.write_bytes(data.replace(b'"sesoi":0.004', b'"sesoi":0.001', 1))
    with pytest.raises(LedgerError, match=r"ledger.sqlite: row 1: .*\n.*cpi ledger verify"):
        study.run("2026Q2")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            "moves: {quote_hours: lower}}",
            "moves: {}}",
            "lever 'auto_quote' is not said to move 'quote_hours'",
        ),
        ("kpi: win_rate", "kpi: quote_days", "quote_days"),
    ],
)
def test_plan_must_fit_the_catalog(write_shop, old, new, found):
    with pytest.raises(CatalogError, match=found):
        Study.open(write_shop(("catalog/shop.yaml", old, new)))


def test_cpi_that_a_lever_moves_beside_the_one_tested_is_told(write_shop):
    other = """  - id: decision_hours
    label: Quick Decision
    outcome: "I know where I stand"
    benefit: emotional
    function: sales
    discovery: {method: contextual_inquiry, when: 2026-03}
    unit: hour
    better: lower
    increment: 1 hour
    measure: {table: quotes, entity: customer_id, at: decided_at, value: "hours(requested_at, decided_at)"}
  - id: never_measured
    label: Calm
    outcome: "I sleep well"
    benefit: emotional
    function: sales
    discovery: {method: contextual_inquiry, when: 2026-03}
    unit: hour
    better: lower
    increment: 1 hour
    measure: {table: quotes, entity: customer_id, at: decided_at, value: "hours(requested_at, decided_at)", where: "won > 1"}
kpis:"""
    with Study.open(write_shop(("catalog/shop.yaml", "kpis:", other))) as study:
        study.register(LINK)
        (found,) = study.analyze(TRIAL, as_of=JUNE)
        assert found.others_moved == ("decision_hours",)
        assert study.judge("2026Q2")[0].verdict.value != "confirmed"


def test_constant_kpi_has_no_verdict_and_says_so(write_shop):  # C10
    with Study.open(write_shop(("catalog/shop.yaml", "value: won}", "value: won * 0}"))) as study:
        review = study.run("2026Q2")
        assert [row.verdict for row in review.verdicts] == ["blocked"]
        assert "constant" in " ".join(review.pages[0].reasons)
        assert any("Past data say nothing about quote_hours -> win_rate" in alarm for alarm in review.alarms)
