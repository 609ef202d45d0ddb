"""Counts at every look: closed form, published p-values, refusals."""

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.sequential.sequential_counts import log_bayes_factor, sequential_ratio_test

#: GrowthBook's own reference values (its sequential test of sample ratios, one concentration).
PUBLISHED = [
    ([[500, 500]], [0.5, 0.5], 10_000, 1.0),
    ([[800, 200]], [0.5, 0.5], 10_000, 8.126155715401769e-08),
    ([[800, 200]], [0.5, 0.5], 100, 2.253273013435552e-75),
    ([[600, 200, 200]], [0.34, 0.33, 0.33], 10_000, 1.4343631225400445e-06),
    ([[400, 200, 400], [400, 200, 400]], [0.4, 0.2, 0.4], 10_000, 1.0),
    ([[500, 500], [0, 0], [600, 400]], [0.5, 0.5], 10_000, 0.20685901461423034),
    ([[500, 500], [600, 400], [700, 300]], [0.5, 0.5], 10_000, 1.099173293697608e-06),
    ([[500, 500], [600, 400], [700, 300], [800, 200]], [0.5, 0.5], 10_000, 5.115536116778213e-23),
]


@pytest.mark.parametrize(("counts", "shares", "concentration", "p"), PUBLISHED)
def test_published_p_values_are_met(counts: list, shares: list, concentration: float, p: float) -> None:
    found = sequential_ratio_test(np.array(counts), shares, concentrations=[concentration])
    assert found[-1] == pytest.approx(p, rel=1e-8)
    assert len(found) == len(counts)


@pytest.mark.parametrize("weights", [[1, 1], [9, 1], [0.2, 0.3, 0.5]])
def test_bayes_factor_is_a_ratio_of_known_distributions(weights: list) -> None:
    shares = np.array(weights) / sum(weights)
    counts = np.random.default_rng(1).multinomial(700, shares)
    expected = [
        stats.dirichlet_multinomial.logpmf(counts, c * shares, 700) - stats.multinomial.logpmf(counts, 700, shares)
        for c in (100.0, 10_000.0)
    ]
    assert log_bayes_factor(counts, weights) == pytest.approx(np.logaddexp(*expected) - np.log(2), rel=1e-9, abs=1e-9)


def test_p_values_never_rise() -> None:
    counts = np.random.default_rng(2).multinomial(100, [0.6, 0.4], size=30)
    found = sequential_ratio_test(counts, [1, 1])
    assert np.all(np.diff(found) <= 0)
    assert found[-1] < 1e-6


@pytest.mark.parametrize(
    ("counts", "weights", "concentrations"),
    [
        ([[1, 2]], [1], [10.0]),
        ([[1, 2]], [1, 0], [10.0]),
        ([[1, -2]], [1, 1], [10.0]),
        ([[1, 2]], [1, 1], []),
        ([[1, 2]], [1, 1], [0.0]),
        ([1, 2], [1, 1], [10.0]),
    ],
)
def test_what_is_no_test_of_counts_is_refused(counts: list, weights: list, concentrations: list) -> None:
    with pytest.raises(EstimationError, match="counts"):
        sequential_ratio_test(np.array(counts), weights, concentrations=concentrations)
