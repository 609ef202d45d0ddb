"""The door to a running trial: what is hidden, what is shown, and what is to be done."""

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import DataError, DesignError, EstimationError
from cpi_experiments.measure.moments.gather import gather
from cpi_experiments.randomized.effects.compare import compare
from cpi_experiments.randomized.effects.outcomes import Mean, Quantile, Ratio
from cpi_experiments.randomized.links.link_effect import link_effect
from cpi_experiments.randomized.monitoring.guardrails import power_of_each, ship_rule
from cpi_experiments.randomized.monitoring.looks import LookPlan
from cpi_experiments.randomized.monitoring.monitor import monitor
from cpi_experiments.randomized.monitoring.sequences import Rule, Timing, over_time
from cpi_experiments.randomized.monitoring.streams import Stream
from cpi_experiments.stats.instruments.fieller import fieller_set
from cpi_experiments.stats.sequential.anytime import boundary, student_bound
from cpi_experiments.stats.sequential.group_sequential import boundaries

N, DAYS = 6_000, 30
ROLES = {"arm": "arm", "control": "manual", "time": "day", "units": "customers"}


def trial(seed: int = 3, *, lift: float = 0.0, harm: float = 0.0, share: float = 0.5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    auto = rng.random(N) < share
    before = rng.normal(size=N)
    hours = rng.gamma(4, 2, N) - 2 * auto
    visits = rng.poisson(4, N) + 1
    return pd.DataFrame(
        {
            "arm": np.where(auto, "auto", "manual"),
            "day": np.arange(N) * DAYS // N,
            "won": (rng.random(N) < 0.3 + lift * auto).astype(int),
            "revenue": 5 + rng.normal(size=N) + before + 2 * lift * auto,
            "complaints": (rng.random(N) < 0.1 + harm * auto).astype(int),
            "hours": hours,
            "sold": (rng.random(N) < 0.6 - 0.03 * hours).astype(int),
            "visits": visits,
            "orders": rng.binomial(visits, 0.3),
            "before": before,
            "region": np.array(["north", "south"])[rng.integers(0, 2, N)],
        }
    )


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return trial()


def every_number(content: object) -> list[float]:
    if isinstance(content, dict):
        return [n for value in content.values() for n in every_number(value)]
    if isinstance(content, list):
        return [n for value in content for n in every_number(value)]
    return [content] if isinstance(content, int | float) and not isinstance(content, bool) else []


# -- hidden until it may be seen -------------------------------------------------------------------------------------


def test_c17_a_fixed_plan_read_early_holds_no_effect_at_all(frame):
    seen = monitor(frame, outcomes="won", plan="fixed", planned_n=12_000, guardrails={"complaints": 0.05},
                   better={"complaints": "lower"}, **ROLES)  # fmt: skip
    assert (seen.effects, seen.looks, seen.chances) == ((), [], ())
    assert seen.sentence == "Keep running: 6,000 of 12,000 customers. Effects are hidden until the planned end."
    assert seen.guardrails[0].state == "ok"
    assert seen.integrity.passed
    effect = compare(frame, arm="arm", control="manual", outcomes="won")["won"].estimate
    told = every_number(seen.to_dict()) + every_number(seen.to_frame().to_dict("list"))
    assert not [n for n in told for secret in (effect.value, effect.p_value, effect.ci_low) if math.isclose(n, secret)]
    for look in (lambda: seen["won"], seen.plot):
        with pytest.raises(DataError, match="no effect may be seen yet"):
            look()


def test_a_fixed_plan_is_read_at_the_planned_end_and_not_after(frame):
    seen = monitor(frame, outcomes="won", plan="fixed", planned_n=4_000, **ROLES)
    early = frame[frame["day"] < 20]
    expected = compare(early, arm="arm", control="manual", outcomes="won")["won"].estimate
    (look,) = seen["won"].looks
    assert (look.n, look.time) == (4_000, "19")
    assert (look.estimate, look.low, look.high, look.p_value) == pytest.approx(
        (expected.value, expected.ci_low, expected.ci_high, expected.p_value), rel=1e-9
    )
    assert seen.state == "finished"
    assert "Not used: 2,000 customers that came after the last planned look." in seen.notes


def test_planned_looks_are_hidden_before_the_first_and_between_them(frame):
    none = monitor(frame, outcomes="won", plan="group_sequential", looks=[0.6, 1.0], planned_n=12_000, **ROLES)
    assert none.effects == ()
    assert none.sentence.endswith("Effects are hidden until the first planned look.")
    one = monitor(frame, outcomes="won", plan="group_sequential", looks=[0.4, 0.8], planned_n=12_000, **ROLES)
    assert [look.n for look in one["won"].looks] == [4_800]
    assert one["won"].final is None


# -- planned looks ---------------------------------------------------------------------------------------------------


def test_planned_looks_use_the_boundaries_of_the_information_they_had(frame):
    seen = monitor(frame, outcomes="revenue", covariates="before", plan="group_sequential", looks=4, planned_n=6_000,
                   spending="pocock", **ROLES)["revenue"]  # fmt: skip
    info = [look.information for look in seen.looks]
    assert info == pytest.approx([0.25, 0.5, 0.75, 1.0], rel=0.07)
    assert [look.boundary for look in seen.looks] == pytest.approx(boundaries(info, spending="pocock", final=True))
    last = compare(frame, arm="arm", control="manual", outcomes="revenue", covariates="before")["revenue"].estimate
    assert (seen.looks[-1].estimate, seen.looks[-1].std_error) == pytest.approx((last.value, last.std_error), rel=1e-9)
    assert seen.final is not None
    assert seen.final.low < seen.looks[-1].estimate < seen.final.high
    assert (seen.decided != 0) == (seen.final.p_value < 0.05)
    assert "Allowing for the looks: " in str(seen)


@pytest.mark.parametrize(
    ("alternative", "lift", "side"), [("greater", 0.06, 1), ("less", -0.06, -1), ("two-sided", 0.06, 1)]
)
def test_crossing_a_boundary_stops(alternative, lift, side):
    seen = monitor(trial(lift=lift), outcomes="won", plan="group_sequential", looks=3, planned_n=9_000,
                   alternative=alternative, better="higher" if side > 0 else "lower", **ROLES)  # fmt: skip
    effect = seen["won"]
    assert effect.decided == side
    assert seen.state == "stop"
    assert seen.sentence.startswith(f"Stop: the effect of auto on won is {'above' if side > 0 else 'below'} zero")
    assert "better than the control" in seen.sentence
    assert effect.final is not None
    assert effect.final.p_value < 0.05
    assert side * effect.final.estimate > 0
    assert side * (effect.final.low if side > 0 else effect.final.high) > 0
    open_end = effect.looks[0].high if alternative == "greater" else effect.looks[0].low
    assert math.isinf(open_end) == (alternative != "two-sided")


def test_a_trial_that_ended_short_spends_what_is_left(frame):
    roles = {"outcomes": "won", "plan": "group_sequential", "looks": [0.4, 1.0], "planned_n": 9_000}
    open_, over = (monitor(frame, **roles, **ROLES, final=final)["won"] for final in (False, True))
    assert len(open_.looks) == 1
    assert [look.n for look in over.looks] == [3_600, 6_000]
    assert over.looks[-1].boundary == pytest.approx(boundaries([x.information for x in over.looks], final=True)[-1])


def test_nothing_to_hope_for_is_said():
    seen = monitor(trial(lift=-0.02), outcomes="won", plan="group_sequential", looks=4, planned_n=8_000, **ROLES)
    assert seen.sentence.startswith("Consider stopping: 6,000 of 8,000 customers")
    assert seen.chances[0][2] < 0.1
    hoped = monitor(
        trial(lift=-0.02), outcomes="won", plan="group_sequential", looks=4, planned_n=8_000, futility=0, **ROLES
    )
    assert hoped.sentence == "Keep running: 6,000 of 8,000 customers. No effect is shown yet."
    planned = monitor(trial(lift=-0.02), outcomes="won", plan="anytime", planned_n=8_000, planned_effect=0.3, **ROLES)
    assert planned.chances[0][2] > 0.9
    less = monitor(trial(), outcomes="won", plan="anytime", planned_n=20_000, alternative="less", **ROLES)
    more = monitor(trial(), outcomes="won", plan="anytime", planned_n=20_000, alternative="greater", **ROLES)
    assert (less.chances[0][2] > more.chances[0][2]) == (less["won"].looks[-1].estimate < 0)
    assert math.isinf(less["won"].looks[-1].low)
    assert math.isinf(more["won"].looks[-1].high)


# -- anytime ---------------------------------------------------------------------------------------------------------


def test_anytime_looks_at_every_time_with_the_sequence(frame):
    seen = monitor(frame, outcomes="won", plan="anytime", planned_n=8_000, **ROLES)["won"]
    assert [look.time for look in seen.looks] == [str(day) for day in range(DAYS)]
    last = compare(frame, arm="arm", control="manual", outcomes="won")["won"].estimate
    half = float(student_bound(boundary(seen.looks[-1].information), last.df)) * last.std_error
    assert (seen.looks[-1].low, seen.looks[-1].high) == pytest.approx((last.value - half, last.value + half), rel=1e-9)
    p = [look.p_value for look in seen.looks]
    assert p == sorted(p, reverse=True)
    assert all((look.e_value >= 20) == (look.crossed != 0) for look in seen.looks)


def test_a_shown_effect_stops_and_says_where():
    seen = monitor(trial(lift=0.1), outcomes="won", plan="anytime", planned_n=8_000, **ROLES)
    at = next(look.n for look in seen["won"].looks if look.crossed)
    assert seen.state == "stop"
    assert seen.sentence.startswith("Stop: the effect of auto on won is above zero whatever happens next")
    assert f"at {at:,} customers" in seen.sentence
    worse = monitor(trial(lift=0.1), outcomes="won", plan="anytime", planned_n=8_000, better="lower", **ROLES)
    assert "worse than the control" in worse.sentence
    over = monitor(trial(), outcomes="won", plan="anytime", planned_n=6_000, **ROLES)
    assert over.sentence.startswith("Finished: 6,000 of 6,000 customers. No effect is shown: won (auto):")


@pytest.mark.parametrize("outcome", [Ratio("orders", "visits"), Mean("revenue", cap=6.5)])
def test_ratios_and_capped_means_are_those_of_compare(frame, outcome):
    seen = monitor(frame, outcomes=outcome, strata="region", plan="anytime", planned_n=8_000, **ROLES)
    last = compare(frame, arm="arm", control="manual", outcomes=outcome, strata="region")[outcome.name].estimate
    look = seen[outcome.name].looks[-1]
    assert (look.estimate, look.std_error) == pytest.approx((last.value, last.std_error), rel=1e-9)


def test_links_are_judged_on_the_kpi_and_sized_by_an_anderson_rubin_set(frame):
    seen = monitor(
        frame, cpi="hours", kpi="sold", increment=-1, covariates="before", plan="anytime", planned_n=8_000, **ROLES
    )
    link = link_effect(frame, cpi="hours", kpi="sold", increment=-1, covariates="before", arm="arm", control="manual")
    size, itt = seen["sold per -1 hours"].looks[-1], seen["sold"].looks[-1]
    bound = float(student_bound(boundary(size.information), link.reduced_form.df))
    pair = link.pair
    expected = fieller_set(
        pair.effect_cpi, pair.effect_kpi, var_x=pair.var_cpi, var_y=pair.var_kpi, cov=pair.cov, critical=bound
    )
    assert size.estimate == pytest.approx(link.estimate.value, rel=1e-9)
    assert size.std_error == pytest.approx(link.estimate.std_error, rel=1e-9)
    assert np.array(size.confidence_set) == pytest.approx(np.array(expected), rel=1e-9)
    for size, itt in zip(seen["sold per -1 hours"].looks, seen["sold"].looks, strict=True):
        outside = all(not low <= 0 <= high for low, high in size.confidence_set)
        assert outside == (itt.crossed != 0)


def test_several_effects_share_alpha(frame):
    seen = monitor(frame, outcomes=["won", "revenue"], plan="anytime", planned_n=8_000, **ROLES)
    assert [effect.confidence_level for effect in seen.effects] == [0.975, 0.975]
    assert seen["won"].looks[-1].boundary == pytest.approx(
        float(boundary(seen["won"].looks[-1].information, alpha=0.025))
    )
    three = frame.assign(arm=np.where(np.arange(N) % 3 == 0, "new", frame["arm"]))
    both = monitor(
        three, outcomes="won", plan="anytime", planned_n=8_000, allocation={"manual": 1, "auto": 1, "new": 1}, **ROLES
    )
    assert {effect.confidence_level for effect in both.effects} == {0.975}
    assert both["won", "new"].arm == "new"
    with pytest.raises(DataError, match="2 effects match 'won'"):
        both["won"]


def test_clusters_are_the_units_that_are_counted(frame):
    teams = frame.assign(team=np.arange(N) % 60)
    teams["arm"] = np.where(teams["team"] % 2 == 1, "auto", "manual")
    seen = monitor(teams, outcomes="revenue", cluster="team", plan="anytime", planned_n=80, **ROLES)
    last = compare(teams, arm="arm", control="manual", outcomes="revenue", cluster="team")["revenue"].estimate
    first, look = seen["revenue"].looks[0], seen["revenue"].looks[-1]
    assert (seen.n, first.information) == (60, pytest.approx(0.75))
    assert look.information == pytest.approx(0.75 * (first.std_error / look.std_error) ** 2)
    assert (look.estimate, look.std_error) == pytest.approx((last.value, last.std_error), rel=1e-9)
    crossed = monitor(
        teams.assign(arm=frame["arm"]), outcomes="revenue", cluster="team", plan="anytime", planned_n=8_000, **ROLES
    )
    assert crossed.n == N  # clusters in both arms are not what was randomised


# -- clusters whose rows go on ---------------------------------------------------------------------------------------


def shops(clusters: int = 40, days: int = 30, *, lift: float = 0.3) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    shop, day = np.repeat(np.arange(clusters), days), np.tile(np.arange(days), clusters)
    sold = 0.3 * rng.normal(size=clusters)[shop] + rng.normal(size=len(shop)) + lift * (shop % 2)
    return pd.DataFrame({"shop": shop, "arm": np.where(shop % 2, "auto", "manual"), "day": day, "sold": sold})


SHOPS = {"outcomes": "sold", "cluster": "shop", "planned_n": 40, **ROLES, "units": "shops"}
PLANNED = [{"plan": "fixed"}, {"plan": "group_sequential", "looks": 4}]


@pytest.mark.parametrize("until", [1, 2, 30])
def test_clusters_that_have_come_do_not_end_a_trial_whose_rows_still_come(until):
    rows = shops()
    seen = monitor(rows[rows["day"] < until], plan="fixed", **SHOPS)
    assert (seen.n, seen.state, seen.effects) == (40, "keep running", ())
    assert seen.sentence == "Keep running: 40 of 40 shops. Effects are hidden until the last rows are in."
    came = "There is one time" if until == 1 else "40 shops have rows at several times"
    assert seen.notes == (f"{came}: more may come of each. Give final=True once the last rows are in.",)


def test_a_sequence_of_clusters_goes_on_until_their_last_rows_are_in():
    rows = shops(lift=0)
    for until in (1, 2, 30):
        seen = monitor(rows[rows["day"] < until], plan="anytime", **SHOPS)
        assert seen.sentence == "Keep running: 40 of 40 shops. No effect is shown yet."
        assert seen.notes[0].endswith("Give final=True once the last rows are in.")
    over = monitor(rows, plan="anytime", final=True, **SHOPS)
    assert over.sentence.startswith("Finished: 40 of 40 shops. No effect is shown: sold (auto):")
    assert over.notes == ()
    assert len(over["sold"].looks) == 30
    assert monitor(rows, plan="anytime", **{**SHOPS, "planned_n": 60}).notes == ()


@pytest.mark.parametrize("plan", PLANNED)
@pytest.mark.parametrize("source", ["rows", "moments"])
def test_the_one_reading_of_clusters_at_the_end_uses_every_row(plan, source):
    rows = shops()
    data = rows
    if source == "moments":
        data = gather(rows, ["sold"], by=["arm", "day", "shop"], pairs=[("sold", "sold")])
    seen = monitor(data, final=True, **plan, **SHOPS)
    expected = compare(rows, arm="arm", control="manual", outcomes="sold", cluster="shop")["sold"].estimate
    (look,) = seen["sold"].looks
    assert (look.time, look.n, seen.state) == ("29", 40, "finished")
    assert (look.estimate, look.std_error, look.low, look.high) == pytest.approx(
        (expected.value, expected.std_error, expected.ci_low, expected.ci_high), rel=1e-9
    )
    end = seen["sold"].final
    if end is not None:
        assert (end.estimate, end.low, end.high, end.p_value) == pytest.approx(
            (expected.value, expected.ci_low, expected.ci_high, expected.p_value), rel=1e-9
        )
    assert (end is None) == (plan["plan"] == "fixed")
    assert seen.notes == ()


def test_looks_are_not_planned_by_shares_of_clusters_that_go_on():
    with pytest.raises(DesignError, match="40 of 40 clusters have rows at several times") as told:
        monitor(shops(), plan="group_sequential", looks=4, **SHOPS)
    assert "final=True" in str(told.value)


@pytest.mark.parametrize("plan", PLANNED)
def test_clusters_at_the_time_they_were_complete_are_counted_then(plan):
    rows = shops()
    rows["day"] = rows["shop"].where(rows["shop"] < 30)  # a cluster a day; ten are not complete
    seen = monitor(rows, **plan, **SHOPS)
    assert (seen.n, seen.state) == (30, "keep running")
    assert [len(effect.looks) for effect in seen.effects] == ([] if plan["plan"] == "fixed" else [3])
    whole = monitor(rows.assign(day=rows["shop"]), **plan, **SHOPS)
    assert (whole.n, whole.state) == (40, "finished")
    assert whole["sold"].looks[-1].time == "39"
    assert whole.notes == ("Rows of shops that were counted are taken to be complete.",)


def test_guardrails_are_watched_while_rows_of_clusters_still_come():
    rows = shops(lift=-3)
    early = rows[rows["day"] < 20].assign(other=0.0)
    seen = monitor(early.assign(other=np.arange(len(early)) % 7), plan="fixed", guardrails={"sold": 0.1},
                   **{**SHOPS, "outcomes": "other"})  # fmt: skip
    assert seen.guardrails[0].state == "harm"
    assert seen.effects == ()


def test_sequences_begin_late_enough(frame):
    rare = frame.assign(won=(np.arange(N) % 200 == 0).astype(int))
    seen = monitor(rare, outcomes="won", plan="anytime", planned_n=8_000, **ROLES)["won"]
    first = seen.looks[0]
    early = rare[rare["day"] <= int(first.time)].groupby("arm")["won"].sum()
    assert early.min() >= 10
    assert rare[rare["day"] < int(first.time)].groupby("arm")["won"].sum().min() < 10
    none = monitor(rare.assign(won=np.arange(N) < 6), outcomes="won", plan="anytime", planned_n=8_000, **ROLES)
    assert none.sentence == "Keep running: 6,000 of 8,000 customers. Too few for an effect to be shown."
    assert none.notes == (
        "Not every effect can be shown: too few units, or an outcome that does not vary within the arms.",
    )
    unequal = trial(share=0.1)
    late = monitor(
        unequal, outcomes="revenue", plan="anytime", planned_n=8_000, allocation={"manual": 9, "auto": 1}, **ROLES
    )
    assert late.effects == ()  # 600 of the 1,000 that the smaller arm needs


def test_many_times_are_thinned_out_and_few_may_be_asked_for(frame):
    hourly = frame.assign(day=np.arange(N) // 4)
    seen = monitor(hourly, outcomes="revenue", plan="anytime", planned_n=8_000, **ROLES)["revenue"]
    assert 490 <= len(seen.looks) <= 500
    few = monitor(hourly, outcomes="revenue", plan="anytime", looks=7, planned_n=8_000, **ROLES)["revenue"]
    assert 5 <= len(few.looks) <= 7  # the first may be too early
    assert few.looks[-1].n == N
    shares = monitor(
        hourly, outcomes="revenue", plan="anytime", looks=np.array([0.25, 0.5, 1.0]), planned_n=8_000, **ROLES
    )["revenue"]
    assert [look.n for look in shares.looks] == [2_000, 4_000]


# -- data of any kind ------------------------------------------------------------------------------------------------


def test_moments_gathered_once_answer_like_rows(frame):
    rows = monitor(frame, outcomes=["won", "revenue"], plan="anytime", planned_n=8_000, **ROLES)
    moments = gather(frame, ["won", "revenue", "hours"], by=["arm", "day", "region"])
    kept = monitor(moments, outcomes=["won", "revenue"], plan="anytime", planned_n=8_000, **ROLES)
    for a, b in zip(rows.looks, kept.looks, strict=True):
        assert [a["n"], a["time"], a["crossed"]] == [b["n"], b["time"], b["crossed"]]
        assert a["low"] == pytest.approx(b["low"], rel=1e-9)
    with pytest.raises(DataError, match="hour"):
        monitor(moments, outcomes="won", plan="anytime", planned_n=8_000, **{**ROLES, "time": "hour"})


@pytest.mark.parametrize("kind", ["date", "text", "timestamp", "parquet"])
def test_times_of_any_kind_are_put_in_order(frame, kind, tmp_path):
    days = [date(2026, 1, 25) + timedelta(days=int(day)) for day in frame["day"]]
    made = {
        "date": days,
        "text": [day.isoformat() for day in days],
        "timestamp": pd.to_datetime(days),
        "parquet": pd.to_datetime(days),
    }
    data = frame.assign(day=made[kind]).sample(frac=1, random_state=1)
    if kind == "parquet":
        data.to_parquet(tmp_path / "rows.parquet")
        data = tmp_path / "rows.parquet"
    seen = monitor(data, outcomes="won", plan="anytime", planned_n=8_000, **ROLES)["won"]
    assert (seen.looks[0].time, seen.looks[-1].time) == ("2026-01-25", "2026-02-23")
    plain = monitor(frame, outcomes="won", plan="anytime", planned_n=8_000, **ROLES)["won"]
    assert [look.high for look in seen.looks] == pytest.approx([look.high for look in plain.looks], rel=1e-9)


def test_rows_without_a_time_are_counted_and_not_used(frame):
    seen = monitor(
        frame.assign(day=frame["day"].where(frame["day"] < 20)),
        outcomes="won",
        plan="anytime",
        planned_n=8_000,
        **ROLES,
    )
    assert seen.n == 4_000
    assert seen.notes == ("Not used: 2,000 rows without day.",)


def test_missing_outcomes_are_counted_and_are_no_zeros(frame):
    lost = frame.assign(won=frame["won"].where(np.arange(N) % 10 != 0))
    seen = monitor(lost, outcomes="won", plan="anytime", planned_n=8_000, **ROLES)
    expected = compare(lost, arm="arm", control="manual", outcomes="won")["won"].estimate
    assert seen["won"].looks[-1].estimate == pytest.approx(expected.value, rel=1e-9)
    assert seen.notes == ("Not used for won, auto: 600 without won.",)
    assert seen.n == N


def test_strata_that_fill_up_late_delay_the_first_look_and_never_end_it(frame):
    late = frame.assign(region=np.where(frame["day"] < 12, "north", "south"))
    late.loc[np.arange(N) == 10, "region"] = "south"
    seen = monitor(late, outcomes="revenue", strata="region", plan="anytime", planned_n=8_000, **ROLES)["revenue"]
    assert (seen.looks[0].time, seen.looks[-1].time) == ("12", "29")
    with pytest.raises(EstimationError, match="unit"):
        monitor(late[late["day"] < 12], outcomes="revenue", strata="region", plan="anytime", planned_n=8_000, **ROLES)


# -- guardrails and the split ----------------------------------------------------------------------------------------


def test_an_effect_without_a_look_cannot_be_judged():
    nothing = np.zeros(0)
    stream = Stream(
        outcome="won", arm="auto", place=nothing.astype(int), n=nothing, effect=np.zeros((0, 1)),
        omega=np.zeros((0, 1, 1)), df=nothing,
    )  # fmt: skip
    timing = Timing(times=(), total=nothing, information=nothing, planned_n=100, ended=False)
    with pytest.raises(DataError, match="no estimate of 'won' yet"):
        over_time(stream, timing, Rule(plan="anytime", alpha=0.05), unit="won")


def guarded(data: pd.DataFrame, margin: float, **more: object):
    return monitor(data, outcomes="won", plan="fixed", planned_n=12_000, guardrails={"complaints": margin},
                   better={"complaints": "lower"}, **{**ROLES, **more})  # fmt: skip


@pytest.mark.parametrize(
    ("harm", "margin", "state"),
    [(0.0, 0.05, "ok"), (0.0, 0.005, "watch"), (0.1, 0.03, "harm"), (0.1, 0.2, "ok"), (-0.06, 0.01, "ok")],
)
def test_guardrails_are_ok_watched_or_harmed(harm, margin, state):
    seen = guarded(trial(harm=harm), margin)
    (guardrail,) = seen.guardrails
    assert guardrail.state == state
    assert guardrail.low < guardrail.estimate < guardrail.high
    assert (seen.state == "stop") == (state == "harm")
    if state == "harm":
        assert seen.sentence == "Stop: harm is shown on complaints (auto) (6,000 of 12,000 customers)."
    assert "complaints, auto: " in str(seen)


def test_guardrails_use_their_own_one_sided_sequences(frame):
    (guardrail,) = guarded(frame, 0.05).guardrails
    effect = compare(frame, arm="arm", control="manual", outcomes="complaints")["complaints"].estimate
    counts = frame["arm"].value_counts()
    info = (2 / 6_000) / (1 / counts["auto"] + 1 / counts["manual"])
    bound = float(student_bound(boundary(info, alternative="greater"), effect.df))
    assert guardrail.high == pytest.approx(effect.value + bound * effect.std_error, rel=1e-6)


def test_guardrails_wait_for_enough_units(frame):
    seen = guarded(frame.assign(complaints=(np.arange(N) < 3).astype(int)), 0.05)
    assert seen.guardrails[0].state == "watch"
    assert math.isnan(seen.guardrails[0].estimate)


def test_better_waits_for_guardrails():
    better = trial(lift=0.1)
    seen = monitor(better, outcomes="won", plan="anytime", planned_n=12_000, guardrails={"complaints": 0.002},
                   better={"complaints": "lower"}, **ROLES)  # fmt: skip
    assert seen.state == "keep running"
    assert "Won is better with auto, but complaints (auto) may still be worse than its margin." in seen.sentence
    ended = monitor(better, outcomes="won", plan="anytime", planned_n=6_000, guardrails={"complaints": 0.002},
                    better={"complaints": "lower"}, **ROLES)  # fmt: skip
    assert ended.state == "finished"


def test_a_broken_split_blocks_whatever_the_effect_is():
    skewed = trial(lift=0.1, share=0.6)
    seen = monitor(skewed, outcomes="won", plan="anytime", planned_n=8_000, **ROLES)
    assert (seen.state, seen.integrity.blocks) == ("blocked", True)
    assert seen.sentence.startswith("Stop and repair")
    assert "sample ratio: BLOCKED" in str(seen)
    planned = monitor(
        skewed, outcomes="won", plan="anytime", planned_n=8_000, allocation={"manual": 4, "auto": 6}, **ROLES
    )
    assert planned.integrity.passed


def test_ship_rule_needs_a_success_and_every_guardrail():
    assert ship_rule({"won": True}, {}).ship
    assert ship_rule({}, {"complaints": True}).reason == "Ship: every guardrail keeps its margin."
    assert not ship_rule({"won": False}, {"complaints": True}).ship
    assert not ship_rule({"won": True}, {"complaints": False}).ship
    assert ship_rule({"won": True}, {}).to_frame()["ship"].tolist() == [True]
    assert power_of_each(0.8, metrics=1) == pytest.approx(0.8)


# -- how it looks ----------------------------------------------------------------------------------------------------


def test_results_fit_eighty_columns_and_draw_themselves(frame):
    seen = monitor(frame, outcomes=["won", "revenue"], plan="anytime", planned_n=8_000, guardrails={"complaints": 0.05},
                   better={"complaints": "lower"}, **ROLES)  # fmt: skip
    for text in (str(seen), str(seen["won"])):
        assert max(map(len, text.splitlines())) <= 80
    assert len(str(seen["won"]).splitlines()) < 20  # the latest looks; the frame has all
    assert len(seen.to_frame()) == len(seen.looks) == sum(len(effect.looks) for effect in seen.effects)
    assert seen.plot().get_size_inches().tolist() == [8.0, 4.6]
    assert "Keep running" in seen._repr_html_() or "Consider stopping" in seen._repr_html_()


# -- what is refused -------------------------------------------------------------------------------------------------

BASE = {"outcomes": "won", "plan": "anytime", "planned_n": 8_000}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"plan": "bayes"}, "plan 'bayes' is not known"),
        ({"planned_n": 0}, "planned_n 0"),
        ({"plan": "fixed", "looks": 4}, "read once"),
        ({"plan": "group_sequential"}, "planned looks are not named"),
        ({"plan": "group_sequential", "looks": [0.5, 0.4]}, "increasing shares"),
        ({"plan": "group_sequential", "looks": 0}, "increasing shares"),
        ({"plan": "group_sequential", "looks": ["2026-04-01"]}, "increasing shares"),
        ({"alpha": 0.6}, "alpha 0.6"),
        ({"futility": 2}, "futility 2"),
        ({"alternative": "up"}, "alternative 'up'"),
        ({"increment": 0}, "not a step"),
        ({"cpi": "hours"}, "needs both"),
        ({"cpi": "won", "kpi": "won"}, "both CPI and KPI"),
        ({"outcomes": Quantile("revenue")}, "cannot be monitored"),
        ({"outcomes": ()}, "no outcome is named"),
        ({"outcomes": Mean("revenue", cap="p99")}, "from look to look"),
        ({"outcomes": [Mean("revenue", cap=5), "revenue"]}, "with and without its cap"),
        ({"better": {"won": "up"}}, "neither higher nor lower"),
        ({"better": {"wonn": "lower"}}, "Did you mean 'won'"),
        ({"guardrails": {"won": 0.1}}, "both an outcome and a guardrail"),
        ({"guardrails": {"complaints": -0.1}}, "not above zero"),
        ({"covariates": "won"}, "both an outcome and a covariate"),
        ({"cluster": "day"}, "two roles"),
        ({"allocation": {"manual": 1, "auto": 1, "new": 1}}, "one share above zero for each arm"),
        ({"time": "arm"}, "two roles"),
    ],
)
def test_what_is_no_plan_is_refused(frame, change, words):
    with pytest.raises((DesignError, DataError), match=words):
        monitor(frame, **{**BASE, **ROLES, **change})


@pytest.mark.parametrize(
    ("times", "words"),
    [(["10.04.2026"] * N, "not a date"), ([None] * N, "no row has a time"), ([1] * (N - 1) + ["a"], "kinds|date")],
)
def test_times_without_an_order_are_refused(frame, times, words):
    with pytest.raises(DataError, match=words):
        monitor(frame.assign(day=pd.Series(times, dtype=object)), **BASE, **ROLES)


def test_a_constant_outcome_has_no_effect_to_show(frame):
    seen = monitor(frame.assign(won=1), **BASE, **ROLES)
    assert seen.effects == ()
    assert "Too few" in seen.sentence


def test_ship_rule_and_power_refuse_nothing_to_decide_on():
    with pytest.raises(DesignError, match="no metric"):
        ship_rule({}, {})
    with pytest.raises(DesignError, match="metrics"):
        power_of_each(0.8, metrics=0)


def test_final_look_is_where_the_data_end():
    plan = LookPlan(plan="group_sequential", planned_n=100, looks=2, final=True)
    assert plan.places(np.array([20, 55, 80])) == [1, 2]
