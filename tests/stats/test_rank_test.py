"""Ranks against scipy's Brunner-Munzel and Mann-Whitney, brute force, and planted ties."""

import math
import time

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.rank_test import superiority, superiority_test
from cpi_experiments.stats.student import p_value

Array = np.ndarray


def both(control: Array, treatment: Array) -> tuple[Array, Array]:
    return np.concatenate([control, treatment]).astype(float), np.arange(len(control) + len(treatment)) >= len(control)


WORLDS = {
    "normal": lambda rng: (rng.normal(size=12), rng.normal(0.5, 3, size=19)),
    "ties": lambda rng: (rng.poisson(2, 30), rng.poisson(2.5, 25)),
    "binary": lambda rng: (rng.binomial(1, 0.3, 40), rng.binomial(1, 0.5, 30)),
    "heavy": lambda rng: (rng.standard_cauchy(40), rng.standard_cauchy(25) + 1),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_statistic_and_df_are_those_of_scipy_brunnermunzel(world, alternative):
    a, b = WORLDS[world](np.random.default_rng(1))
    found = superiority(*both(a, b))
    expected = stats.brunnermunzel(b, a, alternative=alternative)  # statistic is positive if the first is smaller
    t = (found.probability - 0.5) / found.std_error
    assert t == pytest.approx(-expected.statistic, rel=1e-10)
    assert p_value(t, found.df, alternative=alternative) == pytest.approx(expected.pvalue, rel=1e-8)


@pytest.mark.parametrize("world", WORLDS)
def test_probability_is_the_mann_whitney_count(world):
    a, b = WORLDS[world](np.random.default_rng(2))
    u = stats.mannwhitneyu(b, a).statistic
    pairs = (b[:, None] > a).mean() + 0.5 * (b[:, None] == a).mean()
    found = superiority(*both(a, b))
    assert found.probability == pytest.approx(u / (len(a) * len(b)), rel=1e-12)
    assert found.probability == pytest.approx(pairs, rel=1e-12)


def test_arms_exchanged_give_the_mirror_image():
    a, b = WORLDS["ties"](np.random.default_rng(3))
    one, other = superiority(*both(a, b)), superiority(*both(b, a))
    low, high, p = superiority_test(one)
    assert other.probability == pytest.approx(1 - one.probability)
    assert superiority_test(other) == pytest.approx((-high, -low, p))


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_interval_excludes_zero_exactly_when_p_is_below_its_level(alternative):
    rng = np.random.default_rng(4)
    rejected = 0
    for _ in range(300):
        found = superiority(*both(rng.normal(size=15), rng.normal(rng.normal(), 1, size=15)))
        low, high, p = superiority_test(found, alternative=alternative)
        assert -0.5 <= low < high <= 0.5
        assert (low > 0 or high < 0) == (p < 0.05)
        rejected += p < 0.05
    assert 30 < rejected < 270


def test_any_increasing_change_of_scale_leaves_everything_as_it_is():
    a, b = WORLDS["normal"](np.random.default_rng(5))
    one, other = superiority(*both(a, b)), superiority(*both(np.exp(a), np.exp(b)))
    assert (one.probability, one.std_error, one.df) == (other.probability, other.std_error, other.df)


def test_separated_arms_use_the_variance_of_exchangeable_arms():
    found = superiority(*both(np.arange(20), 100 + np.arange(25)))
    low, high, p = superiority_test(found)
    assert found.separated
    assert found.probability == 1.0
    assert found.std_error == pytest.approx(math.sqrt(46 / (12 * 20 * 25)))
    assert 0 < low < high == 0.5
    # Mann-Whitney's own normal approximation has the same z
    z = 0.5 / found.std_error
    plain = stats.mannwhitneyu(np.arange(20), 100 + np.arange(25), method="asymptotic", use_continuity=False).pvalue
    assert 2 * stats.norm.sf(z) == pytest.approx(plain, rel=1e-9)
    assert plain < p < 1e-5


@pytest.mark.parametrize(("a", "b"), [(np.ones(9), np.ones(9)), (np.ones(9), 2 * np.ones(9))])
def test_c10_c11_constant_arms_have_no_standard_error(a, b):
    assert math.isnan(superiority(*both(a, b)).std_error)


def test_clusters_count_once():
    rng = np.random.default_rng(6)
    values, treated = both(rng.normal(size=15), rng.normal(0.5, 1, size=15))
    single = superiority(values, treated)
    whole = superiority(np.repeat(values, 8), np.repeat(treated, 8), clusters=np.repeat(np.arange(30), 8))
    naive = superiority(np.repeat(values, 8), np.repeat(treated, 8))
    assert whole.probability == pytest.approx(single.probability)
    assert whole.std_error == pytest.approx(single.std_error, rel=1e-9)
    assert whole.df == pytest.approx(single.df, rel=1e-9)  # Brunner and Munzel's of 15 and 15, as scipy's above
    assert naive.std_error < 0.5 * whole.std_error


def test_separated_clusters_count_clusters():
    values, treated = both(np.arange(24), 100 + np.arange(24))
    found = superiority(values, treated, clusters=np.arange(48) // 4)
    assert found.std_error == pytest.approx(math.sqrt(13 / (12 * 36)))
    assert found.df == pytest.approx(10)


def test_strata_are_compared_within():
    """The strata differ by 100 and the arms' shares by stratum: a comparison across strata would be biased."""
    rng = np.random.default_rng(7)
    strata = np.repeat([0, 1], [100, 300])
    treated = np.concatenate([np.arange(100) >= 80, np.arange(300) >= 60])
    values = rng.normal(size=400) + 100 * strata
    found = superiority(values, treated, strata=strata)
    parts = [superiority(values[strata == s], treated[strata == s]) for s in (0, 1)]
    assert found.probability == pytest.approx(0.25 * parts[0].probability + 0.75 * parts[1].probability)
    assert found.std_error == pytest.approx(math.hypot(0.25 * parts[0].std_error, 0.75 * parts[1].std_error), rel=1e-9)
    assert abs(found.probability - 0.5) < 0.2 < superiority(values, treated).probability - 0.5


@pytest.mark.parametrize(
    "values", [np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0])], ids=["one treated", "none treated"]
)
def test_an_arm_with_fewer_than_two_units_is_refused(values):
    with pytest.raises(EstimationError, match="treatment arm has"):
        superiority(values, np.arange(len(values)) >= 2)


def test_a_million_rows_take_seconds():
    rng = np.random.default_rng(8)
    values = np.round(rng.lognormal(size=1_000_000), 2)
    start = time.perf_counter()
    found = superiority(values, np.arange(1_000_000) % 2 == 1)
    assert time.perf_counter() - start < 10
    assert abs(found.probability - 0.5) < 5 * found.std_error
    assert found.std_error == pytest.approx(math.sqrt(1 / 12 / 250_000), rel=0.01)
