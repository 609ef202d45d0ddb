"""Covariate adjustment and ratios, from moments, against their formulas on rows."""

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.adjustment import Adjustment, adjustment, linear_ratio
from cpi_experiments.stats.arm_means import means_of_cells
from cpi_experiments.stats.cells import Cells, cells_of_rows


def halves(*columns: np.ndarray, treated: np.ndarray | None = None) -> Cells:
    rows = np.column_stack(columns)
    return cells_of_rows(rows, np.arange(len(rows)) % 2 == 1 if treated is None else treated)


def adjust(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, Adjustment]:
    """Adjusted values of every row, from coefficients that come from moments alone."""
    found = adjustment(halves(y, x), y.shape[1])
    return y - (x - x.mean(axis=0)) @ found.coefficients, found


def test_adjusted_values_are_the_residuals_of_the_pooled_regression() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(80, 3)) * [1, 1e4, 1e-4] + [0, 1e6, 5], rng.normal(size=(80, 2))
    sm = pytest.importorskip("statsmodels.api")
    adjusted, found = adjust(y, x)
    assert found.used.all()
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    for j in range(2):
        fit = sm.OLS(y[:, j], sm.add_constant(scaled)).fit()
        np.testing.assert_allclose(adjusted[:, j], fit.resid + y[:, j].mean(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(adjusted.mean(axis=0), y.mean(axis=0), rtol=0, atol=1e-12)


def test_moments_of_adjusted_values_are_mapped_not_computed_again() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(80, 2)) + 100, rng.normal(size=(80, 1)) - 50
    y = y + x[:, :1]
    cells, treated = halves(y, x), np.arange(80) % 2 == 1
    adjusted, found = adjust(y, x)
    slope = np.hstack([np.eye(1), -found.coefficients.T])
    mapped = means_of_cells(cells.mapped(slope, found.offset, origin=cells.origin[:1]))
    direct = means_of_cells(cells_of_rows(adjusted, treated))
    np.testing.assert_allclose(mapped.control, direct.control, rtol=1e-12)
    np.testing.assert_allclose(mapped.effect, direct.effect, rtol=1e-11)
    np.testing.assert_allclose(mapped.cov, direct.cov, rtol=1e-12)


def test_constant_covariates_are_skipped_and_said() -> None:
    rng = np.random.default_rng(2)
    x = np.stack([np.full(30, 7.0), rng.normal(size=30)], axis=1)
    y = rng.normal(size=(30, 1))
    adjusted, found = adjust(y, x)
    assert found.used.tolist() == [False, True]
    np.testing.assert_allclose(adjusted, adjust(y, x[:, 1:])[0])
    same, none = adjust(y, x[:, :1])
    assert not none.used.any()
    np.testing.assert_array_equal(same, y)


def test_collinear_covariates_are_refused() -> None:
    x = np.random.default_rng(3).normal(size=(30, 1))
    with pytest.raises(EstimationError, match="collinear"):
        adjust(x, np.hstack([x, 2 * x + 1]))


def test_the_condition_number_is_that_of_the_correlations() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 1))
    x = np.hstack([x * 1e6, x + 1e-3 * rng.normal(size=(60, 1))])
    found = adjust(rng.normal(size=(60, 1)), x)[1]
    assert found.condition == pytest.approx(np.linalg.cond(np.corrcoef(x.T)), rel=1e-6)
    assert 1e6 < found.condition < 1e8


def test_a_ratio_has_the_delta_methods_mean_and_variance() -> None:
    rng = np.random.default_rng(4)
    d = rng.poisson(3, 200) + 1.0
    n = rng.binomial(d.astype(int), 0.3).astype(float)
    treated = np.arange(200) < 70
    means = means_of_cells(linear_ratio(halves(n, d, treated=treated)))
    for arm, found, at in ((~treated, means.control, 0), (treated, means.treatment, 1)):
        mn, md, size = n[arm].mean(), d[arm].mean(), arm.sum()
        (vn, c), (_, vd) = np.cov(n[arm], d[arm])
        variance = (vn / md**2 - 2 * mn * c / md**3 + mn**2 * vd / md**4) / size
        assert found[0] == pytest.approx(mn / md, rel=1e-14)
        assert means.cov[at, at] == pytest.approx(variance, rel=1e-10)


@pytest.mark.parametrize("denominator", [[0.0, 0.0, 1.0, 1.0], [1.0, -2.0, 1.0, 1.0]])
def test_a_ratio_needs_a_denominator_above_zero(denominator: list[float]) -> None:
    treated = np.array([False, False, True, True])
    with pytest.raises(EstimationError, match="above zero"):
        linear_ratio(halves(np.ones(4), np.array(denominator), treated=treated))
