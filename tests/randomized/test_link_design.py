"""Planning an experiment: sizes that reach their power, and what cannot be planned."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from cpi_experiments.errors import DesignError
from cpi_experiments.estimate import Link
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.randomized.experiment import Experiment
from cpi_experiments.randomized.planning.link_design import LinkDesign, design_link
from cpi_experiments.stats.instruments.fieller import fieller_set
from cpi_experiments.stats.judging.exaggeration import exaggeration
from cpi_experiments.stats.judging.portfolio import alone_threshold
from cpi_experiments.stats.planning.judging_power import confirm_power, refute_power
from cpi_experiments.stats.planning.power import power

CLAIM = Hypothesis(link=Link.parse("quote_hours -> win_rate"), expected_sign=1, sesoi=0.004, looks="single")
NOISY = {"cpi_sd": 40.0, "correlation": 0.5}
SHOPS = {"cpi_sd": 6.0, "correlation": 0.2, "cluster_size": 50.0, "icc": 0.05, "cluster_cv": 0.5}


def plan(**changes: float) -> LinkDesign:
    return design_link(CLAIM, "auto_quote", **{"kpi_sd": 0.4, "planned_move": 3.0, **changes})


@pytest.mark.parametrize("ratio", [1.0, 3.0, 0.5])
@pytest.mark.parametrize("target", [0.8, 0.9])
def test_sizes_reach_their_power_and_one_customer_less_does_not(ratio: float, target: float) -> None:
    found = plan(ratio=ratio, power=target, **NOISY)
    lift = 1.5 * 0.004 * 3
    assert power(lift, found.n_lift, std_dev=0.4, ratio=ratio) >= target - 1e-9
    assert power(lift, found.n_lift - 1, std_dev=0.4, ratio=ratio) < target
    assert found.power_to_confirm(found.n_confirm) >= target > found.power_to_confirm(found.n_confirm - 1)
    assert found.power_to_refute(found.n_refute) >= target > found.power_to_refute(found.n_refute - 1)
    assert power(found.mde, found.n_confirm, std_dev=0.4, ratio=ratio) == pytest.approx(target, rel=1e-9)


@pytest.mark.parametrize("changes", [NOISY, {}, SHOPS, {**NOISY, "experiments": 3}])
def test_any_one_of_size_power_link_and_duration_gives_back_the_others(changes: dict[str, float]) -> None:
    found = plan(per_day=500, window_days=14, **changes)
    n = 1.3 * found.n_confirm
    reached = found.power_to_confirm(n)
    link = found.smallest_link(n, power=reached)
    assert found.power_to_confirm(n, effect=link) >= reached > found.power_to_confirm(n, effect=link * (1 - 1e-3))
    assert link <= 1.5 * 0.004
    assert found.customers_by(found.days(n)) == pytest.approx(n, rel=1e-12)
    assert found.power_to_confirm(found.customers_by(found.days_confirm)) == pytest.approx(0.8, abs=1e-3)
    again = plan(power=reached, per_day=500, window_days=14, **changes)
    assert again.n_confirm == pytest.approx(n, rel=2e-3, abs=51)


@pytest.mark.parametrize("links", [4, 12, 60])
def test_with_a_known_move_the_simulated_sizes_are_the_closed_form(links: int) -> None:
    found = plan(links=links)
    assert found.n_confirm == pytest.approx(found.n_confirm_formula, rel=0.01)
    assert found.n_refute == pytest.approx(found.n_refute_formula, rel=0.01)
    threshold = alone_threshold(0.10, links)
    for n, reached in ((found.n_confirm_formula, True), (found.n_confirm_formula - 1, False)):
        error = 0.4 * math.sqrt(4 / n) / 3
        assert (confirm_power(error, effect=0.006, sesoi=0.004, threshold=threshold) >= 0.8) == reached
    for n, reached in ((found.n_refute_formula, True), (found.n_refute_formula - 1, False)):
        error = 0.4 * math.sqrt(4 / n) / 3
        assert (refute_power(error, sesoi=0.004, threshold=threshold) >= 0.8) == reached
    assert math.isinf(found.f_confirm)
    assert "taken as known" in str(found)


def test_a_noisy_first_stage_needs_more_and_the_sign_of_its_correlation_matters() -> None:
    strong, weak = plan(cpi_sd=1.0), plan(cpi_sd=60.0)
    assert weak.n_confirm > 1.4 * strong.n_confirm
    assert weak.n_slope > 2 * strong.n_slope
    assert plan(cpi_sd=60.0, correlation=0.5).n_confirm < weak.n_confirm < plan(cpi_sd=60.0, correlation=-0.5).n_confirm
    mirrored = design_link(
        replace(CLAIM, expected_sign=-1), "auto_quote", kpi_sd=0.4, planned_move=3.0, cpi_sd=60.0, correlation=-0.5
    )
    assert mirrored.n_confirm == plan(cpi_sd=60.0, correlation=0.5).n_confirm


def test_size_of_the_slope_counts_the_noise_of_the_first_stage() -> None:
    found, rng = plan(**NOISY), np.random.default_rng(8)
    per = 4 / found.n_slope
    xx, yy, xy = 40.0**2 * per, 0.4**2 * per, 0.5 * 40 * 0.4 * per
    draws = rng.multivariate_normal([3.0, 0.018], [[xx, xy], [xy, yy]], size=4000)
    missing = [0, 0]
    for x, y in draws:
        found_set = fieller_set(x, y, var_x=xx, var_y=yy, cov=xy, critical=1.959964)
        for side, t in enumerate((0.006 - 0.004, 0.006 + 0.004)):
            missing[side] += not any(low <= t <= high for low, high in found_set)
    assert 0.77 <= min(missing) / 4000 <= 0.83
    assert max(missing) / 4000 >= 0.77
    assert found.half_width(found.n_slope) < 0.004 < found.half_width(found.n_slope / 3)
    assert math.isinf(plan(cpi_sd=900.0).half_width(2_000))


def test_a_stronger_lever_and_a_smaller_portfolio_need_fewer() -> None:
    base = plan()
    assert plan(planned_move=6.0).n_confirm == pytest.approx(base.n_confirm / 4, rel=1e-3)
    assert plan(links=4).n_refute < base.n_refute < plan(links=60).n_refute
    assert plan(links=4).n_confirm <= base.n_confirm <= plan(links=60).n_confirm
    assert plan(links=1).to_dict() == plan(links=4).to_dict()
    assert plan(covariate_r2=0.5).n_confirm == pytest.approx(base.n_confirm / 2, rel=1e-3)


def test_clusters_need_the_design_effect_and_few_of_them_more() -> None:
    customers = plan(cpi_sd=6.0, correlation=0.2)
    shops = plan(**SHOPS)
    design_effect = 1 + ((1 + 0.25) * 50 - 1) * 0.05
    assert shops.n_confirm == pytest.approx(design_effect * customers.n_confirm, rel=0.01)
    assert shops.n_confirm % 50 == 0
    few = plan(kpi_sd=0.05, cpi_sd=6.0, cluster_size=20, icc=0.1)
    assert few.n_confirm > 1.2 * few.n_confirm_formula
    assert "clusters in the smaller arm: ten are needed" in str(plan(kpi_sd=0.02, cluster_size=20, icc=0.1))


def test_several_experiments_share_the_work_but_may_disagree_by_chance() -> None:
    one, three = plan(**NOISY), plan(experiments=3, **NOISY)
    assert one.n_confirm / 3 < three.n_confirm < one.n_confirm
    assert "in each of 3 experiments" in str(three)
    assert three.power_to_refute(50 * three.n_refute) == pytest.approx(0.9, abs=0.01)
    with pytest.raises(DesignError, match=r"power 0\.95.*\n.*one in ten disagrees by chance"):
        plan(experiments=3, power=0.95, **NOISY)


def test_c25_days_follow_from_the_traffic_and_are_a_week_at_least() -> None:
    found = plan(per_day=100)
    assert (found.days_confirm, found.days_refute) == (found.n_confirm / 100, found.n_refute / 100)
    assert plan(per_day=100, window_days=28).days_confirm == found.days_confirm + 28
    assert plan(per_day=100, experiments=2).days_confirm == plan(experiments=2).n_confirm * 2 / 100
    assert " days)" in str(found)
    assert math.isnan(plan().days_confirm)
    assert "days" not in plan()._title()
    fast = plan(per_day=50_000)
    assert fast.days_confirm == 7
    assert "let it run for seven, a full weekly cycle" in str(fast)


def test_a_plan_shows_a_row_for_every_goal_and_draws_its_power() -> None:
    found = plan(per_day=1_000, population=50_000, cpi_sd=60.0)
    frame = found.to_frame().set_index("goal")
    assert frame.loc["confirm", "n"] == found.n_confirm
    assert frame.loc["refute", "true_effect"] == 0
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    figure = found.plot()
    planned = [line for line in figure.axes[1].lines if line.get_label() == "planned"]
    assert [float(line.get_xdata()[0]) for line in planned] == [found.n_confirm, found.n_refute]
    assert [float(line.get_ydata()[0]) for line in planned] == pytest.approx([0.8, 0.8], abs=0.01)


def test_a_first_stage_below_f_20_is_said_plainly() -> None:
    found = plan(cpi_sd=60.0, correlation=0.9)
    assert found.f_confirm < 20
    assert f"The first stage is weak: expected F {found.f_confirm:.1f}, below 20" in str(found).replace("\n  ", " ")
    assert math.isinf(plan(cpi_sd=200.0).smallest_link(3_000))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        pytest.param({"planned_move": 0.0}, "planned move 0 is not above zero", id="test_c18_effect_0"),
        ({"planned_move": -1.0}, "planned move -1 is not above zero"),
        ({"planned_move": math.nan}, "planned move nan is not above zero"),
        ({"planned_move": math.inf}, "not a number to plan with"),
        ({"kpi_sd": 0.0}, "standard deviation 0 is not above zero"),
        ({"kpi_sd": math.nan}, "standard deviation nan is not above zero"),
        ({"cpi_sd": 0.0}, "standard deviation 0 of the CPI is not above zero"),
        ({"correlation": 0.3}, "a correlation without `cpi_sd`"),
        ({"cpi_sd": 1.0, "correlation": 1.0}, "correlation 1 is not between -1 and 1"),
        ({"covariate_r2": 1.0}, "covariate_r2 1 is not a share below 1"),
        pytest.param({"power": 1.2}, "power 1.2 is not between", id="test_c19_power"),
        pytest.param({"power": 0.05}, "power 0.05 is not between", id="test_c19_power_equals_alpha"),
        pytest.param({"fdr": 0.0}, "false discovery rate 0 is not between 0 and 1", id="test_c19_alpha_0"),
        ({"ratio": 0.0}, "allocation ratio 0 is not above zero"),
        ({"fdr": 10.0}, "false discovery rate 10 is not between 0 and 1"),
        ({"per_day": 0.0}, "0 customers a day"),
        ({"per_day": -5.0}, "-5 customers a day"),
        ({"window_days": -1.0}, "a window of -1 days"),
        ({"links": 0}, "0 links"),
        ({"cluster_size": 0.5}, "clusters of 0.5 customers"),
        ({"cluster_size": 5, "icc": 1.5}, "icc 1.5 is not between 0 and 1"),
        ({"cluster_size": 5, "cluster_cv": -1.0}, "cluster_cv -1 is below zero"),
        ({"icc": 0.1}, "without `cluster_size`"),
        ({"experiments": 0}, "0 experiments"),
        ({"experiments": 2, "cluster_size": 9.0}, "2 experiments on clusters cannot be planned together"),
        ({"population": 0}, "a population of 0"),
        pytest.param(
            {"population": 5_000},
            r"not feasible: 27,\d\d\d customers would confirm quote_hours -> win_rate, 5,000 exist",
            id="test_c20_population",
        ),
        ({"population": 2}, "not feasible"),
        ({"kpi_sd": 1e6}, "no feasible sample"),
        ({"kpi_sd": 3e3}, r"(?s)no feasible sample gives a verdict.*Even 1e\+12 units"),
        ({"cpi_sd": 200.0, "correlation": 0.9}, "(?s)no feasible sample.*check the units of `cpi_sd` and `kpi_sd`"),
    ],
)
def test_what_cannot_be_planned_is_refused(changes: dict[str, float], found: str) -> None:
    with pytest.raises(DesignError, match=found):
        plan(**changes)


def test_c20_not_feasible_says_what_could_be_seen() -> None:
    with pytest.raises(DesignError) as caught:
        plan(population=5_000, cpi_sd=20.0)
    assert "smallest visible lift is 0.0317" in str(caught.value)
    link = float(str(caught.value).split("the smallest link confirmed is ")[1].split()[0])
    assert plan(cpi_sd=20.0).power_to_confirm(5_000, effect=link) == pytest.approx(0.8, abs=0.002)
    with pytest.raises(DesignError, match="no link of any size would be confirmed"):
        plan(population=200, cpi_sd=20.0)
    assert "Refuting is not feasible: 73," in str(plan(population=50_000, cpi_sd=2.0))


def test_a_size_without_a_variance_has_no_power() -> None:
    with pytest.raises(DesignError, match="3 customers are too few for a verdict"):
        plan().power_to_confirm(3)
    with pytest.raises(DesignError, match="9 clusters are too few"):
        plan(**SHOPS).power_to_refute(450)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"allocation": {"manual": 1}}, "has 1 arm"),
        ({"control": "manuel"}, "Did you mean 'manual'"),
        ({"allocation": {"manual": 1, "auto": 0}}, "not above zero"),
        ({"allocation": {"manual": 1, "auto": math.nan}}, "not above zero"),
        ({"end": "2025-01-01"}, "ends \\(2025-01-01\\) before it starts"),
        ({"planned_move": 0.0}, "planned move of experiment 'e1' is not above zero"),
    ],
)
def test_what_is_no_experiment_is_refused(changes: dict, found: str) -> None:
    values = {
        "id": "e1", "lever": "auto_quote", "control": "manual", "allocation": {"manual": 1, "auto": 1},
        "hypotheses": ("a -> b",), "randomize": "customer_id", "start": "2026-01-01", "end": "2026-03-31",
    }  # fmt: skip
    experiment = Experiment(**values)  # type: ignore[arg-type] # checked by the test's own keys
    assert experiment.treatments == ("auto",)
    assert experiment.links == (Link.parse("a -> b"),)
    with pytest.raises(DesignError, match=found):
        Experiment(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "experiments"), [({}, 1), (NOISY, 1), (SHOPS, 1), ({**NOISY, "experiments": 3}, 3)]
)
def test_a_plan_says_how_much_a_significant_estimate_would_exaggerate(
    changes: dict[str, float], experiments: int
) -> None:
    found = plan(**changes)
    units = found.n_confirm / found.cluster_size
    error = math.sqrt(found.trial.covariance(units)[2] / experiments) / 3
    expected = exaggeration(0.004, error)
    assert found.exaggeration(found.n_confirm).type_m == pytest.approx(expected.type_m)
    assert found.exaggeration(found.n_confirm).type_s == pytest.approx(expected.type_s)
    last = " ".join(str(found).split("\n\n")[0].split())
    wrong = "less than 0.1%" if expected.type_s < 0.001 else f"{100 * expected.type_s:.1f}%"
    assert last.endswith(
        "Were the true effect just the SESOI, a significant estimate of this design would exaggerate it "
        f"{expected.type_m:.1f} times and have the wrong sign in {wrong}."
    )


def test_fewer_customers_exaggerate_more_and_a_larger_effect_less() -> None:
    found = plan(**NOISY)
    figures = [found.exaggeration(n) for n in (500, 2_000, 8_000, 10**7)]
    assert all(a.type_m > b.type_m and a.type_s >= b.type_s for a, b in itertools.pairwise(figures))
    assert figures[0].type_s > 0.001
    assert figures[-1].type_m == pytest.approx(1, abs=1e-3)
    assert found.exaggeration(2_000, effect=0.02).type_m < found.exaggeration(2_000).type_m
