"""What a case counts, what breaks it, and the numbers that the decision rests on."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from cpi_experiments.display import plain
from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence.case import Case, Trialed, broken
from cpi_experiments.evidence.history import replay
from cpi_experiments.evidence.weighing import LeverCounts, Weighed, weigh
from cpi_experiments.stats.instruments.fieller import breakdown

NAN = math.nan


def pair(x=10.0, y=20.0, var_cpi=0.01, var_kpi=9.0, cov=0.0, df=math.inf):
    return EffectPair(effect_cpi=x, effect_kpi=y, var_cpi=var_cpi, var_kpi=var_kpi, cov=cov, df=df)


def trial(name="E1", lever="L1", **fields):
    numbers = {key: fields.pop(key) for key in ("x", "y", "var_cpi", "var_kpi", "cov", "df") if key in fields}
    return Trialed(experiment=name, lever=lever, pair=pair(**numbers), **fields)


def case(*trials, sesoi=1.0, sign=1):
    return Case(trials=trials, sesoi=sesoi, expected_sign=sign)


def p_value(family, *trials):
    return replay([case(*trials)], fdr=0.1).p_values[family][0, -1]


@pytest.mark.parametrize(
    ("numbers", "planned", "sign", "move"),
    [
        ({"x": 10.0}, 10, 1, "moved"),
        ({"x": 0.17}, 10, 1, "moved"),  # just outside its 90% interval
        ({"x": 0.16}, 10, 1, "inert"),
        ({"x": 0.16}, 1, 1, "unproven"),  # as close to zero, but a quarter of a step is not excluded
        ({"x": -0.16}, 10, 1, "inert"),
        ({"x": -0.17}, 10, 1, "wrong way"),
        ({"x": -10.0}, 10, -1, "moved"),
        ({"x": 10.0}, 10, -1, "wrong way"),
        ({"x": 0.0, "var_cpi": 0.0}, 10, 1, "inert"),
        ({"x": 1.0, "var_cpi": 0.0}, 10, 1, "moved"),
        ({"x": 0.18, "df": 5.0}, 10, 1, "inert"),  # t quantile 2.02
    ],
)
def test_a_lever_moved_the_cpi_only_if_its_interval_says_so(numbers, planned, sign, move):
    assert trial(**numbers, planned_move=planned, lever_sign=sign).move == move


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ({}, ""),
        ({"cov": NAN}, "cov missing"),
        ({"x": NAN, "var_cpi": NAN}, "effect_cpi, var_cpi missing"),
        ({"y": math.inf}, "effect_kpi missing"),
        ({"var_kpi": 0.0}, "the KPI has no variance"),
        ({"var_cpi": 1.0, "cov": -3.0}, "computed from the other"),
        ({"var_cpi": 1.0, "cov": 2.99}, ""),
        ({"var_cpi": 0.0}, ""),
    ],
)
def test_numbers_that_allow_no_verdict_are_named(numbers, why):
    assert why in broken(pair(**numbers))
    assert bool(why) == bool(broken(pair(**numbers)))


def test_only_valid_registered_current_trials_whose_lever_moved_or_may_have_moved_count():
    trials = (
        trial("good"), trial("weak", x=1.0, var_cpi=1.0), trial("inert", x=0.1, planned_move=10.0), trial("wrong", x=-9.0),
        trial("broken", blocked="lost log"), trial("late", exploratory="not registered"), trial("old", left_out="expired"),
    )  # fmt: skip
    assert [t.experiment for t in case(*trials).counted] == ["good", "weak"]
    assert case(*trials).blocks == ("broken: lost log",)


def test_nothing_is_weighed_where_a_trial_is_broken_or_none_counts():
    assert weigh(case()) == Weighed()
    assert weigh(case(trial(), trial("E2", blocked="lost log"))) == Weighed()
    assert weigh(case(trial(x=-9.0))) == Weighed()


def test_overlapping_trials_keep_the_first_look_then_most_planned_information():
    small, large, other = trial("small", var_kpi=90.0), trial("large"), trial("other", var_kpi=50.0)
    kept = case(small, large, other).without_overlaps({"small": ("large",)})
    assert [t.experiment for t in kept.counted] == ["large", "other"]
    assert "shares customers with large" in kept.trials[0].left_out
    ties = case(trial("b"), trial("a")).without_overlaps({"b": ("a",)})
    assert [t.experiment for t in ties.counted] == ["a"]  # by name, whatever the order
    late = case(replace(trial("large"), looked_at=1), small).without_overlaps({"small": ("large",)})
    assert [t.experiment for t in late.counted] == ["small"]  # what was counted once stays counted
    assert "was looked at before" in late.trials[0].left_out
    chain = case(trial("a"), trial("b", var_kpi=10.0), trial("c", var_kpi=11.0)).without_overlaps({"b": ("a", "c")})
    assert [t.experiment for t in chain.counted] == ["a", "c"]  # what is out pushes nothing out


@pytest.mark.parametrize("flaw", [{"blocked": "x"}, {"exploratory": "x"}, {"left_out": "x"}])
def test_a_trial_that_does_not_count_pushes_none_out(flaw):
    kept = case(trial("small", var_kpi=90.0), replace(trial("large"), **flaw)).without_overlaps({"small": ("large",)})
    assert kept.trials[0].left_out == ""


def test_numbers_of_one_strong_trial_are_the_textbook_ones():
    found = weigh(case(trial()))
    assert p_value("direction", trial()) == pytest.approx(special.ndtr(-20 / 3))
    assert p_value("harm", trial()) == pytest.approx(special.ndtr(20 / 3))
    assert (found.z_direction, found.z_harm) == (pytest.approx(20 / 3), pytest.approx(-20 / 3))
    u, v = 20 - 10, 9 + 0.01
    assert p_value("equivalence", trial()) == pytest.approx(special.ndtr(u / math.sqrt(v)))
    assert found.breakdown == pytest.approx(breakdown(20, 9.0, critical=1.959964), abs=1e-6)
    assert found.point.value == 2.0
    assert found.levers == LeverCounts(direction=1)
    assert found.material_e > 20
    assert found.harm_e < 1


@pytest.mark.parametrize("planned", [0.1, 1.0, 10.0])
def test_margin_says_how_much_of_a_material_lift_could_be_direct(planned):
    """A refutation with margin m still holds when the lift is off by m x SESOI (one-sided 5%), whatever was planned."""
    found = weigh(case(trial(y=1.0, var_kpi=1.0, var_cpi=1e-8, planned_move=planned)))
    shift = found.margin * 10
    worst = max(special.ndtr((1 + shift - 10) / 1.0), special.ndtr((-10 - (1 - shift)) / 1.0))
    assert worst == pytest.approx(0.05, abs=1e-4)


def test_expected_sign_turns_the_kpi_round():
    plus, minus = weigh(case(trial(cov=0.1))), weigh(case(trial(y=-20.0, cov=-0.1), sign=-1))
    assert plain(plus) == plain(minus)


def test_levers_are_counted_not_trials():
    two = weigh(case(trial("E1"), trial("E2"), trial("E3", lever="L2", y=1.0)))
    assert two.levers.direction == 1
    assert weigh(case(trial("E1"), trial("E2", lever="L2"))).levers.direction == 2
    harm = weigh(case(trial("E1", y=-30.0), trial("E2", lever="L2", y=-30.0)))
    assert harm.levers == LeverCounts(direction=0, harm=2, equivalence=0)
    small = weigh(case(trial("E1", y=0.0, var_kpi=1.0), trial("E2", lever="L2", y=0.0, var_kpi=1.0)))
    assert small.levers == LeverCounts(direction=0, harm=0, equivalence=2)


@pytest.mark.parametrize("planned", [0.01, 1.0, 10.0, 100.0])
def test_harm_is_seen_whatever_move_was_planned(planned):
    """One trial: the planned move cancels from the score, and the e-value must not depend on its unit."""
    found = weigh(case(trial(y=-30.0, var_kpi=100.0, planned_move=planned)))  # -3 with standard error 1
    assert found.harm_e > 20
    assert p_value("harm", trial(y=-30.0, var_kpi=100.0, planned_move=planned)) == pytest.approx(special.ndtr(-3.0))


def test_harm_e_value_has_mean_at_most_one_at_the_sesoi():
    rng = np.random.default_rng(6)
    for error, planned in ((2.0, 10.0), (20.0, 10.0), (5.0, 0.1)):
        lifts = 10.0 + error * rng.standard_normal(1500)
        values = [weigh(case(trial(y=y, var_kpi=error**2, var_cpi=1e-9, planned_move=planned))).harm_e for y in lifts]
        assert np.mean(values) <= 1 + 3 * np.std(values) / math.sqrt(1500)
        assert np.mean(np.asarray(values) >= 20) <= 0.05
