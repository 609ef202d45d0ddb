"""Shares beside their formula: exact intervals, agreement, and the spread that a formula needs."""

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.stats.arm_means import arm_means
from cpi_experiments.stats.resampling.resampled_trials import drawn_effects, history_of
from cpi_experiments.stats.resampling.simulated_shares import agrees, exact_interval, formula_power, unit_std_dev


@pytest.mark.parametrize("count", [0, 1, 37, 199, 200])
@pytest.mark.parametrize("level", [0.95, 0.9973])
def test_intervals_are_those_of_clopper_and_pearson(count, level):
    outside = stats.binomtest(count, 200).proportion_ci(level, method="exact")
    assert exact_interval(count, 200, confidence_level=level) == pytest.approx((outside.low, outside.high), rel=1e-9)


def test_agreement_is_wrong_three_times_in_a_thousand_at_most():
    counts = np.arange(1001)
    for share in (0.05, 0.5, 0.98, 0.9999):
        inside = np.array([agrees(int(c), 1000, share) for c in counts])
        assert stats.binom.pmf(counts[~inside], 1000, share).sum() <= 0.0027 + 1e-12


@pytest.mark.parametrize("clusters", [False, True])
def test_the_spread_between_units_gives_the_variance_of_an_arm(clusters):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(600, 1))
    codes = np.repeat(np.arange(60), 10) if clusters else None
    found = unit_std_dev(history_of(rows, rows, covariates=np.zeros((600, 0)), clusters=codes), treated=False, j=0)
    units = 30 if clusters else 300
    means = arm_means(
        np.concatenate([rows, rows]), np.repeat([False, True], 600),
        clusters=np.concatenate([codes, codes + 60]) if clusters else None,
    )  # fmt: skip
    assert found**2 / (2 * units) == pytest.approx(means.omega[0, 0] / 2, rel=1e-10)


def test_covariates_and_strata_take_their_part_of_the_spread():
    rng = np.random.default_rng(3)
    x, stratum = rng.normal(size=(5_000, 1)), rng.integers(3, size=5_000)
    rows = 3 * x + 2.0 * stratum[:, None] + rng.normal(size=(5_000, 1))
    history = history_of(rows, rows, covariates=x, strata=stratum)
    assert unit_std_dev(history, treated=False, j=0) == pytest.approx(1.0, abs=0.03)


def test_cohens_half_a_standard_deviation_needs_64_an_arm():
    rng = np.random.default_rng(8)
    rows = stats.norm.ppf((np.arange(4_000) + 0.5) / 4_000)[:, None]
    history = history_of(rows, rows + 0.5, covariates=np.zeros((4_000, 0)))
    formula = formula_power(history, 0.5, arms=(64, 64), alpha=0.05, j=0)
    assert formula == pytest.approx(0.8015, abs=0.001)  # Cohen (1988), table 2.4.1
    found = drawn_effects(history, 64, 64, reps=20_000, rng=rng)
    assert np.mean(found.p_value(0) < 0.05) == pytest.approx(formula, abs=4.9 * np.sqrt(0.16 / 20_000))
    assert formula_power(history, 0.0, arms=(64, 64), alpha=0.03, j=0) == 0.03
