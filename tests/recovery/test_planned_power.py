"""Planned power against the rule itself: the formulas must foretell what the judge does."""

import math

import numpy as np
import pytest

from cpi_experiments.estimate import EffectPair
from cpi_experiments.evidence.case import Case, Trialed
from cpi_experiments.evidence.judge import judge_cases
from cpi_experiments.stats.judging_power import confirm_power, refute_power, std_error_to_confirm, std_error_to_refute
from cpi_experiments.stats.portfolio import alone_threshold

REPS = 800
BAND = 4.9 * math.sqrt(0.25 / REPS)  # two-sided 1e-6


def verdicts(effect, error, *, slots, rho=0.0):
    """Judge one experiment with F = 10,000 many times; SESOI 1, ten increments moved."""
    rng = np.random.default_rng(int(1000 * effect + 10 * error + slots))
    move, sd = 10.0, error * 10.0
    words = []
    for x, e in rng.standard_normal((REPS, 2)):
        lift = effect * move + sd * (rho * x + math.sqrt(1 - rho**2) * e)
        pair = EffectPair(effect_cpi=move + 0.1 * x, effect_kpi=lift, var_cpi=0.01, var_kpi=sd**2, cov=rho * 0.1 * sd)
        trial = Trialed(experiment="E", lever="L", pair=pair, planned_move=move)
        words.append(judge_cases([Case(trials=(trial,), sesoi=1.0, expected_sign=1)], slots=slots)[0].verdict.value)
    return words.count("confirmed") / REPS, words.count("refuted") / REPS


@pytest.mark.parametrize(
    ("effect", "error", "slots", "rho"),
    [
        (1.5, 0.25, 4, 0),
        (1.5, 0.4, 12, 0.6),
        (1.0, 0.15, 4, 0),
        (2.0, 0.6, 60, -0.6),
        (0.0, 0.25, 4, 0),
        (0.3, 0.2, 12, 0),
    ],
)
def test_planned_power_is_what_the_judge_does(effect, error, slots, rho):
    threshold = alone_threshold(0.10, slots)
    confirmed, refuted = verdicts(effect, error, slots=slots, rho=rho)
    assert confirmed == pytest.approx(confirm_power(error, effect=effect, sesoi=1.0, threshold=threshold), abs=BAND)
    assert refuted == pytest.approx(refute_power(error, sesoi=1.0, threshold=threshold, effect=effect), abs=BAND)


@pytest.mark.parametrize("slots", [4, 60])
def test_planned_standard_errors_reach_the_power_they_promise(slots):
    threshold = alone_threshold(0.10, slots)
    confirmed, _ = verdicts(1.5, std_error_to_confirm(sesoi=1.0, threshold=threshold), slots=slots)
    _, refuted = verdicts(0.0, std_error_to_refute(sesoi=1.0, threshold=threshold), slots=slots)
    assert confirmed == pytest.approx(0.8, abs=BAND)
    assert refuted == pytest.approx(0.8, abs=BAND)
