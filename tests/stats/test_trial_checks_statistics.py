"""Statistics behind the checks of a trial: trend of an effect, slope by group, equal effects; against statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.oneway import anova_oneway

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.effect_trend import effect_trend
from cpi_experiments.stats.equal_effects import equal_effects_test
from cpi_experiments.stats.group_slope import group_slope


def test_slope_of_the_effect_is_least_squares_with_day_effects() -> None:
    rng = np.random.default_rng(4)
    day, unit = np.repeat(np.arange(6), 30), np.tile(np.arange(30), 6)
    treated = unit % 2 == 1
    start = rng.integers(0, 3, 30)[unit]
    time = np.log2(1 + np.maximum(day - start, 0))
    y = rng.normal(size=180) + 0.3 * day + treated * (1 - 0.4 * time)
    columns = np.column_stack([treated * time, treated, time, pd.get_dummies(day).to_numpy(float)])
    fitted = sm.OLS(y, columns).fit()
    found = effect_trend(y, treated, time, day, unit)
    assert found is not None
    assert found.slope == pytest.approx(fitted.params[0], rel=1e-9)
    assert found.df == 29
    restricted = sm.OLS(y, columns[:, 1:]).fit()
    left = sm.OLS(columns[:, 0], columns[:, 1:]).fit().resid
    scores = np.bincount(unit, weights=left * restricted.resid)
    expected = scores.sum() / np.sqrt(30 / 29 * scores @ scores)
    assert found.statistic == pytest.approx(expected, rel=1e-8)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(expected), 29), rel=1e-8)


@pytest.mark.parametrize("kind", ["constant time", "one group", "exact fit"])
def test_no_trend_without_variation(kind: str) -> None:
    day = np.repeat(np.arange(4), 4)
    treated = np.tile([False, True], 8)
    y = np.random.default_rng(1).normal(size=16) if kind != "exact fit" else np.zeros(16)
    time = np.zeros(16) if kind == "constant time" else day.astype(float)
    assert effect_trend(y, treated, time, day, np.zeros(16) if kind == "one group" else np.arange(16)) is None


def test_no_trend_without_rows() -> None:
    nothing = np.zeros(0)
    assert effect_trend(nothing, nothing > 0, nothing, nothing.astype(int), nothing.astype(int)) is None


def test_jackknife_of_a_slope_is_leave_one_group_out() -> None:
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(8), 7)
    x = rng.random(56)
    y = x + rng.normal(size=8)[group] + rng.normal(size=56)
    slope = np.polyfit(x, y, 1)[0]
    left = np.array([np.polyfit(x[group != g], y[group != g], 1)[0] for g in range(8)])
    found = group_slope(x, y, group)
    assert found is not None
    assert found.slope == pytest.approx(slope, rel=1e-10)
    assert found.std_error == pytest.approx(np.sqrt(7 / 8 * np.sum((left - slope) ** 2)), rel=1e-10)
    shares = np.bincount(group, weights=(x - x.mean()) ** 2) / np.sum((x - x.mean()) ** 2)
    assert found.df == pytest.approx(1 / np.sum(shares**2) - 1, rel=1e-10)
    assert 1 <= found.df <= 7
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(found.statistic), found.df), rel=1e-8)


@pytest.mark.parametrize(
    ("x", "y", "group"),
    [
        ([0.0, 1, 2, 3], [1.0, 2, 1, 2], [0, 0, 1, 1]),
        ([1.0, 1, 1, 1, 1, 1], [1.0, 2, 1, 2, 1, 2], [0, 0, 1, 1, 2, 2]),
        ([0.0, 1, 2, 3, 4, 5], [0.0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2]),
        ([0.0, 0, 0, 0, 0, 1], [1.0, 2, 1, 2, 1, 2], [0, 0, 1, 1, 2, 2]),
        ([], [], []),
    ],
)
def test_no_slope_where_none_can_be_tested(x: list, y: list, group: list) -> None:
    assert group_slope(np.array(x), np.array(y), np.array(group)) is None


@pytest.mark.parametrize("k", [2, 3, 5])
def test_equal_effects_is_welchs_anova(k: int) -> None:
    rng = np.random.default_rng(k)
    groups = [rng.normal(0.2 * j, 1 + j, 8 + 3 * j) for j in range(k)]
    means, variances = np.array([g.mean() for g in groups]), np.array([g.var(ddof=1) / len(g) for g in groups])
    expected = anova_oneway(groups, use_var="unequal", welch_correction=True)
    found = equal_effects_test(means, variances, np.array([len(g) - 1.0 for g in groups]))
    assert found == pytest.approx((expected.statistic, expected.pvalue), rel=1e-8)


def test_equal_effects_with_known_variances_is_chi_squared() -> None:
    effects, variances = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 0.5])
    weights = 1 / variances
    q = np.sum(weights * (effects - np.average(effects, weights=weights)) ** 2)
    statistic, p = equal_effects_test(effects, variances, np.full(3, np.inf))
    assert (statistic, p) == pytest.approx((q / 2, stats.chi2.sf(q, 2)), rel=1e-6)


@pytest.mark.parametrize("variances", [[1.0], [1.0, 0.0]])
def test_effects_that_cannot_be_compared_are_refused(variances: list) -> None:
    with pytest.raises(EstimationError, match="cannot be compared"):
        equal_effects_test(np.ones(len(variances)), np.array(variances), np.ones(len(variances)))
