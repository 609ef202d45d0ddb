"""Whose lever moved what, and what may be promised for it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cpi_experiments.accountability.assess import MOVED_STEP, Influence, charter, influences
from cpi_experiments.accountability.charter import Standing
from cpi_experiments.catalog.entities import CPI, KPI, Benefit, Catalog, Function, Lever, Measure, Target, Team
from cpi_experiments.errors import CatalogError
from cpi_experiments.estimate import EffectPair, Estimand, Estimate, Link
from cpi_experiments.evidence.verdict import Design, Evidence, Verdict, VerdictWord
from cpi_experiments.units import Direction, Increment

WIN, CHURN = Link(cpi_id="quote_hours", kpi_id="win_rate"), Link(cpi_id="quote_hours", kpi_id="churn")
V = VerdictWord


def _measure(column):
    return Measure(table="events", entity="customer_id", at="at", value=column)


def cpi(key, better=Direction.LOWER, unit="hour", increment="1 hour", target=None):
    return CPI(
        id=key, label=key, outcome="It is good", unit=unit, better=better, increment=Increment.parse(increment), measure=_measure(key),
        benefit=Benefit.FUNCTIONAL, function=Function.SALES, target=target,
    )  # fmt: skip


def kpi(key, better=Direction.HIGHER):
    return KPI(id=key, label=key, unit="fraction", better=better, measure=_measure(key))


def team(key):
    return Team(id=key, label=key.title(), function=Function.SALES)


def lever(key, owner, *moved):
    return Lever(id=key, label=key, team=owner, moves=dict.fromkeys(moved, Direction.LOWER))


CATALOG = Catalog(
    cpis={"quote_hours": cpi("quote_hours"), "friends": cpi("friends")},
    kpis={"win_rate": kpi("win_rate"), "churn": kpi("churn", Direction.LOWER)},
    teams={"sales": team("sales"), "it": team("it")},
    levers={"auto": lever("auto", "sales", "quote_hours"), "cache": lever("cache", "it", "quote_hours")},
)


def aim(value=None, due="2027-06-30"):
    return replace(CATALOG, cpis={"quote_hours": cpi("quote_hours", target=Target(value=value, due=due))})


def influence(move=3.0, half=1.0, owner="sales", tried="auto", on="quote_hours"):
    return Influence(team=owner, cpi=on, lever=tried, experiment="E1", move=move, low=move - half, high=move + half)


def verdict(link=WIN, word=V.CONFIRMED, grade="B", effect=0.008, error=0.001, sesoi=0.004, **fields):
    return Verdict(
        link=link, verdict=word, grade=grade, effect=effect, effect_shrunken=effect * sesoi**2 / (sesoi**2 + error**2),
        ci_low=effect - 1.96 * error, ci_high=effect + 1.96 * error, sesoi=sesoi, **fields,
    )  # fmt: skip


def row(verdicts, tried, *, catalog=CATALOG, who="sales", levels=None):
    found = charter(catalog, verdicts, tried, levels=levels)
    return next(r for r in found.rows if r.team == who and r.cpi == "quote_hours")


def test_one_row_per_outcome_and_team_with_a_lever_and_one_for_an_outcome_without():  # A14
    found = charter(CATALOG, [], [])
    assert [(r.team, r.cpi, r.standing) for r in found.rows] == [
        ("sales", "quote_hours", Standing.NOT_YET), ("it", "quote_hours", Standing.NOT_YET), ("", "friends", Standing.NO_LEVER),
    ]  # fmt: skip
    assert found.rows[2].reasons == ("No lever moves friends: nobody can be accountable for it yet.",)
    assert str(found).startswith("0 of 3 pairs")
    assert found.to_frame().shape == (3, 12)


CASES = {
    "assignable": ([verdict()], [influence()], Standing.ASSIGNABLE, "quote_hours -> win_rate is confirmed, grade B."),
    "assignable, A+": ([verdict(grade="A+")], [influence()], Standing.ASSIGNABLE, "grade A+."),
    "lever of another team": ([verdict()], [influence(owner="it", tried="cache")], Standing.NOT_YET, "No lever of this team was tried"),
    "other outcome moved": ([verdict()], [influence(on="friends")], Standing.NOT_YET, "No lever of this team was tried"),
    "not shown to move": ([verdict()], [influence(half=2.9)], Standing.NOT_YET, "not shown to move it by a quarter of a step: +3.0"),
    "moved too little": ([verdict()], [influence(0.3, 0.05)], Standing.NOT_YET, "a quarter of a step: +0.300 (+0.250 to +0.350)"),
    "moved the wrong way": ([verdict()], [influence(-3.0)], Standing.NOT_YET, "not shown to move it"),
    "no link": ([], [influence()], Standing.NOT_YET, "No link of it is confirmed (none registered)."),
    "grade C": ([verdict(grade="C")], [influence()], Standing.NOT_YET, "No link of it is confirmed"),
    "refuted": ([verdict(word=V.REFUTED, cause="harmful", grade="A")], [influence()], Standing.NOT_YET, "refuted (harmful)"),
    "inconclusive": ([verdict(word=V.INCONCLUSIVE, cause="underpowered")], [influence()], Standing.NOT_YET, "inconclusive (underpowered)"),
    "blocked": ([verdict(word=V.BLOCKED, grade="")], [influence()], Standing.NOT_YET, "quote_hours -> win_rate: blocked"),
    "link of another outcome": (
        [verdict(link=Link(cpi_id="friends", kpi_id="win_rate"))], [influence()], Standing.NOT_YET, "none registered"),
}  # fmt: skip


@pytest.mark.parametrize(("verdicts", "tried", "standing", "text"), CASES.values(), ids=CASES)
def test_a_team_owns_what_its_lever_moved_and_what_pays(verdicts, tried, standing, text):
    found = row(verdicts, tried)
    assert found.standing is standing
    assert text in " ".join(found.reasons)
    assert math.isnan(found.gain_p50) == (standing is not Standing.ASSIGNABLE)
    assert math.isnan(found.steps) == (standing is not Standing.ASSIGNABLE)


def test_what_is_missing_is_said_first():
    assert "No link of it is confirmed" in row([], [influence()]).reasons[0]
    assert "No lever of this team was tried" in row([verdict()], []).reasons[0]


def test_a_row_says_itself_in_one_line():
    assert str(row([], [])).startswith(
        "sales x quote_hours: not yet. No lever of this team was tried in an experiment."
    )
    assert str(charter(CATALOG, [], []).rows[2]).startswith("no team x friends: no lever.")


def test_a_quarter_of_a_step_must_be_passed_not_reached():
    assert row([verdict()], [influence(MOVED_STEP + 1.0, 1.0)]).standing is Standing.NOT_YET
    assert row([verdict()], [influence(MOVED_STEP + 1.001, 1.0)]).standing is Standing.ASSIGNABLE


def test_the_best_proven_trial_of_the_team_and_the_strongest_link_speak():
    sharp, vague = influence(2.0, 0.5), replace(influence(5.0, 4.9), experiment="E2")
    found = row([verdict(), verdict(link=CHURN, effect=-0.03, sesoi=0.004)], [vague, sharp])
    assert "in E1." in found.reasons[0]
    assert found.link == CHURN


def test_without_target_half_of_the_largest_move_is_asked():
    found = row([verdict()], [influence(3.0), influence(4.0, owner="it", tried="cache")])
    assert found.steps == pytest.approx(2.0)
    assert math.isnan(found.target)
    assert row([verdict()], [influence(3.0)], levels={"quote_hours": 26.0}).target == pytest.approx(24.5)


@pytest.mark.parametrize(
    ("goal", "steps"), [(24.0, 2.0), (23.0, 3.0), (20.0, 3.0), (-100.0, 3.0), (26.0, 0.0), (30.0, 0.0)]
)
def test_target_is_capped_to_the_moved_range(goal, steps):
    found = row([verdict()], [influence(3.0)], catalog=aim(goal), levels={"quote_hours": 26.0})
    assert found.steps == pytest.approx(steps)
    assert found.target == pytest.approx(26.0 - steps)
    assert (found.baseline, found.horizon) == (26.0, "2027-06-30")


def test_target_of_an_outcome_that_is_better_high_goes_up():
    up = replace(
        aim(), cpis={"quote_hours": cpi("quote_hours", Direction.HIGHER, "fraction", "1 pp", Target(value=0.9))}
    )
    found = row([verdict()], [influence(3.0)], catalog=up, levels={"quote_hours": 0.70})
    assert (found.steps, found.target) == (pytest.approx(3.0), pytest.approx(0.73))


finite = st.floats(-1, 1).filter(lambda value: abs(value) > 1e-6)


@given(effect=finite, error=st.floats(1e-6, 10), sesoi=st.floats(1e-4, 1), move=st.floats(0.6, 50))
def test_gain_percentiles_are_ordered_whatever_the_sign(effect, error, sesoi, move):
    found = row([verdict(effect=effect, error=error, sesoi=sesoi)], [influence(move, 0.3)])
    assert found.gain_p10 <= found.gain_p50 <= found.gain_p90
    assert math.copysign(1, found.gain_p50) == math.copysign(1, effect) or found.gain_p50 == 0


@pytest.mark.parametrize("effect", [0.008, -0.008])
def test_gain_is_the_posterior_of_the_effect_times_the_steps(effect):
    found = row([verdict(effect=effect, error=0.003)], [influence(4.0)])
    rng = np.random.default_rng(1)
    prior = rng.normal(0, 0.004, 4_000_00)
    weight = stats.norm.pdf(effect, prior, 0.003)
    order = np.argsort(prior)
    spread = np.cumsum(weight[order]) / weight.sum()
    expected = [2.0 * prior[order][np.searchsorted(spread, share)] for share in (0.1, 0.5, 0.9)]
    assert (found.gain_p10, found.gain_p50, found.gain_p90) == pytest.approx(expected, abs=2e-4)


def test_gain_of_an_effect_without_limits_is_as_wide_as_the_prior():
    open_ = replace(verdict(), ci_low=-math.inf, ci_high=math.inf, effect_shrunken=0.005)
    found = row([open_], [influence(2.0)])
    assert found.gain_p90 - found.gain_p10 == pytest.approx(2 * 1.2815515655446004 * 0.004)


def test_forecast_is_said_in_the_words_of_step_and_kpi():
    found = row([verdict()], [influence(3.0)])
    assert found.reasons[-1].startswith("1.5 steps (hour faster) are worth +1.13 points")
    assert "of win_rate per customer (80% range +0.94 to +1.32)" in found.reasons[-1]


# -- influence ---------------------------------------------------------------------------------------------------------


def evidence(
    experiment="E1", *, tried="auto", design=Design.RANDOMIZED, pair=True, link=WIN, var_cpi=0.25, df=math.inf, **fields
):
    estimate = Estimate(
        cause="c", outcome="k", estimand=Estimand.LATE, value=0.01, std_error=0.002, ci_low=0.006, ci_high=0.014,
        p_value=0.001, unit="u", n_obs=10, method="m",
    )  # fmt: skip
    numbers = (
        EffectPair(effect_cpi=3.0, effect_kpi=0.03, var_cpi=var_cpi, var_kpi=1e-5, cov=0.0, df=df) if pair else None
    )
    return Evidence(
        link=link, design=design, estimate=estimate, experiment=experiment, lever=tried, pair=numbers, **fields
    )


def test_each_trial_counts_once_per_outcome():
    found = influences(CATALOG, [evidence(), evidence(link=CHURN), evidence("E2", tried="cache")])
    assert [(i.experiment, i.team, i.lever) for i in found] == [("E1", "sales", "auto"), ("E2", "it", "cache")]


@pytest.mark.parametrize(("df", "half"), [(math.inf, 1.6448536 * 0.5), (10.0, 1.8124611 * 0.5)])
def test_influence_has_a_ninety_percent_interval(df, half):
    (found,) = influences(CATALOG, [evidence(df=df)])
    assert (found.move, found.low, found.high) == pytest.approx((3.0, 3.0 - half, 3.0 + half))


def test_what_is_not_a_sound_trial_moves_nothing():
    unsound = [
        evidence(design=Design.OBSERVATIONAL), evidence(pair=False), evidence(blocked="sample ratio"), evidence(var_cpi=math.nan),
        evidence(design=Design.QUASI),
    ]  # fmt: skip
    assert influences(CATALOG, unsound) == ()


def test_a_lever_that_the_catalog_does_not_know_is_refused():
    with pytest.raises(CatalogError, match="lever 'aut' is not in the catalog"):
        influences(CATALOG, [evidence(tried="aut")])
