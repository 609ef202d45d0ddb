"""Type M and type S errors of designs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.judging.exaggeration import exaggeration


@pytest.mark.parametrize(
    ("effect", "error", "power", "type_s", "type_m"),
    [
        (0.1, 3.28, 0.05010648, 0.4644228, 76.8),  # beauty and sex ratio; type M published by simulation
        (2.0, 8.1, 0.05701294, 0.2396177, 9.57),  # menstrual cycle and voting
    ],
)
def test_published_examples_of_gelman_and_carlin(effect, error, power, type_s, type_m):
    found = exaggeration(effect, error)
    assert found.power == pytest.approx(power, rel=1e-6)
    assert found.type_s == pytest.approx(type_s, rel=1e-6)
    assert found.type_m == pytest.approx(type_m, rel=0.01)


@pytest.mark.parametrize("alpha", [0.05, 0.005])
@pytest.mark.parametrize("ratio", [0.1, 0.7, 1.5, 2.8, 5.0])
def test_closed_form_is_the_integral(ratio, alpha):
    found = exaggeration(-ratio * 0.3, 0.3, alpha=alpha)
    z = stats.norm.isf(alpha / 2)
    upper = integrate.quad(lambda x: x * stats.norm.pdf(x - ratio), z, np.inf, epsabs=1e-14)[0]
    lower = integrate.quad(lambda x: -x * stats.norm.pdf(x - ratio), -np.inf, -z, epsabs=1e-14)[0]
    assert found.power == pytest.approx(stats.norm.sf(z - ratio) + stats.norm.cdf(-z - ratio), rel=1e-9)
    assert found.type_m == pytest.approx((upper + lower) / ratio / found.power, rel=1e-7)
    assert found.type_s == pytest.approx(stats.norm.cdf(-z - ratio) / found.power, rel=1e-9)


def test_simulated_significant_estimates_exaggerate_and_err_as_said():
    estimate = np.random.default_rng(8).normal(1.0, 1.0, size=400_000)
    found = exaggeration(1.0, 1.0)
    significant = np.abs(estimate) > stats.norm.isf(0.025)
    assert np.mean(significant) == pytest.approx(found.power, abs=0.003)
    assert np.mean(np.abs(estimate[significant])) == pytest.approx(found.type_m, abs=0.01)
    wrong = int(np.sum(estimate[significant] < 0))
    low, high = stats.binom.ppf([5e-7, 1 - 5e-7], int(significant.sum()), found.type_s)
    assert low <= wrong <= high


def test_a_strong_design_exaggerates_nothing():
    found = exaggeration(1.0, 0.1)
    assert (found.type_m, found.type_s, found.power) == pytest.approx((1.0, 0.0, 1.0), abs=1e-9)


@pytest.mark.parametrize(
    ("effect", "error", "alpha"),
    [(0.0, 1.0, 0.05), (np.nan, 1.0, 0.05), (1.0, 0.0, 0.05), (1.0, np.inf, 0.05), (1.0, 1.0, 0.0), (1.0, 1.0, 1.0)],
)
def test_what_has_no_exaggeration_is_refused(effect, error, alpha):
    with pytest.raises(EstimationError, match="no exaggeration exists"):
        exaggeration(effect, error, alpha=alpha)
