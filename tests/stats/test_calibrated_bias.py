"""Bias of regressions from links that have both: against statsmodels, and as good as its table says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.judging.calibrated_bias import FEWEST, calibrate_bias, pool

LINKS, TRIAL_ERROR, PAST_ERROR = 20, 0.15, 0.03
ERRORS = (np.full(LINKS, PAST_ERROR), np.full(LINKS, TRIAL_ERROR))


def draw(rng, spread, links=LINKS):
    truth = 0.2 * rng.normal(size=links)
    past = truth + 0.5 * spread + spread * rng.normal(size=links) + PAST_ERROR * rng.normal(size=links)
    return truth, past, truth + TRIAL_ERROR * rng.normal(size=links)


@pytest.mark.parametrize("seed", range(12))
def test_mean_and_variance_are_statsmodels_paule_mandel_and_hartung_knapp(seed):
    rng = np.random.default_rng(seed)
    links = int(rng.integers(3, 30))
    errors = rng.uniform(0.02, 0.4, size=(2, links))
    gap = 0.3 + rng.choice([0.0, 0.2, 1.0]) * rng.normal(size=links) + np.hypot(*errors) * rng.normal(size=links)
    trial = rng.normal(size=links)
    found = calibrate_bias(trial + gap, errors[0], trial, errors[1])
    other = combine_effects(gap, np.hypot(*errors) ** 2, method_re="iterated", use_t=True, atol=1e-6)
    assert found.variance == pytest.approx(max(other.tau2, 0.0), rel=1e-5, abs=1e-9)
    assert found.mean == pytest.approx(other.mean_effect_re, rel=1e-6)
    plain = math.sqrt(1 / np.sum(1 / (np.hypot(*errors) ** 2 + found.variance)))
    assert found.std_error == pytest.approx(max(other.sd_eff_w_re_hksj, plain), rel=1e-5)
    assert found.links == links
    assert found.low < found.mean < found.high


def test_gaps_no_larger_than_their_errors_have_no_variance_between():
    found = calibrate_bias(np.array([1.0, 1.1, 0.9]), np.full(3, 0.2), np.zeros(3), np.full(3, 0.2))
    assert found.variance == 0.0
    assert found.std_error == pytest.approx(math.sqrt(0.08 / 3))  # never narrower than the sampling errors


def test_one_link_has_a_gap_and_no_distribution():
    found = calibrate_bias(np.array([2.0]), np.array([0.1]), np.array([0.5]), np.array([0.1]))
    assert (found.mean, found.links) == (1.5, 1)
    assert all(math.isnan(getattr(found, name)) for name in ("std_error", "variance", "low", "high"))


def test_links_without_both_tell_nothing():
    rng = np.random.default_rng(3)
    _, past, trial = draw(rng, 0.2)
    all_of_them = calibrate_bias(past, ERRORS[0], trial, ERRORS[1])
    padded = [
        np.r_[a, b]
        for a, b in zip(
            (past, ERRORS[0], trial, ERRORS[1]), ([9, math.nan], [1, 1], [math.nan, 9], [1, 1]), strict=True
        )
    ]
    assert calibrate_bias(*padded) == all_of_them


def test_the_interval_of_the_mean_covers_it():
    rng = np.random.default_rng(4)
    for spread in (0.0, 0.05, 0.15, 0.4):
        covered = 0
        for _ in range(600):
            _, past, trial = draw(rng, spread)
            found = calibrate_bias(past, ERRORS[0], trial, ERRORS[1])
            covered += found.low <= 0.5 * spread <= found.high
        assert 0.915 <= covered / 600 <= 0.99


# -- pooling ----------------------------------------------------------------------------------------------------------


def naive(past, trial):
    weight = np.array([PAST_ERROR**-2, TRIAL_ERROR**-2])
    return (weight[0] * past + weight[1] * trial) / weight.sum(), np.full(LINKS, weight.sum() ** -0.5)


def pool_if_not_rejected(past, trial):
    pooled, error = naive(past, trial)
    agree = np.abs(past - trial) < 1.96 * math.hypot(PAST_ERROR, TRIAL_ERROR)
    return np.where(agree, pooled, trial), np.where(agree, error, TRIAL_ERROR)


def power_prior(past, trial, share=0.05):
    weight = np.array([share * PAST_ERROR**-2, TRIAL_ERROR**-2])
    return (weight[0] * past + weight[1] * trial) / weight.sum(), np.full(LINKS, weight.sum() ** -0.5)


METHODS = {"naive": naive, "test then pool": pool_if_not_rejected, "power prior": power_prior}


def pooling_table(spread, reps=300, seed=6):
    """Root mean square error and coverage of every way to use past data, 20 links each."""
    rng = np.random.default_rng(seed)
    errors = {name: [] for name in (*METHODS, "calibrated", "experiment")}
    covered = {name: [] for name in errors}
    for _ in range(reps):
        truth, past, trial = draw(rng, spread)
        found = pool(past, ERRORS[0], trial, ERRORS[1])
        ends = {name: method(past, trial) for name, method in METHODS.items()}
        ends["experiment"] = (trial, np.full(LINKS, TRIAL_ERROR))
        for name, (value, error) in ends.items():
            errors[name].append(value - truth)
            covered[name].append(np.abs(value - truth) <= 1.96 * error)
        errors["calibrated"].append(found.value - truth)
        covered["calibrated"].append((found.low <= truth) & (truth <= found.high))
    return {name: (float(np.sqrt(np.mean(np.square(errors[name])))), float(np.mean(covered[name]))) for name in errors}


@pytest.mark.parametrize(
    ("spread", "rmse", "naive_cover", "tested_cover", "prior_cover"),
    [
        (0.0, 0.056, 0.95, 0.92, 0.99),
        (0.05, 0.068, 0.65, 0.64, 0.99),
        (0.15, 0.114, 0.28, 0.41, 0.91),
        (0.4, 0.143, 0.10, 0.59, 0.55),
    ],
)
def test_only_the_calibrated_bias_covers_whatever_the_bias_is(spread, rmse, naive_cover, tested_cover, prior_cover):
    found = pooling_table(spread)
    assert found["calibrated"][0] == pytest.approx(rmse, abs=0.005)
    assert 0.935 <= found["calibrated"][1] <= 1.0
    assert found["calibrated"][0] <= found["experiment"][0] + 0.002
    assert found["experiment"][1] == pytest.approx(0.95, abs=0.012)
    for name, cover in (("naive", naive_cover), ("test then pool", tested_cover), ("power prior", prior_cover)):
        assert found[name][1] == pytest.approx(cover, abs=0.03)


def test_a_link_never_tells_its_own_bias():
    rng = np.random.default_rng(7)
    _, past, trial = draw(rng, 0.2)
    moved = past.copy()
    moved[3] += 0.01
    before, after = (pool(p, ERRORS[0], trial, ERRORS[1]) for p in (past, moved))
    weight = 1 / (before.std_error[3] ** -2 - TRIAL_ERROR**-2)
    assert after.value[3] - before.value[3] == pytest.approx(0.01 * before.std_error[3] ** 2 / weight)
    assert after.std_error[3] == before.std_error[3]


def test_without_one_of_the_two_the_other_stands_alone():
    rng = np.random.default_rng(8)
    _, past, trial = draw(rng, 0.1)
    past[0], trial[1], past[2], trial[2] = (math.nan,) * 4
    found = pool(past, ERRORS[0], trial, ERRORS[1])
    assert (found.value[0], found.std_error[0]) == (trial[0], pytest.approx(TRIAL_ERROR))
    assert found.high[0] - found.value[0] == pytest.approx(1.959964 * TRIAL_ERROR, rel=1e-6)
    others = calibrate_bias(past, ERRORS[0], trial, ERRORS[1])
    assert found.value[1] == pytest.approx(past[1] - others.mean, abs=0.01)
    assert found.std_error[1] > PAST_ERROR
    assert math.isnan(found.value[2])
    assert math.isnan(found.low[2])


def test_fewer_than_ten_links_pool_nothing():
    rng = np.random.default_rng(9)
    _, past, trial = draw(rng, 0.1, FEWEST)
    past_errors, trial_errors = ERRORS[0][:FEWEST], ERRORS[1][:FEWEST]
    assert np.all(np.isfinite(pool(past, past_errors, trial, trial_errors).value))
    trial[4] = math.nan
    with pytest.raises(EstimationError, match=r"9 links have a regression and an experiment(.|\n)*needs 10"):
        pool(past, past_errors, trial, trial_errors)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((np.ones(3), np.ones(3), np.ones(2), np.ones(3)), "have shapes"),
        ((np.ones((1, 1)),) * 4, "have shapes"),
        ((np.ones(3), np.zeros(3), np.ones(3), np.ones(3)), "3 standard errors are not above zero"),
        ((np.full(3, np.nan), np.ones(3), np.ones(3), np.ones(3)), "none of 3 links"),
    ],
)
def test_impossible_tables_are_refused(arrays, message):
    with pytest.raises(EstimationError, match=message):
        calibrate_bias(*arrays)
