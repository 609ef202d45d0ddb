"""What an audit of a ratio computes: sets under a direct path, where a treatment was moved, permutation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.arm_means import arm_means
from cpi_experiments.stats.instruments.fieller import breakdown, fieller_set
from cpi_experiments.stats.instruments.plausibly_exogenous import union_set
from cpi_experiments.stats.instruments.response_weights import response_weights
from cpi_experiments.stats.resampling.pair_permutation import permute_pair

NUMBERS = {"var_x": 0.01, "var_y": 0.02, "cov": 0.004, "critical": 1.96}


def holds(sets, t):
    return any(low <= t <= high for low, high in sets)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(x=st.floats(-3, 3), y=st.floats(-3, 3), rho=st.floats(-0.95, 0.95), direct=st.floats(0, 2), t=st.floats(-20, 20))
def test_a_ratio_is_in_the_union_exactly_if_some_direct_effect_allows_it(x, y, rho, direct, t):
    numbers = {"var_x": 0.25, "var_y": 0.5, "cov": rho * math.sqrt(0.125), "critical": 2.0}
    distance = abs(y - t * x) - direct - 2.0 * math.sqrt(max(0.5 - 2 * t * numbers["cov"] + t * t * 0.25, 0))
    if abs(distance) < 1e-6:
        return
    assert holds(union_set(x, y, **numbers, direct=direct), t) == (distance < 0)


def test_a_first_stage_of_almost_nothing_leaves_the_line():
    numbers = {"var_x": 0.25, "var_y": 0.5, "cov": 0.0, "critical": 2.0}
    assert union_set(1.1e-308, 1.0, **numbers, direct=1.0) == ((-math.inf, math.inf),)


def test_without_a_direct_path_the_union_is_the_fieller_set():
    for x, y in [(2.0, 1.0), (0.1, 0.05), (0.1, 3.0), (-2.0, 0.3)]:
        sets = fieller_set(x, y, **NUMBERS)
        np.testing.assert_allclose(union_set(x, y, **NUMBERS, direct=0.0), sets, rtol=1e-9)


@pytest.mark.parametrize("y", [1.0, -0.8])
def test_the_breakdown_is_the_share_at_which_zero_enters(y):
    share = breakdown(y, NUMBERS["var_y"], critical=1.96)
    assert not holds(union_set(2.0, y, **NUMBERS, direct=(share - 1e-6) * abs(y)), 0.0)
    assert holds(union_set(2.0, y, **NUMBERS, direct=(share + 1e-6) * abs(y)), 0.0)


# -- where the treatment was moved -----------------------------------------------------------------------------------


def test_weights_of_an_instrument_that_everybody_follows_by_one_step():
    x = np.tile([0.0, 1.0, 2.0, 3.0], 100)
    treated = np.repeat([False, True], 200)
    found = response_weights(x + treated, treated)
    np.testing.assert_allclose(found.gained, 0.25)
    np.testing.assert_allclose(found.weight, 0.25)
    assert found.z_against == 0


def test_weights_are_those_of_angrist_and_imbens_by_hand():
    rng = np.random.default_rng(4)
    treated = rng.random(600) < 0.5
    x = np.minimum(rng.poisson(3, 600) + treated * rng.integers(0, 3, 600), 8)
    found = response_weights(x.astype(float), treated, steps=50)
    crossed = [np.mean(x[treated] >= j) - np.mean(x[~treated] >= j) for j in range(1, int(x.max()) + 1)]
    np.testing.assert_allclose(found.gained, crossed, atol=1e-12)
    np.testing.assert_allclose(found.weight, np.array(crossed) / np.sum(crossed), rtol=1e-9)


@pytest.mark.parametrize("steps", [3, 10, 25])
def test_steps_of_a_continuous_treatment_sum_to_the_first_stage(steps):
    rng = np.random.default_rng(5)
    treated = rng.random(2000) < 0.3
    x = rng.gamma(4, 2, 2000) - 3 * treated
    found = response_weights(x, treated, steps=steps)
    assert found.gained.sum() == pytest.approx(x[treated].mean() - x[~treated].mean(), rel=1e-12)
    assert found.weight.sum() == pytest.approx(1)


def test_the_ratio_is_the_weighted_average_of_the_effects_of_steps():
    rng = np.random.default_rng(6)
    n = 400_000
    treated = rng.random(n) < 0.5
    x0 = rng.integers(0, 5, n)
    x = x0 + treated * (rng.random(n) < 0.5) * (x0 < 4)
    gains = np.array([0.0, 3.0, 4.0, 4.5, 4.6, 4.6])  # concave: the first step is worth most
    y = gains[x]
    found = response_weights(x.astype(float), treated)
    ratio = (y[treated].mean() - y[~treated].mean()) / (x[treated].mean() - x[~treated].mean())
    assert found.weight @ np.diff(gains)[: len(found.weight)] == pytest.approx(ratio, abs=1e-6)


def test_customers_moved_the_other_way_are_seen():
    rng = np.random.default_rng(7)
    treated = np.repeat([False, True], 2000)
    x = rng.normal(10, 3, 4000)
    x[treated] += np.where(x[treated] > 10, 3, -1.5)
    assert response_weights(x, treated).p_against < 1e-6


def test_customers_of_clusters_that_were_moved_the_other_way_are_seen():
    rng = np.random.default_rng(7)
    shop = np.repeat(np.arange(40), 100)
    treated = shop % 2 == 1
    x = rng.normal(10, 3, 4000) + 0.5 * rng.normal(size=40)[shop]
    x[treated] += np.where(x[treated] > 10, 3, -1.5)
    assert response_weights(x, treated, clusters=shop).p_against < 1e-3


def test_the_test_of_one_direction_rarely_alarms_without_cause():
    rng = np.random.default_rng(8)
    treated = np.repeat([False, True], 300)
    alarms = [response_weights(rng.normal(0.2 * treated, 1), treated).p_against < 0.05 for _ in range(2000)]
    assert np.mean(alarms) <= 0.0755


def test_the_test_of_one_direction_rarely_alarms_on_clusters_that_move_together():
    rng = np.random.default_rng(15)
    shop = np.repeat(np.arange(40), 25)
    treated = shop % 2 == 1
    alarms = []
    for _ in range(1000):
        x = 2 * rng.normal(size=40)[shop] + rng.normal(0.1 * treated)
        alarms.append(
            (
                response_weights(x, treated, clusters=shop).p_against < 0.05,
                response_weights(x, treated).p_against < 0.05,
            )
        )
    clustered, plain = np.mean(alarms, axis=0)
    assert clustered <= 0.089
    assert plain > 0.089


def test_steps_within_strata_sum_to_the_comparison_within_strata():
    rng = np.random.default_rng(16)
    stratum = rng.integers(0, 3, 900)
    treated = rng.random(900) < np.array([0.2, 0.5, 0.8])[stratum]
    x = rng.gamma(2 + stratum, 2) + treated
    found = response_weights(x, treated, strata=stratum)
    within = [
        np.mean(stratum == s) * (x[treated & (stratum == s)].mean() - x[~treated & (stratum == s)].mean())
        for s in range(3)
    ]
    assert found.gained.sum() == pytest.approx(sum(within), rel=1e-12)
    assert found.gained.sum() != pytest.approx(x[treated].mean() - x[~treated].mean(), rel=0.2)


@pytest.mark.parametrize(("x", "told"), [(np.ones(8), "same for everybody"), (np.arange(8.0), "fewer than two rows")])
def test_treatments_that_say_nothing_are_refused(x, told):
    with pytest.raises(EstimationError, match=told):
        response_weights(x, np.arange(8) < (1 if told.startswith("fewer") else 4))


# -- permutation -----------------------------------------------------------------------------------------------------


def test_permuted_pair_gives_the_plain_effects_and_variances():
    rng = np.random.default_rng(9)
    treated = np.arange(50) % 3 == 0
    x, y = rng.normal(size=(2, 50))
    found = permute_pair(x, y, treated, reps=5, rng=rng).observed
    both = [np.cov(x[arm], y[arm]) / arm.sum() for arm in (treated, ~treated)]
    expected = [x[treated].mean() - x[~treated].mean(), y[treated].mean() - y[~treated].mean()]
    omega = both[0] + both[1]
    np.testing.assert_allclose(found, [*expected, omega[0, 0], omega[1, 1], omega[0, 1]], rtol=1e-12)


def test_permutation_p_value_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(10)
    x, y = rng.normal(size=8), rng.lognormal(size=8)
    treated = np.arange(8) < 4

    def t(a, b):
        return abs(stats.ttest_ind(a, b, equal_var=False).statistic)

    exact = stats.permutation_test((y[treated], y[~treated]), t, n_resamples=np.inf, alternative="greater").pvalue
    found = permute_pair(x, y, treated, reps=20_000, rng=rng).p_value(0.0)
    assert found == pytest.approx(exact, abs=0.02)


def test_a_ratio_is_in_the_permutation_set_exactly_if_its_p_value_is_above_alpha():
    rng = np.random.default_rng(11)
    treated = np.arange(60) < 20
    x, y = rng.normal(2.0 * treated, 1), rng.lognormal(size=60) + treated
    found = permute_pair(x, y, treated, reps=999, rng=rng)
    sets = found.confidence_set(0.9)
    for ratio in np.linspace(-3, 3, 61):
        assert holds(sets, ratio) == (found.p_value(ratio) > 0.1)


def test_an_instrument_that_moves_nothing_leaves_the_set_open():
    rng = np.random.default_rng(12)
    treated = np.arange(200) < 100
    sets = permute_pair(*rng.normal(size=(2, 200)), treated, reps=499, rng=rng).confidence_set(0.95)
    assert math.isinf(sets[0][0])
    assert math.isinf(sets[-1][1])


@pytest.mark.parametrize(("sizes", "sigma"), [((27, 3), 1.0), ((180, 20), 1.5)], ids=["thirty", "two hundred"])
@pytest.mark.parametrize("true", [0.0, 0.8])
def test_permutation_keeps_its_level_where_students_t_does_not(sizes, sigma, true):
    rng = np.random.default_rng(13)
    reps, rejected, plain = 1000, 0, 0
    treated = np.repeat([False, True], sizes)
    for _ in range(reps):
        x = rng.normal(treated * 1.0, 1)
        y = true * x + rng.lognormal(0, sigma, len(treated))
        found = permute_pair(x, y, treated, reps=199, rng=rng)
        rejected += found.p_value(true) <= 0.05
        u = y - true * x
        arms = u[treated], u[~treated]
        error = math.sqrt(sum(arm.var(ddof=1) / len(arm) for arm in arms))
        plain += abs(arms[0].mean() - arms[1].mean()) > 1.98 * error
    assert 0.021 <= rejected / reps <= 0.089  # exact binomial band of two-sided probability 1e-6 around .05
    assert plain / reps > 0.089


def test_permuted_pair_within_strata_gives_the_plain_effects_and_variances():
    rng = np.random.default_rng(17)
    stratum, treated = np.arange(80) % 2, rng.random(80) < 0.4
    x, y = rng.normal(size=(2, 80)) + 5 * stratum
    found = permute_pair(x, y, treated, strata=stratum, reps=5, rng=rng).observed
    means = arm_means(np.column_stack([x, y]), treated, strata=stratum)
    omega = means.omega
    np.testing.assert_allclose(found, [*means.effect, omega[0, 0], omega[1, 1], omega[0, 1]], rtol=1e-9)


def test_arms_dealt_within_strata_keep_the_level_where_strata_were_unlike():
    rng = np.random.default_rng(18)
    stratum = np.repeat([0, 1], 30)
    rejected = []
    for _ in range(1000):
        treated = np.concatenate([rng.permutation(30) < 8, rng.permutation(30) < 22])
        x, y = rng.normal(size=(2, 60)) + 3 * stratum
        alone = permute_pair(x, y, treated, reps=99, rng=rng).p_value(0.0) <= 0.05
        rejected.append((permute_pair(x, y, treated, strata=stratum, reps=99, rng=rng).p_value(0.0) <= 0.05, alone))
    within, across = np.mean(rejected, axis=0)
    assert 0.021 <= within <= 0.089
    assert across > 0.089


def test_clusters_are_dealt_whole():
    rng = np.random.default_rng(14)
    clusters = np.repeat(np.arange(8), 25)
    rejected = []
    for _ in range(400):
        own = rng.normal(size=8)[clusters]
        y = own + rng.normal(size=200)
        treated = np.isin(clusters, rng.permutation(8)[:4])
        rejected.append(permute_pair(own, y, treated, clusters=clusters, reps=99, rng=rng).p_value(0.0) <= 0.05)
    assert np.mean(rejected) <= 0.115
    with pytest.raises(EstimationError, match="both arms"):
        permute_pair(own, y, np.arange(200) % 2 == 0, clusters=clusters, reps=9, rng=rng)
    with pytest.raises(EstimationError, match="several strata"):
        permute_pair(own, y, treated, clusters=clusters, strata=np.arange(200) % 2, reps=9, rng=rng)
    with pytest.raises(EstimationError, match="1 unit"):
        permute_pair(own, y, np.arange(200) == 0, reps=9, rng=rng)
