"""Lin's adjustment and the classical tests, from moments, against least squares and scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.arm_means import means_of_cells
from cpi_experiments.stats.cells import cells_of_rows
from cpi_experiments.stats.interacted import interacted, normal_means, pooled_means


def world(seed: int = 1, n: int = 90, q: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, treated = rng.normal(size=(n, q)) + 1e3, np.arange(n) % 3 == 0
    y = x @ np.arange(1, q + 1) * np.where(treated, 1.5, 0.5) + rng.normal(size=n) + treated
    return y, x, treated


def test_the_effect_is_that_of_two_regressions_at_the_mean_of_all() -> None:
    sm = pytest.importorskip("statsmodels.api")
    y, x, treated = world()
    centred = x - x.mean(axis=0)
    fits = [sm.OLS(y[treated == arm], sm.add_constant(centred[treated == arm])).fit() for arm in (False, True)]
    found = interacted(cells_of_rows(np.column_stack([y, x]), treated))
    np.testing.assert_allclose(found.coefficients, [fit.params[1:] for fit in fits], rtol=1e-8)
    assert found.means.effect[0] == pytest.approx(fits[1].params[0] - fits[0].params[0], rel=1e-9)
    moved = fits[1].params[1:] - fits[0].params[1:]
    variance = sum(fit.bse[0] ** 2 for fit in fits) + moved @ np.cov(x.T) @ moved / len(x)
    assert found.means.omega[0, 0] == pytest.approx(variance, rel=1e-9)
    assert found.varies


def test_strata_are_compared_within_and_weighted() -> None:
    """With common slopes taken as given, the estimate is the weighted difference of residuals."""
    y, x, treated = world(n=120)
    strata = np.arange(120) // 40
    found = interacted(cells_of_rows(np.column_stack([y, x]), treated, strata=strata))
    centre = np.stack([x[strata == s].mean(axis=0) for s in range(3)])[strata]
    adjusted = y - np.sum((x - centre) * found.coefficients[treated.astype(int)], axis=1)
    by_hand = [adjusted[(strata == s) & treated].mean() - adjusted[(strata == s) & ~treated].mean() for s in range(3)]
    assert found.means.effect[0] == pytest.approx(np.mean(by_hand), rel=1e-9)
    raw = means_of_cells(cells_of_rows(y[:, None], treated, strata=strata))
    assert found.means.effect[1] == pytest.approx(raw.effect[0], rel=1e-12)
    assert found.means.cov[1, 1] == pytest.approx(raw.cov[0, 0], rel=1e-12)


def test_the_joint_covariance_is_that_of_a_bootstrap() -> None:
    """Adjusted and raw means of both arms: their covariance over samples drawn again from the population."""
    rng = np.random.default_rng(7)
    found, expected = [], []
    for _ in range(3_000):
        x = rng.normal(size=(80, 1))
        treated = np.arange(80) < 30
        y = np.where(treated, 2.0, 0.5) * x[:, 0] + rng.normal(size=80)
        means = interacted(cells_of_rows(np.column_stack([y, x]), treated)).means
        found.append(np.concatenate([means.control, means.treatment]))
        expected.append(means.cov)
    np.testing.assert_allclose(np.cov(np.array(found).T), np.mean(expected, axis=0), rtol=0.1, atol=4e-3)


def test_covariates_that_tell_nothing_leave_the_plain_difference_nearly_alone() -> None:
    rng = np.random.default_rng(3)
    y, x, treated = rng.normal(size=4_000), rng.normal(size=(4_000, 1)), np.arange(4_000) % 2 == 0
    lin, plain = (
        interacted(cells_of_rows(np.column_stack([y, x]), treated)),
        means_of_cells(cells_of_rows(y[:, None], treated)),
    )
    assert lin.means.omega[0, 0] == pytest.approx(plain.omega[0, 0], rel=5e-3)
    assert lin.means.df(0) <= 4_000 - 4


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda y, x, t: (np.column_stack([y, x, x[:, :1]]), t), "collinear"),
        (lambda y, x, t: (np.column_stack([y, np.where(t, 1.0, x[:, 0])]), t), "constant within the treatment arm"),
        (lambda y, x, t: (np.column_stack([y, x])[:18], t[:18]), r"6 units for 2 coefficients"),
    ],
)
def test_what_cannot_be_adjusted_is_refused(change, found: str) -> None:
    rows, treated = change(*world())
    with pytest.raises(EstimationError, match=found):
        interacted(cells_of_rows(rows, treated))


def test_student_and_z_are_the_textbooks() -> None:
    rng = np.random.default_rng(4)
    y, treated = rng.lognormal(size=50), np.arange(50) < 18
    cells = cells_of_rows(y[:, None], treated)
    student, z = pooled_means(cells), normal_means(cells)
    expected = stats.ttest_ind(y[treated], y[~treated], equal_var=True)
    assert student.effect[0] / math.sqrt(student.omega[0, 0]) == pytest.approx(expected.statistic, rel=1e-10)
    assert student.df(0) == 48
    variance = y[treated].var() / 18 + y[~treated].var() / 32
    assert z.omega[0, 0] == pytest.approx(variance, rel=1e-12)
    assert z.df(0) == math.inf
