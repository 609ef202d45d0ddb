"""Plans: three questions with one answer, whole customers, words, and what cannot be planned."""

import itertools
import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from cpi_experiments.errors import DesignError
from cpi_experiments.randomized.planning.design import design
from cpi_experiments.randomized.planning.planned_outcomes import (
    PlannedCount,
    PlannedEvents,
    PlannedMean,
    PlannedProportion,
    PlannedRatio,
)
from cpi_experiments.randomized.planning.precision import Clusters, Looks, Repeated, Switchback

MEAN = PlannedMean(sd=2.0, mean=5.0)
SHARE = PlannedProportion(rate=0.3)
COUNT = PlannedCount(rate=1.4, dispersion=2.0)
RATIO = PlannedRatio(numerator_mean=1.0, denominator_mean=4.0, numerator_sd=1.2, denominator_sd=2.0, correlation=0.6)
EVENTS = PlannedEvents(hazard=0.002, follow_up=180, accrual=60, loss=0.0005)
COUNTED = PlannedEvents(hazard=0.002, follow_up=180, formula="schoenfeld")
OUTCOMES = {"mean": MEAN, "share": SHARE, "count": COUNT, "ratio": RATIO, "events": EVENTS, "events by count": COUNTED}
ARMS = {"control": 2, "a": 1, "b": 3}
CHANGES = {
    "plain": {},
    "one-sided": {"alternative": "greater"},
    "one-sided down": {"alternative": "less", "alpha": 0.025},
    "lower is better": {"better": "lower"},
    "covariates": {"covariate_r2": 0.4, "strata_r2": 0.1},
    "repeated": {"repeated": Repeated(before=2, after=3, correlation=0.6)},
    "change": {"repeated": Repeated(before=1, after=2, correlation=0.8, analysis="change"), "strata_r2": 0.2},
    "clusters": {"clusters": Clusters(size=12, icc=0.05, size_cv=0.6)},
    "switchback": {"switchback": Switchback(hours=4, per_hour=30, icc=0.02, washout_hours=1, autocorrelation=0.5)},
    "looks": {"looks": Looks(number=4, spending="pocock")},
    "looks, clusters": {"looks": Looks(times=(0.4, 1.0)), "clusters": Clusters(size=12, icc=0.05)},
    "arms, bonferroni": {"allocation": ARMS, "correction": "bonferroni"},
    "arms, dunnett": {"allocation": ARMS, "correction": "dunnett"},
    "dunnett, one-sided": {"allocation": ARMS, "correction": "dunnett", "alternative": "less"},
}
MARGINS = {
    "non-inferiority": {"goal": "non_inferiority"},
    "non-inferiority, lower is better": {"goal": "non_inferiority", "better": "lower", "alpha": 0.025},
    "non-inferiority, dunnett": {"goal": "non_inferiority", "allocation": ARMS, "correction": "dunnett"},
    "non-inferiority, looks": {"goal": "non_inferiority", "looks": Looks(number=3)},
    "equivalence": {"goal": "equivalence"},
    "equivalence, clusters": {"goal": "equivalence", "clusters": Clusters(size=12, icc=0.05)},
    "equivalence, arms": {"goal": "equivalence", "allocation": ARMS, "correction": "bonferroni"},
}
SCALES = ("absolute", "relative")


def fits(outcome, change):
    """Times to an event know neither clusters nor covariates."""
    return "events" not in outcome or not {"clusters", "switchback", "covariate_r2", "repeated"} & set(change)


GRID = [
    pytest.param(outcome, change, scale, id=f"{outcome}-{change}-{scale}")
    for outcome, change, scale in itertools.product(OUTCOMES, {**CHANGES, **MARGINS}, SCALES)
    if fits(outcome, {**CHANGES, **MARGINS}[change]) and ("events" not in outcome or scale == "absolute")
]


@pytest.mark.parametrize(("outcome", "change", "scale"), GRID)
def test_size_effect_and_power_are_exact_inverses(outcome, change, scale):
    options = {**CHANGES, **MARGINS}[change]
    how = {"effect_scale": scale, **options}
    unknown = "margin" if change in MARGINS else "effect"
    first = design(OUTCOMES[outcome], n=3001.7, power=0.83, **how)
    target = getattr(first, unknown)
    again = design(OUTCOMES[outcome], n=3001.7, **{unknown: target}, **how)
    assert again.power == pytest.approx(0.83, abs=1e-9)
    sized = design(OUTCOMES[outcome], power=0.83, **{unknown: target}, **how)
    assert sized.n_exact == pytest.approx(3001.7, rel=1e-8)
    assert sized.n >= sized.n_exact
    assert sized.power >= 0.83 - 1e-9
    assert sized.power == pytest.approx(sized.power_at(n=sized.n), abs=1e-12)
    assert design(OUTCOMES[outcome], n=sized.n_exact, **{unknown: target}, **how).power == pytest.approx(0.83, abs=1e-9)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_more_customers_and_larger_effects_have_more_power(outcome):
    plan = design(OUTCOMES[outcome], n=2000, power=0.6)
    sizes = [plan.power_at(n=n) for n in (50, 200, 1000, 2000, 9000)]
    assert sizes == sorted(sizes)
    none = 1.0 if "events" in outcome else 0.0
    effects = [plan.power_at(effect=none + share * (plan.effect - none)) for share in (0.2, 0.6, 1.0, 1.3)]
    assert effects == sorted(effects)
    assert plan.power_at() == pytest.approx(plan.power, abs=1e-12)


def test_t5_is_reproduced_by_days_as_well():
    plan = design(PlannedMean(sd=math.sqrt(0.6556565656565659)), effect=0.05, per_day=400)
    assert (plan.n, plan.days) == (8236, 8236 / 400)
    back = design(PlannedMean(sd=math.sqrt(0.6556565656565659)), days=plan.days, per_day=400)
    assert back.effect == pytest.approx(0.05, rel=1e-4)
    assert back.n == 8236


def test_rates_need_more_where_each_arm_varies_more():
    up, down = (design(SHARE, effect=effect).n for effect in (0.05, -0.05))
    assert up > down
    assert design(SHARE, effect=0.05).n == design(PlannedProportion(rate=0.7), effect=-0.05).n


def test_a_relative_effect_is_planned_on_the_log_of_the_ratio():
    plan = design(MEAN, n=400, effect=0.1, effect_scale="relative")
    error = math.sqrt(4 / 25 / 200 + 4 / 5.5**2 / 200)
    assert plan.test.contrast(400, arm=1, effect=0.1).std_error == pytest.approx(error)
    assert plan.test.contrast(400, arm=1, effect=0.1).delta == pytest.approx(math.log(1.1))


def test_a_relative_margin_is_planned_as_the_contrast_that_is_tested():
    plan = design(MEAN, n=400, margin=0.1, effect_scale="relative", goal="non_inferiority", covariate_r2=0.4)
    against = plan.test.contrast(400, arm=1, effect=0.02, against=-0.1)
    assert against.delta == pytest.approx(5.1 - 0.9 * 5)
    control = 0.6 * 0.9**2 + 0.4 * 0.1**2  # the mean that the margin refers to is not adjusted
    assert against.std_error == pytest.approx(2 * math.sqrt(control / 200 + 0.6 / 200))


def test_covariates_save_their_share_of_the_customers():
    plain, adjusted = (design(MEAN, effect=0.01, covariate_r2=r2).n_exact for r2 in (0.0, 0.5))
    assert adjusted / plain == pytest.approx(0.5, rel=1e-4)


def test_clusters_are_rounded_up_whole():
    plan = design(MEAN, effect=0.8, clusters=Clusters(size=12.5, icc=0.1), allocation={"control": 1, "treatment": 2})
    groups = plan.n_clusters_by_arm
    assert plan.n_by_arm == {arm: math.ceil(12.5 * count) for arm, count in groups.items()}
    assert groups["treatment"] >= 2 * groups["control"] - 1
    assert "clusters" in plan.to_frame().columns
    assert f"in {sum(groups.values())} clusters" in str(plan)


def test_few_clusters_are_said_and_fewer_refused():
    clusters = Clusters(size=20, icc=0.01)
    assert "Only 7 clusters" in str(design(MEAN, n=280, power=0.8, clusters=clusters))
    with pytest.raises(DesignError, match="160 customers are too few"):
        design(MEAN, n=160, power=0.8, clusters=clusters)
    least = design(MEAN, effect=50.0, clusters=clusters)
    assert least.n_clusters_by_arm == {"control": 5, "treatment": 5}


def test_a_switchback_lasts_as_long_as_its_periods():
    plan = design(MEAN, effect=0.15, switchback=Switchback(hours=6, per_hour=10, icc=0.02, washout_hours=2))
    periods = sum(plan.n_clusters_by_arm.values())
    assert plan.days == pytest.approx(periods / 4)
    assert "33% of the customers come in a washout" in str(plan)
    assert f"in {periods} periods" in str(plan)
    assert design(MEAN, days=plan.days, switchback=plan.test.grouping).effect == pytest.approx(0.15, rel=0.02)


def test_a_washout_costs_more_customers():
    without, half = (
        design(MEAN, effect=0.03, switchback=Switchback(hours=6, per_hour=10, icc=0.0, washout_hours=hours)).n_exact
        for hours in (0, 3)
    )
    assert half / without == pytest.approx(2.0, rel=0.01)


def test_times_to_an_event_know_their_days():
    fixed = design(EVENTS, effect=0.7)
    assert fixed.days == 240
    traffic = design(PlannedEvents(hazard=0.002, follow_up=180), effect=0.7, per_day=10)
    assert traffic.days == pytest.approx(traffic.n / 10 + 180)
    down = {"alternative": "less", "alpha": 0.025}
    by_days = design(PlannedEvents(hazard=0.002, follow_up=180), days=traffic.days, per_day=10, **down)
    assert by_days.effect == pytest.approx(0.7, abs=0.01)


def test_the_best_allocation_is_named_where_it_saves():
    arms = {"control": 1, **dict.fromkeys("abcd", 1)}
    many = design(MEAN, effect=0.3, allocation=arms)
    assert "An allocation of 2 : 1 : 1 : 1 : 1 (control first) would need about 10% fewer" in str(many)
    best = design(MEAN, effect=0.3, allocation={**arms, "control": 2})
    assert best.n / many.n == pytest.approx(0.9, abs=0.005)
    assert "allocation of" not in str(best)


def test_dunnett_needs_fewer_than_bonferroni_and_more_than_none():
    none, dunnett, bonferroni = (
        design(MEAN, effect=0.3, allocation=ARMS, correction=correction).n_exact
        for correction in ("none", "dunnett", "bonferroni")
    )
    assert none < dunnett < bonferroni


def test_every_treatment_has_at_least_the_planned_power():
    plan = design(SHARE, effect=0.05, allocation=ARMS)
    powers = plan.to_frame()["power"]
    assert np.isnan(powers.iloc[0])
    assert powers.iloc[1:].min() == pytest.approx(plan.power)
    assert list(plan.n_by_arm) == ["control", "a", "b"]
    assert "2:1" not in str(plan)


def test_a_fixed_sample_is_split_without_remainder():
    plan = design(MEAN, n=1001, power=0.8, allocation=ARMS)
    assert sum(plan.n_by_arm.values()) == plan.n == 1001
    assert sum(design(MEAN, n=500, power=0.8, clusters=Clusters(size=20, icc=0)).n_clusters_by_arm.values()) == 25


SENTENCES = [
    ({"outcome": SHARE, "effect": 0.005, "per_day": 20_000}, "an arm, 14 days) find a lift of 0.5 points with power"),
    ({"outcome": SHARE, "effect": -0.01}, "find a drop of 1 point with power 80%."),
    ({"outcome": MEAN, "effect": 0.05, "effect_scale": "relative"}, "find a lift of 5% with power 80%."),
    ({"outcome": EVENTS, "effect": 0.8}, "find a hazard ratio of 0.8 with power 80%."),
    ({"outcome": MEAN, "effect": 0.5, "n": 100}, "100 customers (50 an arm) find a lift of 0.5 with power"),
    ({"outcome": MEAN, "effect": 0.5, "allocation": ARMS}, "find a lift of 0.5 by each treatment with power 80%."),
    (
        {"outcome": SHARE, "margin": 0.02, "goal": "non_inferiority"},
        "show a treatment to be less than 2 points worse than the control with power 80%.",
    ),
    (
        {"outcome": MEAN, "margin": 0.5, "effect": 0.1, "goal": "equivalence"},
        "show that arms differ by less than 0.5 if there is a lift of 0.1 with power 80%.",
    ),
    ({"outcome": EVENTS, "margin": 1.25, "goal": "equivalence"}, "differ by less than 1.25-fold with power 80%."),
    ({"outcome": MEAN, "margin": 0.5, "goal": "non_inferiority"}, "one one-sided test at level 0.05; higher is better"),
    ({"outcome": MEAN, "margin": 0.5, "goal": "equivalence"}, "tests at level 0.05: the 90.0% interval"),
    ({"outcome": MEAN, "margin": 0.5, "goal": "non_inferiority", "better": "lower"}, "lower is better"),
    ({"outcome": MEAN, "effect": 0.5, "looks": Looks(number=2)}, "Looks at 50%, 100% of the sample; stop where z"),
    ({"outcome": MEAN, "effect": 0.5, "looks": Looks(number=20)}, ", ... of the sample"),
    ({"outcome": MEAN, "effect": 0.5, "per_day": 1000}, "less than a weekly cycle"),
]


@pytest.mark.parametrize(("asked", "text"), SENTENCES)
def test_a_plan_is_a_sentence(asked, text):
    plan = design(**asked)
    assert text in " ".join(str(plan).split())
    assert max(len(line) for line in str(plan).splitlines()) <= 80
    assert "<table>" in plan._repr_html_()
    assert plan.to_dict()["test"]["labels"][0] == "control"


def test_the_first_line_of_the_brief_sentence():
    plan = design(PlannedProportion(rate=0.3), n=16_384, effect=0.02, per_day=610)
    assert plan._title() == "16,384 customers (8,192 an arm, 27 days) find a lift of 2 points with power 79%."


@pytest.mark.parametrize(
    "asked",
    [
        {"outcome": SHARE, "effect": 0.01},
        {"outcome": EVENTS, "effect": 0.7},
        {"outcome": MEAN, "effect": -0.05, "effect_scale": "relative"},
        {"outcome": MEAN, "margin": 0.4, "goal": "equivalence", "effect_scale": "relative"},
        {"outcome": EVENTS, "margin": 1.3, "goal": "non_inferiority", "better": "lower"},
        {"outcome": SHARE, "margin": 0.4, "goal": "non_inferiority"},
    ],
)
def test_a_plan_draws_itself(asked):
    plan = design(**asked)
    figure = plan.plot()
    assert isinstance(figure, Figure)
    panels = figure.axes[1:]
    marks = [line for axes in panels for line in axes.lines if line.get_label() == "plan"]
    assert [float(mark.get_ydata()[0]) for mark in marks] == [plan.power, plan.power]
    assert float(marks[0].get_xdata()[0]) == plan.n
    assert float(marks[1].get_xdata()[0]) == (plan.effect if plan.margin is None else plan.margin)


def refused(found, **asked):
    with pytest.raises(DesignError) as caught:
        design(asked.pop("outcome", MEAN), **asked)
    assert found in str(caught.value), str(caught.value)
    return str(caught.value)


def test_c18_no_effect_cannot_be_found():
    assert "smallest effect that is worth acting on" in refused("an effect of 0 cannot be found", effect=0.0)
    refused("an effect of 1 cannot be found", outcome=EVENTS, effect=1.0)
    refused("an effect of -1 cannot be found by a greater test", effect=-1.0, alternative="greater")
    refused("an effect of 0.5 cannot be found by a greater test", outcome=EVENTS, effect=0.5, alternative="greater")


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        ("power 1.2 is not between alpha (0.05) and 1", {"power": 1.2}),
        ("power 0.05 is not between alpha", {"power": 0.05}),
        ("alpha 0 is not between 0 and 1", {"alpha": 0.0}),
        ("alpha 1 is not between", {"alpha": 1.0}),
        ("power nan is not", {"power": math.nan}),
    ],
)
def test_c19_power_and_alpha_have_their_range(found, asked):
    refused(found, effect=0.5, **asked)


def test_c20_an_infeasible_plan_says_what_all_customers_find():
    text = refused("customers needed, 50,000 exist", effect=1e-6, population=50_000)
    assert "not feasible" in text
    found = design(MEAN, n=50_000, power=0.8).effect
    assert f"a lift of {found:.4g} is the smallest they find with power 0.8" in text
    assert "a drop of" in refused("not feasible", effect=-1e-6, population=50_000)
    assert "a hazard ratio of 0." in refused("not feasible", outcome=EVENTS, effect=0.99, population=2000)
    assert "a margin of" in refused("not feasible", margin=1e-6, goal="equivalence", population=5000)
    assert "Not even all of them" in refused("not feasible", outcome=SHARE, effect=0.001, population=6)
    refused("not feasible: 600 customers needed, 500 exist", n=600, power=0.9, population=500)
    refused("a population of -1 customers", n=600, power=0.9, population=-1)
    refused("no feasible sample", effect=1e-9)
    assert design(MEAN, effect=0.5, population=506).n == 506
    refused("506 customers needed, 505 exist", effect=0.5, population=505)


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        ("the size, effect and power are all given", {"n": 100, "effect": 0.5, "power": 0.8}),
        ("the size, margin and power are all given", {"n": 9, "margin": 1, "power": 0.8, "goal": "equivalence"}),
        ("neither the size nor the effect is given", {}),
        ("neither the size nor the effect is given", {"power": 0.8}),
        ("neither the size nor the margin is given", {"effect": 0.1, "goal": "equivalence"}),
        ("n and days are both given", {"n": 100, "days": 3, "per_day": 5}),
        ("7 days are no sample size without traffic", {"days": 7}),
        ("0 days are not a number", {"days": 0, "per_day": 5}),
        ("100 days leave no time", {"outcome": PlannedEvents(hazard=0.1, follow_up=180), "days": 100, "per_day": 5}),
        ("3 customers are too few", {"n": 3, "power": 0.8}),
        ("a sample of nan customers", {"n": math.nan}),
        ("an effect of nan is not a number", {"effect": math.nan}),
        ("n is '100'", {"n": "100"}),
        ("days is True", {"days": True, "per_day": 3}),
        ("effect is '5%'", {"effect": "5%"}),
        ("power is '0.8'", {"effect": 0.1, "power": "0.8"}),
        ("alpha is None", {"effect": 0.1, "alpha": None}),
        ("margin is '1'", {"margin": "1", "goal": "equivalence"}),
        ("per_day is 'many'", {"effect": 0.1, "per_day": "many"}),
        ("population is 'all'", {"effect": 0.1, "population": "all"}),
        ("covariate_r2 is '0.5'", {"effect": 0.1, "covariate_r2": "0.5"}),
        ("weight of arm 'b' is '1'", {"effect": 0.1, "allocation": {"control": 1, "b": "1"}}),
        ("an effect of 1e+09 is not possible", {"outcome": EVENTS, "effect": 1e9}),
        ("an effect of 0.8 is not possible", {"outcome": SHARE, "effect": 0.8}),
        ("an effect of -2 is not possible", {"outcome": COUNT, "effect": -2}),
        ("an effect of -1 is not possible", {"outcome": MEAN, "effect": -1, "effect_scale": "relative"}),
        ("an effect of -0.5 is not possible", {"outcome": EVENTS, "effect": -0.5}),
        ("a margin does not go with superiority", {"effect": 0.5, "margin": 0.1}),
        ("margin -0.1 is not above 0", {"margin": -0.1, "goal": "equivalence"}),
        ("margin 1 is not above 1", {"outcome": EVENTS, "margin": 1.0, "goal": "equivalence"}),
        ("relative margin 5 is not below 1", {"margin": 5, "goal": "equivalence", "effect_scale": "relative"}),
        ("an effect of 0.2 lies outside", {"margin": 0.1, "effect": 0.2, "goal": "equivalence"}),
        ("an effect of -0.2 lies outside", {"margin": 0.1, "effect": -0.2, "goal": "non_inferiority"}),
        (
            "an effect of 1.4 lies outside",
            {"outcome": EVENTS, "margin": 1.3, "effect": 1.4, "goal": "non_inferiority", "better": "lower"},
        ),
        ("a relative effect needs a control mean", {"outcome": PlannedMean(sd=1), "effect": 0.1, "effect_scale": "relative"}),
        ("goal 'superior' is not known", {"effect": 0.1, "goal": "superior"}),
        ("effect_scale 'log' is not known", {"effect": 0.1, "effect_scale": "log"}),
        ("alternative 'larger' is not known", {"effect": 0.1, "alternative": "larger"}),
        ("better 'more' is not known", {"effect": 0.1, "better": "more"}),
        ("correction 'holm' is not known", {"effect": 0.1, "correction": "holm"}),
        ("float is not a planned outcome", {"outcome": 0.3, "effect": 0.1}),
        ("looks: int is not a plan", {"effect": 0.1, "looks": 4}),
        ("repeated: float is not a plan", {"effect": 0.1, "repeated": 0.5}),
        ("clusters or switchback: int is not a plan", {"effect": 0.1, "clusters": 20}),
        ("control 'old' is not an arm", {"effect": 0.1, "control": "old", "allocation": {"a": 1, "b": 1}}),
        ("at least two arms", {"effect": 0.1, "allocation": {"control": 1}}),
        ("arm 'b' has weight 0", {"effect": 0.1, "allocation": {"control": 1, "b": 0}}),
        ("at least two arms", {"effect": 0.1, "control": "treatment"}),
        ("covariate_r2 1 is not from 0", {"effect": 0.1, "covariate_r2": 1.0}),
        ("strata_r2 -0.1 is not from 0", {"effect": 0.1, "strata_r2": -0.1}),
        ("0 customers a day", {"effect": 0.1, "per_day": 0}),
        (
            "are a covariate already",
            {"effect": 0.1, "covariate_r2": 0.3, "repeated": Repeated(before=1, after=1, correlation=0.5)},
        ),
        ("clusters and switchback together", {"effect": 0.1, "clusters": Clusters(size=5, icc=0), "switchback": Switchback(hours=1, per_hour=9, icc=0)}),
        ("do not go with times to an event", {"outcome": EVENTS, "effect": 0.5, "covariate_r2": 0.3}),
        ("do not go with times to an event", {"outcome": EVENTS, "effect": 0.5, "clusters": Clusters(size=5, icc=0)}),
        ("accrual and per_day are both given", {"outcome": EVENTS, "effect": 0.5, "per_day": 10}),
        ("per_day does not go with a switchback", {"effect": 0.5, "per_day": 10, "switchback": Switchback(hours=1, per_hour=9, icc=0)}),
        ("repeated measures do not go with clusters", {"effect": 0.5, "clusters": Clusters(size=5, icc=0), "repeated": Repeated(before=0, after=2, correlation=0.5)}),
        ("leave `alternative` out", {"margin": 0.5, "goal": "equivalence", "alternative": "less"}),
        ("planned looks do not go with equivalence", {"margin": 0.5, "goal": "equivalence", "looks": Looks(number=2)}),
        ("Dunnett does not go with equivalence", {"margin": 0.5, "goal": "equivalence", "correction": "dunnett"}),
        ("Dunnett does not go with planned looks", {"effect": 0.5, "looks": Looks(number=2), "correction": "dunnett"}),
        ("alpha 0.6 is not between 0 and 0.5", {"margin": 0.5, "goal": "equivalence", "alpha": 0.6}),
        ("no possible effect is found", {"outcome": SHARE, "n": 6, "power": 0.9}),
        ("no margin is kept", {"n": 12, "goal": "non_inferiority", "effect_scale": "relative", "outcome": PlannedMean(sd=900, mean=1), "power": 0.9}),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused(found, asked):
    refused(found, **asked)


@pytest.mark.parametrize(
    ("found", "make"),
    [
        ("standard deviation 0 is not above zero", lambda: PlannedMean(sd=0.0)),
        ("mean inf is not a number", lambda: PlannedMean(sd=1.0, mean=math.inf)),
        ("rate 12 is not between 0 and 1", lambda: PlannedProportion(rate=12)),
        ("rate 0 is not between 0 and 1", lambda: PlannedProportion(rate=0)),
        ("rate 0 is not above zero", lambda: PlannedCount(rate=0)),
        ("dispersion -1 is not above zero", lambda: PlannedCount(rate=1, dispersion=-1)),
        ("hazard 0 is not above zero", lambda: PlannedEvents(hazard=0, follow_up=10)),
        ("formula 'cox' is not known", lambda: PlannedEvents(hazard=1, follow_up=1, formula="cox")),
        ("together 0 is not above zero", lambda: PlannedEvents(hazard=1, follow_up=0)),
        ("correlation 2 between measurements", lambda: Repeated(before=1, after=1, correlation=2)),
        ("leave no variance", lambda: Repeated(before=1, after=1, correlation=1)),
        ("standard deviation is '2'", lambda: PlannedMean(sd="2")),
        ("follow_up is None", lambda: PlannedEvents(hazard=1, follow_up=None)),
        ("before is 1.5", lambda: Repeated(before=1.5, after=1, correlation=0.3)),
        ("icc is None", lambda: Clusters(size=3, icc=None)),
        ("hours is '4'", lambda: Switchback(hours="4", per_hour=9, icc=0)),
        ("number of looks is 2.5", lambda: Looks(number=2.5)),
        ("intra-cluster correlation 2", lambda: Clusters(size=3, icc=2)),
        ("a washout of 4 hours leaves nothing", lambda: Switchback(hours=4, per_hour=9, icc=0, washout_hours=4)),
        ("0 hours a period", lambda: Switchback(hours=0, per_hour=9, icc=0)),
        ("0 customers an hour", lambda: Switchback(hours=1, per_hour=0, icc=0)),
        ("autocorrelation 1 between periods", lambda: Switchback(hours=1, per_hour=9, icc=0, autocorrelation=1)),
        ("either their number or their times", Looks),
        ("either their number or their times", lambda: Looks(number=2, times=(0.5, 1))),
        ("0 looks", lambda: Looks(number=0)),
        ("the last look is not at the end", lambda: Looks(times=(0.2, 0.8))),
        ("must increase", lambda: Looks(times=(0.8, 0.2, 1.0))),
        ("spending 'flat' is not known", lambda: Looks(number=2, spending="flat")),
    ],
)
def test_plans_check_their_parts(found, make):
    with pytest.raises(DesignError) as caught:
        make()
    assert found in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"denominator_mean": 0.0},
        {"numerator_sd": 0.0},
        {"numerator_mean": math.nan},
        {"denominator_sd": -1.0},
        {"correlation": 1.5},
        {"denominator_sd": 4.8, "correlation": 1.0},
    ],
)
def test_ratios_check_their_moments(changed):
    fields = {
        "numerator_mean": 1.0, "denominator_mean": 4.0, "numerator_sd": 1.2, "denominator_sd": 2.0, "correlation": 0.6,
    }  # fmt: skip
    with pytest.raises(DesignError):
        PlannedRatio(**{**fields, **changed})


def test_a_sample_without_a_variance_has_no_power():
    test = design(MEAN, effect=5.0).test
    assert test.power(3.9, effect=5.0) == 0.0
    assert 0.05 < test.power(4.1, effect=5.0) < test.power(6, effect=5.0)


#: Events that a log-rank test of half the hazard needs (5 %, power 80 %): 4 (1.960 + 0.842)^2 / log(2)^2.
SCHOENFELD = 65.345


def test_extreme_hazards_are_integrated_as_well():
    fast = design(PlannedEvents(hazard=5.0, follow_up=365), effect=0.5)
    slow = design(PlannedEvents(hazard=1e-7, follow_up=365), effect=0.5)
    assert fast.n == pytest.approx(SCHOENFELD, rel=0.15)  # everybody's event is seen
    assert slow.n * 365e-7 * 0.75 == pytest.approx(SCHOENFELD, rel=0.12)
    ratio = design(PlannedEvents(hazard=0.5, follow_up=30), n=16, power=0.9).effect
    assert 3 < ratio < 100


def test_power_at_checks_what_it_is_asked():
    plan = design(SHARE, margin=0.05, goal="equivalence")
    assert plan.power_at(margin=0.1) > plan.power > plan.power_at(effect=0.02)
    with pytest.raises(DesignError, match="is not possible"):
        plan.power_at(effect=0.9)
    with pytest.raises(DesignError, match="too few"):
        plan.power_at(n=2)
    with pytest.raises(DesignError, match="lies outside the margin"):
        plan.power_at(margin=0.01, effect=0.02)


def test_the_effect_is_found_on_the_side_that_is_better():
    up, down = (design(SHARE, n=2000, power=0.8, better=better).effect for better in ("higher", "lower"))
    assert up > -down > 0  # shares below one half vary less the lower they are
    assert design(EVENTS, n=2000, power=0.8, better="lower").effect < 1 < design(EVENTS, n=2000, power=0.8).effect
    assert design(SHARE, n=2000, power=0.8, better="lower", alternative="greater").effect > 0


@pytest.mark.parametrize("change", ["plain", "clusters", "looks", "arms, dunnett", "repeated"])
def test_another_unit_changes_nothing_but_the_effect(change):
    plain = design(PlannedMean(sd=2.0), n=900, power=0.8, **CHANGES[change])
    scaled = design(PlannedMean(sd=200.0), n=900, power=0.8, **CHANGES[change])
    assert scaled.effect == pytest.approx(100 * plain.effect, rel=1e-9)


def test_one_look_is_no_look():
    once, never = (design(MEAN, effect=0.7, looks=looks).n_exact for looks in (Looks(number=1), None))
    assert once == pytest.approx(never, rel=1e-9)
    few = [design(MEAN, effect=4.0, looks=looks).n_exact for looks in (Looks(number=1), None)]
    assert few[0] == pytest.approx(few[1], rel=1e-3)  # the wrong side of a t test is not the normal's


def test_a_treatment_is_called_as_its_arm():
    arms = {True: 1, False: 1}
    plan = design(MEAN, effect=0.5, control=False, allocation=arms)
    assert list(plan.n_by_arm) == [False, True]
    assert plan.n == design(MEAN, effect=0.5).n
