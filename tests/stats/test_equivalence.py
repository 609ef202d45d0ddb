"""Margins: the test and its interval decide alike, the normal's numbers by hand, what is no size."""

import math

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.equivalence import equivalence, noninferiority


@pytest.mark.parametrize("df", [3.0, 40.0, math.inf])
@pytest.mark.parametrize("value", np.linspace(-2, 2, 9))
def test_tests_and_intervals_decide_alike(value: float, df: float) -> None:
    for level in (0.9, 0.95):
        higher = noninferiority(value, 0.4, df, margin=1.0, confidence_level=level)
        assert higher.shown == (higher.low > -1.0) == (higher.p_value < 1 - level)
        assert higher.high == math.inf
        lower = noninferiority(value, 0.4, df, margin=1.0, better="lower", confidence_level=level)
        assert lower.shown == (lower.high < 1.0)
        both = equivalence(value, 0.4, df, bound=1.0, confidence_level=level)
        assert both.shown == (both.low > -1.0 and both.high < 1.0)
        assert both.p_value == max(higher.p_value, lower.p_value)
        assert (both.low, both.high) == (higher.low, lower.high)


def test_equivalence_is_statsmodels_tost() -> None:
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    x = np.random.default_rng(1).normal(0.1, 1, 60)
    expected = weightstats.DescrStatsW(x).ttost_mean(-0.5, 0.5)[0]
    found = equivalence(x.mean(), x.std(ddof=1) / math.sqrt(60), 59, bound=0.5)
    assert found.p_value == pytest.approx(expected, rel=1e-10)


def test_the_published_margin_case() -> None:
    """spotify-confidence README: 50 of 100 against 40 of 100, margin 0.02."""
    error = math.sqrt(0.4 * 0.6 / 100 + 0.5 * 0.5 / 100)
    found = noninferiority(0.1, error, math.inf, margin=0.02)
    assert found.p_value == pytest.approx(0.043238132746832816, rel=1e-12)
    assert found.low == pytest.approx(-0.01513975388660306, rel=1e-12)
    assert found.p_value == pytest.approx(stats.norm.sf(0.12 / error), rel=1e-12)


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf])
def test_what_is_no_margin_is_refused(margin: float) -> None:
    with pytest.raises(EstimationError, match="is not a size"):
        noninferiority(0.0, 1.0, 10, margin=margin)
    with pytest.raises(EstimationError, match="is not a size"):
        equivalence(0.0, 1.0, 10, bound=margin)


def test_equivalence_needs_room_and_directions_are_two() -> None:
    with pytest.raises(EstimationError, match="margin 0 is not a size"):
        equivalence(0.0, 1.0, 10, bound=0)
    with pytest.raises(EstimationError, match="better 'up' is not known"):
        noninferiority(0.0, 1.0, 10, margin=0.1, better="up")
