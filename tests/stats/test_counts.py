"""Tests of counts against SciPy, and what is no table."""

import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.counts import independence_test, sample_ratio_test


@pytest.mark.parametrize(
    ("counts", "weights"), [([510, 490], [1, 1]), ([700, 310], [2, 1]), ([1900, 95, 101], [0.9, 0.05, 0.05])]
)
def test_sample_ratio_is_pearsons_test(counts: list[int], weights: list[float]) -> None:
    expected = [sum(counts) * w / sum(weights) for w in weights]
    assert sample_ratio_test(counts, weights) == pytest.approx(tuple(stats.chisquare(counts, expected)), rel=1e-12)


@pytest.mark.parametrize("table", [[[30, 10], [70, 90]], [[3, 9, 4], [50, 45, 60]]])
def test_independence_is_pearsons_test(table: list[list[int]]) -> None:
    expected = stats.chi2_contingency(table, correction=False)
    assert independence_test(table) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-12)


@pytest.mark.parametrize("table", [[[0, 0], [70, 90]], [[5, 0], [7, 0]], [[0, 0], [0, 0]]])
def test_a_table_with_one_row_says_nothing(table: list[list[int]]) -> None:
    assert independence_test(table) == (0.0, 1.0)


@pytest.mark.parametrize(("counts", "weights"), [([5], [1]), ([5, 5], [1]), ([5, 5], [1, 0]), ([5, 5], [1, -1])])
def test_what_is_no_experiment_is_refused(counts: list[int], weights: list[float]) -> None:
    with pytest.raises(EstimationError, match="do not describe an experiment"):
        sample_ratio_test(counts, weights)
