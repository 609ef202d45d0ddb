"""Futility: against exact exits, against simulation, and what is refused."""

import math

import numpy as np
import pytest
from scipy import special

from cpi_experiments.errors import DesignError
from cpi_experiments.stats.sequential.conditional_power import conditional_power, predictive_power


def test_conditional_power_before_anything_is_seen_is_the_power():
    assert conditional_power(0.0, 1e-12, 1.96, drift=2.8) == pytest.approx(special.ndtr(2.8 - 1.96), abs=1e-6)


def test_conditional_power_averages_to_the_power():
    rng = np.random.default_rng(2)
    z = rng.normal(2.8 * math.sqrt(0.4), 1, 4_000)
    found = np.mean([conditional_power(each, 0.4, 1.96, drift=2.8) for each in z])
    assert found == pytest.approx(special.ndtr(2.8 - 1.96), abs=0.025)


def test_lan_and_wittes_b_value_form():
    """B(t) = Z sqrt(t); under the trend seen B(1) has mean B(t) / t and variance 1 - t."""
    z, t = 1.3, 0.6
    b = z * math.sqrt(t)
    expected = 1 - special.ndtr((1.96 - b / t) / math.sqrt(1 - t))
    assert conditional_power(z, t, 1.96, drift=z / math.sqrt(t)) == pytest.approx(expected, rel=1e-12)


def test_predictive_power_is_conditional_power_averaged_over_the_drift():
    rng = np.random.default_rng(3)
    z, t = 0.8, 0.5
    drifts = z / math.sqrt(t) + rng.normal(size=4_000) / math.sqrt(t)
    averaged = np.mean([conditional_power(z, t, 2.1, drift=each) for each in drifts])
    assert predictive_power(z, t, 2.1) == pytest.approx(averaged, abs=0.025)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: conditional_power(1.0, 1.0, 2.0, drift=1.0), "information fraction"),
        (lambda: predictive_power(1.0, 0.0, 2.0), "information fraction"),
    ],
)
def test_what_is_no_plan_is_refused(call, words):
    with pytest.raises(DesignError, match=words):
        call()
