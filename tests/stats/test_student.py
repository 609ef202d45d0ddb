"""Student's t against SciPy, and the match of tests and intervals."""

import math

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.student import interval, normal_scores, p_value, quantile, satterthwaite, upper_tail

DFS = (1.3, 5.0, 80.0, math.inf)


@pytest.mark.parametrize("df", DFS)
def test_tails_and_quantiles_are_scipys(df: float) -> None:
    law = stats.norm() if math.isinf(df) else stats.t(df)
    for t in (-3.0, 0.0, 0.5, 8.0, 30.0):
        assert upper_tail(t, df) == pytest.approx(law.sf(t), rel=1e-10)
    for p in (0.001, 0.5, 0.975):
        assert quantile(p, df) == pytest.approx(law.ppf(p), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("df", DFS)
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_interval_excludes_zero_exactly_when_the_test_rejects(alternative: str, df: float) -> None:
    for t in np.linspace(-20, 20, 81):
        low, high = interval(t, 1.0, df, alternative=alternative)
        assert (low > 0 or high < 0) == (p_value(t, df, alternative=alternative) < 0.05)


def test_alternatives_add_up() -> None:
    both, up, down = (p_value(1.7, 9.0, alternative=each) for each in ("two-sided", "greater", "less"))
    assert both == pytest.approx(2 * up)
    assert up + down == pytest.approx(1)
    with pytest.raises(EstimationError, match="alternative 'larger' is not known"):
        p_value(1.0, 5.0, alternative="larger")


def test_normal_score_has_the_same_tail_and_never_gains() -> None:
    for df in (2.0, 10.0, 300.0):
        for t in (-4.0, 0.3, 6.0):
            score = float(normal_scores(np.array([t]), np.array([df]))[0])
            assert stats.norm.sf(abs(score)) == pytest.approx(stats.t.sf(abs(t), df), rel=1e-9)
            assert abs(score) <= abs(t)
            assert math.copysign(1, score) == math.copysign(1, t)
    assert normal_scores(np.array([1.5]), np.array([math.inf])).tolist() == [1.5]
    assert np.isfinite(normal_scores(np.array([1e6]), np.array([900.0]))).all()


def test_degrees_of_freedom_lie_between_the_smaller_and_the_sum() -> None:
    assert satterthwaite(np.array([1.0, 3.0]), np.array([9.0, 19.0])) == pytest.approx(16 / (1 / 9 + 9 / 19))
    assert satterthwaite(np.array([0.0, 3.0]), np.array([9.0, 19.0])) == 19.0
    assert math.isnan(satterthwaite(np.zeros(2), np.array([9.0, 19.0])))
