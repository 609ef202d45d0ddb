"""Standardised differences and the joint distance against closed forms and regression."""

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.balance import arm_sums, joint_distance, standardised_differences, whiten


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def drawn(rng, n=60, k=3):
    return rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) + 100, rng.permutation(np.arange(n) % 3)


def test_moments_are_numpys(rng):
    x, arm = drawn(rng)
    x[5, 1] = np.nan
    sums = arm_sums(x, arm, 3)
    for code in range(3):
        rows = x[arm == code]
        assert sums.means[code] == pytest.approx(np.nanmean(rows, axis=0), rel=1e-12)
        assert sums.variances[code] == pytest.approx(np.nanvar(rows, axis=0, ddof=1), rel=1e-12)
    assert sums.n.sum() == x.size - 1


def test_austins_worked_numbers():
    """Austin (2009), equation 2: shares 0.3 and 0.4 differ by 0.1 / sqrt((0.21 + 0.24) / 2) = 0.2108."""
    x = np.concatenate([np.repeat([1.0, 0.0], [300_000, 700_000]), np.repeat([1.0, 0.0], [400_000, 600_000])])[:, None]
    differences, ratios = standardised_differences(arm_sums(x, np.repeat([0, 1], 1_000_000), 2))
    assert differences[0, 0] == pytest.approx(0.1 / np.sqrt((0.21 + 0.24) / 2), rel=1e-5)
    assert ratios[0, 0] == pytest.approx(0.24 / 0.21, rel=1e-5)


def test_constants_differ_by_nothing_or_without_bound():
    x = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 2.0], [1.0, 2.0]])
    differences, ratios = standardised_differences(arm_sums(x, np.array([0, 0, 1, 1]), 2))
    assert differences.tolist() == [[0.0, np.inf]]
    assert np.isnan(ratios).all()


def test_two_arms_are_morgan_and_rubins_distance(rng):
    x, _ = drawn(rng)
    arm = (np.arange(60) < 22).astype(int)
    gap = x[arm == 1].mean(axis=0) - x[arm == 0].mean(axis=0)
    expected = 22 * 38 / 60 * gap @ np.linalg.inv(np.cov(x.T)) @ gap
    assert joint_distance(whiten(x), arm, 2) == pytest.approx(expected, rel=1e-9)


def test_one_covariate_is_the_share_of_variance_between_arms(rng):
    """(n - 1) R^2 of one-way analysis of variance, from scipy's F."""
    x, arm = drawn(rng, k=1)
    f = stats.f_oneway(*(x[arm == code, 0] for code in range(3))).statistic
    explained = f * 2 / (f * 2 + 57)
    assert joint_distance(whiten(x), arm, 3) == pytest.approx(59 * explained, rel=1e-9)


def test_many_covariates_are_pillais_trace(rng):
    """(n - 1) times Pillai's trace of statsmodels' multivariate analysis of variance."""
    from statsmodels.multivariate.manova import MANOVA

    x, arm = drawn(rng)
    design = np.column_stack([np.ones(60), arm == 1, arm == 2]).astype(float)
    contrast = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = MANOVA(x, design).mv_test([("arms", contrast, np.eye(3))])
    trace = float(found.results["arms"]["stat"].loc["Pillai's trace", "Value"])
    assert joint_distance(whiten(x), arm, 3) == pytest.approx(59 * trace, rel=1e-8)


def test_its_mean_over_all_assignments_is_the_degrees_of_freedom(rng):
    from itertools import combinations

    white = whiten(rng.lognormal(size=(8, 2)))
    every = [
        joint_distance(white, np.isin(np.arange(8), chosen).astype(int), 2) for chosen in combinations(range(8), 3)
    ]
    assert np.mean(every) == pytest.approx(2.0, rel=1e-9)


def test_units_and_copies_do_not_matter(rng):
    x, arm = drawn(rng)
    changed = np.column_stack([x * [1e-6, 1.0, 1e6] + [5.0, 0.0, -3.0], x @ [1.0, 2.0, 3.0], np.full(60, 7.0)])
    assert whiten(changed).rank == 3
    assert joint_distance(whiten(changed), arm, 3) == pytest.approx(joint_distance(whiten(x), arm, 3), rel=1e-6)


def test_constants_alone_are_refused():
    with pytest.raises(EstimationError, match="no covariate varies"):
        whiten(np.full((5, 2), 0.1))
