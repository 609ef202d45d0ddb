"""The simulated company: deterministic, complete, and true to its stated truth, by an independent recomputation."""

import hashlib
import math
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml

from cpi_experiments.catalog.load import load_catalog
from cpi_experiments.errors import CatalogError, DataError
from cpi_experiments.estimate import Link
from cpi_experiments.simulate import events
from cpi_experiments.simulate.company import CUSTOMERS, TABLES, simulate_company
from cpi_experiments.simulate.population import generator, populate, read_plans
from cpi_experiments.simulate.truth import LEVERS, LINKS, REFERENCE, World, truths

KINDS = {
    "true",
    "trivial",
    "null",
    "harmful",
    "confounded",
    "dying",
    "bundle",
    "inert lever",
    "weak first stage",
    "true, too little data",
    "past data only",
}
# How a customer's events become one number; written again here, apart from the catalog and the engine.
MEASURES = {
    "quote_hours": ("quotes", "quoted_at", lambda t: -(t.quoted_at - t.requested_at).dt.total_seconds() / 3600),
    "plan_options": ("orders", "ordered_at", lambda t: t.plan_options),
    "first_time_resolution": ("tickets", "first_reply_at", lambda t: 100.0 * t.solved_first.astype(float)),
    "reply_minutes": (
        "tickets",
        "first_reply_at",
        lambda t: -(t.first_reply_at - t.created_at).dt.total_seconds() / 600,
    ),
    "nothing_broke": ("orders", "delivered_at", lambda t: 100.0 * t.whole.astype(float)),
    "delivery_days": ("orders", "delivered_at", lambda t: -(t.delivered_at - t.ordered_at).dt.total_seconds() / 86400),
    "friends_seen": ("interactions", "happened_at", lambda t: t.value.where(t.kind == "feed")),
    "value_shown": ("interactions", "happened_at", lambda t: t.value.where(t.kind == "statement") / 10),
    "win_rate": ("quotes", "decided_at", lambda t: t.won.astype(float)),
    "purchases": ("orders", "ordered_at", lambda t: 1.0 + 0 * t.amount),
    "spend": ("orders", "ordered_at", lambda t: t.amount),
    "refund_cost": ("orders", "delivered_at", lambda t: t.refund),
    "nps": ("survey_answers", "answered_at", lambda t: 100.0 * (t.score >= 9) - 100.0 * (t.score <= 6)),
    "renewal": ("interactions", "happened_at", lambda t: t.value.where(t.kind == "renewal")),
}
SUMS = ("purchases", "spend")


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    return simulate_company(tmp_path_factory.mktemp("company") / "insurer")


@pytest.fixture(scope="module")
def tables(company):
    return {name: duckdb.read_parquet(str(company.folder / "data" / f"{name}.parquet")).df() for name in TABLES}


@pytest.fixture(scope="module")
def plans(company):
    files = sorted((company.folder / "experiments").glob("*.yaml"))
    return {file.stem: yaml.safe_load(file.read_text()) for file in files}


def by_customer(tables, indicator, units):
    """One value per assigned customer in [assigned_at, assigned_at + 28 days); customers without an event are absent."""
    table, at, value = MEASURES[indicator]
    frame = tables[table][tables[table].customer_id.isin(units.customer_id)]
    frame = frame.assign(number=value(frame)).merge(units, on="customer_id")
    inside = (frame[at] >= frame.assigned_at) & (frame[at] < frame.assigned_at + pd.Timedelta(days=28))
    grouped = frame[inside & frame.number.notna()].groupby("customer_id").number
    return grouped.sum() if indicator in SUMS else grouped.mean()


def effects(tables, plan, link):
    """Return differences of means (CPI in increments, KPI) and their 2 x 2 covariance."""
    units = tables["assignments"][tables["assignments"].experiment == plan["id"]]
    both = pd.concat([by_customer(tables, each, units) for each in (link.cpi_id, link.kpi_id)], axis=1, join="inner")
    treated = units.set_index("customer_id").arm.reindex(both.index) != plan["control"]
    one, zero = both[treated].to_numpy(), both[~treated].to_numpy()
    return one.mean(0) - zero.mean(0), np.cov(one.T) / len(one) + np.cov(zero.T) / len(zero)


TESTED = [
    ("knowledge_base_2026q1", "first_time_resolution -> nps"),
    ("knowledge_base_2026q4", "first_time_resolution -> nps"),
    ("plan_chooser_2026q1", "plan_options -> purchases"),
    ("auto_quote_2026q2", "quote_hours -> win_rate"),
    ("broker_portal_2026q3", "quote_hours -> win_rate"),
    ("social_feed_2026q2", "friends_seen -> purchases"),
    ("packing_2026q3", "nothing_broke -> refund_cost"),
    ("packing_2026q3", "nothing_broke -> purchases"),
    ("value_statement_2026q3", "value_shown -> renewal"),
    ("delivery_text_2026q3", "delivery_days -> purchases"),
    ("reminder_mail_2026q4", "quote_hours -> spend"),
    ("chat_assist_2026q4", "reply_minutes -> renewal"),
    ("service_redesign_2026q2", "reply_minutes -> nps"),
]


def known(link):
    return next(truth for truth in LINKS if truth.link == link)


def test_every_kind_of_link_is_present_and_every_hypothesis_is_tested_here(company, plans):
    assert {truth.kind for truth in company.truth} == KINDS
    assert sorted(TESTED) == sorted((name, link) for name, plan in plans.items() for link in plan["hypotheses"])


def test_catalog_loads_without_errors_and_warns_of_the_survey(company):
    catalog = load_catalog(company.folder)
    found = [(issue.severity, str(issue)) for issue in catalog.lint()]
    assert [severity for severity, _ in found] == ["warning"]
    assert "survey" in found[0][1]
    assert set(catalog.cpis) == set(REFERENCE)
    assert set(catalog.levers) == set(LEVERS)


def test_truth_takes_its_effects_from_the_generator_and_its_sesoi_from_the_catalog(company):
    catalog = load_catalog(company.folder)
    assert {str(truth.link): truth.effect for truth in company.truth} == {each.link: each.today for each in LINKS}
    assert all(truth.sesoi == catalog.sesoi(truth.link) for truth in company.truth)
    dying = next(truth for truth in company.truth if truth.kind == "dying")
    assert dying.effect == 0
    with pytest.raises(CatalogError, match="is not in the catalog"):
        truths(catalog, (replace(LINKS[0], link="quote_hours -> nps"),))


@pytest.mark.parametrize(("experiment", "text"), TESTED)
def test_experiment_recovers_the_true_effect(tables, plans, experiment, text):
    link, plan = Link.parse(text), plans[experiment]
    (moved, gained), omega = effects(tables, plan, link)
    truth, turned = known(text), plan["start"].month >= 7
    theta = truth.today if turned else truth.effect
    if truth.kind == "bundle":  # the other CPI of the bundle moves the KPI, too
        direct = known("first_time_resolution -> nps").effect * LEVERS[plan["lever"]]["first_time_resolution"]
    else:
        direct = 0.0
    step = LEVERS[plan["lever"]].get(link.cpi_id, 0.0)
    assert abs(moved - step) < 4 * math.sqrt(omega[0, 0])
    u = gained - direct - theta * moved
    assert abs(u) < 4 * math.sqrt(omega[1, 1] - 2 * theta * omega[0, 1] + theta**2 * omega[0, 0])


@pytest.mark.parametrize(
    ("experiment", "text", "low", "high"),
    [  # where the effect lies, in SESOI, with at least 2.9 standard errors to spare
        ("auto_quote_2026q2", "quote_hours -> win_rate", 0, math.inf),
        ("packing_2026q3", "nothing_broke -> refund_cost", -math.inf, -1),
        ("plan_chooser_2026q1", "plan_options -> purchases", -1, 1),
        ("packing_2026q3", "nothing_broke -> purchases", -1, 1),
        ("social_feed_2026q2", "friends_seen -> purchases", -1, 1),
        ("value_statement_2026q3", "value_shown -> renewal", -math.inf, 0),
    ],
)
def test_evidence_is_as_strong_as_the_expected_verdict_needs(company, tables, plans, experiment, text, low, high):
    theta, se = slope(company, tables, plans[experiment], text)
    assert low < theta - 2.9 * se
    assert theta + 2.9 * se < high


def test_small_experiment_can_neither_confirm_nor_refute(company, tables, plans):
    _, se = slope(company, tables, plans["chat_assist_2026q4"], "reply_minutes -> renewal")
    assert se > 2


def slope(company, tables, plan, text):
    """KPI per increment and its standard error, in SESOI."""
    (moved, gained), omega = effects(tables, plan, Link.parse(text))
    theta = gained / moved
    se = math.sqrt(omega[1, 1] - 2 * theta * omega[0, 1] + theta**2 * omega[0, 0]) / abs(moved)
    sesoi = next(truth.sesoi for truth in company.truth if str(truth.link) == text)
    return theta / sesoi, se / sesoi


def test_weak_and_inert_levers_hardly_move_their_cpi(tables, plans):
    (moved, _), omega = effects(tables, plans["reminder_mail_2026q4"], Link.parse("quote_hours -> spend"))
    assert moved**2 / omega[0, 0] < 12
    (moved, _), omega = effects(tables, plans["delivery_text_2026q3"], Link.parse("delivery_days -> purchases"))
    assert abs(moved) + 1.645 * math.sqrt(omega[0, 0]) < plans["delivery_text_2026q3"]["planned_move"] / 4


def test_regression_on_past_data_says_yes_to_the_confounded_link(tables):
    seen, bought = tables["interactions"].query("kind == 'feed'"), tables["orders"]
    friends = seen.groupby([seen.customer_id, seen.happened_at.dt.month]).value.mean()
    orders = bought.groupby([bought.customer_id, bought.ordered_at.dt.month.rename("happened_at")]).size()
    panel = pd.concat([friends.rename("x"), orders.rename("y")], axis=1, join="inner").reset_index()
    panel = panel[
        ~panel.customer_id.isin(tables["assignments"].query("experiment == 'social_feed_2026q2'").customer_id)
    ].copy()
    for _ in range(30):  # two-way demeaning by alternating projections
        for key in ("customer_id", "happened_at"):
            panel[["x", "y"]] -= panel.groupby(key)[["x", "y"]].transform("mean")
    slope = (panel.x * panel.y).sum() / (panel.x**2).sum()
    error = (panel.x * (panel.y - slope * panel.x)).groupby(panel.customer_id).sum()
    assert slope / (math.sqrt((error**2).sum()) / (panel.x**2).sum()) > 10
    assert slope > 0.08  # past data even say that it is worth acting on


def test_kpi_events_come_after_the_cpi_events_they_depend_on(tables):
    quotes, tickets = tables["quotes"], tables["tickets"]
    orders = tables["orders"]
    pairs = (
        (quotes.requested_at, quotes.quoted_at),
        (quotes.quoted_at, quotes.decided_at),
        (tickets.created_at, tickets.first_reply_at),
        (orders.ordered_at, orders.delivered_at),
    )
    for before, after in pairs:
        assert (before.isna() <= after.isna()).all()
        assert (after[after.notna()] > before[after.notna()]).all()
        assert after.isna().mean() < 0.02
    assert (orders.delivered_at.isna() == orders.whole.isna()).all()
    assert (quotes.decided_at.isna() == quotes.won.isna()).all()
    kinds = tables["interactions"].merge(tables["assignments"], on="customer_id")
    days = (kinds.happened_at - kinds.assigned_at).dt.days.where(lambda day: day.between(0, 27))
    last_seen = days[kinds.kind != "renewal"].max()
    assert last_seen < days[kinds.kind == "renewal"].min()


def test_all_events_lie_in_the_year_and_each_customer_in_one_experiment_at_a_time(tables, plans):
    for name in ("quotes", "orders", "tickets", "survey_answers", "interactions"):
        times = tables[name].select_dtypes("datetime")
        assert times.min().min() >= pd.Timestamp("2026-01-01")
        assert times.max().max() < pd.Timestamp("2027-01-01")
        assert tables[name].iloc[:, 0].is_unique
    assigned = tables["assignments"].sort_values(["customer_id", "assigned_at"])
    gap = assigned.groupby("customer_id").assigned_at.diff().dropna()
    assert gap.min() >= pd.Timedelta(days=28)
    assert (assigned.groupby("experiment").size() == pd.Series({k: v["planned_n"] for k, v in plans.items()})).all()
    arms = assigned.groupby(["experiment", "arm"]).size().groupby("experiment")
    assert (arms.min() == arms.max()).all()
    for name, plan in plans.items():
        days = assigned[assigned.experiment == name].assigned_at.dt.date
        assert plan["start"] <= days.min()
        assert days.max() <= plan["end"]


@pytest.mark.parametrize("indicator", ["win_rate", "reply_minutes", "nps"])
def test_customers_drop_out_alike_in_both_arms(tables, plans, indicator):
    assigned = tables["assignments"]
    for name in plans:
        units = assigned[assigned.experiment == name]
        seen = units.customer_id.isin(by_customer(tables, indicator, units).index)
        shares = seen.groupby(units.arm).mean()
        assert 0 < shares.min() < 1
        assert abs(shares.iloc[0] - shares.iloc[1]) < 4.5 * math.sqrt(0.25 * 4 / len(units))


def digests(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted((folder / "data").iterdir())}


def test_same_size_and_seed_give_the_same_bytes_and_another_seed_others(company, tmp_path):
    done = []
    again = simulate_company(tmp_path / "again", progress=lambda *step: done.append(step))
    assert digests(again.folder) == digests(company.folder)
    assert set(digests(company.folder)) == {f"{name}.parquet" for name in TABLES}
    assert done == [(8_000, CUSTOMERS["small"]), (CUSTOMERS["small"], CUSTOMERS["small"])]
    other = simulate_company(tmp_path / "other", seed=1)
    assert digests(other.folder)["quotes.parquet"] != digests(company.folder)["quotes.parquet"]


def test_company_shows_its_truth(company):
    assert company.rows["customers"] == CUSTOMERS["small"]
    assert sum(company.rows.values()) < 1_500_000
    assert "12 links with known truth" in str(company)
    assert len(company.to_frame()) == 12
    assert "expect refuted (harmful)" in str(company.truth[6])


def test_folder_must_be_new_and_size_known(company, tmp_path):
    with pytest.raises(DataError, match="not an empty folder"):
        simulate_company(company.folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="not an empty folder"):
        simulate_company(tmp_path / "file")
    with pytest.raises(DataError, match="Did you mean 'small'"):
        simulate_company(tmp_path / "new", size="smal")
    assert not (tmp_path / "new").exists()


def test_effect_that_leaves_the_unit_interval_is_refused_not_clipped(tmp_path):
    links = tuple(replace(each, effect=0.03) if each.link == "quote_hours -> win_rate" else each for each in LINKS)
    with pytest.raises(DataError, match="probabilities run from"):
        simulate_company(tmp_path / "insurer", links=links)
    assert list((tmp_path / "insurer" / "data").iterdir()) == []


def test_experiments_that_need_more_customers_than_there_are_are_refused(company):
    with pytest.raises(DataError, match="need 10,400 customers of 9,999"):
        populate(read_plans(company.folder), 9_999, rng=generator(1, "population"))


def test_probability_of_one_is_refused():
    with pytest.raises(DataError, match=r"from 0\.5 to 1"):
        events.draw(generator(1, "coin"), np.array([0.5, 1.0]))


def test_score_of_ten_answers_has_the_stated_mean():
    shift = np.full(200_000, 20.0)
    scores = events._scores(generator(1, "scores"), shift)
    nps = 100 * (np.mean(scores >= 9) - np.mean(scores <= 6))
    assert nps == pytest.approx(30, abs=4 * 80 / math.sqrt(shift.size))
    assert (scores.min(), scores.max()) == (0, 10)


def test_kpi_shift_is_linear_in_increments_and_turns_in_july():
    world = World(divisors={"first_time_resolution": 0.01, "value_shown": 10.0})
    felt = {"first_time_resolution": np.array([0.7, 0.7]), "value_shown": np.array([50.0, 50.0])}
    shift = world.kpi_shift("nps", felt, later=np.array([False, True]))
    assert shift == pytest.approx([known("first_time_resolution -> nps").effect * 10 + 2, 2])
