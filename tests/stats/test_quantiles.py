"""Quantiles: ranks against the binomial itself, numpy's interpolation, coverage without a shape."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.quantiles import (
    order_ranks,
    quantile_ranks,
    share_ranks,
)


@pytest.mark.parametrize(
    ("n", "ranks"), [(6, (1, 6)), (10, (2, 9)), (15, (4, 12)), (25, (8, 18)), (50, (18, 33)), (100, (40, 61))]
)
def test_ranks_of_the_median_equal_published_tables(n, ranks):
    assert order_ranks(n, 0.5) == ranks  # Conover 1999, table A3; Geigy tables


@given(
    n=st.integers(1, 4000),
    probability=st.sampled_from([0.05, 0.5, 0.75, 0.9, 0.99]),
    level=st.sampled_from([0.8, 0.95]),
)
def test_ranks_are_the_tightest_that_keep_each_tail(n, probability, level):
    lower, upper = order_ranks(n, probability, confidence_level=level)
    tail = (1 - level) / 2 + 1e-12
    binomial = stats.binom(n, probability)
    assert lower == 0 or binomial.cdf(lower - 1) <= tail
    assert lower == n or binomial.cdf(lower) > tail - 2e-12
    assert upper == n + 1 or binomial.sf(upper - 1) <= tail
    assert binomial.sf(upper - 2) > tail - 2e-12


@pytest.mark.parametrize("probability", [0.5, 0.9])
@pytest.mark.parametrize("draw", ["lognormal", "ties"])
def test_order_statistics_cover_at_least_their_level(probability, draw):
    rng = np.random.default_rng(11)
    x = np.sort(rng.lognormal(0, 1.5, (4000, 60)), axis=1)
    true = math.exp(1.5 * stats.norm.ppf(probability))
    if draw == "ties":
        x, true = np.ceil(x), math.ceil(true)
    lower, upper = order_ranks(60, probability)
    coverage = np.mean((x[:, lower - 1] <= true) & (true <= x[:, upper - 1]))
    low, high = stats.binom.ppf([5e-7, 1 - 5e-7], 4000, 0.95) / 4000
    assert coverage >= low
    assert draw == "ties" or coverage <= high + 0.02  # discreteness of 60 values


@given(
    values=st.lists(st.integers(-5, 5), min_size=1, max_size=60), probability=st.sampled_from([0.1, 0.5, 0.9, 1 / 3])
)
def test_the_value_between_the_ranks_of_a_quantile_is_numpys(values, probability):
    ordered = np.sort(values).astype(float)
    lower, upper, weight = quantile_ranks(len(values), probability)
    between = ordered[lower - 1] + (ordered[upper - 1] - ordered[lower - 1]) * weight
    assert between == pytest.approx(np.quantile(values, probability), abs=1e-9)


def test_one_value_is_every_quantile():
    assert quantile_ranks(1, 0.9) == (1, 1, 0.0)


def test_share_ranks_stay_within_the_values():
    assert share_ranks(0.0, 1.0, 10) == (0, 11)
    assert share_ranks(0.3, 0.7, 10) == (3, 8)


@pytest.mark.parametrize(("n", "probability"), [(0, 0.5), (5, 0.0), (5, 1.0)])
def test_quantiles_that_do_not_exist_are_refused(n, probability):
    with pytest.raises(EstimationError, match="does not exist"):
        order_ranks(n, probability)
