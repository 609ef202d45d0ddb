"""Panels with known truth: what unit and period effects remove, what the lead placebo unmasks, what is refused."""

import numpy as np
import pandas as pd
import pytest

from cpi_experiments.errors import CpiError
from cpi_experiments.estimate import Estimand, Link, Status
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.measure.panel import Panel
from cpi_experiments.observational.association import association
from cpi_experiments.observational.fixed_effects import fixed_effects, lag_periods
from cpi_experiments.stats import fixed_effects as kernel

EFFECT = 0.8  # KPI points per hour faster


def company(seed=4, *, units=80, periods=10, lag=0, confounded=0.0) -> pd.DataFrame:
    """Hours of a quote and win rate; ``confounded`` weighs a slowly moving cause of both."""
    rng = np.random.default_rng(seed)
    unit, month = (codes.ravel() for codes in np.indices((units, periods)))
    fixed = rng.normal(size=units)[unit] * 5 + rng.normal(size=periods)[month] * 2
    hidden = np.cumsum(rng.normal(size=(units, periods)), axis=1)
    hours = rng.normal(size=(units, periods)) - confounded * hidden
    shifted = np.pad(hours, ((0, 0), (lag, 0)))[:, :periods]
    won = -EFFECT * shifted + confounded * hidden + rng.normal(size=(units, periods))
    return pd.DataFrame(
        {
            "broker": [f"b{i:03}" for i in unit],
            "month": [f"2025-{m + 1:02}" for m in month],
            "hours": 30 + hours.ravel() + fixed,
            "won": 20 + won.ravel() + 2 * fixed,
            "staff": hidden.ravel(),
            "channel": np.where(unit % 3 == 0, "web", "phone"),
            "since": 2000.0 + unit,
            "season": np.where(month % 4 == 0, "peak", "quiet"),
            "age": unit * 1.0 + month,
            "mood": rng.choice(["good", "fair", "bad"], size=len(unit)),
        }
    )


def panel_of(frame, covariates=(), period="month"):
    return Panel.from_frame(
        frame, unit="broker", time="month", cpis=["hours"], kpis=["won"], covariates=covariates, period=period
    )


def claim(**changes):
    return Hypothesis(**{"link": Link.parse("hours -> won"), "expected_sign": 1, "sesoi": 0.4} | changes)


def check(estimate, name):
    return next((item for item in estimate.diagnostics if item.name == name), None)


def test_unit_and_period_effects_recover_the_effect_per_increment():
    frame = company()
    estimate = fixed_effects(panel_of(frame), claim(), divisor=-1.0)
    assert abs(estimate.value - EFFECT) < 3 * estimate.std_error
    assert estimate.ci_low < EFFECT < estimate.ci_high
    assert association(frame, cpi="hours", kpi="won").value > 1  # pooled, raw unit: even the sign is wrong
    assert (estimate.unit, estimate.estimand, estimate.status) == ("won per increment", Estimand.ASSOCIATION, Status.OK)
    assert (estimate.cause, estimate.outcome, estimate.n_clusters) == ("hours", "won", 80)
    assert check(estimate, "lead placebo").passed
    assert not check(estimate, "past data").passed


def test_it_is_the_plain_door_in_increments():
    frame = company()
    raw = association(frame, cpi="hours", kpi="won", unit="broker", time="month")
    estimate = fixed_effects(panel_of(frame), claim(), divisor=-0.5)
    assert estimate.value == pytest.approx(-0.5 * raw.value, rel=1e-9)
    assert estimate.std_error == pytest.approx(0.5 * raw.std_error, rel=1e-9)
    assert estimate.p_value == pytest.approx(raw.p_value, rel=1e-6)


def test_lead_placebo_unmasks_a_hidden_cause_and_adjusting_for_it_helps():
    panel = panel_of(company(confounded=1.0), covariates=["staff"])
    estimate = fixed_effects(panel, claim(), divisor=-1.0)
    placebo = check(estimate, "lead placebo")
    assert estimate.value > EFFECT + 3 * estimate.std_error
    assert not placebo.passed
    assert placebo.p_value < 0.001
    assert placebo.null == "next month's hours says nothing about this month's won"
    assert "which it cannot have caused" in placebo.advice
    adjusted = fixed_effects(panel, claim(adjustment=("staff",)), divisor=-1.0)
    assert abs(adjusted.value - EFFECT) < 3 * adjusted.std_error
    assert check(adjusted, "lead placebo").p_value > 0.001


def test_lead_placebo_rarely_alarms_without_a_hidden_cause():
    alarms = sum(
        not check(fixed_effects(panel_of(company(seed, units=40)), claim(), divisor=-1.0), "lead placebo").passed
        for seed in range(100)
    )
    assert alarms <= 17  # binomial(100, 0.05): 1 in 10,000 beyond


def test_a_lagged_effect_is_found_at_its_lag_only():
    panel = panel_of(company(lag=1))
    later = fixed_effects(panel, claim(lag_days=(28, 56)), divisor=-1.0)
    assert abs(later.value - EFFECT) < 3 * later.std_error
    assert "hours 1 month earlier" in later.method
    assert later.dropped == (("without hours", 80),)
    now = fixed_effects(panel, claim(), divisor=-1.0)
    assert abs(now.value) < 4 * now.std_error


@pytest.mark.parametrize(
    ("days", "period", "lag"),
    [((0, 28), "month", 0), ((28, 56), "month", 1), ((90, 120), "month", 3), ((0, 28), "week", 0), ((7, 14), "day", 7)],
)
def test_lags_are_whole_periods(days, period, lag):
    assert lag_periods(days, period) == lag


def test_adjustment_that_the_effects_hold_constant_is_named():
    covariates = ["channel", "since", "season", "age", "mood"]
    panel = panel_of(company(), covariates=covariates)
    estimate = fixed_effects(panel, claim(adjustment=(*covariates, "weather", "hours")), divisor=-1.0)
    assert check(estimate, "held constant").null.startswith("channel, since, season, age: held constant")
    assert check(estimate, "not adjusted").advice.startswith("weather: not in the panel")
    mood_only = fixed_effects(panel, claim(adjustment=("mood",)), divisor=-1.0)
    assert estimate.value == pytest.approx(mood_only.value, rel=1e-9)
    assert check(mood_only, "held constant") is None


def test_missing_rows_are_counted_and_singletons_too():
    frame = company()
    frame.loc[3, "won"] = np.nan
    frame.loc[len(frame)] = {**frame.iloc[0].to_dict(), "broker": "alone"}
    estimate = fixed_effects(panel_of(frame), claim(), divisor=-1.0)
    assert estimate.dropped == (("without won", 1), ("the only row of its unit or period", 1))
    assert estimate.n_obs == len(frame) - 2


def test_few_units_get_the_jackknife_and_two_periods_no_placebo():
    few = fixed_effects(panel_of(company(units=12)), claim(), divisor=-1.0)
    assert "CR3" in few.method
    short = fixed_effects(panel_of(company(periods=2)), claim(), divisor=-1.0)
    assert "could not be checked" in check(short, "lead placebo").advice


def test_planted_swap_of_entity_and_time_is_caught():
    with pytest.raises(CpiError, match="they look swapped"):
        association(company(), cpi="hours", kpi="won", unit="month", time="broker")


def test_planted_unclustered_errors_are_too_short():
    rng = np.random.default_rng(9)
    walks = [np.cumsum(rng.normal(size=(60, 12)), axis=1).ravel() for _ in range(2)]
    unit, month = (codes.ravel() for codes in np.indices((60, 12)))
    clustered = kernel.within(walks[0], walks[1], effects=[unit, month], cluster=unit)
    naive = kernel.within(walks[0], walks[1], effects=[unit, month], variance="iid")
    assert clustered.std_errors[0] > 1.5 * naive.std_errors[0]


@pytest.mark.parametrize(
    ("panel", "hypothesis", "divisor", "words"),
    [
        (panel_of(company()), claim(), 0.0, "divisor 0.0 is not a size"),
        (panel_of(company()), claim(link=Link.parse("hour -> won")), 1.0, "CPI 'hour' is not in the panel"),
        (panel_of(company()), claim(link=Link.parse("hours -> win")), 1.0, "KPI 'win' is not in the panel"),
        (panel_of(company().assign(hours=1.0 * company().index // 10)), claim(), 1.0, "hours is absorbed"),
        (panel_of(company(units=5)), claim(), 1.0, "5 clusters"),
        (panel_of(company()), claim(lag_days=(400, 428)), 1.0, "none of 800 rows can be used (without hours: 800)"),
        (panel_of(company(units=1)), claim(), 1.0, "one level only"),
    ],
)
def test_what_cannot_be_estimated_is_refused(panel, hypothesis, divisor, words):
    with pytest.raises(CpiError) as caught:
        fixed_effects(panel, hypothesis, divisor=divisor)
    assert words in str(caught.value)
