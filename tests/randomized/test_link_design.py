"""Planning an experiment: sizes that reach their power, and what cannot be planned."""

import math

import pytest

from cpi_experiments.display import plain
from cpi_experiments.errors import DesignError
from cpi_experiments.estimate import Link
from cpi_experiments.hypotheses.hypothesis import Hypothesis
from cpi_experiments.randomized.experiment import Experiment
from cpi_experiments.randomized.planning.link_design import LinkDesign, design_link
from cpi_experiments.stats.judging_power import confirm_power, refute_power
from cpi_experiments.stats.portfolio import alone_threshold
from cpi_experiments.stats.power import power

CLAIM = Hypothesis(link=Link.parse("quote_hours -> win_rate"), expected_sign=1, sesoi=0.004)


def plan(**changes: float) -> LinkDesign:
    return design_link(CLAIM, "auto_quote", **{"kpi_sd": 0.4, "planned_move": 3.0, **changes})


@pytest.mark.parametrize("ratio", [1.0, 3.0, 0.5])
@pytest.mark.parametrize("target", [0.8, 0.9])
def test_sizes_reach_their_power_and_one_customer_less_does_not(ratio: float, target: float) -> None:
    found = plan(ratio=ratio, power=target)
    lift = 1.5 * 0.004 * 3
    assert power(lift, found.n_lift, std_dev=0.4, ratio=ratio) >= target - 1e-9
    assert power(lift, found.n_lift - 1, std_dev=0.4, ratio=ratio) < target
    threshold = alone_threshold(0.10, 12)
    for n, reached in ((found.n_confirm, True), (found.n_confirm - 1, False)):
        error = 0.4 * math.sqrt((1 + ratio) / n + (1 + ratio) / (ratio * n)) / 3
        assert (confirm_power(error, effect=0.006, sesoi=0.004, threshold=threshold) >= target) == reached
    for n, reached in ((found.n_refute, True), (found.n_refute - 1, False)):
        error = 0.4 * math.sqrt((1 + ratio) / n + (1 + ratio) / (ratio * n)) / 3
        assert (refute_power(error, sesoi=0.004, threshold=threshold) >= target) == reached
    assert power(found.mde, found.n_confirm, std_dev=0.4, ratio=ratio) == pytest.approx(target, rel=1e-9)


def test_a_stronger_lever_and_a_smaller_portfolio_need_fewer() -> None:
    base = plan()
    assert plan(planned_move=6.0).n_confirm == pytest.approx(base.n_confirm / 4, abs=1)
    assert plan(links=4).n_refute < base.n_refute < plan(links=60).n_refute
    assert plan(links=4).n_confirm <= base.n_confirm <= plan(links=60).n_confirm
    assert plain(plan(links=1)) == plain(plan(links=4))


def test_days_follow_from_the_traffic() -> None:
    found = plan(per_day=100)
    assert (found.days_confirm, found.days_refute) == (found.n_confirm / 100, found.n_refute / 100)
    assert " days)" in str(found)
    assert math.isnan(plan().days_confirm)
    assert "days" not in str(plan())
    assert found.to_frame().loc[0, "n_confirm"] == found.n_confirm


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"planned_move": 0.0}, "planned move 0 is not above zero"),
        ({"planned_move": -1.0}, "planned move -1 is not above zero"),
        ({"planned_move": math.nan}, "planned move nan is not above zero"),
        ({"planned_move": math.inf}, "not a number to plan with"),
        ({"kpi_sd": 0.0}, "standard deviation 0 is not above zero"),
        ({"kpi_sd": math.nan}, "standard deviation nan is not above zero"),
        ({"power": 1.2}, "power 1.2 is not between"),
        ({"power": 0.05}, "power 0.05 is not between"),
        ({"ratio": 0.0}, "allocation ratio 0 is not above zero"),
        ({"fdr": 0.0}, "false discovery rate 0 is not between 0 and 1"),
        ({"fdr": 10.0}, "false discovery rate 10 is not between 0 and 1"),
        ({"per_day": 0.0}, "0 customers a day"),
        ({"per_day": -5.0}, "-5 customers a day"),
        ({"links": 0}, "0 links"),
        ({"population": 5_000}, "not feasible: 27,497 customers would confirm quote_hours -> win_rate, 5,000 exist"),
        ({"population": 2}, "2 units are too few|not feasible"),
        ({"kpi_sd": 1e6}, "no feasible sample"),
    ],
)
def test_what_cannot_be_planned_is_refused(changes: dict[str, float], found: str) -> None:
    with pytest.raises(DesignError, match=found):
        plan(**changes)


def test_not_feasible_says_what_could_be_seen() -> None:
    with pytest.raises(DesignError) as caught:
        plan(population=5_000)
    assert "smallest visible lift is 0.0317" in str(caught.value)


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
