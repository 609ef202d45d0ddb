"""Scorecards: levels, changes, targets, benchmarks and mix against pandas and SciPy; what small groups hide."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cpi_experiments.catalog.claimed_link import ClaimedLink, Sign
from cpi_experiments.catalog.entities import (
    CPI,
    KPI,
    Aggregate,
    Benefit,
    Cadence,
    Catalog,
    Function,
    Measure,
    Role,
    Target,
)
from cpi_experiments.errors import CatalogError, DataError, EstimationError
from cpi_experiments.measure.scores.periods import period_name
from cpi_experiments.measure.scores.scorecard import scorecard
from cpi_experiments.measure.unit_periods import Panel
from cpi_experiments.stats.goal_track import Side, Track
from cpi_experiments.units import Direction, Increment
from cpi_experiments.wording.results import banned_words

MEASURE = Measure(table="quotes", entity="customer_id", at="at", value="x")
HOURS = CPI(
    id="hours",
    label="Fast Quote",
    outcome="I get a price while I am still looking",
    unit="hour",
    better=Direction.LOWER,
    increment=Increment.parse("1 hour"),
    measure=MEASURE,
    benefit=Benefit.FUNCTIONAL,
    function=Function.SALES,
)
WON = KPI(id="won", label="Win rate", unit="fraction", better=Direction.HIGHER, measure=MEASURE)
REVENUE = KPI(id="revenue", label="Premium revenue", unit="EUR", better=Direction.HIGHER, measure=MEASURE)


def catalog(**targets) -> Catalog:
    claim = ClaimedLink(cpi="hours", kpi="won", because="b", expect=Sign.POSITIVE, sesoi="1 pp")
    entities = [replace(each, target=targets.get(each.id)) for each in (HOURS, WON, REVENUE)]
    return Catalog(
        cpis={"hours": entities[0]}, kpis={each.id: each for each in entities[1:]}, links={claim.link: claim}
    )


def frame(n=300, months=14, *, seed=1, drop=0.3) -> pd.DataFrame:
    """Quotes get faster by 0.2 hours a month; web customers wait less, and one in four others turns to the web."""
    rng = np.random.default_rng(seed)
    ids, month = np.repeat(np.arange(n), months), np.tile(np.arange(months), n)
    channel = np.repeat(rng.choice(["web", "shop"], n), months).astype(object)
    channel = np.where((month == months - 1) & (rng.random(len(ids)) < 0.25), "web", channel)
    hours = np.repeat(rng.normal(20, 4, n), months) - 0.2 * month - 6 * (channel == "web") + rng.normal(0, 2, len(ids))
    return pd.DataFrame(
        {
            "id": ids,
            "month": (np.datetime64("2025-05") + month).astype(str),
            "hours": np.where(rng.random(len(ids)) < drop, np.nan, hours),
            "won": (rng.random(len(ids)) < 0.3).astype(float),
            "revenue": rng.lognormal(5, 1, len(ids)),
            "channel": channel.astype(object),
        }
    )


def panel(rows: pd.DataFrame, **options) -> Panel:
    names = {"cpis": ["hours"], "kpis": ["won", "revenue"], "covariates": ["channel"]} | options
    return Panel.from_frame(rows, unit="id", time="month", **names)


def of_month(rows: pd.DataFrame, month: str, column: str) -> pd.Series:
    return rows[rows["month"] == month].set_index("id")[column].dropna()


# -- levels and changes ----------------------------------------------------------------------------------------------


def test_levels_and_changes_are_those_of_the_last_complete_month():
    rows = frame()
    card = scorecard(panel(rows), catalog(), as_of="2026-06-30")
    row = card.row("hours")
    now, before, year = (of_month(rows, m, "hours") for m in ("2026-06", "2026-05", "2025-06"))
    ends = stats.ttest_1samp(now, 0).confidence_interval(0.95)
    assert (row.level, row.ci_low, row.ci_high) == pytest.approx((now.mean(), ends.low, ends.high), rel=1e-12)
    assert row.previous.value == pytest.approx(now.mean() - before.mean())
    assert row.year_before.value == pytest.approx(now.mean() - year.mean())
    assert row.previous.n_common == len(now.index.intersection(before.index))
    assert (card.period, card.previous, card.year_before) == ("June 2026", "May 2026", "June 2025")
    assert row.year_before.side is Side.BETTER  # fewer hours
    assert card.customers == 300


def test_changes_of_complete_units_are_paired_t():
    rows = frame(drop=0)
    row = scorecard(panel(rows), catalog(), as_of="2026-06-30").row("revenue")
    now, before = of_month(rows, "2026-06", "revenue"), of_month(rows, "2026-05", "revenue")
    ends = stats.ttest_rel(now, before).confidence_interval(0.95)
    assert (row.previous.ci_low, row.previous.ci_high) == pytest.approx((ends.low, ends.high), rel=1e-10)


def test_shares_are_wilson_and_percent_means_the_same():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    rows = frame()
    now = of_month(rows, "2026-06", "won")
    row = scorecard(panel(rows), catalog(), as_of="2026-06-30").row("won")
    expected = proportion.proportion_confint(int(now.sum()), len(now), method="wilson")
    assert (row.ci_low, row.ci_high) == pytest.approx(expected, abs=1e-12)
    in_percent = catalog()
    in_percent = replace(in_percent, kpis={**in_percent.kpis, "won": replace(WON, unit="percent")})
    other = scorecard(panel(rows.assign(won=100 * rows["won"])), in_percent, as_of="2026-06-30").row("won")
    assert (other.ci_low, other.ci_high) == pytest.approx((100 * row.ci_low, 100 * row.ci_high))
    assert (other.previous.ci_low, other.previous.ci_high) == pytest.approx(
        (100 * row.previous.ci_low, 100 * row.previous.ci_high)
    )
    assert other.sentence == row.sentence


def test_rows_of_one_account_count_once():
    rows = frame(drop=0)
    rows["account"] = (rows["id"] // 10).astype(float)
    ready = panel(rows, covariates=["channel", "account"])
    wide = scorecard(ready, catalog(), as_of="2026-06-30", cluster="account").row("hours")
    assert wide.customers == 30
    narrow = scorecard(ready, catalog(), as_of="2026-06-30").row("hours")
    assert wide.level == narrow.level
    means = of_month(rows, "2026-06", "hours").groupby(lambda i: i // 10).mean()  # accounts of one size
    ends = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert (wide.ci_low, wide.ci_high) == pytest.approx((ends.low, ends.high), rel=1e-10)


def test_row_order_does_not_matter():
    rows = frame()
    cards = [
        scorecard(panel(each), catalog(), by="channel", as_of="2026-06-30")
        for each in (rows, rows.sample(frac=1, random_state=3))
    ]
    pd.testing.assert_frame_equal(*(card.to_frame() for card in cards))
    assert str(cards[0]) == str(cards[1])


# -- periods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "period"),
    [
        ({}, "June 2026"),
        ({"as_of": "2026-06-30"}, "June 2026"),
        ({"as_of": "2026-06-29"}, "May 2026"),
        ({"as_of": "2026-06-29", "period": "2026-03"}, "March 2026"),
        ({"period": "2025-07-15"}, "July 2025"),
    ],
)
def test_the_last_complete_period_counts(options, period):
    assert scorecard(panel(frame(60)), catalog(), **options).period == period


def test_a_reader_learns_how_current_the_numbers_are():
    ready = panel(frame(60))
    assert "June 2026 is taken as complete" in str(scorecard(ready, catalog()))
    assert "taken as complete" not in str(scorecard(ready, catalog(), as_of="2026-06-30"))
    late = str(scorecard(ready, catalog(), as_of="2026-09-02"))
    assert "data up to 2026-09-02 were" in " ".join(late.split())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"as_of": "2025-05-20"}, "no month of the panel is complete"),
        ({"period": "2024-01"}, "not in the panel"),
        ({"period": "2026-06", "as_of": "2026-06-10"}, "not complete yet"),
        ({"by": "chanel"}, "'chanel' is no covariate"),
        ({"cluster": "won"}, "'won' is no covariate"),
        ({"minimum": 2}, "may not be shown"),
    ],
)
def test_what_cannot_be_shown_is_refused(options, text):
    with pytest.raises(DataError, match=text):
        scorecard(panel(frame(20)), catalog(), **options)


def test_a_level_of_confidence_lies_between_0_and_1():
    with pytest.raises(EstimationError, match="not between 0 and 1"):
        scorecard(panel(frame(20)), catalog(), confidence_level=95)


def test_an_indicator_outside_the_catalog_is_refused():
    with pytest.raises(CatalogError, match="not in the catalog"):
        scorecard(panel(frame(20)), replace(catalog(), kpis={"won": WON}))


@pytest.mark.parametrize(
    ("period", "step", "names"),
    [
        ("week", 7, ("the week from 2026-01-12", "the week from 2026-01-05", "the week from 2025-01-13")),
        ("day", 1, ("2026-01-12", "2026-01-11", "2025-01-13")),
    ],
)
def test_a_year_before_is_the_same_day_of_the_week(period, step, names):
    days = pd.date_range(end="2026-01-12", periods=364 // step + 1, freq=f"{step}D")
    rows = pd.DataFrame({"id": np.tile(np.arange(12), len(days)), "day": np.repeat(days, 12)})
    rows["hours"] = np.random.default_rng(1).normal(size=len(rows))
    ready = Panel.from_frame(rows, unit="id", time="day", cpis=["hours"], kpis=[], period=period)
    card = scorecard(ready, replace(catalog(), kpis={}, links={}), period="2026-01-12")
    assert (card.period, card.previous, card.year_before) == names
    assert "52 weeks before" in str(card)


def test_numbered_periods_have_neither_days_nor_lines():
    rows = pd.DataFrame({"id": np.tile(np.arange(12), 2), "t": np.repeat([4, 5], 12), "hours": np.arange(24.0)})
    ready = Panel.from_frame(rows, unit="id", time="t", cpis=["hours"], kpis=[])
    aims = replace(catalog(hours=Target(baseline=30, value=1, due="2026-12-31")), kpis={}, links={})
    card = scorecard(ready, aims)
    assert (card.period, card.previous, card.year_before) == ("period 5", "period 4", "")
    assert card.row("hours").goal.state is Track.NO_LINE
    assert scorecard(ready, aims, period="4").period == "period 4"
    with pytest.raises(DataError, match="is not a number"):
        scorecard(ready, aims, period="May")
    with pytest.raises(DataError, match="periods are numbers"):
        scorecard(ready, aims, as_of="2026-01-01")


def test_fiscal_quarters_are_named_by_their_first_day():
    rows = frame(30)
    ready = Panel.from_frame(rows, unit="id", time="month", cpis=["hours"], kpis=["won", "revenue"], period="month")
    assert ready.period == "month"
    quarters = rows[rows["month"].str.endswith(("-05", "-08", "-11", "-02"))]
    fiscal = Panel.from_frame(
        quarters,
        unit="id",
        time="month",
        cpis=["hours"],
        kpis=["won", "revenue"],
        period="quarter",
        fiscal_year_start=2,
    )
    card = scorecard(fiscal, catalog(), as_of="2026-07-31")
    assert (card.period, card.previous) == ("the quarter from 2026-05-01", "the quarter from 2026-02-01")
    assert card.year_before == "the quarter from 2025-05-01"
    assert scorecard(fiscal, catalog(), period="2026-03-10").period == "the quarter from 2026-02-01"
    with pytest.raises(DataError, match="calendar or a fiscal quarter"):
        scorecard(fiscal, catalog(), period="2026Q2")
    assert period_name(np.datetime64("2026-01-01"), "year") == "2026"


def test_longer_months_are_no_growth():
    sums = catalog()
    sums = replace(
        sums, kpis={**sums.kpis, "revenue": replace(REVENUE, measure=replace(MEASURE, aggregate=Aggregate.SUM))}
    )
    text = " ".join(str(scorecard(panel(frame()), sums, period="2026-05")).split())
    assert "May 2026 has 31 days, April 2026 30: 3.3% of change in Premium revenue comes from that alone." in text
    assert "days" not in str(scorecard(panel(frame()), sums, period="2025-08"))  # July has 31 as well
    assert "comes from that alone" not in str(scorecard(panel(frame()), catalog(), period="2026-05"))


def test_a_first_period_has_nothing_before_it():
    card = scorecard(panel(frame(30)), catalog(), period="2025-05")
    assert card.row("won").previous is None
    assert "no earlier period" in card.headline[0]


# -- targets and benchmarks ------------------------------------------------------------------------------------------


def test_the_line_runs_to_the_middle_of_the_period():
    """From 26 on 1 January to 20 on 31 December; the middle of June is day 166 of 364."""
    aims = catalog(hours=Target(baseline=26, value=20, due="2026-12-31", cadence=Cadence.MONTHLY))
    goal = scorecard(panel(frame()), aims, as_of="2026-06-30", since="2026-01-01").row("hours").goal
    assert goal.expected == pytest.approx(26 - 6 * 166 / 364)
    assert goal.missing == ()


@pytest.mark.parametrize(
    ("target", "state"),
    [
        (None, Track.NO_TARGET),
        (Target(baseline=26), Track.NO_TARGET),
        (Target(baseline=26, value=20, due="2026-12-31"), Track.REACHED),
        (Target(baseline=30, value=8, due="2027-12-31"), Track.ON_TRACK),
        (Target(baseline=16, value=8, due="2026-12-31"), Track.BEHIND),
        (Target(baseline=16, value=8, due="2026-06-30"), Track.OVERDUE),
        (Target(value=8, due="2026-12-31"), Track.NO_LINE),
        (Target(baseline=16, value=8), Track.NO_LINE),
    ],
)
def test_targets_of_what_should_fall(target, state):
    """Hours stand at about 14 in June 2026."""
    card = scorecard(panel(frame()), catalog(hours=target), as_of="2026-06-30", since="2025-05-01")
    assert card.row("hours").goal.state is state


@pytest.mark.parametrize(
    ("baseline", "state"),
    [(30.0, Track.ON_TRACK), (12.0, Track.BEHIND), (16.0, Track.NO_LINE)],
)
def test_without_a_start_only_what_holds_for_every_start_is_said(baseline, state):
    """Hours stand at about 14: on the way from 30 whatever the start; worse than 12; from 16 it depends."""
    aims = catalog(hours=Target(baseline=baseline, value=8, due="2026-12-31", cadence=Cadence.MONTHLY))
    card = scorecard(panel(frame()), aims, as_of="2026-06-30")
    goal = card.row("hours").goal
    assert goal.state is state
    assert goal.missing == (("a day since when it runs",) if state is Track.NO_LINE else ())
    assert "Nobody said since when" in str(card)
    assert "Nobody said since when" not in str(scorecard(panel(frame()), aims, as_of="2026-06-30", since="2026-01-01"))


def test_a_point_below_the_line_is_no_proof_of_being_behind():
    rows = frame()
    level = of_month(rows, "2026-06", "won").mean()
    aims = catalog(won=Target(baseline=level + 0.005, value=level + 0.006, due="2027-12-31"))
    card = scorecard(panel(rows), aims, as_of="2026-06-30", since="2026-01-01")
    assert card.row("won").goal.state is Track.AT_RISK
    assert "one at risk (Win rate)" in card.headline[1]


@pytest.mark.parametrize(("value", "side"), [(30.0, Side.BETTER), (5.0, Side.WORSE)])
def test_benchmarks_know_the_direction(value, side):
    aims = catalog(hours=Target(benchmark=value, benchmark_source="trade body 2025"))
    row = scorecard(panel(frame()), aims, as_of="2026-06-30").row("hours")
    assert row.benchmark.side is side
    assert f"{side.value.capitalize()} than the benchmark of {value:g} h (trade body 2025)." in row.sentence


def test_targets_say_what_they_lack():
    aims = catalog(revenue=Target(value=900.0), hours=Target(value=5.0, due="2027-01-01"))
    card = scorecard(panel(frame()), aims, as_of="2026-06-30")
    assert card.row("revenue").goal.missing == (
        "a baseline",
        "a due date",
        "a rhythm of reviews",
        "a link that says why it matters",
    )
    assert card.row("hours").goal.missing == ("a baseline", "a rhythm of reviews")
    guarded = replace(aims, kpis={**aims.kpis, "revenue": replace(aims.kpis["revenue"], role=Role.GUARDRAIL)})
    assert "a link that says why it matters" not in scorecard(panel(frame()), guarded).row("revenue").goal.missing


# -- groups ----------------------------------------------------------------------------------------------------------


def test_groups_are_the_same_numbers_on_fewer_customers():
    rows = frame()
    card = scorecard(panel(rows), catalog(), by="channel", as_of="2026-06-30")
    web = scorecard(panel(rows[rows["channel"] == "web"]), catalog(), as_of="2026-06-30").row("hours")
    row = card.row("hours", "web")
    assert (row.level, row.ci_low, row.customers) == pytest.approx((web.level, web.ci_low, web.customers))
    assert row.previous.value == pytest.approx(web.previous.value)
    assert [r.group for r in card.rows] == ["", "shop", "web"] * 3


def test_another_mix_of_customers_is_not_an_improvement():
    """A quarter of the shop's customers turned to the web, where quotes are six hours faster."""
    card = scorecard(panel(frame(900)), catalog(), by="channel", as_of="2026-06-30")
    change = card.row("hours").previous
    assert change.within + change.mix == pytest.approx(change.value)
    assert change.mix_high < 0
    assert abs(change.within) < abs(change.mix)
    assert "which is no improvement" in card.headline[2]
    alone = scorecard(panel(frame(900)), catalog(), as_of="2026-06-30").row("hours").previous
    assert np.isnan(alone.mix)
    assert alone.value == change.value


def test_small_groups_are_hidden_and_so_is_what_gives_them_away():
    rows = frame(200)
    rows.loc[rows["id"] < 6, "channel"] = "fax"
    rows.loc[rows["id"] == 199, "channel"] = None
    rows["channel"] = rows["channel"].astype(object)
    card = scorecard(panel(rows), catalog(), by="channel", as_of="2026-06-30")
    hidden = {row.group: row.hidden for row in card.rows if row.indicator == "won" and row.group}
    assert hidden["fax"] == hidden["(unknown)"] == "fewer than 10 customers"
    assert sorted(hidden.values()).count("") == 1
    shown = card.to_frame()
    assert shown.loc[shown["hidden"] != "", ["level", "ci_low", "change", "change_mix"]].isna().all(axis=None)
    assert (shown.loc[shown["hidden"] != "", "customers"] == 0).all()
    assert "groups are hidden" in str(card)


def test_too_few_customers_in_an_earlier_period_leave_no_change():
    rows = frame(200)
    rows.loc[(rows["month"] == "2026-05") & (rows["id"] > 7), ["hours"]] = np.nan
    row = scorecard(panel(rows), catalog(), as_of="2026-06-30").row("hours")
    assert row.previous is None
    assert row.year_before is not None


def test_an_indicator_without_data_in_the_period_is_not_measured():
    rows = frame(40)
    rows.loc[rows["month"] == "2026-06", "hours"] = np.nan
    card = scorecard(panel(rows), catalog(), as_of="2026-06-30")
    assert card.row("hours").hidden == "not measured"
    assert "Not measured in June 2026: Fast Quote." in str(card)


def test_customers_who_do_not_differ_have_no_range():
    rows = frame(40).assign(hours=3.0)
    card = scorecard(panel(rows), catalog(hours=Target(baseline=5, value=2, due="2027-01-01")), as_of="2026-06-30")
    assert np.isnan(card.row("hours").ci_low)
    assert card.row("hours").goal.state is Track.CANNOT_TELL
    assert "no range can be given" in card.row("hours").sentence


def test_groups_of_customers_are_no_customers():
    ready = replace(panel(frame(20)), people={"hours": np.ones(280, dtype=int)})
    with pytest.raises(DataError, match="groups of customers"):
        scorecard(ready, catalog())


# -- how it reads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [None, "channel"])
@pytest.mark.parametrize("label", ["Fast Quote", "A very long name of an outcome that nobody would read in a table"])
@pytest.mark.parametrize("factor", [1, 1e6])
def test_a_card_fits_80_columns_in_plain_words(by, label, factor):
    rows = frame(400)
    rows["revenue"] *= factor
    aims = catalog(hours=Target(baseline=16, value=8, due="2026-12-31", benchmark=12.0), won=Target(value=0.9))
    aims = replace(aims, cpis={"hours": replace(aims.cpis["hours"], label=label)})
    card = scorecard(panel(rows), aims, by=by)
    for text in (str(card), *(str(row) for row in card.rows)):
        assert max(map(len, text.splitlines())) <= 80
        assert banned_words(text) == ()
        assert "nan" not in text.lower().replace("finance", "")
    assert str(card).startswith("June 2026, 400 customers: ")
    assert "<table>" in card._repr_html_()


def test_many_ranges_come_with_a_warning():
    card = scorecard(panel(frame(400)), catalog(), by="channel", as_of="2026-06-30", confidence_level=0.9)
    assert "would still look like one" in " ".join(str(card).split())
    assert card.row("nothing") is None


def test_two_in_twenty_unchanged_indicators_do_not_look_changed_more_often():
    """200 panels without any change: how often a whole interval lies on one side."""
    rng = np.random.default_rng(9)
    sides = []
    for _ in range(60):
        n = 60
        rows = pd.DataFrame({"id": np.tile(np.arange(n), 2), "month": np.repeat(["2026-05", "2026-06"], n)})
        person = np.tile(rng.normal(size=n), 2)
        rows["hours"] = np.where(rng.random(2 * n) < 0.3, np.nan, person + rng.normal(size=2 * n))
        rows["won"] = (rng.random(2 * n) < 0.2).astype(float)
        rows["revenue"] = rng.lognormal(3, 0.5, 2 * n)
        card = scorecard(
            Panel.from_frame(rows, unit="id", time="month", cpis=["hours"], kpis=["won", "revenue"]),
            catalog(),
            as_of="2026-06-30",
        )
        sides += [row.previous.side is not Side.CANNOT_TELL for row in card.rows]
    assert sum(sides) <= stats.binom.isf(5e-7, len(sides), 0.05)
