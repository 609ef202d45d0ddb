"""Power of the judging rule against its own simulation, and its inverses."""

import math

import numpy as np
import pytest
from scipy import special

from cpi_experiments.stats.planning.judging_power import (
    FRAGILE,
    confirm_power,
    refute_power,
    std_error_to_confirm,
    std_error_to_refute,
    times_as_many,
)

THRESHOLD = 0.0083


@pytest.mark.parametrize("std_error", [0.1, 0.3, 0.45, 0.7])
@pytest.mark.parametrize("effect", [0.0, 1.0, 1.5])
def test_power_is_the_share_of_simulated_verdicts(std_error: float, effect: float) -> None:
    rng = np.random.default_rng(3)
    z = -float(special.ndtri(THRESHOLD))
    y = effect + std_error * rng.normal(size=200_000)
    prior = 1.0  # shrinkage of the verdict: y * tau^2 / (tau^2 + s^2) >= sesoi  <=>  y >= sesoi + s^2 / sesoi
    confirmed = (y > z * std_error) & (y * prior / (prior + std_error**2) >= 1.0)
    confirmed &= (y - 1.959963984540054 * std_error) / np.abs(y) >= FRAGILE
    found = confirm_power(std_error, effect=effect, sesoi=1.0, threshold=THRESHOLD)
    assert found == pytest.approx(confirmed.mean(), abs=0.006)
    refuted = (y + z * std_error < 1.0) & (y - z * std_error > -1.0)
    found = refute_power(std_error, sesoi=1.0, threshold=THRESHOLD, effect=effect)
    assert found == pytest.approx(refuted.mean(), abs=0.006)


@pytest.mark.parametrize("sesoi", [1e-4, 1.0, 300.0])
@pytest.mark.parametrize("target", [0.5, 0.8, 0.95])
def test_standard_errors_are_exact_inverses(sesoi: float, target: float) -> None:
    error = std_error_to_confirm(sesoi=sesoi, threshold=THRESHOLD, target=target)
    assert confirm_power(error, effect=1.5 * sesoi, sesoi=sesoi, threshold=THRESHOLD) == pytest.approx(target)
    error = std_error_to_refute(sesoi=sesoi, threshold=THRESHOLD, target=target)
    assert refute_power(error, sesoi=sesoi, threshold=THRESHOLD) == pytest.approx(target)


def test_refutation_is_impossible_with_a_large_error() -> None:
    assert refute_power(5.0, sesoi=1.0, threshold=THRESHOLD) == 0.0


def test_customers_grow_with_the_square_of_the_error() -> None:
    assert times_as_many(0.4, 0.2) == 4
    assert times_as_many(0.1, 0.2) == 1
    assert math.isinf(times_as_many(math.inf, 0.2))
