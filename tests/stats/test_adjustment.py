"""Covariate adjustment and ratios against their formulas."""

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.adjustment import adjust, linearise_ratio


def test_adjusted_values_are_the_residuals_of_the_pooled_regression() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(80, 3)) * [1, 1e4, 1e-4] + [0, 1e6, 5], rng.normal(size=(80, 2))
    sm = pytest.importorskip("statsmodels.api")
    adjusted, used = adjust(y, x)
    assert used.all()
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    for j in range(2):
        fit = sm.OLS(y[:, j], sm.add_constant(scaled)).fit()
        np.testing.assert_allclose(adjusted[:, j], fit.resid + y[:, j].mean(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(adjusted.mean(axis=0), y.mean(axis=0), rtol=0, atol=1e-12)


def test_constant_covariates_are_skipped_and_said() -> None:
    rng = np.random.default_rng(2)
    x = np.stack([np.full(30, 7.0), rng.normal(size=30)], axis=1)
    y = rng.normal(size=(30, 1))
    adjusted, used = adjust(y, x)
    assert used.tolist() == [False, True]
    np.testing.assert_allclose(adjusted, adjust(y, x[:, 1:])[0])
    same, none = adjust(y, x[:, :1])
    assert not none.any()
    np.testing.assert_array_equal(same, y)


def test_collinear_covariates_are_refused() -> None:
    x = np.random.default_rng(3).normal(size=(30, 1))
    with pytest.raises(EstimationError, match="collinear"):
        adjust(x, np.hstack([x, 2 * x + 1]))


def test_a_ratio_has_the_delta_methods_mean_and_variance() -> None:
    rng = np.random.default_rng(4)
    d = rng.poisson(3, 200) + 1.0
    n = rng.binomial(d.astype(int), 0.3).astype(float)
    treated = np.arange(200) < 70
    values, ratios = linearise_ratio(n, d, treated)
    for j, arm in enumerate((~treated, treated)):
        mn, md, size = n[arm].mean(), d[arm].mean(), arm.sum()
        (vn, c), (_, vd) = np.cov(n[arm], d[arm])
        variance = (vn / md**2 - 2 * mn * c / md**3 + mn**2 * vd / md**4) / size
        assert ratios[j] == pytest.approx(mn / md, rel=1e-14)
        assert values[arm].mean() == pytest.approx(mn / md, rel=1e-12)
        assert values[arm].var(ddof=1) / size == pytest.approx(variance, rel=1e-10)


@pytest.mark.parametrize("denominator", [[0.0, 0.0, 1.0, 1.0], [1.0, -2.0, 1.0, 1.0]])
def test_a_ratio_needs_a_denominator_above_zero(denominator: list[float]) -> None:
    with pytest.raises(EstimationError, match="above zero"):
        linearise_ratio(np.ones(4), np.array(denominator), np.array([False, False, True, True]))
