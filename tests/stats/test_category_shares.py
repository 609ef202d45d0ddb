"""Shares of categories against statsmodels, and how often all intervals hold at once."""

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.category_shares import simultaneous_shares, value_shares

# Example of Sison and Glaz (1995)
COUNTS = np.array([56, 72, 73, 59, 62, 87, 58])


@pytest.mark.parametrize("counts", [COUNTS, np.array([5, 0, 60]), np.array([1, 1, 1, 1, 1])])
def test_goodman_equals_statsmodels(counts):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    expected = proportion.multinomial_proportions_confint(counts, alpha=0.1, method="goodman")
    np.testing.assert_allclose(simultaneous_shares(counts, confidence_level=0.9), expected, rtol=1e-10, atol=1e-14)


def test_two_categories_are_one_share():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    found = simultaneous_shares(np.array([30, 70]))
    assert found[0] == pytest.approx(proportion.proportion_confint(30, 100, method="wilson"), abs=1e-12)
    assert found[1] == pytest.approx(1 - found[0][::-1], abs=1e-12)


def test_all_shares_hold_at_once():
    rng = np.random.default_rng(2)
    truth = np.array([0.45, 0.25, 0.15, 0.1, 0.05])
    draws = rng.multinomial(200, truth, size=4000)
    ends = np.stack([simultaneous_shares(each) for each in draws])
    held = np.mean(np.all((ends[:, :, 0] <= truth) & (truth <= ends[:, :, 1]), axis=1))
    assert 0.945 <= held <= 0.985


def test_all_value_shares_hold_at_once():
    """Lost value is skewed, and large customers leave for other reasons than small ones."""
    rng = np.random.default_rng(3)
    mean = np.exp(np.array([3.0, 3.6, 4.0]) + 0.32)
    truth = np.array([0.5, 0.3, 0.2]) * mean
    truth /= truth.sum()
    held, trials = 0, 2000
    for _ in range(trials):
        groups = rng.choice(3, 300, p=[0.5, 0.3, 0.2])
        values = np.exp(np.array([3.0, 3.6, 4.0])[groups] + 0.8 * rng.normal(size=300))
        shares, ends = value_shares(values, groups, 3)
        held += bool(np.all((ends[:, 0] <= truth) & (truth <= ends[:, 1])))
        assert shares.sum() == pytest.approx(1)
    assert 0.94 <= held / trials <= 0.985


def test_error_of_a_value_share_is_that_of_a_ratio():
    """Delta method by hand: the residuals of value in the category on all value."""
    rng = np.random.default_rng(4)
    values, groups = rng.lognormal(size=50), rng.integers(0, 2, 50)
    shares, ends = value_shares(values, groups, 2)
    own = values * (groups == 0)
    residuals = (own - shares[0] * values) / values.mean()
    error = residuals.std(ddof=1) / np.sqrt(50)
    spread = stats.t.ppf(0.975, 49) * error / (shares[0] * (1 - shares[0]))
    logit = np.log(shares[0] / (1 - shares[0]))
    assert ends[0] == pytest.approx(1 / (1 + np.exp(-(logit + np.array([-spread, spread])))), rel=1e-10)


def test_shares_that_cannot_be_ranged_are_not_available():
    shares, ends = value_shares(np.array([5.0, 5.0, 0.0]), np.array([0, 0, 1]), 3)
    assert shares.tolist() == [1, 0, 0]
    assert np.isnan(ends).all()
    shares, ends = value_shares(np.zeros(3), np.array([0, 0, 1]), 2)
    assert np.isnan(shares).all()


@pytest.mark.parametrize("counts", [[0, 0], [3, -1]])
def test_counts_have_to_count(counts):
    with pytest.raises(EstimationError, match="do not describe"):
        simultaneous_shares(np.array(counts))


@pytest.mark.parametrize("values", [[-1.0, 2.0], [np.nan, 2.0]])
def test_values_below_zero_have_no_shares(values):
    with pytest.raises(EstimationError, match="below zero"):
        value_shares(np.array(values), np.array([0, 1]), 2)
